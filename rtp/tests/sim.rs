//! Sessions as machines on the virtual network: under the ten laws, behind NAT, over lossy links, with a thief beside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_rtp::{
    packet::Header,
    session::{self, Action, Config, Content, Format, Frame, Path, Seed, Session},
};
use denwa_sim::{
    self as sim, Link, Machine, Network, Node, Stimulus,
    laws::{Bounds, Subject},
    nat::NatConfig,
};
use session::{Event, Input};

const PTIME: Duration = Duration::from_millis(20);
const HERE: &str = "192.0.2.1:4000";
const PEER: &str = "203.0.113.9:7078";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A session that speaks every 20 ms while it may.
struct Talker {
    session: Session,
    address: SocketAddr,
    speaks: bool,
    next_frame: Instant,
    timestamp: u32,
    latest: Instant,
    heard: usize,
    events: Vec<Event>,
    outputs: std::collections::VecDeque<sim::Output>,
}

impl Talker {
    fn new(address: &str, remote: Option<&str>, speaks: bool, seed: [u8; 32], now: Instant) -> Self {
        let pcmu = Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media };
        let config = Config {
            remote: remote.map(at),
            local: Some(at(address)),
            maximum_members: 4,
            extended_reports: true,
            ..Config::new("talker", vec![pcmu], now)
        };
        Self {
            session: Session::new(config, Seed(seed), now),
            address: at(address),
            speaks,
            next_frame: now + PTIME,
            timestamp: 0,
            latest: now,
            heard: 0,
            events: Vec::new(),
            outputs: std::collections::VecDeque::new(),
        }
    }

    fn speak(&mut self, now: Instant) {
        let mut buffer = [0; 256];
        let frame = Frame {
            feed: 0,
            timestamp: self.timestamp,
            payload_type: 0,
            marker: false,
            payload: &[0xff; 160],
        };
        self.timestamp += 160;
        if let Ok(out) = self.session.send(frame, &mut buffer, now) {
            let payload = buffer[..out.length].to_vec();
            let transmit = sim::Transmit::datagram(Some(self.address), out.destination, payload);
            self.outputs.push_back(sim::Output::Transmit(transmit));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.outputs.push_back(match output {
                session::Output::Transmit(transmit) => sim::Output::Transmit(sim::Transmit::datagram(
                    transmit.source,
                    transmit.destination,
                    transmit.payload,
                )),
                session::Output::Event(event) => {
                    // Instants differ from run to run; what is told of them is how long after the beginning.
                    let text = format!("{event:?}");
                    let text = text.split("Instant").next().unwrap_or_default().to_owned();
                    self.events.push(event);
                    sim::Output::Event { text, life: sim::Life::None }
                }
            });
        }
    }
}

impl Machine for Talker {
    fn handle_input(&mut self, input: sim::Input<'_>, now: Instant) {
        self.latest = self.latest.max(now);
        match input {
            sim::Input::Datagram { local, remote, payload } => {
                let path = Path { source: remote, destination: Some(local) };
                if let Action::Media(_) = self.session.receive(payload, path, now) {
                    self.heard += 1;
                }
            }
            sim::Input::Unreachable { remote, .. } => {
                self.session.handle_input(Input::Unreachable { destination: remote }, now);
            }
            _ => {}
        }
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        let now = self.latest;
        if self.speaks && self.next_frame <= now {
            self.speak(now);
            // A late wake-up does not make a burst.
            self.next_frame = (self.next_frame + PTIME).max(now + Duration::from_millis(1));
        }
        self.session.handle_timeout(now);
        self.drain();
    }

    fn poll_output(&mut self) -> Option<sim::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let frame = self.speaks.then_some(self.next_frame);
        [self.session.poll_timeout(), frame].into_iter().flatten().min()
    }

    fn holdings(&self) -> Option<usize> {
        Some(self.session.sources().count() + self.session.latch_evidence().learned.len())
    }
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut buffer = vec![0; 172];
    let header = Header { ssrc, sequence, timestamp: u32::from(sequence) * 160, ..Header::default() };
    header.write(&[0x55; 160], &mut buffer).unwrap();
    buffer
}

fn datagram(payload: Vec<u8>) -> Stimulus {
    Stimulus::Datagram { local: at(HERE), remote: at(PEER), payload }
}

#[test]
fn a_session_keeps_the_ten_laws() {
    let report =
        b"\x81\xc9\x00\x07\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x05\
                   \x00\x00\x00\x00\x00\x00\x00\x00\x81\xca\x00\x03\x00\x00\x00\x07\x01\x03abc\x00\x00\x00"
            .to_vec();
    let goodbye = b"\x80\xc9\x00\x01\x00\x00\x00\x07\x81\xcb\x00\x02\x00\x00\x00\x07\x03bye".to_vec();
    let mut subject = Subject::new(|seed, now| Talker::new(HERE, Some(PEER), false, seed, now));
    for step in 0..40u16 {
        subject = subject.input(PTIME * u32::from(step), datagram(rtp(7, 100 + step)));
    }
    subject
        .input(secs(1), datagram(report))
        .command(secs(2), |talker, now| {
            talker.speak(now);
            talker.drain();
        })
        .command(secs(3), |talker, now| {
            talker.session.set_remote(Some(at("203.0.113.9:9000")), None, now);
            talker.drain();
        })
        .command(secs(20), |talker, now| {
            talker.session.expect_media(true, now);
            talker.drain();
        })
        .input(secs(30), datagram(goodbye))
        .command(secs(100), |talker, now| {
            talker.session.leave(Some("the end"), now);
            talker.drain();
        })
        .input(secs(101), datagram(rtp(7, 500)))
        .flood(2000, |number| datagram(rtp(number as u32, number as u16)))
        .bounds(Bounds { outputs_per_input: 8, holdings: 4 + 8 })
        .until(secs(200))
        .check()
        .unwrap();
}

struct Lab {
    network: Network,
    pbx: Node<Talker>,
    phone: Node<Talker>,
    thief: Node<Talker>,
}

/// A phone behind NAT that signalled its private address, an exchange on the Internet, and a thief.
fn lab(link: Link) -> Lab {
    let mut network = Network::new(5);
    let internet = network.internet();
    network.set_link(internet, link).unwrap();
    let home = network.add_segment("home", &["192.168.1.0/24".parse().unwrap()], Link::default());
    let outside = ["198.51.100.7".parse().unwrap()];
    let gateway = ["192.168.1.1".parse().unwrap()];
    network.add_nat("router", (internet, &outside), (home, &gateway), NatConfig::symmetric()).unwrap();
    let host = network.add_host("phone", home, &["192.168.1.50".parse().unwrap()]).unwrap();
    let (seed, now) = (network.seed(), network.now());
    let phone = Talker::new("192.168.1.50:7078", Some(HERE), true, seed, now);
    let phone = network.add_machine(host, phone).unwrap();
    network.bind(phone, sim::Protocol::Udp, at("192.168.1.50:7078")).unwrap();
    let host = network.add_host("pbx", internet, &[at(HERE).ip()]).unwrap();
    let seed = network.seed();
    let pbx =
        network.add_machine(host, Talker::new(HERE, Some("192.168.1.50:7078"), true, seed, now)).unwrap();
    network.bind(pbx, sim::Protocol::Udp, at(HERE)).unwrap();
    let host = network.add_host("thief", internet, &["203.0.113.66".parse().unwrap()]).unwrap();
    let seed = network.seed();
    let thief =
        network.add_machine(host, Talker::new("203.0.113.66:6666", Some(HERE), false, seed, now)).unwrap();
    network.bind(thief, sim::Protocol::Udp, at("203.0.113.66:6666")).unwrap();
    Lab { network, pbx, phone, thief }
}

#[test]
fn a_phone_behind_a_symmetric_nat_is_heard_and_hears() {
    let mut lab = lab(Link::default());
    lab.network.run_for(secs(10));
    let heard = |lab: &mut Lab, node: Node<Talker>| lab.network.with(node, |talker, _| talker.heard).unwrap();
    let (pbx, phone) = (lab.pbx, lab.phone);
    assert!(heard(&mut lab, pbx) > 490, "{}", heard(&mut lab, pbx));
    assert!(heard(&mut lab, phone) > 480, "{}", heard(&mut lab, phone));
    lab.network
        .with(pbx, |talker, _| {
            let evidence = talker.session.latch_evidence();
            assert_eq!(evidence.signalled, Some(at("192.168.1.50:7078")));
            assert_eq!(evidence.learned.len(), 1);
            assert_eq!(evidence.destination.unwrap().ip(), at("198.51.100.7:1").ip());
        })
        .unwrap();
}

#[test]
fn rtpbleed_on_the_network_steals_nothing() {
    let mut lab = lab(Link::default());
    lab.network.run_for(secs(2));
    lab.network
        .with(lab.thief, |talker, now| {
            talker.speaks = true;
            talker.next_frame = now;
        })
        .unwrap();
    lab.network.run_for(secs(60));
    assert_eq!(lab.network.with(lab.thief, |talker, _| talker.heard), Some(0));
    lab.network
        .with(lab.pbx, |talker, _| {
            assert!(talker.session.counters().refused > 2900);
            assert_eq!(talker.session.latch_evidence().learned.len(), 1);
        })
        .unwrap();
}

#[test]
fn reports_over_a_bad_link_say_what_it_did() {
    let mut lab = lab(Link::with_latency(Duration::from_millis(40)).lossy(0.05));
    lab.network.run_for(secs(120));
    let sent = lab.network.with(lab.phone, |talker, _| talker.session.sender().packets()).unwrap();
    lab.network
        .with(lab.pbx, |talker, now| {
            let source = talker.session.active_source().unwrap();
            let loss = source.lost() as f64 / source.expected() as f64;
            assert!((0.03..0.07).contains(&loss), "{loss}");
            assert!(source.expected() > sent - 20);
            let quality = talker.session.quality(None, now);
            let round_trip = quality.round_trip.unwrap();
            assert!(
                (Duration::from_millis(75)..Duration::from_millis(110)).contains(&round_trip),
                "{round_trip:?}"
            );
            assert!(quality.received.mos.unwrap() < 4.2);
            assert!((0.0..0.15).contains(&quality.sent.loss));
        })
        .unwrap();
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = || {
        let mut lab = lab(Link::bad(0.03));
        lab.network.run_for(secs(30));
        lab.network.trace().to_string()
    };
    assert_eq!(run(), run());
}
