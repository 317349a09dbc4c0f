//! CRC-32 (ITU-T V.42), by which a STUN message is told from other protocols (RFC 8489 section 14.7).
//!
//! Sixteen bytes at a step by tables made at compile time, and a byte at a step for the rest.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::AttributeKind;
use super::message::Message;
use super::writer::Writer;

/// What the checksum is combined with, so that a CRC of the carrier's own is not mistaken for it.
const MASK: u32 = 0x5354_554E;

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "run at compile time, with fixed bounds"
)]
const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0_u32; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut table = 1;
    while table < 16 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

static TABLES: [[u32; 256]; 16] = tables();

/// CRC-32 of `bytes`, going on from `state`; begin with all ones, and invert the end.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]
fn update(mut state: u32, bytes: &[u8]) -> u32 {
    let t = &TABLES;
    let (chunks, rest) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = *chunk;
        let [s0, s1, s2, s3] = state.to_le_bytes();
        state = t[15][usize::from(b0 ^ s0)]
            ^ t[14][usize::from(b1 ^ s1)]
            ^ t[13][usize::from(b2 ^ s2)]
            ^ t[12][usize::from(b3 ^ s3)]
            ^ t[11][usize::from(b4)]
            ^ t[10][usize::from(b5)]
            ^ t[9][usize::from(b6)]
            ^ t[8][usize::from(b7)]
            ^ t[7][usize::from(b8)]
            ^ t[6][usize::from(b9)]
            ^ t[5][usize::from(b10)]
            ^ t[4][usize::from(b11)]
            ^ t[3][usize::from(b12)]
            ^ t[2][usize::from(b13)]
            ^ t[1][usize::from(b14)]
            ^ t[0][usize::from(b15)];
    }
    for byte in rest {
        let [low, ..] = state.to_le_bytes();
        state = (state >> 8) ^ t[0][usize::from(low ^ byte)];
    }
    state
}

/// CRC-32 of `bytes`.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    !update(u32::MAX, bytes)
}

impl Message<'_> {
    /// Whether the FINGERPRINT is right; `None` when there is none.
    #[must_use]
    pub fn fingerprint(&self) -> Option<bool> {
        let (at, value) = self.fingerprint_place()?;
        let before = self.bytes().get(..at)?;
        Some(value == (crc32(before) ^ MASK).to_be_bytes())
    }
}

impl Writer<'_> {
    /// Adds FINGERPRINT, which must be the last attribute.
    pub fn fingerprint(&mut self) {
        let after = self.written().saturating_add(8);
        self.set_length(after);
        let sum = crc32(self.so_far()) ^ MASK;
        self.attribute(AttributeKind::FINGERPRINT, &sum.to_be_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value_comes_out() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn sixteen_bytes_at_a_step_give_what_single_bytes_give() {
        let bytes: Vec<u8> = (0..100_u32).map(|n| (n * 37 % 256) as u8).collect();
        for length in 0..bytes.len() {
            let slow = bytes[..length].chunks(1).fold(u32::MAX, update);
            assert_eq!(crc32(&bytes[..length]), !slow, "{length}");
        }
    }
}
