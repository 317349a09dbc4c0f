//! Whole calls on the virtual network: a caller, the exchange and a callee in one thread, on virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod busy_hour;
mod flood;
mod lawful;
mod node;
mod plane;
mod stranger;
mod stun;
mod telephone;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use denwa_sim::host::Prefix;
use denwa_sim::vpn::Renaming;
use denwa_sim::{HostId, Link, Network, Protocol};
use denwa_sip_core::io::Protocol as SipProtocol;
use node::Node;
use pbx::config::{Config, Listen};
use pbx::exchange::ExchangeConfig;
use pbx::policy::directory::Directory;
use pbx::store::{Outcome, StoredBinding};
use stranger::Stranger;
use telephone::{Habits, Telephone};

type Name<M> = denwa_sim::Node<M>;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn sip(text: &str) -> SocketAddr {
    SocketAddr::new(ip(text), 5060)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn config(more: &str, registrations: Vec<StoredBinding>) -> ExchangeConfig {
    let extension =
        |number: &str| format!("[[extensions]]\nnumber = \"{number}\"\npassword = \"secret-{number}\"\n");
    let quiet = "[calls]\nannouncements = false\n";
    let more =
        if more.contains("[calls]\n") { more.replace("[calls]\n", quiet) } else { format!("{more}{quiet}") };
    let file = Config::parse(&format!("{}{}{more}", extension("1001"), extension("1002"))).unwrap();
    config_of(file, registrations)
}

fn config_of(file: Config, registrations: Vec<StoredBinding>) -> ExchangeConfig {
    ExchangeConfig {
        directory: Directory::new(&file, &[], None),
        file,
        registrations,
        listening: vec![
            Listen { protocol: SipProtocol::Udp, address: "0.0.0.0:5060".parse().unwrap() },
            Listen { protocol: SipProtocol::Tcp, address: "0.0.0.0:5060".parse().unwrap() },
        ],
        identity: None,
        first_call: 1,
        time: SystemTime::UNIX_EPOCH + seconds(1_800_000_000),
    }
}

fn exchange(network: &mut Network, host: HostId, config: ExchangeConfig) -> Name<Node> {
    let (seed, now) = (network.seed(), network.now());
    network.add_machine(host, Node::new(config, seed, now)).unwrap()
}

fn telephone(
    network: &mut Network,
    host: HostId,
    number: &str,
    own: &str,
    server: &str,
    habits: Habits,
) -> Name<Telephone> {
    let (seed, now) = (network.seed(), network.now());
    let telephone = Telephone::new(number, sip(own), sip(server), habits, seed, now);
    network.add_machine(host, telephone).unwrap()
}

fn caller() -> Habits {
    Habits { dials: Some("1002".to_owned()), talks_for: Some(seconds(5)), ..Habits::default() }
}

fn callee() -> Habits {
    Habits { answers_after: Some(seconds(2)), ..Habits::default() }
}

/// A caller, the exchange and a callee on one Internet.
struct Trio {
    network: Network,
    alice: Name<Telephone>,
    exchange: Name<Node>,
    bob: Name<Telephone>,
}

impl Trio {
    fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, caller(), callee())
    }

    fn with(seed: u64, link: Link, caller: Habits, callee: Habits) -> Self {
        let mut network = Network::new(seed);
        let internet = network.internet();
        network.set_link(internet, link).unwrap();
        let hosts = [("exchange", "192.0.2.1"), ("bob", "192.0.2.3"), ("alice", "192.0.2.2")]
            .map(|(name, address)| network.add_host(name, internet, &[ip(address)]).unwrap());
        let exchange = exchange(&mut network, hosts[0], config("", Vec::new()));
        let bob = telephone(&mut network, hosts[1], "1002", "192.0.2.3", "192.0.2.1", callee);
        // Bob is registered before Alice calls.
        network.run_for(seconds(1));
        let alice = telephone(&mut network, hosts[2], "1001", "192.0.2.2", "192.0.2.1", caller);
        Self { network, alice, exchange, bob }
    }

    fn exchange(&self) -> &Node {
        self.network.machine(self.exchange).unwrap()
    }

    fn alice(&self) -> &Telephone {
        self.network.machine(self.alice).unwrap()
    }

    fn bob(&self) -> &Telephone {
        self.network.machine(self.bob).unwrap()
    }
}

#[test]
fn a_call_from_the_first_register_to_the_record() {
    let mut trio = Trio::new(1, Link::default());
    trio.network.run_for(seconds(20));
    assert_eq!(
        trio.alice().told,
        ["registered", "hears 180", "is told 192.0.2.1", "is answered", "call over: HungUp"]
    );
    assert_eq!(
        trio.bob().told,
        ["registered", "rings for 1001", "is told 192.0.2.1", "talks", "call over: HungUp"]
    );
    // Five seconds at fifty packets a second, less what the ACK and the BYE take to arrive.
    for heard in [trio.alice().heard, trio.bob().heard] {
        assert!((240..=252).contains(&heard), "{heard} packets heard");
    }
    let record = &trio.exchange().records[0];
    assert_eq!((record.outcome, record.status, record.codec.as_str()), (Outcome::Answered, 200, "PCMA/PCMA"));
    assert_eq!((record.caller.as_str(), record.dialled.as_str()), ("1001", "1002"));
    assert_eq!(record.cause, "", "a healthy call needs no explanation: {}", record.evidence);
    let talked = record.ended_at.duration_since(record.answered_at.unwrap()).unwrap();
    assert!(talked >= seconds(5) && talked < seconds(6), "{talked:?}");
    assert_eq!(trio.exchange().exchange.counts().ports, 0);
    assert_eq!(trio.exchange().plane.open_legs(), 0);
    assert_eq!(trio.network.trace().faults(), 0, "{}", trio.network.trace());
}

#[test]
fn a_lossy_run_with_a_fixed_seed_gives_the_same_trace_every_time() {
    let run = |seed| {
        let mut trio = Trio::new(seed, Link::bad(0.2));
        trio.network.run_for(seconds(120));
        (trio.network.trace().to_string(), trio.exchange().records.len())
    };
    let (first, calls) = run(7);
    assert_eq!(calls, 1, "the call took place in spite of it");
    assert_eq!(run(7).0, first);
    assert_ne!(run(8).0, first);
}

#[test]
fn whatever_is_lost_no_call_is_left_over() {
    // .ci/nightly sets many more.
    let seeds = std::env::var("DENWA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let lost = [0.05, 0.2, 0.4, 0.5][usize::try_from(seed % 4).unwrap()];
        let mut trio = Trio::new(seed, Link::bad(lost));
        trio.network.run_for(seconds(600));
        let counts = trio.exchange().exchange.counts();
        assert_eq!(
            (counts.calls, counts.ports),
            (0, 0),
            "seed {seed}, {lost} lost:\n{}",
            trio.network.trace()
        );
        assert_eq!((counts.sip.calls, counts.sip.dialogs), (0, 0), "seed {seed}");
        assert!(trio.alice().is_idle() && trio.bob().is_idle(), "seed {seed}");
        assert_eq!(trio.exchange().plane.open_legs(), 0, "seed {seed}");
    }
}

#[test]
fn nobody_answers_and_the_bell_falls_silent() {
    let mut trio = Trio::with(3, Link::default(), caller(), Habits::default());
    trio.network.run_for(seconds(100));
    assert!(trio.bob().told.contains(&"call over: Cancelled".to_owned()), "{:?}", trio.bob().told);
    assert_eq!(trio.exchange().records[0].outcome, Outcome::Unanswered);
    assert_eq!(trio.exchange().records[0].cause, "Nobody answered within 60 s.");
}

#[test]
fn a_telephone_that_vanishes_is_missed() {
    let mut trio = Trio::with(4, Link::default(), Habits { talks_for: None, ..caller() }, callee());
    trio.network.run_for(seconds(8));
    let bob = trio.network.host_of(trio.bob).unwrap();
    trio.network.set_silent(bob, true).unwrap();
    // A line that swallows everything: nothing is heard of him any more.
    trio.network.set_line(bob, 0, Link::bad(1.0), Link::bad(1.0)).unwrap();
    trio.network.run_for(seconds(110));
    let record = &trio.exchange().records[0];
    assert_eq!(record.outcome, Outcome::Broken);
    assert!(
        record.cause.starts_with("The voice packets of the callee at 192.0.2.3:4002 stopped 30 s ago"),
        "{}",
        record.cause
    );
    assert!(trio.alice().told.contains(&"call over: HungUp".to_owned()));
    let counts = trio.exchange().exchange.counts();
    assert_eq!((counts.calls, counts.ports), (0, 0));
}

#[test]
fn a_store_that_keeps_nothing_acknowledges_nothing() {
    let mut network = Network::new(5);
    let internet = network.internet();
    let hosts = ["192.0.2.1", "192.0.2.3"]
        .map(|address| network.add_host(address, internet, &[ip(address)]).unwrap());
    let exchange = exchange(&mut network, hosts[0], config("", Vec::new()));
    network.with(exchange, |node, _| node.store_works = false);
    let bob = telephone(&mut network, hosts[1], "1002", "192.0.2.3", "192.0.2.1", callee());
    network.run_for(seconds(5));
    let told = &network.machine(bob).unwrap().told;
    assert!(told[0].starts_with("not registered"), "{told:?}");
    let node = network.machine(exchange).unwrap();
    let events: Vec<String> = node.events.iter().map(ToString::to_string).collect();
    assert!(
        events.iter().any(|event| event
            == "the registration of 1002 was refused, for it could not be kept: the disk is full"),
        "{events:?}"
    );
}

#[test]
fn whoever_is_registered_stays_so_while_the_store_keeps_nothing() {
    let mut trio = Trio::with(6, Link::default(), Habits::default(), callee());
    trio.network.run_for(seconds(5));
    let exchange = trio.exchange;
    trio.network.with(exchange, |node, _| node.store_works = false);
    // Longer than a registration lasts.
    trio.network.run_for(seconds(3_600));
    let events: Vec<String> = trio.exchange().events.iter().map(ToString::to_string).collect();
    assert!(
        !events.iter().any(|event| event.contains("was refused") || event.contains("expired")),
        "{events:?}"
    );
    assert_eq!(trio.exchange().exchange.counts().sip.bindings, 2);
}

#[test]
fn a_clock_that_is_set_is_followed_and_ends_nothing() {
    let mut trio = Trio::new(6, Link::default());
    trio.network.run_for(seconds(5));
    let exchange = trio.exchange;
    let before = SystemTime::UNIX_EPOCH + seconds(1_800_000_000);
    let day = seconds(86_400);
    trio.network.with(exchange, |node, now| node.give(pbx::exchange::Input::Clock(before + day), now));
    trio.network.run_for(seconds(20));
    let node = trio.exchange();
    let events: Vec<String> = node.events.iter().map(ToString::to_string).collect();
    assert!(
        events.iter().any(|event| event.starts_with("the clock of this machine went forward by 8639")),
        "{events:?}"
    );
    assert_eq!(node.exchange.counts().sip.bindings, 2);
    let record = &node.records[0];
    assert_eq!(record.outcome, Outcome::Answered);
    assert!(record.ended_at > before + day && record.ended_at < before + day + seconds(60), "{record:?}");
}

#[test]
fn what_the_store_kept_is_called_at_once_by_the_next_exchange() {
    let mut first = Trio::with(6, Link::default(), Habits::default(), callee());
    first.network.run_for(seconds(5));
    let kept: Vec<StoredBinding> = first.exchange().bindings.values().flatten().cloned().collect();
    assert_eq!(kept.len(), 2);

    let mut network = Network::new(60);
    let internet = network.internet();
    let hosts = [("exchange", "192.0.2.1"), ("bob", "192.0.2.3"), ("alice", "192.0.2.2")]
        .map(|(name, address)| network.add_host(name, internet, &[ip(address)]).unwrap());
    // Bob registers nowhere this time: his server does not exist.
    let bob = telephone(&mut network, hosts[1], "1002", "192.0.2.3", "192.0.2.99", callee());
    let exchange = exchange(&mut network, hosts[0], config("", kept));
    let alice = telephone(&mut network, hosts[2], "1001", "192.0.2.2", "192.0.2.1", caller());
    network.run_for(seconds(20));
    assert!(network.machine(bob).unwrap().told.contains(&"talks".to_owned()), "{}", network.trace());
    assert!(network.machine(alice).unwrap().told.contains(&"is answered".to_owned()));
    assert_eq!(network.machine(exchange).unwrap().records[0].outcome, Outcome::Answered);
}

/// The exchange behind a router, beside a VPN; telephones in the house and beyond, and a neighbour in the VPN.
struct House {
    network: Network,
    exchange: Name<Node>,
    far: HostId,
    near: HostId,
    neighbour: HostId,
}

impl House {
    fn new(seed: u64, more: &str) -> Self {
        let mut network = Network::new(seed);
        let internet = network.internet();
        let lan = network.add_segment("lan", &[Prefix::new(ip("192.168.1.0"), 24)], Link::default());
        let vpn = network.add_segment("vpn", &[Prefix::new(ip("100.64.0.0"), 10)], Link::default());
        let router = network.add_host("router", lan, &[ip("192.168.1.1")]).unwrap();
        network.attach(router, internet, &[ip("203.0.113.9")]).unwrap();
        network.set_forwarding(router, true).unwrap();
        network.set_gateway(lan, ip("192.168.1.1")).unwrap();
        // A fixed translation: to the telephone beyond and to the STUN server the exchange is the router's outside.
        let outside =
            ["198.51.100.7", "198.51.100.53"].into_iter().fold(Renaming::new(), |outside, viewer| {
                outside.shows(ip(viewer), ip("192.168.1.2"), ip("203.0.113.9"))
            });
        network.add_middlebox(router, outside).unwrap();
        let stun = network.add_host("stun", internet, &[ip("198.51.100.53")]).unwrap();
        let server = network.add_machine(stun, stun::StunServer::default()).unwrap();
        network.bind(server, Protocol::Udp, "198.51.100.53:3478".parse().unwrap()).unwrap();
        let house = network.add_host("exchange", lan, &[ip("192.168.1.2")]).unwrap();
        network.attach(house, vpn, &[ip("100.110.20.5")]).unwrap();
        let near = network.add_host("near", lan, &[ip("192.168.1.7")]).unwrap();
        let far = network.add_host("far", internet, &[ip("198.51.100.7")]).unwrap();
        let neighbour = network.add_host("neighbour", vpn, &[ip("100.110.206.106")]).unwrap();
        let trunk = "[[trunks]]\nname = \"vpn\"\naddress = \"udp:100.110.206.106\"\n\
                     [[routes]]\nprefix = \"9\"\ntrunk = \"vpn\"\n";
        let exchange = exchange(&mut network, house, config(&format!("{more}{trunk}"), Vec::new()));
        network.run_for(seconds(1));
        Self { network, exchange, far, near, neighbour }
    }

    fn told(&self, telephone: Name<Telephone>) -> &[String] {
        &self.network.machine(telephone).unwrap().told
    }

    /// A call from the house to the telephone beyond, then one to the neighbour; each is told its address, and voice flows.
    fn calls(&mut self) {
        let network = &mut self.network;
        let beyond = telephone(network, self.far, "1002", "198.51.100.7", "203.0.113.9", callee());
        let trunk = telephone(network, self.neighbour, "1009", "100.110.206.106", "100.110.20.5", callee());
        network.run_for(seconds(1));
        let inside = telephone(network, self.near, "1001", "192.168.1.7", "192.168.1.2", caller());
        network.run_for(seconds(20));
        let habits = Habits { dials: Some("9200".to_owned()), ..caller() };
        let own: SocketAddr = "192.168.1.7:5070".parse().unwrap();
        let (seed, now) = (network.seed(), network.now());
        let again = Telephone::new("1001", own, sip("192.168.1.2"), habits, seed, now);
        let again = network.add_machine(self.near, again).unwrap();
        network.run_for(seconds(20));
        let is_told = |telephone, address: &str| {
            assert!(
                self.told(telephone).contains(&format!("is told {address}")),
                "{address}: {:?}",
                self.told(telephone)
            );
        };
        is_told(inside, "192.168.1.2");
        is_told(beyond, "203.0.113.9");
        is_told(trunk, "100.110.20.5");
        for node in [inside, beyond, again, trunk] {
            let heard = self.network.machine(node).unwrap().heard;
            assert!(heard > 200, "{heard} packets heard by {:?}", self.told(node));
        }
        let outcomes: Vec<Outcome> = self
            .network
            .machine(self.exchange)
            .unwrap()
            .records
            .iter()
            .map(|record| record.outcome)
            .collect();
        assert_eq!(outcomes, [Outcome::Answered, Outcome::Answered]);
    }

    fn events(&self) -> Vec<String> {
        self.network.machine(self.exchange).unwrap().events.iter().map(ToString::to_string).collect()
    }
}

const LOCAL: &str = "local = [\"192.168.0.0/16\"]\n";

#[test]
fn each_peer_is_told_the_address_that_is_right_for_it() {
    House::new(9, &format!("[network]\nexternal = \"203.0.113.9\"\n{LOCAL}")).calls();
}

#[test]
fn the_external_address_is_learned_from_a_stun_server() {
    let mut house = House::new(11, &format!("[network]\nstun = \"198.51.100.53:3478\"\n{LOCAL}"));
    house.calls();
    let told = "peers beyond the local networks are told the address 203.0.113.9: the STUN server 198.51.100.53:3478 sees it";
    assert_eq!(house.events().iter().filter(|event| *event == told).count(), 1, "{:?}", house.events());
}

#[test]
fn a_stun_server_that_is_not_there_is_missed_and_the_route_decides() {
    let mut house = House::new(12, &format!("[network]\nstun = \"198.51.100.99:3478\"\n{LOCAL}"));
    house.network.run_for(seconds(60));
    let events = house.events();
    let missed = "the external address is not known: the STUN server 198.51.100.99:3478 does not answer; peers are told \
                  the address the route to them leaves by";
    assert!(events.iter().any(|event| event == missed), "{events:?}");
}

/// A VPN shows each end the other under a name of its own, and routes nothing else. The exchange alone cures it: the
/// neighbour is a plain telephone that sends voice where it is told and back to where it comes from.
#[test]
fn voice_finds_its_way_through_a_vpn_that_renames_both_ends() {
    for exchange_calls in [true, false] {
        let mut network = Network::new(13);
        let internet = network.internet();
        let ours = network.add_segment("vpn-here", &[Prefix::new(ip("100.110.0.0"), 16)], Link::default());
        let theirs = network.add_segment("vpn-there", &[Prefix::new(ip("100.70.0.0"), 16)], Link::default());
        let hub = network.add_host("hub", ours, &[ip("100.110.0.1"), ip("100.110.206.106")]).unwrap();
        network.attach(hub, theirs, &[ip("100.70.0.1"), ip("100.70.33.7")]).unwrap();
        network.set_forwarding(hub, true).unwrap();
        network.set_gateway(theirs, ip("100.70.0.1")).unwrap();
        let (here, there) = (ip("100.110.20.5"), ip("100.70.198.29"));
        let renaming =
            Renaming::new().shows(here, there, ip("100.110.206.106")).shows(there, here, ip("100.70.33.7"));
        network.add_middlebox(hub, renaming).unwrap();
        let host = network.add_host("exchange", internet, &[ip("198.51.100.1")]).unwrap();
        network.attach(host, ours, &[here]).unwrap();
        let lan = network.add_host("lan", internet, &[ip("198.51.100.2")]).unwrap();
        let far = network.add_host("neighbour", theirs, &[there]).unwrap();

        let more = "[[trunks]]\nname = \"vpn\"\naddress = \"udp:100.110.206.106\"\n\
                    [[routes]]\nprefix = \"9\"\ntrunk = \"vpn\"\n";
        let exchange = exchange(&mut network, host, config(more, Vec::new()));
        network.run_for(seconds(1));
        let (inside, neighbour) = if exchange_calls {
            let neighbour = telephone(&mut network, far, "1009", "100.70.198.29", "100.70.33.7", callee());
            network.run_for(seconds(3));
            let habits = Habits { dials: Some("9200".to_owned()), ..caller() };
            (telephone(&mut network, lan, "1001", "198.51.100.2", "198.51.100.1", habits), neighbour)
        } else {
            let inside = telephone(&mut network, lan, "1002", "198.51.100.2", "198.51.100.1", callee());
            network.run_for(seconds(3));
            let habits = Habits { calls_unregistered_after: Some(seconds(70)), ..caller() };
            let neighbour = telephone(&mut network, far, "1009", "100.70.198.29", "100.70.33.7", habits);
            // By then it has been asked by OPTIONS whether it lives.
            network.run_for(seconds(70));
            (inside, neighbour)
        };
        network.run_for(seconds(20));
        let node = network.machine(exchange).unwrap();
        assert_eq!(node.records.len(), 1, "{}", network.trace());
        let told = network.machine(neighbour).unwrap().told.clone();
        assert!(told.contains(&"is told 100.70.33.7".to_owned()), "{told:?}");
        for telephone in [inside, neighbour] {
            let heard = network.machine(telephone).unwrap().heard;
            assert!(
                heard > 200,
                "{heard} packets heard, exchange calls: {exchange_calls}\n{}",
                node.records[0].evidence
            );
        }
    }
}

#[test]
fn shutting_down_hangs_up_and_stops() {
    let mut trio = Trio::with(10, Link::default(), Habits { talks_for: None, ..caller() }, callee());
    trio.network.run_for(seconds(8));
    trio.network.with(trio.exchange, |node: &mut Node, now: Instant| {
        node.give(pbx::exchange::Input::ShutDown, now);
    });
    trio.network.run_for(seconds(3));
    assert!(trio.exchange().stopped);
    assert_eq!(trio.exchange().records.len(), 1);
    for telephone in [trio.alice(), trio.bob()] {
        assert!(telephone.told.contains(&"call over: HungUp".to_owned()), "{:?}", telephone.told);
    }
}

/// A stranger on the same host as a registered telephone: the same address, another port.
fn stranger_beside_alice(make: fn(u32) -> String, times: u32) -> (Trio, Name<Stranger>) {
    let habits = Habits { dials: None, ..caller() };
    let mut trio = Trio::with(20, Link::default(), habits, callee());
    trio.network.run_for(seconds(2));
    let host = trio.network.host_of(trio.alice).unwrap();
    let now = trio.network.now();
    let own: SocketAddr = "192.0.2.2:7000".parse().unwrap();
    let stranger = Stranger::new(own, sip("192.0.2.1"), times, Duration::from_millis(200), make, now);
    let stranger = trio.network.add_machine(host, stranger).unwrap();
    (trio, stranger)
}

/// Registered Alice still calls, whatever was done beside her.
fn alice_still_calls(trio: &mut Trio) {
    trio.network.with(trio.alice, |alice: &mut Telephone, now| alice.dial("1002", now));
    trio.network.run_for(seconds(10));
    assert!(trio.alice().told.contains(&"is answered".to_owned()), "{:?}", trio.alice().told);
}

#[test]
fn a_scanner_by_its_own_name_is_banned_at_once_and_the_telephone_beside_it_is_not() {
    let (mut trio, stranger) = stranger_beside_alice(
        |number| stranger::request("OPTIONS", number, "User-Agent: friendly-scanner\r\n"),
        50,
    );
    trio.network.run_for(seconds(15));
    assert_eq!(trio.network.machine(stranger).unwrap().replies, 1, "the first was answered, then nothing");
    let events: Vec<String> = trio.exchange().events.iter().map(ToString::to_string).collect();
    let banned = "192.0.2.2 is banned for 300 s (a scanner by its own name; ban 1 in a row). Pardon the address, \
                  or put its network among those that are never refused, if it is wanted.";
    assert!(events.iter().any(|event| event == banned), "{events:?}");
    alice_still_calls(&mut trio);
}

#[test]
fn calls_without_a_password_are_challenged_a_few_times_only() {
    let (mut trio, stranger) = stranger_beside_alice(|number| stranger::request("INVITE", number, ""), 100);
    trio.network.run_for(seconds(60));
    let replies = trio.network.machine(stranger).unwrap().replies;
    // Each challenge is repeated until it is acknowledged, which a stranger like this never does.
    assert!(replies < 150, "{replies}");
    let challenged = trio.exchange().exchange.counts();
    assert_eq!(challenged.calls, 0);
    assert!(trio.exchange().events.iter().any(|event| matches!(event, pbx::exchange::Event::Banned { .. })));
    alice_still_calls(&mut trio);
}

/// Three exchanges in a row: P – Q – R, each with prefixes of its own for its neighbours.
struct Row {
    network: Network,
    exchanges: Vec<Name<Node>>,
    telephones: Vec<HostId>,
}

impl Row {
    fn new(seed: u64, routes: [&str; 3]) -> Self {
        let mut network = Network::new(seed);
        let internet = network.internet();
        let trunk = |name: &str, address: &str| {
            format!("[[trunks]]\nname = \"{name}\"\naddress = \"udp:{address}\"\n")
        };
        let trunks = [
            trunk("q", "192.0.2.11"),
            trunk("p", "192.0.2.1") + &trunk("r", "192.0.2.21"),
            trunk("q", "192.0.2.11"),
        ];
        let own = [("192.0.2.1", "192.0.2.5"), ("192.0.2.11", "192.0.2.15"), ("192.0.2.21", "192.0.2.25")];
        let mut exchanges = Vec::new();
        let mut telephones = Vec::new();
        for ((trunks, routes), (address, phone)) in trunks.iter().zip(routes).zip(own) {
            let host = network.add_host(&format!("exchange {address}"), internet, &[ip(address)]).unwrap();
            let config = config(&format!("{trunks}{routes}"), Vec::new());
            exchanges.push(exchange(&mut network, host, config));
            telephones.push(network.add_host(&format!("phone {phone}"), internet, &[ip(phone)]).unwrap());
        }
        network.run_for(seconds(3));
        Self { network, exchanges, telephones }
    }
}

fn route(prefix: &str, trunk: &str) -> String {
    format!("[[routes]]\nprefix = \"{prefix}\"\ntrunk = \"{trunk}\"\n")
}

#[test]
fn the_number_shown_after_two_hops_leads_back_to_the_caller() {
    let routes = [route("05", "q"), route("07", "p") + &route("06", "r"), route("08", "q")];
    let mut row = Row::new(30, [&routes[0], &routes[1], &routes[2]]);
    let network = &mut row.network;
    let carol = telephone(network, row.telephones[2], "1002", "192.0.2.25", "192.0.2.21", callee());
    let answering = Habits { answers_after: Some(seconds(1)), ..Habits::default() };
    let dialling = Habits { dials: Some("05061002".to_owned()), talks_for: Some(seconds(5)), ..answering };
    network.run_for(seconds(2));
    let alice = telephone(network, row.telephones[0], "1001", "192.0.2.5", "192.0.2.1", dialling);
    network.run_for(seconds(15));
    let told = network.machine(carol).unwrap().told.clone();
    assert!(told.contains(&"rings for 08071001".to_owned()), "{told:?}");
    assert!(network.machine(alice).unwrap().heard > 200);

    // Carol calls back what she saw.
    network.with(carol, |carol: &mut Telephone, now| carol.dial("08071001", now));
    network.run_for(seconds(15));
    let told = network.machine(alice).unwrap().told.clone();
    assert!(told.contains(&"rings for 05061002".to_owned()), "{told:?}");
    for node in &row.exchanges {
        let records = &network.machine(*node).unwrap().records;
        // There and back; the second call is still going on.
        assert_eq!(records.iter().map(|record| record.outcome).collect::<Vec<_>>(), [Outcome::Answered]);
    }
}

#[test]
fn a_call_that_goes_in_a_circle_is_stopped() {
    // Q and R send the same digits to each other.
    let circle = |trunk: &str| format!("[[routes]]\nprefix = \"0\"\nstrip = 0\ntrunk = \"{trunk}\"\n");
    let routes = [circle("q"), circle("r"), circle("q")];
    let mut row = Row::new(31, [&routes[0], &routes[1], &routes[2]]);
    let network = &mut row.network;
    let dialling = Habits { dials: Some("0123".to_owned()), ..Habits::default() };
    let alice = telephone(network, row.telephones[0], "1001", "192.0.2.5", "192.0.2.1", dialling);
    network.run_for(seconds(15));
    let told = network.machine(alice).unwrap().told.clone();
    assert!(told.contains(&"call over: Refused".to_owned()), "{told:?}");
    let stopped: Vec<String> = row.exchanges[1..]
        .iter()
        .flat_map(|node| network.machine(*node).unwrap().records.iter().map(|record| record.cause.clone()))
        .filter(|cause| cause.starts_with("The call has come by too many exchanges"))
        .collect();
    assert_eq!(stopped.len(), 1, "one of them noticed");
    for node in &row.exchanges {
        assert_eq!(network.machine(*node).unwrap().exchange.counts().calls, 0);
    }
}

#[test]
fn a_trunk_with_an_account_is_registered_with_and_called_with_its_password() {
    let mut network = Network::new(32);
    let internet = network.internet();
    let far = network.add_host("company", internet, &[ip("192.0.2.11")]).unwrap();
    let near = network.add_host("exchange", internet, &[ip("192.0.2.1")]).unwrap();
    let lines = ["192.0.2.5", "192.0.2.15"]
        .map(|address| network.add_host(address, internet, &[ip(address)]).unwrap());
    // To the company we are its extension 1001.
    let company = exchange(&mut network, far, config("", Vec::new()));
    let more = "[[trunks]]\nname = \"company\"\naddress = \"udp:192.0.2.11\"\nuser = \"1001\"\n\
                password = \"secret-1001\"\nregister = true\nincoming = \"1002\"\n\
                [[routes]]\nprefix = \"0\"\ntrunk = \"company\"\n";
    let ours = exchange(&mut network, near, config(more, Vec::new()));
    network.run_for(seconds(3));
    let events: Vec<String> = network.machine(ours).unwrap().events.iter().map(ToString::to_string).collect();
    assert!(events.contains(&"registered with the trunk company for 600 s".to_owned()), "{events:?}");

    // Out: our 1001 calls the company's 1002.
    let customer = telephone(&mut network, lines[1], "1002", "192.0.2.15", "192.0.2.11", callee());
    network.run_for(seconds(2));
    let out = Habits { dials: Some("01002".to_owned()), ..caller() };
    let inside = telephone(&mut network, lines[0], "1001", "192.0.2.5", "192.0.2.1", out);
    network.run_for(seconds(15));
    assert!(network.machine(inside).unwrap().heard > 200);

    // In: the customer calls our account, and our 1002 rings.
    let own: SocketAddr = "192.0.2.5:5070".parse().unwrap();
    let (seed, now) = (network.seed(), network.now());
    let ringing = Telephone::new("1002", own, sip("192.0.2.1"), callee(), seed, now);
    let ringing = network.add_machine(lines[0], ringing).unwrap();
    network.run_for(seconds(2));
    network.with(customer, |customer: &mut Telephone, now| customer.dial("1001", now));
    network.run_for(seconds(15));
    let told = network.machine(ringing).unwrap().told.clone();
    assert!(told.contains(&"rings for 01002".to_owned()), "{told:?}");
    // The call out; the one in is still going on.
    let records = &network.machine(company).unwrap().records;
    assert_eq!(records.iter().map(|record| record.outcome).collect::<Vec<_>>(), [Outcome::Answered]);
}
