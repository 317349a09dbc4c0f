//! Two media sessions talk: descriptions, sound, digits, hold, keys, another codec; on virtual time, without a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa::Seed;
use denwa::media::{Action, Event, MediaConfig, MediaSession, Misuse, Output, Path};
use denwa_codecs::level::Level;
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PTIME: Duration = Duration::from_millis(20);

struct End {
    session: MediaSession,
    rtp: SocketAddr,
    events: Vec<Event>,
    heard: Vec<i16>,
    packets: Vec<Vec<u8>>,
}

struct Pair {
    ends: [End; 2],
    now: Instant,
}

fn end(host: u8, capability: Capability, now: Instant) -> End {
    let rtp = SocketAddr::from(([192, 0, 2, host], 4000));
    let rtcp = SocketAddr::from(([192, 0, 2, host], 4001));
    let config = MediaConfig::new(capability, rtp, rtcp, rtp, Duration::from_secs(1_700_000_000), now);
    let session = MediaSession::new(config, Seed([host; 32]), now);
    End { session, rtp, events: Vec::new(), heard: Vec::new(), packets: Vec::new() }
}

fn telephone(codecs: &[Codec]) -> Capability {
    Capability::telephone(codecs.iter().cloned())
}

impl Pair {
    fn new(a: Capability, b: Capability) -> Self {
        let now = Instant::now();
        Self { ends: [end(1, a, now), end(2, b, now)], now }
    }

    /// The end at `from` offers, the other answers.
    fn agree(&mut self, from: usize) -> (String, String) {
        let now = self.now;
        let offer = self.ends[from].session.offer().unwrap();
        let answer = self.ends[1 - from].session.answer(&offer, now).unwrap();
        self.ends[from].session.accept_answer(&answer, now).unwrap();
        (String::from_utf8(offer.to_vec()).unwrap(), String::from_utf8(answer.to_vec()).unwrap())
    }

    /// 20 ms pass: each end says its sound, everything arrives at once, each end hears 20 ms.
    fn step(&mut self, say: [&[i16]; 2]) {
        let now = self.now;
        for (index, sound) in say.into_iter().enumerate() {
            self.ends[index].session.say(sound);
            if self.ends[index].session.poll_timeout().is_some_and(|deadline| deadline <= now) {
                self.ends[index].session.handle_timeout(now);
            }
            self.deliver(index);
        }
        for end in &mut self.ends {
            let mut samples = [0; 160];
            end.session.hear(&mut samples, now);
            end.heard.extend(samples);
        }
        self.now += PTIME;
    }

    fn deliver(&mut self, index: usize) {
        let now = self.now;
        let mut buffer = [0; 2048];
        let mut datagrams = Vec::new();
        let end = &mut self.ends[index];
        while let Some(out) = end.session.next_packet(&mut buffer, now) {
            end.packets.push(buffer[..out.length].to_vec());
            datagrams.push((end.rtp, out.destination, buffer[..out.length].to_vec()));
        }
        while let Some(output) = end.session.poll_output() {
            match output {
                Output::Transmit { source, destination, payload } => {
                    datagrams.push((source, destination, payload.to_vec()));
                }
                Output::Event(event) => end.events.push(event),
                Output::Wire(wire) => panic!("{wire:?}"),
            }
        }
        let other = &mut self.ends[1 - index];
        for (source, destination, mut bytes) in datagrams {
            assert_eq!(destination.ip(), other.rtp.ip());
            let action = other.session.receive(&mut bytes, Path::from(source), now);
            assert!(!matches!(action, Action::Dropped(_)), "{action:?}");
        }
        while let Some(output) = other.session.poll_output() {
            if let Output::Event(event) = output {
                other.events.push(event);
            }
        }
    }

    /// `seconds` of a tone from end 0, silence from end 1.
    fn tone(&mut self, seconds: u32) {
        let mut generator = Generator::new(&Tone::steady(&[Sine::new(440.0, -10.0)]), 8000);
        for _ in 0..seconds * 50 {
            let mut sound = [0; 160];
            generator.generate(&mut sound);
            self.step([&sound, &[0; 160]]);
        }
    }

    fn clear(&mut self) {
        for end in &mut self.ends {
            end.heard.clear();
            end.events.clear();
            end.packets.clear();
        }
    }
}

fn level(samples: &[i16]) -> f64 {
    Level::of(samples).dbm0()
}

#[test]
fn sound_goes_from_one_to_the_other() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma(), Codec::pcmu()]));
    pair.agree(0);
    pair.tone(2);
    let heard = &pair.ends[1].heard[8000..];
    assert!((level(heard) + 10.0).abs() < 0.2, "{}", level(heard));
    assert!(level(&pair.ends[0].heard) < -60.0, "only silence comes back");
    let (from, expected) = (pair.ends[0].rtp, Some(pair.ends[0].rtp));
    assert_eq!(pair.ends[1].events[0], Event::FirstPacket { from, expected });
    assert_eq!(pair.ends[1].session.report().counters.received, 100);
    assert_eq!(pair.ends[0].session.report().codec, "PCMA/8000");
}

#[test]
fn sound_is_taken_in_pieces_of_any_length() {
    let mut pair = Pair::new(telephone(&[Codec::pcmu()]), telephone(&[Codec::pcmu()]));
    pair.agree(0);
    for _ in 0..100 {
        pair.ends[0].session.say(&[1000; 16]);
    }
    pair.deliver(0);
    assert_eq!(pair.ends[0].packets.len(), 10, "1600 samples are ten packets");
    pair.ends[0].session.say(&[0; 100_000]);
    pair.deliver(0);
    assert_eq!(pair.ends[0].packets.len(), 20, "what is older than 200 ms has gone");
}

#[test]
fn nothing_in_common_is_one_sentence() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcmu()]));
    let offer = pair.ends[0].session.offer().unwrap();
    let error = pair.ends[1].session.answer(&offer, pair.now).unwrap_err();
    assert_eq!(error.status(), 488);
    let sentence = error.to_string();
    assert!(sentence.contains("PCMA") && sentence.contains("PCMU"), "{sentence}");
    let mismatch = pair.ends[0].session.refused(None, Some(&sentence)).unwrap();
    assert_eq!(mismatch.status(), 488);
    assert!(pair.ends[0].session.offer().is_ok(), "it may try again");
}

#[test]
fn keys_are_pressed_heard_and_refused_when_none() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma()]));
    assert_eq!(pair.ends[0].session.press("1", pair.now), Err(Misuse::NoEvents));
    pair.agree(0);
    pair.ends[0].session.press("17#", pair.now).unwrap();
    pair.tone(2);
    let digits: String = pair.ends[1]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Digit { digit, .. } => Some(*digit),
            _ => None,
        })
        .collect();
    assert_eq!(digits, "17#");
    assert_eq!(pair.ends[0].session.press("1x", pair.now), Err(Misuse::NotADigit('x')));
}

#[test]
fn hold_and_resume_by_new_offers() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma()]));
    pair.agree(0);
    pair.tone(1);
    pair.clear();
    pair.ends[1].session.hold();
    let (offer, answer) = pair.agree(1);
    assert!(offer.contains("a=sendonly") && answer.contains("a=recvonly"), "{offer}{answer}");
    pair.tone(1);
    assert_eq!(pair.ends[0].packets.len(), 0, "held: nothing is sent");
    assert!(pair.ends[0].events.contains(&Event::DirectionChanged { sends: false, receives: true }));
    pair.ends[1].session.resume();
    pair.agree(1);
    pair.clear();
    pair.tone(2);
    assert!((level(&pair.ends[1].heard[8000..]) + 10.0).abs() < 0.2);
}

#[test]
fn another_codec_by_a_new_offer_without_a_gap() {
    let both = telephone(&[Codec::pcma(), Codec::pcmu()]);
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), both);
    pair.agree(0);
    pair.tone(1);
    pair.clear();
    pair.ends[0].session.set_capability(telephone(&[Codec::pcmu()]));
    pair.agree(0);
    pair.tone(1);
    assert!(pair.ends[0].events.contains(&Event::CodecChanged { codec: "PCMU/8000".into() }));
    assert_eq!(pair.ends[0].packets[0][1] & 0x7f, 0, "PCMU");
    assert!((level(&pair.ends[1].heard) + 10.0).abs() < 0.5, "{}", level(&pair.ends[1].heard));
}

#[test]
fn protected_media_are_unreadable_on_the_wire_and_heard_at_the_end() {
    let secret =
        || telephone(&[Codec::pcma()]).with_encryption(EncryptionCapability::sdes(Encryption::Required));
    let mut pair = Pair::new(secret(), secret());
    let (offer, _) = pair.agree(0);
    assert!(offer.contains("RTP/SAVP") && offer.contains("a=crypto:"), "{offer}");
    pair.tone(2);
    assert_eq!(pair.ends[0].packets[0].len(), 12 + 160 + 10);
    assert!((level(&pair.ends[1].heard[8000..]) + 10.0).abs() < 0.2);
    // Hold keeps the keys and the counters.
    pair.ends[0].session.hold();
    pair.agree(0);
    pair.ends[0].session.resume();
    pair.agree(0);
    pair.clear();
    pair.tone(1);
    assert!((level(&pair.ends[1].heard[4000..]) + 10.0).abs() < 0.2);
}

#[test]
fn mute_sends_silence_and_keeps_the_way_open() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma()]));
    pair.agree(0);
    pair.ends[0].session.mute(true);
    pair.tone(1);
    assert_eq!(pair.ends[0].packets.len(), 50);
    assert!(level(&pair.ends[1].heard) < -60.0);
}

#[test]
fn leaving_says_goodbye() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma()]));
    pair.agree(0);
    pair.tone(1);
    pair.ends[0].session.leave(pair.now);
    let last = pair.ends[0].session.poll_output().unwrap();
    let Output::Transmit { source, destination, payload } = last else { panic!("{last:?}") };
    assert_eq!((source.port(), destination.port()), (4001, 4001));
    assert!(payload.windows(2).any(|pair| pair[1] == 203), "an RTCP BYE");
}

#[test]
fn the_peers_silence_is_told() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma()]));
    pair.agree(0);
    pair.tone(1);
    pair.clear();
    for _ in 0..40 * 50 {
        let now = pair.now;
        let session = &mut pair.ends[1].session;
        session.say(&[0; 160]);
        if session.poll_timeout().is_some_and(|deadline| deadline <= now) {
            session.handle_timeout(now);
        }
        pair.deliver(1);
        pair.now += PTIME;
    }
    let silences = pair.ends[1].events.iter().filter(|event| matches!(event, Event::Silent { .. })).count();
    assert_eq!(silences, 1);
}

#[test]
fn packets_go_to_a_second_address_only_until_media_arrive() {
    let mut pair = Pair::new(telephone(&[Codec::pcma()]), telephone(&[Codec::pcma()]));
    pair.agree(0);
    let elsewhere: SocketAddr = "192.0.2.2:9".parse().unwrap();
    pair.ends[0].session.send_also_to(Some(elsewhere));
    let mut buffer = [0; 2048];
    let now = pair.now;
    let mut next = |pair: &mut Pair| {
        pair.ends[0].session.say(&[100; 160]);
        let out = pair.ends[0].session.next_packet(&mut buffer, now).unwrap();
        (out.destination, out.also)
    };
    let described = pair.ends[1].rtp;
    assert_eq!(next(&mut pair), (described, Some(elsewhere)));
    assert_eq!(next(&mut pair), (described, Some(elsewhere)));
    // The media server that was described answers: the signalling's host is left in peace from now on.
    pair.ends[1].session.say(&[100; 160]);
    pair.deliver(1);
    assert_eq!(next(&mut pair), (described, None));
}
