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

/// A frame's codes; `None` is lost.
type Frame = Option<Vec<u8>>;

/// Appendix IV's stream: 10 ms frames, a word for each bit, lost ones with another word in front.
fn appendix_iv() -> Option<(Vec<Frame>, Vec<i16>)> {
    let folder = shared::folder("codec-vectors/g722-appIV")?;
    let words = shared::samples(&folder.join("test10.bst"));
    let mut frames = Vec::new();
    let mut rest = &words[..];
    while let [first, bits, after @ ..] = rest {
        let (frame, after) = after.split_at(*bits as usize);
        // All codes' third bits first, and so on, in the order of what may be cut off.
        let bytes = (0..80).map(|code| {
            let planes = [2, 3, 4, 5, 6, 7, 1, 0].into_iter().enumerate();
            planes.map(|(plane, bit)| u8::from(frame[plane * 80 + code] == 0x81) << bit).sum::<u8>()
        });
        frames.push((*first == 0x6b21).then(|| bytes.collect()));
        rest = after;
    }
    Some((frames, shared::samples(&folder.join("test10.out"))))
}

/// Signal to noise against the reference over the samples that `which` chooses, in dB.
fn likeness_db(ours: &[i16], reference: &[i16], which: impl Fn(usize) -> bool) -> f64 {
    let (mut signal, mut noise) = (0.0, 1e-9);
    for (index, (ours, reference)) in ours.iter().zip(reference).enumerate() {
        if which(index) {
            signal += f64::from(*reference).powi(2);
            noise += (f64::from(*ours) - f64::from(*reference)).powi(2);
        }
    }
    10.0 * (signal / noise).log10()
}

#[test]
fn appendix_iv_stream_is_concealed_much_as_the_reference_does() {
    let Some((frames, reference)) = appendix_iv() else { return };
    let lost = frames.iter().filter(|frame| frame.is_none()).count();
    let run = |conceal: bool| {
        let mut decoder = g722::Decoder::new(Mode::Kbit64);
        let mut samples = vec![0; reference.len()];
        for (frame, out) in frames.iter().zip(samples.chunks_mut(160)) {
            match frame {
                Some(payload) => _ = decoder.decode(payload, out).unwrap(),
                None if conceal => _ = decoder.conceal(out),
                None => _ = g722::Decoder::new(Mode::Kbit64).decode(&[0xfa; 80], out).unwrap(),
            }
        }
        samples
    };
    let (ours, zeros) = (run(true), run(false));
    let first_lost = frames.iter().position(Option::is_none).unwrap() * 160;
    assert_eq!(
        shared::first_difference(&ours[..first_lost], &reference[..first_lost]),
        None,
        "before the first loss"
    );
    let in_loss = |index: usize| frames.get(index / 160).is_some_and(Option::is_none);
    let all = |_| true;
    println!(
        "{lost} of {} frames lost; against the reference: {:.1} dB in all, {:.1} dB where lost; zeros: {:.1} and {:.1} dB",
        frames.len(),
        likeness_db(&ours, &reference, all),
        likeness_db(&ours, &reference, in_loss),
        likeness_db(&zeros, &reference, all),
        likeness_db(&zeros, &reference, in_loss),
    );
    assert!(likeness_db(&ours, &reference, in_loss) > likeness_db(&zeros, &reference, in_loss) + 4.5);
    assert!(likeness_db(&ours, &reference, all) > likeness_db(&zeros, &reference, all) + 4.0);
}
