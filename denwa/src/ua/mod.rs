//! A user agent: accounts that register, calls with sound, held together for a program that wants to telephone.
//!
//! It is one machine made of an [`Endpoint`] (signalling) and a [`media::MediaSession`] for each call. It asks its driver for
//! routes, names and UDP ports ([`crate::driver`]); the program gives commands, which are plain verbs, and fetches facts
//! ([`Event`]). Every call collects its evidence and hands it over at its end. Sound comes as [`Event::Sound`], 20 ms at a
//! time, and is given by [`UserAgent::say`].
//!
//! Calls can be held, transferred ([`UserAgent::transfer`], [`UserAgent::transfer_to`]), put together in a conference
//! ([`UserAgent::confer`]); others can be watched ([`UserAgent::watch`]) and written to ([`UserAgent::send_message`]).

mod attended;
mod call;
mod calling;
mod conference;
mod config;
mod ending;
mod event;
mod flows;
mod following;
mod keys;
mod placing;
mod redirected;
mod registering;
mod relays;
mod transferring;
mod watching;
mod witness;

pub use attended::{Attendant, Attended, Told};
pub use call::digit_of_info;
pub(crate) use call::words as unreached;
pub use config::{Account, Callers, Server, Transfers, UserAgentConfig};
pub use event::{AccountId, CallId, Ending, Event, Misuse};
pub use keys::Keys;
pub use registering::why_not_registered;
pub use transferring::TransferId;
pub use watching::{MessageId, WatchId, Watched};

use crate::bridge;
use crate::driver::{Answer, Ask, FromEndpoint, Machine, Output, PortId, PortNews, PortPacket};
use crate::evidence::Fact;
use crate::port_set::PortPool;
use crate::seed::Generator;
use crate::{Seed, media};
use bytes::Bytes;
use call::{Call, Component};
use denwa_rtp::wallclock::WallClock;
use denwa_sip_core::endpoint::{
    CallHandle, Endpoint, EndpointConfig, Event as SipEvent, Headers, OutgoingHandle, Reply, RequestHandle,
    SubscriptionHandle,
};
use denwa_sip_core::io::{Flow, Input, Provided};
use denwa_sip_core::message::Request;
use denwa_sip_core::{Method, StatusCode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The machine; see the module's words.
pub struct UserAgent {
    config: UserAgentConfig,
    endpoint: Endpoint,
    random: Generator,
    wall_clock: WallClock,
    latest: Instant,
    accounts: BTreeMap<AccountId, registering::AccountState>,
    calls: BTreeMap<CallId, Call>,
    by_handle: BTreeMap<CallHandle, CallId>,
    by_port: BTreeMap<PortId, (CallId, Component)>,
    questions: BTreeMap<u64, (CallId, placing::Question)>,
    by_call_id: BTreeMap<String, CallId>,
    /// Messages that left lately, and how often they were repeated.
    sent_lately: VecDeque<(Bytes, u32)>,
    strangers: witness::Strangers,
    /// How peers say that they see us.
    sightings: BTreeMap<IpAddr, Sighting>,
    /// Peers that need not be asked any more how they see us.
    met: BTreeSet<IpAddr>,
    conference: Option<conference::Conference>,
    /// Transfers that we asked for.
    transfers: BTreeMap<SubscriptionHandle, CallId>,
    /// Transfers that the program was asked about.
    asked_transfers: BTreeMap<TransferId, transferring::Asked>,
    watches: BTreeMap<WatchId, watching::Watch>,
    /// What requests under way are for.
    errands: BTreeMap<OutgoingHandle, watching::Errand>,
    pool: Option<PortPool>,
    next_transfer: u64,
    next_watch: u64,
    next_message: u64,
    next_account: u32,
    next_call: u64,
    next_port: u64,
    next_question: u64,
    /// Connections to TURN servers.
    relays: relays::Relays,
    /// Since we are leaving, until when those are waited for who have not answered our farewell.
    leaves_at: Option<Instant>,
    is_gone: bool,
    outputs: VecDeque<Output<Event>>,
}

/// How long peers may take to answer our farewell: BYE, and the end of registrations and subscriptions. Transactions of SIP would
/// wait for 32 s.
const FAREWELL: Duration = Duration::from_secs(4);

impl UserAgent {
    /// A user agent without account and call.
    #[must_use]
    pub fn new(config: UserAgentConfig, seed: Seed, now: Instant) -> Self {
        let mut random = Generator::new(seed);
        let mut endpoint_config = EndpointConfig::new(config.listeners.clone());
        endpoint_config.software.clone_from(&config.software);
        endpoint_config.transactions.tell_received = true;
        endpoint_config.allow.retain(|method| !matches!(method, Method::Register | Method::Subscribe));
        let endpoint = Endpoint::new(endpoint_config, denwa_sip_core::Seed(random.bytes()), now);
        let pool = config.media_ports.clone().map(|set| PortPool::new(set, &Seed(random.bytes())));
        let wall_clock = WallClock { at: now, since_1970: config.since_1970 };
        Self {
            config,
            endpoint,
            random,
            wall_clock,
            latest: now,
            accounts: BTreeMap::new(),
            calls: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            by_port: BTreeMap::new(),
            by_call_id: BTreeMap::new(),
            sent_lately: VecDeque::new(),
            strangers: witness::Strangers::default(),
            questions: BTreeMap::new(),
            sightings: BTreeMap::new(),
            met: BTreeSet::new(),
            conference: None,
            transfers: BTreeMap::new(),
            asked_transfers: BTreeMap::new(),
            watches: BTreeMap::new(),
            errands: BTreeMap::new(),
            pool,
            next_transfer: 0,
            next_watch: 0,
            next_message: 0,
            next_account: 0,
            next_call: 0,
            next_port: 0,
            next_question: 0,
            relays: relays::Relays::default(),
            leaves_at: None,
            is_gone: false,
            outputs: VecDeque::new(),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &UserAgentConfig {
        &self.config
    }

    /// The calls there are, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = CallId> + '_ {
        self.calls.keys().copied()
    }

    /// Whether a call is up.
    pub fn is_up(&self, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(Call::is_up)
    }

    /// Ends everything: calls with BYE or CANCEL, registrations. [`Event::ShutDown`] comes last, and within four seconds: who does
    /// not answer is not waited for.
    pub fn shut_down(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.leaves_at.is_none() && !self.is_gone {
            self.leaves_at = now.checked_add(FAREWELL);
        }
        let unplaced: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| call.handle.is_none()).map(|(id, _)| *id).collect();
        for call in unplaced {
            self.end(call, Ending::ShutDown, now);
        }
        self.endpoint.shut_down(now);
        self.drain(now);
    }

    /// Nobody is waited for any more.
    fn leave_at_last(&mut self, now: Instant) {
        self.leaves_at = None;
        if std::mem::replace(&mut self.is_gone, true) {
            return;
        }
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.end(call, Ending::ShutDown, now);
        }
        self.tell(Event::ShutDown);
    }

    /// Takes what the endpoint tells, until it has no more.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output.into() {
                FromEndpoint::Event(event) => self.on_event(event, now),
                // Nobody registers here, and nobody is asked for a password.
                FromEndpoint::Lookup { id, .. } => {
                    self.endpoint.handle_input(Input::Provided { id, provided: Provided::Nothing }, now);
                }
                FromEndpoint::Driver(output) => {
                    if let Output::Transmit(transmit) = &output {
                        self.witness_sent(transmit, now);
                    }
                    self.outputs.push_back(output.widen());
                }
            }
        }
    }

    fn on_event(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::Incoming { request, message, flow, .. } => {
                self.on_incoming(request, &message, flow, now)
            }
            SipEvent::Received { flow, bytes } => self.witness_received(&flow, bytes, now),
            SipEvent::Refused { flow, rule, first_line, .. } => {
                self.witness_refused(&flow, &rule, &first_line, now);
            }
            SipEvent::Registered { registration, expires_in, service_route, .. } => {
                self.on_registered(registration, expires_in, service_route, now);
            }
            SipEvent::RegistrationFailed { registration, reason, retry_in } => {
                self.on_registration_failed(registration, &reason, Some(retry_in), now);
            }
            SipEvent::RegistrationEnded { registration, reason } => {
                self.on_registration_ended(registration, reason.as_ref(), now);
            }
            SipEvent::SeenAs { flow, address } => {
                let sighting = Sighting { address, sent_from: flow.local };
                if self.sightings.len() < SIGHTINGS_LIMIT || self.sightings.contains_key(&flow.remote.ip()) {
                    self.sightings.insert(flow.remote.ip(), sighting);
                }
                let of_peer = |call: &&mut Call| call.peer.is_some_and(|peer| peer.ip() == flow.remote.ip());
                for call in self.calls.values_mut().filter(of_peer) {
                    call.note(sighting.fact(), now);
                }
                self.tell(Event::SeenAs { peer: flow.remote, address });
            }
            SipEvent::DialogRequest { call, request, message } => {
                self.on_dialog_request(call, request, &message, now)
            }
            SipEvent::ShutDown => self.leave_at_last(now),
            other => self.on_call_event(other, now),
        }
    }

    fn on_incoming(&mut self, request: RequestHandle, message: &Request, flow: Flow, now: Instant) {
        let status = match message.method() {
            _ if !self.is_welcome(&flow) => {
                let why = format!("{}: only the servers of accounts may call", message.method());
                self.turned_away(flow.remote, |source| Fact::TurnedAway { source, why }, now);
                StatusCode::FORBIDDEN
            }
            Method::Invite if self.calls.len() >= self.config.calls_limit => StatusCode::BUSY_HERE,
            Method::Invite => return self.on_invite(request, message, flow, now),
            Method::Options => StatusCode::OK,
            Method::Message => return self.on_message(request, message, now),
            Method::Notify => self.on_unasked_notify(message, &flow),
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        // A request that ended meanwhile needs no answer.
        let _ = self.endpoint.respond(request, &Reply::new(status), now);
    }

    /// Whether requests of strangers from here are looked at.
    fn is_welcome(&self, flow: &Flow) -> bool {
        match self.config.callers {
            Callers::Anyone => true,
            Callers::Servers => self.accounts.values().any(|account| account.is_served_by(flow.remote.ip())),
        }
    }

    fn on_dialog_request(
        &mut self,
        call: CallHandle,
        request: RequestHandle,
        message: &Request,
        now: Instant,
    ) {
        let status = match message.method() {
            Method::Info => {
                if let (Some(id), Some(digit)) = (self.by_handle.get(&call).copied(), digit_of_info(message))
                {
                    let event = media::Event::Digit { digit, duration: call::INFO_DIGIT };
                    self.tell(Event::Media { call: id, event });
                }
                StatusCode::OK
            }
            Method::Message => return self.on_message(request, message, now),
            Method::Options => StatusCode::OK,
            // Those of our subscriptions do not come this way (RFC 6665 §4.1.3).
            Method::Notify => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let _ = self.endpoint.respond(request, &Reply::new(status), now);
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn ask(&mut self, call: CallId, question: placing::Question, what: Ask) {
        let number = self.next_question;
        self.next_question = number.wrapping_add(1);
        self.questions.insert(number, (call, question));
        self.outputs.push_back(Output::Ask { question: number, what });
    }

    fn no_headers() -> Headers {
        Headers::new()
    }
}

/// How a peer says that he sees us.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    address: SocketAddr,
    /// By which address of ours that was.
    sent_from: SocketAddr,
}

impl Sighting {
    fn fact(&self) -> Fact {
        Fact::SeenAs { address: self.address, sent_from: self.sent_from }
    }
}

/// Peers whose view of us is remembered.
const SIGHTINGS_LIMIT: usize = 256;

impl Machine for UserAgent {
    type Command = Command;
    type Event = Event;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let now = self.advance(now);
        if !self.on_relay(&input, now) {
            self.endpoint.handle_input(input, now);
        }
        self.drain(now);
    }

    /// Media of a user agent are its own.
    fn handle_media(&mut self, _: bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant) {
        let now = self.advance(now);
        if let Some((call, question)) = self.questions.remove(&question) {
            self.on_answer(call, question, answer, now);
        }
        self.drain(now);
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        let now = self.advance(now);
        (command.0)(self, now);
        self.drain(now);
    }

    fn handle_port(&mut self, port: PortId, news: PortNews<'_>, now: Instant) {
        let now = self.advance(now);
        if let Some((call, component)) = self.by_port.get(&port).copied() {
            self.on_port(call, component, port, news, now);
        }
        self.drain(now);
    }

    fn next_packet(&mut self, buffer: &mut [u8], now: Instant) -> Option<PortPacket> {
        let now = self.advance(now);
        for (id, call) in &mut self.calls {
            while let Some((port, out)) = call.next_packet(buffer, now) {
                let Some(stream) = out.stream else {
                    let (destination, also, length) = (out.destination, out.also, out.length);
                    return Some(PortPacket { port, destination, also, length });
                };
                let bytes = Bytes::copy_from_slice(buffer.get(..out.length).unwrap_or(&[]));
                self.outputs.extend(self.relays.transmit(*id, stream, bytes).map(Output::Transmit));
            }
        }
        None
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.endpoint.handle_timeout(now);
        }
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            self.beat(id, now);
        }
        self.conference_beat(now);
        self.drain(now);
        if self.leaves_at.is_some_and(|at| at <= now) {
            self.leave_at_last(now);
        }
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().filter_map(Call::poll_timeout);
        let conference = self.conference.as_ref().map(|conference| conference.due);
        calls.chain(conference).chain(self.endpoint.poll_timeout()).chain(self.leaves_at).min()
    }
}

/// Something to be done with a user agent on its driver's thread.
pub struct Command(Box<Act>);

type Act = dyn FnOnce(&mut UserAgent, Instant) + Send;

impl Command {
    /// Does `act` when its turn comes.
    pub fn new(act: impl FnOnce(&mut UserAgent, Instant) + Send + 'static) -> Self {
        Self(Box::new(act))
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command(..)")
    }
}

impl std::fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserAgent")
            .field("accounts", &self.accounts.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}
