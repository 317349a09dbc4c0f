//! The unit of systemd and the container file name what there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

fn deploy(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = std::env::temp_dir().join(format!("pbx-unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let unit = folder.join("pbx.service");
    // The program stands where the tests built it.
    fs::write(&unit, deploy("pbx.service").replace("/usr/local/bin/pbx", env!("CARGO_BIN_EXE_pbx"))).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    fs::remove_dir_all(&folder).unwrap();
    let Ok(output) = output else {
        eprintln!("systemd-analyze is not here: passed over");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("pbx.service")).collect();
    assert!(about_us.is_empty(), "{about_us:?}");
}

#[test]
fn the_container_file_builds_and_starts_this_program() {
    let text = deploy("Containerfile");
    assert!(text.contains("cargo build --release --locked -p pbx") && text.contains("target/release/pbx"));
    let command = text.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    let known = Command::new(env!("CARGO_BIN_EXE_pbx")).args(&command).arg("--help").output().unwrap();
    assert!(known.status.success(), "{command:?}");
    assert!(text.contains("USER pbx"), "it does not run as root");
}
