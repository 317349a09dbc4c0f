//! A back-to-back agent made of `b2bua::across` and one endpoint: what passes from Alice to Bob through it, and what
//! does not (RFC 7092).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    b2bua::{self, Across, HeaderRules},
    endpoint::*,
    message::{Method, StatusCode},
};
use ladder::{Ladder, answer, offer, other_sdp};
use std::collections::BTreeMap;

/// The agent: pairs of calls, and descriptions that wait for the message they belong to.
#[derive(Default)]
struct Middle {
    other: BTreeMap<CallHandle, CallHandle>,
    callers: Vec<CallHandle>,
    described: BTreeMap<CallHandle, Body>,
    /// Requests carried across: whom to answer when the other side has.
    carried: BTreeMap<OutgoingHandle, RequestHandle>,
    rules: HeaderRules,
    transfers: Vec<String>,
}

impl Middle {
    fn serve(&mut self, ladder: &mut Ladder) {
        loop {
            ladder.run();
            let Some(event) = ladder.user("middle").events.pop_front() else { return };
            self.on_event(ladder, &event);
        }
    }

    fn on_event(&mut self, ladder: &mut Ladder, event: &Event) {
        match event {
            Event::Incoming { request, message, .. } if *message.method() == Method::Invite => {
                let (to, target) = (ladder.uri("bob"), ladder.target("bob"));
                let mut place = match b2bua::place_call(message, to, target, &self.rules) {
                    Ok(place) => place,
                    Err(status) => {
                        let reply = Reply::new(status);
                        return ladder.tell("middle", |it, now| it.respond(*request, &reply, now)).unwrap();
                    }
                };
                let bytes = message.body_bytes();
                place.body = (!bytes.is_empty()).then(|| Body::sdp(bytes));
                let local = LocalIdentity::default();
                let options = CallOptions::default();
                let caller =
                    ladder.tell("middle", |it, now| it.accept_call(*request, &local, options, now)).unwrap();
                let callee = ladder.tell("middle", |it, now| it.place_call(place, now)).unwrap();
                self.other.extend([(caller, callee), (callee, caller)]);
                self.callers.push(caller);
            }
            Event::RequestCompleted { outgoing, outcome: Outcome::Response(response), .. } => {
                let Some(request) = self.carried.remove(outgoing) else { return };
                let reply = Reply::new(response.status());
                ladder.tell("middle", |it, now| it.respond(request, &reply, now)).unwrap();
            }
            _ => self.carry(ladder, event),
        }
    }

    fn carry(&mut self, ladder: &mut Ladder, event: &Event) {
        let Some(call) = call_of(event) else { return };
        let Some(other) = self.other.get(&call).copied() else { return };
        let is_caller = self.callers.contains(&call);
        let across = b2bua::across(event, is_caller, &self.rules);
        let body = self.described.remove(&call);
        let described = |mut reply: Reply| {
            reply.body = body.clone();
            reply
        };
        ladder.tell("middle", |it, now| match across {
            Across::Description(body) => drop(self.described.insert(call, body)),
            Across::Ring { reply, reliably } => {
                let reply = described(reply);
                let reliable = reliably && it.ring_reliably(other, &reply, now).is_ok();
                if !reliable {
                    it.ring(other, &reply, now).unwrap();
                }
            }
            Across::Answer(reply) => it.answer(other, &described(reply), now).unwrap(),
            Across::Refuse(reply) => it.refuse(other, &reply, now).unwrap(),
            Across::HangUp(headers) => drop(it.hang_up(other, &headers, now)),
            Across::Offer { body, carrier } => match carrier {
                Carrier::Update => it.update(other, Some(body), Headers::new(), now).unwrap(),
                // The first INVITE's went across with the INVITE itself.
                _ => drop(it.reinvite(other, Some(body), Headers::new(), now)),
            },
            Across::AskForOffer => drop(it.reinvite(other, None, Headers::new(), now)),
            Across::Accept => drop(it.answer_offer(other, body.clone(), &Headers::new(), now)),
            Across::AnswerOffer(body) => {
                it.answer_offer(other, Some(body), &Headers::new(), now).unwrap();
            }
            Across::RefuseOffer(reply) => it.refuse_offer(other, &reply, now).unwrap(),
            Across::Request { method, headers, body } => {
                let sent = it.request_in_dialog(other, method, &headers, body.as_ref(), now).unwrap();
                if let Event::DialogRequest { request, .. } = event {
                    self.carried.insert(sent, *request);
                }
            }
            Across::Transfer { refer_to, .. } => self.transfers.push(refer_to.to_string()),
            _ => {}
        });
    }
}

fn call_of(event: &Event) -> Option<CallHandle> {
    Some(match event {
        Event::CallProgress { call, .. }
        | Event::CallAnswered { call, .. }
        | Event::CallEnded { call, .. }
        | Event::OfferReceived { call, .. }
        | Event::OfferRequested { call, .. }
        | Event::AnswerReceived { call, .. }
        | Event::Modified { call, .. }
        | Event::OfferAborted { call, .. }
        | Event::DialogRequest { call, .. } => *call,
        Event::TransferRequested { call, .. } => (*call)?,
        _ => return None,
    })
}

fn stage() -> (Ladder, Middle) {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.endpoint("bob", "192.0.2.2:5060");
    ladder.endpoint("middle", "192.0.2.9:5060");
    (ladder, Middle::default())
}

fn place(ladder: &Ladder, more: Headers) -> PlaceCall {
    let mut place = ladder.place("alice", "middle");
    place.headers = more;
    place
}

/// Alice's call through to Bob, answered.
fn through(ladder: &mut Ladder, middle: &mut Middle) -> (CallHandle, CallHandle) {
    let place = place(ladder, Headers::new());
    let alices = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(ladder);
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    middle.serve(ladder);
    ladder.answer("bob", bobs);
    middle.serve(ladder);
    ladder.forget_events("bob");
    (alices, bobs)
}

#[test]
fn what_describes_the_call_passes_and_what_belongs_to_a_leg_does_not() {
    let (mut ladder, mut middle) = stage();
    let more = Headers::new()
        .with("Subject", "lunch")
        .and_then(|it| it.with("P-Asserted-Identity", "<sip:boss@inside>"))
        .and_then(|it| it.with("History-Info", "<sip:x@inside>;index=1"))
        .and_then(|it| it.with("X-Inside", "secret"))
        .and_then(|it| it.with("Route", "<sip:192.0.2.9;lr>"))
        .unwrap();
    let mut place = place(&ladder, more);
    place.options.max_forwards = 12;
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    let (request, invite) = ladder.incoming("bob", Method::Invite);
    assert_eq!(invite.get("Subject"), Some("lunch"));
    assert_eq!(invite.get("Max-Forwards"), Some("11"));
    for hidden in ["P-Asserted-Identity", "History-Info", "X-Inside", "Route", "Record-Route"] {
        assert!(!invite.has(hidden), "{hidden}");
    }
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap();
    assert_eq!(head.matches("192.0.2.1").count(), 1, "Alice's address in her own From alone:\n{head}");
    // Bob refuses: why passes, his challenge would not.
    let reply = Reply::new(StatusCode::BUSY_HERE)
        .with_headers(Headers::new().with("Warning", "399 bob \"on the telephone\"").unwrap());
    ladder.tell("bob", |it, now| it.respond(request, &reply, now)).unwrap();
    middle.serve(&mut ladder);
    let refused = ladder.event("alice", |event| match event {
        Event::CallEnded { reason: CallEnd::Refused { response }, .. } => Some((**response).clone()),
        _ => None,
    });
    assert_eq!(refused.status(), StatusCode::BUSY_HERE);
    assert_eq!(refused.get("Warning"), Some("399 bob \"on the telephone\""));
    ladder.assert_nothing_left();
}

#[test]
fn to_those_who_are_trusted_identities_and_history_pass() {
    let (mut ladder, mut middle) = stage();
    middle.rules =
        HeaderRules { trusted: true, pass: vec!["X-Inside".to_owned()], stop: vec!["Subject".to_owned()] };
    let more = Headers::new()
        .with("Subject", "lunch")
        .and_then(|it| it.with("P-Asserted-Identity", "<sip:boss@inside>"))
        .and_then(|it| it.with("X-Inside", "7"))
        .unwrap();
    let place = place(&ladder, more);
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    let (_, invite) = ladder.incoming("bob", Method::Invite);
    assert_eq!(invite.get("P-Asserted-Identity"), Some("<sip:boss@inside>"));
    assert_eq!((invite.get("X-Inside"), invite.get("Subject")), (Some("7"), None));
}

#[test]
fn a_loop_of_agents_ends_with_483() {
    let (mut ladder, mut middle) = stage();
    let mut place = place(&ladder, Headers::new());
    place.options.max_forwards = 1;
    let call = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    assert!(
        matches!(ladder.end_of("alice", call), CallEnd::Refused { response } if response.status().code() == 483)
    );
}

#[test]
fn ringing_early_media_and_the_answer_pass() {
    let (mut ladder, mut middle) = stage();
    let place = place(&ladder, Headers::new());
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    let bobs = ladder.accept("bob");
    let early = Reply::new(StatusCode::SESSION_PROGRESS).with_body(answer());
    ladder.tell("bob", |it, now| it.ring(bobs, &early, now)).unwrap();
    middle.serve(&mut ladder);
    ladder.event("alice", |event| match event {
        Event::AnswerReceived { preview: true, body, .. } if *body == answer() => Some(()),
        _ => None,
    });
    ladder.answer("bob", bobs);
    middle.serve(&mut ladder);
    ladder.event("alice", |event| matches!(event, Event::CallAnswered { .. }).then_some(()));
}

#[test]
fn a_reliable_provisional_response_stays_reliable_across() {
    let (mut ladder, mut middle) = stage();
    let place = place(&ladder, Headers::new());
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    let bobs = ladder.accept("bob");
    let early = Reply::new(StatusCode::SESSION_PROGRESS).with_body(answer());
    ladder.tell("bob", |it, now| it.ring_reliably(bobs, &early, now)).unwrap();
    middle.serve(&mut ladder);
    let arrows = ladder.arrows();
    for arrow in ["middle -> bob PRACK", "alice -> middle PRACK"] {
        assert!(arrows.iter().any(|it| it == arrow), "{arrow}: {arrows:?}");
    }
    ladder.tell("bob", |it, now| it.answer(bobs, &Reply::new(StatusCode::OK), now)).unwrap();
    middle.serve(&mut ladder);
    ladder.event("alice", |event| matches!(event, Event::CallAnswered { .. }).then_some(()));
}

#[test]
fn a_call_without_offer_gets_bobs_and_its_answer_comes_in_the_ack() {
    let (mut ladder, mut middle) = stage();
    let mut place = place(&ladder, Headers::new());
    place.body = None;
    let alices = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    let bobs = ladder.accept("bob");
    let reply = Reply::new(StatusCode::OK).with_body(offer());
    ladder.tell("bob", |it, now| it.answer(bobs, &reply, now)).unwrap();
    middle.serve(&mut ladder);
    let carrier = ladder.event("alice", |event| match event {
        Event::OfferReceived { carrier, body, .. } if *body == offer() => Some(*carrier),
        _ => None,
    });
    assert_eq!(carrier, Carrier::Success);
    ladder.tell("alice", |it, now| it.answer_offer(alices, Some(answer()), &Headers::new(), now)).unwrap();
    middle.serve(&mut ladder);
    let carrier = ladder.event("bob", |event| match event {
        Event::AnswerReceived { carrier, body, .. } if *body == answer() => Some(*carrier),
        _ => None,
    });
    assert_eq!(carrier, Carrier::Ack);
}

#[test]
fn hold_passes_by_reinvite_and_by_update_and_a_refusal_rolls_back() {
    let (mut ladder, mut middle) = stage();
    let (alices, bobs) = through(&mut ladder, &mut middle);
    for (version, by_update) in [(2, false), (3, true)] {
        let body = Some(other_sdp(version));
        ladder
            .tell("alice", |it, now| match by_update {
                true => it.update(alices, body, Headers::new(), now),
                false => it.reinvite(alices, body, Headers::new(), now),
            })
            .unwrap();
        middle.serve(&mut ladder);
        let carrier = ladder.event("bob", |event| match event {
            Event::OfferReceived { carrier, body, .. } if *body == other_sdp(version) => Some(*carrier),
            _ => None,
        });
        assert_eq!(carrier, if by_update { Carrier::Update } else { Carrier::Invite });
        let held = Some(other_sdp(version + 10));
        ladder.tell("bob", |it, now| it.answer_offer(bobs, held, &Headers::new(), now)).unwrap();
        middle.serve(&mut ladder);
        ladder.event("alice", |event| match event {
            Event::AnswerReceived { body, .. } if *body == other_sdp(version + 10) => Some(()),
            _ => None,
        });
        ladder.event("alice", |event| matches!(event, Event::Modified { .. }).then_some(()));
    }
    ladder.tell("alice", |it, now| it.reinvite(alices, Some(other_sdp(9)), Headers::new(), now)).unwrap();
    middle.serve(&mut ladder);
    ladder.event("bob", |event| matches!(event, Event::OfferReceived { .. }).then_some(()));
    let reply = Reply::new(StatusCode::NOT_ACCEPTABLE_HERE);
    ladder.tell("bob", |it, now| it.refuse_offer(bobs, &reply, now)).unwrap();
    middle.serve(&mut ladder);
    ladder.event("alice", |event| match event {
        Event::OfferAborted { reason: OfferAbort::Refused { response }, .. } => {
            (response.status() == StatusCode::NOT_ACCEPTABLE_HERE).then_some(())
        }
        _ => None,
    });
}

#[test]
fn info_passes_and_is_answered_as_the_other_side_answers() {
    let (mut ladder, mut middle) = stage();
    let (alices, _) = through(&mut ladder, &mut middle);
    let body = Body::new("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    let none = Headers::new();
    ladder
        .tell("alice", |it, now| it.request_in_dialog(alices, Method::Info, &none, Some(&body), now))
        .unwrap();
    middle.serve(&mut ladder);
    let (request, info) = ladder.event("bob", |event| match event {
        Event::DialogRequest { request, message, .. } => Some((*request, message.clone())),
        _ => None,
    });
    assert_eq!((info.get("Content-Type"), info.body()), (Some("application/dtmf-relay"), &*body.bytes));
    let reply = Reply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    ladder.tell("bob", |it, now| it.respond(request, &reply, now)).unwrap();
    middle.serve(&mut ladder);
    ladder.event("alice", |event| match event {
        Event::RequestCompleted { outcome: Outcome::Response(response), .. } => {
            (response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE).then_some(())
        }
        _ => None,
    });
}

#[test]
fn a_transfer_is_told_and_the_other_sides_name_is_kept_from_strangers() {
    let (mut ladder, mut middle) = stage();
    let (_, bobs) = through(&mut ladder, &mut middle);
    let transfer = Transfer::to(ladder.uri("alice"));
    ladder.tell("bob", |it, now| it.transfer(bobs, &transfer, now)).unwrap();
    middle.serve(&mut ladder);
    assert_eq!(middle.transfers, [ladder.uri("alice").to_string()]);
}

#[test]
fn either_side_hangs_up_and_a_cancel_passes_with_its_reason() {
    for by_bob in [false, true] {
        let (mut ladder, mut middle) = stage();
        let (alices, bobs) = through(&mut ladder, &mut middle);
        let (who, call) = if by_bob { ("bob", bobs) } else { ("alice", alices) };
        ladder.hang_up(who, call);
        middle.serve(&mut ladder);
        ladder.assert_nothing_left();
    }
    let (mut ladder, mut middle) = stage();
    let place = place(&ladder, Headers::new());
    let alices = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    middle.serve(&mut ladder);
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    middle.serve(&mut ladder);
    let because = Headers::new().with("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"").unwrap();
    ladder.tell("alice", |it, now| it.cancel(alices, &because, now)).unwrap();
    middle.serve(&mut ladder);
    let end = ladder.end_of("bob", bobs);
    let reason = Some("SIP;cause=200;text=\"Call completed elsewhere\"".to_owned());
    assert_eq!(end, CallEnd::Cancelled { by: By::Remote, reason });
    ladder.assert_nothing_left();
}
