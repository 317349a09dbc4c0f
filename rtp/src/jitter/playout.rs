//! From frames to samples: a play-out that can be asked for any number of samples at any time.
//!
//! The decoder is the caller's; this crate knows no codec. Lost frames are concealed by the decoder.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::VecDeque, time::Instant};

use super::{Config, Gap, Incoming, JitterBuffer, Next, Put, Statistics};

/// What a play-out needs of a codec.
pub trait Decoder {
    /// Decodes one payload; appends its samples to `out`. What cannot be decoded appends nothing and is concealed.
    fn decode(&mut self, payload_type: u8, payload: &[u8], out: &mut Vec<i16>);

    /// Invents `samples` samples for a gap and appends them: the codec's own concealment, or the last frame fading.
    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>);

    /// Appends `samples` samples for a pause of the sender: comfort noise, or silence.
    fn pause(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.resize(out.len().saturating_add(samples), 0);
    }
}

/// What the samples of one [`Playout::pull`] are made of. Counts of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulled {
    /// Decoded.
    pub decoded: usize,
    /// Concealed.
    pub concealed: usize,
    /// Pauses and silence.
    pub paused: usize,
}

/// A jitter buffer, and the samples that were made and not yet asked for.
#[derive(Debug)]
pub struct Playout {
    buffer: JitterBuffer,
    clock_rate_hz: u32,
    sample_rate_hz: u32,
    ready: VecDeque<i16>,
    scratch: Vec<i16>,
}

/// More than this many frames are never made for one pull.
const MAXIMUM_FRAMES: usize = 64;

impl Playout {
    /// A play-out at `sample_rate_hz`, which may differ from the timestamps' rate (G.722).
    #[must_use]
    pub fn new(config: Config, sample_rate_hz: u32, now: Instant) -> Self {
        Self {
            buffer: JitterBuffer::new(config, now),
            clock_rate_hz: config.clock_rate_hz.max(1),
            sample_rate_hz,
            ready: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes a packet that arrived `now`.
    pub fn put(&mut self, packet: Incoming<'_>, now: Instant) -> Put {
        self.buffer.put(packet, now)
    }

    /// Fills `out`, whatever came or did not.
    pub fn pull(&mut self, decoder: &mut impl Decoder, out: &mut [i16], now: Instant) -> Pulled {
        let mut pulled = Pulled::default();
        for _ in 0..MAXIMUM_FRAMES {
            if self.ready.len() >= out.len() {
                break;
            }
            self.make_frame(decoder, out.len(), now, &mut pulled);
        }
        self.ready.resize(self.ready.len().max(out.len()), 0);
        let length = out.len();
        for (room, sample) in out.iter_mut().zip(self.ready.drain(..length)) {
            *room = sample;
        }
        pulled
    }

    fn make_frame(&mut self, decoder: &mut impl Decoder, wanted: usize, now: Instant, pulled: &mut Pulled) {
        let (clock, rate) = (self.clock_rate_hz, self.sample_rate_hz);
        let samples = |units: u32| {
            let samples =
                u64::from(units).saturating_mul(u64::from(rate)).checked_div(u64::from(clock)).unwrap_or(0);
            usize::try_from(samples).unwrap_or(0).clamp(1, 1 << 16)
        };
        self.scratch.clear();
        match self.buffer.get(now) {
            Next::Frame(frame) => {
                decoder.decode(frame.payload_type, frame.payload, &mut self.scratch);
                pulled.decoded = pulled.decoded.saturating_add(self.scratch.len());
                if self.scratch.is_empty() {
                    decoder.conceal(samples(clock / 50), &mut self.scratch);
                    pulled.concealed = pulled.concealed.saturating_add(self.scratch.len());
                }
            }
            Next::Conceal { units, cause: Gap::Lost | Gap::Starved | Gap::Inserted } => {
                decoder.conceal(samples(units), &mut self.scratch);
                pulled.concealed = pulled.concealed.saturating_add(self.scratch.len());
            }
            Next::Pause { units } => {
                decoder.pause(samples(units), &mut self.scratch);
                pulled.paused = pulled.paused.saturating_add(self.scratch.len());
            }
            Next::Idle => {
                let missing = wanted.saturating_sub(self.ready.len());
                self.scratch.resize(missing, 0);
                pulled.paused = pulled.paused.saturating_add(missing);
            }
        }
        self.ready.extend(&self.scratch);
    }

    /// Counters and the present state.
    #[must_use]
    pub fn statistics(&self, now: Instant) -> Statistics {
        self.buffer.statistics(now)
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.buffer.reset();
        self.ready.clear();
    }
}
