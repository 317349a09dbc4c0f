//! Two transaction layers, or one and a script, on virtual time: what one transmits is the other's input.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub(crate) mod exchange;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use denwa_sip_core::{
    Input, Method, Output, Protocol, Request, Response, Seed, StatusCode, StreamId, Transmit,
    config::{Listener, TransactionConfig},
    io::{QueryId, Question},
    message::{Message, ParseOptions},
    transaction::{TransactionEvent, Transactions},
};

pub(crate) const A: &str = "192.0.2.1:5060";
pub(crate) const B: &str = "192.0.2.2:5060";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One layer, its clock, and what it has said.
pub(crate) struct Bench {
    pub(crate) layer: Transactions,
    pub(crate) local: SocketAddr,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) sent: VecDeque<Transmit>,
    pub(crate) events: VecDeque<TransactionEvent>,
    pub(crate) opened: VecDeque<(StreamId, Protocol, SocketAddr)>,
    pub(crate) closed: VecDeque<StreamId>,
    pub(crate) questions: VecDeque<(QueryId, Question)>,
    pub(crate) routes: VecDeque<(QueryId, SocketAddr)>,
}

impl Bench {
    pub(crate) fn new(local: &str) -> Self {
        let local = address(local);
        Self::with(TransactionConfig::new(
            [Protocol::Udp, Protocol::Tcp].map(|protocol| Listener::new(protocol, local)).to_vec(),
        ))
    }

    pub(crate) fn with(config: TransactionConfig) -> Self {
        let start = Instant::now();
        let local = config.listeners[0].local;
        Self {
            layer: Transactions::new(config, Seed([local.port().to_be_bytes()[1]; 32]), start),
            local,
            start,
            now: start,
            sent: VecDeque::new(),
            events: VecDeque::new(),
            opened: VecDeque::new(),
            closed: VecDeque::new(),
            questions: VecDeque::new(),
            routes: VecDeque::new(),
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.layer.poll_output() {
            match output {
                Output::Transmit(transmit) => self.sent.push_back(transmit),
                Output::Event(event) => self.events.push_back(event),
                Output::OpenStream { stream, protocol, remote, .. } => {
                    self.opened.push_back((stream, protocol, remote))
                }
                Output::CloseStream { stream } => self.closed.push_back(stream),
                Output::Resolve { id, question } => self.questions.push_back((id, question)),
                Output::Route { id, destination } => self.routes.push_back((id, destination)),
                Output::Lookup { .. } => panic!("nothing is looked up here"),
            }
        }
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.layer.handle_input(input, self.now);
        self.drain();
    }

    pub(crate) fn datagram(&mut self, from: &str, payload: impl AsRef<[u8]>) {
        let input = Input::Datagram { local: self.local, remote: address(from), payload: payload.as_ref() };
        self.input(input);
    }

    /// Lets virtual time pass, stopping at each deadline. The tenth law is checked on the way.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.layer.poll_timeout().filter(|at| *at <= until) {
            assert!(at > self.now, "a deadline that is not in the future after it was handled");
            self.now = at;
            self.layer.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
        self.layer.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn elapsed(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    pub(crate) fn next_sent(&mut self) -> (Message, Transmit) {
        let transmit = self.sent.pop_front().expect("something was sent");
        let message = Message::parse(transmit.payload.clone(), &ParseOptions::strict())
            .expect("what is sent is well-formed");
        (message, transmit)
    }

    pub(crate) fn sent_response(&mut self) -> Response {
        let (Message::Response(response), _) = self.next_sent() else { panic!("a request was sent") };
        response
    }

    pub(crate) fn sent_request(&mut self) -> Request {
        let (Message::Request(request), _) = self.next_sent() else { panic!("a response was sent") };
        request
    }

    pub(crate) fn statuses_sent(&mut self) -> Vec<u16> {
        let mut out = Vec::new();
        while !self.sent.is_empty() {
            match self.next_sent().0 {
                Message::Request(_) => out.push(0),
                Message::Response(response) => out.push(response.status().code()),
            }
        }
        out
    }

    pub(crate) fn event(&mut self) -> TransactionEvent {
        self.events.pop_front().expect("an event")
    }

    pub(crate) fn no_more(&self) {
        assert!(self.sent.is_empty(), "also sent: {:?}", self.sent);
        assert!(self.events.is_empty(), "also told: {:?}", self.events);
    }

    /// Everything runs out and nothing is left.
    pub(crate) fn settles(&mut self) {
        self.pass(Duration::from_secs(3600));
        assert_eq!(
            self.layer.counts(),
            denwa_sip_core::transaction::TransactionCounts {
                streams: self.layer.counts().streams,
                ..Default::default()
            }
        );
        assert_eq!(self.layer.poll_timeout(), None);
    }
}

/// A request as another implementation would send it.
pub(crate) fn request(method: &str, via: &str) -> String {
    format!(
        "{method} sip:b@192.0.2.2 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:a@192.0.2.1>;tag=fa\r\n\
        To: <sip:b@192.0.2.2>\r\nCall-ID: call-1\r\nCSeq: 1 {method}\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request for `send_request`: without a Via.
pub(crate) fn own_request(method: Method) -> Request {
    let cseq = format!("1 {method}");
    Request::builder(method, "sip:b@192.0.2.2")
        .header("Max-Forwards", 70)
        .header("From", "<sip:a@192.0.2.1>;tag=fa")
        .header("To", "<sip:b@192.0.2.2>")
        .header("Call-ID", "call-1")
        .header("CSeq", cseq)
        .finish()
        .unwrap()
}

/// The response to what was sent.
pub(crate) fn answer(request: &Request, status: u16) -> Bytes {
    request.response(StatusCode::new(status).unwrap()).to_tag("tb").finish().unwrap().bytes().clone()
}
