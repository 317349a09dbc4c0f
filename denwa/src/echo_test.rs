//! Does sound pass, and how long is it under way? A signal for numbers that echo, and what came back judged.
//!
//! The signal is a row of short tones, each of one of five pitches that every telephone codec carries, at distances that
//! repeat nowhere: whatever part of it comes back is recognised, and by how much later. What comes back and is not the
//! signal (a voice, music, a tone for measuring) counts as sound only.

use crate::bridge::{Piece, Program};
use denwa_codecs::tone::{Sine, Tone};
use std::time::Duration;

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EchoReport {
    /// How much later than it was sent the signal came back; `None` when it did not.
    pub delay: Option<Duration>,
    /// Tones of the signal that were sent while it was listened for.
    pub sent: u32,
    /// How many of them came back.
    pub returned: u32,
    /// Whether there was any sound at all.
    pub sound: bool,
}

/// In Hz. None is a multiple of another, and none is a tone that exchanges make.
const PITCHES_HZ: [f64; 5] = [610.0, 870.0, 1130.0, 1490.0, 1870.0];

/// Which pitch sounds, and the pause after it in ms. 24 tones, about six seconds.
const ROW: [(usize, u64); 24] = [
    (0, 90),
    (3, 140),
    (1, 110),
    (4, 170),
    (2, 100),
    (0, 150),
    (4, 120),
    (1, 90),
    (3, 160),
    (2, 130),
    (4, 100),
    (0, 170),
    (2, 90),
    (1, 140),
    (3, 110),
    (0, 120),
    (1, 160),
    (4, 90),
    (2, 150),
    (3, 100),
    (1, 170),
    (0, 110),
    (3, 130),
    (4, 90),
];

const TONE: Duration = Duration::from_millis(120);

/// The distance of two looks, and how much is looked at.
const HOP_MS: usize = 5;
const WINDOW_MS: usize = 20;

/// The longest delay that is looked for.
const LONGEST_MS: usize = 3_000;

/// Sound weaker than this is silence: about -55 dBm0.
const QUIET: f64 = 40.0;

/// The signal, once.
#[must_use]
pub fn signal() -> Program {
    let mut pieces = vec![Piece::Pause(Duration::from_millis(200))];
    for (pitch, pause_ms) in ROW {
        let frequency_hz = PITCHES_HZ.get(pitch).copied().unwrap_or(1_000.0);
        let tone = Tone::steady(&[Sine::new(frequency_hz, -16.0)]);
        pieces.push(Piece::Tone { tone, lasts: Some(TONE) });
        pieces.push(Piece::Pause(Duration::from_millis(pause_ms)));
    }
    Program::new(pieces)
}

/// Compares what was said with what was heard at the same time, both at `sample_rate_hz`.
#[must_use]
pub fn judge(said: &[i16], heard: &[i16], sample_rate_hz: u32) -> EchoReport {
    let (said, _) = pitches(said, sample_rate_hz);
    let (heard, sound) = pitches(heard, sample_rate_hz);
    let tones = runs(&said);
    let score = |delay: usize| -> usize {
        let pairs = said.iter().zip(heard.iter().skip(delay));
        pairs.filter(|(said, heard)| said.is_some() && said == heard).count()
    };
    let best = (0..LONGEST_MS / HOP_MS).max_by_key(|delay| (score(*delay), usize::MAX - delay)).unwrap_or(0);
    let came = |(first, last): &(usize, usize)| {
        let looks = said.get(*first..*last).unwrap_or_default();
        let back = heard.get(first + best..last + best).unwrap_or_default();
        let same = looks.iter().zip(back).filter(|(said, heard)| said == heard).count();
        same * 2 > looks.len()
    };
    let returned = tones.iter().filter(|tone| came(tone)).count();
    // Three tones of five pitches in the right places are no accident.
    let recognised = returned >= 3;
    EchoReport {
        delay: recognised.then(|| Duration::from_millis((best * HOP_MS) as u64)),
        sent: u32::try_from(tones.len()).unwrap_or(u32::MAX),
        returned: if recognised { u32::try_from(returned).unwrap_or(u32::MAX) } else { 0 },
        sound,
    }
}

/// Which pitch sounds at each look, and whether there is sound for a tenth of the time.
fn pitches(samples: &[i16], sample_rate_hz: u32) -> (Vec<Option<usize>>, bool) {
    let per_ms = sample_rate_hz as usize / 1_000;
    let (hop, window) = ((per_ms * HOP_MS).max(1), (per_ms * WINDOW_MS).max(1));
    let mut loud = 0;
    let looks: Vec<Option<usize>> = (0..samples.len().saturating_sub(window) / hop)
        .map(|look| {
            let piece = samples.get(look * hop..look * hop + window).unwrap_or_default();
            let energy: f64 = piece.iter().map(|sample| f64::from(*sample).powi(2)).sum();
            let is_loud = (energy / window as f64).sqrt() > QUIET;
            loud += usize::from(is_loud);
            let strongest = PITCHES_HZ
                .iter()
                .map(|pitch| share(piece, energy, *pitch, f64::from(sample_rate_hz)))
                .enumerate()
                .max_by(|one, other| one.1.total_cmp(&other.1));
            strongest.filter(|(_, share)| is_loud && *share > 0.6).map(|(pitch, _)| pitch)
        })
        .collect();
    let sound = loud * 10 > looks.len();
    (looks, sound)
}

/// How much of a piece's energy is at a frequency (Goertzel's sum).
fn share(piece: &[i16], energy: f64, frequency_hz: f64, sample_rate_hz: f64) -> f64 {
    let step = std::f64::consts::TAU * frequency_hz / sample_rate_hz;
    let (mut one, mut two) = (0.0_f64, 0.0_f64);
    for sample in piece {
        let next = f64::from(*sample) + 2.0 * step.cos() * one - two;
        (two, one) = (one, next);
    }
    let power = one * one + two * two - 2.0 * step.cos() * one * two;
    2.0 * power / (energy * piece.len() as f64).max(1.0)
}

/// Where each tone begins and ends, by looks.
fn runs(looks: &[Option<usize>]) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut first = 0;
    for place in 0..=looks.len() {
        let is_same = looks.get(place) == looks.get(first);
        if place < looks.len() && is_same {
            continue;
        }
        // A tone of 120 ms is seen whole by some twenty looks.
        if looks.get(first).is_some_and(Option::is_some) && place - first >= 8 {
            runs.push((first, place));
        }
        first = place;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use denwa_codecs::registry;
    use denwa_codecs::tone::Generator;

    fn said() -> Vec<i16> {
        let mut samples = Vec::new();
        for piece in signal().pieces() {
            let lasts = piece.duration().unwrap();
            let mut part = vec![0; usize::try_from(lasts.as_millis()).unwrap() * 8];
            if let Piece::Tone { tone, .. } = piece {
                Generator::new(tone, 8_000).generate(&mut part);
            }
            samples.extend(part);
        }
        samples
    }

    fn later(samples: &[i16], milliseconds: usize) -> Vec<i16> {
        let silence = std::iter::repeat_n(0, milliseconds * 8);
        silence.chain(samples.iter().copied()).take(samples.len()).collect()
    }

    #[test]
    fn the_delay_of_an_echo_is_found_to_five_milliseconds() {
        let said = said();
        for milliseconds in [0, 35, 180, 611, 1_500] {
            let report = judge(&said, &later(&said, milliseconds), 8_000);
            let delay = usize::try_from(report.delay.unwrap().as_millis()).unwrap();
            assert!(delay.abs_diff(milliseconds) <= 5, "{milliseconds}: {report:?}");
            assert_eq!((report.sent, report.sound), (24, true));
            let out_of_time = u32::try_from(milliseconds / 150).unwrap() + 1;
            assert!(report.returned + out_of_time >= 24, "{milliseconds}: {report:?}");
        }
    }

    #[test]
    fn what_was_lost_did_not_come_back() {
        let said = said();
        let mut heard = later(&said, 100);
        heard[8_000..24_000].fill(0);
        let report = judge(&said, &heard, 8_000);
        assert!((14..=18).contains(&report.returned), "{report:?}");
        assert_eq!(report.delay, Some(Duration::from_millis(100)));
    }

    #[test]
    fn another_sound_is_sound_and_no_echo() {
        let said = said();
        let milliwatt: Vec<i16> =
            (0..said.len()).map(|n| ((n as f64 * 0.785).sin() * 16_000.0) as i16).collect();
        let report = judge(&said, &milliwatt, 8_000);
        assert_eq!((report.delay, report.returned, report.sound), (None, 0, true));
        let report = judge(&said, &vec![0; said.len()], 8_000);
        assert_eq!((report.delay, report.sound), (None, false));
        assert_eq!(judge(&[], &[], 8_000), EchoReport::default());
    }

    #[test]
    fn the_signal_survives_the_codecs_of_telephones() {
        let said = said();
        for name in ["PCMU", "G729", "GSM", "iLBC"] {
            let entry = registry::find(name, 8_000).unwrap();
            let heard = there_and_back(entry, &said);
            let report = judge(&said, &later(&heard, 200), 8_000);
            assert!(report.delay.is_some() && report.returned >= 18, "{name}: {report:?}");
        }
    }

    fn there_and_back(entry: &registry::Entry, said: &[i16]) -> Vec<i16> {
        let mut encoder = entry.encoder("").unwrap();
        let mut decoder = entry.decoder("").unwrap();
        let mut heard = Vec::new();
        let samples = entry.packet_samples_of(&*encoder);
        for frame in said.chunks_exact(samples) {
            let mut packet = vec![0; encoder.max_payload_bytes(samples)];
            let octets = encoder.encode(frame, &mut packet).unwrap();
            let mut sound = vec![0; decoder.max_samples(octets)];
            let count = decoder.decode(&packet[..octets], &mut sound).unwrap();
            heard.extend_from_slice(&sound[..count]);
        }
        heard.resize(said.len(), 0);
        heard
    }
}
