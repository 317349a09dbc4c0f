//! G.711 one sample at a time: the truth every kernel is compared with, and the kernel of machines without vectors.
//!
//! It reproduces the ITU software tools (G.191), which take the top 14 bits (mu-law) or 13 bits (A-law) of a
//! left-justified 16-bit sample and treat negative ones by their ones' complement. Other libraries differ from that
//! in 127 to 964 of the 65,536 inputs.

use crate::kernel::{Kernel, LawKernel, Sums};

/// Half of the first mu-law step, in 14-bit units (G.711 Table 2): makes all segments powers of two long.
const MU_LAW_BIAS: u16 = 33;
/// The largest biased magnitude that mu-law can say, in 14-bit units.
const MU_LAW_CLIP: u16 = 0x1fff;
/// A-law inverts every other bit of what it transmits (G.711 §4, Table 1 note 2).
const A_LAW_EVEN_BITS: u8 = 0x55;

/// Mu-law of one sample.
pub(crate) const fn mu_law_encode(sample: i16) -> u8 {
    let sign = (sample >> 15) as u16; // all ones when negative
    let magnitude = ((sample as u16) ^ sign) >> 2;
    let biased = magnitude + MU_LAW_BIAS;
    let biased = if biased > MU_LAW_CLIP { MU_LAW_CLIP } else { biased };
    let segment = 15 - biased.leading_zeros() - 5; // 0..=7: biased is 33..=0x1fff
    let step = (biased >> (segment + 1)) & 0x0f;
    let code = ((segment as u8) << 4) | step as u8;
    !(code | (sign as u8 & 0x80))
}

/// The sample a mu-law code stands for.
pub(crate) const fn mu_law_decode(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0f) as i16;
    let magnitude = (((step << 1) + MU_LAW_BIAS as i16) << segment) - MU_LAW_BIAS as i16;
    let sample = magnitude << 2;
    if code & 0x80 != 0 { -sample } else { sample }
}

/// A-law of one sample.
pub(crate) const fn a_law_encode(sample: i16) -> u8 {
    let sign = (sample >> 15) as u16; // all ones when negative
    let magnitude = ((sample as u16) ^ sign) >> 4; // 0..=2047
    let code = if magnitude < 32 {
        magnitude as u8
    } else {
        let segment = 11 - (magnitude.leading_zeros() - 5) - 4; // 2..=7
        ((segment as u8) << 4) | ((magnitude >> (segment - 1)) & 0x0f) as u8
    };
    (code | (!sign as u8 & 0x80)) ^ A_LAW_EVEN_BITS
}

/// The sample an A-law code stands for.
pub(crate) const fn a_law_decode(code: u8) -> i16 {
    let code = code ^ A_LAW_EVEN_BITS;
    let segment = (code >> 4) & 0x07;
    let step = ((code & 0x0f) as i16) << 4;
    let sample = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    if code & 0x80 != 0 { sample } else { -sample }
}

pub(crate) const KERNEL: Kernel = Kernel {
    name: "scalar",
    mu: LawKernel {
        encode: |samples, codes| encode(samples, codes, mu_law_encode),
        decode: |codes, samples| decode(codes, samples, mu_law_decode),
        decode_level: |codes, samples| decode_level(codes, samples, mu_law_decode),
        transcode: |codes| map(codes, |code| a_law_encode(mu_law_decode(code))),
        mix: |sum, codes| mix(sum, codes, mu_law_decode, mu_law_encode),
        gain: |codes, gain| map(codes, |code| mu_law_encode(amplify(mu_law_decode(code), gain))),
    },
    a: LawKernel {
        encode: |samples, codes| encode(samples, codes, a_law_encode),
        decode: |codes, samples| decode(codes, samples, a_law_decode),
        decode_level: |codes, samples| decode_level(codes, samples, a_law_decode),
        transcode: |codes| map(codes, |code| mu_law_encode(a_law_decode(code))),
        mix: |sum, codes| mix(sum, codes, a_law_decode, a_law_encode),
        gain: |codes, gain| map(codes, |code| a_law_encode(amplify(a_law_decode(code), gain))),
    },
};

/// `sample` times `gain` / 2^11, rounded half up, saturated.
pub(crate) fn amplify(sample: i16, gain: i16) -> i16 {
    let product = (i32::from(sample) * i32::from(gain) + 1_024) >> 11;
    product.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[inline(always)]
fn encode(samples: &[i16], codes: &mut [u8], law: impl Fn(i16) -> u8) {
    codes.iter_mut().zip(samples).for_each(|(code, sample)| *code = law(*sample));
}

#[inline(always)]
fn decode(codes: &[u8], samples: &mut [i16], law: impl Fn(u8) -> i16) {
    samples.iter_mut().zip(codes).for_each(|(sample, code)| *sample = law(*code));
}

#[inline(always)]
fn decode_level(codes: &[u8], samples: &mut [i16], law: impl Fn(u8) -> i16) -> Sums {
    let mut sums = Sums::default();
    for (sample, code) in samples.iter_mut().zip(codes) {
        *sample = law(*code);
        let magnitude = sample.unsigned_abs();
        sums.squares += u64::from(magnitude) * u64::from(magnitude);
        sums.peak = sums.peak.max(magnitude);
    }
    sums
}

#[inline(always)]
fn map(codes: &mut [u8], change: impl Fn(u8) -> u8) {
    codes.iter_mut().for_each(|code| *code = change(*code));
}

#[inline(always)]
fn mix(sum: &mut [u8], codes: &[u8], decode: impl Fn(u8) -> i16, encode: impl Fn(i16) -> u8) {
    for (sum, code) in sum.iter_mut().zip(codes) {
        *sum = encode(decode(*sum).saturating_add(decode(*code)));
    }
}
