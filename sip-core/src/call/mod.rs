//! Calls: the INVITE usage of a dialog (RFC 3261 §13–15 and what extends it).
//!
//! ```text
//! outgoing      INVITE sent, not yet answered: forks, CANCEL         RFC 3261 §13.2, §9.1
//! incoming      INVITE received, not yet answered                    RFC 3261 §13.3
//! established   answered: ACK, BYE                                   RFC 3261 §13.3.1.4, §15
//! session       what was offered and answered in one dialog
//! modification  re-INVITE, UPDATE from here                          RFC 3261 §14, RFC 3311
//! received      re-INVITE, UPDATE, PRACK with an offer from there    RFC 3261 §14, RFC 6141
//! reliable_provisional   PRACK                                       RFC 3262
//! aftermath     2xx that still arrive after the first                RFC 3261 §13.2.2.4, RFC 6026
//! offer_answer  when offers and answers may travel                   RFC 6337
//! session_timer who refreshes when                                   RFC 4028
//! info          INFO packages, digits by INFO                        RFC 6086
//! answer_mode   who lets a telephone answer by itself                RFC 5373
//! caller_identity   who calls, and how much of it is told            RFC 3323, RFC 3325
//! ringing       how a telephone is to ring                           RFC 7462
//! ```
//!
//! A call is one of the three states; each event or command consumes the state and gives the next. A state ends the
//! call by returning `State::Over`, and `end` emits the one terminal event.

pub(crate) mod aftermath;
pub mod answer_mode;
pub mod caller_identity;
mod established;
mod incoming;
pub mod info;
mod modification;
pub mod offer_answer;
mod outgoing;
mod received;
mod reliable_provisional;
pub mod ringing;
mod session;
pub mod session_timer;

pub(crate) use established::Established;
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::{Outgoing, cancelled_here};
pub(crate) use session::{Session, write_session_timer};

use crate::{
    auth::client::ChallengeRefusal,
    command::{Body, CallOptions, Headers, Reply},
    context::{Context, Over, Report, Timer},
    dialog::{DialogHandle, Face},
    error::Misuse,
    event::{By, CallEnd, Event, OfferAbort},
    handle::{AuthHandle, CallHandle, ForkHandle, OutgoingHandle, RequestHandle},
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::{sync::Arc, time::Instant};

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) common: Common,
    pub(crate) state: State,
}

/// What every state has.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) handle: CallHandle,
    pub(crate) options: CallOptions,
    pub(crate) face: Arc<Face>,
    pub(crate) auth: Option<AuthHandle>,
    pub(crate) call_id: Box<str>,
    /// Requests inside the dialog that the application has not answered, and its own that are not completed.
    pub(crate) requests: Vec<RequestHandle>,
    pub(crate) outgoing: Vec<OutgoingHandle>,
}

/// Where a call is.
#[derive(Debug)]
pub(crate) enum State {
    /// Our INVITE awaits its final response.
    Outgoing(Box<Outgoing>),
    /// The peer's INVITE awaits ours.
    Incoming(Box<Incoming>),
    /// It was answered.
    Established(Box<Established>),
    /// It ended for this reason.
    Over(CallEnd),
}

impl State {
    pub(crate) fn over(reason: CallEnd) -> Self {
        Self::Over(reason)
    }
}

/// What to do with a call from outside.
impl Call {
    /// A response to the first INVITE, to a re-INVITE or UPDATE.
    pub(crate) fn on_response(
        &mut self,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) {
        self.step(cx, |state, common, cx| match state {
            State::Outgoing(it) => it.on_response(common, cx, client, response, flow, refusal),
            State::Incoming(it) => it.on_response(common, cx, client, response, flow),
            State::Established(it) => it.on_response(common, cx, client, response, flow),
            other @ State::Over(_) => other,
        });
    }

    /// A request of this call ended without final response.
    pub(crate) fn on_failure(&mut self, cx: &mut Context, client: ClientId, failure: EndReason) {
        self.step(cx, |state, common, cx| match state {
            State::Outgoing(it) => it.on_failure(common, cx, client, failure),
            State::Incoming(it) => it.on_failure(common, cx, client, failure),
            State::Established(it) => it.on_failure(common, cx, client, failure),
            other @ State::Over(_) => other,
        });
    }

    /// A request of this call was challenged and sent again.
    pub(crate) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        match &mut self.state {
            State::Outgoing(it) => it.on_resent(old, new),
            State::Incoming(it) => it.session.on_resent(old, new),
            State::Established(it) => it.session.on_resent(old, new),
            State::Over(_) => {}
        }
    }

    /// A request inside the dialog, in sequence.
    pub(crate) fn on_request(
        &mut self,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
        dialog: DialogHandle,
    ) {
        let flow_of = flow;
        self.step(cx, |state, common, cx| match (state, request.method()) {
            (State::Established(it), Method::Bye) => it.on_bye(common, cx, server, request),
            (State::Established(it), Method::Invite | Method::Update) => {
                it.on_modify(common, cx, server, request, flow_of)
            }
            (State::Established(mut it), Method::Prack) => {
                it.session.on_late_prack(cx, server, request, flow_of);
                State::Established(it)
            }
            (State::Outgoing(it), Method::Bye) => it.on_bye(cx, server, request, dialog),
            (State::Outgoing(it), Method::Update) => {
                it.on_update(common, cx, server, request, flow_of, dialog)
            }
            (State::Incoming(it), Method::Bye) => it.on_bye(common, cx, server, request),
            (State::Incoming(it), Method::Update) => it.on_update(common, cx, server, request, flow_of),
            (State::Incoming(it), Method::Prack) => it.on_prack(common, cx, server, request, flow_of),
            (state, _) => {
                cx.refuse(
                    server,
                    request,
                    flow_of,
                    StatusCode::SERVER_INTERNAL_ERROR,
                    crate::event::Refusal::Method,
                );
                state
            }
        });
    }

    /// An ACK.
    pub(crate) fn on_ack(&mut self, cx: &mut Context, request: &Request, flow: Flow) {
        self.step(cx, |state, common, cx| match state {
            State::Established(it) => it.on_ack(common, cx, request, flow),
            other => other,
        });
    }

    /// The peer sent CANCEL for an INVITE or re-INVITE of his.
    pub(crate) fn on_cancel(&mut self, cx: &mut Context, server: ServerId, reason: Option<String>) {
        self.step(cx, |state, common, cx| match state {
            State::Incoming(it) => it.on_cancel(common, cx, reason),
            State::Established(mut it) => {
                it.session.on_cancel(common, cx, server);
                State::Established(it)
            }
            other => other,
        });
    }

    /// A server transaction of this call is gone.
    pub(crate) fn on_server_ended(&mut self, cx: &mut Context, server: ServerId, reason: EndReason) {
        self.step(cx, |state, common, cx| match state {
            State::Incoming(it) => it.on_server_ended(common, cx, server, reason),
            State::Outgoing(mut it) => {
                it.on_server_ended(common, cx, server);
                State::Outgoing(it)
            }
            State::Established(mut it) => {
                it.session.on_server_ended(common, cx, server);
                State::Established(it)
            }
            other => other,
        });
    }

    /// Its deadline came.
    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        self.step(cx, |state, common, cx| match state {
            State::Outgoing(it) => it.on_timeout(common, cx),
            State::Incoming(it) => it.on_timeout(common, cx),
            State::Established(it) => it.on_timeout(common, cx),
            other @ State::Over(_) => other,
        });
    }

    /// Ends it, whatever it takes: CANCEL, BYE or a refusal.
    pub(crate) fn hang_up(&mut self, cx: &mut Context, headers: &Headers, end: CallEnd, status: StatusCode) {
        self.step(cx, |state, common, cx| match state {
            State::Outgoing(it) => it.cancel(common, cx, headers, end),
            State::Incoming(it) => {
                it.refuse(common, cx, &Reply::new(status).with_headers(headers.clone()), end)
            }
            State::Established(it) => it.hang_up(common, cx, headers, end),
            other @ State::Over(_) => other,
        });
    }

    /// Consumes the state, and puts the next one in.
    pub(crate) fn step(
        &mut self,
        cx: &mut Context,
        next: impl FnOnce(State, &mut Common, &mut Context) -> State,
    ) {
        let state = std::mem::replace(&mut self.state, State::over(CallEnd::ShutDown));
        self.state = next(state, &mut self.common, cx);
        let due = self.due();
        cx.deadlines.set(Timer::Call(self.common.handle), due);
        if matches!(self.state, State::Over(_)) {
            cx.over.push(Over::Call(self.common.handle));
        }
    }

    /// The same for a command, which may be refused without effect.
    pub(crate) fn try_step(
        &mut self,
        cx: &mut Context,
        next: impl FnOnce(State, &mut Common, &mut Context) -> (State, Result<(), Misuse>),
    ) -> Result<(), Misuse> {
        let mut outcome = Ok(());
        self.step(cx, |state, common, cx| {
            let (state, result) = next(state, common, cx);
            outcome = result;
            state
        });
        outcome
    }

    fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Outgoing(it) => it.due(),
            State::Incoming(it) => it.due(),
            State::Established(it) => it.due(),
            State::Over(_) => None,
        }
    }

    /// The dialogs it holds.
    pub(crate) fn dialogs(&self) -> Vec<DialogHandle> {
        match &self.state {
            State::Outgoing(it) => it.dialogs(),
            State::Incoming(it) => vec![it.session.dialog],
            State::Established(it) => vec![it.session.dialog],
            State::Over(_) => Vec::new(),
        }
    }
}

/// Events that several states emit.
impl Common {
    pub(crate) fn offer(
        &self,
        cx: &mut Context,
        fork: ForkHandle,
        carrier: offer_answer::Carrier,
        body: Option<Body>,
    ) {
        if let Some(body) = body {
            cx.event(Event::OfferReceived { call: self.handle, fork, carrier, body });
        }
    }

    /// Tells the transfer that asked for this call how it is going.
    pub(crate) fn report(&self, cx: &mut Context, status: StatusCode, reason: &str) {
        if let Some(transfer) = self.options.reports_to {
            cx.reports.push(Report { transfer, status, reason: reason.to_owned() });
        }
    }

    pub(crate) fn abort(&self, cx: &mut Context, reason: OfferAbort) {
        cx.event(Event::OfferAborted { call: self.handle, reason });
    }

    pub(crate) fn answer(
        &self,
        cx: &mut Context,
        fork: ForkHandle,
        carrier: offer_answer::Carrier,
        body: Option<Body>,
        preview: bool,
    ) {
        if let Some(body) = body {
            cx.event(Event::AnswerReceived { call: self.handle, fork, carrier, body, preview });
        }
    }
}

/// `Reason` of a request.
pub(crate) fn reason_of(fields: &crate::header::Fields) -> Option<String> {
    fields.get(HeaderName::Reason).map(str::to_owned)
}

/// The end of a call that the peer's BYE brought.
pub(crate) fn hung_up_by_peer(request: &Request) -> CallEnd {
    CallEnd::HungUp { by: By::Remote, reason: reason_of(request) }
}
