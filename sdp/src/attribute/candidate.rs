//! ICE attributes (RFC 8839 §5, RFC 8840, RFC 6544 for TCP).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::address::Host;
use crate::error::{ErrorKind, ParseError};
use crate::fields::Fields;

/// `a=candidate`: one address media may reach its sender at.
///
/// Numbers are read at once, and the place of every field is known; addresses are read when they are asked for.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    value: &'a str,
    priority: u32,
    component: u16,
    port: u16,
    foundation: Span,
    transport: Span,
    host: Span,
    kind: Span,
    /// Where what follows the kind begins.
    tail: u16,
}

/// From where to where in the value; candidates are short.
type Span = (u16, u16);

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
    #[must_use]
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
    #[must_use]
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
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let value = fields.whole();
        if value.len() > usize::from(u16::MAX) {
            return Err(ParseError::at(0, ErrorKind::OutOfRange, "a candidate of at most 65535 characters"));
        }
        let foundation = fields.span("a foundation")?;
        let component = fields.number(256, COMPONENT)? as u16;
        if component == 0 {
            return Err(ParseError::at(fields.offset().saturating_sub(1), ErrorKind::OutOfRange, COMPONENT));
        }
        let transport = fields.span("UDP or TCP")?;
        let priority = fields.number(u32::MAX, "a priority")?;
        let host = fields.span("an address")?;
        let port = fields.number(65_535, PORT)? as u16;
        const TYPE: &str = "typ and the kind of the candidate";
        let keyword = fields.expect(TYPE)?;
        if keyword != "typ" {
            return Err(fields.error_in(keyword, ErrorKind::Unexpected, TYPE));
        }
        let kind = fields.span(TYPE)?;
        let tail = fields.offset() as u16;
        if let Some("raddr") = fields.next() {
            fields.expect("the related address")?;
            let mut ahead = fields;
            if let Some("rport") = ahead.next() {
                ahead.number(65_535, PORT)?;
            }
        }
        Ok(Self { value, priority, component, port, foundation, transport, host, kind, tail })
    }

    fn field(&self, (from, to): Span) -> &'a str {
        self.value.get(usize::from(from)..usize::from(to)).unwrap_or("")
    }

    /// Equal for candidates of the same kind, base and server.
    #[must_use]
    pub fn foundation(&self) -> &'a str {
        self.field(self.foundation)
    }

    /// 1 for RTP, 2 for RTCP; up to 256.
    #[must_use]
    pub fn component(&self) -> u16 {
        self.component
    }

    /// `UDP` or `TCP`, as written.
    #[must_use]
    pub fn transport(&self) -> &'a str {
        self.field(self.transport)
    }

    /// How much it is liked, from 1 to 2^31 − 1; 32 bits are read.
    #[must_use]
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// The address; a name is an mDNS one (RFC 8839 §4.1 allows names).
    #[inline]
    #[must_use]
    pub fn host(&self) -> Host<'a> {
        Host::parse(self.field(self.host))
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it comes from.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> CandidateKind<'a> {
        CandidateKind::parse(self.field(self.kind))
    }

    /// What follows the kind, without the related address.
    fn tail(&self) -> (Option<(Host<'a>, u16)>, &'a str) {
        let mut fields = Fields::new(self.value.get(usize::from(self.tail)..).unwrap_or(""));
        let mut ahead = fields;
        let mut related = None;
        if let Some("raddr") = ahead.next()
            && let Some(host) = ahead.next()
        {
            let mut port = 0;
            fields = ahead;
            if let Some("rport") = ahead.next() {
                port = ahead.number(65_535, PORT).unwrap_or(0) as u16;
                fields = ahead;
            }
            related = Some((Host::parse(host), port));
        }
        (related, fields.remainder())
    }

    /// The address it is derived from.
    #[must_use]
    pub fn related(&self) -> Option<(Host<'a>, u16)> {
        self.tail().0
    }

    /// Name and value pairs that follow: `tcptype`, `generation`, `ufrag`, …
    #[must_use]
    pub fn extensions(&self) -> &'a str {
        self.tail().1
    }

    /// The value of an extension.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&'a str> {
        let mut words = self.extensions().split_ascii_whitespace();
        while let (Some(known), value) = (words.next(), words.next()) {
            if known == name {
                return value;
            }
        }
        None
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        let numbers = |one: &Self| (one.component, one.priority, one.port);
        numbers(self) == numbers(other)
            && self.foundation() == other.foundation()
            && self.transport() == other.transport()
            && self.host() == other.host()
            && self.kind() == other.kind()
            && self.tail() == other.tail()
    }
}

impl Eq for Candidate<'_> {}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Candidate({self})")
    }
}

const COMPONENT: &str = "a component, 1 to 256";
const PORT: &str = "a port, 0 to 65535";

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (foundation, transport, host, kind) =
            (self.foundation(), self.transport(), self.host(), self.kind());
        let Self { component, priority, port, .. } = self;
        write!(f, "{foundation} {component} {transport} {priority} {host} {port} typ {}", kind.as_str())?;
        let (related, extensions) = self.tail();
        if let Some((host, port)) = related {
            write!(f, " raddr {host} rport {port}")?;
        }
        if extensions.is_empty() { Ok(()) } else { write!(f, " {extensions}") }
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
            if fields.rest().is_empty() {
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
