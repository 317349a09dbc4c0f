//! What a source can do wrong, and how heavily it weighs.

use core::fmt;

/// Something a source should not have done. Its weight says how many of the lightest it counts as.
///
/// Over UDP an address can be forged, so what needs no answer of ours to commit weighs little unless it is unmistakable,
/// and whoever is vouched for is never banned by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Offence {
    /// Credentials that are wrong.
    WrongPassword,
    /// Credentials for an account that does not exist: what scanners do, and phones almost never.
    UnknownAccount,
    /// A call to be placed without credentials that never came back with any.
    UnansweredChallenge,
    /// Bytes that are no message at all.
    Malformed,
    /// More packets than one source may send.
    Flood,
    /// A stream that broke a limit: an endless message, more than is read, too many connections.
    StreamAbuse,
    /// A tool known by name that only looks for victims.
    Scanner,
    /// Something its account may not do, for instance a destination that is not allowed.
    NotPermitted,
}

impl Offence {
    /// Every kind, in the order of [`Offence::index`].
    pub(crate) const ALL: [Self; 8] = [
        Self::WrongPassword,
        Self::UnknownAccount,
        Self::UnansweredChallenge,
        Self::Malformed,
        Self::Flood,
        Self::StreamAbuse,
        Self::Scanner,
        Self::NotPermitted,
    ];

    /// How many light offences this one is worth.
    #[must_use]
    pub fn weight(self) -> u32 {
        match self {
            Self::WrongPassword
            | Self::UnansweredChallenge
            | Self::Malformed
            | Self::Flood
            | Self::NotPermitted => 1,
            Self::UnknownAccount => 2,
            Self::StreamAbuse => 3,
            Self::Scanner => 20,
        }
    }

    /// Whether it was an attempt at an account.
    pub(crate) fn is_about_an_account(self) -> bool {
        matches!(self, Self::WrongPassword)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongPassword => "wrong password",
            Self::UnknownAccount => "unknown account",
            Self::UnansweredChallenge => "asked for credentials and came without",
            Self::Malformed => "not a SIP message",
            Self::Flood => "too many packets",
            Self::StreamAbuse => "a connection that broke a limit",
            Self::Scanner => "a scanner by its own name",
            Self::NotPermitted => "not permitted",
        })
    }
}
