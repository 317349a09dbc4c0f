//! One leg's packets made the other's (RFC 3550 §7: neither translator nor mixer, but an end of each leg).
//!
//! Only the fixed header changes: SSRC, sequence number, timestamp, payload type, and the marker where the feed
//! switches. Payload, CSRC list and extension pass as they are; nothing is decoded. Both legs must agree on clock
//! rates for the payload types that are mapped onto each other: this is for whoever fills the map to see to.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Instant;

use crate::{
    error::Misuse,
    packet::{HEADER_LENGTH, HeaderMut},
    sender::{Feed, Finding, Sender},
};

/// Which payload type of one leg becomes which of the other.
#[derive(Clone, PartialEq, Eq)]
pub struct PayloadMap([u8; 128]);

/// Marks a payload type that is not carried over.
const NOT_CARRIED: u8 = 0xff;

impl PayloadMap {
    /// A map that carries nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self([NOT_CARRIED; 128])
    }

    /// A map that carries everything as it is.
    #[must_use]
    pub fn everything() -> Self {
        Self(std::array::from_fn(|payload_type| payload_type as u8))
    }

    /// Carries `from` as `to`.
    ///
    /// # Errors
    /// When one of them is above 127.
    pub fn carry(&mut self, from: u8, to: u8) -> Result<(), Misuse> {
        if to > 127 {
            return Err(Misuse::NotAPayloadType(to));
        }
        *self.0.get_mut(usize::from(from)).ok_or(Misuse::NotAPayloadType(from))? = to;
        Ok(())
    }

    /// What `from` becomes.
    #[must_use]
    #[inline]
    pub fn get(&self, from: u8) -> Option<u8> {
        self.0.get(usize::from(from)).copied().filter(|to| *to != NOT_CARRIED)
    }
}

impl std::fmt::Debug for PayloadMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries((0..128u8).filter_map(|from| self.get(from).map(|to| (from, to)))).finish()
    }
}

/// Why a packet was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRelayed {
    /// Its payload type is not in the map.
    PayloadType(u8),
    /// It is older than the switch to its source: its number is taken.
    BeforeSwitch,
    /// It is no RTP packet.
    NotRtp,
}

/// Rewrites the header of `packet`, which has been received and found good, into a packet of `sender`.
///
/// # Errors
/// Says why it is not to be passed on; the packet is unchanged then.
#[inline]
pub fn rewrite(
    packet: &mut [u8],
    map: &PayloadMap,
    sender: &mut Sender,
    now: Instant,
) -> Result<(), NotRelayed> {
    let Some(&[first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3]) =
        packet.first_chunk::<HEADER_LENGTH>()
    else {
        return Err(NotRelayed::NotRtp);
    };
    if first >> 6 != 2 {
        return Err(NotRelayed::NotRtp);
    }
    let payload_type = map.get(second & 0x7f).ok_or(NotRelayed::PayloadType(second & 0x7f))?;
    let feed = Feed::Relayed(u32::from_be_bytes([i0, i1, i2, i3]));
    let sequence = u16::from_be_bytes([s0, s1]);
    let timestamp = u32::from_be_bytes([t0, t1, t2, t3]);
    let found = sender.find_place(feed, sequence, timestamp, now);
    if found == Finding::Taken {
        return Err(NotRelayed::BeforeSwitch);
    }
    let (sequence, timestamp) = sender.placed();
    if let Some(mut header) = HeaderMut::of(packet) {
        header.set_marker_and_payload_type(second & 0x80 != 0 || found == Finding::Switched, payload_type);
        header.set_sequence(sequence);
        header.set_timestamp(timestamp);
        header.set_ssrc(sender.ssrc());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
