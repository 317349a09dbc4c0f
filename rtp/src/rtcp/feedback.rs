//! Feedback, RFC 4585 §6: generic NACK, PLI, and RFC 5104's FIR, TMMBR…, transport-cc as bytes to pass through.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Raw, begin, finish, packet_type, word};
use crate::error::{Misuse, ParseError};

/// Formats of transport-layer feedback.
pub mod transport_format {
    /// Generic NACK, RFC 4585 §6.2.1.
    pub const NACK: u8 = 1;
    /// Temporary maximum bit rate request, RFC 5104 §4.2.1.
    pub const TMMBR: u8 = 3;
    /// Its notification, RFC 5104 §4.2.2.
    pub const TMMBN: u8 = 4;
    /// Congestion control feedback, RFC 8888.
    pub const CONGESTION_CONTROL: u8 = 11;
    /// transport-cc, as browsers send it.
    pub const TRANSPORT_WIDE: u8 = 15;
}

/// Formats of payload-specific feedback.
pub mod payload_format {
    /// Picture loss indication, RFC 4585 §6.3.1.
    pub const PLI: u8 = 1;
    /// Slice loss indication, RFC 4585 §6.3.2.
    pub const SLI: u8 = 2;
    /// Full intra request, RFC 5104 §4.3.1.
    pub const FIR: u8 = 4;
    /// Application layer feedback, RFC 4585 §6.4 (REMB among them).
    pub const APPLICATION: u8 = 15;
}

/// A feedback message of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// The format, five bits, whose meaning depends on the kind.
    pub format: u8,
    /// Who sends the feedback.
    pub sender: u32,
    /// Which source it is about; 0 when the control information says.
    pub media: u32,
    /// Feedback control information, a multiple of four octets.
    pub information: &'a [u8],
}

impl<'a> Feedback<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let wrong = ParseError::new(raw.body.len(), "8 octets of feedback");
        let sender = word(raw.body, 0).ok_or(wrong)?;
        let media = word(raw.body, 4).ok_or(wrong)?;
        Ok(Self { format: raw.count, sender, media, information: raw.body.get(8..).unwrap_or(&[]) })
    }

    /// The sequence numbers a generic NACK asks for again. Meaningful for [`transport_format::NACK`] only.
    pub fn missing(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.information.as_chunks::<4>().0.iter().flat_map(|[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([*p0, *p1]);
            let mask = u16::from_be_bytes([*b0, *b1]);
            let following = (0..16u16).filter(move |bit| mask >> bit & 1 != 0);
            std::iter::once(first).chain(following.map(move |bit| first.wrapping_add(bit).wrapping_add(1)))
        })
    }

    /// The sources a full intra request asks, each with its request number. Meaningful for [`payload_format::FIR`].
    pub fn intra_requests(&self) -> impl Iterator<Item = (u32, u8)> + use<'a> {
        let entries = self.information.as_chunks::<8>().0.iter();
        entries.map(|[s0, s1, s2, s3, number, ..]| (u32::from_be_bytes([*s0, *s1, *s2, *s3]), *number))
    }

    /// Appends it as transport-layer feedback.
    ///
    /// # Errors
    /// When the control information is no multiple of four octets or longer than 1200, or the format above 31.
    pub fn write_transport(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.write(out, packet_type::TRANSPORT_FEEDBACK)
    }

    /// Appends it as payload-specific feedback.
    ///
    /// # Errors
    /// As [`Feedback::write_transport`].
    pub fn write_payload(&self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.write(out, packet_type::PAYLOAD_FEEDBACK)
    }

    fn write(&self, out: &mut Vec<u8>, packet_type: u8) -> Result<(), Misuse> {
        if !self.information.len().is_multiple_of(4) || self.information.len() > 1200 {
            return Err(Misuse::TooLong("feedback information is a multiple of four octets, at most 1200"));
        }
        if self.format > 31 {
            return Err(Misuse::OutOfRange("a feedback format is 0 to 31"));
        }
        let start = begin(out, self.format, packet_type);
        out.extend_from_slice(&self.sender.to_be_bytes());
        out.extend_from_slice(&self.media.to_be_bytes());
        out.extend_from_slice(self.information);
        finish(out, start);
        Ok(())
    }
}

/// The control information of a generic NACK for `missing`, which should be in order.
#[must_use]
pub fn nack_information(missing: &[u16]) -> Vec<u8> {
    let mut entries: Vec<(u16, u16)> = Vec::new();
    for &sequence in missing {
        match entries.last_mut() {
            Some((first, mask)) if (1..=16).contains(&sequence.wrapping_sub(*first)) => {
                let bit = sequence.wrapping_sub(*first).saturating_sub(1);
                *mask |= 1u16.checked_shl(u32::from(bit)).unwrap_or(0);
            }
            Some((first, _)) if *first == sequence => {}
            _ => entries.push((sequence, 0)),
        }
    }
    entries.iter().flat_map(|(first, mask)| [first.to_be_bytes(), mask.to_be_bytes()]).flatten().collect()
}
