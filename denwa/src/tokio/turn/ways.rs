//! The ways out of the server: listening sockets, relayed ports, connections.

use super::{Counters, count};
use crate::tokio::stream::StreamHandle;
use crate::tokio::udp::Udp;
use bytes::Bytes;
use denwa_ice::StreamId;
use denwa_ice::turn::server::Action;
use foldhash::fast::RandomState;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::AbortHandle;

pub(super) type Socket = Rc<RefCell<Udp>>;

pub(super) struct Ways {
    listeners: Vec<Socket>,
    relays: HashMap<SocketAddr, Relay, RandomState>,
    streams: HashMap<StreamId, StreamHandle, RandomState>,
    counters: Arc<Counters>,
}

struct Relay {
    socket: Socket,
    task: AbortHandle,
}

impl Ways {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { listeners: Vec::new(), relays: HashMap::default(), streams: HashMap::default(), counters }
    }

    pub(super) fn listen_by(&mut self, socket: Socket) {
        self.listeners.push(socket);
    }

    pub(super) fn open_port(&mut self, address: SocketAddr, socket: Socket, task: AbortHandle) {
        self.relays.insert(address, Relay { socket, task });
    }

    pub(super) fn close_port(&mut self, address: SocketAddr) {
        if let Some(relay) = self.relays.remove(&address) {
            relay.task.abort();
        }
    }

    pub(super) fn open(&mut self, stream: StreamId, handle: StreamHandle) {
        self.streams.insert(stream, handle);
    }

    /// Its task writes what waits, and tells that it has closed.
    pub(super) fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Sends on what is to be sent on.
    pub(super) fn follow(&mut self, action: Action<'_>) {
        if let Action::Forward { source, destination, stream, payload, .. } = action {
            count(&self.counters.relayed_packets, 1);
            count(&self.counters.relayed_bytes, payload.len() as u64);
            match stream {
                Some(stream) => self.send_on(stream, Bytes::copy_from_slice(payload)),
                None => self.send_datagram(Some(source), destination, payload),
            }
        }
    }

    /// A client that does not read what it is sent is cut off.
    pub(super) fn send_on(&mut self, stream: StreamId, payload: Bytes) {
        if self.streams.get(&stream).is_some_and(|handle| !handle.send(payload)) {
            self.streams.remove(&stream);
        }
    }

    pub(super) fn send_datagram(&self, source: Option<SocketAddr>, destination: SocketAddr, bytes: &[u8]) {
        let relay = source.and_then(|source| self.relays.get(&source)).map(|relay| &relay.socket);
        if let Some(socket) = relay.or_else(|| self.listener(source, destination)) {
            // What cannot be sent is lost, as on any other hop; if the network says why, the socket's task hears it.
            let _ = socket.borrow_mut().send(source, destination, bytes);
        }
    }

    /// The listening socket that has this source.
    fn listener(&self, source: Option<SocketAddr>, destination: SocketAddr) -> Option<&Socket> {
        let fits = |bound: SocketAddr| match source {
            Some(source) => {
                bound == source
                    || (bound.ip().is_unspecified()
                        && bound.port() == source.port()
                        && bound.is_ipv4() == source.is_ipv4())
            }
            None => bound.is_ipv4() == destination.is_ipv4(),
        };
        self.listeners.iter().find(|socket| fits(socket.borrow().bound()))
    }
}
