//! Making sound shorter or longer without clicks: waveform similarity overlap-add (WSOLA, Verhelst and Roelands 1993).
//!
//! One period of what the voice does anyway is cut out or repeated, where two neighbouring periods are alike, and the
//! seam is blended over a whole period. Where it is quiet, likeness does not matter.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)] // signal processing

/// The shortest period: 400 Hz.
const SHORTEST_HZ: usize = 400;
/// The longest, in ms: 67 Hz.
const LONGEST_MS: usize = 15;
/// The search compares this many times a second, whatever the sample rate.
const SEARCH_HZ: usize = 4000;

/// Mean square of what is taken for quiet before anything was heard: −50 dBov.
const QUIET_AT_FIRST: f32 = 1e4;

/// Scales the samples of one stream.
#[derive(Debug)]
pub(super) struct Stretcher {
    shortest: usize,
    longest: usize,
    stride: usize,
    /// Mean square of the background, which follows slowly upwards and fast downwards.
    background: f32,
}

impl Stretcher {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        let rate = (sample_rate_hz as usize).max(SEARCH_HZ);
        Self {
            shortest: rate / SHORTEST_HZ,
            longest: rate * LONGEST_MS / 1000,
            stride: (rate / SEARCH_HZ).max(1),
            background: QUIET_AT_FIRST,
        }
    }

    /// Samples that one cut or repetition wants to see.
    pub(super) const fn span(&self) -> usize {
        2 * self.longest
    }

    /// Cuts out one period at `start`, of at most `most` samples, when the neighbouring periods are at least as alike
    /// as `likeness` (0–1). Returns its length. What was `start + length` is heard at `start + length` still.
    pub(super) fn shorten(
        &mut self,
        samples: &mut Vec<i16>,
        start: usize,
        most: usize,
        likeness: f32,
    ) -> Option<usize> {
        let period = self.period(samples.get(start..)?, most, likeness)?;
        let (first, second) = samples.get_mut(start..start + 2 * period)?.split_at_mut(period);
        for (index, (into, next)) in first.iter_mut().zip(second).enumerate() {
            *into = blend(*into, *next, index, period);
        }
        samples.drain(start + period..start + 2 * period);
        Some(period)
    }

    /// Repeats one period at `start`, of at most `most` samples, on the same condition. Returns its length.
    pub(super) fn lengthen(
        &mut self,
        samples: &mut Vec<i16>,
        start: usize,
        most: usize,
        likeness: f32,
    ) -> Option<usize> {
        let period = self.period(samples.get(start..)?, most, likeness)?;
        let (end, seam) = (samples.len(), start + period);
        samples.resize(end + period, 0);
        samples.copy_within(seam..end, seam + period);
        // What was behind the seam leads back to its start.
        for index in 0..period {
            samples[seam + index] =
                blend(samples[seam + period + index], samples[start + index], index, period);
        }
        Some(period)
    }

    /// The lag at which the start of `samples` is most like itself.
    fn period(&mut self, samples: &[i16], most: usize, likeness: f32) -> Option<usize> {
        let longest = self.longest.min(samples.len() / 2).min(most);
        if longest < self.shortest {
            return None;
        }
        let window = longest.max(self.shortest * 2).min(samples.len() - longest);
        let quiet = self.is_quiet(&samples[..window]);
        let coarse = (self.shortest..=longest).step_by(self.stride);
        let (best, alike) = self.best(samples, window, coarse, self.stride)?;
        let near = best.saturating_sub(self.stride).max(self.shortest)..=(best + self.stride).min(longest);
        let (best, alike) =
            if self.stride > 1 { self.best(samples, window, near, 1)? } else { (best, alike) };
        // In quiet the longest cut does the most, and nobody hears where it was.
        if quiet { Some(longest) } else { (alike >= likeness).then_some(best) }
    }

    /// Of these lags the one with the greatest normalised correlation, and that.
    fn best(
        &self,
        samples: &[i16],
        window: usize,
        lags: impl Iterator<Item = usize>,
        stride: usize,
    ) -> Option<(usize, f32)> {
        let here = &samples[..window];
        let energy =
            |part: &[i16]| part.iter().step_by(stride).map(|s| f32::from(*s) * f32::from(*s)).sum::<f32>();
        let own = energy(here);
        lags.filter_map(|lag| {
            let there = samples.get(lag..lag + window)?;
            let product: f32 =
                here.iter().zip(there).step_by(stride).map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
            Some((lag, product / (own * energy(there)).sqrt().max(1.0)))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn is_quiet(&mut self, window: &[i16]) -> bool {
        let power = window.iter().map(|s| f32::from(*s) * f32::from(*s)).sum::<f32>() / window.len() as f32;
        self.background = if power < self.background { power } else { self.background * 1.02 + 1.0 };
        power < self.background * 4.0
    }
}

/// From `from` to `to` on the way from index 0 to `length`.
fn blend(from: i16, to: i16, index: usize, length: usize) -> i16 {
    let weight = index as i64 * 2 + 1;
    let whole = length as i64 * 2;
    ((i64::from(from) * (whole - weight) + i64::from(to) * weight) / whole) as i16
}

/// Blends the start of `new`, from index `at` on, with `old`, which would have gone on there.
pub(super) fn merge(old: &[i16], new: &mut [i16]) {
    let length = old.len().min(new.len());
    for (index, (into, old)) in new.iter_mut().zip(old).enumerate() {
        *into = blend(*old, *into, index, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| ((n as f64 * hz / rate * std::f64::consts::TAU).sin() * 10_000.0) as i16)
            .collect()
    }

    fn greatest_step(samples: &[i16]) -> i32 {
        samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_tone_is_shortened_and_lengthened_by_whole_periods_without_a_click() {
        for (rate, hz) in [(8000u32, 125.0), (8000, 333.0), (16_000, 210.0), (48_000, 97.0)] {
            let original = tone(hz, f64::from(rate), rate as usize / 20);
            let natural = greatest_step(&original);
            let mut stretcher = Stretcher::new(rate);
            let mut shorter = original.clone();
            let cut = stretcher.shorten(&mut shorter, 40, usize::MAX, 0.95).unwrap();
            assert_eq!(shorter.len() + cut, original.len());
            assert!(
                greatest_step(&shorter) <= natural + natural / 4,
                "{rate} Hz, {hz}: {}",
                greatest_step(&shorter)
            );
            let periods = cut as f64 * hz / f64::from(rate);
            assert!((periods - periods.round()).abs() < 0.08, "{periods} periods");
            let mut longer = original.clone();
            let added = stretcher.lengthen(&mut longer, 40, usize::MAX, 0.95).unwrap();
            assert_eq!(longer.len(), original.len() + added);
            assert!(
                greatest_step(&longer) <= natural + natural / 4,
                "{rate} Hz, {hz}: {}",
                greatest_step(&longer)
            );
            assert_eq!(longer[..40], original[..40]);
            assert_eq!(longer[longer.len() - 40..], original[original.len() - 40..]);
        }
    }

    #[test]
    fn noise_is_not_cut_unless_it_is_quiet_or_must_be() {
        let mut state = 1u32;
        let mut noise = |amplitude: i32| -> Vec<i16> {
            (0..400)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((state >> 16) as i32 % (2 * amplitude) - amplitude) as i16
                })
                .collect()
        };
        let mut stretcher = Stretcher::new(8000);
        let mut hiss = noise(50);
        assert!(
            stretcher.shorten(&mut hiss, 0, usize::MAX, 0.9).is_some(),
            "the first heard is the background"
        );
        let mut loud = noise(8000);
        assert!(stretcher.shorten(&mut loud, 0, usize::MAX, 0.9).is_none());
        assert!(stretcher.shorten(&mut loud, 0, usize::MAX, -1.0).is_some());
        let mut hiss = noise(60);
        assert_eq!(stretcher.shorten(&mut hiss, 0, usize::MAX, 0.9), Some(120));
    }

    #[test]
    fn too_little_is_left_alone() {
        let mut stretcher = Stretcher::new(8000);
        for length in 0..40 {
            let mut samples = vec![100; length];
            assert_eq!(stretcher.shorten(&mut samples, 0, usize::MAX, 0.0), None);
            assert_eq!(stretcher.lengthen(&mut samples, 0, usize::MAX, 0.0), None);
        }
        let mut samples = tone(200.0, 8000.0, 400);
        assert_eq!(stretcher.shorten(&mut samples, 0, 10, 0.0), None, "less than the shortest period");
        assert_eq!(stretcher.shorten(&mut samples, 500, usize::MAX, 0.0), None);
    }

    #[test]
    fn a_merge_begins_with_the_old_and_ends_with_the_new() {
        let mut new = [1000; 10];
        merge(&[0; 10], &mut new);
        assert!(new[0] < 100 && new[9] > 900 && new.is_sorted());
    }
}
