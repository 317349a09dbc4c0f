//! Sound at one rate, made payloads of one codec, with its time line.
//!
//! Sound goes in by pieces of any length, payloads come out as packets fill. What the codec or the suppression of silence
//! (RFC 3389) leaves unsent still moves the timestamps along, and the packet after it carries the marker (RFC 3551 §4.1).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::decoding::{conversion, convert, scaled};
use super::{PayloadFormat, StreamParameters};
use denwa_codecs::activity::{Detector, Limits};
use denwa_codecs::comfort_noise::Describer;
use denwa_codecs::resample::Resampler;
use denwa_codecs::{Encoder, registry};
use std::time::Duration;

/// The encoder of one stream.
pub(crate) struct Encoding {
    /// Codec and parameters: what makes it the same after another agreement.
    name: String,
    payload_type: u8,
    clock_rate_hz: u32,
    encoder: Box<dyn Encoder>,
    /// The rate of the sound that goes in.
    from_hz: u32,
    resampler: Option<Resampler>,
    suppression: Option<Suppression>,
    /// Sound at the encoder's rate that no packet holds yet.
    waiting: Vec<i16>,
    /// Samples of a packet, and ticks of the RTP clock.
    samples: usize,
    ticks: u32,
    timestamp: u32,
    /// The next packet begins a talk spurt.
    begins: bool,
    payload: Vec<u8>,
}

/// A payload on its way into a packet.
#[derive(Debug)]
pub(crate) struct Encoded<'a> {
    pub(crate) payload_type: u8,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: &'a [u8],
}

/// Leaves silence out and describes it.
struct Suppression {
    payload_type: u8,
    detector: Detector,
    describer: Describer,
    /// Ticks since the last descriptor; `None` while somebody speaks.
    described: Option<u32>,
}

/// Fits a packet of 1500 octets with whatever protects and tunnels it.
const LARGEST_PAYLOAD: usize = 1400;
/// A description of silence is said again after so long.
const DESCRIBED_AGAIN_MS: u32 = 400;
/// Coefficients of a description.
const ORDER: usize = 8;

impl Encoding {
    /// For the first of the agreed formats there is an encoder for; takes sound at `from_hz`.
    pub(crate) fn new(parameters: &StreamParameters, from_hz: u32) -> Option<Self> {
        parameters.send.iter().find_map(|format| Self::of_format(format, parameters, from_hz))
    }

    /// For this format.
    pub(crate) fn of_format(
        format: &PayloadFormat,
        parameters: &StreamParameters,
        from_hz: u32,
    ) -> Option<Self> {
        let entry = registry::find(&format.name, format.clock_rate_hz)?;
        let encoder = entry.encoder_at(&format.parameters, from_hz).ok()?;
        let rate = encoder.sample_rate_hz();
        let resampler = conversion(from_hz, rate)?;
        let milliseconds = usize::try_from(parameters.packet_time.as_millis()).unwrap_or(20).clamp(10, 200);
        let mut samples = encoder.packet_samples(scaled(milliseconds, rate, 1000));
        // Packets that networks would take apart are not made (L16 at 48 kHz).
        while encoder.max_payload_bytes(samples) > LARGEST_PAYLOAD {
            let shorter = encoder.packet_samples(samples / 2);
            if shorter >= samples {
                break;
            }
            samples = shorter;
        }
        let ticks = scaled(samples, entry.clock_rate_hz, rate);
        Some(Self {
            name: format!("{} {}", format.label(), format.parameters),
            payload_type: format.payload_type,
            clock_rate_hz: entry.clock_rate_hz,
            from_hz,
            resampler,
            suppression: Suppression::new(format, parameters, rate),
            waiting: Vec::new(),
            samples,
            ticks: u32::try_from(ticks).unwrap_or(u32::MAX),
            timestamp: 0,
            begins: false,
            payload: vec![0; encoder.max_payload_bytes(samples)],
            encoder,
        })
    }

    /// Goes on where `before` stood, with what it had not sent, and with its encoder if that is the same. Says whether the
    /// time line has another clock now.
    pub(crate) fn follow(&mut self, before: Self) -> bool {
        let (rate, old) = (self.encoder.sample_rate_hz(), before.encoder.sample_rate_hz());
        if let Some(mut resampler) = conversion(old, rate) {
            convert(&mut resampler, &before.waiting, &mut self.waiting);
        }
        if before.name == self.name && before.from_hz == self.from_hz {
            (self.encoder, self.resampler) = (before.encoder, before.resampler);
        }
        if before.clock_rate_hz != self.clock_rate_hz {
            return true;
        }
        (self.timestamp, self.begins) = (before.timestamp, before.begins);
        false
    }

    /// How much sound a packet holds.
    pub(crate) fn packet_time(&self) -> Duration {
        let nanoseconds = (self.samples as u64)
            .saturating_mul(1_000_000_000)
            .checked_div(u64::from(self.encoder.sample_rate_hz()))
            .unwrap_or(0);
        Duration::from_nanos(nanoseconds.max(1_000_000))
    }

    /// Ticks of the RTP clock a second.
    pub(crate) fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// How many samples go in for a packet.
    pub(crate) fn packet_input(&self) -> usize {
        scaled(self.samples, self.from_hz, self.encoder.sample_rate_hz())
    }

    /// Takes sound.
    pub(crate) fn take(&mut self, samples: &[i16]) {
        convert(&mut self.resampler, samples, &mut self.waiting);
    }

    /// Forgets the oldest of what waits, until it is no longer than this (or two packets).
    pub(crate) fn keep(&mut self, longest: Duration) {
        let longest = usize::try_from(longest.as_millis()).unwrap_or(usize::MAX);
        let room = scaled(longest, self.encoder.sample_rate_hz(), 1000).max(self.samples.saturating_mul(2));
        let surplus = self.waiting.len().saturating_sub(room);
        self.waiting.drain(..surplus);
    }

    /// Forgets what waits.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Whether a packet is full.
    pub(crate) fn is_ready(&self) -> bool {
        self.waiting.len() >= self.samples
    }

    /// Lets time pass in which nothing was said: what waits is forgotten, and a talk spurt begins.
    pub(crate) fn skip(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
        self.begins = true;
    }

    /// Lets packets' times pass as if they had been sent.
    pub(crate) fn skip_packets(&mut self, packets: u32) {
        self.timestamp = self.timestamp.wrapping_add(self.ticks.wrapping_mul(packets));
    }

    /// A talk spurt begins with the next packet.
    pub(crate) fn mark(&mut self) {
        self.begins = true;
    }

    /// The next payload, when enough was said.
    pub(crate) fn next(&mut self) -> Option<Encoded<'_>> {
        while self.is_ready() {
            let timestamp = self.timestamp;
            self.timestamp = timestamp.wrapping_add(self.ticks);
            let made = self.encode();
            self.waiting.drain(..self.samples.min(self.waiting.len()));
            if let Some((payload_type, length)) = made {
                let is_voice = payload_type == self.payload_type;
                let marker = is_voice && std::mem::take(&mut self.begins);
                let payload = self.payload.get(..length).unwrap_or_default();
                return Some(Encoded { payload_type, timestamp, marker, payload });
            }
            self.begins = true;
        }
        None
    }

    /// Encodes a packet of what waits. `None` when it is left out.
    fn encode(&mut self) -> Option<(u8, usize)> {
        let frame = self.waiting.get(..self.samples)?;
        match self
            .suppression
            .as_mut()
            .map(|suppression| suppression.hear(frame, self.ticks, self.clock_rate_hz))
        {
            Some(Heard::Silence { describe: false }) => return None,
            Some(Heard::Silence { describe: true }) => {
                let suppression = self.suppression.as_ref()?;
                self.begins = true;
                return Some((suppression.payload_type, suppression.describer.describe(&mut self.payload)));
            }
            Some(Heard::Voice) | None => {}
        }
        let length = self.encoder.encode(frame, &mut self.payload).unwrap_or(0);
        (length > 0).then_some((self.payload_type, length))
    }
}

enum Heard {
    Voice,
    Silence { describe: bool },
}

impl Suppression {
    /// Where it is wanted, the peer takes descriptors, and the codec has no better means of its own.
    fn new(format: &PayloadFormat, parameters: &StreamParameters, sample_rate_hz: u32) -> Option<Self> {
        if !parameters.suppresses_silence || format.describes_silence() {
            return None;
        }
        let noise = parameters
            .send
            .iter()
            .find(|noise| noise.is_comfort_noise() && noise.clock_rate_hz == format.clock_rate_hz)?;
        Some(Self {
            payload_type: noise.payload_type,
            detector: Detector::new(sample_rate_hz, Limits::default()),
            describer: Describer::new(ORDER),
            described: None,
        })
    }

    fn hear(&mut self, frame: &[i16], ticks: u32, clock_rate_hz: u32) -> Heard {
        if self.detector.listen(frame) {
            self.described = None;
            return Heard::Voice;
        }
        self.describer.learn(frame);
        let again = clock_rate_hz.saturating_mul(DESCRIBED_AGAIN_MS) / 1000;
        let describe = self.described.is_none_or(|since| since >= again);
        self.described =
            Some(if describe { ticks } else { self.described.unwrap_or(0).saturating_add(ticks) });
        Heard::Silence { describe }
    }
}

impl std::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoding")
            .field("name", &self.name)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
