//! iLBC (RFC 3951, RFC 3952): frames of 20 ms (15.2 kbit/s) or 30 ms (13.33 kbit/s) that depend on no other frame, at
//! 8,000 samples a second.
//!
//! Proven against the reference's own recordings, clean and with losses, within the tolerance that floating point asks
//! for (`tests/ilbc.rs`). It differs from the reference in one thing: long losses fade to silence, as RFC 3951 §4.5.2
//! describes and the reference by a slip does not.

mod bits;
mod codebook;
mod concealment;
mod enhancer;
mod lpc;
mod residual;
mod state;
mod tables;

use self::bits::Frame;
pub use self::bits::Mode;
use self::concealment::Concealment;
use self::enhancer::Enhancer;
use self::lpc::{Analysis, FLAT, Filters, ORDER, Spectrum};
use self::tables::{INPUT_POLES, INPUT_ZEROS, LSF_MEAN, OUTPUT_POLES, OUTPUT_ZEROS};
use crate::frame::{DecodeError, EncodeError, PayloadLengths};

/// Samples a second, and the RTP clock, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// A high-pass filter of second order.
#[derive(Debug, Clone)]
struct HighPass {
    zeros: &'static [f32; 3],
    poles: &'static [f32; 3],
    inputs: [f32; 2],
    outputs: [f32; 2],
}

impl HighPass {
    const fn new(zeros: &'static [f32; 3], poles: &'static [f32; 3]) -> Self {
        Self { zeros, poles, inputs: [0.0; 2], outputs: [0.0; 2] }
    }

    fn filter(&mut self, sample: f32) -> f32 {
        let value = self.zeros[0] * sample + self.zeros[1] * self.inputs[0] + self.zeros[2] * self.inputs[1]
            - self.poles[1] * self.outputs[0]
            - self.poles[2] * self.outputs[1];
        self.inputs = [sample, self.inputs[0]];
        self.outputs = [value, self.outputs[0]];
        value
    }
}

/// iLBC encoder.
#[derive(Debug, Clone)]
pub struct Encoder {
    mode: Mode,
    high_pass: HighPass,
    analysis: Analysis,
    past: [f32; ORDER],
}

impl Encoder {
    /// In the reset state.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            high_pass: HighPass::new(&INPUT_ZEROS, &INPUT_POLES),
            analysis: Analysis::new(),
            past: [0.0; ORDER],
        }
    }

    fn encode_frame(&mut self, samples: &[i16]) -> Frame {
        let mode = self.mode;
        let size = mode.frame_samples();
        let mut filtered = [0.0; 240];
        for (to, sample) in filtered.iter_mut().zip(samples) {
            *to = self.high_pass.filter(f32::from(*sample));
        }
        let analysed = self.analysis.analyse(mode, &filtered[..size]);
        let mut residual = [0.0; 240];
        for (block, (samples, out)) in filtered[..size].chunks(40).zip(residual.chunks_mut(40)).enumerate() {
            lpc::residual(&analysed.synthesis[block], samples, &mut self.past, out);
        }

        let mut frame = Frame { spectra: analysed.codes, ..Frame::default() };
        frame.start = state::find_start(&residual[..size]);
        let first_block = usize::from(frame.start) - 1;
        let count = mode.state_samples();
        let energy = |first: bool| -> f32 {
            let position = residual::state_position(mode, frame.start, first);
            residual[position..position + count].iter().map(|s| s * s).sum()
        };
        frame.state_first = energy(true) > energy(false);
        let position = residual::state_position(mode, frame.start, frame.state_first);
        let in_first = if frame.state_first { 40 } else { count - 40 };
        frame.scale = state::encode(
            &residual[position..position + count],
            in_first,
            &analysed.synthesis[first_block],
            [&analysed.weighting[first_block], &analysed.weighting[first_block + 1]],
            &mut frame.state,
        );
        let mut decoded = [0.0; 240];
        residual::walk(
            mode,
            &mut frame,
            &analysed.synthesis,
            &mut decoded[..size],
            |place, memory, shape| {
                let mut target = [0.0; 40];
                for (n, sample) in target[..place.length].iter_mut().enumerate() {
                    *sample = residual[place.index(n)];
                }
                let weighting = &analysed.weighting[place.index(0) / 40];
                *shape = codebook::search(&target[..place.length], memory, weighting, place.number);
            },
        );
        frame
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        self.mode.frame_samples()
    }

    fn max_payload_bytes(&self, samples: usize) -> usize {
        samples / self.mode.frame_samples() * self.mode.frame_bytes()
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        let (size, bytes) = (self.mode.frame_samples(), self.mode.frame_bytes());
        if !samples.len().is_multiple_of(size) {
            return Err(EncodeError::PartialFrame { samples: samples.len(), frame_samples: size });
        }
        let (needed, got) = (samples.len() / size * bytes, payload.len());
        if got < needed {
            return Err(EncodeError::OutputTooSmall { needed, got });
        }
        for (samples, bytes) in samples.chunks(size).zip(payload.chunks_mut(bytes)) {
            self.encode_frame(samples).pack(self.mode, bytes);
        }
        Ok(needed)
    }

    fn reset(&mut self) {
        *self = Self::new(self.mode);
    }
}

/// iLBC decoder, with the enhancer.
#[derive(Debug, Clone)]
pub struct Decoder {
    mode: Mode,
    spectrum: Spectrum,
    filters: Filters,
    past: [f32; ORDER],
    concealment: Concealment,
    enhancer: Enhancer,
    lag: usize,
    high_pass: HighPass,
    last_packet: usize,
}

impl Decoder {
    /// In the reset state.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            spectrum: LSF_MEAN,
            filters: [FLAT; 6],
            past: [0.0; ORDER],
            concealment: Concealment::new(),
            enhancer: Enhancer::new(),
            lag: 20,
            high_pass: HighPass::new(&OUTPUT_ZEROS, &OUTPUT_POLES),
            last_packet: mode.frame_samples(),
        }
    }

    /// `None` is a lost frame.
    fn decode_frame(&mut self, frame: Option<Frame>, out: &mut [i16]) {
        let mode = self.mode;
        let (size, blocks) = (mode.frame_samples(), mode.blocks());
        let mut residual = [0.0; 240];
        let lost = frame.is_none();
        let filters = match frame {
            Some(mut frame) => {
                let filters = lpc::received(mode, frame.spectra, &mut self.spectrum);
                residual::walk(mode, &mut frame, &filters, &mut residual[..size], |_, _, _| {});
                self.concealment.received(&residual[..size], &filters[blocks - 1]);
                filters
            }
            None => [self.concealment.lost(mode, self.lag, &mut residual); 6],
        };
        let mut samples = [0.0; 240];
        self.lag = self.enhancer.enhance(mode, &residual, lost, &mut samples);
        // The enhancer's delay is that of its filters: one block or two are still the last frame's.
        let delayed = if mode == Mode::Ms20 { 1 } else { 2 };
        for (block, samples) in samples[..size].chunks_mut(40).enumerate() {
            let filter = if block < delayed {
                &self.filters[blocks - delayed + block]
            } else {
                &filters[block - delayed]
            };
            lpc::synthesise(filter, samples, &mut self.past);
        }
        self.filters = filters;
        for (out, sample) in out.iter_mut().zip(samples) {
            *out = self.high_pass.filter(sample) as i16; // truncates and saturates
        }
    }

    fn conceal_into(&mut self, samples: &mut [i16]) -> usize {
        let size = self.mode.frame_samples();
        let whole = samples.len() / size * size;
        for out in samples[..whole].chunks_mut(size) {
            self.decode_frame(None, out);
        }
        whole
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn frame_samples(&self) -> usize {
        self.mode.frame_samples()
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        payload_bytes / self.mode.frame_bytes() * self.mode.frame_samples()
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        let (size, bytes) = (self.mode.frame_samples(), self.mode.frame_bytes());
        if !payload.len().is_multiple_of(bytes) {
            let count = self.last_packet.min(samples.len());
            let concealed = self.conceal_into(&mut samples[..count]);
            let expected = PayloadLengths::multiple_of(bytes);
            return Err(DecodeError::PayloadLength { got: payload.len(), expected, concealed });
        }
        let (needed, got) = (payload.len() / bytes * size, samples.len());
        let Some(samples) = samples.get_mut(..needed) else {
            return Err(DecodeError::OutputTooSmall { needed, got });
        };
        if payload.chunks(bytes).any(|packed| Frame::unpack(self.mode, packed).is_none()) {
            let concealed = self.conceal_into(samples);
            let reason = "it says itself that it is empty, or its start state is nowhere";
            return Err(DecodeError::PayloadContent { codec: "iLBC", reason, concealed });
        }
        for (packed, out) in payload.chunks(bytes).zip(samples.chunks_mut(size)) {
            self.decode_frame(Frame::unpack(self.mode, packed), out);
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
        *self = Self::new(self.mode);
    }
}
