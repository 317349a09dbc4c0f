//! Finding servers on virtual time: RFC 3263 and what follows when one is dead, busy or of the wrong family (RFC 8305, RFC 7339).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::exchange::{VIA, ended, new_request, respond, response_status, send, to_b};
use common::{A, B, Bench, address, answer, ms, own_request, request};
use denwa_sip_core::{
    HeaderName, Input, Message, Method, Protocol, Request, StatusCode, UriBuf,
    config::{Listener, TransactionConfig},
    io::{Answer, Question, RouteInfo, SrvRecord, StreamFailure},
    message::ParseOptions,
    transaction::{EndReason, SendOptions, TransactionEvent},
    transport::Target,
};

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
