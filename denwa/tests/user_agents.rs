//! User agents call one another through the virtual network, with sound, and end as they should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod telephones;
mod virtual_host;

use denwa::ua::UserAgentConfig;
use denwa_sdp::{Capability, Codec};
use denwa_sim::Link;
use telephones::{Manner, World, loudness};

#[test]
fn a_call_with_sound_both_ways() {
    let mut world = World::new(1);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(5);
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(1);
    let told = world.told(&alice);
    assert_eq!(told[0], "ringing 180");
    assert!(told.contains(&"answered".to_owned()), "{told:?}");
    assert_eq!(told.last().unwrap(), "ended: hung up here []", "no findings in a healthy call");
    assert_eq!(world.told(&bob).last().unwrap(), "ended: the other side hung up []");
    for (phone, own, other) in [(&alice, 440.0, 600.0), (&bob, 600.0, 440.0)] {
        let heard = phone.room.lock().unwrap().heard.clone();
        let middle = &heard[8000..32_000];
        assert!(loudness(middle, other) > -13.0, "{}", loudness(middle, other));
        assert!(loudness(middle, own) < -40.0, "its own voice does not come back");
    }
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn the_same_seed_tells_the_same_story_on_a_bad_network() {
    let story = || {
        let mut world = World::new(7);
        let internet = world.internet;
        world.network.set_link(internet, Link::bad(0.1)).unwrap();
        let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
        let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
        let call = world.call(&alice, "sip:bob@192.0.2.2");
        world.pass(20);
        world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
        world.pass(40);
        assert!(world.told(&bob).contains(&"answered".to_owned()), "{:?}", world.told(&bob));
        world.network.trace().digest()
    };
    assert_eq!(story(), story());
}

#[test]
fn busy_and_declined_and_nobody() {
    let mut world = World::new(2);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Refuses);
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: refused: 486 Busy Here [\"Busy\"]");
    world.call(&alice, "sip:nobody@192.0.2.99");
    world.pass(60);
    assert_eq!(
        world.told(&alice).last().unwrap(),
        "ended: not reached: no reply of any kind [\"NoReply\"]",
        "{:?}",
        world.told(&alice)
    );
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn giving_up_while_it_rings() {
    let mut world = World::new(3);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::LetsRing);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(3);
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(2);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: given up before an answer []");
    assert_eq!(world.told(&bob).last().unwrap(), "ended: the caller gave up []");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn nothing_in_common_names_both_lists() {
    let mut world = World::new(4);
    let only =
        |codec: Codec| move |config: &mut UserAgentConfig| config.capability = Capability::telephone([codec]);
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, only(Codec::pcma()));
    let bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, only(Codec::pcmu()));
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    let told = world.told(&alice);
    let last = told.last().unwrap();
    assert!(
        last.starts_with("ended: refused: 488") && last.contains("PCMA") && last.contains("PCMU"),
        "{last}"
    );
    assert!(last.contains("NoCommonCodec"), "{last}");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn hold_digits_and_resumption() {
    let mut world = World::new(5);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.press(call, "42#", now).unwrap());
    world.pass(2);
    let digits: Vec<String> = world.told(&bob).into_iter().filter(|line| line.contains("Digit")).collect();
    assert_eq!(digits.len(), 3, "{digits:?}");
    world.act(&alice, |agent, now| agent.hold(call, now).unwrap());
    world.pass(1);
    assert!(
        world
            .told(&bob)
            .iter()
            .any(|line| line.contains("DirectionChanged { sends: false, receives: true }"))
    );
    alice.room.lock().unwrap().heard.clear();
    world.pass(2);
    let held = alice.room.lock().unwrap().heard.clone();
    assert!(loudness(&held[4000..], 600.0) < -40.0, "bob is silent");
    world.act(&alice, |agent, now| agent.resume(call, now).unwrap());
    world.pass(1);
    alice.room.lock().unwrap().heard.clear();
    world.pass(3);
    let resumed = alice.room.lock().unwrap().heard.clone();
    assert!(loudness(&resumed[8000..], 600.0) > -13.0, "{}", loudness(&resumed[8000..], 600.0));
    world.act(&bob, |agent, now| {
        let call = agent.calls().next().unwrap();
        agent.hang_up(call, now).unwrap();
    });
    world.pass(1);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: the other side hung up []");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn a_call_over_tcp_and_by_name() {
    let mut world = World::new(6);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    world.network.names().add("bob.example", denwa_sim::Record::A("192.0.2.2".parse().unwrap()));
    let call = world.call(&alice, "sip:bob@bob.example;transport=tcp");
    world.pass(3);
    assert!(world.told(&alice).contains(&"answered".to_owned()), "{:?}", world.told(&alice));
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(1);
    world.call(&alice, "sip:bob@nowhere.example");
    world.pass(3);
    assert_eq!(
        world.told(&alice).last().unwrap(),
        "ended: not reached: the name nowhere.example has no address [\"NameUnknown\"]"
    );
    assert_eq!(world.told(&bob).len(), 4, "{:?}", world.told(&bob));
}

#[test]
fn shutting_down_hangs_up() {
    let mut world = World::new(8);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.shut_down(now));
    world.pass(40);
    assert_eq!(world.told(&alice).last().unwrap(), "ShutDown");
    assert_eq!(world.told(&bob).last().unwrap(), "ended: the other side hung up []");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn who_does_not_answer_our_farewell_is_not_waited_for() {
    let mut world = World::new(9);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    // Nobody is there, and nobody says so.
    world.call(&alice, "sip:bob@192.0.2.99");
    world.pass(1);
    world.act(&alice, |agent, now| agent.shut_down(now));
    world.pass(3);
    assert!(world.told(&alice).is_empty(), "{:?}", world.told(&alice));
    world.pass(2);
    assert_eq!(world.told(&alice).last().unwrap(), "ShutDown");
    world.pass(40);
    assert_eq!(world.told(&alice).last().unwrap(), "ShutDown", "it is the last word");
}
