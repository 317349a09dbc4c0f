//! G.711 Appendix I against the four cases of the ITU software tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(all(feature = "g711", feature = "std"))]

mod shared;

use denwa_codecs::g711::concealment::{AppendixOne, DELAY_SAMPLES, FRAME_SAMPLES};

/// Frames of `f2.le` through a mask of losses, repeated as often as needed; `lost` says what becomes of a lost one.
fn run(mask: &str, expected: &str, conceal: bool) {
    let Some(folder) = shared::folder("codec-vectors/stl/g711iplc") else { return };
    let speech = shared::samples(&folder.join("f2.le"));
    let expected = shared::samples(&folder.join(expected));
    // G.192: 0x6b21 is a good frame, 0x6b20 a lost one.
    let mask: Vec<bool> = shared::samples(&folder.join(mask)).iter().map(|word| *word == 0x6b20).collect();
    let mut concealment = AppendixOne::new();
    let mut heard = Vec::new();
    for (frame, lost) in speech.chunks_exact(FRAME_SAMPLES).zip(mask.iter().cycle()) {
        let mut frame: [i16; FRAME_SAMPLES] = frame.try_into().unwrap();
        match (lost, conceal) {
            (false, true) => concealment.received(&mut frame),
            (true, true) => concealment.lost(&mut frame),
            (true, false) => frame.fill(0),
            (false, false) => {}
        }
        heard.extend_from_slice(&frame);
    }
    if conceal {
        // The tool takes the delay out again, and lets a frame of silence push the last samples out.
        let mut silence = [0; FRAME_SAMPLES];
        concealment.received(&mut silence);
        heard.extend_from_slice(&silence);
        heard.drain(..DELAY_SAMPLES);
    }
    heard.truncate(speech.len());
    let differing = heard.iter().zip(&expected).position(|(heard, expected)| heard != expected);
    assert_eq!(heard.len(), expected.len());
    assert_eq!(differing, None);
}

#[test]
fn losses_of_10_ms() {
    run("fe10.g192", "f2_10.raw", true);
}

#[test]
fn losses_of_20_ms() {
    run("fe10_2.g192", "f2_10_2.raw", true);
}

#[test]
fn losses_of_10_ms_not_concealed() {
    run("fe10.g192", "f2_10m.raw", false);
}

#[test]
fn losses_of_20_ms_not_concealed() {
    run("fe10_2.g192", "f2_10_2m.raw", false);
}
