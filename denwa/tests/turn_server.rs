//! The STUN and TURN server on its own sockets: coturn's clients over UDP, TCP and TLS, ours, and what an operator sees of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../ice/tests/common/mod.rs"]
mod servers;

use denwa::port_set::PortSet;
use denwa::tokio::{Certificate, Listen, Tls, TlsConfig, TurnServer, TurnServerConfig};
use denwa_ice::Protocol;
use denwa_ice::turn::client::{ClientConfig, ClientEvent, ServerAddress};
use denwa_ice::turn::server::{AllocationEnd, CredentialSource, ServerEvent, Users};
use denwa_interop::turnutils::{Turnutils, Way};
use denwa_interop::{Ports, Scratch, wait_until};
use servers::at;
use servers::drivers::ClientDriver;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn users() -> CredentialSource {
    CredentialSource::Users(Users::from_iter([("alice", "secret")]))
}

/// A server on loopback that relays to loopback, as no server does unless it is told so.
fn config(credentials: CredentialSource, ports: &mut Ports) -> TurnServerConfig {
    let first = ports.take(60);
    let mut config = TurnServerConfig::new(credentials);
    config.listen =
        ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"].map(|text| Listen::for_turn(text).unwrap()).to_vec();
    config.ports = PortSet::from_ranges([first..=first + 59]);
    config.relay = vec!["127.0.0.1".parse().unwrap()];
    config.peers = vec!["127.0.0.0/8".parse().unwrap()];
    config
}

fn start(config: TurnServerConfig) -> (TurnServer, Receiver<ServerEvent>) {
    let (sender, events) = channel();
    let server = TurnServer::start(config, move |event| drop(sender.send(event))).unwrap();
    (server, events)
}

fn address(server: &TurnServer, protocol: &str) -> SocketAddr {
    let found = server.listening().iter().find(|listen| listen.to_string().starts_with(protocol));
    found.unwrap().address
}

fn tls() -> Tls {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut config = TlsConfig::default();
    config.certificate = Some(Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
    Tls::new(&config).unwrap()
}

#[test]
fn coturns_clients_relay_over_udp_tcp_and_tls() {
    let (folder, mut ports) = (Scratch::new("turn"), Ports::block());
    let Some(tools) = Turnutils::start(folder.path(), &mut ports) else { return };
    let mut config = config(users(), &mut ports);
    config.listen.push(Listen::for_turn("tls:127.0.0.1:0").unwrap());
    config.tls = Some(tls());
    let (server, events) = start(config);
    let alice = ["-u", "alice", "-w", "secret"];
    for (way, protocol) in [(Way::Udp, "udp"), (Way::Tcp, "tcp"), (Way::Tls, "tls")] {
        let more = [&alice[..], &["-n", "50", "-m", "4"]].concat();
        tools.relay_whole(address(&server, protocol), way, &more);
    }
    let status = server.status();
    assert!(status.relayed_packets >= 3 * 4 * 50 * 2, "{status}");
    let wrong = tools.relay(address(&server, "udp"), Way::Udp, &["-u", "alice", "-w", "wrong", "-n", "1"]);
    assert_eq!(wrong.received, 0);
    assert!(server.status().failed_authentications > 0);
    server.stop();
    let events: Vec<ServerEvent> = events.iter().collect();
    let made = events.iter().filter(|event| matches!(event, ServerEvent::AllocationMade { .. })).count();
    assert!(made >= 12, "{events:?}");
    assert!(events.iter().any(|event| matches!(event, ServerEvent::AuthenticationFailed { .. })));
}

#[test]
fn names_that_a_web_application_hands_out_are_good_until_they_expire() {
    let (folder, mut ports) = (Scratch::new("turn"), Ports::block());
    let Some(tools) = Turnutils::start(folder.path(), &mut ports) else { return };
    let (server, _events) = start(config(CredentialSource::shared_secret("of the page"), &mut ports));
    let udp = address(&server, "udp");
    tools.relay_whole(udp, Way::Udp, &["-u", "alice", "-W", "of the page", "-n", "10"]);
    let other = tools.relay(udp, Way::Udp, &["-u", "alice", "-W", "of another", "-n", "1"]);
    assert_eq!(other.received, 0);
    let expired = tools.relay(udp, Way::Udp, &["-u", "1000000000:alice", "-w", "any", "-n", "1"]);
    assert_eq!(expired.received, 0);
}

fn client(server: SocketAddr, protocol: Protocol) -> ClientDriver {
    ClientDriver::new(ClientConfig::new(
        ServerAddress { address: server, protocol, name: None },
        "alice",
        "secret",
    ))
}

fn allocate(driver: &mut ClientDriver) -> Option<SocketAddr> {
    let now = driver.now();
    driver.client.allocate(now).unwrap();
    assert!(driver.run(|it| !it.client.relayed().is_empty() || it.client.has_ended()), "{:?}", driver.events);
    driver.client.relayed().first().copied()
}

fn permit(driver: &mut ClientDriver, peer: SocketAddr) -> bool {
    let now = driver.now();
    driver.events.clear();
    driver.client.permit(peer.ip(), now).unwrap();
    let told = |it: &mut ClientDriver| {
        matches!(
            it.events.last(),
            Some(ClientEvent::Permitted { .. } | ClientEvent::PermissionRefused { .. })
        )
    };
    assert!(driver.run(told), "{:?}", driver.events);
    matches!(driver.events.last(), Some(ClientEvent::Permitted { .. }))
}

#[test]
fn our_client_gets_a_port_that_is_free_again_when_its_connection_ends() {
    let mut ports = Ports::block();
    let (server, events) = start(config(users(), &mut ports));
    for (protocol, name) in [(Protocol::Udp, "udp"), (Protocol::Tcp, "tcp")] {
        let mut driver = client(address(&server, name), protocol);
        let relayed = allocate(&mut driver).unwrap();
        assert!(UdpSocket::bind(relayed).is_err(), "the server has it");
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(permit(&mut driver, peer.local_addr().unwrap()));
        driver.send(peer.local_addr().unwrap(), b"there");
        let mut buffer = [0; 16];
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (5, relayed));
        peer.send_to(b"and back", relayed).unwrap();
        assert!(driver.run(|it| !it.data.is_empty()));
        assert_eq!(driver.data, [(peer.local_addr().unwrap(), b"and back".to_vec())]);
        assert_eq!(server.status().allocations, 1);
        if protocol == Protocol::Udp {
            let now = driver.now();
            driver.client.release(now).unwrap();
            assert!(driver.run(|it| it.client.has_ended()));
        }
        // A client on a connection that is gone needs its port no more.
        drop(driver);
        assert!(wait_until(PATIENCE, || UdpSocket::bind(relayed).is_ok()));
        assert_eq!(server.status().allocations, 0);
    }
    server.stop();
    let ended: Vec<AllocationEnd> = events
        .iter()
        .filter_map(|event| match event {
            ServerEvent::AllocationEnded { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [AllocationEnd::Released, AllocationEnd::StreamClosed]);
}

#[test]
fn of_this_host_clients_reach_the_media_and_nothing_else() {
    let mut ports = Ports::block();
    let media = ports.take(2);
    let mut config = config(users(), &mut ports);
    config.peers = Vec::new();
    config.own_ports = PortSet::from_ranges([media..=media]);
    let (server, _events) = start(config);
    let mut driver = client(address(&server, "udp"), Protocol::Udp);
    let relayed = allocate(&mut driver).unwrap();
    let (leg, secret) = (at(&format!("127.0.0.1:{media}")), at(&format!("127.0.0.1:{}", media + 1)));
    assert!(permit(&mut driver, leg));
    let (leg, secret) = (UdpSocket::bind(leg).unwrap(), UdpSocket::bind(secret).unwrap());
    leg.set_read_timeout(Some(PATIENCE)).unwrap();
    secret.set_nonblocking(true).unwrap();
    driver.send(secret.local_addr().unwrap(), b"let me in");
    driver.send(leg.local_addr().unwrap(), b"voice");
    let mut buffer = [0; 16];
    // In order: what came second is there, so what came first was not let through.
    assert_eq!(leg.recv_from(&mut buffer).unwrap(), (5, relayed));
    assert!(secret.recv_from(&mut buffer).is_err());
    assert!(!permit(&mut driver, at("127.0.0.2:9")), "loopback beyond the own address stays closed");
}

#[test]
fn who_may_use_it_can_change_while_it_runs() {
    let mut ports = Ports::block();
    let (server, _events) = start(config(users(), &mut ports));
    assert!(allocate(&mut client(address(&server, "udp"), Protocol::Udp)).is_some());
    server.replace_credentials(CredentialSource::Users(Users::from_iter([("bob", "other")])));
    let refused = || allocate(&mut client(address(&server, "udp"), Protocol::Udp)).is_none();
    assert!(wait_until(PATIENCE, refused));
}

#[test]
fn a_client_on_ipv6_has_a_port_on_ipv4() {
    let mut ports = Ports::block();
    let mut config = config(users(), &mut ports);
    config.listen = vec![Listen::for_turn("udp:[::1]:0").unwrap()];
    let Ok(server) = TurnServer::start(config, |_| {}) else { return println!("no IPv6 here: not tested") };
    let server_address = address(&server, "udp");
    let mut driver = ClientDriver::new_at(
        at("[::1]:0"),
        ClientConfig::new(
            ServerAddress { address: server_address, protocol: Protocol::Udp, name: None },
            "alice",
            "secret",
        ),
    );
    let relayed = allocate(&mut driver).unwrap();
    assert!(relayed.is_ipv4());
}
