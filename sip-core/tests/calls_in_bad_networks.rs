//! Telephones call each other over networks that lose, repeat and reorder, and change their minds all the time. Whatever
//! happens: every call ends on both sides, exactly once, and nothing is left. One seed makes one run;
//! `DENWA_SEEDS=10000` makes ten thousand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod station;

use denwa_sim::{Link, Loss, Network, Node};
use denwa_sip_core::endpoint::Counts;
use station::{Habits, Station, Whims, seeds};
use std::{net::SocketAddr, time::Duration};

struct Run {
    network: Network,
    stations: Vec<Node<Station>>,
    addresses: Vec<SocketAddr>,
}

/// Three telephones on one bad network.
fn run_of(seed: u64, over_tcp: bool) -> Run {
    let mut whims = Whims::new(seed);
    let mut network = Network::new(seed);
    let loss = whims.below(51) as f64 / 100.0;
    let segment = network.internet();
    network
        .set_link(
            segment,
            Link {
                latency: Duration::from_millis(whims.below(100) + 1),
                jitter: Duration::from_millis(whims.below(60)),
                loss: if over_tcp { Loss::None } else { Loss::Random(loss) },
                reorder: if over_tcp { 0.0 } else { 0.1 },
                reorder_by: Duration::from_millis(50),
                duplicate: if over_tcp { 0.0 } else { 0.1 },
                ..Link::default()
            },
        )
        .unwrap();
    let mut stations = Vec::new();
    let mut addresses = Vec::new();
    for (at, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
        let ip = std::net::IpAddr::from([192, 0, 2, u8::try_from(at).unwrap() + 1]);
        let address = SocketAddr::new(ip, 5060);
        let host = network.add_host(name, segment, &[ip]).unwrap();
        let mut station =
            Station::new(name, address, network.seed(), seed ^ (at as u64 + 1) << 32, network.now());
        station.habits = Habits { over_tcp, ..Habits::default() };
        let node = network.add_machine(host, station).unwrap();
        network.bind(node, denwa_sim::Protocol::Udp, address).unwrap();
        network.bind(node, denwa_sim::Protocol::Tcp, address).unwrap();
        stations.push(node);
        addresses.push(address);
    }
    network.set_detail(denwa_sim::trace::Detail::Events);
    Run { network, stations, addresses }
}

fn play(seed: u64, over_tcp: bool) -> (Run, usize) {
    let mut run = run_of(seed, over_tcp);
    let mut whims = Whims::new(seed.wrapping_add(77));
    let mut placed = 0;
    for _ in 0..4 {
        let from = whims.below(3) as usize;
        let to = (from + 1 + whims.below(2) as usize) % 3;
        let (name, address) = (["alice", "bob", "carol"][to], run.addresses[to]);
        run.network.with(run.stations[from], |station, now| station.call(name, address, now));
        placed += 1;
        run.network.run_for(Duration::from_millis(whims.below(20_000)));
    }
    run.network.run_for(Duration::from_secs(90));
    // One side hangs up what is still up; the other is to notice by BYE, or else by the session timer.
    run.network.with(run.stations[0], |station, now| station.hang_up_everything(now));
    run.network.with(run.stations[1], |station, now| station.hang_up_everything(now));
    assert!(
        run.network.run_until_idle(Duration::from_secs(2000)),
        "seed {seed}: never idle\n{}",
        end_of(&run)
    );
    for (station, name) in run.stations.iter().zip(["alice", "bob", "carol"]) {
        let station = run.network.machine(*station).unwrap();
        assert_eq!(station.broken, [] as [&str; 0], "seed {seed}");
        assert_eq!(station.endpoint.counts(), Counts::default(), "seed {seed}: {name}\n{}", end_of(&run));
    }
    (run, placed)
}

fn end_of(run: &Run) -> String {
    let text = run.network.trace().to_string();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[test]
fn nothing_is_left_and_every_call_ends_once_over_udp() {
    let mut answered = 0;
    let mut modified = 0;
    for seed in 0..seeds(200) {
        let (run, _) = play(seed, false);
        for station in &run.stations {
            answered += run.network.machine(*station).unwrap().answered;
            modified += run.network.machine(*station).unwrap().modified;
        }
    }
    println!("{answered} answered, {modified} modified");
    assert!(answered > 0 && modified > 0, "the runs prove nothing: {answered} answered, {modified} modified");
}

#[test]
fn nothing_is_left_and_every_call_ends_once_over_tcp() {
    for seed in 0..seeds(50) {
        play(seed, true);
    }
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in [3, 14] {
        assert_eq!(
            play(seed, false).0.network.trace().to_string(),
            play(seed, false).0.network.trace().to_string()
        );
    }
}
