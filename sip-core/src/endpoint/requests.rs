//! Requests of others that await the application: challenged, answered, made into a call or a registration.

use super::{Endpoint, registering};
use crate::{
    auth::server::{AuthenticationFailure, Authenticator, ChallengePolicy, Examined},
    call::{Call, Common, Incoming, Session, State, offer_answer::OfferAnswer},
    command::{CallOptions, ContactAddress, InDialogRouting, LocalIdentity, Reply},
    context::{Context, Query, Served, Timer},
    dialog::{Dialog, Face, Usage, Way},
    error::Misuse,
    event::{Event, Refusal, RequestEnd, first_line},
    handle::{CallHandle, ForkHandle, RequestHandle},
    header::HeaderName,
    io::{Flow, Lookup, Provided},
    limits::Limit,
    message::{Method, Request, StatusCode},
    registrar::binding::Change,
    transaction::{EndReason, ServerId},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A request that awaits the application.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) server: ServerId,
    pub(crate) message: Request,
    pub(crate) flow: Flow,
    pub(crate) stage: Stage,
    /// `Authentication-Info` for the 2xx.
    pub(crate) authentication_info: Option<String>,
    /// The call whose dialog it came in.
    pub(crate) call: Option<CallHandle>,
}

/// What it waits for.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The application's word.
    Open,
    /// The secret of the user it names.
    LookingUp(Box<ChallengePolicy>),
    /// Its turn at the registrar.
    Queued { address_of_record: Arc<str> },
    /// The store has its outcome before it is answered.
    Storing { address_of_record: Arc<str>, change: Box<Change> },
}

impl Endpoint {
    /// A request that belongs to nothing here, or that the application has to answer inside a call.
    pub(crate) fn take_request(
        &mut self,
        server: ServerId,
        message: Request,
        flow: Flow,
        call: Option<CallHandle>,
    ) -> Option<RequestHandle> {
        let cx = &mut self.cx;
        if self.requests.len() >= cx.config.limits.requests {
            cx.limit(Limit::Requests);
            cx.refuse(
                server,
                &message,
                flow,
                StatusCode::SERVICE_UNAVAILABLE,
                Refusal::Limit(Limit::Requests),
            );
            return None;
        }
        let give_up_at = cx.now.checked_add(cx.config.answer_within);
        let handle = self.requests.insert_with(|_| Pending {
            server,
            message,
            flow,
            stage: Stage::Open,
            authentication_info: None,
            call,
        })?;
        cx.servers.insert(server, Served::Request(handle));
        cx.deadlines.set(Timer::Request(handle), give_up_at);
        Some(handle)
    }

    /// Answers a request. Not for an INVITE with 1xx or 2xx: it becomes a call first.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when the request has ended, [`Misuse::Status`] when this cannot be its answer,
    /// [`Misuse::Build`] when what was added cannot be written.
    pub fn respond(&mut self, request: RequestHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        let pending = self.requests.get(request).ok_or(Misuse::UnknownHandle)?;
        if *pending.message.method() == Method::Invite
            && !reply.status.is_failure()
            && !reply.status.is_redirection()
        {
            return Err(Misuse::Status);
        }
        self.send_reply(request, reply)?;
        if reply.status.is_final() {
            self.end_request(request, RequestEnd::Answered(reply.status));
        }
        self.settle();
        Ok(())
    }

    /// Asks for credentials. When the request has good ones, [`Event::Authenticated`] follows; else it is challenged
    /// and ends.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when the request has ended, [`Misuse::WrongState`] when it waits for something else
    /// or is of a kind that cannot be challenged (RFC 3261 §22.1: ACK, CANCEL).
    pub fn authenticate(
        &mut self,
        request: RequestHandle,
        policy: &ChallengePolicy,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        let cx = &mut self.cx;
        let pending = self.requests.get_mut(request).ok_or(Misuse::UnknownHandle)?;
        if !matches!(pending.stage, Stage::Open) {
            return Err(Misuse::WrongState);
        }
        let header = credentials_header(policy);
        match cx.authenticator.examine(policy, pending.message.get_all(header), cx.now) {
            Examined::Candidate(candidate) => {
                let lookup = Lookup::Credentials {
                    realm: policy.realm.as_str().into(),
                    user: crate::auth::parameters::unescape(candidate.username).into(),
                    hashed: candidate.hashed,
                    algorithm: candidate.algorithm,
                };
                pending.stage = Stage::LookingUp(Box::new(policy.clone()));
                cx.ask(Query::Authenticate(request), lookup);
            }
            Examined::None => self.challenge(request, policy, false, RequestEnd::Challenged { stale: false }),
            Examined::Stale => self.challenge(request, policy, true, RequestEnd::Challenged { stale: true }),
            Examined::Unfit(what, username) => {
                let (username, reason) = (username.to_owned(), AuthenticationFailure::Unfit(what));
                self.authentication_failed(request, policy, username, reason);
            }
        }
        self.settle();
        Ok(())
    }

    /// The store's word on a user.
    pub(crate) fn secret_provided(&mut self, request: RequestHandle, provided: &Provided) {
        let cx = &mut self.cx;
        let Some(pending) = self.requests.get_mut(request) else { return };
        let Stage::LookingUp(policy) = std::mem::replace(&mut pending.stage, Stage::Open) else { return };
        if matches!(provided, Provided::Failed) {
            let reply = Reply::new(StatusCode::SERVER_INTERNAL_ERROR);
            let _ = self.send_reply(request, &reply);
            self.end_request(request, RequestEnd::StoreFailed);
            return;
        }
        let header = credentials_header(&policy);
        let Examined::Candidate(candidate) =
            cx.authenticator.examine(&policy, pending.message.get_all(header), cx.now)
        else {
            // The nonce ran out while the store was asked.
            self.challenge(request, &policy, true, RequestEnd::Challenged { stale: true });
            return;
        };
        let user = match provided {
            Provided::Secret { user, secret } => Some((&**user, secret)),
            _ => None,
        };
        let username = user.map_or_else(|| candidate.username.to_owned(), |(name, _)| name.to_owned());
        let algorithm = candidate.algorithm;
        let verdict = verify(&mut cx.authenticator, &policy, &candidate, &pending.message, user, cx.now);
        match verdict {
            Ok(verified) => {
                pending.authentication_info =
                    Some(verified.authentication_info).filter(|info| !info.is_empty() && !policy.proxy);
                if verified.table_full {
                    cx.limit(Limit::Nonces);
                }
                cx.event(Event::Authenticated { request, realm: policy.realm, username, algorithm });
            }
            Err(reason) => self.authentication_failed(request, &policy, username, reason),
        }
    }

    fn authentication_failed(
        &mut self,
        request: RequestHandle,
        policy: &ChallengePolicy,
        username: String,
        reason: AuthenticationFailure,
    ) {
        let Some(pending) = self.requests.get(request) else { return };
        let flow = pending.flow;
        let realm = policy.realm.clone();
        self.cx.event(Event::AuthenticationFailed { request, flow, realm, username, reason });
        // A count used before is no proof of a wrong password: a telephone that cannot count gets a fresh nonce.
        let stale = reason == AuthenticationFailure::ReplayedNonceCount;
        self.challenge(request, policy, stale, RequestEnd::NotAuthenticated(reason));
    }

    fn challenge(&mut self, request: RequestHandle, policy: &ChallengePolicy, stale: bool, end: RequestEnd) {
        let cx = &mut self.cx;
        let (status, header) = if policy.proxy {
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, HeaderName::ProxyAuthenticate)
        } else {
            (StatusCode::UNAUTHORIZED, HeaderName::WwwAuthenticate)
        };
        let mut reply = Reply::new(status);
        for value in cx.authenticator.challenge(policy, stale, cx.now) {
            let _ = reply.headers.push(header.as_str(), value);
        }
        let _ = self.send_reply(request, &reply);
        self.end_request(request, end);
    }

    /// Makes an INVITE a call. It is told what the INVITE offers, then rung, answered or refused by the call's handle.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when the request has ended, [`Misuse::Method`] when it is no INVITE,
    /// [`Misuse::Message`] when it lacks what a dialog needs (it was answered with 400), [`Misuse::Limit`] when there are
    /// too many calls (it was answered with 503).
    pub fn accept_call(
        &mut self,
        request: RequestHandle,
        local: &LocalIdentity,
        options: CallOptions,
        now: Instant,
    ) -> Result<CallHandle, Misuse> {
        self.enter(now);
        let face = Arc::new(self.face(local));
        let cx = &mut self.cx;
        let pending = self.requests.get(request).ok_or(Misuse::UnknownHandle)?;
        if *pending.message.method() != Method::Invite || pending.call.is_some() {
            return Err(Misuse::Method);
        }
        if !matches!(pending.stage, Stage::Open) {
            return Err(Misuse::WrongState);
        }
        if self.calls.len() >= cx.config.limits.calls || cx.dialogs.len() >= cx.config.limits.dialogs {
            cx.limit(Limit::Calls);
            return Err(self.turn_down(
                request,
                &Reply::new(StatusCode::SERVICE_UNAVAILABLE),
                Misuse::Limit(Limit::Calls),
            ));
        }
        let tag = cx.tag();
        let way = way_of_server(&options, &pending.message);
        let dialog = match Dialog::of_server(&pending.message, &tag, pending.flow, way) {
            Ok(dialog) => dialog,
            Err(error) => {
                let reply = Reply::new(StatusCode::BAD_REQUEST).with_reason(format!("Bad Request: {error}"));
                return Err(self.turn_down(request, &reply, error.into()));
            }
        };
        let call_id = dialog.id.call_id.clone();
        let (server, message) = (pending.server, pending.message.clone());
        let expires = message.expires().ok().flatten().map(|seconds| Duration::from_secs(u64::from(seconds)));
        let patience = [options.ring_timeout, expires].into_iter().flatten().min();
        let give_up_at = patience.and_then(|after| cx.now.checked_add(after));
        let mut dialog = Some(dialog);
        let dialogs = &mut cx.dialogs;
        let handle = self.calls.insert_with(|handle| {
            let dialog = dialog.take().and_then(|dialog| dialogs.insert(dialog, Usage::Call(handle)));
            let incoming = dialog.map(|dialog| {
                let session = Session::new(dialog, ForkHandle(0), OfferAnswer::new());
                Incoming::new(server, message, session, give_up_at)
            });
            let state = match incoming {
                Some(incoming) => State::Incoming(Box::new(incoming)),
                None => State::over(crate::event::CallEnd::ShutDown),
            };
            Box::new(Call {
                common: Common {
                    handle,
                    options,
                    face,
                    auth: None,
                    call_id,
                    requests: Vec::new(),
                    outgoing: Vec::new(),
                },
                state,
            })
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Calls))?;
        cx.servers.insert(server, Served::Invite(handle));
        self.drop_request(request, RequestEnd::BecameCall(handle));
        let cx = &mut self.cx;
        if let Some(call) = self.calls.get_mut(handle) {
            call.step(cx, |state, common, cx| match state {
                State::Incoming(incoming) => incoming.begin(common, cx),
                other => other,
            });
        }
        self.settle();
        Ok(handle)
    }

    /// Answers an INVITE that cannot become a call, and gives back why.
    fn turn_down(&mut self, request: RequestHandle, reply: &Reply, why: Misuse) -> Misuse {
        let _ = self.send_reply(request, reply);
        self.end_request(request, RequestEnd::Answered(reply.status));
        self.settle();
        why
    }

    /// Writes and sends an answer; the request stays.
    pub(crate) fn send_reply(&mut self, request: RequestHandle, reply: &Reply) -> Result<(), Misuse> {
        let cx = &mut self.cx;
        let pending = self.requests.get(request).ok_or(Misuse::UnknownHandle)?;
        let mut builder = cx.response(&pending.message, reply, None)?;
        if reply.status.is_success() {
            builder = builder.header_if(HeaderName::AuthenticationInfo, pending.authentication_info.as_ref());
            if *pending.message.method() == Method::Options {
                builder = cx.capabilities(builder);
            }
        }
        if reply.status == StatusCode::METHOD_NOT_ALLOWED && reply.headers.get(HeaderName::Allow).is_none() {
            builder = builder.header(HeaderName::Allow, &cx.capabilities.allow);
        }
        let response = builder.finish()?;
        cx.transactions.respond(pending.server, &response, cx.now)?;
        Ok(())
    }

    /// The request ends here; its transaction lives on below.
    pub(crate) fn end_request(&mut self, request: RequestHandle, reason: RequestEnd) {
        if let Some(pending) = self.requests.get(request) {
            self.cx.servers.remove(&pending.server);
        }
        self.drop_request(request, reason);
    }

    fn drop_request(&mut self, request: RequestHandle, reason: RequestEnd) {
        let Some(pending) = self.requests.remove(request) else { return };
        self.cx.deadlines.set(Timer::Request(request), None);
        if let Some(call) = pending.call.and_then(|call| self.calls.get_mut(call)) {
            call.common.requests.retain(|own| *own != request);
        }
        self.cx.event(Event::RequestEnded { request, reason });
        if let Stage::Queued { address_of_record } | Stage::Storing { address_of_record, .. } = pending.stage
        {
            registering::leave(self, request, &address_of_record);
        }
    }

    pub(crate) fn request_cancelled(&mut self, request: RequestHandle, reason: Option<String>) {
        let _ = self.send_reply(request, &Reply::new(StatusCode::REQUEST_TERMINATED));
        self.end_request(request, RequestEnd::Cancelled { reason });
    }

    pub(crate) fn request_transaction_ended(&mut self, request: RequestHandle, reason: EndReason) {
        let reason = match reason {
            EndReason::NotAnswered => RequestEnd::NotAnswered,
            reason => RequestEnd::Failed(reason),
        };
        self.end_request(request, reason);
    }

    pub(crate) fn request_timed_out(&mut self, request: RequestHandle) {
        let Some(pending) = self.requests.get(request) else { return };
        // RFC 4320 §4.2: other requests are better left without an answer than answered too late.
        if *pending.message.method() == Method::Invite {
            let _ = self.send_reply(request, &Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE));
        }
        self.end_request(request, RequestEnd::NotAnswered);
    }
}

fn verify<'u>(
    authenticator: &mut Authenticator,
    policy: &ChallengePolicy,
    candidate: &crate::auth::server::Candidate<'_>,
    message: &Request,
    user: Option<(&'u str, &'u crate::auth::secret::Secret)>,
    now: Instant,
) -> Result<crate::auth::server::Verified, AuthenticationFailure> {
    authenticator.verify(policy, candidate, message.method().as_str(), message.body(), user, now)
}

fn credentials_header(policy: &ChallengePolicy) -> HeaderName {
    if policy.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization }
}

impl Endpoint {
    /// Who we are to a peer, with the GRUU that is to stand in our Contact if it was granted and still holds.
    pub(super) fn face(&self, local: &LocalIdentity) -> Face {
        let granted = |registration| self.registrations.get(registration).and_then(|it| it.granted());
        let gruu = match local.contact {
            ContactAddress::Address => None,
            ContactAddress::Gruu(registration) => granted(registration).map(|gruu| gruu.public.clone()),
            ContactAddress::TemporaryGruu(registration) => {
                granted(registration).and_then(|gruu| gruu.temporary.clone())
            }
        };
        Face {
            user: local.user.clone(),
            advertised: local.advertised.clone(),
            contact_parameters: local.contact_parameters.clone(),
            gruu,
        }
    }
}

pub(crate) fn way_of_server(options: &CallOptions, request: &Request) -> Way {
    match options.in_dialog {
        InDialogRouting::Contact => Way::Target,
        InDialogRouting::Flow => Way::Flow,
        InDialogRouting::Automatic => {
            let neighbour = request.vias().count() == 1 && !request.has(HeaderName::RecordRoute);
            if neighbour { Way::Flow } else { Way::Target }
        }
    }
}

/// Refusals the endpoint makes by itself.
impl Context {
    /// Answers with a bare status.
    pub(crate) fn answer_plainly(&mut self, server: ServerId, request: &Request, status: StatusCode) {
        let response = self.response(request, &Reply::new(status), None).and_then(|it| Ok(it.finish()?));
        if let Ok(response) = response {
            self.respond(server, response);
        }
    }

    /// Refuses and says why.
    pub(crate) fn refuse(
        &mut self,
        server: ServerId,
        request: &Request,
        flow: Flow,
        status: StatusCode,
        rule: Refusal,
    ) {
        self.refuse_with(server, request, flow, &Reply::new(status), rule);
    }

    pub(crate) fn refuse_with(
        &mut self,
        server: ServerId,
        request: &Request,
        flow: Flow,
        reply: &Reply,
        rule: Refusal,
    ) {
        let response = self.response(request, reply, None).and_then(|it| Ok(it.finish()?));
        if let Ok(response) = response {
            self.respond(server, response);
        }
        let first_line = first_line(request);
        self.event(Event::Refused { flow, status: Some(reply.status), rule, first_line });
    }

    /// 491, or 500 with `Retry-After` between 0 and 10 s (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(crate) fn refuse_conflict(
        &mut self,
        server: ServerId,
        request: &Request,
        flow: Flow,
        conflict: crate::call::offer_answer::Conflict,
    ) {
        let status = StatusCode::new(conflict.status()).unwrap_or(StatusCode::REQUEST_PENDING);
        let mut reply = Reply::new(status);
        if status == StatusCode::SERVER_INTERNAL_ERROR {
            let seconds = self.random.below(11);
            let _ = reply.headers.push(HeaderName::RetryAfter.as_str(), seconds);
        }
        self.refuse_with(server, request, flow, &reply, Refusal::Conflict(conflict));
    }

    /// 422 with `Min-SE` (RFC 4028 §9).
    pub(crate) fn refuse_interval(
        &mut self,
        server: ServerId,
        request: &Request,
        flow: Flow,
        minimum: Duration,
    ) {
        let mut reply = Reply::new(StatusCode::SESSION_INTERVAL_TOO_SMALL);
        let _ = reply.headers.push(HeaderName::MinSe.as_str(), minimum.as_secs());
        self.refuse_with(server, request, flow, &reply, Refusal::IntervalTooSmall);
    }
}
