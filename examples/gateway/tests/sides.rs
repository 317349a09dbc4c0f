//! Sides that speak differently: addresses of the other family, keys by INFO, late offers, a line that answers nonsense, one that
//! challenges, and a telephone company that refuses much.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../softphone/tests/running/mod.rs"]
mod running;
mod town;

use denwa_interop::coturn::{self, Coturn};
use denwa_interop::hikari::{Carrier, Line};
use denwa_interop::{PATIENCE, Ports, Scratch, audio};
use running::Running;
use softphone::phone::Outcome;
use std::net::UdpSocket;
use town::Gate;

/// A call from 127.0.0.2 through the gateway to a telephone that listens at `callee`, on a side with these lines. What was said is
/// judged when the call is over: one of which a busy machine dropped too much is made again.
fn talk(name: &str, callee: &str, line: &str) -> (Gate, Vec<String>) {
    talk_with(name, callee, "", line)
}

/// The same to a telephone with more on its command line.
fn talk_with(name: &str, callee: &str, more: &str, line: &str) -> (Gate, Vec<String>) {
    (0..4).find_map(|_| try_talk(name, callee, more, line)).expect("each hears what the other says")
}

fn try_talk(name: &str, callee: &str, more: &str, line: &str) -> Option<(Gate, Vec<String>)> {
    let (scratch, mut ports) = (Scratch::new(name), Ports::block());
    let (ann, bob) = (audio::signal(41, 2), audio::signal(42, 2));
    let path = |name: &str| scratch.path().join(name);
    softphone::wav::write(&path("ann.wav"), &ann, 8000).unwrap();
    softphone::wav::write(&path("bob.wav"), &bob, 8000).unwrap();
    let mut telephone = Running::start(&format!(
        "softphone answer --user 200 --listen udp:{callee}:0 --calls 1 --play {} --record {} --expect-audio{more}",
        path("bob.wav").display(),
        path("bob-heard.wav").display()
    ));
    let place = telephone.expect("listening on udp:");
    let first = ports.take(20);
    let family = if callee.contains('[') { "udp:[::1]:0" } else { "udp:127.0.0.1:0" };
    let gate = Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"{family}\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [[sides]]\nname = \"inside\"\nfrom = [\"127.0.0.2\"]\n\
         [[sides]]\nname = \"other\"\nto = \"udp:{place}\"\n{line}\n\
         [[routes]]\nfrom = \"inside\"\nto = \"other\"\n",
        first + 19
    ));
    let (outcome, lines) = Running::start(&format!(
        "softphone call sip:200@{} --user ann --listen udp:127.0.0.2:0 --play {} --record {} --digits 7 --expect-audio --hangup-after 5s",
        gate.running().listening()[0].address,
        path("ann.wav").display(),
        path("ann-heard.wav").display()
    ))
    .end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}\n{}", gate.log());
    let (outcome, lines) = telephone.end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}\n{}", gate.log());
    let heard = |name: &str| softphone::wav::read(&path(name), 8000).unwrap();
    let likeness = [
        audio::likeness(&bob, &heard("ann-heard.wav")),
        // Her first second went under the key.
        audio::likeness(&ann[8000..], &heard("bob-heard.wav")),
    ];
    println!("{likeness:?}\n{}", gate.log());
    likeness.iter().all(|it| *it > 0.85).then_some((gate, lines))
}

#[test]
fn from_ipv4_to_ipv6() {
    let (gate, lines) = talk("gateway-v6", "[::1]", "codecs = [\"PCMU\"]\nptime = 40");
    assert!(lines.contains(&"key 7".to_owned()), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("ann@[::1]")),
        "nothing of the other side is told: {lines:#?}"
    );
    assert_eq!(gate.end(), Vec::<String>::new());
}

/// The side's voice comes by nothing but a TURN server, which is reached over TCP.
#[test]
fn by_a_turn_server_over_tcp() {
    let (scratch, mut ports) = (Scratch::new("gateway-coturn"), Ports::block());
    let Some(coturn) = Coturn::start(scratch.path(), &mut ports, &[]) else { return };
    let line = format!(
        "ice = \"full\"\nrelay = {{ server = \"turn:{}?transport=tcp\", user = \"{}\", password = \"{}\" }}",
        coturn.address,
        coturn::USER,
        coturn::PASSWORD
    );
    let (gate, lines) = talk_with("gateway-relay-tcp", "127.0.0.1", " --ice require", &line);
    assert!(lines.iter().any(|line| line.contains("to relayed ")), "{lines:#?}");
    assert_eq!(gate.end(), Vec::<String>::new());
}

#[test]
fn with_keys_by_info_a_late_offer_and_sdes() {
    let line = "dtmf = \"info\"\noffer = \"late\"\nencryption = \"offered\"\nsession_timer = 0\nnumbers = \"sip-phone\"";
    let (gate, lines) = talk("gateway-late", "127.0.0.1", line);
    assert!(lines.contains(&"key 7".to_owned()), "{lines:#?}");
    assert_eq!(gate.end(), Vec::<String>::new());
}

/// A line of NTT's, and a gateway that has registered with it; `more` goes into its side.
fn at_the_line(inside: &str, more: &str) -> (Carrier, Gate, u16) {
    let mut ports = Ports::block();
    let (sip, first) = (ports.take(1), ports.take(20));
    let line = Line {
        number: "0312345678".to_owned(),
        domain: "ntt-east.ne.jp".to_owned(),
        address: [127, 0, 0, 1].into(),
        port: sip,
    };
    let carrier = Carrier::start(line);
    let gate = Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{sip}\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [network]\nexternal = \"203.0.113.5\"\nlocal = [\"127.0.0.2\"]\n\
         [[sides]]\nname = \"inside\"\nfrom = [\"127.0.0.2\"]\n{inside}\n\
         [[sides]]\nname = \"hikari\"\nprofile = \"hikari\"\nto = \"udp:{}\"\ndomain = \"ntt-east.ne.jp\"\nuser = \"0312345678\"\nregister = true\n{more}\n\
         [[routes]]\nfrom = \"inside\"\nto = \"hikari\"\n",
        first + 19,
        carrier.address
    ));
    carrier.wait_for("registered", PATIENCE);
    gate.wait_for("side hikari: registered");
    (carrier, gate, sip)
}

/// NTT's rules, one side of the kind that the profile makes. What is busy or at fault is tried once more.
#[test]
fn the_line_of_hikari_denwa() {
    let (carrier, gate, sip) = at_the_line("", "retry = 1");
    for (refusal, connects) in [(None, true), (Some(500), true), (Some(404), false)] {
        refusal.into_iter().for_each(|status| carrier.refuse_next(status));
        let before = carrier.told().iter().filter(|line| line.starts_with("answered")).count();
        let (outcome, lines) = Running::start(&format!(
            "softphone call sip:117@127.0.0.1:{sip} --listen udp:127.0.0.2:0 --codecs PCMA --expect-audio --hangup-after 3s"
        ))
        .end();
        let told = carrier.told();
        assert_eq!(outcome == Outcome::Good, connects, "{lines:#?}\n{}\n{told:#?}", gate.log());
        let answered = told.iter().filter(|line| line.starts_with("answered")).count();
        assert_eq!(answered - before, usize::from(connects), "{told:#?}");
    }
    assert!(gate.log().contains("the callee said 500"), "{}", gate.log());
    assert!(gate.log().contains("called again in 1 s"), "{}", gate.log());
    assert!(!carrier.told().iter().any(|line| line.starts_with("refused")), "{:#?}", carrier.told());
}

/// Calls that come by the line: whoever rings late is rung for at once, and each end may hang up.
#[test]
fn hikari_denwa_calls() {
    let scratch = Scratch::new("gateway-hikari");
    let path = |name: &str| scratch.path().join(name);
    let said = audio::signal(43, 2);
    softphone::wav::write(&path("said.wav"), &said, 8000).unwrap();
    // The bell rings for longer than the carrier waits for the first word of it.
    let mut phone = Running::start(&format!(
        "softphone answer --user 200 --listen udp:127.0.0.2:0 --codecs PCMA --calls 2 --ring 7s --hangup-after 6s --play {} --record {}",
        path("said.wav").display(),
        path("heard.wav").display()
    ));
    let place = phone.expect("listening on udp:");
    let inside = format!("to = \"udp:{place}\"");
    let more = "[[routes]]\nfrom = \"hikari\"\nto = \"inside\"\nprefix = \"0312345678\"\nstrip = 10\nprepend = \"200\"";
    let (carrier, gate, _) = at_the_line(&inside, more);
    carrier.call(Some("0611112222"));
    carrier.wait_for("ringing", PATIENCE);
    carrier.wait_for("answered, session 300;refresher=uac", PATIENCE);
    let from = phone.expect("call from ");
    assert!(from.contains("0611112222"), "{from}");
    // The telephone hangs up; the carrier knows the dialogue by what it called us.
    carrier.wait_for("ended", PATIENCE);
    phone.expect("call ended");
    carrier.call(None);
    let from = phone.expect("call from ");
    assert!(from.contains("anonymous") && !from.contains("06"), "{from}");
    phone.expect("answered");
    carrier.wait_for_times("answered", 2, PATIENCE);
    carrier.hang_up();
    carrier.wait_for("hung up", PATIENCE);
    let (outcome, lines) = phone.end();
    assert_eq!(outcome, Outcome::Good, "{lines:#?}\n{}", gate.log());
    // The carrier says what it hears.
    let heard = softphone::wav::read(&path("heard.wav"), 8000).unwrap();
    assert!(audio::likeness(&said, &heard) > 0.85, "{}", gate.log());
    let told = carrier.told();
    assert!(!told.iter().any(|line| line.starts_with("refused") || line.starts_with("gave up")), "{told:#?}");
}

/// A registrar that answers nonsense, and a flood: it says so, and goes on.
#[test]
fn nonsense_and_a_flood() {
    let mut ports = Ports::block();
    let first = ports.take(20);
    let registrar = UdpSocket::bind("127.0.0.1:0").unwrap();
    registrar.set_read_timeout(Some(PATIENCE)).unwrap();
    let gate = Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [[sides]]\nname = \"line\"\nto = \"udp:{}\"\nfrom = [\"127.0.0.7\"]\nuser = \"7\"\npassword = \"p\"\nregister = true\n",
        first + 19,
        registrar.local_addr().unwrap()
    ));
    let mut buffer = [0; 4096];
    let (length, from) = registrar.recv_from(&mut buffer).unwrap();
    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(request.starts_with("REGISTER "), "{request}");
    for nonsense in ["\0\0\0", "SIP/2.0 200\r\n\r\n", "SIP/2.0 999 What\r\nVia: x\r\n\r\n", "{}"] {
        registrar.send_to(nonsense.as_bytes(), from).unwrap();
    }
    let stranger = UdpSocket::bind("127.0.0.5:0").unwrap();
    for number in 0..5000 {
        let text = format!(
            "INVITE sip:{number}@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.5;branch=z9hG4bK{number}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: {number}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = stranger.send_to(text.as_bytes(), from);
    }
    gate.wait_for("127.0.0.5 is banned");
    // Who is not the one that floods is answered all the while.
    town::answers(from.port());
    // And the registrar is answered when it comes to its senses: its challenge too.
    let head = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let challenge = format!(
        "SIP/2.0 401 Unauthorized\r\n{}\r\n{}\r\n{};tag=2\r\n{}\r\n{}\r\nWWW-Authenticate: Digest realm=\"line\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n",
        head("Via:"),
        head("From:"),
        head("To:"),
        head("Call-ID:"),
        head("CSeq:")
    );
    registrar.send_to(challenge.as_bytes(), from).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let (length, _) = registrar.recv_from(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.contains("Authorization: Digest") && text.contains("username=\"7\"") {
            break;
        }
        assert!(std::time::Instant::now() < end, "{text}");
    }
    // Nor does it wait for a registrar that has nothing to say any more: SIP's own timers would take half a minute.
    let lines = gate.end_and_tell();
    assert!(lines.iter().any(|line| line.contains("stopped all the same")), "{lines:#?}");
}
