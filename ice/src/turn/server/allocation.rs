//! An allocation: whose it is, its relayed addresses, who may send, and its channels (RFC 8656 sections 3 and 9 to 12).

use crate::io::{Protocol, StreamId};
use crate::stun::{IntegrityKey, TransactionId};
use crate::turn::{CHANNEL_LIFETIME, PERMISSION_LIFETIME};
use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The 5-tuple of a client; a stream's number stands for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientPath {
    /// Our end.
    pub local: SocketAddr,
    /// The client's.
    pub remote: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// On which stream, unless it is UDP.
    pub stream: Option<StreamId>,
}

/// A name for an allocation, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId(pub(super) u64);

impl AllocationId {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allocation {}", self.0)
    }
}

/// How much an allocation has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Datagrams from the client to peers.
    pub packets_to_peers: u64,
    /// Their bytes.
    pub bytes_to_peers: u64,
    /// Datagrams from peers to the client.
    pub packets_to_client: u64,
    /// Their bytes.
    pub bytes_to_client: u64,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) path: ClientPath,
    pub(super) user: Arc<str>,
    pub(super) key: IntegrityKey,
    /// Where peers send to: our sockets, one or one of each family.
    pub(super) relayed: Vec<SocketAddr>,
    pub(super) expires_at: Instant,
    /// The request that made it, and its answer, for when the request comes again.
    pub(super) made_by: TransactionId,
    pub(super) answer: Bytes,
    pub(super) traffic: Traffic,
    permissions: Vec<(IpAddr, Instant)>,
    channels: Vec<Channel>,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires_at: Instant,
}

/// Why a permission or a channel is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerRefusal {
    /// There are too many.
    Full,
    /// The channel is another peer's, or the peer has another channel.
    Clash,
}

impl Allocation {
    pub(super) fn new(
        path: ClientPath,
        (user, key): (Arc<str>, IntegrityKey),
        relayed: Vec<SocketAddr>,
        expires_at: Instant,
        (made_by, answer): (TransactionId, Bytes),
    ) -> Self {
        Self {
            path,
            user,
            key,
            relayed,
            expires_at,
            made_by,
            answer,
            traffic: Traffic::default(),
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Our socket for a peer.
    pub(super) fn relayed_for(&self, peer: SocketAddr) -> Option<SocketAddr> {
        self.relayed.iter().find(|relayed| relayed.is_ipv4() == peer.is_ipv4()).copied()
    }

    pub(super) fn is_permitted(&self, peer: IpAddr, now: Instant) -> bool {
        self.permissions.iter().any(|(permitted, until)| *permitted == peer && *until > now)
    }

    pub(super) fn permit(&mut self, peer: IpAddr, limit: usize, now: Instant) -> Result<(), PeerRefusal> {
        let until = now + PERMISSION_LIFETIME;
        if let Some(entry) = self.permissions.iter_mut().find(|(permitted, _)| *permitted == peer) {
            entry.1 = until;
            return Ok(());
        }
        if self.permissions.len() >= limit {
            self.permissions.retain(|(_, until)| *until > now);
        }
        if self.permissions.len() >= limit {
            return Err(PeerRefusal::Full);
        }
        self.permissions.push((peer, until));
        Ok(())
    }

    pub(super) fn bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        limit: usize,
        now: Instant,
    ) -> Result<(), PeerRefusal> {
        self.channels.retain(|channel| channel.expires_at > now);
        let expires_at = now + CHANNEL_LIFETIME;
        let touches = |channel: &&mut Channel| channel.number == number || channel.peer == peer;
        if let Some(channel) = self.channels.iter_mut().find(touches) {
            if (channel.number, channel.peer) != (number, peer) {
                return Err(PeerRefusal::Clash);
            }
            channel.expires_at = expires_at;
            return Ok(());
        }
        if self.channels.len() >= limit {
            return Err(PeerRefusal::Full);
        }
        self.channels.push(Channel { number, peer, expires_at });
        Ok(())
    }

    pub(super) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let found = self.channels.iter().find(|channel| channel.number == number)?;
        (found.expires_at > now).then_some(found.peer)
    }

    pub(super) fn channel_of(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let found = self.channels.iter().find(|channel| channel.peer == peer)?;
        (found.expires_at > now).then_some(found.number)
    }

    pub(super) fn peers(&self) -> usize {
        self.permissions.len().saturating_add(self.channels.len())
    }
}
