//! A browser as a telephone of the exchange: JsSIP in Chromium, over a WebSocket within TLS, with ICE and DTLS-SRTP, talks to a baresip that
//! has none of these; each calls the other once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;

use denwa_interop::chromium::Browser;
use denwa_interop::hearing::Sentence;
use denwa_interop::sip_page::{self, Account, Library};
use denwa_interop::{PATIENCE, audio, require};
use interop_support::{Exchange, PASSWORD};

#[test]
fn a_browser_and_a_telephone_call_each_other_over_tls() {
    call_each_other("wss");
}

#[test]
#[ignore = "nightly: the same without TLS"]
fn a_browser_and_a_telephone_call_each_other() {
    call_each_other("ws");
}

fn call_each_other(transport: &str) {
    let Some(modules) = Library::JsSip.modules() else { return };
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let mut exchange = Exchange::start("browser", "");
    let (one, two) = (audio::signal(24, 4), audio::signal(26, 4));
    let bob = exchange.phone("1002", "udp", "PCMA", true, &Sentence::for_minutes(&two));
    bob.wait_registered();
    let port = exchange.web_port + u16::from(transport == "wss");
    let socket = format!("{transport}://127.0.0.1:{port}");
    let account = Account { socket: &socket, user: "1001", password: PASSWORD };
    let page = sip_page::serve(Library::JsSip, modules, &account);
    let mut browser = sip_page::open(page, exchange.scratch.path(), &one);
    exchange.peer.wait_for(&format!("1001 registered from {transport} "), PATIENCE);

    let uri = exchange.uri("1001");
    let ended = ["1001 → 1002 ended", "1002 → 1001 ended"];
    sip_page::call_each_other(&mut browser, &bob, ("1002", &uri), (&one, &two), |calls| {
        // It is told once the record is on disk.
        exchange.peer.wait_for(ended[calls - 1], PATIENCE);
    });
}
