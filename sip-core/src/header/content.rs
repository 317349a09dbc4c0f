//! Content-Type, Accept, Content-Disposition and their kin (RFC 3261 §20.1–20.3, §20.11–20.15; RFC 2045, RFC 2183).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{HeaderName, HeaderValue, Params, Scanner};
use crate::error::ParseError;

/// A media type or range: `application/sdp`, `multipart/mixed;boundary=x`, `*/*;q=0.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// Before the slash.
    pub kind: &'a str,
    /// After the slash.
    pub subtype: &'a str,
    /// Parameters.
    pub params: Params<'a>,
}

impl MediaType<'_> {
    /// Whether this is the type `kind/subtype`, without regard to case.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// `multipart/…`.
    #[must_use]
    pub const fn is_multipart(&self) -> bool {
        self.kind.eq_ignore_ascii_case("multipart")
    }

    /// Whether this range, as in Accept, includes a type.
    #[must_use]
    pub fn includes(&self, other: &MediaType<'_>) -> bool {
        (self.kind == "*" || self.kind.eq_ignore_ascii_case(other.kind))
            && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(other.subtype))
    }
}

impl<'a> HeaderValue<'a> for MediaType<'a> {
    const NAME: HeaderName = HeaderName::ContentType;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let kind = scanner.token("a media type")?;
        if !scanner.eat_separator(b'/') {
            return Err(scanner.expected("`/` after the media type"));
        }
        let subtype = scanner.token("a media subtype")?;
        Ok(Self { kind, subtype, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

/// A word with parameters: Content-Disposition, Accept-Encoding, Accept-Language, Info-Package, Priv-Answer-Mode and
/// many others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenParams<'a> {
    /// The word.
    pub token: &'a str,
    /// Parameters.
    pub params: Params<'a>,
}

impl<'a> HeaderValue<'a> for TokenParams<'a> {
    const NAME: HeaderName = HeaderName::ContentDisposition;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let token = scanner.token("a word")?;
        Ok(Self { token, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for TokenParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.token, self.params)
    }
}
