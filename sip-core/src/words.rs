//! Reasons in words, for a log line or an operator: part of a sentence, without a full stop.

use crate::{
    auth::{client::ChallengeRefusal, server::AuthenticationFailure},
    call::offer_answer::{Carrier, Conflict},
    event::{By, CallEnd, OfferAbort, Outcome, Refusal, RegistrationFailure, RequestEnd},
    io::StreamFailure,
    limits::Limit,
    message::{Response, StatusCode},
    proxy::{BranchEnd, ProxyRefusal, Unfit},
    publication::PublicationFailure,
    registrar::binding::RegistrationRefusal,
    resolve::ResolveFailure,
    subscription::SubscriptionEnd,
    transaction::{EndReason, RejectRule, StreamEnd},
};
use std::fmt::{self, Display, Formatter};

/// Option tags that were required (420).
fn not_known(tags: &str, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "extensions are not supported: {tags}")
}

/// A response as it is told: `486 Busy Here`.
struct Answer<'a>(&'a Response);

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.reason() {
            "" => coded(self.0.status()).fmt(f),
            reason => write!(f, "{} {reason}", self.0.status()),
        }
    }
}

/// A code with its usual phrase.
fn coded(status: StatusCode) -> impl Display {
    fmt::from_fn(move |f| write!(f, "{status} {}", status.reason()))
}

/// What a peer or the application gave as its reason, if it did.
fn because(reason: Option<&String>) -> impl Display {
    fmt::from_fn(move |f| reason.map_or(Ok(()), |reason| write!(f, " ({reason})")))
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

impl Display for ResolveFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotASipUri => "not a SIP address",
            Self::UnsupportedTransport => "a transport that is not spoken here",
            Self::NotFound => "the name has no address",
            Self::DnsFailed => "the name server did not answer",
            Self::Overloaded => "too many names are being asked for",
        })
    }
}

impl Display for StreamFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "nobody listens there",
            Self::TimedOut => "no connection in time",
            Self::Unreachable => "there is no route",
            Self::TlsHandshake => "TLS was not agreed on",
            Self::UntrustedCertificate => "its certificate is not trusted",
            Self::WrongIdentity => "its certificate is for another name",
            Self::WebSocketHandshake => "no WebSocket for SIP",
            Self::Other => "no connection",
        })
    }
}

impl Display for StreamEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByPeer => f.write_str("the peer closed it"),
            Self::Failed(failure) => failure.fmt(f),
            Self::NotOpened => f.write_str("it took too long to open"),
            Self::BadFraming => f.write_str("what came could not be cut into messages"),
            Self::UnfinishedMessage => f.write_str("a message was not finished in time"),
            Self::NoAnswer => f.write_str("a keep-alive was not answered"),
            Self::ClosedHere => f.write_str("closed here"),
            Self::Gone => f.write_str("it is gone"),
        }
    }
}

impl Display for EndReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::TimedOut => f.write_str("no response in time"),
            Self::Unreachable => f.write_str("the peer cannot be reached"),
            Self::StreamFailed(why) => write!(f, "the connection failed: {why}"),
            Self::Unresolved(failure) => failure.fmt(f),
            Self::NoRoute => f.write_str("there is no own address to send from"),
            Self::HeldBack => f.write_str("held back, as the overloaded peer asked"),
            Self::NotAcknowledged => f.write_str("no ACK came"),
            Self::NotAnswered => f.write_str("not answered here in time"),
            Self::Cancelled => f.write_str("cancelled before it was sent"),
            Self::Limit(limit) => write!(f, "limit reached: {limit}"),
        }
    }
}

impl Display for RejectRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merged => "the same request came by another way",
            Self::NothingToCancel => "there is nothing to cancel",
            Self::Overloaded => "no room for another transaction",
        })
    }
}

impl Display for ChallengeRefusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoChallenge => "the response holds no challenge",
            Self::NoCredentials => "no credentials for this realm",
            Self::NotSupported => "no algorithm in common",
            Self::AlreadyRefused => "the password is wrong",
            Self::TooMany => "too many challenges",
            Self::NotWritten => "the request could not be written again",
        })
    }
}

impl Display for AuthenticationFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongPassword => "wrong password",
            Self::UnknownUser => "unknown user",
            Self::NoSecretForAlgorithm => "no secret for the algorithm",
            Self::ReplayedNonceCount => "a nonce count was used twice",
            Self::Unfit(what) => what,
        })
    }
}

impl Display for RegistrationRefusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooBrief { minimum } => write!(f, "fewer than {minimum} s were asked for"),
            Self::BadWildcard => f.write_str("`*` beside other contacts, or without `Expires: 0`"),
            Self::OutOfOrder => f.write_str("sequence numbers go backwards"),
            Self::TooManyBindings { limit } => write!(f, "more than {limit} bindings"),
        }
    }
}

impl Display for Carrier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invite => "INVITE",
            Self::Reliable => "reliable provisional response",
            Self::Provisional => "provisional response",
            Self::Success => "2xx to INVITE",
            Self::Ack => "ACK",
            Self::Prack => "PRACK",
            Self::PrackSuccess => "2xx to PRACK",
            Self::Update => "UPDATE",
            Self::UpdateSuccess => "2xx to UPDATE",
        })
    }
}

impl Display for Conflict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnInvite => "an INVITE of ours is under way",
            Self::PeerInvite => "an INVITE of the peer is under way",
            Self::OwnUpdate => "an UPDATE of ours is under way",
            Self::PeerUpdate => "an UPDATE of the peer is under way",
            Self::NotEstablished => "the first offer is not answered yet",
            Self::NoInvite => "no INVITE is under way",
            Self::OfferDue => "an offer is due",
            Self::AnswerDue => "an answer is due",
        })
    }
}

impl Display for By {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "this side",
            Self::Remote => "the peer",
        })
    }
}

impl Display for RequestEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "answered {}", coded(*status)),
            Self::BecameCall(_) => f.write_str("became a call"),
            Self::Challenged { stale: false } => f.write_str("asked for credentials"),
            Self::Challenged { stale: true } => f.write_str("asked for credentials with a fresh nonce"),
            Self::NotAuthenticated(failure) => write!(f, "not authenticated: {failure}"),
            Self::BecameSubscription(_) => f.write_str("became a subscription"),
            Self::Registered => f.write_str("registered"),
            Self::RegistrationRefused(refusal) => write!(f, "registration refused: {refusal}"),
            Self::StoreFailed => f.write_str("the store failed"),
            Self::Cancelled { reason } => write!(f, "cancelled by the peer{}", because(reason.as_ref())),
            Self::NotAnswered => f.write_str("not answered here in time"),
            Self::DialogEnded => f.write_str("its dialog ended"),
            Self::ShutDown => f.write_str("shut down"),
            Self::BadExtension(tags) => not_known(tags, f),
            Self::Failed(reason) => write!(f, "the response was not delivered: {reason}"),
        }
    }
}

impl Display for CallEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUp { by, reason } => write!(f, "{by} hung up{}", because(reason.as_ref())),
            Self::Refused { response } => write!(f, "refused: {}", Answer(response)),
            Self::RefusedHere(status) => write!(f, "refused here: {}", coded(*status)),
            Self::Cancelled { by, reason } => write!(f, "{by} cancelled{}", because(reason.as_ref())),
            Self::NotAnswered => f.write_str("nobody answered"),
            Self::Unreachable(reason) => reason.fmt(f),
            Self::NotAuthenticated { reason, .. } => write!(f, "not authenticated: {reason}"),
            Self::NotAcknowledged => f.write_str("the peer never acknowledged our answer"),
            Self::SessionExpired => f.write_str("the session timer ran out"),
            Self::DialogLost { method, status: Some(status) } => {
                write!(f, "the peer lost the call: {method} got {}", coded(*status))
            }
            Self::DialogLost { method, status: None } => {
                write!(f, "the peer lost the call: {method} got no response")
            }
            Self::NoSession { carrier } => write!(f, "a session description was missing in the {carrier}"),
            Self::Replaced { .. } => f.write_str("another call took it over"),
            Self::ShutDown => f.write_str("shut down"),
            Self::Malformed(error) => write!(f, "a message could not be read: {error}"),
        }
    }
}

impl Display for OfferAbort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { response } => write!(f, "refused: {}", Answer(response)),
            Self::RefusedAfterChange { response } => {
                write!(f, "refused after part of it had taken effect: {}", Answer(response))
            }
            Self::Failed(reason) => reason.fmt(f),
            Self::Glare => f.write_str("both sides offered at once, again and again"),
            Self::Withdrawn => f.write_str("the peer withdrew it"),
            Self::RefusedHere(status) => write!(f, "refused here: {}", coded(*status)),
            Self::NotAnswered => f.write_str("no answer came"),
            Self::Conflict(conflict) => conflict.fmt(f),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => Answer(response).fmt(f),
            Self::Failed(reason) => reason.fmt(f),
            Self::NotAuthenticated { reason, .. } => write!(f, "not authenticated: {reason}"),
            Self::DialogEnded => f.write_str("its dialog ended"),
        }
    }
}

impl Display for RegistrationFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(response) => write!(f, "refused: {}", Answer(response)),
            Self::Unreachable(reason) => reason.fmt(f),
            Self::NotAuthenticated(reason) => write!(f, "not authenticated: {reason}"),
            Self::NotBound => f.write_str("the registrar's answer does not hold our contact"),
        }
    }
}

impl Display for PublicationFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(response) => write!(f, "refused: {}", Answer(response)),
            Self::Unreachable(reason) => reason.fmt(f),
            Self::NotAuthenticated(reason) => write!(f, "not authenticated: {reason}"),
            Self::NoEntityTag => f.write_str("taken without an entity tag"),
        }
    }
}

impl Display for SubscriptionEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsubscribed => f.write_str("the subscriber ended it"),
            Self::Expired => f.write_str("it was not refreshed in time"),
            Self::Terminated { reason: None } => f.write_str("the notifier ended it"),
            Self::Terminated { reason: Some(reason) } => write!(f, "the notifier ended it: {reason}"),
            Self::Refused(response) => write!(f, "refused: {}", Answer(response)),
            Self::Failed(reason) => reason.fmt(f),
            Self::NeverNotified => f.write_str("no NOTIFY came"),
            Self::NotAuthenticated(reason) => write!(f, "not authenticated: {reason}"),
            Self::Accepted => f.write_str("accepted without a subscription"),
            Self::ShutDown => f.write_str("shut down"),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InfoPackage => f.write_str("an INFO package that was not announced"),
            Self::Malformed(error) => write!(f, "it cannot be read: {error}"),
            Self::NoSuchDialog => f.write_str("no such dialog"),
            Self::NoSuchTransaction => f.write_str("there is nothing that it could cancel or acknowledge"),
            Self::Merged => f.write_str("the same request came by another way"),
            Self::BadExtension(tags) => not_known(tags, f),
            Self::OutOfOrder { sequence, last } => write!(f, "sequence number {sequence} after {last}"),
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::MediaType => f.write_str("a body of a type that is not understood"),
            Self::IntervalTooSmall => f.write_str("the session interval is too small"),
            Self::Limit(limit) => write!(f, "limit reached: {limit}"),
            Self::StrayResponse => f.write_str("a response that belongs to nothing"),
            Self::StrayAck => f.write_str("an ACK that belongs to nothing"),
            Self::Method => f.write_str("a method that makes no sense there"),
            Self::ShuttingDown => f.write_str("shutting down"),
        }
    }
}

impl Display for Unfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("a scheme that is not spoken"),
            Self::TooManyHops => f.write_str("Max-Forwards is used up"),
            Self::Loop => f.write_str("it was here before"),
            Self::Extension(tags) => not_known(tags, f),
            Self::Unreadable(what) => write!(f, "it cannot be read: {what}"),
            Self::FlowToken => f.write_str("a flow token that is not ours"),
            Self::Breadth => f.write_str("Max-Breadth is used up"),
        }
    }
}

impl Display for ProxyRefusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Other(refusal) => refusal.fmt(f),
        }
    }
}

impl Display for BranchEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "answered {}", coded(*status)),
            Self::Failed(reason) => reason.fmt(f),
            Self::NotTried => f.write_str("not tried: another had answered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        let response = Response::builder(StatusCode::BUSY_HERE).reason("Besetzt").finish().unwrap();
        let told = [
            CallEnd::Refused { response: Box::new(response) }.to_string(),
            CallEnd::HungUp { by: By::Remote, reason: Some("Q.850;cause=16".into()) }.to_string(),
            CallEnd::Unreachable(EndReason::Unresolved(ResolveFailure::NotFound)).to_string(),
            RequestEnd::Answered(StatusCode::NOT_FOUND).to_string(),
            Refusal::Limit(Limit::Calls).to_string(),
        ];
        let expected = [
            "refused: 486 Besetzt",
            "the peer hung up (Q.850;cause=16)",
            "the name has no address",
            "answered 404 Not Found",
            "limit reached: calls",
        ];
        assert_eq!(told, expected);
    }
}
