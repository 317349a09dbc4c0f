//! Copies of what comes to a leg and goes out by it, for captures. While none is wanted, a packet costs one look.

use super::{Component, Event, LegId, MediaBridge, Output};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// A datagram of a leg as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// When.
    pub at: Instant,
    /// Which of its sockets.
    pub component: Component,
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// The datagram, encrypted where it was.
    pub payload: Bytes,
}

impl MediaBridge {
    /// Something came to a leg's socket.
    pub(super) fn copy_in(
        &mut self,
        leg: LegId,
        (from, to): (SocketAddr, Option<SocketAddr>),
        bytes: &[u8],
        at: Instant,
    ) {
        let Some(entry) = self.legs.get(&leg).filter(|entry| entry.copies) else { return };
        let (rtp, rtcp) = (entry.stream.config.rtp, entry.stream.config.rtcp);
        let component = if to == Some(rtcp) && rtcp != rtp { Component::Rtcp } else { Component::Rtp };
        let to = if component == Component::Rtcp { rtcp } else { rtp };
        self.copied(leg, Copied { at, component, from, to, payload: Bytes::copy_from_slice(bytes) });
    }

    /// Something leaves by a leg's socket.
    pub(super) fn copy_out(
        &mut self,
        leg: LegId,
        component: Component,
        to: SocketAddr,
        bytes: &[u8],
        at: Instant,
    ) {
        let Some(entry) = self.legs.get(&leg).filter(|entry| entry.copies) else { return };
        let config = &entry.stream.config;
        let from = if component == Component::Rtcp { config.rtcp } else { config.rtp };
        self.copied(leg, Copied { at, component, from, to, payload: Bytes::copy_from_slice(bytes) });
    }

    fn copied(&mut self, leg: LegId, copy: Copied) {
        self.outputs.push_back(Output::Event(Event::Copied { leg, copy: Box::new(copy) }));
    }
}
