//! What a client tells, and why things fail.

use crate::io::StreamId;
use crate::stun::ErrorCode;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use thiserror::Error;

/// What happened to an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// There is a relayed address.
    Allocated {
        /// The addresses, one or one of each family.
        relayed: Vec<SocketAddr>,
        /// Our own address as the server sees it.
        mapped: Option<SocketAddr>,
        /// How long the server keeps it without a refresh (refreshes are sent in time).
        lifetime: Duration,
        /// The next higher port waits under this token.
        reservation: Option<[u8; 8]>,
        /// Which server it is on; another than configured after a redirection.
        server: SocketAddr,
    },
    /// The server lets this peer send to us.
    Permitted {
        /// The peer.
        peer: IpAddr,
    },
    /// The server does not.
    PermissionRefused {
        /// The peer.
        peer: IpAddr,
        /// Why.
        reason: RequestFailure,
    },
    /// This peer has a channel, which [`Client::send`](super::Client::send) uses from now on.
    ChannelBound {
        /// The peer.
        peer: SocketAddr,
    },
    /// It has not; data goes on as indications.
    ChannelRefused {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        reason: RequestFailure,
    },
    /// A datagram to this peer came back as undeliverable.
    PeerUnreachable {
        /// The peer.
        peer: SocketAddr,
        /// ICMP type and code.
        icmp: (u8, u8),
    },
    /// A peer's TCP connection is joined to this stream: bytes on it are the peer's (RFC 6062).
    PeerConnected {
        /// The peer.
        peer: SocketAddr,
        /// The stream to the server that carries its bytes.
        stream: StreamId,
    },
    /// A peer could not be connected, or its connection could not be joined.
    PeerNotConnected {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        reason: RequestFailure,
    },
    /// There is no allocation any more, or there never was. Nothing comes after this.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// Why a request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestFailure {
    /// The server said no.
    Refused(ErrorCode),
    /// Nobody answered.
    NoAnswer,
    /// The stream broke.
    StreamFailed,
    /// The answer made no sense.
    BadAnswer,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// [`Client::release`](super::Client::release) was called, and the server knows or does not answer.
    Released,
    /// The server said no.
    Refused(ErrorCode),
    /// The credentials do not fit, or the challenge cannot be answered.
    CredentialsRefused,
    /// The server did not answer.
    NoAnswer,
    /// The stream to the server could not be opened, or broke, or made no sense.
    StreamFailed,
    /// The answer made no sense.
    BadAnswer,
    /// The servers sent us round in circles, or too far.
    TooManyRedirects,
    /// The server has forgotten the allocation.
    Expired,
}

/// A command that makes no sense now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientMisuse {
    /// There is no allocation, not yet or no more.
    #[error("there is no allocation")]
    NoAllocation,
    /// There is or has been one: a client makes one only.
    #[error("this client has allocated already")]
    AlreadyAllocated,
    /// The allocation is for datagrams, or for streams.
    #[error("the allocation is for the other transport")]
    WrongTransport,
    /// No relayed address is of the peer's family.
    #[error("no relayed address is of the peer's family")]
    WrongFamily,
    /// There are too many peers.
    #[error("the limit of peers is reached")]
    TooManyPeers,
}
