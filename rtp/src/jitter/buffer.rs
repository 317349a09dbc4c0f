//! The store, the clock and the choice: what is played next, and when. See [`super`] for what the modes promise.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Instant;

use super::{Config, Frame, Gap, Incoming, Mode, Next, Put, Statistics, estimator::Estimator, store::Store};
use crate::{sequence::timestamp_distance, time};

/// Clock units of each kind.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    played: u64,
    concealed: u64,
    starved: u64,
    paused: u64,
    stretched: u64,
    compressed: u64,
}

/// The buffer of one stream.
#[derive(Debug)]
pub struct JitterBuffer {
    config: Config,
    store: Store,
    estimator: Estimator,
    stream: Stream,
    epoch: Instant,
    /// `config.outage` in clock units.
    outage: u64,
    statistics: Statistics,
    tally: Tally,
}

/// The stream that is being played.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// A packet has come.
    begun: bool,
    ssrc: u32,
    /// Extended sequence number of the next frame.
    next_sequence: u64,
    /// Timestamp of the next frame.
    next_timestamp: u32,
    /// Length of a frame in clock units; a guess until two packets came.
    frame_units: u32,
    playing: bool,
    last_arrival: u64,
    newest: Newest,
    after_gap: bool,
    /// The last frame described background noise.
    in_pause: bool,
    /// Units concealed since the last frame because nothing was there.
    starved: u64,
    /// Frames since the delay was last moved by a whole one.
    steady: u32,
    /// Packets in a row that came too late (fixed mode).
    late_in_row: u32,
    /// Clock units to the next packet, while a gap is bridged.
    gap_left: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    sequence: u64,
    timestamp: u32,
}

/// Frames between two moves of the delay by a whole frame.
const MOVE_INTERVAL: u32 = 8;
/// In fixed mode, so many late packets in a row mean that the clocks have drifted apart.
const LATE_IN_ROW: u32 = 5;

/// How the delay is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moves {
    /// By skipping and inserting whole frames.
    Frames,
    /// By scaling samples, elsewhere.
    Samples,
}

impl JitterBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            store: Store::new(config.maximum_packets),
            estimator: Estimator::new(config),
            stream: Stream::default(),
            epoch: now,
            outage: time::units(config.outage, config.clock_rate_hz),
            statistics: Statistics::default(),
            tally: Tally::default(),
            config,
        }
    }

    /// Takes a packet that arrived `now`.
    #[inline]
    pub fn put(&mut self, packet: Incoming<'_>, now: Instant) -> Put {
        self.statistics.received = self.statistics.received.wrapping_add(1);
        if packet.payload.len() > self.config.maximum_payload {
            self.statistics.discarded = self.statistics.discarded.wrapping_add(1);
            return Put::TooLong;
        }
        let arrival = self.units(now);
        if !self.stream.begun || self.stream.ssrc != packet.ssrc {
            return self.begin(packet, arrival);
        }
        let sequence = crate::sequence::extend(self.stream.newest.sequence, packet.sequence);
        let ahead = sequence.wrapping_sub(self.stream.newest.sequence) as i64;
        let behind = self.stream.newest.sequence.saturating_sub(self.stream.next_sequence);
        let capacity = self.store.capacity() as u64;
        // Too far off to belong to what waits, or a stream that has stopped: it begins anew.
        let stopped = arrival.saturating_sub(self.stream.last_arrival) > self.outage;
        if stopped || ahead.unsigned_abs().saturating_add(behind) >= capacity {
            return self.begin(packet, arrival);
        }
        self.stream.last_arrival = arrival;
        if ahead > 0 {
            let step = timestamp_distance(self.stream.newest.timestamp, packet.timestamp);
            // A step of more than a quarter of a second, or the first of a talk-spurt, is no frame.
            if ahead == 1 && step > 0 && !packet.marker && (step as u32) < self.config.clock_rate_hz / 4 {
                self.stream.frame_units = step as u32;
            }
            self.stream.newest = Newest { sequence, timestamp: packet.timestamp };
        }
        self.estimator.arrived(arrival, packet.timestamp);
        if self.stream.playing && sequence < self.stream.next_sequence {
            return self.missed(packet, sequence, arrival);
        }
        if !self.store.insert(sequence, arrival, packet) {
            self.statistics.duplicates = self.statistics.duplicates.wrapping_add(1);
            return Put::Duplicate;
        }
        Put::Stored
    }

    #[cold]
    fn missed(&mut self, packet: Incoming<'_>, sequence: u64, arrival: u64) -> Put {
        if self.store.was_played(sequence) {
            self.statistics.duplicates = self.statistics.duplicates.wrapping_add(1);
            return Put::Duplicate;
        }
        self.statistics.late = self.statistics.late.wrapping_add(1);
        self.stream.late_in_row = self.stream.late_in_row.saturating_add(1);
        if self.is_fixed() && self.stream.late_in_row >= LATE_IN_ROW {
            return self.begin(packet, arrival);
        }
        Put::Late
    }

    #[cold]
    fn begin(&mut self, packet: Incoming<'_>, arrival: u64) -> Put {
        let waiting = self.store.clear();
        self.statistics.discarded = self.statistics.discarded.wrapping_add(waiting);
        self.statistics.starts = self.statistics.starts.wrapping_add(1);
        let guess = self.config.clock_rate_hz / 50;
        let frame_units = if self.stream.frame_units > 0 { self.stream.frame_units } else { guess };
        // Room below for packets that come out of order at the start.
        let sequence = u64::from(packet.sequence).saturating_add(0x1_0000);
        self.estimator.begin(arrival, packet.timestamp);
        self.store.insert(sequence, arrival, packet);
        self.stream = Stream {
            begun: true,
            ssrc: packet.ssrc,
            next_sequence: sequence,
            next_timestamp: packet.timestamp,
            frame_units: frame_units.max(1),
            playing: false,
            last_arrival: arrival,
            newest: Newest { sequence, timestamp: packet.timestamp },
            after_gap: true,
            in_pause: false,
            starved: 0,
            steady: 0,
            late_in_row: 0,
            gap_left: 0,
        };
        if self.statistics.starts > 1 { Put::Restarted } else { Put::Stored }
    }

    /// The next frame. To be called once for each frame of time that is played, when its first sample is due.
    #[inline]
    pub fn get(&mut self, now: Instant) -> Next<'_> {
        let now = self.units(now);
        self.next(now, Moves::Frames, u32::MAX)
    }

    /// The next frame, which will sound at `now`. A gap is given out in pieces of at most `piece` units.
    #[inline]
    pub(super) fn next(&mut self, now: u64, moves: Moves, piece: u32) -> Next<'_> {
        if !self.stream.playing && !self.start(now) {
            return Next::Idle;
        }
        let choice = self.choose(now, moves);
        let units = match choice {
            Choice::Conceal(Gap::Lost) => self.stream.frame_units.min(piece).min(self.stream.gap_left.max(1)),
            _ => self.stream.frame_units.min(piece),
        };
        let next = match choice {
            Choice::Play { sequence, after_gap } => {
                self.tally.played = self.tally.played.wrapping_add(u64::from(self.stream.frame_units));
                return self.frame(sequence, after_gap);
            }
            Choice::Conceal(Gap::Inserted) => {
                self.tally.stretched = self.tally.stretched.wrapping_add(u64::from(units));
                Next::Conceal { units, cause: Gap::Inserted }
            }
            Choice::Conceal(cause) => {
                self.tally.concealed = self.tally.concealed.wrapping_add(u64::from(units));
                if cause == Gap::Starved {
                    self.tally.starved = self.tally.starved.wrapping_add(u64::from(units));
                    self.stream.starved = self.stream.starved.saturating_add(u64::from(units));
                }
                Next::Conceal { units, cause }
            }
            Choice::Pause => {
                self.tally.paused = self.tally.paused.wrapping_add(u64::from(units));
                Next::Pause { units }
            }
            Choice::Stop => {
                self.stream.playing = false;
                Next::Idle
            }
            Choice::Restart => {
                // The next packet begins anew.
                self.reset();
                return Next::Idle;
            }
        };
        if choice.passes_time(self.config.mode) {
            self.stream.next_timestamp = self.stream.next_timestamp.wrapping_add(units);
        }
        next
    }

    #[inline]
    fn frame(&mut self, sequence: u64, after_gap: bool) -> Next<'_> {
        match self.store.take(sequence) {
            Some(slot) => Next::Frame(Frame {
                sequence: sequence as u16,
                timestamp: slot.timestamp,
                payload_type: slot.payload_type,
                marker: slot.marker,
                after_gap,
                payload: &slot.payload,
            }),
            // `choose` has seen it there.
            None => Next::Idle,
        }
    }

    /// Playing begins when the first frame's time has come.
    #[cold]
    fn start(&mut self, now: u64) -> bool {
        let Some(first) = self.store.first(0) else { return false };
        if self.estimator.excess(now, first.timestamp) < 0 {
            return false;
        }
        self.stream.next_sequence = first.sequence;
        self.stream.next_timestamp = first.timestamp;
        self.stream.playing = true;
        self.stream.after_gap = true;
        self.stream.steady = 0;
        true
    }

    #[inline]
    fn choose(&mut self, now: u64, moves: Moves) -> Choice {
        let Some(first) = self.store.first(self.stream.next_sequence) else {
            return self.starve(now);
        };
        let (sequence, timestamp, arrival) = (first.sequence, first.timestamp, first.arrival);
        let gap = timestamp_distance(self.stream.next_timestamp, timestamp);
        let half_frame = (self.stream.frame_units / 2) as i32;
        if gap > if self.stream.after_gap { 0 } else { half_frame } {
            return self.bridge(sequence, timestamp, gap, now);
        }
        if self.is_fixed() && (gap < half_frame.wrapping_neg() || self.runs_over(now, arrival)) {
            return self.slip(sequence, gap, now, moves);
        }
        if moves == Moves::Frames && !self.is_fixed() {
            self.stream.steady = self.stream.steady.saturating_add(1);
            if self.stream.steady >= MOVE_INTERVAL {
                return self.adapt(sequence, timestamp, now);
            }
        }
        self.play(sequence, timestamp)
    }

    /// Between here and the next packet something is missing. What was never sent is a pause: the packet waits for its
    /// own time, and the delay moves for free. What was lost, or is still on its way, is concealed for its length, less
    /// what was concealed already while nothing was there.
    #[cold]
    fn bridge(&mut self, sequence: u64, timestamp: u32, gap: i32, now: u64) -> Choice {
        self.stream.after_gap = true;
        self.stream.gap_left = gap.unsigned_abs();
        if sequence == self.stream.next_sequence {
            // What looked like starving was the pause.
            let starved = std::mem::take(&mut self.stream.starved);
            self.tally.concealed = self.tally.concealed.saturating_sub(starved);
            self.tally.starved = self.tally.starved.saturating_sub(starved);
            self.tally.paused = self.tally.paused.saturating_add(starved);
            let due = !self.is_fixed() && self.estimator.excess(now, timestamp) >= 0;
            return if due { self.play(sequence, timestamp) } else { Choice::Pause };
        }
        if !self.is_fixed()
            && u64::from(self.stream.gap_left)
                <= self.stream.starved.saturating_add(u64::from(self.stream.frame_units / 2))
        {
            return self.play(sequence, timestamp);
        }
        Choice::Conceal(Gap::Lost)
    }

    /// Fixed mode: what waited far longer than the delay shows that the sender's clock is faster than ours.
    fn runs_over(&self, now: u64, arrival: u64) -> bool {
        let patience = u64::from(self.estimator.target())
            .saturating_mul(2)
            .saturating_add(u64::from(self.stream.frame_units));
        now.saturating_sub(arrival) > patience
    }

    /// Fixed mode: the packet's time has passed, or it waited for too long. A few such packets are lost; more mean that
    /// the clocks have drifted apart, and the stream begins anew.
    #[cold]
    fn slip(&mut self, sequence: u64, gap: i32, now: u64, moves: Moves) -> Choice {
        self.stream.late_in_row = self.stream.late_in_row.saturating_add(1);
        if gap >= 0 || self.stream.late_in_row >= LATE_IN_ROW {
            return Choice::Restart;
        }
        self.store.drop_before(sequence.saturating_add(1));
        self.statistics.late = self.statistics.late.wrapping_add(1);
        self.stream.next_sequence = sequence.saturating_add(1);
        self.choose(now, moves)
    }

    const fn is_fixed(&self) -> bool {
        matches!(self.config.mode, Mode::Fixed { .. })
    }

    /// Moves the delay by a whole frame when it is off by more than one.
    fn adapt(&mut self, sequence: u64, timestamp: u32, now: u64) -> Choice {
        let frame = self.stream.frame_units as i32;
        let excess = self.estimator.excess(now, timestamp);
        if excess < frame.wrapping_neg() {
            self.stream.steady = 0;
            return Choice::Conceal(Gap::Inserted);
        }
        if excess > frame.saturating_add(frame / 2)
            && let Some(next) = self.store.first(sequence.saturating_add(1))
            && next.sequence == sequence.saturating_add(1)
        {
            let (sequence, timestamp) = (next.sequence, next.timestamp);
            let dropped = self.store.drop_before(sequence);
            self.statistics.discarded = self.statistics.discarded.wrapping_add(dropped);
            self.tally.compressed = self.tally.compressed.wrapping_add(u64::from(self.stream.frame_units));
            self.stream.steady = 0;
            self.stream.after_gap = true;
            return self.play(sequence, timestamp);
        }
        self.play(sequence, timestamp)
    }

    #[inline]
    fn play(&mut self, sequence: u64, timestamp: u32) -> Choice {
        self.stream.next_sequence = sequence.saturating_add(1);
        self.stream.next_timestamp = timestamp.wrapping_add(self.stream.frame_units);
        self.stream.starved = 0;
        self.stream.late_in_row = 0;
        self.stream.in_pause =
            self.config.comfort_noise.is_some_and(|noise| self.store.payload_type(sequence) == Some(noise));
        let after_gap = std::mem::replace(&mut self.stream.after_gap, false);
        Choice::Play { sequence, after_gap }
    }

    /// Nothing is there. After an outage the stream stops.
    #[cold]
    fn starve(&mut self, now: u64) -> Choice {
        if now.saturating_sub(self.stream.last_arrival) > self.outage {
            return Choice::Stop;
        }
        self.stream.after_gap = true;
        if self.stream.in_pause { Choice::Pause } else { Choice::Conceal(Gap::Starved) }
    }

    /// By how many clock units the next frame is later than the target delay asks, when it sounds at `now`; negative
    /// when it is earlier. Whoever scales samples brings this to zero. Always 0 in fixed mode.
    #[must_use]
    pub fn excess(&self, now: Instant) -> i32 {
        self.excess_at(self.units(now))
    }

    pub(super) fn excess_at(&self, now: u64) -> i32 {
        if self.is_fixed() || !self.stream.playing || self.stream.after_gap {
            return 0;
        }
        self.estimator.excess(now, self.stream.next_timestamp)
    }

    /// Whether the next frame waits and follows the last without a gap.
    pub(super) fn continues(&self) -> bool {
        self.stream.playing
            && self.store.first(self.stream.next_sequence).is_some_and(|first| {
                let gap = timestamp_distance(self.stream.next_timestamp, first.timestamp);
                first.sequence == self.stream.next_sequence && gap <= (self.stream.frame_units / 2) as i32
            })
    }

    /// Counters and the present state.
    #[must_use]
    pub fn statistics(&self, now: Instant) -> Statistics {
        let rate = self.config.clock_rate_hz;
        let delay = if self.stream.playing {
            self.estimator.delay(self.units(now), self.stream.next_timestamp)
        } else {
            0
        };
        let duration = |units| time::duration(units, rate);
        Statistics {
            played: duration(self.tally.played),
            concealed: duration(self.tally.concealed),
            starved: duration(self.tally.starved),
            paused: duration(self.tally.paused),
            stretched: duration(self.tally.stretched),
            compressed: duration(self.tally.compressed),
            delay: duration(u64::from(delay.max(0).unsigned_abs())),
            target: duration(u64::from(self.estimator.target())),
            maximum: duration(u64::from(self.estimator.most())),
            adaptive: !self.is_fixed(),
            drift_ppm: self.estimator.drift_ppm(),
            ..self.statistics
        }
    }

    /// Packets that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.store.len()
    }

    /// Forgets the stream; the counters stay.
    pub fn reset(&mut self) {
        let waiting = self.store.clear();
        self.statistics.discarded = self.statistics.discarded.wrapping_add(waiting);
        self.stream = Stream::default();
    }

    /// Time was scaled elsewhere: so many units repeated, so many cut out.
    pub(super) const fn count_scaling(&mut self, stretched: u64, compressed: u64) {
        self.tally.stretched = self.tally.stretched.wrapping_add(stretched);
        self.tally.compressed = self.tally.compressed.wrapping_add(compressed);
    }

    pub(super) fn units(&self, now: Instant) -> u64 {
        time::units(now.saturating_duration_since(self.epoch), self.config.clock_rate_hz)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Play {
        sequence: u64,
        after_gap: bool,
    },
    Conceal(Gap),
    Pause,
    /// Nothing comes any more.
    Stop,
    /// Nothing fits any more.
    Restart,
}

impl Choice {
    /// Whether the stream's time goes on. When nothing is there an adaptive buffer waits: the delay grows, and what
    /// comes late is heard. Fixed mode's time always goes on.
    const fn passes_time(self, mode: Mode) -> bool {
        match self {
            Self::Conceal(Gap::Lost) => true,
            Self::Conceal(Gap::Starved) | Self::Pause => matches!(mode, Mode::Fixed { .. }),
            Self::Conceal(Gap::Inserted) | Self::Play { .. } | Self::Stop | Self::Restart => false,
        }
    }
}
