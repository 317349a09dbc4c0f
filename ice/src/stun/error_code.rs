//! Error codes of RFC 8489, 8656, 8445 and 6062, with the phrase that goes with each.

use std::fmt;

/// Why a request was not done: 300 to 699.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u16);

macro_rules! codes {
    ($($code:literal $constant:ident $phrase:literal;)*) => {
        impl ErrorCode {
            $(#[doc = concat!($code, " ", $phrase, ".")] pub const $constant: Self = Self($code);)*

            /// The words that go with it; empty for a code the table does not have.
            #[must_use]
            pub const fn phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    _ => "",
                }
            }
        }
    };
}

codes! {
    300 TRY_ALTERNATE "Try Alternate";
    400 BAD_REQUEST "Bad Request";
    401 UNAUTHENTICATED "Unauthenticated";
    403 FORBIDDEN "Forbidden";
    405 MOBILITY_FORBIDDEN "Mobility Forbidden";
    420 UNKNOWN_ATTRIBUTE "Unknown Attribute";
    437 ALLOCATION_MISMATCH "Allocation Mismatch";
    438 STALE_NONCE "Stale Nonce";
    440 ADDRESS_FAMILY_NOT_SUPPORTED "Address Family not Supported";
    441 WRONG_CREDENTIALS "Wrong Credentials";
    442 UNSUPPORTED_TRANSPORT "Unsupported Transport Protocol";
    443 PEER_ADDRESS_FAMILY_MISMATCH "Peer Address Family Mismatch";
    446 CONNECTION_ALREADY_EXISTS "Connection Already Exists";
    447 CONNECTION_TIMEOUT_OR_FAILURE "Connection Timeout or Failure";
    486 ALLOCATION_QUOTA_REACHED "Allocation Quota Reached";
    487 ROLE_CONFLICT "Role Conflict";
    500 SERVER_ERROR "Server Error";
    508 INSUFFICIENT_CAPACITY "Insufficient Capacity";
}

impl ErrorCode {
    /// A code from 300 to 699.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 300 && code <= 699 { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    pub(super) const fn class(self) -> u8 {
        (self.0 / 100) as u8
    }

    pub(super) const fn number(self) -> u8 {
        (self.0 % 100) as u8
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.0, self.phrase())
    }
}
