//! The end of a call: of one leg, hence of the other; what is given back, and the story that is told.

use super::passage::{End, Link, PassageId};
use super::placing::rules;
use super::{Event, Gateway, GuestId, Told, leaf};
use denwa::bridge::{self, Command as MediaCommand, LegId};
use denwa::driver::Output;
use denwa::evidence::{EndCause, Evidence, Fact, Party as Who};
use denwa::port_set::PortPair;
use denwa_sip_core::b2bua::{self, Across};
use denwa_sip_core::endpoint::{By, CallEnd, CallHandle, Event as SipEvent, Headers, Reply};
use denwa_sip_core::transaction::EndReason;
use denwa_sip_core::{HeaderName, Protocol, StatusCode};
use std::time::{Duration, Instant};

/// How long peers may take to answer our farewell: BYE, and the end of registrations. Transactions of SIP would wait for 32 s.
const FAREWELL: Duration = Duration::from_secs(4);

/// A leg whose sockets are being closed.
pub(super) struct Closing {
    pub(super) ports: PortPair,
    pub(super) of: (PassageId, End),
}

/// A call that is over.
pub(super) struct Story {
    evidence: Evidence,
    lasted: Duration,
    /// How many of its legs are being closed.
    legs: usize,
}

impl Gateway {
    pub(super) fn stop(&mut self, now: Instant) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.gone_at = now.checked_add(FAREWELL);
        let guests: Vec<GuestId> = self.by_guest.keys().copied().collect();
        for guest in guests {
            let sentence = "the gateway is being shut down".to_owned();
            self.tell_guest(guest, Told::Over { status: 503, sentence });
            self.on_guest_gone(guest, now);
        }
        self.endpoint.shut_down(now);
    }

    /// Somebody does not answer: we go all the same, after the stories of our calls were told.
    pub(super) fn leave_at_last(&mut self, now: Instant) {
        self.gone_at = None;
        let ids: Vec<PassageId> = self.passages.keys().copied().collect();
        for id in ids {
            self.close(id, now);
        }
        let waited = FAREWELL.as_secs();
        self.line(format!("not everybody has answered our farewell within {waited} s; stopped all the same"));
        self.tell_all_and_stop();
    }

    /// The legs' last figures are not waited for.
    pub(super) fn tell_all_and_stop(&mut self) {
        for (id, story) in std::mem::take(&mut self.stories) {
            self.tell(id, story);
        }
        self.outputs.push_back(Output::Stop);
    }

    pub(super) fn on_ended(&mut self, call: CallHandle, reason: &CallEnd, now: Instant) {
        let Some((id, end)) = self.by_call.remove(&call) else { return };
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.leg_mut(end).link = Link::None;
        if let CallEnd::Refused { response } = reason {
            passage.leg_mut(end).secrets.learn(response);
        }
        match reason {
            CallEnd::NotAuthenticated { reason, .. } => {
                let account = self.side_of(id, end).and_then(|side| side.user.clone()).unwrap_or_default();
                if let Some(fact) = Fact::of_challenge(*reason, account) {
                    self.note(id, end, fact, now);
                }
            }
            CallEnd::NoSession { .. } => self.note(id, end, Fact::no_session(), now),
            _ => {}
        }
        let (by, cause) = cause(reason);
        self.note(id, end, Fact::Ended { by, cause }, now);
        self.note_end(id, end, reason, now);
        if end == End::Callee && self.will_try_again(id, reason, now) {
            return;
        }
        let Some(passage) = self.passages.get(&id) else { return };
        let answered = passage.answered;
        match passage.leg(end.other()).link {
            Link::Call(other) if end == End::Callee && !answered => {
                let reply = self.reply_for(id, call, reason);
                let _ = self.endpoint.refuse(other, &reply, now);
            }
            Link::Call(other) => {
                let headers = self.why_hung_up(id, end, call, reason);
                let _ = self.endpoint.hang_up(other, &headers, now);
            }
            Link::Guest(guest) => {
                let reply = self.reply_for(id, call, reason);
                let status = if answered { 200 } else { reply.status.code() };
                let sentence = sentence_of(&reply, reason);
                self.tell_guest(guest, Told::Over { status, sentence });
                self.by_guest.remove(&guest);
                self.close(id, now);
            }
            Link::None => self.close(id, now),
        }
    }

    /// A guest has hung up, or was sent away.
    pub(super) fn on_guest_gone(&mut self, guest: GuestId, now: Instant) {
        let Some((id, end)) = self.by_guest.remove(&guest) else { return };
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.leg_mut(end).link = Link::None;
        let other = passage.leg(end.other()).link;
        self.note(id, end, Fact::Ended { by: Who::Peer, cause: EndCause::HungUp }, now);
        match other {
            Link::Call(call) => {
                let _ = self.endpoint.hang_up(call, &Headers::new(), now);
            }
            Link::Guest(other) => {
                self.tell_guest(other, Told::Over { status: 200, sentence: "hung up".to_owned() });
                self.by_guest.remove(&other);
                self.close(id, now);
            }
            Link::None => self.close(id, now),
        }
    }

    /// Refuses the caller, or hangs up when it is too late for that, and ends the callee.
    pub(super) fn refuse_with(&mut self, id: PassageId, reply: &Reply, sentence: &str, now: Instant) {
        let Some(passage) = self.passages.get(&id) else { return };
        let links = [passage.caller.link, passage.callee.link];
        for link in links {
            match link {
                Link::Call(call) => {
                    let is_caller = link == links[0];
                    if !is_caller || self.endpoint.refuse(call, reply, now).is_err() {
                        let _ = self.endpoint.hang_up(call, &Headers::new(), now);
                    }
                }
                Link::Guest(guest) => {
                    let (status, sentence) = (reply.status.code(), sentence.to_owned());
                    self.tell_guest(guest, Told::Over { status, sentence });
                    self.on_guest_gone(guest, now);
                }
                Link::None => {}
            }
        }
        let over =
            |passage: &super::Passage| passage.caller.link == Link::None && passage.callee.link == Link::None;
        if self.passages.get(&id).is_some_and(over) {
            self.close(id, now);
        }
    }

    fn note_end(&mut self, id: PassageId, end: End, reason: &CallEnd, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        if let (CallEnd::Refused { response }, End::Callee) = (reason, end)
            && response.status() == StatusCode::NOT_ACCEPTABLE_HERE
            && let Some(negotiator) = &mut passage.callee.negotiator
            && let Ok(mismatch) = negotiator.refused(
                Some(response.body()).filter(|body| !body.is_empty()),
                response.get(HeaderName::Warning),
            )
        {
            self.note(id, End::Callee, Fact::of_mismatch(&mismatch, Who::Here), now);
        }
        let Some(passage) = self.passages.get(&id) else { return };
        if let (CallEnd::Unreachable(why), End::Callee, Some(peer)) = (reason, end, passage.callee.peer) {
            let waited = now.saturating_duration_since(passage.evidence.began());
            let protocol = match &passage.destination {
                super::passage::Destination::Address(protocol, _) => *protocol,
                _ => Protocol::Udp,
            };
            let fact = Fact::of_end(*why, "INVITE", peer, protocol, waited);
            self.note(id, End::Callee, fact, now);
        }
    }

    /// How the callee's end sounds to the caller: as it was said, where it was said to us; as the gateway's own, where it failed.
    fn reply_for(&self, id: PassageId, call: CallHandle, reason: &CallEnd) -> Reply {
        let own = match reason {
            CallEnd::Unreachable(EndReason::TimedOut) => StatusCode::REQUEST_TIMEOUT,
            CallEnd::NotAnswered => StatusCode::TEMPORARILY_UNAVAILABLE,
            CallEnd::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        let Some(side) = self.side_of(id, End::Caller) else { return Reply::new(own) };
        match (reason, across(call, reason, End::Callee, side)) {
            (CallEnd::Refused { .. } | CallEnd::NotAuthenticated { .. }, Across::Refuse(reply)) => {
                self.hidden_reply(id, End::Callee, reply)
            }
            _ => Reply::new(own),
        }
    }

    fn why_hung_up(&self, id: PassageId, end: End, call: CallHandle, reason: &CallEnd) -> Headers {
        let Some(side) = self.side_of(id, end.other()) else { return Headers::new() };
        match across(call, reason, end, side) {
            Across::HangUp(headers) => self.hidden(id, end, &headers),
            _ => Headers::new(),
        }
    }

    /// Both calls are over: legs and ports are given back, and the story is told.
    pub(super) fn close(&mut self, id: PassageId, now: Instant) {
        let Some(mut passage) = self.passages.remove(&id) else { return };
        self.attempts.remove(&id);
        let mut legs = 0;
        for end in End::BOTH {
            if let Some(media) = passage.leg_mut(end).media.take() {
                self.by_leg.remove(&media.id);
                self.closing.insert(media.id, Closing { ports: media.ports, of: (id, end) });
                self.tell_media(MediaCommand::Close { leg: media.id });
                legs += 1;
            }
        }
        let lasted = now.saturating_duration_since(passage.evidence.began());
        let story = Story { evidence: passage.evidence, lasted, legs };
        if legs > 0 {
            self.stories.insert(id, story);
        } else {
            self.tell(id, story);
        }
    }

    /// What is told of a leg that is being closed. With the last of them the story of the call is whole.
    pub(super) fn on_last_words(&mut self, leg: LegId, event: &bridge::Event, now: Instant) {
        let (fact, is_closed) = match event {
            bridge::Event::PathFailed { pairs, .. } => (Some(Fact::no_path(pairs)), false),
            bridge::Event::Closed { report, .. } => (Some(Fact::of_report(report)), true),
            bridge::Event::OpenFailed { .. } => (None, true),
            _ => return,
        };
        let Some(&Closing { ports, of: (id, end) }) = self.closing.get(&leg) else { return };
        if is_closed {
            self.closing.remove(&leg);
            self.pool.release_pair(ports);
        }
        let Some(story) = self.stories.get_mut(&id) else { return };
        if let Some(fact) = fact {
            story.evidence.add(Some(leaf(end)), fact, now);
        }
        story.legs = story.legs.saturating_sub(usize::from(is_closed));
        if story.legs == 0
            && let Some(story) = self.stories.remove(&id)
        {
            self.tell(id, story);
        }
    }

    fn tell(&mut self, id: PassageId, story: Story) {
        self.line(format!("{id}: over after {} s", story.lasted.as_secs()));
        for finding in story.evidence.findings() {
            self.line(format!("{id}: {finding}"));
        }
        self.outputs.push_back(Output::Event(Event::Ended(Box::new(story.evidence))));
    }
}

/// What an end of one leg means for the other.
fn across(call: CallHandle, reason: &CallEnd, end: End, to: &crate::config::Side) -> Across {
    let event = SipEvent::CallEnded { call, reason: reason.clone() };
    b2bua::across(&event, end == End::Caller, &rules(to))
}

/// Why it ended, for a guest.
fn sentence_of(reply: &Reply, reason: &CallEnd) -> String {
    match reason {
        CallEnd::HungUp { .. } => "hung up".to_owned(),
        _ => {
            let phrase = reply.reason.as_deref().unwrap_or(reply.status.reason());
            format!("{} {phrase}", reply.status.code())
        }
    }
}

fn cause(reason: &CallEnd) -> (Who, EndCause) {
    let who = |by: &By| match by {
        By::Local => Who::Here,
        By::Remote => Who::Peer,
    };
    match reason {
        CallEnd::HungUp { by, .. } => (who(by), EndCause::HungUp),
        CallEnd::Cancelled { by, .. } => (who(by), EndCause::Cancelled),
        CallEnd::Refused { response } => (Who::Peer, EndCause::Refused(response.status().code())),
        CallEnd::NotAuthenticated { response, .. } => {
            (Who::Peer, EndCause::Refused(response.status().code()))
        }
        CallEnd::NoSession { .. } => (Who::Here, EndCause::Refused(488)),
        CallEnd::RefusedHere(status) => (Who::Here, EndCause::Refused(status.code())),
        CallEnd::NotAnswered => (Who::Here, EndCause::NoAnswer),
        CallEnd::NotAcknowledged => (Who::Here, EndCause::Unconfirmed),
        CallEnd::SessionExpired => (Who::Here, EndCause::SessionExpired),
        CallEnd::Unreachable(_) => (Who::Here, EndCause::Unanswered),
        CallEnd::ShutDown => (Who::Here, EndCause::ShutDown),
        _ => (Who::Here, EndCause::TransportFailed),
    }
}
