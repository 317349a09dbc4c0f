//! baresip with SRTP mandatory and keys in the description: every suite it answers, and the one it offers, and what each heard is
//! compared with what the other said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_interop::{
    PATIENCE, Peer, Ports, Scratch, audio,
    baresip::{Account, Phone},
    hearing::Sentence,
    require,
};
use std::{process::Command, thread};

const SUITES: [&str; 4] =
    ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"];

/// Both ends, and what they say.
struct Scene {
    scratch: Scratch,
    ports: Ports,
    suite: &'static str,
    ours: Vec<i16>,
    theirs: Vec<i16>,
}

impl Scene {
    fn new(name: &str, suite: &'static str, seed: u32) -> Self {
        Self {
            scratch: Scratch::new(name),
            ports: Ports::block(),
            suite,
            ours: audio::signal(seed, 1),
            theirs: audio::signal(seed + 100, 1),
        }
    }

    fn baresip(&mut self, answers: bool) -> Phone {
        let account = Account {
            name: "baresip",
            answers,
            parameters: ";mediaenc=srtp-mand",
            ..Account::unregistered("alice", "127.0.0.1")
        };
        let phone = Phone::start(
            &account,
            self.scratch.path(),
            &mut self.ports,
            &Sentence::for_minutes(&self.theirs),
        );
        phone.peer.wait_for("baresip is ready", PATIENCE);
        phone
    }

    /// Our telephone.
    fn softphone(&self, sip_port: u16, errand: &[&str]) -> Peer {
        let folder = self.scratch.path();
        audio::write_wav(&folder.join("ours.wav"), &Sentence::for_minutes(&self.ours));
        let mut command = Command::new(env!("CARGO_BIN_EXE_softphone"));
        command
            .args(errand)
            .args(["--user", "denwa", "--codecs", "PCMA", "--srtp", "require", "--srtp-suites", self.suite])
            .args(["--listen", &format!("udp:127.0.0.1:{sip_port}"), "--expect-audio"])
            .arg("--play")
            .arg(folder.join("ours.wav"))
            .arg("--record")
            .arg(folder.join("heard.wav"));
        Peer::start("softphone", folder, &mut command)
    }

    fn judge(self, mut ours: Peer, theirs: &Phone) {
        let label = |way: &str| format!("{}: {way}", self.suite);
        // Twice, so that the other way has had its time too.
        for _ in 0..2 {
            theirs.wait_hears(&label("ours to baresip"), Sentence::plain(&self.ours));
        }
        theirs.hang_up();
        let status = ours.wait(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{}: {status:?}\n{}", self.suite, ours.log());
        theirs.peer.wait_for("terminated", PATIENCE);
        let log = theirs.peer.log();
        assert!(log.contains(self.suite), "{} is not what was agreed:\n{log}", self.suite);
        let heard = audio::read_wav(&self.scratch.path().join("heard.wav"));
        Sentence::plain(&self.theirs).assert_in(&label("baresip to ours"), &heard);
        Sentence::plain(&self.ours).assert_not_in(&label("ours to ours"), &heard);
    }
}

/// baresip 1.0 offers one suite and no other: the first.
#[test]
fn baresip_calls_us() {
    if !require("baresip") {
        return;
    }
    let mut scene = Scene::new("srtp-called", SUITES[0], 70);
    let port = scene.ports.take(2);
    let ours = scene.softphone(port, &["answer", "--calls", "1"]);
    ours.wait_for("listening on", PATIENCE);
    let theirs = scene.baresip(false);
    theirs.dial(&format!("sip:denwa@127.0.0.1:{port}"));
    theirs.peer.wait_for("Call established", PATIENCE);
    scene.judge(ours, &theirs);
}

#[test]
fn we_call_baresip_under_every_suite() {
    if !require("baresip") {
        return;
    }
    thread::scope(|scope| {
        for (number, suite) in (40..).zip(SUITES) {
            scope.spawn(move || {
                let mut scene = Scene::new("srtp-calling", suite, number);
                let port = scene.ports.take(2);
                let theirs = scene.baresip(true);
                let address = format!("sip:alice@127.0.0.1:{}", theirs.sip_port);
                let ours = scene.softphone(port, &["call", &address]);
                theirs.peer.wait_for("Call established", PATIENCE);
                scene.judge(ours, &theirs);
            });
        }
    });
}

/// Who must have SRTP and is offered none refuses, and says so.
#[test]
fn a_plain_call_is_refused_both_ways() {
    if !require("baresip") {
        return;
    }
    let mut scene = Scene::new("srtp-refused", SUITES[0], 60);
    let port = scene.ports.take(2);
    let theirs = scene.baresip(true);
    let mut plain = Command::new(env!("CARGO_BIN_EXE_softphone"));
    plain.args(["call", &format!("sip:alice@127.0.0.1:{}", theirs.sip_port), "--codecs", "PCMA"]);
    plain.args(["--listen", &format!("udp:127.0.0.1:{port}"), "--hangup-after", "3s", "--expect-audio"]);
    let mut ours = Peer::start("plain", scene.scratch.path(), &mut plain);
    let status = ours.wait(PATIENCE).expect("it ends");
    assert!(!status.success(), "{}", ours.log());
}
