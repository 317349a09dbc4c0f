//! Taking a URI apart (RFC 3261 §25.1, RFC 3966 §3). What a part may not hold is refused when strict; where the parts are
//! plain all the same, it is forgiven when lenient.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::Ipv6Addr;

use super::{
    class,
    host::Host,
    uri::{HostKind, Parts, Scheme},
};
use crate::{
    error::{Liberty, ParseError, Problem},
    header::{Params, Scanner},
};

/// Finds the parts. `start` is where the URI starts in the scanner's text.
pub(super) struct Inner<'s, 'a> {
    pub(super) scanner: &'s mut Scanner<'a>,
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl<'a> Inner<'_, 'a> {
    pub(super) fn parts(&mut self) -> Result<Parts, ParseError> {
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

    fn left(&self) -> &'a str {
        self.text.get(usize::from(self.offset())..).unwrap_or_default()
    }

    fn sip_parts(&mut self, parts: &mut Parts) -> Result<(), ParseError> {
        if let Some(length) = self.user_length() {
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
            self.uri_headers()?;
        }
        if self.left().is_empty() { Ok(()) } else { Err(self.scanner.expected("the end of the URI")) }
    }

    /// How far the user part goes, if there is one. `@` stands nowhere else unescaped. Old devices repeat it in the user
    /// part, so lenient takes the last one; but not one in a headers part, where a Replaces may hold one: the host is
    /// what stands before.
    fn user_length(&self) -> Option<usize> {
        let mut found = None;
        for (at, byte) in self.left().bytes().enumerate() {
            match byte {
                b'@' if self.scanner.is_strict() => return Some(at),
                b'@' => found = Some(at),
                b'?' if found.is_some() => break,
                _ => {}
            }
        }
        found
    }

    fn user_info(&mut self, length: usize) -> Result<(), ParseError> {
        if length == 0 {
            self.scanner.forgive(self.scanner.position(), Liberty::EmptyValue, "a user before `@`")?;
        }
        let info = self.left().get(..length).unwrap_or_default();
        if info.starts_with(':') {
            self.scanner.forgive(self.scanner.position(), Liberty::EmptyValue, "a user before `:`")?;
        }
        // The first colon starts the password. Fewer characters may stand there than in a user, and no second colon.
        if let Some(colon) = info.bytes().position(|byte| byte == b':') {
            let password = info.as_bytes().get(colon.saturating_add(1)..).unwrap_or_default();
            let odd = password.iter().position(|byte| matches!(byte, b';' | b'?' | b'/' | b':'));
            if let Some(odd) = odd {
                let at = self.scanner.position().saturating_add(colon).saturating_add(1).saturating_add(odd);
                self.scanner.forgive(at, Liberty::UnescapedCharacter, "a password")?;
            }
        }
        self.checked_run(length, class::USER, b":", "a user")
    }

    /// `?name=value&name=value`; a value may be empty, a name may not.
    fn uri_headers(&mut self) -> Result<(), ParseError> {
        self.scanner.advance(1);
        let start = self.scanner.position();
        let mut at = start;
        for header in self.left().split('&') {
            let equals = memchr::memchr(b'=', header.as_bytes());
            if equals.is_none_or(|equals| equals == 0) {
                self.scanner.forgive(at, Liberty::EmptyParameter, "a header's name and value in the URI")?;
            }
            let value = equals.and_then(|equals| header.get(equals.saturating_add(1)..)).unwrap_or_default();
            if value.contains('=') {
                self.scanner.forgive(
                    at,
                    Liberty::UnescapedCharacter,
                    "an escaped `=` in a header of the URI",
                )?;
            }
            at = at.saturating_add(header.len()).saturating_add(1);
        }
        self.checked_run(self.left().len(), class::URI_HEADER, b"=&", "a header of the URI")
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
        let mut colons = 0_usize;
        let mut length = text.len();
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b':' => colons = colons.wrapping_add(1),
                b';' | b'?' => {
                    length = at;
                    break;
                }
                _ => {}
            }
        }
        if colons < 2 {
            return None;
        }
        Some((text.get(..length)?.parse().ok()?, length))
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
            let param = self.left().as_bytes().get(..length).unwrap_or_default();
            match memchr::memchr(b'=', param).and_then(|equals| param.get(equals.saturating_add(1)..)) {
                Some([]) => {
                    let end = self.scanner.position().saturating_add(length);
                    self.scanner.forgive(end, Liberty::EmptyValue, "the value of a URI parameter")?;
                }
                Some(value) if value.contains(&b'=') => {
                    let at = self.scanner.position();
                    self.scanner.forgive(
                        at,
                        Liberty::UnescapedCharacter,
                        "an escaped `=` in a URI parameter",
                    )?;
                }
                _ => {}
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
        let params = self.left();
        self.uri_params()?;
        parts.params_end = self.offset();
        // A number that is not global means something only within its context (RFC 3966 §5.1.5).
        if !is_global && !Params::from_raw(params).has("phone-context") {
            self.scanner.forgive(start, Liberty::NoPhoneContext, "a global number, or a phone-context")?;
        }
        if self.left().is_empty() { Ok(()) } else { Err(self.scanner.expected("the end of the URI")) }
    }

    /// `absoluteURI`: any visible character but those that RFC 3986 never allows, no fragment, and brackets in the
    /// authority only.
    fn other_parts(&mut self) -> Result<(), ParseError> {
        if self.left().is_empty() {
            self.scanner.forgive(
                self.scanner.position(),
                Liberty::EmptyValue,
                "something after the scheme",
            )?;
        }
        let bytes = self.left().as_bytes();
        let authority = match bytes {
            [b'/', b'/', rest @ ..] => rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len())
                .saturating_add(2),
            _ => 0,
        };
        let literal = ip_literal(bytes.get(..authority).unwrap_or_default());
        let bad = bytes.iter().enumerate().position(|(at, byte)| match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' => true,
            b'[' | b']' => literal.is_none_or(|(open, close)| at != open && at != close),
            b'%' => {
                let hex = |more| bytes.get(at.saturating_add(more)).is_some_and(u8::is_ascii_hexdigit);
                !hex(1) || !hex(2)
            }
            byte => *byte <= b' ' || *byte >= 0x7f,
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

/// Where the brackets of an IPv6 address are that is the host of an authority.
fn ip_literal(authority: &[u8]) -> Option<(usize, usize)> {
    let open = memchr::memrchr(b'@', authority).unwrap_or(1).saturating_add(1);
    let inner = authority.get(open..)?.strip_prefix(b"[")?;
    let length = memchr::memchr(b']', inner)?;
    let _: Ipv6Addr = std::str::from_utf8(inner.get(..length)?).ok()?.parse().ok()?;
    Some((open, open.saturating_add(1).saturating_add(length)))
}

/// A URI is shorter than 65,536 bytes, which was checked before.
fn narrow(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}
