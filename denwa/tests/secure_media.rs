//! Media sessions that find their way by ICE and make their keys by DTLS, behind NATs, on virtual time: sound at both ends, what
//! is on the wire, strangers, wrong certificates, restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../ice/tests/common/mod.rs"]
mod servers;

use denwa::Seed;
use denwa::media::dtls::Failure;
use denwa::media::{
    Action, Event, IceConfig, Identity, MediaConfig, MediaSession, Output, Path, TurnServer, Wire,
};
use denwa_codecs::level::Level;
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_ice::turn::server::{CredentialSource, RelayRange, ServerConfig, Users};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability, Ice, RtcpMux};
use denwa_sim::nat::NatConfig;
use denwa_sim::{self as sim, Link, Loss, Machine, Network, Node};
use servers::{ServerNode, at, ip};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(20);

/// A telephone that says a tone from the agreement on.
struct Telephone {
    session: MediaSession,
    events: Vec<Event>,
    heard: Vec<i16>,
    /// First octets of what came to its sockets.
    seen: Vec<u8>,
    tone: Option<Generator>,
    beat: Option<Instant>,
    outputs: VecDeque<sim::Output>,
}

impl Telephone {
    fn new(config: MediaConfig, seed: u8, frequency_hz: f64, now: Instant) -> Self {
        Self {
            session: MediaSession::new(config, Seed([seed; 32]), now),
            events: Vec::new(),
            heard: Vec::new(),
            seen: Vec::new(),
            tone: Some(Generator::new(&Tone::steady(&[Sine::new(frequency_hz, -10.0)]), 8000)),
            beat: None,
            outputs: VecDeque::new(),
        }
    }

    fn talk(&mut self, now: Instant) {
        self.beat = Some(now);
    }

    fn drain(&mut self, now: Instant) {
        let mut buffer = [0; 2048];
        while let Some(out) = self.session.next_packet(&mut buffer, now) {
            assert_eq!(out.stream, None);
            let payload = buffer[..out.length].to_vec();
            self.outputs.push_back(sim::Output::Transmit(sim::Transmit::datagram(
                None,
                out.destination,
                payload,
            )));
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit { source, destination, payload } => self.outputs.push_back(
                    sim::Output::Transmit(sim::Transmit::datagram(Some(source), destination, payload)),
                ),
                Output::Wire(wire) => {
                    assert!(!matches!(wire, Wire::Send { .. }));
                    self.session.decline(&wire, now);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn is_encrypted(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Encrypted { .. }))
    }

    fn path(&self) -> Option<(&str, bool)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::PathChosen { path, relayed, .. } => Some((path.as_str(), *relayed)),
            _ => None,
        })
    }
}

impl Machine for Telephone {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        if let sim::Input::Datagram { local, remote, payload } = input {
            self.seen.extend(payload.first());
            self.session.receive(payload, Path { source: remote, destination: Some(local) }, now);
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        while let Some(beat) = self.beat.filter(|beat| *beat <= now) {
            self.beat = Some(beat + BEAT);
            let mut sound = [0; 160];
            if let Some(tone) = &mut self.tone {
                tone.generate(&mut sound);
            }
            self.session.say(&sound);
            let mut samples = [0; 160];
            self.session.hear(&mut samples, now);
            self.heard.extend(samples);
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<sim::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout().into_iter().chain(self.beat).min()
    }
}

#[derive(Clone)]
struct Want {
    ice: Option<IceConfig>,
    dtls: bool,
    mux: RtcpMux,
}

impl Want {
    fn all(ice: IceConfig) -> Self {
        Self { ice: Some(ice), dtls: true, mux: RtcpMux::Offered }
    }
}

fn config(want: &Want, address: &str, now: Instant) -> MediaConfig {
    let rtp = SocketAddr::new(ip(address), 4000);
    let rtcp = SocketAddr::new(ip(address), 4001);
    let mut capability = Capability::telephone([Codec::pcma()]);
    capability.rtcp_mux = want.mux;
    let identity = want.dtls.then(|| Identity::generate().unwrap());
    if let Some(identity) = &identity {
        let dtls = EncryptionCapability::dtls(Encryption::Required, identity.fingerprint());
        capability = capability.with_encryption(dtls);
    }
    if let Some(ice) = &want.ice {
        capability = capability.with_ice(if ice.lite { Ice::Lite } else { Ice::Full });
    }
    let mut config = MediaConfig::new(capability, rtp, rtcp, rtp, Duration::from_secs(1_700_000_000), now);
    config.ice = want.ice.clone();
    config.identity = identity;
    config
}

struct Lab {
    network: Network,
    a: Node<Telephone>,
    b: Node<Telephone>,
}

const SERVER: &str = "198.51.100.1:3478";

/// Two homes, each behind a NAT or not, and a STUN and TURN server.
fn lab(nats: [Option<NatConfig>; 2], wants: [&Want; 2]) -> Lab {
    lab_over(nats, wants, Link::default())
}

fn lab_over(nats: [Option<NatConfig>; 2], wants: [&Want; 2], link: Link) -> Lab {
    let mut network = Network::new(11);
    let internet = network.internet();
    let server = network.add_host("server", internet, &[ip("198.51.100.1")]).unwrap();
    let users = Users::from_iter([("alice", "secret")]);
    let relay =
        RelayRange { local: ip("198.51.100.1"), external: ip("198.51.100.1"), ports: vec![50_000..=50_999] };
    let server_config = ServerConfig::new("example.net", CredentialSource::Users(users), vec![relay]);
    let node = network.add_machine(server, ServerNode::new(server_config, [7; 32], network.now())).unwrap();
    network.bind(node, sim::Protocol::Udp, at(SERVER)).unwrap();
    let mut telephones = Vec::new();
    for (number, (nat, want)) in nats.into_iter().zip(wants).enumerate() {
        let (name, public) = (["a", "b"][number], format!("203.0.113.{}", number + 1));
        let (segment, address) = match nat {
            Some(nat) => {
                let prefix = format!("192.168.{number}.0/24").parse().unwrap();
                let lan = network.add_segment(&format!("lan {name}"), &[prefix], link.clone());
                let (outside, inside) = ([ip(&public)], [ip(&format!("192.168.{number}.1"))]);
                network
                    .add_nat(&format!("router {name}"), (internet, &outside), (lan, &inside), nat)
                    .unwrap();
                (lan, format!("192.168.{number}.2"))
            }
            None => (internet, public),
        };
        let host = network.add_host(name, segment, &[ip(&address)]).unwrap();
        let now = network.now();
        let frequency = [440.0, 1000.0][number];
        let telephone = Telephone::new(config(want, &address, now), number as u8 + 1, frequency, now);
        let node = network.add_machine(host, telephone).unwrap();
        network.bind(node, sim::Protocol::Udp, SocketAddr::new(ip(&address), 4000)).unwrap();
        network.bind(node, sim::Protocol::Udp, SocketAddr::new(ip(&address), 4001)).unwrap();
        network.with(node, Telephone::drain).unwrap();
        telephones.push(node);
    }
    Lab { network, a: telephones[0], b: telephones[1] }
}

impl Lab {
    fn gather(&mut self) {
        for node in [self.a, self.b] {
            let done = self.network.run_until_true(Duration::from_secs(10), |network| {
                network.machine(node).unwrap().session.is_gathered()
            });
            assert!(done);
        }
    }

    fn do_with<R>(&mut self, node: Node<Telephone>, act: impl FnOnce(&mut MediaSession, Instant) -> R) -> R {
        self.network
            .with(node, |telephone, now| {
                let result = act(&mut telephone.session, now);
                telephone.drain(now);
                result
            })
            .unwrap()
    }

    fn agree(&mut self) -> (String, String) {
        let offer = self.do_with(self.a, |session, _| session.offer().unwrap());
        let answer = self.do_with(self.b, |session, now| session.answer(&offer, now).unwrap());
        self.do_with(self.a, |session, now| session.accept_answer(&answer, now).unwrap());
        (String::from_utf8(offer.to_vec()).unwrap(), String::from_utf8(answer.to_vec()).unwrap())
    }

    fn talk(&mut self, seconds: u64) {
        for node in [self.a, self.b] {
            self.network.with(node, |telephone, now| telephone.talk(now)).unwrap();
        }
        self.network.run_for(Duration::from_secs(seconds));
    }

    fn telephone(&self, node: Node<Telephone>) -> &Telephone {
        self.network.machine(node).unwrap()
    }

    /// Each hears the other's tone in the last second.
    fn assert_both_hear(&self) {
        for (node, frequency, other) in [(self.a, 1000.0, 440.0), (self.b, 440.0, 1000.0)] {
            let telephone = self.telephone(node);
            let last = &telephone.heard[telephone.heard.len() - 8000..];
            assert!((Level::of(last).dbm0() + 10.0).abs() < 1.0, "{:?}", telephone.events);
            assert!(strength(last, frequency) > 20.0 * strength(last, other));
        }
        assert!(self.network.trace().faults() == 0, "{}", self.network.trace());
    }
}

/// How much of a frequency is in the samples (Goertzel's sum).
fn strength(samples: &[i16], frequency_hz: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * frequency_hz * index as f64 / 8000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    real.hypot(imaginary)
}

fn full() -> IceConfig {
    let mut ice = IceConfig::default();
    ice.stun_servers = vec![at(SERVER)];
    ice
}

fn with_turn() -> IceConfig {
    let mut ice = full();
    ice.turn_servers = vec![TurnServer::udp(at(SERVER), "alice", "secret")];
    ice
}

#[test]
fn keys_by_dtls_without_ice() {
    for mux in [RtcpMux::Offered, RtcpMux::Off] {
        let want = Want { ice: None, dtls: true, mux };
        let mut lab = lab([None, None], [&want, &want]);
        let (offer, answer) = lab.agree();
        assert!(offer.contains("UDP/TLS/RTP/SAVP") && offer.contains("a=setup:actpass"), "{offer}");
        assert!(answer.contains("a=setup:active"), "{answer}");
        lab.talk(12);
        lab.assert_both_hear();
        for node in [lab.a, lab.b] {
            let telephone = lab.telephone(node);
            assert!(telephone.is_encrypted(), "{:?}", telephone.events);
            // What the other reports comes by RTCP, on its own port under keys of its own.
            let counters = telephone.session.report().counters;
            assert!(counters.peer_lost.is_some() && counters.round_trip.is_some(), "{mux:?}: {counters:?}");
            assert_eq!(telephone.session.report().suite, Some("AEAD_AES_128_GCM"));
            assert!(telephone.session.report().counters.received > 150);
        }
    }
}

#[test]
fn a_hello_that_is_ahead_of_its_answer_is_kept() {
    let asks = Want::all(full());
    let answers = Want { ice: None, dtls: true, mux: RtcpMux::Offered };
    let mut lab = lab([None, None], [&asks, &answers]);
    lab.gather();
    let offer = lab.do_with(lab.a, |session, _| session.offer().unwrap());
    let answer = lab.do_with(lab.b, |session, now| session.answer(&offer, now).unwrap());
    // The hello travels 20 ms, its answer ten times as long; the hello would be sent again after 400 ms only.
    lab.network.run_for(Duration::from_millis(200));
    lab.do_with(lab.a, |session, now| session.accept_answer(&answer, now).unwrap());
    lab.network.run_for(Duration::from_millis(150));
    for node in [lab.a, lab.b] {
        let telephone = lab.telephone(node);
        assert!(telephone.is_encrypted(), "{:?}", telephone.events);
    }
}

#[test]
fn paths_by_ice_without_encryption() {
    let want = Want { ice: Some(full()), dtls: false, mux: RtcpMux::Off };
    let nat = Some(NatConfig::port_restricted());
    let mut lab = lab([nat.clone(), nat], [&want, &want]);
    lab.gather();
    let (offer, _) = lab.agree();
    let candidates = offer.lines().filter(|line| line.starts_with("a=candidate")).count();
    assert_eq!(candidates, 4, "host and reflexive for two components:\n{offer}");
    assert!(offer.contains("c=IN IP4 203.0.113.1"), "who has no ICE may use the NAT's address:\n{offer}");
    lab.talk(4);
    lab.assert_both_hear();
    let (path, relayed) = lab.telephone(lab.a).path().unwrap();
    assert!(!relayed && path.contains("203.0.113.2"), "{path}");
    assert!(lab.telephone(lab.a).session.report().counters.peer_lost.is_some(), "RTCP found its way too");
}

#[test]
fn ice_dtls_and_one_port_behind_every_nat() {
    let nats = [
        (None, None, false),
        (Some(NatConfig::full_cone()), Some(NatConfig::symmetric()), false),
        (Some(NatConfig::port_restricted()), Some(NatConfig::port_restricted()), false),
        (Some(NatConfig::symmetric()), Some(NatConfig::symmetric()), true),
        (Some(NatConfig::symmetric()), None, false),
    ];
    for (a, b, relayed) in nats {
        let want = Want::all(with_turn());
        let mut lab = lab([a, b], [&want, &want]);
        lab.gather();
        lab.agree();
        lab.talk(5);
        lab.assert_both_hear();
        for node in [lab.a, lab.b] {
            let telephone = lab.telephone(node);
            assert!(telephone.is_encrypted(), "{:?}", telephone.events);
            let (path, by_relay) = telephone.path().unwrap();
            assert_eq!(by_relay, relayed, "{path}");
            assert_eq!(telephone.session.report().path.as_deref(), Some(path));
            assert!(telephone.session.pairs().iter().any(|pair| pair.selected));
        }
    }
}

#[test]
fn only_by_the_relay_when_that_is_wanted() {
    let mut ice = with_turn();
    ice.relay_only = true;
    let (hidden, other) = (Want::all(ice), Want::all(full()));
    let mut lab = lab([None, None], [&hidden, &other]);
    lab.gather();
    let (offer, _) = lab.agree();
    assert!(!offer.contains("203.0.113.1"), "its address is told to nobody:\n{offer}");
    lab.talk(5);
    lab.assert_both_hear();
    assert!(lab.telephone(lab.a).path().unwrap().1);
    assert!(
        lab.telephone(lab.b)
            .session
            .report()
            .counters
            .destination
            .is_some_and(|it| it.ip() == ip("198.51.100.1"))
    );
}

#[test]
fn the_lite_end_answers_a_full_one_behind_a_nat() {
    for lite_offers in [false, true] {
        let mut lite = IceConfig::lite();
        lite.also_known_as = vec![ip("192.0.2.99")];
        let wants = if lite_offers {
            [Want::all(lite), Want::all(full())]
        } else {
            [Want::all(full()), Want::all(lite)]
        };
        let nat = Some(NatConfig::symmetric());
        let nats = if lite_offers { [None, nat] } else { [nat, None] };
        let mut lab = lab(nats, [&wants[0], &wants[1]]);
        lab.gather();
        let (offer, answer) = lab.agree();
        let description = if lite_offers { offer } else { answer };
        assert!(description.contains("a=ice-lite") && description.contains("192.0.2.99"), "{description}");
        lab.talk(4);
        lab.assert_both_hear();
    }
}

#[test]
fn with_a_peer_that_has_no_ice_the_addresses_of_descriptions_hold() {
    let plain = Want { ice: None, dtls: true, mux: RtcpMux::Offered };
    let mut lab = lab([None, None], [&Want::all(full()), &plain]);
    lab.gather();
    lab.agree();
    lab.talk(4);
    lab.assert_both_hear();
    assert!(lab.telephone(lab.a).path().is_none());
    assert!(lab.telephone(lab.a).is_encrypted());
}

#[test]
fn a_fifth_of_all_packets_lost() {
    let want = Want::all(with_turn());
    let nat = Some(NatConfig::port_restricted());
    let link = Link { loss: Loss::Random(0.1), ..Link::default() };
    let mut lab = lab_over([nat.clone(), nat], [&want, &want], link);
    lab.gather();
    lab.agree();
    lab.talk(20);
    for node in [lab.a, lab.b] {
        let telephone = lab.telephone(node);
        assert!(telephone.is_encrypted(), "{:?}", telephone.events);
        assert!(telephone.session.report().counters.received > 400);
    }
}

#[test]
fn a_certificate_that_is_not_the_named_one_gives_no_keys() {
    let want = Want { ice: None, dtls: true, mux: RtcpMux::Offered };
    let mut lab = lab([None, None], [&want, &want]);
    let offer = lab.do_with(lab.a, |session, _| session.offer().unwrap());
    let answer = lab.do_with(lab.b, |session, now| session.answer(&offer, now).unwrap());
    // Somebody on the way has put another fingerprint in.
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    let place = answer.find("a=fingerprint:sha-256 ").unwrap() + 22;
    let other = if &answer[place..place + 2] == "00" { "01" } else { "00" };
    let forged = format!("{}{other}{}", &answer[..place], &answer[place + 2..]);
    lab.do_with(lab.a, |session, now| session.accept_answer(forged.as_bytes(), now).unwrap());
    lab.talk(4);
    let a = lab.telephone(lab.a);
    assert!(a.events.contains(&Event::NotEncrypted { reason: Failure::WrongCertificate }), "{:?}", a.events);
    assert!(!a.is_encrypted());
    assert_eq!(a.session.report().counters.received, 0);
    assert_eq!(a.session.report().counters.sent, 0, "nothing was said in the clear");
}

/// Somebody who shakes hands with whoever listens.
struct Stranger(MediaSession, SocketAddr);

#[test]
fn a_stranger_who_says_hello_first_keeps_nobody_out() {
    let want = Want { ice: None, dtls: true, mux: RtcpMux::Offered };
    let mut lab = lab([None, None], [&want, &want]);
    let now = lab.network.now();
    let offer = lab.do_with(lab.a, |session, _| session.offer().unwrap());
    let answer = lab.do_with(lab.b, |session, now| session.answer(&offer, now).unwrap());
    // He has seen the offer, and answers it from another address with a certificate of his own.
    let mut stranger = Stranger(
        MediaSession::new(config(&want, "203.0.113.77", now), Seed([99; 32]), now),
        SocketAddr::new(ip("203.0.113.77"), 4000),
    );
    stranger.0.answer(&offer, now).unwrap();
    lab.do_with(lab.a, |session, now| session.accept_answer(&answer, now).unwrap());
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        let mut datagrams = Vec::new();
        while let Some(output) = stranger.0.poll_output() {
            if let Output::Transmit { payload, .. } = output {
                datagrams.push(payload.to_vec());
            }
        }
        let from = stranger.1;
        let mut replies = Vec::new();
        lab.network
            .with(lab.a, |telephone, now| {
                for mut datagram in datagrams {
                    outcomes.push(telephone.session.receive(&mut datagram, Path::from(from), now));
                }
                telephone.session.handle_timeout(now);
                while let Some(output) = telephone.session.poll_output() {
                    match output {
                        Output::Transmit { destination, payload, .. } if destination == from => {
                            replies.push(payload.to_vec());
                        }
                        Output::Event(event) => telephone.events.push(event),
                        _ => {}
                    }
                }
            })
            .unwrap();
        for mut reply in replies {
            stranger.0.receive(&mut reply, Path::from(lab_address(1)), now);
        }
    }
    assert!(outcomes.contains(&Action::Control), "he was heard");
    lab.talk(5);
    lab.assert_both_hear();
    let encrypted = |it: &&Event| matches!(it, Event::Encrypted { .. });
    assert_eq!(lab.telephone(lab.a).events.iter().filter(encrypted).count(), 1);
}

fn lab_address(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number], 4000))
}

#[test]
fn ice_begins_anew_in_a_call_and_sound_goes_on() {
    let want = Want::all(full());
    let nat = Some(NatConfig::full_cone());
    let mut lab = lab([nat, None], [&want, &want]);
    lab.gather();
    let (first, _) = lab.agree();
    lab.talk(3);
    lab.assert_both_hear();
    lab.do_with(lab.a, |session, now| session.restart_ice(now));
    let (second, answer) = lab.agree();
    let fragment = |text: &str| text.lines().find(|it| it.starts_with("a=ice-ufrag")).map(str::to_owned);
    assert_ne!(fragment(&first), fragment(&second));
    assert!(fragment(&answer).is_some());
    let before = [lab.a, lab.b].map(|node| lab.telephone(node).heard.len());
    lab.network.run_for(Duration::from_secs(3));
    lab.assert_both_hear();
    for (node, before) in [lab.a, lab.b].into_iter().zip(before) {
        let since = &lab.telephone(node).heard[before..];
        let silent = since.chunks(160).filter(|it| Level::of(it).dbm0() < -30.0).count();
        assert!(silent <= 2, "{silent} silent frames");
        assert_eq!(
            lab.telephone(node).events.iter().filter(|it| matches!(it, Event::Encrypted { .. })).count(),
            1
        );
    }
}

#[test]
fn a_path_that_dies_is_told() {
    let want = Want::all(full());
    let mut lab = lab([None, None], [&want, &want]);
    lab.gather();
    lab.agree();
    lab.talk(3);
    let b = lab.b;
    let host = lab.network.host_of(b).unwrap();
    let dead = Link { loss: Loss::All, ..Link::default() };
    lab.network.set_line(host, 0, dead.clone(), dead).unwrap();
    lab.network.run_for(Duration::from_secs(45));
    assert!(lab.telephone(lab.a).events.contains(&Event::PathLost), "{:?}", lab.telephone(lab.a).events);
}
