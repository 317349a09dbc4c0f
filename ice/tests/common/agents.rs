//! Two ICE agents, a signalling path between them, and the networks they live in.

use super::*;
use denwa_ice::Agent;
use denwa_ice::agent::{
    Action, AgentConfig, AgentEvent, Credentials, LocalAddress, MediaStream, PairReport, StreamState,
};
use denwa_ice::candidate::{Candidate, CandidateTransport};
use denwa_ice::turn::client::ServerAddress;
use denwa_ice::turn::server::{CredentialSource, RelayRange, Users};
use denwa_sim::firewall::Firewall;
use denwa_sim::nat::NatConfig;
use denwa_sim::{HostId, Link, Network, Node, SegmentId};

/// An agent and its driver.
pub struct AgentNode {
    pub agent: Agent,
    pub stream: MediaStream,
    pub streams: Streams,
    pub outputs: VecDeque<sim::Output>,
    /// Events not yet carried to the other end, and all of them.
    pub fresh: Vec<AgentEvent>,
    pub events: Vec<(Instant, AgentEvent)>,
    pub media: Vec<(bool, Vec<u8>)>,
    now: Instant,
    questions: Vec<(u64, denwa_ice::QuestionId)>,
}

impl AgentNode {
    pub fn new(config: AgentConfig, components: u16, seed: [u8; 32], now: Instant) -> Self {
        let mut agent = Agent::new(config, Seed(seed), now);
        let stream = agent.add_stream(components);
        let life = Life::Begun(u64::from(stream.number()));
        let begun = sim::Output::Event { text: "stream added".to_owned(), life };
        Self {
            agent,
            stream,
            streams: Streams::default(),
            outputs: VecDeque::from([begun]),
            fresh: Vec::new(),
            events: Vec::new(),
            media: Vec::new(),
            now,
            questions: Vec::new(),
        }
    }

    /// Sends a packet of media; false when there is no way.
    pub fn send_media(&mut self, component: u16, data: &[u8]) -> bool {
        let mut buffer = [0; 2000];
        let Ok(sending) = self.agent.send(self.stream, component, data, &mut buffer) else { return false };
        let transmit = Transmit {
            source: Some(sending.source),
            destination: sending.destination,
            protocol: sending.protocol,
            stream: sending.stream,
            payload: Bytes::copy_from_slice(&buffer[..sending.length]),
        };
        self.outputs.extend(self.streams.transmit(transmit));
        true
    }

    pub fn state(&self) -> StreamState {
        self.agent.state(self.stream).unwrap()
    }

    pub fn report(&self) -> Vec<PairReport> {
        self.agent.report(self.stream)
    }

    /// The kinds of the pair that was chosen, ours and the peer's.
    pub fn path(&self) -> Option<PairReport> {
        self.report().into_iter().find(|report| report.selected)
    }
}

impl Machine for AgentNode {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        self.now = now;
        let media = &mut self.media;
        let mut take = |action: Action<'_>| {
            if let Action::Media { checked, payload, .. } = action {
                media.push((checked, payload.to_vec()));
            }
        };
        match input {
            sim::Input::Datagram { local, remote, payload } => {
                take(self.agent.receive(payload, local, remote, now))
            }
            sim::Input::StreamData { protocol, local, remote, payload } => {
                if let Some(stream) = self.streams.names.id(protocol, local, remote) {
                    self.agent.receive_stream(stream, payload, now, take);
                }
            }
            sim::Input::StreamOpened { token, protocol, local, remote, peer_identity } => {
                let stream = self.streams.opened(token, protocol, local, remote);
                let protocol = from_sim(protocol);
                let input = Input::StreamOpened { stream, protocol, local, remote, peer_identity };
                self.agent.handle_input(input, now);
            }
            sim::Input::StreamFailed { token, .. } => {
                if let Some(stream) = self.streams.asked(token) {
                    self.agent.handle_input(Input::StreamFailed { stream }, now);
                }
            }
            sim::Input::StreamClosed { protocol, local, remote, .. } => {
                if let Some(stream) = self.streams.names.remove(protocol, local, remote) {
                    self.agent.handle_input(Input::StreamClosed { stream }, now);
                }
            }
            sim::Input::Unreachable { local, remote, .. } => {
                self.agent.handle_input(Input::Unreachable { local, remote }, now);
            }
            sim::Input::Resolved { token, answer, .. } => {
                let addresses: Vec<IpAddr> = (answer.unwrap_or_default().iter())
                    .filter_map(|record| match record {
                        sim::Record::A(v4) => Some(IpAddr::V4(*v4)),
                        sim::Record::Aaaa(v6) => Some(IpAddr::V6(*v6)),
                        _ => None,
                    })
                    .collect();
                if let Some((_, question)) = self.questions.iter().find(|(number, _)| *number == token) {
                    let input = Input::Resolved { question: *question, addresses: &addresses };
                    self.agent.handle_input(input, now);
                }
            }
            sim::Input::Routed { .. } | sim::Input::Provided { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.agent.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<sim::Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        loop {
            return Some(match self.agent.poll_output()? {
                Output::Transmit(transmit) => match self.streams.transmit(transmit) {
                    Some(output) => output,
                    None => continue,
                },
                Output::OpenStream { stream, protocol, local, remote, .. } => {
                    self.streams.open(stream, protocol, local, remote)
                }
                Output::CloseStream { stream } => match self.streams.names.close(stream) {
                    Some(output) => output,
                    None => continue,
                },
                Output::Resolve { question, name } => {
                    self.questions.push((question.number(), question));
                    sim::Output::Resolve { token: question.number(), name, kind: sim::RecordKind::A }
                }
                Output::Route { .. } => continue,
                Output::Event(event) => {
                    let life = match &event {
                        AgentEvent::StreamEnded { stream, .. } => Life::Ended(u64::from(stream.number())),
                        _ => Life::None,
                    };
                    let text = format!("{event:?}");
                    self.fresh.push(event.clone());
                    self.events.push((self.now, event));
                    sim::Output::Event { text, life }
                }
            });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    fn holdings(&self) -> Option<usize> {
        Some(self.agent.holdings())
    }

    fn refuses(&mut self, _handle: u64, now: Instant) -> Option<bool> {
        Some(self.agent.end_of_remote_candidates(self.stream, now).is_err())
    }
}

/// What stands between a host and the Internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    Open,
    /// Endpoint-independent mapping and filtering.
    Independent,
    /// Endpoint-independent mapping, filtering by address.
    AddressRestricted,
    /// Endpoint-independent mapping, filtering by address and port.
    PortRestricted,
    /// Mapping and filtering by address.
    AddressDependent,
    /// Mapping and filtering by address and port.
    Symmetric,
    /// The same within a MAP-E port set.
    MapE,
    /// Two port-restricted boxes.
    Double,
    /// No UDP at all; TCP goes out.
    NoUdp,
    /// A router of its own behind a carrier's box that all of these share.
    SharedCarrier,
}

impl Access {
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::Independent,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::AddressDependent,
        Self::Symmetric,
        Self::MapE,
        Self::Double,
        Self::NoUdp,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "no NAT",
            Self::Independent => "EIM/EIF",
            Self::AddressRestricted => "EIM/ADF",
            Self::PortRestricted => "EIM/APDF",
            Self::AddressDependent => "ADM/ADF",
            Self::Symmetric => "APDM/APDF",
            Self::MapE => "MAP-E APDM",
            Self::Double => "double NAT",
            Self::NoUdp => "no UDP",
            Self::SharedCarrier => "shared carrier",
        }
    }

    fn config(self) -> NatConfig {
        match self {
            Self::Open | Self::NoUdp | Self::Independent | Self::SharedCarrier => NatConfig::full_cone(),
            Self::AddressRestricted => NatConfig::address_restricted(),
            Self::PortRestricted | Self::Double => NatConfig::port_restricted(),
            Self::AddressDependent => NatConfig::address_dependent(),
            Self::Symmetric => NatConfig::symmetric(),
            Self::MapE => {
                // 15 blocks of 16 ports: PSID offset 4, length 8, value 0x52.
                NatConfig::map_e(
                    (1..16_u16).map(|block| block * 4096 + 0x520..=block * 4096 + 0x52F).collect(),
                )
            }
        }
    }
}

/// Where one end lives.
#[derive(Debug, Clone, Copy)]
pub struct Home {
    pub access: Access,
    pub hairpin: bool,
    /// 1 or 2; with the same number both ends are behind the same box.
    pub site: u8,
    pub v6: bool,
    pub v4: bool,
}

impl Home {
    pub fn behind(access: Access, site: u8) -> Self {
        Self { access, hairpin: false, site, v6: false, v4: true }
    }
}

pub const STUN: &str = "198.51.100.1:3478";
pub const STUN6: &str = "[2001:db8:ffff::1]:3478";

pub struct Session {
    pub network: Network,
    pub internet: SegmentId,
    pub a: Node<AgentNode>,
    pub b: Node<AgentNode>,
    pub server: Node<ServerNode>,
    pub trickle: bool,
    pub signalling: Duration,
    pub hosts: [HostId; 2],
    sites: Vec<(u8, SegmentId)>,
    started: bool,
}

/// What both ends are told and where they live.
#[derive(Clone)]
pub struct Plan {
    pub homes: [Home; 2],
    pub configs: [AgentConfig; 2],
    pub components: u16,
    pub turn: bool,
    /// The TURN server is reached over TCP.
    pub turn_tcp: bool,
    pub stun: bool,
    pub trickle: bool,
    pub link: Link,
    pub seed: u64,
    pub tcp: bool,
}

impl Plan {
    pub fn between(a: Home, b: Home) -> Self {
        let controlled = AgentConfig { role: denwa_ice::agent::Role::Controlled, ..AgentConfig::default() };
        Self {
            homes: [a, b],
            configs: [AgentConfig::default(), controlled],
            components: 1,
            turn: false,
            turn_tcp: false,
            stun: true,
            trickle: true,
            link: Link::default(),
            seed: 1,
            tcp: false,
        }
    }

    pub fn start(&self) -> Session {
        let mut network = Network::new(self.seed);
        let internet = network.internet();
        network.set_link(internet, self.link.clone()).unwrap();
        let server = add_server(&mut network, internet);
        let mut sites = Vec::new();
        let mut nodes = Vec::new();
        let mut hosts = Vec::new();
        for (index, (home, config)) in self.homes.iter().zip(&self.configs).enumerate() {
            let host = settle(&mut network, internet, home, index as u8 + 1, &mut sites);
            let mut config = config.clone();
            config.gathering_patience = (!self.trickle).then_some(secs(5));
            if self.stun {
                config.stun_servers = vec![at(STUN), at(STUN6)];
            }
            if self.turn {
                let protocol = if self.turn_tcp { Protocol::Tcp } else { Protocol::Udp };
                config.turn_servers = [STUN, STUN6]
                    .map(|address| ServerAddress { address: at(address), protocol, name: None })
                    .map(|server| ClientConfig::new(server, "alice", "secret"))
                    .to_vec();
            }
            let (seed, now) = (network.seed(), network.now());
            let node = AgentNode::new(config, self.components, seed, now);
            nodes.push(network.add_machine(host, node).unwrap());
            hosts.push(host);
        }
        let mut session = Session {
            network,
            internet,
            a: nodes[0],
            b: nodes[1],
            server,
            trickle: self.trickle,
            signalling: ms(100),
            hosts: [hosts[0], hosts[1]],
            sites,
            started: false,
        };
        for (node, home, host) in [(session.a, self.homes[0], hosts[0]), (session.b, self.homes[1], hosts[1])]
        {
            session.add_addresses(node, &home, host, self.components, self.tcp);
        }
        session
    }
}

fn add_server(network: &mut Network, internet: SegmentId) -> Node<ServerNode> {
    let addresses = [ip("198.51.100.1"), ip("2001:db8:ffff::1")];
    let host = network.add_host("server", internet, &addresses).unwrap();
    let users = CredentialSource::Users(Users::from_iter([("alice", "secret")]));
    let relays =
        addresses.map(|local| RelayRange { local, external: local, ports: vec![50_000..=59_999] }).to_vec();
    let mut config = ServerConfig::new("denwa.example", users, relays);
    config.limits.stranger_burst_bytes = 100_000;
    let (seed, now) = (network.seed(), network.now());
    let node = network.add_machine(host, ServerNode::new(config, seed, now)).unwrap();
    for local in [STUN, STUN6] {
        network.bind(node, sim::Protocol::Udp, at(local)).unwrap();
        network.bind(node, sim::Protocol::Tcp, at(local)).unwrap();
    }
    node
}

/// Builds what stands between a host and the Internet, and the host.
fn settle(
    network: &mut Network,
    internet: SegmentId,
    home: &Home,
    index: u8,
    sites: &mut Vec<(u8, SegmentId)>,
) -> HostId {
    let name = if index == 1 { "a" } else { "b" };
    let site = home.site;
    let mut addresses = Vec::new();
    if home.access == Access::Open {
        if home.v4 {
            addresses.push(IpAddr::from([203, 0, 113, index]));
        }
        if home.v6 {
            addresses.push(format!("2001:db8:{index}::2").parse().unwrap());
        }
        return network.add_host(name, internet, &addresses).unwrap();
    }
    let known = sites.iter().find(|(number, _)| *number == site).map(|(_, segment)| *segment);
    let lan = known.unwrap_or_else(|| {
        let lan = build_site(network, internet, home, sites);
        sites.push((site, lan));
        lan
    });
    if home.v4 {
        addresses.push(IpAddr::from([10, site, 0, 10 + index]));
    }
    if home.v6 {
        addresses.push(format!("2001:db8:{site:x}00::1{index}").parse().unwrap());
    }
    let host = network.add_host(name, lan, &addresses).unwrap();
    if home.v6 {
        // IPv6 is not translated: the host has a cable of its own to the Internet's IPv6, with a firewall.
        let address = addresses.pop().unwrap();
        network.remove_address(host, 0, address).unwrap();
        let interface = network.attach(host, internet, &[address]).unwrap();
        network.add_middlebox(host, Firewall::answers_only(interface)).unwrap();
    }
    if home.access == Access::NoUdp {
        network.add_middlebox(host, Firewall::without_udp()).unwrap();
    }
    host
}

fn build_site(
    network: &mut Network,
    internet: SegmentId,
    home: &Home,
    sites: &mut Vec<(u8, SegmentId)>,
) -> SegmentId {
    let site = home.site;
    let mut config = home.access.config();
    if home.hairpin {
        config = config.hairpinning();
    }
    let lan_name = format!("lan{site}");
    let fast = Link::with_latency(ms(1));
    let lan = network.add_segment(&lan_name, &[format!("10.{site}.0.0/24").parse().unwrap()], fast.clone());
    let external = IpAddr::from([192, 0, 2, site]);
    let gateway = IpAddr::from([10, site, 0, 1]);
    let router = format!("router{site}");
    if home.access == Access::SharedCarrier {
        const CARRIER: u8 = 100;
        let known = sites.iter().find(|(number, _)| *number == CARRIER).map(|(_, segment)| *segment);
        let middle = known.unwrap_or_else(|| {
            let middle = network.add_segment("carrier", &["100.64.0.0/16".parse().unwrap()], fast);
            let inside = (middle, [IpAddr::from([100, 64, 0, 1])]);
            network.add_nat("carrier", (internet, &[external]), (inside.0, &inside.1), config).unwrap();
            sites.push((CARRIER, middle));
            middle
        });
        let inner = IpAddr::from([100, 64, site, 2]);
        network.add_nat(&router, (middle, &[inner]), (lan, &[gateway]), NatConfig::full_cone()).unwrap();
    } else if home.access == Access::Double {
        let middle = network.add_segment("carrier", &[format!("100.64.{site}.0/24").parse().unwrap()], fast);
        let (outer_gateway, inner) = (IpAddr::from([100, 64, site, 1]), IpAddr::from([100, 64, site, 2]));
        let carrier = format!("carrier{site}");
        network
            .add_nat(&carrier, (internet, &[external]), (middle, &[outer_gateway]), config.clone())
            .unwrap();
        network.add_nat(&router, (middle, &[inner]), (lan, &[gateway]), config).unwrap();
    } else {
        network.add_nat(&router, (internet, &[external]), (lan, &[gateway]), config).unwrap();
    }
    lan
}

impl Session {
    pub fn segment(&self, site: u8) -> SegmentId {
        self.sites.iter().find(|(number, _)| *number == site).unwrap().1
    }

    fn add_addresses(
        &mut self,
        node: Node<AgentNode>,
        home: &Home,
        host: HostId,
        components: u16,
        tcp: bool,
    ) {
        let mut locals = Vec::new();
        let index = if host == self.hosts[0] { 1 } else { 2 };
        let v4 = match home.access {
            Access::Open => IpAddr::from([203, 0, 113, index]),
            _ => IpAddr::from([10, home.site, 0, 10 + index]),
        };
        let v6: IpAddr = match home.access {
            Access::Open => format!("2001:db8:{index}::2").parse().unwrap(),
            _ => format!("2001:db8:{:x}00::1{index}", home.site).parse().unwrap(),
        };
        if home.v6 {
            locals.push(v6);
        }
        if home.v4 {
            locals.push(v4);
        }
        for component in 1..=components {
            for address in &locals {
                let socket = SocketAddr::new(*address, 40_000 + u16::from(index) * 100 + component);
                self.network.bind(node, sim::Protocol::Udp, socket).unwrap();
                self.network.with(node, |it, now| {
                    it.agent.add_local_address(it.stream, component, LocalAddress::udp(socket), now).unwrap();
                });
                if tcp {
                    self.network.bind(node, sim::Protocol::Tcp, socket).unwrap();
                    for transport in [CandidateTransport::TcpActive, CandidateTransport::TcpPassive] {
                        self.network.with(node, |it, now| {
                            let local = LocalAddress { address: socket, transport, cost: 0 };
                            it.agent.add_local_address(it.stream, component, local, now).unwrap();
                        });
                    }
                }
            }
        }
        self.network.with(node, |it, now| it.agent.all_addresses_added(it.stream, now).unwrap());
    }

    /// Exchanges credentials after one signalling delay, and candidates as they come (or all at the end).
    pub fn run(&mut self, duration: Duration) {
        let end = self.network.elapsed() + duration;
        if !self.started {
            self.started = true;
            if self.trickle {
                self.exchange_credentials(true);
            }
        }
        loop {
            self.carry();
            let more = self.network.run_until_true(end.saturating_sub(self.network.elapsed()), |network| {
                let fresh = |node| network.machine::<AgentNode>(node).is_some_and(|it| !it.fresh.is_empty());
                fresh(self.a) || fresh(self.b)
            });
            if !more {
                break;
            }
        }
        assert_eq!(self.network.trace().faults(), 0, "{}", self.network.trace());
    }

    /// Tells each end the other's credentials, after the signalling delay; B's come later by as much as an answer does.
    pub fn exchange_credentials(&mut self, both: bool) {
        let credentials =
            [self.a, self.b].map(|node| self.network.machine(node).unwrap().agent.credentials().clone());
        let lite = [self.a, self.b].map(|node| self.is_lite(node));
        let [of_a, of_b] = credentials;
        self.tell(self.b, of_a, lite[0], self.signalling);
        if both {
            self.tell(self.a, of_b, lite[1], self.signalling * 2);
        }
    }

    fn is_lite(&self, node: Node<AgentNode>) -> bool {
        format!("{:?}", self.network.machine(node).unwrap().agent).contains("lite: true, stun_servers")
    }

    fn tell(&mut self, node: Node<AgentNode>, credentials: Credentials, lite: bool, after: Duration) {
        self.network.schedule(self.network.elapsed() + after, move |network| {
            network.with(node, |it, now| {
                it.agent.set_remote_credentials(it.stream, &credentials, lite, now).unwrap();
            });
        });
    }

    /// Carries what was gathered to the other end.
    fn carry(&mut self) {
        for (from, to) in [(self.a, self.b), (self.b, self.a)] {
            let fresh = self.network.with(from, |it, _| std::mem::take(&mut it.fresh)).unwrap();
            let all: Vec<Candidate> = self.network.with(from, |it, _| gathered(it)).unwrap();
            let delay = if from == self.a { self.signalling } else { self.signalling * 2 };
            for event in fresh {
                match event {
                    AgentEvent::CandidateGathered { candidate, .. } if self.trickle => {
                        // As text, as it is carried in life.
                        let text = candidate.to_string();
                        self.network.schedule(self.network.elapsed() + delay, move |network| {
                            network.with(to, |it, now| {
                                let candidate = text.parse().unwrap();
                                it.agent.add_remote_candidate(it.stream, candidate, now).unwrap();
                            });
                        });
                    }
                    AgentEvent::GatheringFinished { .. } => {
                        let candidates = if self.trickle { Vec::new() } else { all.clone() };
                        let credentials = self.network.machine(from).unwrap().agent.credentials().clone();
                        let lite = self.is_lite(from);
                        let trickle = self.trickle;
                        self.network.schedule(self.network.elapsed() + delay, move |network| {
                            network.with(to, |it, now| {
                                for candidate in candidates {
                                    it.agent.add_remote_candidate(it.stream, candidate, now).unwrap();
                                }
                                if !trickle {
                                    it.agent
                                        .set_remote_credentials(it.stream, &credentials, lite, now)
                                        .unwrap();
                                }
                                it.agent.end_of_remote_candidates(it.stream, now).unwrap();
                            });
                        });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Runs until both ends have their pairs, or the time is over. How long it took.
    pub fn connect(&mut self, limit: Duration) -> Option<Duration> {
        let start = self.network.elapsed();
        while self.network.elapsed() < start + limit {
            self.run(ms(10));
            let done =
                |node| self.network.machine::<AgentNode>(node).unwrap().state() == StreamState::Completed;
            if done(self.a) && done(self.b) {
                return Some(self.network.elapsed() - start);
            }
        }
        None
    }

    pub fn node(&self, node: Node<AgentNode>) -> &AgentNode {
        self.network.machine(node).unwrap()
    }

    /// Media flows both ways, through what was chosen, and comes from where checks have been.
    pub fn assert_media(&mut self) {
        let components = 1;
        for (from, to) in [(self.a, self.b), (self.b, self.a)] {
            self.network.with(to, |it, _| it.media.clear());
            for _ in 0..20 {
                assert!(self.network.with(from, |it, _| it.send_media(components, b"\x80voice")).unwrap());
            }
            // Over TCP with losses the last packets take their time.
            for _ in 0..20 {
                self.run(ms(500));
                if self.node(to).media.len() >= 15 {
                    break;
                }
            }
            let media = &self.node(to).media;
            assert!(media.len() >= 5, "{} of 20 packets", media.len());
            assert!(media.iter().all(|(checked, data)| *checked && data == b"\x80voice"));
        }
    }
}

pub fn gathered(node: &AgentNode) -> Vec<Candidate> {
    let candidate = |event: &(Instant, AgentEvent)| match &event.1 {
        AgentEvent::CandidateGathered { candidate, .. } => Some(candidate.clone()),
        _ => None,
    };
    node.events.iter().filter_map(candidate).collect()
}

impl Session {
    /// After restarts: credentials and candidates again, as an offer and an answer carry them.
    pub fn renegotiate(&mut self) {
        self.exchange_credentials(true);
        for (from, to) in [(self.a, self.b), (self.b, self.a)] {
            let delay = if from == self.a { self.signalling } else { self.signalling * 2 };
            let candidates = gathered(self.node(from));
            self.network.schedule(self.network.elapsed() + delay, move |network| {
                network.with(to, |it, now| {
                    for candidate in candidates {
                        it.agent.add_remote_candidate(it.stream, candidate, now).unwrap();
                    }
                    it.agent.end_of_remote_candidates(it.stream, now).unwrap();
                });
            });
        }
    }

    pub fn with<R>(
        &mut self,
        node: Node<AgentNode>,
        command: impl FnOnce(&mut AgentNode, Instant) -> R,
    ) -> R {
        self.network.with(node, command).unwrap()
    }

    /// Events of a node that `like` picks, with virtual time.
    pub fn events(
        &self,
        node: Node<AgentNode>,
        like: impl Fn(&AgentEvent) -> bool,
    ) -> Vec<(Duration, AgentEvent)> {
        let begin = self.network.at(Duration::ZERO);
        let events = self.node(node).events.iter().filter(|(_, event)| like(event));
        events.map(|(at, event)| (at.saturating_duration_since(begin), event.clone())).collect()
    }
}
