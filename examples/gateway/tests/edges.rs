//! What passes the gateway's edge and what does not: who calls, how numbers are written, rules for stubborn peers, and nothing of
//! where the other side is. SIPp at both ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../softphone/tests/running/mod.rs"]
mod running;
mod town;

use denwa_interop::sipp::Message;
use denwa_interop::{Ports, wait_until};
use denwa_interop::{require, sipp};
use running::Running;
use softphone::phone::Outcome;
use std::net::UdpSocket;
use std::time::Duration;
use town::Gate;
use town::ladder::*;

/// An INVITE with these lines that ends with 486, and what the callee received.
fn asked(place: Place<'_>, uri: &str, from: &str, more: &str) -> Message {
    let mut caller = vec![invites(uri, from, more, Some(&sdp(1, "")))];
    caller.push(sipp::receive("response=\"100\" optional=\"true\""));
    caller.extend(refused(486));
    let ladder = place.run(&caller, &is_busy(""));
    received(&ladder.callee, "INVITE").clone()
}

const BOB: &str = "sip:200@[remote_ip]:[remote_port]";
const TRUSTED: &str = "trusted = true";

// ---- who calls (RFC 3323, RFC 3325)

#[test]
fn who_is_not_trusted_asserts_nothing_and_is_told_nothing() {
    if !require("sipp") {
        return;
    }
    let headers = "P-Asserted-Identity: \"Boss\" <sip:100@inside.example>\nP-Preferred-Identity: <sip:101@inside.example>\n\
                   Remote-Party-ID: \"Boss\" <sip:100@inside.example>;party=calling;screen=yes";
    for (name, inside, outside) in
        [("gateway-id-nobody", "", ""), ("gateway-id-from", "", TRUSTED), ("gateway-id-to", TRUSTED, "")]
    {
        let invite = asked(Place { inside, outside, ..Place::new(name) }, BOB, ANN, headers);
        for header in ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"] {
            assert!(invite.all(header).is_empty(), "{name}: {invite}");
        }
        assert!(invite.header("From").starts_with("\"Ann\" <sip:ann@127.0.0.1>"), "{name}: {invite}");
    }
}

#[test]
fn who_calls_is_known_within_the_domain_of_trust_and_hidden_outside_when_he_likes() {
    if !require("sipp") {
        return;
    }
    let hidden = "P-Asserted-Identity: \"Boss\" <sip:100@inside.example>, <tel:+81312345678>\nPrivacy: id;history\nSubject: mine";
    let within = Place { inside: TRUSTED, outside: TRUSTED, ..Place::new("gateway-id-within") };
    let invite = asked(within, BOB, ANN, hidden);
    let asserted = ["\"Boss\" <sip:100@127.0.0.1>", "<sip:+81312345678@127.0.0.1>"];
    assert_eq!(invite.all("P-Asserted-Identity"), asserted, "{invite}");
    assert_eq!(invite.all("Privacy"), ["id;history"], "{invite}");
    assert!(invite.header("From").contains("sip:ann@"), "{invite}");

    let beyond = Place { inside: TRUSTED, ..Place::new("gateway-id-beyond") };
    let invite = asked(beyond, BOB, ANN, hidden);
    assert!(invite.header("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{invite}");
    for word in ["Asserted", "Privacy", "Boss", "ann", "Ann\"", "100@", "mine"] {
        assert!(!invite.text.contains(word), "{word}: {invite}");
    }
    // Who is not believed is heard all the same when he does not want to be told.
    let stranger = asked(Place::new("gateway-id-stranger"), BOB, ANN, "Privacy: user");
    assert!(stranger.header("From").contains("anonymous.invalid"), "{stranger}");
    let open = asked(Place::new("gateway-id-open"), BOB, ANN, "Privacy: none");
    assert_eq!((open.all("Privacy"), open.header("From").contains("ann@")), (vec!["none"], true), "{open}");
}

#[test]
fn an_exchange_of_old_says_who_calls_in_its_own_header() {
    if !require("sipp") {
        return;
    }
    let old = "Remote-Party-ID: \"Boss\" <sip:100@inside.example>;party=calling;privacy=full;screen=yes";
    let place = Place { inside: TRUSTED, outside: TRUSTED, ..Place::new("gateway-rpid-in") };
    let invite = asked(place, BOB, ANN, old);
    assert_eq!(invite.all("P-Asserted-Identity"), ["\"Boss\" <sip:100@127.0.0.1>"], "{invite}");
    assert_eq!((invite.all("Privacy"), invite.all("Remote-Party-ID")), (vec!["id"], vec![]), "{invite}");

    let place = Place {
        inside: TRUSTED,
        outside: "trusted = true\nidentity = \"remote-party\"",
        ..Place::new("gateway-rpid-out")
    };
    let invite = asked(place, BOB, ANN, "P-Asserted-Identity: \"Boss\" <sip:100@inside.example>");
    let expected = ["\"Boss\" <sip:100@127.0.0.1>;party=calling;screen=yes;privacy=off"];
    assert_eq!(invite.all("Remote-Party-ID"), expected, "{invite}");
    assert!(invite.all("P-Asserted-Identity").is_empty(), "{invite}");
}

// ---- numbers

#[test]
fn numbers_are_written_as_each_side_has_them() {
    if !require("sipp") {
        return;
    }
    // A telephone URI becomes an address, by the number plan of the line.
    let plan = "numbers = \"sip-phone\"\ndomain = \"line.example\"\ncalled = [\"+81=0\"]\ncallers = [\"2=03123456\"]";
    let place = Place { outside: plan, ..Place::new("gateway-tel-sip") };
    let invite = asked(place, "tel:+81-3-1234-5678", "<tel:278;phone-context=inside.example>", "");
    assert_eq!(invite.first_line(), "INVITE sip:0312345678@line.example;user=phone SIP/2.0", "{invite}");
    assert_eq!(invite.header("To"), "<sip:0312345678@line.example;user=phone>", "{invite}");
    assert!(invite.header("From").starts_with("<sip:0312345678@line.example;user=phone>"), "{invite}");

    // And an address becomes a telephone URI, with the place where a number without a country is valid.
    let plan = "numbers = \"tel\"\ndomain = \"line.example\"\ntrusted = true";
    let place = Place { inside: TRUSTED, outside: plan, ..Place::new("gateway-sip-tel") };
    let from = "<sip:+81312345678@inside.example>";
    let invite = asked(place, BOB, from, "P-Asserted-Identity: <sip:100@inside.example>");
    assert_eq!(invite.first_line(), "INVITE tel:200;phone-context=line.example SIP/2.0", "{invite}");
    assert_eq!(invite.header("To"), "<tel:200;phone-context=line.example>", "{invite}");
    assert!(invite.header("From").starts_with("<tel:+81312345678>"), "{invite}");
    assert_eq!(invite.header("P-Asserted-Identity"), "<tel:100;phone-context=line.example>", "{invite}");
}

// ---- rules for stubborn peers

#[test]
fn messages_are_rewritten_at_the_edge() {
    if !require("sipp") {
        return;
    }
    let outside = "numbers = \"sip-phone\"\n\
        [[sides.rules]]\non = \"sent\"\nat = \"header User-Agent\"\nput = \"telephone\"\nexamples = [[\"x\", \"telephone\"]]\n\
        [[sides.rules]]\non = \"sent\"\nat = \"first line\"\nmessages = [\"INVITE\"]\nfind = ';user=phone'\nput = ';user=dialstring'\n\
        [[sides.rules]]\non = \"sent\"\nat = \"sdp\"\nput = \"a=silenceSupp:off - - - -\"\n\
        [[sides.rules]]\non = \"sent\"\nat = \"header Supported\"\nremove = true\n\
        [[sides.rules]]\non = \"received\"\nat = \"first line\"\nmessages = [\"503\"]\nfind = '503 .*'\nput = '486 Busy Here'\n";
    let caller = {
        let mut steps = calls("", Some(&sdp(1, "")));
        steps.extend(refused(486));
        steps
    };
    let mut callee = is_busy("");
    callee[1] = lifts("503 Fully Booked", "", None);
    let ladder = Place { outside, ..Place::new("gateway-rules") }.run(&caller, &callee);
    let invite = received(&ladder.callee, "INVITE");
    assert!(invite.first_line().contains(";user=dialstring "), "{invite}");
    assert_eq!((invite.header("User-Agent"), invite.all("Supported")), ("telephone", vec![]), "{invite}");
    assert_eq!(invite.described("a=silenceSupp:"), "off - - - -", "{invite}");
    let body = invite.text.split_once("\n\n").unwrap().1.trim_end().replace('\n', "\r\n");
    assert_eq!(invite.header("Content-Length"), (body.len() + 2).to_string(), "{invite}");
    // The ACK of the refusal goes by what was received, and is rewritten as well.
    assert!(!received(&ladder.callee, "ACK").header("User-Agent").is_empty(), "{ladder}");
}

// ---- where the other side is

/// The one side is IPv4, the other IPv6, and both write where they are wherever they can.
#[test]
fn neither_side_is_told_where_the_other_is() {
    if !require("sipp") {
        return;
    }
    let more = |host: &str| {
        format!(
            "Record-Route: <sip:[local_ip]:[local_port];lr>\nSubject: from [local_ip]:[local_port]\nAlert-Info: <http://[local_ip]/tune.wav>\n\
             Call-Info: <http://proxy.{host}/face.png>;purpose=icon\nWarning: 399 [local_ip]:[local_port] \"I am [local_ip]\"\n\
             History-Info: <sip:1@proxy.{host}>;index=1, <sip:2@[local_ip]:[local_port]>;index=1.1\n\
             Diversion: <sip:3@[local_ip]>;reason=unconditional\nP-Asserted-Identity: <sip:4@[local_ip]:[local_port]>\n\
             P-Charging-Vector: icid-value=1;icid-generated-at=[local_ip]\nX-Trace: [call_id]\nX-Place: proxy.{host}, [local_ip]\n\
             Reason: SIP;cause=480;text=\"asked at [local_ip]\"\nOrganization: of [local_ip]"
        )
    };
    let body = sdp(1, "i=here is [media_ip]");
    let body = body.replace("s=-\n", "s=call of [media_ip]\n").replace("\ni=here", "\na=x-here:");
    let mut caller = calls(&more("inside.example"), Some(&body));
    caller.extend([
        sipp::receive("response=\"180\""),
        sipp::receive("response=\"200\""),
        asks("ACK", 1, "", None),
    ]);
    caller.extend([asks("MESSAGE", 2, "Subject: [local_ip]", None), sipp::receive("response=\"200\"")]);
    caller.extend(is_told());
    caller.extend([
        asks("BYE", 3, &more("inside.example").replace("Record-Route", "X-Route"), None),
        sipp::receive("response=\"200\""),
    ]);
    let mut callee = vec![
        is_called(),
        lifts("180 Ringing from [local_ip]", &more("outside.example"), None),
        lifts("200 OK", &more("outside.example"), Some(&body)),
        sipp::receive("request=\"ACK\""),
        sipp::receive("request=\"MESSAGE\""),
        answers("200 OK", &more("outside.example").replace("Record-Route", "X-Route"), None),
    ];
    callee.extend(tells(7));
    callee.extend(is_hung_up());
    let lines = "trusted = true\npass = [\"X-Trace\", \"X-Place\", \"Subject\", \"Organization\"]";
    let outside = format!("{lines}\ndomain = \"outside.example\"");
    let place = Place { name: "gateway-hidden", callee: "::1", inside: lines, outside: &outside };
    let ladder = place.run(&caller, &callee);

    let identifiers = |messages: &[Message]| -> Vec<String> {
        let mut found = Vec::new();
        for message in messages {
            found.push(message.header("Call-ID").to_owned());
            found.extend(
                message.all("Via").iter().filter_map(|via| via.split("branch=").nth(1).map(str::to_owned)),
            );
            let addresses = [message.header("From"), message.header("To")];
            found.extend(addresses.iter().filter_map(|it| it.split(";tag=").nth(1).map(str::to_owned)));
            found.extend(["Contact"].iter().map(|name| message.header(name).to_owned()));
        }
        found.retain(|it| !it.is_empty());
        found
    };
    let mut of_inside = identifiers(&ladder.caller);
    let mut of_outside = identifiers(&ladder.callee);
    of_inside.extend(["127.0.0.", "inside.example"].map(str::to_owned));
    of_outside.extend(["::1", "outside.example"].map(str::to_owned));
    for (heard, secrets) in [(&ladder.callee, &of_inside), (&ladder.caller, &of_outside)] {
        for message in heard.iter().filter(|message| !message.sent) {
            for secret in secrets {
                assert!(!message.text.contains(secret.as_str()), "{secret} is told in {message}");
            }
        }
    }
    // What may be told is.
    let invite = received(&ladder.callee, "INVITE");
    assert!(
        invite.header("Subject").starts_with("from [") || invite.header("Subject").starts_with("from "),
        "{invite}"
    );
    assert_eq!(invite.header("Diversion").split('@').next(), Some("<sip:3"), "{invite}");
    assert_eq!(invite.header("P-Asserted-Identity").split('@').next(), Some("<sip:4"), "{invite}");
    assert!(invite.all("Alert-Info").is_empty() && invite.all("X-Trace").is_empty(), "{invite}");
}

// ---- how much is let in

/// A gateway between telephones at 127.0.0.2 and 127.0.0.4 and the one that listens there.
fn gate_to(callee: &str, inside: &str, outside: &str) -> Gate {
    let mut ports = Ports::block();
    let first = ports.take(20);
    Gate::start(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\nports = [\"{first}-{}\"]\n\
         [[sides]]\nname = \"inside\"\nfrom = [\"127.0.0.2\", \"127.0.0.4\"]\n{inside}\n\
         [[sides]]\nname = \"line\"\nto = \"udp:{callee}\"\n{outside}\n\
         [[routes]]\nfrom = \"inside\"\nto = \"line\"\n",
        first + 19
    ))
}

#[test]
fn a_call_too_many_is_refused_with_a_sentence() {
    let mut answers = Running::start("softphone answer --user 200 --listen udp:127.0.0.1:0 --calls 1");
    let place = answers.expect("listening on udp:");
    let gate = gate_to(&place, "", "calls = 1");
    let address = gate.running().listening()[0].address;
    let first = Running::start(&format!("softphone call sip:200@{address} --listen udp:127.0.0.2:0"));
    gate.wait_for(": up");
    let second = Running::start(&format!("softphone call sip:200@{address} --listen udp:127.0.0.4:0"));
    let (outcome, lines) = second.end();
    assert_eq!(outcome, Outcome::Failed, "{lines:#?}");
    let refused = lines.iter().find(|line| line.starts_with("call ended")).unwrap();
    assert!(
        refused.contains("503") && refused.contains("the side line has 1 calls, as many as it may"),
        "{refused}"
    );
    assert!(gate.log().contains("refused: the side line has 1 calls, as many as it may"), "{}", gate.log());
    // The one that is up goes on until the gateway is stopped, which hangs up on both ends.
    assert_eq!(gate.end(), Vec::<String>::new());
    for telephone in [first, answers] {
        assert_eq!(telephone.end().0, Outcome::Good);
    }
}

#[test]
fn calls_too_fast_are_refused_with_a_sentence() {
    // Nobody answers there: what is let in waits.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gate = gate_to(&silent.local_addr().unwrap().to_string(), "calls_per_second = 1", "");
    let address = gate.running().listening()[0].address;
    let caller = UdpSocket::bind("127.0.0.2:0").unwrap();
    caller.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let own = caller.local_addr().unwrap();
    for number in 0..20 {
        let text = format!(
            "INVITE sip:200@{address} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKfast{number}\r\nFrom: <sip:ann@x>;tag={number}\r\n\
             To: <sip:200@{address}>\r\nCall-ID: fast{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:ann@{own}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        caller.send_to(text.as_bytes(), address).unwrap();
    }
    let mut buffer = [0; 4096];
    let refused = wait_until(Duration::from_secs(30), || {
        let text =
            caller.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
        text.is_ok_and(|text| {
            text.starts_with("SIP/2.0 503 ")
                && text.contains("Retry-After: 5")
                && text
                    .contains("Warning: 399 gateway \"the side inside makes more calls a second than may\"")
        })
    });
    assert!(refused, "{}", gate.log());
    // It would wait for the silent one.
    std::mem::forget(gate);
}
