//! A browser as a telephone of the exchange: JsSIP in Chromium, over a WebSocket, with ICE and DTLS-SRTP, talks to a baresip that
//! has none of these; each calls the other once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod interop_support;
#[path = "../../gateway/tests/town/jssip.rs"]
#[allow(dead_code, unreachable_pub)]
mod jssip;

use std::thread;
use std::time::Duration;

use denwa_interop::chromium::Browser;
use denwa_interop::{audio, require};
use interop_support::{Exchange, PASSWORD};

/// What one said is what the other heard, and not what he said himself: codecs and browsers keep the sound, and not the waveform.
fn assert_heard(whose: &str, said: &[i16], heard: &[i16], not: &[i16]) {
    let (likeness, other) = (audio::likeness(said, heard), audio::likeness(not, heard));
    println!("{whose}: {likeness:.3}, and {other:.3} of the other");
    assert!(likeness > 0.85 && likeness > other + 0.1, "{whose}: {likeness:.3}, and {other:.3} of the other");
}

#[test]
fn a_browser_and_a_telephone_call_each_other() {
    let Some(modules) = jssip::modules() else { return };
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let mut exchange = Exchange::start("browser", "");
    let (one, two) = (audio::signal(51, 6), audio::signal(52, 20));
    let mut bob = exchange.phone("1002", "udp", "PCMA", true, &two);
    bob.wait_registered();
    let socket = format!("ws://127.0.0.1:{}", exchange.web_port);
    let site = jssip::serve(&modules, &socket, "1001", PASSWORD);
    let mut browser = Browser::open(&format!("http://{site}/"), exchange.scratch.path(), &one);
    browser
        .wait_for("typeof phone !== 'undefined' && phone.state === 'registered'", "document.body.innerText");
    exchange.peer.wait_for("1001 registered from ws", Duration::from_secs(30));

    browser.evaluate("phone.call('1002'); 0");
    browser.wait_for("phone.state === 'up' && phone.stream", "phone.state + ' ' + phone.why");
    browser.record("phone.stream");
    thread::sleep(Duration::from_secs(8));
    let heard = browser.heard();
    browser.evaluate("phone.end(); 0");
    bob.peer.wait_for("terminated", Duration::from_secs(20));
    assert_heard("the page heard the telephone", &two[..8_000 * 5], &heard, &one);

    bob.dial(&exchange.uri("1001"));
    browser.wait_for("phone.state === 'rings'", "phone.state + ' ' + phone.why");
    browser.evaluate("phone.answer(); 0");
    browser.wait_for("phone.state === 'up' && phone.stream", "phone.state + ' ' + phone.why");
    browser.record("phone.stream");
    thread::sleep(Duration::from_secs(8));
    let heard = browser.heard();
    bob.hang_up();
    browser.wait_for("phone.state === 'over'", "phone.state + ' ' + phone.why");
    assert_heard("the page that was called heard the telephone", &two[..8_000 * 5], &heard, &one);
    assert_heard("the telephone heard the page", &one, &bob.heard(), &two[..8_000 * 5]);
    let log = exchange.peer.log();
    assert!(log.contains("1001 → 1002 ended") && log.contains("1002 → 1001 ended"), "{log}");
}
