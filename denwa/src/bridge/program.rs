//! What can be played: sounds, tones and pauses, one after the other, once or over and over.
//!
//! A [`Program`] is plain data that is cheap to clone, so that one recording can play to any number of legs. The renderer
//! turns it into samples at whatever rate a leg's codec wants.

use denwa_codecs::resample::Resampler;
use denwa_codecs::tone::{Generator, Tone};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A stretch of 16-bit linear sound, one channel unless said otherwise; clones share the samples.
#[derive(Clone, PartialEq, Eq)]
pub struct Sound {
    samples: Arc<[i16]>,
    sample_rate_hz: u32,
}

impl Sound {
    /// Samples at `sample_rate_hz` samples a second, 1000 to 192 000.
    pub fn new(samples: impl Into<Arc<[i16]>>, sample_rate_hz: u32) -> Self {
        Self { samples: samples.into(), sample_rate_hz: sample_rate_hz.clamp(1000, 192_000) }
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Samples a second.
    #[must_use]
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// How long it lasts, as one channel.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration(self.samples.len() as u64, self.sample_rate_hz)
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({} samples at {} Hz)", self.samples.len(), self.sample_rate_hz)
    }
}

/// A part of a [`Program`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Piece {
    /// Recorded sound.
    Sound(Sound),
    /// A tone with its cadence.
    Tone {
        /// Which.
        tone: Tone,
        /// For how long at most; `None` leaves that to the tone.
        lasts: Option<Duration>,
    },
    /// Silence, sent as packets.
    Pause(Duration),
}

/// Sounds, tones and pauses to be played in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pieces: Arc<[Piece]>,
    repeats: bool,
    is_running: bool,
}

impl Program {
    /// Plays these once, from the beginning.
    pub fn new(pieces: impl Into<Arc<[Piece]>>) -> Self {
        Self { pieces: pieces.into(), repeats: false, is_running: false }
    }

    /// Plays this sound once.
    #[must_use]
    pub fn of(sound: Sound) -> Self {
        Self::new([Piece::Sound(sound)])
    }

    /// Plays this tone with its cadence, as long as it says itself: most are without end.
    #[must_use]
    pub fn tone(tone: Tone) -> Self {
        Self::new([Piece::Tone { tone, lasts: None }])
    }

    /// Over and over.
    #[must_use]
    pub fn repeated(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// Over and over, and whoever begins to listen hears what is on at that moment: music on hold, that does not begin
    /// with the same bars for each who waits.
    #[must_use]
    pub fn running(mut self) -> Self {
        (self.repeats, self.is_running) = (true, true);
        self
    }

    /// Its parts.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// How long one round lasts; `None` without end.
    pub fn duration(&self) -> Option<Duration> {
        self.pieces.iter().map(Piece::duration).sum()
    }
}

impl Piece {
    /// How long it lasts; `None` without end.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        match self {
            Self::Sound(sound) => Some(sound.duration()),
            Self::Pause(lasts) => Some(*lasts),
            Self::Tone { tone, lasts } => {
                let own = tone_duration(tone);
                match (own, lasts) {
                    (Some(own), Some(lasts)) => Some(own.min(*lasts)),
                    (own, lasts) => own.or(*lasts),
                }
            }
        }
    }
}

fn tone_duration(tone: &Tone) -> Option<Duration> {
    let milliseconds = |steps: &[denwa_codecs::tone::Step]| {
        steps.iter().map(|step| step.duration_ms.map(u64::from)).sum::<Option<u64>>()
    };
    let rounds = u64::from(tone.rounds?);
    let first = milliseconds(&tone.steps)?;
    let others = milliseconds(tone.steps.get(tone.repeated_from..).unwrap_or(&[]))?;
    Some(match rounds {
        0 => Duration::ZERO,
        rounds => {
            Duration::from_millis(first.saturating_add(others.saturating_mul(rounds.saturating_sub(1))))
        }
    })
}

fn duration(samples: u64, sample_rate_hz: u32) -> Duration {
    let nanoseconds = u128::from(samples).saturating_mul(1_000_000_000) / u128::from(sample_rate_hz.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn samples(lasts: Duration, sample_rate_hz: u32) -> u64 {
    u64::try_from(lasts.as_nanos().saturating_mul(u128::from(sample_rate_hz)) / 1_000_000_000)
        .unwrap_or(u64::MAX)
}

/// Samples of a program.
pub(super) struct Renderer {
    program: Program,
    sample_rate_hz: u32,
    /// The piece that plays, as a place in the program.
    at: usize,
    playing: Option<Playing>,
    finished: bool,
}

enum Playing {
    Sound { position: usize, resampler: Option<Resampler>, spilled: VecDeque<i16> },
    Tone { generator: Generator, left: Option<u64> },
    Pause { left: u64 },
}

impl Renderer {
    /// At the beginning of the program, or, of one that is always on, at what it has come to since `epoch`.
    pub(super) fn new(program: Program, sample_rate_hz: u32, epoch: Instant, now: Instant) -> Self {
        let mut renderer =
            Self { program, sample_rate_hz: sample_rate_hz.max(1), at: 0, playing: None, finished: false };
        renderer.begin();
        if renderer.program.is_running {
            renderer.join(now.saturating_duration_since(epoch));
        }
        renderer
    }

    /// Finds what is on after the program has run for so long.
    fn join(&mut self, elapsed: Duration) {
        let Some(round) = self.program.duration().filter(|round| !round.is_zero()) else { return };
        let nanoseconds = u64::try_from(elapsed.as_nanos() % round.as_nanos()).unwrap_or(0);
        let mut left = Duration::from_nanos(nanoseconds);
        while let Some(piece) = self.program.pieces.get(self.at) {
            let lasts = piece.duration().unwrap_or_default();
            if left < lasts {
                break;
            }
            left = left.saturating_sub(lasts);
            self.at += 1;
        }
        self.begin();
        match &mut self.playing {
            Some(Playing::Sound { position, .. }) => {
                if let Some(Piece::Sound(sound)) = self.program.pieces.get(self.at) {
                    *position = usize::try_from(samples(left, sound.sample_rate_hz)).unwrap_or(0);
                }
            }
            Some(Playing::Pause { left: pause }) => {
                *pause = pause.saturating_sub(samples(left, self.sample_rate_hz));
            }
            // A cadence begins with its tone for everybody.
            Some(Playing::Tone { .. }) | None => {}
        }
    }

    /// From now on at another rate; what is being played goes on where it was.
    pub(super) fn set_sample_rate(&mut self, sample_rate_hz: u32) {
        if sample_rate_hz == self.sample_rate_hz {
            return;
        }
        let before = std::mem::replace(&mut self.sample_rate_hz, sample_rate_hz.max(1));
        let scaled = |count: u64| count.saturating_mul(u64::from(sample_rate_hz)) / u64::from(before);
        let position = match &self.playing {
            Some(Playing::Sound { position, .. }) => Some(*position),
            _ => None,
        };
        let pause = match &self.playing {
            Some(Playing::Pause { left }) => Some(scaled(*left)),
            _ => None,
        };
        self.begin();
        match (&mut self.playing, position, pause) {
            (Some(Playing::Sound { position, .. }), Some(before), _) => *position = before,
            (Some(Playing::Pause { left }), _, Some(before)) => *left = before,
            _ => {}
        }
    }

    /// Whether everything was played.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Fills `out`, with silence after the end.
    pub(super) fn render(&mut self, out: &mut [i16]) {
        let mut written = 0;
        // A round that gives nothing at all ends the program, or it would never end here.
        let mut empty_rounds = 0;
        while let Some(room) = out.get_mut(written..).filter(|room| !room.is_empty()) {
            if self.finished {
                room.fill(0);
                return;
            }
            let count = self.render_piece(room);
            written = written.saturating_add(count);
            if count > 0 {
                empty_rounds = 0;
            } else {
                self.at = self.at.saturating_add(1);
                if self.at >= self.program.pieces.len() {
                    empty_rounds += 1;
                    self.next_round(empty_rounds > 1);
                }
                self.begin();
            }
        }
        // The end is known as soon as the last sample is out, not a packet later.
        if !self.program.repeats && self.is_at_the_end() {
            self.next_round(true);
            self.begin();
        }
    }

    fn is_at_the_end(&self) -> bool {
        if self.at.saturating_add(1) < self.program.pieces.len() {
            return false;
        }
        match (&self.playing, self.program.pieces.get(self.at)) {
            (Some(Playing::Sound { position, spilled, .. }), Some(Piece::Sound(sound))) => {
                *position >= sound.samples.len() && spilled.is_empty()
            }
            (Some(Playing::Tone { generator, left }), _) => generator.is_finished() || *left == Some(0),
            (Some(Playing::Pause { left }), _) => *left == 0,
            _ => true,
        }
    }

    fn next_round(&mut self, is_empty: bool) {
        self.at = 0;
        if self.program.repeats && !is_empty {
            return;
        }
        self.finished = true;
    }

    fn begin(&mut self) {
        let rate = self.sample_rate_hz;
        if self.program.pieces.is_empty() {
            self.finished = true;
        }
        self.playing = self.program.pieces.get(self.at).map(|piece| match piece {
            Piece::Sound(sound) => Playing::Sound {
                position: 0,
                resampler: (sound.sample_rate_hz != rate)
                    .then(|| Resampler::new(sound.sample_rate_hz, rate).ok())
                    .flatten(),
                spilled: VecDeque::new(),
            },
            Piece::Tone { tone, lasts } => Playing::Tone {
                generator: Generator::new(tone, rate),
                left: lasts.map(|lasts| samples(lasts, rate)),
            },
            Piece::Pause(lasts) => Playing::Pause { left: samples(*lasts, rate) },
        });
    }

    /// Fills the beginning of `out`; nothing when the piece is over.
    fn render_piece(&mut self, out: &mut [i16]) -> usize {
        match (&mut self.playing, self.program.pieces.get(self.at)) {
            (Some(Playing::Sound { position, resampler: None, .. }), Some(Piece::Sound(sound))) => {
                let rest = sound.samples.get(*position..).unwrap_or(&[]);
                let count = rest.len().min(out.len());
                for (out, sample) in out.iter_mut().zip(rest) {
                    *out = *sample;
                }
                *position = position.saturating_add(count);
                count
            }
            (
                Some(Playing::Sound { position, resampler: Some(resampler), spilled }),
                Some(Piece::Sound(sound)),
            ) => {
                let step = (sound.sample_rate_hz / 100).max(1) as usize;
                while spilled.len() < out.len() {
                    let rest = sound.samples.get(*position..).unwrap_or(&[]);
                    let input = rest.get(..step.min(rest.len())).unwrap_or(&[]);
                    if input.is_empty() {
                        break;
                    }
                    let mut converted = vec![0; resampler.max_output(input.len())];
                    let made = resampler.convert(input, &mut converted);
                    spilled.extend(converted.iter().take(made));
                    *position = position.saturating_add(input.len());
                }
                let count = spilled.len().min(out.len());
                for (out, sample) in out.iter_mut().zip(spilled.drain(..count)) {
                    *out = sample;
                }
                count
            }
            (Some(Playing::Tone { generator, left }), _) => {
                let room = left.map_or(out.len(), |left| usize::try_from(left).unwrap_or(usize::MAX));
                let room = room.min(out.len());
                let count = out.get_mut(..room).map_or(0, |out| generator.generate(out));
                if let Some(left) = left {
                    *left = left.saturating_sub(count as u64);
                }
                count
            }
            (Some(Playing::Pause { left }), _) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len());
                out.iter_mut().take(count).for_each(|out| *out = 0);
                *left = left.saturating_sub(count as u64);
                count
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use denwa_codecs::tone::Sine;

    fn render(program: Program, rate: u32, count: usize) -> (Vec<i16>, bool) {
        let now = Instant::now();
        let mut renderer = Renderer::new(program, rate, now, now);
        let mut out = vec![99; count];
        for piece in out.chunks_mut(160) {
            renderer.render(piece);
        }
        (out, renderer.is_finished())
    }

    fn sound(values: &[i16]) -> Piece {
        Piece::Sound(Sound::new(values.to_vec(), 8000))
    }

    #[test]
    fn pieces_follow_one_another_without_a_gap_and_silence_comes_after() {
        let program =
            Program::new([sound(&[1; 100]), Piece::Pause(Duration::from_millis(10)), sound(&[2; 100])]);
        let (out, finished) = render(program, 8000, 320);
        let expected: Vec<i16> = [vec![1; 100], vec![0; 80], vec![2; 100], vec![0; 40]].concat();
        assert_eq!((out, finished), (expected, true));
    }

    #[test]
    fn the_end_is_known_with_the_last_sample() {
        assert!(render(Program::of(Sound::new(vec![5; 320], 8000)), 8000, 320).1);
        assert!(!render(Program::of(Sound::new(vec![5; 321], 8000)), 8000, 320).1);
    }

    #[test]
    fn what_is_repeated_has_no_seam_and_no_end() {
        let (out, finished) = render(Program::new([sound(&[1, 2, 3])]).repeated(), 8000, 480);
        assert!(out.iter().enumerate().all(|(n, sample)| *sample == (n % 3) as i16 + 1));
        assert!(!finished);
    }

    #[test]
    fn a_program_of_nothing_ends_at_once() {
        for program in [Program::new([]), Program::new([]).repeated(), Program::new([sound(&[])]).repeated()]
        {
            assert_eq!(render(program, 8000, 160), (vec![0; 160], true));
        }
    }

    #[test]
    fn who_comes_later_hears_what_is_on() {
        let begun = Instant::now();
        let program = Program::of(Sound::new((0..8000).collect::<Vec<i16>>(), 8000)).running();
        let mut renderer = Renderer::new(program, 8000, begun, begun + Duration::from_millis(2500));
        let mut out = [0; 2];
        renderer.render(&mut out);
        assert_eq!(out, [4000, 4001]);
    }

    #[test]
    fn rates_are_made_to_fit() {
        let sine: Vec<i16> = (0..16_000).map(|n| ((f64::from(n) * 0.1).sin() * 8000.0) as i16).collect();
        let (out, finished) = render(Program::of(Sound::new(sine.clone(), 16_000)), 8000, 8160);
        assert!(finished);
        // After the filter's delay the sine is where it was, at every second sample.
        let delay = Resampler::new(16_000, 8000).unwrap().delay_seconds();
        let shift = delay * 16_000.0;
        for n in 1000..1100 {
            let expected = ((f64::from(n) * 2.0 - shift) * 0.1).sin() * 8000.0;
            assert!(
                (f64::from(out[n as usize]) - expected).abs() < 400.0,
                "{n}: {} {expected}",
                out[n as usize]
            );
        }
    }

    #[test]
    fn tones_can_be_cut_short() {
        let tone = Tone::interrupted(&[Sine::new(400.0, -10.0)], 500, 500);
        let piece = Piece::Tone { tone: tone.clone(), lasts: Some(Duration::from_millis(100)) };
        assert_eq!(piece.duration(), Some(Duration::from_millis(100)));
        assert_eq!(Piece::Tone { tone, lasts: None }.duration(), None);
        let (out, finished) = render(Program::new([piece, sound(&[7; 10])]), 8000, 960);
        assert!(finished && out[790..800].iter().any(|sample| *sample != 0));
        assert_eq!((out[800], out[809], out[810]), (7, 7, 0));
    }
}
