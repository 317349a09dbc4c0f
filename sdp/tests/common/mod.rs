//! Where shared test data is. Not every test needs all of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// A folder of the shared test data; `None`, said aloud, where there is none and none is required.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("DENWA_SHARED") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(
        std::env::var("DENWA_REQUIRE_PEERS").as_deref() != Ok("1"),
        "{} is not there; set DENWA_SHARED",
        path.display()
    );
    println!("{} is not there: passed over", path.display());
    None
}

/// Every file below a folder with this ending, sorted, with its contents.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|known| known == ending) {
                let name = path.strip_prefix(folder.parent().unwrap()).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
