//! A VPN that shows the same host under different addresses to different peers.
//!
//! Only the addresses in IP headers are renamed, without state: no port changes, no first packet is needed. What is inside a
//! packet keeps the address that its sender believes in, which is what breaks telephony.

use crate::middlebox::{Middlebox, Passage, Verdict};
use crate::packet::{Body, Packet};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The renaming done by the host in the middle of a VPN.
#[derive(Debug, Clone, Default)]
pub struct Renaming {
    /// (viewer, alias) to the real address.
    real: BTreeMap<(IpAddr, IpAddr), IpAddr>,
    /// (viewer, real address) to the alias.
    alias: BTreeMap<(IpAddr, IpAddr), IpAddr>,
}

impl Renaming {
    /// Nobody is renamed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `viewer` knows `real` as `alias`.
    #[must_use]
    pub fn shows(mut self, viewer: IpAddr, real: IpAddr, alias: IpAddr) -> Self {
        self.real.insert((viewer, alias), real);
        self.alias.insert((viewer, real), alias);
        self
    }

    fn real(&self, viewer: IpAddr, address: &mut SocketAddr) {
        if let Some(real) = self.real.get(&(viewer, address.ip())) {
            address.set_ip(*real);
        }
    }

    fn alias(&self, viewer: IpAddr, address: &mut SocketAddr) {
        if let Some(alias) = self.alias.get(&(viewer, address.ip())) {
            address.set_ip(*alias);
        }
    }
}

impl Middlebox for Renaming {
    fn before_routing(&mut self, packet: &mut Packet, passage: Passage) -> Verdict {
        if passage.ingress.is_none() {
            return Verdict::Pass;
        }
        let sender = packet.source.ip();
        self.real(sender, &mut packet.destination);
        let receiver = packet.destination.ip();
        self.alias(receiver, &mut packet.source);
        if let Body::Unreachable { source, destination, .. } = &mut packet.body {
            self.real(sender, source);
            self.alias(receiver, destination);
        }
        Verdict::Pass
    }
}
