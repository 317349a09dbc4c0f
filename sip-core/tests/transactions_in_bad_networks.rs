//! Transactions over networks that lose, repeat and reorder: whatever happens, each ends exactly once and nothing is left.
//! One seed makes one run; `DENWA_SEEDS=10000` makes ten thousand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/agent.rs"]
mod agent;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use agent::{Agent, Answering};
use denwa_sim::{
    Link, Loss, Network, Node,
    laws::{Bounds, Subject},
    machine::Stimulus,
};
use denwa_sip_core::{
    Method, Protocol,
    config::{Listener, TransactionConfig},
    transaction::{EndReason, TransactionCounts},
};

/// A small generator: the runs are to differ, not to be unguessable.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn seeds() -> u64 {
    std::env::var("DENWA_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

fn play(seed: u64) -> (Network, [Node<Agent>; 2]) {
    let mut dice = Dice(seed);
    let mut network = Network::new(seed);
    let internet = network.internet();
    let loss = Loss::Random(dice.below(51) as f64 / 100.0);
    let link = Link {
        latency: Duration::from_millis(dice.below(120) + 1),
        jitter: Duration::from_millis(dice.below(80)),
        loss,
        reorder: dice.below(30) as f64 / 100.0,
        reorder_by: Duration::from_millis(100),
        duplicate: dice.below(30) as f64 / 100.0,
        ..Link::default()
    };
    network.set_link(internet, link).unwrap();
    if dice.below(4) == 0 {
        network.set_largest_stream_read(Some(10));
    }
    let mut nodes = Vec::new();
    let addresses: Vec<SocketAddr> =
        (1..=2).map(|n| SocketAddr::new(IpAddr::from([192, 0, 2, n]), 5060)).collect();
    for (name, address) in ["alice", "bob"].iter().zip(&addresses) {
        let host = network.add_host(name, internet, &[address.ip()]).unwrap();
        let seed = network.seed();
        let node = network.add_machine(host, Agent::new(*address, seed, network.now())).unwrap();
        network.bind(node, denwa_sim::Protocol::Udp, *address).unwrap();
        network.bind(node, denwa_sim::Protocol::Tcp, *address).unwrap();
        nodes.push(node);
    }
    network.set_detail(denwa_sim::trace::Detail::Events);
    for _ in 0..12 {
        let from = usize::try_from(dice.below(2)).unwrap();
        let method = [Method::Invite, Method::Options, Method::Register, Method::Invite]
            [usize::try_from(dice.below(4)).unwrap()]
        .clone();
        let protocol = if dice.below(5) == 0 { Protocol::Tcp } else { Protocol::Udp };
        let cancel = (dice.below(3) == 0).then(|| Duration::from_millis(dice.below(4000)));
        let to = addresses[1 - from];
        network.with(nodes[from], move |agent, now| agent.send(method, to, protocol, cancel, now));
        network.run_for(Duration::from_millis(dice.below(3000)));
    }
    // An INVITE whose final response never got through rings until its own limit of half an hour.
    network.run_for(Duration::from_secs(2400));
    (network, [nodes[0], nodes[1]])
}

#[test]
fn no_transaction_is_ever_stuck() {
    let mut finals = 0;
    for seed in 0..seeds() {
        let (network, nodes) = play(seed);
        for node in nodes {
            let agent = network.machine(node).unwrap();
            let TransactionCounts { clients, servers, .. } = agent.counts();
            assert_eq!((clients, servers), (0, 0), "seed {seed}: something is left");
            assert!(
                agent.clients.is_empty() && agent.servers.is_empty(),
                "seed {seed}: something never ended"
            );
            assert!(agent.broken.is_empty(), "seed {seed}: {:?}", agent.broken);
            finals += agent.finals;
        }
        assert_eq!(network.trace().faults(), 0, "seed {seed}: {}", network.trace());
    }
    assert!(finals > usize::try_from(seeds()).unwrap() * 6, "only {finals} requests had an answer");
}

#[test]
fn one_seed_one_trace() {
    let trace = |seed| play(seed).0.trace().to_string();
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
}

#[test]
fn nobody_there_is_noticed_within_32_seconds() {
    let mut network = Network::new(1);
    let internet = network.internet();
    network.set_link(internet, Link::default().lossy(1.0)).unwrap();
    let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let host = network.add_host("alice", internet, &[address.ip()]).unwrap();
    let seed = network.seed();
    let node = network.add_machine(host, Agent::new(address, seed, network.now())).unwrap();
    network.bind(node, denwa_sim::Protocol::Udp, address).unwrap();
    for method in [Method::Invite, Method::Options] {
        network.with(node, move |agent, now| {
            agent.send(method, "192.0.2.9:5060".parse().unwrap(), Protocol::Udp, None, now)
        });
    }
    network.run_for(Duration::from_secs(32));
    assert_eq!(network.machine(node).unwrap().outcomes, [EndReason::TimedOut; 2]);
}

fn datagram(text: String) -> Stimulus {
    let (local, remote) = ("192.0.2.2:5060".parse().unwrap(), "192.0.2.1:5060".parse().unwrap());
    Stimulus::Datagram { local, remote, payload: text.into_bytes() }
}

fn request(method: &str, number: u64) -> String {
    format!(
        "{method} sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{number};rport\r\nMax-Forwards: 70\r\n\
        From: <sip:a@192.0.2.1>;tag={number}\r\nTo: <sip:b@192.0.2.2>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The ten laws of every machine, each by its own check.
#[test]
fn the_ten_laws_hold() {
    let at = Duration::from_millis;
    let make = |seed: [u8; 32], now| {
        let address = "192.0.2.2:5060".parse().unwrap();
        let mut config = TransactionConfig::new(
            [Protocol::Udp, Protocol::Tcp].map(|p| Listener::new(p, address)).to_vec(),
        );
        config.limits.server_transactions = 300;
        let mut agent = Agent::with(config, seed, now);
        agent.answering = Answering::AsPeopleDo;
        agent
    };
    let remote: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    Subject::new(make)
        .input(at(0), datagram(request("INVITE", 1)))
        .input(at(10), datagram(request("OPTIONS", 2)))
        .input(at(20), datagram(request("OPTIONS", 2)))
        .input(at(400), datagram(request("CANCEL", 1)))
        .input(at(500), datagram(request("ACK", 1)))
        .command(at(600), move |agent, now| {
            agent.send(Method::Invite, remote, Protocol::Udp, Some(Duration::from_millis(300)), now)
        })
        .command(at(700), move |agent, now| agent.send(Method::Options, remote, Protocol::Tcp, None, now))
        .input(at(800), datagram("garbage\r\n\r\n".into()))
        .input(at(900), datagram(request("INVITE", 3)))
        .flood(1000, |number| datagram(request("OPTIONS", 1000 + number)))
        .bounds(Bounds { outputs_per_input: 16, holdings: 300 })
        .until(Duration::from_secs(90))
        .check()
        .unwrap_or_else(|broken| panic!("{broken}"));
}
