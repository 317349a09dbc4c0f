//! Waiting for a voice. Whoever speaks repeats a sentence without end, and a test goes on when the other end has heard the whole of
//! it once. What a busy machine drops makes that later and not untrue; a wrong key, way or codec never lets it through.

use crate::audio::{self, Verdict};
use crate::{PATIENCE, wait_until};
use std::{thread, time::Duration};

/// Between two looks at a recording: to read all of it costs the machine on which it is made.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 250 });

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Sentence<'a> {
    /// Its samples at 8 kHz: some seconds of [`audio::signal`].
    pub said: &'a [i16],
    /// How alike it must be: above 0.9 the wave itself is compared and may have no gap, as with a codec that keeps waves;
    /// below, the wave may be changed by the codec.
    pub likeness: f64,
}

impl<'a> Sentence<'a> {
    /// One that comes through a codec that keeps the wave, as G.711 does.
    #[must_use]
    pub fn plain(said: &'a [i16]) -> Self {
        Self { said, likeness: 0.95 }
    }

    /// For minutes: what a telephone is given to say, so that it does not hang up before it is asked to.
    #[must_use]
    pub fn for_minutes(said: &[i16]) -> Vec<i16> {
        let times = 300 * audio::RATE as usize / said.len().max(1);
        said.repeat(times.max(1))
    }

    /// In any stretch of this length a voice that repeats the sentence says it once.
    fn stretch(self) -> usize {
        2 * self.said.len() + audio::RATE as usize / 2
    }

    /// The verdict on a piece of a recording, and whether it holds the sentence.
    fn judge(self, piece: &[i16]) -> (bool, Option<Verdict>) {
        let verdict = audio::compare(self.said, piece);
        let good = verdict
            .is_some_and(|it| it.correlation > self.likeness && (self.likeness < 0.9 || it.gaps <= 0.02));
        (good, verdict)
    }

    /// Whether the end of a recording holds the whole of it.
    #[must_use]
    pub fn is_at_the_end_of(self, recording: &[i16]) -> bool {
        self.judge(&recording[recording.len().saturating_sub(self.stretch())..]).0
    }

    /// Waits until the end of what was recorded so far holds the whole of it.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_in(self, label: &str, mut recorded: impl FnMut() -> Vec<i16>) -> Verdict {
        let (mut judged, mut best, mut found) = (0, None, None);
        let heard = wait_until(2 * PATIENCE, || {
            thread::sleep(PAUSE);
            let heard = recorded();
            // Judging costs more than waiting. A recording that has become shorter is another one.
            if heard.len() < self.said.len() || (judged..judged + 4000).contains(&heard.len()) {
                return false;
            }
            judged = heard.len();
            let (good, verdict) = self.judge(&heard[heard.len().saturating_sub(self.stretch())..]);
            best = verdict.or(best);
            found = verdict.filter(|_| good);
            good
        });
        assert!(heard, "{label}: at best {best:?}, in {} samples", recorded().len());
        tell(label, found)
    }

    /// Asserts that a recording that is over holds the whole of it somewhere.
    ///
    /// # Panics
    /// When it does not.
    pub fn assert_in(self, label: &str, recording: &[i16]) -> Verdict {
        let mut best = None;
        let mut end = recording.len();
        loop {
            let start = end.saturating_sub(self.stretch());
            let (good, verdict) = self.judge(&recording[start..end]);
            best = verdict.or(best);
            if good {
                return tell(label, verdict);
            }
            assert!(start > 0, "{label}: at best {best:?}, in {} samples", recording.len());
            end -= self.said.len();
        }
    }

    /// Asserts that a recording does not hold it, not even a part.
    ///
    /// # Panics
    /// When it does.
    pub fn assert_not_in(self, label: &str, recording: &[i16]) {
        let piece = &recording[recording.len().saturating_sub(2 * self.stretch())..];
        let wrong = audio::compare(self.said, piece).filter(|verdict| verdict.gaps < 0.5);
        assert!(wrong.is_none(), "{label}: heard what was not said to it: {wrong:?}");
    }

    /// Waits until it is heard by its loudness: codecs and browsers keep the sound, and not the wave. What is not to be heard is
    /// `other`.
    ///
    /// # Panics
    /// When it never is, and when the two are too much alike to be told from one another so.
    pub fn wait_in_sound(self, label: &str, other: &[i16], mut recorded: impl FnMut() -> Vec<i16>) {
        let alike = audio::likeness(other, &self.said.repeat(2));
        assert!(alike < 0.8, "{label}: {alike:.2} alike by loudness: have something else said");
        let (mut judged, mut best) = (0, (0.0, 0.0));
        let heard = wait_until(2 * PATIENCE, || {
            thread::sleep(PAUSE);
            let heard = recorded();
            if heard.len() < self.said.len() || (judged..judged + 4000).contains(&heard.len()) {
                return false;
            }
            judged = heard.len();
            let end = &heard[heard.len().saturating_sub(self.stretch())..];
            let likeness = (audio::likeness(self.said, end), audio::likeness(other, end));
            if likeness.0 > best.0 {
                best = likeness;
            }
            likeness.0 > 0.85 && likeness.0 > likeness.1 + 0.1
        });
        println!("{label}: {:.3}, and {:.3} of the other", best.0, best.1);
        assert!(
            heard,
            "{label}: {:.3}, and {:.3} of the other, in {} samples",
            best.0,
            best.1,
            recorded().len()
        );
    }
}

fn tell(label: &str, verdict: Option<Verdict>) -> Verdict {
    let verdict = verdict.expect("what is good was judged");
    println!(
        "{label}: delay {:.0} ms, gaps {:.2} %, correlation {:.3}",
        verdict.delay_ms,
        verdict.gaps * 100.0,
        verdict.correlation
    );
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_found_after_a_worse_one() {
        let said = audio::signal(1, 1);
        let mut recording = vec![0; 1000];
        recording.extend(said.repeat(4));
        // A busy machine drops half of two of them.
        for hole in [5000, 37_000] {
            recording[hole..hole + 6000].fill(0);
        }
        Sentence::plain(&said).assert_in("the whole", &recording);
        let mut length = 0;
        Sentence::plain(&said).wait_in("as it grows", || {
            length += 2000;
            recording[..length.min(recording.len())].to_vec()
        });
    }

    #[test]
    #[should_panic(expected = "at best")]
    fn half_a_sentence_is_none() {
        let said = audio::signal(1, 1);
        Sentence::plain(&said).assert_in("half", &said[..said.len() / 2].repeat(6));
    }

    #[test]
    fn what_was_not_said_is_not_found() {
        let (one, other) = (audio::signal(1, 1), audio::signal(2, 1));
        Sentence::plain(&other).assert_not_in("the other", &one.repeat(3));
    }
}
