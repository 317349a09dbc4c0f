//! Real telephones (baresip) call each other through the PBX, and what they heard is compared with what was said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use denwa::farewell::Journal;
use denwa_interop::baresip::{Account, Phone};
use denwa_interop::hearing::Sentence;
use denwa_interop::{PATIENCE, audio, require, wait_until};
use interop_support::Exchange;

/// A refusal at once: these telephones hang up by themselves when the little they have to say is over.
const QUIET: &str = "[calls]\nannouncements = false\n";

/// A talk: `caller` dials, both speak until each has heard the other, `caller` hangs up.
fn talk(exchange: &Exchange, caller: &Phone, callee: &Phone, number: &str, said: (&[i16], &[i16])) {
    talk_to(exchange, caller, callee, &exchange.uri(number), said);
}

fn talk_to(exchange: &Exchange, caller: &Phone, callee: &Phone, uri: &str, said: (&[i16], &[i16])) {
    caller.dial(uri);
    caller.peer.wait_for("Call established", PATIENCE);
    callee.peer.wait_for("Call established", PATIENCE);
    callee.wait_hears("caller to callee", Sentence::plain(said.0));
    caller.wait_hears("callee to caller", Sentence::plain(said.1));
    caller.hang_up();
    callee.peer.wait_for("terminated", PATIENCE);
    for (label, phone, own) in [("the caller", caller, said.0), ("the callee", callee, said.1)] {
        Sentence::plain(own).assert_not_in(label, &phone.newest_recording().1);
    }
    let none = wait_until(PATIENCE, || exchange.open_media_ports() == 0);
    assert!(none, "the PBX kept {} media ports after the call", exchange.open_media_ports());
}

fn voices() -> (Vec<i16>, Vec<i16>) {
    (audio::signal(11, 1), audio::signal(12, 1))
}

/// 1001, and 1002 who answers; both registered.
fn two_phones(exchange: &mut Exchange, (one, two): (&[i16], &[i16])) -> (Phone, Phone) {
    let alice = exchange.phone("1001", "udp", "PCMA", false, &Sentence::for_minutes(one));
    let bob = exchange.phone("1002", "udp", "PCMA", true, &Sentence::for_minutes(two));
    alice.wait_registered();
    bob.wait_registered();
    (alice, bob)
}

#[test]
fn two_phones_talk_over_udp() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("udp", "");
    let (one, two) = voices();
    let (alice, bob) = two_phones(&mut exchange, (&one, &two));
    talk(&exchange, &alice, &bob, "1002", (&one, &two));
}

#[test]
fn a_phone_on_tcp_talks_to_one_on_udp() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("tcp", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "tcp", "PCMU", false, &Sentence::for_minutes(&one));
    let bob = exchange.phone("1002", "udp", "PCMU", true, &Sentence::for_minutes(&two));
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, &alice, &bob, "1002", (&one, &two));
}

#[test]
fn a_phone_on_udp_calls_one_on_tcp() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("to-tcp", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMA", false, &Sentence::for_minutes(&one));
    let bob = exchange.phone("1002", "tcp", "PCMA", true, &Sentence::for_minutes(&two));
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, &alice, &bob, "1002", (&one, &two));
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
        let alice = exchange.phone("1001", transports[0], "PCMA", false, &Sentence::for_minutes(&one));
        let bob = exchange.phone("1002", transports[1], "PCMA", true, &Sentence::for_minutes(&two));
        alice.wait_registered();
        bob.wait_registered();
        talk_to(&exchange, &alice, &bob, &uri, (&one, &two));
    }
}

#[test]
fn two_phones_with_different_codecs_talk() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("codecs", "");
    let (one, two) = voices();
    let alice = exchange.phone("1001", "udp", "PCMU", false, &Sentence::for_minutes(&one));
    let bob = exchange.phone("1002", "udp", "PCMA", true, &Sentence::for_minutes(&two));
    alice.wait_registered();
    bob.wait_registered();
    talk(&exchange, &alice, &bob, "1002", (&one, &two));
}

#[test]
fn a_phone_registered_before_a_restart_is_called_after_it() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("restart", "");
    let (one, two) = voices();
    let (alice, bob) = two_phones(&mut exchange, (&one, &two));
    exchange.restart();
    talk(&exchange, &alice, &bob, "1002", (&one, &two));
}

#[test]
fn a_registration_survives_a_power_cut() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("power-cut", "");
    let (one, two) = voices();
    let (alice, bob) = two_phones(&mut exchange, (&one, &two));
    exchange.crash_and_restart();
    talk(&exchange, &alice, &bob, "1002", (&one, &two));
}

/// baresip has no session timers: it would stay in the call that a killed exchange left behind.
#[test]
fn a_call_that_a_power_cut_left_behind_is_ended() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("left-behind", "");
    let (one, two) = voices();
    let (alice, bob) = two_phones(&mut exchange, (&one, &two));
    alice.dial(&exchange.uri("1002"));
    alice.peer.wait_for("Call established", PATIENCE);
    bob.peer.wait_for("Call established", PATIENCE);
    let journal = exchange.scratch.path().join("pbx-data/calls.journal");
    let calls = || Journal::read(&journal).unwrap_or_default().len();
    assert!(wait_until(PATIENCE, || calls() == 2), "{} calls are written down", calls());
    exchange.crash_and_restart();
    for phone in [&alice, &bob] {
        let is_over = || {
            let log = phone.peer.log();
            log.contains("text=\"Restarted\"") && !phone.command("listcalls", "").contains("sip:")
        };
        assert!(wait_until(PATIENCE, is_over), "{}", phone.peer.log());
    }
    let told = || exchange.peer.log().matches("that was left behind with").count() == 2;
    assert!(wait_until(PATIENCE, told), "{}", exchange.peer.log());
    assert!(wait_until(PATIENCE, || calls() == 0), "{} calls are written down", calls());
}

#[test]
fn audio_flows_again_after_hold_and_resume() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("hold", "");
    let (one, two) = (audio::signal(13, 1), audio::signal(14, 1));
    let (alice, bob) = two_phones(&mut exchange, (&one, &two));
    alice.dial(&exchange.uri("1002"));
    alice.peer.wait_for("Call established", PATIENCE);
    bob.wait_hears("alice to bob", Sentence::plain(&one));
    alice.wait_hears("bob to alice", Sentence::plain(&two));
    alice.command("hold", "");
    // What it asks for comes before what it is answered; the next is asked for when this is done.
    let is_held = || {
        let log = alice.peer.log();
        log.split_once("a=sendonly").is_some_and(|(_, after)| {
            after.split("SIP/2.0 200 OK").skip(1).any(|answer| answer.contains("ACK sip:"))
        })
    };
    assert!(wait_until(PATIENCE, is_held), "{}", alice.peer.log());
    alice.command("resume", "");
    // Its recorder ends with a hold, but it counts.
    for (label, phone) in [("alice to bob", &bob), ("bob to alice", &alice)] {
        let before = phone.packets_received();
        let more = || phone.packets_received() >= before + 100;
        assert!(wait_until(PATIENCE, more), "{label}: nothing comes after the resume");
    }
    alice.hang_up();
    bob.peer.wait_for("terminated", PATIENCE);
}

#[test]
fn the_echo_service_returns_what_was_said() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("echo", "");
    let said = audio::signal(15, 1);
    let alice = exchange.phone("1001", "udp", "PCMA", false, &Sentence::for_minutes(&said));
    alice.wait_registered();
    alice.dial(&exchange.uri("186"));
    alice.peer.wait_for("Call established", PATIENCE);
    alice.wait_hears("echo", Sentence::plain(&said));
    alice.hang_up();
    alice.peer.wait_for("terminated", PATIENCE);
}

#[test]
fn the_milliwatt_service_gives_1000_hz() {
    if !require("baresip") {
        return;
    }
    let mut exchange = Exchange::start("milliwatt", "");
    let says = Sentence::for_minutes(&audio::signal(16, 6));
    let alice = exchange.phone("1001", "udp", "PCMU", false, &says);
    alice.wait_registered();
    alice.dial(&exchange.uri("100"));
    alice.peer.wait_for("Call established", PATIENCE);
    // A second of it as it left the exchange: one into which a busy machine has put no hole.
    let mut best = (0.0, 0.0);
    let heard = wait_until(PATIENCE, || {
        let (_, samples) = alice.newest_recording();
        let Some(start) = samples.len().checked_sub(8_000) else { return false };
        best = audio::tone_share(&samples[start..], 1_000.0);
        // 0 dBm0 lies 3.17 dB below mu-law's overload (ITU-T G.711 §5), which is 8159 of 8192 in 14 bits: 0.035 dB.
        best.0 > 0.99 && (best.1 + 3.205_f64).abs() < 0.05
    });
    println!("milliwatt: {:.1} % of the power at 1000 Hz, {:.2} dB below full scale", best.0 * 100.0, best.1);
    assert!(heard, "{:.3} of the power is at 1000 Hz, 0 dBm0 came as {:.2} dB", best.0, best.1);
    alice.hang_up();
    alice.peer.wait_for("terminated", PATIENCE);
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
    bob.peer.wait_for("Incoming call", PATIENCE);
    alice.peer.wait_for("180 Ringing", PATIENCE);
    bob.hang_up(); // before it is answered this declines
    alice.peer.wait_for("session closed: 486", PATIENCE);
    alice.dial(&exchange.uri("1003"));
    alice.peer.wait_for("session closed: 480", PATIENCE);
    alice.dial(&exchange.uri("7777"));
    alice.peer.wait_for("session closed: 404", PATIENCE);
    // The caller gives up while it rings: the callee's bell must stop.
    alice.dial(&exchange.uri("1002"));
    assert!(wait_until(PATIENCE, || bob.peer.log().matches("Incoming call").count() >= 2));
    alice.hang_up();
    assert!(wait_until(PATIENCE, || exchange.open_media_ports() == 0), "a port leaked");
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
    alice.peer.wait_for("SIP/2.0 488", PATIENCE);
    alice.peer.wait_for("session closed: 488", PATIENCE);
    // It is told once the record is on disk, which may be after the telephone heard of it.
    let is_told = || exchange.peer.log().lines().any(|line| line.contains("PCMA") && line.contains("PCMU"));
    assert!(wait_until(PATIENCE, is_told), "no sentence names both lists:\n{}", exchange.peer.log());
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
    wrong.peer.wait_for("SIP/2.0 401", PATIENCE);
    let right = exchange.phone("1002", "udp", "PCMA", false, &quiet);
    right.wait_registered();
    right.dial(&exchange.uri("1001"));
    right.peer.wait_for("session closed: 480", PATIENCE);
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
    let registrar = format!("127.0.0.1:{}", exchange.sip_port);
    let nobody = Account::unregistered("nobody", &registrar);
    let account = Account { name: "stranger", password: "x", answers: false, ..nobody };
    let stranger = Phone::start(&account, exchange.scratch.path(), &mut exchange.ports, &quiet);
    stranger.peer.wait_for("baresip is ready", PATIENCE);
    stranger.dial(&exchange.uri("1002"));
    stranger.peer.wait_for("session closed", PATIENCE);
    assert!(!bob.peer.log().contains("Incoming call"), "the stranger's call rang");
}
