//! Recording a leg: what its peer says and what it hears, side by side or as one, in chunks of samples.
//!
//! The peer's side is the clock. What the leg hears comes from elsewhere on beats of its own; it is laid beside the
//! peer's, filled up with silence where nothing came.

use super::program::Sound;
use denwa_codecs::activity::{Detector, Limits};
use denwa_codecs::resample::Resampler;
use std::collections::VecDeque;
use std::time::Duration;

/// Names a recording. Whoever starts it chooses the number, and never uses one twice on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordingId(pub u64);

/// Which side of a leg is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sides {
    /// What the leg's peer says.
    Peer,
    /// What the leg's peer hears.
    Hears,
    /// Both, added up.
    Mixed,
    /// Both in two channels, the peer first: samples take turns.
    Stereo,
}

/// How a leg is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordingSpec {
    /// Which side.
    pub sides: Sides,
    /// Samples a second of each channel, 8000–48 000. Default 8000.
    pub sample_rate_hz: u32,
    /// It ends by itself after so long. Default: never.
    pub limit: Option<Duration>,
    /// It ends by itself when the peer has said nothing for so long. Default: never.
    pub silence: Option<Duration>,
    /// How much sound one [`super::Event::Recorded`] holds, 20 ms to 60 s. Default 1 s.
    pub chunk: Duration,
}

impl RecordingSpec {
    /// The defaults.
    #[must_use]
    pub fn new(sides: Sides) -> Self {
        Self { sides, sample_rate_hz: 8000, limit: None, silence: None, chunk: Duration::from_secs(1) }
    }
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordingEnd {
    /// It was told to.
    Stopped,
    /// It is as long as it may be.
    Limit,
    /// The peer said nothing for too long.
    Silence,
    /// The leg was closed.
    LegClosed,
}

/// One recording of a leg.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) id: RecordingId,
    spec: RecordingSpec,
    peer: Side,
    hears: Side,
    activity: Detector,
    chunk: Vec<i16>,
    chunk_samples: usize,
    /// Samples of each channel so far.
    recorded: u64,
    limit: Option<u64>,
}

/// Samples on their way into the recording, at its rate.
#[derive(Debug)]
struct Side {
    rate: u32,
    resampler: Option<(u32, Resampler)>,
    waiting: VecDeque<i16>,
}

impl Side {
    fn new(rate: u32) -> Self {
        Self { rate, resampler: None, waiting: VecDeque::new() }
    }

    fn put(&mut self, samples: &[i16], rate: u32) {
        if rate == self.rate {
            self.waiting.extend(samples);
            return;
        }
        if self.resampler.as_ref().is_none_or(|(from, _)| *from != rate) {
            self.resampler = Resampler::new(rate, self.rate).ok().map(|resampler| (rate, resampler));
        }
        let Some((_, resampler)) = &mut self.resampler else { return };
        let mut converted = vec![0; resampler.max_output(samples.len())];
        let made = resampler.convert(samples, &mut converted);
        self.waiting.extend(converted.iter().take(made));
    }
}

impl Recorder {
    pub(super) fn new(id: RecordingId, spec: RecordingSpec) -> Self {
        let rate = spec.sample_rate_hz.clamp(8000, 48_000);
        let chunk = spec.chunk.clamp(Duration::from_millis(20), Duration::from_secs(60));
        let channels = if spec.sides == Sides::Stereo { 2 } else { 1 };
        Self {
            id,
            peer: Side::new(rate),
            hears: Side::new(rate),
            activity: Detector::new(rate, Limits::default()),
            chunk: Vec::new(),
            chunk_samples: (rate as usize / 1000).saturating_mul(chunk.as_millis() as usize) * channels,
            recorded: 0,
            limit: spec.limit.map(|limit| limit.as_millis() as u64 * u64::from(rate) / 1000),
            spec: RecordingSpec { sample_rate_hz: rate, ..spec },
        }
    }

    pub(super) fn wants_what_is_heard(&self) -> bool {
        self.spec.sides != Sides::Peer
    }

    /// What the leg's peer heard.
    pub(super) fn put_heard(&mut self, samples: &[i16], rate: u32) {
        if self.wants_what_is_heard() {
            self.hears.put(samples, rate);
        }
    }

    /// What the leg's peer said: moves the recording on. Says why it ends, if it does.
    pub(super) fn put_said(&mut self, samples: &[i16], rate: u32) -> Option<RecordingEnd> {
        self.peer.put(samples, rate);
        let room = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.recorded));
        let count = self.peer.waiting.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let said: Vec<i16> = self.peer.waiting.drain(..count).collect();
        let there = count.min(self.hears.waiting.len());
        let mut heard: Vec<i16> = self.hears.waiting.drain(..there).collect();
        heard.resize(count, 0);
        // The two clocks differ a little: what piles up is older than anybody wants it.
        let surplus = self.hears.waiting.len().saturating_sub(self.hears.rate as usize / 5);
        self.hears.waiting.drain(..surplus);
        match self.spec.sides {
            Sides::Peer => self.chunk.extend(&said),
            Sides::Hears => self.chunk.extend(&heard),
            Sides::Mixed => {
                self.chunk.extend(said.iter().zip(&heard).map(|(one, other)| one.saturating_add(*other)))
            }
            Sides::Stereo => {
                self.chunk.extend(said.iter().zip(&heard).flat_map(|(one, other)| [*one, *other]))
            }
        }
        self.recorded = self.recorded.saturating_add(count as u64);
        self.activity.listen(&said);
        if self.limit.is_some_and(|limit| self.recorded >= limit) {
            return Some(RecordingEnd::Limit);
        }
        let silence = self.spec.silence?;
        (u128::from(self.activity.silence_ms()) >= silence.as_millis()).then_some(RecordingEnd::Silence)
    }

    /// A chunk that is full; at the end, whatever there is.
    pub(super) fn take_chunk(&mut self, at_the_end: bool) -> Option<Sound> {
        let full = self.chunk.len() >= self.chunk_samples;
        if self.chunk.is_empty() || !(full || at_the_end) {
            return None;
        }
        let length = self.chunk.len().min(self.chunk_samples.max(1));
        let rest = self.chunk.split_off(length);
        let chunk = std::mem::replace(&mut self.chunk, rest);
        Some(Sound::new(chunk, self.spec.sample_rate_hz))
    }

    /// How long it is so far.
    pub(super) fn lasted(&self) -> Duration {
        Duration::from_nanos(
            self.recorded.saturating_mul(1_000_000_000) / u64::from(self.spec.sample_rate_hz.max(1)),
        )
    }
}
