//! UDP ports of a machine's own: a telephone's media, a few at a time.

use super::marking::mark;
use super::media::{bind_media, open_failure};
use crate::bridge::OpenFailure;
use crate::driver::PortId;
use crate::marking::Dscp;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// The ports that are open.
#[derive(Debug)]
pub(super) struct Ports {
    dscp: Option<Dscp>,
    open: Vec<(PortId, UdpSocket)>,
    /// The one that is asked first next time, so that none is starved.
    turn: usize,
}

/// How many errors of earlier datagrams are passed over at a time.
const ATTEMPTS: usize = 8;

impl Ports {
    /// None is open yet; what is sent from them will be marked.
    pub(super) fn marked(dscp: Option<Dscp>) -> Self {
        Self { dscp, open: Vec::new(), turn: 0 }
    }

    pub(super) fn open(&mut self, port: PortId, address: SocketAddr) -> Result<SocketAddr, OpenFailure> {
        let failed = |error: io::Error| open_failure(address, &error);
        let socket = bind_media(address).map_err(failed)?;
        mark(&socket, self.dscp);
        let bound = socket.local_addr().map_err(failed)?;
        self.open.push((port, UdpSocket::from_std(socket).map_err(failed)?));
        Ok(bound)
    }

    pub(super) fn close(&mut self, port: PortId) {
        self.open.retain(|(name, _)| *name != port);
    }

    /// Sends now or never. `false` when the network refuses the destination.
    pub(super) fn send(&self, port: PortId, destination: SocketAddr, bytes: &[u8]) -> bool {
        let Some((_, socket)) = self.open.iter().find(|(name, _)| *name == port) else { return true };
        !socket.try_send_to(bytes, destination).is_err_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
            )
        })
    }

    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<(PortId, SocketAddr, usize)> {
        let ports = self.open.len();
        for step in 0..ports {
            let index = self.turn.wrapping_add(step) % ports;
            let Some((port, socket)) = self.open.get(index) else { continue };
            for _ in 0..ATTEMPTS {
                let mut space = ReadBuf::new(buffer);
                match socket.poll_recv_from(cx, &mut space) {
                    Poll::Ready(Ok(remote)) => {
                        self.turn = index.wrapping_add(1);
                        return Poll::Ready((*port, remote, space.filled().len()));
                    }
                    // What went wrong with an earlier datagram is no reason to stop listening.
                    Poll::Ready(Err(_)) => cx.waker().wake_by_ref(),
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }
}
