//! Publishing event state: RFC 3903, publisher and compositor against each other and against hand-written peers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Request, Response,
    endpoint::*,
    message::{Method, StatusCode},
    subscription::presence::{self, Presence},
};
use ladder::Ladder;
use std::time::Duration;

const ALICE: &str = "sip:alice@192.0.2.1:5060";

fn state(note: &str) -> Body {
    let _ = Presence::default();
    Body::new(presence::CONTENT_TYPE, format!("<presence>{note}</presence>"))
}

fn publish(ladder: &mut Ladder, expires: u64) -> PublicationHandle {
    let whose = Party::new(ladder.uri("alice"));
    let mut publish = Publish::new(presence::PACKAGE, whose, state("in"), ladder.target("bob"));
    publish.expires = Duration::from_secs(expires);
    ladder.tell("alice", |endpoint, now| endpoint.publish(publish, now)).unwrap()
}

fn take(ladder: &mut Ladder) -> Request {
    ladder.run();
    let (request, message) = ladder.incoming("bob", Method::Publish);
    ladder.tell("bob", |endpoint, now| endpoint.accept_publication(request, ALICE, now)).unwrap();
    ladder.run();
    message
}

/// A refresh comes between half and nine tenths of the time granted.
fn until_refreshed(ladder: &mut Ladder) {
    let begun = ladder.now;
    while !ladder.has_event("bob", |event| matches!(event, Event::Incoming { .. })) {
        ladder.pass_seconds(1);
    }
    let after = (ladder.now - begun).as_secs();
    assert!((299..=542).contains(&after), "{after}");
}

fn changed(ladder: &mut Ladder) -> Option<Body> {
    ladder.event("bob", |event| match event {
        Event::PublicationChanged { resource, package, body } => {
            assert_eq!((resource.as_str(), package.as_str()), (ALICE, presence::PACKAGE));
            Some(body.clone())
        }
        _ => None,
    })
}

fn published(ladder: &mut Ladder) -> Response {
    ladder.event("alice", |event| match event {
        Event::Published { response, .. } => Some(response.clone()),
        _ => None,
    })
}

#[test]
fn section_4_made_refreshed_changed_and_withdrawn() {
    let mut ladder = Ladder::alice_and_bob();
    let handle = publish(&mut ladder, 600);
    let first = take(&mut ladder);
    assert_eq!(
        (first.get("SIP-If-Match"), first.get("Expires"), first.get("Event")),
        (None, Some("600"), Some("presence"))
    );
    assert!(!first.has("Contact"), "PUBLISH makes no dialog");
    assert_eq!(changed(&mut ladder), Some(state("in")));
    let tag = published(&mut ladder).get("SIP-ETag").unwrap().to_owned();
    // A refresh has the tag and no body, and brings a new tag.
    until_refreshed(&mut ladder);
    let refresh = take(&mut ladder);
    assert_eq!((refresh.get("SIP-If-Match"), refresh.body()), (Some(tag.as_str()), &b""[..]));
    let second = published(&mut ladder).get("SIP-ETag").unwrap().to_owned();
    assert_ne!(tag, second);
    ladder.tell("alice", |endpoint, now| endpoint.publish_again(handle, state("out"), now)).unwrap();
    let change = take(&mut ladder);
    assert_eq!(change.get("SIP-If-Match"), Some(second.as_str()));
    assert_eq!(changed(&mut ladder), Some(state("out")), "the refresh was no news");
    let bodies: Vec<Body> = ladder.user("bob").endpoint.published(ALICE, "presence").cloned().collect();
    assert_eq!(bodies, [state("out")]);
    ladder.tell("alice", |endpoint, now| endpoint.unpublish(handle, now)).unwrap();
    let last = take(&mut ladder);
    assert_eq!((last.get("Expires"), last.body()), (Some("0"), &b""[..]));
    assert_eq!(changed(&mut ladder), None);
    ladder
        .event("alice", |event| matches!(event, Event::PublicationEnded { reason: None, .. }).then_some(()));
    ladder.assert_nothing_left();
}

#[test]
fn section_6_an_unknown_tag_is_412_and_the_publisher_begins_anew() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    let handle = publish(&mut ladder, 600);
    ladder.run();
    let answer = |ladder: &mut Ladder, status: &str, more: &str| {
        ladder.run();
        let mut request = ladder.received_request("bob", Method::Publish);
        // What was repeated meanwhile is passed over.
        while let Some(next) = ladder.received("bob") {
            request = next.as_request().unwrap().clone();
        }
        let copy = |name: &str| format!("{name}: {}\n", request.get(name).unwrap());
        let [via, from, call, cseq] = ["Via", "From", "Call-ID", "CSeq"].map(copy);
        let to = request.get("To").unwrap();
        ladder.send(
            "bob",
            "alice",
            &format!("SIP/2.0 {status}\n{via}{from}To: {to};tag=b\n{call}{cseq}{more}"),
        );
        ladder.run();
        request
    };
    answer(&mut ladder, "200 OK", "SIP-ETag: one\nExpires: 600");
    ladder.arrows();
    while !ladder.arrows().iter().any(|it| it == "alice -> bob PUBLISH") {
        ladder.pass_seconds(1);
    }
    ladder.run();
    let refresh = answer(&mut ladder, "412 Conditional Request Failed", "");
    assert_eq!(refresh.get("SIP-If-Match"), Some("one"));
    let anew = answer(&mut ladder, "423 Interval Too Brief", "Min-Expires: 1200");
    assert_eq!((anew.get("SIP-If-Match"), anew.body()), (None, &*state("in").bytes));
    let longer = answer(&mut ladder, "200 OK", "SIP-ETag: two\nExpires: 1200");
    assert_eq!((longer.get("Expires"), longer.body()), (Some("1200"), &*state("in").bytes));
    // A refusal for another reason: later.
    ladder.tell("alice", |endpoint, now| endpoint.publish_again(handle, state("x"), now)).unwrap();
    ladder.run();
    answer(&mut ladder, "503 Later", "Retry-After: 40");
    let retry_in = ladder.event("alice", |event| match event {
        Event::PublicationFailed { retry_in, .. } => Some(*retry_in),
        _ => None,
    });
    assert!(retry_in >= Duration::from_secs(40), "{retry_in:?}");
    ladder.pass(retry_in);
    let again = answer(&mut ladder, "200 OK", "SIP-ETag: three");
    assert_eq!(again.body(), &*state("x").bytes);
}

/// What the compositor answers to a PUBLISH written by hand.
fn asked(ladder: &mut Ladder, number: u32, fields: &str) -> Response {
    ladder.send(
        "phone",
        "bob",
        &format!(
            "PUBLISH {ALICE} SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKp{number}
            Max-Forwards: 70
            From: <{ALICE}>;tag=a
            To: <{ALICE}>
            Call-ID: p{number}
            CSeq: 1 PUBLISH
            {fields}"
        ),
    );
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Publish);
    ladder.tell("bob", |endpoint, now| endpoint.accept_publication(request, ALICE, now)).unwrap();
    ladder.run();
    ladder.received("phone").unwrap().as_response().unwrap().clone()
}

#[test]
fn section_6_steps_of_the_compositor() {
    let mut ladder = Ladder::new();
    ladder.raw("phone", "192.0.2.1:5060");
    ladder.endpoint_with("bob", "192.0.2.2:5060", |config| config.limits.publications = 2);
    let body = "Content-Type: text/plain\n\nin";
    assert_eq!(asked(&mut ladder, 1, body).status(), StatusCode::BAD_EVENT, "no Event");
    assert_eq!(
        asked(&mut ladder, 2, "Event: presence").status(),
        StatusCode::BAD_REQUEST,
        "nothing to publish"
    );
    let brief = asked(&mut ladder, 3, &format!("Event: presence\nExpires: 10\n{body}"));
    assert_eq!((brief.status().code(), brief.get("Min-Expires")), (423, Some("60")));
    let unknown = asked(&mut ladder, 4, "Event: presence\nSIP-If-Match: nonsense");
    assert_eq!(unknown.status(), StatusCode::CONDITIONAL_REQUEST_FAILED);
    let made = asked(&mut ladder, 5, &format!("Event: presence\nExpires: 100\n{body}"));
    let tag = made.get("SIP-ETag").unwrap();
    assert_eq!((made.status(), made.get("Expires")), (StatusCode::OK, Some("100")));
    // The tag is good for its own package alone, and once.
    let elsewhere = asked(&mut ladder, 6, &format!("Event: dialog\nSIP-If-Match: {tag}"));
    assert_eq!(elsewhere.status(), StatusCode::CONDITIONAL_REQUEST_FAILED);
    let refreshed = asked(&mut ladder, 7, &format!("Event: presence\nSIP-If-Match: {tag}\nExpires: 100"));
    assert_eq!(refreshed.status(), StatusCode::OK);
    let twice = asked(&mut ladder, 8, &format!("Event: presence\nSIP-If-Match: {tag}"));
    assert_eq!(twice.status(), StatusCode::CONDITIONAL_REQUEST_FAILED);
    let second = asked(&mut ladder, 9, &format!("Event: dialog\nExpires: 3600\n{body}"));
    assert_eq!(second.status(), StatusCode::OK);
    let third = asked(&mut ladder, 10, &format!("Event: dialog\n{body}"));
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE, "the bound of two");
    ladder.event("bob", |event| {
        matches!(event, Event::LimitReached { limit } if limit.describe() == "published event states")
            .then_some(())
    });
    ladder.pass_seconds(101);
    assert_eq!(ladder.user("bob").endpoint.counts().published, 1, "the first ran out");
    ladder.pass_seconds(3600);
    assert_eq!(ladder.user("bob").endpoint.counts().published, 0);
}
