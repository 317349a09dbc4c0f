//! Subscriptions: RFC 6665 both roles, each arrow of its §4.1.2 figure by name; packages over them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Request,
    endpoint::*,
    message::{Method, StatusCode},
    subscription::message_summary::{self, MessageSummary, Messages},
};
use ladder::Ladder;
use std::time::Duration;

fn summary(new: u32) -> Body {
    let voice = Some(Messages { new, ..Messages::default() });
    MessageSummary { waiting: new > 0, voice, ..MessageSummary::default() }.to_body()
}

fn subscribe(ladder: &mut Ladder, keep: bool, expires: u64) -> SubscriptionHandle {
    let mut subscribe = Subscribe::new(
        message_summary::PACKAGE,
        Party::new(ladder.uri("alice")),
        Party::new(ladder.uri("bob")),
        ladder.target("bob"),
    );
    subscribe.accept = message_summary::CONTENT_TYPE.to_owned();
    subscribe.keep = keep;
    subscribe.expires = Duration::from_secs(expires);
    ladder.tell("alice", |endpoint, now| endpoint.subscribe(subscribe, now)).unwrap()
}

fn accept(ladder: &mut Ladder, body: Option<Body>) -> SubscriptionHandle {
    ladder.run();
    let (request, message) = ladder.incoming("bob", Method::Subscribe);
    assert_eq!(message.get("Event"), Some("message-summary"));
    let accept = AcceptSubscription { body, ..AcceptSubscription::default() };
    let handle =
        ladder.tell("bob", |endpoint, now| endpoint.accept_subscription(request, accept, now)).unwrap();
    ladder.run();
    handle
}

fn subscribed() -> (Ladder, SubscriptionHandle, SubscriptionHandle) {
    let mut ladder = Ladder::alice_and_bob();
    let alices = subscribe(&mut ladder, true, 600);
    let bobs = accept(&mut ladder, Some(summary(0)));
    (ladder, alices, bobs)
}

fn notified(ladder: &mut Ladder, of: SubscriptionHandle) -> (SubscriptionState, Request) {
    ladder.event("alice", |event| match event {
        Event::Notified { subscription, state, message, .. } if *subscription == of => {
            Some((state.clone(), message.clone()))
        }
        _ => None,
    })
}

fn ended(ladder: &mut Ladder, name: &str, of: SubscriptionHandle) -> SubscriptionEnd {
    ladder.event(name, |event| match event {
        Event::SubscriptionEnded { subscription, reason } if *subscription == of => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn the_lamp_is_lit_when_a_message_comes() {
    let (mut ladder, alices, bobs) = subscribed();
    assert_eq!(
        ladder.arrows(),
        [
            "alice -> bob SUBSCRIBE",
            "bob -> alice 200 SUBSCRIBE",
            "bob -> alice NOTIFY",
            "alice -> bob 200 NOTIFY",
        ]
    );
    ladder.event("alice", |event| match event {
        Event::Subscribed { expires_in, .. } => {
            assert_eq!(*expires_in, Duration::from_secs(600));
            Some(())
        }
        _ => None,
    });
    let (state, first) = notified(&mut ladder, alices);
    assert_eq!(
        (state, first.get("Subscription-State")),
        (SubscriptionState::Active, Some("active;expires=600"))
    );
    ladder
        .tell("bob", |endpoint, now| {
            endpoint.notify(bobs, SubscriptionState::Active, Some(summary(2)), Headers::new(), now)
        })
        .unwrap();
    ladder.run();
    let (_, second) = notified(&mut ladder, alices);
    let told = MessageSummary::parse(core::str::from_utf8(second.body()).unwrap()).unwrap();
    assert_eq!((told.waiting, told.voice.unwrap().new), (true, 2));
    // Unsubscribing ends both sides.
    ladder.tell("alice", |endpoint, now| endpoint.unsubscribe(alices, now)).unwrap();
    ladder.run();
    assert!(matches!(notified(&mut ladder, alices).0, SubscriptionState::Terminated { .. }));
    assert_eq!(ended(&mut ladder, "alice", alices), SubscriptionEnd::Unsubscribed);
    assert_eq!(ended(&mut ladder, "bob", bobs), SubscriptionEnd::Unsubscribed);
    ladder.assert_nothing_left();
}

#[test]
fn section_4_1_2_2_it_is_refreshed_before_it_runs_out() {
    let (mut ladder, alices, bobs) = subscribed();
    ladder.arrows();
    ladder.pass_seconds(299);
    assert_eq!(ladder.arrows(), [] as [&str; 0]);
    ladder.pass_seconds(242);
    let arrows = ladder.arrows();
    assert_eq!(arrows[0], "alice -> bob SUBSCRIBE");
    ladder.event("bob", |event| match event {
        Event::SubscriptionRefreshed { subscription, expires_in } if *subscription == bobs => {
            assert_eq!(*expires_in, Duration::from_secs(600));
            Some(())
        }
        _ => None,
    });
    ladder.pass_seconds(3600);
    assert!(!ladder.has_event("alice", |event| matches!(event, Event::SubscriptionLost { .. })));
    ladder.tell("alice", |endpoint, now| endpoint.unsubscribe(alices, now)).unwrap();
    ladder.assert_nothing_left();
}

#[test]
fn section_4_2_1_a_subscription_that_is_not_refreshed_runs_out() {
    let (mut ladder, _, bobs) = subscribed();
    ladder.lose(|arrow| arrow.starts_with("alice"));
    ladder.pass_seconds(640);
    assert_eq!(ended(&mut ladder, "bob", bobs), SubscriptionEnd::Expired);
}

#[test]
fn notify_wait_timer_n_fires_and_it_is_tried_again() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = subscribe(&mut ladder, true, 600);
    ladder.lose(|arrow| arrow.ends_with(" NOTIFY"));
    accept(&mut ladder, None);
    ladder.pass_seconds(33);
    let reason = ladder.event("alice", |event| match event {
        Event::SubscriptionLost { subscription, reason, .. } if *subscription == alices => {
            Some(reason.clone())
        }
        _ => None,
    });
    assert_eq!(reason, SubscriptionEnd::NeverNotified);
    ladder.lose_nothing();
    ladder.arrows();
    ladder.pass_seconds(31);
    assert!(ladder.arrows().contains(&"alice -> bob SUBSCRIBE".to_owned()));
}

#[test]
fn notify_wait_a_refusal_ends_one_that_is_not_kept() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = subscribe(&mut ladder, false, 600);
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Subscribe);
    let reply = Reply::new(StatusCode::BAD_EVENT);
    ladder.tell("bob", |endpoint, now| endpoint.respond(request, &reply, now)).unwrap();
    ladder.run();
    let end = ended(&mut ladder, "alice", alices);
    assert!(matches!(end, SubscriptionEnd::Refused(response) if response.status() == StatusCode::BAD_EVENT));
    ladder.assert_nothing_left();
}

#[test]
fn pending_becomes_active() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = subscribe(&mut ladder, true, 600);
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Subscribe);
    let pending = AcceptSubscription { pending: true, ..AcceptSubscription::default() };
    let bobs =
        ladder.tell("bob", |endpoint, now| endpoint.accept_subscription(request, pending, now)).unwrap();
    ladder.run();
    assert_eq!(notified(&mut ladder, alices).0, SubscriptionState::Pending);
    ladder
        .tell("bob", |endpoint, now| {
            endpoint.notify(bobs, SubscriptionState::Active, None, Headers::new(), now)
        })
        .unwrap();
    ladder.run();
    assert_eq!(notified(&mut ladder, alices).0, SubscriptionState::Active);
}

#[test]
fn active_terminated_by_the_notifier_and_made_anew_unless_rejected() {
    for (reason, kept) in [(TerminationReason::Deactivated, true), (TerminationReason::Rejected, false)] {
        let (mut ladder, alices, bobs) = subscribed();
        ladder.arrows();
        let state = SubscriptionState::Terminated { reason: Some(reason.clone()), retry_after: None };
        ladder.tell("bob", |endpoint, now| endpoint.notify(bobs, state, None, Headers::new(), now)).unwrap();
        ladder.pass(Duration::from_millis(100));
        assert_eq!(
            ended(&mut ladder, "bob", bobs),
            SubscriptionEnd::Terminated { reason: Some(reason.clone()) }
        );
        let again = ladder.arrows().contains(&"alice -> bob SUBSCRIBE".to_owned());
        assert_eq!(again, kept, "{reason}");
        if !kept {
            let reason = Some(TerminationReason::Rejected);
            assert_eq!(ended(&mut ladder, "alice", alices), SubscriptionEnd::Terminated { reason });
            ladder.assert_nothing_left();
        }
    }
}

#[test]
fn a_481_to_a_refresh_ends_it_and_a_500_does_not() {
    for (status, lost) in [(481, true), (500, false)] {
        let mut ladder = Ladder::new();
        ladder.endpoint("alice", "192.0.2.1:5060");
        ladder.raw("bob", "192.0.2.2:5060");
        subscribe(&mut ladder, true, 600);
        ladder.run();
        let first = ladder.received_request("bob", Method::Subscribe);
        let header = |request: &Request, name: &str| format!("{name}: {}\n", request.get(name).unwrap());
        let reply = |request: &Request, status: &str, to: &str, more: &str| {
            format!(
                "SIP/2.0 {status}\n{}{}{to}\n{}{}Contact: <sip:bob@192.0.2.2>\n{more}",
                header(request, "Via"),
                header(request, "From"),
                header(request, "Call-ID"),
                header(request, "CSeq"),
            )
        };
        let to = format!("To: {};tag=t", first.get("To").unwrap());
        let text = reply(&first, "200 OK", &to, "Expires: 600");
        ladder.send("bob", "alice", &text);
        let notify = format!(
            "NOTIFY sip:192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKn
            From: {};tag=t
            To: {}
            Call-ID: {}
            CSeq: 1 NOTIFY
            Contact: <sip:bob@192.0.2.2>
            Event: message-summary
            Subscription-State: active;expires=600",
            first.get("To").unwrap(),
            first.get("From").unwrap(),
            first.call_id().unwrap()
        );
        ladder.send("bob", "alice", &notify);
        ladder.run();
        ladder.received_response("bob", 200);
        let second = loop {
            ladder.pass_seconds(1);
            if let Some(message) = ladder.received("bob") {
                break message.as_request().unwrap().clone();
            }
        };
        assert_eq!(second.cseq().unwrap().sequence, 2);
        let to = format!("To: {}", second.get("To").unwrap());
        let text = reply(&second, &format!("{status} No"), &to, "");
        ladder.send("bob", "alice", &text);
        ladder.run();
        assert_eq!(ladder.has_event("alice", |event| matches!(event, Event::SubscriptionLost { .. })), lost);
    }
}

#[test]
fn section_4_4_1_a_notify_may_come_before_the_200_and_from_several() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    let alices = subscribe(&mut ladder, true, 600);
    ladder.run();
    let first = ladder.received_request("bob", Method::Subscribe);
    for (tag, status) in [("t1", 200), ("t2", 200), ("late", 481)] {
        if tag == "late" {
            // Timer N: from then on nobody else is taken for an answer.
            ladder.pass_seconds(33);
        }
        let notify = format!(
            "NOTIFY sip:192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{tag}
            From: {};tag={tag}
            To: {}
            Call-ID: {}
            CSeq: 1 NOTIFY
            Contact: <sip:bob@192.0.2.2;who={tag}>
            Event: message-summary
            Subscription-State: active;expires=600",
            first.get("To").unwrap(),
            first.get("From").unwrap(),
            first.call_id().unwrap()
        );
        ladder.send("bob", "alice", &notify);
        ladder.run();
        ladder.received_response("bob", status);
    }
    // Two notifiers, two state machines, told apart by their forks.
    let mut fork = || {
        ladder.event("alice", |event| match event {
            Event::Notified { subscription, fork, .. } if *subscription == alices => Some(*fork),
            _ => None,
        })
    };
    assert_eq!([fork(), fork()], [ForkHandle(0), ForkHandle(1)]);
}

#[test]
fn section_4_4_3_asking_once() {
    let mut ladder = Ladder::alice_and_bob();
    let alices = subscribe(&mut ladder, false, 0);
    let bobs = accept(&mut ladder, Some(summary(1)));
    let (state, message) = notified(&mut ladder, alices);
    assert!(matches!(state, SubscriptionState::Terminated { reason: Some(TerminationReason::Timeout), .. }));
    assert!(!message.body().is_empty());
    ended(&mut ladder, "bob", bobs);
    ended(&mut ladder, "alice", alices);
    ladder.assert_nothing_left();
}

#[test]
fn too_brief_is_answered_423_and_asked_for_longer() {
    let mut ladder = Ladder::alice_and_bob();
    subscribe(&mut ladder, true, 10);
    ladder.run();
    let (request, _) = ladder.incoming("bob", Method::Subscribe);
    let refused = ladder.tell("bob", |endpoint, now| {
        endpoint.accept_subscription(request, AcceptSubscription::default(), now)
    });
    assert_eq!(refused, Err(Misuse::Status));
    ladder.run();
    let (_, second) = ladder.incoming("bob", Method::Subscribe);
    assert_eq!(second.get("Expires"), Some("60"));
}

#[test]
fn a_notify_nobody_asked_for_is_answered_481_inside_dialogs_and_told_outside() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    let notify = |to: &str| {
        format!(
            "NOTIFY sip:192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{}
            From: <sip:bob@192.0.2.2>;tag=t
            To: <sip:alice@192.0.2.1>{to}
            Call-ID: x
            CSeq: 1 NOTIFY
            Event: message-summary
            Subscription-State: active",
            to.len()
        )
    };
    ladder.send("bob", "alice", &notify(";tag=unknown"));
    ladder.run();
    ladder.received_response("bob", 481);
    ladder.send("bob", "alice", &notify(""));
    ladder.run();
    ladder.incoming("alice", Method::Notify);
}
