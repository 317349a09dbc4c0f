//! Moving time: the queue of occurrences, and machines being run when something concerns them.

use super::{Network, Node};
use crate::machine::{Machine, Output, Protocol, Stimulus, StreamFailure, Transmit};
use crate::packet::{Body, Packet};
use crate::stream::{Effects, Key};
use crate::trace::{self, Happening};
use std::any::Any;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More outputs than this from one input are taken for an endless loop.
const OUTPUTS_PER_INPUT: usize = 100_000;
/// A stream that stays within a host takes this long.
pub(super) const LOOPBACK: Duration = Duration::from_micros(20);

pub(super) struct NodeSlot {
    host: usize,
    /// Absent only while it runs.
    machine: Option<Box<dyn Machine>>,
    bound: Vec<(Protocol, SocketAddr)>,
    identity: Option<Arc<str>>,
    /// The deadline for which an occurrence is queued.
    wake_at: Option<Instant>,
    /// Old occurrences are known by an older number.
    wake_generation: u64,
}

impl NodeSlot {
    pub(super) fn new(host: usize, machine: Box<dyn Machine>) -> Self {
        Self {
            host,
            machine: Some(machine),
            bound: Vec::new(),
            identity: None,
            wake_at: None,
            wake_generation: 0,
        }
    }

    pub(super) const fn host(&self) -> usize {
        self.host
    }

    pub(super) fn bound(&mut self, protocol: Protocol, local: SocketAddr) {
        if !self.bound.contains(&(protocol, local)) {
            self.bound.push((protocol, local));
        }
    }

    pub(super) fn unbound(&mut self, protocol: Protocol, local: SocketAddr) {
        self.bound.retain(|binding| *binding != (protocol, local));
    }

    pub(super) fn set_identity(&mut self, name: Arc<str>) {
        self.identity = Some(name);
    }

    pub(super) fn identity(&self) -> Option<Arc<str>> {
        self.identity.clone()
    }

    fn first_port(&self, protocol: Protocol, v4: bool) -> Option<SocketAddr> {
        let fits = |(bound, local): &&(Protocol, SocketAddr)| {
            *bound == protocol && (local.is_ipv4() == v4 || local.ip().is_unspecified())
        };
        self.bound.iter().find(fits).map(|(_, local)| *local)
    }
}

/// What will happen.
pub(super) enum Occurrence {
    /// A packet reaches an interface of a host; `None`: from the host itself.
    Arrival { host: usize, interface: Option<usize>, packet: Packet },
    /// A machine gets an input.
    Delivery { node: usize, stimulus: Stimulus },
    /// A machine's deadline.
    Wake { node: usize, generation: u64 },
    /// A deadline of a host's streams.
    StreamTimer { host: usize },
    /// The script goes on.
    Script(Box<dyn FnOnce(&mut Network)>),
}

#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Scheduled>,
    next: u64,
}

struct Scheduled {
    at: Duration,
    number: u64,
    what: Occurrence,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    /// Earliest first, then oldest first; the heap gives out its greatest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl Queue {
    pub(super) fn push(&mut self, at: Duration, what: Occurrence) {
        self.heap.push(Scheduled { at, number: self.next, what });
        self.next += 1;
    }

    fn next_at(&self) -> Option<Duration> {
        self.heap.peek().map(|scheduled| scheduled.at)
    }
}

impl Network {
    // ---- running ----

    /// Lets this much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.elapsed + duration);
    }

    /// Lets time pass until this much has elapsed since the network began.
    pub fn run_until(&mut self, elapsed: Duration) {
        while self.queue.next_at().is_some_and(|at| at <= elapsed) {
            self.step();
        }
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// Lets time pass until `done`, at most for `limit`. Whether it was.
    pub fn run_until_true(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.elapsed + limit;
        loop {
            if done(self) {
                return true;
            }
            if self.queue.next_at().is_none_or(|at| at > end) {
                self.elapsed = end;
                return done(self);
            }
            self.step();
        }
    }

    /// Lets time pass until nothing is left to happen, at most for `limit`. Whether that came.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let end = self.elapsed + limit;
        while let Some(at) = self.queue.next_at() {
            if at > end {
                self.elapsed = end;
                return false;
            }
            self.step();
        }
        true
    }

    /// Lets the next thing happen. False when there is none.
    pub fn step(&mut self) -> bool {
        let Some(Scheduled { at, what, .. }) = self.queue.heap.pop() else { return false };
        self.elapsed = self.elapsed.max(at);
        match what {
            Occurrence::Arrival { host, interface, packet } => self.arrive(host, interface, packet),
            Occurrence::Delivery { node, stimulus } => self.deliver(node, stimulus),
            Occurrence::Wake { node, generation } => self.wake(node, generation),
            Occurrence::StreamTimer { host } => self.stream_timer(host),
            Occurrence::Script(script) => script(self),
        }
        true
    }

    /// Goes on with the script when this much has elapsed since the network began.
    pub fn schedule(&mut self, elapsed: Duration, script: impl FnOnce(&mut Self) + 'static) {
        self.queue.push(elapsed.max(self.elapsed), Occurrence::Script(Box::new(script)));
    }

    /// Calls commands of a machine, and does at once what it then wants done. `None` when `node` is of another network.
    pub fn with<M: Machine, R>(
        &mut self,
        node: Node<M>,
        command: impl FnOnce(&mut M, Instant) -> R,
    ) -> Option<R> {
        let now = self.now();
        let machine = self.nodes.get_mut(node.index)?.machine.as_deref_mut()?;
        let machine = (machine as &mut dyn Any).downcast_mut::<M>()?;
        let result = command(machine, now);
        self.settle(node.index);
        Some(result)
    }

    /// Looks at a machine. `None` when `node` is of another network.
    #[must_use]
    pub fn machine<M: Machine>(&self, node: Node<M>) -> Option<&M> {
        let machine = self.nodes.get(node.index)?.machine.as_deref()?;
        (machine as &dyn Any).downcast_ref::<M>()
    }

    // ---- machines ----

    fn wake(&mut self, node: usize, generation: u64) {
        let now = self.now();
        let Some(slot) = self.nodes.get_mut(node) else { return };
        if slot.wake_generation != generation {
            return;
        }
        slot.wake_at = None;
        if let Some(machine) = &mut slot.machine {
            machine.handle_timeout(now);
        }
        self.settle(node);
        // Law 3: the deadline has moved on. A machine that breaks it would stop time, so it is woken no more.
        let slot = &mut self.nodes[node];
        if slot.wake_at.is_some_and(|at| at <= now) {
            slot.wake_generation += 1;
            self.fault(node, "asks again for a deadline that has just been handled".to_owned());
        }
    }

    pub(super) fn deliver(&mut self, node: usize, mut stimulus: Stimulus) {
        let now = self.now();
        self.note_delivery(node, &stimulus);
        if let Some(machine) = self.nodes.get_mut(node).and_then(|slot| slot.machine.as_mut()) {
            machine.handle_input(stimulus.as_input(), now);
        }
        self.settle(node);
    }

    fn note_delivery(&mut self, node: usize, stimulus: &Stimulus) {
        let what = match stimulus {
            Stimulus::Datagram { local, remote, payload } => {
                Happening::Received(shortly(Protocol::Udp, *remote, *local, payload))
            }
            Stimulus::StreamData { protocol, local, remote, payload } => {
                Happening::Received(shortly(*protocol, *remote, *local, payload))
            }
            Stimulus::Unreachable { local, remote, reason } => {
                Happening::Noted(format!("{local} -> {remote} unreachable: {reason:?}"))
            }
            Stimulus::StreamOpened { protocol, local, remote, token, .. } => {
                let side = if token.is_some() { "opened" } else { "accepted" };
                Happening::Noted(format!("{protocol} {local} - {remote} {side}"))
            }
            Stimulus::StreamFailed { protocol, remote, reason, .. } => {
                Happening::Noted(format!("{protocol} to {remote} failed: {reason:?}"))
            }
            Stimulus::StreamClosed { protocol, local, remote, reason } => {
                Happening::Noted(format!("{protocol} {local} - {remote} closed: {reason:?}"))
            }
            Stimulus::Resolved { name, kind, answer, .. } => {
                let outcome =
                    answer.as_ref().map_or_else(|why| format!("{why:?}"), |it| it.len().to_string());
                Happening::Noted(format!("resolved {name} {kind:?}: {outcome}"))
            }
            Stimulus::Routed { destination, route, .. } => {
                let way =
                    route.as_ref().map_or("none".to_owned(), |it| format!("{} {}", it.local, it.interface));
                Happening::Noted(format!("route to {destination}: {way}"))
            }
            Stimulus::Provided { question, answer, .. } => {
                let known = if answer.is_some() { "known" } else { "unknown" };
                Happening::Noted(format!("looked up {question}: {known}"))
            }
        };
        self.record_at(self.nodes[node].host, what);
    }

    /// Drains a machine, does what it wants done, and notes when it wants to be woken.
    pub(super) fn settle(&mut self, node: usize) {
        let mut count = 0;
        while let Some(output) =
            self.nodes.get_mut(node).and_then(|slot| slot.machine.as_mut()).and_then(|it| it.poll_output())
        {
            self.perform(node, output);
            count += 1;
            if count > OUTPUTS_PER_INPUT {
                self.fault(node, "has no end of outputs".to_owned());
                break;
            }
        }
        let Some(slot) = self.nodes.get_mut(node) else { return };
        let deadline = slot.machine.as_ref().and_then(|machine| machine.poll_timeout());
        if deadline != slot.wake_at {
            slot.wake_at = deadline;
            slot.wake_generation += 1;
            if let Some(deadline) = deadline {
                let at = deadline.saturating_duration_since(self.started).max(self.elapsed);
                self.queue.push(at, Occurrence::Wake { node, generation: slot.wake_generation });
            }
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        let host = self.nodes[node].host;
        match output {
            Output::Transmit(transmit) => self.transmit(node, transmit),
            Output::OpenStream { token, protocol, source, destination } => {
                self.open_stream(node, token, protocol, source, destination);
            }
            Output::CloseStream { protocol, local, remote } => {
                let mut effects = Effects::default();
                let now = self.elapsed;
                if !self.hosts[host].streams.close(Key { local, remote }, node, now, &mut effects) {
                    self.note(host, format!("{protocol} {local} - {remote} is not there to be closed"));
                }
                self.perform_effects(host, effects);
            }
            Output::Resolve { token, name, kind } => {
                let (answer, latency) = self.names.answer(&name, kind);
                let stimulus = Stimulus::Resolved { token, name, kind, answer };
                self.queue.push(self.elapsed + latency, Occurrence::Delivery { node, stimulus });
            }
            Output::Route { token, destination } => {
                let route = self.route(crate::HostId(host), destination);
                let stimulus = Stimulus::Routed { token, destination, route };
                self.queue.push(self.elapsed, Occurrence::Delivery { node, stimulus });
            }
            Output::Lookup { token, question } => {
                let answer = self.answers.get(&question).cloned();
                let stimulus = Stimulus::Provided { token, question, answer };
                self.queue.push(self.elapsed + self.lookup_latency, Occurrence::Delivery { node, stimulus });
            }
            Output::Bind { protocol, local } => {
                if let Err(misuse) = self.bind_index(node, protocol, local) {
                    self.fault(node, misuse.to_string());
                }
            }
            Output::Unbind { protocol, local } => self.unbind_index(node, protocol, local),
            Output::Event { text, .. } => self.record_at(host, Happening::Event(text)),
        }
    }

    fn transmit(&mut self, node: usize, transmit: Transmit) {
        let Transmit { source, destination, protocol, payload } = transmit;
        let host = self.nodes[node].host;
        if protocol.is_stream() {
            let streams = &self.hosts[host].streams;
            let named = source.map(|local| Key { local, remote: destination });
            let key = named.or_else(|| streams.find(node, protocol, destination));
            let mut effects = Effects::default();
            let now = self.elapsed;
            match key {
                Some(key) if self.hosts[host].streams.send(key, node, &payload, now, &mut effects) => {
                    let sent = shortly(protocol, key.local, key.remote, &payload);
                    self.record_at(host, Happening::Sent(sent));
                    self.perform_effects(host, effects);
                }
                _ => self.note(host, format!("no {protocol} stream to {destination} to send on")),
            }
            return;
        }
        let Some(source) = self.datagram_source(node, source, destination) else {
            self.note(host, format!("no address to send from to {destination}"));
            return;
        };
        if !self.hosts[host].may_send(node, source) {
            self.fault(node, format!("sends from {source}, which it has not bound"));
            return;
        }
        if payload.len() > super::LARGEST_DATAGRAM {
            self.fault(node, format!("sends a datagram of {} bytes", payload.len()));
            return;
        }
        self.record_at(host, Happening::Sent(shortly(protocol, source, destination, &payload)));
        self.send(host, Packet::new(source, destination, Body::Datagram(payload)));
    }

    /// Fills in what the machine left to the host: the address, the port, or both.
    fn datagram_source(
        &self,
        node: usize,
        source: Option<SocketAddr>,
        destination: SocketAddr,
    ) -> Option<SocketAddr> {
        let slot = &self.nodes[node];
        let source = match source {
            Some(source) if !source.ip().is_unspecified() => return Some(source),
            Some(source) => source,
            None => slot.first_port(Protocol::Udp, destination.is_ipv4())?,
        };
        if !source.ip().is_unspecified() {
            return Some(source);
        }
        let route = self.route(crate::HostId(slot.host), destination.ip())?;
        Some((route.local, source.port()).into())
    }

    fn open_stream(
        &mut self,
        node: usize,
        token: u64,
        protocol: Protocol,
        source: Option<SocketAddr>,
        destination: SocketAddr,
    ) {
        let host = self.nodes[node].host;
        let route = self.route(crate::HostId(host), destination.ip());
        let fail = |reason| Stimulus::StreamFailed { token, protocol, remote: destination, reason };
        let address = source.map(|it| it.ip()).filter(|it| !it.is_unspecified());
        let Some(address) = address.or_else(|| route.map(|it| it.local)) else {
            let stimulus = fail(StreamFailure::Unreachable);
            self.queue.push(self.elapsed, Occurrence::Delivery { node, stimulus });
            return;
        };
        if !self.hosts[host].owns(address) {
            let stimulus = fail(StreamFailure::AddressInUse);
            self.queue.push(self.elapsed, Occurrence::Delivery { node, stimulus });
            return;
        }
        let port = source.map(|it| it.port()).filter(|port| *port != 0);
        let port = port.unwrap_or_else(|| self.hosts[host].ephemeral_port());
        let key = Key { local: (address, port).into(), remote: destination };
        let identity = self.nodes[node].identity().filter(|_| protocol.is_secure());
        let mut effects = Effects::default();
        let now = self.elapsed;
        self.hosts[host].streams.open((key, node, token), protocol, identity, now, &mut effects);
        self.perform_effects(host, effects);
    }

    // ---- the log ----

    pub(super) fn record_at(&mut self, host: usize, what: Happening) {
        let name = &self.hosts[host].name;
        self.trace.add(self.elapsed, host, name, what);
    }

    pub(super) fn note(&mut self, host: usize, text: String) {
        self.record_at(host, Happening::Noted(text));
    }

    fn fault(&mut self, node: usize, text: String) {
        self.record_at(self.nodes[node].host, Happening::Fault(text));
    }
}

fn shortly(protocol: Protocol, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> trace::Bytes {
    let fingerprint = crate::random::fingerprint(payload);
    trace::Bytes { protocol, source, destination, length: payload.len(), fingerprint }
}
