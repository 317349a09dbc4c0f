//! What travels: a datagram, a segment of a stream, or word that a datagram reached nobody.
//!
//! Addresses are those in the IP header at this point of the way; boxes in the middle may change them. Lengths
//! count the headers a real packet would have (IP 20 or 40, UDP 8, TCP 20 bytes), so that rates and
//! largest sizes mean what they mean outside.

use crate::machine::{Protocol, UnreachableReason};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Whence, as the header says here.
    pub source: SocketAddr,
    /// Whither, as the header says here.
    pub destination: SocketAddr,
    /// How many more boxes may forward it.
    pub hops_left: u8,
    /// The source before the last box translated it, for boxes that rewrite what is inside.
    pub translated_from: Option<SocketAddr>,
    /// What it carries.
    pub body: Body,
}

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A UDP payload.
    Datagram(Bytes),
    /// Part of a stream.
    Segment(Segment),
    /// An ICMP message: what `about` describes did not arrive.
    Unreachable {
        /// UDP or TCP.
        transport: Transport,
        /// The lost packet's source, as its header says here.
        source: SocketAddr,
        /// The lost packet's destination, as its header says here.
        destination: SocketAddr,
        /// Why.
        reason: UnreachableReason,
    },
}

/// The two transports below all protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        if protocol.is_stream() { Self::Tcp } else { Self::Udp }
    }
}

/// Part of a stream, with the fields of TCP that matter here. Numbers count bytes and do not wrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What the stream carries, so that a TLS client does not reach a plain listener.
    pub protocol: Protocol,
    /// First segment of a direction.
    pub open: bool,
    /// Last segment of a direction.
    pub last: bool,
    /// No such stream.
    pub reset: bool,
    /// Whether [`acknowledged`](Self::acknowledged) counts.
    pub acknowledges: bool,
    /// Number of the first byte.
    pub sequence: u64,
    /// Number of the next byte expected from the other end.
    pub acknowledged: u64,
    /// The name in the sender's certificate; in opening segments of secure streams.
    pub identity: Option<Arc<str>>,
    /// The bytes.
    pub payload: Bytes,
}

impl Packet {
    /// A packet at the beginning of its way.
    #[must_use]
    pub const fn new(source: SocketAddr, destination: SocketAddr, body: Body) -> Self {
        Self { source, destination, hops_left: 32, translated_from: None, body }
    }

    /// UDP or TCP; of an ICMP message, that of the packet it is about.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match &self.body {
            Body::Datagram(_) => Transport::Udp,
            Body::Segment(_) => Transport::Tcp,
            Body::Unreachable { transport, .. } => *transport,
        }
    }

    /// The application's bytes.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.body {
            Body::Datagram(payload) => payload,
            Body::Segment(segment) => &segment.payload,
            Body::Unreachable { .. } => &NONE,
        }
    }

    /// Its length on the wire in bytes, IP header included.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let ip = if self.source.is_ipv4() { 20 } else { 40 };
        ip + match &self.body {
            Body::Datagram(payload) => 8 + payload.len(),
            Body::Segment(segment) => 20 + segment.payload.len(),
            Body::Unreachable { .. } => 8 + ip + 8,
        }
    }
}
