//! G.729 against every ITU vector, one test each, named as the ITU names it.
//!
//! The vectors lie in `g729/vectors` of the shared test data; without it the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "g729")]

mod shared;

use denwa_codecs::g729::{Decoder, Encoder, EncoderConfig, Variant, serial};

fn words(path: &str) -> Option<Vec<u16>> {
    let file = shared::folder("g729/vectors")?.join(path);
    Some(shared::samples(&file).into_iter().map(|sample| sample as u16).collect())
}

fn encoder(input: &str, expected: &str, dtx: bool) {
    let (Some(input), Some(expected)) = (words(input), words(expected)) else { return };
    let mut encoder = Encoder::new(EncoderConfig { dtx });
    let mut bits = Vec::new();
    for (number, frame) in input.as_chunks::<80>().0.iter().enumerate() {
        let mut payload = [0; 10];
        let before = bits.len();
        let count = encoder.encode_frame(&frame.map(|word| word as i16), &mut payload);
        serial::write(&payload[..count], true, &mut bits);
        assert_eq!(bits[before..], expected[before..bits.len()], "first difference in frame {}", number + 1);
    }
    assert_eq!(bits.len(), expected.len());
    assert!(bits.len() > 82, "the vector is empty");
}

fn decoder(bits: &str, expected: &str, variant: Variant) {
    let (Some(bits), Some(expected)) = (words(bits), words(expected)) else { return };
    let mut decoder = Decoder::new(variant);
    let frames = serial::read(&bits);
    assert!(frames.len() > 10, "the vector is empty");
    // Where a vector's output is shorter than its frames, the rest is not compared (PITCH of Annex A).
    for (number, (frame, expected)) in frames.iter().zip(expected.as_chunks::<80>().0).enumerate() {
        let mut samples = [0; 80];
        decoder.decode_frame(frame, &mut samples);
        assert_eq!(samples, expected.map(|word| word as i16), "first difference in frame {}", number + 1);
    }
    assert!(expected.len() / 80 >= frames.len() - 1, "{} frames, {} samples", frames.len(), expected.len());
}

macro_rules! encoders {
    ($($name:ident: $input:literal, $bits:literal, $dtx:literal;)*) => {$(
        #[test]
        fn $name() {
            encoder($input, $bits, $dtx);
        }
    )*};
}

macro_rules! decoders {
    ($($name:ident: $bits:literal, $output:literal, $variant:ident;)*) => {$(
        #[test]
        fn $name() {
            decoder($bits, $output, Variant::$variant);
        }
    )*};
}

encoders! {
    annex_a_algthm_encoder: "annex-a/ALGTHM.IN", "annex-a/ALGTHM.BIT", false;
    annex_a_fixed_encoder: "annex-a/FIXED.IN", "annex-a/FIXED.BIT", false;
    annex_a_lsp_encoder: "annex-a/LSP.IN", "annex-a/LSP.BIT", false;
    annex_a_pitch_encoder: "annex-a/PITCH.IN", "annex-a/PITCH.BIT", false;
    annex_a_speech_encoder: "annex-a/SPEECH.IN", "annex-a/SPEECH.BIT", false;
    annex_a_tame_encoder: "annex-a/TAME.IN", "annex-a/TAME.BIT", false;
    annex_a_test_encoder: "annex-a/TEST.IN", "annex-a/TEST.BIT", false;
    annex_ab_tstseq1a_encoder: "annex-b/tstseq1.bin", "annex-b/tstseq1a.bit", true;
    annex_ab_tstseq2a_encoder: "annex-b/tstseq2.bin", "annex-b/tstseq2a.bit", true;
    annex_ab_tstseq3a_encoder: "annex-b/tstseq3.bin", "annex-b/tstseq3a.bit", true;
    annex_ab_tstseq4a_encoder: "annex-b/tstseq4.bin", "annex-b/tstseq4a.bit", true;
}

decoders! {
    annex_a_algthm_decoder: "annex-a/ALGTHM.BIT", "annex-a/ALGTHM.PST", AnnexA;
    annex_a_erasure_decoder: "annex-a/ERASURE.BIT", "annex-a/ERASURE.PST", AnnexA;
    annex_a_fixed_decoder: "annex-a/FIXED.BIT", "annex-a/FIXED.PST", AnnexA;
    annex_a_lsp_decoder: "annex-a/LSP.BIT", "annex-a/LSP.PST", AnnexA;
    annex_a_overflow_decoder: "annex-a/OVERFLOW.BIT", "annex-a/OVERFLOW.PST", AnnexA;
    annex_a_parity_decoder: "annex-a/PARITY.BIT", "annex-a/PARITY.PST", AnnexA;
    annex_a_pitch_decoder: "annex-a/PITCH.BIT", "annex-a/PITCH.PST", AnnexA;
    annex_a_speech_decoder: "annex-a/SPEECH.BIT", "annex-a/SPEECH.PST", AnnexA;
    annex_a_tame_decoder: "annex-a/TAME.BIT", "annex-a/TAME.PST", AnnexA;
    annex_a_test_decoder: "annex-a/TEST.BIT", "annex-a/TEST.pst", AnnexA;
    annex_ab_tstseq1a_decoder: "annex-b/tstseq1a.bit", "annex-b/tstseq1a.out", AnnexA;
    annex_ab_tstseq2a_decoder: "annex-b/tstseq2a.bit", "annex-b/tstseq2a.out", AnnexA;
    annex_ab_tstseq3a_decoder: "annex-b/tstseq3a.bit", "annex-b/tstseq3a.out", AnnexA;
    annex_ab_tstseq4a_decoder: "annex-b/tstseq4a.bit", "annex-b/tstseq4a.out", AnnexA;
    annex_ab_tstseq5a_decoder: "annex-b/tstseq5.bit", "annex-b/tstseq5a.out", AnnexA;
    annex_ab_tstseq6a_decoder: "annex-b/tstseq6.bit", "annex-b/tstseq6a.out", AnnexA;
    main_algthm_decoder: "main/ALGTHM.BIT", "main/ALGTHM.PST", Main;
    main_erasure_decoder: "main/ERASURE.BIT", "main/ERASURE.PST", Main;
    main_fixed_decoder: "main/FIXED.BIT", "main/FIXED.PST", Main;
    main_lsp_decoder: "main/LSP.BIT", "main/LSP.PST", Main;
    main_overflow_decoder: "main/OVERFLOW.BIT", "main/OVERFLOW.PST", Main;
    main_parity_decoder: "main/PARITY.BIT", "main/PARITY.PST", Main;
    main_pitch_decoder: "main/PITCH.BIT", "main/PITCH.PST", Main;
    main_speech_decoder: "main/SPEECH.BIT", "main/SPEECH.PST", Main;
    main_tame_decoder: "main/TAME.BIT", "main/TAME.PST", Main;
    main_b_tstseq1_decoder: "annex-b/tstseq1.bit", "annex-b/tstseq1.out", Main;
    main_b_tstseq2_decoder: "annex-b/tstseq2.bit", "annex-b/tstseq2.out", Main;
    main_b_tstseq3_decoder: "annex-b/tstseq3.bit", "annex-b/tstseq3.out", Main;
    main_b_tstseq4_decoder: "annex-b/tstseq4.bit", "annex-b/tstseq4.out", Main;
    main_b_tstseq5_decoder: "annex-b/tstseq5.bit", "annex-b/tstseq5.out", Main;
    main_b_tstseq6_decoder: "annex-b/tstseq6.bit", "annex-b/tstseq6.out", Main;
}

mod any_bytes {
    use denwa_codecs::{
        Decoder as _, Encoder as _,
        g729::{Decoder, Encoder, EncoderConfig, Variant, serial::SerialFrame},
    };
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Vec<SerialFrame>> {
        let frame = prop_oneof![
            6 => any::<[u8; 10]>().prop_map(SerialFrame::Speech),
            1 => any::<[u8; 2]>().prop_map(SerialFrame::Silence),
            1 => Just(SerialFrame::Untransmitted),
            1 => Just(SerialFrame::Erased),
        ];
        proptest::collection::vec(frame, 1..60)
    }

    proptest! {
        #[test]
        fn no_sequence_of_frames_breaks_a_decoder(frames in frames()) {
            for variant in [Variant::Main, Variant::AnnexA] {
                let mut decoder = Decoder::new(variant);
                for frame in &frames {
                    decoder.decode_frame(frame, &mut [0; 80]);
                }
            }
        }

        #[test]
        fn no_signal_breaks_an_encoder(
            blocks in proptest::collection::vec((any::<i16>(), any::<i16>(), 1usize..100), 1..60),
            dtx: bool,
        ) {
            let mut encoder = Encoder::new(EncoderConfig { dtx });
            let samples = blocks.iter().flat_map(|&(a, b, period)| {
                (0..80).map(move |n| if n / period % 2 == 0 { a } else { b })
            }).collect::<Vec<_>>();
            let mut payload = vec![0; encoder.max_payload_bytes(samples.len())];
            let count = encoder.encode(&samples, &mut payload).unwrap();
            prop_assert!(count <= payload.len());
        }

        #[test]
        fn a_wrong_length_is_an_erasure(good: [u8; 20], bad in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut one = Decoder::new(Variant::AnnexA);
            let mut two = one.clone();
            let (mut left, mut right) = ([0; 400], [0; 400]);
            prop_assert_eq!(one.decode(&good, &mut left), Ok(160));
            prop_assert_eq!(two.decode(&good, &mut right), Ok(160));
            if ![0, 2].contains(&(bad.len() % 10)) {
                prop_assert!(one.decode(&bad, &mut left).is_err());
                prop_assert_eq!(two.conceal(&mut right[..160]), 160);
                prop_assert_eq!(&left[..160], &right[..160]);
            }
        }
    }
}
