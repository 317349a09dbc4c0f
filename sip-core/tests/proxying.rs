//! The forwarding proxy: RFC 3261 §16, RFC 5393, with hand-written clients and servers around it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod proxy_stage;

use denwa_sip_core::{
    command::Reply,
    header::HeaderName,
    message::{Method, StatusCode, UriBuf},
    proxy::{Branch, ForwardOptions, Order, ProxyEvent, ProxyRefusal, TargetSet, Unfit},
};
use proxy_stage::{CLIENT, Stage, invite};

#[test]
fn section_16_6_what_changes_on_the_way_and_back() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 12\nX-Kept:   as it is"));
    stage.forward(&[3], Order::Parallel, &ForwardOptions { record_route: true, ..ForwardOptions::default() });
    let forwarded = stage.request_to(3, &Method::Invite);
    assert_eq!(forwarded.uri_text(), "sip:bob@192.0.2.3:5060");
    assert_eq!(forwarded.get("Max-Forwards"), Some("11"));
    assert_eq!(forwarded.get("Record-Route"), Some("<sip:192.0.2.1:5060;lr>"));
    assert_eq!(forwarded.vias().count(), 2);
    assert_eq!(forwarded.get("X-Kept"), Some("as it is"));
    stage.answer(3, &forwarded, "180 Ringing", "");
    assert_eq!(stage.response(180).vias().count(), 1, "our Via is taken off");
    stage.answer(3, &forwarded, "200 OK", "Contact: <sip:bob@192.0.2.3>");
    let ok = stage.response(200);
    assert_eq!((ok.vias().count(), ok.to().unwrap().tag()), (1, Some("t3")));
    // A repeated 2xx passes too.
    stage.answer(3, &forwarded, "200 OK", "Contact: <sip:bob@192.0.2.3>");
    stage.response(200);
    stage.assert_nothing_left();
    assert_eq!(stage.done().map(StatusCode::code), Some(200));
}

#[test]
fn section_16_7_the_first_2xx_wins_and_the_others_are_cancelled() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3, 4, 5], Order::Parallel, &ForwardOptions::default());
    let [third, fourth, fifth] = [3, 4, 5].map(|to| stage.request_to(to, &Method::Invite));
    stage.answer(3, &third, "180 Ringing", "");
    stage.answer(4, &fourth, "180 Ringing", "");
    stage.answer(5, &fifth, "180 Ringing", "");
    stage.answer(4, &fourth, "200 OK", "Contact: <sip:bob@192.0.2.4>");
    stage.response(200);
    for (from, request) in [(3, third), (5, fifth)] {
        let cancel = stage.request_to(from, &Method::Cancel);
        assert_eq!(cancel.via().unwrap().branch(), request.via().unwrap().branch());
        stage.answer(from, &cancel, "200 OK", "");
        stage.answer(from, &request, "487 Request Terminated", "");
        stage.request_to(from, &Method::Ack);
    }
    stage.assert_nothing_left();
    assert_eq!(stage.done().map(StatusCode::code), Some(200));
    assert!(!stage.summary().iter().any(|it| it.starts_with("487 to 192.0.2.2")), "losers are not told");
}

#[test]
fn section_16_7_the_best_response_goes_back_when_all_have_ended() {
    for (statuses, best) in [
        (["486 Busy", "404 Not Found", "480 Gone"], 404),
        (["503 Later", "500 Error", "503 Later"], 500),
        (["503 Later", "503 Later", "503 Later"], 500),
        (["486 Busy", "407 Who", "404 Not Found"], 407),
        (["302 Moved", "486 Busy", "500 Error"], 302),
    ] {
        let mut stage = Stage::new();
        stage.receive(CLIENT, &invite("Max-Forwards: 70"));
        stage.forward(&[3, 4, 5], Order::Parallel, &ForwardOptions::default());
        for (from, status) in [3, 4, 5].into_iter().zip(statuses) {
            let request = stage.request_to(from, &Method::Invite);
            stage.answer(from, &request, status, "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"");
        }
        stage.response(best);
        assert_eq!(stage.done().map(StatusCode::code), Some(best), "{statuses:?}");
        stage.assert_nothing_left();
    }
}

#[test]
fn section_16_7_a_6xx_ends_the_search() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3, 4], Order::Parallel, &ForwardOptions::default());
    let [third, fourth] = [3, 4].map(|to| stage.request_to(to, &Method::Invite));
    stage.answer(4, &fourth, "180 Ringing", "");
    stage.answer(3, &third, "603 Decline", "");
    let cancel = stage.request_to(4, &Method::Cancel);
    stage.answer(4, &cancel, "200 OK", "");
    stage.answer(4, &fourth, "487 Request Terminated", "");
    stage.response(603);
    stage.assert_nothing_left();
}

#[test]
fn section_16_7_step_7_the_challenges_of_all_branches_go_back() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3, 4], Order::Parallel, &ForwardOptions::default());
    let [third, fourth] = [3, 4].map(|to| stage.request_to(to, &Method::Invite));
    stage.answer(3, &third, "401 Who", "WWW-Authenticate: Digest realm=\"a\", nonce=\"n\"");
    stage.answer(4, &fourth, "407 Who", "Proxy-Authenticate: Digest realm=\"b\", nonce=\"n\"");
    let refused = stage.response(401);
    assert!(refused.get(HeaderName::WwwAuthenticate).unwrap().contains("\"a\""));
    assert!(refused.get(HeaderName::ProxyAuthenticate).unwrap().contains("\"b\""));
}

#[test]
fn sequential_search_tries_one_after_the_other() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3, 4], Order::Sequential, &ForwardOptions::default());
    let third = stage.request_to(3, &Method::Invite);
    assert!(!stage.summary().iter().any(|it| it.contains("INVITE to 192.0.2.4")));
    stage.answer(3, &third, "486 Busy Here", "");
    let fourth = stage.request_to(4, &Method::Invite);
    assert_eq!(fourth.uri_text(), "sip:bob@192.0.2.4:5060");
    stage.answer(4, &fourth, "200 OK", "Contact: <sip:bob@192.0.2.4>");
    stage.response(200);
    stage.assert_nothing_left();
}

#[test]
fn section_16_10_the_clients_cancel_goes_to_all_branches() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3, 4], Order::Parallel, &ForwardOptions::default());
    let requests = [3, 4].map(|to| stage.request_to(to, &Method::Invite));
    for (from, request) in [3, 4].into_iter().zip(&requests) {
        stage.answer(from, request, "180 Ringing", "");
    }
    let cancel = invite("Max-Forwards: 70\nReason: SIP;cause=200;text=\"elsewhere\"")
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    stage.receive(CLIENT, &cancel);
    for (from, request) in [3, 4].into_iter().zip(&requests) {
        let cancel = stage.request_to(from, &Method::Cancel);
        assert_eq!(cancel.get("Reason"), Some("SIP;cause=200;text=\"elsewhere\""));
        stage.answer(from, &cancel, "200 OK", "");
        stage.answer(from, request, "487 Request Terminated", "");
    }
    stage.response(487);
    stage.assert_nothing_left();
}

#[test]
fn section_16_10_a_cancel_before_anything_was_sent_is_answered_487_at_once() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    let (handle, _) = stage.asked();
    let nowhere = Branch::to(UriBuf::parse("sip:bob@nowhere.example").unwrap());
    stage.proxy.forward(handle, TargetSet::one(nowhere), &ForwardOptions::default(), stage.now).unwrap();
    stage.drain();
    let cancel =
        invite("Max-Forwards: 70").replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL");
    stage.receive(CLIENT, &cancel);
    stage.response(487);
    assert_eq!(stage.done().map(StatusCode::code), Some(487));
    stage.assert_nothing_left();
}

#[test]
fn a_group_that_rings_too_long_is_given_up_for_the_next() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    let options =
        ForwardOptions { ring_for: Some(std::time::Duration::from_secs(20)), ..ForwardOptions::default() };
    stage.forward(&[3, 4], Order::Sequential, &options);
    let third = stage.request_to(3, &Method::Invite);
    for _ in 0..3 {
        stage.answer(3, &third, "180 Ringing", "");
        stage.pass(6);
    }
    assert!(!stage.summary().iter().any(|it| it.starts_with("CANCEL")));
    stage.pass(3);
    let cancel = stage.request_to(3, &Method::Cancel);
    stage.answer(3, &cancel, "200 OK", "");
    stage.answer(3, &third, "487 Request Terminated", "");
    let fourth = stage.request_to(4, &Method::Invite);
    stage.answer(4, &fourth, "200 OK", "Contact: <sip:bob@192.0.2.4>");
    stage.response(200);
    stage.assert_nothing_left();
}

#[test]
fn section_16_8_timer_c_cancels_what_rings_too_long() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3], Order::Parallel, &ForwardOptions::default());
    let third = stage.request_to(3, &Method::Invite);
    stage.answer(3, &third, "180 Ringing", "");
    stage.pass(100);
    stage.answer(3, &third, "180 Ringing", "");
    stage.pass(180);
    assert!(!stage.summary().iter().any(|it| it.starts_with("CANCEL")), "counted anew from the last 180");
    stage.pass(2);
    let cancel = stage.request_to(3, &Method::Cancel);
    stage.answer(3, &cancel, "200 OK", "");
    stage.answer(3, &third, "487 Request Terminated", "");
    stage.response(487);
    stage.assert_nothing_left();
}

#[test]
fn a_silent_branch_counts_as_408() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3], Order::Parallel, &ForwardOptions::default());
    stage.pass(33);
    stage.response(408);
    assert_eq!(stage.done().map(StatusCode::code), Some(408));
    stage.assert_nothing_left();
}

fn refused(stage: &mut Stage) -> Unfit {
    loop {
        let event = stage.events.pop_front().expect("a refusal");
        if let ProxyEvent::Refused { rule: ProxyRefusal::Unfit(unfit), .. } = event {
            return unfit;
        }
    }
}

#[test]
fn section_16_3_what_is_not_fit_to_be_forwarded() {
    for (text, status, rule) in [
        (invite("Max-Forwards: 0"), 483, Unfit::TooManyHops),
        (invite("Proxy-Require: foo, bar"), 420, Unfit::Extension("foo, bar".to_owned())),
        (invite("Max-Forwards: 70").replace("sip:bob@example.com SIP", "fax:1 SIP"), 416, Unfit::Scheme),
    ] {
        let mut stage = Stage::new();
        stage.receive(CLIENT, &text);
        stage.response(status);
        assert_eq!(refused(&mut stage), rule);
        stage.assert_nothing_left();
    }
}

#[test]
fn rfc_5393_a_loop_is_refused_and_a_spiral_is_not() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    stage.forward(&[3], Order::Parallel, &ForwardOptions::default());
    let forwarded = stage.request_to(3, &Method::Invite);
    let headers: String = forwarded
        .headers()
        .filter(|header| header.name_text != "Content-Length")
        .map(|header| format!("{}: {}\n", header.name_text, header.value))
        .collect();
    let again = |line: &str| {
        format!(
            "INVITE {line} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKother{}\n{headers}",
            line.len()
        )
    };
    // The neighbour sends it back as it first came: the same way again, for ever.
    stage.receive(3, &again("sip:bob@example.com"));
    assert_eq!(refused(&mut stage), Unfit::Loop);
    // To somebody else it is a spiral.
    stage.receive(3, &again("sip:carol@example.com"));
    stage.asked();
}

#[test]
fn rfc_5393_breadth_is_shared_among_branches() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70\nMax-Breadth: 7"));
    stage.forward(&[3, 4, 5], Order::Parallel, &ForwardOptions::default());
    assert_eq!(stage.request_to(3, &Method::Invite).get("Max-Breadth"), Some("2"));
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70\nMax-Breadth: 2"));
    stage.forward(&[3, 4, 5], Order::Parallel, &ForwardOptions::default());
    stage.response(440);
    stage.assert_nothing_left();
}

#[test]
fn section_16_4_our_own_route_is_taken_off_and_a_strict_router_undone() {
    let mut stage = Stage::new();
    let loose = invite("Route: <sip:192.0.2.1:5060;lr>, <sip:192.0.2.7;lr>")
        .replace("sip:bob@example.com SIP", "sip:bob@192.0.2.3 SIP");
    stage.receive(CLIENT, &loose);
    let (_, message) = stage.asked();
    assert_eq!(message.get_all("Route").collect::<Vec<_>>(), ["<sip:192.0.2.7;lr>"]);
    let mut stage = Stage::new();
    let strict = invite("Route: <sip:192.0.2.7;lr>, <sip:bob@192.0.2.3>")
        .replace("sip:bob@example.com SIP", "sip:192.0.2.1:5060;lr SIP");
    stage.receive(CLIENT, &strict);
    let (_, message) = stage.asked();
    assert_eq!(message.uri_text(), "sip:bob@192.0.2.3");
    assert_eq!(message.get_all("Route").collect::<Vec<_>>(), ["<sip:192.0.2.7;lr>"]);
}

#[test]
fn section_16_6_step_6_a_strict_router_ahead_gets_the_request_line() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Route: <sip:192.0.2.1:5060;lr>, <sip:192.0.2.7:5060>"));
    let (handle, message) = stage.asked();
    let target = Branch::to(message.uri().unwrap().to_owned());
    stage.proxy.forward(handle, TargetSet::one(target), &ForwardOptions::default(), stage.now).unwrap();
    stage.drain();
    let forwarded = stage.request_to(7, &Method::Invite);
    assert_eq!(forwarded.uri_text(), "sip:192.0.2.7:5060");
    assert_eq!(forwarded.get_all("Route").collect::<Vec<_>>(), ["<sip:bob@example.com>"]);
}

#[test]
fn section_16_11_an_ack_passes_without_state() {
    let mut stage = Stage::new();
    let ack = "ACK sip:bob@192.0.2.3:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bKack
        Max-Forwards: 70
        Route: <sip:192.0.2.1:5060;lr>
        From: <sip:alice@example.com>;tag=a
        To: <sip:bob@example.com>;tag=t3
        Call-ID: c
        CSeq: 1 ACK";
    stage.receive(CLIENT, ack);
    let passed = stage.request_to(3, &Method::Ack);
    assert_eq!((passed.get("Route"), passed.get("Max-Forwards")), (None, Some("69")));
    stage.assert_nothing_left();
}

#[test]
fn a_register_gets_a_path_and_a_bindings_path_becomes_its_route() {
    let mut stage = Stage::new();
    let register = invite("Max-Forwards: 70")
        .replace("INVITE sip:bob@", "REGISTER sip:")
        .replace("1 INVITE", "1 REGISTER");
    stage.receive(CLIENT, &register);
    stage.forward(&[3], Order::Parallel, &ForwardOptions { path: true, ..ForwardOptions::default() });
    assert_eq!(stage.request_to(3, &Method::Register).get("Path"), Some("<sip:192.0.2.1:5060;lr>"));
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    let (handle, _) = stage.asked();
    let mut branch = Branch::to(UriBuf::parse("sip:bob@10.0.0.9").unwrap());
    branch.routes = vec!["<sip:192.0.2.4:5060;lr>".to_owned()];
    stage.proxy.forward(handle, TargetSet::one(branch), &ForwardOptions::default(), stage.now).unwrap();
    stage.drain();
    let forwarded = stage.request_to(4, &Method::Invite);
    assert_eq!(
        (forwarded.uri_text(), forwarded.get("Route")),
        ("sip:bob@10.0.0.9", Some("<sip:192.0.2.4:5060;lr>"))
    );
}

#[test]
fn the_application_may_answer_instead() {
    let mut stage = Stage::new();
    stage.receive(CLIENT, &invite("Max-Forwards: 70"));
    let (handle, _) = stage.asked();
    stage.proxy.respond(handle, &Reply::new(StatusCode::NOT_FOUND), stage.now).unwrap();
    stage.drain();
    stage.response(404);
    assert_eq!(stage.done().map(StatusCode::code), Some(404));
    stage.assert_nothing_left();
}
