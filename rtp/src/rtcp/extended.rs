//! XR, RFC 3611: receiver reference time (RRTR), its echo (DLRR), statistics summary and VoIP metrics.
//!
//! The run-length and receipt-time blocks are kept as bytes: nobody asks for them, and they can be passed through.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Raw, begin, finish, packet_type, word};
use crate::{error::ParseError, wallclock::NtpTime};

/// Block types.
mod block_type {
    pub(super) const REFERENCE_TIME: u8 = 4;
    pub(super) const DELAY_SINCE: u8 = 5;
    pub(super) const STATISTICS: u8 = 6;
    pub(super) const VOIP_METRICS: u8 = 7;
}

/// A received extended report; its chain of blocks has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended<'a> {
    /// Whose report it is.
    pub ssrc: u32,
    blocks: &'a [u8],
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block<'a> {
    /// §4.4: the wall clock of one who sends no media.
    ReferenceTime(NtpTime),
    /// §4.5: the echoes, see [`delays`].
    DelaySince(&'a [u8]),
    /// §4.6: counts over an interval.
    Statistics(StatisticsSummary),
    /// §4.7: how a call sounds.
    VoipMetrics(VoipMetrics),
    /// Another block, or one of a length it cannot have.
    Other {
        /// Block type.
        block_type: u8,
        /// The octet after it.
        type_specific: u8,
        /// Contents.
        contents: &'a [u8],
    },
}

impl<'a> Extended<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, ParseError> {
        let Some((ssrc, blocks)) = raw.body.split_first_chunk::<4>() else {
            return Err(ParseError::new(raw.body.len(), "4 octets of extended report"));
        };
        let mut rest = blocks;
        while !rest.is_empty() {
            let offset = raw.body.len().saturating_sub(rest.len());
            let Some((_, after)) = split_block(rest) else {
                return Err(ParseError::new(offset, "a block with a length that fits"));
            };
            rest = after;
        }
        Ok(Self { ssrc: u32::from_be_bytes(*ssrc), blocks })
    }

    /// The blocks in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || {
            let (block, after) = split_block(rest)?;
            rest = after;
            Some(block)
        })
    }
}

fn split_block(bytes: &[u8]) -> Option<(Block<'_>, &[u8])> {
    let ([block_type, type_specific, length @ ..], rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes(*length)).saturating_mul(4);
    let (contents, after) = rest.split_at_checked(length)?;
    let other = Block::Other { block_type: *block_type, type_specific: *type_specific, contents };
    let block = match *block_type {
        block_type::REFERENCE_TIME => reference_time(contents),
        block_type::DELAY_SINCE if length.is_multiple_of(12) => Some(Block::DelaySince(contents)),
        block_type::STATISTICS => StatisticsSummary::read(*type_specific, contents).map(Block::Statistics),
        block_type::VOIP_METRICS => VoipMetrics::read(contents).map(Block::VoipMetrics),
        _ => None,
    };
    Some((block.unwrap_or(other), after))
}

fn reference_time(contents: &[u8]) -> Option<Block<'_>> {
    let ntp: [u8; 8] = contents.try_into().ok()?;
    Some(Block::ReferenceTime(NtpTime(u64::from_be_bytes(ntp))))
}

/// The echo of a reference time, RFC 3611 §4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DelaySince {
    /// Whose reference time it was.
    pub ssrc: u32,
    /// Its middle 32 bits.
    pub last_report: u32,
    /// Since then, in 1/65536 s.
    pub delay: u32,
}

/// Reads the contents of [`Block::DelaySince`].
pub fn delays(contents: &[u8]) -> impl Iterator<Item = DelaySince> + '_ {
    contents.as_chunks::<12>().0.iter().map(|bytes| {
        let at = |offset| word(bytes, offset).unwrap_or(0);
        DelaySince { ssrc: at(0), last_report: at(4), delay: at(8) }
    })
}

/// Counts over an interval, RFC 3611 §4.6. What a peer did not flag as present is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatisticsSummary {
    /// The source.
    pub ssrc: u32,
    /// First sequence number of the interval.
    pub begin: u16,
    /// The number after its last.
    pub end: u16,
    /// Packets lost.
    pub lost: Option<u32>,
    /// Packets seen more than once.
    pub duplicates: Option<u32>,
    /// Jitter in clock units: least, greatest, mean, deviation.
    pub jitter: Option<[u32; 4]>,
}

impl StatisticsSummary {
    fn read(flags: u8, contents: &[u8]) -> Option<Self> {
        let bytes: &[u8; 36] = contents.try_into().ok()?;
        let at = |offset| word(bytes, offset).unwrap_or(0);
        let range = at(4);
        Some(Self {
            ssrc: at(0),
            begin: (range >> 16) as u16,
            end: range as u16,
            lost: (flags & 0x80 != 0).then(|| at(8)),
            duplicates: (flags & 0x40 != 0).then(|| at(12)),
            jitter: (flags & 0x20 != 0).then(|| [at(16), at(20), at(24), at(28)]),
        })
    }
}

/// How a call sounds, RFC 3611 §4.7. 127 means unavailable in the signal levels, loss and MOS fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The source.
    pub ssrc: u32,
    /// Lost on the way, in 256ths.
    pub loss_rate: u8,
    /// Come too late or too early for the jitter buffer, in 256ths.
    pub discard_rate: u8,
    /// Within bursts, what was lost or discarded, in 256ths.
    pub burst_density: u8,
    /// Between bursts, the same.
    pub gap_density: u8,
    /// Mean length of bursts in ms.
    pub burst_duration: u16,
    /// Mean length of gaps in ms.
    pub gap_duration: u16,
    /// Round trip in ms.
    pub round_trip_delay: u16,
    /// Delay of the end system in ms: encoding, jitter buffer, play-out.
    pub end_system_delay: u16,
    /// dBm0.
    pub signal_level: i8,
    /// dBm0.
    pub noise_level: i8,
    /// Residual echo return loss, dB.
    pub echo_return_loss: u8,
    /// Packets in a row that end a burst; 16 is usual.
    pub minimum_gap: u8,
    /// R factor, 0–100.
    pub r_factor: u8,
    /// R factor of a network segment elsewhere.
    pub external_r_factor: u8,
    /// MOS of listening, times 10.
    pub mos_listening: u8,
    /// MOS of conversation, times 10.
    pub mos_conversational: u8,
    /// Concealment, adaptivity and rate of the jitter buffer.
    pub receiver_configuration: u8,
    /// Nominal delay of the jitter buffer in ms.
    pub jitter_buffer_nominal: u16,
    /// Its present maximum.
    pub jitter_buffer_maximum: u16,
    /// The most it can become.
    pub jitter_buffer_absolute_maximum: u16,
}

/// "Unavailable" in the fields that can say so.
pub const UNAVAILABLE: u8 = 127;

impl Default for VoipMetrics {
    fn default() -> Self {
        Self {
            ssrc: 0,
            loss_rate: 0,
            discard_rate: 0,
            burst_density: 0,
            gap_density: 0,
            burst_duration: 0,
            gap_duration: 0,
            round_trip_delay: 0,
            end_system_delay: 0,
            signal_level: 127,
            noise_level: 127,
            echo_return_loss: UNAVAILABLE,
            minimum_gap: 16,
            r_factor: UNAVAILABLE,
            external_r_factor: UNAVAILABLE,
            mos_listening: UNAVAILABLE,
            mos_conversational: UNAVAILABLE,
            receiver_configuration: 0,
            jitter_buffer_nominal: 0,
            jitter_buffer_maximum: 0,
            jitter_buffer_absolute_maximum: 0,
        }
    }
}

impl VoipMetrics {
    fn read(contents: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = contents.try_into().ok()?;
        let octet = |offset: usize| bytes.get(offset).copied().unwrap_or(0);
        let pair = |offset: usize| u16::from_be_bytes([octet(offset), octet(offset.saturating_add(1))]);
        Some(Self {
            ssrc: word(bytes, 0)?,
            loss_rate: octet(4),
            discard_rate: octet(5),
            burst_density: octet(6),
            gap_density: octet(7),
            burst_duration: pair(8),
            gap_duration: pair(10),
            round_trip_delay: pair(12),
            end_system_delay: pair(14),
            signal_level: octet(16) as i8,
            noise_level: octet(17) as i8,
            echo_return_loss: octet(18),
            minimum_gap: octet(19),
            r_factor: octet(20),
            external_r_factor: octet(21),
            mos_listening: octet(22),
            mos_conversational: octet(23),
            receiver_configuration: octet(24),
            jitter_buffer_nominal: pair(26),
            jitter_buffer_maximum: pair(28),
            jitter_buffer_absolute_maximum: pair(30),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&[self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
        for pair in [self.burst_duration, self.gap_duration, self.round_trip_delay, self.end_system_delay] {
            out.extend_from_slice(&pair.to_be_bytes());
        }
        out.extend_from_slice(&[self.signal_level as u8, self.noise_level as u8]);
        out.extend_from_slice(&[
            self.echo_return_loss,
            self.minimum_gap,
            self.r_factor,
            self.external_r_factor,
        ]);
        out.extend_from_slice(&[self.mos_listening, self.mos_conversational, self.receiver_configuration, 0]);
        let buffer =
            [self.jitter_buffer_nominal, self.jitter_buffer_maximum, self.jitter_buffer_absolute_maximum];
        for pair in buffer {
            out.extend_from_slice(&pair.to_be_bytes());
        }
    }
}

/// An extended report under construction.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Starts a report of `ssrc` at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>, ssrc: u32) -> Self {
        let start = begin(out, 0, packet_type::EXTENDED);
        out.extend_from_slice(&ssrc.to_be_bytes());
        Self { out, start }
    }

    /// Adds our reference time.
    pub fn reference_time(&mut self, now: NtpTime) {
        self.block(block_type::REFERENCE_TIME, 0, |out| out.extend_from_slice(&now.0.to_be_bytes()));
    }

    /// Adds echoes of others' reference times; the first 31.
    pub fn delays(&mut self, delays: &[DelaySince]) {
        self.block(block_type::DELAY_SINCE, 0, |out| {
            for delay in delays.iter().take(31) {
                for word in [delay.ssrc, delay.last_report, delay.delay] {
                    out.extend_from_slice(&word.to_be_bytes());
                }
            }
        });
    }

    /// Adds counts over an interval.
    pub fn statistics(&mut self, summary: &StatisticsSummary) {
        let flag = |present: bool, bit: u8| if present { bit } else { 0 };
        let flags = flag(summary.lost.is_some(), 0x80)
            | flag(summary.duplicates.is_some(), 0x40)
            | flag(summary.jitter.is_some(), 0x20);
        self.block(block_type::STATISTICS, flags, |out| {
            out.extend_from_slice(&summary.ssrc.to_be_bytes());
            out.extend_from_slice(&summary.begin.to_be_bytes());
            out.extend_from_slice(&summary.end.to_be_bytes());
            out.extend_from_slice(&summary.lost.unwrap_or(0).to_be_bytes());
            out.extend_from_slice(&summary.duplicates.unwrap_or(0).to_be_bytes());
            for word in summary.jitter.unwrap_or_default() {
                out.extend_from_slice(&word.to_be_bytes());
            }
            // No TTL or hop limit is known to a machine without a socket.
            out.extend_from_slice(&[0; 4]);
        });
    }

    /// Adds how the call sounds.
    pub fn voip_metrics(&mut self, metrics: &VoipMetrics) {
        self.block(block_type::VOIP_METRICS, 0, |out| metrics.write(out));
    }

    /// Ends the report.
    pub fn finish(self) {
        finish(self.out, self.start);
    }

    fn block(&mut self, block_type: u8, type_specific: u8, contents: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[block_type, type_specific, 0, 0]);
        contents(self.out);
        // The block's length counts words after its header, as a packet's does.
        finish(self.out, start);
    }
}
