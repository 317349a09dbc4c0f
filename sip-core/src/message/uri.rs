//! URIs: `sip:` and `sips:` in full (RFC 3261 §19.1, §25.1), `tel:` (RFC 3966) as far as routing needs it, anything
//! else by scheme and text (RFC 3986).
//!
//! [`Uri`] borrows and is `Copy`; [`UriBuf`] owns and is cheap to clone. Comparison is that of §19.1.4. What the grammar
//! does not allow in a part is refused when strict and, where the parts are plain all the same, forgiven when lenient.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{class, host::Host, uri_buf::UriBuf, uri_compare, uri_scan::Inner};
use crate::{
    error::{Attitude, ParseError},
    header::{Params, Scanner},
};

/// A borrowed URI.
#[derive(Clone, Copy)]
pub struct Uri<'a> {
    pub(super) text: &'a str,
    pub(super) parts: Parts,
}

/// Where the parts are; all offsets into the text, which is shorter than 65,536 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) scheme: Scheme,
    pub(super) scheme_end: u16,
    /// From after the scheme's colon to the `@`; equal when there is no user.
    pub(super) user_end: u16,
    pub(super) has_user: bool,
    pub(super) host_start: u16,
    pub(super) host_end: u16,
    pub(super) host: HostKind,
    pub(super) port: Option<u16>,
    pub(super) params_end: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostKind {
    None,
    Name,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// The scheme of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other.
    Other,
}

impl<'a> Uri<'a> {
    /// Reads a URI that stands alone.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &'a str, attitude: Attitude) -> Result<Self, ParseError> {
        let mut scanner = Scanner::new(text, attitude);
        Self::scan(&mut scanner, text.len())
    }

    /// Reads the URI from the cursor to `end`, an offset into the scanner's text, and leaves the cursor there.
    pub(crate) fn scan(scanner: &mut Scanner<'a>, end: usize) -> Result<Self, ParseError> {
        let start = scanner.position();
        let text = scanner.whole().get(start..end).unwrap_or_default();
        let mut inner = Inner { scanner, start, text };
        let parts = inner.parts()?;
        scanner.set_position(end);
        Ok(Self { text, parts })
    }

    /// As written.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// The kind of URI.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// The scheme as written.
    #[must_use]
    pub fn scheme_str(&self) -> &'a str {
        self.cut(0, self.parts.scheme_end)
    }

    /// `sips:`.
    #[must_use]
    pub const fn is_sips(&self) -> bool {
        matches!(self.parts.scheme, Scheme::Sips)
    }

    /// `sip:` or `sips:`.
    #[must_use]
    pub const fn is_sip(&self) -> bool {
        matches!(self.parts.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// What follows the scheme's colon, for schemes that are not taken apart here.
    #[must_use]
    pub fn opaque(&self) -> &'a str {
        self.text.get(usize::from(self.parts.scheme_end).saturating_add(1)..).unwrap_or_default()
    }

    fn user_info(&self) -> Option<&'a str> {
        self.parts.has_user.then(|| self.cut(self.parts.scheme_end.saturating_add(1), self.parts.user_end))
    }

    /// The user part, escapes as written, without a password; for `tel:` the number.
    #[must_use]
    pub fn user(&self) -> Option<&'a str> {
        let info = self.user_info()?;
        if self.parts.scheme == Scheme::Tel {
            return Some(info);
        }
        Some(info.split_once(':').map_or(info, |(user, _)| user))
    }

    /// The user part with its escapes undone.
    #[must_use]
    pub fn user_unescaped(&self) -> Option<std::borrow::Cow<'a, str>> {
        self.user().map(uri_compare::unescape)
    }

    /// The password, which nobody should send.
    #[must_use]
    pub fn password(&self) -> Option<&'a str> {
        if self.parts.scheme == Scheme::Tel {
            return None;
        }
        self.user_info()?.split_once(':').map(|(_, password)| password)
    }

    /// The host of a `sip:` or `sips:` URI.
    #[must_use]
    pub fn host(&self) -> Option<Host<'a>> {
        match self.parts.host {
            HostKind::None => None,
            HostKind::Name => Some(Host::Name(self.cut(self.parts.host_start, self.parts.host_end))),
            HostKind::V4(address) => Some(Host::V4(address)),
            HostKind::V6(address) => Some(Host::V6(address)),
        }
    }

    /// The host as written, brackets included; empty for URIs without one.
    #[must_use]
    pub fn host_str(&self) -> &'a str {
        self.cut(self.parts.host_start, self.parts.host_end)
    }

    /// The port, if one is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// The URI parameters; escapes as written.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        let after_port = self.cut(self.parts.host_end, self.parts.params_end);
        Params::from_raw(
            memchr::memchr(b';', after_port.as_bytes())
                .and_then(|at| after_port.get(at..))
                .unwrap_or_default(),
        )
    }

    /// What follows the `?`, if there is one.
    #[must_use]
    pub fn headers_str(&self) -> Option<&'a str> {
        self.text.get(usize::from(self.parts.params_end)..)?.strip_prefix('?')
    }

    /// Names and values of the headers part, escapes as written.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.headers_str()
            .into_iter()
            .flat_map(|text| text.split('&'))
            .filter(|item| !item.is_empty())
            .map(|item| item.split_once('=').unwrap_or((item, "")))
    }

    /// Owned.
    #[must_use]
    pub fn to_owned(&self) -> UriBuf {
        UriBuf { text: self.text.into(), parts: self.parts }
    }

    /// The URI without its headers part and without `method`, as it stands in a Request-URI (RFC 3261 §19.1.5).
    #[must_use]
    pub fn for_request(&self) -> UriBuf {
        if self.headers_str().is_none() && !self.params().has("method") {
            return self.to_owned();
        }
        let mut text = self.cut(0, self.parts.params_end).to_owned();
        if self.params().has("method") {
            let keep = text.len().saturating_sub(self.params().as_str().len());
            text.truncate(keep);
            for param in self.params().iter().filter(|param| !param.name.eq_ignore_ascii_case("method")) {
                text.push(';');
                text.push_str(param.name);
                if let Some(value) = param.value {
                    text.push('=');
                    text.push_str(value);
                }
            }
        }
        UriBuf::parse_with(&text, Attitude::Lenient).unwrap_or_else(|_| self.to_owned())
    }

    /// The same URI as the strict grammar wants it: what must be escaped is escaped, an IPv6 address has its brackets.
    #[must_use]
    pub fn to_strict(&self) -> UriBuf {
        if Self::parse(self.text, Attitude::Strict).is_ok() || !self.is_sip() {
            return self.to_owned();
        }
        let mut text = format!("{}:", self.scheme_str());

        if let Some(info) = self.user_info().filter(|info| !info.is_empty()) {
            let (user, password) =
                info.split_once(':').map_or((info, None), |(user, rest)| (user, Some(rest)));
            text.push_str(&uri_compare::escape_anew(user, class::USER));
            if let Some(password) = password {
                text.push(':');
                text.push_str(&uri_compare::escape_password(password));
            }
            text.push('@');
        }
        if let Some(host) = self.host() {
            text.push_str(&host.to_string());
        }
        if let Some(port) = self.port() {
            text.push_str(&format!(":{port}"));
        }
        for param in self.params().iter() {
            text.push(';');
            text.push_str(&uri_compare::escape_anew(param.name, class::URI_PARAM));
            if let Some(value) = param.value.filter(|value| !value.is_empty()) {
                text.push('=');
                text.push_str(&uri_compare::escape_anew(value, class::URI_PARAM));
            }
        }
        for (index, (name, value)) in self.headers().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(&uri_compare::escape_anew(name, class::URI_HEADER));
            text.push('=');
            text.push_str(&uri_compare::escape_anew(value, class::URI_HEADER));
        }
        UriBuf::parse(&text).unwrap_or_else(|_| self.to_owned())
    }

    fn cut(&self, start: u16, end: u16) -> &'a str {
        self.text.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }
}

/// Equivalence by RFC 3261 §19.1.4 for `sip:` and `sips:`, RFC 3966 §4 for `tel:`, letter by letter for the rest.
impl PartialEq for Uri<'_> {
    fn eq(&self, other: &Self) -> bool {
        uri_compare::is_equivalent(self, other)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests;
