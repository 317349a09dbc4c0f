//! Targets of the front door: a bridge that does whatever it is told, and a user agent that anything may be sent to.

use crate::Target;
use denwa::Seed;
use denwa::bridge::{
    BridgeConfig, CarriedBy, Command, ConferenceId, Connection, Event, Input, LegId, LegSpec, MediaBridge,
    Output, Path, Piece, Program, RecordingId, RecordingSpec, Sides, Sound, Source,
};
use denwa::driver::{self, Answer, Machine, PortId, PortNews};
use denwa::media::{IceConfig, IceParameters, PayloadFormat, StreamParameters, TurnServer, Wire};
use denwa::ua::{self, UserAgent, UserAgentConfig};
use denwa_codecs::tone::{dtmf, plan::Plan};
use denwa_ice::StreamId;
use denwa_ice::turn::client::TurnUri;
use denwa_sip_core::Protocol;
use denwa_sip_core::config::Listener;
use denwa_sip_core::io::{RouteInfo, StreamFailure};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Name and body of each.
pub const TARGETS: &[Target] = &[("denwa_bridge", bridge), ("denwa_user_agent", user_agent)];

/// Commands and packets, four bytes each: what, to which of four legs and of which codec, a value, and the time that passes. Nothing panics, time
/// moves on, recordings end once, connections to servers are used while they are open, and when all legs are closed nothing is
/// left to do.
fn bridge(data: &[u8]) {
    let mut now = Instant::now();
    let mut bridge = MediaBridge::new(BridgeConfig::new(Duration::ZERO, now), Seed([3; 32]), now);
    let mut made = Made::default();
    let mut sequence = 0u16;
    let mut next_recording = 0;
    for step in data.chunks_exact(4).take(400) {
        let &[what, which, value, time] = step else { continue };
        let leg = LegId(u64::from(which % 4));
        let other = LegId(u64::from(which / 4 % 4));
        match what % 12 {
            _ if what >= RARE => rarely(&mut bridge, &mut made, what - RARE, (leg, value, which / 16), now),
            0 => bridge.handle_command(Command::Open { leg, spec: spec(leg) }, now),
            1 => bridge.handle_command(
                Command::Configure { leg, stream: Box::new(parameters(leg, value, which / 16)) },
                now,
            ),
            2 => bridge.handle_command(Command::Connect { leg, to: connection(other, value) }, now),
            3 => {
                let digits: String = "0159*#AD".chars().skip(usize::from(value % 8)).collect();
                bridge.handle_command(Command::SendDigits { leg, digits }, now);
            }
            4 => bridge.handle_command(Command::Close { leg }, now),
            5 => bridge.handle_command(Command::Announce { leg, program: program(value) }, now),
            6 => bridge.handle_command(Command::Mute { leg, muted: value % 2 == 0 }, now),
            7 => bridge.handle_command(Command::Detect { leg, in_band_digits: value % 2 == 0 }, now),
            8 => {
                let recording = RecordingId(next_recording);
                next_recording += 1;
                let sides = [Sides::Peer, Sides::Hears, Sides::Mixed, Sides::Stereo][usize::from(value % 4)];
                let mut spec = RecordingSpec::new(sides);
                spec.limit = (value > 128).then(|| Duration::from_millis(u64::from(value) * 5));
                if bridge.command(Command::Record { leg, recording, spec }, now).is_ok() {
                    made.recordings.insert((leg, recording), true);
                }
            }
            9 => {
                let recording = RecordingId(u64::from(value) % next_recording.max(1));
                bridge.handle_command(Command::StopRecording { leg, recording }, now);
            }
            _ => {
                sequence = sequence.wrapping_add(u16::from(value % 3));
                let mut buffer = [0x55; 2048];
                let header = [
                    0x80,
                    value & 0x7f,
                    (sequence >> 8) as u8,
                    sequence as u8,
                    0,
                    0,
                    (sequence / 2) as u8,
                    sequence as u8,
                    0,
                    0,
                    0,
                    which,
                ];
                buffer[..12].copy_from_slice(&header);
                let from = SocketAddr::from(([192, 0, 2, which % 4], 4000));
                let length = lay_payload(&mut buffer[12..], value, which / 16);
                bridge.receive(leg, Path::from(from), &mut buffer, 12 + length, now);
            }
        }
        drain_bridge(&mut bridge, &mut made, now);
        now += Duration::from_millis(u64::from(time) * 2);
        beat(&mut bridge, &mut made, now);
    }
    for leg in 0..4 {
        bridge.handle_command(Command::Close { leg: LegId(leg) }, now);
        drain_bridge(&mut bridge, &mut made, now);
    }
    assert_eq!((bridge.legs(), bridge.poll_timeout()), (0, None));
    assert!(made.recordings.values().all(|running| !running), "{made:?}");
}

/// What the bridge has begun and the driver holds.
#[derive(Debug, Default)]
struct Made {
    /// Whether each still runs.
    recordings: BTreeMap<(LegId, RecordingId), bool>,
    /// Whether each is open already.
    streams: BTreeMap<(LegId, StreamId), bool>,
}

/// From here on a step is one of [`rarely`].
const RARE: u8 = 240;

/// What legs of telephones seldom see: ICE with TURN servers over TCP and TLS, and what becomes of the connections; refusals of the
/// network; live sound.
fn rarely(
    bridge: &mut MediaBridge,
    made: &mut Made,
    what: u8,
    (leg, value, codec): (LegId, u8, u8),
    now: Instant,
) {
    let of_leg = |(of, _): &&(LegId, StreamId)| *of == leg;
    let stream = made.streams.keys().filter(of_leg).nth(usize::from(value % 2)).map(|(_, stream)| *stream);
    let remote = SocketAddr::from(([192, 0, 2, leg.0 as u8], 4000));
    match (what, stream) {
        (0, _) => {
            let uri = ["turn:192.0.2.200?transport=tcp", "turns:192.0.2.200", "turn:192.0.2.200"];
            let uri: TurnUri = uri[usize::from(value % 3)].parse().unwrap();
            let mut ice = IceConfig::default();
            ice.turn_servers = vec![TurnServer::new(uri.at([192, 0, 2, 200].into()), "user", "password")];
            ice.relay_only = value & 4 != 0;
            let by = CarriedBy { ice: Some(ice), identity: None, rtcp_mux: value & 8 != 0 };
            bridge.handle_command(Command::Carry { leg, by: Box::new(by) }, now);
        }
        (1, _) => bridge.handle_command(Command::RestartIce { leg }, now),
        (2, _) => bridge.handle_input(Input::Unreachable { leg, destination: remote }, now),
        (3, Some(stream)) => {
            made.streams.insert((leg, stream), true);
            let local = SocketAddr::from(([192, 0, 2, 100], 50_000));
            bridge.handle_input(Input::StreamOpened { leg, stream, local, remote }, now);
        }
        (4, Some(stream)) => {
            let was_open = made.streams.remove(&(leg, stream)) == Some(true);
            bridge.handle_input(Input::StreamClosed { leg, stream, was_open }, now);
        }
        (5, Some(stream)) => {
            // Channel data, a STUN message, or neither.
            let kind = [0x40, 0x01, 0x00, value][usize::from(value % 4)];
            let mut bytes = vec![kind, value & 0x13, 0, value & 0x3c];
            bytes.extend([0x21, 0x12, 0xa4, 0x42].iter().cycle().take(usize::from(value)));
            bridge.receive_stream(leg, stream, &mut bytes, now);
        }
        (6, _) => bridge.handle_command(Command::Say { leg, sound: Sound::new(vec![900; 400], 16_000) }, now),
        (7, _) => bridge.handle_command(Command::Hush { leg }, now),
        (8, _) => bridge.handle_command(Command::WatchForData { leg, wanted: value % 2 == 0 }, now),
        (9, _) => bridge.handle_command(Command::Copy { leg, wanted: value % 2 == 0 }, now),
        (10, _) => bridge.handle_command(Command::KeepPacketTime { leg, wanted: value % 2 == 0 }, now),
        (11, _) => {
            let to = Connection::Source(if value % 2 == 0 { Source::Live } else { Source::Silence });
            bridge.handle_command(Command::Connect { leg, to }, now);
        }
        (12, _) => {
            let mut parameters = parameters(leg, value, codec);
            parameters.rtcp_mux = value & 32 != 0;
            parameters.ice = Some(IceParameters {
                fragment: format!("peer{}", value % 2),
                password: "password of the peer's, long enough".to_owned(),
                candidates: vec![format!("1 1 UDP 2130706431 {} 4000 typ host", remote.ip())],
                complete: value & 64 == 0,
                lite: value & 16 != 0,
                controlling: value & 128 != 0,
            });
            bridge.handle_command(Command::Configure { leg, stream: Box::new(parameters) }, now);
        }
        (13, _) => {
            let path = bridge.control_path(leg, remote);
            let mut report = [0; 512];
            report[..8].copy_from_slice(&[
                0x80 | (value % 4),
                200 + value % 8,
                0,
                value % 16,
                0,
                0,
                0,
                leg.0 as u8,
            ]);
            bridge.receive(leg, path, &mut report, usize::from(value) + 8, now);
        }
        _ => {}
    }
}

fn beat(bridge: &mut MediaBridge, made: &mut Made, now: Instant) {
    let mut buffer = [0; 2048];
    let mut rounds = 0;
    while bridge.poll_timeout().is_some_and(|deadline| deadline <= now) {
        bridge.handle_timeout(now);
        while bridge.next_frame(&mut buffer, now).is_some() {}
        drain_bridge(bridge, made, now);
        rounds += 1;
        assert!(rounds < 3, "a deadline that was handled is still due");
    }
}

fn drain_bridge(bridge: &mut MediaBridge, made: &mut Made, now: Instant) {
    while let Some(output) = bridge.poll_output() {
        match output {
            Output::Bind { leg, rtp, rtcp } => bridge.handle_input(Input::Bound { leg, rtp, rtcp }, now),
            Output::Event(Event::RecordingEnded { leg, recording, .. }) => {
                let was = made.recordings.insert((leg, recording), false);
                assert_eq!(was, Some(true), "a recording ends once");
            }
            Output::Event(Event::Recorded { leg, recording, .. }) => {
                assert_eq!(
                    made.recordings.get(&(leg, recording)),
                    Some(&true),
                    "nothing comes after the end"
                );
            }
            Output::Unbind { leg } => made.streams.retain(|(of, _), _| *of != leg),
            Output::Wire { leg, wire } => match wire {
                Wire::Open { stream, .. } => {
                    assert_eq!(made.streams.insert((leg, stream), false), None, "a number is used once");
                }
                Wire::Send { stream, .. } => {
                    assert_eq!(
                        made.streams.get(&(leg, stream)),
                        Some(&true),
                        "nothing is sent before it is open"
                    );
                }
                Wire::Close { stream } => drop(made.streams.remove(&(leg, stream))),
                Wire::Resolve { .. } => panic!("nobody here knows names"),
            },
            _ => {}
        }
    }
}

fn spec(leg: LegId) -> LegSpec {
    let port = 20_000 + 2 * leg.0 as u16;
    LegSpec {
        group: 1,
        rtp: SocketAddr::from(([192, 0, 2, 100], port)),
        rtcp: SocketAddr::from(([192, 0, 2, 100], port + 1)),
        silence_after: Duration::from_secs(1),
        cname: "leg".into(),
    }
}

/// The three of most telephones, or the codec of this number before them.
fn parameters(leg: LegId, value: u8, codec: u8) -> StreamParameters {
    let with = |number, name: &str, fmtp: &str| PayloadFormat {
        parameters: fmtp.to_owned(),
        ..PayloadFormat::new(number, name, 8000)
    };
    let of = |number, name: &str, clock_rate_hz, channels| PayloadFormat {
        channels,
        ..PayloadFormat::new(number, name, clock_rate_hz)
    };
    let more = match codec {
        1..=4 => {
            let rate = ["16", "24", "32", "40"][usize::from(codec) - 1];
            let order = if value.is_multiple_of(2) { "" } else { "AAL2-" };
            vec![with(95 + codec, &format!("{order}G726-{rate}"), "")]
        }
        5 => vec![with(18, "G729", "")],
        6 => vec![with(3, "GSM", "")],
        7 => vec![with(103, "iLBC", "mode=20")],
        8 => vec![with(104, "iLBC", "")],
        9 => vec![of(105, "L16", 16_000, 1)],
        10 => vec![of(106, "L16", 48_000, 2)],
        11 => vec![of(107, "opus", 48_000, 2)],
        12 => vec![with(13, "CN", ""), with(18, "G729", "annexb=no")],
        _ => Vec::new(),
    };
    let plain = [PayloadFormat::pcma(), PayloadFormat::pcmu(), PayloadFormat::new(9, "G722", 8000)];
    let formats = [&more[..], &plain[usize::from(value % 3)..]].concat();
    let remote = SocketAddr::from(([192, 0, 2, leg.0 as u8], 4000));
    let mut parameters = StreamParameters::plain(remote, &formats);
    (parameters.sends, parameters.receives) = (value & 4 == 0, value & 8 == 0);
    if value & 16 != 0 {
        (parameters.send_events, parameters.receive_events) = (Vec::new(), Vec::new());
    }
    parameters.packet_time = Duration::from_millis(10 * u64::from(value >> 5).max(1));
    parameters
}

/// Frames of this codec, more or less, and how many octets they have.
fn lay_payload(payload: &mut [u8], value: u8, codec: u8) -> usize {
    // Octets of a frame, or of 10 ms.
    let frame = [160, 20, 30, 40, 50, 10, 33, 38, 50, 320, 1920, 25, 2, 80, 1, 0][usize::from(codec)];
    let odd = [0, 0, 0, 2, 0, 1][usize::from(value % 6)];
    let length = (frame * [1, 2, 3, 4, 6, 15][usize::from(value / 6 % 6)] + odd).min(payload.len());
    if codec == 11 {
        // What Opus says first: configuration and code, how many frames with padding or lengths, and what these are.
        payload[..4].copy_from_slice(&[value, value.rotate_left(3) & 0xc7, value % 60, value / 2]);
    }
    if codec == 0 { 160 } else { length }
}

fn connection(other: LegId, value: u8) -> Connection {
    match value % 7 {
        0 => Connection::Nothing,
        1 | 2 => Connection::Leg(other),
        3 => Connection::Source(Source::Echo),
        4 => Connection::Source(Source::MILLIWATT),
        5 => Connection::Source(Source::Program(program(value))),
        _ => Connection::Conference(ConferenceId(u64::from(value / 7 % 2))),
    }
}

fn program(value: u8) -> Program {
    let sound =
        Sound::new(vec![i16::from(value) * 100; usize::from(value) * 10], 8000 + u32::from(value % 3) * 8000);
    let pieces = [
        Piece::Sound(sound),
        Piece::Pause(Duration::from_millis(u64::from(value))),
        Piece::Tone { tone: dtmf::dial("12", dtmf::Sending::default()), lasts: None },
        Piece::Tone { tone: Plan::japan().busy, lasts: Some(Duration::from_millis(u64::from(value) * 4)) },
    ];
    let program = Program::new(pieces[..usize::from(value % 5).min(4)].to_vec());
    match value % 3 {
        0 => program,
        1 => program.repeated(),
        _ => program.running(),
    }
}

/// A user agent whose program says yes to everything; datagrams between `0xff` bytes, the byte before each the time that
/// passes and where it arrives. Nothing panics, and after it was shut down nothing is left.
fn user_agent(data: &[u8]) {
    let local = SocketAddr::from(([192, 0, 2, 1], 5060));
    let mut now = Instant::now();
    let config = UserAgentConfig::new(vec![Listener::new(Protocol::Udp, local)]);
    let mut agent =
        Telephone { agent: UserAgent::new(config, Seed([4; 32]), now), ports: Vec::new(), ended: false };
    agent.agent.add_account(ua::Account::new("200", "192.0.2.1"));
    let remote = SocketAddr::from(([192, 0, 2, 2], 5060));
    for piece in data.split(|byte| *byte == 0xff).take(32) {
        let Some((time, datagram)) = piece.split_first() else { continue };
        match (time % 4, agent.ports.first().copied()) {
            (0, Some(port)) => {
                let mut payload = datagram.to_vec();
                let remote = SocketAddr::from(([192, 0, 2, 2], 4000));
                agent.agent.handle_port(port, PortNews::Datagram { remote, payload: &mut payload }, now);
            }
            _ => agent
                .agent
                .handle_input(denwa_sip_core::Input::Datagram { local, remote, payload: datagram }, now),
        }
        agent.drain(now);
        now += Duration::from_millis(u64::from(*time) * 4);
        agent.pass(now);
    }
    agent.agent.shut_down(now);
    agent.drain(now);
    for _ in 0..80 {
        now += Duration::from_secs(5);
        agent.pass(now);
    }
    assert!(agent.ended, "it never said that it was shut down");
    assert_eq!((agent.agent.calls().count(), agent.ports.len()), (0, 0));
}

struct Telephone {
    agent: UserAgent,
    ports: Vec<PortId>,
    ended: bool,
}

impl Telephone {
    fn pass(&mut self, now: Instant) {
        if Machine::poll_timeout(&self.agent).is_some_and(|deadline| deadline <= now) {
            Machine::handle_timeout(&mut self.agent, now);
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let mut buffer = [0; 2048];
        loop {
            while self.agent.next_packet(&mut buffer, now).is_some() {}
            let Some(output) = Machine::poll_output(&mut self.agent) else { return };
            match output {
                driver::Output::Event(event) => self.react(event, now),
                driver::Output::OpenPort { port, address } => {
                    let address = SocketAddr::new(address.ip(), 30_000 + (port.0 % 20_000) as u16);
                    self.ports.push(port);
                    self.agent.handle_port(port, PortNews::Opened { address }, now);
                }
                driver::Output::ClosePort { port } => self.ports.retain(|own| *own != port),
                driver::Output::Ask { question, what: driver::Ask::Route(_) } => {
                    let route = RouteInfo { local: [192, 0, 2, 1].into(), interface: "eth0".into() };
                    self.agent.handle_answer(question, Answer::Route(Some(route)), now);
                }
                driver::Output::Ask { question, .. } => {
                    self.agent.handle_answer(question, Answer::Addresses(Vec::new()), now);
                }
                driver::Output::Route { id, .. } => {
                    let route = RouteInfo { local: [192, 0, 2, 1].into(), interface: "eth0".into() };
                    self.agent.handle_input(denwa_sip_core::Input::Routed { id, route: Some(route) }, now);
                }
                driver::Output::Resolve { id, .. } => {
                    let answer = denwa_sip_core::io::Answer::NotFound;
                    self.agent.handle_input(denwa_sip_core::Input::Resolved { id, answer }, now);
                }
                driver::Output::OpenStream { stream, .. } => {
                    let reason = StreamFailure::Refused;
                    self.agent.handle_input(denwa_sip_core::Input::StreamFailed { stream, reason }, now);
                }
                _ => {}
            }
        }
    }

    fn react(&mut self, event: ua::Event, now: Instant) {
        match event {
            ua::Event::Incoming { call, .. } => drop(self.agent.answer(call, now)),
            ua::Event::Answered { call } => drop(self.agent.confer(call, now)),
            ua::Event::Sound { call, samples } => drop(self.agent.say(call, &samples)),
            ua::Event::ConferenceSound { samples } => self.agent.say_to_conference(&samples),
            ua::Event::ShutDown => self.ended = true,
            _ => {}
        }
    }
}
