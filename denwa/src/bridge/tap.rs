//! What a leg's peer says, as samples: for conferences, recordings and whoever listens for keys in the sound. A leg that
//! needs none of these has no tap, and its packets are never decoded.

use super::Event;
use super::LegId;
use crate::media::{Arrived, Ear, PlayOut, StreamParameters};
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent};
use std::time::{Duration, Instant};

/// How much sound is handled at a time.
pub(super) const BEAT: Duration = Duration::from_millis(20);

/// How long sound waits for what is late where nobody talks with it.
const UNHURRIED: Duration = Duration::from_millis(60);

#[derive(Debug)]
pub(super) struct Tap {
    ear: Ear,
    /// Whether the ear was made for people who talk to one another.
    is_conversation: bool,
    sample_rate_hz: u32,
    frame: Vec<i16>,
    detector: Option<Detector>,
    /// The next beat; a conference has one of its own for all its members.
    pub(super) due: Instant,
}

impl Tap {
    pub(super) fn new(sample_rate_hz: u32, is_conversation: bool, now: Instant) -> Self {
        let play_out = if is_conversation { PlayOut::Adaptive } else { PlayOut::Fixed(UNHURRIED) };
        let samples = sample_rate_hz as usize / 50;
        Self {
            ear: Ear::new(sample_rate_hz, play_out),
            is_conversation,
            sample_rate_hz,
            frame: vec![0; samples],
            detector: None,
            due: now + BEAT,
        }
    }

    pub(super) fn is_for(&self, is_conversation: bool) -> bool {
        self.is_conversation || !is_conversation
    }

    pub(super) fn configure(&mut self, parameters: &StreamParameters, now: Instant) {
        self.ear.configure(parameters, now);
    }

    pub(super) fn detect(&mut self, wanted: bool) {
        match wanted {
            true if self.detector.is_none() => self.detector = Some(Detector::new(self.sample_rate_hz)),
            true => {}
            false => self.detector = None,
        }
    }

    #[inline]
    pub(super) fn put(&mut self, arrived: &Arrived, payload: &[u8], now: Instant) {
        self.ear.put(arrived, payload, now);
    }

    /// The next stretch of what the peer says; keys in it are told.
    pub(super) fn hear(&mut self, leg: LegId, mut tell: impl FnMut(Event), now: Instant) -> &[i16] {
        self.ear.hear(&mut self.frame, now);
        if let Some(detector) = &mut self.detector {
            detector.listen(&self.frame, |event| {
                if let DtmfEvent::Ended { digit, duration_ms } = event {
                    let duration = Duration::from_millis(u64::from(duration_ms));
                    tell(Event::Digit { leg, digit, duration });
                }
            });
        }
        &self.frame
    }
}
