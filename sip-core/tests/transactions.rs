//! Whole exchanges of the transaction layer on virtual time, one ladder a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{A, B, Bench, address, answer, ms, own_request, request};
use denwa_sip_core::{
    HeaderName, Input, Message, Method, Misuse, Protocol, Request, StatusCode, StreamId, UriBuf,
    config::{Listener, SentBy, TransactionConfig},
    io::{Answer, Flow, Question, RouteInfo, SrvRecord, StreamFailure},
    limits::Limit,
    message::ParseOptions,
    transaction::{
        ClientId, ContactTemplate, EndReason, RejectRule, SendOptions, ServerId, StreamEnd, TransactionEvent,
    },
    transport::Target,
};

const VIA: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport";

fn new_request(bench: &mut Bench) -> (ServerId, Request) {
    match bench.event() {
        TransactionEvent::Request { transaction, request, .. } => (transaction, request),
        other => panic!("{other:?}"),
    }
}

fn to_b() -> Target {
    Target::address(Protocol::Udp, address(B))
}

fn send(bench: &mut Bench, method: Method, target: Target) -> ClientId {
    let id =
        bench.layer.send_request(own_request(method), target, SendOptions::default(), bench.now).unwrap();
    bench.drain();
    id
}

fn respond(bench: &mut Bench, id: ServerId, request: &Request, status: u16) {
    let response = request.response(StatusCode::new(status).unwrap()).to_tag("tb").finish().unwrap();
    bench.layer.respond(id, &response, bench.now).unwrap();
    bench.drain();
}

fn response_status(bench: &mut Bench) -> u16 {
    match bench.event() {
        TransactionEvent::Response { response, .. } => response.status().code(),
        other => panic!("{other:?}"),
    }
}

fn ended(bench: &mut Bench) -> EndReason {
    match bench.event() {
        TransactionEvent::ClientEnded { reason, .. } | TransactionEvent::ServerEnded { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

// ---- server side

#[test]
fn options_over_udp_is_answered_to_the_source_port_and_repeats_are_absorbed() {
    let mut b = Bench::new(B);
    let via = "SIP/2.0/UDP private.example;branch=z9hG4bKx;rport";
    b.datagram("192.0.2.1:4444", request("OPTIONS", via));
    let (id, options) = new_request(&mut b);
    assert_eq!(
        options.via().unwrap().to_string(),
        "SIP/2.0/UDP private.example;branch=z9hG4bKx;rport=4444;received=192.0.2.1"
    );
    b.datagram("192.0.2.1:4444", request("OPTIONS", via));
    b.no_more();
    respond(&mut b, id, &options, 200);
    let (_, transmit) = b.next_sent();
    assert_eq!((transmit.destination, transmit.source), (address("192.0.2.1:4444"), Some(address(B))));
    b.datagram("192.0.2.1:4444", request("OPTIONS", via));
    assert_eq!(b.next_sent().1, transmit);
    b.no_more();
    assert!(matches!(
        b.layer.respond(id, &options.response(StatusCode::OK).finish().unwrap(), b.now),
        Err(Misuse::WrongState)
    ));
    b.pass(ms(31_999));
    b.no_more();
    b.pass(ms(1));
    assert_eq!(ended(&mut b), EndReason::Completed);
    assert!(matches!(
        b.layer.respond(id, &options.response(StatusCode::OK).finish().unwrap(), b.now),
        Err(Misuse::UnknownTransaction)
    ));
    b.settles();
}

#[test]
fn a_100_is_sent_by_itself_after_200_ms_and_only_if_nothing_else_was() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    b.pass(ms(199));
    b.no_more();
    b.pass(ms(1));
    let trying = b.sent_response();
    assert_eq!((trying.status(), trying.to().unwrap().tag()), (StatusCode::TRYING, None));
    respond(&mut b, id, &invite, 180);
    assert_eq!(b.statuses_sent(), [180]);

    b.datagram(A, request("INVITE", VIA).replace("z9hG4bKx", "z9hG4bKy").replace("call-1", "call-2"));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 183);
    b.pass(ms(1000));
    assert_eq!(b.statuses_sent(), [183]);
}

#[test]
fn a_failure_is_repeated_until_its_ack() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 486);
    b.pass(ms(3500));
    assert_eq!(b.statuses_sent(), [486, 486, 486, 486]);
    b.datagram(A, request("ACK", VIA));
    b.pass(ms(4999));
    b.no_more();
    b.pass(ms(1));
    assert_eq!(ended(&mut b), EndReason::Completed);
    b.settles();
}

#[test]
fn an_ack_that_never_comes_is_told() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 486);
    b.pass(ms(32_000));
    // 0, 0.5, 1.5, 3.5, 7.5, 11.5, … 31.5 s.
    assert_eq!(b.statuses_sent().len(), 11);
    assert_eq!(ended(&mut b), EndReason::NotAcknowledged);
    b.settles();
}

#[test]
fn a_success_is_the_layers_above_to_repeat() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 200);
    assert_eq!(b.statuses_sent(), [200]);
    b.datagram(A, request("INVITE", VIA));
    b.pass(ms(10_000));
    b.no_more();
    respond(&mut b, id, &invite, 200);
    assert_eq!(b.statuses_sent(), [200]);
    b.datagram(
        A,
        request("ACK", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnew")
            .replace("b@192.0.2.2>", "b@192.0.2.2>;tag=tb"),
    );
    assert!(matches!(b.event(), TransactionEvent::Ack { transaction: None, .. }));
    // Some send the ACK with the INVITE's branch.
    b.datagram(A, request("ACK", VIA));
    assert!(matches!(b.event(), TransactionEvent::Ack { transaction: Some(found), .. } if found == id));
    b.pass(ms(22_000));
    assert_eq!(ended(&mut b), EndReason::Completed);
    b.settles();
}

#[test]
fn a_cancel_is_answered_and_told_once() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 180);
    b.sent.clear();
    b.datagram(A, request("CANCEL", VIA));
    assert_eq!(b.statuses_sent(), [200]);
    let TransactionEvent::Cancelled { transaction, request: cancel, .. } = b.event() else { panic!() };
    assert_eq!((transaction, cancel.method()), (id, &Method::Cancel));
    b.datagram(A, request("CANCEL", VIA));
    assert_eq!(b.statuses_sent(), [200]);
    assert!(b.events.is_empty());
    respond(&mut b, id, &invite, 487);
    b.datagram(A, request("ACK", VIA));
    assert_eq!(b.statuses_sent(), [487]);
    b.settles();
}

#[test]
fn a_cancel_after_the_answer_changes_nothing_and_one_for_nothing_is_481() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 200);
    b.datagram(A, request("CANCEL", VIA));
    assert_eq!(b.statuses_sent(), [200, 200]);
    assert!(b.events.is_empty());
    b.datagram(A, request("CANCEL", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKnothing"));
    assert_eq!(b.statuses_sent(), [481]);
    assert!(matches!(b.event(), TransactionEvent::Rejected { rule: RejectRule::NothingToCancel, .. }));
    b.settles();
}

#[test]
fn a_cancel_finds_a_request_that_is_no_invite() {
    let mut b = Bench::new(B);
    b.datagram(A, request("SUBSCRIBE", VIA));
    new_request(&mut b);
    b.datagram(A, request("CANCEL", VIA));
    assert_eq!(b.statuses_sent(), [200]);
    b.no_more();
}

#[test]
fn merged_requests_are_refused_with_482_section_8_2_2_2() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    new_request(&mut b);
    b.datagram("192.0.2.77:5060", request("INVITE", "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKother"));
    assert_eq!(b.statuses_sent(), [482]);
    assert!(matches!(b.event(), TransactionEvent::Rejected { rule: RejectRule::Merged, .. }));
    // Within a dialog nothing is merged.
    let inside = request("INVITE", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKin1")
        .replace("b@192.0.2.2>", "b@192.0.2.2>;tag=x");
    b.datagram(A, inside.clone());
    b.datagram(A, inside.replace("z9hG4bKin1", "z9hG4bKin2"));
    assert_eq!(b.events.len(), 2);
}

#[test]
fn a_proxy_is_told_of_merged_requests() {
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(B))]);
    config.refuse_merged = false;
    let mut b = Bench::with(config);
    b.datagram(A, request("INVITE", VIA));
    let (first, _) = new_request(&mut b);
    b.datagram(A, request("INVITE", "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKother"));
    assert!(matches!(b.event(), TransactionEvent::Request { merged_with: Some(id), .. } if id == first));
}

#[test]
fn requests_of_rfc_2543_are_matched_by_its_rules() {
    let mut b = Bench::new(B);
    let via = "SIP/2.0/UDP 192.0.2.1:5060";
    b.datagram(A, request("INVITE", via));
    let (id, invite) = new_request(&mut b);
    b.datagram(A, request("INVITE", via));
    assert_eq!(b.statuses_sent(), [100]);
    respond(&mut b, id, &invite, 486);
    b.datagram(A, request("INVITE", via));
    assert_eq!(b.statuses_sent(), [486, 486]);
    b.datagram(A, request("ACK", via).replace("b@192.0.2.2>", "b@192.0.2.2>;tag=tb"));
    b.pass(ms(4000));
    b.no_more();
    // Another CSeq is another transaction.
    b.datagram(A, request("INVITE", via).replace("CSeq: 1", "CSeq: 2"));
    new_request(&mut b);
    b.datagram(A, request("CANCEL", via).replace("CSeq: 1", "CSeq: 2"));
    assert!(b.events.iter().any(|event| matches!(event, TransactionEvent::Cancelled { .. })));
}

#[test]
fn rfc_4320_a_100_after_timer_e_has_grown_and_nothing_after_timer_f() {
    let mut b = Bench::new(B);
    b.datagram(A, request("REGISTER", VIA));
    let (id, register) = new_request(&mut b);
    b.pass(ms(3499));
    b.no_more();
    b.pass(ms(1));
    assert_eq!(b.statuses_sent(), [100]);
    b.pass(ms(28_500));
    assert_eq!(ended(&mut b), EndReason::NotAnswered);
    assert!(b.layer.respond(id, &register.response(StatusCode::OK).finish().unwrap(), b.now).is_err());
    b.settles();
}

#[test]
fn what_cannot_be_read_is_answered_400_with_what_and_where() {
    let mut b = Bench::new(B);
    b.datagram("192.0.2.1:4444", request("OPTIONS", VIA).replace("CSeq: 1 OPTIONS", "CSeq: x OPTIONS"));
    let refused = b.sent_response();
    assert_eq!(refused.status().code(), 400);
    assert_eq!(refused.reason(), "Bad Request: a sequence number expected at byte 184 in CSeq");
    assert!(refused.via().unwrap().to_string().contains("rport=4444"));
    assert!(matches!(b.event(), TransactionEvent::Refused { answered: Some(StatusCode::BAD_REQUEST), .. }));
    for (from, to, status) in [
        ("SIP/2.0\r\n", "SIP/7.0\r\n", 505),
        ("Content-Length: 0", "Content-Length: -1", 400),
        ("Content-Length: 0", "Content-Length: 999999999999999999999999", 400),
        ("Max-Forwards: 70\r\n", "Max-Forwards\r\n 70\r\nContent-Length: 0\r\nContent-Length: 5\r\n", 400),
        ("sip:b@192.0.2.2 ", "<sip:b> <c> ", 400),
    ] {
        b.datagram(A, request("OPTIONS", VIA).replacen(from, to, 1));
        assert_eq!(b.statuses_sent(), [status], "{to}");
        assert!(matches!(b.event(), TransactionEvent::Refused { .. }), "{to}");
    }
    assert_eq!(b.layer.counts().servers, 0);
}

#[test]
fn what_cannot_be_answered_is_counted_and_dropped() {
    let mut b = Bench::new(B);
    let too_large = format!("{}{}", request("OPTIONS", VIA), "x".repeat(70_000));
    for datagram in [
        "\u{1}\u{2}\u{3}\u{4}".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(),
        request("ACK", VIA).replace("CSeq: 1", "CSeq: x"),
        request("OPTIONS", VIA).replace("From", "Frim"),
        "SIP/2.0 200 OK\r\nVia: x\r\n\r\n".into(),
        request("OPTIONS", VIA)[..100].into(),
    ] {
        b.datagram(A, datagram);
        assert!(matches!(b.event(), TransactionEvent::Refused { answered: None, .. }));
        b.no_more();
    }
    b.datagram(A, too_large);
    assert_eq!(b.statuses_sent(), [513]);
    b.events.clear();
    // Keep-alives are nobody's business.
    b.datagram(A, "\r\n\r\n");
    b.datagram(A, [0_u8; 4]);
    b.datagram(A, []);
    b.no_more();
    assert_eq!(b.layer.counts().servers, 0);
}

#[test]
fn beyond_the_limit_the_newcomer_gets_503() {
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(B))]);
    config.limits.server_transactions = 3;
    let mut b = Bench::with(config);
    for number in 0..5 {
        b.datagram(
            A,
            request("OPTIONS", VIA)
                .replace("z9hG4bKx", &format!("z9hG4bK{number}"))
                .replace("call-1", &format!("c{number}")),
        );
    }
    assert_eq!(b.layer.counts().servers, 3);
    assert_eq!(b.statuses_sent(), [503, 503]);
    let limits = b.events.iter().filter(|event| {
        matches!(event, TransactionEvent::LimitReached { limit: Limit::ServerTransactions, .. })
    });
    assert_eq!(limits.count(), 2);
}

#[test]
fn responses_follow_the_via() {
    let mut b = Bench::new(B);
    for (via, expected) in [
        ("SIP/2.0/UDP 192.0.2.1:5099;branch=z9hG4bK1", "192.0.2.1:5099"),
        ("SIP/2.0/UDP host.example;branch=z9hG4bK2", "192.0.2.1:5060"),
        ("SIP/2.0/UDP 192.0.2.1:5099;branch=z9hG4bK3;maddr=224.0.1.75", "224.0.1.75:5099"),
        ("SIP/2.0/UDP 192.0.2.1:5099;branch=z9hG4bK4;rport", "192.0.2.1:4444"),
    ] {
        b.datagram("192.0.2.1:4444", request("OPTIONS", via).replace("call-1", via));
        let (id, options) = new_request(&mut b);
        respond(&mut b, id, &options, 200);
        assert_eq!(b.next_sent().1.destination, address(expected), "{via}");
    }
}

// ---- client side

#[test]
fn a_request_without_answer_is_repeated_and_then_given_up() {
    let mut a = Bench::new(A);
    send(&mut a, Method::Options, to_b());
    let mut times = Vec::new();
    while a.events.is_empty() {
        if a.sent.pop_front().is_some() {
            times.push(a.elapsed());
        } else {
            a.pass(ms(100));
        }
    }
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!((a.elapsed(), ended(&mut a)), (32_000, EndReason::TimedOut));
    a.settles();

    let mut a = Bench::new(A);
    send(&mut a, Method::Invite, to_b());
    a.pass(ms(32_000));
    assert_eq!(a.sent.len(), 7);
    assert_eq!(ended(&mut a), EndReason::TimedOut);
    a.settles();
}

#[test]
fn the_ack_to_a_failure_has_the_invites_via_and_route() {
    let mut a = Bench::new(A);
    let invite = own_request(Method::Invite)
        .edit()
        .append(HeaderName::Route, "<sip:p1;lr>,<sip:p2;lr>")
        .finish()
        .unwrap();
    a.layer.send_request(invite, to_b(), SendOptions::default(), a.now).unwrap();
    a.drain();
    let invite = a.sent_request();
    assert!(invite.via().unwrap().to_string().starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"));
    a.datagram(B, answer(&invite, 180));
    assert_eq!(response_status(&mut a), 180);
    a.pass(ms(20_000));
    a.no_more();
    for _ in 0..2 {
        a.datagram(B, answer(&invite, 486));
        let ack = a.sent_request();
        assert_eq!(ack.method(), &Method::Ack);
        assert_eq!(ack.via().unwrap().to_string(), invite.via().unwrap().to_string());
        assert_eq!(ack.vias().count(), 1);
        assert_eq!(ack.get(HeaderName::Route), Some("<sip:p1;lr>,<sip:p2;lr>"));
        assert_eq!(ack.to().unwrap().tag(), Some("tb"));
        assert_eq!(ack.cseq().unwrap().to_string(), "1 ACK");
    }
    assert_eq!(response_status(&mut a), 486);
    a.pass(ms(32_000));
    assert_eq!(ended(&mut a), EndReason::Completed);
    a.settles();
}

#[test]
fn every_success_comes_up_and_none_is_acknowledged_here() {
    let mut a = Bench::new(A);
    send(&mut a, Method::Invite, to_b());
    let invite = a.sent_request();
    for tag in ["one", "two", "one"] {
        let ok = invite.response(StatusCode::OK).to_tag(tag).finish().unwrap();
        a.datagram(B, ok.bytes());
        assert_eq!(response_status(&mut a), 200);
    }
    a.no_more();
    a.pass(ms(32_000));
    assert_eq!(ended(&mut a), EndReason::Completed);
    a.datagram(B, answer(&invite, 200));
    assert!(matches!(a.event(), TransactionEvent::StrayResponse { .. }));
    let ack = own_request(Method::Ack);
    a.layer.send_ack(ack.clone(), to_b(), SendOptions::default(), a.now).unwrap();
    a.layer.send_ack(ack, to_b(), SendOptions::default(), a.now).unwrap();
    a.drain();
    let (first, second) = (a.sent_request(), a.sent_request());
    assert_ne!(first.via().unwrap().branch(), second.via().unwrap().branch());
    a.no_more();
    a.settles();
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut a = Bench::new(A);
    let id = send(&mut a, Method::Invite, to_b());
    let invite = a.sent_request();
    a.layer.cancel(id, &[(HeaderName::Reason.into(), "SIP;cause=200;text=\"elsewhere\"")], a.now).unwrap();
    a.drain();
    a.no_more();
    a.datagram(B, answer(&invite, 100));
    let cancel = a.sent_request();
    assert_eq!((cancel.method(), cancel.uri_text()), (&Method::Cancel, invite.uri_text()));
    assert_eq!(cancel.via().unwrap().to_string(), invite.via().unwrap().to_string());
    assert_eq!(cancel.get(HeaderName::Reason), Some("SIP;cause=200;text=\"elsewhere\""));
    assert_eq!(response_status(&mut a), 100);
    a.pass(ms(500));
    assert_eq!(a.sent_request().method(), &Method::Cancel);
    a.datagram(B, answer(&cancel, 200));
    a.datagram(B, answer(&invite, 487));
    assert_eq!(a.sent_request().method(), &Method::Ack);
    assert_eq!(response_status(&mut a), 487);
    a.pass(ms(60_000));
    assert_eq!(ended(&mut a), EndReason::Completed);
    a.no_more();
    a.settles();
}

#[test]
fn a_cancelled_call_that_is_never_answered_ends_after_64_t1() {
    let mut a = Bench::new(A);
    let id = send(&mut a, Method::Invite, to_b());
    let invite = a.sent_request();
    a.datagram(B, answer(&invite, 180));
    a.events.clear();
    a.layer.cancel(id, &[], a.now).unwrap();
    a.layer.cancel(id, &[], a.now).unwrap();
    a.drain();
    assert_eq!(a.sent.len(), 1);
    a.pass(ms(31_999));
    assert!(a.events.is_empty());
    a.pass(ms(1));
    assert_eq!(ended(&mut a), EndReason::TimedOut);
    assert_eq!(a.layer.cancel(id, &[], a.now), Err(Misuse::UnknownTransaction));
    a.settles();
}

#[test]
fn an_unreachable_peer_is_told_to_each_transaction() {
    let mut a = Bench::new(A);
    let options = send(&mut a, Method::Options, to_b());
    let invite = send(&mut a, Method::Invite, to_b());
    send(&mut a, Method::Options, Target::address(Protocol::Udp, address("192.0.2.3:5060")));
    let destination = address(B);
    a.input(Input::Unreachable { source: None, destination, protocol: Protocol::Udp });
    for expected in [options, invite] {
        assert!(
            matches!(a.event(), TransactionEvent::ClientEnded { transaction, reason: EndReason::Unreachable, .. } if transaction == expected)
        );
    }
    a.input(Input::Unreachable { source: None, destination, protocol: Protocol::Udp });
    assert!(a.events.is_empty());
    assert_eq!(a.layer.counts().clients, 1);
}

#[test]
fn a_response_that_is_none_of_ours_is_dropped() {
    let mut a = Bench::new(A);
    send(&mut a, Method::Options, to_b());
    let options = a.sent_request();
    let forged = String::from_utf8(answer(&options, 200).to_vec()).unwrap();
    let at = forged.find("z9hG4bK").unwrap() + 20;
    let mut other = forged.clone();
    other.replace_range(at..=at, if &forged[at..=at] == "0" { "1" } else { "0" });
    a.datagram(B, other);
    assert!(matches!(a.event(), TransactionEvent::ResponseDropped { .. }));
    a.datagram(B, forged.replace("1 OPTIONS", "1 BYE"));
    assert!(matches!(a.event(), TransactionEvent::ResponseDropped { .. }));
    a.datagram(B, forged);
    assert_eq!(response_status(&mut a), 200);
}

#[test]
fn via_and_contact_say_what_this_peer_should_be_told() {
    let mut a = Bench::with(TransactionConfig::new(vec![
        Listener::new(Protocol::Udp, address("0.0.0.0:5060")),
        Listener::new(Protocol::Tcp, address("0.0.0.0:5062")),
    ]));
    let options = || SendOptions {
        contact: Some(ContactTemplate {
            user: "bob smith".into(),
            parameters: ";expires=60".into(),
            uri_parameters: ";ob".into(),
        }),
        ..SendOptions::default()
    };
    a.layer.send_request(own_request(Method::Register), to_b(), options(), a.now).unwrap();
    a.drain();
    a.no_more();
    let (id, destination) = a.routes.pop_front().unwrap();
    assert_eq!(destination, address(B));
    a.input(Input::Routed {
        id,
        route: Some(RouteInfo { local: "10.0.0.7".parse().unwrap(), interface: "eth0".into() }),
    });
    let (Message::Request(register), transmit) = a.next_sent() else { panic!() };
    assert_eq!(transmit.source, Some(address("10.0.0.7:5060")));
    assert_eq!(register.get(HeaderName::Contact), Some("<sip:bob%20smith@10.0.0.7:5060;ob>;expires=60"));
    assert!(register.via().unwrap().to_string().starts_with("SIP/2.0/UDP 10.0.0.7:5060;"));

    let told =
        SendOptions { sent_by: Some(SentBy { host: "pbx.example".into(), port: Some(7) }), ..options() };
    a.layer
        .send_request(own_request(Method::Register), Target::address(Protocol::Tcp, address(B)), told, a.now)
        .unwrap();
    a.drain();
    let (stream, _, remote) = a.opened.pop_front().unwrap();
    a.input(Input::StreamOpened {
        stream,
        protocol: Protocol::Tcp,
        local: address("10.0.0.7:40000"),
        remote,
        peer_identity: None,
    });
    let register = a.sent_request();
    assert_eq!(
        register.get(HeaderName::Contact),
        Some("<sip:bob%20smith@pbx.example:7;transport=tcp;ob>;expires=60")
    );
    assert!(register.via().unwrap().to_string().starts_with("SIP/2.0/TCP pbx.example:7;"));
}

#[test]
fn a_host_without_route_is_unreachable_and_a_silent_driver_does_not_hold_a_request() {
    let mut a =
        Bench::with(TransactionConfig::new(vec![Listener::new(Protocol::Udp, address("0.0.0.0:5060"))]));
    send(&mut a, Method::Options, to_b());
    let (id, _) = a.routes.pop_front().unwrap();
    a.input(Input::Routed { id, route: None });
    assert_eq!(ended(&mut a), EndReason::Unreachable);
    send(&mut a, Method::Options, Target::address(Protocol::Udp, address("192.0.2.9:5060")));
    a.pass(ms(15_000));
    assert_eq!(ended(&mut a), EndReason::Unreachable);
    send(&mut a, Method::Options, Target::Uri(UriBuf::parse("sip:example.com").unwrap()));
    a.pass(ms(15_000));
    assert!(matches!(ended(&mut a), EndReason::Unresolved(_)));
    a.settles();
}

#[test]
fn ipv6_all_the_way() {
    let mut a = Bench::new("[2001:db8::1]:5060");
    send(&mut a, Method::Options, Target::Uri(UriBuf::parse("sip:b@[2001:db8::2]:5070").unwrap()));
    let (Message::Request(options), transmit) = a.next_sent() else { panic!() };
    assert_eq!(transmit.destination, address("[2001:db8::2]:5070"));
    assert!(options.via().unwrap().to_string().starts_with("SIP/2.0/UDP [2001:db8::1]:5060;"));
    let mut b = Bench::new("[2001:db8::2]:5070");
    b.datagram("[2001:db8::1]:5060", options.bytes());
    let (id, received) = new_request(&mut b);
    respond(&mut b, id, &received, 200);
    let (_, transmit) = b.next_sent();
    assert_eq!(transmit.destination, address("[2001:db8::1]:5060"));
    a.datagram("[2001:db8::2]:5070", transmit.payload);
    assert_eq!(response_status(&mut a), 200);
}

// ---- streams

fn accept(bench: &mut Bench, number: u64) -> StreamId {
    let stream = StreamId::accepted(number);
    let (local, remote) = (bench.local, address("192.0.2.1:40000"));
    bench.input(Input::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None });
    assert!(matches!(bench.event(), TransactionEvent::StreamOpened { .. }));
    stream
}

const TCP: &str = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKt";

#[test]
fn a_response_goes_back_on_the_stream_of_the_request() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    let text = request("OPTIONS", TCP);
    for chunk in text.as_bytes().chunks(17) {
        b.input(Input::StreamData { stream, payload: chunk });
    }
    let (id, options) = new_request(&mut b);
    respond(&mut b, id, &options, 200);
    assert_eq!(b.next_sent().1.stream, Some(stream));
    // Timer J is zero here.
    assert_eq!(ended(&mut b), EndReason::Completed);
    b.input(Input::StreamData { stream, payload: b"\r\n\r\n" });
    assert_eq!(&b.sent.pop_front().unwrap().payload[..], b"\r\n");
    b.settles();
}

#[test]
fn when_the_stream_is_gone_a_new_one_is_made_to_sent_by() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    b.input(Input::StreamData { stream, payload: request("OPTIONS", TCP).as_bytes() });
    let (id, options) = new_request(&mut b);
    b.input(Input::StreamClosed { stream });
    assert!(matches!(b.event(), TransactionEvent::StreamClosed { reason: StreamEnd::ClosedByPeer, .. }));
    respond(&mut b, id, &options, 200);
    let (stream, _, remote) = b.opened.pop_front().unwrap();
    assert_eq!(remote, address(A));
    assert!(b.sent.is_empty());
    b.input(Input::StreamOpened {
        stream,
        protocol: Protocol::Tcp,
        local: address("192.0.2.2:41000"),
        remote,
        peer_identity: None,
    });
    assert_eq!(b.next_sent().1.stream, Some(stream));
}

#[test]
fn a_response_that_cannot_be_delivered_is_told() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    b.input(Input::StreamData { stream, payload: request("INVITE", TCP).as_bytes() });
    let (id, invite) = new_request(&mut b);
    b.input(Input::StreamClosed { stream });
    b.events.clear();
    respond(&mut b, id, &invite, 180);
    let (stream, ..) = b.opened.pop_front().unwrap();
    b.input(Input::StreamFailed { stream, reason: StreamFailure::Refused });
    assert!(matches!(b.event(), TransactionEvent::StreamClosed { .. }));
    assert!(
        matches!(b.event(), TransactionEvent::ResponseUndelivered { transaction, .. } if transaction == id)
    );
    // RFC 6026 §8.5: the transaction goes on.
    respond(&mut b, id, &invite, 200);
    assert_eq!(b.opened.len(), 1);
}

#[test]
fn requests_share_a_stream_and_all_hear_when_it_breaks() {
    let mut a = Bench::new(A);
    let target = || Target::address(Protocol::Tcp, address(B));
    send(&mut a, Method::Options, target());
    send(&mut a, Method::Invite, target());
    let (stream, _, remote) = a.opened.pop_front().unwrap();
    assert!(a.opened.is_empty());
    a.input(Input::StreamOpened {
        stream,
        protocol: Protocol::Tcp,
        local: address("192.0.2.1:40000"),
        remote,
        peer_identity: None,
    });
    a.events.clear();
    assert_eq!(a.sent.len(), 2);
    send(&mut a, Method::Options, target());
    assert_eq!(a.sent.len(), 3);
    assert!(a.sent.iter().all(|transmit| transmit.stream == Some(stream)));
    a.pass(ms(5000));
    assert_eq!(a.sent.len(), 3, "nothing is repeated over TCP");
    a.input(Input::StreamClosed { stream });
    assert!(matches!(a.event(), TransactionEvent::StreamClosed { .. }));
    for _ in 0..3 {
        assert_eq!(ended(&mut a), EndReason::StreamFailed);
    }
    a.settles();
    assert_eq!(a.layer.counts().streams, 0);
}

#[test]
fn a_stream_that_does_not_open_fails_what_waits_for_it() {
    let mut a = Bench::new(A);
    let target = || Target::address(Protocol::Tcp, address(B));
    send(&mut a, Method::Options, target());
    let (stream, ..) = a.opened.pop_front().unwrap();
    a.input(Input::StreamFailed { stream, reason: StreamFailure::Refused });
    assert!(matches!(
        a.event(),
        TransactionEvent::StreamClosed { reason: StreamEnd::Failed(StreamFailure::Refused), .. }
    ));
    assert_eq!(ended(&mut a), EndReason::StreamFailed);
    send(&mut a, Method::Options, target());
    a.pass(ms(10_000));
    assert_eq!(a.closed.len(), 1);
    assert!(matches!(a.event(), TransactionEvent::StreamClosed { reason: StreamEnd::NotOpened, .. }));
    assert_eq!(ended(&mut a), EndReason::StreamFailed);
    a.settles();
}

#[test]
fn a_peer_that_never_finishes_a_message_is_cut_off() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    let text = request("OPTIONS", TCP);
    for byte in text.as_bytes().iter().take(100) {
        b.input(Input::StreamData { stream, payload: &[*byte] });
        b.pass(ms(290));
        assert!(b.closed.is_empty());
    }
    b.pass(ms(1000));
    assert_eq!(b.closed.pop_front(), Some(stream));
    assert!(matches!(b.event(), TransactionEvent::LimitReached { limit: Limit::UnfinishedMessage, .. }));
    assert!(matches!(b.event(), TransactionEvent::StreamClosed { reason: StreamEnd::UnfinishedMessage, .. }));
    b.input(Input::StreamData { stream, payload: b"x" });
    b.no_more();
    b.settles();
}

#[test]
fn a_stream_that_cannot_be_cut_is_answered_and_closed() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    b.input(Input::StreamData {
        stream,
        payload: request("OPTIONS", TCP).replace("Length: 0", "Length: 999999999").as_bytes(),
    });
    assert_eq!(b.statuses_sent(), [513]);
    assert!(matches!(b.event(), TransactionEvent::Refused { .. }));
    assert_eq!(b.closed.pop_front(), Some(stream));
    assert_eq!(b.layer.counts().streams, 0);
}

#[test]
fn streams_have_limits() {
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Tcp, address(B))]);
    config.limits.streams = 4;
    config.limits.streams_per_address = 2;
    let mut b = Bench::with(config);
    let local = b.local;
    let open = |b: &mut Bench, number: u64, from: &str| {
        b.input(Input::StreamOpened {
            stream: StreamId::accepted(number),
            protocol: Protocol::Tcp,
            local,
            remote: address(from),
            peer_identity: None,
        });
        matches!(b.event(), TransactionEvent::StreamOpened { .. })
    };
    assert!(open(&mut b, 0, "192.0.2.9:1"));
    assert!(open(&mut b, 1, "192.0.2.9:2"));
    assert!(!open(&mut b, 2, "192.0.2.9:3"));
    assert!(open(&mut b, 3, "192.0.2.10:1"));
    assert!(open(&mut b, 4, "192.0.2.11:1"));
    assert!(!open(&mut b, 5, "192.0.2.12:1"));
    assert_eq!(b.closed, [StreamId::accepted(2), StreamId::accepted(5)]);
    b.input(Input::StreamClosed { stream: StreamId::accepted(0) });
    b.events.clear();
    assert!(open(&mut b, 6, "192.0.2.9:4"));
}

#[test]
fn a_request_on_a_named_flow_goes_there_or_nowhere() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    let flow = Flow {
        protocol: Protocol::Tcp,
        local: b.local,
        remote: address("192.0.2.1:40000"),
        stream: Some(stream),
    };
    send(&mut b, Method::Notify, Target::Flow(flow));
    assert_eq!(b.next_sent().1.stream, Some(stream));
    b.input(Input::StreamClosed { stream });
    b.events.clear();
    assert!(!b.layer.is_flow_alive(&flow));
    send(&mut b, Method::Notify, Target::Flow(flow));
    assert_eq!(ended(&mut b), EndReason::StreamFailed);
    assert!(b.opened.is_empty());
}

// ---- RFC 3263

fn srv(priority: u16, port: u16, target: &str) -> SrvRecord {
    SrvRecord { priority, weight: 0, port, target: target.into(), time_to_live: ms(60_000) }
}

fn addresses(list: &[&str]) -> Answer {
    Answer::Addresses {
        addresses: list.iter().map(|text| text.parse().unwrap()).collect(),
        time_to_live: ms(60_000),
    }
}

/// NAPTR, SRV and addresses as a small zone.
fn answer_dns(bench: &mut Bench, zone: &dyn Fn(&Question) -> Answer) {
    while let Some((id, question)) = bench.questions.pop_front() {
        let answer = zone(&question);
        bench.input(Input::Resolved { id, answer });
    }
}

fn two_servers(question: &Question) -> Answer {
    match question {
        Question::Naptr(_) => Answer::NotFound,
        Question::Srv(name) if &**name == "_sip._udp.example.com" => {
            Answer::Srv(vec![srv(20, 5072, "second.example.com"), srv(10, 5071, "first.example.com.")])
        }
        Question::Srv(_) => Answer::NotFound,
        Question::Addresses(name) => match &**name {
            "first.example.com" => addresses(&["192.0.2.10"]),
            "second.example.com" => addresses(&["192.0.2.20"]),
            _ => Answer::NotFound,
        },
    }
}

#[test]
fn a_dead_server_is_passed_over_within_one_transaction() {
    let mut a = Bench::new(A);
    let uri = UriBuf::parse("sip:example.com").unwrap();
    let id = send(&mut a, Method::Options, Target::Uri(uri.clone()));
    answer_dns(&mut a, &two_servers);
    let (first, transmit) = a.next_sent();
    assert_eq!(transmit.destination, address("192.0.2.10:5071"));
    a.input(Input::Unreachable { source: None, destination: transmit.destination, protocol: Protocol::Udp });
    assert!(
        matches!(a.event(), TransactionEvent::FailedOver { transaction, reason: EndReason::Unreachable, .. } if transaction == id)
    );
    let (Message::Request(second), transmit) = a.next_sent() else { panic!() };
    assert_eq!(transmit.destination, address("192.0.2.20:5072"));
    assert_ne!(first.via().unwrap().branch(), second.via().unwrap().branch());
    assert_eq!(second.vias().count(), 1);
    a.datagram("192.0.2.20:5072", answer(&second, 200));
    assert_eq!(response_status(&mut a), 200);
    a.settles();
}

#[test]
fn a_silent_server_is_passed_over_after_a_few_seconds_and_the_last_one_has_all_the_time() {
    let mut a = Bench::new(A);
    send(&mut a, Method::Invite, Target::Uri(UriBuf::parse("sip:example.com").unwrap()));
    answer_dns(&mut a, &two_servers);
    a.pass(ms(4_999));
    assert!(a.events.is_empty());
    a.pass(ms(1));
    assert!(matches!(a.event(), TransactionEvent::FailedOver { reason: EndReason::TimedOut, .. }));
    a.pass(ms(31_999));
    assert!(a.events.is_empty());
    a.pass(ms(1));
    assert_eq!(ended(&mut a), EndReason::TimedOut);
    a.settles();
}

#[test]
fn a_503_sends_the_request_to_the_next_server() {
    let mut a = Bench::new(A);
    send(&mut a, Method::Invite, Target::Uri(UriBuf::parse("sip:example.com").unwrap()));
    answer_dns(&mut a, &two_servers);
    let first = a.sent_request();
    a.datagram("192.0.2.10:5071", answer(&first, 503));
    assert_eq!(a.sent_request().method(), &Method::Ack);
    assert!(matches!(a.event(), TransactionEvent::FailedOver { .. }));
    let second = a.sent_request();
    a.datagram("192.0.2.20:5072", answer(&second, 503));
    assert_eq!(a.sent_request().method(), &Method::Ack);
    assert_eq!(response_status(&mut a), 503);
}

#[test]
fn the_order_of_questions_is_that_of_rfc_3263() {
    for (uri, expected) in [
        ("sip:example.com", vec![Question::Naptr("example.com".into())]),
        ("sip:example.com:5080", vec![Question::Addresses("example.com".into())]),
        ("sip:example.com;transport=tcp", vec![Question::Srv("_sip._tcp.example.com".into())]),
        ("sip:x@EXAMPLE.com.;maddr=other.example", vec![Question::Naptr("other.example".into())]),
        ("sip:192.0.2.2", vec![]),
    ] {
        let mut a = Bench::new(A);
        send(&mut a, Method::Options, Target::Uri(UriBuf::parse(uri).unwrap()));
        let asked: Vec<Question> = a.questions.iter().map(|(_, question)| question.clone()).collect();
        assert_eq!(asked, expected, "{uri}");
    }
    let mut a = Bench::new(A);
    for uri in
        ["sips:example.com", "sip:example.com;transport=sctp", "tel:+123", "sip:192.0.2.1;transport=tls"]
    {
        send(&mut a, Method::Options, Target::Uri(UriBuf::parse(uri).unwrap()));
    }
    answer_dns(&mut a, &|_| Answer::NotFound);
    for _ in 0..4 {
        assert!(matches!(ended(&mut a), EndReason::Unresolved(_)));
    }
}

#[test]
fn a_request_too_long_for_udp_tries_tcp_and_falls_back() {
    let mut a = Bench::new(A);
    let long =
        own_request(Method::Invite).edit().append(HeaderName::Subject, "x".repeat(1300)).finish().unwrap();
    let target = Target::Uri(UriBuf::parse("sip:192.0.2.2").unwrap());
    a.layer.send_request(long, target, SendOptions::default(), a.now).unwrap();
    a.drain();
    let (stream, protocol, remote) = a.opened.pop_front().unwrap();
    assert_eq!((protocol, remote), (Protocol::Tcp, address(B)));
    a.input(Input::StreamFailed { stream, reason: StreamFailure::Refused });
    let (_, transmit) = a.next_sent();
    assert_eq!((transmit.protocol, transmit.destination), (Protocol::Udp, address(B)));
}

#[test]
fn locate_says_how_a_peer_sees_us() {
    let mut a =
        Bench::with(TransactionConfig::new(vec![Listener::new(Protocol::Udp, address("0.0.0.0:5060"))]));
    let id = a.layer.locate(&UriBuf::parse("sip:bob@example.com").unwrap(), a.now);
    a.drain();
    answer_dns(&mut a, &two_servers);
    let (query, destination) = a.routes.pop_front().unwrap();
    assert_eq!(destination, address("192.0.2.10:5071"));
    a.input(Input::Routed {
        id: query,
        route: Some(RouteInfo { local: "10.9.9.9".parse().unwrap(), interface: "tailscale0".into() }),
    });
    let TransactionEvent::Located { id: told, outcome: Ok(located) } = a.event() else { panic!() };
    assert_eq!((told, located.hops.len()), (id, 2));
    assert_eq!(located.route.unwrap().interface.as_ref(), "tailscale0");
    assert_eq!(located.sent_by.unwrap().to_string(), "10.9.9.9:5060");
    a.settles();
}

#[test]
fn what_was_sent_by_one_layer_is_read_strictly_by_the_other() {
    let mut a = Bench::new(A);
    let mut b = Bench::new(B);
    send(&mut a, Method::Invite, to_b());
    let (_, transmit) = a.next_sent();
    b.datagram(A, &transmit.payload);
    let (id, invite) = new_request(&mut b);
    assert!(Request::parse(invite.bytes().clone(), &ParseOptions::strict()).is_ok());
    respond(&mut b, id, &invite, 603);
    let (_, transmit) = b.next_sent();
    a.datagram(B, &transmit.payload);
    let (_, ack) = a.next_sent();
    b.datagram(A, &ack.payload);
    assert_eq!(response_status(&mut a), 603);
    b.no_more();
    a.settles();
    b.settles();
}

// ---- keep-alive (RFC 5626)

#[test]
fn a_dead_stream_is_found_within_a_minute() {
    let mut b = Bench::new(B);
    let stream = accept(&mut b, 0);
    let flow = Flow {
        protocol: Protocol::Tcp,
        local: b.local,
        remote: address("192.0.2.1:40000"),
        stream: Some(stream),
    };
    b.layer.keep_alive(flow, ms(45_000), b.now).unwrap();
    for _ in 0..3 {
        let before = b.elapsed();
        while b.sent.is_empty() {
            b.pass(ms(1000));
        }
        let waited = b.elapsed() - before;
        assert!((36_000..=46_000).contains(&waited), "{waited}");
        assert_eq!(&b.sent.pop_front().unwrap().payload[..], b"\r\n\r\n");
        b.pass(ms(500));
        b.input(Input::StreamData { stream, payload: b"\r\n" });
    }
    let before = b.elapsed();
    while b.closed.is_empty() {
        b.pass(ms(1000));
    }
    assert!(b.elapsed() - before <= 60_000);
    assert!(matches!(b.event(), TransactionEvent::StreamClosed { reason: StreamEnd::NoAnswer, .. }));
    assert_eq!(b.layer.keep_alive(flow, ms(1000), b.now), Err(Misuse::UnknownStream));
    b.settles();
}

#[test]
fn a_udp_flow_is_kept_by_stun_and_told_when_it_dies() {
    let mut a = Bench::new(A);
    let mut b = Bench::new(B);
    let flow = Flow { protocol: Protocol::Udp, local: address(A), remote: address(B), stream: None };
    a.layer.keep_alive(flow, ms(20_000), a.now).unwrap();
    a.pass(ms(20_000));
    let ask = a.sent.pop_front().unwrap();
    assert_eq!(ask.destination, address(B));
    b.datagram("198.51.100.7:7777", &ask.payload);
    let answer = b.sent.pop_front().unwrap();
    assert_eq!(answer.destination, address("198.51.100.7:7777"));
    a.datagram(B, &answer.payload);
    assert!(
        matches!(a.event(), TransactionEvent::SeenAs { address: seen, .. } if seen == address("198.51.100.7:7777"))
    );
    a.sent.clear();
    a.pass(ms(20_000));
    let ask = a.sent.pop_front().unwrap();
    b.datagram("198.51.100.7:8888", &ask.payload);
    a.datagram(B, &b.sent.pop_front().unwrap().payload);
    assert!(matches!(a.event(), TransactionEvent::FlowFailed { .. }), "the NAT changed its mind");

    a.layer.keep_alive(flow, ms(20_000), a.now).unwrap();
    a.sent.clear();
    a.pass(ms(60_000));
    assert_eq!(a.sent.len(), 6);
    assert!(matches!(a.event(), TransactionEvent::FlowFailed { .. }));
    a.settles();
}

#[test]
fn a_flow_that_is_let_go_is_quiet() {
    let mut a = Bench::new(A);
    let flow = Flow { protocol: Protocol::Udp, local: address(A), remote: address(B), stream: None };
    a.layer.keep_alive(flow, ms(20_000), a.now).unwrap();
    a.layer.let_go(&flow);
    a.settles();
    a.no_more();
}

// ---- overload

#[test]
fn a_server_that_asked_for_quiet_comes_last() {
    let mut a = Bench::new(A);
    let uri = || Target::Uri(UriBuf::parse("sip:example.com").unwrap());
    send(&mut a, Method::Options, uri());
    answer_dns(&mut a, &two_servers);
    let first = a.sent_request();
    let busy = first
        .response(StatusCode::SERVICE_UNAVAILABLE)
        .to_tag("t")
        .header("Retry-After", "60 (busy)")
        .finish()
        .unwrap();
    a.datagram("192.0.2.10:5071", busy.bytes());
    assert_eq!(a.next_sent().1.destination, address("192.0.2.20:5072"));
    a.events.clear();
    for (after, expected) in [(0, "192.0.2.20:5072"), (61_000, "192.0.2.10:5071")] {
        a.pass(ms(after));
        a.sent.clear();
        send(&mut a, Method::Options, uri());
        answer_dns(&mut a, &two_servers);
        assert_eq!(a.next_sent().1.destination, address(expected));
    }
}

#[test]
fn overload_control_by_loss_rfc_7339() {
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(A))]);
    config.overload_control = true;
    let mut a = Bench::with(config);
    let mut b = Bench::new(B);
    b.layer.set_overload(Some(50));
    send(&mut a, Method::Options, to_b());
    let (_, transmit) = a.next_sent();
    b.datagram(A, &transmit.payload);
    let (id, options) = new_request(&mut b);
    respond(&mut b, id, &options, 200);
    let (Message::Response(response), transmit) = b.next_sent() else { panic!() };
    assert_eq!(response.via().unwrap().params.get("oc"), Some("50"));
    a.datagram(B, &transmit.payload);
    a.events.clear();
    for _ in 0..200 {
        send(&mut a, Method::Options, to_b());
    }
    let held = a
        .events
        .iter()
        .filter(|event| matches!(event, TransactionEvent::ClientEnded { reason: EndReason::HeldBack, .. }))
        .count();
    assert!((70..=130).contains(&held), "{held}");
    assert_eq!(a.sent.len() + held, 200);
    // What is within a dialog is spared, and after half a second the wish is void.
    a.events.clear();
    a.pass(ms(500));
    a.sent.clear();
    for _ in 0..50 {
        send(&mut a, Method::Options, to_b());
    }
    assert_eq!(a.sent.len(), 50);
    // A peer that does not offer it is told nothing.
    b.datagram(A, request("OPTIONS", VIA).replace("call-1", "other"));
    let (_, options) = new_request(&mut b);
    assert!(!options.via().unwrap().params.has("oc"));
}

// ---- RFC 8305

#[test]
fn a_family_that_does_not_work_costs_a_quarter_of_a_second() {
    let listeners =
        ["192.0.2.1:5060", "[2001:db8::1]:5060"].map(|local| Listener::new(Protocol::Tcp, address(local)));
    let zone = |question: &Question| match question {
        Question::Addresses(_) => addresses(&["2001:db8::9", "2001:db8::a", "192.0.2.9"]),
        _ => Answer::NotFound,
    };
    let target = || Target::Uri(UriBuf::parse("sip:example.com:5060;transport=tcp").unwrap());
    for winner in [0, 1] {
        let mut a = Bench::with(TransactionConfig::new(listeners.to_vec()));
        send(&mut a, Method::Options, target());
        answer_dns(&mut a, &zone);
        a.pass(ms(249));
        assert_eq!(a.opened.len(), 1);
        a.pass(ms(1));
        let remotes: Vec<_> = a.opened.iter().map(|(_, _, remote)| *remote).collect();
        assert_eq!(remotes, [address("[2001:db8::9]:5060"), address("192.0.2.9:5060")]);
        let (stream, protocol, remote) = a.opened[winner];
        a.input(Input::StreamOpened {
            stream,
            protocol,
            local: address("192.0.2.1:40000"),
            remote,
            peer_identity: None,
        });
        let (_, transmit) = a.next_sent();
        assert_eq!(transmit.stream, Some(stream));
        // The loser changes nothing any more.
        let (stream, protocol, remote) = a.opened[1 - winner];
        a.input(Input::StreamOpened {
            stream,
            protocol,
            local: address("192.0.2.1:40001"),
            remote,
            peer_identity: None,
        });
        a.pass(ms(1000));
        assert!(a.sent.is_empty());
        a.events.clear();
        a.settles();
    }
}
