//! Transfers: REFER (RFC 3515, RFC 4488, RFC 3892), Replaces (RFC 3891), and finding calls by their ids (RFC 4538).

use super::{Endpoint, requests::Stage, sending::Head};
use crate::{
    call::State,
    command::{Headers, LocalIdentity, Reply, SendRequest, Tagged, Transfer},
    context::{Owner, request_headers},
    dialog::{DialogHandle, Usage},
    error::{Attitude, Misuse},
    event::{Event, RequestEnd},
    handle::{CallHandle, RequestHandle, SubscriptionHandle},
    header::{DialogReference, HeaderName, HeaderValue as _, NameAddr},
    io::Flow,
    limits::Limit,
    message::{Method, Request, StatusCode},
    subscription::{Notifier, Subscriber, Subscription, SubscriptionState, TerminationReason, refer},
    transaction::ServerId,
};
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the reports of a transfer may take.
const TRANSFER_TAKES: Duration = Duration::from_secs(180);

impl Endpoint {
    /// Asks the peer of a call to call somebody else: a blind transfer, or an attended one when the new call is to
    /// replace a call of ours. How it goes is told by [`Event::TransferProgress`]; the call itself stays up until it
    /// is hung up.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::WrongState`] when a call has no dialog yet, [`Misuse::Limit`]; what cannot
    /// be written or sent.
    pub fn transfer(
        &mut self,
        call: CallHandle,
        transfer: &Transfer,
        now: Instant,
    ) -> Result<SubscriptionHandle, Misuse> {
        self.enter(now);
        let refer_to = self.refer_to(transfer)?;
        let cx = &mut self.cx;
        let held = self.calls.get_mut(call).ok_or(Misuse::UnknownHandle)?;
        let State::Established(established) = &held.state else { return Err(Misuse::WrongState) };
        let dialog_handle = established.session.dialog;
        let dialog = cx.dialogs.get_mut(dialog_handle).ok_or(Misuse::WrongState)?;
        let (call_id, tag) = (dialog.id.call_id.to_string(), dialog.id.local_tag.to_string());
        let knows_norefersub = dialog.peer_allows.norefersub;
        let target = dialog.target()?;
        let mut builder = dialog.request(Method::Refer)?.header(HeaderName::ReferTo, refer_to);
        if let Some(party) = &transfer.referred_by {
            builder = builder.header(HeaderName::ReferredBy, Tagged(party, None));
        }
        if transfer.without_reports && knows_norefersub {
            builder = builder.header("Refer-Sub", "false");
        }
        let builder = builder.header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let request = request_headers(builder, &transfer.headers).finish()?;
        let (face, auth) = (held.common.face.clone(), held.common.auth);
        let options = face.send_options(true);
        let handle = self.subscriptions.insert_with(|handle| {
            Subscription::Subscriber(Box::new(Subscriber::of_refer(handle, face, auth, false, call_id, tag)))
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Subscriptions))?;
        let owner = Owner::Subscription(handle);
        match cx.send(owner, request.clone(), target, options, auth, Some(dialog_handle)) {
            Ok(client) => {
                if let Some(Subscription::Subscriber(it)) = self.subscriptions.get_mut(handle) {
                    it.sent(cx, client, request);
                }
                self.settle();
                Ok(handle)
            }
            Err(misuse) => {
                self.subscriptions.remove(handle);
                Err(misuse)
            }
        }
    }

    /// Asks somebody outside any dialog to call a third party: a server of music, a park (RFC 5359 §2.3, §2.15), or whoever
    /// takes part in a call that `Target-Dialog` names (RFC 5589 §7). `request` says whom and by which way; how it goes is
    /// told as after [`transfer`](Self::transfer).
    ///
    /// # Errors
    /// [`Misuse::Limit`] when there are too many; what cannot be written or sent.
    pub fn refer(
        &mut self,
        request: SendRequest,
        transfer: &Transfer,
        now: Instant,
    ) -> Result<SubscriptionHandle, Misuse> {
        self.enter(now);
        self.check_room()?;
        let refer_to = self.refer_to(transfer)?;
        let face = Arc::new(self.face(&request.local));
        let cx = &mut self.cx;
        let head = Head {
            method: Method::Refer,
            request_uri: &request.request_uri,
            from: &request.from,
            to: &request.to,
            routes: &request.routes,
            max_forwards: request.max_forwards,
            call_id: None,
        };
        let (builder, call_id) = head.write(cx);
        let mut builder = builder.header(HeaderName::ReferTo, refer_to);
        if let Some(party) = &transfer.referred_by {
            builder = builder.header(HeaderName::ReferredBy, Tagged(party, None));
        }
        if transfer.without_reports {
            builder = builder.header("Refer-Sub", "false");
        }
        let builder = cx.capabilities(request_headers(builder, &request.headers));
        let message = request_headers(builder, &transfer.headers).finish()?;
        let tag = message.tag_of(HeaderName::From).unwrap_or_default().to_owned();
        let options = face.send_options(true);
        let auth = cx.keep_credentials(request.credentials);
        let handle = self.subscriptions.insert_with(|handle| {
            let it = Subscriber::of_refer(handle, face, auth, true, call_id, tag);
            Subscription::Subscriber(Box::new(it))
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Subscriptions))?;
        let sent = cx.send(Owner::Subscription(handle), message.clone(), request.target, options, auth, None);
        match (sent, self.subscriptions.get_mut(handle)) {
            (Ok(client), Some(Subscription::Subscriber(it))) => it.sent(&mut self.cx, client, message),
            (Err(misuse), _) => {
                self.subscriptions.remove(handle);
                self.cx.forget_credentials(auth);
                return Err(misuse);
            }
            (Ok(_), _) => {}
        }
        self.settle();
        Ok(handle)
    }

    /// `Refer-To`, with the call to be replaced in the URI's headers (RFC 3891 §6).
    fn refer_to(&self, transfer: &Transfer) -> Result<String, Misuse> {
        let Some(call) = transfer.replaces else { return Ok(format!("<{}>", transfer.refer_to)) };
        let call = self.calls.get(call).ok_or(Misuse::UnknownHandle)?;
        let dialog = call
            .dialogs()
            .first()
            .copied()
            .and_then(|it| self.cx.dialogs.get(it))
            .ok_or(Misuse::WrongState)?;
        // Seen from the third party: his tag is his own `to-tag`, ours the `from-tag`.
        let id = &dialog.id;
        let replaces = format!("{};to-tag={};from-tag={}", id.call_id, id.remote_tag, id.local_tag);
        Ok(format!("<{}?Replaces={}>", transfer.refer_to, escape_header(&replaces)))
    }

    /// Accepts a REFER: 202, and a first report (unless the peer wants none, RFC 4488). Then place the call with
    /// [`CallOptions::reports_to`](crate::command::CallOptions::reports_to), or report by hand.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`], [`Misuse::Method`] when it is no REFER, [`Misuse::Message`] when it lacks what a
    /// dialog needs.
    pub fn accept_transfer(
        &mut self,
        request: RequestHandle,
        local: &LocalIdentity,
        now: Instant,
    ) -> Result<Option<SubscriptionHandle>, Misuse> {
        self.enter(now);
        let pending = self.requests.get(request).ok_or(Misuse::UnknownHandle)?;
        if *pending.message.method() != Method::Refer {
            return Err(Misuse::Method);
        }
        if !matches!(pending.stage, Stage::Open) {
            return Err(Misuse::WrongState);
        }
        let (message, flow, server) = (pending.message.clone(), pending.flow, pending.server);
        let unwanted = message.get("Refer-Sub").is_some_and(|it| it.trim().eq_ignore_ascii_case("false"));
        if unwanted {
            let headers = Headers::new().with("Refer-Sub", "false")?;
            self.send_reply(request, &Reply::new(StatusCode::ACCEPTED).with_headers(headers))?;
            self.end_request(request, RequestEnd::Answered(StatusCode::ACCEPTED));
            self.settle();
            return Ok(None);
        }
        let event = format!("refer;id={}", message.cseq()?.sequence);
        let face = Arc::new(self.face(local));
        let expires_at = self.cx.now.checked_add(TRANSFER_TAKES).unwrap_or(self.cx.now);
        let body = Some(refer::body(StatusCode::TRYING, None));
        let handle = self.open_notifier(&message, flow, |handle, dialog| {
            let state = SubscriptionState::Active;
            Notifier::new(handle, dialog, event, face, state, expires_at, TRANSFER_TAKES, body)
        })?;
        if let Some(Subscription::Notifier(notifier)) = self.subscriptions.get_mut(handle) {
            notifier.accept_refer(&mut self.cx, server, &message);
            notifier.send(&mut self.cx);
        }
        self.end_request(request, RequestEnd::BecameSubscription(handle));
        self.settle();
        Ok(Some(handle))
    }

    /// Reports how the call that was asked for is going. A final status is the last report.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn report_transfer(
        &mut self,
        transfer: SubscriptionHandle,
        status: StatusCode,
        reason: Option<&str>,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        self.report(transfer, status, reason)?;
        self.settle();
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        transfer: SubscriptionHandle,
        status: StatusCode,
        reason: Option<&str>,
    ) -> Result<(), Misuse> {
        let Some(Subscription::Notifier(notifier)) = self.subscriptions.get_mut(transfer) else {
            return Err(Misuse::UnknownHandle);
        };
        let state = if status.is_final() {
            SubscriptionState::Terminated { reason: Some(TerminationReason::NoResource), retry_after: None }
        } else {
            SubscriptionState::Active
        };
        notifier.notify(&mut self.cx, state, Some(refer::body(status, reason)), Headers::new());
        Ok(())
    }

    /// A REFER: told as what it asks for.
    pub(super) fn on_refer(
        &mut self,
        server: ServerId,
        request: &Request,
        flow: Flow,
        call: Option<CallHandle>,
    ) {
        let value = request.get(HeaderName::ReferTo).map(in_brackets);
        let target = value
            .as_deref()
            .and_then(|value| NameAddr::parse(value, Attitude::Lenient).ok())
            .filter(|_| request.get_all(HeaderName::ReferTo).count() == 1);
        let Some(target) = target else {
            // RFC 3515 §2.4.2: exactly one Refer-To.
            let reply = Reply::new(StatusCode::BAD_REQUEST).with_reason("One Refer-To is needed");
            self.cx.refuse_with(server, request, flow, &reply, crate::event::Refusal::Method);
            return;
        };
        let refer_to = target.uri.for_request();
        let replaces = target
            .uri
            .headers()
            .find(|(name, _)| name.eq_ignore_ascii_case("Replaces"))
            .map(|(_, value)| unescape_header(value));
        let referred_by = request.get(HeaderName::ReferredBy).map(str::to_owned);
        let Some(handle) = self.take_request(server, request.clone(), flow, call) else { return };
        if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
            call.common.requests.push(handle);
        }
        let message = request.clone();
        self.cx.event(Event::TransferRequested {
            call,
            request: handle,
            refer_to,
            replaces,
            referred_by,
            message,
        });
    }

    /// The call a `Replaces`, `Join` or `Target-Dialog` value names (RFC 3891 §3, RFC 3911 §4, RFC 4538 §4).
    #[must_use]
    pub fn find_call(&self, reference: &str) -> Option<CallHandle> {
        let reference = DialogReference::parse(reference, Attitude::Lenient).ok()?;
        let dialog = self.cx.dialogs.find(crate::dialog::DialogIdRef {
            call_id: reference.call_id,
            local_tag: tag(reference.params.get("to-tag").or(reference.params.get("local-tag"))),
            remote_tag: tag(reference.params.get("from-tag").or(reference.params.get("remote-tag"))),
        })?;
        self.call_of_dialog(dialog)
    }

    /// Which call an INVITE with `Replaces` is to replace: `Ok(None)` when it has none.
    ///
    /// # Errors
    /// The status to refuse it with, by RFC 3891 §3: 400, 481, 486, 603.
    pub fn replaced_call(&self, request: RequestHandle) -> Result<Option<CallHandle>, StatusCode> {
        let Some(pending) = self.requests.get(request) else { return Ok(None) };
        let values: Vec<&str> = pending.message.get_all(HeaderName::Replaces).collect();
        let value = match values.as_slice() {
            [] => return Ok(None),
            [value] if !pending.message.has(HeaderName::Join) => value,
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        let reference =
            DialogReference::parse(value, Attitude::Lenient).map_err(|_| StatusCode::BAD_REQUEST)?;
        let Some(call) = self.find_call(value) else {
            return Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
        };
        match self.calls.get(call).map(|call| &call.state) {
            Some(State::Established(_)) if reference.is_early_only() => Err(StatusCode::BUSY_HERE),
            Some(State::Established(_) | State::Outgoing(_)) => Ok(Some(call)),
            // Early, and not begun by us.
            Some(State::Incoming(_)) => Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST),
            Some(State::Over(_)) | None => Err(StatusCode::DECLINE),
        }
    }

    /// Which call an INVITE with `Join` is to become one conference with: `Ok(None)` when it has none. The application
    /// mixes, and answers with a Contact that says `isfocus` (RFC 3911, RFC 4579).
    ///
    /// # Errors
    /// The status to refuse it with, by RFC 3911 §4: 400, 481, 603.
    pub fn joined_call(&self, request: RequestHandle) -> Result<Option<CallHandle>, StatusCode> {
        let Some(pending) = self.requests.get(request) else { return Ok(None) };
        let values: Vec<&str> = pending.message.get_all(HeaderName::Join).collect();
        let value = match values.as_slice() {
            [] => return Ok(None),
            [value] if !pending.message.has(HeaderName::Replaces) => value,
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        DialogReference::parse(value, Attitude::Lenient).map_err(|_| StatusCode::BAD_REQUEST)?;
        let call = self.find_call(value).ok_or(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST)?;
        match self.calls.get(call).map(|call| &call.state) {
            Some(State::Established(_) | State::Outgoing(_)) => Ok(Some(call)),
            // Early, and not begun by us.
            Some(State::Incoming(_)) => Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST),
            Some(State::Over(_)) | None => Err(StatusCode::DECLINE),
        }
    }

    /// The call a request outside of dialogs refers to by `Target-Dialog` (RFC 4538): whoever knows its tags takes part
    /// in it, which may be reason enough to let him do what he asks. `Ok(None)` when it refers to none.
    ///
    /// # Errors
    /// 481 when there is no such dialog here (§5).
    pub fn target_dialog(&self, request: &Request) -> Result<Option<CallHandle>, StatusCode> {
        match request.get(HeaderName::TargetDialog) {
            None => Ok(None),
            Some(value) => {
                self.find_call(value).map(Some).ok_or(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST)
            }
        }
    }

    /// The value of `Target-Dialog` that names a call to its peer: its ids as he sees them (RFC 4538 §4).
    #[must_use]
    pub fn reference_to(&self, call: CallHandle) -> Option<String> {
        let dialog = self.cx.dialogs.get(*self.calls.get(call)?.dialogs().first()?)?;
        let id = &dialog.id;
        Some(format!("{};local-tag={};remote-tag={}", id.call_id, id.remote_tag, id.local_tag))
    }

    pub(super) fn call_of_dialog(&self, dialog: DialogHandle) -> Option<CallHandle> {
        self.cx.dialogs.usages(dialog).iter().find_map(|usage| match usage {
            Usage::Call(call) => Some(*call),
            Usage::Subscription(_) | Usage::Farewell => None,
        })
    }
}

/// An address without brackets ends at its first semicolon (RFC 3261 §20.10), but Refer-To has no parameters of its own: who
/// leaves the brackets out, as baresip does, means those of the address.
fn in_brackets(value: &str) -> Cow<'_, str> {
    if value.contains('<') { Cow::Borrowed(value) } else { Cow::Owned(format!("<{}>", value.trim())) }
}

/// RFC 3891 §6.1: `0` stands for no tag.
fn tag(value: Option<&str>) -> &str {
    value.filter(|tag| *tag != "0").unwrap_or_default()
}

/// A header value inside of a URI (RFC 3261 §19.1.1: `hvalue`).
fn escape_header(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn unescape_header(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| {
            let digits: Vec<u8> = bytes.clone().take(2).collect();
            u8::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()
        });
        match escaped.flatten() {
            Some(value) => {
                out.push(value);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).chars().filter(|it| !it.is_control()).collect()
}
