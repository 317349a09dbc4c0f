//! UDP for signalling: which local address a datagram came to, and from which one it leaves; what the network says of those
//! that did not arrive.

use super::listen::bind_udp;
use super::marking::mark;
use crate::marking::Dscp;
use bytes::Bytes;
use quinn_udp::{RecvMeta, TransportErrorPayload, UdpSockRef, UdpSocketState};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// How many datagrams one call to the system brings or takes at most. With less than a few thousand a second there is rarely
/// more than one to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batching {
    /// Received together: 1 to 16, which is the default.
    pub receive: usize,
    /// Sent together: 1 to 32, which is the default. Only sockets that listen on one address send together.
    pub send: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self { receive: BATCH, send: TOGETHER }
    }
}

/// One bound socket.
pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    bound: SocketAddr,
    /// The last destinations, newest last: an error names the host that did not take a datagram, and not its port.
    recent: VecDeque<(SocketAddr, Option<SocketAddr>)>,
    /// What leaves by the next call to the system.
    waiting: Vec<Waiting>,
    batching: Batching,
    is_marked: bool,
}

struct Waiting {
    source: Option<SocketAddr>,
    destination: SocketAddr,
    payload: Bytes,
}

/// How many destinations are remembered to tell which one an error is about.
const RECENT: usize = 64;

/// Octets of a receive buffer: the largest datagram, and as many of the same kind as the system may hand over at once.
const BUFFER: usize = 65_536;

/// How many receive buffers: so many datagrams may one call to the system bring. The pages of those that stay empty are never
/// touched.
const BATCH: usize = 16;

/// How many datagrams leave by one call to the system at most.
const TOGETHER: usize = 32;

/// How often a datagram is offered to the system while errors of others are in the way.
const ATTEMPTS: usize = 4;

/// Received bytes, several datagrams of the same length when the system put them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) length: usize,
    /// The length of each but the last.
    pub(super) stride: usize,
}

/// A datagram that the network says has not arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undelivered {
    pub(super) destination: SocketAddr,
    pub(super) source: Option<SocketAddr>,
    /// The type and code that say so.
    pub(super) icmp: (u8, u8),
}

/// What one call to the system brings.
pub(super) struct Batch {
    bytes: Vec<u8>,
    received: Vec<Received>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; BUFFER * BATCH], received: Vec::with_capacity(BATCH) }
    }

    /// What came last, in its order.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (Received, &[u8])> {
        let bytes = self.bytes.chunks(BUFFER);
        self.received
            .iter()
            .zip(bytes)
            .map(|(received, bytes)| (*received, bytes.get(..received.length).unwrap_or(&[])))
    }

    /// Room for one datagram.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..BUFFER).unwrap_or(&mut [])
    }
}

impl Udp {
    pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
        bind_udp(address)
    }

    /// To be called within the runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Without it a port that nobody listens on looks like a lost datagram; a system that cannot do it is used all the same.
        let _ = state.enable_transport_errors(UdpSockRef::from(&socket));
        allow_fragments(&socket);
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
            bound,
            recent: VecDeque::new(),
            waiting: Vec::new(),
            batching: Batching::default(),
            is_marked: false,
        })
    }

    pub(super) fn batched(mut self, batching: Batching) -> Self {
        let Batching { receive, send } = batching;
        self.batching = Batching { receive: receive.clamp(1, BATCH), send: send.clamp(1, TOGETHER) };
        self
    }

    /// Marks what it sends.
    pub(super) fn marked(mut self, dscp: Option<Dscp>) -> Self {
        mark(&self.socket, dscp);
        self.is_marked = dscp.is_some();
        self
    }

    pub(super) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Waits for the next datagrams. Errors of the network come out of [`Udp::undelivered`].
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let mut metas = [RecvMeta::default(); BATCH];
            let mut rooms = batch.bytes.chunks_mut(BUFFER);
            let mut rooms: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or(&mut [])));
            let most = self.batching.receive;
            let (Some(rooms), Some(metas_of)) = (rooms.get_mut(..most), metas.get_mut(..most)) else {
                return Poll::Ready(Err(ErrorKind::InvalidInput.into()));
            };
            let result = self.socket.try_io(Interest::READABLE, || {
                self.state.recv(UdpSockRef::from(&self.socket), rooms, metas_of)
            });
            match result {
                Ok(count) => {
                    batch.received.clear();
                    batch.received.extend(metas.iter().take(count).map(|meta| Received {
                        local: SocketAddr::new(
                            meta.dst_ip.unwrap_or_else(|| self.bound.ip()),
                            self.bound.port(),
                        ),
                        remote: meta.addr,
                        length: meta.len,
                        stride: meta.stride.max(1),
                    }));
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Puts a datagram with those that leave together. `false` when there are enough of them: [`Udp::flush`] then.
    pub(super) fn queue(
        &mut self,
        source: Option<SocketAddr>,
        destination: SocketAddr,
        payload: Bytes,
    ) -> bool {
        self.waiting.push(Waiting { source, destination, payload });
        self.waiting.len() < self.batching.send
    }

    /// Sends what waits, in its order. `failed` is told the destinations that the system refuses.
    pub(super) fn flush(&mut self, mut failed: impl FnMut(Option<SocketAddr>, SocketAddr)) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut done = 0;
        while let Some(left) = waiting.get(done..).filter(|left| !left.is_empty()) {
            // A socket that is bound to no address chooses one for each.
            if left.len() > 1 && !self.bound.ip().is_unspecified() {
                let sent = send_together(&self.socket, left);
                for one in left.iter().take(sent) {
                    self.remember(one.source, one.destination);
                }
                done += sent;
            }
            // The first that the system did not take has its own error.
            if let Some(one) = waiting.get(done) {
                if self.send(one.source, one.destination, &one.payload).is_err() {
                    failed(one.source, one.destination);
                }
                done += 1;
            }
        }
        waiting.clear();
        self.waiting = waiting;
    }

    /// Sends a datagram now or never. `source` is an address of this socket's; the system chooses when it is unspecified.
    ///
    /// # Errors
    /// What the system says. A full send buffer is no error: the datagram is lost, as on any other hop.
    pub(super) fn send(
        &mut self,
        source: Option<SocketAddr>,
        destination: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        let src_ip =
            source.map(|source| source.ip()).filter(|ip| !ip.is_unspecified() && self.may_choose(*ip));
        let transmit =
            quinn_udp::Transmit { destination, ecn: None, contents: payload, segment_size: None, src_ip };
        self.remember(source, destination);
        // An error that waits in the socket belongs to an earlier datagram, and is handed out instead of sending this one.
        let mut attempts = 0;
        loop {
            attempts += 1;
            // `quinn_udp` writes the octet with the mark itself, for its half with the word about congestion.
            let sent = match self.is_marked {
                true => self.socket.try_send_to(payload, destination).map(drop),
                false => self.state.try_send(UdpSockRef::from(&self.socket), &transmit),
            };
            match sent {
                Err(error) if is_delivery(&error) && attempts < ATTEMPTS => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                other => return other,
            }
        }
    }

    fn remember(&mut self, source: Option<SocketAddr>, destination: SocketAddr) {
        if self.recent.back() != Some(&(destination, source)) {
            self.recent.retain(|entry| *entry != (destination, source));
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((destination, source));
        }
    }

    /// Whether a datagram may be given a source: only where the socket is not bound to one address already.
    fn may_choose(&self, ip: IpAddr) -> bool {
        self.bound.ip().is_unspecified() && ip.is_ipv4() == self.bound.is_ipv4()
    }

    /// A datagram that did not arrive; `None` when there is no more news.
    pub(super) fn undelivered(&mut self) -> Option<Undelivered> {
        loop {
            let error = self.state.recv_transport_error(UdpSockRef::from(&self.socket)).ok()??;
            if !matches!(error.payload, TransportErrorPayload::Unreachable) && !is_refusal(error.raw_errno) {
                continue;
            }
            let Some(host) = error.addr.map(|address| address.ip().to_canonical()) else { continue };
            // Only when there is no doubt which one it was.
            let mut of_host =
                self.recent.iter().filter(|(destination, _)| destination.ip().to_canonical() == host);
            if let (Some((destination, source)), None) = (of_host.next().copied(), of_host.next()) {
                return Some(Undelivered { destination, source, icmp: icmp(host, error.raw_errno) });
            }
        }
    }
}

/// Hands datagrams to the system in one call; how many it took.
#[cfg(target_os = "linux")]
fn send_together(socket: &UdpSocket, waiting: &[Waiting]) -> usize {
    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
    let addresses: Vec<_> = waiting.iter().map(|one| one.destination.as_any()).collect();
    let parts: Vec<_> = waiting.iter().map(|one| [io::IoSlice::new(&one.payload)]).collect();
    let mut controls: Vec<_> = waiting.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> = addresses
        .iter()
        .zip(&parts)
        .zip(&mut controls)
        .map(|((address, part), control)| MMsgHdr::new_with_addr(address, part, control))
        .collect();
    sendmmsg(socket, &mut messages, SendFlags::DONTWAIT).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn send_together(_: &UdpSocket, _: &[Waiting]) -> usize {
    0
}

fn is_delivery(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

/// The ICMP type and code (RFC 792, RFC 4443) that the system makes this error of.
fn icmp(host: IpAddr, raw: i32) -> (u8, u8) {
    match (io::Error::from_raw_os_error(raw).kind(), host) {
        (ErrorKind::NetworkUnreachable, IpAddr::V4(_)) => (3, 0),
        (ErrorKind::HostUnreachable, IpAddr::V4(_)) => (3, 1),
        (_, IpAddr::V4(_)) => (3, 3),
        (ErrorKind::NetworkUnreachable, IpAddr::V6(_)) => (1, 0),
        (ErrorKind::HostUnreachable, IpAddr::V6(_)) => (1, 3),
        (_, IpAddr::V6(_)) => (1, 4),
    }
}

fn is_refusal(raw: i32) -> bool {
    is_delivery(&io::Error::from_raw_os_error(raw))
}

/// SIP messages may be larger than one frame of the line; in pieces is better than not at all.
fn allow_fragments(socket: &std::net::UdpSocket) {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        // Failing that, large messages are lost where they always would be.
        let _ = match socket.local_addr() {
            Ok(SocketAddr::V4(_)) => {
                sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DONT)
            }
            _ => sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DONT),
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}
