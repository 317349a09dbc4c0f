//! What every machine of this crate takes in and gives out. Inputs and outputs come in pairs, complete from the start,
//! so that a driver that compiles today serves every layer:
//!
//! `Transmit` – `Datagram`, `StreamData`, `Unreachable`; `OpenStream`, `CloseStream` – `StreamOpened`, `StreamFailed`,
//! `StreamClosed`; `Resolve` – `Resolved`; `Route` – `Routed`; `Lookup` – `Provided`; and `Event` for the application.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

pub use crate::lookup::{Lookup, Provided};

/// What the generator inside a machine starts from. Draw it from the operating system's entropy; the same seed and
/// inputs give the same outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    /// The seed predicts every tag and branch, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// A transport protocol below SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Datagrams (RFC 3261 §18).
    Udp,
    /// A plain stream.
    Tcp,
    /// TLS over TCP (RFC 3261 §26.2).
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Whether the transport itself repeats what is lost: everything but UDP.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether messages go over a connection.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        self.is_reliable()
    }

    /// Whether messages are encrypted on this hop.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether messages are framed by WebSocket and not by Content-Length.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The port when none is written (RFC 3261 §19.1.2, RFC 7118 §5.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// As it stands in a Via.
    #[must_use]
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As it stands in the `transport` parameter of a URI.
    #[must_use]
    pub const fn uri_token(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
        }
    }

    /// The protocol of a Via, without regard to case.
    #[must_use]
    pub fn from_via_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.via_token().eq_ignore_ascii_case(token))
    }

    /// The protocol of a `transport` parameter. `sips` makes TCP TLS and WS WSS (RFC 3261 §26.2.2, RFC 7118 §5.3).
    #[must_use]
    pub fn from_uri_token(token: &str, is_sips: bool) -> Option<Self> {
        let plain = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|protocol| protocol.via_token().eq_ignore_ascii_case(token))?;
        Some(match (plain, is_sips) {
            (Self::Tcp, true) => Self::Tls,
            (Self::Ws, true) => Self::Wss,
            (plain, _) => plain,
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via_token())
    }
}

/// A connection. The machine numbers those it opens, the driver those it accepts; neither uses a number twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

impl StreamId {
    const ACCEPTED: u64 = 1 << 63;
    const OWN: u64 = 1 << 62;

    /// The `number`th connection that the driver accepted.
    #[must_use]
    pub const fn accepted(number: u64) -> Self {
        Self(number | Self::ACCEPTED)
    }

    /// The `number`th connection that a program opened by the driver of an endpoint, for something else than SIP. Never one
    /// of the endpoint's.
    #[must_use]
    pub const fn own(number: u64) -> Self {
        Self((number & !Self::ACCEPTED) | Self::OWN)
    }

    /// The `number`th connection that a machine opened.
    #[must_use]
    pub(crate) const fn opened(number: u64) -> Self {
        Self(number & !Self::ACCEPTED)
    }

    /// As a number, for tokens that name a flow.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether a program opened it for something else than SIP.
    #[must_use]
    pub const fn is_own(self) -> bool {
        self.0 & (Self::OWN | Self::ACCEPTED) == Self::OWN
    }

    /// Whether the other side opened the connection.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_accepted() { "accepted-" } else { "opened-" }, self.0 & !Self::ACCEPTED)
    }
}

/// The way between here and a peer: on UDP a pair of addresses, else a connection (RFC 5626 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// The transport.
    pub protocol: Protocol,
    /// The own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The connection, for all protocols but UDP.
    pub stream: Option<StreamId>,
}

/// Bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The local address to send from; `None` leaves it to the system.
    pub source: Option<SocketAddr>,
    /// Where to.
    pub destination: SocketAddr,
    /// Over which transport. On WebSockets the payload is one whole message.
    pub protocol: Protocol,
    /// The connection, for all protocols but UDP.
    pub stream: Option<StreamId>,
    /// What to send. Clones share the bytes.
    pub payload: Bytes,
}

/// Who the other end of a TLS connection proved to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerIdentity {
    /// Names and `sip:` URIs in the certificate's subjectAltName (RFC 5922 §7.1), or its CN without one.
    pub names: Vec<Arc<str>>,
}

/// Names a question to the driver; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// What the network, or the driver on behalf of it, tells a machine.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// A datagram came in.
    Datagram {
        /// The own address it was sent to. With a wildcard socket this is the address the packet names.
        local: SocketAddr,
        /// Who sent it.
        remote: SocketAddr,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// Bytes came in over a connection. On WebSockets: one whole message.
    StreamData {
        /// Which connection.
        stream: StreamId,
        /// The bytes.
        payload: &'a [u8],
    },
    /// The system says that a destination cannot be reached: an ICMP error or a failed send.
    Unreachable {
        /// Where it was sent from, if that is known.
        source: Option<SocketAddr>,
        /// Where it did not arrive.
        destination: SocketAddr,
        /// Over which transport.
        protocol: Protocol,
    },
    /// A connection stands: one that the machine asked for, or one that was accepted.
    StreamOpened {
        /// Its number.
        stream: StreamId,
        /// Its transport.
        protocol: Protocol,
        /// The own end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Who the other end proved to be, for TLS with a certificate that was verified.
        peer_identity: Option<PeerIdentity>,
    },
    /// A connection that the machine asked for could not be made.
    StreamFailed {
        /// Its number.
        stream: StreamId,
        /// Why.
        reason: StreamFailure,
    },
    /// A connection is gone.
    StreamClosed {
        /// Its number.
        stream: StreamId,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// Which question.
        id: QueryId,
        /// What the DNS says.
        answer: Answer,
    },
    /// The answer to [`Output::Route`].
    Routed {
        /// Which question.
        id: QueryId,
        /// The way out, or `None` if there is no route.
        route: Option<RouteInfo>,
    },
    /// The answer to [`Output::Lookup`].
    Provided {
        /// Which question.
        id: QueryId,
        /// What the store says.
        provided: Provided,
    },
    /// The driver turned a connection away or cuts one off, since a limit of its own was reached. Of those turned away the first
    /// is told until there is room again.
    TurnedAway {
        /// Who wanted to connect, or was connected.
        remote: SocketAddr,
        /// Which limit.
        limit: crate::limits::Limit,
    },
}

/// Why a connection could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamFailure {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No route, or the system said no.
    Unreachable,
    /// TLS was not agreed on.
    TlsHandshake,
    /// Nobody who is believed vouches for the certificate, or it is not valid now.
    UntrustedCertificate,
    /// The certificate is not that of the host asked for (RFC 5922 §7.3).
    WrongIdentity,
    /// The WebSocket handshake failed, or the server does not speak the `sip` subprotocol.
    WebSocketHandshake,
    /// Anything else.
    Other,
}

/// What a machine asks for. Exhaustive on purpose: a driver that forgets a kind does not compile.
#[derive(Debug, Clone)]
pub enum Output<E> {
    /// Send this.
    Transmit(Transmit),
    /// Make a connection; answered by `StreamOpened` or `StreamFailed`.
    OpenStream {
        /// Its number from now on.
        stream: StreamId,
        /// Over which transport.
        protocol: Protocol,
        /// From which own address; `None` leaves it to the system.
        local: Option<SocketAddr>,
        /// Where to.
        remote: SocketAddr,
        /// For TLS and WebSocket: the name the peer must prove (RFC 5922) and the `Host`.
        server_name: Option<Arc<str>>,
    },
    /// Close a connection once everything transmitted on it has been written; answered by `StreamClosed`.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Ask the DNS; answered by `Resolved`.
    Resolve {
        /// Names the question in the answer.
        id: QueryId,
        /// What to ask.
        question: Question,
    },
    /// Ask the system by which address and interface a packet would leave; answered by `Routed`.
    Route {
        /// Names the question in the answer.
        id: QueryId,
        /// The packet's destination.
        destination: SocketAddr,
    },
    /// Ask the application's store; answered by `Provided`.
    Lookup {
        /// Names the question in the answer.
        id: QueryId,
        /// What to look up or to save.
        lookup: Lookup,
    },
    /// Something the application should know.
    Event(E),
}

impl<E> Output<E> {
    /// The event, for a machine around the one that tells it; what is no event passes through that machine as it is.
    pub(crate) fn into_event<F>(self) -> Result<E, Output<F>> {
        Err(match self {
            Self::Event(event) => return Ok(event),
            Self::Transmit(it) => Output::Transmit(it),
            Self::OpenStream { stream, protocol, local, remote, server_name } => {
                Output::OpenStream { stream, protocol, local, remote, server_name }
            }
            Self::CloseStream { stream } => Output::CloseStream { stream },
            Self::Resolve { id, question } => Output::Resolve { id, question },
            Self::Route { id, destination } => Output::Route { id, destination },
            Self::Lookup { id, lookup } => Output::Lookup { id, lookup },
        })
    }
}

/// A question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// NAPTR records of a domain.
    Naptr(Arc<str>),
    /// SRV records of a name such as `_sip._udp.example.com`.
    Srv(Arc<str>),
    /// A and AAAA records of a host; hosts files and the like may answer too.
    Addresses(Arc<str>),
}

/// What the DNS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// NAPTR records in any order.
    Naptr(Vec<NaptrRecord>),
    /// SRV records in any order.
    Srv(Vec<SrvRecord>),
    /// Addresses, in the order the system prefers.
    Addresses {
        /// The addresses of both families.
        addresses: Vec<IpAddr>,
        /// How long they may be used again without asking.
        time_to_live: Duration,
    },
    /// The name has no such records.
    NotFound,
    /// No server answered, or not sensibly.
    Failed,
}

/// A NAPTR record (RFC 3403) as far as SIP looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NaptrRecord {
    /// Lowest first.
    pub order: u16,
    /// Among equals of order, lowest first.
    pub preference: u16,
    /// `s`, `a` or another.
    pub flags: String,
    /// Such as `SIP+D2U`.
    pub service: String,
    /// A rewriting rule, which SIP does not use here.
    pub regexp: String,
    /// The name to ask next.
    pub replacement: String,
    /// How long it may be used again without asking.
    pub time_to_live: Duration,
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lowest first.
    pub priority: u16,
    /// Share among equals of priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
    /// How long it may be used again without asking.
    pub time_to_live: Duration,
}

/// By which way a packet would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// The source address the system would choose.
    pub local: IpAddr,
    /// The interface's name, such as `eth0`; empty if the system does not say.
    pub interface: Arc<str>,
}
