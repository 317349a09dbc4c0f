//! Every decoder there is: after a payload it refuses, its state is the one a lost payload leaves, whatever came before; and
//! it writes nothing beyond what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

use denwa_codecs::{DecodeError, Decoder, registry};
use proptest::prelude::*;

/// What stands where nothing may be written.
const UNTOUCHED: i16 = 0x5a5a;

#[derive(Clone, Debug)]
enum Event {
    Speech,
    Loss,
    Garbage(Vec<u8>),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let garbage = proptest::collection::vec(any::<u8>(), 0..80).prop_map(Event::Garbage);
    let event = prop_oneof![3 => Just(Event::Speech), 1 => Just(Event::Loss), 2 => garbage];
    proptest::collection::vec(event, 1..14)
}

/// Decodes, and tells a twin of losses in place of what is refused.
fn decode(decoder: &mut dyn Decoder, twin: &mut dyn Decoder, payload: &[u8], name: &str) -> bool {
    let room = decoder.max_samples(payload.len()).max(6_000);
    let (mut out, mut other) = (vec![UNTOUCHED; room], vec![UNTOUCHED; room]);
    let (written, refused) = match decoder.decode(payload, &mut out) {
        Ok(written) => {
            assert_eq!(twin.decode(payload, &mut other), Ok(written), "{name}");
            (written, false)
        }
        Err(
            error @ (DecodeError::PayloadLength { concealed, .. }
            | DecodeError::PayloadContent { concealed, .. }),
        ) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(twin.conceal(&mut other[..concealed]), concealed, "{name}");
            (concealed, true)
        }
        Err(error) => panic!("{name}: {error}"),
    };
    assert_eq!(out[..written], other[..written], "{name}: an error is a loss");
    assert!(out[written..].iter().all(|sample| *sample == UNTOUCHED), "{name}: written beyond the count");
    refused
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_error_leaves_the_state_of_a_loss(events in events(), pitch in 0.02f64..0.4) {
        for entry in registry::all() {
            let mut encoder = entry.encoder("").unwrap();
            let (mut decoder, mut twin) = (entry.decoder("").unwrap(), entry.decoder("").unwrap());
            let samples = entry.packet_samples_of(&*encoder);
            let mut payload = vec![0; encoder.max_payload_bytes(samples)];
            let mut time = 0.0;
            for event in events.iter().chain([&Event::Speech, &Event::Loss, &Event::Speech]) {
                let sound: Vec<i16> = (0..samples)
                    .map(|_| {
                        time += pitch;
                        (f64::sin(time) * 9_000.0 + f64::sin(time * 3.1) * 3_000.0) as i16
                    })
                    .collect();
                match event {
                    Event::Speech => {
                        let length = encoder.encode(&sound, &mut payload).unwrap();
                        let refused = decode(&mut *decoder, &mut *twin, &payload[..length], entry.name);
                        assert!(!refused, "{}", entry.name);
                    }
                    Event::Garbage(bytes) => {
                        decode(&mut *decoder, &mut *twin, bytes, entry.name);
                    }
                    Event::Loss => {
                        let (mut out, mut other) = (vec![0; samples], vec![0; samples]);
                        let count = decoder.conceal(&mut out);
                        assert_eq!(twin.conceal(&mut other), count, "{}", entry.name);
                        assert_eq!(out, other, "{}", entry.name);
                    }
                }
            }
        }
    }
}
