//! Keys heard in the sound of a leg whose peer has no other way to send them.

use crate::media::{Decoders, StreamParameters};
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent};
use denwa_rtp::jitter::playout::Decoder;
use std::time::Duration;

/// Listens to one leg.
#[derive(Debug)]
pub(super) struct KeyEar {
    decoders: Decoders,
    detector: Detector,
    sound: Vec<i16>,
    /// A key sounds now.
    pub(super) sounding: bool,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Begun(char),
    Ended(char, Duration),
}

/// Keys are below 4 kHz.
const SAMPLE_RATE_HZ: u32 = 8000;

impl KeyEar {
    /// `None` where keys come as events.
    pub(super) fn new(parameters: &StreamParameters) -> Option<Self> {
        if !parameters.hears_keys_in_sound() {
            return None;
        }
        let mut decoders = Decoders::new(SAMPLE_RATE_HZ);
        decoders.configure(&parameters.receive);
        let detector = Detector::new(SAMPLE_RATE_HZ);
        Some(Self { decoders, detector, sound: Vec::new(), sounding: false })
    }

    /// What is agreed now; a key that sounds goes on.
    pub(super) fn configure(&mut self, parameters: &StreamParameters) {
        self.decoders.configure(&parameters.receive);
    }

    /// Listens to a packet.
    pub(super) fn hear(&mut self, payload_type: u8, payload: &[u8], mut tell: impl FnMut(Heard)) {
        self.sound.clear();
        self.decoders.decode(payload_type, payload, &mut self.sound);
        let sounding = &mut self.sounding;
        self.detector.listen(&self.sound, |event| match event {
            DtmfEvent::Begun { digit, .. } => {
                *sounding = true;
                tell(Heard::Begun(digit));
            }
            DtmfEvent::Ended { digit, duration_ms } => {
                *sounding = false;
                tell(Heard::Ended(digit, Duration::from_millis(duration_ms.into())));
            }
        });
    }
}
