//! A bridge between one telephone that finds its way by ICE and makes its keys by DTLS, and one that has neither: sound both ways, and
//! what is on each wire. On virtual time, without a network between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa::Seed;
use denwa::bridge::{
    Action, BridgeConfig, CarriedBy, Command, Component, Connection, Event, Input, LegId, LegSpec,
    MediaBridge, Misuse, Output, Path,
};
use denwa::media::{
    Event as Told, IceConfig, Identity, MediaConfig, MediaSession, Output as Said, StreamParameters,
};
use denwa_codecs::level::Level;
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_sdp::{
    Capability, Codec, Encryption, EncryptionCapability, Ice, LocalIce, LocalSource, Negotiator, RtcpMux,
    Transport,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(20);
const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// How a leg and its telephone speak to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Plain,
    Sdes,
    Dtls,
    IceAndDtls,
    LiteAndDtls,
}

impl Manner {
    fn capability(self, codec: Codec, identity: &Identity) -> Capability {
        let mut capability = Capability::telephone([codec]);
        capability.rtcp_mux = RtcpMux::Offered;
        let dtls = EncryptionCapability::dtls(Encryption::Required, identity.fingerprint());
        match self {
            Self::Plain => capability,
            Self::Sdes => capability.with_encryption(EncryptionCapability::sdes(Encryption::Required)),
            Self::Dtls => capability.with_encryption(dtls),
            Self::IceAndDtls | Self::LiteAndDtls => capability.with_encryption(dtls).with_ice(Ice::Full),
        }
    }

    fn ice(self) -> Option<IceConfig> {
        match self {
            Self::Plain | Self::Sdes | Self::Dtls => None,
            Self::IceAndDtls => Some(IceConfig::default()),
            Self::LiteAndDtls => Some(IceConfig::lite()),
        }
    }

    fn has_identity(self) -> bool {
        !matches!(self, Self::Plain | Self::Sdes)
    }
}

struct Telephone {
    session: MediaSession,
    rtp: SocketAddr,
    rtcp: SocketAddr,
    tone: Generator,
    heard: Vec<i16>,
    told: Vec<Told>,
}

struct World {
    bridge: MediaBridge,
    now: Instant,
    beat: Instant,
    telephones: Vec<Telephone>,
    /// Whence, whither, what.
    wire: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Nothing arrives.
    is_cut: bool,
    /// Every RTP packet that a telephone received, by telephone.
    seen: [Vec<Vec<u8>>; 2],
    events: Vec<Event>,
}

fn leg(index: usize) -> LegId {
    LegId(index as u64 + 1)
}

fn of_bridge(leg: LegId, component: Component) -> SocketAddr {
    let port = 20_000 + 2 * leg.0 as u16 + u16::from(component == Component::Rtcp);
    SocketAddr::from(([192, 0, 2, 9], port))
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            bridge: MediaBridge::new(BridgeConfig::new(UNIX, now), Seed([9; 32]), now),
            now,
            beat: now,
            telephones: Vec::new(),
            wire: VecDeque::new(),
            is_cut: false,
            seen: [Vec::new(), Vec::new()],
            events: Vec::new(),
        }
    }

    /// Two telephones that have called through the bridge, in these manners and codecs.
    fn call(manners: [Manner; 2], codecs: [Codec; 2]) -> Self {
        Self::call_in_packets(manners, codecs, [[None; 2]; 2])
    }

    /// The same, where each telephone, and the bridge's side towards it, want packets of so many ms.
    fn call_in_packets(manners: [Manner; 2], codecs: [Codec; 2], wanted: [[Option<u64>; 2]; 2]) -> Self {
        let mut world = Self::new();
        for (index, (manner, codec)) in manners.into_iter().zip(codecs).enumerate() {
            world.add(index, manner, codec, wanted[index].map(|wanted| wanted.map(Duration::from_millis)));
        }
        world.command(Command::Connect { leg: leg(0), to: Connection::Leg(leg(1)) });
        world
    }

    fn add(
        &mut self,
        index: usize,
        manner: Manner,
        codec: Codec,
        [its_wish, our_wish]: [Option<Duration>; 2],
    ) {
        let identity = Identity::generate().unwrap();
        let at = |port| SocketAddr::from(([192, 0, 2, index as u8 + 1], port));
        let (rtp, rtcp) = (at(4000), at(4001));
        let mut capability = manner.capability(codec.clone(), &identity);
        capability.media[0].packet_time = its_wish;
        let mut config = MediaConfig::new(capability, rtp, rtcp, rtp, UNIX, self.now);
        config.ice = manner.ice().map(|_| IceConfig::default());
        config.identity = manner.has_identity().then_some(identity);
        let session = MediaSession::new(config, Seed([index as u8 + 1; 32]), self.now);
        let tone = Generator::new(&Tone::steady(&[Sine::new([440.0, 1000.0][index], -10.0)]), 8000);
        self.telephones.push(Telephone { session, rtp, rtcp, tone, heard: Vec::new(), told: Vec::new() });

        let own = Identity::generate().unwrap();
        let leg = leg(index);
        let (rtp, rtcp) = (of_bridge(leg, Component::Rtp), of_bridge(leg, Component::Rtcp));
        let spec =
            LegSpec { group: 1, rtp, rtcp, silence_after: Duration::from_secs(30), cname: "leg".into() };
        self.command(Command::Open { leg, spec });
        let by = CarriedBy {
            ice: manner.ice(),
            identity: manner.has_identity().then(|| own.clone()),
            rtcp_mux: false,
        };
        self.command(Command::Carry { leg, by: Box::new(by) });
        self.run_until(|world| {
            let gathered = world.telephones.last().unwrap().session.is_gathered();
            gathered && (manner.ice().is_none() || world.ice_of(leg).is_some())
        });
        let mut capability = manner.capability(codec, &own);
        capability.media[0].packet_time = our_wish;
        self.command(Command::KeepPacketTime { leg, wanted: its_wish.is_some() });
        self.agree(index, capability, manner);
    }

    /// The telephone offers, the bridge's side answers.
    fn agree(&mut self, index: usize, mut capability: Capability, manner: Manner) {
        let leg = leg(index);
        if manner == Manner::LiteAndDtls {
            capability = capability.with_ice(Ice::Lite);
        }
        let mut transport = Transport::audio(of_bridge(leg, Component::Rtp));
        if let Some((ice, source)) = self.ice_of(leg) {
            transport = transport.with_ice(ice).with_source(source);
        }
        let mut negotiator = Negotiator::new(capability, vec![transport], denwa_sdp::Seed([7; 32]));
        let telephone = &mut self.telephones[index];
        let offer = telephone.session.offer().unwrap();
        let answer = negotiator.answer(&offer).unwrap();
        telephone.session.accept_answer(&answer, self.now).unwrap();
        let agreed = negotiator.agreed().unwrap().audio().unwrap();
        let stream = Box::new(StreamParameters::from_agreed(agreed).unwrap());
        self.command(Command::Configure { leg, stream });
    }

    fn ice_of(&self, leg: LegId) -> Option<(LocalIce, LocalSource)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::IceReady { leg: of, ice, source, .. } if *of == leg => {
                Some(((**ice).clone(), (**source).clone()))
            }
            _ => None,
        })
    }

    fn command(&mut self, command: Command) {
        self.bridge.command(command, self.now).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        let mut buffer = [0; 2048];
        while let Some(output) = self.bridge.poll_output() {
            match output {
                Output::Transmit(out) => {
                    self.wire.push_back((
                        of_bridge(out.leg, out.component),
                        out.destination,
                        out.payload.to_vec(),
                    ));
                }
                Output::Bind { leg, rtp, rtcp } => {
                    self.bridge.handle_input(Input::Bound { leg, rtp, rtcp }, self.now)
                }
                Output::Unbind { .. } | Output::Wire { .. } => {}
                Output::Event(event) => self.events.push(event),
            }
        }
        for telephone in &mut self.telephones {
            while let Some(out) = telephone.session.next_packet(&mut buffer, self.now) {
                self.wire.push_back((telephone.rtp, out.destination, buffer[..out.length].to_vec()));
            }
            while let Some(output) = telephone.session.poll_output() {
                match output {
                    Said::Transmit { source, destination, payload } => {
                        self.wire.push_back((source, destination, payload.to_vec()));
                    }
                    Said::Wire(wire) => telephone.session.decline(&wire, self.now),
                    Said::Event(event) => telephone.told.push(event),
                }
            }
        }
    }

    /// Carries one datagram.
    fn carry(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        if self.is_cut {
            return;
        }
        if let Some(index) = self.telephones.iter().position(|it| it.rtp == to || it.rtcp == to) {
            // Version 2, and no RTCP's type.
            if bytes[0] >> 6 == 2 && !(192..=223).contains(&bytes[1]) {
                self.seen[index].push(bytes.clone());
            }
            let path = Path { source: from, destination: Some(to) };
            self.telephones[index].session.receive(&mut bytes, path, self.now);
            return;
        }
        let mut buffer = [0; 4096];
        buffer[..bytes.len()].copy_from_slice(&bytes);
        for leg in [leg(0), leg(1)] {
            let rtcp = to == of_bridge(leg, Component::Rtcp);
            if !rtcp && to != of_bridge(leg, Component::Rtp) {
                continue;
            }
            let path = Path { source: from, destination: Some(to) };
            if let Action::Forward(forward) =
                self.bridge.receive(leg, path, &mut buffer, bytes.len(), self.now)
            {
                let out =
                    (of_bridge(forward.leg, Component::Rtp), forward.destination, forward.bytes.to_vec());
                self.wire.push_back(out);
            }
        }
    }

    fn step(&mut self) {
        self.drain();
        while let Some((from, to, bytes)) = self.wire.pop_front() {
            self.carry(from, to, bytes);
            self.drain();
        }
        let deadlines = self.telephones.iter().filter_map(|it| it.session.poll_timeout());
        let next = deadlines.chain(self.bridge.poll_timeout()).chain([self.beat]).min().unwrap();
        self.now = self.now.max(next);
        self.bridge.handle_timeout(self.now);
        let mut buffer = [0; 2048];
        while let Some(out) = self.bridge.next_frame(&mut buffer, self.now) {
            let bytes = buffer[..out.length].to_vec();
            self.wire.push_back((of_bridge(out.leg, Component::Rtp), out.destination, bytes));
        }
        let is_beat = self.beat <= self.now;
        for telephone in &mut self.telephones {
            telephone.session.handle_timeout(self.now);
            if is_beat {
                let mut sound = [0; 160];
                telephone.tone.generate(&mut sound);
                telephone.session.say(&sound);
                telephone.session.hear(&mut sound, self.now);
                telephone.heard.extend(sound);
            }
        }
        if is_beat {
            self.beat += BEAT;
        }
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(30);
        while !done(self) {
            assert!(
                self.now < end,
                "{:#?}\n{:#?}",
                self.events,
                self.telephones.iter().map(|it| &it.told).collect::<Vec<_>>()
            );
            self.step();
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_until(|world| world.now >= end);
        self.drain();
    }

    /// Each hears the other's tone in the last second.
    fn assert_both_hear(&self, manners: [Manner; 2]) {
        for (index, own, other) in [(0, 1000.0, 440.0), (1, 440.0, 1000.0)] {
            let heard = &self.telephones[index].heard;
            let last = &heard[heard.len() - 8000..];
            assert!((Level::of(last).dbm0() + 10.0).abs() < 1.0, "{manners:?} {index}: {:#?}", self.events);
            assert!(strength(last, own) > 20.0 * strength(last, other), "{manners:?} {index}");
        }
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

#[test]
fn a_leg_with_ice_and_dtls_is_joined_to_one_of_any_other_kind() {
    use Manner::*;
    for manners in [
        [IceAndDtls, Plain],
        [Plain, IceAndDtls],
        [IceAndDtls, Sdes],
        [LiteAndDtls, Plain],
        [Dtls, Sdes],
        [IceAndDtls, LiteAndDtls],
    ] {
        let mut world = World::call(manners, [Codec::pcma(), Codec::pcma()]);
        world.run_for(Duration::from_secs(4));
        world.assert_both_hear(manners);
        for (index, manner) in manners.into_iter().enumerate() {
            let told = |like: fn(&Event) -> bool| world.events.iter().any(like);
            if manner.ice().is_some() {
                assert!(told(|event| matches!(event, Event::PathChosen { .. })), "{manners:?}");
            }
            if manner.has_identity() {
                assert!(told(|event| matches!(event, Event::Encrypted { .. })), "{manners:?}");
            }
            // A tone in A-law is the same every 2 to 8 periods; what is encrypted never comes twice.
            let payloads: Vec<&[u8]> = world.seen[index].iter().map(|packet| &packet[12..]).collect();
            let repeated = payloads.windows(60).any(|window| window[1..].contains(&window[0]));
            assert_eq!(repeated, manner == Plain, "{manners:?}: what telephone {index} received");
        }
    }
}

#[test]
fn it_transcodes_between_them_too() {
    let manners = [Manner::IceAndDtls, Manner::Plain];
    let mut world = World::call(manners, [Codec::pcmu(), Codec::pcma()]);
    world.run_for(Duration::from_secs(4));
    world.assert_both_hear(manners);
    let types = |index: usize| world.seen[index].iter().map(|packet| packet[1] & 127).max();
    assert_eq!((types(0), types(1)), (Some(0), Some(8)));
}

/// Each telephone gets the packets that it asked for, and neither sends such; what is on the wire is encrypted anew.
#[test]
fn packets_are_cut_and_joined_between_them_too() {
    use Manner::*;
    // Octets of a millisecond, and of what protects a packet: the tag (RFC 3711), or the longer one of AES-GCM (RFC 7714).
    for (manners, codec, octets) in [
        ([Sdes, Sdes], Codec::new("G726-32", 8000), 4),
        ([Sdes, Plain], Codec::new("AAL2-G726-40", 8000), 5),
        ([Dtls, Sdes], Codec::new("L16", 8000), 16),
        ([IceAndDtls, Plain], Codec::g722(), 8),
    ] {
        let mut world = World::call_in_packets(
            manners,
            [codec.clone(), codec],
            [[Some(60), Some(20)], [Some(30), Some(40)]],
        );
        world.run_for(Duration::from_secs(4));
        world.assert_both_hear(manners);
        for (index, milliseconds) in [(0, 60), (1, 30)] {
            let lengths: Vec<usize> = world.seen[index].iter().map(|packet| packet.len() - 12).collect();
            let protection = if manners[index] == Plain { 0..=0 } else { 10..=16 };
            let is_as_wanted = |length: &usize| protection.contains(&(length - milliseconds * octets));
            assert!(lengths.len() > 40, "{manners:?} {index}: {}", lengths.len());
            assert!(lengths.iter().all(is_as_wanted), "{manners:?} {index}: {lengths:?}");
        }
    }
}

/// Connections to servers have numbers of the leg's agent: a second agent would use those of the first.
#[test]
fn a_leg_is_given_ice_once() {
    let mut world = World::call([Manner::IceAndDtls, Manner::Plain], [Codec::pcmu(), Codec::pcmu()]);
    let by = Box::new(CarriedBy { ice: Some(IceConfig::default()), ..CarriedBy::default() });
    let again = world.bridge.command(Command::Carry { leg: leg(0), by }, world.now);
    assert_eq!(again, Err(Misuse::CarriedAlready));
}

/// Whoever speaks WebRTC waits to be told who will send (RFC 8829 §5.2.1); telephones are not told.
#[test]
fn what_is_described_is_the_source_that_sends() {
    let mut world = World::call([Manner::IceAndDtls, Manner::Plain], [Codec::pcmu(), Codec::pcmu()]);
    world.run_for(Duration::from_secs(2));
    let sources = |index: usize| {
        let telephone: &Telephone = &world.telephones[index];
        telephone.session.remote().unwrap().media[0].sources.clone()
    };
    let sent: Vec<u32> =
        world.seen[0].iter().map(|packet| u32::from_be_bytes(packet[8..12].try_into().unwrap())).collect();
    assert!(sent.len() > 50);
    assert_eq!(sources(0), [(sent[0], Some("leg".to_owned()))]);
    assert!(sent.iter().all(|ssrc| *ssrc == sent[0]));
    assert_eq!(sources(1), []);
    // A telephone of WebRTC tells the same of itself.
    let offer = world.telephones[0].session.offer().unwrap();
    let offer = std::str::from_utf8(&offer).unwrap();
    assert_eq!(offer.matches("a=ssrc:").count(), 1, "{offer}");
}

/// ICE tries for longer than people do. What it had tried by then is told; a call that is over at once tells nothing.
#[test]
fn a_leg_that_is_closed_while_no_way_is_found_says_so() {
    for (lasts, told) in [(1, 0), (5, 1)] {
        let mut world = World::new();
        world.is_cut = true;
        world.add(0, Manner::IceAndDtls, Codec::pcmu(), [None; 2]);
        world.run_for(Duration::from_secs(lasts));
        world.command(Command::Close { leg: leg(0) });
        let no_path = |event: &&Event| matches!(event, Event::PathFailed { pairs, .. } if !pairs.is_empty());
        assert_eq!(world.events.iter().filter(no_path).count(), told, "{lasts} s: {:#?}", world.events);
    }
}
