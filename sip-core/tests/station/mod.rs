//! A telephone on the virtual network: an endpoint and a user whose whims come from the seed.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use denwa_sim::{Life, Machine, StreamNames};
use denwa_sip_core::{
    config::Listener,
    endpoint::*,
    io::{Protocol, RouteInfo, StreamId},
    message::{Method, StatusCode, UriBuf},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// See the file's head.
pub(crate) struct Station {
    pub(crate) endpoint: Endpoint,
    name: String,
    address: SocketAddr,
    /// What the user is going to do, and when.
    plans: BTreeMap<(Instant, u64), Plan>,
    planned: u64,
    whims: Whims,
    pub(crate) habits: Habits,
    outbox: VecDeque<denwa_sim::Output>,
    streams: StreamNames<StreamId>,
    accepted: u64,
    opening: BTreeMap<u64, StreamId>,
    /// Terminal events by call: never two.
    pub(crate) ended: BTreeMap<String, CallEnd>,
    pub(crate) answered: usize,
    pub(crate) confirmed: usize,
    pub(crate) modified: usize,
    pub(crate) broken: Vec<String>,
    sdp_version: u32,
    /// The latest moment seen: a clock that goes back counts as this (law 2).
    latest: Instant,
}

/// What a user tends to do. Chances in percent, times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) answers: u64,
    pub(crate) refuses: u64,
    pub(crate) within_ms: u64,
    pub(crate) holds: u64,
    pub(crate) hangs_up: u64,
    pub(crate) talks_ms: u64,
    pub(crate) cancels: u64,
    pub(crate) late_offers: u64,
    pub(crate) updates: u64,
    pub(crate) session_seconds: u64,
    pub(crate) over_tcp: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            answers: 80,
            refuses: 10,
            within_ms: 8_000,
            holds: 50,
            hangs_up: 50,
            talks_ms: 40_000,
            cancels: 10,
            late_offers: 20,
            updates: 30,
            session_seconds: 120,
            over_tcp: false,
        }
    }
}

#[derive(Clone, Debug)]
enum Plan {
    Answer(CallHandle),
    Refuse(CallHandle),
    Modify(CallHandle),
    AnswerOffer(CallHandle),
    HangUp(CallHandle),
    Cancel(CallHandle),
    Register { registrar: SocketAddr },
}

/// A small generator for whims only; nothing that is sent depends on its quality.
pub(crate) struct Whims(u64);

impl Whims {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Station {
    pub(crate) fn new(name: &str, address: SocketAddr, seed: [u8; 32], whims: u64, now: Instant) -> Self {
        let mut config = EndpointConfig::new(vec![
            Listener::new(Protocol::Udp, address),
            Listener::new(Protocol::Tcp, address),
        ]);
        config.answer_within = Duration::from_secs(60);
        Self {
            endpoint: Endpoint::new(config, Seed(seed), now),
            name: name.to_owned(),
            address,
            plans: BTreeMap::new(),
            planned: 0,
            whims: Whims::new(whims),
            habits: Habits::default(),
            outbox: VecDeque::new(),
            streams: StreamNames::default(),
            accepted: 0,
            opening: BTreeMap::new(),
            ended: BTreeMap::new(),
            answered: 0,
            confirmed: 0,
            modified: 0,
            broken: Vec::new(),
            sdp_version: 0,
            latest: now,
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        if self.habits.over_tcp { Protocol::Tcp } else { Protocol::Udp }
    }

    fn at_least(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    pub(crate) fn call(&mut self, whom: &str, address: SocketAddr, now: Instant) -> Option<CallHandle> {
        let now = self.at_least(now);
        let uri = |name: &str, at: SocketAddr| UriBuf::parse(&format!("sip:{name}@{at}")).unwrap();
        let target = Target::address(self.protocol(), address);
        let mut place =
            PlaceCall::new(Party::new(uri(&self.name, self.address)), Party::new(uri(whom, address)), target);
        place.local.user = self.name.clone();
        place.options = self.options();
        place.body = if self.whims.chance(self.habits.late_offers) { None } else { Some(self.sdp()) };
        let call = self.endpoint.place_call(place, now).ok()?;
        if self.whims.chance(self.habits.cancels) {
            let within = self.habits.within_ms;
            self.plan(now, within, Plan::Cancel(call));
        }
        self.drain(now);
        Some(call)
    }

    fn options(&self) -> CallOptions {
        let interval = Some(Duration::from_secs(self.habits.session_seconds));
        CallOptions {
            session_timer: Some(SessionTimerPolicy { interval, ..SessionTimerPolicy::default() }),
            ring_timeout: Some(Duration::from_secs(60)),
            ..CallOptions::default()
        }
    }

    pub(crate) fn hang_up_everything(&mut self, now: Instant) {
        let now = self.at_least(now);
        for call in self.endpoint.calls().collect::<Vec<_>>() {
            let _ = self.endpoint.hang_up(call, &Headers::new(), now);
        }
        self.drain(now);
    }

    fn sdp(&mut self) -> Body {
        self.sdp_version += 1;
        let (name, version) = (&self.name, self.sdp_version);
        Body::sdp(format!(
            "v=0\r\no={name} 1 {version} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        ))
    }

    fn plan(&mut self, now: Instant, within_ms: u64, plan: Plan) {
        self.planned += 1;
        let after = self.whims.below(within_ms) + 1;
        self.plans.insert((now + Duration::from_millis(after), self.planned), plan);
    }

    fn act(&mut self, plan: Plan, now: Instant) {
        match plan {
            Plan::Answer(call) => {
                let body = self.sdp();
                let _ = self.endpoint.answer(call, &Reply::new(StatusCode::OK).with_body(body), now);
                self.after_answer(call, now);
            }
            Plan::Refuse(call) => {
                let _ = self.endpoint.refuse(call, &Reply::new(StatusCode::BUSY_HERE), now);
            }
            Plan::Modify(call) => {
                let body = if self.whims.chance(self.habits.late_offers) { None } else { Some(self.sdp()) };
                let _ = if self.whims.chance(self.habits.updates) && body.is_some() {
                    self.endpoint.update(call, body, Headers::new(), now)
                } else {
                    self.endpoint.reinvite(call, body, Headers::new(), now)
                };
            }
            Plan::AnswerOffer(call) => {
                let body = Some(self.sdp());
                let refusal = Reply::new(StatusCode::NOT_ACCEPTABLE_HERE);
                let refused =
                    !self.whims.chance(90) && self.endpoint.refuse_offer(call, &refusal, now).is_ok();
                if !refused {
                    let _ = self.endpoint.answer_offer(call, body, &Headers::new(), now);
                }
            }
            Plan::HangUp(call) => {
                let _ = self.endpoint.hang_up(call, &Headers::new(), now);
            }
            Plan::Cancel(call) => {
                let _ = self.endpoint.cancel(call, &Headers::new(), now);
            }
            Plan::Register { .. } => {}
        }
    }

    fn after_answer(&mut self, call: CallHandle, now: Instant) {
        let talks = self.habits.talks_ms;
        if self.whims.chance(self.habits.holds) {
            self.plan(now, talks, Plan::Modify(call));
        }
        if self.whims.chance(self.habits.hangs_up) {
            self.plan(now, talks, Plan::HangUp(call));
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        let name = self.name.clone();
        let mut life = Life::None;
        let text = match &event {
            Event::Incoming { request, message, .. } if *message.method() == Method::Invite => {
                let local = LocalIdentity { user: name, ..LocalIdentity::default() };
                let options = self.options();
                if let Ok(call) = self.endpoint.accept_call(*request, &local, options, now) {
                    let _ = self.endpoint.ring(call, &Reply::new(StatusCode::RINGING), now);
                    let within = self.habits.within_ms;
                    if self.whims.chance(self.habits.answers) {
                        self.plan(now, within, Plan::Answer(call));
                    } else if self.whims.chance(self.habits.refuses * 5) {
                        self.plan(now, within, Plan::Refuse(call));
                    }
                }
                "incoming call".to_owned()
            }
            Event::Incoming { request, .. } => {
                let _ = self.endpoint.respond(*request, &Reply::new(StatusCode::OK), now);
                "incoming".to_owned()
            }
            Event::DialogRequest { request, .. } => {
                let _ = self.endpoint.respond(*request, &Reply::new(StatusCode::OK), now);
                "dialog request".to_owned()
            }
            Event::CallAnswered { call, .. } => {
                self.answered += 1;
                self.after_answer(*call, now);
                format!("answered {call}")
            }
            Event::CallConfirmed { call } => {
                self.confirmed += 1;
                format!("confirmed {call}")
            }
            Event::Modified { call, .. } => {
                self.modified += 1;
                format!("modified {call}")
            }
            Event::OfferReceived { call, carrier, .. } => {
                if *carrier != Carrier::Invite
                    || self.endpoint.call(*call).is_some_and(|it| it.is_established)
                {
                    let within = self.habits.within_ms / 4;
                    self.plan(now, within, Plan::AnswerOffer(*call));
                }
                format!("offer {call} {carrier:?}")
            }
            Event::OfferRequested { call } => {
                if self.endpoint.call(*call).is_some_and(|it| it.is_established) {
                    let within = self.habits.within_ms / 4;
                    self.plan(now, within, Plan::AnswerOffer(*call));
                }
                format!("offer wanted {call}")
            }
            Event::CallEnded { call, reason } => {
                life = Life::None;
                if self.ended.insert(call.to_string(), reason.clone()).is_some() {
                    self.broken.push(format!("{call} ended twice"));
                }
                format!("ended {call} {}", format!("{reason:?}").chars().take(60).collect::<String>())
            }
            other => format!("{other:?}").chars().take(40).collect(),
        };
        self.outbox.push_back(denwa_sim::Output::Event { text, life });
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Event(event) => self.on_event(event, now),
                Output::Transmit(transmit) => {
                    let out = match transmit.stream {
                        None => Some(denwa_sim::Output::Transmit(denwa_sim::Transmit {
                            source: transmit.source,
                            destination: transmit.destination,
                            protocol: denwa_sim::Protocol::Udp,
                            payload: transmit.payload,
                        })),
                        Some(stream) => self.streams.transmit(stream, transmit.payload),
                    };
                    self.outbox.extend(out);
                }
                Output::OpenStream { stream, protocol, remote, .. } => {
                    assert_eq!(protocol, Protocol::Tcp);
                    self.outbox.push_back(denwa_sim::Output::OpenStream {
                        token: token(stream),
                        protocol: denwa_sim::Protocol::Tcp,
                        source: None,
                        destination: remote,
                    });
                    self.opening.insert(token(stream), stream);
                }
                Output::CloseStream { stream } => self.outbox.extend(self.streams.close(stream)),
                Output::Route { id, .. } => {
                    let route = Some(RouteInfo { local: self.address.ip(), interface: "eth0".into() });
                    self.endpoint.handle_input(Input::Routed { id, route }, now);
                }
                Output::Resolve { id, .. } => {
                    let answer = denwa_sip_core::io::Answer::NotFound;
                    self.endpoint.handle_input(Input::Resolved { id, answer }, now);
                }
                Output::Lookup { id, lookup } => {
                    let provided = match lookup {
                        Lookup::StoreBindings { .. } => Provided::Stored,
                        _ => Provided::Nothing,
                    };
                    self.endpoint.handle_input(Input::Provided { id, provided }, now);
                }
            }
        }
    }
}

fn token(stream: StreamId) -> u64 {
    let text = format!("{stream:?}");
    text.rsplit('-').next().unwrap().parse().unwrap()
}

impl Machine for Station {
    fn handle_input(&mut self, input: denwa_sim::Input<'_>, now: Instant) {
        use denwa_sim::Input as In;
        let now = self.at_least(now);
        match input {
            In::Datagram { local, remote, payload } => {
                self.endpoint.handle_input(Input::Datagram { local, remote, payload }, now);
            }
            In::StreamData { protocol, local, remote, payload } => {
                if let Some(stream) = self.streams.id(protocol, local, remote) {
                    self.endpoint.handle_input(Input::StreamData { stream, payload }, now);
                }
            }
            In::Unreachable { local, remote, .. } => {
                let protocol = Protocol::Udp;
                self.endpoint.handle_input(
                    Input::Unreachable { source: Some(local), destination: remote, protocol },
                    now,
                );
            }
            In::StreamOpened { token, protocol, local, remote, .. } => {
                let stream = match token.and_then(|token| self.opening.remove(&token)) {
                    Some(stream) => stream,
                    None => {
                        self.accepted += 1;
                        StreamId::accepted(self.accepted)
                    }
                };
                self.streams.insert(stream, protocol, local, remote);
                let protocol = Protocol::Tcp;
                self.endpoint.handle_input(
                    Input::StreamOpened { stream, protocol, local, remote, peer_identity: None },
                    now,
                );
            }
            In::StreamFailed { token, .. } => {
                if let Some(stream) = self.opening.remove(&token) {
                    let reason = denwa_sip_core::io::StreamFailure::Refused;
                    self.endpoint.handle_input(Input::StreamFailed { stream, reason }, now);
                }
            }
            In::StreamClosed { protocol, local, remote, .. } => {
                if let Some(stream) = self.streams.remove(protocol, local, remote) {
                    self.endpoint.handle_input(Input::StreamClosed { stream }, now);
                }
            }
            In::Resolved { .. } | In::Routed { .. } | In::Provided { .. } => {}
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.at_least(now);
        self.endpoint.handle_timeout(now);
        self.drain(now);
        let mut due = Vec::new();
        while let Some(entry) = self.plans.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.push(entry.remove());
        }
        for plan in due {
            self.act(plan, now);
            self.drain(now);
        }
    }

    fn poll_output(&mut self) -> Option<denwa_sim::Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let plan = self.plans.first_key_value().map(|((at, _), _)| *at);
        [plan, self.endpoint.poll_timeout()].into_iter().flatten().min()
    }

    fn holdings(&self) -> Option<usize> {
        let counts = self.endpoint.counts();
        Some(
            counts.calls
                + counts.dialogs
                + counts.requests
                + counts.clients
                + counts.servers
                + counts.queries,
        )
    }
}

/// How many seeds a run goes through: `DENWA_SEEDS`, else a few.
pub(crate) fn seeds(few: u64) -> u64 {
    std::env::var("DENWA_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(few)
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}
