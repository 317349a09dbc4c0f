//! What the transactions tell, brought to whom it concerns. No rule is applied here but those of RFC 3261 §8.2 and
//! §12.2.2 about where a request belongs.

use super::Endpoint;
use crate::{
    auth::client::ChallengeRefusal,
    call::{State, info},
    command::Reply,
    context::{Client, Over, Owner, Served},
    dialog::{DialogHandle, Usage},
    event::{By, CallEnd, Event, Refusal, RequestEnd, first_line},
    handle::CallHandle,
    header::HeaderName,
    io::{Flow, Output, PeerIdentity},
    limits::Limit,
    message::{Method, Request, Response, StatusCode},
    subscription::Subscription,
    transaction::{ClientId, EndReason, RejectRule, ServerId, StreamEnd, TransactionEvent},
};
use std::sync::Arc;

impl Endpoint {
    /// Passes on what the layers below want done.
    pub(super) fn route_output(&mut self, output: Output<TransactionEvent>) {
        match output.into_event() {
            Ok(event) => self.route_event(event),
            Err(rest) => self.cx.outbox.push_back(rest),
        }
    }

    fn route_event(&mut self, event: TransactionEvent) {
        match event {
            TransactionEvent::Request { transaction, request, origin, merged_with: _ } => {
                self.on_request(transaction, request, origin.flow, origin.peer_identity);
            }
            TransactionEvent::Ack { request, origin, transaction: _ } => self.on_ack(&request, origin.flow),
            TransactionEvent::Cancelled { transaction, request, origin: _ } => {
                self.on_cancelled(transaction, &request);
            }
            TransactionEvent::ServerEnded { transaction, reason } => {
                self.on_server_ended(transaction, reason)
            }
            TransactionEvent::ResponseUndelivered { transaction, reason } => {
                let call = self.call_of(transaction);
                self.cx.event(Event::ResponseUndelivered { call, reason });
            }
            TransactionEvent::Response { transaction, response, origin } => {
                self.note_sighting(&response, origin.flow);
                self.on_response(transaction, &response, origin.flow);
            }
            TransactionEvent::ViaAltered { transaction, flow, sent, returned } => {
                let call = self.cx.clients.get(&transaction).and_then(|client| client.owner.call());
                self.cx.event(Event::ViaAltered { call, flow, sent, returned });
            }
            TransactionEvent::StrayResponse { response, origin }
            | TransactionEvent::ResponseDropped { response, origin } => {
                let first_line = format!("{} {}", response.status(), response.reason());
                let rule = Refusal::StrayResponse;
                self.cx.event(Event::Refused { flow: origin.flow, status: None, rule, first_line });
            }
            TransactionEvent::ClientEnded { transaction, reason, flow: _ } => {
                self.on_client_ended(transaction, reason);
            }
            TransactionEvent::FailedOver { from, reason, to, .. } => {
                self.cx.event(Event::FailedOver { from: from.remote, to: to.remote, reason });
            }
            TransactionEvent::Located { id, outcome } => self.cx.event(Event::Located { id, outcome }),
            // Not asked for.
            TransactionEvent::StatelessRequest { .. } => {}
            TransactionEvent::Refused { origin, error, answered } => {
                let rule = Refusal::Malformed(error);
                let first_line = String::new();
                self.cx.event(Event::Refused { flow: origin.flow, status: answered, rule, first_line });
            }
            TransactionEvent::Rejected { origin, request, answered, rule } => {
                let rule = match rule {
                    RejectRule::Merged => Refusal::Merged,
                    RejectRule::NothingToCancel => Refusal::NoSuchTransaction,
                    RejectRule::Overloaded => Refusal::Limit(Limit::ServerTransactions),
                };
                let first_line = first_line(&request);
                self.cx.event(Event::Refused { flow: origin.flow, status: answered, rule, first_line });
            }
            TransactionEvent::Received { flow, bytes } => self.cx.event(Event::Received { flow, bytes }),
            TransactionEvent::LimitReached { limit, from: _ } => self.cx.limit(limit),
            TransactionEvent::StreamOpened { .. } => {}
            TransactionEvent::StreamClosed { flow, reason } => {
                self.lose_flow(&flow);
                self.cx.event(Event::FlowClosed { flow, reason });
            }
            TransactionEvent::FlowFailed { flow } => {
                self.lose_flow(&flow);
                self.cx.event(Event::FlowClosed { flow, reason: StreamEnd::NoAnswer });
            }
            TransactionEvent::SeenAs { flow, address } => self.cx.event(Event::SeenAs { flow, address }),
        }
    }

    /// A flow is gone: what was bound to it, and our own registrations over it.
    fn lose_flow(&mut self, flow: &Flow) {
        self.flow_gone(flow);
        for handle in self.registrations.handles().collect::<Vec<_>>() {
            if let Some(registration) = self.registrations.get_mut(handle) {
                registration.on_flow_lost(&mut self.cx, flow);
            }
        }
    }

    fn call_of(&self, server: ServerId) -> Option<CallHandle> {
        match self.cx.servers.get(&server)? {
            Served::Invite(call) | Served::Session(call) => Some(*call),
            Served::Request(request) => self.requests.get(*request)?.call,
        }
    }

    // -- requests

    fn on_request(
        &mut self,
        server: ServerId,
        request: Request,
        flow: Flow,
        peer_identity: Option<Arc<PeerIdentity>>,
    ) {
        let local_tag = request.to_tag();
        if let Some(local_tag) = local_tag {
            let found = self.find_dialog(&request, local_tag);
            return match found {
                Some(dialog) => self.on_request_in_dialog(server, request, flow, dialog),
                None if *request.method() == Method::Notify
                    && self.on_first_notify(server, &request, flow) => {}
                None => {
                    let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                    self.cx.refuse(server, &request, flow, status, Refusal::NoSuchDialog);
                }
            };
        }
        if self.cx.is_shutting_down {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return self.cx.refuse(server, &request, flow, status, Refusal::ShuttingDown);
        }
        if !self.check_extensions(server, &request, flow) {
            return;
        }
        if matches!(request.method(), Method::Bye | Method::Prack | Method::Update) {
            // They make sense inside a dialog only.
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.cx.refuse(server, &request, flow, status, Refusal::NoSuchDialog);
        }
        if *request.method() == Method::Refer {
            return self.on_refer(server, &request, flow, None);
        }
        if let Some(handle) = self.take_request(server, request.clone(), flow, None) {
            self.cx.event(Event::Incoming { request: handle, message: request, flow, peer_identity });
        }
    }

    /// RFC 3261 §8.2.2.3: what is required and not known is refused with 420.
    fn check_extensions(&mut self, server: ServerId, request: &Request, flow: Flow) -> bool {
        let unknown: Vec<&str> =
            request.tokens(HeaderName::Require).filter(|tag| !self.cx.config.supports(tag)).collect();
        if unknown.is_empty() {
            return true;
        }
        let unknown = unknown.join(", ");
        let mut reply = Reply::new(StatusCode::BAD_EXTENSION);
        let _ = reply.headers.push(HeaderName::Unsupported.as_str(), &unknown);
        self.cx.refuse_with(server, request, flow, &reply, Refusal::BadExtension(unknown));
        false
    }

    fn on_request_in_dialog(&mut self, server: ServerId, request: Request, flow: Flow, dialog: DialogHandle) {
        let sequence = request.cseq().map_or(0, |cseq| cseq.sequence);
        let advanced = self.cx.dialogs.get_mut(dialog).map(|dialog| dialog.advance_remote(sequence));
        if let Some(Err(last)) = advanced {
            let rule = Refusal::OutOfOrder { sequence, last };
            return self.cx.refuse(server, &request, flow, StatusCode::SERVER_INTERNAL_ERROR, rule);
        }
        if !self.check_extensions(server, &request, flow) {
            return;
        }
        let is_event = matches!(request.method(), Method::Notify | Method::Subscribe);
        if is_event && self.on_subscription_request(server, &request, flow, dialog) {
            return;
        }
        if *request.method() == Method::Notify && self.on_first_notify(server, &request, flow) {
            return;
        }
        let Some(call) = self.call_of_dialog(dialog) else {
            let leaving = self.cx.dialogs.usages(dialog).contains(&Usage::Farewell);
            if leaving && *request.method() == Method::Bye {
                return self.cx.answer_plainly(server, &request, StatusCode::OK);
            }
            return self.refuse_event(server, &request, flow);
        };
        match request.method() {
            Method::Invite | Method::Bye | Method::Update | Method::Prack => {
                if let Some(state) = self.calls.get_mut(call) {
                    state.on_request(&mut self.cx, server, &request, flow, dialog);
                }
            }
            Method::Refer => self.on_refer(server, &request, flow, Some(call)),
            Method::Register | Method::Publish => {
                self.cx.refuse(server, &request, flow, StatusCode::METHOD_NOT_ALLOWED, Refusal::Method);
            }
            _ => {
                if let Some(dialog) = self.cx.dialogs.get_mut(dialog) {
                    dialog.flow = flow;
                }
                let understood = self.cx.config.info_packages.as_deref();
                if let Some(reply) =
                    info::refusal(&request, understood).filter(|_| *request.method() == Method::Info)
                {
                    return self.cx.refuse_with(server, &request, flow, &reply, Refusal::InfoPackage);
                }
                if let Some(handle) = self.take_request(server, request.clone(), flow, Some(call)) {
                    if let Some(state) = self.calls.get_mut(call) {
                        state.common.requests.push(handle);
                    }
                    self.cx.event(Event::DialogRequest { call, request: handle, message: request });
                }
            }
        }
    }

    fn on_ack(&mut self, request: &Request, flow: Flow) {
        let local_tag = request.to_tag().unwrap_or_default();
        let dialog = self.find_dialog(request, local_tag);
        let call = dialog.and_then(|dialog| self.call_of_dialog(dialog));
        match call.and_then(|call| self.calls.get_mut(call)) {
            Some(call) => call.on_ack(&mut self.cx, request, flow),
            None => {
                let first_line = first_line(request);
                self.cx.event(Event::Refused { flow, status: None, rule: Refusal::StrayAck, first_line });
            }
        }
    }

    fn on_cancelled(&mut self, server: ServerId, cancel: &Request) {
        let reason = cancel.get(HeaderName::Reason).map(str::to_owned);
        match self.cx.servers.get(&server).copied() {
            Some(Served::Request(request)) => self.request_cancelled(request, reason),
            Some(Served::Invite(call) | Served::Session(call)) => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.on_cancel(&mut self.cx, server, reason);
                }
            }
            None => {}
        }
    }

    fn on_server_ended(&mut self, server: ServerId, reason: EndReason) {
        match self.cx.servers.remove(&server) {
            Some(Served::Request(request)) => self.request_transaction_ended(request, reason),
            Some(Served::Invite(call) | Served::Session(call)) => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.on_server_ended(&mut self.cx, server, reason);
                }
            }
            None => {}
        }
    }

    // -- responses

    fn on_response(&mut self, client: ClientId, response: &Response, flow: Flow) {
        let Some(mut record) = self.cx.clients.remove(&client) else { return };
        let mut refusal = None;
        if response.status().is_challenge() {
            match self.cx.answer_challenge(record, response, flow) {
                Ok((again, _)) => return self.on_resent(client, again),
                Err((kept, why)) => {
                    record = kept;
                    refusal = Some(why);
                }
            }
        } else if response.status().is_final() {
            self.learn(&record, response);
        }
        match record.owner {
            Owner::Invite(call) | Owner::Session(call) => {
                self.on_call_response(call, client, record, response, flow, refusal);
            }
            Owner::Answered(ref mut aftermath) => {
                if response.status().is_success() {
                    aftermath.on_success(&mut self.cx, response, flow, record.auth);
                }
                self.cx.clients.insert(client, record);
            }
            Owner::Farewell(dialog) if response.status().is_final() => {
                self.cx.bid_farewell(dialog, record.auth);
            }
            Owner::Farewell(_) => drop(self.cx.clients.insert(client, record)),
            Owner::InDialog(call, outgoing) => {
                self.keep_unless_final(client, record, response);
                self.outgoing_response(outgoing, response, refusal);
                self.judge_dialog(call, response);
            }
            Owner::Outgoing(outgoing) => {
                self.keep_unless_final(client, record, response);
                self.outgoing_response(outgoing, response, refusal);
            }
            Owner::Registration(registration) => {
                self.keep_unless_final(client, record, response);
                if let Some(registration) = self.registrations.get_mut(registration) {
                    registration.on_response(&mut self.cx, response, flow, refusal);
                }
            }
            Owner::Publication(publication) => {
                self.keep_unless_final(client, record, response);
                if let Some(publication) = self.publications.get_mut(publication) {
                    publication.on_response(&mut self.cx, response, refusal);
                }
            }
            Owner::Subscription(handle) => {
                self.keep_unless_final(client, record, response);
                match self.subscriptions.get_mut(handle) {
                    Some(Subscription::Subscriber(it)) => {
                        it.on_response(&mut self.cx, client, response, flow, refusal);
                    }
                    Some(Subscription::Notifier(it)) => it.on_response(&mut self.cx, client, response),
                    None => {}
                }
            }
        }
    }

    /// A response to an INVITE, UPDATE or PRACK of a call.
    fn on_call_response(
        &mut self,
        call: CallHandle,
        client: ClientId,
        record: Client,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) {
        // Back into the table first: an answered INVITE's record becomes its aftermath's.
        self.cx.clients.insert(client, record);
        if let Some(call) = self.calls.get_mut(call) {
            call.on_response(&mut self.cx, client, response, flow, refusal);
        }
        let is_answered = |record: &Client| matches!(record.owner, Owner::Answered(_));
        if response.status().is_final() && !self.cx.clients.get(&client).is_some_and(is_answered) {
            self.cx.clients.remove(&client);
        }
    }

    fn keep_unless_final(&mut self, client: ClientId, record: Client, response: &Response) {
        if !response.status().is_final() {
            self.cx.clients.insert(client, record);
        }
    }

    /// What a final response teaches about the server's authentication.
    fn learn(&mut self, record: &Client, response: &Response) {
        let Some(auth) = record.auth.and_then(|auth| self.cx.auths.get_mut(auth)) else { return };
        auth.sessions.accepted();
        if let Some(info) = response.get(HeaderName::AuthenticationInfo) {
            let _ = auth.sessions.informed(info, response.body());
        }
    }

    fn on_resent(&mut self, old: ClientId, new: ClientId) {
        match self.cx.clients.get(&new).map(|record| &record.owner) {
            Some(Owner::Invite(call) | Owner::Session(call)) => {
                if let Some(call) = self.calls.get_mut(*call) {
                    call.on_resent(old, new);
                }
            }
            Some(Owner::Subscription(handle)) => match self.subscriptions.get_mut(*handle) {
                Some(Subscription::Subscriber(it)) => it.on_resent(old, new),
                Some(Subscription::Notifier(it)) => it.on_resent(old, new),
                None => {}
            },
            Some(Owner::Registration(registration)) => {
                let sequence = self.sequence_of(new);
                if let Some(registration) = self.registrations.get_mut(*registration) {
                    registration.on_resent(sequence);
                }
            }
            Some(Owner::Publication(publication)) => {
                let sequence = self.sequence_of(new);
                if let Some(publication) = self.publications.get_mut(*publication) {
                    publication.on_resent(sequence);
                }
            }
            _ => {}
        }
    }

    /// The number a request that was challenged has now.
    fn sequence_of(&self, client: ClientId) -> Option<u32> {
        let record = self.cx.clients.get(&client)?;
        Some(record.sent.as_ref()?.request.cseq().ok()?.sequence)
    }

    fn on_client_ended(&mut self, client: ClientId, failure: EndReason) {
        let Some(record) = self.cx.clients.remove(&client) else { return };
        match record.owner {
            Owner::Answered(_) => {}
            Owner::Farewell(dialog) => self.cx.bid_farewell(dialog, record.auth),
            Owner::Invite(call) | Owner::Session(call) => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.on_failure(&mut self.cx, client, failure);
                }
            }
            Owner::InDialog(call, outgoing) => {
                let method = self.outgoing.get(outgoing).map(|it| it.method.clone());
                self.outgoing_failed(outgoing, failure);
                if failure == EndReason::TimedOut
                    && let Some(method) = method
                {
                    self.lose_dialog(call, method, None);
                }
            }
            Owner::Outgoing(outgoing) => self.outgoing_failed(outgoing, failure),
            Owner::Subscription(handle) => match self.subscriptions.get_mut(handle) {
                Some(Subscription::Subscriber(it)) => it.on_failure(&mut self.cx, client, failure),
                Some(Subscription::Notifier(it)) => it.on_failure(&mut self.cx, client, failure),
                None => {}
            },
            Owner::Registration(registration) => {
                if let Some(registration) = self.registrations.get_mut(registration) {
                    registration.on_failure(&mut self.cx, failure);
                }
            }
            Owner::Publication(publication) => {
                if let Some(publication) = self.publications.get_mut(publication) {
                    publication.on_failure(&mut self.cx, failure);
                }
            }
        }
    }

    /// RFC 5057 §5.1: a response to a request inside a dialog that says the dialog is no more.
    fn judge_dialog(&mut self, call: CallHandle, response: &Response) {
        let status = response.status();
        if matches!(status, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT) {
            let method = response.cseq().map_or(Method::Info, |cseq| cseq.method);
            self.lose_dialog(call, method, Some(status));
        }
    }

    fn lose_dialog(&mut self, call: CallHandle, method: Method, status: Option<StatusCode>) {
        if let Some(call) = self.calls.get_mut(call)
            && matches!(call.state, State::Established(_))
        {
            let end = CallEnd::DialogLost { method, status };
            call.hang_up(&mut self.cx, &crate::command::Headers::new(), end, StatusCode::REQUEST_TERMINATED);
        }
    }

    // -- the end

    /// Clears away calls and registrations that have ended, with what hung on them, and tells their end last.
    pub(super) fn bury_the_dead(&mut self) {
        while let Some(over) = self.cx.over.pop() {
            match over {
                Over::Call(handle) => self.bury_call(handle),
                Over::Subscription(handle) => match self.subscriptions.remove(handle) {
                    Some(Subscription::Subscriber(it)) => it.bury(&mut self.cx),
                    Some(Subscription::Notifier(it)) => it.bury(&mut self.cx),
                    None => {}
                },
                Over::Publication(handle) => {
                    if let Some(publication) = self.publications.remove(handle) {
                        publication.bury(&mut self.cx);
                    }
                }
                Over::Registration(handle) => {
                    if let Some(registration) = self.registrations.remove(handle) {
                        registration.bury(&mut self.cx);
                    }
                }
            }
        }
    }

    fn bury_call(&mut self, handle: CallHandle) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        let requests = std::mem::take(&mut call.common.requests);
        let outgoing = std::mem::take(&mut call.common.outgoing);
        for request in requests {
            let _ = self.send_reply(request, &Reply::new(StatusCode::REQUEST_TERMINATED));
            self.end_request(request, RequestEnd::DialogEnded);
        }
        for outgoing in outgoing {
            self.outgoing_abandoned(outgoing);
        }
        let Some(call) = self.calls.remove(handle) else { return };
        self.cx.forget_credentials(call.common.auth);
        if let State::Over(reason) = call.state {
            self.cx.event(Event::CallEnded { call: handle, reason });
        }
    }
}

/// Who ended it, for the application's commands.
pub(super) const fn by_us() -> By {
    By::Local
}
