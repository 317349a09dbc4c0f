//! The `o=` line (RFC 8866 §5.2) and the arithmetic of its session version (RFC 3264 §8).
//!
//! Ids and versions are digit strings of any length on the wire: they are kept as text and compared as numbers
//! without a width.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::cmp::Ordering;
use core::fmt;

use crate::address::Host;
use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, all_digits};

/// The value of an `o=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The user, or `-`.
    pub username: &'a str,
    /// Which session, a number of any length.
    pub session_id: &'a str,
    /// Which version of its description, a number of any length.
    pub session_version: &'a str,
    /// The network type, `IN`.
    pub network: &'a str,
    /// The address type, `IP4` or `IP6`, as written.
    pub address_type: &'a str,
    /// The host that made the session.
    pub host: Host<'a>,
}

/// How one session version stands to an earlier one of the same session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionStep {
    /// The same: nothing may have changed.
    Same,
    /// One more, as RFC 3264 §8 wants it.
    Next,
    /// More than one more.
    Jump,
    /// Less.
    Back,
    /// One of the two is not a number.
    Unknown,
}

impl<'a> Origin<'a> {
    /// Reads the value of an `o=` line. A user name with spaces is understood: the last five fields are the others.
    ///
    /// # Errors
    /// A field is missing; the column counts within the value.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        const EXPECTED: [&str; 6] = [
            "a user name or -",
            "a session id",
            "a session version",
            "the network type IN",
            "the address type IP4 or IP6",
            "an address",
        ];
        let mut fields = Fields::new(value);
        let mut six = [""; 6];
        for (slot, expected) in six.iter_mut().zip(EXPECTED) {
            *slot = fields.expect(expected)?;
        }
        if fields.rest().trim_end().is_empty() {
            let [username, session_id, session_version, network, address_type, host] = six;
            let host = Host::parse(host);
            return Ok(Self { username, session_id, session_version, network, address_type, host });
        }
        let mut from_end = value.trim().rsplitn(6, ' ');
        let mut field = || from_end.next().unwrap_or("");
        let (host, address_type, network) = (Host::parse(field()), field(), field());
        let (session_version, session_id, username) = (field(), field(), field());
        Ok(Self { username, session_id, session_version, network, address_type, host })
    }

    /// Whether id and version are decimal numbers, as they have to be.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        all_digits(self.session_id) && all_digits(self.session_version)
    }

    /// The version as a number, if it is one that fits in 64 bits.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        crate::fields::number64(self.session_version).ok()
    }

    /// Whether both name the same session: everything but the version is equal.
    #[must_use]
    pub fn same_session(&self, other: &Origin<'_>) -> bool {
        self.username == other.username
            && self.session_id == other.session_id
            && self.network.eq_ignore_ascii_case(other.network)
            && self.address_type.eq_ignore_ascii_case(other.address_type)
            && self.host == other.host
    }

    /// How this version stands to `earlier`'s.
    #[must_use]
    pub fn step_from(&self, earlier: &Origin<'_>) -> VersionStep {
        step(earlier.session_version, self.session_version)
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {}",
            self.username, self.session_id, self.session_version, self.network, self.address_type, self.host
        )
    }
}

/// How version `later` stands to version `earlier`, both digit strings of any length.
pub(crate) fn step(earlier: &str, later: &str) -> VersionStep {
    if !all_digits(earlier) || !all_digits(later) {
        return if earlier == later { VersionStep::Same } else { VersionStep::Unknown };
    }
    let earlier = earlier.trim_start_matches('0');
    let later = later.trim_start_matches('0');
    match later.len().cmp(&earlier.len()).then_with(|| later.cmp(earlier)) {
        Ordering::Equal => VersionStep::Same,
        Ordering::Less => VersionStep::Back,
        Ordering::Greater if later == increment(earlier) => VersionStep::Next,
        Ordering::Greater => VersionStep::Jump,
    }
}

/// One more than a digit string, in digits.
fn increment(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let zeros = "0".repeat(digits.len().saturating_sub(kept.len()));
    let mut stem = kept.chars();
    match stem.next_back().and_then(|last| last.to_digit(10)).and_then(|last| last.checked_add(1)) {
        Some(last) => format!("{}{last}{zeros}", stem.as_str()),
        None => format!("1{zeros}"),
    }
}

/// `o=` fields that are numbers but need not be; a strict reader refuses them.
pub(crate) fn check(origin: &Origin<'_>) -> Result<(), ErrorKind> {
    if origin.is_numeric() { Ok(()) } else { Err(ErrorKind::NotANumber) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_of_any_length() {
        assert_eq!(step("4294967295", "4294967296"), VersionStep::Next);
        assert_eq!(step("18446744073709551615", "18446744073709551616"), VersionStep::Next);
        assert_eq!(step("99", "100"), VersionStep::Next);
        assert_eq!(step("0", "1"), VersionStep::Next);
        assert_eq!(step("", "1"), VersionStep::Unknown);
        assert_eq!(step("0099", "99"), VersionStep::Same);
        assert_eq!(step("99", "101"), VersionStep::Jump);
        assert_eq!(step("100", "99"), VersionStep::Back);
        assert_eq!(step("1x", "2"), VersionStep::Unknown);
    }

    #[test]
    fn a_user_name_may_contain_spaces() {
        let origin = Origin::parse("John Q Doe 28 29 IN IP4 192.0.2.1").unwrap();
        assert_eq!((origin.username, origin.session_id, origin.session_version), ("John Q Doe", "28", "29"));
        assert_eq!(origin.to_string(), "John Q Doe 28 29 IN IP4 192.0.2.1");
    }

    #[test]
    fn a_missing_field_is_named() {
        let fault = Origin::parse("- 1 2 IN IP4").unwrap_err();
        assert_eq!((fault.column, fault.expected), (13, "an address"));
    }
}
