//! UDP for signalling: which local address a datagram came to, and from which one it leaves; what the network says of those
//! that did not arrive.

use super::listen::bind_udp;
use quinn_udp::{RecvMeta, TransportErrorPayload, UdpSockRef, UdpSocketState};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// One bound socket.
pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    bound: SocketAddr,
    /// The last destinations, newest last: an error names the host that did not take a datagram, and not its port.
    recent: VecDeque<(SocketAddr, Option<SocketAddr>)>,
}

/// How many destinations are remembered to tell which one an error is about.
const RECENT: usize = 64;

/// Octets of a receive buffer: the largest datagram, and as many of the same kind as the system may hand over at once.
const BUFFER: usize = 65_536;

/// How often a datagram is offered to the system while errors of others are in the way.
const ATTEMPTS: usize = 4;

/// Received bytes, several datagrams of the same length when the system put them together.
pub(super) struct Received {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) length: usize,
    /// The length of each but the last.
    pub(super) stride: usize,
}

/// A buffer to receive into.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; BUFFER]
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
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, bound, recent: VecDeque::new() })
    }

    pub(super) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Waits for the next datagram. Errors of the network come out of [`Udp::undelivered`].
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Received>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let mut meta = [RecvMeta::default()];
            let result = self.socket.try_io(Interest::READABLE, || {
                self.state.recv(UdpSockRef::from(&self.socket), &mut [IoSliceMut::new(buffer)], &mut meta)
            });
            match result {
                Ok(_) => {
                    let [meta] = meta;
                    let ip = meta.dst_ip.unwrap_or_else(|| self.bound.ip());
                    return Poll::Ready(Ok(Received {
                        local: SocketAddr::new(ip, self.bound.port()),
                        remote: meta.addr,
                        length: meta.len,
                        stride: meta.stride.max(1),
                    }));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
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
        if self.recent.back() != Some(&(destination, source)) {
            self.recent.retain(|entry| *entry != (destination, source));
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((destination, source));
        }
        // An error that waits in the socket belongs to an earlier datagram, and is handed out instead of sending this one.
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Err(error) if is_delivery(&error) && attempts < ATTEMPTS => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                other => return other,
            }
        }
    }

    /// Whether a datagram may be given a source: only where the socket is not bound to one address already.
    fn may_choose(&self, ip: IpAddr) -> bool {
        self.bound.ip().is_unspecified() && ip.is_ipv4() == self.bound.is_ipv4()
    }

    /// A destination that did not take a datagram, with where it was sent from; `None` when there is no more news.
    pub(super) fn undelivered(&mut self) -> Option<(SocketAddr, Option<SocketAddr>)> {
        loop {
            let error = self.state.recv_transport_error(UdpSockRef::from(&self.socket)).ok()??;
            if !matches!(error.payload, TransportErrorPayload::Unreachable) && !is_refusal(error.raw_errno) {
                continue;
            }
            let Some(host) = error.addr.map(|address| address.ip().to_canonical()) else { continue };
            // Only when there is no doubt which one it was.
            let mut of_host =
                self.recent.iter().filter(|(destination, _)| destination.ip().to_canonical() == host);
            if let (Some(only), None) = (of_host.next().copied(), of_host.next()) {
                return Some(only);
            }
        }
    }
}

fn is_delivery(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
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
