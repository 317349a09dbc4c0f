//! Headers that name a dialog: Replaces (RFC 3891), Join (RFC 3911), Target-Dialog (RFC 4538).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{HeaderName, HeaderValue, Params, Scanner};
use crate::{error::ParseError, message::class};

/// A dialog by its three parts, as seen by the one who receives the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialogReference<'a> {
    /// The Call-ID.
    pub call_id: &'a str,
    /// `to-tag`, `from-tag`, `early-only` and others; for Target-Dialog `local-tag` and `remote-tag`.
    pub params: Params<'a>,
}

impl<'a> DialogReference<'a> {
    /// The receiver's own tag: `to-tag` or `local-tag`.
    #[must_use]
    pub fn local_tag(&self) -> Option<&'a str> {
        self.params.get("to-tag").or_else(|| self.params.get("local-tag"))
    }

    /// The other side's tag: `from-tag` or `remote-tag`.
    #[must_use]
    pub fn remote_tag(&self) -> Option<&'a str> {
        self.params.get("from-tag").or_else(|| self.params.get("remote-tag"))
    }

    /// Whether only an early dialog is meant.
    #[must_use]
    pub fn is_early_only(&self) -> bool {
        self.params.has("early-only")
    }
}

impl<'a> HeaderValue<'a> for DialogReference<'a> {
    const NAME: HeaderName = HeaderName::Replaces;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        let call_id = scanner.run(class::WORD);
        if call_id.is_empty() {
            return Err(scanner.expected("a Call-ID"));
        }
        if scanner.eat(b'@') && scanner.run(class::WORD).is_empty() {
            return Err(scanner.expected("the second half of a Call-ID"));
        }
        let call_id = scanner.since(start);
        let params = Params::scan(scanner)?;
        let value = Self { call_id, params };
        if value.local_tag().is_none() || value.remote_tag().is_none() {
            return Err(scanner.expected("both tags of the dialog"));
        }
        Ok(value)
    }
}

impl fmt::Display for DialogReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.call_id, self.params)
    }
}
