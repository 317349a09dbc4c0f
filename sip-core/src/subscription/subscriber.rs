//! The subscriber: RFC 6665 §4.1. SUBSCRIBE, refreshed before it runs out; each NOTIFY answered and told.
//!
//! One SUBSCRIBE may reach several notifiers; each that answers by NOTIFY before timer N fires is a [leg](legs) of its own
//! (§4.1.4). A subscription that is to be kept is made anew when it is lost, after a wait that its reason or
//! RFC 5626's back-off gives.

mod legs;

use super::SubscriptionEnd;
use crate::{
    auth::client::ChallengeRefusal,
    command::{Subscribe, Tagged},
    context::{Context, Over, Owner, Timer, request_body, request_headers},
    dialog::Face,
    error::Misuse,
    event::Event,
    handle::{AuthHandle, SubscriptionHandle},
    header::{CSeq, HeaderName, RetryAfter},
    io::Flow,
    message::{Method, Request, RequestBuilder, Response, StatusCode},
    transaction::{ClientId, EndReason},
};
use legs::Leg;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) handle: SubscriptionHandle,
    origin: Origin,
    face: Arc<Face>,
    auth: Option<AuthHandle>,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    event: String,
    request: Option<Request>,
    initial: Initial,
    legs: Vec<Leg>,
    /// Until then further notifiers may answer the first request (timer N).
    forks_until: Option<Instant>,
    next_fork: u16,
    failures: u32,
    /// The REFER was challenged and sent again: the id of its NOTIFYs is another.
    was_resent: bool,
    /// `unsubscribe` was asked for.
    leaving: bool,
    end: Option<SubscriptionEnd>,
}

/// How it came to be.
#[derive(Debug)]
enum Origin {
    /// By SUBSCRIBE.
    Subscribe(Box<Subscribe>),
    /// By REFER (RFC 3515). One outside dialogs has credentials of its own, one of a call uses the call's.
    Refer { owns_credentials: bool },
}

/// The request that made it.
#[derive(Debug)]
enum Initial {
    /// Under way, or answered and without NOTIFY; given up then (timer N).
    Sent { client: Option<ClientId>, give_up_at: Option<Instant> },
    /// At least one NOTIFY came, or nothing more is expected of it.
    Done,
    /// To be sent again then.
    Waiting { retry_at: Instant },
}

impl Subscriber {
    pub(crate) fn new(
        handle: SubscriptionHandle,
        subscribe: Subscribe,
        face: Arc<Face>,
        auth: Option<AuthHandle>,
        call_id: String,
        tag: String,
    ) -> Self {
        let event = subscribe.event.clone();
        Self::with_origin(handle, Origin::Subscribe(Box::new(subscribe)), face, auth, call_id, tag, event)
    }

    /// What a REFER makes; `event` is `refer`, with the id of the REFER's sequence number.
    pub(crate) fn of_refer(
        handle: SubscriptionHandle,
        face: Arc<Face>,
        auth: Option<AuthHandle>,
        owns_credentials: bool,
        call_id: String,
        tag: String,
    ) -> Self {
        let origin = Origin::Refer { owns_credentials };
        Self::with_origin(handle, origin, face, auth, call_id, tag, "refer".to_owned())
    }

    fn with_origin(
        handle: SubscriptionHandle,
        origin: Origin,
        face: Arc<Face>,
        auth: Option<AuthHandle>,
        call_id: String,
        tag: String,
        event: String,
    ) -> Self {
        let initial = Initial::Sent { client: None, give_up_at: None };
        Self {
            handle,
            origin,
            face,
            auth,
            call_id,
            tag,
            event,
            request: None,
            initial,
            legs: Vec::new(),
            forks_until: None,
            next_fork: 0,
            failures: 0,
            was_resent: false,
            leaving: false,
            end: None,
        }
    }

    /// Whether a NOTIFY of an unknown dialog answers our SUBSCRIBE (§4.4.1).
    pub(crate) fn expects(&self, request: &Request) -> bool {
        let waits = self.forks_until.is_some() && self.end.is_none();
        let to_us = request.call_id().ok() == Some(&*self.call_id) && request.to_tag() == Some(&*self.tag);
        waits && to_us && self.takes(request)
    }

    /// RFC 3515 §2.4.6: the NOTIFY of the first REFER in a dialog may lack the id.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        let theirs = request.get(HeaderName::Event).unwrap_or_default();
        super::same_event(&self.event, theirs)
            || matches!(self.origin, Origin::Refer { .. })
                && (self.was_resent && theirs.starts_with("refer") || super::same_event("refer", theirs))
    }

    // -- the first request

    /// Sends the SUBSCRIBE that begins it.
    pub(crate) fn start(&mut self, cx: &mut Context) -> Result<(), Misuse> {
        let Origin::Subscribe(subscribe) = &self.origin else { return Err(Misuse::WrongState) };
        let expires = if self.leaving { Duration::ZERO } else { subscribe.expires };
        let request = write_subscribe(cx, subscribe, &self.call_id, &self.tag, expires)?;
        let owner = Owner::Subscription(self.handle);
        let (target, options) = (subscribe.target.clone(), self.face.send_options(true));
        let client = cx.send(owner, request.clone(), target, options, self.auth, None)?;
        self.sent(cx, client, request);
        Ok(())
    }

    /// The request that begins it was sent.
    pub(crate) fn sent(&mut self, cx: &mut Context, client: ClientId, request: Request) {
        if let (Origin::Refer { .. }, Ok(cseq)) = (&self.origin, request.cseq()) {
            self.event = format!("refer;id={}", cseq.sequence);
        }
        self.request = Some(request);
        self.initial = Initial::Sent { client: Some(client), give_up_at: timer_n(cx) };
        self.forks_until = timer_n(cx);
        cx.awaiting_notify.insert(self.tag.clone().into(), self.handle);
        self.arm(cx);
    }

    pub(crate) fn on_response(
        &mut self,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) {
        if !response.status().is_final() {
            return;
        }
        if let Some(at) = self.legs.iter().position(|leg| leg.refresh == Some(client)) {
            self.on_refreshed(cx, at, response);
        } else if matches!(&self.initial, Initial::Sent { client: Some(own), .. } if *own == client) {
            self.on_begun(cx, response, flow, refusal);
        }
        self.arm(cx);
    }

    fn on_begun(
        &mut self,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) {
        if let Initial::Sent { client, .. } = &mut self.initial {
            *client = None;
        }
        let status = response.status();
        if !status.is_success() {
            let end = match refusal {
                Some(refusal) => SubscriptionEnd::NotAuthenticated(refusal),
                None => SubscriptionEnd::Refused(Box::new(response.clone())),
            };
            let again = status == StatusCode::INTERVAL_TOO_BRIEF && self.ask_for_longer(response);
            return if again { self.restart(cx) } else { self.failed(cx, end, retry_after(response)) };
        }
        let expires = response.expires().ok().flatten();
        if let Origin::Refer { .. } = self.origin {
            let refused = response.get("Refer-Sub").is_some_and(|it| it.trim().eq_ignore_ascii_case("false"));
            cx.event(Event::TransferAccepted { transfer: self.handle, response: response.clone() });
            if refused {
                // RFC 4488: done, and nobody will tell how it went.
                return self.over(cx, SubscriptionEnd::Accepted);
            }
        } else {
            let expires_in = Duration::from_secs(u64::from(expires.unwrap_or(3600)));
            cx.event(Event::Subscribed { subscription: self.handle, expires_in, response: response.clone() });
        }
        self.enter_by_response(cx, response, flow, expires);
    }

    pub(crate) fn on_failure(&mut self, cx: &mut Context, client: ClientId, failure: EndReason) {
        if let Some(at) = self.legs.iter().position(|leg| leg.refresh == Some(client)) {
            self.drop_leg(cx, at);
            self.leg_lost(cx, SubscriptionEnd::Failed(failure));
        } else if matches!(&self.initial, Initial::Sent { client: Some(own), .. } if *own == client) {
            self.failed(cx, SubscriptionEnd::Failed(failure), None);
        }
        self.arm(cx);
    }

    pub(crate) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        for leg in &mut self.legs {
            if leg.refresh == Some(old) {
                leg.refresh = Some(new);
            }
        }
        if let Initial::Sent { client: Some(client), .. } = &mut self.initial
            && *client == old
        {
            *client = new;
            self.was_resent = true;
        }
    }

    fn ask_for_longer(&mut self, response: &Response) -> bool {
        let Origin::Subscribe(subscribe) = &mut self.origin else { return false };
        let minimum = response.get(HeaderName::MinExpires).and_then(|it| it.trim().parse().ok()).unwrap_or(0);
        let minimum = Duration::from_secs(minimum);
        let longer = minimum > subscribe.expires && minimum <= Duration::from_secs(86_400);
        if longer {
            subscribe.expires = minimum;
        }
        longer
    }

    // -- the end

    /// Ends it from here.
    pub(crate) fn leave(&mut self, cx: &mut Context) {
        self.leaving = true;
        match self.initial {
            Initial::Waiting { .. } => self.over(cx, SubscriptionEnd::Unsubscribed),
            _ if self.legs.is_empty() => {
                // The answer to the first request is still to come; then, or after timer N, it ends.
            }
            _ => self.leave_legs(cx),
        }
        self.arm(cx);
    }

    /// Nothing stands any more.
    fn failed(&mut self, cx: &mut Context, end: SubscriptionEnd, after: Option<Duration>) {
        if self.leaving {
            return self.over(cx, SubscriptionEnd::Unsubscribed);
        }
        if !self.is_kept() {
            return self.over(cx, end);
        }
        let wait = cx.back_off(self.failures, cx.config.registration.first_wait);
        self.failures = self.failures.saturating_add(1);
        self.wait(cx, end, wait.max(after.unwrap_or_default()));
    }

    fn wait(&mut self, cx: &mut Context, reason: SubscriptionEnd, wait: Duration) {
        self.initial = Initial::Waiting { retry_at: cx.now.checked_add(wait).unwrap_or(cx.now) };
        cx.event(Event::SubscriptionLost { subscription: self.handle, reason, retry_in: wait });
    }

    fn stop_awaiting(&mut self, cx: &mut Context) {
        self.forks_until = None;
        if cx.awaiting_notify.get(&*self.tag) == Some(&self.handle) {
            cx.awaiting_notify.remove(&*self.tag);
        }
    }

    fn restart(&mut self, cx: &mut Context) {
        self.stop_awaiting(cx);
        // §4.1.2.2: with a Call-ID and tag of its own.
        self.call_id = cx.new_call_id();
        self.tag = cx.tag();
        if self.start(cx).is_err() {
            self.failed(cx, SubscriptionEnd::Failed(EndReason::Unreachable), None);
        }
    }

    fn is_kept(&self) -> bool {
        matches!(&self.origin, Origin::Subscribe(subscribe) if subscribe.keep)
    }

    fn over(&mut self, cx: &mut Context, end: SubscriptionEnd) {
        if self.end.is_none() {
            self.end = Some(end);
            cx.over.push(Over::Subscription(self.handle));
        }
    }

    /// It has left the table: its last words.
    pub(crate) fn bury(mut self: Box<Self>, cx: &mut Context) {
        self.stop_awaiting(cx);
        while !self.legs.is_empty() {
            self.drop_leg(cx, 0);
        }
        if let Initial::Sent { client: Some(client), .. } = self.initial {
            cx.clients.remove(&client);
        }
        cx.forget_credentials(
            self.auth.filter(|_| !matches!(self.origin, Origin::Refer { owns_credentials: false })),
        );
        cx.deadlines.set(Timer::Subscription(self.handle), None);
        let reason = self.end.unwrap_or(SubscriptionEnd::ShutDown);
        cx.event(Event::SubscriptionEnded { subscription: self.handle, reason });
    }

    // -- time

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        let now = cx.now;
        if self.forks_until.is_some_and(|at| at <= now) {
            self.stop_awaiting(cx);
        }
        match self.initial {
            Initial::Waiting { retry_at } if retry_at <= now => self.restart(cx),
            Initial::Sent { give_up_at: Some(at), .. } if at <= now => {
                self.initial = Initial::Done;
                while let Some(at) = self.legs.iter().position(|leg| !leg.heard) {
                    self.drop_leg(cx, at);
                }
                self.leg_lost(cx, SubscriptionEnd::NeverNotified);
            }
            _ => {}
        }
        while let Some(at) = self.legs.iter().position(|leg| leg.is_lost(now)) {
            let expired = self.legs.get(at).is_some_and(|leg| leg.notify_by.is_none());
            self.drop_leg(cx, at);
            self.leg_lost(
                cx,
                if expired { SubscriptionEnd::Expired } else { SubscriptionEnd::NeverNotified },
            );
        }
        for at in 0..self.legs.len() {
            if self.legs.get(at).is_some_and(|leg| leg.refresh_at.is_some_and(|at| at <= now)) {
                self.refresh_leg(cx, at);
            }
        }
        self.arm(cx);
    }

    fn arm(&self, cx: &mut Context) {
        let initial = match self.initial {
            Initial::Sent { give_up_at, .. } => give_up_at,
            Initial::Waiting { retry_at } => Some(retry_at),
            Initial::Done => None,
        };
        let legs = self.legs.iter().flat_map(|leg| {
            [leg.refresh_at, leg.notify_by, leg.expires_at.filter(|_| leg.notify_by.is_none())]
        });
        let due = if self.end.is_some() {
            None
        } else {
            legs.flatten().chain(initial).chain(self.forks_until).min()
        };
        cx.deadlines.set(Timer::Subscription(self.handle), due);
    }
}

fn write_subscribe(
    cx: &Context,
    subscribe: &Subscribe,
    call_id: &str,
    tag: &str,
    expires: Duration,
) -> Result<Request, Misuse> {
    let mut builder = Request::builder(Method::Subscribe, &subscribe.request_uri);
    for route in &subscribe.routes {
        builder = builder.header(HeaderName::Route, route);
    }
    let builder = builder
        .header(HeaderName::MaxForwards, 70)
        .header(HeaderName::From, Tagged(&subscribe.from, Some(tag)))
        .header(HeaderName::To, Tagged(&subscribe.to, None))
        .header(HeaderName::CallId, call_id)
        .header(HeaderName::CSeq, CSeq { sequence: 1, method: Method::Subscribe })
        .header(HeaderName::Event, &subscribe.event)
        .header(HeaderName::Expires, expires.as_secs())
        .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
    let builder = cx.capabilities(builder);
    Ok(request_body(subscribe_parts(builder, subscribe), subscribe.body.as_ref()).finish()?)
}

/// What each SUBSCRIBE of a subscription has beside its head.
fn subscribe_parts(builder: RequestBuilder, subscribe: &Subscribe) -> RequestBuilder {
    let accept = Some(&subscribe.accept).filter(|accept| !accept.is_empty());
    request_headers(builder.header_if(HeaderName::Accept, accept), &subscribe.headers)
}

/// Timer N: 64·T1.
fn timer_n(cx: &Context) -> Option<Instant> {
    cx.now.checked_add(cx.config.transactions.timers.t1.saturating_mul(64))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.typed::<RetryAfter<'_>>().ok()??;
    Some(Duration::from_secs(u64::from(value.seconds).min(3600)))
}
