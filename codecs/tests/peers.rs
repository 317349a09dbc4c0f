//! Independent implementations, beside ours: small C programs over their libraries, built with `cc` by the test.
//!
//! A peer that is not installed is named and passed over; under `DENWA_REQUIRE_PEERS=1` that is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "std")]

mod shared;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use denwa_codecs::{Decoder, Encoder};

/// A program of `tests/peers/`, built against `libraries`; `None` if that cannot be done here.
fn build(name: &str, libraries: &[&str]) -> Option<PathBuf> {
    let libraries: Vec<OsString> = libraries.iter().map(|library| format!("-l{library}").into()).collect();
    build_with(name, &libraries)
}

/// The same with what the compiler is to be told besides.
fn build_with(name: &str, arguments: &[OsString]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/{name}.c"));
    // Tests run side by side: each builds its own.
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    let number = BUILT.fetch_add(1, Ordering::Relaxed);
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peer_{name}_{number}"));
    let built =
        Command::new("cc").args(["-O2", "-w", "-o"]).arg(&program).arg(&source).args(arguments).output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        Ok(output) => {
            println!("{}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default());
            shared::absent(&format!("what {name}.c needs to build ({arguments:?})"));
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

/// Speech at 8 kHz.
fn speech() -> Vec<i16> {
    let mut samples = Vec::new();
    for (folder, file) in [("g729/vectors/annex-a", "SPEECH.IN"), ("codec-vectors/ilbc", "iLBC.INP")] {
        if let Some(folder) = shared::folder(folder) {
            samples.extend(shared::samples(&folder.join(file)));
        }
    }
    let whole = samples.len() / 960 * 960;
    samples.truncate(whole);
    samples
}

/// Speech, and then everything at once: noise at full scale, silence, a sweep.
fn signals() -> Vec<i16> {
    let mut samples = speech();
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

/// Signal to noise of `ours` against `theirs`, in dB.
fn signal_to_noise_db(ours: &[i16], theirs: &[i16]) -> f64 {
    let (mut signal, mut noise) = (0.0, 1e-9);
    for (ours, theirs) in ours.iter().zip(theirs) {
        signal += f64::from(*theirs) * f64::from(*theirs);
        noise += (f64::from(*ours) - f64::from(*theirs)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// The mean over 20 ms pieces that are not silence, in dB: what a listener would go by.
fn segmental_db(ours: &[i16], theirs: &[i16]) -> f64 {
    let pieces: Vec<f64> = ours
        .chunks(160)
        .zip(theirs.chunks(160))
        .filter(|(_, theirs)| denwa_codecs::level::Level::of(theirs).dbov() > -55.0)
        .map(|(ours, theirs)| signal_to_noise_db(ours, theirs).clamp(-10.0, 80.0))
        .collect();
    pieces.iter().sum::<f64>() / pieces.len().max(1) as f64
}

#[cfg(feature = "g711")]
#[test]
fn g711_is_spandsps_but_for_127_inputs_of_mu_law() {
    use denwa_codecs::g711::{self, Law};
    let Some(peer) = build("spandsp", &["spandsp", "m"]) else { return };
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let codes: Vec<u8> = (0..=255).collect();
    for (law, name, differing) in [(Law::Mu, "mu", 127), (Law::A, "a", 0)] {
        let ours = encode_all(&mut g711::Encoder::new(law), &samples, 65_536);
        let theirs = run(&peer, &[&format!("{name}-encode")], &bytes(&samples));
        // Theirs compares a negated magnitude with the decision levels, the ITU's tools its complement.
        let count = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).count();
        assert_eq!(count, differing, "{name}");
        let ours = decode_all(&mut g711::Decoder::new(law), &codes, 256);
        assert_eq!(ours, words(&run(&peer, &[&format!("{name}-decode")], &codes)), "{name}");
    }
}

#[cfg(feature = "g722")]
#[test]
fn g722_is_spandsps_and_ffmpegs_bit_by_bit() {
    use denwa_codecs::g722::{self, Mode};
    // Narrow-band speech played twice as fast is wide-band speech. Not louder: spandsp wraps where it should saturate.
    let samples: Vec<i16> = speech().iter().map(|sample| sample / 2).collect();
    let ours = encode_all(&mut g722::Encoder::new(), &samples, 320);
    let decoded = decode_all(&mut g722::Decoder::new(Mode::Kbit64), &ours, 160);
    if let Some(peer) = build("spandsp", &["spandsp", "m"]) {
        assert_eq!(shared::first_difference(&ours, &run(&peer, &["g722-encode"], &bytes(&samples))), None);
        let theirs = words(&run(&peer, &["g722-decode"], &ours));
        assert_eq!(shared::first_difference(&decoded, &theirs), None);
    }
    let raw = ["-f", "s16le", "-ar", "16000", "-ac", "1"];
    if let Some(theirs) = ffmpeg("g722", &["-f", "g722"], &raw, &ours) {
        let theirs = words(&theirs);
        let length = theirs.len().min(decoded.len());
        assert!(length + 640 >= decoded.len());
        assert_eq!(shared::first_difference(&decoded[..length], &theirs[..length]), None);
    }
}

/// FFmpeg over `input`: what the options before and after make of it.
fn ffmpeg(name: &str, before: &[&str], after: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        shared::absent("ffmpeg");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (from, to) = (folder.join(format!("ffmpeg-{name}.in")), folder.join(format!("ffmpeg-{name}.out")));
    fs::write(&from, input).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(before)
        .arg("-i")
        .arg(&from)
        .args(after)
        .arg(&to)
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(fs::read(&to).unwrap())
}

#[cfg(feature = "g726")]
#[test]
fn g726_of_every_rate_and_packing_is_what_ffmpeg_decodes() {
    use denwa_codecs::g726::{Decoder, Encoder, Packing, Rate};
    let samples = speech();
    for (rate, bits) in [(Rate::Kbit16, "2"), (Rate::Kbit24, "3"), (Rate::Kbit32, "4"), (Rate::Kbit40, "5")] {
        for (packing, format) in [(Packing::Rtp, "g726le"), (Packing::Aal2, "g726")] {
            let payload = encode_all(&mut Encoder::new(rate, packing), &samples, 160);
            let ours = decode_all(&mut Decoder::new(rate, packing), &payload, 20 * rate.bits() as usize);
            let before = ["-f", format, "-code_size", bits, "-ar", "8000"];
            let Some(theirs) =
                ffmpeg(&format!("{format}-{bits}"), &before, &["-f", "s16le", "-ar", "8000"], &payload)
            else {
                return;
            };
            let theirs = words(&theirs);
            let length = theirs.len().min(ours.len());
            assert!(length > 100_000);
            let snr = signal_to_noise_db(&ours[..length], &theirs[..length]);
            println!("G.726 {format} {bits} bits: {snr:.1} dB");
            // Theirs leaves some of the Recommendation's rounding out. At 40 kbit/s it also forgets too fast (UPB leaks by
            // 2^-9 there), and is another decoder altogether; the ITU's sequences decide.
            assert!(snr > 15.0 || rate == Rate::Kbit40, "{format} {bits} bits: {snr:.1} dB");
        }
    }
}

#[cfg(feature = "ilbc")]
#[path = "peers/ilbc.rs"]
mod ilbc;

#[cfg(feature = "g729")]
mod g729 {
    use super::*;
    use denwa_codecs::g729::serial::SerialFrame;
    use denwa_codecs::g729::{Decoder as Ours, Encoder, EncoderConfig, Variant};

    fn speech() -> Option<Vec<i16>> {
        Some(shared::samples(&shared::folder("g729/vectors/annex-a")?.join("SPEECH.IN")))
    }

    fn encode(samples: &[i16], dtx: bool) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(EncoderConfig { dtx });
        let frames = samples.as_chunks::<80>().0.iter();
        frames
            .map(|frame| {
                let mut payload = [0; 10];
                let bytes = encoder.encode_frame(frame, &mut payload);
                payload[..bytes].to_vec()
            })
            .collect()
    }

    fn decode(frames: &[Vec<u8>]) -> Vec<i16> {
        let mut decoder = Ours::new(Variant::AnnexA);
        let mut samples = Vec::new();
        for frame in frames {
            let frame = match frame.len() {
                10 => SerialFrame::Speech(frame[..].try_into().unwrap()),
                2 => SerialFrame::Silence(frame[..].try_into().unwrap()),
                _ => SerialFrame::Untransmitted,
            };
            let mut out = [0; 80];
            decoder.decode_frame(&frame, &mut out);
            samples.extend_from_slice(&out);
        }
        samples
    }

    fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|frame| std::iter::once(frame.len() as u8).chain(frame.iter().copied()))
            .collect()
    }

    fn unframed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some((length, rest)) = bytes.split_first() {
            let (frame, rest) = rest.split_at(usize::from(*length));
            frames.push(frame.to_vec());
            bytes = rest;
        }
        frames
    }

    #[test]
    fn bcg729_hears_what_we_say_and_says_what_we_hear() {
        let (Some(peer), Some(speech)) = (build("bcg729", &["bcg729"]), speech()) else { return };
        for dtx in [false, true] {
            // Our bits, decoded by both.
            let frames = encode(&speech, dtx);
            let theirs = words(&run(&peer, &["decode"], &framed(&frames)));
            let there = segmental_db(&decode(&frames), &theirs);
            // Their bits, decoded by both.
            let frames = unframed(&run(&peer, &[if dtx { "encode-dtx" } else { "encode" }], &bytes(&speech)));
            assert!(frames.len() >= speech.len() / 80);
            let theirs = words(&run(&peer, &["decode"], &framed(&frames)));
            let back = segmental_db(&decode(&frames), &theirs);
            println!("bcg729, dtx {dtx}: our bits {there:.1} dB alike, theirs {back:.1} dB");
            // Neither is exact but ours; where one of them departs, both are still the same speech.
            assert!(there > 15.0 && back > 15.0, "dtx {dtx}: {there:.1} dB, {back:.1} dB");
        }
    }

    #[test]
    fn ffmpeg_hears_what_we_say() {
        let Some(speech) = speech() else { return };
        let frames = encode(&speech, false);
        let Some(theirs) = ffmpeg("g729", &["-f", "g729"], &["-f", "s16le", "-ar", "8000"], &frames.concat())
        else {
            return;
        };
        let alike = segmental_db(&decode(&frames), &words(&theirs));
        println!("FFmpeg: {alike:.1} dB alike");
        assert!(alike > 10.0, "{alike:.1} dB");
    }
}
