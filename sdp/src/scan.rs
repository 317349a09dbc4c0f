//! The byte scanning that is worth the trouble within a line: eight bytes at a time in plain arithmetic.
//!
//! Each function has a slow twin in the tests, and agrees with it on everything.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Eight bytes from `at`, the first in the lowest place; zeros past the end.
#[inline]
pub(crate) fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(word) => u64::from_le_bytes(*word),
        None => load_end(bytes, at),
    }
}

#[inline(never)]
fn load_end(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or(&[]);
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The high bit of each byte that is `byte`; exact up to the first one.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ ONES.wrapping_mul(u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & HIGH
}

/// The high bit of each byte that separates fields: a space, a tab, any other control character, or the zeros past the
/// end; exact up to the first one.
#[inline]
fn separators(word: u64) -> u64 {
    word.wrapping_sub(ONES.wrapping_mul(0x21)) & !word & HIGH
}

/// Which byte the lowest high bit belongs to; 8 when there is none.
#[inline]
pub(crate) fn first(found: u64) -> usize {
    (found.trailing_zeros() >> 3) as usize
}

/// Where the field that begins at `at` ends: at a separator, or at `end`.
#[inline]
pub(crate) fn field_end(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while at < end {
        let found = separators(load(bytes, at));
        if found != 0 {
            return at.wrapping_add(first(found)).min(end);
        }
        at = at.wrapping_add(8);
    }
    end
}

/// The place of `byte` from `at` on; `end` when it is not there before.
#[inline]
pub(crate) fn find(bytes: &[u8], mut at: usize, end: usize, byte: u8) -> usize {
    while at < end {
        let found = equal(load(bytes, at), byte);
        if found != 0 {
            return at.wrapping_add(first(found)).min(end);
        }
        at = at.wrapping_add(8);
    }
    end
}

/// The number of `length` digits (1 to 8) at the beginning of a word; `None` when one is no digit.
#[inline]
pub(crate) fn digits(word: u64, length: usize) -> Option<u32> {
    // The digits are moved to the high end, so that zeros stand before them.
    let shift = 8_usize.wrapping_sub(length).wrapping_mul(8) as u32;
    let filled = (ONES.wrapping_mul(0x30)).unbounded_shl(shift);
    let values = word.unbounded_shl(shift).wrapping_sub(filled);
    if (values | values.wrapping_add(ONES.wrapping_mul(0x76))) & HIGH != 0 {
        return None;
    }
    // Tens and ones, then hundreds, then ten thousands, all at once.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some((low.wrapping_add(high) >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that the scans care about, and their neighbours.
    fn bytes() -> impl Strategy<Value = u8> {
        prop_oneof![
            proptest::sample::select(b"\0\x01\t\n\x0b\x0c\r\x0e\x1f !:/09\x7f\x80\x8a\x8d\xa0\xff".to_vec()),
            any::<u8>()
        ]
    }

    proptest! {
        #[test]
        fn searches_agree(text in proptest::collection::vec(bytes(), 0..40), at in 0..40_usize, end in 0..40_usize) {
            let end = end.min(text.len());
            let slow = |wanted: &dyn Fn(u8) -> bool| {
                (at..end).find(|place| wanted(text[*place])).unwrap_or(end)
            };
            prop_assert_eq!(field_end(&text, at, end), slow(&|byte| byte <= b' '));
            for byte in [b':', b'/', b' ', 0xff, 0x80] {
                prop_assert_eq!(find(&text, at, end, byte), slow(&|found| found == byte), "{}", byte);
            }
        }

        #[test]
        fn numbers_agree(text in "[0-9]{1,8}|[ -~]{1,8}", after in "[ -~]{0,8}") {
            let whole = format!("{text}{after}");
            let slow = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
            prop_assert_eq!(digits(load(whole.as_bytes(), 0), text.len()), slow);
        }
    }
}
