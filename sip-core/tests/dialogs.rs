//! What peers written by hand do to calls and dialogs: forks, routes, broken sequences (RFC 3261 §12, §13.2.2, §8.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    HeaderName, Request,
    endpoint::*,
    message::{Message, Method, StatusCode},
};
use ladder::{Ladder, answer};

fn alice_and_raw_bob() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    ladder.raw("proxy", "192.0.2.3:5060");
    ladder
}

/// A response of a raw peer to a request.
fn respond(
    ladder: &mut Ladder,
    from: &str,
    request: &Request,
    status: &str,
    tag: &str,
    fields: &str,
    body: &str,
) {
    let header =
        |name: &str| request.get_all(name).map(|value| format!("{name}: {value}\n")).collect::<String>();
    let to = request.get("To").unwrap();
    let to = if to.contains("tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
    let fields: String = fields.lines().map(|line| format!("{}\n", line.trim())).collect();
    let text = format!(
        "SIP/2.0 {status}\n{}{}To: {to}\n{}{}{fields}{}\n{body}",
        header("Via"),
        header("From"),
        header("Call-ID"),
        header("CSeq"),
        if body.is_empty() { "" } else { "Content-Type: application/sdp\n" },
    );
    ladder.send(from, "alice", &text);
}

fn sdp(body: &Body) -> String {
    String::from_utf8(body.bytes.to_vec()).unwrap().replace("\r\n", "\n")
}

/// A request of a raw peer inside the dialog that an INVITE of alice's made.
fn inside(invite: &Request, method: &str, cseq: u32, tag: &str, fields: &str) -> String {
    format!(
        "{method} sip:alice@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK{method}{cseq}{tag}
        Max-Forwards: 70
        From: {};tag={tag}
        To: {}
        Call-ID: {}
        CSeq: {cseq} {method}
        {fields}",
        invite.get("To").unwrap(),
        invite.get("From").unwrap(),
        invite.call_id().unwrap(),
    )
}

#[test]
fn each_telephone_that_rings_is_a_fork_and_the_first_answer_wins() {
    let mut ladder = alice_and_raw_bob();
    let call = ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    let contact = |who: u8| format!("Contact: <sip:bob@192.0.2.2:5060;who={who}>");
    respond(&mut ladder, "bob", &invite, "180 Ringing", "t1", &contact(1), "");
    respond(&mut ladder, "bob", &invite, "183 Session Progress", "t2", &contact(2), &sdp(&answer()));
    respond(&mut ladder, "bob", &invite, "180 Ringing", "t1", &contact(1), "");
    ladder.run();
    let mut rings = Vec::new();
    for _ in 0..3 {
        rings.push(ladder.event("alice", |event| match event {
            Event::AnswerReceived { fork, preview: true, carrier: Carrier::Provisional, .. } => {
                Some((*fork, true))
            }
            Event::CallProgress { fork, response, .. } if response.status().code() == 180 => {
                Some((*fork, false))
            }
            _ => None,
        }));
    }
    assert_eq!(rings, [(ForkHandle(0), false), (ForkHandle(1), true), (ForkHandle(0), false)]);
    assert_eq!(ladder.user("alice").endpoint.counts().dialogs, 2);
    respond(&mut ladder, "bob", &invite, "200 OK", "t2", &contact(2), &sdp(&answer()));
    respond(&mut ladder, "bob", &invite, "200 OK", "t3", &contact(3), &sdp(&answer()));
    respond(&mut ladder, "bob", &invite, "200 OK", "t2", &contact(2), &sdp(&answer()));
    ladder.run();
    let fork = ladder.event("alice", |event| match event {
        Event::CallAnswered { call: answered, fork, .. } if *answered == call => Some(*fork),
        _ => None,
    });
    assert_eq!(fork, ForkHandle(1));
    // ACK to the winner, ACK and BYE to the one that came late, and the winner's ACK once more.
    let mut seen = Vec::new();
    while let Some(Message::Request(request)) = ladder.received("bob") {
        let who = request.uri().unwrap().params().get("who").unwrap().to_owned();
        seen.push(format!("{} {who}", request.method()));
    }
    assert_eq!(seen, ["ACK 2", "ACK 3", "BYE 3", "ACK 2"]);
    assert_eq!(ladder.user("alice").endpoint.counts().dialogs, 1);
    assert!(!ladder.has_event("alice", |event| matches!(event, Event::CallAnswered { .. })), "one winner");
    let bye = inside(&invite, "BYE", 1, "t2", "X: 1");
    ladder.send("bob", "alice", &bye);
    ladder.run();
    ladder.received_response("bob", 200);
    assert_eq!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Remote, reason: None });
    ladder.assert_nothing_left();
}

#[test]
fn an_answer_in_the_183_and_none_in_the_200_is_taken() {
    let mut ladder = alice_and_raw_bob();
    let call = ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    let contact = "Contact: <sip:bob@192.0.2.2:5060>";
    respond(&mut ladder, "bob", &invite, "183 Session Progress", "t", contact, &sdp(&answer()));
    respond(&mut ladder, "bob", &invite, "200 OK", "t", contact, "");
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::CallAnswered { .. }).then_some(()));
    ladder.received_request("bob", Method::Ack);
    ladder
        .tell("alice", |endpoint, now| endpoint.reinvite(call, Some(answer()), Headers::new(), now))
        .unwrap();
}

#[test]
fn no_answer_at_all_ends_the_call() {
    let mut ladder = alice_and_raw_bob();
    let call = ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    respond(&mut ladder, "bob", &invite, "200 OK", "t", "Contact: <sip:bob@192.0.2.2:5060>", "");
    ladder.run();
    ladder.received_request("bob", Method::Ack);
    let bye = ladder.received_request("bob", Method::Bye);
    assert!(bye.get("Reason").unwrap().contains("No session description"));
    assert_eq!(ladder.end_of("alice", call), CallEnd::NoSession { carrier: Carrier::Success });
}

#[test]
fn requests_follow_the_recorded_route() {
    let mut ladder = alice_and_raw_bob();
    let mut place = ladder.place("alice", "bob");
    place.target = ladder.target("proxy");
    place.options.in_dialog = InDialogRouting::Automatic;
    let call = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let invite = ladder.received_request("proxy", Method::Invite);
    let fields = "Record-Route: <sip:192.0.2.4:5060;lr>, <sip:192.0.2.3:5060;lr>
        Contact: <sip:bob@192.0.2.2:5060>";
    respond(&mut ladder, "proxy", &invite, "200 OK", "t", fields, &sdp(&answer()));
    ladder.run();
    let ack = ladder.received_request("proxy", Method::Ack);
    assert_eq!(ack.uri_text(), "sip:bob@192.0.2.2:5060");
    assert_eq!(
        ack.get_all("Route").collect::<Vec<_>>(),
        ["<sip:192.0.2.3:5060;lr>", "<sip:192.0.2.4:5060;lr>"]
    );
    ladder.hang_up("alice", call);
    ladder.run();
    let bye = ladder.received_request("proxy", Method::Bye);
    assert_eq!(bye.cseq().unwrap().sequence, 2);
}

#[test]
fn a_strict_router_is_obeyed() {
    let mut ladder = alice_and_raw_bob();
    let mut place = ladder.place("alice", "bob");
    place.target = ladder.target("proxy");
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let invite = ladder.received_request("proxy", Method::Invite);
    let fields = "Record-Route: <sip:192.0.2.4:5060;lr>, <sip:192.0.2.3:5060>
        Contact: <sip:bob@192.0.2.2:5060>";
    respond(&mut ladder, "proxy", &invite, "200 OK", "t", fields, &sdp(&answer()));
    ladder.run();
    let ack = ladder.received_request("proxy", Method::Ack);
    assert_eq!(ack.uri_text(), "sip:192.0.2.3:5060");
    assert_eq!(
        ack.get_all("Route").collect::<Vec<_>>(),
        ["<sip:192.0.2.4:5060;lr>", "<sip:bob@192.0.2.2:5060>"]
    );
}

/// USERS.md: a Contact that nobody can reach, of a telephone behind a NAT or on a VPN that renames hosts.
#[test]
fn a_neighbours_unreachable_contact_does_not_matter() {
    let mut ladder = alice_and_raw_bob();
    let call = ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    respond(&mut ladder, "bob", &invite, "200 OK", "t", "Contact: <sip:bob@10.1.2.3:5060>", &sdp(&answer()));
    ladder.run();
    let ack = ladder.received_request("bob", Method::Ack);
    assert_eq!(ack.uri_text(), "sip:bob@10.1.2.3:5060", "the request line is still his Contact");
    ladder.hang_up("alice", call);
    ladder.run();
    ladder.received_request("bob", Method::Bye);
}

const INVITE: &str = "INVITE sip:alice@192.0.2.1 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bKi1
    Max-Forwards: 70
    From: \"Bob\" <sip:bob@192.0.2.2>;tag=b
    To: <sip:alice@192.0.2.1>
    Call-ID: raw1
    CSeq: 10 INVITE
    Contact: <sip:bob@10.9.9.9:5060>
    Content-Type: application/sdp

    v=0
    o=b 1 1 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 5000 RTP/AVP 0";

/// Bob's INVITE is answered and acknowledged; alice's tag.
fn answered() -> (Ladder, CallHandle, String) {
    let mut ladder = alice_and_raw_bob();
    ladder.send("bob", "alice", INVITE);
    ladder.run();
    let call = ladder.accept("alice");
    ladder.answer("alice", call);
    ladder.run();
    let ok = ladder.received_response("bob", 200);
    assert_eq!(ok.get("Contact"), Some("<sip:alice@192.0.2.1:5060>"));
    assert!(ok.get("Allow").unwrap().contains("INVITE"));
    let tag = ok.to().unwrap().tag().unwrap().to_owned();
    ladder.send("bob", "alice", &in_bobs_dialog("ACK", 10, &tag, "X: 1"));
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::CallConfirmed { .. }).then_some(()));
    (ladder, call, tag)
}

fn in_bobs_dialog(method: &str, cseq: u32, tag: &str, fields: &str) -> String {
    format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK{method}{cseq}
        Max-Forwards: 70
        From: \"Bob\" <sip:bob@192.0.2.2>;tag=b
        To: <sip:alice@192.0.2.1>;tag={tag}
        Call-ID: raw1
        CSeq: {cseq} {method}
        {fields}"
    )
}

fn refused(ladder: &mut Ladder) -> (Option<StatusCode>, Refusal) {
    ladder.event("alice", |event| match event {
        Event::Refused { status, rule, .. } => Some((*status, rule.clone())),
        _ => None,
    })
}

#[test]
fn a_dialog_nobody_knows_is_answered_481() {
    let (mut ladder, call, tag) = answered();
    for (method, tag) in [("BYE", "other"), ("INFO", "other"), ("INVITE", "other"), ("UPDATE", "other")] {
        ladder.send("bob", "alice", &in_bobs_dialog(method, 11, tag, "X: 1"));
        ladder.run();
        ladder.received_response("bob", 481);
        assert_eq!(refused(&mut ladder).1, Refusal::NoSuchDialog);
    }
    ladder.send("bob", "alice", &in_bobs_dialog("BYE", 12, &tag, "X: 1"));
    ladder.run();
    ladder.end_of("alice", call);
    ladder.send("bob", "alice", &in_bobs_dialog("INVITE", 13, &tag, "X: 1"));
    ladder.run();
    ladder.received_response("bob", 481);
    assert_eq!(refused(&mut ladder).1, Refusal::NoSuchDialog, "AST-2021-007: a re-INVITE after BYE");
}

#[test]
fn a_stray_ack_is_noted_and_not_answered() {
    let mut ladder = alice_and_raw_bob();
    ladder.send("bob", "alice", &in_bobs_dialog("ACK", 11, "other", "X: 1"));
    ladder.run();
    assert!(ladder.received("bob").is_none());
    assert_eq!(refused(&mut ladder), (None, Refusal::StrayAck));
}

#[test]
fn sequence_numbers_that_go_backwards_are_answered_500() {
    let (mut ladder, _, tag) = answered();
    ladder.send("bob", "alice", &in_bobs_dialog("INFO", 9, &tag, "X: 1"));
    ladder.run();
    ladder.received_response("bob", 500);
    assert_eq!(refused(&mut ladder).1, Refusal::OutOfOrder { sequence: 9, last: 10 });
    ladder.send("bob", "alice", &in_bobs_dialog("INFO", 500, &tag, "X: 1"));
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::DialogRequest { .. }).then_some(()));
}

#[test]
fn an_unknown_extension_is_answered_420_and_named() {
    let mut ladder = alice_and_raw_bob();
    ladder.send("bob", "alice", &INVITE.replace("Max-Forwards: 70", "Require: timer, frobnicate, foo"));
    ladder.run();
    assert_eq!(ladder.received_response("bob", 420).get("Unsupported"), Some("frobnicate, foo"));
    assert_eq!(refused(&mut ladder).1, Refusal::BadExtension("frobnicate, foo".to_owned()));
    assert!(!ladder.has_event("alice", |event| matches!(event, Event::Incoming { .. })));
}

#[test]
fn an_invite_without_contact_makes_no_dialog() {
    let mut ladder = alice_and_raw_bob();
    ladder.send("bob", "alice", &INVITE.replace("Contact: <sip:bob@10.9.9.9:5060>", "X: 1"));
    ladder.run();
    let (request, _) = ladder.incoming("alice", Method::Invite);
    let result = ladder.tell("alice", |endpoint, now| {
        endpoint.accept_call(request, &LocalIdentity::default(), CallOptions::default(), now)
    });
    assert!(matches!(result, Err(Misuse::Message(_))), "{result:?}");
    // Nobody has to think of the answer.
    ladder.run();
    ladder.received_response("bob", 400);
}

/// An emergency caller's place, ISUP: the description is one part among others (RFC 5621 §3.1).
#[test]
fn a_description_among_other_parts_is_found() {
    let part = |kind: &str, body: &str| format!("--x\nContent-Type: {kind}\n\n{body}\n");
    let sdp = part("application/sdp", "v=0");
    for (parts, offered) in [
        (part("application/isup;version=itu-t92+", "1") + &sdp, Some("v=0")),
        (sdp.clone() + &part("application/pidf+xml", "<presence/>"), Some("v=0")),
        (part("text/plain", "v=0"), None),
    ] {
        let head = INVITE.split_once("application/sdp").unwrap().0;
        let invite = format!("{head}multipart/mixed;boundary=x\n\n{parts}--x--");
        let mut ladder = alice_and_raw_bob();
        ladder.send("bob", "alice", &invite);
        ladder.run();
        ladder.accept("alice");
        let heard = ladder.event("alice", |event| match event {
            Event::OfferReceived { body, .. } => Some(Some(body.bytes.clone())),
            Event::OfferRequested { .. } => Some(None),
            _ => None,
        });
        assert_eq!(heard.as_deref(), offered.map(str::as_bytes), "{parts}");
    }
}

#[test]
fn the_callee_hangs_up_on_the_flow_the_call_came_on() {
    let (mut ladder, call, _) = answered();
    ladder.hang_up("alice", call);
    ladder.run();
    let bye = ladder.received_request("bob", Method::Bye);
    assert_eq!(bye.uri_text(), "sip:bob@10.9.9.9:5060");
    assert_eq!(bye.from().unwrap().uri.as_str(), "sip:alice@192.0.2.1");
    assert_eq!(bye.to().unwrap().tag(), Some("b"));
}

#[test]
fn a_call_that_came_over_a_proxy_is_hung_up_over_the_route() {
    let mut ladder = alice_and_raw_bob();
    let invite = INVITE.replace(
        "Max-Forwards: 70",
        "Record-Route: <sip:192.0.2.3:5060;lr>
         Record-Route: <sip:192.0.2.8:5060;lr>
         Max-Forwards: 70",
    );
    ladder.send("bob", "alice", &invite);
    ladder.run();
    let call = ladder.accept("alice");
    ladder.answer("alice", call);
    ladder.run();
    let ok = ladder.received_response("bob", 200);
    let recorded: Vec<_> = ok.get_all("Record-Route").collect();
    assert_eq!(recorded, ["<sip:192.0.2.3:5060;lr>", "<sip:192.0.2.8:5060;lr>"], "copied into the 2xx");
    let tag = ok.to().unwrap().tag().unwrap().to_owned();
    ladder.send("bob", "alice", &in_bobs_dialog("ACK", 10, &tag, "X: 1"));
    ladder.run();
    ladder.hang_up("alice", call);
    ladder.run();
    let bye = ladder.received_request("proxy", Method::Bye);
    assert_eq!(
        bye.get_all("Route").collect::<Vec<_>>(),
        ["<sip:192.0.2.3:5060;lr>", "<sip:192.0.2.8:5060;lr>"]
    );
}

#[test]
fn a_481_to_a_reinvite_ends_the_call() {
    let (mut ladder, call, _) = answered();
    ladder
        .tell("alice", |endpoint, now| endpoint.reinvite(call, Some(answer()), Headers::new(), now))
        .unwrap();
    ladder.run();
    let reinvite = ladder.received_request("bob", Method::Invite);
    respond(&mut ladder, "bob", &reinvite, "481 Gone", "b", "X: 1", "");
    ladder.run();
    let status = StatusCode::new(481);
    assert_eq!(ladder.end_of("alice", call), CallEnd::DialogLost { method: Method::Invite, status });
}

#[test]
fn bye_instead_of_ack_ends_the_repetition() {
    let mut ladder = alice_and_raw_bob();
    ladder.send("bob", "alice", INVITE);
    ladder.run();
    let call = ladder.accept("alice");
    ladder.answer("alice", call);
    ladder.run();
    let tag = ladder.received_response("bob", 200).to().unwrap().tag().unwrap().to_owned();
    ladder.send("bob", "alice", &in_bobs_dialog("BYE", 11, &tag, "Reason: SIP;cause=200"));
    ladder.run();
    let reason = Some("SIP;cause=200".to_owned());
    assert_eq!(ladder.end_of("alice", call), CallEnd::HungUp { by: By::Remote, reason });
    ladder.arrows();
    ladder.pass_seconds(40);
    assert_eq!(ladder.arrows(), [] as [&str; 0]);
    ladder.assert_nothing_left();
}

#[test]
fn a_bye_while_a_reinvite_waits_answers_it_487() {
    let (mut ladder, call, tag) = answered();
    let body =
        "Contact: <sip:bob@10.9.9.9:5060>\nContent-Type: application/sdp\n\nv=0\nm=audio 1 RTP/AVP 8\n";
    ladder.send("bob", "alice", &in_bobs_dialog("INVITE", 11, &tag, body));
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::OfferReceived { .. }).then_some(()));
    ladder.send("bob", "alice", &in_bobs_dialog("BYE", 12, &tag, "X: 1"));
    ladder.run();
    ladder.received_response("bob", 200);
    ladder.received_response("bob", 487);
    ladder.end_of("alice", call);
}

#[test]
fn a_cancelled_reinvite_leaves_the_call_up() {
    let (mut ladder, call, tag) = answered();
    let body =
        "Contact: <sip:bob@10.9.9.9:5060>\nContent-Type: application/sdp\n\nv=0\nm=audio 1 RTP/AVP 8\n";
    ladder.send("bob", "alice", &in_bobs_dialog("INVITE", 11, &tag, body));
    ladder.run();
    let cancel = in_bobs_dialog("CANCEL", 11, &tag, "X: 1").replace("z9hG4bKCANCEL11", "z9hG4bKINVITE11");
    ladder.send("bob", "alice", &cancel);
    ladder.run();
    ladder.received_response("bob", 200);
    ladder.received_response("bob", 487);
    ladder.event("alice", |event| {
        matches!(event, Event::OfferAborted { reason: OfferAbort::Withdrawn, .. }).then_some(())
    });
    assert!(ladder.user("alice").endpoint.call(call).unwrap().is_established);
    let misuse =
        ladder.tell("alice", |endpoint, now| endpoint.answer_offer(call, None, &Headers::new(), now));
    assert_eq!(misuse, Err(Misuse::WrongState));
}

#[test]
fn a_second_reinvite_before_the_first_is_answered_gets_500_with_retry_after() {
    let (mut ladder, _, tag) = answered();
    let body =
        "Contact: <sip:bob@10.9.9.9:5060>\nContent-Type: application/sdp\n\nv=0\nm=audio 1 RTP/AVP 8\n";
    ladder.send("bob", "alice", &in_bobs_dialog("INVITE", 11, &tag, body));
    ladder.send("bob", "alice", &in_bobs_dialog("INVITE", 12, &tag, body));
    ladder.run();
    let refusal = ladder.received_response("bob", 500);
    let seconds: u32 = refusal.get("Retry-After").unwrap().parse().unwrap();
    assert!(seconds <= 10);
    assert_eq!(refused(&mut ladder).1, Refusal::Conflict(Conflict::PeerInvite));
}

/// RFC 3581 and USERS.md: how a peer sees us is read from the Via he returns.
#[test]
fn a_peer_tells_how_he_sees_us() {
    let mut ladder = alice_and_raw_bob();
    let options = SendRequest::new(
        Method::Options,
        Party::new(ladder.uri("alice")),
        Party::new(ladder.uri("bob")),
        ladder.target("bob"),
    );
    ladder.tell("alice", |endpoint, now| endpoint.send_request(options.clone(), now)).unwrap();
    ladder.run();
    let request = ladder.received_request("bob", Method::Options);
    assert_eq!(request.get("Contact"), Some("<sip:192.0.2.1:5060>"));
    let via = request.get("Via").unwrap().replace(";rport", ";received=100.70.198.29;rport=61000");
    let text = format!(
        "SIP/2.0 200 OK\nVia: {via}\nFrom: {}\nTo: {};tag=x\nCall-ID: {}\nCSeq: {}\n",
        request.get("From").unwrap(),
        request.get("To").unwrap(),
        request.call_id().unwrap(),
        request.get("CSeq").unwrap()
    );
    ladder.send("bob", "alice", &text);
    ladder.run();
    let address = ladder.event("alice", |event| match event {
        Event::SeenAs { flow, address } => {
            assert_eq!(flow.remote.to_string(), "192.0.2.2:5060");
            Some(address.to_string())
        }
        _ => None,
    });
    assert_eq!(address, "100.70.198.29:61000");
}

#[test]
fn rfc_3261_section_8_2_6_2_a_via_that_comes_back_as_another_is_told() {
    let named_pbx = Some(SentBy { host: "pbx.example.org".into(), port: None });
    for (advertised, altered, told) in [
        (None, "192.0.2.1:5060;received=203.0.113.9;rport=7", None),
        (None, "203.0.113.9:5060", Some("192.0.2.1:5060 203.0.113.9:5060")),
        (None, "192.0.2.1:1024", Some("192.0.2.1:5060 192.0.2.1:1024")),
        (named_pbx.clone(), "PBX.example.ORG:5060", None),
        (named_pbx, "203.0.113.9", Some("pbx.example.org 203.0.113.9")),
    ] {
        let mut ladder = alice_and_raw_bob();
        let mut place = ladder.place("alice", "bob");
        place.local.advertised = advertised;
        let call = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
        ladder.run();
        let invite = ladder.received_request("bob", Method::Invite);
        let branch = invite.via().unwrap().branch().unwrap();
        let via = format!("SIP/2.0/UDP {altered};branch={branch}");
        let invite = invite.edit().set(HeaderName::Via, via).finish().unwrap();
        respond(&mut ladder, "bob", &invite, "180 Ringing", "x", "", "");
        ladder.run();
        let heard = ladder.user("alice").events.iter().find_map(|event| match event {
            Event::ViaAltered { call: of, sent, returned, .. } => {
                assert_eq!(*of, Some(call));
                Some(format!("{sent} {returned}"))
            }
            _ => None,
        });
        assert_eq!(heard.as_deref(), told, "{altered}");
    }
}

#[test]
fn each_peer_is_told_the_address_that_is_right_for_him() {
    let mut ladder = alice_and_raw_bob();
    let mut place = ladder.place("alice", "bob");
    place.local.advertised = Some(SentBy { host: "pbx.example.org".into(), port: Some(5080) });
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    assert_eq!(invite.get("Contact"), Some("<sip:alice@pbx.example.org:5080>"));
    assert!(invite.get("Via").unwrap().starts_with("SIP/2.0/UDP pbx.example.org:5080;"));
    // And to one who calls.
    ladder.send("bob", "alice", INVITE);
    ladder.run();
    let (request, _) = ladder.incoming("alice", Method::Invite);
    let local = LocalIdentity {
        user: "1001".to_owned(),
        advertised: Some(SentBy::from_address("[2001:db8::1]:5060".parse().unwrap())),
        ..LocalIdentity::default()
    };
    let call = ladder
        .tell("alice", |endpoint, now| endpoint.accept_call(request, &local, CallOptions::default(), now))
        .unwrap();
    ladder.ring("alice", call);
    ladder.run();
    assert_eq!(ladder.received_response("bob", 180).get("Contact"), Some("<sip:1001@[2001:db8::1]:5060>"));
}
