//! Rules of an operator that somebody did not pass: what each is called, and what helps who passes none of them but should.
//!
//! What a peer says by a status of its own is read here too: RFC 8224 section 6.2.2.

use super::Cause;

/// A rule by which something was refused, apart from whether the caller exists, is there and speaks the same codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A list says which addresses and transports may come.
    Listed,
    /// The number goes out after a PIN only.
    Pin,
    /// Callers are taken with a signature only (RFC 8224).
    Signed,
    /// A signature that is there must be right (RFC 8224).
    Signature,
    /// What may go out: barred numbers, quiet hours, calls an hour, minutes a day.
    Toll,
    /// How many calls there may be at a time.
    Calls,
    /// Callers whom the operator does not want.
    Blocked,
    /// A ban for guessing, scanning or flooding.
    Banned,
}

impl Rule {
    /// Every rule there is.
    pub const ALL: &'static [Self] = &[
        Self::Listed,
        Self::Pin,
        Self::Signed,
        Self::Signature,
        Self::Toll,
        Self::Calls,
        Self::Blocked,
        Self::Banned,
    ];

    /// The cause that it is.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::Listed => Cause::NotListed,
            Self::Pin => Cause::PinNeeded,
            Self::Signed => Cause::CallerNotSigned,
            Self::Signature => Cause::SignatureWrong,
            Self::Toll => Cause::TollLimit,
            Self::Calls => Cause::LimitReached,
            Self::Blocked => Cause::CallerBlocked,
            Self::Banned => Cause::TurnedAway,
        }
    }

    /// One sentence that says what to do about it, on the side whose rule it is.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Listed => {
                "Put its address and transport into the list, or have it come by what is in there."
            }
            Self::Pin => {
                "Dial the PIN from a telephone that can be asked for it; after too many wrong ones, wait an hour."
            }
            Self::Signed => {
                "Have the other side sign its callers, those who withhold their numbers too, or do without signatures of it."
            }
            Self::Signature => {
                "Compare the key and its URL with those the other side signs with, and the clocks of both sides."
            }
            Self::Toll => {
                "Raise the limit if the call was meant; if it was not, look who calls: it may be fraud."
            }
            Self::Calls => "Raise the limit if this is meant to be.",
            Self::Blocked => "Take the number from the blocked ones if it is welcome.",
            Self::Banned => {
                "Pardon the address, or put its network among those that are never refused, if it is wanted."
            }
        }
    }

    /// The rule of a peer that refuses with this status.
    pub(super) fn of_status(status: u16) -> Option<Self> {
        match status {
            428 => Some(Self::Signed),
            436..=438 => Some(Self::Signature),
            _ => None,
        }
    }

    /// What to do when it is a peer's.
    pub(super) fn remedy_at_peer(self) -> &'static str {
        match self {
            Self::Signed => "Sign the callers shown to it, with a key that it trusts.",
            Self::Signature => {
                "Give it the public key anew, with the URL that names it, and compare the clocks."
            }
            _ => "Ask the other side to let it pass.",
        }
    }
}
