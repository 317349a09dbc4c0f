//! The notifier: RFC 6665 §4.2. A SUBSCRIBE that was accepted is told the state at once and at each change.
//!
//! One NOTIFY is under way at a time; what changes meanwhile goes out together afterwards, so that they cannot overtake
//! each other. A NOTIFY that is refused or stays without answer ends the subscription (§4.2.2).

use super::{SubscriptionEnd, SubscriptionState, TerminationReason, ends_subscription};
use crate::{
    command::{Body, Headers, Reply},
    context::{Context, Over, Owner, Timer, request_body, request_headers},
    dialog::{DialogHandle, Face, Usage},
    event::Event,
    handle::SubscriptionHandle,
    header::HeaderName,
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Notifier {
    pub(crate) handle: SubscriptionHandle,
    pub(crate) dialog: DialogHandle,
    event: String,
    face: Arc<Face>,
    state: SubscriptionState,
    expires_at: Instant,
    longest: Duration,
    body: Option<Body>,
    headers: Headers,
    under_way: Option<ClientId>,
    /// Something changed since the NOTIFY under way.
    changed: bool,
    /// The last NOTIFY was sent, or is to be: this is the end then.
    ending: Option<SubscriptionEnd>,
    over: bool,
}

impl Notifier {
    #[expect(clippy::too_many_arguments, reason = "the parts of a subscription, from one caller each role")]
    pub(crate) fn new(
        handle: SubscriptionHandle,
        dialog: DialogHandle,
        event: String,
        face: Arc<Face>,
        state: SubscriptionState,
        expires_at: Instant,
        longest: Duration,
        body: Option<Body>,
    ) -> Self {
        Self {
            handle,
            dialog,
            event,
            face,
            state,
            expires_at,
            longest,
            body,
            headers: Headers::new(),
            under_way: None,
            changed: false,
            ending: None,
            over: false,
        }
    }

    pub(crate) fn event(&self) -> &str {
        &self.event
    }

    /// The state changed.
    pub(crate) fn notify(
        &mut self,
        cx: &mut Context,
        state: SubscriptionState,
        body: Option<Body>,
        headers: Headers,
    ) {
        if let SubscriptionState::Terminated { reason, .. } = &state {
            self.ending = Some(SubscriptionEnd::Terminated { reason: reason.clone() });
        }
        self.state = state;
        self.body = body;
        self.headers = headers;
        self.send(cx);
    }

    /// It has just been asked for once only (§4.4.3): told, and over.
    pub(crate) fn end_at_once(&mut self, cx: &mut Context) {
        self.end_with(cx, TerminationReason::Timeout, SubscriptionEnd::Unsubscribed);
    }

    fn end_with(&mut self, cx: &mut Context, reason: TerminationReason, end: SubscriptionEnd) {
        self.state = SubscriptionState::Terminated { reason: Some(reason), retry_after: None };
        self.ending = Some(end);
        self.send(cx);
    }

    /// A SUBSCRIBE inside the dialog: a refresh, or the end (§4.2.1.2).
    pub(crate) fn on_subscribe(&mut self, cx: &mut Context, server: ServerId, request: &Request, flow: Flow) {
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            let _ = dialog.heard(request, flow);
        }
        let wished = request.expires().ok().flatten().map(|seconds| Duration::from_secs(u64::from(seconds)));
        let granted = wished.unwrap_or(self.longest).min(self.longest);
        self.confirm(cx, server, request, granted);
        self.expires_at = cx.now.checked_add(granted).unwrap_or(cx.now);
        if granted.is_zero() {
            self.end_with(cx, TerminationReason::Timeout, SubscriptionEnd::Unsubscribed);
        } else {
            cx.event(Event::SubscriptionRefreshed { subscription: self.handle, expires_in: granted });
            self.send(cx);
        }
    }

    /// 200 with `Expires`.
    pub(crate) fn confirm(&self, cx: &mut Context, server: ServerId, request: &Request, granted: Duration) {
        let Some(dialog) = cx.dialogs.get(self.dialog) else { return };
        let (tag, contact) =
            (dialog.id.local_tag.clone(), self.face.contact_on(&dialog.flow, request, &cx.transactions));
        let Ok(builder) = cx.response(request, &Reply::new(StatusCode::OK), Some(&tag)) else { return };
        let builder =
            builder.header(HeaderName::Contact, contact).header(HeaderName::Expires, granted.as_secs());
        if let Ok(response) = cx.capabilities(builder).finish() {
            cx.respond(server, response);
        }
    }

    /// 202 to a REFER (RFC 3515 §2.4.2).
    pub(crate) fn accept_refer(&self, cx: &mut Context, server: ServerId, request: &Request) {
        let Some(dialog) = cx.dialogs.get(self.dialog) else { return };
        let (tag, contact) =
            (dialog.id.local_tag.clone(), self.face.contact_on(&dialog.flow, request, &cx.transactions));
        let Ok(builder) = cx.response(request, &Reply::new(StatusCode::ACCEPTED), Some(&tag)) else { return };
        if let Ok(response) = builder.header(HeaderName::Contact, contact).finish() {
            cx.respond(server, response);
        }
    }

    /// Sends NOTIFY, now or after the one under way.
    pub(crate) fn send(&mut self, cx: &mut Context) {
        if self.over {
            return;
        }
        if self.under_way.is_some() {
            self.changed = true;
            return;
        }
        self.changed = false;
        let state = self.state_text(cx);
        let sent = cx
            .dialogs
            .get_mut(self.dialog)
            .and_then(|dialog| Some((dialog.target().ok()?, dialog.request(Method::Notify).ok()?)));
        let Some((target, builder)) = sent else { return self.finish(cx, SubscriptionEnd::Expired) };
        let builder = builder
            .header(HeaderName::Event, &self.event)
            .header(HeaderName::SubscriptionState, state)
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let request = request_body(request_headers(builder, &self.headers), self.body.as_ref()).finish();
        let owner = Owner::Subscription(self.handle);
        let options = self.face.send_options(true);
        let client = request
            .map_err(crate::error::Misuse::from)
            .and_then(|request| cx.send(owner, request, target, options, None, Some(self.dialog)));
        match client {
            Ok(client) => self.under_way = Some(client),
            Err(_) => self.finish(cx, SubscriptionEnd::Failed(EndReason::Unreachable)),
        }
        self.arm(cx);
    }

    fn state_text(&self, cx: &Context) -> String {
        let left = self.expires_at.saturating_duration_since(cx.now).as_millis().div_ceil(1000);
        match &self.state {
            SubscriptionState::Active => format!("active;expires={left}"),
            SubscriptionState::Pending => format!("pending;expires={left}"),
            SubscriptionState::Terminated { reason, retry_after } => {
                let reason = reason.as_ref().map(|reason| format!(";reason={reason}")).unwrap_or_default();
                let after =
                    retry_after.map(|after| format!(";retry-after={}", after.as_secs())).unwrap_or_default();
                format!("terminated{reason}{after}")
            }
        }
    }

    pub(crate) fn on_response(&mut self, cx: &mut Context, client: ClientId, response: &Response) {
        if self.under_way != Some(client) || !response.status().is_final() {
            return;
        }
        self.under_way = None;
        let status = response.status();
        if self.changed {
            // Also when a last word is still to be said.
            if status.is_success() {
                return self.send(cx);
            }
        }
        if let Some(end) = self.ending.take() {
            return self.finish(cx, end);
        }
        if ends_subscription(status.code()) || status == StatusCode::REQUEST_TIMEOUT {
            return self.finish(cx, SubscriptionEnd::Refused(Box::new(response.clone())));
        }
        self.arm(cx);
    }

    pub(crate) fn on_failure(&mut self, cx: &mut Context, client: ClientId, failure: EndReason) {
        if self.under_way == Some(client) {
            self.under_way = None;
            let end = self.ending.take().unwrap_or(SubscriptionEnd::Failed(failure));
            self.finish(cx, end);
        }
    }

    pub(crate) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if self.under_way == Some(old) {
            self.under_way = Some(new);
        }
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        if self.expires_at <= cx.now && self.ending.is_none() && !self.over {
            self.end_with(cx, TerminationReason::Timeout, SubscriptionEnd::Expired);
        }
        self.arm(cx);
    }

    /// Ends it from here, telling nobody but the subscriber.
    pub(crate) fn shut_down(&mut self, cx: &mut Context) {
        self.end_with(cx, TerminationReason::Deactivated, SubscriptionEnd::ShutDown);
    }

    fn finish(&mut self, cx: &mut Context, end: SubscriptionEnd) {
        if !self.over {
            self.over = true;
            self.ending = Some(end);
            cx.over.push(Over::Subscription(self.handle));
        }
        self.arm(cx);
    }

    fn arm(&self, cx: &mut Context) {
        let due = (self.ending.is_none() && !self.over).then_some(self.expires_at);
        cx.deadlines.set(Timer::Subscription(self.handle), due);
    }

    /// It has left the table: its last words.
    pub(crate) fn bury(self: Box<Self>, cx: &mut Context) {
        if let Some(client) = self.under_way {
            cx.clients.remove(&client);
        }
        cx.dialogs.release(self.dialog, Usage::Subscription(self.handle));
        cx.deadlines.set(Timer::Subscription(self.handle), None);
        let reason = self.ending.unwrap_or(SubscriptionEnd::ShutDown);
        cx.event(Event::SubscriptionEnded { subscription: self.handle, reason });
    }
}
