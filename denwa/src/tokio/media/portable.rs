//! Waiting for sockets where there is no epoll. It tells of a socket when something comes, and not again before the socket
//! was emptied.

use super::worker::{Poller, Waker};
use crate::marking::Dscp;
use crate::tokio::marking::mark;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Portable {
    poll: Poll,
    waker: Arc<mio::Waker>,
    events: Events,
}

/// The token of the waker; those of sockets count up from 0.
const WAKER: Token = Token(usize::MAX);

/// Sockets that are told of at a time.
const BATCH: usize = 256;

impl Poller for Portable {
    type Socket = UdpSocket;
    const UNTIL_EMPTY: bool = true;

    fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, waker, events: Events::with_capacity(BATCH) })
    }

    fn waker(&self) -> Waker {
        let waker = Arc::clone(&self.waker);
        Waker::new(move || drop(waker.wake()))
    }

    fn add(&mut self, socket: std::net::UdpSocket, token: u64) -> io::Result<UdpSocket> {
        let mut socket = UdpSocket::from_std(socket);
        let token = usize::try_from(token).map_err(io::Error::other)?;
        self.poll.registry().register(&mut socket, Token(token), Interest::READABLE)?;
        Ok(socket)
    }

    fn remove(&mut self, socket: &mut UdpSocket) {
        // One that is gone already is as good as removed.
        let _ = self.poll.registry().deregister(socket);
    }

    #[cfg(unix)]
    fn release(socket: UdpSocket) -> io::Result<std::net::UdpSocket> {
        Ok(std::os::fd::OwnedFd::from(socket).into())
    }

    #[cfg(not(unix))]
    fn release(_: UdpSocket) -> io::Result<std::net::UdpSocket> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn wait(&mut self, patience: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, patience) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        ready.extend(
            self.events.iter().map(|event| event.token()).filter(|token| *token != WAKER).map(|t| t.0 as u64),
        );
        Ok(())
    }

    fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, std::net::SocketAddr)> {
        socket.recv_from(buffer)
    }

    fn send(socket: &UdpSocket, bytes: &[u8], to: std::net::SocketAddr) -> io::Result<usize> {
        socket.send_to(bytes, to)
    }

    fn mark(socket: &UdpSocket, dscp: Dscp) {
        mark(socket, Some(dscp));
    }
}
