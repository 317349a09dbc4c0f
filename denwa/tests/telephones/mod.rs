//! Telephones made of user agents on the virtual network, each saying a tone of its own and keeping what it hears.
#![allow(dead_code)]

use crate::virtual_host::Host;
use denwa::Seed;
use denwa::driver::Machine;
use denwa::evidence::{Cause, Confidence, Evidence};
use denwa::ua::{Account, CallId, Event, UserAgent, UserAgentConfig};
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_sim::middlebox::{Middlebox, Passage, Verdict};
use denwa_sim::packet::{Body, Packet};
use denwa_sim::{HostId, Network, Node, SegmentId};
use denwa_sip_core::config::Listener;
use denwa_sip_core::{Protocol, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How a telephone treats calls.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    Answers,
    LetsRing,
    /// Answers and says nothing.
    Silent,
    Refuses,
}

/// What the application of a telephone keeps.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) heard: Vec<i16>,
    /// What was known of the call that ended last.
    pub(crate) evidence: Option<Box<Evidence>>,
    pub(crate) call: Option<CallId>,
    /// Those that came in.
    pub(crate) calls: Vec<CallId>,
}

pub(crate) type Phone = Host<UserAgent>;

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) internet: SegmentId,
}

pub(crate) struct Telephone {
    pub(crate) node: Node<Phone>,
    pub(crate) room: std::sync::Arc<std::sync::Mutex<Room>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        let internet = network.internet();
        Self { network, internet }
    }

    pub(crate) fn phone(&mut self, name: &str, address: &str, pitch: f64, manner: Manner) -> Telephone {
        self.phone_with(name, address, pitch, manner, |_| {})
    }

    /// A telephone that says a tone of its own and keeps what it hears.
    pub(crate) fn phone_with(
        &mut self,
        name: &str,
        address: &str,
        pitch: f64,
        manner: Manner,
        adjust: impl FnOnce(&mut UserAgentConfig),
    ) -> Telephone {
        let ip: IpAddr = address.parse().unwrap();
        let host: HostId = self.network.add_host(name, self.internet, &[ip]).unwrap();
        self.phone_on(host, name, ip, pitch, manner, adjust)
    }

    /// The same on a host that is there already.
    pub(crate) fn phone_on(
        &mut self,
        host: HostId,
        name: &str,
        ip: IpAddr,
        pitch: f64,
        manner: Manner,
        adjust: impl FnOnce(&mut UserAgentConfig),
    ) -> Telephone {
        let address = SocketAddr::new(ip, 5060);
        let listeners =
            [Protocol::Udp, Protocol::Tcp].map(|protocol| Listener::new(protocol, address)).to_vec();
        let mut config = UserAgentConfig::new(listeners);
        adjust(&mut config);
        let now = self.network.now();
        let seed = u8::try_from(name.len()).unwrap() * 16 + name.as_bytes()[0] % 16;
        let mut agent = UserAgent::new(config, Seed([seed; 32]), now);
        agent.add_account(Account::new(name, ip.to_string()));
        let room = std::sync::Arc::new(std::sync::Mutex::new(Room::default()));
        let kept = std::sync::Arc::clone(&room);
        let mut voice = Generator::new(&Tone::steady(&[Sine::new(pitch, -10.0)]), 8000);
        let react = move |agent: &mut UserAgent, event: Event, now| {
            let mut room = kept.lock().unwrap();
            match event {
                Event::Incoming { call, from, .. } => {
                    room.call = Some(call);
                    room.calls.push(call);
                    match manner {
                        Manner::Answers | Manner::Silent => agent.answer(call, now).unwrap(),
                        Manner::Refuses => agent.refuse(call, StatusCode::BUSY_HERE, now).unwrap(),
                        Manner::LetsRing => {}
                    }
                    Some(format!("incoming from {from}"))
                }
                Event::Sound { call, samples } => {
                    let mut said = vec![0; samples.len()];
                    voice.generate(&mut said);
                    // Before an agreement nobody listens.
                    if manner != Manner::Silent {
                        let _ = agent.say(call, &said);
                    }
                    room.heard.extend(samples);
                    None
                }
                Event::ConferenceSound { samples } => {
                    let mut said = vec![0; samples.len()];
                    voice.generate(&mut said);
                    agent.say_to_conference(&said);
                    room.heard.extend(samples);
                    None
                }
                Event::Ended { reason, evidence, .. } => {
                    let findings: Vec<String> =
                        evidence.findings().iter().map(|finding| format!("{:?}", finding.cause)).collect();
                    room.evidence = Some(evidence);
                    Some(format!("ended: {reason} {findings:?}"))
                }
                Event::Media { event, .. } => match event {
                    denwa::media::Event::Report(_) => None,
                    event => Some(format!("media {event:?}")),
                },
                Event::Ringing { status, .. } => Some(format!("ringing {}", status.code())),
                Event::Answered { .. } => Some("answered".to_owned()),
                other => Some(format!("{other:?}")),
            }
        };
        let host_machine = Host::new(agent, seed, now, Box::new(react));
        let node = self.network.add_machine(host, host_machine).unwrap();
        for protocol in [denwa_sim::Protocol::Udp, denwa_sim::Protocol::Tcp] {
            self.network.bind(node, protocol, address).unwrap();
        }
        Telephone { node, room }
    }

    pub(crate) fn act<T>(
        &mut self,
        phone: &Telephone,
        act: impl FnOnce(&mut UserAgent, std::time::Instant) -> T,
    ) -> T {
        self.network.with(phone.node, |host, now| host.act(now, act)).unwrap()
    }

    pub(crate) fn call(&mut self, from: &Telephone, to: &str) -> CallId {
        let call = self.act(from, |agent, now| {
            let account = agent.add_account(Account::new("caller", "example.org"));
            agent.call(account, to, now).unwrap()
        });
        from.room.lock().unwrap().call = Some(call);
        call
    }

    pub(crate) fn told(&self, phone: &Telephone) -> Vec<String> {
        self.network.machine(phone.node).unwrap().told.clone()
    }

    /// What a telephone hears in the next seconds, but for the first one, while voices settle.
    pub(crate) fn listen(&mut self, phone: &Telephone, seconds: u64) -> Vec<i16> {
        phone.room.lock().unwrap().heard.clear();
        self.pass(seconds);
        let heard = phone.room.lock().unwrap().heard.clone();
        heard.get(8000..).unwrap_or_default().to_vec()
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.network.run_for(Duration::from_secs(seconds));
    }

    /// After all timers nobody holds anything.
    pub(crate) fn assert_quiet(&mut self, phones: &[&Telephone]) {
        self.pass(200);
        for phone in phones {
            let host = self.network.machine(phone.node).unwrap();
            assert_eq!(host.machine.calls().count(), 0);
            assert_eq!(Machine::poll_timeout(&host.machine), None);
        }
        assert_eq!(self.network.trace().faults(), 0);
    }
}

/// How loud a pitch is in what was heard, in dBm0: the tone's share by correlation.
pub(crate) fn loudness(samples: &[i16], pitch: f64) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = std::f64::consts::TAU * pitch * n as f64 / 8000.0;
        sine += f64::from(*sample) * phase.sin();
        cosine += f64::from(*sample) * phase.cos();
    }
    let amplitude = 2.0 * (sine.hypot(cosine)) / samples.len() as f64;
    // 0 dBm0 is the amplitude of the digital milliwatt.
    20.0 * (amplitude / MILLIWATT).log10()
}

/// The amplitude of the digital milliwatt: 3.14 dB below full scale.
pub(crate) const MILLIWATT: f64 = 22_800.0;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What the telephone's last call came to: this cause, and no other of equal confidence.
pub(crate) fn assert_cause(phone: &Telephone, cause: Cause, confidence: Confidence) {
    let room = phone.room.lock().unwrap();
    let evidence = room.evidence.as_ref().expect("the call has ended");
    let found = evidence.findings();
    let first = found.first().unwrap_or_else(|| {
        let facts: Vec<String> = evidence.facts().map(|dated| dated.fact.to_string()).collect();
        panic!("no finding of {cause:?}: {facts:#?}")
    });
    assert_eq!((first.cause, first.confidence), (cause, confidence), "{found:#?}");
    assert!(found.get(1).is_none_or(|second| second.confidence < first.confidence), "{found:#?}");
    assert!(!first.shown_by.is_empty());
}

pub(crate) fn assert_healthy(phone: &Telephone) {
    let room = phone.room.lock().unwrap();
    assert_eq!(room.evidence.as_ref().expect("the call has ended").findings(), []);
}

/// Calls, talks for so long, hangs up; gives what the two heard of one another.
pub(crate) fn call(world: &mut World, from: &Telephone, to: &str, seconds: u64) {
    let call = world.call(from, to);
    world.pass(seconds);
    // It may be over already.
    let _ = world.act(from, |agent, now| agent.hang_up(call, now));
    world.pass(40);
}

/// Changes what matches in messages that leave.
pub(crate) struct Tamper(pub(crate) fn(&str) -> Option<String>);

impl Middlebox for Tamper {
    fn after_routing(&mut self, packet: &mut Packet, _: Passage) -> Verdict {
        if let Body::Datagram(payload) = &mut packet.body
            && let Some(text) = std::str::from_utf8(payload).ok().filter(|text| text.contains("SIP/2.0"))
        {
            match (self.0)(text) {
                Some(changed) => *payload = changed.into(),
                None => return Verdict::Drop("tampered with"),
            }
        }
        Verdict::Pass
    }
}
