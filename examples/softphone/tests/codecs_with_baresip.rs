//! A call between our softphone and baresip on each codec both have: what each says is in what the other recorded.
//!
//! G.726 is not among them: baresip 1.0 packs its `G726-32` as `AAL2-G726-32` is packed (RFC 3551 §4.5.4 has it the other
//! way), so that it and whoever keeps to the RFC hear noise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod running;

use denwa_interop::baresip::{Account, Phone};
use denwa_interop::{Ports, Scratch, audio, require};
use running::Running;
use softphone::phone::Outcome;
use std::time::Duration;

/// Our name of the codec, baresip's, what our telephone reports, and how much of a signal must come through unchanged.
const CODECS: [(&str, &str, &str, f64); 6] = [
    ("PCMU", "PCMU", "PCMU/8000", 0.97),
    ("PCMA", "PCMA", "PCMA/8000", 0.97),
    // Sampled at another rate than the recordings, so that a delay is no whole number of their samples.
    ("G722", "G722", "G722/8000", 0.7),
    ("GSM", "GSM", "GSM/8000", 0.7),
    ("L16", "L16/8000/1", "L16/8000", 0.97),
    ("opus", "opus/48000/2", "opus/48000", 0.7),
];

#[test]
fn on_each_codec_both_have() {
    if !require("baresip") {
        return;
    }
    std::thread::scope(|scope| {
        let calls: Vec<_> = CODECS.iter().map(|codec| scope.spawn(move || call(codec))).collect();
        for call in calls {
            call.join().unwrap();
        }
    });
}

fn call(&(ours, theirs, reported, least): &(&str, &str, &str, f64)) {
    let scratch = Scratch::new(&format!("codec-{ours}"));
    let mut ports = Ports::block();
    let (said, answered) = (audio::signal(1, 4), audio::signal(2, 4));
    let path = |name: &str| scratch.path().join(name).display().to_string();
    audio::write_wav(&scratch.path().join("says.wav"), &answered);

    let line = format!(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --codecs {ours} --play {} --record {} --expect-audio",
        path("says.wav"),
        path("heard.wav")
    );
    let mut telephone = Running::start(&line);
    let port = telephone.expect("listening on udp:");
    let account = Account {
        name: "alice",
        user: "alice",
        password: "none",
        registrar: "127.0.0.1",
        transport: "udp",
        codecs: theirs,
        answers: false,
        register_every: 0,
        parameters: "",
    };
    let mut alice = Phone::start(&account, scratch.path(), &mut ports, &said);
    alice.peer.wait_for("baresip is ready", Duration::from_secs(20));
    alice.dial(&format!("sip:bob@{port}"));
    alice.peer.wait_for("Call established", Duration::from_secs(20));
    std::thread::sleep(Duration::from_secs(7)); // the length of what is said, not a guess at anybody's speed
    alice.hang_up();
    let (outcome, seen) = telephone.end();
    assert_eq!(outcome, Outcome::Good, "{ours}: {seen:#?}");
    assert!(seen.iter().any(|line| line.contains(reported)), "{ours}: {seen:#?}");

    let heard = audio::read_wav(&scratch.path().join("heard.wav"));
    for (way, sent, received) in [("to us", &said, heard), ("to baresip", &answered, alice.heard())] {
        let verdict = audio::compare(sent, &received)
            .unwrap_or_else(|| panic!("{ours} {way}: nothing of it in {} samples", received.len()));
        println!(
            "{ours} {way}: correlation {:.3}, gaps {:.1} %, delay {:.0} ms",
            verdict.correlation,
            verdict.gaps * 100.0,
            verdict.delay_ms
        );
        assert!(verdict.correlation > least, "{ours} {way}: {verdict:?}");
        assert!(least < 0.9 || verdict.gaps <= 0.02, "{ours} {way}: {verdict:?}");
    }
}
