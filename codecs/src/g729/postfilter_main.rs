//! The postfilter of the main body (§4.2): long-term with eighths of a sample, short-term, tilt, gain control.

use super::{
    basic_operators::*,
    filter::{Lpc, SUBFRAME, expand, memory_of, residual, synthesis},
    tables::{LONG_TERM_LONG, LONG_TERM_SHORT},
};

/// Residual kept of the past: the longest lag (144, which no encoder sends but any bits can mean) and the long filter's reach.
const PAST: usize = 154;
/// As much of it as decides how far it is scaled.
const SCALED_PAST: usize = 152;

/// The filter's memories.
#[derive(Debug, Clone)]
pub(super) struct MainPostfilter {
    speech: [i16; 10],
    residual: [i16; PAST + SUBFRAME],
    synthesis: [i16; 10],
    tilt: i16,
    gain: i16,
}

/// A correlation or an energy and how far it was shifted down.
#[derive(Debug, Clone, Copy)]
struct Shifted {
    value: i16,
    shift: i16,
}

/// What the search for a long-term delay found.
struct Delay {
    whole: usize,
    phase: usize,
    numerator: Shifted,
    denominator: Shifted,
    /// The delayed signal of a fractional delay, by the short filter.
    delayed: [i16; SUBFRAME],
}

impl MainPostfilter {
    pub(super) fn new() -> Self {
        Self { speech: [0; 10], residual: [0; PAST + SUBFRAME], synthesis: [0; 10], tilt: 0, gain: 16_384 }
    }

    /// Filters a subframe in place; returns the delay that the long-term part used, 0 for none.
    pub(super) fn run(&mut self, speech: &mut [i16; SUBFRAME], a: &Lpc, lag: i16, voiced: bool) -> i16 {
        let denominator = expand(a, 22_938);
        let numerator = expand(a, 18_022);
        let mut window = [0; 10 + SUBFRAME];
        window[..10].copy_from_slice(&self.speech);
        window[10..].copy_from_slice(speech);
        self.speech = memory_of(&window);
        residual(&numerator, &window, &mut self.residual[PAST..]);
        let mut out = [0; SUBFRAME];
        out.copy_from_slice(&self.residual[PAST..]);
        let delay = if voiced { self.long_term(lag, &mut out) } else { 0 };
        self.short_term(&numerator, &denominator, &mut out);
        self.control_gain(speech, &mut out);
        self.residual.copy_within(SUBFRAME.., 0);
        *speech = out;
        delay
    }

    fn long_term(&self, lag: i16, out: &mut [i16; SUBFRAME]) -> i16 {
        let bits = self.residual[PAST - SCALED_PAST..].iter().fold(0, |bits, &x| bits | abs_s(x));
        let scale = 3 - norm_s(bits);
        let x = self.residual.map(|x| shr(x, scale));
        let Some(mut delay) = search(&x, lag) else { return 0 };
        let mut delayed = [0; SUBFRAME];
        if delay.phase == 0 {
            let from = PAST - delay.whole;
            delayed.copy_from_slice(&self.residual[from..from + SUBFRAME]);
        } else {
            prefer_long_filter(&x, &mut delay);
            delayed = delay.delayed.map(|y| shl(y, scale));
        }
        let (mut numerator, mut denominator) = (delay.numerator.value, delay.denominator.value);
        let difference = delay.numerator.shift - delay.denominator.shift;
        if difference >= 0 {
            denominator = shr(denominator, difference);
        } else {
            numerator = shl(numerator, difference);
        }
        let own = if numerator >= denominator {
            21_845
        } else {
            let (numerator, denominator) = (shr(numerator, 2), shr(denominator, 1));
            div_s(denominator, add(denominator, numerator))
        };
        let other = add(sub(32_767, own), 1);
        for ((out, &now), &past) in out.iter_mut().zip(&self.residual[PAST..]).zip(&delayed) {
            *out = round(l_mac(l_mult(own, now), other, past));
        }
        delay.whole as i16
    }

    fn short_term(&mut self, numerator: &Lpc, denominator: &Lpc, signal: &mut [i16; SUBFRAME]) {
        let mut h = [0; 20];
        h[..11].copy_from_slice(numerator);
        synthesis(denominator, &mut h, &[0; 10]);
        let r0 = dot(0, &h, &h);
        let norm = norm_l(r0);
        let r0 = extract_h(l_shl(r0, norm));
        let r1 = extract_h(l_shl(dot(0, &h[..19], &h[1..]), norm));
        let factor = if r0 < abs_s(r1) {
            0
        } else {
            let quotient = div_s(abs_s(r1), r0);
            if r1 > 0 { negate(quotient) } else { quotient }
        };
        let sum = h.iter().fold(0i32, |sum, &h| l_add(sum, i32::from(abs_s(h))));
        let level = extract_h(l_shl(sum, 14));
        if level > 1_024 {
            let scale = div_s(1_024, level);
            signal.iter_mut().for_each(|x| *x = mult_r(*x, scale));
        }
        let mut tilt_memory = self.tilt;
        synthesis(denominator, signal, &self.synthesis);
        self.synthesis = memory_of(signal);
        self.tilt = signal[SUBFRAME - 1];

        let (mu, half, shift) = if factor > 0 {
            (mult_r(factor, 6_554), 0x4000i16, 15)
        } else {
            (mult_r(factor, 29_491), 0x800i16, 12)
        };
        let gain = div_s(half, add(sub(1, abs_s(mu)), 32_767));
        let mu = shr(mu, 1);
        for sample in signal {
            let own = *sample;
            let sum = l_add(l_mac(l_shl(i32::from(own), 15), mu, tilt_memory), 0x4000);
            let t = extract_l(l_shr(sum, 15));
            *sample = sat16(l_shr(l_add(l_mult(t, gain), i32::from(half)), shift));
            tilt_memory = own;
        }
    }

    fn control_gain(&mut self, input: &[i16; SUBFRAME], output: &mut [i16; SUBFRAME]) {
        let level =
            |signal: &[i16; SUBFRAME]| signal.iter().fold(0, |sum, &x| l_add(sum, l_abs(i32::from(x))));
        let wanted = level(input);
        let target = if wanted == 0 {
            0
        } else {
            let norm = norm_l(wanted);
            let high = extract_h(l_shl(wanted, norm));
            let made = level(output);
            if made == 0 {
                self.gain = 0;
                return;
            }
            let made_norm = norm_l(made);
            let made = extract_h(l_shl(made, made_norm));
            let mut shift = norm - made_norm + 1;
            let ratio = if high < made {
                div_s(high, made)
            } else {
                shift -= 1;
                add(shr(div_s(sub(high, made), made), 1), 0x4000)
            };
            mult_r(shr(ratio, shift), 410)
        };
        for sample in output {
            self.gain = add(mult_r(32_358, self.gain), target);
            *sample = round(l_shl(l_mult(self.gain, *sample), 1));
        }
    }
}

/// Shifts a sum down to 16 bits.
fn shifted(sum: i32) -> Shifted {
    let shift = 16 - norm_l(sum);
    if shift > 0 && sum != 0 {
        Shifted { value: extract_l(l_shr(sum, shift)), shift }
    } else {
        Shifted { value: extract_l(sum), shift: 0 }
    }
}

/// The delay around `lag` whose signal is most like this subframe's; `None` when prediction would gain too little.
fn search(x: &[i16; PAST + SUBFRAME], lag: i16) -> Option<Delay> {
    let now = &x[PAST..];
    let own = energy_saturating(0, now);
    if own == 0 {
        return None;
    }
    let own = shifted(own);
    let past = |delay: usize| &x[PAST - delay..PAST - delay + SUBFRAME];
    let (mut most, mut whole) = (-1, 0);
    for delay in lag as usize - 1..=lag as usize + 1 {
        let value = dot(0, now, past(delay)).max(0);
        if value > most {
            (most, whole) = (value, delay);
        }
    }
    if most == 0 {
        return None;
    }
    let whole_energy = energy_saturating(0, past(whole));
    if whole_energy == 0 {
        return None;
    }
    let mut fractions = [[0i16; SUBFRAME + 1]; 7];
    let mut energies = [[0i32; 2]; 7];
    let mut largest = whole_energy;
    for (phase, (y, energy)) in fractions.iter_mut().zip(&mut energies).enumerate() {
        for (n, y) in y.iter_mut().enumerate() {
            let at = PAST + n + 1 - whole;
            let sum = (0..4).fold(0, |sum, i| l_mac(sum, LONG_TERM_SHORT[4 * phase + i], x[at - i]));
            *y = round(sum);
        }
        let middle = energy_saturating(0, &y[1..SUBFRAME]);
        *energy = [l_mac(middle, y[0], y[0]), l_mac(middle, y[SUBFRAME], y[SUBFRAME])];
        largest = largest.max(if abs_s(y[0]) > abs_s(y[SUBFRAME]) { energy[0] } else { energy[1] });
    }
    let shift = 16 - norm_l(largest);
    if shift <= 0 {
        return None;
    }
    let numerator_shift = shift.max(own.shift);
    let mut denominator = extract_l(l_shr(whole_energy, shift));
    let mut numerator = extract_l(l_shr(most, numerator_shift));
    let mut square = Split::of(l_mult(numerator, numerator));
    let mut best = (0, 1);
    for (phase, (y, energy)) in fractions.iter().zip(&energies).enumerate() {
        for offset in 0..2 {
            let value = dot(0, now, &y[offset..offset + SUBFRAME]).max(0);
            let value = extract_l(l_shr(value, numerator_shift));
            let value_square = Split::of(l_mult(value, value));
            let value_energy = extract_l(l_shr(energy[offset], shift));
            if l_sub(value_square.times_16(denominator), square.times_16(value_energy)) > 0 {
                (numerator, denominator, square) = (value, value_energy, value_square);
                best = (phase + 1, offset);
            }
        }
    }
    if numerator == 0 || denominator <= 1 {
        return None;
    }
    let (mut gained, mut needed) = (square.join(), l_mult(denominator, own.value));
    let alignment = 2 * numerator_shift - shift - own.shift + 1;
    if alignment < 0 {
        gained = l_shr(gained, -alignment);
    } else {
        needed = l_shr(needed, alignment);
    }
    if l_sub(gained, needed) < 0 {
        return None;
    }
    let (phase, offset) = best;
    let mut delayed = [0; SUBFRAME];
    if phase > 0 {
        delayed.copy_from_slice(&fractions[phase - 1][offset..offset + SUBFRAME]);
    }
    Some(Delay {
        whole: whole + 1 - offset,
        phase,
        numerator: Shifted { value: numerator, shift: numerator_shift },
        denominator: Shifted { value: denominator, shift },
        delayed,
    })
}

/// Takes the long interpolation filter's signal instead, where it predicts better.
fn prefer_long_filter(x: &[i16; PAST + SUBFRAME], delay: &mut Delay) {
    let mut long = [0; SUBFRAME];
    for (n, y) in long.iter_mut().enumerate() {
        let at = PAST + n + 8 - delay.whole;
        let filter = &LONG_TERM_LONG[16 * (delay.phase - 1)..16 * delay.phase];
        *y = round(filter.iter().enumerate().fold(0, |sum, (i, &c)| l_mac(sum, c, x[at - i])));
    }
    let numerator = shifted(dot(0, &x[PAST..], &long).max(0));
    let energy = energy_saturating(0, &long);
    if energy == 0 {
        return;
    }
    let denominator = shifted(energy);
    let (short, short_energy) = (delay.numerator, delay.denominator);
    let mut kept = Split::of(l_mult(short.value, short.value)).times_16(denominator.value);
    let mut other = Split::of(l_mult(numerator.value, numerator.value)).times_16(short_energy.value);
    let difference = (2 * short.shift + denominator.shift) - (2 * numerator.shift + short_energy.shift);
    if difference > 0 {
        other = l_shr(other, difference);
    } else {
        kept = l_shr(kept, -difference);
    }
    if kept < other {
        delay.delayed = long;
        delay.numerator = numerator;
        delay.denominator = denominator;
    }
}
