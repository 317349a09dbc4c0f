//! Gathering: host, server-reflexive and relayed candidates (RFC 8445 section 5.1.1), paced like checks.
//!
//! Addresses are preferred by their cost, and among equals IPv6 and IPv4 take turns, IPv6 first, so that neither family's
//! failure delays the other (RFC 8421 section 4).

use super::checker::Tag;
use super::event::{AgentEvent, ServerFailure};
use super::state::{Base, Local, Socket};
use super::{Agent, LocalAddress, MediaStream, Policy};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport};
use crate::io::{Output, Protocol, StreamId};
use crate::stun::attribute::{ErrorCodeAttribute, MappedAddress, XorMappedAddress};
use crate::stun::{Class, Message, Method, Writer};
use crate::turn::Client;
use crate::turn::client::{ClientEvent, EndReason};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// A server to ask from a socket.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    Stun { socket: usize, server: SocketAddr },
    Turn { socket: usize, server: usize },
}

impl Task {
    pub(super) const fn socket(self) -> usize {
        match self {
            Self::Stun { socket, .. } | Self::Turn { socket, .. } => socket,
        }
    }
}

/// A TURN client and what it is for.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) client: Client,
    pub(super) socket: usize,
    pub(super) server: SocketAddr,
    /// Whether it has given, or failed to give, a candidate.
    settled: bool,
}

impl Agent {
    /// A new socket: its host candidate, and its questions to the servers.
    pub(super) fn gather_from(&mut self, stream: u32, component: u16, local: LocalAddress, now: Instant) {
        let LocalAddress { address, transport, .. } = local;
        let local_preference = self.local_preference(stream, component, &local);
        self.sockets.push(Socket { stream, component, address, transport, local_preference, gone: false });
        let socket = self.sockets.len() - 1;
        let shown = match transport {
            // A port that nobody can use (RFC 6544 section 4.5).
            CandidateTransport::TcpActive => SocketAddr::new(address.ip(), 9),
            _ => address,
        };
        self.local_candidate(Base::Socket(socket), CandidateKind::Host, shown, None, None, now);
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.gathering_told = false;
        }
        let link_local = matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local());
        if transport != CandidateTransport::Udp || self.config.lite || link_local {
            return;
        }
        let family = |server: &SocketAddr| {
            server.is_ipv4() == address.is_ipv4() && server.ip().is_loopback() == address.ip().is_loopback()
        };
        if self.config.policy == Policy::All {
            for server in self.config.stun_servers.iter().copied().filter(family) {
                self.tasks.push_back(Task::Stun { socket, server });
            }
        }
        for (server, config) in self.config.turn_servers.iter().enumerate() {
            if family(&config.server.address) {
                self.tasks.push_back(Task::Turn { socket, server });
            }
        }
        self.arm(now);
    }

    /// Lower cost first, then by turns of the families in the order in which addresses came.
    fn local_preference(&self, stream: u32, component: u16, local: &LocalAddress) -> u16 {
        let v4 = local.address.is_ipv4();
        let before = self.sockets.iter().filter(|socket| {
            socket.stream == stream
                && socket.component == component
                && socket.transport == local.transport
                && socket.address.is_ipv4() == v4
        });
        let rank =
            u16::try_from(before.count()).unwrap_or(u16::MAX).min(15).saturating_mul(2) + u16::from(v4);
        let cost = u16::from(local.cost).saturating_mul(32);
        if local.transport.is_tcp() {
            // RFC 6544 section 4.2: the direction first, then the rest.
            let direction = local.transport.direction_preference(CandidateKind::Host);
            return (direction << 13).saturating_add(8191 - cost.min(8160) - rank.min(31));
        }
        65_535 - cost - rank
    }

    /// Notes a candidate, tells it, and pairs it.
    fn local_candidate(
        &mut self,
        base: Base,
        kind: CandidateKind,
        address: SocketAddr,
        server: Option<SocketAddr>,
        related: Option<SocketAddr>,
        now: Instant,
    ) -> Option<usize> {
        let place = match base {
            Base::Socket(socket) => socket,
            Base::Relay(relay) => self.relays.get(relay)?.socket,
        };
        let socket = self.sockets.get(place)?;
        let (stream, component, transport) = (socket.stream, socket.component, socket.transport);
        // The same address by another way is no candidate of its own (RFC 8445 section 5.1.3).
        let same = |local: &Local| {
            !local.gone
                && local.stream == stream
                && local.address == address
                && local.candidate.transport == transport
                && local.candidate.component == component
        };
        if kind != CandidateKind::Host && self.locals.iter().any(same) {
            return None;
        }
        let base_address = if kind == CandidateKind::Relayed { address.ip() } else { socket.address.ip() };
        let local_preference = socket.local_preference;
        let foundation = self.foundation((kind, base_address, server, transport.is_tcp()));
        let priority = Candidate::priority(kind.type_preference(transport), local_preference, component);
        let candidate = Candidate {
            foundation: (foundation + 1).to_string(),
            component,
            transport,
            priority,
            address: CandidateAddress::Ip(address),
            kind,
            // Whoever hides its addresses does not tell them here either.
            related: related.map(|related| match self.config.policy {
                Policy::All => related,
                Policy::RelayOnly if related.is_ipv4() => SocketAddr::from(([0; 4], 0)),
                Policy::RelayOnly => SocketAddr::from(([0_u16; 8], 0)),
            }),
            extensions: Vec::new(),
        };
        let told = self.config.policy == Policy::All || kind == CandidateKind::Relayed;
        if told && kind != CandidateKind::PeerReflexive {
            let stream = MediaStream(stream);
            self.event(AgentEvent::CandidateGathered { stream, candidate: candidate.clone() });
        }
        self.locals.push(Local { stream, candidate, address, base, foundation, gone: false });
        let local = self.locals.len() - 1;
        let remotes = self.streams.get(&stream).map_or(0, |stream| stream.remotes.len());
        for remote in 0..remotes {
            self.pair_up(stream, local, remote);
        }
        self.arm(now);
        Some(local)
    }

    fn foundation(&mut self, key: super::state::FoundationKey) -> u32 {
        let place = self.foundations.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.foundations.push(key);
            self.foundations.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// The peer sees us at an address that we did not know: a peer-reflexive candidate of ours (RFC 8445 section 7.2.5.3.1).
    pub(super) fn seen_as(&mut self, local: usize, address: SocketAddr, now: Instant) -> Option<usize> {
        let (base, stream, component) = {
            let local = self.locals.get(local)?;
            (local.base, local.stream, local.candidate.component)
        };
        let known = |it: &Local| {
            it.stream == stream
                && it.address == address
                && it.base == base
                && it.candidate.component == component
        };
        if let Some(known) = self.locals.iter().position(known) {
            return Some(known);
        }
        // The peer says what it likes: it cannot make us remember everything.
        let reflexive = self.locals.iter().filter(|it| it.candidate.kind == CandidateKind::PeerReflexive);
        if reflexive.count() >= self.config.limits.remote_candidates {
            return None;
        }
        let related = self.locals.get(local).map(|local| local.address);
        self.local_candidate(base, CandidateKind::PeerReflexive, address, None, related, now)
    }

    /// Asks the next server. Whether there was one.
    pub(super) fn take_task(&mut self, now: Instant) -> bool {
        let Some(task) = self.tasks.pop_front() else { return false };
        match task {
            Task::Stun { socket, server } => self.ask_stun(socket, server, now),
            Task::Turn { socket, server } => self.ask_turn(socket, server, now),
        }
        true
    }

    fn ask_stun(&mut self, socket: usize, server: SocketAddr, now: Instant) {
        let Some(stream) = self.sockets.get(socket).map(|socket| socket.stream) else { return };
        let id = self.transaction_id();
        let request = binding_request(id);
        let tag = Tag::Gather { stream, socket, server };
        self.transactions.begin(id, tag, (request.clone(), server), (false, self.config.timing), now);
        self.transmit_by(Base::Socket(socket), server, &request);
    }

    fn ask_turn(&mut self, socket: usize, server: usize, now: Instant) {
        let (Some(config), Some(local)) = (
            self.config.turn_servers.get(server).cloned(),
            self.sockets.get(socket).map(|socket| socket.address),
        ) else {
            return;
        };
        let address = config.server.address;
        let first_stream = (self.relays.len() as u64 + 1) << 32;
        let seed = self.generator.seed();
        let client = Client::new(config, local, seed, now).numbering_streams_from(first_stream);
        self.relays.push(Relay { client, socket, server: address, settled: false });
        let relay = self.relays.len() - 1;
        // A new client can always allocate.
        let _ = self.relays[relay].client.allocate(now);
        self.drain_relay(relay, now);
    }

    /// Which relay a stream belongs to.
    pub(super) fn relay_of(&self, stream: StreamId) -> Option<usize> {
        if stream.is_accepted() {
            return None;
        }
        let relay = usize::try_from(stream.number() >> 32).ok()?.checked_sub(1)?;
        (relay < self.relays.len()).then_some(relay)
    }

    /// Does what a TURN client wants, and takes note of what it tells.
    pub(super) fn drain_relay(&mut self, relay: usize, now: Instant) {
        while let Some(output) = self.relays.get_mut(relay).and_then(|relay| relay.client.poll_output()) {
            match output {
                Output::Transmit(transmit) => self.outputs.push_back(Output::Transmit(transmit)),
                Output::OpenStream { stream, protocol, local, remote, server_name } => {
                    self.outputs.push_back(Output::OpenStream {
                        stream,
                        protocol,
                        local,
                        remote,
                        server_name,
                    });
                }
                Output::CloseStream { stream } => self.outputs.push_back(Output::CloseStream { stream }),
                // A client asks for none of these.
                Output::Resolve { .. } | Output::Route { .. } => {}
                Output::Event(event) => self.relay_event(relay, event, now),
            }
        }
    }

    fn relay_event(&mut self, relay: usize, event: ClientEvent, now: Instant) {
        match event {
            ClientEvent::Allocated { relayed, mapped, .. } => {
                self.relays[relay].settled = true;
                let (socket, server) = (self.relays[relay].socket, self.relays[relay].server);
                let udp = self.relays[relay].client.protocol() == Protocol::Udp;
                if let Some(mapped) = mapped.filter(|_| udp && self.config.policy == Policy::All) {
                    self.reflexive(socket, server, mapped, now);
                }
                for address in relayed {
                    let base = Base::Relay(relay);
                    self.local_candidate(base, CandidateKind::Relayed, address, Some(server), mapped, now);
                }
            }
            ClientEvent::PermissionRefused { peer, .. } => {
                self.fail_relayed(relay, |remote| remote.ip() == peer, now);
            }
            ClientEvent::Ended { reason } => self.relay_ended(relay, reason, now),
            // A channel or no channel, data goes through; and nobody asked for streams.
            ClientEvent::Permitted { .. }
            | ClientEvent::ChannelBound { .. }
            | ClientEvent::ChannelRefused { .. }
            | ClientEvent::PeerUnreachable { .. }
            | ClientEvent::PeerConnected { .. }
            | ClientEvent::PeerNotConnected { .. } => {}
        }
    }

    fn relay_ended(&mut self, relay: usize, reason: EndReason, now: Instant) {
        let Relay { socket, server, settled, .. } = &mut self.relays[relay];
        let (socket, server, had_settled) = (*socket, *server, std::mem::replace(settled, true));
        let stream = self.sockets.get(socket).map_or(0, |socket| socket.stream);
        if !had_settled || reason != EndReason::Released {
            let reason = ServerFailure::Turn(reason);
            self.event(AgentEvent::ServerFailed { stream: MediaStream(stream), server, reason });
        }
        self.locals.iter_mut().filter(|local| local.base == Base::Relay(relay)).for_each(|it| it.gone = true);
        self.fail_gone_pairs(now);
    }

    /// A server sees us at this address.
    fn reflexive(&mut self, socket: usize, server: SocketAddr, mapped: SocketAddr, now: Instant) {
        let related = self.sockets.get(socket).map(|socket| socket.address);
        let base = Base::Socket(socket);
        self.local_candidate(base, CandidateKind::ServerReflexive, mapped, Some(server), related, now);
        if self.keep_bindings_at.is_none() {
            self.keep_bindings_at = now.checked_add(self.config.keep_alive);
        }
    }

    /// A STUN server has answered.
    pub(super) fn gathered(
        &mut self,
        (stream, socket, server): (u32, usize, SocketAddr),
        message: &Message<'_>,
        now: Instant,
    ) {
        let mapped = message.get::<XorMappedAddress>().ok().flatten().map(|it| it.0);
        let mapped = mapped.or_else(|| message.get::<MappedAddress>().ok().flatten().map(|it| it.0));
        match (message.class(), mapped) {
            (Class::Success, Some(mapped)) => self.reflexive(socket, server, mapped, now),
            _ => {
                let error = message.get::<ErrorCodeAttribute<'_>>().ok().flatten();
                let reason =
                    error.map_or(ServerFailure::NoAnswer, |error| ServerFailure::Refused(error.code));
                self.event(AgentEvent::ServerFailed { stream: MediaStream(stream), server, reason });
            }
        }
    }

    pub(super) fn not_gathered(&mut self, stream: u32, server: SocketAddr) {
        let reason = ServerFailure::NoAnswer;
        self.event(AgentEvent::ServerFailed { stream: MediaStream(stream), server, reason });
    }

    /// Tells the end of gathering, once for each time that there was something to gather.
    pub(super) fn consider_gathering_finished(&mut self, number: u32, now: Instant) {
        let Some(stream) = self.streams.get(&number) else { return };
        if !stream.addresses_complete || stream.gathering_told {
            return;
        }
        if stream.gather_until.is_some_and(|until| until <= now) {
            self.leave_out_silent_servers(number, now);
        }
        let here = |socket: usize| {
            self.sockets.get(socket).is_some_and(|socket| socket.stream == number && !socket.gone)
        };
        let waits = self.tasks.iter().any(|task| here(task.socket()))
            || self.relays.iter().any(|relay| here(relay.socket) && !relay.settled)
            || self.transactions.any(|tag| matches!(tag, Tag::Gather { stream, .. } if *stream == number));
        if waits {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.gathering_told = true;
        }
        self.event(AgentEvent::GatheringFinished { stream: MediaStream(number) });
    }

    /// Nobody waits any longer for servers that have not answered.
    fn leave_out_silent_servers(&mut self, number: u32, now: Instant) {
        let sockets: Vec<usize> = (self.sockets.iter().enumerate())
            .filter(|(_, socket)| socket.stream == number)
            .map(|(place, _)| place)
            .collect();
        let mut silent = Vec::new();
        self.transactions.forget(|tag| match tag {
            Tag::Gather { stream, server, .. } if *stream == number => {
                silent.push(*server);
                true
            }
            _ => false,
        });
        // The table has no order that a seed would repeat.
        silent.sort();
        silent.into_iter().for_each(|server| self.not_gathered(number, server));
        self.tasks.retain(|task| !sockets.contains(&task.socket()));
        for relay in 0..self.relays.len() {
            if sockets.contains(&self.relays[relay].socket) && !self.relays[relay].settled {
                let _ = self.relays[relay].client.release(now);
                self.drain_relay(relay, now);
            }
        }
    }

    /// Keeps the bindings of reflexive candidates alive while it is open which pair will be used (RFC 8445 section 5.1.1.4).
    pub(super) fn keep_bindings(&mut self, now: Instant) {
        if self.keep_bindings_at.is_none_or(|at| at > now) {
            return;
        }
        let open = |number: u32| {
            let state = self.streams.get(&number).map(|stream| stream.state);
            state.is_some_and(|state| state < super::StreamState::Completed)
        };
        let mut wanted = Vec::new();
        for local in self.locals.iter().filter(|local| !local.gone && open(local.stream)) {
            if let (CandidateKind::ServerReflexive, Base::Socket(socket)) = (local.candidate.kind, local.base)
            {
                wanted.push(socket);
            }
        }
        wanted.dedup();
        let servers = self.config.stun_servers.clone();
        for socket in &wanted {
            let v4 = self.sockets.get(*socket).is_some_and(|socket| socket.address.is_ipv4());
            if let Some(server) = servers.iter().find(|server| server.is_ipv4() == v4) {
                // An indication is enough: nobody waits for an answer.
                let id = self.transaction_id();
                let indication = indication(id);
                self.transmit_by(Base::Socket(*socket), *server, &indication);
            }
        }
        self.keep_bindings_at = now.checked_add(self.config.keep_alive).filter(|_| !wanted.is_empty());
    }

    /// Sends through a relay; the peer is permitted first.
    pub(super) fn transmit_by_relay(&mut self, relay: usize, destination: SocketAddr, payload: &Bytes) {
        let now = self.latest;
        let Some(entry) = self.relays.get_mut(relay) else { return };
        if entry.client.permit(destination.ip(), now).is_err() {
            return;
        }
        let mut buffer = vec![0; payload.len().saturating_add(64)];
        let sending = entry.client.send(destination, payload, &mut buffer);
        // The permission goes out before what needs it.
        self.drain_relay(relay, now);
        if let Ok(sending) = sending {
            buffer.truncate(sending.length);
            self.outputs.push_back(Output::Transmit(crate::io::Transmit {
                source: Some(sending.source),
                destination: sending.destination,
                protocol: sending.protocol,
                stream: sending.stream,
                payload: Bytes::from(buffer),
            }));
        }
    }
}

fn binding_request(id: crate::stun::TransactionId) -> Bytes {
    let mut buffer = [0; 32];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, id);
    writer.fingerprint();
    let length = writer.finish().unwrap_or(0);
    Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())
}

pub(super) fn indication(id: crate::stun::TransactionId) -> Bytes {
    let mut buffer = [0; 32];
    let mut writer = Writer::new(&mut buffer, Class::Indication, Method::BINDING, id);
    writer.fingerprint();
    let length = writer.finish().unwrap_or(0);
    Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())
}
