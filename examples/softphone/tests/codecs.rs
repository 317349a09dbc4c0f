//! A call between our softphone and baresip, and one with Linphone, on each codec both have: what each says is in what the
//! other recorded.
//!
//! G.726 is not among them, though all three have it: baresip 1.0 and Linphone 5.1 both pack `G726-32` as `AAL2-G726-32` is
//! packed and the other way round, where RFC 3551 §4.5.4 begins an octet with its least significant bits (as FFmpeg has it, with
//! which `codecs/tests/peers.rs` compares both packings). So those and whoever keeps to the RFC hear noise. Linphone's L16 is
//! listened to and not spoken: it is sent in the network's order of bytes, as RFC 3551 §4.5.11 has it, and played without being
//! turned. Linphone's speex, and iLBC, which Debian's Linphone is built without, are no codecs of both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod running;

use denwa_interop::baresip::{self, Account};
use denwa_interop::hearing::Sentence;
use denwa_interop::linphone::{self, Settings};
use denwa_interop::{PATIENCE, Ports, Scratch, audio, require};
use running::Running;
use softphone::phone::Outcome;
use std::path::Path;
use std::thread;

/// A codec's name for us and for the peer, the peer's clock rate, and how much of a signal must come through unchanged.
type Codec = (&'static str, &'static str, u32, f64);

const WITH_BARESIP: [Codec; 6] = [
    ("PCMU", "PCMU", 8_000, 0.97),
    ("PCMA", "PCMA", 8_000, 0.97),
    // Sampled at another rate than the recordings, so that a delay is no whole number of their samples.
    ("G722", "G722", 8_000, 0.7),
    ("GSM", "GSM", 8_000, 0.7),
    ("L16", "L16/8000/1", 8_000, 0.97),
    ("opus", "opus/48000/2", 48_000, 0.7),
];

const WITH_LINPHONE: [Codec; 7] = [
    ("PCMU", "PCMU", 8_000, 0.97),
    ("PCMA", "PCMA", 8_000, 0.97),
    ("G722", "G722", 8_000, 0.7),
    ("GSM", "GSM", 8_000, 0.7),
    ("G729", "G729", 8_000, 0.6),
    ("opus", "opus", 48_000, 0.7),
    ("L16/44100", "L16", 44_100, 0.7),
];

#[test]
fn with_baresip() {
    if require("baresip") {
        side_by_side(&WITH_BARESIP, call_from_baresip);
    }
}

#[test]
fn with_linphone() {
    if require("linphonec") {
        side_by_side(&WITH_LINPHONE, call_from_linphone);
    }
}

fn side_by_side(codecs: &[Codec], call: fn(&Codec)) {
    thread::scope(|scope| {
        let calls: Vec<_> = codecs.iter().map(|codec| scope.spawn(move || call(codec))).collect();
        for call in calls {
            call.join().unwrap();
        }
    });
}

fn call_from_baresip(codec: &Codec) {
    let scratch = Scratch::new(&format!("baresip-{}", codec.1.replace('/', "-")));
    let mut ports = Ports::block();
    call(codec, scratch.path(), |said, answered, ours| {
        let account =
            Account { codecs: codec.1, answers: false, ..Account::unregistered("alice", "127.0.0.1") };
        let alice = baresip::Phone::start(&account, scratch.path(), &mut ports, said);
        alice.peer.wait_for("baresip is ready", PATIENCE);
        alice.dial(ours);
        alice.peer.wait_for("Call established", PATIENCE);
        // Twice, so that the other way has had its time too.
        for _ in 0..2 {
            alice.wait_hears(&format!("{} to them", codec.0), answered);
        }
        alice.hang_up();
        true
    });
}

fn call_from_linphone(codec: &Codec) {
    let scratch = Scratch::new(&format!("linphone-{}", codec.1));
    let mut ports = Ports::block();
    call(codec, scratch.path(), |said, answered, ours| {
        let settings = Settings {
            name: "linphone",
            codec: (codec.1, codec.2),
            encryption: "none",
            answers: false,
            more: "",
        };
        let mut linphone = linphone::Phone::start(&settings, scratch.path(), &mut ports, said);
        linphone.dial(ours);
        if codec.1 == "L16" {
            // It tells of nothing that it says: as long as what it hears takes, and a little more.
            let long = || linphone.heard_so_far().len() > 6 * audio::RATE as usize;
            denwa_interop::wait_until(PATIENCE / 4, long);
        } else {
            for _ in 0..2 {
                linphone.wait_hears(&format!("{} to them", codec.0), answered);
            }
        }
        // Linphone 5.1 may die of a null pointer while it plays L16 (libmediastreamer); then there is nothing to judge.
        let lives = codec.1 != "L16" || linphone.peer.alive();
        if lives {
            linphone.hang_up();
        }
        lives
    });
}

/// Our softphone is called by a peer, which is to say the first to a URI, and hangs up when it has heard the second; whether it did.
fn call(
    &(ours, _, rate, likeness): &Codec,
    folder: &Path,
    peer: impl FnOnce(&[i16], Sentence<'_>, &str) -> bool,
) {
    let (said, answered) = (audio::signal(1, 1), audio::signal(2, 1));
    let sentence = |said| Sentence { said, likeness };
    let path = |name: &str| folder.join(name).display().to_string();
    audio::write_wav(&folder.join("says.wav"), &Sentence::for_minutes(&answered));
    let line = format!(
        "softphone answer --user bob --listen udp:127.0.0.1:0 --calls 1 --codecs {ours} --play {} --record {} --expect-audio",
        path("says.wav"),
        path("heard.wav")
    );
    let mut telephone = Running::start(&line);
    let port = telephone.expect("listening on udp:");
    if !peer(&Sentence::for_minutes(&said), sentence(&answered), &format!("sip:bob@{port}")) {
        return println!("{ours}: the peer has died: this call proves nothing");
    }
    let (outcome, seen) = telephone.end();
    assert_eq!(outcome, Outcome::Good, "{ours}: {seen:#?}");
    let name = ours.split('/').next().unwrap();
    assert!(seen.iter().any(|line| line.contains(&format!("{name}/{rate}"))), "{ours}: {seen:#?}");
    sentence(&said).assert_in(&format!("{ours} to us"), &audio::read_wav(&folder.join("heard.wav")));
}
