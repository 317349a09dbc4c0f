//! Whose fault was it? `ParseError` blames the bytes, `Misuse` blames our caller.
//!
//! What a peer does wrong with well-formed packets is neither: it is counted, and reported as
//! [`crate::session::DropReason`] or as an event.

use thiserror::Error;

/// Bytes that are not what they claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("{expected} expected at octet {offset}")]
pub struct ParseError {
    /// Where in the datagram, counted from 0.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl ParseError {
    pub(crate) const fn new(offset: usize, expected: &'static str) -> Self {
        Self { offset, expected }
    }
}

/// A request of the program that uses this crate which cannot be fulfilled. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The caller's buffer cannot hold the result.
    #[error("the buffer holds {available} octets and {needed} are needed")]
    BufferTooSmall {
        /// Octets needed.
        needed: usize,
        /// Octets there.
        available: usize,
    },
    /// A payload type above 127, or one that reads as RTCP when both share a port (64–95, RFC 5761 §4).
    #[error("{0} is not a payload type")]
    NotAPayloadType(u8),
    /// More than 15 contributing sources, an extension that is no multiple of four octets, a text over 255 octets…
    #[error("{0}")]
    TooLong(&'static str),
    /// A value outside the range its field has.
    #[error("{0}")]
    OutOfRange(&'static str),
    /// The session has said BYE.
    #[error("the session has ended")]
    Ended,
    /// Keys whose lengths do not fit the suite.
    #[error("the key material has {available} octets and the suite takes {needed}")]
    KeyLength {
        /// Octets the suite takes.
        needed: usize,
        /// Octets given.
        available: usize,
    },
}
