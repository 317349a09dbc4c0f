//! G.726: ADPCM at 16, 24, 32 and 40 kbit/s, 8,000 samples a second.
//!
//! Proven by the ITU's reset and homing sequences in both laws and across them (`tests/g726.rs`), which go through
//! [`Transcoder`]: companded in, companded out, with the synchronous adjustment of §4.2.8 that keeps tandems from
//! adding noise. [`Encoder`] and [`Decoder`] take and give linear samples, as every call does.

mod packing;
mod state;
mod tables;

pub use self::packing::Packing;
use self::state::{State, quantise};
use self::tables::{KBIT_16, KBIT_24, KBIT_32, KBIT_40, Tables};
use crate::arch::scalar;
use crate::conceal::Concealer;
use crate::frame::{DecodeError, EncodeError, PayloadLengths};

/// Samples a second, and the RTP clock, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// How many bits a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Two bits.
    Kbit16,
    /// Three bits.
    Kbit24,
    /// Four bits; what `G721` was.
    Kbit32,
    /// Five bits.
    Kbit40,
}

impl Rate {
    fn tables(self) -> &'static Tables {
        match self {
            Self::Kbit16 => &KBIT_16,
            Self::Kbit24 => &KBIT_24,
            Self::Kbit32 => &KBIT_32,
            Self::Kbit40 => &KBIT_40,
        }
    }

    /// Bits of one code.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Kbit16 => 2,
            Self::Kbit24 => 3,
            Self::Kbit32 => 4,
            Self::Kbit40 => 5,
        }
    }

    /// The fewest samples that fill whole bytes: 4, 8, 2, 8.
    #[must_use]
    pub const fn group_samples(self) -> usize {
        match self {
            Self::Kbit16 => 4,
            Self::Kbit24 | Self::Kbit40 => 8,
            Self::Kbit32 => 2,
        }
    }

    const fn group_bytes(self) -> usize {
        self.group_samples() * self.bits() as usize / 8
    }
}

/// G.726 encoder.
#[derive(Debug, Clone)]
pub struct Encoder {
    rate: Rate,
    packing: Packing,
    state: State,
}

impl Encoder {
    /// In the reset state.
    #[must_use]
    pub const fn new(rate: Rate, packing: Packing) -> Self {
        Self { rate, packing, state: State::new() }
    }
}

fn encode_sample(state: &mut State, tables: &Tables, sample: i32) -> u8 {
    let expected = state.expect();
    let code = quantise(sample - expected.sample, expected.step, tables);
    state.take(code, expected, tables);
    code as u8
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        self.rate.group_samples()
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples / self.rate.group_samples() * self.rate.group_bytes()
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        let group = self.rate.group_samples();
        if !samples.len().is_multiple_of(group) {
            return Err(EncodeError::PartialFrame { samples: samples.len(), frame_samples: group });
        }
        let (needed, got) = (self.max_payload_bytes(samples.len()), payload.len());
        let Some(payload) = payload.get_mut(..needed) else {
            return Err(EncodeError::OutputTooSmall { needed, got });
        };
        let tables = self.rate.tables();
        for (samples, bytes) in samples.chunks(group).zip(payload.chunks_mut(self.rate.group_bytes())) {
            let mut codes = [0; 8];
            for (code, sample) in codes.iter_mut().zip(samples) {
                *code = encode_sample(&mut self.state, tables, i32::from(*sample) >> 2);
            }
            self.packing.pack(&codes[..group], self.rate.bits(), bytes);
        }
        Ok(needed)
    }

    fn reset(&mut self) {
        *self = Self::new(self.rate, self.packing);
    }
}

/// G.726 decoder.
#[derive(Debug, Clone)]
pub struct Decoder {
    rate: Rate,
    packing: Packing,
    state: State,
    concealer: Concealer,
}

impl Decoder {
    /// In the reset state.
    #[must_use]
    pub fn new(rate: Rate, packing: Packing) -> Self {
        Self { rate, packing, state: State::new(), concealer: Concealer::new(SAMPLE_RATE_HZ) }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        self.rate.group_samples()
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes / self.rate.group_bytes() * self.rate.group_samples()
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        let expected = PayloadLengths::multiple_of(self.rate.group_bytes());
        if !expected.allow(payload.len()) {
            let count = self.concealer.last_packet_samples().min(samples.len());
            let concealed = self.conceal(&mut samples[..count]);
            return Err(DecodeError::PayloadLength { got: payload.len(), expected, concealed });
        }
        let (needed, got) = (self.max_samples(payload.len()), samples.len());
        let Some(samples) = samples.get_mut(..needed) else {
            return Err(DecodeError::OutputTooSmall { needed, got });
        };
        let (tables, state) = (self.rate.tables(), &mut self.state);
        let mut out = samples.iter_mut();
        self.packing.unpack(payload, self.rate.bits(), |code| {
            let sample = state.take(usize::from(code), state.expect(), tables);
            if let Some(out) = out.next() {
                *out = (sample << 2).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
        });
        self.concealer.received(samples);
        Ok(needed)
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        let whole = samples.len() / self.frame_samples() * self.frame_samples();
        self.concealer.lost(&mut samples[..whole]);
        whole
    }

    fn reset(&mut self) {
        *self = Self::new(self.rate, self.packing);
    }
}

/// Which law the codes on the other side have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companding {
    /// Mu-law.
    Mu,
    /// A-law.
    A,
}

/// One direction of G.726 as the Recommendation has it, between companded samples and codes.
#[derive(Debug, Clone)]
pub struct Transcoder {
    rate: Rate,
    companding: Companding,
    state: State,
}

impl Transcoder {
    /// In the reset state.
    #[must_use]
    pub const fn new(rate: Rate, companding: Companding) -> Self {
        Self { rate, companding, state: State::new() }
    }

    /// The ADPCM code of one companded sample.
    pub fn encode(&mut self, companded: u8) -> u8 {
        let sample = self.expand(companded);
        encode_sample(&mut self.state, self.rate.tables(), sample)
    }

    /// The companded sample of one ADPCM code, of which the lower bits count.
    pub fn decode(&mut self, code: u8) -> u8 {
        let tables = self.rate.tables();
        let code = code & ((1 << tables.bits) - 1);
        let expected = self.state.expect();
        let sample = self.state.take(usize::from(code), expected, tables);
        let companded = self.compress(sample);
        // SYNC: were this sample encoded again, would the same code come out? If not, a neighbour is nearer the truth.
        let again = quantise(self.expand(companded) - expected.sample, expected.step, tables) as u8;
        let sign = 1 << (tables.bits - 1);
        match (again ^ sign).cmp(&(code ^ sign)) {
            core::cmp::Ordering::Equal => companded,
            core::cmp::Ordering::Greater => self.neighbour(companded, false),
            core::cmp::Ordering::Less => self.neighbour(companded, true),
        }
    }

    /// EXPAND: to 14 bits.
    fn expand(&self, companded: u8) -> i32 {
        let sample = match self.companding {
            Companding::Mu => scalar::mu_law_decode(companded),
            Companding::A => scalar::a_law_decode(companded),
        };
        i32::from(sample) >> 2
    }

    /// COMPRESS: from 14 bits, and the odd one more.
    fn compress(&self, sample: i32) -> u8 {
        let wide = |sample: i32| sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        // The one sample whose magnitude does not fit is the smallest negative one.
        let sample =
            if sample == -0x8000 { i32::from(self.companding == Companding::Mu) - 1 } else { sample };
        match self.companding {
            // Here, other than in the G.711 tools, a negative sample's magnitude is its negation.
            Companding::Mu if sample < 0 => scalar::mu_law_encode(wide(-sample << 2)) & 0x7f,
            Companding::Mu => scalar::mu_law_encode(wide(sample << 2)),
            Companding::A => scalar::a_law_encode(wide(sample << 2)),
        }
    }

    /// The next code up or down, or the same at the end of the scale.
    fn neighbour(&self, companded: u8, up: bool) -> u8 {
        let ascending = self.ascending(companded);
        let next = match (self.companding, ascending, up) {
            // Mu-law's two zeros are one step.
            (Companding::Mu, 127, true) => 129,
            (Companding::Mu, 128, false) => 126,
            (_, rank, true) => rank.saturating_add(1),
            (_, rank, false) => rank.saturating_sub(1),
        };
        self.ascending(next)
    }

    /// A code's place among the 256 samples, the most negative first; and the code of a place.
    fn ascending(&self, code: u8) -> u8 {
        match (self.companding, code & 0x80 == 0) {
            (Companding::Mu, true) => code,
            (Companding::Mu, false) => !code | 0x80,
            (Companding::A, true) => code ^ 0x2a,
            (Companding::A, false) => code ^ 0x55,
        }
    }
}
