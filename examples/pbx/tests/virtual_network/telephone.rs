//! A telephone on the virtual network: it registers, calls or answers, and sounds a tone while it talks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use denwa::bridge::{Command, Connection, Event as MediaEvent, LegId, LegSpec, Source};
use denwa::media::StreamParameters;
use denwa_sdp::{Capability, Codec, Negotiator, Transport};
use denwa_sim::{Input, Machine, Output, Transmit};
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{
    Body, CallHandle, CallOptions, Carrier, Credentials, Endpoint, EndpointConfig, Event, Headers, Listener,
    LocalIdentity, Party, PlaceCall, Register, Reply, Secret, Target,
};
use denwa_sip_core::io::{Input as SipInput, Output as SipOutput, Protocol, QueryId, RouteInfo, Seed};
use denwa_sip_core::message::UriBuf;

use crate::plane::Plane;

/// What the person at the telephone does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    /// Dials this when registered.
    pub(crate) dials: Option<String>,
    /// Dials after so long, without registering: a neighbour.
    pub(crate) calls_unregistered_after: Option<Duration>,
    /// Answers after so long; never when `None`.
    pub(crate) answers_after: Option<Duration>,
    /// Hangs up so long after the call is up.
    pub(crate) talks_for: Option<Duration>,
    /// Sounds its tone for so long in each call; without end when `None`.
    pub(crate) speaks_for: Option<Duration>,
}

pub(crate) struct Telephone {
    number: String,
    address: SocketAddr,
    server: SocketAddr,
    habits: Habits,
    endpoint: Endpoint,
    pub(crate) plane: Plane,
    negotiator: Negotiator,
    seed: [u8; 32],
    outputs: VecDeque<Output>,
    call: Option<CallHandle>,
    answer_at: Option<Instant>,
    hang_up_at: Option<Instant>,
    dial_at: Option<Instant>,
    offered: bool,
    pub(crate) told: Vec<String>,
    /// Voice packets heard by all calls that are over.
    pub(crate) heard: u64,
    /// The same for each call that came up.
    pub(crate) heard_in_calls: Vec<u64>,
    /// Calls it made.
    pub(crate) dialled: usize,
    silent_at: Option<Instant>,
    next_leg: u64,
    leg: Option<LegId>,
}

impl Telephone {
    pub(crate) fn new(
        number: &str,
        address: SocketAddr,
        server: SocketAddr,
        habits: Habits,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address)]);
        let mut telephone = Self {
            number: number.to_owned(),
            address,
            server,
            habits,
            endpoint: Endpoint::new(config, Seed(seed), now),
            plane: Plane::new(seed.map(|byte| byte ^ 0xaa), now),
            negotiator: negotiator(address, 0, seed),
            seed,
            outputs: VecDeque::new(),
            call: None,
            answer_at: None,
            hang_up_at: None,
            dial_at: None,
            offered: false,
            told: Vec::new(),
            heard: 0,
            heard_in_calls: Vec::new(),
            dialled: 0,
            silent_at: None,
            next_leg: 0,
            leg: None,
        };
        telephone.outputs.push_back(Output::Bind { protocol: denwa_sim::Protocol::Udp, local: address });
        telephone.dial_at = telephone.habits.calls_unregistered_after.map(|after| now + after);
        if telephone.dial_at.is_none() {
            telephone.register(now);
        }
        telephone.settle(now);
        telephone
    }

    fn register(&mut self, now: Instant) {
        let register = Register {
            address_of_record: self.party(&self.number),
            registrar: UriBuf::at_address("", self.server),
            target: Target::address(Protocol::Udp, self.server),
            routes: Vec::new(),
            local: self.identity(),
            headers: Headers::new(),
            credentials: self.credentials(),
            expires: Duration::from_secs(600),
        };
        self.endpoint.register(register, now).expect("a registration can be made");
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.call.is_none() && self.endpoint.counts().calls == 0
    }

    fn party(&self, number: &str) -> Party {
        Party::new(UriBuf::at_address(number, self.server))
    }

    fn identity(&self) -> LocalIdentity {
        LocalIdentity { user: self.number.clone(), ..LocalIdentity::default() }
    }

    fn credentials(&self) -> Vec<Credentials> {
        let secret = Secret::password(format!("secret-{}", self.number));
        vec![Credentials { realm: Some("pbx.example".to_owned()), username: self.number.clone(), secret }]
    }

    fn tell(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.outputs.push_back(Output::event(text.clone()));
        self.told.push(text);
    }

    /// Where the exchange says that it receives voice.
    fn note_address(&mut self, description: &[u8]) {
        let text = String::from_utf8_lossy(description).into_owned();
        let address = text.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")).unwrap_or_default();
        self.tell(format!("is told {address}"));
    }

    /// Calls somebody and talks for so long, unless it is in use.
    pub(crate) fn talk_to(&mut self, number: &str, talks_for: Duration, now: Instant) {
        if self.is_idle() {
            self.habits.talks_for = Some(talks_for);
            self.dial(number, now);
        }
    }

    pub(crate) fn dial(&mut self, number: &str, now: Instant) {
        self.dialled += 1;
        self.begin_media(now);
        let offer = self.negotiator.offer().expect("a first offer");
        let mut place = PlaceCall::new(
            self.party(&self.number),
            self.party(number),
            Target::address(Protocol::Udp, self.server),
        );
        place.local = self.identity();
        place.credentials = self.credentials();
        place.body = Some(Body::sdp(offer));
        self.call = self.endpoint.place_call(place, now).ok();
        self.settle(now);
    }

    fn begin_media(&mut self, now: Instant) {
        self.next_leg += 1;
        let leg = LegId(self.next_leg);
        let port = 4000 + 2 * u16::try_from(self.next_leg).expect("few calls");
        let rtp = SocketAddr::new(self.address.ip(), port);
        let rtcp = SocketAddr::new(self.address.ip(), port + 1);
        self.negotiator = negotiator(rtp, self.next_leg, self.seed);
        let silence_after = Duration::from_secs(3600);
        let spec = LegSpec { group: 1, rtp, rtcp, silence_after, cname: "telephone".to_owned() };
        self.plane.command(Command::Open { leg, spec }, now);
        self.leg = Some(leg);
    }

    fn agree(&mut self, now: Instant) {
        let (Some(leg), Some(medium)) =
            (self.leg, self.negotiator.agreed().and_then(|agreed| agreed.audio()))
        else {
            return;
        };
        let stream = Box::new(StreamParameters::from_agreed(medium).unwrap());
        self.plane.command(Command::Configure { leg, stream }, now);
        let tone = Source::Tone { frequency_hz: 440.0, level_dbm0: -10.0 };
        self.plane.command(Command::Connect { leg, to: Connection::Source(tone) }, now);
        self.silent_at = self.habits.speaks_for.map(|after| now + after);
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Registered { .. } => {
                self.tell("registered");
                if let Some(number) = self.habits.dials.take() {
                    self.dial(&number, now);
                }
            }
            Event::RegistrationFailed { reason, .. } => self.tell(format!("not registered: {reason:?}")),
            Event::Incoming { request, message, .. } => {
                if message.method().as_str() != "INVITE" || self.call.is_some() {
                    let status = if self.call.is_some() { StatusCode::BUSY_HERE } else { StatusCode::OK };
                    let _ = self.endpoint.respond(request, &Reply::new(status), now);
                    return;
                }
                self.begin_media(now);
                self.call =
                    self.endpoint.accept_call(request, &self.identity(), CallOptions::default(), now).ok();
                let number =
                    message.from().ok().and_then(|from| from.uri.user()).unwrap_or_default().to_owned();
                self.tell(format!("rings for {number}"));
            }
            Event::OfferReceived { call, carrier: Carrier::Invite, body, .. } if !self.offered => {
                self.note_address(&body.bytes);
                self.offered = self.negotiator.receive_offer(&body.bytes).is_ok();
                let _ = self.endpoint.ring(call, &Reply::new(StatusCode::RINGING), now);
                self.answer_at = self.habits.answers_after.map(|after| now + after);
            }
            Event::AnswerReceived { body, preview: false, .. } => {
                self.note_address(&body.bytes);
                if self.negotiator.accept_answer(&body.bytes).is_ok() {
                    self.agree(now);
                }
            }
            Event::CallProgress { response, .. } => {
                self.tell(format!("hears {}", response.status().code()));
            }
            Event::CallAnswered { .. } => {
                self.tell("is answered");
                self.hang_up_at = self.habits.talks_for.map(|after| now + after);
            }
            Event::CallConfirmed { .. } => self.tell("talks"),
            Event::CallEnded { reason, .. } => {
                let how = format!("{reason:?}");
                let how: String = how.chars().take_while(|letter| letter.is_alphanumeric()).collect();
                self.tell(format!("call over: {how}"));
                self.call = None;
                self.offered = false;
                (self.answer_at, self.hang_up_at, self.silent_at) = (None, None, None);
                if let Some(leg) = self.leg.take() {
                    self.plane.command(Command::Close { leg }, now);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                SipOutput::Transmit(transmit) => {
                    let datagram =
                        Transmit::datagram(Some(self.address), transmit.destination, transmit.payload);
                    self.outputs.push_back(Output::Transmit(datagram));
                }
                SipOutput::Route { id, destination } => {
                    self.outputs.push_back(Output::Route { token: id.0, destination: destination.ip() });
                }
                SipOutput::Event(event) => self.event(event, now),
                other => panic!("not on UDP: {other:?}"),
            }
        }
        for event in self.plane.drain(now, &mut self.outputs) {
            if let MediaEvent::Closed { report, .. } = event {
                self.heard += report.counters.received;
                if report.counters.sent > 0 {
                    self.heard_in_calls.push(report.counters.received);
                }
            }
        }
    }
}

impl Machine for Telephone {
    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Datagram { local, remote, payload } if self.plane.owns(local) => {
                self.plane.datagram(local, remote, payload, now, &mut self.outputs);
            }
            Input::Datagram { local, remote, payload } => {
                self.endpoint.handle_input(SipInput::Datagram { local, remote, payload }, now);
            }
            Input::Routed { token, route, .. } => {
                let route = route
                    .map(|route| RouteInfo { local: route.local, interface: Arc::from(&*route.interface) });
                self.endpoint.handle_input(SipInput::Routed { id: QueryId(token), route }, now);
            }
            _ => {}
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.settle(now);
        if self.dial_at.is_some_and(|at| at <= now) {
            self.dial_at = None;
            let number = self.habits.dials.take().expect("a number to dial");
            self.dial(&number, now);
        }
        if let Some(leg) = self.leg
            && self.silent_at.is_some_and(|at| at <= now)
        {
            self.silent_at = None;
            self.plane.command(Command::Connect { leg, to: Connection::Nothing }, now);
        }
        if let Some(call) = self.call {
            if self.answer_at.is_some_and(|at| at <= now) {
                self.answer_at = None;
                if let Ok(answer) = self.negotiator.make_answer() {
                    let reply = Reply::new(StatusCode::OK).with_body(Body::sdp(answer));
                    if self.endpoint.answer(call, &reply, now).is_ok() {
                        self.agree(now);
                    }
                }
            }
            if self.hang_up_at.is_some_and(|at| at <= now) {
                self.hang_up_at = None;
                let _ = self.endpoint.hang_up(call, &Headers::new(), now);
            }
        }
        self.settle(now);
        // Last, for what began just now owes its first packet at once.
        self.plane.handle_timeout(now, &mut self.outputs);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = [
            self.endpoint.poll_timeout(),
            self.plane.poll_timeout(),
            self.answer_at,
            self.hang_up_at,
            self.dial_at,
            self.silent_at,
        ];
        own.into_iter().flatten().min()
    }
}

fn negotiator(rtp: SocketAddr, call: u64, seed: [u8; 32]) -> Negotiator {
    let capability = Capability::telephone([Codec::pcma(), Codec::pcmu()]);
    let seed = seed.map(|byte| byte.wrapping_add(u8::try_from(call).unwrap_or(0)));
    Negotiator::new(capability, vec![Transport::audio(rtp)], denwa_sdp::Seed(seed))
}
