//! Signed identities: RFC 8224, RFC 8225; the tokens printed in RFCs and calls of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod shared;

use denwa_sip_core::{
    auth::{
        identity::{self, IdentityError, TrustStore},
        passport::{Claims, Identity, PassportError, PublicKey, Signer, Token, canonical_number},
    },
    message::{Method, Request, UriBuf},
};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

#[test]
fn every_printed_token_is_judged_as_it_should_be() {
    let Some(folder) = shared::folder("vectors/passport") else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let index: Value = serde_json::from_str(&read("index.json")).unwrap();
    let key = |name: &str| PublicKey::from_pem(&read(&format!("{name}-public.pem"))).unwrap();
    let (old, new) = (key("rfc8225-A.2"), key("rfc8946-A"));
    let mut seen = 0;
    for entry in index["tokens"].as_array().unwrap() {
        let (id, text) = (entry["id"].as_str().unwrap(), entry["token"].as_str().unwrap());
        let token = match Token::parse(text) {
            Ok(token) => token,
            Err(error) => {
                // `iat` is text in this one (erratum 5985).
                assert_eq!(
                    (id.starts_with("rfc8225-7.1"), error),
                    (true, PassportError::Claims("iat")),
                    "{id}"
                );
                seen += 1;
                continue;
            }
        };
        let signers: Vec<&str> =
            entry["verifies_with"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(token.verify(&old).is_ok(), signers.contains(&"rfc8225-A.2"), "{id}");
        assert_eq!(token.verify(&new).is_ok(), signers.contains(&"rfc8946-A"), "{id}");
        seen += 1;
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn rfc_8224_section_8_3_numbers_are_made_canonical() {
    for (text, number) in [
        ("+1-215-555-1212", Some("12155551212")),
        ("(03) 90.200", Some("0390200")),
        ("2525", Some("2525")),
        ("*67#", Some("*67#")),
        ("+12155551212;phone-context=x", Some("12155551212")),
        ("alice", None),
        ("1a", None),
        ("", None),
        ("#", None),
    ] {
        assert_eq!(canonical_number(text).as_deref(), number, "{text}");
    }
    let identity = |text: &str| Identity::of_uri(&UriBuf::parse(text).unwrap().as_uri());
    assert_eq!(identity("sip:+81-3-90@x;user=phone"), Identity::Number("81390".to_owned()));
    assert_eq!(identity("tel:+81-3-90"), Identity::Number("81390".to_owned()));
    assert_eq!(identity("sip:Alice@Example.COM:5060;x=y"), Identity::Uri("sip:Alice@example.com".to_owned()));
}

const URL: &str = "https://exchange.example/.well-known/denwa.pem";
const NOW: u64 = 1_795_330_800;

fn invite(from: &str, to: &str, identity: Option<&str>) -> Request {
    Request::builder(Method::Invite, to)
        .header("From", format!("<{from}>;tag=a"))
        .header("To", format!("<{to}>"))
        .header_if("Identity", identity)
        .finish()
        .unwrap()
}

fn signer() -> (Signer, TrustStore) {
    let signer = Signer::from_pkcs8(&Signer::generate().unwrap(), URL).unwrap();
    let mut store = TrustStore::new();
    store.trust(URL, signer.public_key().unwrap());
    (signer, store)
}

#[test]
fn an_exchange_signs_and_its_neighbour_believes() {
    let (signer, store) = signer();
    let uri = |text: &str| UriBuf::parse(text).unwrap();
    let (from, to) = ("sip:0390200@p.example", "sip:2525@r.example");
    let value = identity::sign(&signer, &uri(from).as_uri(), &uri(to).as_uri(), NOW).unwrap();
    let judge = |from: &str, to: &str, now: u64, value: Option<&str>| {
        identity::verify(&invite(from, to, value), &store, now, Duration::from_secs(60))
    };
    let verified = judge(from, to, NOW + 60, Some(&value)).unwrap();
    assert_eq!((verified.caller, verified.url.as_str()), (Identity::Number("0390200".to_owned()), URL));
    assert_eq!(judge(from, to, NOW, None), Err(IdentityError::Missing));
    assert_eq!(
        judge(from, to, NOW + 61, Some(&value)),
        Err(IdentityError::Stale { by: Duration::from_secs(61) })
    );
    assert_eq!(
        judge(from, to, NOW - 61, Some(&value)),
        Err(IdentityError::Stale { by: Duration::from_secs(61) })
    );
    assert_eq!(judge("sip:666@p.example", to, NOW, Some(&value)), Err(IdentityError::Mismatch("caller")));
    assert_eq!(
        judge(from, "sip:1@r.example", NOW, Some(&value)),
        Err(IdentityError::Mismatch("called number"))
    );
    let elsewhere = value.replace(URL, "https://evil.example/key");
    assert_eq!(judge(from, to, NOW, Some(&elsewhere)), Err(IdentityError::BadInfo));
    // One character of the statement changed.
    let mut bent = value.into_bytes();
    let at = bent.iter().position(|byte| *byte == b'.').unwrap() + 5;
    bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
    assert!(matches!(
        judge(from, to, NOW, Some(core::str::from_utf8(&bent).unwrap())),
        Err(IdentityError::Invalid(_))
    ));
}

#[test]
fn a_key_nobody_trusts_is_not_fetched_and_not_believed() {
    let (signer, _) = signer();
    let uri = UriBuf::parse("sip:1@a").unwrap();
    let value = identity::sign(&signer, &uri.as_uri(), &uri.as_uri(), NOW).unwrap();
    let judged = identity::verify(
        &invite("sip:1@a", "sip:1@a", Some(&value)),
        &TrustStore::new(),
        NOW,
        Duration::from_secs(60),
    );
    assert_eq!(judged, Err(IdentityError::UnknownKey(URL.to_owned())));
    assert_eq!(judged.unwrap_err().status().code(), 437);
}

#[test]
fn the_compact_form_is_rebuilt_from_the_request() {
    let (signer, store) = signer();
    let claims = Claims {
        orig: Identity::Number("1".to_owned()),
        dest: vec![Identity::Number("2".to_owned())],
        issued_at: NOW,
        extension: None,
        more: BTreeMap::new(),
    };
    let token = signer.sign(&claims).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let value = format!("..{signature};info=<{URL}>;alg=ES256");
    let request = Request::builder(Method::Invite, "sip:2@b")
        .header("From", "<sip:1@a>;tag=a")
        .header("To", "<sip:2@b>")
        .header("Date", "Sun, 22 Nov 2026 07:00:00 GMT")
        .header("Identity", value)
        .finish()
        .unwrap();
    assert!(identity::verify(&request, &store, NOW, Duration::from_secs(60)).is_ok());
}

/// FIELD.md, "Parser reads past the end": Asterisk GHSA-mrq5, an Identity header without a semicolon.
#[test]
fn ghsa_mrq5_an_identity_without_parameters() {
    let (_, store) = signer();
    for value in
        ["", "a", "a.b.c", "..", "...", ";", "a;info", "a;info=<", "..;info=<x>", "..!;info=<x>;alg=RS256"]
    {
        let judged = identity::verify(
            &invite("sip:1@a", "sip:2@b", Some(value)),
            &store,
            NOW,
            Duration::from_secs(60),
        );
        assert!(judged.is_err(), "{value}");
    }
}
