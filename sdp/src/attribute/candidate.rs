//! ICE attributes (RFC 8839 §5, RFC 8840, RFC 6544 for TCP).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::address::Host;
use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number};

/// `a=candidate`: one address media may reach its sender at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Equal for candidates of the same kind, base and server.
    pub foundation: &'a str,
    /// 1 for RTP, 2 for RTCP; up to 256.
    pub component: u16,
    /// `UDP` or `TCP`, as written.
    pub transport: &'a str,
    /// How much it is liked, from 1 to 2^31 − 1; 32 bits are read.
    pub priority: u32,
    /// The address; a name is an mDNS one (RFC 8839 §4.1 allows names).
    pub host: Host<'a>,
    /// The port.
    pub port: u16,
    /// Where it comes from.
    pub kind: CandidateKind<'a>,
    /// The address it is derived from.
    pub related: Option<(Host<'a>, u16)>,
    /// Name and value pairs that follow: `tcptype`, `generation`, `ufrag`, …
    pub extensions: &'a str,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CandidateKind<'a> {
    /// An address of the host.
    Host,
    /// An address a server saw.
    ServerReflexive,
    /// An address the peer saw.
    PeerReflexive,
    /// An address of a relay.
    Relayed,
    /// Something else.
    Other(&'a str),
}

impl<'a> CandidateKind<'a> {
    /// The kind of that name.
    #[inline]
    pub fn parse(text: &'a str) -> Self {
        match text {
            "host" => Self::Host,
            "srflx" => Self::ServerReflexive,
            "prflx" => Self::PeerReflexive,
            "relay" => Self::Relayed,
            other => Self::Other(other),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
            Self::Other(other) => other,
        }
    }
}

impl<'a> Candidate<'a> {
    /// Reads the value of `a=candidate`.
    ///
    /// # Errors
    /// A field is missing or out of range.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let mut fields = Fields::new(value);
        let foundation = fields.expect("a foundation")?;
        let component = match fields.expect(COMPONENT)? {
            "1" => 1,
            "2" => 2,
            field => match number(field, 256).map(u16::try_from) {
                Ok(Ok(component @ 1..)) => component,
                Err(kind) => return Err(fields.error_in(field, kind, COMPONENT)),
                _ => return Err(fields.error_in(field, ErrorKind::OutOfRange, COMPONENT)),
            },
        };
        let transport = fields.expect("UDP or TCP")?;
        let priority = fields.number(u32::MAX, "a priority")?;
        let host = Host::parse(fields.expect("an address")?);
        let port = u16::try_from(fields.number(65_535, PORT)?).unwrap_or(0);
        const TYPE: &str = "typ and the kind of the candidate";
        let keyword = fields.expect(TYPE)?;
        if keyword != "typ" {
            return Err(fields.error_in(keyword, ErrorKind::Unexpected, TYPE));
        }
        let kind = CandidateKind::parse(fields.expect(TYPE)?);
        let mut related = None;
        let mut before_extensions = fields;
        if let Some("raddr") = fields.next() {
            let host = Host::parse(fields.expect("the related address")?);
            let mut port = 0;
            before_extensions = fields;
            if let Some("rport") = fields.next() {
                port = u16::try_from(fields.number(65_535, PORT)?).unwrap_or(0);
                before_extensions = fields;
            }
            related = Some((host, port));
        }
        let extensions = before_extensions.rest().trim_ascii_end();
        Ok(Self { foundation, component, transport, priority, host, port, kind, related, extensions })
    }

    /// The value of an extension.
    pub fn extension(&self, name: &str) -> Option<&'a str> {
        let mut words = self.extensions.split_ascii_whitespace();
        while let (Some(known), value) = (words.next(), words.next()) {
            if known == name {
                return value;
            }
        }
        None
    }
}

const COMPONENT: &str = "a component, 1 to 256";
const PORT: &str = "a port, 0 to 65535";

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, transport, priority, host, port, kind, .. } = self;
        write!(f, "{foundation} {component} {transport} {priority} {host} {port} typ {}", kind.as_str())?;
        if let Some((host, port)) = &self.related {
            write!(f, " raddr {host} rport {port}")?;
        }
        if self.extensions.is_empty() { Ok(()) } else { write!(f, " {}", self.extensions) }
    }
}

/// `a=remote-candidates`: which of the peer's candidates were chosen (RFC 8839 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteCandidates<'a>(&'a str);

impl<'a> RemoteCandidates<'a> {
    /// Reads the value of `a=remote-candidates`.
    ///
    /// # Errors
    /// A component or port is out of range, or a triple is not complete.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let mut fields = Fields::new(value);
        loop {
            fields.number(256, COMPONENT)?;
            fields.expect("an address")?;
            fields.number(65_535, PORT)?;
            if fields.rest().trim_ascii_end().is_empty() {
                return Ok(Self(value));
            }
        }
    }

    /// Component, address and port of each.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Host<'a>, u16)> {
        let mut words = self.0.split_ascii_whitespace();
        core::iter::from_fn(move || {
            let component = words.next()?.parse().ok()?;
            Some((component, Host::parse(words.next()?), words.next()?.parse().ok()?))
        })
    }
}

impl fmt::Display for RemoteCandidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_read_and_written_back() {
        for text in [
            "1 1 UDP 2130706431 192.0.2.1 3478 typ host",
            "2 2 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998",
            "842163049 1 udp 1677729535 1.2.3.4 5 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-cost 999",
            "7 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active generation 0",
            "1 1 UDP 1 5f1c.local 3478 typ host",
            "1 256 UDP 1 192.0.2.1 3478 typ fancy",
        ] {
            assert_eq!(Candidate::parse(text).unwrap().to_string(), text);
        }
        let tcp = Candidate::parse("7 1 tcp 1 2001:db8::1 9 typ host tcptype active generation 0").unwrap();
        assert_eq!(tcp.extension("tcptype"), Some("active"));
        assert_eq!(tcp.extension("generation"), Some("0"));
        assert_eq!(tcp.extension("active"), None);
    }

    #[test]
    fn faults_have_columns() {
        for (text, column) in [
            ("1 0 UDP 1 192.0.2.1 3478 typ host", 3),
            ("1 257 UDP 1 192.0.2.1 3478 typ host", 3),
            ("1 1 UDP 4294967296 192.0.2.1 3478 typ host", 9),
            ("1 1 UDP 1 192.0.2.1 65536 typ host", 21),
            ("1 1 UDP 1 192.0.2.1 1 tip host", 23),
            ("1 1 UDP 1 192.0.2.1 1 typ", 26),
            ("1 1 UDP 1 192.0.2.1 1 typ host raddr", 37),
        ] {
            assert_eq!(Candidate::parse(text).unwrap_err().column, column, "{text}");
        }
    }

    #[test]
    fn remote_candidates_come_in_threes() {
        let list = RemoteCandidates::parse("1 192.0.2.1 3478 2 192.0.2.1 3479").unwrap();
        assert_eq!(
            list.iter().map(|(component, _, port)| (component, port)).collect::<Vec<_>>(),
            [(1, 3478), (2, 3479)]
        );
        assert!(RemoteCandidates::parse("1 192.0.2.1").is_err());
        assert!(RemoteCandidates::parse("").is_err());
    }
}
