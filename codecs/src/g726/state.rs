//! The state encoder and decoder share (G.726 §4.2): the adaptive step and the predictor of two poles and six zeros.
//!
//! Past samples are kept as the Recommendation's little floats (four bits of exponent, six of mantissa); the products
//! with them (FMULT) lose bits that have to be lost.

use super::tables::Tables;

/// A sign, four bits of exponent and six of mantissa; the sign is -1024.
type Float = i32;
const FLOAT_ZERO: Float = 0x20;

/// What an encoder or decoder knows of the past.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The slow step, in 2^-15.
    slow_step: i32,
    /// The fast step, in 2^-9.
    fast_step: i32,
    /// Short-term and long-term mean of the codes' speed.
    short_mean: i32,
    long_mean: i32,
    /// How much of the fast step is used: 256 or more is all of it.
    speed: i32,
    poles: [i32; 2],
    zeros: [i32; 6],
    /// Signs of the last partly reconstructed samples; true is negative.
    partial_signs: [bool; 2],
    differences: [Float; 6],
    reconstructed: [Float; 2],
    /// A tone in one band, as modems send.
    tone: bool,
}

/// What is expected before a code comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation {
    /// The predicted sample, in 14 bits.
    pub(super) sample: i32,
    /// The part of it that the zeros gave.
    zeros: i32,
    /// The quantiser's step, as a logarithm.
    pub(super) step: i32,
}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            slow_step: 34_816,
            fast_step: 544,
            short_mean: 0,
            long_mean: 0,
            speed: 0,
            poles: [0; 2],
            zeros: [0; 6],
            partial_signs: [false; 2],
            differences: [FLOAT_ZERO; 6],
            reconstructed: [FLOAT_ZERO; 2],
            tone: false,
        }
    }

    /// FMULT, ACCUM and MIX.
    pub(super) fn expect(&self) -> Expectation {
        let zeros: i32 = self
            .zeros
            .iter()
            .zip(&self.differences)
            .map(|(factor, past)| float_product(factor >> 2, *past))
            .sum();
        let poles = float_product(self.poles[1] >> 2, self.reconstructed[1])
            + float_product(self.poles[0] >> 2, self.reconstructed[0]);
        Expectation { sample: word(zeros + poles) >> 1, zeros: word(zeros) >> 1, step: self.step() }
    }

    /// LIMA and MIX: the step between the slow and the fast one.
    fn step(&self) -> i32 {
        if self.speed >= 256 {
            return self.fast_step;
        }
        let slow = self.slow_step >> 6;
        let difference = self.fast_step - slow;
        let share = self.speed >> 2;
        match difference {
            1.. => slow + ((difference * share) >> 6),
            0 => slow,
            _ => slow + ((difference * share + 0x3f) >> 6),
        }
    }

    /// Takes a code's consequences and gives the reconstructed sample, in 16 bits' range of 14-bit units.
    pub(super) fn take(&mut self, code: usize, expected: Expectation, tables: &Tables) -> i32 {
        let negative = code >> (tables.bits - 1) != 0;
        let magnitude = reconstruct(tables.levels[code], expected.step);
        let difference = if negative { -magnitude } else { magnitude };
        let sample = word(expected.sample + difference);
        let partial = word(difference + expected.zeros);
        let change = self.is_change(magnitude);
        let step_change = tables.step_changes[code];

        // FUNCTW, FILTD, LIMB, FILTE
        self.fast_step = (expected.step + ((step_change - expected.step) >> 5)).clamp(544, 5_120);
        self.slow_step += self.fast_step + (-self.slow_step >> 6);

        if change {
            self.poles = [0; 2];
            self.zeros = [0; 6];
        } else {
            self.move_poles(partial);
            self.move_zeros(magnitude, negative, tables.bits);
        }

        self.differences.copy_within(..5, 1);
        self.differences[0] = float(magnitude, negative);
        self.reconstructed = [float(sample.abs() & 0x7fff, sample < 0), self.reconstructed[0]];
        self.partial_signs = [partial < 0, self.partial_signs[0]];

        // TONE
        self.tone = !change && self.poles[1] < -11_776;

        // FILTA, FILTB, SUBTC, FILTC
        let speed = tables.speeds[code];
        self.short_mean += (speed - self.short_mean) >> 5;
        self.long_mean += ((speed << 2) - self.long_mean) >> 7;
        let lively = ((self.short_mean << 2) - self.long_mean).abs() >= self.long_mean >> 3;
        if change {
            self.speed = 256;
        } else if expected.step < 1_536 || self.tone || lively {
            self.speed += (0x200 - self.speed) >> 4;
        } else {
            self.speed += -self.speed >> 4;
        }
        sample
    }

    /// TRANS: a tone has given way to something much louder.
    fn is_change(&self, magnitude: i32) -> bool {
        let whole = self.slow_step >> 15;
        let fraction = (self.slow_step >> 10) & 0x1f;
        let threshold = if whole > 9 { 31 << 10 } else { (32 + fraction) << whole };
        self.tone && magnitude > (threshold + (threshold >> 1)) >> 1
    }

    /// UPA2, LIMC, UPA1 and LIMD.
    fn move_poles(&mut self, partial: i32) {
        let negative = partial < 0;
        let unlike_last = negative != self.partial_signs[0];
        let unlike_before = negative != self.partial_signs[1];
        let [mut first, mut second] = self.poles;
        second -= second >> 7;
        if partial != 0 {
            let kick = if unlike_last { first } else { -first };
            second += if kick < -8_191 {
                -0x100
            } else if kick > 8_191 {
                0xff
            } else {
                kick >> 5
            };
            second += if unlike_before { -0x80 } else { 0x80 };
        }
        second = second.clamp(-12_288, 12_288);
        first -= first >> 8;
        if partial != 0 {
            first += if unlike_last { -192 } else { 192 };
        }
        let bound = 15_360 - second;
        self.poles = [first.clamp(-bound, bound), second];
    }

    /// XOR and UPB.
    fn move_zeros(&mut self, magnitude: i32, negative: bool, bits: u32) {
        let leak = if bits == 5 { 9 } else { 8 };
        for (factor, past) in self.zeros.iter_mut().zip(&self.differences) {
            *factor -= *factor >> leak;
            if magnitude != 0 {
                *factor = word(*factor + if negative == (*past < 0) { 128 } else { -128 });
            }
        }
    }
}

/// ADDA and ANTILOG: the magnitude of a normalised logarithm.
fn reconstruct(level: i32, step: i32) -> i32 {
    let logarithm = level + (step >> 2);
    if logarithm < 0 {
        return 0;
    }
    let exponent = (logarithm >> 7) & 15;
    let mantissa = 128 + (logarithm & 127);
    (mantissa << 7) >> (14 - exponent)
}

/// LOG, SUBTB and QUAN: the code of a difference.
pub(super) fn quantise(difference: i32, step: i32, tables: &Tables) -> usize {
    let magnitude = difference.abs();
    let exponent = bit_length(magnitude >> 1);
    let mantissa = ((magnitude << 7) >> exponent) & 0x7f;
    let logarithm = (exponent << 7) + mantissa - (step >> 2);
    let interval = tables.decisions.iter().take_while(|decision| logarithm >= **decision).count();
    let states = (1 << tables.bits) - 1;
    if difference < 0 {
        states - interval
    } else if interval == 0 && tables.bits > 2 {
        // No code is all zeros: a line that sends nothing must not look like speech.
        states
    } else {
        interval
    }
}

fn bit_length(magnitude: i32) -> i32 {
    (32 - magnitude.leading_zeros()).cast_signed()
}

/// FLOATA and FLOATB.
fn float(magnitude: i32, negative: bool) -> Float {
    let float = if magnitude == 0 {
        FLOAT_ZERO
    } else {
        let exponent = bit_length(magnitude);
        (exponent << 6) + ((magnitude << 6) >> exponent)
    };
    if negative { float - 0x400 } else { float }
}

/// FMULT.
fn float_product(factor: i32, float: Float) -> i32 {
    let magnitude = if factor > 0 { factor } else { -factor & 0x1fff };
    let exponent = bit_length(magnitude) - 6;
    let mantissa = match (magnitude, exponent) {
        (0, _) => 32,
        (_, 0..) => magnitude >> exponent,
        _ => magnitude << -exponent,
    };
    let product_exponent = exponent + ((float >> 6) & 0xf) - 13;
    let product_mantissa = (mantissa * (float & 0x3f) + 0x30) >> 4;
    let product = if product_exponent >= 0 {
        (product_mantissa << product_exponent) & 0x7fff
    } else {
        product_mantissa >> -product_exponent
    };
    if (factor < 0) == (float < 0) { product } else { -product }
}

/// The Recommendation's sums are of 16 bits and wrap.
fn word(value: i32) -> i32 {
    i32::from(value as i16)
}
