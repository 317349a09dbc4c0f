//! STUN and TURN, in nanoseconds on one core, beside peers in the same run.
//!
//! - One connectivity check (RFC 5769 section 2.1): read, its attributes looked at, integrity and fingerprint checked; and written. Peers:
//!   stun-types and `is` (feature `peers`), libre and libnice of Debian (`peers/stun.c`, when `cc` and their headers are there).
//! - ChannelData relayed by the server, in memory and over sockets of this host; over sockets beside coturn, in processor time a packet.
//!
//! The best of several rounds, since the machine is shared. Without `--bench` (as `cargo test` runs it) one short round.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use denwa_ice::stun::attribute::{IceControlled, Priority, Software, Username};
use denwa_ice::stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer};
use denwa_ice::turn::client::{ClientConfig, ServerAddress};
use denwa_ice::turn::server::{
    Action, CredentialSource, HEADROOM, PeerPolicy, Prefix, RelayRange, ServerConfig, ServerInput,
    ServerOutput, Users,
};
use denwa_ice::turn::{Client, Server};
use denwa_ice::{Input, Output, Seed};

const USER: &str = "evtj:h6vY";
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const PRIORITY: u32 = 0x6E00_01FF;
const TIE_BREAKER: u64 = 0x932F_F9B1_5126_3B36;
const ID: [u8; 12] = [0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE];

fn main() {
    let rounds = if denwa_benches::is_measured() { 200 } else { 1 };
    let check = check();
    println!("{:<26} {:>10} {:>10}   (ns a check)", "", "decode", "encode");
    let ours = (time(rounds, || decode(&check)), time(rounds, || encode(&mut [0; 200])));
    let mut fastest = (f64::MAX, f64::MAX);
    row("denwa-ice", ours);
    for (name, times) in peers(rounds, &check) {
        row(name, times);
        fastest = (fastest.0.min(times.0), fastest.1.min(times.1));
    }
    if fastest.0 < f64::MAX {
        let (decode, encode) = (fastest.0 / ours.0, fastest.1 / ours.1);
        println!("the fastest peer takes {decode:.1} times as long to decode, {encode:.1} times to encode");
    }
    relay_in_memory(rounds);
    relay_over_sockets(if rounds > 1 { 200_000 } else { 200 });
}

fn row(name: &str, (decode, encode): (f64, f64)) {
    println!("{name:<26} {decode:>10.0} {encode:>10.0}");
}

/// Nanoseconds of one call, in the best round of a thousand calls.
fn time(rounds: usize, mut each: impl FnMut() -> usize) -> f64 {
    let calls = if rounds > 1 { 1000 } else { 10 };
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(each());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}

/// The request of RFC 5769 section 2.1, but for the padding.
fn check() -> Vec<u8> {
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId(ID));
    writer.put(&Software("STUN test client"));
    writer.put(&Priority(PRIORITY));
    writer.put(&IceControlled(TIE_BREAKER));
    writer.put(&Username(USER));
    writer.integrity(&IntegrityKey::short_term(PASSWORD));
    writer.fingerprint();
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}

thread_local! {
    static KEY: IntegrityKey = IntegrityKey::short_term(PASSWORD);
}

fn decode(check: &[u8]) -> usize {
    let message = Message::parse(black_box(check)).unwrap();
    let Username(user) = message.get().unwrap().unwrap();
    let Priority(priority) = message.get().unwrap().unwrap();
    let IceControlled(tie_breaker) = message.get().unwrap().unwrap();
    assert!(KEY.with(|key| message.verify(key)).is_ok());
    assert_eq!(message.fingerprint(), Some(true));
    user.len() + priority as usize + tie_breaker as usize
}

fn encode(buffer: &mut [u8]) -> usize {
    let mut writer = Writer::new(buffer, Class::Request, Method::BINDING, TransactionId(black_box(ID)));
    writer.put(&Username(USER));
    writer.put(&Priority(PRIORITY));
    writer.put(&IceControlled(TIE_BREAKER));
    KEY.with(|key| writer.integrity(key));
    writer.fingerprint();
    writer.finish().unwrap()
}

fn peers(rounds: usize, check: &[u8]) -> Vec<(&'static str, (f64, f64))> {
    let mut found = rust_peers(rounds, check);
    let folder = env::temp_dir().join(format!("denwa-bench-ice-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let input = folder.join("check");
    fs::write(&input, check).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/stun.c");
    for (name, define, library) in [("libre (C)", "LIBRE", "re"), ("libnice (C)", "LIBNICE", "nice")] {
        let program = folder.join(define);
        let built = Command::new("cc")
            .args(["-O3", "-march=native", "-w", &format!("-D{define}"), "-o"])
            .arg(&program)
            .arg(&source)
            .arg(format!("-l{library}"))
            .output();
        if !built.is_ok_and(|output| output.status.success()) {
            println!("{name:<26} not installed");
            continue;
        }
        let output = Command::new(&program).arg(&input).arg(rounds.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let nanos = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(f64::MAX);
        found.push((name, (nanos(1), nanos(3))));
    }
    let _ = fs::remove_dir_all(&folder);
    found
}

#[cfg(not(feature = "peers"))]
fn rust_peers(_rounds: usize, _check: &[u8]) -> Vec<(&'static str, (f64, f64))> {
    Vec::new()
}

#[cfg(feature = "peers")]
fn rust_peers(rounds: usize, check: &[u8]) -> Vec<(&'static str, (f64, f64))> {
    vec![("stun-types 2", stun_types_peer(rounds, check)), ("is 0.12", is_peer(rounds, check))]
}

#[cfg(feature = "peers")]
fn stun_types_peer(rounds: usize, check: &[u8]) -> (f64, f64) {
    use stun_types::attribute::{AttributeType, Fingerprint, RawAttribute, Username};
    use stun_types::message::{
        BINDING, IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWriteMutSlice,
        ShortTermCredentials,
    };
    use stun_types::prelude::*;
    let credentials = MessageIntegrityCredentials::ShortTerm(ShortTermCredentials::new(PASSWORD.to_owned()));
    let key = credentials.make_key(IntegrityAlgorithm::Sha1);
    let decode = time(rounds, || {
        let message = Message::from_bytes(black_box(check)).unwrap();
        let user = message.attribute::<Username>().unwrap();
        let priority = message.raw_attribute(AttributeType::new(0x24)).unwrap();
        let controlled = message.raw_attribute(AttributeType::new(0x8029)).unwrap();
        assert!(message.validate_integrity_with_key(&key).is_ok());
        assert!(message.attribute::<Fingerprint>().is_ok());
        user.username().len() + priority.value.len() + controlled.value.len()
    });
    let mut buffer = [0; 200];
    let encode = time(rounds, || {
        let mut message = Message::builder_request(BINDING, MessageWriteMutSlice::new(&mut buffer));
        message.add_attribute(&Username::new(USER).unwrap()).unwrap();
        message.add_attribute(&RawAttribute::new(AttributeType::new(0x24), &PRIORITY.to_be_bytes())).unwrap();
        message
            .add_attribute(&RawAttribute::new(AttributeType::new(0x8029), &TIE_BREAKER.to_be_bytes()))
            .unwrap();
        message.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
        message.add_fingerprint().unwrap();
        message.finish()
    });
    (decode, encode)
}

#[cfg(feature = "peers")]
fn is_peer(rounds: usize, check: &[u8]) -> (f64, f64) {
    use is::stun::{StunMessage, TransId};
    use is::{DefaultSha1HmacProvider, Sha1HmacProvider};
    let hmac = |key: &[u8], parts: &[&[u8]]| DefaultSha1HmacProvider.sha1_hmac(key, parts);
    let decode = time(rounds, || {
        let message = StunMessage::parse(black_box(check)).unwrap();
        assert!(message.verify(PASSWORD.as_bytes(), hmac));
        message.username().unwrap().len() + message.prio().unwrap() as usize
    });
    let mut buffer = [0; 200];
    let encode = time(rounds, || {
        let message = StunMessage::binding_request(USER, TransId::new(), false, TIE_BREAKER, PRIORITY, false);
        message.to_bytes(Some(PASSWORD.as_bytes()), &mut buffer, hmac).unwrap()
    });
    (decode, encode)
}

// ---- relaying ----

fn server_config(address: SocketAddr) -> ServerConfig {
    let users = CredentialSource::Users(Users::from_iter([("kit", "pw-kit")]));
    let relay = RelayRange { local: address.ip(), external: address.ip(), ports: vec![26_000..=26_999] };
    let mut config = ServerConfig::new("lab.test", users, vec![relay]);
    config.peers =
        PeerPolicy { allowed: vec![Prefix::new([127, 0, 0, 0].into(), 8)], ..PeerPolicy::default() };
    config
}

/// What the machine itself costs: allocated and bound by a real client, and then data both ways.
fn relay_in_memory(rounds: usize) {
    let (address, local): (SocketAddr, SocketAddr) =
        (([127, 0, 0, 1], 3478).into(), ([127, 0, 0, 1], 5000).into());
    let peer: SocketAddr = ([127, 0, 0, 1], 7000).into();
    let now = Instant::now();
    let mut server = Server::new(server_config(address), Seed([1; 32]), now, Duration::ZERO);
    let mut client = Client::new(
        ClientConfig::new(ServerAddress::udp(address), "kit", "pw-kit"),
        local,
        Seed([2; 32]),
        now,
    );
    client.allocate(now).unwrap();
    for step in 0..8 {
        while let Some(output) = client.poll_output() {
            if let Output::Transmit(transmit) = output {
                let payload = &transmit.payload;
                server.handle_input(ServerInput::Datagram { local: address, remote: local, payload }, now);
            }
        }
        while let Some(output) = server.poll_output() {
            match output {
                ServerOutput::Transmit(transmit) => {
                    let mut payload = transmit.payload.to_vec();
                    let payload = payload.as_mut_slice();
                    client.handle_input(Input::Datagram { local, remote: address, payload }, now);
                }
                ServerOutput::OpenPort { address } => {
                    server.handle_input(ServerInput::PortOpened { address }, now)
                }
                _ => {}
            }
        }
        if step == 5 {
            client.bind_channel(peer, now).unwrap();
        }
    }
    let relayed = client.relayed()[0];
    let mut data = [0; 400];
    let sending = client.send(peer, &[7; 172], &mut data).unwrap();
    assert_eq!(sending.length, 176, "a channel is bound");
    let mut buffer = vec![0; HEADROOM + 176];
    let to_peer = time(rounds, || {
        buffer[HEADROOM..].copy_from_slice(&data[..176]);
        match server.receive(black_box(&mut buffer), address, local, now) {
            Action::Forward { payload, .. } => payload.len(),
            other => panic!("{other:?}"),
        }
    });
    let mut buffer = vec![0; HEADROOM + 172];
    let to_client = time(rounds, || match server.receive(black_box(&mut buffer), relayed, peer, now) {
        Action::Forward { payload, .. } => payload.len(),
        other => panic!("{other:?}"),
    });
    println!("relaying in memory: {to_peer:.0} ns to the peer, {to_client:.0} ns to the client");
}

/// Data through a server on sockets of this host: processor time of the server a packet, ours beside coturn's.
fn relay_over_sockets(packets: usize) {
    let ours = OurServer::start();
    let spent = ours.times.clone();
    let cost =
        relay_through(ours.address, packets, || spent.lock().unwrap().iter().map(|task| ticks(task)).sum());
    println!("relaying over sockets, denwa-ice: {}", told(cost));
    match Coturn::start() {
        Some(coturn) => {
            let process = format!("/proc/{}", coturn.child.id());
            let threads = || {
                let tasks = fs::read_dir(format!("{process}/task")).unwrap();
                tasks.map(|task| ticks(&task.unwrap().path().to_string_lossy())).sum()
            };
            let cost = relay_through(coturn.address, packets, threads);
            println!("relaying over sockets, coturn:    {}", told(cost));
        }
        None => println!("relaying over sockets, coturn:    not installed"),
    }
}

fn told((packets, ticks, elapsed): (usize, u64, Duration)) -> String {
    let micros = ticks as f64 * 10_000.0 / packets as f64;
    let rate = packets as f64 / elapsed.as_secs_f64();
    format!(
        "{packets} packets, {rate:.0} a second, {micros:.1} µs of processor each ({:.0} a second and core)",
        1e6 / micros
    )
}

/// Hundredths of a second of processor time that a thread or process has used.
fn ticks(folder: &str) -> u64 {
    let text = fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum()
}

/// Sends packets to a peer and back, a window at a time: how many went through, ticks spent, time taken.
fn relay_through(server: SocketAddr, packets: usize, spent: impl Fn() -> u64) -> (usize, u64, Duration) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&socket, &peer] {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    let (local, peer_address) = (socket.local_addr().unwrap(), peer.local_addr().unwrap());
    let config = ClientConfig::new(ServerAddress::udp(server), "kit", "pw-kit");
    let mut client = Client::new(config, local, Seed([3; 32]), Instant::now());
    client.allocate(Instant::now()).unwrap();
    let mut buffer = [0; 2000];
    let (mut asked, mut bound) = (false, false);
    // A server that has only just begun, and a busy machine, may miss a request: it is sent again, as it would be anywhere.
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "the server answers");
        while let Some(output) = client.poll_output() {
            match output {
                Output::Transmit(transmit) => drop(socket.send_to(&transmit.payload, transmit.destination)),
                Output::Event(event) => bound |= format!("{event:?}").starts_with("ChannelBound"),
                _ => {}
            }
        }
        if bound {
            break;
        }
        if !client.relayed().is_empty() && !asked {
            asked = true;
            client.bind_channel(peer_address, Instant::now()).unwrap();
            if client.poll_timeout().is_none() {
                continue;
            }
        }
        while let Some(output) = client.poll_output() {
            if let Output::Transmit(transmit) = output {
                let _ = socket.send_to(&transmit.payload, transmit.destination);
            }
        }
        match socket.recv_from(&mut buffer) {
            Ok((length, remote)) => {
                let payload = &mut buffer[..length];
                client.handle_input(Input::Datagram { local, remote, payload }, Instant::now());
            }
            Err(_) => client.handle_timeout(Instant::now()),
        }
    }
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let relayed = client.relayed()[0];
    let window = 32;
    let (before, start) = (spent(), Instant::now());
    let mut through = 0;
    let mut message = [0; 400];
    let length = client.send(peer_address, &[0x80; 172], &mut message).unwrap().length;
    while through < packets {
        for _ in 0..window {
            socket.send_to(&message[..length], server).unwrap();
        }
        for _ in 0..window {
            through += usize::from(peer.recv_from(&mut buffer).is_ok());
        }
        for _ in 0..window {
            peer.send_to(&[0x80; 172], relayed).unwrap();
        }
        for _ in 0..window {
            through += usize::from(socket.recv_from(&mut buffer).is_ok());
        }
    }
    (through, spent() - before, start.elapsed())
}

/// Our server with a thread for each socket.
struct OurServer {
    address: SocketAddr,
    /// Where the kernel counts the threads' time.
    times: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

struct Shared {
    server: Mutex<Server>,
    sockets: Mutex<Vec<(SocketAddr, Arc<UdpSocket>)>>,
    times: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl OurServer {
    fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = socket.local_addr().unwrap();
        let server = Server::new(server_config(address), Seed([4; 32]), Instant::now(), Duration::ZERO);
        let (times, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            sockets: Mutex::new(Vec::new()),
            times: times.clone(),
            stop: stop.clone(),
        });
        serve(shared, address, socket);
        Self { address, times, stop }
    }
}

impl Drop for OurServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(shared: Arc<Shared>, local: SocketAddr, socket: Arc<UdpSocket>) {
    shared.sockets.lock().unwrap().push((local, socket.clone()));
    thread::spawn(move || {
        let task = fs::read_link("/proc/thread-self").unwrap();
        shared.times.lock().unwrap().push(format!("/proc/{}", task.display()));
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut buffer = vec![0; 2000];
        // Sockets do not change while data flows: each thread knows them.
        let mut known: Vec<(SocketAddr, Arc<UdpSocket>)> = Vec::new();
        while !shared.stop.load(Ordering::Relaxed) {
            let Ok((length, remote)) = socket.recv_from(&mut buffer[HEADROOM..]) else { continue };
            let mut server = shared.server.lock().unwrap();
            match server.receive(&mut buffer[..HEADROOM + length], local, remote, Instant::now()) {
                Action::Forward { source, destination, payload, .. } => {
                    drop(server);
                    let mut found = known.iter().find(|(address, _)| *address == source);
                    if found.is_none() {
                        known = shared.sockets.lock().unwrap().clone();
                        found = known.iter().find(|(address, _)| *address == source);
                    }
                    if let Some((_, socket)) = found {
                        let _ = socket.send_to(payload, destination);
                    }
                }
                Action::Consumed => settle(&shared, &mut server, &socket),
                Action::Dropped(_) => {}
            }
        }
    });
}

fn settle(shared: &Arc<Shared>, server: &mut Server, socket: &UdpSocket) {
    while let Some(output) = server.poll_output() {
        match output {
            ServerOutput::Transmit(transmit) => drop(socket.send_to(&transmit.payload, transmit.destination)),
            ServerOutput::OpenPort { address } => {
                let input = match UdpSocket::bind(address) {
                    Ok(relay) => {
                        serve(shared.clone(), address, Arc::new(relay));
                        ServerInput::PortOpened { address }
                    }
                    Err(_) => ServerInput::PortFailed { address },
                };
                server.handle_input(input, Instant::now());
            }
            _ => {}
        }
    }
}

struct Coturn {
    child: Child,
    address: SocketAddr,
}

impl Coturn {
    fn start() -> Option<Self> {
        let port = UdpSocket::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        TcpListener::bind(("127.0.0.1", port)).ok()?;
        let folder = env::temp_dir().join(format!("denwa-bench-coturn-{}", std::process::id()));
        fs::create_dir_all(&folder).ok()?;
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let child = Command::new("turnserver")
            .args([
                "-n",
                "-L",
                "127.0.0.1",
                "-E",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "--no-tls",
                "--no-dtls",
                "--no-cli",
            ])
            .args([
                "--min-port",
                "27000",
                "--max-port",
                "27999",
                "--allow-loopback-peers",
                "-a",
                "-u",
                "kit:pw-kit",
            ])
            .args([
                "-r",
                "lab.test",
                "-m",
                "1",
                "--log-file",
                "stdout",
                "--userdb",
                &file("db"),
                "--pidfile",
                &file("pid"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < end {
            thread::yield_now();
        }
        Some(Self { child, address: ([127, 0, 0, 1], port).into() })
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ =
            fs::remove_dir_all(env::temp_dir().join(format!("denwa-bench-coturn-{}", std::process::id())));
    }
}
