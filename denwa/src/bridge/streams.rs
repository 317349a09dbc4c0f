//! Connections to TURN servers over TCP and TLS (RFC 8656 §2.1) of legs whose way is found by ICE. The driver opens them and
//! carries bytes; what media are in those go the way of datagrams. Names of the own network (`.local`) are not asked for.

use super::io::{Action, Component, Forward, Output, Transmit};
use super::{LegId, MediaBridge};
use crate::media::{Sent, Wire};
use bytes::Bytes;
use denwa_ice::StreamId;
use denwa_rtp::session::Path;
use std::time::Instant;

impl MediaBridge {
    /// Takes bytes that came on a connection of [`Wire::Open`]. What is to be sent for them comes out of
    /// [`MediaBridge::poll_output`].
    pub fn receive_stream(&mut self, leg: LegId, stream: StreamId, bytes: &mut [u8], now: Instant) {
        let now = self.advance(now);
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let packets = entry.stream.unpack(stream, bytes, now);
        let mut buffer = Vec::new();
        for (_, source, packet) in packets {
            let length = packet.len();
            buffer.clear();
            buffer.extend_from_slice(&packet);
            buffer.resize(length.saturating_add(ROOM), 0);
            if self.copies(leg) {
                self.copy_in(leg, (source, None), &packet, now);
            }
            let Some(entry) = self.legs.get_mut(&leg) else { return };
            let received = entry.stream.receive_packet(Path::from(source), &mut buffer, length, now);
            if let Action::Forward(forward) = self.take(leg, received, &mut buffer, now) {
                let Forward { leg, destination, also, bytes } = forward;
                let payload = Bytes::copy_from_slice(bytes);
                let Some(source) = self.legs.get(&leg).map(|to| to.stream.config.rtp) else { continue };
                for destination in [Some(destination), also].into_iter().flatten() {
                    let payload = payload.clone();
                    let transmit = Transmit { leg, component: Component::Rtp, source, destination, payload };
                    self.outputs.push_back(Output::Transmit(transmit));
                }
            }
        }
        self.drain(leg, now);
    }

    /// Has a packet at the start of `buffer` sent on a connection, when it is to go by one: says whether that is so.
    #[inline]
    pub(super) fn sends_on_stream(&mut self, leg: LegId, sent: &Sent, buffer: &[u8]) -> bool {
        let Some(stream) = sent.stream else { return false };
        let payload = Bytes::copy_from_slice(buffer.get(..sent.length).unwrap_or_default());
        self.outputs.push_back(Output::Wire { leg, wire: Wire::Send { stream, payload } });
        true
    }
}

/// A packet may become one of so much more in another codec.
const ROOM: usize = 2048;
