//! What the telephone tells the screen, and what the screen asks of it.

use super::rows::{AccountState, Card, Notice, Path, Quality};
use std::time::Duration;

/// Names a call on the screen. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNumber(pub u64);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An account's registration changed.
    Account {
        /// Which, from 0.
        account: usize,
        /// To what.
        state: AccountState,
    },
    /// Voice mail of an account (RFC 3842).
    Waiting {
        /// Which, from 0.
        account: usize,
        /// Messages not heard yet.
        new: u32,
        /// Messages heard.
        old: u32,
    },
    /// A call of ours is on its way.
    Calling {
        /// The call.
        call: CallNumber,
        /// Whom.
        peer: String,
    },
    /// Somebody calls.
    Incoming {
        /// The call.
        call: CallNumber,
        /// Who.
        card: Card,
    },
    /// It rings there.
    Ringing {
        /// The call.
        call: CallNumber,
    },
    /// The call is up.
    Up {
        /// The call.
        call: CallNumber,
    },
    /// Who holds.
    Hold {
        /// The call.
        call: CallNumber,
        /// We do.
        here: bool,
        /// They do.
        there: bool,
    },
    /// Whether the microphone is shut.
    Muted {
        /// The call.
        call: CallNumber,
        /// Whether.
        muted: bool,
    },
    /// Whether it is in the conference.
    Conference {
        /// The call.
        call: CallNumber,
        /// Whether.
        member: bool,
    },
    /// Which way sound goes.
    Path {
        /// The call.
        call: CallNumber,
        /// The way.
        path: Path,
    },
    /// How it goes.
    Quality {
        /// The call.
        call: CallNumber,
        /// The figures.
        quality: Quality,
    },
    /// How loud, in dBm0.
    Levels {
        /// We.
        said: f32,
        /// They.
        heard: f32,
    },
    /// They pressed a key.
    Digit {
        /// The call.
        call: CallNumber,
        /// Which.
        digit: char,
    },
    /// The call is over.
    Ended {
        /// The call.
        call: CallNumber,
        /// How, in one sentence.
        how: String,
        /// Why, and what to do about it, when something was the matter.
        notice: Option<Notice>,
    },
    /// A text message came.
    Message {
        /// From whom.
        from: String,
        /// What.
        text: String,
    },
    /// What became of ours, counted from 0 in the order they were sent.
    MessageSent {
        /// Which.
        message: usize,
        /// Why it did not arrive; `None` when it did.
        failed: Option<String>,
    },
    /// Something else to be read.
    Notice(Notice),
    /// A second has passed.
    Tick {
        /// Since the start.
        uptime: Duration,
        /// The clock on the wall, as `12:34`.
        clock: String,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call.
    Call {
        /// From this account, from 0.
        account: usize,
        /// Whom.
        address: String,
    },
    /// Answer.
    Answer(CallNumber),
    /// Decline.
    Refuse(CallNumber),
    /// Hang up.
    HangUp(CallNumber),
    /// Hold.
    Hold(CallNumber),
    /// Resume.
    Resume(CallNumber),
    /// Whose sound is heard, and who hears us.
    Select(Option<CallNumber>),
    /// Transfer to a number.
    Transfer {
        /// Which call.
        call: CallNumber,
        /// Where to.
        to: String,
    },
    /// Join the peers of two calls.
    TransferTo {
        /// One.
        call: CallNumber,
        /// The other.
        other: CallNumber,
    },
    /// Shut or open the microphone.
    Mute {
        /// Which call.
        call: CallNumber,
        /// Whether to shut it.
        muted: bool,
    },
    /// Press keys.
    Press {
        /// In which call.
        call: CallNumber,
        /// Which.
        digits: String,
    },
    /// Take it into the conference.
    Join(CallNumber),
    /// Take it out.
    Leave(CallNumber),
    /// Send a message.
    Send {
        /// From this account, from 0.
        account: usize,
        /// To whom.
        to: String,
        /// What.
        text: String,
    },
    /// Decline whatever comes, or not.
    DoNotDisturb(bool),
    /// End.
    Quit,
}
