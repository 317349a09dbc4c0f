//! Two media sessions talk by every codec there is, at the caller's rates: the voice arrives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod speech;

use denwa::Seed;
use denwa::media::{Action, Event, KeyPath, MediaConfig, MediaSession, Output, Path, PlayOut};
use denwa_codecs::registry;
use denwa_codecs::tone::Generator;
use denwa_codecs::tone::dtmf::{Sending, dial};
use denwa_sdp::{Capability, Codec, Kind};
use speech::{least_likeness, likeness, loudness, voice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const DELAY: Duration = Duration::from_millis(60);

struct End {
    session: MediaSession,
    rtp: SocketAddr,
    heard: Vec<i16>,
    events: Vec<Event>,
    /// Payload types and lengths of what was sent.
    sent: Vec<(u8, usize)>,
    /// Which of the packets arrive: the number of the packet.
    arrives: fn(usize) -> bool,
}

struct Pair {
    ends: [End; 2],
    now: Instant,
}

fn end(host: u8, capability: Capability, rate: u32, now: Instant, change: impl Fn(&mut MediaConfig)) -> End {
    let rtp = SocketAddr::from(([192, 0, 2, host], 4000));
    let rtcp = SocketAddr::from(([192, 0, 2, host], 4001));
    let mut config = MediaConfig::new(capability, rtp, rtcp, rtp, Duration::from_secs(1_700_000_000), now);
    config.sample_rate_hz = rate;
    config.play_out = PlayOut::Fixed(DELAY);
    config.unsent_sound = Duration::from_secs(1);
    change(&mut config);
    let session = MediaSession::new(config, Seed([host; 32]), now);
    End { session, rtp, heard: Vec::new(), events: Vec::new(), sent: Vec::new(), arrives: |_| true }
}

impl Pair {
    fn new(a: Capability, b: Capability, rates: [u32; 2], change: impl Fn(&mut MediaConfig)) -> Self {
        let now = Instant::now();
        let mut pair =
            Self { ends: [end(1, a, rates[0], now, &change), end(2, b, rates[1], now, &change)], now };
        pair.agree();
        pair
    }

    fn agree(&mut self) {
        let offer = self.ends[0].session.offer().unwrap();
        let answer = self.ends[1].session.answer(&offer, self.now).unwrap();
        self.ends[0].session.accept_answer(&answer, self.now).unwrap();
    }

    /// 10 ms pass; the first end says `sound`, the second hears.
    fn step(&mut self, sound: &[i16]) {
        let now = self.now;
        let [from, to] = &mut self.ends;
        from.session.say(sound);
        if from.session.poll_timeout().is_some_and(|deadline| deadline <= now) {
            from.session.handle_timeout(now);
        }
        let mut buffer = [0; 4096];
        while let Some(out) = from.session.next_packet(&mut buffer, now) {
            from.sent.push((buffer[1] & 0x7f, out.length - 12));
            if (from.arrives)(from.sent.len() - 1) {
                let action = to.session.receive(&mut buffer[..out.length], Path::from(from.rtp), now);
                assert!(matches!(action, Action::Sound | Action::Digit), "{action:?}");
            }
        }
        let mut samples = vec![0; to.session.sample_rate_hz() as usize / 100];
        to.session.hear(&mut samples, now);
        to.heard.extend(samples);
        for end in &mut self.ends {
            while let Some(output) = end.session.poll_output() {
                if let Output::Event(event) = output {
                    end.events.push(event);
                }
            }
        }
        self.now += Duration::from_millis(10);
    }

    fn say(&mut self, sound: &[i16]) {
        let piece = self.ends[0].session.sample_rate_hz() as usize / 100;
        for sound in sound.chunks_exact(piece) {
            self.step(sound);
        }
    }

    fn digits(&self) -> String {
        let digit = |event: &Event| match event {
            Event::Digit { digit, .. } => Some(*digit),
            _ => None,
        };
        self.ends[1].events.iter().filter_map(digit).collect()
    }
}

/// A telephone with these codecs and packets of so many milliseconds, without telephone events.
fn telephone(codecs: impl IntoIterator<Item = Codec>, milliseconds: u32) -> Capability {
    let mut capability = Capability::telephone(codecs);
    let audio = capability.of_kind_mut(&Kind::Audio).unwrap();
    audio.packet_time = Some(Duration::from_millis(milliseconds.into()));
    capability
}

fn codec(entry: &registry::Entry, parameters: &str) -> Codec {
    let mut codec = Codec::new(entry.name, entry.clock_rate_hz).with(parameters);
    codec.channels = entry.channels;
    codec.payload_type = entry.static_payload_type;
    codec
}

#[test]
fn a_voice_arrives_by_every_codec() {
    let mut tried = 0;
    for entry in registry::all() {
        // The rates of G.726 differ in tables only.
        if entry.name.starts_with("AAL2") {
            continue;
        }
        let all_parameters: &[&str] = match entry.name {
            "iLBC" => &["mode=20", "mode=30"],
            "G729" => &["annexb=no", "annexb=yes"],
            _ => &[""],
        };
        for parameters in all_parameters {
            let own = entry.sample_rate_hz.min(16_000);
            for (rates, milliseconds) in [([own, own], 20), ([8000, 48_000], 30), ([44_100, 8000], 60)] {
                let make = || telephone([codec(entry, parameters)], milliseconds);
                let mut pair = Pair::new(make(), make(), rates, |_| {});
                let seconds = 1.2;
                pair.say(&voice(rates[0], seconds));
                let what = format!("{} {parameters} {rates:?} {milliseconds} ms", entry.name);
                let said = voice(rates[1], seconds);
                let (like, lag) = likeness(&said, &pair.ends[1].heard, rates[1], 200);
                // Between rates the delay is no whole number of samples.
                let exact = if rates[0] == rates[1] { 1.0 } else { 0.95 };
                // The detector of Annex B takes some of this voice, which breathes nowhere, for background.
                let exact = if *parameters == "annexb=yes" { exact * 0.5 } else { exact };
                assert!(like > least_likeness(entry.name) * exact, "{what}: {like:.3}");
                let late = lag as f64 * 1000.0 / f64::from(rates[1]);
                assert!(late < 60.0 + 2.0 * f64::from(milliseconds) + 30.0, "{what}: {late} ms late");
                let (louder, heard) = (loudness(&said), loudness(&pair.ends[1].heard[lag..]));
                assert!((0.8..1.25).contains(&(heard / louder)), "{what}: {heard} for {louder}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 3 * (registry::all().len() - 4 + 2), "{tried}");
}

#[test]
fn one_packet_in_ten_is_concealed() {
    for entry in registry::all().iter().filter(|entry| !entry.name.contains("G726-")) {
        let make = || telephone([codec(entry, "")], 20);
        let mut pair = Pair::new(make(), make(), [8000, 8000], |config| config.play_out = PlayOut::Adaptive);
        pair.ends[0].arrives = |number| number % 10 != 9;
        let said = voice(8000, 2.0);
        pair.say(&said);
        let heard = &pair.ends[1].heard;
        // Nowhere 15 ms of nothing where a voice should be.
        let longest = heard[4000..].chunk_by(|a, b| *a == 0 && *b == 0).map(<[i16]>::len).max().unwrap();
        assert!(longest < 120, "{}: {longest} samples of nothing", entry.name);
        let (said, heard) = (loudness(&said), loudness(&heard[4000..]));
        // G.729 comes back slowly from a loss, as its Recommendation has it.
        assert!((0.55..1.25).contains(&(heard / said)), "{}: {heard} for {said}", entry.name);
    }
}

#[test]
fn another_codec_with_another_clock_goes_on_without_a_gap() {
    let offered = |name: &str| {
        let entry = registry::all().iter().find(|entry| entry.name == name).unwrap();
        telephone([codec(entry, "")], 20)
    };
    let wide = registry::find("L16", 16_000).unwrap();
    let mut both = offered("PCMU");
    both.of_kind_mut(&Kind::Audio).unwrap().codecs.push(codec(wide, ""));
    let mut pair = Pair::new(offered("PCMU"), both, [16_000, 16_000], |_| {});
    let said = voice(16_000, 4.0);
    pair.say(&said[..32_000]);
    pair.ends[0].session.set_capability(telephone([codec(wide, "")], 20));
    pair.agree();
    pair.say(&said[32_000..]);
    assert!(pair.ends[0].events.contains(&Event::CodecChanged { codec: "L16/16000".into() }));
    let heard = &pair.ends[1].heard;
    let longest = heard[8000..].chunk_by(|a, b| *a == 0 && *b == 0).map(<[i16]>::len).max().unwrap();
    assert!(longest < 16 * 40, "{longest} samples of nothing");
    let (before, _) = likeness(&said[..30_000], &heard[..30_000], 16_000, 150);
    let (after, _) = likeness(&said[36_000..], &heard[36_000..], 16_000, 300);
    assert!(before > 0.97 && after > 0.97, "{before:.3} {after:.3}");
}

#[test]
fn silence_is_left_out_and_comes_back_as_noise() {
    let make = || telephone([Codec::pcma(), Codec::comfort_noise()], 20);
    let mut pair = Pair::new(make(), make(), [8000, 8000], |config| {
        config.suppresses_silence = true;
        config.play_out = PlayOut::Adaptive;
    });
    let mut noise = 1u32;
    let mut murmur = |count: usize| -> Vec<i16> {
        (0..count)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 16) as i16 / 500
            })
            .collect()
    };
    let quiet = murmur(24_000);
    let mut said = murmur(8000);
    said.extend(voice(8000, 1.0));
    said.extend(&quiet);
    said.extend(voice(8000, 1.0));
    pair.say(&said);
    let sent = &pair.ends[0].sent;
    let descriptors = sent.iter().filter(|(payload_type, _)| *payload_type == 13).count();
    assert!((6..14).contains(&descriptors), "{descriptors} descriptions");
    assert!(sent.len() < 190, "{} packets for 6 s", sent.len());
    let heard = &pair.ends[1].heard;
    let pause = loudness(&heard[24_000..38_000]);
    assert!((0.5..2.0).contains(&(pause / loudness(&quiet))), "{pause} for {}", loudness(&quiet));
    let (like, _) = likeness(&said[38_000..], &heard[38_000..], 8000, 150);
    assert!(like > 0.97, "the voice after the pause: {like:.3}");
}

#[test]
fn g729_leaves_silence_out_where_it_may() {
    for (parameters, least, most) in [("annexb=yes", 1, 60), ("annexb=no", 100, 100)] {
        let entry = registry::find("G729", 8000).unwrap();
        let make = || telephone([codec(entry, parameters)], 20);
        let mut pair = Pair::new(make(), make(), [8000, 8000], |_| {});
        pair.say(&vec![0; 16_000]);
        let sent = pair.ends[0].sent.len();
        assert!((least..=most).contains(&sent), "{parameters}: {sent} packets for 2 s of silence");
    }
}

#[test]
fn keys_go_in_the_sound_where_no_events_are_agreed() {
    let plain = || {
        let mut capability = telephone([Codec::pcma()], 20);
        capability.of_kind_mut(&Kind::Audio).unwrap().telephone_events = None;
        capability
    };
    let mut pair = Pair::new(plain(), plain(), [8000, 16_000], |_| {});
    pair.ends[0].session.press("19*#D", pair.now).unwrap();
    pair.say(&vec![0; 24_000]);
    assert_eq!(pair.digits(), "19*#D");
    assert!(pair.ends[0].sent.iter().all(|(payload_type, _)| *payload_type == 8));
    // Keys that the peer makes itself, as an old telephone does.
    let mut sound = vec![0; 16_000];
    Generator::new(&dial("42", Sending::default()), 8000).generate(&mut sound);
    pair.say(&sound);
    assert_eq!(pair.digits(), "19*#D42");
}

#[test]
fn keys_by_the_signalling_are_for_the_program() {
    let make = || telephone([Codec::pcma()], 20);
    let mut pair = Pair::new(make(), make(), [8000, 8000], |config| config.key_path = KeyPath::Signalling);
    pair.ends[0].session.press("7#", pair.now).unwrap();
    pair.say(&vec![0; 8000]);
    let told: Vec<&Event> =
        pair.ends[0].events.iter().filter(|event| matches!(event, Event::KeyToSignal { .. })).collect();
    let [Event::KeyToSignal { digit: '7', .. }, Event::KeyToSignal { digit: '#', .. }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(pair.digits(), "");
}
