//! BYE, RFC 3550 §6.6.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Raw, begin, finish, packet_type};
use crate::error::ParseError;

/// A received goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goodbye<'a> {
    sources: &'a [u8],
    /// Why, when it says so.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Goodbye<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let Some((sources, rest)) = raw.body.split_at_checked(usize::from(raw.count).saturating_mul(4))
        else {
            return Err(ParseError::new(0, "as many sources as announced"));
        };
        let reason = match rest.split_first() {
            None => None,
            Some((&length, text)) => Some(
                text.get(..usize::from(length))
                    .ok_or(ParseError::new(sources.len(), "a reason as long as it says"))?,
            ),
        };
        Ok(Self { sources, reason: reason.filter(|text| !text.is_empty()) })
    }

    /// Who leaves, at most 31.
    pub fn sources(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.sources.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word))
    }
}

/// Appends a goodbye of one source; the reason is cut to its first 255 octets.
pub fn write(out: &mut Vec<u8>, ssrc: u32, reason: Option<&str>) {
    let start = begin(out, 1, packet_type::GOODBYE);
    out.extend_from_slice(&ssrc.to_be_bytes());
    if let Some(reason) = reason {
        let text = reason.as_bytes();
        let text = text.get(..255).unwrap_or(text);
        out.push(text.len() as u8);
        out.extend_from_slice(text);
    }
    finish(out, start);
}
