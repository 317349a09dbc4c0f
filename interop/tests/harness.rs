//! The harness proves itself: two baresips call each other directly, and both recordings are judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_interop::{
    PATIENCE, Ports, Scratch, audio,
    baresip::{Account, Phone},
    hearing::Sentence,
    require,
};

#[test]
fn two_baresips_without_anything_between_them() {
    if !require("baresip") {
        return;
    }
    let scratch = Scratch::new("harness");
    let mut ports = Ports::block();
    let (one, two) = (audio::signal(1, 1), audio::signal(2, 1));
    let account = Account { answers: false, ..Account::unregistered("alice", "127.0.0.1") };
    let alice = Phone::start(&account, scratch.path(), &mut ports, &Sentence::for_minutes(&one));
    let bob = Account { name: "bob", user: "bob", answers: true, ..account };
    let bob = Phone::start(&bob, scratch.path(), &mut ports, &Sentence::for_minutes(&two));
    alice.peer.wait_for("baresip is ready", PATIENCE);
    bob.peer.wait_for("baresip is ready", PATIENCE);
    alice.dial(&format!("sip:bob@127.0.0.1:{}", bob.sip_port));
    alice.peer.wait_for("Call established", PATIENCE);
    bob.wait_hears("alice to bob", Sentence::plain(&one));
    alice.wait_hears("bob to alice", Sentence::plain(&two));
    alice.hang_up();
    bob.peer.wait_for("terminated", PATIENCE);
    for (label, phone, own) in [("bob", bob, &two), ("alice", alice, &one)] {
        let (_, heard) = phone.newest_recording();
        Sentence::plain(own).assert_not_in(label, &heard);
    }
}
