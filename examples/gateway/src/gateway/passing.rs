//! What passes from the one leg to the other while a call is set up: progress, early media, the answer; and requests in it.

use super::admission::Refused;
use super::legs::prefer;
use super::offering::held;
use super::passage::{End, Link, PassageId};
use super::placing::rules;
use super::{Gateway, Told};
use denwa::bridge::{Command as MediaCommand, Connection, Program, Source};
use denwa::evidence::Fact;
use denwa_codecs::tone::plan::Plan;
use denwa_sdp::{Negotiator, State};
use denwa_sip_core::Misuse;
use denwa_sip_core::b2bua::{self, Across};
use denwa_sip_core::call::info::Digit;
use denwa_sip_core::call::offer_answer::Conflict;
use denwa_sip_core::endpoint::{Body, CallHandle, Event as SipEvent, Reply, RequestHandle};
use denwa_sip_core::message::{Request, Response};
use denwa_sip_core::{HeaderName, Method, StatusCode};
use std::time::Instant;

impl Gateway {
    pub(super) fn on_progress(&mut self, call: CallHandle, response: &Response, now: Instant) {
        let Some((id, End::Callee)) = self.by_call.get(&call).copied() else { return };
        self.note_response(id, response, now);
        let Some(passage) = self.passages.get(&id) else { return };
        let early = passage.callee.is_configured;
        match passage.caller.link {
            Link::Guest(guest) => {
                self.tell_guest(guest, Told::Ringing);
                if !early {
                    self.ring_back(id);
                }
            }
            Link::Call(caller) => {
                let mut reply = self.passed_on(id, response);
                let reliably = response.lists(HeaderName::Require, "100rel");
                if early && let Some(body) = self.caller_description(id, now) {
                    reply = reply.with_body(Body::sdp(body));
                }
                self.ring(id, caller, reply, reliably, now);
            }
            Link::None => {}
        }
    }

    /// Tells the caller how far it is, as reliably as the callee told us where the caller knows how.
    fn ring(&mut self, id: PassageId, caller: CallHandle, reply: Reply, reliably: bool, now: Instant) {
        if reliably && self.endpoint.ring_reliably(caller, &reply, now).is_ok() {
            return;
        }
        // It may have given up meanwhile. Who demands reliable responses and has offered nothing is to find an offer in the first
        // of them (RFC 3262 §5); the answer comes with its PRACK.
        if let Err(Misuse::OfferAnswer(Conflict::OfferDue)) = self.endpoint.ring(caller, &reply, now)
            && let Some(offer) = self.late_offer(id)
        {
            let _ = self.endpoint.ring(caller, &reply.with_body(Body::sdp(offer)), now);
        }
    }

    /// An offer for a caller who made none; again the same while it is not answered.
    fn late_offer(&mut self, id: PassageId) -> Option<bytes::Bytes> {
        let negotiator = self.passages.get_mut(&id)?.caller.negotiator.as_mut()?;
        match negotiator.state() {
            State::Stable if negotiator.agreed().is_none() => {
                self.show_hold_to_caller(id);
                self.passages.get_mut(&id)?.caller.negotiator.as_mut()?.offer().ok()
            }
            State::HaveLocalOffer => negotiator.local().cloned(),
            _ => None,
        }
    }

    /// Status, phrase and what else of a response the caller's side is told.
    fn passed_on(&self, id: PassageId, response: &Response) -> Reply {
        let Some(side) = self.side_of(id, End::Caller) else { return Reply::new(response.status()) };
        let mut reply = Reply::new(response.status()).with_headers(rules(side).pass_on(response));
        if response.reason() != response.status().reason() && !response.reason().is_empty() {
            reply = reply.with_reason(response.reason());
        }
        self.hidden_reply(id, End::Callee, reply)
    }

    /// Who has no telephone hears it ring by us.
    fn ring_back(&mut self, id: PassageId) {
        let Some(passage) = self.passages.get(&id).filter(|passage| !passage.joined) else { return };
        let Some(leg) = passage.caller.media_id() else { return };
        let source = Source::Program(Program::tone(Plan::japan().ring_back));
        self.tell_media(MediaCommand::Connect { leg, to: Connection::Source(source) });
    }

    pub(super) fn on_answered(&mut self, call: CallHandle, response: &Response, now: Instant) {
        let Some((id, End::Callee)) = self.by_call.get(&call).copied() else { return };
        self.note_response(id, response, now);
        self.answer_caller(id, now);
    }

    /// Our description for the caller, made once: the answer to its offer, with the callee's codec first. `None` when the caller
    /// offered nothing; its answer is made of [`Gateway::answer_caller`] then.
    fn caller_description(&mut self, id: PassageId, now: Instant) -> Option<bytes::Bytes> {
        let passage = self.passages.get_mut(&id)?;
        let negotiator = passage.caller.negotiator.as_mut()?;
        match negotiator.state() {
            State::Stable => return negotiator.local().cloned().filter(|_| passage.caller.is_configured),
            State::HaveLocalOffer => return None,
            State::HaveRemoteOffer => {}
        }
        let chosen = passage.callee.negotiator.as_ref().and_then(Negotiator::agreed);
        let chosen = chosen.and_then(|agreed| agreed.audio()?.codec().cloned());
        if let Some(chosen) = chosen.or_else(|| passage.callee.previewed.clone()) {
            prefer(negotiator, &chosen);
        }
        self.show_hold_to_caller(id);
        let passage = self.passages.get_mut(&id)?;
        let answer = passage.caller.negotiator.as_mut()?.make_answer().ok()?;
        // A caller who begins on hold: the callee is told once he is up.
        passage.callee.hold = passage.caller.negotiator.as_ref().and_then(held);
        self.configure(id, End::Caller, now);
        Some(answer)
    }

    /// The callee has answered: so do we.
    pub(super) fn answer_caller(&mut self, id: PassageId, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.answered = true;
        let caller = match passage.caller.link {
            Link::None => return,
            Link::Call(call) => call,
            Link::Guest(guest) => {
                self.tell_guest(guest, Told::Answered);
                self.note(id, End::Caller, Fact::Answered, now);
                self.line(format!("{id}: up"));
                return self.listen_to_robot(id, now);
            }
        };
        let late = self.late_offer(id);
        let Some(body) = late.or_else(|| self.caller_description(id, now)) else {
            let sentence = "the caller's offer cannot be answered";
            return self.refuse(id, &Refused::new(StatusCode::NOT_ACCEPTABLE_HERE, sentence), now);
        };
        let reply = Reply::new(StatusCode::OK).with_body(Body::sdp(body));
        match self.endpoint.answer(caller, &reply, now) {
            Ok(()) => self.note(id, End::Caller, Fact::Answered, now),
            // It was refused meanwhile, for what its callee has answered.
            Err(Misuse::UnknownHandle) => {}
            Err(misuse) => self.line(format!("{id}: not answered: {misuse}")),
        }
        self.listen_to_robot(id, now);
    }

    // ---- requests in the call

    pub(super) fn on_dialog_request(
        &mut self,
        call: CallHandle,
        request: RequestHandle,
        message: &Request,
        now: Instant,
    ) {
        let status = match message.method() {
            Method::Info if Digit::read(message).is_some() => {
                self.press(call, message);
                StatusCode::OK
            }
            Method::Options => StatusCode::OK,
            Method::Info | Method::Message => self.pass_request(call, request, message, now),
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let _ = self.endpoint.respond(request, &Reply::new(status), now);
    }

    /// Keys in INFO become what the other leg understands.
    fn press(&mut self, call: CallHandle, message: &Request) {
        let Some(digit) = Digit::read(message).map(|digit| digit.symbol) else { return };
        let Some((id, end)) = self.by_call.get(&call).copied() else { return };
        let Some(other) = self.passages.get(&id).map(|passage| passage.leg(end.other())) else { return };
        match (other.link, other.media_id()) {
            (Link::Guest(guest), _) => self.tell_guest(guest, Told::Digit(digit)),
            (_, Some(leg)) => {
                self.tell_media(MediaCommand::SendDigits { leg, digits: digit.to_string() });
            }
            _ => {}
        }
    }

    /// INFO with other things in it, and MESSAGE, pass as they are.
    fn pass_request(
        &mut self,
        call: CallHandle,
        request: RequestHandle,
        message: &Request,
        now: Instant,
    ) -> StatusCode {
        let Some((id, end)) = self.by_call.get(&call).copied() else { return StatusCode::OK };
        let other = self.passages.get(&id).and_then(|passage| passage.leg(end.other()).call());
        let (Some(other), Some(side)) = (other, self.side_of(id, end.other())) else {
            return StatusCode::METHOD_NOT_ALLOWED;
        };
        let event = SipEvent::DialogRequest { call, request, message: message.clone() };
        match b2bua::across(&event, end == End::Caller, &rules(side)) {
            Across::Request { method, headers, body } => {
                let headers = self.hidden(id, end, &headers);
                match self.endpoint.request_in_dialog(other, method, &headers, body.as_ref(), now) {
                    Ok(_) => StatusCode::OK,
                    Err(_) => StatusCode::TEMPORARILY_UNAVAILABLE,
                }
            }
            _ => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Transfers end at the gateway: neither side may send the other's callers elsewhere.
    pub(super) fn refuse_transfer(&mut self, request: RequestHandle, now: Instant) {
        let refused = Refused::new(StatusCode::DECLINE, "callers of another side are not sent elsewhere");
        let _ = self.endpoint.respond(request, &refused.reply(), now);
    }
}
