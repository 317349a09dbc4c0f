//! G.722 against Appendix II (the bands, without the filters) and the ITU software tools' speech (all of it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "g722")]

mod shared;

use denwa_codecs::g722::{self, BandDecoder, BandEncoder, Mode};
use denwa_codecs::{DecodeError, Decoder, EncodeError, Encoder};

/// The words of a sequence: the lowest bit asks for the reset state.
fn sequence(name: &str) -> Option<Vec<i16>> {
    Some(shared::samples(&shared::folder("codec-vectors/g722-appII")?.join(name)))
}

fn encodes(input: &str, expected: &str) {
    let (Some(input), Some(expected)) = (sequence(input), sequence(expected)) else { return };
    assert_eq!(input.len(), expected.len());
    let mut encoder = BandEncoder::new();
    for (index, (word, expected)) in input.iter().zip(expected).enumerate() {
        if word & 1 == 1 {
            encoder = BandEncoder::new();
            assert_eq!(expected & 1, 1);
        } else {
            let code = encoder.encode(word >> 1, word >> 1);
            assert_eq!(code, (expected >> 8) as u8, "word {index}");
        }
    }
}

#[test]
fn bt1c1_bt2r1() {
    encodes("bt1c1.xmt", "bt2r1.cod");
}

#[test]
fn bt1c2_bt2r2() {
    encodes("bt1c2.xmt", "bt2r2.cod");
}

fn decodes(input: &str, expected: [&str; 3], high: &str) {
    let Some(input) = sequence(input) else { return };
    let high = sequence(high).unwrap();
    for (mode, expected) in [Mode::Kbit64, Mode::Kbit56, Mode::Kbit48].into_iter().zip(expected) {
        let low = sequence(expected).unwrap();
        assert_eq!((low.len(), high.len()), (input.len(), input.len()));
        let mut decoder = BandDecoder::new();
        for (index, word) in input.iter().enumerate() {
            if word & 1 == 1 {
                decoder = BandDecoder::new();
                assert_eq!((low[index] & 1, high[index] & 1), (1, 1));
            } else {
                let decoded = decoder.decode((word >> 8) as u8, mode);
                assert_eq!(decoded, (low[index] >> 1, high[index] >> 1), "{mode:?} word {index}");
            }
        }
    }
}

#[test]
fn bt2r1_bt3l1_bt3h1() {
    decodes("bt2r1.cod", ["bt3l1.rc1", "bt3l1.rc2", "bt3l1.rc3"], "bt3h1.rc0");
}

#[test]
fn bt2r2_bt3l2_bt3h2() {
    decodes("bt2r2.cod", ["bt3l2.rc1", "bt3l2.rc2", "bt3l2.rc3"], "bt3h2.rc0");
}

#[test]
fn bt1d3_bt3l3_bt3h3() {
    decodes("bt1d3.cod", ["bt3l3.rc1", "bt3l3.rc2", "bt3l3.rc3"], "bt3h3.rc0");
}

fn speech() -> Option<(Vec<i16>, Vec<u8>)> {
    let folder = shared::folder("codec-vectors/stl/g722")?;
    let samples = shared::samples(&folder.join("inpsp.bin"));
    Some((samples, std::fs::read(folder.join("codsp.cod")).unwrap()))
}

#[test]
fn inpsp_codsp() {
    let Some((samples, codes)) = speech() else { return };
    // Packets of unlike length: the state carries over.
    for packet in [2, 320, 322, samples.len()] {
        let mut encoder = g722::Encoder::new();
        let mut payload = vec![0; codes.len()];
        let mut written = 0;
        for samples in samples.chunks(packet) {
            written += encoder.encode(samples, &mut payload[written..]).unwrap();
        }
        assert_eq!(shared::first_difference(&payload, &codes), None);
    }
}

#[test]
fn codsp_outsp() {
    let Some((_, codes)) = speech() else { return };
    let folder = shared::folder("codec-vectors/stl/g722").unwrap();
    for (mode, expected) in
        [(Mode::Kbit64, "outsp1.bin"), (Mode::Kbit56, "outsp2.bin"), (Mode::Kbit48, "outsp3.bin")]
    {
        let expected = shared::samples(&folder.join(expected));
        for packet in [1, 160, codes.len()] {
            let mut decoder = g722::Decoder::new(mode);
            let mut samples = vec![0; expected.len()];
            let mut written = 0;
            for payload in codes.chunks(packet) {
                written += decoder.decode(payload, &mut samples[written..]).unwrap();
            }
            assert_eq!(shared::first_difference(&samples, &expected), None, "{mode:?}");
        }
    }
}

#[test]
fn half_a_pair_is_an_error() {
    let mut payload = [0; 8];
    assert_eq!(
        g722::Encoder::new().encode(&[0; 3], &mut payload),
        Err(EncodeError::PartialFrame { samples: 3, frame_samples: 2 })
    );
    assert_eq!(
        g722::Decoder::new(Mode::Kbit64).decode(&[0; 2], &mut [0; 3]),
        Err(DecodeError::OutputTooSmall { needed: 4, got: 3 })
    );
}
