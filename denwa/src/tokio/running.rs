//! The signalling driver's loop: do what the machine wants done, wait, hand in what came.

use super::media::MediaDriver;
use super::names::Names;
use super::port::Ports;
use super::route_to;
use super::signalling::Message;
use super::stream::FromStream;
use super::streams::Streams;
use super::udp::{Batch, Received, Udp, Undelivered};
use crate::bridge;
use crate::driver::{Answer, Ask, Machine, Output, PortId, PortNews};
use crate::marking::Dscp;
use bytes::Bytes;
use denwa_sip_core::io::Input;
use denwa_sip_core::{Protocol, Transmit};
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;
use tokio::time::Sleep;

pub(super) struct Running<M: Machine, E> {
    pub(super) machine: M,
    on_event: E,
    udp: Vec<Udp>,
    /// The socket that is asked first next time, so that none is starved.
    turn: usize,
    pub(super) inbox: Inbox<M::Command>,
    messages: mpsc::UnboundedReceiver<Message<M::Command>>,
    media: Option<MediaDriver>,
    names: Names,
    pub(super) streams: Streams,
    ports: Ports,
    stopping: bool,
}

type Inbox<C> = mpsc::UnboundedSender<Message<C>>;

enum Wake<C> {
    Datagrams { socket: usize },
    Trouble { socket: usize },
    Message(Message<C>),
    Port { port: PortId, remote: SocketAddr, length: usize },
    Deadline,
}

impl<M: Machine, E: FnMut(M::Event)> Running<M, E> {
    pub(super) fn new(
        machine: M,
        on_event: E,
        udp: Vec<Udp>,
        (inbox, messages): (Inbox<M::Command>, mpsc::UnboundedReceiver<Message<M::Command>>),
        media: Option<MediaDriver>,
        names: Names,
        streams: Streams,
    ) -> Self {
        Self {
            machine,
            on_event,
            udp,
            turn: 0,
            inbox,
            messages,
            media,
            names,
            streams,
            ports: Ports::marked(None),
            stopping: false,
        }
    }

    /// Marks what is sent from the machine's own ports.
    pub(super) fn marked(mut self, dscp: Option<Dscp>) -> Self {
        self.ports = Ports::marked(dscp);
        self
    }

    pub(super) async fn run(mut self) {
        let mut batch = Batch::new();
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
            let wake = poll_fn(|cx| self.poll_wake(cx, &mut batch, sleep.as_mut(), armed.is_some())).await;
            let now = Instant::now();
            match wake {
                Wake::Datagrams { socket } => {
                    for (received, bytes) in batch.datagrams() {
                        let Received { local, remote, stride, .. } = received;
                        // An empty datagram is a keep-alive that some send.
                        let payloads = bytes.chunks(stride).chain(bytes.is_empty().then_some(&[][..]));
                        for payload in payloads {
                            self.machine.handle_input(Input::Datagram { local, remote, payload }, now);
                        }
                    }
                    self.turn = socket.wrapping_add(1);
                }
                Wake::Trouble { socket } => self.undelivered(socket, now),
                Wake::Port { port, remote, length } => {
                    if let Some(payload) = batch.room().get_mut(..length) {
                        self.machine.handle_port(port, PortNews::Datagram { remote, payload }, now);
                    }
                }
                Wake::Message(message) => {
                    self.take(message, now);
                    // What else waits is taken along: all that follows from it leaves with one call to the system.
                    for _ in 1..TOGETHER {
                        let Ok(message) = self.messages.try_recv() else { break };
                        self.take(message, now);
                    }
                }
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
        batch: &mut Batch,
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
            match self.udp.get(socket).map(|udp| udp.poll_receive(cx, batch)) {
                Some(Poll::Ready(Ok(()))) => return Poll::Ready(Wake::Datagrams { socket }),
                Some(Poll::Ready(Err(_))) => return Poll::Ready(Wake::Trouble { socket }),
                Some(Poll::Pending) | None => {}
            }
        }
        let room = batch.room();
        self.ports.poll_receive(cx, room).map(|(port, remote, length)| Wake::Port { port, remote, length })
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
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.perform(output);
            }
            for index in 0..self.udp.len() {
                self.flush(index);
            }
            // What could not be sent may have changed the machine's mind.
            match self.machine.poll_output() {
                Some(output) => self.perform(output),
                None => return,
            }
        }
    }

    fn perform(&mut self, output: Output<M::Event>) {
        match output {
            Output::Transmit(transmit) => self.transmit(transmit),
            Output::OpenStream { stream, protocol, local, remote, server_name } => {
                self.open(stream, protocol, local, remote, server_name);
            }
            // Its task writes what waits and then tells that it has closed.
            Output::CloseStream { stream } => self.close(stream),
            Output::Resolve { id, question } => {
                let (inbox, asker) = (self.inbox.clone(), self.names.asker());
                spawn_local(async move {
                    let answer = asker.resolve(question).await;
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

    fn ask(&mut self, question: u64, what: Ask) {
        match what {
            Ask::Route(destination) => {
                let answer = Answer::Route(route_to(destination));
                self.machine.handle_answer(question, answer, Instant::now());
            }
            Ask::Addresses(name) => {
                let (inbox, asker) = (self.inbox.clone(), self.names.asker());
                spawn_local(async move {
                    let answer = Answer::Addresses(asker.addresses_of(&name).await);
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
            (Protocol::Udp, _) => self.transmit_datagram(source, destination, payload),
            (_, Some(stream)) => self.transmit_on(stream, payload),
            // A stream without a number is a contradiction that only a broken machine utters.
            (_, None) => debug_assert!(false, "a transmit over {protocol} names no stream"),
        }
    }

    fn transmit_datagram(&mut self, source: Option<SocketAddr>, destination: SocketAddr, payload: Bytes) {
        let Some(index) = self.socket_for(source, destination) else {
            let input = Input::Unreachable { source, destination, protocol: Protocol::Udp };
            return self.machine.handle_input(input, Instant::now());
        };
        if self.udp.get_mut(index).is_some_and(|socket| !socket.queue(source, destination, payload)) {
            self.flush(index);
        }
    }

    fn flush(&mut self, index: usize) {
        let mut failed = Vec::new();
        if let Some(socket) = self.udp.get_mut(index) {
            socket.flush(|source, destination| failed.push((source, destination)));
        }
        for (source, destination) in failed {
            let input = Input::Unreachable { source, destination, protocol: Protocol::Udp };
            self.machine.handle_input(input, Instant::now());
        }
    }

    /// The socket bound to the source; else one with its port, else one of the destination's family.
    fn socket_for(&self, source: Option<SocketAddr>, destination: SocketAddr) -> Option<usize> {
        let family = |udp: &Udp| udp.bound().is_ipv4() == destination.is_ipv4();
        let rank = |udp: &Udp| match source {
            Some(source) if udp.bound() == source => 3,
            Some(source) if udp.bound().port() == source.port() && udp.bound().ip().is_unspecified() => 2,
            // A socket bound to one address cannot send from another, but to a peer it may be all the same.
            _ => 1,
        };
        (0..self.udp.len())
            .filter(|index| self.udp.get(*index).is_some_and(family))
            .max_by_key(|index| self.udp.get(*index).map(|udp| (rank(udp), std::cmp::Reverse(*index))))
    }

    fn undelivered(&mut self, socket: usize, now: Instant) {
        while let Some(Undelivered { destination, source, .. }) =
            self.udp.get_mut(socket).and_then(Udp::undelivered)
        {
            self.machine
                .handle_input(Input::Unreachable { source, destination, protocol: Protocol::Udp }, now);
        }
    }

    fn take(&mut self, message: Message<M::Command>, now: Instant) {
        match message {
            Message::Command(command) => self.machine.handle_command(command, now),
            Message::Media(event) => self.machine.handle_media(event, now),
            Message::Tls(tls) => {
                if let Some(media) = &self.media {
                    media.reload_tls(tls.clone());
                }
                self.streams.reload(tls);
            }
            Message::Accepted { protocol, stream, local, remote, place } => {
                drop(place);
                self.accept(protocol, stream, local, remote, now);
            }
            Message::Welcomed { id, protocol, ready } => self.welcomed(id, protocol, *ready, now),
            Message::Refused { id } => self.streams.refused(id),
            Message::Connected { id, protocol, result } => self.connected(id, protocol, result, now),
            Message::Stream { id, news } => self.hear_stream(id, news, now),
            Message::Resolved { id, answer } => {
                self.machine.handle_input(Input::Resolved { id, answer }, now)
            }
            Message::Answered { question, answer } => self.machine.handle_answer(question, answer, now),
        }
    }

    /// Lets connections write what waits, and the media say good-bye.
    async fn finish(mut self) {
        self.streams.clear();
        if let Some(media) = self.media.take() {
            media.stop();
        }
        let mut patience = pin!(tokio::time::sleep(LAST_WORDS));
        while self.streams.are_writing() {
            let message = poll_fn(|cx| match self.messages.poll_recv(cx) {
                Poll::Pending if patience.as_mut().poll(cx).is_ready() => Poll::Ready(None),
                other => other,
            });
            match message.await {
                Some(Message::Stream { news: FromStream::Closed, .. }) => self.streams.task_ended(),
                Some(_) => {}
                None => return,
            }
        }
    }
}

/// Room for a media packet.
const PACKET: usize = 2048;

/// Messages that are taken at a time.
const TOGETHER: usize = 64;

/// How long connections may take to write what waits when the machine has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connections of one listening socket that the driver has not looked at yet.
const ACCEPTED: usize = 64;

/// Longer than any driver runs.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Takes connections from a listening socket, no more than so many that the driver has not looked at: the others wait with
/// the system, whose own queue turns away whom it cannot hold.
pub(super) async fn accept<C>(protocol: Protocol, listener: TcpListener, inbox: Inbox<C>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let queue = Arc::new(Semaphore::new(ACCEPTED));
    while let Ok(place) = Arc::clone(&queue).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                let accepted = Message::Accepted { protocol, stream, local, remote, place };
                if inbox.send(accepted).is_err() {
                    return;
                }
            }
            // Out of descriptors, most likely: others may be closed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
