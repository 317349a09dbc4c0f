//! The TURN client: one allocation on one server (RFC 8656; RFC 6062 streams; RFC 6156).
//!
//! The five verbs, and commands: [`allocate`](Client::allocate), [`permit`](Client::permit), [`bind_channel`](Client::bind_channel),
//! [`connect`](Client::connect), [`release`](Client::release). Relayed data does not queue: [`send`](Client::send) writes into the caller's
//! buffer, [`receive`](Client::receive) finds a peer's data in place. Everything that must be refreshed is refreshed.
//!
//! Left out: mobility (RFC 8016), access tokens (RFC 7635). The stream to the server is opened by the driver, TLS and DTLS included.

mod config;
mod data;
mod event;
mod peers;
mod requests;
mod responses;
mod uri;

pub use config::{ClientConfig, ClientLimits, ServerAddress};
pub(crate) use data::Found;
pub use data::{Action, SendError, Sending};
pub use event::{ClientEvent, ClientMisuse, EndReason, RequestFailure};
pub use uri::{ParseTurnUriError, TurnUri};

use crate::io::{Input, Output, Protocol, Seed, StreamId, Transmit};
use crate::random::Generator;
use crate::stun::framing::{Framer, Framing};
use crate::stun::transaction::Due;
use crate::stun::{LongTerm, Transactions};
use bytes::Bytes;
use peers::Peers;
use requests::Request;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The largest message taken from a stream, in bytes: ChannelData of any length.
const LARGEST_STREAM_MESSAGE: usize = 65_539;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Waiting for the stream to the server.
    Opening,
    Allocating,
    Allocated,
    Releasing,
    Ended,
}

/// A client of a TURN server.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    credentials: Option<LongTerm>,
    local: SocketAddr,
    server: SocketAddr,
    /// Servers that were asked, to notice circles.
    asked: Vec<SocketAddr>,
    state: State,
    stream: Option<StreamId>,
    framer: Framer,
    next_stream: u64,
    /// Streams that will carry peers' data: not joined yet.
    joining: BTreeMap<StreamId, (SocketAddr, u32, Option<Framer>)>,
    /// Streams that carry peers' data.
    joined: BTreeMap<StreamId, SocketAddr>,
    relayed: Vec<SocketAddr>,
    mapped: Option<SocketAddr>,
    refresh_at: Option<Instant>,
    expires_at: Option<Instant>,
    peers: Peers,
    transactions: Transactions<Request>,
    generator: Generator,
    latest: Instant,
    outputs: VecDeque<Output<ClientEvent>>,
}

impl Client {
    /// A client at `local`, which asks for nothing yet. On UDP `local` is the socket; on streams its address is where they are
    /// opened from.
    #[must_use]
    pub fn new(config: ClientConfig, local: SocketAddr, seed: Seed, now: Instant) -> Self {
        let credentials = config.credentials.as_ref().map(|(user, password)| LongTerm::new(user, password));
        let server = config.server.address;
        Self {
            credentials,
            local,
            server,
            asked: vec![server],
            state: State::Idle,
            stream: None,
            framer: Framer::new(Framing::Native, LARGEST_STREAM_MESSAGE),
            next_stream: 0,
            joining: BTreeMap::new(),
            joined: BTreeMap::new(),
            relayed: Vec::new(),
            mapped: None,
            refresh_at: None,
            expires_at: None,
            peers: Peers::new(config.limits.peers),
            transactions: Transactions::new(),
            generator: Generator::new(seed),
            latest: now,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// The same, with streams numbered from `first` on: several clients within one machine.
    pub(crate) const fn numbering_streams_from(mut self, first: u64) -> Self {
        self.next_stream = first;
        self
    }

    // ---- the five verbs ----

    /// What the network did.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let now = self.see(now);
        match input {
            Input::Datagram { local, remote, payload } => {
                // Relayed data that comes this way is nobody's: use `receive`.
                let _ = self.receive(payload, (local, remote), now);
            }
            Input::StreamData { stream, payload } => self.receive_stream(stream, payload, now, |_| {}),
            Input::StreamOpened { stream, .. } => self.stream_opened(stream, now),
            Input::StreamFailed { stream } | Input::StreamClosed { stream } => self.stream_lost(stream),
            Input::Unreachable { .. } => {} // the transaction's time-out decides; ICMP can be forged
            Input::Resolved { .. } | Input::Routed { .. } => {}
        }
    }

    /// A deadline has come, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.see(now);
        self.resend(now);
        if self.state != State::Allocated {
            return;
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return self.end(EndReason::Expired);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.request(Request::Refresh { lifetime: self.config.lifetime }, now);
        }
        for request in self.peers.take_due(now) {
            self.request(request, now);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<ClientEvent>> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let allocated = self.state == State::Allocated;
        let own = [self.refresh_at, self.expires_at, self.peers.next_due()].into_iter().flatten().min();
        let own = own.filter(|_| allocated);
        [self.transactions.next_due(), own].into_iter().flatten().min()
    }

    // ---- commands ----

    /// Asks for a relayed address.
    ///
    /// # Errors
    /// [`ClientMisuse::AlreadyAllocated`].
    pub fn allocate(&mut self, now: Instant) -> Result<(), ClientMisuse> {
        if self.state != State::Idle {
            return Err(ClientMisuse::AlreadyAllocated);
        }
        let now = self.see(now);
        self.approach(now);
        Ok(())
    }

    /// Lets a peer send to the relayed address. Refreshed until the allocation ends.
    ///
    /// # Errors
    /// [`ClientMisuse::NoAllocation`], [`ClientMisuse::WrongFamily`], [`ClientMisuse::TooManyPeers`].
    pub fn permit(&mut self, peer: IpAddr, now: Instant) -> Result<(), ClientMisuse> {
        let now = self.see(now);
        self.check_peer(peer)?;
        if let Some(request) = self.peers.permit(peer)? {
            self.request(request, now);
        }
        Ok(())
    }

    /// Binds a channel to a peer, so that its data costs four bytes more and not 36. Permits it as well.
    ///
    /// # Errors
    /// The same, and [`ClientMisuse::WrongTransport`].
    pub fn bind_channel(&mut self, peer: SocketAddr, now: Instant) -> Result<(), ClientMisuse> {
        let now = self.see(now);
        self.check_peer(peer.ip())?;
        if self.config.tcp_allocation {
            return Err(ClientMisuse::WrongTransport);
        }
        if let Some(request) = self.peers.bind(peer)? {
            self.request(request, now);
        }
        Ok(())
    }

    /// Has the server open a TCP connection to a peer (RFC 6062).
    ///
    /// # Errors
    /// The same.
    pub fn connect(&mut self, peer: SocketAddr, now: Instant) -> Result<(), ClientMisuse> {
        let now = self.see(now);
        self.check_peer(peer.ip())?;
        if !self.config.tcp_allocation {
            return Err(ClientMisuse::WrongTransport);
        }
        if self.transactions.len().saturating_add(self.joined.len()) >= self.config.limits.peers {
            return Err(ClientMisuse::TooManyPeers);
        }
        self.request(Request::Connect { peer }, now);
        Ok(())
    }

    /// Gives the relayed address back.
    ///
    /// # Errors
    /// [`ClientMisuse::NoAllocation`].
    pub fn release(&mut self, now: Instant) -> Result<(), ClientMisuse> {
        let now = self.see(now);
        match self.state {
            State::Allocated => {
                self.state = State::Releasing;
                self.transactions.forget(|_| true);
                self.request(Request::Refresh { lifetime: Duration::ZERO }, now);
                Ok(())
            }
            State::Opening | State::Allocating => {
                self.end(EndReason::Released);
                Ok(())
            }
            State::Idle | State::Releasing | State::Ended => Err(ClientMisuse::NoAllocation),
        }
    }

    // ---- questions ----

    /// The relayed addresses, while there are any.
    #[must_use]
    pub fn relayed(&self) -> &[SocketAddr] {
        &self.relayed
    }

    /// Our own address as the server sees it.
    #[must_use]
    pub const fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// The server that is being spoken to.
    #[must_use]
    pub const fn server(&self) -> SocketAddr {
        self.server
    }

    /// Where we speak from.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.config.server.protocol
    }

    /// Whether the client is done for.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    // ---- inside ----

    fn see(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn check_peer(&self, peer: IpAddr) -> Result<(), ClientMisuse> {
        if self.state != State::Allocated {
            return Err(ClientMisuse::NoAllocation);
        }
        let family = |relayed: &SocketAddr| relayed.is_ipv4() == peer.is_ipv4();
        if self.relayed.iter().any(family) { Ok(()) } else { Err(ClientMisuse::WrongFamily) }
    }

    /// Goes to the server: at once over UDP, else when the stream is open.
    fn approach(&mut self, now: Instant) {
        if self.config.server.protocol.is_opened() {
            self.state = State::Opening;
            let stream = self.new_stream();
            self.stream = Some(stream);
            self.framer = Framer::new(Framing::Native, LARGEST_STREAM_MESSAGE);
            self.open_stream(stream);
        } else {
            self.state = State::Allocating;
            self.request(Request::Allocate, now);
        }
    }

    fn new_stream(&mut self) -> StreamId {
        let stream = StreamId::opened(self.next_stream);
        self.next_stream = self.next_stream.wrapping_add(1);
        stream
    }

    fn open_stream(&mut self, stream: StreamId) {
        self.outputs.push_back(Output::OpenStream {
            stream,
            protocol: self.config.server.protocol,
            local: Some(SocketAddr::new(self.local.ip(), 0)),
            remote: self.server,
            server_name: self.config.server.name.clone(),
        });
    }

    fn stream_opened(&mut self, stream: StreamId, now: Instant) {
        if self.stream == Some(stream) && self.state == State::Opening {
            self.state = State::Allocating;
            self.request(Request::Allocate, now);
        } else if let Some((peer, connection, framer)) = self.joining.get_mut(&stream) {
            *framer = Some(Framer::new(Framing::Native, LARGEST_STREAM_MESSAGE));
            let (peer, connection) = (*peer, *connection);
            self.request(Request::ConnectionBind { peer, connection, stream }, now);
        } else {
            self.outputs.push_back(Output::CloseStream { stream });
        }
    }

    fn stream_lost(&mut self, stream: StreamId) {
        if self.stream == Some(stream) {
            self.stream = None;
            self.end(EndReason::StreamFailed);
        } else if let Some((peer, ..)) = self.joining.remove(&stream) {
            self.transactions
                .forget(|it| matches!(it, Request::ConnectionBind { stream: it, .. } if *it == stream));
            self.event(ClientEvent::PeerNotConnected { peer, reason: RequestFailure::StreamFailed });
        } else {
            self.joined.remove(&stream);
        }
    }

    fn resend(&mut self, now: Instant) {
        let mut lost = Vec::new();
        let (source, protocol) = (self.local, self.config.server.protocol);
        let outputs = &mut self.outputs;
        self.transactions.handle_timeout(now, |_, due| match due {
            Due::Resend(_, request, destination) => outputs.push_back(Output::Transmit(Transmit {
                source: Some(source),
                destination,
                protocol,
                stream: None,
                payload: request.clone(),
            })),
            Due::TimedOut(request) => lost.push(request),
        });
        for request in lost {
            self.request_failed(request, RequestFailure::NoAnswer);
        }
    }

    fn event(&mut self, event: ClientEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    /// The one way out.
    fn end(&mut self, reason: EndReason) {
        if self.state == State::Ended {
            return;
        }
        self.state = State::Ended;
        self.relayed.clear();
        self.transactions.forget(|_| true);
        let streams =
            self.stream.take().into_iter().chain(self.joining.keys().chain(self.joined.keys()).copied());
        for stream in streams.collect::<Vec<_>>() {
            self.outputs.push_back(Output::CloseStream { stream });
        }
        self.joining.clear();
        self.joined.clear();
        self.event(ClientEvent::Ended { reason });
    }

    fn transmit(&mut self, payload: Bytes, stream: Option<StreamId>) {
        self.outputs.push_back(Output::Transmit(Transmit {
            source: Some(self.local),
            destination: self.server,
            protocol: self.config.server.protocol,
            stream,
            payload,
        }));
    }
}
