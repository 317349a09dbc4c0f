//! A live source: sound that a program says as it comes to it, such as what a voice robot says.
//!
//! It comes in pieces of any length, often faster than it is heard, and on a beat of its own: after each pause a little is
//! gathered before the first of it is heard, so that the next piece may be late.

use super::program::Sound;
use denwa_codecs::resample::Resampler;
use std::collections::VecDeque;

/// The most that may wait to be heard, in seconds; what comes beyond is dropped.
const LIMIT_SECONDS: usize = 120;

/// How many packets' time is gathered after a pause, at most.
const CUSHION: u8 = 3;

/// Sound that waits to be heard.
#[derive(Debug, Default)]
pub(super) struct Live {
    waiting: VecDeque<i16>,
    /// Of what waits.
    rate: u32,
    resampler: Option<(u32, Resampler)>,
    converted: VecDeque<i16>,
    /// How many packets have passed since the first sound after a pause; `None` in a pause.
    gathered: Option<u8>,
}

impl Live {
    /// Says this after what waits.
    pub(super) fn say(&mut self, sound: &Sound) {
        if sound.sample_rate_hz() != self.rate {
            // Whoever says something else at another rate begins anew.
            *self = Self { rate: sound.sample_rate_hz(), ..Self::default() };
        }
        let room = (self.rate as usize).saturating_mul(LIMIT_SECONDS).saturating_sub(self.waiting.len());
        self.waiting.extend(sound.samples().iter().take(room));
    }

    /// Drops what waits.
    pub(super) fn hush(&mut self) {
        self.waiting.clear();
        self.converted.clear();
        self.gathered = None;
    }

    /// Fills `out` with what comes next at `rate` samples a second, and with silence where there is nothing.
    pub(super) fn render(&mut self, out: &mut [i16], rate: u32) {
        out.fill(0);
        if self.gathered.is_none() && !self.waiting.is_empty() {
            self.gathered = Some(0);
        }
        let Some(gathered) = &mut self.gathered else { return };
        if *gathered < CUSHION {
            *gathered += 1;
            let wanted = out.len().saturating_mul(usize::from(CUSHION));
            if self.waiting.len().saturating_mul(rate as usize) < wanted.saturating_mul(self.rate as usize) {
                return;
            }
            *gathered = CUSHION;
        }
        self.convert(out.len(), rate);
        let count = self.converted.len().min(out.len());
        for (out, sample) in out.iter_mut().zip(self.converted.drain(..count)) {
            *out = sample;
        }
        if count < out.len() {
            self.gathered = None;
        }
    }

    fn convert(&mut self, count: usize, rate: u32) {
        if rate == self.rate {
            let missing = count.saturating_sub(self.converted.len()).min(self.waiting.len());
            self.converted.extend(self.waiting.drain(..missing));
            return;
        }
        if self.resampler.as_ref().is_none_or(|(to, _)| *to != rate) {
            self.resampler = Resampler::new(self.rate, rate).ok().map(|resampler| (rate, resampler));
        }
        let Some((_, resampler)) = &mut self.resampler else { return };
        let step = (self.rate as usize / 100).max(1);
        while self.converted.len() < count && !self.waiting.is_empty() {
            let input: Vec<i16> = self.waiting.drain(..step.min(self.waiting.len())).collect();
            let mut made = vec![0; resampler.max_output(input.len())];
            let length = resampler.convert(&input, &mut made);
            self.converted.extend(made.iter().take(length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(live: &mut Live, packets: usize, rate: u32) -> Vec<i16> {
        let mut all = Vec::new();
        for _ in 0..packets {
            let mut out = vec![9; rate as usize / 50];
            live.render(&mut out, rate);
            all.extend(out);
        }
        all
    }

    #[test]
    fn what_is_said_is_heard_once_and_silence_after() {
        let mut live = Live::default();
        assert_eq!(heard(&mut live, 1, 8000), vec![0; 160]);
        live.say(&Sound::new(vec![7; 480], 8000));
        live.say(&Sound::new(vec![8; 100], 8000));
        let expected: Vec<i16> = [vec![7; 480], vec![8; 100], vec![0; 60]].concat();
        assert_eq!(heard(&mut live, 4, 8000), expected);
        assert_eq!(heard(&mut live, 2, 8000), vec![0; 320]);
    }

    #[test]
    fn a_short_word_waits_for_more_but_not_for_long() {
        let mut live = Live::default();
        live.say(&Sound::new(vec![7; 160], 8000));
        let all = heard(&mut live, 4, 8000);
        assert_eq!(all.iter().filter(|sample| **sample == 7).count(), 160, "{all:?}");
        assert!(all[..320].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn the_rate_is_made_that_of_the_leg_and_hushing_drops_the_rest() {
        let mut live = Live::default();
        live.say(&Sound::new(vec![1000; 16_000], 16_000));
        let half: Vec<i16> = heard(&mut live, 25, 8000);
        assert!(half[400..3600].iter().all(|sample| (*sample - 1000).abs() < 20));
        live.hush();
        assert!(heard(&mut live, 5, 8000).iter().all(|sample| *sample == 0));
    }

    #[test]
    fn no_more_than_the_limit_waits() {
        let mut live = Live::default();
        for _ in 0..200 {
            live.say(&Sound::new(vec![1; 8000], 8000));
        }
        assert_eq!(live.waiting.len(), 8000 * LIMIT_SECONDS);
    }
}
