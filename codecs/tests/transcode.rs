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

#[test]
fn mistakes_are_told_in_a_sentence() {
    let Some(program) = program() else { return };
    for (arguments, sentence) in [
        (&["--codec", "g7", "a.raw", "b.bit"][..], "codec g7 is not known"),
        (&["--codec", "g729a", "a.xyz", "b.bit"], "a.xyz"),
        (&["--codec", "pcma", "--dtx", "a.raw", "b.al"], "no discontinuous transmission"),
        (&["a.raw"], "usage"),
    ] {
        let output = Command::new(&program).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(sentence) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}
