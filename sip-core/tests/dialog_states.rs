//! The state machine of the INVITE dialog usage, arrow by arrow: RFC 5407 figure 1 (the caller) and figure 2 (the callee),
//! and the races of its §3. RFC 4235 figure 3 has the same arrows under other names; what it has beside them is at the end.
//!
//! One arrow is left out on purpose: a caller may send BYE in Early to end one of several early dialogs; hanging up here
//! cancels them all, as figure 1's own text recommends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Request,
    endpoint::*,
    message::{Method, StatusCode},
};
use ladder::{Ladder, answer, offer, other_sdp};

const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5060>";

/// Alice is an endpoint, Bob is written by hand.
fn with_raw_bob() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    ladder
}

fn sdp(body: &Body) -> String {
    String::from_utf8(body.bytes.to_vec()).unwrap().replace("\r\n", "\n")
}

fn respond(ladder: &mut Ladder, request: &Request, status: &str, tag: &str, fields: &str, body: &str) {
    let header = |name: &str| format!("{name}: {}\n", request.get(name).unwrap());
    let to = request.get("To").unwrap();
    let to = if to.contains("tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let text = format!(
        "SIP/2.0 {status}\n{}{}To: {to}\n{}{}{fields}\n{kind}\n{body}",
        header("Via"),
        header("From"),
        header("Call-ID"),
        header("CSeq"),
    )
    .replace("\n\n\n", "\n\n");
    ladder.send("bob", "alice", &text);
    ladder.run();
}

fn is_established(ladder: &mut Ladder, name: &str, call: CallHandle) -> Option<bool> {
    ladder.user(name).endpoint.call(call).map(|call| call.is_established)
}

fn dialogs(ladder: &mut Ladder, name: &str) -> usize {
    ladder.user(name).endpoint.counts().dialogs
}

// -- figure 1: the caller

/// Preparative: the INVITE is out.
fn calling() -> (Ladder, CallHandle, Request) {
    let mut ladder = with_raw_bob();
    let call = ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    (ladder, call, invite)
}

fn early() -> (Ladder, CallHandle, Request) {
    let (mut ladder, call, invite) = calling();
    respond(&mut ladder, &invite, "180 Ringing", "t1", CONTACT, "");
    (ladder, call, invite)
}

fn established_caller() -> (Ladder, CallHandle, Request) {
    let (mut ladder, call, invite) = early();
    respond(&mut ladder, &invite, "200 OK", "t1", CONTACT, &sdp(&answer()));
    ladder.received_request("bob", Method::Ack);
    (ladder, call, invite)
}

/// Bob's request inside the dialog that Alice's INVITE made.
fn inside(ladder: &mut Ladder, invite: &Request, method: &str, sequence: u32, tag: &str, more: &str) {
    let text = format!(
        "{method} sip:alice@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{method}{sequence}{tag}
        Max-Forwards: 70
        From: {};tag={tag}
        To: {}
        Call-ID: {}
        CSeq: {sequence} {method}
        {CONTACT}
        {more}",
        invite.get("To").unwrap(),
        invite.get("From").unwrap(),
        invite.call_id().unwrap(),
    );
    ladder.send("bob", "alice", &text);
    ladder.run();
}

#[test]
fn figure_1_invite_to_preparative_has_no_dialog() {
    let (mut ladder, call, _) = calling();
    assert_eq!(is_established(&mut ladder, "alice", call), Some(false));
    assert_eq!(dialogs(&mut ladder, "alice"), 0);
}

#[test]
fn figure_1_preparative_3xx_to_6xx_to_morgue() {
    for status in [302, 404, 503, 603] {
        let (mut ladder, call, invite) = calling();
        respond(&mut ladder, &invite, &format!("{status} No"), "t1", "X: 1", "");
        let end = ladder.end_of("alice", call);
        assert!(matches!(end, CallEnd::Refused { response } if response.status().code() == status));
        ladder.received_request("bob", Method::Ack);
        ladder.assert_nothing_left();
    }
}

#[test]
fn figure_1_preparative_1xx_tag_to_early() {
    let (mut ladder, call, _) = early();
    assert_eq!((is_established(&mut ladder, "alice", call), dialogs(&mut ladder, "alice")), (Some(false), 1));
}

#[test]
fn figure_1_preparative_2xx_to_moratorium() {
    let (mut ladder, call, invite) = calling();
    respond(&mut ladder, &invite, "200 OK", "t1", CONTACT, &sdp(&answer()));
    assert_eq!((is_established(&mut ladder, "alice", call), dialogs(&mut ladder, "alice")), (Some(true), 1));
}

#[test]
fn figure_1_early_1xx_with_new_tag_makes_another_machine() {
    let (mut ladder, _, invite) = early();
    respond(&mut ladder, &invite, "180 Ringing", "t2", CONTACT, "");
    assert_eq!(dialogs(&mut ladder, "alice"), 2);
    respond(&mut ladder, &invite, "183 Session Progress", "t2", CONTACT, "");
    assert_eq!(dialogs(&mut ladder, "alice"), 2, "a known tag makes none");
}

#[test]
fn figure_1_early_3xx_to_6xx_to_morgue() {
    let (mut ladder, call, invite) = early();
    respond(&mut ladder, &invite, "180 Ringing", "t2", CONTACT, "");
    respond(&mut ladder, &invite, "486 Busy Here", "t1", "X: 1", "");
    assert!(matches!(ladder.end_of("alice", call), CallEnd::Refused { .. }));
    assert_eq!(dialogs(&mut ladder, "alice"), 0, "it ends all of them");
    ladder.assert_nothing_left();
}

#[test]
fn figure_1_early_2xx_to_moratorium_ends_the_other_early_dialogs() {
    let (mut ladder, call, invite) = early();
    respond(&mut ladder, &invite, "180 Ringing", "t2", CONTACT, "");
    respond(&mut ladder, &invite, "200 OK", "t1", CONTACT, &sdp(&answer()));
    assert_eq!((is_established(&mut ladder, "alice", call), dialogs(&mut ladder, "alice")), (Some(true), 1));
}

#[test]
fn figure_1_moratorium_2xx_with_new_tag_is_acknowledged_and_hung_up() {
    let (mut ladder, call, invite) = established_caller();
    respond(&mut ladder, &invite, "200 OK", "t2", CONTACT, &sdp(&answer()));
    assert_eq!(ladder.received_request("bob", Method::Ack).to().unwrap().tag(), Some("t2"));
    assert_eq!(ladder.received_request("bob", Method::Bye).to().unwrap().tag(), Some("t2"));
    assert_eq!(is_established(&mut ladder, "alice", call), Some(true));
}

#[test]
fn figure_1_moratorium_ack_to_established_waits_for_a_late_answer() {
    let mut ladder = with_raw_bob();
    let mut place = ladder.place("alice", "bob");
    place.body = None;
    let call = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    respond(&mut ladder, &invite, "200 OK", "t1", CONTACT, &sdp(&offer()));
    assert!(ladder.received("bob").is_none(), "Moratorium lasts until the application has answered");
    let body = Some(answer());
    ladder.tell("alice", |it, now| it.answer_offer(call, body, &Headers::new(), now)).unwrap();
    ladder.run();
    assert!(!ladder.received_request("bob", Method::Ack).body().is_empty());
}

#[test]
fn figure_1_established_a_repeated_2xx_gets_the_ack_again() {
    let (mut ladder, _, invite) = established_caller();
    for _ in 0..3 {
        respond(&mut ladder, &invite, "200 OK", "t1", CONTACT, &sdp(&answer()));
        assert_eq!(ladder.received_request("bob", Method::Ack).to().unwrap().tag(), Some("t1"));
    }
}

#[test]
fn figure_1_confirmed_bye_sent_to_mortal() {
    let (mut ladder, call, _) = established_caller();
    ladder.hang_up("alice", call);
    ladder.run();
    ladder.received_request("bob", Method::Bye);
    assert!(matches!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Local, .. }));
    assert_eq!(is_established(&mut ladder, "alice", call), None, "outwardly there is no call");
    assert_eq!(dialogs(&mut ladder, "alice"), 1, "inwardly the dialog stands until the BYE is answered");
}

#[test]
fn figure_1_confirmed_bye_received_to_mortal() {
    let (mut ladder, call, invite) = established_caller();
    inside(&mut ladder, &invite, "BYE", 1, "t1", "X: 1");
    ladder.received_response("bob", 200);
    assert!(matches!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Remote, .. }));
    ladder.assert_nothing_left();
}

#[test]
fn figure_1_mortal_a_repeated_2xx_gets_its_ack() {
    let (mut ladder, call, invite) = established_caller();
    ladder.hang_up("alice", call);
    ladder.run();
    ladder.received_request("bob", Method::Bye);
    respond(&mut ladder, &invite, "200 OK", "t1", CONTACT, &sdp(&answer()));
    ladder.received_request("bob", Method::Ack);
}

#[test]
fn figure_1_mortal_bye_received_is_answered_200_and_anything_else_481() {
    let (mut ladder, call, invite) = established_caller();
    ladder.hang_up("alice", call);
    ladder.run();
    let bye = ladder.received_request("bob", Method::Bye);
    inside(&mut ladder, &invite, "INVITE", 1, "t1", "X: 1");
    ladder.received_response("bob", 481);
    inside(&mut ladder, &invite, "BYE", 2, "t1", "X: 1");
    ladder.received_response("bob", 200);
    respond(&mut ladder, &bye, "200 OK", "t1", "X: 1", "");
    // Morgue.
    inside(&mut ladder, &invite, "BYE", 3, "t1", "X: 1");
    ladder.received_response("bob", 481);
    ladder.assert_nothing_left();
}

#[test]
fn figure_1_mortal_timeout_to_morgue() {
    let (mut ladder, call, _) = established_caller();
    ladder.hang_up("alice", call);
    ladder.pass_seconds(33);
    assert_eq!(dialogs(&mut ladder, "alice"), 0);
    ladder.assert_nothing_left();
}

// -- figure 2: the callee

const INVITE: &str = "INVITE sip:alice@192.0.2.1 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKi1
    Max-Forwards: 70
    From: <sip:bob@192.0.2.2>;tag=b
    To: <sip:alice@192.0.2.1>
    Call-ID: c
    CSeq: 1 INVITE
    Contact: <sip:bob@192.0.2.2:5060>
    Content-Type: application/sdp

    v=0
    o=b 1 1 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 5000 RTP/AVP 0";

fn called() -> (Ladder, CallHandle) {
    let mut ladder = with_raw_bob();
    ladder.send("bob", "alice", INVITE);
    ladder.run();
    let call = ladder.accept("alice");
    (ladder, call)
}

fn ringing() -> (Ladder, CallHandle, String) {
    let (mut ladder, call) = called();
    ladder.ring("alice", call);
    ladder.run();
    let tag = ladder.received_response("bob", 180).to().unwrap().tag().unwrap().to_owned();
    (ladder, call, tag)
}

fn moratorium() -> (Ladder, CallHandle, String) {
    let (mut ladder, call, tag) = ringing();
    ladder.answer("alice", call);
    ladder.run();
    ladder.received_response("bob", 200);
    (ladder, call, tag)
}

fn established_callee() -> (Ladder, CallHandle, String) {
    let (mut ladder, call, tag) = moratorium();
    bobs(&mut ladder, "ACK", 1, &tag);
    (ladder, call, tag)
}

/// Bob's request inside the dialog that his INVITE made.
fn bobs(ladder: &mut Ladder, method: &str, sequence: u32, tag: &str) {
    let text = format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{method}{sequence}
        Max-Forwards: 70
        From: <sip:bob@192.0.2.2>;tag=b
        To: <sip:alice@192.0.2.1>;tag={tag}
        Call-ID: c
        CSeq: {sequence} {method}
        {CONTACT}"
    );
    ladder.send("bob", "alice", &text);
    ladder.run();
}

#[test]
fn figure_2_invite_to_preparative() {
    let mut ladder = with_raw_bob();
    ladder.send("bob", "alice", INVITE);
    ladder.run();
    assert_eq!(dialogs(&mut ladder, "alice"), 0, "nothing until the application takes it");
    ladder.incoming("alice", Method::Invite);
}

#[test]
fn figure_2_preparative_3xx_to_6xx_to_morgue() {
    let (mut ladder, call) = called();
    let reply = Reply::new(StatusCode::BUSY_HERE);
    ladder.tell("alice", |it, now| it.refuse(call, &reply, now)).unwrap();
    ladder.run();
    assert!(ladder.received_response("bob", 486).to().unwrap().tag().is_some());
    assert_eq!(ladder.end_of("alice", call), CallEnd::RefusedHere(StatusCode::BUSY_HERE));
    ladder.assert_nothing_left();
}

#[test]
fn figure_2_preparative_1xx_tag_to_early() {
    let (mut ladder, call, tag) = ringing();
    assert!(!tag.is_empty());
    assert_eq!(is_established(&mut ladder, "alice", call), Some(false));
}

#[test]
fn figure_2_preparative_2xx_to_moratorium() {
    let (mut ladder, call) = called();
    ladder.answer("alice", call);
    ladder.run();
    ladder.received_response("bob", 200);
    assert_eq!(is_established(&mut ladder, "alice", call), Some(true));
    assert!(!ladder.has_event("alice", |event| matches!(event, Event::CallConfirmed { .. })));
}

#[test]
fn figure_2_early_3xx_to_6xx_to_morgue() {
    let (mut ladder, call, tag) = ringing();
    let reply = Reply::new(StatusCode::DECLINE);
    ladder.tell("alice", |it, now| it.refuse(call, &reply, now)).unwrap();
    ladder.run();
    assert_eq!(ladder.received_response("bob", 603).to().unwrap().tag(), Some(&*tag), "the same dialog");
    ladder.assert_nothing_left();
}

#[test]
fn figure_2_early_bye_to_mortal_answers_the_invite_487() {
    let (mut ladder, call, tag) = ringing();
    bobs(&mut ladder, "BYE", 2, &tag);
    ladder.received_response("bob", 200);
    ladder.received_response("bob", 487);
    assert!(matches!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Remote, .. }));
    ladder.assert_nothing_left();
}

#[test]
fn figure_2_early_2xx_to_moratorium() {
    let (mut ladder, call, _) = moratorium();
    assert_eq!(is_established(&mut ladder, "alice", call), Some(true));
}

#[test]
fn figure_2_moratorium_2xx_is_repeated_if_ack_is_not_received() {
    let (mut ladder, _, tag) = moratorium();
    ladder.pass_seconds(4);
    let mut repeats = 0;
    while ladder.received("bob").is_some() {
        repeats += 1;
    }
    assert_eq!(repeats, 3, "after 0.5, 1.5 and 3.5 s");
    bobs(&mut ladder, "ACK", 1, &tag);
    ladder.pass_seconds(40);
    assert!(ladder.received("bob").is_none());
}

#[test]
fn figure_2_moratorium_ack_to_established() {
    let (mut ladder, call, _) = established_callee();
    ladder.event("alice", |event| matches!(event, Event::CallConfirmed { .. }).then_some(()));
    assert_eq!(is_established(&mut ladder, "alice", call), Some(true));
}

#[test]
fn figure_2_confirmed_bye_received_to_mortal_even_before_the_ack() {
    let (mut ladder, call, tag) = moratorium();
    bobs(&mut ladder, "BYE", 2, &tag);
    ladder.received_response("bob", 200);
    assert!(matches!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Remote, .. }));
    ladder.assert_nothing_left();
}

#[test]
fn figure_2_confirmed_bye_sent_to_mortal() {
    let (mut ladder, call, _) = established_callee();
    ladder.hang_up("alice", call);
    ladder.run();
    ladder.received_request("bob", Method::Bye);
    assert!(matches!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Local, .. }));
}

#[test]
fn figure_2_mortal_bye_is_answered_200() {
    let (mut ladder, call, tag) = established_callee();
    ladder.hang_up("alice", call);
    ladder.run();
    bobs(&mut ladder, "BYE", 2, &tag);
    ladder.received_response("bob", 200);
}

#[test]
fn figure_2_mortal_timeout_to_morgue() {
    let (mut ladder, call, _) = established_callee();
    ladder.hang_up("alice", call);
    ladder.assert_nothing_left();
}

// -- RFC 5407 section 3: races

#[test]
fn section_3_1_1_a_repeated_invite_in_moratorium_makes_no_second_call() {
    let (mut ladder, call, _) = moratorium();
    ladder.send("bob", "alice", INVITE);
    ladder.run();
    assert!(!ladder.has_event("alice", |event| matches!(event, Event::Incoming { .. })));
    // It is absorbed (RFC 6026 §7.1); the 200 comes again by its own timer.
    ladder.pass_seconds(1);
    ladder.received_response("bob", 200);
    assert_eq!(is_established(&mut ladder, "alice", call), Some(true));
}

#[test]
fn section_3_1_2_a_cancel_in_moratorium_changes_nothing() {
    let (mut ladder, call, _) = moratorium();
    let cancel = INVITE.split("Contact").next().unwrap().replace("INVITE", "CANCEL");
    ladder.send("bob", "alice", &cancel);
    ladder.run();
    let ok = ladder.received_response("bob", 200);
    assert_eq!(ok.cseq().unwrap().method, Method::Cancel);
    assert_eq!(is_established(&mut ladder, "alice", call), Some(true));
}

#[test]
fn section_3_1_3_an_early_bye_that_meets_the_200_ends_the_call() {
    let (mut ladder, call, tag) = moratorium();
    // Bob sent it while it rang.
    bobs(&mut ladder, "BYE", 2, &tag);
    ladder.received_response("bob", 200);
    ladder.end_of("alice", call);
    ladder.pass_seconds(2);
    assert!(ladder.received("bob").is_none(), "the 2xx is not repeated any more");
}

#[test]
fn section_3_1_4_a_reinvite_before_the_ack_is_asked_to_come_later() {
    let (mut ladder, _, tag) = moratorium();
    bobs(&mut ladder, "INVITE", 2, &tag);
    let later = ladder.received_response("bob", 500);
    assert!(later.has(denwa_sip_core::HeaderName::RetryAfter));
    bobs(&mut ladder, "ACK", 1, &tag);
    ladder.event("alice", |event| matches!(event, Event::CallConfirmed { .. }).then_some(()));
}

#[test]
fn section_3_1_5_a_reinvite_of_the_callee_waits_for_the_ack() {
    let (mut ladder, call, _) = moratorium();
    let body = Some(other_sdp(2));
    let refused = ladder.tell("alice", |it, now| it.reinvite(call, body, Headers::new(), now));
    assert_eq!(refused, Err(Misuse::OfferAnswer(Conflict::PeerInvite)));
}

#[test]
fn section_3_1_6_the_callees_bye_waits_for_the_ack() {
    let (mut ladder, call, tag) = moratorium();
    ladder.hang_up("alice", call);
    ladder.run();
    assert!(ladder.received("bob").is_none());
    bobs(&mut ladder, "ACK", 1, &tag);
    ladder.received_request("bob", Method::Bye);
}

#[test]
fn section_3_2_1_both_hang_up_at_once() {
    let (mut ladder, alices, bobs) = Ladder::established();
    for (name, call) in [("alice", alices), ("bob", bobs)] {
        ladder.hang_up(name, call);
    }
    ladder.run();
    let arrows = ladder.arrows();
    assert_eq!(
        arrows,
        ["alice -> bob BYE", "bob -> alice BYE", "bob -> alice 200 BYE", "alice -> bob 200 BYE"]
    );
    ladder.assert_nothing_left();
}

#[test]
fn section_3_2_2_a_reinvite_that_meets_a_bye_is_refused_and_the_call_ends_once() {
    let (mut ladder, alices, bobs) = Ladder::established();
    ladder.hang_up("alice", alices);
    let body = Some(other_sdp(2));
    ladder.tell("bob", |it, now| it.reinvite(bobs, body, Headers::new(), now)).unwrap();
    ladder.run();
    assert!(ladder.arrows().contains(&"alice -> bob 481 INVITE".to_owned()));
    ladder.end_of("bob", bobs);
    assert!(!ladder.has_event("bob", |event| matches!(event, Event::CallEnded { .. })), "once");
    ladder.assert_nothing_left();
}

#[test]
fn section_3_2_3_a_2xx_to_a_reinvite_that_comes_after_bye_is_acknowledged() {
    let (mut ladder, call, _) = established_caller();
    ladder.tell("alice", |it, now| it.reinvite(call, Some(other_sdp(2)), Headers::new(), now)).unwrap();
    ladder.run();
    let reinvite = ladder.received_request("bob", Method::Invite);
    ladder.hang_up("alice", call);
    ladder.run();
    ladder.received_request("bob", Method::Bye);
    respond(&mut ladder, &reinvite, "200 OK", "t1", CONTACT, &sdp(&answer()));
    let ack = ladder.received_request("bob", Method::Ack);
    assert_eq!(ack.cseq().unwrap().sequence, reinvite.cseq().unwrap().sequence);
    ladder.assert_nothing_left();
}

#[test]
fn section_3_2_4_an_ack_that_meets_the_bye_is_ignored() {
    let (mut ladder, call, tag) = established_callee();
    ladder.hang_up("alice", call);
    ladder.run();
    bobs(&mut ladder, "ACK", 1, &tag);
    ladder.event("alice", |event| {
        matches!(event, Event::Refused { rule: Refusal::StrayAck, .. }).then_some(())
    });
    ladder.assert_nothing_left();
}

#[test]
fn section_3_3_1_reinvites_that_cross_are_both_refused_491() {
    let (mut ladder, alices, bobs) = Ladder::established();
    for (name, call, version) in [("alice", alices, 2), ("bob", bobs, 3)] {
        let body = Some(other_sdp(version));
        ladder.tell(name, |it, now| it.reinvite(call, body, Headers::new(), now)).unwrap();
    }
    ladder.run();
    let refusals = ladder.arrows().iter().filter(|arrow| arrow.contains("491 INVITE")).count();
    assert_eq!(refusals, 2);
}

#[test]
fn section_3_3_2_an_update_and_a_reinvite_that_cross_are_both_refused_491() {
    let (mut ladder, alices, bobs) = Ladder::established();
    ladder.tell("alice", |it, now| it.update(alices, Some(other_sdp(2)), Headers::new(), now)).unwrap();
    ladder.tell("bob", |it, now| it.reinvite(bobs, Some(other_sdp(3)), Headers::new(), now)).unwrap();
    ladder.run();
    let arrows = ladder.arrows();
    for refusal in ["bob -> alice 491 UPDATE", "alice -> bob 491 INVITE"] {
        assert!(arrows.contains(&refusal.to_owned()), "{arrows:?}");
    }
}

#[test]
fn section_3_3_3_a_refer_that_meets_a_bye_is_refused_481() {
    let (mut ladder, alices, bobs) = Ladder::established();
    ladder.hang_up("alice", alices);
    let transfer = Transfer::to(ladder.uri("alice"));
    ladder.tell("bob", |it, now| it.transfer(bobs, &transfer, now)).unwrap();
    ladder.run();
    assert!(ladder.arrows().contains(&"alice -> bob 481 REFER".to_owned()));
    ladder.assert_nothing_left();
}

// -- RFC 4235 figure 3: what figures 1 and 2 do not have

#[test]
fn rfc_4235_figure_3_trying_1xx_without_tag_to_proceeding() {
    let (mut ladder, call, invite) = calling();
    let header = |name: &str| format!("{name}: {}\n", invite.get(name).unwrap());
    let trying = ["Via", "From", "To", "Call-ID", "CSeq"].map(header).concat();
    ladder.send("bob", "alice", &format!("SIP/2.0 100 Trying\n{trying}"));
    ladder.run();
    assert_eq!((is_established(&mut ladder, "alice", call), dialogs(&mut ladder, "alice")), (Some(false), 0));
    // Proceeding –1xx-tag→ Early, as from Trying; the INVITE is not repeated any more.
    ladder.pass_seconds(5);
    assert!(ladder.received("bob").is_none());
    respond(&mut ladder, &invite, "180 Ringing", "t1", CONTACT, "");
    assert_eq!(dialogs(&mut ladder, "alice"), 1);
}

#[test]
fn rfc_4235_figure_3_trying_and_early_cancelled_to_terminated() {
    for rings in [false, true] {
        let mut ladder = Ladder::alice_and_bob();
        let alices = ladder.call("alice", "bob");
        ladder.run();
        let bobs = ladder.accept("bob");
        if rings {
            ladder.ring("bob", bobs);
        }
        ladder.pass_seconds(1);
        ladder.tell("alice", |it, now| it.cancel(alices, &Headers::new(), now)).unwrap();
        ladder.run();
        assert!(matches!(ladder.end_of("alice", alices), CallEnd::Cancelled { by: By::Local, .. }));
        assert!(matches!(ladder.end_of("bob", bobs), CallEnd::Cancelled { by: By::Remote, .. }));
        ladder.assert_nothing_left();
    }
}

#[test]
fn rfc_4235_figure_3_early_and_confirmed_replaced_to_terminated() {
    for answered in [false, true] {
        let mut ladder = Ladder::alice_and_bob();
        ladder.endpoint("carol", "192.0.2.3:5060");
        // Bob calls Alice, and Carol takes the call over.
        let bobs = ladder.call("bob", "alice");
        ladder.run();
        let alices = ladder.accept("alice");
        if answered {
            ladder.answer("alice", alices);
        } else {
            ladder.ring("alice", alices);
        }
        ladder.run();
        let id = ladder.user("alice").endpoint.call(alices).unwrap();
        // What rings somewhere may be taken over only from whoever called (RFC 3891 §3): Carol asks Bob, who did.
        let bobs_ids = ladder.user("bob").endpoint.call(bobs).unwrap();
        let (whom, old) = if answered { ("alice", alices) } else { ("bob", bobs) };
        let ids = if answered { id } else { bobs_ids };
        let replaces =
            format!("{};to-tag={};from-tag={}", ids.call_id, ids.local_tag.unwrap(), ids.remote_tag.unwrap());
        let mut place = ladder.place("carol", whom);
        place.headers = Headers::new().with("Replaces", replaces).unwrap();
        ladder.tell("carol", |it, now| it.place_call(place, now)).unwrap();
        ladder.run();
        let (request, _) = ladder.incoming(whom, Method::Invite);
        assert_eq!(ladder.user(whom).endpoint.replaced_call(request), Ok(Some(old)));
        let options = CallOptions { replaces: Some(old), ..CallOptions::default() };
        let local = LocalIdentity::default();
        let new = ladder.tell(whom, |it, now| it.accept_call(request, &local, options, now)).unwrap();
        ladder.answer(whom, new);
        ladder.run();
        assert!(matches!(ladder.end_of(whom, old), CallEnd::Replaced { .. }));
    }
}

#[test]
fn rfc_4235_figure_3_confirmed_error_and_timeout_to_terminated() {
    // Error: a 481 to a request inside the dialog.
    let (mut ladder, call, _) = established_caller();
    ladder.tell("alice", |it, now| it.reinvite(call, Some(other_sdp(2)), Headers::new(), now)).unwrap();
    ladder.run();
    let reinvite = ladder.received_request("bob", Method::Invite);
    respond(&mut ladder, &reinvite, "481 Gone", "t1", "X: 1", "");
    assert!(matches!(ladder.end_of("alice", call), CallEnd::DialogLost { status: Some(_), .. }));
    // Time-out: no answer to one.
    let (mut ladder, call, _) = established_caller();
    ladder.tell("alice", |it, now| it.reinvite(call, Some(other_sdp(2)), Headers::new(), now)).unwrap();
    ladder.pass_seconds(33);
    assert!(matches!(ladder.end_of("alice", call), CallEnd::DialogLost { status: None, .. }));
    // Time-out: our 2xx was never acknowledged.
    let (mut ladder, call, _) = moratorium();
    ladder.pass_seconds(33);
    assert_eq!(ladder.end_of("alice", call), CallEnd::NotAcknowledged);
    ladder.received_request("bob", Method::Bye);
}
