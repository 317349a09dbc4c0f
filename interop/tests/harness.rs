//! The harness proves itself: two baresips call each other directly, and both recordings are judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{thread, time::Duration};

use denwa_interop::{
    Ports, Scratch, audio,
    baresip::{Account, Phone},
    require,
};

#[test]
fn two_baresips_without_anything_between_them() {
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("harness");
    let mut ports = Ports::block();
    let (one, two) = (audio::signal(1, 5), audio::signal(2, 5));
    let account = Account {
        name: "alice",
        user: "alice",
        password: "none",
        registrar: "127.0.0.1",
        transport: "udp",
        codecs: "PCMA",
        answers: false,
        register_every: 0,
        parameters: "",
    };
    let mut alice = Phone::start(&account, scratch.path(), &mut ports, &one);
    let bob = Account { name: "bob", user: "bob", answers: true, ..account };
    let mut bob = Phone::start(&bob, scratch.path(), &mut ports, &two);
    alice.peer.wait_for("baresip is ready", Duration::from_secs(10));
    bob.peer.wait_for("baresip is ready", Duration::from_secs(10));
    alice.dial(&format!("sip:bob@127.0.0.1:{}", bob.sip_port));
    alice.peer.wait_for("Call established", Duration::from_secs(10));
    thread::sleep(Duration::from_secs(8)); // the length of what is said, not a guess at anybody's speed
    alice.hang_up();
    bob.peer.wait_for("terminated", Duration::from_secs(10));
    audio::assert_heard("alice to bob", &one, &bob.heard(), Some(&two));
    audio::assert_heard("bob to alice", &two, &alice.heard(), Some(&one));
}
