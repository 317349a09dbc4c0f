//! The machine: a back-to-back user agent between sides, with a media bridge to command.
//!
//! ```text
//! admission    which side a request is of, which route it takes, what is refused and why
//! users        who registers here; who is registered elsewhere
//! legs         ports, paths and descriptions of each leg
//! placing      the call that goes out
//! passing      what passes from one leg to the other: progress, answer, keys
//! offering     offers in a call: hold, other codecs, other addresses
//! guests       visitors of a page and robots, who speak no SIP
//! media        what the bridge tells
//! names        where peers are that the file names
//! ending       the end of a call
//! leaving      calls that outlive this run: written down, and ended at the next start
//! hiding       what one side is not told of the other
//! identities   who calls, by the headers that say so
//! retrying     the second attempt that some sides want
//! rewriting    messages of stubborn peers, by rules
//! ```
//!
//! A call that comes in is judged by its address or password (which side?) and its number (which route?), is given ports and a
//! description, and becomes a second call on the other side; provisional responses, the answer, hold and the end pass from the
//! one to the other. What a caller may do is up to the file; who sends too fast or too wrong is up to `denwa::guard`.

mod admission;
mod ending;
mod guests;
mod hiding;
mod identities;
mod leaving;
mod legs;
mod limits;
mod media;
mod names;
mod offering;
mod passage;
mod passing;
mod placing;
mod retrying;
mod rewriting;
mod users;
mod words;

pub use words::{Command, Event, GuestId, Said, Told, Visit};

use crate::config::{Config, Side};
use denwa::Seed;
use denwa::bridge::{self, Command as MediaCommand, LegId};
use denwa::driver::{Answer, Ask, FromEndpoint, Machine, Output};
use denwa::evidence::{Fact, MessageHead, Side as Leaf};
use denwa::farewell::Farewells;
use denwa::guard::{Guard, GuardConfig, Input as GuardInput, Offence, Verdict};
use denwa::media::Identity;
use denwa::port_set::PortPool;
use denwa::rules::Messages;
use denwa_sip_core::config::Listener;
use denwa_sip_core::endpoint::{
    CallHandle, Endpoint, EndpointConfig, Event as SipEvent, RegistrationHandle, RequestHandle,
};
use denwa_sip_core::io::{Flow, Input};
use denwa_sip_core::message::{Request, Response};
use denwa_sip_core::{Method, Protocol, StreamId};
use ending::{Closing, Story};
use limits::Pace;
use names::Names;
use passage::{End, Passage, PassageId};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;
use users::Line;

/// The machine; see the module's words.
pub struct Gateway {
    config: Config,
    endpoint: Endpoint,
    guard: Guard,
    pool: PortPool,
    seeds: Seeds,
    /// Our certificate for DTLS.
    identity: Option<Identity>,
    passages: BTreeMap<PassageId, Passage>,
    by_call: BTreeMap<CallHandle, (PassageId, End)>,
    by_leg: BTreeMap<LegId, (PassageId, End)>,
    by_guest: BTreeMap<GuestId, (PassageId, End)>,
    /// Legs that are being closed.
    closing: BTreeMap<LegId, Closing>,
    /// Calls that are over, until their legs have told their last figures.
    stories: BTreeMap<PassageId, Story>,
    /// Requests whose sender is being asked for a password.
    proving: BTreeMap<RequestHandle, (Request, Flow)>,
    lines: BTreeMap<RegistrationHandle, Line>,
    questions: BTreeMap<u64, Question>,
    names: Names,
    streams: BTreeMap<StreamId, SocketAddr>,
    /// Connections whose messages are rewritten, and what is no whole message yet.
    cut: BTreeMap<StreamId, (SocketAddr, Messages)>,
    /// Calls that are to be made again, and when.
    attempts: BTreeMap<PassageId, Instant>,
    farewells: Farewells,
    pace: Pace,
    paces: Vec<Option<Pace>>,
    next: u64,
    stopping: bool,
    /// Whoever has not answered its farewell until then is not waited for.
    gone_at: Option<Instant>,
    outputs: VecDeque<Output<Event>>,
}

/// What was asked of the driver.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// The way to the callee.
    Route(PassageId),
    /// The addresses of the callee's host.
    Host(PassageId),
}

/// Seeds for the negotiations, drawn from the gateway's own.
struct Seeds {
    seed: [u8; 32],
    drawn: u64,
}

impl Seeds {
    fn next(&mut self) -> [u8; 32] {
        self.drawn = self.drawn.wrapping_add(1);
        Seed(self.seed).derive(self.drawn).0
    }
}

impl Gateway {
    /// A gateway that listens there; sides that want it are registered with at once. `identity` is its certificate for sides
    /// that encrypt by DTLS.
    pub fn new(
        config: Config,
        listeners: Vec<Listener>,
        identity: Option<Identity>,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let mut seeds = Seeds { seed: seed.0, drawn: 0 };
        let mut endpoint_config = EndpointConfig::new(listeners);
        endpoint_config.software = Some(concat!("Denwa gateway/", env!("CARGO_PKG_VERSION")).to_owned());
        endpoint_config.registrar.outbound = true;
        let endpoint = Endpoint::new(endpoint_config, denwa_sip_core::Seed(seeds.next()), now);
        let mut guard_config = GuardConfig::default();
        guard_config.exempt = config.sides.iter().flat_map(|side| side.from.iter().copied()).collect();
        let guard = Guard::new(guard_config, Seed(seeds.next()), now);
        let pool = PortPool::new(config.ports.clone(), &Seed(seeds.next()));
        let pace = Pace::new(config.limits.calls_per_second, now);
        let paces = config.sides.iter().map(|side| side.calls_per_second.map(|rate| Pace::new(rate, now)));
        let mut gateway = Self {
            paces: paces.collect(),
            config,
            endpoint,
            guard,
            pool,
            seeds,
            identity,
            passages: BTreeMap::new(),
            by_call: BTreeMap::new(),
            by_leg: BTreeMap::new(),
            by_guest: BTreeMap::new(),
            closing: BTreeMap::new(),
            stories: BTreeMap::new(),
            proving: BTreeMap::new(),
            lines: BTreeMap::new(),
            questions: BTreeMap::new(),
            names: Names::new(now),
            streams: BTreeMap::new(),
            cut: BTreeMap::new(),
            attempts: BTreeMap::new(),
            farewells: Farewells::off(),
            pace,
            next: 0,
            stopping: false,
            gone_at: None,
            outputs: VecDeque::new(),
        };
        gateway.find_peers(now);
        gateway.register_lines(now);
        gateway.drain(now);
        gateway
    }

    /// Calls that are passing through.
    pub fn passages(&self) -> usize {
        self.passages.len()
    }

    /// Media ports in use.
    pub fn ports_in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// A number that was never given before.
    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn side(&self, index: usize) -> Option<&Side> {
        self.config.sides.get(index)
    }

    fn side_of(&self, id: PassageId, end: End) -> Option<&Side> {
        self.side(self.passages.get(&id)?.leg(end).side)
    }

    fn ask(&mut self, question: Question, what: Ask) {
        let number = self.number();
        self.questions.insert(number, question);
        self.outputs.push_back(Output::Ask { question: number, what });
    }

    fn tell_media(&mut self, command: MediaCommand) {
        self.outputs.push_back(Output::Media(command));
    }

    fn line(&mut self, line: String) {
        self.outputs.push_back(Output::Event(Event::Line(line)));
    }

    fn note(&mut self, id: PassageId, end: End, fact: Fact, now: Instant) {
        if let Some(passage) = self.passages.get_mut(&id) {
            passage.evidence.add(Some(leaf(end)), fact, now);
        }
    }

    fn note_response(&mut self, id: PassageId, response: &Response, now: Instant) {
        let call = self.passages.get(&id).and_then(|passage| passage.callee.call());
        let flow = call.and_then(|call| self.endpoint.call(call)?.flow);
        if let Some(passage) = self.passages.get_mut(&id) {
            passage.callee.secrets.learn(response);
        }
        let head = MessageHead::of_response(response, flow.as_ref());
        self.note(id, End::Callee, Fact::Received(head), now);
    }

    // ---- events of the endpoint

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output.into() {
                FromEndpoint::Event(event) => self.on_event(event, now),
                FromEndpoint::Lookup { id, lookup } => {
                    let provided = self.provide(&lookup);
                    self.endpoint.handle_input(Input::Provided { id, provided }, now);
                }
                FromEndpoint::Driver(Output::Transmit(transmit)) => {
                    let transmit = self.rewritten(transmit);
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
            }
        }
        while let Some(denwa::guard::Output::Event(event)) = self.guard.poll_output() {
            match event {
                denwa::guard::Event::Banned { subject, offence, .. } => {
                    self.line(format!("{subject} is banned: {offence}"));
                }
                denwa::guard::Event::Lifted { subject, refused } if refused > 0 => {
                    self.line(format!("{subject} is heard again; {refused} packets were refused"));
                }
                _ => {}
            }
        }
    }

    fn on_event(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::Incoming { request, message, flow, .. } => {
                self.on_incoming(request, message, flow, now)
            }
            SipEvent::Authenticated { request, username, .. } => self.on_proven(request, &username, now),
            SipEvent::AuthenticationFailed { request, flow, username, .. } => {
                self.proving.remove(&request);
                self.on_wrong_password(flow, &username, now);
            }
            SipEvent::RequestEnded { request, .. } => {
                self.proving.remove(&request);
            }
            SipEvent::Registered { .. }
            | SipEvent::RegistrationFailed { .. }
            | SipEvent::RegistrationEnded { .. }
            | SipEvent::BindingsChanged { .. }
            | SipEvent::BindingExpired { .. } => self.on_registration(event, now),
            SipEvent::Refused { flow, first_line, .. } => {
                self.offend(flow.remote, Offence::Malformed, None, now);
                self.line(format!("refused from {}: {first_line}", flow.remote));
            }
            SipEvent::LimitReached { limit } => self.line(format!("as many as allowed: {limit:?}")),
            SipEvent::Located { id, outcome } => self.on_located(id, &outcome),
            SipEvent::ShutDown => self.tell_all_and_stop(),
            SipEvent::RequestCompleted { outgoing, outcome, .. } => self.on_parted(outgoing, &outcome, now),
            other => {
                let calls = other.call().map(|call| self.calls_with(call)).unwrap_or_default();
                self.on_call_event(other, now);
                calls.into_iter().for_each(|(call, side)| self.write_down(call, side));
            }
        }
    }

    fn on_call_event(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::OfferReceived { call, body, .. } => self.on_offer(call, &body.bytes, now),
            SipEvent::OfferRequested { call } => self.on_offer_wanted(call, now),
            SipEvent::AnswerReceived { call, body, preview, .. } => {
                if let Some((id, end)) = self.by_call.get(&call).copied() {
                    self.on_answer(id, end, &body.bytes, preview, now);
                }
            }
            SipEvent::OfferAborted { call, .. } => self.on_offer_aborted(call, now),
            SipEvent::CallProgress { call, response, .. } => self.on_progress(call, &response, now),
            SipEvent::CallAnswered { call, response, .. } => self.on_answered(call, &response, now),
            SipEvent::CallConfirmed { call } => {
                if let Some((id, End::Caller)) = self.by_call.get(&call).copied() {
                    self.line(format!("{id}: up"));
                    End::BOTH.into_iter().for_each(|end| self.tell_hold(id, end, now));
                }
            }
            SipEvent::DialogRequest { call, request, message } => {
                self.on_dialog_request(call, request, &message, now)
            }
            SipEvent::TransferRequested { request, .. } => self.refuse_transfer(request, now),
            SipEvent::CallEnded { call, reason } => self.on_ended(call, &reason, now),
            _ => {}
        }
    }

    // ---- who is heard at all

    fn offend(&mut self, source: SocketAddr, offence: Offence, account: Option<&str>, now: Instant) {
        self.guard.handle_input(GuardInput::Offence { source, offence, account }, now);
    }

    /// Whether what came from there is read at all.
    fn is_admitted(&mut self, input: &Input<'_>, now: Instant) -> bool {
        let source = match input {
            Input::Datagram { remote, .. } => Some(*remote),
            Input::StreamOpened { stream, remote, .. } => {
                self.streams.insert(*stream, *remote);
                Some(*remote)
            }
            Input::StreamData { stream, .. } => self.streams.get(stream).copied(),
            Input::StreamClosed { stream } => {
                self.streams.remove(stream);
                None
            }
            _ => None,
        };
        source.is_none_or(|source| matches!(self.guard.admit(source, now), Verdict::Admit(_)))
    }
}

impl Machine for Gateway {
    type Command = Command;
    type Event = Event;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        if self.is_admitted(&input, now) {
            self.receive(input, now);
        } else if let Input::StreamOpened { stream, .. } | Input::StreamData { stream, .. } = input {
            self.outputs.push_back(Output::CloseStream { stream });
        }
        self.drain(now);
    }

    fn handle_media(&mut self, event: bridge::Event, now: Instant) {
        self.on_media(event, now);
        self.drain(now);
    }

    fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant) {
        match (self.questions.remove(&question), answer) {
            (Some(Question::Route(id)), Answer::Route(route)) => {
                self.on_route(id, route.map(|route| route.local), now);
            }
            (Some(Question::Host(id)), Answer::Addresses(addresses)) => self.on_host(id, &addresses),
            _ => {}
        }
        self.drain(now);
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Stop => self.stop(now),
            Command::Visit(visit) => self.on_visit(*visit, now),
            Command::Guest { guest, said } => self.on_said(guest, said, now),
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.look_for_peers_at().is_some_and(|deadline| deadline <= now) {
            self.find_peers(now);
        }
        if self.guard.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.guard.handle_timeout(now);
        }
        if self.next_attempt().is_some_and(|at| at <= now) {
            self.try_again(now);
        }
        if self.gone_at.is_some_and(|deadline| deadline <= now) {
            self.leave_at_last(now);
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = [self.gone_at, self.next_attempt(), self.look_for_peers_at()];
        let deadlines = [self.endpoint.poll_timeout(), self.guard.poll_timeout()].into_iter().chain(own);
        deadlines.flatten().min()
    }
}

fn leaf(end: End) -> Leaf {
    match end {
        End::Caller => Leaf::FIRST,
        End::Callee => Leaf::SECOND,
    }
}

/// Whether a request came by a browser's transport.
fn is_browser(flow: &Flow) -> bool {
    matches!(flow.protocol, Protocol::Ws | Protocol::Wss)
}

/// Whether the method is one that makes a call or a registration.
fn is_worth_a_password(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Register)
}
