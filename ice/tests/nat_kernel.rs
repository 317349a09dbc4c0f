//! The decisive cells of the NAT table with the kernel's own NAT, in network namespaces (nftables).
//!
//! Five namespaces joined by pairs of virtual cables, with no way to this machine's network: `a` – `na` – `pub` – `nb` – `b`. Our server runs in
//! `pub`, an agent each in `a` and `b`: this test program started again inside them. Needs root, `ip` and `nft`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::drivers::*;
use common::*;
use denwa_ice::agent::{AgentConfig, AgentEvent, Credentials, Role};
use denwa_ice::candidate::CandidateKind;
use denwa_ice::turn::client::{ClientConfig, ServerAddress};
use denwa_ice::turn::server::{CredentialSource, RelayRange, ServerConfig, Users};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SERVER: &str = "198.51.100.1:3478";
const ROLE: &str = "DENWA_NAT_KERNEL_ROLE";
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// Routed, not translated.
    Open,
    /// Masquerading, and everything that comes goes to the host.
    Full,
    /// Masquerading, and hosts that were sent to may send from any port.
    Restricted,
    /// Masquerading: Linux keeps the port, and only who was sent to may answer.
    PortRestricted,
    /// Masquerading with another port for each destination.
    Symmetric,
    /// 240 ports in 15 blocks, the next block for each new mapping.
    MapE,
}

impl Kernel {
    /// The rules of a router whose cables are called `lan` and `wan`.
    fn rules(self, inside: &str, outside: &str) -> Option<String> {
        let masquerade = "chain post { type nat hook postrouting priority 100; oifname wan masquerade; }";
        let rules = match self {
            Self::Open => return None,
            Self::PortRestricted => masquerade.to_owned(),
            Self::Symmetric => {
                "chain post { type nat hook postrouting priority 100; oifname wan masquerade fully-random; }"
                    .to_owned()
            }
            Self::Full => format!(
                "{masquerade}\n chain pre {{ type nat hook prerouting priority -100; iifname wan meta l4proto udp dnat to {inside}; }}"
            ),
            Self::Restricted => format!(
                "set met {{ type ipv4_addr; flags dynamic,timeout; timeout 120s; }}\n\
                 chain forward {{ type filter hook forward priority 0; oifname wan meta l4proto udp update @met {{ ip daddr }}; }}\n\
                 {masquerade}\n\
                 chain pre {{ type nat hook prerouting priority -100; iifname wan meta l4proto udp ip saddr @met dnat to {inside}; }}"
            ),
            Self::MapE => {
                let block = |number: u32| {
                    let first = 4096 * (number + 1) + 16 * 0x52;
                    format!(
                        "oifname wan meta mark {number} meta l4proto udp snat to {outside}:{first}-{}\n",
                        first + 15
                    )
                };
                let blocks: String = (0..15).map(block).collect();
                format!(
                    "chain post {{ type nat hook postrouting priority 100; oifname wan meta mark set numgen inc mod 15\n{blocks} }}"
                )
            }
        };
        // A router that answered stray packets would keep an entry for them, and give a later packet to that peer another port.
        let silent = "chain input { type filter hook input priority 0; iifname wan ct state new drop; }";
        Some(format!("table ip denwa {{\n{rules}\n{silent}\n}}\n"))
    }
}

/// The five namespaces; they go with the test.
struct Lab {
    prefix: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in ["a", "na", "pub", "nb", "b"] {
            let _ =
                Command::new("ip").args(["netns", "del", &self.name(name)]).stderr(Stdio::null()).status();
        }
    }
}

impl Lab {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn ip(&self, arguments: &str) {
        let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }

    fn within(&self, name: &str, command: &str) {
        self.ip(&format!("netns exec {} {command}", self.name(name)));
    }

    fn cable(&self, one: (&str, &str, &str), other: (&str, &str, &str)) {
        let (from, to) = (self.name(one.0), self.name(other.0));
        self.ip(&format!("link add {} netns {from} type veth peer name {} netns {to}", one.1, other.1));
        for (host, device, address) in [one, other] {
            self.within(host, &format!("ip addr add {address} dev {device}"));
            self.within(host, &format!("ip link set dev {device} up"));
        }
    }

    fn new(number: u32, a: Kernel, b: Kernel) -> Self {
        let lab = Self { prefix: format!("denwa{}x{number}", std::process::id()) };
        for name in ["a", "na", "pub", "nb", "b"] {
            lab.ip(&format!("netns add {}", lab.name(name)));
            lab.within(name, "ip link set dev lo up");
        }
        lab.cable(("a", "eth", "100.64.1.2/24"), ("na", "lan", "100.64.1.1/24"));
        lab.cable(("na", "wan", "198.51.100.2/24"), ("pub", "left", "198.51.100.1/24"));
        lab.cable(("b", "eth", "100.64.2.2/24"), ("nb", "lan", "100.64.2.1/24"));
        lab.cable(("nb", "wan", "203.0.113.2/24"), ("pub", "right", "203.0.113.1/24"));
        for (name, gateway) in
            [("a", "100.64.1.1"), ("na", "198.51.100.1"), ("b", "100.64.2.1"), ("nb", "203.0.113.1")]
        {
            lab.within(name, &format!("ip route add default via {gateway}"));
        }
        for name in ["na", "pub", "nb"] {
            lab.within(name, "sysctl -qw net.ipv4.ip_forward=1");
        }
        lab.within("pub", "ip route add blackhole 100.64.0.0/10");
        for (router, kernel, net, inside, outside) in [
            ("na", a, "100.64.1.0/24", "100.64.1.2", "198.51.100.2"),
            ("nb", b, "100.64.2.0/24", "100.64.2.2", "203.0.113.2"),
        ] {
            match kernel.rules(inside, outside) {
                None => lab.within("pub", &format!("ip route add {net} via {outside}")),
                Some(rules) => lab.nft(router, &rules),
            }
        }
        lab
    }

    fn nft(&self, router: &str, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name(router), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "nft\n{rules}");
    }

    /// Starts this program again in a namespace, in a role.
    fn start(&self, name: &str, role: &str) -> Actor {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name(name)])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "nat_kernel_actor", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Program(child);
        let stdout = program.0.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Only what the actor says; the test harness talks too.
                if let Some((_, said)) = line.split_once("@@")
                    && sender.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let stdin = program.0.stdin.take().unwrap();
        Actor { _program: program, stdin, lines }
    }
}

struct Actor {
    _program: Program,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

fn say(text: &str) {
    println!("\n@@{text}");
}

/// Not a test by itself: what runs inside the namespaces.
#[test]
fn nat_kernel_actor() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.as_str() {
        "server" => server(),
        "a" => agent(Role::Controlling, "100.64.1.2"),
        _ => agent(Role::Controlled, "100.64.2.2"),
    }
}

fn server() {
    let users = CredentialSource::Users(Users::from_iter([("alice", "secret")]));
    let local = ip("198.51.100.1");
    let relay = RelayRange { local, external: local, ports: vec![50_000..=50_999] };
    let _server = ServerDriver::start(ServerConfig::new("lab.test", users, vec![relay]), at(SERVER), &[]);
    say("ready");
    // Until the test is over and closes our input.
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {}
}

fn agent(role: Role, address: &str) {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let server = ServerAddress::udp(at(SERVER));
    let config = AgentConfig {
        role,
        stun_servers: vec![at(SERVER)],
        turn_servers: vec![ClientConfig::new(server, "alice", "secret")],
        ..AgentConfig::default()
    };
    let mut driver = AgentDriver::new(config, &[ip(address)]);
    let Credentials { fragment, password } = driver.agent.credentials();
    say(&format!("credentials {fragment} {password}"));
    let begin = Instant::now();
    let mut told = 0;
    let mut take = |it: &mut AgentDriver| {
        for event in it.events.iter().skip(told) {
            match event {
                AgentEvent::CandidateGathered { candidate, .. } => say(&candidate.to_string()),
                AgentEvent::GatheringFinished { .. } => say("end"),
                _ => {}
            }
        }
        told = it.events.len();
        while let Ok(line) = lines.try_recv() {
            let now = Instant::now();
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["credentials", fragment, password] => {
                    let peer = Credentials::new(fragment, password);
                    it.agent.set_remote_credentials(it.stream, &peer, false, now).unwrap();
                }
                ["end"] => it.agent.end_of_remote_candidates(it.stream, now).unwrap(),
                _ => it.agent.add_remote_candidate(it.stream, line.parse().unwrap(), now).unwrap(),
            }
        }
    };
    let connected = driver.run(LIMIT, |it| {
        take(it);
        it.is_completed()
    });
    if !connected {
        return say(&format!("failed {:?}", driver.agent.report(driver.stream)));
    }
    let time = begin.elapsed();
    // Packets both ways until fifty have come; some may be lost while the other end is not done yet.
    let mut sent = 0_u32;
    let heard = driver.run(LIMIT, |it| {
        take(it);
        sent += 1;
        it.send(&[0x80, sent as u8]);
        it.media.len() >= 50
    });
    assert!(heard, "heard {} packets", driver.media.len());
    let path = driver.agent.report(driver.stream).into_iter().find(|it| it.selected).unwrap();
    say(&format!("path {:?} {}", path.local.kind, time.as_millis()));
    // The other end may still be counting.
    let _ = driver.run(Duration::from_secs(2), |it| {
        it.send(&[0x80, 0]);
        false
    });
}

/// Runs a cell: the kind of each end's candidate of the chosen pair.
fn cell(number: u32, a: Kernel, b: Kernel) -> (String, String) {
    let lab = Lab::new(number, a, b);
    let server = lab.start("pub", "server");
    assert_eq!(server.lines.recv_timeout(LIMIT).unwrap(), "ready");
    let mut ends = [lab.start("a", "a"), lab.start("b", "b")];
    let mut paths = [None, None];
    let end = Instant::now() + LIMIT * 2;
    while paths.iter().any(Option::is_none) {
        assert!(Instant::now() < end, "{a:?} {b:?}: no end");
        for from in 0..2 {
            let Ok(line) = ends[from].lines.recv_timeout(Duration::from_millis(5)) else { continue };
            match line.split_once(' ') {
                Some(("path", path)) => paths[from] = Some(path.to_owned()),
                Some(("failed", why)) => panic!("{a:?} {b:?}: {why}"),
                // The other end may be gone by then.
                _ => drop(writeln!(ends[1 - from].stdin, "{line}")),
            }
        }
    }
    let [one, other] = paths.map(Option::unwrap);
    (one, other)
}

#[test]
fn nat_kernel_cells_connect_by_the_path_that_the_table_says() {
    if std::env::var_os(ROLE).is_some() {
        return;
    }
    if !have("ip", &["-V"]) || !have("nft", &["--version"]) {
        return;
    }
    let allowed = Command::new("ip").args(["netns", "add", "denwa-probe"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        let required = std::env::var_os("DENWA_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "network namespaces need root");
        return println!("no network namespaces here: not tested");
    }
    Command::new("ip").args(["netns", "del", "denwa-probe"]).status().unwrap();
    use Kernel::*;
    for (number, (a, b, direct)) in [
        (Open, Open, true),
        (Full, Full, true),
        (PortRestricted, PortRestricted, true),
        (Restricted, Symmetric, true),
        (Symmetric, Full, true),
        (MapE, Full, true),
        (PortRestricted, Symmetric, false),
        (Symmetric, Symmetric, false),
        (MapE, MapE, false),
    ]
    .into_iter()
    .enumerate()
    {
        let (one, other) = cell(number as u32, a, b);
        let relayed = format!("{:?}", CandidateKind::Relayed);
        let is_direct = !one.contains(&relayed) && !other.contains(&relayed);
        println!("{a:?} – {b:?}: {one} ms – {other} ms");
        assert_eq!(is_direct, direct, "{a:?} {b:?}: {one}, {other}");
    }
}
