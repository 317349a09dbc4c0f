//! G.711 one sample at a time: the truth every kernel is compared with, and the kernel of machines without vectors.
//!
//! It reproduces the ITU software tools (G.191), which take the top 14 bits (mu-law) or 13 bits (A-law) of a
//! left-justified 16-bit sample and treat negative ones by their ones' complement. Other libraries differ from that
//! in 127 to 964 of the 65,536 inputs.

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
