//! Adapters that let the machines of this crate live in the virtual network.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod agents;
pub mod drivers;
pub mod kernel;

use bytes::Bytes;
use denwa_ice::turn::client::{Action as ClientAction, ClientConfig, ClientEvent};
use denwa_ice::turn::server::{Action, HEADROOM, ServerConfig, ServerEvent, ServerInput, ServerOutput};
use denwa_ice::turn::{Client, Server};
use denwa_ice::{Input, Output, Protocol, Seed, StreamId, Transmit};
use denwa_sim as sim;
use denwa_sim::{Life, Machine, StreamNames};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A seed that no other run has: real peers remember what they have seen.
pub fn fresh_seed() -> [u8; 32] {
    use std::hash::{BuildHasher, Hasher};
    let mut seed = [0; 32];
    for chunk in seed.chunks_exact_mut(8) {
        let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
        chunk.copy_from_slice(&number.to_le_bytes());
    }
    seed
}

/// The virtual network knows streams; DTLS is one whose messages keep their boundaries.
pub fn to_sim(protocol: Protocol) -> sim::Protocol {
    match protocol {
        Protocol::Udp => sim::Protocol::Udp,
        Protocol::Tcp => sim::Protocol::Tcp,
        Protocol::Tls => sim::Protocol::Tls,
        Protocol::Dtls => sim::Protocol::SecureWebSocket,
    }
}

pub fn from_sim(protocol: sim::Protocol) -> Protocol {
    match protocol {
        sim::Protocol::Udp => Protocol::Udp,
        sim::Protocol::Tcp | sim::Protocol::WebSocket => Protocol::Tcp,
        sim::Protocol::Tls => Protocol::Tls,
        sim::Protocol::SecureWebSocket => Protocol::Dtls,
    }
}

/// Streams of one machine: its numbers, and the network's names.
#[derive(Default)]
pub struct Streams {
    pub names: StreamNames<StreamId>,
    opening: Vec<(u64, StreamId)>,
    accepted: u64,
}

impl Streams {
    pub fn open(
        &mut self,
        stream: StreamId,
        protocol: Protocol,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> sim::Output {
        self.opening.push((stream.number(), stream));
        sim::Output::OpenStream {
            token: stream.number(),
            protocol: to_sim(protocol),
            source: local,
            destination: remote,
        }
    }

    pub fn opened(
        &mut self,
        token: Option<u64>,
        protocol: sim::Protocol,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> StreamId {
        let asked = token.and_then(|token| self.opening.iter().find(|(number, _)| *number == token));
        let stream = asked.map(|(_, stream)| *stream).unwrap_or_else(|| {
            self.accepted += 1;
            StreamId::accepted(self.accepted)
        });
        self.names.insert(stream, protocol, local, remote);
        stream
    }

    pub fn asked(&self, token: u64) -> Option<StreamId> {
        self.opening.iter().find(|(number, _)| *number == token).map(|(_, stream)| *stream)
    }

    pub fn transmit(&self, transmit: Transmit) -> Option<sim::Output> {
        match transmit.stream {
            Some(stream) => self.names.transmit(stream, transmit.payload),
            None => Some(sim::Output::Transmit(sim::Transmit {
                source: transmit.source,
                destination: transmit.destination,
                protocol: sim::Protocol::Udp,
                payload: transmit.payload,
            })),
        }
    }
}

/// A TURN client whose application writes down what it gets.
pub struct ClientNode {
    pub client: Client,
    pub streams: Streams,
    pub outputs: VecDeque<sim::Output>,
    pub events: Vec<ClientEvent>,
    pub data: Vec<(SocketAddr, Vec<u8>)>,
    /// Bytes of peers' TCP connections.
    pub peer_bytes: Vec<u8>,
}

impl ClientNode {
    pub fn new(config: ClientConfig, local: SocketAddr, seed: [u8; 32], now: Instant) -> Self {
        Self {
            client: Client::new(config, local, Seed(seed), now),
            streams: Streams::default(),
            outputs: VecDeque::new(),
            events: Vec::new(),
            data: Vec::new(),
            peer_bytes: Vec::new(),
        }
    }

    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut buffer = [0; 2000];
        let sending = self.client.send(peer, data, &mut buffer).unwrap();
        let transmit = Transmit {
            source: Some(sending.source),
            destination: sending.destination,
            protocol: sending.protocol,
            stream: sending.stream,
            payload: Bytes::copy_from_slice(&buffer[..sending.length]),
        };
        self.outputs.extend(self.streams.transmit(transmit));
    }

    pub fn relayed(&self) -> SocketAddr {
        self.client.relayed()[0]
    }
}

impl Machine for ClientNode {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        let data = &mut self.data;
        match input {
            sim::Input::Datagram { local, remote, payload } => {
                if let ClientAction::Relayed { peer, payload } =
                    self.client.receive(payload, (local, remote), now)
                {
                    data.push((peer, payload.to_vec()));
                }
            }
            sim::Input::StreamData { protocol, local, remote, payload } => {
                let Some(stream) = self.streams.names.id(protocol, local, remote) else { return };
                self.client.receive_stream(stream, payload, now, |action| {
                    if let ClientAction::Relayed { peer, payload } = action {
                        data.push((peer, payload.to_vec()));
                    }
                });
            }
            sim::Input::StreamOpened { token, protocol, local, remote, peer_identity } => {
                let stream = self.streams.opened(token, protocol, local, remote);
                let protocol = from_sim(protocol);
                self.client.handle_input(
                    Input::StreamOpened { stream, protocol, local, remote, peer_identity },
                    now,
                );
            }
            sim::Input::StreamFailed { token, .. } => {
                if let Some(stream) = self.streams.asked(token) {
                    self.client.handle_input(Input::StreamFailed { stream }, now);
                }
            }
            sim::Input::StreamClosed { protocol, local, remote, .. } => {
                if let Some(stream) = self.streams.names.remove(protocol, local, remote) {
                    self.client.handle_input(Input::StreamClosed { stream }, now);
                }
            }
            sim::Input::Unreachable { local, remote, .. } => {
                self.client.handle_input(Input::Unreachable { local, remote }, now);
            }
            sim::Input::Resolved { .. } | sim::Input::Routed { .. } | sim::Input::Provided { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<sim::Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        loop {
            return Some(match self.client.poll_output()? {
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
                Output::Resolve { .. } | Output::Route { .. } => continue,
                Output::Event(event) => {
                    let life = match event {
                        ClientEvent::Allocated { .. } => Life::Begun(0),
                        ClientEvent::Ended { .. } if self.events.iter().any(is_allocated) => Life::Ended(0),
                        _ => Life::None,
                    };
                    let text = format!("{event:?}");
                    self.events.push(event);
                    sim::Output::Event { text, life }
                }
            });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    fn refuses(&mut self, _handle: u64, now: Instant) -> Option<bool> {
        Some(self.client.permit(ip("192.0.2.1"), now).is_err())
    }
}

fn is_allocated(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Allocated { .. })
}

/// A TURN server and its driver.
pub struct ServerNode {
    pub server: Server,
    pub streams: Streams,
    pub outputs: VecDeque<sim::Output>,
    pub events: Vec<ServerEvent>,
    /// Users that the application knows, for `CredentialSource::Application`.
    pub users: Vec<(String, denwa_ice::turn::server::Secret)>,
    /// Ports that other programs hold.
    pub taken: Vec<u16>,
    pub dropped: Vec<&'static str>,
    /// Ports that are open for relaying.
    pub open: Vec<SocketAddr>,
    pending: VecDeque<Pending>,
}

enum Pending {
    Opened(SocketAddr),
    Failed(SocketAddr),
}

impl ServerNode {
    pub fn new(config: ServerConfig, seed: [u8; 32], now: Instant) -> Self {
        Self {
            server: Server::new(config, Seed(seed), now, UNIX_TIME),
            streams: Streams::default(),
            outputs: VecDeque::new(),
            events: Vec::new(),
            users: Vec::new(),
            taken: Vec::new(),
            dropped: Vec::new(),
            open: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    fn act(streams: &Streams, dropped: &mut Vec<&'static str>, action: Action<'_>) -> Option<sim::Output> {
        match action {
            Action::Forward { source, destination, protocol, stream, payload } => {
                streams.transmit(Transmit {
                    source: Some(source),
                    destination,
                    protocol,
                    stream,
                    payload: Bytes::copy_from_slice(payload),
                })
            }
            Action::Consumed => None,
            Action::Dropped(reason) => {
                dropped.push(reason);
                None
            }
        }
    }

    /// Does what the server wants of its driver.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.server.poll_output() {
            match output {
                ServerOutput::Transmit(transmit) => self.outputs.extend(self.streams.transmit(transmit)),
                ServerOutput::CloseStream { stream } => {
                    self.outputs.extend(self.streams.names.close(stream));
                }
                ServerOutput::OpenPort { address } => {
                    if self.taken.contains(&address.port()) {
                        self.pending.push_back(Pending::Failed(address));
                    } else {
                        let protocol = sim::Protocol::Udp;
                        self.open.push(address);
                        self.outputs.push_back(sim::Output::Bind { protocol, local: address });
                        self.pending.push_back(Pending::Opened(address));
                    }
                }
                ServerOutput::ClosePort { address } => {
                    let protocol = sim::Protocol::Udp;
                    assert!(self.open.contains(&address), "closes {address}, which is not open");
                    self.open.retain(|open| *open != address);
                    self.outputs.push_back(sim::Output::Unbind { protocol, local: address });
                }
                ServerOutput::Lookup { question, .. } => {
                    let question_text = question.number().to_string();
                    self.outputs
                        .push_back(sim::Output::Lookup { token: question.number(), question: question_text });
                }
                ServerOutput::Event(event) => {
                    let life = match &event {
                        ServerEvent::AllocationMade { allocation, .. } => Life::Begun(allocation.number()),
                        ServerEvent::AllocationEnded { allocation, .. } => Life::Ended(allocation.number()),
                        _ => Life::None,
                    };
                    self.outputs.push_back(sim::Output::Event { text: format!("{event:?}"), life });
                    self.events.push(event);
                }
            }
            while let Some(pending) = self.pending.pop_front() {
                let input = match pending {
                    Pending::Opened(address) => ServerInput::PortOpened { address },
                    Pending::Failed(address) => ServerInput::PortFailed { address },
                };
                self.server.handle_input(input, now);
            }
        }
    }
}

/// Some time in 2033.
pub const UNIX_TIME: Duration = Duration::from_secs(2_000_000_000);

impl Machine for ServerNode {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        match input {
            sim::Input::Datagram { local, remote, payload } => {
                let mut buffer = vec![0; HEADROOM];
                buffer.extend_from_slice(payload);
                let action = self.server.receive(&mut buffer, local, remote, now);
                let output = Self::act(&self.streams, &mut self.dropped, action);
                self.outputs.extend(output);
            }
            sim::Input::StreamData { protocol, local, remote, payload } => {
                let Some(stream) = self.streams.names.id(protocol, local, remote) else { return };
                let (streams, dropped, outputs) = (&self.streams, &mut self.dropped, &mut self.outputs);
                self.server.receive_stream(stream, payload, now, |action| {
                    outputs.extend(Self::act(streams, dropped, action));
                });
            }
            sim::Input::StreamOpened { token, protocol, local, remote, peer_identity } => {
                let stream = self.streams.opened(token, protocol, local, remote);
                let protocol = from_sim(protocol);
                let input = ServerInput::StreamOpened { stream, protocol, local, remote, peer_identity };
                self.server.handle_input(input, now);
            }
            sim::Input::StreamClosed { protocol, local, remote, .. } => {
                if let Some(stream) = self.streams.names.remove(protocol, local, remote) {
                    self.server.handle_input(ServerInput::StreamClosed { stream }, now);
                }
            }
            sim::Input::Unreachable { local, remote, .. } => {
                self.server.handle_input(ServerInput::Unreachable { local, remote, icmp: (3, 3) }, now);
            }
            sim::Input::Provided { token, .. } => {
                let question = denwa_ice::QuestionId::from_number(token);
                let user = self.users.first().map(|(name, secret)| (name.as_str(), secret.clone()));
                self.server.handle_input(ServerInput::Provided { question, user }, now);
            }
            sim::Input::StreamFailed { .. } | sim::Input::Resolved { .. } | sim::Input::Routed { .. } => {}
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<sim::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }

    fn holdings(&self) -> Option<usize> {
        Some(self.server.holdings())
    }

    fn refuses(&mut self, _handle: u64, _now: Instant) -> Option<bool> {
        None // a server has no commands
    }
}

/// Something on the Internet that sends and hears datagrams, and accepts streams.
#[derive(Default)]
pub struct Peer {
    pub outputs: VecDeque<sim::Output>,
    pub heard: Vec<(SocketAddr, Vec<u8>)>,
    pub stream_bytes: Vec<u8>,
    pub streams: Vec<(SocketAddr, SocketAddr)>,
}

impl Peer {
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        self.outputs.push_back(sim::Output::Transmit(sim::Transmit::datagram(Some(from), to, data.to_vec())));
    }
}

impl Machine for Peer {
    fn handle_input(&mut self, input: sim::Input<'_>, _now: Instant) {
        match input {
            sim::Input::Datagram { remote, payload, .. } => self.heard.push((remote, payload.to_vec())),
            sim::Input::StreamOpened { local, remote, .. } => self.streams.push((local, remote)),
            sim::Input::StreamData { payload, .. } => self.stream_bytes.extend_from_slice(payload),
            _ => {}
        }
    }
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_output(&mut self) -> Option<sim::Output> {
        self.outputs.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
