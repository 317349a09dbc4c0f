//! APP, RFC 3550 §6.7: carried, not understood.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Raw, begin, finish, packet_type, word};
use crate::error::{Misuse, ParseError};

/// An application-defined packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application<'a> {
    /// 0–31, the application's.
    pub subtype: u8,
    /// Whose packet it is.
    pub ssrc: u32,
    /// Four ASCII characters.
    pub name: [u8; 4],
    /// A multiple of four octets.
    pub data: &'a [u8],
}

impl<'a> Application<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let wrong = ParseError::new(raw.body.len(), "8 octets of application packet");
        let ssrc = word(raw.body, 0).ok_or(wrong)?;
        let name = word(raw.body, 4).ok_or(wrong)?.to_be_bytes();
        Ok(Self { subtype: raw.count, ssrc, name, data: raw.body.get(8..).unwrap_or(&[]) })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// When the data is no multiple of four octets or longer than 1000, or the subtype above 31.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !self.data.len().is_multiple_of(4) || self.data.len() > 1000 {
            return Err(Misuse::TooLong("application data is a multiple of four octets, at most 1000"));
        }
        if self.subtype > 31 {
            return Err(Misuse::OutOfRange("an application subtype is 0 to 31"));
        }
        let start = begin(out, self.subtype, packet_type::APPLICATION);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&self.name);
        out.extend_from_slice(self.data);
        finish(out, start);
        Ok(())
    }
}
