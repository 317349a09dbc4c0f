//! Paths that lead through TURN servers: ours, as programs run it, and coturn.

use crate::chromium::{Scenario, call, only_by};
use crate::end::{End, chosen, holds_tone};
use crate::servers::fresh_seed;
use denwa::bridge::{self, CarriedBy, Command, Connection, LegId, LegSpec};
use denwa::media::{IceConfig, Identity, StreamParameters, TurnServer};
use denwa::port_set::PortSet;
use denwa::tokio::{
    Listen, MediaDriver, MediaDriverConfig, MediaMeans, Tls, TlsConfig, Trust, TurnServerConfig,
};
use denwa_ice::Protocol;
use denwa_ice::turn::client::ServerAddress;
use denwa_ice::turn::server::{CredentialSource, Users};
use denwa_interop::coturn::{Coturn, PASSWORD, USER};
use denwa_interop::{Ports, Scratch};
use denwa_sdp::{
    Capability, Codec, Encryption, EncryptionCapability, Ice, MediaCapability, Negotiator, RtcpMux, Transport,
};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
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

/// A bridge between two sessions, whose leg towards the first comes by nothing but coturn, over each transport: each hears the
/// other's tone.
#[test]
fn a_bridge_relays_by_coturn_over_udp_tcp_and_tls() {
    let (folder, mut ports) = (Scratch::new("coturn-bridge"), Ports::block());
    let Some(coturn) = Coturn::start(folder.path(), &mut ports, &[]) else { return };
    let mut tls = TlsConfig::default();
    tls.trust = Trust::Anyone;
    let mut means = MediaMeans::default();
    means.tls = Some(Tls::new(&tls).unwrap());
    let (tell, told) = mpsc::channel();
    // The legs of a group live on one worker, those of several come together when they are joined.
    let config = MediaDriverConfig::with_workers(2);
    let driver = MediaDriver::start_with(config, means, move |event| drop(tell.send(event))).unwrap();
    for (index, (protocol, address)) in [
        (Protocol::Udp, coturn.address),
        (Protocol::Tcp, coturn.address),
        (Protocol::Tls, coturn.tls_address),
    ]
    .into_iter()
    .enumerate()
    {
        let here = IpAddr::from([127, 0, 0, 1]);
        let pitches = [1000.0, 700.0];
        let mut ends = pitches.map(|_| End::new(here, Codec::pcmu(), IceConfig::default()));
        ends.iter_mut().zip(pitches).for_each(|(end, pitch)| end.says(pitch));
        let legs = [0, 1].map(|side| LegId(2 * index as u64 + side));
        let mut offered = String::new();
        for ((leg, end), ice) in
            legs.into_iter().zip(&mut ends).zip([relay_only(address, protocol), IceConfig::default()])
        {
            let answer = answer_by(&driver, &told, leg, ice, &end.offer());
            end.accept(&answer);
            offered += &answer;
        }
        assert!(offered.contains("typ relay") && offered.matches("typ host").count() == 1, "{offered}");
        driver.command(Command::Connect { leg: legs[0], to: Connection::Leg(legs[1]) });
        let deadline = Instant::now() + Duration::from_secs(120);
        while ends.iter().zip([700.0, 1000.0]).any(|(end, pitch)| !holds_tone(&end.heard, 8000.0, pitch)) {
            let events: Vec<_> = told.try_iter().collect();
            assert!(Instant::now() < deadline, "{protocol:?}: {events:?} {:#?}", ends[0].session.pairs());
            ends.iter_mut().for_each(End::run);
        }
        for leg in legs {
            driver.command(Command::Close { leg });
        }
    }
    driver.stop();
}

/// Opens a leg that is carried so, answers an offer with it, and gives the answer.
fn answer_by(
    driver: &MediaDriver,
    told: &mpsc::Receiver<bridge::Event>,
    leg: LegId,
    ice: IceConfig,
    offer: &[u8],
) -> String {
    let any = "127.0.0.1:0".parse().unwrap();
    let silence_after = Duration::from_secs(60);
    let spec = LegSpec { group: leg.0, rtp: any, rtcp: any, silence_after, cname: "leg".to_owned() };
    driver.command(Command::Open { leg, spec });
    let identity = Identity::generate().unwrap();
    let encryption = EncryptionCapability::dtls(Encryption::Required, identity.fingerprint());
    let by = CarriedBy { ice: Some(ice), identity: Some(identity), rtcp_mux: true };
    driver.command(Command::Carry { leg, by: Box::new(by) });
    let (ice, rtp) = loop {
        match told.recv_timeout(Duration::from_secs(60)).expect("ICE is ready") {
            bridge::Event::IceReady { leg: of, ice, rtp, .. } if of == leg => break (*ice, rtp),
            _ => {}
        }
    };
    let media = MediaCapability { feedback: true, ..MediaCapability::audio([Codec::pcmu()]) };
    let mut capability = Capability::new([media]).with_encryption(encryption).with_ice(Ice::Full);
    capability.rtcp_mux = RtcpMux::Required;
    let transport = Transport::audio(rtp).with_ice(ice);
    let mut negotiator = Negotiator::new(capability, vec![transport], denwa_sdp::Seed(fresh_seed()));
    let answer = String::from_utf8(negotiator.answer(offer).unwrap().to_vec()).unwrap();
    let agreed = negotiator.agreed().unwrap().audio().unwrap();
    let stream = Box::new(StreamParameters::from_agreed(agreed).unwrap());
    driver.command(Command::Configure { leg, stream });
    answer
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
