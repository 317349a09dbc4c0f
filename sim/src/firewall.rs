//! Firewalls: rules that drop a direction, a transport, a range of ports or of addresses; with a memory, or without.
//!
//! The first rule that fits decides. With [`Firewall::remembering`], answers to what was sent from inside come in whatever the rules say.

use crate::host::Prefix;
use crate::machine::UnreachableReason;
use crate::middlebox::{Middlebox, Passage, Verdict};
use crate::packet::{Body, Packet, Transport};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Lets it through.
    Allow,
    /// Drops it.
    Drop,
    /// Drops it and tells the sender.
    Reject,
}

/// A rule. What it does not say fits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    action: Action,
    transport: Option<Transport>,
    source: Option<Prefix>,
    destination: Option<Prefix>,
    source_ports: Option<RangeInclusive<u16>>,
    destination_ports: Option<RangeInclusive<u16>>,
    ingress: Option<usize>,
    egress: Option<usize>,
}

impl Rule {
    /// A rule for everything.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            transport: None,
            source: None,
            destination: None,
            source_ports: None,
            destination_ports: None,
            ingress: None,
            egress: None,
        }
    }

    /// Only for datagrams, or only for streams.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Only from there.
    #[must_use]
    pub const fn from(mut self, source: Prefix) -> Self {
        self.source = Some(source);
        self
    }

    /// Only to there.
    #[must_use]
    pub const fn to(mut self, destination: Prefix) -> Self {
        self.destination = Some(destination);
        self
    }

    /// Only from these ports.
    #[must_use]
    pub const fn from_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.source_ports = Some(ports);
        self
    }

    /// Only to these ports.
    #[must_use]
    pub const fn to_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.destination_ports = Some(ports);
        self
    }

    /// Only what comes in by this interface.
    #[must_use]
    pub const fn entering(mut self, interface: usize) -> Self {
        self.ingress = Some(interface);
        self
    }

    /// Only what goes out by this interface.
    #[must_use]
    pub const fn leaving(mut self, interface: usize) -> Self {
        self.egress = Some(interface);
        self
    }

    fn fits(&self, packet: &Packet, passage: Passage) -> bool {
        let in_ports = |ports: &Option<RangeInclusive<u16>>, port: u16| {
            ports.as_ref().is_none_or(|ports| ports.contains(&port))
        };
        let in_prefix = |prefix: Option<Prefix>, address: SocketAddr| {
            prefix.is_none_or(|prefix| prefix.contains(address.ip()))
        };
        self.transport.is_none_or(|transport| transport == packet.transport())
            && in_prefix(self.source, packet.source)
            && in_prefix(self.destination, packet.destination)
            && in_ports(&self.source_ports, packet.source.port())
            && in_ports(&self.destination_ports, packet.destination.port())
            && self.ingress.is_none_or(|interface| passage.ingress == Some(interface))
            && self.egress.is_none_or(|interface| passage.egress == Some(interface))
    }
}

/// A firewall on a router, or on a host for itself.
#[derive(Debug, Default)]
pub struct Firewall {
    rules: Vec<Rule>,
    memory: Option<Memory>,
}

#[derive(Debug)]
struct Memory {
    life: Duration,
    flows: BTreeMap<(Transport, SocketAddr, SocketAddr), Duration>,
}

impl Firewall {
    /// One that lets everything through.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that drops datagrams, whatever they are: the office that only lets the web out.
    #[must_use]
    pub fn without_udp() -> Self {
        Self::new().rule(Rule::new(Action::Drop).transport(Transport::Udp))
    }

    /// One that lets in by `outside` only what answers something, as routers without NAT do (IPv6).
    #[must_use]
    pub fn answers_only(outside: usize) -> Self {
        Self::new().remembering(Duration::from_secs(120)).rule(Rule::new(Action::Drop).entering(outside))
    }

    /// Adds a rule after the others.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Lets answers through to what was let out, for this long after the last packet.
    #[must_use]
    pub fn remembering(mut self, life: Duration) -> Self {
        self.memory = Some(Memory { life, flows: BTreeMap::new() });
        self
    }

    fn decide(&mut self, packet: &Packet, passage: Passage) -> Verdict {
        // Word of a lost packet belongs to that packet.
        if matches!(packet.body, Body::Unreachable { .. }) {
            return Verdict::Pass;
        }
        let (forth, back) = (
            (packet.transport(), packet.source, packet.destination),
            (packet.transport(), packet.destination, packet.source),
        );
        if let Some(memory) = &mut self.memory
            && let Some(at) = memory.flows.get_mut(&back)
            && *at + memory.life > passage.now
        {
            *at = passage.now;
            return Verdict::Pass;
        }
        let action = self.rules.iter().find(|rule| rule.fits(packet, passage)).map(|rule| rule.action);
        match action {
            None | Some(Action::Allow) => {
                if let Some(memory) = &mut self.memory {
                    memory.flows.insert(forth, passage.now);
                }
                Verdict::Pass
            }
            Some(Action::Drop) => Verdict::Drop("dropped by a firewall"),
            Some(Action::Reject) => Verdict::Reject(UnreachableReason::Prohibited),
        }
    }
}

impl Middlebox for Firewall {
    fn before_routing(&mut self, packet: &mut Packet, passage: Passage) -> Verdict {
        // What is forwarded is decided on when its way out is known, unless a rule is about the way in only.
        if self.rules.iter().any(|rule| rule.egress.is_some()) {
            Verdict::Pass
        } else {
            self.decide(packet, passage)
        }
    }

    fn after_routing(&mut self, packet: &mut Packet, passage: Passage) -> Verdict {
        let about_ways_out = self.rules.iter().any(|rule| rule.egress.is_some());
        if passage.ingress.is_none() || about_ways_out { self.decide(packet, passage) } else { Verdict::Pass }
    }
}
