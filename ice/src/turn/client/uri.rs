//! How files and command lines name a TURN server: `turn:` and `turns:` URIs (RFC 7065).

use super::ServerAddress;
use crate::Protocol;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `turn:HOST[:PORT][?transport=udp|tcp]`, or `turns:HOST[:PORT]`, which is TLS. `turn:` may be left out. An IPv6 address stands
/// in brackets where a port follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TurnUri {
    /// Its name or address.
    pub host: String,
    /// Its port: 3478, and 5349 for TLS, when none was written.
    pub port: u16,
    /// UDP, TCP or TLS.
    pub protocol: Protocol,
}

impl TurnUri {
    /// The server at the address that its host has.
    #[must_use]
    pub fn at(&self, host: IpAddr) -> ServerAddress {
        ServerAddress {
            address: SocketAddr::new(host, self.port),
            protocol: self.protocol,
            name: (self.protocol == Protocol::Tls).then(|| self.host.clone()),
        }
    }
}

impl FromStr for TurnUri {
    type Err = ParseTurnUriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseTurnUriError { text: text.to_owned() };
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        let secure = place.strip_prefix("turns:");
        let place = secure.or_else(|| place.strip_prefix("turn:")).unwrap_or(place);
        let protocol = match (secure, query) {
            (Some(_), None | Some("transport=tcp")) => Protocol::Tls,
            (None, Some("transport=tcp")) => Protocol::Tcp,
            (None, None | Some("transport=udp")) => Protocol::Udp,
            _ => return Err(wrong()),
        };
        let bracketed = place.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            None if place.parse::<IpAddr>().is_ok() => (place, None),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let is_host = |host: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host.bytes().all(plain))
        };
        let usual = if protocol == Protocol::Tls { 5349 } else { 3478 };
        let port = port.map_or(Ok(usual), str::parse).map_err(|_| wrong())?;
        if !is_host(host) || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, protocol })
    }
}

/// It names no TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTurnUriError {
    text: String,
}

impl fmt::Display for ParseTurnUriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(
            f,
            "`{text}` is no TURN server: expected turn:HOST:PORT, with ?transport=tcp where it must be, or turns:HOST:PORT"
        )
    }
}

impl std::error::Error for ParseTurnUriError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_transports() {
        for (text, host, port, protocol) in [
            ("192.0.2.2", "192.0.2.2", 3478, Protocol::Udp),
            ("turn.example:99", "turn.example", 99, Protocol::Udp),
            ("turn:turn.example?transport=tcp", "turn.example", 3478, Protocol::Tcp),
            ("turns:turn.example", "turn.example", 5349, Protocol::Tls),
            ("turns:[2001:db8::2]:443?transport=tcp", "2001:db8::2", 443, Protocol::Tls),
            ("turn:2001:db8::2", "2001:db8::2", 3478, Protocol::Udp),
            ("turn:[2001:db8::2]", "2001:db8::2", 3478, Protocol::Udp),
        ] {
            assert_eq!(text.parse(), Ok(TurnUri { host: host.to_owned(), port, protocol }), "{text}");
        }
        let uri: TurnUri = "turns:turn.example".parse().unwrap();
        let server = uri.at([192, 0, 2, 7].into());
        assert_eq!(
            (server.address.to_string().as_str(), server.name.as_deref()),
            ("192.0.2.7:5349", Some("turn.example"))
        );
    }

    #[test]
    fn what_names_no_server() {
        for text in [
            "",
            "turn:",
            "turn:a b",
            "turn:h:0",
            "turn:h:65536",
            "turn:h:x",
            "turn:[::1]x",
            "turns:h?transport=udp",
            "turn:h?transport=sctp",
            "stun:h:1",
            "turn:h:1:2",
        ] {
            let error = text.parse::<TurnUri>().unwrap_err().to_string();
            assert!(error.contains("is no TURN server"), "{error}");
        }
    }
}
