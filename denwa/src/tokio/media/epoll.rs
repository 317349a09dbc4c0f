//! Waiting for sockets on Linux: level-triggered, so that one packet costs one receive and no second one that finds nothing.

use super::worker::{Poller, Waker};
use crate::marking::Dscp;
use crate::tokio::marking::mark;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::OwnedFd;
use std::io;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Epoll {
    epoll: OwnedFd,
    waker: Arc<OwnedFd>,
}

/// The token of the waker; those of sockets count up from 0.
const WAKER: u64 = u64::MAX;

/// Sockets that are told of at a time.
const BATCH: usize = 256;

impl Poller for Epoll {
    type Socket = UdpSocket;
    const UNTIL_EMPTY: bool = false;

    fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &waker, EventData::new_u64(WAKER), EventFlags::IN)?;
        Ok(Self { epoll, waker: Arc::new(waker) })
    }

    fn waker(&self) -> Waker {
        let waker = Arc::clone(&self.waker);
        // A full counter wakes as well.
        Waker::new(move || {
            let _ = rustix::io::write(&*waker, &1u64.to_ne_bytes());
        })
    }

    fn add(&mut self, socket: UdpSocket, token: u64) -> io::Result<UdpSocket> {
        epoll::add(&self.epoll, &socket, EventData::new_u64(token), EventFlags::IN)?;
        Ok(socket)
    }

    fn remove(&mut self, socket: &mut UdpSocket) {
        // One that is gone already is as good as removed.
        let _ = epoll::delete(&self.epoll, &*socket);
    }

    fn release(socket: UdpSocket) -> io::Result<UdpSocket> {
        Ok(socket)
    }

    fn wait(&mut self, patience: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let patience = patience.map(|patience| Timespec {
            tv_sec: patience.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        });
        let mut space = [const { MaybeUninit::uninit() }; BATCH];
        let (events, _) = match epoll::wait(&self.epoll, &mut space[..], patience.as_ref()) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let token = event.data.u64();
            if token == WAKER {
                let _ = rustix::io::read(&*self.waker, &mut [0; 8]);
            } else {
                ready.push(token);
            }
        }
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
