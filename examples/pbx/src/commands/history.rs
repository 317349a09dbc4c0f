//! `pbx calls`, `pbx why CALL`, `pbx phones`: what the store knows, for people as a table and for scripts as JSON.
//!
//! They read the store beside a running exchange; calls that are going on are not in it yet.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::clock::utc;
use super::{failed, load, say};
use crate::store::{CallRecord, Store, StoredBinding};

/// `pbx calls`
pub(super) fn calls(file: Option<&Path>, limit: u32, as_json: bool) -> ExitCode {
    with_store(file, |store| {
        let records = store.calls(limit).map_err(|error| error.to_string())?;
        if as_json {
            return Ok(pretty(&Value::Array(records.iter().map(call_json).collect())));
        }
        let mut table = String::new();
        for record in &records {
            // Writing to a String does not fail.
            let _ = writeln!(table, "{}", line(record));
        }
        Ok(if table.is_empty() { "There was no call yet.\n".to_owned() } else { table })
    })
}

/// `pbx why CALL`
pub(super) fn why(file: Option<&Path>, call: i64, as_json: bool) -> ExitCode {
    with_store(file, |store| {
        let record = store.call(call).map_err(|error| error.to_string())?;
        let record = record.ok_or_else(|| {
            format!("there is no call {call} in the store; `pbx calls` lists those that have ended")
        })?;
        Ok(if as_json { pretty(&call_json(&record)) } else { story(&record) })
    })
}

/// `pbx phones`
pub(super) fn phones(file: Option<&Path>, as_json: bool) -> ExitCode {
    with_store(file, |store| {
        let now = SystemTime::now();
        let bindings = store.registrations(now).map_err(|error| error.to_string())?;
        if as_json {
            return Ok(pretty(&Value::Array(bindings.iter().map(phone_json).collect())));
        }
        let mut table = String::new();
        for binding in &bindings {
            let remaining = binding.expires_at.duration_since(now).unwrap_or_default().as_secs();
            let protocol = binding.protocol.to_ascii_lowercase();
            let _ = writeln!(
                table,
                "{:<8} {protocol} {:<24} {remaining:>5} s left  {}",
                binding.number, binding.remote, binding.user_agent
            );
        }
        Ok(if table.is_empty() { "No telephone is registered.\n".to_owned() } else { table })
    })
}

fn with_store(file: Option<&Path>, work: impl FnOnce(&mut Store) -> Result<String, String>) -> ExitCode {
    let text = load(file)
        .map_err(|error| error.to_string())
        .and_then(|config| Store::open(&config.store).map_err(|error| error.to_string()))
        .and_then(|mut store| work(&mut store));
    match text {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => failed(error),
    }
}

/// One line of the table.
fn line(record: &CallRecord) -> String {
    let talked = match talked(record) {
        Some(seconds) => format!("{seconds} s"),
        None => "-".to_owned(),
    };
    let line = format!(
        "{:>6}  {}  {:<12} {:<12} {:<10} {:>6}  {}",
        record.call,
        utc(record.began_at),
        record.caller,
        record.dialled,
        record.outcome.text(),
        talked,
        record.cause
    );
    line.trim_end().to_owned()
}

/// Everything about one call.
fn story(record: &CallRecord) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Call {}: {} ({}) dialled {}{} at {} UTC.",
        record.call,
        record.caller,
        record.caller_side,
        record.dialled,
        if record.callee_side.is_empty() { String::new() } else { format!(" ({})", record.callee_side) },
        utc(record.began_at)
    );
    let _ = match talked(record) {
        Some(seconds) => writeln!(text, "It was answered and lasted {seconds} s, {}.", record.codec),
        None => writeln!(text, "It was not answered: {} ({}).", record.status, record.outcome.text()),
    };
    let _ = match (record.cause.is_empty(), record.remedy.is_empty()) {
        (true, _) => writeln!(text, "Nothing was wrong with it."),
        (false, true) => writeln!(text, "{}", record.cause),
        (false, false) => writeln!(text, "{}\n{}", record.cause, record.remedy),
    };
    if !record.evidence.is_empty() {
        text += "\nWhat happened:\n";
        for fact in record.evidence.lines() {
            let _ = writeln!(text, "  {fact}");
        }
    }
    text
}

fn talked(record: &CallRecord) -> Option<u64> {
    Some(record.ended_at.duration_since(record.answered_at?).unwrap_or_default().as_secs())
}

fn call_json(record: &CallRecord) -> Value {
    json!({
        "call": record.call,
        "began": utc(record.began_at),
        "answered": record.answered_at.map(utc),
        "ended": utc(record.ended_at),
        "caller": record.caller,
        "caller_side": record.caller_side,
        "dialled": record.dialled,
        "callee_side": record.callee_side,
        "outcome": record.outcome.text(),
        "status": record.status,
        "seconds": talked(record),
        "codec": record.codec,
        "cause": record.cause,
        "remedy": record.remedy,
        "facts": record.evidence.lines().collect::<Vec<_>>(),
    })
}

fn phone_json(binding: &StoredBinding) -> Value {
    json!({
        "number": binding.number,
        "contact": binding.contact,
        "protocol": binding.protocol.to_ascii_lowercase(),
        "address": binding.remote.to_string(),
        "expires": utc(binding.expires_at),
        "user_agent": binding.user_agent,
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
