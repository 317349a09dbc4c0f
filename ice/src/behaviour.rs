//! What kind of NAT is in the way: behaviour discovery with a server that helps (RFC 5780 section 4.3 and 4.4).
//!
//! A machine with one UDP socket. Filtering is tried first, while the server's other addresses have never been sent to; then
//! mapping, then hairpinning. It runs once, takes some seconds when answers are filtered, and ends with one event. Left out: the
//! lifetime of bindings, which takes minutes and another socket.

use crate::io::{Input, Output, Protocol, Seed, Transmit};
use crate::random::Generator;
use crate::stun::attribute::{ChangeRequest, MappedAddress, OtherAddress, XorMappedAddress};
use crate::stun::transaction::Due;
use crate::stun::{Class, Message, Method, Timing, TransactionId, Transactions, Writer, is_stun};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a behaviour depends on (RFC 4787 sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// Nothing: the same for every peer.
    EndpointIndependent,
    /// The peer's address.
    AddressDependent,
    /// The peer's address and port.
    AddressAndPortDependent,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// The socket.
    pub local: SocketAddr,
    /// How the server sees it; `None`: no answer at all, UDP is blocked or the server is silent.
    pub mapped: Option<SocketAddr>,
    /// Which peers see the same address; `None`: the server does not help, or did not answer.
    pub mapping: Option<Dependence>,
    /// Which peers may send; `None`: the server does not help.
    pub filtering: Option<Dependence>,
    /// Whether a packet to our own outside address comes back; `None` without a NAT.
    pub hairpinning: Option<bool>,
}

impl Behaviour {
    /// Whether addresses are translated at all.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.mapped.is_some_and(|mapped| mapped != self.local)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoveryEvent {
    /// All is known that can be. Nothing comes after this.
    Found(Behaviour),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    First,
    FilteringOther,
    FilteringPort,
    MappingAddress,
    MappingPort,
    Hairpin,
    Done,
}

/// The discovery.
#[derive(Debug)]
pub struct Discovery {
    server: SocketAddr,
    other: Option<SocketAddr>,
    step: Step,
    found: Behaviour,
    /// What the server's other address sees.
    second: Option<SocketAddr>,
    timing: Timing,
    transactions: Transactions<Step>,
    /// The request that should come back to us.
    hairpin: Option<TransactionId>,
    generator: Generator,
    latest: Instant,
    outputs: VecDeque<Output<DiscoveryEvent>>,
}

impl Discovery {
    /// Asks `server` about the socket `local`.
    #[must_use]
    pub fn new(server: SocketAddr, local: SocketAddr, seed: Seed, now: Instant) -> Self {
        let found = Behaviour { local, mapped: None, mapping: None, filtering: None, hairpinning: None };
        let mut discovery = Self {
            server,
            other: None,
            step: Step::First,
            found,
            second: None,
            // Silence is an answer here, and must not take long: three and a half seconds.
            timing: Timing { requests: 3, last_wait: 4, ..Timing::default() },
            transactions: Transactions::new(),
            hairpin: None,
            generator: Generator::new(seed),
            latest: now,
            outputs: VecDeque::new(),
        };
        discovery.ask(server, None, now);
        discovery
    }

    /// What the network did.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.latest = self.latest.max(now);
        if let Input::Datagram { local, remote, payload } = input
            && local == self.found.local
        {
            self.receive(payload, remote);
        }
    }

    /// A deadline has come, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        let now = self.latest;
        let local = self.found.local;
        let (mut again, mut silent) = (Vec::new(), Vec::new());
        self.transactions.handle_timeout(now, |_, due| match due {
            Due::Resend(_, request, destination) => again.push((request.clone(), destination)),
            Due::TimedOut(step) => silent.push(step),
        });
        for (payload, destination) in again {
            self.transmit(local, destination, payload);
        }
        for step in silent {
            self.answered(step, None, now);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<DiscoveryEvent>> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.transactions.next_due()
    }

    fn receive(&mut self, datagram: &[u8], remote: SocketAddr) {
        let now = self.latest;
        if !is_stun(datagram) {
            return;
        }
        let Ok(message) = Message::parse(datagram) else { return };
        if message.method() != Method::BINDING {
            return;
        }
        if message.class() == Class::Request {
            // Our own, around the corner.
            if Some(message.id()) == self.hairpin && self.transactions.finish(message.id(), now).is_some() {
                self.answered(Step::Hairpin, self.found.mapped, now);
            }
            return;
        }
        let Some(step) = self.transactions.get(message.id()).copied() else { return };
        // An answer from where it must come from shows nothing if it came from elsewhere.
        let expected = match (step, self.other) {
            (Step::FilteringOther, Some(other)) => Some(other),
            (Step::FilteringPort, Some(other)) => Some(SocketAddr::new(self.server.ip(), other.port())),
            _ => self.transactions.peer(message.id()),
        };
        let mapped = message.get::<XorMappedAddress>().ok().flatten().map(|it| it.0);
        let mapped = mapped.or_else(|| message.get::<MappedAddress>().ok().flatten().map(|it| it.0));
        if step == Step::First && message.class() == Class::Success {
            self.other = message.get::<OtherAddress>().ok().flatten().map(|it| it.0);
            // A server whose other address nobody can reach does not help (erratum 7971).
            self.other =
                self.other.filter(|other| !other.ip().is_unspecified() && other.ip() != self.server.ip());
        }
        if Some(remote) == expected && self.transactions.finish(message.id(), now).is_some() {
            let mapped = mapped.filter(|_| message.class() == Class::Success);
            self.answered(step, mapped, now);
        }
    }

    /// A question is answered, or nobody answered it.
    fn answered(&mut self, step: Step, mapped: Option<SocketAddr>, now: Instant) {
        if step != self.step {
            return;
        }
        let (server, other) = (self.server, self.other);
        match (step, mapped, other) {
            (Step::First, Some(mapped), Some(_)) => {
                self.found.mapped = Some(mapped);
                self.step = Step::FilteringOther;
                self.ask(server, Some(ChangeRequest::new(true, true)), now);
            }
            (Step::First, mapped, _) => {
                self.found.mapped = mapped;
                self.done();
            }
            (Step::FilteringOther, None, Some(_)) => {
                self.step = Step::FilteringPort;
                self.ask(server, Some(ChangeRequest::new(false, true)), now);
            }
            (Step::FilteringOther, Some(_), Some(other)) => {
                self.found.filtering = Some(Dependence::EndpointIndependent);
                self.ask_mapping(other, now);
            }
            (Step::FilteringPort, answer, Some(other)) => {
                let by_port = Dependence::AddressAndPortDependent;
                self.found.filtering = Some(answer.map_or(by_port, |_| Dependence::AddressDependent));
                self.ask_mapping(other, now);
            }
            (Step::MappingAddress, Some(second), _) if Some(second) == self.found.mapped => {
                self.found.mapping = Some(Dependence::EndpointIndependent);
                self.ask_hairpin(now);
            }
            (Step::MappingAddress, Some(second), Some(other)) => {
                self.second = Some(second);
                self.step = Step::MappingPort;
                self.ask(other, None, now);
            }
            (Step::MappingPort, Some(third), _) => {
                let same = Some(third) == self.second;
                let by_port = Dependence::AddressAndPortDependent;
                self.found.mapping = Some(if same { Dependence::AddressDependent } else { by_port });
                self.ask_hairpin(now);
            }
            (Step::MappingAddress | Step::MappingPort, ..) => self.ask_hairpin(now),
            (Step::Hairpin, answer, _) => {
                self.found.hairpinning = Some(answer.is_some());
                self.done();
            }
            (Step::FilteringOther | Step::FilteringPort, _, None) | (Step::Done, ..) => self.done(),
        }
    }

    fn ask_mapping(&mut self, other: SocketAddr, now: Instant) {
        self.step = Step::MappingAddress;
        self.ask(SocketAddr::new(other.ip(), self.server.port()), None, now);
    }

    fn ask_hairpin(&mut self, now: Instant) {
        match self.found.mapped.filter(|_| self.found.is_translated()) {
            Some(mapped) => {
                self.step = Step::Hairpin;
                let id = self.ask(mapped, None, now);
                self.hairpin = Some(id);
            }
            None => self.done(),
        }
    }

    fn done(&mut self) {
        if self.step != Step::Done {
            self.step = Step::Done;
            self.transactions.forget(|_| true);
            self.outputs.push_back(Output::Event(DiscoveryEvent::Found(self.found)));
        }
    }

    fn ask(&mut self, destination: SocketAddr, change: Option<ChangeRequest>, now: Instant) -> TransactionId {
        let id = self.generator.transaction_id();
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, id);
        if let Some(change) = change {
            writer.put(&change);
        }
        writer.fingerprint();
        let length = writer.finish().unwrap_or(0);
        let request = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        let timing = Timing { stream_wait: Duration::ZERO, ..self.timing };
        self.transactions.begin(id, self.step, (request.clone(), destination), (false, timing), now);
        self.transmit(self.found.local, destination, request);
        id
    }

    fn transmit(&mut self, source: SocketAddr, destination: SocketAddr, payload: Bytes) {
        self.outputs.push_back(Output::Transmit(Transmit {
            source: Some(source),
            destination,
            protocol: Protocol::Udp,
            stream: None,
            payload,
        }));
    }
}
