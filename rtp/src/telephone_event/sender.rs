//! Sending: updates while the event lasts, three packets at its end, segments when it is long (RFC 4733 §2.5.1).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::VecDeque, time::Duration};

use super::{Event, Payload};
use crate::{error::Misuse, sequence::timestamp_distance, time};

/// The packets that tell the end: one, and two more against loss.
const END_PACKETS: u8 = 3;
/// The longest a segment can be.
const SEGMENT: u32 = 0xffff;

/// How events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderConfig {
    /// Clock rate of the payload type, which must be that of the voice beside it.
    pub clock_rate_hz: u32,
    /// Silence between two events.
    pub pause: Duration,
    /// Volume in −dBm0, 0–63.
    pub volume: u8,
    /// Events that may wait.
    pub maximum_queue: usize,
}

impl SenderConfig {
    /// −10 dBm0, 60 ms between digits, 64 digits ahead.
    #[must_use]
    pub const fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, pause: Duration::from_millis(60), volume: 10, maximum_queue: 64 }
    }
}

/// A packet to send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// Timestamp on the time line given to [`Sender::poll`]: when the event, or its segment, began.
    pub timestamp: u32,
    /// The first packet of an event.
    pub marker: bool,
    /// Its payload.
    pub payload: Payload,
}

/// Spells out events, one packet for each call of [`Sender::poll`].
#[derive(Debug, Clone)]
pub struct Sender {
    config: SenderConfig,
    queue: VecDeque<(Event, Option<u32>)>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    Sounding(Sounding),
    /// A segment is full; its last packet is repeated before the next segment is reported.
    SegmentFull {
        last: EventPacket,
        left: u8,
        next: Sounding,
    },
    Ending {
        segment_start: u32,
        payload: Payload,
        left: u8,
        pause_from: u32,
    },
    Pausing {
        from: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Sounding {
    event: Event,
    segment_start: u32,
    /// Units left from the segment's start; `None` until released.
    length: Option<u32>,
    first: bool,
}

impl Sender {
    /// A sender with nothing to say.
    #[must_use]
    pub const fn new(config: SenderConfig) -> Self {
        Self { config, queue: VecDeque::new(), state: State::Idle }
    }

    /// Queues an event of `duration`.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn press(&mut self, event: Event, duration: Duration) -> Result<(), Misuse> {
        let units = u32::try_from(time::units(duration, self.config.clock_rate_hz)).unwrap_or(u32::MAX);
        self.queue_up(event, Some(units.max(1)))
    }

    /// Queues an event that lasts until [`Sender::release`].
    ///
    /// # Errors
    /// When the queue is full.
    pub fn hold_down(&mut self, event: Event) -> Result<(), Misuse> {
        self.queue_up(event, None)
    }

    /// Ends the event that is held down, whether it sounds or waits, as of the next packet.
    pub fn release(&mut self) {
        if let State::Sounding(sounding) | State::SegmentFull { next: sounding, .. } = &mut self.state
            && sounding.length.is_none()
        {
            sounding.length = Some(0);
        }
        for waiting in self.queue.iter_mut().filter(|waiting| waiting.1.is_none()) {
            // Pressed and released before it could sound: it still has to be heard.
            waiting.1 = Some(
                u32::try_from(time::units(Duration::from_millis(80), self.config.clock_rate_hz))
                    .unwrap_or(640),
            );
        }
    }

    fn queue_up(&mut self, event: Event, length: Option<u32>) -> Result<(), Misuse> {
        if self.queue.len() >= self.config.maximum_queue {
            return Err(Misuse::TooLong("the queue of events is full"));
        }
        self.queue.push_back((event, length));
        Ok(())
    }

    /// Whether nothing sounds and nothing waits: voice may be sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.queue.is_empty()
    }

    /// To be called once each packet time with the time line's present timestamp. `None`: nothing to send, and no
    /// voice either while [`Sender::is_idle`] is false.
    pub fn poll(&mut self, now: u32) -> Option<EventPacket> {
        if let State::Pausing { from } = self.state {
            let pause = time::units(self.config.pause, self.config.clock_rate_hz);
            if u64::try_from(timestamp_distance(from, now)).unwrap_or(0) < pause {
                return None;
            }
            self.state = State::Idle;
        }
        if let State::Idle = self.state {
            let (event, length) = self.queue.pop_front()?;
            self.state = State::Sounding(Sounding { event, segment_start: now, length, first: true });
        }
        match self.state {
            State::Sounding(sounding) => Some(self.update(sounding, now)),
            State::Ending { segment_start, payload, left, pause_from } => {
                self.state = match left.checked_sub(1) {
                    None | Some(0) => State::Pausing { from: pause_from },
                    Some(left) => State::Ending { segment_start, payload, left, pause_from },
                };
                Some(EventPacket { timestamp: segment_start, marker: false, payload })
            }
            State::SegmentFull { last, left, next } => {
                self.state = match left.saturating_sub(1) {
                    0 => State::Sounding(next),
                    left => State::SegmentFull { last, left, next },
                };
                Some(last)
            }
            State::Idle | State::Pausing { .. } => None,
        }
    }

    /// One update, which is the first of the end packets when the event is over.
    fn update(&mut self, sounding: Sounding, now: u32) -> EventPacket {
        let elapsed = u32::try_from(timestamp_distance(sounding.segment_start, now)).unwrap_or(0);
        let over = sounding.length.is_some_and(|length| elapsed >= length);
        let so_far = if over { sounding.length.unwrap_or(elapsed).max(1) } else { elapsed };
        let so_far = if over && sounding.length == Some(0) { elapsed.max(1) } else { so_far };
        let payload = |end, duration: u32| Payload {
            event: sounding.event,
            end,
            volume: self.config.volume,
            duration: duration.min(SEGMENT) as u16,
        };
        if so_far > SEGMENT {
            // The segment is full: its last packet says so without an end, and the next goes on from there.
            let next = Sounding {
                segment_start: sounding.segment_start.wrapping_add(SEGMENT),
                length: sounding.length.map(|length| length.saturating_sub(SEGMENT)),
                first: false,
                ..sounding
            };
            let last = EventPacket {
                timestamp: sounding.segment_start,
                marker: false,
                payload: payload(false, SEGMENT),
            };
            self.state = State::SegmentFull { last, left: END_PACKETS.saturating_sub(1), next };
            return EventPacket { marker: sounding.first, ..last };
        }
        let packet = EventPacket {
            timestamp: sounding.segment_start,
            marker: sounding.first,
            payload: payload(over, so_far),
        };
        self.state = if over {
            let pause_from = sounding.segment_start.wrapping_add(so_far);
            let left = END_PACKETS.saturating_sub(1);
            State::Ending { segment_start: sounding.segment_start, payload: packet.payload, left, pause_from }
        } else {
            State::Sounding(Sounding { first: false, ..sounding })
        };
        packet
    }
}
