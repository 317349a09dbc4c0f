//! A signal that an echo brings back, and what can be told from its return.
//!
//! Bursts of a tone in an irregular rhythm are said; the rhythm of what is heard is laid over them at every delay. Only the
//! loudness counts, in pieces of 5 ms, so that any codec and any play-out keeps it.

use denwa_codecs::level::Level;
use denwa_codecs::tone::{Generator, Sine, Tone};

/// How long a piece is.
const PIECE_MS: u64 = 5;

/// How much of the rhythm has to be found again, as a correlation.
const ENOUGH: f64 = 0.6;

/// No echo is later than this.
const LATEST_MS: u64 = 3_000;

/// What is said and what came back.
#[derive(Debug)]
pub struct Probe {
    tone: Generator,
    sample_rate_hz: u32,
    /// Pieces said so far.
    at: usize,
    said: Vec<bool>,
    heard: Vec<i16>,
    state: u32,
    /// Pieces until the tone changes, and whether it sounds.
    left: u32,
    sounds: bool,
}

impl Probe {
    /// A probe at this rate.
    pub fn new(sample_rate_hz: u32) -> Self {
        let tone = Generator::new(
            &Tone::steady(&[Sine::new(700.0, -12.0), Sine::new(1_100.0, -15.0)]),
            sample_rate_hz,
        );
        Self {
            tone,
            sample_rate_hz,
            at: 0,
            said: Vec::new(),
            heard: Vec::new(),
            state: 0x5eed,
            left: 0,
            sounds: true,
        }
    }

    /// What comes next.
    pub fn say(&mut self, samples: &mut [i16]) {
        for piece in samples.chunks_mut(self.piece()) {
            if self.left == 0 {
                self.sounds = !self.sounds;
                self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // 60 to 220 ms each.
                self.left = 12 + (self.state >> 24) % 33;
            }
            self.left -= 1;
            self.tone.generate(piece);
            if !self.sounds {
                piece.fill(0);
            }
            self.said.push(self.sounds);
            self.at += 1;
        }
    }

    /// What was heard at the same time.
    pub fn hear(&mut self, samples: &[i16]) {
        self.heard.extend(samples);
    }

    /// After how many milliseconds what was said came back; `None` when it did not.
    pub fn delay_ms(&self) -> Option<u64> {
        let loud: Vec<bool> =
            self.heard.chunks(self.piece()).map(|piece| Level::of(piece).dbm0() > -45.0).collect();
        let latest = (LATEST_MS / PIECE_MS) as usize;
        let (delay, found) = (0..latest)
            .map(|delay| (delay, correlation(&self.said, loud.get(delay..).unwrap_or(&[]))))
            .max_by(|one, other| one.1.total_cmp(&other.1))?;
        (found >= ENOUGH).then_some(delay as u64 * PIECE_MS)
    }

    fn piece(&self) -> usize {
        (u64::from(self.sample_rate_hz) * PIECE_MS / 1_000).max(1) as usize
    }
}

/// How alike two rhythms are, from −1 to 1; 0 when too little of them overlaps.
fn correlation(said: &[bool], heard: &[bool]) -> f64 {
    let length = said.len().min(heard.len());
    if length < 300 {
        return 0.0;
    }
    let mean = |rhythm: &[bool]| rhythm.iter().take(length).filter(|on| **on).count() as f64 / length as f64;
    let (said_mean, heard_mean) = (mean(said), mean(heard));
    let value = |on: &bool, mean: f64| f64::from(u8::from(*on)) - mean;
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (said, heard) in said.iter().zip(heard) {
        let (said, heard) = (value(said, said_mean), value(heard, heard_mean));
        both += said * heard;
        one += said * said;
        other += heard * heard;
    }
    if one == 0.0 || other == 0.0 { 0.0 } else { both / (one * other).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(echo: impl Fn(&[i16], usize) -> i16) -> Option<u64> {
        let mut probe = Probe::new(8000);
        let mut all = Vec::new();
        for _ in 0..200 {
            let mut frame = [0; 160];
            probe.say(&mut frame);
            let start = all.len();
            all.extend(frame);
            let heard: Vec<i16> = (start..start + 160).map(|at| echo(&all, at)).collect();
            probe.hear(&heard);
        }
        probe.delay_ms()
    }

    #[test]
    fn an_echo_is_found_at_its_delay() {
        for delay_ms in [0_usize, 40, 235, 900] {
            let delay = delay_ms * 8;
            let found = run(|all, at| {
                at.checked_sub(delay).and_then(|at| all.get(at)).map_or(0, |sample| sample / 3)
            });
            assert!(found.is_some_and(|found| found.abs_diff(delay_ms as u64) <= 5), "{delay_ms}: {found:?}");
        }
    }

    #[test]
    fn silence_music_and_noise_are_no_echo() {
        assert_eq!(run(|_, _| 0), None);
        assert_eq!(run(|_, at| if at / 4000 % 2 == 0 { 8000 } else { 0 }), None);
        assert_eq!(run(|_, at| ((at as u32).wrapping_mul(2_654_435_761) >> 18) as i16), None);
    }
}
