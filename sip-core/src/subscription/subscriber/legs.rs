//! The notifiers that one SUBSCRIBE reached, each a leg with a dialog, a clock and a refresh of its own: RFC 6665 §4.1.2.3,
//! §4.1.4, §4.4.1.

use super::{Initial, Origin, Subscriber, subscribe_parts, timer_n};
use crate::{
    context::{Context, Owner},
    dialog::{Dialog, DialogHandle, DialogIdRef, Usage, Way},
    event::Event,
    handle::ForkHandle,
    header::HeaderName,
    io::Flow,
    limits::Limit,
    message::{Method, Request, Response, StatusCode},
    subscription::{SubscriptionEnd, SubscriptionState, TerminationReason, ends_subscription},
    transaction::{ClientId, ServerId},
    transport::Target,
};
use std::time::{Duration, Instant};

/// One notifier.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) fork: ForkHandle,
    pub(super) dialog: DialogHandle,
    pub(super) expires_at: Option<Instant>,
    pub(super) refresh_at: Option<Instant>,
    /// A SUBSCRIBE inside the dialog.
    pub(super) refresh: Option<ClientId>,
    /// Until when a NOTIFY has to follow it (timer N).
    pub(super) notify_by: Option<Instant>,
    /// A NOTIFY has come.
    pub(super) heard: bool,
}

impl Leg {
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        match self.notify_by {
            Some(until) => until <= now,
            None => self.expires_at.is_some_and(|at| at <= now),
        }
    }
}

impl Subscriber {
    /// The dialog of the notifier that answered; its NOTIFY may have come before.
    pub(super) fn enter_by_response(
        &mut self,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        expires: Option<u32>,
    ) {
        let expires_at =
            expires.and_then(|seconds| cx.now.checked_add(Duration::from_secs(u64::from(seconds))));
        let tag = response.to_tag().unwrap_or_default();
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
        let existing =
            cx.dialogs.find(DialogIdRef { call_id: &self.call_id, local_tag: &self.tag, remote_tag: tag });
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
        if matches!(self.origin, Origin::Refer { .. })
            && let Some((status, reason)) =
                core::str::from_utf8(request.body()).ok().and_then(crate::subscription::refer::parse)
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
        let tag = request.tag_of(HeaderName::From).unwrap_or_default().to_owned();
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

    pub(super) fn refresh_leg(&mut self, cx: &mut Context, at: usize) {
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

    pub(super) fn on_refreshed(&mut self, cx: &mut Context, at: usize, response: &Response) {
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

    pub(super) fn leave_legs(&mut self, cx: &mut Context) {
        if matches!(self.origin, Origin::Refer { .. }) {
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

    pub(super) fn leg_lost(&mut self, cx: &mut Context, end: SubscriptionEnd) {
        if self.legs.is_empty() {
            self.failed(cx, end, None);
        }
    }

    pub(super) fn drop_leg(&mut self, cx: &mut Context, at: usize) {
        if at >= self.legs.len() {
            return;
        }
        let leg = self.legs.remove(at);
        if let Some(client) = leg.refresh {
            cx.clients.remove(&client);
        }
        cx.dialogs.release(leg.dialog, Usage::Subscription(self.handle));
    }
}

fn way_for(origin: &Origin, response: &Response) -> Way {
    let direct = match origin {
        Origin::Subscribe(subscribe) => {
            !matches!(subscribe.target, Target::Uri(_)) && subscribe.routes.is_empty()
        }
        Origin::Refer { .. } => false,
    };
    if direct && !response.has(HeaderName::RecordRoute) { Way::Flow } else { Way::Target }
}

/// A refresh comes between half and nine tenths of what is left, so that many do not come at once.
fn refresh_at(cx: &mut Context, expires_at: Option<Instant>) -> Option<Instant> {
    let left = expires_at?.saturating_duration_since(cx.now);
    let share = u64::from(cx.random.below(400).saturating_add(500));
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    cx.now.checked_add(Duration::from_millis(millis.saturating_mul(share).saturating_div(1000).max(500)))
}
