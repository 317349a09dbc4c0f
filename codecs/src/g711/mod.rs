//! G.711: 8,000 samples a second, eight bits each, mu-law or A-law.
//!
//! Proven by the ITU software tools' sweep over all 65,536 samples (`tests/g711.rs`). The RTP payload is the codes in
//! order (RFC 3551 §4.5.14): PCMU has static payload type 0, PCMA 8.

use crate::arch::scalar;
use crate::frame::{DecodeError, EncodeError};

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
    law: Law,
}

impl Encoder {
    /// An encoder of `law`.
    pub fn new(law: Law) -> Self {
        Self { law }
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
        match self.law {
            Law::Mu => {
                payload.iter_mut().zip(samples).for_each(|(code, s)| *code = scalar::mu_law_encode(*s))
            }
            Law::A => payload.iter_mut().zip(samples).for_each(|(code, s)| *code = scalar::a_law_encode(*s)),
        }
        Ok(samples.len())
    }

    fn reset(&mut self) {}
}

/// G.711 decoder.
#[derive(Debug, Clone)]
pub struct Decoder {
    law: Law,
}

impl Decoder {
    /// A decoder of `law`.
    pub fn new(law: Law) -> Self {
        Self { law }
    }
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
        let got = samples.len();
        let Some(samples) = samples.get_mut(..payload.len()) else {
            return Err(DecodeError::OutputTooSmall { needed: payload.len(), got });
        };
        match self.law {
            Law::Mu => {
                samples.iter_mut().zip(payload).for_each(|(s, code)| *s = scalar::mu_law_decode(*code))
            }
            Law::A => samples.iter_mut().zip(payload).for_each(|(s, code)| *s = scalar::a_law_decode(*code)),
        }
        Ok(payload.len())
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        samples.fill(0);
        samples.len()
    }

    fn reset(&mut self) {}
}
