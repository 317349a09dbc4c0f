//! Calls between two endpoints: RFC 3261 §13–15, as ladder diagrams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    endpoint::*,
    message::{Method, StatusCode},
};
use ladder::{Ladder, answer, offer, other_sdp};

#[test]
fn a_call_is_placed_rings_is_answered_and_hung_up() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    let offered = ladder.event("bob", |event| match event {
        Event::OfferReceived { call, carrier: Carrier::Invite, body, .. } if *call == bobs => {
            Some(body.clone())
        }
        _ => None,
    });
    assert_eq!(offered, offer());
    ladder.ring("bob", bobs);
    ladder.run();
    ladder.answer("bob", bobs);
    ladder.run();
    assert_eq!(
        ladder.arrows(),
        ["alice -> bob INVITE", "bob -> alice 180 INVITE", "bob -> alice 200 INVITE", "alice -> bob ACK",]
    );
    let fork = ladder.event("alice", |event| match event {
        Event::CallProgress { call, fork, response } if *call == alices => {
            assert_eq!(response.status(), StatusCode::RINGING);
            Some(*fork)
        }
        _ => None,
    });
    let answered = ladder.event("alice", |event| match event {
        Event::AnswerReceived { call, fork: of, carrier: Carrier::Success, body, preview: false }
            if *call == alices =>
        {
            assert_eq!(*of, fork);
            Some(body.clone())
        }
        _ => None,
    });
    assert_eq!(answered, answer());
    ladder.event("alice", |event| {
        matches!(event, Event::CallAnswered { call, .. } if *call == alices).then_some(())
    });
    ladder
        .event("bob", |event| matches!(event, Event::CallConfirmed { call } if *call == bobs).then_some(()));
    ladder.hang_up("alice", alices);
    ladder.run();
    assert_eq!(ladder.arrows(), ["alice -> bob BYE", "bob -> alice 200 BYE"]);
    assert_eq!(ladder.end_of("alice", alices), CallEnd::HungUp { by: By::Local, reason: None });
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::HungUp { by: By::Remote, reason: None });
    ladder.assert_nothing_left();
}

#[test]
fn the_callee_may_hang_up_too_and_say_why() {
    let (mut ladder, alices, bobs) = Ladder::established();
    let headers = Headers::new().with("Reason", "Q.850;cause=16").unwrap();
    ladder.tell("bob", |endpoint, now| endpoint.hang_up(bobs, &headers, now)).unwrap();
    ladder.run();
    let reason = Some("Q.850;cause=16".to_owned());
    assert_eq!(ladder.end_of("alice", alices), CallEnd::HungUp { by: By::Remote, reason });
    ladder.end_of("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn a_refusal_reaches_the_caller_with_its_headers() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    let headers = Headers::new().with("Warning", "305 bob \"no codec in common\"").unwrap();
    let reply = Reply::new(StatusCode::NOT_ACCEPTABLE_HERE).with_headers(headers);
    ladder.tell("bob", |endpoint, now| endpoint.refuse(bobs, &reply, now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["alice -> bob INVITE", "bob -> alice 488 INVITE", "alice -> bob ACK"]);
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::RefusedHere(StatusCode::NOT_ACCEPTABLE_HERE));
    let CallEnd::Refused { response } = ladder.end_of("alice", alices) else { panic!() };
    assert_eq!(response.get("Warning"), Some("305 bob \"no codec in common\""));
    ladder.assert_nothing_left();
}

#[test]
fn an_invite_may_be_refused_before_it_becomes_a_call() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Invite);
    let not_found = Reply::new(StatusCode::NOT_FOUND);
    let too_early = Reply::new(StatusCode::OK);
    let misuse = ladder.tell("bob", |endpoint, now| endpoint.respond(request, &too_early, now));
    assert_eq!(misuse, Err(Misuse::Status));
    ladder.tell("bob", |endpoint, now| endpoint.respond(request, &not_found, now)).unwrap();
    ladder.run();
    assert!(
        matches!(ladder.end_of("alice", alices), CallEnd::Refused { response } if response.status() == StatusCode::NOT_FOUND)
    );
    let again = ladder.tell("bob", |endpoint, now| endpoint.respond(request, &not_found, now));
    assert_eq!(again, Err(Misuse::UnknownHandle));
    ladder.assert_nothing_left();
}

#[test]
fn cancel_while_it_rings() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    ladder.arrows();
    let headers = Headers::new().with("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"").unwrap();
    ladder.tell("alice", |endpoint, now| endpoint.cancel(alices, &headers, now)).unwrap();
    ladder.run();
    assert_eq!(
        ladder.arrows(),
        ["alice -> bob CANCEL", "bob -> alice 200 CANCEL", "bob -> alice 487 INVITE", "alice -> bob ACK",]
    );
    let reason = Some("SIP;cause=200;text=\"Call completed elsewhere\"".to_owned());
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::Cancelled { by: By::Remote, reason: reason.clone() });
    assert_eq!(ladder.end_of("alice", alices), CallEnd::Cancelled { by: By::Local, reason });
    ladder.assert_nothing_left();
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.tell("alice", |endpoint, now| endpoint.cancel(alices, &Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["alice -> bob INVITE"]);
    ladder.pass(std::time::Duration::from_millis(250));
    let (request, _) = ladder.incoming("bob", Method::Invite);
    let end = ladder.event("bob", |event| match event {
        Event::RequestEnded { request: ended, reason } if *ended == request => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(end, RequestEnd::Cancelled { reason: None });
    assert_eq!(
        ladder.arrows(),
        [
            "bob -> alice 100 INVITE",
            "alice -> bob CANCEL",
            "bob -> alice 200 CANCEL",
            "bob -> alice 487 INVITE",
            "alice -> bob ACK",
        ]
    );
    assert_eq!(ladder.end_of("alice", alices), CallEnd::Cancelled { by: By::Local, reason: None });
    ladder.assert_nothing_left();
}

#[test]
fn cancel_that_crosses_the_answer_ends_with_bye() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    ladder.arrows();
    ladder.answer("bob", bobs);
    ladder.tell("alice", |endpoint, now| endpoint.cancel(alices, &Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(
        ladder.arrows(),
        [
            "bob -> alice 200 INVITE",
            "alice -> bob CANCEL",
            "alice -> bob ACK",
            "alice -> bob BYE",
            "bob -> alice 200 CANCEL",
            "bob -> alice 200 BYE",
        ]
    );
    assert_eq!(ladder.end_of("alice", alices), CallEnd::Cancelled { by: By::Local, reason: None });
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::HungUp { by: By::Remote, reason: None });
    ladder.assert_nothing_left();
}

#[test]
fn nobody_answers_within_the_time_to_ring() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.options.ring_timeout = Some(std::time::Duration::from_secs(20));
    let alices = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.pass_seconds(21);
    assert_eq!(ladder.end_of("alice", alices), CallEnd::NotAnswered);
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::Cancelled { by: By::Remote, reason: None });
    ladder.assert_nothing_left();
}

#[test]
fn nobody_is_there() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    let alices = ladder.call("alice", "bob");
    ladder.pass_seconds(33);
    assert_eq!(ladder.arrows().len(), 7, "INVITE at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s");
    assert_eq!(ladder.end_of("alice", alices), CallEnd::Unreachable(EndReason::TimedOut));
    ladder.assert_nothing_left();
}

#[test]
fn the_2xx_is_repeated_until_it_is_acknowledged() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    let mut lost = 3;
    ladder.lose(move |arrow| {
        let lose = arrow == "alice -> bob ACK" && lost > 0;
        lost -= i32::from(lose);
        lose
    });
    ladder.answer("bob", bobs);
    ladder.pass_seconds(10);
    assert_eq!(
        ladder.arrows(),
        [
            "alice -> bob INVITE",
            "bob -> alice 200 INVITE",
            "alice -> bob ACK (lost)",
            "bob -> alice 200 INVITE",
            "alice -> bob ACK (lost)",
            "bob -> alice 200 INVITE",
            "alice -> bob ACK (lost)",
            "bob -> alice 200 INVITE",
            "alice -> bob ACK",
        ]
    );
    ladder.event("bob", |event| matches!(event, Event::CallConfirmed { .. }).then_some(()));
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn an_ack_that_never_comes_ends_the_call() {
    let mut ladder = Ladder::alice_and_bob();
    ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.lose(|arrow| arrow == "alice -> bob ACK");
    ladder.answer("bob", bobs);
    ladder.pass_seconds(31);
    assert!(!ladder.has_event("bob", |event| matches!(event, Event::CallEnded { .. })));
    ladder.pass_seconds(2);
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::NotAcknowledged);
    let arrows = ladder.arrows();
    let repeats = arrows.iter().filter(|arrow| *arrow == "bob -> alice 200 INVITE").count();
    assert_eq!(repeats, 11, "at 0, 0.5, 1.5, 3.5, 7.5, 11.5, … 31.5 s");
    assert!(arrows.contains(&"bob -> alice BYE".to_owned()));
    ladder.assert_nothing_left();
}

#[test]
fn hanging_up_waits_for_the_ack() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.answer("bob", bobs);
    ladder.hang_up("bob", bobs);
    ladder.run();
    assert_eq!(
        ladder.arrows(),
        [
            "alice -> bob INVITE",
            "bob -> alice 200 INVITE",
            "alice -> bob ACK",
            "bob -> alice BYE",
            "alice -> bob 200 BYE",
        ]
    );
    ladder.end_of("bob", bobs);
    ladder.end_of("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.body = None;
    let alices = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder
        .event("bob", |event| matches!(event, Event::OfferRequested { call } if *call == bobs).then_some(()));
    let bare = Reply::new(StatusCode::OK);
    let misuse = ladder.tell("bob", |endpoint, now| endpoint.answer(bobs, &bare, now));
    assert_eq!(misuse, Err(Misuse::OfferAnswer(Conflict::OfferDue)));
    ladder.answer("bob", bobs);
    ladder.run();
    ladder.event("alice", |event| {
        matches!(event, Event::OfferReceived { carrier: Carrier::Success, .. }).then_some(())
    });
    assert_eq!(
        ladder.arrows(),
        ["alice -> bob INVITE", "bob -> alice 200 INVITE"],
        "no ACK before the answer"
    );
    let body = Some(other_sdp(1));
    ladder.tell("alice", |endpoint, now| endpoint.answer_offer(alices, body, &Headers::new(), now)).unwrap();
    ladder.run();
    let answered = ladder.event("bob", |event| match event {
        Event::AnswerReceived { call, carrier: Carrier::Ack, body, .. } if *call == bobs => {
            Some(body.clone())
        }
        _ => None,
    });
    assert_eq!(answered, other_sdp(1));
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn hold_and_resume_by_reinvite() {
    let (mut ladder, alices, bobs) = Ladder::established();
    let hold = other_sdp(2);
    ladder.tell("alice", |endpoint, now| endpoint.reinvite(alices, Some(hold), Headers::new(), now)).unwrap();
    ladder.run();
    let offered = ladder.event("bob", |event| match event {
        Event::OfferReceived { call, carrier: Carrier::Invite, body, .. } if *call == bobs => {
            Some(body.clone())
        }
        _ => None,
    });
    assert_eq!(offered, other_sdp(2));
    let body = Some(other_sdp(3));
    ladder.tell("bob", |endpoint, now| endpoint.answer_offer(bobs, body, &Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["alice -> bob INVITE", "bob -> alice 200 INVITE", "alice -> bob ACK"]);
    let answered = ladder.event("alice", |event| match event {
        Event::AnswerReceived { carrier: Carrier::Success, body, .. } => Some(body.clone()),
        _ => None,
    });
    assert_eq!(answered, other_sdp(3));
    ladder.event("alice", |event| matches!(event, Event::Modified { .. }).then_some(()));
    // And the other way.
    let resume = Some(other_sdp(4));
    ladder.tell("bob", |endpoint, now| endpoint.reinvite(bobs, resume, Headers::new(), now)).unwrap();
    ladder.run();
    let refusal = Reply::new(StatusCode::NOT_ACCEPTABLE_HERE);
    ladder.tell("alice", |endpoint, now| endpoint.refuse_offer(alices, &refusal, now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["bob -> alice INVITE", "alice -> bob 488 INVITE", "bob -> alice ACK"]);
    ladder.event("bob", |event| {
        matches!(event, Event::OfferAborted { reason: OfferAbort::Refused { .. }, .. }).then_some(())
    });
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn the_same_description_again_is_a_refresh_answered_by_itself() {
    let (mut ladder, alices, bobs) = Ladder::established();
    let same = Some(offer());
    ladder.tell("alice", |endpoint, now| endpoint.reinvite(alices, same, Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["alice -> bob INVITE", "bob -> alice 200 INVITE", "alice -> bob ACK"]);
    assert!(!ladder.has_event("bob", |event| matches!(event, Event::OfferReceived { .. })));
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn an_update_is_answered_at_once() {
    let (mut ladder, alices, bobs) = Ladder::established();
    ladder
        .tell("bob", |endpoint, now| endpoint.update(bobs, Some(other_sdp(2)), Headers::new(), now))
        .unwrap();
    ladder.run();
    ladder.event("alice", |event| {
        matches!(event, Event::OfferReceived { carrier: Carrier::Update, .. }).then_some(())
    });
    let body = Some(other_sdp(3));
    ladder.tell("alice", |endpoint, now| endpoint.answer_offer(alices, body, &Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["bob -> alice UPDATE", "alice -> bob 200 UPDATE"]);
    ladder.event("bob", |event| {
        matches!(event, Event::AnswerReceived { carrier: Carrier::UpdateSuccess, .. }).then_some(())
    });
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn glare_is_settled_by_waiting() {
    let (mut ladder, alices, bobs) = Ladder::established();
    ladder
        .tell("alice", |endpoint, now| endpoint.reinvite(alices, Some(other_sdp(2)), Headers::new(), now))
        .unwrap();
    ladder
        .tell("bob", |endpoint, now| endpoint.reinvite(bobs, Some(other_sdp(3)), Headers::new(), now))
        .unwrap();
    ladder.run();
    assert_eq!(
        ladder.arrows(),
        [
            "alice -> bob INVITE",
            "bob -> alice INVITE",
            "bob -> alice 491 INVITE",
            "alice -> bob 491 INVITE",
            "alice -> bob ACK",
            "bob -> alice ACK",
        ]
    );
    // Bob does not own the Call-ID: he is back within two seconds, before alice.
    ladder.pass(std::time::Duration::from_millis(2050));
    ladder.event("alice", |event| matches!(event, Event::OfferReceived { .. }).then_some(()));
    let body = Some(other_sdp(4));
    ladder.tell("alice", |endpoint, now| endpoint.answer_offer(alices, body, &Headers::new(), now)).unwrap();
    ladder.run();
    let mut arrows = ladder.arrows();
    arrows.retain(|arrow| arrow != "alice -> bob 100 INVITE");
    assert_eq!(arrows, ["bob -> alice INVITE", "alice -> bob 200 INVITE", "bob -> alice ACK"]);
    ladder.pass_seconds(3);
    ladder.event("bob", |event| matches!(event, Event::OfferReceived { .. }).then_some(()));
    let body = Some(other_sdp(5));
    ladder.tell("bob", |endpoint, now| endpoint.answer_offer(bobs, body, &Headers::new(), now)).unwrap();
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::Modified { .. }).then_some(()));
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn info_inside_a_call_is_the_applications() {
    let (mut ladder, alices, bobs) = Ladder::established();
    let body = Body::new("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    let sent = ladder
        .tell("alice", |endpoint, now| {
            endpoint.request_in_dialog(alices, Method::Info, &Headers::new(), Some(&body), now)
        })
        .unwrap();
    ladder.run();
    let request = ladder.event("bob", |event| match event {
        Event::DialogRequest { call, request, message } if *call == bobs => {
            assert_eq!(message.body(), b"Signal=5\r\nDuration=160\r\n");
            Some(*request)
        }
        _ => None,
    });
    let reply = Reply::new(StatusCode::OK);
    ladder.tell("bob", |endpoint, now| endpoint.respond(request, &reply, now)).unwrap();
    ladder.run();
    let outcome = ladder.event("alice", |event| match event {
        Event::RequestCompleted { outgoing, outcome, .. } if *outgoing == sent => Some(outcome.clone()),
        _ => None,
    });
    assert!(matches!(outcome, Outcome::Response(response) if response.status() == StatusCode::OK));
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn shutting_down_ends_everything() {
    let (mut ladder, alices, bobs) = Ladder::established();
    let ringing = ladder.call("alice", "bob");
    ladder.run();
    let incoming = ladder.call("bob", "alice");
    ladder.run();
    let unanswered = ladder.accept("alice");
    let bobs_other = ladder.accept("bob");
    ladder.ring("bob", bobs_other);
    ladder.run();
    ladder.tell("alice", |endpoint, now| endpoint.shut_down(now));
    ladder.pass_seconds(1);
    for call in [alices, ringing, unanswered] {
        ladder
            .user("alice")
            .events
            .iter()
            .find(|event| matches!(event, Event::CallEnded { call: ended, .. } if *ended == call))
            .unwrap();
    }
    ladder.event("alice", |event| matches!(event, Event::ShutDown).then_some(()));
    let CallEnd::HungUp { by: By::Remote, .. } = ladder.end_of("bob", bobs) else { panic!() };
    let _ = (incoming, bobs_other);
    ladder.assert_nothing_left();
}
