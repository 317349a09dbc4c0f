//! The exchange as a machine: registrar, back-to-back user agent and dial plan over one endpoint, without a socket, a
//! clock, a file or a thread.
//!
//! It follows the contract of every machine here. What it needs beyond the network it asks for as outputs and is provided
//! with as inputs: the store ([`Output::Store`] – [`Input::Stored`]), routes and names ([`Output::Ask`] – [`Input::Answered`]), and the media plane ([`Output::Media`] – [`Input::Media`]).

mod accounts;
mod admission;
mod attend;
mod call;
mod callee;
mod caller;
mod defence;
mod desk;
mod driven;
mod event;
mod external;
mod facts;
mod inspect;
mod invitation;
mod leg;
mod messages;
mod modify;
mod pickup;
mod planned;
mod reach;
mod record;
mod registrar;
mod reload;
mod supervision;
mod switching;
mod trace;
mod transfer;
mod voice;
mod watching;
mod whereabouts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use denwa::address::AddressPolicy;
use denwa::bridge;
use denwa::driver::{Answer, Ask};
use denwa::guard::Offence;
use denwa::port_set::PortPool;
use denwa_sip_core::endpoint::{
    self, CallHandle, Endpoint, EndpointConfig, Event as Sip, Listener, Outcome, Refusal, Reply, RequestEnd,
};
use denwa_sip_core::io::{
    self, Input as SipInput, Lookup, Output as SipOutput, Protocol, Provided, QueryId, StreamId, Transmit,
};
use denwa_sip_core::{HeaderName, Method, StatusCode};

use crate::cabinet;
use crate::config::{self, Config};
use crate::links::Links;
use crate::policy::directory::{Account, Directory};
use crate::services::prompts::Prompts;
use crate::services::script::Heard;
use crate::store::StoredBinding;
use crate::store::thread::{StoreAnswer, StoreRequest};
use accounts::Accounts;
use admission::Admission;
use call::Call;
use defence::Defence;
use desk::{Asked, Desk, Policy, Setup};
use external::External;
use registrar::Registrar;
use supervision::Supervision;
use trace::{Belongs, Traces};
use watching::Watching;
use whereabouts::{Way, Whereabouts};

pub use driven::{Command, Told};
pub use event::{Event, Weight};
pub use inspect::{Attacker, Attacks, LiveCall, Phone, Question, Relaying, Report, Status, TrunkState};
pub use trace::{Filter, Packet};

/// What the generators inside start from. Draw it from the system's entropy.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// What an exchange is made of.
#[derive(Debug)]
pub struct ExchangeConfig {
    /// The operator's file.
    pub file: Config,
    /// The extensions of file and store.
    pub directory: Directory,
    /// The registrations of the store.
    pub registrations: Vec<StoredBinding>,
    /// Where the sockets really are; the file's `listen`, less what this machine lacks.
    pub listening: Vec<config::Listen>,
    /// The number of the first call; above every number in the store.
    pub first_call: u64,
    /// The time of day at the `now` of [`Exchange::new`].
    pub time: SystemTime,
}

/// What the network, the store and the media plane tell the exchange.
#[derive(Debug)]
pub enum Input<'a> {
    /// Everything the endpoint takes, answers to [`Output::Route`] and [`Output::Resolve`] included.
    Sip(io::Input<'a>),
    /// The answer to [`Output::Ask`].
    Answered {
        /// Which question.
        question: u64,
        /// What was found.
        answer: Answer,
    },
    /// The media plane.
    Media(bridge::Event),
    /// The store.
    Stored(StoreAnswer),
    /// The cabinet.
    Cabinet(cabinet::Answer),
    /// Other prompts than those that are part of the program.
    Prompts(std::sync::Arc<Prompts>),
    /// The extensions there are now.
    Directory(Directory),
    /// Say how much is held: [`Event::Holding`].
    Report,
    /// A question of a command; answered by [`Output::Answer`].
    Ask {
        /// Given back with the answer.
        ticket: u64,
        /// What is asked.
        question: Question,
    },
    /// Copy what goes in and out, as [`Output::Traced`], until told otherwise.
    Trace {
        /// Given with each copy.
        ticket: u64,
        /// What is copied; `None` ends it.
        filter: Option<Filter>,
    },
    /// The file and the extensions have changed. What cannot change while the exchange runs (where it listens, its ports,
    /// its realm) is to be what it was.
    Reload(Box<Config>, Directory),
    /// Everything is to end.
    ShutDown,
}

/// What the exchange asks for.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Make a connection; answered by `StreamOpened` or `StreamFailed`.
    OpenStream {
        /// Its number from now on.
        stream: StreamId,
        /// Over which transport.
        protocol: Protocol,
        /// From which own address; `None` leaves it to the system.
        local: Option<std::net::SocketAddr>,
        /// Where to.
        remote: std::net::SocketAddr,
        /// The name the peer must prove, for TLS.
        server_name: Option<std::sync::Arc<str>>,
    },
    /// Close a connection once what was transmitted on it is written.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Ask the DNS; answered by `Resolved`.
    Resolve {
        /// Names the question.
        id: QueryId,
        /// What to ask.
        question: io::Question,
    },
    /// Ask the system by which way a packet would leave; answered by `Routed`.
    Route {
        /// Names the question.
        id: QueryId,
        /// The packet's destination.
        destination: std::net::SocketAddr,
    },
    /// A question of the exchange's own about a route or a name; answered by [`Input::Answered`].
    Ask {
        /// Names the question.
        question: u64,
        /// What to find out.
        what: Ask,
    },
    /// Tell the media plane.
    Media(bridge::Command),
    /// Keep this in the store.
    Store(StoreRequest),
    /// Keep or find this in the cabinet.
    Cabinet(cabinet::Request),
    /// The answer to [`Input::Ask`].
    Answer {
        /// The ticket of the question.
        ticket: u64,
        /// The answer.
        report: Box<Report>,
    },
    /// A copy for a trace.
    Traced {
        /// The ticket of the trace.
        ticket: u64,
        /// The copy.
        packet: Packet,
    },
    /// Something the program should know.
    Event(Event),
    /// Everything has ended; nothing more will come.
    Stop,
}

/// Telling of hostile input is thinned to one line in this time.
const HOSTILE_PAUSE: Duration = Duration::from_secs(10);

/// How often the names of trunks are looked up.
const NAMES_AGAIN: Duration = Duration::from_secs(60);

/// The exchange; see the module's words.
#[derive(Debug)]
pub struct Exchange {
    desk: Desk,
    admission: Admission,
    registrar: Registrar,
    external: External,
    supervision: Supervision,
    accounts: Accounts,
    defence: Defence,
    calls: BTreeMap<u64, Call>,
    deadlines: BTreeSet<(Instant, u64)>,
    hostile: Hostile,
    traces: Traces,
    watching: Watching,
    /// The file as it is in force.
    file: Config,
    names_at: Option<Instant>,
    shut_down_at: Option<Instant>,
    stopped: bool,
}

/// Input that could not be used, counted between two lines of the log.
#[derive(Debug, Default)]
struct Hostile {
    count: u64,
    total: u64,
    example: String,
    quiet_until: Option<Instant>,
}

/// How much an exchange holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Calls, those that are ending included.
    pub calls: usize,
    /// Ports in use for voice.
    pub ports: usize,
    /// What the endpoint holds.
    pub sip: endpoint::Counts,
    /// Messages that could not be used, ever.
    pub hostile: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} calls, {} dialogs, {} transactions, {} media ports, {} registrations",
            self.calls,
            self.sip.dialogs,
            self.sip.clients + self.sip.servers,
            self.ports,
            self.sip.bindings
        )
    }
}

impl Exchange {
    /// An exchange with what it is made of; the registrations it is given can be called at once.
    pub fn new(config: ExchangeConfig, seed: Seed, now: Instant) -> Self {
        let ExchangeConfig { file, directory, registrations, listening, first_call, time } = config;
        let setup = Setup {
            policy: Policy::new(&file),
            realm: file.sip.realm.clone(),
            cname: "exchange".to_owned(),
            name: seed.0.iter().skip(24).map(|byte| format!("{byte:02x}")).collect(),
            listening,
            clock: (now, time),
        };
        let child = |label: u8| seed.0.map(|byte| byte.wrapping_add(label));
        let endpoint = Endpoint::new(endpoint_config(&setup), io::Seed(child(1)), now);
        let ports = PortPool::new(file.media.ports.clone(), &denwa::Seed(child(2)));
        let places =
            Whereabouts::new(AddressPolicy { local: file.network.local.clone(), ..AddressPolicy::default() });
        let links = Links::new(&file.trunks);
        let names_at = (!links.names().is_empty()).then_some(now);
        let mut desk = Desk::new(setup, directory, links, endpoint, places, ports, first_call, &seed, now);
        let mut registrar = Registrar::default();
        let mut defence = Defence::new(&file, &desk, child(3), now);
        registrar.restore(&mut desk, &mut defence, &registrations);
        let mut exchange = Self {
            admission: Admission::default(),
            registrar,
            external: External::new(&file.network, now),
            supervision: Supervision::new(&desk),
            accounts: Accounts::new(&desk),
            defence,
            desk,
            calls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            hostile: Hostile::default(),
            traces: Traces::default(),
            watching: Watching::default(),
            file,
            names_at,
            shut_down_at: None,
            stopped: false,
        };
        exchange.handle_timeout(now);
        exchange
    }

    /// What the network did, or what was asked for.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.advance(now);
        match input {
            Input::Sip(input) => {
                self.traces.note(&input);
                if !self.traces.is_empty()
                    && let Some(packet) = self.traces.incoming(&input, self.desk.time_of_day(self.desk.now))
                {
                    self.copy(&packet);
                }
                self.sip_input(input);
            }
            Input::Answered { question, answer } => {
                if let Some(asked) = self.desk.answered(question) {
                    self.answered(asked, answer);
                }
            }
            Input::Media(event) => {
                if let Some(number) = self.desk.call_of_leg(event.leg()) {
                    self.with_call(number, |call, desk| call.on_media(desk, event));
                }
            }
            Input::Stored(answer) => self.stored(answer),
            Input::Cabinet(answer) => self.cabinet(answer),
            Input::Prompts(prompts) => self.desk.prompts = prompts,
            Input::Directory(directory) => {
                self.desk.tell(Event::ExtensionsChanged { count: directory.len() });
                self.desk.directory = directory;
                self.registrar.forget_strangers(&mut self.desk);
            }
            Input::Report => {
                let counts = self.counts();
                self.desk.tell(Event::Holding { counts });
            }
            Input::Ask { ticket, question } => {
                let report = Box::new(self.report(&question));
                self.desk.put(Output::Answer { ticket, report });
            }
            Input::Trace { ticket, filter: Some(filter) } => self.traces.begin(ticket, filter),
            Input::Trace { ticket, filter: None } => self.traces.end(ticket),
            Input::Reload(file, directory) => self.reload(*file, directory),
            Input::ShutDown => self.shut_down(),
        }
        self.drain();
        self.tell_watchers();
        self.drain();
    }

    /// A deadline has come, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        let now = self.desk.now;
        self.desk.endpoint.handle_timeout(now);
        self.drain();
        let due: Vec<u64> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, number)| *number).collect();
        for number in due {
            self.with_call(number, |call, desk| call.on_deadline(desk));
        }
        if self.names_at.is_some_and(|at| at <= now) {
            self.names_at = now.checked_add(NAMES_AGAIN);
            for name in self.desk.links.names() {
                self.desk.ask_addresses(Asked::Trunk(name.clone()), &name);
            }
        }
        self.defence.handle_timeout(now);
        self.external.handle_timeout(&mut self.desk);
        self.supervision.handle_timeout(&mut self.desk);
        self.accounts.handle_timeout(&mut self.desk);
        self.tell_hostile();
        if self.shut_down_at.is_some_and(|at| at <= now) {
            self.stop();
        }
        self.tell_watchers();
        self.drain();
    }

    /// The next thing to do; `None` when there is nothing left.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.desk.next_output()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted; `None` while idle.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let hostile = self.hostile.quiet_until.filter(|_| self.hostile.count > 0);
        [
            self.desk.endpoint.poll_timeout(),
            self.deadlines.first().map(|(at, _)| *at),
            self.names_at,
            self.defence.poll_timeout(),
            self.external.poll_timeout(),
            self.supervision.poll_timeout(),
            self.accounts.poll_timeout(),
            hostile,
            self.shut_down_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Gives a copy to each trace it belongs to.
    fn copy(&mut self, packet: &Packet) {
        for ticket in self.traces.of(packet, &TraceView { desk: &self.desk, calls: &self.calls }) {
            self.desk.put(Output::Traced { ticket, packet: packet.clone() });
        }
    }

    /// How much the exchange holds now.
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            ports: self.desk.ports.in_use(),
            sip: self.desk.endpoint.counts(),
            hostile: self.hostile.total,
        }
    }

    fn advance(&mut self, now: Instant) {
        // Time never goes backwards: an earlier instant counts as the latest seen.
        self.desk.now = self.desk.now.max(now);
    }

    // -- inputs

    fn sip_input(&mut self, input: SipInput<'_>) {
        match &input {
            SipInput::Datagram { remote, payload, .. } => {
                // RFC 7983: what begins so would be STUN, and nothing else of it belongs on this port.
                if payload.first().is_some_and(|first| *first < 4)
                    && self.external.datagram(&mut self.desk, *remote, payload)
                {
                    return;
                }
                if !self.defence.admits(*remote, self.desk.now) {
                    return;
                }
            }
            SipInput::StreamOpened { stream, remote, .. }
                if stream.is_accepted() && !self.defence.admits(*remote, self.desk.now) =>
            {
                return self.desk.put(Output::CloseStream { stream: *stream });
            }
            _ => {}
        }
        let now = self.desk.now;
        self.desk.endpoint.handle_input(input, now);
    }

    fn answered(&mut self, asked: Asked, answer: Answer) {
        match answer {
            Answer::Route(route) => {
                self.routed(asked, route.map(|route| Way { local: route.local, interface: route.interface }));
            }
            Answer::Addresses(addresses) => match asked {
                Asked::Trunk(name) => drop(self.desk.links.learn(&name, &addresses)),
                Asked::External => self.external.named(&mut self.desk, &addresses),
                Asked::StunServer => self.external.server_named(&mut self.desk, &addresses),
                Asked::Route(_) | Asked::MediaRoute(..) | Asked::Outer | Asked::StunRoute(_) => {}
            },
        }
    }

    fn routed(&mut self, asked: Asked, way: Option<Way>) {
        let now = self.desk.now;
        match asked {
            Asked::Route(peer) => {
                self.desk.places.routed(peer, way, now);
                let begun = self.admission.routed(&mut self.desk, peer, self.calls.len());
                self.admission.messages.routed(&mut self.desk);
                self.watch_waiting();
                for call in begun {
                    self.insert(call);
                }
                let numbers: Vec<u64> = self.calls.keys().copied().collect();
                for number in numbers {
                    self.with_call(number, Call::on_route);
                }
            }
            Asked::MediaRoute(leg, address) => {
                if let Some(number) = self.desk.call_of_leg(leg) {
                    self.with_call(number, |call, desk| {
                        call.on_media_route(desk, leg, address, way.as_ref())
                    });
                }
            }
            Asked::Outer => self.external.outer(&mut self.desk, way.map(|way| way.local)),
            Asked::StunRoute(server) => {
                self.external.server_routed(&mut self.desk, server, way.map(|way| way.local));
            }
            Asked::Trunk(_) | Asked::External | Asked::StunServer => {}
        }
    }

    fn stored(&mut self, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Registrations { id, outcome } => self.registrar.stored(&mut self.desk, id, &outcome),
            StoreAnswer::CallLost { reason } => {
                self.desk.tell(Event::StoreFailed {
                    cause: format!("the record of a call could not be kept: {reason}"),
                });
            }
            StoreAnswer::SettingLost { reason } => {
                self.desk
                    .tell(Event::StoreFailed { cause: format!("a setting could not be kept: {reason}") });
            }
            // The program joins them with its file and gives the result back as `Input::Directory`.
            StoreAnswer::People(_) | StoreAnswer::CallKept(_) => {}
        }
    }

    fn cabinet(&mut self, answer: cabinet::Answer) {
        match answer {
            cabinet::Answer::Mailboxes(mailboxes) => self.desk.mailboxes = mailboxes,
            cabinet::Answer::Loaded { call, sound } => {
                self.with_call(call, |call, desk| call.hear(desk, Heard::Loaded(sound)));
            }
            cabinet::Answer::Failed(cause) => self.desk.tell(Event::StoreFailed { cause }),
        }
    }

    // -- the endpoint below

    /// Takes everything the endpoint has to say, until it has no more.
    fn drain(&mut self) {
        while let Some(output) = self.desk.endpoint.poll_output() {
            match output {
                SipOutput::Transmit(transmit) => {
                    if !self.traces.is_empty()
                        && let Some(packet) =
                            self.traces.outgoing(&transmit, self.desk.time_of_day(self.desk.now))
                    {
                        self.copy(&packet);
                    }
                    self.desk.put(Output::Transmit(transmit));
                }
                SipOutput::OpenStream { stream, protocol, local, remote, server_name } => {
                    self.desk.put(Output::OpenStream { stream, protocol, local, remote, server_name });
                }
                SipOutput::CloseStream { stream } => self.desk.put(Output::CloseStream { stream }),
                SipOutput::Resolve { id, question } => self.desk.put(Output::Resolve { id, question }),
                SipOutput::Route { id, destination } => self.desk.put(Output::Route { id, destination }),
                SipOutput::Lookup { id, lookup } => self.lookup(id, lookup),
                SipOutput::Event(event) => self.sip_event(event),
            }
        }
        self.defence.tell(&mut self.desk);
    }

    fn lookup(&mut self, id: QueryId, lookup: Lookup) {
        let now = self.desk.now;
        let provided = match lookup {
            Lookup::Credentials { user, hashed: false, .. } => match self.desk.directory.get(&user) {
                Some(Account { secret, .. }) => Provided::Secret { user, secret: secret.clone() },
                None => Provided::Nothing,
            },
            Lookup::StoreBindings { address_of_record, bindings } => {
                return self.registrar.store(&mut self.desk, id, &address_of_record, &bindings);
            }
            // All bindings are in memory from the start.
            _ => Provided::Nothing,
        };
        self.desk.endpoint.handle_input(SipInput::Provided { id, provided }, now);
    }

    fn sip_event(&mut self, event: Sip) {
        let desk = &mut self.desk;
        let calls = self.calls.len();
        match event {
            Sip::Incoming { request, message, flow, .. } => {
                self.defence.look_at(flow.remote, message.get(HeaderName::UserAgent), desk.now);
                let begun = self.admission.incoming(desk, request, message, flow, calls);
                begun.into_iter().for_each(|call| self.insert(call));
            }
            Sip::Authenticated { request, username, .. } => {
                if let Some(flow) = self.admission.flow_of(request) {
                    self.defence.called(flow.remote, &username, desk.now);
                }
                if let Some((message, flow)) = self.admission.subscription(request) {
                    return self.watch(request, &message, &flow, &username);
                }
                let begun = self.admission.authenticated(desk, request, &username, calls);
                begun.into_iter().for_each(|call| self.insert(call));
            }
            Sip::AuthenticationFailed { request, flow, username, reason, .. } => {
                self.defence.guessed(flow.remote, &username, reason, desk.now);
                self.admission.not_authenticated(desk, request, &flow, &username, reason);
            }
            Sip::RequestEnded { request, reason } => {
                if let (RequestEnd::Challenged { stale: false }, Some(flow)) =
                    (&reason, self.admission.invite_of(request))
                {
                    self.defence.offence(flow.remote, Offence::UnansweredChallenge, None, desk.now);
                }
                self.admission.ended(desk, request, &reason);
            }
            Sip::BindingsChanged { address_of_record, bindings } => {
                self.defence.registered(&address_of_record, &bindings, desk.now);
                self.registrar.changed(desk, &address_of_record, &bindings);
            }
            Sip::BindingExpired { address_of_record, contact } => {
                self.registrar.expired(desk, &address_of_record, &contact);
            }
            Sip::RequestCompleted { outgoing, outcome, round_trip } => {
                if self.supervision.completed(desk, outgoing, &outcome, round_trip)
                    || self.admission.messages.completed(desk, outgoing, &outcome)
                {
                    return;
                }
                if let Some(request) = desk.passing.remove(&outgoing) {
                    let status = match outcome {
                        Outcome::Response(response) => response.status(),
                        _ => StatusCode::SERVER_TIMEOUT,
                    };
                    let _ = desk.endpoint.respond(request, &Reply::new(status), desk.now);
                }
            }
            Sip::Registered { registration, expires_in, .. } => {
                self.accounts.registered(desk, registration, expires_in)
            }
            Sip::RegistrationFailed { registration, reason, retry_in } => {
                self.accounts.failed(desk, registration, &reason, Some(retry_in));
            }
            Sip::RegistrationEnded { registration, reason: Some(reason) } => {
                self.accounts.failed(desk, registration, &reason, None);
            }
            Sip::SeenAs { flow, address } => {
                // The port of a connection we made is nothing that could be called.
                let port = (!flow.protocol.is_stream()).then_some(address.port());
                if desk.places.seen_as(flow.remote.ip(), address.ip(), port, desk.now) {
                    desk.tell(Event::SeenAs { peer: flow.remote, address });
                }
            }
            Sip::SubscriptionEnded { subscription, .. } => self.unwatched(subscription),
            Sip::TransferRequested { call, request, refer_to, replaces, .. } => {
                self.transfer(call, request, &refer_to, replaces.as_deref());
            }
            Sip::Refused { flow, rule, first_line, .. } => {
                let from = invitation::whence(flow.protocol, flow.remote);
                if matches!(rule, Refusal::Malformed(_)) {
                    self.defence.offence(flow.remote, Offence::Malformed, None, desk.now);
                    self.hostile_input(format!("{from} sent \"{first_line}\": {}", facts::refusal(&rule)));
                } else {
                    desk.tell(Event::Stray { from, what: first_line, cause: facts::refusal(&rule) });
                }
            }
            Sip::LimitReached { limit } => {
                desk.tell(Event::LimitReached { limit: limit.describe().to_owned() })
            }
            Sip::ShutDown => self.stop(),
            event => {
                if let Some(handle) = call_handle(&event)
                    && let Some(number) = desk.call_of(handle)
                {
                    self.with_call(number, |call, desk| call.on_sip(desk, handle, event));
                }
            }
        }
    }

    fn hostile_input(&mut self, example: String) {
        self.hostile.count += 1;
        self.hostile.total += 1;
        self.hostile.example = example;
        self.tell_hostile();
    }

    fn tell_hostile(&mut self) {
        let hostile = &mut self.hostile;
        if hostile.count == 0 || hostile.quiet_until.is_some_and(|until| until > self.desk.now) {
            return;
        }
        hostile.quiet_until = self.desk.now.checked_add(HOSTILE_PAUSE);
        let (count, example) = (std::mem::take(&mut hostile.count), std::mem::take(&mut hostile.example));
        self.desk.tell(Event::HostileInput { count, example });
    }
}

/// What traces ask about.
struct TraceView<'a> {
    desk: &'a Desk,
    calls: &'a BTreeMap<u64, Call>,
}

impl Belongs for TraceView<'_> {
    fn call_ids(&self, call: u64) -> Vec<String> {
        self.calls.get(&call).map(|call| call.call_ids(self.desk)).unwrap_or_default()
    }

    fn phones(&self, number: &str) -> Vec<std::net::SocketAddr> {
        self.desk.endpoint.bindings(number).into_iter().map(|binding| binding.flow.remote).collect()
    }
}

fn endpoint_config(setup: &Setup) -> EndpointConfig {
    let listeners =
        setup.listening.iter().map(|listen| Listener::new(listen.protocol, listen.address)).collect();
    let mut config = EndpointConfig::new(listeners);
    config.software = Some(concat!("Denwa PBX ", env!("CARGO_PKG_VERSION")).to_owned());
    config.allow.retain(|method| *method != Method::Notify);
    config
}

/// The call of the endpoint that an event is about.
fn call_handle(event: &Sip) -> Option<CallHandle> {
    match event {
        Sip::CallProgress { call, .. }
        | Sip::CallAnswered { call, .. }
        | Sip::CallConfirmed { call }
        | Sip::ModifyReceived { call, .. }
        | Sip::OfferReceived { call, .. }
        | Sip::AnswerReceived { call, .. }
        | Sip::OfferRequested { call }
        | Sip::OfferAborted { call, .. }
        | Sip::Modified { call, .. }
        | Sip::DialogRequest { call, .. }
        | Sip::CallEnded { call, .. } => Some(*call),
        _ => None,
    }
}
