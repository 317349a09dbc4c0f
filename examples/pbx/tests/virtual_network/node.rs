//! The exchange on the virtual network: a thin adapter, a media plane, and a store that is a list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use denwa::driver::{Answer, Ask};
use denwa_sim::{Input, Life, Machine, Output, Record, RecordKind, StreamNames, Transmit};
use denwa_sip_core::io::{
    Answer as DnsAnswer, Input as SipInput, Protocol, Question, RouteInfo, StreamFailure, StreamId,
};
use pbx::exchange::{self, Event, Exchange, ExchangeConfig, Seed};
use pbx::store::thread::{StoreAnswer, StoreRequest};
use pbx::store::{CallRecord, StoredBinding};

use crate::plane::Plane;

pub(crate) struct Node {
    pub(crate) exchange: Exchange,
    pub(crate) plane: Plane,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) bindings: BTreeMap<String, Vec<StoredBinding>>,
    pub(crate) events: Vec<Event>,
    pub(crate) stopped: bool,
    /// Whether the store can keep anything.
    pub(crate) store_works: bool,
    outputs: VecDeque<Output>,
    streams: StreamNames<StreamId>,
    opening: BTreeMap<u64, StreamId>,
    accepted: u64,
    begun: BTreeSet<u64>,
    latest: Instant,
}

impl Node {
    pub(crate) fn new(config: ExchangeConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut node = Self {
            exchange: Exchange::new(config, Seed(seed), now),
            plane: Plane::new(seed.map(|byte| byte ^ 0x55), now),
            records: Vec::new(),
            bindings: BTreeMap::new(),
            events: Vec::new(),
            stopped: false,
            store_works: true,
            outputs: VecDeque::new(),
            streams: StreamNames::default(),
            opening: BTreeMap::new(),
            accepted: 0,
            begun: BTreeSet::new(),
            latest: now,
        };
        for protocol in [denwa_sim::Protocol::Udp, denwa_sim::Protocol::Tcp] {
            let local = SocketAddr::from(([0, 0, 0, 0], 5060));
            node.outputs.push_back(Output::Bind { protocol, local });
        }
        node.settle(now);
        node
    }

    pub(crate) fn give(&mut self, input: exchange::Input<'_>, now: Instant) {
        let now = self.advance(now);
        self.exchange.handle_input(input, now);
        self.settle(now);
    }

    /// Two machines live here, and time goes backwards for neither.
    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn settle(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.exchange.poll_output() {
                self.take(output, now);
            }
            let events = self.plane.drain(now, &mut self.outputs);
            if events.is_empty() {
                return;
            }
            for event in events {
                self.exchange.handle_input(exchange::Input::Media(event), now);
            }
        }
    }

    fn take(&mut self, output: exchange::Output, now: Instant) {
        match output {
            exchange::Output::Transmit(transmit) => match transmit.stream {
                Some(stream) => self.outputs.extend(self.streams.transmit(stream, transmit.payload)),
                None => {
                    let source = transmit.source.filter(|source| !source.ip().is_unspecified());
                    let datagram = Transmit::datagram(source, transmit.destination, transmit.payload);
                    self.outputs.push_back(Output::Transmit(datagram));
                }
            },
            exchange::Output::OpenStream { stream, local, remote, .. } => {
                let token = self.opening.len() as u64 + 1_000_000 * (1 + self.accepted);
                self.opening.insert(token, stream);
                let source = local.map(|local| SocketAddr::new(local.ip(), 0));
                let protocol = denwa_sim::Protocol::Tcp;
                self.outputs.push_back(Output::OpenStream { token, protocol, source, destination: remote });
            }
            exchange::Output::CloseStream { stream } => self.outputs.extend(self.streams.close(stream)),
            exchange::Output::Resolve { id, question } => {
                let Question::Addresses(name) = question else {
                    let input = SipInput::Resolved { id, answer: DnsAnswer::NotFound };
                    return self.exchange.handle_input(exchange::Input::Sip(input), now);
                };
                let name = name.to_string();
                self.outputs.push_back(Output::Resolve { token: id.0 << 1, name, kind: RecordKind::A });
            }
            exchange::Output::Route { id, destination } => {
                self.outputs.push_back(Output::Route { token: id.0 << 1, destination: destination.ip() });
            }
            exchange::Output::Ask { question, what } => self.outputs.push_back(match what {
                Ask::Route(destination) => {
                    Output::Route { token: question << 1 | 1, destination: destination.ip() }
                }
                Ask::Addresses(name) => {
                    Output::Resolve { token: question << 1 | 1, name, kind: RecordKind::A }
                }
            }),
            exchange::Output::Media(command) => self.plane.command(command, now),
            exchange::Output::Store(request) => self.store(request, now),
            // Nobody asks or traces here.
            exchange::Output::Answer { .. }
            | exchange::Output::Traced { .. }
            | exchange::Output::Cabinet(_)
            | exchange::Output::Note(_) => {}
            exchange::Output::Event(event) => {
                let life = match &event {
                    Event::CallBegan { call, .. } => Life::Begun(*call),
                    // A call refused at once never began.
                    Event::CallEnded { call, .. } if self.begun.remove(call) => Life::Ended(*call),
                    _ => Life::None,
                };
                if let Life::Begun(call) = life {
                    self.begun.insert(call);
                }
                self.outputs.push_back(Output::Event { text: event.to_string(), life });
                self.events.push(event);
            }
            exchange::Output::Stop => self.stopped = true,
        }
    }

    fn store(&mut self, request: StoreRequest, now: Instant) {
        match request {
            StoreRequest::PutRegistrations { id, number, bindings } => {
                let outcome = if self.store_works { Ok(()) } else { Err("the disk is full".to_owned()) };
                if self.store_works {
                    self.bindings.insert(number, bindings);
                }
                let answer = StoreAnswer::Registrations { id, outcome };
                self.exchange.handle_input(exchange::Input::Stored(answer), now);
            }
            StoreRequest::PutSetting { .. } | StoreRequest::MoveClock(_) => {}
            StoreRequest::PutCall(record) => self.records.push(Arc::unwrap_or_clone(record)),
        }
    }
}

impl Machine for Node {
    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let now = self.advance(now);
        let input = match input {
            Input::Datagram { local, remote, payload } if self.plane.owns(local) => {
                self.plane.datagram(local, remote, payload, now, &mut self.outputs);
                return self.settle(now);
            }
            Input::Datagram { local, remote, payload } => SipInput::Datagram { local, remote, payload },
            Input::StreamData { protocol, local, remote, payload } => {
                let Some(stream) = self.streams.id(protocol, local, remote) else { return };
                SipInput::StreamData { stream, payload }
            }
            Input::Unreachable { local, remote, .. } => {
                if self.plane.owns(local) {
                    return;
                }
                SipInput::Unreachable { source: Some(local), destination: remote, protocol: Protocol::Udp }
            }
            Input::StreamOpened { token, protocol, local, remote, .. } => {
                let stream = token.and_then(|token| self.opening.remove(&token)).unwrap_or_else(|| {
                    self.accepted += 1;
                    StreamId::accepted(self.accepted)
                });
                self.streams.insert(stream, protocol, local, remote);
                SipInput::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None }
            }
            Input::StreamFailed { token, .. } => {
                let Some(stream) = self.opening.remove(&token) else { return };
                SipInput::StreamFailed { stream, reason: StreamFailure::Refused }
            }
            Input::StreamClosed { protocol, local, remote, .. } => {
                let Some(stream) = self.streams.remove(protocol, local, remote) else { return };
                SipInput::StreamClosed { stream }
            }
            Input::Resolved { token, answer, .. } => {
                let addresses: Vec<IpAddr> = answer.unwrap_or_default().iter().filter_map(address).collect();
                if token & 1 == 1 {
                    let answer = Answer::Addresses(addresses);
                    return self.give(exchange::Input::Answered { question: token >> 1, answer }, now);
                }
                let time_to_live = std::time::Duration::from_secs(60);
                let answer = DnsAnswer::Addresses { addresses, time_to_live };
                SipInput::Resolved { id: denwa_sip_core::io::QueryId(token >> 1), answer }
            }
            Input::Routed { token, route, .. } => {
                let route = route
                    .map(|route| RouteInfo { local: route.local, interface: Arc::from(&*route.interface) });
                if token & 1 == 1 {
                    let answer = Answer::Route(route);
                    return self.give(exchange::Input::Answered { question: token >> 1, answer }, now);
                }
                SipInput::Routed { id: denwa_sip_core::io::QueryId(token >> 1), route }
            }
            Input::Provided { .. } => return,
        };
        self.give(exchange::Input::Sip(input), now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.exchange.handle_timeout(now);
        self.settle(now);
        // Last, for what began just now owes its first packet at once.
        self.plane.handle_timeout(now, &mut self.outputs);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.exchange.poll_timeout(), self.plane.poll_timeout()].into_iter().flatten().min()
    }

    fn holdings(&self) -> Option<usize> {
        let counts = self.exchange.counts();
        Some(
            counts.calls
                + counts.ports
                + counts.sip.calls
                + counts.sip.dialogs
                + counts.sip.requests
                + counts.sip.servers,
        )
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match record {
        Record::A(address) => Some((*address).into()),
        Record::Aaaa(address) => Some((*address).into()),
        _ => None,
    }
}
