//! An INVITE of the peer that is not yet answered: RFC 3261 §13.3, §9.2.

use super::{
    Common, State,
    established::Established,
    hung_up_by_peer,
    offer_answer::{Meaning, OfferAnswer, Side},
};
use crate::{
    command::Reply,
    context::{Context, description},
    dialog::{DialogHandle, Usage},
    error::Misuse,
    event::{By, CallEnd},
    handle::ForkHandle,
    header::HeaderName,
    message::{Request, Response, StatusCode},
    transaction::{EndReason, ServerId},
};
use std::time::{Duration, Instant};

/// A provisional response is repeated after a minute, so that proxies do not give up (§13.3.1.1).
const RENEW_AFTER: Duration = Duration::from_secs(60);

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) server: ServerId,
    pub(crate) request: Request,
    pub(crate) dialog: DialogHandle,
    pub(crate) offer_answer: OfferAnswer,
    pub(crate) provisional: Option<(Response, Instant)>,
    pub(crate) give_up_at: Option<Instant>,
    /// The answer was given in a provisional response and holds for the 2xx too.
    pub(crate) previewed: Option<crate::command::Body>,
}

impl Incoming {
    pub(crate) fn dialog(&self) -> Option<DialogHandle> {
        Some(self.dialog)
    }

    /// 101–199.
    pub(crate) fn ring(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reply: &Reply,
    ) -> (State, Result<(), Misuse>) {
        if !reply.status.is_provisional() || reply.status == StatusCode::TRYING {
            return (State::Incoming(self), Err(Misuse::Status));
        }
        let body = reply.body.as_ref().filter(|body| body.content_type.contains("sdp"));
        if let Some(body) = body
            && self.offer_answer.provisional(Side::Local, true) == Meaning::Preview
        {
            self.previewed = Some(body.clone());
        }
        let response = match self.respond(common, cx, reply) {
            Ok(response) => response,
            Err(misuse) => return (State::Incoming(self), Err(misuse)),
        };
        let renew_at = cx.now.checked_add(RENEW_AFTER);
        self.provisional = renew_at.map(|at| (response, at));
        (State::Incoming(self), Ok(()))
    }

    /// 2xx.
    pub(crate) fn answer(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reply: &Reply,
    ) -> (State, Result<(), Misuse>) {
        if !reply.status.is_success() {
            return (State::Incoming(self), Err(Misuse::Status));
        }
        let mut reply = reply.clone();
        if reply.body.is_none() {
            reply.body = self.previewed.clone();
        }
        let mut offer_answer = self.offer_answer.clone();
        if let Err(conflict) = offer_answer.success(Side::Local, reply.body.is_some()) {
            return (State::Incoming(self), Err(Misuse::OfferAnswer(conflict)));
        }
        let (reply, timer) = Established::with_session_timer(common, cx, &self.request, reply);
        let response = match self.respond(common, cx, &reply) {
            Ok(response) => response,
            Err(misuse) => return (State::Incoming(self), Err(misuse)),
        };
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            dialog.is_confirmed = true;
        }
        let established = Established::as_callee(
            cx,
            self.dialog,
            offer_answer,
            self.server,
            &self.request,
            response,
            reply.body.clone(),
            timer,
        );
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
        if self.respond(common, cx, reply).is_err() {
            // What the application put in cannot be written; the caller must not ring on for that.
            let _ = self.respond(common, cx, &Reply::new(reply.status));
        }
        self.leave(common, cx, end)
    }

    pub(crate) fn on_cancel(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reason: Option<String>,
    ) -> State {
        let _ = self.respond(common, cx, &Reply::new(StatusCode::REQUEST_TERMINATED));
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
        let _ = self.respond(common, cx, &Reply::new(StatusCode::REQUEST_TERMINATED));
        self.leave(common, cx, hung_up_by_peer(request))
    }

    pub(crate) fn on_server_ended(
        self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        reason: EndReason,
    ) -> State {
        let end = CallEnd::Unreachable(reason);
        self.leave(common, cx, end)
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        if self.give_up_at.is_some_and(|at| at <= cx.now) {
            return self.refuse(
                common,
                cx,
                &Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE),
                CallEnd::NotAnswered,
            );
        }
        if let Some((response, at)) = self.provisional.take() {
            if at > cx.now {
                self.provisional = Some((response, at));
            } else {
                cx.respond(self.server, response.clone());
                self.provisional = cx.now.checked_add(RENEW_AFTER).map(|at| (response, at));
            }
        }
        State::Incoming(self)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let renew = self.provisional.as_ref().map(|(_, at)| *at);
        [renew, self.give_up_at].into_iter().flatten().min()
    }

    fn respond(&self, common: &Common, cx: &mut Context, reply: &Reply) -> Result<Response, Misuse> {
        let (tag, contact) = match cx.dialogs.get(self.dialog) {
            Some(dialog) => (dialog.id.local_tag.clone(), common.face.contact_on(&dialog.flow)),
            None => return Err(Misuse::UnknownHandle),
        };
        let mut builder = cx.response(&self.request, reply, Some(&tag))?;
        let status = reply.status;
        if status.code() > 100 && status.code() < 300 && reply.headers.get(HeaderName::Contact).is_none() {
            builder = builder.header(HeaderName::Contact, contact);
        }
        if status.is_success() || status.is_provisional() {
            builder = cx.capabilities(builder);
        }
        let response = builder.finish()?;
        cx.transactions.respond(self.server, &response, cx.now)?;
        Ok(response)
    }

    fn leave(self: Box<Self>, common: &Common, cx: &mut Context, end: CallEnd) -> State {
        cx.servers.remove(&self.server);
        cx.dialogs.release(self.dialog, Usage::Call(common.handle));
        State::over(end)
    }

    /// What the INVITE offered, to be told when it becomes a call.
    pub(crate) fn first_events(&mut self, common: &Common, cx: &mut Context) {
        let body = description(&self.request);
        match self.offer_answer.invite(Side::Remote, body.is_some()) {
            Ok(Meaning::Offer) => {
                common.offer(cx, ForkHandle(0), super::offer_answer::Carrier::Invite, body);
            }
            _ => cx.event(crate::event::Event::OfferRequested { call: common.handle }),
        }
    }
}
