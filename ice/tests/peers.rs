//! Real peers: coturn as the server of our client, coturn's tools against our server, aioice as the other agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::drivers::*;
use common::*;
use denwa_ice::Protocol;
use denwa_ice::agent::{AgentConfig, AgentEvent, Credentials, Role};
use denwa_ice::turn::client::{ClientConfig, ClientEvent, EndReason, ServerAddress};
use denwa_ice::turn::server::{
    BehaviourAddresses, CredentialSource, PeerPolicy, Prefix, RelayRange, ServerConfig, ServerEvent, Users,
};
use denwa_interop::coturn::{Coturn, PASSWORD, USER};
use denwa_interop::{Ports, Scratch};
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// coturn, with the folder and the ports that are its own.
struct Server {
    coturn: Coturn,
    _folder: Scratch,
    _ports: Ports,
}

fn coturn(more: &[&str]) -> Option<Server> {
    let (folder, mut ports) = (Scratch::new("ice-coturn"), Ports::block());
    let coturn = Coturn::start(folder.path(), &mut ports, more)?;
    Some(Server { coturn, _folder: folder, _ports: ports })
}

fn coturn_client(Server { coturn, .. }: &Server, protocol: Protocol) -> ClientConfig {
    let secure = matches!(protocol, Protocol::Tls | Protocol::Dtls);
    let address = if secure { coturn.tls_address } else { coturn.address };
    ClientConfig::new(ServerAddress { address, protocol, name: None }, USER, PASSWORD)
}

#[test]
fn our_client_relays_through_coturn_over_udp_tcp_tls_and_dtls_by_indications_and_channels() {
    let Some(coturn) = coturn(&[]) else { return };
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Dtls] {
        let mut driver = ClientDriver::new(coturn_client(&coturn, protocol));
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(denwa_interop::PATIENCE)).unwrap();
        let peer_address = peer.local_addr().unwrap();
        let now = driver.now();
        driver.client.allocate(now).unwrap();
        let allocated = |it: &mut ClientDriver| !it.client.relayed().is_empty();
        assert!(driver.run(allocated), "{protocol:?}: {:?}", driver.events);
        let relayed = driver.client.relayed()[0];
        let now = driver.now();
        driver.client.permit(peer_address.ip(), now).unwrap();
        assert!(driver.run(|it| matches!(it.events.last(), Some(ClientEvent::Permitted { .. }))));
        let mut buffer = [0; 2000];
        for channel in [false, true] {
            if channel {
                let now = driver.now();
                driver.client.bind_channel(peer_address, now).unwrap();
                assert!(driver.run(|it| matches!(it.events.last(), Some(ClientEvent::ChannelBound { .. }))));
            }
            for length in 1..100_usize {
                let packet = vec![length as u8; length];
                driver.send(peer_address, &packet);
                let (count, from) = peer.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..count], from), (packet.as_slice(), relayed), "{protocol:?}");
                peer.send_to(&packet, relayed).unwrap();
                assert!(driver.run(|it| !it.data.is_empty()), "{protocol:?} {length}");
                assert_eq!(driver.data.drain(..).collect::<Vec<_>>(), [(peer_address, packet)]);
            }
        }
        // Nine minutes later everything has been refreshed, and a refresh with no life gives it back.
        let sent = driver.sent;
        driver.put_forward(Duration::from_secs(541));
        assert!(
            driver
                .run(|it| it.client.poll_timeout().is_some_and(|at| at > it.now() + Duration::from_secs(60)))
        );
        assert!(driver.sent >= sent + 3, "allocation, permission, channel");
        driver.send(peer_address, b"still");
        assert_eq!(peer.recv_from(&mut buffer).unwrap().0, 5);
        let now = driver.now();
        driver.client.release(now).unwrap();
        assert!(driver.run(|it| it.client.has_ended()));
        assert_eq!(driver.events.last(), Some(&ClientEvent::Ended { reason: EndReason::Released }));
    }
}

#[test]
fn our_client_answers_a_stale_nonce_of_coturn_and_is_refused_with_a_wrong_password() {
    let Some(coturn) = coturn(&["--stale-nonce=1"]) else { return };
    let mut driver = ClientDriver::new(coturn_client(&coturn, Protocol::Udp));
    let now = driver.now();
    driver.client.allocate(now).unwrap();
    assert!(driver.run(|it| !it.client.relayed().is_empty()));
    // Refreshes until one of them needed a second request: the nonce had gone stale.
    let stale = denwa_interop::wait_until(denwa_interop::PATIENCE, || {
        // It goes stale by coturn's clock, in a second.
        std::thread::sleep(Duration::from_millis(500));
        let sent = driver.sent;
        driver.put_forward(Duration::from_secs(541));
        let refreshed = |it: &mut ClientDriver| {
            it.client.poll_timeout().is_some_and(|at| at > it.now() + Duration::from_secs(60))
        };
        driver.run(refreshed) && driver.sent >= sent + 2
    });
    assert!(stale, "{:?}", driver.events);
    assert!(!driver.client.has_ended());

    let mut config = coturn_client(&coturn, Protocol::Udp);
    config.credentials = Some((USER.to_owned(), "wrong".to_owned().into()));
    let mut driver = ClientDriver::new(config);
    let now = driver.now();
    driver.client.allocate(now).unwrap();
    assert!(driver.run(|it| it.client.has_ended()));
    assert_eq!(driver.events, [ClientEvent::Ended { reason: EndReason::CredentialsRefused }]);
}

#[test]
fn our_client_gets_a_tcp_allocation_of_coturn_and_a_peers_stream_through_it() {
    let Some(coturn) = coturn(&[]) else { return };
    let mut config = coturn_client(&coturn, Protocol::Tcp);
    config.tcp_allocation = true;
    let mut driver = ClientDriver::new(config);
    let now = driver.now();
    driver.client.allocate(now).unwrap();
    assert!(driver.run(|it| !it.client.relayed().is_empty()), "{:?}", driver.events);
    // The peer listens, and coturn connects to it for us.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"world").unwrap();
        sender.send(bytes).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let now = driver.now();
    driver.client.connect(peer, now).unwrap();
    assert!(
        driver.run(|it| matches!(it.events.last(), Some(ClientEvent::PeerConnected { .. }))),
        "{:?}",
        driver.events
    );
    let Some(ClientEvent::PeerConnected { stream, .. }) = driver.events.last().cloned() else {
        unreachable!()
    };
    driver.sockets.send(None, peer, Some(stream), b"hello");
    assert!(driver.run(|it| it.data.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() == 5));
    assert_eq!(receiver.recv().unwrap(), *b"hello");
    assert_eq!(driver.data.concat_bytes(), b"world");
}

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<(std::net::SocketAddr, Vec<u8>)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn our_server(behaviour: bool) -> (ServerDriver, u16) {
    let port = free_port();
    let users = CredentialSource::Users(Users::from_iter([("kit", "pw-kit")]));
    let first = free_ports(150);
    let relay =
        RelayRange { local: ip("127.0.0.1"), external: ip("127.0.0.1"), ports: vec![first..=first + 149] };
    let mut config = ServerConfig::new("lab.test", users, vec![relay]);
    config.peers = PeerPolicy { allowed: vec![Prefix::new(ip("127.0.0.0"), 8)], ..PeerPolicy::default() };
    config.limits.per_user = 200;
    config.limits.per_address = 200;
    config.limits.stranger_burst_bytes = 100_000;
    let mut more = Vec::new();
    if behaviour {
        let other = free_port();
        let (primary, alternate) = ((ip("127.0.0.1"), port).into(), (ip("127.0.0.2"), other).into());
        config.behaviour = Some(BehaviourAddresses { primary, alternate });
        more = vec![alternate, (ip("127.0.0.1"), other).into(), (ip("127.0.0.2"), port).into()];
    }
    (ServerDriver::start(config, (ip("127.0.0.1"), port).into(), &more), port)
}

/// The output of a tool, with a limit of time.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new("timeout").arg("60").arg(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn coturns_stun_client_learns_its_address_from_our_server() {
    if !have("turnutils_stunclient", &["-h"]) {
        return;
    }
    let (server, port) = our_server(false);
    let text = output("turnutils_stunclient", &["-p", &port.to_string(), "127.0.0.1"]);
    assert!(text.contains("UDP reflexive addr: 127.0.0.1:"), "{text}");
    drop(server);
}

#[test]
fn coturns_nat_discovery_works_with_our_server() {
    if !have("turnutils_natdiscovery", &["-h"]) {
        return;
    }
    let (server, port) = our_server(true);
    let text = output("turnutils_natdiscovery", &["-m", "-f", "-p", &port.to_string(), "127.0.0.1"]);
    assert!(
        text.contains("NAT with Endpoint Independent Mapping")
            || text.contains("No NAT detected")
            || text.contains("No NAT"),
        "{text}"
    );
    assert!(text.contains("Endpoint Independent Filtering"), "{text}");
    drop(server);
}

#[test]
fn coturns_clients_relay_through_our_server_over_udp_and_tcp() {
    if !have("turnutils_uclient", &["-h"]) || !have("turnutils_peer", &["-h"]) {
        return;
    }
    let (server, port) = our_server(false);
    let peer_port = free_port();
    let peer = Command::new("turnutils_peer")
        .args(["-p", &peer_port.to_string(), "-L", "127.0.0.1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _peer = Program(peer.unwrap());
    assert!(denwa_interop::wait_until(denwa_interop::PATIENCE, || denwa_interop::is_bound(peer_port)));
    let run = |more: &[&str]| {
        let (port, peer_port) = (port.to_string(), peer_port.to_string());
        let mut arguments =
            vec!["-L", "127.0.0.1", "-p", &port, "-u", "kit", "-r", &peer_port, "-e", "127.0.0.1"];
        arguments.extend(["-l", "172", "-z", "5"]);
        arguments.extend(more);
        arguments.push("127.0.0.1");
        output("turnutils_uclient", &arguments)
    };
    let count = |text: &str, name: &str| -> usize {
        let last = text.rsplit(&format!("{name}=")).next().unwrap_or_default();
        last.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    for (name, more) in [
        ("channels", vec!["-n", "100", "-c"]),
        ("indications", vec!["-n", "100", "-c", "-s"]),
        ("TCP", vec!["-n", "100", "-c", "-t"]),
        ("even port and reservation", vec!["-n", "50"]),
        ("twenty clients", vec!["-n", "50", "-c", "-m", "20"]),
    ] {
        let mut arguments = vec!["-w", "pw-kit"];
        arguments.extend(more);
        // Datagrams are lost where a busy machine lets their readers wait: then again.
        let mut last = String::new();
        let whole = (0..5).any(|_| {
            let text = run(&arguments);
            let (sent, received) = (count(&text, "tot_send_msgs"), count(&text, "tot_recv_msgs"));
            last = format!("{received} of {sent}\n{text}");
            sent > 0 && received == sent
        });
        assert!(whole, "{name}: {last}");
    }
    let text = run(&["-w", "wrong", "-n", "2", "-c"]);
    assert!(text.contains("401") || text.contains("Cannot"), "{text}");
    let events = server.finish();
    let count = |like: fn(&ServerEvent) -> bool| events.iter().filter(|it| like(it)).count();
    let made = count(|it| matches!(it, ServerEvent::AllocationMade { .. }));
    assert!(made >= 23, "{made}");
    assert!(count(|it| matches!(it, ServerEvent::AuthenticationFailed { .. })) > 0);
}

/// It tells its description in lines, hears ours, and sends back what comes with another first octet; so does `nice.c`.
const AIOICE: &str = r#"
import asyncio, sys
import aioice
def tell(line): print(line, flush=True)
async def hear(): return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()
async def main():
    connection = aioice.Connection(ice_controlling=sys.argv[1] == "controlling", use_ipv6=False)
    await connection.gather_candidates()
    tell("a=ice-ufrag:" + connection.local_username)
    tell("a=ice-pwd:" + connection.local_password)
    for candidate in connection.local_candidates: tell("a=candidate:" + candidate.to_sdp())
    tell("end")
    while (line := await hear()) != "end":
        name, value = line.split(":", 1)
        if name == "a=ice-ufrag": connection.remote_username = value
        elif name == "a=ice-pwd": connection.remote_password = value
        else: await connection.add_remote_candidate(aioice.Candidate.from_sdp(value))
    await connection.add_remote_candidate(None)
    await connection.connect()
    tell("connected")
    for _ in range(50):
        data = await connection.recv()
        await connection.send(b"\x81" + data[1:])
    tell("done")
    await hear()
    await connection.close()
asyncio.run(main())
"#;

/// A Python that has aioice.
fn python() -> Option<String> {
    let shared = std::env::var("DENWA_SHARED")
        .unwrap_or_else(|_| format!("{}/../../shared", env!("CARGO_MANIFEST_DIR")));
    let candidates = [
        std::env::var("DENWA_PYTHON").ok(),
        Some(format!("{shared}/kit/venv/bin/python")),
        Some("python3".to_owned()),
    ];
    let works = |python: &String| {
        let status = Command::new(python).args(["-c", "import aioice"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let found = candidates.into_iter().flatten().find(works);
    if found.is_none() {
        let required = std::env::var_os("DENWA_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "no Python with aioice: set DENWA_PYTHON");
        println!("no Python with aioice: not tested");
    }
    found
}

/// An address of this host that is not loopback, which aioice wants.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: connecting a datagram socket only asks the kernel for the route.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

/// An agent of ours and this one connect, and fifty packets go there and back.
fn meet(peer: &mut Command, role: Role, address: std::net::IpAddr) {
    let mut child = Program(peer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let (mut stdin, stdout) = (child.0.stdin.take().unwrap(), child.0.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut driver = AgentDriver::new(AgentConfig { role, ..AgentConfig::default() }, &[address]);
    let limit = denwa_interop::PATIENCE;
    assert!(driver.run(limit, |it| matches!(it.events.last(), Some(AgentEvent::GatheringFinished { .. }))));
    let Credentials { fragment, password } = driver.agent.credentials();
    writeln!(stdin, "a=ice-ufrag:{fragment}\na=ice-pwd:{password}").unwrap();
    for event in &driver.events {
        if let AgentEvent::CandidateGathered { candidate, .. } = event {
            writeln!(stdin, "a={candidate}").unwrap();
        }
    }
    writeln!(stdin, "end").unwrap();
    let told: Vec<String> =
        std::iter::from_fn(|| lines.recv_timeout(limit).ok()).take_while(|line| line != "end").collect();
    let value = |name: &str| told.iter().find_map(|line| line.strip_prefix(name)).unwrap();
    let theirs = Credentials::new(value("a=ice-ufrag:"), value("a=ice-pwd:"));
    let now = std::time::Instant::now();
    driver.agent.set_remote_credentials(driver.stream, &theirs, false, now).unwrap();
    for candidate in told.iter().filter_map(|line| line.strip_prefix("a=candidate:")) {
        driver.agent.add_remote_candidate(driver.stream, candidate.parse().unwrap(), now).unwrap();
    }
    driver.agent.end_of_remote_candidates(driver.stream, now).unwrap();
    let mut connected = false;
    let both = driver.run(limit, |it| {
        connected |= lines.try_recv().is_ok_and(|line| line == "connected");
        connected && it.is_completed()
    });
    assert!(both, "{role:?}: {:?}", driver.agent.report(driver.stream));
    for number in 0..50_u8 {
        driver.send(&[0x80, number]);
        let back = driver.run(limit, |it| it.media.last() == Some(&vec![0x81, number]));
        assert!(back, "{role:?} packet {number}");
    }
    assert!(std::iter::from_fn(|| lines.recv_timeout(limit).ok()).any(|line| line == "done"));
    assert_eq!(driver.agent.role(), role);
}

/// The role that is left for the peer.
const fn other(role: Role) -> &'static str {
    match role {
        Role::Controlling => "controlled",
        Role::Controlled => "controlling",
    }
}

#[test]
fn aioice_and_our_agent_connect_in_either_role_and_exchange_packets() {
    let Some(python) = python() else { return };
    let Some(address) = own_address() else {
        return println!("this host has no address beyond loopback: not tested");
    };
    for role in [Role::Controlling, Role::Controlled] {
        meet(Command::new(&python).args(["-c", AIOICE, other(role)]), role, address);
    }
}

/// It nominates aggressively.
#[test]
fn libnice_and_our_agent_connect_in_either_role_and_exchange_packets() {
    let folder = Scratch::new("libnice");
    let program = folder.path().join("nice");
    let build = format!(
        "cc -o '{}' '{}/tests/nice.c' $(pkg-config --cflags --libs nice)",
        program.display(),
        env!("CARGO_MANIFEST_DIR")
    );
    let has_headers = Command::new("pkg-config").args(["--exists", "nice"]).status();
    if !have("cc", &["--version"]) || !has_headers.is_ok_and(|status| status.success()) {
        let required = std::env::var_os("DENWA_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "libnice's headers are required and not installed");
        return println!("libnice's headers are not installed: not tested");
    }
    assert!(Command::new("sh").args(["-c", &build]).status().unwrap().success(), "{build}");
    for role in [Role::Controlling, Role::Controlled] {
        meet(Command::new(&program).args([other(role), "127.0.0.1"]), role, ip("127.0.0.1"));
    }
}
