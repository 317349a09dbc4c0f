//! Session-Expires and Min-SE (RFC 4028 §4, §5), and the other headers that are seconds with parameters.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{HeaderName, HeaderValue, Params, Scanner};
use crate::error::ParseError;

/// How long a session lives without a refresh, and who refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires<'a> {
    /// Seconds.
    pub seconds: u32,
    /// `refresher`.
    pub params: Params<'a>,
}

/// The side that refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The one that sent the request.
    Uac,
    /// The one that answered it.
    Uas,
}

impl SessionExpires<'_> {
    /// The side that refreshes, if that is said.
    #[must_use]
    pub fn refresher(&self) -> Option<Refresher> {
        let value = self.params.get("refresher")?;
        if value.eq_ignore_ascii_case("uac") {
            Some(Refresher::Uac)
        } else if value.eq_ignore_ascii_case("uas") {
            Some(Refresher::Uas)
        } else {
            None
        }
    }
}

impl fmt::Display for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        })
    }
}

fn scan_seconds(scanner: &mut Scanner<'_>) -> Result<u32, ParseError> {
    scanner.skip_space();
    let digits = scanner.run(crate::message::class::DIGIT);
    super::name_addr::parse_seconds(digits).ok_or_else(|| scanner.expected("a number of seconds"))
}

impl<'a> HeaderValue<'a> for SessionExpires<'a> {
    const NAME: HeaderName = HeaderName::SessionExpires;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        Ok(Self { seconds: scan_seconds(scanner)?, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for SessionExpires<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.seconds, self.params)
    }
}

/// The shortest interval that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinSe<'a> {
    /// Seconds.
    pub seconds: u32,
    /// None are defined.
    pub params: Params<'a>,
}

impl<'a> HeaderValue<'a> for MinSe<'a> {
    const NAME: HeaderName = HeaderName::MinSe;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        Ok(Self { seconds: scan_seconds(scanner)?, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for MinSe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.seconds, self.params)
    }
}

/// When to try again (RFC 3261 §20.33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// Seconds.
    pub seconds: u32,
    /// A remark in parentheses.
    pub comment: Option<&'a str>,
    /// `duration`.
    pub params: Params<'a>,
}

impl<'a> HeaderValue<'a> for RetryAfter<'a> {
    const NAME: HeaderName = HeaderName::RetryAfter;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        let seconds = scan_seconds(scanner)?;
        scanner.skip_space();
        let comment = if scanner.peek() == Some(b'(') { Some(scanner.comment()?) } else { None };
        Ok(Self { seconds, comment, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for RetryAfter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        if let Some(comment) = self.comment {
            write!(f, " {comment}")?;
        }
        write!(f, "{}", self.params)
    }
}
