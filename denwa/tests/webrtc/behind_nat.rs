//! Chromium and a session of ours, each behind a router that translates addresses and lets in only what answers (the kernel's): only the
//! addresses that a STUN server tells can lead from one to the other.

use crate::chromium::{Scenario, call};
use crate::end::chosen;
use crate::servers::drivers::ServerDriver;
use crate::servers::kernel::{Kernel, Lab, ROLE, say};
use crate::servers::{at, ip};
use denwa::media::IceConfig;
use denwa_ice::turn::server::ServerConfig;
use denwa_sdp::Codec;
use serde_json::json;
use std::time::Duration;

const ACTOR: &str = "behind_nat::actor";
const SERVER: &str = "198.51.100.1:3478";
/// The router's own page port leads to ours, so that the browser finds the page.
const PAGE: &str = "203.0.113.2:8000";

#[test]
fn chromium_and_we_meet_by_the_addresses_that_a_stun_server_tells() {
    if std::env::var_os(ROLE).is_some() || !Lab::is_possible() {
        return;
    }
    let lab = Lab::new(Kernel::PortRestricted, Kernel::PortRestricted);
    lab.nft(
        "nb",
        "table ip page {\n chain pre { type nat hook prerouting priority -101; \
         iifname wan tcp dport 8000 dnat to 100.64.2.2; }\n}\n",
    );
    let server = lab.start("pub", ACTOR, "server");
    assert_eq!(server.lines.recv_timeout(Duration::from_secs(60)).unwrap(), "ready");
    let us = lab.start("b", ACTOR, &format!("b {}", lab.name("a")));
    let told = us.lines.recv_timeout(Duration::from_secs(240));
    let told = told.unwrap_or_else(|_| panic!("our end says nothing: what it printed says why"));
    println!("{told}");
    assert!(told == "no browser" || told.starts_with("srflx srflx "), "{told}");
}

/// Not a test by itself: what runs inside the namespaces.
#[test]
fn actor() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.split_once(' ') {
        None => {
            let _server = ServerDriver::start(ServerConfig::stun_only(), at(SERVER), &[]);
            say("ready");
            // Until the test is over and closes our input.
            let mut line = String::new();
            while std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {}
        }
        Some((_, namespace)) => {
            let mut ice = IceConfig::default();
            ice.stun_servers = vec![at(SERVER)];
            let scenario = Scenario {
                page_offers: true,
                configuration: json!({ "iceServers": [{ "urls": format!("stun:{SERVER}") }] }),
                codec: Codec::pcmu(),
                here: ip("100.64.2.2"),
                page: Some(at(PAGE)),
                namespace: Some(namespace.to_owned()),
            };
            let Some((facts, events)) = call(&scenario, ice) else { return say("no browser") };
            let kind = |whose: &str| facts[whose].as_str().unwrap_or_default().to_owned();
            say(&format!("{} {} {}", kind("local"), kind("remote"), chosen(&events).0));
        }
    }
}
