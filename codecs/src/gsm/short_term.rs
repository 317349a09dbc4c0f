//! The short-term predictor (GSM 06.10 §5.2.4 to §5.2.10 and §5.3.2): reflection coefficients by way of logarithmic
//! area ratios, interpolated, and the lattice filters that use them.

use super::arithmetic::{headroom, magnitude, product, product_rounded, quotient};

/// Samples of a frame.
pub(super) const FRAME: usize = 160;

const SCALE: [i16; 8] = [20_480, 20_480, 20_480, 20_480, 13_964, 15_360, 8_534, 9_036];
const OFFSET: [i16; 8] = [0, 0, 2_048, -2_560, 94, -1_792, -341, -1_144];
const SMALLEST: [i16; 8] = [-32, -32, -16, -16, -8, -8, -4, -4];
const LARGEST: [i16; 8] = [31, 31, 15, 15, 7, 7, 3, 3];
const INVERSE_SCALE: [i16; 8] = [13_107, 13_107, 13_107, 13_107, 19_223, 17_476, 31_454, 29_708];

/// The codes of the area ratios of a pre-processed frame, which is changed by the scaling on the way.
pub(super) fn analyse(samples: &mut [i16; FRAME]) -> [u8; 8] {
    let mut ratios = reflection(autocorrelation(samples));
    for ratio in &mut ratios {
        let size = magnitude(*ratio);
        let size = match size {
            ..22_118 => size >> 1,
            22_118..31_130 => size - 11_059,
            _ => (size - 26_112) << 2,
        };
        *ratio = if *ratio < 0 { -size } else { size };
    }
    core::array::from_fn(|i| {
        let scaled = product(SCALE[i], ratios[i]).saturating_add(OFFSET[i]).saturating_add(256) >> 9;
        (scaled.clamp(SMALLEST[i], LARGEST[i]) - SMALLEST[i]) as u8
    })
}

fn autocorrelation(samples: &mut [i16; FRAME]) -> [i32; 9] {
    let largest = samples.iter().map(|s| magnitude(*s)).max().unwrap_or(0);
    let scale = if largest == 0 { 0 } else { 4 - headroom(i32::from(largest) << 16).min(4) };
    if scale > 0 {
        for sample in samples.iter_mut() {
            *sample = product_rounded(*sample, 16_384 >> (scale - 1));
        }
    }
    let sums = core::array::from_fn(|lag| {
        let pairs = samples[lag..].iter().zip(samples.iter());
        pairs.map(|(one, other)| i32::from(*one) * i32::from(*other)).sum::<i32>() << 1
    });
    if scale > 0 {
        for sample in samples.iter_mut() {
            *sample <<= scale;
        }
    }
    sums
}

/// Schur's recursion.
fn reflection(sums: [i32; 9]) -> [i16; 8] {
    let mut coefficients = [0; 8];
    if sums[0] == 0 {
        return coefficients;
    }
    let shift = headroom(sums[0]);
    let normalised: [i16; 9] = sums.map(|sum| ((sum << shift) >> 16) as i16);
    let mut forward = normalised;
    let mut backward = normalised;
    for n in 0..8 {
        let size = magnitude(forward[1]);
        if forward[0] < size {
            return coefficients;
        }
        let mut coefficient = quotient(size, forward[0]);
        if forward[1] > 0 {
            coefficient = -coefficient;
        }
        coefficients[n] = coefficient;
        if n == 7 {
            break;
        }
        forward[0] = forward[0].saturating_add(product_rounded(forward[1], coefficient));
        for m in 1..8 - n {
            let next = forward[m + 1];
            forward[m] = next.saturating_add(product_rounded(backward[m], coefficient));
            backward[m] = backward[m].saturating_add(product_rounded(next, coefficient));
        }
    }
    coefficients
}

/// The ratios that codes stand for.
fn dequantise(codes: [u8; 8]) -> [i16; 8] {
    core::array::from_fn(|i| {
        let coarse = (i16::from(codes[i]) + SMALLEST[i]) << 10;
        let half = product_rounded(INVERSE_SCALE[i], coarse.saturating_sub(OFFSET[i] << 1));
        half.saturating_add(half)
    })
}

fn to_reflection(ratio: i16) -> i16 {
    let size = magnitude(ratio);
    let size = match size {
        ..11_059 => size << 1,
        11_059..20_070 => size + 11_059,
        _ => (size >> 2).saturating_add(26_112),
    };
    if ratio < 0 { -size } else { size }
}

/// A lattice filter and the ratios of the frame before.
#[derive(Debug, Clone, Default)]
pub(super) struct Lattice {
    last_ratios: [i16; 8],
    delayed: [i16; 9],
}

impl Lattice {
    /// Takes the prediction out of a frame.
    pub(super) fn analyse(&mut self, codes: [u8; 8], samples: &mut [i16; FRAME]) {
        self.each_part(codes, samples, |lattice, coefficients, sample| {
            let (mut direct, mut saved) = (*sample, *sample);
            for (delayed, coefficient) in lattice.delayed.iter_mut().zip(coefficients) {
                let before = core::mem::replace(delayed, saved);
                saved = before.saturating_add(product_rounded(coefficient, direct));
                direct = direct.saturating_add(product_rounded(coefficient, before));
            }
            *sample = direct;
        });
    }

    /// Puts it back in.
    pub(super) fn synthesise(&mut self, codes: [u8; 8], samples: &mut [i16; FRAME]) {
        self.each_part(codes, samples, |lattice, coefficients, sample| {
            let mut value = *sample;
            for i in (0..8).rev() {
                value = value.saturating_sub(product_rounded(coefficients[i], lattice.delayed[i]));
                lattice.delayed[i + 1] =
                    lattice.delayed[i].saturating_add(product_rounded(coefficients[i], value));
            }
            lattice.delayed[0] = value;
            *sample = value;
        });
    }

    /// The ratios change in four steps at the frame's beginning.
    fn each_part(
        &mut self,
        codes: [u8; 8],
        samples: &mut [i16; FRAME],
        work: impl Fn(&mut Self, [i16; 8], &mut i16),
    ) {
        let (old, new) = (self.last_ratios, dequantise(codes));
        let mixed = |part: usize, old: i16, new: i16| match part {
            0 => (old >> 2).saturating_add(new >> 2).saturating_add(old >> 1),
            1 => (old >> 1).saturating_add(new >> 1),
            2 => (old >> 2).saturating_add(new >> 2).saturating_add(new >> 1),
            _ => new,
        };
        for (part, range) in [0..13, 13..27, 27..40, 40..FRAME].into_iter().enumerate() {
            let coefficients = core::array::from_fn(|i| to_reflection(mixed(part, old[i], new[i])));
            for sample in &mut samples[range] {
                work(self, coefficients, sample);
            }
        }
        self.last_ratios = new;
    }
}
