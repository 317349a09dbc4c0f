//! The publisher: makes event state known to a compositor, keeps it alive, changes it, withdraws it (RFC 3903 §4).
//!
//! Every 2xx brings a new entity tag; a 412 says that the compositor knows ours no more, and the whole state is sent
//! again as if for the first time. One request is under way at a time; a change meanwhile waits for its end.

use super::PublicationFailure;
use crate::{
    auth::client::ChallengeRefusal,
    command::{Body, Publish, Tagged},
    context::{Context, Over, Owner, Timer, request_body, request_headers},
    dialog::Face,
    event::Event,
    handle::{AuthHandle, PublicationHandle},
    header::{CSeq, HeaderName, RetryAfter},
    message::{Method, Request, Response, StatusCode},
    transaction::EndReason,
};
use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Publication {
    handle: PublicationHandle,
    publish: Publish,
    face: Face,
    auth: Option<AuthHandle>,
    call_id: String,
    tag: String,
    sequence: u32,
    entity_tag: Option<String>,
    failures: u32,
    /// The state has changed since the request under way was sent.
    changed: bool,
    /// It is to be withdrawn when the request under way is answered.
    withdraw: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Publishing { with_body: bool },
    Published { refresh_at: Instant },
    Waiting { retry_at: Instant },
    Withdrawing,
    Over(Option<PublicationFailure>),
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
        Self {
            handle,
            publish,
            face,
            auth,
            call_id,
            tag,
            sequence: 0,
            entity_tag: None,
            failures: 0,
            changed: false,
            withdraw: false,
            state: State::Publishing { with_body: true },
        }
    }

    /// Sends the whole state.
    pub(crate) fn start(&mut self, cx: &mut Context) {
        self.send(cx, true, self.publish.expires);
    }

    /// The state is another one now.
    pub(crate) fn change(&mut self, cx: &mut Context, body: Body) {
        self.publish.body = Some(body);
        match self.state {
            State::Publishing { .. } => self.changed = true,
            State::Published { .. } | State::Waiting { .. } => self.send(cx, true, self.publish.expires),
            State::Withdrawing | State::Over(_) => {}
        }
    }

    /// Withdraws it.
    pub(crate) fn leave(&mut self, cx: &mut Context) {
        match self.state {
            State::Publishing { .. } => self.withdraw = true,
            State::Published { .. } if self.entity_tag.is_some() => self.send(cx, false, Duration::ZERO),
            State::Published { .. } | State::Waiting { .. } => self.state = State::Over(None),
            State::Withdrawing | State::Over(_) => {}
        }
        self.arm(cx);
    }

    fn send(&mut self, cx: &mut Context, with_body: bool, expires: Duration) {
        // Without an entity tag there is nothing to refresh: the whole state goes.
        let with_body = with_body || self.entity_tag.is_none();
        self.sequence = self.sequence.saturating_add(1);
        self.changed = false;
        let sent = self.write(cx, with_body, expires).and_then(|request| {
            let owner = Owner::Publication(self.handle);
            let options = self.face.send_options(false);
            cx.send(owner, request, self.publish.target.clone(), options, self.auth, None)
        });
        self.state = match (sent, expires.is_zero()) {
            (Ok(_), false) => State::Publishing { with_body },
            (Ok(_), true) => State::Withdrawing,
            (Err(_), true) => State::Over(None),
            (Err(_), false) => {
                return self.wait(cx, PublicationFailure::Unreachable(EndReason::Unreachable), None);
            }
        };
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
            .header(HeaderName::CSeq, CSeq { sequence: self.sequence, method: Method::Publish })
            .header(HeaderName::Event, &self.publish.event)
            .header(HeaderName::Expires, expires.as_secs())
            .header_if(HeaderName::SipIfMatch, self.entity_tag.as_ref())
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let body = self.publish.body.as_ref().filter(|_| with_body && !expires.is_zero());
        Ok(request_body(request_headers(builder, &self.publish.headers), body).finish()?)
    }

    pub(crate) fn on_resent(&mut self, sequence: Option<u32>) {
        self.sequence = self.sequence.max(sequence.unwrap_or(0));
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
        match self.state {
            State::Withdrawing => self.state = State::Over(None),
            State::Publishing { .. } if status.is_success() => self.on_success(cx, response),
            State::Publishing { .. } if self.withdraw => self.state = State::Over(None),
            State::Publishing { .. } => self.on_refused(cx, response, refusal),
            State::Published { .. } | State::Waiting { .. } | State::Over(_) => {}
        }
        self.arm(cx);
    }

    fn on_success(&mut self, cx: &mut Context, response: &Response) {
        self.entity_tag = response.get(HeaderName::SipEtag).map(str::to_owned);
        self.failures = 0;
        let expires_in = response
            .expires()
            .ok()
            .flatten()
            .map_or(self.publish.expires, |seconds| Duration::from_secs(u64::from(seconds)))
            .max(Duration::from_secs(1));
        // As registrations: not all at once for ever after.
        let share = u64::from(cx.random.below(400).saturating_add(500));
        let millis = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
        let after = Duration::from_millis(millis.saturating_mul(share).saturating_div(1000).max(500));
        self.state = State::Published { refresh_at: cx.now.checked_add(after).unwrap_or(cx.now) };
        if self.entity_tag.is_none() {
            return self.wait(cx, PublicationFailure::NoEntityTag, None);
        }
        if self.withdraw {
            return self.send(cx, false, Duration::ZERO);
        }
        let response = response.clone();
        cx.event(Event::Published { publication: self.handle, expires_in, response });
        if self.changed {
            self.send(cx, true, self.publish.expires);
        }
    }

    fn on_refused(&mut self, cx: &mut Context, response: &Response, refusal: Option<ChallengeRefusal>) {
        match (response.status(), refusal) {
            (StatusCode::CONDITIONAL_REQUEST_FAILED, _) if self.entity_tag.take().is_some() => {
                self.send(cx, true, self.publish.expires);
            }
            (StatusCode::INTERVAL_TOO_BRIEF, _) if self.ask_for_longer(response) => {
                let State::Publishing { with_body } = self.state else { return };
                self.send(cx, with_body, self.publish.expires);
            }
            (_, Some(reason)) => self.wait(cx, PublicationFailure::NotAuthenticated(reason), None),
            (_, None) => {
                let after = response.typed::<RetryAfter<'_>>().ok().flatten();
                let after = after.map(|after| Duration::from_secs(u64::from(after.seconds.min(3600))));
                self.wait(cx, PublicationFailure::Refused(Box::new(response.clone())), after);
            }
        }
    }

    fn ask_for_longer(&mut self, response: &Response) -> bool {
        let minimum = response.number(HeaderName::MinExpires, 86_400).ok().flatten().unwrap_or(0);
        let minimum = Duration::from_secs(minimum);
        let longer = minimum > self.publish.expires;
        if longer {
            self.publish.expires = minimum;
        }
        longer
    }

    pub(crate) fn on_failure(&mut self, cx: &mut Context, failure: EndReason) {
        match self.state {
            State::Withdrawing => self.state = State::Over(None),
            State::Publishing { .. } if self.withdraw => self.state = State::Over(None),
            State::Publishing { .. } => self.wait(cx, PublicationFailure::Unreachable(failure), None),
            State::Published { .. } | State::Waiting { .. } | State::Over(_) => {}
        }
        self.arm(cx);
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        let (due, with_body) = match self.state {
            State::Published { refresh_at } => (refresh_at <= cx.now, false),
            State::Waiting { retry_at } => (retry_at <= cx.now, true),
            _ => (false, false),
        };
        if due {
            self.send(cx, with_body, self.publish.expires);
        }
    }

    fn wait(&mut self, cx: &mut Context, reason: PublicationFailure, at_least: Option<Duration>) {
        let wait =
            cx.back_off(self.failures, cx.config.registration.first_wait).max(at_least.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { retry_at: cx.now.checked_add(wait).unwrap_or(cx.now) };
        cx.event(Event::PublicationFailed { publication: self.handle, reason, retry_in: wait });
        self.arm(cx);
    }

    fn arm(&self, cx: &mut Context) {
        let at = match self.state {
            State::Published { refresh_at: at } | State::Waiting { retry_at: at } => Some(at),
            _ => None,
        };
        cx.deadlines.set(Timer::Publication(self.handle), at);
        if matches!(self.state, State::Over(_)) && !cx.over.contains(&Over::Publication(self.handle)) {
            cx.over.push(Over::Publication(self.handle));
        }
    }

    /// It has left the table: its last words.
    pub(crate) fn bury(self: Box<Self>, cx: &mut Context) {
        cx.forget_credentials(self.auth);
        cx.deadlines.set(Timer::Publication(self.handle), None);
        if let State::Over(reason) = self.state {
            cx.event(Event::PublicationEnded { publication: self.handle, reason });
        }
    }
}
