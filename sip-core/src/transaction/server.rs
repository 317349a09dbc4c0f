//! Server transactions in the table: responses go out, repeats are answered, timers fire.

use std::{net::SocketAddr, num::NonZeroU64};

use bytes::Bytes;

use super::{
    EndReason, RejectRule, ServerId, StreamEnd, TransactionEvent, Transactions,
    event::{DeadlineKey, Origin},
    key::ServerKey,
    machine::{Action, Context, Timer},
    server_invite::ServerInvite,
    server_non_invite::ServerNonInvite,
};
use crate::{
    deadline::DeadlineId,
    error::Misuse,
    header::HeaderName,
    id::Id,
    io::{Flow, Protocol, StreamId, Transmit},
    limits::Limit,
    message::{Method, ParseOptions, Request, Response, StatusCode},
    transport::ReplyPath,
};

/// One server transaction: a key, a state and wire bytes; nothing parsed is kept.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) key: ServerKey,
    pub(crate) machine: ServerMachine,
    path: PackedPath,
    /// The request, until the final response; for the 100 and for answering a CANCEL.
    request: Option<Bytes>,
    /// The last response.
    response: Option<Bytes>,
    timers: [Option<DeadlineId>; 2],
    merge_hash: Option<NonZeroU64>,
    /// A CANCEL's: answered here, so the layer above never heard of it.
    is_internal: bool,
}

/// A [`ReplyPath`] as small as it usually is: most responses go to where the request came from.
#[derive(Debug)]
struct PackedPath {
    protocol: Protocol,
    local: SocketAddr,
    remote: SocketAddr,
    stream: Option<StreamId>,
    fallback: Option<Box<SocketAddr>>,
}

impl PackedPath {
    fn new(path: ReplyPath) -> Self {
        let Flow { protocol, local, remote, stream } = path.flow;
        let fallback = (path.fallback != remote).then(|| Box::new(path.fallback));
        Self { protocol, local, remote, stream, fallback }
    }

    fn unpack(&self) -> ReplyPath {
        let Self { protocol, local, remote, stream, .. } = *self;
        let fallback = self.fallback.as_deref().copied().unwrap_or(remote);
        ReplyPath { flow: Flow { protocol, local, remote, stream }, fallback }
    }
}

/// One of the two server machines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ServerMachine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

impl ServerMachine {
    fn start(is_invite: bool, cx: &mut Context<'_>) -> Self {
        if is_invite {
            Self::Invite(ServerInvite::start(cx))
        } else {
            Self::NonInvite(ServerNonInvite::start(cx))
        }
    }

    fn on_timer(self, timer: Timer, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Invite(state) => Self::Invite(state.on_timer(timer, cx)),
            Self::NonInvite(state) => Self::NonInvite(state.on_timer(timer, cx)),
        }
    }

    fn on_repeat(self, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Invite(state) => Self::Invite(state.on_repeat(cx)),
            Self::NonInvite(state) => Self::NonInvite(state.on_repeat(cx)),
        }
    }

    fn on_send(self, status: StatusCode, cx: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Invite(state) => state.on_send(status, cx).map(Self::Invite),
            Self::NonInvite(state) => state.on_send(status, cx).map(Self::NonInvite),
        }
    }

    /// Whether the INVITE still waits for a final response.
    pub(crate) const fn is_open_invite(self) -> bool {
        matches!(self, Self::Invite(ServerInvite::Proceeding { .. }))
    }
}

impl Transactions {
    /// Sends a response within its transaction. A 2xx to an INVITE may be sent again and again until its ACK comes.
    ///
    /// A provisional response to anything but an INVITE is sent only if it is 100 and when RFC 4320 allows; a 408 to such a
    /// request is never sent and ends the transaction.
    ///
    /// # Errors
    /// [`Misuse::UnknownTransaction`], or [`Misuse::WrongState`] after a final response.
    pub fn respond(
        &mut self,
        transaction: ServerId,
        response: &Response,
        now: std::time::Instant,
    ) -> Result<(), Misuse> {
        self.advance(now);
        let id = transaction.0;
        let server = self.servers.get_mut(id).ok_or(Misuse::UnknownTransaction)?;
        let mut cx = Context::new(&self.config.timers, server.path.protocol.is_reliable(), false);
        let machine = server.machine.on_send(response.status(), &mut cx).ok_or(Misuse::WrongState)?;
        server.machine = machine;
        server.response = Some(response.bytes().clone());
        if response.status().is_final() {
            server.request = None;
        }
        // Whoever was challenged may come again with credentials and the same CSeq: proxies that answer for a neighbour do.
        // That is no second copy of a request under way (§8.2.2.2).
        if response.status().is_challenge()
            && let Some(hash) = server.merge_hash.take()
        {
            self.merge_index.remove(&hash.get());
        }
        let actions = cx.actions;
        self.act_for_server(id, &actions);
        Ok(())
    }

    /// From now on requests of these methods that belong to no dialog are told as
    /// [`TransactionEvent::StatelessRequest`] and open no transaction (RFC 3261 §8.2.7): whatever their number, nothing is
    /// kept. Each repeated one is told again, and its answer must be the same, the To tag included.
    pub fn serve_statelessly(&mut self, methods: &[Method]) {
        self.stateless_methods = methods.to_vec();
    }

    /// Sends a response without a transaction: what a stateless server does.
    pub fn respond_stateless(&mut self, path: ReplyPath, response: &Response, now: std::time::Instant) {
        self.advance(now);
        self.send_response(None, path, response.bytes().clone());
    }

    /// How a transaction's responses travel.
    #[must_use]
    pub fn reply_path(&self, transaction: ServerId) -> Option<ReplyPath> {
        Some(self.servers.get(transaction.0)?.path.unpack())
    }

    /// Opens a transaction for a request that has none. `None` if there is no room.
    pub(super) fn open_server(
        &mut self,
        key: ServerKey,
        request: &Request,
        path: ReplyPath,
        merge_hash: Option<u64>,
    ) -> Option<Id> {
        if self.servers.len() >= self.config.limits.server_transactions {
            let limit = Limit::ServerTransactions;
            self.outbox.event(TransactionEvent::LimitReached { limit, from: Some(path.flow.remote.ip()) });
            return None;
        }
        let is_invite = *request.method() == Method::Invite;
        let is_internal = *request.method() == Method::Cancel;
        let mut cx = Context::new(&self.config.timers, path.flow.protocol.is_reliable(), false);
        let machine = ServerMachine::start(is_invite, &mut cx);
        let actions = cx.actions;
        let request = Some(request.bytes().clone());
        let server = Server {
            key,
            machine,
            path: PackedPath::new(path),
            request,
            response: None,
            timers: [None; 2],
            merge_hash: merge_hash.and_then(NonZeroU64::new),
            is_internal,
        };
        let id = self.servers.insert(server);
        let servers = &self.servers;
        let key_of = |id: &Id| servers.get(*id).map_or(0, |server| server.key);
        self.server_index.insert_unique(bucket(key), id, |id| bucket(key_of(id)));
        if let Some(merge_hash) = merge_hash {
            self.merge_index.insert(merge_hash, id);
        }
        self.act_for_server(id, &actions);
        Some(id)
    }

    pub(super) fn find_server(&self, key: ServerKey) -> Option<Id> {
        let is_same = |id: &Id| self.servers.get(*id).is_some_and(|server| server.key == key);
        self.server_index.find(bucket(key), is_same).copied()
    }

    /// The request came again.
    pub(super) fn repeat_for_server(&mut self, id: Id) {
        self.step_server(id, ServerMachine::on_repeat);
    }

    /// An ACK with the branch of this INVITE. True: the layer above wants it.
    pub(super) fn acknowledge_server(&mut self, id: Id) -> bool {
        let mut wanted = false;
        self.step_server(id, |machine, cx| match machine {
            ServerMachine::Invite(state) => {
                let (state, to_user) = state.on_ack(cx);
                wanted = to_user;
                ServerMachine::Invite(state)
            }
            other @ ServerMachine::NonInvite(_) => other,
        });
        wanted
    }

    pub(super) fn on_server_timer(&mut self, id: Id, timer: Timer) {
        if let Some(server) = self.servers.get_mut(id)
            && let Some(slot) = server.timers.get_mut(timer as usize)
        {
            *slot = None;
        }
        self.step_server(id, |machine, cx| machine.on_timer(timer, cx));
    }

    fn step_server(&mut self, id: Id, step: impl FnOnce(ServerMachine, &mut Context<'_>) -> ServerMachine) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let mut cx = Context::new(&self.config.timers, server.path.protocol.is_reliable(), false);
        server.machine = step(server.machine, &mut cx);
        let actions = cx.actions;
        self.act_for_server(id, &actions);
    }

    fn act_for_server(&mut self, id: Id, actions: &[Action]) {
        for action in actions {
            match *action {
                Action::Transmit => {
                    let Some(server) = self.servers.get(id) else { return };
                    if let Some(response) = server.response.clone() {
                        let path = server.path.unpack();
                        self.send_response(Some(id), path, response);
                    }
                }
                Action::SendTrying => self.send_trying(id),
                Action::Arm(timer, after) => {
                    let deadline = self.deadlines.arm(after, DeadlineKey::Server(id, timer), self.now);
                    self.set_server_timer(id, timer, Some(deadline));
                }
                Action::Disarm(timer) => self.set_server_timer(id, timer, None),
                Action::End(reason) => self.end_server(id, reason),
                // Only client machines do these.
                Action::Acknowledge | Action::Deliver => {}
            }
        }
    }

    fn set_server_timer(&mut self, id: Id, timer: Timer, deadline: Option<DeadlineId>) {
        let Some(slot) = self.servers.get_mut(id).and_then(|server| server.timers.get_mut(timer as usize))
        else {
            return;
        };
        if let Some(old) = std::mem::replace(slot, deadline) {
            self.deadlines.cancel(old);
        }
    }

    fn send_trying(&mut self, id: Id) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let Some(request) = &server.request else { return };
        let options = ParseOptions { limits: self.config.parse.limits, ..ParseOptions::default() };
        let Ok(request) = Request::parse(request.clone(), &options) else { return };
        let trying = request
            .response(StatusCode::TRYING)
            .header_if(HeaderName::Server, self.config.server_name.as_deref());
        let Ok(trying) = trying.finish() else { return };
        server.response = Some(trying.bytes().clone());
        let path = server.path.unpack();
        self.send_response(Some(id), path, trying.bytes().clone());
    }

    pub(super) fn end_server(&mut self, id: Id, reason: EndReason) {
        let Some(server) = self.servers.remove(id) else { return };
        for deadline in server.timers.into_iter().flatten() {
            self.deadlines.cancel(deadline);
        }
        if let Ok(entry) = self.server_index.find_entry(bucket(server.key), |other| *other == id) {
            entry.remove();
        }
        if let Some(hash) = server.merge_hash
            && self.merge_index.get(&hash.get()) == Some(&id)
        {
            self.merge_index.remove(&hash.get());
        }
        if !server.is_internal {
            self.outbox.event(TransactionEvent::ServerEnded { transaction: ServerId(id), reason });
        }
    }

    /// Answers without asking the layer above. Gives what was answered.
    pub(super) fn answer_here(
        &mut self,
        path: ReplyPath,
        request: &Request,
        status: StatusCode,
        retry_after: Option<u32>,
    ) -> Option<StatusCode> {
        if *request.method() == Method::Ack {
            return None;
        }
        let tag = crate::random::hex(&self.random.bytes::<8>());
        let response = request
            .response(status)
            .to_tag(&tag)
            .header_if(HeaderName::RetryAfter, retry_after)
            .header_if(HeaderName::Server, self.config.server_name.as_deref())
            .finish()
            .ok()?;
        self.send_response(None, path, response.bytes().clone());
        Some(status)
    }

    pub(super) fn reject(
        &mut self,
        path: ReplyPath,
        request: Request,
        status: StatusCode,
        rule: RejectRule,
        origin: Origin,
    ) {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(10);
        let answered = self.answer_here(path, &request, status, retry_after);
        self.outbox.event(TransactionEvent::Rejected { origin, request, answered, rule });
    }

    /// Sends a response on its way back (RFC 3261 §18.2.2).
    pub(super) fn send_response(&mut self, server: Option<Id>, path: ReplyPath, payload: Bytes) {
        if !path.flow.protocol.is_stream() {
            self.outbox.transmit(Transmit {
                source: Some(path.flow.local),
                destination: path.fallback,
                protocol: path.flow.protocol,
                stream: None,
                payload,
            });
            return;
        }
        let open = path.flow.stream.filter(|_| self.is_flow_alive(&path.flow));
        match open {
            Some(stream) => self.send_on_stream(stream, payload),
            // Nobody can open a connection to a browser.
            None if path.flow.protocol.is_websocket() => self.undelivered(server),
            None => self.send_on_new_stream(server, path, payload),
        }
    }

    /// A response could not be sent.
    pub(super) fn undelivered(&mut self, server: Option<Id>) {
        let Some(id) = server.filter(|id| self.servers.get(*id).is_some()) else { return };
        let reason = StreamEnd::Gone.for_transaction();
        self.outbox.event(TransactionEvent::ResponseUndelivered { transaction: ServerId(id), reason });
        self.step_server(id, |machine, cx| match machine {
            ServerMachine::NonInvite(state) => {
                ServerMachine::NonInvite(state.on_transport_failure(reason, cx))
            }
            // RFC 6026 §8.5: told, and nothing changes.
            invite @ ServerMachine::Invite(_) => invite,
        });
    }
}

/// The half of a key by which the table is laid out.
fn bucket(key: ServerKey) -> u64 {
    u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0)
}
