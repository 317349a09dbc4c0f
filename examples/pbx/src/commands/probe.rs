//! `pbx probe`: the running exchange calls a neighbour's echo, or all neighbours', and says what came back.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::running::report;
use super::{failed, load, say};
use crate::control::{self, AskError};
use crate::exchange::{Probe, TrunkState};

/// How many neighbours are called at a time.
const AT_A_TIME: usize = 8;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(110);

/// Whom to call.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArguments {
    /// The neighbour; without one, all that have `probe = "NUMBER"`.
    trunk: Option<String>,
    /// The number there that echoes.
    #[arg(long)]
    number: Option<String>,
}

/// Exits with 1 when sound does not pass both ways everywhere.
pub(super) fn probe(file: Option<&Path>, arguments: &ProbeArguments, as_json: bool) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    let Some(socket) = control::path_of(&config) else {
        return failed("[control] socket is switched off in the file");
    };
    let trunks: Vec<String> = match &arguments.trunk {
        Some(trunk) => vec![trunk.clone()],
        None => match report::<Vec<TrunkState>>(&config, &json!({ "ask": "trunks" })) {
            Ok(trunks) => {
                let is_wanted = |trunk: &TrunkState| trunk.probe.is_some() || arguments.number.is_some();
                trunks.into_iter().filter(is_wanted).map(|trunk| trunk.trunk).collect()
            }
            Err(error) => return failed(error),
        },
    };
    if trunks.is_empty() {
        return failed(
            "no trunk has `probe = \"NUMBER\"`: name a trunk, and the number there that echoes by --number",
        );
    }
    let ask = |trunk: &String| -> Result<Probe, AskError> {
        let request = json!({ "ask": "probe", "trunk": trunk, "number": arguments.number });
        let answer = control::ask_patiently(&socket, &request, PATIENCE)?;
        serde_json::from_value(answer).map_err(|error| AskError::Broken(error.into()))
    };
    let mut probes = Vec::new();
    for some in trunks.chunks(AT_A_TIME) {
        let answers: Vec<_> = thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|trunk| scope.spawn(move || ask(trunk))).collect();
            asked.into_iter().map(|asked| asked.join()).collect()
        });
        for answer in answers {
            match answer {
                Ok(Ok(probe)) => probes.push(probe),
                Ok(Err(error)) => return failed(error),
                Err(_) => {
                    return failed("this program has made a mistake; what it printed before says where");
                }
            }
        }
    }
    if as_json {
        say(&format!("{:#}\n", json!(probes)));
    } else {
        say(&table(&probes));
    }
    if probes.iter().all(Probe::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn table(probes: &[Probe]) -> String {
    let mut text = format!(
        "{:<14} {:<8} {:>6} {:>6} {:>9} {:>9} {:>10} {:>10} {:>8} {:<6}  finding\n",
        "trunk", "number", "there", "back", "echo", "network", "lost there", "lost here", "jitter", "codec"
    );
    for probe in probes {
        let milliseconds =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0} ms"));
        let share = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{:.1} %", value * 100.0))
        };
        let passes = |value: Option<bool>| match value {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "?",
        };
        let back = if probe.answered { Some(probe.we_hear) } else { Some(false) };
        let there = if probe.answered { probe.hears_us } else { Some(false) };
        let _ = writeln!(
            text,
            "{:<14} {:<8} {:>6} {:>6} {:>9} {:>9} {:>10} {:>10} {:>8} {:<6}  {}",
            probe.trunk,
            probe.number,
            passes(there),
            passes(back),
            milliseconds(probe.echo_ms),
            milliseconds(probe.network_ms),
            share(probe.lost_there),
            share(probe.lost_here),
            milliseconds(probe.jitter_ms),
            probe.codec,
            probe.finding
        );
    }
    text
}
