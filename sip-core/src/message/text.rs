//! Whether a head is text: UTF-8 without control characters.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::Problem;

/// The first byte that does not belong into a head: a control character that is not escaped, or what is not UTF-8.
/// The reader has seen to carriage returns and line feeds, and counted them.
pub(super) fn check_text(head: &[u8], line_break_bytes: usize) -> Option<(usize, Problem)> {
    // Bytes that are not visible ASCII or a space. One compare a byte in vector code; in nearly every message they are
    // the line breaks and nothing else.
    let mut unusual = 0_usize;
    for chunk in head.chunks(240) {
        let in_chunk =
            chunk.iter().fold(0_u8, |sum, byte| sum.wrapping_add(u8::from(byte.wrapping_sub(0x20) > 0x5e)));
        unusual = unusual.wrapping_add(usize::from(in_chunk));
    }
    if unusual == line_break_bytes {
        return None;
    }
    if let Err(error) = std::str::from_utf8(head) {
        return Some((error.valid_up_to(), Problem::NotUtf8));
    }
    find_control_character(head).map(|at| (at, Problem::ControlCharacter))
}

/// The first control character that is neither part of a line break nor behind a backslash. A carriage return alone would end
/// a line for some and not for others, so nothing excuses it.
fn find_control_character(head: &[u8]) -> Option<usize> {
    let mut before = 0_u8;
    for (at, &byte) in head.iter().enumerate() {
        let is_excused = match byte {
            b'\t' | b'\n' => true,
            b'\r' => head.get(at.saturating_add(1)) == Some(&b'\n'),
            _ => before == b'\\',
        };
        if byte.is_ascii_control() && !is_excused {
            return Some(at);
        }
        before = byte;
    }
    None
}
