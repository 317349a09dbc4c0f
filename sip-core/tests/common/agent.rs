//! A user agent of nothing but transactions, on the virtual network: it sends requests, answers those that come, and
//! keeps count of what began and what ended.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_sim::{Life, Machine, StreamNames};
use denwa_sip_core::{
    Method, Protocol, Request, Response, Seed, StatusCode, StreamId,
    config::{Listener, TransactionConfig},
    io::{QueryId, RouteInfo, StreamFailure},
    transaction::{
        ClientId, EndReason, SendOptions, ServerId, TransactionCounts, TransactionEvent, Transactions,
    },
    transport::Target,
};

/// What an agent does with the requests it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answering {
    /// 200 to everything, at once.
    AtOnce,
    /// INVITEs ring, then are accepted, refused, or left ringing, by turns.
    AsPeopleDo,
    /// Nothing is answered.
    Never,
}

enum Plan {
    Respond(ServerId, Box<Request>, u16),
    /// A 2xx is repeated until its ACK comes.
    Repeat(ServerId, Box<Response>, Duration),
    Cancel(ClientId),
}

/// See the file's head.
pub(crate) struct Agent {
    pub(crate) layer: Transactions,
    pub(crate) answering: Answering,
    address: SocketAddr,
    outbox: VecDeque<denwa_sim::Output>,
    plans: BTreeMap<(Instant, u64), Plan>,
    number: u64,
    latest: Instant,
    accepted: u64,
    opening: BTreeMap<u64, StreamId>,
    streams: StreamNames<StreamId>,
    pub(crate) clients: BTreeSet<ClientId>,
    pub(crate) servers: BTreeSet<ServerId>,
    pub(crate) outcomes: Vec<EndReason>,
    pub(crate) finals: usize,
    pub(crate) broken: Vec<String>,
}

impl Agent {
    pub(crate) fn new(address: SocketAddr, seed: [u8; 32], now: Instant) -> Self {
        let listeners =
            [Protocol::Udp, Protocol::Tcp].map(|protocol| Listener::new(protocol, address)).to_vec();
        Self::with(TransactionConfig::new(listeners), seed, now)
    }

    pub(crate) fn with(config: TransactionConfig, seed: [u8; 32], now: Instant) -> Self {
        Self {
            address: config.listeners[0].local,
            layer: Transactions::new(config, Seed(seed), now),
            answering: Answering::AsPeopleDo,
            outbox: VecDeque::new(),
            plans: BTreeMap::new(),
            number: 0,
            latest: now,
            accepted: 0,
            opening: BTreeMap::new(),
            streams: StreamNames::default(),
            clients: BTreeSet::new(),
            servers: BTreeSet::new(),
            outcomes: Vec::new(),
            finals: 0,
            broken: Vec::new(),
        }
    }

    pub(crate) fn counts(&self) -> TransactionCounts {
        self.layer.counts()
    }

    /// Sends a request; an INVITE perhaps to be cancelled later.
    pub(crate) fn send(
        &mut self,
        method: Method,
        to: SocketAddr,
        protocol: Protocol,
        cancel_after: Option<Duration>,
        now: Instant,
    ) {
        let now = self.clock(now);
        self.number += 1;
        let request = Request::builder(method.clone(), format_args!("sip:user@{to}"))
            .header("Max-Forwards", 70)
            .header("From", format_args!("<sip:me@{}>;tag=f{}", self.address, self.number))
            .header("To", format_args!("<sip:user@{to}>"))
            .header("Call-ID", format_args!("call-{}-{}", self.number, self.address.port()))
            .header("CSeq", format_args!("1 {method}"))
            .header("Contact", format_args!("<sip:me@{}>", self.address))
            .finish()
            .unwrap();
        let target = Target::address(protocol, to);
        if let Ok(id) = self.layer.send_request(request, target, SendOptions::default(), now) {
            self.clients.insert(id);
            self.outbox_event(format!("{method} sent"), Life::Begun(client_handle(id)));
            if let Some(after) = cancel_after {
                self.plan(now + after, Plan::Cancel(id));
            }
        }
        self.drain(now);
    }

    /// The adapter has deadlines of its own, so it keeps the second law itself.
    fn clock(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn plan(&mut self, at: Instant, plan: Plan) {
        self.number += 1;
        self.plans.insert((at, self.number), plan);
    }

    fn outbox_event(&mut self, text: String, life: Life) {
        self.outbox.push_back(denwa_sim::Output::Event { text, life });
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.layer.poll_output() {
            self.on_output(output, now);
        }
    }

    fn on_output(&mut self, output: denwa_sip_core::Output<TransactionEvent>, now: Instant) {
        use denwa_sip_core::Output;
        match output {
            Output::Transmit(transmit) => {
                let sent = match transmit.stream {
                    Some(stream) => self.streams.transmit(stream, transmit.payload),
                    None => Some(denwa_sim::Output::Transmit(denwa_sim::Transmit::datagram(
                        transmit.source,
                        transmit.destination,
                        transmit.payload,
                    ))),
                };
                self.outbox.extend(sent);
            }
            Output::OpenStream { stream, protocol, remote, .. } => {
                self.number += 1;
                self.opening.insert(self.number, stream);
                let (token, protocol) = (self.number, to_sim(protocol));
                self.outbox.push_back(denwa_sim::Output::OpenStream {
                    token,
                    protocol,
                    source: None,
                    destination: remote,
                });
            }
            Output::CloseStream { stream } => {
                let close = self.streams.close(stream);
                self.outbox.extend(close);
            }
            Output::Route { id, destination } => {
                self.outbox
                    .push_back(denwa_sim::Output::Route { token: id.0, destination: destination.ip() });
            }
            Output::Resolve { .. } | Output::Lookup { .. } => {
                self.broken.push("asked for what was not needed".into())
            }
            Output::Event(event) => self.on_event(event, now),
        }
    }

    fn on_event(&mut self, event: TransactionEvent, now: Instant) {
        match event {
            TransactionEvent::Request { transaction, request, .. } => {
                if !self.servers.insert(transaction) {
                    self.broken.push(format!("{transaction:?} began twice"));
                }
                self.outbox_event(
                    format!("{} came", request.method()),
                    Life::Begun(server_handle(transaction)),
                );
                self.on_request(transaction, request, now);
            }
            TransactionEvent::Cancelled { transaction, .. } => self.answer_cancelled(transaction, now),
            TransactionEvent::Ack { request, .. } => self.on_ack(&request),
            TransactionEvent::ServerEnded { transaction, reason } => {
                if !self.servers.remove(&transaction) {
                    self.broken.push(format!("{transaction:?} ended twice"));
                }
                self.plans.retain(|_, plan| !plan.is_of(transaction));
                self.outbox_event(format!("server {reason:?}"), Life::Ended(server_handle(transaction)));
                self.outcomes.push(reason);
            }
            TransactionEvent::Response { transaction, response, .. } => {
                self.on_response(transaction, &response, now)
            }
            TransactionEvent::StrayResponse { response, .. } => self.acknowledge(&response, now),
            TransactionEvent::ClientEnded { transaction, reason, .. } => {
                if !self.clients.remove(&transaction) {
                    self.broken.push(format!("{transaction:?} ended twice"));
                }
                self.outbox_event(format!("client {reason:?}"), Life::Ended(client_handle(transaction)));
                self.outcomes.push(reason);
            }
            other => self.outbox_event(format!("{other:?}").chars().take(60).collect(), Life::None),
        }
    }

    fn on_request(&mut self, id: ServerId, request: Request, now: Instant) {
        self.number += 1;
        let request = Box::new(request);
        match (self.answering, request.method()) {
            (Answering::Never, _) => {}
            (Answering::AsPeopleDo, Method::Invite) => {
                let plans: &[(u64, u16)] = match self.number % 4 {
                    0 => &[(20, 180), (900, 200)],
                    1 => &[(250, 183), (3000, 486)],
                    2 => &[(0, 200)],
                    _ => &[(100, 180)],
                };
                for (after, status) in plans {
                    self.plan(
                        now + Duration::from_millis(*after),
                        Plan::Respond(id, request.clone(), *status),
                    );
                }
                if plans.len() == 1 && plans[0].1 == 180 {
                    // It rings until the caller gives up, or for half a minute.
                    self.plan(now + Duration::from_secs(30), Plan::Respond(id, request, 480));
                }
            }
            _ => self.respond(id, &request, 200, now),
        }
    }

    fn respond(&mut self, id: ServerId, request: &Request, status: u16, now: Instant) {
        let status = StatusCode::new(status).unwrap();
        let response =
            request.response(status).to_tag("tag").header("Contact", "<sip:me@here>").finish().unwrap();
        // Over already: cancelled, or given up.
        if self.layer.respond(id, &response, now).is_ok()
            && status.is_success()
            && *request.method() == Method::Invite
        {
            self.plan(
                now + Duration::from_millis(500),
                Plan::Repeat(id, Box::new(response), Duration::from_millis(500)),
            );
        }
    }

    fn answer_cancelled(&mut self, id: ServerId, now: Instant) {
        let planned = self.plans.iter().find_map(|(key, plan)| match plan {
            Plan::Respond(other, request, _) if *other == id => Some((*key, request.clone())),
            _ => None,
        });
        if let Some((_, request)) = planned {
            self.plans.retain(|_, plan| !plan.is_of(id));
            self.respond(id, &request, 487, now);
        }
    }

    fn on_ack(&mut self, request: &Request) {
        let call_id = request.call_id().unwrap().to_owned();
        self.plans.retain(
            |_, plan| !matches!(plan, Plan::Repeat(_, response, _) if response.call_id() == Ok(&call_id)),
        );
    }

    fn on_response(&mut self, id: ClientId, response: &Response, now: Instant) {
        if !self.clients.contains(&id) {
            self.broken.push(format!("a response for {id:?}, which has ended"));
        }
        if response.status().is_final() {
            self.finals += 1;
        }
        if response.status().is_success() && response.cseq().unwrap().method == Method::Invite {
            self.acknowledge(response, now);
        }
    }

    fn acknowledge(&mut self, response: &Response, now: Instant) {
        let to: SocketAddr = response.to().unwrap().uri.as_str()["sip:user@".len()..].parse().unwrap();
        let protocol = match response.via().unwrap().transport {
            denwa_sip_core::header::ViaTransport::Known(protocol) => protocol,
            denwa_sip_core::header::ViaTransport::Other(_) => return,
        };
        let ack = Request::builder(Method::Ack, format_args!("sip:user@{to}"))
            .header("Max-Forwards", 70)
            .copy(response, denwa_sip_core::HeaderName::From)
            .copy(response, denwa_sip_core::HeaderName::To)
            .copy(response, denwa_sip_core::HeaderName::CallId)
            .header("CSeq", "1 ACK")
            .finish()
            .unwrap();
        let _ = self.layer.send_ack(ack, Target::address(protocol, to), SendOptions::default(), now);
    }

    fn run_plans(&mut self, now: Instant) {
        while let Some(((at, number), _)) = self.plans.first_key_value().map(|(key, plan)| (*key, plan)) {
            if at > now {
                break;
            }
            match self.plans.remove(&(at, number)) {
                Some(Plan::Respond(id, request, status)) => self.respond(id, &request, status, now),
                Some(Plan::Repeat(id, response, interval)) => {
                    let next = (interval * 2).min(Duration::from_secs(4));
                    let stands = self.layer.respond(id, &response, now).is_ok();
                    stands.then(|| self.plan(now + next, Plan::Repeat(id, response, next)));
                }
                Some(Plan::Cancel(id)) => drop(self.layer.cancel(id, &[], now)),
                None => {}
            }
        }
    }
}

impl Plan {
    fn is_of(&self, id: ServerId) -> bool {
        match self {
            Self::Respond(other, ..) | Self::Repeat(other, ..) => *other == id,
            Self::Cancel(_) => false,
        }
    }
}

/// Handles are opaque; their debug form is unique.
fn number_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn client_handle(id: ClientId) -> u64 {
    number_of(&format!("{id:?}"))
}

fn server_handle(id: ServerId) -> u64 {
    number_of(&format!("{id:?}"))
}

fn to_sim(protocol: Protocol) -> denwa_sim::Protocol {
    match protocol {
        Protocol::Udp => denwa_sim::Protocol::Udp,
        Protocol::Tcp => denwa_sim::Protocol::Tcp,
        Protocol::Tls => denwa_sim::Protocol::Tls,
        Protocol::Ws => denwa_sim::Protocol::WebSocket,
        Protocol::Wss => denwa_sim::Protocol::SecureWebSocket,
    }
}

fn from_sim(protocol: denwa_sim::Protocol) -> Protocol {
    match protocol {
        denwa_sim::Protocol::Udp => Protocol::Udp,
        denwa_sim::Protocol::Tcp => Protocol::Tcp,
        denwa_sim::Protocol::Tls => Protocol::Tls,
        denwa_sim::Protocol::WebSocket => Protocol::Ws,
        denwa_sim::Protocol::SecureWebSocket => Protocol::Wss,
    }
}

impl Machine for Agent {
    fn handle_input(&mut self, input: denwa_sim::Input<'_>, now: Instant) {
        use denwa_sip_core::Input;
        let now = self.clock(now);
        let input = match input {
            denwa_sim::Input::Datagram { local, remote, payload } => {
                Input::Datagram { local, remote, payload }
            }
            denwa_sim::Input::StreamData { protocol, local, remote, payload } => {
                let Some(stream) = self.streams.id(protocol, local, remote) else { return };
                Input::StreamData { stream, payload }
            }
            denwa_sim::Input::Unreachable { local, remote, .. } => {
                Input::Unreachable { source: Some(local), destination: remote, protocol: Protocol::Udp }
            }
            denwa_sim::Input::StreamOpened { token, protocol, local, remote, .. } => {
                let stream = token.and_then(|token| self.opening.remove(&token)).unwrap_or_else(|| {
                    self.accepted += 1;
                    StreamId::accepted(self.accepted)
                });
                self.streams.insert(stream, protocol, local, remote);
                let protocol = from_sim(protocol);
                Input::StreamOpened { stream, protocol, local, remote, peer_identity: None }
            }
            denwa_sim::Input::StreamFailed { token, .. } => {
                let Some(stream) = self.opening.remove(&token) else { return };
                Input::StreamFailed { stream, reason: StreamFailure::Refused }
            }
            denwa_sim::Input::StreamClosed { protocol, local, remote, .. } => {
                let Some(stream) = self.streams.remove(protocol, local, remote) else { return };
                Input::StreamClosed { stream }
            }
            denwa_sim::Input::Routed { token, route, .. } => {
                let route = route.map(|route| RouteInfo { local: route.local, interface: route.interface });
                Input::Routed { id: QueryId(token), route }
            }
            denwa_sim::Input::Resolved { .. } | denwa_sim::Input::Provided { .. } => return,
        };
        self.layer.handle_input(input, now);
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock(now);
        self.layer.handle_timeout(now);
        self.drain(now);
        self.run_plans(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<denwa_sim::Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let plan = self.plans.first_key_value().map(|((at, _), _)| *at);
        self.layer.poll_timeout().into_iter().chain(plan).min()
    }

    fn holdings(&self) -> Option<usize> {
        let counts = self.layer.counts();
        Some(counts.servers + counts.streams)
    }
}
