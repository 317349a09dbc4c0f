//! Hosts and connection addresses: the `c=` line (RFC 8866 §5.7) and the address fields of other lines.
//! Names are kept as text and never resolved.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number};

/// An address or the name of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// An address.
    Ip(IpAddr),
    /// A name, or an address of a kind this crate does not know.
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// Reads an address; what is not one is a name.
    #[inline]
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        if let Some(address) = ipv4(text) {
            return Self::Ip(IpAddr::V4(address));
        }
        if text.contains(':') {
            // Some write brackets, as in a URI; some append a zone.
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
            if let Ok(address) = bare.parse::<Ipv6Addr>() {
                return Self::Ip(IpAddr::V6(address));
            }
        }
        Self::Name(text)
    }

    /// The address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name(_) => None,
        }
    }

    /// The address type that goes with it: that of the address, `IP4` for a name.
    #[must_use]
    pub fn address_type(&self) -> &'static str {
        match self {
            Self::Ip(IpAddr::V6(_)) => "IP6",
            _ => "IP4",
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Four decimal numbers up to 255 with dots between; leading zeros are read as decimal, as phones mean them.
#[inline]
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut slots = octets.iter_mut();
    let mut value = 0_u32;
    let mut digits = 0_u32;
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                value = value.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0')));
                digits = digits.wrapping_add(1);
                if digits > 3 {
                    return None;
                }
            }
            b'.' if digits > 0 => {
                *slots.next()? = u8::try_from(value).ok()?;
                value = 0;
                digits = 0;
            }
            _ => return None,
        }
    }
    if digits == 0 {
        return None;
    }
    *slots.next()? = u8::try_from(value).ok()?;
    if slots.next().is_some() { None } else { Some(Ipv4Addr::from(octets)) }
}

/// The value of a `c=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The network type, `IN`.
    pub network: &'a str,
    /// The address type, `IP4` or `IP6`, as written.
    pub address_type: &'a str,
    /// Where media goes.
    pub host: Host<'a>,
    /// How many hops a multicast packet lives, 0–255. Only IPv4 multicast has one.
    pub time_to_live: Option<u8>,
    /// How many consecutive multicast addresses are used, from 1.
    pub count: Option<u32>,
}

impl<'a> Connection<'a> {
    /// A unicast address.
    #[must_use]
    pub fn unicast(host: Host<'a>) -> Self {
        Self { network: "IN", address_type: host.address_type(), host, time_to_live: None, count: None }
    }

    /// Reads the value of a `c=` line.
    ///
    /// # Errors
    /// A field is missing, or a time to live or count is out of range; the column counts within the value.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let network = fields.expect("the network type IN")?;
        let address_type = fields.expect("the address type IP4 or IP6")?;
        let address = fields.expect("an address")?;
        let plain = |host| Self { network, address_type, host, time_to_live: None, count: None };
        if let Some(address) = ipv4(address) {
            return Ok(plain(Host::Ip(IpAddr::V4(address))));
        }
        let Some((base, suffix)) = address.split_once('/') else { return Ok(plain(Host::parse(address))) };
        let host = Host::parse(base);
        let (first, second) = match suffix.split_once('/') {
            Some((first, second)) => (first, Some(second)),
            None => (suffix, None),
        };
        let fault = |field: &str, kind, expected| fields.error_in(field, kind, expected);
        const COUNT: &str = "a number of addresses, 1 or more";
        let read_count = |field: &str| match number(field, u32::MAX) {
            Ok(0) => Err(fault(field, ErrorKind::OutOfRange, COUNT)),
            Ok(count) => Ok(count),
            Err(kind) => Err(fault(field, kind, COUNT)),
        };
        if address_type.eq_ignore_ascii_case("IP6") {
            // IPv6 multicast has a scope in the address and no time to live (RFC 8866 §5.7).
            if let Some(second) = second {
                return Err(fault(second, ErrorKind::Unexpected, "nothing after the number of addresses"));
            }
            return Ok(Self {
                network,
                address_type,
                host,
                time_to_live: None,
                count: Some(read_count(first)?),
            });
        }
        let time_to_live =
            number(first, 255).map_err(|kind| fault(first, kind, "a time to live, 0 to 255"))?;
        let count = second.map(read_count).transpose()?;
        Ok(Self { network, address_type, host, time_to_live: u8::try_from(time_to_live).ok(), count })
    }

    /// Whether the address is a group's.
    #[must_use]
    pub fn is_multicast(&self) -> bool {
        self.host.ip().is_some_and(|address| address.is_multicast())
    }

    /// Whether the address is the one that says "do not send" (RFC 3264 §8.4): `0.0.0.0`, `::`, or a name that
    /// ends in `.invalid` (RFC 6157 §4.1).
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        match self.host {
            Host::Ip(address) => address.is_unspecified(),
            Host::Name(name) => {
                let tail = name.len().checked_sub(".invalid".len()).and_then(|from| name.get(from..));
                tail.is_some_and(|tail| tail.eq_ignore_ascii_case(".invalid"))
            }
        }
    }
}

impl fmt::Display for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.network, self.address_type, self.host)?;
        if let Some(hops) = self.time_to_live {
            write!(f, "/{hops}")?;
        }
        if let Some(count) = self.count {
            write!(f, "/{count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_every_kind_are_read_and_written_back() {
        for text in [
            "IN IP4 192.0.2.1",
            "IN IP4 233.252.0.1/127",
            "IN IP4 233.252.0.1/127/3",
            "IN IP6 ff00::db8:0:101",
            "IN IP6 ff00::db8:0:101/3",
            "IN IP4 host.example.com",
            "IN IP4 0.0.0.0",
        ] {
            assert_eq!(Connection::parse(text).unwrap().to_string(), text);
        }
        let multicast = Connection::parse("IN IP4 233.252.0.1/127/3").unwrap();
        assert!(multicast.is_multicast());
        assert_eq!((multicast.time_to_live, multicast.count), (Some(127), Some(3)));
        assert!(Connection::parse("IN IP4 0.0.0.0").unwrap().is_unspecified());
        assert!(Connection::parse("IN IP6 ::").unwrap().is_unspecified());
        assert!(Connection::parse("IN IP4 hold.invalid").unwrap().is_unspecified());
        assert!(!Connection::parse("IN IP4 invalid.example").unwrap().is_unspecified());
    }

    #[test]
    fn faults_have_columns() {
        let fault = |text| Connection::parse(text).unwrap_err();
        let negative = fault("IN IP4 233.252.0.1/-1");
        assert_eq!((negative.column, negative.kind), (20, ErrorKind::OutOfRange));
        let large = fault("IN IP4 233.252.0.1/256");
        assert_eq!((large.column, large.kind), (20, ErrorKind::OutOfRange));
        let none = fault("IN IP4 233.252.0.1/1/0");
        assert_eq!((none.column, none.kind), (22, ErrorKind::OutOfRange));
        let missing = fault("IN IP4");
        assert_eq!((missing.column, missing.kind), (7, ErrorKind::MissingField));
        assert_eq!(fault("IN IP6 ff02::1/1/2").kind, ErrorKind::Unexpected);
    }

    #[test]
    fn addresses_are_told_from_names() {
        assert_eq!(Host::parse("010.001.2.003").ip(), Some("10.1.2.3".parse().unwrap()));
        assert_eq!(Host::parse("[2001:db8::1]").ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(Host::parse("fe80::1%eth0").ip(), Some("fe80::1".parse().unwrap()));
        for name in ["1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "a.b.c.d", "", "1.2.3.", "::x"] {
            assert_eq!(Host::parse(name), Host::Name(name));
        }
    }
}
