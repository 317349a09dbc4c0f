//! Peers that are Python modules: in the Python of `DENWA_PYTHON`, or else in `python3`.

use std::{
    env,
    process::{Command, Stdio},
};

/// A Python that has `module`. When there is none: prints so, and fails the test where `DENWA_REQUIRE_PEERS=1`.
///
/// # Panics
/// When the module is absent and required.
#[must_use]
pub fn python_with(module: &str) -> Option<String> {
    let works = |python: &String| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = [env::var("DENWA_PYTHON").ok(), Some("python3".to_owned())].into_iter().flatten().find(works);
    if found.is_none() {
        let required = env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "no Python with {module} and DENWA_REQUIRE_PEERS=1: set DENWA_PYTHON");
        eprintln!("no Python with {module}: this test proves nothing here");
    }
    found
}
