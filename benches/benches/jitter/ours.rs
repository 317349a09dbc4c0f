//! Our play-out at its default settings.

use std::{collections::HashSet, time::Instant};

use denwa_rtp::jitter::{
    Config, Incoming,
    playout::{Decoder, Playout},
};

use super::{
    score::{Packet, Player},
    voice::Voice,
};

pub(crate) struct Ours {
    playout: Playout,
    decoder: Marked,
    scaled: u64,
}

/// Decodes the marked voice; conceals with silence, which nobody can take for a frame.
#[derive(Default)]
struct Marked(HashSet<usize>);

impl Decoder for Marked {
    fn decode(&mut self, _: u8, payload: &[u8], out: &mut Vec<i16>) {
        let (frame, samples) = Voice::decode(payload);
        self.0.insert(frame);
        out.extend(samples);
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.resize(out.len() + samples, 0);
    }
}

impl Ours {
    pub(crate) fn new(now: Instant) -> Self {
        Self { playout: Playout::new(Config::voice(8000), 8000, now), decoder: Marked::default(), scaled: 0 }
    }

    pub(crate) fn drift_ppm(&self, now: Instant) -> Option<f64> {
        self.playout.statistics(now).drift_ppm
    }
}

impl Player for Ours {
    fn arrive(&mut self, packet: &Packet, now: Instant) {
        let incoming = Incoming {
            ssrc: 1,
            sequence: packet.sequence,
            timestamp: packet.frame as u32 * 160,
            payload_type: 0,
            marker: packet.marker,
            payload: &packet.payload,
        };
        self.playout.put(incoming, now);
    }

    fn pull(&mut self, out: &mut [i16; 80], now: Instant) -> usize {
        let pulled = self.playout.pull(&mut self.decoder, out, now);
        self.scaled += (pulled.compressed + pulled.stretched) as u64;
        pulled.concealed
    }

    fn decoded(&self, frame: usize) -> bool {
        self.decoder.0.contains(&frame)
    }

    fn scaled(&self) -> u64 {
        self.scaled
    }
}
