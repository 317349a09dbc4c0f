//! One worker: its bridge, its sockets, and the loop that moves bytes between them.

use super::relays::{Relays, StreamNews};
use crate::bridge::{
    Action, Command, Component, Event, HEADROOM, Input, LegId, MediaBridge, MovedLeg, OpenFailure, Output,
    Path, Transmit,
};
use crate::marking::Dscp;
use crate::media::Wire;
use crate::tokio::marking::mark;
use denwa_ice::StreamId;
use foldhash::fast::FixedState;
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How a worker waits for its sockets.
pub(super) trait Poller: Sized + Send + 'static {
    type Socket: Send;
    /// Whether a socket must be read until it has nothing more before it is told of again.
    const UNTIL_EMPTY: bool;

    fn new() -> io::Result<Self>;
    fn waker(&self) -> Waker;
    fn add(&mut self, socket: UdpSocket, token: u64) -> io::Result<Self::Socket>;
    fn remove(&mut self, socket: &mut Self::Socket);
    /// The plain socket again, to be added elsewhere.
    fn release(socket: Self::Socket) -> io::Result<UdpSocket>;
    fn wait(&mut self, patience: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()>;
    fn receive(socket: &Self::Socket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn send(socket: &Self::Socket, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;
    /// Has it mark what it sends.
    fn mark(socket: &Self::Socket, dscp: Dscp);
}

/// Ends a worker's waiting.
#[derive(Clone)]
pub(super) struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }
}

/// A way to a worker.
#[derive(Clone)]
pub(super) struct Post {
    channel: mpsc::Sender<Work>,
    waker: Waker,
    /// Whether it was woken and has not looked yet: a second time would only cost a call to the system.
    woken: Arc<AtomicBool>,
}

impl Post {
    pub(super) fn send(&self, work: Work) {
        // A worker that has ended takes no more work, and there is nobody to tell.
        if self.channel.send(work).is_ok() && !self.woken.swap(true, Ordering::AcqRel) {
            (self.waker.0)();
        }
    }
}

pub(super) enum Work {
    Command(Command),
    /// The leg will come from another worker: commands wait for it.
    Expect(LegId),
    /// The leg is to live on another worker.
    Leave {
        leg: LegId,
        to: Post,
    },
    Arrive {
        leg: LegId,
        moved: Option<Box<Moved>>,
    },
    /// Something became of a connection.
    Stream {
        leg: LegId,
        stream: StreamId,
        news: StreamNews,
    },
    Stop,
}

/// A leg between two workers.
pub(super) struct Moved {
    leg: MovedLeg,
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

pub(super) struct Worker<P: Poller> {
    bridge: MediaBridge,
    /// What its packets are marked with.
    dscp: Option<Dscp>,
    poller: P,
    work: mpsc::Receiver<Work>,
    woken: Arc<AtomicBool>,
    tell: Arc<dyn Fn(Event) + Send + Sync>,
    /// By token, two to a leg: that of RTCP is one above that of RTP.
    sockets: Vec<Option<(LegId, P::Socket)>>,
    free: Vec<usize>,
    places: HashMap<LegId, usize, FixedState>,
    expected: Vec<LegId>,
    /// What came while legs were on their way here.
    parked: Vec<Work>,
    relays: Option<Arc<Relays>>,
}

/// Room for the largest datagram worth reading, and for what a protected one grows by.
const BUFFER: usize = 4096;

impl<P: Poller> Worker<P> {
    pub(super) fn new(
        bridge: MediaBridge,
        dscp: Option<Dscp>,
        tell: Arc<dyn Fn(Event) + Send + Sync>,
    ) -> io::Result<(Post, Self)> {
        let (channel, work) = mpsc::channel();
        let poller = P::new()?;
        let woken = Arc::new(AtomicBool::new(false));
        let post = Post { channel, waker: poller.waker(), woken: Arc::clone(&woken) };
        let worker = Self {
            bridge,
            dscp,
            poller,
            work,
            woken,
            tell,
            sockets: Vec::new(),
            free: Vec::new(),
            places: HashMap::with_hasher(FixedState::default()),
            expected: Vec::new(),
            parked: Vec::new(),
            relays: None,
        };
        Ok((post, worker))
    }

    /// Can reach TURN servers by connections.
    pub(super) fn with_relays(self, relays: Arc<Relays>) -> Self {
        Self { relays: Some(relays), ..self }
    }

    pub(super) fn run(mut self) {
        let mut buffer = vec![0; BUFFER];
        let mut ready = Vec::new();
        loop {
            let stopped = self.take_work();
            self.do_what_is_wanted();
            if stopped {
                return;
            }
            let now = Instant::now();
            if self.bridge.poll_timeout().is_some_and(|deadline| deadline <= now) {
                self.time_has_come(&mut buffer, now);
                continue;
            }
            let patience = self.bridge.poll_timeout().map(|deadline| deadline.saturating_duration_since(now));
            ready.clear();
            if self.poller.wait(patience, &mut ready).is_err() {
                return;
            }
            let now = Instant::now();
            if ready.len() > 1 {
                ready.iter().for_each(|token| self.look_ahead(*token));
            }
            for token in &ready {
                self.receive(*token, &mut buffer, now);
            }
        }
    }

    fn take_work(&mut self) -> bool {
        // Before it looks: what comes after the look wakes it again. A swap, and no store, so that it sees all that was sent by those
        // who found the flag set.
        self.woken.swap(false, Ordering::AcqRel);
        loop {
            match self.work.try_recv() {
                Ok(work @ (Work::Command(_) | Work::Stream { .. })) => {
                    if self.expected.is_empty() {
                        self.take(work);
                    } else {
                        self.parked.push(work);
                    }
                }
                Ok(Work::Expect(leg)) => self.expected.push(leg),
                Ok(Work::Leave { leg, to }) => {
                    let moved = self.leave(leg).map(Box::new);
                    to.send(Work::Arrive { leg, moved });
                }
                Ok(Work::Arrive { leg, moved }) => self.arrive(leg, moved),
                Ok(Work::Stop) | Err(mpsc::TryRecvError::Disconnected) => return true,
                Err(mpsc::TryRecvError::Empty) => return false,
            }
        }
    }

    fn take(&mut self, work: Work) {
        let now = Instant::now();
        match work {
            Work::Command(command) => self.obey(command, now),
            Work::Stream { leg, stream, news } => match news {
                StreamNews::Opened { local, remote } => {
                    self.bridge.handle_input(Input::StreamOpened { leg, stream, local, remote }, now);
                }
                StreamNews::Data { payload, _taken } => {
                    self.bridge.receive_stream(leg, stream, &mut payload.to_vec(), now);
                }
                StreamNews::Closed { was_open } => {
                    self.bridge.handle_input(Input::StreamClosed { leg, stream, was_open }, now);
                }
            },
            // These are about more than a leg that is here.
            Work::Expect(_) | Work::Leave { .. } | Work::Arrive { .. } | Work::Stop => {}
        }
        // Sockets are opened and closed in the order of the commands.
        self.do_what_is_wanted();
    }

    fn wire(&mut self, leg: LegId, wire: Wire) {
        match (&self.relays, wire) {
            (Some(relays), wire) => relays.perform(leg, wire),
            (None, Wire::Open { stream, .. }) => {
                let failed = Input::StreamClosed { leg, stream, was_open: false };
                self.bridge.handle_input(failed, Instant::now());
            }
            (None, _) => {}
        }
    }

    fn do_what_is_wanted(&mut self) {
        while let Some(output) = self.bridge.poll_output() {
            match output {
                Output::Bind { leg, rtp, rtcp } => {
                    let input = match self.bind(leg, rtp, rtcp) {
                        Ok((rtp, rtcp)) => Input::Bound { leg, rtp, rtcp },
                        Err(reason) => Input::BindFailed { leg, reason },
                    };
                    self.bridge.handle_input(input, Instant::now());
                }
                Output::Unbind { leg } => {
                    drop(self.unbind(leg));
                    if let Some(relays) = &self.relays {
                        relays.forget(leg);
                    }
                }
                Output::Wire { leg, wire } => self.wire(leg, wire),
                Output::Transmit(transmit) => self.transmit(&transmit),
                Output::Event(event) => (self.tell)(event),
            }
        }
    }

    fn time_has_come(&mut self, buffer: &mut [u8], now: Instant) {
        self.bridge.handle_timeout(now);
        while let Some(out) = self.bridge.next_frame(buffer, now) {
            let bytes = buffer.get(..out.length).unwrap_or(&[]);
            for destination in [Some(out.destination), out.also].into_iter().flatten() {
                self.send(out.leg, Component::Rtp, bytes, destination);
            }
        }
        self.do_what_is_wanted();
    }

    /// Looks at what a packet for this socket will need. With thousands of legs all of it lies in memory, far away; looked at one
    /// leg after the other before the first packet is read, it comes from there at the same time, not one thing after the other.
    #[inline]
    fn look_ahead(&self, token: u64) {
        let entry = usize::try_from(token).ok().and_then(|token| self.sockets.get(token)?.as_ref());
        if let Some(other) = entry.and_then(|(leg, _)| self.bridge.look_ahead(*leg)) {
            let place = self.places.get(&other).and_then(|place| self.sockets.get(*place));
            black_box(place.is_some_and(Option::is_some));
        }
    }

    fn receive(&mut self, token: u64, buffer: &mut [u8], now: Instant) {
        loop {
            let Some((leg, socket)) =
                usize::try_from(token).ok().and_then(|token| self.sockets.get(token)?.as_ref())
            else {
                return;
            };
            let leg = *leg;
            let room = buffer.len().saturating_sub(HEADROOM);
            let Some(space) = buffer.get_mut(..room) else { return };
            match P::receive(socket, space) {
                Ok((length, source)) => {
                    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                    // Sockets of RTCP have the odd tokens.
                    let path = match token % 2 {
                        0 => Path::from(source),
                        _ => self.bridge.control_path(leg, source),
                    };
                    match self.bridge.receive(leg, path, buffer, length, now) {
                        Action::Forward(forward) => {
                            let (leg, bytes) = (forward.leg, forward.bytes);
                            self.send_from(leg, bytes, forward.destination);
                            if let Some(also) = forward.also {
                                self.send_from(leg, bytes, also);
                            }
                        }
                        Action::Consumed | Action::Dropped(_) => {}
                    }
                    self.do_what_is_wanted();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            if !P::UNTIL_EMPTY {
                return;
            }
        }
    }

    /// As [`Worker::send`], for media that are passed on; an error is told when the loop comes round.
    #[inline]
    fn send_from(&self, leg: LegId, bytes: &[u8], destination: SocketAddr) {
        if let Some((_, socket)) =
            self.places.get(&leg).and_then(|place| self.sockets.get(*place)).and_then(Option::as_ref)
        {
            // What the system does not take now is lost, as on any hop.
            let _ = P::send(socket, bytes, destination);
        }
    }

    fn send(&mut self, leg: LegId, component: Component, bytes: &[u8], destination: SocketAddr) {
        let offset = usize::from(component == Component::Rtcp);
        let Some(Some((_, socket))) =
            self.places.get(&leg).and_then(|place| self.sockets.get(place.saturating_add(offset)))
        else {
            return;
        };
        let refused = P::send(socket, bytes, destination).is_err_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
            )
        });
        if refused {
            self.bridge.handle_input(Input::Unreachable { leg, destination }, Instant::now());
        }
    }

    fn transmit(&mut self, transmit: &Transmit) {
        self.send(transmit.leg, transmit.component, &transmit.payload, transmit.destination);
    }

    fn bind(
        &mut self,
        leg: LegId,
        rtp: SocketAddr,
        rtcp: SocketAddr,
    ) -> Result<(SocketAddr, SocketAddr), OpenFailure> {
        let failed = |address| move |error| failure(address, &error);
        let media = bind(rtp).map_err(failed(rtp))?;
        let control = bind(rtcp).map_err(failed(rtcp))?;
        mark(&media, self.dscp);
        mark(&control, self.dscp);
        let bound = (media.local_addr().map_err(failed(rtp))?, control.local_addr().map_err(failed(rtcp))?);
        self.put(leg, media, control).map_err(failed(rtp))?;
        Ok(bound)
    }

    fn obey(&mut self, command: Command, now: Instant) {
        if let Command::Mark { leg, dscp } = command {
            self.mark(leg, dscp);
        }
        self.bridge.handle_command(command, now);
    }

    fn mark(&self, leg: LegId, dscp: Dscp) {
        let Some(place) = self.places.get(&leg) else { return };
        for token in [*place, place.saturating_add(1)] {
            if let Some(Some((_, socket))) = self.sockets.get(token) {
                P::mark(socket, dscp);
            }
        }
    }

    fn put(&mut self, leg: LegId, rtp: UdpSocket, rtcp: UdpSocket) -> io::Result<()> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.sockets.extend([None, None]);
            self.sockets.len().saturating_sub(2)
        });
        for (token, socket) in [(place, rtp), (place.saturating_add(1), rtcp)] {
            let socket = self.poller.add(socket, token as u64)?;
            if let Some(entry) = self.sockets.get_mut(token) {
                *entry = Some((leg, socket));
            }
        }
        self.places.insert(leg, place);
        Ok(())
    }

    fn unbind(&mut self, leg: LegId) -> Option<(P::Socket, P::Socket)> {
        let place = self.places.remove(&leg)?;
        self.free.push(place);
        let mut take = |token: usize| {
            let (_, mut socket) = self.sockets.get_mut(token)?.take()?;
            self.poller.remove(&mut socket);
            Some(socket)
        };
        let (rtp, rtcp) = (take(place), take(place.saturating_add(1)));
        rtp.zip(rtcp)
    }

    fn leave(&mut self, leg: LegId) -> Option<Moved> {
        let moved = self.bridge.take_leg(leg, Instant::now());
        self.do_what_is_wanted();
        let (rtp, rtcp) = self.unbind(leg)?;
        Some(Moved { leg: moved?, rtp: P::release(rtp).ok()?, rtcp: P::release(rtcp).ok()? })
    }

    fn arrive(&mut self, leg: LegId, moved: Option<Box<Moved>>) {
        if let Some(moved) = moved {
            let Moved { leg: moved, rtp, rtcp } = *moved;
            if self.put(leg, rtp, rtcp).is_ok() {
                self.bridge.put_leg(moved, Instant::now());
            }
        }
        self.expected.retain(|expected| *expected != leg);
        if self.expected.is_empty() {
            for work in std::mem::take(&mut self.parked) {
                self.take(work);
            }
        }
    }
}

/// Binds a UDP socket for media.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Why a socket could not be opened.
pub(crate) fn failure(address: SocketAddr, error: &io::Error) -> OpenFailure {
    match error.kind() {
        io::ErrorKind::AddrInUse => OpenFailure::PortTaken(address),
        io::ErrorKind::AddrNotAvailable => OpenFailure::NoSuchAddress(address),
        // EMFILE and ENFILE have no kind of their own.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => OpenFailure::TooManySockets,
        _ => OpenFailure::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
