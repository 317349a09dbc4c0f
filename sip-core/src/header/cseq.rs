//! CSeq (RFC 3261 §20.16).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{HeaderName, HeaderValue, Scanner};
use crate::{
    error::{Liberty, ParseError, Problem},
    message::Method,
};

/// The sequence number and method of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// From 0 to 2^31 − 1 (RFC 3261 §8.1.1.5); lenient reading takes the other half too.
    pub sequence: u32,
    /// The request's method.
    pub method: Method,
}

impl<'a> HeaderValue<'a> for CSeq {
    const NAME: HeaderName = HeaderName::CSeq;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        let start = scanner.position();
        let most = u64::from(u32::MAX);
        let sequence = scanner.number("a sequence number", most)?;
        let sequence = u32::try_from(sequence).map_err(|_| scanner.error(Problem::OutOfRange { most }))?;
        if sequence > u32::MAX >> 1 {
            scanner.forgive(start, Liberty::NumberForm, "a sequence number below 2147483648")?;
        }
        let before = scanner.position();
        scanner.skip_space();
        if scanner.position() == before {
            return Err(scanner.expected("white space before the method"));
        }
        let method = scanner.token("a method")?;
        let method = Method::parse(method).ok_or_else(|| scanner.expected("a method"))?;
        Ok(Self { sequence, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sequence, self.method)
    }
}
