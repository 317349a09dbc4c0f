//! A browser as a telephone of the exchange: JsSIP in Chromium, over a WebSocket within TLS, with ICE and DTLS-SRTP, talks to a baresip that
//! has none of these; each calls the other once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;
#[path = "../../gateway/tests/town/jssip.rs"]
#[allow(dead_code, unreachable_pub)]
mod jssip;

use denwa_interop::chromium::Browser;
use denwa_interop::hearing::Sentence;
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
    let Some(modules) = jssip::modules() else { return };
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let mut exchange = Exchange::start("browser", "");
    let (one, two) = (audio::signal(51, 4), audio::signal(52, 4));
    let bob = exchange.phone("1002", "udp", "PCMA", true, &Sentence::for_minutes(&two));
    bob.wait_registered();
    let port = exchange.web_port + u16::from(transport == "wss");
    let socket = format!("{transport}://127.0.0.1:{port}");
    let site = jssip::serve(&modules, &socket, "1001", PASSWORD);
    let mut browser = Browser::open(&format!("http://{site}/"), exchange.scratch.path(), &one);
    browser
        .wait_for("typeof phone !== 'undefined' && phone.state === 'registered'", "document.body.innerText");
    exchange.peer.wait_for(&format!("1001 registered from {transport} "), PATIENCE);

    browser.evaluate("phone.call('1002'); 0");
    browser.wait_for("phone.state === 'up' && phone.stream", "phone.state + ' ' + phone.why");
    browser.record("phone.stream");
    Sentence::plain(&two).wait_in_sound("the page hears the telephone", &one, || browser.heard());
    browser.evaluate("phone.end(); 0");
    bob.peer.wait_for("terminated", PATIENCE);

    bob.dial(&exchange.uri("1001"));
    browser.wait_for("phone.state === 'rings'", "phone.state + ' ' + phone.why");
    browser.evaluate("phone.answer(); 0");
    browser.wait_for("phone.state === 'up' && phone.stream", "phone.state + ' ' + phone.why");
    browser.record("phone.stream");
    let label = "the page that was called hears the telephone";
    Sentence::plain(&two).wait_in_sound(label, &one, || browser.heard());
    let hears = || bob.newest_recording().1;
    Sentence::plain(&one).wait_in_sound("the telephone hears the page", &two, hears);
    bob.hang_up();
    browser.wait_for("phone.state === 'over'", "phone.state + ' ' + phone.why");
    // It is told once the record is on disk.
    exchange.peer.wait_for("1001 → 1002 ended", PATIENCE);
    exchange.peer.wait_for("1002 → 1001 ended", PATIENCE);
}
