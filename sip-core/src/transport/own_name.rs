//! Host and port by which peers reach us, written without the machinery of formatting: each request has them twice.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use crate::{config::SentBy, error::Attitude, header::Via, io::Protocol, message::Host};

/// What peers are told for us: what was configured, or an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnName<'a> {
    Told(&'a SentBy),
    Address(SocketAddr),
}

impl OwnName<'_> {
    /// Whether this is what the Via of a request over `protocol` names. A port that is left out is the protocol's own.
    pub(crate) fn is_named_by(self, via: &Via<'_>, protocol: Protocol) -> bool {
        let default = protocol.default_port();
        let (is_same_host, port) = match self {
            Self::Told(sent_by) => {
                let host = Host::parse(&sent_by.host, Attitude::Lenient);
                (host.is_ok_and(|host| host.is_same(&via.host)), sent_by.port.unwrap_or(default))
            }
            Self::Address(address) => (via.host.address() == Some(address.ip()), address.port()),
        };
        is_same_host && port == via.port.unwrap_or(default)
    }

    /// The same, to be kept.
    pub(crate) fn to_sent_by(self) -> SentBy {
        match self {
            Self::Told(sent_by) => sent_by.clone(),
            Self::Address(address) => SentBy::from_address(address),
        }
    }

    /// At the end of a text, as in a Via.
    pub(crate) fn push_to(self, text: &mut String) {
        match self {
            Self::Told(sent_by) => {
                text.push_str(&sent_by.host);
                if let Some(port) = sent_by.port {
                    text.push(':');
                    push_decimal(text, port);
                }
            }
            Self::Address(address) => {
                match address.ip() {
                    IpAddr::V4(ip) => {
                        for (at, octet) in ip.octets().into_iter().enumerate() {
                            if at > 0 {
                                text.push('.');
                            }
                            push_decimal(text, u16::from(octet));
                        }
                    }
                    IpAddr::V6(ip) => {
                        // Writing to a string does not fail.
                        let _ = write!(text, "[{ip}]");
                    }
                }
                text.push(':');
                push_decimal(text, address.port());
            }
        }
    }
}

fn push_decimal(text: &mut String, number: u16) {
    let mut digits = [b'0'; 5];
    let mut rest = number;
    let mut leading = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        leading = leading.saturating_sub(1);
        if rest == 0 {
            break;
        }
    }
    text.extend(digits.iter().skip(leading).copied().map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_an_address_or_as_configured() {
        let written = |own: OwnName<'_>| {
            let mut text = String::new();
            own.push_to(&mut text);
            text
        };
        for address in ["192.0.2.10:5060", "10.0.255.1:65535", "[2001:db8::1]:80", "127.0.0.1:0"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(written(OwnName::Address(address)), address.to_string());
            assert_eq!(written(OwnName::Told(&SentBy::from_address(address))), address.to_string());
        }
        let name = SentBy { host: "pbx.example".into(), port: None };
        assert_eq!(written(OwnName::Told(&name)), "pbx.example");
    }
}
