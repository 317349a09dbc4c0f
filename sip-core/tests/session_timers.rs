//! Session timers over messages: RFC 4028, both as refresher and not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{endpoint::*, message::StatusCode};
use ladder::Ladder;
use std::time::Duration;

fn options(interval: u64, minimum: u64, refresher: Option<Side>) -> CallOptions {
    CallOptions {
        session_timer: Some(SessionTimerPolicy {
            interval: Some(Duration::from_secs(interval)),
            minimum: Duration::from_secs(minimum),
            refresher,
        }),
        ..CallOptions::default()
    }
}

fn established(callers: CallOptions, callees: CallOptions) -> (Ladder, CallHandle, CallHandle) {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.options = callers;
    let alices = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let bobs = ladder.accept_with("bob", callees);
    ladder.answer("bob", bobs);
    ladder.run();
    ladder.arrows();
    (ladder, alices, bobs)
}

#[test]
fn section_7_the_caller_refreshes_at_half_the_interval_by_update() {
    let (mut ladder, alices, bobs) = established(options(200, 90, Some(Side::Local)), CallOptions::default());
    ladder.pass_seconds(99);
    assert_eq!(ladder.arrows(), [] as [&str; 0]);
    ladder.pass_seconds(2);
    assert_eq!(ladder.arrows(), ["alice -> bob UPDATE", "bob -> alice 200 UPDATE"]);
    assert!(
        !ladder.has_event("bob", |event| matches!(event, Event::ModifyReceived { .. })),
        "nobody is troubled"
    );
    ladder.pass_seconds(3600);
    assert!(ladder.user("alice").endpoint.call(alices).is_some(), "and on and on");
    assert!(ladder.user("bob").endpoint.call(bobs).is_some());
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn section_9_the_callee_refreshes_when_asked_to() {
    let (mut ladder, _, bobs) = established(options(200, 90, Some(Side::Remote)), CallOptions::default());
    ladder.pass_seconds(101);
    assert_eq!(ladder.arrows(), ["bob -> alice UPDATE", "alice -> bob 200 UPDATE"]);
    ladder.pass_seconds(100);
    assert_eq!(ladder.arrows(), ["bob -> alice UPDATE", "alice -> bob 200 UPDATE"], "roles do not change");
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn section_10_a_peer_that_refreshes_no_more_is_hung_up_before_the_end() {
    let (mut ladder, alices, bobs) = established(options(200, 90, Some(Side::Local)), CallOptions::default());
    ladder.lose(|_| true);
    ladder.pass_seconds(168);
    // Bob waits for 200 s less 32; alice's refresh at 100 s stayed without answer for 32 s.
    assert_eq!(ladder.end_of("bob", bobs), CallEnd::SessionExpired);
    let end = ladder.end_of("alice", alices);
    assert!(matches!(end, CallEnd::DialogLost { status: None, .. }), "{end:?}");
    ladder.assert_nothing_left();
}

#[test]
fn section_7_3_a_422_is_answered_with_a_longer_interval() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.options = options(120, 90, None);
    ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming("bob", denwa_sip_core::Method::Invite);
    let headers = Headers::new().with("Min-SE", 300).unwrap();
    let reply = Reply::new(StatusCode::SESSION_INTERVAL_TOO_SMALL).with_headers(headers);
    ladder.tell("bob", |endpoint, now| endpoint.respond(request, &reply, now)).unwrap();
    ladder.run();
    let (_, second) = ladder.incoming("bob", denwa_sip_core::Method::Invite);
    assert_eq!((second.get("Session-Expires"), second.get("Min-SE")), (Some("300"), Some("300")));
    assert_eq!(second.cseq().unwrap().sequence, 2);
}

#[test]
fn section_9_an_interval_below_ours_is_refused_with_422() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.options = options(120, 90, None);
    let alices = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let request = ladder.incoming("bob", denwa_sip_core::Method::Invite).0;
    let strict = options(1800, 600, None);
    let refused = ladder
        .tell("bob", |endpoint, now| {
            endpoint.accept_call(request, &LocalIdentity::default(), strict.clone(), now)
        })
        .unwrap();
    assert_eq!(ladder.end_of("bob", refused), CallEnd::RefusedHere(StatusCode::SESSION_INTERVAL_TOO_SMALL));
    ladder.run();
    assert_eq!(
        ladder.arrows(),
        ["alice -> bob INVITE", "bob -> alice 422 INVITE", "alice -> bob ACK", "alice -> bob INVITE"]
    );
    let bobs = ladder.accept_with("bob", strict);
    ladder.answer("bob", bobs);
    ladder.run();
    ladder.event("alice", |event| match event {
        Event::CallAnswered { response, .. } => {
            assert_eq!(response.get("Session-Expires"), Some("600;refresher=uac"));
            Some(())
        }
        _ => None,
    });
    ladder.hang_up("alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn section_7_2_a_callee_without_timers_is_refreshed_by_reinvite() {
    let silent = CallOptions { session_timer: None, ..CallOptions::default() };
    let (mut ladder, alices, bobs) = established(options(200, 90, None), silent);
    ladder.user("bob");
    ladder.pass_seconds(101);
    // Bob allows UPDATE, so that is used although he knows no timers.
    assert_eq!(ladder.arrows(), ["alice -> bob UPDATE", "bob -> alice 200 UPDATE"]);
    ladder.hang_up("alice", alices);
    ladder.run();
    ladder.end_of("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn section_7_3_a_peer_who_asks_for_more_each_time_is_not_followed_without_end() {
    let mut ladder = Ladder::alice_and_bob();
    let mut place = ladder.place("alice", "bob");
    place.options = options(120, 90, None);
    let call = ladder.tell("alice", |endpoint, now| endpoint.place_call(place, now)).unwrap();
    ladder.run();
    let attempts = EndpointConfig::new(Vec::new()).modification_attempts;
    for more in 0..=u32::from(attempts) {
        let (request, _) = ladder.incoming("bob", denwa_sip_core::Method::Invite);
        let headers = Headers::new().with("Min-SE", 300 + more).unwrap();
        let reply = Reply::new(StatusCode::SESSION_INTERVAL_TOO_SMALL).with_headers(headers);
        ladder.tell("bob", |endpoint, now| endpoint.respond(request, &reply, now)).unwrap();
        ladder.run();
    }
    assert!(
        matches!(ladder.end_of("alice", call), CallEnd::Refused { response } if response.status().code() == 422)
    );
    ladder.assert_nothing_left();
}
