//! Independent implementations, beside ours: small C programs over their libraries, built with `cc` by the test.
//!
//! A peer that is not installed is named and passed over; under `DENWA_REQUIRE_PEERS=1` that is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

mod shared;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use denwa_codecs::{Decoder, Encoder};

/// A program of `tests/peers/`, built against `libraries`; `None` if that cannot be done here.
fn build(name: &str, libraries: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/{name}.c"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peer_{name}"));
    let built = Command::new("cc")
        .args(["-O2", "-w", "-o"])
        .arg(&program)
        .arg(&source)
        .args(libraries.iter().map(|library| format!("-l{library}")))
        .output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => {
            println!("{}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default());
            shared::absent(&format!("what {name}.c needs to build ({libraries:?})"));
            None
        }
        Err(error) => {
            shared::absent(&format!("cc ({error})"));
            None
        }
    }
}

/// Runs a peer over `input` and gives what it wrote.
fn run(program: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let name = format!("{}-{}", program.file_name().unwrap().to_string_lossy(), arguments.join("-"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (from, to) = (folder.join(format!("{name}.in")), folder.join(format!("{name}.out")));
    fs::write(&from, input).unwrap();
    let status = Command::new(program).args(arguments).arg(&from).arg(&to).status().unwrap();
    assert!(status.success(), "{name}: {status}");
    fs::read(&to).unwrap()
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn words(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// Speech at 8 kHz, and then everything at once: noise at full scale, silence, a sweep.
fn signals() -> Vec<i16> {
    let mut samples = Vec::new();
    for (folder, file) in [("g729/vectors/annex-a", "SPEECH.IN"), ("codec-vectors/ilbc", "iLBC.INP")] {
        if let Some(folder) = shared::folder(folder) {
            samples.extend(shared::samples(&folder.join(file)));
        }
    }
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for n in 0..24_000u32 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        samples.push(match n / 4_000 % 3 {
            0 => state as i16,
            1 => 0,
            _ => ((f64::from(n) * f64::from(n) * 1e-5).sin() * 32_000.0) as i16,
        });
    }
    let whole = samples.len() / 960 * 960;
    samples.truncate(whole);
    samples
}

fn encode_all(encoder: &mut dyn Encoder, samples: &[i16], frame: usize) -> Vec<u8> {
    let mut payload = vec![0; encoder.max_payload_bytes(samples.len())];
    let mut written = 0;
    for frame in samples.chunks(frame) {
        written += encoder.encode(frame, &mut payload[written..]).unwrap();
    }
    payload.truncate(written);
    payload
}

fn decode_all(decoder: &mut dyn Decoder, payload: &[u8], frame: usize) -> Vec<i16> {
    let mut samples = vec![0; decoder.max_samples(payload.len())];
    let mut written = 0;
    for frame in payload.chunks(frame) {
        written += decoder.decode(frame, &mut samples[written..]).unwrap();
    }
    samples.truncate(written);
    samples
}

#[cfg(feature = "gsm")]
#[test]
fn gsm_full_rate_is_libgsms_bit_by_bit() {
    use denwa_codecs::gsm;
    let Some(peer) = build("gsm", &["gsm"]) else { return };
    let samples = signals();
    let ours = encode_all(&mut gsm::Encoder::new(), &samples, 160);
    let theirs = run(&peer, &["encode"], &bytes(&samples));
    assert_eq!(shared::first_difference(&ours, &theirs), None);
    let ours = decode_all(&mut gsm::Decoder::new(), &theirs, 33);
    assert_eq!(shared::first_difference(&ours, &words(&run(&peer, &["decode"], &theirs))), None);

    // And frames that no encoder makes.
    let mut state = 1u32;
    let mut noise = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut frames: Vec<u8> = (0..33 * 500).map(&mut noise).collect();
    frames.iter_mut().step_by(33).for_each(|first| *first = *first & 0x0f | 0xd0);
    let ours = decode_all(&mut gsm::Decoder::new(), &frames, 33);
    assert_eq!(shared::first_difference(&ours, &words(&run(&peer, &["decode"], &frames))), None);
}
