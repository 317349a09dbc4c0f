//! Network address translation, every kind that RFC 4787 names.
//!
//! Mapping and filtering behaviour are chosen apart from each other; ports are kept, counted up, drawn, or taken from the
//! set that a MAP-E customer owns (RFC 7597); hairpinning is done or not; mappings end when they are not used. Several
//! boxes one behind the other make double NAT. Streams are translated by the same rules with a longer life.

use crate::machine::UnreachableReason;
use crate::middlebox::{Middlebox, Passage, Verdict};
use crate::packet::{Body, Packet, Transport};
use crate::random::Random;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What of the other end a behaviour depends on (RFC 4787 sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// Nothing.
    EndpointIndependent,
    /// Its address.
    AddressDependent,
    /// Its address and port.
    AddressAndPortDependent,
}

/// Which external port a new mapping gets (RFC 4787 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// The internal one if it is free for this, else the next that is.
    Preserve,
    /// One after the other, from 1024 on.
    Sequential,
    /// Drawn.
    Random,
    /// Only these, one after the other; when all are in use, nothing more gets out. What a MAP-E customer owns.
    Set(Vec<RangeInclusive<u16>>),
}

/// What becomes of a packet from inside to an external address of the box (RFC 4787 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hairpin {
    /// It is dropped.
    None,
    /// It is sent back in, and its source stays the internal one.
    InternalSource,
    /// It is sent back in, and its source becomes an external one, as RFC 4787 wants.
    ExternalSource,
}

/// How a box translates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatConfig {
    /// When two destinations get the same external port.
    pub mapping: Dependence,
    /// Who may answer.
    pub filtering: Dependence,
    /// Which port a mapping gets.
    pub ports: Ports,
    /// Packets from inside to inside by the outside address.
    pub hairpin: Hairpin,
    /// A datagram mapping ends after this without use.
    pub timeout: Duration,
    /// Whether packets from outside count as use.
    pub refreshed_from_outside: bool,
    /// A stream mapping ends after this without use.
    pub stream_timeout: Duration,
}

impl NatConfig {
    /// The kind that is easiest to cross: one port for everybody, and everybody may send to it ("full cone").
    #[must_use]
    pub const fn full_cone() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::EndpointIndependent,
            ports: Ports::Preserve,
            hairpin: Hairpin::None,
            timeout: Duration::from_secs(120),
            refreshed_from_outside: true,
            stream_timeout: Duration::from_secs(7440),
        }
    }

    /// One port for everybody; hosts that were sent to may send ("restricted cone").
    #[must_use]
    pub fn address_restricted() -> Self {
        Self { filtering: Dependence::AddressDependent, ..Self::full_cone() }
    }

    /// One port for everybody; ports that were sent to may send ("port-restricted cone"), as most home routers do.
    #[must_use]
    pub fn port_restricted() -> Self {
        Self { filtering: Dependence::AddressAndPortDependent, ..Self::full_cone() }
    }

    /// Another port for each host that is sent to, and only that host may send.
    #[must_use]
    pub fn address_dependent() -> Self {
        Self {
            mapping: Dependence::AddressDependent,
            filtering: Dependence::AddressDependent,
            ports: Ports::Random,
            ..Self::full_cone()
        }
    }

    /// Another port for each destination, and only that destination may send ("symmetric").
    #[must_use]
    pub fn symmetric() -> Self {
        Self {
            mapping: Dependence::AddressAndPortDependent,
            filtering: Dependence::AddressAndPortDependent,
            ports: Ports::Random,
            ..Self::full_cone()
        }
    }

    /// As a Linux router of a MAP-E customer: symmetric, within a set of ports.
    #[must_use]
    pub fn map_e(ports: Vec<RangeInclusive<u16>>) -> Self {
        Self { ports: Ports::Set(ports), ..Self::symmetric() }
    }

    /// The same with hairpinning as RFC 4787 wants it.
    #[must_use]
    pub const fn hairpinning(mut self) -> Self {
        self.hairpin = Hairpin::ExternalSource;
        self
    }
}

#[derive(Debug)]
struct Mapping {
    internal: SocketAddr,
    external: SocketAddr,
    /// What of the destination the mapping is for, as far as mapping depends on it.
    towards: Towards,
    used_at: Duration,
    /// Whom packets were sent to by this mapping.
    contacted: BTreeMap<SocketAddr, Duration>,
}

type Towards = (Option<IpAddr>, Option<u16>);

/// The box.
#[derive(Debug)]
pub struct Nat {
    config: NatConfig,
    outside: usize,
    external: Vec<IpAddr>,
    mappings: Vec<(Transport, Mapping)>,
    random: Random,
    next_port: u16,
}

impl Nat {
    /// A box whose interface number `outside` faces the Internet with the addresses `external`.
    #[must_use]
    pub const fn new(config: NatConfig, outside: usize, external: Vec<IpAddr>, seed: u64) -> Self {
        Self { config, outside, external, mappings: Vec::new(), random: Random::new(seed), next_port: 1024 }
    }

    fn expire(&mut self, now: Duration) {
        let (datagrams, streams) = (self.config.timeout, self.config.stream_timeout);
        let life = |transport: Transport| if transport == Transport::Udp { datagrams } else { streams };
        self.mappings.retain_mut(|(transport, mapping)| {
            let life = life(*transport);
            mapping.contacted.retain(|_, at| *at + life > now);
            mapping.used_at + life > now
        });
    }

    fn towards(&self, destination: SocketAddr) -> Towards {
        match self.config.mapping {
            Dependence::EndpointIndependent => (None, None),
            Dependence::AddressDependent => (Some(destination.ip()), None),
            Dependence::AddressAndPortDependent => (Some(destination.ip()), Some(destination.port())),
        }
    }

    /// The mapping for a packet from inside, made if need be.
    fn outbound(
        &mut self,
        transport: Transport,
        internal: SocketAddr,
        destination: SocketAddr,
        now: Duration,
    ) -> Option<SocketAddr> {
        let towards = self.towards(destination);
        let known = self.mappings.iter_mut().find(|(kind, mapping)| {
            *kind == transport && mapping.internal == internal && mapping.towards == towards
        });
        if let Some((_, mapping)) = known {
            mapping.used_at = now;
            mapping.contacted.insert(destination, now);
            return Some(mapping.external);
        }
        let external = self.free_port(transport, internal, towards)?;
        let contacted = BTreeMap::from([(destination, now)]);
        self.mappings.push((transport, Mapping { internal, external, towards, used_at: now, contacted }));
        Some(external)
    }

    fn free_port(
        &mut self,
        transport: Transport,
        internal: SocketAddr,
        towards: Towards,
    ) -> Option<SocketAddr> {
        // Paired pooling (RFC 4787 section 4.1): an internal host keeps its external address.
        let paired = self.mappings.iter().find(|(_, mapping)| mapping.internal.ip() == internal.ip());
        let family = |address: &&IpAddr| address.is_ipv4() == internal.is_ipv4();
        let address = match paired {
            Some((_, mapping)) => mapping.external.ip(),
            None => *self.external.iter().find(family)?,
        };
        // A port may serve several mappings when the other end tells them apart, as Linux does it.
        let used = |mappings: &[(Transport, Mapping)], port: u16, sharing: bool| {
            mappings.iter().any(|(kind, mapping)| {
                *kind == transport
                    && mapping.external == SocketAddr::new(address, port)
                    && !(sharing && mapping.towards != towards)
            })
        };
        match &self.config.ports {
            Ports::Preserve => {
                let mut port = internal.port();
                for _ in 0..u16::MAX {
                    if port != 0 && !used(&self.mappings, port, true) {
                        return Some((address, port).into());
                    }
                    port = port.wrapping_add(1);
                }
                None
            }
            Ports::Sequential => {
                for _ in 0..u16::MAX {
                    let port = self.next_port;
                    self.next_port = self.next_port.checked_add(1).unwrap_or(1024);
                    if !used(&self.mappings, port, false) {
                        return Some((address, port).into());
                    }
                }
                None
            }
            Ports::Random => (0..1000).find_map(|_| {
                let port = 1024 + self.random.below(64_512) as u16;
                (!used(&self.mappings, port, false)).then(|| (address, port).into())
            }),
            Ports::Set(ranges) => {
                let all = || ranges.iter().cloned().flatten();
                let fresh = all().find(|port| !used(&self.mappings, *port, false));
                let port = fresh.or_else(|| all().find(|port| !used(&self.mappings, *port, true)));
                port.map(|port| (address, port).into())
            }
        }
    }

    /// Where a packet from `remote` to `external` goes inside; an error says why it does not.
    fn inbound(
        &mut self,
        transport: Transport,
        external: SocketAddr,
        remote: SocketAddr,
        now: Duration,
    ) -> Result<SocketAddr, &'static str> {
        let towards = self.towards(remote);
        let here =
            |(kind, mapping): &&(Transport, Mapping)| *kind == transport && mapping.external == external;
        let exact = self.mappings.iter().position(|it| here(&it) && it.1.towards == towards);
        let index =
            exact.or_else(|| self.mappings.iter().position(|it| here(&it))).ok_or("no NAT mapping")?;
        let mapping = &mut self.mappings[index].1;
        let allowed = match self.config.filtering {
            Dependence::EndpointIndependent => true,
            Dependence::AddressDependent => mapping.contacted.keys().any(|peer| peer.ip() == remote.ip()),
            Dependence::AddressAndPortDependent => mapping.contacted.contains_key(&remote),
        };
        if !allowed {
            return Err("filtered by NAT");
        }
        if self.config.refreshed_from_outside {
            mapping.used_at = now;
            if let Some(at) = mapping.contacted.get_mut(&remote) {
                *at = now;
            }
        }
        Ok(mapping.internal)
    }

    /// The mapping of an internal address towards a peer, without making or refreshing it.
    fn external_of(
        &self,
        transport: Transport,
        internal: SocketAddr,
        peer: SocketAddr,
    ) -> Option<SocketAddr> {
        let towards = self.towards(peer);
        let found = self.mappings.iter().find(|(kind, mapping)| {
            *kind == transport && mapping.internal == internal && mapping.towards == towards
        });
        found.map(|(_, mapping)| mapping.external)
    }
}

impl Middlebox for Nat {
    fn before_routing(&mut self, packet: &mut Packet, passage: Passage) -> Verdict {
        if passage.ingress.is_none() || !self.external.contains(&packet.destination.ip()) {
            return Verdict::Pass;
        }
        self.expire(passage.now);
        let transport = packet.transport();
        let from_outside = passage.ingress == Some(self.outside);
        if let Body::Unreachable { source, destination, .. } = &mut packet.body {
            // The lost packet was ours: `source` is its external address.
            let external = *source;
            let Ok(internal) = self.inbound(transport, external, *destination, passage.now) else {
                return Verdict::Pass;
            };
            (packet.destination, *source) = (internal, internal);
            return Verdict::Pass;
        }
        if from_outside {
            return match self.inbound(transport, packet.destination, packet.source, passage.now) {
                Ok(internal) => {
                    packet.destination = internal;
                    Verdict::Pass
                }
                // Perhaps for the box itself.
                Err("no NAT mapping") => Verdict::Pass,
                Err(reason) => Verdict::Drop(reason),
            };
        }
        let mapped =
            self.mappings.iter().any(|(kind, it)| *kind == transport && it.external == packet.destination);
        if !mapped {
            return Verdict::Pass;
        }
        if self.config.hairpin == Hairpin::None {
            return Verdict::Drop("NAT without hairpinning");
        }
        let Some(source) = self.outbound(transport, packet.source, packet.destination, passage.now) else {
            return Verdict::Drop("no free NAT port");
        };
        match self.inbound(transport, packet.destination, source, passage.now) {
            Ok(internal) => packet.destination = internal,
            Err(reason) => return Verdict::Drop(reason),
        }
        if self.config.hairpin == Hairpin::ExternalSource {
            packet.source = source;
        }
        Verdict::Pass
    }

    fn after_routing(&mut self, packet: &mut Packet, passage: Passage) -> Verdict {
        let inwards = passage.ingress.is_none_or(|ingress| ingress == self.outside);
        if inwards || passage.egress != Some(self.outside) {
            return Verdict::Pass;
        }
        self.expire(passage.now);
        let transport = packet.transport();
        if let Body::Unreachable { source, destination, .. } = &mut packet.body {
            // An inside host refuses a packet: its own address, which the message names, is the mapping's.
            let Some(external) = self.external_of(transport, *destination, *source) else {
                return Verdict::Drop("no NAT mapping");
            };
            (*destination, packet.source) = (external, (external.ip(), 0).into());
            return Verdict::Pass;
        }
        match self.outbound(transport, packet.source, packet.destination, passage.now) {
            Some(external) => {
                packet.translated_from = Some(packet.source);
                packet.source = external;
                Verdict::Pass
            }
            None => Verdict::Reject(UnreachableReason::Prohibited),
        }
    }
}
