//! In-order byte streams: as much of TCP as a virtual network needs.
//!
//! Three-way opening (crossing openings included), acknowledged data with retransmission and backing off, orderly end
//! and reset. Left out on purpose: windows, congestion control, half-open use after one's own close.

use crate::machine::{CloseReason, Protocol, Stimulus, StreamFailure};
use crate::packet::{Body, Packet, Segment};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Largest payload of a segment, except where message boundaries are kept.
const LARGEST_SEGMENT: usize = 1400;
const FIRST_WAIT: Duration = Duration::from_millis(300);
const OPENING_WAIT: Duration = Duration::from_secs(1);
const OPENING_TRIES: u32 = 6;
const DATA_TRIES: u32 = 10;

/// All streams of a host.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    table: BTreeMap<Key, Connection>,
}

/// A stream's name on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

#[derive(Debug)]
struct Connection {
    protocol: Protocol,
    node: usize,
    /// Ours, when we asked for it.
    token: Option<u64>,
    /// Our certificate's name.
    identity: Option<Arc<str>>,
    state: State,
    /// Segments not yet acknowledged, oldest first.
    unacknowledged: VecDeque<Segment>,
    next_sequence: u64,
    expected: u64,
    early: BTreeMap<u64, Segment>,
    resend_at: Option<Duration>,
    wait: Duration,
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Our opening is on its way.
    Opening,
    /// We answered an opening.
    Answering,
    /// Both ends know.
    Open,
    /// We closed; what was sent before is still delivered. The machine has been told.
    Closing,
}

/// What a step wants done: packets to send, and inputs for machines.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) packets: Vec<Packet>,
    pub(crate) inputs: Vec<(usize, Stimulus)>,
}

impl Streams {
    pub(crate) fn uses_port(&self, port: u16) -> bool {
        self.table.keys().any(|key| key.local.port() == port)
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.table.values().filter_map(|connection| connection.resend_at).min()
    }

    /// The stream of `node` to `remote`: the only one, or the first by local address.
    pub(crate) fn find(&self, node: usize, protocol: Protocol, remote: SocketAddr) -> Option<Key> {
        let fits = |(key, connection): &(&Key, &Connection)| {
            key.remote == remote
                && connection.node == node
                && connection.protocol == protocol
                && connection.state != State::Closing
        };
        self.table.iter().find(fits).map(|(key, _)| *key)
    }

    /// Begins to open a stream.
    pub(crate) fn open(
        &mut self,
        (key, node, token): (Key, usize, u64),
        protocol: Protocol,
        identity: Option<Arc<str>>,
        now: Duration,
        effects: &mut Effects,
    ) {
        if self.table.contains_key(&key) {
            let reason = StreamFailure::AddressInUse;
            effects
                .inputs
                .push((node, Stimulus::StreamFailed { token, protocol, remote: key.remote, reason }));
            return;
        }
        let mut connection = Connection::new(protocol, node, Some(token), identity, State::Opening);
        connection.push(key, Bytes::new(), true, false, now, effects);
        self.table.insert(key, connection);
    }

    /// Sends on a stream. False when there is none.
    pub(crate) fn send(
        &mut self,
        key: Key,
        node: usize,
        data: &Bytes,
        now: Duration,
        effects: &mut Effects,
    ) -> bool {
        let Some(connection) = self.table.get_mut(&key).filter(|connection| connection.node == node) else {
            return false;
        };
        if connection.state == State::Closing {
            return false;
        }
        let limit = if connection.protocol.keeps_boundaries() { data.len() } else { LARGEST_SEGMENT }.max(1);
        let mut rest = data.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(limit.min(rest.len()));
            connection.push(key, piece, false, false, now, effects);
        }
        true
    }

    /// Closes a stream. False when there is none.
    pub(crate) fn close(&mut self, key: Key, node: usize, now: Duration, effects: &mut Effects) -> bool {
        let Some(connection) = self.table.get_mut(&key).filter(|connection| connection.node == node) else {
            return false;
        };
        match connection.state {
            State::Closing => return false,
            State::Opening => {
                let (protocol, token) = (connection.protocol, connection.token);
                self.table.remove(&key);
                if let Some(token) = token {
                    let reason = StreamFailure::TimedOut;
                    effects
                        .inputs
                        .push((node, Stimulus::StreamFailed { token, protocol, remote: key.remote, reason }));
                }
                return true;
            }
            State::Answering | State::Open => {
                connection.push(key, Bytes::new(), false, true, now, effects);
                connection.tell_closed(key, CloseReason::Local, effects);
                connection.state = State::Closing;
            }
        }
        true
    }

    /// Sends again what was not acknowledged, and gives up on what never is.
    pub(crate) fn handle_timeout(&mut self, now: Duration, effects: &mut Effects) {
        let due: Vec<Key> = (self.table.iter())
            .filter(|(_, connection)| connection.resend_at.is_some_and(|at| at <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(connection) = self.table.get_mut(&key) else { continue };
            connection.tries += 1;
            let opening = matches!(connection.state, State::Opening | State::Answering);
            if connection.tries >= if opening { OPENING_TRIES } else { DATA_TRIES } {
                connection.fail(key, StreamFailure::TimedOut, CloseReason::TimedOut, effects);
                self.table.remove(&key);
                continue;
            }
            connection.wait = (connection.wait * 2).min(Duration::from_secs(8));
            connection.resend_at = Some(now + connection.wait);
            let (acknowledged, acknowledges) = (connection.expected, connection.state != State::Opening);
            // What was handed over before the stream is open waits for that.
            let most = if opening { 1 } else { usize::MAX };
            for segment in connection.unacknowledged.iter_mut().take(most) {
                (segment.acknowledged, segment.acknowledges) = (acknowledged, acknowledges);
                effects.packets.push(Packet::new(key.local, key.remote, Body::Segment(segment.clone())));
            }
        }
    }

    /// Word came that our packets do not arrive: an opening fails, an open stream goes on trying.
    pub(crate) fn unreachable(&mut self, key: Key, effects: &mut Effects) {
        if let Some(connection) = self.table.get_mut(&key).filter(|it| it.state == State::Opening) {
            connection.fail(key, StreamFailure::Unreachable, CloseReason::Reset, effects);
            self.table.remove(&key);
        }
    }

    /// A segment arrived. `listener`: the node that accepts streams at this address, with its name.
    pub(crate) fn receive(
        &mut self,
        key: Key,
        segment: Segment,
        listener: Option<(usize, Option<Arc<str>>)>,
        now: Duration,
        effects: &mut Effects,
    ) {
        if let Some(connection) = self.table.get_mut(&key) {
            if connection.receive(key, segment, now, effects) == Step::Gone {
                self.table.remove(&key);
            }
            return;
        }
        if segment.reset {
            return;
        }
        if segment.open
            && !segment.acknowledges
            && let Some((node, identity)) = listener
        {
            let mut connection = Connection::new(segment.protocol, node, None, identity, State::Answering);
            connection.expected = segment.sequence + 1;
            connection.push(key, Bytes::new(), true, false, now, effects);
            connection.remember_peer(segment.identity);
            self.table.insert(key, connection);
            return;
        }
        let reset = Segment {
            reset: true,
            open: false,
            last: false,
            acknowledges: false,
            sequence: segment.acknowledged,
            payload: Bytes::new(),
            identity: None,
            ..segment
        };
        effects.packets.push(Packet::new(key.local, key.remote, Body::Segment(reset)));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Stays,
    Gone,
}

impl Connection {
    const fn new(
        protocol: Protocol,
        node: usize,
        token: Option<u64>,
        identity: Option<Arc<str>>,
        state: State,
    ) -> Self {
        Self {
            protocol,
            node,
            token,
            identity,
            state,
            unacknowledged: VecDeque::new(),
            next_sequence: 0,
            expected: 0,
            early: BTreeMap::new(),
            resend_at: None,
            wait: FIRST_WAIT,
            tries: 0,
        }
    }

    /// The opening segment's identity is kept among the early segments under a number no data can have.
    fn remember_peer(&mut self, identity: Option<Arc<str>>) {
        let mut marker = self.blank();
        marker.identity = identity;
        self.early.insert(u64::MAX, marker);
    }

    fn take_peer(&mut self) -> Option<String> {
        let marker = self.early.remove(&u64::MAX)?;
        marker.identity.filter(|_| self.protocol.is_secure()).map(|name| name.to_string())
    }

    const fn blank(&self) -> Segment {
        Segment {
            protocol: self.protocol,
            open: false,
            last: false,
            reset: false,
            acknowledges: !matches!(self.state, State::Opening),
            sequence: self.next_sequence,
            acknowledged: self.expected,
            identity: None,
            payload: Bytes::new(),
        }
    }

    /// Sends a segment that must be acknowledged.
    fn push(
        &mut self,
        key: Key,
        payload: Bytes,
        open: bool,
        last: bool,
        now: Duration,
        effects: &mut Effects,
    ) {
        let length = payload.len() as u64 + u64::from(open) + u64::from(last);
        let identity = if open { self.identity.clone() } else { None };
        let segment = Segment { open, last, payload, identity, ..self.blank() };
        self.next_sequence += length;
        // Data sent while the opening is not answered waits for the answer.
        if open || matches!(self.state, State::Open | State::Closing) {
            effects.packets.push(Packet::new(key.local, key.remote, Body::Segment(segment.clone())));
        }
        self.unacknowledged.push_back(segment);
        if self.resend_at.is_none() {
            self.wait = if open { OPENING_WAIT } else { FIRST_WAIT };
            self.tries = 0;
            self.resend_at = Some(now + self.wait);
        }
    }

    fn acknowledge(&self, key: Key, effects: &mut Effects) {
        effects.packets.push(Packet::new(key.local, key.remote, Body::Segment(self.blank())));
    }

    fn tell_closed(&self, key: Key, reason: CloseReason, effects: &mut Effects) {
        if matches!(self.state, State::Open) {
            let Key { local, remote } = key;
            let closed = Stimulus::StreamClosed { protocol: self.protocol, local, remote, reason };
            effects.inputs.push((self.node, closed));
        }
    }

    fn fail(&self, key: Key, failure: StreamFailure, closed: CloseReason, effects: &mut Effects) {
        match (self.state, self.token) {
            (State::Opening | State::Answering, Some(token)) => {
                let (protocol, remote) = (self.protocol, key.remote);
                effects
                    .inputs
                    .push((self.node, Stimulus::StreamFailed { token, protocol, remote, reason: failure }));
            }
            _ => self.tell_closed(key, closed, effects),
        }
    }

    fn receive(&mut self, key: Key, segment: Segment, now: Duration, effects: &mut Effects) -> Step {
        if segment.reset {
            self.fail(key, StreamFailure::Refused, CloseReason::Reset, effects);
            return Step::Gone;
        }
        if segment.acknowledges {
            self.take_acknowledgement(segment.acknowledged, now);
        }
        if segment.open {
            return self.receive_opening(key, &segment, now, effects);
        }
        if self.state == State::Opening {
            return Step::Stays; // from an older stream of the same name
        }
        if self.state == State::Answering {
            if !segment.acknowledges || segment.acknowledged == 0 {
                return Step::Stays;
            }
            self.become_open(key, effects);
        }
        let news = !segment.payload.is_empty() || segment.last;
        if news && segment.sequence >= self.expected {
            self.early.insert(segment.sequence, segment);
        }
        let ended = self.deliver(key, effects);
        if news {
            self.acknowledge(key, effects);
        }
        if ended && self.state == State::Open {
            // The peer is done; we answer in kind, and keep the stream only until that is acknowledged.
            self.tell_closed(key, CloseReason::Peer, effects);
            self.state = State::Closing;
            self.push(key, Bytes::new(), false, true, now, effects);
        }
        let done = self.state == State::Closing && self.unacknowledged.is_empty();
        if done { Step::Gone } else { Step::Stays }
    }

    fn receive_opening(&mut self, key: Key, segment: &Segment, now: Duration, effects: &mut Effects) -> Step {
        match self.state {
            State::Opening => {
                self.expected = segment.sequence + 1;
                self.remember_peer(segment.identity.clone());
                if segment.acknowledges {
                    self.become_open(key, effects);
                    self.acknowledge(key, effects);
                    self.flush(key, now, effects);
                } else {
                    // Both ends opened at once (RFC 9293 section 3.5, figure 8).
                    self.state = State::Answering;
                    let (acknowledged, acknowledges) = (self.expected, true);
                    if let Some(first) = self.unacknowledged.front_mut() {
                        (first.acknowledged, first.acknowledges) = (acknowledged, acknowledges);
                        effects.packets.push(Packet::new(
                            key.local,
                            key.remote,
                            Body::Segment(first.clone()),
                        ));
                    }
                }
            }
            State::Answering => {
                if segment.acknowledges && segment.acknowledged > 0 {
                    self.become_open(key, effects);
                    self.acknowledge(key, effects);
                } else if let Some(first) = self.unacknowledged.front() {
                    effects.packets.push(Packet::new(key.local, key.remote, Body::Segment(first.clone())));
                }
            }
            State::Open | State::Closing => self.acknowledge(key, effects),
        }
        Step::Stays
    }

    fn become_open(&mut self, key: Key, effects: &mut Effects) {
        self.state = State::Open;
        let Key { local, remote } = key;
        let peer_identity = self.take_peer();
        let (token, protocol) = (self.token, self.protocol);
        effects
            .inputs
            .push((self.node, Stimulus::StreamOpened { token, protocol, local, remote, peer_identity }));
    }

    /// Sends what was handed over before the stream was open.
    fn flush(&mut self, key: Key, now: Duration, effects: &mut Effects) {
        let acknowledged = self.expected;
        for segment in &mut self.unacknowledged {
            (segment.acknowledged, segment.acknowledges) = (acknowledged, true);
            effects.packets.push(Packet::new(key.local, key.remote, Body::Segment(segment.clone())));
        }
        self.wait = FIRST_WAIT;
        self.resend_at = (!self.unacknowledged.is_empty()).then(|| now + self.wait);
    }

    fn take_acknowledgement(&mut self, acknowledged: u64, now: Duration) {
        let mut moved = false;
        while let Some(first) = self.unacknowledged.front() {
            let length = first.payload.len() as u64 + u64::from(first.open) + u64::from(first.last);
            if first.sequence + length > acknowledged {
                break;
            }
            self.unacknowledged.pop_front();
            moved = true;
        }
        if moved {
            self.wait = FIRST_WAIT;
            self.tries = 0;
            self.resend_at = (!self.unacknowledged.is_empty()).then(|| now + self.wait);
        }
    }

    /// Hands over what is in order. True when the peer's last byte was among it.
    fn deliver(&mut self, key: Key, effects: &mut Effects) -> bool {
        let mut ended = false;
        while let Some((&first, _)) = self.early.first_key_value() {
            if first > self.expected {
                break;
            }
            let Some(segment) = self.early.remove(&first) else { break };
            let length = segment.payload.len() as u64 + u64::from(segment.last);
            if first + length <= self.expected {
                continue; // an old copy
            }
            self.expected += length;
            ended |= segment.last;
            if !segment.payload.is_empty() && self.state == State::Open {
                let Key { local, remote } = key;
                let payload = segment.payload.to_vec();
                let data = Stimulus::StreamData { protocol: self.protocol, local, remote, payload };
                effects.inputs.push((self.node, data));
            }
        }
        ended
    }
}
