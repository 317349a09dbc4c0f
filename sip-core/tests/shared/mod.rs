//! Where test data lives: `DENWA_SHARED`, else `../shared` beside the workspace.

use std::path::PathBuf;

/// The folder `name` of the shared data. `None`, with a line on standard output, when it is absent and its presence
/// is not required by `DENWA_REQUIRE_PEERS=1`.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DENWA_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("DENWA_REQUIRE_PEERS").as_deref() != Ok("1"), "{} is missing", folder.display());
    println!("{} is absent: nothing was tested", folder.display());
    None
}
