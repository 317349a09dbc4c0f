//! The callee's side of a call: every telephone that is tried, what each of them says, and which of them answers.

use std::time::Instant;

use denwa::bridge::{Command, Connection};
use denwa::evidence::{Fact, MessageHead};
use denwa_sip_core::endpoint::{Body, By, CallEnd, Headers, Reply};
use denwa_sip_core::message::Response;
use denwa_sip_core::{HeaderName, StatusCode};

use super::Event;
use super::call::{Call, Stage, Which, fork_side, media_refused, no_session, vanished};
use super::desk::Desk;
use super::facts;
use super::invitation::whence;
use super::leg::{Leg, Role};
use super::planned::{Planned, invite};
use super::reach::Attempt;
use super::refusing::spoken;
use super::whereabouts::NoWay;
use crate::config::EarlyMedia;
use crate::config::is_number;
use crate::why::{End, Side};

/// One telephone that is tried.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) leg: Leg,
    pub(super) plan: Planned,
    /// The negotiator as it was when the offer went out: an answer in a provisional response may differ from the last.
    pub(super) offered: Option<denwa_sdp::Negotiator>,
    pub(super) placed_at: Option<Instant>,
    /// The neighbour has said by P-Early-Media that nothing of its voice is to be heard before the answer.
    pub(super) is_gated: bool,
    pub(super) outcome: Option<End>,
}

impl Call {
    /// Begins an attempt: rings telephones, or answers for a service.
    pub(super) fn try_attempt(&mut self, desk: &mut Desk, attempt: Attempt) {
        self.first = self.forks.len();
        self.rings_until = None;
        self.rests = None;
        match attempt {
            Attempt::Ring(planned, ring) => {
                let patience = planned.first().and_then(|plan| plan.patience);
                let rest = planned.first().and_then(|plan| plan.rest);
                self.planned = planned;
                if let Some(rest) = rest {
                    self.deadline = desk.now.checked_add(rest);
                    self.rests = Some(ring);
                    return;
                }
                self.deadline = desk.now.checked_add(ring);
                if let Some(patience) = patience {
                    // Another way is tried when nothing at all is heard by this one.
                    self.rings_until = self.deadline;
                    self.deadline = desk.now.checked_add(patience);
                }
                self.try_planned(desk);
            }
            Attempt::Serve(serving) => {
                self.planned.clear();
                self.deadline = None;
                self.service = Some(serving);
                self.serve(desk);
            }
            Attempt::Announce(end) => self.announce_refusal(desk, end),
        }
    }

    /// Nobody took the call: whoever comes next is tried, or the caller hears why not.
    pub(super) fn attempt_failed(&mut self, desk: &mut Desk, end: End) {
        let caller = self.caller().clone();
        let Some(attempt) = self.reach.after(desk, &caller, &end) else {
            return if self.diverting {
                self.divert_failed(desk, end)
            } else if desk.setup.announcements && spoken(&end, desk).is_some() {
                self.hang_up_from(desk, self.first, None);
                self.announce_refusal(desk, end);
            } else {
                self.end(desk, end);
            };
        };
        let cause = end.cause().map(|cause| cause.sentence).unwrap_or_default();
        self.hang_up_from(desk, self.first, None);
        self.planned.clear();
        let to = match &attempt {
            Attempt::Ring(planned, _) => planned.first().map(|plan| plan.who.clone()).unwrap_or_default(),
            Attempt::Serve(serving) => serving.to_string(),
            Attempt::Announce(_) => String::new(),
        };
        desk.tell(Event::CallDiverted { call: self.number, to, cause });
        self.try_attempt(desk, attempt);
    }

    /// Opens legs for the telephones to which the way is known; those to which it is not are asked for.
    pub(super) fn try_planned(&mut self, desk: &mut Desk) {
        let mut waiting = Vec::new();
        for plan in std::mem::take(&mut self.planned) {
            match desk.place_of(plan.peer.ip()) {
                None => waiting.push(plan),
                Some(Err(NoWay)) => self.fork_impossible(desk, plan),
                Some(Ok(place)) => {
                    let label = format!("{} at {}", plan.who, whence(plan.protocol, plan.peer));
                    match Leg::open(
                        desk,
                        self.number,
                        Role::Offers,
                        label,
                        plan.peer,
                        place,
                        plan.voice.clone(),
                    ) {
                        Ok(leg) => {
                            let side = fork_side(self.forks.len());
                            self.evidence.add(side, facts::told(plan.peer.ip(), &leg.place), desk.now);
                            self.forks.push(Fork {
                                leg,
                                plan,
                                offered: None,
                                placed_at: None,
                                is_gated: false,
                                outcome: None,
                            });
                        }
                        Err(end) => return self.end(desk, end),
                    }
                }
            }
        }
        self.planned = waiting;
        self.give_up_if_all_failed(desk);
    }

    pub(super) fn fork_impossible(&mut self, desk: &mut Desk, plan: Planned) {
        if self.planned.is_empty() && self.forks.len() <= self.first {
            let to = plan.peer.ip().to_string();
            self.all_failed(desk, End::NoRoute { to });
        }
    }

    /// Sends the INVITE to a telephone once its ports and the caller's are open.
    pub(super) fn place(&mut self, desk: &mut Desk, index: usize) {
        let is_open = |fork: &Fork| fork.leg.is_open() && fork.placed_at.is_none();
        let caller_is_ready = self.is_own() || self.caller.is_open();
        if !self.is_tried(index) || !caller_is_ready || !self.forks.get(index).is_some_and(is_open) {
            return;
        }
        // Nothing is known of a caller who leaves the offer to us.
        let wished = match self.transfer_codecs() {
            Some(codecs) => Some(codecs),
            None if self.offer_is_ours && !self.diverting => None,
            None => {
                let known = self.caller.common.take().map(Ok);
                Some(known.unwrap_or_else(|| self.caller.common_codecs(desk)).unwrap_or_default())
            }
        };
        let caller = self.transfer.as_ref().map_or_else(|| self.caller(), |transfer| &transfer.stays).clone();
        let Some(fork) = self.forks.get_mut(index) else { return };
        if let Some(wished) = wished {
            // What both have passes untouched; anything else is transcoded.
            fork.leg.prefer(desk, &wished);
        }
        let Ok(offer) = fork.leg.negotiator.offer() else { return };
        fork.offered = Some(fork.leg.negotiator.fork());
        let invite = invite(desk, &caller, &self.journey, &fork.plan, &fork.leg, offer.clone());
        fork.leg.identity = invite.local.clone();
        let placed = desk.endpoint.place_call(invite, desk.now).ok();
        let side = fork_side(index);
        match placed {
            Some(handle) => {
                desk.hold_handle(handle, self.number);
                fork.leg.handle = Some(handle);
                fork.placed_at = Some(desk.now);
                let head = facts::invite_sent(fork.plan.protocol, fork.plan.peer);
                self.evidence.add(side, Fact::Sent(head), desk.now);
                self.evidence.add(side, facts::described_here(&offer), desk.now);
            }
            None => {
                let to = whence(fork.plan.protocol, fork.plan.peer);
                let reason = "this exchange has no socket for that transport".to_owned();
                fork.outcome = Some(End::Unreachable { to, reason });
                fork.leg.close(desk);
                self.give_up_if_all_failed(desk);
            }
        }
    }

    pub(super) fn fork_progressed(&mut self, desk: &mut Desk, index: usize, response: &Response) {
        let Some(fork) = self.forks.get(index) else { return };
        self.evidence.add(fork_side(index), Fact::Received(fork.head_of(response)), desk.now);
        if self.is_tried(index)
            && let Some(until) = self.rings_until.take()
        {
            self.deadline = Some(until);
        }
        if let Some(fork) = self.forks.get_mut(index)
            && let Some(allowed) = response.get("P-Early-Media")
        {
            // RFC 5009 section 8: the direction is the one that the network behind it allows towards us.
            fork.is_gated = !allowed.split(',').any(|word| matches!(word.trim(), "sendrecv" | "sendonly"));
        }
        if self.forks.get(index).is_some_and(|fork| fork.is_judged() && fork.leg.codec.is_some()) {
            return self.early_described(desk, index);
        }
        if self.transfer.is_some() {
            if self.is_tried(index) {
                self.transfer_rings(desk);
            }
            return;
        }
        // What has a description comes again as an answer, and rings then.
        if self.stage == Stage::Calling && response.body().is_empty() && self.described.is_none() {
            let status = response.status();
            if status == StatusCode::RINGING {
                self.ring(desk, index, Reply::new(status));
            } else if let Some(handle) = self.caller.handle {
                let _ = desk.endpoint.ring(handle, &Reply::new(status), desk.now);
            }
        }
    }

    pub(super) fn ring(&mut self, desk: &mut Desk, index: usize, reply: Reply) {
        if let Some(handle) = self.caller.handle {
            let _ = desk.endpoint.ring(handle, &reply, desk.now);
        }
        if !self.rang {
            self.rang = true;
            let callee = self.forks.get(index).map(|fork| fork.leg.label.clone()).unwrap_or_default();
            desk.tell(Event::CallRinging { call: self.number, callee });
        }
    }

    /// The telephone answered our offer, for good or for early media.
    pub(super) fn fork_described(&mut self, desk: &mut Desk, index: usize, answer: &[u8], preview: bool) {
        self.evidence.add(fork_side(index), facts::described_by_peer(answer), desk.now);
        let Some(fork) = self.forks.get_mut(index) else { return };
        if let Some(offered) = &mut fork.offered {
            fork.leg.negotiator = offered.fork();
        }
        if let Err(error) = fork.leg.negotiator.accept_answer(answer).map(|_| ()) {
            if preview {
                return;
            }
            return self.fork_unusable(desk, index, media_refused(&error, Side::Callee));
        }
        if fork.leg.configure(desk).is_err() {
            if !preview {
                self.fork_unusable(desk, index, no_session(Side::Callee));
            }
            return;
        }
        self.note_agreed(desk, Which::Fork(index));
        // Whether it may be heard the response itself says, which comes next.
        let is_judged = self.forks.get(index).is_some_and(|fork| fork.is_judged());
        if preview && !is_judged {
            self.early_described(desk, index);
        }
    }

    /// The telephone has described its voice before it answers.
    fn early_described(&mut self, desk: &mut Desk, index: usize) {
        if self.stage == Stage::Calling && self.heard.is_none_or(|heard| heard == index) {
            self.early_media(desk, index);
        }
    }

    /// Lets the caller hear what the telephone or the network behind the trunk says before the answer.
    pub(super) fn early_media(&mut self, desk: &mut Desk, index: usize) {
        let is_silent = self.forks.get(index).is_some_and(|fork| match fork.plan.terms.early_media {
            EarlyMedia::Heard => false,
            EarlyMedia::Authorised => fork.is_gated,
            EarlyMedia::Off => true,
        });
        if is_silent {
            return self.ring(desk, index, Reply::new(StatusCode::RINGING));
        }
        self.heard = Some(index);
        if self.offer_is_ours {
            // Our offer may not travel in an unreliable response (RFC 3261 section 13.2.1): he hears a bell only.
            return self.ring(desk, index, Reply::new(StatusCode::RINGING));
        }
        self.prefer_codec_of(desk, index);
        let Ok(answer) = self.caller_answer() else { return };
        if self.caller.configure(desk).is_err() {
            return;
        }
        self.join(desk, index);
        let reply = self.progress(answer);
        self.ring(desk, index, reply);
    }

    /// The provisional response that lets the caller hear something before the answer.
    pub(super) fn progress(&self, answer: bytes::Bytes) -> Reply {
        let reply = Reply::new(StatusCode::SESSION_PROGRESS).with_body(Body::sdp(answer));
        if !self.journey.asks_for_early_media() {
            return reply;
        }
        let allowed = Headers::new().with("P-Early-Media", "sendrecv");
        reply.with_headers(allowed.unwrap_or_default())
    }

    pub(super) fn fork_answered(&mut self, desk: &mut Desk, index: usize, response: &Response) {
        let Some(fork) = self.forks.get(index) else { return };
        self.evidence.add(fork_side(index), Fact::Received(fork.head_of(response)), desk.now);
        if !self.is_tried(index) || fork.outcome.is_some() {
            return;
        }
        if fork.leg.codec.is_none() {
            return self.fork_unusable(desk, index, no_session(Side::Callee));
        }
        if self.transfer.is_some() {
            return self.transfer_answered(desk, index);
        }
        if self.is_own() && self.answered.is_none() {
            return self.own_answered(desk, index);
        }
        self.winner = Some(index);
        self.planned.clear();
        let elsewhere = Headers::new()
            .with("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"")
            .unwrap_or_default();
        for (other, fork) in self.forks.iter_mut().enumerate() {
            if other == index {
                continue;
            }
            if let Some(handle) = fork.leg.handle {
                let _ = desk.endpoint.hang_up(handle, &elsewhere, desk.now);
            }
            fork.leg.close(desk);
        }
        if self.diverting {
            self.diverted(desk);
        } else {
            self.prefer_codec_of(desk, index);
            if !self.answer_caller(desk) {
                return;
            }
        }
        self.join(desk, index);
        self.record_if_wanted(desk);
        let label = self.forks.get(index).map(|fork| fork.leg.label.clone()).unwrap_or_default();
        self.tell_answered(desk, label);
    }

    pub(super) fn prefer_codec_of(&mut self, desk: &Desk, index: usize) {
        if self.described.is_none()
            && !self.offer_is_ours
            && let Some(codec) = self.forks.get(index).and_then(|fork| fork.leg.codec.clone())
        {
            self.caller.prefer(desk, &[codec]);
        }
    }

    pub(super) fn join(&mut self, desk: &mut Desk, index: usize) {
        self.heard = Some(index);
        if let Some(fork) = self.forks.get(index) {
            let legs = [self.caller.id(), fork.leg.id()];
            desk.media(Command::Connect { leg: legs[0], to: Connection::Leg(legs[1]) });
            if desk.setup.fax && !self.carries_data {
                legs.into_iter().for_each(|leg| desk.media(Command::WatchForData { leg, wanted: true }));
            }
        }
    }

    pub(super) fn tell_answered(&mut self, desk: &mut Desk, callee: String) {
        let codecs: Vec<&str> = std::iter::once(&self.caller)
            .chain(self.winner.and_then(|index| self.forks.get(index)).map(|fork| &fork.leg))
            .filter_map(|leg| leg.codec.as_deref())
            .collect();
        let codec = codecs.join("/");
        let after = desk.now.saturating_duration_since(self.began);
        desk.tell(Event::CallAnswered { call: self.number, callee, codec, after });
    }

    pub(super) fn fork_ended(&mut self, desk: &mut Desk, index: usize, reason: CallEnd) {
        let Some(fork) = self.forks.get_mut(index) else { return };
        fork.leg.handle = None;
        fork.leg.close(desk);
        if let CallEnd::Refused { response } | CallEnd::NotAuthenticated { response, .. } = &reason {
            let head = fork.head_of(response);
            self.evidence.add(fork_side(index), Fact::Received(head), desk.now);
        }
        if self.stage == Stage::Ending {
            return;
        }
        if self.winner == Some(index) {
            if self.left_transfer(Which::Fork(index)) {
                return;
            }
            let end = match reason {
                CallEnd::HungUp { by: By::Remote, .. } => End::HungUp(Side::Callee),
                reason => vanished(Side::Callee, &reason),
            };
            return self.end(desk, end);
        }
        let outcome = fork.failure(&reason);
        if !self.is_tried(index) {
            return;
        }
        // RFC 3261 section 16.7: a 6xx speaks for all telephones of the callee.
        let speaks_for_all = matches!(outcome, End::Declined { .. });
        if let Some(fork) = self.forks.get_mut(index) {
            fork.outcome.get_or_insert(outcome.clone());
        }
        if speaks_for_all {
            return self.all_failed(desk, outcome);
        }
        self.give_up_if_all_failed(desk);
    }

    pub(super) fn give_up_if_all_failed(&mut self, desk: &mut Desk) {
        if !self.is_reaching() || !self.planned.is_empty() {
            return;
        }
        let tried = self.forks.iter().skip(self.first);
        let outcomes: Option<Vec<&End>> = tried.map(|fork| fork.outcome.as_ref()).collect();
        if let Some(best) =
            outcomes.and_then(|outcomes| outcomes.into_iter().max_by_key(|end| telling(end))).cloned()
        {
            self.all_failed(desk, best);
        }
    }

    fn all_failed(&mut self, desk: &mut Desk, end: End) {
        if self.transfer.is_some() {
            self.transfer_failed(desk, end);
        } else {
            self.attempt_failed(desk, end);
        }
    }

    /// A telephone answered with something that voice cannot use: it is let go, and its call counts as failed.
    fn fork_unusable(&mut self, desk: &mut Desk, index: usize, end: End) {
        if let Some(fork) = self.forks.get_mut(index) {
            fork.outcome = Some(end);
            fork.leg.leave(desk);
        }
        self.give_up_if_all_failed(desk);
    }
}

impl Fork {
    /// Whether P-Early-Media decides what is heard of it before it answers.
    fn is_judged(&self) -> bool {
        self.plan.terms.early_media == EarlyMedia::Authorised
    }

    fn head_of(&self, response: &Response) -> MessageHead {
        let remote = Some(self.leg.peer);
        let protocol = self.plan.protocol.to_string();
        MessageHead { remote, protocol, ..MessageHead::of_response(response, None) }
    }

    /// What it means that this telephone's call ended before it answered.
    fn failure(&mut self, reason: &CallEnd) -> End {
        let plan = &self.plan;
        let who = || plan.who.clone();
        let to = || whence(plan.protocol, plan.peer);
        match reason {
            CallEnd::Refused { response } => match response.status().code() {
                486 | 600 => End::Busy { who: who() },
                603 | 607 => End::Declined { who: who() },
                300..=399 => moved_to(response).map_or_else(
                    || End::Refused {
                        who: self.leg.label.clone(),
                        status: response.status().code(),
                        reason: facts::phrase(response),
                    },
                    |to| End::Moved { who: who(), to },
                ),
                488 | 606 => {
                    let body = (!response.body().is_empty()).then(|| response.body());
                    let refused = self.leg.negotiator.refused(body, response.get(HeaderName::Warning));
                    let sentence = refused.as_ref().map_or_else(ToString::to_string, ToString::to_string);
                    let warning = refused.ok().map(|mismatch| mismatch.warning("pbx"));
                    End::MediaRefused { sentence, warning, whose: Side::Callee }
                }
                status => {
                    End::Refused { who: self.leg.label.clone(), status, reason: facts::phrase(response) }
                }
            },
            CallEnd::NotAuthenticated { response, .. } => End::Refused {
                who: self.leg.label.clone(),
                status: response.status().code(),
                reason: "it wants a password for calls to it".to_owned(),
            },
            CallEnd::Unreachable(failure) => match facts::unreachable(*failure) {
                None => End::NoReply { to: to() },
                Some(reason) => End::Unreachable { to: to(), reason },
            },
            CallEnd::NotAnswered => End::NoReply { to: to() },
            reason => End::Unreachable { to: to(), reason: facts::ended(reason) },
        }
    }
}

/// The number that a telephone's own forwarding names (RFC 3261 section 8.1.3.4): the user of its first Contact. Its host may be
/// anything, for telephones write their own; star codes are nobody's telephone.
fn moved_to(response: &Response) -> Option<String> {
    let contact = response.contact().ok().flatten()?;
    let user = contact.uri.user()?.split(';').next()?.to_owned();
    (is_number(&user) && !user.starts_with('*')).then_some(user)
}

/// How much an outcome tells: of several telephones, the most telling one is what the caller hears.
fn telling(end: &End) -> u8 {
    match end {
        End::Declined { .. } => 6,
        End::Busy { .. } => 5,
        End::MediaRefused { .. } => 4,
        End::Refused { .. } | End::Moved { .. } => 3,
        End::NoAnswer { .. } => 2,
        _ => 1,
    }
}
