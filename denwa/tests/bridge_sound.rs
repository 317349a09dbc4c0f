//! What a bridge does with sound: programmes, announcements, recordings, conferences, keys as tones. On virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exchange;

use denwa::bridge::{
    Command, ConferenceId, Connection, Event, LegId, Misuse, Piece, Program, RecordingEnd, RecordingId,
    RecordingSpec, Sides, Sound, Source,
};
use denwa::media::{PayloadFormat, StreamParameters};
use denwa_codecs::g711::Law;
use denwa_codecs::level::Level;
use denwa_codecs::tone::dtmf;
use denwa_codecs::tone::plan::Plan;
use exchange::{Exchange, Heard, PTIME, Phone};
use std::time::Duration;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const C: LegId = LegId(3);
const D: LegId = LegId(4);
const ROOM: Connection = Connection::Conference(ConferenceId(160));

/// A telephone of one law that says a sine and keeps what it hears.
struct Talker {
    phone: Phone,
    law: Law,
    frequency_hz: f64,
    amplitude: f64,
    said: usize,
    heard: Vec<i16>,
    packets: Vec<Heard>,
}

impl Talker {
    fn new(exchange: &mut Exchange, leg: LegId, law: Law, frequency_hz: f64) -> Self {
        let phone = Phone::new(leg, &format!("192.0.2.{}:4000", leg.0));
        let format = if law == Law::Mu { PayloadFormat::pcmu() } else { PayloadFormat::pcma() };
        exchange.leg(leg, StreamParameters::plain(phone.address, &[format]));
        let (said, heard, packets) = (0, Vec::new(), Vec::new());
        Self { phone, law, frequency_hz, amplitude: 4000.0, said, heard, packets }
    }

    fn payload_type(&self) -> u8 {
        if self.law == Law::Mu { 0 } else { 8 }
    }

    fn next_frame(&mut self) -> Vec<u8> {
        let first = self.said;
        self.said += 160;
        (first..first + 160)
            .map(|n| {
                let angle = n as f64 * self.frequency_hz * std::f64::consts::TAU / 8000.0;
                self.law.encode((angle.sin() * self.amplitude) as i16)
            })
            .collect()
    }

    fn hear(&mut self, heard: Heard) {
        self.heard.extend(heard.payload.iter().map(|code| self.law.decode(*code)));
        self.packets.push(heard);
    }
}

/// Everybody talks for so many packets' time; gives the events.
fn talk(exchange: &mut Exchange, talkers: &mut [&mut Talker], packets: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..packets {
        let mut arrived = Vec::new();
        for talker in talkers.iter_mut() {
            if talker.amplitude > 0.0 {
                let (payload_type, frame) = (talker.payload_type(), talker.next_frame());
                arrived.extend(exchange.hear(&mut talker.phone, payload_type, &frame));
            }
        }
        events.extend(exchange.events());
        let (played, told) = exchange.pass(PTIME);
        events.extend(told);
        for heard in arrived.into_iter().chain(played.into_iter().map(|(_, heard)| heard)) {
            let talker = talkers.iter_mut().find(|talker| talker.phone.leg == heard.leg).unwrap();
            talker.hear(heard);
        }
    }
    events
}

/// The amplitude of a sine in the last `count` samples.
fn amplitude(samples: &[i16], count: usize, frequency_hz: f64) -> f64 {
    let samples = &samples[samples.len() - count..];
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = n as f64 * frequency_hz * std::f64::consts::TAU / 8000.0;
        sine += f64::from(*sample) * angle.sin();
        cosine += f64::from(*sample) * angle.cos();
    }
    2.0 * (sine * sine + cosine * cosine).sqrt() / count as f64
}

fn ramp(from: i16, count: i16) -> Piece {
    Piece::Sound(Sound::new((from..from + count).map(|n| n * 8).collect::<Vec<i16>>(), 8000))
}

fn play(leg: LegId, program: Program) -> Command {
    Command::Connect { leg, to: Connection::Source(Source::Program(program)) }
}

fn decode(packets: &[(Duration, Heard)], law: Law) -> Vec<i16> {
    packets.iter().flat_map(|(_, heard)| heard.payload.iter().map(|code| law.decode(*code))).collect()
}

#[test]
fn a_prompt_is_played_once_and_its_end_is_told() {
    let mut exchange = Exchange::new();
    let alice = Talker::new(&mut exchange, A, Law::A, 0.0);
    exchange.command(play(A, Program::new([ramp(0, 400), Piece::Pause(Duration::from_millis(10))])));
    let (played, events) = exchange.pass(Duration::from_secs(1));
    // 400 samples and 80 of silence: three packets, at once and then every 20 ms.
    assert_eq!(played.iter().map(|(at, _)| at.as_millis()).collect::<Vec<_>>(), [0, 20, 40]);
    let expected: Vec<i16> = (0..400).map(|n| Law::A.decode(Law::A.encode(n * 8))).chain([8; 80]).collect();
    assert_eq!(decode(&played, alice.law), expected);
    assert_eq!(events, [Event::Played { leg: A, announcement: false }]);
    let (played, events) = exchange.pass(Duration::from_secs(1));
    assert_eq!((played.len(), events.len()), (0, 0), "joined to nothing");
}

#[test]
fn a_cadence_is_heard_as_the_plan_says() {
    let mut exchange = Exchange::new();
    Talker::new(&mut exchange, A, Law::Mu, 0.0);
    exchange.command(play(A, Program::tone(Plan::japan().ring_back)));
    let (played, events) = exchange.pass(Duration::from_millis(5990));
    assert_eq!((played.len(), events.len()), (300, 0));
    let loud: Vec<bool> =
        decode(&played, Law::Mu).chunks(8000 / 2).map(|half| Level::of(half).dbov() > -40.0).collect();
    let (on, off) = ([true; 2], [false; 4]);
    assert_eq!(loud, [&on[..], &off, &on, &off].concat(), "a second on, two off");
}

#[test]
fn an_announcement_is_heard_over_a_call_which_comes_back_after() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 440.0);
    let mut bob = Talker::new(&mut exchange, B, Law::A, 620.0);
    exchange.join(A, Connection::Leg(B));
    talk(&mut exchange, &mut [&mut alice, &mut bob], 10);
    let beep = Sound::new(vec![12_000; 1600], 8000);
    exchange.command(Command::Announce { leg: B, program: Program::of(beep) });
    let events = talk(&mut exchange, &mut [&mut alice, &mut bob], 10);
    assert_eq!(events, [Event::Played { leg: B, announcement: true }]);
    let beep = Law::A.decode(Law::A.encode(12_000));
    let heard = &bob.heard[bob.heard.len() - 1600..];
    assert!(heard.iter().filter(|sample| **sample == beep).count() >= 1440, "only the beep");
    assert!(amplitude(&alice.heard, 1600, 620.0) > 3800.0, "the other way is not touched");
    talk(&mut exchange, &mut [&mut alice, &mut bob], 10);
    assert!(amplitude(&bob.heard, 1280, 440.0) > 3800.0, "alice is heard again");
    let numbers: Vec<u16> = bob.packets.iter().map(|heard| heard.sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
}

#[test]
fn announcements_take_one_anothers_place_and_an_empty_one_ends_them() {
    let mut exchange = Exchange::new();
    Talker::new(&mut exchange, A, Law::A, 0.0);
    let long = |value| Program::of(Sound::new(vec![value; 8000], 8000));
    exchange.command(Command::Announce { leg: A, program: long(1000) });
    exchange.pass(Duration::from_millis(90));
    exchange.command(Command::Announce { leg: A, program: long(9000) });
    let (played, _) = exchange.pass(Duration::from_millis(100));
    assert!(decode(&played, Law::A).iter().all(|sample| *sample > 8000));
    exchange.command(Command::Announce { leg: A, program: Program::new([]) });
    let (played, events) = exchange.pass(Duration::from_secs(2));
    assert_eq!((played.len(), events.len()), (0, 0));
}

#[test]
fn music_on_hold_is_the_same_for_all_who_wait() {
    let mut exchange = Exchange::new();
    let samples: Vec<i16> = (0..16_000).map(|n| (n % 4000) as i16 * 8).collect();
    let music = Program::of(Sound::new(samples, 8000)).running();
    Talker::new(&mut exchange, A, Law::A, 0.0);
    Talker::new(&mut exchange, B, Law::A, 0.0);
    exchange.command(play(A, music.clone()));
    exchange.pass(Duration::from_millis(3100));
    exchange.command(play(B, music));
    let (played, _) = exchange.pass(Duration::from_millis(500));
    let to = |leg| played.iter().filter(move |(_, heard)| heard.leg == leg).map(|(_, heard)| &heard.payload);
    // The second one's first packet is the one that the first one had just heard.
    assert_eq!((to(A).count(), to(B).count()), (25, 26));
    assert!(to(A).eq(to(B).skip(1)), "the second hears what the first hears");
}

#[test]
fn a_prompt_waits_while_we_may_not_send() {
    let mut exchange = Exchange::new();
    let alice = Talker::new(&mut exchange, A, Law::A, 0.0);
    let agreed = StreamParameters::plain(alice.phone.address, &[PayloadFormat::pcma()]);
    exchange.command(play(A, Program::new([ramp(0, 480)])));
    let (before, _) = exchange.pass(Duration::from_millis(19));
    let configure =
        |sends| Command::Configure { leg: A, stream: Box::new(StreamParameters { sends, ..agreed.clone() }) };
    exchange.command(configure(false));
    assert_eq!(exchange.pass(Duration::from_secs(5)), (vec![], vec![]));
    exchange.command(configure(true));
    let (after, events) = exchange.pass(Duration::from_millis(100));
    assert_eq!((before.len(), after.len()), (1, 2));
    assert_eq!(after[0].1.payload[0], Law::A.encode(160 * 8), "it goes on where it was");
    assert_eq!(events, [Event::Played { leg: A, announcement: false }]);
}

fn record(leg: LegId, id: u64, spec: RecordingSpec) -> Command {
    Command::Record { leg, recording: RecordingId(id), spec }
}

/// What a recording gave, and how it ended.
fn recorded(events: &[Event], id: u64) -> (Vec<i16>, Vec<(Duration, RecordingEnd)>) {
    let (mut samples, mut ends) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Recorded { recording, samples: chunk, .. } if recording.0 == id => {
                assert!(ends.is_empty(), "nothing comes after the end");
                samples.extend_from_slice(chunk.samples());
            }
            Event::RecordingEnded { recording, lasted, reason, .. } if recording.0 == id => {
                ends.push((*lasted, *reason));
            }
            _ => {}
        }
    }
    (samples, ends)
}

#[test]
fn both_sides_of_a_call_are_recorded() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 440.0);
    let mut bob = Talker::new(&mut exchange, B, Law::Mu, 620.0);
    exchange.join(A, Connection::Leg(B));
    exchange.command(record(A, 1, RecordingSpec::new(Sides::Stereo)));
    exchange.command(record(A, 2, RecordingSpec::new(Sides::Mixed)));
    exchange.command(record(B, 1, RecordingSpec::new(Sides::Peer)));
    let mut events = talk(&mut exchange, &mut [&mut alice, &mut bob], 200);
    events.extend(exchange.command(Command::StopRecording { leg: A, recording: RecordingId(1) }));
    events.extend(exchange.command(Command::StopRecording { leg: A, recording: RecordingId(2) }));
    let of = |leg| events.iter().filter(|event| event.leg() == leg).cloned().collect::<Vec<_>>();
    let (stereo, ends) = recorded(&of(A), 1);
    assert_eq!(ends, [(Duration::from_secs(4), RecordingEnd::Stopped)]);
    assert_eq!(stereo.len(), 64_000);
    let channel = |n: usize| stereo.iter().skip(n).step_by(2).copied().collect::<Vec<i16>>();
    let (said, heard) = (channel(0), channel(1));
    assert!(amplitude(&said, 16_000, 440.0) > 3900.0 && amplitude(&said, 16_000, 620.0) < 60.0);
    assert!(amplitude(&heard, 16_000, 620.0) > 3900.0 && amplitude(&heard, 16_000, 440.0) < 60.0);
    let (mixed, _) = recorded(&of(A), 2);
    assert!(amplitude(&mixed, 16_000, 440.0) > 3900.0 && amplitude(&mixed, 16_000, 620.0) > 3900.0);
    let (only, _) = recorded(&of(B), 1);
    assert!(amplitude(&only, 16_000, 620.0) > 3900.0 && amplitude(&only, 16_000, 440.0) < 60.0);
    assert_eq!(
        exchange.bridge.command(record(B, 1, RecordingSpec::new(Sides::Peer)), exchange.now),
        Err(Misuse::RecordingExists(RecordingId(1)))
    );
    assert_eq!(
        exchange.bridge.command(Command::StopRecording { leg: A, recording: RecordingId(1) }, exchange.now),
        Err(Misuse::UnknownRecording(RecordingId(1)))
    );
}

#[test]
fn a_message_ends_by_its_limit_by_silence_or_with_the_call() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 440.0);
    exchange.join(A, Connection::Source(Source::Silence));
    let mut limited = RecordingSpec::new(Sides::Peer);
    limited.limit = Some(Duration::from_millis(1500));
    let mut until_silence = RecordingSpec::new(Sides::Peer);
    until_silence.silence = Some(Duration::from_secs(2));
    exchange.command(record(A, 1, limited));
    exchange.command(record(A, 2, until_silence));
    exchange.command(record(A, 3, RecordingSpec::new(Sides::Peer)));
    let mut events = talk(&mut exchange, &mut [&mut alice], 100);
    alice.amplitude = 0.0;
    events.extend(talk(&mut exchange, &mut [&mut alice], 200));
    events.extend(exchange.command(Command::Close { leg: A }));
    let (samples, ends) = recorded(&events, 1);
    assert_eq!((samples.len(), ends), (12_000, vec![(Duration::from_millis(1500), RecordingEnd::Limit)]));
    let (samples, ends) = recorded(&events, 2);
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].1, RecordingEnd::Silence);
    assert!(ends[0].0 > Duration::from_secs(4) && ends[0].0 < Duration::from_millis(4600), "{ends:?}");
    assert_eq!(samples.len() as u128, ends[0].0.as_millis() * 8);
    let (samples, ends) = recorded(&events, 3);
    assert_eq!((samples.len(), ends), (48_000, vec![(Duration::from_secs(6), RecordingEnd::LegClosed)]));
}

#[test]
fn prompts_and_echoes_are_heard_in_recordings() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 440.0);
    exchange.command(record(A, 1, RecordingSpec::new(Sides::Hears)));
    exchange.command(play(A, Program::of(Sound::new(vec![8000; 1600], 8000))));
    let mut events = talk(&mut exchange, &mut [&mut alice], 10);
    exchange.join(A, Connection::Source(Source::Echo));
    events.extend(talk(&mut exchange, &mut [&mut alice], 100));
    events.extend(exchange.command(Command::StopRecording { leg: A, recording: RecordingId(1) }));
    let (samples, _) = recorded(&events, 1);
    assert!(samples.iter().filter(|sample| **sample > 7800).count() >= 1440);
    assert!(amplitude(&samples, 8000, 440.0) > 3900.0);
}

#[test]
fn in_a_conference_everybody_hears_all_but_himself() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 440.0);
    let mut bob = Talker::new(&mut exchange, B, Law::Mu, 620.0);
    let mut carol = Talker::new(&mut exchange, C, Law::Mu, 850.0);
    let mut david = Talker::new(&mut exchange, D, Law::A, 0.0);
    david.amplitude = 0.0;
    for leg in [A, B, C, D] {
        exchange.join(leg, ROOM);
    }
    let events = talk(&mut exchange, &mut [&mut alice, &mut bob, &mut carol, &mut david], 100);
    for (listener, own) in [(&alice, 440.0), (&bob, 620.0), (&carol, 850.0), (&david, 0.0)] {
        for frequency in [440.0, 620.0, 850.0] {
            let heard = amplitude(&listener.heard, 8000, frequency);
            let expected = if frequency == own { 0.0..60.0 } else { 3850.0..4150.0 };
            assert!(expected.contains(&heard), "{own} hears {frequency} at {heard}");
        }
    }
    let talking: Vec<LegId> = events
        .iter()
        .filter_map(|event| match event {
            Event::Talking { leg, talking: true } => Some(*leg),
            _ => None,
        })
        .collect();
    assert_eq!(talking, [A, B, C], "and it is told who talks");
    assert!(alice.packets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)
        && pair[1].timestamp == pair[0].timestamp.wrapping_add(160)));
}

#[test]
fn the_muted_are_not_heard_and_who_leaves_is_gone() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 440.0);
    let mut bob = Talker::new(&mut exchange, B, Law::Mu, 620.0);
    let mut carol = Talker::new(&mut exchange, C, Law::Mu, 850.0);
    for leg in [A, B, C] {
        exchange.join(leg, ROOM);
    }
    exchange.command(Command::Mute { leg: B, muted: true });
    talk(&mut exchange, &mut [&mut alice, &mut bob, &mut carol], 100);
    assert!(amplitude(&alice.heard, 8000, 620.0) < 60.0 && amplitude(&alice.heard, 8000, 850.0) > 3800.0);
    assert!(amplitude(&bob.heard, 8000, 440.0) > 3800.0, "the muted hears");
    exchange.command(Command::Mute { leg: B, muted: false });
    exchange.join(C, Connection::Nothing);
    talk(&mut exchange, &mut [&mut alice, &mut bob, &mut carol], 100);
    assert!(amplitude(&alice.heard, 8000, 620.0) > 3800.0 && amplitude(&alice.heard, 8000, 850.0) < 60.0);
    // Two who talk alone again.
    exchange.join(A, Connection::Leg(B));
    talk(&mut exchange, &mut [&mut alice, &mut bob, &mut carol], 50);
    assert!(amplitude(&alice.heard, 6400, 620.0) > 3800.0);
    // Nothing beats any more where nobody is.
    let next = exchange.bridge.poll_timeout().unwrap();
    assert!(next > exchange.now + Duration::from_millis(100), "{:?}", next - exchange.now);
}

#[test]
fn keys_are_heard_in_the_sound_and_sent_as_tones_where_no_events_were_agreed() {
    let mut exchange = Exchange::new();
    let mut alice = Talker::new(&mut exchange, A, Law::A, 0.0);
    let without = StreamParameters {
        send_events: vec![],
        receive_events: vec![],
        ..StreamParameters::plain(alice.phone.address, &[PayloadFormat::pcma()])
    };
    exchange.command(Command::Configure { leg: A, stream: Box::new(without.clone()) });
    exchange.command(Command::Detect { leg: A, in_band_digits: true });
    let tone = dtmf::dial("42#", dtmf::Sending::default());
    let mut samples = vec![0; 8000];
    denwa_codecs::tone::Generator::new(&tone, 8000).generate(&mut samples);
    let mut digits = String::new();
    for frame in samples.chunks(160) {
        let payload: Vec<u8> = frame.iter().map(|sample| Law::A.encode(*sample)).collect();
        exchange.hear(&mut alice.phone, 8, &payload);
        for event in exchange.pass(PTIME).1 {
            if let Event::Digit { digit, duration, .. } = event {
                assert!((80..=120).contains(&duration.as_millis()), "{duration:?}");
                digits.push(digit);
            }
        }
    }
    assert_eq!(digits, "42#");

    let send = |digits: &str| Command::SendDigits { leg: A, digits: digits.into() };
    exchange.command(send("1"));
    exchange.command(send("9D"));
    let (played, _) = exchange.pass(Duration::from_secs(1));
    let mut detector = dtmf::Detector::new(8000);
    let mut heard = String::new();
    detector.listen(&decode(&played, Law::A), |event| {
        if let dtmf::DtmfEvent::Begun { digit, .. } = event {
            heard.push(digit);
        }
    });
    assert_eq!(heard, "19D");
    assert_eq!(exchange.bridge.command(send("1x"), exchange.now), Err(Misuse::NotADigit('x')));
    alice.heard.clear();
}
