//! One test for each class of published advisory that touches parsing, framing or transactions: what broke others must
//! be refused, counted or understood here, without a panic, without work or memory beyond what was sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::{A, B, Bench, address, request};
use denwa_sip_core::{
    Attitude, HeaderName, Input, Message, Method, Misuse, Problem, Protocol, Request, StreamId, Uri, UriBuf,
    config::{Listener, TransactionConfig},
    header::{Contacts, HeaderValue, NameAddr, OpaqueParams, Via},
    io::{Answer as DnsAnswer, Flow, QueryId},
    limits::Limit,
    message::{ParseOptions, Part},
    transaction::{RejectRule, TransactionEvent},
    transport::Target,
};
use std::time::Duration;

const VIA: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport";

fn lenient(text: impl AsRef<[u8]>) -> Result<Message, denwa_sip_core::ParseError> {
    Message::parse_lenient(Bytes::copy_from_slice(text.as_ref()))
}

/// OpenSIPS GHSA-c6j5, pjsip 2026-03, sipgo GHSA-pg59: Content-Length that wraps, is negative or huge.
#[test]
fn content_length_larger_than_data_or_wrapping() {
    for length in [
        "-1",
        "+5",
        "0x10",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "1 2",
        "",
    ] {
        let text = request("OPTIONS", VIA).replace("Content-Length: 0", &format!("Content-Length: {length}"));
        assert!(lenient(&text).is_err(), "{length}");
        let mut b = Bench::new(B);
        let stream = StreamId::accepted(0);
        let (local, remote) = (b.local, address(A));
        b.input(Input::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None });
        b.input(Input::StreamData { stream, payload: text.as_bytes() });
        assert_eq!(b.closed.len(), 1, "{length}: the framing is lost, so is the stream");
        assert_eq!(b.layer.counts().servers, 0);
    }
}

/// Kamailio CVE-2020-28361: `Hdr :` seen by one element and not by the next.
#[test]
fn header_with_space_before_the_colon_is_that_header() {
    let text = request("OPTIONS", VIA).replace("Contact:", "P-Asserted-Identity :");
    let message = lenient(&text).unwrap();
    assert!(message.has(HeaderName::PAssertedIdentity));
    let Message::Request(request) = message else { panic!() };
    let cleaned = request.edit().remove(HeaderName::PAssertedIdentity).finish().unwrap();
    assert!(!String::from_utf8_lossy(cleaned.bytes()).contains("Asserted"));
}

/// sipgo GHSA-chcx: what a user typed becomes headers. GHSA-2grh: control characters in display names.
#[test]
fn nothing_that_is_written_smuggles_a_line() {
    let evil = "x\r\nAuthorization: stolen";
    assert!(Request::builder(Method::Invite, "sip:a@b").header(HeaderName::Subject, evil).finish().is_err());
    assert!(Request::builder(Method::Invite, format_args!("sip:{evil}@b")).finish().is_err());
    let uri = Uri::parse("sip:a@b", Attitude::Strict).unwrap();
    let mut from = NameAddr::new(uri);
    from.display_name = Some(denwa_sip_core::header::DisplayName::new("a\u{1b}[2J\r\nX: y\0"));
    let written = from.to_string();
    assert!(!written.contains(char::is_control), "{written:?}");
    for raw in ["X: a\rY: b\r\n", "X: a\0b\r\n", "X: a\u{8}b\r\n"] {
        let text = request("OPTIONS", VIA).replace("Contact:", &format!("{raw}Contact:"));
        assert_eq!(lenient(&text).unwrap_err().problem, Problem::ControlCharacter, "{raw:?}");
    }
}

/// Kamailio CVE-2018-8828 (branch and tag), OpenSIPS GHSA-w522, -65mj, -5w5j, Asterisk GHSA-589g: long values into short
/// buffers.
#[test]
fn values_as_long_as_a_message_may_be() {
    let long = "x".repeat(20_000);
    for (from, to) in [
        ("branch=z9hG4bKx".to_owned(), format!("branch=z9hG4bK{long}")),
        ("tag=fa".into(), format!("tag={long}")),
        ("call-1".into(), format!("{long}@{long}")),
        ("sip:b@192.0.2.2 ".into(), format!("sip:{long}@192.0.2.2 ")),
    ] {
        let mut b = Bench::new(B);
        b.datagram(A, request("OPTIONS", VIA).replace(&from, &to));
        assert!(matches!(b.event(), TransactionEvent::Request { .. }), "{from}");
    }
    let method = "M".repeat(5000);
    let mut b = Bench::new(B);
    b.datagram(A, request(&method, VIA));
    assert!(matches!(b.event(), TransactionEvent::Request { .. }));
}

/// pjsip GHSA-fq45, f5qg, 7fw8, OpenSIPS GHSA-wxfg (Via), -qvj2 (To parameter), -358f (URI), sofia-sip GHSA-79jq, g3x6,
/// Asterisk GHSA-mrq5 (Identity without `;`): a parser that reads on where the text has ended.
#[test]
fn every_prefix_of_every_value_is_handled() {
    let full = "INVITE sip:u:p@[2001:db8::1]:5060;a=b?c=d SIP/2.0\r\nVia: SIP / 2.0 / UDP [::1]:5060 ;received=\"x\\\"y\";a=[::1]\r\n\
        To: \"a\\\\\" <sip:a@b;x=%41>;tag=\"q\"\r\nIdentity: abc;info=<https://x>;alg=ES256\r\nCall-ID: a@b\r\nl: 0\r\n\r\n";
    for end in 0..full.len() {
        for attitude in [Attitude::Strict, Attitude::Lenient] {
            let options = ParseOptions { attitude, ..ParseOptions::default() };
            if let Ok(message) = Message::parse(Bytes::copy_from_slice(&full.as_bytes()[..end]), &options) {
                let _ = message.validate(attitude);
            }
        }
    }
    for value in [
        "SIP/2.0/UDP [::1]:5060;received=\"x\\\"y\";a=[::1]",
        "\"a\\\\\" <sip:a@b;x=%41>;tag=\"q\"",
        "abc;info=<https://x>;alg=ES256",
    ] {
        for end in 0..value.len() {
            let _ = Via::parse(&value[..end], Attitude::Lenient);
            let _ = NameAddr::parse(&value[..end], Attitude::Lenient);
            let _ = OpaqueParams::parse(&value[..end], Attitude::Lenient);
            let _ = Uri::parse(&value[..end], Attitude::Lenient);
        }
    }
}

/// pjsip GHSA-x5pq and 2026-08, OpenSIPS GHSA-hx7p, -wrjf, AST-2017-002: multipart bodies that do not close or hold nothing.
#[test]
fn multipart_bodies_that_lie() {
    for body in ["", "--x", "--x--", "--x\r\n--x\r\n--x--", "--x\r\n\r\n", "\r\n--x\r\nA\r\n--x--"] {
        let message = Request::builder(Method::Message, "sip:a@b")
            .body("multipart/mixed;boundary=x", body.to_owned())
            .finish()
            .unwrap();
        let parts = message.parts();
        assert!(parts.is_err() || parts.unwrap().iter().map(Part::body).all(<[u8]>::is_empty), "{body:?}");
    }
}

/// pjsip GHSA-5x45, AST-2020-002: recursion and endless loops.
#[test]
fn nesting_has_an_end() {
    let deep = "(".repeat(50_000);
    let text = request("OPTIONS", VIA).replace("Contact:", &format!("User-Agent: {deep}\r\nContact:"));
    let error = lenient(&text).unwrap().validate(Attitude::Lenient).unwrap_err();
    assert_eq!(error.problem, Problem::Limit(Limit::Nesting));
}

/// pjsip 2026-05 to 2026-07, GHSA on Service-Route: arrays sized by the peer.
#[test]
fn thousands_of_values_are_a_limit_not_an_allocation() {
    let many = "<sip:a@b>,".repeat(5000) + "<sip:a@b>";
    let message =
        lenient(request("REGISTER", VIA).replace("Contact: <sip:a@192.0.2.1>", &format!("m: {many}")))
            .unwrap();
    assert_eq!(
        message.contacts().map(|contacts| matches!(contacts, Contacts::Wildcard)).unwrap_err().problem,
        Problem::Limit(Limit::Values)
    );
    assert!(message.list_as::<NameAddr<'_>>(HeaderName::Contact).count() <= 129);
    let params = ";a=b".repeat(5000);
    let error = lenient(request("OPTIONS", &format!("{VIA}{params}"))).unwrap().via().unwrap_err();
    assert_eq!(error.problem, Problem::Limit(Limit::Params));
    let headers = "X: y\r\n".repeat(1000);
    let error =
        lenient(request("OPTIONS", VIA).replace("Contact:", &format!("{headers}Contact:"))).unwrap_err();
    assert_eq!(error.problem, Problem::Limit(Limit::Headers));
}

/// Shapes made to cost much: each is read or refused, and a refusal points into what was sent. That the work a byte stays
/// constant is counted in `work.rs`.
#[test]
fn hostile_shapes_are_read_or_refused_where_they_are_wrong() {
    #[allow(clippy::type_complexity)] // a table of two columns, read where it stands
    let shapes: [(&str, fn(usize) -> String); 6] = [
        ("folds", |n| "X: a".to_owned() + &"\r\n a".repeat(n)),
        ("quotes", |n| "To: \"".to_owned() + &"\\\"".repeat(n)),
        ("brackets", |n| "To: ".to_owned() + &"<".repeat(n)),
        ("commas", |n| "Route: ".to_owned() + &",".repeat(n)),
        ("semicolons", |n| "Via: SIP/2.0/UDP h".to_owned() + &";".repeat(n)),
        ("percents", |n| "To: <sip:".to_owned() + &"%".repeat(n) + "@b>"),
    ];
    for (name, shape) in shapes {
        for n in [1_500, 12_000] {
            let text = format!("OPTIONS sip:a@b SIP/2.0\r\n{}\r\nl: 0\r\n\r\n", shape(n));
            match lenient(&text) {
                Ok(message) => {
                    assert_eq!(message.bytes().as_ref(), text.as_bytes(), "{name}: bytes were lost");
                    let _ = message.validate(Attitude::Lenient);
                    let _ = message.normalized();
                }
                Err(error) => assert!(error.offset <= text.len(), "{name}: {error} is beyond the message"),
            }
        }
    }
}

/// Hash flooding (pjsip 2026-07): keys that a peer chooses go through a keyed hash, so two layers lay their tables out
/// differently, and ten thousand transactions cost what ten thousand do.
#[test]
fn ten_thousand_chosen_branches_are_just_that() {
    let mut config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(B))]);
    config.limits.server_transactions = 10_000;
    let mut b = Bench::with(config);
    for number in 0..10_050 {
        let text = request("OPTIONS", &format!("SIP/2.0/UDP h;branch=z9hG4bK{number}"))
            .replace("call-1", &number.to_string());
        b.datagram(A, text);
    }
    assert_eq!(b.layer.counts().servers, 10_000);
    let refused = b
        .events
        .iter()
        .filter(|event| matches!(event, TransactionEvent::Rejected { rule: RejectRule::Overloaded, .. }));
    assert_eq!(refused.count(), 50);
    b.settles();
}

/// pjsip 2026-08 (a transaction that is used after a failed send), Asterisk GHSA-g8q2 (TCP dropped in the middle): a stream
/// that goes while everything is under way.
#[test]
fn a_stream_that_goes_at_any_moment() {
    let text = request("INVITE", "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKt");
    for cut in (0..text.len()).step_by(7) {
        let mut b = Bench::new(B);
        let stream = StreamId::accepted(0);
        let (local, remote) = (b.local, address("192.0.2.1:40000"));
        b.input(Input::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None });
        b.input(Input::StreamData { stream, payload: &text.as_bytes()[..cut] });
        b.input(Input::StreamClosed { stream });
        b.input(Input::StreamData { stream, payload: &text.as_bytes()[cut..] });
        b.input(Input::StreamClosed { stream });
        assert!(b.events.iter().all(|event| !matches!(event, TransactionEvent::Request { .. })));
        b.settles();
    }
}

/// AST-2016-005, CVE-2021-41145: connections and requests without end.
#[test]
fn a_flood_meets_limits_and_leaves_nothing() {
    let mut config =
        TransactionConfig::new([Protocol::Udp, Protocol::Tcp].map(|p| Listener::new(p, address(B))).to_vec());
    config.limits.streams = 50;
    config.limits.streams_per_address = 10;
    config.limits.server_transactions = 100;
    let mut b = Bench::with(config);
    for number in 0..1000_u64 {
        let remote = std::net::SocketAddr::new([10, 0, 0, u8::try_from(number % 200).unwrap()].into(), 1000);
        let (stream, local) = (StreamId::accepted(number), b.local);
        b.input(Input::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None });
        let text = request("INVITE", &format!("SIP/2.0/TCP h;branch=z9hG4bK{number}"))
            .replace("call-1", &number.to_string());
        b.input(Input::StreamData { stream, payload: text.as_bytes() });
    }
    let counts = b.layer.counts();
    assert!(counts.streams <= 50 && counts.servers <= 100, "{counts:?}");
    for number in 0..1000_u64 {
        b.input(Input::StreamClosed { stream: StreamId::accepted(number) });
    }
    b.settles();
    assert_eq!(b.layer.counts().streams, 0);
}

/// pjsip CVE-2020-15260: a TLS connection that proved one name is used for another.
#[test]
fn a_tls_stream_is_used_for_the_name_it_proved() {
    use denwa_sip_core::transport::Hop;
    let mut a =
        Bench::with(TransactionConfig::new(vec![Listener::new(Protocol::Tls, address("192.0.2.1:5061"))]));
    for name in ["one.example", "two.example", "one.example"] {
        let hop = Hop {
            protocol: Protocol::Tls,
            remote: address("192.0.2.9:5061"),
            server_name: Some(name.into()),
        };
        a.layer
            .send_request(
                common::own_request(Method::Options),
                Target::Hops(vec![hop]),
                Default::default(),
                a.now,
            )
            .unwrap();
    }
    a.drain();
    assert_eq!(a.opened.len(), 2);
}

/// CVE-2026-28799, AST-2007-era classics: a request for a state that is not there.
#[test]
fn acks_cancels_and_responses_out_of_nowhere() {
    let mut b = Bench::new(B);
    b.datagram(A, request("ACK", VIA));
    assert!(matches!(b.event(), TransactionEvent::Ack { transaction: None, .. }));
    b.datagram(A, request("CANCEL", VIA));
    assert_eq!(b.statuses_sent(), [481]);
    b.events.clear();
    for status in [100, 180, 200, 404, 699] {
        let text =
            request("INVITE", VIA).replace("INVITE sip:b@192.0.2.2 SIP/2.0", &format!("SIP/2.0 {status} x"));
        b.datagram(A, text);
    }
    assert_eq!(b.events.len(), 5);
    assert!(b.sent.is_empty());
    b.settles();
}

/// A STUN Binding success for this request that says the peer is seen at `mapped`.
fn stun_success(request: &[u8], mapped: &str) -> Vec<u8> {
    let std::net::SocketAddr::V4(mapped) = address(mapped) else { panic!() };
    let mut out = vec![0x01, 0x01, 0x00, 0x0c];
    out.extend_from_slice(&request[4..20]);
    out.extend_from_slice(&[0x00, 0x20, 0x00, 0x08, 0x00, 0x01]);
    out.extend((mapped.port() ^ 0x2112).to_be_bytes());
    out.extend(mapped.ip().octets().iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(a, b)| a ^ b));
    out
}

/// pjsip 2026-08: a forged STUN answer moves an agent to another address.
#[test]
fn a_stun_answer_that_was_not_asked_for_moves_nobody() {
    let mut a = Bench::new(A);
    let flow = Flow { protocol: Protocol::Udp, local: a.local, remote: address(B), stream: None };
    a.layer.keep_alive(flow, Duration::from_secs(20), a.now).unwrap();
    a.pass(Duration::from_secs(21));
    let asked = a.sent.pop_front().unwrap().payload;
    let seen =
        |bench: &Bench| bench.events.iter().any(|event| matches!(event, TransactionEvent::SeenAs { .. }));
    let mut guessed = asked.to_vec();
    guessed[19] ^= 1;
    a.datagram(B, stun_success(&guessed, "198.51.100.66:666"));
    a.datagram("198.51.100.66:5060", stun_success(&asked, "198.51.100.66:666"));
    assert!(!seen(&a), "by its number or by where it came from it was no answer");
    a.datagram(B, stun_success(&asked, "192.0.2.1:5060"));
    assert!(seen(&a));
    a.events.clear();
    // The same once more is no answer either.
    a.datagram(B, stun_success(&asked, "198.51.100.66:666"));
    assert!(a.events.is_empty());
}

/// pjsip 2026-08: forged DNS replies. An answer to a question that was never put, or was answered, changes nothing.
#[test]
fn dns_answers_that_nobody_asked_for() {
    let mut a = Bench::new(A);
    let forged = || DnsAnswer::Addresses {
        addresses: vec!["198.51.100.66".parse().unwrap()],
        time_to_live: Duration::from_secs(1 << 40),
    };
    for id in [0, 1, u64::MAX] {
        a.input(Input::Resolved { id: QueryId(id), answer: forged() });
    }
    let target = Target::Uri(UriBuf::parse("sip:example.com:5060;transport=udp").unwrap());
    a.layer.send_request(common::own_request(Method::Options), target, Default::default(), a.now).unwrap();
    a.drain();
    let (id, _) = a.questions.pop_front().unwrap();
    a.input(Input::Resolved { id: QueryId(id.0 + 1), answer: forged() });
    let told = DnsAnswer::Addresses {
        addresses: vec!["192.0.2.2".parse().unwrap()],
        time_to_live: Duration::from_secs(60),
    };
    a.input(Input::Resolved { id, answer: told });
    a.input(Input::Resolved { id, answer: forged() });
    assert_eq!(a.next_sent().1.destination, address(B));
    assert!(a.sent.is_empty());
}

/// pjsip ffff, f76w, AST-2021-009 (cv8x): what has ended is used again.
#[test]
fn a_handle_that_has_ended_is_unknown_for_good() {
    let mut a = Bench::new(A);
    let target = || Target::address(Protocol::Udp, address(B));
    let first = a
        .layer
        .send_request(common::own_request(Method::Invite), target(), Default::default(), a.now)
        .unwrap();
    a.layer.cancel(first, &[], a.now).unwrap();
    a.pass(Duration::from_secs(200));
    // Its place is taken by another, and the old handle does not mean that one.
    let second = a
        .layer
        .send_request(common::own_request(Method::Invite), target(), Default::default(), a.now)
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(a.layer.cancel(first, &[], a.now), Err(Misuse::UnknownTransaction));
    a.layer.cancel(second, &[], a.now).unwrap();
}
