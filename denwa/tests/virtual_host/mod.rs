//! Any signalling machine on a host of the virtual network: what `denwa::tokio` is to sockets, this is to `denwa_sim`.
#![allow(dead_code)]

use denwa::Seed;
use denwa::bridge::{self, Action, BridgeConfig, LegId, MediaBridge, Path};
use denwa::driver::{Answer, Ask, Machine, Output, PortId, PortNews};
use denwa::media::Wire;
use denwa_sim as sim;
use denwa_sip_core::io::{self, Question, RouteInfo};
use denwa_sip_core::{Input, Protocol, StreamId};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A machine, its media, and what the application does when it is told something.
pub(crate) struct Host<M: Machine> {
    pub(crate) machine: M,
    bridge: MediaBridge,
    react: React<M>,
    /// Everything the machine told, as the application wanted it noted.
    pub(crate) told: Vec<String>,
    outputs: VecDeque<sim::Output>,
    tokens: BTreeMap<u64, Asked>,
    next_token: u64,
    streams: sim::StreamNames<StreamId>,
    accepted: u64,
    legs: BTreeMap<SocketAddr, LegId>,
    leg_sockets: BTreeMap<LegId, (SocketAddr, SocketAddr)>,
    ports: BTreeMap<PortId, SocketAddr>,
    next_port: u16,
}

/// What the application does with an event: a line for the trace, or nothing.
pub(crate) type React<M> = Box<dyn FnMut(&mut M, <M as Machine>::Event, Instant) -> Option<String>>;

enum Asked {
    Route(io::QueryId),
    Resolve(io::QueryId),
    MyRoute(u64),
    MyAddresses(u64),
    Stream(StreamId),
}

impl<M: Machine> Host<M> {
    pub(crate) fn new(machine: M, seed: u8, now: Instant, react: React<M>) -> Self {
        let config = BridgeConfig::new(Duration::from_secs(1_700_000_000), now);
        Self {
            machine,
            bridge: MediaBridge::new(config, Seed([seed; 32]), now),
            react,
            told: Vec::new(),
            outputs: VecDeque::new(),
            tokens: BTreeMap::new(),
            next_token: 0,
            streams: sim::StreamNames::default(),
            accepted: 0,
            legs: BTreeMap::new(),
            leg_sockets: BTreeMap::new(),
            ports: BTreeMap::new(),
            next_port: 30_000,
        }
    }

    /// Does something with the machine now.
    pub(crate) fn act<T>(&mut self, now: Instant, act: impl FnOnce(&mut M, Instant) -> T) -> T {
        let result = act(&mut self.machine, now);
        self.drain(now);
        result
    }

    fn token(&mut self, asked: Asked) -> u64 {
        self.next_token += 1;
        self.tokens.insert(self.next_token, asked);
        self.next_token
    }

    fn datagram(
        &mut self,
        source: Option<SocketAddr>,
        destination: SocketAddr,
        bytes: impl Into<bytes::Bytes>,
    ) {
        self.outputs.push_back(sim::Output::Transmit(sim::Transmit::datagram(
            source,
            destination,
            bytes.into(),
        )));
    }

    fn drain(&mut self, now: Instant) {
        loop {
            let mut buffer = [0; 2048];
            while let Some(packet) = self.machine.next_packet(&mut buffer, now) {
                let source = self.ports.get(&packet.port).copied();
                for destination in [Some(packet.destination), packet.also].into_iter().flatten() {
                    self.datagram(source, destination, buffer[..packet.length].to_vec());
                }
            }
            let Some(output) = self.machine.poll_output() else { break };
            self.take(output, now);
            self.drain_bridge(now);
        }
        self.drain_bridge(now);
    }

    fn take(&mut self, output: Output<M::Event>, now: Instant) {
        match output {
            Output::Transmit(transmit) => match transmit.stream {
                Some(stream) => self.outputs.extend(self.streams.transmit(stream, transmit.payload)),
                None => self.datagram(transmit.source, transmit.destination, transmit.payload),
            },
            Output::OpenStream { stream, protocol, local, remote, .. } => {
                let token = self.token(Asked::Stream(stream));
                let source = local.map(|local| SocketAddr::new(local.ip(), 0));
                self.outputs.push_back(sim::Output::OpenStream {
                    token,
                    protocol: to_sim(protocol),
                    source,
                    destination: remote,
                });
            }
            Output::CloseStream { stream } => self.outputs.extend(self.streams.close(stream)),
            Output::Resolve { id, question } => match question {
                Question::Addresses(name) => {
                    let token = self.token(Asked::Resolve(id));
                    let kind = sim::RecordKind::A;
                    self.outputs.push_back(sim::Output::Resolve { token, name: name.to_string(), kind });
                }
                _ => self.machine.handle_input(Input::Resolved { id, answer: io::Answer::NotFound }, now),
            },
            Output::Route { id, destination } => {
                let token = self.token(Asked::Route(id));
                self.outputs.push_back(sim::Output::Route { token, destination: destination.ip() });
            }
            Output::Ask { question, what: Ask::Route(destination) } => {
                let token = self.token(Asked::MyRoute(question));
                self.outputs.push_back(sim::Output::Route { token, destination: destination.ip() });
            }
            Output::Ask { question, what: Ask::Addresses(name) } => {
                let token = self.token(Asked::MyAddresses(question));
                let kind = sim::RecordKind::A;
                self.outputs.push_back(sim::Output::Resolve { token, name, kind });
            }
            Output::Media(command) => self.bridge.handle_command(command, now),
            Output::OpenPort { port, address } => {
                let address = self.concrete(address);
                self.ports.insert(port, address);
                self.outputs.push_back(sim::Output::Bind { protocol: sim::Protocol::Udp, local: address });
                self.machine.handle_port(port, PortNews::Opened { address }, now);
            }
            Output::ClosePort { port } => {
                if let Some(local) = self.ports.remove(&port) {
                    self.outputs.push_back(sim::Output::Unbind { protocol: sim::Protocol::Udp, local });
                }
            }
            Output::SendFromPort { port, destination, payload } => {
                let source = self.ports.get(&port).copied();
                self.datagram(source, destination, payload);
            }
            Output::Event(event) => {
                if let Some(text) = (self.react)(&mut self.machine, event, now) {
                    self.told.push(text.clone());
                    self.outputs.push_back(sim::Output::event(text));
                }
            }
            Output::Stop => {}
        }
    }

    /// The system chooses port numbers where none is given.
    fn concrete(&mut self, address: SocketAddr) -> SocketAddr {
        if address.port() != 0 {
            return address;
        }
        self.next_port += 1;
        SocketAddr::new(address.ip(), self.next_port)
    }

    fn drain_bridge(&mut self, now: Instant) {
        while let Some(output) = self.bridge.poll_output() {
            match output {
                bridge::Output::Bind { leg, rtp, rtcp } => {
                    let (rtp, rtcp) = (self.concrete(rtp), self.concrete(rtcp));
                    for local in [rtp, rtcp] {
                        self.legs.insert(local, leg);
                        self.outputs.push_back(sim::Output::Bind { protocol: sim::Protocol::Udp, local });
                    }
                    self.leg_sockets.insert(leg, (rtp, rtcp));
                    self.bridge.handle_input(bridge::Input::Bound { leg, rtp, rtcp }, now);
                }
                bridge::Output::Unbind { leg } => {
                    if let Some((rtp, rtcp)) = self.leg_sockets.remove(&leg) {
                        for local in [rtp, rtcp] {
                            self.legs.remove(&local);
                            self.outputs
                                .push_back(sim::Output::Unbind { protocol: sim::Protocol::Udp, local });
                        }
                    }
                }
                bridge::Output::Transmit(transmit) => {
                    self.datagram(Some(transmit.source), transmit.destination, transmit.payload);
                }
                // Hosts of this network have no way to TURN servers but datagrams.
                bridge::Output::Wire { leg, wire: Wire::Open { stream, .. } } => {
                    let failed = bridge::Input::StreamClosed { leg, stream, was_open: false };
                    self.bridge.handle_input(failed, now);
                }
                bridge::Output::Wire { .. } => {}
                bridge::Output::Event(event) => {
                    self.machine.handle_media(event, now);
                    self.drain(now);
                }
            }
        }
    }

    fn media(&mut self, leg: LegId, remote: SocketAddr, payload: &[u8], now: Instant) {
        let mut buffer = payload.to_vec();
        buffer.resize(payload.len() + bridge::HEADROOM, 0);
        let action = self.bridge.receive(leg, Path::from(remote), &mut buffer, payload.len(), now);
        if let Action::Forward(forward) = action {
            let source = self.leg_sockets.get(&forward.leg).map(|(rtp, _)| *rtp);
            let bytes = forward.bytes.to_vec();
            for destination in [Some(forward.destination), forward.also].into_iter().flatten() {
                self.datagram(source, destination, bytes.clone());
            }
        }
    }
}

impl<M: Machine> sim::Machine for Host<M> {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        match input {
            sim::Input::Datagram { local, remote, payload } => {
                let port = self.ports.iter().find(|(_, address)| **address == local).map(|(port, _)| *port);
                if let Some(leg) = self.legs.get(&local).copied() {
                    self.media(leg, remote, payload, now);
                } else if let Some(port) = port {
                    self.machine.handle_port(port, PortNews::Datagram { remote, payload }, now);
                } else {
                    self.machine.handle_input(Input::Datagram { local, remote, payload }, now);
                }
            }
            sim::Input::StreamData { protocol, local, remote, payload } => {
                if let Some(stream) = self.streams.id(protocol, local, remote) {
                    self.machine.handle_input(Input::StreamData { stream, payload }, now);
                }
            }
            sim::Input::Unreachable { local, remote, .. } => {
                let leg = self.legs.get(&local).copied();
                let port = self.ports.iter().find(|(_, address)| **address == local).map(|(port, _)| *port);
                if let Some(leg) = leg {
                    self.bridge.handle_input(bridge::Input::Unreachable { leg, destination: remote }, now);
                } else if let Some(port) = port {
                    self.machine.handle_port(port, PortNews::Unreachable { destination: remote }, now);
                } else {
                    let (source, protocol) = (Some(local), Protocol::Udp);
                    self.machine
                        .handle_input(Input::Unreachable { source, destination: remote, protocol }, now);
                }
            }
            sim::Input::StreamOpened { token, protocol, local, remote, .. } => {
                let stream = match token.and_then(|token| self.tokens.remove(&token)) {
                    Some(Asked::Stream(stream)) => stream,
                    _ => {
                        self.accepted += 1;
                        StreamId::accepted(self.accepted)
                    }
                };
                self.streams.insert(stream, protocol, local, remote);
                let protocol = from_sim(protocol);
                let peer_identity = None;
                self.machine.handle_input(
                    Input::StreamOpened { stream, protocol, local, remote, peer_identity },
                    now,
                );
            }
            sim::Input::StreamFailed { token, .. } => {
                if let Some(Asked::Stream(stream)) = self.tokens.remove(&token) {
                    let reason = io::StreamFailure::Refused;
                    self.machine.handle_input(Input::StreamFailed { stream, reason }, now);
                }
            }
            sim::Input::StreamClosed { protocol, local, remote, .. } => {
                if let Some(stream) = self.streams.remove(protocol, local, remote) {
                    self.machine.handle_input(Input::StreamClosed { stream }, now);
                }
            }
            sim::Input::Resolved { token, answer, .. } => {
                let addresses: Vec<_> = answer
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|record| match record {
                        sim::Record::A(address) => Some((*address).into()),
                        _ => None,
                    })
                    .collect();
                match self.tokens.remove(&token) {
                    Some(Asked::Resolve(id)) => {
                        let time_to_live = Duration::from_secs(60);
                        let answer = if addresses.is_empty() {
                            io::Answer::NotFound
                        } else {
                            io::Answer::Addresses { addresses, time_to_live }
                        };
                        self.machine.handle_input(Input::Resolved { id, answer }, now);
                    }
                    Some(Asked::MyAddresses(question)) => {
                        self.machine.handle_answer(question, Answer::Addresses(addresses), now);
                    }
                    _ => {}
                }
            }
            sim::Input::Routed { token, route, .. } => {
                let route = route.map(|route| RouteInfo {
                    local: route.local,
                    interface: route.interface.to_string().into(),
                });
                match self.tokens.remove(&token) {
                    Some(Asked::Route(id)) => self.machine.handle_input(Input::Routed { id, route }, now),
                    Some(Asked::MyRoute(question)) => {
                        self.machine.handle_answer(question, Answer::Route(route), now);
                    }
                    _ => {}
                }
            }
            sim::Input::Provided { .. } => {}
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.machine.handle_timeout(now);
        }
        if self.bridge.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.bridge.handle_timeout(now);
            let mut buffer = [0; 2048];
            while let Some(out) = self.bridge.next_frame(&mut buffer, now) {
                let source = self.leg_sockets.get(&out.leg).map(|(rtp, _)| *rtp);
                self.datagram(source, out.destination, buffer[..out.length].to_vec());
            }
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<sim::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout().into_iter().chain(self.bridge.poll_timeout()).min()
    }
}

fn to_sim(protocol: Protocol) -> sim::Protocol {
    match protocol {
        Protocol::Udp => sim::Protocol::Udp,
        Protocol::Tcp => sim::Protocol::Tcp,
        Protocol::Tls => sim::Protocol::Tls,
        Protocol::Ws => sim::Protocol::WebSocket,
        Protocol::Wss => sim::Protocol::SecureWebSocket,
    }
}

fn from_sim(protocol: sim::Protocol) -> Protocol {
    match protocol {
        sim::Protocol::Udp => Protocol::Udp,
        sim::Protocol::Tcp => Protocol::Tcp,
        sim::Protocol::Tls => Protocol::Tls,
        sim::Protocol::WebSocket => Protocol::Ws,
        sim::Protocol::SecureWebSocket => Protocol::Wss,
    }
}
