//! Transfers: RFC 3515, RFC 3891, RFC 4488 and the flows of RFC 5589.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    endpoint::*,
    message::{Method, StatusCode, UriBuf},
};
use ladder::Ladder;

fn three() -> Ladder {
    let mut ladder = Ladder::alice_and_bob();
    ladder.endpoint("carol", "192.0.2.3:5060");
    ladder
}

struct Asked {
    request: RequestHandle,
    refer_to: UriBuf,
    replaces: Option<String>,
}

fn asked(ladder: &mut Ladder, name: &str) -> Asked {
    ladder.event(name, |event| match event {
        Event::TransferRequested { request, refer_to, replaces, .. } => {
            Some(Asked { request: *request, refer_to: refer_to.clone(), replaces: replaces.clone() })
        }
        _ => None,
    })
}

fn progress(ladder: &mut Ladder, transfer: SubscriptionHandle) -> u16 {
    ladder.event("alice", |event| match event {
        Event::TransferProgress { transfer: of, status, .. } if *of == transfer => Some(status.code()),
        _ => None,
    })
}

/// Bob does what he was asked for.
fn follow(ladder: &mut Ladder, asked: &Asked) -> CallHandle {
    let local = LocalIdentity { user: "bob".to_owned(), ..LocalIdentity::default() };
    let report =
        ladder.tell("bob", |endpoint, now| endpoint.accept_transfer(asked.request, &local, now)).unwrap();
    let mut place = ladder.place("bob", "carol");
    place.request_uri = asked.refer_to.clone();
    place.options.reports_to = report;
    if let Some(replaces) = &asked.replaces {
        place.headers.push("Replaces", replaces).unwrap();
    }
    ladder.tell("bob", |endpoint, now| endpoint.place_call(place, now)).unwrap()
}

#[test]
fn rfc_5589_section_6_1_blind_transfer() {
    let mut ladder = three();
    let (alices, bobs) = ladder.establish("alice", "bob");
    let transfer = Transfer::to(ladder.uri("carol"));
    let handle = ladder.tell("alice", |endpoint, now| endpoint.transfer(alices, &transfer, now)).unwrap();
    ladder.run();
    let asked = asked(&mut ladder, "bob");
    assert_eq!((asked.refer_to.as_str(), asked.replaces.clone()), ("sip:carol@192.0.2.3:5060", None));
    let to_carol = follow(&mut ladder, &asked);
    ladder.run();
    ladder.event("alice", |event| matches!(event, Event::TransferAccepted { .. }).then_some(()));
    assert_eq!(progress(&mut ladder, handle), 100);
    let carols = ladder.accept("carol");
    ladder.ring("carol", carols);
    ladder.run();
    assert_eq!(progress(&mut ladder, handle), 180);
    ladder.answer("carol", carols);
    ladder.run();
    assert_eq!(progress(&mut ladder, handle), 200);
    let end = ladder.event("alice", |event| match event {
        Event::SubscriptionEnded { subscription, reason } if *subscription == handle => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(end, SubscriptionEnd::Terminated { reason: Some(TerminationReason::NoResource) });
    // The transferor hangs up; the others talk on.
    ladder.hang_up("alice", alices);
    ladder.run();
    ladder.end_of("bob", bobs);
    assert!(ladder.user("bob").endpoint.call(to_carol).unwrap().is_established);
    ladder.hang_up("carol", carols);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_5589_section_6_3_a_failed_transfer_leaves_the_call_up() {
    let mut ladder = three();
    let (alices, bobs) = ladder.establish("alice", "bob");
    let transfer = Transfer::to(ladder.uri("carol"));
    let handle = ladder.tell("alice", |endpoint, now| endpoint.transfer(alices, &transfer, now)).unwrap();
    ladder.run();
    let asked = asked(&mut ladder, "bob");
    follow(&mut ladder, &asked);
    ladder.run();
    let carols = ladder.accept("carol");
    let busy = Reply::new(StatusCode::BUSY_HERE);
    ladder.tell("carol", |endpoint, now| endpoint.refuse(carols, &busy, now)).unwrap();
    ladder.run();
    assert_eq!(progress(&mut ladder, handle), 100);
    assert_eq!(progress(&mut ladder, handle), 486);
    assert!(ladder.user("alice").endpoint.call(alices).unwrap().is_established);
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_5589_section_7_attended_transfer_with_replaces() {
    let mut ladder = three();
    let (alices, bobs) = ladder.establish("alice", "bob");
    let (consultation, carols) = ladder.establish("alice", "carol");
    let mut transfer = Transfer::to(ladder.uri("carol"));
    transfer.replaces = Some(consultation);
    let handle = ladder.tell("alice", |endpoint, now| endpoint.transfer(alices, &transfer, now)).unwrap();
    ladder.run();
    let asked = asked(&mut ladder, "bob");
    let to_carol = follow(&mut ladder, &asked);
    ladder.run();
    // Carol finds the call that is replaced.
    let (request, _) = ladder.incoming("carol", Method::Invite);
    let replaced = ladder.user("carol").endpoint.replaced_call(request);
    assert_eq!(replaced, Ok(Some(carols)));
    let options = CallOptions { replaces: Some(carols), ..CallOptions::default() };
    let new = ladder
        .tell("carol", |endpoint, now| endpoint.accept_call(request, &LocalIdentity::default(), options, now))
        .unwrap();
    ladder.answer("carol", new);
    ladder.run();
    assert_eq!(ladder.end_of("carol", carols), CallEnd::Replaced { by: new });
    assert_eq!(progress(&mut ladder, handle), 100);
    assert_eq!(ladder.end_of("alice", consultation), CallEnd::HungUp { by: By::Remote, reason: None });
    assert_eq!(progress(&mut ladder, handle), 200);
    ladder.hang_up("alice", alices);
    ladder.run();
    ladder.end_of("bob", bobs);
    assert!(ladder.user("bob").endpoint.call(to_carol).unwrap().is_established);
    ladder.hang_up("carol", new);
    ladder.assert_nothing_left();
}

#[test]
fn rfc_3891_section_3_what_cannot_be_replaced() {
    let mut ladder = three();
    let (_, bobs) = ladder.establish("alice", "bob");
    let snapshot = ladder.user("bob").endpoint.call(bobs).unwrap();
    let reference = format!(
        "{};to-tag={};from-tag={}",
        snapshot.call_id,
        snapshot.local_tag.unwrap(),
        snapshot.remote_tag.unwrap()
    );
    let cases = [
        ("nobody;to-tag=a;from-tag=b".to_owned(), Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST)),
        (format!("{reference};early-only"), Err(StatusCode::BUSY_HERE)),
        (reference, Ok(Some(bobs))),
    ];
    for (value, expected) in cases {
        let mut place = ladder.place("carol", "bob");
        place.headers.push("Replaces", value).unwrap();
        ladder.tell("carol", |endpoint, now| endpoint.place_call(place, now)).unwrap();
        ladder.run();
        let (request, _) = ladder.incoming("bob", Method::Invite);
        assert_eq!(ladder.user("bob").endpoint.replaced_call(request), expected);
    }
}

#[test]
fn rfc_4488_no_reports_wanted() {
    let mut ladder = three();
    let (alices, bobs) = ladder.establish("alice", "bob");
    let mut transfer = Transfer::to(ladder.uri("carol"));
    transfer.without_reports = true;
    let handle = ladder.tell("alice", |endpoint, now| endpoint.transfer(alices, &transfer, now)).unwrap();
    ladder.run();
    let asked = asked(&mut ladder, "bob");
    let none = ladder
        .tell("bob", |endpoint, now| endpoint.accept_transfer(asked.request, &LocalIdentity::default(), now))
        .unwrap();
    assert_eq!(none, None);
    ladder.run();
    let end = ladder.event("alice", |event| match event {
        Event::SubscriptionEnded { subscription, reason } if *subscription == handle => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(end, SubscriptionEnd::Accepted);
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

#[test]
fn a_refused_refer_ends_the_transfer_only() {
    let mut ladder = three();
    let (alices, bobs) = ladder.establish("alice", "bob");
    let transfer = Transfer::to(ladder.uri("carol"));
    let handle = ladder.tell("alice", |endpoint, now| endpoint.transfer(alices, &transfer, now)).unwrap();
    ladder.run();
    let asked = asked(&mut ladder, "bob");
    let reply = Reply::new(StatusCode::DECLINE);
    ladder.tell("bob", |endpoint, now| endpoint.respond(asked.request, &reply, now)).unwrap();
    ladder.run();
    let end = ladder.event("alice", |event| match event {
        Event::SubscriptionEnded { subscription, reason } if *subscription == handle => Some(reason.clone()),
        _ => None,
    });
    assert!(matches!(end, SubscriptionEnd::Refused(response) if response.status() == StatusCode::DECLINE));
    assert!(ladder.user("alice").endpoint.call(alices).is_some());
    ladder.hang_up("bob", bobs);
    ladder.assert_nothing_left();
}

/// RFC 5057: the dialog outlives the call while the transfer still reports on it.
#[test]
fn reports_go_on_after_the_call_is_hung_up() {
    let mut ladder = three();
    let (alices, bobs) = ladder.establish("alice", "bob");
    let transfer = Transfer::to(ladder.uri("carol"));
    let handle = ladder.tell("alice", |endpoint, now| endpoint.transfer(alices, &transfer, now)).unwrap();
    ladder.run();
    let asked = asked(&mut ladder, "bob");
    follow(&mut ladder, &asked);
    ladder.run();
    ladder.hang_up("alice", alices);
    ladder.run();
    ladder.end_of("bob", bobs);
    let carols = ladder.accept("carol");
    ladder.answer("carol", carols);
    ladder.run();
    assert_eq!(progress(&mut ladder, handle), 100);
    assert_eq!(progress(&mut ladder, handle), 200);
    ladder.hang_up("carol", carols);
    ladder.assert_nothing_left();
}
