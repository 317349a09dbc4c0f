//! Paths that lead through TURN servers: ours, as programs run it, and coturn.

use crate::chromium::{Scenario, call, only_by};
use crate::end::{End, chosen, holds_tone};
use denwa::media::{IceConfig, TurnServer};
use denwa::port_set::PortSet;
use denwa::tokio::{Listen, TurnServerConfig};
use denwa_ice::Protocol;
use denwa_ice::turn::client::ServerAddress;
use denwa_ice::turn::server::{CredentialSource, Users};
use denwa_interop::coturn::{Coturn, PASSWORD, USER};
use denwa_interop::{Ports, Scratch};
use denwa_sdp::Codec;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

fn our_server(ports: &mut Ports) -> denwa::tokio::TurnServer {
    let first = ports.take(40);
    let users = CredentialSource::Users(Users::from_iter([(USER, PASSWORD)]));
    let mut config = TurnServerConfig::new(users);
    config.listen =
        ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"].map(|text| Listen::for_turn(text).unwrap()).to_vec();
    config.ports = PortSet::from_ranges([first..=first + 39]);
    config.relay = vec!["127.0.0.1".parse().unwrap()];
    config.peers = vec!["127.0.0.0/8".parse().unwrap()];
    denwa::tokio::TurnServer::start(config, |_| {}).unwrap()
}

/// We come by this server and by nothing else.
fn relay_only(address: SocketAddr, protocol: Protocol) -> IceConfig {
    let mut server = TurnServer::udp(address, USER, PASSWORD);
    server.server = ServerAddress { address, protocol, name: None };
    let mut ice = IceConfig::default();
    ice.relay_only = true;
    ice.turn_servers = vec![server];
    ice
}

#[test]
fn chromium_comes_only_by_our_turn_server_on_tcp() {
    let mut ports = Ports::block();
    let server = our_server(&mut ports);
    let url = format!("turn:{}?transport=tcp", server.listening()[1].address);
    let scenario = Scenario::new(true, only_by(&url, USER, PASSWORD));
    let Some((facts, events)) = call(&scenario, IceConfig::default()) else { return };
    assert_eq!(facts["local"], "relay", "{facts}");
    let relayed = server.relays()[0].ports[0].clone();
    let from = format!("127.0.0.1:{}", relayed.start() / 100);
    assert!(chosen(&events).0.contains(&from), "{:?} {relayed:?}", chosen(&events));
    assert!(server.status().relayed_packets > 100);
}

#[test]
fn we_come_only_by_our_turn_server() {
    let mut ports = Ports::block();
    let server = our_server(&mut ports);
    let ice = relay_only(server.listening()[0].address, Protocol::Udp);
    let scenario = Scenario::new(false, serde_json::json!({}));
    let Some((facts, events)) = call(&scenario, ice) else { return };
    assert_eq!(facts["remote"], "relay", "{facts}");
    assert!(chosen(&events).1);
}

/// The page over UDP, we over TLS: nothing goes from one to the other but through coturn.
#[test]
fn coturn_stands_between_chromium_and_us() {
    let (folder, mut ports) = (Scratch::new("coturn-chromium"), Ports::block());
    let Some(coturn) = Coturn::start(folder.path(), &mut ports, &[]) else { return };
    let url = format!("turn:{}?transport=udp", coturn.address);
    let scenario = Scenario::new(true, only_by(&url, USER, PASSWORD));
    let Some((facts, events)) = call(&scenario, relay_only(coturn.tls_address, Protocol::Tls)) else {
        return;
    };
    assert_eq!((&facts["local"], &facts["remote"]), (&"relay".into(), &"relay".into()), "{facts}");
    assert!(chosen(&events).1);
}

/// A session that relays over each transport talks to one that has its address on this host.
#[test]
fn sessions_relay_by_coturn_over_udp_tcp_and_tls() {
    let (folder, mut ports) = (Scratch::new("coturn-sessions"), Ports::block());
    let Some(coturn) = Coturn::start(folder.path(), &mut ports, &[]) else { return };
    let here = IpAddr::from([127, 0, 0, 1]);
    for (protocol, address) in [
        (Protocol::Udp, coturn.address),
        (Protocol::Tcp, coturn.address),
        (Protocol::Tls, coturn.tls_address),
    ] {
        let mut relayed = End::new(here, Codec::pcmu(), relay_only(address, protocol));
        let mut other = End::new(here, Codec::pcmu(), IceConfig::default());
        let offer = String::from_utf8(relayed.offer()).unwrap();
        assert!(offer.contains("typ relay") && !offer.contains("typ host"), "{offer}");
        let answer = String::from_utf8(other.answer(&offer)).unwrap();
        relayed.accept(&answer);
        let end = Instant::now() + Duration::from_secs(120);
        while [&relayed, &other].into_iter().any(|it| !holds_tone(&it.heard, 8000.0, 1000.0)) {
            assert!(Instant::now() < end, "{protocol:?}: {:#?}", relayed.session.pairs());
            relayed.run();
            other.run();
        }
        assert!(relayed.path().1, "{protocol:?}");
    }
}
