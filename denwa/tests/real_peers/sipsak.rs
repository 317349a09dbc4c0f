//! sipsak's torture: requests of which it spoils one character more each time, until one is refused.

use crate::desk::Desk;
use denwa::tokio::DriverConfig;
use denwa_interop::{Peer, Ports, Scratch, require};
use denwa_sip_core::config::{Listener, TransactionConfig};
use denwa_sip_core::{Method, Protocol};
use std::process::Command;
use std::time::Duration;

fn desk() -> Desk {
    let config = DriverConfig::new(vec!["udp:127.0.0.1:0".parse().unwrap()]);
    Desk::start(config, |listening| {
        TransactionConfig::new(
            listening.iter().map(|place| Listener::new(place.protocol, place.address)).collect(),
        )
    })
}

/// Whatever it sends, the next decent request is answered.
#[test]
fn spoilt_requests_hurt_nobody() {
    if !require("sipsak") {
        return;
    }
    let scratch = Scratch::new("sipsak");
    let mut ports = Ports::block();
    let desk = desk();
    let uri = format!("sip:desk@{}", desk.address(Protocol::Udp));
    for round in 0..10 {
        let mut command = Command::new("sipsak");
        // What is not answered at all (a response is not) it waits for 64 times this.
        command.args(["--timer-t1=50", "-R", "-t", "40", "-l", &ports.take(1).to_string(), "-s", &uri]);
        let mut sipsak = Peer::start(&format!("torture-{round}"), scratch.path(), &mut command);
        // It ends when it was answered with an error, or not at all.
        assert!(sipsak.wait(Duration::from_secs(120)).is_some());
    }
    let mut command = Command::new("sipsak");
    command.args(["-v", "-l", &ports.take(1).to_string(), "-s", &uri]);
    let mut sipsak = Peer::start("decent", scratch.path(), &mut command);
    let status = sipsak.wait(Duration::from_secs(60)).unwrap();
    assert!(status.success(), "{}", sipsak.log());
    desk.expect_request(&Method::Options);
}
