//! The call flows of RFC 5359, played: hold, transfer, forwarding, conferences, find-me, screening, park, pick-up, redial,
//! click to dial; with proxies, a gateway and servers of music, park and announcements where the figures have them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;
mod printed_flows;
mod shared;

use denwa_sip_core::{
    Request,
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
    proxy::{Order, TargetSet},
};
use ladder::{Decision, Ladder, answer, offer};
use printed_flows::{
    Names, call, change, compare, compare_in_any_order, played, printed, replaces_of, take_over, take_refer,
};
use std::time::Duration;

const NAMES: Names<'_> = &[
    ("Alice", "alice"),
    ("Bob", "bob"),
    ("ACK Bob", "bob"),
    ("Carol", "carol"),
    ("Bill", "carol"),
    ("PC", "pc"),
    ("Music Server", "server"),
    ("Park Server", "server"),
    ("Announcement Server", "server"),
    ("Gateway", "gateway"),
    ("Proxy", "proxy"),
    ("Proxy 1", "proxy"),
    ("B1", "b1"),
    ("B2", "b2"),
    ("B3", "b3"),
    ("B4", "b4"),
];

fn stage() -> Ladder {
    let mut ladder = Ladder::alice_and_bob();
    ladder.endpoint("carol", "192.0.2.3:5060");
    ladder.endpoint("pc", "192.0.2.4:5060");
    ladder.endpoint("server", "192.0.2.5:5060");
    ladder
}

const PROXY: &str = "192.0.2.11:5060";

/// Who a call through the proxy is for decides to whom it goes.
fn with_proxy(decide: impl FnMut(&Request) -> Decision + 'static) -> Ladder {
    let mut ladder = stage();
    ladder.proxy("proxy", PROXY, true, decide);
    for (name, address) in [("b1", "21"), ("b2", "22"), ("b3", "23"), ("b4", "24"), ("gateway", "25")] {
        ladder.endpoint(name, &format!("192.0.2.{address}:5060"));
    }
    ladder
}

fn at(user: &str, host: &str) -> TargetSet {
    branches(&[(user, host)], Order::Parallel)
}

fn branches(whom: &[(&str, &str)], order: Order) -> TargetSet {
    use denwa_sip_core::{Protocol, proxy::Branch};
    let branch = |(user, host): &(&str, &str)| {
        let mut branch = Branch::to(UriBuf::parse(&format!("sip:{user}@{host}:5060")).unwrap());
        branch.target = Some(Target::address(Protocol::Udp, format!("{host}:5060").parse().unwrap()));
        branch
    };
    TargetSet::of(whom.iter().map(branch).collect(), order)
}

/// To the user part's own telephone.
fn by_name(request: &Request) -> Decision {
    Decision::Forward(match request.uri().unwrap().user() {
        Some("alice") => at("alice", "192.0.2.1"),
        Some("carol") => at("carol", "192.0.2.3"),
        _ => at("bob", "192.0.2.2"),
    })
}

/// A call through the proxy that rings and is answered by `taker`.
fn call_through(
    ladder: &mut Ladder,
    from: &'static str,
    to: &str,
    taker: &'static str,
) -> (CallHandle, CallHandle) {
    let place = through(ladder, from, to);
    let callers = ladder.tell(from, |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let callees = ladder.accept(taker);
    ladder.ring(taker, callees);
    ladder.run();
    ladder.answer(taker, callees);
    ladder.run();
    (callers, callees)
}

fn through(ladder: &Ladder, from: &str, to: &str) -> PlaceCall {
    let mut place = ladder.place(from, if to == "anybody" { "bob" } else { to });
    place.request_uri = UriBuf::parse(&format!("sip:{to}@{PROXY}")).unwrap();
    place.target = ladder.target("proxy");
    place
}

fn hang_up(ladder: &mut Ladder, who: &str, call: CallHandle) {
    ladder.hang_up(who, call);
    ladder.run();
}

#[test]
fn rfc_5359_section_2_1_hold_through_a_proxy() {
    let mut ladder = with_proxy(by_name);
    let (alices, bobs) = call_through(&mut ladder, "alice", "bob", "bob");
    change(&mut ladder, "bob", bobs, "alice", alices, 2);
    change(&mut ladder, "bob", bobs, "alice", alices, 3);
    hang_up(&mut ladder, "alice", alices);
    compare(&mut ladder, 5359, "2.1", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_5359_section_2_2_consultation_hold() {
    let mut ladder = with_proxy(by_name);
    let (alices, bobs) = call_through(&mut ladder, "alice", "bob", "bob");
    change(&mut ladder, "bob", bobs, "alice", alices, 2);
    let (second, _) = call_through(&mut ladder, "bob", "carol", "carol");
    hang_up(&mut ladder, "bob", second);
    change(&mut ladder, "bob", bobs, "alice", alices, 3);
    hang_up(&mut ladder, "alice", alices);
    compare(&mut ladder, 5359, "2.2", NAMES);
    ladder.assert_nothing_left();
}

/// Bob asks a server to take Alice over: REFER outside any dialog, and the server's INVITE with Replaces.
fn hand_to_server(ladder: &mut Ladder, alices: CallHandle) -> (CallHandle, CallHandle, SubscriptionHandle) {
    let (from, to) = (Party::new(ladder.uri("bob")), Party::new(ladder.uri("server")));
    let refer = SendRequest::new(Method::Refer, from, to, ladder.target("server"));
    let transfer = Transfer::to(ladder.uri("alice"));
    ladder.tell("bob", |it, now| it.refer(refer, &transfer, now)).unwrap();
    let (_, _, report) = take_refer(ladder, "server");
    let replaces = replaces_of(ladder, "alice", alices);
    let place = ladder.place("server", "alice");
    let (servers, alices) = take_over(ladder, "server", "alice", &replaces, place);
    (servers, alices, report.unwrap())
}

#[test]
fn rfc_5359_section_2_3_music_on_hold() {
    let mut ladder = stage();
    let (alices, bobs) = call(&mut ladder, "alice", "bob");
    change(&mut ladder, "bob", bobs, "alice", alices, 2);
    let (_, with_music, report) = hand_to_server(&mut ladder, alices);
    ladder.tell("server", |it, now| it.report_transfer(report, StatusCode::OK, None, now)).unwrap();
    ladder.run();
    let replaces = replaces_of(&mut ladder, "alice", with_music);
    let place = ladder.place("bob", "alice");
    take_over(&mut ladder, "bob", "alice", &replaces, place);
    compare_in_any_order(
        &mut ladder,
        5359,
        "2.3",
        NAMES,
        "alice > bob INVITE
        bob > alice 180
        bob > alice 200
        alice > bob ACK
        bob > alice INVITE
        alice > bob 200
        bob > alice ACK
        bob > server REFER
        server > bob 202
        server > bob NOTIFY
        bob > server 200
        server > alice INVITE
        alice > server 200
        server > alice ACK
        alice > bob BYE
        bob > alice 200
        server > bob NOTIFY
        bob > server 200
        bob > alice INVITE
        alice > bob 200
        bob > alice ACK
        alice > server BYE
        server > alice 200",
    );
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

// -- forwarding by a proxy

#[test]
fn rfc_5359_section_2_7_forwarding_unconditionally() {
    let mut ladder = with_proxy(|_| Decision::ForwardedCall(at("bob", "192.0.2.25")));
    let (alices, _) = call_through(&mut ladder, "alice", "bob", "gateway");
    hang_up(&mut ladder, "alice", alices);
    compare(&mut ladder, 5359, "2.7", NAMES);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_5359_section_2_8_forwarding_when_busy() {
    let mut ladder = with_proxy(|_| {
        Decision::Forward(branches(&[("b1", "192.0.2.21"), ("b2", "192.0.2.22")], Order::Sequential))
    });
    ladder.tells_of_forwarding("proxy");
    let place = through(&ladder, "alice", "bob");
    let alices = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("b1", Method::Invite);
    ladder.tell("b1", |it, now| it.respond(request, &Reply::new(StatusCode::BUSY_HERE), now)).unwrap();
    ladder.run();
    let taken = ladder.accept("b2");
    ladder.ring("b2", taken);
    ladder.run();
    ladder.answer("b2", taken);
    ladder.run();
    hang_up(&mut ladder, "alice", alices);
    same_in_any_order(&mut ladder, "2.8");
    ladder.assert_nothing_left();
}

/// What is printed, in whatever order our messages cross.
fn same_in_any_order(ladder: &mut Ladder, section: &str) {
    let mut played = played(ladder);
    let Some(mut printed) = printed(5359, section, NAMES) else { return };
    played.sort();
    printed.sort();
    assert_eq!(played, printed, "RFC 5359 section {section}");
}

#[test]
fn rfc_5359_section_2_9_forwarding_when_nobody_answers() {
    let mut ladder = with_proxy(|_| {
        Decision::Forward(branches(&[("b1", "192.0.2.21"), ("b2", "192.0.2.22")], Order::Sequential))
    });
    ladder.rings_for("proxy", Duration::from_secs(20));
    ladder.tells_of_forwarding("proxy");
    let place = through(&ladder, "alice", "bob");
    let alices = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let silent = ladder.accept("b1");
    ladder.ring("b1", silent);
    ladder.run();
    // As long as the proxy lets a telephone ring.
    ladder.pass_seconds(21);
    let taken = ladder.accept("b2");
    ladder.ring("b2", taken);
    ladder.run();
    ladder.answer("b2", taken);
    ladder.run();
    hang_up(&mut ladder, "alice", alices);
    let mut played = played(&mut ladder);
    let mut figure: Vec<String> = "alice -> proxy INVITE
        proxy -> b1 INVITE
        b1 -> proxy 180
        proxy -> alice 180
        proxy -> b1 CANCEL
        b1 -> proxy 200
        b1 -> proxy 487
        proxy -> b1 ACK
        proxy -> alice 181
        proxy -> b2 INVITE
        b2 -> proxy 180
        proxy -> alice 180
        b2 -> proxy 200
        proxy -> alice 200
        alice -> proxy ACK
        proxy -> b2 ACK
        alice -> proxy BYE
        proxy -> b2 BYE
        b2 -> proxy 200
        proxy -> alice 200"
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    played.sort();
    figure.sort();
    assert_eq!(played, figure);
    ladder.assert_nothing_left();
}

// -- conferences

#[test]
fn rfc_5359_section_2_10_a_third_party_is_added() {
    let mut ladder = stage();
    let (alices, bobs) = call(&mut ladder, "alice", "bob");
    // Bob becomes the focus, and says so to Alice; then he calls Carol.
    change(&mut ladder, "bob", bobs, "alice", alices, 2);
    call(&mut ladder, "bob", "carol");
    // The two figures of conferences are printed without messages of their own, below section 2.9.
    assert_figure(
        &mut ladder,
        "alice -> bob INVITE
        bob -> alice 180
        bob -> alice 200
        alice -> bob ACK
        bob -> alice INVITE
        alice -> bob 200
        bob -> alice ACK
        bob -> carol INVITE
        carol -> bob 180
        carol -> bob 200
        bob -> carol ACK",
    );
}

fn assert_figure(ladder: &mut Ladder, whole: &str) {
    let figure: Vec<String> = whole.lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(played(ladder), figure);
}

#[test]
fn rfc_5359_section_2_11_a_third_party_joins() {
    let mut ladder = stage();
    let (alices, bobs) = call(&mut ladder, "alice", "bob");
    let join = replaces_of(&mut ladder, "bob", bobs);
    let mut place = ladder.place("carol", "bob");
    place.headers = Headers::new().with("Join", join).unwrap();
    ladder.tell("carol", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Invite);
    assert_eq!(ladder.user("bob").endpoint.joined_call(request), Ok(Some(bobs)));
    let (local, options) = (LocalIdentity::default(), CallOptions::default());
    let third = ladder.tell("bob", |it, now| it.accept_call(request, &local, options, now)).unwrap();
    ladder.ring("bob", third);
    ladder.run();
    change(&mut ladder, "bob", bobs, "alice", alices, 2);
    ladder.answer("bob", third);
    ladder.run();
    assert_figure(
        &mut ladder,
        "alice -> bob INVITE
        bob -> alice 180
        bob -> alice 200
        alice -> bob ACK
        carol -> bob INVITE
        bob -> carol 180
        bob -> alice INVITE
        alice -> bob 200
        bob -> alice ACK
        bob -> carol 200
        carol -> bob ACK",
    );
}

// -- find-me and screening

#[test]
fn rfc_5359_section_2_12_find_me() {
    let everywhere = [("b1", "192.0.2.21"), ("b2", "192.0.2.22"), ("b3", "192.0.2.23"), ("b4", "192.0.2.24")];
    let mut ladder = with_proxy(move |_| Decision::Forward(branches(&everywhere, Order::Sequential)));
    ladder.rings_for("proxy", Duration::from_secs(20));
    let place = through(&ladder, "alice", "bob");
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let first = ladder.accept("b1");
    ladder.ring("b1", first);
    ladder.run();
    ladder.pass_seconds(21);
    for (who, status) in [("b2", StatusCode::TEMPORARILY_UNAVAILABLE), ("b3", StatusCode::BUSY_HERE)] {
        let (request, _) = ladder.incoming(who, Method::Invite);
        ladder.tell(who, |it, now| it.respond(request, &Reply::new(status), now)).unwrap();
        ladder.run();
    }
    let taken = ladder.accept("b4");
    ladder.ring("b4", taken);
    ladder.run();
    ladder.answer("b4", taken);
    ladder.run();
    hang_up(&mut ladder, "b4", taken);
    same_in_any_order(&mut ladder, "2.12");
    ladder.assert_nothing_left();
}

fn challenge() -> Decision {
    let value = "Digest realm=\"atlanta\", qop=\"auth\", nonce=\"84a4cc6f3082121f32b42a2187831a9e\"";
    let headers = Headers::new().with("Proxy-Authenticate", value).unwrap();
    Decision::Reply(Reply::new(StatusCode::PROXY_AUTHENTICATION_REQUIRED).with_headers(headers))
}

/// Challenges, and then screens: 403.
fn screening(request: &Request) -> Decision {
    if request.has(denwa_sip_core::HeaderName::ProxyAuthorization) {
        return Decision::Reply(Reply::new(StatusCode::FORBIDDEN));
    }
    challenge()
}

fn with_credentials(mut place: PlaceCall) -> PlaceCall {
    let (username, secret) = ("alice".to_owned(), Secret::password("secret"));
    place.credentials = vec![Credentials { realm: Some("atlanta".to_owned()), username, secret }];
    place
}

#[test]
fn rfc_5359_section_2_13_incoming_calls_are_screened() {
    let mut ladder = with_proxy(screening);
    // Bob sends whoever calls him directly to his proxy.
    let first = ladder.call("alice", "bob");
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Invite);
    let headers = Headers::new().with("Contact", format!("<sip:bob@{PROXY}>")).unwrap();
    let use_proxy = Reply::new(StatusCode::new(305).unwrap()).with_headers(headers);
    ladder.tell("bob", |it, now| it.respond(request, &use_proxy, now)).unwrap();
    ladder.run();
    ladder.end_of("alice", first);
    let place = with_credentials(through(&ladder, "alice", "bob"));
    let second = ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    ladder.end_of("alice", second);
    // The announcement that the Error-Info of the 403 names.
    let third = ladder.call("alice", "server");
    ladder.run();
    let announcing = ladder.accept("server");
    ladder.answer("server", announcing);
    ladder.run();
    hang_up(&mut ladder, "server", announcing);
    ladder.end_of("alice", third);
    assert_figure(
        &mut ladder,
        "alice -> bob INVITE
        bob -> alice 305
        alice -> bob ACK
        alice -> proxy INVITE
        proxy -> alice 407
        alice -> proxy ACK
        alice -> proxy INVITE
        proxy -> alice 403
        alice -> proxy ACK
        alice -> server INVITE
        server -> alice 200
        alice -> server ACK
        server -> alice BYE
        alice -> server 200",
    );
    ladder.assert_nothing_left();
}

#[test]
fn rfc_5359_section_2_14_outgoing_calls_are_screened() {
    let mut ladder = with_proxy(screening);
    let place = with_credentials(through(&ladder, "alice", "bob"));
    ladder.tell("alice", |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    compare(&mut ladder, 5359, "2.14", NAMES);
    ladder.assert_nothing_left();
}

// -- park, pick-up, redial

/// Somebody asks who holds which dialog, and is told once.
fn ask_for_dialogs(
    ladder: &mut Ladder,
    who: &'static str,
    whom: &'static str,
    expires: u64,
) -> (SubscriptionHandle, SubscriptionHandle) {
    let (from, to) = (Party::new(ladder.uri(who)), Party::new(ladder.uri(whom)));
    let mut subscribe = Subscribe::new("dialog", from, to, ladder.target(whom));
    subscribe.keep = false;
    subscribe.expires = Duration::from_secs(expires);
    let asking = ladder.tell(who, |it, now| it.subscribe(subscribe, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming(whom, Method::Subscribe);
    let accept = AcceptSubscription::default();
    let told = ladder.tell(whom, |it, now| it.accept_subscription(request, accept, now)).unwrap();
    ladder.run();
    (asking, told)
}

#[test]
fn rfc_5359_section_2_15_park() {
    let mut ladder = stage();
    let (alices, _) = call(&mut ladder, "alice", "bob");
    let (_, parked, report) = hand_to_server(&mut ladder, alices);
    ladder.tell("server", |it, now| it.report_transfer(report, StatusCode::OK, None, now)).unwrap();
    ladder.run();
    ask_for_dialogs(&mut ladder, "carol", "server", 0);
    let replaces = replaces_of(&mut ladder, "alice", parked);
    let place = ladder.place("carol", "alice");
    take_over(&mut ladder, "carol", "alice", &replaces, place);
    compare_in_any_order(
        &mut ladder,
        5359,
        "2.15",
        NAMES,
        "alice > bob INVITE
        bob > alice 180
        bob > alice 200
        alice > bob ACK
        bob > server REFER
        server > bob 202
        server > bob NOTIFY
        bob > server 200
        server > alice INVITE
        alice > server 200
        server > alice ACK
        alice > bob BYE
        bob > alice 200
        server > bob NOTIFY
        bob > server 200
        carol > server SUBSCRIBE
        server > carol 200
        server > carol NOTIFY
        carol > server 200
        carol > alice INVITE
        alice > carol 200
        carol > alice ACK
        alice > server BYE
        server > alice 200",
    );
}

#[test]
fn rfc_5359_section_2_16_pick_up() {
    let mut ladder = stage();
    let alices = ladder.call("alice", "bob");
    ladder.run();
    let bobs = ladder.accept("bob");
    ladder.ring("bob", bobs);
    ladder.run();
    ask_for_dialogs(&mut ladder, "carol", "bob", 0);
    // Alice called, so hers is the end that may be taken over while it rings (RFC 3891 §3).
    let replaces = replaces_of(&mut ladder, "alice", alices);
    let place = ladder.place("carol", "alice");
    let (_, taken) = take_over(&mut ladder, "carol", "alice", &replaces, place);
    hang_up(&mut ladder, "alice", taken);
    same_in_any_order(&mut ladder, "2.16");
    ladder.assert_nothing_left();
}

#[test]
fn rfc_5359_section_2_17_redial_when_free() {
    let mut ladder = stage();
    let first = ladder.call("alice", "bob");
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Invite);
    ladder.tell("bob", |it, now| it.respond(request, &Reply::new(StatusCode::BUSY_HERE), now)).unwrap();
    ladder.run();
    ladder.end_of("alice", first);
    let (asking, told) = ask_for_dialogs(&mut ladder, "alice", "bob", 600);
    let tell = |ladder: &mut Ladder| {
        ladder
            .tell("bob", |it, now| it.notify(told, SubscriptionState::Active, None, Headers::new(), now))
            .unwrap();
        ladder.run();
    };
    // Bob has hung up.
    tell(&mut ladder);
    call(&mut ladder, "alice", "bob");
    tell(&mut ladder);
    ladder.tell("alice", |it, now| it.unsubscribe(asking, now)).unwrap();
    ladder.run();
    assert_figure(
        &mut ladder,
        "alice -> bob INVITE
        bob -> alice 486
        alice -> bob ACK
        alice -> bob SUBSCRIBE
        bob -> alice 200
        bob -> alice NOTIFY
        alice -> bob 200
        bob -> alice NOTIFY
        alice -> bob 200
        alice -> bob INVITE
        bob -> alice 180
        bob -> alice 200
        alice -> bob ACK
        bob -> alice NOTIFY
        alice -> bob 200
        alice -> bob SUBSCRIBE
        bob -> alice 200
        bob -> alice NOTIFY
        alice -> bob 200",
    );
}
