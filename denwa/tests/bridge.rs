//! Two legs joined, sources, digits, hold and transfer, packet by packet on virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exchange;

use denwa::bridge::{
    Action, Command, Component, Connection, Event, Input, LegId, Misuse, OpenFailure, Output, Path, Source,
};
use denwa::media::{PayloadFormat, StreamParameters};
use denwa_codecs::g711::Law;
use denwa_codecs::level::Level;
use denwa_rtp::rtcp::Compound;
use exchange::{Exchange, PTIME, Phone, socket, spec};
use std::net::SocketAddr;
use std::time::Duration;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const C: LegId = LegId(3);

/// Two phones of one law each, in a call.
fn call(a: &[PayloadFormat], b: &[PayloadFormat]) -> (Exchange, Phone, Phone) {
    let mut exchange = Exchange::new();
    let (alice, bob) = (Phone::new(A, "192.0.2.1:4000"), Phone::new(B, "192.0.2.2:5000"));
    exchange.leg(A, StreamParameters::plain(alice.address, a));
    exchange.leg(B, StreamParameters::plain(bob.address, b));
    exchange.join(A, Connection::Leg(B));
    (exchange, alice, bob)
}

#[test]
fn both_hear_one_another_and_first_packets_are_told_once() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    let first = exchange.hear(&mut alice, 8, &[0x11; 160]).unwrap();
    assert_eq!((first.leg, first.to, first.payload_type), (B, bob.address, 8));
    assert_eq!(first.payload, [0x11; 160]);
    assert_ne!(first.ssrc, alice.ssrc, "each leg has a source of its own");
    let (from, expected) = (alice.address, Some(alice.address));
    assert_eq!(exchange.events(), [Event::FirstPacket { leg: A, from, expected }]);
    exchange.now += PTIME;
    let second = exchange.hear(&mut alice, 8, &[0x22; 160]).unwrap();
    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
    let back = exchange.hear(&mut bob, 8, &[0x33; 160]).unwrap();
    assert_eq!((back.leg, back.to, back.payload), (A, alice.address, vec![0x33; 160]));
    assert_eq!(exchange.events().len(), 1, "bob's first packet");
}

#[test]
fn payload_types_are_each_sides_own() {
    let own = [PayloadFormat::new(102, "iLBC", 8000)];
    let other = [PayloadFormat::new(97, "iLBC", 8000)];
    let (mut exchange, mut alice, mut bob) = call(&own, &other);
    assert_eq!(exchange.hear(&mut alice, 102, &[1; 38]).unwrap().payload_type, 97);
    assert_eq!(exchange.hear(&mut bob, 97, &[2; 38]).unwrap().payload_type, 102);
    assert_eq!(exchange.hear(&mut bob, 8, &[2; 160]), None, "nobody agreed on PCMA");
}

#[test]
fn mu_law_and_a_law_understand_one_another() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcmu()], &[PayloadFormat::pcma()]);
    let samples: Vec<i16> = (0..160).map(|n| ((f64::from(n) * 0.3).sin() * 12_000.0) as i16).collect();
    let mu: Vec<u8> = samples.iter().map(|sample| Law::Mu.encode(*sample)).collect();
    let out = exchange.hear(&mut alice, 0, &mu).unwrap();
    assert_eq!((out.payload_type, out.payload.len()), (8, 160));
    for (sample, code) in samples.iter().zip(&out.payload) {
        let got = Law::A.decode(*code);
        assert!(
            (i32::from(*sample) - i32::from(got)).abs() <= i32::from(*sample).abs() / 12 + 40,
            "{sample} {got}"
        );
    }
    assert_eq!(exchange.hear(&mut bob, 8, &[Law::A.silence(); 160]).unwrap().payload_type, 0);
}

#[test]
fn codecs_that_cannot_meet_are_told() {
    let mut exchange = Exchange::new();
    exchange
        .leg(A, StreamParameters::plain(socket("192.0.2.1:4000"), &[PayloadFormat::new(98, "speex", 8000)]));
    exchange.leg(B, StreamParameters::plain(socket("192.0.2.2:4000"), &[PayloadFormat::pcma()]));
    let told = exchange.command(Command::Connect { leg: A, to: Connection::Leg(B) });
    let (speex, pcma) = ("speex/8000".to_owned(), "PCMA/8000".to_owned());
    assert_eq!(
        told,
        [
            Event::NoConversion { leg: B, from: speex.clone(), to: pcma.clone() },
            Event::NoConversion { leg: A, from: pcma, to: speex },
        ]
    );
}

#[test]
fn the_echo_answers_whoever_speaks() {
    let mut exchange = Exchange::new();
    let mut alice = Phone::new(A, "192.0.2.1:4000");
    exchange.leg(A, StreamParameters::plain(alice.address, &[PayloadFormat::pcmu(), PayloadFormat::pcma()]));
    exchange.join(A, Connection::Source(Source::Echo));
    for payload_type in [0, 8, 0] {
        let back = exchange.hear(&mut alice, payload_type, &[0x42; 160]).unwrap();
        assert_eq!((back.leg, back.to, back.payload_type), (A, alice.address, payload_type));
        assert_eq!(back.payload, [0x42; 160]);
    }
}

#[test]
fn the_milliwatt_is_zero_dbm0_on_the_beat() {
    let mut exchange = Exchange::new();
    exchange.leg(A, StreamParameters::plain(socket("192.0.2.1:4000"), &[PayloadFormat::pcma()]));
    exchange.join(A, Connection::Source(Source::MILLIWATT));
    let (played, _) = exchange.pass(Duration::from_millis(990));
    assert_eq!(played.len(), 50);
    assert!(played[0].1.marker && played[1..].iter().all(|(_, heard)| !heard.marker));
    let mut samples = Vec::new();
    for (index, (at, heard)) in played.iter().enumerate() {
        assert_eq!(*at, PTIME * index as u32);
        assert_eq!(heard.sequence, played[0].1.sequence.wrapping_add(index as u16));
        assert_eq!(heard.timestamp, played[0].1.timestamp.wrapping_add(160 * index as u32));
        samples.extend(heard.payload.iter().map(|code| Law::A.decode(*code)));
    }
    assert!(Level::of(&samples).dbm0().abs() < 0.05, "{}", Level::of(&samples).dbm0());
}

#[test]
fn a_driver_that_wakes_late_skips_the_missed_beats() {
    let mut exchange = Exchange::new();
    exchange.leg(A, StreamParameters::plain(socket("192.0.2.1:4000"), &[PayloadFormat::pcma()]));
    exchange.join(A, Connection::Source(Source::MILLIWATT));
    exchange.pass(Duration::ZERO);
    exchange.now += Duration::from_millis(105);
    let (played, _) = exchange.pass(Duration::from_millis(15));
    let at: Vec<u128> = played.iter().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(at, [0, 15], "one at once, and then on the old beat");
}

#[test]
fn a_key_is_told_once_and_passes_on() {
    let (mut exchange, mut alice, _) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    exchange.hear(&mut alice, 8, &[0; 160]);
    exchange.events();
    let mut told = Vec::new();
    let start = alice.timestamp + 160;
    for (index, duration) in [160u16, 320, 480, 640, 640, 640].into_iter().enumerate() {
        let end = index >= 3;
        let [high, low] = duration.to_be_bytes();
        alice.timestamp = start - 160;
        let packet = alice.packet(101, index == 0, &[5, if end { 0x8a } else { 0x0a }, high, low]);
        let out = exchange.receive(A, alice.address, &packet).unwrap();
        assert_eq!((out.leg, out.payload_type), (B, 101));
        told.extend(exchange.events());
        exchange.now += PTIME;
    }
    assert_eq!(told, [Event::Digit { leg: A, digit: '5', duration: Duration::from_millis(80) }]);
}

#[test]
fn a_key_whose_end_was_lost_ends_by_itself() {
    let (mut exchange, mut alice, _) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    let packet = alice.packet(101, true, &[11, 0x0a, 0, 160]);
    exchange.receive(A, alice.address, &packet);
    exchange.events();
    let (_, told) = exchange.pass(Duration::from_secs(1));
    assert!(matches!(told.as_slice(), [Event::Digit { leg: A, digit: '#', .. }]), "{told:?}");
}

#[test]
fn keys_can_be_pressed_for_a_leg_and_voice_waits() {
    let (mut exchange, mut alice, _) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    exchange.command(Command::SendDigits { leg: B, digits: "17".into() });
    assert_eq!(exchange.hear(&mut alice, 8, &[0; 160]), None, "not while keys are pressed");
    let (played, _) = exchange.pass(Duration::from_secs(1));
    let keys: Vec<u8> =
        played.iter().filter(|(_, heard)| heard.marker).map(|(_, heard)| heard.payload[0]).collect();
    assert_eq!(keys, [1, 7]);
    assert!(played.iter().all(|(_, heard)| heard.leg == B && heard.payload_type == 101));
    let ends = played.iter().filter(|(_, heard)| heard.payload[1] & 0x80 != 0).count();
    assert_eq!(ends, 6, "each end is told three times");
    assert!(exchange.hear(&mut alice, 8, &[0; 160]).is_some());
    let misuse = exchange.bridge.command(Command::SendDigits { leg: B, digits: "1x".into() }, exchange.now);
    assert_eq!(misuse, Err(Misuse::NotADigit('x')));
}

#[test]
fn silence_is_told_once_and_its_end_too() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    exchange.hear(&mut alice, 8, &[0; 160]);
    let begin = exchange.now;
    let mut told = Vec::new();
    for _ in 0..50 {
        exchange.hear(&mut bob, 8, &[0; 160]);
        told.extend(exchange.pass(Duration::from_secs(1)).1);
    }
    told.extend(exchange.events());
    let silences: Vec<&Event> =
        told.iter().filter(|event| matches!(event, Event::Silent { .. } | Event::Resumed { .. })).collect();
    assert_eq!(silences, [&Event::Silent { leg: A, lasted: Duration::from_secs(30) }]);
    exchange.hear(&mut alice, 8, &[0; 160]);
    let after = exchange.now - begin;
    assert_eq!(exchange.events(), [Event::Resumed { leg: A, after }]);
    let (_, told) = exchange.pass(Duration::from_secs(31));
    assert!(told.iter().any(|event| matches!(event, Event::Silent { leg: A, .. })), "and again: {told:?}");
}

#[test]
fn hold_stops_voice_and_its_absence_is_no_fault() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    let before = exchange.hear(&mut alice, 8, &[0; 160]).unwrap();
    let held = StreamParameters {
        sends: false,
        receives: false,
        ..StreamParameters::plain(bob.address, &[PayloadFormat::pcma()])
    };
    exchange.command(Command::Configure { leg: B, stream: Box::new(held) });
    assert_eq!(exchange.hear(&mut alice, 8, &[0; 160]), None);
    assert_eq!(exchange.hear(&mut bob, 8, &[0; 160]), None);
    for _ in 0..60 {
        exchange.hear(&mut alice, 8, &[0; 160]);
        let (_, told) = exchange.pass(Duration::from_secs(1));
        assert!(!told.iter().any(|event| matches!(event, Event::Silent { .. })), "{told:?}");
    }
    let lifted = StreamParameters::plain(bob.address, &[PayloadFormat::pcma()]);
    exchange.command(Command::Configure { leg: B, stream: Box::new(lifted) });
    let after = exchange.hear(&mut alice, 8, &[0; 160]).unwrap();
    assert_eq!(after.ssrc, before.ssrc, "the stream goes on");
    assert_eq!(after.sequence, before.sequence.wrapping_add(1), "what was held back was not lost on the way");
    assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 60 * 8000, "as much later as it is");
    exchange.now += PTIME;
    let next = exchange.hear(&mut alice, 8, &[0; 160]).unwrap();
    assert_eq!(
        (next.sequence, next.timestamp),
        (after.sequence.wrapping_add(1), after.timestamp.wrapping_add(160))
    );
    assert!(after.marker, "speech begins anew");
    // The same when she is muted for a while.
    exchange.command(Command::Mute { leg: A, muted: true });
    for _ in 0..5 {
        exchange.now += PTIME;
        assert_eq!(exchange.hear(&mut alice, 8, &[0; 160]), None);
    }
    exchange.command(Command::Mute { leg: A, muted: false });
    exchange.now += PTIME;
    let unmuted = exchange.hear(&mut alice, 8, &[0; 160]).unwrap();
    assert_eq!(unmuted.sequence, next.sequence.wrapping_add(1));
    assert_eq!(unmuted.timestamp.wrapping_sub(next.timestamp), 6 * 160);
}

#[test]
fn a_transfer_goes_on_in_the_same_stream() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    let before = exchange.hear(&mut bob, 8, &[1; 160]).unwrap();
    let mut carol = Phone::new(C, "192.0.2.3:6000");
    exchange.leg(C, StreamParameters::plain(carol.address, &[PayloadFormat::pcma()]));
    exchange.join(A, Connection::Leg(C));
    exchange.now += PTIME;
    let after = exchange.hear(&mut carol, 8, &[2; 160]).unwrap();
    assert_eq!((after.leg, after.ssrc, after.marker), (A, before.ssrc, true));
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(160));
    assert_eq!(exchange.hear(&mut bob, 8, &[1; 160]), None, "left alone");
    assert_eq!(exchange.hear(&mut alice, 8, &[3; 160]).unwrap().leg, C);
}

#[test]
fn a_phone_behind_a_router_is_followed() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    alice.address = socket("203.0.113.5:61000");
    for _ in 0..10 {
        exchange.hear(&mut alice, 8, &[0; 160]);
        exchange.now += PTIME;
    }
    let told = exchange.events();
    assert!(told.iter().any(|event| matches!(event, Event::FirstPacket { leg: A, .. })), "{told:?}");
    assert_eq!(exchange.hear(&mut bob, 8, &[0; 160]).unwrap().to, alice.address);
}

#[test]
fn two_addresses_are_tried_until_one_answers() {
    let mut exchange = Exchange::new();
    let (mut alice, bob) = (Phone::new(A, "192.0.2.1:4000"), socket("100.70.198.29:5000"));
    let alias = socket("100.110.206.106:5000");
    exchange.leg(A, StreamParameters::plain(alice.address, &[PayloadFormat::pcma()]));
    let parameters = StreamParameters {
        also_rtp: Some(alias),
        known_hosts: vec![alias.ip()],
        ..StreamParameters::plain(bob, &[PayloadFormat::pcma()])
    };
    exchange.leg(B, parameters);
    exchange.join(A, Connection::Leg(B));
    let packet = alice.packet(8, false, &[0; 160]);
    let mut buffer = [packet.as_slice(), &[0; 64]].concat();
    let sent = exchange.bridge.receive(A, Path::from(alice.address), &mut buffer, packet.len(), exchange.now);
    let Action::Forward(forward) = sent else { panic!("{sent:?}") };
    assert_eq!((forward.destination, forward.also), (bob, Some(alias)));
    let mut bob = Phone::new(B, "100.110.206.106:5000");
    for _ in 0..3 {
        exchange.hear(&mut bob, 8, &[0; 160]);
        exchange.now += PTIME;
    }
    let packet = alice.packet(8, false, &[0; 160]);
    let mut buffer = [packet.as_slice(), &[0; 64]].concat();
    let sent = exchange.bridge.receive(A, Path::from(alice.address), &mut buffer, packet.len(), exchange.now);
    let Action::Forward(forward) = sent else { panic!("{sent:?}") };
    assert_eq!((forward.destination, forward.also), (alias, None));
}

#[test]
fn each_leg_reports_to_its_own_peer() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    for _ in 0..500 {
        exchange.hear(&mut alice, 8, &[0; 160]);
        exchange.hear(&mut bob, 8, &[0; 160]);
        exchange.pass(PTIME);
    }
    for (leg, phone) in [(A, &alice), (B, &bob)] {
        let reports: Vec<_> = exchange
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Transmit(transmit) if transmit.leg == leg => Some(transmit),
                _ => None,
            })
            .collect();
        assert!(!reports.is_empty(), "in 10 s");
        for report in reports {
            assert_eq!(report.component, Component::Rtcp);
            assert_eq!(report.destination, SocketAddr::new(phone.address.ip(), phone.address.port() + 1));
            assert!(Compound::parse(&report.payload).is_ok());
        }
    }
    let report = exchange.bridge.report(A).unwrap();
    assert_eq!((report.counters.received, report.counters.sent, report.counters.lost), (500, 500, 0));
    assert_eq!(report.codec, "PCMA/8000");
}

#[test]
fn closing_says_goodbye_and_leaves_the_other_alone() {
    let (mut exchange, mut alice, mut bob) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    exchange.hear(&mut alice, 8, &[0; 160]);
    exchange.hear(&mut bob, 8, &[0; 160]);
    exchange.events();
    exchange.outputs.clear();
    let told = exchange.command(Command::Close { leg: A });
    assert!(
        matches!(told.as_slice(), [Event::Closed { leg: A, report }] if report.counters.received == 1),
        "{told:?}"
    );
    assert!(
        matches!(exchange.outputs.as_slice(), [Output::Transmit(_), Output::Unbind { leg: A }]),
        "{:?}",
        exchange.outputs
    );
    assert_eq!(exchange.bridge.command(Command::Close { leg: A }, exchange.now), Err(Misuse::UnknownLeg(A)));
    assert_eq!(exchange.hear(&mut bob, 8, &[0; 160]), None);
    assert_eq!(exchange.hear(&mut alice, 8, &[0; 160]), None);
    exchange.command(Command::Close { leg: B });
    assert_eq!((exchange.bridge.legs(), exchange.bridge.poll_timeout()), (0, None));
}

#[test]
fn a_port_that_is_taken_ends_the_leg_before_it_began() {
    let mut exchange = Exchange::new();
    exchange.command(Command::Open { leg: A, spec: spec(20_000) });
    let reason = OpenFailure::PortTaken(socket("10.0.0.1:20000"));
    exchange.bridge.handle_input(Input::BindFailed { leg: A, reason: reason.clone() }, exchange.now);
    assert_eq!(exchange.events(), [Event::OpenFailed { leg: A, reason }]);
    assert_eq!(exchange.bridge.legs(), 0);
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let (mut exchange, _, _) = call(&[PayloadFormat::pcma()], &[PayloadFormat::pcma()]);
    let now = exchange.now;
    let mut refuse = |command| exchange.bridge.command(command, now).unwrap_err();
    assert_eq!(refuse(Command::Open { leg: A, spec: spec(1) }), Misuse::LegExists(A));
    assert_eq!(refuse(Command::Connect { leg: A, to: Connection::Leg(A) }), Misuse::ToItself);
    assert_eq!(refuse(Command::Connect { leg: A, to: Connection::Leg(C) }), Misuse::UnknownLeg(C));
    let bad = StreamParameters::plain(socket("192.0.2.1:1"), &[PayloadFormat::new(200, "PCMA", 8000)]);
    assert_eq!(refuse(Command::Configure { leg: A, stream: Box::new(bad) }), Misuse::BadParameters);
    exchange.bridge.handle_command(Command::Close { leg: C }, now);
    assert_eq!(exchange.events(), [Event::Rejected { leg: C, misuse: Misuse::UnknownLeg(C) }]);
}
