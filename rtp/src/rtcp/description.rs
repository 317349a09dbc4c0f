//! SDES, RFC 3550 §6.5: who a source says it is. Items are kept as bytes; CNAME is the one that matters.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Raw, begin, finish, packet_type};
use crate::error::ParseError;

/// A received source description; its chunks have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description<'a> {
    chunks: &'a [u8],
    count: u8,
}

/// Item types, RFC 3550 §12.2 and RFC 7941 (SDES items as header extensions use the same).
pub mod item_type {
    /// Canonical name.
    pub const CNAME: u8 = 1;
    /// User's name.
    pub const NAME: u8 = 2;
    /// Electronic mail address.
    pub const EMAIL: u8 = 3;
    /// Phone number.
    pub const PHONE: u8 = 4;
    /// Where the user is.
    pub const LOCATION: u8 = 5;
    /// Program and version.
    pub const TOOL: u8 = 6;
    /// Notice.
    pub const NOTE: u8 = 7;
    /// Private extension.
    pub const PRIVATE: u8 = 8;
}

/// What is said of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: u32,
    items: &'a [u8],
}

impl<'a> Description<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let mut rest = raw.body;
        for _ in 0..raw.count {
            let offset = raw.body.len().saturating_sub(rest.len());
            let Some((_, after)) = split_chunk(rest) else {
                return Err(ParseError::new(offset, "a chunk whose items end with a null octet"));
            };
            rest = after;
        }
        Ok(Self { chunks: raw.body, count: raw.count })
    }

    /// The chunks, at most 31.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut rest = self.chunks;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = split_chunk(rest)?;
            rest = after;
            Some(chunk)
        })
    }
}

impl<'a> Chunk<'a> {
    /// Type and text of each item.
    pub fn items(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (kind, text, after) = split_item(rest)?;
            rest = after;
            Some((kind, text))
        })
    }

    /// The canonical name.
    #[must_use]
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|(kind, _)| *kind == item_type::CNAME).map(|(_, text)| text)
    }
}

/// Appends a description of one source; a text is cut to its first 255 octets.
pub fn write(out: &mut Vec<u8>, ssrc: u32, items: &[(u8, &[u8])]) {
    let start = begin(out, 1, packet_type::DESCRIPTION);
    out.extend_from_slice(&ssrc.to_be_bytes());
    for (kind, text) in items {
        let text = text.get(..255).unwrap_or(text);
        out.push(*kind);
        out.push(text.len() as u8);
        out.extend_from_slice(text);
    }
    // At least one null octet ends the list; `finish` adds those that pad it.
    out.push(0);
    finish(out, start);
}

fn split_item(items: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, length], rest) = items.split_first_chunk::<2>()?;
    if *kind == 0 {
        return None;
    }
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((*kind, text, rest))
}

/// A chunk ends with one to four null octets, at a word boundary.
fn split_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (ssrc, items) = bytes.split_first_chunk::<4>()?;
    let mut rest = items;
    while let Some((_, _, after)) = split_item(rest) {
        rest = after;
    }
    if *rest.first()? != 0 {
        return None;
    }
    let used = items.len().checked_sub(rest.len())?;
    let end = used.checked_add(1)?.next_multiple_of(4);
    let (items, after) = items.split_at_checked(end)?;
    Some((Chunk { ssrc: u32::from_be_bytes(*ssrc), items: items.get(..used)? }, after))
}
