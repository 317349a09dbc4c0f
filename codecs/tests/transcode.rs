//! The `transcode` example, as a user would run it: every codec either way, the vectors through it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(all(
    feature = "std",
    feature = "g729",
    feature = "g722",
    feature = "ilbc",
    feature = "gsm",
    feature = "g726"
))]

mod shared;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The program, which `cargo test` builds beside the tests; `None` if only this test was built.
fn program() -> Option<PathBuf> {
    let tests = env::current_exe().unwrap();
    let program = tests.parent()?.parent()?.join("examples/transcode");
    if program.exists() {
        return Some(program);
    }
    println!("not run: {} is built by `cargo test` and `cargo build --examples`", program.display());
    None
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transcode");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn transcode(program: &Path, arguments: &[&str], from: &Path, to: &Path) {
    let output = Command::new(program).args(arguments).arg(from).arg(to).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} {} {}: {said}", from.display(), to.display());
}

fn same(ours: &Path, theirs: &Path) {
    let (ours_bytes, theirs_bytes) = (fs::read(ours).unwrap(), fs::read(theirs).unwrap());
    assert_eq!(
        shared::first_difference(&ours_bytes, &theirs_bytes),
        None,
        "{} {}",
        ours.display(),
        theirs.display()
    );
}

#[test]
fn g729_vectors_by_file_name() {
    let (Some(program), Some(vectors)) = (program(), shared::folder("g729/vectors")) else { return };
    let folder = folder();
    let (bits, samples) = (folder.join("ours.bit"), folder.join("ours.pst"));
    for (codec, set, name) in [
        ("g729a", "annex-a", "SPEECH"),
        ("g729", "main", "SPEECH"),
        ("g729a", "annex-a", "ERASURE"),
        ("g729", "main", "ERASURE"),
    ] {
        let set = vectors.join(set);
        transcode(&program, &["--codec", codec], &set.join(format!("{name}.BIT")), &samples);
        same(&samples, &set.join(format!("{name}.PST")));
    }
    transcode(&program, &["--codec", "g729a"], &vectors.join("annex-a/SPEECH.IN"), &bits);
    same(&bits, &vectors.join("annex-a/SPEECH.BIT"));
    transcode(&program, &["--codec", "g729a", "--dtx"], &vectors.join("annex-b/tstseq1.bin"), &bits);
    same(&bits, &vectors.join("annex-b/tstseq1a.bit"));
    transcode(&program, &["--codec", "g729a", "--dtx"], &vectors.join("annex-b/tstseq1a.bit"), &samples);
    same(&samples, &vectors.join("annex-b/tstseq1a.out"));
}

#[test]
fn g722_and_ilbc_vectors_by_file_name() {
    let (Some(program), Some(vectors)) = (program(), shared::folder("codec-vectors")) else { return };
    let folder = folder();
    let (bits, samples) = (folder.join("ours.g722"), folder.join("ours.raw"));
    transcode(&program, &["--codec", "g722"], &vectors.join("stl/g722/inpsp.bin"), &bits);
    same(&bits, &vectors.join("stl/g722/codsp.cod"));
    for (codec, name) in [("g722", "outsp1.bin"), ("g722-56", "outsp2.bin"), ("g722-48", "outsp3.bin")] {
        transcode(&program, &["--codec", codec], &bits, &samples);
        same(&samples, &vectors.join("stl/g722").join(name));
    }
    for (codec, name) in [("ilbc20", "iLBC_20ms"), ("ilbc30", "iLBC_30ms")] {
        let samples = folder.join(format!("{name}.raw"));
        transcode(&program, &["--codec", codec], &vectors.join("ilbc").join(format!("{name}.BIT")), &samples);
        let (ours, theirs) = (
            shared::samples(&samples),
            shared::samples(&vectors.join("ilbc").join(format!("{name}_clean.OUT"))),
        );
        assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| ours.abs_diff(*theirs) <= 3), "{name}");
    }
}

#[test]
fn every_codec_there_and_back_through_wav() {
    let (Some(program), Some(vectors)) = (program(), shared::folder("g729/vectors/annex-a")) else { return };
    let folder = folder().join("codecs");
    fs::create_dir_all(&folder).unwrap();
    for (codec, extension) in [
        ("pcma", "al"),
        ("pcmu", "ul"),
        ("g722", "g722"),
        ("g729", "g729"),
        ("g729a", "g729"),
        ("gsm", "gsm"),
        ("ilbc20", "ilbc"),
        ("ilbc30", "ilbc"),
        ("g726-16", "g726"),
        ("g726-24", "g726"),
        ("g726-32", "g726"),
        ("g726-40", "g726"),
        ("aal2-g726-32", "g726"),
    ] {
        let bits = folder.join(format!("{codec}.{extension}"));
        let wav = folder.join(format!("{codec}.wav"));
        transcode(&program, &["--codec", codec], &vectors.join("SPEECH.IN"), &bits);
        transcode(&program, &["--codec", codec], &bits, &wav);
        let again = folder.join(format!("{codec}-again.{extension}"));
        transcode(&program, &["--codec", codec], &wav, &again);
        let (once, twice) = (fs::metadata(&bits).unwrap().len(), fs::metadata(&again).unwrap().len());
        assert!(once > 1_000 && once.abs_diff(twice) <= 60, "{codec}: {once} {twice}");
    }
}

/// What the program says when it has done its work.
fn said(program: &Path, arguments: &[&str], from: &Path, to: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(from).arg(to).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_makes_no_frame_is_told_and_left_out() {
    let Some(program) = program() else { return };
    let folder = folder().join("odd");
    fs::create_dir_all(&folder).unwrap();
    let out = folder.join("out.raw");
    for (codec, extension, bytes, heard, note) in [
        ("g729a", "g729", 10 * 7 + 3, 560, "3 bytes at the end left out"),
        // As in a packet of RTP: a silence descriptor ends it.
        ("g729a", "g729", 10 * 7 + 2, 640, "samples\n"),
        ("ilbc20", "ilbc", 38 * 4 + 37, 640, "37 bytes at the end left out"),
        ("ilbc30", "ilbc", 50 * 4 + 1, 960, "1 bytes at the end left out"),
        ("gsm", "gsm", 33 * 5 + 32, 800, "32 bytes at the end left out"),
        ("g726-24", "g726", 60 * 2 + 2, 320, "2 bytes at the end left out"),
        ("l16", "l16", 321, 160, "1 bytes at the end left out"),
        ("pcmu", "ul", 161, 161, "samples\n"),
        ("g722", "g722", 161, 322, "samples\n"),
    ] {
        let from = folder.join(format!("{codec}.{extension}"));
        // 0xd5 begins a frame of GSM, and fills no frame of iLBC with its empty mark at the end but for an odd byte.
        let mut packed = vec![0xd4; bytes];
        packed[0] = 0xd5;
        fs::write(&from, packed).unwrap();
        let sentence = said(&program, &["--codec", codec], &from, &out);
        assert!(sentence.contains(note), "{codec}: {sentence}");
        assert_eq!(fs::metadata(&out).unwrap().len(), heard * 2, "{codec}: {sentence}");
    }
    // An odd number of bytes of samples, and fewer samples than a frame.
    let from = folder.join("short.raw");
    fs::write(&from, [1; 2 * 100 + 1]).unwrap();
    let sentence = said(&program, &["--codec", "g729a"], &from, &folder.join("short.bit"));
    assert!(sentence.contains("1 frames, 20 samples at the end left out"), "{sentence}");
}

/// A WAV file of one channel.
fn wav(kind: u16, rate: u32, bits: u16, body: &[u8]) -> Vec<u8> {
    let bytes = u32::from(bits / 8);
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    wav.extend_from_slice(&kind.to_le_bytes());
    wav.extend_from_slice(&1u16.to_le_bytes());
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&(rate * bytes).to_le_bytes());
    wav.extend_from_slice(&(bits / 8).to_le_bytes());
    wav.extend_from_slice(&bits.to_le_bytes());
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&(body.len() as u32).to_le_bytes());
    wav.extend_from_slice(body);
    wav
}

#[test]
fn another_rate_of_wav_comes_out_neither_late_nor_early() {
    let Some(program) = program() else { return };
    let folder = folder().join("rates");
    fs::create_dir_all(&folder).unwrap();
    let (from, to) = (folder.join("in.wav"), folder.join("out.raw"));
    let at = |seconds: f64| (seconds * 1_000.0 * std::f64::consts::TAU).sin() * 9_000.0;
    for rate in [6_000, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
        // Floats of 64 bits, too.
        let body: Vec<u8> = (0..rate / 2)
            .flat_map(|n| (at(f64::from(n) / f64::from(rate)) / 32_768.0).to_le_bytes())
            .collect();
        fs::write(&from, wav(3, rate, 64, &body)).unwrap();
        transcode(&program, &["--codec", "l16"], &from, &to);
        let heard: Vec<f64> = fs::read(&to)
            .unwrap()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| f64::from(i16::from_le_bytes(*pair)))
            .collect();
        assert!(heard.len().abs_diff(4_000) <= 1, "{rate} Hz: {} samples", heard.len());
        // Away from the ends, where the file begins and ends at once.
        for (n, sample) in heard.iter().enumerate().take(3_900).skip(100) {
            let error = sample - at(n as f64 / 8_000.0);
            assert!(error.abs() < 60.0, "{rate} Hz: sample {n} is {sample}, {error} away");
        }
    }
}

#[test]
fn a_serial_file_that_is_cut_off_says_what_is_left_out() {
    let Some(program) = program() else { return };
    let folder = folder().join("cut");
    fs::create_dir_all(&folder).unwrap();
    let (speech, bits, out) = (folder.join("in.raw"), folder.join("in.bit"), folder.join("out.raw"));
    fs::write(&speech, [7; 160 * 3]).unwrap();
    transcode(&program, &["--codec", "g729a"], &speech, &bits);
    let whole = fs::read(&bits).unwrap();
    assert_eq!(whole.len(), 3 * 164);
    fs::write(&bits, &whole[..2 * 164 + 31]).unwrap();
    for (to, samples) in [(&out, "160 samples"), (&folder.join("out.g729"), "2 frames")] {
        let sentence = said(&program, &["--codec", "g729"], &bits, to);
        assert!(sentence.contains(&format!("{samples}, 15 words at the end left out")), "{sentence}");
    }
}

#[test]
fn the_heading_of_a_file_of_ilbc_is_read() {
    let Some(program) = program() else { return };
    let folder = folder().join("heading");
    fs::create_dir_all(&folder).unwrap();
    let (bare, headed) = (folder.join("bare.ilbc"), folder.join("headed.ilbc"));
    let frames: Vec<u8> = (0..38 * 4).map(|n| (n % 251) as u8 & 0xfe).collect();
    fs::write(&bare, &frames).unwrap();
    fs::write(&headed, [b"#!iLBC20\n", &frames[..]].concat()).unwrap();
    let (one, two) = (folder.join("bare.raw"), folder.join("headed.raw"));
    transcode(&program, &["--codec", "ilbc20"], &bare, &one);
    transcode(&program, &["--codec", "ilbc20"], &headed, &two);
    same(&one, &two);
    let output = Command::new(&program).args(["--codec", "ilbc30"]).arg(&headed).arg(&two).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("says that it is ilbc20"));
}

#[test]
fn erased_frames_are_concealed_and_counted() {
    let Some(program) = program() else { return };
    let folder = folder().join("erased");
    fs::create_dir_all(&folder).unwrap();
    let (speech, bits, out) = (folder.join("speech.wav"), folder.join("speech.bit"), folder.join("out.raw"));
    // A second of something, companded, in two channels, at 16 kHz: a WAV file of another kind than the one that is written.
    let law = denwa_codecs::g711::Law::Mu;
    let body: Vec<u8> =
        (0..32_000u32).map(|n| law.encode(((f64::from(n / 2) * 0.13).sin() * 9_000.0) as i16)).collect();
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x12\0\0\0\x07\0\x02\0".to_vec();
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(&32_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x08\0\0\0data");
    wav.extend_from_slice(&(body.len() as u32).to_le_bytes());
    wav.extend_from_slice(&body);
    fs::write(&speech, wav).unwrap();
    let sentence = said(&program, &["--codec", "g729a", "--dtx"], &speech, &bits);
    assert!(sentence.contains("100 frames"), "{sentence}");
    // Every fifth frame of those that were sent is lost: one of its bits is neither 0 nor 1.
    let mut words: Vec<u16> =
        fs::read(&bits).unwrap().as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let (mut at, mut frame, mut erased) = (0, 0, 0);
    while at < words.len() {
        let count = usize::from(words[at + 1]);
        if frame % 5 == 4 && count > 0 {
            words[at + 2] = 0;
            erased += 1;
        }
        (at, frame) = (at + 2 + count, frame + 1);
    }
    for swapped in [false, true] {
        let bytes = words.iter().flat_map(|w| if swapped { w.to_be_bytes() } else { w.to_le_bytes() });
        fs::write(&bits, bytes.collect::<Vec<u8>>()).unwrap();
        for codec in ["g729", "g729a"] {
            let sentence = said(&program, &["--codec", codec], &bits, &out);
            assert!(sentence.contains(&format!("8000 samples, {erased} frames concealed")), "{sentence}");
        }
    }
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let Some(program) = program() else { return };
    for (arguments, sentence) in [
        (&["--codec", "g7", "a.raw", "b.bit"][..], "codec g7 is not known"),
        (&["--codec", "g729a", "a.xyz", "b.bit"], "a.xyz"),
        (&["--codec", "pcma", "--dtx", "a.raw", "b.al"], "no discontinuous transmission"),
        (&["a.raw"], "usage"),
        (
            &["--codec", "g729a", "--dtx", "NOISE.g729", "b.raw"],
            "does not tell silence descriptors from speech",
        ),
        (&["--codec", "g729a", "NOISE.bit", "b.raw"], "not the ITU serial format: it begins with 0x7878"),
        (&["--codec", "gsm", "NOISE.gsm", "b.bit"], "nothing to convert"),
        (&["--codec", "gsm", "NOISE.wav", "b.gsm"], "no WAV file"),
    ] {
        let noise = |extension: &str| folder().join(format!("noise.{extension}")).display().to_string();
        let arguments: Vec<String> = arguments
            .iter()
            .map(|word| match word.strip_prefix("NOISE.") {
                Some(extension) => {
                    fs::write(noise(extension), [b'x'; 200]).unwrap();
                    noise(extension)
                }
                None => (*word).to_owned(),
            })
            .collect();
        let output = Command::new(&program).args(&arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(sentence) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}
