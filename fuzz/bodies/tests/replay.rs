//! Every target is run over its committed seeds, and each seed again with bits flipped and bytes cut, so that a
//! checkout without libFuzzer still walks the paths that fuzzing found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

#[test]
fn every_target_replays_its_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    for (name, body) in denwa_fuzz_bodies::all() {
        let folder = seeds.join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("target {name} has no seeds in {}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "target {name} has an empty seed folder");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            body(&bytes);
            for variant in variants(&bytes) {
                body(&variant);
            }
        }
    }
}

/// A few dozen neighbours of a seed: cut short, doubled, one byte changed.
fn variants(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = vec![Vec::new(), bytes.repeat(2)];
    let step = (bytes.len() / 16).max(1);
    for at in (0..bytes.len()).step_by(step) {
        out.push(bytes[..at].to_vec());
        for value in [0x00, 0xff, b'\r', b'"', bytes[at] ^ 0x01] {
            let mut copy = bytes.to_vec();
            copy[at] = value;
            out.push(copy);
        }
    }
    out
}

#[test]
fn every_target_has_a_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in denwa_fuzz_bodies::all() {
        assert!(folder.join(format!("fuzz_targets/{name}.rs")).exists(), "fuzz_targets/{name}.rs is missing");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
    }
}
