//! Chromium, the gateway, the exchange, a telephone: by the gateway's own page, and by JsSIP over a WebSocket. What each says is
//! compared with what the other hears.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod town;

use denwa_interop::chromium::Browser;
use denwa_interop::{Ports, Scratch, audio, require};
use std::time::Duration;
use town::{Gate, PASSWORD, exchange, phone};

/// The gateway between a page and the exchange.
fn between(ports: &mut Ports, exchange: u16, to_exchange: &str) -> Gate {
    let first = ports.take(40);
    Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"ws:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [web]\nlisten = \"127.0.0.1:0\"\n\
         [[sides]]\nname = \"web\"\nkind = \"webrtc\"\nusers = {{ 1003 = \"{PASSWORD}\" }}\n\
         [[sides]]\nname = \"exchange\"\nto = \"udp:127.0.0.1:{exchange}\"\n{to_exchange}\n\
         [[routes]]\nfrom = \"web\"\nto = \"exchange\"\n\
         [[routes]]\nfrom = \"exchange\"\nto = \"web\"\n",
        first + 39
    ))
}

/// What a recording lacks of what was said: jitter buffers of browsers stretch and shrink what they play.
fn assert_heard(whose: &str, said: &[i16], heard: &[i16]) {
    let verdict = audio::compare_resampled(said, heard);
    println!("{whose}: {verdict:?}");
    let verdict =
        verdict.unwrap_or_else(|| panic!("{whose}: what was said is not in {} samples", heard.len()));
    assert!(verdict.gaps <= 0.2 && verdict.correlation > 0.7, "{whose}: {verdict:?}");
}

#[test]
fn the_page_calls_with_one_click() {
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let scratch = Scratch::new("gateway-page");
    let mut ports = Ports::block();
    let exchange = exchange(&scratch, &mut ports, "codecs = [\"PCMA\"]");
    let (one, two) = (audio::signal(21, 6), audio::signal(22, 20));
    let mut bob = phone((&scratch, &mut ports, exchange), "1002", "PCMA", "", &two);
    let gate = between(
        &mut ports,
        exchange,
        &format!("user = \"1001\"\npassword = \"{PASSWORD}\"\ncodecs = [\"PCMA\"]"),
    );
    let page = gate.running().page().unwrap();
    let mut browser = Browser::open(&format!("http://{page}/web?to=1002&lang=en"), scratch.path(), &one);
    browser.wait_for("document.getElementById('number')?.value === '1002'", "document.body.innerText");
    // Whoever listens for what is heard wants it as it was said.
    browser.evaluate("window.denwaPlain = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices); \
        navigator.mediaDevices.getUserMedia = () => denwaPlain({audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}}); 0");
    browser.evaluate("document.getElementById('call').click()");
    browser
        .wait_for("document.getElementById('state').dataset.state === 'answered'", "document.body.innerText");
    browser.record("document.getElementById('sound').srcObject");
    bob.peer.wait_for("Call established", Duration::from_secs(20));
    browser.evaluate("document.querySelector('#keys button').click()");
    std::thread::sleep(Duration::from_secs(9));
    let heard = browser.heard();
    browser.evaluate("document.getElementById('end').click()");
    bob.peer.wait_for("terminated", Duration::from_secs(20));
    println!("{}", gate.log());
    assert_heard("the page heard the telephone", &two[..8000 * 5], &heard);
    assert_heard("the telephone heard the page", &one, &bob.heard());
    gate.wait_for("over after");
    assert!(gate.log().contains("encrypted with the caller: "), "{}", gate.log());
    assert_eq!(gate.end(), Vec::<String>::new());
}

/// A user of the gateway is a telephone of the exchange: whoever calls 1003 there is answered here, and the other way round.
#[test]
fn jssip_calls_and_is_called() {
    let Some(modules) = town::jssip::modules() else { return };
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let scratch = Scratch::new("gateway-jssip");
    let mut ports = Ports::block();
    let exchange = exchange(&scratch, &mut ports, "codecs = [\"G722\"]\nencryption = \"required\"");
    let (one, two) = (audio::signal(23, 6), audio::signal(24, 20));
    let mut bob = phone((&scratch, &mut ports, exchange), "1002", "G722", ";mediaenc=srtp-mand", &two);
    let line = "register_users_of = \"web\"\ncodecs = [\"G722\"]\nencryption = \"required\"\nptime = 20";
    let gate = between(&mut ports, exchange, line);
    let socket = format!("ws://{}", gate.running().listening()[1].address);
    let site = town::jssip::serve(&modules, &socket, "1003", PASSWORD);
    let mut browser = Browser::open(&format!("http://{site}/"), scratch.path(), &one);
    browser.wait_for("window.phone || typeof phone !== 'undefined'", "document.body.innerText");
    browser.wait_for("phone.state === 'registered'", "phone.state");
    gate.wait_for("side exchange: 1003 registered");

    browser.evaluate("phone.call('1002'); 0");
    browser.wait_for("phone.state === 'up' && phone.stream", "phone.state + ' ' + phone.why");
    browser.record("phone.stream");
    std::thread::sleep(Duration::from_secs(8));
    let heard = browser.heard();
    browser.evaluate("phone.end(); 0");
    bob.peer.wait_for("terminated", Duration::from_secs(20));
    assert_heard("the page heard the telephone", &two[..8000 * 5], &heard);

    // And the other way round.
    bob.dial(&format!("sip:1003@127.0.0.1:{exchange}"));
    browser.wait_for("phone.state === 'rings'", "phone.state + ' ' + phone.why");
    browser.evaluate("phone.answer(); 0");
    browser.wait_for("phone.state === 'up' && phone.stream", "phone.state + ' ' + phone.why");
    browser.record("phone.stream");
    std::thread::sleep(Duration::from_secs(8));
    let heard = browser.heard();
    bob.hang_up();
    browser.wait_for("phone.state === 'over'", "phone.state + ' ' + phone.why");
    assert_heard("the page that was called heard the telephone", &two[..8000 * 5], &heard);
    assert_heard("the telephone heard the page", &one, &bob.heard());
    println!("{}", gate.log());

    // Whoever closes his tab is registered nowhere any more.
    browser.close();
    gate.wait_for("1003 is gone");
    gate.wait_for("1003 no longer registered");
    assert_eq!(gate.end(), Vec::<String>::new());
}
