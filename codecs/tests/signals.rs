//! Tone plans, call progress, fax and modem tones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

mod shared;

use denwa_codecs::level::Level;
use denwa_codecs::tone::plan::Plan;
use denwa_codecs::tone::progress::{self, Progress};
use denwa_codecs::tone::single::{Detector, Signal, SignalEvent};
use denwa_codecs::tone::{Generator, Sine, Step, Tone};

fn seconds(tone: &Tone, seconds: f64, rate: u32) -> Vec<i16> {
    let mut samples = vec![0; (seconds * f64::from(rate)) as usize];
    Generator::new(tone, rate).generate(&mut samples);
    samples
}

#[test]
fn every_plan_has_every_tone() {
    for plan in Plan::all() {
        for tone in [
            &plan.dial,
            &plan.second_dial,
            &plan.ring_back,
            &plan.busy,
            &plan.congestion,
            &plan.special_information,
            &plan.call_waiting,
            &plan.howler,
        ] {
            assert!(!tone.steps.is_empty(), "{}: {tone:?}", plan.name);
            assert!(Level::of(&seconds(tone, 4.0, 8_000)).dbm0() > -40.0, "{}: {tone:?}", plan.name);
        }
    }
}

#[test]
fn japans_ring_back_flutters_at_16_hz_for_a_second_in_three() {
    let samples = seconds(&Plan::japan().ring_back, 3.0, 8_000);
    assert!(samples[8_000..].iter().all(|s| *s == 0));
    // 31.25 ms are half a period of the modulation: loud and soft halves alternate sixteen times.
    let levels: Vec<f64> = samples[..8_000].chunks(250).map(|half| Level::of(half).rms()).collect();
    for (soft, loud) in levels.chunks(2).map(|pair| (pair[0], pair[1])) {
        assert!(loud > 1.8 * soft, "{soft} {loud}");
    }
}

#[test]
fn tones_have_a_text_form() {
    let tone: Tone = "!950/330,!1400/330,!1800@-7.5/330,0/1000,350+440@-13/100".parse().unwrap();
    assert_eq!((tone.steps.len(), tone.repeated_from, tone.rounds), (5, 3, None));
    assert_eq!(tone.steps[2].sines, [Sine::new(1_800.0, -7.5)]);
    assert_eq!(tone.steps[4].sines.len(), 2);
    let once: Tone = "!1400/500".parse().unwrap();
    assert_eq!((once.repeated_from, once.rounds), (0, Some(1)));
    for wrong in ["", "400/", "0", "400,!400", "-3", "400@x", "4e9", "400*"] {
        assert!(wrong.parse::<Tone>().is_err(), "{wrong:?}");
    }
}

fn progress_of(plan: &Plan, tone: &Tone, level_change: i16, rate: u32) -> Vec<Progress> {
    let mut detector = progress::Detector::new(plan, rate);
    let mut heard = Vec::new();
    let mut samples = vec![0; rate as usize / 3];
    samples.extend(seconds(tone, 10.0, rate).iter().map(|s| s / level_change));
    for packet in samples.chunks(rate as usize / 50) {
        detector.listen(packet, |progress| heard.push(progress));
    }
    heard
}

#[test]
fn call_progress_is_recognised() {
    for plan in Plan::all() {
        for rate in [8_000, 16_000] {
            for louder in [1, 8] {
                let name = plan.name;
                assert_eq!(progress_of(&plan, &plan.dial, louder, rate), [Progress::Dial], "{name}");
                assert_eq!(progress_of(&plan, &plan.ring_back, louder, rate), [Progress::RingBack], "{name}");
                assert_eq!(progress_of(&plan, &plan.busy, louder, rate), [Progress::Busy], "{name}");
                let congestion = progress_of(&plan, &plan.congestion, louder, rate);
                let same = plan.congestion == plan.busy;
                assert_eq!(congestion, [if same { Progress::Busy } else { Progress::Congestion }], "{name}");
                assert_eq!(
                    progress_of(&plan, &plan.special_information, louder, rate),
                    [Progress::SpecialInformation],
                    "{name}"
                );
            }
        }
    }
}

fn signals(samples: &[i16], rate: u32) -> Vec<SignalEvent> {
    let mut detector = Detector::new(rate);
    let mut events = Vec::new();
    for packet in samples.chunks(rate as usize / 50) {
        detector.listen(packet, |event| events.push(event));
    }
    events
}

#[test]
fn cng_is_heard_at_every_level_and_frequency_t30_allows() {
    for rate in [8_000, 16_000, 48_000] {
        for (hz, level) in
            [(1_100.0, -10.0), (1_062.0, -10.0), (1_138.0, -10.0), (1_100.0, 0.0), (1_100.0, -40.0)]
        {
            let events =
                signals(&seconds(&Tone::interrupted(&[Sine::new(hz, level)], 500, 3_000), 7.0, rate), rate);
            assert_eq!(events.len(), 4, "{hz} {level}: {events:?}");
            assert!(
                matches!(events[1], SignalEvent::Ended { signal: Signal::FaxCalling, duration_ms, reversals: 0 } if duration_ms.abs_diff(500) <= 20),
                "{:?}",
                events[1]
            );
        }
        assert_eq!(signals(&seconds(&Tone::steady(&[Sine::new(1_250.0, -10.0)]), 3.0, rate), rate), []);
    }
}

#[test]
fn the_answer_tone_is_heard_with_and_without_phase_reversals() {
    for hz in [2_085.0, 2_100.0, 2_115.0] {
        let plain = Tone {
            steps: vec![Step { sines: vec![Sine::new(hz, -12.0)], duration_ms: Some(3_300) }],
            rounds: Some(1),
            repeated_from: 0,
        };
        let samples = seconds(&plain, 4.0, 8_000);
        let events = signals(&samples, 8_000);
        assert!(
            matches!(
                events[..],
                [SignalEvent::Begun { signal: Signal::Answer, .. }, SignalEvent::Ended { reversals: 0, .. }]
            ),
            "{events:?}"
        );

        // Turned around every 450 ms: at 0.45, 0.9, ... 3.15 s, seven times.
        let turned: Vec<i16> =
            samples.iter().enumerate().map(|(n, s)| if n / 3_600 % 2 == 1 { -s } else { *s }).collect();
        let events = signals(&turned, 8_000);
        let reversals = events.iter().filter(|event| **event == SignalEvent::PhaseReversed).count();
        assert_eq!(reversals, 7, "{hz}: {events:?}");
        assert!(
            matches!(events.last(), Some(SignalEvent::Ended { signal: Signal::Answer, reversals: 7, .. })),
            "{events:?}"
        );
    }
}

#[test]
fn speech_is_neither() {
    for (folder, file, rate) in [
        ("codec-vectors/ilbc", "iLBC.INP", 8_000),
        ("codec-vectors/stl/g722", "inpsp.bin", 16_000),
        ("g729/vectors/annex-a", "SPEECH.IN", 8_000),
        ("g729/vectors/annex-b", "tstseq1.bin", 8_000),
    ] {
        let Some(folder) = shared::folder(folder) else { continue };
        let speech = shared::samples(&folder.join(file));
        assert_eq!(signals(&speech, rate), [], "{file}");
        for plan in Plan::all() {
            let mut detector = progress::Detector::new(&plan, rate);
            detector.listen(&speech, |progress| panic!("{file}: {progress:?} of {}", plan.name));
        }
    }
}
