//! What is shown of accounts, calls, messages, and of what went wrong.

use super::news::CallNumber;
use std::time::Duration;

/// An account, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its address, without `sip:`.
    pub address: String,
    /// Its state.
    pub state: AccountState,
    /// Voice mail not heard, and heard.
    pub waiting: (u32, u32),
}

/// Where a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// No server: calls go straight.
    Direct,
    /// Asked, no answer yet.
    Registering,
    /// Registered.
    Registered,
    /// Not, with the sentence why.
    Failed(String),
}

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// The address.
    pub from: String,
    /// The name.
    pub name: Option<String>,
    /// Which account.
    pub to: String,
}

/// A call, as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    /// Its name.
    pub number: CallNumber,
    /// Whom with.
    pub peer: String,
    /// Who called, when they did.
    pub card: Option<Card>,
    /// How far it has come.
    pub state: CallState,
    /// When it came up, or began.
    pub since: Duration,
    /// When it began, by the clock on the wall.
    pub at: String,
    /// We hold.
    pub held_here: bool,
    /// They hold.
    pub held_there: bool,
    /// The microphone is shut.
    pub muted: bool,
    /// It is in the conference.
    pub in_conference: bool,
    /// Which way.
    pub path: Option<Path>,
    /// How well.
    pub quality: Option<Quality>,
    /// Keys they pressed.
    pub digits: String,
}

impl CallRow {
    pub(super) fn is_held_here(&self) -> bool {
        self.held_here
    }
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Ours, no sign yet.
    Calling,
    /// Ours, it rings there.
    Ringing,
    /// Theirs, it rings here.
    Incoming,
    /// Theirs, being answered.
    Answering,
    /// Up.
    Up,
}

/// Which way sound goes, and how it is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The codec.
    pub codec: String,
    /// How it is protected, as `SRTP (SDES)`; `None` when it is not.
    pub security: Option<String>,
    /// Where theirs comes from.
    pub from: String,
}

/// How well sound arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// The share of packets lost, 0 to 1.
    pub loss: f32,
    /// Jitter.
    pub jitter: Duration,
    /// There and back.
    pub round_trip: Option<Duration>,
    /// By the E-model, 1 to 4.5.
    pub mos: Option<f32>,
}

/// Something to be read: what happened, why, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub what: String,
    /// Why.
    pub cause: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Notice {
    /// Only what happened.
    pub fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, remedy: None }
    }
}

/// A message, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// From whom, or to whom.
    pub with: String,
    /// What.
    pub text: String,
    /// When, by the clock on the wall.
    pub at: String,
    /// Which way, and how it went.
    pub state: TextState,
}

/// Which way a message went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextState {
    /// It came.
    Received,
    /// On its way.
    Sending,
    /// Taken there.
    Sent,
    /// Not taken, and why.
    Failed(String),
}

/// A call of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// When it began, by the clock on the wall.
    pub at: String,
    /// Whether they called.
    pub incoming: bool,
    /// Whom with.
    pub peer: String,
    /// How long it was up; `None` when it never was.
    pub lasted: Option<Duration>,
}
