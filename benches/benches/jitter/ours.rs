//! Our play-out at its default settings.

use std::time::Instant;

use denwa_rtp::jitter::{
    Config, Incoming,
    playout::{Decoder, Playout},
};

use super::{score::Player, voice::Voice};

pub(crate) struct Ours {
    playout: Playout,
    decoder: Marked,
}

/// Decodes the marked voice; conceals with silence, which nobody can take for a frame.
struct Marked;

impl Decoder for Marked {
    fn decode(&mut self, _: u8, payload: &[u8], out: &mut Vec<i16>) {
        out.extend(Voice::decode(payload));
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.resize(out.len() + samples, 0);
    }
}

impl Ours {
    pub(crate) fn new(now: Instant) -> Self {
        Self { playout: Playout::new(Config::voice(8000), 8000, now), decoder: Marked }
    }

    pub(crate) fn drift_ppm(&self, now: Instant) -> Option<f64> {
        self.playout.statistics(now).drift_ppm
    }
}

impl Player for Ours {
    fn arrive(&mut self, frame: usize, payload: &[u8], spurt: bool, now: Instant) {
        let incoming = Incoming {
            ssrc: 1,
            sequence: frame as u16,
            timestamp: frame as u32 * 160,
            payload_type: 0,
            marker: spurt && frame == 0,
            payload,
        };
        self.playout.put(incoming, now);
    }

    fn pull(&mut self, out: &mut [i16; 80], now: Instant) -> usize {
        self.playout.pull(&mut self.decoder, out, now).concealed
    }
}
