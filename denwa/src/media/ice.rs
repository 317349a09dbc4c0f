//! A stream's side of ICE: the agent, what the peer is told of it, and the way packets take.
//!
//! Candidates go with descriptions, not after them: they are gathered before the first one is written. A socket bound to no
//! particular address needs to be told by which one it is reached ([`IceConfig::address`]); others that lead to the same port, as of
//! a cloud's or a router's static translation, are told as well ([`IceConfig::also_known_as`]).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::seed::Generator;
use bytes::Bytes;
use denwa_ice::agent::{
    Action, Agent, AgentConfig, AgentEvent, Credentials, LocalAddress, MediaStream, PairReport, Policy, Role,
    StreamState, Way,
};
use denwa_ice::candidate::{CandidateAddress, CandidateKind};
use denwa_ice::turn::client::{ClientConfig, ServerAddress};
use denwa_ice::{Candidate, Input, Output, Protocol, QuestionId, StreamId};
use denwa_sdp::{AgreedIce, LocalIce};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How ICE is done here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceConfig {
    /// Only answers checks, as whoever has a public address may (RFC 8445 §2.5). Default: no.
    pub lite: bool,
    /// The address by which a socket is reached that is bound to all of them.
    pub address: Option<IpAddr>,
    /// Further addresses that lead to the same port.
    pub also_known_as: Vec<IpAddr>,
    /// STUN servers, which tell how a NAT shows us.
    pub stun_servers: Vec<SocketAddr>,
    /// TURN servers, which relay when nothing else works.
    pub turn_servers: Vec<TurnServer>,
    /// Everything goes by TURN servers: the peer never learns an address of ours. Default: no.
    pub relay_only: bool,
    /// How long servers are waited for before a description is written without what they would say. Default 3 s.
    pub patience: Duration,
}

impl Default for IceConfig {
    fn default() -> Self {
        Self {
            lite: false,
            address: None,
            also_known_as: Vec::new(),
            stun_servers: Vec::new(),
            turn_servers: Vec::new(),
            relay_only: false,
            patience: Duration::from_secs(3),
        }
    }
}

impl IceConfig {
    /// The lite end, for a server with an address that everybody reaches.
    #[must_use]
    pub fn lite() -> Self {
        Self { lite: true, ..Self::default() }
    }
}

/// A TURN server and what it knows us by.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// Where it is, and how it is spoken to.
    pub server: ServerAddress,
    /// Our name there.
    pub username: String,
    /// Our password.
    pub password: Zeroizing<String>,
}

impl TurnServer {
    /// A server on UDP.
    #[must_use]
    pub fn udp(address: SocketAddr, username: &str, password: &str) -> Self {
        Self::new(ServerAddress::udp(address), username, password)
    }

    /// A server on UDP, TCP or TLS.
    #[must_use]
    pub fn new(server: ServerAddress, username: &str, password: &str) -> Self {
        Self { server, username: username.to_owned(), password: Zeroizing::new(password.to_owned()) }
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer")
            .field("server", &self.server)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What ICE must know of what was agreed.
#[derive(Clone, PartialEq, Eq)]
pub struct IceParameters {
    /// The peer's user name fragment.
    pub fragment: String,
    /// The peer's password.
    pub password: String,
    /// The peer's candidates, as `a=candidate` has them.
    pub candidates: Vec<String>,
    /// Whether there will be no more.
    pub complete: bool,
    /// Whether the peer is a lite end.
    pub lite: bool,
    /// Whether this side controls.
    pub controlling: bool,
}

impl From<&AgreedIce> for IceParameters {
    fn from(agreed: &AgreedIce) -> Self {
        let trickles = agreed.options.iter().any(|option| option.eq_ignore_ascii_case("trickle"));
        Self {
            fragment: agreed.ufrag.clone(),
            password: agreed.password.clone(),
            candidates: agreed.candidates.clone(),
            complete: agreed.end_of_candidates || !trickles,
            lite: agreed.lite,
            controlling: agreed.controlling,
        }
    }
}

impl fmt::Debug for IceParameters {
    // Passwords stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceParameters")
            .field("fragment", &self.fragment)
            .field("candidates", &self.candidates)
            .field("lite", &self.lite)
            .field("controlling", &self.controlling)
            .finish_non_exhaustive()
    }
}

/// What ICE tells the stream.
#[derive(Debug)]
pub(super) enum IceNews {
    Transmit {
        source: SocketAddr,
        destination: SocketAddr,
        payload: Bytes,
    },
    Wire(Wire),
    /// Every address that can be described is known: the description can be written.
    Gathered,
    /// A component has its pair.
    Path {
        component: u16,
        remote: SocketAddr,
        words: String,
        relayed: bool,
    },
    /// No pair works.
    Failed(Vec<PairReport>),
    /// The peer does not answer any more.
    Lost,
}

/// What a TURN server on TCP or TLS, and candidates that are names, need besides datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Open a stream.
    Open {
        /// Its number from now on.
        stream: StreamId,
        /// How.
        protocol: Protocol,
        /// From which address, when that matters.
        local: Option<SocketAddr>,
        /// Where to.
        remote: SocketAddr,
        /// The name that the peer's certificate must have.
        server_name: Option<String>,
    },
    /// Send bytes on a stream.
    Send {
        /// Which.
        stream: StreamId,
        /// The bytes.
        payload: Bytes,
    },
    /// Close a stream.
    Close {
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
}

/// What ICE is told of a stream of [`Wire::Open`]: whom it leads to was seen to by whoever opened it.
pub(crate) const fn stream_opened(stream: StreamId, local: SocketAddr, remote: SocketAddr) -> Input<'static> {
    Input::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None }
}

/// What a datagram was.
pub(super) enum Judged {
    /// Media or DTLS at this place of the datagram, from there, for a component; and whether it is known to be the peer's.
    Payload {
        start: usize,
        length: usize,
        remote: SocketAddr,
        component: u16,
        checked: bool,
    },
    Taken,
    Useless,
}

pub(super) struct IceSide {
    agent: Agent,
    stream: MediaStream,
    also_known_as: Vec<IpAddr>,
    relay_only: bool,
    candidates: Vec<Candidate>,
    gathered: bool,
    /// Sockets of the components.
    bases: [Option<SocketAddr>; 2],
    remote: Option<IceParameters>,
    /// Since when a way to the peer is looked for, while none is found.
    looking_since: Option<Instant>,
    scratch: Vec<u8>,
    news: VecDeque<IceNews>,
}

impl IceSide {
    /// Begins to gather candidates. `bound` are the sockets of RTP and, when it has one, RTCP.
    pub(super) fn new(
        config: &IceConfig,
        bound: (SocketAddr, Option<SocketAddr>),
        random: &mut Generator,
        now: Instant,
    ) -> Self {
        let turn = |server: &TurnServer| {
            ClientConfig::new(server.server.clone(), &server.username, &server.password)
        };
        let agent_config = AgentConfig {
            lite: config.lite,
            stun_servers: config.stun_servers.clone(),
            turn_servers: config.turn_servers.iter().map(turn).collect(),
            policy: if config.relay_only { Policy::RelayOnly } else { Policy::All },
            gathering_patience: Some(config.patience),
            ..AgentConfig::default()
        };
        let mut agent = Agent::new(agent_config, denwa_ice::Seed(random.bytes()), now);
        let components = if bound.1.is_some() { 2 } else { 1 };
        let stream = agent.add_stream(components);
        let base = |bound: SocketAddr| match config.address {
            Some(address) if bound.ip().is_unspecified() => SocketAddr::new(address, bound.port()),
            _ => bound,
        };
        let bases = [Some(base(bound.0)), bound.1.map(base)];
        for (component, base) in [1, 2].into_iter().zip(bases) {
            let Some(base) = base else { continue };
            // The stream is new, and so are its addresses.
            let _ = agent.add_local_address(stream, component, LocalAddress::udp(base), now);
        }
        let _ = agent.all_addresses_added(stream, now);
        let mut side = Self {
            agent,
            stream,
            also_known_as: config.also_known_as.clone(),
            relay_only: config.relay_only,
            candidates: Vec::new(),
            gathered: false,
            bases,
            remote: None,
            looking_since: None,
            scratch: Vec::new(),
            news: VecDeque::new(),
        };
        side.drain(now);
        side
    }

    pub(super) fn is_gathered(&self) -> bool {
        self.gathered
    }

    /// What the peer is told of that many components.
    pub(super) fn local(&self, components: u16) -> LocalIce {
        let Credentials { fragment, password } = self.agent.credentials().clone();
        LocalIce {
            ufrag: fragment,
            password,
            candidates: (self.candidates.iter())
                .filter(|candidate| candidate.component <= components)
                .map(ToString::to_string)
                .collect(),
            complete: true,
        }
    }

    /// Where the peer is told to send when it knows no ICE: the best candidate of a component, a relayed one if need be.
    pub(super) fn default_address(&self, component: u16) -> Option<SocketAddr> {
        let of_kind = |kind| {
            let fits = |it: &&Candidate| it.component == component && it.kind == kind;
            self.candidates.iter().find(fits).and_then(|candidate| candidate.address.ip())
        };
        // A relayed address is the likeliest to be reached (RFC 8445 §5.1.4), but costs everybody without ICE a detour.
        of_kind(CandidateKind::ServerReflexive)
            .or_else(|| of_kind(CandidateKind::Host))
            .or_else(|| of_kind(CandidateKind::Relayed))
    }

    /// Whether the peer is another than before, or begins anew.
    pub(super) fn is_news(&self, fragment: &str, password: &str) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.fragment != fragment && remote.password != password)
    }

    /// New credentials, for a description that begins anew. Media goes on by the old way until there is a new one.
    pub(super) fn restart(&mut self, now: Instant) {
        self.remote = None;
        self.agent.restart(None, now);
        self.drain(now);
    }

    /// Whether what was agreed last has ICE.
    pub(super) fn is_in_use(&self) -> bool {
        self.remote.is_some()
    }

    /// Goes by what was agreed.
    pub(super) fn configure(&mut self, parameters: Option<&IceParameters>, is_muxed: bool, now: Instant) {
        let Some(parameters) = parameters else {
            self.remote = None;
            return;
        };
        if is_muxed {
            let _ = self.agent.keep_components(self.stream, 1, now);
            self.candidates.retain(|candidate| candidate.component == 1);
        }
        if self.remote.as_ref() == Some(parameters) {
            return;
        }
        let same = (self.remote.as_ref())
            .is_some_and(|it| it.fragment == parameters.fragment && it.password == parameters.password);
        if !same {
            if self.remote.is_some() {
                let _ = self.agent.forget_peer(self.stream, now);
            }
            self.looking_since = Some(now);
            let role = if parameters.controlling { Role::Controlling } else { Role::Controlled };
            self.agent.take_role(role);
            let credentials = Credentials::new(&parameters.fragment, &parameters.password);
            let told = self.agent.set_remote_credentials(self.stream, &credentials, parameters.lite, now);
            if told.is_err() {
                self.news.push_back(IceNews::Failed(Vec::new()));
            }
        }
        for text in &parameters.candidates {
            let text = text.strip_prefix("candidate:").unwrap_or(text);
            // What cannot be read is of a kind to come, and passed over (RFC 8839 §5.1); so is what exceeds a limit.
            if let Ok(candidate) = format!("candidate:{text}").parse::<Candidate>() {
                let _ = self.agent.add_remote_candidate(self.stream, candidate, now);
            }
        }
        if parameters.complete {
            let _ = self.agent.end_of_remote_candidates(self.stream, now);
        }
        self.remote = Some(parameters.clone());
        self.drain(now);
    }

    /// Judges a datagram that came to a component's socket.
    pub(super) fn receive(
        &mut self,
        component: u16,
        remote: SocketAddr,
        datagram: &mut [u8],
        now: Instant,
    ) -> Judged {
        let base = usize::from(component).checked_sub(1).and_then(|place| *self.bases.get(place)?);
        let Some(base) = base else { return Judged::Useless };
        let begin = datagram.as_ptr() as usize;
        let judged = match self.agent.receive(datagram, base, remote, now) {
            Action::Media { component, remote, checked, payload, .. } => {
                // The payload lies within the datagram.
                let start = (payload.as_ptr() as usize).saturating_sub(begin);
                return Judged::Payload { start, length: payload.len(), remote, component, checked };
            }
            Action::Consumed => Judged::Taken,
            Action::Dropped(_) => Judged::Useless,
        };
        self.drain(now);
        judged
    }

    /// Bytes of a stream came; each packet of the peer's in them is given to `each`.
    pub(super) fn receive_stream(
        &mut self,
        stream: StreamId,
        bytes: &mut [u8],
        now: Instant,
        mut each: impl FnMut(u16, SocketAddr, &mut [u8]),
    ) {
        self.agent.receive_stream(stream, bytes, now, |action| {
            if let Action::Media { component, remote, payload, .. } = action {
                each(component, remote, payload);
            }
        });
        self.drain(now);
    }

    pub(super) fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.agent.handle_input(input, now);
        self.drain(now);
    }

    /// Makes a packet of `length` octets at the start of `buffer` one that reaches the peer, and says by which way. `None`
    /// when there is none.
    #[inline]
    pub(super) fn wrap(&mut self, component: u16, buffer: &mut [u8], length: usize) -> Option<Sent> {
        match self.agent.way(self.stream, component).ok()? {
            Way::Direct { source, destination } => Some(Sent { source, destination, length, stream: None }),
            Way::Wrapped => {
                self.scratch.clear();
                self.scratch.extend_from_slice(buffer.get(..length)?);
                let sending = self.agent.send(self.stream, component, &self.scratch, buffer).ok()?;
                let denwa_ice::agent::Sending { length, source, destination, stream, .. } = sending;
                Some(Sent { source, destination, length, stream })
            }
        }
    }

    /// Sends a control datagram to the peer.
    pub(super) fn send(&mut self, component: u16, payload: &Bytes) {
        let mut buffer = payload.to_vec();
        buffer.resize(payload.len().saturating_add(ROOM), 0);
        let Some(sent) = self.wrap(component, &mut buffer, payload.len()) else { return };
        buffer.truncate(sent.length);
        let (source, destination, payload) = (sent.source, sent.destination, Bytes::from(buffer));
        self.news.push_back(match sent.stream {
            Some(stream) => IceNews::Wire(Wire::Send { stream, payload }),
            None => IceNews::Transmit { source, destination, payload },
        });
    }

    pub(super) fn is_base_of(&self, source: SocketAddr, component: u16) -> bool {
        usize::from(component).checked_sub(1).and_then(|place| *self.bases.get(place)?) == Some(source)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.drain(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    pub(super) fn poll(&mut self) -> Option<IceNews> {
        self.news.pop_front()
    }

    /// The call is over. That no way was found by then is told, unless it was too short to find one.
    pub(super) fn close(&mut self, now: Instant) {
        let since = self.looking_since.take().filter(|_| self.is_in_use());
        if since.is_some_and(|since| now.saturating_duration_since(since) >= LONG_ENOUGH) {
            self.news.push_back(IceNews::Failed(self.report()));
        }
    }

    pub(super) fn report(&self) -> Vec<PairReport> {
        self.agent.report(self.stream)
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.agent.poll_output() {
            let news = match output {
                Output::Transmit(transmit) => match (transmit.stream, transmit.source) {
                    (Some(stream), _) => IceNews::Wire(Wire::Send { stream, payload: transmit.payload }),
                    (None, Some(source)) => {
                        let (destination, payload) = (transmit.destination, transmit.payload);
                        IceNews::Transmit { source, destination, payload }
                    }
                    (None, None) => continue,
                },
                Output::OpenStream { stream, protocol, local, remote, server_name } => {
                    IceNews::Wire(Wire::Open { stream, protocol, local, remote, server_name })
                }
                Output::CloseStream { stream } => IceNews::Wire(Wire::Close { stream }),
                Output::Resolve { question, name } => IceNews::Wire(Wire::Resolve { question, name }),
                // Every socket is bound before the agent is told of it.
                Output::Route { question, .. } => {
                    self.agent.handle_input(Input::Routed { question, local: None }, now);
                    continue;
                }
                Output::Event(event) => match self.translate(event) {
                    Some(news) => news,
                    None => continue,
                },
            };
            self.news.push_back(news);
        }
    }

    fn translate(&mut self, event: AgentEvent) -> Option<IceNews> {
        match event {
            AgentEvent::CandidateGathered { candidate, .. } => {
                let aliases = self.aliases(&candidate);
                self.candidates.push(candidate);
                self.candidates.extend(aliases);
                None
            }
            AgentEvent::GatheringFinished { .. } => {
                let first = !std::mem::replace(&mut self.gathered, true);
                first.then_some(IceNews::Gathered)
            }
            AgentEvent::PairSelected { component, local, remote, .. } => {
                self.looking_since = None;
                Some(IceNews::Path {
                    component,
                    remote: remote.address.ip()?,
                    words: format!("{} to {}", words(&local), words(&remote)),
                    relayed: [&local, &remote].iter().any(|it| it.kind == CandidateKind::Relayed),
                })
            }
            AgentEvent::StateChanged { state: StreamState::Failed, .. } => {
                self.looking_since = None;
                Some(IceNews::Failed(self.report()))
            }
            AgentEvent::ConsentLost { component: 1, .. } => Some(IceNews::Lost),
            _ => None,
        }
    }

    /// A host candidate under the other addresses that lead to it.
    fn aliases(&self, candidate: &Candidate) -> Vec<Candidate> {
        let CandidateAddress::Ip(address) = candidate.address else { return Vec::new() };
        if candidate.kind != CandidateKind::Host || self.relay_only {
            return Vec::new();
        }
        let others = self.also_known_as.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
        let numbered = (1u32..).zip(others).filter(|(_, ip)| **ip != address.ip());
        numbered
            .map(|(number, ip)| Candidate {
                foundation: format!("{}a{number}", candidate.foundation),
                // Next to the one it stands for.
                priority: candidate.priority.saturating_sub(number.saturating_mul(256)),
                address: CandidateAddress::Ip(SocketAddr::new(*ip, address.port())),
                ..candidate.clone()
            })
            .collect()
    }
}

/// A packet that was made ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) length: usize,
    pub(crate) stream: Option<StreamId>,
}

/// Ways are usually found within a second; a peer that is not heard of after this long will hardly be.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// What a TURN server wants around a packet, at most.
const ROOM: usize = 64;

fn words(candidate: &Candidate) -> String {
    let kind = match candidate.kind {
        CandidateKind::Host => "host",
        CandidateKind::ServerReflexive => "server-reflexive",
        CandidateKind::PeerReflexive => "peer-reflexive",
        CandidateKind::Relayed => "relayed",
    };
    match &candidate.address {
        CandidateAddress::Ip(address) => format!("{kind} {address}"),
        CandidateAddress::Name(name, port) => format!("{kind} {name}:{port}"),
    }
}

impl fmt::Debug for IceSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceSide")
            .field("candidates", &self.candidates.len())
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
