//! DTMF against the limits of Q.24: level, twist, frequency, duration, gaps, noise, talk-off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

mod shared;

use denwa_codecs::tone::dtmf::{self, Detector, DtmfEvent, Sending};
use denwa_codecs::tone::{Generator, Sine, Step, Tone};

const DIGITS: &str = "1234567890*#ABCD";

fn samples(tone: &Tone, rate: u32) -> Vec<i16> {
    let mut generator = Generator::new(tone, rate);
    let mut samples = vec![0; rate as usize / 2];
    let mut all = Vec::new();
    while !generator.is_finished() {
        let count = generator.generate(&mut samples);
        all.extend_from_slice(&samples[..count]);
    }
    all.extend(std::iter::repeat_n(0, rate as usize / 10));
    all
}

fn detect(samples: &[i16], rate: u32) -> String {
    let mut detector = Detector::new(rate);
    let (mut begun, mut ended) = (String::new(), String::new());
    for packet in samples.chunks(rate as usize / 50) {
        detector.listen(packet, |event| match event {
            DtmfEvent::Begun { digit, .. } => begun.push(digit),
            DtmfEvent::Ended { digit, .. } => ended.push(digit),
        });
    }
    assert_eq!(begun, ended, "every digit that begins ends");
    begun
}

fn pair(row: f64, row_dbm0: f64, column: f64, column_dbm0: f64, on_ms: u32) -> Tone {
    let quiet = || Step { sines: vec![], duration_ms: Some(100) };
    let sines = vec![Sine::new(row, row_dbm0), Sine::new(column, column_dbm0)];
    Tone {
        steps: vec![quiet(), Step { sines, duration_ms: Some(on_ms) }, quiet()],
        rounds: Some(1),
        repeated_from: 0,
    }
}

/// How many of the sixteen digits are heard when sent this way.
fn heard(change: impl Fn(f64, f64) -> Tone) -> usize {
    DIGITS
        .chars()
        .filter(|digit| {
            let (row, column) = dtmf::frequencies_hz(*digit).unwrap();
            let heard = detect(&samples(&change(row, column), 8_000), 8_000);
            assert!(heard.is_empty() || heard == digit.to_string(), "{digit} heard as {heard}");
            if heard.is_empty() {
                println!("{digit} was not heard");
            }
            !heard.is_empty()
        })
        .count()
}

#[test]
fn digits_are_heard_at_every_rate() {
    for rate in [8_000, 16_000, 32_000, 48_000] {
        for (on_ms, off_ms) in [(40, 40), (50, 50), (100, 100)] {
            let sending = Sending { on_ms, off_ms, ..Sending::default() };
            assert_eq!(detect(&samples(&dtmf::dial(DIGITS, sending), rate), rate), DIGITS, "{rate} {on_ms}");
            let again = "1111##5";
            assert_eq!(detect(&samples(&dtmf::dial(again, sending), rate), rate), again, "{rate} {on_ms}");
        }
    }
}

#[test]
fn levels_from_0_to_minus_27_dbm0_are_heard_and_minus_36_is_not() {
    for level in [0.0, -3.0, -10.0, -20.0, -25.0, -27.0] {
        assert_eq!(heard(|row, column| pair(row, level, column, level, 50)), 16, "{level} dBm0");
    }
    assert_eq!(heard(|row, column| pair(row, -36.0, column, -36.0, 50)), 0);
}

#[test]
fn twist_is_taken_within_limits_and_refused_beyond() {
    for (row, column) in [(-14.0, -10.0), (-8.0, -3.0), (-6.0, -14.0), (-10.0, -15.0)] {
        assert_eq!(heard(|r, c| pair(r, row, c, column, 50)), 16, "{row} {column}");
    }
    assert_eq!(heard(|r, c| pair(r, -20.0, c, -8.0, 50)), 0, "forward by 12 dB");
    assert_eq!(heard(|r, c| pair(r, -5.0, c, -20.0, 50)), 0, "reverse by 15 dB");
}

#[test]
fn frequencies_within_1_8_percent_are_taken_and_3_percent_refused() {
    for off in [-0.018, -0.015, -0.01, 0.01, 0.015, 0.018] {
        let factor = 1.0 + off;
        assert_eq!(heard(|r, c| pair(r * factor, -10.0, c * factor, -10.0, 50)), 16, "both {off}");
        assert_eq!(heard(|r, c| pair(r * factor, -10.0, c, -10.0, 50)), 16, "row {off}");
        assert_eq!(heard(|r, c| pair(r, -10.0, c * factor, -10.0, 50)), 16, "column {off}");
    }
    for off in [-0.035, -0.03, 0.03, 0.035] {
        let factor = 1.0 + off;
        assert_eq!(heard(|r, c| pair(r * factor, -10.0, c, -10.0, 100)), 0, "row {off}");
        assert_eq!(heard(|r, c| pair(r, -10.0, c * factor, -10.0, 100)), 0, "column {off}");
    }
}

#[test]
fn forty_ms_are_a_digit_and_23_ms_are_none() {
    for level in [-3.0, -10.0, -25.0] {
        for on_ms in [40, 45, 60] {
            assert_eq!(heard(|r, c| pair(r, level, c, level, on_ms)), 16, "{on_ms} ms at {level} dBm0");
        }
        for on_ms in [10, 15, 20, 23] {
            assert_eq!(heard(|r, c| pair(r, level, c, level, on_ms)), 0, "{on_ms} ms at {level} dBm0");
        }
    }
}

#[test]
fn a_gap_of_10_ms_is_no_end_and_one_of_30_ms_is() {
    for digit in DIGITS.chars() {
        let (row, column) = dtmf::frequencies_hz(digit).unwrap();
        for (gap_ms, expected) in [(5, 1), (10, 1), (30, 2), (40, 2)] {
            let on =
                Step { sines: vec![Sine::new(row, -10.0), Sine::new(column, -10.0)], duration_ms: Some(60) };
            let off = |ms| Step { sines: vec![], duration_ms: Some(ms) };
            let steps = vec![off(50), on.clone(), off(gap_ms), on, off(50)];
            let tone = Tone { steps, rounds: Some(1), repeated_from: 0 };
            assert_eq!(detect(&samples(&tone, 8_000), 8_000).len(), expected, "{digit} {gap_ms} ms");
        }
    }
}

#[test]
fn durations_are_told() {
    for on_ms in [50, 100, 500] {
        let mut told = 0;
        let mut detector = Detector::new(8_000);
        detector.listen(&samples(&pair(770.0, -10.0, 1_336.0, -10.0, on_ms), 8_000), |event| {
            if let DtmfEvent::Ended { duration_ms, .. } = event {
                told = duration_ms;
            }
        });
        assert!(told.abs_diff(on_ms) <= 10, "{told} for {on_ms}");
    }
}

/// White noise of a level, from a seed.
fn noise(level_dbm0: f64, seed: u64) -> impl FnMut() -> f64 {
    let amplitude = denwa_codecs::level::sine_amplitude(level_dbm0) / 2f64.sqrt() * 3f64.sqrt();
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0) * amplitude
    }
}

#[test]
fn digits_are_heard_above_noise_15_db_below() {
    for seed in 1..=20 {
        let sending = Sending { on_ms: 50, off_ms: 50, row_dbm0: -10.0, column_dbm0: -10.0 };
        let mut noise = noise(-25.0, seed * 0x9e37_79b9);
        let mut samples = samples(&dtmf::dial(DIGITS, sending), 8_000);
        samples.iter_mut().for_each(|s| *s = (f64::from(*s) + noise()) as i16);
        assert_eq!(detect(&samples, 8_000), DIGITS);
    }
}

#[test]
fn speech_and_noise_are_no_digits() {
    for seed in 1..=10 {
        let mut noise = noise(-10.0, seed * 0x9e37_79b9);
        let noise: Vec<i16> = (0..80_000).map(|_| noise() as i16).collect();
        assert_eq!(detect(&noise, 8_000), "");
    }
    let mut seconds = 0;
    for (folder, file, rate) in [
        ("codec-vectors/stl/g711iplc", "f2.le", 8_000),
        ("codec-vectors/ilbc", "iLBC.INP", 8_000),
        ("codec-vectors/stl/g722", "inpsp.bin", 16_000),
        ("codec-vectors/g722-appIV", "test10.out", 16_000),
        ("g729/vectors/annex-a", "SPEECH.IN", 8_000),
        ("g729/vectors/annex-a", "ALGTHM.IN", 8_000),
        ("g729/vectors/annex-a", "LSP.IN", 8_000),
        ("g729/vectors/annex-a", "PITCH.IN", 8_000),
        ("g729/vectors/annex-a", "TEST.IN", 8_000),
        ("g729/vectors/annex-b", "tstseq1.bin", 8_000),
        ("g729/vectors/annex-b", "tstseq3.bin", 8_000),
        ("g729/vectors/annex-b", "tstseq4.bin", 8_000),
    ] {
        let Some(folder) = shared::folder(folder) else { continue };
        let speech = shared::samples(&folder.join(file));
        seconds += speech.len() / rate;
        // At its own level, and so loud that all of it is above the threshold.
        assert_eq!(detect(&speech, rate as u32), "", "{file}");
        let loud: Vec<i16> = speech.iter().map(|s| s.saturating_mul(4)).collect();
        assert_eq!(detect(&loud, rate as u32), "", "{file}, louder");
    }
    println!("no digit in {seconds} s of speech, twice");
}
