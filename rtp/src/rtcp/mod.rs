//! RTCP packets: compound as RFC 3550 §6.1 wants them and reduced size as RFC 5506 allows.
//!
//! One file a packet kind. [`Compound::parse`] checks the chain of headers (RFC 3550 A.2) before anything is read;
//! each packet's own lengths are checked when it is. Unknown kinds keep their bytes.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod application;
pub mod description;
pub mod extended;
pub mod feedback;
pub mod goodbye;
pub mod receiver_report;
pub mod sender_report;

use crate::error::ParseError;
use application::Application;
use description::Description;
use extended::Extended;
use feedback::Feedback;
use goodbye::Goodbye;
use receiver_report::ReceiverReport;
use sender_report::SenderReport;

/// Packet types, RFC 3550 §12.1, RFC 4585 §6.1 and RFC 3611 §2.
pub mod packet_type {
    /// SR.
    pub const SENDER_REPORT: u8 = 200;
    /// RR.
    pub const RECEIVER_REPORT: u8 = 201;
    /// SDES.
    pub const DESCRIPTION: u8 = 202;
    /// BYE.
    pub const GOODBYE: u8 = 203;
    /// APP.
    pub const APPLICATION: u8 = 204;
    /// RTPFB.
    pub const TRANSPORT_FEEDBACK: u8 = 205;
    /// PSFB.
    pub const PAYLOAD_FEEDBACK: u8 = 206;
    /// XR.
    pub const EXTENDED: u8 = 207;
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlPacket<'a> {
    /// SR.
    SenderReport(SenderReport<'a>),
    /// RR.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES.
    Description(Description<'a>),
    /// BYE.
    Goodbye(Goodbye<'a>),
    /// APP.
    Application(Application<'a>),
    /// Transport-layer feedback: NACK, transport-cc.
    TransportFeedback(Feedback<'a>),
    /// Payload-specific feedback: PLI, FIR.
    PayloadFeedback(Feedback<'a>),
    /// XR.
    Extended(Extended<'a>),
    /// A packet type this crate does not read.
    Unknown(Raw<'a>),
}

/// A packet as its header delimits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// The five bits after version and padding: a count, a subtype or a format.
    pub count: u8,
    /// The packet type.
    pub packet_type: u8,
    /// What follows the first four octets, without padding.
    pub body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Reads the packet by its type.
    ///
    /// # Errors
    /// When the body is shorter than what it announces. Offsets count from the start of the body.
    pub fn read(self) -> Result<ControlPacket<'a>, ParseError> {
        Ok(match self.packet_type {
            packet_type::SENDER_REPORT => ControlPacket::SenderReport(SenderReport::read(self)?),
            packet_type::RECEIVER_REPORT => ControlPacket::ReceiverReport(ReceiverReport::read(self)?),
            packet_type::DESCRIPTION => ControlPacket::Description(Description::read(self)?),
            packet_type::GOODBYE => ControlPacket::Goodbye(Goodbye::read(self)?),
            packet_type::APPLICATION => ControlPacket::Application(Application::read(self)?),
            packet_type::TRANSPORT_FEEDBACK => ControlPacket::TransportFeedback(Feedback::read(self)?),
            packet_type::PAYLOAD_FEEDBACK => ControlPacket::PayloadFeedback(Feedback::read(self)?),
            packet_type::EXTENDED => ControlPacket::Extended(Extended::read(self)?),
            _ => ControlPacket::Unknown(self),
        })
    }
}

/// A datagram of RTCP packets whose headers add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks every header: version 2, lengths that end where the datagram ends, padding in the last packet only.
    ///
    /// # Errors
    /// Says which header is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = bytes;
        let offset = |rest: &[u8]| bytes.len().saturating_sub(rest.len());
        loop {
            let at = offset(rest);
            let Some((raw, padded, after)) = split(rest) else {
                return Err(ParseError::new(at, "an RTCP packet of version 2 with a length that fits"));
            };
            if !(192..=223).contains(&raw.packet_type) {
                return Err(ParseError::new(at.saturating_add(1), "an RTCP packet type"));
            }
            if after.is_empty() {
                return Ok(Self { bytes });
            }
            if padded {
                return Err(ParseError::new(at, "padding in the last packet only"));
            }
            rest = after;
        }
    }

    /// The packets in order.
    pub fn packets(self) -> impl Iterator<Item = Raw<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (raw, _, after) = split(rest)?;
            rest = after;
            Some(raw)
        })
    }

    /// Whether it is of reduced size: it does not begin with a report (RFC 5506).
    #[must_use]
    pub fn is_reduced_size(self) -> bool {
        !matches!(
            self.packets().next(),
            Some(Raw { packet_type: packet_type::SENDER_REPORT | packet_type::RECEIVER_REPORT, .. })
        )
    }

    /// The SSRC of whom it comes from: the first word of the first packet.
    #[must_use]
    pub fn sender_ssrc(self) -> Option<u32> {
        self.packets().next().and_then(|raw| word(raw.body, 0))
    }
}

/// The first packet, whether it is padded, and what follows it.
fn split(bytes: &[u8]) -> Option<(Raw<'_>, bool, &[u8])> {
    let ([first, packet_type, length @ ..], _) = bytes.split_first_chunk::<4>()?;
    if first >> 6 != 2 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(*length)).saturating_add(1).saturating_mul(4);
    let (packet, after) = bytes.split_at_checked(length)?;
    let mut body = packet.get(4..)?;
    let padded = first & 0x20 != 0;
    if padded {
        let count = usize::from(*body.last()?);
        if count == 0 || count % 4 != 0 {
            return None;
        }
        body = body.get(..body.len().checked_sub(count)?)?;
    }
    Some((Raw { count: first & 0x1f, packet_type: *packet_type, body }, padded, after))
}

/// The 32-bit word at octet `offset`.
pub(crate) fn word(body: &[u8], offset: usize) -> Option<u32> {
    body.get(offset..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// Starts a packet; returns the position to hand to [`finish`].
pub(crate) fn begin(out: &mut Vec<u8>, count: u8, packet_type: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count & 0x1f, packet_type, 0, 0]);
    start
}

/// Pads to a whole word and writes the length. Bodies here never reach 65536 words.
pub(crate) fn finish(out: &mut Vec<u8>, start: usize) {
    while !out.len().saturating_sub(start).is_multiple_of(4) {
        out.push(0);
    }
    let words = (out.len().saturating_sub(start) / 4).saturating_sub(1);
    let length = u16::try_from(words).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(room) = out.get_mut(start.saturating_add(2)..start.saturating_add(4)) {
        room.copy_from_slice(&length);
    }
}

#[cfg(test)]
mod tests;
