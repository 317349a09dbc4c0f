//! From one leg's codec to another's: decode, bring to the other rate, encode, packet by packet.
//!
//! Nothing waits here: a packet is transcoded when it comes, and whoever hears the result has the jitter buffer. The time
//! line of what goes out follows the timestamps of what came in. What was lost is concealed when the packet after it shows
//! the gap (recovered, where the codec sends twice what matters), so that the other leg's codec keeps its state; what comes
//! too late is left out. Where the one side leaves silence out and the other does not know how, the pause is filled.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::LegId;
use crate::media::{Arrived, Decoders, Encoded, Encoding, PayloadFormat, StreamParameters, scaled};
use denwa_codecs::registry;
use denwa_rtp::jitter::playout::Decoder;
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::time::{Duration, Instant};

/// Makes the packets of one leg those of another.
#[derive(Debug)]
pub(super) struct Transcoder {
    /// What it was made for: another agreement that comes to the same leaves it alone.
    made_for: (Vec<PayloadFormat>, PayloadFormat, Duration, LegId),
    decoders: Decoders,
    encoding: Encoding,
    /// The number of its feed at the leg that sends.
    pub(super) feed: u32,
    /// How silence is described to the other side; `None` where it is not, and pauses must be filled.
    describes_silence: bool,
    expected: Option<Expected>,
    /// While a pause is filled: when the next packet of it belongs on the wire.
    pub(super) due: Option<Instant>,
    /// Packets of the present pause.
    filled: u32,
    sound: Vec<i16>,
}

/// The packet that comes next, when nothing is lost.
#[derive(Clone, Copy, Debug)]
struct Expected {
    ssrc: u32,
    clock_rate_hz: u32,
    sequence: u16,
    timestamp: u32,
    /// Ticks of the packet before.
    ticks: u32,
}

/// A gap up to this long is concealed, in ms; a longer one is left as a gap.
const CONCEALED_MS: u32 = 120;
/// Timestamps that are off by less than this, in ms, are not looked at.
const OFF_MS: u32 = 3;
/// A pause is filled from so long after its beginning.
const PATIENCE: Duration = Duration::from_millis(10);
/// A pause is filled for no longer: whoever leaves silence out says so again and again.
const FILLED_PACKETS: u32 = 1500;

impl Transcoder {
    /// From any of `from`, which the one leg receives, to `to`, which `leg` sends. `None` when there is no codec for it.
    pub(super) fn new(
        from: &[PayloadFormat],
        to: &PayloadFormat,
        parameters: &StreamParameters,
        leg: LegId,
        feed: u32,
    ) -> Option<Self> {
        let entries = from.iter().filter_map(|format| registry::find(&format.name, format.clock_rate_hz));
        let target = registry::find(&to.name, to.clock_rate_hz)?;
        // Sound is not brought to a rate that neither side has.
        let rate = entries.map(|entry| entry.sample_rate_hz).max()?.min(target.sample_rate_hz);
        let mut decoders = Decoders::new(rate);
        decoders.configure(from);
        // What comes has had its silence left out already, or not.
        let plain = StreamParameters { suppresses_silence: false, ..parameters.clone() };
        let encoding = Encoding::of_format(to, &plain, rate)?;
        Some(Self {
            made_for: (from.to_vec(), to.clone(), parameters.packet_time, leg),
            decoders,
            encoding,
            feed,
            describes_silence: to.describes_silence(),
            expected: None,
            due: None,
            filled: 0,
            sound: Vec::new(),
        })
    }

    /// Whether it would be made the same again.
    pub(super) fn is_for(
        &self,
        from: &[PayloadFormat],
        to: &PayloadFormat,
        packet_time: Duration,
        leg: LegId,
    ) -> bool {
        let (old_from, old_to, old_time, old_leg) = &self.made_for;
        old_from == from && old_to == to && *old_time == packet_time && *old_leg == leg
    }

    /// The source begins anew, or passes this by for a while.
    pub(super) fn interrupt(&mut self) {
        self.expected = None;
        self.due = None;
        self.encoding.forget();
    }

    /// Ticks of the RTP clock a second, of what goes out.
    pub(super) fn clock_rate_hz(&self) -> u32 {
        self.encoding.clock_rate_hz()
    }

    /// Takes a packet. Packets that go out are fetched with [`Transcoder::send`].
    pub(super) fn receive(&mut self, arrived: &Arrived, payload: &[u8], now: Instant) {
        let Some(clock) = self.decoders.clock_rate_hz(arrived.payload_type).filter(|rate| *rate > 0) else {
            return;
        };
        let expected =
            self.expected.filter(|expected| expected.ssrc == arrived.ssrc && expected.clock_rate_hz == clock);
        let mut usual = clock / 50;
        match expected {
            Some(expected) => {
                let ahead = arrived.sequence.wrapping_sub(expected.sequence).cast_signed();
                if (-100..0).contains(&ahead) {
                    return; // Its time has been concealed.
                }
                usual = expected.ticks;
                self.bridge_gap(expected, arrived, ahead, payload, clock);
            }
            None => self.encoding.mark(),
        }
        if arrived.marker {
            self.encoding.mark();
        }
        (self.due, self.filled) = (None, 0);
        self.sound.clear();
        self.decoders.decode(arrived.payload_type, payload, &mut self.sound);
        self.encoding.take(&self.sound);
        let ticks = self.ticks(self.sound.len(), clock);
        self.expected = Some(Expected {
            ssrc: arrived.ssrc,
            clock_rate_hz: clock,
            sequence: arrived.sequence.wrapping_add(1),
            timestamp: arrived.timestamp.wrapping_add(ticks),
            ticks: if ticks == 0 { usual } else { ticks },
        });
        if !self.describes_silence && self.begins_pause(arrived.payload_type, payload) {
            let microseconds = u64::from(ticks).saturating_mul(1_000_000).checked_div(u64::from(clock));
            let heard = Duration::from_micros(microseconds.unwrap_or(0));
            self.due = now.checked_add(heard.saturating_add(PATIENCE));
        }
    }

    /// What lies between the packet that was expected and the one that came.
    fn bridge_gap(&mut self, expected: Expected, arrived: &Arrived, ahead: i16, payload: &[u8], clock: u32) {
        let gap = arrived.timestamp.wrapping_sub(expected.timestamp).cast_signed();
        let per_ms = (clock / 1000).max(1);
        if gap.unsigned_abs() < per_ms.saturating_mul(OFF_MS) {
            return;
        }
        let ticks = u32::try_from(gap).unwrap_or(0);
        if ahead > 0 && (1..=per_ms.saturating_mul(CONCEALED_MS)).contains(&ticks) {
            self.sound.clear();
            // Only the packet right before this one can be in it a second time.
            let last = ticks.min(expected.ticks);
            let earlier = self.samples(ticks.saturating_sub(last), clock);
            if earlier > 0 {
                self.decoders.conceal(earlier, &mut self.sound);
            }
            let last = self.samples(last, clock);
            self.decoders.recover(arrived.payload_type, payload, last, &mut self.sound);
            self.encoding.take(&self.sound);
        } else if ticks > 0 {
            // A pause, or too much to make up. What was begun is not sent any more.
            self.encoding.forget();
            let out = u64::from(ticks).saturating_mul(u64::from(self.encoding.clock_rate_hz()));
            let out = out.checked_div(u64::from(clock)).unwrap_or(0);
            self.encoding.skip(u32::try_from(out).unwrap_or(0));
        }
    }

    /// Whether nothing is to come after this payload for a while.
    fn begins_pause(&self, payload_type: u8, payload: &[u8]) -> bool {
        if self.decoders.is_comfort_noise(payload_type) {
            return true;
        }
        let format = self.made_for.0.iter().find(|format| format.payload_type == payload_type);
        format.is_some_and(|format| {
            if format.name.eq_ignore_ascii_case("G729") {
                payload.len() % 10 == 2
            } else {
                format.describes_silence() && payload.len() <= 2
            }
        })
    }

    /// Fills the pause with a packet's time of it, when that is due.
    pub(super) fn fill(&mut self, now: Instant) {
        let Some(due) = self.due.take_if(|due| *due <= now) else { return };
        let left = FILLED_PACKETS.saturating_sub(self.filled);
        let Some(expected) = self.expected.as_mut().filter(|_| left > 0) else { return };
        self.filled = self.filled.saturating_add(1);
        let samples = self.encoding.packet_input();
        let clock = expected.clock_rate_hz;
        let ticks = scaled(samples, clock, self.decoders.sample_rate_hz());
        let ticks = u32::try_from(ticks).unwrap_or(0);
        expected.timestamp = expected.timestamp.wrapping_add(ticks);
        self.sound.clear();
        self.decoders.pause(samples, &mut self.sound);
        self.encoding.take(&self.sound);
        let packet_time = self.encoding.packet_time();
        let next = due.checked_add(packet_time).filter(|next| *next > now);
        // After a wake-up that is late by more than a packet, the beat begins anew.
        self.due = next.or_else(|| now.checked_add(packet_time));
    }

    /// Whether a packet is full.
    pub(super) fn is_ready(&self) -> bool {
        self.encoding.is_ready()
    }

    /// Writes the next packet into `buffer`, if one is full.
    pub(super) fn send(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let Encoded { payload_type, timestamp, marker, payload } = self.encoding.next()?;
        Some(session.send(Frame { feed: self.feed, timestamp, payload_type, marker, payload }, buffer, now))
    }

    fn ticks(&self, samples: usize, clock: u32) -> u32 {
        u32::try_from(scaled(samples, clock, self.decoders.sample_rate_hz())).unwrap_or(0)
    }

    fn samples(&self, ticks: u32, clock: u32) -> usize {
        scaled(ticks as usize, self.decoders.sample_rate_hz(), clock)
    }
}
