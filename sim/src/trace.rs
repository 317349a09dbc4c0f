//! The event log: what happened, where and when, the same text for the same seed.
//!
//! A line names virtual time in seconds, the place, and what happened there. Payloads appear as their length and a
//! fingerprint. A long run keeps a running [`digest`](Trace::digest) of all entries and only the lines that
//! were asked for.

use crate::machine::Protocol;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Virtual time since the network began.
    pub at: Duration,
    /// The host.
    pub place: Arc<str>,
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Happening {
    /// A machine sent bytes.
    Sent(Bytes),
    /// A machine received bytes.
    Received(Bytes),
    /// A packet ended here.
    Dropped {
        /// Its source, as its header said here.
        source: SocketAddr,
        /// Its destination, as its header said here.
        destination: SocketAddr,
        /// Why.
        reason: &'static str,
    },
    /// A stream opened, failed or closed; a question was asked or answered.
    Noted(String),
    /// An event of a machine.
    Event(String),
    /// A machine or a script broke a rule of the simulation.
    Fault(String),
}

/// Bytes on their way, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bytes {
    /// How they travel.
    pub protocol: Protocol,
    /// Whence.
    pub source: SocketAddr,
    /// Whither.
    pub destination: SocketAddr,
    /// How many.
    pub length: usize,
    /// Their [`fingerprint`](crate::random::fingerprint).
    pub fingerprint: u32,
}

/// Which lines are kept. The [`digest`](Trace::digest) and the counters always count everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// All.
    #[default]
    Packets,
    /// No packets that were sent and received; drops, streams, questions, events and faults.
    Notes,
    /// Events and faults only.
    Events,
    /// None.
    Nothing,
}

/// The log.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    detail: Detail,
    entries: Vec<Entry>,
    hash: Fnv,
    faults: usize,
    /// By the host's number.
    counts: Vec<(Arc<str>, Counts)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    sent: u64,
    received: u64,
    dropped: u64,
}

impl Trace {
    /// What is kept, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A number over everything that happened, kept or not. Equal traces have equal digests within one build.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.hash.0
    }

    /// How many times a rule of the simulation was broken: sending from a port that is not bound, a timer that does
    /// not move on.
    #[must_use]
    pub const fn faults(&self) -> usize {
        self.faults
    }

    /// How many payloads machines on `host` have sent.
    #[must_use]
    pub fn sent_by(&self, host: &str) -> u64 {
        self.count(host, |counts| counts.sent)
    }

    /// How many payloads machines on `host` have received.
    #[must_use]
    pub fn received_by(&self, host: &str) -> u64 {
        self.count(host, |counts| counts.received)
    }

    /// How many packets ended at `host` without being received.
    #[must_use]
    pub fn dropped_at(&self, host: &str) -> u64 {
        self.count(host, |counts| counts.dropped)
    }

    /// The texts of the events of machines on `host`, in order.
    pub fn events_of(&self, host: &str) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |entry| &*entry.place == host).filter_map(|entry| match &entry.what {
            Happening::Event(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) const fn set_detail(&mut self, detail: Detail) {
        self.detail = detail;
    }

    fn count(&self, host: &str, which: impl Fn(&Counts) -> u64) -> u64 {
        self.counts.iter().filter(|(name, _)| &**name == host).map(|(_, counts)| which(counts)).sum()
    }

    pub(crate) fn add(&mut self, at: Duration, host: usize, place: &Arc<str>, what: Happening) {
        while self.counts.len() <= host {
            self.counts.push((place.clone(), Counts::default()));
        }
        if let Some((name, counts)) = self.counts.get_mut(host) {
            if *name != *place {
                *name = place.clone();
            }
            match &what {
                Happening::Sent(_) => counts.sent += 1,
                Happening::Received(_) => counts.received += 1,
                Happening::Dropped { .. } => counts.dropped += 1,
                Happening::Fault(_) => self.faults += 1,
                Happening::Noted(_) | Happening::Event(_) => {}
            }
        }
        let entry = Entry { at, place: place.clone(), what };
        entry.hash(&mut self.hash);
        let keep = match (&entry.what, self.detail) {
            (_, Detail::Packets) | (Happening::Event(_) | Happening::Fault(_), Detail::Events) => true,
            (what, Detail::Notes) => !matches!(what, Happening::Sent(_) | Happening::Received(_)),
            (_, Detail::Events | Detail::Nothing) => false,
        };
        if keep {
            self.entries.push(entry);
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(formatter, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:5}.{:06} {:<12} ", self.at.as_secs(), self.at.subsec_micros(), self.place)?;
        match &self.what {
            Happening::Sent(bytes) => write!(formatter, "sent     {bytes}"),
            Happening::Received(bytes) => write!(formatter, "received {bytes}"),
            Happening::Dropped { source, destination, reason } => {
                write!(formatter, "dropped  {source} -> {destination}: {reason}")
            }
            Happening::Noted(text) => write!(formatter, "note     {text}"),
            Happening::Event(text) => write!(formatter, "event    {text}"),
            Happening::Fault(text) => write!(formatter, "FAULT    {text}"),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, source, destination, length, fingerprint } = self;
        write!(formatter, "{protocol} {source} -> {destination} {length} bytes #{fingerprint:08x}")
    }
}

/// FNV-1a with 64 bits.
#[derive(Debug, Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}
