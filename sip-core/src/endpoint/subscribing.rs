//! Commands about subscriptions (RFC 6665), and the NOTIFYs and SUBSCRIBEs that belong to them.

use super::{
    Endpoint,
    requests::{Stage, way_of_server},
};
use crate::{
    command::{AcceptSubscription, Body, CallOptions, Headers, Reply, Subscribe},
    dialog::{Dialog, DialogHandle, DialogIdRef, Usage},
    error::Misuse,
    event::{Refusal, RequestEnd},
    handle::{RequestHandle, SubscriptionHandle},
    header::HeaderName,
    io::Flow,
    limits::Limit,
    message::{Method, Request, StatusCode},
    subscription::{Notifier, Subscriber, Subscription, SubscriptionState},
    transaction::ServerId,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Endpoint {
    /// Subscribes, and stays subscribed until `unsubscribe` or the end.
    ///
    /// # Errors
    /// [`Misuse::Limit`] when there are too many; what cannot be written or sent.
    pub fn subscribe(&mut self, subscribe: Subscribe, now: Instant) -> Result<SubscriptionHandle, Misuse> {
        self.enter(now);
        self.check_room()?;
        let face = Arc::new(self.face(&subscribe.local));
        let cx = &mut self.cx;
        let auth = cx.keep_credentials(subscribe.credentials.clone());
        let (call_id, tag) = (cx.new_call_id(), cx.tag());
        let handle = self.subscriptions.insert_with(|handle| {
            Subscription::Subscriber(Box::new(Subscriber::new(handle, subscribe, face, auth, call_id, tag)))
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Subscriptions))?;
        let Some(Subscription::Subscriber(subscriber)) = self.subscriptions.get_mut(handle) else {
            return Err(Misuse::UnknownHandle);
        };
        if let Err(misuse) = subscriber.start(&mut self.cx) {
            self.subscriptions.remove(handle);
            self.cx.forget_credentials(auth);
            return Err(misuse);
        }
        self.settle();
        Ok(handle)
    }

    /// Ends a subscription of ours, or forgets a transfer that was asked for.
    /// [`Event::SubscriptionEnded`](crate::event::Event::SubscriptionEnded) follows.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn unsubscribe(&mut self, subscription: SubscriptionHandle, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        match self.subscriptions.get_mut(subscription) {
            Some(Subscription::Subscriber(it)) => it.leave(&mut self.cx),
            Some(Subscription::Notifier(_)) | None => return Err(Misuse::UnknownHandle),
        }
        self.settle();
        Ok(())
    }

    /// Accepts a SUBSCRIBE: it is answered 200, and told the state at once. One that asks for less time than granted is
    /// answered 423 and ends ([`Misuse::Status`] is returned then).
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::Method`] when it is no SUBSCRIBE, [`Misuse::Message`] when it lacks what a
    /// dialog needs, [`Misuse::Limit`] when there are too many (answered 503).
    pub fn accept_subscription(
        &mut self,
        request: RequestHandle,
        accept: AcceptSubscription,
        now: Instant,
    ) -> Result<SubscriptionHandle, Misuse> {
        self.enter(now);
        let pending = self.requests.get(request).ok_or(Misuse::UnknownHandle)?;
        if *pending.message.method() != Method::Subscribe {
            return Err(Misuse::Method);
        }
        if !matches!(pending.stage, Stage::Open) {
            return Err(Misuse::WrongState);
        }
        let (message, server, flow) = (pending.message.clone(), pending.server, pending.flow);
        let wished = message.expires().ok().flatten().map(|seconds| Duration::from_secs(u64::from(seconds)));
        if wished.is_some_and(|wished| !wished.is_zero() && wished < accept.shortest) {
            let minimum = Headers::new().with(HeaderName::MinExpires.as_str(), accept.shortest.as_secs());
            let reply = Reply::new(StatusCode::INTERVAL_TOO_BRIEF).with_headers(minimum.unwrap_or_default());
            let _ = self.send_reply(request, &reply);
            self.end_request(request, RequestEnd::Answered(reply.status));
            self.settle();
            return Err(Misuse::Status);
        }
        if let Err(misuse) = self.check_room() {
            let _ = self.send_reply(request, &Reply::new(StatusCode::SERVICE_UNAVAILABLE));
            self.end_request(request, RequestEnd::Answered(StatusCode::SERVICE_UNAVAILABLE));
            self.settle();
            return Err(misuse);
        }
        let granted = wished.unwrap_or(accept.longest).min(accept.longest);
        let event = message.get(HeaderName::Event).unwrap_or_default().to_owned();
        let state = if accept.pending { SubscriptionState::Pending } else { SubscriptionState::Active };
        let face = Arc::new(self.face(&accept.local));
        let expires_at = self.cx.now.checked_add(granted).unwrap_or(self.cx.now);
        let handle = self.open_notifier(&message, flow, |handle, dialog| {
            Notifier::new(handle, dialog, event, face, state, expires_at, accept.longest, accept.body)
        })?;
        if let Some(Subscription::Notifier(notifier)) = self.subscriptions.get_mut(handle) {
            notifier.confirm(&mut self.cx, server, &message, granted);
            if granted.is_zero() {
                notifier.end_at_once(&mut self.cx);
            } else {
                notifier.send(&mut self.cx);
            }
        }
        self.end_request(request, RequestEnd::BecameSubscription(handle));
        self.settle();
        Ok(handle)
    }

    /// A notifier in the dialog a request came in, or in a new one that it makes.
    pub(super) fn open_notifier(
        &mut self,
        message: &Request,
        flow: Flow,
        make: impl FnOnce(SubscriptionHandle, DialogHandle) -> Notifier,
    ) -> Result<SubscriptionHandle, Misuse> {
        let existing = message.to_tag().and_then(|tag| self.find_dialog(message, tag));
        let fresh = match existing {
            Some(_) => None,
            None => {
                let tag = self.cx.tag();
                let way = way_of_server(&CallOptions::default(), message);
                let mut dialog = Dialog::of_server(message, &tag, flow, way)?;
                dialog.is_confirmed = true;
                Some(dialog)
            }
        };
        let dialogs = &mut self.cx.dialogs;
        let mut fresh = fresh;
        let handle = self.subscriptions.try_insert_with(|handle| {
            let usage = Usage::Subscription(handle);
            let dialog = match existing {
                Some(dialog) => {
                    dialogs.add_usage(dialog, usage);
                    Some(dialog)
                }
                None => fresh.take().and_then(|dialog| dialogs.insert(dialog, usage)),
            };
            dialog.map(|dialog| Subscription::Notifier(Box::new(make(handle, dialog))))
        });
        handle.ok_or(Misuse::Limit(Limit::Subscriptions))
    }

    /// Tells a subscriber what changed.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn notify(
        &mut self,
        subscription: SubscriptionHandle,
        state: SubscriptionState,
        body: Option<Body>,
        headers: Headers,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        match self.subscriptions.get_mut(subscription) {
            Some(Subscription::Notifier(it)) => it.notify(&mut self.cx, state, body, headers),
            Some(Subscription::Subscriber(_)) | None => return Err(Misuse::UnknownHandle),
        }
        self.settle();
        Ok(())
    }

    pub(super) fn check_room(&mut self) -> Result<(), Misuse> {
        if self.subscriptions.len() >= self.cx.config.limits.subscriptions {
            self.cx.limit(Limit::Subscriptions);
            return Err(Misuse::Limit(Limit::Subscriptions));
        }
        Ok(())
    }

    /// A NOTIFY or SUBSCRIBE inside a dialog that belongs to one of its subscriptions. `false`: it belongs to none.
    pub(super) fn on_subscription_request(
        &mut self,
        server: ServerId,
        request: &Request,
        flow: Flow,
        dialog: DialogHandle,
    ) -> bool {
        let usages = self.cx.dialogs.usages(dialog).to_vec();
        for usage in usages {
            let Usage::Subscription(handle) = usage else { continue };
            if self.give_to_subscription(handle, server, request, flow) {
                return true;
            }
        }
        false
    }

    /// A NOTIFY for a SUBSCRIBE of ours whose 2xx has not come, or from another notifier that it was forked to.
    pub(super) fn on_first_notify(&mut self, server: ServerId, request: &Request, flow: Flow) -> bool {
        // By our own tag, so that NOTIFYs nobody asked for cost the same however many subscriptions there are.
        let tag = request.to_tag().unwrap_or_default();
        let Some(handle) = self.cx.awaiting_notify.get(tag).copied() else { return false };
        match self.subscriptions.get_mut(handle) {
            Some(Subscription::Subscriber(it)) if it.expects(request) => {
                it.on_notify(&mut self.cx, server, request, flow);
                true
            }
            _ => false,
        }
    }

    fn give_to_subscription(
        &mut self,
        handle: SubscriptionHandle,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) -> bool {
        match (self.subscriptions.get_mut(handle), request.method()) {
            (Some(Subscription::Subscriber(it)), Method::Notify) if it.takes(request) => {
                it.on_notify(&mut self.cx, server, request, flow);
                true
            }
            (Some(Subscription::Notifier(it)), Method::Subscribe)
                if crate::subscription::same_event(
                    it.event(),
                    request.get(HeaderName::Event).unwrap_or_default(),
                ) =>
            {
                it.on_subscribe(&mut self.cx, server, request, flow);
                true
            }
            _ => false,
        }
    }

    /// What is left for a NOTIFY or SUBSCRIBE that belongs to nothing: 481 (RFC 6665 §4.1.3).
    pub(super) fn refuse_event(&mut self, server: ServerId, request: &Request, flow: Flow) {
        let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
        self.cx.refuse(server, request, flow, status, Refusal::NoSuchDialog);
    }

    pub(super) fn find_dialog(&self, request: &Request, local_tag: &str) -> Option<DialogHandle> {
        self.cx.dialogs.find(DialogIdRef {
            call_id: request.get(HeaderName::CallId)?,
            local_tag,
            remote_tag: request.tag_of(HeaderName::From).unwrap_or_default(),
        })
    }
}
