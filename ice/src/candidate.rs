//! Candidates: kinds, priorities, foundations, and the text that is exchanged (RFC 8445 section 5.1, RFC 8839 section 5.1, RFC 6544
//! section 4.5).
//!
//! The text is what follows `a=` in a description, or a line of trickled candidates; this crate does not know who carries it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;

/// How an address was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// An address of the host.
    Host,
    /// What a STUN server sees.
    ServerReflexive,
    /// What the peer sees.
    PeerReflexive,
    /// An address on a TURN server.
    Relayed,
}

impl CandidateKind {
    /// What RFC 8445 section 5.1.2.2 recommends; less for streams, so that datagrams go first (RFC 6544 section 4.2).
    #[must_use]
    pub const fn type_preference(self, transport: CandidateTransport) -> u8 {
        match (self, transport.is_tcp()) {
            (Self::Host, false) => 126,
            (Self::PeerReflexive, false) => 110,
            (Self::ServerReflexive, false) => 100,
            (Self::Host, true) => 105,
            (Self::PeerReflexive, true) => 80,
            (Self::ServerReflexive, true) => 75,
            (Self::Relayed, _) => 0,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

/// How a candidate is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateTransport {
    /// Datagrams.
    Udp,
    /// A stream that this end opens; its port is not known (9 is written).
    TcpActive,
    /// A stream that the other end opens.
    TcpPassive,
    /// A stream that both open at once.
    TcpSimultaneous,
}

impl CandidateTransport {
    /// Whether it is a stream.
    #[must_use]
    pub const fn is_tcp(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Which candidates of the peer it can be paired with (RFC 6544 section 6.2).
    #[must_use]
    pub const fn fits(self, remote: Self) -> bool {
        matches!(
            (self, remote),
            (Self::Udp, Self::Udp)
                | (Self::TcpActive, Self::TcpPassive)
                | (Self::TcpPassive, Self::TcpActive)
                | (Self::TcpSimultaneous, Self::TcpSimultaneous)
        )
    }

    /// The direction's part of the local preference (RFC 6544 section 4.2): those that cross NATs best first.
    #[must_use]
    pub const fn direction_preference(self, kind: CandidateKind) -> u16 {
        match (self, kind) {
            (Self::Udp, _) => 7,
            (Self::TcpActive, CandidateKind::Host | CandidateKind::Relayed)
            | (Self::TcpSimultaneous, CandidateKind::ServerReflexive | CandidateKind::PeerReflexive) => 6,
            (Self::TcpActive, _) | (Self::TcpPassive, CandidateKind::Host | CandidateKind::Relayed) => 4,
            (Self::TcpPassive, _) | (Self::TcpSimultaneous, _) => 2,
        }
    }
}

/// Where a candidate is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CandidateAddress {
    /// At an address.
    Ip(SocketAddr),
    /// At a name, which hides an address (`….local`, by multicast DNS) or is one of the Internet's.
    Name(String, u16),
}

impl CandidateAddress {
    /// The address, when it is known.
    #[must_use]
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name(..) => None,
        }
    }
}

/// A candidate, as it is told to the peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The same for candidates that fare alike: same kind, base, server and transport. 1 to 32 letters, digits, `+`, `/`.
    pub foundation: String,
    /// 1 to 256; 1 is RTP, 2 is RTCP.
    pub component: u16,
    /// How it is spoken to.
    pub transport: CandidateTransport,
    /// Higher is tried first.
    pub priority: u32,
    /// Where it is.
    pub address: CandidateAddress,
    /// How it was come by.
    pub kind: CandidateKind,
    /// What it was come by from: the base of a reflexive candidate, the reflexive address of a relayed one. For diagnosis.
    pub related: Option<SocketAddr>,
    /// Further attributes, in order, as they came.
    pub extensions: Vec<(String, String)>,
}

impl Candidate {
    /// The priority of RFC 8445 section 5.1.2.1.
    #[must_use]
    pub const fn priority(type_preference: u8, local_preference: u16, component: u16) -> u32 {
        let component = if component > 256 { 256 } else { component };
        // At most 255 · 2²⁴ + 65535 · 2⁸ + 256, which fits.
        (type_preference as u32)
            .wrapping_shl(24)
            .wrapping_add((local_preference as u32).wrapping_shl(8))
            .wrapping_add(256_u32.wrapping_sub(component as u32))
    }

    /// The same candidate under a name, for those who do not tell their addresses (draft-ietf-mmusic-mdns-ice-candidates).
    #[must_use]
    pub fn under_name(mut self, name: &str) -> Self {
        if let CandidateAddress::Ip(address) = self.address {
            self.address = CandidateAddress::Name(name.to_owned(), address.port());
        }
        self
    }
}

/// The priority of a pair (RFC 8445 section 6.1.2.3).
#[must_use]
pub fn pair_priority(controlling: u32, controlled: u32) -> u64 {
    let (low, high) = (u64::from(controlling.min(controlled)), u64::from(controlling.max(controlled)));
    // 2³² · low + 2 · high + 1: low is below 2³², high below 2³², and both at their most give 2⁶⁴ + 2³² - 1 - …; priorities are below 2³¹
    // (RFC 8839 section 5.1), so nothing is lost for those, and for others it only has to be the same at both ends.
    let low = low.wrapping_shl(32);
    low.wrapping_add(high.wrapping_mul(2)).wrapping_add(u64::from(controlling > controlled))
}

/// Why a line is no candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("byte {offset} of the candidate: {expected} expected")]
pub struct CandidateError {
    /// Where in the text.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
}

impl FromStr for Candidate {
    type Err = CandidateError;

    /// `candidate:…`, with or without `a=` in front.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text.strip_prefix("a=").unwrap_or(text);
        let body = body.strip_prefix("candidate:").unwrap_or(body);
        let mut words = Words { text, at: text.len().saturating_sub(body.len()) };
        let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        let foundation = words.next("a foundation", |word| {
            let fits = (1..=32).contains(&word.len()) && word.bytes().all(is_ice_char);
            fits.then(|| word.to_owned())
        })?;
        let component = words.next("a component from 1 to 256", |word| {
            word.parse().ok().filter(|it| (1..=256).contains(it))
        })?;
        let tcp = words.next("UDP or TCP", |word| match word {
            _ if word.eq_ignore_ascii_case("udp") => Some(false),
            _ if word.eq_ignore_ascii_case("tcp") => Some(true),
            _ => None,
        })?;
        let priority = words.next("a priority of 32 bits", |word| word.parse::<u32>().ok())?;
        let host = words.next("an address", |word| {
            let plain = word.parse::<IpAddr>().ok().map(Ok);
            let is_name = word.len() <= 253
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
            plain.or_else(|| is_name.then(|| Err(word.to_owned())))
        })?;
        let port = words.next("a port", |word| word.parse::<u16>().ok())?;
        words.next("`typ`", |word| (word == "typ").then_some(()))?;
        let kind = words.next("host, srflx, prflx or relay", |word| match word {
            "host" => Some(CandidateKind::Host),
            "srflx" => Some(CandidateKind::ServerReflexive),
            "prflx" => Some(CandidateKind::PeerReflexive),
            "relay" => Some(CandidateKind::Relayed),
            _ => None,
        })?;
        let address = match host {
            Ok(ip) => CandidateAddress::Ip(SocketAddr::new(ip, port)),
            Err(name) => CandidateAddress::Name(name, port),
        };
        let (mut related_address, mut related_port, mut direction) = (None, None, None);
        let mut extensions = Vec::new();
        while let Some(name) = words.take() {
            let value = words.take().unwrap_or_default();
            match name {
                "raddr" => related_address = value.parse::<IpAddr>().ok(),
                "rport" => related_port = value.parse::<u16>().ok(),
                "tcptype" => direction = Some(value),
                _ => extensions.push((name.to_owned(), value.to_owned())),
            }
        }
        let transport = match (tcp, direction) {
            (false, _) => CandidateTransport::Udp,
            (true, Some("active")) => CandidateTransport::TcpActive,
            (true, Some("passive")) => CandidateTransport::TcpPassive,
            (true, Some("so")) => CandidateTransport::TcpSimultaneous,
            (true, _) => {
                return Err(CandidateError { offset: text.len(), expected: "tcptype active, passive or so" });
            }
        };
        let related = related_address.map(|ip| SocketAddr::new(ip, related_port.unwrap_or(0)));
        Ok(Self { foundation, component, transport, priority, address, kind, related, extensions })
    }
}

struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let word = rest.trim_start();
        let start = self.at.saturating_add(rest.len().saturating_sub(word.len()));
        let word = word.split_ascii_whitespace().next()?;
        self.at = start.saturating_add(word.len());
        Some(word)
    }

    fn next<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, CandidateError> {
        let before = self.at;
        let found = self.take().and_then(read);
        let skipped =
            self.text.get(before..).map_or(0, |rest| rest.len().saturating_sub(rest.trim_start().len()));
        found.ok_or(CandidateError { offset: before.saturating_add(skipped), expected })
    }
}

impl fmt::Display for CandidateKind {
    /// In words; what stands in a candidate's text is shorter.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Host => "host",
            Self::ServerReflexive => "server-reflexive",
            Self::PeerReflexive => "peer-reflexive",
            Self::Relayed => "relayed",
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, priority, .. } = self;
        let transport = if self.transport.is_tcp() { "tcp" } else { "udp" };
        write!(formatter, "candidate:{foundation} {component} {transport} {priority} ")?;
        match &self.address {
            CandidateAddress::Ip(address) => write!(formatter, "{} {}", address.ip(), address.port())?,
            CandidateAddress::Name(name, port) => write!(formatter, "{name} {port}")?,
        }
        write!(formatter, " typ {}", self.kind.text())?;
        if let Some(related) = self.related {
            write!(formatter, " raddr {} rport {}", related.ip(), related.port())?;
        }
        match self.transport {
            CandidateTransport::Udp => {}
            CandidateTransport::TcpActive => formatter.write_str(" tcptype active")?,
            CandidateTransport::TcpPassive => formatter.write_str(" tcptype passive")?,
            CandidateTransport::TcpSimultaneous => formatter.write_str(" tcptype so")?,
        }
        self.extensions.iter().try_for_each(|(name, value)| write!(formatter, " {name} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_read_and_written_the_same() {
        for text in [
            "candidate:1 1 udp 2130706431 203.0.113.141 8998 typ host",
            "candidate:2 1 udp 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
            "candidate:1 1 udp 2130706431 fe80::6676:baff:fe9c:ee4a 8998 typ host",
            "candidate:3 2 tcp 1518280447 10.0.0.1 9 typ host tcptype active generation 0 ufrag 8hhY",
            "candidate:842163049 1 udp 1677729535 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 54596 typ host",
        ] {
            assert_eq!(text.parse::<Candidate>().unwrap().to_string(), text);
        }
        let candidate: Candidate = "a=candidate:1 1 UDP 1 192.0.2.1 5 typ relay".parse().unwrap();
        assert_eq!(candidate.kind, CandidateKind::Relayed);
    }

    #[test]
    fn what_is_no_candidate_is_refused_at_its_place() {
        for (text, offset) in [
            ("candidate:", 10),
            ("candidate:é 1 udp 1 192.0.2.1 5 typ host", 10),
            ("candidate:1 0 udp 1 192.0.2.1 5 typ host", 12),
            ("candidate:1 1 sctp 1 192.0.2.1 5 typ host", 14),
            ("candidate:1 1 udp 4294967296 192.0.2.1 5 typ host", 18),
            ("candidate:1 1 udp 1 192.0.2.1 70000 typ host", 30),
            ("candidate:1 1 udp 1 192.0.2.1 5 typ local", 36),
            ("candidate:1 1 tcp 1 192.0.2.1 5 typ host", 40),
        ] {
            assert_eq!(text.parse::<Candidate>().map(|_| ()).unwrap_err().offset, offset, "{text}");
        }
    }

    #[test]
    fn priorities_are_those_of_the_rfc() {
        assert_eq!(Candidate::priority(126, 65_535, 1), 2_130_706_431);
        assert_eq!(Candidate::priority(100, 65_535, 1), 1_694_498_815);
        assert_eq!(Candidate::priority(110, 65_535, 1), 1_862_270_975);
        assert_eq!(Candidate::priority(0, 65_535, 1), 16_777_215);
        assert_eq!(pair_priority(2_130_706_431, 1_694_498_815), 7_277_816_997_797_167_103);
        assert_eq!(pair_priority(1_694_498_815, 2_130_706_431), 7_277_816_997_797_167_102);
        assert_eq!(pair_priority(2_130_706_431, 2_130_706_431), 9_151_314_442_783_293_438);
    }
}
