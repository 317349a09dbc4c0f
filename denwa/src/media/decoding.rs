//! Every codec that may arrive on a stream, made sound at one rate.
//!
//! Each payload type has its own decoder and, where the codec has another rate than is wanted, its own resampler. Losses
//! are concealed by the codec that spoke last; pauses are filled with comfort noise after its descriptors (RFC 3389), or
//! by codecs that describe their silence themselves (G.729 Annex B, Opus).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::PayloadFormat;
use denwa_codecs::comfort_noise::Generator;
use denwa_codecs::resample::Resampler;
use denwa_codecs::{DecodeError, Decoder, registry};
use denwa_rtp::jitter::playout;

/// The decoders of one stream.
pub(crate) struct Decoders {
    sample_rate_hz: u32,
    formats: Vec<Format>,
    /// The one that decoded last: it conceals what is missing.
    last: usize,
    noise: Option<Noise>,
    scratch: Vec<i16>,
    /// Concealed, and more than was asked for: codecs conceal whole frames.
    surplus: Vec<i16>,
}

struct Format {
    payload_type: u8,
    clock_rate_hz: u32,
    /// Codec and parameters: what makes it the same after another agreement.
    name: String,
    voice: Option<Voice>,
    /// No longer agreed on: what came before that may still wait in the jitter buffer.
    retired: bool,
}

struct Voice {
    decoder: Box<dyn Decoder>,
    /// To the rate wanted.
    resampler: Option<Resampler>,
    describes_silence: bool,
}

/// Comfort noise between a descriptor and the next sound.
struct Noise {
    generator: Generator,
    resampler: Option<Resampler>,
    clock_rate_hz: u32,
    sounding: bool,
}

/// The sound that a silence descriptor stands for by itself, before the pause is known as one, in ms.
const DESCRIPTOR_MS: usize = 20;

impl Decoders {
    pub(crate) fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz,
            formats: Vec::new(),
            last: 0,
            noise: None,
            scratch: Vec::new(),
            surplus: Vec::new(),
        }
    }

    /// Makes decoders for what may arrive; those that are there already go on.
    pub(crate) fn configure(&mut self, formats: &[PayloadFormat]) {
        let speaking = self.formats.get(self.last).map(|format| format.name.clone());
        let mut old = std::mem::take(&mut self.formats);
        for format in formats {
            let name = format!("{} {}", format.label(), format.parameters);
            let same =
                old.iter().position(|kept| kept.payload_type == format.payload_type && kept.name == name);
            let known = match same {
                Some(kept) => Some(Format { retired: false, ..old.swap_remove(kept) }),
                None => self.make(format, name),
            };
            self.formats.extend(known);
        }
        for mut format in old.into_iter().filter(|format| !format.retired) {
            if self.find(format.payload_type).is_none() {
                format.retired = true;
                self.formats.push(format);
            }
        }
        self.last =
            self.formats.iter().position(|format| Some(&format.name) == speaking.as_ref()).unwrap_or(0);
    }

    fn make(&mut self, format: &PayloadFormat, name: String) -> Option<Format> {
        let (payload_type, clock_rate_hz) = (format.payload_type, format.clock_rate_hz);
        if format.is_comfort_noise() {
            let resampler = conversion(clock_rate_hz, self.sample_rate_hz)?;
            let generator = Generator::new(u64::from(clock_rate_hz) << 8 | u64::from(payload_type));
            self.noise.get_or_insert(Noise { generator, resampler, clock_rate_hz, sounding: false });
            return Some(Format { payload_type, clock_rate_hz, name, voice: None, retired: false });
        }
        let entry = registry::find(&format.name, clock_rate_hz)?;
        let decoder = entry.decoder_at(&format.parameters, self.sample_rate_hz).ok()?;
        let resampler = conversion(decoder.sample_rate_hz(), self.sample_rate_hz)?;
        let voice = Voice { decoder, resampler, describes_silence: format.describes_silence() };
        Some(Format { payload_type, clock_rate_hz, name, voice: Some(voice), retired: false })
    }

    /// Samples a second of what comes out.
    pub(crate) fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// The RTP clock of a payload type that can be heard.
    pub(crate) fn clock_rate_hz(&self, payload_type: u8) -> Option<u32> {
        let format = self.find(payload_type).and_then(|index| self.formats.get(index));
        format.filter(|format| !format.retired).map(|format| format.clock_rate_hz)
    }

    /// Whether it is a silence descriptor.
    pub(crate) fn is_comfort_noise(&self, payload_type: u8) -> bool {
        self.find(payload_type)
            .is_some_and(|index| self.formats.get(index).is_some_and(|format| format.voice.is_none()))
    }

    fn find(&self, payload_type: u8) -> Option<usize> {
        self.formats.iter().position(|format| format.payload_type == payload_type)
    }

    /// A payload was lost, and `following` came after it: appends `samples` samples in its place, recovered where the codec
    /// sends everything twice.
    pub(crate) fn recover(&mut self, payload_type: u8, following: &[u8], samples: usize, out: &mut Vec<i16>) {
        let end = out.len().saturating_add(samples);
        self.surplus.clear();
        if self.find(payload_type) == Some(self.last) {
            self.conceal_frames(samples, Some(following));
        } else {
            self.conceal_frames(samples, None);
        }
        self.take_surplus(samples, out);
        out.resize(end, 0);
    }

    /// Lets the codec that spoke last make up at least `samples` samples of the surplus.
    fn conceal_frames(&mut self, samples: usize, following: Option<&[u8]>) {
        let Some(voice) = self.formats.get_mut(self.last).and_then(|format| format.voice.as_mut()) else {
            return;
        };
        let own = scaled(samples, voice.decoder.sample_rate_hz(), self.sample_rate_hz);
        let frame = voice.decoder.frame_samples().max(1);
        self.scratch.clear();
        self.scratch.resize(own.div_ceil(frame).saturating_mul(frame), 0);
        let made = match following {
            Some(following) => voice.decoder.recover(following, &mut self.scratch),
            None => voice.decoder.conceal(&mut self.scratch),
        };
        convert(&mut voice.resampler, self.scratch.get(..made).unwrap_or_default(), &mut self.surplus);
    }

    fn take_surplus(&mut self, samples: usize, out: &mut Vec<i16>) {
        let taken = samples.min(self.surplus.len());
        out.extend(self.surplus.drain(..taken));
    }
}

impl playout::Decoder for Decoders {
    fn decode(&mut self, payload_type: u8, payload: &[u8], out: &mut Vec<i16>) {
        self.surplus.clear();
        let Some(index) = self.find(payload_type) else { return };
        let Some(format) = self.formats.get_mut(index) else { return };
        let Some(voice) = &mut format.voice else {
            if let Some(noise) = &mut self.noise {
                noise.generator.update(payload);
                noise.sounding = true;
            }
            let samples = scaled(DESCRIPTOR_MS, self.sample_rate_hz, 1000);
            self.pause(samples, out);
            return;
        };
        self.last = index;
        if let Some(noise) = &mut self.noise {
            noise.sounding = false;
        }
        self.scratch.resize(voice.decoder.max_samples(payload.len()).max(MOST_CONCEALED), 0);
        let made = match voice.decoder.decode(payload, &mut self.scratch) {
            Ok(made) => made,
            // Treated as lost, and concealed already.
            Err(
                DecodeError::PayloadLength { concealed, .. } | DecodeError::PayloadContent { concealed, .. },
            ) => concealed,
            Err(_) => 0,
        };
        convert(&mut voice.resampler, self.scratch.get(..made).unwrap_or_default(), out);
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        // Until the next packet nobody knows that this is a pause: but a description of silence came last.
        if self.noise.as_ref().is_some_and(|noise| noise.sounding) {
            return self.pause(samples, out);
        }
        let end = out.len().saturating_add(samples);
        let lacking = samples.saturating_sub(self.surplus.len());
        if lacking > 0 {
            self.conceal_frames(lacking, None);
        }
        self.take_surplus(samples, out);
        out.resize(end, 0);
    }

    fn pause(&mut self, samples: usize, out: &mut Vec<i16>) {
        let end = out.len().saturating_add(samples);
        let describes_silence = self
            .formats
            .get(self.last)
            .and_then(|format| format.voice.as_ref())
            .is_some_and(|voice| voice.describes_silence);
        match self.noise.as_mut().filter(|noise| noise.sounding) {
            Some(noise) => noise.append(samples, self.sample_rate_hz, out),
            None if describes_silence => self.conceal(samples, out),
            None => {}
        }
        out.resize(end, 0);
    }
}

impl Noise {
    fn append(&mut self, samples: usize, sample_rate_hz: u32, out: &mut Vec<i16>) {
        let mut own = vec![0; scaled(samples, self.clock_rate_hz, sample_rate_hz)];
        self.generator.generate(&mut own);
        convert(&mut self.resampler, &own, out);
    }
}

/// No codec here conceals more for one bad payload, in samples: 120 ms at 48 kHz.
const MOST_CONCEALED: usize = 5760;

/// `None` when these rates cannot be converted, `Some(None)` when there is nothing to convert.
#[allow(clippy::option_option)]
pub(crate) fn conversion(from_hz: u32, to_hz: u32) -> Option<Option<Resampler>> {
    if from_hz == to_hz {
        return Some(None);
    }
    Resampler::new(from_hz, to_hz).ok().map(Some)
}

/// Appends `samples` to `out`, at the rate `out` has.
pub(crate) fn convert(resampler: &mut Option<Resampler>, samples: &[i16], out: &mut Vec<i16>) {
    let Some(resampler) = resampler else {
        out.extend_from_slice(samples);
        return;
    };
    let start = out.len();
    out.resize(start.saturating_add(resampler.max_output(samples.len())), 0);
    let made = resampler.convert(samples, out.get_mut(start..).unwrap_or_default());
    out.truncate(start.saturating_add(made));
}

/// So many of `per` as are so many of `of`, rounded up.
pub(crate) fn scaled(count: usize, of: u32, per: u32) -> usize {
    let scaled = (count as u64).saturating_mul(u64::from(of)).div_ceil(u64::from(per.max(1)));
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

impl std::fmt::Debug for Decoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.formats.iter().map(|format| (format.payload_type, &format.name))).finish()
    }
}
