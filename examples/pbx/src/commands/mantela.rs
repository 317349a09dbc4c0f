//! `pbx mantela publish | book | route`: the own document, and what those of others say.
//!
//! Documents are read from files, by HTTP or by HTTPS. One that cannot be read is told and passed over: a network has dead members.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{Certificate, TlsConfig};

use super::{failed, load, say};
use crate::config::Config;
use crate::mantela::{Network, Reach, document};
use crate::policy::directory::Directory;
use crate::store::Store;

/// How long a neighbour's server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most documents that are read.
const MOST_DOCUMENTS: usize = 200;

/// The longest document.
const LONGEST: u64 = 16 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the document of this exchange.
    Publish,
    /// List every telephone that is known, the nearest first, with the digits that reach it from here.
    Book {
        /// Documents of others: files, or http:// and https:// addresses; those of the file's trunks when none is given.
        documents: Vec<String>,
    },
    /// Draw the network: a graph for Graphviz' `dot`, with the prefixes on its edges.
    Map {
        /// Documents of others: files, or http:// and https:// addresses; those of the file's trunks, and of their
        /// neighbours' neighbours, when none is given.
        documents: Vec<String>,
    },
    /// Find the cheapest way to a telephone of another exchange.
    Route {
        /// The exchange's identifier.
        exchange: String,
        /// The extension there.
        extension: String,
        /// Documents of others: files, or http:// and https:// addresses; those of the file's trunks when none is given.
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
        Command::Map { documents } => network(&config, &own, &documents).map(|(network, _)| {
            if as_json { format!("{:#}\n", json!({ "dot": network.drawing() })) } else { network.drawing() }
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
    let store = Store::open(&config.store.url).map_err(|error| error.to_string())?;
    let stored = store.extensions().map_err(|error| error.to_string())?;
    let settings = store.settings().map_err(|error| error.to_string())?;
    Ok(document(config, &Directory::new(config, &stored, file).with_settings(&settings)))
}

fn network(config: &Config, own: &Value, documents: &[String]) -> Result<(Network, String), String> {
    let mut network = Network::default();
    let from = network.add(own)?;
    let of_trunks: Vec<String> = config.trunks.iter().filter_map(|trunk| trunk.mantela.clone()).collect();
    let named = if documents.is_empty() { &of_trunks } else { documents };
    // Neighbours name their own neighbours' documents: the network is walked outwards, each document once.
    let mut open: VecDeque<String> = named.iter().cloned().collect();
    let mut read_already: BTreeSet<String> = BTreeSet::new();
    while let Some(source) = open.pop_front() {
        if read_already.len() >= MOST_DOCUMENTS || !read_already.insert(source.clone()) {
            continue;
        }
        let added = read(&source)
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
            .and_then(|document: Value| network.add(&document));
        match added {
            Ok(identifier) if documents.is_empty() => {
                open.extend(network.documents_of(&identifier).iter().cloned());
            }
            Ok(_) => {}
            Err(error) => eprintln!("pbx: {source} is passed over: {error}"),
        }
    }
    Ok((network, from))
}

fn read(source: &str) -> Result<String, String> {
    if !source.starts_with("http://") && !source.starts_with("https://") {
        return std::fs::read_to_string(source).map_err(|error| error.to_string());
    }
    // The authorities that this machine trusts; a few of them may be unreadable.
    let trusted = rustls_native_certs::load_native_certs().certs;
    let trusted = trusted.iter().map(|one| Certificate::from_der(one).to_owned());
    let tls = TlsConfig::builder().root_certs(trusted.collect::<Vec<_>>().into()).build();
    let agent = Agent::config_builder().tls_config(tls).timeout_global(Some(PATIENCE)).build().new_agent();
    let answer = agent.get(source).header("Accept", "application/json").call();
    let mut answer = answer.map_err(|error| error.to_string())?;
    answer.body_mut().with_config().limit(LONGEST).read_to_string().map_err(|error| error.to_string())
}

fn in_json(reach: &Reach) -> Value {
    json!({ "digits": reach.digits, "by": reach.by, "hops": reach.by.len().saturating_sub(1),
            "pulse_seconds": reach.pulse_seconds })
}

fn in_words(name: &str, reach: &Reach) -> String {
    format!("{name:<20} by {} ({:.1} s by rotary dial)", reach.by.join(" → "), reach.pulse_seconds)
}
