//! The name service: a table that answers questions after a while.
//!
//! Records carry what RFC 3263 needs (A, AAAA, SRV, NAPTR), TXT besides. A name that resolves to nothing, a server
//! that fails and one that stays silent are different answers, as they are in life.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// What is wanted to know of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Where a service is (RFC 2782).
    Srv,
    /// Which services there are (RFC 3403).
    Naptr,
    /// Text.
    Txt,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Record {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Where a service is (RFC 2782).
    Srv {
        /// Lower first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The host's name.
        target: String,
    },
    /// Which services there are (RFC 3403).
    Naptr {
        /// Lower first.
        order: u16,
        /// Lower first among equals.
        preference: u16,
        /// `s`, `a`, `u` or none.
        flags: String,
        /// For example `SIP+D2U`.
        service: String,
        /// The substitution, mostly empty.
        regexp: String,
        /// The next name to ask.
        replacement: String,
    },
    /// Text.
    Txt(String),
}

impl Record {
    /// Which question this answers.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::A(_) => RecordKind::A,
            Self::Aaaa(_) => RecordKind::Aaaa,
            Self::Srv { .. } => RecordKind::Srv,
            Self::Naptr { .. } => RecordKind::Naptr,
            Self::Txt(_) => RecordKind::Txt,
        }
    }
}

/// Why a name gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResolveFailure {
    /// There is no such name.
    NoSuchName,
    /// The name exists, without records of this kind.
    NoRecords,
    /// The server could not answer.
    ServerFailure,
    /// Nobody answered.
    TimedOut,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Names {
    records: BTreeMap<String, Vec<Record>>,
    failures: BTreeMap<String, ResolveFailure>,
    latency: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Self { records: BTreeMap::new(), failures: BTreeMap::new(), latency: Duration::from_millis(20) }
    }
}

impl Names {
    /// How long a good or a negative answer takes; 20 ms unless told. [`ResolveFailure::TimedOut`] takes 5 s.
    pub const fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// Adds a record. Upper and lower case are the same, a dot at the end does not matter.
    pub fn add(&mut self, name: &str, record: Record) {
        self.records.entry(canonical(name)).or_default().push(record);
    }

    /// Forgets all records of a name.
    pub fn remove(&mut self, name: &str) {
        self.records.remove(&canonical(name));
    }

    /// Makes every question about a name fail, or (`None`) no longer.
    pub fn set_failure(&mut self, name: &str, failure: Option<ResolveFailure>) {
        match failure {
            Some(failure) => self.failures.insert(canonical(name), failure),
            None => self.failures.remove(&canonical(name)),
        };
    }

    /// What the answer is, and how long it takes.
    pub fn answer(&self, name: &str, kind: RecordKind) -> (Result<Vec<Record>, ResolveFailure>, Duration) {
        let name = canonical(name);
        if let Some(failure) = self.failures.get(&name) {
            let wait =
                if *failure == ResolveFailure::TimedOut { Duration::from_secs(5) } else { self.latency };
            return (Err(*failure), wait);
        }
        let Some(all) = self.records.get(&name) else {
            return (Err(ResolveFailure::NoSuchName), self.latency);
        };
        let found: Vec<_> = all.iter().filter(|record| record.kind() == kind).cloned().collect();
        (if found.is_empty() { Err(ResolveFailure::NoRecords) } else { Ok(found) }, self.latency)
    }
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_answer_what_they_have_and_say_what_they_lack() {
        let mut names = Names::default();
        names.add("Pbx.Example.", Record::A(Ipv4Addr::LOCALHOST));
        assert_eq!(names.answer("pbx.example", RecordKind::A).0, Ok(vec![Record::A(Ipv4Addr::LOCALHOST)]));
        assert_eq!(names.answer("pbx.example", RecordKind::Aaaa).0, Err(ResolveFailure::NoRecords));
        assert_eq!(names.answer("x.example", RecordKind::A).0, Err(ResolveFailure::NoSuchName));
        names.set_failure("pbx.example", Some(ResolveFailure::TimedOut));
        assert_eq!(
            names.answer("pbx.example", RecordKind::A),
            (Err(ResolveFailure::TimedOut), Duration::from_secs(5))
        );
    }
}
