//! What goes into a server and what comes out of it.

use super::allocation::{AllocationId, Traffic};
use super::credentials::{Claim, Secret};
use crate::io::{Protocol, QuestionId, StreamId, Transmit};
use crate::stun::ErrorCode;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What the network did.
#[derive(Debug)]
pub enum ServerInput<'a> {
    /// A datagram arrived at a listening socket or at a relayed port. Data has a shorter way: [`Server::receive`](super::Server::receive).
    Datagram {
        /// The socket.
        local: SocketAddr,
        /// Whence.
        remote: SocketAddr,
        /// The datagram.
        payload: &'a [u8],
    },
    /// Bytes arrived on a stream. Data has a shorter way: [`Server::receive_stream`](super::Server::receive_stream).
    StreamData {
        /// Which.
        stream: StreamId,
        /// The bytes.
        payload: &'a mut [u8],
    },
    /// A datagram that was relayed to a peer came back (ICMP).
    Unreachable {
        /// The relayed port it was sent from.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
        /// ICMP type and code.
        icmp: (u8, u8),
    },
    /// A client has opened a stream.
    StreamOpened {
        /// A new [`StreamId::accepted`].
        stream: StreamId,
        /// How.
        protocol: Protocol,
        /// Our end.
        local: SocketAddr,
        /// The client's.
        remote: SocketAddr,
        /// The name in the client's certificate, if it has one. Not used.
        peer_identity: Option<&'a str>,
    },
    /// A stream has ended.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// The port is open.
    PortOpened {
        /// Which.
        address: SocketAddr,
    },
    /// The port could not be opened.
    PortFailed {
        /// Which.
        address: SocketAddr,
    },
    /// The answer to [`ServerOutput::Lookup`].
    Provided {
        /// To which question.
        question: QuestionId,
        /// The user's name and what is known of him; `None`: no such user.
        user: Option<(&'a str, Secret)>,
    },
}

/// What the server wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerOutput {
    /// Send this.
    Transmit(Transmit),
    /// Close a stream.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Open a UDP port for relaying.
    OpenPort {
        /// Which.
        address: SocketAddr,
    },
    /// Close a relayed port.
    ClosePort {
        /// Which.
        address: SocketAddr,
    },
    /// Find out about a user.
    Lookup {
        /// Comes back with the answer.
        question: QuestionId,
        /// Who.
        claim: Claim,
        /// In which realm.
        realm: String,
    },
    /// A fact for the application.
    Event(ServerEvent),
}

/// What happened at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Somebody has an allocation.
    AllocationMade {
        /// Its name from now on.
        allocation: AllocationId,
        /// Whose.
        user: Arc<str>,
        /// Whence.
        client: SocketAddr,
        /// What it was told to be.
        relayed: Vec<SocketAddr>,
    },
    /// An allocation is gone.
    AllocationEnded {
        /// Which.
        allocation: AllocationId,
        /// Why.
        reason: AllocationEnd,
        /// What it has carried.
        traffic: Traffic,
    },
    /// A name and a password did not fit, or there is no such name.
    AuthenticationFailed {
        /// Whence.
        client: SocketAddr,
        /// Who it says it is.
        claim: Claim,
    },
    /// A known user asked for something that is not given.
    Refused {
        /// Whence.
        client: SocketAddr,
        /// Who.
        user: Arc<str>,
        /// What he was told.
        code: ErrorCode,
        /// The rule.
        rule: Refusal,
    },
    /// A limit of the configuration is reached; what would exceed it was refused.
    LimitReached(ServerLimit),
}

/// Which rule refused a known user's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// He has as many allocations as a user may have.
    UserQuota,
    /// His address has as many as an address may have.
    AddressQuota,
    /// The server has as many as it may have.
    Capacity,
    /// The peer is in a network that is not relayed to.
    ForbiddenPeer(IpAddr),
    /// Too many permissions or channels.
    TooManyPeers,
    /// Anything that the RFC says is an error.
    Protocol,
}

/// A limit of [`ServerLimits`](super::ServerLimits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerLimit {
    /// Allocations in all.
    Allocations,
    /// Ports.
    Ports,
    /// Streams.
    Streams,
    /// Requests that wait.
    Waiting,
    /// Reservations.
    Reservations,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AllocationEnd {
    /// The client gave it back.
    Released,
    /// The client did not refresh it.
    Expired,
    /// The client's stream ended.
    StreamClosed,
}
