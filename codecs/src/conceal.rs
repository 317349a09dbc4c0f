//! Concealment for codecs that have none of their own, at any rate and packet length, without delay.
//!
//! What is lost is continued by linear prediction, which makes no seam: the residual's last periods, mixed with pieces of
//! it in disorder (the more, the less periodic it was), go through the predictor of the last 20 ms. It sounds in full for
//! 20 ms, fades out within 80, and fades over into what comes after. Fax and modems want none of this: give them silence.

use alloc::{vec, vec::Vec};

/// Longest pitch period: 66.7 Hz.
const LONGEST_PERIOD_MS: f32 = 15.0;
/// Shortest: 400 Hz.
const SHORTEST_PERIOD_MS: f32 = 2.5;
/// How much of the past must be like the period before, and is analysed.
const ANALYSED_MS: f32 = 20.0;
/// What is made up is heard in full for so long, and not at all after so long.
const FULL_MS: f32 = 20.0;
const SILENT_MS: f32 = 80.0;
/// The longest fade into what comes after a loss.
const FADE_MS: f32 = 10.0;

/// Concealment for one source.
#[derive(Debug, Clone)]
pub struct Concealer {
    sample_rate_hz: u32,
    shortest: usize,
    longest: usize,
    analysed: usize,
    /// What was heard last.
    history: Vec<i16>,
    /// The history as floats, while a loss is analysed.
    work: Vec<f32>,
    predictor: Vec<f32>,
    /// The excitation, of the past and then made up, and what the predictor made of it: the newest last.
    excitation: Vec<f32>,
    made: Vec<f32>,
    period: usize,
    /// 0 is noise, 1 a tone.
    periodicity: f32,
    seed: u32,
    /// Samples lost so far.
    lost: usize,
    last_packet: usize,
}

impl Concealer {
    /// Samples of history are silence at first.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        let samples = |ms: f32| (sample_rate_hz as f32 * ms / 1_000.0) as usize;
        let longest = samples(LONGEST_PERIOD_MS).max(8);
        let analysed = samples(ANALYSED_MS).max(16);
        // 10 coefficients at 8 kHz, 16 at 16 kHz; more bring nothing for speech.
        let order = (4 + sample_rate_hz as usize * 3 / 4_000).clamp(8, 20);
        let history = 2 * longest + analysed + order;
        Self {
            sample_rate_hz,
            shortest: samples(SHORTEST_PERIOD_MS).max(4),
            longest,
            analysed,
            history: vec![0; history],
            work: vec![0.0; history],
            predictor: vec![0.0; order],
            excitation: vec![0.0; history],
            made: vec![0.0; order],
            period: longest,
            periodicity: 0.0,
            seed: 777,
            lost: 0,
            last_packet: samples(20.0),
        }
    }

    /// Samples in the last packet that arrived; 20 ms before the first one.
    #[must_use]
    pub fn last_packet_samples(&self) -> usize {
        self.last_packet
    }

    /// Whether the last samples were made up.
    #[must_use]
    pub fn is_concealing(&self) -> bool {
        self.lost > 0
    }

    /// Samples of the past that are looked at.
    #[cfg(feature = "g711")]
    pub(crate) fn history_samples(&self) -> usize {
        self.history.len()
    }

    /// What was heard until now, for callers that keep it themselves: as many samples as are looked at.
    #[cfg(feature = "g711")]
    pub(crate) fn set_history(&mut self, fill: impl FnOnce(&mut [i16])) {
        fill(&mut self.history);
    }

    /// Samples arrived: after a loss their beginning is mixed with what would have been made up.
    pub fn received(&mut self, samples: &mut [i16]) {
        if samples.is_empty() {
            return;
        }
        self.last_packet = samples.len();
        if self.lost > 0 {
            let longest = (self.sample_rate_hz as f32 * FADE_MS / 1_000.0) as usize;
            let overlap = (self.period / 4 + self.lost * 2 / 5).min(longest).min(samples.len());
            for (index, sample) in samples.iter_mut().take(overlap).enumerate() {
                let share = (index + 1) as f32 / (overlap + 1) as f32;
                let made = self.next_sample();
                *sample = (made * (1.0 - share) + f32::from(*sample) * share) as i16;
            }
            self.lost = 0;
        }
        self.remember(samples);
    }

    /// Samples were lost: fills in what should be heard instead.
    pub fn lost(&mut self, samples: &mut [i16]) {
        if samples.is_empty() {
            return;
        }
        if self.lost == 0 {
            self.analyse();
        }
        for sample in samples.iter_mut() {
            *sample = self.next_sample() as i16;
        }
        self.remember(samples);
    }

    /// A loss begins: what was the signal like?
    fn analyse(&mut self) {
        for (to, from) in self.work.iter_mut().zip(&self.history) {
            *to = f32::from(*from);
        }
        let order = self.predictor.len();
        self.find_predictor();
        for n in 0..self.work.len() {
            let past = n.min(order);
            let predicted: f32 = self.predictor[..past]
                .iter()
                .zip(self.work[n - past..n].iter().rev())
                .map(|(a, s)| a * s)
                .sum();
            self.excitation[n] = self.work[n] + predicted;
        }
        let newest = self.work.len() - order;
        self.made.copy_from_slice(&self.work[newest..]);
        let likeness;
        (self.period, likeness) = self.find_period();
        self.periodicity = ((likeness - 0.4) / 0.3).clamp(0.0, 1.0);
        // The same cycle over and over would buzz: two in turn.
        if self.period * 2 <= self.longest {
            self.period *= 2;
        }
    }

    fn next_sample(&mut self) -> f32 {
        let end = self.excitation.len();
        let cycle = self.excitation[end - self.period];
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let spread = self.longest - self.shortest;
        let noise = self.excitation[end - self.shortest - (self.seed >> 16) as usize % spread.max(1)];
        // The mixture keeps the power.
        let p = self.periodicity;
        let value = cycle * p + noise * (1.0 - p * p).sqrt();
        self.excitation.copy_within(1.., 0);
        self.excitation[end - 1] = value;
        let predicted: f32 =
            self.predictor.iter().zip(self.made.iter().rev()).map(|(a, past)| a * past).sum();
        let made = value - predicted;
        let order = self.made.len();
        self.made.copy_within(1.., 0);
        self.made[order - 1] = made;
        let ms = self.lost as f32 * 1_000.0 / self.sample_rate_hz as f32;
        self.lost = self.lost.saturating_add(1);
        made * (1.0 - (ms - FULL_MS).max(0.0) / (SILENT_MS - FULL_MS)).max(0.0)
    }

    fn remember(&mut self, samples: &[i16]) {
        let size = self.history.len();
        let kept = size.saturating_sub(samples.len());
        self.history.copy_within(size - kept.., 0);
        let fresh = &samples[samples.len() - (size - kept)..];
        self.history[kept..].copy_from_slice(fresh);
    }

    /// Levinson's recursion over the last 20 ms, of which the newest count most.
    fn find_predictor(&mut self) {
        let order = self.predictor.len();
        let recent = &self.work[self.work.len() - self.analysed..];
        let peak = self.analysed * 4 / 5;
        let windowed: Vec<f32> = recent
            .iter()
            .enumerate()
            .map(|(n, sample)| {
                let turn = if n < peak {
                    n as f32 / peak as f32 - 1.0
                } else {
                    0.9 * (n - peak) as f32 / (self.analysed - peak) as f32
                };
                sample * (0.5 + 0.5 * (core::f32::consts::PI * turn).cos())
            })
            .collect();
        let correlation: Vec<f32> = (0..=order)
            .map(|lag| {
                let sum: f32 = windowed[lag..].iter().zip(&windowed).map(|(a, b)| a * b).sum();
                // A little noise and a little blur keep the filter tame.
                let blur = 40.0 * core::f32::consts::TAU * lag as f32 / self.sample_rate_hz as f32;
                sum * if lag == 0 { 1.000_1 } else { (-0.5 * blur * blur).exp() }
            })
            .collect();
        self.predictor.fill(0.0);
        let mut error = correlation[0];
        if error < 1.0 {
            return;
        }
        for m in 0..order {
            let sum =
                correlation[m + 1] + (0..m).map(|i| self.predictor[i] * correlation[m - i]).sum::<f32>();
            let reflection = (-sum / error).clamp(-0.999, 0.999);
            for i in 0..m.div_ceil(2) {
                let (one, other) = (self.predictor[i], self.predictor[m - 1 - i]);
                self.predictor[i] = one + reflection * other;
                self.predictor[m - 1 - i] = other + reflection * one;
            }
            self.predictor[m] = reflection;
            error *= 1.0 - reflection * reflection;
        }
    }

    /// The lag at which the last 20 ms are most like themselves, and how much: coarsely first, then sample by sample.
    fn find_period(&self) -> (usize, f32) {
        let step = (self.sample_rate_hz as usize / 4_000).max(1);
        let (coarse, _) = self.best_lag(self.shortest, self.longest, step);
        let first = coarse.saturating_sub(step).max(self.shortest);
        self.best_lag(first, (coarse + step).min(self.longest), 1)
    }

    fn best_lag(&self, first: usize, last: usize, step: usize) -> (usize, f32) {
        let end = self.work.len();
        let recent = &self.work[end - self.analysed..];
        let own: f32 = recent.iter().step_by(step).map(|s| s * s).sum();
        let mut best = (last, 0.0);
        for lag in (first..=last).step_by(step) {
            let past = &self.work[end - self.analysed - lag..end - lag];
            let (mut product, mut energy) = (0.0, 1.0);
            for (recent, past) in recent.iter().zip(past).step_by(step) {
                product += recent * past;
                energy += past * past;
            }
            let likeness = product / f32::sqrt(energy * (own + 1.0));
            if likeness > best.1 {
                best = (lag, likeness);
            }
        }
        best
    }
}
