//! Whole exchanges of the transaction layer on virtual time, one ladder a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::exchange::{VIA, ended, new_request, respond, response_status, send, to_b};
use common::{A, B, Bench, address, answer, ms, own_request, request};
use denwa_sip_core::{
    HeaderName, Input, Message, Method, Misuse, Protocol, StatusCode, UriBuf,
    config::{Listener, SentBy, TransactionConfig},
    io::RouteInfo,
    limits::Limit,
    transaction::{ContactTemplate, EndReason, RejectRule, SendOptions, TransactionEvent},
    transport::Target,
};

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
fn whoever_was_challenged_may_come_again_with_the_same_cseq() {
    let mut b = Bench::new(B);
    b.datagram(A, request("INVITE", VIA));
    let (id, invite) = new_request(&mut b);
    respond(&mut b, id, &invite, 407);
    b.datagram(A, request("INVITE", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKproved"));
    let (_, invite) = new_request(&mut b);
    assert!(invite.get(HeaderName::Via).is_some_and(|via| via.contains("z9hG4bKproved")));
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
            uri: None,
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
