//! Keys of a telephone: heard from a stream's peer, and pressed towards it, as events (RFC 4733) or in the sound (Q.23).

use super::StreamParameters;
use super::tones::TonePlayer;
use denwa_codecs::tone::dtmf;
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use denwa_rtp::telephone_event::{self, Change, Heard, Receiver, ReceiverConfig, Sender, SenderConfig};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a key is pressed.
pub(super) const PRESSED: Duration = Duration::from_millis(100);

/// Why keys cannot be pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigitFault {
    NoEvents,
    NotADigit(char),
    TooMany,
}

/// Presses keys towards one peer; while it does, nobody else speaks there.
#[derive(Debug)]
pub(super) enum Dialler {
    Events(EventDialler),
    Tones(ToneDialler),
}

impl Dialler {
    /// By the means the peer takes; `None` when there is none.
    pub(super) fn new(parameters: &StreamParameters, feed: u32, now: Instant) -> Option<Self> {
        if parameters.sends_keys_in_sound() {
            return Some(Self::Tones(ToneDialler { player: None, waiting: VecDeque::new(), feed, due: now }))
                .filter(|_| !parameters.send.is_empty());
        }
        EventDialler::new(parameters, feed, now).map(Self::Events)
    }

    pub(super) fn press(
        &mut self,
        digits: &str,
        parameters: &StreamParameters,
        now: Instant,
    ) -> Result<(), DigitFault> {
        match self {
            Self::Events(dialler) => dialler.press(digits),
            Self::Tones(dialler) => dialler.press(digits, parameters, now),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Events(dialler) => dialler.sender.is_idle(),
            Self::Tones(dialler) => dialler.is_idle(),
        }
    }

    /// When the next packet belongs on the wire.
    pub(super) fn due(&self) -> Instant {
        match self {
            Self::Events(dialler) => dialler.due,
            Self::Tones(dialler) => dialler.player.as_ref().map_or(dialler.due, |player| player.due),
        }
    }

    /// The packet that is due; `None` in the pause between two keys.
    pub(super) fn play(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        match self {
            Self::Events(dialler) => dialler.play(session, buffer, now),
            Self::Tones(dialler) => dialler.play(session, buffer, now),
        }
    }
}

/// Keys as the two tones they are, in the peer's codec.
#[derive(Debug)]
pub(super) struct ToneDialler {
    player: Option<Box<TonePlayer>>,
    waiting: VecDeque<char>,
    feed: u32,
    due: Instant,
}

/// Keys that may wait.
const WAITING_LIMIT: usize = 64;

impl ToneDialler {
    /// All of the keys, or none: one that could never be played would wait for ever.
    fn press(&mut self, digits: &str, parameters: &StreamParameters, now: Instant) -> Result<(), DigitFault> {
        if let Some(wrong) = digits.chars().find(|digit| dtmf::frequencies_hz(*digit).is_none()) {
            return Err(DigitFault::NotADigit(wrong));
        }
        if self.waiting.len().saturating_add(digits.len()) > WAITING_LIMIT {
            return Err(DigitFault::TooMany);
        }
        if digits.is_empty() {
            return Ok(());
        }
        let begins = self.player.is_none();
        if begins {
            let player = TonePlayer::new(None, parameters, self.feed, now).ok_or(DigitFault::NoEvents)?;
            self.player = Some(Box::new(player));
        }
        self.waiting.extend(digits.chars());
        if begins {
            self.next();
        }
        Ok(())
    }

    /// Begins with the next key that waits.
    fn next(&mut self) {
        if let (Some(player), Some(digit)) = (&mut self.player, self.waiting.pop_front()) {
            player.change(&dtmf::dial(digit.encode_utf8(&mut [0; 4]), dtmf::Sending::default()));
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.player.as_ref().is_none_or(|player| player.is_finished())
    }

    fn play(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let player = self.player.as_mut()?;
        let made = player.play(session, buffer, now);
        if player.is_finished() {
            self.next();
        }
        made
    }
}

/// Keys as events.
#[derive(Debug)]
pub(super) struct EventDialler {
    sender: Sender,
    payload_type: u8,
    feed: u32,
    timestamp: u32,
    ticks: u32,
    packet_time: Duration,
    due: Instant,
}

impl EventDialler {
    fn new(parameters: &StreamParameters, feed: u32, now: Instant) -> Option<Self> {
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

    fn press(&mut self, digits: &str) -> Result<(), DigitFault> {
        for digit in digits.chars() {
            let event = telephone_event::Event::of_key(digit).ok_or(DigitFault::NotADigit(digit))?;
            self.sender.press(event, PRESSED).map_err(|_| DigitFault::TooMany)?;
        }
        Ok(())
    }

    fn play(
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

/// Hears the keys that a peer presses as events.
#[derive(Debug, Default)]
pub(super) struct Listener {
    /// By the clock of the events.
    receivers: Vec<(u32, Receiver)>,
    /// There may be something to tell: after packets of voice they are not asked.
    stirred: bool,
}

/// A key that was heard and let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) digit: char,
    pub(crate) duration: Duration,
    /// The RTP clock of the events that told it; `None` when it was heard in the sound.
    pub(crate) clock_rate_hz: Option<u32>,
}

impl Listener {
    /// Listens to the events that were agreed on; keys half heard go on.
    pub(super) fn configure(&mut self, parameters: &StreamParameters) {
        self.receivers
            .retain(|(rate, _)| parameters.receive_events.iter().any(|event| event.clock_rate_hz == *rate));
        for event in &parameters.receive_events {
            let rate = event.clock_rate_hz;
            if rate > 0 && !self.receivers.iter().any(|(known, _)| *known == rate) {
                self.receivers.push((rate, Receiver::new(ReceiverConfig::new(rate))));
            }
        }
    }

    pub(super) fn receive(&mut self, clock_rate_hz: u32, heard: Heard<'_>, now: Instant) {
        self.stirred = true;
        if let Some((_, receiver)) = self.receivers.iter_mut().find(|(rate, _)| *rate == clock_rate_hz) {
            receiver.receive(heard, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.stirred = true;
        for (_, receiver) in &mut self.receivers {
            receiver.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.receivers.iter().filter_map(|(_, receiver)| receiver.poll_timeout()).min()
    }

    #[inline]
    pub(super) fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// The next key that was let go.
    #[inline]
    pub(super) fn poll(&mut self) -> Option<Key> {
        if !self.stirred {
            return None;
        }
        let key = self.next_key();
        self.stirred = key.is_some();
        key
    }

    fn next_key(&mut self) -> Option<Key> {
        self.receivers.iter_mut().find_map(|(rate, receiver)| {
            loop {
                if let Change::Ended { event, duration, .. } = receiver.poll()? {
                    let digit = match event {
                        telephone_event::Event::FLASH => Some('!'),
                        event => event.key(),
                    };
                    if let Some(digit) = digit {
                        return Some(Key { digit, duration, clock_rate_hz: Some(*rate) });
                    }
                }
            }
        })
    }
}
