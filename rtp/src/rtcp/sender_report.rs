//! SR, RFC 3550 §6.4.1: what a sender sent, and when by the wall clock.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    Raw, begin, finish, packet_type,
    receiver_report::{ReportBlock, blocks, write_blocks},
    word,
};
use crate::{error::ParseError, wallclock::NtpTime};

/// A received sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// Whose report it is.
    pub ssrc: u32,
    /// What was sent.
    pub info: SenderInfo,
    blocks: &'a [u8],
}

/// The sender's side of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Wall clock when the report was sent.
    pub ntp: NtpTime,
    /// The same moment in the stream's timestamps.
    pub timestamp: u32,
    /// Packets sent under this SSRC.
    pub packets: u32,
    /// Octets of payload sent under this SSRC.
    pub octets: u32,
}

impl<'a> SenderReport<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let Some((head, rest)) = raw.body.split_first_chunk::<24>() else {
            return Err(ParseError::new(raw.body.len(), "24 octets of sender report"));
        };
        let [ssrc, ntp_seconds, ntp_fraction, timestamp, packets, octets] = six_words(head);
        let ntp = NtpTime(u64::from(ntp_seconds) << 32 | u64::from(ntp_fraction));
        let info = SenderInfo { ntp, timestamp, packets, octets };
        Ok(Self { ssrc, info, blocks: blocks(rest, raw.count, 24)? })
    }

    /// What the sender received from others.
    pub fn blocks(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        ReportBlock::all(self.blocks)
    }
}

/// Appends a sender report; of `reports` the first 31 fit.
pub fn write(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) {
    let start = begin(out, reports.len().min(31) as u8, packet_type::SENDER_REPORT);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&info.ntp.0.to_be_bytes());
    out.extend_from_slice(&info.timestamp.to_be_bytes());
    out.extend_from_slice(&info.packets.to_be_bytes());
    out.extend_from_slice(&info.octets.to_be_bytes());
    write_blocks(out, reports);
    finish(out, start);
}

fn six_words(bytes: &[u8; 24]) -> [u32; 6] {
    std::array::from_fn(|index| word(bytes, index.saturating_mul(4)).unwrap_or(0))
}
