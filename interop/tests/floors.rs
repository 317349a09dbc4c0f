//! The floors of ARCHITECTURE.md, read from the manifests: no arrow points up or sideways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

const GROUND: [&str; 5] = ["denwa-sip-core", "denwa-sdp", "denwa-rtp", "denwa-codecs", "denwa-ice"];

/// Our own crates that a manifest's `[dependencies]` name.
fn dependencies(folder: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let section = text.split("\n[dependencies]\n").nth(1).expect("every manifest has [dependencies]");
    let section = section.split("\n[").next().unwrap_or(section);
    section
        .lines()
        .filter_map(|line| line.split(['=', '.']).next())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("denwa"))
        .collect()
}

#[test]
fn the_ground_floor_does_not_know_itself() {
    for folder in ["sip-core", "sdp", "rtp", "codecs", "ice", "sim"] {
        assert_eq!(dependencies(folder), Vec::<String>::new(), "{folder} depends on another room");
    }
}

#[test]
fn the_first_floor_stands_on_the_ground_floor_only() {
    let below = dependencies("denwa");
    assert!(below.iter().all(|name| GROUND.contains(&name.as_str())), "{below:?}");
}

#[test]
fn the_top_floor_does_not_know_itself() {
    for folder in ["examples/pbx", "examples/softphone", "examples/gateway"] {
        for name in dependencies(folder) {
            assert!(name == "denwa" || GROUND.contains(&name.as_str()), "{folder} depends on {name}");
        }
    }
}

#[test]
fn only_codecs_may_be_unsafe() {
    for folder in ["sip-core", "sdp", "rtp", "ice", "denwa", "sim", "examples/pbx"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("src/lib.rs");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{folder} does not forbid unsafe code");
    }
}
