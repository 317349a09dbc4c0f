//! `pbx mantela publish | book | route`: the own document, and what those of others say.
//!
//! Documents are read from files or by HTTP. One that cannot be read is told and passed over: a network has dead members.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{failed, load, say};
use crate::config::Config;
use crate::mantela::{Network, Reach, document};
use crate::policy::directory::Directory;
use crate::store::Store;

/// How long a neighbour's server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest document.
const LONGEST: u64 = 16 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the document of this exchange.
    Publish,
    /// List every telephone that is known, the nearest first, with the digits that reach it from here.
    Book {
        /// Documents of others: files, or http:// addresses; those of the file's trunks when none is given.
        documents: Vec<String>,
    },
    /// Find the cheapest way to a telephone of another exchange.
    Route {
        /// The exchange's identifier.
        exchange: String,
        /// The extension there.
        extension: String,
        /// Documents of others: files, or http:// addresses; those of the file's trunks when none is given.
        documents: Vec<String>,
    },
}

pub(super) fn run(command: Command, file: Option<&Path>, as_json: bool) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return failed(error),
    };
    let own = match own(&config, file) {
        Ok(own) => own,
        Err(error) => return failed(error),
    };
    let text = match command {
        Command::Publish => Ok(format!("{own:#}\n")),
        Command::Book { documents } => network(&config, &own, &documents).map(|(network, from)| {
            let book = network.phone_book(&from);
            if as_json {
                let entries: Vec<Value> = book
                    .iter()
                    .map(|(name, reach)| json!({ "name": name, "reach": in_json(reach) }))
                    .collect();
                return format!("{:#}\n", json!(entries));
            }
            let mut text = String::new();
            for (name, reach) in book {
                let _ = writeln!(text, "{:<20} {}", reach.digits, in_words(&name, &reach));
            }
            text
        }),
        Command::Route { exchange, extension, documents } => {
            network(&config, &own, &documents).and_then(|(network, from)| {
                let reach = network
                    .route(&from, &exchange, &extension)
                    .ok_or_else(|| format!("no way to {exchange} is known"))?;
                Ok(if as_json {
                    format!("{:#}\n", in_json(&reach))
                } else {
                    format!("{} {}\n", reach.digits, in_words("", &reach))
                })
            })
        }
    };
    match text {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => failed(error),
    }
}

fn own(config: &Config, file: Option<&Path>) -> Result<Value, String> {
    let store = Store::open(&config.store).map_err(|error| error.to_string())?;
    let stored = store.extensions().map_err(|error| error.to_string())?;
    let settings = store.settings().map_err(|error| error.to_string())?;
    Ok(document(config, &Directory::new(config, &stored, file).with_settings(&settings)))
}

fn network(config: &Config, own: &Value, documents: &[String]) -> Result<(Network, String), String> {
    let mut network = Network::default();
    let from = network.add(own)?;
    let of_trunks: Vec<String> = config.trunks.iter().filter_map(|trunk| trunk.mantela.clone()).collect();
    for source in if documents.is_empty() { &of_trunks } else { documents } {
        let added = read(source)
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
            .and_then(|document: Value| network.add(&document));
        if let Err(error) = added {
            eprintln!("pbx: {source} is passed over: {error}");
        }
    }
    Ok((network, from))
}

fn read(source: &str) -> Result<String, String> {
    match source.strip_prefix("http://") {
        Some(rest) => fetch(rest),
        None if source.starts_with("https://") => {
            Err("only http:// and files are read here; save it to a file first".to_owned())
        }
        None => std::fs::read_to_string(source).map_err(|error| error.to_string()),
    }
}

/// GET of `host[:port]/path`.
fn fetch(rest: &str) -> Result<String, String> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(&address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it sent no answer")?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(head.lines().next().unwrap_or_default().to_owned());
    }
    Ok(body.to_owned())
}

fn in_json(reach: &Reach) -> Value {
    json!({ "digits": reach.digits, "by": reach.by, "hops": reach.by.len().saturating_sub(1),
            "pulse_seconds": reach.pulse_seconds })
}

fn in_words(name: &str, reach: &Reach) -> String {
    format!("{name:<20} by {} ({:.1} s by rotary dial)", reach.by.join(" → "), reach.pulse_seconds)
}
