//! G.729 in RTP payloads: any number of speech frames, at the end perhaps a silence descriptor (RFC 3551 §4.5.6).

use super::{
    FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENCE_BYTES, Variant,
    bitstream::{Frame, Silence, Speech},
    decoder, encoder,
    serial::SerialFrame,
};
use crate::{DecodeError, EncodeError, PayloadLengths};

const LENGTHS: PayloadLengths = PayloadLengths { unit: FRAME_BYTES, tail: SILENCE_BYTES };

/// How an encoder behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncoderConfig {
    /// Annex B: silence is described once and then not sent (`annexb=yes` in SDP).
    pub dtx: bool,
}

/// Samples to G.729.
#[derive(Debug, Clone)]
pub struct Encoder {
    state: encoder::State,
}

impl Encoder {
    /// An encoder with nothing heard yet.
    #[must_use]
    pub fn new(config: EncoderConfig) -> Self {
        Self { state: encoder::State::new(config.dtx) }
    }

    /// Encodes one frame of 80 samples into `payload`; 10 bytes, 2 for a silence descriptor, 0 for nothing to send.
    ///
    /// The coder looks 5 ms ahead: what it describes began 40 samples before the first of `samples`.
    pub fn encode_frame(&mut self, samples: &[i16; FRAME_SAMPLES], payload: &mut [u8; FRAME_BYTES]) -> usize {
        match self.state.frame(samples) {
            Frame::Speech(speech) => {
                *payload = speech.pack();
                FRAME_BYTES
            }
            Frame::Silence(silence) => {
                payload[..SILENCE_BYTES].copy_from_slice(&silence.pack());
                SILENCE_BYTES
            }
            Frame::Untransmitted | Frame::Erased => 0,
        }
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        FRAME_SAMPLES
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples.div_ceil(FRAME_SAMPLES).saturating_mul(FRAME_BYTES)
    }

    /// With `dtx`, a packet ends at its silence descriptor: frames of the same call that follow it and bring nothing are
    /// not sent. Speech that begins again inside the call comes in a packet of its own, so give a frame at a
    /// time where every frame counts; of a longer input the descriptor before new speech is left out.
    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        let (frames, rest) = samples.as_chunks::<FRAME_SAMPLES>();
        if !rest.is_empty() {
            return Err(EncodeError::PartialFrame { samples: samples.len(), frame_samples: FRAME_SAMPLES });
        }
        let needed = frames.len().saturating_mul(FRAME_BYTES);
        if payload.len() < needed {
            return Err(EncodeError::OutputTooSmall { needed, got: payload.len() });
        }
        let mut at = 0;
        let mut tail = 0;
        for frame in frames {
            let mut bytes = [0; FRAME_BYTES];
            let count = self.encode_frame(frame, &mut bytes);
            if count > 0 {
                payload[at..at + count].copy_from_slice(&bytes[..count]);
            }
            match count {
                FRAME_BYTES => (at, tail) = (at + FRAME_BYTES, 0),
                0 => {}
                count => tail = count,
            }
        }
        Ok(at + tail)
    }

    fn reset(&mut self) {
        self.state = encoder::State::new(self.state.is_discontinuous());
    }
}

/// G.729 to samples.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: decoder::State,
    /// Frames in the last good payload: what a lost one is taken to have held.
    frames: usize,
}

impl Decoder {
    /// A decoder with nothing heard yet.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        Self { state: decoder::State::new(variant), frames: 2 }
    }

    /// Decodes one frame as the ITU serial format tells it, erasures and frames that were not sent included.
    pub fn decode_frame(&mut self, frame: &SerialFrame, samples: &mut [i16; FRAME_SAMPLES]) {
        let frame = match frame {
            SerialFrame::Speech(bytes) => Frame::Speech(Speech::unpack(bytes)),
            SerialFrame::Silence(bytes) => Frame::Silence(Silence::unpack(bytes)),
            SerialFrame::Untransmitted => Frame::Untransmitted,
            SerialFrame::Erased => Frame::Erased,
        };
        self.state.frame(&frame, samples);
    }

    /// 10 ms of the pause after a silence descriptor: nothing was sent and nothing was lost.
    pub fn continue_silence(&mut self, samples: &mut [i16; FRAME_SAMPLES]) {
        self.state.frame(&Frame::Untransmitted, samples);
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        FRAME_SAMPLES
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes.div_ceil(FRAME_BYTES).max(self.frames).saturating_mul(FRAME_SAMPLES)
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        let needed = if LENGTHS.allow(payload.len()) {
            payload.len().div_ceil(FRAME_BYTES).saturating_mul(FRAME_SAMPLES)
        } else {
            self.frames.saturating_mul(FRAME_SAMPLES)
        };
        if samples.len() < needed {
            return Err(DecodeError::OutputTooSmall { needed, got: samples.len() });
        }
        if !LENGTHS.allow(payload.len()) {
            let concealed = crate::Decoder::conceal(self, &mut samples[..needed]);
            return Err(DecodeError::PayloadLength { got: payload.len(), expected: LENGTHS, concealed });
        }
        let (frames, tail) = payload.as_chunks::<FRAME_BYTES>();
        let (out, _) = samples.as_chunks_mut::<FRAME_SAMPLES>();
        for (frame, out) in frames.iter().zip(out.iter_mut()) {
            self.state.frame(&Frame::Speech(Speech::unpack(frame)), out);
        }
        if let (&[first, second], Some(out)) = (tail, out.get_mut(frames.len())) {
            self.state.frame(&Frame::Silence(Silence::unpack(&[first, second])), out);
        }
        if needed > 0 {
            self.frames = needed / FRAME_SAMPLES;
        }
        Ok(needed)
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        let (out, _) = samples.as_chunks_mut::<FRAME_SAMPLES>();
        for out in out.iter_mut() {
            self.state.frame(&Frame::Erased, out);
        }
        out.len() * FRAME_SAMPLES
    }

    fn reset(&mut self) {
        *self = Self::new(self.state.variant());
    }
}
