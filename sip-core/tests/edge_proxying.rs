//! What a proxy does between transports and for telephones behind address translation: two Record-Routes (RFC 5658),
//! flow tokens of an edge proxy and several flows of one device (RFC 5626 §5, §7), and 199 for early dialogs that are
//! over (RFC 6228 §6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod proxy_stage;

use denwa_sip_core::{
    io::{Flow, Protocol, Seed},
    message::{Method, Request, StatusCode, UriBuf},
    proxy::{Branch, ForwardOptions, Order, ProxyEvent, ProxyRefusal, TargetSet, Unfit},
    registrar::binding::{Binding, Instance},
    transport::{FlowTokens, Target},
};
use proxy_stage::{CLIENT, PROXY, Stage, address, invite};
use std::time::Duration;

fn recording() -> ForwardOptions {
    ForwardOptions { record_route: true, ..ForwardOptions::default() }
}

/// A request inside the dialog that `invite` made, with the route set it left.
fn within(method: &Method, uri: &str, routes: &[&str], sequence: u32) -> String {
    let routes: String = routes.iter().map(|route| format!("Route: {route}\n")).collect();
    format!(
        "{method} {uri} SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK{method}{sequence}
        Max-Forwards: 70
        {}
        From: <sip:alice@example.com>;tag=a
        To: <sip:bob@example.com>;tag=t3
        Call-ID: c
        CSeq: {sequence} {method}",
        routes.trim_end()
    )
}

// -- RFC 5658

#[test]
fn rfc_5658_section_4_a_change_of_transport_records_both_sides() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    let (handle, _) = stage.asked();
    let mut branch = Branch::to(UriBuf::parse("sip:bob@192.0.2.3;transport=tcp").unwrap());
    branch.target = Some(Target::address(Protocol::Tcp, address(3)));
    stage.proxy.forward(handle, TargetSet::one(branch), &recording(), stage.now).unwrap();
    stage.drain();
    let forwarded = stage.request_to(3, &Method::Invite);
    assert!(
        forwarded.get("Via").unwrap().starts_with("SIP/2.0/TCP 192.0.2.1:5070"),
        "{:?}",
        forwarded.get("Via")
    );
    let [tcp, udp] = ["<sip:192.0.2.1:5070;transport=tcp;lr>", "<sip:192.0.2.1:5060;lr>"];
    // The next hop's side on top: each end's topmost route is the address it talks to.
    assert_eq!(forwarded.get_all("Record-Route").collect::<Vec<_>>(), [tcp, udp]);
    let recorded = format!("Contact: <sip:bob@192.0.2.3;transport=tcp>\nRecord-Route: {tcp}, {udp}");
    stage.answer(3, &forwarded, "200 OK", &recorded);
    assert_eq!(stage.response(200).record_routes().count(), 2);
    // From the caller, who turned the list round: both of ours go, and the Contact says TCP.
    stage.receive(CLIENT, &within(&Method::Bye, "sip:bob@192.0.2.3;transport=tcp", &[udp, tcp], 2));
    let (handle, message) = stage.asked();
    assert_eq!(message.get("Route"), None);
    let target = TargetSet::one(Branch::to(message.uri().unwrap().to_owned()));
    stage.proxy.forward(handle, target, &recording(), stage.now).unwrap();
    stage.drain();
    let bye = stage.request_to(3, &Method::Bye);
    assert!(bye.get("Via").unwrap().starts_with("SIP/2.0/TCP"), "the BYE stays on the callee's transport");
    stage.answer(3, &bye, "200 OK", "");
    stage.assert_nothing_left();
}

#[test]
fn rfc_5658_one_transport_and_address_records_once() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3], Order::Parallel, &recording());
    assert_eq!(stage.request_to(3, &Method::Invite).get_all("Record-Route").count(), 1);
}

// -- RFC 6228

fn forked(more: &str) -> (Stage, [Request; 2]) {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite(&format!("Max-Forwards: 70\n{more}")));
    stage.forward(&[3, 4], Order::Parallel, &ForwardOptions::default());
    let requests = [3, 4].map(|to| stage.request_to(to, &Method::Invite));
    for (from, request) in [3, 4].into_iter().zip(&requests) {
        stage.answer(from, request, "180 Ringing", "");
        stage.response(180);
    }
    (stage, requests)
}

fn has_199(stage: &Stage) -> bool {
    stage.summary().iter().any(|it| it == "199 to 192.0.2.2:5060")
}

#[test]
fn rfc_6228_section_6_an_early_dialog_that_is_over_is_told_while_others_ring() {
    let (mut stage, [third, fourth]) = forked("Supported: 199");
    stage.answer(3, &third, "486 Busy Here", "");
    let told = stage.response(199);
    assert_eq!(told.to().unwrap().tag(), Some("t3"), "the dialog that is over");
    assert_eq!(told.get("Reason"), Some("SIP;cause=486"));
    assert_eq!((told.get("Contact"), told.get("Record-Route"), told.vias().count()), (None, None, 1));
    // The last one to end is told by the final response itself.
    stage.answer(4, &fourth, "480 Gone", "");
    assert!(!has_199(&stage));
    stage.response(480);
    stage.assert_nothing_left();
}

#[test]
fn rfc_6228_section_6_every_dialog_of_a_branch_that_forked_again_is_told() {
    let (mut stage, [third, _]) = forked("Supported: timer, 199");
    stage.answer(33, &third, "183 Session Progress", "");
    stage.answer(3, &third, "404 Not Found", "");
    let tags =
        [stage.response(199), stage.response(199)].map(|it| it.to().unwrap().tag().unwrap().to_owned());
    assert_eq!(tags, ["t3", "t33"]);
}

#[test]
fn rfc_6228_section_6_a_branch_that_is_silent_for_good_is_told_too() {
    let (mut stage, [_, fourth]) = forked("Supported: 199");
    // Nobody says anything for timer C; the fourth keeps ringing.
    stage.pass(100);
    stage.answer(4, &fourth, "180 Ringing", "");
    stage.pass(82);
    let cancel = stage.request_to(3, &Method::Cancel);
    stage.answer(3, &cancel, "200 OK", "");
    // It does not even say 487.
    stage.pass(33);
    assert_eq!(stage.response(199).get("Reason"), Some("SIP;cause=408"));
}

#[test]
fn rfc_6228_section_6_nobody_is_told_who_did_not_ask_or_was_told_before() {
    let (mut stage, [third, _]) = forked("Supported: 100rel");
    stage.answer(3, &third, "486 Busy Here", "");
    assert!(!has_199(&stage), "not understood");
    let (mut stage, [third, _]) = forked("Supported: 199\nRequire: 100rel");
    stage.answer(3, &third, "486 Busy Here", "");
    assert!(!has_199(&stage), "a proxy cannot send it reliably");
    let (mut stage, [third, _]) = forked("Supported: 199");
    stage.answer(3, &third, "199 Early Dialog Terminated", "");
    stage.response(199);
    stage.answer(3, &third, "486 Busy Here", "");
    assert!(!has_199(&stage), "the telephone has told it");
    let (mut stage, [third, fourth]) = forked("Supported: 199");
    stage.answer(4, &fourth, "200 OK", "Contact: <sip:bob@192.0.2.4>");
    stage.answer(3, &third, "487 Request Terminated", "");
    assert!(!has_199(&stage), "after the final response nothing follows");
}

// -- RFC 5626: an edge proxy

const PHONE: u8 = 5;
const REGISTRAR: u8 = 3;

fn edge() -> Stage {
    Stage::with(|config| config.flow_tokens = Some(FlowTokens::new(Seed([7; 32]))))
}

fn register() -> String {
    invite("Max-Forwards: 70\nSupported: path, outbound")
        .replace("INVITE sip:bob@", "REGISTER sip:")
        .replace("1 INVITE", "1 REGISTER")
        .replace("UDP 192.0.2.2", "TCP 192.0.2.5")
}

/// The telephone connects and registers through the edge; the Path the registrar sees.
fn registered() -> (Stage, String) {
    let mut stage = edge();
    stage.connect(PHONE);
    stage.receive(PHONE, &register());
    let options = ForwardOptions { path: true, ..ForwardOptions::default() };
    stage.forward(&[REGISTRAR], Order::Parallel, &options);
    let forwarded = stage.request_to(REGISTRAR, &Method::Register);
    let path = forwarded.get("Path").unwrap().to_owned();
    stage.answer(REGISTRAR, &forwarded, "200 OK", &format!("Path: {path}"));
    (stage, path)
}

/// An INVITE of the registrar's side that comes down the Path.
fn down(path: &str) -> String {
    invite("Max-Forwards: 70").replace("sip:bob@example.com SIP", "sip:bob@10.0.0.9:40000;transport=tcp SIP")
        + &format!("\nRoute: {path}")
}

fn send_on(stage: &mut Stage) -> Request {
    let (handle, message) = stage.asked();
    let target = TargetSet::one(Branch::to(message.uri().unwrap().to_owned()));
    stage.proxy.forward(handle, target, &ForwardOptions::default(), stage.now).unwrap();
    stage.drain();
    message
}

#[test]
fn rfc_5626_section_5_1_the_path_of_a_first_hop_names_the_flow() {
    let (stage, path) = registered();
    let token = path.strip_prefix("<sip:").unwrap().split_once('@').unwrap().0;
    assert!(path.ends_with("@192.0.2.1:5070;transport=tcp;lr;ob>"), "{path}");
    let flow = FlowTokens::new(Seed([7; 32])).decode(token).unwrap();
    assert_eq!((flow.protocol, flow.remote), (Protocol::Tcp, address(PHONE)));
    drop(stage);
    // Not the first hop: no token, no `ob`.
    let mut stage = edge();
    let second = register().replacen("From:", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbefore\nFrom:", 1);
    stage.receive(CLIENT, &second);
    let options = ForwardOptions { path: true, ..ForwardOptions::default() };
    stage.forward(&[REGISTRAR], Order::Parallel, &options);
    assert_eq!(stage.request_to(REGISTRAR, &Method::Register).get("Path"), Some("<sip:192.0.2.1:5060;lr>"));
}

#[test]
fn rfc_5626_section_5_3_1_a_call_comes_down_the_flow_and_its_dialog_stays_on_it() {
    let (mut stage, path) = registered();
    stage.receive(CLIENT, &down(&path));
    let message = send_on(&mut stage);
    assert_eq!(message.get("Route"), None);
    // The Contact is one of a private network: only the flow leads there.
    let ringing = stage.request_to(PHONE, &Method::Invite);
    assert_eq!(ringing.uri_text(), "sip:bob@10.0.0.9:40000;transport=tcp");
    let recorded: Vec<String> = ringing.get_all("Record-Route").map(str::to_owned).collect();
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(recorded[0].contains('@') && recorded[0].contains(";transport=tcp;lr>"), "{recorded:?}");
    assert!(!recorded[0].contains(";ob"), "{recorded:?}");
    stage.answer(PHONE, &ringing, "200 OK", "Contact: <sip:bob@10.0.0.9:40000;transport=tcp>");
    stage.response(200);
    let routes: Vec<&str> = recorded.iter().rev().map(String::as_str).collect();
    // The ACK has no state here, and finds the flow by the token alone.
    stage.receive(CLIENT, &within(&Method::Ack, "sip:bob@10.0.0.9:40000;transport=tcp", &routes, 1));
    stage.request_to(PHONE, &Method::Ack);
    stage.receive(CLIENT, &within(&Method::Bye, "sip:bob@10.0.0.9:40000;transport=tcp", &routes, 2));
    send_on(&mut stage);
    let bye = stage.request_to(PHONE, &Method::Bye);
    stage.answer(PHONE, &bye, "200 OK", "");
    stage.response(200);
}

#[test]
fn rfc_5626_section_5_3_2_what_the_telephone_sends_goes_where_it_says() {
    let (mut stage, path) = registered();
    // Its own call: `ob` in the Contact asks the edge to stay on the way.
    let call = invite("Max-Forwards: 70")
        .replace("UDP 192.0.2.2", "TCP 192.0.2.5")
        .replace("<sip:alice@192.0.2.2>", "<sip:alice@10.0.0.9:40000;transport=tcp;ob>");
    stage.receive(PHONE, &call);
    stage.forward(&[REGISTRAR], Order::Parallel, &ForwardOptions::default());
    let forwarded = stage.request_to(REGISTRAR, &Method::Invite);
    let recorded: Vec<&str> = forwarded.get_all("Record-Route").collect();
    let own = path.replace(";ob", "");
    assert_eq!(recorded, ["<sip:192.0.2.1:5060;lr>", &own]);
    // Its BYE holds its own token first: "outgoing", the token is no way back to itself.
    let bye = within(&Method::Bye, "sip:bob@192.0.2.3", &[&own, "<sip:192.0.2.1:5060;lr>"], 2)
        .replace("UDP 192.0.2.2", "TCP 192.0.2.5");
    stage.receive(PHONE, &bye);
    send_on(&mut stage);
    stage.request_to(REGISTRAR, &Method::Bye);
}

#[test]
fn rfc_5626_section_5_3_1_a_forged_token_is_403_and_a_dead_flow_430() {
    let (mut stage, path) = registered();
    let forged = path.replacen("sip:", "sip:0", 1);
    stage.receive(CLIENT, &down(&forged));
    stage.response(403);
    let refused = stage.events.iter().any(|event| {
        matches!(event, ProxyEvent::Refused { rule: ProxyRefusal::Unfit(Unfit::FlowToken), .. })
    });
    assert!(refused);
    stage.disconnect(PHONE);
    stage.receive(CLIENT, &down(&path).replace("Call-ID: c", "Call-ID: d").replace("bKc1", "bKd1"));
    send_on(&mut stage);
    stage.response(430);
    stage.assert_nothing_left();
}

#[test]
fn a_proxy_that_is_no_edge_takes_any_user_part_in_its_own_route() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &down("<sip:0000@192.0.2.1:5060;lr>"));
    assert_eq!(stage.asked().1.get("Route"), None);
}

// -- RFC 5626 section 7: the proxy that knows where the user is

fn binding(stage: &Stage, flow: u8, registration: u32, quality: u16) -> Binding {
    let local = address(PROXY);
    Binding {
        contact: UriBuf::parse(&format!("sip:bob@{}", address(flow))).unwrap(),
        parameters: "".into(),
        quality,
        expires_at: stage.now + Duration::from_secs(u64::from(registration)),
        call_id: "r".into(),
        sequence: 1,
        path: [].into(),
        flow: Flow { protocol: Protocol::Udp, local, remote: address(flow), stream: None },
        user_agent: "".into(),
        instance: Some(Instance { id: "<urn:uuid:1>".into(), registration: Some(registration) }),
    }
}

/// One device with two flows, and another device.
fn two_flows() -> Stage {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    let mut other = binding(&stage, 6, 1, 1000);
    other.instance = None;
    let bindings = [binding(&stage, 3, 2, 1000), binding(&stage, 4, 1, 1000), other];
    let (handle, _) = stage.asked();
    let targets = TargetSet::by_preference(&bindings);
    stage.proxy.forward(handle, targets, &ForwardOptions::default(), stage.now).unwrap();
    stage.drain();
    stage
}

#[test]
fn rfc_5626_section_7_one_device_rings_once_and_its_other_flow_stands_in_for_a_dead_one() {
    let mut stage = two_flows();
    assert!(!stage.summary().iter().any(|it| it.contains("INVITE to 192.0.2.4")), "{:?}", stage.summary());
    let (third, sixth) = (stage.request_to(3, &Method::Invite), stage.request_to(6, &Method::Invite));
    stage.answer(3, &third, "430 Flow Failed", "");
    let fourth = stage.request_to(4, &Method::Invite);
    stage.answer(4, &fourth, "486 Busy Here", "");
    stage.answer(6, &sixth, "480 Gone", "");
    stage.response(480);
    stage.assert_nothing_left();
}

#[test]
fn rfc_5626_section_7_whoever_has_answered_is_not_asked_again_over_another_flow() {
    let mut stage = two_flows();
    let (third, sixth) = (stage.request_to(3, &Method::Invite), stage.request_to(6, &Method::Invite));
    stage.answer(3, &third, "486 Busy Here", "");
    stage.answer(6, &sixth, "486 Busy Here", "");
    stage.response(486);
    assert!(!stage.summary().iter().any(|it| it.contains("INVITE to 192.0.2.4")), "{:?}", stage.summary());
    stage.assert_nothing_left();
}

#[test]
fn rfc_5626_section_11_5_endpoints_never_get_a_430() {
    let mut stage = two_flows();
    for to in [3, 4, 6] {
        let request = stage.request_to(to, &Method::Invite);
        stage.answer(to, &request, "430 Flow Failed", "");
    }
    stage.response(480);
    stage.assert_nothing_left();
    assert_eq!(stage.done().map(StatusCode::code), Some(480));
}
