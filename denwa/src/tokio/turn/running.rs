//! The server's thread: a task for each socket and each connection, and one machine that all of them hand to.
//!
//! Whoever has read something borrows the machine, hands it in, does what the machine wants done, and lets go before it waits
//! again: no task ever holds it while waiting.

use super::guests::{Guest, Guests};
use super::ways::{Socket, Ways};
use super::{Counters, Order, count};
use crate::tokio::Listening;
use crate::tokio::connect::{self, Means};
use crate::tokio::media::bind_media;
use crate::tokio::stream::{self, FromStream};
use crate::tokio::udp::{Batch, Udp, Undelivered};
use bytes::{Bytes, BytesMut};
use denwa_ice::turn::server::{HEADROOM, Server, ServerEvent, ServerInput, ServerOutput};
use denwa_ice::{Protocol as Carrier, StreamId, Transmit};
use denwa_sip_core::Protocol;
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

/// What a server is given to listen on.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<(Protocol, TcpListener)>,
    pub(super) listening: Vec<Listening>,
}

pub(super) struct Running<E> {
    state: RefCell<State<E>>,
    batch: RefCell<Batch>,
    /// The next deadline is another one.
    rearmed: Notify,
}

struct State<E> {
    server: Server,
    on_event: E,
    ways: Ways,
    means: Means,
    guests: Guests,
    accepted: u64,
    /// A datagram behind the room that the server needs in front of it.
    packet: Vec<u8>,
    armed: Option<Instant>,
    /// When a failed authentication may be told of again.
    failures_from: Option<Instant>,
    counters: Arc<Counters>,
}

/// Of failed authentications one in this time is told of.
const BETWEEN_FAILURES: Duration = Duration::from_secs(1);

impl<E: FnMut(ServerEvent) + 'static> Running<E> {
    pub(super) fn new(server: Server, on_event: E, means: Means, counters: Arc<Counters>) -> Rc<Self> {
        let guests = Guests::new(&means.limits, Arc::clone(&counters));
        let ways = Ways::new(Arc::clone(&counters));
        let state = State {
            server,
            on_event,
            ways,
            means,
            guests,
            accepted: 0,
            packet: Vec::new(),
            armed: None,
            failures_from: None,
            counters,
        };
        Rc::new(Self {
            state: RefCell::new(state),
            batch: RefCell::new(Batch::new()),
            rearmed: Notify::new(),
        })
    }

    /// Runs until nobody can give orders any more.
    pub(super) async fn run(self: Rc<Self>, sockets: Sockets, mut orders: mpsc::UnboundedReceiver<Order>) {
        for socket in sockets.udp {
            // Out of descriptors before it has begun: the other listeners serve.
            let Ok(socket) = Udp::new(socket) else { continue };
            let socket = Rc::new(RefCell::new(socket));
            self.state.borrow_mut().ways.listen_by(Rc::clone(&socket));
            spawn_local(Rc::clone(&self).listen(socket, None));
        }
        for (protocol, listener) in sockets.tcp {
            spawn_local(Rc::clone(&self).accept(protocol, listener));
        }
        spawn_local(Rc::clone(&self).keep_time());
        while let Some(order) = orders.recv().await {
            let mut state = self.state.borrow_mut();
            match order {
                Order::Tls(tls) => state.means.tls = Some(tls),
                Order::Credentials(credentials) => state.server.replace_credentials(credentials),
            }
        }
    }

    async fn keep_time(self: Rc<Self>) {
        loop {
            let deadline = self.state.borrow().armed;
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.with(|state, now| state.server.handle_timeout(now)),
                () = self.rearmed.notified() => {}
            }
        }
    }

    /// Hands something to the machine, and does what it wants done.
    fn with(self: &Rc<Self>, hand: impl FnOnce(&mut State<E>, Instant)) {
        let mut state = self.state.borrow_mut();
        hand(&mut state, Instant::now());
        while let Some(output) = state.server.poll_output() {
            self.perform(&mut state, output);
        }
        let deadline = state.server.poll_timeout();
        if deadline != state.armed {
            state.armed = deadline;
            self.rearmed.notify_one();
        }
        let allocations = state.server.allocations();
        state.counters.allocations.store(allocations as u64, Ordering::Relaxed);
    }

    fn perform(self: &Rc<Self>, state: &mut State<E>, output: ServerOutput) {
        match output {
            ServerOutput::Transmit(Transmit { source, destination, stream, payload, .. }) => match stream {
                Some(stream) => state.ways.send_on(stream, payload),
                None => state.ways.send_datagram(source, destination, &payload),
            },
            // Its task writes what waits, and tells that it has closed.
            ServerOutput::CloseStream { stream } => state.ways.close(stream),
            ServerOutput::OpenPort { address } => {
                let input = match bind_media(address).and_then(Udp::new) {
                    Ok(socket) => {
                        let socket = Rc::new(RefCell::new(socket));
                        let listen = Rc::clone(self).listen(Rc::clone(&socket), Some(address));
                        let task = spawn_local(listen).abort_handle();
                        state.ways.open_port(address, socket, task);
                        ServerInput::PortOpened { address }
                    }
                    Err(_) => ServerInput::PortFailed { address },
                };
                state.server.handle_input(input, Instant::now());
            }
            ServerOutput::ClosePort { address } => state.ways.close_port(address),
            // No source of credentials that asks is ever configured.
            ServerOutput::Lookup { question, .. } => {
                let input = ServerInput::Provided { question, user: None };
                state.server.handle_input(input, Instant::now());
            }
            ServerOutput::Event(event) => state.tell(event),
        }
    }

    // ---- datagrams ----

    /// Takes what comes to a socket: a listening one, or the relayed port of that address.
    async fn listen(self: Rc<Self>, socket: Socket, relayed: Option<SocketAddr>) {
        loop {
            let received = poll_fn(|cx| socket.borrow().poll_receive(cx, &mut self.batch.borrow_mut())).await;
            self.with(|state, now| match received {
                Ok(()) => state.take(&self.batch.borrow(), relayed, now),
                Err(_) => state.hear_of_undelivered(&socket, relayed, now),
            });
        }
    }

    // ---- connections ----

    fn admit(&self, from: IpAddr) -> Option<Guest> {
        self.state.borrow().guests.admit(from)
    }

    async fn accept(self: Rc<Self>, protocol: Protocol, listener: TcpListener) {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    if let Some(guest) = self.admit(remote.ip()) {
                        spawn_local(Rc::clone(&self).converse(protocol, stream, remote, guest));
                    }
                }
                // Out of descriptors, most likely: others may be closed meanwhile.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn converse(self: Rc<Self>, protocol: Protocol, stream: TcpStream, remote: SocketAddr, _: Guest) {
        // Voice must not wait for more of it.
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else { return };
        let means = self.state.borrow().means.clone();
        let limits = means.limits;
        let Ok(ready) = connect::accept(means, protocol, stream).await else { return };
        let carrier = if protocol.is_secure() { Carrier::Tls } else { Carrier::Tcp };
        let id = self.state.borrow_mut().next_stream();
        let hear = async |news| self.hear(id, news);
        let (handle, work) = stream::connection(ready.link, ready.framing, limits, hear);
        self.with(|state, now| {
            state.ways.open(id, handle);
            let input = ServerInput::StreamOpened {
                stream: id,
                protocol: carrier,
                local,
                remote,
                peer_identity: None,
            };
            state.server.handle_input(input, now);
        });
        work.await;
    }

    fn hear(self: &Rc<Self>, id: StreamId, news: FromStream) {
        self.with(|state, now| match news {
            FromStream::Data { payload, taken } => {
                state.take_stream(id, payload, now);
                drop(taken);
            }
            // It closes next.
            FromStream::TooFast => {}
            FromStream::Closed => {
                state.ways.close(id);
                state.server.handle_input(ServerInput::StreamClosed { stream: id }, now);
            }
        });
    }
}

impl<E: FnMut(ServerEvent)> State<E> {
    fn take(&mut self, batch: &Batch, relayed: Option<SocketAddr>, now: Instant) {
        for (received, bytes) in batch.datagrams() {
            let local = relayed.unwrap_or(received.local);
            for datagram in bytes.chunks(received.stride) {
                self.packet.clear();
                self.packet.resize(HEADROOM, 0);
                self.packet.extend_from_slice(datagram);
                self.ways.follow(self.server.receive(&mut self.packet, local, received.remote, now));
            }
        }
    }

    fn take_stream(&mut self, stream: StreamId, payload: Bytes, now: Instant) {
        let mut payload = BytesMut::from(payload);
        self.server.receive_stream(stream, &mut payload, now, |action| self.ways.follow(action));
    }

    /// A relayed port's datagrams that did not arrive are news for its client (RFC 8656 section 11.5).
    fn hear_of_undelivered(&mut self, socket: &Socket, relayed: Option<SocketAddr>, now: Instant) {
        while let Some(undelivered) = socket.borrow_mut().undelivered() {
            if let Some(local) = relayed {
                let Undelivered { destination: remote, icmp, .. } = undelivered;
                self.server.handle_input(ServerInput::Unreachable { local, remote, icmp }, now);
            }
        }
    }

    fn next_stream(&mut self) -> StreamId {
        self.accepted = self.accepted.saturating_add(1);
        StreamId::accepted(self.accepted)
    }

    fn tell(&mut self, event: ServerEvent) {
        if matches!(event, ServerEvent::AuthenticationFailed { .. }) {
            count(&self.counters.failed_authentications, 1);
            // Strangers must not be able to fill a log.
            let now = Instant::now();
            if self.failures_from.is_some_and(|from| now < from) {
                return;
            }
            self.failures_from = now.checked_add(BETWEEN_FAILURES);
        }
        (self.on_event)(event);
    }
}
