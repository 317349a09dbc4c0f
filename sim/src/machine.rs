//! The contract of every state machine, as a trait the virtual network can drive.
//!
//! The rooms of Denwa share the *names* `handle_input`, `handle_timeout`, `poll_output` and `poll_timeout`, each with
//! types of its own. A machine joins the network through an adapter of some thirty lines that translates its
//! `Input` and `Output` to the ones here, answers its application events, and emits them as [`Output::Event`] so that
//! they stand in the trace. What goes out and what comes back are pairs: `Transmit` – `Datagram`, `StreamData`,
//! `Unreachable`; `OpenStream`, `CloseStream` – `StreamOpened`, `StreamFailed`, `StreamClosed`; `Resolve` – `Resolved`;
//! `Route` – `Routed`; `Lookup` – `Provided`.
//!
//! A stream is named as a real one is, by protocol, local and remote address.

use crate::host::Route;
use crate::names::{Record, RecordKind, ResolveFailure};
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// What runs on a host. All verbs mean what the contract of Denwa says they mean; [`laws`](crate::laws) checks it.
pub trait Machine: Any {
    /// What the network did. Never fails: what a peer sends is not the caller's fault.
    fn handle_input(&mut self, input: Input<'_>, now: Instant);
    /// The deadline of [`poll_timeout`](Self::poll_timeout) has come, or may have.
    fn handle_timeout(&mut self, now: Instant);
    /// The next thing to do; `None` when there is nothing left.
    fn poll_output(&mut self) -> Option<Output>;
    /// When [`handle_timeout`](Self::handle_timeout) is wanted; `None` while idle.
    fn poll_timeout(&self) -> Option<Instant>;

    /// How many entries a peer has made this machine hold (law 7). `None`: not told, not checked.
    fn holdings(&self) -> Option<usize> {
        None
    }

    /// Tries a harmless command on a handle that has ended (law 9): `Some(true)` when it was refused as misuse,
    /// `Some(false)` when it was accepted. `None`: not told, not checked.
    fn refuses(&mut self, _handle: u64, _now: Instant) -> Option<bool> {
        None
    }
}

/// How bytes travel. All but [`Udp`](Self::Udp) are streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream whose ends know each other's names.
    Tls,
    /// A stream that keeps message boundaries.
    WebSocket,
    /// A stream that keeps message boundaries and whose ends know each other's names.
    SecureWebSocket,
}

impl Protocol {
    /// Whether [`Output::OpenStream`] is needed before sending.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether the ends learn each other's certificate names.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket)
    }

    /// Whether one `Transmit` arrives as one `StreamData`.
    #[must_use]
    pub const fn keeps_boundaries(self) -> bool {
        matches!(self, Self::Udp | Self::WebSocket | Self::SecureWebSocket)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
        })
    }
}

/// Bytes to send: a datagram, or data on an open stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where it leaves from. `None`: the address of the route to `destination`, and the port that the machine bound first for
    /// this protocol. On a stream `None` means the machine's only, or else oldest, stream to `destination`.
    pub source: Option<SocketAddr>,
    /// Where it goes.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// What.
    pub payload: Bytes,
}

impl Transmit {
    /// A datagram.
    pub fn datagram(source: Option<SocketAddr>, destination: SocketAddr, payload: impl Into<Bytes>) -> Self {
        Self { source, destination, protocol: Protocol::Udp, payload: payload.into() }
    }
}

/// What the network did.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram arrived. The payload may be changed in place.
    Datagram {
        /// The address of ours that it was sent to.
        local: SocketAddr,
        /// Whence it came, as we see it.
        remote: SocketAddr,
        /// The datagram.
        payload: &'a mut [u8],
    },
    /// Bytes arrived on a stream.
    StreamData {
        /// What kind of stream.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// As many bytes as came at once.
        payload: &'a mut [u8],
    },
    /// A datagram of ours did not reach anybody.
    Unreachable {
        /// Our end.
        local: SocketAddr,
        /// Where it was sent.
        remote: SocketAddr,
        /// Why.
        reason: UnreachableReason,
    },
    /// A stream is open: one we asked for, or one a peer opened to us.
    StreamOpened {
        /// The token of our [`Output::OpenStream`]; `None` when the peer opened it.
        token: Option<u64>,
        /// What kind of stream.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// The name in the peer's certificate, on secure streams.
        peer_identity: Option<&'a str>,
    },
    /// A stream we asked for could not be opened.
    StreamFailed {
        /// The token of our [`Output::OpenStream`].
        token: u64,
        /// What kind of stream.
        protocol: Protocol,
        /// Where it should have gone.
        remote: SocketAddr,
        /// Why.
        reason: StreamFailure,
    },
    /// A stream is gone. Comes exactly once for each stream that was opened.
    StreamClosed {
        /// What kind of stream.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// Its token.
        token: u64,
        /// What was asked.
        name: &'a str,
        /// What was asked for.
        kind: RecordKind,
        /// The records, or why there are none.
        answer: Result<&'a [Record], ResolveFailure>,
    },
    /// The answer to [`Output::Route`].
    Routed {
        /// Its token.
        token: u64,
        /// What was asked.
        destination: IpAddr,
        /// The way out, if there is one.
        route: Option<Route>,
    },
    /// The answer to [`Output::Lookup`].
    Provided {
        /// Its token.
        token: u64,
        /// What was asked.
        question: &'a str,
        /// What is known; `None` when nothing is.
        answer: Option<&'a Bytes>,
    },
}

/// What a machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Open a stream.
    OpenStream {
        /// Comes back with the outcome.
        token: u64,
        /// What kind.
        protocol: Protocol,
        /// Our end; `None` or port 0: as the host likes.
        source: Option<SocketAddr>,
        /// The other end.
        destination: SocketAddr,
    },
    /// Close a stream, after what was sent on it has arrived.
    CloseStream {
        /// What kind.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// Ask the name service.
    Resolve {
        /// Comes back with the answer.
        token: u64,
        /// The name.
        name: String,
        /// What is wanted to know.
        kind: RecordKind,
    },
    /// Ask which local address and interface a packet to `destination` would leave by.
    Route {
        /// Comes back with the answer.
        token: u64,
        /// Where to.
        destination: IpAddr,
    },
    /// Ask the application for something that it keeps: who is this user, where is he registered?
    ///
    /// The network answers from what [`Network::provide`](crate::Network::provide) was told. An adapter whose machine asks in types of its own
    /// sends any question here, and takes the answer from a store of its own when `Provided` comes back.
    Lookup {
        /// Comes back with the answer.
        token: u64,
        /// The question.
        question: String,
    },
    /// Open a port, when ports are not fixed beforehand by [`Network::bind`](crate::Network::bind).
    Bind {
        /// For what.
        protocol: Protocol,
        /// Where; an unspecified address means every address of the host.
        local: SocketAddr,
    },
    /// Close a port.
    Unbind {
        /// For what.
        protocol: Protocol,
        /// Where.
        local: SocketAddr,
    },
    /// A fact for the application, as it should stand in the trace.
    Event {
        /// One line of text, the same for the same seed.
        text: String,
        /// What it says about the life of a handle.
        life: Life,
    },
}

impl Output {
    /// An event that neither begins nor ends a handle.
    pub fn event(text: impl Into<String>) -> Self {
        Self::Event { text: text.into(), life: Life::None }
    }
}

/// What an event says about a handle, so that law 9 can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Life {
    /// Nothing.
    #[default]
    None,
    /// This handle exists from now on.
    Begun(u64),
    /// This handle is gone; the event's text carries the reason.
    Ended(u64),
}

/// Why a datagram reached nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnreachableReason {
    /// The host is there, the port is not open.
    Port,
    /// There is no way to the host, or no such host.
    Host,
    /// A box in the middle said that it is not allowed.
    Prohibited,
    /// It is larger than a link on the way allows.
    TooBig,
}

/// Why a stream could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamFailure {
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// No answer.
    TimedOut,
    /// The local address is not ours, or the pair of addresses is in use.
    AddressInUse,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// We closed it.
    Local,
    /// The peer closed it.
    Peer,
    /// The peer does not know it.
    Reset,
    /// The peer did not acknowledge what we sent.
    TimedOut,
}

/// An [`Input`] that owns its parts: what the network schedules, and what scripts are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stimulus {
    /// See [`Input::Datagram`].
    Datagram {
        /// The address of ours.
        local: SocketAddr,
        /// The peer's.
        remote: SocketAddr,
        /// The datagram.
        payload: Vec<u8>,
    },
    /// See [`Input::StreamData`].
    StreamData {
        /// What kind of stream.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// The bytes.
        payload: Vec<u8>,
    },
    /// See [`Input::Unreachable`].
    Unreachable {
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Why.
        reason: UnreachableReason,
    },
    /// See [`Input::StreamOpened`].
    StreamOpened {
        /// Our token, when we asked for it.
        token: Option<u64>,
        /// What kind of stream.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// The peer's name.
        peer_identity: Option<String>,
    },
    /// See [`Input::StreamFailed`].
    StreamFailed {
        /// Our token.
        token: u64,
        /// What kind of stream.
        protocol: Protocol,
        /// Where to.
        remote: SocketAddr,
        /// Why.
        reason: StreamFailure,
    },
    /// See [`Input::StreamClosed`].
    StreamClosed {
        /// What kind of stream.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// See [`Input::Resolved`].
    Resolved {
        /// Our token.
        token: u64,
        /// What was asked.
        name: String,
        /// What was asked for.
        kind: RecordKind,
        /// The answer.
        answer: Result<Vec<Record>, ResolveFailure>,
    },
    /// See [`Input::Routed`].
    Routed {
        /// Our token.
        token: u64,
        /// What was asked.
        destination: IpAddr,
        /// The answer.
        route: Option<Route>,
    },
    /// See [`Input::Provided`].
    Provided {
        /// Our token.
        token: u64,
        /// What was asked.
        question: String,
        /// The answer.
        answer: Option<Bytes>,
    },
}

impl Stimulus {
    /// Lends the parts out.
    pub fn as_input(&mut self) -> Input<'_> {
        match self {
            Self::Datagram { local, remote, payload } => {
                Input::Datagram { local: *local, remote: *remote, payload }
            }
            Self::StreamData { protocol, local, remote, payload } => {
                Input::StreamData { protocol: *protocol, local: *local, remote: *remote, payload }
            }
            Self::Unreachable { local, remote, reason } => {
                Input::Unreachable { local: *local, remote: *remote, reason: *reason }
            }
            Self::StreamOpened { token, protocol, local, remote, peer_identity } => Input::StreamOpened {
                token: *token,
                protocol: *protocol,
                local: *local,
                remote: *remote,
                peer_identity: peer_identity.as_deref(),
            },
            Self::StreamFailed { token, protocol, remote, reason } => {
                Input::StreamFailed { token: *token, protocol: *protocol, remote: *remote, reason: *reason }
            }
            Self::StreamClosed { protocol, local, remote, reason } => {
                Input::StreamClosed { protocol: *protocol, local: *local, remote: *remote, reason: *reason }
            }
            Self::Resolved { token, name, kind, answer } => Input::Resolved {
                token: *token,
                name,
                kind: *kind,
                answer: answer.as_deref().map_err(|failure| *failure),
            },
            Self::Routed { token, destination, route } => {
                Input::Routed { token: *token, destination: *destination, route: route.clone() }
            }
            Self::Provided { token, question, answer } => {
                Input::Provided { token: *token, question, answer: answer.as_ref() }
            }
        }
    }

    /// The bytes a peer chose, when this is something a peer sent.
    pub fn payload_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Datagram { payload, .. } | Self::StreamData { payload, .. } => Some(payload),
            Self::Unreachable { .. }
            | Self::StreamOpened { .. }
            | Self::StreamFailed { .. }
            | Self::StreamClosed { .. }
            | Self::Resolved { .. }
            | Self::Routed { .. }
            | Self::Provided { .. } => None,
        }
    }
}
