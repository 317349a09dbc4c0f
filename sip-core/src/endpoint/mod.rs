//! All of SIP as one machine, for telephones and exchanges.
//!
//! [`Endpoint`] routes: what the network brings goes to the transactions, what they tell goes to the call, dialog,
//! request or registration it belongs to, and what those have to say goes out in one order. It contains no rule of the
//! protocol; each rule is in the file that names it. The five verbs of the contract are here, commands stand beside
//! what they are about:
//!
//! ```text
//! requests     what others ask: authenticate, respond, accept_call           RFC 3261 §8.2, §22
//! registering  accept_registration, bindings                                 RFC 3261 §10.3
//! calling      place_call, ring, answer, refuse, hang_up, reinvite, …        RFC 3261 §13–15
//! subscribing  subscribe, accept_subscription, notify                     RFC 6665
//! transferring transfer, accept_transfer, find_call                       RFC 3515, RFC 3891
//! publishing   publish, accept_publication                                RFC 3903
//! sending      send_request, request_in_dialog                               RFC 3261 §8.1, §12.2
//! parting      farewells, bid_farewell                                       RFC 3261 §15.1.1
//! ```
//!
//! A registrar whose store is a map, with a telephone that registers there; neither has a socket:
//!
//! ```
//! use denwa_sip_core::endpoint::{
//!     ChallengePolicy, Credentials, Endpoint, EndpointConfig, Event, Listener, Lookup, Party, Provided, Register, Reply, Secret,
//! };
//! use denwa_sip_core::{Input, Method, Misuse, Output, Protocol, Seed, StatusCode};
//! use std::{collections::HashMap, error::Error, net::SocketAddr, time::Instant};
//!
//! /// What is done with what the registrar says; datagrams are given back.
//! fn serve(registrar: &mut Endpoint, passwords: &HashMap<&str, &str>, now: Instant) -> Result<Vec<Vec<u8>>, Misuse> {
//!     let mut datagrams = Vec::new();
//!     while let Some(output) = registrar.poll_output() {
//!         match output {
//!             Output::Transmit(datagram) => datagrams.push(datagram.payload.to_vec()),
//!             Output::Event(Event::Incoming { request, message, .. }) => match message.method() {
//!                 Method::Register => registrar.authenticate(request, &ChallengePolicy::new("pbx.example"), now)?,
//!                 _ => registrar.respond(request, &Reply::new(StatusCode::NOT_FOUND), now)?,
//!             },
//!             // Everybody may register himself, and nobody else.
//!             Output::Event(Event::Authenticated { request, username, .. }) => {
//!                 registrar.accept_registration(request, &format!("sip:{username}@pbx.example"), now)?;
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!             Output::Lookup { id, lookup } => {
//!                 let provided = match lookup {
//!                     Lookup::Credentials { user, .. } => match passwords.get(&*user) {
//!                         Some(password) => Provided::Secret { user, secret: Secret::password(*password) },
//!                         None => Provided::Nothing,
//!                     },
//!                     Lookup::StoreBindings { .. } => Provided::Stored, // once they are on the disk
//!                     _ => Provided::Nothing,
//!                 };
//!                 registrar.handle_input(Input::Provided { id, provided }, now);
//!             }
//!             _ => {} // Streams, names, routes: the driver's work.
//!         }
//!     }
//!     Ok(datagrams)
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let (here, there): (SocketAddr, SocketAddr) = ("192.0.2.1:5060".parse()?, "192.0.2.2:5060".parse()?);
//! let now = Instant::now();
//! let listening = |at| EndpointConfig::new(vec![Listener::new(Protocol::Udp, at)]);
//! let mut registrar = Endpoint::new(listening(here), Seed([1; 32]), now);
//! let mut telephone = Endpoint::new(listening(there), Seed([2; 32]), now);
//!
//! let mut register = Register::new(Party::new("sip:100@pbx.example".parse()?), "sip:192.0.2.1".parse()?);
//! register.credentials.push(Credentials::new("100", "secret"));
//! telephone.register(register, now)?;
//! loop {
//!     match telephone.poll_output() {
//!         Some(Output::Transmit(datagram)) => {
//!             registrar.handle_input(Input::Datagram { local: here, remote: there, payload: &datagram.payload }, now);
//!             for payload in serve(&mut registrar, &HashMap::from([("100", "secret")]), now)? {
//!                 telephone.handle_input(Input::Datagram { local: there, remote: here, payload: &payload }, now);
//!             }
//!         }
//!         Some(Output::Route { id, .. }) => telephone.handle_input(Input::Routed { id, route: None }, now),
//!         Some(Output::Event(Event::Registered { .. })) => break,
//!         Some(Output::Event(event)) => println!("{event:?}"),
//!         Some(_) => {}
//!         None => return Err("not registered".into()),
//!     }
//! }
//! assert_eq!(registrar.bindings("sip:100@pbx.example").len(), 1);
//! # Ok(()) }
//! ```

mod calling;
mod config;
mod parting;
mod publishing;
mod registering;
mod registrations;
pub(crate) mod requests;
mod routing;
mod sending;
mod subscribing;
mod transferring;

pub use crate::{
    auth::{
        algorithm::Algorithm,
        client::{ChallengeRefusal, Credentials},
        secret::{Ha1Set, Secret},
        server::{AuthenticationFailure, AuthenticatorConfig, BodyProtection, ChallengePolicy},
    },
    call::{
        offer_answer::{Carrier, Conflict, Side},
        session_timer::SessionTimerPolicy,
    },
    command::{
        AcceptSubscription, Body, CallOptions, ContactAddress, Headers, InDialogRouting, LocalIdentity,
        Outbound, Party, PlaceCall, Publish, Register, ReliableProvisional, Reply, Route, SendRequest,
        Subscribe, Transfer,
    },
    config::{Listener, SentBy},
    dialog::{Farewell, FarewellError},
    error::Misuse,
    event::{By, CallEnd, Event, Gruu, OfferAbort, Outcome, Refusal, RegistrationFailure, RequestEnd},
    handle::{
        CallHandle, ForkHandle, OutgoingHandle, PublicationHandle, RegistrationHandle, RequestHandle,
        SubscriptionHandle,
    },
    io::{Flow, Input, Lookup, Output, Provided, Seed},
    publication::PublicationFailure,
    registrar::{
        RegistrarConfig,
        binding::{Binding, ExpiryPolicy, Instance, RegistrationRefusal},
    },
    registration::RegistrationPolicy,
    resolve::ResolveFailure,
    subscription::{SubscriptionEnd, SubscriptionState, TerminationReason},
    transaction::{EndReason, LocateId, Located, StreamEnd},
    transport::Target,
};
pub use calling::CallSnapshot;
pub use config::{EndpointConfig, EndpointLimits};

use crate::{
    agenda::Agenda,
    arena::Arena,
    auth::server::Authenticator,
    call::Call,
    command::Headers as HeaderList,
    context::{Capabilities, Context, IdMap, Query, Timer},
    dialog::Dialogs,
    message::{StatusCode, UriBuf},
    publication::{Compositor, Publication},
    random::Random,
    registrar::{Registrar, gruu::Gruus},
    registration::Registration,
    subscription::Subscription,
    transaction::Transactions,
};
use requests::Pending;
use sending::{Outgoing, Sightings};
use std::{collections::VecDeque, time::Instant};

/// See the module's head.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) cx: Context,
    pub(crate) calls: Arena<CallHandle, Box<Call>>,
    pub(crate) requests: Arena<RequestHandle, Pending>,
    pub(crate) outgoing: Arena<OutgoingHandle, Outgoing>,
    pub(crate) registrar: Registrar,
    pub(crate) registrations: Arena<RegistrationHandle, Box<Registration>>,
    pub(crate) subscriptions: Arena<SubscriptionHandle, Subscription>,
    pub(crate) publications: Arena<PublicationHandle, Box<Publication>>,
    compositor: Compositor,
    gruus: Gruus,
    sightings: Sightings,
    told_of_shut_down: bool,
}

/// How much an endpoint holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls.
    pub calls: usize,
    /// Dialogs.
    pub dialogs: usize,
    /// Requests that await the application.
    pub requests: usize,
    /// Requests sent by the application and not completed.
    pub outgoing: usize,
    /// Client transactions with somebody waiting for them.
    pub clients: usize,
    /// Server transactions with somebody to answer them.
    pub servers: usize,
    /// Questions the application has not answered.
    pub queries: usize,
    /// Addresses of record with bindings.
    pub addresses_of_record: usize,
    /// Bindings.
    pub bindings: usize,
    /// Registrations with registrars elsewhere.
    pub registrations: usize,
    /// Subscriptions of either role, transfers included.
    pub subscriptions: usize,
    /// Event state published elsewhere.
    pub publications: usize,
    /// Event state published here.
    pub published: usize,
    /// Deadlines above the transactions.
    pub deadlines: usize,
    /// Credentials with what challenges taught.
    pub credentials: usize,
    /// Server transactions of the layer below, with those that only wait for repeats of what was answered.
    pub server_transactions: usize,
}

/// The contract.
impl Endpoint {
    /// A machine with nothing in it.
    #[must_use]
    pub fn new(config: EndpointConfig, seed: Seed, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let transactions = Transactions::new(config.transactions.clone(), Seed(random.bytes()), now);
        let authenticator = Authenticator::new(config.authenticator, random.bytes(), now);
        let (dialogs, registrar) = (Dialogs::new(random.hasher()), Registrar::new(random.hasher(), now));
        let secret = config.registrar.gruu_secret.unwrap_or_else(|| Seed(random.bytes()));
        let sightings = Sightings::new(config.limits.sightings);
        let capabilities = Capabilities::of(&config);
        let cx = Context {
            now,
            config,
            capabilities,
            transactions,
            dialogs,
            authenticator,
            auths: Arena::new(),
            clients: IdMap::default(),
            servers: IdMap::default(),
            queries: IdMap::default(),
            deadlines: Agenda::new(now),
            outbox: VecDeque::new(),
            random,
            next_query: 1 << 32,
            reports: Vec::new(),
            replaced: Vec::new(),
            flows_up: IdMap::default(),
            awaiting_notify: IdMap::default(),
            over: Vec::new(),
            is_shutting_down: false,
        };
        Self {
            cx,
            calls: Arena::new(),
            requests: Arena::new(),
            outgoing: Arena::new(),
            registrar,
            registrations: Arena::new(),
            subscriptions: Arena::new(),
            publications: Arena::new(),
            compositor: Compositor::new(),
            gruus: Gruus::new(secret),
            sightings,
            told_of_shut_down: false,
        }
    }

    /// What the network did, or the answer to a question.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.enter(now);
        match input {
            Input::Provided { id, provided } => match self.cx.queries.remove(&id) {
                Some(Query::Authenticate(request)) => self.secret_provided(request, &provided),
                Some(Query::StoreBindings(request)) => self.bindings_stored(request, &provided),
                None => {}
            },
            other => {
                let now = self.cx.now;
                self.cx.transactions.handle_input(other, now);
            }
        }
        self.settle();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.enter(now);
        let now = self.cx.now;
        self.cx.transactions.handle_timeout(now);
        self.settle();
        // What is set anew for this very moment waits for the next call, so that this one ends.
        let mut due = Vec::new();
        while let Some(timer) = self.cx.deadlines.pop_due(now) {
            due.push(timer);
        }
        while let Some(record) = self.registrar.pop_due(now) {
            self.bindings_due(record);
        }
        for timer in due {
            self.on_timer(timer);
            self.settle();
        }
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        self.cx.outbox.pop_front()
    }

    /// When to call `handle_timeout` next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let above = [self.cx.deadlines.next(), self.registrar.next_due()];
        above.into_iter().chain([self.cx.transactions.poll_timeout()]).flatten().min()
    }
}

impl Endpoint {
    /// Ends everything: calls by BYE, CANCEL or 503, registrations elsewhere by `Expires: 0`. New requests are
    /// refused. [`Event::ShutDown`] tells when nothing is left.
    pub fn shut_down(&mut self, now: Instant) {
        self.enter(now);
        self.cx.is_shutting_down = true;
        for handle in self.requests.handles().collect::<Vec<_>>() {
            let _ = self.send_reply(handle, &Reply::new(StatusCode::SERVICE_UNAVAILABLE));
            self.end_request(handle, RequestEnd::ShutDown);
        }
        for handle in self.calls.handles().collect::<Vec<_>>() {
            if let Some(call) = self.calls.get_mut(handle) {
                call.hang_up(
                    &mut self.cx,
                    &HeaderList::new(),
                    CallEnd::ShutDown,
                    StatusCode::SERVICE_UNAVAILABLE,
                );
            }
        }
        for handle in self.registrations.handles().collect::<Vec<_>>() {
            if let Some(registration) = self.registrations.get_mut(handle) {
                registration.withdraw(&mut self.cx);
            }
        }
        for handle in self.publications.handles().collect::<Vec<_>>() {
            if let Some(publication) = self.publications.get_mut(handle) {
                publication.leave(&mut self.cx);
            }
        }
        for handle in self.subscriptions.handles().collect::<Vec<_>>() {
            match self.subscriptions.get_mut(handle) {
                Some(Subscription::Subscriber(it)) => it.leave(&mut self.cx),
                Some(Subscription::Notifier(it)) => it.shut_down(&mut self.cx),
                None => {}
            }
        }
        self.settle();
    }

    /// Finds the servers of a URI (RFC 3263) without sending anything: for who keeps an eye on each of them himself. Answered by
    /// [`Event::Located`].
    pub fn locate(&mut self, uri: &UriBuf, now: Instant) -> LocateId {
        self.enter(now);
        let id = self.cx.transactions.locate(uri, self.cx.now);
        self.settle();
        id
    }

    /// How much is held: for tests that nothing leaks, and for figures.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            dialogs: self.cx.dialogs.len(),
            requests: self.requests.len(),
            outgoing: self.outgoing.len(),
            clients: self.cx.clients.len(),
            servers: self.cx.servers.len(),
            queries: self.cx.queries.len(),
            addresses_of_record: self.registrar.len(),
            bindings: self.registrar.bindings(),
            registrations: self.registrations.len(),
            subscriptions: self.subscriptions.len(),
            publications: self.publications.len(),
            published: self.compositor.len(),
            deadlines: self.cx.deadlines.len().saturating_add(self.registrar.len()),
            credentials: self.cx.auths.len(),
            server_transactions: self.cx.transactions.counts().servers,
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &EndpointConfig {
        &self.cx.config
    }

    /// The layers below, for what only they know: flows, transactions.
    #[must_use]
    pub fn transactions(&self) -> &Transactions {
        &self.cx.transactions
    }

    /// Every entry from outside goes through here: time never goes backwards.
    fn enter(&mut self, now: Instant) {
        self.cx.now = self.cx.now.max(now);
    }

    /// Drains the layers below and clears away what has ended, so that every entry leaves a consistent machine.
    fn settle(&mut self) {
        self.drain_transactions();
        for (call, by) in std::mem::take(&mut self.cx.replaced) {
            if let Some(call) = self.calls.get_mut(call) {
                let status = StatusCode::REQUEST_TERMINATED;
                call.hang_up(&mut self.cx, &HeaderList::new(), CallEnd::Replaced { by }, status);
            }
        }
        for report in std::mem::take(&mut self.cx.reports) {
            let _ = self.report(report.transfer, report.status, Some(&report.reason));
        }
        self.bury_the_dead();
        self.drain_transactions();
        if self.cx.is_shutting_down && !self.told_of_shut_down && self.is_at_rest() {
            self.told_of_shut_down = true;
            self.cx.event(Event::ShutDown);
        }
    }

    fn drain_transactions(&mut self) {
        while let Some(output) = self.cx.transactions.poll_output() {
            self.route_output(output);
        }
    }

    fn is_at_rest(&self) -> bool {
        self.calls.is_empty()
            && self.requests.is_empty()
            && self.registrations.is_empty()
            && self.subscriptions.is_empty()
            && self.publications.is_empty()
            && self.outgoing.is_empty()
            && self
                .cx
                .clients
                .values()
                .all(|client| matches!(client.owner, crate::context::Owner::Answered(_)))
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Call(handle) => {
                if let Some(call) = self.calls.get_mut(handle) {
                    call.on_timeout(&mut self.cx);
                }
            }
            Timer::Request(handle) => self.request_timed_out(handle),
            Timer::Registration(handle) => {
                if let Some(registration) = self.registrations.get_mut(handle) {
                    registration.on_timeout(&mut self.cx);
                }
            }
            Timer::Subscription(handle) => match self.subscriptions.get_mut(handle) {
                Some(Subscription::Subscriber(it)) => it.on_timeout(&mut self.cx),
                Some(Subscription::Notifier(it)) => it.on_timeout(&mut self.cx),
                None => {}
            },
            Timer::Publication(handle) => {
                if let Some(publication) = self.publications.get_mut(handle) {
                    publication.on_timeout(&mut self.cx);
                }
            }
            Timer::EventState(handle) => self.forget_state(handle),
        }
    }
}
