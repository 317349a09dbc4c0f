//! The subscriber: RFC 6665 §4.1. SUBSCRIBE, refreshed before it runs out; each NOTIFY answered and told.
//!
//! One SUBSCRIBE may reach several notifiers; each that answers by NOTIFY is a leg with a dialog, a clock and a state of
//! its own (§4.1.4). A subscription that is to be kept is made anew when it is lost, after a wait that its reason or
//! RFC 5626's back-off gives.

use super::{SubscriptionEnd, SubscriptionState, TerminationReason, ends_subscription};
use crate::{
    auth::client::ChallengeRefusal,
    command::{Subscribe, Tagged},
    context::{Context, Over, Owner, Timer, request_body, request_headers},
    dialog::{Dialog, DialogHandle, Face, Usage, Way},
    error::Misuse,
    event::Event,
    handle::{AuthHandle, ForkHandle, SubscriptionHandle},
    header::{CSeq, HeaderName, RetryAfter},
    io::Flow,
    limits::Limit,
    message::{Method, Request, RequestBuilder, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
    transport::Target,
};
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
    /// By REFER (RFC 3515).
    Refer,
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

/// One notifier.
#[derive(Debug)]
struct Leg {
    fork: ForkHandle,
    dialog: DialogHandle,
    expires_at: Option<Instant>,
    refresh_at: Option<Instant>,
    /// A SUBSCRIBE inside the dialog.
    refresh: Option<ClientId>,
    /// Until when a NOTIFY has to follow it (timer N).
    notify_by: Option<Instant>,
    /// A NOTIFY has come.
    heard: bool,
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
        call_id: String,
        tag: String,
    ) -> Self {
        Self::with_origin(handle, Origin::Refer, face, auth, call_id, tag, "refer".to_owned())
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
            next_fork: 0,
            failures: 0,
            was_resent: false,
            leaving: false,
            end: None,
        }
    }

    /// Whether a NOTIFY of an unknown dialog answers our SUBSCRIBE (§4.4.1).
    pub(crate) fn expects(&self, request: &Request) -> bool {
        let waits = matches!(self.initial, Initial::Sent { .. });
        let to_us = request.call_id().ok() == Some(&*self.call_id)
            && request.to().ok().and_then(|to| to.tag()) == Some(&*self.tag);
        waits && to_us && self.takes(request)
    }

    /// RFC 3515 §2.4.6: the NOTIFY of the first REFER in a dialog may lack the id.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        let theirs = request.get(HeaderName::Event).unwrap_or_default();
        super::same_event(&self.event, theirs)
            || matches!(self.origin, Origin::Refer)
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
        if let (Origin::Refer, Ok(cseq)) = (&self.origin, request.cseq()) {
            self.event = format!("refer;id={}", cseq.sequence);
        }
        self.request = Some(request);
        self.initial = Initial::Sent { client: Some(client), give_up_at: timer_n(cx) };
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
        if let Origin::Refer = self.origin {
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

    /// The dialog of the notifier that answered; its NOTIFY may have come before.
    fn enter_by_response(&mut self, cx: &mut Context, response: &Response, flow: Flow, expires: Option<u32>) {
        let expires_at =
            expires.and_then(|seconds| cx.now.checked_add(Duration::from_secs(u64::from(seconds))));
        let tag = response.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let known = self
            .legs
            .iter()
            .position(|leg| cx.dialogs.get(leg.dialog).is_some_and(|dialog| *dialog.id.remote_tag == *tag));
        let is_refreshed = self.is_refreshed();
        if let Some(leg) = known.and_then(|at| self.legs.get_mut(at)) {
            if leg.expires_at.is_none() {
                leg.expires_at = expires_at;
                leg.refresh_at = if is_refreshed { refresh_at(cx, expires_at) } else { None };
            }
            return;
        }
        let Some(request) = &self.request else { return };
        let existing = cx.dialogs.find(crate::dialog::DialogIdRef {
            call_id: &self.call_id,
            local_tag: &self.tag,
            remote_tag: tag,
        });
        let usage = Usage::Subscription(self.handle);
        let dialog = match existing {
            Some(dialog) => {
                cx.dialogs.add_usage(dialog, usage);
                Some(dialog)
            }
            None => Dialog::of_client(request, response, flow, way_for(&self.origin, response))
                .ok()
                .and_then(|dialog| cx.dialogs.insert(dialog, usage)),
        };
        if let Some(dialog) = dialog {
            self.add_leg(cx, dialog, expires_at, false);
        }
    }

    fn add_leg(
        &mut self,
        cx: &mut Context,
        dialog: DialogHandle,
        expires_at: Option<Instant>,
        heard: bool,
    ) -> usize {
        let fork = ForkHandle(self.next_fork);
        self.next_fork = self.next_fork.saturating_add(1);
        let refresh_at = self.refresh_at(cx, expires_at);
        self.legs.push(Leg { fork, dialog, expires_at, refresh_at, refresh: None, notify_by: None, heard });
        self.legs.len().saturating_sub(1)
    }

    // -- NOTIFY

    /// A NOTIFY: answered, told, and acted upon.
    pub(crate) fn on_notify(&mut self, cx: &mut Context, server: ServerId, request: &Request, flow: Flow) {
        let Some((state, expires)) = SubscriptionState::read(request) else {
            cx.answer_plainly(server, request, StatusCode::BAD_REQUEST);
            return;
        };
        let Some(at) = self.leg_of(cx, request, flow) else {
            cx.answer_plainly(server, request, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
            return;
        };
        cx.answer_plainly(server, request, StatusCode::OK);
        self.initial = Initial::Done;
        self.failures = 0;
        let is_refreshed = self.is_refreshed();
        let Some(leg) = self.legs.get_mut(at) else { return };
        leg.heard = true;
        leg.notify_by = None;
        if let Some(expires) = expires {
            leg.expires_at = cx.now.checked_add(expires);
            if leg.refresh.is_none() && is_refreshed {
                leg.refresh_at = refresh_at(cx, leg.expires_at);
            }
        }
        let (fork, dialog) = (leg.fork, leg.dialog);
        if let Some(dialog) = cx.dialogs.get_mut(dialog) {
            let _ = dialog.heard(request, flow);
        }
        if matches!(self.origin, Origin::Refer)
            && let Some((status, reason)) =
                core::str::from_utf8(request.body()).ok().and_then(super::refer::parse)
        {
            cx.event(Event::TransferProgress { transfer: self.handle, status, reason });
        }
        cx.event(Event::Notified {
            subscription: self.handle,
            fork,
            state: state.clone(),
            message: request.clone(),
        });
        if let SubscriptionState::Terminated { reason, retry_after } = state {
            self.drop_leg(cx, at);
            self.leg_terminated(cx, reason, retry_after);
        } else if self.leaving {
            self.leave_legs(cx);
        }
        self.arm(cx);
    }

    fn leg_of(&mut self, cx: &mut Context, request: &Request, flow: Flow) -> Option<usize> {
        let tag = request.from().ok()?.tag().unwrap_or_default().to_owned();
        let known = self
            .legs
            .iter()
            .position(|leg| cx.dialogs.get(leg.dialog).is_some_and(|dialog| *dialog.id.remote_tag == *tag));
        if known.is_some() {
            return known;
        }
        if self.legs.len() >= cx.config.limits.forks_per_call {
            cx.limit(Limit::Forks);
            return None;
        }
        let usage = Usage::Subscription(self.handle);
        let dialog = Dialog::of_notify(request, flow, self.request.as_ref()?).ok()?;
        let dialog = match cx.dialogs.find(dialog.id.as_ref()) {
            Some(existing) => {
                cx.dialogs.add_usage(existing, usage);
                existing
            }
            None => cx.dialogs.insert(dialog, usage)?,
        };
        Some(self.add_leg(cx, dialog, None, true))
    }

    fn leg_terminated(
        &mut self,
        cx: &mut Context,
        reason: Option<TerminationReason>,
        after: Option<Duration>,
    ) {
        if !self.legs.is_empty() {
            return;
        }
        if self.leaving {
            return self.over(cx, SubscriptionEnd::Unsubscribed);
        }
        let retry = match &reason {
            Some(reason) => reason.retry(after),
            None => Some(after.unwrap_or(Duration::from_secs(30))),
        };
        let end = SubscriptionEnd::Terminated { reason };
        match retry.filter(|_| self.is_kept()) {
            Some(retry) => self.wait(cx, end, retry),
            None => self.over(cx, end),
        }
    }

    // -- refreshes

    fn refresh_leg(&mut self, cx: &mut Context, at: usize) {
        let expires = match &self.origin {
            Origin::Subscribe(subscribe) if !self.leaving => subscribe.expires,
            _ => Duration::ZERO,
        };
        let Some(leg) = self.legs.get_mut(at) else { return };
        leg.refresh_at = None;
        let Some(dialog) = cx.dialogs.get_mut(leg.dialog) else { return };
        let (Ok(target), Ok(builder)) = (dialog.target(), dialog.request(Method::Subscribe)) else { return };
        let mut builder = builder
            .header(HeaderName::Event, &self.event)
            .header(HeaderName::Expires, expires.as_secs())
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        if let Origin::Subscribe(subscribe) = &self.origin {
            builder = subscribe_parts(builder, subscribe);
        }
        let Ok(request) = builder.finish() else { return };
        let owner = Owner::Subscription(self.handle);
        let options = self.face.send_options(true);
        leg.notify_by = timer_n(cx);
        leg.refresh = cx.send(owner, request, target, options, self.auth, Some(leg.dialog)).ok();
    }

    fn on_refreshed(&mut self, cx: &mut Context, at: usize, response: &Response) {
        let status = response.status();
        let Some(leg) = self.legs.get_mut(at) else { return };
        leg.refresh = None;
        if status.is_success() {
            let expires = response.expires().ok().flatten();
            if let Some(seconds) = expires {
                leg.expires_at = cx.now.checked_add(Duration::from_secs(u64::from(seconds)));
            }
            leg.refresh_at = if self.leaving { None } else { refresh_at(cx, leg.expires_at) };
            if status == StatusCode::NO_NOTIFICATION {
                leg.notify_by = None;
            }
        } else if ends_subscription(status.code()) || self.leaving {
            let end = SubscriptionEnd::Refused(Box::new(response.clone()));
            self.drop_leg(cx, at);
            self.leg_lost(cx, end);
        } else {
            // §4.1.2.2: it stands until it runs out; tried again half-way to that.
            leg.notify_by = None;
            leg.refresh_at = refresh_at(cx, leg.expires_at);
        }
    }

    /// Whether SUBSCRIBEs keep it alive; what REFER made just runs out.
    fn is_refreshed(&self) -> bool {
        matches!(self.origin, Origin::Subscribe(_)) && !self.leaving
    }

    fn refresh_at(&self, cx: &mut Context, expires_at: Option<Instant>) -> Option<Instant> {
        if self.is_refreshed() { refresh_at(cx, expires_at) } else { None }
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

    fn leave_legs(&mut self, cx: &mut Context) {
        if matches!(self.origin, Origin::Refer) {
            // Nobody listens any more; the notifier is told by 481.
            while !self.legs.is_empty() {
                self.drop_leg(cx, 0);
            }
            return self.over(cx, SubscriptionEnd::Unsubscribed);
        }
        for at in 0..self.legs.len() {
            if self.legs.get(at).is_some_and(|leg| leg.refresh.is_none() && leg.notify_by.is_none()) {
                self.refresh_leg(cx, at);
            }
        }
    }

    fn leg_lost(&mut self, cx: &mut Context, end: SubscriptionEnd) {
        if self.legs.is_empty() {
            self.failed(cx, end, None);
        }
    }

    /// Nothing stands any more.
    fn failed(&mut self, cx: &mut Context, end: SubscriptionEnd, after: Option<Duration>) {
        if self.leaving {
            return self.over(cx, SubscriptionEnd::Unsubscribed);
        }
        if !self.is_kept() {
            return self.over(cx, end);
        }
        let policy = cx.config.registration;
        let full = policy.first_wait.saturating_mul(1 << self.failures.min(16)).min(policy.longest_wait);
        self.failures = self.failures.saturating_add(1);
        let half = u32::try_from(full.as_millis()).unwrap_or(u32::MAX) >> 1;
        let wait = Duration::from_millis(u64::from(half.saturating_add(cx.random.below(half))));
        self.wait(cx, end, wait.max(after.unwrap_or_default()));
    }

    fn wait(&mut self, cx: &mut Context, reason: SubscriptionEnd, wait: Duration) {
        self.initial = Initial::Waiting { retry_at: cx.now.checked_add(wait).unwrap_or(cx.now) };
        cx.event(Event::SubscriptionLost { subscription: self.handle, reason, retry_in: wait });
    }

    fn restart(&mut self, cx: &mut Context) {
        // §4.1.2.2: with a Call-ID and tag of its own.
        self.call_id = cx.new_call_id();
        self.tag = cx.tag();
        if let Err(misuse) = self.start(cx) {
            let _ = misuse;
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

    fn drop_leg(&mut self, cx: &mut Context, at: usize) {
        if at >= self.legs.len() {
            return;
        }
        let leg = self.legs.remove(at);
        if let Some(client) = leg.refresh {
            cx.clients.remove(&client);
        }
        cx.dialogs.release(leg.dialog, Usage::Subscription(self.handle));
    }

    /// It has left the table: its last words.
    pub(crate) fn bury(mut self: Box<Self>, cx: &mut Context) {
        while !self.legs.is_empty() {
            self.drop_leg(cx, 0);
        }
        if let Initial::Sent { client: Some(client), .. } = self.initial {
            cx.clients.remove(&client);
        }
        cx.forget_credentials(self.auth.filter(|_| matches!(self.origin, Origin::Subscribe(_))));
        cx.deadlines.set(Timer::Subscription(self.handle), None);
        let reason = self.end.unwrap_or(SubscriptionEnd::ShutDown);
        cx.event(Event::SubscriptionEnded { subscription: self.handle, reason });
    }

    // -- time

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        let now = cx.now;
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
        let due = if self.end.is_some() { None } else { legs.flatten().chain(initial).min() };
        cx.deadlines.set(Timer::Subscription(self.handle), due);
    }
}

impl Leg {
    fn is_lost(&self, now: Instant) -> bool {
        match self.notify_by {
            Some(until) => until <= now,
            None => self.expires_at.is_some_and(|at| at <= now),
        }
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

fn way_for(origin: &Origin, response: &Response) -> Way {
    let direct = match origin {
        Origin::Subscribe(subscribe) => {
            !matches!(subscribe.target, Target::Uri(_)) && subscribe.routes.is_empty()
        }
        Origin::Refer => false,
    };
    if direct && !response.has(HeaderName::RecordRoute) { Way::Flow } else { Way::Target }
}

/// Timer N: 64·T1.
fn timer_n(cx: &Context) -> Option<Instant> {
    cx.now.checked_add(cx.config.transactions.timers.t1.saturating_mul(64))
}

/// A refresh comes between half and nine tenths of what is left, so that many do not come at once.
fn refresh_at(cx: &mut Context, expires_at: Option<Instant>) -> Option<Instant> {
    let left = expires_at?.saturating_duration_since(cx.now);
    let share = u64::from(cx.random.below(400).saturating_add(500));
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    cx.now.checked_add(Duration::from_millis(millis.saturating_mul(share).saturating_div(1000).max(500)))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.typed::<RetryAfter<'_>>().ok()??;
    Some(Duration::from_secs(u64::from(value.seconds).min(3600)))
}
