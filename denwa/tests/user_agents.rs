//! User agents call one another through the virtual network, with sound, and end as they should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod virtual_host;

use denwa::Seed;
use denwa::driver::Machine;
use denwa::ua::{Account, CallId, Event, UserAgent, UserAgentConfig};
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_sdp::{Capability, Codec};
use denwa_sim::{HostId, Link, Network, Node, SegmentId};
use denwa_sip_core::config::Listener;
use denwa_sip_core::{Protocol, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use virtual_host::Host;

/// How a telephone treats calls.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Answers,
    LetsRing,
    Refuses,
}

/// What the application of a telephone keeps.
#[derive(Default)]
struct Room {
    heard: Vec<i16>,
    call: Option<CallId>,
}

type Phone = Host<UserAgent>;

struct World {
    network: Network,
    internet: SegmentId,
}

struct Telephone {
    node: Node<Phone>,
    room: std::sync::Arc<std::sync::Mutex<Room>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        let internet = network.internet();
        Self { network, internet }
    }

    fn phone(&mut self, name: &str, address: &str, pitch: f64, manner: Manner) -> Telephone {
        self.phone_with(name, address, pitch, manner, |_| {})
    }

    /// A telephone that says a tone of its own and keeps what it hears.
    fn phone_with(
        &mut self,
        name: &str,
        address: &str,
        pitch: f64,
        manner: Manner,
        adjust: impl FnOnce(&mut UserAgentConfig),
    ) -> Telephone {
        let ip: IpAddr = address.parse().unwrap();
        let host: HostId = self.network.add_host(name, self.internet, &[ip]).unwrap();
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
                    match manner {
                        Manner::Answers => agent.answer(call, now).unwrap(),
                        Manner::Refuses => agent.refuse(call, StatusCode::BUSY_HERE, now).unwrap(),
                        Manner::LetsRing => {}
                    }
                    Some(format!("incoming from {from}"))
                }
                Event::Sound { call, samples } => {
                    let mut said = vec![0; samples.len()];
                    voice.generate(&mut said);
                    // Before an agreement nobody listens.
                    let _ = agent.say(call, &said);
                    room.heard.extend(samples);
                    None
                }
                Event::Ended { reason, evidence, .. } => {
                    let findings: Vec<String> =
                        evidence.findings().iter().map(|finding| format!("{:?}", finding.cause)).collect();
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

    fn act<T>(&mut self, phone: &Telephone, act: impl FnOnce(&mut UserAgent, std::time::Instant) -> T) -> T {
        self.network.with(phone.node, |host, now| host.act(now, act)).unwrap()
    }

    fn call(&mut self, from: &Telephone, to: &str) -> CallId {
        let call = self.act(from, |agent, now| {
            let account = agent.add_account(Account::new("caller", "example.org"));
            agent.call(account, to, now).unwrap()
        });
        from.room.lock().unwrap().call = Some(call);
        call
    }

    fn told(&self, phone: &Telephone) -> Vec<String> {
        self.network.machine(phone.node).unwrap().told.clone()
    }

    fn pass(&mut self, seconds: u64) {
        self.network.run_for(Duration::from_secs(seconds));
    }

    /// After all timers nobody holds anything.
    fn assert_quiet(&mut self, phones: &[&Telephone]) {
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
fn loudness(samples: &[i16], pitch: f64) -> f64 {
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
const MILLIWATT: f64 = 22_800.0;

#[test]
fn a_call_with_sound_both_ways() {
    let mut world = World::new(1);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(5);
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(1);
    let told = world.told(&alice);
    assert_eq!(told[0], "ringing 180");
    assert!(told.contains(&"answered".to_owned()), "{told:?}");
    assert_eq!(told.last().unwrap(), "ended: hung up here []", "no findings in a healthy call");
    assert_eq!(world.told(&bob).last().unwrap(), "ended: the other side hung up []");
    for (phone, own, other) in [(&alice, 440.0, 600.0), (&bob, 600.0, 440.0)] {
        let heard = phone.room.lock().unwrap().heard.clone();
        let middle = &heard[8000..32_000];
        assert!(loudness(middle, other) > -13.0, "{}", loudness(middle, other));
        assert!(loudness(middle, own) < -40.0, "its own voice does not come back");
    }
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn the_same_seed_tells_the_same_story_on_a_bad_network() {
    let story = || {
        let mut world = World::new(7);
        let internet = world.internet;
        world.network.set_link(internet, Link::bad(0.1)).unwrap();
        let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
        let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
        let call = world.call(&alice, "sip:bob@192.0.2.2");
        world.pass(20);
        world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
        world.pass(40);
        assert!(world.told(&bob).contains(&"answered".to_owned()), "{:?}", world.told(&bob));
        world.network.trace().digest()
    };
    assert_eq!(story(), story());
}

#[test]
fn busy_and_declined_and_nobody() {
    let mut world = World::new(2);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Refuses);
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: refused: 486 Busy Here [\"Busy\"]");
    world.call(&alice, "sip:nobody@192.0.2.99");
    world.pass(60);
    assert_eq!(
        world.told(&alice).last().unwrap(),
        "ended: not reached: no reply of any kind [\"NoReply\"]",
        "{:?}",
        world.told(&alice)
    );
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn giving_up_while_it_rings() {
    let mut world = World::new(3);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::LetsRing);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(3);
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(2);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: given up before an answer []");
    assert_eq!(world.told(&bob).last().unwrap(), "ended: the caller gave up []");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn nothing_in_common_names_both_lists() {
    let mut world = World::new(4);
    let only =
        |codec: Codec| move |config: &mut UserAgentConfig| config.capability = Capability::telephone([codec]);
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, only(Codec::pcma()));
    let bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, only(Codec::pcmu()));
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    let told = world.told(&alice);
    let last = told.last().unwrap();
    assert!(
        last.starts_with("ended: refused: 488") && last.contains("PCMA") && last.contains("PCMU"),
        "{last}"
    );
    assert!(last.contains("NoCommonCodec"), "{last}");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn hold_digits_and_resumption() {
    let mut world = World::new(5);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.press(call, "42#", now).unwrap());
    world.pass(2);
    let digits: Vec<String> = world.told(&bob).into_iter().filter(|line| line.contains("Digit")).collect();
    assert_eq!(digits.len(), 3, "{digits:?}");
    world.act(&alice, |agent, now| agent.hold(call, now).unwrap());
    world.pass(1);
    assert!(
        world
            .told(&bob)
            .iter()
            .any(|line| line.contains("DirectionChanged { sends: false, receives: true }"))
    );
    alice.room.lock().unwrap().heard.clear();
    world.pass(2);
    let held = alice.room.lock().unwrap().heard.clone();
    assert!(loudness(&held[4000..], 600.0) < -40.0, "bob is silent");
    world.act(&alice, |agent, now| agent.resume(call, now).unwrap());
    world.pass(1);
    alice.room.lock().unwrap().heard.clear();
    world.pass(3);
    let resumed = alice.room.lock().unwrap().heard.clone();
    assert!(loudness(&resumed[8000..], 600.0) > -13.0, "{}", loudness(&resumed[8000..], 600.0));
    world.act(&bob, |agent, now| {
        let call = agent.calls().next().unwrap();
        agent.hang_up(call, now).unwrap();
    });
    world.pass(1);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: the other side hung up []");
    world.assert_quiet(&[&alice, &bob]);
}

#[test]
fn a_call_over_tcp_and_by_name() {
    let mut world = World::new(6);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    world.network.names().add("bob.example", denwa_sim::Record::A("192.0.2.2".parse().unwrap()));
    let call = world.call(&alice, "sip:bob@bob.example;transport=tcp");
    world.pass(3);
    assert!(world.told(&alice).contains(&"answered".to_owned()), "{:?}", world.told(&alice));
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(1);
    world.call(&alice, "sip:bob@nowhere.example");
    world.pass(3);
    assert_eq!(
        world.told(&alice).last().unwrap(),
        "ended: not reached: the name nowhere.example has no address [\"NameUnknown\"]"
    );
    assert_eq!(world.told(&bob).len(), 4, "{:?}", world.told(&bob));
}

#[test]
fn shutting_down_hangs_up() {
    let mut world = World::new(8);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.shut_down(now));
    world.pass(40);
    assert_eq!(world.told(&alice).last().unwrap(), "ShutDown");
    assert_eq!(world.told(&bob).last().unwrap(), "ended: the other side hung up []");
    world.assert_quiet(&[&alice, &bob]);
}
