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

use super::{class, host::Host, uri_buf::UriBuf, uri_compare};
use crate::{
    error::{Attitude, Liberty, ParseError, Problem},
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
                text.push_str(&uri_compare::escape_anew(password, class::USER));
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
            if let Some(value) = param.value {
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

/// Finds the parts. `start` is where the URI starts in the scanner's text.
struct Inner<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    start: usize,
    text: &'a str,
}

impl Inner<'_, '_> {
    fn parts(&mut self) -> Result<Parts, ParseError> {
        let length = u16::try_from(self.text.len())
            .map_err(|_| self.scanner.error(Problem::OutOfRange { most: u64::from(u16::MAX) }))?;
        let bytes = self.text.as_bytes();
        let scheme_end = match bytes {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', ..] => 3,
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', ..] => 4,
            _ => bytes
                .iter()
                .position(|&b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))
                .unwrap_or(bytes.len()),
        };
        let starts_well = bytes.first().is_some_and(u8::is_ascii_alphabetic);
        if !starts_well || bytes.get(scheme_end) != Some(&b':') {
            return Err(self.scanner.expected("a URI scheme and a colon"));
        }
        let scheme_text = self.text.get(..scheme_end).unwrap_or_default();
        let mut parts = Parts {
            scheme: Scheme::Other,
            scheme_end: narrow(scheme_end),
            user_end: 0,
            has_user: false,
            host_start: length,
            host_end: length,
            host: HostKind::None,
            port: None,
            params_end: length,
        };
        self.scanner.set_position(self.start.saturating_add(scheme_end).saturating_add(1));
        if scheme_end == 3 && scheme_text.eq_ignore_ascii_case("sip") {
            parts.scheme = Scheme::Sip;
            self.sip_parts(&mut parts)?;
        } else if scheme_end == 4 && scheme_text.eq_ignore_ascii_case("sips") {
            parts.scheme = Scheme::Sips;
            self.sip_parts(&mut parts)?;
        } else if scheme_text.eq_ignore_ascii_case("tel") {
            parts.scheme = Scheme::Tel;
            self.tel_parts(&mut parts)?;
        } else {
            self.other_parts()?;
        }
        Ok(parts)
    }

    /// Offset of the cursor within the URI.
    fn offset(&self) -> u16 {
        narrow(self.scanner.position().saturating_sub(self.start))
    }

    fn left(&self) -> &str {
        self.text.get(usize::from(self.offset())..).unwrap_or_default()
    }

    fn sip_parts(&mut self, parts: &mut Parts) -> Result<(), ParseError> {
        // `@` stands nowhere else unescaped. Old devices repeat it in the user part, so lenient takes the last one.
        let at = if self.scanner.is_strict() {
            memchr::memchr(b'@', self.left().as_bytes())
        } else {
            memchr::memrchr(b'@', self.left().as_bytes())
        };
        if let Some(length) = at {
            self.user_info(length)?;
            parts.has_user = true;
            parts.user_end = self.offset();
            self.scanner.advance(1);
        }
        self.host_port(parts)?;
        if self.left().starts_with(';') {
            self.uri_params()?;
        }
        parts.params_end = self.offset();
        if self.left().starts_with('?') {
            self.scanner.advance(1);
            self.checked_run(self.left().len(), class::URI_HEADER, b"=&", "a header of the URI")?;
        }
        if self.left().is_empty() { Ok(()) } else { Err(self.scanner.expected("the end of the URI")) }
    }

    fn user_info(&mut self, length: usize) -> Result<(), ParseError> {
        if length == 0 {
            self.scanner.forgive(self.scanner.position(), Liberty::EmptyValue, "a user before `@`")?;
        }
        let info = self.left().get(..length).unwrap_or_default();
        if info.starts_with(':') {
            self.scanner.forgive(self.scanner.position(), Liberty::EmptyValue, "a user before `:`")?;
        }
        // The first colon starts the password; its characters are fewer than the user's, but none is lost by
        // reading it as the user's.
        self.checked_run(length, class::USER, b":", "a user")
    }

    fn host_port(&mut self, parts: &mut Parts) -> Result<(), ParseError> {
        parts.host_start = self.offset();
        if let Some((address, length)) = self.unbracketed_v6() {
            self.scanner.forgive(
                self.scanner.position(),
                Liberty::UnbracketedIpv6,
                "an IPv6 address in brackets",
            )?;
            self.scanner.advance(length);
            parts.host = HostKind::V6(address);
        } else if self.left().is_empty() || self.left().starts_with([';', ':', '?']) {
            self.scanner.forgive(self.scanner.position(), Liberty::EmptyHost, "a host")?;
            parts.host = HostKind::Name;
        } else {
            parts.host = match Host::scan(self.scanner)? {
                Host::Name(_) => HostKind::Name,
                Host::V4(address) => HostKind::V4(address),
                Host::V6(address) => HostKind::V6(address),
            };
        }
        parts.host_end = self.offset();
        if self.left().starts_with(':') {
            self.scanner.advance(1);
            if self.left().is_empty() || self.left().starts_with([';', '?']) {
                self.scanner.forgive(self.scanner.position(), Liberty::EmptyValue, "a port")?;
            } else {
                parts.port = u16::try_from(self.scanner.number("a port", 65_535)?).ok();
            }
        }
        Ok(())
    }

    /// An address with several colons and no brackets, up to a parameter.
    fn unbracketed_v6(&self) -> Option<(Ipv6Addr, usize)> {
        let text = self.left();
        if text.starts_with('[') {
            return None;
        }
        let first_colon = memchr::memchr(b':', text.as_bytes())?;
        memchr::memchr(b':', text.as_bytes().get(first_colon.saturating_add(1)..)?)?;
        let length = memchr::memchr2(b';', b'?', text.as_bytes()).unwrap_or(text.len());
        let text = text.get(..length)?;
        memchr::memchr_iter(b':', text.as_bytes()).nth(1)?;
        Some((text.parse().ok()?, length))
    }

    fn uri_params(&mut self) -> Result<(), ParseError> {
        let mut count = 0_usize;
        while self.left().starts_with(';') {
            self.scanner.advance(1);
            count = count.saturating_add(1);
            if count > usize::from(self.scanner.limits().params) {
                return Err(self.scanner.error(Problem::Limit(crate::limits::Limit::Params)));
            }
            let length = memchr::memchr2(b';', b'?', self.left().as_bytes()).unwrap_or(self.left().len());
            if length == 0 || self.left().starts_with('=') {
                self.scanner.forgive(self.scanner.position(), Liberty::EmptyParameter, "a URI parameter")?;
            }
            self.checked_run(length, class::URI_PARAM, b"=", "a URI parameter")?;
        }
        Ok(())
    }

    fn tel_parts(&mut self, parts: &mut Parts) -> Result<(), ParseError> {
        let start = self.scanner.position();
        let length = self.left().find(';').unwrap_or(self.left().len());
        let number = self.left().get(..length).unwrap_or_default();
        let subscriber = number.strip_prefix('+').unwrap_or(number);
        let is_global = subscriber.len() != number.len();
        let good = subscriber.bytes().all(|b| {
            b.is_ascii_digit()
                || matches!(b, b'-' | b'.' | b'(' | b')')
                || (!is_global && (b.is_ascii_hexdigit() || matches!(b, b'*' | b'#')))
        }) && subscriber.bytes().any(|b| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#'));
        if !good {
            self.scanner.forgive(start, Liberty::UnescapedCharacter, "a telephone number")?;
        }
        self.scanner.advance(length);
        parts.has_user = true;
        parts.user_end = self.offset();
        parts.host_start = parts.user_end;
        parts.host_end = parts.user_end;
        self.uri_params()?;
        parts.params_end = self.offset();
        if self.left().is_empty() { Ok(()) } else { Err(self.scanner.expected("the end of the URI")) }
    }

    /// `absoluteURI`: any visible character but those that RFC 3986 never allows.
    fn other_parts(&mut self) -> Result<(), ParseError> {
        if self.left().is_empty() {
            self.scanner.forgive(
                self.scanner.position(),
                Liberty::EmptyValue,
                "something after the scheme",
            )?;
        }
        let bad = self.left().bytes().position(|b| {
            b <= b' '
                || b >= 0x7f
                || matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        });
        if let Some(at) = bad {
            self.scanner.advance(at);
            self.scanner.forgive(
                self.scanner.position(),
                Liberty::UnescapedCharacter,
                "a character of a URI",
            )?;
        }
        Ok(())
    }

    /// `length` bytes of a class or `also`, with `%` only before two hex digits.
    fn checked_run(
        &mut self,
        length: usize,
        mask: u8,
        also: &[u8],
        what: &'static str,
    ) -> Result<(), ParseError> {
        let bytes = self.left().as_bytes().get(..length).unwrap_or_default();
        let mut done = 0_usize;
        let mut bad = None;
        while let Some(left) = bytes.get(done..) {
            done = done.saturating_add(class::span(left, mask));
            match bytes.get(done..) {
                None | Some([]) => break,
                Some([b'%', a, b, ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    done = done.saturating_add(3);
                }
                Some([byte, ..]) if also.contains(byte) => done = done.saturating_add(1),
                // White space and angle brackets end a URI wherever it stands; nobody can mean them inside of one.
                Some([byte, ..]) if *byte <= b' ' || matches!(*byte, b'<' | b'>' | b'"' | 0x7f) => {
                    return Err(self
                        .scanner
                        .error_at(self.scanner.position().saturating_add(done), Problem::Expected(what)));
                }
                Some(_) => {
                    bad = bad.or(Some(done));
                    done = done.saturating_add(1);
                }
            }
        }
        if let Some(at) = bad {
            self.scanner.forgive(
                self.scanner.position().saturating_add(at),
                Liberty::UnescapedCharacter,
                what,
            )?;
        }
        self.scanner.advance(length);
        Ok(())
    }
}

/// A URI is shorter than 65,536 bytes, which was checked before.
fn narrow(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
