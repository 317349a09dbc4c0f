use super::*;

fn strict(text: &str) -> Result<Uri<'_>, ParseError> {
    Uri::parse(text, Attitude::Strict)
}

#[test]
fn all_parts_are_found() {
    let uri =
        strict("sips:alice;x=1:pass%20word@[2001:db8::1]:5061;transport=tls;lr?Subject=hi&To=a%40b").unwrap();
    assert_eq!(uri.scheme(), Scheme::Sips);
    assert_eq!(uri.user(), Some("alice;x=1"));
    assert_eq!(uri.password(), Some("pass%20word"));
    assert_eq!(uri.host(), Some(Host::V6("2001:db8::1".parse().unwrap())));
    assert_eq!(uri.port(), Some(5061));
    assert_eq!(uri.params().get("transport"), Some("tls"));
    assert!(uri.params().has("lr"));
    assert_eq!(uri.headers().collect::<Vec<_>>(), [("Subject", "hi"), ("To", "a%40b")]);
}

#[test]
fn a_host_alone_is_enough() {
    let uri = strict("sip:example.com").unwrap();
    assert_eq!((uri.user(), uri.port(), uri.params().is_empty()), (None, None, true));
    assert_eq!(uri.host(), Some(Host::Name("example.com")));
    assert_eq!(strict("sip:192.0.2.1").unwrap().host(), Some(Host::V4(Ipv4Addr::new(192, 0, 2, 1))));
}

#[test]
fn what_no_grammar_allows_is_refused_by_both() {
    for text in
        ["", "sip", "sip:a b@c", "sip:a@b>c", ":a", "1sip:a", "sip:a@b:70000", "sip:a@[::1", "sip:a@b:x"]
    {
        assert!(Uri::parse(text, Attitude::Strict).is_err(), "{text}");
        assert!(Uri::parse(text, Attitude::Lenient).is_err(), "{text}");
    }
}

#[test]
fn liberties_are_refused_when_strict() {
    for text in [
        "sip:",
        "sip:@host",
        "sip:a@b@c",
        "sip:a@host_name",
        "sip:a@::1",
        "sip:a@b;;c",
        "sip:a%zz@b",
        "sip:a@b:",
        "sip:\u{fc}ber@b",
        "sip:a@-b",
        "tel:",
        "tel:abcxyz",
    ] {
        assert!(Uri::parse(text, Attitude::Strict).is_err(), "{text}");
        assert!(Uri::parse(text, Attitude::Lenient).is_ok(), "{text}");
    }
}

#[test]
fn telephone_numbers() {
    let uri = strict("tel:+81-3-1234-5678;ext=5").unwrap();
    assert_eq!(uri.user(), Some("+81-3-1234-5678"));
    assert_eq!(uri.params().get("ext"), Some("5"));
    assert_eq!(uri.host(), None);
    assert_eq!(
        strict("tel:7042;phone-context=example.com").unwrap().params().get("phone-context"),
        Some("example.com")
    );
}

#[test]
fn other_schemes_are_kept() {
    let uri = strict("nobodyKnowsThisScheme:totallyopaquecontent").unwrap();
    assert_eq!((uri.scheme(), uri.opaque()), (Scheme::Other, "totallyopaquecontent"));
    assert_eq!(strict("urn:service:sos").unwrap().scheme_str(), "urn");
}

#[test]
fn building_escapes() {
    let uri = UriBuf::sip("a b@c", "2001:db8::1")
        .port(5070)
        .param("transport", "tcp")
        .header("Replaces", "1@x;to-tag=2")
        .build();
    assert_eq!(uri.as_str(), "sip:a%20b%40c@[2001:db8::1]:5070;transport=tcp?Replaces=1%40x%3Bto-tag%3D2");
    assert!(strict(uri.as_str()).is_ok());
    assert_eq!(uri.as_uri().user_unescaped().unwrap(), "a b@c");
    assert_eq!(UriBuf::sip("", "\r\n evil").build().as_str(), "sip:evil");
    assert_eq!(UriBuf::sip("", "").build().as_uri().host_str(), "");
}

#[test]
fn params_are_replaced_in_place() {
    let uri = UriBuf::parse("sip:a@b;transport=udp;lr?x=1").unwrap();
    assert_eq!(uri.with_param("transport", Some("tcp")).as_str(), "sip:a@b;lr;transport=tcp?x=1");
    assert_eq!(uri.without_param("LR").as_str(), "sip:a@b;transport=udp?x=1");
    assert_eq!(
        UriBuf::parse("sip:a@b;method=INVITE;x=y?Subject=z").unwrap().as_uri().for_request().as_str(),
        "sip:a@b;x=y"
    );
}
