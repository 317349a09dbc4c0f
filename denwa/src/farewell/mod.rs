//! Calls that a killed program leaves behind: what is written down while they are up, and how the next start ends them.
//!
//! [`Farewells`] stands beside an endpoint and tells, as [`Note`]s, what has changed; [`Journal`] keeps the notes in a file. At
//! the next start the file's entries are what is [`Left`]: each gets a BYE with a Reason, a few at a time, and is forgotten once
//! it is known how that went. What one entry holds is [`denwa_sip_core::dialog::Farewell`]'s, and nothing of it is secret:
//! passwords are asked of the program when a peer challenges. Media need no farewell.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod journal;

pub use journal::Journal;

use denwa_sip_core::StatusCode;
use denwa_sip_core::dialog::{Farewell, FarewellMarks};
use denwa_sip_core::endpoint::{CallHandle, Credentials, Endpoint, Headers, Outcome, OutgoingHandle};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

/// So many calls are written down at most.
const LIMIT: usize = 10_000;
/// So many farewells are under way at a time.
const AT_ONCE: usize = 32;
/// Why, for the peer.
const REASON: &str = "SIP;cause=503;text=\"Restarted\"";

/// What a former run left.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// What the program called the peer's side.
    pub label: String,
    /// The end of it.
    pub farewell: Farewell,
}

/// What is to be written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// This is to be ended at the next start.
    Keep {
        /// Names it, until it is forgotten.
        number: u64,
        /// The same.
        left: Box<Left>,
    },
    /// This is not.
    Forget {
        /// Which.
        number: u64,
    },
}

/// How a farewell went.
#[derive(Clone, Debug, PartialEq)]
pub struct Parted {
    /// What the program called the peer's side.
    pub label: String,
    /// Where the peer is.
    pub peer: String,
    /// How it went: `None` when the peer took it.
    pub why_not: Option<String>,
}

impl fmt::Display for Parted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a call that was left behind with {}", self.peer)?;
        match &self.why_not {
            None => f.write_str(" is ended"),
            Some(why) => write!(f, ": {why}"),
        }
    }
}

/// What is written of a call.
#[derive(Debug)]
struct Kept {
    marks: FarewellMarks,
    numbers: Vec<u64>,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Farewells {
    /// Whether anything is written down at all.
    is_on: bool,
    kept: BTreeMap<CallHandle, Kept>,
    waiting: VecDeque<(u64, Left)>,
    under_way: BTreeMap<OutgoingHandle, (u64, Left)>,
    notes: VecDeque<Note>,
    next: u64,
}

impl Farewells {
    /// Nothing is written down.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Calls are written down, and what a former run left waits to be ended. The journal numbers it from nought on.
    #[must_use]
    pub fn new(left: Vec<Left>) -> Self {
        let waiting: VecDeque<(u64, Left)> = (0..).zip(left).collect();
        let next = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        Self { is_on: true, waiting, next, ..Self::default() }
    }

    /// How many that were left are not ended yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.waiting.len().saturating_add(self.under_way.len())
    }

    /// Something happened to a call: what is written of it may have changed. `label` is the program's word for the peer's
    /// side, by which it will find passwords; it is asked for when it is needed.
    pub fn look_at(&mut self, endpoint: &Endpoint, call: CallHandle, label: impl FnOnce() -> String) {
        if !self.is_on {
            return;
        }
        let none = FarewellMarks::default();
        let before = self.kept.get(&call).map_or(&none, |kept| &kept.marks);
        let Some((marks, now)) = endpoint.farewells_since(call, before) else { return };
        for number in self.kept.remove(&call).map(|kept| kept.numbers).unwrap_or_default() {
            self.notes.push_back(Note::Forget { number });
        }
        if now.is_empty() || self.kept.len() >= LIMIT {
            return;
        }
        let label = label();
        let mut numbers = Vec::with_capacity(now.len());
        for farewell in now {
            let (number, left) = (self.next, Left { label: label.clone(), farewell });
            self.next = self.next.wrapping_add(1);
            self.notes.push_back(Note::Keep { number, left: Box::new(left) });
            numbers.push(number);
        }
        self.kept.insert(call, Kept { marks, numbers });
    }

    /// Ends what was left, a few at a time: to be called at the start, and after [`Farewells::completed`]. `credentials` are
    /// those for the peers of a label.
    pub fn proceed(
        &mut self,
        endpoint: &mut Endpoint,
        credentials: impl Fn(&str) -> Vec<Credentials>,
        now: Instant,
    ) -> Vec<Parted> {
        let mut failed = Vec::new();
        while self.under_way.len() < AT_ONCE
            && let Some((number, left)) = self.waiting.pop_front()
        {
            let why = Headers::new().with("Reason", REASON).unwrap_or_default();
            match endpoint.bid_farewell(&left.farewell, &why, credentials(&left.label), now) {
                Ok(outgoing) => drop(self.under_way.insert(outgoing, (number, left))),
                Err(misuse) => {
                    self.notes.push_back(Note::Forget { number });
                    failed.push(parted(left, Some(misuse.to_string())));
                }
            }
        }
        failed
    }

    /// A request was completed; `None` when it was none of these.
    pub fn completed(&mut self, outgoing: OutgoingHandle, outcome: &Outcome) -> Option<Parted> {
        let (number, left) = self.under_way.remove(&outgoing)?;
        self.notes.push_back(Note::Forget { number });
        let why_not = match outcome {
            Outcome::Response(response) | Outcome::NotAuthenticated { response, .. } => {
                let status = response.status();
                match status {
                    StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST => Some("it was over already".to_owned()),
                    status if status.is_success() => None,
                    status => Some(format!("the answer to BYE was {status} {}", response.reason())),
                }
            }
            Outcome::Failed(why) => Some(format!("it was not reached: {}", crate::ua::unreached(*why))),
            _ => Some("it was over already".to_owned()),
        };
        Some(parted(left, why_not))
    }

    /// What is to be written down next.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }
}

fn parted(left: Left, why_not: Option<String>) -> Parted {
    Parted { peer: left.farewell.request_uri().to_owned(), label: left.label, why_not }
}
