//! Networks of the kernel's own between the gateway and its peers: a MAP-E router that passes 240 ports, and sides of which one has
//! no IPv4 and the other no IPv6.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../softphone/tests/running/mod.rs"]
mod running;
#[path = "../../softphone/tests/running/sound.rs"]
mod sound;
mod town;

use denwa_interop::baresip::{Account, Phone};
use denwa_interop::network::Network;
use denwa_interop::{PATIENCE, Ports, Scratch, audio, require, wait_until};
use running::Running;
use softphone::phone::Outcome;
use softphone::wav;
use sound::{noise, share_heard};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use town::Gate;

/// Calls that go on at the same time, and how many each after the other.
const LANES: u32 = 10;
const CALLS: u32 = 5;
/// What is said in each: a second and a half.
const SAID: usize = 12_000;
/// The share of it that must come through, sample by sample: a machine may stand still for a second, and of a call with one deaf
/// end nothing comes.
const ENOUGH: f64 = 0.2;

/// The ports of PSID 52 of 8 bits after an offset of 4, as nftables writes sets.
fn passed_ports() -> String {
    let blocks = (1..16).map(|block| block * 4096 + 52 * 16).map(|first| format!("{first}-{}", first + 15));
    blocks.collect::<Vec<_>>().join(", ")
}

/// `home` – `router` – `world`. The router gives its address to what leaves from one of its ports, whatever comes to one of them is
/// the gateway's, and nothing else passes. It keeps no list of what was sent where, as the carrier's own end does not.
fn behind_map_e() -> Network {
    let network = Network::of(&["home", "router", "world"]);
    network.cable(("home", "eth", "192.168.1.2/24"), ("router", "lan", "192.168.1.1/24"));
    network.run("home", "ip addr add 192.168.1.3/24 dev eth");
    network.cable(("router", "wan", "198.51.100.2/24"), ("world", "eth", "198.51.100.1/24"));
    network.run("home", "ip route add default via 192.168.1.1 src 192.168.1.2");
    network.run("world", "ip route add blackhole 192.168.0.0/16");
    network.run("router", "sysctl -qw net.ipv4.ip_forward=1");
    let ports = passed_ports();
    network.filter(
        "router",
        &format!(
            "table inet denwa {{
                set passed {{ type inet_service; flags interval; elements = {{ {ports} }} }}
                counter refused {{ }}
                counter unmarked {{ }}
                chain into {{ type filter hook prerouting priority -150;
                    iifname wan udp dport @passed ip daddr set 192.168.1.2; }}
                chain through {{ type filter hook forward priority 0; policy drop;
                    iifname wan accept
                    iifname lan udp sport 4928 ip dscp != 32 counter name unmarked
                    iifname lan udp sport != 4928 ip dscp != 46 counter name unmarked
                    iifname lan udp sport @passed accept
                    meta l4proto udp counter name refused; }}
                chain out {{ type filter hook postrouting priority 150; oifname wan ip saddr set 198.51.100.2; }}
            }}"
        ),
    );
    network
}

/// Fifty calls, some of them from outside, ten at a time: whoever speaks is heard at the other end, in each of them.
#[test]
fn fifty_calls_by_the_ports_of_a_map_e_router() {
    if !Network::is_possible() {
        return;
    }
    let network = behind_map_e();
    let scratch = Scratch::new("gateway-map-e");
    // Who is called says the same every time, and each caller something else.
    wav::write(&scratch.path().join("callee.wav"), &noise(1000)[..SAID], 8000).unwrap();
    let mut answering = Vec::new();
    let mut sides = String::new();
    for lane in 0..LANES {
        let from_outside = lane % 5 == 4;
        let (host, address) = if from_outside { ("home", "192.168.1.3") } else { ("world", "198.51.100.1") };
        let line = format!(
            "softphone answer --user 20{lane} --listen udp:{address}:0 --calls {CALLS} --play {} --record {}",
            scratch.path().join("callee.wav").display(),
            scratch.path().join(format!("callee-{lane}.wav")).display()
        );
        let mut phone = network.on(host, || Running::start(&line));
        let place = phone.expect("listening on udp:");
        sides += &format!(
            "[[sides]]\nname = \"{lane}\"\nto = \"udp:{place}\"\n[[routes]]\nfrom = \"{}\"\nto = \"{lane}\"\nprefix = \"20{lane}\"\n",
            if from_outside { "world" } else { "home" }
        );
        answering.push(phone);
    }
    let gate = network.on("home", || {
        Gate::start(&format!(
            "[sip]\nlisten = [\"udp:192.168.1.2:0\"]\ndscp = 32\n[media]\ndscp = 46\nmap_e = {{ psid = 52, psid_len = 8, offset = 4 }}\n\
             [network]\nexternal = \"198.51.100.2\"\nlocal = [\"192.168.0.0/16\"]\n\
             [[sides]]\nname = \"home\"\nfrom = [\"192.168.1.3\"]\n\
             [[sides]]\nname = \"world\"\nfrom = [\"198.51.100.1\"]\n{sides}"
        ))
    });
    // The first of the ports is that of SIP.
    let port = gate.running().listening()[0].address.port();
    assert_eq!(port, 4928);
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (network, folder) = (&network, scratch.path());
            scope.spawn(move || (0..CALLS).for_each(|call| talk(network, folder, lane, call, port)));
        }
    });
    for (lane, phone) in answering.into_iter().enumerate() {
        let (outcome, lines) = phone.end();
        assert_eq!(outcome, Outcome::Good, "{lane}: {lines:#?}\n{}", gate.log());
        let heard = wav::read(&scratch.path().join(format!("callee-{lane}.wav")), 8000).unwrap();
        for call in 0..CALLS {
            let share = share_heard(&said(lane as u32, call)[..SAID], &heard);
            assert!(share > ENOUGH, "lane {lane}, call {call}: the caller was heard {share}\n{}", gate.log());
        }
    }
    assert_eq!(gate.end(), Vec::<String>::new());
    assert_eq!(network.counted("router", "refused"), 0, "packets from ports that the router does not pass");
    assert_eq!(network.counted("router", "unmarked"), 0, "packets without the marks of the file");
}

/// What the caller says in a call.
fn said(lane: u32, call: u32) -> Vec<i16> {
    noise(1 + lane * CALLS + call)
}

/// One call of a lane, until all was said: noise, and a while in which the other end may be late.
fn talk(network: &Network, folder: &Path, lane: u32, call: u32, port: u16) {
    let file = |name: &str| folder.join(format!("{name}-{lane}-{call}.wav"));
    let mut sound = said(lane, call)[..SAID].to_vec();
    sound.resize(SAID + 4000, 0);
    wav::write(&file("caller"), &sound, 8000).unwrap();
    let (host, from, to) = match lane % 5 {
        4 => ("world", "198.51.100.1", "198.51.100.2"),
        _ => ("home", "192.168.1.3", "192.168.1.2"),
    };
    let line = format!(
        "softphone call sip:20{lane}@{to}:{port} --user 10{lane} --listen udp:{from}:0 --hangup-at-end --play {} --record {}",
        file("caller").display(),
        file("heard").display()
    );
    let (outcome, lines) = network.on(host, || Running::start(&line)).end();
    assert_eq!(outcome, Outcome::Good, "lane {lane}, call {call}: {lines:#?}");
    let share = share_heard(&noise(1000)[..SAID], &wav::read(&file("heard"), 8000).unwrap());
    assert!(share > ENOUGH, "lane {lane}, call {call}: the callee was heard {share}: {lines:#?}");
}

const SIX: &str = "2001:db8:6::";
const FOUR: &str = "192.0.2.";

/// A baresip on a host with one address, the gateway being the other end of its cable.
fn plain_phone(network: &Network, scratch: &Scratch, ports: &mut Ports, user: &str, says: &[i16]) -> Phone {
    let net = if user == "six" { SIX } else { FOUR };
    let gateway: IpAddr = format!("{net}1").parse().unwrap();
    let registrar = std::net::SocketAddr::new(gateway, 5060).to_string();
    let account = Account::unregistered(user, &registrar);
    let address = format!("{net}2").parse().unwrap();
    // It hangs up when it has nothing more to say.
    let mut file = says.to_vec();
    file.resize(audio::RATE as usize * 60, 0);
    network.on(user, || Phone::start_at(address, &account, scratch.path(), ports, &file, ""))
}

/// The new recording of a telephone, when it has all of a call in which `said` was said.
fn wait_until_heard(phone: &Phone, before: &Path, said: &[i16]) -> (PathBuf, Vec<i16>) {
    let mut heard = (PathBuf::new(), Vec::new());
    let long_enough = wait_until(PATIENCE, || {
        heard = phone.newest_recording();
        heard.0 != before && heard.1.len() > said.len() + 8000
    });
    assert!(long_enough, "{} samples heard\n{}", heard.1.len(), phone.peer.log());
    heard
}

/// Two baresips: one has nothing but IPv6, the other nothing but IPv4. Each calls the other by the gateway.
#[test]
fn ipv6_alone_and_ipv4_alone() {
    if !require("baresip") || !Network::is_possible() {
        return;
    }
    let network = Network::of(&["six", "gate", "four"]);
    network.cable(("six", "eth", &format!("{SIX}2/64")), ("gate", "six", &format!("{SIX}1/64")));
    network.cable(("four", "eth", &format!("{FOUR}2/24")), ("gate", "four", &format!("{FOUR}1/24")));
    let (scratch, mut ports) = (Scratch::new("gateway-families"), Ports::block());
    let said = ["six", "four"].map(|user| (user, audio::signal(user.len() as u32 + 50, 3)));
    let phones = said.each_ref().map(|(user, says)| plain_phone(&network, &scratch, &mut ports, user, says));
    let first = ports.take(20);
    let gate = network.on("gate", || {
        Gate::start(&format!(
            "[sip]\nlisten = [\"udp:[{SIX}1]:5060\", \"udp:{FOUR}1:5060\"]\ndscp = 32\n[media]\ndscp = 46\nports = [\"{first}-{}\"]\n\
             [[sides]]\nname = \"six\"\nto = \"udp:[{SIX}2]:{}\"\n\
             [[sides]]\nname = \"four\"\nto = \"udp:{FOUR}2:{}\"\n\
             [[routes]]\nfrom = \"six\"\nto = \"four\"\n[[routes]]\nfrom = \"four\"\nto = \"six\"\n",
            first + 19,
            phones[0].sip_port,
            phones[1].sip_port
        ))
    });
    for (host, mark) in [("six", "ip6 dscp"), ("four", "ip dscp")] {
        network.filter(
            host,
            &format!(
                "table inet denwa {{
                    counter unmarked {{ }}
                    chain into {{ type filter hook input priority 0;
                        iifname eth meta l4proto udp {mark} != {{ 32, 46 }} counter name unmarked; }}
                }}"
            ),
        );
    }
    let mut before = [PathBuf::new(), PathBuf::new()];
    for (caller, callee, net) in [(0, 1, format!("[{SIX}1]")), (1, 0, format!("{FOUR}1"))] {
        let user = said[callee].0;
        network.on(said[caller].0, || phones[caller].dial(&format!("sip:{user}@{net}:5060")));
        for (own, other) in [(0, 1), (1, 0)] {
            let (recording, heard) = wait_until_heard(&phones[own], &before[own], &said[other].1);
            before[own] = recording;
            let verdict = audio::compare(&said[other].1, &heard);
            println!("{user} called, {} heard: {verdict:?}", said[own].0);
            let verdict = verdict.unwrap_or_else(|| panic!("{} heard nothing\n{}", said[own].0, gate.log()));
            assert!(verdict.gaps < 0.2 && verdict.correlation > 0.9, "{verdict:?}\n{}", gate.log());
        }
        network.on(said[caller].0, || phones[caller].hang_up());
        let over = || gate.log().matches("over after").count() > caller;
        assert!(wait_until(PATIENCE, over), "{}", gate.log());
    }
    assert_eq!(["six", "four"].map(|host| network.counted(host, "unmarked")), [0, 0]);
    assert_eq!(gate.end(), Vec::<String>::new());
}
