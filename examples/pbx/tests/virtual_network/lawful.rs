//! The exchange under the ten laws of every machine.

use std::net::SocketAddr;
use std::time::Duration;

use denwa_sim::laws::{Bounds, Subject};
use denwa_sim::machine::Stimulus;
use denwa_sim::{Output, Protocol};

use crate::config;
use crate::node::Node;

const TRUNKS: &str = "[[trunks]]\nname = \"lab\"\naddress = \"udp:192.0.2.9\"\n[calls]\nlimit = 10\n";

fn server() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

fn lab() -> SocketAddr {
    "192.0.2.9:5060".parse().unwrap()
}

fn datagram(remote: SocketAddr, text: &str) -> Stimulus {
    Stimulus::Datagram { local: server(), remote, payload: text.as_bytes().to_vec() }
}

fn request(method: &str, uri: &str, call: u64, cseq: u32, to_tag: &str, body: &str) -> String {
    format!(
        "{method} sip:{uri}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{method}{call}\r\n\
         From: <sip:200@192.0.2.9>;tag=a\r\nTo: <sip:{uri}@192.0.2.1>{to_tag}\r\nCall-ID: {call}@lab\r\n\
         CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: <sip:200@192.0.2.9>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(number: &str, call: u64) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\n\
               a=rtpmap:101 telephone-event/8000\r\n";
    request("INVITE", number, call, 1, "", sdp)
}

/// Answers every question about routes; the way is always the same.
fn routes(outputs: &[Output]) -> Vec<Stimulus> {
    let route = |local: &str| denwa_sim::host::Route {
        local: local.parse().unwrap(),
        interface: "eth0".into(),
        index: 1,
    };
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Route { token, destination } => Some(Stimulus::Routed {
                token: *token,
                destination: *destination,
                route: Some(route("192.0.2.1")),
            }),
            _ => None,
        })
        .collect()
}

/// The To tag of the exchange in the 200 to an INVITE.
fn tag(outputs: &[Output]) -> Option<String> {
    outputs.iter().rev().find_map(|output| {
        let Output::Transmit(transmit) = output else { return None };
        let text = std::str::from_utf8(&transmit.payload).ok()?;
        let is_answer = text.starts_with("SIP/2.0 200") && text.contains("INVITE");
        let to = text.lines().find(|line| is_answer && line.starts_with("To:"))?;
        Some(to.split_once(";tag=")?.1.to_owned())
    })
}

fn in_dialog(method: &'static str, cseq: u32) -> impl Fn(&[Output]) -> Vec<Stimulus> {
    move |outputs| {
        let tag = tag(outputs).map(|tag| format!(";tag={tag}"));
        tag.map(|tag| datagram(lab(), &request(method, "186", 1, cseq, &tag, ""))).into_iter().collect()
    }
}

#[test]
fn an_exchange_is_lawful() {
    let milliseconds = Duration::from_millis;
    let stranger: SocketAddr = "198.51.100.66:5060".parse().unwrap();
    Subject::new(|seed, now| Node::new(config(TRUNKS, Vec::new()), seed, now))
        .input(milliseconds(10), datagram(lab(), &invite("186", 1)))
        .reply(milliseconds(20), routes)
        .reply(milliseconds(30), in_dialog("ACK", 1))
        .input(milliseconds(40), datagram(lab(), &invite("1001", 2)))
        .input(milliseconds(50), datagram(stranger, &invite("1001", 3)))
        .input(milliseconds(60), datagram(stranger, &request("REGISTER", "1001", 4, 1, "", "")))
        .input(milliseconds(70), datagram(stranger, &request("OPTIONS", "x", 5, 1, "", "")))
        .input(milliseconds(80), datagram(stranger, "INVITE sip:x SIP/2.0\r\nnonsense"))
        .input(milliseconds(90), datagram(stranger, "\0\u{1}\0\0\u{21}\u{12}"))
        .input(
            milliseconds(100),
            Stimulus::StreamOpened {
                token: None,
                protocol: Protocol::Tcp,
                local: server(),
                remote: stranger,
                peer_identity: None,
            },
        )
        .input(
            milliseconds(110),
            Stimulus::StreamData {
                protocol: Protocol::Tcp,
                local: server(),
                remote: stranger,
                payload: b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 9999".to_vec(),
            },
        )
        .reply(milliseconds(1000), in_dialog("BYE", 2))
        .command(milliseconds(1500), |node, now| node.give(pbx::exchange::Input::ShutDown, now))
        .flood(300, move |count| datagram(lab(), &invite("186", 1000 + count)))
        .bounds(Bounds { outputs_per_input: 64, holdings: 4_000 })
        .until(Duration::from_secs(80))
        .check()
        .unwrap_or_else(|broken| panic!("{broken}"));
}
