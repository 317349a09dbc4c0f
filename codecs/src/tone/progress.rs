//! What a caller hears from another exchange: dial tone, ring back, busy, congestion, special information.
//!
//! The signal is cut into stretches (one of the plan's sets of sines, silence, or anything else), whose lengths are
//! compared with the plan's cadences, to within a sixth and 30 ms.

use alloc::{collections::VecDeque, vec::Vec};

use super::analysis::{Probe, Window, power_dbm0};
use super::plan::Plan;
use super::{Step, Tone};

/// What was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Progress {
    /// Dial tone, for more than a second.
    Dial,
    /// Ring back: one burst and the pause after it.
    RingBack,
    /// Busy: two bursts.
    Busy,
    /// Congestion: two bursts. Where it is the same as busy, busy is reported.
    Congestion,
    /// The three special information tones.
    SpecialInformation,
}

const HOP_MS: u32 = 10;
const WINDOW_MS: u32 = 64;
const QUIETEST_DBM0: f64 = -43.0;
/// A modulated tone has a good part of its power in the sidebands.
const LEAST_PURITY: f64 = 0.6;
const TOLERANCE_HZ: f64 = 12.0;
/// Shorter stretches are the seams between others.
const SHORTEST_MS: u32 = 40;
/// Steady for so long, it is no cadence.
const STEADY_MS: u32 = 1_200;
const REMEMBERED: usize = 8;

/// What a stretch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    Silence,
    /// An index into the detector's sets of sines.
    Sines(usize),
    Other,
}

/// Stretches in order, each with its length in ms if that matters.
type Pattern = Vec<(Sound, Option<u32>)>;

/// Detector of one plan's tones.
#[derive(Debug, Clone)]
pub struct Detector {
    window: Window,
    probes: Vec<(f64, Probe)>,
    /// Each set is a list of indexes into `probes`.
    sets: Vec<Vec<usize>>,
    patterns: Vec<(Progress, Pattern)>,
    stretches: VecDeque<(Sound, u32)>,
    current: (Sound, u32),
    /// What began within the last few windows and may be a seam.
    next: (Sound, u32),
    reported: Option<Progress>,
}

impl Detector {
    /// A detector of `plan`'s tones at `sample_rate_hz`.
    #[must_use]
    pub fn new(plan: &Plan, sample_rate_hz: u32) -> Self {
        let window = Window::new(sample_rate_hz, WINDOW_MS, HOP_MS);
        let mut detector = Self {
            window,
            probes: Vec::new(),
            sets: Vec::new(),
            patterns: Vec::new(),
            stretches: VecDeque::new(),
            current: (Sound::Silence, 0),
            next: (Sound::Silence, 0),
            reported: None,
        };
        let known = [
            (Progress::Dial, &plan.dial),
            (Progress::SpecialInformation, &plan.special_information),
            (Progress::RingBack, &plan.ring_back),
            (Progress::Busy, &plan.busy),
            (Progress::Congestion, &plan.congestion),
        ];
        for (progress, tone) in known {
            let pattern = detector.pattern(tone, sample_rate_hz);
            detector.patterns.push((progress, pattern));
        }
        detector
    }

    fn pattern(&mut self, tone: &Tone, sample_rate_hz: u32) -> Pattern {
        let mut steps: Vec<_> =
            tone.steps.iter().map(|step| (self.sound(step, sample_rate_hz), step.duration_ms)).collect();
        let round_ms: u32 = steps.iter().filter_map(|(_, duration)| *duration).sum();
        // Of a quick cadence two rounds, of a slow one (or the three tones) one; never the silence at the end of it.
        if round_ms < 2_000 && steps.len() == 2 {
            steps.extend_from_within(..);
        }
        if let Some((Sound::Silence, duration)) = steps.last_mut() {
            *duration = None;
        }
        steps
    }

    fn sound(&mut self, step: &Step, sample_rate_hz: u32) -> Sound {
        if step.sines.is_empty() {
            return Sound::Silence;
        }
        let mut set = Vec::new();
        for sine in &step.sines {
            let known = self.probes.iter().position(|(frequency, _)| *frequency == sine.frequency_hz);
            set.push(known.unwrap_or_else(|| {
                let probe = Probe::new(sine.frequency_hz, &self.window, sample_rate_hz);
                self.probes.push((sine.frequency_hz, probe));
                self.probes.len() - 1
            }));
        }
        let known = self.sets.iter().position(|known| *known == set);
        Sound::Sines(known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        }))
    }

    /// Listens to `samples` and tells `event` what was recognised in them, each once until something else is.
    pub fn listen(&mut self, mut samples: &[i16], mut event: impl FnMut(Progress)) {
        while !samples.is_empty() {
            let complete;
            (samples, complete) = self.window.take(samples);
            if complete {
                let sound = self.look();
                self.follow(sound);
                if let Some(progress) = self.recognised()
                    && self.reported != Some(progress)
                {
                    self.reported = Some(progress);
                    event(progress);
                }
            }
        }
    }

    fn look(&mut self) -> Sound {
        let readings: Vec<_> = self
            .probes
            .iter_mut()
            .map(|(nominal, probe)| {
                let reading = probe.read(&self.window);
                if (reading.frequency_hz - *nominal).abs() <= TOLERANCE_HZ { reading.power } else { 0.0 }
            })
            .collect();
        let total = self.window.power();
        if power_dbm0(total) < QUIETEST_DBM0 {
            return Sound::Silence;
        }
        let share = |set: &Vec<usize>| -> f64 {
            let powers = set.iter().filter_map(|index| readings.get(*index)).copied();
            let least = powers.clone().fold(f64::INFINITY, f64::min);
            // All of the set, not one of it alone.
            if least * 40.0 < total { 0.0 } else { powers.sum::<f64>() / total }
        };
        let best = self.sets.iter().map(share).enumerate().max_by(|one, other| one.1.total_cmp(&other.1));
        match best {
            Some((set, share)) if share >= LEAST_PURITY => Sound::Sines(set),
            _ => Sound::Other,
        }
    }

    fn follow(&mut self, sound: Sound) {
        if sound == self.current.0 {
            self.current.1 = self.current.1.saturating_add(HOP_MS + self.next.1);
            self.next.1 = 0;
            return;
        }
        if sound == self.next.0 {
            self.next.1 += HOP_MS;
        } else {
            // Another seam: what it was counts for what was before.
            self.current.1 = self.current.1.saturating_add(self.next.1);
            self.next = (sound, HOP_MS);
        }
        if self.next.1 >= SHORTEST_MS {
            self.stretches.push_back(self.current);
            if self.stretches.len() > REMEMBERED {
                self.stretches.pop_front();
            }
            (self.current, self.next.1) = (self.next, 0);
        }
    }

    fn recognised(&self) -> Option<Progress> {
        self.patterns.iter().find(|(_, pattern)| self.matches(pattern)).map(|(progress, _)| *progress)
    }

    /// Whether the last stretches are the pattern; the last of them is still going on.
    fn matches(&self, pattern: &[(Sound, Option<u32>)]) -> bool {
        let Some(((last_sound, last_duration), before)) = pattern.split_last() else { return false };
        let (sound, so_far) = self.current;
        let enough = match last_duration {
            Some(duration) => so_far >= *duration,
            None if before.is_empty() => so_far >= STEADY_MS,
            None => so_far >= SHORTEST_MS,
        };
        sound == *last_sound
            && enough
            && before.len() <= self.stretches.len()
            && before.iter().rev().zip(self.stretches.iter().rev()).all(
                |((sound, duration), (heard, lasted))| {
                    sound == heard
                        && duration.is_none_or(|duration| lasted.abs_diff(duration) <= duration / 6 + 30)
                },
            )
    }
}
