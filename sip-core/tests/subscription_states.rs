//! The state machines of RFC 6665, arrow by arrow: the subscriber's (figure of §4.1.2) and the notifier's (figure of
//! §4.2.1), each side an endpoint and the other one written by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Request,
    endpoint::*,
    message::{Method, StatusCode},
};
use ladder::Ladder;
use std::time::Duration;

fn stage() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    ladder
}

// -- the subscriber

struct Subscribed {
    ladder: Ladder,
    subscription: SubscriptionHandle,
    subscribe: Request,
    notifies: u32,
}

impl Subscribed {
    /// init –Send SUBSCRIBE→ notify_wait
    fn notify_wait(keep: bool) -> Self {
        let mut ladder = stage();
        let mut subscribe = Subscribe::new(
            "message-summary",
            Party::new(ladder.uri("alice")),
            Party::new(ladder.uri("bob")),
            ladder.target("bob"),
        );
        subscribe.keep = keep;
        subscribe.expires = Duration::from_secs(600);
        let subscription = ladder.tell("alice", |it, now| it.subscribe(subscribe, now)).unwrap();
        ladder.run();
        let subscribe = ladder.received_request("bob", Method::Subscribe);
        Self { ladder, subscription, subscribe, notifies: 0 }
    }

    fn in_state(state: &str, keep: bool) -> Self {
        let mut it = Self::notify_wait(keep);
        let first = it.subscribe.clone();
        it.respond(&first, "200 OK", "Expires: 600");
        it.notify(state);
        it.ladder.forget_events("alice");
        it
    }

    fn respond(&mut self, to: &Request, status: &str, more: &str) {
        let header = |name: &str| format!("{name}: {}\n", to.get(name).unwrap());
        let tag = if to.to().unwrap().tag().is_some() { "" } else { ";tag=t" };
        let text = format!(
            "SIP/2.0 {status}\n{}{}To: {}{tag}\n{}{}Contact: <sip:bob@192.0.2.2>\n{more}",
            header("Via"),
            header("From"),
            to.get("To").unwrap(),
            header("Call-ID"),
            header("CSeq"),
        );
        self.ladder.send("bob", "alice", &text);
        self.ladder.run();
    }

    fn notify(&mut self, state: &str) {
        self.notifies += 1;
        let text = format!(
            "NOTIFY sip:192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKn{number}
            Max-Forwards: 70
            From: {};tag=t
            To: {}
            Call-ID: {}
            CSeq: {number} NOTIFY
            Contact: <sip:bob@192.0.2.2>
            Event: message-summary
            Subscription-State: {state}",
            self.subscribe.get("To").unwrap(),
            self.subscribe.get("From").unwrap(),
            self.subscribe.call_id().unwrap(),
            number = self.notifies,
        );
        self.ladder.send("bob", "alice", &text);
        self.ladder.run();
        self.ladder.received_response("bob", 200);
    }

    fn state(&mut self) -> SubscriptionState {
        let of = self.subscription;
        self.ladder.event("alice", |event| match event {
            Event::Notified { subscription, state, .. } if *subscription == of => Some(state.clone()),
            _ => None,
        })
    }

    fn end(&mut self) -> SubscriptionEnd {
        let of = self.subscription;
        self.ladder.event("alice", |event| match event {
            Event::SubscriptionEnded { subscription, reason } if *subscription == of => Some(reason.clone()),
            _ => None,
        })
    }

    /// The SUBSCRIBE that refreshes it, when its time has come.
    fn refresh(&mut self) -> Request {
        for _ in 0..600 {
            self.ladder.pass_seconds(1);
            if let Some(message) = self.ladder.received("bob") {
                return message.as_request().unwrap().clone();
            }
        }
        panic!("it is not refreshed")
    }
}

#[test]
fn subscriber_init_send_subscribe_to_notify_wait() {
    let mut it = Subscribed::notify_wait(false);
    assert_eq!(it.subscribe.get("Expires"), Some("600"));
    // The 200 alone makes no subscription that is told of; it waits on.
    let first = it.subscribe.clone();
    it.respond(&first, "200 OK", "Expires: 600");
    assert!(!it.ladder.has_event("alice", |event| matches!(event, Event::Notified { .. })));
}

#[test]
fn subscriber_notify_wait_timer_n_to_terminated() {
    let mut it = Subscribed::notify_wait(false);
    let first = it.subscribe.clone();
    it.respond(&first, "200 OK", "Expires: 600");
    it.ladder.pass_seconds(33);
    assert_eq!(it.end(), SubscriptionEnd::NeverNotified);
    it.ladder.assert_nothing_left();
}

#[test]
fn subscriber_notify_wait_failure_response_to_terminated() {
    let mut it = Subscribed::notify_wait(false);
    let first = it.subscribe.clone();
    it.respond(&first, "403 Forbidden", "X: 1");
    assert!(matches!(it.end(), SubscriptionEnd::Refused(_)));
    it.ladder.assert_nothing_left();
}

#[test]
fn subscriber_notify_wait_notify_terminated_to_terminated() {
    let mut it = Subscribed::notify_wait(false);
    it.notify("terminated;reason=rejected");
    let reason = Some(TerminationReason::Rejected);
    assert_eq!(it.end(), SubscriptionEnd::Terminated { reason });
    it.ladder.assert_nothing_left();
}

#[test]
fn subscriber_notify_wait_notify_active_to_active() {
    let mut it = Subscribed::notify_wait(false);
    // Before the 200, as §4.1.2.4 allows.
    it.notify("active;expires=600");
    assert_eq!(it.state(), SubscriptionState::Active);
    it.ladder.pass_seconds(33);
    assert!(!it.ladder.has_event("alice", |event| matches!(event, Event::SubscriptionEnded { .. })));
}

#[test]
fn subscriber_notify_wait_notify_pending_to_pending() {
    let mut it = Subscribed::notify_wait(false);
    it.notify("pending;expires=600");
    assert_eq!(it.state(), SubscriptionState::Pending);
}

#[test]
fn subscriber_pending_notify_active_to_active() {
    let mut it = Subscribed::in_state("pending;expires=600", false);
    it.notify("active;expires=500");
    assert_eq!(it.state(), SubscriptionState::Active);
}

#[test]
fn subscriber_pending_and_active_notify_terminated_to_terminated() {
    for state in ["pending;expires=600", "active;expires=600"] {
        let mut it = Subscribed::in_state(state, false);
        it.notify("terminated;reason=noresource");
        assert!(matches!(it.end(), SubscriptionEnd::Terminated { .. }));
        it.ladder.assert_nothing_left();
    }
}

#[test]
fn subscriber_pending_and_active_481_to_a_refresh_to_terminated() {
    for state in ["pending;expires=600", "active;expires=600"] {
        let mut it = Subscribed::in_state(state, false);
        let refresh = it.refresh();
        it.respond(&refresh, "481 Subscription Does Not Exist", "X: 1");
        assert!(matches!(it.end(), SubscriptionEnd::Refused(_)));
        it.ladder.assert_nothing_left();
    }
}

#[test]
fn subscriber_pending_and_active_resubscription_times_out_to_terminated() {
    for state in ["pending;expires=600", "active;expires=600"] {
        // No response at all.
        let mut it = Subscribed::in_state(state, false);
        it.refresh();
        it.ladder.pass_seconds(33);
        assert!(matches!(it.end(), SubscriptionEnd::Failed(_) | SubscriptionEnd::NeverNotified));
        // A response, and no NOTIFY before timer N.
        let mut it = Subscribed::in_state(state, false);
        let refresh = it.refresh();
        it.respond(&refresh, "200 OK", "Expires: 600");
        it.ladder.pass_seconds(33);
        assert_eq!(it.end(), SubscriptionEnd::NeverNotified);
    }
}

#[test]
fn subscriber_active_stays_active_by_a_refresh_that_is_notified() {
    let mut it = Subscribed::in_state("active;expires=600", false);
    let refresh = it.refresh();
    it.respond(&refresh, "200 OK", "Expires: 600");
    it.notify("active;expires=600");
    it.ladder.pass_seconds(200);
    assert!(!it.ladder.has_event("alice", |event| matches!(event, Event::SubscriptionEnded { .. })));
}

#[test]
fn subscriber_terminated_retry_after_expires_to_init() {
    let mut it = Subscribed::in_state("active;expires=600", true);
    it.notify("terminated;reason=probation;retry-after=90");
    let retry_in = it.ladder.event("alice", |event| match event {
        Event::SubscriptionLost { retry_in, .. } => Some(*retry_in),
        _ => None,
    });
    assert_eq!(retry_in, Duration::from_secs(90));
    it.ladder.pass_seconds(89);
    assert!(it.ladder.received("bob").is_none());
    it.ladder.pass_seconds(2);
    let again = it.ladder.received_request("bob", Method::Subscribe);
    assert_ne!(again.call_id().unwrap(), it.subscribe.call_id().unwrap(), "a subscription of its own");
}

// -- the notifier

struct Notifying {
    ladder: Ladder,
    subscription: SubscriptionHandle,
}

const SUBSCRIBE: &str = "SUBSCRIBE sip:alice@192.0.2.1 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKs1
    Max-Forwards: 70
    From: <sip:bob@192.0.2.2>;tag=b
    To: <sip:alice@192.0.2.1>
    Call-ID: s
    CSeq: 1 SUBSCRIBE
    Contact: <sip:bob@192.0.2.2>
    Event: message-summary
    Expires: 120";

impl Notifying {
    fn begin(pending: bool) -> Self {
        let mut ladder = stage();
        ladder.send("bob", "alice", SUBSCRIBE);
        ladder.run();
        let (request, _) = ladder.incoming("alice", Method::Subscribe);
        let accept = AcceptSubscription { pending, ..AcceptSubscription::default() };
        let subscription =
            ladder.tell("alice", |it, now| it.accept_subscription(request, accept, now)).unwrap();
        ladder.run();
        ladder.received_response("bob", 200);
        Self { ladder, subscription }
    }

    /// The NOTIFY that Bob gets, answered.
    fn notified(&mut self, status: &str) -> String {
        let notify = self.ladder.received_request("bob", Method::Notify);
        let header = |name: &str| format!("{name}: {}\n", notify.get(name).unwrap());
        let head = ["Via", "From", "To", "Call-ID", "CSeq"].map(header).concat();
        self.ladder.send("bob", "alice", &format!("SIP/2.0 {status}\n{head}"));
        self.ladder.run();
        notify.get("Subscription-State").unwrap().to_owned()
    }

    fn notify(&mut self, state: SubscriptionState) {
        let of = self.subscription;
        self.ladder.tell("alice", |it, now| it.notify(of, state, None, Headers::new(), now)).unwrap();
        self.ladder.run();
    }

    fn end(&mut self) -> SubscriptionEnd {
        let of = self.subscription;
        self.ladder.event("alice", |event| match event {
            Event::SubscriptionEnded { subscription, reason } if *subscription == of => Some(reason.clone()),
            _ => None,
        })
    }
}

fn terminated() -> SubscriptionState {
    SubscriptionState::Terminated { reason: Some(TerminationReason::GiveUp), retry_after: None }
}

#[test]
fn notifier_init_receive_subscribe_send_notify_to_resp_wait() {
    let mut it = Notifying::begin(true);
    assert_eq!(it.notified("200 OK"), "pending;expires=120");
}

#[test]
fn notifier_resp_wait_policy_grants_to_active() {
    let mut it = Notifying::begin(false);
    assert_eq!(it.notified("200 OK"), "active;expires=120");
}

#[test]
fn notifier_resp_wait_terminated_per_policy() {
    let mut ladder = stage();
    ladder.send("bob", "alice", SUBSCRIBE);
    ladder.run();
    let (request, _) = ladder.incoming("alice", Method::Subscribe);
    let reply = Reply::new(StatusCode::FORBIDDEN);
    ladder.tell("alice", |it, now| it.respond(request, &reply, now)).unwrap();
    ladder.run();
    ladder.received_response("bob", 403);
    ladder.assert_nothing_left();
}

#[test]
fn notifier_pending_policy_changed_to_active() {
    let mut it = Notifying::begin(true);
    it.notified("200 OK");
    it.notify(SubscriptionState::Active);
    assert_eq!(it.notified("200 OK"), "active;expires=120");
}

#[test]
fn notifier_pending_and_active_terminated_per_policy() {
    for pending in [true, false] {
        let mut it = Notifying::begin(pending);
        it.notified("200 OK");
        it.notify(terminated());
        assert_eq!(it.notified("200 OK"), "terminated;reason=giveup");
        assert!(matches!(it.end(), SubscriptionEnd::Terminated { .. }));
        it.ladder.assert_nothing_left();
    }
}

#[test]
fn notifier_pending_and_active_notify_failure_to_terminated() {
    for pending in [true, false] {
        for status in ["481 Subscription Does Not Exist", "404 Not Found"] {
            let mut it = Notifying::begin(pending);
            it.notified("200 OK");
            it.notify(SubscriptionState::Active);
            it.notified(status);
            it.end();
            it.ladder.assert_nothing_left();
        }
        // No response at all.
        let mut it = Notifying::begin(pending);
        it.ladder.pass_seconds(33);
        it.end();
        it.ladder.assert_nothing_left();
    }
}

#[test]
fn notifier_pending_and_active_subscription_expires_to_terminated() {
    for pending in [true, false] {
        let mut it = Notifying::begin(pending);
        it.notified("200 OK");
        it.ladder.pass_seconds(121);
        assert_eq!(it.notified("200 OK"), "terminated;reason=timeout");
        assert_eq!(it.end(), SubscriptionEnd::Expired);
        it.ladder.assert_nothing_left();
    }
}

#[test]
fn notifier_active_a_refresh_is_answered_and_notified() {
    let mut it = Notifying::begin(false);
    let notify = it.ladder.received_request("bob", Method::Notify);
    let tag = notify.from().unwrap().tag().unwrap().to_owned();
    let refresh = SUBSCRIBE
        .replace("To: <sip:alice@192.0.2.1>", &format!("To: <sip:alice@192.0.2.1>;tag={tag}"))
        .replace("CSeq: 1", "CSeq: 2")
        .replace("bKs1", "bKs2");
    it.ladder.send("bob", "alice", &refresh);
    it.ladder.run();
    it.ladder.received_response("bob", 200);
    it.ladder.event("alice", |event| matches!(event, Event::SubscriptionRefreshed { .. }).then_some(()));
}
