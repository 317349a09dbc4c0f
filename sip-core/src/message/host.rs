//! Hosts as they stand in URIs and Vias (RFC 3261 §25.1, RFC 5118): names, IPv4 addresses, IPv6 references.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::class;
use crate::{
    error::{Attitude, Liberty, ParseError, Problem},
    header::Scanner,
};

/// The host of a URI or a Via.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A domain name, as written.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads a host on its own.
    ///
    /// # Errors
    /// If it is neither a name nor an address.
    pub fn parse(text: &'a str, attitude: Attitude) -> Result<Self, ParseError> {
        let mut scanner = Scanner::new(text, attitude);
        let host = Self::scan(&mut scanner)?;
        scanner.end()?;
        Ok(host)
    }

    /// Reads the host at the cursor.
    pub(crate) fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        let start = scanner.position();
        if scanner.eat(b'[') {
            let Some(length) = memchr::memchr(b']', scanner.rest().as_bytes()) else {
                return Err(scanner.expected("`]` after an IPv6 address"));
            };
            let inner = scanner.rest().get(..length).unwrap_or_default();
            // A zone has no meaning to anybody else; some devices leave it in.
            let bare = inner.split_once('%').map_or(inner, |(bare, _)| bare);
            if bare.len() != inner.len() {
                scanner.forgive(start, Liberty::HostCharacter, "an IPv6 address without a zone")?;
            }
            let mut address: Option<Ipv6Addr> = bare.parse().ok();
            if address.is_none() && bare.contains(":::") {
                // RFC 3261's grammar let a third colon through (RFC 5118 §4.10).
                scanner.forgive(start, Liberty::HostCharacter, "an IPv6 address")?;
                address = bare.replacen(":::", "::", 1).parse().ok();
            }
            let Some(address) = address else {
                return Err(scanner.error_at(start, Problem::Expected("an IPv6 address")));
            };
            scanner.advance(length.saturating_add(1));
            return Ok(Self::V6(address));
        }
        if let Some((address, length)) = leading_v4(scanner.rest().as_bytes()) {
            scanner.advance(length);
            return Ok(Self::V4(address));
        }
        let shape = HostShape::of(scanner.rest().as_bytes());
        scanner.advance(shape.length);
        let mut is_host_name = shape.is_host_name;
        if scanner.peek() == Some(b'_') {
            scanner.forgive(scanner.position(), Liberty::HostCharacter, "a host name")?;
            while scanner.eat(b'_') {
                scanner.run(class::HOST);
            }
            is_host_name = true;
        }
        let name = scanner.since(start);
        if name.is_empty() {
            return Err(scanner.error_at(start, Problem::Expected("a host")));
        }
        if !is_host_name {
            scanner.forgive(start, Liberty::HostCharacter, "a host name")?;
        }
        Ok(Self::Name(name))
    }

    /// The address, if the host is one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Whether both are the same host: names without regard to case, addresses by value.
    #[must_use]
    pub fn is_same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Host::V4(b)) => a == b,
            (Self::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl From<IpAddr> for Host<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// The IPv4 address that a text starts with, and its length: four decimal numbers without leading zeros, behind which no
/// host name goes on. In one pass: every message holds several.
fn leading_v4(text: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0_u8; 4];
    let mut rest = octets.iter_mut();
    let mut octet = rest.next()?;
    let mut digits = 0_u8;
    let mut length = 0_usize;
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                if digits > 0 && *octet == 0 {
                    return None;
                }
                *octet = octet.checked_mul(10)?.checked_add(byte.wrapping_sub(b'0'))?;
                digits = digits.wrapping_add(1);
            }
            b'.' if digits > 0 => {
                octet = rest.next()?;
                digits = 0;
            }
            b'_' => return None,
            other if class::is(other, class::HOST) => return None,
            _ => break,
        }
        length = length.wrapping_add(1);
    }
    let is_whole = digits > 0 && rest.next().is_none();
    is_whole.then(|| (octets.into(), length))
}

/// How far a host name or IPv4 address goes, and whether it is a `hostname` of RFC 3261: labels of letters, digits and
/// inner hyphens, the last one starting with a letter.
struct HostShape {
    length: usize,
    is_host_name: bool,
}

impl HostShape {
    #[inline]
    fn of(bytes: &[u8]) -> Self {
        let mut before = b'.';
        let mut starts_with_letter = false;
        let mut is_bad = false;
        let mut length = 0_usize;
        for &byte in bytes {
            if !class::is(byte, class::HOST) {
                break;
            }
            let starts_label = before == b'.';
            match byte {
                b'.' => is_bad |= starts_label | (before == b'-'),
                b'-' => is_bad |= starts_label,
                _ if starts_label => starts_with_letter = byte.is_ascii_alphabetic(),
                _ => {}
            }
            before = byte;
            length = length.wrapping_add(1);
        }
        Self { length, is_host_name: !is_bad && starts_with_letter && before != b'-' }
    }
}
