//! The shape every codec has: samples in `&[i16]`, payloads in `&[u8]`, the caller's buffers, no allocation a frame.
//!
//! A payload is what one RTP packet carries: any whole number of the codec's frames (RFC 3551 §4.2). Samples are
//! 16-bit linear at the codec's own rate, left-justified whatever resolution the codec works in. Timestamps, payload
//! types and packetisation belong to `rtp`; parameters (`fmtp`) are read by `registry`.

use core::fmt::Debug;

/// Turns samples into payloads. An encoder belongs to one direction of one call.
pub trait Encoder: Debug + Send {
    /// Samples a second this encoder takes, in Hz.
    fn sample_rate_hz(&self) -> u32;

    /// The samples of one frame: the input's length must be a multiple of it. 1 for codecs without frames.
    fn frame_samples(&self) -> usize;

    /// The longest packet of at most `samples` samples, and one frame at least.
    fn packet_samples(&self, samples: usize) -> usize {
        let frame = self.frame_samples().max(1);
        (samples / frame).max(1) * frame
    }

    /// The most bytes that `samples` samples can become.
    fn max_payload_bytes(&self, samples: usize) -> usize;

    /// Encodes `samples` into the beginning of `payload` and returns how many bytes were written.
    ///
    /// 0 bytes for a non-empty input means that there is nothing to send (discontinuous transmission).
    ///
    /// # Errors
    /// [`EncodeError`], and the encoder is as it was before.
    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError>;

    /// Forgets all signal history; configuration stays.
    fn reset(&mut self);
}

/// Turns payloads into samples. A decoder belongs to one source of one call.
pub trait Decoder: Debug + Send {
    /// Samples a second this decoder gives, in Hz.
    fn sample_rate_hz(&self) -> u32;

    /// The samples of one frame: [`Decoder::conceal`] fills a multiple of it. 1 for codecs without frames.
    fn frame_samples(&self) -> usize;

    /// The most samples that a payload of `payload_bytes` bytes can become.
    fn max_samples(&self, payload_bytes: usize) -> usize;

    /// Decodes `payload` into the beginning of `samples` and returns how many samples were written.
    ///
    /// An empty payload holds no frame and gives 0 samples. Nothing beyond the returned count has been written.
    ///
    /// # Errors
    /// [`DecodeError::OutputTooSmall`]: nothing happened. [`DecodeError::PayloadLength`]: the payload was treated as a
    /// lost one, that is, the state is what [`Decoder::conceal`] would have left, and that many samples were written.
    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError>;

    /// A payload was lost: fills `samples` with what the listener should hear instead.
    ///
    /// Returns how many samples were written, the largest multiple of [`Decoder::frame_samples`] that fits.
    fn conceal(&mut self, samples: &mut [i16]) -> usize;

    /// A payload was lost but the `following` one is here already. Codecs with forward error correction recover the
    /// lost one from it; all others conceal. `following` is to be decoded as usual afterwards.
    fn recover(&mut self, following: &[u8], samples: &mut [i16]) -> usize {
        let _ = following;
        self.conceal(samples)
    }

    /// Forgets all signal history; configuration stays.
    fn reset(&mut self);
}

/// Why nothing was encoded. The caller's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The input is not a whole number of frames.
    #[error("{samples} samples are no whole number of frames of {frame_samples}")]
    PartialFrame {
        /// Samples given.
        samples: usize,
        /// Samples in a frame.
        frame_samples: usize,
    },
    /// The input is whole frames, but not a number of them this codec can put into one payload.
    #[error("{samples} samples do not fit one payload: at most {maximum}")]
    TooManySamples {
        /// Samples given.
        samples: usize,
        /// The most that would do.
        maximum: usize,
    },
    /// The output buffer cannot hold the payload.
    #[error("the payload needs {needed} bytes of room, and there are {got}")]
    OutputTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
}

/// Why a payload was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The peer's mistake: no payload of this codec has this length. It was concealed like a lost one.
    #[error("a payload of {got} bytes; {expected} would do")]
    PayloadLength {
        /// Bytes received.
        got: usize,
        /// What this codec takes.
        expected: PayloadLengths,
        /// Samples of concealment written into the output.
        concealed: usize,
    },
    /// The peer's mistake: the length is right and the content is not. It was concealed like a lost one.
    #[error("a payload that is not {codec}: {reason}")]
    PayloadContent {
        /// The codec's name.
        codec: &'static str,
        /// What was wrong with it.
        reason: &'static str,
        /// Samples of concealment written into the output.
        concealed: usize,
    },
    /// The caller's mistake: the output buffer cannot hold the samples. The state has not changed.
    #[error("the samples need room for {needed}, and there is room for {got}")]
    OutputTooSmall {
        /// Samples needed.
        needed: usize,
        /// Samples of room.
        got: usize,
    },
}

/// The lengths a codec's payload may have: a multiple of `unit` bytes, and `tail` bytes more if there is such a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLengths {
    /// Bytes of one frame.
    pub unit: usize,
    /// Bytes of a shorter last frame (a silence descriptor); 0 when the codec has none.
    pub tail: usize,
}

impl PayloadLengths {
    /// Any multiple of `unit` bytes.
    #[must_use]
    pub const fn multiple_of(unit: usize) -> Self {
        Self { unit, tail: 0 }
    }

    /// Whether a payload of `bytes` bytes can be one of this codec's.
    #[must_use]
    pub const fn allow(self, bytes: usize) -> bool {
        if self.unit == 0 {
            return true;
        }
        let rest = bytes % self.unit;
        rest == 0 || (self.tail != 0 && rest == self.tail)
    }
}

impl core::fmt::Display for PayloadLengths {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (self.unit, self.tail) {
            (0 | 1, _) => write!(f, "any length"),
            (unit, 0) => write!(f, "a multiple of {unit} bytes"),
            (unit, tail) => write!(f, "a multiple of {unit} bytes, with or without {tail} more at its end,"),
        }
    }
}
