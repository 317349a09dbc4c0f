//! A call that was answered: the ACK both ways, BYE both ways (RFC 3261 §13.2.2.4, §13.3.1.4, §15), and what drives
//! session timers (RFC 4028). Changes of the session are [`modification`](super::modification)'s.

use super::{
    Common, State,
    aftermath::Aftermath,
    hung_up_by_peer,
    modification::{Modification, Received},
    offer_answer::{Carrier, Meaning, OfferAnswer, Side},
    session_timer::{self, Answered, Requested, SessionTimer},
};
use crate::{
    command::{Body, Headers, Reply},
    context::{Context, Owner, description, request_headers},
    dialog::{DialogHandle, Usage},
    event::{CallEnd, Event, OfferAbort},
    handle::ForkHandle,
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, ServerId},
    transport::Target,
};
use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) dialog: DialogHandle,
    pub(crate) fork: ForkHandle,
    pub(super) offer_answer: OfferAnswer,
    /// Our 2xx, repeated until its ACK comes.
    awaiting_ack: Option<AwaitingAck>,
    /// A 2xx of the peer held an offer: its ACK waits for the application's answer.
    pub(super) late: Option<Late>,
    /// Our re-INVITE or UPDATE.
    pub(super) ours: Option<Modification>,
    /// The peer's.
    pub(super) theirs: Option<Received>,
    /// BYE is to be sent once the ACK is there (§15).
    hang_up: Option<(Headers, CallEnd)>,
    pub(super) session: Option<SessionTimer>,
    /// The largest Min-SE heard in this dialog (RFC 4028 §7.4).
    pub(super) largest_minimum: Option<Duration>,
    /// Our last description and the peer's, for refreshes.
    pub(super) local: Option<Body>,
    pub(super) remote: Option<Body>,
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

/// An ACK not yet sent.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) invite: ClientId,
    pub(super) sequence: u32,
}

impl Established {
    /// Our INVITE was answered.
    pub(super) fn as_caller(
        common: &Common,
        dialog: DialogHandle,
        fork: ForkHandle,
        offer_answer: OfferAnswer,
        offer: Option<Body>,
    ) -> Self {
        let _ = common;
        Self::new(dialog, fork, offer_answer, offer, None, None)
    }

    /// We answered the peer's INVITE; the 2xx is on its way.
    #[expect(clippy::too_many_arguments, reason = "everything the 2xx settled, from one caller")]
    pub(super) fn as_callee(
        cx: &Context,
        dialog: DialogHandle,
        offer_answer: OfferAnswer,
        server: ServerId,
        request: &Request,
        response: Response,
        local: Option<Body>,
        session: Option<SessionTimer>,
    ) -> Self {
        let mut it = Self::new(dialog, ForkHandle(0), offer_answer, local, description(request), session);
        it.await_ack(cx, server, request, response, true);
        it
    }

    fn new(
        dialog: DialogHandle,
        fork: ForkHandle,
        offer_answer: OfferAnswer,
        local: Option<Body>,
        remote: Option<Body>,
        session: Option<SessionTimer>,
    ) -> Self {
        Self {
            dialog,
            fork,
            offer_answer,
            awaiting_ack: None,
            late: None,
            ours: None,
            theirs: None,
            hang_up: None,
            session,
            largest_minimum: None,
            local,
            remote,
        }
    }

    // -- the caller's 2xx and ACK

    /// The 2xx that made this call. `Err` is an end to be brought about by BYE.
    pub(super) fn on_first_success(
        &mut self,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        previewed: bool,
        aftermath: &mut Aftermath,
        invite: ClientId,
    ) -> Result<(), CallEnd> {
        let body = description(response);
        let sequence = response.cseq().map_or(1, |cseq| cseq.sequence);
        let meaning = self.offer_answer.success(Side::Remote, body.is_some());
        self.note_remote(body.as_ref());
        let mut outcome = Ok(());
        match meaning {
            Ok(Meaning::Answer) => common.answer(cx, self.fork, Carrier::Success, body, false),
            Ok(Meaning::Offer) => {
                self.late = Some(Late { invite, sequence });
                common.offer(cx, self.fork, Carrier::Success, body);
            }
            // Seen in practice: the description in 183 and none in 200. It was the answer, then.
            Ok(Meaning::AnswerMissing) if previewed => self.offer_answer.take_preview(),
            Ok(Meaning::AnswerMissing | Meaning::OfferMissing) => {
                outcome = Err(CallEnd::NoSession { carrier: Carrier::Success });
            }
            Ok(_) | Err(_) => {}
        }
        let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let ack = if self.late.is_some() { None } else { self.acknowledge(common, cx, sequence, None) };
        aftermath.remember(tag, ack);
        self.conclude_session_timer(common, cx, response);
        cx.event(Event::CallAnswered { call: common.handle, fork: self.fork, response: response.clone() });
        outcome
    }

    /// Sends the ACK of a 2xx.
    pub(super) fn acknowledge(
        &self,
        common: &Common,
        cx: &mut Context,
        sequence: u32,
        answer: Option<&Body>,
    ) -> Option<(Request, Target)> {
        let dialog = cx.dialogs.get(self.dialog)?;
        let target = dialog.target().ok()?;
        let ack = crate::context::request_body(dialog.ack(sequence).ok()?, answer).finish().ok()?;
        let options = common.face.send_options(false);
        let _ = cx.transactions.send_ack(ack.clone(), target.clone(), options, cx.now);
        Some((ack, target))
    }

    /// Sends the ACK that waited for an answer, and lets repeated 2xx get it again.
    pub(super) fn acknowledge_late(
        &mut self,
        common: &Common,
        cx: &mut Context,
        answer: Option<&Body>,
    ) -> bool {
        let Some(late) = self.late.take() else { return false };
        let ack = self.acknowledge(common, cx, late.sequence, answer);
        let tag = cx.dialogs.get(self.dialog).map(|dialog| dialog.id.remote_tag.clone()).unwrap_or_default();
        if let Some(client) = cx.clients.get_mut(&late.invite)
            && let Owner::Answered(aftermath) = &mut client.owner
        {
            aftermath.remember(&tag, ack);
        }
        true
    }

    // -- the callee's 2xx and ACK

    /// A 2xx of ours was sent and is to be repeated until it is acknowledged.
    pub(super) fn await_ack(
        &mut self,
        cx: &Context,
        server: ServerId,
        request: &Request,
        response: Response,
        is_first: bool,
    ) {
        let t1 = cx.config.transactions.timers.t1;
        self.awaiting_ack = Some(AwaitingAck {
            server,
            sequence: request.cseq().map_or(0, |cseq| cseq.sequence),
            response,
            resend_at: cx.now.checked_add(t1).unwrap_or(cx.now),
            interval: t1,
            give_up_at: cx.now.checked_add(t1.saturating_mul(64)).unwrap_or(cx.now),
            is_first,
        });
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
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            dialog.flow = flow;
        }
        let body = description(request);
        let meaning = self.offer_answer.ack(Side::Remote, body.is_some());
        let mut lost = None;
        match meaning {
            Ok(Meaning::Answer) => {
                self.note_remote(body.as_ref());
                common.answer(cx, self.fork, Carrier::Ack, body, false);
            }
            Ok(Meaning::AnswerMissing) if awaited.is_first => {
                lost = Some(CallEnd::NoSession { carrier: Carrier::Ack })
            }
            Ok(Meaning::AnswerMissing) => {
                cx.event(Event::OfferAborted { call: common.handle, reason: OfferAbort::NotAnswered });
            }
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

    /// Whether the ACK of our 2xx to a re-INVITE or the first INVITE is still to come.
    pub(super) fn is_unacknowledged(&self) -> bool {
        self.awaiting_ack.is_some()
    }

    // -- the end

    pub(super) fn on_bye(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
    ) -> State {
        cx.answer_plainly(server, request, StatusCode::OK);
        if let Some(theirs) = self.theirs.take() {
            cx.answer_plainly(theirs.server, &theirs.request, StatusCode::REQUEST_TERMINATED);
        }
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
        self.acknowledge_late(common, cx, None);
        if let Some(theirs) = self.theirs.take() {
            cx.answer_plainly(theirs.server, &theirs.request, StatusCode::REQUEST_TERMINATED);
            cx.servers.remove(&theirs.server);
        }
        let bye = cx
            .dialogs
            .get_mut(self.dialog)
            .and_then(|dialog| Some((dialog.request(Method::Bye).ok()?, dialog.target().ok()?)));
        if let Some((builder, target)) = bye {
            let builder = builder.header_if(HeaderName::UserAgent, cx.config.software.as_ref());
            let options = common.face.send_options(false);
            let auth = common.auth.take();
            let sent = request_headers(builder, headers)
                .finish()
                .map_err(crate::error::Misuse::from)
                .and_then(|bye| cx.send(Owner::Farewell(auth), bye, target, options, auth, None));
            if sent.is_err() {
                cx.forget_credentials(auth);
            }
        }
        self.leave(common, cx, end)
    }

    fn leave(mut self: Box<Self>, common: &mut Common, cx: &mut Context, end: CallEnd) -> State {
        if let Some(awaited) = self.awaiting_ack.take() {
            cx.servers.remove(&awaited.server);
        }
        if let Some(ours) = self.ours.take() {
            ours.forget(cx);
        }
        cx.dialogs.release(self.dialog, Usage::Call(common.handle));
        State::over(end)
    }

    // -- time

    pub(super) fn on_timeout(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        if let Some(awaited) = &mut self.awaiting_ack {
            if awaited.give_up_at <= cx.now {
                let first = self.awaiting_ack.take();
                if let Some(awaited) = first {
                    cx.servers.remove(&awaited.server);
                }
                return match self.hang_up.take() {
                    Some((headers, end)) => self.say_goodbye(common, cx, &headers, end),
                    None => self.hung_up(common, cx, CallEnd::NotAcknowledged),
                };
            }
            if awaited.resend_at <= cx.now {
                awaited.interval = awaited.interval.saturating_mul(2).min(cx.config.transactions.timers.t2);
                awaited.resend_at = cx.now.checked_add(awaited.interval).unwrap_or(awaited.give_up_at);
                let (server, response) = (awaited.server, awaited.response.clone());
                cx.respond(server, response);
            }
        }
        if let Some(timer) = self.session {
            if timer.refresher == Side::Remote && timer.due_at() <= cx.now || timer.expires_at() <= cx.now {
                return self.hung_up(common, cx, CallEnd::SessionExpired);
            }
            if timer.due_at() <= cx.now {
                self.refresh(common, cx);
            }
        }
        self.retry_modification(common, cx);
        State::Established(self)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let ack = self.awaiting_ack.as_ref().map(|awaited| awaited.resend_at.min(awaited.give_up_at));
        let retry = self.ours.as_ref().and_then(Modification::retry_at);
        let session = self.session.as_ref().map(|timer| {
            if timer.refresher == Side::Local && self.is_refreshing() {
                timer.expires_at()
            } else {
                timer.due_at()
            }
        });
        [ack, retry, session].into_iter().flatten().min()
    }

    pub(super) fn on_server_ended(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
    ) -> State {
        if self.theirs.as_ref().is_some_and(|theirs| theirs.server == server) {
            self.theirs = None;
            if self.offer_answer.invite_failed().is_some() {
                cx.event(Event::OfferAborted { call: common.handle, reason: OfferAbort::NotAnswered });
            }
        }
        State::Established(self)
    }

    pub(super) fn note_remote(&mut self, body: Option<&Body>) {
        if let Some(body) = body {
            self.remote = Some(body.clone());
        }
    }

    // -- session timers

    /// The callee's side: writes the outcome of RFC 4028 §9 into a 2xx.
    pub(super) fn with_session_timer(
        common: &Common,
        cx: &Context,
        request: &Request,
        mut reply: Reply,
    ) -> (Reply, Option<SessionTimer>) {
        let Some(policy) = &common.options.session_timer else { return (reply, None) };
        let requested = read_session_timer(request);
        let Answered::Timer { interval, refresher, require } = session_timer::answer(policy, &requested)
        else {
            return (reply, None);
        };
        let value = format!("{};refresher={}", interval.as_secs(), refresher.as_str());
        let _ = reply.headers.push(HeaderName::SessionExpires.as_str(), value);
        if require {
            let _ = reply.headers.push(HeaderName::Require.as_str(), "timer");
        }
        (reply, Some(SessionTimer::started(interval, refresher.side(Side::Remote), cx.now)))
    }

    /// The caller's side: what holds after a 2xx (RFC 4028 §7.2).
    pub(super) fn conclude_session_timer(&mut self, common: &Common, cx: &Context, response: &Response) {
        let Some(policy) = &common.options.session_timer else { return };
        let requested = session_timer::request(policy, self.largest_minimum, self.session.as_ref());
        let answered = read_session_timer(response);
        let answered = answered.interval.map(|interval| (interval, answered.refresher));
        self.session = session_timer::conclude(&requested, answered, cx.now);
    }
}

/// `Session-Expires`, `Min-SE` and `Supported: timer` of a message.
pub(crate) fn read_session_timer(fields: &crate::header::Fields) -> Requested {
    let value = fields.get(HeaderName::SessionExpires);
    let mut parts = value.unwrap_or_default().split(';').map(str::trim);
    let interval = parts.next().and_then(|it| it.parse().ok()).map(Duration::from_secs);
    let refresher = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("refresher").then_some(value.trim())
    });
    let minimum = fields.get(HeaderName::MinSe).and_then(|it| it.split(';').next()?.trim().parse().ok());
    Requested {
        supported: fields.lists(HeaderName::Supported, "timer"),
        interval,
        refresher: refresher.and_then(session_timer::Refresher::parse),
        minimum: minimum.map(Duration::from_secs),
    }
}
