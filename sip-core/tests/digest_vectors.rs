//! The digests printed in RFCs 2617 and 7616, and those derived for SIP, recomputed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sip_core::auth::{
    algorithm::{Algorithm, HexDigest},
    digest::{DigestInput, Protection, user_hash},
    secret::Secret,
};
use serde_json::Value;

mod shared;

#[test]
fn every_vector_is_met() {
    let Some(folder) = shared::folder("vectors/digest") else { return };
    let index: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let mut met = 0;
    for vector in index["vectors"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let Some(algorithm) = Algorithm::from_token(text("algorithm")) else {
            assert_eq!(
                text("id"),
                "rfc7616-3.9.2-as-printed",
                "only the misprint has an algorithm of its own"
            );
            continue;
        };
        let protection = match text("qop") {
            "" => Protection::Legacy,
            "auth" => Protection::Request,
            "auth-int" => Protection::RequestAndBody,
            other => panic!("{other}"),
        };
        if protection == Protection::RequestAndBody && vector["entity_body"].is_null() {
            continue; // The draft gives only the body's hash.
        }
        let ha1 = Secret::password(text("password"))
            .ha1(algorithm.hash(), text("username"), text("realm"))
            .unwrap();
        let input = DigestInput {
            algorithm,
            nonce: text("nonce"),
            client_nonce: if text("cnonce").is_empty() { "0a4f113b" } else { text("cnonce") },
            nonce_count: text("nc"),
            protection,
            method: text("method"),
            uri: text("uri"),
            body: text("entity_body").as_bytes(),
        };
        assert_eq!(input.response(&ha1).as_str(), text("response"), "{}", text("id"));
        if !text("userhash").is_empty() {
            let hash = user_hash(algorithm, text("username"), text("realm"));
            assert_eq!(hash, HexDigest::parse(text("userhash")).unwrap());
        }
        met += 1;
    }
    assert_eq!(met, 19);
}
