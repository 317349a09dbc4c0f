//! G.711 against the ITU software tools' sweep.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "g711")]

mod shared;

use denwa_codecs::g711::{self, Law};
use denwa_codecs::{Decoder, Encoder};

/// The sweep's input, the codes the ITU tool made of it (one a word), and the samples it made of those.
fn sweep(encoded: &str, decoded: &str) -> Option<(Vec<i16>, Vec<u8>, Vec<i16>)> {
    let folder = shared::folder("codec-vectors/stl/g711")?;
    let codes = shared::samples(&folder.join(encoded)).into_iter().map(|code| code as u8).collect();
    Some((shared::samples(&folder.join("sweep.src")), codes, shared::samples(&folder.join(decoded))))
}

fn check(law: Law, encoded: &str, decoded: &str) {
    let Some((source, codes, samples)) = sweep(encoded, decoded) else { return };
    assert_eq!(source.len(), 65_536);
    let mut payload = vec![0; source.len()];
    assert_eq!(g711::Encoder::new(law).encode(&source, &mut payload), Ok(source.len()));
    assert_eq!(payload, codes);
    let mut back = vec![0; source.len()];
    assert_eq!(g711::Decoder::new(law).decode(&payload, &mut back), Ok(source.len()));
    assert_eq!(back, samples);
}

#[test]
fn mu_law_is_the_itu_tools_mu_law() {
    check(Law::Mu, "sweep-r.u", "sweep-r.u-u");
}

#[test]
fn a_law_is_the_itu_tools_a_law() {
    check(Law::A, "sweep-r.a", "sweep-r.a-a");
}

#[test]
fn encoding_what_was_decoded_gives_the_code_again() {
    for code in 0..=255u8 {
        // Mu-law has two zeros, and the negative one is not made by any encoder.
        let expected = if code == 0x7f { 0xff } else { code };
        assert_eq!(Law::Mu.encode(Law::Mu.decode(code)), expected);
        assert_eq!(Law::A.encode(Law::A.decode(code)), code);
    }
}
