//! Event, Allow-Events and Subscription-State (RFC 6665 §8.2).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{HeaderName, HeaderValue, Params, Scanner};
use crate::error::ParseError;

/// An event package with its templates, such as `presence.winfo`, and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The package; compared letter by letter.
    pub package: &'a str,
    /// `id` and others.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// The `id` parameter, which tells subscriptions of one dialog apart.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        self.params.get("id")
    }
}

impl<'a> HeaderValue<'a> for Event<'a> {
    const NAME: HeaderName = HeaderName::Event;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let package = scanner.token("an event package")?;
        Ok(Self { package, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.package, self.params)
    }
}

/// The state of a subscription as the notifier tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated` or another word.
    pub state: &'a str,
    /// `reason`, `expires`, `retry-after`.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Whether the subscription has ended.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }

    /// Whether the subscription is in force.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.state.eq_ignore_ascii_case("active")
    }

    /// Why it ended.
    #[must_use]
    pub fn reason(&self) -> Option<&'a str> {
        self.params.get("reason")
    }

    /// Seconds that are left of it.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").and_then(super::name_addr::parse_seconds)
    }

    /// Seconds after which it may be tried again.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.params.get("retry-after").and_then(super::name_addr::parse_seconds)
    }
}

impl<'a> HeaderValue<'a> for SubscriptionState<'a> {
    const NAME: HeaderName = HeaderName::SubscriptionState;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let state = scanner.token("a subscription state")?;
        Ok(Self { state, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for SubscriptionState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.state, self.params)
    }
}
