//! Hosts: addresses on interfaces, routes, and which port belongs to which machine.
//!
//! The longest prefix wins, as in any router; a host sends from the address of the interface that the route leaves by
//! unless the machine chose one. An address on a segment's own prefixes is reached directly, all others through
//! a gateway.

use crate::link::LinkState;
use crate::machine::Protocol;
use crate::middlebox::Middlebox;
use crate::packet::Transport;
use crate::stream::Streams;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A host of a [`Network`](crate::Network).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) usize);

/// A segment of a [`Network`](crate::Network): a cable, a wireless cell, or the whole Internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub(crate) usize);

/// The way by which packets to some address leave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The address they are sent from.
    pub local: IpAddr,
    /// The interface's name.
    pub interface: Arc<str>,
    /// Its number on the host, from 1.
    pub index: u32,
}

/// A range of addresses: those that share the first `length` bits with `address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The range of addresses around `address`. A length beyond the address's own is taken as that.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length: length.min(if address.is_ipv4() { 32 } else { 128 }) }
    }

    /// Every address of IPv4.
    #[must_use]
    pub const fn all_v4() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 }
    }

    /// Every address of IPv6.
    #[must_use]
    pub const fn all_v6() -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), length: 0 }
    }

    /// How many bits are fixed.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
        address.is_ipv4() == self.address.is_ipv4() && (bits(address) ^ bits(self.address)) & mask == 0
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::new(address, 128)
    }
}

impl FromStr for Prefix {
    type Err = std::net::AddrParseError;

    /// `192.168.0.0/16`, or one address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').unwrap_or((text, "128"));
        // A length that is no number leaves no address to parse either: let that parser word the error.
        let length = length.parse().map_or_else(|_| "".parse::<IpAddr>().map(|_| 0), Ok)?;
        Ok(Self::new(address.parse()?, length))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

/// One interface of a host.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: Arc<str>,
    pub(crate) segment: SegmentId,
    pub(crate) addresses: Vec<IpAddr>,
    /// The segment, as this host's packets meet it.
    pub(crate) carrier: LinkState,
    /// A line of its own towards the segment, when it has one.
    pub(crate) up: Option<LinkState>,
    /// The same, from the segment.
    pub(crate) down: Option<LinkState>,
    /// Whether the cable is in.
    pub(crate) connected: bool,
}

#[derive(Debug)]
pub(crate) struct RouteEntry {
    pub(crate) prefix: Prefix,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) interface: usize,
    pub(crate) source: Option<IpAddr>,
}

pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) routes: Vec<RouteEntry>,
    /// Whether it passes on what is not for itself.
    pub(crate) forwards: bool,
    /// Whether it keeps silent about closed ports.
    pub(crate) silent: bool,
    pub(crate) middleboxes: Vec<Box<dyn Middlebox>>,
    pub(crate) ports: BTreeMap<(Transport, u16), Vec<Binding>>,
    pub(crate) streams: Streams,
    /// For when a look at the streams' deadlines is queued.
    pub(crate) streams_wake_at: Option<Duration>,
    next_ephemeral: u16,
}

/// Who gets what arrives at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) protocol: Protocol,
    pub(crate) address: IpAddr,
    pub(crate) node: usize,
}

/// A route that was found: the interface's place, the next hop, and the address to send from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) interface: usize,
    pub(crate) next_hop: IpAddr,
    pub(crate) source: IpAddr,
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            interfaces: Vec::new(),
            routes: Vec::new(),
            forwards: false,
            silent: false,
            middleboxes: Vec::new(),
            ports: BTreeMap::new(),
            streams: Streams::default(),
            streams_wake_at: None,
            next_ephemeral: 49_152,
        }
    }

    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || self.interfaces.iter().any(|interface| interface.addresses.contains(&address))
    }

    /// The way to `destination`: longest prefix, then the route that was added last.
    pub(crate) fn way(&self, destination: IpAddr) -> Option<Way> {
        let speaks = |interface: &Interface, entry: &RouteEntry| {
            let family = |address: &IpAddr| address.is_ipv4() == destination.is_ipv4();
            interface.connected && (entry.source.is_some() || interface.addresses.iter().any(family))
        };
        let usable = |entry: &&RouteEntry| {
            entry.prefix.contains(destination)
                && self.interfaces.get(entry.interface).is_some_and(|interface| speaks(interface, entry))
        };
        let entry = self.routes.iter().filter(usable).max_by_key(|entry| entry.prefix.length())?;
        let interface = self.interfaces.get(entry.interface)?;
        let family = |address: &&IpAddr| address.is_ipv4() == destination.is_ipv4();
        let source = entry.source.or_else(|| interface.addresses.iter().find(family).copied())?;
        Some(Way { interface: entry.interface, next_hop: entry.gateway.unwrap_or(destination), source })
    }

    /// Who listens at `local` for `protocol`: an exact address before an unspecified one.
    pub(crate) fn listener(&self, protocol: Protocol, local: SocketAddr) -> Option<usize> {
        let bindings = self.ports.get(&(protocol.into(), local.port()))?;
        let fits =
            |binding: &&Binding, address: IpAddr| binding.protocol == protocol && binding.address == address;
        let any = if local.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let exact = bindings.iter().find(|binding| fits(binding, local.ip()));
        exact.or_else(|| bindings.iter().find(|binding| fits(binding, any))).map(|binding| binding.node)
    }

    /// Whether `node` may send datagrams from `local`.
    pub(crate) fn may_send(&self, node: usize, local: SocketAddr) -> bool {
        self.owns(local.ip()) && self.listener(Protocol::Udp, local) == Some(node)
    }

    /// A free local port for a stream.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        for _ in 0..16_384 {
            let port = self.next_ephemeral;
            self.next_ephemeral = if port == u16::MAX { 49_152 } else { port + 1 };
            if !self.ports.contains_key(&(Transport::Tcp, port)) && !self.streams.uses_port(port) {
                return port;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_what_they_should() {
        let contains = |prefix: &str, address: &str| {
            prefix.parse::<Prefix>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("192.168.0.0/16", "192.168.255.1"));
        assert!(!contains("192.168.0.0/16", "192.169.0.1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("fd00::/8", "fdff::1"));
        assert!(contains("10.0.0.1", "10.0.0.1"));
        assert!(!contains("10.0.0.1", "10.0.0.2"));
        assert!("10.0.0.0/x".parse::<Prefix>().is_err());
    }
}
