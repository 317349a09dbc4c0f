//! Which relayed ports are in use, and which comes next: drawn, so that nobody can guess it.

use super::config::RelayRange;
use crate::random::{Generator, TableHasher};
use crate::stun::attribute::Family;
use hashbrown::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

#[derive(Debug)]
pub(super) struct Ports {
    relays: Vec<RelayRange>,
    used: HashSet<SocketAddr, TableHasher>,
}

/// How a port must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Even,
    /// Even, and the next one free too.
    EvenWithNext,
}

impl Ports {
    pub(super) fn new(relays: &[RelayRange], generator: &mut Generator) -> Self {
        Self { relays: relays.to_vec(), used: HashSet::with_hasher(generator.table_hasher()) }
    }

    pub(super) fn has_family(&self, family: Family) -> bool {
        self.relays.iter().any(|relay| relay.local.is_ipv4() == (family == Family::V4))
    }

    /// Takes a free port; with [`Wanted::EvenWithNext`] the next one too.
    pub(super) fn take(
        &mut self,
        family: Family,
        wanted: Wanted,
        generator: &mut Generator,
    ) -> Option<SocketAddr> {
        let of_family = |relay: &&RelayRange| relay.local.is_ipv4() == (family == Family::V4);
        for relay in self.relays.iter().filter(of_family) {
            let count: u64 = relay.ports.iter().map(|range| range.len() as u64).sum();
            let start = generator.below(count);
            let owned = |port: u16| relay.ports.iter().any(|range| range.contains(&port));
            let free = |port: u16| port != 0 && !self.used.contains(&SocketAddr::new(relay.local, port));
            let fits = |port: &u16| match wanted {
                Wanted::Any => free(*port),
                Wanted::Even => port.is_multiple_of(2) && free(*port),
                Wanted::EvenWithNext => {
                    port.is_multiple_of(2) && free(*port) && owned(port | 1) && free(port | 1)
                }
            };
            let mut ports = (0..count).filter_map(|step| nth(&relay.ports, (start + step) % count));
            if let Some(port) = ports.find(fits) {
                let address = SocketAddr::new(relay.local, port);
                self.used.insert(address);
                if wanted == Wanted::EvenWithNext {
                    self.used.insert(SocketAddr::new(relay.local, port | 1));
                }
                return Some(address);
            }
        }
        None
    }

    pub(super) fn give_back(&mut self, address: SocketAddr) {
        self.used.remove(&address);
    }

    /// What clients are told of a relayed address.
    pub(super) fn told(&self, address: SocketAddr) -> SocketAddr {
        let relay = self.relays.iter().find(|relay| relay.local == address.ip());
        let ip: IpAddr = relay.map_or(address.ip(), |relay| relay.external);
        SocketAddr::new(ip, address.port())
    }
}

/// The port at a place of the ranges laid end to end.
fn nth(ranges: &[RangeInclusive<u16>], mut place: u64) -> Option<u16> {
    for range in ranges {
        let length = range.len() as u64;
        if place < length {
            return range.start().checked_add(u16::try_from(place).ok()?);
        }
        place -= length;
    }
    None
}
