//! G.722: 16,000 samples a second in two bands of ADPCM, 64, 56 or 48 kbit/s.
//!
//! Proven by the digital sequences of Appendix II and the ITU software tools' speech (`tests/g722.rs`). The RTP payload
//! is one byte for each two samples, and the RTP clock is 8,000 Hz by an old mistake (RFC 3551 §4.5.2). Encoders
//! always make all eight bits; in modes 2 and 3 one or two of the lower band's bits carry something else and are not
//! looked at.

mod band;
mod concealment;
mod qmf;
mod tables;

use self::band::{Band, HIGH, LOW, product};
use self::concealment::Concealment;
use self::qmf::{FilterBank, saturate};
use self::tables::{
    HIGH_2_BITS, HIGH_DECISION, HIGH_STEP_CHANGE, LAST_LOW_DECISION, LOW_4_BITS, LOW_5_BITS, LOW_6_BITS,
    LOW_CODES, LOW_INTERVALS, LOW_STEP_CHANGE,
};
use crate::frame::{DecodeError, EncodeError};

/// Samples a second, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
/// The RTP clock, in Hz.
pub const RTP_CLOCK_RATE_HZ: u32 = 8_000;

/// How many bits of the lower band are speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Mode 1: six bits, 64 kbit/s. The only one RTP has.
    #[default]
    Kbit64,
    /// Mode 2: five bits, 56 kbit/s.
    Kbit56,
    /// Mode 3: four bits, 48 kbit/s.
    Kbit48,
}

/// The two ADPCM encoders without the filter in front: what Appendix II tests.
#[derive(Debug, Clone)]
pub struct BandEncoder {
    low: Band,
    high: Band,
}

impl Default for BandEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl BandEncoder {
    /// In the reset state.
    #[must_use]
    pub const fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8) }
    }

    /// The code of one sample of each band.
    #[inline]
    pub fn encode(&mut self, low: i16, high: i16) -> u8 {
        self.encode_low(low) | self.encode_high(high) << 6
    }

    #[inline]
    fn encode_low(&mut self, sample: i16) -> u8 {
        let difference = sample.saturating_sub(self.low.prediction);
        let magnitude = if difference < 0 { !difference } else { difference };
        // A level l is reached when l * step / 4096, rounded down, is at most the magnitude; which is to say, when l is
        // at most this quotient. The step is never below 32.
        let reached = (((u32::from(magnitude.cast_unsigned()) + 1) << 12) - 1)
            / u32::from(self.low.step.max(1).cast_unsigned());
        let interval = usize::from(LOW_INTERVALS[(reached as usize).min(LAST_LOW_DECISION)]);
        let code = LOW_CODES[usize::from(difference < 0)][interval];
        let coarse = usize::from(code >> 2);
        self.low.adapt(product(self.low.step, LOW_4_BITS[coarse]), LOW_STEP_CHANGE[coarse], LOW);
        code
    }

    #[inline]
    fn encode_high(&mut self, sample: i16) -> u8 {
        let difference = sample.saturating_sub(self.high.prediction);
        let magnitude = if difference < 0 { !difference } else { difference };
        let decision = (i32::from(HIGH_DECISION) * i32::from(self.high.step)) >> 12;
        let inner = i32::from(magnitude) < decision;
        let code = u8::from(difference >= 0) << 1 | u8::from(inner);
        let index = usize::from(code);
        self.high.adapt(product(self.high.step, HIGH_2_BITS[index]), HIGH_STEP_CHANGE[index], HIGH);
        code
    }
}

/// The two ADPCM decoders without the filter behind: what Appendix II tests.
#[derive(Debug, Clone)]
pub struct BandDecoder {
    low: Band,
    high: Band,
}

impl Default for BandDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl BandDecoder {
    /// In the reset state.
    #[must_use]
    pub const fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8) }
    }

    /// One sample of each band, each in 15 bits.
    #[inline]
    pub fn decode(&mut self, code: u8, mode: Mode) -> (i16, i16) {
        let low = usize::from(code & 0x3f);
        let difference = match mode {
            Mode::Kbit64 => product(self.low.step, LOW_6_BITS[low]),
            Mode::Kbit56 => product(self.low.step, LOW_5_BITS[low >> 1]),
            Mode::Kbit48 => product(self.low.step, LOW_4_BITS[low >> 2]),
        };
        let low_sample = self.low.prediction.saturating_add(difference).clamp(-16_384, 16_383);
        let coarse = low >> 2;
        self.low.adapt(product(self.low.step, LOW_4_BITS[coarse]), LOW_STEP_CHANGE[coarse], LOW);

        let high = usize::from(code >> 6);
        let difference = product(self.high.step, HIGH_2_BITS[high]);
        let high_sample = self.high.prediction.saturating_add(difference).clamp(-16_384, 16_383);
        self.high.adapt(difference, HIGH_STEP_CHANGE[high], HIGH);
        (low_sample, high_sample)
    }
}

/// G.722 encoder.
#[derive(Debug, Clone)]
pub struct Encoder {
    filter: FilterBank,
    bands: BandEncoder,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// In the reset state.
    #[must_use]
    pub const fn new() -> Self {
        Self { filter: FilterBank::new(), bands: BandEncoder::new() }
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        2
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples / 2
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        if !samples.len().is_multiple_of(2) {
            return Err(EncodeError::PartialFrame { samples: samples.len(), frame_samples: 2 });
        }
        let (needed, got) = (samples.len() / 2, payload.len());
        let Some(payload) = payload.get_mut(..needed) else {
            return Err(EncodeError::OutputTooSmall { needed, got });
        };
        for (samples, payload) in
            samples.chunks(2 * FilterBank::BATCH).zip(payload.chunks_mut(FilterBank::BATCH))
        {
            let bands = &mut self.bands;
            self.filter.filter(samples, |pair, sum, difference| {
                payload[pair] = bands.encode(saturate(sum >> 14), saturate(difference >> 14));
            });
        }
        Ok(needed)
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

/// G.722 decoder. What is lost is concealed in the manner of Appendix IV.
#[derive(Debug, Clone)]
pub struct Decoder {
    mode: Mode,
    bands: BandDecoder,
    filter: FilterBank,
    concealment: Concealment,
}

impl Decoder {
    /// In the reset state.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self { mode, bands: BandDecoder::new(), filter: FilterBank::new(), concealment: Concealment::new() }
    }

    /// Joins samples of the bands, at most a batch of them.
    #[inline]
    fn join(&mut self, pairs: &[[i16; 2]], samples: &mut [i16]) {
        let mut joined = [0; 2 * FilterBank::BATCH];
        for ([low, high], out) in pairs.iter().zip(joined.as_chunks_mut::<2>().0) {
            *out = [low.saturating_add(*high), low.saturating_sub(*high)];
        }
        self.filter.filter(&joined[..samples.len()], |pair, sum, difference| {
            // The odd taps are half of both, the even ones half of the one less the other.
            samples[2 * pair] = saturate((sum + difference) >> 12);
            samples[2 * pair + 1] = saturate((sum - difference) >> 12);
        });
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        2
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes * 2
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        let (needed, got) = (payload.len() * 2, samples.len());
        let Some(samples) = samples.get_mut(..needed) else {
            return Err(DecodeError::OutputTooSmall { needed, got });
        };
        let mut pairs = [[0; 2]; FilterBank::BATCH];
        for (payload, samples) in
            payload.chunks(FilterBank::BATCH).zip(samples.chunks_mut(2 * FilterBank::BATCH))
        {
            let pairs = &mut pairs[..payload.len()];
            for (code, pair) in payload.iter().zip(pairs.iter_mut()) {
                let (low, high) = self.bands.decode(*code, self.mode);
                *pair = [low, high];
            }
            self.concealment.received(pairs);
            self.join(pairs, samples);
        }
        Ok(needed)
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        let whole = samples.len() / 2 * 2;
        let mut pairs = [[0; 2]; FilterBank::BATCH];
        for samples in samples[..whole].chunks_mut(2 * FilterBank::BATCH) {
            let pairs = &mut pairs[..samples.len() / 2];
            self.concealment.lost(pairs);
            // The sender's state goes on with the true signal; ours with the best guess at it.
            let bands = core::mem::take(&mut self.bands);
            let mut guess = BandEncoder { low: bands.low, high: bands.high };
            for [low, high] in pairs.iter() {
                guess.encode(*low, *high);
            }
            self.bands = BandDecoder { low: guess.low, high: guess.high };
            self.join(pairs, samples);
        }
        whole
    }

    fn reset(&mut self) {
        *self = Self::new(self.mode);
    }
}
