//! The `inspect` example as people call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod shared;

use std::{path::PathBuf, process::Command};

/// Cargo builds examples beside the tests.
fn inspect(arguments: &[&str]) -> (i32, String) {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    let output = Command::new(program.join("examples/inspect")).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_groups_of_rfc_4475_are_told_apart() {
    let Some(folder) = shared::folder("vectors/rfc4475-sip-torture") else { return };
    let index: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let file = |entry: &serde_json::Value| folder.join(entry["file"].as_str().unwrap());
    let mut told = [0, 0];
    for entry in index["messages"].as_array().unwrap() {
        let path: PathBuf = file(entry);
        let (code, text) = inspect(&["--json", path.to_str().unwrap()]);
        let report: serde_json::Value =
            serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let valid = report["valid"].as_bool().unwrap();
        assert_eq!(code == 0, valid);
        assert_eq!(report["error"].is_null(), valid);
        assert_eq!(report["offset"].is_number(), !valid);
        match entry["rfc_group"].as_str().unwrap() {
            "valid" => {
                assert!(valid, "{text}");
                told[0] += 1;
            }
            "invalid" => {
                assert!(!valid, "{text}");
                told[1] += 1;
            }
            _ if entry["syntax"].as_str().unwrap().starts_with("valid") => assert!(valid, "{text}"),
            _ => assert!(!valid, "{text}"),
        }
        if valid {
            assert!(report["method"].is_string() != report["status"].is_number());
            assert!(!report["headers"].as_array().unwrap().is_empty());
        }
    }
    assert_eq!(told, [13, 19]);
}

#[test]
fn many_files_one_line_each_and_the_exit_code_of_the_worst() {
    let Some(folder) = shared::folder("vectors/rfc4475-sip-torture/messages") else { return };
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (code, text) = inspect(&["--json", &file("wsinv.dat"), &file("trws.dat")]);
    assert_eq!((code, text.lines().count()), (1, 2));
    assert!(text.contains("\"lenient\":[\"StartLineSpace\"]"), "{text}");
    let (_, text) = inspect(&["--json", "--strict", &file("trws.dat")]);
    assert!(text.contains("\"lenient\":null"), "{text}");
    let (code, text) = inspect(&[&file("ncl.dat")]);
    assert_eq!(code, 1);
    assert!(text.contains("400 a number of bytes expected at byte"), "{text}");
    assert_eq!(inspect(&["/nonexistent"]).0, 2);
    assert_eq!(inspect(&[]).0, 2);
}

#[test]
fn a_file_that_cannot_be_read_has_its_line_too() {
    let (code, text) = inspect(&["--json", "no/such/file"]);
    let report: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (code, report["valid"].as_bool(), report["file"].as_str()),
        (2, Some(false), Some("no/such/file"))
    );
    assert!(report["error"].is_string() && report["headers"].as_array().unwrap().is_empty());
}
