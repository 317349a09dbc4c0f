//! Targets of `ice`: messages, streams and candidates; the TURN server and the agent under arbitrary datagrams, with virtual time.
//!
//! The two machines are fed programs: a byte says what happens, the bytes after it how. Besides arbitrary datagrams there are ones that get
//! past the first doors – signed by a real client, or with the agent's own password – so that the states behind them are walked too.

use crate::Target;
use bytes::Bytes;
use denwa_ice::agent::{AgentConfig, AgentEvent, Credentials, LocalAddress, MediaStream, StreamState};
use denwa_ice::stun::attribute::{
    ErrorCodeAttribute, IceControlled, IceControlling, Lifetime, PasswordAlgorithms, Priority,
    UnknownAttributes, UseCandidate, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use denwa_ice::stun::framing::{Framer, Framing};
use denwa_ice::stun::{AttributeKind, Class, IntegrityKey, Message, Method, TransactionId, Writer, is_stun};
use denwa_ice::turn::client::{Action as ClientAction, ClientConfig, ServerAddress};
use denwa_ice::turn::server::{
    Action, CredentialSource, HEADROOM, RelayRange, ServerConfig, ServerInput, ServerOutput, Users,
};
use denwa_ice::turn::{ChannelData, Client, Server};
use denwa_ice::{Agent, Candidate, Input, Output, Seed, Transmit};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Name and body of each.
pub const TARGETS: &[Target] = &[
    ("stun_message", stun_message),
    ("stun_stream", stun_stream),
    ("ice_candidate", ice_candidate),
    ("turn_server", turn_server),
    ("ice_network", ice_network),
];

/// A message: what is read is written the same, places lie within it, a signature of ours is believed and no other.
pub fn stun_message(data: &[u8]) {
    let _ = ChannelData::parse(data);
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(error) => return assert!(error.offset <= data.len()),
    };
    if message.method().code() < 0x100 {
        assert!(is_stun(data));
    }
    let _ = message.get::<XorMappedAddress>();
    let _ = message.get::<ErrorCodeAttribute<'_>>();
    let _ = message.get::<PasswordAlgorithms<'_>>().map(|list| list.map(|list| list.known().count()));
    let _ = message.get::<UnknownAttributes<'_>>().map(|list| list.map(|list| list.kinds().count()));
    let _ = format!("{message:?}");
    let key = IntegrityKey::short_term("password");
    let _ = (message.verify(&key), message.fingerprint());
    let mut buffer = vec![0; data.len() + 100];
    let mut writer = Writer::new(&mut buffer, message.class(), message.method(), message.id());
    for (kind, value) in message.attributes() {
        assert_eq!(message.range(kind).and_then(|range| data.get(range)), message.value(kind));
        writer.attribute(kind, value);
    }
    writer.integrity(&key);
    writer.fingerprint();
    let Ok(length) = writer.finish() else { return };
    let again = Message::parse(&buffer[..length]);
    assert!(again.is_ok_and(|again| {
        again.attributes().eq(message.attributes())
            && again.verify(&key).is_ok()
            && again.fingerprint() == Some(true)
    }));
}

/// A stream: the same messages however it is cut, and never more held back than allowed.
pub fn stun_stream(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let framing = if first & 1 == 0 { Framing::Native } else { Framing::LengthPrefixed };
    let run = |step: usize| {
        let mut framer = Framer::new(framing, 2000);
        let mut messages = Vec::new();
        let mut outcome = Ok(());
        for piece in stream.chunks(step) {
            outcome = framer.receive(piece, |message| messages.push(message.to_vec()));
            assert!(framer.held_bytes() <= 2003);
            if outcome.is_err() {
                break;
            }
        }
        (messages, outcome)
    };
    let step = usize::from(first >> 1).max(1);
    assert_eq!(run(usize::MAX), run(step));
    assert_eq!(run(1), run(step));
}

/// A candidate: what is read is written so that it is read the same.
pub fn ice_candidate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Candidate>() {
        Ok(candidate) => {
            // A related port without an address, or an address twice, is not written again; the rest is.
            let written = candidate.to_string();
            assert_eq!(written.parse::<Candidate>().map(|it| it.to_string()), Ok(written));
        }
        Err(error) => assert!(error.offset <= text.len()),
    }
}

/// A program: reads bytes, and then zeros.
struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..length).unwrap_or_default()
    }
}

const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)), 3478);

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number / 16], 1000 + u16::from(number % 16)))
}

/// A server, two clients who know the password, and strangers.
pub fn turn_server(data: &[u8]) {
    let start = Instant::now();
    let users = CredentialSource::Users(Users::from_iter([("alice", "secret")]));
    let relay = RelayRange { local: SERVER.ip(), external: SERVER.ip(), ports: vec![50_000..=50_007] };
    let mut config = ServerConfig::new("realm", users, vec![relay]);
    config.limits.permissions = 4;
    config.limits.channels = 4;
    config.limits.streams = 4;
    let mut server = Server::new(config, Seed([1; 32]), start, Duration::from_secs(2_000_000_000));
    let mut clients = [1, 2].map(|number| {
        let config = ClientConfig::new(ServerAddress::udp(SERVER), "alice", "secret");
        Client::new(config, address(number), Seed([number; 32]), start)
    });
    let mut elapsed = Duration::ZERO;
    let mut program = Program(data);
    let mut strangers = (0_usize, 0_usize);
    while !program.0.is_empty() {
        let now = start + elapsed;
        match program.byte() % 10 {
            0 | 1 => {
                let from = address(program.byte());
                let bytes = program.bytes();
                if from != address(1) && from != address(2) {
                    strangers.0 += bytes.len();
                }
                receive(&mut server, bytes, SERVER, from, now);
            }
            2 => {
                // A peer, or a stranger, to a relayed port.
                let port = 50_000 + u16::from(program.byte() % 8);
                let (from, bytes) = (address(program.byte()), program.bytes());
                receive(&mut server, bytes, SocketAddr::new(SERVER.ip(), port), from, now);
            }
            3 => {
                let client = &mut clients[usize::from(program.byte() % 2)];
                let peer = address(program.byte());
                match program.byte() % 6 {
                    0 => ignore(client.allocate(now)),
                    1 => ignore(client.permit(peer.ip(), now)),
                    2 => ignore(client.bind_channel(peer, now)),
                    3 => ignore(client.release(now)),
                    _ => {
                        let mut buffer = [0; 400];
                        if let Ok(sending) = client.send(peer, program.bytes(), &mut buffer) {
                            receive(&mut server, &buffer[..sending.length], SERVER, client.local(), now);
                        }
                    }
                }
            }
            4 | 5 => elapsed += Duration::from_millis(u64::from(program.byte()) * 20),
            6 => elapsed += Duration::from_secs(u64::from(program.byte()) * 10),
            7 => {
                let stream = denwa_ice::StreamId::accepted(u64::from(program.byte() % 8));
                let protocol = denwa_ice::Protocol::Tcp;
                let (local, remote) = (SERVER, address(program.byte()));
                server.handle_input(
                    ServerInput::StreamOpened { stream, protocol, local, remote, peer_identity: None },
                    now,
                );
            }
            8 => {
                let stream = denwa_ice::StreamId::accepted(u64::from(program.byte() % 8));
                server.receive_stream(stream, &mut program.bytes().to_vec(), now, |_| {});
            }
            _ => {
                let stream = denwa_ice::StreamId::accepted(u64::from(program.byte() % 8));
                server.handle_input(ServerInput::StreamClosed { stream }, now);
            }
        }
        let now = start + elapsed;
        server.handle_timeout(now);
        clients.iter_mut().for_each(|client| client.handle_timeout(now));
        strangers.1 += settle_server(&mut server, &mut clients, now);
        assert!(server.poll_timeout().is_none_or(|at| at > now));
        assert!(server.allocations() <= 8);
        assert!(server.holdings() <= 8 * 9 + 4 + 32);
    }
    // The allowance of every network that was used (two of them are the clients'), and what has grown since.
    let allowance = 17 * (4000 + 400 * usize::try_from(elapsed.as_secs()).unwrap_or(0)) + 20_000;
    assert!(strangers.1 <= strangers.0 + allowance);
}

fn receive(server: &mut Server, bytes: &[u8], local: SocketAddr, remote: SocketAddr, now: Instant) {
    let mut buffer = vec![0; HEADROOM];
    buffer.extend_from_slice(bytes);
    if let Action::Forward { payload, destination, .. } = server.receive(&mut buffer, local, remote, now) {
        // Data is not made longer than a header does.
        assert!(
            payload.len() <= bytes.len() + HEADROOM && destination.port() != 0 || destination.port() == 0
        );
    }
}

/// Carries what server and clients send to each other until nobody has more to say. Bytes sent to strangers.
fn settle_server(server: &mut Server, clients: &mut [Client; 2], now: Instant) -> usize {
    let mut to_strangers = 0;
    for _ in 0..50 {
        let mut to_server: VecDeque<Transmit> = VecDeque::new();
        for client in clients.iter_mut() {
            while let Some(output) = client.poll_output() {
                if let Output::Transmit(transmit) = output {
                    to_server.push_back(transmit);
                }
            }
        }
        let mut busy = !to_server.is_empty();
        for transmit in to_server {
            if let Some(source) = transmit.source {
                receive(server, &transmit.payload, SERVER, source, now);
            }
        }
        while let Some(output) = server.poll_output() {
            busy = true;
            match output {
                ServerOutput::Transmit(transmit) => {
                    let mut payload = transmit.payload.to_vec();
                    match clients.iter_mut().find(|client| client.local() == transmit.destination) {
                        Some(client) => {
                            let path = (transmit.destination, SERVER);
                            let action = client.receive(&mut payload, path, now);
                            assert!(!matches!(action, ClientAction::Relayed { .. }));
                        }
                        None => to_strangers += payload.len(),
                    }
                }
                ServerOutput::OpenPort { address } => {
                    let input = if address.port() == 50_003 {
                        ServerInput::PortFailed { address }
                    } else {
                        ServerInput::PortOpened { address }
                    };
                    server.handle_input(input, now);
                }
                _ => {}
            }
        }
        if !busy {
            break;
        }
    }
    to_strangers
}

/// An agent, and a peer who knows as much as the program says.
pub fn ice_network(data: &[u8]) {
    let start = Instant::now();
    let mut program = Program(data);
    let flags = program.byte();
    let mut config = AgentConfig {
        lite: flags & 1 != 0,
        stun_servers: vec![SERVER],
        turn_servers: vec![ClientConfig::new(ServerAddress::udp(SERVER), "alice", "secret")],
        ..AgentConfig::default()
    };
    if flags & 2 != 0 {
        config.role = denwa_ice::agent::Role::Controlled;
    }
    let limits = config.limits;
    let mut agent = Agent::new(config, Seed([7; 32]), start);
    let stream = agent.add_stream(if flags & 4 != 0 { 2 } else { 1 });
    let locals = [address(17), address(18)];
    let mut elapsed = Duration::ZERO;
    let mut requests: VecDeque<(SocketAddr, SocketAddr, Bytes)> = VecDeque::new();
    let mut states = Vec::new();
    while !program.0.is_empty() {
        let now = start + elapsed;
        let local = locals[usize::from(program.byte() % 2)];
        match program.byte() % 12 {
            0 => {
                let remote = address(program.byte());
                agent.receive(&mut program.bytes().to_vec(), local, remote, now);
            }
            1 | 2 => {
                let (remote, flags) = (address(program.byte()), program.byte());
                let mut check = check(&agent, flags, program.bytes());
                agent.receive(&mut check, local, remote, now);
            }
            3 | 4 => {
                let flags = program.byte();
                let place = usize::from(program.byte()) % requests.len().max(1);
                if let Some((source, destination, request)) = requests.get(place).cloned() {
                    let mut answer = answer(&request, flags, program.bytes());
                    let from = if flags & 64 == 0 { destination } else { address(flags) };
                    agent.receive(&mut answer, source, from, now);
                }
            }
            5 => elapsed += Duration::from_millis(u64::from(program.byte()) * 5),
            6 => elapsed += Duration::from_millis(u64::from(program.byte()) * 500),
            7 => {
                let component = u16::from(program.byte() % 3);
                ignore(agent.add_local_address(stream, component, LocalAddress::udp(local), now));
                ignore(agent.all_addresses_added(stream, now));
            }
            8 => {
                let number = program.byte();
                let text = format!(
                    "candidate:{} {} udp {} {} {} typ {}",
                    number % 5,
                    number % 3,
                    u32::from(number) * 1000,
                    if number == 99 { "peer.local".to_owned() } else { address(number).ip().to_string() },
                    address(number).port(),
                    ["host", "srflx", "relay"][usize::from(number % 3)]
                );
                if let Ok(candidate) = text.parse() {
                    ignore(agent.add_remote_candidate(stream, candidate, now));
                }
            }
            9 => {
                let peer = Credentials::new("peer", PASSWORD);
                ignore(agent.set_remote_credentials(stream, &peer, program.byte() == 77, now));
            }
            10 => match program.byte() % 6 {
                0 => agent.restart(None, now),
                1 => ignore(agent.remove_local_address(local, now)),
                2 => ignore(agent.end_of_remote_candidates(stream, now)),
                3 => {
                    let mut buffer = [0; 400];
                    ignore(agent.send(stream, 1, program.bytes(), &mut buffer));
                }
                4 => agent.handle_input(Input::Unreachable { local, remote: address(program.byte()) }, now),
                _ => {}
            },
            _ => agent.handle_timeout(now.checked_sub(Duration::from_secs(1)).unwrap_or(now)),
        }
        let now = start + elapsed;
        agent.handle_timeout(now);
        drain(&mut agent, stream, &mut requests, &mut states);
        assert!(agent.poll_timeout().is_none_or(|at| at > now));
        let most =
            limits.pairs + limits.remote_candidates + limits.early_checks + limits.names + limits.connections;
        assert!(agent.holdings() <= most);
        let report = agent.report(stream);
        let selected =
            |component: u16| report.iter().filter(|it| it.selected && it.component == component).count();
        assert!(selected(1) <= 1 && selected(2) <= 1);
        report.iter().for_each(|it| assert!(!it.to_string().is_empty()));
    }
}

/// A command at a wrong moment is refused, and that is all.
fn ignore<T>(_: T) {}

const PASSWORD: &str = "0123456789012345678901";

fn drain(
    agent: &mut Agent,
    stream: MediaStream,
    requests: &mut VecDeque<(SocketAddr, SocketAddr, Bytes)>,
    states: &mut Vec<StreamState>,
) {
    let mut count = 0;
    while let Some(output) = agent.poll_output() {
        count += 1;
        assert!(count < 1000, "no end of outputs");
        match output {
            Output::Transmit(Transmit { source: Some(source), destination, payload, .. }) => {
                requests.push_front((source, destination, payload));
                requests.truncate(32);
            }
            Output::Event(AgentEvent::StateChanged { state, .. }) => {
                // A state is told when it changes, and is then the state.
                assert_ne!(states.last(), Some(&state));
                states.push(state);
            }
            _ => {}
        }
    }
    if let Some(last) = states.last() {
        assert_eq!(agent.state(stream), Some(*last));
    }
}

/// A check by somebody who knows the agent's password.
fn check(agent: &Agent, flags: u8, id: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 300];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, transaction(id));
    let from = if flags & 1 == 0 { "peer" } else { "other" };
    writer.put(&Username(&format!("{}:{from}", agent.credentials().fragment)));
    writer.put(&Priority(u32::from(flags) * 65_537));
    if flags & 2 == 0 {
        writer.put(&IceControlled(u64::from(flags) << 56));
    } else {
        writer.put(&IceControlling(u64::from(flags) << 56));
    }
    if flags & 4 != 0 {
        writer.put(&UseCandidate);
    }
    if flags & 8 != 0 {
        writer.attribute(AttributeKind(0x7FFF), id);
    }
    let password = if flags & 16 == 0 { agent.credentials().password.as_str() } else { PASSWORD };
    writer.integrity(&IntegrityKey::short_term(password));
    writer.fingerprint();
    let length = writer.finish().unwrap_or(0);
    buffer[..length].to_vec()
}

fn transaction(id: &[u8]) -> TransactionId {
    let mut bytes = [0; 12];
    bytes.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    TransactionId(bytes)
}

/// An answer to something that the agent has sent: a check, a question to a server, or a client's request.
fn answer(request: &[u8], flags: u8, extra: &[u8]) -> Vec<u8> {
    let Ok(request) = Message::parse(request) else { return extra.to_vec() };
    let class = if flags & 1 == 0 { Class::Success } else { Class::Error };
    let mut buffer = [0; 700];
    let mut writer = Writer::new(&mut buffer, class, request.method(), request.id());
    match class {
        Class::Error => {
            let codes = [400, 401, 403, 420, 437, 438, 487, 500];
            let code = codes.get(usize::from(flags >> 5)).copied().and_then(denwa_ice::stun::ErrorCode::new);
            if let Some(code) = code {
                writer.error(code);
            }
            writer.attribute(AttributeKind::REALM, b"realm");
            writer.attribute(AttributeKind::NONCE, b"nonce");
        }
        _ => {
            writer.put(&XorMappedAddress(address(flags)));
            writer.put(&XorRelayedAddress(address(flags ^ 0xFF)));
            writer.put(&XorPeerAddress(address(flags ^ 0x0F)));
            writer.put(&Lifetime(Duration::from_secs(u64::from(flags) * 4)));
        }
    }
    if flags & 8 != 0 {
        writer.attribute(AttributeKind(0x7FFE), extra);
    }
    match flags & 6 {
        0 => writer.integrity(&IntegrityKey::short_term(PASSWORD)),
        2 => {
            let md5 = denwa_ice::stun::PasswordAlgorithm::Md5;
            writer.integrity(&IntegrityKey::long_term(md5, "alice", "realm", "secret"));
        }
        4 => writer.integrity(&IntegrityKey::short_term("wrong")),
        _ => {}
    }
    let length = writer.finish().unwrap_or(0);
    buffer[..length].to_vec()
}
