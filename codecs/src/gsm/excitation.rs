//! What is left after short-term prediction, a quarter of a frame at a time: the long-term predictor and the regular
//! pulses (GSM 06.10 §5.2.11 to §5.2.18 and §5.3.1).

use super::arithmetic::{headroom, magnitude, product, product_rounded};
use super::frame::Subframe;

/// Samples of a quarter frame.
pub(super) const SUBFRAME: usize = 40;
/// Samples the long-term predictor looks back on.
pub(super) const PAST: usize = 120;

const GAIN_DECISIONS: [i16; 3] = [6_554, 16_384, 26_214];
const GAINS: [i16; 4] = [3_277, 11_469, 21_299, 32_767];
const WEIGHTING: [i32; 11] = [-134, -374, 0, 2_054, 5_741, 8_192, 5_741, 2_054, 0, -374, -134];
const NORMALISING: [i16; 8] = [29_128, 26_215, 23_832, 21_846, 20_165, 18_725, 17_476, 16_384];
const DENORMALISING: [i16; 8] = [18_431, 20_479, 22_527, 24_575, 26_623, 28_671, 30_719, 32_767];

/// Codes a quarter frame, given what the decoder knows of the past; gives what the decoder will make of it.
pub(super) fn encode(residual: &[i16; SUBFRAME], past: &[i16; PAST]) -> (Subframe, [i16; SUBFRAME]) {
    let (lag, gain) = predict(residual, past);
    let predicted: [i16; SUBFRAME] = core::array::from_fn(|k| {
        product_rounded(GAINS[usize::from(gain)], past[PAST + k - usize::from(lag)])
    });
    let error = core::array::from_fn(|k| residual[k].saturating_sub(predicted[k]));
    let weighted = weigh(&error);
    let grid = choose_grid(&weighted);
    let chosen: [i16; 13] = core::array::from_fn(|i| weighted[grid + 3 * i]);
    let largest = chosen.iter().map(|pulse| magnitude(*pulse)).max().unwrap_or(0);
    let largest = logarithm(largest);
    let (exponent, mantissa) = exponent_and_mantissa(largest);
    let pulses = chosen.map(|pulse| {
        let shifted = pulse << (6 - exponent);
        ((product(shifted, NORMALISING[mantissa]) >> 12) + 4) as u8
    });
    let subframe = Subframe { lag, gain, grid: grid as u8, largest, pulses };
    let mut decoded = expand(&subframe);
    for (sample, predicted) in decoded.iter_mut().zip(predicted) {
        *sample = sample.saturating_add(predicted);
    }
    (subframe, decoded)
}

/// Decodes a quarter frame; `lag` is one from 40 to 120.
pub(super) fn decode(subframe: &Subframe, lag: usize, past: &[i16; PAST]) -> [i16; SUBFRAME] {
    let mut decoded = expand(subframe);
    let gain = GAINS[usize::from(subframe.gain & 3)];
    for (k, sample) in decoded.iter_mut().enumerate() {
        *sample = sample.saturating_add(product_rounded(gain, past[PAST + k - lag]));
    }
    decoded
}

/// The lag at which the past is most like the present, and the code of how much.
fn predict(residual: &[i16; SUBFRAME], past: &[i16; PAST]) -> (u8, u8) {
    let largest = residual.iter().map(|s| magnitude(*s)).max().unwrap_or(0);
    let room = if largest == 0 { 0 } else { headroom(i32::from(largest) << 16) };
    let scale = 6u32.saturating_sub(room);
    let scaled = residual.map(|s| i32::from(s >> scale));
    let (mut best_lag, mut best) = (40, 0);
    for lag in 40..=120 {
        let window = &past[PAST - lag..][..SUBFRAME];
        let sum: i32 = scaled.iter().zip(window).map(|(s, past)| s * i32::from(*past)).sum();
        if sum > best {
            (best_lag, best) = (lag, sum);
        }
    }
    let best = (best << 1) >> (6 - scale);
    let window = &past[PAST - best_lag..][..SUBFRAME];
    let power = window.iter().map(|past| i32::from(past >> 3) * i32::from(past >> 3)).sum::<i32>() << 1;
    let gain = if best <= 0 {
        0
    } else if best >= power {
        3
    } else {
        let shift = headroom(power);
        let (likeness, power) = (((best << shift) >> 16) as i16, ((power << shift) >> 16) as i16);
        GAIN_DECISIONS.iter().take_while(|decision| likeness > product(power, **decision)).count()
    };
    (best_lag as u8, gain as u8)
}

fn weigh(error: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    let mut padded = [0i32; SUBFRAME + 10];
    for (to, from) in padded[5..].iter_mut().zip(error) {
        *to = i32::from(*from);
    }
    core::array::from_fn(|k| {
        let sum: i32 = padded[k..].iter().zip(WEIGHTING).map(|(s, weight)| s * weight).sum();
        ((sum + 4_096) >> 13).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    })
}

/// The first grid with the most energy.
fn choose_grid(weighted: &[i16; SUBFRAME]) -> usize {
    let energy = |grid: usize| -> i32 {
        (0..13).map(|i| i32::from(weighted[grid + 3 * i] >> 2)).map(|s| s * s).sum::<i32>() << 1
    };
    let mut best = (0, energy(0));
    for grid in 1..4 {
        let energy = energy(grid);
        if energy > best.1 {
            best = (grid, energy);
        }
    }
    best.0
}

/// The six-bit code of the largest pulse.
fn logarithm(largest: i16) -> u8 {
    let mut exponent = 0;
    let mut rest = largest >> 9;
    while rest > 0 && exponent < 6 {
        exponent += 1;
        rest >>= 1;
    }
    ((largest >> (exponent + 5)) + (exponent << 3)) as u8
}

fn exponent_and_mantissa(code: u8) -> (i16, usize) {
    let code = i16::from(code);
    let mut exponent = if code > 15 { (code >> 3) - 1 } else { 0 };
    let mut mantissa = code - (exponent << 3);
    if mantissa == 0 {
        return (-4, 7);
    }
    while mantissa <= 7 {
        mantissa = mantissa << 1 | 1;
        exponent -= 1;
    }
    (exponent, usize::from((mantissa - 8).cast_unsigned() & 7))
}

/// The pulses on their grid.
fn expand(subframe: &Subframe) -> [i16; SUBFRAME] {
    let (exponent, mantissa) = exponent_and_mantissa(subframe.largest);
    let shift = 6 - exponent;
    let half = if shift > 0 { 1i16 << (shift - 1) } else { 0 };
    let mut out = [0; SUBFRAME];
    for (i, pulse) in subframe.pulses.iter().enumerate() {
        let level = (i16::from(*pulse & 7) * 2 - 7) << 12;
        let value = product_rounded(DENORMALISING[mantissa], level).saturating_add(half);
        out[usize::from(subframe.grid & 3) + 3 * i] = value >> shift;
    }
    out
}
