//! RTP packets in place, RFC 3550 §5.1: a view over received bytes, a header that is written into the caller's
//! buffer, and a mutable fixed header for relays.
//!
//! The view checks lengths (version, CSRC list, extension, padding) and judges nothing else.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::{Misuse, ParseError};

/// Octets of the fixed header.
pub const HEADER_LENGTH: usize = 12;

/// A received RTP packet: every length in it has been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    header: &'a [u8; HEADER_LENGTH],
    /// Everything after the fixed header.
    rest: &'a [u8],
    /// Octets of CSRC list and extension at the start of `rest`.
    variable: u32,
    /// Octets of padding at its end.
    padding: u8,
}

/// The header extension as it stands: its profile word and its data, a multiple of four octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The first 16 bits: 0xBEDE and 0x100X are RFC 8285, see [`crate::extension`].
    pub profile: u16,
    /// What follows the length.
    pub data: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a plain (not encrypted) packet.
    ///
    /// # Errors
    /// Says which length is wrong and where.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LENGTH>() else {
            return Err(ParseError::new(bytes.len(), "a fixed header of 12 octets"));
        };
        // Version 2, no padding, no extension, no CSRC: nearly every packet there is.
        if header[0] == 0x80 {
            return Ok(Self { header, rest, variable: 0, padding: 0 });
        }
        Self::parse_rest(header, rest)
    }

    fn parse_rest(header: &'a [u8; HEADER_LENGTH], rest: &'a [u8]) -> Result<Self, ParseError> {
        let first = header[0];
        if first >> 6 != 2 {
            return Err(ParseError::new(0, "version 2"));
        }
        let (_, _, payload) = split_variable(first, rest)?;
        let padding = if first & 0x20 == 0 { 0 } else { padding_of(payload)? };
        // An extension is shorter than 2^18 octets.
        let variable = rest.len().saturating_sub(payload.len()) as u32;
        Ok(Self { header, rest, variable, padding })
    }

    /// The marker bit: the first packet of a talk-spurt, for audio.
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    /// The payload type, 0–127.
    #[must_use]
    pub const fn payload_type(&self) -> u8 {
        self.header[1] & 0x7f
    }

    /// The sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The timestamp, in units of the payload type's clock.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.header[4], self.header[5], self.header[6], self.header[7]])
    }

    /// The synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.header[8], self.header[9], self.header[10], self.header[11]])
    }

    /// The contributing sources, at most 15.
    pub fn csrc(&self) -> impl Iterator<Item = u32> + use<'a> {
        let csrc = self.rest.get(..usize::from(self.header[0] & 0x0f).saturating_mul(4)).unwrap_or(&[]);
        csrc.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// The header extension, when there is one.
    #[must_use]
    pub fn extension(&self) -> Option<Extension<'a>> {
        split_variable(self.header[0], self.rest).ok()?.1
    }

    /// The payload without padding.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        let end = self.rest.len().saturating_sub(usize::from(self.padding));
        self.rest.get(self.variable as usize..end).unwrap_or(&[])
    }

    /// Octets of padding, the count octet included; 0 when the padding bit is not set.
    #[must_use]
    pub const fn padding(&self) -> u8 {
        self.padding
    }
}

impl std::fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("ssrc", &format_args!("{:08x}", self.ssrc()))
            .field("sequence", &self.sequence())
            .field("timestamp", &self.timestamp())
            .field("payload_type", &self.payload_type())
            .field("marker", &self.marker())
            .field("payload_octets", &self.payload().len())
            .finish()
    }
}

/// Octets of header, CSRC list and extension: what SRTP leaves in the clear.
///
/// # Errors
/// As [`Packet::parse`], but padding is not looked at: under SRTP it is encrypted.
#[inline]
pub(crate) fn clear_length(bytes: &[u8]) -> Result<usize, ParseError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LENGTH>() else {
        return Err(ParseError::new(bytes.len(), "a fixed header of 12 octets"));
    };
    if header[0] & !0x20 == 0x80 {
        return Ok(HEADER_LENGTH);
    }
    if header[0] >> 6 != 2 {
        return Err(ParseError::new(0, "version 2"));
    }
    let (_, _, payload) = split_variable(header[0], rest)?;
    Ok(bytes.len().saturating_sub(payload.len()))
}

type Variable<'a> = (&'a [u8], Option<Extension<'a>>, &'a [u8]);

/// CSRC list, extension, remainder.
fn split_variable(first: u8, rest: &[u8]) -> Result<Variable<'_>, ParseError> {
    let csrc_length = usize::from(first & 0x0f).saturating_mul(4);
    let Some((csrc, rest)) = rest.split_at_checked(csrc_length) else {
        return Err(ParseError::new(HEADER_LENGTH, "as many CSRCs as announced"));
    };
    if first & 0x10 == 0 {
        return Ok((csrc, None, rest));
    }
    let offset = HEADER_LENGTH.saturating_add(csrc_length);
    let Some(([p0, p1, l0, l1], rest)) = rest.split_first_chunk::<4>() else {
        return Err(ParseError::new(offset, "an extension header"));
    };
    let length = usize::from(u16::from_be_bytes([*l0, *l1])).saturating_mul(4);
    let Some((data, rest)) = rest.split_at_checked(length) else {
        return Err(ParseError::new(offset.saturating_add(4), "as much extension as announced"));
    };
    Ok((csrc, Some(Extension { profile: u16::from_be_bytes([*p0, *p1]), data }), rest))
}

/// How much padding ends the payload.
fn padding_of(payload: &[u8]) -> Result<u8, ParseError> {
    match payload.last() {
        Some(&count) if count > 0 && usize::from(count) <= payload.len() => Ok(count),
        _ => Err(ParseError::new(HEADER_LENGTH, "a padding count that fits")),
    }
}

/// What goes before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header<'a> {
    /// The marker bit.
    pub marker: bool,
    /// 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in clock units.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Contributing sources, at most 15.
    pub csrc: &'a [u32],
    /// Extension; the data must be a multiple of four octets.
    pub extension: Option<Extension<'a>>,
    /// Octets of padding, the count octet included; 0 for none.
    pub padding: u8,
}

impl Header<'_> {
    /// Octets before the payload.
    #[must_use]
    pub fn length(&self) -> usize {
        let extension = self.extension.map_or(0, |extension| extension.data.len().saturating_add(4));
        HEADER_LENGTH.saturating_add(self.csrc.len().saturating_mul(4)).saturating_add(extension)
    }

    /// Writes header, payload and padding to the start of `buffer`; returns how many octets.
    ///
    /// # Errors
    /// When the buffer is too small or a field out of range; nothing that matters has been written then.
    #[inline]
    pub fn write(&self, payload: &[u8], buffer: &mut [u8]) -> Result<usize, Misuse> {
        let length = self.write_around(payload.len(), buffer)?;
        let start = self.length();
        if let Some(room) = buffer.get_mut(start..start.saturating_add(payload.len())) {
            room.copy_from_slice(payload);
        }
        Ok(length)
    }

    /// Writes header and padding around a payload of `payload_length` octets that stands, or will stand, at
    /// [`Header::length`] in `buffer`; returns the packet's length.
    ///
    /// # Errors
    /// As [`Header::write`].
    pub fn write_around(&self, payload_length: usize, buffer: &mut [u8]) -> Result<usize, Misuse> {
        if self.payload_type > 127 {
            return Err(Misuse::NotAPayloadType(self.payload_type));
        }
        let start = self.length();
        let padding = usize::from(self.padding);
        let needed = start.saturating_add(payload_length).saturating_add(padding);
        let available = buffer.len();
        let Some(packet) = buffer.get_mut(..needed) else {
            return Err(Misuse::BufferTooSmall { needed, available });
        };
        let (Some((fixed, rest)), Ok(csrc_count)) =
            (packet.split_first_chunk_mut::<HEADER_LENGTH>(), u8::try_from(self.csrc.len()))
        else {
            return Err(Misuse::TooLong("at most 15 contributing sources fit"));
        };
        if csrc_count > 15 {
            return Err(Misuse::TooLong("at most 15 contributing sources fit"));
        }
        fixed[0] =
            0x80 | u8::from(self.padding != 0) << 5 | u8::from(self.extension.is_some()) << 4 | csrc_count;
        let mut header = HeaderMut(fixed);
        header.set_marker_and_payload_type(self.marker, self.payload_type);
        header.set_sequence(self.sequence);
        header.set_timestamp(self.timestamp);
        header.set_ssrc(self.ssrc);
        let (csrc, rest) = rest.split_at_mut(self.csrc.len().saturating_mul(4).min(rest.len()));
        for (room, csrc) in csrc.as_chunks_mut::<4>().0.iter_mut().zip(self.csrc) {
            *room = csrc.to_be_bytes();
        }
        if let Some(extension) = self.extension {
            write_extension(extension, rest)?;
        }
        if let Some(pad) = packet.get_mut(start.saturating_add(payload_length)..) {
            pad.fill(0);
            if let Some(count) = pad.last_mut() {
                *count = self.padding;
            }
        }
        Ok(needed)
    }
}

fn write_extension(extension: Extension<'_>, room: &mut [u8]) -> Result<(), Misuse> {
    let (words, rest) = (extension.data.len() / 4, extension.data.len() % 4);
    let Ok(words) = u16::try_from(words) else {
        return Err(Misuse::TooLong("an extension holds at most 65535 words"));
    };
    if rest != 0 {
        return Err(Misuse::TooLong("an extension is a multiple of four octets"));
    }
    if let Some((header, room)) = room.split_first_chunk_mut::<4>() {
        let [p0, p1] = extension.profile.to_be_bytes();
        let [l0, l1] = words.to_be_bytes();
        *header = [p0, p1, l0, l1];
        if let Some(room) = room.get_mut(..extension.data.len()) {
            room.copy_from_slice(extension.data);
        }
    }
    Ok(())
}

/// The fixed header of a packet that is changed where it lies.
#[derive(Debug)]
pub struct HeaderMut<'a>(&'a mut [u8; HEADER_LENGTH]);

impl<'a> HeaderMut<'a> {
    /// The first 12 octets; `None` when there are fewer.
    #[must_use]
    pub fn of(packet: &'a mut [u8]) -> Option<Self> {
        packet.first_chunk_mut().map(Self)
    }

    /// Sets the second octet; of `payload_type` the low seven bits are taken.
    pub const fn set_marker_and_payload_type(&mut self, marker: bool, payload_type: u8) {
        self.0[1] = (marker as u8) << 7 | payload_type & 0x7f;
    }

    /// Sets the sequence number.
    pub const fn set_sequence(&mut self, sequence: u16) {
        [self.0[2], self.0[3]] = sequence.to_be_bytes();
    }

    /// Sets the timestamp.
    pub const fn set_timestamp(&mut self, timestamp: u32) {
        [self.0[4], self.0[5], self.0[6], self.0[7]] = timestamp.to_be_bytes();
    }

    /// Sets the synchronisation source.
    pub const fn set_ssrc(&mut self, ssrc: u32) {
        [self.0[8], self.0[9], self.0[10], self.0[11]] = ssrc.to_be_bytes();
    }
}

#[cfg(test)]
mod tests;
