//! The decisive cells of the NAT table with the kernel's own NAT, in network namespaces (nftables).
//!
//! Our server runs in `pub`, an agent each in `a` and `b`, behind a router each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::drivers::*;
use common::kernel::{Kernel, Lab, ROLE, say};
use common::*;
use denwa_ice::agent::{AgentConfig, AgentEvent, Credentials, Role};
use denwa_ice::candidate::CandidateKind;
use denwa_ice::turn::client::{ClientConfig, ServerAddress};
use denwa_ice::turn::server::{CredentialSource, RelayRange, ServerConfig, Users};
use std::io::{BufRead, Write};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const SERVER: &str = "198.51.100.1:3478";
const ACTOR: &str = "nat_kernel_actor";
const LIMIT: Duration = Duration::from_secs(60);

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
    // The other end may still be counting; whoever runs the cell ends this program.
    let _ = driver.run(LIMIT, |it| {
        it.send(&[0x80, 0]);
        false
    });
}

/// Runs a cell: the kind of each end's candidate of the chosen pair.
fn cell(a: Kernel, b: Kernel) -> (String, String) {
    let lab = Lab::new(a, b);
    let server = lab.start("pub", ACTOR, "server");
    assert_eq!(server.lines.recv_timeout(LIMIT).unwrap(), "ready");
    let mut ends = [lab.start("a", ACTOR, "a"), lab.start("b", ACTOR, "b")];
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
    if !Lab::is_possible() {
        return;
    }
    use Kernel::*;
    for (a, b, direct) in [
        (Open, Open, true),
        (Full, Full, true),
        (PortRestricted, PortRestricted, true),
        (Restricted, Symmetric, true),
        (Symmetric, Full, true),
        (MapE, Full, true),
        (PortRestricted, Symmetric, false),
        (Symmetric, Symmetric, false),
        (MapE, MapE, false),
    ] {
        // Where a busy machine lets the checks of the direct way wait, the relay may be there first.
        let found = (0..4).any(|_| {
            let (one, other) = cell(a, b);
            let relayed = format!("{:?}", CandidateKind::Relayed);
            let is_direct = !one.contains(&relayed) && !other.contains(&relayed);
            println!("{a:?} – {b:?}: {one} ms – {other} ms");
            assert!(direct || !is_direct, "{a:?} {b:?}: {one}, {other}");
            is_direct == direct
        });
        assert!(found, "{a:?} {b:?}: never by the direct way");
    }
}
