//! The lines about time and bandwidth: `t=`, `b=` (RFC 8866 §5.9, §5.8). `r=` and `z=` matter to nobody who
//! telephones and stay text.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number64};

/// The value of a `t=` line, in seconds since 1900; 0 means unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// When the session starts.
    pub start: u64,
    /// When it stops.
    pub stop: u64,
}

impl Timing {
    /// Reads the value of a `t=` line.
    ///
    /// # Errors
    /// A number is missing or not one; the column counts within the value.
    #[inline]
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        if value == "0 0" {
            return Ok(Self { start: 0, stop: 0 });
        }
        let mut fields = Fields::new(value);
        let mut next = |expected| {
            let field = fields.expect(expected)?;
            number64(field).map_err(|kind| fields.error_in(field, kind, expected))
        };
        Ok(Self { start: next("a start time")?, stop: next("a stop time")? })
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.start, self.stop)
    }
}

/// The value of a `b=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth<'a> {
    /// What is bounded: `AS`, `CT`, `TIAS`, `RS`, `RR`, or something else.
    pub kind: &'a str,
    /// How much: kilobits a second for `AS` and `CT`, bits a second for `TIAS`, `RS` and `RR` (RFC 3890, RFC 3556).
    pub value: u64,
}

impl<'a> Bandwidth<'a> {
    /// Reads the value of a `b=` line.
    ///
    /// # Errors
    /// There is no colon, or what follows it is not a number; the column counts within the value.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "a kind, a colon and a number";
        let Some((kind, amount)) = value.split_once(':') else {
            return Err(ParseError::at(value.len(), ErrorKind::MissingField, EXPECTED));
        };
        let amount = amount.trim();
        let fault = |reason| ParseError::at(kind.len().saturating_add(1), reason, "a bandwidth");
        Ok(Self { kind: kind.trim(), value: number64(amount).map_err(fault)? })
    }

    /// The bound in bits a second, if the unit of the kind is known.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<u64> {
        match self.kind {
            "AS" | "CT" => self.value.checked_mul(1_000),
            "TIAS" | "RS" | "RR" => Some(self.value),
            _ => None,
        }
    }
}

impl fmt::Display for Bandwidth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_differ_by_kind() {
        assert_eq!(Bandwidth::parse("AS:64").unwrap().bits_per_second(), Some(64_000));
        assert_eq!(Bandwidth::parse("TIAS:64000").unwrap().bits_per_second(), Some(64_000));
        assert_eq!(Bandwidth::parse("X-YZ:128").unwrap().bits_per_second(), None);
        assert_eq!(Bandwidth::parse("AS:-1").unwrap_err().column, 4);
        assert_eq!(Bandwidth::parse("AS").unwrap_err().kind, ErrorKind::MissingField);
    }

    #[test]
    fn times_pass_2036() {
        assert_eq!(Timing::parse("3034423619 99999999999").unwrap().stop, 99_999_999_999);
        assert_eq!(Timing::parse("0").unwrap_err().expected, "a stop time");
    }
}
