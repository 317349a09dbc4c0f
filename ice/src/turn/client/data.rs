//! Relayed data, in place: no queue, no copy beyond the header.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Client, EndReason, State};
use crate::io::{Protocol, StreamId};
use crate::stun::attribute::XorPeerAddress;
use crate::stun::framing::Framer;
use crate::stun::{AttributeKind, Class, Message, Method, Writer, is_stun};
use crate::turn::channel_data::{self, ChannelData};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;
use thiserror::Error;

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// It carries what a peer sent to the relayed address.
    Relayed {
        /// Who.
        peer: SocketAddr,
        /// What.
        payload: &'a mut [u8],
    },
    /// It was for this client.
    Consumed,
    /// It was not for this client, and may be for somebody else.
    NotMine,
    /// It was meant for this client and is of no use.
    Dropped(&'static str),
}

/// An [`Action`] that tells where in the datagram the payload lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Relayed { peer: SocketAddr, range: Range<usize> },
    Consumed,
    NotMine,
    Dropped(&'static str),
}

impl Found {
    fn within(self, datagram: &mut [u8]) -> Action<'_> {
        match self {
            Self::Relayed { peer, range } => {
                Action::Relayed { peer, payload: datagram.get_mut(range).unwrap_or_default() }
            }
            Self::Consumed => Action::Consumed,
            Self::NotMine => Action::NotMine,
            Self::Dropped(reason) => Action::Dropped(reason),
        }
    }
}

/// Why data cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// There is no allocation.
    #[error("there is no allocation")]
    NoAllocation,
    /// The message does not fit into the buffer.
    #[error("the buffer is too small")]
    BufferTooSmall,
}

/// A message that was written into the caller's buffer, ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// How many bytes of the buffer.
    pub length: usize,
    /// From this socket.
    pub source: SocketAddr,
    /// To the server.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// On this stream, unless it is UDP.
    pub stream: Option<StreamId>,
}

impl Client {
    /// Wraps data for a peer: as ChannelData when there is a channel, else as a Send indication (which the server drops unless the peer is
    /// permitted).
    ///
    /// # Errors
    /// There is no allocation, or the buffer is too small: 40 bytes more than the data always do for IPv4, 52 for IPv6.
    pub fn send(&mut self, peer: SocketAddr, data: &[u8], buffer: &mut [u8]) -> Result<Sending, SendError> {
        if self.state != State::Allocated {
            return Err(SendError::NoAllocation);
        }
        let length = match self.peers.channel(peer) {
            Some(channel) => self.write_channel_data(channel, data, buffer),
            None => {
                let id = self.generator.transaction_id();
                let mut writer = Writer::new(buffer, Class::Indication, Method::SEND, id);
                writer.put(&XorPeerAddress(peer));
                writer.attribute(AttributeKind::DATA, data);
                writer.finish().ok()
            }
        };
        Ok(Sending {
            length: length.ok_or(SendError::BufferTooSmall)?,
            source: self.local,
            destination: self.server,
            protocol: self.config.server.protocol,
            stream: self.stream,
        })
    }

    fn write_channel_data(&self, channel: u16, data: &[u8], buffer: &mut [u8]) -> Option<usize> {
        let header = ChannelData::header(channel, data.len())?;
        let unpadded = channel_data::HEADER_BYTES.checked_add(data.len())?;
        // Streams need padding to know where the next message begins (RFC 8656 section 12.5).
        let reliable = self.config.server.protocol.is_reliable();
        let length = if reliable { unpadded.checked_next_multiple_of(4)? } else { unpadded };
        let (front, padding) = buffer.get_mut(..length)?.split_at_mut_checked(unpadded)?;
        let (head, body) = front.split_at_mut_checked(channel_data::HEADER_BYTES)?;
        head.copy_from_slice(&header);
        body.copy_from_slice(data);
        padding.fill(0);
        Some(length)
    }

    /// Looks at a datagram that came to (`local`, `remote`).
    pub fn receive<'a>(
        &mut self,
        datagram: &'a mut [u8],
        path: (SocketAddr, SocketAddr),
        now: Instant,
    ) -> Action<'a> {
        self.look_at(datagram, path, now).within(datagram)
    }

    /// The same, telling places instead of slices.
    pub(crate) fn look_at(
        &mut self,
        datagram: &[u8],
        (local, remote): (SocketAddr, SocketAddr),
        now: Instant,
    ) -> Found {
        if self.config.server.protocol.is_opened() || local != self.local || remote != self.server {
            return Found::NotMine;
        }
        if matches!(self.state, State::Idle | State::Ended) {
            return Found::NotMine;
        }
        let now = self.see(now);
        self.receive_message(datagram, None, now)
    }

    /// Takes bytes from a stream to the server, and gives `each` what they hold. After
    /// [`PeerConnected`](super::ClientEvent::PeerConnected) all bytes on that stream are the peer's.
    pub fn receive_stream(
        &mut self,
        stream: StreamId,
        data: &mut [u8],
        now: Instant,
        mut each: impl FnMut(Action<'_>),
    ) {
        let now = self.see(now);
        if let Some(peer) = self.joined.get(&stream) {
            return each(Action::Relayed { peer: *peer, payload: data });
        }
        if self.joining.contains_key(&stream) {
            return self.receive_joining(stream, data, now, each);
        }
        if self.stream != Some(stream) {
            return each(Action::NotMine);
        }
        if self.config.server.protocol == Protocol::Dtls {
            return each(self.receive_message(data, Some(stream), now).within(data));
        }
        let mut framer =
            std::mem::replace(&mut self.framer, Framer::new(crate::stun::framing::Framing::Native, 0));
        let outcome = framer
            .receive(data, |message| each(self.receive_message(message, Some(stream), now).within(message)));
        self.framer = framer;
        if outcome.is_err() && self.stream == Some(stream) {
            self.end(EndReason::StreamFailed);
        }
    }

    /// A stream that waits to be joined to a peer's: one answer, and then the peer's bytes.
    fn receive_joining(
        &mut self,
        stream: StreamId,
        data: &mut [u8],
        now: Instant,
        mut each: impl FnMut(Action<'_>),
    ) {
        let Some((_, _, framer)) = self.joining.get_mut(&stream) else { return };
        let Some(mut framer) = framer.take() else { return };
        let mut rest = data;
        // A byte at a time, so that what follows the answer stays untouched.
        while let Some((first, after)) = rest.split_first_mut() {
            let mut answered = false;
            let outcome = framer.receive(std::slice::from_ref(first), |message| {
                answered = true;
                self.receive_message(message, Some(stream), now);
            });
            rest = after;
            if outcome.is_err() {
                return self.stream_lost(stream);
            }
            if answered {
                if let Some(peer) = self.joined.get(&stream)
                    && !rest.is_empty()
                {
                    each(Action::Relayed { peer: *peer, payload: rest });
                }
                return;
            }
        }
        if let Some((_, _, place)) = self.joining.get_mut(&stream) {
            *place = Some(framer);
        }
    }

    fn receive_message(&mut self, datagram: &[u8], via: Option<StreamId>, now: Instant) -> Found {
        if ChannelData::is_channel_data(datagram) {
            let Some(ChannelData { channel, data }) = ChannelData::parse(datagram) else {
                return Found::Dropped("ChannelData cut short");
            };
            let length = data.len();
            let Some(peer) = self.peers.peer(channel) else {
                return Found::Dropped("ChannelData of an unknown channel");
            };
            let end = channel_data::HEADER_BYTES.saturating_add(length);
            return Found::Relayed { peer, range: channel_data::HEADER_BYTES..end };
        }
        if !is_stun(datagram) {
            return Found::NotMine;
        }
        let Ok(message) = Message::parse(datagram) else {
            return Found::Dropped("malformed STUN");
        };
        if message.class() == Class::Indication
            && message.method() == Method::DATA
            && let Some(range) = message.range(AttributeKind::DATA)
        {
            let Ok(Some(XorPeerAddress(peer))) = message.get() else {
                return Found::Dropped("Data indication without a peer");
            };
            if !self.peers.knows(peer.ip()) {
                return Found::Dropped("Data indication of a peer without permission");
            }
            return Found::Relayed { peer, range };
        }
        // Responses may belong to others who speak to the same server from the same socket (a STUN client).
        let mine = message.class() == Class::Indication || self.transactions.get(message.id()).is_some();
        if !mine {
            return Found::NotMine;
        }
        self.handle_message(&message, via, now);
        Found::Consumed
    }
}
