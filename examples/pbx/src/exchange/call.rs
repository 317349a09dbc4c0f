//! One call through the exchange: the caller's leg, a leg for each telephone that is tried, and the way from the INVITE to
//! the record.
//!
//! Both sides are calls of their own (a back-to-back user agent): each has its own description and its own ports, and
//! nothing of one side's addresses reaches the other. The caller's description is answered only when the codec of the
//! callee is known, so that nothing has to be converted where both have a codec in common. Changes during the call are in
//! [`modify`](super::modify).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use denwa::bridge::{Command, Connection, LegId, Source};
use denwa::evidence::{Evidence, Fact, RouteUse, Side as EvidenceSide};
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{
    Binding, Body, By, CallEnd, CallHandle, CallOptions, Event as Sip, Flow, Headers, Party, PlaceCall,
    Reply, Target,
};
use denwa_sip_core::message::{Response, UriBuf};
use denwa_sip_core::{HeaderName, Protocol};

use super::Event;
use super::desk::Desk;
use super::facts;
use super::invitation::{CallerKind, Invitation, whence};
use super::leg::Leg;
use super::modify::Change;
use super::whereabouts::{NoWay, Way};
use crate::config::Codec;
use crate::route::Destination;
use crate::services::Service;
use crate::store::CallRecord;
use crate::why::{End, Side};

/// Facts kept of one call.
const MOST_FACTS: usize = 64;

/// How long an ended call may take to be acknowledged by both sides and the media before it is given up.
const ENDING: Duration = Duration::from_secs(70);

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) caller: Leg,
    pub(super) forks: Vec<Fork>,
    /// The fork that answered.
    pub(super) winner: Option<usize>,
    pub(super) stage: Stage,
    /// A change that was passed on to the other side and not answered yet.
    pub(super) change: Option<Change>,
    pub(super) evidence: Evidence,
    invitation: Invitation,
    reaches: Destination,
    /// Telephones to be tried once the way to them is known.
    planned: Vec<Planned>,
    /// The fork that the caller hears.
    heard: Option<usize>,
    /// The caller's INVITE had no offer: ours goes out with the answer.
    offer_is_ours: bool,
    /// What the caller was answered, in a provisional response or the final one.
    described: Option<Bytes>,
    began: Instant,
    answered: Option<Instant>,
    rang: bool,
    deadline: Option<Instant>,
    end: Option<End>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The caller's offer is awaited; it comes with the INVITE.
    Offered,
    /// The other side is tried.
    Calling,
    /// It is up.
    Talking,
    /// It is over; both sides and the media are being told.
    Ending,
}

/// One telephone that is tried.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) leg: Leg,
    plan: Planned,
    /// The negotiator as it was when the offer went out: an answer in a provisional response may differ from the last.
    offered: Option<denwa_sdp::Negotiator>,
    placed_at: Option<Instant>,
    outcome: Option<End>,
}

/// Where a telephone or a neighbour is called.
#[derive(Clone, Debug)]
struct Planned {
    /// For people, as `1002`.
    who: String,
    peer: SocketAddr,
    protocol: Protocol,
    flow: Option<Flow>,
    request_uri: UriBuf,
    to: UriBuf,
    target: Target,
    routes: Vec<String>,
    codecs: Vec<Codec>,
}

impl Call {
    /// Takes a call whose caller is known and whose caller's route is known; `Err` with what it is refused for.
    // The refused invitation goes back by value: it is answered at once, and no box is worth that.
    #[allow(clippy::result_large_err)]
    pub(super) fn begin(
        desk: &mut Desk,
        invitation: Invitation,
        reaches: Destination,
    ) -> Result<Self, Box<(Invitation, End)>> {
        let planned = match planned(desk, &invitation, &reaches) {
            Ok(planned) => planned,
            Err(end) => return Err(Box::new((invitation, end))),
        };
        let place = match desk.place_of(invitation.flow.remote.ip()) {
            Some(Ok(place)) => place,
            Some(Err(NoWay)) | None => {
                let to = invitation.flow.remote.ip().to_string();
                return Err(Box::new((invitation, End::NoRoute { to })));
            }
        };
        let number = desk.new_call();
        let flow = invitation.flow;
        let label = format!("{} at {}", invitation.caller.number, whence(flow.protocol, flow.remote));
        let codecs = invitation.caller.codecs.clone();
        let mut caller = match Leg::open(desk, number, label, flow.remote, place, codecs) {
            Ok(leg) => leg,
            Err(end) => return Err(Box::new((invitation, end))),
        };
        let identity = desk.identity(&invitation.dialled, &caller.place, flow.protocol, Some(flow));
        let options = CallOptions { ring_timeout: None, ..CallOptions::default() };
        match desk.endpoint.accept_call(invitation.request, &identity, options, desk.now) {
            Ok(handle) => {
                desk.hold_handle(handle, number);
                caller.handle = Some(handle);
            }
            // The caller has gone already: the legs wind down by themselves.
            Err(_) => caller.close(desk),
        }
        let mut evidence = Evidence::new(format!("call {number}"), MOST_FACTS, desk.now);
        let side = Some(EvidenceSide::FIRST);
        evidence.add(side, Fact::Received(facts::request(&invitation.message, &flow)), desk.now);
        evidence.add(side, facts::told(flow.remote.ip(), &caller.place), desk.now);
        desk.tell(Event::CallBegan {
            call: number,
            caller: invitation.caller.described(&flow),
            dialled: invitation.dialled.clone(),
            reaches: described(&reaches),
        });
        let stage = if caller.handle.is_some() { Stage::Offered } else { Stage::Ending };
        let end = (stage == Stage::Ending).then_some(End::CallerGaveUp);
        Ok(Self {
            number,
            caller,
            forks: Vec::new(),
            winner: None,
            stage,
            change: None,
            evidence,
            invitation,
            reaches,
            planned,
            heard: None,
            offer_is_ours: false,
            described: None,
            began: desk.now,
            answered: None,
            rang: false,
            deadline: None,
            end,
        })
    }

    /// When [`on_deadline`](Self::on_deadline) is wanted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether nothing more will be heard of it; then [`record`](Self::record) is due.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Ending
            && self.caller.is_over()
            && self.forks.iter().all(|fork| fork.leg.is_over())
    }

    /// Something the endpoint said about one of its calls.
    pub(super) fn on_sip(&mut self, desk: &mut Desk, handle: CallHandle, event: Sip) {
        let Some(which) = self.which(handle) else { return };
        match event {
            Sip::CallEnded { reason, .. } => {
                desk.drop_handle(handle);
                match which {
                    Which::Caller => self.caller_ended(desk, reason),
                    Which::Fork(index) => self.fork_ended(desk, index, reason),
                }
            }
            // After its end only the ends of its legs matter.
            _ if self.stage == Stage::Ending => {}
            Sip::OfferReceived { body, .. } if self.stage == Stage::Offered => {
                self.offer_received(desk, &body.bytes)
            }
            Sip::OfferRequested { .. } if self.stage == Stage::Offered => {
                self.offer_is_ours = true;
                self.reach(desk);
            }
            Sip::OfferReceived { body, .. } => self.change_offered(desk, which, &body.bytes),
            Sip::OfferRequested { .. } => self.change_requested(desk, which),
            Sip::OfferAborted { reason, .. } => self.change_aborted(desk, which, &reason),
            Sip::AnswerReceived { body, preview, .. } => match which {
                Which::Fork(index) if self.stage == Stage::Calling => {
                    self.fork_described(desk, index, &body.bytes, preview);
                }
                Which::Caller if self.stage == Stage::Talking && !self.is_configured(which) => {
                    self.late_answer(desk, &body.bytes);
                }
                which => self.change_answered(desk, which, &body.bytes),
            },
            Sip::CallProgress { response, .. } => {
                if let Which::Fork(index) = which {
                    self.fork_progressed(desk, index, &response);
                }
            }
            Sip::CallAnswered { response, .. } => {
                if let Which::Fork(index) = which {
                    self.fork_answered(desk, index, &response);
                }
            }
            Sip::DialogRequest { request, message, .. } => self.pass_request(desk, which, request, &message),
            _ => {}
        }
    }

    /// The way to a peer became known.
    pub(super) fn on_route(&mut self, desk: &mut Desk) {
        if self.stage == Stage::Calling {
            self.try_planned(desk);
        }
    }

    /// A deadline has come.
    pub(super) fn on_deadline(&mut self, desk: &mut Desk) {
        if self.deadline.is_none_or(|deadline| deadline > desk.now) {
            return;
        }
        self.deadline = None;
        match self.stage {
            Stage::Calling => self.end(desk, End::NoAnswer { after: desk.setup.ring }),
            Stage::Ending => {
                // One of the layers below never said its last word. Nothing may hold a call for ever.
                for leg in self.legs_mut() {
                    if let Some(handle) = leg.handle.take() {
                        desk.drop_handle(handle);
                    }
                    leg.closed(desk);
                }
            }
            Stage::Offered | Stage::Talking => {}
        }
    }

    /// Ends the call, for this reason unless there was one before.
    pub(super) fn end(&mut self, desk: &mut Desk, end: End) {
        if self.stage == Stage::Ending {
            return;
        }
        self.stage = Stage::Ending;
        self.deadline = desk.now.checked_add(ENDING);
        self.planned.clear();
        let reason = reason_header(&end);
        if let Some(handle) = self.caller.handle {
            // A handle whose end is under way already refuses the command; its end comes as an event all the same.
            let _ = if self.answered.is_some() {
                desk.endpoint.hang_up(handle, &reason, desk.now)
            } else {
                desk.endpoint.refuse(handle, &refusal(&end), desk.now)
            };
        }
        for fork in &self.forks {
            if let Some(handle) = fork.leg.handle {
                let _ = desk.endpoint.hang_up(handle, &reason, desk.now);
            }
        }
        self.end = Some(end);
        for leg in self.legs_mut() {
            leg.close(desk);
        }
    }

    /// The record of a call that is over.
    pub(super) fn record(&mut self, desk: &Desk) -> CallRecord {
        let end = self.end.clone().unwrap_or(End::HungUp(Side::Caller));
        let answered = self.answered.is_some();
        let cause = crate::why::explain(&end, answered, &self.evidence);
        let codecs: Vec<&str> = std::iter::once(&self.caller)
            .chain(self.winner.and_then(|index| self.forks.get(index)).map(|fork| &fork.leg))
            .filter_map(|leg| leg.codec.as_deref())
            .collect();
        CallRecord {
            call: i64::try_from(self.number).unwrap_or(0),
            began_at: desk.time_of_day(self.began),
            answered_at: self.answered.map(|at| desk.time_of_day(at)),
            ended_at: desk.time_of_day(desk.now),
            caller: self.invitation.caller.number.clone(),
            caller_side: self.invitation.caller.side(),
            dialled: self.invitation.dialled.clone(),
            callee_side: described(&self.reaches),
            outcome: end.outcome(answered),
            status: if answered { 200 } else { end.status() },
            cause: cause.as_ref().map(|cause| cause.sentence.clone()).unwrap_or_default(),
            remedy: cause.map(|cause| cause.remedy).unwrap_or_default(),
            codec: codecs.join("/"),
            evidence: facts::lines(&self.evidence),
        }
    }

    // -- the caller's side

    fn offer_received(&mut self, desk: &mut Desk, offer: &[u8]) {
        self.evidence.add(Some(EvidenceSide::FIRST), facts::described_by_peer(offer), desk.now);
        if let Err(error) = self.caller.receive_offer(offer) {
            return self.end(desk, media_refused(&error, Side::Caller));
        }
        // Before anything rings: could this offer be answered at all?
        match self.caller.common_codecs() {
            Ok(_) => self.reach(desk),
            Err(error) => self.end(desk, media_refused(&error, Side::Caller)),
        }
    }

    /// The caller may go on: call the telephones, or answer for a service.
    fn reach(&mut self, desk: &mut Desk) {
        self.stage = Stage::Calling;
        if let Destination::Service(_) = self.reaches {
            return self.serve(desk);
        }
        self.deadline = desk.now.checked_add(desk.setup.ring);
        self.try_planned(desk);
    }

    /// Answers for a service as soon as the caller's ports are open.
    fn serve(&mut self, desk: &mut Desk) {
        let Destination::Service(service) = self.reaches else { return };
        if self.stage != Stage::Calling || !self.caller.is_open() || !self.answer_caller(desk) {
            return;
        }
        let source = match service {
            Service::Milliwatt => Source::MILLIWATT,
            Service::Echo => Source::Echo,
        };
        desk.media(Command::Connect { leg: self.caller.id(), to: Connection::Source(source) });
        self.tell_answered(desk, service.to_string());
    }

    /// Sends the caller the 200 with his answer, or with our offer. `false` when the call ended over it.
    fn answer_caller(&mut self, desk: &mut Desk) -> bool {
        let body = if self.offer_is_ours {
            self.caller.negotiator.offer().map_err(|error| error.to_string())
        } else {
            self.caller_answer().map_err(|error| error.to_string())
        };
        let (Some(handle), Ok(body)) = (self.caller.handle, body) else {
            self.end(
                desk,
                End::PeerVanished { side: Side::Caller, what: "it had no call any more".to_owned() },
            );
            return false;
        };
        let reply = Reply::new(StatusCode::OK).with_body(Body::sdp(body));
        if desk.endpoint.answer(handle, &reply, desk.now).is_err() {
            // He cancelled, and the event about it is on its way.
            return false;
        }
        self.answered = Some(desk.now);
        self.stage = Stage::Talking;
        self.deadline = None;
        if !self.offer_is_ours && self.caller.configure(desk).is_err() {
            self.end(desk, no_session(Side::Caller));
            return false;
        }
        true
    }

    /// The answer to the caller's offer; the same each time once it was made.
    fn caller_answer(&mut self) -> Result<Bytes, denwa_sdp::OfferError> {
        if let Some(described) = &self.described {
            return Ok(described.clone());
        }
        let answer = self.caller.negotiator.make_answer()?;
        self.described = Some(answer.clone());
        Ok(answer)
    }

    /// The answer to our offer in the 200 came with the caller's ACK.
    fn late_answer(&mut self, desk: &mut Desk, answer: &[u8]) {
        self.evidence.add(Some(EvidenceSide::FIRST), facts::described_by_peer(answer), desk.now);
        let agreed = self.caller.negotiator.accept_answer(answer).map(|_| ());
        if let Err(error) = agreed {
            return self.end(desk, media_refused(&error, Side::Caller));
        }
        if self.caller.configure(desk).is_err() {
            self.end(desk, no_session(Side::Caller));
        }
    }

    fn caller_ended(&mut self, desk: &mut Desk, reason: CallEnd) {
        self.caller.handle = None;
        let end = match reason {
            CallEnd::HungUp { by: By::Remote, .. } => End::HungUp(Side::Caller),
            CallEnd::Cancelled { .. } => End::CallerGaveUp,
            reason => vanished(Side::Caller, &reason),
        };
        self.end(desk, end);
        self.caller.close(desk);
    }

    // -- the callee's side

    /// Opens legs for the telephones to which the way is known; those to which it is not are asked for.
    fn try_planned(&mut self, desk: &mut Desk) {
        let mut waiting = Vec::new();
        for plan in std::mem::take(&mut self.planned) {
            match desk.place_of(plan.peer.ip()) {
                None => waiting.push(plan),
                Some(Err(NoWay)) => self.fork_impossible(desk, plan),
                Some(Ok(place)) => {
                    let label = format!("{} at {}", plan.who, whence(plan.protocol, plan.peer));
                    match Leg::open(desk, self.number, label, plan.peer, place, plan.codecs.clone()) {
                        Ok(leg) => {
                            let side = fork_side(self.forks.len());
                            self.evidence.add(side, facts::told(plan.peer.ip(), &leg.place), desk.now);
                            self.forks.push(Fork {
                                leg,
                                plan,
                                offered: None,
                                placed_at: None,
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

    fn fork_impossible(&mut self, desk: &mut Desk, plan: Planned) {
        if self.planned.is_empty() && self.forks.is_empty() {
            let to = plan.peer.ip().to_string();
            self.end(desk, End::NoRoute { to });
        }
    }

    /// Sends the INVITE to a telephone once its ports and the caller's are open.
    fn place(&mut self, desk: &mut Desk, index: usize) {
        let is_open = |fork: &Fork| fork.leg.is_open() && fork.placed_at.is_none();
        if self.stage != Stage::Calling
            || !self.caller.is_open()
            || !self.forks.get(index).is_some_and(is_open)
        {
            return;
        }
        let wished =
            if self.offer_is_ours { Vec::new() } else { self.caller.common_codecs().unwrap_or_default() };
        let Some(fork) = self.forks.get_mut(index) else { return };
        fork.leg.prefer(&wished);
        let Ok(offer) = fork.leg.negotiator.offer() else { return };
        fork.offered = Some(fork.leg.negotiator.fork());
        let invite = invite(desk, &self.invitation, &fork.plan, &fork.leg, offer.clone());
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

    fn fork_progressed(&mut self, desk: &mut Desk, index: usize, response: &Response) {
        let Some(fork) = self.forks.get(index) else { return };
        self.evidence.add(
            fork_side(index),
            Fact::Received(facts::response(response, "INVITE", fork.leg.peer)),
            desk.now,
        );
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

    fn ring(&mut self, desk: &mut Desk, index: usize, reply: Reply) {
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
    fn fork_described(&mut self, desk: &mut Desk, index: usize, answer: &[u8], preview: bool) {
        self.evidence.add(fork_side(index), facts::described_by_peer(answer), desk.now);
        let Some(fork) = self.forks.get_mut(index) else { return };
        if let Some(offered) = &mut fork.offered {
            fork.leg.negotiator = offered.fork();
        }
        if let Err(error) = fork.leg.negotiator.accept_answer(answer).map(|_| ()) {
            if preview {
                return;
            }
            let end = media_refused(&error, Side::Callee);
            return self.end(desk, end);
        }
        if fork.leg.configure(desk).is_err() {
            if !preview {
                self.end(desk, no_session(Side::Callee));
            }
            return;
        }
        if preview && self.heard.is_none_or(|heard| heard == index) {
            self.early_media(desk, index);
        }
    }

    /// Lets the caller hear what the telephone or the network behind the trunk says before the answer.
    fn early_media(&mut self, desk: &mut Desk, index: usize) {
        self.heard = Some(index);
        if self.offer_is_ours {
            // Our offer may not travel in an unreliable response (RFC 3261 section 13.2.1): he hears a bell only.
            return self.ring(desk, index, Reply::new(StatusCode::RINGING));
        }
        self.prefer_codec_of(index);
        let Ok(answer) = self.caller_answer() else { return };
        if self.caller.configure(desk).is_err() {
            return;
        }
        self.join(desk, index);
        let reply = Reply::new(StatusCode::SESSION_PROGRESS).with_body(Body::sdp(answer));
        self.ring(desk, index, reply);
    }

    fn fork_answered(&mut self, desk: &mut Desk, index: usize, response: &Response) {
        let Some(fork) = self.forks.get(index) else { return };
        self.evidence.add(
            fork_side(index),
            Fact::Received(facts::response(response, "INVITE", fork.leg.peer)),
            desk.now,
        );
        if self.stage != Stage::Calling {
            return;
        }
        if fork.leg.codec.is_none() {
            return self.end(desk, no_session(Side::Callee));
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
        self.prefer_codec_of(index);
        if !self.answer_caller(desk) {
            return;
        }
        self.join(desk, index);
        let label = self.forks.get(index).map(|fork| fork.leg.label.clone()).unwrap_or_default();
        self.tell_answered(desk, label);
    }

    fn prefer_codec_of(&mut self, index: usize) {
        if self.described.is_none()
            && !self.offer_is_ours
            && let Some(codec) = self.forks.get(index).and_then(|fork| fork.leg.codec.clone())
        {
            self.caller.prefer(&[codec]);
        }
    }

    fn join(&mut self, desk: &mut Desk, index: usize) {
        self.heard = Some(index);
        if let Some(fork) = self.forks.get(index) {
            desk.media(Command::Connect { leg: self.caller.id(), to: Connection::Leg(fork.leg.id()) });
        }
    }

    fn tell_answered(&mut self, desk: &mut Desk, callee: String) {
        let codecs: Vec<&str> = std::iter::once(&self.caller)
            .chain(self.winner.and_then(|index| self.forks.get(index)).map(|fork| &fork.leg))
            .filter_map(|leg| leg.codec.as_deref())
            .collect();
        let codec = codecs.join("/");
        let after = desk.now.saturating_duration_since(self.began);
        desk.tell(Event::CallAnswered { call: self.number, callee, codec, after });
    }

    fn fork_ended(&mut self, desk: &mut Desk, index: usize, reason: CallEnd) {
        let Some(fork) = self.forks.get_mut(index) else { return };
        fork.leg.handle = None;
        fork.leg.close(desk);
        if let CallEnd::Refused { response } | CallEnd::NotAuthenticated { response, .. } = &reason {
            let head = facts::response(response, "INVITE", fork.leg.peer);
            self.evidence.add(fork_side(index), Fact::Received(head), desk.now);
        }
        if self.stage == Stage::Ending {
            return;
        }
        if self.winner == Some(index) {
            let end = match reason {
                CallEnd::HungUp { by: By::Remote, .. } => End::HungUp(Side::Callee),
                reason => vanished(Side::Callee, &reason),
            };
            return self.end(desk, end);
        }
        let outcome = fork.failure(&reason);
        // RFC 3261 section 16.7: a 6xx speaks for all telephones of the callee.
        let speaks_for_all = matches!(outcome, End::Declined { .. });
        fork.outcome = Some(outcome.clone());
        if speaks_for_all {
            return self.end(desk, outcome);
        }
        self.give_up_if_all_failed(desk);
    }

    fn give_up_if_all_failed(&mut self, desk: &mut Desk) {
        if self.stage != Stage::Calling || !self.planned.is_empty() || self.winner.is_some() {
            return;
        }
        let outcomes: Option<Vec<&End>> = self.forks.iter().map(|fork| fork.outcome.as_ref()).collect();
        if let Some(best) =
            outcomes.and_then(|outcomes| outcomes.into_iter().max_by_key(|end| telling(end))).cloned()
        {
            self.end(desk, best);
        }
    }

    // -- media

    /// Something the media side said about one of the legs.
    pub(super) fn on_media(&mut self, desk: &mut Desk, event: denwa::bridge::Event) {
        use denwa::bridge::Event as Media;
        let Some(which) = self.which_leg(event.leg()) else { return };
        let side = which.evidence_side();
        let number = self.number;
        let now = desk.now;
        let Some(leg) = self.leg_mut(which) else { return };
        match event {
            Media::Opened { .. } => {
                leg.opened();
                let fact = facts::media_opened(leg);
                self.evidence.add(side, fact, now);
                self.opened(desk, which);
            }
            Media::OpenFailed { reason, .. } => {
                let reason = reason.to_string();
                let result = leg.open_failed(desk, number, &reason);
                // The next pair is tried; a port that another program has is nothing to tell.
                if let Err(end) = result {
                    self.evidence.add(side, Fact::MediaNotOpened { why: reason }, now);
                    self.end(desk, end);
                }
            }
            Media::FirstPacket { from, expected, .. } => {
                leg.heard_from = Some(from);
                self.evidence.add(side, Fact::FirstPacket { from, expected }, now);
            }
            Media::SourceMoved { from, to, .. } => {
                leg.heard_from = Some(to);
                self.evidence.add(side, Fact::SourceMoved { from, to }, now);
            }
            Media::SourceRefused { from, .. } => self.evidence.add(side, Fact::SourceRefused { from }, now),
            Media::NoConversion { from, to, .. } => {
                self.evidence.add(side, Fact::TranscoderMissing { from, to }, now);
            }
            Media::Silent { lasted, .. } => {
                let at = leg.heard_from.or(leg.expected).unwrap_or(leg.peer).to_string();
                let never_came = leg.heard_from.is_none();
                self.evidence.add(side, Fact::Silent { lasted }, now);
                if self.stage == Stage::Talking {
                    self.end(desk, End::Silent { side: which.side(), at, since: lasted, never_came });
                }
            }
            Media::Resumed { .. } => self.evidence.add(side, Fact::Resumed, now),
            Media::Report { report, .. } => self.evidence.add(side, Fact::Counters(report.counters), now),
            Media::Closed { report, .. } => {
                leg.closed(desk);
                self.evidence.add(side, Fact::Counters(report.counters), now);
            }
            _ => {}
        }
    }

    /// The way to the address of a leg's description became known.
    pub(super) fn on_media_route(&mut self, desk: &mut Desk, leg: LegId, address: IpAddr, way: Option<&Way>) {
        let Some(which) = self.which_leg(leg).filter(|_| self.stage != Stage::Ending) else { return };
        let side = which.evidence_side();
        let routed = Fact::Routed {
            route: RouteUse::Media,
            destination: address,
            local: way.map(|way| way.local),
            interface: way.filter(|way| !way.interface.is_empty()).map(|way| way.interface.to_string()),
        };
        self.evidence.add(side, routed, desk.now);
        let redirected = self.leg_mut(which).and_then(|leg| leg.media_routed(desk, address, way));
        if let Some(fact) = redirected {
            self.evidence.add(side, fact, desk.now);
        }
    }

    fn opened(&mut self, desk: &mut Desk, which: Which) {
        match which {
            _ if self.stage == Stage::Ending => {}
            Which::Caller => {
                self.serve(desk);
                for index in 0..self.forks.len() {
                    self.place(desk, index);
                }
            }
            Which::Fork(index) => self.place(desk, index),
        }
    }

    // -- who is who

    pub(super) fn leg_mut(&mut self, which: Which) -> Option<&mut Leg> {
        match which {
            Which::Caller => Some(&mut self.caller),
            Which::Fork(index) => self.forks.get_mut(index).map(|fork| &mut fork.leg),
        }
    }

    /// The leg that is joined to this one.
    pub(super) fn other(&self, which: Which) -> Option<Which> {
        match which {
            Which::Caller => self.winner.map(Which::Fork),
            Which::Fork(index) => (self.winner == Some(index)).then_some(Which::Caller),
        }
    }

    pub(super) fn legs_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        std::iter::once(&mut self.caller).chain(self.forks.iter_mut().map(|fork| &mut fork.leg))
    }

    fn is_configured(&mut self, which: Which) -> bool {
        self.leg_mut(which).is_some_and(|leg| leg.codec.is_some())
    }

    fn which(&self, handle: CallHandle) -> Option<Which> {
        if self.caller.handle == Some(handle) {
            return Some(Which::Caller);
        }
        self.forks.iter().position(|fork| fork.leg.handle == Some(handle)).map(Which::Fork)
    }

    fn which_leg(&self, leg: LegId) -> Option<Which> {
        if self.caller.id() == leg {
            return Some(Which::Caller);
        }
        self.forks.iter().position(|fork| fork.leg.id() == leg).map(Which::Fork)
    }
}

/// One of the legs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Caller,
    Fork(usize),
}

impl Which {
    pub(super) fn side(self) -> Side {
        match self {
            Self::Caller => Side::Caller,
            Self::Fork(_) => Side::Callee,
        }
    }

    pub(super) fn evidence_side(self) -> Option<EvidenceSide> {
        match self {
            Self::Caller => Some(EvidenceSide::FIRST),
            Self::Fork(index) => fork_side(index),
        }
    }
}

impl Fork {
    /// What it means that this telephone's call ended before it answered.
    fn failure(&mut self, reason: &CallEnd) -> End {
        let plan = &self.plan;
        let who = || plan.who.clone();
        let to = || whence(plan.protocol, plan.peer);
        match reason {
            CallEnd::Refused { response } => match response.status().code() {
                486 | 600 => End::Busy { who: who() },
                603 | 607 => End::Declined { who: who() },
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

/// How much an outcome tells: of several telephones, the most telling one is what the caller hears.
fn telling(end: &End) -> u8 {
    match end {
        End::Declined { .. } => 6,
        End::Busy { .. } => 5,
        End::MediaRefused { .. } => 4,
        End::Refused { .. } => 3,
        End::NoAnswer { .. } => 2,
        _ => 1,
    }
}

fn fork_side(index: usize) -> Option<EvidenceSide> {
    Some(EvidenceSide(u16::try_from(index).unwrap_or(u16::MAX - 1) + 1))
}

impl Planned {
    /// A registered telephone: on the flow its REGISTER came on, for that is where it is, whatever its Contact says. A
    /// connection that an earlier run of the program had is gone; then the Contact is all there is.
    fn binding(number: &str, binding: &Binding, desk: &Desk, codecs: &[Codec]) -> Self {
        let flow = binding.flow;
        let (target, flow) = match (flow.protocol.is_stream(), flow.stream) {
            (true, None) => (Target::Uri(binding.contact.clone()), None),
            (false, _) if !desk.listens_at(flow.protocol, flow.local) => {
                (Target::address(flow.protocol, flow.remote), None)
            }
            _ => (Target::Flow(flow), Some(flow)),
        };
        Self {
            who: number.to_owned(),
            peer: binding.flow.remote,
            protocol: binding.flow.protocol,
            flow,
            request_uri: binding.contact.as_uri().for_request(),
            to: binding.contact.as_uri().for_request(),
            target,
            routes: binding.path.iter().map(ToString::to_string).collect(),
            codecs: codecs.to_vec(),
        }
    }
}

/// Whom to call for a number; `Err` when there is nobody.
fn planned(desk: &mut Desk, invitation: &Invitation, reaches: &Destination) -> Result<Vec<Planned>, End> {
    match reaches {
        Destination::Unknown => Err(End::UnknownNumber),
        Destination::Service(_) => Ok(Vec::new()),
        Destination::Extension(number) => {
            let codecs = desk.directory.get(number).map(|account| account.codecs.clone()).unwrap_or_default();
            let is_himself =
                invitation.caller.kind == CallerKind::Extension && invitation.caller.number == *number;
            let mut planned = Vec::new();
            for binding in desk.endpoint.bindings(number) {
                // A telephone that dials its own extension rings the others of it, not itself.
                if is_himself && binding.flow == invitation.flow {
                    continue;
                }
                planned.push(Planned::binding(number, binding, desk, &codecs));
            }
            match (planned.is_empty(), is_himself) {
                (false, _) => Ok(planned),
                (true, true) => Err(End::Busy { who: number.clone() }),
                (true, false) => Err(End::NotRegistered),
            }
        }
        Destination::Trunk { trunk, number } => {
            if let CallerKind::Trunk(from) = &invitation.caller.kind
                && desk.links.get(from).is_some_and(|link| !link.trunk.transit)
            {
                return Err(End::TransitNotAllowed { from: from.clone(), to: trunk.clone() });
            }
            let no_address = || End::TrunkHasNoAddress { trunk: trunk.clone() };
            let link = desk.links.get(trunk).ok_or_else(no_address)?;
            let peer = link.destination().ok_or_else(no_address)?;
            let protocol = link.trunk.address.protocol;
            let mut uri = UriBuf::at_address(number, peer);
            if protocol.is_stream() {
                uri = uri.with_param("transport", Some(protocol.uri_token()));
            }
            Ok(vec![Planned {
                who: format!("the trunk {trunk}"),
                peer,
                protocol,
                flow: None,
                request_uri: uri.clone(),
                to: uri,
                target: Target::Address { protocol, remote: peer, local: None },
                routes: Vec::new(),
                codecs: link.trunk.codecs.clone(),
            }])
        }
    }
}

/// The call to one telephone.
fn invite(desk: &Desk, invitation: &Invitation, plan: &Planned, leg: &Leg, offer: Bytes) -> PlaceCall {
    let caller = &invitation.caller;
    let identity = desk.identity(&caller.number, &leg.place, plan.protocol, plan.flow);
    let host =
        identity.advertised.as_ref().map_or_else(|| desk.setup.realm.clone(), |told| told.host.to_string());
    let uri = UriBuf::sip(&caller.number, host).build();
    let from = if caller.name.is_empty() { Party::new(uri) } else { Party::named(caller.name.clone(), uri) };
    let mut call = PlaceCall::new(from, Party::new(plan.to.clone()), plan.target.clone());
    call.request_uri = plan.request_uri.clone();
    call.routes = plan.routes.clone();
    call.local = identity;
    call.body = Some(Body::sdp(offer));
    let hops = invitation.message.max_forwards().ok().flatten().unwrap_or(70);
    call.options =
        CallOptions { ring_timeout: None, max_forwards: hops.saturating_sub(1), ..CallOptions::default() };
    call
}

/// What a number reaches, for people and the record.
pub(super) fn described(reaches: &Destination) -> String {
    match reaches {
        Destination::Service(service) => format!("service {service}"),
        Destination::Extension(number) => format!("extension {number}"),
        Destination::Trunk { trunk, .. } => format!("trunk {trunk}"),
        Destination::Unknown => "nothing".to_owned(),
    }
}

/// The final response that tells a caller why.
pub(super) fn refusal(end: &End) -> Reply {
    let status = StatusCode::new(end.status()).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
    let mut headers = reason_header(end);
    if let End::MediaRefused { warning: Some(warning), .. } = end {
        // The sentence is ours, and its quotes are escaped: nothing in it can be refused.
        let _ = headers.push("Warning", warning);
    }
    Reply::new(status).with_headers(headers)
}

/// RFC 3326: why, for the side that did not cause it.
fn reason_header(end: &End) -> Headers {
    let mut headers = Headers::new();
    let cause = match end {
        End::NoAnswer { .. } => Some((19, "No answer")),
        End::NotRegistered => Some((20, "Subscriber absent")),
        End::Silent { .. } => Some((102, "No voice packets")),
        End::ShutDown => Some((41, "The exchange is shut down")),
        _ => None,
    };
    if let Some((cause, text)) = cause {
        let _ = headers.push("Reason", format!("Q.850;cause={cause};text=\"{text}\""));
    }
    headers
}

pub(super) fn media_refused(error: &denwa_sdp::NegotiationError, whose: Side) -> End {
    End::MediaRefused { sentence: error.to_string(), warning: error.warning("pbx"), whose }
}

fn no_session(side: Side) -> End {
    End::MediaRefused {
        sentence: format!("{side} described no voice that could be used"),
        warning: None,
        whose: side,
    }
}

fn vanished(side: Side, reason: &CallEnd) -> End {
    match reason {
        CallEnd::ShutDown => End::ShutDown,
        CallEnd::HungUp { .. } => End::HungUp(side),
        reason => End::PeerVanished { side, what: facts::ended(reason) },
    }
}
