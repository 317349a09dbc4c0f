//! The STUN and TURN server, without sockets (RFC 8489, 8656, 5780).
//!
//! The five verbs; [`Input`](ServerInput) and [`Output`](ServerOutput) are the shared pairs, and one more: `OpenPort`, `ClosePort` – `PortOpened`,
//! `PortFailed`, since only a driver can open the relayed ports that clients ask for. Relayed data does not queue: see
//! [`receive`](Server::receive).
//!
//! Strangers cost a table of fixed size, and get fewer bytes than they send. Left out: TCP allocations (RFC 6062), mobility (RFC 8016),
//! tokens (RFC 7635).
//!
//! A server on UDP, with a thread for each socket:
//!
//! ```no_run
//! use denwa_ice::Seed;
//! use denwa_ice::turn::server::{
//!     Action, CredentialSource, HEADROOM, RelayRange, Server, ServerConfig, ServerInput, ServerOutput, Users,
//! };
//! use std::collections::HashMap;
//! use std::net::{IpAddr, SocketAddr, UdpSocket};
//! use std::sync::mpsc::{Sender, channel};
//! use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
//!
//! /// A datagram behind the room that a relay header takes: to where, whence.
//! type Arrived = (SocketAddr, SocketAddr, Vec<u8>);
//!
//! fn open(address: SocketAddr, tell: Sender<Arrived>) -> std::io::Result<UdpSocket> {
//!     let socket = UdpSocket::bind(address)?;
//!     let reader = socket.try_clone()?;
//!     reader.set_read_timeout(Some(Duration::from_secs(600)))?; // so that the thread of a closed port ends some day
//!     std::thread::spawn(move || {
//!         let mut buffer = vec![0; HEADROOM + 2_048];
//!         while let Ok((length, remote)) = reader.recv_from(&mut buffer[HEADROOM..]) {
//!             let _ = tell.send((address, remote, buffer[..HEADROOM + length].to_vec()));
//!         }
//!     });
//!     Ok(socket)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let own: IpAddr = "192.0.2.1".parse()?;
//! let users = Users::from_iter([("100", "secret")]);
//! let relay = RelayRange { local: own, external: own, ports: vec![50_000..=50_999] };
//! let config = ServerConfig::new("pbx.example", CredentialSource::Users(users), vec![relay]);
//! let seed = Seed([7; 32]); // 32 bytes of the system's entropy
//! let mut server = Server::new(config, seed, Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
//! let (tell, arrived) = channel();
//! let listening = SocketAddr::new(own, 3478);
//! let mut sockets = HashMap::from([(listening, open(listening, tell.clone())?)]);
//! loop {
//!     let wait = server.poll_timeout().map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
//!     match arrived.recv_timeout(wait.min(Duration::from_secs(3_600))) {
//!         Ok((local, remote, mut datagram)) => {
//!             let action = server.receive(&mut datagram, local, remote, Instant::now());
//!             if let Action::Forward { source, destination, payload, .. } = action {
//!                 sockets.get(&source).map(|socket| socket.send_to(payload, destination));
//!             }
//!         }
//!         Err(_) => server.handle_timeout(Instant::now()),
//!     }
//!     while let Some(output) = server.poll_output() {
//!         match output {
//!             ServerOutput::Transmit(datagram) => {
//!                 let socket = datagram.source.and_then(|source| sockets.get(&source));
//!                 socket.map(|socket| socket.send_to(&datagram.payload, datagram.destination));
//!             }
//!             ServerOutput::OpenPort { address } => {
//!                 let opened = open(address, tell.clone()).map(|socket| sockets.insert(address, socket));
//!                 let input = match opened {
//!                     Ok(_) => ServerInput::PortOpened { address },
//!                     Err(_) => ServerInput::PortFailed { address },
//!                 };
//!                 server.handle_input(input, Instant::now());
//!             }
//!             ServerOutput::ClosePort { address } => drop(sockets.remove(&address)),
//!             ServerOutput::Event(event) => println!("{event:?}"),
//!             ServerOutput::CloseStream { .. } | ServerOutput::Lookup { .. } => {} // there are no streams, and the users are known
//!         }
//!     }
//! }
//! # }
//! ```

mod allocate;
mod allocation;
mod authentication;
mod behaviour;
mod config;
mod credentials;
mod data;
mod io;
mod nonce;
mod policy;
mod ports;
mod requests;
mod strangers;

pub use allocation::{AllocationId, ClientPath, Traffic};
pub use config::{BehaviourAddresses, RelayRange, ServerConfig, ServerLimits};
pub use credentials::{Claim, CredentialSource, Secret, Users, time_limited_password};
pub use data::{Action, HEADROOM};
pub use io::{AllocationEnd, Refusal, ServerEvent, ServerInput, ServerLimit, ServerOutput};
pub use policy::{OwnPorts, PRIVATE, PeerPolicy, Prefix};

use crate::io::{QuestionId, Seed, StreamId, Transmit};
use crate::random::{Generator, TableHasher};
use crate::stun::IntegrityKey;
use crate::stun::framing::{Framer, Framing};
use allocation::Allocation;
use authentication::Authenticated;
use bytes::Bytes;
use hashbrown::HashMap;
use nonce::Nonces;
use ports::Ports;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strangers::Strangers;

/// A stream that has not allocated within this time is closed.
const IDLE_STREAM: Duration = Duration::from_secs(30);
/// A port kept under a token waits this long (RFC 8656 section 7.2).
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// The server.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    generator: Generator,
    nonces: Nonces,
    names_by_hash: BTreeMap<[u8; 32], String>,
    strangers: Strangers,
    /// Seconds since 1970 at `latest_wall`.
    wall: (Instant, Duration),
    allocations: HashMap<u64, Allocation, TableHasher>,
    by_path: HashMap<ClientPath, u64, TableHasher>,
    by_relayed: HashMap<SocketAddr, u64, TableHasher>,
    per_user: HashMap<Arc<str>, usize, TableHasher>,
    per_address: HashMap<IpAddr, usize, TableHasher>,
    expiries: BTreeSet<(Instant, u64)>,
    next_allocation: u64,
    ports: Ports,
    /// Allocations that wait for their ports, by the port that is being opened.
    opening: HashMap<SocketAddr, allocate::Opening, TableHasher>,
    reservations: Vec<Reservation>,
    streams: HashMap<StreamId, ClientStream, TableHasher>,
    /// Streams that have not allocated, by when they are closed.
    idle_streams: BTreeSet<(Instant, StreamId)>,
    /// Requests that wait for the application.
    lookups: BTreeMap<QuestionId, (ClientPath, Bytes)>,
    next_question: u64,
    scratch: Vec<u8>,
    latest: Instant,
    outputs: VecDeque<ServerOutput>,
}

#[derive(Debug)]
struct ClientStream {
    path: ClientPath,
    framer: Framer,
    idle_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Reservation {
    token: [u8; 8],
    address: SocketAddr,
    expires_at: Instant,
}

impl Server {
    /// A server. `unix_time` is the time since 1970 at `now`, for names that expire.
    #[must_use]
    pub fn new(config: ServerConfig, seed: Seed, now: Instant, unix_time: Duration) -> Self {
        let mut generator = Generator::new(seed);
        let hashes = config.credentials.supports_hashes();
        let nonces = Nonces::new(&mut generator, config.nonce_lifetime, hashes, now);
        let limits = &config.limits;
        let strangers = Strangers::new(
            &mut generator,
            limits.stranger_bytes_per_second,
            limits.stranger_burst_bytes,
            now,
        );
        Self {
            nonces,
            names_by_hash: config.credentials.names_by_hash(&config.realm),
            strangers,
            wall: (now, unix_time),
            allocations: HashMap::with_hasher(generator.table_hasher()),
            by_path: HashMap::with_hasher(generator.table_hasher()),
            by_relayed: HashMap::with_hasher(generator.table_hasher()),
            per_user: HashMap::with_hasher(generator.table_hasher()),
            per_address: HashMap::with_hasher(generator.table_hasher()),
            expiries: BTreeSet::new(),
            next_allocation: 0,
            ports: Ports::new(&config.relays, &mut generator),
            opening: HashMap::with_hasher(generator.table_hasher()),
            reservations: Vec::new(),
            streams: HashMap::with_hasher(generator.table_hasher()),
            idle_streams: BTreeSet::new(),
            lookups: BTreeMap::new(),
            next_question: 0,
            scratch: Vec::new(),
            latest: now,
            outputs: VecDeque::new(),
            generator,
            config,
        }
    }

    // ---- the five verbs ----

    /// What the network did.
    pub fn handle_input(&mut self, input: ServerInput<'_>, now: Instant) {
        let now = self.see(now);
        match input {
            ServerInput::Datagram { local, remote, payload } => {
                self.handle_datagram(local, remote, payload, now)
            }
            ServerInput::StreamData { stream, payload } => self.receive_stream(stream, payload, now, |_| {}),
            ServerInput::Unreachable { local, remote, icmp } => {
                self.peer_unreachable(local, remote, icmp, now)
            }
            ServerInput::StreamOpened { stream, protocol, local, remote, .. } => {
                self.stream_opened(stream, ClientPath { local, remote, protocol, stream: Some(stream) }, now);
            }
            ServerInput::StreamClosed { stream } => self.stream_closed(stream),
            ServerInput::PortOpened { address } => self.port_opened(address, now),
            ServerInput::PortFailed { address } => self.port_failed(address, now),
            ServerInput::Provided { question, user } => self.provided(question, user, now),
        }
    }

    /// A deadline has come, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.see(now);
        while let Some(&(at, allocation)) = self.expiries.first().filter(|(at, _)| *at <= now) {
            self.expiries.remove(&(at, allocation));
            self.end_allocation(allocation, AllocationEnd::Expired);
        }
        while let Some(&(at, stream)) = self.idle_streams.first().filter(|(at, _)| *at <= now) {
            self.idle_streams.remove(&(at, stream));
            self.streams.remove(&stream);
            self.outputs.push_back(ServerOutput::CloseStream { stream });
        }
        let (expired, kept): (Vec<_>, _) = self.reservations.iter().partition(|it| it.expires_at <= now);
        self.reservations = kept;
        for Reservation { address, .. } in expired {
            self.close_port(address);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let idle = self.idle_streams.first().map(|(at, _)| *at);
        let reservation = self.reservations.iter().map(|it| it.expires_at).min();
        [expiry, idle, reservation].into_iter().flatten().min()
    }

    // ---- commands ----

    /// From now on these may allocate. What others hold already lasts until it is to be refreshed.
    pub fn replace_credentials(&mut self, credentials: CredentialSource) {
        self.names_by_hash = credentials.names_by_hash(&self.config.realm);
        self.config.credentials = credentials;
    }

    // ---- questions ----

    /// How many allocations there are.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// How many entries clients have made the server hold, of any kind.
    #[must_use]
    pub fn holdings(&self) -> usize {
        let peers: usize = self.allocations.values().map(Allocation::peers).sum();
        self.allocations.len()
            + peers
            + self.opening.len()
            + self.streams.len()
            + self.lookups.len()
            + self.reservations.len()
    }

    /// What an allocation has carried so far.
    #[must_use]
    pub fn traffic(&self, allocation: AllocationId) -> Option<Traffic> {
        self.allocations.get(&allocation.0).map(|it| it.traffic)
    }

    // ---- inside ----

    fn see(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn unix_seconds(&self, now: Instant) -> u64 {
        (self.wall.1 + now.saturating_duration_since(self.wall.0)).as_secs()
    }

    fn event(&mut self, event: ServerEvent) {
        self.outputs.push_back(ServerOutput::Event(event));
    }

    fn stream_opened(&mut self, stream: StreamId, path: ClientPath, now: Instant) {
        if self.streams.len() >= self.config.limits.streams {
            self.outputs.push_back(ServerOutput::CloseStream { stream });
            return self.event(ServerEvent::LimitReached(ServerLimit::Streams));
        }
        let framer = Framer::new(Framing::Native, self.config.limits.stream_message_bytes);
        let idle_until = now + IDLE_STREAM;
        self.idle_streams.insert((idle_until, stream));
        self.streams.insert(stream, ClientStream { path, framer, idle_until: Some(idle_until) });
    }

    fn stream_closed(&mut self, stream: StreamId) {
        let Some(ClientStream { path, idle_until, .. }) = self.streams.remove(&stream) else { return };
        if let Some(at) = idle_until {
            self.idle_streams.remove(&(at, stream));
        }
        if let Some(allocation) = self.by_path.get(&path).copied() {
            self.end_allocation(allocation, AllocationEnd::StreamClosed);
        }
    }

    /// Whether a stream counts as in use.
    fn set_stream_busy(&mut self, path: &ClientPath, busy: bool, now: Instant) {
        let Some(stream) = path.stream else { return };
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        if let Some(at) = entry.idle_until.take() {
            self.idle_streams.remove(&(at, stream));
        }
        if !busy {
            let at = now + IDLE_STREAM;
            entry.idle_until = Some(at);
            self.idle_streams.insert((at, stream));
        }
    }

    /// The one way an allocation ends.
    fn end_allocation(&mut self, number: u64, reason: AllocationEnd) {
        let Some(allocation) = self.allocations.remove(&number) else { return };
        self.expiries.remove(&(allocation.expires_at, number));
        self.by_path.remove(&allocation.path);
        count_down(&mut self.per_user, &allocation.user);
        count_down(&mut self.per_address, &quota_address(allocation.path.remote.ip()));
        for relayed in &allocation.relayed {
            self.by_relayed.remove(relayed);
            self.close_port(*relayed);
        }
        let now = self.latest;
        self.set_stream_busy(&allocation.path, false, now);
        let traffic = allocation.traffic;
        self.event(ServerEvent::AllocationEnded { allocation: AllocationId(number), reason, traffic });
    }

    fn close_port(&mut self, address: SocketAddr) {
        self.ports.give_back(address);
        self.outputs.push_back(ServerOutput::ClosePort { address });
    }

    fn transmit(&mut self, path: &ClientPath, payload: Bytes) {
        self.outputs.push_back(ServerOutput::Transmit(Transmit {
            source: Some(path.local),
            destination: path.remote,
            protocol: path.protocol,
            stream: path.stream,
            payload,
        }));
    }
}

/// Clients of one IPv6 network count as one.
fn quota_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize, TableHasher>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Who sent a request, and how the answer is to be signed.
#[derive(Debug, Clone)]
struct Signer {
    key: IntegrityKey,
    sha256: bool,
}

impl From<&Authenticated> for Signer {
    fn from(authenticated: &Authenticated) -> Self {
        Self { key: authenticated.key.clone(), sha256: authenticated.sha256 }
    }
}
