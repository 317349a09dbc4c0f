//! What the endpoint refused or dropped by itself, for logs and for whoever guards it.

use crate::{call::offer_answer::Conflict, error::ParseError, limits::Limit, message::Request};

/// Why the endpoint refused or dropped something by itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// 469: an INFO of a package that was not announced (RFC 6086).
    InfoPackage,
    /// It could not be read.
    Malformed(ParseError),
    /// 481: no such dialog.
    NoSuchDialog,
    /// 481: no such transaction to cancel.
    NoSuchTransaction,
    /// 482: it came by two ways (RFC 3261 §8.2.2.2).
    Merged,
    /// 420: extensions we do not support.
    BadExtension(String),
    /// 500: sequence numbers go backwards (RFC 3261 §12.2.2).
    OutOfOrder {
        /// What came.
        sequence: u32,
        /// What had come before.
        last: u32,
    },
    /// 491 or 500: it crossed another change (RFC 6337 §4.3).
    Conflict(Conflict),
    /// 415: a body that has to be understood, and holds no session description (RFC 3261 §8.2.3).
    MediaType,
    /// 422: the session interval is too small (RFC 4028).
    IntervalTooSmall,
    /// 503: a bound of the configuration.
    Limit(Limit),
    /// A response that belongs to nothing.
    StrayResponse,
    /// An ACK that belongs to nothing.
    StrayAck,
    /// 405 or 501: a method that makes no sense there.
    Method,
    /// 503: the endpoint is shutting down.
    ShuttingDown,
}

/// The first line of a request, shortened to what a log line bears.
pub(crate) fn first_line(request: &Request) -> String {
    let line = format!("{} {}", request.method(), request.uri_text());
    line.chars().filter(|it| !it.is_control()).take(120).collect()
}
