//! The call flows of RFC 3665, played: registration (§2), and sessions with proxies, redirection and failures (§3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;
mod printed_flows;
mod shared;

use denwa_sip_core::{
    Request,
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
    proxy::TargetSet,
    transport::Hop,
};
use ladder::{Decision, Ladder};
use printed_flows::{Names, call, change, compare, compare_figure};
use std::time::Duration;

const NAMES: Names<'_> = &[
    ("Alice", "alice"),
    ("Bob", "bob"),
    ("SIP Server", "server"),
    ("Proxy", "three"),
    ("Proxy 1", "one"),
    ("Proxy 2", "two"),
    ("Proxy 3", "three"),
    ("SIP ALG", "alg"),
    ("Redirect Server", "redirect"),
    ("Redirect Proxy", "redirect"),
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

// -- section 3: sessions

#[test]
fn rfc_3665_section_3_1_a_call_without_anybody_between() {
    let mut ladder = Ladder::alice_and_bob();
    let (_, bobs) = call(&mut ladder, "alice", "bob");
    ladder.hang_up("bob", bobs);
    ladder.run();
    compare(&mut ladder, 3665, "3.1", NAMES);
    ladder.assert_nothing_left();
}

// -- section 3 with somebody between

const ALICE: &str = "192.0.2.1:5060";
const BOB: &str = "192.0.2.2:5060";
const ONE: &str = "192.0.2.11:5060";
const TWO: &str = "192.0.2.12:5060";

/// A target at a node of the ladder, for the user Bob.
fn to(address: &str) -> TargetSet {
    use denwa_sip_core::{io::Protocol, proxy::Branch, transport::Target};
    let mut branch = Branch::to(UriBuf::parse(&format!("sip:bob@{address}")).unwrap());
    branch.target = Some(Target::address(Protocol::Udp, address.parse().unwrap()));
    TargetSet::one(branch)
}

/// Forwards to one place whoever has authenticated himself there.
fn guarded(realm: &'static str, address: &'static str) -> impl FnMut(&Request) -> Decision {
    move |request| {
        let value =
            format!("Digest realm=\"{realm}\", qop=\"auth\", nonce=\"84a4cc6f3082121f32b42a2187831a9e\"");
        let is_known =
            request.get_all("Proxy-Authorization").any(|it| it.contains(&format!("realm=\"{realm}\"")));
        if is_known {
            return Decision::Forward(to(address));
        }
        let headers = Headers::new().with("Proxy-Authenticate", value).unwrap();
        Decision::Reply(Reply::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED).with_headers(headers))
    }
}

fn open(address: &'static str) -> impl FnMut(&Request) -> Decision {
    move |_| Decision::Forward(to(address))
}

/// Alice, proxy one, proxy two, Bob.
fn trapezoid(
    one: impl FnMut(&Request) -> Decision + 'static,
    two: impl FnMut(&Request) -> Decision + 'static,
) -> Ladder {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", ALICE);
    ladder.proxy("one", ONE, true, one);
    ladder.proxy("two", TWO, true, two);
    ladder.endpoint("bob", BOB);
    ladder
}

/// Alice's INVITE for Bob, sent to `first`.
fn place(ladder: &Ladder, first: &str) -> PlaceCall {
    let mut place = ladder.place("alice", "bob");
    place.request_uri = UriBuf::parse(&format!("sip:bob@{}", ladder.address(first))).unwrap();
    place.target = ladder.target(first);
    for realm in ["atlanta", "biloxi"] {
        let (username, secret) = ("alice".to_owned(), Secret::password("secret"));
        place.credentials.push(Credentials { realm: Some(realm.to_owned()), username, secret });
    }
    place
}

fn begin(ladder: &mut Ladder, place: PlaceCall) -> CallHandle {
    let call = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    call
}

/// Bob rings and answers.
fn take(ladder: &mut Ladder, rings: bool) -> CallHandle {
    let bobs = ladder.accept("bob");
    if rings {
        ladder.ring("bob", bobs);
        ladder.run();
    }
    ladder.answer("bob", bobs);
    ladder.run();
    bobs
}

#[test]
fn rfc_3665_section_3_2_two_proxies_and_a_challenge() {
    let mut ladder = trapezoid(guarded("atlanta", TWO), open(BOB));
    let place = place(&ladder, "one");
    begin(&mut ladder, place);
    let bobs = take(&mut ladder, true);
    ladder.hang_up("bob", bobs);
    ladder.run();
    compare(&mut ladder, 3665, "3.2", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_3_each_proxy_challenges_for_its_own_realm() {
    let mut ladder = trapezoid(guarded("atlanta", TWO), guarded("biloxi", BOB));
    let place = place(&ladder, "one");
    begin(&mut ladder, place);
    take(&mut ladder, false);
    compare(&mut ladder, 3665, "3.3", NAMES);
    let last = ladder.messages.iter().rev().find(|(arrow, _)| arrow == "alice -> one INVITE").unwrap();
    assert_eq!(last.1.get_all("Proxy-Authorization").count(), 2, "both remain in the request");
}

#[test]
fn rfc_3665_section_3_4_a_proxy_that_is_dead_is_passed_by() {
    let mut ladder = trapezoid(open(TWO), guarded("biloxi", BOB));
    ladder.lose(|arrow| arrow.starts_with("alice -> one"));
    let mut place = place(&ladder, "one");
    let hop = |name: &str| Hop {
        protocol: denwa_sip_core::Protocol::Udp,
        remote: ladder.address(name),
        server_name: None,
    };
    place.target = Target::Hops(vec![hop("one"), hop("two")]);
    place.request_uri = UriBuf::parse(&format!("sip:bob@{TWO}")).unwrap();
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.pass_seconds(33);
    let bobs = take(&mut ladder, true);
    ladder.hang_up("bob", bobs);
    ladder.run();
    // The dead one never was on the route, and proxy two is asked for by every request.
    let mut played = printed_flows::played(&mut ladder);
    played.retain(|arrow| !arrow.contains("(lost)"));
    let printed = printed_flows::printed(3665, "3.4", NAMES).unwrap_or_else(|| played.clone());
    assert_eq!(played, printed);
}

#[test]
fn rfc_3665_section_3_5_only_who_recorded_himself_stays_on_the_way() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", ALICE);
    ladder.proxy("alg", ONE, true, open(TWO));
    ladder.proxy("two", TWO, false, open(BOB));
    ladder.endpoint("bob", BOB);
    let place = place(&ladder, "alg");
    let alices = begin(&mut ladder, place);
    take(&mut ladder, true);
    ladder.hang_up("alice", alices);
    ladder.run();
    compare(&mut ladder, 3665, "3.5", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_6_a_redirection_is_followed() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", ALICE);
    ladder.endpoint("redirect", ONE);
    ladder.proxy("three", TWO, true, open(BOB));
    ladder.endpoint("bob", BOB);
    let first = place(&ladder, "redirect");
    let alices = begin(&mut ladder, first);
    let (request, _) = ladder.incoming("redirect", Method::Invite);
    let headers = Headers::new().with("Contact", format!("<sip:bob@{TWO}>")).unwrap();
    let moved = Reply::new(StatusCode::new(302).unwrap()).with_headers(headers);
    ladder.tell("redirect", |it, now| it.respond(request, &moved, now)).unwrap();
    ladder.run();
    let CallEnd::Refused { response } = ladder.end_of("alice", alices) else { panic!("not redirected") };
    let contact = response.contact().unwrap().unwrap().uri.to_string();
    assert_eq!(contact, format!("sip:bob@{TWO}"));
    let again = place(&ladder, "three");
    begin(&mut ladder, again);
    let bobs = take(&mut ladder, true);
    ladder.hang_up("bob", bobs);
    ladder.run();
    compare(&mut ladder, 3665, "3.6", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_7_a_reinvite_goes_the_short_way_past_a_proxy_that_did_not_record_itself() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", ALICE);
    ladder.proxy("two", TWO, false, open(BOB));
    ladder.endpoint("bob", BOB);
    let mut placed = place(&ladder, "two");
    placed.options.in_dialog = InDialogRouting::Contact;
    let alices = begin(&mut ladder, placed);
    let bobs = take(&mut ladder, true);
    change(&mut ladder, "bob", bobs, "alice", alices, 7);
    ladder.hang_up("alice", alices);
    ladder.run();
    compare(&mut ladder, 3665, "3.7", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_8_nobody_answers_and_the_caller_gives_up() {
    let mut ladder = trapezoid(open(TWO), open(BOB));
    let place = place(&ladder, "one");
    let alices = begin(&mut ladder, place);
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    ladder.tell("alice", |it, now| it.cancel(alices, &Headers::new(), now)).unwrap();
    ladder.run();
    compare(&mut ladder, 3665, "3.8", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_9_busy() {
    let mut ladder = trapezoid(open(TWO), open(BOB));
    let place = place(&ladder, "one");
    let alices = begin(&mut ladder, place);
    let (request, _) = ladder.incoming("bob", Method::Invite);
    let busy = Reply::new(StatusCode::BUSY_HERE);
    ladder.tell("bob", |it, now| it.respond(request, &busy, now)).unwrap();
    ladder.run();
    compare_figure(
        &mut ladder,
        3665,
        "3.9",
        NAMES,
        "alice > one INVITE
        one > two INVITE
        two > bob INVITE
        bob > two 486
        two > bob ACK
        two > one 486
        one > two ACK
        one > alice 486
        alice > one ACK",
    );
    assert!(matches!(ladder.end_of("alice", alices), CallEnd::Refused { .. }));
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_10_no_response() {
    let mut ladder = trapezoid(open(TWO), open(BOB));
    ladder.lose(|arrow| arrow.starts_with("two -> bob"));
    let place = place(&ladder, "one");
    begin(&mut ladder, place);
    ladder.pass_seconds(40);
    // The figure's proxy makes up a 480; RFC 3261 §16.8 has 408 for it. What is lost the figure shows once more.
    let figure = |text: &str| text.replace("480", "408");
    let mut played = printed_flows::played(&mut ladder);
    played.retain(|arrow| !arrow.starts_with("two -> bob"));
    let printed = printed_flows::printed(3665, "3.10", NAMES);
    let printed: Option<Vec<String>> = printed.map(|printed| {
        printed.iter().filter(|it| !it.starts_with("two -> bob")).map(|it| figure(it)).collect()
    });
    assert_eq!(played, printed.unwrap_or_else(|| played.clone()));
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3665_section_3_11_temporarily_unavailable() {
    let mut ladder = trapezoid(open(TWO), open(BOB));
    let place = place(&ladder, "one");
    begin(&mut ladder, place);
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    let gone = Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE);
    ladder.tell("bob", |it, now| it.refuse(bobs, &gone, now)).unwrap();
    ladder.run();
    compare(&mut ladder, 3665, "3.11", NAMES);
    ladder.assert_nothing_left();
}
