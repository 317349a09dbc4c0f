//! The local socket by which commands speak to a running exchange.
//!
//! A Unix socket beside the store that only its owner may open. One connection asks one thing: a line of JSON there, a line of
//! JSON back, `{"ok": …}` or `{"error": "a sentence"}`; `trace` is followed by a capture in the pcap format until either side
//! closes. What the program prints for people is made from the same answers that `--json` shows.

mod client;
mod pcap;
mod server;
mod switchboard;

use std::path::PathBuf;

use crate::config::{Config, StoreUrl};

pub use client::{AskError, ask, ask_patiently, trace};
pub use pcap::{Direction, PcapWriter};
pub use server::{Control, Desk};
pub use switchboard::{Answer, Switchboard};

/// Where the socket of an exchange with this configuration is; `None` when it was switched off.
pub fn path_of(config: &Config) -> Option<PathBuf> {
    match (&config.control.socket, &config.store.url) {
        (Some(path), _) if path.as_os_str().is_empty() => None,
        (Some(path), _) => Some(path.clone()),
        (None, StoreUrl::Sqlite(store)) => Some(store.with_extension("sock")),
        (None, StoreUrl::Memory) => Some(PathBuf::from("pbx.sock")),
    }
}
