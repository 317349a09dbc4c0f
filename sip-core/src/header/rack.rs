//! RSeq and RAck (RFC 3262 §7).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{CSeq, HeaderName, HeaderValue, Scanner};
use crate::error::{ParseError, Problem};

/// The number of a reliable provisional response, 1 to 2^32 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RSeq(pub u32);

impl<'a> HeaderValue<'a> for RSeq {
    const NAME: HeaderName = HeaderName::RSeq;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scan_number(scanner).map(Self)
    }
}

fn scan_number(scanner: &mut Scanner<'_>) -> Result<u32, ParseError> {
    let most = u64::from(u32::MAX);
    let number = scanner.number("a response number", most)?;
    u32::try_from(number).map_err(|_| scanner.error(Problem::OutOfRange { most }))
}

impl fmt::Display for RSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which reliable provisional response a PRACK is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RAck {
    /// The response's RSeq.
    pub response: u32,
    /// The response's CSeq.
    pub cseq: CSeq,
}

impl<'a> HeaderValue<'a> for RAck {
    const NAME: HeaderName = HeaderName::RAck;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        let response = scan_number(scanner)?;
        let before = scanner.position();
        scanner.skip_space();
        if scanner.position() == before {
            return Err(scanner.expected("white space before the sequence number"));
        }
        Ok(Self { response, cseq: CSeq::scan(scanner)? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.response, self.cseq)
    }
}
