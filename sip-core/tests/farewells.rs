//! A program is killed in a call; its successor ends the dialog by what was written down (RFC 3261 §12.2.1.1, §15.1.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Protocol, Seed,
    config::Listener,
    endpoint::*,
    message::{Method, StatusCode},
    proxy::TargetSet,
};
use ladder::{Decision, Ladder, answer};

/// What was written down of a call.
fn written(ladder: &mut Ladder, name: &str, call: CallHandle) -> Vec<String> {
    ladder.tell(name, |endpoint, _| endpoint.farewells(call)).iter().map(ToString::to_string).collect()
}

/// The program is killed and begins anew, with other tags and without any memory.
fn restart(ladder: &mut Ladder, name: &str) {
    let (now, address) = (ladder.now, ladder.address(name));
    let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address)]);
    ladder.user(name).endpoint = Endpoint::new(config, Seed([77; 32]), now);
    ladder.forget_events(name);
}

fn part(ladder: &mut Ladder, name: &str, text: &str) -> Outcome {
    let farewell: Farewell = text.parse().unwrap();
    assert_eq!(farewell.to_string(), text, "what is read is what was written");
    let why = Headers::new().with("Reason", "SIP;cause=503;text=\"Restarted\"").unwrap();
    let handle =
        ladder.tell(name, |endpoint, now| endpoint.bid_farewell(&farewell, &why, Vec::new(), now)).unwrap();
    ladder.pass_seconds(40);
    ladder.event(name, |event| match event {
        Event::RequestCompleted { outgoing, outcome, .. } if *outgoing == handle => Some(outcome.clone()),
        _ => None,
    })
}

#[test]
fn either_end_is_ended_by_its_successor() {
    for (name, other) in [("alice", "bob"), ("bob", "alice")] {
        let (mut ladder, alices, bobs) = Ladder::established();
        let (own, others) = if name == "alice" { (alices, bobs) } else { (bobs, alices) };
        let texts = written(&mut ladder, name, own);
        assert_eq!(texts.len(), 1);
        assert!(!texts[0].contains("v=0") && !texts[0].contains("\n\n"), "{}", texts[0]);
        // Requests in the call change nothing of it.
        ladder
            .tell(name, |endpoint, now| {
                endpoint.request_in_dialog(own, Method::Info, &Headers::new(), None, now)
            })
            .unwrap();
        ladder.run();
        assert_eq!(written(&mut ladder, name, own), texts);
        restart(&mut ladder, name);
        let outcome = part(&mut ladder, name, &texts[0]);
        assert!(matches!(&outcome, Outcome::Response(it) if it.status() == StatusCode::OK), "{outcome:?}");
        let end = ladder.end_of(other, others);
        assert!(
            matches!(&end, CallEnd::HungUp { by: By::Remote, reason: Some(why) } if why.contains("Restarted")),
            "{end:?}"
        );
        // Whoever is asked twice says that it is over.
        let outcome = part(&mut ladder, name, &texts[0]);
        let gone = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
        assert!(matches!(&outcome, Outcome::Response(it) if it.status() == gone), "{outcome:?}");
        ladder.assert_nothing_left();
    }
}

#[test]
fn it_takes_the_way_of_the_dialog_through_a_proxy() {
    let mut ladder = Ladder::alice_and_bob();
    let bob = ladder.branch("bob");
    ladder.proxy("proxy", "192.0.2.9:5060", true, move |_| Decision::Forward(TargetSet::one(bob.clone())));
    let mut place = ladder.place("alice", "bob");
    place.target = ladder.target("proxy");
    let alices = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.answer("bob", bobs);
    ladder.run();
    let texts = written(&mut ladder, "alice", alices);
    assert!(texts[0].contains("\nRoute: <sip:192.0.2.9"), "{texts:?}");
    restart(&mut ladder, "alice");
    ladder.arrows();
    part(&mut ladder, "alice", &texts[0]);
    assert_eq!(ladder.arrows()[..2], ["alice -> proxy BYE", "proxy -> bob BYE"]);
    assert!(matches!(ladder.end_of("bob", bobs), CallEnd::HungUp { by: By::Remote, .. }));
}

#[test]
fn what_rings_is_ended_by_the_caller_alone() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    assert!(written(&mut ladder, "alice", alices).is_empty(), "there is no dialog yet");
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    assert!(written(&mut ladder, "bob", bobs).is_empty());
    let texts = written(&mut ladder, "alice", alices);
    assert_eq!(texts.len(), 1);
    // What was answered is ended by either.
    ladder
        .tell("bob", |endpoint, now| {
            endpoint.answer(bobs, &Reply::new(StatusCode::OK).with_body(answer()), now)
        })
        .unwrap();
    ladder.run();
    assert_eq!(written(&mut ladder, "alice", alices).len(), 1);
    assert_eq!(written(&mut ladder, "bob", bobs).len(), 1);
    // And nothing is to be ended once it is over.
    ladder.hang_up("alice", alices);
    ladder.run();
    assert!(written(&mut ladder, "alice", alices).is_empty());
    assert!(written(&mut ladder, "bob", bobs).is_empty());
}

#[test]
fn what_is_no_farewell_is_not_sent() {
    let (mut ladder, alices, _) = Ladder::established();
    let text = written(&mut ladder, "alice", alices).remove(0);
    let broken = [
        String::new(),
        text.replacen("to ", "from ", 1),
        text.replacen("to UDP 192", "to UDP 992", 1),
        text.replacen("BYE sip", "INVITE sip", 1),
        text.lines().filter(|line| !line.starts_with("Call-ID")).collect::<Vec<_>>().join("\n"),
        text.lines().filter(|line| !line.starts_with("CSeq")).collect::<Vec<_>>().join("\n"),
        // Cut off in the middle of a line.
        text[..text.find("From").unwrap() + 9].to_owned(),
    ];
    for broken in broken {
        assert!(broken.parse::<Farewell>().is_err(), "{broken}");
    }
    let advertised = text.replacen('\n', "\nas [2001:db8::1]:5070\n", 1);
    assert_eq!(advertised.parse::<Farewell>().unwrap().to_string(), advertised);
}
