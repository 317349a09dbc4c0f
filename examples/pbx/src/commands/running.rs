//! Commands that speak to the running exchange: `pbx status`, `trunks`, `attacks`, `hangup`, `reload`, `trace`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{failed, load, say};
use crate::config::Config;
use crate::control::{self, AskError};
use crate::exchange::{Attacks, Status, TrunkState};

/// What the running exchange reports; `Err` with a sentence when none runs.
pub(super) fn report<T: serde::de::DeserializeOwned>(
    config: &Config,
    request: &Value,
) -> Result<T, AskError> {
    let value = ask(config, request)?;
    serde_json::from_value(value).map_err(|error| AskError::Broken(error.into()))
}

fn ask(config: &Config, request: &Value) -> Result<Value, AskError> {
    match control::path_of(config) {
        Some(path) => control::ask(&path, request),
        None => Err(AskError::NotRunning("[control] socket = \"\"".to_owned())),
    }
}

/// `pbx status`
pub(super) fn status(file: Option<&Path>, as_json: bool) -> ExitCode {
    answer(file, &json!({ "ask": "status" }), as_json, |status: &Status| {
        let mut text = format!(
            "Denwa PBX {}, running for {}, listening on {}.\n",
            status.version,
            lasted(status.up_seconds),
            status.listening.join(", ")
        );
        let _ = writeln!(
            text,
            "{} calls going on, {} since the start; {} of {} extensions' telephones registered.",
            status.calls, status.calls_ever, status.registrations, status.extensions
        );
        let _ = writeln!(
            text,
            "{} ports in use for voice, {} dialogs, {} transactions; {} messages could not be used, {} bans in force.",
            status.media_ports, status.dialogs, status.transactions, status.unusable_messages, status.bans
        );
        if let Some(turn) = &status.turn {
            let _ = writeln!(
                text,
                "STUN and TURN on {}: {} allocations, {} connections; {} packets relayed, {} authentications failed.",
                turn.listening.join(", "),
                turn.allocations,
                turn.connections,
                turn.relayed_packets,
                turn.failed_authentications
            );
        }
        text + &trunk_table(&status.trunks)
    })
}

/// `pbx trunks`
pub(super) fn trunks(file: Option<&Path>, as_json: bool) -> ExitCode {
    answer(file, &json!({ "ask": "trunks" }), as_json, |trunks: &Vec<TrunkState>| {
        if trunks.is_empty() { "There are no trunks.\n".to_owned() } else { trunk_table(trunks) }
    })
}

/// `pbx attacks`
pub(super) fn attacks(file: Option<&Path>, as_json: bool) -> ExitCode {
    answer(file, &json!({ "ask": "attacks" }), as_json, |attacks: &Attacks| {
        let mut text = format!(
            "{} packets of strangers were read and {} dropped; {} offences were noticed.\n",
            attacks.strangers, attacks.refused, attacks.offences
        );
        for source in &attacks.sources {
            let what: Vec<String> =
                source.offences.iter().map(|(offence, times)| format!("{offence} ×{times}")).collect();
            let done = match (source.banned_for_seconds, source.bans) {
                (Some(left), bans) => format!("banned for {} more (ban {bans})", lasted(left)),
                (None, 0) => "not banned".to_owned(),
                (None, bans) => format!("banned {bans} times, not now"),
            };
            let _ = writeln!(
                text,
                "{:<24} {}; {done}, {} packets dropped, heard {} ago",
                source.who,
                what.join(", "),
                source.refused,
                lasted(source.last_seen_seconds)
            );
        }
        text
    })
}

/// `pbx hangup CALL`
pub(super) fn hang_up(file: Option<&Path>, call: u64, as_json: bool) -> ExitCode {
    let request = json!({ "ask": "hangup", "call": call });
    let hung_up: Result<bool, String> = load(file)
        .map_err(|error| error.to_string())
        .and_then(|config| report(&config, &request).map_err(|error| error.to_string()));
    match hung_up {
        Ok(was_there) if as_json => print(&json!({ "hung_up": was_there })),
        Ok(true) => print_text(&format!("Call {call} is hung up.\n")),
        Ok(false) => failed(format!("there is no call {call} going on; `pbx calls` lists them")),
        Err(error) => failed(error),
    }
}

/// `pbx reload`
pub(super) fn reload(file: Option<&Path>, as_json: bool) -> ExitCode {
    // What is wrong with the file is told without troubling the exchange.
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    match ask(&config, &json!({ "ask": "reload" })) {
        Ok(value) if as_json => print(&value),
        Ok(value) => {
            let mut text = "The configuration was read anew; no call was touched.\n".to_owned();
            for notice in value.get("notices").and_then(Value::as_array).into_iter().flatten() {
                let _ = writeln!(text, "note: {}", notice.as_str().unwrap_or_default());
            }
            print_text(&text)
        }
        Err(error) => failed(error),
    }
}

/// What a trace is to hold.
#[derive(Debug, clap::Args)]
pub(super) struct TraceArguments {
    /// Where the capture goes; `-` is the standard output.
    output: PathBuf,
    /// Only what belongs to this call.
    #[arg(long, conflicts_with = "phone")]
    call: Option<u64>,
    /// Only what concerns this extension's telephones.
    #[arg(long)]
    phone: Option<String>,
    /// Leave voice out.
    #[arg(long)]
    signalling: bool,
    /// End after so many megabytes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    megabytes: u64,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

/// `pbx trace FILE`
pub(super) fn trace(file: Option<&Path>, arguments: &TraceArguments) -> ExitCode {
    let TraceArguments { output, call, phone, signalling, megabytes, seconds } = arguments;
    let octets = megabytes.saturating_mul(1_000_000);
    let request = json!({ "ask": "trace", "call": call, "phone": phone, "voice": !signalling,
        "octets": octets, "seconds": seconds });
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    let Some(socket) = control::path_of(&config) else {
        return failed("[control] socket is switched off in the file");
    };
    let done = if output.as_os_str() == "-" {
        control::trace(&socket, &request, octets, &mut io::stdout().lock())
    } else {
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(output);
        match opened {
            Ok(mut opened) => control::trace(&socket, &request, octets, &mut opened),
            Err(error) => return failed(format!("cannot write {}: {error}", output.display())),
        }
    };
    match done {
        Ok(written) => {
            eprintln!("{written} octets were written to {}.", output.display());
            ExitCode::SUCCESS
        }
        Err(error) => failed(error),
    }
}

/// Asks, and prints the answer as JSON or as `text` says.
fn answer<T>(file: Option<&Path>, request: &Value, as_json: bool, text: impl FnOnce(&T) -> String) -> ExitCode
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    match ask(&config, request) {
        Ok(value) if as_json => print(&value),
        Ok(value) => match serde_json::from_value(value) {
            Ok(report) => print_text(&text(&report)),
            Err(error) => failed(format!("the exchange is of another version: {error}")),
        },
        Err(error) => failed(error),
    }
}

fn print(value: &Value) -> ExitCode {
    print_text(&format!("{value:#}\n"))
}

fn print_text(text: &str) -> ExitCode {
    say(text);
    ExitCode::SUCCESS
}

fn trunk_table(trunks: &[TrunkState]) -> String {
    let mut text = String::new();
    for trunk in trunks {
        let answers = match trunk.answers {
            Some(true) => "answers",
            Some(false) => "does not answer",
            None => "is not asked",
        };
        let registered = match trunk.registered {
            Some(true) => ", has our registration",
            Some(false) => ", refused our registration",
            None => "",
        };
        let _ = writeln!(
            text,
            "trunk {:<12} {:<28} {answers}{registered}; {} calls",
            trunk.trunk, trunk.address, trunk.calls
        );
    }
    text
}

/// `41 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub(super) fn lasted(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
