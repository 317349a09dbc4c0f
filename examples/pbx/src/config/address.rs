//! Addresses as the configuration writes them: `udp:127.0.0.1:5060`, `tcp:[::1]:5060`, `udp:pbx.example`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use denwa::tokio::Listen;
pub use denwa_sip_core::Protocol;
use denwa_sip_core::message::UriBuf;

/// The port of SIP over UDP and TCP (RFC 3261 section 19.1.2).
pub const SIP_PORT: u16 = 5060;

/// Reads an address to listen on: `udp:ADDRESS:PORT`, or tcp, tls, ws, wss.
pub(crate) fn parse_listen(text: &str) -> Result<Listen, String> {
    const EXPECTED: &str = "expected udp:ADDRESS:PORT (or tcp, tls, ws, wss) with a numeric address, \
                            as udp:0.0.0.0:5060 or tcp:[::1]:5060";
    let (protocol, rest) = split_protocol(text, EXPECTED)?;
    let address = rest
        .parse::<SocketAddr>()
        .map_err(|_| format!("\"{text}\" is not an address to listen on, {EXPECTED}"))?;
    if address.port() == 0 {
        return Err(format!("\"{text}\" has port 0, expected a port from 1 to 65535"));
    }
    Ok(Listen { protocol, address })
}

/// A host by address or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A numeric address.
    Address(IpAddr),
    /// A name that DNS knows, in lower case.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl Host {
    /// Reads a numeric address (IPv6 with or without brackets) or a host name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(bare) = bare {
            return bare.parse::<Ipv6Addr>().ok().map(|address| Self::Address(IpAddr::V6(address)));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address));
        }
        is_host_name(text).then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

/// A host and a port: a STUN server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl HostPort {
    /// Reads `host:port` or `host`, with the port that is meant when none is written.
    pub(crate) fn parse(text: &str, default_port: u16) -> Option<Self> {
        if let Some(host) = Host::parse(text) {
            return Some(Self { host, port: default_port });
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
        // "::1:5060" would be a guess: an IPv6 address with a port wants brackets.
        let host = Host::parse(host).filter(|_| !host.contains(':') || host.starts_with('['))?;
        Some(Self { host, port })
    }
}

/// Where a neighbour is: `udp:HOST:PORT`; or `udp:NAME` or `NAME`, and the DNS says which servers that are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// The transport; for a domain the one that is used when the DNS names none.
    pub protocol: Protocol,
    /// The host.
    pub host: Host,
    /// The port calls are sent to; on UDP also the port that calls from there must come from. The DNS may name another when
    /// none is written.
    pub port: u16,
    /// How much of it the DNS is asked.
    pub finding: Finding,
}

/// What the DNS is asked of a neighbour (RFC 3263 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The host's addresses, if it is a name: transport and port are written.
    Addresses,
    /// SRV: a name and a transport are written, no port.
    Services,
    /// NAPTR and SRV: nothing is written but the name.
    Domain,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host, port, finding } = self;
        match finding {
            Finding::Addresses => write!(formatter, "{}:{host}:{port}", protocol.uri_token()),
            Finding::Services => write!(formatter, "{}:{host}", protocol.uri_token()),
            Finding::Domain => host.fmt(formatter),
        }
    }
}

impl PeerAddress {
    /// Reads `udp:HOST[:PORT]`, the same with tcp, tls, ws or wss, or a bare name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected udp:HOST:PORT (or tcp, tls), as udp:192.0.2.7:5060, tcp:[2001:db8::7]:5060 or udp:pbx.example, \
                                or a name alone, as pbx.example";
        if let Some(host @ Host::Name(_)) = Host::parse(text)
            && protocol_named(text).is_none()
        {
            let protocol = Protocol::Udp;
            return Ok(Self { protocol, host, port: protocol.default_port(), finding: Finding::Domain });
        }
        let (protocol, rest) = split_protocol(text, EXPECTED)?;
        let finding = match Host::parse(rest) {
            Some(Host::Name(_)) => Finding::Services,
            _ => Finding::Addresses,
        };
        let HostPort { host, port } = HostPort::parse(rest, protocol.default_port())
            .ok_or_else(|| format!("\"{text}\" is not a neighbour's address, {EXPECTED}"))?;
        if let Host::Address(address) = &host
            && (address.is_unspecified() || address.is_multicast())
        {
            return Err(format!("\"{text}\" is not the address of one host, {EXPECTED}"));
        }
        Ok(Self { protocol, host, port, finding })
    }

    /// The URI whose servers it is.
    pub fn uri(&self) -> UriBuf {
        let Self { protocol, host, port, finding } = self;
        // Over TLS only, wherever the DNS would lead.
        let scheme = if matches!(protocol, Protocol::Wss) { UriBuf::sips } else { UriBuf::sip };
        let uri = scheme("", host);
        match finding {
            Finding::Addresses => uri.port(*port).build().with_param("transport", Some(protocol.uri_token())),
            Finding::Services => uri.build().with_param("transport", Some(protocol.uri_token())),
            Finding::Domain => uri.build(),
        }
    }

    /// The host as request lines name it: with the port when one was written.
    pub fn named(&self) -> String {
        match self.finding {
            Finding::Addresses => format!("{}:{}", self.host, self.port),
            Finding::Services | Finding::Domain => self.host.to_string(),
        }
    }

    /// What no two trunks may share.
    pub(crate) fn key(&self) -> String {
        match self.protocol {
            Protocol::Udp => format!("udp:{}:{}", self.host, self.port),
            // A trunk over TCP calls from any port, so two of them may not share a host.
            stream => format!("{}:{}", stream.uri_token(), self.host),
        }
    }
}

fn split_protocol<'a>(text: &'a str, expected: &str) -> Result<(Protocol, &'a str), String> {
    let (protocol, rest) = text.split_once(':').unwrap_or((text, ""));
    let protocol = protocol_named(protocol)
        .ok_or_else(|| format!("\"{text}\" does not begin with a transport, {expected}"))?;
    Ok((protocol, rest))
}

fn protocol_named(text: &str) -> Option<Protocol> {
    Some(match text {
        "udp" => Protocol::Udp,
        "tcp" => Protocol::Tcp,
        "tls" => Protocol::Tls,
        "ws" => Protocol::Ws,
        "wss" => Protocol::Wss,
        _ => return None,
    })
}

/// RFC 1123 host names: letters, digits and hyphens in labels of 1 to 63, not all digits and dots.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.len() <= 253
        && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
        && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        assert_eq!(parse_listen("udp:127.0.0.1:5060").unwrap().to_string(), "udp:127.0.0.1:5060");
        assert_eq!(parse_listen("tcp:[::1]:5060").unwrap().to_string(), "tcp:[::1]:5060");
        for wrong in
            ["127.0.0.1:5060", "udp:127.0.0.1", "udp:localhost:5060", "udp:1.2.3.4:0", "udp:::1:5060", ""]
        {
            assert!(parse_listen(wrong).is_err(), "{wrong}");
        }
        for good in ["tls:0.0.0.0:5061", "ws:[::]:80", "wss:[::]:443"] {
            assert_eq!(parse_listen(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn neighbours_may_be_names_and_may_leave_out_the_port() {
        let shown = |text: &str| {
            let address = PeerAddress::parse(text).unwrap();
            (address.to_string(), address.uri().to_string(), address.key())
        };
        let texts = |one: &str, two: &str, three: &str| (one.to_owned(), two.to_owned(), three.to_owned());
        assert_eq!(
            shown("udp:pbx.Example"),
            texts("udp:pbx.example", "sip:pbx.example;transport=udp", "udp:pbx.example:5060")
        );
        assert_eq!(shown("pbx.Example"), texts("pbx.example", "sip:pbx.example", "udp:pbx.example:5060"));
        assert_eq!(
            shown("tls:pbx.example:60"),
            texts("tls:pbx.example:60", "sip:pbx.example:60;transport=tls", "tls:pbx.example")
        );
        assert_eq!(PeerAddress::parse("tcp:[2001:db8::7]:60").unwrap().to_string(), "tcp:[2001:db8::7]:60");
        assert_eq!(PeerAddress::parse("udp:2001:db8::7").unwrap().to_string(), "udp:[2001:db8::7]:5060");
        for wrong in [
            "udp:",
            "udp",
            "192.0.2.1",
            "pbx.example:5060",
            "udp:1.2.3:5060",
            "udp:a b",
            "udp:x:0",
            "udp:x:70000",
            "udp:0.0.0.0:5060",
        ] {
            assert!(PeerAddress::parse(wrong).is_err(), "{wrong}");
        }
    }
}
