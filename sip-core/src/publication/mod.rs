//! Publishing event state: RFC 3903, both roles.
//!
//! ```text
//! publisher    PUBLISH sent: made, refreshed, changed, withdrawn     §4
//! compositor   PUBLISH received: entity tags, expiry                 §6
//! ```
//!
//! What the states of several publishers add up to is the application's to say; it is told of each change.

pub(crate) mod compositor;
mod publisher;

pub(crate) use compositor::Compositor;
pub(crate) use publisher::Publication;

use crate::{auth::client::ChallengeRefusal, message::Response, transaction::EndReason};

/// Why an attempt to publish failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PublicationFailure {
    /// It was refused.
    Refused(Box<Response>),
    /// No response, or it could not be sent.
    Unreachable(EndReason),
    /// A challenge was not answered.
    NotAuthenticated(ChallengeRefusal),
    /// It was taken without an entity tag: it cannot be refreshed (§4.1).
    NoEntityTag,
}
