//! Endpoints, proxies and hand-written peers on a small network with virtual time; what travels is noted arrow by arrow.
//!
//! `run` delivers what is under way and lets no timer run; `pass` lets time pass, timers included.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use denwa_sip_core::{
    config::{Listener, TransactionConfig},
    endpoint::*,
    io::{Protocol, RouteInfo, Transmit},
    message::{Message, Method, Request, Response, StatusCode, UriBuf},
    proxy::{Branch, BranchEnd, ForwardOptions, Proxy, ProxyConfig, ProxyCounts, ProxyEvent, TargetSet},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The network.
pub(crate) struct Ladder {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    nodes: Vec<Node>,
    under_way: BTreeMap<(Instant, u64), Packet>,
    sent: u64,
    pub(crate) latency: Duration,
    /// Every arrow since the last look: `alice -> bob INVITE`.
    arrows: Vec<String>,
    /// Tells whether a packet is lost; asked with the arrow's text.
    lose: Box<dyn FnMut(&str) -> bool>,
    /// Written by tests that want every message.
    pub(crate) messages: Vec<(String, Message)>,
}

struct Packet {
    from: usize,
    to: usize,
    bytes: Bytes,
}

struct Node {
    name: &'static str,
    address: SocketAddr,
    kind: Kind,
}

enum Kind {
    Endpoint(Box<User>),
    Proxy(Box<Server>),
    Raw(VecDeque<Message>),
}

/// A proxy, and what it does with requests that come to itself. Those that are routed go where they say.
struct Server {
    proxy: Proxy,
    record_route: bool,
    /// Says 181 when it goes on to the next target.
    tells: bool,
    ring_for: Option<Duration>,
    decide: Box<Decide>,
}

pub(crate) type Decide = dyn FnMut(&Request) -> Decision;

/// What a proxy does with a request.
pub(crate) enum Decision {
    Forward(TargetSet),
    Reply(Reply),
    /// 181 before it goes on.
    ForwardedCall(TargetSet),
}

/// An endpoint and what its application has seen and keeps.
pub(crate) struct User {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: VecDeque<Event>,
    /// user → password; `None` leaves questions to the test.
    pub(crate) passwords: Option<BTreeMap<String, String>>,
    pub(crate) stored: Vec<(String, Vec<Binding>)>,
    pub(crate) store_works: bool,
    pub(crate) lookups: Vec<Lookup>,
}

pub(crate) const LATENCY: Duration = Duration::from_millis(10);

impl Ladder {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            nodes: Vec::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            latency: LATENCY,
            arrows: Vec::new(),
            lose: Box::new(|_| false),
            messages: Vec::new(),
        }
    }

    /// Alice and Bob, nothing else.
    pub(crate) fn alice_and_bob() -> Self {
        let mut ladder = Self::new();
        ladder.endpoint("alice", "192.0.2.1:5060");
        ladder.endpoint("bob", "192.0.2.2:5060");
        ladder
    }

    pub(crate) fn endpoint(&mut self, name: &'static str, address: &str) {
        self.endpoint_with(name, address, |_| {});
    }

    pub(crate) fn endpoint_with(
        &mut self,
        name: &'static str,
        address: &str,
        adjust: impl FnOnce(&mut EndpointConfig),
    ) {
        let address: SocketAddr = address.parse().unwrap();
        let mut config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address)]);
        adjust(&mut config);
        let seed = Seed([u8::try_from(self.nodes.len()).unwrap() + 1; 32]);
        let user = User {
            endpoint: Endpoint::new(config, seed, self.now),
            events: VecDeque::new(),
            passwords: Some(BTreeMap::new()),
            stored: Vec::new(),
            store_works: true,
            lookups: Vec::new(),
        };
        self.nodes.push(Node { name, address, kind: Kind::Endpoint(Box::new(user)) });
    }

    /// A proxy that decides by `decide` on what is sent to itself.
    pub(crate) fn proxy(
        &mut self,
        name: &'static str,
        address: &str,
        record_route: bool,
        decide: impl FnMut(&Request) -> Decision + 'static,
    ) {
        let address: SocketAddr = address.parse().unwrap();
        let config = ProxyConfig::new(TransactionConfig::new(vec![Listener::new(Protocol::Udp, address)]));
        let seed = Seed([u8::try_from(self.nodes.len()).unwrap() + 1; 32]);
        let proxy = Proxy::new(config, seed, self.now);
        let server = Server { proxy, record_route, tells: false, ring_for: None, decide: Box::new(decide) };
        self.nodes.push(Node { name, address, kind: Kind::Proxy(Box::new(server)) });
    }

    /// It says 181 to the caller when it goes on from one telephone to the next.
    pub(crate) fn tells_of_forwarding(&mut self, name: &str) {
        let at = self.at(name);
        if let Kind::Proxy(server) = &mut self.nodes[at].kind {
            server.tells = true;
        }
    }

    /// It lets telephones ring so long, and goes on to the next.
    pub(crate) fn rings_for(&mut self, name: &str, time: Duration) {
        let at = self.at(name);
        if let Kind::Proxy(server) = &mut self.nodes[at].kind {
            server.ring_for = Some(time);
        }
    }

    /// A branch to somebody, by his address.
    pub(crate) fn branch(&self, name: &str) -> Branch {
        let mut branch = Branch::to(self.uri(name));
        branch.target = Some(self.target(name));
        branch
    }

    /// A peer whose messages the test writes.
    pub(crate) fn raw(&mut self, name: &'static str, address: &str) {
        let address = address.parse().unwrap();
        self.nodes.push(Node { name, address, kind: Kind::Raw(VecDeque::new()) });
    }

    pub(crate) fn lose(&mut self, lose: impl FnMut(&str) -> bool + 'static) {
        self.lose = Box::new(lose);
    }

    pub(crate) fn lose_nothing(&mut self) {
        self.lose = Box::new(|_| false);
    }

    pub(crate) fn user(&mut self, name: &str) -> &mut User {
        let at = self.at(name);
        match &mut self.nodes[at].kind {
            Kind::Endpoint(user) => user,
            Kind::Proxy(_) | Kind::Raw(_) => panic!("{name} is no endpoint"),
        }
    }

    /// A command to an endpoint, at this moment.
    pub(crate) fn tell<T>(&mut self, name: &str, act: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let now = self.now;
        let result = act(&mut self.user(name).endpoint, now);
        self.drain();
        result
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.nodes[self.at(name)].address
    }

    pub(crate) fn uri(&self, name: &str) -> UriBuf {
        UriBuf::parse(&format!("sip:{name}@{}", self.address(name))).unwrap()
    }

    pub(crate) fn target(&self, name: &str) -> Target {
        Target::address(Protocol::Udp, self.address(name))
    }

    fn at(&self, name: &str) -> usize {
        self.nodes
            .iter()
            .position(|node| node.name == name)
            .unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    // -- raw peers

    /// Sends text as a datagram. Lines end with `\n` in the test and CRLF on the wire; `Content-Length` is put in.
    pub(crate) fn send(&mut self, from: &str, to: &str, text: &str) {
        let text = wire(text);
        let (from, to) = (self.at(from), self.at(to));
        self.put(from, to, Bytes::from(text));
    }

    /// The next message a raw peer has received.
    pub(crate) fn received(&mut self, name: &str) -> Option<Message> {
        let at = self.at(name);
        match &mut self.nodes[at].kind {
            Kind::Raw(inbox) => inbox.pop_front(),
            Kind::Endpoint(_) | Kind::Proxy(_) => panic!("{name} is no raw peer"),
        }
    }

    pub(crate) fn received_request(&mut self, name: &str, method: Method) -> Request {
        loop {
            match self.received(name).unwrap_or_else(|| panic!("{name} got no {method}")) {
                Message::Request(request) if *request.method() == method => return request,
                _ => {}
            }
        }
    }

    pub(crate) fn received_response(&mut self, name: &str, status: u16) -> Response {
        loop {
            match self.received(name).unwrap_or_else(|| panic!("{name} got no {status}")) {
                Message::Response(response) if response.status().code() == status => return response,
                _ => {}
            }
        }
    }

    // -- time

    /// Delivers everything under way; no timer runs.
    pub(crate) fn run(&mut self) -> &mut Self {
        self.drain();
        while let Some(((at, _), packet)) = self.under_way.pop_first() {
            self.now = self.now.max(at);
            self.deliver(packet);
            self.drain();
        }
        self
    }

    /// Lets time pass, timers included.
    pub(crate) fn pass(&mut self, duration: Duration) -> &mut Self {
        let until = self.now + duration;
        self.drain();
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 1_000_000, "time stands still");
            let packet = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let timer = self.nodes.iter().filter_map(Node::poll_timeout).min();
            let Some(next) = [packet, timer].into_iter().flatten().min().filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if packet.is_some_and(|at| at <= self.now) {
                let (_, packet) = self.under_way.pop_first().unwrap();
                self.deliver(packet);
            } else {
                let now = self.now;
                for node in &mut self.nodes {
                    if node.poll_timeout().is_some_and(|at| at <= now) {
                        node.handle_timeout(now);
                    }
                }
            }
            self.drain();
        }
        self.now = until;
        self
    }

    pub(crate) fn pass_seconds(&mut self, seconds: u64) -> &mut Self {
        self.pass(Duration::from_secs(seconds))
    }

    fn deliver(&mut self, packet: Packet) {
        let (from, to) = (self.nodes[packet.from].address, self.nodes[packet.to].address);
        let now = self.now;
        match &mut self.nodes[packet.to].kind {
            Kind::Endpoint(user) => {
                user.endpoint
                    .handle_input(Input::Datagram { local: to, remote: from, payload: &packet.bytes }, now);
            }
            Kind::Proxy(server) => {
                let input = Input::Datagram { local: to, remote: from, payload: &packet.bytes };
                server.proxy.handle_input(input, now);
            }
            Kind::Raw(inbox) => inbox.push_back(Message::parse_lenient(packet.bytes).unwrap()),
        }
    }

    fn put(&mut self, from: usize, to: usize, bytes: Bytes) {
        let message = Message::parse_lenient(bytes.clone());
        let what = match &message {
            Ok(Message::Request(request)) => request.method().to_string(),
            Ok(Message::Response(response)) => {
                let method = response.cseq().map(|cseq| cseq.method.to_string()).unwrap_or_default();
                format!("{} {method}", response.status().code())
            }
            Err(_) => "?".to_owned(),
        };
        let arrow = format!("{} -> {} {what}", self.nodes[from].name, self.nodes[to].name);
        let lost = (self.lose)(&arrow);
        if let Ok(message) = message {
            self.messages.push((arrow.clone(), message));
        }
        if lost {
            self.arrows.push(format!("{arrow} (lost)"));
            return;
        }
        self.arrows.push(arrow);
        self.sent += 1;
        self.under_way.insert((self.now + self.latency, self.sent), Packet { from, to, bytes });
    }

    /// Takes what the endpoints want done.
    fn drain(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            for at in 0..self.nodes.len() {
                again |= self.drain_proxy(at);
                while let Kind::Endpoint(user) = &mut self.nodes[at].kind
                    && let Some(output) = user.endpoint.poll_output()
                {
                    again = true;
                    match output {
                        Output::Event(event) => user.events.push_back(event),
                        Output::Transmit(transmit) => self.transmit(at, transmit),
                        Output::Lookup { id, lookup } => {
                            user.lookups.push(lookup.clone());
                            let provided = user.look_up(lookup);
                            let now = self.now;
                            if let Some(provided) = provided {
                                user.endpoint.handle_input(Input::Provided { id, provided }, now);
                            }
                        }
                        Output::Route { id, .. } => {
                            let local = self.nodes[at].address.ip();
                            let route = Some(RouteInfo { local, interface: "eth0".into() });
                            let now = self.now;
                            let Kind::Endpoint(user) = &mut self.nodes[at].kind else { unreachable!() };
                            user.endpoint.handle_input(Input::Routed { id, route }, now);
                        }
                        other => panic!("not on this network: {other:?}"),
                    }
                }
            }
        }
    }

    fn drain_proxy(&mut self, at: usize) -> bool {
        let now = self.now;
        let mut any = false;
        while let Kind::Proxy(server) = &mut self.nodes[at].kind
            && let Some(output) = server.proxy.poll_output()
        {
            any = true;
            match output {
                Output::Event(ProxyEvent::Request { request, message, is_routed, .. }) => {
                    let options = ForwardOptions {
                        ring_for: server.ring_for,
                        record_route: server.record_route,
                        ..ForwardOptions::default()
                    };
                    let onwards = || TargetSet::one(Branch::to(message.uri().unwrap().to_owned()));
                    let decision =
                        if is_routed { Decision::Forward(onwards()) } else { (server.decide)(&message) };
                    if let Decision::ForwardedCall(_) = &decision {
                        let told = Reply::new(StatusCode::CALL_IS_BEING_FORWARDED);
                        server.proxy.respond(request, &told, now).unwrap();
                    }
                    match decision {
                        Decision::Reply(reply) => server.proxy.respond(request, &reply, now).unwrap(),
                        Decision::Forward(targets) | Decision::ForwardedCall(targets) => {
                            server.proxy.forward(request, targets, &options, now).unwrap();
                        }
                    }
                }
                Output::Event(ProxyEvent::BranchEnded {
                    request, end: BranchEnd::Answered(status), ..
                }) if server.tells && !status.is_success() => {
                    let told = Reply::new(StatusCode::CALL_IS_BEING_FORWARDED);
                    // After the last one it is done already.
                    let _ = server.proxy.respond(request, &told, now);
                }
                Output::Event(_) => {}
                Output::Transmit(transmit) => self.transmit(at, transmit),
                Output::Route { id, .. } => {
                    let local = self.nodes[at].address.ip();
                    let Kind::Proxy(server) = &mut self.nodes[at].kind else { unreachable!() };
                    let route = Some(RouteInfo { local, interface: "eth0".into() });
                    server.proxy.handle_input(Input::Routed { id, route }, now);
                }
                other => panic!("not on this network: {other:?}"),
            }
        }
        any
    }

    fn transmit(&mut self, from: usize, transmit: Transmit) {
        let Some(to) = self.nodes.iter().position(|node| node.address == transmit.destination) else {
            self.arrows.push(format!("{} -> {} (nobody there)", self.nodes[from].name, transmit.destination));
            return;
        };
        self.put(from, to, transmit.payload);
    }

    // -- looking

    /// The arrows since the last look.
    pub(crate) fn arrows(&mut self) -> Vec<String> {
        std::mem::take(&mut self.arrows)
    }

    /// The next event of an endpoint that fits; events before it are dropped.
    pub(crate) fn event<T>(&mut self, name: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let mut passed = Vec::new();
        while let Some(event) = self.user(name).events.pop_front() {
            if let Some(picked) = pick(&event) {
                return picked;
            }
            passed.push(format!("{event:?}").chars().take(100).collect::<String>());
        }
        panic!("{name} was not told; there was only {passed:#?}");
    }

    /// Whether an event that fits is waiting; none is taken.
    pub(crate) fn has_event(&mut self, name: &str, fits: impl Fn(&Event) -> bool) -> bool {
        self.user(name).events.iter().any(fits)
    }

    pub(crate) fn forget_events(&mut self, name: &str) {
        self.user(name).events.clear();
    }

    // -- what most tests begin with

    pub(crate) fn place(&self, from: &str, to: &str) -> PlaceCall {
        let mut place = PlaceCall::new(Party::new(self.uri(from)), Party::new(self.uri(to)), self.target(to));
        place.local.user = from.to_owned();
        place.body = Some(offer());
        place
    }

    pub(crate) fn call(&mut self, from: &str, to: &str) -> CallHandle {
        let place = self.place(from, to);
        self.tell(from, |endpoint, now| endpoint.place_call(place, now)).unwrap()
    }

    /// The INVITE that came in becomes a call.
    pub(crate) fn accept(&mut self, name: &str) -> CallHandle {
        self.accept_with(name, CallOptions::default())
    }

    pub(crate) fn accept_with(&mut self, name: &str, options: CallOptions) -> CallHandle {
        let request = self.incoming(name, Method::Invite).0;
        let local = LocalIdentity { user: name.to_owned(), ..LocalIdentity::default() };
        self.tell(name, |endpoint, now| endpoint.accept_call(request, &local, options, now)).unwrap()
    }

    pub(crate) fn incoming(&mut self, name: &str, method: Method) -> (RequestHandle, Request) {
        self.event(name, |event| match event {
            Event::Incoming { request, message, .. } if *message.method() == method => {
                Some((*request, message.clone()))
            }
            _ => None,
        })
    }

    pub(crate) fn ring(&mut self, name: &str, call: CallHandle) {
        self.tell(name, |endpoint, now| endpoint.ring(call, &Reply::new(StatusCode::RINGING), now)).unwrap();
    }

    pub(crate) fn answer(&mut self, name: &str, call: CallHandle) {
        let reply = Reply::new(StatusCode::OK).with_body(answer());
        self.tell(name, |endpoint, now| endpoint.answer(call, &reply, now)).unwrap();
    }

    pub(crate) fn hang_up(&mut self, name: &str, call: CallHandle) {
        self.tell(name, |endpoint, now| endpoint.hang_up(call, &Headers::new(), now)).unwrap();
    }

    /// A call from alice to bob that both know is up; what led there is forgotten.
    pub(crate) fn established() -> (Self, CallHandle, CallHandle) {
        let mut ladder = Self::alice_and_bob();
        let (alices, bobs) = ladder.establish("alice", "bob");
        (ladder, alices, bobs)
    }

    pub(crate) fn establish(&mut self, from: &str, to: &str) -> (CallHandle, CallHandle) {
        let callers = self.call(from, to);
        self.run();
        let callees = self.accept(to);
        self.answer(to, callees);
        self.run();
        self.arrows();
        self.messages.clear();
        self.forget_events(from);
        self.forget_events(to);
        (callers, callees)
    }

    pub(crate) fn end_of(&mut self, name: &str, call: CallHandle) -> CallEnd {
        self.event(name, |event| match event {
            Event::CallEnded { call: ended, reason } if *ended == call => Some(reason.clone()),
            _ => None,
        })
    }

    /// After all timers nothing is left anywhere.
    pub(crate) fn assert_nothing_left(&mut self) {
        self.pass_seconds(200);
        for node in &self.nodes {
            if let Kind::Proxy(server) = &node.kind {
                assert_eq!(server.proxy.counts(), ProxyCounts::default(), "{}", node.name);
            }
            if let Kind::Endpoint(user) = &node.kind {
                let mut counts = user.endpoint.counts();
                (counts.bindings, counts.addresses_of_record) = (0, 0);
                counts.deadlines = 0;
                assert_eq!(counts, Counts::default(), "{}", node.name);
                assert_eq!(user.endpoint.poll_timeout(), None, "{} still waits for something", node.name);
            }
        }
    }
}

impl Node {
    fn poll_timeout(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Endpoint(user) => user.endpoint.poll_timeout(),
            Kind::Proxy(server) => server.proxy.poll_timeout(),
            Kind::Raw(_) => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.kind {
            Kind::Endpoint(user) => user.endpoint.handle_timeout(now),
            Kind::Proxy(server) => server.proxy.handle_timeout(now),
            Kind::Raw(_) => {}
        }
    }
}

impl User {
    fn look_up(&mut self, lookup: Lookup) -> Option<Provided> {
        match lookup {
            Lookup::Credentials { user, .. } => {
                let passwords = self.passwords.as_ref()?;
                Some(match passwords.get(&*user) {
                    Some(password) => Provided::Secret { user, secret: Secret::password(password.clone()) },
                    None => Provided::Nothing,
                })
            }
            Lookup::StoreBindings { address_of_record, bindings } => {
                if !self.store_works {
                    return Some(Provided::Failed);
                }
                self.stored.push((address_of_record.to_string(), bindings.to_vec()));
                Some(Provided::Stored)
            }
            _ => Some(Provided::Nothing),
        }
    }
}

pub(crate) fn offer() -> Body {
    Body::sdp(
        "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
    )
}

pub(crate) fn answer() -> Body {
    Body::sdp(
        "v=0\r\no=b 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n",
    )
}

pub(crate) fn other_sdp(version: u32) -> Body {
    Body::sdp(format!(
        "v=0\r\no=x 1 {version} IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
    ))
}

/// A message of a test as it goes over the wire.
pub(crate) fn wire(text: &str) -> String {
    let text = text.trim_start();
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let body = body.trim_end().lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
    let mut out = head.lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
    if !out.to_ascii_lowercase().contains("content-length:") {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out + "\r\n" + &body
}
