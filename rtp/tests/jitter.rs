//! The jitter buffer over every kind of network, on virtual time: what is played, in which order, how late.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use denwa_rtp::jitter::{
    Config, Frame, Gap, Incoming, JitterBuffer, Next, Put,
    playout::{Decoder, Playout},
};
use proptest::prelude::*;

const PTIME: Duration = Duration::from_millis(20);

fn packet(sequence: u16, payload: &[u8]) -> Incoming<'_> {
    Incoming {
        ssrc: 1,
        sequence,
        timestamp: u32::from(sequence) * 160,
        payload_type: 0,
        marker: false,
        payload,
    }
}

/// A buffer, its clock, and what it played.
struct Scene {
    buffer: JitterBuffer,
    start: Instant,
    played: Vec<u16>,
    gaps: Vec<Gap>,
}

impl Scene {
    fn new(config: Config) -> Self {
        let start = Instant::now();
        Self { buffer: JitterBuffer::new(config, start), start, played: Vec::new(), gaps: Vec::new() }
    }

    fn put(&mut self, sequence: u16, at: Duration) -> Put {
        self.buffer.put(packet(sequence, &[sequence as u8; 4]), self.start + at)
    }

    /// For streams longer than the turn of the sequence numbers.
    fn put_long(&mut self, number: u32, at: Duration) -> Put {
        let sequence = number as u16;
        let payload = [sequence as u8; 4];
        let incoming = Incoming { timestamp: number.wrapping_mul(160), ..packet(sequence, &payload) };
        self.buffer.put(incoming, self.start + at)
    }

    fn get(&mut self, at: Duration) {
        match self.buffer.get(self.start + at) {
            Next::Frame(Frame { sequence, payload, .. }) => {
                assert_eq!(payload, [sequence as u8; 4]);
                self.played.push(sequence);
            }
            Next::Conceal { units, cause } => {
                assert_eq!(units, 160);
                self.gaps.push(cause);
            }
            Next::Pause { .. } | Next::Idle => {}
        }
    }
}

#[test]
fn a_steady_stream_is_played_whole_and_in_order() {
    let mut scene = Scene::new(Config::voice(8000));
    for step in 0..500u16 {
        let at = PTIME * u32::from(step);
        assert_eq!(scene.put(step, at), Put::Stored);
        scene.get(at + Duration::from_millis(5));
    }
    assert!(scene.played.len() > 490);
    // The first seconds shrink the delay from what a stranger needs to what this network does, by frames that are
    // skipped; after that nothing is.
    let settled: Vec<_> = scene.played.iter().copied().filter(|sequence| *sequence > 100).collect();
    assert!(settled.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(scene.gaps, []);
    let statistics = scene.buffer.statistics(scene.start + PTIME * 500);
    assert!(statistics.delay < Duration::from_millis(40), "{statistics:?}");
    assert_eq!((statistics.late, statistics.duplicates), (0, 0));
}

#[test]
fn lost_packets_are_gaps_of_their_length() {
    let mut scene = Scene::new(Config::fixed(8000, Duration::from_millis(60)));
    for step in 0..200u16 {
        let at = PTIME * u32::from(step);
        if !(50..53).contains(&step) {
            scene.put(step, at);
        }
        scene.get(at);
    }
    assert_eq!(scene.gaps, [Gap::Lost; 3]);
    let wanted: Vec<_> = (0..197u16).filter(|step| !(50..53).contains(step)).collect();
    assert_eq!(scene.played, wanted);
}

#[test]
fn reordered_packets_are_put_in_order_and_duplicates_dropped() {
    let mut scene = Scene::new(Config::fixed(8000, Duration::from_millis(100)));
    for step in (0..200u16).step_by(2) {
        let at = PTIME * u32::from(step);
        assert_eq!(scene.put(step + 1, at), Put::Stored);
        scene.put(step, at + Duration::from_millis(1));
        assert_eq!(scene.put(step, at + Duration::from_millis(2)), Put::Duplicate);
        scene.get(at + Duration::from_millis(3));
        scene.get(at + PTIME);
    }
    assert!(scene.played.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", scene.played);
    assert_eq!(scene.buffer.statistics(scene.start).duplicates, 100);
}

#[test]
fn what_comes_after_its_turn_is_late() {
    let mut scene = Scene::new(Config::fixed(8000, Duration::from_millis(40)));
    for step in 0..20u16 {
        let at = PTIME * u32::from(step);
        if step != 10 {
            scene.put(step, at);
        }
        scene.get(at);
    }
    assert_eq!(scene.put(10, PTIME * 20), Put::Late);
    assert_eq!(scene.put(12, PTIME * 20), Put::Duplicate, "it was played");
    let statistics = scene.buffer.statistics(scene.start);
    assert_eq!((statistics.late, statistics.duplicates), (1, 1));
}

#[test]
fn an_adaptive_buffer_waits_for_what_the_network_holds_back_and_plays_it() {
    let mut scene = Scene::new(Config::voice(8000));
    for step in 0..300u16 {
        let at = PTIME * u32::from(step);
        // From 200 on everything stands still for 240 ms and then comes at once.
        match step {
            200..212 => {}
            212 => (200..=212).for_each(|held| {
                assert_eq!(scene.put(held, at), Put::Stored);
            }),
            _ => {
                scene.put(step, at);
            }
        }
        scene.get(at + Duration::from_millis(1));
    }
    assert!(!scene.gaps.contains(&Gap::Lost), "{:?}", scene.gaps);
    assert!(
        (9..=12).contains(&scene.gaps.iter().filter(|gap| **gap == Gap::Starved).count()),
        "{:?}",
        scene.gaps
    );
    assert_eq!(scene.buffer.statistics(scene.start).late, 0);
    let statistics = scene.buffer.statistics(scene.start + PTIME * 300);
    assert!(statistics.delay < Duration::from_millis(150), "it has caught up: {:?}", statistics.delay);
}

#[test]
fn fixed_mode_keeps_its_delay_to_the_sample_whatever_the_network_does() {
    let delay = Duration::from_millis(80);
    let mut scene = Scene::new(Config::fixed(8000, delay));
    let mut state = 1u32;
    let mut arrivals: Vec<(Duration, u16)> = (0..3000u16)
        .filter_map(|step| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let jitter = Duration::from_micros(u64::from(state >> 16) % 60_000);
            (state >> 28 != 0 || step == 0)
                .then_some((PTIME * u32::from(step) + if step == 0 { Duration::ZERO } else { jitter }, step))
        })
        .collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    for step in 0..3000u32 {
        let now = PTIME * step;
        while let Some((at, sequence)) = arrivals.next_if(|(at, _)| *at <= now) {
            scene.put(sequence, at);
        }
        let before = scene.played.len();
        scene.get(now);
        if scene.played.len() > before {
            assert_eq!(PTIME * u32::from(*scene.played.last().unwrap()) + delay, now);
        }
    }
    let statistics = scene.buffer.statistics(scene.start);
    assert_eq!((statistics.late, statistics.starts), (0, 1));
    assert_eq!((statistics.stretched, statistics.compressed), (Duration::ZERO, Duration::ZERO));
    assert!(scene.played.len() > 2700);
}

#[test]
fn fixed_mode_begins_anew_only_when_the_clocks_have_drifted_apart() {
    for ppm in [-500.0f64, 500.0] {
        let mut scene = Scene::new(Config::fixed(8000, Duration::from_millis(60)));
        let frame = 0.020 / (1.0 + ppm * 1e-6);
        let (mut sent, mut step) = (0u32, 0u32);
        // Half an hour: the clocks part by 900 ms.
        while step < 90_000 {
            while f64::from(sent) * frame <= f64::from(step) * 0.020 {
                scene.put_long(sent, Duration::from_secs_f64(f64::from(sent) * frame));
                sent += 1;
            }
            scene.get(PTIME * step);
            step += 1;
        }
        let statistics = scene.buffer.statistics(scene.start + PTIME * step);
        assert!((2..40).contains(&statistics.starts), "{ppm}: {statistics:?}");
        assert!(scene.played.len() > 88_000, "{ppm}: {}", scene.played.len());
        let drift = statistics.drift_ppm.unwrap_or(ppm);
        assert!((drift - ppm).abs() < 30.0, "{ppm}: {drift}");
    }
}

#[test]
fn drift_is_followed_and_told_for_hours() {
    for ppm in [-500.0f64, -120.0, 0.0, 500.0] {
        let mut scene = Scene::new(Config::voice(8000));
        let frame = 0.020 / (1.0 + ppm * 1e-6);
        let (mut sent, mut state) = (0u32, 7u32);
        // Two hours.
        for step in 0..360_000u32 {
            let now = f64::from(step) * 0.020;
            while f64::from(sent) * frame <= now {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let jitter = f64::from(state >> 16) / 65_536.0 * 0.008;
                let at = (f64::from(sent) * frame + jitter).min(now);
                scene.put_long(sent, Duration::from_secs_f64(at));
                sent += 1;
            }
            scene.get(Duration::from_secs_f64(now));
        }
        let statistics = scene.buffer.statistics(scene.start + PTIME * 360_000);
        let told = statistics.drift_ppm.unwrap();
        assert!((told - ppm).abs() < 10.0, "{ppm}: {told}");
        assert!(statistics.delay < Duration::from_millis(80), "{ppm}: {:?}", statistics.delay);
        assert_eq!(statistics.starts, 1);
        assert!(statistics.concealed_fraction() < 0.002, "{ppm}: {}", statistics.concealed_fraction());
    }
}

#[test]
fn an_outage_of_three_seconds_is_survived() {
    for config in [Config::voice(8000), Config::fixed(8000, Duration::from_millis(60))] {
        let mut scene = Scene::new(config);
        for step in 0..600u16 {
            let at = PTIME * u32::from(step);
            if !(200..350).contains(&step) {
                scene.put(step, at);
            }
            scene.get(at + Duration::from_millis(2));
        }
        let after = scene.played.iter().position(|sequence| *sequence >= 350).unwrap();
        assert_eq!(scene.played[after], 350, "nothing of what came back is lost");
        assert!(scene.played.len() > 430);
        assert!(scene.gaps.len() <= 53, "a second of concealment, then silence: {}", scene.gaps.len());
        let statistics = scene.buffer.statistics(scene.start + PTIME * 600);
        assert!(statistics.delay <= Duration::from_millis(80), "{:?}", statistics.delay);
    }
}

#[test]
fn a_sender_that_restarts_is_followed() {
    let mut scene = Scene::new(Config::voice(8000));
    for step in 0..100u16 {
        scene.put(step, PTIME * u32::from(step));
        scene.get(PTIME * u32::from(step));
    }
    for step in 0..100u16 {
        let at = PTIME * (100 + u32::from(step));
        let put = scene.put(40_000 + step, at);
        assert_eq!(put, if step == 0 { Put::Restarted } else { Put::Stored });
        scene.get(at);
    }
    assert!(scene.played.iter().filter(|sequence| **sequence >= 40_000).count() >= 97);
    // And another SSRC.
    let put = scene.buffer.put(Incoming { ssrc: 2, ..packet(5, &[5; 4]) }, scene.start + PTIME * 200);
    assert_eq!(put, Put::Restarted);
}

#[test]
fn pauses_are_no_losses() {
    let mut scene = Scene::new(Config::voice(8000));
    let (mut pauses, mut sequence) = (0, 0u16);
    for step in 0..1000u32 {
        let at = PTIME * step;
        // A second of talk, half a second of nothing, with successive numbers (DTX).
        if step % 75 < 50 {
            let incoming =
                Incoming { timestamp: step * 160, marker: step % 75 == 0, ..packet(sequence, &[1, 2]) };
            scene.buffer.put(incoming, scene.start + at);
            sequence += 1;
        }
        match scene.buffer.get(scene.start + at) {
            Next::Pause { .. } => pauses += 1,
            Next::Frame(frame) => scene.played.push(frame.sequence),
            Next::Conceal { .. } | Next::Idle => {}
        }
    }
    let statistics = scene.buffer.statistics(scene.start + PTIME * 1000);
    assert!(scene.played.len() > 640, "{}", scene.played.len());
    assert!(scene.played.windows(2).all(|pair| pair[1] > pair[0]));
    assert!(statistics.concealed <= Duration::from_millis(500), "{statistics:?}");
    assert!(statistics.paused >= Duration::from_secs(5), "{statistics:?}");
    assert!(pauses < 1000);
}

#[test]
fn comfort_noise_makes_a_pause_at_once() {
    let mut scene = Scene::new(Config { comfort_noise: Some(13), ..Config::voice(8000) });
    for step in 0..50u16 {
        let payload_type = if step == 49 { 13 } else { 0 };
        scene
            .buffer
            .put(Incoming { payload_type, ..packet(step, &[1]) }, scene.start + PTIME * u32::from(step));
        scene.buffer.get(scene.start + PTIME * u32::from(step));
    }
    for step in 50..90u32 {
        let next = scene.buffer.get(scene.start + PTIME * step);
        assert!(!matches!(next, Next::Conceal { .. }), "{next:?}");
    }
    assert_eq!(scene.buffer.statistics(scene.start).concealed, Duration::ZERO);
}

#[test]
fn payloads_are_limited_and_so_is_what_waits() {
    let config = Config { maximum_payload: 10, maximum_packets: 16, ..Config::voice(8000) };
    let mut buffer = JitterBuffer::new(config, Instant::now());
    let now = Instant::now();
    assert_eq!(buffer.put(packet(0, &[0; 11]), now), Put::TooLong);
    for sequence in 0..10_000 {
        buffer.put(packet(sequence, &[0; 10]), now);
        assert!(buffer.waiting() <= 16);
    }
}

#[test]
fn every_frame_size_and_clock_is_played() {
    for rate in [8000u32, 16_000, 24_000, 32_000, 48_000] {
        for frame in [rate / 400, rate / 100, rate / 50, rate * 3 / 100, rate * 3 / 50] {
            let start = Instant::now();
            let mut buffer = JitterBuffer::new(Config::voice(rate), start);
            let length = Duration::from_secs_f64(f64::from(frame) / f64::from(rate));
            let mut played = 0;
            for step in 0..400u32 {
                let incoming = Incoming {
                    ssrc: 1,
                    sequence: step as u16,
                    timestamp: step * frame,
                    payload_type: 0,
                    marker: false,
                    payload: &[1],
                };
                buffer.put(incoming, start + length * step);
                played += usize::from(matches!(buffer.get(start + length * step), Next::Frame(_)));
            }
            assert!(played > 360, "{rate} Hz, {frame} units: {played}");
        }
    }
}

/// A tone whose phase follows from the frame's number, so that a click shows as a step.
struct Tone {
    hz: f64,
    rate: f64,
    frame: usize,
    conceals: usize,
    /// The last samples, repeated for a gap.
    last: Vec<i16>,
}

impl Decoder for Tone {
    fn decode(&mut self, _: u8, payload: &[u8], out: &mut Vec<i16>) {
        let number = u32::from_be_bytes(payload.try_into().unwrap()) as usize;
        let start = number * self.frame;
        let sample =
            |n: usize| ((n as f64 * self.hz / self.rate * std::f64::consts::TAU).sin() * 9000.0) as i16;
        self.last = (start..start + self.frame).map(sample).collect();
        out.extend(&self.last);
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        self.conceals += samples;
        let period = (self.rate / self.hz).round() as usize;
        for _ in 0..samples {
            let sample = self.last[self.last.len() - period];
            self.last.push(sample);
            out.push(sample);
        }
    }
}

/// Plays a stream with these delays (ms) and returns what is heard.
fn play_tone(
    rate: u32,
    hz: f64,
    config: Config,
    delays: impl Fn(u32) -> Option<f64>,
    frames: u32,
) -> (Vec<i16>, Tone) {
    let start = Instant::now();
    let frame = rate as usize / 50;
    let mut playout = Playout::new(config, rate, start);
    let mut tone = Tone { hz, rate: f64::from(rate), frame, conceals: 0, last: vec![0; frame] };
    let mut arrivals: Vec<(Duration, u32)> = (0..frames)
        .filter_map(|step| Some((PTIME * step + Duration::from_secs_f64(delays(step)? / 1000.0), step)))
        .collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut heard = Vec::new();
    for step in 0..frames * 2 {
        let now = Duration::from_millis(10) * step;
        while let Some((at, number)) = arrivals.next_if(|(at, _)| *at <= now) {
            let incoming = Incoming {
                ssrc: 1,
                sequence: number as u16,
                timestamp: number * (config.clock_rate_hz / 50),
                payload_type: 0,
                marker: false,
                payload: &number.to_be_bytes(),
            };
            playout.put(incoming, start + at);
        }
        let mut out = vec![0; rate as usize / 100];
        playout.pull(&mut tone, &mut out, start + now);
        heard.extend(out);
    }
    (heard, tone)
}

fn greatest_step(samples: &[i16]) -> i32 {
    samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
}

#[test]
fn time_is_scaled_without_clicks() {
    // The path becomes 90 ms longer and shorter again: the delay grows and shrinks.
    let delays = |step: u32| Some(if (step / 700) % 2 == 1 { 110.0 } else { 20.0 });
    for rate in [8000u32, 16_000, 48_000] {
        let hz = 180.0;
        let config = Config::voice(rate);
        let (heard, _) = play_tone(rate, hz, config, delays, 2800);
        let natural = 9000.0 * std::f64::consts::TAU * hz / f64::from(rate);
        let settled = &heard[rate as usize..];
        let step = greatest_step(settled);
        if f64::from(step) >= natural * 1.6 + 2.0 {
            let at = settled
                .windows(2)
                .position(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs() == step)
                .unwrap();
            println!(
                "{} ms: {:?}",
                (at + rate as usize) / (rate as usize / 1000),
                &settled[at - 30..at + 30]
            );
        }
        assert!(
            f64::from(step) < natural * 1.6 + 2.0,
            "{rate}: a step of {step} where {natural:.0} is natural"
        );
    }
}

#[test]
fn a_tone_without_trouble_is_passed_sample_for_sample() {
    let (heard, tone) =
        play_tone(8000, 200.0, Config::fixed(8000, Duration::from_millis(60)), |_| Some(20.0), 500);
    let first = heard.iter().position(|sample| *sample != 0).unwrap();
    let sample = |n: usize| ((n as f64 * 200.0 / 8000.0 * std::f64::consts::TAU).sin() * 9000.0) as i16;
    // sin(0) is 0: the tone began one sample before.
    for (index, heard) in heard[first - 1..].iter().enumerate() {
        assert_eq!(*heard, sample(index), "{index}");
    }
    assert_eq!(tone.conceals, 0);
}

#[test]
fn fixed_mode_conceals_nothing() {
    let lossy = |step: u32| (step % 7 != 3).then_some(20.0);
    let (heard, tone) = play_tone(8000, 200.0, Config::fixed(8000, Duration::from_millis(60)), lossy, 700);
    assert_eq!(tone.conceals, 0);
    // One frame in seven is silence, and the others are where they belong.
    let first = heard.iter().position(|sample| *sample != 0).unwrap() - 1;
    for frame in 0..90 {
        let samples = &heard[first + frame * 160..first + (frame + 1) * 160];
        assert_eq!(samples.iter().all(|sample| *sample == 0), frame % 7 == 3, "frame {frame}");
    }
}

#[test]
fn any_number_of_samples_may_be_asked_for() {
    for chunk in [1usize, 7, 80, 160, 441, 1600] {
        let start = Instant::now();
        let mut playout = Playout::new(Config::voice(8000), 8000, start);
        let mut tone = Tone { hz: 200.0, rate: 8000.0, frame: 160, conceals: 0, last: vec![0; 160] };
        let (mut sent, mut asked, mut heard) = (0u32, 0usize, 0usize);
        while asked < 80_000 {
            let now = start + Duration::from_micros(asked as u64 * 125);
            while sent as usize * 160 <= asked {
                let number = sent.to_be_bytes();
                let incoming = Incoming { timestamp: sent * 160, ..packet(sent as u16, &number) };
                playout.put(incoming, start + PTIME * sent);
                sent += 1;
            }
            let mut out = vec![0; chunk];
            playout.pull(&mut tone, &mut out, now);
            heard += out.iter().filter(|sample| **sample != 0).count();
            asked += chunk;
        }
        assert!(heard > 70_000, "{chunk}: {heard} of {asked}");
    }
}

#[test]
fn g722_has_a_clock_of_8000_and_samples_of_16000() {
    let start = Instant::now();
    let mut playout = Playout::new(Config::voice(8000), 16_000, start);
    let mut tone = Tone { hz: 300.0, rate: 16_000.0, frame: 320, conceals: 0, last: vec![0; 320] };
    let mut heard = 0;
    for step in 0..500u32 {
        let number = step.to_be_bytes();
        let incoming = Incoming { timestamp: step * 160, ..packet(step as u16, &number) };
        playout.put(incoming, start + PTIME * step);
        let mut out = [0; 320];
        playout.pull(&mut tone, &mut out, start + PTIME * step);
        heard += out.iter().filter(|sample| **sample != 0).count();
    }
    assert!(heard > 490 * 310, "{heard}");
    assert_eq!(tone.conceals, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Loss, reordering and duplication up to the window: no frame twice, none out of order, none with another's bytes.
    #[test]
    fn never_a_frame_twice_or_out_of_order(
        fates in prop::collection::vec((0u8..10, 0u64..400), 50..400),
        first in any::<u16>(),
        fixed: bool,
    ) {
        let config = if fixed { Config::fixed(8000, Duration::from_millis(100)) } else { Config::voice(8000) };
        let start = Instant::now();
        let mut buffer = JitterBuffer::new(config, start);
        let mut arrivals = Vec::new();
        for (step, (fate, delay)) in fates.iter().enumerate() {
            let at = PTIME * step as u32 + Duration::from_millis(*delay);
            match fate {
                0 => {}
                1 => arrivals.extend([(at, step), (at + Duration::from_millis(delay / 2), step)]),
                _ => arrivals.push((at, step)),
            }
        }
        arrivals.sort();
        let mut arrivals = arrivals.into_iter().peekable();
        let mut last: Option<u32> = None;
        let mut starts = 0;
        for tick in 0..fates.len() as u32 + 60 {
            let now = PTIME * tick;
            while let Some((at, step)) = arrivals.next_if(|(at, _)| *at <= now) {
                let number = (step as u32).to_be_bytes();
                let incoming = Incoming {
                    timestamp: step as u32 * 160,
                    ..packet(first.wrapping_add(step as u16), &number)
                };
                buffer.put(incoming, start + at);
            }
            if let Next::Frame(frame) = buffer.get(start + now) {
                let number = u32::from_be_bytes(frame.payload.try_into().unwrap());
                prop_assert_eq!(frame.sequence, first.wrapping_add(number as u16));
                prop_assert_eq!(frame.timestamp, number * 160);
                let begun = buffer.statistics(start).starts;
                // Fixed mode may begin anew after many late packets; order is kept within a start.
                if begun == starts && let Some(last) = last {
                    prop_assert!(number > last, "{} after {}", number, last);
                }
                starts = begun;
                last = Some(number);
            }
        }
    }

    /// Any packets at any time: the samples asked for are given, and what waits is limited.
    #[test]
    fn anything_at_any_time_fills_the_samples_asked_for(
        steps in prop::collection::vec((any::<u16>(), any::<u32>(), 0u64..3000, 0usize..500, 0u32..2), 0..200),
        fixed: bool,
    ) {
        let config = if fixed { Config::fixed(8000, Duration::from_millis(60)) } else { Config::voice(8000) };
        let start = Instant::now();
        let mut playout = Playout::new(config, 8000, start);
        let mut tone = Tone { hz: 200.0, rate: 8000.0, frame: 160, conceals: 0, last: vec![0; 160] };
        let mut now = start;
        for (sequence, timestamp, gap, chunk, ssrc) in steps {
            now += Duration::from_millis(gap);
            let number = [0; 4];
            let incoming = Incoming { ssrc, sequence, timestamp, payload_type: 0, marker: false, payload: &number };
            playout.put(incoming, now);
            let mut out = vec![1; chunk];
            playout.pull(&mut tone, &mut out, now);
            prop_assert!(playout.statistics(now).delay < Duration::from_secs(300_000));
        }
    }
}
