//! The signalling driver: one thread that owns a machine, and everything the machine asks for.
//!
//! The loop is the one of every machine here: do what it wants done, wait for the network, the media, the program or the
//! clock, and hand that in. Waiting for names and connections happens in tasks beside it, on the same thread.

use super::listen::{Listen, Listening, StartError, bind_tcp};
use super::media::{MediaDriver, MediaDriverConfig};
use super::port::Ports;
use super::stream::{self, FromStream, StreamHandle, StreamLimits, Taken};
use super::udp::{self, Udp};
use super::{resolve, route_to};
use crate::bridge;
use crate::driver::{Answer, Ask, Machine, Output, PortId, PortNews};
use bytes::Bytes;
use denwa_sip_core::io::{Answer as DnsAnswer, Input, QueryId, StreamFailure};
use denwa_sip_core::{Protocol, StreamId, Transmit};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::Sleep;

/// What a signalling driver is started with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DriverConfig {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// What connections may cost.
    pub limits: StreamLimits,
    /// The media driver to start besides; without it commands for the media are answered with a failure to open.
    pub media: Option<MediaDriverConfig>,
}

impl DriverConfig {
    /// Listens on `listen`, with one media worker for each processor.
    pub fn new(listen: Vec<Listen>) -> Self {
        Self { listen, limits: StreamLimits::default(), media: Some(MediaDriverConfig::default()) }
    }
}

/// A running signalling driver.
pub struct SignallingDriver<C> {
    handle: DriverHandle<C>,
    listening: Vec<Listening>,
    thread: JoinHandle<()>,
}

/// A way to a running driver for the program's other threads. Clones lead to the same driver.
pub struct DriverHandle<C> {
    inbox: mpsc::UnboundedSender<Message<C>>,
}

/// The driver has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the driver has ended")
    }
}

impl std::error::Error for Stopped {}

impl<C> Clone for DriverHandle<C> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone() }
    }
}

impl<C> fmt::Debug for DriverHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverHandle").finish_non_exhaustive()
    }
}

impl<C> DriverHandle<C> {
    /// Hands a command to the machine. Never waits; may be called from any thread.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn command(&self, command: C) -> Result<(), Stopped> {
        self.inbox.send(Message::Command(command)).map_err(|_| Stopped)
    }
}

/// What comes to the driver's thread besides datagrams and time.
enum Message<C> {
    Command(C),
    Media(bridge::Event),
    Accepted { protocol: Protocol, stream: TcpStream, local: SocketAddr, remote: SocketAddr },
    Connected { id: StreamId, protocol: Protocol, result: Result<TcpStream, StreamFailure> },
    Stream { id: StreamId, news: FromStream },
    Resolved { id: QueryId, answer: DnsAnswer },
    Answered { question: u64, answer: Answer },
}

impl<C: Send + 'static> SignallingDriver<C> {
    /// Opens what is to be listened on, makes the machine on a thread of its own, and runs it until it says
    /// [`Output::Stop`]. `make` is given what is being listened on; `on_event` is called on the driver's thread with what the
    /// machine tells, and must not wait: what takes long belongs on another thread, which answers by a command.
    ///
    /// # Errors
    /// Names the address that cannot be listened on.
    pub fn start<M, E>(
        config: DriverConfig,
        make: impl FnOnce(&[Listening], Instant) -> M + Send + 'static,
        on_event: E,
    ) -> Result<Self, StartError>
    where
        M: Machine<Command = C>,
        E: FnMut(M::Event) + Send + 'static,
    {
        let mut sockets = Vec::new();
        let mut listeners = Vec::new();
        let mut listening = Vec::new();
        for listen in &config.listen {
            let failed = |error| StartError::Listen { listen: *listen, error };
            let address = match listen.protocol {
                Protocol::Udp => {
                    let socket = Udp::bind(listen.address).map_err(failed)?;
                    let address = socket.local_addr().map_err(failed)?;
                    sockets.push(socket);
                    address
                }
                Protocol::Tcp => {
                    let listener = bind_tcp(listen.address).map_err(failed)?;
                    let address = listener.local_addr().map_err(failed)?;
                    listeners.push((Protocol::Tcp, listener));
                    address
                }
                other => return Err(StartError::NotSupported(other)),
            };
            listening.push(Listening { protocol: listen.protocol, address });
        }
        let (inbox, messages) = mpsc::unbounded_channel();
        let media = config
            .media
            .clone()
            .map(|media| {
                let inbox = inbox.clone();
                MediaDriver::start(media, move |event| drop(inbox.send(Message::Media(event))))
            })
            .transpose()
            .map_err(StartError::Thread)?;
        let handle = DriverHandle { inbox: inbox.clone() };
        let told = listening.clone();
        let limits = config.limits;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("denwa-signalling".to_owned())
            .spawn(move || {
                let work = async move {
                    let machine = make(&told, Instant::now());
                    let Ok(udp) = sockets.into_iter().map(Udp::new).collect::<Result<Vec<_>, _>>() else {
                        return;
                    };
                    for (protocol, listener) in listeners {
                        spawn_local(accept(protocol, listener, inbox.clone()));
                    }
                    let driver = Running {
                        machine,
                        on_event,
                        udp,
                        turn: 0,
                        inbox,
                        messages,
                        media,
                        limits,
                        streams: HashMap::new(),
                        ports: Ports::default(),
                        accepted: 0,
                        tasks: 0,
                        stopping: false,
                    };
                    driver.run().await;
                };
                runtime.block_on(LocalSet::new().run_until(work));
            })
            .map_err(StartError::Thread)?;
        Ok(Self { handle, listening, thread })
    }

    /// What is being listened on.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// A way to the machine for other threads.
    pub fn handle(&self) -> DriverHandle<C> {
        self.handle.clone()
    }

    /// Waits until the machine has said [`Output::Stop`].
    ///
    /// # Errors
    /// When the driver's thread panicked.
    pub fn join(self) -> Result<(), Stopped> {
        self.thread.join().map_err(|_| Stopped)
    }
}

impl<C> fmt::Debug for SignallingDriver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignallingDriver").field("listening", &self.listening).finish_non_exhaustive()
    }
}

struct Running<M: Machine, E> {
    machine: M,
    on_event: E,
    udp: Vec<Udp>,
    /// The socket that is asked first next time, so that none is starved.
    turn: usize,
    inbox: mpsc::UnboundedSender<Message<M::Command>>,
    messages: mpsc::UnboundedReceiver<Message<M::Command>>,
    media: Option<MediaDriver>,
    limits: StreamLimits,
    streams: HashMap<StreamId, Stream>,
    ports: Ports,
    accepted: u64,
    /// Connections whose tasks have not ended.
    tasks: usize,
    stopping: bool,
}

struct Stream {
    handle: StreamHandle,
    task: AbortHandle,
    remote: IpAddr,
    local_address: SocketAddr,
    remote_address: SocketAddr,
    accepted: bool,
}

enum Wake<C> {
    Datagram { socket: usize, received: udp::Received },
    Trouble { socket: usize },
    Message(Message<C>),
    Port { port: PortId, remote: SocketAddr, length: usize },
    Deadline,
}

impl<M: Machine, E: FnMut(M::Event)> Running<M, E> {
    async fn run(mut self) {
        let mut buffer = udp::buffer();
        let mut packet = vec![0; PACKET];
        let mut sleep = pin!(tokio::time::sleep(FOREVER));
        let mut armed = None;
        loop {
            self.send_packets(&mut packet);
            self.do_what_is_wanted();
            if self.stopping {
                self.finish().await;
                return;
            }
            let deadline = self.machine.poll_timeout();
            if deadline != armed {
                armed = deadline;
                let at = deadline.map_or_else(|| tokio::time::Instant::now() + FOREVER, Into::into);
                sleep.as_mut().reset(at);
            }
            let wake = poll_fn(|cx| self.poll_wake(cx, &mut buffer, sleep.as_mut(), armed.is_some())).await;
            let now = Instant::now();
            match wake {
                Wake::Datagram { socket, received } => {
                    let bytes = buffer.get(..received.length).unwrap_or(&[]);
                    for payload in bytes.chunks(received.stride) {
                        let (local, remote) = (received.local, received.remote);
                        self.machine.handle_input(Input::Datagram { local, remote, payload }, now);
                    }
                    // An empty datagram is a keep-alive that some send.
                    if bytes.is_empty() {
                        let (local, remote) = (received.local, received.remote);
                        self.machine.handle_input(Input::Datagram { local, remote, payload: &[] }, now);
                    }
                    self.turn = socket.wrapping_add(1);
                }
                Wake::Trouble { socket } => self.undelivered(socket, now),
                Wake::Port { port, remote, length } => {
                    if let Some(payload) = buffer.get_mut(..length) {
                        self.machine.handle_port(port, PortNews::Datagram { remote, payload }, now);
                    }
                }
                Wake::Message(message) => self.take(message, now),
                Wake::Deadline => {
                    // What the network said of datagrams comes before giving them up for lost.
                    for socket in 0..self.udp.len() {
                        self.undelivered(socket, now);
                    }
                    armed = None;
                    self.machine.handle_timeout(now);
                }
            }
        }
    }

    fn poll_wake(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        sleep: Pin<&mut Sleep>,
        armed: bool,
    ) -> Poll<Wake<M::Command>> {
        // Time first: a flood must not hold back the timers.
        if armed && sleep.poll(cx).is_ready() {
            return Poll::Ready(Wake::Deadline);
        }
        if let Poll::Ready(Some(message)) = self.messages.poll_recv(cx) {
            return Poll::Ready(Wake::Message(message));
        }
        let sockets = self.udp.len();
        for step in 0..sockets {
            let socket = self.turn.wrapping_add(step) % sockets;
            match self.udp.get(socket).map(|udp| udp.poll_receive(cx, buffer)) {
                Some(Poll::Ready(Ok(received))) => return Poll::Ready(Wake::Datagram { socket, received }),
                Some(Poll::Ready(Err(_))) => return Poll::Ready(Wake::Trouble { socket }),
                Some(Poll::Pending) | None => {}
            }
        }
        self.ports.poll_receive(cx, buffer).map(|(port, remote, length)| Wake::Port { port, remote, length })
    }

    fn send_packets(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        while let Some(packet) = self.machine.next_packet(buffer, now) {
            let bytes = buffer.get(..packet.length).unwrap_or(&[]);
            for destination in [Some(packet.destination), packet.also].into_iter().flatten() {
                self.send_from_port(packet.port, destination, bytes);
            }
        }
    }

    fn send_from_port(&mut self, port: PortId, destination: SocketAddr, bytes: &[u8]) {
        if !self.ports.send(port, destination, bytes) {
            self.machine.handle_port(port, PortNews::Unreachable { destination }, Instant::now());
        }
    }

    fn do_what_is_wanted(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmit(transmit),
                Output::OpenStream { stream, protocol, local, remote, server_name: _ } => {
                    self.open(stream, protocol, local, remote);
                }
                // Its task writes what waits and then tells that it has closed.
                Output::CloseStream { stream } => self.close(stream),
                Output::Resolve { id, question } => {
                    let inbox = self.inbox.clone();
                    spawn_local(async move {
                        let answer = resolve::resolve(question).await;
                        let _ = inbox.send(Message::Resolved { id, answer });
                    });
                }
                Output::Route { id, destination } => {
                    let route = route_to(destination);
                    self.machine.handle_input(Input::Routed { id, route }, Instant::now());
                }
                Output::Ask { question, what } => self.ask(question, what),
                Output::Media(command) => self.tell_media(command),
                Output::OpenPort { port, address } => {
                    let news = match self.ports.open(port, address) {
                        Ok(address) => PortNews::Opened { address },
                        Err(reason) => PortNews::NotOpened { reason },
                    };
                    self.machine.handle_port(port, news, Instant::now());
                }
                Output::ClosePort { port } => self.ports.close(port),
                Output::SendFromPort { port, destination, payload } => {
                    self.send_from_port(port, destination, &payload)
                }
                Output::Event(event) => (self.on_event)(event),
                Output::Stop => self.stopping = true,
            }
        }
    }

    fn ask(&mut self, question: u64, what: Ask) {
        match what {
            Ask::Route(destination) => {
                let answer = Answer::Route(route_to(destination));
                self.machine.handle_answer(question, answer, Instant::now());
            }
            Ask::Addresses(name) => {
                let inbox = self.inbox.clone();
                spawn_local(async move {
                    let answer = Answer::Addresses(resolve::addresses(&name).await.unwrap_or_default());
                    let _ = inbox.send(Message::Answered { question, answer });
                });
            }
        }
    }

    fn tell_media(&mut self, command: bridge::Command) {
        match &self.media {
            Some(media) => media.command(command),
            None => {
                if let bridge::Command::Open { leg, .. } = command {
                    let reason = bridge::OpenFailure::Other("this driver carries no media".to_owned());
                    self.machine.handle_media(bridge::Event::OpenFailed { leg, reason }, Instant::now());
                }
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        let Transmit { source, destination, protocol, stream, payload } = transmit;
        match (protocol, stream) {
            (Protocol::Udp, _) => self.transmit_datagram(source, destination, &payload),
            (_, Some(stream)) => self.transmit_on(stream, payload),
            // A stream without a number is a contradiction that only a broken machine utters.
            (_, None) => debug_assert!(false, "a transmit over {protocol} names no stream"),
        }
    }

    fn transmit_datagram(&mut self, source: Option<SocketAddr>, destination: SocketAddr, payload: &[u8]) {
        let failed = match self.socket_for(source, destination) {
            Some(socket) => socket
                .send(source, destination, payload)
                .is_err_and(|error| !matches!(error.kind(), ErrorKind::WouldBlock)),
            None => true,
        };
        if failed {
            let input = Input::Unreachable { source, destination, protocol: Protocol::Udp };
            self.machine.handle_input(input, Instant::now());
        }
    }

    /// The socket bound to the source; else one with its port, else one of the destination's family.
    fn socket_for(&mut self, source: Option<SocketAddr>, destination: SocketAddr) -> Option<&mut Udp> {
        let family = |udp: &Udp| udp.bound().is_ipv4() == destination.is_ipv4();
        let rank = |udp: &Udp| match source {
            Some(source) if udp.bound() == source => 3,
            Some(source) if udp.bound().port() == source.port() && udp.bound().ip().is_unspecified() => 2,
            // A socket bound to one address cannot send from another, but to a peer it may be all the same.
            _ => 1,
        };
        let index = (0..self.udp.len())
            .filter(|index| self.udp.get(*index).is_some_and(family))
            .max_by_key(|index| self.udp.get(*index).map(|udp| (rank(udp), std::cmp::Reverse(*index))))?;
        self.udp.get_mut(index)
    }

    fn undelivered(&mut self, socket: usize, now: Instant) {
        while let Some((destination, source)) = self.udp.get_mut(socket).and_then(Udp::undelivered) {
            self.machine
                .handle_input(Input::Unreachable { source, destination, protocol: Protocol::Udp }, now);
        }
    }

    fn transmit_on(&mut self, id: StreamId, payload: Bytes) {
        let Some(stream) = self.streams.get(&id) else { return };
        if !stream.handle.send(payload) {
            // It does not read what it is sent: cut off.
            stream.task.abort();
            self.tasks = self.tasks.saturating_sub(1);
            self.streams.remove(&id);
            self.machine.handle_input(Input::StreamClosed { stream: id }, Instant::now());
        }
    }

    fn close(&mut self, id: StreamId) {
        match self.streams.remove(&id) {
            Some(stream) => drop(stream.handle),
            None => self.machine.handle_input(Input::StreamClosed { stream: id }, Instant::now()),
        }
    }

    fn open(&mut self, id: StreamId, protocol: Protocol, local: Option<SocketAddr>, remote: SocketAddr) {
        let inbox = self.inbox.clone();
        let limits = self.limits;
        let full = self.streams.len() >= limits.streams;
        spawn_local(async move {
            let result = match protocol {
                _ if full => Err(StreamFailure::Other),
                Protocol::Tcp => connect(local, remote, limits.connect).await,
                _ => Err(StreamFailure::Other),
            };
            let _ = inbox.send(Message::Connected { id, protocol, result });
        });
    }

    fn take(&mut self, message: Message<M::Command>, now: Instant) {
        match message {
            Message::Command(command) => self.machine.handle_command(command, now),
            Message::Media(event) => self.machine.handle_media(event, now),
            Message::Accepted { protocol, stream, local, remote } => {
                self.accept(protocol, stream, local, remote, now)
            }
            Message::Connected { id, protocol, result } => match result {
                Ok(stream) => self.connected(id, protocol, stream, now),
                Err(reason) => self.machine.handle_input(Input::StreamFailed { stream: id, reason }, now),
            },
            Message::Stream { id, news } => self.hear_stream(id, news, now),
            Message::Resolved { id, answer } => {
                self.machine.handle_input(Input::Resolved { id, answer }, now)
            }
            Message::Answered { question, answer } => self.machine.handle_answer(question, answer, now),
        }
    }

    fn hear_stream(&mut self, id: StreamId, news: FromStream, now: Instant) {
        match news {
            FromStream::Data { payload, taken } => {
                // One that was closed meanwhile has nothing to say any more.
                if self.streams.contains_key(&id) {
                    self.machine.handle_input(Input::StreamData { stream: id, payload: &payload }, now);
                }
                let _: Taken = taken;
            }
            FromStream::Closed => {
                self.tasks = self.tasks.saturating_sub(1);
                self.streams.remove(&id);
                self.machine.handle_input(Input::StreamClosed { stream: id }, now);
            }
        }
    }

    fn accept(
        &mut self,
        protocol: Protocol,
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) {
        let of_peer =
            self.streams.values().filter(|stream| stream.accepted && stream.remote == remote.ip()).count();
        if self.streams.len() >= self.limits.streams || of_peer >= self.limits.streams_per_address {
            return;
        }
        let id = StreamId::accepted(self.accepted);
        self.accepted = self.accepted.wrapping_add(1);
        self.run_stream(id, protocol, stream, (local, remote), true, now);
    }

    fn connected(&mut self, id: StreamId, protocol: Protocol, stream: TcpStream, now: Instant) {
        match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(remote)) => self.run_stream(id, protocol, stream, (local, remote), false, now),
            _ => {
                let reason = StreamFailure::Other;
                self.machine.handle_input(Input::StreamFailed { stream: id, reason }, now);
            }
        }
    }

    fn run_stream(
        &mut self,
        id: StreamId,
        protocol: Protocol,
        stream: TcpStream,
        (local, remote): (SocketAddr, SocketAddr),
        accepted: bool,
        now: Instant,
    ) {
        // Requests are small and waited for.
        let _ = stream.set_nodelay(true);
        let inbox = self.inbox.clone();
        let tell = async move |news| {
            let _ = inbox.send(Message::Stream { id, news });
        };
        let (handle, work) = stream::connection(stream, self.limits, tell);
        let task = spawn_local(work).abort_handle();
        self.tasks = self.tasks.saturating_add(1);
        let entry = Stream {
            handle,
            task,
            remote: remote.ip(),
            local_address: local,
            remote_address: remote,
            accepted,
        };
        self.streams.insert(id, entry);
        let peer_identity = None;
        self.machine
            .handle_input(Input::StreamOpened { stream: id, protocol, local, remote, peer_identity }, now);
    }

    /// Lets connections write what waits, and the media say good-bye.
    async fn finish(mut self) {
        // Without their handles the connections' tasks end when everything is written.
        self.streams.clear();
        if let Some(media) = self.media.take() {
            media.stop();
        }
        let mut patience = pin!(tokio::time::sleep(LAST_WORDS));
        while self.tasks > 0 {
            let message = poll_fn(|cx| match self.messages.poll_recv(cx) {
                Poll::Pending if patience.as_mut().poll(cx).is_ready() => Poll::Ready(None),
                other => other,
            });
            match message.await {
                Some(Message::Stream { news: FromStream::Closed, .. }) => {
                    self.tasks = self.tasks.saturating_sub(1)
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} – {}", self.local_address, self.remote_address)
    }
}

/// Room for a media packet.
const PACKET: usize = 2048;

/// How long connections may take to write what waits when the machine has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Longer than any driver runs.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

async fn accept<C>(protocol: Protocol, listener: TcpListener, inbox: mpsc::UnboundedSender<Message<C>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                if inbox.send(Message::Accepted { protocol, stream, local, remote }).is_err() {
                    return;
                }
            }
            // Out of descriptors, most likely: others may be closed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connect(
    local: Option<SocketAddr>,
    remote: SocketAddr,
    patience: Duration,
) -> Result<TcpStream, StreamFailure> {
    let attempt = async {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(local) = local.filter(|local| !local.ip().is_unspecified()) {
            // The listening port is taken by the listener; only the address matters.
            socket.bind(SocketAddr::new(local.ip(), 0))?;
        }
        socket.connect(remote).await
    };
    match tokio::time::timeout(patience, attempt).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => StreamFailure::Refused,
            ErrorKind::TimedOut => StreamFailure::TimedOut,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                StreamFailure::Unreachable
            }
            _ => StreamFailure::Other,
        }),
        Err(_) => Err(StreamFailure::TimedOut),
    }
}
