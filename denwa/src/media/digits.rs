//! Keys of a telephone as events (RFC 4733): heard from a stream's peer, and pressed towards it.

use super::{Event, StreamParameters};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use denwa_rtp::telephone_event::{self, Change, Heard, Receiver, ReceiverConfig, Sender, SenderConfig};
use std::time::{Duration, Instant};

/// How long a key is pressed.
const PRESSED: Duration = Duration::from_millis(100);

/// Why keys cannot be pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigitFault {
    NoEvents,
    NotADigit(char),
    TooMany,
}

/// Presses keys towards one peer; while it does, nobody else speaks there.
#[derive(Debug)]
pub(super) struct Dialler {
    sender: Sender,
    payload_type: u8,
    feed: u32,
    timestamp: u32,
    ticks: u32,
    packet_time: Duration,
    /// When the next packet belongs on the wire.
    pub(super) due: Instant,
}

impl Dialler {
    pub(super) fn new(parameters: &StreamParameters, feed: u32, now: Instant) -> Option<Self> {
        let voice_rate = parameters.send.first().map_or(8000, |format| format.clock_rate_hz);
        let event = parameters
            .send_events
            .iter()
            .find(|event| event.clock_rate_hz == voice_rate)
            .or_else(|| parameters.send_events.first())?;
        let milliseconds = u32::try_from(parameters.packet_time.as_millis()).unwrap_or(20).clamp(10, 200);
        Some(Self {
            sender: Sender::new(SenderConfig::new(event.clock_rate_hz)),
            payload_type: event.payload_type,
            feed,
            timestamp: 0,
            ticks: event.clock_rate_hz / 1000 * milliseconds,
            packet_time: Duration::from_millis(u64::from(milliseconds)),
            due: now,
        })
    }

    pub(super) fn press(&mut self, digits: &str) -> Result<(), DigitFault> {
        for digit in digits.chars() {
            let event = telephone_event::Event::of_key(digit).ok_or(DigitFault::NotADigit(digit))?;
            self.sender.press(event, PRESSED).map_err(|_| DigitFault::TooMany)?;
        }
        Ok(())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sender.is_idle()
    }

    /// The packet that is due; `None` in the pause between two keys.
    pub(super) fn play(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let packet = self.sender.poll(self.timestamp);
        self.timestamp = self.timestamp.wrapping_add(self.ticks);
        self.due = (self.due + self.packet_time).max(now + self.packet_time / 2);
        let packet = packet?;
        let frame = Frame {
            feed: self.feed,
            timestamp: packet.timestamp,
            payload_type: self.payload_type,
            marker: packet.marker,
            payload: &packet.payload.octets(),
        };
        Some(session.send(frame, buffer, now))
    }
}

/// Hears the keys that a peer presses.
#[derive(Debug)]
pub(super) struct Listener(Receiver);

impl Listener {
    pub(super) fn new(parameters: &StreamParameters) -> Option<Self> {
        let rate = parameters.receive_events.first()?.clock_rate_hz;
        Some(Self(Receiver::new(ReceiverConfig::new(rate))))
    }

    pub(super) fn receive(&mut self, heard: Heard<'_>, now: Instant) {
        self.0.receive(heard, now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// The next key that was let go.
    pub(super) fn poll(&mut self) -> Option<Event> {
        loop {
            match self.0.poll()? {
                Change::Started { .. } => {}
                Change::Ended { event, duration, .. } => {
                    let digit = match event {
                        telephone_event::Event::FLASH => Some('!'),
                        event => event.key(),
                    };
                    if let Some(digit) = digit {
                        return Some(Event::Digit { digit, duration });
                    }
                }
            }
        }
    }
}
