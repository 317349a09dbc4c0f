//! The signalling driver's connections: how many, whose, and what becomes of them.

use super::connect::{self, Means, Ready};
use super::running::Running;
use super::signalling::Message;
use super::stream::{self, FromStream, StreamHandle};
use super::tls::Tls;
use crate::driver::Machine;
use bytes::Bytes;
use denwa_sip_core::io::{Input, StreamFailure};
use denwa_sip_core::limits::Limit;
use denwa_sip_core::{Protocol, StreamId};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, spawn_local};

/// The connections of one driver.
pub(super) struct Streams {
    means: Means,
    open: HashMap<StreamId, Stream, RandomState>,
    /// Accepted ones from each address, those whose handshakes are not done included.
    of_address: HashMap<IpAddr, usize, RandomState>,
    /// Accepted ones whose handshakes are not done.
    waiting: HashMap<StreamId, (SocketAddr, SocketAddr), RandomState>,
    accepted: u64,
    /// Connections whose tasks have not ended.
    tasks: usize,
    /// Somebody was turned away and the machine was told; nobody has left since.
    told: bool,
}

struct Stream {
    handle: StreamHandle,
    task: AbortHandle,
    remote: SocketAddr,
    /// Whose share it counts for, when it was accepted.
    accepted_from: Option<IpAddr>,
}

impl Streams {
    pub(super) fn new(means: Means) -> Self {
        Self {
            means,
            open: HashMap::default(),
            of_address: HashMap::default(),
            waiting: HashMap::default(),
            accepted: 0,
            tasks: 0,
            told: false,
        }
    }

    /// Connections to come are made with this.
    pub(super) fn reload(&mut self, tls: Tls) {
        self.means.tls = Some(tls);
    }

    fn is_full(&self) -> bool {
        self.open.len().saturating_add(self.waiting.len()) >= self.means.limits.streams
    }

    /// Takes one more from an address, if it may have one; else says which limit is reached.
    fn admit(&mut self, from: IpAddr) -> Result<(), Limit> {
        if self.is_full() {
            return Err(Limit::Streams);
        }
        let of_peer = self.of_address.entry(from).or_default();
        if *of_peer >= self.means.limits.streams_per_address {
            return Err(Limit::StreamsPerAddress);
        }
        *of_peer = of_peer.saturating_add(1);
        Ok(())
    }

    fn dismiss(&mut self, from: IpAddr) {
        self.told = false;
        if let Some(of_peer) = self.of_address.get_mut(&from) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                self.of_address.remove(&from);
            }
        }
    }

    fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        if let Some(from) = stream.accepted_from {
            self.dismiss(from);
        }
        Some(stream)
    }

    /// An accepted connection's handshakes failed.
    pub(super) fn refused(&mut self, id: StreamId) {
        if let Some((_, remote)) = self.waiting.remove(&id) {
            self.dismiss(remote.ip());
        }
    }

    /// Lets all go. Without their handles the connections' tasks end when everything is written.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn task_ended(&mut self) {
        self.tasks = self.tasks.saturating_sub(1);
    }

    pub(super) fn are_writing(&self) -> bool {
        self.tasks > 0
    }
}

impl<M: Machine, E: FnMut(M::Event)> Running<M, E> {
    pub(super) fn transmit_on(&mut self, id: StreamId, payload: Bytes) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        if !stream.handle.send(payload) {
            // It does not read what it is sent: cut off.
            stream.task.abort();
            let cut = Input::TurnedAway { remote: stream.remote, limit: Limit::StreamBacklog };
            self.streams.task_ended();
            self.streams.remove(id);
            let now = Instant::now();
            self.machine.handle_input(cut, now);
            self.machine.handle_input(Input::StreamClosed { stream: id }, now);
        }
    }

    /// Its task writes what waits and then tells that it has closed.
    pub(super) fn close(&mut self, id: StreamId) {
        if self.streams.remove(id).is_none() {
            self.machine.handle_input(Input::StreamClosed { stream: id }, Instant::now());
        }
    }

    pub(super) fn open(
        &mut self,
        id: StreamId,
        protocol: Protocol,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        server_name: Option<Arc<str>>,
    ) {
        let inbox = self.inbox.clone();
        let full = self.streams.is_full();
        let means = self.streams.means.made_for(protocol);
        spawn_local(async move {
            let result = if full {
                Err(StreamFailure::Other)
            } else {
                connect::connect(means, protocol, local, remote, server_name).await.map(Box::new)
            };
            let _ = inbox.send(Message::Connected { id, protocol, result });
        });
    }

    pub(super) fn connected(
        &mut self,
        id: StreamId,
        protocol: Protocol,
        result: Result<Box<Ready>, StreamFailure>,
        now: Instant,
    ) {
        let ends = |ready: Box<Ready>| {
            let tcp = ready.link.tcp();
            match (tcp.local_addr(), tcp.peer_addr()) {
                (Ok(local), Ok(remote)) => Ok((ready, (local, remote))),
                _ => Err(StreamFailure::Other),
            }
        };
        match result.and_then(ends) {
            Ok((ready, ends)) => self.run_stream(id, protocol, *ready, ends, None, now),
            Err(reason) => self.machine.handle_input(Input::StreamFailed { stream: id, reason }, now),
        }
    }

    pub(super) fn accept(
        &mut self,
        protocol: Protocol,
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) {
        if let Err(limit) = self.streams.admit(remote.ip()) {
            // A flood is one event, not as many as it has connections.
            if !std::mem::replace(&mut self.streams.told, true) {
                self.machine.handle_input(Input::TurnedAway { remote, limit }, now);
            }
            return;
        }
        let id = StreamId::accepted(self.streams.accepted);
        self.streams.accepted = self.streams.accepted.wrapping_add(1);
        self.streams.waiting.insert(id, (local, remote));
        if protocol == Protocol::Tcp {
            return self.welcomed(id, protocol, Ready::plain(stream), now);
        }
        let (inbox, means) = (self.inbox.clone(), self.streams.means.made_for(protocol));
        spawn_local(async move {
            let _ = inbox.send(match connect::accept(means, protocol, stream).await {
                Ok(ready) => Message::Welcomed { id, protocol, ready: Box::new(ready) },
                Err(_) => Message::Refused { id },
            });
        });
    }

    pub(super) fn welcomed(&mut self, id: StreamId, protocol: Protocol, ready: Ready, now: Instant) {
        if let Some(ends) = self.streams.waiting.remove(&id) {
            self.run_stream(id, protocol, ready, ends, Some(ends.1.ip()), now);
        }
    }

    fn run_stream(
        &mut self,
        id: StreamId,
        protocol: Protocol,
        ready: Ready,
        (local, remote): (SocketAddr, SocketAddr),
        accepted_from: Option<IpAddr>,
        now: Instant,
    ) {
        let Ready { link, framing, peer_identity } = ready;
        // Requests are small and waited for.
        let _ = link.tcp().set_nodelay(true);
        let inbox = self.inbox.clone();
        let tell = async move |news| {
            let _ = inbox.send(Message::Stream { id, news });
        };
        let (handle, work) = stream::connection(link, framing, self.streams.means.limits, tell);
        let task = spawn_local(work).abort_handle();
        self.streams.tasks = self.streams.tasks.saturating_add(1);
        self.streams.open.insert(id, Stream { handle, task, remote, accepted_from });
        self.machine
            .handle_input(Input::StreamOpened { stream: id, protocol, local, remote, peer_identity }, now);
    }

    pub(super) fn hear_stream(&mut self, id: StreamId, news: FromStream, now: Instant) {
        match news {
            FromStream::Data { payload, taken } => {
                // One that was closed meanwhile has nothing to say any more.
                if self.streams.open.contains_key(&id) {
                    self.machine.handle_input(Input::StreamData { stream: id, payload: &payload }, now);
                }
                drop(taken);
            }
            FromStream::TooFast => {
                if let Some(stream) = self.streams.open.get(&id) {
                    let cut = Input::TurnedAway { remote: stream.remote, limit: Limit::StreamRate };
                    self.machine.handle_input(cut, now);
                }
            }
            FromStream::Closed => {
                self.streams.task_ended();
                self.streams.remove(id);
                self.machine.handle_input(Input::StreamClosed { stream: id }, now);
            }
        }
    }
}
