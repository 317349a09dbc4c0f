//! Media in and out, in place: what a datagram is, and which way one leaves.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::state::Base;
use super::{Agent, MediaStream};
use crate::io::{Protocol, StreamId};
use crate::stun::{Class, Message, is_stun};
use crate::turn::client::{Action as RelayAction, Found};
use std::net::SocketAddr;
use std::time::Instant;
use thiserror::Error;

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// It is media (or DTLS): anything that is not STUN.
    Media {
        /// For which stream.
        stream: MediaStream,
        /// For which component.
        component: u16,
        /// Whence, as the peer's candidates are known.
        remote: SocketAddr,
        /// Whether a check by that way has succeeded: only then it is known to come from the peer.
        checked: bool,
        /// The datagram; what a relay had put around it is taken off.
        payload: &'a mut [u8],
    },
    /// It was for the agent.
    Consumed,
    /// It is of no use.
    Dropped(&'static str),
}

/// Why media cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// No such stream or component.
    #[error("no such stream or component")]
    Unknown,
    /// No pair works, or not yet.
    #[error("no pair works")]
    NoPair,
    /// The peer does not answer any more: nothing may be sent to it.
    #[error("the peer's consent is lost")]
    NoConsent,
    /// The message does not fit into the buffer.
    #[error("the buffer is too small")]
    BufferTooSmall,
}

/// A packet that was written into the caller's buffer, ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// How many bytes of the buffer.
    pub length: usize,
    /// From this socket.
    pub source: SocketAddr,
    /// To this address: the peer's, or a TURN server's.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// On this stream, unless it is UDP.
    pub stream: Option<StreamId>,
}

/// How a packet leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Direct {
        /// From this socket.
        source: SocketAddr,
        /// To the peer's address.
        destination: SocketAddr,
    },
    /// With something around it, for a TURN server or a TCP connection: [`Agent::send`] writes that.
    Wrapped,
}

impl Agent {
    /// Looks at a datagram that came to the socket `local`.
    pub fn receive<'a>(
        &mut self,
        datagram: &'a mut [u8],
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Action<'a> {
        let now = self.see(now);
        let is_it =
            |socket: &super::Socket| socket.address == local && !socket.gone && !socket.transport.is_tcp();
        let Some(socket) = self.sockets.iter().position(is_it) else {
            return Action::Dropped("no such socket");
        };
        // From a TURN server it may be what a peer sent to a relayed address.
        for relay in 0..self.relays.len() {
            let of_relay = |it: &super::Relay| {
                it.socket == socket && it.client.server() == remote && it.client.protocol() == Protocol::Udp
            };
            let Some(entry) = self.relays.get_mut(relay).filter(|it| of_relay(it)) else { continue };
            match entry.client.look_at(datagram, (local, remote), now) {
                Found::NotMine => {}
                Found::Dropped(reason) => return Action::Dropped(reason),
                Found::Consumed => {
                    self.drain_relay(relay, now);
                    self.progress(now);
                    return Action::Consumed;
                }
                Found::Relayed { peer, range } => {
                    let payload = datagram.get_mut(range).unwrap_or_default();
                    return self.receive_at(payload, Base::Relay(relay), peer, now);
                }
            }
        }
        self.receive_at(datagram, Base::Socket(socket), remote, now)
    }

    pub(super) fn receive_relay_stream(
        &mut self,
        relay: usize,
        stream: StreamId,
        data: &mut [u8],
        now: Instant,
        each: &mut impl FnMut(Action<'_>),
    ) {
        // What peers sent is set aside until the client can be let go of: this way is not the fast one.
        let mut relayed = Vec::new();
        if let Some(entry) = self.relays.get_mut(relay) {
            entry.client.receive_stream(stream, data, now, |action| {
                if let RelayAction::Relayed { peer, payload } = action {
                    relayed.push((peer, payload.to_vec()));
                }
            });
        }
        self.drain_relay(relay, now);
        for (peer, mut payload) in relayed {
            each(self.receive_at(&mut payload, Base::Relay(relay), peer, now));
        }
    }

    /// A packet came to a base, relay headers taken off.
    pub(super) fn receive_at<'a>(
        &mut self,
        packet: &'a mut [u8],
        base: Base,
        remote: SocketAddr,
        now: Instant,
    ) -> Action<'a> {
        if is_stun(packet) {
            let Ok(message) = Message::parse(packet) else { return Action::Dropped("malformed STUN") };
            match message.class() {
                Class::Request => self.handle_request(&message, base, remote, now),
                Class::Success | Class::Error => {
                    if !self.handle_response(&message, base, remote, now) {
                        return Action::Dropped("a response that nobody waits for");
                    }
                }
                Class::Indication => {} // keeps something alive
            }
            self.progress(now);
            return Action::Consumed;
        }
        let Some((number, component)) = self.socket_of(base).map(|socket| (socket.stream, socket.component))
        else {
            return Action::Dropped("no such socket");
        };
        let checked = self.is_checked(number, base, remote);
        Action::Media { stream: MediaStream(number), component, remote, checked, payload: packet }
    }

    /// Whether a check by this way has succeeded.
    fn is_checked(&self, number: u32, base: Base, remote: SocketAddr) -> bool {
        let Some(stream) = self.streams.get(&number) else { return false };
        let ours = |local: usize| self.locals.get(local).is_some_and(|local| local.base == base);
        let in_use = (stream.components().iter())
            .filter_map(|component| component.active.as_ref())
            .any(|active| active.remote == remote && ours(active.local));
        in_use
            || stream.list.pairs().iter().any(|pair| {
                pair.valid
                    && ours(pair.local)
                    && stream.remotes.get(pair.remote).is_some_and(|it| it.address == remote)
            })
    }

    /// Which way a packet reaches the peer: by the chosen pair, or before that by the best that works.
    ///
    /// # Errors
    /// No pair works, or consent is lost.
    pub fn way(&self, stream: MediaStream, component: u16) -> Result<Way, SendError> {
        let (local, remote) = self.pair_in_use(stream, component)?;
        match self.locals.get(local).filter(|local| !local.gone).map(|local| local.base) {
            Some(Base::Socket(place)) => match self.sockets.get(place) {
                Some(socket) if !socket.transport.is_tcp() => {
                    Ok(Way::Direct { source: socket.address, destination: remote })
                }
                Some(_) => Ok(Way::Wrapped),
                None => Err(SendError::NoPair),
            },
            Some(Base::Relay(_)) => Ok(Way::Wrapped),
            None => Err(SendError::NoPair),
        }
    }

    fn pair_in_use(&self, stream: MediaStream, component: u16) -> Result<(usize, SocketAddr), SendError> {
        let state = self.streams.get(&stream.0).ok_or(SendError::Unknown)?;
        let slot = state.component(component).ok_or(SendError::Unknown)?;
        match &slot.active {
            Some(active) if active.consent.is_lost() => Err(SendError::NoConsent),
            Some(active) => Ok((active.local, active.remote)),
            None => {
                let pair = state.list.best_valid(component).ok_or(SendError::NoPair)?;
                let remote = state.remotes.get(pair.remote).ok_or(SendError::NoPair)?;
                Ok((pair.local, remote.address))
            }
        }
    }

    /// Writes what is to be sent so that a packet reaches the peer: by the chosen pair, or before that by the best that works.
    ///
    /// # Errors
    /// No pair works, consent is lost, or the buffer is too small: 52 bytes more than the packet always do.
    pub fn send(
        &mut self,
        stream: MediaStream,
        component: u16,
        packet: &[u8],
        buffer: &mut [u8],
    ) -> Result<Sending, SendError> {
        let (local, remote) = self.pair_in_use(stream, component)?;
        let local = self.locals.get(local).filter(|local| !local.gone).ok_or(SendError::NoPair)?;
        match local.base {
            Base::Relay(relay) => {
                let entry = self.relays.get_mut(relay).ok_or(SendError::NoPair)?;
                let sending = entry.client.send(remote, packet, buffer).map_err(|error| match error {
                    crate::turn::client::SendError::NoAllocation => SendError::NoPair,
                    crate::turn::client::SendError::BufferTooSmall => SendError::BufferTooSmall,
                })?;
                let crate::turn::client::Sending { length, source, destination, protocol, stream } = sending;
                Ok(Sending { length, source, destination, protocol, stream })
            }
            Base::Socket(place) => {
                let socket = self.sockets.get(place).ok_or(SendError::NoPair)?;
                let source = socket.address;
                if !socket.transport.is_tcp() {
                    let room = buffer.get_mut(..packet.len()).ok_or(SendError::BufferTooSmall)?;
                    room.copy_from_slice(packet);
                    let (protocol, destination) = (Protocol::Udp, remote);
                    return Ok(Sending { length: packet.len(), source, destination, protocol, stream: None });
                }
                let stream = self.connections.find(place, remote).ok_or(SendError::NoPair)?;
                let head = u16::try_from(packet.len()).map_err(|_| SendError::BufferTooSmall)?.to_be_bytes();
                let length = packet.len().saturating_add(2);
                let room = buffer.get_mut(..length).ok_or(SendError::BufferTooSmall)?;
                let (front, rest) = room.split_at_mut_checked(2).ok_or(SendError::BufferTooSmall)?;
                front.copy_from_slice(&head);
                rest.copy_from_slice(packet);
                let (protocol, destination) = (Protocol::Tcp, remote);
                Ok(Sending { length, source, destination, protocol, stream: Some(stream) })
            }
        }
    }
}
