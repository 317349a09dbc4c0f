//! G.711: 8,000 samples a second, eight bits each, mu-law or A-law.
//!
//! Proven by the ITU software tools' sweep over all 65,536 samples (`tests/g711.rs`). The RTP payload is the codes in
//! order (RFC 3551 §4.5.14): PCMU has static payload type 0, PCMA 8.

#[cfg(feature = "std")]
pub mod concealment;

use crate::arch::scalar;
use crate::frame::{DecodeError, EncodeError};
use crate::kernel::{Kernel, LawKernel};
#[cfg(feature = "std")]
use crate::level::Level;

/// Samples a second, and the RTP clock, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
/// Samples, and payload bytes, in the usual packet of 20 ms.
pub const PACKET_SAMPLES: usize = 160;

/// Which of the two companding laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// Mu-law, `PCMU`: North America, Japan.
    Mu,
    /// A-law, `PCMA`: everywhere else.
    A,
}

impl Law {
    /// The code of silence.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }

    /// The code of one 16-bit sample.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => scalar::mu_law_encode(sample),
            Self::A => scalar::a_law_encode(sample),
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Mu => Self::A,
            Self::A => Self::Mu,
        }
    }

    fn loops(self, kernel: Kernel) -> LawKernel {
        match self {
            Self::Mu => kernel.mu,
            Self::A => kernel.a,
        }
    }

    /// The 16-bit sample of one code.
    pub const fn decode(self, code: u8) -> i16 {
        match self {
            Self::Mu => scalar::mu_law_decode(code),
            Self::A => scalar::a_law_decode(code),
        }
    }
}

/// G.711 encoder. It has no memory, so any number of samples may be given at once.
#[derive(Debug, Clone)]
pub struct Encoder {
    encode: fn(&[i16], &mut [u8]),
}

impl Encoder {
    /// An encoder of `law`.
    pub fn new(law: Law) -> Self {
        Self::with_kernel(law, Kernel::best())
    }

    /// An encoder of `law` with loops chosen by the caller.
    pub fn with_kernel(law: Law, kernel: Kernel) -> Self {
        Self { encode: law.loops(kernel).encode }
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        1
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        let got = payload.len();
        let Some(payload) = payload.get_mut(..samples.len()) else {
            return Err(EncodeError::OutputTooSmall { needed: samples.len(), got });
        };
        (self.encode)(samples, payload);
        Ok(samples.len())
    }

    fn reset(&mut self) {}
}

/// G.711 decoder.
#[derive(Debug, Clone)]
pub struct Decoder {
    loops: LawKernel,
}

impl Decoder {
    /// A decoder of `law`.
    pub fn new(law: Law) -> Self {
        Self::with_kernel(law, Kernel::best())
    }

    /// A decoder of `law` with loops chosen by the caller.
    pub fn with_kernel(law: Law, kernel: Kernel) -> Self {
        Self { loops: law.loops(kernel) }
    }

    /// Decodes and measures in one pass over the samples.
    ///
    /// # Errors
    /// [`DecodeError::OutputTooSmall`], and nothing happened.
    #[cfg(feature = "std")]
    pub fn decode_with_level(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<Level, DecodeError> {
        let samples = room(payload, samples)?;
        let sums = (self.loops.decode_level)(payload, samples);
        Ok(Level::from_sums(sums.squares, payload.len() as u64, sums.peak))
    }
}

/// As much of `samples` as `payload` will fill.
fn room<'a>(payload: &[u8], samples: &'a mut [i16]) -> Result<&'a mut [i16], DecodeError> {
    let got = samples.len();
    samples.get_mut(..payload.len()).ok_or(DecodeError::OutputTooSmall { needed: payload.len(), got })
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        1
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        (self.loops.decode)(payload, room(payload, samples)?);
        Ok(payload.len())
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        samples.fill(0);
        samples.len()
    }

    fn reset(&mut self) {}
}

/// A factor for companded samples: up to 16 (+24 dB) in steps of 2^-11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gain(i16);

impl Gain {
    /// As it is.
    pub const UNITY: Self = Self(1 << 11);

    /// `factor` rounded to 2^-11 and held within ±16. Negative factors turn the signal around.
    pub fn from_factor(factor: f32) -> Self {
        Self((factor * 2_048.0) as i16)
    }

    /// `sample` times this, rounded half up, saturated.
    pub fn apply(self, sample: i16) -> i16 {
        scalar::amplify(sample, self.0)
    }
}

/// Arithmetic on companded samples without a detour through a linear buffer.
#[derive(Debug, Clone)]
pub struct Companded {
    loops: LawKernel,
}

impl Companded {
    /// For samples of `law`.
    pub fn new(law: Law) -> Self {
        Self::with_kernel(law, Kernel::best())
    }

    /// For samples of `law`, with loops chosen by the caller.
    pub fn with_kernel(law: Law, kernel: Kernel) -> Self {
        Self { loops: law.loops(kernel) }
    }

    /// Makes the codes those of the other law: each becomes the code nearest to the sample it stood for.
    pub fn convert(&self, codes: &mut [u8]) {
        (self.loops.transcode)(codes);
    }

    /// Adds `codes` to `sum`, linearly and with saturation, as far as the shorter of them goes.
    pub fn mix(&self, sum: &mut [u8], codes: &[u8]) {
        let count = sum.len().min(codes.len());
        if let (Some(sum), Some(codes)) = (sum.get_mut(..count), codes.get(..count)) {
            (self.loops.mix)(sum, codes);
        }
    }

    /// Multiplies by `gain`, linearly and with saturation.
    pub fn amplify(&self, codes: &mut [u8], gain: Gain) {
        (self.loops.gain)(codes, gain.0);
    }
}
