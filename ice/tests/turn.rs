//! The TURN client and the TURN server, against each other in the virtual network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use denwa_ice::Protocol;
use denwa_ice::stun::attribute::{Lifetime, RequestedTransport, XorPeerAddress};
use denwa_ice::stun::{AttributeKind, Class, ErrorCode, Message, Method, TransactionId, Writer};
use denwa_ice::turn::client::{ClientConfig, ClientEvent, EndReason, RequestFailure, ServerAddress};
use denwa_ice::turn::server::{
    AllocationEnd, Claim, CredentialSource, PeerPolicy, Refusal, RelayRange, Secret, ServerConfig,
    ServerEvent, Users, time_limited_password,
};
use denwa_sim::laws::{Bounds, Subject};
use denwa_sim::{self as sim, Link, Network, Node, Stimulus};
use std::net::SocketAddr;
use std::time::Duration;

const SERVER: &str = "198.51.100.1:3478";
const CLIENT: &str = "192.0.2.1:5000";
const PEER: &str = "203.0.113.9:7000";

fn users() -> CredentialSource {
    CredentialSource::Users(Users::from_iter([("alice", "secret"), ("bob", "hidden")]))
}

fn relays() -> Vec<RelayRange> {
    ["198.51.100.1", "2001:db8::1"]
        .map(|address| RelayRange { local: ip(address), external: ip(address), ports: vec![50_000..=50_099] })
        .to_vec()
}

fn server_config() -> ServerConfig {
    ServerConfig::new("denwa.example", users(), relays())
}

fn client_config(protocol: Protocol) -> ClientConfig {
    let server = ServerAddress { address: at(SERVER), protocol, name: None };
    ClientConfig::new(server, "alice", "secret")
}

struct Lab {
    network: Network,
    server: Node<ServerNode>,
    client: Node<ClientNode>,
    peer: Node<Peer>,
}

fn lab(server: ServerConfig, client: ClientConfig) -> Lab {
    lab_with(server, client, Link::default())
}

fn lab_with(server: ServerConfig, client: ClientConfig, link: Link) -> Lab {
    let mut network = Network::new(11);
    let internet = network.internet();
    network.set_link(internet, link).unwrap();
    let addresses = [ip("198.51.100.1"), ip("198.51.100.2"), ip("2001:db8::1")];
    let host = network.add_host("server", internet, &addresses).unwrap();
    let (seed, now) = (network.seed(), network.now());
    let server = network.add_machine(host, ServerNode::new(server, seed, now)).unwrap();
    for protocol in [sim::Protocol::Udp, sim::Protocol::Tcp] {
        network.bind(server, protocol, at(SERVER)).unwrap();
    }
    network.bind(server, sim::Protocol::Tls, at("198.51.100.1:5349")).unwrap();
    network.bind(server, sim::Protocol::SecureWebSocket, at("198.51.100.1:5350")).unwrap();
    let host = network.add_host("client", internet, &[ip("192.0.2.1"), ip("2001:db8::9")]).unwrap();
    let seed = network.seed();
    let client = network.add_machine(host, ClientNode::new(client, at(CLIENT), seed, now)).unwrap();
    network.bind(client, sim::Protocol::Udp, at(CLIENT)).unwrap();
    let host = network.add_host("peer", internet, &[ip("203.0.113.9"), ip("2001:db8::5")]).unwrap();
    let peer = network.add_machine(host, Peer::default()).unwrap();
    network.bind(peer, sim::Protocol::Udp, at(PEER)).unwrap();
    network.bind(peer, sim::Protocol::Udp, at("[2001:db8::5]:7000")).unwrap();
    Lab { network, server, client, peer }
}

impl Lab {
    fn allocate(&mut self) -> Vec<ClientEvent> {
        self.network.with(self.client, |node, now| node.client.allocate(now).unwrap()).unwrap();
        self.run(secs(2))
    }

    fn run(&mut self, duration: Duration) -> Vec<ClientEvent> {
        self.network.run_for(duration);
        assert_eq!(self.network.trace().faults(), 0, "{}", self.network.trace());
        self.network.with(self.client, |node, _| std::mem::take(&mut node.events)).unwrap()
    }

    fn relayed(&self) -> SocketAddr {
        self.network.machine(self.client).unwrap().relayed()
    }

    fn client<R>(&mut self, command: impl FnOnce(&mut ClientNode, std::time::Instant) -> R) -> R {
        self.network.with(self.client, command).unwrap()
    }

    fn peer_sends(&mut self, to: SocketAddr, data: &[u8]) {
        let from = if to.is_ipv4() { at(PEER) } else { at("[2001:db8::5]:7000") };
        self.network.with(self.peer, |peer, _| peer.send(from, to, data)).unwrap();
    }

    fn peer_heard(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.network.with(self.peer, |peer, _| std::mem::take(&mut peer.heard)).unwrap()
    }

    fn client_got(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.client(|node, _| std::mem::take(&mut node.data))
    }

    fn server_events(&self) -> &[ServerEvent] {
        &self.network.machine(self.server).unwrap().events
    }
}

fn ended(events: &[ClientEvent]) -> Option<EndReason> {
    events.iter().find_map(|event| match event {
        ClientEvent::Ended { reason } => Some(*reason),
        _ => None,
    })
}

#[test]
fn data_goes_both_ways_as_indications_and_then_by_a_channel_over_every_transport() {
    for (protocol, server) in [
        (Protocol::Udp, SERVER),
        (Protocol::Tcp, SERVER),
        (Protocol::Tls, "198.51.100.1:5349"),
        (Protocol::Dtls, "198.51.100.1:5350"),
    ] {
        let mut config = client_config(protocol);
        config.server.address = at(server);
        let mut lab = lab(server_config(), config);
        lab.network.set_largest_stream_read(Some(7));
        let events = lab.allocate();
        let relayed = lab.relayed();
        assert!(
            matches!(&events[..], [ClientEvent::Allocated { lifetime, .. }] if *lifetime == secs(600)),
            "{events:?}"
        );
        assert!((50_000..50_100).contains(&relayed.port()));

        // Nobody may send who was not let in.
        lab.peer_sends(relayed, b"unasked");
        lab.run(secs(1));
        assert!(lab.client_got().is_empty());

        lab.client(|node, now| node.client.permit(ip("203.0.113.9"), now).unwrap());
        assert_eq!(lab.run(secs(1)), [ClientEvent::Permitted { peer: ip("203.0.113.9") }]);
        for length in 0..9 {
            let data = vec![length as u8; length];
            lab.client(|node, _| node.send(at(PEER), &data));
            lab.peer_sends(relayed, &data);
            lab.run(secs(1));
            assert_eq!(lab.peer_heard(), [(relayed, data.clone())], "{protocol:?} {length}");
            assert_eq!(lab.client_got(), [(at(PEER), data)], "{protocol:?} {length}");
        }

        lab.client(|node, now| node.client.bind_channel(at(PEER), now).unwrap());
        assert_eq!(lab.run(secs(1)), [ClientEvent::ChannelBound { peer: at(PEER) }]);
        for length in 0..9 {
            let data = vec![length as u8; length];
            lab.client(|node, _| node.send(at(PEER), &data));
            lab.peer_sends(relayed, &data);
            lab.run(secs(1));
            assert_eq!(lab.peer_heard(), [(relayed, data.clone())], "{protocol:?} {length}");
            assert_eq!(lab.client_got(), [(at(PEER), data)], "{protocol:?} {length}");
        }
        lab.client(|node, now| node.client.release(now).unwrap());
        assert_eq!(ended(&lab.run(secs(1))), Some(EndReason::Released));
        let server = lab.network.machine(lab.server).unwrap();
        assert_eq!((server.server.allocations(), server.open.len()), (0, 0));
        assert!(matches!(
            server.events.last(),
            Some(ServerEvent::AllocationEnded { reason: AllocationEnd::Released, traffic, .. })
                if traffic.packets_to_client == 18 && traffic.packets_to_peers == 18 && traffic.bytes_to_peers == 72
        ));
    }
}

#[test]
fn everything_is_refreshed_for_as_long_as_it_is_wanted_and_nothing_longer() {
    let mut lab = lab(server_config(), client_config(Protocol::Udp));
    lab.allocate();
    lab.client(|node, now| node.client.bind_channel(at(PEER), now).unwrap());
    lab.client(|node, now| node.client.permit(ip("203.0.113.10"), now).unwrap());
    // Two hours: nonces go stale every ten minutes, permissions end after five, channels after ten, allocations after ten.
    lab.run(secs(7200));
    let relayed = lab.relayed();
    lab.client(|node, _| node.send(at(PEER), b"still"));
    lab.peer_sends(relayed, b"there");
    assert_eq!(lab.run(secs(1)), []);
    assert_eq!(lab.peer_heard(), [(relayed, b"still".to_vec())]);
    assert_eq!(lab.client_got(), [(at(PEER), b"there".to_vec())]);
    // The client vanishes: ten minutes later nothing is left of it.
    let host = lab.network.host_of(lab.client).unwrap();
    lab.network.set_connected(host, 0, false).unwrap();
    lab.network.run_for(secs(601));
    let server = lab.network.machine(lab.server).unwrap();
    assert_eq!((server.server.holdings(), server.open.len()), (0, 0));
    assert!(matches!(
        server.events.last(),
        Some(ServerEvent::AllocationEnded { reason: AllocationEnd::Expired, .. })
    ));
    // And the client finds out when its refresh is not answered.
    let events = lab.run(secs(60));
    assert_eq!(ended(&events), Some(EndReason::NoAnswer));
}

#[test]
fn wrong_passwords_and_unknown_users_look_the_same_and_are_told_to_the_application() {
    for (user, password) in [("alice", "wrong"), ("nobody", "secret")] {
        let mut config = client_config(Protocol::Udp);
        config.credentials = Some((user.into(), password.to_owned().into()));
        let mut lab = lab(server_config(), config);
        assert_eq!(ended(&lab.allocate()), Some(EndReason::CredentialsRefused));
        // The server's nonce asked for the hash of the name, and got it.
        let [ServerEvent::AuthenticationFailed { client, claim }] = lab.server_events() else {
            panic!("{:?}", lab.server_events());
        };
        let hash = denwa_ice::stun::integrity::userhash(user, "denwa.example");
        assert_eq!((*client, claim), (at(CLIENT), &Claim::Hash(hash)));
        assert_eq!(lab.network.trace().sent_by("client"), 2, "one try without, one with credentials");
    }
}

#[test]
fn time_limited_names_work_until_their_time() {
    let secret = b"north".to_vec();
    let source = || CredentialSource::SharedSecret(secret.clone().into());
    for (name, works) in [("2000000100:alice", true), ("1999999999:alice", false), ("x", false)] {
        let mut config = client_config(Protocol::Udp);
        config.credentials = Some((name.into(), time_limited_password(&secret, name).into()));
        let mut lab = lab(ServerConfig { credentials: source(), ..server_config() }, config);
        let events = lab.allocate();
        assert_eq!(ended(&events).is_none(), works, "{name}: {events:?}");
    }
    // The example every REST service repeats: base64 of HMAC-SHA1.
    assert_eq!(
        time_limited_password(b"key", "The quick brown fox jumps over the lazy dog"),
        "3nybhbi3iqa8ino29wqQcBydtNk="
    );
}

#[test]
fn the_application_is_asked_for_users_it_keeps() {
    for secret in [Some(Secret::Password("secret".to_owned().into())), Some(Secret::Md5([0; 16])), None] {
        let mut lab = lab(
            ServerConfig { credentials: CredentialSource::Application, ..server_config() },
            client_config(Protocol::Udp),
        );
        let works = matches!(secret, Some(Secret::Password(_)));
        lab.network.with(lab.server, |node, _| node.users.extend(secret.map(|it| ("alice".to_owned(), it))));
        assert_eq!(ended(&lab.allocate()).is_none(), works);
        assert_eq!(lab.network.machine(lab.server).unwrap().server.holdings(), usize::from(works));
    }
}

#[test]
fn quotas_hold_for_users_addresses_and_the_whole_server() {
    type Limit = fn(&mut ServerConfig);
    let cases: [(&str, Limit, ErrorCode); 3] = [
        ("user", |config| config.limits.per_user = 2, ErrorCode::ALLOCATION_QUOTA_REACHED),
        ("address", |config| config.limits.per_address = 2, ErrorCode::ALLOCATION_QUOTA_REACHED),
        ("server", |config| config.limits.allocations = 2, ErrorCode::INSUFFICIENT_CAPACITY),
    ];
    for (name, limit, code) in cases {
        let mut config = server_config();
        limit(&mut config);
        let mut lab = lab(config, client_config(Protocol::Udp));
        let host = lab.network.host_of(lab.client).unwrap();
        let now = lab.network.now();
        let mut outcomes = Vec::new();
        for port in 6000..6003 {
            let local = SocketAddr::new(ip("192.0.2.1"), port);
            let node = ClientNode::new(client_config(Protocol::Udp), local, [port as u8; 32], now);
            let node = lab.network.add_machine(host, node).unwrap();
            lab.network.bind(node, sim::Protocol::Udp, local).unwrap();
            lab.network.with(node, |node, now| node.client.allocate(now).unwrap());
            lab.network.run_for(secs(1));
            outcomes.push(ended(&lab.network.machine(node).unwrap().events));
        }
        assert_eq!(outcomes, [None, None, Some(EndReason::Refused(code))], "{name}");
    }
}

#[test]
fn inner_networks_are_not_relayed_to_and_forged_senders_are_not_heard() {
    let mut lab = lab(server_config(), client_config(Protocol::Udp));
    lab.allocate();
    for peer in ["127.0.0.1", "192.168.1.1", "169.254.1.1", "10.0.0.1"] {
        lab.client(|node, now| node.client.permit(ip(peer), now).unwrap());
        let reason = RequestFailure::Refused(ErrorCode::FORBIDDEN);
        assert_eq!(lab.run(secs(1)), [ClientEvent::PermissionRefused { peer: ip(peer), reason }]);
        let rule = Refusal::ForbiddenPeer(ip(peer));
        assert!(
            matches!(lab.server_events().last(), Some(ServerEvent::Refused { rule: seen, .. }) if *seen == rule)
        );
        // And sending without asking does not help.
        lab.client(|node, _| node.send(SocketAddr::new(ip(peer), 9), b"x"));
        lab.run(secs(1));
    }
    assert_eq!(lab.network.machine(lab.server).unwrap().dropped, ["peer not permitted"; 4]);
}

#[test]
fn a_busy_port_is_passed_over_and_no_port_at_all_is_told() {
    let mut config = server_config();
    config.relays[0].ports = vec![50_000..=50_001];
    let mut lab = lab(config, client_config(Protocol::Udp));
    lab.network.with(lab.server, |node, _| node.taken = vec![50_000]);
    lab.allocate();
    assert_eq!(lab.relayed().port(), 50_001);

    let mut config = server_config();
    config.relays[0].ports = vec![50_000..=50_000];
    let mut lab = self::lab(config, client_config(Protocol::Udp));
    lab.network.with(lab.server, |node, _| node.taken = vec![50_000]);
    assert_eq!(ended(&lab.allocate()), Some(EndReason::Refused(ErrorCode::INSUFFICIENT_CAPACITY)));
    assert_eq!(lab.network.machine(lab.server).unwrap().server.holdings(), 0);
}

#[test]
fn both_families_even_ports_and_reservations_are_given() {
    let mut config = client_config(Protocol::Udp);
    config.both_families = true;
    let mut lab = lab(server_config(), config);
    let events = lab.allocate();
    let ClientEvent::Allocated { relayed, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(relayed.len(), 2);
    let v6 = *relayed.iter().find(|it| it.is_ipv6()).unwrap();
    lab.client(|node, now| node.client.bind_channel(at("[2001:db8::5]:7000"), now).unwrap());
    lab.run(secs(1));
    lab.peer_sends(v6, b"six");
    lab.run(secs(1));
    assert_eq!(lab.client_got(), [(at("[2001:db8::5]:7000"), b"six".to_vec())]);

    let mut config = client_config(Protocol::Udp);
    config.even_port = Some(true);
    let mut lab = self::lab(server_config(), config);
    let events = lab.allocate();
    let ClientEvent::Allocated { relayed, reservation: Some(token), .. } = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!(relayed[0].port() % 2, 0);
    let mut config = client_config(Protocol::Udp);
    config.reservation = Some(*token);
    let host = lab.network.host_of(lab.client).unwrap();
    let now = lab.network.now();
    let second =
        lab.network.add_machine(host, ClientNode::new(config, at("192.0.2.1:5001"), [9; 32], now)).unwrap();
    lab.network.bind(second, sim::Protocol::Udp, at("192.0.2.1:5001")).unwrap();
    lab.network.with(second, |node, now| node.client.allocate(now).unwrap());
    lab.run(secs(1));
    let next = lab.network.machine(second).unwrap().relayed();
    assert_eq!(next.port(), relayed[0].port() + 1);
}

#[test]
fn a_reservation_that_nobody_takes_is_given_back() {
    let mut config = client_config(Protocol::Udp);
    config.even_port = Some(true);
    let mut lab = lab(server_config(), config);
    lab.allocate();
    assert_eq!(lab.network.machine(lab.server).unwrap().open.len(), 2);
    lab.run(secs(31));
    assert_eq!(lab.network.machine(lab.server).unwrap().open.len(), 1);
}

#[test]
fn a_client_follows_redirections_but_not_in_circles() {
    let other = at("198.51.100.2:3478");
    let sent_on = ServerConfig { alternate: Some(other), ..server_config() };
    // Both addresses are the same server, which sends everybody to the second.
    let mut lab = lab(sent_on, client_config(Protocol::Udp));
    lab.network.bind(lab.server, sim::Protocol::Udp, other).unwrap();
    assert_eq!(ended(&lab.allocate()), Some(EndReason::TooManyRedirects));
}

#[test]
fn a_client_ends_up_at_the_server_that_it_was_sent_to() {
    let other = at("198.51.100.9:3478");
    let mut lab =
        lab(ServerConfig { alternate: Some(other), ..server_config() }, client_config(Protocol::Udp));
    let host = lab.network.host_of(lab.server).unwrap();
    lab.network.add_address(host, 0, other.ip()).unwrap();
    let relay = RelayRange { local: other.ip(), external: other.ip(), ports: vec![51_000..=51_009] };
    let config = ServerConfig::new("other.example", users(), vec![relay]);
    let now = lab.network.now();
    let second = lab.network.add_machine(host, ServerNode::new(config, [8; 32], now)).unwrap();
    lab.network.bind(second, sim::Protocol::Udp, other).unwrap();
    let events = lab.allocate();
    assert!(matches!(&events[..], [ClientEvent::Allocated { server, .. }] if *server == other), "{events:?}");
    assert_eq!(lab.relayed().ip(), other.ip());
    lab.client(|node, now| node.client.bind_channel(at(PEER), now).unwrap());
    lab.run(secs(1));
    let relayed = lab.relayed();
    lab.peer_sends(relayed, b"here");
    lab.run(secs(1));
    assert_eq!(lab.client_got(), [(at(PEER), b"here".to_vec())]);
}

#[test]
fn loss_of_a_third_is_survived() {
    for seed in 0..5 {
        let mut lab = lab_with(server_config(), client_config(Protocol::Udp), Link::bad(0.3));
        lab.network.run_for(secs(seed));
        lab.allocate();
        lab.run(secs(60));
        lab.client(|node, now| node.client.bind_channel(at(PEER), now).unwrap());
        lab.run(secs(60));
        let relayed = lab.relayed();
        for _ in 0..40 {
            lab.peer_sends(relayed, b"x");
        }
        lab.run(secs(1));
        assert!(lab.client_got().len() > 10);
    }
}

#[test]
fn a_silent_server_and_a_broken_stream_are_told_apart() {
    let mut config = client_config(Protocol::Udp);
    config.server.address = at("198.51.100.77:3478");
    let mut lab = lab(server_config(), config);
    lab.allocate();
    assert_eq!(ended(&lab.run(secs(40))), Some(EndReason::NoAnswer));
    assert_eq!(lab.network.trace().sent_by("client"), 7);

    let mut config = client_config(Protocol::Tcp);
    config.server.address = at("198.51.100.1:9");
    let mut lab = self::lab(server_config(), config);
    assert_eq!(ended(&lab.allocate()), Some(EndReason::StreamFailed));
}

#[test]
fn an_unreachable_peer_is_told_to_the_client() {
    let mut lab = lab(server_config(), client_config(Protocol::Udp));
    lab.allocate();
    lab.client(|node, now| node.client.permit(ip("203.0.113.9"), now).unwrap());
    lab.run(secs(1));
    lab.client(|node, _| node.send(at("203.0.113.9:9"), b"x"));
    let events = lab.run(secs(1));
    assert_eq!(events, [ClientEvent::PeerUnreachable { peer: at("203.0.113.9:9"), icmp: (3, 3) }]);
}

/// A request without credentials, as small as it can be.
fn naked(method: Method, number: u64) -> Vec<u8> {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer, Class::Request, method, TransactionId(id));
    if method == Method::ALLOCATE {
        writer.put(&RequestedTransport::UDP);
    }
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}

#[test]
fn a_flood_of_strangers_costs_no_memory_and_is_no_weapon_while_users_are_served() {
    let mut lab = lab(server_config(), client_config(Protocol::Udp));
    lab.allocate();
    let before = lab.network.machine(lab.server).unwrap().server.holdings();
    let (mut received, mut sent) = (0, 0);
    for number in 0..20_000_u64 {
        let request = naked(if number % 2 == 0 { Method::ALLOCATE } else { Method::BINDING }, number);
        received += request.len();
        let remote = SocketAddr::new(ip("203.0.113.200"), (number % 60_000) as u16 + 1);
        lab.network.with(lab.server, |node, now| {
            let mut buffer = vec![0; denwa_ice::turn::server::HEADROOM];
            buffer.extend(&request);
            node.server.receive(&mut buffer, at(SERVER), remote, now);
            while let Some(output) = node.server.poll_output() {
                match output {
                    denwa_ice::turn::server::ServerOutput::Transmit(transmit) => {
                        sent += transmit.payload.len()
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        if number % 100 == 0 {
            lab.network.run_for(ms(1));
        }
    }
    assert!(sent < received, "{sent} bytes out for {received} bytes in");
    assert_eq!(lab.network.machine(lab.server).unwrap().server.holdings(), before);
    // Meanwhile whoever has an allocation, or comes from elsewhere, is served.
    lab.client(|node, now| node.client.permit(ip("203.0.113.9"), now).unwrap());
    assert_eq!(lab.run(secs(1)), [ClientEvent::Permitted { peer: ip("203.0.113.9") }]);
}

#[test]
fn unknown_and_malformed_requests_get_what_the_rfc_says() {
    let mut lab = lab(server_config(), client_config(Protocol::Udp));
    let mut ask = |request: &[u8]| {
        lab.network.with(lab.peer, |peer, _| peer.send(at(PEER), at(SERVER), request)).unwrap();
        lab.network.run_for(secs(1));
        lab.network
            .with(lab.peer, |peer, _| std::mem::take(&mut peer.heard))
            .unwrap()
            .pop()
            .map(|(_, bytes)| bytes)
    };
    // An unknown comprehension-required attribute: 420, and which.
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([3; 12]));
    writer.attribute(AttributeKind(0x7777), &[1, 2, 3]);
    let length = writer.finish().unwrap();
    let answer = ask(&buffer[..length]).unwrap();
    let answer = Message::parse(&answer).unwrap();
    let error = answer.get::<denwa_ice::stun::attribute::ErrorCodeAttribute<'_>>().unwrap().unwrap();
    assert_eq!(error.code, ErrorCode::UNKNOWN_ATTRIBUTE);
    let unknown = answer.get::<denwa_ice::stun::attribute::UnknownAttributes<'_>>().unwrap().unwrap();
    assert_eq!(unknown.kinds().collect::<Vec<_>>(), [AttributeKind(0x7777)]);
    // Broken bytes: silence.
    assert_eq!(ask(&buffer[..length - 1]), None);
    assert_eq!(ask(b"\x00\x01\x00\x08!\x12\xA4B123456789012\x00\x06\x00\x50abcd"), None);
    // A wrong fingerprint: silence.
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([3; 12]));
    writer.fingerprint();
    let length = writer.finish().unwrap();
    buffer[length - 1] ^= 1;
    assert_eq!(ask(&buffer[..length]), None);
    buffer[length - 1] ^= 1;
    assert!(ask(&buffer[..length]).is_some());
}

#[test]
fn a_stream_that_sends_nonsense_or_nothing_is_closed() {
    let mut lab = lab(server_config(), client_config(Protocol::Udp));
    let server = at(SERVER);
    lab.network.with(lab.peer, |peer, _| {
        for token in 0..2 {
            peer.outputs.push_back(sim::Output::OpenStream {
                token,
                protocol: sim::Protocol::Tcp,
                source: None,
                destination: server,
            });
        }
    });
    lab.network.run_for(secs(1));
    assert_eq!(lab.network.machine(lab.server).unwrap().server.holdings(), 2);
    lab.network.with(lab.peer, |peer, _| {
        let source = Some(peer.streams[0].0);
        let payload = vec![0xFF; 20].into();
        let protocol = sim::Protocol::Tcp;
        peer.outputs.push_back(sim::Output::Transmit(sim::Transmit {
            source,
            destination: server,
            protocol,
            payload,
        }));
    });
    lab.network.run_for(secs(1));
    assert_eq!(lab.network.machine(lab.server).unwrap().server.holdings(), 1);
    lab.network.run_for(secs(30));
    assert_eq!(lab.network.machine(lab.server).unwrap().server.holdings(), 0);
}

#[test]
fn behaviour_discovery_gets_answers_from_where_it_asks() {
    use denwa_ice::stun::attribute::{ChangeRequest, OtherAddress, ResponseOrigin, ResponsePort};
    let (primary, alternate) = (at("198.51.100.1:3478"), at("198.51.100.2:3479"));
    let behaviour = denwa_ice::turn::server::BehaviourAddresses { primary, alternate };
    let mut lab =
        lab(ServerConfig { behaviour: Some(behaviour), ..server_config() }, client_config(Protocol::Udp));
    for local in ["198.51.100.1:3479", "198.51.100.2:3478", "198.51.100.2:3479"] {
        lab.network.bind(lab.server, sim::Protocol::Udp, at(local)).unwrap();
    }
    lab.network.bind(lab.peer, sim::Protocol::Udp, at("203.0.113.9:7001")).unwrap();
    for (address, port, from) in [
        (false, false, "198.51.100.1:3478"),
        (false, true, "198.51.100.1:3479"),
        (true, false, "198.51.100.2:3478"),
        (true, true, "198.51.100.2:3479"),
    ] {
        let mut buffer = [0; 200];
        let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([3; 12]));
        writer.put(&ChangeRequest::new(address, port));
        writer.put(&ResponsePort(7001));
        let length = writer.finish().unwrap();
        lab.network.with(lab.peer, |peer, _| peer.send(at(PEER), primary, &buffer[..length]));
        lab.network.run_for(secs(1));
        let (heard_from, answer) = lab.peer_heard().pop().unwrap();
        assert_eq!(heard_from, at(from));
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.get().unwrap(), Some(ResponseOrigin(at(from))));
        assert_eq!(answer.get().unwrap(), Some(OtherAddress(alternate)));
    }
}

#[test]
fn a_server_under_a_spray_of_allocations_keeps_serving_those_who_hold_one() {
    let mut config = server_config();
    config.limits.per_user = 3;
    let mut lab = lab(config, client_config(Protocol::Udp));
    lab.allocate();
    lab.client(|node, now| node.client.bind_channel(at(PEER), now).unwrap());
    lab.run(secs(1));
    let host = lab.network.host_of(lab.peer).unwrap();
    let now = lab.network.now();
    for port in 10_000..10_300_u16 {
        let local = SocketAddr::new(ip("203.0.113.9"), port);
        let mut config = client_config(Protocol::Udp);
        config.credentials = Some(("bob".into(), "hidden".to_owned().into()));
        let seed = [(port % 251) as u8; 32];
        let node = lab.network.add_machine(host, ClientNode::new(config, local, seed, now)).unwrap();
        lab.network.bind(node, sim::Protocol::Udp, local).unwrap();
        lab.network.with(node, |node, now| node.client.allocate(now).unwrap());
    }
    lab.network.run_for(secs(30));
    let relayed = lab.relayed();
    lab.client(|node, _| node.send(at(PEER), b"still"));
    lab.peer_sends(relayed, b"there");
    lab.run(secs(1));
    assert_eq!(lab.peer_heard(), [(relayed, b"still".to_vec())]);
    assert_eq!(lab.client_got(), [(at(PEER), b"there".to_vec())]);
    let server = &lab.network.machine(lab.server).unwrap().server;
    assert_eq!(server.allocations(), 1 + 3, "one of alice's, three of bob's");
}

#[test]
fn the_client_keeps_the_ten_laws() {
    Subject::new(|seed, now| ClientNode::new(client_config(Protocol::Udp), at(CLIENT), seed, now))
        .command(secs(0), |node, now| {
            let _ = node.client.allocate(now);
        })
        .reply(ms(100), |outputs| vec![answer(outputs, |_| {})])
        .command(secs(1), |node, now| {
            let _ = node.client.permit(ip("203.0.113.9"), now);
        })
        .command(secs(1), |node, now| {
            let _ = node.client.bind_channel(at(PEER), now);
        })
        .command(secs(2), |node, now| {
            let _ = node.client.allocate(now);
        })
        .reply(ms(2500), |outputs| vec![answer(outputs, |_| {})])
        .command(secs(50), |node, now| {
            let _ = node.client.release(now);
        })
        .reply(secs(51), |outputs| vec![answer(outputs, |_| {})])
        .until(secs(900))
        .check()
        .unwrap();
}

/// An answer to the last request that was sent: whatever it asked for is granted, unsigned, as by a server without credentials.
fn answer(outputs: &[sim::Output], more: impl Fn(&mut Writer<'_>)) -> Stimulus {
    use denwa_ice::stun::attribute::XorRelayedAddress;
    let request = outputs.iter().rev().find_map(|output| match output {
        sim::Output::Transmit(transmit) => Some(transmit.payload.clone()),
        _ => None,
    });
    let request = request.unwrap();
    let request = Message::parse(&request).unwrap();
    let mut buffer = [0; 500];
    let mut writer = Writer::new(&mut buffer, Class::Success, request.method(), request.id());
    if request.method() == Method::ALLOCATE {
        writer.put(&XorRelayedAddress(at("198.51.100.1:50000")));
    }
    let lifetime = request.get::<Lifetime>().unwrap().unwrap_or(Lifetime(secs(600)));
    writer.put(&lifetime);
    more(&mut writer);
    let length = writer.finish().unwrap();
    Stimulus::Datagram { local: at(CLIENT), remote: at(SERVER), payload: buffer[..length].to_vec() }
}

#[test]
fn the_server_keeps_the_ten_laws() {
    let mut config = server_config();
    config.peers = PeerPolicy::with_private_networks();
    config.limits.per_address = 10;
    config.limits.per_user = 10;
    let bounds = Bounds { outputs_per_input: 8, holdings: 200 };
    // A client beside the machine makes the requests: its keys come from the server's challenge.
    Subject::new(move |seed, now| ServerNode::new(config.clone(), seed, now))
        .input(secs(0), datagram(naked(Method::ALLOCATE, 1)))
        .reply(secs(1), |outputs| vec![signed(outputs, Method::ALLOCATE, 2)])
        .reply(secs(2), |outputs| vec![signed(outputs, Method::CREATE_PERMISSION, 3)])
        .reply(secs(3), |outputs| vec![signed(outputs, Method::CHANNEL_BIND, 4)])
        .reply(secs(4), |outputs| vec![signed(outputs, Method::REFRESH, 5)])
        .input(secs(5), datagram(vec![0x40, 0, 0, 4, 1, 2, 3, 4]))
        .flood(2000, |number| Stimulus::Datagram {
            local: at(SERVER),
            remote: SocketAddr::new(ip("203.0.113.200"), (number % 60_000) as u16 + 1),
            payload: naked(Method::ALLOCATE, number),
        })
        .bounds(bounds)
        .until(secs(700))
        .check()
        .unwrap();
}

fn datagram(payload: Vec<u8>) -> Stimulus {
    Stimulus::Datagram { local: at(SERVER), remote: at(CLIENT), payload }
}

/// A request signed with what the first 401 among the outputs asked for.
fn signed(outputs: &[sim::Output], method: Method, number: u64) -> Stimulus {
    let challenge = outputs.iter().find_map(|output| match output {
        sim::Output::Transmit(transmit) => Some(transmit.payload.clone()),
        _ => None,
    });
    let challenge = challenge.unwrap();
    let mut credentials = denwa_ice::stun::LongTerm::new("alice", "secret");
    credentials.challenge(&Message::parse(&challenge).unwrap(), false, false).unwrap();
    let mut id = [0; 12];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut buffer = [0; 600];
    let mut writer = Writer::new(&mut buffer, Class::Request, method, TransactionId(id));
    match method {
        Method::ALLOCATE => writer.put(&RequestedTransport::UDP),
        Method::REFRESH => writer.put(&Lifetime(secs(650))),
        _ => writer.put(&XorPeerAddress(at(PEER))),
    }
    if method == Method::CHANNEL_BIND {
        writer.put(&denwa_ice::stun::attribute::ChannelNumber(0x4000));
    }
    credentials.sign(&mut writer);
    let length = writer.finish().unwrap();
    datagram(buffer[..length].to_vec())
}
