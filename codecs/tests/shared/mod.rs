//! Where the reference vectors are, and how the absence of one is told.
#![allow(dead_code, unreachable_pub)]

use std::{env, fs, path::Path, path::PathBuf};

/// A folder of `$DENWA_SHARED`, else of `../shared` beside the workspace. Absent: says so, and fails if peers are required.
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = env::var_os("DENWA_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = root.join(name);
    if folder.exists() {
        return Some(folder);
    }
    absent(&format!("{} (reference vectors)", folder.display()));
    None
}

/// Says that `what` is not here; a failure under `DENWA_REQUIRE_PEERS=1`.
pub fn absent(what: &str) {
    assert!(env::var("DENWA_REQUIRE_PEERS").as_deref() != Ok("1"), "required but absent: {what}");
    println!("absent, not compared: {what}");
}

/// A file of 16-bit little-endian samples.
pub fn samples(file: &Path) -> Vec<i16> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Where two sequences part, and what each has there; a difference in length counts.
pub fn first_difference<T: Copy + PartialEq>(
    ours: &[T],
    theirs: &[T],
) -> Option<(usize, Option<T>, Option<T>)> {
    let at = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at))?;
    Some((at, ours.get(at).copied(), theirs.get(at).copied()))
}
