//! Finding the way: DNS, route, stream, and which transactions ride on what (RFC 3261 §18.1.1, RFC 3263 §4).

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    EndReason, LocateId, Located, StreamEnd, TransactionEvent, Transactions, carrier::Carrier, client::Stage,
    event::DeadlineKey, machine::Timer, routes::Asked,
};
use crate::{
    deadline::DeadlineId,
    id::Id,
    io::{Answer, Flow, Output, PeerIdentity, Protocol, QueryId, RouteInfo, StreamId, Transmit},
    limits::Limit,
    message::UriBuf,
    resolve::{Progress, ResolveFailure},
    transport::{Hop, LocalChoice, ReplyPath, Target},
};

/// What a request waits for before it can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Starting,
    Resolving,
    Routing,
    Opening(StreamId),
}

/// Who waits for a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Client(Id),
    Locate(LocateId),
}

impl Transactions {
    /// Finds the ways to a URI without sending anything: so that Contact and session description can name the address
    /// that this very peer should be told. Answered by [`TransactionEvent::Located`].
    pub fn locate(&mut self, uri: &UriBuf, now: Instant) -> LocateId {
        self.advance(now);
        let id = LocateId(self.next_locate);
        self.next_locate = self.next_locate.wrapping_add(1);
        match self.start_resolution(uri) {
            Progress::Pending(resolution) => drop(self.resolutions.insert(resolution, Waiting::Locate(id))),
            Progress::Done(outcome) => self.on_located(id, outcome),
        }
        id
    }

    /// Starts on the way to a target.
    pub(super) fn reach(&mut self, id: Id, target: Target) {
        match target {
            Target::Uri(uri) => match self.start_resolution(&uri) {
                Progress::Pending(resolution) => {
                    self.resolutions.insert(resolution, Waiting::Client(id));
                    self.set_reach(id, Reach::Resolving);
                }
                Progress::Done(outcome) => self.on_client_resolved(id, outcome),
            },
            Target::Hops(hops) => self.on_client_resolved(id, Ok(hops)),
            Target::Address { protocol, remote, local } => {
                // What the certificate or the handshake is to name.
                let server_name = protocol.is_stream().then(|| remote.ip().to_string().into());
                let hop = Hop { protocol, remote, server_name };
                if let (Some(local), false) = (local, protocol.is_stream()) {
                    if let Some(client) = self.clients.get_mut(id) {
                        client.hop = Some(hop);
                    }
                    return self.launch(id, Flow { protocol, local, remote, stream: None });
                }
                self.on_client_resolved(id, Ok(vec![hop]));
            }
            Target::Flow(flow) => {
                if self.is_flow_alive(&flow) {
                    let remote = flow.remote;
                    if let Some(client) = self.clients.get_mut(id) {
                        client.hop = Some(Hop { protocol: flow.protocol, remote, server_name: None });
                    }
                    self.launch(id, flow);
                } else {
                    self.end_client(id, StreamEnd::Gone.for_transaction());
                }
            }
        }
    }

    fn start_resolution(&mut self, uri: &UriBuf) -> Progress {
        let outbox = &mut self.outbox;
        let mut ask = |id, question| outbox.push(Output::Resolve { id, question });
        let progress =
            self.resolver.start(&uri.as_uri(), self.supported, &self.config.limits, self.now, &mut ask);
        if let Progress::Done(Err(ResolveFailure::Overloaded)) = &progress {
            self.outbox.event(TransactionEvent::LimitReached { limit: Limit::Queries, from: None });
        }
        self.watch_queries();
        progress
    }

    pub(super) fn on_resolved(&mut self, query: QueryId, answer: Answer) {
        let outbox = &mut self.outbox;
        let mut ask = |id, question| outbox.push(Output::Resolve { id, question });
        let done = self.resolver.on_answer(query, answer, &self.config.limits, &mut self.random, &mut ask);
        let Some((resolution, outcome)) = done else { return };
        match self.resolutions.remove(&resolution) {
            Some(Waiting::Client(id)) => self.on_client_resolved(id, outcome),
            Some(Waiting::Locate(id)) => self.on_located(id, outcome),
            None => {}
        }
    }

    fn on_client_resolved(&mut self, id: Id, outcome: Result<Vec<Hop>, ResolveFailure>) {
        let Some(client) = self.clients.get(id) else { return };
        let mut hops = match outcome {
            Ok(hops) => hops,
            Err(failure) => return self.end_client(id, EndReason::Unresolved(failure)),
        };
        // An address of a family that there is no listener for is no way.
        hops.retain(|hop| {
            self.listeners.can_reach(hop.protocol, Some(hop.remote.ip())) || hop.protocol.is_stream()
        });
        let size = match &client.stage {
            Stage::Reaching(request, _) => request.bytes().len(),
            Stage::Sent(wire, _) => wire.len(),
        };
        // The Via to come has some hundred bytes.
        if client.is_free_to_choose
            && size.saturating_add(100) > self.config.udp_request_bytes
            && self.listeners.can_reach(Protocol::Tcp, None)
        {
            hops = hops.into_iter().flat_map(tcp_first).collect();
        }
        hops.truncate(self.config.limits.hops.saturating_mul(2).max(1));
        self.overload_order(&mut hops);
        if hops.is_empty() {
            return self.end_client(id, EndReason::NoRoute);
        }
        let first = hops.remove(0);
        if let Some(client) = self.clients.get_mut(id) {
            client.hops = hops;
            client.hop = Some(first.clone());
        }
        self.try_hop(id, &first);
    }

    fn on_located(&mut self, id: LocateId, outcome: Result<Vec<Hop>, ResolveFailure>) {
        let hops = match outcome {
            Ok(hops) if hops.is_empty() => Err(ResolveFailure::NotFound),
            other => other,
        };
        match hops {
            Err(failure) => self.outbox.event(TransactionEvent::Located { id, outcome: Err(failure) }),
            Ok(hops) => {
                let Some(first) = hops.first().cloned() else { return };
                match self.routes.get(first.remote.ip(), self.now) {
                    Some(route) => self.tell_located(id, hops, route),
                    None => {
                        if let Some(asked) = self.ask_route(first.remote) {
                            asked.locates.push((id, hops));
                        } else {
                            self.tell_located(id, hops, None);
                        }
                    }
                }
            }
        }
    }

    fn tell_located(&mut self, id: LocateId, hops: Vec<Hop>, route: Option<RouteInfo>) {
        let local = hops.first().and_then(|hop| {
            let route = route.as_ref().map(|route| route.local);
            let local = self.listeners.local_by_route(hop.protocol, hop.remote.ip(), route)?;
            Some(self.listeners.sent_by(hop.protocol, local))
        });
        let located = Located { hops, route, sent_by: local };
        self.outbox.event(TransactionEvent::Located { id, outcome: Ok(located) });
    }

    fn overload_order(&self, hops: &mut [Hop]) {
        // The order within one server's ways, TCP before UDP, is not a choice between servers.
        let is_one_server = hops.iter().all(|hop| Some(hop.remote) == hops.first().map(|first| first.remote));
        if !is_one_server {
            self.quiet_ones_last(hops);
        }
    }

    /// Tries to get one request to one server.
    pub(super) fn try_hop(&mut self, id: Id, hop: &Hop) {
        let is_spared = self.clients.get(id).is_some_and(|client| client.is_spared());
        if !is_spared && self.is_held_back(hop.remote) {
            return self.fail_over(id, EndReason::HeldBack);
        }
        if hop.protocol.is_stream() {
            return self.try_stream(id, hop);
        }
        match self.listeners.local_for(hop.protocol, hop.remote.ip()) {
            LocalChoice::Known(local) => {
                self.launch(id, Flow { protocol: hop.protocol, local, remote: hop.remote, stream: None });
            }
            LocalChoice::None => self.fail_over(id, EndReason::NoRoute),
            LocalChoice::AskRoute => match self.routes.get(hop.remote.ip(), self.now) {
                Some(route) => self.launch_by_route(id, hop, route.as_ref()),
                None => {
                    self.set_reach(id, Reach::Routing);
                    match self.ask_route(hop.remote) {
                        Some(asked) => asked.clients.push(id),
                        None => self.fail_over(id, EndReason::Limit(Limit::Queries)),
                    }
                }
            },
        }
    }

    fn launch_by_route(&mut self, id: Id, hop: &Hop, route: Option<&RouteInfo>) {
        let Some(route) = route else { return self.fail_over(id, EndReason::Unreachable) };
        match self.listeners.local_by_route(hop.protocol, hop.remote.ip(), Some(route.local)) {
            Some(local) => {
                self.launch(id, Flow { protocol: hop.protocol, local, remote: hop.remote, stream: None })
            }
            None => self.fail_over(id, EndReason::NoRoute),
        }
    }

    fn ask_route(&mut self, destination: SocketAddr) -> Option<&mut Asked> {
        let address = destination.ip();
        let id = match self.routes.by_address.get(&address) {
            Some(id) => *id,
            None => {
                if self.routes.open.len() >= self.config.limits.queries {
                    self.outbox.event(TransactionEvent::LimitReached { limit: Limit::Queries, from: None });
                    return None;
                }
                let id = QueryId(self.routes.next);
                self.routes.next = self.routes.next.wrapping_add(1);
                let asked = Asked { address, since: self.now, clients: Vec::new(), locates: Vec::new() };
                self.routes.open.insert(id, asked);
                self.routes.by_address.insert(address, id);
                self.outbox.push(Output::Route { id, destination });
                self.watch_queries();
                id
            }
        };
        self.routes.open.get_mut(&id)
    }

    pub(super) fn on_routed(&mut self, query: QueryId, route: Option<RouteInfo>) {
        let Some(asked) = self.routes.open.remove(&query) else { return };
        self.routes.by_address.remove(&asked.address);
        self.routes.learn(asked.address, route.clone(), self.now);
        self.after_route(asked, route.as_ref());
    }

    fn after_route(&mut self, asked: Asked, route: Option<&RouteInfo>) {
        for id in asked.clients {
            let Some(client) = self.clients.get(id) else { continue };
            let is_waiting = matches!(client.stage, Stage::Reaching(_, Reach::Routing));
            if let (true, Some(hop)) = (is_waiting, client.hop.clone()) {
                self.launch_by_route(id, &hop, route);
            }
        }
        for (id, hops) in asked.locates {
            self.tell_located(id, hops, route.cloned());
        }
    }

    /// The driver owes answers; there is one deadline for the oldest.
    fn watch_queries(&mut self) {
        if self.query_deadline.is_some() {
            return;
        }
        let oldest_route = self.routes.open.values().map(|asked| asked.since).min();
        let oldest = self.resolver.oldest().into_iter().chain(oldest_route).min();
        if let Some(oldest) = oldest {
            let left = self.config.limits.query.saturating_sub(self.now.saturating_duration_since(oldest));
            // A duration of its own each time would make a queue each time; the query limit itself is precise enough.
            let after = if left.is_zero() { Duration::ZERO } else { self.config.limits.query };
            self.query_deadline = Some(self.deadlines.arm(after, DeadlineKey::Queries, self.now));
        }
    }

    pub(super) fn on_query_deadline(&mut self) {
        self.query_deadline = None;
        let Some(since) = self.now.checked_sub(self.config.limits.query) else { return };
        for resolution in self.resolver.expire(since) {
            match self.resolutions.remove(&resolution) {
                Some(Waiting::Client(id)) => self.on_client_resolved(id, Err(ResolveFailure::DnsFailed)),
                Some(Waiting::Locate(id)) => self.on_located(id, Err(ResolveFailure::DnsFailed)),
                None => {}
            }
        }
        let mut expired: Vec<QueryId> =
            self.routes.open.iter().filter(|(_, asked)| asked.since <= since).map(|(id, _)| *id).collect();
        expired.sort_unstable();
        for id in expired {
            if let Some(asked) = self.routes.open.remove(&id) {
                self.routes.by_address.remove(&asked.address);
                self.after_route(asked, None);
            }
        }
        self.watch_queries();
    }

    fn set_reach(&mut self, id: Id, reach: Reach) {
        if let Some(client) = self.clients.get_mut(id)
            && let Stage::Reaching(_, current) = &mut client.stage
        {
            *current = reach;
        }
    }

    fn try_stream(&mut self, id: Id, hop: &Hop) {
        let found = self.streams.find(hop.protocol, hop.remote, hop.server_name.as_ref());
        let stream = match found {
            Some(stream) => stream,
            None => match self.open_stream(hop.protocol, hop.remote, hop.server_name.clone()) {
                Ok(stream) => stream,
                Err(limit) => return self.fail_over(id, EndReason::Limit(limit)),
            },
        };
        match self.streams.get(stream).filter(|stream| stream.is_open).map(|open| open.flow(stream)) {
            Some(flow) => self.launch(id, flow),
            None => {
                self.set_reach(id, Reach::Opening(stream));
                self.join(id, Carrier::Stream(stream));
                if self.rival(id).is_some() {
                    let after = self.config.timers.connection_attempt_delay;
                    let deadline =
                        self.deadlines.arm(after, DeadlineKey::Client(id, Timer::Resend), self.now);
                    self.set_client_timer(id, Timer::Resend, Some(deadline));
                }
            }
        }
    }

    /// The next way, if it is a stream to an address of the other family than the one that is being opened.
    fn rival(&self, id: Id) -> Option<&Hop> {
        let client = self.clients.get(id)?;
        let (current, next) = (client.hop.as_ref()?, client.hops.first()?);
        let is_other_family = current.remote.is_ipv4() != next.remote.is_ipv4();
        (next.protocol == current.protocol && next.protocol.is_stream() && is_other_family).then_some(next)
    }

    /// The stream has not opened yet: the next address gets its chance beside it (RFC 8305 §5). What opens first is used.
    pub(super) fn race(&mut self, id: Id) {
        let Some(hop) = self.rival(id).cloned() else { return };
        let found = self.streams.find(hop.protocol, hop.remote, hop.server_name.as_ref());
        let opened =
            found.map_or_else(|| self.open_stream(hop.protocol, hop.remote, hop.server_name.clone()), Ok);
        let Ok(stream) = opened else { return };
        match self.streams.get(stream).filter(|stream| stream.is_open).map(|open| open.flow(stream)) {
            Some(flow) => self.win(id, flow),
            None => self.racers.entry(stream).or_default().push(id),
        }
    }

    /// A rival stream stands first: the request goes over it.
    fn win(&mut self, id: Id, flow: Flow) {
        let is_waiting = self
            .clients
            .get(id)
            .is_some_and(|client| matches!(client.stage, Stage::Reaching(_, Reach::Opening(_))));
        let is_rival = self.rival(id).is_some_and(|hop| hop.remote == flow.remote);
        if !is_waiting || !is_rival {
            return;
        }
        self.leave_carrier(id);
        if let Some(client) = self.clients.get_mut(id) {
            client.hop = Some(client.hops.remove(0));
        }
        self.launch(id, flow);
    }

    fn open_stream(
        &mut self,
        protocol: Protocol,
        remote: SocketAddr,
        server_name: Option<Arc<str>>,
    ) -> Result<StreamId, Limit> {
        let stream = match self.streams.open(protocol, remote, server_name.clone(), &self.config.limits) {
            Ok(stream) => stream,
            Err(limit) => {
                self.outbox.event(TransactionEvent::LimitReached { limit, from: None });
                return Err(limit);
            }
        };
        let after = self.config.limits.stream_opening;
        let deadline = self.deadlines.arm(after, DeadlineKey::Stream(stream), self.now);
        self.set_stream_deadline(stream, Some(deadline));
        self.outbox.push(Output::OpenStream { stream, protocol, local: None, remote, server_name });
        Ok(stream)
    }

    pub(super) fn set_stream_deadline(&mut self, stream: StreamId, deadline: Option<DeadlineId>) {
        let old = match self.streams.get_mut(stream) {
            Some(stream) => std::mem::replace(&mut stream.deadline, deadline),
            None => deadline,
        };
        if let Some(old) = old {
            self.deadlines.cancel(old);
        }
    }

    pub(super) fn on_stream_opened(&mut self, id: StreamId, flow: Flow, peer_identity: Option<PeerIdentity>) {
        if id.is_accepted() {
            if self.streams.get(id).is_some() {
                return;
            }
            if let Err(limit) = self.streams.accept(id, flow, peer_identity, &self.config.limits) {
                self.outbox.event(TransactionEvent::LimitReached { limit, from: Some(flow.remote.ip()) });
                self.outbox.push(Output::CloseStream { stream: id });
                return;
            }
            let peer_identity = self.peer_identity(id).cloned();
            self.outbox.event(TransactionEvent::StreamOpened { flow, peer_identity });
            return;
        }
        let Some(stream) = self.streams.get_mut(id) else {
            // It was given up in the meantime.
            self.outbox.push(Output::CloseStream { stream: id });
            return;
        };
        if stream.is_open {
            return;
        }
        stream.is_open = true;
        stream.local = flow.local;
        stream.peer_identity = peer_identity.map(Arc::new);
        let flow = stream.flow(id);
        let identity = stream.peer_identity.clone();
        let backlog = std::mem::take(&mut stream.backlog);
        stream.backlog_bytes = 0;
        self.set_stream_deadline(id, None);
        self.outbox.event(TransactionEvent::StreamOpened { flow, peer_identity: identity });
        for (payload, _) in backlog {
            self.send_on_stream(id, payload);
        }
        for client in self.users.remove(&Carrier::Stream(id)).unwrap_or_default() {
            self.launch(client, flow);
        }
        for client in self.racers.remove(&id).unwrap_or_default() {
            self.win(client, flow);
        }
    }

    /// The driver says that a stream is gone.
    pub(super) fn on_stream_gone(&mut self, id: StreamId, reason: StreamEnd) {
        let Some(stream) = self.streams.remove(id) else { return };
        if let Some(deadline) = stream.deadline {
            self.deadlines.cancel(deadline);
        }
        self.racers.remove(&id);
        self.let_go(&stream.flow(id));
        if !stream.is_closing {
            self.outbox.event(TransactionEvent::StreamClosed { flow: stream.flow(id), reason });
        }
        for (_, server) in stream.backlog {
            self.undelivered(server);
        }
        self.fail_carrier(Carrier::Stream(id), reason.for_transaction());
    }

    /// Closes a stream from here and tells everybody on it.
    pub(super) fn drop_stream(&mut self, id: StreamId, reason: StreamEnd) {
        self.outbox.push(Output::CloseStream { stream: id });
        self.on_stream_gone(id, reason);
    }

    pub(super) fn on_stream_deadline(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.deadline = None;
        if stream.is_open {
            let from = Some(stream.remote.ip());
            self.outbox.event(TransactionEvent::LimitReached { limit: Limit::UnfinishedMessage, from });
            self.drop_stream(id, StreamEnd::UnfinishedMessage);
        } else {
            self.drop_stream(id, StreamEnd::NotOpened);
        }
    }

    pub(super) fn on_unreachable(&mut self, protocol: Protocol, destination: SocketAddr) {
        if !protocol.is_stream() {
            self.fail_carrier(Carrier::Datagrams(destination), EndReason::Unreachable);
        }
    }

    pub(super) fn send_request_bytes(&mut self, flow: Flow, payload: Bytes) {
        match flow.stream {
            Some(stream) => self.send_on_stream(stream, payload),
            None => self.outbox.transmit(Transmit {
                source: Some(flow.local),
                destination: flow.remote,
                protocol: flow.protocol,
                stream: None,
                payload,
            }),
        }
    }

    /// Sends on an open stream.
    pub(super) fn send_on_stream(&mut self, id: StreamId, payload: Bytes) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.is_open && !stream.is_closing)
        else {
            return;
        };
        self.outbox.transmit(Transmit {
            source: Some(stream.local),
            destination: stream.remote,
            protocol: stream.protocol,
            stream: Some(id),
            payload,
        });
    }

    /// The stream of the request is gone: a new one to where the top Via says (RFC 3261 §18.2.2). The response waits until
    /// it is open.
    pub(super) fn send_on_new_stream(&mut self, server: Option<Id>, path: ReplyPath, payload: Bytes) {
        let protocol = path.flow.protocol;
        let name: Arc<str> = path.fallback.ip().to_string().into();
        let found = self.streams.find(protocol, path.fallback, Some(&name));
        let Ok(id) = found.map_or_else(|| self.open_stream(protocol, path.fallback, Some(name)), Ok) else {
            return self.undelivered(server);
        };
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.is_open {
            return self.send_on_stream(id, payload);
        }
        let bytes = stream.backlog_bytes.saturating_add(payload.len());
        if bytes > self.config.limits.stream_backlog_bytes {
            let from = Some(stream.remote.ip());
            self.outbox.event(TransactionEvent::LimitReached { limit: Limit::StreamBacklog, from });
            return self.undelivered(server);
        }
        stream.backlog_bytes = bytes;
        stream.backlog.push((payload, server));
    }
}

/// A UDP hop becomes TCP and then, if that is refused, UDP after all (RFC 3261 §18.1.1).
fn tcp_first(hop: Hop) -> impl Iterator<Item = Hop> {
    let tcp = (hop.protocol == Protocol::Udp).then(|| Hop { protocol: Protocol::Tcp, ..hop.clone() });
    tcp.into_iter().chain([hop])
}
