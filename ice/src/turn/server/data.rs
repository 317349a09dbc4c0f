//! Relayed data, in place (RFC 8656 sections 11 and 12): the caller's buffer goes in, and what is to be sent is part of it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{ClientPath, Server};
use crate::io::{Protocol, StreamId};
use crate::stun::attribute::{Icmp, XorPeerAddress};
use crate::stun::framing::{Framer, Framing};
use crate::stun::{AttributeKind, Class, Message, Method, Writer, is_stun};
use crate::turn::channel_data::{self, ChannelData};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// How many bytes must be free in front of a datagram that is given to [`Server::receive`]: a Data indication's header for
/// an IPv6 peer, and three bytes by which the data may have to move.
pub const HEADROOM: usize = 52;

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Send this on.
    Forward {
        /// From this socket: a relayed port or a listening one.
        source: SocketAddr,
        /// To a peer or to a client.
        destination: SocketAddr,
        /// How: a client may be on a stream.
        protocol: Protocol,
        /// On this stream, unless it is UDP.
        stream: Option<StreamId>,
        /// The datagram.
        payload: &'a [u8],
    },
    /// It was a request, and is answered through [`Server::poll_output`].
    Consumed,
    /// It is of no use.
    Dropped(&'static str),
}

impl Server {
    /// Takes a datagram that came to a listening socket or a relayed port. It lies in `buffer` behind [`HEADROOM`] free bytes.
    pub fn receive<'a>(
        &mut self,
        buffer: &'a mut [u8],
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Action<'a> {
        let now = self.see(now);
        if let Some(number) = self.by_relayed.get(&local).copied() {
            return self.take_from_peer(number, buffer, local, remote, now);
        }
        let Some(datagram) = buffer.get(HEADROOM..) else { return Action::Dropped("no headroom") };
        self.take_from_client(datagram, &ClientPath::udp(local, remote), now)
    }

    /// Takes bytes from a client's stream, and gives `each` what is to be sent on.
    pub fn receive_stream(
        &mut self,
        stream: StreamId,
        data: &mut [u8],
        now: Instant,
        mut each: impl FnMut(Action<'_>),
    ) {
        let now = self.see(now);
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        let path = entry.path;
        if path.protocol == Protocol::Dtls {
            return each(self.take_from_client(data, &path, now));
        }
        let mut framer = std::mem::replace(&mut entry.framer, Framer::new(Framing::Native, 0));
        let outcome = framer.receive(data, |message| each(self.take_from_client(message, &path, now)));
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.framer = framer;
        }
        if outcome.is_err() {
            self.stream_closed(stream);
            self.outputs.push_back(super::ServerOutput::CloseStream { stream });
        }
    }

    /// The contract's way in, for drivers that do not relay.
    pub(super) fn handle_datagram(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) {
        let mut buffer = std::mem::take(&mut self.scratch);
        buffer.clear();
        buffer.resize(HEADROOM, 0);
        buffer.extend_from_slice(datagram);
        let forwarded = match self.receive(&mut buffer, local, remote, now) {
            Action::Forward { source, destination, protocol, stream, payload } => {
                let payload = Bytes::copy_from_slice(payload);
                Some(crate::io::Transmit { source: Some(source), destination, protocol, stream, payload })
            }
            Action::Consumed | Action::Dropped(_) => None,
        };
        self.outputs.extend(forwarded.map(super::ServerOutput::Transmit));
        self.scratch = buffer;
    }

    fn take_from_client<'a>(&mut self, datagram: &'a [u8], path: &ClientPath, now: Instant) -> Action<'a> {
        if ChannelData::is_channel_data(datagram) {
            let Some(ChannelData { channel, data }) = ChannelData::parse(datagram) else {
                return Action::Dropped("ChannelData cut short");
            };
            let number = self.by_path.get(path).copied();
            let Some(allocation) = number.and_then(|number| self.allocations.get_mut(&number)) else {
                return Action::Dropped("data without an allocation");
            };
            let Some(peer) = allocation.peer_of(channel, now) else {
                return Action::Dropped("channel not bound");
            };
            return forward_to_peer(allocation, peer, data);
        }
        if !is_stun(datagram) {
            return Action::Dropped("neither STUN nor ChannelData");
        }
        let Ok(message) = Message::parse(datagram) else { return Action::Dropped("malformed STUN") };
        if message.class() == Class::Indication && message.method() == Method::SEND {
            return self.send_indication(&message, path, now);
        }
        self.handle_message(&message, path, now);
        Action::Consumed
    }

    fn send_indication<'a>(&mut self, message: &Message<'a>, path: &ClientPath, now: Instant) -> Action<'a> {
        let number = self.by_path.get(path).copied();
        let Some(allocation) = number.and_then(|number| self.allocations.get_mut(&number)) else {
            return Action::Dropped("data without an allocation");
        };
        let known =
            |kind: AttributeKind| matches!(kind, AttributeKind::XOR_PEER_ADDRESS | AttributeKind::DATA);
        if message.unknown_required(known).next().is_some() {
            return Action::Dropped("indication with unknown attributes");
        }
        let (Ok(Some(XorPeerAddress(peer))), Some(data)) =
            (message.get(), message.value(AttributeKind::DATA))
        else {
            return Action::Dropped("indication without peer or data");
        };
        if !allocation.is_permitted(peer.ip(), now) || !self.config.peers.permits_port(peer) {
            return Action::Dropped("peer not permitted");
        }
        forward_to_peer(allocation, peer, data)
    }

    fn take_from_peer<'a>(
        &mut self,
        number: u64,
        buffer: &'a mut [u8],
        relayed: SocketAddr,
        peer: SocketAddr,
        now: Instant,
    ) -> Action<'a> {
        let Some(length) = buffer.len().checked_sub(HEADROOM) else { return Action::Dropped("no headroom") };
        let Some(allocation) = self.allocations.get_mut(&number) else {
            return Action::Dropped("no such allocation");
        };
        if !allocation.relayed.contains(&relayed) || !allocation.is_permitted(peer.ip(), now) {
            return Action::Dropped("peer not permitted");
        }
        let path = allocation.path;
        let payload = match allocation.channel_of(peer, now) {
            Some(channel) => wrap_channel_data(buffer, channel, length, path.protocol.is_reliable()),
            None => wrap_indication(buffer, peer, length, self.generator.transaction_id()),
        };
        let Some(payload) = payload else { return Action::Dropped("too much data") };
        allocation.traffic.packets_to_client = allocation.traffic.packets_to_client.saturating_add(1);
        let bytes = u64::try_from(length).unwrap_or(0);
        allocation.traffic.bytes_to_client = allocation.traffic.bytes_to_client.saturating_add(bytes);
        Action::Forward {
            source: path.local,
            destination: path.remote,
            protocol: path.protocol,
            stream: path.stream,
            payload,
        }
    }

    /// Tells the client that a peer is not there (RFC 8656 section 11.5).
    pub(super) fn peer_unreachable(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        (kind, code): (u8, u8),
        now: Instant,
    ) {
        let Some(allocation) = self.by_relayed.get(&relayed).and_then(|number| self.allocations.get(number))
        else {
            return;
        };
        if !allocation.is_permitted(peer.ip(), now) {
            return;
        }
        let path = allocation.path;
        let mut buffer = [0; 128];
        let id = self.generator.transaction_id();
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::DATA, id);
        writer.put(&XorPeerAddress(peer));
        writer.put(&Icmp { kind, code, data: 0 });
        if let Ok(length) = writer.finish() {
            let payload = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            self.transmit(&path, payload);
        }
    }
}

fn forward_to_peer<'a>(
    allocation: &mut super::allocation::Allocation,
    peer: SocketAddr,
    payload: &'a [u8],
) -> Action<'a> {
    let Some(source) = allocation.relayed_for(peer) else {
        return Action::Dropped("no address of that family");
    };
    allocation.traffic.packets_to_peers = allocation.traffic.packets_to_peers.saturating_add(1);
    let bytes = u64::try_from(payload.len()).unwrap_or(0);
    allocation.traffic.bytes_to_peers = allocation.traffic.bytes_to_peers.saturating_add(bytes);
    Action::Forward { source, destination: peer, protocol: Protocol::Udp, stream: None, payload }
}

/// Puts a ChannelData header in front of the data; on streams the data moves so that padding fits behind it.
fn wrap_channel_data(buffer: &mut [u8], channel: u16, length: usize, padded: bool) -> Option<&[u8]> {
    let header = ChannelData::header(channel, length)?;
    let padding = if padded { length.wrapping_neg() & 3 } else { 0 };
    let data_at = HEADROOM.checked_sub(padding)?;
    move_data(buffer, length, data_at, padding);
    let start = data_at.checked_sub(channel_data::HEADER_BYTES)?;
    buffer.get_mut(start..data_at)?.copy_from_slice(&header);
    buffer.get(start..)
}

/// Puts a Data indication's header in front of the data.
fn wrap_indication(
    buffer: &mut [u8],
    peer: SocketAddr,
    length: usize,
    id: crate::stun::TransactionId,
) -> Option<&[u8]> {
    let padding = length.wrapping_neg() & 3;
    let data_at = HEADROOM.checked_sub(padding)?;
    move_data(buffer, length, data_at, padding);
    let mut head = [0; HEADROOM];
    let mut writer = Writer::new(&mut head, Class::Indication, Method::DATA, id);
    writer.put(&XorPeerAddress(peer));
    // DATA is written as if it were empty, and its length and the message's filled in.
    writer.attribute(AttributeKind::DATA, &[]);
    let head_length = writer.finish().ok()?;
    let message_length = head_length.checked_add(length)?.checked_add(padding)?.checked_sub(20)?;
    let [l0, l1] = u16::try_from(message_length).ok()?.to_be_bytes();
    let [d0, d1] = u16::try_from(length).ok()?.to_be_bytes();
    head.get_mut(2..4)?.copy_from_slice(&[l0, l1]);
    head.get_mut(head_length.checked_sub(2)?..head_length)?.copy_from_slice(&[d0, d1]);
    let start = data_at.checked_sub(head_length)?;
    buffer.get_mut(start..data_at)?.copy_from_slice(head.get(..head_length)?);
    buffer.get(start..)
}

fn move_data(buffer: &mut [u8], length: usize, to: usize, padding: usize) {
    let end = HEADROOM.saturating_add(length);
    if padding > 0 && end <= buffer.len() {
        buffer.copy_within(HEADROOM..end, to);
        let data_end = to.saturating_add(length);
        if let Some(room) = buffer.get_mut(data_end..) {
            room.fill(0);
        }
    }
}
