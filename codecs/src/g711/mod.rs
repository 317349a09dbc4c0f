//! G.711: 8,000 samples a second, eight bits each, mu-law or A-law.
//!
//! Proven by the ITU software tools' sweep over all 65,536 samples (`tests/g711.rs`). The RTP payload is the codes in
//! order (RFC 3551 §4.5.14): PCMU has static payload type 0, PCMA 8.

#[cfg(feature = "std")]
pub mod concealment;

use crate::arch::scalar;
#[cfg(feature = "std")]
use crate::conceal::Concealer;
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
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }

    /// The code of one 16-bit sample.
    #[must_use]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => scalar::mu_law_encode(sample),
            Self::A => scalar::a_law_encode(sample),
        }
    }

    /// The other one.
    #[must_use]
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
    #[must_use]
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
    #[must_use]
    pub fn new(law: Law) -> Self {
        Self::with_kernel(law, Kernel::best())
    }

    /// An encoder of `law` with loops chosen by the caller.
    #[must_use]
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

/// G.711 decoder. What is lost is concealed without delay, in whatever lengths it is lost.
#[derive(Debug, Clone)]
pub struct Decoder {
    #[cfg(feature = "std")]
    law: Law,
    loops: LawKernel,
    #[cfg(feature = "std")]
    repair: Option<Repair>,
}

impl Decoder {
    /// A decoder of `law`.
    #[must_use]
    pub fn new(law: Law) -> Self {
        Self::with_kernel(law, Kernel::best())
    }

    /// A decoder of `law` with loops chosen by the caller.
    #[must_use]
    pub fn with_kernel(law: Law, kernel: Kernel) -> Self {
        Self {
            #[cfg(feature = "std")]
            law,
            loops: law.loops(kernel),
            #[cfg(feature = "std")]
            repair: Some(Repair::new(law)),
        }
    }

    /// A decoder that puts silence in the place of what is lost: for fax and modems, to which an invented signal is
    /// worse than none.
    #[must_use]
    pub fn without_concealment(law: Law) -> Self {
        Self {
            #[cfg(feature = "std")]
            law,
            loops: law.loops(Kernel::best()),
            #[cfg(feature = "std")]
            repair: None,
        }
    }

    /// Decodes and measures in one pass over the samples.
    ///
    /// # Errors
    /// [`DecodeError::OutputTooSmall`], and nothing happened.
    #[cfg(feature = "std")]
    pub fn decode_with_level(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<Level, DecodeError> {
        let samples = room(payload, samples)?;
        let sums = (self.loops.decode_level)(payload, samples);
        if let Some(repair) = &mut self.repair {
            repair.received(payload, samples);
        }
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
        let samples = room(payload, samples)?;
        (self.loops.decode)(payload, samples);
        #[cfg(feature = "std")]
        if let Some(repair) = &mut self.repair {
            repair.received(payload, samples);
        }
        Ok(payload.len())
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        #[cfg(feature = "std")]
        if let Some(repair) = &mut self.repair {
            repair.lost(self.loops, samples);
            return samples.len();
        }
        samples.fill(0);
        samples.len()
    }

    fn reset(&mut self) {
        #[cfg(feature = "std")]
        if let Some(repair) = &mut self.repair {
            *repair = Repair::new(self.law);
        }
    }
}

/// The past, kept as codes since that is half the work, and a concealer that is shown it when something is lost.
#[cfg(feature = "std")]
#[derive(Debug, Clone)]
struct Repair {
    concealer: Concealer,
    /// A ring; `at` is where the oldest code is.
    codes: [u8; Self::PAST],
    at: usize,
}

#[cfg(feature = "std")]
impl Repair {
    const PAST: usize = 640;

    fn new(law: Law) -> Self {
        let concealer = Concealer::new(SAMPLE_RATE_HZ);
        debug_assert!(concealer.history_samples() <= Self::PAST);
        Self { concealer, codes: [law.silence(); Self::PAST], at: 0 }
    }

    #[inline]
    fn received(&mut self, codes: &[u8], samples: &mut [i16]) {
        if self.concealer.is_concealing() {
            self.concealer.received(samples);
        }
        self.remember(codes);
    }

    #[inline]
    fn remember(&mut self, codes: &[u8]) {
        let codes = &codes[codes.len().saturating_sub(Self::PAST)..];
        let until_end = codes.len().min(Self::PAST - self.at);
        let (first, second) = codes.split_at(until_end);
        self.codes[self.at..self.at + until_end].copy_from_slice(first);
        self.codes[..second.len()].copy_from_slice(second);
        self.at = (self.at + codes.len()) % Self::PAST;
    }

    fn lost(&mut self, loops: LawKernel, samples: &mut [i16]) {
        if !self.concealer.is_concealing() {
            let mut past = self.codes;
            past.rotate_left(self.at);
            self.concealer
                .set_history(|history| (loops.decode)(&past[Self::PAST - history.len()..], history));
        }
        self.concealer.lost(samples);
        for samples in samples.chunks(Self::PAST) {
            let mut codes = [0; Self::PAST];
            (loops.encode)(samples, &mut codes[..samples.len()]);
            self.remember(&codes[..samples.len()]);
        }
    }
}

/// A factor for companded samples: up to 16 (+24 dB) in steps of 2^-11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gain(i16);

impl Gain {
    /// As it is.
    pub const UNITY: Self = Self(1 << 11);

    /// `factor` rounded to 2^-11 and held within ±16. Negative factors turn the signal around.
    #[must_use]
    pub fn from_factor(factor: f32) -> Self {
        Self((factor * 2_048.0) as i16)
    }

    /// `sample` times this, rounded half up, saturated.
    #[must_use]
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
    #[must_use]
    pub fn new(law: Law) -> Self {
        Self::with_kernel(law, Kernel::best())
    }

    /// For samples of `law`, with loops chosen by the caller.
    #[must_use]
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
