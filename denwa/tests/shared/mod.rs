//! Finds test data that does not live in this repository: in `DENWA_SHARED`, else `../shared` beside the workspace.

use std::path::PathBuf;

/// The path of a shared file, or `None`, said aloud, when it is absent. With `DENWA_REQUIRE_PEERS=1` absence is a failure.
pub(crate) fn path(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DENWA_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("DENWA_REQUIRE_PEERS").is_none_or(|value| value != "1"),
        "{} is absent",
        path.display()
    );
    println!("skipped: {} is absent", path.display());
    None
}
