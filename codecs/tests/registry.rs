//! Every codec of this build, by its name: a packet there and back, what is refused, and bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

use denwa_codecs::registry::{self, Entry};
use denwa_codecs::{DecodeError, EncodeError};

fn each(check: impl Fn(&Entry)) {
    assert!(!registry::all().is_empty());
    registry::all().iter().for_each(check);
}

#[test]
fn names_are_found_in_any_case_and_static_types_are_theirs() {
    each(|entry| {
        let found = registry::find(&entry.name.to_lowercase(), entry.clock_rate_hz).unwrap();
        assert_eq!((found.name, found.clock_rate_hz), (entry.name, entry.clock_rate_hz));
        if let Some(payload_type) = entry.static_payload_type {
            assert_eq!(registry::find_static(payload_type).unwrap().name, entry.name);
        }
    });
    assert!(registry::find("PCMU", 16_000).is_none());
    assert!(registry::find_static(96).is_none());
}

#[test]
fn a_packet_goes_there_and_back() {
    each(|entry| {
        let (mut encoder, mut decoder) = (entry.encoder("").unwrap(), entry.decoder("").unwrap());
        let count = entry.packet_samples_of(&*encoder);
        assert_eq!(count % encoder.frame_samples(), 0, "{}", entry.name);
        let samples: Vec<i16> = (0..count).map(|n| ((n * n) % 6_000) as i16 - 3_000).collect();
        let mut payload = vec![0; encoder.max_payload_bytes(count)];
        let bytes = encoder.encode(&samples, &mut payload).unwrap();
        let mut out = vec![0; decoder.max_samples(bytes)];
        assert_eq!(decoder.decode(&payload[..bytes], &mut out), Ok(count), "{}", entry.name);
        // Nothing in, nothing out.
        assert_eq!(encoder.encode(&[], &mut []), Ok(0), "{}", entry.name);
        assert_eq!(decoder.decode(&[], &mut []), Ok(0), "{}", entry.name);
        let mut lost = vec![0; count];
        assert_eq!(decoder.conceal(&mut lost), count, "{}", entry.name);
    });
}

#[test]
fn what_does_not_fit_is_told_with_what_would() {
    each(|entry| {
        let (mut encoder, mut decoder) = (entry.encoder("").unwrap(), entry.decoder("").unwrap());
        let count = entry.packet_samples_of(&*encoder);
        if encoder.frame_samples() > 1 {
            let error = encoder.encode(&vec![0; count + 1], &mut [0; 4_000]).unwrap_err();
            assert!(matches!(error, EncodeError::PartialFrame { .. }), "{}: {error}", entry.name);
        }
        assert!(matches!(encoder.encode(&vec![0; count], &mut []), Err(EncodeError::OutputTooSmall { .. })));
        let mut payload = vec![0; encoder.max_payload_bytes(count)];
        let bytes = encoder.encode(&vec![0; count], &mut payload).unwrap();
        assert!(matches!(
            decoder.decode(&payload[..bytes], &mut []),
            Err(DecodeError::OutputTooSmall { .. })
        ));
    });
}

#[test]
fn parameters_are_read_and_nonsense_is_refused() {
    let ilbc = registry::find("iLBC", 8_000).unwrap();
    assert_eq!(ilbc.encoder("mode=20").unwrap().frame_samples(), 160);
    assert_eq!(ilbc.encoder(" MODE = 30 ; other=1").unwrap().frame_samples(), 240);
    assert_eq!(ilbc.encoder("").unwrap().frame_samples(), 240);
    assert_eq!(ilbc.encoder("mode=25").err().unwrap().to_string(), "iLBC: mode must be 20 or 30");
    let g729 = registry::find("G729", 8_000).unwrap();
    assert!(g729.encoder("annexb=maybe").is_err());
    // Silence for a second: with Annex B most of it is not sent.
    let sent = |fmtp: &str| {
        let mut encoder = g729.encoder(fmtp).unwrap();
        (0..100).filter(|_| encoder.encode(&[0; 80], &mut [0; 10]).unwrap() > 0).count()
    };
    assert_eq!((sent("annexb=no"), sent("")), (100, 100));
    assert!(sent("annexb=yes") < 50);
}

/// Half a step of the segment, and what the clipping of mu-law takes.
#[cfg(feature = "g711")]
#[test]
fn g711_is_off_by_no_more_than_half_a_step() {
    use denwa_codecs::g711::Law;
    for sample in i16::MIN..=i16::MAX {
        let size = i32::from(sample).abs();
        for (law, smallest) in [(Law::Mu, 4), (Law::A, 8)] {
            let off = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
            // Steps are a sixteenth of the segment's beginning, so off by at most a thirty-second, and a bit for the bias.
            assert!(off <= size / 32 + smallest + 5 || size > 32_124, "{law:?} {sample}: {off}");
        }
    }
}
