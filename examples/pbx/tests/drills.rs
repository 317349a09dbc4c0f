//! Drills: the power cut at any moment, and the flood from many addresses while people talk. Short forms always, long ones at night.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use phone::{Phone, Program, folder, free_port};

fn file(port: u16, extensions: u32) -> String {
    let extensions: String = (1..=extensions)
        .map(|number| format!("[[extensions]]\nnumber = \"{}\"\npassword = \"secret\"\n", 1000 + number))
        .collect();
    // Strangers on the loopback are strangers here.
    format!(
        "{extensions}[sip]\nlisten = [\"udp:127.0.0.1:{port}\"]\n[store]\nurl = \"sqlite:pbx.db\"\n\
         [network]\nlocal = []\n[guard]\nexempt = []\n[calls]\nannouncements = false\n"
    )
}

fn json(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_pbx"))
        .args(["--config", "pbx.toml", "--json"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

// -- the power cut

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    power_cuts(4);
}

#[test]
#[ignore = "nightly: fifty power cuts"]
fn what_was_acknowledged_survives_fifty_power_cuts() {
    power_cuts(50);
}

fn power_cuts(times: u64) {
    let port = free_port();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut program = Program::start(folder("power-cuts"), &file(port, 1_601));
    let mut all = (0, 0);
    for cut in 0..times {
        // Telephones register and call the echo until the program is gone, at a moment of its own each time.
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    let mut registered = Vec::new();
                    for round in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        // Each number is registered from few places only, as many as may be.
                        let number = format!("{}", 1002 + worker * 400 + (cut * 31 + round) % 400);
                        let mut phone = Phone::udp(server, &number, "secret");
                        phone.patience(Duration::from_millis(700));
                        if phone.try_register(3_600) == Some(200) {
                            registered.push((number, phone.address()));
                        }
                    }
                    registered
                })
            })
            .collect();
        let mut caller = Phone::udp(server, "1001", "secret");
        let until = Instant::now() + Duration::from_millis(80 + cut * 37 % 400);
        let mut dialled = 0;
        while dialled == 0 || Instant::now() < until {
            dialled += 1;
            let mut dialog = caller.call("186");
            let answer = caller.final_response("INVITE");
            assert_eq!(answer.status(), 200, "{}", program.printed());
            caller.acknowledge(&mut dialog, &answer, "");
            caller.hang_up(&mut dialog);
        }
        if cut == 0 {
            // At least once there is something to lose.
            program.wait_for("→ 186 ended");
        }
        let folder = program.kill();
        stop.store(true, Ordering::Relaxed);
        let acknowledged: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        let ended: Vec<u64> = program
            .printed()
            .lines()
            .filter(|line| line.contains("→ 186 ended"))
            .map(|line| line.split("call ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap())
            .collect();
        program = Program::start_again(folder.clone());
        let phones = json(&folder, &["phones"]);
        let phones: Vec<(&str, &str)> = phones
            .as_array()
            .unwrap()
            .iter()
            .map(|phone| (phone["number"].as_str().unwrap(), phone["address"].as_str().unwrap()))
            .collect();
        for (number, address) in &acknowledged {
            assert!(
                phones.contains(&(number, &address.to_string())),
                "cut {cut}: {number} at {address} is lost"
            );
        }
        let calls = json(&folder, &["calls", "--limit", "100000"]);
        let kept: Vec<u64> =
            calls["ended"].as_array().unwrap().iter().map(|call| call["call"].as_u64().unwrap()).collect();
        for call in &ended {
            assert!(kept.contains(call), "cut {cut}: the record of call {call} is lost");
        }
        all = (all.0 + acknowledged.len(), all.1 + ended.len());
        println!(
            "cut {cut}: {} registrations acknowledged, {} calls ended, all kept",
            acknowledged.len(),
            ended.len()
        );
    }
    assert!(all.0 > 0 && all.1 > 0, "there was nothing to lose: {all:?}");
}

// -- the flood

#[test]
fn a_flood_disturbs_no_call_and_bans_no_telephone() {
    flood(3, Duration::from_secs(3), 3_000);
}

#[test]
#[ignore = "nightly: 10,000 requests a second for a minute while 20 calls run"]
fn a_long_flood_disturbs_no_call_and_bans_no_telephone() {
    flood(20, Duration::from_secs(60), 10_000);
}

fn flood(calls: u32, lasts: Duration, per_second: u64) {
    let port = free_port();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut program = Program::start(folder("flood"), &file(port, calls * 2));
    let mut talks = Vec::new();
    for pair in 0..calls {
        let number = |side: u32| (1001 + pair * 2 + side).to_string();
        let mut alice = Phone::udp(server, &number(0), "secret");
        let mut bob = Phone::udp(server, &number(1), "secret");
        assert_eq!((alice.register(600).status(), bob.register(600).status()), (200, 200));
        let mut calling = alice.call(&number(1));
        let called = bob.invited();
        bob.answer(&called, &bob.offer("8 101"));
        let answer = alice.answered(&mut calling);
        talks.push((alice, bob, calling, called, answer.rtp()));
    }
    let before = resident_kib(program.id());
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let flooder = {
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        thread::spawn(move || attack(server, per_second, &stop, &sent))
    };
    let until = Instant::now() + lasts;
    let mut round = 0_u8;
    while Instant::now() < until {
        round = round.wrapping_add(1);
        for (alice, bob, _, called, to) in &talks {
            // Every packet of the one arrives at the other, byte for byte.
            let word = round | 1;
            for (speaker, to, listener) in [(alice, *to, bob), (bob, called.invite.rtp(), alice)] {
                // On a busy machine what was said before comes late.
                let said = || speaker.says_to(word, to, 8, listener).1;
                let whole = |heard: &Vec<u8>| heard.len() == 160 && heard.iter().all(|it| *it == heard[0]);
                let heard = std::iter::repeat_with(said).inspect(|heard| assert!(whole(heard), "{heard:?}"));
                assert!(heard.take(200).any(|heard| heard[0] == word), "{word} is not heard");
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    flooder.join().unwrap();
    let after = resident_kib(program.id());
    // Whoever was registered is heard as before.
    for (alice, bob, calling, called, _) in &mut talks {
        assert_eq!(alice.register(600).status(), 200, "no registered telephone is banned");
        alice.hang_up(calling);
        bob.hung_up(called);
    }
    let attacks = json(&program.folder, &["attacks"]);
    let sources = attacks["sources"].as_array().unwrap();
    let banned = sources.iter().filter(|source| source["bans"].as_u64() > Some(0)).count();
    let refused = attacks["refused"].as_u64().unwrap();
    println!(
        "{} requests sent, {refused} dropped, {} sources reported, {banned} banned; resident {before} KiB before, {after} after",
        sent.load(Ordering::Relaxed),
        sources.len()
    );
    assert!(banned > 0 && refused > 0, "{attacks:#}");
    assert!(after < before + 65_536, "memory: {before} KiB before, {after} KiB after");
    program.wait_for("is banned for");
}

/// Requests of scanners, from 250 addresses: OPTIONS, REGISTER with guesses, INVITE without a password.
fn attack(server: SocketAddr, per_second: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let sockets: Vec<UdpSocket> = (1..=250)
        .map(|last| UdpSocket::bind((IpAddr::V4(Ipv4Addr::new(127, 7, last % 5, last)), 0)).unwrap())
        .collect();
    let began = Instant::now();
    let mut count = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let due = began.elapsed().as_millis() as u64 * per_second / 1_000;
        if count >= due {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let socket = &sockets[count as usize % sockets.len()];
        let local = socket.local_addr().unwrap();
        let (method, more) = match count % 3 {
            0 => ("OPTIONS", "User-Agent: friendly-scanner\r\n"),
            1 => (
                "REGISTER",
                "Authorization: Digest username=\"1001\", realm=\"pbx.example\", nonce=\"x\", uri=\"sip:x\", response=\"0\"\r\n",
            ),
            _ => ("INVITE", "Contact: <sip:100@127.0.0.1>\r\n"),
        };
        let text = format!(
            "{method} sip:100@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{count}\r\n\
             From: <sip:100@{local}>;tag={count}\r\nTo: <sip:100@{server}>\r\nCall-ID: {count}@{local}\r\n\
             CSeq: 1 {method}\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
        );
        if socket.send_to(text.as_bytes(), server).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
        count += 1;
    }
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

// -- sipvicious

#[test]
fn sipvicious_finds_no_extension_and_no_password() {
    if Command::new("svwar").arg("--version").output().is_err() {
        assert!(std::env::var_os("DENWA_REQUIRE_PEERS").is_none(), "sipvicious is missing");
        eprintln!("sipvicious is not here: passed over");
        return;
    }
    let port = free_port();
    let mut program = Program::start(folder("sipvicious"), &file(port, 5));
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut owner = Phone::udp(server, "1001", "secret");
    assert_eq!(owner.register(600).status(), 200);
    let run = |program: &str, arguments: &[&str]| {
        let output =
            Command::new("timeout").arg("60").arg(program).args(arguments).arg("127.0.0.1").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let port = port.to_string();
    let found = run("svwar", &["-p", &port, "-e", "990-1010", "-m", "REGISTER", "--force"]);
    assert!(!found.contains("noauth"), "{found}");
    let listed = |number: &str| found.contains(&format!("| {number} "));
    assert_eq!(listed("1001"), listed("999"), "who exists looks like who does not: {found}");
    let cracked = run("svcrack", &["-p", &port, "-u", "1001", "-r", "1-200"]);
    assert!(!cracked.contains("secret"), "{cracked}");
    program.wait_for("is banned for");
    assert_eq!(owner.register(600).status(), 200, "the owner is heard although his neighbour guessed");
}

// -- a small machine

#[test]
fn a_thousand_telephones_and_fifty_calls_fit_into_512_megabytes() {
    let port = free_port();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let folder = folder("small");
    // A thousand telephones behind one address send faster than one stranger may: they are of the house here.
    let text = file(port, 1_000).replace("[network]\nlocal = []\n[guard]\nexempt = []\n", "");
    fs::write(folder.join("pbx.toml"), text).unwrap();
    // Its whole address space, stacks of threads and mapped files included.
    let began = Instant::now();
    let mut program = Program::start_limited(folder, "--as=536870912");
    println!("started after {} ms", began.elapsed().as_millis());
    let mut phones: Vec<Phone> = (1..=1_000)
        .map(|number| {
            let mut phone = Phone::udp(server, &(1000 + number).to_string(), "secret");
            assert_eq!(phone.register(3_600).status(), 200);
            phone
        })
        .collect();
    let mut talks = Vec::new();
    let mut rest = phones.split_off(900);
    for pair in 0..50 {
        let (mut bob, mut alice) = (rest.pop().unwrap(), rest.pop().unwrap());
        let mut calling = alice.call(&(2_000 - pair * 2).to_string());
        let called = bob.invited();
        bob.answer(&called, &bob.offer("8 101"));
        let to = alice.answered(&mut calling).rtp();
        alice.says_to(0x61, to, 8, &bob);
        talks.push((alice, bob, calling, called));
    }
    let status = json(&program.folder, &["status"]);
    assert_eq!((status["registrations"].as_u64(), status["calls"].as_u64()), (Some(1_000), Some(50)));
    println!("resident {} KiB with 1000 telephones and 50 calls", resident_kib(program.id()));
    for (alice, bob, calling, called) in &mut talks {
        alice.hang_up(calling);
        bob.hung_up(called);
    }
    program.wait_for("call 50: ");
}
