//! Tables of 128 bytes for `vpermi2b`, all made of the scalar truth at compile time.

use crate::arch::scalar;

/// Magnitudes of the positive codes, indexed by a code's lower seven bits: lower and upper bytes.
pub(super) struct DecodeTables {
    pub(super) low: [[u8; 64]; 2],
    pub(super) high: [[u8; 64]; 2],
}

pub(super) static DECODE: [DecodeTables; 2] = [decode_tables(false), decode_tables(true)];
/// The other law's code of each of 256.
pub(super) static TRANSCODE: [[[u8; 64]; 4]; 2] = [transcode_table(false), transcode_table(true)];
/// How far to shift a biased magnitude with this upper byte.
pub(super) static SHIFT: [[[u8; 64]; 2]; 2] = [shift_table(3), shift_table(4)];
/// Which bytes of two vectors of words are the lower ones.
pub(super) static LOWER_BYTES: [u8; 64] = every_other_byte(0);
/// Which are the upper ones.
pub(super) static UPPER_BYTES: [u8; 64] = every_other_byte(1);

const fn decode_tables(a_law: bool) -> DecodeTables {
    let mut tables = DecodeTables { low: [[0; 64]; 2], high: [[0; 64]; 2] };
    let mut code = 0;
    while code < 128 {
        let positive = code as u8 | 0x80;
        let sample = if a_law { scalar::a_law_decode(positive) } else { scalar::mu_law_decode(positive) };
        let [low, high] = sample.to_le_bytes();
        tables.low[code / 64][code % 64] = low;
        tables.high[code / 64][code % 64] = high;
        code += 1;
    }
    tables
}

const fn transcode_table(a_law: bool) -> [[u8; 64]; 4] {
    let mut table = [[0; 64]; 4];
    let mut code = 0;
    while code < 256 {
        table[code / 64][code % 64] = if a_law {
            scalar::mu_law_encode(scalar::a_law_decode(code as u8))
        } else {
            scalar::a_law_encode(scalar::mu_law_decode(code as u8))
        };
        code += 1;
    }
    table
}

/// `lowest` for 0, and one more for each doubling; A-law's two lowest segments are shifted alike.
const fn shift_table(lowest: u8) -> [[u8; 64]; 2] {
    let mut table = [[0; 64]; 2];
    let mut upper = 0;
    while upper < 128 {
        let doublings = 8 - (upper as u8).leading_zeros() as u8;
        let shift = if lowest == 4 && doublings > 0 { lowest + doublings - 1 } else { lowest + doublings };
        table[upper / 64][upper % 64] = shift;
        upper += 1;
    }
    table
}

const fn every_other_byte(first: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut index = 0;
    while index < 64 {
        bytes[index] = 2 * index as u8 + first;
        index += 1;
    }
    bytes
}
