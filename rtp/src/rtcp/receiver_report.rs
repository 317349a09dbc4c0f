//! RR, RFC 3550 §6.4.2, and the report blocks it shares with SR.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Raw, begin, finish, packet_type, word};
use crate::error::ParseError;

/// Octets of one block.
const BLOCK_LENGTH: usize = 24;

/// A received receiver report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Whose report it is.
    pub ssrc: u32,
    blocks: &'a [u8],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let Some((ssrc, rest)) = raw.body.split_first_chunk::<4>() else {
            return Err(ParseError::new(raw.body.len(), "4 octets of receiver report"));
        };
        Ok(Self { ssrc: u32::from_be_bytes(*ssrc), blocks: blocks(rest, raw.count, 4)? })
    }

    /// What it says of each source.
    pub fn blocks(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        ReportBlock::all(self.blocks)
    }
}

/// What one participant received from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths of the expected.
    pub fraction_lost: u8,
    /// Lost since the beginning, 24 bits with sign.
    pub lost: i32,
    /// Highest sequence number, turns in the upper 16 bits.
    pub highest: u32,
    /// Interarrival jitter in clock units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 when there was none.
    pub last_report: u32,
    /// Since then, in 1/65536 s.
    pub delay: u32,
}

impl ReportBlock {
    pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.as_chunks::<BLOCK_LENGTH>().0.iter().map(Self::read)
    }

    fn read(bytes: &[u8; BLOCK_LENGTH]) -> Self {
        let at = |offset| word(bytes, offset).unwrap_or(0);
        let lost = at(4);
        Self {
            ssrc: at(0),
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and back down to spread the sign of 24 bits.
            lost: (lost << 8) as i32 >> 8,
            highest: at(8),
            jitter: at(12),
            last_report: at(16),
            delay: at(20),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lost = self.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let loss = u32::from(self.fraction_lost) << 24 | lost;
        for word in [self.ssrc, loss, self.highest, self.jitter, self.last_report, self.delay] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// Appends a receiver report; of `reports` the first 31 fit.
pub fn write(out: &mut Vec<u8>, ssrc: u32, reports: &[ReportBlock]) {
    let start = begin(out, reports.len().min(31) as u8, packet_type::RECEIVER_REPORT);
    out.extend_from_slice(&ssrc.to_be_bytes());
    write_blocks(out, reports);
    finish(out, start);
}

pub(super) fn write_blocks(out: &mut Vec<u8>, reports: &[ReportBlock]) {
    for report in reports.iter().take(31) {
        report.write(out);
    }
}

/// The blocks announced by `count`; what follows them is a profile's extension and is ignored.
pub(super) fn blocks(rest: &[u8], count: u8, offset: usize) -> Result<&[u8], ParseError> {
    rest.get(..usize::from(count).saturating_mul(BLOCK_LENGTH))
        .ok_or(ParseError::new(offset, "as many report blocks as announced"))
}
