//! The test vectors of RFC 5769 and RFC 8489 appendix B.1: read, verified, and written again byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_ice::stun::attribute::{
    IceControlled, Nonce, Priority, Realm, Software, UserHash, Username, XorMappedAddress,
};
use denwa_ice::stun::integrity::userhash;
use denwa_ice::stun::{
    AttributeKind, Class, IntegrityFailure, IntegrityKey, Message, Method, PasswordAlgorithm, Writer, is_stun,
};
use std::path::PathBuf;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// A message of `../shared/vectors/stun`; `None` when that is not there.
fn vector(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("DENWA_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let path = root.join("vectors/stun").join(name);
    let found = std::fs::read(&path).ok();
    if found.is_none() {
        let required = std::env::var_os("DENWA_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{} is absent", path.display());
        println!("{} is absent: not tested", path.display());
    }
    found
}

fn kinds(message: &Message<'_>) -> Vec<AttributeKind> {
    message.attributes().map(|(kind, _)| kind).collect()
}

/// Changing any byte must break the integrity, the fingerprint or the message.
fn every_byte_counts(bytes: &[u8], key: &IntegrityKey, end: usize) {
    for place in 0..end {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        let believed = Message::parse(&changed).is_ok_and(|message| message.verify(key).is_ok());
        assert!(!believed, "byte {place}");
    }
}

#[test]
fn rfc5769_2_1_request() {
    let Some(bytes) = vector("rfc5769-2.1-request.bin") else { return };
    assert!(is_stun(&bytes));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.get::<Software>().unwrap(), Some(Software("STUN test client")));
    assert_eq!(message.get::<Priority>().unwrap(), Some(Priority(0x6E00_01FF)));
    assert_eq!(message.get::<IceControlled>().unwrap(), Some(IceControlled(0x932F_F9B1_5126_3B36)));
    assert_eq!(message.get::<Username>().unwrap(), Some(Username("evtj:h6vY")));
    assert_eq!(message.fingerprint(), Some(true));
    let key = IntegrityKey::short_term(PASSWORD);
    message.verify(&key).unwrap();
    assert_eq!(message.verify(&IntegrityKey::short_term("x")), Err(IntegrityFailure::Wrong));
    assert_eq!(message.verify_sha256(&key), Err(IntegrityFailure::Missing));
    every_byte_counts(&bytes, &key, 100);
}

#[test]
fn rfc5769_2_2_and_2_3_responses() {
    for (name, address) in [
        ("rfc5769-2.2-response-ipv4.bin", "192.0.2.1:32853"),
        ("rfc5769-2.3-response-ipv6.bin", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let Some(bytes) = vector(name) else { return };
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, Method::BINDING));
        let mapped = message.get::<XorMappedAddress>().unwrap().unwrap();
        assert_eq!(mapped.0, address.parse().unwrap());
        assert_eq!(message.fingerprint(), Some(true));
        message.verify(&IntegrityKey::short_term(PASSWORD)).unwrap();
        assert_eq!(kinds(&message), [AttributeKind::SOFTWARE, AttributeKind::XOR_MAPPED_ADDRESS]);
    }
}

#[test]
fn rfc5769_2_4_request_with_long_term_credentials() {
    let Some(bytes) = vector("rfc5769-2.4-request-long-term.bin") else { return };
    let message = Message::parse(&bytes).unwrap();
    let (user, realm) = ("\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}", "example.org");
    assert_eq!(message.get::<Username>().unwrap(), Some(Username(user)));
    assert_eq!(message.get::<Realm>().unwrap(), Some(Realm(realm)));
    let key = IntegrityKey::long_term(PasswordAlgorithm::Md5, user, realm, "TheMatrIX");
    message.verify(&key).unwrap();
    every_byte_counts(&bytes, &key, 116);

    // Padded with zeros, as we do: our writer gives the same bytes.
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, message.id());
    writer.put(&Username(user));
    writer.put(&message.get::<Nonce>().unwrap().unwrap());
    writer.put(&Realm(realm));
    writer.integrity(&key);
    let length = writer.finish().unwrap();
    assert_eq!(buffer[..length], bytes);
}

#[test]
fn rfc8489_b_1_as_corrected_by_erratum_6268() {
    let Some(bytes) = vector("rfc8489-B.1-erratum-6268.bin") else { return };
    let message = Message::parse(&bytes).unwrap();
    let (user, realm) = ("\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}", "example.org");
    let key = IntegrityKey::long_term(PasswordAlgorithm::Sha256, user, realm, "TheMatrIX");
    message.verify(&key).unwrap();
    assert_eq!(message.get::<UserHash>().unwrap(), Some(UserHash(userhash(user, realm))));
    every_byte_counts(&bytes, &key, bytes.len());

    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, message.class(), message.method(), message.id());
    message.attributes().for_each(|(kind, value)| writer.attribute(kind, value));
    writer.integrity_sha256(&key);
    let length = writer.finish().unwrap();
    assert_eq!(buffer[..length], bytes);
}

#[test]
fn rfc8489_b_1_as_printed_has_a_wrong_length_and_is_refused() {
    let Some(bytes) = vector("rfc8489-B.1-as-printed.bin") else { return };
    assert_eq!(Message::parse(&bytes).unwrap_err().offset, 2);
}
