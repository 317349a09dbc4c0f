//! Headers: the name table, the index of a message, and one typed view a header (family).
//!
//! A typed header is a struct that borrows from the message. It is read by [`HeaderValue::scan`] — through
//! [`Fields::typed`](map::Fields::typed) and [`Fields::list`](map::Fields::list) — and written by its `Display`.

pub(crate) mod map;
mod name;
pub(crate) mod params;
pub(crate) mod scan;

mod auth;
mod content;
mod cseq;
mod date;
mod event;
mod grammar;
pub(crate) mod name_addr;
mod rack;
mod reason;
mod replaces;
mod session_expires;
mod via;
mod words;

pub use auth::{AuthBuilder, AuthInfo, AuthParams, AuthValue};
pub use content::{MediaType, TokenParams};
pub use cseq::CSeq;
pub use date::{Date, Timestamp};
pub use event::{Event, SubscriptionState};
pub use map::{Fields, Header, List};
pub use name::{HeaderName, Name};
pub(crate) use name_addr::parse_q;
pub use name_addr::{Contacts, DisplayName, NameAddr};
pub use params::{Param, ParamIter, Params, ParamsBuf, Quoted};
pub use rack::{RAck, RSeq};
pub use reason::{Reason, Warning};
pub use replaces::DialogReference;
pub use scan::Scanner;
pub use session_expires::{MinSe, Refresher, RetryAfter, SessionExpires};
pub(crate) use via::ViaFacts;
pub use via::{BRANCH_COOKIE, Via, ViaTransport};
pub use words::{
    CallId, Features, MimeVersion, Number, OpaqueParams, Privacy, Product, ResourcePriority, Token,
};

use crate::error::{Attitude, ParseError};

/// A typed header.
pub trait HeaderValue<'a>: Sized {
    /// The header this is the value of; for families the most usual one.
    const NAME: HeaderName;

    /// Whether several values may stand in one header line, between commas.
    const IS_LIST: bool;

    /// Reads one value at the cursor.
    ///
    /// # Errors
    /// If what is there is not one.
    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError>;

    /// Writes the value so that the strictest reader takes it, whatever was forgiven when it was read.
    fn write_strict(&self, out: &mut String)
    where
        Self: std::fmt::Display,
    {
        use std::fmt::Write;
        let _ = write!(out, "{self}");
    }

    /// Reads a text that is one value and nothing else.
    ///
    /// # Errors
    /// If it is not.
    fn parse(text: &'a str, attitude: Attitude) -> Result<Self, ParseError> {
        let mut scanner = Scanner::new(text, attitude);
        scanner.skip_space();
        let value = Self::scan(&mut scanner)?;
        scanner.end()?;
        Ok(value)
    }
}
