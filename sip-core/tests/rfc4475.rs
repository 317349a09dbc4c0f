//! The 49 messages of RFC 4475, one test each, named as there: valid ones are accepted and can be written anew with the
//! same meaning, invalid ones are refused with the status that the RFC asks for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod shared;
#[path = "common/torture.rs"]
mod torture;

use bytes::Bytes;
use denwa_sip_core::{
    Attitude, HeaderName, Message, Method, Problem, Protocol,
    header::{AuthValue, ViaTransport},
    message::Scheme,
    transaction::TransactionEvent,
};
use torture::{dropped, invalid, served, strictly, understood, valid};

macro_rules! messages {
    ($($name:ident => $check:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let Some(folder) = shared::folder("vectors/rfc4475-sip-torture/messages") else { return };
                let bytes = std::fs::read(folder.join(concat!(stringify!($name), ".dat"))).unwrap();
                let check: fn(&Bytes) = $check;
                check(&Bytes::from(bytes));
            }
        )*

        #[test]
        fn every_message_has_a_test() {
            let names = [$(stringify!($name),)*];
            assert_eq!(names.len(), 49);
            let Some(folder) = shared::folder("vectors/rfc4475-sip-torture/messages") else { return };
            for file in std::fs::read_dir(folder).unwrap() {
                let file = file.unwrap().path();
                assert!(names.contains(&file.file_stem().unwrap().to_str().unwrap()), "{}", file.display());
            }
        }
    };
}

messages! {
    // 3.1.1: valid messages
    wsinv => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.to().unwrap().tag(), Some("1918181833n"));
        assert_eq!(message.from().unwrap().display_name.unwrap().text(), "J Rosenberg \\\"");
        assert_eq!(message.cseq().unwrap().sequence, 9);
        assert_eq!(message.max_forwards().unwrap(), Some(68));
        assert_eq!(message.vias().count(), 3);
        assert_eq!(message.get(HeaderName::Subject), Some(""));
        assert_eq!(message.contact().unwrap().unwrap().params.unquoted("newparam").as_deref(), Some("newvalue"));
        assert!(message.body().starts_with(b"v=0"));
    };
    intmeth => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!(request.method(), &Method::Other("!interesting-Method0123456789_*+`.%indeed'~".into()));
        assert_eq!(request.uri().unwrap().user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(request.to().unwrap().display_name.unwrap().text(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    };
    esc01 => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!(request.uri().unwrap().user_unescaped().unwrap(), "sips:user@example.com");
        let contact = request.contact().unwrap().unwrap();
        assert_eq!(contact.uri.user_unescaped().unwrap(), "caller");
        assert_eq!(contact.uri.params().iter().count(), 2);
    };
    escnull => |bytes| {
        let message = valid(bytes);
        let users: Vec<_> = message.list_as::<denwa_sip_core::header::NameAddr<'_>>(HeaderName::Contact)
            .map(|contact| contact.unwrap().uri.user_unescaped().unwrap().into_owned())
            .collect();
        assert_eq!(users, ["\0", "\0\0"]);
    };
    esc02 => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!(request.method(), &Method::Other("RE%47IST%45R".into()));
        assert_eq!(request.from().unwrap().display_name.unwrap().text(), "%Z%45");
        assert_eq!(request.list_as::<denwa_sip_core::header::NameAddr<'_>>(HeaderName::Contact).count(), 2);
    };
    lwsdisp => |bytes| {
        assert_eq!(valid(bytes).from().unwrap().display_name.unwrap().text(), "caller");
    };
    longreq => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.vias().count(), 34);
        assert!(message.call_id().unwrap().len() > 100);
    };
    dblreq => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!((request.method(), request.body()), (&Method::Register, &b""[..]));
        assert!(!request.bytes().windows(6).any(|window| window == b"INVITE"));
    };
    semiuri => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!(request.uri().unwrap().user_unescaped().unwrap(), "user;par=u@example.net");
        assert!(request.uri().unwrap().params().is_empty());
    };
    transports => |bytes| {
        let message = valid(bytes);
        let transports: Vec<_> = message.vias().map(|via| via.unwrap().transport).collect();
        assert_eq!(transports, [
            ViaTransport::Known(Protocol::Udp), ViaTransport::Other("SCTP"), ViaTransport::Known(Protocol::Tls),
            ViaTransport::Other("UNKNOWN"), ViaTransport::Known(Protocol::Tcp),
        ]);
    };
    mpart01 => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.body().len(), 553);
        let parts = message.parts().unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].body(), b"Hello");
        assert!(parts[1].body().contains(&0));
        assert_eq!(parts[1].content_type().unwrap().unwrap().subtype, "octet-stream");
    };
    unreason => |bytes| {
        let Message::Response(response) = valid(bytes) else { panic!() };
        assert!(response.reason().starts_with("= 2**3 * 5**2 ") && !response.reason().is_ascii());
    };
    noreason => |bytes| {
        let Message::Response(response) = valid(bytes) else { panic!() };
        assert_eq!((response.status().code(), response.reason()), (100, ""));
    };

    // 3.1.2: invalid messages
    badinv01 => |bytes| invalid(bytes, 400);
    clerr => |bytes| {
        invalid(bytes, 400);
        let problem = strictly(bytes).unwrap_err().problem;
        assert!(matches!(problem, Problem::BodyTooShort { declared: 9999, .. }));
    };
    ncl => |bytes| invalid(bytes, 400);
    scalar02 => |bytes| invalid(bytes, 400);
    scalarlg => |bytes| dropped(bytes);
    quotbal => |bytes| invalid(bytes, 400);
    ltgtruri => |bytes| {
        invalid(bytes, 400);
        let Message::Request(request) = understood(bytes) else { panic!() };
        assert_eq!(request.uri_text(), "sip:user@example.com");
    };
    lwsruri => |bytes| invalid(bytes, 400);
    lwsstart => |bytes| {
        invalid(bytes, 400);
        understood(bytes);
    };
    trws => |bytes| {
        invalid(bytes, 400);
        understood(bytes);
    };
    escruri => |bytes| {
        invalid(bytes, 400);
        let Message::Request(request) = understood(bytes) else { panic!() };
        assert_eq!(request.uri().unwrap().for_request().as_str(), "sip:user@example.com");
    };
    baddate => |bytes| {
        invalid(bytes, 400);
        understood(bytes);
    };
    regbadct => |bytes| {
        invalid(bytes, 400);
        understood(bytes);
    };
    badaspec => |bytes| {
        invalid(bytes, 400);
        assert_eq!(understood(bytes).to().unwrap().uri.as_str(), "sip:t.watson@example.org");
    };
    baddn => |bytes| {
        invalid(bytes, 400);
        assert_eq!(understood(bytes).from().unwrap().display_name.unwrap().text(), "Bell, Alexander");
    };
    badvers => |bytes| {
        invalid(bytes, 505);
        assert_eq!(served(bytes, Attitude::Lenient), (Some(505), false));
    };
    mismatch01 => |bytes| invalid(bytes, 400);
    mismatch02 => |bytes| invalid(bytes, 400);
    bigcode => |bytes| dropped(bytes);

    // 3.2: transaction layer
    badbranch => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.via().unwrap().rfc3261_branch(), None);
        // It falls back to the rules of RFC 2543, so a repeat is absorbed all the same.
        let mut b = torture::layer(Attitude::Lenient);
        b.datagram(common::A, bytes);
        b.datagram(common::A, bytes);
        assert_eq!(b.events.len(), 1);
    };

    // 3.3: application layer
    insuf => |bytes| {
        assert!(matches!(strictly(bytes).unwrap_err().problem, Problem::Missing(_)));
        let mut b = torture::layer(Attitude::Lenient);
        b.datagram(common::A, bytes);
        // Without From, To and Call-ID there is nothing to answer with; it is told and dropped.
        assert!(matches!(b.event(), TransactionEvent::Refused { answered: None, .. }));
        b.no_more();
    };
    unkscm => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!((request.uri().unwrap().scheme(), request.uri().unwrap().is_sip()), (Scheme::Other, false));
    };
    novelsc => |bytes| {
        let Message::Request(request) = valid(bytes) else { panic!() };
        assert_eq!(request.uri().unwrap().scheme_str(), "soap.beep");
    };
    unksm2 => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.to().unwrap().uri.scheme_str(), "isbn");
        assert_eq!(message.from().unwrap().uri.scheme_str(), "http");
        assert_eq!(message.contact().unwrap().unwrap().uri.scheme_str(), "name");
    };
    bext01 => |bytes| {
        let message = valid(bytes);
        assert_eq!(message.tokens(HeaderName::Require).collect::<Vec<_>>(), ["nothingSupportsThis", "nothingSupportsThisEither"]);
        assert_eq!(message.tokens(HeaderName::ProxyRequire).count(), 2);
    };
    invut => |bytes| {
        assert!(valid(bytes).content_type().unwrap().unwrap().is("application/unknownformat"));
    };
    regaut01 => |bytes| {
        let message = valid(bytes);
        let credentials: AuthValue<'_> = message.typed().unwrap().unwrap();
        assert_eq!(credentials.scheme, "NoOneKnowsThisScheme");
    };
    multi01 => |bytes| {
        assert!(matches!(strictly(bytes).unwrap_err().problem, Problem::Repeated(_)));
        assert_eq!(served(bytes, Attitude::Lenient), (Some(400), false));
    };
    mcl01 => |bytes| {
        assert_eq!(strictly(bytes).unwrap_err().problem, Problem::Repeated(HeaderName::ContentLength));
        assert_eq!(served(bytes, Attitude::Lenient), (Some(400), false));
    };
    bcast => |bytes| {
        valid(bytes);
        // The top Via is none of ours.
        assert_eq!(served(bytes, Attitude::Lenient), (None, false));
    };
    zeromf => |bytes| {
        assert_eq!(valid(bytes).max_forwards().unwrap(), Some(0));
        assert_eq!(served(bytes, Attitude::Lenient), (None, true));
    };
    cparam01 => |bytes| {
        let message = valid(bytes);
        let contact = message.contact().unwrap().unwrap();
        assert!(contact.params.has("unknownparam") && contact.uri.params().is_empty());
    };
    cparam02 => |bytes| {
        let message = valid(bytes);
        let contact = message.contact().unwrap().unwrap();
        assert!(!contact.params.has("unknownparam") && contact.uri.params().has("unknownparam"));
    };
    regescrt => |bytes| {
        let message = valid(bytes);
        let contact = message.contact().unwrap().unwrap();
        assert_eq!(contact.uri.headers().collect::<Vec<_>>(), [("Route", "%3Csip:sip.example.com%3E")]);
    };
    sdp01 => |bytes| {
        assert!(valid(bytes).typed_as::<denwa_sip_core::header::MediaType<'_>>(HeaderName::Accept).unwrap().unwrap().is("text/nobodyKnowsThis"));
    };

    // 3.4: backward compatibility
    inv2543 => |bytes| {
        let message = valid(bytes);
        assert_eq!((message.via().unwrap().branch(), message.from().unwrap().tag()), (None, None));
        assert_eq!(message.body().len(), 105);
        assert_eq!(served(bytes, Attitude::Lenient), (None, true));
    };
}
