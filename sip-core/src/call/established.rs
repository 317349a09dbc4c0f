//! A call that was answered: our 2xx repeated until its ACK comes, BYE both ways (RFC 3261 §13.3.1.4, §15), and the
//! clock of session timers (RFC 4028). What happens to its session is [`session`](super::session)'s.

use super::{
    Common, State,
    aftermath::Aftermath,
    hung_up_by_peer,
    offer_answer::{Carrier, Conflict, Meaning, Side},
    received::Unacknowledged,
    session::{Late, Session},
};
use crate::{
    command::{Body, Headers},
    context::{Context, Owner, description, request_headers},
    dialog::Usage,
    error::Misuse,
    event::{CallEnd, Event, OfferAbort},
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) session: Session,
    /// Our 2xx, repeated until its ACK comes.
    awaiting_ack: Option<Box<AwaitingAck>>,
    /// BYE is to be sent once the ACK is there (§15).
    hang_up: Option<(Headers, CallEnd)>,
}

#[derive(Debug)]
struct AwaitingAck {
    server: ServerId,
    sequence: u32,
    response: Response,
    resend_at: Instant,
    interval: Duration,
    give_up_at: Instant,
    is_first: bool,
}

impl Established {
    /// Our INVITE was answered.
    pub(super) fn as_caller(session: Session) -> Self {
        Self { session, awaiting_ack: None, hang_up: None }
    }

    /// We answered the peer's INVITE; the 2xx is on its way.
    pub(super) fn as_callee(cx: &Context, session: Session, first: Unacknowledged) -> Self {
        let mut it = Self { session, awaiting_ack: None, hang_up: None };
        it.await_ack(cx, first, true);
        it
    }

    /// The 2xx that made this call. `Err` is an end to be brought about by BYE.
    pub(super) fn on_first_success(
        &mut self,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        aftermath: &mut Aftermath,
        invite: ClientId,
    ) -> Result<(), CallEnd> {
        let session = &mut self.session;
        let body = description(response);
        let sequence = response.cseq().map_or(1, |cseq| cseq.sequence);
        let previewed = session.remote.is_some();
        let mut outcome = Ok(());
        match session.offer_answer.success(Side::Remote, body.is_some()) {
            Ok(Meaning::Answer) => {
                session.note_remote(body.as_ref());
                common.answer(cx, session.fork, Carrier::Success, body, false);
            }
            Ok(Meaning::Offer) => {
                session.note_remote(body.as_ref());
                session.late = Some(Late { invite, sequence });
                common.offer(cx, session.fork, Carrier::Success, body);
            }
            // Seen in practice: the description in 183 and none in 200. It was the answer, then.
            Ok(Meaning::AnswerMissing) if previewed => session.offer_answer.take_preview(),
            Ok(Meaning::AnswerMissing | Meaning::OfferMissing) => {
                outcome = Err(CallEnd::NoSession { carrier: Carrier::Success });
            }
            Ok(_) | Err(_) => {}
        }
        let tag = response.to_tag().unwrap_or_default();
        let ack = if session.late.is_some() { None } else { session.acknowledge(common, cx, sequence, None) };
        aftermath.remember(tag, ack);
        session.conclude_session_timer(common, cx, response);
        cx.event(Event::CallAnswered { call: common.handle, fork: session.fork, response: response.clone() });
        outcome
    }

    /// A 2xx of ours was sent and is to be repeated until it is acknowledged.
    fn await_ack(&mut self, cx: &Context, sent: Unacknowledged, is_first: bool) {
        let t1 = cx.config.transactions.timers.t1;
        self.awaiting_ack = Some(Box::new(AwaitingAck {
            server: sent.server,
            sequence: sent.request.cseq().map_or(0, |cseq| cseq.sequence),
            response: sent.response,
            resend_at: cx.now.checked_add(t1).unwrap_or(cx.now),
            interval: t1,
            give_up_at: cx.now.checked_add(t1.saturating_mul(64)).unwrap_or(cx.now),
            is_first,
        }));
    }

    pub(super) fn on_ack(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        request: &Request,
        flow: Flow,
    ) -> State {
        let sequence = request.cseq().map_or(0, |cseq| cseq.sequence);
        let Some(awaited) = self.awaiting_ack.take_if(|awaited| awaited.sequence == sequence) else {
            return State::Established(self);
        };
        cx.servers.remove(&awaited.server);
        let session = &mut self.session;
        if let Some(dialog) = cx.dialogs.get_mut(session.dialog) {
            dialog.flow = flow;
        }
        let body = description(request);
        let mut lost = None;
        match session.offer_answer.ack(Side::Remote, body.is_some()) {
            Ok(Meaning::Answer) => {
                session.note_remote(body.as_ref());
                common.answer(cx, session.fork, Carrier::Ack, body, false);
            }
            Ok(Meaning::AnswerMissing) if awaited.is_first => {
                lost = Some(CallEnd::NoSession { carrier: Carrier::Ack });
            }
            Ok(Meaning::AnswerMissing) => common.abort(cx, OfferAbort::NotAnswered),
            Ok(_) | Err(_) => {}
        }
        if awaited.is_first {
            cx.event(Event::CallConfirmed { call: common.handle });
        }
        match (self.hang_up.take(), lost) {
            (Some((headers, end)), _) => self.say_goodbye(common, cx, &headers, end),
            (None, Some(end)) => self.hung_up(common, cx, end),
            (None, None) => State::Established(self),
        }
    }

    // -- changes

    pub(crate) fn modify(
        &mut self,
        common: &Common,
        cx: &mut Context,
        method: Method,
        body: Option<Body>,
        headers: Headers,
    ) -> Result<(), Misuse> {
        if method == Method::Invite && self.awaiting_ack.is_some() {
            return Err(Misuse::OfferAnswer(Conflict::PeerInvite));
        }
        self.session.modify(common, cx, method, body, headers)
    }

    pub(super) fn on_modify(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) -> State {
        if *request.method() == Method::Invite && self.awaiting_ack.is_some() {
            // Our last 2xx is not acknowledged: two at once could not be told apart.
            cx.refuse_conflict(server, request, flow, Conflict::PeerInvite);
            return State::Established(self);
        }
        if let Some(sent) = self.session.on_modify(common, cx, server, request, flow) {
            self.await_ack(cx, sent, false);
        }
        State::Established(self)
    }

    pub(crate) fn answer_offer(
        &mut self,
        common: &Common,
        cx: &mut Context,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<(), Misuse> {
        if let Some(sent) = self.session.answer_offer(common, cx, body, headers)? {
            self.await_ack(cx, sent, false);
        }
        Ok(())
    }

    pub(super) fn on_response(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
    ) -> State {
        if self.session.reliable.owns(client) {
            self.session.on_prack_response(common, cx, client, response);
            return State::Established(self);
        }
        match self.session.on_modification_response(common, cx, client, response, flow) {
            Ok(()) => State::Established(self),
            Err(end) => self.hung_up(common, cx, end),
        }
    }

    pub(super) fn on_failure(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        failure: EndReason,
    ) -> State {
        if self.session.reliable.owns(client) {
            self.session.on_prack_failure(client);
            return State::Established(self);
        }
        match self.session.on_modification_failure(common, cx, client, failure) {
            Ok(()) => State::Established(self),
            Err(end) => self.hung_up(common, cx, end),
        }
    }

    // -- the end

    pub(super) fn on_bye(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
    ) -> State {
        cx.answer_plainly(server, request, StatusCode::OK);
        // A BYE that overtakes the ACK, or comes instead of it, ends the repetition of our 2xx.
        self.leave(common, cx, hung_up_by_peer(request))
    }

    /// BYE; after the ACK, if that is still to come (§15).
    pub(super) fn hang_up(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        headers: &Headers,
        end: CallEnd,
    ) -> State {
        if self.awaiting_ack.is_some() {
            if self.hang_up.is_none() {
                self.hang_up = Some((headers.clone(), end));
            }
            return State::Established(self);
        }
        self.say_goodbye(common, cx, headers, end)
    }

    /// Ends the call by BYE for a reason of our own.
    pub(super) fn hung_up(self: Box<Self>, common: &mut Common, cx: &mut Context, end: CallEnd) -> State {
        let mut headers = Headers::new();
        let cause = match &end {
            CallEnd::SessionExpired => Some("SIP;cause=408;text=\"Session timer expired\""),
            CallEnd::NotAcknowledged => Some("SIP;cause=408;text=\"ACK never came\""),
            CallEnd::NoSession { .. } => Some("SIP;cause=488;text=\"No session description\""),
            CallEnd::ShutDown => Some("SIP;cause=503;text=\"Shutting down\""),
            _ => None,
        };
        if let Some(cause) = cause {
            let _ = headers.push(HeaderName::Reason.as_str(), cause);
        }
        self.say_goodbye(common, cx, &headers, end)
    }

    fn say_goodbye(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        headers: &Headers,
        end: CallEnd,
    ) -> State {
        self.session.acknowledge_late(common, cx, None);
        let bye = cx
            .dialogs
            .get_mut(self.session.dialog)
            .and_then(|dialog| Some((dialog.request(Method::Bye).ok()?, dialog.target().ok()?)));
        if let Some((builder, target)) = bye {
            let builder = builder.header_if(HeaderName::UserAgent, cx.config.software.as_ref());
            let options = common.face.send_options(false);
            let auth = common.auth.take();
            let owner = Owner::Farewell(Some(self.session.dialog));
            let sent = request_headers(builder, headers)
                .finish()
                .map_err(Misuse::from)
                .and_then(|bye| cx.send(owner, bye, target, options, auth, None));
            match sent {
                Ok(_) => cx.dialogs.add_usage(self.session.dialog, Usage::Farewell),
                Err(_) => cx.forget_credentials(auth),
            }
        }
        self.leave(common, cx, end)
    }

    fn leave(mut self: Box<Self>, common: &mut Common, cx: &mut Context, end: CallEnd) -> State {
        if let Some(awaited) = self.awaiting_ack.take() {
            cx.servers.remove(&awaited.server);
        }
        self.session.forget(common, cx);
        cx.dialogs.release(self.session.dialog, Usage::Call(common.handle));
        State::over(end)
    }

    // -- time

    pub(super) fn on_timeout(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        if self.awaiting_ack.as_ref().is_some_and(|awaited| awaited.give_up_at <= cx.now) {
            if let Some(awaited) = self.awaiting_ack.take() {
                cx.servers.remove(&awaited.server);
            }
            return match self.hang_up.take() {
                Some((headers, end)) => self.say_goodbye(common, cx, &headers, end),
                None => self.hung_up(common, cx, CallEnd::NotAcknowledged),
            };
        }
        if let Some(awaited) = self.awaiting_ack.as_mut().filter(|awaited| awaited.resend_at <= cx.now) {
            awaited.interval = awaited.interval.saturating_mul(2).min(cx.config.transactions.timers.t2);
            awaited.resend_at = cx.now.checked_add(awaited.interval).unwrap_or(awaited.give_up_at);
            let (server, response) = (awaited.server, awaited.response.clone());
            cx.respond(server, response);
        }
        if let Some(timer) = self.session.timer {
            let over =
                timer.refresher == Side::Remote && timer.due_at() <= cx.now || timer.expires_at() <= cx.now;
            if over {
                return self.hung_up(common, cx, CallEnd::SessionExpired);
            }
            if timer.due_at() <= cx.now {
                self.session.refresh(common, cx);
            }
        }
        self.session.on_modification_due(common, cx);
        State::Established(self)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let ack = self.awaiting_ack.as_ref().map(|awaited| awaited.resend_at.min(awaited.give_up_at));
        let retry = self.session.ours.as_ref().and_then(|ours| ours.due());
        let timer = self.session.timer.as_ref().map(|timer| {
            let refreshing = timer.refresher == Side::Local && self.session.ours.is_some();
            if refreshing { timer.expires_at() } else { timer.due_at() }
        });
        [ack, retry, timer].into_iter().flatten().min()
    }
}
