//! The network does what it is asked to: time, links, streams, routes, names, and the same trace for the same seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sim::host::Prefix;
use denwa_sim::machine::UnreachableReason;
use denwa_sim::{
    CloseReason, HostId, Input, Link, Machine, Network, Node, Output, Protocol, Record, RecordKind,
    StreamFailure, Transmit,
};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Does as the script says, and writes down what it gets.
#[derive(Default)]
struct Probe {
    outputs: VecDeque<Output>,
    got: Vec<String>,
    data: Vec<u8>,
    echoes: bool,
    every: Option<(Duration, SocketAddr)>,
    next: Option<Instant>,
}

impl Machine for Probe {
    fn handle_input(&mut self, input: Input<'_>, _now: Instant) {
        match input {
            Input::Datagram { local, remote, payload } => {
                self.got.push(format!("{remote} {}", String::from_utf8_lossy(payload)));
                if self.echoes {
                    self.send(Some(local), remote, payload);
                }
            }
            Input::StreamData { protocol, local, remote, payload } => {
                self.data.extend_from_slice(payload);
                if self.echoes {
                    let payload = payload.to_vec().into();
                    self.outputs.push_back(Output::Transmit(Transmit {
                        source: Some(local),
                        destination: remote,
                        protocol,
                        payload,
                    }));
                }
            }
            Input::Unreachable { remote, reason, .. } => self.got.push(format!("{remote} {reason:?}")),
            Input::StreamOpened { token, peer_identity, .. } => {
                self.got.push(format!("opened {token:?} {peer_identity:?}"));
            }
            Input::StreamFailed { reason, .. } => self.got.push(format!("failed {reason:?}")),
            Input::StreamClosed { reason, .. } => self.got.push(format!("closed {reason:?}")),
            Input::Resolved { answer, .. } => self.got.push(format!("{answer:?}")),
            Input::Routed { route, .. } => {
                self.got.push(route.map_or("none".into(), |it| format!("{} {}", it.local, it.interface)));
            }
            Input::Provided { answer, .. } => self.got.push(format!("{answer:?}")),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let (Some((interval, to)), Some(next)) = (self.every, self.next)
            && next <= now
        {
            self.next = Some(now + interval);
            self.send(None, to, b"tick");
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

impl Probe {
    fn send(&mut self, source: Option<SocketAddr>, to: SocketAddr, payload: &[u8]) {
        self.outputs.push_back(Output::Transmit(Transmit::datagram(source, to, payload.to_vec())));
    }

    fn stream(&mut self, protocol: Protocol, to: SocketAddr, payload: &[u8]) {
        let payload = payload.to_vec().into();
        self.outputs.push_back(Output::Transmit(Transmit {
            source: None,
            destination: to,
            protocol,
            payload,
        }));
    }

    fn open(&mut self, protocol: Protocol, to: SocketAddr) {
        self.outputs.push_back(Output::OpenStream { token: 1, protocol, source: None, destination: to });
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn to(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn probe(network: &mut Network, host: HostId, ports: &[(Protocol, &str)]) -> Node<Probe> {
    let node = network.add_machine(host, Probe::default()).unwrap();
    for (protocol, local) in ports {
        network.bind(node, *protocol, to(local)).unwrap();
    }
    node
}

/// Two hosts on the Internet, with a port for everything.
fn pair(seed: u64, link: Link) -> (Network, Node<Probe>, Node<Probe>) {
    let mut network = Network::new(seed);
    let internet = network.internet();
    network.set_link(internet, link).unwrap();
    let alice = network.add_host("alice", internet, &[ip("192.0.2.1")]).unwrap();
    let bob = network.add_host("bob", internet, &[ip("192.0.2.2"), ip("2001:db8::2")]).unwrap();
    let alice = probe(&mut network, alice, &[(Protocol::Udp, "192.0.2.1:5060")]);
    let bob = probe(
        &mut network,
        bob,
        &[
            (Protocol::Udp, "0.0.0.0:5060"),
            (Protocol::Tcp, "0.0.0.0:5060"),
            (Protocol::Tls, "0.0.0.0:5061"),
            (Protocol::WebSocket, "0.0.0.0:80"),
        ],
    );
    (network, alice, bob)
}

fn got(network: &Network, node: Node<Probe>) -> Vec<String> {
    network.machine(node).unwrap().got.clone()
}

#[test]
fn datagrams_take_their_time_and_come_back() {
    let (mut network, alice, bob) = pair(1, Link::default());
    network.with(bob, |bob, _| bob.echoes = true);
    network.with(alice, |alice, _| alice.send(None, to("192.0.2.2:5060"), b"hello"));
    network.run_for(Duration::from_millis(19));
    assert_eq!(got(&network, bob), ["192.0.2.1:5060 hello"]);
    assert!(got(&network, alice).is_empty());
    network.run_for(Duration::from_millis(1));
    assert_eq!(got(&network, alice), ["192.0.2.2:5060 hello"]);
    assert_eq!(network.trace().faults(), 0);
}

#[test]
fn a_closed_port_answers_unless_it_is_silent_and_a_missing_host_never_does() {
    let (mut network, alice, _) = pair(1, Link::default());
    network.with(alice, |alice, _| {
        alice.send(None, to("192.0.2.2:9"), b"x");
        alice.send(None, to("192.0.2.99:9"), b"x");
    });
    network.run_for(Duration::from_secs(1));
    assert_eq!(got(&network, alice), [format!("192.0.2.2:9 {:?}", UnreachableReason::Port)]);
}

#[test]
fn a_machine_cannot_send_from_a_port_that_it_does_not_have() {
    let (mut network, alice, bob) = pair(1, Link::default());
    network.with(alice, |alice, _| alice.send(Some(to("192.0.2.1:7")), to("192.0.2.2:5060"), b"x"));
    network.run_for(Duration::from_secs(1));
    assert!(got(&network, bob).is_empty());
    assert_eq!(network.trace().faults(), 1);
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte_and_another_seed_another() {
    let run = |seed| {
        let (mut network, alice, bob) = pair(seed, Link::bad(0.1));
        network.with(bob, |bob, _| bob.echoes = true);
        network.with(alice, |alice, now| {
            (alice.every, alice.next) = (Some((Duration::from_millis(20), to("192.0.2.2:5060"))), Some(now));
            alice.open(Protocol::Tcp, to("192.0.2.2:5060"));
            alice.stream(Protocol::Tcp, to("192.0.2.2:5060"), &[1; 5000]);
        });
        network.run_for(Duration::from_secs(20));
        (network.trace().to_string(), network.trace().digest())
    };
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    assert_ne!(first.1, other.1);
    assert!(first.0.contains("lost on the way"));
    assert!(first.0.lines().count() > 2000);
}

#[test]
fn streams_arrive_whole_and_in_order_over_a_bad_link_in_any_pieces() {
    for seed in 0..20 {
        let (mut network, alice, bob) = pair(seed, Link::bad(0.3));
        network.set_largest_stream_read(Some(100));
        network.with(bob, |bob, _| bob.echoes = true);
        let data: Vec<u8> = (0..20_000_u32).map(|byte| (byte % 251) as u8).collect();
        network.with(alice, |alice, _| {
            alice.open(Protocol::Tcp, to("192.0.2.2:5060"));
            alice.stream(Protocol::Tcp, to("192.0.2.2:5060"), &data);
        });
        network.run_for(Duration::from_secs(300));
        assert!(network.machine(bob).unwrap().data == data, "seed {seed}");
        assert!(network.machine(alice).unwrap().data == data, "seed {seed}");
        assert_eq!(got(&network, alice), ["opened Some(1) None"]);
        assert_eq!(got(&network, bob), ["opened None None"]);
    }
}

#[test]
fn a_stream_is_refused_fails_and_closes_once_at_each_end() {
    let (mut network, alice, bob) = pair(1, Link::default());
    network.with(alice, |alice, _| alice.open(Protocol::Tcp, to("192.0.2.2:9")));
    network.run_for(Duration::from_secs(1));
    assert_eq!(got(&network, alice), [format!("failed {:?}", StreamFailure::Refused)]);
    network.with(alice, |alice, _| alice.open(Protocol::Tcp, to("192.0.2.99:9")));
    network.run_for(Duration::from_secs(200));
    assert_eq!(got(&network, alice)[1], format!("failed {:?}", StreamFailure::TimedOut));

    network.with(alice, |alice, _| alice.open(Protocol::Tcp, to("192.0.2.2:5060")));
    network.run_for(Duration::from_secs(1));
    let local = to("192.0.2.1:49154");
    network.with(alice, |alice, _| {
        alice.stream(Protocol::Tcp, to("192.0.2.2:5060"), b"bye");
        alice.outputs.push_back(Output::CloseStream {
            protocol: Protocol::Tcp,
            local,
            remote: to("192.0.2.2:5060"),
        });
    });
    network.run_for(Duration::from_secs(10));
    assert_eq!(network.machine(bob).unwrap().data, b"bye");
    assert_eq!(
        got(&network, bob),
        ["opened None None".to_owned(), format!("closed {:?}", CloseReason::Peer)]
    );
    assert_eq!(got(&network, alice)[3], format!("closed {:?}", CloseReason::Local));
    assert_eq!(got(&network, alice).len(), 4);
    assert!(network.run_until_idle(Duration::from_secs(600)), "no stream is left behind");
}

#[test]
fn secure_streams_tell_names_and_websockets_keep_messages() {
    let (mut network, alice, bob) = pair(1, Link::default());
    network.set_identity(bob, "pbx.example").unwrap();
    network.set_largest_stream_read(Some(1));
    network.with(alice, |alice, _| alice.open(Protocol::Tls, to("192.0.2.2:5061")));
    network.run_for(Duration::from_secs(1));
    assert_eq!(got(&network, alice), ["opened Some(1) Some(\"pbx.example\")"]);
    network.with(alice, |alice, _| alice.open(Protocol::WebSocket, to("192.0.2.2:80")));
    network.with(alice, |alice, _| alice.stream(Protocol::WebSocket, to("192.0.2.2:80"), &[3; 4000]));
    let before = network.trace().received_by("bob");
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.trace().received_by("bob") - before, 1);
    // A plain client does not get a TLS listener.
    network.with(alice, |alice, _| alice.open(Protocol::Tcp, to("192.0.2.2:5061")));
    network.run_for(Duration::from_secs(1));
    assert_eq!(got(&network, alice)[2], "failed Refused");
}

#[test]
fn two_ends_that_open_at_once_share_one_stream() {
    let (mut network, alice, bob) = pair(1, Link::default());
    let (a, b) = (to("192.0.2.1:700"), to("192.0.2.2:700"));
    for (node, source, destination) in [(alice, a, b), (bob, b, a)] {
        network.with(node, |probe, _| {
            probe.outputs.push_back(Output::OpenStream {
                token: 5,
                protocol: Protocol::Tcp,
                source: Some(source),
                destination,
            });
        });
    }
    network.run_for(Duration::from_secs(5));
    network.with(alice, |alice, _| alice.stream(Protocol::Tcp, b, b"one"));
    network.run_for(Duration::from_secs(5));
    assert_eq!(got(&network, alice), ["opened Some(5) None"]);
    assert_eq!(got(&network, bob), ["opened Some(5) None"]);
    assert_eq!(network.machine(bob).unwrap().data, b"one");
}

#[test]
fn routes_names_and_lookups_are_answered() {
    let mut network = Network::new(1);
    let internet = network.internet();
    let vpn = network.add_segment("vpn", &["100.64.0.0/10".parse().unwrap()], Link::default());
    let host = network.add_host("pbx", internet, &[ip("192.0.2.1")]).unwrap();
    let tail = network.attach(host, vpn, &[ip("100.70.0.1")]).unwrap();
    network.name_interface(host, tail, "tailscale0").unwrap();
    let node = probe(&mut network, host, &[]);
    network.names().add("pbx.example", Record::A([192, 0, 2, 1].into()));
    network.provide("1001", "sip:1001@192.0.2.9");
    network.with(node, |probe, _| {
        for destination in ["100.100.1.1", "8.8.8.8", "2001:db8::1"] {
            probe.outputs.push_back(Output::Route { token: 0, destination: ip(destination) });
        }
        let name = "PBX.example".to_owned();
        probe.outputs.push_back(Output::Resolve { token: 1, name, kind: RecordKind::A });
        for question in ["1001", "1002"] {
            probe.outputs.push_back(Output::Lookup { token: 2, question: question.to_owned() });
        }
    });
    network.run_for(Duration::from_secs(1));
    assert_eq!(
        got(&network, node),
        [
            "100.70.0.1 tailscale0",
            "192.0.2.1 eth0",
            "none",
            "Some(b\"sip:1001@192.0.2.9\")",
            "None",
            "Ok([A(192.0.2.1)])"
        ]
    );
}

#[test]
fn a_router_forwards_between_segments_and_a_pulled_cable_stops_it() {
    let mut network = Network::new(1);
    let lan = |network: &mut Network, number: u8| {
        let name = format!("lan{number}");
        let segment = network.add_segment(
            &name,
            &[Prefix::new(ip(&format!("10.0.{number}.0")), 24)],
            Link::with_latency(Duration::from_millis(1)),
        );
        network.set_gateway(segment, ip(&format!("10.0.{number}.254"))).unwrap();
        segment
    };
    let (one, two) = (lan(&mut network, 1), lan(&mut network, 2));
    let router = network.add_host("router", one, &[ip("10.0.1.254")]).unwrap();
    network.attach(router, two, &[ip("10.0.2.254")]).unwrap();
    network.set_forwarding(router, true).unwrap();
    let a = network.add_host("a", one, &[ip("10.0.1.1")]).unwrap();
    let b = network.add_host("b", two, &[ip("10.0.2.1")]).unwrap();
    let a = probe(&mut network, a, &[(Protocol::Udp, "0.0.0.0:1")]);
    let b = probe(&mut network, b, &[(Protocol::Udp, "0.0.0.0:1")]);
    network.with(a, |a, _| a.send(None, to("10.0.2.1:1"), b"over"));
    network.run_for(Duration::from_secs(1));
    assert_eq!(got(&network, b), ["10.0.1.1:1 over"]);
    network.set_connected(router, 1, false).unwrap();
    network.with(a, |a, _| a.send(None, to("10.0.2.1:1"), b"gone"));
    network.run_for(Duration::from_secs(1));
    assert_eq!(got(&network, b).len(), 1);
    assert_eq!(got(&network, a), ["10.0.2.1:1 Host"]);
}

#[test]
fn scripts_go_on_at_their_time() {
    let (mut network, alice, bob) = pair(1, Link::perfect());
    network.schedule(Duration::from_secs(3), move |network| {
        network.with(alice, |alice, _| alice.send(None, to("192.0.2.2:5060"), b"later"));
    });
    let came = network.run_until_true(Duration::from_secs(10), |network| !got(network, bob).is_empty());
    assert!(came);
    assert_eq!(network.elapsed(), Duration::from_secs(3));
}
