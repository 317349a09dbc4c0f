//! Concealment for codecs that have none of their own, at any rate and packet length, without delay.
//!
//! It does what G.711 Appendix I does (repeats pitch periods, more of them the longer the loss, and fades them out
//! over 60 ms), but since what was heard cannot be bent any more, the seam at the beginning of a loss is closed by an
//! offset that dies away over a quarter of a period.

use alloc::{vec, vec::Vec};

/// Longest pitch period: 66.7 Hz.
const LONGEST_PERIOD_MS: f32 = 15.0;
/// Shortest: 400 Hz.
const SHORTEST_PERIOD_MS: f32 = 2.5;
/// How much of the past must be like the period before.
const CORRELATED_MS: f32 = 20.0;

/// Concealment for one source.
#[derive(Debug, Clone)]
pub struct Concealer {
    sample_rate_hz: u32,
    shortest: usize,
    longest: usize,
    correlated: usize,
    /// What was heard last.
    history: Vec<i16>,
    /// The end of the history as it was when the loss began, joined so that it can go round.
    played: Vec<f32>,
    period: usize,
    /// The last `length` samples of `played` go round; `offset` is where we are.
    length: usize,
    offset: usize,
    /// Samples lost so far.
    lost: usize,
    last_packet: usize,
}

impl Concealer {
    /// Samples of history are silence at first.
    pub fn new(sample_rate_hz: u32) -> Self {
        let samples = |ms: f32| (sample_rate_hz as f32 * ms / 1_000.0) as usize;
        let longest = samples(LONGEST_PERIOD_MS).max(8);
        let correlated = samples(CORRELATED_MS).max(8);
        let history = 3 * longest + longest / 4 + correlated;
        Self {
            sample_rate_hz,
            shortest: samples(SHORTEST_PERIOD_MS).max(4),
            longest,
            correlated,
            history: vec![0; history],
            played: vec![0.0; history],
            period: longest,
            length: longest,
            offset: 0,
            lost: 0,
            last_packet: samples(20.0),
        }
    }

    /// Samples in the last packet that arrived; 20 ms before the first one.
    pub fn last_packet_samples(&self) -> usize {
        self.last_packet
    }

    /// Whether the last samples were made up.
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

    /// Samples arrived: after a loss their beginning is joined to what was played meanwhile.
    pub fn received(&mut self, samples: &mut [i16]) {
        if samples.is_empty() {
            return;
        }
        self.last_packet = samples.len();
        if self.lost > 0 {
            // A quarter of a period, and 4 ms more for each 10 ms lost, 10 ms at most.
            let ten_ms = self.sample_rate_hz as usize / 100;
            let overlap = (self.period / 4 + self.lost * 2 / 5).min(ten_ms).min(samples.len());
            for (index, sample) in samples.iter_mut().take(overlap).enumerate() {
                let share = (index + 1) as f32 / (overlap + 1) as f32;
                let played = self.next_sample();
                *sample = (played * (1.0 - share) + f32::from(*sample) * share) as i16;
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
        let mut seam = 0.0;
        if self.lost == 0 {
            self.begin();
            seam = self.history.last().map_or(0.0, |last| f32::from(*last))
                - self.played[self.played.len() - self.length - 1];
        }
        let quarter = (self.period / 4).max(1);
        let ten_ms = self.sample_rate_hz as usize / 100;
        let first = self.lost == 0;
        for (index, sample) in samples.iter_mut().enumerate() {
            // Another period goes round after 10 ms and another after 20, so that nothing sounds like a buzzer.
            if self.lost > 0 && self.lost.is_multiple_of(ten_ms) && self.lost / ten_ms <= 2 {
                self.lengthen();
            }
            let mut value = self.next_sample();
            if first && index < quarter {
                value += seam * (1.0 - index as f32 / quarter as f32);
            }
            *sample = value as i16;
        }
        self.remember(samples);
    }

    /// A loss begins: the past is frozen and its period found.
    fn begin(&mut self) {
        for (to, from) in self.played.iter_mut().zip(&self.history) {
            *to = f32::from(*from);
        }
        self.period = self.find_period();
        self.offset = 0;
        self.length = self.period;
        self.join();
    }

    fn lengthen(&mut self) {
        self.length += self.period;
        self.offset %= self.period;
        self.join();
    }

    /// Bends the end of what goes round towards its beginning.
    fn join(&mut self) {
        let quarter = self.period / 4;
        let end = self.played.len();
        for index in 0..quarter {
            let share = (index + 1) as f32 / (quarter + 1) as f32;
            let before = self.played[end - self.length - quarter + index];
            let sample = &mut self.played[end - quarter + index];
            *sample = *sample * (1.0 - share) + before * share;
        }
    }

    fn next_sample(&mut self) -> f32 {
        let value = self.played[self.played.len() - self.length + self.offset];
        self.offset += 1;
        if self.offset >= self.length {
            self.offset = 0;
        }
        let ten_ms = self.sample_rate_hz as f32 / 100.0;
        // Full for 10 ms, then a fifth less each 10 ms.
        let gain = (1.2 - 0.2 * self.lost as f32 / ten_ms).clamp(0.0, 1.0);
        self.lost = self.lost.saturating_add(1);
        value * gain
    }

    fn remember(&mut self, samples: &[i16]) {
        let size = self.history.len();
        let kept = size.saturating_sub(samples.len());
        self.history.copy_within(size - kept.., 0);
        let fresh = &samples[samples.len() - (size - kept)..];
        self.history[kept..].copy_from_slice(fresh);
    }

    /// The lag at which the last 20 ms are most like themselves: coarsely first, then sample by sample.
    fn find_period(&self) -> usize {
        let step = (self.sample_rate_hz as usize / 4_000).max(1);
        let coarse = self.best_lag(self.shortest, self.longest, step);
        let first = coarse.saturating_sub(step).max(self.shortest);
        self.best_lag(first, (coarse + step).min(self.longest), 1)
    }

    fn best_lag(&self, first: usize, last: usize, step: usize) -> usize {
        let end = self.played.len();
        let recent = &self.played[end - self.correlated..];
        let mut best = (last, 0.0);
        for lag in (first..=last).step_by(step) {
            let past = &self.played[end - self.correlated - lag..end - lag];
            let (mut product, mut energy) = (0.0, 1.0);
            for (recent, past) in recent.iter().zip(past).step_by(step) {
                product += recent * past;
                energy += past * past;
            }
            let likeness = product / f32::sqrt(energy);
            if likeness > best.1 {
                best = (lag, likeness);
            }
        }
        best.0
    }
}
