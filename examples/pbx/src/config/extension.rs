//! `[[extensions]]` and `[[groups]]` as they are once they are read: telephones' numbers, and numbers that ring several of them.

use std::time::Duration;

use super::{Acl, PeerAddress, Secret, Voice};

/// `[[extensions]]`: a telephone's number and what it registers with.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// The number dialled, and the user name registered with.
    pub number: String,
    /// The name shown to those it calls; may be empty.
    pub name: String,
    /// The password it registers and calls with.
    pub password: Secret,
    /// How voice travels to and from it.
    pub voice: Voice,
    /// How it is known when not by its password.
    pub known_by: KnownBy,
    /// What becomes of calls to it that it does not take.
    pub forward: Forward,
    /// Whether it stands in the document that Mantela publishes.
    pub published: bool,
    /// Whether its calls are recorded.
    pub record: bool,
    /// Where it may register and call from.
    pub allow: Acl,
    /// Whether it dials digit by digit: a call to what may become a longer number waits for the next one.
    pub overlap: bool,
    /// Whether its telephone challenges calls to it, and gets an answer.
    pub challenges: bool,
    /// The most calls it may have at a time; `None`: any number.
    pub call_limit: Option<usize>,
    /// Whether it rings while it has a call.
    pub call_waiting: bool,
    /// What its mailbox asks for; empty: nothing when called by its own telephone.
    pub voicemail_pin: Secret,
}

/// How a telephone is known that cannot, or need not, show a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownBy {
    /// Its address: what comes from there is the extension's, and calls go there. A port counts on UDP when it is written.
    pub address: Option<PeerAddress>,
    /// A name in the certificate that it shows when it connects by TLS.
    pub certificate: Option<String>,
}

/// Where calls to an extension go that it does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// It is not to be disturbed: calls find it busy.
    pub do_not_disturb: bool,
    /// Every call goes there.
    pub always: Option<String>,
    /// When it is busy or declines.
    pub busy: Option<String>,
    /// When nobody answers.
    pub no_answer: Option<String>,
    /// When none of its telephones is there.
    pub unreachable: Option<String>,
    /// How long it rings before nobody has answered; as `[calls] ring_seconds` says when `None`.
    pub ring: Option<Duration>,
    /// Telephones ring one after the other, by the preference (`q`) they registered with, each for so long; all at once when
    /// `None`.
    pub by_priority: Option<Duration>,
    /// Where it is looked for, one number after the other, when its own telephones were not answered.
    pub follow_me: Vec<String>,
    /// How long each of those rings; as `[calls] ring_seconds` says when `None`.
    pub follow_me_ring: Option<Duration>,
}

/// `[[groups]]`: a number that rings several extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The number dialled.
    pub number: String,
    /// Numbers of extensions, in order.
    pub members: Vec<String>,
    /// Which of them ring, and when.
    pub strategy: Strategy,
    /// How long each ring of it lasts; as `[calls] ring_seconds` says when `None`.
    pub ring: Option<Duration>,
    /// What is called when nobody answers.
    pub no_answer: Option<String>,
}

/// How a group rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// All at once; the first to answer has the call.
    #[default]
    All,
    /// One after the other, from the first.
    Hunt,
    /// One after the other, who has been without a call longest first.
    LongestIdle,
    /// One after the other, each call beginning behind the one that the call before began with.
    RoundRobin,
    /// None rings: all telephones answer by themselves and hear the caller.
    Page,
}
