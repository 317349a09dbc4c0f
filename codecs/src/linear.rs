//! L16 (RFC 3551 §4.5.11), linear samples in network order, and Clearmode (RFC 4040), 64 kbit/s that nobody touches.
//!
//! Clearmode carries octets, not sound: fax, modems, ISDN data. [`Clearmode`] copies them; it has no samples, no
//! concealment and no part in the encoder and decoder shape, so that nothing can mix or gain it by mistake.

use crate::frame::{DecodeError, EncodeError, PayloadLengths};

#[cfg(feature = "std")]
use crate::conceal::Concealer;

/// L16 encoder, at any rate.
#[derive(Debug, Clone)]
pub struct Encoder {
    sample_rate_hz: u32,
}

impl Encoder {
    /// For samples at `sample_rate_hz`.
    #[must_use]
    pub const fn new(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz }
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn frame_samples(&self) -> usize {
        1
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples * 2
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        let (needed, got) = (samples.len() * 2, payload.len());
        let Some(payload) = payload.get_mut(..needed) else {
            return Err(EncodeError::OutputTooSmall { needed, got });
        };
        for (bytes, sample) in payload.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
            *bytes = sample.to_be_bytes();
        }
        Ok(needed)
    }

    fn reset(&mut self) {}
}

/// L16 decoder, at any rate.
#[derive(Debug, Clone)]
pub struct Decoder {
    sample_rate_hz: u32,
    #[cfg(feature = "std")]
    concealer: Concealer,
}

impl Decoder {
    /// For samples at `sample_rate_hz`.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz,
            #[cfg(feature = "std")]
            concealer: Concealer::new(sample_rate_hz),
        }
    }

    #[cfg(feature = "std")]
    fn last_packet_samples(&self) -> usize {
        self.concealer.last_packet_samples()
    }

    #[cfg(not(feature = "std"))]
    fn last_packet_samples(&self) -> usize {
        self.sample_rate_hz as usize / 50
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn frame_samples(&self) -> usize {
        1
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes / 2
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        let (words, rest) = payload.as_chunks::<2>();
        if !rest.is_empty() {
            let count = self.last_packet_samples().min(samples.len());
            let concealed = self.conceal(&mut samples[..count]);
            let expected = PayloadLengths::multiple_of(2);
            return Err(DecodeError::PayloadLength { got: payload.len(), expected, concealed });
        }
        let got = samples.len();
        let Some(samples) = samples.get_mut(..words.len()) else {
            return Err(DecodeError::OutputTooSmall { needed: words.len(), got });
        };
        for (sample, word) in samples.iter_mut().zip(words) {
            *sample = i16::from_be_bytes(*word);
        }
        #[cfg(feature = "std")]
        self.concealer.received(samples);
        Ok(words.len())
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        #[cfg(feature = "std")]
        self.concealer.lost(samples);
        #[cfg(not(feature = "std"))]
        samples.fill(0);
        samples.len()
    }

    fn reset(&mut self) {
        *self = Self::new(self.sample_rate_hz);
    }
}

/// Clearmode: octets of a 64 kbit/s channel, which pass as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clearmode;

impl Clearmode {
    /// Octets a second, and the RTP clock, in Hz.
    pub const RTP_CLOCK_RATE_HZ: u32 = 8_000;
    /// What a channel carries when nothing does (RFC 4040 leaves it open; an idle B channel is all ones).
    pub const IDLE: u8 = 0xff;

    /// Copies octets into a payload, as many as fit, and says how many.
    pub fn copy(self, octets: &[u8], payload: &mut [u8]) -> usize {
        let count = octets.len().min(payload.len());
        if let (Some(from), Some(to)) = (octets.get(..count), payload.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        count
    }

    /// A payload was lost: idle octets keep the channel's timing.
    pub fn conceal(self, octets: &mut [u8]) {
        octets.fill(Self::IDLE);
    }
}
