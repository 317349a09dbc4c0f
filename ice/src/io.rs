//! What goes into the machines of this crate and what comes out of them.
//!
//! The pairs of the shared contract: `Transmit` – `Datagram`, `StreamData`, `Unreachable`; `OpenStream`, `CloseStream` –
//! `StreamOpened`, `StreamFailed`, `StreamClosed`; `Resolve` – `Resolved`; `Route` – `Routed`; [`Event`](Output::Event)s. Only
//! the server looks users up, and has types of its own. Media does not go through here: see `receive` and `send` of each machine.

use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// 32 unguessable bytes from the operating system, or fixed ones in a test.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed")
    }
}

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
    /// An encrypted byte stream.
    Tls,
    /// Encrypted datagrams. Opened and closed like a stream; each `StreamData` is one datagram.
    Dtls,
}

impl Protocol {
    /// Whether it has to be opened before it carries anything.
    #[must_use]
    pub const fn is_opened(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether what is sent arrives, in order, or the connection ends.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// A stream, or a DTLS connection. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    const ACCEPTED: u64 = 1 << 63;

    /// A stream that a peer opened: the driver counts them.
    #[must_use]
    pub const fn accepted(number: u64) -> Self {
        Self(number | Self::ACCEPTED)
    }

    /// A stream that the machine asks for.
    pub(crate) const fn opened(number: u64) -> Self {
        Self(number & !Self::ACCEPTED)
    }

    /// Whether a peer opened it.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }

    /// The number, different for every stream of a machine.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A question that was asked; comes back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub(crate) u64);

impl QuestionId {
    /// The number, different for every question of a machine.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The question of this number, for drivers that keep numbers.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where it leaves from; `None`: wherever the route leads.
    pub source: Option<SocketAddr>,
    /// Where it goes.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// On which stream, when it is not UDP.
    pub stream: Option<StreamId>,
    /// What.
    pub payload: Bytes,
}

/// What the network did.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram arrived. Media has a shorter way: `receive`.
    Datagram {
        /// The socket it came to.
        local: SocketAddr,
        /// Whence it came.
        remote: SocketAddr,
        /// The datagram.
        payload: &'a mut [u8],
    },
    /// Bytes arrived on a stream.
    StreamData {
        /// Which.
        stream: StreamId,
        /// The bytes.
        payload: &'a mut [u8],
    },
    /// A datagram of ours did not arrive (ICMP).
    Unreachable {
        /// The socket it was sent from.
        local: SocketAddr,
        /// Where it was sent.
        remote: SocketAddr,
    },
    /// A stream is open.
    StreamOpened {
        /// The one we asked for, or a new [`StreamId::accepted`].
        stream: StreamId,
        /// How.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// The name in the peer's certificate, if it has one and it was checked.
        peer_identity: Option<&'a str>,
    },
    /// A stream we asked for could not be opened.
    StreamFailed {
        /// Which.
        stream: StreamId,
    },
    /// A stream has ended.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// To which question.
        question: QuestionId,
        /// The addresses; none when the name is not known.
        addresses: &'a [IpAddr],
    },
    /// The answer to [`Output::Route`].
    Routed {
        /// To which question.
        question: QuestionId,
        /// The address a packet would be sent from; `None` when there is no route.
        local: Option<IpAddr>,
    },
}

/// What a machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<E> {
    /// Send this.
    Transmit(Transmit),
    /// Open a stream.
    OpenStream {
        /// Comes back with the outcome.
        stream: StreamId,
        /// How.
        protocol: Protocol,
        /// From which address, or also from which port, when that matters.
        local: Option<SocketAddr>,
        /// Where to.
        remote: SocketAddr,
        /// The name that the peer's certificate must have.
        server_name: Option<String>,
    },
    /// Close a stream.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Find the addresses of a name; names under `.local` by multicast DNS.
    Resolve {
        /// Comes back with the answer.
        question: QuestionId,
        /// The name.
        name: String,
    },
    /// Find the address that a packet to `destination` would be sent from.
    Route {
        /// Comes back with the answer.
        question: QuestionId,
        /// Where to.
        destination: IpAddr,
    },
    /// A fact for the application.
    Event(E),
}
