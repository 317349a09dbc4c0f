//! What is wrong with the bytes of a description, and where.
//!
//! [`ParseError`] is fatal: the body cannot be understood. [`Leniency`] is something RFC 8866 forbids that was
//! understood all the same; a strict reader ([`crate::ParseOptions::strict`]) turns the first one into a
//! [`ParseError`].

use core::fmt;

/// Why a body, a line or an attribute could not be read. Lines and columns count from 1; a column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1. 0 when the fault is the body as a whole.
    pub line: u32,
    /// The column, from 1. 0 when the fault is the line as a whole.
    pub column: u32,
    /// What kind of fault.
    pub kind: ErrorKind,
    /// What should have stood there.
    pub expected: &'static str,
}

/// The kinds of fault a [`ParseError`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing in the body.
    Empty,
    /// More bytes than [`crate::Limits::bytes`].
    TooManyBytes,
    /// More lines than [`crate::Limits::lines`].
    TooManyLines,
    /// More attributes at one level than [`crate::Limits::attributes`].
    TooManyAttributes,
    /// More media than [`crate::Limits::media`].
    TooManyMedia,
    /// More formats in one `m=` line than [`crate::Limits::formats`].
    TooManyFormats,
    /// A NUL byte.
    Nul,
    /// A carriage return that no line feed follows.
    LoneCarriageReturn,
    /// A line that is not a letter, `=` and a value.
    NotALine,
    /// A line that must be there is not.
    MissingLine,
    /// A field of the line is missing.
    MissingField,
    /// Something else than the expected stood there.
    Unexpected,
    /// A number that is not one.
    NotANumber,
    /// A number outside its range.
    OutOfRange,
    /// A value that may stand once stands twice.
    Duplicate,
    /// Understood, but forbidden, and the reader was told to be strict.
    Strict(LeniencyKind),
}

impl ParseError {
    /// A fault `offset` characters into a field list; [`Self::on_line`] puts it where it belongs.
    pub(crate) fn at(offset: usize, kind: ErrorKind, expected: &'static str) -> Self {
        let column = u32::try_from(offset).unwrap_or(u32::MAX).saturating_add(1);
        Self { line: 0, column, kind, expected }
    }

    /// The same fault, in line `line` after `before` characters that precede the field list.
    pub(crate) fn on_line(mut self, line: u32, before: usize) -> Self {
        self.line = line;
        self.column = self.column.saturating_add(u32::try_from(before).unwrap_or(u32::MAX));
        self
    }

    /// A fault of a whole line.
    pub(crate) fn of_line(line: u32, kind: ErrorKind, expected: &'static str) -> Self {
        Self { line, column: 0, kind, expected }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, 0) => {}
            (0, column) => write!(f, "column {column}: ")?,
            (line, 0) => write!(f, "line {line}: ")?,
            (line, column) => write!(f, "line {line}, column {column}: ")?,
        }
        write!(f, "{}; expected {}", self.kind, self.expected)
    }
}

impl core::error::Error for ParseError {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the body is empty",
            Self::TooManyBytes => "the body is too long",
            Self::TooManyLines => "too many lines",
            Self::TooManyAttributes => "too many attributes",
            Self::TooManyMedia => "too many media",
            Self::TooManyFormats => "too many formats in one medium",
            Self::Nul => "a NUL byte",
            Self::LoneCarriageReturn => "a carriage return without a line feed",
            Self::NotALine => "not a line of a session description",
            Self::MissingLine => "a line is missing",
            Self::MissingField => "a field is missing",
            Self::Unexpected => "something unexpected",
            Self::NotANumber => "not a number",
            Self::OutOfRange => "a number out of range",
            Self::Duplicate => "a value that may stand once stands twice",
            Self::Strict(leniency) => return leniency.fmt(f),
        })
    }
}

/// Something RFC 8866 forbids, that was understood all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leniency {
    /// The line, from 1; for a missing line, the one before which it should stand.
    pub line: u32,
    /// What was overlooked.
    pub kind: LeniencyKind,
}

impl fmt::Display for Leniency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

/// The kinds of fault that are overlooked unless the reader is strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeniencyKind {
    /// Lines end with a bare line feed.
    BareLineFeed,
    /// The last line has no end.
    NoFinalLineEnd,
    /// An empty line.
    BlankLine,
    /// Bytes that are not UTF-8; they are read as ISO 8859-1.
    NotUtf8,
    /// Spaces before the type letter, around `=`, doubled, or at the end.
    StraySpace,
    /// No `v=` line.
    MissingVersion,
    /// A version other than 0.
    OtherVersion,
    /// No `o=` line.
    MissingOrigin,
    /// No `s=` line.
    MissingSessionName,
    /// `s=` with nothing after it.
    EmptySessionName,
    /// No `t=` line.
    MissingTiming,
    /// A medium for which no `c=` line gives an address.
    MissingConnection,
    /// A line that stands before one it should follow.
    OutOfOrder,
    /// A line that may stand once stands again.
    RepeatedLine,
    /// A type letter RFC 8866 does not know.
    UnknownType,
    /// The user name in `o=` contains spaces.
    SpaceInUsername,
    /// The session id or version in `o=` is not a decimal number.
    OriginNotNumeric,
    /// `t=` without its second number.
    MissingStopTime,
    /// An `o=`, `b=` or `t=` line that cannot be read; it is kept and ignored.
    Unreadable,
    /// A medium without a format.
    NoFormat,
    /// A known attribute whose value cannot be read; it is kept and ignored.
    BadAttribute,
    /// A time to live on an address that is not a multicast one, or none on one that is.
    TimeToLive,
}

impl fmt::Display for LeniencyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLineFeed => "a line ends without a carriage return",
            Self::NoFinalLineEnd => "the last line has no end",
            Self::BlankLine => "an empty line",
            Self::NotUtf8 => "text that is not UTF-8",
            Self::StraySpace => "a space too many",
            Self::MissingVersion => "no v= line",
            Self::OtherVersion => "a version other than 0",
            Self::MissingOrigin => "no o= line",
            Self::MissingSessionName => "no s= line",
            Self::EmptySessionName => "an empty session name",
            Self::MissingTiming => "no t= line",
            Self::MissingConnection => "a medium without an address",
            Self::OutOfOrder => "a line out of order",
            Self::RepeatedLine => "a line repeated",
            Self::UnknownType => "a type letter that does not exist",
            Self::SpaceInUsername => "a user name with spaces",
            Self::OriginNotNumeric => "a session id or version that is not a number",
            Self::MissingStopTime => "no stop time",
            Self::Unreadable => "a line that cannot be read",
            Self::NoFormat => "a medium without a format",
            Self::BadAttribute => "an attribute that cannot be read",
            Self::TimeToLive => "a time to live where none belongs, or none where one does",
        })
    }
}
