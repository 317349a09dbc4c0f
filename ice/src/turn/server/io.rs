//! What goes into a server and what comes out of it.

use super::allocation::{AllocationId, Traffic};
use super::credentials::{Claim, Secret};
use crate::io::{Protocol, QuestionId, StreamId, Transmit};
use crate::stun::ErrorCode;
use std::fmt;
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

/// One sentence for the log.
impl fmt::Display for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllocationMade { allocation, user, client, relayed } => {
                write!(f, "{allocation}: {} relays for {client} (user {user})", Listed(relayed))
            }
            Self::AllocationEnded { allocation, reason, traffic } => {
                let Traffic { bytes_to_peers, bytes_to_client, .. } = traffic;
                write!(
                    f,
                    "{allocation} has ended: {reason}; {bytes_to_peers} bytes out, {bytes_to_client} in"
                )
            }
            Self::AuthenticationFailed { client, claim: Claim::Name(name) } => {
                write!(f, "{client} says it is {name:?}, which is not known or has another password")
            }
            Self::AuthenticationFailed { client, claim: Claim::Hash(_) } => {
                write!(f, "{client} names a user by a hash that is not known, or with another password")
            }
            Self::Refused { client, user, code, rule } => {
                write!(f, "{client} (user {user}) was refused with {code}: {rule}")
            }
            Self::LimitReached(limit) => write!(f, "{limit}: what would exceed that is refused"),
        }
    }
}

struct Listed<'a>(&'a [SocketAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" and ")?;
            }
            write!(f, "{address}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserQuota => f.write_str("the user has as many allocations as one may have"),
            Self::AddressQuota => f.write_str("the address has as many allocations as one may have"),
            Self::Capacity => f.write_str("the server has as many allocations as it may have"),
            Self::ForbiddenPeer(peer) => write!(f, "{peer} is not relayed to"),
            Self::TooManyPeers => f.write_str("it has as many permissions or channels as one may have"),
            Self::Protocol => f.write_str("the request is not one that can be met"),
        }
    }
}

impl fmt::Display for ServerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allocations => "there are as many allocations as there may be",
            Self::Ports => "no relayed port is left",
            Self::Streams => "there are as many connections as there may be",
            Self::Waiting => "as many requests wait as may",
            Self::Reservations => "as many ports are kept as may be",
        })
    }
}

impl fmt::Display for AllocationEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "given back",
            Self::Expired => "not refreshed in time",
            Self::StreamClosed => "its connection closed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_can_be_read() {
        let client: SocketAddr = "198.51.100.7:4000".parse().unwrap();
        let made = ServerEvent::AllocationMade {
            allocation: AllocationId(3),
            user: "1001".into(),
            client,
            relayed: vec!["203.0.113.5:50000".parse().unwrap()],
        };
        assert_eq!(
            made.to_string(),
            "allocation 3: 203.0.113.5:50000 relays for 198.51.100.7:4000 (user 1001)"
        );
        let traffic = Traffic { bytes_to_peers: 160, bytes_to_client: 320, ..Traffic::default() };
        let ended = ServerEvent::AllocationEnded {
            allocation: AllocationId(3),
            reason: AllocationEnd::Expired,
            traffic,
        };
        assert_eq!(ended.to_string(), "allocation 3 has ended: not refreshed in time; 160 bytes out, 320 in");
        let refused = ServerEvent::Refused {
            client,
            user: "1001".into(),
            code: ErrorCode::FORBIDDEN,
            rule: Refusal::ForbiddenPeer("127.0.0.1".parse().unwrap()),
        };
        assert!(
            refused
                .to_string()
                .ends_with("(user 1001) was refused with 403 Forbidden: 127.0.0.1 is not relayed to")
        );
    }
}
