//! Chromium, the gateway, the exchange, a telephone: by the gateway's own page, and by JsSIP over a WebSocket. What each says is
//! compared with what the other hears.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../softphone/tests/running/mod.rs"]
mod running;
mod town;

use denwa_interop::authority::Authority;
use denwa_interop::chromium::Browser;
use denwa_interop::hearing::Sentence;
use denwa_interop::sip_page::{self, Account, Library};
use denwa_interop::{PATIENCE, Ports, Scratch, audio, linphone, require, wait_until};
use running::Running;
use softphone::phone::Outcome;
use std::io::{Read, Write};
use std::net::TcpStream;
use town::{Gate, PASSWORD, exchange, phone};

/// The gateway between a page and the exchange.
fn between(ports: &mut Ports, exchange: u16, to_exchange: &str) -> Gate {
    between_at(ports, exchange, to_exchange, "ws:127.0.0.1:0")
}

/// The section that shows a certificate of an authority of the test's own, which Chromium is told to overlook.
fn own_certificate(scratch: &Scratch) -> String {
    let (_, own) = Authority::new().write(scratch.path(), "gateway", &["127.0.0.1"]);
    format!("[tls]\ncertificate = \"{0}\"\nkey = \"{0}\"\n", own.display())
}

/// The same, where browsers come; those over TLS get the page so as well.
fn between_at(ports: &mut Ports, exchange: u16, to_exchange: &str, browsers: &str) -> Gate {
    let first = ports.take(40);
    let tls = browsers.starts_with("wss:");
    Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"{browsers}\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [web]\nlisten = \"127.0.0.1:0\"\ntls = {tls}\n\
         [[sides]]\nname = \"web\"\nkind = \"webrtc\"\nusers = {{ 1003 = \"{PASSWORD}\" }}\n\
         [[sides]]\nname = \"exchange\"\nto = \"udp:127.0.0.1:{exchange}\"\n{to_exchange}\n\
         [[routes]]\nfrom = \"web\"\nto = \"exchange\"\n\
         [[routes]]\nfrom = \"exchange\"\nto = \"web\"\n",
        first + 39
    ))
}

/// The gateway's page, where somebody has clicked and was answered; what he hears is recorded.
fn click(gate: &Gate, scheme: &str, scratch: &Scratch, query: &str, says: &[i16]) -> Browser {
    let page = gate.running().page().unwrap();
    let mut browser = Browser::open(&format!("{scheme}://{page}/web?{query}"), scratch.path(), says);
    browser.wait_for("document.getElementById('number')?.value === '1002'", "document.body.innerText");
    // Whoever listens for what is heard wants it as it was said.
    browser.evaluate(
        "window.denwaPlain = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices); \
         navigator.mediaDevices.getUserMedia = () => denwaPlain({audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}}); 0",
    );
    browser.evaluate("document.getElementById('call').click()");
    browser
        .wait_for("document.getElementById('state').dataset.state === 'answered'", "document.body.innerText");
    browser.record("document.getElementById('sound').srcObject");
    browser
}

#[test]
fn the_page_calls_with_one_click() {
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let scratch = Scratch::new("gateway-page");
    let mut ports = Ports::block();
    let exchange = exchange(&scratch, &mut ports, "codecs = [\"PCMA\"]");
    let (one, two) = (audio::signal(21, 4), audio::signal(22, 4));
    let minutes = Sentence::for_minutes(&two);
    let bob = phone((&scratch, &mut ports, exchange), "1002", "PCMA", "", &minutes);
    let line = format!(
        "user = \"1001\"\npassword = \"{PASSWORD}\"\ncodecs = [\"PCMA\"]\n{}",
        own_certificate(&scratch)
    );
    let gate = between_at(&mut ports, exchange, &line, "wss:127.0.0.1:0");
    let mut browser = click(&gate, "https", &scratch, "to=1002&lang=en", &one);
    browser.evaluate("document.querySelector('#keys button').click()");
    bob.peer.wait_for("Call established", PATIENCE);
    Sentence::plain(&two).wait_in_sound("the page hears the telephone", &one, || browser.heard());
    let hears = || bob.newest_recording().1;
    Sentence::plain(&one).wait_in_sound("the telephone hears the page", &two, hears);
    browser.evaluate("document.getElementById('end').click()");
    bob.peer.wait_for("terminated", PATIENCE);
    println!("{}", gate.log());
    gate.wait_for("over after");
    assert!(gate.log().contains("encrypted with the caller: "), "{}", gate.log());
    // Whoever closes his tab hangs up.
    let mut carol = phone((&scratch, &mut ports, exchange), "1004", "PCMA", "", &minutes);
    browser.evaluate(
        "document.getElementById('number').value = '1004'; document.getElementById('call').click(); 0",
    );
    browser
        .wait_for("document.getElementById('state').dataset.state === 'answered'", "document.body.innerText");
    browser.close();
    let over = wait_until(PATIENCE, || gate.log().matches("over after").count() == 2);
    assert!(over, "{}", gate.log());
    // A call that was so short is not always worth a word to baresip, but the end came to it.
    carol.peer.wait_for("BYE sip:1004", PATIENCE);
    assert!(carol.peer.alive());
    assert_eq!(gate.end(), Vec::<String>::new());
}

/// ICE looks for a way for longer than people wait for a voice. What is found is told all the same.
#[test]
fn a_visitor_to_whom_no_way_leads_is_named() {
    let first = Ports::block().take(20);
    let mut answers =
        Running::start("softphone answer --user 1002 --listen udp:127.0.0.1:0 --calls 1 --hangup-after 4s");
    let place = answers.expect("listening on udp:");
    let gate = Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [[sides]]\nname = \"web\"\nkind = \"webrtc\"\n[[sides]]\nname = \"line\"\nto = \"udp:{place}\"\n\
         [[routes]]\nfrom = \"web\"\nto = \"line\"\n",
        first + 19
    ));
    let fingerprint = ["AB"; 32].join(":");
    // Nobody is at port 9 (RFC 863).
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 127.0.0.1\r\na=mid:0\r\na=rtcp-mux\r\na=setup:actpass\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
         a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n"
    );
    let page = gate.running().page().unwrap();
    let mut stream = TcpStream::connect(page).unwrap();
    write!(
        stream,
        "POST /web/calls?to=1002 HTTP/1.1\r\nHost: {page}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{offer}",
        offer.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("a=ssrc:"), "{answer}");
    gate.wait_for("ICE found no way for the media: component 1: host 127.0.0.1:");
    assert_eq!(gate.end(), ["MediaBlocked"]);
    assert_eq!(answers.end().0, Outcome::Good);
}

/// What a refusal says is what the page shows.
#[test]
fn the_page_shows_why_a_call_too_many_is_refused() {
    if !Browser::is_here() {
        return;
    }
    let scratch = Scratch::new("gateway-page-refused");
    let first = Ports::block().take(20);
    let mut answers = Running::start("softphone answer --user 1002 --listen udp:127.0.0.1:0 --calls 1");
    let place = answers.expect("listening on udp:");
    let gate = Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [[sides]]\nname = \"web\"\nkind = \"webrtc\"\n\
         [[sides]]\nname = \"inside\"\nfrom = [\"127.0.0.2\"]\n\
         [[sides]]\nname = \"line\"\nto = \"udp:{place}\"\ncalls = 1\n\
         [[routes]]\nfrom = \"web\"\nto = \"line\"\n[[routes]]\nfrom = \"inside\"\nto = \"line\"\n",
        first + 19
    ));
    let address = gate.running().listening()[0].address;
    let inside = Running::start(&format!("softphone call sip:1002@{address} --listen udp:127.0.0.2:0"));
    gate.wait_for(": up");
    let page = gate.running().page().unwrap();
    let url = format!("http://{page}/web?to=1002&lang=en");
    let mut browser = Browser::open(&url, scratch.path(), &audio::signal(23, 4));
    browser.wait_for("document.getElementById('number')?.value === '1002'", "document.body.innerText");
    let state = |state: &str| format!("document.getElementById('state').dataset.state === '{state}'");
    browser.evaluate("document.getElementById('call').click()");
    browser.wait_for(&state("failed"), "document.body.innerText");
    let shown = browser.evaluate("document.getElementById('why').textContent");
    assert!(shown.to_string().contains("the side line has 1 calls, as many as it may"), "{shown}");
    assert_eq!(browser.evaluate("document.getElementById('call').hidden"), false, "he may try again");
    browser.close();
    // The call that is up goes on until the gateway is stopped, which hangs up on both ends.
    assert_eq!(gate.end(), Vec::<String>::new());
    for telephone in [inside, answers] {
        assert_eq!(telephone.end().0, Outcome::Good);
    }
}

/// A user of the gateway is a telephone of the exchange: whoever calls 1003 there is answered here, and the other way round.
fn calls_and_is_called(library: Library, listen: &str) {
    let Some(modules) = library.modules() else { return };
    if !require("baresip") || !Browser::is_here() {
        return;
    }
    let scratch = Scratch::new(&format!("gateway-{library:?}"));
    let mut ports = Ports::block();
    let exchange = exchange(&scratch, &mut ports, "codecs = [\"G722\"]\nencryption = \"required\"");
    let (one, two) = (audio::signal(23, 4), audio::signal(24, 4));
    let minutes = Sentence::for_minutes(&two);
    let bob = phone((&scratch, &mut ports, exchange), "1002", "G722", ";mediaenc=srtp-mand", &minutes);
    let line = format!(
        "register_users_of = \"web\"\ncodecs = [\"G722\"]\nencryption = \"required\"\nptime = 20\n{}",
        own_certificate(&scratch)
    );
    let gate = between_at(&mut ports, exchange, &line, listen);
    let scheme = listen.split(':').next().unwrap();
    let socket = format!("{scheme}://{}", gate.running().listening()[1].address);
    let account = Account { socket: &socket, user: "1003", password: PASSWORD };
    let mut browser = sip_page::open(sip_page::serve(library, modules, &account), scratch.path(), &one);
    gate.wait_for("side exchange: 1003 registered");
    let page = format!("sip:1003@127.0.0.1:{exchange}");
    sip_page::call_each_other(&mut browser, &bob, ("1002", &page), (&one, &two), |calls| {
        let over = wait_until(PATIENCE, || gate.log().matches("over after").count() == calls);
        assert!(over, "{}", gate.log());
    });
    println!("{}", gate.log());

    // Whoever closes his tab is registered nowhere any more.
    browser.close();
    gate.wait_for("1003 is gone");
    gate.wait_for("1003 no longer registered");
    assert_eq!(gate.end(), Vec::<String>::new());
}

#[test]
fn jssip_calls_and_is_called() {
    calls_and_is_called(Library::JsSip, "ws:127.0.0.1:0");
}

#[test]
fn sip_js_calls_and_is_called_over_wss() {
    calls_and_is_called(Library::SipJs, "wss:127.0.0.1:0");
}

/// The page may not be reached but by the TURN server beside the gateway, and the telephone is a Linphone with G.729.
#[test]
fn the_page_is_relayed_to_a_telephone_with_g729() {
    if !require("linphonec") || !Browser::is_here() {
        return;
    }
    let scratch = Scratch::new("gateway-relay");
    let mut ports = Ports::block();
    let exchange = exchange(&scratch, &mut ports, "codecs = [\"G729\"]");
    let (one, two) = (audio::signal(22, 4), audio::signal(24, 4));
    let account = format!(
        "\n[proxy_0]\nreg_proxy=<sip:127.0.0.1:{exchange};transport=udp>\nreg_identity=sip:1002@127.0.0.1:{exchange}\n\
         reg_expires=300\nreg_sendregister=1\npublish=0\n\
         [auth_info_0]\nusername=1002\nuserid=1002\npasswd={PASSWORD}\nrealm=pbx.example\n"
    );
    let settings = linphone::Settings {
        name: "linphone",
        codec: ("G729", 8000),
        encryption: "none",
        answers: true,
        more: &account,
    };
    let minutes = Sentence::for_minutes(&two);
    let bob = linphone::Phone::start(&settings, scratch.path(), &mut ports, &minutes);
    // It says nothing of it, but the exchange keeps registrations on disk before it answers them.
    let kept = ["pbx.db", "pbx.db-wal"].map(|name| scratch.path().join(name));
    let registered = wait_until(PATIENCE, || {
        let has = |path| std::fs::read(path).is_ok_and(|it| it.windows(10).any(|text| text == b"Linphonec/"));
        kept.iter().any(has)
    });
    assert!(registered, "{}", bob.peer.log());
    let (turn, relayed) = (ports.take(1), ports.take(40));
    let line = format!(
        "user = \"1001\"\npassword = \"{PASSWORD}\"\ncodecs = [\"G729\"]\n\
         [turn]\nlisten = [\"udp:127.0.0.1:{turn}\"]\nsecret = \"of the page\"\nports = [\"{relayed}-{}\"]\n\
         external = \"127.0.0.1\"\npeers = [\"127.0.0.0/8\"]\n",
        relayed + 39
    );
    let gate = between(&mut ports, exchange, &line);
    let mut browser = click(&gate, "http", &scratch, "to=1002&lang=ja&relay", &one);
    Sentence::plain(&two).wait_in_sound("the page hears the telephone", &one, || browser.heard());
    let hears = || bob.heard_so_far();
    Sentence::plain(&one).wait_in_sound("the telephone hears the page", &two, hears);
    let words = browser.evaluate("document.getElementById('state').textContent");
    assert_eq!(words, "通話中");
    let local = browser.evaluate("document.documentElement.lang");
    assert_eq!(local, "ja");
    browser.evaluate("document.getElementById('end').click()");
    gate.wait_for("over after");
    let log = gate.log();
    let path = log.lines().find(|line| line.contains("the path to the caller")).unwrap();
    let port: u16 = path.rsplit(':').next().unwrap().parse().unwrap();
    assert!((relayed..relayed + 40).contains(&port), "{path}");
    assert_eq!(gate.end(), Vec::<String>::new());
}
