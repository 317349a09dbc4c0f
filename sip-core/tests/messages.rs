//! Messages as they come and go: what is read, written back, changed and refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use denwa_sip_core::{
    Attitude, HeaderName, Message, Method, Problem, Protocol, Request, Response, StatusCode,
    header::{Contacts, Name, ViaTransport},
    message::ParseOptions,
};

const INVITE: &str = "INVITE sip:bob@biloxi.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776asdhds;rport\r\n\
    v: SIP/2.0/TCP a.example:5070;branch=z9hG4bKx , SIP/2.0/TLS b.example;branch=z9hG4bKy\r\n\
    Max-Forwards: 70\r\n\
    t: \"Bob, the \\\"Builder\\\"\" <sip:bob@biloxi.example>\r\n\
    From: Alice <sip:alice@atlanta.example>;tag=1928301774\r\n\
    Call-ID: a84b4c76e66710@pc33.atlanta.example\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@pc33.atlanta.example>;q=0.7;expires=3600,\r\n <sips:alice@b>\r\n\
    X-Unknown:   kept   as it  is  \r\n\
    Record-Route: <sip:p2.example;lr>\r\n\
    Route: <sip:p1.example;lr>, <sip:p3.example;lr>\r\n\
    Supported: 100rel, timer\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 4\r\n\r\nv=0\n";

fn request(text: &str) -> Request {
    Request::parse(Bytes::copy_from_slice(text.as_bytes()), &ParseOptions::strict()).unwrap()
}

#[test]
fn every_part_is_where_it_belongs() {
    let invite = request(INVITE);
    assert_eq!(invite.method(), &Method::Invite);
    assert_eq!(invite.uri().unwrap().as_str(), "sip:bob@biloxi.example");
    let vias: Vec<_> = invite.vias().collect::<Result<_, _>>().unwrap();
    assert_eq!(vias.len(), 3);
    assert_eq!(vias[1].transport, ViaTransport::Known(Protocol::Tcp));
    assert_eq!(vias[2].branch(), Some("z9hG4bKy"));
    assert_eq!(invite.from().unwrap().tag(), Some("1928301774"));
    assert_eq!(invite.to().unwrap().display_name.unwrap().text(), "Bob, the \"Builder\"");
    assert_eq!(invite.call_id().unwrap(), "a84b4c76e66710@pc33.atlanta.example");
    assert_eq!(invite.cseq().unwrap().sequence, 314_159);
    let Contacts::List(contacts) = invite.contacts().unwrap() else { panic!() };
    assert_eq!(
        (contacts.len(), contacts[0].q_thousandths(), contacts[0].expires()),
        (2, Some(700), Some(3600))
    );
    assert!(contacts[1].uri.is_sips());
    assert_eq!(invite.routes().count(), 2);
    assert_eq!(invite.max_forwards().unwrap(), Some(70));
    assert!(invite.lists(HeaderName::Supported, "100REL"));
    assert_eq!(invite.get("x-unknown"), Some("kept   as it  is"));
    assert_eq!(invite.headers().nth(8).unwrap().name, Name::from("X-Unknown"));
    assert_eq!(invite.content_type().unwrap().unwrap().to_string(), "application/sdp");
    assert_eq!(invite.body(), b"v=0\n");
    assert_eq!(&invite.bytes()[..], INVITE.as_bytes());
}

#[test]
fn an_edit_touches_what_it_names_and_nothing_else() {
    let invite = request(INVITE);
    let forwarded = invite
        .edit()
        .uri("sip:bob@192.0.2.4")
        .prepend(HeaderName::Via, "SIP/2.0/UDP proxy;branch=z9hG4bKnew")
        .pop_first(HeaderName::Route)
        .set(HeaderName::MaxForwards, 69)
        .prepend(HeaderName::RecordRoute, "<sip:proxy;lr>")
        .append("X-New", "1")
        .finish()
        .unwrap();
    let expected = INVITE
        .replace("INVITE sip:bob@biloxi.example", "INVITE sip:bob@192.0.2.4")
        .replace("Via: SIP/2.0/UDP pc33", "Via: SIP/2.0/UDP proxy;branch=z9hG4bKnew\r\nVia: SIP/2.0/UDP pc33")
        .replace("Route: <sip:p1.example;lr>, <sip:p3.example;lr>", "Route: <sip:p3.example;lr>")
        .replace("Max-Forwards: 70", "Max-Forwards: 69")
        .replace("Record-Route: <sip:p2", "Record-Route: <sip:proxy;lr>\r\nRecord-Route: <sip:p2")
        .replace("is  \r\n", "is\r\n")
        .replace("Content-Length: 4\r\n", "Content-Length: 4\r\nX-New: 1\r\n");
    assert_eq!(String::from_utf8_lossy(forwarded.bytes()), expected);
    // The index made while writing is the one that parsing would make.
    let again = request(&expected);
    assert!(forwarded.headers().map(|h| (h.name_text, h.value, h.offset)).eq(again.headers().map(|h| (
        h.name_text,
        h.value,
        h.offset
    ))));
    assert_eq!(forwarded.vias().count(), 4);
}

#[test]
fn popping_the_last_value_removes_the_line() {
    let invite = request(INVITE);
    let edited = invite
        .edit()
        .pop_first(HeaderName::Route)
        .pop_first(HeaderName::Route)
        .pop_first(HeaderName::Via)
        .finish()
        .unwrap();
    assert!(!edited.has(HeaderName::Route));
    assert_eq!(edited.vias().count(), 2);
    assert_eq!(edited.via().unwrap().transport, ViaTransport::Known(Protocol::Tcp));
}

#[test]
fn a_response_copies_what_the_rfc_says() {
    let invite = request(INVITE);
    let ringing = invite
        .response(StatusCode::RINGING)
        .reason("Ding")
        .to_tag("abc")
        .header(HeaderName::Contact, "<sip:bob@b>")
        .finish()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(ringing.bytes()),
        "SIP/2.0 180 Ding\r\n\
        Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776asdhds;rport\r\n\
        v: SIP/2.0/TCP a.example:5070;branch=z9hG4bKx , SIP/2.0/TLS b.example;branch=z9hG4bKy\r\n\
        t: \"Bob, the \\\"Builder\\\"\" <sip:bob@biloxi.example>;tag=abc\r\n\
        From: Alice <sip:alice@atlanta.example>;tag=1928301774\r\n\
        Call-ID: a84b4c76e66710@pc33.atlanta.example\r\n\
        CSeq: 314159 INVITE\r\n\
        Record-Route: <sip:p2.example;lr>\r\n\
        Contact: <sip:bob@b>\r\n\
        Content-Length: 0\r\n\r\n"
    );
    let again = Response::parse(ringing.bytes().clone(), &ParseOptions::strict()).unwrap();
    assert!(again.headers().map(|h| (h.value, h.offset)).eq(ringing.headers().map(|h| (h.value, h.offset))));
    assert_eq!((ringing.reason(), ringing.status()), ("Ding", StatusCode::RINGING));
    assert_eq!(ringing.to().unwrap().tag(), Some("abc"));
    assert!(!invite.response(StatusCode::BUSY_HERE).finish().unwrap().has(HeaderName::RecordRoute));
}

#[test]
fn nothing_is_smuggled() {
    for evil in ["a\r\nEvil: 1", "a\nEvil: 1", "a\rb", "a\0b", "a\u{7f}"] {
        assert!(
            Request::builder(Method::Info, "sip:a@b").header(HeaderName::Subject, evil).finish().is_err(),
            "{evil:?}"
        );
        assert!(request(INVITE).edit().set("X-Y", evil).finish().is_err());
        assert!(request(INVITE).response(StatusCode::OK).reason(evil).finish().is_err());
        assert!(Request::builder(Method::Info, evil).finish().is_err());
    }
    for name in ["", "A B", "A:", "A\r\nB", "X "] {
        assert!(Request::builder(Method::Info, "sip:a@b").header(name, "1").finish().is_err(), "{name:?}");
    }
    // A folded value copied as text stays one line.
    let folded =
        Request::builder(Method::Info, "sip:a@b").header(HeaderName::Subject, "a\r\n b").finish().unwrap();
    assert_eq!(folded.get(HeaderName::Subject), Some("a b"));
}

#[test]
fn errors_say_what_and_where() {
    let error = |text: &str| {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &ParseOptions::default()).unwrap_err()
    };
    assert_eq!(error("INVITE sip:a@b SIP/7.0\r\n\r\n").problem, Problem::Version);
    assert_eq!(error("INVITE sip:a@b SIP/7.0\r\n\r\n").status(), StatusCode::VERSION_NOT_SUPPORTED);
    assert_eq!(
        error("INVITE sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n").to_string(),
        "a number of bytes expected at byte 40 in Content-Length"
    );
    assert_eq!(
        error("INVITE sip:a@b SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n").problem,
        Problem::BodyTooShort { declared: usize::MAX, present: 0 }
    );
    assert_eq!(
        error("INVITE sip:a@b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\nxx").problem,
        Problem::Repeated(HeaderName::ContentLength)
    );
    assert_eq!(error("INVITE sip:a@b SIP/2.0\r\nX: a\u{1}\r\n\r\n").problem, Problem::ControlCharacter);
    assert_eq!(error("INVITE sip:a@b SIP/2.0\r\nX: a\rb\r\n\r\n").problem, Problem::ControlCharacter);
    assert_eq!(error("INVITE sip:a@b SIP/2.0\r\nX: a\rb\n\r\n").problem, Problem::ControlCharacter);
    assert_eq!(error("\r\n\r\nINVITE").offset, 10);
    assert_eq!(error("SIP/2.0 4294967301 Better\r\n\r\n").problem, Problem::OutOfRange { most: 699 });
}

#[test]
fn latin_1_is_forgiven_and_said_so() {
    let mut bytes = b"OPTIONS sip:a@b SIP/2.0\r\nSubject: caf".to_vec();
    bytes.extend_from_slice(b"\xe9\r\nl: 2\r\n\r\n\xff\xfe");
    assert_eq!(
        Message::parse(bytes.clone().into(), &ParseOptions::strict()).unwrap_err().problem,
        Problem::NotUtf8
    );
    let message = Message::parse_lenient(bytes.into()).unwrap();
    assert_eq!(message.get("Subject"), Some("caf\u{e9}"));
    assert_eq!(message.body(), b"\xff\xfe");
    assert_eq!(message.forgiven().len(), 1);
    assert_eq!(message.attitude(), Attitude::Lenient);
}
