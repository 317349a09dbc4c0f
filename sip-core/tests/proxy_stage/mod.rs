//! A proxy with hand-written clients and servers around it, each at an address of which the last number is its name.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sip_core::{
    Request, Response,
    config::{Listener, TransactionConfig},
    io::{Input, Output, Protocol, RouteInfo, Seed, StreamId},
    message::{Message, Method, StatusCode, UriBuf},
    proxy::{
        Branch, ForwardHandle, ForwardOptions, Order, Proxy, ProxyConfig, ProxyCounts, ProxyEvent, TargetSet,
    },
    transport::Target,
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) now: Instant,
    pub(crate) sent: VecDeque<(SocketAddr, Message)>,
    pub(crate) events: VecDeque<ProxyEvent>,
    /// Connections that stand, by the other end.
    streams: Vec<(SocketAddr, StreamId)>,
    accepted: u64,
}

pub(crate) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

pub(crate) const PROXY: u8 = 1;
pub(crate) const TCP_PORT: u16 = 5070;
pub(crate) const CLIENT: u8 = 2;

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// It listens on UDP and TCP, each at a port of its own.
    pub(crate) fn with(adjust: impl FnOnce(&mut ProxyConfig)) -> Self {
        let now = Instant::now();
        let listeners = vec![
            Listener::new(Protocol::Udp, address(PROXY)),
            Listener::new(Protocol::Tcp, SocketAddr::new(address(PROXY).ip(), TCP_PORT)),
        ];
        let mut config = ProxyConfig::new(TransactionConfig::new(listeners));
        adjust(&mut config);
        Self {
            proxy: Proxy::new(config, Seed([9; 32]), now),
            now,
            sent: VecDeque::new(),
            events: VecDeque::new(),
            streams: Vec::new(),
            accepted: 0,
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::Transmit(it) => {
                    self.sent.push_back((it.destination, Message::parse_lenient(it.payload).unwrap()));
                }
                Output::Event(event) => self.events.push_back(event),
                Output::Route { id, .. } => {
                    let route = Some(RouteInfo { local: address(PROXY).ip(), interface: "".into() });
                    self.proxy.handle_input(Input::Routed { id, route }, self.now);
                }
                Output::OpenStream { stream, protocol, remote, .. } => {
                    self.streams.push((remote, stream));
                    let local = SocketAddr::new(address(PROXY).ip(), 49_152);
                    let input = Input::StreamOpened { stream, protocol, local, remote, peer_identity: None };
                    self.proxy.handle_input(input, self.now);
                }
                // Names are never found out here.
                Output::Resolve { .. } => {}
                Output::CloseStream { stream } => self.streams.retain(|(_, it)| *it != stream),
                other => panic!("{other:?}"),
            }
        }
    }

    /// A telephone connects.
    pub(crate) fn connect(&mut self, from: u8) {
        let stream = StreamId::accepted(self.accepted);
        self.accepted += 1;
        let local = SocketAddr::new(address(PROXY).ip(), TCP_PORT);
        let (protocol, remote) = (Protocol::Tcp, address(from));
        let input = Input::StreamOpened { stream, protocol, local, remote, peer_identity: None };
        self.proxy.handle_input(input, self.now);
        self.streams.push((remote, stream));
        self.drain();
    }

    /// Its connection breaks.
    pub(crate) fn disconnect(&mut self, from: u8) {
        let at = self.streams.iter().position(|(remote, _)| *remote == address(from)).unwrap();
        let (_, stream) = self.streams.remove(at);
        self.proxy.handle_input(Input::StreamClosed { stream }, self.now);
        self.drain();
    }

    /// A message from somebody: over his connection if he has one, else as a datagram.
    pub(crate) fn receive(&mut self, from: u8, text: &str) {
        let text = text.trim_start().lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
        let text = format!("{text}Content-Length: 0\r\n\r\n");
        if let Some((_, stream)) = self.streams.iter().find(|(remote, _)| *remote == address(from)) {
            let input = Input::StreamData { stream: *stream, payload: text.as_bytes() };
            self.proxy.handle_input(input, self.now);
            return self.drain();
        }
        let input =
            Input::Datagram { local: address(PROXY), remote: address(from), payload: text.as_bytes() };
        self.proxy.handle_input(input, self.now);
        self.drain();
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.proxy.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.proxy.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// The next request the proxy sends to somebody; what it repeats is passed over.
    pub(crate) fn request_to(&mut self, to: u8, method: &Method) -> Request {
        let at = self.sent.iter().position(|(destination, message)| {
            *destination == address(to)
                && message.as_request().is_some_and(|request| request.method() == method)
        });
        let at = at.unwrap_or_else(|| panic!("no {method} to {to}; there is {:?}", self.summary()));
        self.sent.remove(at).unwrap().1.as_request().unwrap().clone()
    }

    pub(crate) fn response(&mut self, status: u16) -> Response {
        let at = self.sent.iter().position(|(destination, message)| {
            *destination == address(CLIENT)
                && message.as_response().is_some_and(|response| response.status().code() == status)
        });
        let at = at.unwrap_or_else(|| panic!("no {status} to the client; there is {:?}", self.summary()));
        self.sent.remove(at).unwrap().1.as_response().unwrap().clone()
    }

    pub(crate) fn summary(&self) -> Vec<String> {
        self.sent
            .iter()
            .map(|(to, message)| match message {
                Message::Request(request) => format!("{} to {to}", request.method()),
                Message::Response(response) => format!("{} to {to}", response.status().code()),
            })
            .collect()
    }

    pub(crate) fn asked(&mut self) -> (ForwardHandle, Request) {
        loop {
            let event = self.events.pop_front().expect("a request to be forwarded");
            if let ProxyEvent::Request { request, message, .. } = event {
                return (request, message);
            }
        }
    }

    pub(crate) fn forward(&mut self, to: &[u8], order: Order, options: &ForwardOptions) -> ForwardHandle {
        let (handle, _) = self.asked();
        let branches = to.iter().map(|to| branch(*to)).collect();
        self.proxy.forward(handle, TargetSet::of(branches, order), options, self.now).unwrap();
        self.drain();
        handle
    }

    pub(crate) fn answer(&mut self, from: u8, request: &Request, status: &str, more: &str) {
        let header =
            |name: &str| request.get_all(name).map(|value| format!("{name}: {value}\n")).collect::<String>();
        let text = format!(
            "SIP/2.0 {status}\n{}{}To: {};tag=t{from}\n{}{}{more}",
            header("Via"),
            header("From"),
            request.get("To").unwrap(),
            header("Call-ID"),
            header("CSeq")
        );
        self.receive(from, &text);
    }

    pub(crate) fn done(&mut self) -> Option<StatusCode> {
        loop {
            let event = self.events.pop_front().expect("the end of a request");
            if let ProxyEvent::Done { status, .. } = event {
                return status;
            }
        }
    }

    pub(crate) fn assert_nothing_left(&mut self) {
        self.pass(400);
        assert_eq!(self.proxy.counts(), ProxyCounts::default());
        assert_eq!(self.proxy.poll_timeout(), None);
    }
}

pub(crate) fn branch(to: u8) -> Branch {
    let mut branch = Branch::to(UriBuf::parse(&format!("sip:bob@{}", address(to))).unwrap());
    branch.target = Some(Target::address(Protocol::Udp, address(to)));
    branch
}

pub(crate) fn invite(more: &str) -> String {
    format!(
        "INVITE sip:bob@example.com SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bKc1
        From: <sip:alice@example.com>;tag=a
        To: <sip:bob@example.com>
        Call-ID: c
        CSeq: 1 INVITE
        Contact: <sip:alice@192.0.2.2>
        {more}"
    )
}
