//! What the two ends of a call do not have in common: reliable responses, session timers, ways to hold, offers early and late, names
//! and numbers. SIPp at both ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod town;

use denwa_interop::require;
use denwa_interop::sipp::{Message, receive};
use town::ladder::*;

fn steps(parts: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    parts.into_iter().flatten().collect()
}

// ---- reliable provisional responses (RFC 3262)

#[test]
fn a_caller_demands_reliable_responses_and_the_callee_knows_none() {
    if !require("sipp") {
        return;
    }
    let body = sdp(1, "");
    let caller = steps([
        calls("Supported: 100rel\nRequire: 100rel", Some(&body)),
        acknowledges(183, 2, None).to_vec(),
        lifted_and_over(3).to_vec(),
    ]);
    let mut callee = vec![
        is_called(),
        lifts("183 Session Progress", "", Some(&body)),
        lifts("200 OK", "", Some(&body)),
        receive("request=\"ACK\""),
    ];
    callee.extend(is_hung_up());
    let place = Place { outside: "reliable = \"off\"", ..Place::new("gateway-100rel-caller") };
    let ladder = place.run(&caller, &callee);
    let invite = received(&ladder.callee, "INVITE");
    assert!(!invite.text.contains("100rel"), "{invite}");
    let progress = received(&ladder.caller, "SIP/2.0 183");
    assert!(
        progress.header("Require").contains("100rel") && !progress.described("m=audio").is_empty(),
        "{progress}"
    );
}

#[test]
fn a_callee_demands_reliable_responses_and_the_caller_knows_none() {
    if !require("sipp") {
        return;
    }
    let body = sdp(1, "");
    let caller =
        steps([calls("", Some(&body)), vec![receive("response=\"183\"")], lifted_and_over(2).to_vec()]);
    let mut callee = vec![
        is_called(),
        lifts("183 Session Progress", "Require: 100rel\nRSeq: 17", Some(&body)),
        receive("request=\"PRACK\""),
        answers("200 OK", "", None),
    ];
    // The INVITE is answered after its PRACK, whose headers were the last.
    callee[0] = is_called().replace(
        "</action>",
        "<ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"via\"/></action>",
    );
    callee.push(
        lifts("200 OK", "", Some(&body))
            .replace("[last_Via:]", "Via:[$via]")
            .replace("[last_To:];", "To:[$called];")
            .replace("[last_CSeq:]", "CSeq: [$sequence] INVITE"),
    );
    callee[0] = callee[0].replace(
        "</action>",
        "<ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"CSeq:\" assign_to=\"sequence\"/></action>",
    );
    callee.push(receive("request=\"ACK\""));
    callee.extend(is_hung_up());
    let ladder = Place::new("gateway-100rel-callee").run(&caller, &callee);
    let invite = received(&ladder.callee, "INVITE");
    assert!(invite.header("Supported").contains("100rel"), "{invite}");
    assert!(received(&ladder.callee, "PRACK").header("RAck").starts_with("17 "), "{ladder}");
    let progress = received(&ladder.caller, "SIP/2.0 183");
    assert!(progress.all("RSeq").is_empty() && progress.all("Require").is_empty(), "{progress}");
    assert!(!progress.described("m=audio").is_empty(), "{progress}");
}

/// What a callee says before it lifts is not converted where the caller has its codec too.
#[test]
fn early_media_have_the_callees_codec() {
    if !require("sipp") {
        return;
    }
    let offer = sdp(1, "").replace("AVP 0", "AVP 8 0");
    let caller =
        steps([calls("", Some(&offer)), vec![receive("response=\"183\"")], lifted_and_over(2).to_vec()]);
    let mut callee = takes_the_call();
    callee[1] = lifts("183 Session Progress", "", Some(&sdp(1, "")));
    let ladder = Place::new("gateway-early-codec").run(&caller, &callee);
    for status in ["SIP/2.0 183", "SIP/2.0 200"] {
        let media = received(&ladder.caller, status).described("m=audio");
        assert!(media.contains(" RTP/AVP 0"), "{status}: {media:?}\n{ladder}");
    }
    let offered = received(&ladder.callee, "INVITE").described("m=audio");
    assert!(offered.contains(" RTP/AVP 8 0"), "{offered:?}");
}

#[test]
fn a_caller_without_an_offer_demands_reliable_responses() {
    if !require("sipp") {
        return;
    }
    let body = sdp(1, "");
    // The offer comes in the 180, its answer goes in the PRACK.
    let caller = steps([
        calls("Supported: 100rel\nRequire: 100rel", None),
        acknowledges(180, 2, Some(&body)).to_vec(),
        lifted_and_over(3).to_vec(),
    ]);
    let ladder = Place::new("gateway-100rel-late").run(&caller, &takes_the_call());
    assert!(!received(&ladder.caller, "SIP/2.0 180").described("m=audio").is_empty(), "{ladder}");
    assert!(!received(&ladder.callee, "INVITE").described("m=audio").is_empty(), "{ladder}");
}

// ---- offers early and late

#[test]
fn a_late_offer_becomes_an_early_one_and_the_other_way_round() {
    if !require("sipp") {
        return;
    }
    let body = sdp(1, "");
    let caller = steps([
        calls("", None),
        vec![
            receive("response=\"180\""),
            receive("response=\"200\""),
            asks("ACK", 1, "", Some(&body)),
            asks("BYE", 2, "", None),
            receive("response=\"200\""),
        ],
    ]);
    let ladder = Place::new("gateway-late-early").run(&caller, &takes_the_call());
    assert!(!received(&ladder.callee, "INVITE").described("m=audio").is_empty(), "{ladder}");
    assert!(!received(&ladder.caller, "SIP/2.0 200").described("m=audio").is_empty(), "{ladder}");

    let caller =
        steps([calls("", Some(&body)), vec![receive("response=\"180\"")], lifted_and_over(2).to_vec()]);
    let place = Place { outside: "offer = \"late\"", ..Place::new("gateway-early-late") };
    let ladder = place.run(&caller, &takes_the_call());
    let invite = received(&ladder.callee, "INVITE");
    assert_eq!(invite.header("Content-Length"), "0", "{invite}");
    assert!(!received(&ladder.callee, "ACK").described("m=audio").is_empty(), "{ladder}");
    assert!(!received(&ladder.caller, "SIP/2.0 200").described("m=audio").is_empty(), "{ladder}");
}

// ---- session timers (RFC 4028)

#[test]
fn session_timers_stay_on_their_side() {
    if !require("sipp") {
        return;
    }
    let body = sdp(1, "");
    // The line wants one, the telephone knows none.
    let caller =
        steps([calls("", Some(&body)), vec![receive("response=\"180\"")], lifted_and_over(2).to_vec()]);
    let timer = "Supported: timer\nRequire: timer\nSession-Expires: 120;refresher=uac";
    let mut callee = takes_the_call();
    callee[2] = lifts("200 OK", timer, Some(&body));
    let place = Place {
        inside: "session_timer = 0",
        outside: "session_timer = 120",
        ..Place::new("gateway-timer-outside")
    };
    let ladder = place.run(&caller, &callee);
    assert_eq!(received(&ladder.callee, "INVITE").header("Session-Expires").split(';').next(), Some("120"));
    assert!(
        ladder.caller.iter().filter(|it| !it.sent).all(|it| !it.text.contains("Session-Expires")),
        "{ladder}"
    );

    // And the telephone wants one, which is too short at first, and refreshes by itself; the line knows none, and hears nothing of it.
    let wish = |seconds: u32, more: &str| {
        format!("Supported: timer\nSession-Expires: {seconds};refresher=uac{more}")
    };
    let caller = steps([
        calls(&wish(60, ""), Some(&body)),
        refused(422).to_vec(),
        calls(&wish(120, "\nMin-SE: 90"), Some(&body))
            .into_iter()
            .map(|step| step.replace("CSeq: 1 ", "CSeq: 2 "))
            .collect(),
        vec![
            receive("response=\"180\""),
            receive("response=\"200\""),
            asks("ACK", 2, "", None),
            asks("UPDATE", 3, &wish(120, ""), None),
            receive("response=\"200\""),
            asks("INVITE", 4, &wish(120, ""), Some(&body)),
            receive("response=\"100\" optional=\"true\""),
            receive("response=\"200\""),
            asks("ACK", 4, "", None),
            asks("BYE", 5, "", None),
            receive("response=\"200\""),
        ],
    ]);
    let place = Place { outside: "session_timer = 0", ..Place::new("gateway-timer-inside") };
    let ladder = place.run(&caller, &takes_the_call());
    assert_eq!(received(&ladder.caller, "SIP/2.0 422").header("Min-SE"), "90");
    for number in 0..3 {
        let answer = ladder.caller.iter().filter(|it| {
            !it.sent && it.first_line().starts_with("SIP/2.0 200") && !it.header("CSeq").contains("BYE")
        });
        let answer = answer.skip(number).step_by(1).next().unwrap();
        assert!(answer.header("Session-Expires").starts_with("120"), "{answer}");
    }
    let heard = ladder.callee.iter().filter(|it| !it.sent);
    assert!(
        heard.clone().all(|it| !it.text.contains("timer") && !it.text.contains("Session-Expires")),
        "{ladder}"
    );
    assert_eq!(heard.filter(|it| it.first_line().starts_with("INVITE")).count(), 1, "{ladder}");
}

// ---- ways to hold

/// The address in a description.
fn zero(body: &str) -> String {
    body.replace("c=IN IP[media_ip_type] [media_ip]", "c=IN IP4 0.0.0.0")
}

/// One holds in each of these ways in turn and takes it back after each; the other is told in its own way, and says when it was.
#[test]
fn each_is_told_of_a_hold_in_its_own_way() {
    if !require("sipp") {
        return;
    }
    let holds = [sdp(2, "a=sendonly"), sdp(4, "a=inactive"), zero(&sdp(6, ""))];
    let (mut caller, mut callee) = (calls("", Some(&sdp(1, ""))), takes_the_call());
    let end = callee.split_off(4);
    caller.extend([receive("response=\"180\""), receive("response=\"200\""), asks("ACK", 1, "", None)]);
    let (mut number, mut version) = (1, 1);
    for hold in &holds {
        for body in [hold.clone(), sdp(version + 2, "a=sendrecv")] {
            (number, version) = (number + 1, version + 1);
            caller.extend([
                asks("INVITE", number, "", Some(&body)),
                receive("response=\"100\" optional=\"true\""),
                receive("response=\"200\""),
                asks("ACK", number, "", None),
            ]);
            caller.extend(is_told());
            let answer = sdp(version, if body == *hold { "a=recvonly" } else { "" });
            callee.extend([
                receive("request=\"INVITE\""),
                answers("200 OK", "", Some(&answer)),
                receive("request=\"ACK\""),
            ]);
            callee.extend(tells(number));
        }
    }
    caller.extend([asks("BYE", 20, "", None), receive("response=\"200\"")]);
    callee.extend(end);
    let told = |ladder: &Ladder| -> Vec<(String, String)> {
        let direction = |body: &str| {
            let said = ["sendonly", "recvonly", "inactive"]
                .into_iter()
                .find(|way| body.contains(&format!("a={way}")));
            said.unwrap_or("sendrecv").to_owned()
        };
        let invites = (1..).map_while(|at| nth(&ladder.callee, "INVITE", at));
        invites.map(|invite| (direction(&invite.text), invite.described("c=IN IP4 ").to_owned())).collect()
    };
    let pairs =
        |expected: [(&str, &str); 6]| expected.map(|(way, address)| (way.to_owned(), address.to_owned()));

    let modern = Place::new("gateway-hold-direction").run(&caller, &callee);
    let own = "127.0.0.1";
    let expected = [
        ("sendonly", own),
        ("sendrecv", own),
        ("inactive", own),
        ("sendrecv", own),
        ("sendonly", own),
        ("sendrecv", own),
    ];
    assert_eq!(told(&modern), pairs(expected), "{modern}");
    let old = Place { outside: "hold = \"zero\"", ..Place::new("gateway-hold-zero") }.run(&caller, &callee);
    let heard: Vec<String> = told(&old).into_iter().map(|(_, address)| address).collect();
    assert_eq!(heard, ["0.0.0.0", own, "0.0.0.0", own, "0.0.0.0", own], "{old}");
}

/// Taken back before the other end has answered the first: nothing is lost, and it is off hold at last.
#[test]
fn a_hold_taken_back_at_once_is_taken_back_at_the_other_end() {
    if !require("sipp") {
        return;
    }
    let (mut caller, mut callee) = (calls("", Some(&sdp(1, ""))), takes_the_call());
    let end = callee.split_off(4);
    caller.extend([receive("response=\"180\""), receive("response=\"200\""), asks("ACK", 1, "", None)]);
    for (number, way) in [(2, "a=sendonly"), (3, "a=sendrecv")] {
        caller.extend([
            asks("INVITE", number, "", Some(&sdp(number, way))),
            receive("response=\"100\" optional=\"true\""),
            receive("response=\"200\""),
            asks("ACK", number, "", None),
        ]);
    }
    // Only now is the callee's answer to the hold to come.
    caller.extend([asks("INFO", 4, "", None), receive("response=\"200\"")]);
    caller.extend(is_told());
    caller.extend([asks("BYE", 5, "", None), receive("response=\"200\"")]);
    let keep = "<ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"hold\"/>\
                <ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"CSeq:\" assign_to=\"sequence\"/>";
    callee.extend([
        format!("<recv request=\"INVITE\"><action>{keep}</action></recv>\n"),
        receive("request=\"INFO\""),
        answers("200 OK", "", None),
        answers("200 OK", "", Some(&sdp(2, "a=recvonly")))
            .replace("[last_Via:]", "Via:[$hold]")
            .replace("[last_CSeq:]", "CSeq: [$sequence] INVITE"),
        receive("request=\"ACK\""),
        receive("request=\"INVITE\""),
        answers("200 OK", "", Some(&sdp(3, ""))),
        receive("request=\"ACK\""),
    ]);
    callee.extend(tells(9));
    callee.extend(end);
    let ladder = Place::new("gateway-hold-at-once").run(&caller, &callee);
    assert!(nth(&ladder.callee, "INVITE", 1).unwrap().text.contains("a=sendonly"), "{ladder}");
    assert!(!nth(&ladder.callee, "INVITE", 2).unwrap().text.contains("a=sendonly"), "{ladder}");
}

/// What the callee's first answer says of its direction is said to the caller in its own answer, and taken back when the callee does.
#[test]
fn the_direction_of_the_first_answer_is_shown_to_the_caller() {
    if !require("sipp") {
        return;
    }
    for way in ["recvonly", "sendonly", "inactive"] {
        let mut caller = calls("", Some(&sdp(1, "")));
        caller.extend([receive("response=\"180\""), receive("response=\"200\""), asks("ACK", 1, "", None)]);
        caller.extend([receive("request=\"INVITE\""), answers("200 OK", "", Some(&sdp(2, "")))]);
        caller.extend([receive("request=\"ACK\""), asks("BYE", 2, "", None), receive("response=\"200\"")]);
        let mut callee = takes_the_call();
        let end = callee.split_off(4);
        callee[2] = lifts("200 OK", "", Some(&sdp(1, &format!("a={way}"))));
        callee.extend([
            requests("INVITE", 1, "", Some(&sdp(2, "a=sendrecv"))),
            receive("response=\"100\" optional=\"true\""),
            receive("response=\"200\""),
            requests("ACK", 1, "", None),
        ]);
        callee.extend(end);
        let ladder = Place::new(&format!("gateway-first-{way}")).run(&caller, &callee);
        let said = |message: &Message| {
            let ways = ["recvonly", "sendonly", "inactive"];
            ways.into_iter().find(|way| message.text.contains(&format!("a={way}"))).unwrap_or("sendrecv")
        };
        assert_eq!(said(received(&ladder.caller, "SIP/2.0 200")), way, "{ladder}");
        assert_eq!(said(received(&ladder.caller, "INVITE")), "sendrecv", "{ladder}");
        assert!(nth(&ladder.callee, "INVITE", 1).is_none(), "{ladder}");
    }
}
