//! TCP candidates: connections that we open or accept, and packets on them (RFC 6544, framed by RFC 4571).

use super::event::{AgentEvent, AgentLimit, PairFailure};
use super::state::Base;
use super::{Action, Agent, MediaStream};
use crate::candidate::CandidateTransport;
use crate::io::{Input, Output, Protocol, StreamId, Transmit};
use crate::stun::framing::{Framer, Framing};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// The largest packet on a connection: what two bytes can say.
const LARGEST_PACKET: usize = 65_535;

#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Vec<Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    stream: StreamId,
    socket: usize,
    remote: SocketAddr,
    open: bool,
    framer: Framer,
    /// Sent when it is open.
    waiting: Vec<Bytes>,
}

impl Connections {
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    /// The open connection of a socket to a peer.
    pub(super) fn find(&self, socket: usize, remote: SocketAddr) -> Option<StreamId> {
        let fits = |it: &&Connection| it.socket == socket && it.remote == remote && it.open;
        self.table.iter().find(fits).map(|it| it.stream)
    }
}

impl Agent {
    /// Sends a control message on the connection of a base to a peer; opens it if that is ours to do.
    pub(super) fn transmit_on_connection(&mut self, base: Base, remote: SocketAddr, payload: &Bytes) {
        let Base::Socket(socket) = base else { return };
        let Some(packet) = framed(payload) else { return };
        let known = self.connections.table.iter_mut().find(|it| it.socket == socket && it.remote == remote);
        if let Some(connection) = known {
            if connection.open {
                let stream = connection.stream;
                self.push_on_connection(socket, remote, stream, packet);
            } else if connection.waiting.len() < 8 {
                connection.waiting.push(packet);
            }
            return;
        }
        let Some(local) = self.sockets.get(socket) else { return };
        let source = match local.transport {
            CandidateTransport::TcpActive => SocketAddr::new(local.address.ip(), 0),
            CandidateTransport::TcpSimultaneous => local.address,
            CandidateTransport::TcpPassive | CandidateTransport::Udp => return,
        };
        if self.connections.len() >= self.config.limits.connections {
            let (stream, limit) = (MediaStream(local.stream), AgentLimit::Connections);
            return self.event(AgentEvent::LimitReached { stream, limit });
        }
        let stream = StreamId::opened(self.connections.next);
        self.connections.next = self.connections.next.wrapping_add(1) & u64::from(u32::MAX);
        let framer = Framer::new(Framing::LengthPrefixed, LARGEST_PACKET);
        let waiting = vec![packet];
        self.connections.table.push(Connection { stream, socket, remote, open: false, framer, waiting });
        self.outputs.push_back(Output::OpenStream {
            stream,
            protocol: Protocol::Tcp,
            local: Some(source),
            remote,
            server_name: None,
        });
    }

    fn push_on_connection(&mut self, socket: usize, remote: SocketAddr, stream: StreamId, payload: Bytes) {
        let source = self.sockets.get(socket).map(|socket| socket.address);
        let protocol = Protocol::Tcp;
        self.outputs.push_back(Output::Transmit(Transmit {
            source,
            destination: remote,
            protocol,
            stream: Some(stream),
            payload,
        }));
    }

    /// A connection is open: ours, or a peer's to a passive candidate.
    pub(super) fn connection_opened(
        &mut self,
        stream: StreamId,
        local: SocketAddr,
        remote: SocketAddr,
        _now: Instant,
    ) {
        if let Some(place) = self.connections.table.iter().position(|it| it.stream == stream) {
            let connection = &mut self.connections.table[place];
            connection.open = true;
            let (socket, waiting) = (connection.socket, std::mem::take(&mut connection.waiting));
            for packet in waiting {
                self.push_on_connection(socket, remote, stream, packet);
            }
            return;
        }
        let listens = |transport| {
            matches!(transport, CandidateTransport::TcpPassive | CandidateTransport::TcpSimultaneous)
        };
        let socket =
            self.sockets.iter().position(|it| it.address == local && listens(it.transport) && !it.gone);
        let full = self.connections.len() >= self.config.limits.connections;
        match socket {
            Some(socket) if stream.is_accepted() && !full => {
                let framer = Framer::new(Framing::LengthPrefixed, LARGEST_PACKET);
                let waiting = Vec::new();
                self.connections.table.push(Connection {
                    stream,
                    socket,
                    remote,
                    open: true,
                    framer,
                    waiting,
                });
            }
            _ => {
                self.outputs.push_back(Output::CloseStream { stream });
                if let Some(socket) = socket.and_then(|socket| self.sockets.get(socket)) {
                    let (stream, limit) = (MediaStream(socket.stream), AgentLimit::Connections);
                    self.event(AgentEvent::LimitReached { stream, limit });
                }
            }
        }
    }

    /// A stream could not be opened, or has ended.
    pub(super) fn stream_lost(&mut self, stream: StreamId, failed: bool, now: Instant) {
        if let Some(relay) = self.relay_of(stream) {
            let input = if failed { Input::StreamFailed { stream } } else { Input::StreamClosed { stream } };
            self.relays[relay].client.handle_input(input, now);
            return self.drain_relay(relay, now);
        }
        let Some(place) = self.connections.table.iter().position(|it| it.stream == stream) else { return };
        let Connection { socket, remote, .. } = self.connections.table.swap_remove(place);
        let mut fallen = Vec::new();
        for (number, stream) in &self.streams {
            for pair in stream.list.pairs() {
                let ours = self.locals.get(pair.local).is_some_and(|it| it.base == Base::Socket(socket));
                let theirs = stream.remotes.get(pair.remote).is_some_and(|it| it.address == remote);
                if ours && theirs {
                    fallen.push((*number, pair.id, pair.component));
                }
            }
        }
        for (number, pair, component) in fallen {
            let in_use = (self.streams.get(&number).and_then(|it| it.component(component)))
                .and_then(|component| component.active.as_ref())
                .is_some_and(|active| active.pair == Some(pair));
            self.transactions.forget(|tag| {
                matches!(tag, super::Tag::Check { stream, pair: of, .. } if *stream == number && *of == pair)
            });
            self.pair_failed(number, pair, PairFailure::StreamFailed);
            if in_use {
                self.replace_active(number, component, now);
            }
            self.update_state(number);
        }
        self.arm(now);
    }

    pub(super) fn close_connections_of(&mut self, sockets: &[usize]) {
        let mut kept = Vec::new();
        for connection in self.connections.table.drain(..) {
            if sockets.contains(&connection.socket) {
                self.outputs.push_back(Output::CloseStream { stream: connection.stream });
            } else {
                kept.push(connection);
            }
        }
        self.connections.table = kept;
    }

    /// Takes bytes from a stream, and gives `each` what packets they hold.
    pub fn receive_stream(
        &mut self,
        stream: StreamId,
        data: &mut [u8],
        now: Instant,
        mut each: impl FnMut(Action<'_>),
    ) {
        let now = self.see(now);
        if let Some(relay) = self.relay_of(stream) {
            self.receive_relay_stream(relay, stream, data, now, &mut each);
            return self.progress(now);
        }
        let Some(place) = self.connections.table.iter().position(|it| it.stream == stream) else { return };
        let connection = &mut self.connections.table[place];
        let (socket, remote) = (connection.socket, connection.remote);
        let mut framer = std::mem::replace(&mut connection.framer, Framer::new(Framing::LengthPrefixed, 0));
        // Two bytes cannot say more than is allowed, so the framing cannot fail.
        let _ =
            framer.receive(data, |packet| each(self.receive_at(packet, Base::Socket(socket), remote, now)));
        if let Some(connection) = self.connections.table.iter_mut().find(|it| it.stream == stream) {
            connection.framer = framer;
        }
        self.progress(now);
    }
}

/// A packet with its length in front; `None` when it is too long.
fn framed(payload: &[u8]) -> Option<Bytes> {
    let length = u16::try_from(payload.len()).ok()?;
    Some([length.to_be_bytes().as_slice(), payload].concat().into())
}
