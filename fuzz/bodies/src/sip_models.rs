//! Targets of the upper half of `sip-core` that hold it against a model: the operations of calls between two endpoints,
//! a proxy with anything sent through it, and digest on both sides.

use crate::Target as FuzzTarget;
use denwa_sip_core::{
    Request, Response,
    auth::client::{ClientAuth, Subject},
    config::{Listener, TransactionConfig},
    endpoint::*,
    io::{Answer, Protocol, RouteInfo, StreamFailure},
    message::{Message, Method, StatusCode, UriBuf},
    proxy::{Branch, ForwardOptions, Order, Proxy, ProxyConfig, ProxyCounts, ProxyEvent, TargetSet},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Name and body of each.
pub const TARGETS: &[FuzzTarget] =
    &[("sip_calls", calls), ("sip_sessions", sessions), ("sip_proxy", proxy), ("sip_digest", digest)];

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

// -- calls

/// Where the model says a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Placed and not answered.
    Calling,
    /// Come in and not answered.
    Ringing,
    /// Answered.
    Up,
}

struct Side {
    manner: Manner,
    endpoint: Endpoint,
    address: SocketAddr,
    /// The model: every call that has not ended.
    phases: BTreeMap<CallHandle, Phase>,
    ended: u32,
    begun: u32,
}

/// What the calls of a run use beside the plain rules.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// Provisional responses are acknowledged (RFC 3262), by demand of the caller.
    is_reliable: bool,
    /// Sessions run out unless they are refreshed (RFC 4028).
    is_timed: bool,
    /// INVITEs have no offer.
    is_late: bool,
    /// Requests inside a dialog are left to the endpoint to end.
    is_silent: bool,
}

impl Manner {
    fn options(self) -> CallOptions {
        let session_timer = self.is_timed.then(|| SessionTimerPolicy {
            interval: Some(Duration::from_secs(120)),
            minimum: Duration::from_secs(90),
            refresher: None,
        });
        let reliable_provisional =
            if self.is_reliable { ReliableProvisional::Required } else { ReliableProvisional::Supported };
        CallOptions { session_timer, reliable_provisional, ..CallOptions::default() }
    }
}

struct Pair {
    manner: Manner,
    sides: [Side; 2],
    /// Datagrams on their way, with their destination.
    wire: VecDeque<(usize, Vec<u8>)>,
    now: Instant,
}

/// Operations on two endpoints, one a byte, and what becomes of the datagrams between them. The model says which
/// commands are possible; every call ends once; after the timers both sides agree on which calls are up.
fn calls(data: &[u8]) {
    let mut pair = Pair::new(Manner::default());
    for byte in data.iter().take(96) {
        pair.operate(*byte);
        pair.settle();
    }
    pair.conclude();
}

/// The same with session timers, reliable provisional responses, late offers, refused changes and requests inside the
/// dialog: the first byte says which of them, and after each operation a byte chooses among its kinds. Which commands
/// are possible is left open; the ends are not.
fn sessions(data: &[u8]) {
    let Some((first, operations)) = data.split_first() else { return };
    let manner = Manner {
        is_reliable: first & 1 != 0,
        is_timed: first & 2 != 0,
        is_late: first & 4 != 0,
        is_silent: first & 8 != 0,
    };
    let mut pair = Pair::new(manner);
    for operation in operations.chunks_exact(2).take(96) {
        let [byte, kind] = operation else { return };
        match (byte >> 1) % 16 {
            0..8 => pair.operate(*byte),
            basic => pair.sides[usize::from(byte & 1)].try_command(basic, *kind, pair.now),
        }
        pair.settle();
    }
    pair.conclude();
}

impl Pair {
    /// What is true in the end, whatever was done.
    fn conclude(mut self) {
        let pair = &mut self;
        // The network is good again, and time passes: what one side thinks up, the other does too.
        pair.deliver_all();
        pair.pass(Duration::from_secs(400));
        let up = |side: &Side| side.phases.values().filter(|phase| **phase == Phase::Up).count();
        let [a, b] = &pair.sides;
        assert_eq!(up(a), up(b), "a call that only one side believes in");
        assert_eq!((a.phases.len(), b.phases.len()), (up(a), up(b)), "a call that is neither up nor over");
        for side in 0..2 {
            for call in pair.sides[side].phases.keys().copied().collect::<Vec<_>>() {
                let now = pair.now;
                let _ = pair.sides[side].endpoint.hang_up(call, &Headers::new(), now);
                pair.settle();
                pair.deliver_all();
            }
        }
        pair.pass(Duration::from_secs(400));
        for side in &pair.sides {
            let counts = side.endpoint.counts();
            assert_eq!(
                (counts.calls, counts.dialogs, counts.clients, counts.servers),
                (0, 0, 0, 0),
                "{counts:?}"
            );
            assert_eq!(side.begun, side.ended, "each call ends once");
        }
    }

    fn new(manner: Manner) -> Self {
        let now = Instant::now();
        let side = |last: u8| {
            let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address(last))]);
            Side {
                manner,
                endpoint: Endpoint::new(config, Seed([last; 32]), now),
                address: address(last),
                phases: BTreeMap::new(),
                ended: 0,
                begun: 0,
            }
        };
        Self { manner, sides: [side(1), side(2)], wire: VecDeque::new(), now }
    }

    fn operate(&mut self, byte: u8) {
        let at = usize::from(byte & 1);
        let now = self.now;
        match (byte >> 1) % 16 {
            0 => {
                let uri = |last| UriBuf::parse(&format!("sip:{}", address(last))).unwrap();
                let to = if at == 0 { 2 } else { 1 };
                let target = Target::address(Protocol::Udp, address(to));
                let mut place = PlaceCall::new(Party::new(uri(3 - to)), Party::new(uri(to)), target);
                place.body = (!self.manner.is_late).then(|| Body::sdp("v=0\r\n"));
                place.options = self.manner.options();
                let side = &mut self.sides[at];
                if let Ok(call) = side.endpoint.place_call(place, now) {
                    side.phases.insert(call, Phase::Calling);
                    side.begun += 1;
                }
            }
            // Datagrams: delivered, lost, repeated, overtaken.
            1 | 2 => self.deliver_one(),
            3 => drop(self.wire.pop_front()),
            4 => {
                if let Some(first) = self.wire.front().cloned() {
                    self.wire.push_back(first);
                }
            }
            5 => {
                if let Some(first) = self.wire.pop_front() {
                    self.wire.push_back(first);
                }
            }
            6 => self.pass(Duration::from_millis(u64::from(byte) * 5)),
            7 => self.deliver_all(),
            operation => {
                let side = &mut self.sides[at];
                let count = side.phases.len().max(1);
                let chosen = side.phases.iter().nth(usize::from(byte >> 5) % count);
                if let Some((call, phase)) = chosen.map(|(call, phase)| (*call, *phase)) {
                    side.command(operation, call, phase, now);
                }
            }
        }
    }

    fn deliver_one(&mut self) {
        let Some((to, payload)) = self.wire.pop_front() else { return };
        let (local, remote) = (self.sides[to].address, self.sides[1 - to].address);
        self.sides[to].endpoint.handle_input(Input::Datagram { local, remote, payload: &payload }, self.now);
        self.settle();
    }

    fn deliver_all(&mut self) {
        self.settle();
        while !self.wire.is_empty() {
            self.deliver_one();
        }
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut steps = 0;
        loop {
            self.deliver_all();
            let next = self.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            steps += 1;
            assert!(steps < 100_000, "time stands still");
            self.now = self.now.max(at);
            for side in &mut self.sides {
                side.endpoint.handle_timeout(self.now);
            }
        }
        self.now = until;
    }

    fn settle(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            for at in 0..2 {
                while let Some(output) = self.sides[at].endpoint.poll_output() {
                    again = true;
                    match output {
                        Output::Transmit(transmit) => {
                            self.wire.push_back((1 - at, transmit.payload.to_vec()))
                        }
                        Output::Event(event) => self.sides[at].on_event(event, self.now),
                        Output::Route { id, .. } => {
                            let local = self.sides[at].address.ip();
                            let route = Some(RouteInfo { local, interface: "".into() });
                            self.sides[at].endpoint.handle_input(Input::Routed { id, route }, self.now);
                        }
                        other => panic!("nobody asked for {other:?}"),
                    }
                }
            }
        }
    }
}

impl Side {
    /// A command, and whether the model says it can be given.
    fn command(&mut self, operation: u8, call: CallHandle, phase: Phase, now: Instant) {
        let it = &mut self.endpoint;
        let (headers, sdp) = (Headers::new(), Body::sdp("v=0\r\n"));
        let (result, possible) = match operation {
            8 => (it.ring(call, &Reply::new(StatusCode::RINGING), now), phase == Phase::Ringing),
            9 => {
                let result = it.answer(call, &Reply::new(StatusCode::OK).with_body(sdp), now);
                if phase == Phase::Ringing && result.is_ok() {
                    self.phases.insert(call, Phase::Up);
                }
                (result, phase == Phase::Ringing)
            }
            10 => (it.refuse(call, &Reply::new(StatusCode::BUSY_HERE), now), phase == Phase::Ringing),
            11 => (it.cancel(call, &headers, now), phase == Phase::Calling),
            12 => (it.hang_up(call, &headers, now), true),
            // Changes are possible when no other is under way, which the model leaves open.
            13 => return self.change(call, phase, now, true),
            14 => return self.change(call, phase, now, false),
            _ => {
                let result = it.answer_offer(call, Some(sdp), &headers, now);
                assert!(phase == Phase::Up || result.is_err(), "{result:?} in {phase:?}");
                return;
            }
        };
        assert_eq!(result.is_ok(), possible, "operation {operation} in {phase:?}: {result:?}");
    }

    /// A command on one of the calls, whether it can be given or not.
    fn try_command(&mut self, operation: u8, kind: u8, now: Instant) {
        let count = self.phases.len().max(1);
        let Some(call) = self.phases.keys().nth(usize::from(kind >> 4) % count).copied() else { return };
        let it = &mut self.endpoint;
        let (headers, sdp) = (Headers::new(), Body::sdp(format!("v=0\r\ns={}\r\n", kind >> 6)));
        let body = (kind & 8 != 0).then_some(sdp);
        let _ = match (operation, kind % 4) {
            (8, 0) => it.ring(call, &Reply::new(StatusCode::RINGING), now),
            (8, _) => {
                let reply = Reply::new(StatusCode::SESSION_PROGRESS);
                let reply = body.into_iter().fold(reply, Reply::with_body);
                it.ring_reliably(call, &reply, now)
            }
            (9, _) => {
                let reply = Reply::new(StatusCode::OK);
                let done = it.answer(call, &body.into_iter().fold(reply, Reply::with_body), now);
                if done.is_ok() {
                    self.phases.insert(call, Phase::Up);
                }
                done
            }
            (10, 0) => it.refuse(call, &Reply::new(StatusCode::BUSY_HERE), now),
            (10, _) => it.refuse_offer(call, &Reply::new(StatusCode::NOT_ACCEPTABLE_HERE), now),
            (11, 0) => it.cancel(call, &headers, now),
            (11, _) => it.request_in_dialog(call, Method::Info, &headers, None, now).map(drop),
            (12, 0) => it.hang_up(call, &headers, now),
            (12 | 13, _) => it.reinvite(call, body, headers, now),
            (14, _) => it.update(call, body, headers, now),
            _ => it.answer_offer(call, body, &headers, now),
        };
    }

    fn change(&mut self, call: CallHandle, phase: Phase, now: Instant, by_invite: bool) {
        let (body, headers) = (Some(Body::sdp("v=0\r\ns=x\r\n")), Headers::new());
        let result = match by_invite {
            true => self.endpoint.reinvite(call, body, headers, now),
            false => self.endpoint.update(call, body, headers, now),
        };
        assert!(
            !by_invite || phase == Phase::Up || result == Err(Misuse::WrongState),
            "{result:?} in {phase:?}"
        );
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Incoming { request, message, .. } => {
                if *message.method() == Method::Invite {
                    let options = self.manner.options();
                    let call =
                        self.endpoint.accept_call(request, &LocalIdentity::default(), options, now).unwrap();
                    self.phases.insert(call, Phase::Ringing);
                    self.begun += 1;
                } else {
                    let _ = self.endpoint.respond(request, &Reply::new(StatusCode::OK), now);
                }
            }
            Event::DialogRequest { request, .. } if !self.manner.is_silent => {
                let _ = self.endpoint.respond(request, &Reply::new(StatusCode::OK), now);
            }
            Event::CallAnswered { call, .. } => {
                assert_eq!(self.phases.insert(call, Phase::Up), Some(Phase::Calling));
            }
            Event::CallEnded { call, .. } => {
                assert!(self.phases.remove(&call).is_some(), "{call} ended twice, or never began");
                self.ended += 1;
                let gone = self.endpoint.hang_up(call, &Headers::new(), now);
                assert_eq!(gone, Err(Misuse::UnknownHandle));
            }
            _ => {}
        }
    }
}

// -- the proxy

/// Datagrams between `0xff` bytes, the byte before each the time that passes; an application that forwards each request
/// to three places. What passes has one Via more or less and fewer hops left; after the timers nothing is left.
fn proxy(data: &[u8]) {
    let now = Instant::now();
    let config = ProxyConfig::new(TransactionConfig::new(vec![Listener::new(Protocol::Udp, address(1))]));
    let mut passage =
        Passage { proxy: Proxy::new(config, Seed([1; 32]), now), now, came: BTreeMap::new(), limit: 4096 };
    for piece in data.split(|byte| *byte == 0xff).take(24) {
        let Some((time, payload)) = piece.split_first() else { continue };
        let (local, remote) = (address(1), address(2 + (*time & 3)));
        passage.proxy.handle_input(Input::Datagram { local, remote, payload }, passage.now);
        passage.settle();
        passage.pass(Duration::from_millis(u64::from(*time) * 40));
    }
    passage.pass(Duration::from_secs(700));
    assert_eq!(passage.proxy.counts(), ProxyCounts::default());
    assert_eq!(passage.proxy.poll_timeout(), None);
}

struct Passage {
    proxy: Proxy,
    now: Instant,
    /// Via values and hops of what came, by Call-ID, which strangers may use twice.
    came: BTreeMap<String, Vec<(usize, u8)>>,
    /// A fork of a fork that comes back to us is bounded by the breadth; this bounds the test.
    limit: usize,
}

impl Passage {
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut steps = 0;
        while let Some(at) = self.proxy.poll_timeout().filter(|at| *at <= until) {
            steps += 1;
            assert!(steps < 100_000, "time stands still");
            self.now = self.now.max(at);
            self.proxy.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    fn settle(&mut self) {
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::Event(ProxyEvent::Request { request, message, .. }) => {
                    let hops = message.max_forwards().ok().flatten().unwrap_or(71);
                    let call = message.call_id().unwrap_or_default().to_owned();
                    self.came.entry(call).or_default().push((message.vias().count(), hops));
                    let target = |last: u8| {
                        let mut branch =
                            Branch::to(UriBuf::parse(&format!("sip:{}", address(last))).unwrap());
                        branch.target = Some(Target::address(Protocol::Udp, address(last)));
                        branch
                    };
                    let order = if hops % 2 == 0 { Order::Parallel } else { Order::Sequential };
                    let options = ForwardOptions {
                        record_route: true,
                        path: true,
                        ring_for: None,
                        headers: Headers::new(),
                    };
                    let targets = TargetSet::of(vec![target(3), target(4), target(5)], order);
                    let _ = self.proxy.forward(request, targets, &options, self.now);
                }
                Output::Transmit(transmit) => self.check(transmit.payload.to_vec()),
                Output::Route { id, .. } => {
                    let route = Some(RouteInfo { local: address(1).ip(), interface: "".into() });
                    self.proxy.handle_input(Input::Routed { id, route }, self.now);
                }
                Output::Resolve { id, .. } => {
                    self.proxy.handle_input(Input::Resolved { id, answer: Answer::NotFound }, self.now);
                }
                Output::OpenStream { stream, .. } => {
                    let reason = StreamFailure::Refused;
                    self.proxy.handle_input(Input::StreamFailed { stream, reason }, self.now);
                }
                Output::Event(_) | Output::CloseStream { .. } | Output::Lookup { .. } => {}
            }
        }
    }

    fn check(&mut self, payload: Vec<u8>) {
        self.limit = self.limit.saturating_sub(1);
        assert!(self.limit > 0, "it multiplies");
        if let Message::Request(request) = Message::parse_lenient(payload.into()).unwrap() {
            self.check_request(&request);
        }
    }

    fn check_request(&self, request: &Request) {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return;
        }
        let Some(came) = self.came.get(request.call_id().unwrap_or_default()) else { return };
        let (vias, hops) = (request.vias().count(), request.max_forwards().unwrap());
        let is_theirs = |(had, left): &(usize, u8)| vias == had + 1 && hops == Some(left.saturating_sub(1));
        assert!(came.iter().any(is_theirs), "one Via more, one hop less: {vias}, {hops:?} of {came:?}");
    }
}

// -- digest

/// The first half as a challenge for a client that has a password, the second as the credentials of a stranger. What
/// the client answers can be written and read; nobody is let in who does not know the password.
fn digest(data: &[u8]) {
    let half = data.len() / 2;
    let (challenge, credentials) = data.split_at(half);
    if let Ok(text) = core::str::from_utf8(challenge) {
        let own =
            Credentials { realm: None, username: "1001".to_owned(), secret: Secret::password("secret") };
        let mut auth = ClientAuth::new();
        let taken = auth.challenged(text.split('\n'), std::iter::empty(), false, std::slice::from_ref(&own));
        let subject = Subject { method: "REGISTER", uri: "sip:pbx.example", body: b"" };
        let values = auth.authorize(subject, || "0a4f113b".to_owned());
        assert!(taken.is_ok() || values.is_empty(), "a challenge that was refused is not answered");
        for (_, value) in values {
            assert!(!value.contains("secret"), "the password itself is never sent");
            let reply = Response::builder(StatusCode::OK).header("X", &value).finish();
            assert!(reply.is_ok() || value.chars().any(char::is_control), "{value}");
        }
    }
    let now = Instant::now();
    let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address(1))]);
    let mut endpoint = Endpoint::new(config, Seed([1; 32]), now);
    let mut message = b"REGISTER sip:pbx SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nAuthorization: ".to_vec();
    message.extend(credentials.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    message.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
    let (local, remote) = (address(1), address(2));
    endpoint.handle_input(Input::Datagram { local, remote, payload: &message }, now);
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Event(Event::Incoming { request, .. }) => {
                endpoint.authenticate(request, &ChallengePolicy::new("pbx"), now).unwrap();
            }
            Output::Event(Event::Authenticated { .. }) => panic!("let in without a nonce of ours"),
            Output::Lookup { id, lookup: Lookup::Credentials { user, .. } } => {
                let provided = Provided::Secret { user, secret: Secret::password("secret") };
                endpoint.handle_input(Input::Provided { id, provided }, now);
            }
            _ => {}
        }
    }
}
