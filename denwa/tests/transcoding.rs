//! Two legs of a bridge with different codecs: the voice of the one is heard at the other, whatever is lost, left out or
//! agreed anew; and keys are told to each the way it takes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod speech;

use denwa::Seed;
use denwa::bridge::{
    Action, BridgeConfig, Command, Connection, Event, Input, LegId, LegSpec, MediaBridge, Output, Path,
};
use denwa::media::{KeyPath, PayloadFormat, StreamParameters};
use denwa_codecs::tone::Generator;
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent, Sending, dial};
use denwa_codecs::{Decoder, Encoder, registry};
use denwa_rtp::packet::{Header, Packet};
use speech::{least_likeness, likeness, loudness, voice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const A: LegId = LegId(1);
const B: LegId = LegId(2);

/// What leg B's peer got.
struct Got {
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

/// A call through a bridge, seen by its two telephones: the one speaks, the other listens.
struct Call {
    bridge: MediaBridge,
    now: Instant,
    encoder: Box<dyn Encoder>,
    format: PayloadFormat,
    sequence: u16,
    timestamp: u32,
    got: Vec<Got>,
    events: Vec<Event>,
}

fn format(entry: &registry::Entry, payload_type: u8, parameters: &str) -> PayloadFormat {
    PayloadFormat {
        channels: entry.channels,
        parameters: parameters.into(),
        ..PayloadFormat::new(payload_type, entry.name, entry.clock_rate_hz)
    }
}

fn plain(host: u8, formats: &[PayloadFormat]) -> StreamParameters {
    StreamParameters::plain(SocketAddr::from(([192, 0, 2, host], 4000)), formats)
}

fn without_events(parameters: StreamParameters) -> StreamParameters {
    StreamParameters { send_events: Vec::new(), receive_events: Vec::new(), ..parameters }
}

impl Call {
    fn new(a: StreamParameters, b: StreamParameters) -> Self {
        let now = Instant::now();
        let config = BridgeConfig::new(Duration::from_secs(1_700_000_000), now);
        let format = a.receive[0].clone();
        let encoder = encoder(&format);
        let bridge = MediaBridge::new(config, Seed([9; 32]), now);
        let (got, events) = (Vec::new(), Vec::new());
        let mut call =
            Self { bridge, now, encoder, format, sequence: 65_500, timestamp: u32::MAX - 4000, got, events };
        for (leg, parameters) in [(A, a), (B, b)] {
            let rtp = SocketAddr::from(([10, 0, 0, 1], 20_000 + 2 * leg.0 as u16));
            let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
            let silence_after = Duration::from_secs(30);
            let spec = LegSpec { group: 1, rtp, rtcp, silence_after, cname: "leg".into() };
            call.command(Command::Open { leg, spec });
            call.bridge.handle_input(Input::Bound { leg, rtp, rtcp }, now);
            call.command(Command::Configure { leg, stream: Box::new(parameters) });
        }
        call.command(Command::Connect { leg: A, to: Connection::Leg(B) });
        call
    }

    fn command(&mut self, command: Command) {
        self.bridge.command(command, self.now).unwrap();
        self.events();
    }

    fn events(&mut self) {
        while let Some(output) = self.bridge.poll_output() {
            if let Output::Event(event) = output {
                self.events.push(event);
            }
        }
    }

    fn got(&mut self, leg: LegId, bytes: &[u8]) {
        let packet = Packet::parse(bytes).unwrap();
        if leg == B {
            self.got.push(Got {
                payload_type: packet.payload_type(),
                marker: packet.marker(),
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
                payload: packet.payload().to_vec(),
            });
        }
    }

    /// Leg A's telephone sends this.
    fn send(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let header = Header { payload_type, marker, sequence, timestamp, ssrc: 7, ..Header::default() };
        let mut buffer = vec![0; 4096];
        let length = header.write(payload, &mut buffer).unwrap();
        let from = SocketAddr::from(([192, 0, 2, 1], 4000));
        let action = self.bridge.receive(A, Path::from(from), &mut buffer, length, self.now);
        if let Action::Forward(forward) = action {
            let (leg, bytes) = (forward.leg, forward.bytes.to_vec());
            self.got(leg, &bytes);
        }
        self.events();
    }

    /// Time passes, as a driver lets it.
    fn pass(&mut self, by: Duration) {
        let goal = self.now + by;
        while let Some(deadline) = self.bridge.poll_timeout().filter(|deadline| *deadline <= goal) {
            self.now = self.now.max(deadline);
            self.bridge.handle_timeout(self.now);
            let mut buffer = vec![0; 2048];
            while let Some(out) = self.bridge.next_frame(&mut buffer, self.now) {
                self.got(out.leg, &buffer[..out.length]);
            }
            self.events();
            assert!(
                self.bridge.poll_timeout().is_none_or(|next| next > self.now),
                "a timer that never rests"
            );
        }
        self.now = goal;
    }

    /// Leg A's telephone speaks, in packets of so many milliseconds; those arrive that `arrives` says.
    fn speak(&mut self, sound: &[i16], milliseconds: usize, arrives: impl Fn(usize) -> bool) {
        let rate = self.encoder.sample_rate_hz();
        let samples = self.encoder.packet_samples(rate as usize * milliseconds / 1000);
        let ticks = (samples as u64 * u64::from(self.format.clock_rate_hz) / u64::from(rate)) as u32;
        let mut payload = vec![0; self.encoder.max_payload_bytes(samples)];
        for (number, sound) in sound.chunks_exact(samples).enumerate() {
            let length = self.encoder.encode(sound, &mut payload).unwrap();
            if length > 0 && arrives(number) {
                self.send(self.format.payload_type, number == 0, self.timestamp, &payload[..length]);
            } else if length > 0 {
                self.sequence = self.sequence.wrapping_add(1);
            }
            self.timestamp = self.timestamp.wrapping_add(ticks);
            self.pass(Duration::from_secs_f64(samples as f64 / f64::from(rate)));
        }
    }

    fn configure(&mut self, leg: LegId, parameters: StreamParameters) {
        self.command(Command::Configure { leg, stream: Box::new(parameters) });
    }

    /// What leg B's telephone hears: packets in their places of time.
    fn heard(&self, formats: &[PayloadFormat], rate: u32) -> Vec<i16> {
        let mut decoders: Vec<(u8, Box<dyn Decoder>, u32)> = formats
            .iter()
            .map(|format| {
                let entry = registry::find(&format.name, format.clock_rate_hz).unwrap();
                (
                    format.payload_type,
                    entry.decoder_at(&format.parameters, rate).unwrap(),
                    entry.clock_rate_hz,
                )
            })
            .collect();
        let first = self.got[0].timestamp;
        let mut heard = Vec::new();
        for got in &self.got {
            let Some((_, decoder, clock)) =
                decoders.iter_mut().find(|(payload_type, _, _)| *payload_type == got.payload_type)
            else {
                continue;
            };
            assert_eq!(decoder.sample_rate_hz(), rate);
            let place = u64::from(got.timestamp.wrapping_sub(first)) * u64::from(rate) / u64::from(*clock);
            heard.resize(heard.len().max(place as usize), 0);
            let mut samples = vec![0; decoder.max_samples(got.payload.len())];
            let length = decoder.decode(&got.payload, &mut samples).unwrap();
            heard.truncate(place as usize);
            heard.extend(&samples[..length]);
        }
        heard
    }

    fn assert_numbered(&self, what: &str) {
        for pair in self.got.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{what}");
        }
    }

    fn digits(&self, leg: LegId) -> String {
        let digit = |event: &Event| match event {
            Event::Digit { leg: told, digit, .. } if *told == leg => Some(*digit),
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }
}

fn encoder(format: &PayloadFormat) -> Box<dyn Encoder> {
    registry::find(&format.name, format.clock_rate_hz).unwrap().encoder(&format.parameters).unwrap()
}

fn pcma() -> PayloadFormat {
    PayloadFormat::pcma()
}

fn named(name: &str, payload_type: u8) -> PayloadFormat {
    let entry = registry::all().iter().find(|entry| entry.name == name).unwrap();
    format(entry, payload_type, "")
}

#[test]
fn every_codec_becomes_every_other() {
    // One of each kind; the rates of G.726 and L16 differ in tables only, and are all tried by `every_codec.rs`.
    let names = ["opus", "G722", "PCMU", "PCMA", "G729", "G726-32", "iLBC", "GSM", "L16"];
    let entries: Vec<_> =
        names.iter().filter_map(|name| registry::all().iter().find(|entry| entry.name == *name)).collect();
    for from in &entries {
        for to in &entries {
            let (own, other) = (format(from, 98, ""), format(to, 99, ""));
            let mut call = Call::new(plain(1, &[own]), plain(2, std::slice::from_ref(&other)));
            call.speak(&voice(from.sample_rate_hz, 0.8), 20, |_| true);
            let what = format!("{} to {}", from.name, to.name);
            call.assert_numbered(&what);
            let rate = encoder(&other).sample_rate_hz();
            let heard = call.heard(&[other], rate);
            let (like, lag) = likeness(&voice(rate, 0.8), &heard, rate, 80);
            let least = (least_likeness(from.name) + least_likeness(to.name) - 1.0).max(0.6);
            // Between rates the delay is no whole number of samples.
            let least = if from.sample_rate_hz == to.sample_rate_hz { least } else { least * 0.95 };
            assert!(like > least, "{what}: {like:.3}, {lag} late");
        }
    }
}

#[test]
fn packets_of_one_length_become_packets_of_another() {
    for (from, to, count) in [(60, 20, 48), (20, 60, 16), (30, 20, 49), (10, 40, 25)] {
        let g722 = named("G722", 9);
        let parameters = StreamParameters {
            packet_time: Duration::from_millis(to),
            ..plain(2, std::slice::from_ref(&g722))
        };
        let mut call = Call::new(plain(1, &[pcma()]), parameters);
        call.speak(&voice(8000, 1.0), from, |_| true);
        let ticks = 8 * to as u32;
        assert!(call.got.len().abs_diff(count) <= 1, "{from} to {to}: {}", call.got.len());
        for pair in call.got.windows(2) {
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(ticks), "{from} to {to}");
            assert_eq!(pair[1].payload.len() as u32, ticks);
        }
        call.assert_numbered("lengths");
    }
}

#[test]
fn what_was_lost_is_concealed_and_what_is_late_left_out() {
    let g729 = named("G729", 18);
    let mut call = Call::new(plain(1, std::slice::from_ref(&g729)), plain(2, &[pcma()]));
    let said = voice(8000, 2.0);
    call.speak(&said, 20, |number| number % 10 != 5);
    assert_eq!(call.got.len(), 100, "ten packets were lost, and a hundred went out");
    call.assert_numbered("losses");
    for pair in call.got.windows(2) {
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
    }
    let heard = call.heard(&[pcma()], 8000);
    let level = loudness(&heard) / loudness(&said);
    // G.729 comes back slowly from a loss, as its Recommendation has it.
    assert!((0.55..1.25).contains(&level), "{level}");
    // A packet whose time was concealed comes after all.
    call.sequence = call.sequence.wrapping_sub(3);
    call.send(18, false, call.timestamp.wrapping_sub(480), &[0; 20]);
    assert_eq!(call.got.len(), 100);
}

#[test]
fn a_long_gap_stays_a_gap() {
    let mut call = Call::new(plain(1, &[pcma()]), plain(2, &[named("GSM", 3)]));
    call.speak(&voice(8000, 1.0), 20, |number| !(20..40).contains(&number));
    assert_eq!(call.got.len(), 30);
    let gap = call.got[20].timestamp.wrapping_sub(call.got[19].timestamp);
    assert_eq!(gap, 21 * 160);
    assert!(call.got[20].marker, "a talk spurt begins");
    call.assert_numbered("gap");
}

#[test]
fn a_pause_that_one_side_describes_is_filled_for_the_other() {
    let g729 = format(registry::find("G729", 8000).unwrap(), 18, "annexb=yes");
    let mut call = Call::new(plain(1, std::slice::from_ref(&g729)), plain(2, &[pcma()]));
    let mut said = voice(8000, 1.0);
    said.extend(vec![3; 16_000]);
    said.extend(voice(8000, 1.0));
    call.speak(&said, 20, |_| true);
    // Fewer came in, and yet somebody who knows nothing of pauses hears no hole.
    let came = call.bridge.report(A).unwrap().counters.received;
    assert!(came < 150, "{came} packets for 4 s");
    assert!((195..=201).contains(&call.got.len()), "{} packets for 4 s", call.got.len());
    call.assert_numbered("pause");
    let heard = call.heard(&[pcma()], 8000);
    let (like, _) = likeness(&said[24_000..], &heard[24_000..], 8000, 60);
    assert!(like > 0.75, "the voice after the pause: {like:.3}");
    assert!(loudness(&heard[12_000..22_000]) < 60.0);

    // Comfort noise (RFC 3389) likewise; and it stops when nothing says any more that there is a pause.
    let noise = PayloadFormat::new(13, "CN", 8000);
    let mut call = Call::new(plain(1, &[pcma(), noise.clone()]), plain(2, &[named("GSM", 3)]));
    call.speak(&voice(8000, 0.5), 20, |_| true);
    call.send(13, false, call.timestamp, &[40, 127, 127]);
    call.pass(Duration::from_secs(60));
    let filled = call.got.len() - 25;
    assert!((1490..=1502).contains(&filled), "{filled}: half a minute");
    let heard = call.heard(&[named("GSM", 3)], 8000);
    let level = 20.0 * (loudness(&heard[16_000..80_000]) / 32_768.0).log10();
    assert!((level + 40.0).abs() < 3.0, "{level} dBov");
}

#[test]
fn it_passes_and_transcodes_by_turns_as_descriptions_change() {
    let g722 = named("G722", 9);
    let mut call = Call::new(plain(1, &[pcma()]), plain(2, &[pcma()]));
    let said = voice(8000, 3.0);
    call.speak(&said[..8000], 20, |_| true);
    call.configure(B, plain(2, std::slice::from_ref(&g722)));
    call.speak(&said[8000..16_000], 20, |_| true);
    call.configure(B, plain(2, &[pcma()]));
    call.speak(&said[16_000..], 20, |_| true);
    let types: Vec<(u8, usize)> = call
        .got
        .chunk_by(|a, b| a.payload_type == b.payload_type)
        .map(|run| (run[0].payload_type, run.len()))
        .collect();
    assert_eq!(types, [(8, 50), (9, 50), (8, 50)]);
    call.assert_numbered("changes");
    // No time is lost or won but for the sound that the resampler holds.
    for pair in call.got.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(step.abs_diff(160) <= 1, "{step}");
    }
    let (like, _) = likeness(&said[..8000], &call.heard(&[pcma()], 8000)[..8000], 8000, 40);
    assert!(like > 0.99);
}

#[test]
fn a_leg_with_two_codecs_is_passed_or_transcoded_packet_by_packet() {
    let g722 = named("G722", 9);
    let mut call = Call::new(plain(1, &[pcma(), g722.clone()]), plain(2, &[pcma()]));
    call.speak(&voice(8000, 0.4), 20, |_| true);
    (call.encoder, call.format) = (encoder(&g722), g722);
    call.speak(&voice(16_000, 0.4), 20, |_| true);
    assert_eq!(call.got.len(), 40);
    assert!(call.got.iter().all(|got| got.payload_type == 8 && got.payload.len() == 160));
    call.assert_numbered("two codecs");
}

/// A key as a telephone sends it by events.
fn event(call: &mut Call, code: u8) {
    let start = call.timestamp;
    for (number, duration) in [160u16, 320, 480, 640, 800, 800, 800].into_iter().enumerate() {
        let [high, low] = duration.to_be_bytes();
        let end = if number >= 4 { 0x80 } else { 0 };
        call.send(101, number == 0, start, &[code, end | 10, high, low]);
        call.pass(Duration::from_millis(20));
    }
    call.timestamp = start.wrapping_add(160 * 7);
}

fn detected(samples: &[i16]) -> String {
    let mut digits = String::new();
    Detector::new(8000).listen(samples, |event| {
        if let DtmfEvent::Begun { digit, .. } = event {
            digits.push(digit);
        }
    });
    digits
}

#[test]
fn events_become_tones_for_a_leg_without_events() {
    for codec in [pcma(), named("G722", 9), named("GSM", 3)] {
        let mut call = Call::new(plain(1, &[pcma()]), without_events(plain(2, std::slice::from_ref(&codec))));
        call.speak(&voice(8000, 0.4), 20, |_| true);
        for code in [5, 11, 0] {
            event(&mut call, code);
            call.pass(Duration::from_millis(300));
        }
        assert_eq!(call.digits(A), "5#0");
        assert!(call.got.iter().all(|got| got.payload_type == codec.payload_type));
        call.assert_numbered("tones");
        let rate = encoder(&codec).sample_rate_hz();
        let mut heard = call.heard(std::slice::from_ref(&codec), rate);
        if rate == 16_000 {
            heard = heard.into_iter().step_by(2).collect();
        }
        assert_eq!(detected(&heard), "5#0", "{}", codec.name);
    }
}

#[test]
fn tones_become_events_for_a_leg_with_events_and_are_not_heard_besides() {
    for to in [pcma(), named("G729", 18)] {
        let mut call = Call::new(without_events(plain(1, &[pcma()])), plain(2, std::slice::from_ref(&to)));
        let mut sound = voice(8000, 0.4);
        let mut keys = vec![0; 8000];
        Generator::new(&dial("83*", Sending { on_ms: 150, ..Sending::default() }), 8000).generate(&mut keys);
        sound.extend(keys);
        sound.extend(voice(8000, 0.4));
        call.speak(&sound, 20, |_| true);
        call.pass(Duration::from_secs(1));
        assert_eq!(call.digits(A), "83*");
        let keys: Vec<u8> = call
            .got
            .iter()
            .filter(|got| got.payload_type == 101 && got.marker)
            .map(|got| got.payload[0])
            .collect();
        assert_eq!(keys, [8, 3, 10]);
        let voice: Vec<Got> = call.got.drain(..).filter(|got| got.payload_type != 101).collect();
        call.got = voice;
        let heard = detected(&call.heard(std::slice::from_ref(&to), 8000));
        assert_eq!(heard, "", "the tones themselves end before anybody takes them for a key");
        call.speak(&voice_after(), 20, |_| true);
        assert!(call.got.len() > 20);
    }
}

fn voice_after() -> Vec<i16> {
    voice(8000, 0.4)
}

#[test]
fn keys_for_the_signalling_are_told_and_not_sent() {
    let signalled = StreamParameters { key_path: KeyPath::Signalling, ..plain(2, &[pcma()]) };
    let mut call = Call::new(plain(1, &[pcma()]), signalled);
    event(&mut call, 9);
    call.pass(Duration::from_secs(1));
    assert!(call.got.iter().all(|got| got.payload_type != 101));
    let told = |call: &Call| {
        let key = |event: &Event| match event {
            Event::KeyToSignal { leg: B, digit, .. } => Some(*digit),
            _ => None,
        };
        call.events.iter().filter_map(key).collect::<String>()
    };
    assert_eq!(told(&call), "9");
    // And a key that came by INFO goes out by what the leg takes.
    call.command(Command::SendDigits { leg: B, digits: "1".into() });
    assert_eq!(told(&call), "91");
    call.configure(B, plain(2, &[pcma()]));
    call.command(Command::SendDigits { leg: B, digits: "2".into() });
    call.pass(Duration::from_secs(1));
    let sent = call.got.iter().filter(|got| got.payload_type == 101 && got.marker).count();
    assert_eq!(sent, 1);
}

#[test]
fn events_of_another_clock_are_pressed_anew() {
    let other = StreamParameters {
        send_events: vec![denwa::media::EventFormat { payload_type: 102, clock_rate_hz: 16_000 }],
        ..plain(2, &[PayloadFormat::new(97, "L16", 16_000)])
    };
    let mut call = Call::new(plain(1, &[pcma()]), other);
    call.speak(&voice(8000, 0.2), 20, |_| true);
    event(&mut call, 6);
    call.pass(Duration::from_secs(1));
    let sent: Vec<u8> = call
        .got
        .iter()
        .filter(|got| got.payload_type == 102 && got.marker)
        .map(|got| got.payload[0])
        .collect();
    assert_eq!(sent, [6]);
}
