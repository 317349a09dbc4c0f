//! Who calls and how much of it is told: RFC 3323, RFC 3325, RFC 5806, RFC 7044; what a telephone does by itself
//! (RFC 5373), what INFO carries (RFC 6086), and calls that are found by their ids (RFC 3911, RFC 4538).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    HeaderName, Request,
    call::caller_identity::{self, CallerIdentity, Privacy, Target as HistoryTarget},
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
};
use ladder::Ladder;

fn invite(lines: &[(&str, &str)]) -> Request {
    let mut builder = Request::builder(Method::Invite, "sip:2@pbx.example")
        .header("From", "\"Anna\" <sip:1@pbx.example>;tag=a")
        .header("To", "<sip:2@pbx.example>");
    for (name, value) in lines {
        builder = builder.header(*name, value);
    }
    builder.finish().unwrap()
}

#[test]
fn rfc_3325_section_5_what_a_stranger_asserts_is_not_read() {
    let asserted = invite(&[
        ("P-Asserted-Identity", "\"Boss\" <sip:boss@pbx.example>, <tel:+81390>"),
        ("P-Preferred-Identity", "<sip:desk@pbx.example>"),
        ("Privacy", "id;critical"),
    ]);
    let trusted = CallerIdentity::read(&asserted, true);
    let names: Vec<String> = trusted.asserted.iter().map(|party| party.uri.to_string()).collect();
    assert_eq!(names, ["sip:boss@pbx.example", "tel:+81390"]);
    assert_eq!(trusted.asserted[0].display_name.as_deref(), Some("Boss"));
    assert_eq!(trusted.privacy, Privacy { identity: true, critical: true, ..Privacy::default() });
    let stranger = CallerIdentity::read(&asserted, false);
    assert_eq!((stranger.asserted.len(), stranger.preferred.len()), (0, 1));
}

fn placed() -> PlaceCall {
    let uri = |text: &str| UriBuf::parse(text).unwrap();
    let target = Target::Uri(uri("sip:trunk.example"));
    let mut place = PlaceCall::new(
        Party::named("Anna", uri("sip:1@pbx.example")),
        Party::new(uri("sip:2@trunk.example")),
        target,
    );
    for (name, value) in [
        ("Subject", "lunch"),
        ("Call-Info", "<http://pbx.example/anna.png>;purpose=icon"),
        ("Diversion", "<sip:3@pbx.example>;reason=no-answer;counter=1"),
        ("History-Info", "<sip:3@pbx.example>;index=1"),
        ("X-Kept", "1"),
    ] {
        place.headers.push(name, value).unwrap();
    }
    place
}

fn identity(privacy: Privacy) -> CallerIdentity {
    let uri = UriBuf::parse("sip:1@pbx.example").unwrap();
    CallerIdentity { asserted: vec![Party::named("Anna", uri)], preferred: Vec::new(), privacy }
}

fn names(place: &PlaceCall) -> Vec<&str> {
    place.headers.iter().map(|(name, _)| name).collect()
}

#[test]
fn rfc_3325_section_7_within_the_domain_the_identity_travels_with_the_wish() {
    let mut place = placed();
    let privacy = Privacy { identity: true, ..Privacy::default() };
    caller_identity::tell(&mut place, &identity(privacy), true).unwrap();
    assert_eq!(place.headers.get(HeaderName::PAssertedIdentity), Some("\"Anna\" <sip:1@pbx.example>"));
    assert_eq!(place.headers.get(HeaderName::Privacy), Some("id"));
    assert_eq!(place.from.display_name.as_deref(), Some("Anna"));
}

#[test]
fn rfc_3323_section_4_1_to_strangers_a_private_caller_is_anonymous() {
    let mut place = placed();
    let privacy = Privacy { identity: true, history: true, ..Privacy::default() };
    caller_identity::tell(&mut place, &identity(privacy), false).unwrap();
    assert_eq!(place.from, caller_identity::anonymous());
    assert_eq!(place.from.uri.as_str(), "sip:anonymous@anonymous.invalid");
    assert_eq!(names(&place), ["X-Kept"], "subject, picture and the way the call came would tell");
    assert_eq!(place.local.user, "anonymous");
    // Who wants nothing hidden is not hidden, and his asserted identity stays inside all the same.
    let mut place = placed();
    caller_identity::tell(
        &mut place,
        &identity(Privacy { none: true, identity: true, ..Privacy::default() }),
        false,
    )
    .unwrap();
    assert_eq!(place.from.display_name.as_deref(), Some("Anna"));
    assert!(!place.headers.iter().any(|(name, _)| name == "P-Asserted-Identity"));
}

#[test]
fn rfc_5806_diversions_are_written_and_counted() {
    let by = UriBuf::parse("sip:3@pbx.example").unwrap();
    let value = caller_identity::diversion(&by, "no-answer", 2);
    assert_eq!(value, "<sip:3@pbx.example>;reason=no-answer;counter=2");
    let sent_on = invite(&[("Diversion", &value), ("Diversion", "<sip:4@pbx.example>;reason=user-busy")]);
    assert_eq!(caller_identity::diversions(&sent_on), 3);
    assert_eq!(caller_identity::diversions(&invite(&[])), 0);
    assert!(!caller_identity::diversion(&by, "x\r\nEvil: 1;", 1).contains(['\r', '\n', ' ']));
}

#[test]
fn rfc_7044_section_9_a_call_that_is_sent_on_says_how_it_came() {
    let target = UriBuf::parse("sip:3@pbx.example").unwrap();
    let fresh = invite(&[]);
    let history =
        caller_identity::history(&fresh, &target, StatusCode::new(486), HistoryTarget::Retargeted, 1);
    assert_eq!(
        history,
        ["<sip:2@pbx.example?Reason=SIP%3Bcause%3D486>;index=1", "<sip:3@pbx.example>;index=1.1;mp=1"]
    );
    let again = invite(&[("History-Info", &history.join(", "))]);
    let fourth = UriBuf::parse("sip:4@192.0.2.4").unwrap();
    let history = caller_identity::history(&again, &fourth, None, HistoryTarget::Contact, 2);
    assert_eq!(history.len(), 3);
    assert_eq!(history[2], "<sip:4@192.0.2.4>;index=1.1.2;rc=1.1");
}

fn with_packages(packages: &[&str]) -> (Ladder, CallHandle, CallHandle) {
    let mut ladder = Ladder::new();
    for (name, address) in [("alice", "192.0.2.1:5060"), ("bob", "192.0.2.2:5060")] {
        let packages = packages.iter().map(ToString::to_string).collect();
        ladder.endpoint_with(name, address, |config| config.info_packages = Some(packages));
    }
    let (alices, bobs) = ladder.establish("alice", "bob");
    (ladder, alices, bobs)
}

fn info(ladder: &mut Ladder, call: CallHandle, package: &str) -> Result<OutgoingHandle, Misuse> {
    let headers = Headers::new().with("Info-Package", package).unwrap();
    let body = Body::new("text/plain", "hello");
    ladder.tell("alice", |it, now| it.request_in_dialog(call, Method::Info, &headers, Some(&body), now))
}

#[test]
fn rfc_6086_section_4_packages_are_announced_and_kept_to() {
    let (mut ladder, alices, _) = with_packages(&["door", "camera"]);
    info(&mut ladder, alices, "door;v=1").unwrap();
    assert_eq!(info(&mut ladder, alices, "lamp"), Err(Misuse::NotSupported("the INFO package")));
    ladder.run();
    let message = ladder.event("bob", |event| match event {
        Event::DialogRequest { message, .. } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(message.get("Info-Package"), Some("door;v=1"));
}

#[test]
fn rfc_6086_section_4_2_2_a_package_that_was_not_announced_is_refused_with_469() {
    let mut ladder = Ladder::new();
    ladder.raw("alice", "192.0.2.1:5060");
    ladder.endpoint_with("bob", "192.0.2.2:5060", |config| config.info_packages = Some(Vec::new()));
    let head = |method: &str, to: &str, number: u32| {
        format!(
            "{method} sip:bob@192.0.2.2:5060 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKi{number}
            Max-Forwards: 70
            From: <sip:alice@192.0.2.1>;tag=a
            To: {to}
            Call-ID: c
            CSeq: {number} {method}
            Contact: <sip:alice@192.0.2.1:5060>"
        )
    };
    ladder.send("alice", "bob", &head("INVITE", "<sip:bob@192.0.2.2>", 1));
    ladder.run();
    let call = ladder.accept("bob");
    let reply = Reply::new(StatusCode::OK).with_body(ladder::offer());
    ladder.tell("bob", |it, now| it.answer(call, &reply, now)).unwrap();
    ladder.run();
    let ok = ladder.received_response("alice", 200);
    assert_eq!(ok.get("Recv-Info"), Some("nil"));
    let to = ok.get("To").unwrap().to_owned();
    ladder.send("alice", "bob", &format!("{}\nContent-Type: application/sdp\n\nv=0", head("ACK", &to, 1)));
    ladder.send("alice", "bob", &format!("{}\nInfo-Package: door", head("INFO", &to, 2)));
    ladder.run();
    assert_eq!(ladder.received_response("alice", 469).get("Recv-Info"), Some("nil"));
    // Without a package it is an INFO of the old kind, and the application's.
    ladder.send("alice", "bob", &head("INFO", &to, 3));
    ladder.run();
    ladder.event("bob", |event| matches!(event, Event::DialogRequest { .. }).then_some(()));
}

/// An INVITE from Carol to Bob, who is in a call with Alice, that names a call.
fn naming(ladder: &mut Ladder, header: &str, value: &str) -> RequestHandle {
    let mut place = ladder.place("carol", "bob");
    place.headers = Headers::new().with(header, value).unwrap();
    ladder.tell("carol", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    ladder.incoming("bob", Method::Invite).0
}

#[test]
fn rfc_3911_section_4_which_call_is_to_be_joined() {
    let mut ladder = Ladder::alice_and_bob();
    ladder.endpoint("carol", "192.0.2.3:5060");
    let (_, bobs) = ladder.establish("alice", "bob");
    let snapshot = ladder.user("bob").endpoint.call(bobs).unwrap();
    let (local, remote) = (snapshot.local_tag.unwrap(), snapshot.remote_tag.unwrap());
    let id = snapshot.call_id;
    let good = naming(&mut ladder, "Join", &format!("{id};to-tag={local};from-tag={remote}"));
    assert_eq!(ladder.user("bob").endpoint.joined_call(good), Ok(Some(bobs)));
    let wrong = naming(&mut ladder, "Join", &format!("{id};to-tag={remote};from-tag={local}"));
    let missing = Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
    assert_eq!(ladder.user("bob").endpoint.joined_call(wrong), missing);
    let plain = naming(&mut ladder, "Subject", "x");
    assert_eq!(ladder.user("bob").endpoint.joined_call(plain), Ok(None));
}

#[test]
fn rfc_4538_section_5_a_request_outside_is_tied_to_a_call_by_its_ids() {
    let (mut ladder, alices, bobs) = Ladder::established();
    let reference = ladder.user("alice").endpoint.reference_to(alices).unwrap();
    let request = invite(&[("Target-Dialog", &reference)]);
    assert_eq!(ladder.user("bob").endpoint.target_dialog(&request), Ok(Some(bobs)));
    let forged = invite(&[("Target-Dialog", &format!("x{reference}"))]);
    let missing = Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
    assert_eq!(ladder.user("bob").endpoint.target_dialog(&forged), missing);
    assert_eq!(ladder.user("bob").endpoint.target_dialog(&invite(&[])), Ok(None));
}
