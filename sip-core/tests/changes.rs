//! What re-INVITE and UPDATE change and when: RFC 6141 §3 (the session) and §4 (the targets), which correct RFC 3261 §14;
//! RFC 3311 §5; and refreshes of RFC 4028 that do not go well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ladder;

use denwa_sip_core::{
    Request,
    call::offer_answer::{Conflict, OfferAnswer},
    endpoint::*,
    message::{Method, StatusCode},
};
use ladder::{Ladder, other_sdp};

/// Alice, an endpoint, in a call with a hand-written Bob who called her.
struct Stage {
    ladder: Ladder,
    call: Option<CallHandle>,
    tag: String,
    sequence: u32,
}

const ONE: &str = "v=0\no=b 1 1 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 5000 RTP/AVP 0\n";
const TWO: &str = "v=0\no=b 1 2 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 5002 RTP/AVP 0\n";

impl Stage {
    fn unanswered() -> Self {
        let mut ladder = Ladder::new();
        ladder.endpoint("alice", "192.0.2.1:5060");
        ladder.raw("bob", "192.0.2.2:5060");
        ladder.raw("elsewhere", "192.0.2.3:5060");
        let mut stage = Self { ladder, call: None, tag: String::new(), sequence: 0 };
        stage.send("INVITE", "192.0.2.2", "", ONE);
        let options = CallOptions { in_dialog: InDialogRouting::Contact, ..CallOptions::default() };
        let call = stage.ladder.accept_with("alice", options);
        stage.call = Some(call);
        stage.ladder.ring("alice", call);
        stage.ladder.run();
        let ringing = stage.ladder.received_response("bob", 180);
        stage.tag = format!(";tag={}", ringing.to().unwrap().tag().unwrap());
        stage
    }

    fn new() -> Self {
        let mut stage = Self::unanswered();
        stage.ladder.answer("alice", stage.call.unwrap());
        stage.ladder.run();
        stage.ladder.received_response("bob", 200);
        stage.ack();
        stage.ladder.forget_events("alice");
        stage
    }

    /// The next request of Bob, with a Contact at `contact`.
    fn send(&mut self, method: &str, contact: &str, more: &str, body: &str) {
        self.sequence += 1;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let text = format!(
            "{method} sip:alice@192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{method}{sequence}
            Max-Forwards: 70
            From: <sip:bob@192.0.2.2>;tag=b
            To: <sip:alice@192.0.2.1>{tag}
            Call-ID: c
            CSeq: {sequence} {method}
            Contact: <sip:bob@{contact}>
            Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK
            Supported: 100rel
            {more}{kind}\n{body}",
            sequence = self.sequence,
            tag = self.tag,
        );
        self.ladder.send("bob", "alice", &text);
        self.ladder.run();
    }

    fn ack(&mut self) {
        let text = format!(
            "ACK sip:alice@192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKack{sequence}
            Max-Forwards: 70
            From: <sip:bob@192.0.2.2>;tag=b
            To: <sip:alice@192.0.2.1>{tag}
            Call-ID: c
            CSeq: {sequence} ACK",
            sequence = self.sequence,
            tag = self.tag,
        );
        self.ladder.send("bob", "alice", &text);
        self.ladder.run();
    }

    fn respond(&mut self, to: &Request, status: &str, contact: &str, more: &str, body: &str) {
        let header = |name: &str| format!("{name}: {}\n", to.get(name).unwrap());
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let text = format!(
            "SIP/2.0 {status}\n{}{}{}{}{}Contact: <sip:bob@{contact}>\n{more}{kind}\n{body}",
            header("Via"),
            header("From"),
            header("To"),
            header("Call-ID"),
            header("CSeq"),
        );
        self.ladder.send("bob", "alice", &text);
        self.ladder.run();
    }

    fn answer_offer(&mut self) {
        let call = self.call.unwrap();
        let body = Some(other_sdp(1));
        self.ladder.tell("alice", |it, now| it.answer_offer(call, body, &Headers::new(), now)).unwrap();
        self.ladder.run();
    }

    fn refuse_offer(&mut self) -> Result<(), Misuse> {
        let call = self.call.unwrap();
        let reply = Reply::new(StatusCode::NOT_ACCEPTABLE_HERE);
        let refused = self.ladder.tell("alice", |it, now| it.refuse_offer(call, &reply, now));
        self.ladder.run();
        refused
    }

    fn was_asked(&mut self) -> bool {
        let asked = self.ladder.has_event("alice", |event| matches!(event, Event::OfferReceived { .. }));
        self.ladder.forget_events("alice");
        asked
    }

    /// Who gets Alice's BYE: whom she takes for Bob.
    fn bye_goes_to(&mut self, who: &str) {
        self.ladder.hang_up("alice", self.call.unwrap());
        self.ladder.run();
        self.ladder.received_request(who, Method::Bye);
    }

    /// Alice's re-INVITE.
    fn change(&mut self) -> Result<(), Misuse> {
        let call = self.call.unwrap();
        let body = Some(other_sdp(2));
        self.ladder.tell("alice", |it, now| it.reinvite(call, body, Headers::new(), now))
    }

    fn reinvite(&mut self) -> Request {
        self.change().unwrap();
        self.ladder.run();
        self.ladder.received_request("bob", Method::Invite)
    }
}

#[test]
fn rfc_6141_figure_1_a_refused_reinvite_leaves_the_session_as_it_was() {
    let mut stage = Stage::new();
    stage.send("INVITE", "192.0.2.2", "", TWO);
    assert!(stage.was_asked());
    stage.refuse_offer().unwrap();
    stage.ladder.received_response("bob", 488);
    // What was refused is not taken for what holds: the same again is an offer again …
    stage.send("INVITE", "192.0.2.2", "", TWO);
    assert!(stage.was_asked());
    stage.refuse_offer().unwrap();
    stage.ladder.received_response("bob", 488);
    // … and the first one is a mere refresh.
    stage.send("INVITE", "192.0.2.2", "", ONE);
    assert!(!stage.was_asked());
    stage.ladder.received_response("bob", 200);
}

#[test]
fn rfc_6141_figure_2_a_2xx_takes_part_of_the_change() {
    let mut stage = Stage::new();
    stage.send("INVITE", "192.0.2.2", "", TWO);
    assert!(stage.was_asked());
    stage.answer_offer();
    stage.ladder.received_response("bob", 200);
    stage.ack();
    stage.send("INVITE", "192.0.2.2", "", TWO);
    assert!(!stage.was_asked(), "it holds now");
}

#[test]
fn rfc_6141_section_3_3_no_exchange_ends_within_a_reinvite_so_it_may_be_refused() {
    let mut stage = Stage::new();
    // Bob's re-INVITE asks for an offer, which Alice's user has to decide on.
    stage.send("INVITE", "192.0.2.2", "", "");
    let invite = stage.sequence;
    // A refresh meanwhile is answered, and does not take the re-INVITE's place …
    stage.send("UPDATE", "192.0.2.2", "", "");
    stage.ladder.received_response("bob", 200);
    // … a change has to wait.
    stage.send("UPDATE", "192.0.2.2", "", TWO);
    assert!(stage.ladder.received_response("bob", 500).has(denwa_sip_core::HeaderName::RetryAfter));
    stage.refuse_offer().unwrap();
    let refused = stage.ladder.received_response("bob", 488);
    assert_eq!(refused.cseq().unwrap().sequence, invite);
}

#[test]
fn rfc_6141_section_3_4_a_refusal_after_a_change_is_told_apart() {
    let mut stage = Stage::new();
    let invite = stage.reinvite();
    stage.respond(&invite, "183 Session Progress", "192.0.2.2", "Require: 100rel\nRSeq: 1\n", TWO);
    let prack = stage.ladder.received_request("bob", Method::Prack);
    stage.respond(&prack, "200 OK", "192.0.2.2", "", "");
    stage.ladder.event("alice", |event| {
        matches!(event, Event::AnswerReceived { carrier: Carrier::Reliable, preview: false, .. })
            .then_some(())
    });
    stage.respond(&invite, "488 Not Acceptable Here", "192.0.2.2", "", "");
    stage.ladder.event("alice", |event| {
        matches!(event, Event::OfferAborted { reason: OfferAbort::RefusedAfterChange { .. }, .. })
            .then_some(())
    });
    // Without such a change it is an ordinary refusal.
    let invite = stage.reinvite();
    stage.respond(&invite, "488 Not Acceptable Here", "192.0.2.2", "", "");
    stage.ladder.event("alice", |event| {
        matches!(event, Event::OfferAborted { reason: OfferAbort::Refused { .. }, .. }).then_some(())
    });
}

#[test]
fn rfc_6141_section_4_4_an_error_does_not_refresh_the_target() {
    let mut stage = Stage::new();
    stage.send("INVITE", "192.0.2.3", "", TWO);
    stage.refuse_offer().unwrap();
    stage.bye_goes_to("bob");
    let mut stage = Stage::new();
    stage.send("UPDATE", "192.0.2.3", "", TWO);
    stage.refuse_offer().unwrap();
    stage.bye_goes_to("bob");
}

#[test]
fn rfc_6141_section_4_6_a_2xx_refreshes_the_target() {
    let mut stage = Stage::new();
    stage.send("INVITE", "192.0.2.3", "", TWO);
    stage.answer_offer();
    stage.ack();
    stage.bye_goes_to("elsewhere");
    // An UPDATE without a description is accepted at once, and refreshes too.
    let mut stage = Stage::new();
    stage.send("UPDATE", "192.0.2.3", "", "");
    stage.bye_goes_to("elsewhere");
    let mut stage = Stage::new();
    let invite = stage.reinvite();
    stage.respond(&invite, "200 OK", "192.0.2.3", "", TWO);
    stage.bye_goes_to("elsewhere");
}

#[test]
fn rfc_6141_section_4_7_a_reliable_provisional_response_refreshes_and_stays_so_after_an_error() {
    let mut stage = Stage::new();
    let invite = stage.reinvite();
    stage.respond(&invite, "183 Session Progress", "192.0.2.3", "Require: 100rel\nRSeq: 7\n", TWO);
    stage.ladder.received_request("elsewhere", Method::Prack);
    stage.respond(&invite, "488 Not Acceptable Here", "192.0.2.2", "", "");
    stage.bye_goes_to("elsewhere");
}

#[test]
fn rfc_6141_section_4_7_an_unreliable_provisional_response_does_not() {
    let mut stage = Stage::new();
    let invite = stage.reinvite();
    stage.respond(&invite, "180 Ringing", "192.0.2.3", "", "");
    stage.respond(&invite, "488 Not Acceptable Here", "192.0.2.3", "", "");
    stage.bye_goes_to("bob");
}

#[test]
fn rfc_6141_section_4_9_an_early_dialogs_target_stays_until_it_is_refreshed_reliably() {
    let mut ladder = Ladder::new();
    ladder.endpoint("alice", "192.0.2.1:5060");
    ladder.raw("bob", "192.0.2.2:5060");
    ladder.raw("elsewhere", "192.0.2.3:5060");
    let call = ladder.call("alice", "bob");
    ladder.run();
    let invite = ladder.received_request("bob", Method::Invite);
    let respond = |ladder: &mut Ladder, status: &str, contact: &str, more: &str| {
        let header = |name: &str| format!("{name}: {}\n", invite.get(name).unwrap());
        let text = format!(
            "SIP/2.0 {status}\n{}{}To: <sip:bob@192.0.2.2:5060>;tag=b\n{}{}Contact: <sip:bob@{contact}>\n{more}",
            header("Via"),
            header("From"),
            header("Call-ID"),
            header("CSeq"),
        );
        ladder.send("bob", "alice", &text);
        ladder.run();
    };
    let target = |ladder: &mut Ladder| {
        ladder.user("alice").endpoint.call(call).unwrap().remote_target.unwrap().to_string()
    };
    respond(&mut ladder, "180 Ringing", "192.0.2.2", "");
    respond(&mut ladder, "180 Ringing", "192.0.2.3", "");
    assert_eq!(target(&mut ladder), "sip:bob@192.0.2.2");
    respond(&mut ladder, "183 Session Progress", "192.0.2.3", "Require: 100rel\nRSeq: 3\n");
    assert_eq!(target(&mut ladder), "sip:bob@192.0.2.3");
}

#[test]
fn rfc_3261_section_8_2_3_a_body_of_another_type_is_not_taken_for_no_offer() {
    let mut stage = Stage::new();
    stage.send("INVITE", "192.0.2.2", "Content-Type: text/plain\n\nhold the line", "");
    let refused = stage.ladder.received_response("bob", 415);
    assert_eq!(refused.get("Accept"), Some("application/sdp"));
    stage.ack();
    let asked = |stage: &mut Stage| {
        stage.ladder.has_event("alice", |event| matches!(event, Event::OfferRequested { .. }))
    };
    assert!(!asked(&mut stage));
    let optional =
        "Content-Type: text/plain\nContent-Disposition: render; handling=Optional\n\nhold the line";
    stage.send("INVITE", "192.0.2.2", optional, "");
    assert!(asked(&mut stage));
}

#[test]
fn rfc_3261_section_14_1_a_refused_hold_keeps_the_call_and_a_481_ends_it() {
    let mut stage = Stage::new();
    let invite = stage.reinvite();
    stage.respond(&invite, "603 Decline", "192.0.2.2", "", "");
    assert!(stage.ladder.user("alice").endpoint.call(stage.call.unwrap()).is_some());
    let invite = stage.reinvite();
    stage.respond(&invite, "481 Gone", "192.0.2.2", "", "");
    let end = stage.ladder.end_of("alice", stage.call.unwrap());
    assert!(matches!(end, CallEnd::DialogLost { .. }), "{end:?}");
}

#[test]
fn an_exchange_within_a_reinvite_is_known_to_the_table() {
    let mut oa = OfferAnswer::new();
    let (local, remote) = (Side::Local, Side::Remote);
    oa.invite(remote, true).unwrap();
    oa.success(local, true).unwrap();
    assert!(!oa.has_changed_within_invite());
    oa.invite(remote, true).unwrap();
    oa.reliable(local, true).unwrap();
    assert!(oa.has_changed_within_invite());
}

// -- RFC 3311

#[test]
fn rfc_3311_section_5_2_an_update_before_the_last_one_is_answered_is_500() {
    let mut stage = Stage::new();
    stage.send("UPDATE", "192.0.2.2", "", TWO);
    stage.send("UPDATE", "192.0.2.2", "", ONE);
    assert!(stage.ladder.received_response("bob", 500).has(denwa_sip_core::HeaderName::RetryAfter));
    stage.answer_offer();
    stage.ladder.received_response("bob", 200);
}

#[test]
fn rfc_3311_section_5_2_an_update_that_meets_ours_is_491() {
    let mut stage = Stage::new();
    let call = stage.call.unwrap();
    let body = Some(other_sdp(2));
    stage.ladder.tell("alice", |it, now| it.update(call, body, Headers::new(), now)).unwrap();
    stage.send("UPDATE", "192.0.2.2", "", TWO);
    stage.ladder.received_response("bob", 491);
}

#[test]
fn rfc_3311_section_5_2_an_offer_before_the_first_answer_is_500() {
    let mut stage = Stage::unanswered();
    stage.send("UPDATE", "192.0.2.2", "", TWO);
    stage.ladder.received_response("bob", 500);
    // One without an offer refreshes the early dialog's target and nothing else.
    stage.send("UPDATE", "192.0.2.3", "", "");
    stage.ladder.received_response("bob", 200);
    let call = stage.ladder.user("alice").endpoint.call(stage.call.unwrap()).unwrap();
    assert_eq!(call.remote_target.unwrap().as_str(), "sip:bob@192.0.2.3");
}

#[test]
fn rfc_3311_section_5_3_a_refused_update_rolls_back_and_a_481_ends_the_call() {
    for (status, ends) in [("488 Not Acceptable Here", false), ("481 Gone", true)] {
        let mut stage = Stage::new();
        let call = stage.call.unwrap();
        let body = Some(other_sdp(2));
        stage.ladder.tell("alice", |it, now| it.update(call, body, Headers::new(), now)).unwrap();
        stage.ladder.run();
        let update = stage.ladder.received_request("bob", Method::Update);
        stage.respond(&update, status, "192.0.2.2", "", "");
        assert_eq!(stage.ladder.user("alice").endpoint.call(call).is_none(), ends);
        if !ends {
            stage.ladder.event("alice", |event| {
                matches!(event, Event::OfferAborted { reason: OfferAbort::Refused { .. }, .. }).then_some(())
            });
        }
    }
}

// -- RFC 4028: refreshes that do not go well

/// Alice has to refresh after two minutes; her first refresh.
fn refreshing() -> (Stage, Request) {
    let mut stage = Stage::new();
    stage.send("UPDATE", "192.0.2.2", "Supported: timer\nSession-Expires: 240;refresher=uas\n", "");
    let ok = stage.ladder.received_response("bob", 200);
    assert_eq!(ok.get("Session-Expires"), Some("240;refresher=uas"));
    stage.ladder.pass(std::time::Duration::from_millis(120_100));
    let refresh = stage.ladder.received_request("bob", Method::Update);
    assert_eq!(refresh.get("Session-Expires"), Some("240;refresher=uac"));
    (stage, refresh)
}

#[test]
fn rfc_3261_section_9_1_a_change_left_behind_by_a_bye_is_not_waited_for_without_end() {
    // Bob says that he works on Alice's change, and she hangs up meanwhile. What he would have answered never comes.
    for working in ["100 Trying", "183 Session Progress"] {
        let mut stage = Stage::new();
        let invite = stage.reinvite();
        stage.respond(&invite, working, "192.0.2.2", "", "");
        stage.ladder.hang_up("alice", stage.call.unwrap());
        stage.ladder.run();
        let bye = stage.ladder.received_request("bob", Method::Bye);
        stage.respond(&bye, "200 OK", "192.0.2.2", "", "");
        // He goes on working, which does not prolong it.
        stage.respond(&invite, working, "192.0.2.2", "", "");
        assert_eq!(stage.ladder.user("alice").endpoint.counts().clients, 1, "the re-INVITE");
        stage.ladder.pass_seconds(33);
        assert_eq!(stage.ladder.user("alice").endpoint.counts(), Counts::default());
    }
}

#[test]
fn rfc_3261_section_14_1_a_change_that_comes_to_no_end_is_cancelled() {
    // Bob says every minute that he works on Alice's change, which keeps her from any other.
    for answers_at_last in [true, false] {
        let mut stage = Stage::new();
        let invite = stage.reinvite();
        for _ in 0..3 {
            stage.respond(&invite, "183 Session Progress", "192.0.2.2", "", "");
            assert_eq!(stage.change(), Err(Misuse::OfferAnswer(Conflict::OwnInvite)));
            stage.ladder.pass_seconds(60);
        }
        let cancel = stage.ladder.received_request("bob", Method::Cancel);
        stage.respond(&cancel, "200 OK", "192.0.2.2", "", "");
        if answers_at_last {
            stage.respond(&invite, "487 Request Terminated", "192.0.2.2", "", "");
            stage.ladder.received_request("bob", Method::Ack);
            let status = stage.ladder.event("alice", |event| match event {
                Event::OfferAborted { reason: OfferAbort::Refused { response }, .. } => {
                    Some(response.status().code())
                }
                _ => None,
            });
            assert_eq!(status, 487);
            assert_eq!(stage.change(), Ok(()));
        } else {
            // He never answers: the dialog is lost to one of the two.
            stage.ladder.pass_seconds(33);
            stage.ladder.received_request("bob", Method::Bye);
            let end = stage.ladder.end_of("alice", stage.call.unwrap());
            assert_eq!(end, CallEnd::DialogLost { method: Method::Invite, status: None });
        }
    }
}

#[test]
fn rfc_4028_section_7_4_a_422_to_a_refresh_asks_for_longer() {
    let (mut stage, refresh) = refreshing();
    stage.respond(&refresh, "422 Session Interval Too Small", "192.0.2.2", "Min-SE: 300\n", "");
    stage.ladder.pass_seconds(1);
    let again = stage.ladder.received_request("bob", Method::Update);
    assert_eq!((again.get("Session-Expires"), again.get("Min-SE")), (Some("300;refresher=uac"), Some("300")));
}

#[test]
fn rfc_4028_section_7_4_a_refresh_without_answer_or_with_481_ends_the_call() {
    let (mut stage, refresh) = refreshing();
    stage.respond(&refresh, "481 Gone", "192.0.2.2", "", "");
    assert!(matches!(stage.ladder.end_of("alice", stage.call.unwrap()), CallEnd::DialogLost { .. }));
    let (mut stage, _) = refreshing();
    stage.ladder.pass_seconds(33);
    assert!(matches!(stage.ladder.end_of("alice", stage.call.unwrap()), CallEnd::DialogLost { .. }));
    stage.ladder.received_request("bob", Method::Bye);
}

#[test]
fn rfc_4028_section_10_a_refresh_that_is_refused_is_tried_again_before_the_session_runs_out() {
    let (mut stage, refresh) = refreshing();
    stage.respond(&refresh, "500 Not Now", "192.0.2.2", "", "");
    assert!(stage.ladder.user("alice").endpoint.call(stage.call.unwrap()).is_some());
    stage.ladder.pass_seconds(45);
    let again = stage.ladder.received_request("bob", Method::Update);
    stage.respond(&again, "200 OK", "192.0.2.2", "Session-Expires: 240;refresher=uac\n", "");
    stage.ladder.pass_seconds(60);
    assert!(stage.ladder.user("alice").endpoint.call(stage.call.unwrap()).is_some());
}

#[test]
fn rfc_4028_section_9_an_update_with_too_small_an_interval_is_refused_422() {
    let mut stage = Stage::new();
    stage.send("UPDATE", "192.0.2.2", "Supported: timer\nSession-Expires: 60\n", "");
    assert_eq!(stage.ladder.received_response("bob", 422).get("Min-SE"), Some("90"));
}
