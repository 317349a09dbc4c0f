//! Subscriptions: RFC 6665, both roles, for any event package.
//!
//! ```text
//! subscriber   SUBSCRIBE sent, NOTIFY received         §4.1
//! notifier     SUBSCRIBE received, NOTIFY sent         §4.2
//! ```
//!
//! A package is a name, a body and a meaning; the machine knows only the name. Bodies of the packages that telephones
//! use are written and read in files of their own: [`message_summary`], [`dialog_info`], [`presence`], [`reg`],
//! [`refer`]. Subscriptions that REFER makes (RFC 3515) are the same machines without a SUBSCRIBE.

pub mod dialog_info;
pub mod message_summary;
mod notifier;
pub mod presence;
pub mod refer;
pub mod reg;
mod subscriber;
pub mod xml;

pub(crate) use notifier::Notifier;
pub(crate) use subscriber::Subscriber;

use crate::{
    auth::client::ChallengeRefusal,
    header,
    message::{Request, Response},
    transaction::EndReason,
};
use std::{fmt, time::Duration};

/// A subscription of either role.
#[derive(Debug)]
pub(crate) enum Subscription {
    Subscriber(Box<Subscriber>),
    Notifier(Box<Notifier>),
}

/// Whether two `Event` values name the same package and id; other parameters do not matter.
pub(crate) fn same_event(a: &str, b: &str) -> bool {
    use header::HeaderValue as _;
    let read = |text| header::Event::parse(text, crate::error::Attitude::Lenient).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => a.package.eq_ignore_ascii_case(b.package) && a.id() == b.id(),
        _ => false,
    }
}

/// `Subscription-State`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// It stands.
    Active,
    /// It was received and not decided upon.
    Pending,
    /// It is over.
    Terminated {
        /// Why.
        reason: Option<TerminationReason>,
        /// Not to be tried again before.
        retry_after: Option<Duration>,
    },
}

/// Why a notifier ended a subscription (§4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminationReason {
    /// Try again at once: it moves elsewhere.
    Deactivated,
    /// Try again later.
    Probation,
    /// Not allowed any more.
    Rejected,
    /// It was not refreshed, or asked for once.
    Timeout,
    /// Nobody decided in time.
    GiveUp,
    /// What was watched is gone.
    NoResource,
    /// It will never change.
    Invariant,
    /// Anything else.
    Other(String),
}

impl TerminationReason {
    const KNOWN: [(Self, &'static str); 7] = [
        (Self::Deactivated, "deactivated"),
        (Self::Probation, "probation"),
        (Self::Rejected, "rejected"),
        (Self::Timeout, "timeout"),
        (Self::GiveUp, "giveup"),
        (Self::NoResource, "noresource"),
        (Self::Invariant, "invariant"),
    ];

    fn parse(text: &str) -> Self {
        // Linphone 5.1 writes `reason=reason=noresource`.
        let text = text.strip_prefix("reason=").unwrap_or(text);
        let known = Self::KNOWN.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(text));
        known.map_or_else(|| Self::Other(text.to_owned()), |(reason, _)| reason)
    }

    /// Whether a subscriber tries again, and when at the soonest.
    fn retry(&self, after: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Deactivated | Self::Timeout => Some(Duration::ZERO),
            Self::Rejected | Self::NoResource | Self::Invariant => None,
            Self::Probation | Self::GiveUp | Self::Other(_) => Some(after.unwrap_or(Duration::from_secs(30))),
        }
    }
}

impl fmt::Display for TerminationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            known => {
                let word = Self::KNOWN.iter().find(|(reason, _)| reason == known);
                f.write_str(word.map_or("", |(_, word)| word))
            }
        }
    }
}

impl SubscriptionState {
    /// Reads the header of a NOTIFY, and for how long it says the subscription still lasts.
    fn read(request: &Request) -> Option<(Self, Option<Duration>)> {
        let header = request.typed::<header::SubscriptionState<'_>>().ok().flatten()?;
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let state = if header.is_terminated() {
            Self::Terminated {
                reason: header.reason().map(TerminationReason::parse),
                retry_after: header.retry_after().map(seconds),
            }
        } else if header.is_active() {
            Self::Active
        } else {
            Self::Pending
        };
        Some((state, header.expires().map(seconds)))
    }
}

/// Why a subscription is over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionEnd {
    /// The subscriber ended it.
    Unsubscribed,
    /// It was not refreshed in time.
    Expired,
    /// The notifier ended it.
    Terminated {
        /// Why.
        reason: Option<TerminationReason>,
    },
    /// SUBSCRIBE, REFER or NOTIFY was refused.
    Refused(Box<Response>),
    /// No response, or it could not be sent.
    Failed(EndReason),
    /// No NOTIFY came (timer N).
    NeverNotified,
    /// A challenge was not answered.
    NotAuthenticated(ChallengeRefusal),
    /// What was asked for was accepted without a subscription (RFC 4488).
    Accepted,
    /// The endpoint was shut down.
    ShutDown,
}

/// A NOTIFY or SUBSCRIBE refused with one of these ends the subscription, other failures do not (§4.1.2.2, RFC 5057).
pub(crate) fn ends_subscription(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}
