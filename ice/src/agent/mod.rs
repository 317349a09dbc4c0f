//! The ICE agent (RFC 8445, 8421, 8838, 8863, 7675, 6544), without sockets.
//!
//! The five verbs, and commands. The driver lists interfaces and opens sockets; the agent is told of them by
//! [`add_local_address`](Agent::add_local_address), asks servers, and tells candidates as events. Once the peer's credentials and candidates
//! are there it checks pairs, and tells which pair each component has. Media does not queue: [`receive`](Agent::receive) looks at
//! a datagram in place, [`send`](Agent::send) writes into the caller's buffer what is to be sent, relay header included.
//!
//! One file for each mechanism: `gathering`, `check_list` (which pair next), `checker` (our checks), `responder` (theirs), `nomination`,
//! `consent`, `connections` (TCP candidates), `pairing`, `network_change`, `media`, `report`.

mod check_list;
mod checker;
mod config;
mod connections;
mod consent;
mod event;
mod gathering;
mod media;
mod network_change;
mod nomination;
mod pairing;
mod report;
mod responder;
mod state;

pub use config::{AgentConfig, AgentLimits, Policy, Role};
pub use event::{
    AgentEvent, AgentLimit, AgentMisuse, MediaStream, PairFailure, PairReport, PairState, ServerFailure,
    StreamEnd, StreamState,
};
pub use media::{Action, SendError, Sending, Way};
pub use state::Credentials;

use crate::candidate::{Candidate, CandidateAddress, CandidateTransport};
use crate::io::{Input, Output, Protocol, QuestionId, Seed, Transmit};
use crate::random::Generator;
use crate::stun::transaction::Due;
use crate::stun::{IntegrityKey, TransactionId, Transactions};
use bytes::Bytes;
use checker::Tag;
use connections::Connections;
use gathering::{Relay, Task};
use state::{Base, Local, RemoteCredentials, Socket, Stream};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

/// An address of the host that a socket is bound to, for a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress {
    /// The socket. For [`CandidateTransport::TcpActive`] only the address counts.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub transport: CandidateTransport,
    /// What using it costs: addresses with less are preferred (0 for a cable, more for a mobile network).
    pub cost: u8,
}

impl LocalAddress {
    /// A UDP socket.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self { address, transport: CandidateTransport::Udp, cost: 0 }
    }
}

/// An ICE agent.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    generator: Generator,
    role: Role,
    tie_breaker: u64,
    credentials: Credentials,
    key: IntegrityKey,
    /// Those before a restart, by which the peer may still ask for consent.
    previous: Option<(Credentials, IntegrityKey)>,
    sockets: Vec<Socket>,
    /// Places are never given to another candidate.
    locals: Vec<Local>,
    relays: Vec<Relay>,
    connections: Connections,
    streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    transactions: Transactions<Tag>,
    /// What foundations of our candidates stand for: kind, base address, server, transport.
    foundations: Vec<state::FoundationKey>,
    /// Foundations of the peer's candidates by their text.
    remote_foundations: Vec<String>,
    tasks: VecDeque<Task>,
    names: BTreeMap<QuestionId, (u32, Candidate)>,
    next_question: u64,
    /// When the next new transaction may be sent; `None` while there is none to send.
    tick_at: Option<Instant>,
    last_tick: Option<Instant>,
    /// Whose check list is next.
    turn: u32,
    keep_bindings_at: Option<Instant>,
    latest: Instant,
    outputs: VecDeque<Output<AgentEvent>>,
}

impl Agent {
    /// An agent with new credentials and no streams.
    #[must_use]
    pub fn new(config: AgentConfig, seed: Seed, now: Instant) -> Self {
        let mut generator = Generator::new(seed);
        let credentials = Credentials::draw(&mut generator);
        let key = IntegrityKey::short_term(&credentials.password);
        let role = if config.lite { Role::Controlled } else { config.role };
        Self {
            role,
            tie_breaker: generator.next_u64(),
            key,
            credentials,
            previous: None,
            sockets: Vec::new(),
            locals: Vec::new(),
            relays: Vec::new(),
            connections: Connections::default(),
            streams: BTreeMap::new(),
            next_stream: 0,
            transactions: Transactions::new(),
            foundations: Vec::new(),
            remote_foundations: Vec::new(),
            tasks: VecDeque::new(),
            names: BTreeMap::new(),
            next_question: 0,
            tick_at: None,
            last_tick: None,
            turn: 0,
            keep_bindings_at: None,
            latest: now,
            outputs: VecDeque::new(),
            generator,
            config,
        }
    }

    // ---- the five verbs ----

    /// What the network did.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let now = self.see(now);
        match input {
            Input::Datagram { local, remote, payload } => {
                // Media that comes this way is nobody's: use `receive`.
                let _ = self.receive(payload, local, remote, now);
            }
            Input::StreamData { stream, payload } => self.receive_stream(stream, payload, now, |_| {}),
            Input::StreamOpened { stream, protocol, local, remote, peer_identity } => {
                match self.relay_of(stream) {
                    Some(relay) => {
                        let input = Input::StreamOpened { stream, protocol, local, remote, peer_identity };
                        self.relays[relay].client.handle_input(input, now);
                        self.drain_relay(relay, now);
                    }
                    None => self.connection_opened(stream, local, remote, now),
                }
            }
            Input::StreamFailed { stream } => self.stream_lost(stream, true, now),
            Input::StreamClosed { stream } => self.stream_lost(stream, false, now),
            // Anybody can forge it, and a NAT that is not open yet sends it truly: time-outs decide.
            Input::Unreachable { .. } => {}
            Input::Resolved { question, addresses } => self.name_resolved(question, addresses, now),
            Input::Routed { .. } => {}
        }
        self.progress(now);
    }

    /// A deadline has come, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.see(now);
        for relay in 0..self.relays.len() {
            if self.relays[relay].client.poll_timeout().is_some_and(|at| at <= now) {
                self.relays[relay].client.handle_timeout(now);
                self.drain_relay(relay, now);
            }
        }
        self.resend(now);
        self.check_consent(now);
        self.keep_bindings(now);
        self.progress(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<AgentEvent>> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let relays = self.relays.iter().filter_map(|relay| relay.client.poll_timeout());
        let streams = self.streams.values().flat_map(|stream| self.stream_deadlines(stream));
        let own = [self.transactions.next_due(), self.tick_at, self.keep_bindings_at];
        relays.chain(streams).chain(own.into_iter().flatten()).min()
    }

    // ---- commands: our side ----

    /// Adds a stream with this many components (1 with RTP and RTCP on one port, else 2; at most 256).
    pub fn add_stream(&mut self, components: u16) -> MediaStream {
        let number = self.next_stream;
        self.next_stream = self.next_stream.wrapping_add(1);
        self.streams.insert(number, Stream::new(components.clamp(1, 256)));
        MediaStream(number)
    }

    /// Removes a stream, as when it turns out to be bundled with another. Its sockets are not the agent's any more.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`].
    pub fn remove_stream(&mut self, stream: MediaStream, now: Instant) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        let addresses: Vec<_> = (self.sockets.iter())
            .filter(|socket| socket.stream == stream.0 && !socket.gone)
            .map(|socket| socket.address)
            .collect();
        self.stream(stream)?;
        for address in addresses {
            self.forget_address(address, now);
        }
        self.streams.remove(&stream.0);
        self.transactions.forget(|tag| tag.stream() == Some(stream.0));
        self.event(AgentEvent::StreamEnded { stream, reason: StreamEnd::Removed });
        Ok(())
    }

    /// A socket is there for a component: it becomes a candidate, and the servers are asked from it. Any time, also during a call.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`], [`AgentMisuse::UnknownComponent`], [`AgentMisuse::AddressInUse`].
    pub fn add_local_address(
        &mut self,
        stream: MediaStream,
        component: u16,
        local: LocalAddress,
        now: Instant,
    ) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        let state = self.stream(stream)?;
        if !(1..=state.component_count()).contains(&component) {
            return Err(AgentMisuse::UnknownComponent);
        }
        let same = |socket: &Socket| {
            !socket.gone && socket.address == local.address && socket.transport == local.transport
        };
        if self.sockets.iter().any(|socket| same(socket) && socket.transport != CandidateTransport::TcpActive)
        {
            return Err(AgentMisuse::AddressInUse);
        }
        self.gather_from(stream.0, component, local, now);
        self.progress(now);
        Ok(())
    }

    /// No more addresses will come for now: when the servers have answered, [`AgentEvent::GatheringFinished`] comes.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`].
    pub fn all_addresses_added(&mut self, stream: MediaStream, now: Instant) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        let until = self.config.gathering_patience.and_then(|patience| now.checked_add(patience));
        let state = self.stream_mut(stream)?;
        (state.addresses_complete, state.gather_until) = (true, until);
        self.progress(now);
        Ok(())
    }

    /// A socket is gone: pairs that used it fail, and media goes by another pair that works, if there is one. Usually followed by a
    /// [`restart`](Self::restart).
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownAddress`].
    pub fn remove_local_address(&mut self, address: SocketAddr, now: Instant) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        if !self.sockets.iter().any(|socket| socket.address == address && !socket.gone) {
            return Err(AgentMisuse::UnknownAddress);
        }
        self.forget_address(address, now);
        self.progress(now);
        Ok(())
    }

    /// Begins anew with new credentials, as either end may at any time (RFC 8445 section 9): tell them to the peer, and give
    /// its new ones and its candidates. Until new pairs are found media keeps the old ones. `role` is the one that the new
    /// exchange gives; `None`: as it is.
    pub fn restart(&mut self, role: Option<Role>, now: Instant) {
        let now = self.see(now);
        if let Some(role) = role.filter(|_| !self.config.lite) {
            self.role = role;
        }
        let credentials = Credentials::draw(&mut self.generator);
        let key = IntegrityKey::short_term(&credentials.password);
        let old = std::mem::replace(&mut self.credentials, credentials);
        let old_key = std::mem::replace(&mut self.key, key);
        self.previous = Some((old, old_key));
        self.transactions.forget(|tag| matches!(tag, Tag::Check { .. }));
        for stream in self.streams.values_mut() {
            stream.restart();
        }
        self.remote_foundations.clear();
        for number in self.stream_numbers() {
            self.update_state(number);
        }
        self.progress(now);
    }

    /// Takes the role that offer and answer give, before there is anything of the peer's. A lite agent stays controlled.
    pub fn take_role(&mut self, role: Role) {
        if !self.config.lite {
            self.set_role(role);
        }
    }

    /// RTP and RTCP turned out to share a port (RFC 5761): components above this one are let go, sockets and all.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`].
    pub fn keep_components(
        &mut self,
        stream: MediaStream,
        components: u16,
        now: Instant,
    ) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        if components == 0 || self.stream(stream)?.component_count() <= components {
            return Ok(());
        }
        let surplus: Vec<_> = (self.sockets.iter())
            .filter(|it| it.stream == stream.0 && it.component > components && !it.gone)
            .map(|it| it.address)
            .collect();
        for address in surplus {
            self.forget_address(address, now);
        }
        let state = self.stream_mut(stream)?;
        state.keep_components(components);
        self.update_state(stream.0);
        self.progress(now);
        Ok(())
    }

    // ---- commands: the peer's side ----

    /// Another peer answers what we have told, as when a call was forked: what is known of the former is forgotten, and our
    /// credentials stay. Until new pairs are found media keeps the old ones.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`].
    pub fn forget_peer(&mut self, stream: MediaStream, now: Instant) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        self.stream_mut(stream)?.restart();
        self.transactions.forget(|tag| matches!(tag, Tag::Check { .. }) && tag.stream() == Some(stream.0));
        self.update_state(stream.0);
        self.progress(now);
        Ok(())
    }

    /// The peer's credentials (`ice-ufrag`, `ice-pwd`), and whether it is lite. Checks begin when there are candidates too.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`], [`AgentMisuse::BadCredentials`].
    pub fn set_remote_credentials(
        &mut self,
        stream: MediaStream,
        credentials: &Credentials,
        lite: bool,
        now: Instant,
    ) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        if !credentials.is_sound() {
            return Err(AgentMisuse::BadCredentials);
        }
        let give_up_at = now.checked_add(self.config.give_up_after);
        let state = self.stream_mut(stream)?;
        state.remote_credentials = Some(RemoteCredentials {
            fragment: credentials.fragment.clone(),
            key: IntegrityKey::short_term(&credentials.password),
            lite,
        });
        state.give_up_at = give_up_at;
        if lite && !self.config.lite {
            self.set_role(Role::Controlling);
        }
        self.take_early_checks(stream.0, now);
        self.conclude_between_lites(stream.0, now);
        self.update_state(stream.0);
        self.arm(now);
        self.progress(now);
        Ok(())
    }

    /// A candidate of the peer. The same one twice does no harm.
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`], [`AgentMisuse::UnknownComponent`], [`AgentMisuse::LimitReached`].
    pub fn add_remote_candidate(
        &mut self,
        stream: MediaStream,
        candidate: Candidate,
        now: Instant,
    ) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        let limits = self.config.limits;
        let state = self.stream(stream)?;
        if !(1..=state.component_count()).contains(&candidate.component) {
            return Err(AgentMisuse::UnknownComponent);
        }
        if state.remotes.len() >= limits.remote_candidates {
            return Err(AgentMisuse::LimitReached);
        }
        match candidate.address {
            CandidateAddress::Ip(_) => self.remote_candidate(stream.0, candidate, now),
            CandidateAddress::Name(ref name, _) => {
                if self.names.len() >= limits.names {
                    return Err(AgentMisuse::LimitReached);
                }
                let (question, name) = (QuestionId(self.next_question), name.clone());
                self.next_question = self.next_question.wrapping_add(1);
                self.names.insert(question, (stream.0, candidate));
                self.outputs.push_back(Output::Resolve { question, name });
            }
        }
        self.progress(now);
        Ok(())
    }

    /// The peer has no more candidates (end-of-candidates, or they all came with its description).
    ///
    /// # Errors
    /// [`AgentMisuse::UnknownStream`].
    pub fn end_of_remote_candidates(&mut self, stream: MediaStream, now: Instant) -> Result<(), AgentMisuse> {
        let now = self.see(now);
        self.stream_mut(stream)?.remote_ended = true;
        self.conclude_between_lites(stream.0, now);
        self.progress(now);
        Ok(())
    }

    // ---- questions ----

    /// Our credentials, to tell the peer.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Our role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// How a stream stands.
    #[must_use]
    pub fn state(&self, stream: MediaStream) -> Option<StreamState> {
        self.streams.get(&stream.0).map(|stream| stream.state)
    }

    /// How many entries peers have made the agent hold.
    #[must_use]
    pub fn holdings(&self) -> usize {
        let streams = self.streams.values().map(|it| it.list.len() + it.remotes.len() + it.early.len());
        streams.sum::<usize>() + self.connections.len() + self.names.len()
    }

    // ---- inside ----

    fn see(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn event(&mut self, event: AgentEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn stream(&self, stream: MediaStream) -> Result<&Stream, AgentMisuse> {
        self.streams.get(&stream.0).ok_or(AgentMisuse::UnknownStream)
    }

    fn stream_mut(&mut self, stream: MediaStream) -> Result<&mut Stream, AgentMisuse> {
        self.streams.get_mut(&stream.0).ok_or(AgentMisuse::UnknownStream)
    }

    fn stream_numbers(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    /// What follows from whatever has just happened: checks are sent, pairs nominated, states told.
    fn progress(&mut self, now: Instant) {
        for stream in self.stream_numbers() {
            self.consider_nomination(stream, now);
        }
        self.tick(now);
        for stream in self.stream_numbers() {
            self.consider_giving_up(stream, now);
            self.consider_gathering_finished(stream, now);
        }
    }

    fn resend(&mut self, now: Instant) {
        let mut again = Vec::new();
        let mut lost = Vec::new();
        self.transactions.handle_timeout(now, |id, due| match due {
            Due::Resend(tag, request, destination) => again.push((tag.clone(), request.clone(), destination)),
            Due::TimedOut(tag) => lost.push((id, tag)),
        });
        for (tag, request, destination) in again {
            if let Tag::Check { stream, pair, .. } = tag {
                self.count_request(stream, pair);
            }
            self.transmit_by(tag.base(), destination, &request);
        }
        for (id, tag) in lost {
            self.request_timed_out(id, &tag, now);
        }
    }

    /// Sends a control message from a base: a socket, a relayed address or a connection.
    fn transmit_by(&mut self, base: Base, destination: SocketAddr, payload: &Bytes) {
        match base {
            Base::Socket(socket) => {
                let Some(socket) = self.sockets.get(socket).filter(|socket| !socket.gone) else { return };
                if socket.transport.is_tcp() {
                    return self.transmit_on_connection(base, destination, payload);
                }
                self.outputs.push_back(Output::Transmit(Transmit {
                    source: Some(socket.address),
                    destination,
                    protocol: Protocol::Udp,
                    stream: None,
                    payload: payload.clone(),
                }));
            }
            Base::Relay(relay) => self.transmit_by_relay(relay, destination, payload),
        }
    }

    /// A new transaction's number.
    fn transaction_id(&mut self) -> TransactionId {
        self.generator.transaction_id()
    }
}
