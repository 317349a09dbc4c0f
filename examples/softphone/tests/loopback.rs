//! Two softphones on loopback: what the one says, the other records, both ways; and what does not come about says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod running;
#[path = "running/sound.rs"]
mod sound;

use certificates::Certificates;
use clap::Parser;
use denwa_interop::at_last;
use running::Running;
use softphone::arguments::Arguments;
use softphone::phone::Outcome;
use softphone::{run, wav};
use sound::{noise, share_heard};
use std::path::{Path, PathBuf};

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn each_hears_what_the_other_says() {
    let folder = scratch("talk");
    let path = |name: &str| folder.join(name).display().to_string();
    let (ann, bob) = (noise(1), noise(2));
    wav::write(&folder.join("ann.wav"), &ann, 8000).unwrap();
    wav::write(&folder.join("bob.wav"), &bob, 8000).unwrap();
    at_last(|| {
        let mut answers = Running::start(&format!(
            "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --play {} --record {} --expect-audio",
            path("bob.wav"),
            path("bob-heard.wav")
        ));
        let port = answers.expect("listening on udp:");
        let calls = Running::start(&format!(
            "softphone call sip:bob@{port} --user ann --listen udp:127.0.0.1:0 --play {} --record {} --expect-audio --hangup-after 3s",
            path("ann.wav"),
            path("ann-heard.wav")
        ));
        let (outcome, lines) = calls.end();
        assert_eq!(outcome, Outcome::Good, "{lines:#?}");
        assert!(
            lines.contains(&"answered".to_owned()) && lines.contains(&"call ended: hung up here".to_owned()),
            "{lines:#?}"
        );
        let (outcome, lines) = answers.end();
        assert_eq!(outcome, Outcome::Good, "{lines:#?}");
        for (said, file) in [(&ann, "bob-heard.wav"), (&bob, "ann-heard.wav")] {
            let heard = wav::read(&folder.join(file), 8000).unwrap();
            let share = share_heard(said, &heard);
            if share < 0.97 {
                return Err(format!("{file}: {share}"));
            }
        }
        Ok(())
    });
}

#[test]
fn over_tcp_with_srtp_and_keys() {
    let mut answers = Running::start(
        "softphone answer --user bob --listen tcp:127.0.0.1:0 --calls 1 --srtp require --expect-audio",
    );
    let port = answers.expect("listening on tcp:");
    let calls = Running::start(&format!(
        "softphone call sip:bob@{port};transport=tcp --listen tcp:127.0.0.1:0 --srtp require --digits 42# --hangup-after 5s --expect-audio"
    ));
    let (outcome, lines) = calls.end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    let (outcome, lines) = answers.end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    let keys: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("key ")).collect();
    assert_eq!(keys, ["4", "2", "#"]);
}

#[test]
fn what_does_not_come_about_says_why() {
    let mut answers = Running::start(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --codecs PCMU --srtp require --calls 1",
    );
    let port = answers.expect("listening on udp:");
    let (outcome, lines) =
        Running::start(&format!("softphone call sip:bob@{port} --listen udp:127.0.0.1:0 --codecs PCMA"))
            .end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(lines.iter().any(|line| line.starts_with("call ended: refused: 488")), "{lines:#?}");
    let (outcome, lines) = answers.end();
    assert_eq!(outcome, Outcome::Failed, "{lines:#?}");
    let (_kept, nobody) = denwa_interop::nobody();
    let (outcome, lines) =
        Running::start(&format!("softphone call sip:bob@{nobody} --listen udp:127.0.0.1:0")).end();
    assert_eq!(outcome, Outcome::Failed);
    assert!(lines.iter().any(|line| line.contains("nobody listens there")), "{lines:#?}");
}

#[test]
fn a_call_in_which_nothing_is_heard_fails_when_sound_was_expected() {
    let folder = scratch("silence");
    let silence = folder.join("silence.wav");
    wav::write(&silence, &[0; 8000], 8000).unwrap();
    let mut answers = Running::start(&format!(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --play {} --hangup-at-end",
        silence.display()
    ));
    let port = answers.expect("listening on udp:");
    let (outcome, lines) =
        Running::start(&format!("softphone call sip:bob@{port} --listen udp:127.0.0.1:0 --expect-audio"))
            .end();
    assert_eq!(outcome, Outcome::NoAudio, "{lines:#?}");
    assert!(lines.contains(&"call ended: the other side hung up".to_owned()), "{lines:#?}");
    assert_eq!(answers.end().0, Outcome::Good);
}

#[test]
fn a_report_tells_everything_and_messages_pass() {
    let folder = scratch("report");
    let report = folder.join("report.json");
    let mut answers = Running::start(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --srtp offer --codecs G722,PCMU --json",
    );
    let port = answers.expect("{\"address\":\"udp:127.0.0.1:").split('"').next().unwrap().to_owned();
    let (outcome, lines) =
        Running::start(&format!("softphone message sip:bob@127.0.0.1:{port} hello --listen udp:127.0.0.1:0"))
            .end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    assert!(lines.contains(&"message delivered".to_owned()), "{lines:#?}");
    let (outcome, lines) = Running::start(&format!(
        "softphone call sip:bob@127.0.0.1:{port} --listen udp:127.0.0.1:0 --srtp require --codecs PCMA,G722 --dtmf 5 \
         --hangup-after 3s --expect-audio --report {}",
        report.display()
    ))
    .end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let call = &report["calls"][0];
    assert_eq!((&report["exit_code"], &report["outcome"]), (&0.into(), &"good".into()));
    assert_eq!((&call["codec"], &call["encryption"]), (&"G722/8000".into(), &"sdes".into()), "{report}");
    assert!(call["answered"] == true && call["packets_received"].as_u64().unwrap() > 20, "{report}");
    let (outcome, lines) = answers.end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    let events: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "message" && event["text"] == "hello"), "{lines:#?}");
    assert!(events.iter().any(|event| event["event"] == "key" && event["key"] == "5"), "{lines:#?}");
}

#[test]
fn over_tls_with_an_authority_of_ones_own() {
    let folder = scratch("tls");
    let Certificates { authorities, certificate, key } = Certificates::in_folder(&folder);
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let bob = file("bob.toml", &format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"));
    let ann = file("ann.toml", &format!("[tls]\nauthorities = {authorities:?}\n"));
    let mut answers = Running::start(&format!(
        "softphone answer --config {bob} --user bob --listen tls:127.0.0.1:0 --calls 1 --expect-audio"
    ));
    let port = answers.expect("listening on tls:");
    // Whoever does not believe that authority does not call.
    let (refused, lines) = Running::start(&format!(
        "softphone call sip:bob@{port};transport=tls --user eve --transport tls --listen tcp:127.0.0.1:0 --hangup-after 1s"
    ))
    .end();
    assert_eq!(refused, Outcome::Failed, "{lines:#?}");
    let (outcome, lines) = Running::start(&format!(
        "softphone call sip:bob@{port};transport=tls --config {ann} --user ann --transport tls --listen tcp:127.0.0.1:0 \
         --hangup-after 3s --expect-audio"
    ))
    .end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}");
    assert_eq!(answers.end().0, Outcome::Good);
}

#[test]
fn accounts_come_from_a_file() {
    let folder = scratch("accounts");
    let file = folder.join("softphone.toml");
    std::fs::write(&file, "[[accounts]]\nuri = \"sip:ann@localhost\"\nname = \"Ann\"\nregister = false\n[[accounts]]\nuri = \"carol@localhost\"\nregister = false\n")
        .unwrap();
    let mut answers = Running::start("softphone answer --user bob --listen udp:127.0.0.1:0 --calls 2");
    let port = answers.expect("listening on udp:127.0.0.1:");
    for (account, shown) in [("", "Ann <sip:ann@localhost>"), ("--account carol", "sip:carol@localhost")] {
        let line = format!(
            "softphone call sip:bob@127.0.0.1:{port} --config {} {account} --listen udp:127.0.0.1:0 --hangup-after 200ms",
            file.display()
        );
        assert_eq!(Running::start(&line).end().0, Outcome::Good);
        answers.expect(&format!("call from {shown}"));
    }
    let line = format!("softphone call 1 --config {} --account dave", file.display());
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    let sentence = run::telephone(&arguments, &mut |_| {}, false).unwrap_err();
    assert_eq!(sentence, "there is no account `dave`: the file has ann@localhost, carol@localhost");
}

#[test]
fn a_file_that_cannot_be_said_is_one_sentence() {
    let line = "softphone call 200 --server 127.0.0.1 --play no-such-file.wav";
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    let sentence = run::telephone(&arguments, &mut |_| {}, false).unwrap_err();
    assert!(sentence.starts_with("cannot read no-such-file.wav: "), "{sentence}");
}
