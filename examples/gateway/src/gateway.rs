//! The machine: a back-to-back user agent between sides, with a media bridge to command.
//!
//! A call that comes in is judged by its address (which side?) and its number (which route?), is given ports and a
//! description, and becomes a second call on the other side; provisional responses, the answer, hold and the end pass from the
//! one to the other. What a caller may do is up to the file; who sends too fast or too wrong is up to `denwa::guard`.

use crate::config::{Config, Side};
use crate::passage::{End, Leg, Passage, PassageId};
use denwa::Seed;
use denwa::bridge::{self, Command as MediaCommand, Connection, LegId, LegSpec};
use denwa::driver::{Answer, Ask, FromEndpoint, Machine, Output};
use denwa::evidence::{
    AddressTold, Agreement, Description, EndCause, Evidence, Fact, MessageHead, Party as Who, Side as Leaf,
};
use denwa::guard::{Guard, GuardConfig, Input as GuardInput, Offence, Verdict};
use denwa::media::StreamParameters;
use denwa::port_set::PortPool;
use denwa_sdp::{
    AnswerCodecs, Capability, Codec, Direction, HoldStyle, Kind, NegotiationError, Negotiator, Preference,
    State, Transport,
};
use denwa_sip_core::auth::client::Credentials;
use denwa_sip_core::auth::secret::Secret;
use denwa_sip_core::config::{Listener, SentBy};
use denwa_sip_core::endpoint::{
    Body, By, CallEnd, CallHandle, CallOptions, Endpoint, EndpointConfig, Event as SipEvent, Headers,
    LocalIdentity, Party, PlaceCall, Register, RegistrationHandle, Reply, RequestHandle,
};
use denwa_sip_core::io::{Flow, Input, Provided};
use denwa_sip_core::message::{Request, Response, UriBuf};
use denwa_sip_core::transaction::EndReason;
use denwa_sip_core::transport::Target;
use denwa_sip_core::{HeaderName, Method, Protocol, StatusCode, StreamId};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What the gateway tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// A line for the log.
    Line(String),
    /// A call is over, with everything known of it.
    Ended(Box<Evidence>),
}

/// What can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End all calls and registrations, and then itself.
    Stop,
}

/// The machine; see the module's words.
pub struct Gateway {
    config: Config,
    endpoint: Endpoint,
    guard: Guard,
    pool: PortPool,
    seeds: Seeds,
    passages: BTreeMap<PassageId, Passage>,
    by_call: BTreeMap<CallHandle, (PassageId, End)>,
    by_leg: BTreeMap<LegId, (PassageId, End)>,
    /// Ports of legs that are being closed.
    closing: BTreeMap<LegId, denwa::port_set::PortPair>,
    registrations: BTreeMap<RegistrationHandle, usize>,
    streams: BTreeMap<StreamId, SocketAddr>,
    next_passage: u64,
    next_leg: u64,
    stopping: bool,
    outputs: VecDeque<Output<Event>>,
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

/// Media of a call through the gateway are missed after this long.
const SILENCE: Duration = Duration::from_secs(60);

impl Gateway {
    /// A gateway that listens there; sides that want it are registered with at once.
    pub fn new(config: Config, listeners: Vec<Listener>, seed: Seed, now: Instant) -> Self {
        let mut seeds = Seeds { seed: seed.0, drawn: 0 };
        let mut endpoint_config = EndpointConfig::new(listeners);
        endpoint_config.software = Some(concat!("Denwa gateway/", env!("CARGO_PKG_VERSION")).to_owned());
        let endpoint = Endpoint::new(endpoint_config, denwa_sip_core::Seed(seeds.next()), now);
        let mut guard_config = GuardConfig::default();
        guard_config.exempt = config.sides.iter().flat_map(|side| side.from.iter().copied()).collect();
        let guard = Guard::new(guard_config, Seed(seeds.next()), now);
        let pool = PortPool::new(config.ports.clone(), &Seed(seeds.next()));
        let mut gateway = Self {
            config,
            endpoint,
            guard,
            pool,
            seeds,
            passages: BTreeMap::new(),
            by_call: BTreeMap::new(),
            by_leg: BTreeMap::new(),
            closing: BTreeMap::new(),
            registrations: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_passage: 0,
            next_leg: 0,
            stopping: false,
            outputs: VecDeque::new(),
        };
        gateway.register(now);
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

    fn register(&mut self, now: Instant) {
        for index in 0..self.config.sides.len() {
            let Some(side) = self.config.sides.get(index).filter(|side| side.register) else { continue };
            let (Some((protocol, address)), Some(user)) = (side.to, side.user.clone()) else { continue };
            let Ok(registrar) = UriBuf::parse(&format!("sip:{address}")) else { continue };
            let register = Register {
                address_of_record: Party::new(UriBuf::at_address(&user, address)),
                registrar,
                target: Target::address(protocol, address),
                routes: Vec::new(),
                local: LocalIdentity { user, ..LocalIdentity::default() },
                headers: Headers::new(),
                credentials: credentials(side),
                expires: Duration::from_secs(300),
            };
            match self.endpoint.register(register, now) {
                Ok(handle) => {
                    self.registrations.insert(handle, index);
                }
                Err(misuse) => self.line(format!("cannot register: {misuse}")),
            }
        }
    }

    // ---- a call comes in

    fn on_incoming(&mut self, request: RequestHandle, message: &Request, flow: Flow, now: Instant) {
        let status = match message.method() {
            Method::Invite => match self.admit(message, &flow) {
                Ok((route, number)) => return self.begin(request, message, flow, (route, number), now),
                Err(status) => status,
            },
            Method::Options => StatusCode::OK,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        if status == StatusCode::FORBIDDEN {
            self.line(format!("{} from {} refused: it is of no side", message.method(), flow.remote));
            let (source, offence) = (flow.remote, Offence::NotPermitted);
            self.guard.handle_input(GuardInput::Offence { source, offence, account: None }, now);
        }
        // A request that ended meanwhile needs no answer.
        let _ = self.endpoint.respond(request, &Reply::new(status), now);
    }

    /// Which route the call takes, and with which number; or the status that refuses it.
    fn admit(&self, message: &Request, flow: &Flow) -> Result<(usize, String), StatusCode> {
        let source = flow.remote.ip();
        let side = self
            .config
            .sides
            .iter()
            .find(|side| side.from.iter().any(|network| network.contains(source)))
            .ok_or(StatusCode::FORBIDDEN)?;
        let number = message.uri().ok().and_then(|uri| uri.user_unescaped().map(|user| user.into_owned()));
        let number = number.ok_or(StatusCode::ADDRESS_INCOMPLETE)?;
        let routes = self.config.routes.iter().enumerate().filter(|(_, route)| route.from == side.name);
        let mut fitting = routes.filter_map(|(index, route)| Some((index, route.rewrite(&number)?)));
        let found = fitting.next().ok_or(StatusCode::NOT_FOUND)?;
        if self.stopping { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok(found) }
    }

    fn begin(
        &mut self,
        request: RequestHandle,
        message: &Request,
        flow: Flow,
        (route, number): (usize, String),
        now: Instant,
    ) {
        let Some((_, target)) = self.target_of(route) else { return };
        let id = PassageId(self.next_passage);
        self.next_passage = self.next_passage.wrapping_add(1);
        let from = message.from().ok();
        let mut passage = Passage {
            route,
            number,
            caller_user: from.as_ref().and_then(|from| from.uri.user()).unwrap_or("anonymous").to_owned(),
            caller_name: from.and_then(|from| from.display_name.map(|name| name.to_string())),
            caller: Leg::new(flow.remote),
            callee: Leg::new(target),
            answered: false,
            evidence: Evidence::new(message.call_id().unwrap_or("").to_owned(), Evidence::DEFAULT_LIMIT, now),
        };
        passage.caller.route = Some(flow.local.ip());
        passage.evidence.add(
            Some(Leaf::FIRST),
            Fact::Received(MessageHead::of_request(message, Some(&flow))),
            now,
        );
        let local = self.identity(flow.remote.ip(), Some(flow.local.ip()), passage.number.clone());
        match self.endpoint.accept_call(request, &local, CallOptions::default(), now) {
            Ok(call) => {
                passage.caller.call = Some(call);
                self.by_call.insert(call, (id, End::Caller));
                self.line(format!("{}: {} calls {}", Name(id), passage.caller_user, passage.number));
                self.passages.insert(id, passage);
            }
            Err(misuse) => self.line(format!("call from {} not taken: {misuse}", flow.remote)),
        }
    }

    fn target_of(&self, route: usize) -> Option<(Protocol, SocketAddr)> {
        let to = &self.config.routes.get(route)?.to;
        self.config.sides.iter().find(|side| side.name == *to)?.to
    }

    fn side_of(&self, passage: &Passage, end: End) -> Option<&Side> {
        let route = self.config.routes.get(passage.route)?;
        let name = match end {
            End::Caller => &route.from,
            End::Callee => &route.to,
        };
        self.config.sides.iter().find(|side| side.name == *name)
    }

    /// The caller's offer is there, or ours is wanted: get ports for both legs.
    fn prepare(&mut self, id: PassageId, offer: Option<&[u8]>, now: Instant) {
        if let Err(sentence) = self.prepare_leg(id, End::Caller, now) {
            return self.refuse(id, StatusCode::SERVICE_UNAVAILABLE, &sentence, now);
        }
        if let Some(offer) = offer {
            let Some(passage) = self.passages.get_mut(&id) else { return };
            let Some(negotiator) = &mut passage.caller.negotiator else { return };
            // Whether anything can come of it is known before anybody's bell rings.
            let judged = negotiator
                .receive_offer(offer)
                .map(Description::of_remote)
                .and_then(|description| negotiator.fork().make_answer().map(|_| description));
            match judged {
                Ok(description) => {
                    let fact = Fact::Described { by: Who::Peer, description };
                    passage.evidence.add(Some(Leaf::FIRST), fact, now);
                }
                Err(error) => return self.refuse_offer(id, &error, now),
            }
        }
        let Some(target) = self.passages.get(&id).map(|passage| passage.callee.peer) else { return };
        self.outputs.push_back(Output::Ask { question: id.0, what: Ask::Route(target) });
    }

    /// Takes ports for a leg, makes its negotiation, and asks for its sockets.
    fn prepare_leg(&mut self, id: PassageId, end: End, now: Instant) -> Result<(), String> {
        let pair = self.pool.take_pair().map_err(|exhausted| exhausted.to_string())?;
        let seed = denwa_sdp::Seed(self.seeds.next());
        let Some(passage) = self.passages.get(&id) else { return Ok(()) };
        let leg = passage.leg(end);
        let any: IpAddr = match leg.peer {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let route = leg.route.unwrap_or(any);
        let told = self.config.addresses.told(leg.peer.ip(), route, None);
        let fact = Fact::Told(AddressTold::new(leg.peer.ip(), route, told));
        let codecs = self.codecs(passage, end);
        let transport = Transport::audio(SocketAddr::new(told.address, pair.rtp));
        let negotiator = Negotiator::new(Capability::telephone(codecs), vec![transport], seed);
        let media = LegId(self.next_leg);
        self.next_leg = self.next_leg.wrapping_add(1);
        self.by_leg.insert(media, (id, end));
        let spec = LegSpec {
            group: id.0,
            rtp: SocketAddr::new(route, pair.rtp),
            rtcp: SocketAddr::new(route, pair.rtcp),
            silence_after: SILENCE,
            cname: format!("gateway-{}", media.0),
        };
        self.outputs.push_back(Output::Media(MediaCommand::Open { leg: media, spec }));
        if let Some(passage) = self.passages.get_mut(&id) {
            passage.evidence.add(Some(leaf(end)), fact, now);
            let leg = passage.leg_mut(end);
            (leg.ports, leg.media, leg.negotiator) = (Some(pair), Some(media), Some(negotiator));
        }
        Ok(())
    }

    /// What a leg is offered or answered: its side's codecs; for the callee those first that the caller offers too, so that
    /// nothing needs to be converted.
    fn codecs(&self, passage: &Passage, end: End) -> Vec<Codec> {
        let mut codecs = self.side_of(passage, end).map(|side| side.codecs.clone()).unwrap_or_default();
        let offered = passage.caller.negotiator.as_ref().and_then(Negotiator::remote);
        let offered =
            offered.and_then(|remote| remote.media.iter().find(|medium| medium.kind == Kind::Audio));
        if let (End::Callee, Some(offered)) = (end, offered) {
            codecs.sort_by_key(|codec| {
                let same = |format: &denwa_sdp::Format| {
                    codec.is_same(&format.name, format.clock_rate, format.channels)
                };
                offered.formats.iter().position(same).unwrap_or(usize::MAX)
            });
        }
        codecs
    }

    fn on_route(&mut self, id: PassageId, local: Option<IpAddr>, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.callee.route = local;
        if local.is_none() {
            let peer = passage.callee.peer;
            return self.refuse(id, StatusCode::BAD_GATEWAY, &format!("there is no route to {peer}"), now);
        }
        if let Err(sentence) = self.prepare_leg(id, End::Callee, now) {
            self.refuse(id, StatusCode::SERVICE_UNAVAILABLE, &sentence, now);
        }
    }

    fn on_media(&mut self, event: bridge::Event, now: Instant) {
        let media = event.leg();
        if let bridge::Event::Closed { .. } | bridge::Event::OpenFailed { .. } = &event
            && let Some(pair) = self.closing.remove(&media)
        {
            self.pool.release_pair(pair);
        }
        let Some((id, end)) = self.by_leg.get(&media).copied() else { return };
        match event {
            bridge::Event::Opened { .. } => {
                if let Some(passage) = self.passages.get_mut(&id) {
                    passage.leg_mut(end).is_open = true;
                    if passage.caller.is_open && passage.callee.is_open && passage.callee.call.is_none() {
                        self.place(id, now);
                    }
                }
            }
            bridge::Event::OpenFailed { reason, .. } => self.retry_leg(id, end, &reason, now),
            bridge::Event::FirstPacket { from, expected, .. } => {
                self.note(id, end, Fact::FirstPacket { from, expected }, now);
            }
            bridge::Event::SourceMoved { from, to, .. } => {
                self.note(id, end, Fact::SourceMoved { from, to }, now)
            }
            bridge::Event::SourceRefused { from, .. } => {
                self.note(id, end, Fact::SourceRefused { from }, now)
            }
            bridge::Event::Silent { lasted, .. } => {
                self.line(format!(
                    "{}: the {} has been silent for {} s",
                    Name(id),
                    word(end),
                    lasted.as_secs()
                ));
                self.note(id, end, Fact::Silent { lasted }, now);
            }
            bridge::Event::Resumed { .. } => self.note(id, end, Fact::Resumed, now),
            bridge::Event::NoConversion { from, to, .. } => {
                self.line(format!("{}: {from} cannot be made {to} here", Name(id)));
                self.note(id, end, Fact::TranscoderMissing { from, to }, now);
            }
            bridge::Event::Report { report, .. } => self.note(id, end, Fact::of_report(&report), now),
            bridge::Event::Rejected { misuse, .. } => self.line(format!("{}: {misuse}", Name(id))),
            _ => {}
        }
    }

    /// Another program has the port: the pair is kept from being tried again, and the next one is taken.
    fn retry_leg(&mut self, id: PassageId, end: End, why: &bridge::OpenFailure, now: Instant) {
        let Some(leg) = self.passages.get_mut(&id).map(|passage| passage.leg_mut(end)) else { return };
        let pair = leg.ports.take();
        if let Some(media) = leg.media.take() {
            self.by_leg.remove(&media);
        }
        let offer = leg.negotiator.take().and_then(|negotiator| negotiator.remote().cloned());
        let again = matches!(why, bridge::OpenFailure::PortTaken(_)) && offer.is_none();
        let result = if again { self.prepare_leg(id, end, now) } else { Err(why.to_string()) };
        if let Some(pair) = pair {
            self.pool.release_pair(pair);
        }
        if let Err(sentence) = result {
            self.note(id, end, Fact::MediaNotOpened { why: sentence.clone() }, now);
            self.refuse(id, StatusCode::SERVICE_UNAVAILABLE, &sentence, now);
        }
    }

    // ---- and goes out

    fn place(&mut self, id: PassageId, now: Instant) {
        let Some(passage) = self.passages.get(&id) else { return };
        let Some((protocol, address)) = self.target_of(passage.route) else { return };
        let side = self.side_of(passage, End::Callee);
        let credentials = side.map(credentials).unwrap_or_default();
        // A line knows us by the name we registered with; an open side is told who calls.
        let user = side.and_then(|side| side.user.clone()).unwrap_or_else(|| passage.caller_user.clone());
        let local = self.identity(address.ip(), passage.callee.route, user.clone());
        let host = passage.callee.route.unwrap_or(address.ip());
        let from_uri = UriBuf::sip(&user, denwa_sip_core::message::Host::from(host)).build();
        let from = match &passage.caller_name {
            Some(name) if !name.is_empty() => Party::named(name.clone(), from_uri),
            _ => Party::new(from_uri),
        };
        let to = Party::new(UriBuf::at_address(&passage.number, address));
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let Some(Ok(offer)) = passage.callee.negotiator.as_mut().map(Negotiator::offer) else { return };
        let mut place = PlaceCall::new(from, to, Target::address(protocol, address));
        place.local = local;
        place.body = Some(Body::sdp(offer));
        place.credentials = credentials;
        let head = MessageHead {
            method: "INVITE".to_owned(),
            remote: Some(address),
            protocol: protocol.to_string(),
            ..MessageHead::default()
        };
        passage.evidence.add(Some(Leaf::SECOND), Fact::Sent(head), now);
        match self.endpoint.place_call(place, now) {
            Ok(call) => {
                passage.callee.call = Some(call);
                self.by_call.insert(call, (id, End::Callee));
            }
            Err(misuse) => self.refuse(id, StatusCode::BAD_GATEWAY, &misuse.to_string(), now),
        }
    }

    fn identity(&self, peer: IpAddr, route: Option<IpAddr>, user: String) -> LocalIdentity {
        let advertised = route.and_then(|route| {
            let told = self.config.addresses.told(peer, route, None);
            let port = self.config.listen.first().map_or(5060, |own| own.address.port());
            (told.address != route).then(|| SentBy::from_address(SocketAddr::new(told.address, port)))
        });
        LocalIdentity { user, advertised, ..LocalIdentity::default() }
    }

    // ---- what passes from one to the other

    fn on_call_event(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::OfferReceived { call, body, .. } => {
                let Some((id, end)) = self.by_call.get(&call).copied() else { return };
                let first = self.passages.get(&id).is_some_and(|passage| passage.caller.negotiator.is_none());
                if first {
                    self.prepare(id, Some(&body.bytes), now)
                } else {
                    self.answer_offer(id, end, &body.bytes, now)
                }
            }
            SipEvent::OfferRequested { call } => {
                let Some((id, end)) = self.by_call.get(&call).copied() else { return };
                let Some(passage) = self.passages.get_mut(&id) else { return };
                match &mut passage.leg_mut(end).negotiator {
                    None => self.prepare(id, None, now),
                    Some(negotiator) => {
                        if let Ok(offer) = negotiator.offer() {
                            let _ = self.endpoint.answer_offer(
                                call,
                                Some(Body::sdp(offer)),
                                &Headers::new(),
                                now,
                            );
                        }
                    }
                }
            }
            SipEvent::AnswerReceived { call, body, preview, .. } => {
                if let Some((id, end)) = self.by_call.get(&call).copied() {
                    self.on_answer(id, end, &body.bytes, preview, now);
                }
            }
            SipEvent::OfferAborted { call, .. } => {
                if let Some((id, end)) = self.by_call.get(&call).copied()
                    && let Some(negotiator) = self
                        .passages
                        .get_mut(&id)
                        .and_then(|passage| passage.leg_mut(end).negotiator.as_mut())
                {
                    negotiator.rollback();
                }
            }
            SipEvent::CallProgress { call, response, .. } => self.on_progress(call, &response, now),
            SipEvent::CallAnswered { call, response, .. } => {
                if let Some((id, End::Callee)) = self.by_call.get(&call).copied() {
                    self.note_response(id, &response, now);
                    self.answer_caller(id, now);
                }
            }
            SipEvent::CallConfirmed { call } => {
                if let Some((id, End::Caller)) = self.by_call.get(&call).copied() {
                    self.line(format!("{}: up", Name(id)));
                }
            }
            SipEvent::DialogRequest { call, request, message } => {
                self.on_dialog_request(call, request, &message, now)
            }
            // Transfers end at the gateway: neither side may send the other's callers elsewhere.
            SipEvent::TransferRequested { request, .. } => {
                let _ = self.endpoint.respond(request, &Reply::new(StatusCode::NOT_IMPLEMENTED), now);
            }
            SipEvent::CallEnded { call, reason } => self.on_ended(call, reason, now),
            _ => {}
        }
    }

    fn on_progress(&mut self, call: CallHandle, response: &Response, now: Instant) {
        let Some((id, End::Callee)) = self.by_call.get(&call).copied() else { return };
        self.note_response(id, response, now);
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let Some(caller) = passage.caller.call else { return };
        let early = passage.callee.is_configured;
        let mut reply = Reply::new(response.status());
        if early && let Some(body) = self.caller_description(id, now) {
            reply = reply.with_body(Body::sdp(body));
        }
        // The caller may have given up meanwhile.
        let _ = self.endpoint.ring(caller, &reply, now);
    }

    /// Our description for the caller, made once: the answer to its offer, with the callee's codec first. `None` when the caller
    /// offered nothing; its answer is made of [`Gateway::answer_caller`] then.
    fn caller_description(&mut self, id: PassageId, now: Instant) -> Option<bytes::Bytes> {
        let passage = self.passages.get_mut(&id)?;
        let negotiator = passage.caller.negotiator.as_mut()?;
        match negotiator.state() {
            State::Stable => return negotiator.local().cloned().filter(|_| passage.caller.is_configured),
            State::HaveLocalOffer => return None,
            State::HaveRemoteOffer => {}
        }
        let chosen = passage.callee.negotiator.as_ref().and_then(Negotiator::agreed);
        let chosen = chosen.and_then(|agreed| agreed.audio()?.codec().cloned());
        let mut capability = negotiator.capability().clone();
        if let (Some(chosen), Some(audio)) = (chosen, capability.of_kind_mut(&Kind::Audio)) {
            audio
                .codecs
                .sort_by_key(|codec| !codec.is_same(&chosen.name, chosen.clock_rate, chosen.channels));
            capability.preference = Preference::Local;
            capability.answer_codecs = AnswerCodecs::All;
        }
        negotiator.set_capability(capability);
        let answer = negotiator.make_answer().ok()?;
        self.configure(id, End::Caller, now);
        Some(answer)
    }

    fn answer_caller(&mut self, id: PassageId, now: Instant) {
        let late = self.passages.get_mut(&id).and_then(|passage| {
            let negotiator = passage.caller.negotiator.as_mut()?;
            (negotiator.state() == State::Stable && negotiator.agreed().is_none())
                .then(|| negotiator.offer().ok())?
        });
        let description = late.or_else(|| self.caller_description(id, now));
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let (Some(caller), Some(from), Some(to)) =
            (passage.caller.call, passage.caller.media, passage.callee.media)
        else {
            return;
        };
        passage.answered = true;
        let Some(body) = description else {
            return self.refuse(
                id,
                StatusCode::NOT_ACCEPTABLE_HERE,
                "the caller's offer cannot be answered",
                now,
            );
        };
        self.outputs.push_back(Output::Media(MediaCommand::Connect { leg: from, to: Connection::Leg(to) }));
        let reply = Reply::new(StatusCode::OK).with_body(Body::sdp(body));
        if let Err(misuse) = self.endpoint.answer(caller, &reply, now) {
            self.line(format!("{}: not answered: {misuse}", Name(id)));
        }
    }

    fn on_answer(&mut self, id: PassageId, end: End, answer: &[u8], preview: bool, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let Some(negotiator) = &mut passage.leg_mut(end).negotiator else { return };
        if preview {
            // The answer proper follows: what this one says is gone by until then.
            let mut fork = negotiator.fork();
            if fork.accept_answer(answer).is_ok() {
                let medium = fork.agreed().and_then(|agreed| agreed.audio().cloned());
                self.configure_with(id, end, medium, now);
            }
            return;
        }
        match negotiator.accept_answer(answer) {
            Ok(_) => self.configure(id, end, now),
            Err(error) => {
                if let NegotiationError::Mismatch(mismatch) = &error {
                    let fact = Fact::of_mismatch(mismatch, Who::Here);
                    passage.evidence.add(Some(leaf(end)), fact, now);
                }
                self.refuse(id, StatusCode::NOT_ACCEPTABLE_HERE, &error.to_string(), now);
            }
        }
    }

    /// An offer during the call: hold, another codec, another address.
    fn answer_offer(&mut self, id: PassageId, end: End, offer: &[u8], now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let leg = passage.leg_mut(end);
        let (Some(call), Some(negotiator)) = (leg.call, &mut leg.negotiator) else { return };
        let held = |negotiator: &Negotiator| {
            negotiator.agreed().and_then(|agreed| agreed.audio()).is_some_and(|audio| audio.hold.is_remote())
        };
        let before = held(negotiator);
        match negotiator.answer(offer) {
            Ok(answer) => {
                let after = held(negotiator);
                self.configure(id, end, now);
                let _ = self.endpoint.answer_offer(call, Some(Body::sdp(answer)), &Headers::new(), now);
                if before != after {
                    self.pass_hold_on(id, end.other(), after, now);
                }
            }
            Err(error) => {
                let _ = self.endpoint.refuse_offer(call, &refusal(&error), now);
            }
        }
    }

    /// The one holds: the other is told so.
    fn pass_hold_on(&mut self, id: PassageId, end: End, held: bool, now: Instant) {
        self.line(format!(
            "{}: the {} is {}",
            Name(id),
            word(end),
            if held { "on hold" } else { "off hold" }
        ));
        let Some(leg) = self.passages.get_mut(&id).map(|passage| passage.leg_mut(end)) else { return };
        let (Some(call), Some(negotiator)) = (leg.call, &mut leg.negotiator) else { return };
        if negotiator.state() != State::Stable {
            return;
        }
        if held {
            negotiator.hold(HoldStyle::Direction, Direction::SendOnly);
        } else {
            negotiator.resume();
        }
        let Ok(offer) = negotiator.offer() else { return };
        if self.endpoint.reinvite(call, Some(Body::sdp(offer)), Headers::new(), now).is_err()
            && let Some(negotiator) =
                self.passages.get_mut(&id).and_then(|passage| passage.leg_mut(end).negotiator.as_mut())
        {
            negotiator.rollback();
        }
    }

    fn configure(&mut self, id: PassageId, end: End, now: Instant) {
        let medium = self
            .passages
            .get(&id)
            .and_then(|passage| passage.leg(end).negotiator.as_ref()?.agreed()?.audio().cloned());
        self.configure_with(id, end, medium, now);
    }

    fn configure_with(
        &mut self,
        id: PassageId,
        end: End,
        medium: Option<denwa_sdp::ActiveMedium>,
        now: Instant,
    ) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let peer = passage.leg(end).peer;
        let (Some(medium), Some(media)) = (medium, passage.leg(end).media) else { return };
        if let Some(remote) = passage.leg(end).negotiator.as_ref().and_then(Negotiator::remote) {
            let description = Description::of_remote(remote);
            passage.evidence.add(Some(leaf(end)), Fact::Described { by: Who::Peer, description }, now);
        }
        passage.evidence.add(Some(leaf(end)), Fact::Agreed(Agreement::of_medium(&medium)), now);
        match StreamParameters::from_agreed(&medium) {
            Ok(mut stream) => {
                stream.known_hosts.push(peer.ip());
                passage.leg_mut(end).is_configured = true;
                let stream = Box::new(stream);
                self.outputs.push_back(Output::Media(MediaCommand::Configure { leg: media, stream }));
            }
            Err(error) => self.line(format!("{}: {error}", Name(id))),
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
            // Keys in INFO become telephone events on the other leg.
            Method::Info => {
                let keys = denwa::ua::digit_of_info(message).zip(self.by_call.get(&call).copied());
                if let Some((digit, (id, end))) = keys
                    && let Some(media) =
                        self.passages.get(&id).and_then(|passage| passage.leg(end.other()).media)
                {
                    let digits = digit.to_string();
                    self.outputs.push_back(Output::Media(MediaCommand::SendDigits { leg: media, digits }));
                }
                StatusCode::OK
            }
            Method::Options => StatusCode::OK,
            Method::Refer => StatusCode::DECLINE,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let _ = self.endpoint.respond(request, &Reply::new(status), now);
    }

    // ---- the end

    fn on_ended(&mut self, call: CallHandle, reason: CallEnd, now: Instant) {
        let Some((id, end)) = self.by_call.remove(&call) else { return };
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.leg_mut(end).call = None;
        let (by, cause) = cause(&reason);
        passage.evidence.add(Some(leaf(end)), Fact::Ended { by, cause }, now);
        if let (CallEnd::Refused { response }, End::Callee) = (&reason, end)
            && response.status() == StatusCode::NOT_ACCEPTABLE_HERE
            && let Some(negotiator) = &mut passage.callee.negotiator
            && let Ok(mismatch) = negotiator.refused(
                Some(response.body()).filter(|body| !body.is_empty()),
                response.get(HeaderName::Warning),
            )
        {
            passage.evidence.add(Some(Leaf::SECOND), Fact::of_mismatch(&mismatch, Who::Here), now);
        }
        if let (CallEnd::Unreachable(why), End::Callee) = (&reason, end) {
            let waited = now.saturating_duration_since(passage.evidence.began());
            let fact = Fact::of_end(*why, "INVITE", passage.callee.peer, Protocol::Udp, waited);
            passage.evidence.add(Some(Leaf::SECOND), fact, now);
        }
        match passage.leg(end.other()).call {
            Some(other) if end == End::Callee && !passage.answered => {
                let _ = self.endpoint.refuse(other, &reply_for(&reason), now);
            }
            Some(other) => {
                let _ = self.endpoint.hang_up(other, &Headers::new(), now);
            }
            None => self.close(id, now),
        }
    }

    /// Refuses the caller and ends the callee.
    fn refuse(&mut self, id: PassageId, status: StatusCode, sentence: &str, now: Instant) {
        self.line(format!("{}: {sentence}", Name(id)));
        let Some(passage) = self.passages.get(&id) else { return };
        let (caller, callee) = (passage.caller.call, passage.callee.call);
        if let Some(caller) = caller {
            let warning = format!("399 gateway \"{}\"", sentence.replace(['"', '\\'], "'"));
            let headers = Headers::new().with("Warning", warning).unwrap_or_default();
            if self.endpoint.refuse(caller, &Reply::new(status).with_headers(headers), now).is_err() {
                let _ = self.endpoint.hang_up(caller, &Headers::new(), now);
            }
        }
        if let Some(callee) = callee {
            let _ = self.endpoint.hang_up(callee, &Headers::new(), now);
        }
    }

    fn refuse_offer(&mut self, id: PassageId, error: &NegotiationError, now: Instant) {
        self.line(format!("{}: {error}", Name(id)));
        let Some(passage) = self.passages.get_mut(&id) else { return };
        if let NegotiationError::Mismatch(mismatch) = error {
            let fact = Fact::of_mismatch(mismatch, Who::Peer);
            passage.evidence.add(Some(Leaf::FIRST), fact, now);
        }
        if let Some(caller) = passage.caller.call {
            let _ = self.endpoint.refuse(caller, &refusal(error), now);
        }
    }

    /// Both calls are over: legs and ports are given back, and the story is told.
    fn close(&mut self, id: PassageId, now: Instant) {
        let Some(mut passage) = self.passages.remove(&id) else { return };
        for end in End::BOTH {
            let leg = passage.leg_mut(end);
            match (leg.media.take(), leg.ports.take()) {
                (Some(media), Some(pair)) => {
                    self.by_leg.remove(&media);
                    self.closing.insert(media, pair);
                    self.outputs.push_back(Output::Media(MediaCommand::Close { leg: media }));
                }
                (_, Some(pair)) => {
                    self.pool.release_pair(pair);
                }
                _ => {}
            }
        }
        let lasted = now.saturating_duration_since(passage.evidence.began()).as_secs();
        self.line(format!("{}: over after {lasted} s", Name(id)));
        for finding in passage.evidence.findings() {
            self.line(format!("{}: {finding}", Name(id)));
        }
        self.outputs.push_back(Output::Event(Event::Ended(Box::new(passage.evidence))));
    }

    fn note(&mut self, id: PassageId, end: End, fact: Fact, now: Instant) {
        if let Some(passage) = self.passages.get_mut(&id) {
            passage.evidence.add(Some(leaf(end)), fact, now);
        }
    }

    fn note_response(&mut self, id: PassageId, response: &Response, now: Instant) {
        let flow = self
            .passages
            .get(&id)
            .and_then(|passage| passage.callee.call)
            .and_then(|call| self.endpoint.call(call)?.flow);
        self.note(id, End::Callee, Fact::Received(MessageHead::of_response(response, flow.as_ref())), now);
    }

    fn line(&mut self, line: String) {
        self.outputs.push_back(Output::Event(Event::Line(line)));
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output.into() {
                FromEndpoint::Event(event) => self.on_event(event, now),
                // Nobody registers here, and nobody is asked for a password.
                FromEndpoint::Lookup { id, .. } => {
                    self.endpoint.handle_input(Input::Provided { id, provided: Provided::Nothing }, now);
                }
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
            }
        }
        while let Some(denwa::guard::Output::Event(event)) = self.guard.poll_output() {
            if let denwa::guard::Event::Banned { subject, offence, .. } = event {
                self.line(format!("{subject} is banned: {offence}"));
            }
        }
    }

    fn on_event(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::Incoming { request, message, flow, .. } => {
                self.on_incoming(request, &message, flow, now)
            }
            SipEvent::Registered { registration, .. } => self.tell_registration(registration, "registered"),
            SipEvent::RegistrationFailed { registration, .. } => {
                self.tell_registration(registration, "not registered; trying again");
            }
            SipEvent::RegistrationEnded { registration, .. } => {
                self.tell_registration(registration, "no longer registered");
            }
            SipEvent::Refused { flow, first_line, .. } => {
                let (source, offence) = (flow.remote, Offence::Malformed);
                self.guard.handle_input(GuardInput::Offence { source, offence, account: None }, now);
                self.line(format!("refused from {}: {first_line}", flow.remote));
            }
            SipEvent::ShutDown => self.outputs.push_back(Output::Stop),
            other => self.on_call_event(other, now),
        }
    }

    fn tell_registration(&mut self, registration: RegistrationHandle, what: &str) {
        let index = self.registrations.get(&registration).copied();
        if let Some(name) = index.and_then(|index| self.config.sides.get(index)).map(|side| side.name.clone())
        {
            self.line(format!("side {name}: {what}"));
        }
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
            self.endpoint.handle_input(input, now);
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
        if let Answer::Route(route) = answer {
            self.on_route(PassageId(question), route.map(|route| route.local), now);
        }
        self.drain(now);
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Stop => {
                self.stopping = true;
                self.endpoint.shut_down(now);
            }
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.guard.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.guard.handle_timeout(now);
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout().into_iter().chain(self.guard.poll_timeout()).min()
    }
}

/// How a passage is called in the log.
struct Name(PassageId);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0.0)
    }
}

fn word(end: End) -> &'static str {
    match end {
        End::Caller => "caller",
        End::Callee => "callee",
    }
}

fn leaf(end: End) -> Leaf {
    match end {
        End::Caller => Leaf::FIRST,
        End::Callee => Leaf::SECOND,
    }
}

fn credentials(side: &Side) -> Vec<Credentials> {
    match (&side.user, &side.password) {
        (Some(user), Some(password)) => {
            vec![Credentials { realm: None, username: user.clone(), secret: Secret::password(password) }]
        }
        _ => Vec::new(),
    }
}

/// The reply that refuses an offer, with the sentence in a Warning.
fn refusal(error: &NegotiationError) -> Reply {
    let status = StatusCode::new(error.status()).unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
    let headers = error.warning("gateway").and_then(|warning| Headers::new().with("Warning", warning).ok());
    Reply::new(status).with_headers(headers.unwrap_or_default())
}

/// How the callee's end sounds to the caller.
fn reply_for(reason: &CallEnd) -> Reply {
    match reason {
        CallEnd::Refused { response } => {
            let mut headers = Headers::new();
            for name in [HeaderName::Warning, HeaderName::Reason, HeaderName::RetryAfter] {
                if let Some(value) = response.get(name) {
                    // What the callee's side wrote and cannot be written again is left out.
                    let _ = headers.push(name.as_str(), value);
                }
            }
            Reply::new(response.status()).with_reason(response.reason()).with_headers(headers)
        }
        CallEnd::Unreachable(EndReason::TimedOut) => Reply::new(StatusCode::REQUEST_TIMEOUT),
        CallEnd::NotAnswered => Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE),
        CallEnd::ShutDown => Reply::new(StatusCode::SERVICE_UNAVAILABLE),
        _ => Reply::new(StatusCode::BAD_GATEWAY),
    }
}

fn cause(reason: &CallEnd) -> (Who, EndCause) {
    let who = |by: &By| match by {
        By::Local => Who::Here,
        By::Remote => Who::Peer,
    };
    match reason {
        CallEnd::HungUp { by, .. } => (who(by), EndCause::HungUp),
        CallEnd::Cancelled { by, .. } => (who(by), EndCause::Cancelled),
        CallEnd::Refused { response } => (Who::Peer, EndCause::Refused(response.status().code())),
        CallEnd::RefusedHere(status) => (Who::Here, EndCause::Refused(status.code())),
        CallEnd::NotAnswered => (Who::Here, EndCause::NoAnswer),
        CallEnd::NotAcknowledged => (Who::Here, EndCause::Unconfirmed),
        CallEnd::SessionExpired => (Who::Here, EndCause::SessionExpired),
        CallEnd::Unreachable(_) => (Who::Here, EndCause::Unanswered),
        CallEnd::ShutDown => (Who::Here, EndCause::ShutDown),
        _ => (Who::Here, EndCause::TransportFailed),
    }
}
