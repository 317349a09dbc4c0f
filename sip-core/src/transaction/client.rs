//! Client transactions in the table: the top Via is written, the request sent, a server that fails is replaced by the
//! next one, ACKs to failures are made. CANCELs are in [`cancel`](super::cancel).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    ClientId, EndReason, SendOptions, TransactionEvent, Transactions, assert_request,
    cancel::Cancel,
    client_invite::ClientInvite,
    client_non_invite::ClientNonInvite,
    event::{DeadlineKey, Origin},
    key::{Branch, Nonce},
    machine::{Action, Context, Timer},
    own_headers::{complete, own_name},
    reach::Reach,
};
use crate::{
    config::SentBy,
    deadline::DeadlineId,
    error::{BuildError, Misuse},
    header::{HeaderName, Via},
    id::Id,
    io::Flow,
    limits::Limit,
    message::{Method, ParseOptions, Request, Response, StatusCode},
    transport::{Hop, Target},
};

/// One client transaction.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) stage: Stage,
    pub(super) method: Method,
    pub(super) nonce: Nonce,
    pub(super) flow: Option<Flow>,
    /// Which server it is at now, and which are left.
    pub(super) hop: Option<Hop>,
    pub(super) hops: Vec<Hop>,
    /// Place in the list of those that use the same carrier.
    pub(super) place: usize,
    pub(super) options: Option<Box<SendOptions>>,
    pub(super) timers: [Option<DeadlineId>; 2],
    pub(super) cancel: Cancel,
    /// A CANCEL of ours: the layer above knows nothing of it.
    pub(super) is_internal: bool,
    /// Whether a URI was asked for, so that the MTU rule applies (RFC 3261 §18.1.1).
    pub(super) is_free_to_choose: bool,
}

impl Client {
    /// Requests within a dialog end or keep what is there; holding them back would only keep the peer busy for longer
    /// (RFC 7339 §5.10.1).
    pub(super) fn is_spared(&self) -> bool {
        let in_dialog = match &self.stage {
            Stage::Reaching(request, _) => request.to_tag().is_some(),
            Stage::Sent(..) => true,
        };
        in_dialog || matches!(self.method, Method::Ack | Method::Bye | Method::Cancel | Method::Prack)
    }
}

/// Not sent yet, or sent.
#[derive(Debug)]
pub(super) enum Stage {
    /// The request as the layer above gave it.
    Reaching(Box<Request>, Reach),
    /// The request as it was sent.
    Sent(Bytes, ClientMachine),
}

/// One of the two client machines.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClientMachine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

impl ClientMachine {
    pub(super) fn start(is_invite: bool, cx: &mut Context<'_>) -> Self {
        if is_invite {
            Self::Invite(ClientInvite::start(cx))
        } else {
            Self::NonInvite(ClientNonInvite::start(cx))
        }
    }

    fn on_response(self, status: StatusCode, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Invite(state) => Self::Invite(state.on_response(status, cx)),
            Self::NonInvite(state) => Self::NonInvite(state.on_response(status, cx)),
        }
    }

    fn on_timer(self, timer: Timer, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Invite(state) => Self::Invite(state.on_timer(timer, cx)),
            Self::NonInvite(state) => Self::NonInvite(state.on_timer(timer, cx)),
        }
    }

    fn on_transport_failure(self, reason: EndReason, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Invite(state) => Self::Invite(state.on_transport_failure(reason, cx)),
            Self::NonInvite(state) => Self::NonInvite(state.on_transport_failure(reason, cx)),
        }
    }

    /// Whether no final response has come.
    const fn is_waiting(self) -> bool {
        matches!(
            self,
            Self::Invite(ClientInvite::Calling(_) | ClientInvite::Proceeding)
                | Self::NonInvite(ClientNonInvite::Trying(_) | ClientNonInvite::Proceeding)
        )
    }

    /// Whether nothing has come at all.
    const fn is_untouched(self) -> bool {
        matches!(self, Self::Invite(ClientInvite::Calling(_)) | Self::NonInvite(ClientNonInvite::Trying(_)))
    }
}

impl Transactions {
    /// Sends a request in a transaction of its own. The request has no Via of ours yet; it is put on top when it is known
    /// by which way the request leaves.
    ///
    /// # Errors
    /// [`Misuse::Method`] for ACK and CANCEL, [`Misuse::Message`] if a header that every request has is missing,
    /// [`Misuse::Limit`] when there is no room.
    pub fn send_request(
        &mut self,
        request: Request,
        target: Target,
        options: SendOptions,
        now: Instant,
    ) -> Result<ClientId, Misuse> {
        self.advance(now);
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Err(Misuse::Method);
        }
        assert_request(&request)?;
        check_options(&options)?;
        if self.clients.len() >= self.config.limits.client_transactions {
            self.outbox
                .event(TransactionEvent::LimitReached { limit: Limit::ClientTransactions, from: None });
            return Err(Misuse::Limit(Limit::ClientTransactions));
        }
        let patience = if *request.method() == Method::Invite {
            self.config.timers.invite_timeout
        } else {
            self.config.timers.non_invite_timeout
        };
        Ok(ClientId(self.open_client(request, target, options, patience)))
    }

    /// Sends a request without a transaction: the ACK to a 2xx. Where the way has to be looked up first, it leaves later.
    ///
    /// # Errors
    /// [`Misuse::Method`] for anything but an ACK, [`Misuse::Message`] if a header that every request has is missing.
    pub fn send_ack(
        &mut self,
        request: Request,
        target: Target,
        options: SendOptions,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.advance(now);
        if *request.method() != Method::Ack {
            return Err(Misuse::Method);
        }
        assert_request(&request)?;
        check_options(&options)?;
        if let Target::Flow(flow) = &target
            && self.is_flow_alive(flow)
        {
            // The way is known: nothing of it needs to be kept.
            let branch = Branch::stateless(&mut self.random);
            let overload = self.config.overload_control;
            if let Ok(wire) = complete(&request, Some(&options), &branch, flow, &self.listeners, overload) {
                self.send_request_bytes(*flow, wire);
            }
            return Ok(());
        }
        if self.clients.len() >= self.config.limits.client_transactions {
            return Err(Misuse::Limit(Limit::ClientTransactions));
        }
        self.open_client(request, target, options, self.config.timers.non_invite_timeout);
        Ok(())
    }

    /// Takes a request into the table and starts it on its way. Whatever the driver forgets to answer, it ends by `patience`.
    fn open_client(
        &mut self,
        request: Request,
        target: Target,
        options: SendOptions,
        patience: Duration,
    ) -> Id {
        let method = request.method().clone();
        let id = self.clients.insert(Client {
            // Of an ACK the layer above keeps no handle.
            is_internal: method == Method::Ack,
            stage: Stage::Reaching(Box::new(request), Reach::Starting),
            method,
            nonce: self.random.bytes(),
            flow: None,
            hop: None,
            hops: Vec::new(),
            place: 0,
            options: Some(Box::new(options)),
            timers: [None; 2],
            cancel: Cancel::None,
            is_free_to_choose: matches!(target, Target::Uri(_)),
        });
        let deadline = self.deadlines.arm(patience, DeadlineKey::Client(id, Timer::GiveUp), self.now);
        self.set_client_timer(id, Timer::GiveUp, Some(deadline));
        self.reach(id, target);
        id
    }

    /// The way is known: the Via is written and the request sent.
    pub(super) fn launch(&mut self, id: Id, flow: Flow) {
        self.set_client_timer(id, Timer::Resend, None);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Stage::Reaching(request, _) = &client.stage else { return };
        let options = client.options.as_deref();
        let branch = if client.method == Method::Ack {
            Branch::stateless(&mut self.random)
        } else {
            let suffix = options.and_then(|options| options.branch_suffix.as_deref());
            Branch { id, nonce: client.nonce, suffix }
        };
        let overload = self.config.overload_control;
        let Ok(wire) = complete(request, options, &branch, &flow, &self.listeners, overload) else {
            return self.end_client(id, EndReason::NoRoute);
        };
        if client.method == Method::Ack {
            self.send_request_bytes(flow, wire);
            self.end_client(id, EndReason::Completed);
            return;
        }
        let is_invite = client.method == Method::Invite;
        let has_alternative = !client.hops.is_empty();
        let mut cx = Context::new(&self.config.timers, flow.protocol.is_reliable(), has_alternative);
        let machine = ClientMachine::start(is_invite, &mut cx);
        client.stage = Stage::Sent(wire, machine);
        client.flow = Some(flow);
        let actions = cx.actions;
        self.join_carrier(id, flow);
        self.act_for_client(id, &actions, None);
    }

    /// Whether the Via of a response is not the one this request was sent with: whoever answers gives it back as it came
    /// (RFC 3261 §8.2.6.2), and adds parameters alone (§18.2.1).
    pub(super) fn via_altered(&self, id: Id, via: &Via<'_>) -> Option<TransactionEvent> {
        let client = self.clients.get(id).filter(|client| !client.is_internal)?;
        let flow = client.flow?;
        let sent = own_name(client.options.as_deref(), &flow, &self.listeners);
        if sent.is_named_by(via, flow.protocol) {
            return None;
        }
        let returned = SentBy { host: via.host.to_string().into(), port: via.port };
        let transaction = ClientId(id);
        Some(TransactionEvent::ViaAltered { transaction, flow, sent: sent.to_sent_by(), returned })
    }

    /// A response with the branch of this transaction.
    pub(super) fn respond_to_client(&mut self, id: Id, response: Response, origin: Origin) {
        if let Some(peer) = self.clients.get(id).and_then(|client| client.flow).map(|flow| flow.remote) {
            self.note_load(peer, &response);
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        let Stage::Sent(_, machine) = &mut client.stage else { return };
        let status = response.status();
        // A server that says 503 has done its part; the next one may do better (RFC 3263 §4.3).
        let retry =
            status == StatusCode::SERVICE_UNAVAILABLE && machine.is_waiting() && !client.hops.is_empty();
        let was_untouched = machine.is_untouched();
        let reliable = client.flow.is_some_and(|flow| flow.protocol.is_reliable());
        let mut cx = Context::new(&self.config.timers, reliable, !client.hops.is_empty());
        cx.is_unwanted = client.cancel.is_unwanted();
        *machine = machine.on_response(status, &mut cx);
        let actions = cx.actions;
        if retry {
            if actions.contains(&Action::Acknowledge) {
                self.acknowledge(id, &response);
            }
            return self.fail_over(id, EndReason::Unreachable);
        }
        self.act_for_client(id, &actions, Some((response, origin)));
        if was_untouched && status.is_provisional() && self.wants_cancel(id) {
            self.send_cancel(id);
        }
    }

    pub(super) fn on_client_timer(&mut self, id: Id, timer: Timer) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if let Some(slot) = client.timers.get_mut(timer as usize) {
            *slot = None;
        }
        let Stage::Sent(_, machine) = &mut client.stage else {
            return match timer {
                Timer::Resend => self.race(id),
                Timer::GiveUp => self.end_client(id, EndReason::TimedOut),
            };
        };
        let reliable = client.flow.is_some_and(|flow| flow.protocol.is_reliable());
        let mut cx = Context::new(&self.config.timers, reliable, !client.hops.is_empty());
        *machine = machine.on_timer(timer, &mut cx);
        let actions = cx.actions;
        self.act_for_client(id, &actions, None);
    }

    /// The carrier of the request broke.
    pub(super) fn fail_client(&mut self, id: Id, reason: EndReason) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Stage::Sent(_, machine) = &mut client.stage else {
            return self.fail_over(id, reason);
        };
        let reliable = client.flow.is_some_and(|flow| flow.protocol.is_reliable());
        let mut cx = Context::new(&self.config.timers, reliable, !client.hops.is_empty());
        *machine = machine.on_transport_failure(reason, &mut cx);
        let actions = cx.actions;
        self.act_for_client(id, &actions, None);
    }

    pub(super) fn act_for_client(
        &mut self,
        id: Id,
        actions: &[Action],
        mut message: Option<(Response, Origin)>,
    ) {
        for action in actions {
            match *action {
                Action::Transmit => {
                    let Some(client) = self.clients.get(id) else { return };
                    if let (Stage::Sent(wire, _), Some(flow)) = (&client.stage, client.flow) {
                        let wire = wire.clone();
                        self.send_request_bytes(flow, wire);
                    }
                }
                Action::Acknowledge => {
                    if let Some((response, _)) = &message {
                        let response = response.clone();
                        self.acknowledge(id, &response);
                    }
                }
                Action::Deliver => {
                    let is_internal = self.clients.get(id).is_none_or(|client| client.is_internal);
                    if let Some((response, origin)) = message.take_if(|_| !is_internal) {
                        let transaction = ClientId(id);
                        self.outbox.event(TransactionEvent::Response { transaction, response, origin });
                    }
                }
                Action::Arm(timer, after) => {
                    let deadline = self.deadlines.arm(after, DeadlineKey::Client(id, timer), self.now);
                    self.set_client_timer(id, timer, Some(deadline));
                }
                Action::Disarm(timer) => self.set_client_timer(id, timer, None),
                Action::End(EndReason::Completed) => self.end_client(id, EndReason::Completed),
                Action::End(reason) => self.fail_over(id, reason),
                // Only server machines do this.
                Action::SendTrying => {}
            }
        }
    }

    pub(super) fn set_client_timer(&mut self, id: Id, timer: Timer, deadline: Option<DeadlineId>) {
        let Some(slot) = self.clients.get_mut(id).and_then(|client| client.timers.get_mut(timer as usize))
        else {
            return;
        };
        if let Some(old) = std::mem::replace(slot, deadline) {
            self.deadlines.cancel(old);
        }
    }

    /// The next server, with a new branch; or the end.
    pub(super) fn fail_over(&mut self, id: Id, reason: EndReason) {
        self.leave_carrier(id);
        let nonce = self.random.bytes();
        let options = ParseOptions { limits: self.config.parse.limits, ..ParseOptions::default() };
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.hops.is_empty() {
            return self.end_client(id, reason);
        }
        let request = match &client.stage {
            Stage::Reaching(request, _) => Some((**request).clone()),
            Stage::Sent(wire, _) => Request::parse(wire.clone(), &options)
                .ok()
                .and_then(|request| request.edit().pop_first(HeaderName::Via).finish().ok()),
        };
        let Some(request) = request else { return self.end_client(id, reason) };
        let from = client.hop.take();
        let to = client.hops.remove(0);
        client.nonce = nonce;
        client.stage = Stage::Reaching(Box::new(request), Reach::Starting);
        client.hop = Some(to.clone());
        let is_internal = client.is_internal;
        let patience = if client.method == Method::Invite {
            self.config.timers.invite_timeout
        } else {
            self.config.timers.non_invite_timeout
        };
        self.set_client_timer(id, Timer::Resend, None);
        let deadline = self.deadlines.arm(patience, DeadlineKey::Client(id, Timer::GiveUp), self.now);
        self.set_client_timer(id, Timer::GiveUp, Some(deadline));
        if let (Some(from), false) = (from, is_internal) {
            let transaction = ClientId(id);
            self.outbox.event(TransactionEvent::FailedOver { transaction, from, reason, to: to.clone() });
        }
        self.try_hop(id, &to);
    }

    pub(super) fn end_client(&mut self, id: Id, reason: EndReason) {
        self.leave_carrier(id);
        let Some(client) = self.clients.remove(id) else { return };
        for deadline in client.timers.into_iter().flatten() {
            self.deadlines.cancel(deadline);
        }
        if !client.is_internal {
            let transaction = ClientId(id);
            self.outbox.event(TransactionEvent::ClientEnded { transaction, reason, flow: client.flow });
        }
    }

    /// The ACK to a failure (RFC 3261 §17.1.1.3): the request's own Via, and To from the response.
    fn acknowledge(&mut self, id: Id, response: &Response) {
        let Some((request, flow)) = self.sent_request(id) else { return };
        let Some(via) = first_via(&request) else { return };
        let Ok(sequence) = request.cseq() else { return };
        let ack = Request::builder(Method::Ack, request.uri_text())
            .header(HeaderName::Via, via)
            .header(HeaderName::MaxForwards, 70)
            .copy(&request, HeaderName::Route)
            .copy(&request, HeaderName::From)
            .copy(response, HeaderName::To)
            .copy(&request, HeaderName::CallId)
            .header(HeaderName::CSeq, format_args!("{} ACK", sequence.sequence))
            .finish();
        if let Ok(ack) = ack {
            self.send_request_bytes(flow, ack.bytes().clone());
        }
    }

    pub(super) fn sent_request(&self, id: Id) -> Option<(Request, Flow)> {
        let client = self.clients.get(id)?;
        let Stage::Sent(wire, _) = &client.stage else { return None };
        let options = ParseOptions { limits: self.config.parse.limits, ..ParseOptions::default() };
        Some((Request::parse(wire.clone(), &options).ok()?, client.flow?))
    }

    /// The transaction that a response with this slot, nonce and method belongs to.
    pub(super) fn find_client(&self, index: u32, nonce: &Nonce, method: &Method) -> Option<Id> {
        let (id, client) = self.clients.at(index)?;
        if client.nonce != *nonce {
            return None;
        }
        if client.method == *method {
            return Some(id);
        }
        match (&client.cancel, method) {
            (Cancel::Sent(cancel), Method::Cancel) => self.clients.get(*cancel).map(|_| *cancel),
            _ => None,
        }
    }
}

/// The value of the top Via alone.
pub(super) fn first_via(request: &Request) -> Option<String> {
    request.via().ok().map(|via| via.to_string())
}

fn check_options(options: &SendOptions) -> Result<(), Misuse> {
    let bad = |text: &str| text.bytes().any(|byte| byte.is_ascii_control());
    if let Some(contact) = &options.contact
        && (bad(&contact.parameters)
            || bad(&contact.uri_parameters)
            || contact.uri_parameters.contains(['<', '>', ' ']))
    {
        return Err(Misuse::Build(BuildError::ControlCharacter("Contact")));
    }
    if let Some(sent_by) = &options.sent_by
        && (sent_by.host.is_empty()
            || sent_by.host.bytes().any(|b| b <= b' ' || matches!(b, b';' | b',' | b'>' | b'<')))
    {
        return Err(Misuse::Build(BuildError::ControlCharacter("Via")));
    }
    match &options.branch_suffix {
        Some(suffix) if !crate::message::class::is_token(suffix) => Err(Misuse::Build(BuildError::NotAToken)),
        _ => Ok(()),
    }
}
