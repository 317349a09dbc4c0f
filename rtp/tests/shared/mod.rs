//! Where test data lies: `DENWA_SHARED`, else `../shared` beside the workspace. A machine without it skips the test and
//! says so, unless `DENWA_REQUIRE_PEERS=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use serde_json::Value;
use std::path::PathBuf;

/// The JSON file at `path` below the test data.
pub(crate) fn json(path: &str) -> Option<Value> {
    let root = std::env::var_os("DENWA_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let file = root.join(path);
    if let Ok(text) = std::fs::read_to_string(&file) {
        return Some(serde_json::from_str(&text).unwrap());
    }
    absent(&format!("{} is not there", file.display()));
    None
}

/// Says what is missing; fails when it must not be.
pub(crate) fn absent(what: &str) {
    assert!(std::env::var_os("DENWA_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{what}");
    println!("skipped: {what}");
}

/// Octets from hexadecimal.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The octets of a field.
pub(crate) fn octets(value: &Value, field: &str) -> Vec<u8> {
    hex(value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}")))
}

/// The number of a field.
pub(crate) fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_else(|| panic!("{field} in {value}"))
}

/// The members of a field.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("{field} in {value}"))
}
