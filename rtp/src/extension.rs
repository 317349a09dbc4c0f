//! Header extensions, RFC 8285: elements in one- and two-byte form, and the audio levels of RFC 6464 and RFC 6465.
//!
//! Which identifier means what is negotiated in the session description; here identifiers are numbers.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{error::Misuse, packet::Extension};

/// Profile word of the one-byte form.
pub const ONE_BYTE: u16 = 0xbede;

/// Profile word of the two-byte form with application bits 0; its low four bits are free (RFC 8285 §4.3).
pub const TWO_BYTE: u16 = 0x1000;

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// 1–14 in the one-byte form, 1–255 in the two-byte form.
    pub id: u8,
    /// 1–16 octets in the one-byte form, 0–255 in the two-byte form.
    pub data: &'a [u8],
}

/// The elements of an extension: none when its profile word is not one of RFC 8285.
///
/// Reading ends without complaint at an element that is cut short, and at identifier 15 of the one-byte form, as
/// RFC 8285 §4.2 asks; what came before is good.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    two_byte: bool,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of `extension`.
    #[must_use]
    pub const fn of(extension: Extension<'a>) -> Self {
        match extension.profile {
            ONE_BYTE => Self { two_byte: false, rest: extension.data },
            profile if profile & 0xfff0 == TWO_BYTE => Self { two_byte: true, rest: extension.data },
            _ => Self { two_byte: false, rest: &[] },
        }
    }

    /// The first element with this identifier.
    #[must_use]
    pub fn find(mut self, id: u8) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |element| element.id == id).map(|element| element.data)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, length, rest) = if self.two_byte {
                let (&length, rest) = rest.split_first()?;
                (first, usize::from(length), rest)
            } else {
                (first >> 4, usize::from(first & 0x0f).saturating_add(1), rest)
            };
            // One-byte: 0 with a length is a padding octet that lies; skip it as one octet. 15 ends the list.
            if !self.two_byte && id == 0 {
                self.rest = rest;
                continue;
            }
            if !self.two_byte && id == 15 {
                self.rest = &[];
                return None;
            }
            let Some((data, rest)) = rest.split_at_checked(length) else {
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            return Some(Element { id, data });
        }
    }
}

/// Collects elements into the data of an extension, in a buffer of the caller.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    used: usize,
    two_byte: bool,
}

impl<'a> Writer<'a> {
    /// The one-byte form: identifiers 1–14, 1–16 octets each.
    #[must_use]
    pub const fn one_byte(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0, two_byte: false }
    }

    /// The two-byte form: identifiers 1–255, 0–255 octets each.
    #[must_use]
    pub const fn two_byte(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0, two_byte: true }
    }

    /// Adds one element.
    ///
    /// # Errors
    /// When identifier or length do not exist in this form, or the buffer is full.
    pub fn push(&mut self, id: u8, data: &[u8]) -> Result<(), Misuse> {
        let mut head = [0; 2];
        let length =
            u8::try_from(data.len()).map_err(|_| Misuse::TooLong("an element holds at most 255 octets"))?;
        let head: &[u8] = if self.two_byte {
            if id == 0 {
                return Err(Misuse::OutOfRange("identifiers of the two-byte form are 1 to 255"));
            }
            head = [id, length];
            &head
        } else {
            if !(1..=14).contains(&id) {
                return Err(Misuse::OutOfRange("identifiers of the one-byte form are 1 to 14"));
            }
            if !(1..=16).contains(&length) {
                return Err(Misuse::OutOfRange("elements of the one-byte form have 1 to 16 octets"));
            }
            head[0] = id << 4 | length.saturating_sub(1);
            head.get(..1).unwrap_or(&[])
        };
        let needed = self.used.saturating_add(head.len()).saturating_add(data.len());
        let available = self.buffer.len();
        let Some(room) = self.buffer.get_mut(self.used..needed) else {
            return Err(Misuse::BufferTooSmall { needed, available });
        };
        let (head_room, data_room) = room.split_at_mut(head.len());
        head_room.copy_from_slice(head);
        data_room.copy_from_slice(data);
        self.used = needed;
        Ok(())
    }

    /// Pads to whole words.
    ///
    /// # Errors
    /// When the buffer has no room for the padding.
    pub fn finish(self) -> Result<Extension<'a>, Misuse> {
        let needed = self.used.next_multiple_of(4);
        let available = self.buffer.len();
        let Some(data) = self.buffer.get_mut(..needed) else {
            return Err(Misuse::BufferTooSmall { needed, available });
        };
        if let Some(padding) = data.get_mut(self.used..) {
            padding.fill(0);
        }
        Ok(Extension { profile: if self.two_byte { TWO_BYTE } else { ONE_BYTE }, data })
    }
}

/// How loud the sender says he is, RFC 6464.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// The sender believes this is speech.
    pub voice: bool,
    /// Level in −dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads an element of RFC 6464; `None` when it is empty.
    #[must_use]
    pub const fn parse(data: &[u8]) -> Option<Self> {
        match data {
            &[octet, ..] => Some(Self { voice: octet & 0x80 != 0, level: octet & 0x7f }),
            [] => None,
        }
    }

    /// The element's one octet; levels above 127 are written as 127.
    #[must_use]
    pub const fn octet(self) -> u8 {
        let level = if self.level > 127 { 127 } else { self.level };
        (self.voice as u8) << 7 | level
    }
}

/// The levels a mixer saw, RFC 6465, one for each contributing source in their order: −dBov, 0–127.
pub fn mixer_levels(data: &[u8]) -> impl Iterator<Item = u8> + '_ {
    data.iter().map(|octet| octet & 0x7f)
}
