//! Drivers over real sockets of this host: threads that read, one loop that runs a machine.
//!
//! Nothing sleeps: the loop waits for what a thread has read, or for the machine's deadline.

use super::at;
use bytes::Bytes;
use denwa_ice::agent::{
    Action as AgentAction, AgentConfig, AgentEvent, LocalAddress, MediaStream, StreamState,
};
use denwa_ice::turn::client::{Action as ClientAction, ClientConfig, ClientEvent};
use denwa_ice::turn::server::{Action, HEADROOM, ServerConfig, ServerEvent, ServerInput, ServerOutput};
use denwa_ice::turn::{Client, Server};
use denwa_ice::{Agent, Input, Output, Protocol, Seed, StreamId, Transmit};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a thread has read.
pub enum Arrived {
    Datagram(SocketAddr, SocketAddr, Vec<u8>),
    Accepted(StreamId, TcpStream),
    Bytes(StreamId, Vec<u8>),
    Closed(StreamId),
}

enum Out {
    Tcp(TcpStream),
    /// TLS, done by `openssl s_client`.
    Secure(ChildStdin, Child),
    /// DTLS likewise, by a socket that keeps the datagrams apart.
    Datagrams(UnixDatagram, Child),
}

/// Sockets whose readers are threads.
pub struct Sockets {
    sender: Sender<Arrived>,
    receiver: Receiver<Arrived>,
    udp: HashMap<SocketAddr, (UdpSocket, Arc<AtomicBool>)>,
    streams: HashMap<StreamId, Out>,
}

impl Default for Sockets {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver, udp: HashMap::new(), streams: HashMap::new() }
    }
}

impl Sockets {
    /// Binds a UDP socket; the address it got.
    pub fn bind(&mut self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let socket = UdpSocket::bind(address)?;
        let local = socket.local_addr()?;
        let (reader, sender) = (socket.try_clone()?, self.sender.clone());
        let open = Arc::new(AtomicBool::new(true));
        let still = open.clone();
        reader.set_read_timeout(Some(Duration::from_millis(200)))?;
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while still.load(Ordering::Relaxed) {
                if let Ok((length, remote)) = reader.recv_from(&mut buffer)
                    && sender.send(Arrived::Datagram(local, remote, buffer[..length].to_vec())).is_err()
                {
                    return;
                }
            }
        });
        self.udp.insert(local, (socket, open));
        Ok(local)
    }

    pub fn close(&mut self, address: SocketAddr) {
        if let Some((_, open)) = self.udp.remove(&address) {
            open.store(false, Ordering::Relaxed);
        }
    }

    pub fn listen(&mut self, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).unwrap();
        let local = listener.local_addr().unwrap();
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept() {
                number += 1;
                if sender.send(Arrived::Accepted(StreamId::accepted(number), stream)).is_err() {
                    return;
                }
            }
        });
        local
    }

    fn read_from(&self, stream: StreamId, mut from: impl Read + Send + 'static) {
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                let arrived = match from.read(&mut buffer) {
                    Ok(length) if length > 0 => Arrived::Bytes(stream, buffer[..length].to_vec()),
                    _ => Arrived::Closed(stream),
                };
                let over = matches!(arrived, Arrived::Closed(_));
                if sender.send(arrived).is_err() || over {
                    return;
                }
            }
        });
    }

    pub fn adopt(&mut self, stream: StreamId, tcp: TcpStream) {
        tcp.set_nodelay(true).unwrap();
        self.read_from(stream, tcp.try_clone().unwrap());
        self.streams.insert(stream, Out::Tcp(tcp));
    }

    /// Opens a stream; whether that worked.
    pub fn open(&mut self, stream: StreamId, protocol: Protocol, remote: SocketAddr) -> bool {
        if protocol == Protocol::Tcp {
            let Ok(tcp) = TcpStream::connect(remote) else { return false };
            self.adopt(stream, tcp);
            return true;
        }
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-noservername", "-connect", &remote.to_string()]);
        if protocol == Protocol::Dtls {
            return self.open_datagrams(stream, command.arg("-dtls1_2"));
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = child else { return false };
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        self.read_from(stream, stdout);
        self.streams.insert(stream, Out::Secure(stdin, child));
        true
    }

    fn open_datagrams(&mut self, stream: StreamId, command: &mut Command) -> bool {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let theirs: OwnedFd = theirs.into();
        let child = command.stdin(theirs.try_clone().unwrap()).stdout(theirs).stderr(Stdio::null()).spawn();
        let Ok(child) = child else { return false };
        let (reader, sender) = (ours.try_clone().unwrap(), self.sender.clone());
        // Its end is that of the test: nothing says that the other end is gone.
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(length) = reader.recv(&mut buffer) {
                if sender.send(Arrived::Bytes(stream, buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
        });
        self.streams.insert(stream, Out::Datagrams(ours, child));
        true
    }

    pub fn close_stream(&mut self, stream: StreamId) {
        match self.streams.remove(&stream) {
            Some(Out::Tcp(tcp)) => drop(tcp.shutdown(std::net::Shutdown::Both)),
            Some(Out::Secure(stdin, mut child)) => {
                drop(stdin);
                let _ = child.kill();
                let _ = child.wait();
            }
            Some(Out::Datagrams(_, mut child)) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            None => {}
        }
    }

    pub fn send(
        &mut self,
        source: Option<SocketAddr>,
        destination: SocketAddr,
        stream: Option<StreamId>,
        payload: &[u8],
    ) {
        match stream {
            Some(stream) => match self.streams.get_mut(&stream) {
                Some(Out::Tcp(tcp)) => drop(tcp.write_all(payload)),
                Some(Out::Secure(stdin, _)) => drop(stdin.write_all(payload).and_then(|()| stdin.flush())),
                Some(Out::Datagrams(socket, _)) => drop(socket.send(payload)),
                None => {}
            },
            None => {
                if let Some((socket, _)) = source.and_then(|source| self.udp.get(&source)) {
                    let _ = socket.send_to(payload, destination);
                }
            }
        }
    }

    pub fn transmit(&mut self, transmit: &Transmit) {
        self.send(transmit.source, transmit.destination, transmit.stream, &transmit.payload);
    }

    /// What arrives next, at most until then.
    pub fn next(&self, until: Instant) -> Option<Arrived> {
        self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.udp.values().for_each(|(_, open)| open.store(false, Ordering::Relaxed));
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.close_stream(stream);
        }
    }
}

/// A program that is ended with its test.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program is there. Its absence fails the test when peers are required, and is told otherwise.
pub fn have(program: &str, probe: &[&str]) -> bool {
    let status = Command::new(program).args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = status.is_ok();
    if !found {
        let required = std::env::var_os("DENWA_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{program} is required and not installed");
        println!("{program} is not installed: not tested");
    }
    found
}

/// So many ports in a row that are dealt to no other test of this machine, nor by the kernel, for programs that want to be told them.
pub fn free_ports(count: u16) -> u16 {
    static BLOCK: Mutex<Option<denwa_interop::Ports>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    block.get_or_insert_with(denwa_interop::Ports::block).take(count)
}

pub fn free_port() -> u16 {
    free_ports(1)
}

/// Waits until a TCP port is open.
pub fn wait_for_port(port: u16) {
    let end = Instant::now() + denwa_interop::PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nothing listens on port {port}");
        thread::yield_now();
    }
}

/// A TURN client on real sockets. Its clock can be put forward, so that refreshes come without waiting.
pub struct ClientDriver {
    pub client: Client,
    pub sockets: Sockets,
    pub events: Vec<ClientEvent>,
    pub data: Vec<(SocketAddr, Vec<u8>)>,
    pub sent: usize,
    ahead: Duration,
}

impl ClientDriver {
    pub fn new(config: ClientConfig) -> Self {
        Self::new_at(at("127.0.0.1:0"), config)
    }

    pub fn new_at(local: SocketAddr, config: ClientConfig) -> Self {
        let mut sockets = Sockets::default();
        let local = sockets.bind(local).unwrap();
        let client = Client::new(config, local, Seed(super::fresh_seed()), Instant::now());
        Self { client, sockets, events: Vec::new(), data: Vec::new(), sent: 0, ahead: Duration::ZERO }
    }

    pub fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// The client believes that this much time has passed.
    pub fn put_forward(&mut self, duration: Duration) {
        self.ahead += duration;
        self.client.handle_timeout(self.now());
        self.drain();
    }

    pub fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut buffer = vec![0; data.len() + 64];
        let sending = self.client.send(peer, data, &mut buffer).unwrap();
        self.sockets.send(
            Some(sending.source),
            sending.destination,
            sending.stream,
            &buffer[..sending.length],
        );
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.sent += 1;
                    self.sockets.transmit(&transmit);
                }
                Output::OpenStream { stream, protocol, remote, .. } => {
                    let open = self.sockets.open(stream, protocol, remote);
                    let local = self.client.local();
                    let input = if open {
                        Input::StreamOpened { stream, protocol, local, remote, peer_identity: None }
                    } else {
                        Input::StreamFailed { stream }
                    };
                    let now = self.now();
                    self.client.handle_input(input, now);
                }
                Output::CloseStream { stream } => self.sockets.close_stream(stream),
                Output::Event(event) => self.events.push(event),
                Output::Resolve { .. } | Output::Route { .. } => {}
            }
        }
    }

    /// Runs until it is done, for a minute at most. Whether it was.
    pub fn run(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = Instant::now() + denwa_interop::PATIENCE;
        loop {
            self.drain();
            if done(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            let deadline =
                self.client.poll_timeout().map(|at| at.checked_sub(self.ahead).unwrap_or_else(Instant::now));
            let arrived = self.sockets.next(deadline.map_or(end, |at| at.min(end)));
            let now = self.now();
            let data = &mut self.data;
            let mut take = |action: ClientAction<'_>| {
                if let ClientAction::Relayed { peer, payload } = action {
                    data.push((peer, payload.to_vec()));
                }
            };
            match arrived {
                Some(Arrived::Datagram(local, remote, mut bytes)) => {
                    take(self.client.receive(&mut bytes, (local, remote), now));
                }
                Some(Arrived::Bytes(stream, mut bytes)) => {
                    self.client.receive_stream(stream, &mut bytes, now, take)
                }
                Some(Arrived::Closed(stream)) => {
                    self.client.handle_input(Input::StreamClosed { stream }, now)
                }
                Some(Arrived::Accepted(..)) => {}
                None => self.client.handle_timeout(now),
            }
        }
    }
}

/// A TURN server on real sockets, in a thread of its own until it is dropped.
pub struct ServerDriver {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Vec<ServerEvent>>>,
}

impl ServerDriver {
    /// Listens on UDP and TCP at the same address, and on more UDP addresses.
    pub fn start(config: ServerConfig, address: SocketAddr, more: &[SocketAddr]) -> Self {
        let mut sockets = Sockets::default();
        let address = sockets.bind(address).unwrap();
        sockets.listen(address);
        for address in more {
            sockets.bind(*address).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let mut server = Server::new(config, Seed(super::fresh_seed()), Instant::now(), unix);
            let mut events = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                serve(&mut server, &mut sockets, &mut events);
            }
            events
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Ends the server: what happened.
    pub fn finish(mut self) -> Vec<ServerEvent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for ServerDriver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(server: &mut Server, sockets: &mut Sockets, events: &mut Vec<ServerEvent>) {
    let until = Instant::now() + Duration::from_millis(100);
    let deadline = server.poll_timeout().map_or(until, |at| at.min(until));
    let arrived = sockets.next(deadline);
    let now = Instant::now();
    match arrived {
        Some(Arrived::Datagram(local, remote, bytes)) => {
            let mut buffer = vec![0; HEADROOM];
            buffer.extend_from_slice(&bytes);
            if let Action::Forward { source, destination, stream, payload, .. } =
                server.receive(&mut buffer, local, remote, now)
            {
                let payload = Bytes::copy_from_slice(payload);
                sockets.send(Some(source), destination, stream, &payload);
            }
        }
        Some(Arrived::Accepted(stream, tcp)) => {
            let (local, remote) = (tcp.local_addr().unwrap(), tcp.peer_addr().unwrap());
            sockets.adopt(stream, tcp);
            let protocol = Protocol::Tcp;
            server.handle_input(
                ServerInput::StreamOpened { stream, protocol, local, remote, peer_identity: None },
                now,
            );
        }
        Some(Arrived::Bytes(stream, mut bytes)) => {
            let mut out = Vec::new();
            server.receive_stream(stream, &mut bytes, now, |action| {
                if let Action::Forward { source, destination, stream, payload, .. } = action {
                    out.push((source, destination, stream, payload.to_vec()));
                }
            });
            for (source, destination, stream, payload) in out {
                sockets.send(Some(source), destination, stream, &payload);
            }
        }
        Some(Arrived::Closed(stream)) => {
            sockets.close_stream(stream);
            server.handle_input(ServerInput::StreamClosed { stream }, now);
        }
        None => server.handle_timeout(now),
    }
    while let Some(output) = server.poll_output() {
        match output {
            ServerOutput::Transmit(transmit) => sockets.transmit(&transmit),
            ServerOutput::CloseStream { stream } => sockets.close_stream(stream),
            ServerOutput::OpenPort { address } => {
                let input = match sockets.bind(address) {
                    Ok(_) => ServerInput::PortOpened { address },
                    Err(_) => ServerInput::PortFailed { address },
                };
                server.handle_input(input, now);
            }
            ServerOutput::ClosePort { address } => sockets.close(address),
            ServerOutput::Lookup { .. } => {}
            ServerOutput::Event(event) => events.push(event),
        }
    }
}

/// An agent on real UDP sockets.
pub struct AgentDriver {
    pub agent: Agent,
    pub stream: MediaStream,
    pub sockets: Sockets,
    pub events: Vec<AgentEvent>,
    pub media: Vec<Vec<u8>>,
}

impl AgentDriver {
    pub fn new(config: AgentConfig, addresses: &[std::net::IpAddr]) -> Self {
        let now = Instant::now();
        let mut agent = Agent::new(config, Seed(super::fresh_seed()), now);
        let stream = agent.add_stream(1);
        let mut sockets = Sockets::default();
        for address in addresses {
            let local = sockets.bind(SocketAddr::new(*address, 0)).unwrap();
            agent.add_local_address(stream, 1, LocalAddress::udp(local), now).unwrap();
        }
        agent.all_addresses_added(stream, now).unwrap();
        Self { agent, stream, sockets, events: Vec::new(), media: Vec::new() }
    }

    pub fn is_completed(&self) -> bool {
        self.agent.state(self.stream) == Some(StreamState::Completed)
    }

    pub fn send(&mut self, packet: &[u8]) {
        let mut buffer = vec![0; packet.len() + 64];
        let sending = self.agent.send(self.stream, 1, packet, &mut buffer).unwrap();
        self.sockets.send(
            Some(sending.source),
            sending.destination,
            sending.stream,
            &buffer[..sending.length],
        );
    }

    /// Runs until it is done, for that long at most. Whether it was.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            while let Some(output) = self.agent.poll_output() {
                match output {
                    Output::Transmit(transmit) => self.sockets.transmit(&transmit),
                    Output::Event(event) => self.events.push(event),
                    _ => {}
                }
            }
            if done(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            let deadline = self.agent.poll_timeout().map_or(end, |at| at.min(end));
            // In between the caller looks at what else it waits for.
            let arrived = self.sockets.next(deadline.min(Instant::now() + Duration::from_millis(20)));
            let now = Instant::now();
            match arrived {
                Some(Arrived::Datagram(local, remote, mut bytes)) => {
                    if let AgentAction::Media { payload, .. } =
                        self.agent.receive(&mut bytes, local, remote, now)
                    {
                        self.media.push(payload.to_vec());
                    }
                }
                _ => self.agent.handle_timeout(now),
            }
        }
    }
}
