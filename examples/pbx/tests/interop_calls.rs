//! Real telephones (baresip) call each other through the PBX, and what they heard is compared with what was said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use std::{thread, time::Duration};

use denwa_interop::{audio, baresip::Phone, require};
use interop_support::Exchange;

const SOON: Duration = Duration::from_secs(15);

/// A refusal at once: these telephones hang up by themselves when the little they have to say is over.
const QUIET: &str = "[calls]\nannouncements = false\n";

/// A talk of `seconds`: `caller` dials, both speak, `caller` hangs up, both recordings are judged.
fn talk(exchange: &Exchange, caller: Phone, callee: Phone, number: &str, said: (&[i16], &[i16])) {
    talk_to(exchange, caller, callee, &exchange.uri(number), said);
}

fn talk_to(exchange: &Exchange, mut caller: Phone, mut callee: Phone, uri: &str, said: (&[i16], &[i16])) {
    caller.dial(uri);
    caller.peer.wait_for("Call established", SOON);
    callee.peer.wait_for("Call established", SOON);
    // The length of what is said and a little more; not a guess at anybody's speed.
    thread::sleep(Duration::from_millis(said.0.len() as u64 / 8 + 1_500));
    caller.hang_up();
    callee.peer.wait_for("terminated", SOON);
    audio::assert_heard("caller to callee", said.0, &callee.heard(), Some(said.1));
    audio::assert_heard("callee to caller", said.1, &caller.heard(), Some(said.0));
    assert!(
        denwa_interop::wait_until(SOON, || exchange.open_media_ports() == 0),
        "the PBX kept {} media ports after the call",
        exchange.open_media_ports()
    );
}

fn voices() -> (Vec<i16>, Vec<i16>) {
    (audio::signal(11, 6), audio::signal(12, 6))
}

#[test]
fn two_phones_talk_over_udp() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("udp", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMA", false, &one);
    let bob = exchange.phone("1002", "udp", "PCMA", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, alice, bob, "1002", (&one, &two));
}

#[test]
fn a_phone_on_tcp_talks_to_one_on_udp() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("tcp", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "tcp", "PCMU", false, &one);
    let bob = exchange.phone("1002", "udp", "PCMU", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, alice, bob, "1002", (&one, &two));
}

#[test]
fn a_phone_on_udp_calls_one_on_tcp() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("to-tcp", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMA", false, &one);
    let bob = exchange.phone("1002", "tcp", "PCMA", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, alice, bob, "1002", (&one, &two));
}

#[test]
fn a_phone_on_tls_talks_to_one_on_udp_and_is_called() {
    if !require("baresip") {
        return;
    }
    for tls_calls in [true, false] {
        let mut exchange = Exchange::start("tls", "");
        let (one, two) = voices();
        let transports = if tls_calls { ["tls", "udp"] } else { ["udp", "tls"] };
        let port = exchange.sip_port + u16::from(tls_calls);
        let uri = format!("sip:1002@127.0.0.1:{port};transport={}", transports[0]);
        let alice = exchange.phone("1001", transports[0], "PCMA", false, &one);
        let bob = exchange.phone("1002", transports[1], "PCMA", true, &two);
        alice.wait_registered();
        bob.wait_registered();
        talk_to(&exchange, alice, bob, &uri, (&one, &two));
    }
}

#[test]
fn two_phones_with_different_codecs_talk() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("codecs", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMU", false, &one);
    let bob = exchange.phone("1002", "udp", "PCMA", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, alice, bob, "1002", (&one, &two));
}

#[test]
fn a_phone_registered_before_a_restart_is_called_after_it() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("restart", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMA", false, &one);
    let bob = exchange.phone("1002", "udp", "PCMA", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    exchange.restart();
    talk(&exchange, alice, bob, "1002", (&one, &two));
}

#[test]
fn a_registration_survives_a_power_cut() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("power-cut", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMA", false, &one);
    let bob = exchange.phone("1002", "udp", "PCMA", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    exchange.crash_and_restart();
    talk(&exchange, alice, bob, "1002", (&one, &two));
}

#[test]
fn audio_flows_again_after_hold_and_resume() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("hold", "");
    let (one, two) = (audio::signal(13, 20), audio::signal(14, 20));
    let alice = exchange.phone("1001", "udp", "PCMA", false, &one);
    let bob = exchange.phone("1002", "udp", "PCMA", true, &two);
    alice.wait_registered();
    bob.wait_registered();
    alice.dial(&exchange.uri("1002"));
    alice.peer.wait_for("Call established", SOON);
    thread::sleep(Duration::from_secs(2));
    alice.command("hold", "");
    thread::sleep(Duration::from_secs(2));
    alice.command("resume", "");
    thread::sleep(Duration::from_secs(8));
    alice.hang_up();
    bob.peer.wait_for("terminated", SOON);
    // The held call's recording begins anew at the resume: five seconds of it must be a piece of what was said.
    for (label, said, mut phone) in [("alice to bob", &one, bob), ("bob to alice", &two, alice)] {
        let heard = phone.heard();
        let tail = &heard[heard.len().saturating_sub(5 * 8_000)..];
        let verdict =
            audio::compare(tail, said).unwrap_or_else(|| panic!("{label}: silence after the resume"));
        println!("{label} after the resume: gaps {:.2} %", verdict.gaps * 100.0);
        assert!(verdict.gaps <= 0.05, "{label}: {verdict:?}");
    }
}

#[test]
fn the_echo_service_returns_what_was_said() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("echo", "");
    let said = audio::signal(15, 6);
    let mut alice = exchange.phone("1001", "udp", "PCMA", false, &said);
    alice.wait_registered();
    alice.dial(&exchange.uri("186"));
    alice.peer.wait_for("Call established", SOON);
    thread::sleep(Duration::from_secs(9));
    alice.hang_up();
    alice.peer.wait_for("terminated", SOON);
    let verdict = audio::assert_heard("echo", &said, &alice.heard(), None);
    assert!(verdict.delay_ms < 500.0, "{verdict:?}");
}

#[test]
fn the_milliwatt_service_gives_1000_hz() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("milliwatt", "");
    let mut alice = exchange.phone("1001", "udp", "PCMU", false, &audio::signal(16, 6));
    alice.wait_registered();
    alice.dial(&exchange.uri("100"));
    alice.peer.wait_for("Call established", SOON);
    thread::sleep(Duration::from_secs(4));
    alice.hang_up();
    alice.peer.wait_for("terminated", SOON);
    let heard = alice.heard();
    let middle = &heard[heard.len() / 4..heard.len() * 3 / 4];
    let (share, level) = audio::tone_share(middle, 1_000.0);
    println!("milliwatt: {:.1} % of the power at 1000 Hz, {level:.2} dB below full scale", share * 100.0);
    assert!(share > 0.99, "only {share:.3} of the power is at 1000 Hz");
    // 0 dBm0 lies 3.17 dB below mu-law's overload (ITU-T G.711 §5), which is 8159 of 8192 in 14 bits: 0.035 dB.
    assert!((level + 3.205).abs() < 0.05, "0 dBm0 came as {level:.2} dB");
}

#[test]
fn a_busy_phone_a_declined_call_and_an_unknown_number_are_told() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("refused", QUIET);
    let quiet = vec![0; 8_000];
    let alice = exchange.phone("1001", "udp", "PCMA", false, &quiet);
    let bob = exchange.phone("1002", "udp", "PCMA", false, &quiet);
    alice.wait_registered();
    bob.wait_registered();
    alice.dial(&exchange.uri("1002"));
    bob.peer.wait_for("Incoming call", SOON);
    alice.peer.wait_for("180 Ringing", SOON);
    bob.hang_up(); // before it is answered this declines
    alice.peer.wait_for("session closed: 486", SOON);
    alice.dial(&exchange.uri("1003"));
    alice.peer.wait_for("session closed: 480", SOON);
    alice.dial(&exchange.uri("7777"));
    alice.peer.wait_for("session closed: 404", SOON);
    // The caller gives up while it rings: the callee's bell must stop.
    alice.dial(&exchange.uri("1002"));
    assert!(denwa_interop::wait_until(SOON, || bob.peer.log().matches("Incoming call").count() >= 2));
    alice.hang_up();
    assert!(denwa_interop::wait_until(SOON, || exchange.open_media_ports() == 0), "a port leaked");
}

#[test]
fn a_call_without_a_common_codec_is_refused_with_both_lists() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start_with("no-codec", &["PCMU"], "");
    let quiet = vec![0; 8_000];
    let alice = exchange.phone("1001", "udp", "PCMA", false, &quiet);
    let bob = exchange.phone("1002", "udp", "PCMU", true, &quiet);
    alice.wait_registered();
    bob.wait_registered();
    alice.dial(&exchange.uri("1002"));
    alice.peer.wait_for("SIP/2.0 488", SOON);
    alice.peer.wait_for("session closed: 488", SOON);
    // It is told once the record is on disk, which may be after the telephone heard of it.
    let is_told = || exchange.peer.log().lines().any(|line| line.contains("PCMA") && line.contains("PCMU"));
    assert!(
        denwa_interop::wait_until(SOON, is_told),
        "no sentence names both lists:\n{}",
        exchange.peer.log()
    );
    assert!(alice.peer.log().contains("Warning:"), "the 488 carries no Warning");
}

#[test]
fn a_wrong_password_never_registers() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("password", QUIET);
    let quiet = vec![0; 8_000];
    let wrong = exchange.phone_with_password("1001", "guess", "udp", "PCMA", false, &quiet);
    wrong.peer.wait_for("SIP/2.0 401", SOON);
    let right = exchange.phone("1002", "udp", "PCMA", false, &quiet);
    right.wait_registered();
    right.dial(&exchange.uri("1001"));
    right.peer.wait_for("session closed: 480", SOON);
    assert!(!wrong.peer.log().contains("[1 binding]"));
}

#[test]
fn a_stranger_cannot_call() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("stranger", "");
    let quiet = vec![0; 8_000];
    let bob = exchange.phone("1002", "udp", "PCMA", true, &quiet);
    bob.wait_registered();
    let account = denwa_interop::baresip::Account {
        name: "stranger",
        user: "nobody",
        password: "x",
        registrar: &format!("127.0.0.1:{}", exchange.sip_port),
        transport: "udp",
        codecs: "PCMA",
        answers: false,
        register_every: 0,
        parameters: "",
    };
    let stranger = Phone::start(&account, exchange.scratch.path(), &mut exchange.ports, &quiet);
    stranger.peer.wait_for("baresip is ready", SOON);
    stranger.dial(&exchange.uri("1002"));
    stranger.peer.wait_for("session closed", SOON);
    assert!(!bob.peer.log().contains("Incoming call"), "the stranger's call rang");
}
