//! From frames to samples: a play-out that can be asked for any number of samples at any time.
//!
//! The decoder is the caller's; this crate knows no codec. The delay is moved by scaling time (`stretch`): a
//! little when it is a little off, fast after an outage of the network. Gaps are concealed by the decoder and blended
//! into what follows. In fixed mode nothing is scaled, concealed or blended.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Instant;

use super::{
    Config, Gap, Incoming, JitterBuffer, Mode, Next, Put, Statistics,
    buffer::Moves,
    stretch::{Stretcher, merge},
};

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
    /// Decoded for this pull; some may be heard with the next.
    pub decoded: usize,
    /// Concealed.
    pub concealed: usize,
    /// Pauses and silence.
    pub paused: usize,
    /// Repeated to grow the delay.
    pub stretched: usize,
    /// Cut out to shrink it.
    pub compressed: usize,
}

/// A jitter buffer, and the samples that were made and not yet asked for.
#[derive(Debug)]
pub struct Playout {
    buffer: JitterBuffer,
    clock_rate_hz: u32,
    sample_rate_hz: u32,
    fixed: bool,
    ready: Vec<i16>,
    scratch: Vec<i16>,
    /// How concealment would have gone on, and for how many samples that is wanted.
    tail: Vec<i16>,
    merge_length: usize,
    stretcher: Stretcher,
    /// Samples at the front of `ready` that are to be heard as they are before time is scaled again.
    at_rest: usize,
    /// The last samples made were concealment.
    concealing: bool,
    /// The last samples made were sound, decoded or invented.
    sounding: bool,
}

/// More than this many frames are never made for one pull.
const MAXIMUM_FRAMES: usize = 256;
/// The delay is left alone while it is off by less than this, in ms: longer than wanted…
const TOLERATED_LONGER_MS: i32 = 10;
/// …and shorter.
const TOLERATED_SHORTER_MS: i32 = 8;
/// How alike two periods must be to be cut or repeated, by how urgent it is: excess in ms, likeness, and how many
/// periods rest between two cuts.
const URGENCY: [(i32, f32, usize); 4] = [(120, -1.0, 0), (60, 0.4, 0), (30, 0.7, 1), (0, 0.85, 2)];
/// Concealment and what follows it are blended over this time.
const MERGE_MS: usize = 5;

impl Playout {
    /// A play-out at `sample_rate_hz`, which may differ from the timestamps' rate (G.722).
    #[must_use]
    pub fn new(config: Config, sample_rate_hz: u32, now: Instant) -> Self {
        let sample_rate_hz = sample_rate_hz.clamp(1000, 384_000);
        Self {
            buffer: JitterBuffer::new(config, now),
            clock_rate_hz: config.clock_rate_hz.max(1),
            sample_rate_hz,
            fixed: matches!(config.mode, Mode::Fixed { .. }),
            ready: Vec::new(),
            scratch: Vec::new(),
            tail: Vec::new(),
            merge_length: (sample_rate_hz as usize).saturating_mul(MERGE_MS) / 1000,
            stretcher: Stretcher::new(sample_rate_hz),
            at_rest: 0,
            concealing: false,
            sounding: false,
        }
    }

    /// Takes a packet that arrived `now`.
    pub fn put(&mut self, packet: Incoming<'_>, now: Instant) -> Put {
        self.buffer.put(packet, now)
    }

    /// Fills `out`, whose first sample sounds `now`, whatever came or did not.
    pub fn pull(&mut self, decoder: &mut impl Decoder, out: &mut [i16], now: Instant) -> Pulled {
        let mut pulled = Pulled::default();
        let now = self.buffer.units(now);
        self.fill(decoder, out.len(), now, &mut pulled);
        if !self.fixed {
            self.scale(decoder, out.len(), now, &mut pulled);
            self.fill(decoder, out.len(), now, &mut pulled);
        }
        self.at_rest = self.at_rest.saturating_sub(out.len());
        self.ready.resize(self.ready.len().max(out.len()), 0);
        for (room, sample) in out.iter_mut().zip(&self.ready) {
            *room = *sample;
        }
        self.ready.drain(..out.len());
        pulled
    }

    /// Makes frames until `wanted` samples are ready.
    fn fill(&mut self, decoder: &mut impl Decoder, wanted: usize, now: u64, pulled: &mut Pulled) {
        for _ in 0..MAXIMUM_FRAMES {
            let missing = wanted.saturating_sub(self.ready.len());
            if missing == 0 {
                return;
            }
            self.make_frame(decoder, missing, now, pulled);
        }
    }

    /// When the sample after those that are ready will sound.
    fn next_at(&self, now: u64) -> u64 {
        now.saturating_add(self.units(self.ready.len()))
    }

    fn units(&self, samples: usize) -> u64 {
        let units = (samples as u64).saturating_mul(u64::from(self.clock_rate_hz));
        units.checked_div(u64::from(self.sample_rate_hz)).unwrap_or(0)
    }

    fn samples(&self, units: u32) -> usize {
        let samples = u64::from(units).saturating_mul(u64::from(self.sample_rate_hz));
        let samples = samples.checked_div(u64::from(self.clock_rate_hz)).unwrap_or(0);
        usize::try_from(samples).unwrap_or(0).clamp(1, 1 << 16)
    }

    fn make_frame(&mut self, decoder: &mut impl Decoder, missing: usize, now: u64, pulled: &mut Pulled) {
        let at = self.next_at(now);
        // A gap is bridged only as far as is needed now: what is missing may come at any moment.
        let piece = u32::try_from(self.units(missing)).unwrap_or(u32::MAX).max(1);
        self.scratch.clear();
        let (clock, rate) = (u64::from(self.clock_rate_hz), u64::from(self.sample_rate_hz));
        let samples = |units: u32| {
            let samples = u64::from(units).saturating_mul(rate).checked_div(clock).unwrap_or(0);
            usize::try_from(samples).unwrap_or(0).clamp(1, 1 << 16)
        };
        match self.buffer.next(at, Moves::Samples, piece) {
            Next::Frame(frame) => {
                // What was invented goes on for a moment under what is real again.
                self.tail.clear();
                let sounding = std::mem::replace(&mut self.sounding, true);
                if std::mem::take(&mut self.concealing) || (frame.after_gap && sounding && !self.fixed) {
                    decoder.conceal(self.merge_length, &mut self.tail);
                }
                decoder.decode(frame.payload_type, frame.payload, &mut self.scratch);
                if self.scratch.is_empty() {
                    let length = self.samples(self.clock_rate_hz / 50);
                    self.conceal(decoder, length, pulled);
                } else {
                    pulled.decoded = pulled.decoded.saturating_add(self.scratch.len());
                    merge(&self.tail, &mut self.scratch);
                }
            }
            Next::Conceal { units, cause: Gap::Lost | Gap::Starved | Gap::Inserted } => {
                self.conceal(decoder, samples(units), pulled);
            }
            Next::Pause { units } => {
                decoder.pause(samples(units), &mut self.scratch);
                pulled.paused = pulled.paused.saturating_add(self.scratch.len());
                (self.concealing, self.sounding) = (false, false);
            }
            Next::Idle => {
                self.scratch.resize(missing, 0);
                pulled.paused = pulled.paused.saturating_add(missing);
                (self.concealing, self.sounding) = (false, false);
            }
        }
        self.ready.extend_from_slice(&self.scratch);
    }

    fn conceal(&mut self, decoder: &mut impl Decoder, samples: usize, pulled: &mut Pulled) {
        if self.fixed {
            self.scratch.resize(samples, 0);
        } else {
            decoder.conceal(samples, &mut self.scratch);
            self.concealing = true;
        }
        pulled.concealed = pulled.concealed.saturating_add(self.scratch.len());
    }

    /// Brings the delay nearer to its target.
    fn scale(&mut self, decoder: &mut impl Decoder, wanted: usize, now: u64, pulled: &mut Pulled) {
        let per_ms = (self.clock_rate_hz / 1000).max(1) as i32;
        while self.at_rest < wanted {
            let excess = self.buffer.excess_at(self.next_at(now)).checked_div(per_ms).unwrap_or(0);
            let scaled = if excess > TOLERATED_LONGER_MS {
                self.compress(decoder, excess, now, pulled)
            } else if excess < TOLERATED_SHORTER_MS.wrapping_neg() {
                self.stretch(excess.wrapping_neg(), pulled)
            } else {
                false
            };
            if !scaled {
                return;
            }
        }
    }

    fn compress(
        &mut self,
        decoder: &mut impl Decoder,
        excess_ms: i32,
        now: u64,
        pulled: &mut Pulled,
    ) -> bool {
        let span = self.at_rest.saturating_add(self.stretcher.span());
        for _ in 0..MAXIMUM_FRAMES {
            if self.ready.len() >= span || !self.buffer.continues() {
                break;
            }
            self.make_frame(decoder, 1, now, pulled);
        }
        let (likeness, rest) = urgency(excess_ms);
        let most = self.samples((excess_ms as u32).saturating_mul(self.clock_rate_hz / 1000));
        let Some(cut) = self.stretcher.shorten(&mut self.ready, self.at_rest, most, likeness) else {
            return false;
        };
        pulled.compressed = pulled.compressed.saturating_add(cut);
        self.buffer.count_scaling(0, self.units(cut));
        self.at_rest = self.at_rest.saturating_add(cut.saturating_mul(rest.saturating_add(1)));
        true
    }

    fn stretch(&mut self, lack_ms: i32, pulled: &mut Pulled) -> bool {
        let (likeness, rest) = urgency(lack_ms);
        // More than what lacks may be inserted: the next period decides again.
        let Some(added) = self.stretcher.lengthen(&mut self.ready, self.at_rest, usize::MAX, likeness) else {
            return false;
        };
        pulled.stretched = pulled.stretched.saturating_add(added);
        self.buffer.count_scaling(self.units(added), 0);
        self.at_rest = self.at_rest.saturating_add(added.saturating_mul(rest.saturating_add(2)));
        true
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
        self.at_rest = 0;
        (self.concealing, self.sounding) = (false, false);
    }
}

/// How alike periods must be, and how many rest, when the delay is off by so much.
fn urgency(milliseconds: i32) -> (f32, usize) {
    let fits = URGENCY.iter().find(|(above, _, _)| milliseconds > *above);
    fits.map_or((1.0, 4), |(_, likeness, rest)| (*likeness, *rest))
}
