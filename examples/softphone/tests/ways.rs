//! How sound finds its way and is protected, between two softphones: ICE and DTLS-SRTP off, offered and required, through STUN
//! and TURN.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod running;

use certificates::Certificates;
use denwa::port_set::PortSet;
use denwa::tokio::{Certificate, Listen, Tls, TlsConfig, TurnServer, TurnServerConfig};
use denwa_ice::turn::server::{CredentialSource, Users};
use denwa_interop::{PATIENCE, Peer, Ports, Scratch, require, wait_until};
use running::Running;
use softphone::phone::Outcome;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

/// A call from `ann` to `bob` with these settings, and what both said of it. It lasts longer when that was not long enough for
/// sound both ways.
fn call(ann: &str, bob: &str) -> (Outcome, Vec<String>, Vec<String>) {
    let lasting = |seconds: u32| try_call(ann, bob, seconds);
    let tries = [4, 10, 30].into_iter().map(lasting);
    let mut last = None;
    for (called, answered) in tries {
        let again = called.0 == Outcome::NoAudio || answered.0 == Outcome::NoAudio;
        last = Some((called.0, called.1, answered.1));
        if !again {
            break;
        }
    }
    last.unwrap()
}

type Told = (Outcome, Vec<String>);

fn try_call(ann: &str, bob: &str, seconds: u32) -> (Told, Told) {
    let answer =
        format!("softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --expect-audio {bob}");
    let mut bob = Running::start(answer.trim_end());
    let port = bob.expect("listening on udp:");
    let line = format!(
        "softphone call sip:bob@{port} --user ann --listen udp:127.0.0.1:0 --hangup-after {seconds}s --expect-audio {ann}"
    );
    let called = Running::start(line.trim_end()).end();
    // Whoever was refused waits for a call that comes about.
    let answered = if called.0 == Outcome::Failed { (Outcome::Failed, Vec::new()) } else { bob.end() };
    (called, answered)
}

fn says(lines: &[String], words: &str) -> bool {
    lines.iter().any(|line| line.contains(words))
}

#[test]
fn keys_come_by_dtls_where_both_have_it_and_one_may_insist() {
    thread::scope(|scope| {
        for (ann, bob) in [
            ("--dtls require", "--dtls require"),
            ("--dtls offer", "--dtls require"),
            ("--dtls require --ice offer", "--dtls offer --ice offer"),
            ("--dtls offer --srtp offer", "--dtls offer"),
        ] {
            scope.spawn(move || {
                let (outcome, called, answered) = call(ann, bob);
                assert_eq!(outcome, Outcome::Good, "{ann}, {bob}: {called:#?}");
                for lines in [&called, &answered] {
                    assert!(says(lines, "keys by DTLS: "), "{ann}, {bob}: {lines:#?}");
                }
            });
        }
    });
}

#[test]
fn what_is_offered_is_left_out_for_whoever_has_it_not() {
    thread::scope(|scope| {
        for (ann, bob) in [("--dtls offer --ice offer", ""), ("", "--dtls offer --ice offer")] {
            scope.spawn(move || {
                let (outcome, called, answered) = call(ann, bob);
                assert_eq!(outcome, Outcome::Good, "{ann}, {bob}: {called:#?}");
                for lines in [&called, &answered] {
                    assert!(!says(lines, "keys by DTLS") && !says(lines, "sound goes from"), "{lines:#?}");
                }
            });
        }
    });
}

#[test]
fn what_is_required_is_no_call_without_it() {
    thread::scope(|scope| {
        for (ann, bob) in
            [("--dtls require", ""), ("", "--dtls require"), ("--ice require", ""), ("", "--ice require")]
        {
            scope.spawn(move || {
                let (outcome, called, _) = call(ann, bob);
                assert_eq!(outcome, Outcome::Failed, "{ann}, {bob}: {called:#?}");
            });
        }
    });
}

#[test]
fn ice_finds_the_way_directly_or_through_a_relay() {
    let (outcome, called, answered) = call("--ice require", "--ice require");
    assert_eq!(outcome, Outcome::Good, "{called:#?}");
    for lines in [&called, &answered] {
        assert!(says(lines, "sound goes from host ") && !says(lines, "relayed"), "{lines:#?}");
    }
    if !require("turnserver") {
        return;
    }
    let scratch = Scratch::new("softphone-turn");
    let mut ports = Ports::block();
    let (port, first) = (ports.take(2), ports.take(100));
    let mut program = Command::new("turnserver");
    program
        .args(["-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &port.to_string()])
        .args(["--min-port", &first.to_string(), "--max-port", &(first + 99).to_string()])
        .args(["--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--no-multicast-peers"])
        .args(["-a", "-u", "ann:secret", "-r", "turn.example", "-f", "-m", "1"])
        .args(["--simple-log", "--log-file", "stdout"])
        .arg("--userdb")
        .arg(scratch.path().join("turndb"))
        .arg("--pidfile")
        .arg(scratch.path().join("pid"));
    let server = Peer::start("turnserver", scratch.path(), &mut program);
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(wait_until(PATIENCE, listens), "{}", server.log());
    // Both by the relay alone; the one that only asks for its own address may be told by the same server.
    let relay = format!(
        "--ice require --turn turn:127.0.0.1:{port} --turn-user ann --turn-password secret --relay-only --dtls require"
    );
    let asks = format!("--ice require --stun 127.0.0.1:{port} --dtls require");
    let over_tcp = relay.replacen(&port.to_string(), &format!("{port}?transport=tcp"), 1);
    for (own, other) in [(&over_tcp, &relay), (&relay, &asks)] {
        let (outcome, called, answered) = call(own, other);
        assert_eq!(outcome, Outcome::Good, "{called:#?}");
        for lines in [&called, &answered] {
            assert!(says(lines, ", relayed") && says(lines, "keys by DTLS: "), "{lines:#?}");
        }
    }
}

/// The server of this family, over TLS: one end comes by nothing but a port of it, and believes nobody but its authority.
#[test]
fn a_relay_is_reached_over_tls() {
    let (scratch, mut ports) = (Scratch::new("softphone-turns"), Ports::block());
    let Certificates { authorities, certificate, key } = Certificates::in_folder(scratch.path());
    let first = ports.take(40);
    let users = CredentialSource::Users(Users::from_iter([("ann", "secret")]));
    let mut config = TurnServerConfig::new(users);
    config.listen = vec![Listen::for_turn("tls:127.0.0.1:0").unwrap()];
    config.ports = PortSet::from_ranges([first..=first + 39]);
    config.relay = vec!["127.0.0.1".parse().unwrap()];
    config.peers = vec!["127.0.0.0/8".parse().unwrap()];
    let mut tls = TlsConfig::default();
    tls.certificate = Some(Certificate::from_files(certificate.as_ref(), key.as_ref()).unwrap());
    config.tls = Some(Tls::new(&tls).unwrap());
    let server = TurnServer::start(config, |_| {}).unwrap();
    let file = scratch.path().join("ann.toml");
    std::fs::write(&file, format!("[tls]\nauthorities = {authorities:?}\n")).unwrap();
    let relay = format!(
        "--config {} --ice require --turn turns:{} --turn-user ann --turn-password secret --relay-only",
        file.display(),
        server.listening()[0].address
    );
    let (outcome, called, answered) = call(&relay, "--ice require");
    assert_eq!(outcome, Outcome::Good, "{called:#?}\n{answered:#?}");
    assert!(says(&called, ", relayed"), "{called:#?}");
    assert!(server.status().relayed_packets > 50);
}
