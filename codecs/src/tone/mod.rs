//! Tones: a sum of sines, switched by a cadence, at any sample rate.
//!
//! Phases are 64-bit fractions of a turn, so that no frequency drifts, and restart with each [`Generator`] only.
//! National tone plans are in [`plan`], digits in [`dtmf`], fax and modem tones in [`single`], what is heard while a
//! call is set up in [`progress`].

mod analysis;
pub mod dtmf;
pub mod plan;
pub mod progress;
pub mod single;

use alloc::vec::Vec;
use core::f64::consts::TAU;

use crate::level::sine_amplitude;

/// One sine of a tone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sine {
    /// In Hz.
    pub frequency_hz: f64,
    /// In dBm0: 0 is the milliwatt, +3.14 full scale.
    pub level_dbm0: f64,
    /// Amplitude modulation by a lower sine, as Japan's ring back has it.
    pub modulation: Option<Modulation>,
}

impl Sine {
    /// A steady sine.
    #[must_use]
    pub const fn new(frequency_hz: f64, level_dbm0: f64) -> Self {
        Self { frequency_hz, level_dbm0, modulation: None }
    }
}

/// Amplitude modulation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Modulation {
    /// In Hz.
    pub frequency_hz: f64,
    /// 0 (none) ..= 1 (down to silence).
    pub depth: f64,
}

/// A stretch of a cadence: sines together for so long. No sines is silence.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What sounds.
    pub sines: Vec<Sine>,
    /// For how long, in ms; `None` is for ever.
    pub duration_ms: Option<u32>,
}

/// What is heard: steps in order, over and over or so many times.
#[derive(Debug, Clone, PartialEq)]
pub struct Tone {
    /// The steps of one round.
    pub steps: Vec<Step>,
    /// How many rounds; `None` is without end.
    pub rounds: Option<u32>,
    /// The step with which each round after the first begins; those before it sound once.
    pub repeated_from: usize,
}

impl Tone {
    /// Sines without end.
    #[must_use]
    pub fn steady(sines: &[Sine]) -> Self {
        Self {
            steps: [Step { sines: sines.into(), duration_ms: None }].into(),
            rounds: None,
            repeated_from: 0,
        }
    }

    /// Sines for `on_ms`, silence for `off_ms`, over and over.
    #[must_use]
    pub fn interrupted(sines: &[Sine], on_ms: u32, off_ms: u32) -> Self {
        let on = Step { sines: sines.into(), duration_ms: Some(on_ms) };
        let off = Step { sines: Vec::new(), duration_ms: Some(off_ms) };
        Self { steps: [on, off].into(), rounds: None, repeated_from: 0 }
    }

    /// The reference tone of the telephone network: 1000 Hz at 0 dBm0, without end.
    #[must_use]
    pub fn milliwatt() -> Self {
        Self::steady(&[Sine::new(1_000.0, 0.0)])
    }
}

/// Samples of a [`Tone`].
#[derive(Debug, Clone)]
pub struct Generator {
    steps: Vec<Running>,
    step: usize,
    /// Samples of the current step still to come; `None` is without end.
    left: Option<u64>,
    rounds_left: Option<u32>,
    repeated_from: usize,
    finished: bool,
}

#[derive(Debug, Clone)]
struct Running {
    oscillators: Vec<Oscillator>,
    samples: Option<u64>,
}

impl Generator {
    /// A generator at the beginning of `tone`, at `sample_rate_hz` samples a second.
    ///
    /// Sines at or above half the sample rate are left out rather than folded.
    #[must_use]
    pub fn new(tone: &Tone, sample_rate_hz: u32) -> Self {
        let steps: Vec<Running> = tone
            .steps
            .iter()
            .map(|step| Running {
                oscillators: step
                    .sines
                    .iter()
                    .filter(|sine| sine.frequency_hz * 2.0 < f64::from(sample_rate_hz))
                    .map(|sine| Oscillator::new(*sine, sample_rate_hz))
                    .collect(),
                samples: step.duration_ms.map(|ms| u64::from(ms) * u64::from(sample_rate_hz) / 1_000),
            })
            .collect();
        // A round that takes no time would never give a sample.
        let endless = steps.get(tone.repeated_from..).unwrap_or_default();
        let empty = endless.iter().all(|step| step.samples == Some(0));
        let left = steps.first().and_then(|step| step.samples);
        let finished = empty || tone.rounds == Some(0);
        Self { finished, step: 0, left, rounds_left: tone.rounds, repeated_from: tone.repeated_from, steps }
    }

    /// Fills the beginning of `samples` and returns how many were written: fewer than asked for only at the tone's end.
    pub fn generate(&mut self, samples: &mut [i16]) -> usize {
        let mut written = 0;
        while written < samples.len() && !self.finished {
            let room = samples.len() - written;
            let count = self.left.map_or(room, |left| room.min(usize::try_from(left).unwrap_or(room)));
            let (Some(out), Some(step)) =
                (samples.get_mut(written..written + count), self.steps.get_mut(self.step))
            else {
                break;
            };
            step.fill(out);
            written += count;
            if let Some(left) = &mut self.left {
                *left -= count as u64;
                if *left == 0 {
                    self.advance();
                }
            }
        }
        written
    }

    /// Whether the tone has come to its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    fn advance(&mut self) {
        self.step += 1;
        if self.step >= self.steps.len() {
            self.step = self.repeated_from;
            if let Some(rounds) = &mut self.rounds_left {
                *rounds -= 1;
                self.finished = *rounds == 0;
            }
        }
        self.left = self.steps.get(self.step).and_then(|step| step.samples);
    }
}

impl Running {
    fn fill(&mut self, out: &mut [i16]) {
        const BLOCK: usize = 80;
        for block in out.chunks_mut(BLOCK) {
            let mut sum = [0f64; BLOCK];
            for oscillator in &mut self.oscillators {
                oscillator.add(&mut sum[..block.len()]);
            }
            for (sample, value) in block.iter_mut().zip(&sum) {
                *sample = value.round_ties_even() as i16; // saturates
            }
        }
    }
}

/// A sine as a phase that turns by `step` a sample; both in 2^-64 of a turn.
#[derive(Debug, Clone)]
struct Oscillator {
    phase: Phase,
    amplitude: f64,
    modulation: Option<(Phase, f64)>,
}

#[derive(Debug, Clone, Copy)]
struct Phase {
    position: u64,
    step: u64,
}

impl Phase {
    fn new(frequency_hz: f64, sample_rate_hz: u32, offset_samples: f64) -> Self {
        let turns = frequency_hz / f64::from(sample_rate_hz);
        let step = (turns * 2f64.powi(64)) as u64;
        let position = (turns * offset_samples * 2f64.powi(64)) as u64;
        Self { position, step }
    }

    /// Writes sines of the next `out.len()` phases: exact at the start of a block, by recurrence within it.
    fn sines(&mut self, out: &mut [f64]) {
        let angle = self.position as f64 * (TAU / 2f64.powi(64));
        let step = self.step as f64 * (TAU / 2f64.powi(64));
        let (mut sin, mut cos) = angle.sin_cos();
        let (step_sin, step_cos) = step.sin_cos();
        for value in out.iter_mut() {
            *value = sin;
            (sin, cos) = (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin);
        }
        self.position = self.position.wrapping_add(self.step.wrapping_mul(out.len() as u64));
    }
}

impl Oscillator {
    fn new(sine: Sine, sample_rate_hz: u32) -> Self {
        Self {
            // Half a sample in: the milliwatt then consists of the samples of G.711 Tables 5 and 6.
            phase: Phase::new(sine.frequency_hz, sample_rate_hz, 0.5),
            amplitude: sine_amplitude(sine.level_dbm0),
            modulation: sine.modulation.map(|m| (Phase::new(m.frequency_hz, sample_rate_hz, 0.0), m.depth)),
        }
    }

    fn add(&mut self, sum: &mut [f64]) {
        let mut wave = [0f64; 80];
        let wave = &mut wave[..sum.len()];
        self.phase.sines(wave);
        match &mut self.modulation {
            None => sum.iter_mut().zip(wave).for_each(|(sum, wave)| *sum += *wave * self.amplitude),
            Some((phase, depth)) => {
                let mut envelope = [0f64; 80];
                let envelope = &mut envelope[..sum.len()];
                phase.sines(envelope);
                for ((sum, wave), envelope) in sum.iter_mut().zip(wave).zip(envelope) {
                    *sum += *wave * self.amplitude * (1.0 - *depth * (0.5 + 0.5 * *envelope));
                }
            }
        }
    }
}
