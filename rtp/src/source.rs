//! One synchronisation source as its packets show it: validation, loss and jitter of RFC 3550 A.1, A.3 and A.8.
//!
//! Beyond the RFC's code it tells duplicates from reordered packets (127 numbers back), forgets the transit time
//! when clock rate or timestamps jump (RFC 7160 §4.1), and notices talk-spurts. Where the packets came from is
//! not its business: [`crate::latch`] has decided that before.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::{Duration, Instant};

use crate::{
    quality::burst::{Bursts, Figures},
    sequence::{distance, timestamp_distance},
    time,
};

/// Packets in a row before a source is believed (RFC 3550 A.1, MIN_SEQUENTIAL).
const MINIMUM_SEQUENTIAL: u8 = 2;
/// A gap up to this is loss; a longer one may be a restart (MAX_DROPOUT).
const MAXIMUM_DROPOUT: u16 = 3000;
/// A packet this late is reordered; an older one may be a restart (MAX_MISORDER).
const MAXIMUM_MISORDER: u16 = 100;
/// So far back a missing packet may still come; one older is lost.
const HORIZON: u16 = 64;
/// A transit time that changes by more than this is a jump of the timestamps, not jitter.
const TIMESTAMP_JUMP_NANOS: u64 = 2_000_000_000;

/// What a packet was to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// Where it stands among the others.
    pub order: Order,
    /// Sequence number with its turns in the upper bits; they are counted from the start, or from a restart.
    pub extended: u64,
    /// Numbers skipped since the newest packet before; 0 unless in order.
    pub skipped: u16,
}

/// Where a packet stands among the others of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The source is not believed yet (or is being believed again after a mis-step).
    Probation,
    /// Newer than all before.
    InOrder,
    /// Older than the newest, not seen before.
    Reordered,
    /// Seen before.
    Duplicate,
    /// Far from what was expected. A second one in sequence will make it a restart.
    Jump,
    /// The sender began anew: the statistics started over with this packet.
    Restarted,
}

/// Statistics of one source; what each packet changes stands in front, together.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Source {
    /// Bit `n` is set when the packet `n` numbers before `highest` was seen.
    seen: u128,
    /// The same of packets that came too late to be played.
    unplayed: u64,
    cycles: u64,
    highest: u16,
    /// The number that would confirm a jump.
    after_jump: Option<u16>,
    probation: u8,
    ssrc: u32,
    clock_rate_hz: u32,
    timestamp: u32,
    /// Clock units from one packet to the next, as two in a row showed last.
    step: u32,
    received: u64,
    payload_octets: u64,
    /// 2^16 ns for each tick of the clock.
    tick: u64,
    /// Sixteen times the interarrival jitter, in ns.
    jitter_times_16: u64,
    jitter_maximum: u64,
    /// When the last packet came whose timestamp can be compared with the next one's.
    compared_at: Option<Instant>,
    last_at: Instant,
    created_at: Instant,
    base: u64,
    expected_at_report: u64,
    received_at_report: u64,
    talk_spurts: u64,
    duplicates: u64,
    reordered: u64,
    jumps: u64,
    restarts: u64,
    bursts: Bursts,
}

impl Source {
    /// A source whose first packet has `sequence`; call [`Source::update`] with that packet next.
    #[must_use]
    pub fn new(ssrc: u32, sequence: u16, clock_rate_hz: u32, now: Instant) -> Self {
        Self {
            ssrc,
            clock_rate_hz,
            probation: MINIMUM_SEQUENTIAL,
            highest: sequence.wrapping_sub(1),
            cycles: 0,
            base: u64::from(sequence),
            after_jump: None,
            seen: 0,
            unplayed: 0,
            bursts: Bursts::default(),
            step: 0,
            received: 0,
            expected_at_report: 0,
            received_at_report: 0,
            duplicates: 0,
            reordered: 0,
            jumps: 0,
            restarts: 0,
            talk_spurts: 0,
            payload_octets: 0,
            jitter_times_16: 0,
            jitter_maximum: 0,
            compared_at: None,
            timestamp: 0,
            tick: tick(clock_rate_hz),
            created_at: now,
            last_at: now,
        }
    }

    /// Counts one packet. `clock_rate_hz` is that of its payload type.
    #[inline]
    pub fn update(&mut self, packet: Arrival, clock_rate_hz: u32, now: Instant) -> Update {
        let update = self.update_sequence(packet.sequence);
        match update.order {
            Order::InOrder | Order::Restarted => {
                if packet.marker {
                    self.talk_spurts = self.talk_spurts.wrapping_add(1);
                }
                self.note_step(update, packet);
                self.count(packet, clock_rate_hz, now);
            }
            Order::Reordered => self.count(packet, clock_rate_hz, now),
            // The first packet's transit time is what the second's is compared with.
            Order::Probation => self.update_jitter(packet.timestamp, now),
            Order::Duplicate | Order::Jump => {}
        }
        update
    }

    #[inline]
    const fn note_step(&mut self, update: Update, packet: Arrival) {
        let step = packet.timestamp.wrapping_sub(self.timestamp);
        // A step of more than a fifth of a second, or the first of a talk-spurt, is no packet's length.
        if update.skipped == 0 && !packet.marker && step <= self.clock_rate_hz / 5 {
            self.step = step;
        }
    }

    fn count(&mut self, packet: Arrival, clock_rate_hz: u32, now: Instant) {
        self.last_at = now;
        self.payload_octets = self.payload_octets.wrapping_add(u64::from(packet.payload_octets));
        if clock_rate_hz != self.clock_rate_hz {
            self.clock_rate_hz = clock_rate_hz;
            self.tick = tick(clock_rate_hz);
            self.compared_at = None;
        }
        self.update_jitter(packet.timestamp, now);
    }

    /// RFC 3550 A.1, `update_seq`.
    #[inline]
    fn update_sequence(&mut self, sequence: u16) -> Update {
        if self.probation > 0 {
            return self.prove(sequence);
        }
        let ahead = sequence.wrapping_sub(self.highest);
        if ahead == 0 {
            self.received = self.received.wrapping_add(1);
            self.duplicates = self.duplicates.wrapping_add(1);
            return self.told(Order::Duplicate, sequence);
        }
        if ahead < MAXIMUM_DROPOUT {
            return self.advance(sequence, ahead);
        }
        if ahead <= MAXIMUM_MISORDER.wrapping_neg() {
            return self.jump(sequence);
        }
        self.fall_back(sequence, ahead.wrapping_neg())
    }

    fn prove(&mut self, sequence: u16) -> Update {
        if sequence == self.highest.wrapping_add(1) {
            self.probation = self.probation.saturating_sub(1);
            self.highest = sequence;
            if self.probation == 0 {
                self.begin(sequence);
                self.received = 1;
                return Update { order: Order::InOrder, extended: u64::from(sequence), skipped: 0 };
            }
        } else {
            self.probation = MINIMUM_SEQUENTIAL.saturating_sub(1);
            self.highest = sequence;
        }
        self.told(Order::Probation, sequence)
    }

    #[inline]
    fn advance(&mut self, sequence: u16, ahead: u16) -> Update {
        if sequence < self.highest {
            self.cycles = self.cycles.wrapping_add(0x1_0000);
        }
        // The packet that passes the horizon now has come, and been heard, as a rule.
        if ahead == 1 && self.seen & 1 << (HORIZON - 1) != 0 && self.unplayed == 0 {
            self.seen = self.seen << 1 | 1;
        } else {
            self.settle(ahead);
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
        }
        self.highest = sequence;
        self.received = self.received.wrapping_add(1);
        self.after_jump = None;
        Update { order: Order::InOrder, extended: self.extended(), skipped: ahead.saturating_sub(1) }
    }

    /// Counts what passes the horizon when the highest number moves by `ahead` and was not heard.
    #[cold]
    fn settle(&mut self, ahead: u16) {
        let highest = self.extended();
        for step in 0..ahead.min(HORIZON) {
            let behind = HORIZON.saturating_sub(1).saturating_sub(step);
            let heard = self.seen as u64 & !self.unplayed;
            let missing = heard.checked_shr(u32::from(behind)).unwrap_or(0) & 1 == 0;
            if let Some(number) = highest.checked_sub(u64::from(behind)).filter(|number| *number >= self.base)
                && missing
            {
                self.bursts.lost(number, 1);
            }
        }
        // Of a longer gap the front passes the horizon at once.
        self.bursts.lost(highest.saturating_add(1), u64::from(ahead.saturating_sub(HORIZON)));
        self.unplayed = self.unplayed.checked_shl(u32::from(ahead)).unwrap_or(0);
    }

    /// A packet that was counted as received came too late to be played, or was thrown away: to who listens it is lost.
    pub(crate) fn discarded(&mut self, sequence: u16) {
        let behind = self.highest.wrapping_sub(sequence);
        self.unplayed |= 1u64.checked_shl(u32::from(behind)).unwrap_or(0);
    }

    /// Bursts and gaps of what was lost or came too late.
    #[must_use]
    pub fn bursts(&self) -> Figures {
        let mut whole = self.clone();
        whole.settle(HORIZON);
        whole.bursts.figures(self.expected(), self.frame())
    }

    /// From one packet to the next; zero before two came in a row.
    #[must_use]
    pub fn frame(&self) -> Duration {
        time::duration(u64::from(self.step), self.clock_rate_hz)
    }

    #[cold]
    fn jump(&mut self, sequence: u16) -> Update {
        if self.after_jump == Some(sequence) {
            self.begin(sequence);
            self.received = 1;
            self.restarts = self.restarts.wrapping_add(1);
            self.compared_at = None;
            return Update { order: Order::Restarted, extended: u64::from(sequence), skipped: 0 };
        }
        self.after_jump = Some(sequence.wrapping_add(1));
        self.jumps = self.jumps.wrapping_add(1);
        self.told(Order::Jump, sequence)
    }

    #[cold]
    fn fall_back(&mut self, sequence: u16, behind: u16) -> Update {
        self.received = self.received.wrapping_add(1);
        let bit = 1u128.checked_shl(u32::from(behind)).unwrap_or(0);
        if self.seen & bit != 0 {
            self.duplicates = self.duplicates.wrapping_add(1);
            return self.told(Order::Duplicate, sequence);
        }
        self.seen |= bit;
        self.reordered = self.reordered.wrapping_add(1);
        let back = i64::from(distance(self.highest, sequence));
        Update { order: Order::Reordered, extended: self.extended().saturating_add_signed(back), skipped: 0 }
    }

    const fn told(&self, order: Order, sequence: u16) -> Update {
        Update { order, extended: crate::sequence::extend(self.extended(), sequence), skipped: 0 }
    }

    fn begin(&mut self, sequence: u16) {
        self.base = u64::from(sequence);
        self.highest = sequence;
        self.cycles = 0;
        self.after_jump = None;
        self.seen = 1;
        self.unplayed = 0;
        self.bursts = Bursts::default();
        self.received_at_report = 0;
        self.expected_at_report = 0;
        self.duplicates = 0;
        self.reordered = 0;
    }

    /// RFC 3550 A.8, in integers; in nanoseconds, since two differences are cheaper than one division.
    #[inline]
    fn update_jitter(&mut self, timestamp: u32, now: Instant) {
        if let Some(before) = self.compared_at {
            let passed = now.saturating_duration_since(before);
            let passed =
                passed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(passed.subsec_nanos()));
            let told =
                i64::from(timestamp_distance(self.timestamp, timestamp)).wrapping_mul(self.tick as i64) >> 16;
            let change = (passed as i64).wrapping_sub(told).unsigned_abs();
            if change <= TIMESTAMP_JUMP_NANOS {
                let smoothed = self.jitter_times_16.saturating_add(8) >> 4;
                self.jitter_times_16 = self.jitter_times_16.wrapping_add(change).saturating_sub(smoothed);
                self.jitter_maximum = self.jitter_maximum.max(self.jitter_times_16);
            }
        }
        self.timestamp = timestamp;
        self.compared_at = Some(now);
    }

    /// The synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Whether enough packets came in sequence to believe that it exists.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.probation == 0
    }

    /// The highest sequence number, with its turns in the upper bits.
    #[must_use]
    pub const fn extended(&self) -> u64 {
        self.cycles.wrapping_add(self.highest as u64)
    }

    /// Packets received since the source became valid or restarted, duplicates included.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Packets that should have come.
    #[must_use]
    pub const fn expected(&self) -> u64 {
        self.extended().wrapping_sub(self.base).wrapping_add(1)
    }

    /// Expected less received: negative when duplicates outweigh the loss (RFC 3550 A.3).
    #[must_use]
    pub const fn lost(&self) -> i64 {
        self.expected().wrapping_sub(self.received) as i64
    }

    /// Packets seen twice.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that came after a newer one.
    #[must_use]
    pub const fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets whose number lay far off.
    #[must_use]
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }

    /// How often the sender began anew.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Packets with a marker.
    #[must_use]
    pub const fn talk_spurts(&self) -> u64 {
        self.talk_spurts
    }

    /// Octets of payload.
    #[must_use]
    pub const fn payload_octets(&self) -> u64 {
        self.payload_octets
    }

    /// Interarrival jitter in clock units.
    #[must_use]
    pub fn jitter_units(&self) -> u32 {
        time::units(self.jitter(), self.clock_rate_hz) as u32
    }

    /// Interarrival jitter as time.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter_times_16 >> 4)
    }

    /// The greatest interarrival jitter seen.
    #[must_use]
    pub fn jitter_maximum(&self) -> Duration {
        Duration::from_nanos(self.jitter_maximum >> 4)
    }

    /// Clock rate of the last packet's payload type.
    #[must_use]
    pub const fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// Timestamp of the last packet.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// When the last packet that counted came.
    #[must_use]
    pub const fn last_at(&self) -> Instant {
        self.last_at
    }

    /// When the first packet came.
    #[must_use]
    pub const fn created_at(&self) -> Instant {
        self.created_at
    }

    /// Loss since the last report as a fraction of 256, and from now on since this one (RFC 3550 A.3).
    pub fn take_fraction_lost(&mut self) -> u8 {
        let expected = self.expected().wrapping_sub(self.expected_at_report);
        let received = self.received.wrapping_sub(self.received_at_report);
        self.expected_at_report = self.expected();
        self.received_at_report = self.received;
        let lost = expected.saturating_sub(received);
        if lost == 0 {
            return 0;
        }
        let fraction = lost.saturating_mul(256).checked_div(expected).unwrap_or(0);
        u8::try_from(fraction).unwrap_or(u8::MAX)
    }
}

/// 2^16 ns for each tick.
fn tick(clock_rate_hz: u32) -> u64 {
    (1_000_000_000u64 << 16).checked_div(u64::from(clock_rate_hz)).unwrap_or(0)
}

/// What the statistics need to know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Octets of payload.
    pub payload_octets: u16,
}
