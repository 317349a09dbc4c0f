//! A stateful forwarding proxy: RFC 3261 §16, RFC 5393 (loops, breadth), RFC 5658 (two Record-Routes).
//!
//! ```text
//! preprocess   is it fit to be forwarded, and whose route is it?     §16.3, §16.4
//! target_set   whom it is forwarded to, and in which order           §16.5
//! forward      what changes on the way                               §16.6
//! leg          by which way, and by which flow of a telephone         §16.6, RFC 5626
//! fork         what becomes of the answers                           §16.7–16.10, RFC 6228
//! ```
//!
//! [`Proxy`] is a machine of its own over the transactions, for a proxy has no dialogs and no calls. It validates,
//! takes itself off the route, asks the application whom to forward to, and carries the rest out: forks, CANCEL of the
//! losers, the best response, timer C. What a user's location is, who may call whom, is the application's.
//!
//! ```
//! use denwa_sip_core::command::Reply;
//! use denwa_sip_core::config::{Listener, TransactionConfig};
//! use denwa_sip_core::proxy::{Branch, ForwardOptions, Order, Proxy, ProxyConfig, ProxyEvent, TargetSet};
//! use denwa_sip_core::{Input, Misuse, Output, Protocol, Seed, StatusCode, Transmit, UriBuf};
//! use std::{collections::HashMap, error::Error, net::SocketAddr, time::Instant};
//!
//! /// Users and their telephones: all of them ring at once.
//! type Telephones = HashMap<&'static str, Vec<UriBuf>>;
//!
//! /// Carries out what the proxy asks for; what is to be sent is given back.
//! fn drive(proxy: &mut Proxy, telephones: &Telephones, now: Instant) -> Result<Vec<Transmit>, Misuse> {
//!     let mut datagrams = Vec::new();
//!     while let Some(output) = proxy.poll_output() {
//!         match output {
//!             Output::Transmit(datagram) => datagrams.push(datagram),
//!             // A listener with an address of its own needs no route; one on 0.0.0.0 asks the system for it here.
//!             Output::Route { id, .. } => proxy.handle_input(Input::Routed { id, route: None }, now),
//!             Output::Event(ProxyEvent::Request { request, message, is_routed, .. }) => {
//!                 let uri = message.uri()?;
//!                 let branches: Vec<Branch> = match uri.user().and_then(|user| telephones.get(user)) {
//!                     _ if is_routed => vec![Branch::to(uri.to_owned())],
//!                     Some(telephones) => telephones.iter().cloned().map(Branch::to).collect(),
//!                     None => {
//!                         proxy.respond(request, &Reply::new(StatusCode::NOT_FOUND), now)?;
//!                         continue;
//!                     }
//!                 };
//!                 let options = ForwardOptions { record_route: true, ..ForwardOptions::default() };
//!                 proxy.forward(request, TargetSet::of(branches, Order::Parallel), &options, now)?;
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!             _ => {} // Streams and names are the driver's work.
//!         }
//!     }
//!     Ok(datagrams)
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let (local, now): (SocketAddr, _) = ("192.0.2.1:5060".parse()?, Instant::now());
//! let mut config = ProxyConfig::new(TransactionConfig::new(vec![Listener::new(Protocol::Udp, local)]));
//! config.names.push("pbx.example".parse()?); // a request for sip:200@pbx.example is for this proxy's users
//! let mut proxy = Proxy::new(config, Seed([7; 32]), now);
//! let telephones = HashMap::from([("200", vec!["sip:200@192.0.2.7".parse()?, "sip:200@192.0.2.8".parse()?])]);
//!
//! let invite = "INVITE sip:200@pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
//!     From: <sip:100@pbx.example>;tag=1\r\nTo: <sip:200@pbx.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
//!     Contact: <sip:100@192.0.2.9>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
//! let input = Input::Datagram { local, remote: "192.0.2.9:5060".parse()?, payload: invite.as_bytes() };
//! proxy.handle_input(input, now);
//! let sent = drive(&mut proxy, &telephones, now)?;
//! let to: Vec<_> = sent.iter().map(|datagram| datagram.destination.to_string()).collect();
//! assert_eq!(to, ["192.0.2.7:5060", "192.0.2.8:5060"]);
//! # Ok(()) }
//! ```

mod early_dialogs;
mod fork;
mod forward;
mod leg;
mod preprocess;
pub mod target_set;
mod vocabulary;

pub use fork::BranchEnd;
pub use preprocess::Unfit;
pub use target_set::{Branch, Order, TargetSet};
pub use vocabulary::{ForwardHandle, ForwardOptions, ProxyConfig, ProxyCounts, ProxyEvent, ProxyRefusal};

use crate::{
    agenda::Agenda,
    arena::Arena,
    command::Reply,
    context::IdMap,
    error::{Misuse, ParseError},
    event::{Refusal, first_line},
    header::HeaderName,
    io::{Flow, Input, Output, PeerIdentity, Seed},
    limits::Limit,
    message::{Method, Request, Response, StatusCode, Uri},
    random::{Random, hex},
    transaction::{
        ClientId, EndReason, LocateId, RejectRule, SendOptions, ServerId, TransactionEvent, Transactions,
    },
    transport::Target,
};
use fork::Context;
use preprocess::Taken;
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// See the module's head.
#[derive(Debug)]
pub struct Proxy {
    config: ProxyConfig,
    transactions: Transactions,
    contexts: Arena<ForwardHandle, Box<Context>>,
    servers: IdMap<ServerId, ForwardHandle>,
    clients: IdMap<ClientId, ForwardHandle>,
    located: IdMap<LocateId, (ForwardHandle, usize, u16)>,
    agenda: Agenda<ForwardHandle>,
    outbox: VecDeque<Output<ProxyEvent>>,
    random: Random,
    /// Keys the loop detection: nobody else can make a branch that looks like ours.
    loop_key: u64,
    now: Instant,
}

/// The contract.
impl Proxy {
    /// A machine with nothing in it.
    #[must_use]
    pub fn new(config: ProxyConfig, seed: Seed, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let transactions = Transactions::new(config.transactions.clone(), Seed(random.bytes()), now);
        let loop_key = random.u64();
        Self {
            config,
            transactions,
            contexts: Arena::new(),
            servers: IdMap::default(),
            clients: IdMap::default(),
            located: IdMap::default(),
            agenda: Agenda::new(now),
            outbox: VecDeque::new(),
            random,
            loop_key,
            now,
        }
    }

    /// What the network did.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.enter(now);
        self.transactions.handle_input(input, self.now);
        self.settle();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.enter(now);
        self.transactions.handle_timeout(self.now);
        self.settle();
        let mut due = Vec::new();
        while let Some(handle) = self.agenda.pop_due(self.now) {
            due.push(handle);
        }
        for handle in due {
            self.on_timer_c(handle);
            self.settle();
        }
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output<ProxyEvent>> {
        self.outbox.pop_front()
    }

    /// When to call `handle_timeout` next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.agenda.next(), self.transactions.poll_timeout()].into_iter().flatten().min()
    }
}

/// Commands.
impl Proxy {
    /// Forwards a request to a target set. More targets may be added by a further call while it is not answered, as
    /// when a telephone registers late.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when it is done, [`Misuse::WrongState`] when the set is empty, [`Misuse::Limit`] when
    /// it is too large.
    pub fn forward(
        &mut self,
        request: ForwardHandle,
        targets: TargetSet,
        options: &ForwardOptions,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        let context = self.contexts.get_mut(request).ok_or(Misuse::UnknownHandle)?;
        if targets.is_empty() {
            return Err(Misuse::WrongState);
        }
        if context.branches().saturating_add(targets.len()) > self.config.branches {
            return Err(Misuse::Limit(Limit::Forks));
        }
        context.add(targets, options.clone());
        self.try_next(request);
        self.settle();
        Ok(())
    }

    /// Answers a request instead of forwarding it, or after all branches were cancelled.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`] when it is done, [`Misuse::WrongState`] when it is being forwarded,
    /// [`Misuse::Build`] when what was added cannot be written.
    pub fn respond(&mut self, request: ForwardHandle, reply: &Reply, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        let context = self.contexts.get(request).ok_or(Misuse::UnknownHandle)?;
        if context.is_forwarding() && reply.status.is_final() {
            return Err(Misuse::WrongState);
        }
        let (server, request_itself) = (context.server, context.request.clone());
        let response = self.write_reply(&request_itself, reply)?;
        self.transactions.respond(server, &response, self.now)?;
        if reply.status.is_final() {
            self.finish(request, Some(reply.status));
        }
        self.settle();
        Ok(())
    }

    /// Whether a URI names this proxy.
    #[must_use]
    pub fn is_ours(&self, uri: &Uri<'_>) -> bool {
        let host = uri.host_str();
        let fits = |name: &str, port: Option<u16>| {
            name.trim_matches(['[', ']']).eq_ignore_ascii_case(host.trim_matches(['[', ']']))
                && (uri.port().unwrap_or(5060) == port.unwrap_or(5060))
        };
        let listeners = self.config.transactions.listeners.iter();
        let told =
            listeners.clone().filter_map(|listener| listener.advertised.as_ref()).chain(&self.config.names);
        told.clone().any(|name| fits(&name.host, name.port))
            || listeners.clone().any(|it| fits(&it.local.ip().to_string(), Some(it.local.port())))
    }

    /// How much is held.
    #[must_use]
    pub fn counts(&self) -> ProxyCounts {
        ProxyCounts {
            requests: self.contexts.len(),
            clients: self.clients.len(),
            servers: self.servers.len(),
            deadlines: self.agenda.len(),
        }
    }

    /// The layers below.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }
}

/// Routing of what the transactions tell.
impl Proxy {
    fn enter(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn settle(&mut self) {
        while let Some(output) = self.transactions.poll_output() {
            match output.into_event() {
                Ok(event) => self.route_event(event),
                Err(rest) => self.outbox.push_back(rest),
            }
        }
    }

    fn event(&mut self, event: ProxyEvent) {
        self.outbox.push_back(Output::Event(event));
    }

    fn route_event(&mut self, event: TransactionEvent) {
        match event {
            TransactionEvent::Request { transaction, request, origin, .. } => {
                self.on_request(transaction, request, origin.flow, origin.peer_identity);
            }
            TransactionEvent::Ack { request, origin, .. } => self.on_ack(&request, origin.flow),
            TransactionEvent::Cancelled { transaction, request, .. } => {
                if let Some(handle) = self.servers.get(&transaction).copied() {
                    self.on_cancel(handle, &request);
                }
            }
            TransactionEvent::ServerEnded { transaction, .. } => {
                if let Some(handle) = self.servers.remove(&transaction) {
                    self.on_server_ended(handle);
                }
            }
            TransactionEvent::Response { transaction, response, .. } => {
                if let Some(handle) = self.clients.get(&transaction).copied() {
                    self.on_response(handle, transaction, &response);
                }
            }
            TransactionEvent::StrayResponse { response, origin }
            | TransactionEvent::ResponseDropped { response, origin } => {
                let first_line = format!("{} {}", response.status(), response.reason());
                let rule = ProxyRefusal::Other(Refusal::StrayResponse);
                self.event(ProxyEvent::Refused { flow: origin.flow, status: None, rule, first_line });
            }
            TransactionEvent::ClientEnded { transaction, reason, .. } => {
                if let Some(handle) = self.clients.remove(&transaction) {
                    self.on_client_ended(handle, transaction, reason);
                }
            }
            TransactionEvent::Located { id, outcome } => {
                if let Some((handle, branch, breadth)) = self.located.remove(&id) {
                    self.on_located(handle, branch, breadth, outcome.map_err(EndReason::Unresolved));
                }
            }
            TransactionEvent::Refused { origin, error, answered } => {
                self.on_malformed(origin.flow, error, answered)
            }
            TransactionEvent::Rejected { origin, request, answered, rule } => {
                let rule = ProxyRefusal::Other(match rule {
                    RejectRule::Merged => Refusal::Merged,
                    RejectRule::NothingToCancel => Refusal::NoSuchTransaction,
                    RejectRule::Overloaded => Refusal::Limit(Limit::ServerTransactions),
                });
                let first_line = first_line(&request);
                self.event(ProxyEvent::Refused { flow: origin.flow, status: answered, rule, first_line });
            }
            TransactionEvent::LimitReached { limit, .. } => self.event(ProxyEvent::LimitReached { limit }),
            _ => {}
        }
    }

    fn on_malformed(&mut self, flow: Flow, error: ParseError, status: Option<StatusCode>) {
        let rule = ProxyRefusal::Other(Refusal::Malformed(error));
        self.event(ProxyEvent::Refused { flow, status, rule, first_line: String::new() });
    }

    /// §16.3 and §16.4, then the application.
    fn on_request(
        &mut self,
        server: ServerId,
        request: Request,
        flow: Flow,
        peer_identity: Option<Arc<PeerIdentity>>,
    ) {
        let Taken { message, way } = match self.preprocess(&request, &flow) {
            Ok(taken) => taken,
            Err(unfit) => return self.refuse(server, &request, flow, unfit),
        };
        if self.contexts.len() >= self.config.requests {
            self.event(ProxyEvent::LimitReached { limit: Limit::Requests });
            let _ = self.answer(server, &request, &Reply::new(StatusCode::SERVICE_UNAVAILABLE));
            return;
        }
        let is_routed = way.is_some()
            || message.has(HeaderName::Route)
            || message.uri().is_ok_and(|uri| !self.is_ours(&uri));
        let handle =
            self.contexts.insert_with(|_| Box::new(Context::new(server, message.clone(), flow, way)));
        let Some(handle) = handle else { return };
        self.servers.insert(server, handle);
        self.event(ProxyEvent::Request { request: handle, message, flow, peer_identity, is_routed });
    }

    fn preprocess(&self, request: &Request, flow: &Flow) -> Result<Taken, Unfit> {
        preprocess::validate(request, &self.config, self.loop_key)?;
        let tokens = self.config.flow_tokens.as_ref();
        preprocess::take_off_route(request, flow, tokens, |uri| self.is_ours(uri))
    }

    fn refuse(&mut self, server: ServerId, request: &Request, flow: Flow, unfit: Unfit) {
        let reply = unfit.reply();
        let _ = self.answer(server, request, &reply);
        let first_line = first_line(request);
        let rule = ProxyRefusal::Unfit(unfit);
        self.event(ProxyEvent::Refused { flow, status: Some(reply.status), rule, first_line });
    }

    fn answer(&mut self, server: ServerId, request: &Request, reply: &Reply) -> Result<(), Misuse> {
        let response = self.write_reply(request, reply)?;
        self.transactions.respond(server, &response, self.now)
    }

    fn write_reply(&mut self, request: &Request, reply: &Reply) -> Result<Response, Misuse> {
        let mut builder = request.response(reply.status);
        if reply.status != StatusCode::TRYING {
            builder = builder.to_tag(&hex(&self.random.bytes::<8>()));
        }
        if let Some(reason) = &reply.reason {
            builder = builder.reason(reason);
        }
        builder = builder.header_if(HeaderName::Server, self.config.software.as_ref());
        for (name, value) in reply.headers.iter() {
            builder = builder.header(name, value);
        }
        if let Some(body) = &reply.body {
            builder = builder.body(&body.content_type, body.bytes.clone());
        }
        Ok(builder.finish()?)
    }

    /// An ACK of a 2xx passes without state (§16.11): where its route or request line says.
    fn on_ack(&mut self, request: &Request, flow: Flow) {
        let taken = self.preprocess(request, &flow).ok();
        let way = taken.as_ref().and_then(|taken| taken.way);
        let forwarded = taken
            .and_then(|taken| forward::plainly(&taken.message))
            .filter(|(_, next)| way.is_some() || !self.is_ours(&next.as_uri()));
        let sent = forwarded.map(|(message, next)| {
            let target = way.map_or(Target::Uri(next), Target::Flow);
            let options = SendOptions {
                branch_suffix: Some(preprocess::loop_mark(request, self.loop_key)),
                ..SendOptions::default()
            };
            self.transactions.send_ack(message, target, options, self.now)
        });
        if !matches!(sent, Some(Ok(()))) {
            let first_line = first_line(request);
            let rule = ProxyRefusal::Other(Refusal::StrayAck);
            self.event(ProxyEvent::Refused { flow, status: None, rule, first_line });
        }
    }

    fn finish(&mut self, handle: ForwardHandle, status: Option<StatusCode>) {
        let Some(context) = self.contexts.remove(handle) else { return };
        self.agenda.set(handle, None);
        self.servers.remove(&context.server);
        for client in context.clients() {
            self.clients.remove(&client);
        }
        self.event(ProxyEvent::Done { request: handle, status });
    }
}

/// Whether a request makes or belongs to what a Record-Route is good for.
fn makes_dialog(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer | Method::Notify | Method::Update)
}
