//! The endpoint below: what it is given, what it says, and input that could not be used.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use denwa::guard::Offence;
use denwa_sip_core::endpoint::{EndpointConfig, Event as Sip, Listener, Outcome, Refusal, Reply, RequestEnd};
use denwa_sip_core::io::{Input as SipInput, Lookup, Output as SipOutput, Protocol, Provided, QueryId};
use denwa_sip_core::{HeaderName, Method, StatusCode};

use super::call::Call;
use super::desk::{Desk, Setup};
use super::trace::{Belongs, Packet};
use super::{Event, Exchange, Output, facts, invitation};
use crate::links::Link;
use crate::policy::directory::Account;

/// Telling of hostile input is thinned to one line in this time.
pub(super) const HOSTILE_PAUSE: Duration = Duration::from_secs(10);

/// Input that could not be used, counted between two lines of the log.
#[derive(Debug, Default)]
pub(super) struct Hostile {
    pub(super) count: u64,
    pub(super) total: u64,
    example: String,
    pub(super) quiet_until: Option<Instant>,
}

impl Exchange {
    pub(super) fn sip_input(&mut self, input: SipInput<'_>) {
        match &input {
            SipInput::Datagram { remote, payload, .. } => {
                // RFC 7983: what begins so would be STUN, and nothing else of it belongs on this port.
                if payload.first().is_some_and(|first| *first < 4)
                    && self.external.datagram(&mut self.desk, *remote, payload)
                {
                    return;
                }
                if !self.defence.admits(Protocol::Udp, *remote, self.desk.now) {
                    return;
                }
            }
            SipInput::StreamOpened { stream, protocol, remote, .. }
                if stream.is_accepted()
                    && !self.defence.admits_stream(*stream, *protocol, *remote, self.desk.now) =>
            {
                return self.desk.put(Output::CloseStream { stream: *stream });
            }
            SipInput::StreamData { stream, .. } if !self.defence.admits_piece(*stream, self.desk.now) => {
                return self.desk.put(Output::CloseStream { stream: *stream });
            }
            SipInput::StreamClosed { stream } => self.defence.stream_closed(*stream),
            _ => {}
        }
        let now = self.desk.now;
        let Some(rewritten) = self.rewriting.received(&self.desk, &input) else {
            return self.desk.endpoint.handle_input(input, now);
        };
        for message in rewritten {
            let payload = message.as_slice();
            let input = match &input {
                SipInput::Datagram { local, remote, .. } => {
                    SipInput::Datagram { local: *local, remote: *remote, payload }
                }
                SipInput::StreamData { stream, .. } => SipInput::StreamData { stream: *stream, payload },
                _ => return,
            };
            self.desk.endpoint.handle_input(input, now);
        }
    }

    // -- the endpoint below

    /// Takes everything the endpoint has to say, until it has no more.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.desk.endpoint.poll_output() {
            match output {
                SipOutput::Transmit(mut transmit) => {
                    self.rewriting.sent(&self.desk, &mut transmit);
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

    pub(super) fn lookup(&mut self, id: QueryId, lookup: Lookup) {
        let now = self.desk.now;
        let provided = match lookup {
            // As if it were unknown: the same answer at the same cost.
            Lookup::Credentials { user, .. } if !self.defence.admits_account(&user, now) => Provided::Nothing,
            Lookup::Credentials { user, hashed: false, .. } => match self.desk.directory.get(&user) {
                Some(Account { secret, .. }) => Provided::Secret { user, secret: secret.clone() },
                None => match self.desk.links.by_user(&user).and_then(Link::secret) {
                    Some(secret) => Provided::Secret { secret: secret.clone(), user },
                    None => Provided::Nothing,
                },
            },
            Lookup::StoreBindings { address_of_record, bindings } => {
                return self.registrar.store(&mut self.desk, id, &address_of_record, &bindings);
            }
            // All bindings are in memory from the start.
            _ => Provided::Nothing,
        };
        self.desk.endpoint.handle_input(SipInput::Provided { id, provided }, now);
    }

    pub(super) fn sip_event(&mut self, event: Sip) {
        let desk = &mut self.desk;
        let calls = self.calls.len();
        match event {
            Sip::Incoming { request, message, flow, peer_identity } => {
                self.defence.look_at(flow.remote, message.get(HeaderName::UserAgent), desk.now);
                let known = desk.directory.known_by(&flow, peer_identity.as_deref());
                let known = known.map(|account| account.number.clone());
                // It needs no password; but a neighbour is a neighbour first.
                if let Some(number) = known.filter(|_| desk.links.from(flow.protocol, flow.remote).is_none())
                {
                    self.defence.called(flow.remote, &number, desk.now);
                    if *message.method() == Method::Subscribe {
                        return self.watch(request, &message, &flow, &number);
                    }
                    let begun = self.admission.known(desk, request, message, flow, &number, calls);
                    return begun.into_iter().for_each(|call| self.insert(call));
                }
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
                if self.parted(outgoing, &outcome) {
                    return;
                }
                let desk = &mut self.desk;
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
            Sip::Located { id, outcome } => {
                if self.names.located(desk, id, &outcome) {
                    self.defence.neighbours_moved(&self.file, desk);
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
                let Some(handle) = event.call() else { return };
                if let Some(number) = desk.call_of(handle) {
                    self.with_call(number, |call, desk| call.on_sip(desk, handle, event));
                }
                self.write_down(handle);
            }
        }
    }

    pub(super) fn hostile_input(&mut self, example: String) {
        self.hostile.count += 1;
        self.hostile.total += 1;
        self.hostile.example = example;
        self.tell_hostile();
    }

    pub(super) fn tell_hostile(&mut self) {
        let hostile = &mut self.hostile;
        if hostile.count == 0 || hostile.quiet_until.is_some_and(|until| until > self.desk.now) {
            return;
        }
        hostile.quiet_until = self.desk.now.checked_add(HOSTILE_PAUSE);
        let (count, example) = (std::mem::take(&mut hostile.count), std::mem::take(&mut hostile.example));
        self.desk.tell(Event::HostileInput { count, example });
    }

    /// Gives a copy to each trace it belongs to.
    pub(super) fn copy(&mut self, packet: &Packet) {
        for ticket in self.traces.of(packet, &TraceView { desk: &self.desk, calls: &self.calls }) {
            self.desk.put(Output::Traced { ticket, packet: packet.clone() });
        }
    }
}

/// What traces ask about.
struct TraceView<'a> {
    desk: &'a Desk,
    calls: &'a BTreeMap<u64, Box<Call>>,
}

impl Belongs for TraceView<'_> {
    fn call_ids(&self, call: u64) -> Vec<String> {
        self.calls.get(&call).map(|call| call.call_ids(self.desk)).unwrap_or_default()
    }

    fn phones(&self, number: &str) -> Vec<std::net::SocketAddr> {
        self.desk.endpoint.bindings(number).into_iter().map(|binding| binding.flow.remote).collect()
    }
}

pub(super) fn endpoint_config(setup: &Setup) -> EndpointConfig {
    let listeners =
        setup.listening.iter().map(|listen| Listener::new(listen.protocol, listen.address)).collect();
    let mut config = EndpointConfig::new(listeners);
    config.software = Some(concat!("Denwa PBX ", env!("CARGO_PKG_VERSION")).to_owned());
    config.allow.retain(|method| *method != Method::Notify);
    // Strangers may have thousands of requests challenged in a second: what is kept of each is not kept for long.
    config.transactions.timers.challenge_kept = config.transactions.timers.t4;
    config
}
