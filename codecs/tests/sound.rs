//! Resampling, mixing, comfort noise, voice activity.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

mod shared;

use denwa_codecs::activity;
use denwa_codecs::comfort_noise::{self, Describer};
use denwa_codecs::level::Level;
use denwa_codecs::mix::Mixer;
use denwa_codecs::resample::Resampler;
use denwa_codecs::tone::{Generator, Sine, Tone};
use proptest::prelude::*;

const RATES: [u32; 7] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000];

fn sine(hz: f64, level: f64, rate: u32, seconds: f64) -> Vec<i16> {
    let mut samples = vec![0; (seconds * f64::from(rate)) as usize];
    Generator::new(&Tone::steady(&[Sine::new(hz, level)]), rate).generate(&mut samples);
    samples
}

fn convert(resampler: &mut Resampler, input: &[i16], block: usize) -> Vec<i16> {
    let mut output = Vec::new();
    let mut out = vec![0; resampler.max_output(block)];
    for block in input.chunks(block) {
        let count = resampler.convert(block, &mut out);
        output.extend_from_slice(&out[..count]);
    }
    output
}

/// Power of the part of `samples` that is not a sine of `hz`, against the part that is, in dB.
fn distortion_db(samples: &[i16], hz: f64, rate: u32) -> f64 {
    let (mut sin, mut cos, mut total) = (0.0, 0.0, 0.0);
    let whole = (samples.len() as f64 * hz / f64::from(rate)).floor() / hz * f64::from(rate);
    let samples = &samples[..whole.round() as usize];
    for (n, sample) in samples.iter().enumerate() {
        let (s, c) = (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin_cos();
        sin += f64::from(*sample) * s;
        cos += f64::from(*sample) * c;
        total += f64::from(*sample) * f64::from(*sample);
    }
    let tone = (sin * sin + cos * cos) * 2.0 / samples.len() as f64;
    10.0 * ((total - tone).max(1e-3) / tone).log10()
}

#[test]
fn every_rate_becomes_every_other_and_a_sine_stays_one() {
    for from in RATES {
        for to in RATES {
            let mut resampler = Resampler::new(from, to).unwrap();
            let input = sine(1_000.0, -3.0, from, 2.0);
            let output = convert(&mut resampler, &input, from as usize / 50);
            assert_eq!(
                output.len(),
                (input.len() as u64 * u64::from(to) / u64::from(from)) as usize,
                "{from} {to}"
            );
            let middle = &output[to as usize / 2..to as usize];
            let level = Level::of(middle).dbm0();
            assert!((level + 3.0).abs() < 0.05, "{from} {to}: {level}");
            let distortion = distortion_db(middle, 1_000.0, to);
            assert!(distortion < -60.0, "{from} {to}: {distortion:.1} dB");
        }
    }
}

#[test]
fn the_band_is_flat_to_3_4_khz_and_nothing_is_folded() {
    for (from, to) in [(8_000, 48_000), (48_000, 8_000), (8_000, 16_000), (16_000, 8_000), (44_100, 8_000)] {
        for hz in [100.0, 300.0, 2_000.0, 3_000.0, 3_400.0] {
            let output = convert(&mut Resampler::new(from, to).unwrap(), &sine(hz, -6.0, from, 1.0), 160);
            let level = Level::of(&output[to as usize / 4..]).dbm0();
            assert!((level + 6.0).abs() < 0.1, "{from} {to} {hz}: {level}");
        }
    }
    for hz in [4_600.0, 5_000.0, 7_000.0, 15_000.0] {
        let output = convert(&mut Resampler::new(48_000, 8_000).unwrap(), &sine(hz, 0.0, 48_000, 1.0), 960);
        let level = Level::of(&output[2_000..]).dbm0();
        assert!(level < -65.0, "{hz}: {level}");
    }
}

#[test]
fn the_stated_delay_is_the_delay() {
    for from in RATES {
        for to in RATES {
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut input = vec![0; from as usize];
            input[from as usize / 2] = 30_000;
            let output = convert(&mut resampler, &input, 160);
            // The centre of gravity of what an impulse becomes.
            let (sum, moment) = output.iter().enumerate().fold((0.0, 0.0), |(sum, moment), (n, s)| {
                let s = f64::from(*s) * f64::from(*s);
                (sum + s, moment + s * n as f64)
            });
            let late = moment / sum / f64::from(to) - 0.5;
            let stated = resampler.delay_seconds();
            let tolerance = 1.1 / f64::from(from.min(to));
            assert!((late - stated).abs() < tolerance, "{from} {to}: {late} {stated}");
            assert!(stated <= 0.003_1, "{from} {to}: {stated}");
        }
    }
}

#[test]
fn rates_beyond_reason_are_refused() {
    for (from, to) in [(0, 8_000), (8_000, 0), (8_000, 7_999), (500_000, 8_000)] {
        assert!(Resampler::new(from, to).is_err());
    }
}

proptest! {
    #[test]
    fn blocks_of_any_length_give_the_same_stream(
        cuts in prop::collection::vec(0usize..700, 1..20),
        from in prop::sample::select(&RATES[..]),
        to in prop::sample::select(&RATES[..]),
    ) {
        let input = sine(700.0, -10.0, from, 0.2);
        let whole = convert(&mut Resampler::new(from, to).unwrap(), &input, input.len());
        let mut resampler = Resampler::new(from, to).unwrap();
        let (mut rest, mut output) = (&input[..], Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        let mut turns = 0;
        while !rest.is_empty() && turns < 10_000 {
            turns += 1;
            let (block, later) = rest.split_at(cuts.next().unwrap().max(usize::from(turns % 5 == 0)).min(rest.len()));
            let mut out = vec![0; resampler.max_output(block.len())];
            let count = resampler.convert(block, &mut out);
            output.extend_from_slice(&out[..count]);
            rest = later;
        }
        prop_assert_eq!(output, whole);
    }

    #[test]
    fn everybody_hears_the_others_and_nobody_himself(
        frames in prop::collection::vec(prop::collection::vec(-300i16..300, 160), 1..64),
    ) {
        let mut mixer = Mixer::new(frames.len(), 160);
        mixer.begin();
        for (member, frame) in frames.iter().enumerate() {
            mixer.add(member, frame);
        }
        for member in 0..frames.len() {
            let mut heard = [0; 160];
            mixer.hear(member, &mut heard);
            for n in 0..160 {
                let others: i32 =
                    frames.iter().enumerate().filter(|(m, _)| *m != member).map(|(_, f)| i32::from(f[n])).sum();
                prop_assert_eq!(i32::from(heard[n]), others);
            }
        }
    }
}

#[test]
fn loud_sums_are_bent_and_keep_their_order() {
    let mut last = i16::MIN;
    for level in (-32_768i32..=32_767).step_by(257) {
        let mut mixer = Mixer::new(3, 1);
        mixer.begin();
        for member in 0..3 {
            mixer.add(member, &[level as i16]);
        }
        let mut all = [0];
        mixer.hear_all(&mut all);
        assert!(all[0] >= last, "{level}: {} after {last}", all[0]);
        last = all[0];
        let mut two = [0];
        mixer.hear(0, &mut two);
        if level.abs() < 12_000 {
            assert_eq!(i32::from(two[0]), 2 * level);
        }
    }
}

#[test]
fn the_active_speaker_is_the_loudest_of_late() {
    let mut mixer = Mixer::new(4, 160);
    assert_eq!(mixer.active_speaker(-60.0), None);
    let (soft, loud) = (sine(500.0, -30.0, 8_000, 0.02), sine(500.0, -10.0, 8_000, 0.02));
    for speaker in [2, 1, 3] {
        for _ in 0..50 {
            mixer.begin();
            for member in 0..4 {
                mixer.add(member, if member == speaker { &loud } else { &soft });
            }
        }
        assert_eq!(mixer.active_speaker(-60.0), Some(speaker));
        assert!((mixer.level_dbov(speaker) + 16.15).abs() < 0.3, "{}", mixer.level_dbov(speaker));
    }
    // A frame twice, or of a stranger, is not heard twice or at all.
    mixer.begin();
    mixer.add(0, &loud);
    mixer.add(0, &loud);
    mixer.add(99, &loud);
    let mut all = vec![0; 160];
    mixer.hear_all(&mut all);
    assert_eq!(all, loud);
}

/// White noise, and the same through a low-pass filter.
fn background(level: f64, coloured: bool, samples: usize) -> Vec<i16> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut last = 0.0;
    (0..samples)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let white = ((state >> 40) as f64 / 8_388_608.0 - 1.0) * level * 3f64.sqrt();
            last = if coloured { 0.8 * last + 0.6 * white } else { white };
            last as i16
        })
        .collect()
}

/// Correlation of neighbours: 0 is white, near 1 is dull.
fn colour(samples: &[i16]) -> f64 {
    let product: f64 = samples.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum();
    product / samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>()
}

#[test]
fn comfort_noise_has_the_level_and_the_colour_of_the_background() {
    for level in [30.0, 300.0] {
        for coloured in [false, true] {
            for order in [0, 10] {
                let heard = background(level, coloured, 16_000);
                let mut describer = Describer::new(order);
                heard.chunks(160).for_each(|frame| describer.learn(frame));
                let mut payload = [0; 16];
                let bytes = describer.describe(&mut payload);
                assert_eq!(bytes, 1 + order);
                let mut generator = comfort_noise::Generator::new(7);
                generator.update(&payload[..bytes]);
                let mut made = vec![0; 16_000];
                made.chunks_mut(160).for_each(|frame| generator.generate(frame));
                let difference = Level::of(&made).dbov() - Level::of(&heard).dbov();
                assert!(difference.abs() < 1.0, "{level} {coloured} {order}: {difference:.2} dB");
                let expected = if order == 0 { 0.0 } else { colour(&heard) };
                let colour = colour(&made);
                assert!(
                    (colour - expected).abs() < 0.1,
                    "{level} {coloured} {order}: {colour:.2} {expected:.2}"
                );
            }
        }
    }
}

#[test]
fn a_descriptor_is_written_as_rfc_3389_says() {
    let mut describer = Describer::new(3);
    // -40 dBov, white: no prediction.
    describer.learn(&background(327.68, false, 80_000));
    let mut payload = [0; 4];
    assert_eq!(describer.describe(&mut payload), 4);
    assert_eq!(payload[0], 40);
    assert!(payload[1..].iter().all(|octet| octet.abs_diff(127) <= 2), "{payload:?}");
    assert_eq!(describer.describe(&mut payload[..3]), 0, "it does not fit");
    assert_eq!(comfort_noise::level_dbov(&[0xff, 1]), Some(-127.0));
}

proptest! {
    #[test]
    fn any_descriptor_makes_noise_and_nothing_worse(payload in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut generator = comfort_noise::Generator::new(1);
        generator.update(&payload);
        let mut samples = [0; 480];
        generator.generate(&mut samples);
        if payload.is_empty() {
            prop_assert_eq!(samples, [0; 480]);
        }
    }
}

#[test]
fn speech_is_active_and_the_pauses_are_not() {
    let Some(folder) = shared::folder("codec-vectors/ilbc") else { return };
    let speech = shared::samples(&folder.join("iLBC.INP"));
    let mut samples = background(30.0, true, 16_000);
    let pause = samples.len();
    samples.extend(speech.iter().zip(background(30.0, true, speech.len())).map(|(s, n)| s.saturating_add(n)));
    let end = samples.len();
    samples.extend(background(30.0, true, 16_000));
    let mut detector = activity::Detector::new(8_000, activity::Limits::default());
    let mut active = [0usize; 3];
    for (index, frame) in samples.chunks(160).enumerate() {
        let part = match index * 160 {
            at if at < pause => 0,
            at if at < end => 1,
            _ => 2,
        };
        active[part] += usize::from(detector.listen(frame));
    }
    let share = |part: usize, samples: usize| active[part] as f64 / (samples / 160) as f64;
    assert!(share(0, pause) < 0.1, "{active:?}");
    assert!(share(1, end - pause) > 0.5, "{active:?}");
    assert!(share(2, samples.len() - end) < 0.15, "{active:?}");
    assert!(detector.silence_ms() > 1_500);
    assert!((detector.background_dbov() + 60.0).abs() < 5.0, "{}", detector.background_dbov());
}
