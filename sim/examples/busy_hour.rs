//! A busy hour of 35 exchanges with 240 telephones, in seconds: how much the virtual network carries, and that it is the same each time.
//!
//! The telephones are toys: each calls another now and then, through its exchange and the other's, and both send a packet every 20 ms.
//! `cargo run --release -p denwa-sim --example busy_hour [MINUTES]`
#![allow(clippy::unwrap_used)]

use denwa_sim::random::Random;
use denwa_sim::trace::Detail;
use denwa_sim::{Input, Link, Machine, Network, Node, Output, Protocol, Transmit};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const EXCHANGES: u16 = 35;
const TELEPHONES: u16 = 240;
const PACKET: Duration = Duration::from_millis(20);

/// Who stands where: exchange `n` is 10.n.0.1, its telephones 10.n.1.x.
fn exchange_of(telephone: u16) -> u16 {
    telephone % EXCHANGES
}

fn exchange_address(number: u16) -> SocketAddr {
    (IpAddr::from([10, number as u8, 0, 1]), 5060).into()
}

fn telephone_address(number: u16) -> SocketAddr {
    (IpAddr::from([10, exchange_of(number) as u8, 1, (number / EXCHANGES) as u8 + 1]), 5060).into()
}

/// Passes on what says whom it is for.
struct Exchange(VecDeque<Output>);

impl Machine for Exchange {
    fn handle_input(&mut self, input: Input<'_>, _now: Instant) {
        let Input::Datagram { local, payload, .. } = input else { return };
        let Some(callee) = payload.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes)) else { return };
        let home = exchange_address(exchange_of(callee));
        let next = if home == local { telephone_address(callee) } else { home };
        self.0.push_back(Output::Transmit(Transmit::datagram(Some(local), next, payload.to_vec())));
    }
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_output(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Calls somebody every few minutes and talks for a while; whoever is called talks back.
struct Telephone {
    number: u16,
    random: Random,
    outputs: VecDeque<Output>,
    call_at: Instant,
    talks_to: Option<(u16, Instant)>,
    packet_at: Option<Instant>,
    heard: u64,
}

impl Telephone {
    fn send(&mut self, to: u16) {
        let mut packet = vec![0; 172];
        packet[..2].copy_from_slice(&to.to_be_bytes());
        packet[2..4].copy_from_slice(&self.number.to_be_bytes());
        let exchange = exchange_address(exchange_of(self.number));
        let own = telephone_address(self.number);
        self.outputs.push_back(Output::Transmit(Transmit::datagram(Some(own), exchange, packet)));
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(60_000 + self.random.below(1_200_000))
    }
}

impl Machine for Telephone {
    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let Input::Datagram { payload, .. } = input else { return };
        let Some([_, _, b0, b1]) = payload.first_chunk::<4>() else { return };
        let caller = u16::from_be_bytes([*b0, *b1]);
        self.heard += 1;
        match &mut self.talks_to {
            Some((peer, until)) if *peer == caller => *until = (*until).max(now + Duration::from_millis(200)),
            Some(_) => {} // engaged
            None => {
                self.talks_to = Some((caller, now + Duration::from_millis(200)));
                self.packet_at = Some(now + PACKET);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.packet_at.is_some_and(|at| at <= now)
            && let Some((peer, until)) = self.talks_to
        {
            self.packet_at = (until > now).then(|| now + PACKET);
            if until <= now {
                self.talks_to = None;
            } else {
                self.send(peer);
            }
        }
        if self.call_at <= now {
            self.call_at = now + self.pause();
            let callee = self.random.below(u64::from(TELEPHONES)) as u16;
            if self.talks_to.is_none() && callee != self.number {
                let talk = Duration::from_millis(20_000 + self.random.below(160_000));
                self.talks_to = Some((callee, now + talk));
                self.packet_at = Some(now + PACKET);
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.packet_at.map_or(self.call_at, |at| at.min(self.call_at)))
    }
}

fn run(seed: u64, minutes: u64) -> (u64, u64) {
    let mut network = Network::new(seed);
    network.set_detail(Detail::Events);
    let internet = network.internet();
    network
        .set_link(internet, Link { jitter: Duration::from_millis(5), ..Link::default().lossy(0.002) })
        .unwrap();
    for number in 0..EXCHANGES {
        let address = exchange_address(number);
        let host = network.add_host(&format!("exchange{number}"), internet, &[address.ip()]).unwrap();
        let node = network.add_machine(host, Exchange(VecDeque::new())).unwrap();
        network.bind(node, Protocol::Udp, address).unwrap();
    }
    let mut telephones: BTreeMap<u16, Node<Telephone>> = BTreeMap::new();
    for number in 0..TELEPHONES {
        let address = telephone_address(number);
        let host = network.add_host(&format!("telephone{number}"), internet, &[address.ip()]).unwrap();
        let mut random = Random::derive(seed, u64::from(number));
        let call_at = network.now() + Duration::from_millis(random.below(600_000));
        let (outputs, talks_to, packet_at) = (VecDeque::new(), None, None);
        let telephone = Telephone { number, random, outputs, call_at, talks_to, packet_at, heard: 0 };
        let node = network.add_machine(host, telephone).unwrap();
        network.bind(node, Protocol::Udp, address).unwrap();
        telephones.insert(number, node);
    }
    network.run_for(Duration::from_secs(60 * minutes));
    let heard = telephones.values().filter_map(|node| network.machine(*node)).map(|it| it.heard).sum();
    (heard, network.trace().digest())
}

fn main() {
    let minutes = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let start = Instant::now();
    let (heard, digest) = run(1, minutes);
    let elapsed = start.elapsed();
    println!(
        "{minutes} minutes of {TELEPHONES} telephones on {EXCHANGES} exchanges took {:.1} s",
        elapsed.as_secs_f64()
    );
    println!(
        "{heard} packets heard after three hops each, {:.2} µs a hop",
        elapsed.as_secs_f64() * 1e6 / (heard * 3).max(1) as f64
    );
    let again = run(1, minutes.min(5));
    assert_eq!(again, run(1, minutes.min(5)), "the same seed gives the same run");
    println!("log digest {digest:016x}");
}
