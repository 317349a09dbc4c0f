//! Transactions (RFC 3261 §17): requests find their responses, what is lost is repeated, what is repeated is absorbed.
//!
//! [`Transactions`] is the whole lower half as one machine: it has the streams, asks for addresses, writes the top Via,
//! and gives the layer above each new request and each response once. It answers by itself what needs no judgement: 100
//! after 200 ms, the ACK to a failure, 200 or 481 to a CANCEL, 400 to what cannot be read, 482 to merged requests. The ACK
//! to a 2xx is the layer's above, and so is repeating a 2xx until it comes.
//!
//! A server that answers OPTIONS, on a plain socket:
//!
//! ```no_run
//! use denwa_sip_core::config::{Listener, TransactionConfig};
//! use denwa_sip_core::transaction::{TransactionEvent, Transactions};
//! use denwa_sip_core::{Input, Method, Output, Protocol, Seed, StatusCode};
//! use std::{io::ErrorKind, net::UdpSocket, time::{Duration, Instant}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = UdpSocket::bind("192.0.2.1:5060")?;
//! let local = socket.local_addr()?;
//! let config = TransactionConfig::new(vec![Listener::new(Protocol::Udp, local)]);
//! let seed = Seed([7; 32]); // 32 bytes of the system's entropy
//! let mut transactions = Transactions::new(config, seed, Instant::now());
//! let mut buffer = vec![0; 65_535];
//! loop {
//!     while let Some(output) = transactions.poll_output() {
//!         match output {
//!             Output::Transmit(datagram) => drop(socket.send_to(&datagram.payload, datagram.destination)),
//!             Output::Event(TransactionEvent::Request { transaction, request, .. }) => {
//!                 let status = match request.method() {
//!                     Method::Options => StatusCode::OK,
//!                     _ => StatusCode::METHOD_NOT_ALLOWED,
//!                 };
//!                 let response = request.response(status).to_tag("1").header("Allow", "OPTIONS").finish()?;
//!                 transactions.respond(transaction, &response, Instant::now())?;
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!             _ => {} // Streams, names and routes: nothing here asks for them.
//!         }
//!     }
//!     let wait = transactions.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
//!     socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
//!     match socket.recv_from(&mut buffer) {
//!         Ok((length, remote)) => {
//!             let input = Input::Datagram { local, remote, payload: &buffer[..length] };
//!             transactions.handle_input(input, Instant::now());
//!         }
//!         Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
//!             transactions.handle_timeout(Instant::now());
//!         }
//!         Err(fault) => return Err(fault.into()),
//!     }
//! }
//! # }
//! ```

mod cancel;
mod carrier;
mod client;
mod client_invite;
mod client_non_invite;
mod event;
mod keep_alive;
mod key;
mod machine;
mod overload;
mod own_headers;
mod reach;
mod receive;
mod routes;
mod server;
mod server_invite;
mod server_non_invite;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};

pub use event::{
    ClientId, ContactTemplate, EndReason, LocateId, Located, Origin, RejectRule, SendOptions, ServerId,
    StreamEnd, TransactionEvent,
};

use crate::{
    config::{SentBy, TransactionConfig},
    deadline::{DeadlineId, Deadlines},
    error::{Misuse, ParseError, Problem},
    header::HeaderName,
    id::{Id, Slots},
    io::{Flow, Input, Output, PeerIdentity, Protocol, Seed, StreamId},
    message::{Method, Request},
    outbox::Outbox,
    random::Random,
    resolve::{Resolver, Supported},
    transport::{Listeners, OwnName, stream::Streams},
};
use event::DeadlineKey;

/// The transaction layer with the transport below it. See the [module](self).
#[derive(Debug)]
pub struct Transactions {
    config: TransactionConfig,
    listeners: Listeners,
    supported: Supported,
    random: Random,
    clients: Slots<client::Client>,
    servers: Slots<server::Server>,
    /// Server transactions by key; the key is a hash already.
    server_index: HashTable<Id>,
    key_secrets: [key::KeySecret; 2],
    /// Requests that opened a transaction outside of a dialog, by a keyed hash of From tag, Call-ID and CSeq.
    merge_index: HashMap<u64, Id, FixedState>,
    streams: Streams,
    /// Client transactions by what they are sent on.
    users: HashMap<carrier::Carrier, Vec<Id>, FixedState>,
    resolver: Resolver,
    /// What waits for a resolution.
    resolutions: HashMap<Id, reach::Waiting, FixedState>,
    /// Clients that wait for another stream and would take this one if it opens first.
    racers: HashMap<StreamId, Vec<Id>, FixedState>,
    routes: routes::Routes,
    overload: overload::Overload,
    stateless_methods: Vec<Method>,
    next_locate: u64,
    keep_alives: Slots<keep_alive::KeepAlive>,
    keep_alive_index: HashMap<Flow, Id, FixedState>,
    deadlines: Deadlines<DeadlineKey>,
    query_deadline: Option<DeadlineId>,
    outbox: Outbox<TransactionEvent>,
    now: Instant,
}

/// How much of everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionCounts {
    /// Client transactions.
    pub clients: usize,
    /// Server transactions.
    pub servers: usize,
    /// Streams.
    pub streams: usize,
    /// Armed deadlines.
    pub deadlines: usize,
}

impl Transactions {
    /// What stands for us in a Via, a Record-Route or a Path towards peers of this transport.
    pub(crate) fn sent_by(&self, protocol: Protocol, local: SocketAddr) -> SentBy {
        self.listeners.sent_by(protocol, local)
    }

    /// Our Contact in the response to a request that came on this flow.
    pub(crate) fn contact_on(
        &self,
        contact: &ContactTemplate,
        advertised: Option<&SentBy>,
        flow: &Flow,
        request: &Request,
    ) -> String {
        let own = match advertised {
            Some(sent_by) => OwnName::Told(sent_by),
            None => self.listeners.own_name(flow.protocol, flow.local),
        };
        own_headers::contact_text(contact, flow.protocol, own, request)
    }

    /// An empty layer.
    #[must_use]
    pub fn new(config: TransactionConfig, seed: Seed, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let listeners = Listeners::new(config.listeners.clone());
        Self {
            supported: Supported::of(&listeners),
            listeners,
            clients: Slots::new(),
            servers: Slots::new(),
            server_index: HashTable::new(),
            key_secrets: [random.bytes(), random.bytes()],
            merge_index: HashMap::with_hasher(random.hasher()),
            streams: Streams::new(&mut random),
            users: HashMap::with_hasher(random.hasher()),
            resolver: Resolver::new(&mut random),
            resolutions: HashMap::with_hasher(random.hasher()),
            racers: HashMap::with_hasher(random.hasher()),
            routes: routes::Routes::new(&mut random),
            overload: overload::Overload::new(&mut random),
            stateless_methods: Vec::new(),
            next_locate: 0,
            keep_alives: Slots::new(),
            keep_alive_index: HashMap::with_hasher(random.hasher()),
            deadlines: Deadlines::new(),
            query_deadline: None,
            outbox: Outbox::new(),
            now,
            random,
            config,
        }
    }

    /// Takes in what the network or the driver says. Time that goes backwards counts as the latest seen.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.advance(now);
        match input {
            Input::Datagram { local, remote, payload } => self.on_datagram(local, remote, payload),
            Input::StreamData { stream, payload } => self.on_stream_data(stream, payload),
            Input::Unreachable { source: _, destination, protocol } => {
                self.on_unreachable(protocol, destination)
            }
            Input::StreamOpened { stream, protocol, local, remote, peer_identity } => {
                let flow = Flow { protocol, local, remote, stream: Some(stream) };
                self.on_stream_opened(stream, flow, peer_identity);
            }
            Input::StreamFailed { stream, reason } => self.on_stream_gone(stream, StreamEnd::Failed(reason)),
            Input::StreamClosed { stream } => self.on_stream_gone(stream, StreamEnd::ClosedByPeer),
            Input::Resolved { id, answer } => self.on_resolved(id, answer),
            Input::Routed { id, route } => self.on_routed(id, route),
            // Nothing is looked up here; the layer above does not pass such answers down.
            Input::Provided { .. } => {}
            Input::TurnedAway { remote, limit } => {
                self.outbox.event(TransactionEvent::LimitReached { limit, from: Some(remote.ip()) });
            }
        }
    }

    /// Does what is due. Early or spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        while let Some(key) = self.deadlines.pop_due(self.now) {
            match key {
                DeadlineKey::Client(id, timer) => self.on_client_timer(id, timer),
                DeadlineKey::Server(id, timer) => self.on_server_timer(id, timer),
                DeadlineKey::Stream(id) => self.on_stream_deadline(id),
                DeadlineKey::Queries => self.on_query_deadline(),
                DeadlineKey::KeepAlive(id) => self.on_keep_alive_deadline(id),
            }
        }
    }

    /// The next thing to do for the driver or the layer above; `None` when there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output<TransactionEvent>> {
        self.outbox.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next; `None` when idle.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// How much of everything there is.
    #[must_use]
    pub fn counts(&self) -> TransactionCounts {
        TransactionCounts {
            clients: self.clients.len(),
            servers: self.servers.len(),
            streams: self.streams.len(),
            deadlines: self.deadlines.len(),
        }
    }

    /// The flow on which a client transaction is sent, once that is known.
    #[must_use]
    pub fn client_flow(&self, transaction: ClientId) -> Option<Flow> {
        self.clients.get(transaction.0)?.flow
    }

    /// Who the peer at the other end of a stream proved to be.
    #[must_use]
    pub fn peer_identity(&self, stream: StreamId) -> Option<&Arc<PeerIdentity>> {
        self.streams.get(stream)?.peer_identity.as_ref()
    }

    /// Whether a flow can still be sent on: streams that are gone cannot.
    #[must_use]
    pub fn is_flow_alive(&self, flow: &Flow) -> bool {
        match flow.stream {
            None => true,
            Some(id) => self.streams.get(id).is_some_and(|stream| stream.is_open && !stream.is_closing),
        }
    }

    /// Closes a stream. Requests that wait for answers on it fail.
    ///
    /// # Errors
    /// [`Misuse::UnknownStream`].
    pub fn close_stream(&mut self, stream: StreamId, now: Instant) -> Result<(), Misuse> {
        self.advance(now);
        if self.streams.get(stream).is_none() {
            return Err(Misuse::UnknownStream);
        }
        self.drop_stream(stream, StreamEnd::ClosedHere);
        Ok(())
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn origin(&self, flow: Flow) -> Origin {
        let peer_identity = flow.stream.and_then(|stream| self.peer_identity(stream).cloned());
        Origin { flow, peer_identity }
    }
}

/// A request has what every request must have. Whether the addresses are good is for whom it is sent to.
fn assert_request(request: &Request) -> Result<(), Misuse> {
    for name in [HeaderName::From, HeaderName::To, HeaderName::CallId] {
        if !request.has(name) {
            return Err(Misuse::Message(ParseError::new(0, Problem::Missing(name))));
        }
    }
    request.cseq()?;
    Ok(())
}

#[cfg(test)]
mod size_tests {
    /// What an open transaction costs beside its messages; the figures are watched so that they do not creep.
    #[test]
    fn transactions_are_small() {
        assert!(size_of::<super::server::Server>() <= 400, "{}", size_of::<super::server::Server>());
        assert!(size_of::<super::client::Client>() <= 400, "{}", size_of::<super::client::Client>());
    }
}
