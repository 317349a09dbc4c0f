//! What happened to a call, a registration or a refused source, and what that means.
//!
//! Programs put facts in as they occur: each message, each description, each address tried, each stream's counters
//! ([`Fact`]). The collection is bounded. [`findings()`] is a pure function from the facts to named causes, each with the
//! facts that show it and what to do about it, so that no call stays silent without a sentence that says why.
//!
//! The types of facts and findings are plain: no socket, no parser, no clock. Nothing in here holds a password or a key.

mod fact;
mod finding;
mod findings;
mod observe;
mod rule;
mod words;

pub use fact::{
    AddressTold, Agreement, Description, Disagreement, EndCause, Fact, Header, HoldState, MediaDirection,
    MediaSecurity, MessageHead, Party, RouteUse, SecurityFailure, StreamCounters, Unreached,
};
pub use finding::{Cause, Confidence, Finding};
pub use findings::findings;
pub use rule::Rule;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Names one side of a call within its evidence: the caller's leg, a callee's, a registration's only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Side(pub u16);

impl Side {
    /// The leg that began: the caller's, or the only one.
    pub const FIRST: Self = Self(0);
    /// The leg it was connected to first.
    pub const SECOND: Self = Self(1);
}

/// A fact with its time and its side.
#[derive(Clone, Debug, PartialEq)]
pub struct Dated {
    /// Since the first fact's time.
    pub after: Duration,
    /// Whose leg it is about; `None` when it is about the whole.
    pub side: Option<Side>,
    /// What happened.
    pub fact: Fact,
}

/// The facts of one call, one registration or one refused source, in order, bounded.
///
/// When there is no room the oldest fact of the most numerous kind would hide the beginning, which explains most; so the
/// first half stays, and the second half keeps the latest.
#[derive(Clone, Debug)]
pub struct Evidence {
    subject: String,
    began: Instant,
    first: Vec<Dated>,
    latest: VecDeque<Dated>,
    half: usize,
    omitted: u64,
}

impl Evidence {
    /// Facts kept unless told otherwise.
    pub const DEFAULT_LIMIT: usize = 256;

    /// An empty collection about `subject`, for instance a Call-ID, that keeps at most `limit` facts.
    pub fn new(subject: impl Into<String>, limit: usize, now: Instant) -> Self {
        let half = (limit / 2).max(1);
        Self {
            subject: subject.into(),
            began: now,
            first: Vec::new(),
            latest: VecDeque::new(),
            half,
            omitted: 0,
        }
    }

    /// Adds a fact that happened now. Counters of the same stream replace those before: only the last are kept.
    pub fn add(&mut self, side: Option<Side>, fact: Fact, now: Instant) {
        let dated = Dated { after: now.saturating_duration_since(self.began), side, fact };
        if let Fact::Counters(_) = &dated.fact {
            let same = |other: &Dated| other.side == side && matches!(other.fact, Fact::Counters(_));
            self.first.retain(|other| !same(other));
            self.latest.retain(|other| !same(other));
        }
        if self.first.len() < self.half && self.latest.is_empty() {
            self.first.push(dated);
            return;
        }
        if self.latest.len() >= self.half {
            self.latest.pop_front();
            self.omitted = self.omitted.saturating_add(1);
        }
        self.latest.push_back(dated);
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Every fact kept, in order.
    #[must_use]
    pub fn facts(&self) -> impl DoubleEndedIterator<Item = &Dated> + Clone {
        self.first.iter().chain(&self.latest)
    }

    /// How many facts between the first and the latest half had to go.
    #[must_use]
    pub fn omitted(&self) -> u64 {
        self.omitted
    }

    /// What the facts mean, surest first; see [`findings()`].
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        findings(self)
    }

    /// The sides that occur, ascending.
    #[must_use]
    pub fn sides(&self) -> Vec<Side> {
        let mut sides: Vec<Side> = self.facts().filter_map(|dated| dated.side).collect();
        sides.sort_unstable();
        sides.dedup();
        sides
    }
}

#[cfg(test)]
mod tests;
