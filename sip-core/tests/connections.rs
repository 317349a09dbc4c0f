//! Streams on virtual time: shared, lost, made anew, used back (RFC 5923), kept alive and found dead (RFC 5626); and what needs no
//! transaction.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::exchange::{VIA, ended, new_request, respond, send};
use common::{A, B, Bench, address, ms, request};
use denwa_sip_core::{
    Input, Method, Misuse, Protocol, StatusCode, StreamId,
    config::{Listener, TransactionConfig},
    io::{Flow, PeerIdentity, StreamFailure},
    limits::Limit,
    transaction::{EndReason, StreamEnd, TransactionEvent},
    transport::{Hop, Target},
};

// ---- streams

fn accept(bench: &mut Bench, number: u64) -> StreamId {
    accept_over(bench, number, Protocol::Tcp)
}

fn accept_over(bench: &mut Bench, number: u64, protocol: Protocol) -> StreamId {
    let stream = StreamId::accepted(number);
    let (local, remote) = (bench.local, address("192.0.2.1:40000"));
    bench.input(Input::StreamOpened { stream, protocol, local, remote, peer_identity: None });
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
        assert_eq!(ended(&mut a), EndReason::StreamFailed(StreamEnd::ClosedByPeer));
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
    assert_eq!(ended(&mut a), EndReason::StreamFailed(StreamEnd::Failed(StreamFailure::Refused)));
    send(&mut a, Method::Options, target());
    a.pass(ms(10_000));
    assert_eq!(a.closed.len(), 1);
    assert!(matches!(a.event(), TransactionEvent::StreamClosed { reason: StreamEnd::NotOpened, .. }));
    assert_eq!(ended(&mut a), EndReason::StreamFailed(StreamEnd::NotOpened));
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
    assert_eq!(ended(&mut b), EndReason::StreamFailed(StreamEnd::Gone));
    assert!(b.opened.is_empty());
}

// ---- keep-alive (RFC 5626)

#[test]
fn a_dead_stream_is_found_within_a_minute() {
    for protocol in [Protocol::Tcp, Protocol::Tls, Protocol::Ws, Protocol::Wss] {
        a_dead_flow_is_found_within_a_minute(protocol);
    }
}

fn a_dead_flow_is_found_within_a_minute(protocol: Protocol) {
    let mut b = Bench::new(B);
    let stream = accept_over(&mut b, 0, protocol);
    let flow = Flow { protocol, local: b.local, remote: address("192.0.2.1:40000"), stream: Some(stream) };
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

// ---- RFC 5923, maddr, stateless service

const TLS_VIA: &str = "SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKx;rport;alias";

/// A TLS connection from `192.0.2.1:40000`, over which a request with `alias` has come.
fn aliased(identity: Option<&[&str]>, via: &str) -> (Bench, StreamId) {
    let listener = Listener::new(Protocol::Tls, address("192.0.2.2:5061"));
    let mut b = Bench::with(TransactionConfig::new(vec![listener]));
    let stream = StreamId::accepted(0);
    let names = |names: &[&str]| PeerIdentity { names: names.iter().map(|name| (*name).into()).collect() };
    b.input(Input::StreamOpened {
        stream,
        protocol: Protocol::Tls,
        local: address("192.0.2.2:5061"),
        remote: address("192.0.2.1:40000"),
        peer_identity: identity.map(names),
    });
    assert!(matches!(b.event(), TransactionEvent::StreamOpened { .. }));
    b.input(Input::StreamData { stream, payload: request("OPTIONS", via).as_bytes() });
    new_request(&mut b);
    (b, stream)
}

fn to_a(name: &str) -> Target {
    let remote = address("192.0.2.1:5061");
    Target::Hops(vec![Hop { protocol: Protocol::Tls, remote, server_name: Some(name.into()) }])
}

#[test]
fn rfc_5923_a_proven_peers_connection_is_used_back() {
    for (proven, wanted) in
        [("a.example", "a.example"), ("sip:Example.com", "example.com"), ("192.0.2.1", "192.0.2.1")]
    {
        let (mut b, stream) = aliased(Some(&[proven]), TLS_VIA);
        b.sent.clear();
        send(&mut b, Method::Options, to_a(wanted));
        assert_eq!(b.next_sent().1.stream, Some(stream), "{wanted}");
        assert!(b.opened.is_empty());
        // When it is gone, a new one is made.
        b.input(Input::StreamClosed { stream });
        send(&mut b, Method::Options, to_a(wanted));
        assert_eq!(b.opened.len(), 1);
    }
}

#[test]
fn rfc_5923_a_connection_is_not_used_for_whom_it_did_not_prove() {
    let without_alias = TLS_VIA.replace(";alias", "");
    let cases: [(Option<&[&str]>, &str, &str); 4] = [
        (None, TLS_VIA, "a.example"),
        (Some(&["a.example"]), TLS_VIA, "b.example"),
        (Some(&["*.example"]), TLS_VIA, "a.example"),
        (Some(&["a.example"]), &without_alias, "a.example"),
    ];
    for (identity, via, wanted) in cases {
        let (mut b, _) = aliased(identity, via);
        send(&mut b, Method::Options, to_a(wanted));
        assert_eq!(b.opened.len(), 1, "{identity:?} {via}");
    }
}

#[test]
fn a_maddr_is_followed_or_not() {
    for (follow, expected) in [(true, "192.0.2.77:5060"), (false, A)] {
        let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(B))]);
        config.follow_maddr = follow;
        let mut b = Bench::with(config);
        b.datagram(A, request("OPTIONS", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx;maddr=192.0.2.77"));
        let (id, options) = new_request(&mut b);
        respond(&mut b, id, &options, 200);
        let (_, transmit) = b.next_sent();
        // The address is the matter here; over UDP the response leaves by the way that the request came unless a maddr says otherwise.
        assert_eq!(transmit.destination, address(expected), "{follow}");
    }
}

#[test]
fn a_stateless_server_keeps_nothing() {
    let mut b = Bench::new(B);
    b.layer.serve_statelessly(&[Method::Options]);
    for _ in 0..3 {
        b.datagram(A, request("OPTIONS", VIA));
        let event = b.events.pop_front().unwrap();
        let TransactionEvent::StatelessRequest { request, path, .. } = event else { panic!("{event:?}") };
        let response = request.response(StatusCode::OK).to_tag("always").finish().unwrap();
        b.layer.respond_stateless(path, &response, b.now);
        b.drain();
        assert_eq!(b.next_sent().1.destination, address(A));
        assert_eq!(b.layer.counts(), Default::default());
    }
    // Within a dialog, and for other methods, all is as ever.
    b.datagram(A, request("OPTIONS", VIA).replace("To: <sip:b@192.0.2.2>", "To: <sip:b@192.0.2.2>;tag=t"));
    new_request(&mut b);
    b.datagram(A, request("MESSAGE", VIA));
    new_request(&mut b);
}
