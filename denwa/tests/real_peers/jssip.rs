//! JsSIP in Node over WS and WSS: it registers, sends and takes messages, calls and is called.

use crate::authority::Authority;
use crate::desk::{Desk, PATIENCE};
use denwa::tokio::{DriverConfig, Tls};
use denwa_interop::{Peer, Scratch, require};
use denwa_sip_core::config::{Listener, TransactionConfig};
use denwa_sip_core::message::Request;
use denwa_sip_core::transaction::{SendOptions, TransactionEvent};
use denwa_sip_core::transport::Target;
use denwa_sip_core::{Method, Protocol};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Where JsSIP is installed: `DENWA_NODE_MODULES`.
fn modules() -> Option<PathBuf> {
    let found = std::env::var_os("DENWA_NODE_MODULES").map(PathBuf::from);
    let found = found.filter(|folder| folder.join("jssip").is_dir());
    if found.is_none() {
        let required = std::env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "DENWA_NODE_MODULES names no folder with jssip and DENWA_REQUIRE_PEERS=1");
        eprintln!("DENWA_NODE_MODULES names no folder with jssip: this test proves nothing here");
    }
    found
}

#[test]
fn a_browser_library_over_ws_and_wss() {
    let (true, Some(modules)) = (require("node"), modules()) else { return };
    let scratch = Scratch::new("jssip");
    let authority = Authority::new();
    let (ca, _) = authority.write(scratch.path(), "desk", &["127.0.0.1"]);
    for protocol in [Protocol::Ws, Protocol::Wss] {
        let listen = ["ws:127.0.0.1:0", "wss:127.0.0.1:0"].map(|text| text.parse().unwrap());
        let mut config = DriverConfig::new(listen.to_vec());
        config.tls = Some(Tls::new(&authority.tls(&["127.0.0.1"])).unwrap());
        let desk = Desk::start(config, |listening| {
            TransactionConfig::new(
                listening.iter().map(|place| Listener::new(place.protocol, place.address)).collect(),
            )
        });
        let scheme = protocol.via_token().to_ascii_lowercase();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_peers/jssip.js");
        let mut command = Command::new("node");
        command.arg(script).arg(format!("{scheme}://{}", desk.address(protocol)));
        command.env("NODE_PATH", &modules).env("NODE_EXTRA_CA_CERTS", &ca);
        let mut page = Peer::start(&scheme, scratch.path(), &mut command);

        let (register, origin) = desk.expect_request(&Method::Register);
        assert_eq!(origin.flow.protocol, protocol);
        let contact = register.contact().unwrap().unwrap();
        assert_eq!(contact.uri.params().get("transport"), Some("ws"));
        let (message, _) = desk.expect_request(&Method::Message);
        assert_eq!(message.body(), "Grüße".as_bytes());
        let (invite, _) = desk.expect_request(&Method::Invite);
        assert!(invite.body().starts_with(b"v=0"));
        desk.expect_request(&Method::Ack);
        desk.expect_request(&Method::Bye);

        // Its own address is a name that leads nowhere: the flow of its registration leads to it. It is kept alive.
        let flow = origin.flow;
        let target = contact.uri.to_owned();
        desk.act(move |layer, now| {
            layer.keep_alive(flow, Duration::from_secs(1), now).unwrap();
            let message = Request::builder(Method::Message, &target)
                .header("Max-Forwards", 70)
                .header("From", "<sip:desk@example.com>;tag=f")
                .header("To", format!("<{target}>"))
                .header("Call-ID", "from-desk")
                .header("CSeq", "1 MESSAGE")
                .body("text/plain", "good bye".as_bytes().to_vec())
                .finish()
                .unwrap();
            layer.send_request(message, Target::Flow(flow), SendOptions::default(), now).unwrap();
        });
        desk.expect(|event| match event {
            TransactionEvent::Response { response, .. } if response.status().code() == 200 => Some(()),
            _ => None,
        });
        page.wait_for("pinged", PATIENCE);
        page.wait_for("message: good bye", PATIENCE);
        // It withdraws its registration and goes.
        let (register, _) = desk.expect_request(&Method::Register);
        assert_eq!(register.contact().unwrap().unwrap().params.get("expires"), Some("0"));
        desk.expect(|event| matches!(event, TransactionEvent::StreamClosed { .. }).then_some(()));
        let status = page.wait(PATIENCE).unwrap();
        assert!(status.success(), "{}", page.log());
    }
}
