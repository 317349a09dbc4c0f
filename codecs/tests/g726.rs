//! G.726 against the ITU's sequences: reset and homing, normal and overload, both laws and across them, all rates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "g726")]

mod shared;

use denwa_codecs::g726::{self, Companding, Packing, Rate, Transcoder};
use denwa_codecs::{DecodeError, Decoder, Encoder};

const RATES: [(Rate, &str); 4] =
    [(Rate::Kbit16, "16"), (Rate::Kbit24, "24"), (Rate::Kbit32, "32"), (Rate::Kbit40, "40")];

fn words(name: &str) -> Option<Vec<u8>> {
    let file = shared::folder("codec-vectors/stl/g726")?.join(name);
    Some(shared::samples(&file).into_iter().map(|word| word as u8).collect())
}

/// The sequence that brings any state home; what follows it in the files is left over from how they were made.
fn homing_words(name: &str) -> Vec<u8> {
    words(name).unwrap().into_iter().take(3_496).collect()
}

fn compare(ours: &[u8], name: &str) {
    assert_eq!(shared::first_difference(ours, &words(name).unwrap()), None, "{name}");
}

/// Encodes `input` after `start`, and decodes what `decoded` names after the codes that brought the coder there.
fn sequences(kind: &str, homing: bool) {
    let input = if kind.ends_with('n') { "nrm" } else { "ovr" };
    for (law, letter, ending) in [(Companding::Mu, "m", "fm"), (Companding::A, "a", "fa")] {
        let Some(samples) = words(&format!("{input}.{letter}")) else { return };
        for (rate, digits) in RATES {
            let mut encoder = Transcoder::new(rate, law);
            let mut decoder = Transcoder::new(rate, law);
            let other = if law == Companding::Mu { Companding::A } else { Companding::Mu };
            let mut across = Transcoder::new(rate, other);
            if homing {
                homing_words(&format!("pcm_init.{letter}")).iter().for_each(|s| _ = encoder.encode(*s));
                for code in homing_words(&format!("i_ini_{digits}.{letter}")) {
                    decoder.decode(code);
                }
                // The decoder across the laws was brought home by its own law's codes, but in one file by a reset.
                let other = if letter == "m" { "a" } else { "m" };
                if (digits, letter) != ("16", "m") || kind != "hn" {
                    homing_words(&format!("i_ini_{digits}.{other}"))
                        .iter()
                        .for_each(|c| _ = across.decode(*c));
                }
            }
            let codes: Vec<u8> = samples.iter().map(|sample| encoder.encode(*sample)).collect();
            compare(&codes, &format!("{kind}{digits}{ending}.i"));
            let decoded: Vec<u8> = codes.iter().map(|code| decoder.decode(*code)).collect();
            compare(&decoded, &format!("{kind}{digits}{ending}.o"));
            let crossed: Vec<u8> = codes.iter().map(|code| across.decode(*code)).collect();
            compare(
                &crossed,
                &format!("{kind}{digits}{}.o", if law == Companding::Mu { "fc" } else { "fx" }),
            );
        }
    }
}

#[test]
fn reset_normal() {
    sequences("rn", false);
}

#[test]
fn reset_overload() {
    sequences("rv", false);
}

#[test]
fn homing_normal() {
    sequences("hn", true);
}

#[test]
fn homing_overload() {
    sequences("hv", true);
}

/// Codes no encoder makes.
fn any_codes(kind: &str, homing: bool) {
    for (law, letter, ending) in [(Companding::Mu, "m", "fm"), (Companding::A, "a", "fa")] {
        for (rate, digits) in RATES {
            let Some(codes) = words(&format!("i{digits}")) else { return };
            let mut decoder = Transcoder::new(rate, law);
            if homing {
                homing_words(&format!("i_ini_{digits}.{letter}")).iter().for_each(|c| _ = decoder.decode(*c));
            }
            let decoded: Vec<u8> = codes.iter().map(|code| decoder.decode(*code)).collect();
            compare(&decoded, &format!("{kind}{digits}{ending}.o"));
        }
    }
}

#[test]
fn reset_any_codes() {
    any_codes("ri", false);
}

#[test]
fn homing_any_codes() {
    any_codes("hi", true);
}

#[test]
fn both_packings_carry_the_same_codes() {
    let samples: Vec<i16> = (0..160).map(|n: i32| ((n * n * 37) % 8_000 - 4_000) as i16).collect();
    for (rate, _) in RATES {
        let mut decoded = Vec::new();
        for packing in [Packing::Rtp, Packing::Aal2] {
            let mut payload = [0; 100];
            let bytes = g726::Encoder::new(rate, packing).encode(&samples, &mut payload).unwrap();
            assert_eq!(bytes, 20 * rate.bits() as usize);
            let mut out = vec![0; 160];
            assert_eq!(g726::Decoder::new(rate, packing).decode(&payload[..bytes], &mut out), Ok(160));
            decoded.push(out);
        }
        assert_eq!(decoded[0], decoded[1]);
    }
    // RFC 3551 §4.5.4: the first code is in the least significant bits.
    let mut payload = [0; 1];
    g726::Encoder::new(Rate::Kbit32, Packing::Rtp).encode(&[0, 32_000], &mut payload).unwrap();
    let mut other = [0; 1];
    g726::Encoder::new(Rate::Kbit32, Packing::Aal2).encode(&[0, 32_000], &mut other).unwrap();
    assert_eq!(payload[0], other[0].rotate_left(4));
    assert_eq!(payload[0] & 0x0f, 0x0f);
}

#[test]
fn a_payload_of_the_wrong_length_is_concealed() {
    let samples: Vec<i16> = (0..160).map(|n: i32| ((n * n * 37) % 8_000 - 4_000) as i16).collect();
    for rate in [Rate::Kbit24, Rate::Kbit40] {
        let mut payload = [0; 100];
        let bytes = g726::Encoder::new(rate, Packing::Rtp).encode(&samples, &mut payload).unwrap();
        let mut decoder = g726::Decoder::new(rate, Packing::Rtp);
        let mut out = [0; 200];
        decoder.decode(&payload[..bytes], &mut out).unwrap();
        let mut lost = decoder.clone();
        let error = decoder.decode(&payload[..bytes - 1], &mut out).unwrap_err();
        assert!(matches!(error, DecodeError::PayloadLength { concealed: 160, .. }), "{error}");
        let mut concealed = [0; 160];
        assert_eq!(lost.conceal(&mut concealed), 160);
        assert_eq!(out[..160], concealed);
        // And both go on alike.
        let mut further = ([0; 160], [0; 160]);
        decoder.decode(&payload[..bytes], &mut further.0).unwrap();
        lost.decode(&payload[..bytes], &mut further.1).unwrap();
        assert_eq!(further.0, further.1);
    }
}
