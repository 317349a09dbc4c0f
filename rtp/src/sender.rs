//! The outgoing stream: one SSRC whose sequence numbers and timestamps stay continuous whoever feeds it.
//!
//! Feeds are the local encoder, announcements, or the packets of other legs (RFC 3550 §5.1; the switch follows what
//! §7.3 expects of a mixer). Each packet of a feed keeps its distance to the feed's others, so that gaps and
//! reordering stay visible; at a switch both numbers go on from where the stream stood and the marker is set.

use std::time::Instant;

use crate::{
    sequence::{distance, timestamp_distance},
    time,
};

/// Who feeds the stream. Equal values are one feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feed {
    /// Frames made here; the number tells apart feeds whose timestamps have nothing to do with each other.
    Local(u32),
    /// Packets of another leg with this SSRC.
    Relayed(u32),
}

/// A timestamp that leaps by more than this many seconds against the clock is taken for a jump of the feed.
const TIMESTAMP_JUMP_SECONDS: u32 = 2;
/// Packets of the feed that came before the switch (or this much out of order) are not sent.
const MAXIMUM_DISORDER: i16 = -100;
/// A number this far ahead is a restart of the feed.
const MAXIMUM_GAP: i16 = 3000;

/// The stream as sent so far.
#[derive(Debug, Clone)]
pub struct Sender {
    ssrc: u32,
    clock_rate_hz: u32,
    feed: Option<Mapping>,
    /// Number and timestamp a first packet will carry.
    start: (u16, u32),
    newest: Option<Newest>,
    /// Number and timestamp found last.
    placed: (u16, u32),
    packets: u64,
    payload_octets: u64,
    switches: u64,
    report_base: u64,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    feed: Feed,
    /// Added to the feed's numbers.
    sequence_offset: u16,
    timestamp_offset: u32,
    /// The first number given out under this mapping, while packets from before it may still come: their numbers
    /// belong to the time before.
    first_sequence: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u16,
    /// The furthest timestamp and when it was first sent: a telephone event repeats its own for seconds.
    timestamp: u32,
    timestamp_at: Instant,
    at: Instant,
}

impl Newest {
    #[inline]
    fn follow(&mut self, sequence: u16, timestamp: u32, now: Instant) {
        self.sequence = sequence;
        self.at = now;
        if timestamp_distance(self.timestamp, timestamp) > 0 {
            self.timestamp = timestamp;
            self.timestamp_at = now;
        }
    }

    /// Whether the step to `timestamp` has nothing to do with the time that passed.
    #[inline]
    fn leaps(&self, ahead: i16, timestamp: u32, clock_rate_hz: u32, now: Instant) -> bool {
        let limit = clock_rate_hz.saturating_mul(TIMESTAMP_JUMP_SECONDS);
        let step = timestamp_distance(self.timestamp, timestamp);
        // The usual step needs no clock.
        if ahead <= 0 || (0..=limit as i32).contains(&step) {
            return false;
        }
        let elapsed = self.units_until(now, clock_rate_hz);
        timestamp_distance(elapsed, step as u32).unsigned_abs() > limit
    }

    fn units_until(&self, now: Instant, clock_rate_hz: u32) -> u32 {
        time::units(now.saturating_duration_since(self.timestamp_at), clock_rate_hz) as u32
    }
}

/// Where a packet goes in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Sequence number to write.
    pub sequence: u16,
    /// Timestamp to write.
    pub timestamp: u32,
    /// The marker must be set: the feed has changed, or begins anew.
    pub switched: bool,
}

/// How a place was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The feed goes on.
    Continues,
    /// The feed has changed, or begins anew.
    Switched,
    /// The number belongs to the time before.
    Taken,
}

impl Sender {
    /// A stream that has not begun; `sequence` and `timestamp` should be random (RFC 3550 §5.1).
    #[must_use]
    pub const fn new(ssrc: u32, sequence: u16, timestamp: u32, clock_rate_hz: u32) -> Self {
        Self {
            ssrc,
            clock_rate_hz,
            feed: None,
            start: (sequence, timestamp),
            newest: None,
            placed: (sequence, timestamp),
            packets: 0,
            payload_octets: 0,
            switches: 0,
            report_base: 0,
        }
    }

    /// Finds the place of a packet that has `sequence` and `timestamp` in its feed; `None` when it is older than
    /// the switch to this feed and would repeat a number already used.
    #[inline]
    pub fn place(&mut self, feed: Feed, sequence: u16, timestamp: u32, now: Instant) -> Option<Place> {
        match self.find_place(feed, sequence, timestamp, now) {
            Finding::Taken => None,
            found => Some(Place {
                sequence: self.placed.0,
                timestamp: self.placed.1,
                switched: found == Finding::Switched,
            }),
        }
    }

    /// Leaves the place in `placed`: a small result and two plain words are cheaper than an optional structure.
    #[inline]
    pub(crate) fn find_place(&mut self, feed: Feed, sequence: u16, timestamp: u32, now: Instant) -> Finding {
        if let (Some(mapping), Some(newest)) = (&mut self.feed, &mut self.newest)
            && mapping.feed == feed
        {
            let out = sequence.wrapping_add(mapping.sequence_offset);
            let out_timestamp = timestamp.wrapping_add(mapping.timestamp_offset);
            let ahead = distance(newest.sequence, out);
            if (MAXIMUM_DISORDER..MAXIMUM_GAP).contains(&ahead) {
                if let Some(first) = mapping.first_sequence {
                    if distance(first, out) < 0 {
                        return Finding::Taken;
                    }
                    // Packets from before the switch are too old to come, once as many have followed.
                    if distance(first, newest.sequence) > MAXIMUM_DISORDER.wrapping_neg() {
                        mapping.first_sequence = None;
                    }
                }
                if !newest.leaps(ahead, out_timestamp, self.clock_rate_hz, now) {
                    if ahead > 0 {
                        newest.follow(out, out_timestamp, now);
                    }
                    self.placed = (out, out_timestamp);
                    return Finding::Continues;
                }
            }
        }
        self.switch(feed, sequence, timestamp, now);
        Finding::Switched
    }

    pub(crate) const fn placed(&self) -> (u16, u32) {
        self.placed
    }

    /// The place of the next frame of a local feed, which has no numbers of its own.
    pub fn place_next(&mut self, feed: Feed, timestamp: u32, now: Instant) -> Place {
        let next = match (self.feed, self.newest) {
            (Some(mapping), Some(newest)) if mapping.feed == feed => {
                newest.sequence.wrapping_add(1).wrapping_sub(mapping.sequence_offset)
            }
            _ => 0,
        };
        match self.place(feed, next, timestamp, now) {
            Some(place) => place,
            // The number after the newest is never before the first; if it were, a fresh mapping is right.
            None => {
                self.switch(feed, next, timestamp, now);
                Place { sequence: self.placed.0, timestamp: self.placed.1, switched: true }
            }
        }
    }

    /// Forgets the feed: its next packet goes on where the stream stands, whatever was held back meanwhile.
    pub const fn restart_feed(&mut self) {
        self.feed = None;
    }

    /// Counts a packet as sent.
    pub fn count(&mut self, payload_octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.payload_octets = self.payload_octets.wrapping_add(payload_octets as u64);
    }

    /// Goes on with another feed: the next number, and the timestamp that the time since the newest packet gives.
    #[cold]
    #[inline(never)]
    fn switch(&mut self, feed: Feed, sequence: u16, timestamp: u32, now: Instant) {
        let (out, out_timestamp) = match self.newest {
            None => self.start,
            Some(newest) => {
                let elapsed = newest.units_until(now, self.clock_rate_hz);
                (newest.sequence.wrapping_add(1), newest.timestamp.wrapping_add(elapsed.max(1)))
            }
        };
        self.feed = Some(Mapping {
            feed,
            sequence_offset: out.wrapping_sub(sequence),
            timestamp_offset: out_timestamp.wrapping_sub(timestamp),
            first_sequence: Some(out),
        });
        self.switches = self.switches.wrapping_add(1);
        self.newest = Some(Newest { sequence: out, timestamp: out_timestamp, timestamp_at: now, at: now });
        self.placed = (out, out_timestamp);
    }

    /// Timestamps run by another clock from the next switch of feeds on, when another codec is spoken (RFC 7160 §4).
    pub const fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz;
    }

    /// The stream's synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes another SSRC, as after a collision (RFC 3550 §8.2): packets and octets are counted anew.
    pub fn change_ssrc(&mut self, ssrc: u32) {
        self.ssrc = ssrc;
        self.packets = 0;
        self.payload_octets = 0;
        self.report_base = 0;
    }

    /// Packets sent under this SSRC.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Octets of payload sent under this SSRC.
    #[must_use]
    pub const fn payload_octets(&self) -> u64 {
        self.payload_octets
    }

    /// How often the feed changed or began anew, the first time included.
    #[must_use]
    pub const fn switches(&self) -> u64 {
        self.switches
    }

    /// The clock rate of the stream.
    #[must_use]
    pub const fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// When the newest packet was sent.
    #[must_use]
    pub fn last_at(&self) -> Option<Instant> {
        self.newest.map(|newest| newest.at)
    }

    /// The timestamp that corresponds to `now`, as a sender report carries it (RFC 3550 §6.4.1).
    #[must_use]
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let newest = self.newest?;
        Some(newest.timestamp.wrapping_add(newest.units_until(now, self.clock_rate_hz)))
    }

    /// Whether number and timestamp look like those of a packet sent in the last seconds.
    #[must_use]
    pub fn has_sent_lately(&self, sequence: u16, timestamp: u32) -> bool {
        self.newest.is_some_and(|newest| {
            let age = distance(sequence, newest.sequence);
            let limit = self.clock_rate_hz.saturating_mul(10);
            (0..MAXIMUM_GAP).contains(&age)
                && timestamp_distance(timestamp, newest.timestamp).unsigned_abs() <= limit
        })
    }

    /// The mapped timestamp of a feed's timestamp, when it is the current feed.
    #[must_use]
    pub fn map_timestamp(&self, feed: Feed, timestamp: u32) -> Option<u32> {
        let mapping = self.feed.filter(|mapping| mapping.feed == feed)?;
        Some(timestamp.wrapping_add(mapping.timestamp_offset))
    }
}
