//! Whose fault was it? [`ParseError`]: the bytes. [`BuildError`] and [`Misuse`]: our caller.
//!
//! What a peer does wrong with well-formed bytes is never an `Err` for the caller: it is an event of the machine that
//! noticed it. [`ParseError::status`] is the one place that maps an error to the answer on the wire (RFC 3261 §21.4).

use std::fmt;

use crate::{header::HeaderName, limits::Limit, message::StatusCode};

/// Bytes that are not what the grammar says, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// Offset from the first byte given to the parser.
    pub offset: usize,
    /// The header in whose value it is, if it is in one.
    pub header: Option<HeaderName>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at the offset of a [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Something else was expected here; the text says what.
    Expected(&'static str),
    /// A control character, or a carriage return or line feed that ends no line.
    ControlCharacter,
    /// Not UTF-8.
    NotUtf8,
    /// A header that every message must have is not there.
    Missing(HeaderName),
    /// A header that may be there once is there more often, with values that differ.
    Repeated(HeaderName),
    /// A number above what it may be.
    OutOfRange {
        /// The largest value allowed.
        most: u64,
    },
    /// Not `SIP/2.0`.
    Version,
    /// `Content-Length` announces more than there is.
    BodyTooShort {
        /// What the header says.
        declared: usize,
        /// What there is.
        present: usize,
    },
    /// The method in CSeq is not that of the start line.
    MethodMismatch,
    /// A limit was reached.
    Limit(Limit),
}

impl ParseError {
    /// An error at an offset outside of any header value.
    #[must_use]
    pub const fn new(offset: usize, problem: Problem) -> Self {
        Self { offset, header: None, problem }
    }

    /// The status a server answers with (RFC 3261 §21.4, §21.5): 505 for a foreign version, 513 for what is too
    /// large, else 400.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.problem {
            Problem::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Problem::Limit(_) => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Expected(what) => write!(f, "{what} expected")?,
            Problem::ControlCharacter => f.write_str("control character")?,
            Problem::NotUtf8 => f.write_str("not UTF-8")?,
            Problem::Missing(name) => return write!(f, "no {name} header"),
            Problem::Repeated(name) => write!(f, "{name} more than once")?,
            Problem::OutOfRange { most } => write!(f, "number above {most}")?,
            Problem::Version => f.write_str("SIP/2.0 expected")?,
            Problem::BodyTooShort { declared, present } => {
                write!(f, "Content-Length {declared} but {present} bytes of body")?;
            }
            Problem::MethodMismatch => f.write_str("CSeq method differs from the request's")?,
            Problem::Limit(limit) => write!(f, "too many {}", limit.describe())?,
        }
        write!(f, " at byte {}", self.offset)?;
        match self.header {
            Some(header) => write!(f, " in {header}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

/// Why a message could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A header name, method or other word that must be a token is not one.
    #[error("not a token: the name of a header or method")]
    NotAToken,
    /// A value holds CR, LF, NUL or another control character; written out it would smuggle a header.
    #[error("control character in the value of {0}")]
    ControlCharacter(&'static str),
    /// The Request-URI is empty or holds white space.
    #[error("the Request-URI is empty or holds white space")]
    RequestUri,
    /// The head would be longer than 65,535 bytes.
    #[error("the head of the message is longer than 65,535 bytes")]
    TooLong,
    /// A header that the operation needs is missing from the message it starts from.
    #[error("the message has no {0} header")]
    Missing(HeaderName),
}

/// The caller asked for something that cannot be done. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// No such transaction, or it has ended.
    #[error("no such transaction")]
    UnknownTransaction,
    /// No such stream, or it is closed.
    #[error("no such stream")]
    UnknownStream,
    /// The transaction is in a state in which this cannot be done, e.g. a second final response.
    #[error("the transaction's state does not allow this")]
    WrongState,
    /// The message lacks a header that the operation needs, or has one that is not well-formed.
    #[error("the message cannot be used: {0}")]
    Message(#[from] ParseError),
    /// The message could not be written.
    #[error("the message cannot be written: {0}")]
    Build(#[from] BuildError),
    /// There is no local address for this transport and address family.
    #[error("no local address for this transport")]
    NoTransport,
    /// An own limit was reached.
    #[error("limit reached: {}", .0.describe())]
    Limit(Limit),
    /// An ACK to a non-2xx is the transaction's, and an ACK or CANCEL cannot start a client transaction of its own.
    #[error("this method cannot be sent like that")]
    Method,
    /// No such call, request, registration or subscription, or it has ended.
    #[error("no such call, request, registration or subscription")]
    UnknownHandle,
    /// The peer does not know this extension, or it is switched off.
    #[error("the peer does not know the extension {0}")]
    NotSupported(&'static str),
    /// This status code cannot be used here.
    #[error("this status code cannot be used here")]
    Status,
    /// An offer or answer may not travel now, or the one that is due is missing (RFC 6337).
    #[error("no offer or answer may travel like that now: {0}")]
    OfferAnswer(crate::call::offer_answer::Conflict),
}

/// Whether a parser refuses what the grammar does not allow, or forgives it where the meaning is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Attitude {
    /// The grammar of RFC 3261 §25 and nothing else.
    Strict,
    /// What old devices send is understood where only one reading is possible; each liberty is listed.
    #[default]
    Lenient,
}

/// A liberty that the lenient attitude took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgiven {
    /// Offset from the first byte of the message.
    pub offset: usize,
    /// The header it is in, if it is in one.
    pub header: Option<HeaderName>,
    /// What was forgiven.
    pub liberty: Liberty,
}

/// What can be forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Liberty {
    /// A line ends with a line feed alone.
    BareLineFeed,
    /// The message ends with its last header, without an empty line.
    MissingEmptyLine,
    /// White space at the end of the start line, or more than one space in it.
    StartLineSpace,
    /// The Request-URI has a headers part, which is not to be passed on (RFC 3261 §19.1.1).
    HeadersInRequestUri,
    /// The Request-URI stands in angle brackets.
    BracketedRequestUri,
    /// A status line without a space after the code.
    NoReasonSpace,
    /// The head is not UTF-8; it was read as Latin-1.
    Latin1,
    /// A line of the head that is no header; it was left out of the index.
    JunkLine,
    /// A header with nothing in it where something is needed.
    EmptyValue,
    /// `Content-Length` is repeated with the same value.
    RepeatedContentLength,
    /// The body is shorter than `Content-Length`, on a datagram.
    ShortBody,
    /// A display name of characters that need quotes.
    UnquotedDisplayName,
    /// White space inside of angle brackets.
    BracketSpace,
    /// A URI with a parameter or question mark without angle brackets.
    UnbracketedUri,
    /// A character that must be escaped, or a `%` that escapes nothing.
    UnescapedCharacter,
    /// A host with characters that no host has, such as an underscore.
    HostCharacter,
    /// An IPv6 address without brackets.
    UnbracketedIpv6,
    /// A parameter without a name, or an empty one (`;;`).
    EmptyParameter,
    /// A parameter value of characters that need quotes.
    UnquotedParameter,
    /// A quoted string that is not closed.
    UnclosedQuote,
    /// A method in CSeq whose case is not that of the start line.
    MethodCase,
    /// A missing comma, or an empty element in a list.
    ListSeparator,
    /// A date that is not in the one form allowed, or a zone that is not GMT.
    DateForm,
    /// Anything after a complete value.
    TrailingText,
    /// A number with more digits or a sign that does not belong there.
    NumberForm,
    /// A URI whose host is empty.
    EmptyHost,
    /// A telephone number that is not global, without the context that gives it a meaning (RFC 3966 §5.1.5).
    NoPhoneContext,
    /// A parameter that is there twice.
    RepeatedParameter,
    /// A parameter whose value is not what its name asks for: in quotes or not, a number, a host.
    ParameterForm,
}
