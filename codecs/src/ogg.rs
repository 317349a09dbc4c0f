//! Ogg files of Opus packets (RFC 7845), for prompts and recordings, by the `ogg` crate.
//!
//! This is the container only: packets in, packets out, as they come from RTP or from [`crate::opus`], so that a call
//! in Opus is recorded without being decoded.

use std::io::{Read, Seek, Write};

use alloc::vec::Vec;

/// Samples at 48 kHz that a decoder is to drop first, as libopus's encoder asks for.
pub const PRE_SKIP: u16 = 312;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OggError {
    /// The container is damaged.
    #[error("Ogg: {0}")]
    Container(#[from] ogg::OggReadError),
    /// The file system said no.
    #[error("Ogg: {0}")]
    File(#[from] std::io::Error),
    /// The first packet is not Opus's.
    #[error("Ogg: no Opus in it: {0}")]
    NotOpus(&'static str),
}

/// What the first packet says (RFC 7845 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// 1 or 2.
    pub channels: u8,
    /// Samples at 48 kHz to be dropped at the beginning.
    pub pre_skip: u16,
    /// The rate of what was encoded, in Hz, for information.
    pub input_sample_rate_hz: u32,
    /// To be applied by the decoder, in 2^-8 dB.
    pub output_gain: i16,
}

impl Head {
    fn write(self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(19);
        packet.extend_from_slice(b"OpusHead");
        packet.extend_from_slice(&[1, self.channels]);
        packet.extend_from_slice(&self.pre_skip.to_le_bytes());
        packet.extend_from_slice(&self.input_sample_rate_hz.to_le_bytes());
        packet.extend_from_slice(&self.output_gain.to_le_bytes());
        packet.push(0);
        packet
    }

    fn read(packet: &[u8]) -> Result<Self, OggError> {
        let Some((b"OpusHead", rest)) = packet.split_at_checked(8) else {
            return Err(OggError::NotOpus("the first packet does not begin with OpusHead"));
        };
        let Some(([version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family], _)) =
            rest.split_first_chunk::<11>()
        else {
            return Err(OggError::NotOpus("OpusHead is too short"));
        };
        if *version >= 16 || *family != 0 || !(1..=2).contains(channels) {
            return Err(OggError::NotOpus(
                "OpusHead is of a version, mapping or channel count that is not read",
            ));
        }
        Ok(Self {
            channels: *channels,
            pre_skip: u16::from_le_bytes([*s0, *s1]),
            input_sample_rate_hz: u32::from_le_bytes([*r0, *r1, *r2, *r3]),
            output_gain: i16::from_le_bytes([*g0, *g1]),
        })
    }
}

/// Reads a file packet by packet.
pub struct Reader<R: Read + Seek> {
    packets: ogg::PacketReader<R>,
    head: Head,
}

impl<R: Read + Seek> core::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reader").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the two header packets.
    ///
    /// # Errors
    /// [`OggError`].
    pub fn new(from: R) -> Result<Self, OggError> {
        let mut packets = ogg::PacketReader::new(from);
        let first = packets.read_packet()?.ok_or(OggError::NotOpus("the file is empty"))?;
        let head = Head::read(&first.data)?;
        let tags = packets.read_packet()?.ok_or(OggError::NotOpus("there is no second packet"))?;
        if !tags.data.starts_with(b"OpusTags") {
            return Err(OggError::NotOpus("the second packet does not begin with OpusTags"));
        }
        Ok(Self { packets, head })
    }

    /// What the file says of itself.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The next Opus packet; `None` at the end.
    ///
    /// # Errors
    /// [`OggError`].
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, OggError> {
        Ok(self.packets.read_packet()?.map(|packet| packet.data))
    }
}

/// Writes a file packet by packet.
pub struct Recorder<W: Write> {
    packets: ogg::PacketWriter<'static, W>,
    serial: u32,
    /// Samples at 48 kHz so far.
    position: u64,
    /// Held back until it is known whether it is the last.
    held: Option<Vec<u8>>,
}

impl<W: Write> core::fmt::Debug for Recorder<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recorder").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<W: Write> Recorder<W> {
    /// Begins a file. `serial` tells streams of one file apart: any number.
    ///
    /// # Errors
    /// [`OggError`].
    pub fn new(to: W, head: Head, serial: u32) -> Result<Self, OggError> {
        let mut packets = ogg::PacketWriter::new(to);
        packets.write_packet(head.write(), serial, ogg::PacketWriteEndInfo::EndPage, 0)?;
        let mut tags = Vec::from(*b"OpusTags");
        tags.extend_from_slice(&5u32.to_le_bytes());
        tags.extend_from_slice(b"denwa");
        tags.extend_from_slice(&0u32.to_le_bytes());
        packets.write_packet(tags, serial, ogg::PacketWriteEndInfo::EndPage, 0)?;
        Ok(Self { packets, serial, position: u64::from(head.pre_skip), held: None })
    }

    /// Appends a packet that lasts `samples` samples at 48 kHz.
    ///
    /// # Errors
    /// [`OggError`].
    pub fn write(&mut self, packet: &[u8], samples: u32) -> Result<(), OggError> {
        if let Some(held) = self.held.replace(packet.into()) {
            self.packets.write_packet(
                held,
                self.serial,
                ogg::PacketWriteEndInfo::NormalPacket,
                self.position,
            )?;
        }
        self.position += u64::from(samples);
        Ok(())
    }

    /// Ends the file and gives the writer back.
    ///
    /// # Errors
    /// [`OggError`].
    pub fn finish(mut self) -> Result<W, OggError> {
        let last = self.held.take().unwrap_or_default();
        self.packets.write_packet(last, self.serial, ogg::PacketWriteEndInfo::EndStream, self.position)?;
        Ok(self.packets.into_inner())
    }
}
