//! The peer's changes of a session: re-INVITE (RFC 3261 §14), UPDATE (RFC 3311) and PRACK with an offer (RFC 3262 §5).
//!
//! What changes nothing (a refresh of RFC 4028, the same description again) is answered here; the rest awaits the
//! application. Session and target stay as they were until it accepts (RFC 6141 §3.3, §4.6).

use super::{
    Common,
    offer_answer::{Carrier, Conflict, Meaning, Side},
    session::{Session, read_session_timer},
    session_timer::{self, Answered},
};
use crate::{
    command::{Body, Headers, Reply},
    context::{Context, Served, demands_another_body, description},
    error::Misuse,
    event::{Event, OfferAbort, Refusal},
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::ServerId,
};

/// The peer's re-INVITE, UPDATE or PRACK with an offer.
#[derive(Debug)]
pub(crate) struct Received {
    pub(super) server: ServerId,
    pub(super) request: Request,
}

/// A 2xx to the peer's re-INVITE, which is to be repeated until its ACK comes.
pub(crate) struct Unacknowledged {
    pub(super) server: ServerId,
    pub(super) request: Request,
    pub(super) response: Response,
}

impl Received {
    /// The call ends before it was answered (RFC 3261 §15.1.2).
    pub(super) fn refuse_at_the_end(self, cx: &mut Context) {
        cx.answer_plainly(self.server, &self.request, StatusCode::REQUEST_TERMINATED);
        cx.servers.remove(&self.server);
    }
}

impl Session {
    /// A re-INVITE or UPDATE. What is returned was answered at once and awaits its ACK.
    pub(super) fn on_modify(
        &mut self,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) -> Option<Unacknowledged> {
        let is_invite = *request.method() == Method::Invite;
        let body = description(request);
        if self.theirs.is_some() && (is_invite || body.is_some()) {
            // His request before this one awaits our application. So no exchange ends within a re-INVITE of his, and it
            // may always be refused (RFC 6141 §3.3).
            cx.refuse_conflict(server, request, flow, Conflict::PeerInvite);
            return None;
        }
        if body.is_none() && demands_another_body(request) {
            // Not as one without an offer, for something was said in it (RFC 3261 §8.2.3).
            let mut reply = Reply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            let _ = reply.headers.push(HeaderName::Accept.as_str(), "application/sdp");
            cx.refuse_with(server, request, flow, &reply, Refusal::MediaType);
            return None;
        }
        let requested = read_session_timer(request);
        if let Some(policy) = &common.options.session_timer
            && let Answered::TooSmall(minimum) = session_timer::answer(policy, &requested)
        {
            cx.refuse_interval(server, request, flow, minimum);
            return None;
        }
        let step = if is_invite {
            self.offer_answer.invite(Side::Remote, body.is_some())
        } else {
            self.offer_answer.update(Side::Remote, body.is_some())
        };
        if let Err(conflict) = step {
            cx.refuse_conflict(server, request, flow, conflict);
            return None;
        }
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            dialog.heard_of_peer(request, flow);
        }
        self.largest_minimum = self.largest_minimum.max(requested.minimum);
        let has_offer = body.is_some();
        let is_same =
            has_offer && body == self.remote && self.local.is_some() && self.offer_answer.is_established();
        let theirs = Box::new(Received { server, request: request.clone() });
        if !is_invite && !has_offer {
            // What else of his is under way stays so.
            let before = self.theirs.replace(theirs);
            let _ = self.answer_modification(common, cx, None, &Headers::new());
            self.theirs = before;
            return None;
        }
        self.theirs = Some(theirs);
        if is_same {
            // The same description as before: a refresh.
            let local = self.local.clone();
            return self.answer_modification(common, cx, local, &Headers::new()).ok().flatten();
        }
        cx.servers.insert(server, Served::Session(common.handle));
        cx.event(Event::ModifyReceived { call: common.handle, message: request.clone() });
        if has_offer {
            let carrier = if is_invite { Carrier::Invite } else { Carrier::Update };
            common.offer(cx, self.fork, carrier, body);
        } else {
            cx.event(Event::OfferRequested { call: common.handle });
        }
        None
    }

    /// A PRACK that acknowledges what we sent: answered at once, unless it holds an offer.
    pub(super) fn on_prack(
        &mut self,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
    ) {
        let body = description(request);
        match self.offer_answer.prack(Side::Remote, body.is_some()) {
            Ok(Meaning::Offer) => {
                self.theirs = Some(Box::new(Received { server, request: request.clone() }));
                cx.servers.insert(server, Served::Session(common.handle));
                common.offer(cx, self.fork, Carrier::Prack, body);
                return;
            }
            Ok(Meaning::Answer) => {
                self.note_remote(body.as_ref());
                common.answer(cx, self.fork, Carrier::Prack, body, false);
            }
            Ok(Meaning::AnswerMissing) => common.abort(cx, OfferAbort::NotAnswered),
            Ok(_) | Err(_) => {}
        }
        cx.answer_plainly(server, request, StatusCode::OK);
        let _ = self.offer_answer.prack_final(Side::Local, true, false);
    }

    /// The application's answer to whatever offer is open: in the 2xx to the peer's request, in the ACK or PRACK.
    pub(crate) fn answer_offer(
        &mut self,
        common: &Common,
        cx: &mut Context,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<Option<Unacknowledged>, Misuse> {
        if self.late.is_some() {
            self.offer_answer.ack(Side::Local, body.is_some()).map_err(Misuse::OfferAnswer)?;
            self.note_local(body.as_ref());
            self.acknowledge_late(common, cx, body.as_ref());
            return Ok(None);
        }
        if self.holds_prack() {
            let Some(body) = body else { return Err(Misuse::OfferAnswer(Conflict::AnswerDue)) };
            self.acknowledge_held(common, cx, &body);
            return Ok(None);
        }
        self.answer_modification(common, cx, body, headers)
    }

    /// Whether an answer or offer of the application is due.
    pub(super) fn owes(&self) -> bool {
        self.late.is_some() || self.holds_prack() || self.theirs.is_some()
    }

    fn answer_modification(
        &mut self,
        common: &Common,
        cx: &mut Context,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<Option<Unacknowledged>, Misuse> {
        let Some(theirs) = self.theirs.take() else { return Err(Misuse::WrongState) };
        let mut offer_answer = self.offer_answer.clone();
        let method = theirs.request.method().clone();
        let step = match method {
            Method::Invite => offer_answer.success(Side::Local, body.is_some()),
            Method::Prack => offer_answer.prack_final(Side::Local, true, body.is_some()),
            _ => offer_answer.update_final(Side::Local, true, body.is_some()),
        };
        if let Err(conflict) = step {
            self.theirs = Some(theirs);
            return Err(Misuse::OfferAnswer(conflict));
        }
        let reply = Reply { headers: headers.clone(), body: body.clone(), ..Reply::new(StatusCode::OK) };
        let (reply, timer) = match method {
            Method::Prack => (reply, self.timer),
            _ => Self::with_session_timer(common, cx, &theirs.request, reply),
        };
        let response = match self.respond_modification(common, cx, &theirs, &reply) {
            Ok(response) => response,
            Err(misuse) => {
                self.theirs = Some(theirs);
                return Err(misuse);
            }
        };
        self.offer_answer = offer_answer;
        self.timer = timer;
        self.note_local(body.as_ref());
        let Received { server, request } = *theirs;
        // Only now: a change that is refused leaves everything as it was (RFC 6141 §3.3, §4.6).
        self.note_remote(description(&request).as_ref());
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog).filter(|_| method != Method::Prack) {
            let _ = dialog.refresh_target(&request);
        }
        if method == Method::Invite {
            return Ok(Some(Unacknowledged { server, request, response }));
        }
        cx.servers.remove(&server);
        Ok(None)
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
        common.abort(cx, OfferAbort::RefusedHere(reply.status));
        Ok(())
    }

    pub(super) fn on_cancel(&mut self, common: &mut Common, cx: &mut Context, server: ServerId) {
        let Some(theirs) = self.theirs.take_if(|theirs| theirs.server == server) else { return };
        cx.answer_plainly(server, &theirs.request, StatusCode::REQUEST_TERMINATED);
        cx.servers.remove(&server);
        self.undo_theirs(&theirs);
        common.abort(cx, OfferAbort::Withdrawn);
    }

    pub(super) fn on_server_ended(&mut self, common: &Common, cx: &mut Context, server: ServerId) {
        let Some(theirs) = self.theirs.take_if(|theirs| theirs.server == server) else { return };
        self.undo_theirs(&theirs);
        common.abort(cx, OfferAbort::NotAnswered);
    }

    fn undo_theirs(&mut self, theirs: &Received) {
        match theirs.request.method() {
            Method::Invite => drop(self.offer_answer.invite_failed()),
            Method::Prack => drop(self.offer_answer.prack_final(Side::Local, false, false)),
            _ => drop(self.offer_answer.update_final(Side::Local, false, false)),
        }
    }

    fn respond_modification(
        &self,
        common: &Common,
        cx: &mut Context,
        theirs: &Received,
        reply: &Reply,
    ) -> Result<Response, Misuse> {
        let mut builder = cx.response(&theirs.request, reply, None)?;
        if reply.status.is_success() && *theirs.request.method() != Method::Prack {
            let contact = cx
                .dialogs
                .get(self.dialog)
                .map(|dialog| common.face.contact_on(&dialog.flow, &theirs.request, &cx.transactions));
            builder = builder.header_if(HeaderName::Contact, contact);
            builder = cx.capabilities_of(builder, &common.options);
        }
        let response = builder.finish()?;
        cx.transactions.respond(theirs.server, &response, cx.now)?;
        Ok(response)
    }
}
