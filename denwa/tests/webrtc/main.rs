//! Peers that speak WebRTC, and media sessions of ours: Chromium and aiortc. ICE on host, behind the kernel's NAT by the addresses that a
//! STUN server tells, relayed by our TURN server and by coturn; DTLS-SRTP with us as client and as server; a tone each way, compared at
//! both ends.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../ice/tests/common/mod.rs"]
mod servers;

mod aiortc;
mod behind_nat;
mod chromium;
mod end;
mod relayed;

use chromium::{Scenario, call};
use denwa::media::{Event, IceConfig};
use end::chosen;
use serde_json::json;

#[test]
fn chromium_calls_us_and_we_call_it() {
    for page_offers in [true, false] {
        let scenario = Scenario::new(page_offers, json!({}));
        let Some((facts, events)) = call(&scenario, IceConfig::default()) else { return };
        assert_eq!((&facts["local"], &facts["remote"]), (&"host".into(), &"host".into()), "{facts}");
        assert!(!chosen(&events).1);
        assert!(events.iter().any(|event| matches!(event, Event::Encrypted { .. })));
    }
}

#[test]
fn chromium_talks_to_the_lite_end() {
    call(&Scenario::new(true, json!({})), IceConfig::lite());
}
