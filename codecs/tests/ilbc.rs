//! iLBC against the recordings of RFC 3951's own reference.
//!
//! The codec is defined in floating point, so equality is not to be had: another compiler's reference decodes within
//! ±3 of these samples and encodes some 0.5 to 1 % of the bytes otherwise. That is the measure here too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "ilbc")]

mod shared;

use denwa_codecs::ilbc::{self, Mode};
use denwa_codecs::{DecodeError, Decoder, Encoder};

const MODES: [(Mode, &str); 2] = [(Mode::Ms20, "20ms"), (Mode::Ms30, "30ms")];

/// Signal to noise in dB, and the largest difference.
fn compare(ours: &[i16], theirs: &[i16]) -> (f64, i32) {
    assert_eq!(ours.len(), theirs.len());
    let (mut signal, mut noise, mut largest) = (0.0, 1e-9, 0);
    for (ours, theirs) in ours.iter().zip(theirs) {
        let difference = i32::from(*ours) - i32::from(*theirs);
        largest = largest.max(difference.abs());
        signal += f64::from(*theirs) * f64::from(*theirs);
        noise += f64::from(difference) * f64::from(difference);
    }
    (10.0 * (signal / noise).log10(), largest)
}

fn decode(mode: Mode, bits: &[u8], lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let size = mode.frame_samples();
    let mut decoder = ilbc::Decoder::new(mode);
    let mut samples = vec![0; bits.len() / mode.frame_bytes() * size];
    for (index, (payload, out)) in bits.chunks(mode.frame_bytes()).zip(samples.chunks_mut(size)).enumerate() {
        if lost(index) {
            assert_eq!(decoder.conceal(out), size);
        } else {
            assert_eq!(decoder.decode(payload, out), Ok(size));
        }
    }
    samples
}

#[test]
fn the_references_bits_decode_to_its_samples() {
    let Some(folder) = shared::folder("codec-vectors/ilbc") else { return };
    for (mode, name) in MODES {
        let bits = std::fs::read(folder.join(format!("iLBC_{name}.BIT"))).unwrap();
        let expected = shared::samples(&folder.join(format!("iLBC_{name}_clean.OUT")));
        let (snr, largest) = compare(&decode(mode, &bits, |_| false), &expected);
        println!("{name}: {snr:.1} dB, largest difference {largest}");
        assert!(largest <= 3 && snr >= 65.0, "{name}: {snr:.1} dB, largest difference {largest}");
    }
}

#[test]
fn losses_are_concealed_as_the_reference_does() {
    let Some(folder) = shared::folder("codec-vectors/ilbc") else { return };
    let channel = shared::samples(&folder.join("tlm05.chn"));
    for (mode, name) in MODES {
        let bits = std::fs::read(folder.join(format!("iLBC_{name}.BIT"))).unwrap();
        let expected = shared::samples(&folder.join(format!("iLBC_{name}_tlm05.OUT")));
        let (snr, largest) = compare(&decode(mode, &bits, |frame| channel[frame] == 0), &expected);
        println!("{name}: {snr:.1} dB, largest difference {largest}");
        assert!(snr >= 35.0, "{name}: {snr:.1} dB, largest difference {largest}");
    }
}

#[test]
fn speech_encodes_to_the_references_bits_but_for_rounding() {
    let Some(folder) = shared::folder("codec-vectors/ilbc") else { return };
    let samples = shared::samples(&folder.join("iLBC.INP"));
    for (mode, name) in MODES {
        let expected = std::fs::read(folder.join(format!("iLBC_{name}.BIT"))).unwrap();
        let frames = expected.len() / mode.frame_bytes();
        let mut bits = vec![0; expected.len()];
        let count = ilbc::Encoder::new(mode).encode(&samples[..frames * mode.frame_samples()], &mut bits);
        assert_eq!(count, Ok(bits.len()));
        let differing = bits.iter().zip(&expected).filter(|(ours, theirs)| ours != theirs).count();
        let share = differing as f64 / bits.len() as f64;
        println!("{name}: {:.2} % of the bytes differ", share * 100.0);
        assert!(share < 0.015, "{name}: {:.2} % of the bytes differ", share * 100.0);
    }
}

#[test]
fn an_empty_frame_and_a_wrong_length_are_lost_frames() {
    for (mode, _) in MODES {
        let size = mode.frame_samples();
        let speech: Vec<i16> = (0..size as i32 * 8).map(|n| ((n * n / 7) % 9_000 - 4_500) as i16).collect();
        let mut payload = vec![0; mode.frame_bytes() * 8];
        ilbc::Encoder::new(mode).encode(&speech, &mut payload).unwrap();
        let mut decoder = ilbc::Decoder::new(mode);
        let mut out = vec![0; size * 8];
        for frame in payload.chunks(mode.frame_bytes()) {
            decoder.decode(frame, &mut out).unwrap();
        }
        let mut expected = vec![0; size];
        let mut lost = decoder.clone();
        lost.conceal(&mut expected);

        let mut empty = payload[..mode.frame_bytes()].to_vec();
        *empty.last_mut().unwrap() |= 1;
        let mut told = decoder.clone();
        assert!(
            matches!(told.decode(&empty, &mut out), Err(DecodeError::PayloadContent { concealed, .. }) if concealed == size)
        );
        assert_eq!(out[..size], expected);

        let mut short = decoder.clone();
        let error = short.decode(&empty[1..], &mut out).unwrap_err();
        assert!(matches!(error, DecodeError::PayloadLength { concealed, .. } if concealed == size));
        assert_eq!(
            error.to_string(),
            format!("a payload of {} bytes; a multiple of {} bytes would do", empty.len() - 1, empty.len())
        );
        assert_eq!(out[..size], expected);
        // And all three go on alike.
        let goes_on = |decoder: &mut ilbc::Decoder| {
            let mut out = vec![0; size * 8];
            decoder.decode(&payload, &mut out).unwrap();
            out
        };
        let expected = goes_on(&mut lost);
        assert_eq!(goes_on(&mut told), expected);
        assert_eq!(goes_on(&mut short), expected);
    }
}
