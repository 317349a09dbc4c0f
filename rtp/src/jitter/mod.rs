//! The jitter buffer: packets come as the network brings them, frames go as the play-out clock asks.
//!
//! [`JitterBuffer`] holds payloads and decides *what* is next; [`playout`] turns that into samples, with a decoder of
//! the caller's. Adaptive mode keeps the delay where few packets come too late and moves it by skipping and
//! inserting; fixed mode never adapts, skips or inserts: fax and modems (and whoever measures) want that.
//! Time is the caller's: each [`JitterBuffer::get`] consumes one frame of it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod estimator;
pub mod playout;
mod store;

use std::time::{Duration, Instant};

use crate::{sequence::timestamp_distance, time};
use estimator::Estimator;
use store::Store;

/// Configuration of a [`JitterBuffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Ticks of the timestamps a second (8000 for G.722 too, RFC 3551 §4.5.2).
    pub clock_rate_hz: u32,
    /// Adaptive or fixed.
    pub mode: Mode,
    /// Packets held; more push out the oldest. A power of two is made of it.
    pub maximum_packets: usize,
    /// Octets of a payload; longer ones are refused.
    pub maximum_payload: usize,
    /// After this long without a packet the stream counts as stopped, and begins anew when packets come.
    pub outage: Duration,
}

/// How the delay is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As small as the network allows, between two bounds.
    Adaptive {
        /// Never less than this.
        minimum: Duration,
        /// Never more than this.
        maximum: Duration,
    },
    /// Always this much; nothing is scaled or skipped, and a loss is a gap of the same length.
    Fixed {
        /// The delay of the first packet, and so of all.
        delay: Duration,
    },
}

impl Config {
    /// Voice: adaptive from 10 to 500 ms.
    #[must_use]
    pub const fn voice(clock_rate_hz: u32) -> Self {
        let mode = Mode::Adaptive { minimum: Duration::from_millis(10), maximum: Duration::from_millis(500) };
        Self {
            clock_rate_hz,
            mode,
            maximum_packets: 256,
            maximum_payload: 1500,
            outage: Duration::from_secs(1),
        }
    }

    /// Fax, modems and measurements: always `delay`.
    #[must_use]
    pub const fn fixed(clock_rate_hz: u32, delay: Duration) -> Self {
        Self { mode: Mode::Fixed { delay }, ..Self::voice(clock_rate_hz) }
    }
}

/// A packet for the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Another SSRC begins another stream.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Payload type, given back with the frame.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// What the decoder will get.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Put {
    /// It waits for its turn.
    Stored,
    /// It waits, and the stream has begun anew with it: what waited before is gone.
    Restarted,
    /// It was here already.
    Duplicate,
    /// Its turn has passed.
    Late,
    /// It is longer than the configuration allows.
    TooLong,
}

/// What to play for the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// Decode this.
    Frame(Frame<'a>),
    /// A frame is missing: conceal. So many clock units.
    Conceal {
        /// Length of the gap in clock units.
        units: u32,
        /// Why there is a gap.
        cause: Gap,
    },
    /// The sender is pausing (DTX): comfort noise. So many clock units.
    Pause {
        /// Length in clock units.
        units: u32,
    },
    /// Nothing has come yet, or nothing comes any more: silence.
    Idle,
}

/// Why a frame is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gap {
    /// Later packets are here: it was lost or is very late.
    Lost,
    /// Nothing is here: the network holds packets back.
    Starved,
    /// The delay grows: time is inserted, nothing is missing.
    Inserted,
}

/// A frame whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// A frame before it was concealed or skipped: a decoder's state does not fit.
    pub after_gap: bool,
    /// What to decode.
    pub payload: &'a [u8],
}

/// Counters and the present state.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Statistics {
    /// Packets put.
    pub received: u64,
    /// Frames given out.
    pub played: u64,
    /// Frames that were missing and concealed, lost or late.
    pub concealed: u64,
    /// Of these, because nothing was there.
    pub starved: u64,
    /// Frames of time inserted to grow the delay.
    pub inserted: u64,
    /// Frames skipped to shrink it.
    pub skipped: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets seen twice.
    pub duplicates: u64,
    /// Packets thrown away: too long, pushed out, or of a stream that began anew.
    pub discarded: u64,
    /// Streams begun, the first included.
    pub starts: u64,
    /// The delay a frame has now from arrival of the fastest packets to its play-out.
    pub delay: Duration,
    /// The delay wanted.
    pub target: Duration,
    /// The sender's clock against the play-out clock, in parts per million; positive when the sender is faster.
    /// `None` until it has been watched for long enough.
    pub drift_ppm: Option<f64>,
}

impl Statistics {
    /// Of all frames asked for while a stream ran, those that were invented, 0–1.
    #[must_use]
    pub fn concealed_fraction(&self) -> f64 {
        let invented = self.concealed.saturating_add(self.inserted);
        let all = self.played.saturating_add(invented);
        if all == 0 { 0.0 } else { invented as f64 / all as f64 }
    }
}

/// The buffer of one stream.
#[derive(Debug)]
pub struct JitterBuffer {
    config: Config,
    store: Store,
    estimator: Estimator,
    stream: Option<Stream>,
    epoch: Instant,
    statistics: Statistics,
}

/// The stream that is being played.
#[derive(Debug, Clone, Copy)]
struct Stream {
    ssrc: u32,
    /// Extended sequence number of the next frame.
    next_sequence: u64,
    /// Timestamp of the next frame.
    next_timestamp: u32,
    /// Length of a frame in clock units; a guess until two packets came.
    frame_units: u32,
    playing: bool,
    first_arrival: u64,
    last_arrival: u64,
    newest: Newest,
    after_gap: bool,
    /// Frames since the delay was last moved.
    steady: u32,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u64,
    timestamp: u32,
}

/// Frames between two moves of the delay by a whole frame.
const MOVE_INTERVAL: u32 = 8;

impl JitterBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            store: Store::new(config.maximum_packets),
            estimator: Estimator::new(config),
            stream: None,
            epoch: now,
            statistics: Statistics::default(),
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
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == packet.ssrc) else {
            return self.begin(packet, arrival);
        };
        let sequence = crate::sequence::extend(stream.newest.sequence, packet.sequence);
        let ahead = sequence.wrapping_sub(stream.newest.sequence) as i64;
        let capacity = self.store.capacity() as i64;
        let outage = time::units(self.config.outage, self.config.clock_rate_hz);
        let stopped = arrival.saturating_sub(stream.last_arrival) > outage;
        if stopped || ahead.unsigned_abs() >= capacity.unsigned_abs() {
            return self.begin(packet, arrival);
        }
        stream.last_arrival = arrival;
        if ahead > 0 {
            let step = timestamp_distance(stream.newest.timestamp, packet.timestamp);
            if ahead == 1 && step > 0 && !packet.marker && (step as u32) < self.config.clock_rate_hz / 4 {
                stream.frame_units = step as u32;
            }
            stream.newest = Newest { sequence, timestamp: packet.timestamp };
        }
        self.estimator.arrived(arrival, packet.timestamp, ahead);
        if stream.playing && sequence < stream.next_sequence {
            return self.missed(sequence);
        }
        if !self.store.insert(sequence, arrival, packet) {
            self.statistics.duplicates = self.statistics.duplicates.wrapping_add(1);
            return Put::Duplicate;
        }
        Put::Stored
    }

    #[cold]
    fn missed(&mut self, sequence: u64) -> Put {
        if self.store.was_played(sequence) {
            self.statistics.duplicates = self.statistics.duplicates.wrapping_add(1);
            return Put::Duplicate;
        }
        self.statistics.late = self.statistics.late.wrapping_add(1);
        Put::Late
    }

    #[cold]
    fn begin(&mut self, packet: Incoming<'_>, arrival: u64) -> Put {
        let waiting = self.store.clear();
        self.statistics.discarded = self.statistics.discarded.wrapping_add(waiting);
        self.statistics.starts = self.statistics.starts.wrapping_add(1);
        let frame_units = self.stream.map_or(self.config.clock_rate_hz / 50, |stream| stream.frame_units);
        // Room below for packets that come out of order at the start.
        let sequence = u64::from(packet.sequence).saturating_add(0x1_0000);
        self.estimator.begin(arrival, packet.timestamp);
        self.store.insert(sequence, arrival, packet);
        self.stream = Some(Stream {
            ssrc: packet.ssrc,
            next_sequence: sequence,
            next_timestamp: packet.timestamp,
            frame_units: frame_units.max(1),
            playing: false,
            first_arrival: arrival,
            last_arrival: arrival,
            newest: Newest { sequence, timestamp: packet.timestamp },
            after_gap: true,
            steady: 0,
        });
        if self.statistics.starts > 1 { Put::Restarted } else { Put::Stored }
    }

    /// The next frame. To be called once for each frame of time that is played.
    #[inline]
    pub fn get(&mut self, now: Instant) -> Next<'_> {
        let now = self.units(now);
        let Some(mut stream) = self.stream else { return Next::Idle };
        if !stream.playing && !self.start(&mut stream, now) {
            self.stream = Some(stream);
            return Next::Idle;
        }
        stream.steady = stream.steady.saturating_add(1);
        let choice = self.choose(&mut stream, now);
        self.stream = Some(stream);
        match choice {
            Choice::Play(sequence, after_gap) => {
                self.statistics.played = self.statistics.played.wrapping_add(1);
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
            Choice::Conceal(cause) => {
                let counter = match cause {
                    Gap::Inserted => &mut self.statistics.inserted,
                    Gap::Starved | Gap::Lost => &mut self.statistics.concealed,
                };
                *counter = counter.wrapping_add(1);
                if cause == Gap::Starved {
                    self.statistics.starved = self.statistics.starved.wrapping_add(1);
                }
                Next::Conceal { units: stream.frame_units, cause }
            }
            Choice::Pause => Next::Pause { units: stream.frame_units },
            Choice::Stop => {
                if let Some(stream) = &mut self.stream {
                    stream.playing = false;
                }
                Next::Idle
            }
        }
    }

    /// Playing begins when the first packet has waited for the target delay.
    fn start(&self, stream: &mut Stream, now: u64) -> bool {
        let Some(first) = self.store.first(0) else { return false };
        let waited = now.saturating_sub(first.arrival.min(stream.first_arrival));
        if waited < u64::from(self.estimator.target()) {
            return false;
        }
        stream.next_sequence = first.sequence;
        stream.next_timestamp = first.timestamp;
        stream.playing = true;
        stream.after_gap = true;
        stream.steady = 0;
        true
    }

    fn choose(&mut self, stream: &mut Stream, now: u64) -> Choice {
        let excess = self.estimator.excess(now, stream.next_timestamp);
        let Some(first) = self.store.first(stream.next_sequence) else {
            return self.starve(stream, now);
        };
        let (sequence, timestamp) = (first.sequence, first.timestamp);
        let gap = timestamp_distance(stream.next_timestamp, timestamp);
        let half_frame = (stream.frame_units / 2) as i32;
        if gap > half_frame {
            stream.after_gap = true;
            if sequence == stream.next_sequence {
                // Nothing was lost: the sender paused, and its next talk-spurt waits for its time.
                if gap <= (stream.frame_units as i32).saturating_mul(2) || excess_allows(excess, gap) {
                    // The pause is over, or can be cut short to shrink the delay.
                    return self.play(stream, sequence, timestamp);
                }
                stream.next_timestamp = stream.next_timestamp.wrapping_add(stream.frame_units);
                return Choice::Pause;
            }
            stream.next_timestamp = stream.next_timestamp.wrapping_add(stream.frame_units);
            stream.next_sequence = stream.next_sequence.saturating_add(1).min(sequence);
            return Choice::Conceal(Gap::Lost);
        }
        match self.config.mode {
            Mode::Adaptive { .. } if stream.steady >= MOVE_INTERVAL => {
                self.adapt(stream, sequence, timestamp, excess)
            }
            Mode::Adaptive { .. } | Mode::Fixed { .. } => self.play(stream, sequence, timestamp),
        }
    }

    /// Moves the delay by a whole frame when it is off by more than one.
    fn adapt(&mut self, stream: &mut Stream, sequence: u64, timestamp: u32, excess: i32) -> Choice {
        let frame = stream.frame_units as i32;
        if excess < frame.wrapping_neg() {
            stream.steady = 0;
            return Choice::Conceal(Gap::Inserted);
        }
        if excess > frame.saturating_add(frame / 2)
            && let Some(next) = self.store.first(sequence.saturating_add(1))
            && next.sequence == sequence.saturating_add(1)
        {
            let (sequence, timestamp) = (next.sequence, next.timestamp);
            self.store.drop_before(sequence);
            self.statistics.skipped = self.statistics.skipped.wrapping_add(1);
            stream.steady = 0;
            stream.after_gap = true;
            return self.play(stream, sequence, timestamp);
        }
        self.play(stream, sequence, timestamp)
    }

    fn play(&self, stream: &mut Stream, sequence: u64, timestamp: u32) -> Choice {
        stream.next_sequence = sequence.saturating_add(1);
        stream.next_timestamp = timestamp.wrapping_add(stream.frame_units);
        let after_gap = std::mem::replace(&mut stream.after_gap, false);
        Choice::Play(sequence, after_gap)
    }

    /// Nothing is there. After an outage the stream stops; before that its time goes on.
    fn starve(&self, stream: &mut Stream, now: u64) -> Choice {
        let outage = time::units(self.config.outage, self.config.clock_rate_hz);
        if now.saturating_sub(stream.last_arrival) > outage {
            return Choice::Stop;
        }
        stream.after_gap = true;
        stream.next_timestamp = stream.next_timestamp.wrapping_add(stream.frame_units);
        Choice::Conceal(Gap::Starved)
    }

    /// By how many clock units the next frame is later than the target delay asks, when it sounds at `now`; negative
    /// when it is earlier. Whoever scales samples brings this to zero. Always 0 in fixed mode.
    #[must_use]
    pub fn excess(&self, now: Instant) -> i32 {
        match (self.config.mode, self.stream) {
            (Mode::Adaptive { .. }, Some(stream)) if stream.playing => {
                self.estimator.excess(self.units(now), stream.next_timestamp)
            }
            _ => 0,
        }
    }

    /// Counters and the present state.
    #[must_use]
    pub fn statistics(&self, now: Instant) -> Statistics {
        let rate = self.config.clock_rate_hz;
        let delay = self
            .stream
            .filter(|stream| stream.playing)
            .map_or(0, |stream| self.estimator.delay(self.units(now), stream.next_timestamp));
        Statistics {
            delay: time::duration(u64::from(delay), rate),
            target: time::duration(u64::from(self.estimator.target()), rate),
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
        self.stream = None;
    }

    fn units(&self, now: Instant) -> u64 {
        time::units(now.saturating_duration_since(self.epoch), self.config.clock_rate_hz)
    }
}

enum Choice {
    Play(u64, bool),
    Conceal(Gap),
    Pause,
    Stop,
}

/// Whether cutting `gap` units of pause brings the delay nearer to its target.
fn excess_allows(excess: i32, gap: i32) -> bool {
    excess >= gap
}
