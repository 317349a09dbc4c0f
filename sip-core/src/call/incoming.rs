//! An INVITE of the peer that is not yet answered: RFC 3261 §13.3, §9.2; reliably rung by RFC 3262 §3.

use super::{
    Common, State,
    established::Established,
    hung_up_by_peer,
    offer_answer::{Carrier, Meaning, Side},
    received::Unacknowledged,
    reliable_provisional::{Due, ReliableSender, peer_demands, peer_takes},
    session::{Session, read_session_timer},
    session_timer::{self, Answered},
};
use crate::{
    command::{Body, Headers, ReliableProvisional, Reply},
    context::{Context, description},
    dialog::Usage,
    error::Misuse,
    event::{By, CallEnd, Event, Refusal},
    handle::ForkHandle,
    header::{HeaderName, RAck},
    io::Flow,
    limits::Limit,
    message::{Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::time::{Duration, Instant};

/// A provisional response is repeated after a minute, so that proxies do not give up (§13.3.1.1).
const RENEW_AFTER: Duration = Duration::from_secs(60);

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) server: ServerId,
    pub(crate) request: Request,
    pub(crate) session: Session,
    reliable: ReliableSender,
    provisional: Option<(Response, Instant)>,
    give_up_at: Option<Instant>,
    /// The answer was given in a provisional response and holds for the 2xx too.
    previewed: Option<Body>,
}

impl Incoming {
    pub(crate) fn new(
        server: ServerId,
        request: Request,
        session: Session,
        give_up_at: Option<Instant>,
    ) -> Self {
        Self {
            server,
            request,
            session,
            reliable: ReliableSender::default(),
            provisional: None,
            give_up_at,
            previewed: None,
        }
    }

    /// The INVITE has become a call: it is told what was offered. One whose session interval is too small is refused
    /// at once (RFC 4028 §9).
    pub(crate) fn begin(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        if let Some(policy) = &common.options.session_timer
            && let Answered::TooSmall(minimum) =
                session_timer::answer(policy, &read_session_timer(&self.request))
        {
            let headers =
                Headers::new().with(HeaderName::MinSe.as_str(), minimum.as_secs()).unwrap_or_default();
            let reply = Reply::new(StatusCode::SESSION_INTERVAL_TOO_SMALL).with_headers(headers);
            return self.refuse(common, cx, &reply, CallEnd::RefusedHere(reply.status));
        }
        let body = description(&self.request);
        self.session.note_remote(body.as_ref());
        match self.session.offer_answer.invite(Side::Remote, body.is_some()) {
            Ok(Meaning::Offer) => common.offer(cx, ForkHandle(0), Carrier::Invite, body),
            _ => cx.event(Event::OfferRequested { call: common.handle }),
        }
        State::Incoming(self)
    }

    /// 101–199. `reliably`: by RFC 3262, which also happens when the peer demands it.
    pub(crate) fn ring(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reply: &Reply,
        reliably: bool,
    ) -> (State, Result<(), Misuse>) {
        if !reply.status.is_provisional() || reply.status == StatusCode::TRYING {
            return (State::Incoming(self), Err(Misuse::Status));
        }
        let demanded = peer_demands(&self.request)
            || common.options.reliable_provisional == ReliableProvisional::Required
                && peer_takes(&self.request);
        let result = if reliably || demanded {
            self.ring_reliably(common, cx, reply)
        } else {
            self.ring_once(common, cx, reply)
        };
        (State::Incoming(self), result)
    }

    fn ring_once(&mut self, common: &Common, cx: &mut Context, reply: &Reply) -> Result<(), Misuse> {
        let body = session_body(reply);
        if body.is_some() && self.session.offer_answer.provisional(Side::Local, true) == Meaning::Preview {
            self.previewed = body.cloned();
        }
        let response = self.respond(common, cx, reply, None)?;
        self.provisional = cx.now.checked_add(RENEW_AFTER).map(|at| (response, at));
        Ok(())
    }

    fn ring_reliably(&mut self, common: &Common, cx: &mut Context, reply: &Reply) -> Result<(), Misuse> {
        if !peer_takes(&self.request) || common.options.reliable_provisional == ReliableProvisional::Off {
            return Err(Misuse::NotSupported("100rel"));
        }
        if self.reliable.is_waiting() {
            if !self.reliable.has_room() {
                return Err(Misuse::Limit(Limit::Requests));
            }
            self.reliable.queue.push_back(reply.clone());
            return Ok(());
        }
        let body = session_body(reply);
        let mut offer_answer = self.session.offer_answer.clone();
        let meaning = offer_answer.reliable(Side::Local, body.is_some()).map_err(Misuse::OfferAnswer)?;
        let number = self.reliable.next_number(cx);
        let response = self.respond(common, cx, reply, Some(number))?;
        self.session.offer_answer = offer_answer;
        let described = matches!(meaning, Meaning::Answer | Meaning::Offer);
        if described {
            self.session.note_local(body);
        }
        self.provisional = None;
        self.reliable.sent(cx, number, response, described);
        Ok(())
    }

    pub(crate) fn on_prack(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) -> State {
        let rack = request.typed::<RAck>().ok().flatten();
        let sequence = self.request.cseq().map_or(0, |cseq| cseq.sequence);
        if !rack.is_some_and(|rack| self.reliable.acknowledged(&rack, sequence)) {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            cx.refuse(server, request, flow, status, Refusal::NoSuchTransaction);
            return State::Incoming(self);
        }
        self.session.on_prack(common, cx, server, request);
        cx.event(Event::ProvisionalConfirmed { call: common.handle });
        if let Some(reply) = self.reliable.delayed_answer.take() {
            return self.answer(common, cx, &reply).0;
        }
        if let Some(next) = self.reliable.queue.pop_front() {
            let _ = self.ring_reliably(common, cx, &next);
        }
        State::Incoming(self)
    }

    /// 2xx; after the PRACK, if a reliable response with a description waits for it (RFC 3262 §3).
    pub(crate) fn answer(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reply: &Reply,
    ) -> (State, Result<(), Misuse>) {
        if !reply.status.is_success() {
            return (State::Incoming(self), Err(Misuse::Status));
        }
        let mut reply = reply.clone();
        let open = self.session.offer_answer.owes_answer();
        if reply.body.is_none() && open {
            reply.body = self.previewed.clone();
        }
        let mut offer_answer = self.session.offer_answer.clone();
        if let Err(conflict) = offer_answer.success(Side::Local, reply.body.is_some()) {
            return (State::Incoming(self), Err(Misuse::OfferAnswer(conflict)));
        }
        if self.reliable.delays_answer() {
            self.reliable.delayed_answer = Some(reply);
            return (State::Incoming(self), Ok(()));
        }
        let (reply, timer) = Session::with_session_timer(common, cx, &self.request, reply);
        let response = match self.respond(common, cx, &reply, None) {
            Ok(response) => response,
            Err(misuse) => return (State::Incoming(self), Err(misuse)),
        };
        let Self { server, request, mut session, reliable, .. } = *self;
        session.outstanding = reliable.outstanding(request.cseq().map_or(0, |cseq| cseq.sequence));
        if let Some(dialog) = cx.dialogs.get_mut(session.dialog) {
            dialog.is_confirmed = true;
        }
        session.offer_answer = offer_answer;
        session.note_local(reply.body.as_ref());
        session.timer = timer;
        if let Some(replaced) = common.options.replaces {
            cx.replaced.push((replaced, common.handle));
        }
        let established = Established::as_callee(cx, session, Unacknowledged { server, request, response });
        (State::Established(Box::new(established)), Ok(()))
    }

    /// 3xx–6xx. `end` is what the call ends with.
    pub(crate) fn refuse(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reply: &Reply,
        end: CallEnd,
    ) -> State {
        if self.respond(common, cx, reply, None).is_err() {
            // What the application put in cannot be written; the caller must not ring on for that.
            let _ = self.respond(common, cx, &Reply::new(reply.status), None);
        }
        self.leave(common, cx, end)
    }

    pub(crate) fn on_cancel(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reason: Option<String>,
    ) -> State {
        let _ = self.respond(common, cx, &Reply::new(StatusCode::REQUEST_TERMINATED), None);
        self.leave(common, cx, CallEnd::Cancelled { by: By::Remote, reason })
    }

    /// A BYE on an early dialog (§15): the INVITE is answered 487.
    pub(crate) fn on_bye(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
    ) -> State {
        cx.answer_plainly(server, request, StatusCode::OK);
        let _ = self.respond(common, cx, &Reply::new(StatusCode::REQUEST_TERMINATED), None);
        self.leave(common, cx, hung_up_by_peer(request))
    }

    /// The peer changes an early session.
    pub(crate) fn on_update(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) -> State {
        drop(self.session.on_modify(common, cx, server, request, flow));
        State::Incoming(self)
    }

    /// A response to our UPDATE on the early dialog.
    pub(crate) fn on_response(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
    ) -> State {
        match self.session.on_modification_response(common, cx, client, response, flow) {
            Ok(()) => State::Incoming(self),
            Err(end) => self.refuse(common, cx, &Reply::new(StatusCode::REQUEST_TERMINATED), end),
        }
    }

    pub(crate) fn on_failure(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        failure: EndReason,
    ) -> State {
        match self.session.on_modification_failure(common, cx, client, failure) {
            Ok(()) => State::Incoming(self),
            Err(end) => self.refuse(common, cx, &Reply::new(StatusCode::REQUEST_TERMINATED), end),
        }
    }

    pub(crate) fn on_server_ended(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        reason: EndReason,
    ) -> State {
        if server == self.server {
            return self.leave(common, cx, CallEnd::Unreachable(reason));
        }
        self.session.on_server_ended(common, cx, server);
        State::Incoming(self)
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        if self.give_up_at.is_some_and(|at| at <= cx.now) {
            let reply = Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE);
            return self.refuse(common, cx, &reply, CallEnd::NotAnswered);
        }
        match self.reliable.on_timeout(cx.now) {
            Due::Nothing => {}
            Due::Resend(response) => cx.respond(self.server, *response),
            Due::GiveUp => {
                let reply = Reply::new(StatusCode::SERVER_TIMEOUT).with_reason("PRACK never came");
                return self.refuse(common, cx, &reply, CallEnd::NotAcknowledged);
            }
        }
        if let Some((response, at)) = self.provisional.take() {
            if at > cx.now {
                self.provisional = Some((response, at));
            } else {
                cx.respond(self.server, response.clone());
                self.provisional = cx.now.checked_add(RENEW_AFTER).map(|at| (response, at));
            }
        }
        self.session.on_modification_due(common, cx);
        State::Incoming(self)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let renew = self.provisional.as_ref().map(|(_, at)| *at);
        let retry = self.session.ours.as_ref().and_then(|ours| ours.due());
        [renew, retry, self.give_up_at, self.reliable.due()].into_iter().flatten().min()
    }

    fn respond(
        &self,
        common: &Common,
        cx: &mut Context,
        reply: &Reply,
        reliable: Option<u32>,
    ) -> Result<Response, Misuse> {
        let (tag, contact) = match cx.dialogs.get(self.session.dialog) {
            Some(dialog) => (
                dialog.id.local_tag.clone(),
                common.face.contact_on(&dialog.flow, &self.request, &cx.transactions),
            ),
            None => return Err(Misuse::UnknownHandle),
        };
        let mut builder = cx.response(&self.request, reply, Some(&tag))?;
        let status = reply.status;
        let body = reply.body.as_ref().map_or(0, |body| body.bytes.len());
        builder =
            builder.with_room(contact.len().saturating_add(cx.capabilities.room()).saturating_add(body));
        if status.code() > 100 && status.code() < 300 {
            if reply.headers.get(HeaderName::Contact).is_none() {
                builder = builder.header(HeaderName::Contact, contact);
            }
            builder = cx.capabilities_of(builder, &common.options);
        }
        if let Some(number) = reliable {
            builder = builder.header(HeaderName::Require, "100rel").header(HeaderName::RSeq, number);
        }
        let response = builder.finish()?;
        cx.transactions.respond(self.server, &response, cx.now)?;
        Ok(response)
    }

    fn leave(mut self: Box<Self>, common: &Common, cx: &mut Context, end: CallEnd) -> State {
        cx.servers.remove(&self.server);
        self.session.forget(common, cx);
        cx.dialogs.release(self.session.dialog, Usage::Call(common.handle));
        State::over(end)
    }
}

fn session_body(reply: &Reply) -> Option<&Body> {
    reply.body.as_ref().filter(|body| body.content_type.contains("sdp"))
}
