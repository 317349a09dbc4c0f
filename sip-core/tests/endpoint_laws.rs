//! The ten laws of STYLE.md, kept by an endpoint with a user: calls both ways, a registration, floods.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod station;

use denwa_sim::{
    Stimulus,
    laws::{Bounds, Subject},
};
use station::Station;
use std::{net::SocketAddr, time::Duration};

fn here() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

fn there() -> SocketAddr {
    "192.0.2.2:5060".parse().unwrap()
}

fn datagram(text: &str) -> Stimulus {
    let head = text.lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
    Stimulus::Datagram { local: here(), remote: there(), payload: format!("{head}\r\n").into_bytes() }
}

fn request(method: &str, number: u64) -> Stimulus {
    datagram(&format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK{method}{number}
        Max-Forwards: 70
        From: <sip:bob@192.0.2.2>;tag=b{number}
        To: <sip:alice@192.0.2.1>
        Call-ID: c{number}
        CSeq: 1 {method}
        Contact: <sip:bob@192.0.2.2>
        Content-Length: 0"
    ))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_endpoint_keeps_the_laws() {
    Subject::new(|seed, now| Station::new("alice", here(), seed, 5, now))
        .command(seconds(0), |station: &mut Station, now| {
            station.call("bob", there(), now);
        })
        .input(seconds(1), request("INVITE", 1))
        .input(seconds(2), request("OPTIONS", 2))
        .input(seconds(3), request("MESSAGE", 3))
        .input(seconds(4), request("BYE", 4))
        .input(seconds(5), request("CANCEL", 1))
        .command(seconds(6), |station: &mut Station, now| {
            station.call("bob", there(), now);
            station.hang_up_everything(now);
        })
        .bounds(Bounds { outputs_per_input: 64, holdings: 4000 })
        .flood(1000, |number| request("INVITE", number + 100))
        .until(seconds(200))
        .check()
        .unwrap();
}
