//! The STUN and TURN server on sockets of its own: UDP, TCP and TLS listeners, and a UDP port for each allocation.
//!
//! One thread that owns a [`denwa_ice::turn::server::Server`]; it waits for nobody and nobody waits for it. An exchange or a
//! gateway starts one beside its other drivers, so that telephones and browsers need no second daemon. DTLS to the server is
//! left out: hardly a client offers it.

mod config;
mod guests;
mod running;
mod ways;

pub use config::TurnServerConfig;

use super::connect::Means;
use super::listen::{Listen, Listening, StartError, bind_tcp, bind_udp};
use super::{Tls, entropy};
use denwa_ice::Seed;
use denwa_ice::turn::server::{CredentialSource, RelayRange, Server, ServerEvent};
use denwa_sip_core::Protocol;
use running::{Running, Sockets};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// A running STUN and TURN server. It ends when this is dropped.
pub struct TurnServer {
    listening: Vec<Listening>,
    relays: Vec<RelayRange>,
    counters: Arc<Counters>,
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

/// What a running server is told.
enum Order {
    Tls(Tls),
    Credentials(CredentialSource),
}

/// What a server holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnStatus {
    /// Allocations at present.
    pub allocations: u64,
    /// Connections of clients at present.
    pub connections: u64,
    /// Datagrams relayed, both ways.
    pub relayed_packets: u64,
    /// Their bytes, with the headers of TURN as they came.
    pub relayed_bytes: u64,
    /// Requests that named a user who is not known, or with another password.
    pub failed_authentications: u64,
}

/// `3 allocations, 1 connection; 1200 packets relayed`
impl fmt::Display for TurnStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocations, connections, relayed_packets, relayed_bytes, failed_authentications } = self;
        write!(
            f,
            "{allocations} allocations, {connections} connections; {relayed_packets} packets relayed \
             ({relayed_bytes} bytes), {failed_authentications} authentications failed"
        )
    }
}

#[derive(Debug, Default)]
struct Counters {
    allocations: AtomicU64,
    connections: AtomicU64,
    relayed_packets: AtomicU64,
    relayed_bytes: AtomicU64,
    failed_authentications: AtomicU64,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl TurnServer {
    /// Starts a server. `on_event` is called on its thread and must not wait; of failed authentications it hears one a second
    /// at most, [`TurnStatus`] counts the rest.
    ///
    /// # Errors
    /// What the system refused.
    pub fn start(
        config: TurnServerConfig,
        on_event: impl FnMut(ServerEvent) + Send + 'static,
    ) -> Result<Self, StartError> {
        let seed = Seed(entropy().map_err(StartError::Thread)?);
        let sockets = bind(&config)?;
        let listening = sockets.listening.clone();
        let relays = config.relays();
        let server_config = config.server(relays.clone());
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let counters = Arc::new(Counters::default());
        let (orders, inbox) = mpsc::unbounded_channel();
        let counted = Arc::clone(&counters);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let work = move || {
            let server = Server::new(server_config, seed, Instant::now(), since_1970);
            let means =
                Means { tls: config.tls, websocket: Arc::default(), limits: config.streams, dscp: None };
            let running = Running::new(server, on_event, means, counted);
            LocalSet::new().block_on(&runtime, running.run(sockets, inbox));
        };
        let thread = std::thread::Builder::new()
            .name("denwa-turn".to_owned())
            .spawn(work)
            .map_err(StartError::Thread)?;
        Ok(Self { listening, relays, counters, orders, thread })
    }

    /// Where it listens, with the ports the system chose where that was left to it.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Where it relays, and what clients are told of it.
    #[must_use]
    pub fn relays(&self) -> &[RelayRange] {
        &self.relays
    }

    /// What it holds and has done.
    #[must_use]
    pub fn status(&self) -> TurnStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TurnStatus {
            allocations: read(&self.counters.allocations),
            connections: read(&self.counters.connections),
            relayed_packets: read(&self.counters.relayed_packets),
            relayed_bytes: read(&self.counters.relayed_bytes),
            failed_authentications: read(&self.counters.failed_authentications),
        }
    }

    /// Uses another certificate for connections to come.
    pub fn reload_tls(&self, tls: Tls) {
        // A server whose thread has died takes no orders, and there is nobody to tell.
        let _ = self.orders.send(Order::Tls(tls));
    }

    /// From now on these may allocate. What others hold already lasts until it is to be refreshed.
    pub fn replace_credentials(&self, credentials: CredentialSource) {
        let _ = self.orders.send(Order::Credentials(credentials));
    }

    /// Ends it, and waits for that.
    pub fn stop(self) {
        let Self { orders, thread, .. } = self;
        drop(orders);
        // A server that panicked has ended as well.
        let _ = thread.join();
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer").field("listening", &self.listening).finish_non_exhaustive()
    }
}

fn bind(config: &TurnServerConfig) -> Result<Sockets, StartError> {
    let mut sockets = Sockets::default();
    for listen in config.listen() {
        let failed = |error: io::Error| StartError::Listen { listen, error };
        let has_certificate = config.tls.as_ref().is_some_and(|tls| tls.server.is_some());
        let address = match listen.protocol {
            Protocol::Udp => {
                let socket = bind_udp(listen.address).map_err(failed)?;
                let address = socket.local_addr().map_err(failed)?;
                sockets.udp.push(socket);
                address
            }
            Protocol::Tls if !has_certificate => return Err(StartError::NoCertificate(listen)),
            protocol => {
                let listener = bind_tcp(listen.address).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                sockets.tcp.push((protocol, listener));
                address
            }
        };
        sockets.listening.push(Listen { protocol: listen.protocol, address });
    }
    Ok(sockets)
}
