//! Our changes of a session: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311). The peer's are in [`received`](super::received).
//!
//! When both sides want a change at once, each refuses the other's with 491 and tries again after a while that differs
//! between them (§14.1). A change that fails leaves session and target as they were (RFC 6141 §3, §4). Refreshes of
//! RFC 4028 take the same road without troubling the application.

use super::{
    Common,
    aftermath::Aftermath,
    offer_answer::{Carrier, Conflict, Meaning, Side},
    session::{Late, Session, read_session_timer, write_session_timer},
    session_timer,
};
use crate::{
    command::{Body, Headers},
    context::{Client, Context, Owner, description, request_body, request_headers},
    dialog::DialogHandle,
    error::Misuse,
    event::{CallEnd, Event, OfferAbort},
    header::{HeaderName, RetryAfter},
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason},
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
        /// When a re-INVITE is cancelled that goes on with provisional responses alone.
        cancel_at: Option<Instant>,
    },
    /// Refused for the moment; to be sent again then.
    Waiting(Instant),
}

impl Modification {
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.progress {
            Progress::Sent { cancel_at, .. } => *cancel_at,
            Progress::Waiting(at) => Some(*at),
        }
    }

    pub(super) fn is(&self, client: ClientId) -> bool {
        matches!(&self.progress, Progress::Sent { client: own, .. } if *own == client)
    }

    pub(super) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if let Progress::Sent { client, .. } = &mut self.progress
            && *client == old
        {
            *client = new;
        }
    }

    /// The call ends before its answer: nobody waits for it any more, but a 2xx to a re-INVITE still gets its ACK
    /// (RFC 5407 §3.2.3). It is waited for 64·T1: the 2xx may have been lost for good, and a peer that has got our BYE
    /// repeats it no more.
    pub(super) fn forget(self, common: &Common, cx: &mut Context, dialog: DialogHandle) {
        let Progress::Sent { client, request, .. } = self.progress else { return };
        cx.transactions.abandon(client, cx.now);
        let dialog = cx.dialogs.get(dialog).filter(|_| self.method == Method::Invite);
        let aftermath = dialog.and_then(|dialog| {
            let target = dialog.target().ok()?;
            let ack = dialog.ack(request.cseq().ok()?.sequence).ok()?.finish().ok()?;
            let mut aftermath =
                Aftermath::new(*request, common.face.clone(), dialog.way, dialog.last_sequence());
            aftermath.remember(&dialog.id.remote_tag, Some((ack, target)));
            Some(Box::new(aftermath))
        });
        match (aftermath, cx.clients.get_mut(&client)) {
            (Some(aftermath), Some(record)) => {
                *record = Client { owner: Owner::Answered(aftermath), auth: None, sent: None };
            }
            _ => drop(cx.clients.remove(&client)),
        }
    }
}

impl Session {
    /// Sends a re-INVITE or UPDATE.
    pub(crate) fn modify(
        &mut self,
        common: &Common,
        cx: &mut Context,
        method: Method,
        body: Option<Body>,
        headers: Headers,
    ) -> Result<(), Misuse> {
        if self.ours.is_some() {
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
                let is_invite = method == Method::Invite;
                let cancel_at = cx.now.checked_add(cx.config.modification_patience).filter(|_| is_invite);
                let progress = Progress::Sent { client, request: Box::new(request), cancel_at };
                self.ours =
                    Some(Box::new(Modification { method, body, headers, is_refresh, attempts, progress }));
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
        let builder = cx.capabilities_of(builder, &common.options);
        let mut builder = builder.header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        if let Some(policy) = &common.options.session_timer {
            let requested = session_timer::request(policy, self.largest_minimum, self.timer.as_ref());
            builder = write_session_timer(builder, &requested);
        }
        let request = request_body(request_headers(builder, headers), body).finish()?;
        let options = common.face.send_options(true);
        let owner = Owner::Session(common.handle);
        let client = cx.send(owner, request.clone(), target, options, common.auth, Some(self.dialog))?;
        Ok((client, request))
    }

    /// Refreshes the session: UPDATE without offer when the peer knows it, else the last description once more.
    pub(super) fn refresh(&mut self, common: &Common, cx: &mut Context) {
        if self.ours.is_some() {
            return;
        }
        if let Some(timer) = &mut self.timer {
            // Until the answer tells otherwise: a refresh that fails is not repeated at once.
            timer.postpone(cx.now);
        }
        let by_update = cx.dialogs.get(self.dialog).is_some_and(|dialog| dialog.peer_allows.update);
        let (method, body) =
            if by_update { (Method::Update, None) } else { (Method::Invite, self.local.clone()) };
        let _ = self.send_modification(common, cx, method, body, Headers::new(), true, 0);
    }

    /// Ours may be due: to be sent again, or to be cancelled (RFC 3261 §14.1) because the peer comes to no end.
    pub(super) fn on_modification_due(&mut self, common: &Common, cx: &mut Context) {
        let now = cx.now;
        let Some(mut ours) = self.ours.take_if(|ours| ours.due().is_some_and(|at| at <= now)) else {
            return;
        };
        if let Progress::Sent { client, cancel_at, .. } = &mut ours.progress {
            *cancel_at = None;
            // Its end is told by its final response, or by its transaction after 64·T1.
            let _ = cx.transactions.cancel(*client, &[], now);
            self.ours = Some(ours);
            return;
        }
        let Modification { method, body, headers, is_refresh, attempts, .. } = *ours;
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
                self.ours =
                    Some(Box::new(Modification { method, body, headers, is_refresh, attempts, progress }));
            }
            Err(_) if is_refresh => {}
            Err(_) => common.abort(cx, OfferAbort::Glare),
        }
    }

    /// A response to ours. `Err`: the call has to end.
    pub(super) fn on_modification_response(
        &mut self,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
    ) -> Result<(), CallEnd> {
        let Some(ours) = self.ours.take_if(|ours| ours.is(client)) else { return Ok(()) };
        let status = response.status();
        if status.is_provisional() {
            self.ours = Some(ours);
            if status != StatusCode::TRYING {
                self.on_provisional(common, cx, response, true);
            }
            return Ok(());
        }
        if status.is_success() {
            self.on_modified(common, cx, &ours, client, response, flow);
            return Ok(());
        }
        let has_changed = ours.method == Method::Invite && self.offer_answer.has_changed_within_invite();
        self.roll_back(&ours.method);
        match status {
            StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT => {
                return Err(CallEnd::DialogLost { method: ours.method, status: Some(status) });
            }
            StatusCode::SESSION_INTERVAL_TOO_SMALL => {
                let asked = read_session_timer(response).minimum;
                self.largest_minimum = self.largest_minimum.max(asked);
                self.wait_and_retry(common, cx, *ours, cx.now, response);
            }
            StatusCode::REQUEST_PENDING => {
                let at = glare_delay(cx, self.owns_call_id(cx));
                self.wait_and_retry(common, cx, *ours, at, response);
            }
            StatusCode::SERVER_INTERNAL_ERROR if retry_after(response).is_some() => {
                let at = retry_after(response).and_then(|delay| cx.now.checked_add(delay)).unwrap_or(cx.now);
                self.wait_and_retry(common, cx, *ours, at, response);
            }
            _ if has_changed => {
                common.abort(cx, OfferAbort::RefusedAfterChange { response: Box::new(response.clone()) });
            }
            _ if ours.is_refresh => {}
            _ => common.abort(cx, OfferAbort::Refused { response: Box::new(response.clone()) }),
        }
        Ok(())
    }

    fn on_modified(
        &mut self,
        common: &mut Common,
        cx: &mut Context,
        ours: &Modification,
        client: ClientId,
        response: &Response,
        flow: Flow,
    ) {
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
        self.note_local(ours.body.as_ref());
        let carrier = if is_invite { Carrier::Success } else { Carrier::UpdateSuccess };
        let mut missing = false;
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
            Ok(Meaning::AnswerMissing | Meaning::OfferMissing) => missing = true,
            Ok(_) | Err(_) => {}
        }
        if is_invite && let Progress::Sent { request, .. } = &ours.progress {
            self.acknowledge_reinvite(common, cx, client, request, response);
        }
        self.conclude_session_timer(common, cx, response);
        if missing {
            common.abort(cx, OfferAbort::NotAnswered);
        } else if !ours.is_refresh {
            cx.event(Event::Modified { call: common.handle, response: response.clone() });
        }
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
        let mut aftermath =
            Aftermath::new(request.clone(), common.face.clone(), dialog.way, dialog.last_sequence());
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
                common.abort(cx, reason);
            }
            return;
        }
        let attempts = ours.attempts.saturating_add(1);
        self.ours = Some(Box::new(Modification { attempts, progress: Progress::Waiting(at), ..ours }));
    }

    /// Ours stayed without response. `Err`: the call has to end.
    pub(super) fn on_modification_failure(
        &mut self,
        common: &Common,
        cx: &mut Context,
        client: ClientId,
        failure: EndReason,
    ) -> Result<(), CallEnd> {
        let Some(ours) = self.ours.take_if(|ours| ours.is(client)) else { return Ok(()) };
        self.roll_back(&ours.method);
        if failure == EndReason::TimedOut {
            return Err(CallEnd::DialogLost { method: ours.method, status: None });
        }
        if !ours.is_refresh {
            common.abort(cx, OfferAbort::Failed(failure));
        }
        Ok(())
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
}

/// When to try again after 491 (§14.1): 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in tens of
/// milliseconds.
fn glare_delay(cx: &mut Context, owns_call_id: bool) -> Instant {
    let tens = if owns_call_id { cx.random.below(191).saturating_add(210) } else { cx.random.below(201) };
    cx.now.checked_add(Duration::from_millis(u64::from(tens).saturating_mul(10))).unwrap_or(cx.now)
}

/// `Retry-After`, when it is short enough to wait for.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.typed::<RetryAfter<'_>>().ok()??;
    (value.seconds <= 10).then(|| Duration::from_secs(u64::from(value.seconds)))
}
