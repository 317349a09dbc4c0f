//! aiortc, a WebRTC stack in Python: a call in either role with a tone each way.

use crate::end::{End, holds_tone};
use crate::servers::drivers::Program;
use denwa::media::{Event, IceConfig};
use denwa_sdp::Codec;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, UdpSocket};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("aiortc_peer.py");

/// An address of this host that is not loopback, which aiortc wants.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: connecting a datagram socket only asks the kernel for the route.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

struct Peer {
    _program: Program,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Peer {
    fn start(python: &str, role: &str) -> Self {
        let child = Command::new(python)
            .args(["-c", SCRIPT, role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Program(child);
        let stdin = program.0.stdin.take().unwrap();
        let stdout = program.0.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { _program: program, stdin, lines }
    }

    /// What it says next, while our end goes on.
    fn says(&self, end: &mut End) -> serde_json::Value {
        let give_up = Instant::now() + Duration::from_secs(120);
        loop {
            end.run();
            if let Ok(line) = self.lines.try_recv() {
                return serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            }
            assert!(Instant::now() < give_up, "{:?} {:#?}", end.events, end.session.pairs());
        }
    }

    fn tell(&mut self, description: &[u8]) {
        let text = serde_json::Value::from(String::from_utf8(description.to_vec()).unwrap());
        writeln!(self.stdin, "{text}").unwrap();
    }
}

#[test]
fn aiortc_calls_us_and_we_call_it() {
    let (Some(python), Some(here)) = (denwa_interop::python_with("aiortc"), own_address()) else { return };
    for role in ["offers", "answers"] {
        let mut end = End::new(here, Codec::pcmu(), IceConfig::default());
        let mut peer = Peer::start(&python, role);
        if role == "offers" {
            let offer = peer.says(&mut end);
            let answer = end.answer(offer.as_str().unwrap());
            peer.tell(&answer);
        } else {
            let offer = end.offer();
            peer.tell(&offer);
            let answer = peer.says(&mut end);
            end.accept(answer.as_str().unwrap());
        }
        let give_up = Instant::now() + Duration::from_secs(120);
        loop {
            let told = peer.says(&mut end);
            assert_eq!(told["state"], "connected", "{role}: {told}");
            let heard: Vec<i16> = serde_json::from_value(told["heard"].clone()).unwrap();
            let there = holds_tone(&heard, told["rate"].as_f64().unwrap(), 1000.0);
            let here = holds_tone(&end.heard, 8000.0, 440.0);
            if there && here {
                break;
            }
            assert!(Instant::now() < give_up, "{role}: heard there {there}, here {here}");
        }
        assert!(end.events.iter().any(|event| matches!(event, Event::Encrypted { .. })), "{:?}", end.events);
        println!("{role}: {:?}", end.path());
    }
}
