//! Permissions and channels: which peers may send, what they are called, and when that must be said again
//! (RFC 8656 sections 9 to 12).

use super::requests::Request;
use super::{ClientMisuse, RequestFailure};
use crate::turn::{CHANNEL_LIFETIME, CHANNELS, PERMISSION_LIFETIME};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Refreshed this long before the end.
const MARGIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Peers {
    limit: usize,
    permissions: BTreeMap<IpAddr, Entry>,
    channels: BTreeMap<SocketAddr, (u16, Entry)>,
    numbers: BTreeMap<u16, SocketAddr>,
    next_channel: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    granted: bool,
    refresh_at: Option<Instant>,
}

impl Peers {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_channel: *CHANNELS.start(),
        }
    }

    /// The request that permits a peer; `None` when it is permitted or asked for already.
    pub(super) fn permit(&mut self, peer: IpAddr) -> Result<Option<Request>, ClientMisuse> {
        if self.permissions.contains_key(&peer) {
            return Ok(None);
        }
        if self.permissions.len() >= self.limit {
            return Err(ClientMisuse::TooManyPeers);
        }
        self.permissions.insert(peer, Entry::default());
        Ok(Some(Request::Permission { peer }))
    }

    /// The request that binds a channel; `None` when it is bound or asked for already.
    pub(super) fn bind(&mut self, peer: SocketAddr) -> Result<Option<Request>, ClientMisuse> {
        if self.channels.contains_key(&peer) {
            return Ok(None);
        }
        if self.channels.len() >= self.limit || !CHANNELS.contains(&self.next_channel) {
            return Err(ClientMisuse::TooManyPeers);
        }
        let channel = self.next_channel;
        self.next_channel = self.next_channel.saturating_add(1);
        self.channels.insert(peer, (channel, Entry::default()));
        self.numbers.insert(channel, peer);
        Ok(Some(Request::Channel { peer, channel }))
    }

    /// Whether this is news.
    pub(super) fn permitted(&mut self, peer: IpAddr, now: Instant) -> bool {
        let Some(entry) = self.permissions.get_mut(&peer) else { return false };
        entry.refresh_at = Some(now + (PERMISSION_LIFETIME - MARGIN));
        !std::mem::replace(&mut entry.granted, true)
    }

    pub(super) fn bound(&mut self, peer: SocketAddr, now: Instant) -> bool {
        let Some((_, entry)) = self.channels.get_mut(&peer) else { return false };
        entry.refresh_at = Some(now + (CHANNEL_LIFETIME - MARGIN));
        !std::mem::replace(&mut entry.granted, true)
    }

    pub(super) fn permission_refused(&mut self, peer: IpAddr, _reason: RequestFailure) -> bool {
        self.permissions.remove(&peer).is_some()
    }

    pub(super) fn channel_refused(&mut self, peer: SocketAddr, _reason: RequestFailure) -> bool {
        // The number is not used again: the server may know it still (RFC 8656 section 12).
        match self.channels.remove(&peer) {
            Some((channel, _)) => self.numbers.remove(&channel).is_some(),
            None => false,
        }
    }

    pub(super) fn channel(&self, peer: SocketAddr) -> Option<u16> {
        self.channels.get(&peer).filter(|(_, entry)| entry.granted).map(|(channel, _)| *channel)
    }

    /// Whom a channel is for. Also before the answer to its request: data may overtake it.
    pub(super) fn peer(&self, channel: u16) -> Option<SocketAddr> {
        self.numbers.get(&channel).copied()
    }

    /// Whether we asked for this peer. Data of others is not what the server should relay.
    pub(super) fn knows(&self, peer: IpAddr) -> bool {
        self.permissions.contains_key(&peer) || self.channels.keys().any(|known| known.ip() == peer)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let channels = self.channels.values().map(|(_, entry)| entry);
        self.permissions.values().chain(channels).filter_map(|entry| entry.refresh_at).min()
    }

    /// What must be said again now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Request> {
        let mut due = Vec::new();
        let is_due = |entry: &Entry| entry.refresh_at.is_some_and(|at| at <= now);
        for (peer, entry) in self.permissions.iter_mut().filter(|(_, entry)| is_due(entry)) {
            entry.refresh_at = None;
            due.push(Request::Permission { peer: *peer });
        }
        for (peer, (channel, entry)) in self.channels.iter_mut().filter(|(_, (_, entry))| is_due(entry)) {
            entry.refresh_at = None;
            due.push(Request::Channel { peer: *peer, channel: *channel });
        }
        due
    }
}
