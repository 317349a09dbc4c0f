//! Telephone events, RFC 4733: digits and signals as named events in the media stream.
//!
//! [`Sender`] spells out a queue of events packet by packet, in segments when they are long; [`Receiver`] tells each
//! event exactly once, whatever was lost, repeated or reordered. Tones (§4) are not described, only named events.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod receiver;
mod sender;

pub use receiver::{Change, EndCause, Heard, Receiver, ReceiverConfig};
pub use sender::{EventPacket, Sender, SenderConfig};

use crate::error::ParseError;

/// An event code: 0–15 are DTMF (§3.2), others belong to further registries such as RFC 4734's for modems and fax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event(pub u8);

/// The keys of DTMF in the order of their codes.
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

impl Event {
    /// The hook flash of RFC 2833, which RFC 4733 deprecates and phones still send.
    pub const FLASH: Self = Self(16);
    /// Called terminal answering tone, RFC 4734 §3.1: a fax or modem answers.
    pub const ANSWER_TONE: Self = Self(32);
    /// The same with phase reversals.
    pub const ANSWER_TONE_REVERSED: Self = Self(33);
    /// Calling tone of a fax, RFC 4734 §3.1.
    pub const CALLING_TONE: Self = Self(36);

    /// The event of a key: `0`–`9`, `*`, `#`, `A`–`D` in either case.
    #[must_use]
    pub fn of_key(key: char) -> Option<Self> {
        let code = KEYS.iter().position(|known| *known == key.to_ascii_uppercase())?;
        u8::try_from(code).ok().map(Self)
    }

    /// The key of a DTMF event.
    #[must_use]
    pub fn key(self) -> Option<char> {
        KEYS.get(usize::from(self.0)).copied()
    }
}

/// The payload of one event packet, §2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Payload {
    /// Which event.
    pub event: Event,
    /// It is over.
    pub end: bool,
    /// Power in −dBm0, 0–63; meaningful for DTMF.
    pub volume: u8,
    /// Duration so far in clock units; 0xffff means that a segment is full.
    pub duration: u16,
}

impl Payload {
    /// Octets of a payload.
    pub const LENGTH: usize = 4;

    /// Reads the first event of a payload.
    ///
    /// # Errors
    /// When there are fewer than four octets.
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let Some(&[event, flags, d0, d1]) = payload.first_chunk::<4>() else {
            return Err(ParseError::new(payload.len(), "four octets of telephone event"));
        };
        Ok(Self {
            event: Event(event),
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([d0, d1]),
        })
    }

    /// The four octets; a volume above 63 is written as 63.
    #[must_use]
    pub fn octets(self) -> [u8; Self::LENGTH] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.event.0, u8::from(self.end) << 7 | self.volume.min(63), d0, d1]
    }
}

#[cfg(test)]
mod tests;
