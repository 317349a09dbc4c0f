//! The discovery finds what each kind of NAT does, with our server's help.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use denwa_ice::behaviour::{Behaviour, Dependence, Discovery, DiscoveryEvent};
use denwa_ice::turn::server::{BehaviourAddresses, ServerConfig};
use denwa_ice::{Input, Output, Seed};
use denwa_sim::firewall::Firewall;
use denwa_sim::laws::Subject;
use denwa_sim::nat::{Dependence as Of, NatConfig, Ports};
use denwa_sim::{self as sim, Life, Link, Machine, Network};
use std::time::Instant;

struct Node {
    discovery: Discovery,
    found: Vec<Behaviour>,
}

impl Machine for Node {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        if let sim::Input::Datagram { local, remote, payload } = input {
            self.discovery.handle_input(Input::Datagram { local, remote, payload }, now);
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.discovery.handle_timeout(now);
    }
    fn poll_output(&mut self) -> Option<sim::Output> {
        loop {
            return Some(match self.discovery.poll_output()? {
                Output::Transmit(it) => {
                    sim::Output::Transmit(sim::Transmit::datagram(it.source, it.destination, it.payload))
                }
                Output::Event(DiscoveryEvent::Found(behaviour)) => {
                    self.found.push(behaviour);
                    sim::Output::Event { text: format!("{behaviour:?}"), life: Life::None }
                }
                _ => continue,
            });
        }
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.discovery.poll_timeout()
    }
}

const LOCAL: &str = "192.168.1.2:4000";
const PRIMARY: &str = "198.51.100.1:3478";
const ALTERNATE: &str = "198.51.100.2:3479";

fn discover(nat: Option<NatConfig>, helps: bool, blocked: bool, link: Link) -> Behaviour {
    let mut network = Network::new(5);
    let internet = network.internet();
    network.set_link(internet, link).unwrap();
    let host = network.add_host("server", internet, &[ip("198.51.100.1"), ip("198.51.100.2")]).unwrap();
    let mut config = ServerConfig::stun_only();
    config.behaviour = helps.then(|| BehaviourAddresses { primary: at(PRIMARY), alternate: at(ALTERNATE) });
    let (seed, now) = (network.seed(), network.now());
    let server = network.add_machine(host, ServerNode::new(config, seed, now)).unwrap();
    for local in [PRIMARY, ALTERNATE, "198.51.100.1:3479", "198.51.100.2:3478"] {
        network.bind(server, sim::Protocol::Udp, at(local)).unwrap();
    }
    let (segment, local) = match nat {
        None => (internet, "192.0.2.2:4000"),
        Some(config) => {
            let lan = network.add_segment("lan", &["192.168.1.0/24".parse().unwrap()], Link::perfect());
            let outside = (internet, [ip("203.0.113.1")]);
            let inside = (lan, [ip("192.168.1.1")]);
            network.add_nat("router", (outside.0, &outside.1), (inside.0, &inside.1), config).unwrap();
            (lan, LOCAL)
        }
    };
    let host = network.add_host("client", segment, &[at(local).ip()]).unwrap();
    if blocked {
        network.add_middlebox(host, Firewall::without_udp()).unwrap();
    }
    let discovery = Discovery::new(at(PRIMARY), at(local), Seed([3; 32]), network.now());
    let node = network.add_machine(host, Node { discovery, found: Vec::new() }).unwrap();
    network.bind(node, sim::Protocol::Udp, at(local)).unwrap();
    // What was asked before the socket was bound is asked again.
    network.run_for(secs(60));
    let found = &network.machine(node).unwrap().found;
    assert_eq!(found.len(), 1, "one event, and then silence");
    found[0]
}

#[test]
fn nat_behaviour_is_found_for_every_kind() {
    let theirs = |of: Of| match of {
        Of::EndpointIndependent => Dependence::EndpointIndependent,
        Of::AddressDependent => Dependence::AddressDependent,
        Of::AddressAndPortDependent => Dependence::AddressAndPortDependent,
    };
    let all = [Of::EndpointIndependent, Of::AddressDependent, Of::AddressAndPortDependent];
    for mapping in all {
        for filtering in all {
            for hairpins in [false, true] {
                let mut config =
                    NatConfig { mapping, filtering, ports: Ports::Random, ..NatConfig::full_cone() };
                if hairpins {
                    config = config.hairpinning();
                }
                let found = discover(Some(config), true, false, Link::default());
                let name = format!("{mapping:?} {filtering:?} {hairpins}");
                assert_eq!(found.mapping, Some(theirs(mapping)), "{name}");
                assert_eq!(found.filtering, Some(theirs(filtering)), "{name}");
                assert!(found.is_translated());
                // Only a mapping that is the same for all is the one that the packet goes to.
                if mapping == Of::EndpointIndependent && filtering == Of::EndpointIndependent {
                    assert_eq!(found.hairpinning, Some(hairpins), "{name}");
                }
            }
        }
    }
}

#[test]
fn no_nat_no_help_and_no_udp_are_found_too() {
    let found = discover(None, true, false, Link::default());
    assert_eq!((found.mapped, found.is_translated()), (Some(at("192.0.2.2:4000")), false));
    assert_eq!(found.mapping, Some(Dependence::EndpointIndependent));
    assert_eq!((found.filtering, found.hairpinning), (Some(Dependence::EndpointIndependent), None));
    let found = discover(Some(NatConfig::symmetric()), false, false, Link::default());
    assert!(found.is_translated());
    assert_eq!((found.mapping, found.filtering), (None, None));
    let found = discover(None, true, true, Link::default());
    assert_eq!((found.mapped, found.mapping, found.filtering), (None, None, None));
}

#[test]
fn the_discovery_keeps_the_ten_laws() {
    Subject::new(|seed, now| Node {
        discovery: Discovery::new(at(PRIMARY), at(LOCAL), Seed(seed), now),
        found: Vec::new(),
    })
    .until(secs(30))
    .check()
    .unwrap();
}
