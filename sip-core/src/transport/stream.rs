//! The streams there are: opening, open, and which of them a request to an address may use (RFC 3261 §18.1.1, RFC 5923).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::{flow::Flow, framer::Framer};
use crate::{
    deadline::DeadlineId,
    id::Id,
    io::{PeerIdentity, Protocol, StreamId},
    limits::{Limit, WireLimits},
    random::Random,
};

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) protocol: Protocol,
    /// Unspecified until the stream is open.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) server_name: Option<Arc<str>>,
    pub(crate) peer_identity: Option<Arc<PeerIdentity>>,
    pub(crate) framer: Framer,
    pub(crate) is_open: bool,
    /// Responses that wait for the stream to open, and whose they are. Requests wait in their transactions.
    pub(crate) backlog: Vec<(Bytes, Option<Id>)>,
    pub(crate) backlog_bytes: usize,
    /// While opening: gives up. While a message is unfinished: cuts the peer off.
    pub(crate) deadline: Option<DeadlineId>,
    /// Asked to close; nothing is sent or read any more.
    pub(crate) is_closing: bool,
    /// Under which peers an accepted stream is found.
    aliases: Vec<Peer>,
}

impl Stream {
    pub(crate) fn flow(&self, id: StreamId) -> Flow {
        Flow { protocol: self.protocol, local: self.local, remote: self.remote, stream: Some(id) }
    }
}

/// What a stream to somebody is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Peer {
    protocol: Protocol,
    remote: SocketAddr,
    /// A TLS connection that proved one name is not one that proves another (CVE-2020-15260 was that mistake).
    server_name: Option<Arc<str>>,
}

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    map: HashMap<StreamId, Stream, FixedState>,
    by_peer: HashMap<Peer, StreamId, FixedState>,
    accepted_by: HashMap<IpAddr, usize, FixedState>,
    next: u64,
}

impl Streams {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            map: HashMap::with_hasher(random.hasher()),
            by_peer: HashMap::with_hasher(random.hasher()),
            accepted_by: HashMap::with_hasher(random.hasher()),
            next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.map.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.map.get_mut(&id)
    }

    /// A stream that stands or is being opened to this peer.
    pub(crate) fn find(
        &self,
        protocol: Protocol,
        remote: SocketAddr,
        server_name: Option<&Arc<str>>,
    ) -> Option<StreamId> {
        let server_name = if protocol.is_secure() { server_name.cloned() } else { None };
        let id = *self.by_peer.get(&Peer { protocol, remote, server_name })?;
        self.map.get(&id).filter(|stream| !stream.is_closing)?;
        Some(id)
    }

    /// Makes room for a stream that is to be opened.
    pub(crate) fn open(
        &mut self,
        protocol: Protocol,
        remote: SocketAddr,
        server_name: Option<Arc<str>>,
        limits: &WireLimits,
    ) -> Result<StreamId, Limit> {
        if self.map.len() >= limits.streams {
            return Err(Limit::Streams);
        }
        let id = StreamId::opened(self.next);
        self.next = self.next.wrapping_add(1);
        let unspecified: IpAddr = match remote {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let stream = Stream {
            protocol,
            local: SocketAddr::new(unspecified, 0),
            remote,
            server_name: server_name.clone(),
            peer_identity: None,
            framer: Framer::default(),
            is_open: false,
            backlog: Vec::new(),
            backlog_bytes: 0,
            deadline: None,
            is_closing: false,
            aliases: Vec::new(),
        };
        self.map.insert(id, stream);
        let server_name = if protocol.is_secure() { server_name } else { None };
        self.by_peer.insert(Peer { protocol, remote, server_name }, id);
        Ok(id)
    }

    /// Takes in a stream that the peer opened, or refuses it.
    pub(crate) fn accept(
        &mut self,
        id: StreamId,
        flow: Flow,
        peer_identity: Option<PeerIdentity>,
        limits: &WireLimits,
    ) -> Result<(), Limit> {
        if self.map.len() >= limits.streams {
            return Err(Limit::Streams);
        }
        let of_address = self.accepted_by.entry(flow.remote.ip()).or_insert(0);
        if *of_address >= limits.streams_per_address {
            return Err(Limit::StreamsPerAddress);
        }
        *of_address = of_address.saturating_add(1);
        let stream = Stream {
            protocol: flow.protocol,
            local: flow.local,
            remote: flow.remote,
            server_name: None,
            peer_identity: peer_identity.map(Arc::new),
            framer: Framer::default(),
            is_open: true,
            backlog: Vec::new(),
            backlog_bytes: 0,
            deadline: None,
            is_closing: false,
            aliases: Vec::new(),
        };
        self.map.insert(id, stream);
        Ok(())
    }

    /// Lets requests to `remote` use a stream that the peer opened (RFC 5923 §9). Only for a peer whose certificate was
    /// verified: whoever can open a connection could otherwise draw another's calls to itself.
    pub(crate) fn alias(&mut self, id: StreamId, remote: SocketAddr) {
        let Some(stream) = self.map.get(&id) else { return };
        let Some(identity) = &stream.peer_identity else { return };
        if stream.protocol != Protocol::Tls || identity.names.len() > 16 {
            return;
        }
        let protocol = stream.protocol;
        let names: Vec<Arc<str>> = identity.names.iter().filter_map(domain).collect();
        for name in names {
            let peer = Peer { protocol, remote, server_name: Some(name) };
            if self.by_peer.get(&peer).is_some_and(|other| self.map.contains_key(other)) {
                continue;
            }
            let Some(stream) = self.map.get_mut(&id).filter(|stream| stream.aliases.len() < ALIASES) else {
                return;
            };
            stream.aliases.push(peer.clone());
            self.by_peer.insert(peer, id);
        }
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.map.remove(&id)?;
        if id.is_accepted() {
            if let Some(count) = self.accepted_by.get_mut(&stream.remote.ip()) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.accepted_by.remove(&stream.remote.ip());
                }
            }
            for alias in &stream.aliases {
                if self.by_peer.get(alias) == Some(&id) {
                    self.by_peer.remove(alias);
                }
            }
        } else {
            let server_name = if stream.protocol.is_secure() { stream.server_name.clone() } else { None };
            let peer = Peer { protocol: stream.protocol, remote: stream.remote, server_name };
            if self.by_peer.get(&peer) == Some(&id) {
                self.by_peer.remove(&peer);
            }
        }
        Some(stream)
    }
}

/// Aliases of one stream: its names times the places it says that it listens on.
const ALIASES: usize = 16;

/// What a request is looked up by: hosts and domains as they are, `sip:example.com` as its domain, and no wildcards
/// (RFC 5922 §7.2).
fn domain(name: &Arc<str>) -> Option<Arc<str>> {
    match name.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("sip:") => {
            Some(name.get(4..)?.to_ascii_lowercase().into())
        }
        _ if name.starts_with("*.") => None,
        _ => Some(name.clone()),
    }
}
