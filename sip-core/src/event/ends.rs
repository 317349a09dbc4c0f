//! How things end: requests of either side, calls, offers, registrations; each end with its reason.

use crate::{
    auth::{client::ChallengeRefusal, server::AuthenticationFailure},
    call::offer_answer::{Carrier, Conflict},
    error::ParseError,
    handle::{CallHandle, SubscriptionHandle},
    message::{Method, Response, StatusCode},
    registrar::binding::RegistrationRefusal,
    transaction::EndReason,
};

/// How a request from others ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RequestEnd {
    /// Answered by the application.
    Answered(StatusCode),
    /// It became this call.
    BecameCall(CallHandle),
    /// It was sent back with a challenge, for want of credentials or a fresh nonce.
    Challenged {
        /// Whether it had credentials with a nonce that is not good any more.
        stale: bool,
    },
    /// Its credentials were wrong.
    NotAuthenticated(AuthenticationFailure),
    /// It became this subscription.
    BecameSubscription(SubscriptionHandle),
    /// The registrar took it.
    Registered,
    /// The registrar refused it.
    RegistrationRefused(RegistrationRefusal),
    /// The store could not do its part.
    StoreFailed,
    /// The peer sent CANCEL.
    Cancelled {
        /// `Reason` of the CANCEL.
        reason: Option<String>,
    },
    /// The application took too long.
    NotAnswered,
    /// Its dialog ended.
    DialogEnded,
    /// The endpoint was shut down.
    ShutDown,
    /// A required extension is not supported: 420.
    BadExtension(String),
    /// The response could not be delivered.
    Failed(EndReason),
}

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The application here.
    Local,
    /// The peer.
    Remote,
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallEnd {
    /// BYE.
    HungUp {
        /// By whom.
        by: By,
        /// `Reason` of the BYE.
        reason: Option<String>,
    },
    /// The peer refused the INVITE.
    Refused {
        /// The final response, with its headers and body.
        response: Box<Response>,
    },
    /// The application refused the INVITE.
    RefusedHere(StatusCode),
    /// CANCEL.
    Cancelled {
        /// By whom.
        by: By,
        /// `Reason` of the CANCEL.
        reason: Option<String>,
    },
    /// Nobody answered within [`CallOptions::ring_timeout`](crate::command::CallOptions::ring_timeout).
    NotAnswered,
    /// The INVITE never got any response, or could not be sent.
    Unreachable(EndReason),
    /// The INVITE was challenged and there is nothing to answer.
    NotAuthenticated {
        /// Why the challenge was not answered.
        reason: ChallengeRefusal,
        /// The challenge.
        response: Box<Response>,
    },
    /// Our 2xx was never acknowledged; BYE was sent (RFC 3261 §13.3.1.4).
    NotAcknowledged,
    /// The session timer ran out (RFC 4028).
    SessionExpired,
    /// The peer knows the dialog no more (481), or a request inside it stayed unanswered (RFC 5057).
    DialogLost {
        /// The method of the request that found out.
        method: Method,
        /// Its status; `None` when it got no response.
        status: Option<StatusCode>,
    },
    /// The peer broke the rules of offer and answer in a way that leaves no session.
    NoSession {
        /// What was missing.
        carrier: Carrier,
    },
    /// The call was taken over by another one (RFC 3891).
    Replaced {
        /// By this.
        by: CallHandle,
    },
    /// The endpoint was shut down.
    ShutDown,
    /// A message of the peer could not be read so far that the call could go on.
    Malformed(ParseError),
}

/// Why an offer became void.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OfferAbort {
    /// The peer refused our re-INVITE or UPDATE.
    Refused {
        /// Its final response.
        response: Box<Response>,
    },
    /// The peer refused our re-INVITE after part of it had taken effect, in a reliable provisional response or an UPDATE.
    /// Which session holds is not known to both: offer the one from before once more (RFC 6141 §3.4).
    RefusedAfterChange {
        /// Its final response.
        response: Box<Response>,
    },
    /// No response came, or it could not be sent.
    Failed(EndReason),
    /// Both sides offered at once, again and again (491).
    Glare,
    /// The peer withdrew his re-INVITE with CANCEL.
    Withdrawn,
    /// Our own refusal of the peer's offer.
    RefusedHere(StatusCode),
    /// An answer was due and did not come.
    NotAnswered,
    /// It could not be sent now.
    Conflict(Conflict),
}

/// How a request from here ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// A final response.
    Response(Box<Response>),
    /// No final response.
    Failed(EndReason),
    /// A challenge was not answered.
    NotAuthenticated {
        /// Why not.
        reason: ChallengeRefusal,
        /// The challenge.
        response: Box<Response>,
    },
    /// Its dialog ended before.
    DialogEnded,
}

/// Why a registration failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RegistrationFailure {
    /// A final response other than 2xx.
    Refused(Box<Response>),
    /// No response, or it could not be sent.
    Unreachable(EndReason),
    /// A challenge was not answered.
    NotAuthenticated(ChallengeRefusal),
    /// The 2xx does not hold our binding.
    NotBound,
}
