//! Call flows printed in RFC 3665 (2.1 to 2.5, 3.1) and RFC 5359 (2.4, 2.5, 2.6, 2.18), played by endpoints: every arrow, in the
//! order printed (of RFC 5359's 2.5 and 2.6 the arrows, in whatever order). Left out: flows with proxies or music servers, RFC 5589.
//!
//! `100 Trying` is left out on both sides: whether it is sent depends on how fast somebody answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;
mod shared;

use denwa_sip_core::{
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
};
use ladder::{Ladder, answer, offer, other_sdp};
use serde_json::Value;
use std::time::Duration;

/// The arrows of a section, `alice -> bob INVITE`, and the figure's own count.
fn printed(rfc: u32, section: &str, names: &[(&str, &str)]) -> Option<Vec<String>> {
    let folder = shared::folder(&format!("vectors/sip-messages/rfc{rfc}"))?;
    let index: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let name = |message: &Value, end: &str| {
        let printed = message[end].as_str().unwrap_or_default();
        names.iter().find(|(theirs, _)| *theirs == printed).map_or(printed, |(_, ours)| *ours).to_owned()
    };
    let messages = index["messages"].as_array().unwrap().iter().filter(|it| it["section"] == section);
    let arrow = |message: &Value| {
        let what = message["method_or_code"]
            .as_str()
            .map_or_else(|| message["method_or_code"].to_string(), str::to_owned);
        (what != "100").then(|| format!("{} -> {} {what}", name(message, "from"), name(message, "to")))
    };
    let arrows: Vec<String> = messages.filter_map(arrow).collect();
    assert!(!arrows.is_empty(), "RFC {rfc} section {section} prints nothing");
    Some(arrows)
}

fn played(ladder: &mut Ladder) -> Vec<String> {
    let short = |arrow: String| {
        let words: Vec<&str> = arrow.split(' ').take(4).collect();
        words.join(" ")
    };
    ladder.arrows().into_iter().map(short).filter(|arrow| !arrow.ends_with(" 100")).collect()
}

fn compare(ladder: &mut Ladder, rfc: u32, section: &str, names: &[(&str, &str)]) {
    let played = played(ladder);
    if let Some(printed) = printed(rfc, section, names) {
        assert_eq!(played, printed, "RFC {rfc} section {section}");
    }
}

const NAMES: &[(&str, &str)] = &[
    ("Alice", "alice"),
    ("Bob", "bob"),
    ("Carol", "carol"),
    ("PC", "pc"),
    ("SIP Server", "server"),
    ("Transferor", "bob"),
    ("Transferee", "alice"),
    ("Transfer Target", "carol"),
];

// -- RFC 3665 section 2: registration

const AOR: &str = "sip:bob@biloxi.example.com";

fn office(password: &str) -> (Ladder, RegistrationHandle) {
    let mut ladder = Ladder::new();
    ladder.endpoint("bob", "192.0.2.1:5060");
    ladder.endpoint("server", "192.0.2.9:5060");
    ladder.user("server").passwords = Some([("bob".to_owned(), "zanzibar".to_owned())].into());
    let register = Register {
        address_of_record: Party::new(UriBuf::parse(AOR).unwrap()),
        registrar: UriBuf::parse("sip:biloxi.example.com").unwrap(),
        target: ladder.target("server"),
        routes: Vec::new(),
        local: LocalIdentity { user: "bob".to_owned(), ..LocalIdentity::default() },
        headers: Headers::new(),
        credentials: vec![Credentials {
            realm: None,
            username: "bob".to_owned(),
            secret: Secret::password(password),
        }],
        expires: Duration::from_secs(3600),
    };
    let handle = ladder.tell("bob", |it, now| it.register(register, now)).unwrap();
    (ladder, handle)
}

fn serve_register(ladder: &mut Ladder) {
    ladder.run();
    let (request, _) = ladder.incoming("server", Method::Register);
    ladder.tell("server", |it, now| it.authenticate(request, &ChallengePolicy::new("atlanta"), now)).unwrap();
    if ladder.has_event("server", |event| matches!(event, Event::Authenticated { .. })) {
        ladder.tell("server", |it, now| it.accept_registration(request, AOR, now)).unwrap();
    }
    ladder.run();
}

#[test]
fn rfc_3665_section_2_registration_update_and_cancellation() {
    let (mut ladder, handle) = office("zanzibar");
    serve_register(&mut ladder);
    serve_register(&mut ladder);
    compare(&mut ladder, 3665, "2.1", NAMES);
    ladder.tell("bob", |it, now| it.refresh_registration(handle, now)).unwrap();
    serve_register(&mut ladder);
    compare(&mut ladder, 3665, "2.2", NAMES);
    // A question: a REGISTER without Contact.
    let (to, target) = (UriBuf::parse(AOR).unwrap(), ladder.target("server"));
    let mut question = SendRequest::new(Method::Register, Party::new(to.clone()), Party::new(to), target);
    question.request_uri = UriBuf::parse("sip:biloxi.example.com").unwrap();
    ladder.tell("bob", |it, now| it.send_request(question, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("server", Method::Register);
    ladder.tell("server", |it, now| it.accept_registration(request, AOR, now)).unwrap();
    ladder.run();
    compare(&mut ladder, 3665, "2.3", NAMES);
    ladder.tell("bob", |it, now| it.unregister(handle, now)).unwrap();
    serve_register(&mut ladder);
    compare(&mut ladder, 3665, "2.4", NAMES);
    assert_eq!(ladder.user("server").endpoint.counts().bindings, 0);
}

#[test]
fn rfc_3665_section_2_5_a_wrong_password() {
    let (mut ladder, _) = office("wrong");
    serve_register(&mut ladder);
    serve_register(&mut ladder);
    compare(&mut ladder, 3665, "2.5", NAMES);
}

// -- calls

fn stage() -> Ladder {
    let mut ladder = Ladder::alice_and_bob();
    ladder.endpoint("carol", "192.0.2.3:5060");
    ladder.endpoint("pc", "192.0.2.4:5060");
    ladder
}

/// A call that rings and is answered.
fn call(ladder: &mut Ladder, from: &str, to: &str) -> (CallHandle, CallHandle) {
    let callers = ladder.call(from, to);
    ladder.run();
    let callees = ladder.accept(to);
    ladder.ring(to, callees);
    ladder.run();
    ladder.answer(to, callees);
    ladder.run();
    (callers, callees)
}

/// A re-INVITE that is accepted: hold, or the end of it.
fn change(ladder: &mut Ladder, who: &str, call: CallHandle, whom: &str, theirs: CallHandle, version: u32) {
    ladder.forget_events(whom);
    let body = Some(other_sdp(version));
    ladder.tell(who, |it, now| it.reinvite(call, body, Headers::new(), now)).unwrap();
    ladder.run();
    ladder
        .tell(whom, |it, now| it.answer_offer(theirs, Some(other_sdp(version + 50)), &Headers::new(), now))
        .unwrap();
    ladder.run();
}

#[test]
fn rfc_3665_section_3_1_a_call_without_anybody_between() {
    let mut ladder = stage();
    let (_, bobs) = call(&mut ladder, "alice", "bob");
    ladder.hang_up("bob", bobs);
    ladder.run();
    compare(&mut ladder, 3665, "3.1", NAMES);
    ladder.assert_nothing_left();
}

/// The one asked accepts a REFER.
fn take_refer(ladder: &mut Ladder, who: &str) -> (UriBuf, Option<String>, Option<SubscriptionHandle>) {
    ladder.run();
    let (request, refer_to, replaces) = ladder.event(who, |event| match event {
        Event::TransferRequested { request, refer_to, replaces, .. } => {
            Some((*request, refer_to.clone(), replaces.clone()))
        }
        _ => None,
    });
    let local = LocalIdentity::default();
    let handle = ladder.tell(who, |it, now| it.accept_transfer(request, &local, now)).unwrap();
    ladder.run();
    (refer_to, replaces, handle)
}

#[test]
fn rfc_5359_section_2_4_an_unattended_transfer() {
    let mut ladder = stage();
    let (_, alices) = call(&mut ladder, "bob", "alice");
    let transfer = Transfer::to(ladder.uri("carol"));
    ladder.tell("alice", |it, now| it.transfer(alices, &transfer, now)).unwrap();
    let (refer_to, _, report) = take_refer(&mut ladder, "bob");
    assert_eq!(refer_to, ladder.uri("carol"));
    ladder.hang_up("alice", alices);
    ladder.run();
    call(&mut ladder, "bob", "carol");
    ladder.tell("bob", |it, now| it.report_transfer(report.unwrap(), StatusCode::OK, None, now)).unwrap();
    ladder.run();
    compare(&mut ladder, 5359, "2.4", NAMES);
}

#[test]
fn rfc_5359_section_2_5_an_attended_transfer() {
    let mut ladder = stage();
    let (alices, bobs) = call(&mut ladder, "alice", "bob");
    change(&mut ladder, "bob", bobs, "alice", alices, 2);
    let (bobs_second, carols) = call(&mut ladder, "bob", "carol");
    change(&mut ladder, "bob", bobs_second, "carol", carols, 2);
    let transfer = Transfer { replaces: Some(bobs_second), ..Transfer::to(ladder.uri("carol")) };
    ladder.tell("bob", |it, now| it.transfer(bobs, &transfer, now)).unwrap();
    let (_, replaces, report) = take_refer(&mut ladder, "alice");
    let mut place = ladder.place("alice", "carol");
    place.headers = Headers::new().with("Replaces", replaces.unwrap()).unwrap();
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("carol", Method::Invite);
    let replaced = ladder.user("carol").endpoint.replaced_call(request);
    assert_eq!(replaced, Ok(Some(carols)));
    let local = LocalIdentity::default();
    let options = CallOptions { replaces: Some(carols), ..CallOptions::default() };
    let taken = ladder.tell("carol", |it, now| it.accept_call(request, &local, options, now)).unwrap();
    ladder.answer("carol", taken);
    ladder.run();
    ladder.tell("alice", |it, now| it.report_transfer(report.unwrap(), StatusCode::OK, None, now)).unwrap();
    ladder.run();
    ladder.hang_up("bob", bobs);
    ladder.run();
    let mut played = played(&mut ladder);
    let Some(mut printed) = printed(5359, "2.5", NAMES) else { return };
    // The ACK and the BYE of the replaced call cross in our network; RFC 5359 lets the ACK come first.
    played.sort();
    printed.sort();
    assert_eq!(played, printed);
}

#[test]
fn rfc_5359_section_2_18_click_to_dial() {
    let mut ladder = stage();
    let (from, to) = (Party::new(ladder.uri("pc")), Party::new(ladder.uri("bob")));
    let mut refer = SendRequest::new(Method::Refer, from, to, ladder.target("bob"));
    refer.contact = true;
    refer.headers = Headers::new()
        .with("Refer-To", format!("<{}>", ladder.uri("carol")))
        .and_then(|it| it.with("Refer-Sub", "false"))
        .unwrap();
    ladder.tell("pc", |it, now| it.send_request(refer, now)).unwrap();
    let (refer_to, _, report) = take_refer(&mut ladder, "bob");
    assert_eq!((refer_to, report), (ladder.uri("carol"), None));
    call(&mut ladder, "bob", "carol");
    compare(&mut ladder, 5359, "2.18", NAMES);
}

#[test]
fn rfc_5359_section_2_6_a_call_is_parked_by_an_instant_message() {
    let mut ladder = stage();
    let (alices, _) = call(&mut ladder, "alice", "bob");
    let (from, to) = (Party::new(ladder.uri("bob")), Party::new(ladder.uri("carol")));
    let mut message = SendRequest::new(Method::Message, from, to, ladder.target("carol"));
    message.body = Some(Body::new("text/plain", "Alice is on the line"));
    ladder.tell("bob", |it, now| it.send_request(message, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("carol", Method::Message);
    ladder.tell("carol", |it, now| it.respond(request, &Reply::new(StatusCode::OK), now)).unwrap();
    ladder.run();
    // Carol takes the call over from Bob by Replaces, and Alice answers at once.
    let id = ladder.user("alice").endpoint.call(alices).unwrap();
    let replaces =
        format!("{};to-tag={};from-tag={}", id.call_id, id.local_tag.unwrap(), id.remote_tag.unwrap());
    let mut place = ladder.place("carol", "alice");
    place.body = Some(offer());
    place.headers = Headers::new().with("Replaces", replaces).unwrap();
    ladder.tell("carol", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("alice", Method::Invite);
    assert_eq!(ladder.user("alice").endpoint.replaced_call(request), Ok(Some(alices)));
    let local = LocalIdentity::default();
    let options = CallOptions { replaces: Some(alices), ..CallOptions::default() };
    let taken = ladder.tell("alice", |it, now| it.accept_call(request, &local, options, now)).unwrap();
    let reply = Reply::new(StatusCode::OK).with_body(answer());
    ladder.tell("alice", |it, now| it.answer(taken, &reply, now)).unwrap();
    ladder.run();
    let mut played = played(&mut ladder);
    let Some(mut printed) = printed(5359, "2.6", NAMES) else { return };
    // Our BYE leaves with the 200, before the ACK of the new call has come.
    played.sort();
    printed.sort();
    assert_eq!(played, printed);
}
