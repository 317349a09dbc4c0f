//! Fax machines and modems heard in the sound of a leg: the tones by which they call and answer (T.30 CNG, V.25 ANS).

use crate::media::{Decoders, StreamParameters};
use denwa_codecs::tone::single::{Detector, Signal, SignalEvent};
use denwa_rtp::jitter::playout::Decoder;
use std::time::{Duration, Instant};

/// How long it is listened for: machines speak up at the beginning of a call.
const LISTENED: Duration = Duration::from_secs(60);

/// Both tones are below 4 kHz.
const SAMPLE_RATE_HZ: u32 = 8000;

/// Listens to one leg for a while.
#[derive(Debug)]
pub(super) struct DataEar {
    decoders: Decoders,
    detector: Detector,
    sound: Vec<i16>,
    until: Instant,
}

impl DataEar {
    pub(super) fn new(parameters: Option<&StreamParameters>, now: Instant) -> Self {
        let mut ear = Self {
            decoders: Decoders::new(SAMPLE_RATE_HZ),
            detector: Detector::new(SAMPLE_RATE_HZ),
            sound: Vec::new(),
            until: now + LISTENED,
        };
        if let Some(parameters) = parameters {
            ear.configure(parameters);
        }
        ear
    }

    /// What is agreed now.
    pub(super) fn configure(&mut self, parameters: &StreamParameters) {
        self.decoders.configure(&parameters.receive);
    }

    /// Whether it has listened for long enough.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Listens to a packet; the tone when one was heard.
    pub(super) fn hear(&mut self, payload_type: u8, payload: &[u8]) -> Option<Signal> {
        self.sound.clear();
        self.decoders.decode(payload_type, payload, &mut self.sound);
        let mut heard = None;
        self.detector.listen(&self.sound, |event| {
            if let SignalEvent::Begun { signal, .. } = event {
                heard = Some(signal);
            }
        });
        heard
    }
}
