//! The publisher: makes event state known to a compositor, keeps it alive, changes it, withdraws it (RFC 3903 §4).
//!
//! Every 2xx brings a new entity tag; a 412 says that the compositor knows ours no more, and the whole state is sent
//! again as if for the first time. One request is under way at a time; a change meanwhile waits for its end. When it
//! refreshes and how long it waits: `upkeep`.

use super::PublicationFailure;
use crate::{
    auth::client::ChallengeRefusal,
    command::{Body, Publish, Tagged},
    context::{Context, Over, Owner, Timer, request_body, request_headers},
    dialog::Face,
    event::Event,
    handle::{AuthHandle, PublicationHandle},
    header::{CSeq, HeaderName},
    message::{Method, Request, Response, StatusCode},
    transaction::EndReason,
    upkeep::{State, Upkeep, retry_after},
};
use std::time::Duration;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Publication {
    handle: PublicationHandle,
    publish: Publish,
    face: Face,
    auth: Option<AuthHandle>,
    call_id: String,
    tag: String,
    entity_tag: Option<String>,
    /// The request under way has the whole state with it.
    with_body: bool,
    /// The state has changed since the request under way was sent.
    changed: bool,
    upkeep: Upkeep<PublicationFailure>,
}

impl Publication {
    pub(crate) fn new(
        handle: PublicationHandle,
        publish: Publish,
        face: Face,
        auth: Option<AuthHandle>,
        call_id: String,
        tag: String,
    ) -> Self {
        let upkeep = Upkeep::new(publish.expires);
        let (entity_tag, with_body, changed) = (None, true, false);
        Self { handle, publish, face, auth, call_id, tag, entity_tag, with_body, changed, upkeep }
    }

    /// Sends the whole state.
    pub(crate) fn start(&mut self, cx: &mut Context) {
        self.send(cx, true, self.upkeep.expires);
    }

    /// The state is another one now.
    pub(crate) fn change(&mut self, cx: &mut Context, body: Body) {
        self.publish.body = Some(body);
        match self.upkeep.state {
            State::Asking { .. } => self.changed = true,
            State::Held { .. } | State::Waiting { .. } => self.send(cx, true, self.upkeep.expires),
            State::Withdrawing | State::Over(_) => {}
        }
    }

    /// Withdraws it.
    pub(crate) fn leave(&mut self, cx: &mut Context) {
        match &mut self.upkeep.state {
            State::Asking { withdraw } => *withdraw = true,
            State::Held { .. } if self.entity_tag.is_some() => self.send(cx, false, Duration::ZERO),
            State::Held { .. } | State::Waiting { .. } => self.upkeep.state = State::Over(None),
            State::Withdrawing | State::Over(_) => {}
        }
        self.arm(cx);
    }

    fn send(&mut self, cx: &mut Context, with_body: bool, expires: Duration) {
        // Without an entity tag there is nothing to refresh: the whole state goes.
        let with_body = with_body || self.entity_tag.is_none();
        self.with_body = with_body;
        self.upkeep.next_sequence();
        self.changed = false;
        let sent = self.write(cx, with_body, expires).and_then(|request| {
            let owner = Owner::Publication(self.handle);
            let options = self.face.send_options(false);
            cx.send(owner, request, self.publish.target.clone(), options, self.auth, None)
        });
        if !self.upkeep.sent(sent.is_ok(), expires.is_zero()) {
            self.wait(cx, PublicationFailure::Unreachable(EndReason::Unreachable), None);
        }
        self.arm(cx);
    }

    fn write(
        &self,
        cx: &Context,
        with_body: bool,
        expires: Duration,
    ) -> Result<Request, crate::error::Misuse> {
        let mut builder = Request::builder(Method::Publish, &self.publish.request_uri);
        for route in &self.publish.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        let builder = builder
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::From, Tagged(&self.publish.from, Some(&self.tag)))
            .header(HeaderName::To, Tagged(&self.publish.to, None))
            .header(HeaderName::CallId, &self.call_id)
            .header(HeaderName::CSeq, CSeq { sequence: self.upkeep.sequence, method: Method::Publish })
            .header(HeaderName::Event, &self.publish.event)
            .header(HeaderName::Expires, expires.as_secs())
            .header_if(HeaderName::SipIfMatch, self.entity_tag.as_ref())
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let body = self.publish.body.as_ref().filter(|_| with_body && !expires.is_zero());
        Ok(request_body(request_headers(builder, &self.publish.headers), body).finish()?)
    }

    pub(crate) fn on_resent(&mut self, sequence: Option<u32>) {
        self.upkeep.on_resent(sequence);
    }

    pub(crate) fn on_response(
        &mut self,
        cx: &mut Context,
        response: &Response,
        refusal: Option<ChallengeRefusal>,
    ) {
        let status = response.status();
        if !status.is_final() {
            return;
        }
        match self.upkeep.state {
            State::Withdrawing => self.upkeep.state = State::Over(None),
            State::Asking { withdraw } if status.is_success() => self.on_success(cx, response, withdraw),
            State::Asking { withdraw: true } => self.upkeep.state = State::Over(None),
            State::Asking { withdraw: false } => self.on_refused(cx, response, refusal),
            State::Held { .. } | State::Waiting { .. } | State::Over(_) => {}
        }
        self.arm(cx);
    }

    fn on_success(&mut self, cx: &mut Context, response: &Response, withdraw: bool) {
        self.entity_tag = response.get(HeaderName::SipEtag).map(str::to_owned);
        let expires_in = response
            .expires()
            .ok()
            .flatten()
            .map_or(self.upkeep.expires, |seconds| Duration::from_secs(u64::from(seconds)))
            .max(Duration::from_secs(1));
        self.upkeep.held(cx, expires_in);
        match (self.entity_tag.is_some(), withdraw) {
            (true, true) => return self.send(cx, false, Duration::ZERO),
            // Nothing by which it could be withdrawn.
            (false, true) => {
                self.upkeep.state = State::Over(None);
                return;
            }
            (false, false) => return self.wait(cx, PublicationFailure::NoEntityTag, None),
            (true, false) => {}
        }
        let response = response.clone();
        cx.event(Event::Published { publication: self.handle, expires_in, response });
        if self.changed {
            self.send(cx, true, self.upkeep.expires);
        }
    }

    fn on_refused(&mut self, cx: &mut Context, response: &Response, refusal: Option<ChallengeRefusal>) {
        match (response.status(), refusal) {
            (StatusCode::CONDITIONAL_REQUEST_FAILED, _) if self.entity_tag.take().is_some() => {
                self.send(cx, true, self.upkeep.expires);
            }
            (StatusCode::INTERVAL_TOO_BRIEF, _) if self.upkeep.ask_for_longer(response) => {
                self.send(cx, self.with_body, self.upkeep.expires);
            }
            (_, Some(reason)) => self.wait(cx, PublicationFailure::NotAuthenticated(reason), None),
            (_, None) => {
                let after = retry_after(response);
                self.wait(cx, PublicationFailure::Refused(Box::new(response.clone())), after);
            }
        }
    }

    pub(crate) fn on_failure(&mut self, cx: &mut Context, failure: EndReason) {
        match self.upkeep.state {
            State::Withdrawing | State::Asking { withdraw: true } => self.upkeep.state = State::Over(None),
            State::Asking { withdraw: false } => {
                self.wait(cx, PublicationFailure::Unreachable(failure), None)
            }
            State::Held { .. } | State::Waiting { .. } | State::Over(_) => {}
        }
        self.arm(cx);
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        if self.upkeep.due().is_some_and(|at| at <= cx.now) {
            let with_body = matches!(self.upkeep.state, State::Waiting { .. });
            self.send(cx, with_body, self.upkeep.expires);
        }
    }

    fn wait(&mut self, cx: &mut Context, reason: PublicationFailure, at_least: Option<Duration>) {
        let retry_in = self.upkeep.failed(cx, cx.config.registration.first_wait, at_least);
        cx.event(Event::PublicationFailed { publication: self.handle, reason, retry_in });
        self.arm(cx);
    }

    fn arm(&self, cx: &mut Context) {
        self.upkeep.arm(cx, Timer::Publication(self.handle), Over::Publication(self.handle));
    }

    /// It has left the table: its last words.
    pub(crate) fn bury(self: Box<Self>, cx: &mut Context) {
        cx.forget_credentials(self.auth);
        cx.deadlines.set(Timer::Publication(self.handle), None);
        if let State::Over(reason) = self.upkeep.state {
            cx.event(Event::PublicationEnded { publication: self.handle, reason });
        }
    }
}
