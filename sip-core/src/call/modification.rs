//! Changes of an established session: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), both ways.
//!
//! When both sides want a change at once, each refuses the other's with 491 and tries again after a while that differs
//! between them (§14.1). A change that fails leaves the session as it was (RFC 6141 is the application's to use: it
//! answers 2xx when it cannot go back). Refreshes of RFC 4028 take the same road without troubling the application.

use super::{
    Common, State,
    aftermath::Aftermath,
    established::{Established, Late, read_session_timer},
    offer_answer::{Carrier, Conflict, Meaning, Side},
    session_timer::{self, Answered},
};
use crate::{
    auth::client::ChallengeRefusal,
    command::{Body, Headers, Reply},
    context::{Client, Context, Owner, Served, description, request_body, request_headers},
    error::Misuse,
    event::{CallEnd, Event, OfferAbort},
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::time::{Duration, Instant};

/// Our re-INVITE or UPDATE.
#[derive(Debug)]
pub(crate) struct Modification {
    method: Method,
    body: Option<Body>,
    headers: Headers,
    /// A refresh of the session timer: nobody is told.
    is_refresh: bool,
    attempts: u8,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Sent {
        client: ClientId,
        request: Box<Request>,
    },
    /// Refused for the moment; to be sent again then.
    Waiting(Instant),
}

/// The peer's re-INVITE or UPDATE.
#[derive(Debug)]
pub(crate) struct Received {
    pub(super) server: ServerId,
    pub(super) request: Request,
    has_offer: bool,
}

impl Modification {
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match &self.progress {
            Progress::Sent { .. } => None,
            Progress::Waiting(at) => Some(*at),
        }
    }

    fn is(&self, client: ClientId) -> bool {
        matches!(&self.progress, Progress::Sent { client: own, .. } if *own == client)
    }

    /// The call ends before its answer: nobody waits for it any more.
    pub(super) fn forget(self, cx: &mut Context) {
        if let Progress::Sent { client, .. } = self.progress {
            cx.clients.remove(&client);
        }
    }
}

impl Established {
    // -- ours

    /// Sends a re-INVITE or UPDATE.
    pub(crate) fn modify(
        &mut self,
        common: &Common,
        cx: &mut Context,
        method: Method,
        body: Option<Body>,
        headers: Headers,
    ) -> Result<(), Misuse> {
        if self.ours.is_some() || self.is_unacknowledged() && method == Method::Invite {
            return Err(Misuse::OfferAnswer(Conflict::OwnInvite));
        }
        self.send_modification(common, cx, method, body, headers, false, 0)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a modification, from three callers in this file"
    )]
    fn send_modification(
        &mut self,
        common: &Common,
        cx: &mut Context,
        method: Method,
        body: Option<Body>,
        headers: Headers,
        is_refresh: bool,
        attempts: u8,
    ) -> Result<(), Misuse> {
        let before = self.offer_answer.clone();
        let step = if method == Method::Invite {
            self.offer_answer.invite(Side::Local, body.is_some())
        } else {
            self.offer_answer.update(Side::Local, body.is_some())
        };
        step.map_err(Misuse::OfferAnswer)?;
        match self.write_modification(common, cx, &method, body.as_ref(), &headers) {
            Ok((client, request)) => {
                let progress = Progress::Sent { client, request: Box::new(request) };
                self.ours = Some(Modification { method, body, headers, is_refresh, attempts, progress });
                Ok(())
            }
            Err(misuse) => {
                self.offer_answer = before;
                Err(misuse)
            }
        }
    }

    fn write_modification(
        &self,
        common: &Common,
        cx: &mut Context,
        method: &Method,
        body: Option<&Body>,
        headers: &Headers,
    ) -> Result<(ClientId, Request), Misuse> {
        let dialog = cx.dialogs.get_mut(self.dialog).ok_or(Misuse::UnknownHandle)?;
        let target = dialog.target()?;
        let builder = dialog.request(method.clone())?;
        let mut builder =
            cx.capabilities(builder).header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        if let Some(policy) = &common.options.session_timer {
            builder = write_session_timer(
                builder,
                &session_timer::request(policy, self.largest_minimum, self.session.as_ref()),
            );
        }
        let request = request_body(request_headers(builder, headers), body).finish()?;
        let options = common.face.send_options(true);
        let owner = Owner::Modify(common.handle);
        let client = cx.send(owner, request.clone(), target, options, common.auth, Some(self.dialog))?;
        Ok((client, request))
    }

    /// Refreshes the session: UPDATE without offer when the peer knows it, else the last description once more.
    pub(super) fn refresh(&mut self, common: &Common, cx: &mut Context) {
        if self.ours.is_some() {
            return;
        }
        let by_update = cx.dialogs.get(self.dialog).is_some_and(|dialog| dialog.peer_allows.update);
        let (method, body) =
            if by_update { (Method::Update, None) } else { (Method::Invite, self.local.clone()) };
        let _ = self.send_modification(common, cx, method, body, Headers::new(), true, 0);
    }

    pub(super) fn is_refreshing(&self) -> bool {
        self.ours.is_some()
    }

    pub(super) fn retry_modification(&mut self, common: &Common, cx: &mut Context) {
        let Some(ours) = self.ours.take_if(|ours| ours.retry_at().is_some_and(|at| at <= cx.now)) else {
            return;
        };
        let Modification { method, body, headers, is_refresh, attempts, .. } = ours;
        let again = self.send_modification(
            common,
            cx,
            method.clone(),
            body.clone(),
            headers.clone(),
            is_refresh,
            attempts,
        );
        match again {
            Ok(()) => {}
            // The peer's change is under way: ours waits for it.
            Err(Misuse::OfferAnswer(_)) if attempts < cx.config.modification_attempts => {
                let progress = Progress::Waiting(glare_delay(cx, true));
                let attempts = attempts.saturating_add(1);
                self.ours = Some(Modification { method, body, headers, is_refresh, attempts, progress });
            }
            Err(_) if is_refresh => {}
            Err(_) => cx.event(Event::OfferAborted { call: common.handle, reason: OfferAbort::Glare }),
        }
    }

    pub(super) fn on_response(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) -> State {
        let Some(ours) = self.ours.take_if(|ours| ours.is(client)) else { return State::Established(self) };
        let status = response.status();
        if status.is_provisional() {
            self.ours = Some(ours);
            return State::Established(self);
        }
        if status.is_success() {
            return self.on_modified(common, cx, ours, client, response, flow);
        }
        self.roll_back(&ours.method);
        match status {
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT => {
                let end = CallEnd::DialogLost { method: ours.method, status: Some(status) };
                return self.hung_up(common, cx, end);
            }
            StatusCode::SESSION_INTERVAL_TOO_SMALL => {
                let asked = read_session_timer(response).minimum;
                self.largest_minimum = self.largest_minimum.max(asked);
                self.wait_and_retry(common, cx, ours, cx.now, response);
            }
            StatusCode::REQUEST_PENDING => {
                let at = glare_delay(cx, self.owns_call_id(cx));
                self.wait_and_retry(common, cx, ours, at, response);
            }
            StatusCode::SERVER_INTERNAL_ERROR if retry_after(response).is_some() => {
                let at = retry_after(response).and_then(|delay| cx.now.checked_add(delay)).unwrap_or(cx.now);
                self.wait_and_retry(common, cx, ours, at, response);
            }
            _ => {
                let _ = refusal;
                if !ours.is_refresh {
                    let reason = OfferAbort::Refused { response: Box::new(response.clone()) };
                    cx.event(Event::OfferAborted { call: common.handle, reason });
                }
            }
        }
        State::Established(self)
    }

    fn on_modified(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        ours: Modification,
        client: ClientId,
        response: &Response,
        flow: Flow,
    ) -> State {
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            let _ = dialog.heard(response, flow);
        }
        let body = description(response);
        let is_invite = ours.method == Method::Invite;
        let meaning = if is_invite {
            self.offer_answer.success(Side::Remote, body.is_some())
        } else {
            self.offer_answer.update_final(Side::Remote, true, body.is_some())
        };
        if let Some(offer) = &ours.body {
            self.local = Some(offer.clone());
        }
        let carrier = if is_invite { Carrier::Success } else { Carrier::UpdateSuccess };
        let mut aborted = None;
        match meaning {
            Ok(Meaning::Answer) => {
                self.note_remote(body.as_ref());
                if !ours.is_refresh {
                    common.answer(cx, self.fork, carrier, body, false);
                }
            }
            Ok(Meaning::Offer) => {
                self.note_remote(body.as_ref());
                let sequence = response.cseq().map_or(1, |cseq| cseq.sequence);
                self.late = Some(Late { invite: client, sequence });
                common.offer(cx, self.fork, carrier, body);
            }
            Ok(Meaning::AnswerMissing | Meaning::OfferMissing) => aborted = Some(OfferAbort::NotAnswered),
            Ok(_) | Err(_) => {}
        }
        if is_invite && let Progress::Sent { request, .. } = &ours.progress {
            self.acknowledge_reinvite(common, cx, client, request, response);
        }
        self.conclude_session_timer(common, cx, response);
        if let Some(reason) = aborted {
            cx.event(Event::OfferAborted { call: common.handle, reason });
        } else if !ours.is_refresh {
            cx.event(Event::Modified { call: common.handle, response: response.clone() });
        }
        State::Established(self)
    }

    /// ACK now, or when the application has answered; and again for each repeated 2xx.
    fn acknowledge_reinvite(
        &self,
        common: &Common,
        cx: &mut Context,
        client: ClientId,
        request: &Request,
        response: &Response,
    ) {
        let sequence = response.cseq().map_or(1, |cseq| cseq.sequence);
        let ack = if self.late.is_some() { None } else { self.acknowledge(common, cx, sequence, None) };
        let Some(dialog) = cx.dialogs.get(self.dialog) else { return };
        let mut aftermath = Aftermath::new(request.clone(), common.face.clone(), dialog.way);
        aftermath.remember(&dialog.id.remote_tag, ack);
        if let Some(record) = cx.clients.get_mut(&client) {
            *record = Client { owner: Owner::Answered(Box::new(aftermath)), auth: None, sent: None };
        }
    }

    fn wait_and_retry(
        &mut self,
        common: &Common,
        cx: &mut Context,
        ours: Modification,
        at: Instant,
        response: &Response,
    ) {
        if ours.attempts >= cx.config.modification_attempts {
            if !ours.is_refresh {
                let reason = if response.status() == StatusCode::REQUEST_PENDING {
                    OfferAbort::Glare
                } else {
                    OfferAbort::Refused { response: Box::new(response.clone()) }
                };
                cx.event(Event::OfferAborted { call: common.handle, reason });
            }
            return;
        }
        let attempts = ours.attempts.saturating_add(1);
        self.ours = Some(Modification { attempts, progress: Progress::Waiting(at), ..ours });
    }

    pub(super) fn on_failure(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        failure: EndReason,
    ) -> State {
        let Some(ours) = self.ours.take_if(|ours| ours.is(client)) else { return State::Established(self) };
        self.roll_back(&ours.method);
        if failure == EndReason::TimedOut {
            return self.hung_up(common, cx, CallEnd::DialogLost { method: ours.method, status: None });
        }
        if !ours.is_refresh {
            cx.event(Event::OfferAborted { call: common.handle, reason: OfferAbort::Failed(failure) });
        }
        State::Established(self)
    }

    pub(super) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if let Some(Modification { progress: Progress::Sent { client, .. }, .. }) = &mut self.ours
            && *client == old
        {
            *client = new;
        }
    }

    fn roll_back(&mut self, method: &Method) {
        if *method == Method::Invite {
            self.offer_answer.invite_failed();
        } else {
            let _ = self.offer_answer.update_final(Side::Remote, false, false);
        }
    }

    /// Who made the Call-ID waits longer in a glare (§14.1).
    fn owns_call_id(&self, cx: &Context) -> bool {
        cx.dialogs.get(self.dialog).is_some_and(|dialog| dialog.is_ours)
    }

    // -- theirs

    pub(super) fn on_modify(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) -> State {
        let is_invite = *request.method() == Method::Invite;
        let body = description(request);
        if let Some(policy) = &common.options.session_timer
            && let Answered::TooSmall(minimum) = session_timer::answer(policy, &read_session_timer(request))
        {
            cx.refuse_interval(server, request, flow, minimum);
            return State::Established(self);
        }
        let step = if is_invite {
            self.offer_answer.invite(Side::Remote, body.is_some())
        } else {
            self.offer_answer.update(Side::Remote, body.is_some())
        };
        if let Err(conflict) = step {
            cx.refuse_conflict(server, request, flow, conflict);
            return State::Established(self);
        }
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            let _ = dialog.heard(request, flow);
        }
        self.largest_minimum = self.largest_minimum.max(read_session_timer(request).minimum);
        let has_offer = body.is_some();
        self.theirs = Some(Received { server, request: request.clone(), has_offer });
        if !is_invite && !has_offer {
            let _ = self.answer_modification(common, cx, None, &Headers::new());
            return State::Established(self);
        }
        if has_offer && body == self.remote && self.local.is_some() && self.offer_answer.is_established() {
            // The same description as before: a refresh.
            let local = self.local.clone();
            let _ = self.answer_modification(common, cx, local, &Headers::new());
            return State::Established(self);
        }
        cx.servers.insert(server, Served::Modify(common.handle));
        cx.event(Event::ModifyReceived { call: common.handle, message: request.clone() });
        if has_offer {
            self.note_remote(body.as_ref());
            let carrier = if is_invite { Carrier::Invite } else { Carrier::Update };
            common.offer(cx, self.fork, carrier, body);
        } else {
            cx.event(Event::OfferRequested { call: common.handle });
        }
        State::Established(self)
    }

    /// The application's answer to whatever offer is open: in the 2xx to the peer's request, or in the ACK.
    pub(crate) fn answer_offer(
        &mut self,
        common: &Common,
        cx: &mut Context,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<(), Misuse> {
        if self.late.is_some() {
            self.offer_answer.ack(Side::Local, body.is_some()).map_err(Misuse::OfferAnswer)?;
            self.local = body.clone().or_else(|| self.local.take());
            self.acknowledge_late(common, cx, body.as_ref());
            return Ok(());
        }
        self.answer_modification(common, cx, body, headers)
    }

    fn answer_modification(
        &mut self,
        common: &Common,
        cx: &mut Context,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<(), Misuse> {
        let Some(theirs) = self.theirs.take() else { return Err(Misuse::WrongState) };
        let mut offer_answer = self.offer_answer.clone();
        let is_invite = *theirs.request.method() == Method::Invite;
        let step = if is_invite {
            offer_answer.success(Side::Local, body.is_some())
        } else {
            offer_answer.update_final(Side::Local, true, body.is_some())
        };
        if let Err(conflict) = step {
            self.theirs = Some(theirs);
            return Err(Misuse::OfferAnswer(conflict));
        }
        let reply = Reply { headers: headers.clone(), body: body.clone(), ..Reply::new(StatusCode::OK) };
        let (reply, session) = Self::with_session_timer(common, cx, &theirs.request, reply);
        let response = match self.respond_modification(common, cx, &theirs, &reply) {
            Ok(response) => response,
            Err(misuse) => {
                self.theirs = Some(theirs);
                return Err(misuse);
            }
        };
        self.offer_answer = offer_answer;
        self.session = session;
        if let Some(body) = body {
            self.local = Some(body);
        }
        if is_invite {
            self.await_ack(cx, theirs.server, &theirs.request, response, false);
        } else {
            cx.servers.remove(&theirs.server);
        }
        Ok(())
    }

    /// The application refuses the peer's change.
    pub(crate) fn refuse_offer(
        &mut self,
        common: &Common,
        cx: &mut Context,
        reply: &Reply,
    ) -> Result<(), Misuse> {
        if !reply.status.is_final() || reply.status.is_success() {
            return Err(Misuse::Status);
        }
        let Some(theirs) = self.theirs.take() else { return Err(Misuse::WrongState) };
        if let Err(misuse) = self.respond_modification(common, cx, &theirs, reply) {
            self.theirs = Some(theirs);
            return Err(misuse);
        }
        cx.servers.remove(&theirs.server);
        self.undo_theirs(&theirs);
        cx.event(Event::OfferAborted { call: common.handle, reason: OfferAbort::RefusedHere(reply.status) });
        Ok(())
    }

    pub(super) fn on_cancel(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
    ) -> State {
        let Some(theirs) = self.theirs.take_if(|theirs| theirs.server == server) else {
            return State::Established(self);
        };
        cx.answer_plainly(server, &theirs.request, StatusCode::REQUEST_TERMINATED);
        cx.servers.remove(&server);
        self.undo_theirs(&theirs);
        cx.event(Event::OfferAborted { call: common.handle, reason: OfferAbort::Withdrawn });
        State::Established(self)
    }

    fn undo_theirs(&mut self, theirs: &Received) {
        let _ = theirs.has_offer;
        if *theirs.request.method() == Method::Invite {
            self.offer_answer.invite_failed();
        } else {
            let _ = self.offer_answer.update_final(Side::Local, false, false);
        }
    }

    fn respond_modification(
        &self,
        common: &Common,
        cx: &mut Context,
        theirs: &Received,
        reply: &Reply,
    ) -> Result<Response, Misuse> {
        let contact = cx.dialogs.get(self.dialog).map(|dialog| common.face.contact_on(&dialog.flow));
        let mut builder = cx.response(&theirs.request, reply, None)?;
        if reply.status.is_success() {
            builder = cx.capabilities(builder.header_if(HeaderName::Contact, contact));
        }
        let response = builder.finish()?;
        cx.transactions.respond(theirs.server, &response, cx.now)?;
        Ok(response)
    }
}

/// When to try again after 491 (§14.1): 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in tens of
/// milliseconds.
fn glare_delay(cx: &mut Context, owns_call_id: bool) -> Instant {
    let tens = if owns_call_id { cx.random.below(191).saturating_add(210) } else { cx.random.below(201) };
    cx.now.checked_add(Duration::from_millis(u64::from(tens).saturating_mul(10))).unwrap_or(cx.now)
}

/// `Retry-After`, when it is short enough to wait for.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.get(HeaderName::RetryAfter)?;
    let seconds: u64 = value.split([';', '(', ' ']).next()?.trim().parse().ok()?;
    (seconds <= 10).then(|| Duration::from_secs(seconds))
}

/// Writes `Session-Expires` and `Min-SE` of a request.
pub(crate) fn write_session_timer(
    builder: crate::message::RequestBuilder,
    requested: &session_timer::Requested,
) -> crate::message::RequestBuilder {
    let value = requested.interval.map(|interval| match requested.refresher {
        Some(refresher) => format!("{};refresher={}", interval.as_secs(), refresher.as_str()),
        None => interval.as_secs().to_string(),
    });
    builder
        .header_if(HeaderName::SessionExpires, value)
        .header_if(HeaderName::MinSe, requested.minimum.map(|minimum| minimum.as_secs()))
}
