//! GSM 06.10 full rate: 13 kbit/s, 20 ms frames of 33 bytes, 8,000 samples a second.
//!
//! Proven by coming out the same as an independent implementation, bit by bit and both ways (`tests/peers.rs`). Lost
//! frames are replaced as GSM 06.11 suggests: the last one is repeated, and then fades.

mod arithmetic;
mod excitation;
mod frame;
mod short_term;

use self::arithmetic::product_rounded;
use self::excitation::{PAST, SUBFRAME};
use self::frame::{BYTES, Frame};
use self::short_term::{FRAME, Lattice};
use crate::frame::{DecodeError, EncodeError, PayloadLengths};

/// Samples a second, and the RTP clock, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
/// Samples of one frame, 20 ms.
pub const FRAME_SAMPLES: usize = FRAME;
/// Bytes of one frame.
pub const FRAME_BYTES: usize = BYTES;

const EMPHASIS: i16 = 28_180;
/// A frame whose pulses fade by this much each time, in steps of the logarithm, is silent after 320 ms.
const FADE: u8 = 4;

/// GSM full rate encoder.
#[derive(Debug, Clone)]
pub struct Encoder {
    last_input: i16,
    offset: i32,
    last_emphasised: i16,
    lattice: Lattice,
    past: [i16; PAST],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// In the reset state.
    #[must_use]
    pub fn new() -> Self {
        Self { last_input: 0, offset: 0, last_emphasised: 0, lattice: Lattice::default(), past: [0; PAST] }
    }

    fn encode_frame(&mut self, input: &[i16; FRAME]) -> Frame {
        let mut samples = self.preprocess(input);
        let ratios = short_term::analyse(&mut samples);
        self.lattice.analyse(ratios, &mut samples);
        let mut frame = Frame { ratios, ..Frame::default() };
        for (subframe, residual) in frame.subframes.iter_mut().zip(samples.as_chunks::<SUBFRAME>().0) {
            let decoded;
            (*subframe, decoded) = excitation::encode(residual, &self.past);
            append(&mut self.past, &decoded);
        }
        frame
    }

    /// §5.2.1 to §5.2.3: 13 bits, no direct current, more treble.
    fn preprocess(&mut self, input: &[i16; FRAME]) -> [i16; FRAME] {
        input.map(|sample| {
            let sample = (sample >> 3) << 2;
            let change = sample.wrapping_sub(self.last_input);
            self.last_input = sample;
            let upper = (self.offset >> 15) as i16;
            let lower = (self.offset - (i32::from(upper) << 15)) as i16;
            let sum = (i32::from(change) << 15) + i32::from(product_rounded(lower, 32_735));
            self.offset = (i32::from(upper) * 32_735).saturating_add(sum);
            let rounded = self.offset.saturating_add(16_384);
            let emphasis = product_rounded(self.last_emphasised, -EMPHASIS);
            self.last_emphasised = (rounded >> 15) as i16;
            self.last_emphasised.saturating_add(emphasis)
        })
    }
}

fn append(past: &mut [i16; PAST], decoded: &[i16; SUBFRAME]) {
    past.copy_within(SUBFRAME.., 0);
    past[PAST - SUBFRAME..].copy_from_slice(decoded);
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        FRAME
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples / FRAME * BYTES
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        let (frames, rest) = samples.as_chunks::<FRAME>();
        if !rest.is_empty() {
            return Err(EncodeError::PartialFrame { samples: samples.len(), frame_samples: FRAME });
        }
        let (needed, got) = (frames.len() * BYTES, payload.len());
        if got < needed {
            return Err(EncodeError::OutputTooSmall { needed, got });
        }
        for (frame, bytes) in frames.iter().zip(payload.as_chunks_mut::<BYTES>().0) {
            self.encode_frame(frame).pack(bytes);
        }
        Ok(needed)
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

/// GSM full rate decoder.
#[derive(Debug, Clone)]
pub struct Decoder {
    past: [i16; PAST],
    last_lag: u8,
    lattice: Lattice,
    last_output: i16,
    last_frame: Frame,
    lost: u32,
    last_packet: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// In the reset state.
    #[must_use]
    pub fn new() -> Self {
        Self {
            past: [0; PAST],
            last_lag: 40,
            lattice: Lattice::default(),
            last_output: 0,
            last_frame: Frame::default(),
            lost: 0,
            last_packet: FRAME,
        }
    }

    fn decode_frame(&mut self, frame: &Frame) -> [i16; FRAME] {
        let mut samples = [0; FRAME];
        for (subframe, out) in frame.subframes.iter().zip(samples.as_chunks_mut::<SUBFRAME>().0) {
            if (40..=120).contains(&subframe.lag) {
                self.last_lag = subframe.lag;
            }
            *out = excitation::decode(subframe, usize::from(self.last_lag), &self.past);
            append(&mut self.past, out);
        }
        self.lattice.synthesise(frame.ratios, &mut samples);
        for sample in &mut samples {
            self.last_output = sample.saturating_add(product_rounded(self.last_output, EMPHASIS));
            *sample = self.last_output.saturating_add(self.last_output) & !7;
        }
        samples
    }

    /// What stands in for a frame that did not come.
    fn conceal_frame(&mut self) -> [i16; FRAME] {
        let mut frame = self.last_frame;
        if self.lost > 0 {
            for subframe in &mut frame.subframes {
                subframe.largest = subframe.largest.saturating_sub(FADE);
            }
            self.last_frame = frame;
        }
        self.lost = self.lost.saturating_add(1);
        if self.lost > 16 {
            // The excitation is as good as silent; the filter is left to ring out.
            frame.subframes = Default::default();
            for subframe in &mut frame.subframes {
                subframe.pulses = [3; 13];
            }
            self.last_frame = frame;
        }
        self.decode_frame(&frame)
    }

    fn conceal_into(&mut self, samples: &mut [i16]) -> usize {
        let frames = samples.as_chunks_mut::<FRAME>().0;
        for frame in frames.iter_mut() {
            *frame = self.conceal_frame();
        }
        frames.len() * FRAME
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        FRAME
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes / BYTES * FRAME
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        let (packed, rest) = payload.as_chunks::<BYTES>();
        let (needed, got) = (packed.len() * FRAME, samples.len());
        if !rest.is_empty() {
            let count = self.last_packet.min(got);
            let concealed = self.conceal_into(&mut samples[..count]);
            let expected = PayloadLengths::multiple_of(BYTES);
            return Err(DecodeError::PayloadLength { got: payload.len(), expected, concealed });
        }
        if got < needed {
            return Err(DecodeError::OutputTooSmall { needed, got });
        }
        if packed.iter().any(|bytes| Frame::unpack(bytes).is_none()) {
            let concealed = self.conceal_into(&mut samples[..needed]);
            let reason = "the four bits 1101 are not at its beginning";
            return Err(DecodeError::PayloadContent { codec: "GSM", reason, concealed });
        }
        for (bytes, out) in packed.iter().zip(samples.as_chunks_mut::<FRAME>().0) {
            if let Some(frame) = Frame::unpack(bytes) {
                *out = self.decode_frame(&frame);
                (self.last_frame, self.lost) = (frame, 0);
            }
        }
        if needed > 0 {
            self.last_packet = needed;
        }
        Ok(needed)
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        self.conceal_into(samples)
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}
