//! Receiving: each event once. An event is known by its timestamp; what repeats it is an update (RFC 4733 §2.5.2).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Event, Payload};
use crate::{
    sequence::{distance, timestamp_distance},
    time,
};

/// Events remembered, so that a late packet of one does not ring it again.
const REMEMBERED: usize = 16;
/// A full segment.
const SEGMENT: u32 = 0xffff;

/// How events are received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// Clock rate of the payload type.
    pub clock_rate_hz: u32,
    /// An event of which nothing more is heard is over after this long (three updates of 50 ms and some patience).
    pub silence: Duration,
}

impl ReceiverConfig {
    /// 200 ms of patience.
    #[must_use]
    pub const fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, silence: Duration::from_millis(200) }
    }
}

/// An event packet as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard<'a> {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Its payload.
    pub payload: &'a [u8],
}

/// What happened to an event. Each `Started` is followed by one `Ended` of the same event before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Started {
        /// Which.
        event: Event,
        /// Power in −dBm0.
        volume: u8,
    },
    /// It is over.
    Ended {
        /// Which.
        event: Event,
        /// How long it lasted, as far as was heard.
        duration: Duration,
        /// How that is known.
        cause: EndCause,
    },
}

/// How the end of an event is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndCause {
    /// A packet said so.
    Told,
    /// Another event began.
    NextEvent,
    /// Nothing more was heard of it.
    Silence,
}

/// Receives the events of one source.
#[derive(Debug, Clone)]
pub struct Receiver {
    config: ReceiverConfig,
    current: Option<Current>,
    /// Timestamps and codes of events already told, newest last.
    told: VecDeque<Told>,
    changes: VecDeque<Change>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    event: Event,
    segment_start: u32,
    /// Units of the segments before this one.
    before: u64,
    duration: u16,
    sequence: u16,
    heard_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    event: Event,
    first_start: u32,
    /// How far it is known to have reached.
    reached: u32,
    sequence: u16,
    ended: bool,
}

impl Receiver {
    /// A receiver that has heard nothing.
    #[must_use]
    pub const fn new(config: ReceiverConfig) -> Self {
        Self { config, current: None, told: VecDeque::new(), changes: VecDeque::new() }
    }

    /// Takes one packet, which may hold several events that follow each other without a pause (§2.5.1.5). Octets that
    /// make no whole event are ignored.
    pub fn receive(&mut self, heard: Heard<'_>, now: Instant) {
        let mut timestamp = heard.timestamp;
        for octets in heard.payload.as_chunks::<{ Payload::LENGTH }>().0 {
            let Ok(payload) = Payload::parse(octets) else { return };
            self.receive_event(Heard { timestamp, ..heard }, payload, now);
            timestamp = timestamp.wrapping_add(u32::from(payload.duration));
        }
    }

    fn receive_event(&mut self, heard: Heard<'_>, payload: Payload, now: Instant) {
        if self.belongs_to_current(heard, payload) {
            self.update(heard, payload, now);
        } else if !self.was_told(heard, payload) {
            self.begin(heard, payload, now);
        }
    }

    /// Ends an event of which nothing was heard for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.end(EndCause::Silence);
        }
    }

    /// When [`Receiver::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| time::after(current.heard_at, self.config.silence))
    }

    /// What happened, oldest first.
    pub fn poll(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// The same timestamp, or that of a later segment of the same event. Senders that move the timestamp with every
    /// packet (old gateways do) are known by successive numbers without a marker and a duration that grows.
    fn belongs_to_current(&self, heard: Heard<'_>, payload: Payload) -> bool {
        let Some(current) = &self.current else { return false };
        if payload.event != current.event {
            return false;
        }
        if heard.timestamp == current.segment_start {
            return true;
        }
        let ahead = heard.timestamp.wrapping_sub(current.segment_start);
        let next_segment =
            timestamp_distance(current.segment_start, heard.timestamp) > 0 && ahead.is_multiple_of(SEGMENT);
        let in_row = distance(current.sequence, heard.sequence) == 1;
        !heard.marker && (next_segment || (in_row && payload.duration > current.duration))
    }

    fn update(&mut self, heard: Heard<'_>, payload: Payload, now: Instant) {
        let Some(current) = &mut self.current else { return };
        if heard.timestamp != current.segment_start {
            let ahead = heard.timestamp.wrapping_sub(current.segment_start);
            if ahead.is_multiple_of(SEGMENT) {
                current.before = current.before.saturating_add(u64::from(ahead));
                current.duration = payload.duration;
            }
            current.segment_start = heard.timestamp;
        }
        current.duration = current.duration.max(payload.duration);
        if distance(current.sequence, heard.sequence) > 0 {
            current.sequence = heard.sequence;
        }
        current.heard_at = now;
        self.remember_progress();
        if payload.end {
            self.end(EndCause::Told);
        }
    }

    fn remember_progress(&mut self) {
        if let (Some(current), Some(told)) = (&self.current, self.told.back_mut()) {
            told.reached = current.segment_start.wrapping_add(u32::from(current.duration));
            told.sequence = current.sequence;
        }
    }

    /// Whether this is a late or repeated packet of an event that was told before.
    fn was_told(&self, heard: Heard<'_>, payload: Payload) -> bool {
        self.told.iter().any(|told| {
            let from_start = timestamp_distance(told.first_start, heard.timestamp);
            let from_reach = timestamp_distance(told.reached, heard.timestamp);
            let within = from_start >= 0 && from_reach < 0;
            // Repeated end packets whose timestamps move, from senders that do that.
            let repeated_end = told.ended
                && payload.end
                && !heard.marker
                && (1..=2).contains(&distance(told.sequence, heard.sequence))
                && timestamp_distance(told.first_start, heard.timestamp) > 0;
            told.event == payload.event && (from_start == 0 || within || repeated_end)
        })
    }

    fn begin(&mut self, heard: Heard<'_>, payload: Payload, now: Instant) {
        // A whole event that comes later than its successor's first packet is told at once, between the two: late,
        // but neither lost nor mixed up with the one that sounds.
        self.end(EndCause::NextEvent);
        self.changes.push_back(Change::Started { event: payload.event, volume: payload.volume });
        self.current = Some(Current {
            event: payload.event,
            segment_start: heard.timestamp,
            before: 0,
            duration: payload.duration,
            sequence: heard.sequence,
            heard_at: now,
        });
        if self.told.len() >= REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back(Told {
            event: payload.event,
            first_start: heard.timestamp,
            reached: heard.timestamp.wrapping_add(u32::from(payload.duration)),
            sequence: heard.sequence,
            ended: false,
        });
        if payload.end {
            self.end(EndCause::Told);
        }
    }

    fn end(&mut self, cause: EndCause) {
        let Some(current) = self.current.take() else { return };
        if let Some(told) = self.told.back_mut() {
            told.ended = true;
        }
        let units = current.before.saturating_add(u64::from(current.duration));
        let duration = time::duration(units, self.config.clock_rate_hz);
        self.changes.push_back(Change::Ended { event: current.event, duration, cause });
    }
}
