//! What a user agent tells its program.

use super::{MessageId, Server, TransferId, WatchId};
use crate::evidence::Evidence;
use crate::media::{self, StreamReport};
use denwa_sip_core::StatusCode;
use denwa_sip_core::subscription::dialog_info::DialogInfo;
use denwa_sip_core::subscription::message_summary::MessageSummary;
use denwa_sip_core::subscription::presence::Presence;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Names an account. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub(crate) u32);

/// Names a call. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(crate) u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0)
    }
}

/// A fact.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The account is registered.
    Registered {
        /// Which.
        account: AccountId,
        /// For how long; it is renewed before.
        expires_in: Duration,
    },
    /// An attempt to register failed.
    RegistrationFailed {
        /// Which.
        account: AccountId,
        /// Why, in one sentence.
        why: String,
        /// When the next attempt is made; `None` when none is.
        retry_in: Option<Duration>,
        /// What it was seen by; [`Evidence::findings`] names cause and remedy.
        evidence: Box<Evidence>,
    },
    /// One of the account's flows was lost (RFC 5626); others stand, and calls go by the first of those.
    FlowLost {
        /// Which account.
        account: AccountId,
        /// By which server it led.
        server: Server,
        /// Why, in one sentence.
        why: String,
        /// When it is made anew; `None` when it is not.
        retry_in: Option<Duration>,
    },
    /// The account is not registered any more, as asked for.
    Unregistered {
        /// Which.
        account: AccountId,
    },
    /// Somebody calls: ring, and then answer or refuse.
    Incoming {
        /// The call.
        call: CallId,
        /// Who: the address in From.
        from: String,
        /// The name in From.
        name: Option<String>,
        /// Whom: the address in the request line.
        to: String,
    },
    /// It rings there, or something is heard from there before the answer.
    Ringing {
        /// The call.
        call: CallId,
        /// The provisional status, 101–199.
        status: StatusCode,
    },
    /// The callee is elsewhere, as its refusal says (RFC 3261 §8.1.3.4), and is called there.
    Redirected {
        /// The call, still the same.
        call: CallId,
        /// Where.
        to: String,
    },
    /// The call is up: sound flows.
    Answered {
        /// The call.
        call: CallId,
    },
    /// Sound to be played: 20 ms, one after the other, while the call is up. It beats the time: whoever says something has to
    /// say as much at each.
    Sound {
        /// The call.
        call: CallId,
        /// The samples.
        samples: Vec<i16>,
    },
    /// Something happened to the call's media.
    Media {
        /// The call.
        call: CallId,
        /// What.
        event: media::Event,
    },
    /// Our hold, resumption or other change was refused by the peer; all is as before.
    ChangeRefused {
        /// The call.
        call: CallId,
        /// Why, in one sentence.
        why: String,
    },
    /// Sound of the conference to be played: all its peers together, as [`Event::Sound`] has that of one.
    ConferenceSound {
        /// The samples.
        samples: Vec<i16>,
    },
    /// How a transfer that we asked for is going.
    TransferProgress {
        /// The call whose peer was transferred.
        call: CallId,
        /// The status that the peer's new call has got to.
        status: StatusCode,
    },
    /// The peer of the call talks with whom he was transferred to; the call is being hung up here.
    Transferred {
        /// The call.
        call: CallId,
    },
    /// A transfer that we asked for came to nothing; the call is as before.
    TransferFailed {
        /// The call.
        call: CallId,
        /// Why, in one sentence.
        why: String,
    },
    /// The peer asks us to call somebody else: follow or refuse.
    TransferAsked {
        /// The call with who asks.
        call: CallId,
        /// To be followed or refused.
        transfer: TransferId,
        /// Whom to call.
        to: String,
        /// Who asks, in his own words (RFC 3892).
        by: Option<String>,
    },
    /// We call somebody else because a peer asked us to.
    Transferring {
        /// The call with who asked; he will hang it up.
        call: CallId,
        /// The new call.
        new: CallId,
        /// Whom it is to.
        to: String,
    },
    /// Another call takes the place of one (RFC 3891), and is answered at once: somebody transferred our peer.
    TakenOver {
        /// The call that ends.
        call: CallId,
        /// The new one.
        by: CallId,
    },
    /// Messages wait in the account's mailbox, or wait no longer.
    MessagesWaiting {
        /// Whose.
        account: AccountId,
        /// How many.
        summary: MessageSummary,
    },
    /// Somebody who is watched is there, or is not.
    Presence {
        /// Which watch.
        watch: WatchId,
        /// What he says of himself.
        presence: Presence,
    },
    /// The line of somebody who is watched rings, is busy, or is free.
    Dialogs {
        /// Which watch.
        watch: WatchId,
        /// His calls: all, or those that changed.
        dialogs: DialogInfo,
    },
    /// Something is watched no longer.
    WatchEnded {
        /// Which watch.
        watch: WatchId,
        /// Why, in one sentence; `None` when that was our wish.
        why: Option<String>,
    },
    /// A message of ours was taken.
    MessageDelivered {
        /// Which.
        message: MessageId,
    },
    /// A message of ours was not taken.
    MessageFailed {
        /// Which.
        message: MessageId,
        /// Why, in one sentence.
        why: String,
    },
    /// The call is over; always its last event.
    Ended {
        /// The call.
        call: CallId,
        /// How.
        reason: Ending,
        /// The figures of its media.
        report: StreamReport,
        /// Everything that is known of it.
        evidence: Box<Evidence>,
    },
    /// A text message came (RFC 3428).
    Message {
        /// Who: the address in From.
        from: String,
        /// What.
        text: String,
    },
    /// A peer sees us under another address than it was told.
    SeenAs {
        /// The peer.
        peer: SocketAddr,
        /// Our address, as it sees it.
        address: SocketAddr,
    },
    /// Everything has ended after [`super::UserAgent::shut_down`].
    ShutDown,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// We hung up.
    HungUpHere,
    /// The peer hung up.
    HungUpThere,
    /// We gave up before an answer.
    CancelledHere,
    /// The caller gave up before our answer.
    CancelledThere,
    /// The peer refused.
    Refused {
        /// With this status.
        status: StatusCode,
        /// In these words: reason phrase, and the text of a Warning.
        words: String,
    },
    /// We refused.
    RefusedHere(StatusCode),
    /// Nobody answered in time.
    NotAnswered,
    /// The descriptions do not meet; the sentence names both lists.
    NothingInCommon(String),
    /// The password was not taken.
    NotAuthenticated,
    /// The peer could not be reached, in one sentence.
    Unreachable(String),
    /// No port could be opened for the media.
    NoPort(String),
    /// Another call took its place (RFC 3891).
    TakenOver,
    /// Our answer was never confirmed: no ACK came.
    NotConfirmed,
    /// The session timer ran out (RFC 4028).
    SessionExpired,
    /// The connection was lost during the call, in one sentence.
    Lost(String),
    /// The user agent was shut down.
    ShutDown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUpHere => f.write_str("hung up here"),
            Self::HungUpThere => f.write_str("the other side hung up"),
            Self::CancelledHere => f.write_str("given up before an answer"),
            Self::CancelledThere => f.write_str("the caller gave up"),
            Self::Refused { status, words } => write!(f, "refused: {} {words}", status.code()),
            Self::RefusedHere(status) => write!(f, "refused here with {}", status.code()),
            Self::NotAnswered => f.write_str("nobody answered"),
            Self::NothingInCommon(sentence) => write!(f, "the descriptions do not meet: {sentence}"),
            Self::NotAuthenticated => f.write_str("the password was not taken"),
            Self::Unreachable(why) => write!(f, "not reached: {why}"),
            Self::NoPort(why) => write!(f, "no port for the media: {why}"),
            Self::NotConfirmed => f.write_str("lost: the answer was never confirmed (no ACK)"),
            Self::SessionExpired => f.write_str("lost: the session timer ran out"),
            Self::TakenOver => f.write_str("another call took its place"),
            Self::Lost(why) => write!(f, "lost: {why}"),
            Self::ShutDown => f.write_str("shut down"),
        }
    }
}

/// A request of the program that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// There is no such account.
    UnknownAccount,
    /// There is no such call, or no longer.
    UnknownCall,
    /// Not in this state of the call.
    NotNow,
    /// The address cannot be read, with the reason.
    BadAddress(String),
    /// There is no such transfer, or no longer.
    UnknownTransfer,
    /// Nothing of this name is watched.
    UnknownWatch,
    /// The text is longer than a message may be.
    TooLong,
    /// As many calls as the configuration allows.
    TooManyCalls,
    /// The media say no.
    Media(media::Misuse),
    /// The signalling says no, in its words.
    Signalling(String),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAccount => f.write_str("there is no such account"),
            Self::UnknownCall => f.write_str("there is no such call"),
            Self::NotNow => f.write_str("the call is not in a state for that"),
            Self::BadAddress(why) => write!(f, "not an address that can be called: {why}"),
            Self::UnknownTransfer => f.write_str("there is no such transfer"),
            Self::UnknownWatch => f.write_str("nothing of this name is watched"),
            Self::TooLong => f.write_str("the text is longer than 1300 octets"),
            Self::TooManyCalls => f.write_str("as many calls as allowed are under way"),
            Self::Media(misuse) => misuse.fmt(f),
            Self::Signalling(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Misuse {}

impl From<media::Misuse> for Misuse {
    fn from(misuse: media::Misuse) -> Self {
        Self::Media(misuse)
    }
}

impl From<denwa_sip_core::Misuse> for Misuse {
    fn from(misuse: denwa_sip_core::Misuse) -> Self {
        Self::Signalling(misuse.to_string())
    }
}
