//! `pbx calls`, `pbx why CALL`, `pbx phones`: what the store knows, for people as a table and for scripts as JSON.
//!
//! What is going on they ask of the running exchange, by its socket; what has ended they read in the store, beside it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::clock::utc;
use super::running::{lasted, report};
use super::{failed, load, say};
use crate::config::Config;
use crate::exchange::{LiveCall, Phone};
use crate::store::{CallRecord, Store, StoredBinding};

/// `pbx calls`
pub(super) fn calls(file: Option<&Path>, limit: u32, as_json: bool) -> ExitCode {
    with_store(file, |config, store| {
        // No exchange runs: nothing is going on.
        let live: Vec<LiveCall> = report(config, &json!({ "ask": "calls" })).unwrap_or_default();
        let records = store.calls(limit).map_err(|error| error.to_string())?;
        if as_json {
            let ended: Vec<Value> = records.iter().map(call_json).collect();
            return Ok(pretty(&json!({ "going_on": live, "ended": ended })));
        }
        let mut table = String::new();
        for call in &live {
            let _ = writeln!(table, "{}", live_line(call));
        }
        for record in &records {
            // Writing to a String does not fail.
            let _ = writeln!(table, "{}", line(record));
        }
        Ok(if table.is_empty() { "There was no call yet.\n".to_owned() } else { table })
    })
}

/// `pbx why CALL`
pub(super) fn why(file: Option<&Path>, call: i64, as_json: bool) -> ExitCode {
    with_store(file, |config, store| {
        let live: Option<LiveCall> =
            report(config, &json!({ "ask": "call", "call": call })).unwrap_or_default();
        if let Some(live) = live {
            return Ok(if as_json { pretty(&json!(live)) } else { live_story(&live) });
        }
        let record = store.call(call).map_err(|error| error.to_string())?;
        let record = record.ok_or_else(|| {
            format!("there is no call {call} in the store; `pbx calls` lists those that have ended")
        })?;
        Ok(if as_json { pretty(&call_json(&record)) } else { story(&record) })
    })
}

/// `pbx phones`
pub(super) fn phones(file: Option<&Path>, as_json: bool) -> ExitCode {
    with_store(file, |config, store| {
        let phones = match report(config, &json!({ "ask": "phones" })) {
            Ok(phones) => phones,
            // The store knows them too, as they were when the exchange ended.
            Err(_) => stored_phones(store)?,
        };
        if as_json {
            return Ok(pretty(&json!(phones)));
        }
        let mut table = String::new();
        for phone in &phones {
            let _ = writeln!(
                table,
                "{:<8} {} {:<24} {:>5} s left  {}",
                phone.number,
                phone.protocol,
                phone.address.to_string(),
                phone.expires_in_seconds,
                phone.user_agent
            );
        }
        Ok(if table.is_empty() { "No telephone is registered.\n".to_owned() } else { table })
    })
}

fn stored_phones(store: &mut Store) -> Result<Vec<Phone>, String> {
    let now = SystemTime::now();
    let bindings = store.registrations(now).map_err(|error| error.to_string())?;
    let phone = |binding: StoredBinding| Phone {
        expires_in_seconds: binding.expires_at.duration_since(now).unwrap_or_default().as_secs(),
        number: binding.number,
        contact: binding.contact,
        protocol: binding.protocol.to_ascii_lowercase(),
        address: binding.remote,
        user_agent: binding.user_agent,
    };
    Ok(bindings.into_iter().map(phone).collect())
}

fn with_store(
    file: Option<&Path>,
    work: impl FnOnce(&Config, &mut Store) -> Result<String, String>,
) -> ExitCode {
    let text = load(file).map_err(|error| error.to_string()).and_then(|config| {
        let mut store = Store::open(&config.store.url).map_err(|error| error.to_string())?;
        work(&config, &mut store)
    });
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

fn live_line(call: &LiveCall) -> String {
    let line = format!(
        "{:>6}  {:<19}  {:<12} {:<12} {:<10} {:>6}  {}",
        call.call,
        "going on",
        call.caller,
        call.dialled,
        call.stage,
        format!("{} s", call.talked_seconds.unwrap_or(call.seconds)),
        call.answered_by
    );
    line.trim_end().to_owned()
}

fn live_story(call: &LiveCall) -> String {
    let mut text = format!(
        "Call {}: {} ({}) dialled {} ({}) {} ago; it is {}.\n",
        call.call,
        call.caller,
        call.caller_side,
        call.dialled,
        call.reaches,
        lasted(call.seconds),
        call.stage
    );
    if let Some(seconds) = call.talked_seconds {
        let _ = writeln!(text, "{} answered {} ago, {}.", call.answered_by, lasted(seconds), call.codec);
    }
    for by in &call.held_by {
        let _ = writeln!(text, "{by} has put the other side on hold.");
    }
    text += "\nWhat happened so far:\n";
    for fact in &call.facts {
        let _ = writeln!(text, "  {fact}");
    }
    text
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
