//! A VPN that shows the same host under different addresses to different peers.
//!
//! Only the addresses in IP headers are renamed, without state: no port changes, no first packet is needed. What is inside a
//! packet keeps the address that its sender believes in, which is what breaks telephony. [`join`] builds the whole: an interface
//! for each host, routes to the addresses by which it knows the others – and to no other address of theirs – and the
//! host in the middle.

use crate::host::{HostId, Prefix};
use crate::link::Link;
use crate::middlebox::{Middlebox, Passage, Verdict};
use crate::network::{Misuse, Network};
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

/// A host of a VPN and the address that it has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The host.
    pub host: HostId,
    /// Its own address in the VPN.
    pub address: IpAddr,
}

/// One host knows another by an address that is not the other's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Who sees, by its own address.
    pub viewer: IpAddr,
    /// Who is seen, by its own address.
    pub real: IpAddr,
    /// As what.
    pub alias: IpAddr,
}

/// Joins up to 250 hosts by a VPN (IPv4) whose interfaces are called `name`: the host in the middle, which firewalls can be put on.
///
/// # Errors
/// [`Misuse::Unknown`] for a host of another network, [`Misuse::AddressTaken`] for an address that is given twice.
pub fn join(network: &mut Network, name: &str, members: &[Member], views: &[View]) -> Result<HostId, Misuse> {
    let mut middle: Option<HostId> = None;
    let known = |viewer: IpAddr, real: IpAddr| {
        let view = views.iter().find(|view| view.viewer == viewer && view.real == real);
        view.map_or(real, |view| view.alias)
    };
    for (number, member) in (1_u8..=250).zip(members) {
        // Link addresses are only next hops: nobody sends from them.
        let prefix = Prefix::new(IpAddr::from([169, 254, number, 0]), 24);
        let gateway = IpAddr::from([169, 254, number, 1]);
        let segment = network.add_segment(&format!("{name}-{number}"), &[prefix], Link::default());
        let (hub, port) = match middle {
            Some(hub) => (hub, network.attach(hub, segment, &[gateway])?),
            None => (network.add_host(name, segment, &[gateway])?, 0),
        };
        middle = Some(hub);
        network.add_route(hub, Prefix::from(member.address), None, port, None)?;
        let interface = network.attach(member.host, segment, &[member.address])?;
        network.name_interface(member.host, interface, name)?;
        for other in members.iter().filter(|other| other.host != member.host) {
            let address = Prefix::from(known(member.address, other.address));
            network.add_route(member.host, address, Some(gateway), interface, Some(member.address))?;
        }
    }
    let hub = middle.ok_or(Misuse::Unknown)?;
    network.set_forwarding(hub, true)?;
    let renaming =
        views.iter().fold(Renaming::new(), |it, view| it.shows(view.viewer, view.real, view.alias));
    network.add_middlebox(hub, renaming)?;
    Ok(hub)
}
