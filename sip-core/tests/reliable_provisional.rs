//! Reliable provisional responses: RFC 3262; and what they allow before a call is answered: UPDATE (RFC 3311).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Request,
    endpoint::*,
    header::{RAck, RSeq},
    message::{Message, Method, StatusCode},
};
use ladder::{Ladder, answer, other_sdp};
use std::time::Duration;

fn ring_reliably(ladder: &mut Ladder, call: CallHandle, body: Option<Body>) -> Result<(), Misuse> {
    let mut reply = Reply::new(StatusCode::new(183).unwrap());
    reply.body = body;
    ladder.tell("bob", |endpoint, now| endpoint.ring_reliably(call, &reply, now))
}

fn ringing() -> (Ladder, CallHandle, CallHandle) {
    let mut ladder = Ladder::alice_and_bob();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.arrows();
    (ladder, alices, bobs)
}

fn carrier(ladder: &mut Ladder, name: &str) -> (Carrier, bool, Body) {
    ladder.event(name, |event| match event {
        Event::AnswerReceived { carrier, preview, body, .. } => Some((*carrier, *preview, body.clone())),
        _ => None,
    })
}

#[test]
fn section_3_a_reliable_response_is_acknowledged_by_prack() {
    let (mut ladder, alices, bobs) = ringing();
    ring_reliably(&mut ladder, bobs, None).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["bob -> alice 183 INVITE", "alice -> bob PRACK", "bob -> alice 200 PRACK"]);
    let messages = std::mem::take(&mut ladder.messages);
    let find =
        |text: &str| messages.iter().find(|(arrow, _)| arrow == text).map(|(_, message)| message).unwrap();
    let (ringing, prack) = (find("bob -> alice 183 INVITE"), find("alice -> bob PRACK"));
    assert!(ringing.lists(denwa_sip_core::HeaderName::Require, "100rel"));
    let (rseq, rack) = (ringing.typed::<RSeq>().unwrap().unwrap(), prack.typed::<RAck>().unwrap().unwrap());
    assert_eq!((rack.response, rack.cseq), (rseq.0, ringing.cseq().unwrap()));
    assert!((1..=0x7fff_ffff).contains(&rseq.0));
    ladder.event("bob", |event| matches!(event, Event::ProvisionalConfirmed { .. }).then_some(()));
    ladder.event("alice", |event| matches!(event, Event::CallProgress { .. }).then_some(()));
    // The next one is numbered one higher.
    ring_reliably(&mut ladder, bobs, None).unwrap();
    ladder.run();
    let second = ladder.messages.iter().find(|(arrow, _)| arrow == "bob -> alice 183 INVITE").unwrap();
    assert_eq!(second.1.typed::<RSeq>().unwrap().unwrap().0, rseq.0 + 1);
    ladder.answer("bob", bobs);
    ladder.run();
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn section_5_the_answer_travels_in_the_reliable_response() {
    let (mut ladder, alices, bobs) = ringing();
    ring_reliably(&mut ladder, bobs, Some(answer())).unwrap();
    ladder.run();
    assert_eq!(carrier(&mut ladder, "alice"), (Carrier::Reliable, false, answer()));
    // And the 2xx needs none.
    let bare = Reply::new(StatusCode::OK);
    ladder.tell("bob", |endpoint, now| endpoint.answer(bobs, &bare, now)).unwrap();
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::CallAnswered { .. }).then_some(()));
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn section_5_the_offer_travels_in_the_reliable_response_and_the_answer_in_prack() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.body = None;
    let alices = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept("bob");
    let without = ring_reliably(&mut ladder, bobs, None);
    assert_eq!(without, Err(Misuse::OfferAnswer(Conflict::OfferDue)), "the first reliable one has to offer");
    ring_reliably(&mut ladder, bobs, Some(answer())).unwrap();
    ladder.arrows();
    ladder.run();
    ladder.event("alice", |event| {
        matches!(event, Event::OfferReceived { carrier: Carrier::Reliable, .. }).then_some(())
    });
    assert_eq!(ladder.arrows(), [] as [&str; 0], "no PRACK before the answer");
    let body = Some(other_sdp(1));
    ladder.tell("alice", |endpoint, now| endpoint.answer_offer(alices, body, &Headers::new(), now)).unwrap();
    ladder.run();
    assert_eq!(ladder.arrows(), ["alice -> bob PRACK", "bob -> alice 200 PRACK"]);
    assert_eq!(carrier(&mut ladder, "bob"), (Carrier::Prack, false, other_sdp(1)));
    let bare = Reply::new(StatusCode::OK);
    ladder.tell("bob", |endpoint, now| endpoint.answer(bobs, &bare, now)).unwrap();
    ladder.run();
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3311_an_early_session_is_changed_by_update_from_either_side() {
    let (mut ladder, alices, bobs) = ringing();
    ring_reliably(&mut ladder, bobs, Some(answer())).unwrap();
    ladder.run();
    ladder.arrows();
    for (from, to, call, other) in [("alice", "bob", alices, bobs), ("bob", "alice", bobs, alices)] {
        let offer = Some(other_sdp(5));
        ladder.tell(from, |endpoint, now| endpoint.update(call, offer, Headers::new(), now)).unwrap();
        ladder.run();
        ladder.event(to, |event| {
            matches!(event, Event::OfferReceived { carrier: Carrier::Update, .. }).then_some(())
        });
        let body = Some(other_sdp(6));
        ladder.tell(to, |endpoint, now| endpoint.answer_offer(other, body, &Headers::new(), now)).unwrap();
        ladder.run();
        assert_eq!(ladder.arrows(), [format!("{from} -> {to} UPDATE"), format!("{to} -> {from} 200 UPDATE")]);
        while carrier(&mut ladder, from).0 != Carrier::UpdateSuccess {}
    }
    let bare = Reply::new(StatusCode::OK);
    ladder.tell("bob", |endpoint, now| endpoint.answer(bobs, &bare, now)).unwrap();
    ladder.run();
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3311_section_5_1_no_update_before_the_first_answer() {
    let (mut ladder, alices, bobs) = ringing();
    ladder.ring("bob", bobs);
    ladder.run();
    let early = ladder
        .tell("alice", |endpoint, now| endpoint.update(alices, Some(other_sdp(2)), Headers::new(), now));
    assert_eq!(early, Err(Misuse::OfferAnswer(Conflict::OwnInvite)));
    let early =
        ladder.tell("bob", |endpoint, now| endpoint.update(bobs, Some(other_sdp(2)), Headers::new(), now));
    assert_eq!(early, Err(Misuse::OfferAnswer(Conflict::PeerInvite)));
}

#[test]
fn section_3_it_is_repeated_with_doubling_intervals_until_prack() {
    let (mut ladder, _, bobs) = ringing();
    ladder.lose(|arrow| arrow == "alice -> bob PRACK");
    ring_reliably(&mut ladder, bobs, None).unwrap();
    ladder.pass(Duration::from_millis(15_600));
    assert_eq!(
        ladder.arrows().iter().filter(|it| it.contains("183")).count(),
        6,
        "0, 0.5, 1.5, 3.5, 7.5, 15.5 s"
    );
    ladder.pass_seconds(17);
    // §3: not acknowledged within 64·T1, the INVITE is refused with 5xx.
    let arrows = ladder.arrows();
    assert!(arrows.contains(&"bob -> alice 504 INVITE".to_owned()), "{arrows:?}");
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::NotAcknowledged);
    ladder.assert_nothing_left();
}

#[test]
fn section_4_repeats_are_not_acknowledged_again_and_prack_repeats_by_itself() {
    let (mut ladder, _, bobs) = ringing();
    let mut lost = 2;
    ladder.lose(move |arrow| {
        let lose = arrow.ends_with(" PRACK") && arrow.starts_with("alice") && lost > 0;
        lost -= i32::from(lose);
        lose
    });
    ring_reliably(&mut ladder, bobs, None).unwrap();
    ladder.pass_seconds(4);
    let arrows = ladder.arrows();
    assert_eq!(arrows.iter().filter(|it| it.contains("alice -> bob PRACK")).count(), 3, "{arrows:?}");
    assert_eq!(arrows.iter().filter(|it| it.contains("200 PRACK")).count(), 1);
    let progress =
        ladder.user("alice").events.iter().filter(|it| matches!(it, Event::CallProgress { .. })).count();
    assert_eq!(progress, 1, "repeats are no news");
}

#[test]
fn section_3_a_2xx_waits_for_the_prack_of_a_response_with_a_description() {
    let (mut ladder, alices, bobs) = ringing();
    ladder.lose(|arrow| arrow == "alice -> bob PRACK");
    ring_reliably(&mut ladder, bobs, Some(answer())).unwrap();
    ladder.pass(Duration::from_millis(100));
    let bare = Reply::new(StatusCode::OK);
    ladder.tell("bob", |endpoint, now| endpoint.answer(bobs, &bare, now)).unwrap();
    ladder.pass(Duration::from_millis(300));
    assert!(!ladder.arrows().contains(&"bob -> alice 200 INVITE".to_owned()));
    ladder.lose_nothing();
    ladder.pass_seconds(1);
    let arrows = ladder.arrows();
    assert!(arrows.contains(&"bob -> alice 200 INVITE".to_owned()), "{arrows:?}");
    ladder.event("alice", |event| matches!(event, Event::CallAnswered { .. }).then_some(()));
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn section_3_the_next_one_waits_for_the_first() {
    let (mut ladder, _, bobs) = ringing();
    ladder.lose(|arrow| arrow == "alice -> bob PRACK");
    for _ in 0..9 {
        ring_reliably(&mut ladder, bobs, None).unwrap();
    }
    assert!(matches!(ring_reliably(&mut ladder, bobs, None), Err(Misuse::Limit(_))));
    ladder.run();
    assert_eq!(ladder.arrows(), ["bob -> alice 183 INVITE", "alice -> bob PRACK (lost)"]);
    ladder.lose_nothing();
    ladder.pass_seconds(1);
    let numbers = ladder.arrows().iter().filter(|it| it.contains("200 PRACK")).count();
    assert_eq!(numbers, 9);
}

fn raw_bob() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    ladder
}

/// Bob's INVITE, rung reliably; the tag and number to acknowledge it by.
fn rung(ladder: &mut Ladder, offer: &str, body: Option<Body>) -> (CallHandle, String, u32) {
    let kind = if offer.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let invite = format!(
        "INVITE sip:alice@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKi
        From: <sip:bob@192.0.2.2>;tag=b
        To: <sip:alice@192.0.2.1>
        Call-ID: c
        CSeq: 1 INVITE
        Supported: 100rel
        Contact: <sip:bob@192.0.2.2>
        {kind}\n{offer}"
    );
    ladder.send("bob", "alice", &invite);
    ladder.run();
    let call = ladder.accept("alice");
    let reply = Reply { body, ..Reply::new(StatusCode::RINGING) };
    ladder.tell("alice", |endpoint, now| endpoint.ring_reliably(call, &reply, now)).unwrap();
    ladder.run();
    let ringing = ladder.received_response("bob", 180);
    let tag = ringing.to().unwrap().tag().unwrap().to_owned();
    let number = ringing.typed::<RSeq>().unwrap().unwrap().0;
    (call, tag, number)
}

fn prack(ladder: &mut Ladder, tag: &str, cseq: u32, rack: &str, status: u16) {
    let prack = format!(
        "PRACK sip:alice@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKp{cseq}
        From: <sip:bob@192.0.2.2>;tag=b
        To: <sip:alice@192.0.2.1>;tag={tag}
        Call-ID: c
        CSeq: {cseq} PRACK
        RAck: {rack}"
    );
    ladder.send("bob", "alice", &prack);
    ladder.run();
    ladder.received_response("bob", status);
}

#[test]
fn section_3_a_prack_for_nothing_is_answered_481() {
    let mut ladder = raw_bob();
    let (_, tag, number) = rung(&mut ladder, "", Some(answer()));
    for (cseq, rack, status) in [
        (2, format!("{} 1 INVITE", number.wrapping_add(1)), 481),
        (3, format!("{number} 2 INVITE"), 481),
        (4, "nonsense".to_owned(), 481),
        (5, format!("{number} 1 INVITE"), 200),
        (6, format!("{number} 1 INVITE"), 481),
    ] {
        prack(&mut ladder, &tag, cseq, &rack, status);
    }
}

#[test]
fn section_3_after_the_2xx_only_what_was_outstanding_is_acknowledged() {
    let mut ladder = raw_bob();
    let offer = "v=0\no=b 1 1 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 5000 RTP/AVP 0\n";
    let (call, tag, number) = rung(&mut ladder, offer, None);
    ladder.answer("alice", call);
    ladder.run();
    for (cseq, rack, status) in [
        (2, format!("{} 1 INVITE", number.wrapping_add(1)), 481),
        (3, "nonsense".to_owned(), 481),
        (4, format!("{number} 1 INVITE"), 200),
        (5, format!("{number} 1 INVITE"), 481),
    ] {
        prack(&mut ladder, &tag, cseq, &rack, status);
    }
}

#[test]
fn section_3_it_is_used_when_demanded_and_refused_when_switched_off() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.options.reliable_provisional = ReliableProvisional::Required;
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    assert!(ladder.arrows().contains(&"alice -> bob PRACK".to_owned()));
    // A caller who does not know it.
    let mut place = ladder.place("alice", "bob");
    place.options.reliable_provisional = ReliableProvisional::Off;
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept("bob");
    assert_eq!(ring_reliably(&mut ladder, bobs, None), Err(Misuse::NotSupported("100rel")));
}

#[test]
fn section_4_a_gap_is_not_acknowledged() {
    let mut ladder = raw_bob();
    ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    for number in [7, 9, 8, 9] {
        let more = format!("Require: 100rel\nRSeq: {number}\n");
        ladder.send("bob", "alice", &response_to(&invite, "t", "180 Ringing", &more));
    }
    ladder.run();
    let mut acknowledged = Vec::new();
    while let Some(Message::Request(request)) = ladder.received("bob") {
        acknowledged.push(request.typed::<RAck>().unwrap().unwrap().response);
    }
    assert_eq!(acknowledged, [7, 8, 9]);
}

/// Bob's hand-written response to an INVITE.
fn response_to(invite: &Request, tag: &str, status: &str, more: &str) -> String {
    let header = |name: &str| format!("{name}: {}\n", invite.get(name).unwrap());
    format!(
        "SIP/2.0 {status}\n{}{}To: {};tag={tag}\n{}{}Contact: <sip:bob@192.0.2.2>\n{more}",
        header("Via"),
        header("From"),
        invite.get("To").unwrap(),
        header("Call-ID"),
        header("CSeq"),
    )
}

/// The same, from one of his telephones.
fn from_telephone(ladder: &mut Ladder, invite: &Request, tag: &str, status: &str, more: &str) {
    ladder.send("bob", "alice", &response_to(invite, tag, status, more));
    ladder.run();
}

#[test]
fn rfc_3261_section_12_2_1_1_the_bye_to_a_2xx_that_nobody_wants_is_numbered_behind_the_prack() {
    for is_cancelled in [true, false] {
        let mut ladder = raw_bob();
        let call = ladder.call("alice", "bob");
        ladder.run();
        let invite = ladder.received_request("bob", Method::Invite);
        from_telephone(&mut ladder, &invite, "late", "183 Session Progress", "Require: 100rel\nRSeq: 1\n");
        let prack = ladder.received_request("bob", Method::Prack).cseq().unwrap().sequence;
        // The 2xx crosses the CANCEL, or another telephone was faster.
        if is_cancelled {
            ladder.tell("alice", |it, now| it.cancel(call, &Headers::new(), now)).unwrap();
            ladder.run();
        } else {
            from_telephone(&mut ladder, &invite, "fast", "200 OK", "");
        }
        from_telephone(&mut ladder, &invite, "late", "200 OK", "");
        let bye = loop {
            let bye = ladder.received_request("bob", Method::Bye);
            if bye.to().unwrap().tag() == Some("late") {
                break bye;
            }
        };
        assert!(bye.cseq().unwrap().sequence > prack, "{bye:?}");
    }
}
