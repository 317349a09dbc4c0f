//! The boxes in the middle do what their names say: mapping, filtering, hairpinning, port sets, renaming, firewalls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sim::firewall::{Action, Firewall, Rule};
use denwa_sim::nat::{Dependence, NatConfig, Ports};
use denwa_sim::packet::Transport;
use denwa_sim::vpn::{self, Member, Renaming, View};
use denwa_sim::{Input, Link, Machine, Network, Node, Output, Protocol, SegmentId, Transmit};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Writes down whom it hears from, and answers "who" with what it sees.
#[derive(Default)]
struct Peer {
    outputs: VecDeque<Output>,
    heard: Vec<(SocketAddr, String)>,
    unreachable: usize,
}

impl Machine for Peer {
    fn handle_input(&mut self, input: Input<'_>, _now: Instant) {
        match input {
            Input::Datagram { local, remote, payload } => {
                let text = String::from_utf8_lossy(payload).into_owned();
                if text == "who" {
                    self.send(local, remote, &remote.to_string());
                }
                self.heard.push((remote, text));
            }
            Input::Unreachable { .. } => self.unreachable += 1,
            _ => {}
        }
    }
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

impl Peer {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, text: &str) {
        self.outputs.push_back(Output::Transmit(Transmit::datagram(Some(from), to, text.to_owned())));
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Lab {
    network: Network,
    internet: SegmentId,
    lan: SegmentId,
    inside: Node<Peer>,
    server: Node<Peer>,
}

const INSIDE: &str = "192.168.1.2:4000";
const SERVERS: [&str; 4] =
    ["198.51.100.1:3478", "198.51.100.1:3479", "198.51.100.2:3478", "198.51.100.2:3479"];

fn lab(config: NatConfig) -> Lab {
    let mut network = Network::new(3);
    let internet = network.internet();
    let lan = network.add_segment("lan", &["192.168.1.0/24".parse().unwrap()], Link::perfect());
    network.add_nat("router", (internet, &[ip("203.0.113.1")]), (lan, &[ip("192.168.1.1")]), config).unwrap();
    let host = network.add_host("inside", lan, &[ip("192.168.1.2")]).unwrap();
    let inside = network.add_machine(host, Peer::default()).unwrap();
    network.bind_range(inside, Protocol::Udp, ip("192.168.1.2"), 4000..=4999).unwrap();
    let servers = network.add_host("servers", internet, &[ip("198.51.100.1"), ip("198.51.100.2")]).unwrap();
    let server = network.add_machine(servers, Peer::default()).unwrap();
    SERVERS.iter().for_each(|it| network.bind(server, Protocol::Udp, at(it)).unwrap());
    Lab { network, internet, lan, inside, server }
}

impl Lab {
    fn send(&mut self, node: Node<Peer>, from: &str, to: SocketAddr, text: &str) {
        self.network.with(node, |peer, _| peer.send(at(from), to, text)).unwrap();
        self.network.run_for(Duration::from_millis(100));
    }

    fn heard(&mut self, node: Node<Peer>) -> Vec<(SocketAddr, String)> {
        self.network.with(node, |peer, _| std::mem::take(&mut peer.heard)).unwrap()
    }

    /// The external addresses that the servers see from one internal port.
    fn mapped(&mut self, from: &str) -> Vec<SocketAddr> {
        SERVERS
            .map(|server| {
                self.send(self.inside, from, at(server), "who");
                self.heard(self.inside).pop().unwrap().1.parse().unwrap()
            })
            .to_vec()
    }
}

fn distinct<T: Ord + Clone>(items: &[T]) -> usize {
    let mut items = items.to_vec();
    items.sort();
    items.dedup();
    items.len()
}

#[test]
fn nat_mapping_depends_on_what_it_should() {
    for (config, ports) in
        [(NatConfig::full_cone(), 1), (NatConfig::address_dependent(), 2), (NatConfig::symmetric(), 4)]
    {
        let mapped = lab(config.clone()).mapped(INSIDE);
        assert_eq!(distinct(&mapped), ports, "{config:?}");
        assert!(mapped.iter().all(|it| it.ip() == ip("203.0.113.1")));
    }
    assert_eq!(lab(NatConfig::full_cone()).mapped(INSIDE)[0].port(), 4000, "ports are kept");
}

#[test]
fn nat_filtering_depends_on_what_it_should() {
    // Of the four server addresses only the first was sent to.
    for (config, admitted) in [
        (NatConfig::full_cone(), [true, true, true, true]),
        (NatConfig::address_restricted(), [true, true, false, false]),
        (NatConfig::port_restricted(), [true, false, false, false]),
        (NatConfig::symmetric(), [true, false, false, false]),
    ] {
        let mut lab = lab(config.clone());
        let (inside, server) = (lab.inside, lab.server);
        lab.send(inside, INSIDE, at(SERVERS[0]), "who");
        let mapped: SocketAddr = lab.heard(inside).pop().unwrap().1.parse().unwrap();
        for (from, admitted) in SERVERS.iter().zip(admitted) {
            lab.send(server, from, mapped, "hi");
            assert_eq!(!lab.heard(inside).is_empty(), admitted, "{config:?} from {from}");
        }
    }
}

#[test]
fn nat_mappings_end_when_they_are_not_used() {
    let mut lab = lab(NatConfig::full_cone());
    let (inside, server) = (lab.inside, lab.server);
    lab.send(inside, INSIDE, at(SERVERS[0]), "who");
    let mapped: SocketAddr = lab.heard(inside).pop().unwrap().1.parse().unwrap();
    lab.network.run_for(Duration::from_secs(119));
    lab.send(server, SERVERS[0], mapped, "in time");
    assert_eq!(lab.heard(inside).len(), 1);
    lab.network.run_for(Duration::from_secs(121));
    lab.send(server, SERVERS[0], mapped, "too late");
    assert!(lab.heard(inside).is_empty());
}

#[test]
fn nat_of_a_map_e_customer_uses_its_ports_only_and_runs_out() {
    // 15 blocks of 16 ports.
    let ranges: Vec<_> = (1..16_u16).map(|block| block * 4096 + 0x120..=block * 4096 + 0x12F).collect();
    let mut lab =
        lab(NatConfig { mapping: Dependence::EndpointIndependent, ..NatConfig::map_e(ranges.clone()) });
    let inside = lab.inside;
    let mut seen = Vec::new();
    for port in 4000..4300 {
        lab.send(inside, &format!("192.168.1.2:{port}"), at(SERVERS[0]), "who");
        if let Some((_, text)) = lab.heard(inside).pop() {
            seen.push(text.parse::<SocketAddr>().unwrap().port());
        }
    }
    assert_eq!((seen.len(), distinct(&seen)), (240, 240));
    assert!(seen.iter().all(|port| ranges.iter().any(|range| range.contains(port))));
    assert_eq!(lab.network.machine(inside).unwrap().unreachable, 60);
}

#[test]
fn nat_hairpins_or_does_not() {
    for hairpins in [false, true] {
        let config = NatConfig::full_cone();
        let mut lab = lab(if hairpins { config.hairpinning() } else { config });
        let (inside, lan) = (lab.inside, lab.lan);
        let other = lab.network.add_host("other", lan, &[ip("192.168.1.3")]).unwrap();
        let other = lab.network.add_machine(other, Peer::default()).unwrap();
        lab.network.bind(other, Protocol::Udp, at("192.168.1.3:5000")).unwrap();
        lab.send(other, "192.168.1.3:5000", at(SERVERS[0]), "who");
        let mapped: SocketAddr = lab.heard(other).pop().unwrap().1.parse().unwrap();
        lab.send(inside, INSIDE, mapped, "hello");
        let expected = if hairpins { vec![(at("203.0.113.1:4000"), "hello".to_owned())] } else { vec![] };
        assert_eq!(lab.heard(other), expected);
    }
}

#[test]
fn nat_behind_nat_and_word_of_closed_ports_find_their_way() {
    let mut lab = lab(NatConfig::full_cone());
    let (lan, server) = (lab.lan, lab.server);
    let deep = lab.network.add_segment("deep", &["10.0.0.0/24".parse().unwrap()], Link::perfect());
    let sequential = NatConfig { ports: Ports::Sequential, ..NatConfig::symmetric() };
    lab.network
        .add_nat("second", (lan, &[ip("192.168.1.9")]), (deep, &[ip("10.0.0.1")]), sequential)
        .unwrap();
    let host = lab.network.add_host("deep", deep, &[ip("10.0.0.2")]).unwrap();
    let node = lab.network.add_machine(host, Peer::default()).unwrap();
    lab.network.bind(node, Protocol::Udp, at("10.0.0.2:7000")).unwrap();
    lab.send(node, "10.0.0.2:7000", at(SERVERS[0]), "who");
    assert_eq!(lab.heard(node).pop().unwrap().1, "203.0.113.1:1024");
    // A closed port far outside is told to the host deep inside.
    lab.send(node, "10.0.0.2:7000", at("198.51.100.1:9"), "x");
    assert_eq!(lab.network.machine(node).unwrap().unreachable, 1);
    // And a port that has closed inside, to the server.
    lab.network.unbind(node, Protocol::Udp, at("10.0.0.2:7000"));
    lab.send(server, SERVERS[0], at("203.0.113.1:1024"), "x");
    assert_eq!(lab.network.machine(server).unwrap().unreachable, 1);
}

#[test]
fn firewalls_drop_what_they_say_and_remember_what_they_let_out() {
    let mut lab = lab(NatConfig::full_cone());
    let (internet, server) = (lab.internet, lab.server);
    let host = lab.network.add_host("walled", internet, &[ip("192.0.2.9")]).unwrap();
    lab.network.add_middlebox(host, Firewall::answers_only(0)).unwrap();
    let node = lab.network.add_machine(host, Peer::default()).unwrap();
    lab.network.bind(node, Protocol::Udp, at("192.0.2.9:1")).unwrap();
    lab.send(server, SERVERS[1], at("192.0.2.9:1"), "unasked");
    assert!(lab.heard(node).is_empty());
    lab.send(node, "192.0.2.9:1", at(SERVERS[0]), "who");
    assert_eq!(lab.heard(node).len(), 1);
    lab.send(server, SERVERS[1], at("192.0.2.9:1"), "still unasked");
    assert!(lab.heard(node).is_empty());

    let media = Rule::new(Action::Drop).transport(Transport::Udp).to_ports(4000..=4999);
    let host = lab.network.add_host("acl", internet, &[ip("192.0.2.10")]).unwrap();
    lab.network.add_middlebox(host, Firewall::new().rule(media)).unwrap();
    let node = lab.network.add_machine(host, Peer::default()).unwrap();
    lab.network.bind_range(node, Protocol::Udp, ip("192.0.2.10"), 4998..=5001).unwrap();
    for port in 4998..=5001 {
        lab.send(server, SERVERS[0], (ip("192.0.2.10"), port).into(), &port.to_string());
    }
    let heard: Vec<_> = lab.heard(node).into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, ["5000", "5001"]);
}

#[test]
fn a_renaming_vpn_shows_one_host_under_two_addresses() {
    let mut network = Network::new(1);
    let (a, b) = (ip("100.110.20.5"), ip("100.70.198.29"));
    let (b_for_a, a_for_b) = (ip("100.110.206.106"), ip("100.70.33.7"));
    let side = |network: &mut Network, name: &str, prefix: &str, gateway: &str, host: IpAddr| {
        let segment = network.add_segment(name, &[prefix.parse().unwrap()], Link::default());
        network.set_gateway(segment, ip(gateway)).unwrap();
        let id = network.add_host(name, segment, &[host]).unwrap();
        let node = network.add_machine(id, Peer::default()).unwrap();
        network.bind(node, Protocol::Udp, (host, 5060).into()).unwrap();
        (segment, node)
    };
    let (one, alice) = side(&mut network, "a", "100.110.0.0/16", "100.110.0.1", a);
    let (two, bob) = side(&mut network, "b", "100.70.0.0/16", "100.70.0.1", b);
    let vpn = network.add_host("vpn", one, &[ip("100.110.0.1")]).unwrap();
    network.attach(vpn, two, &[ip("100.70.0.1")]).unwrap();
    network.set_forwarding(vpn, true).unwrap();
    // A's own addresses are on its segment, so the alias must be an address that the middle owns for A.
    network.add_address(vpn, 0, b_for_a).unwrap();
    network.add_address(vpn, 1, a_for_b).unwrap();
    let renaming = Renaming::new().shows(a, b, b_for_a).shows(b, a, a_for_b);
    network.add_middlebox(vpn, renaming).unwrap();
    network.with(alice, |it, _| it.send((a, 5060).into(), (b_for_a, 5060).into(), "who"));
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.machine(bob).unwrap().heard, [((a_for_b, 5060).into(), "who".to_owned())]);
    assert_eq!(network.machine(alice).unwrap().heard, [((b_for_a, 5060).into(), format!("{a_for_b}:5060"))]);
}

#[test]
fn a_joined_vpn_has_routes_to_what_each_host_knows_and_to_nothing_else() {
    let mut network = Network::new(1);
    let internet = network.internet();
    let (a, b) = (ip("100.110.20.5"), ip("100.70.198.29"));
    let (b_for_a, a_for_b) = (ip("100.110.206.106"), ip("100.70.33.7"));
    let mut nodes = Vec::new();
    let mut members = Vec::new();
    for (name, outside, address) in [("a", "192.0.2.1", a), ("b", "192.0.2.2", b)] {
        let host = network.add_host(name, internet, &[ip(outside)]).unwrap();
        members.push(Member { host, address });
        nodes.push(network.add_machine(host, Peer::default()).unwrap());
    }
    let views = [View { viewer: a, real: b, alias: b_for_a }, View { viewer: b, real: a, alias: a_for_b }];
    vpn::join(&mut network, "tailscale0", &members, &views).unwrap();
    for (node, address) in nodes.iter().zip([a, b]) {
        network.bind(*node, Protocol::Udp, (address, 5060).into()).unwrap();
    }
    let route = |network: &Network, to: IpAddr| {
        let route = network.route(members[0].host, to).unwrap();
        (route.local, route.interface.to_string())
    };
    assert_eq!(route(&network, b_for_a), (a, "tailscale0".to_owned()));
    assert_eq!(
        route(&network, b),
        (ip("192.0.2.1"), "eth0".to_owned()),
        "the address in B's SDP leads astray"
    );
    let send = |network: &mut Network, to: IpAddr| {
        network.with(nodes[0], |it, _| it.send((a, 5060).into(), (to, 5060).into(), "who"));
        network.run_for(Duration::from_secs(1));
    };
    send(&mut network, b);
    assert!(network.machine(nodes[1]).unwrap().heard.is_empty());
    send(&mut network, b_for_a);
    assert_eq!(network.machine(nodes[1]).unwrap().heard, [((a_for_b, 5060).into(), "who".to_owned())]);
    let answer = ((b_for_a, 5060).into(), format!("{a_for_b}:5060"));
    assert_eq!(network.machine(nodes[0]).unwrap().heard, [answer]);
}

#[test]
fn a_capture_is_a_pcapng_file() {
    let mut lab = lab(NatConfig::full_cone());
    let inside = lab.inside;
    let host = lab.network.host_of(inside).unwrap();
    lab.network.capture(host).unwrap();
    lab.send(inside, INSIDE, at(SERVERS[0]), "who");
    let file = lab.network.pcapng(host).unwrap();
    assert_eq!(file[..4], [0x0A, 0x0D, 0x0D, 0x0A]);
    // Walk the blocks: a header, an interface, and two packets.
    let mut kinds = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        kinds.push(word(0));
        let length = word(4) as usize;
        assert_eq!(word(length - 4) as usize, length);
        rest = &rest[length..];
    }
    assert_eq!(kinds, [0x0A0D_0D0A, 1, 6, 6]);
}
