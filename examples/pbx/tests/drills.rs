//! Drills: the power cut at any moment, and the flood from many addresses while people talk. Short forms always, long ones at night.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use denwa_interop::sipp::{Options, Sipp};
use denwa_interop::{PATIENCE, Ports, Scratch, require};
use phone::{Dialog, Phone, Program, folder, free_port};

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

/// Two telephones that talk, and how much of what they said was heard.
struct Talk {
    alice: Phone,
    bob: Phone,
    calling: Dialog,
    called: Dialog,
    /// Where each speaks to.
    ways: [SocketAddr; 2],
    said: u64,
    lost: u64,
}

impl Talk {
    fn begin(server: SocketAddr, numbers: [&str; 2]) -> Self {
        let [mut alice, mut bob] = numbers.map(|number| Phone::udp(server, number, "secret"));
        assert_eq!((alice.register(600).status(), bob.register(600).status()), (200, 200));
        let mut calling = alice.call(numbers[1]);
        let called = bob.invited();
        bob.answer(&called, &bob.offer("8 101"));
        let ways = [alice.answered(&mut calling).rtp(), called.invite.rtp()];
        // The first packets may come before the way is open.
        alice.says_to(1, ways[0], 8, &bob);
        bob.says_to(1, ways[1], 8, &alice);
        Self { alice, bob, calling, called, ways, said: 0, lost: 0 }
    }

    /// One packet each way; what comes is what was said, octet by octet.
    fn speak(&mut self) {
        let sequence = u16::try_from(self.said % 60_000).unwrap() + 1_000;
        let word = [(self.said % 250) as u8 + 2; 160];
        for (from, to, way) in
            [(&self.alice, &self.bob, self.ways[0]), (&self.bob, &self.alice, self.ways[1])]
        {
            from.say(way, 8, sequence, &word);
            to.rtp.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut buffer = [0; 2048];
            let heard =
                std::iter::from_fn(|| to.rtp.recv(&mut buffer).ok().map(|length| buffer[12..length] == word));
            let is_heard = heard.take(50).any(|is_it| is_it);
            self.said += 1;
            self.lost += u64::from(!is_heard);
        }
    }

    /// Both are heard as before.
    fn end(&mut self) {
        assert_eq!(self.alice.register(600).status(), 200, "no registered telephone is banned");
        assert_eq!(self.bob.register(600).status(), 200, "no registered telephone is banned");
        self.alice.hang_up(&mut self.calling);
        self.bob.hung_up(&self.called);
    }
}

fn flood(calls: u32, lasts: Duration, per_second: u64) {
    if !require("sipp") {
        return;
    }
    let port = free_port();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut program = Program::start(folder("flood"), &file(port, calls * 2));
    let number = |which: u32| (1001 + which).to_string();
    let mut talks: Vec<Talk> =
        (0..calls).map(|pair| Talk::begin(server, [&number(pair * 2), &number(pair * 2 + 1)])).collect();
    let before = resident_kib(program.id());
    let scratch = Scratch::new("flood");
    let mut flooders = attack(scratch.path(), server, per_second, lasts);
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        talks.iter_mut().for_each(Talk::speak);
        thread::sleep(Duration::from_millis(20));
    }
    for flooder in &mut flooders {
        assert!(flooder.finish(PATIENCE + lasts), "{}", flooder.peer.log());
    }
    let after = resident_kib(program.id());
    talks.iter_mut().for_each(Talk::end);
    let (said, lost) = talks.iter().fold((0, 0), |(said, lost), talk| (said + talk.said, lost + talk.lost));
    let attacks = json(&program.folder, &["attacks"]);
    let sources = attacks["sources"].as_array().unwrap();
    let banned = sources.iter().filter(|source| source["bans"].as_u64() > Some(0)).count();
    let refused = attacks["refused"].as_u64().unwrap();
    println!(
        "{} requests sent, {refused} dropped, {} sources reported, {banned} banned; {said} packets of voice said, {lost} not heard; \
         resident {before} KiB before, {after} after",
        per_second * lasts.as_secs(),
        sources.len()
    );
    // A loaded machine may lose a datagram; a call that loses its sound loses more.
    assert!(said > 0 && lost * 100 <= said, "{lost} of {said} packets of voice were not heard");
    assert!(after < before + 49_152, "memory: {before} KiB before, {after} KiB after");
    // The report names the attackers, what they did and what was done, and nobody else.
    assert!(banned > 0 && refused > 0, "{attacks:#}");
    for source in sources {
        assert!(source["who"].as_str().unwrap().starts_with("127.7."), "{source:#}");
        // Strangers together may send so much and no more: some were dropped before they did anything.
        let did_something = !source["offences"].as_array().unwrap().is_empty();
        assert!(did_something || source["refused"].as_u64() > Some(0), "{source:#}");
    }
    assert!(attacks.to_string().contains("a scanner by its own name"), "{attacks:#}");
    assert!(sources.iter().map(|source| source["refused"].as_u64().unwrap()).sum::<u64>() <= refused);
    program.wait_for("is banned for");
}

/// SIPp's floods, each from 250 addresses of its own: OPTIONS of a scanner, REGISTER with guesses, INVITE without a password.
fn attack(folder: &Path, server: SocketAddr, per_second: u64, lasts: Duration) -> Vec<Sipp> {
    let kinds = [
        ("OPTIONS", "User-Agent: friendly-scanner"),
        (
            "REGISTER",
            "Authorization: Digest username=\"1001\", realm=\"pbx.example\", nonce=\"x\", uri=\"sip:x\", response=\"0\"",
        ),
        ("INVITE", "Contact: <sip:100@[field0]>"),
    ];
    let rate = (per_second / 3).max(1);
    let (rate, count) = (rate.to_string(), (rate * lasts.as_secs()).to_string());
    let mut ports = Ports::block();
    let start = |(kind, (method, more)): (usize, (&str, &str))| {
        let addresses = folder.join(format!("{method}.addresses"));
        let each: String = (1..=250).map(|last| format!("127.7.{}.{last};\n", kind * 5 + last % 5)).collect();
        fs::write(&addresses, format!("SEQUENTIAL\n{each}")).unwrap();
        let scenario = format!(
            "<?xml version=\"1.0\"?>\n<scenario name=\"flood\"><send><![CDATA[\n\
             {method} sip:100@[remote_ip]:[remote_port] SIP/2.0\nVia: SIP/2.0/UDP [field0]:5060;rport;branch=[branch]\n\
             From: <sip:100@[field0]>;tag=[call_number]\nTo: <sip:100@[remote_ip]>\nCall-ID: [call_id]\n\
             CSeq: 1 {method}\nMax-Forwards: 70\n{more}\nContent-Length: 0\n\n]]></send></scenario>\n"
        );
        let target = server.to_string();
        let options = Options {
            name: method,
            scenario: &scenario,
            target: Some(&target),
            port: ports.take(2),
            media_port: ports.take(2),
            arguments: &[
                "-t",
                "ui",
                "-inf",
                addresses.to_str().unwrap(),
                "-ip_field",
                "0",
                "-r",
                &rate,
                "-m",
                &count,
                "-nd",
                "-max_socket",
                "1000",
            ],
        };
        Sipp::start(&options, folder)
    };
    kinds.into_iter().enumerate().map(start).collect()
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

// -- sipvicious

#[test]
fn sipvicious_finds_no_extension_and_no_password() {
    if !require("svwar") {
        return;
    }
    let port = free_port();
    let mut program = Program::start(folder("sipvicious"), &file(port, 5));
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut talk = Talk::begin(server, ["1001", "1002"]);
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
    // He and whom he talks to are heard, although somebody guessed beside them.
    (0..50).for_each(|_| talk.speak());
    assert!(talk.lost <= 1, "{} of {} packets were not heard", talk.lost, talk.said);
    talk.end();
    let attacks = json(&program.folder, &["attacks"]).to_string();
    assert!(attacks.contains("127.0.0.1"), "{attacks}");
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
