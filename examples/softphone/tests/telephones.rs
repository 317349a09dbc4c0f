//! The screen on a pseudo-terminal with other people's telephones: registered with the PBX, with baresip beside it, called by
//! Linphone.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "terminal/pty.rs"]
mod pty;

use clap::Parser;
use denwa_interop::{Peer, Ports, Scratch, audio, baresip, linphone, require};
use pty::Pty;
use softphone::arguments::Arguments;
use softphone::phone::Outcome;
use softphone::run;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PASSWORD: &str = "wave-kettle-41";
const SOON: Duration = denwa_interop::PATIENCE;

const F3: &str = "\x1bOR";
const F4: &str = "\x1bOS";
const F7: &str = "\x1b[18~";
const F10: &str = "\x1b[21~";

/// The PBX's program, where a build of the whole workspace puts it.
fn pbx() -> Option<PathBuf> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_softphone")).with_file_name("pbx");
    if !program.exists() {
        assert!(
            !std::env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1"),
            "{} is not built and DENWA_REQUIRE_PEERS=1",
            program.display()
        );
        eprintln!("{} is not built: this test proves nothing here", program.display());
        return None;
    }
    Some(program)
}

#[test]
fn accounts_calls_transfers_and_a_conference_through_the_pbx() {
    let Some(program) = pbx() else { return };
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("softphone-pbx");
    let mut ports = Ports::block();
    let sip = ports.take(2);
    let first = ports.take(300);
    let mut text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{sip}\", \"tcp:127.0.0.1:{sip}\"]\nrealm = \"pbx.example\"\n\n\
         [network]\nexternal = \"auto\"\nlocal = [\"127.0.0.0/8\"]\n\n[media]\nports = [\"{first}-{}\"]\n\n\
         [store]\nurl = \"sqlite:{}\"\n\n",
        first + 299,
        scratch.path().join("pbx.db").display()
    );
    for number in 1001..=1003 {
        text += &format!(
            "[[extensions]]\nnumber = \"{number}\"\nname = \"Phone {number}\"\npassword = \"{PASSWORD}\"\n\n"
        );
    }
    let config = scratch.path().join("pbx.toml");
    std::fs::write(&config, text).unwrap();
    let exchange = Peer::start(
        "pbx",
        scratch.path(),
        Command::new(program).current_dir(scratch.path()).arg("--config").arg(&config),
    );
    exchange.wait_for(&format!("listening on udp:127.0.0.1:{sip}"), SOON);
    let registrar = format!("127.0.0.1:{sip}");
    let mut bob = baresip::Phone::start(
        &baresip::Account { name: "bob", ..baresip::Account::registered("1002", PASSWORD, &registrar) },
        scratch.path(),
        &mut ports,
        &audio::signal(3, 300),
    );
    bob.wait_registered();

    let file = scratch.path().join("softphone.toml");
    std::fs::write(
        &file,
        format!(
            "language = \"en\"\n[[accounts]]\nuri = \"sip:1001@127.0.0.1:{sip}\"\npassword_env = \"SECRET\"\nname = \"Ann\"\n\
             [[accounts]]\nuri = \"sip:1003@127.0.0.1:{sip}\"\npassword = \"wrong\"\n"
        ),
    )
    .unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--sound", "tone", "--listen", "udp:127.0.0.1:0"];
    let mut screen = Pty::start_with(&arguments, scratch.path(), &[("SECRET", PASSWORD.to_owned())]);
    screen.wait_for(&format!("1001@127.0.0.1:{sip}  registered"));
    screen.wait_for("not registered:");

    // Commands that need no terminal: an echo is told from a telephone that is none, and a message is refused with a word.
    let report = scratch.path().join("report.json");
    let said = |line: &str| {
        let line = format!("softphone {line} --user 1003 --password {PASSWORD} --server 127.0.0.1:{sip}");
        let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let mut lines = Vec::new();
        let outcome = run::telephone(&arguments, &mut |line| lines.push(line.to_owned()), false).unwrap();
        (outcome, lines)
    };
    let (outcome, lines) = said(&format!("test 186 --for 5s --report {}", report.display()));
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.starts_with("Voice passes both ways: what was said came back after ")),
        "{lines:#?}"
    );
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!((&report["command"], &report["exit_code"]), (&"test".into(), &0.into()));
    assert!(
        report["verdict"]["both_ways"] == true && report["verdict"]["delay_ms"].as_u64().unwrap() < 1000,
        "{report}"
    );
    assert_eq!(report["calls"][0]["codec"], "PCMA/8000");
    let (outcome, lines) = said("test 1002 --for 4s --json");
    assert_eq!(outcome, Outcome::NoAudio, "{lines:#?}");
    let events: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        events.iter().any(|event| event["event"] == "verdict" && event["both_ways"] == false),
        "{lines:#?}"
    );
    assert_eq!(said("register --for 0s").0, Outcome::Good);

    // The echo, with figures; a second call, to a telephone, puts it on hold.
    screen.press("186\r");
    screen.wait_for("talking");
    screen.wait_for("MOS");
    screen.press("1002\r");
    screen.wait_for("held by you");
    screen.wait_for("talking");
    bob.peer.wait_for("Call established", SOON);
    screen.press(F3);
    screen.wait_for("▶ 186");
    // All three together, and apart again.
    screen.press(F7);
    screen.wait_for_times("conference", 2);
    screen.press(F7);
    screen.wait_for("held by you");
    // Bob is joined with the echo, and the screen is free.
    screen.press("\t");
    screen.wait_for("▶ 1002");
    screen.press(F4);
    screen.wait_for("join with the other call");
    screen.press("\r");
    screen.wait_for("No calls.");
    bob.hang_up();
    // Bob calls, and is answered.
    bob.dial(&format!("sip:1001@127.0.0.1:{sip}"));
    screen.wait_for("Incoming call");
    screen.press("\r");
    screen.wait_for("talking");
    screen.press(F4);
    screen.press("186\r");
    screen.wait_for("No calls.");
    // The number of nobody: cause and remedy.
    screen.press("999\r");
    screen.wait_for("404");
    screen.press(F10);
    assert_eq!(screen.exit_code(), Some(0));
    screen.assert_terminal_is_usable();
    assert!(!bob.heard().is_empty());
}

#[test]
fn accounts_over_websockets_and_tls_register_and_call_the_pbx() {
    let Some(program) = pbx() else { return };
    let scratch = Scratch::new("softphone-websocket");
    let mut ports = Ports::block();
    let (udp, ws, wss, tls) = (ports.take(2), ports.take(2), ports.take(2), ports.take(2));
    let first = ports.take(100);
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = file("certificate.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let config = file(
        "pbx.toml",
        &format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{udp}\", \"ws:127.0.0.1:{ws}\", \"wss:127.0.0.1:{wss}\", \"tls:127.0.0.1:{tls}\"]\n\
             realm = \"pbx.example\"\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
             [network]\nexternal = \"auto\"\nlocal = [\"127.0.0.0/8\"]\n[media]\nports = [\"{first}-{}\"]\n\
             [store]\nurl = \"sqlite:{}\"\n[[extensions]]\nnumber = \"1001\"\nname = \"Ann\"\npassword = \"{PASSWORD}\"\n",
            first + 99,
            scratch.path().join("pbx.db").display()
        ),
    );
    let exchange = Peer::start(
        "pbx",
        scratch.path(),
        Command::new(program).current_dir(scratch.path()).arg("--config").arg(&config),
    );
    exchange.wait_for(&format!("listening on udp:127.0.0.1:{udp}"), SOON);
    for (transport, port) in [("ws", ws), ("wss", wss), ("tls", tls)] {
        let account = file(
            "softphone.toml",
            &format!(
                "[tls]\nauthorities = {certificate:?}\n[[accounts]]\nuri = \"sip:1001@127.0.0.1\"\n\
                 password = \"{PASSWORD}\"\nserver = \"127.0.0.1:{port}\"\ntransport = \"{transport}\"\n"
            ),
        );
        for line in ["register --for 0s", "test 186 --register --for 4s"] {
            let line = format!("softphone {line} --config {}", account.display());
            let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
            let mut lines = Vec::new();
            let outcome = run::telephone(&arguments, &mut |line| lines.push(line.to_owned()), false).unwrap();
            assert_eq!(outcome, Outcome::Good, "{transport}, {line}: {lines:#?}\n{}", exchange.log());
            assert!(lines.iter().any(|line| line.starts_with("registered for ")), "{transport}: {lines:#?}");
        }
    }
}

#[test]
fn linphone_calls_and_is_answered() {
    if !require("linphonec") {
        return;
    }
    let scratch = Scratch::new("softphone-linphone");
    let mut ports = Ports::block();
    let file = scratch.path().join("softphone.toml");
    std::fs::write(
        &file,
        "language = \"en\"\n[[accounts]]\nuri = \"sip:me@localhost\"\nregister = false\nencryption = \"offered\"\ncodecs = [\"opus\", \"PCMA\"]\n",
    )
    .unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--sound", "tone", "--listen", "udp:127.0.0.1:0"];
    let mut screen = Pty::start(&arguments, scratch.path());
    let text = screen.wait_for("udp:127.0.0.1:");
    let port: String =
        text.split("udp:127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let settings = linphone::Settings {
        name: "linphone",
        codec: ("opus", 48_000),
        encryption: "srtp",
        answers: false,
        more: "",
    };
    let said = audio::tone(600.0, 8000.0, 300);
    let mut linphone = linphone::Phone::start(&settings, scratch.path(), &mut ports, &said);
    linphone.command(&format!("call sip:me@127.0.0.1:{port}"));
    screen.wait_for("Incoming call");
    screen.press("\r");
    screen.wait_for("talking");
    screen.wait_for("SRTP (SDES)");
    screen.wait_for("them ██");
    screen.press("\x1b");
    screen.wait_for("hung up here");
    screen.press(F10);
    assert_eq!(screen.exit_code(), Some(0));
}
