//! From an address to an INVITE: where the peer is, which of our addresses he is told, ports, media, descriptions.

use super::call::{Call, Component, Ports, Stage};
use super::{AccountId, CallId, Ending, UserAgent};
use crate::Seed;
use crate::driver::{Answer, Ask, Output, PortId};
use crate::evidence::{self, AddressTold, Agreement, Fact, Party as Who};
use crate::media::{KeyPath, MediaConfig, MediaSession};
use denwa_sdp::Kind;
use denwa_sip_core::call::session_timer::SessionTimerPolicy;
use denwa_sip_core::config::SentBy;
use denwa_sip_core::endpoint::{Body, CallOptions, LocalIdentity, Party, PlaceCall, Reply};
use denwa_sip_core::io::RouteInfo;
use denwa_sip_core::message::{Host, UriBuf};
use denwa_sip_core::{Protocol, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// What was asked of the driver for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The addresses of the peer's host; its port.
    Host(u16),
    /// The route to the peer.
    Route(SocketAddr),
    /// The route to where the peer says that he receives media.
    MediaRoute(SocketAddr),
    /// The route to where the peer's signalling comes from.
    SignallingRoute,
}

/// How often another pair of ports is tried when one is taken.
const PORT_ATTEMPTS: u8 = 8;

impl UserAgent {
    // ---- the way to the peer

    pub(super) fn new_call(&mut self, account: Option<AccountId>, is_outgoing: bool, now: Instant) -> CallId {
        let id = CallId(self.next_call);
        self.next_call = self.next_call.wrapping_add(1);
        self.calls.insert(id, Call::new(id, account, is_outgoing, now));
        id
    }

    /// Where does this address lead? Only to know which of our addresses to tell: the endpoint finds its way by itself.
    pub(super) fn locate(&mut self, id: CallId, uri: &UriBuf, now: Instant) {
        let uri = uri.as_uri();
        let port = uri.port().unwrap_or(Protocol::Udp.default_port());
        match uri.host() {
            Some(Host::Name(name)) => self.ask(id, Question::Host(port), Ask::Addresses(name.to_string())),
            Some(Host::V4(address)) => self.ask_route(id, SocketAddr::new(address.into(), port)),
            Some(Host::V6(address)) => self.ask_route(id, SocketAddr::new(address.into(), port)),
            None => self.end(id, Ending::Unreachable("the address names no host".to_owned()), now),
        }
    }

    fn ask_route(&mut self, id: CallId, peer: SocketAddr) {
        self.ask(id, Question::Route(peer), Ask::Route(peer));
    }

    pub(super) fn on_answer(&mut self, id: CallId, question: Question, answer: Answer, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        match (question, answer) {
            (Question::Host(port), Answer::Addresses(addresses)) => {
                let ours = |address: &&IpAddr| {
                    self.config.listeners.iter().any(|own| own.local.is_ipv4() == address.is_ipv4())
                };
                match addresses.iter().find(ours) {
                    Some(address) => self.ask_route(id, SocketAddr::new(*address, port)),
                    None => {
                        let name = call
                            .callee
                            .as_ref()
                            .map(|uri| uri.as_uri().host_str().to_owned())
                            .unwrap_or_default();
                        call.note(Fact::Unresolved { name: name.clone() }, now);
                        self.end(id, Ending::Unreachable(format!("the name {name} has no address")), now);
                    }
                }
            }
            (Question::Route(peer), Answer::Route(route)) => {
                call.peer = Some(peer);
                call.note(routed(evidence::RouteUse::Signalling, peer, route.as_ref()), now);
                match route {
                    Some(route) => {
                        call.route = Some(route.local);
                        call.interface = Some(route.interface);
                        if !self.get_acquainted(id, now) {
                            self.open_ports(id, route.local, now);
                        }
                    }
                    None => self.end(id, Ending::Unreachable(format!("there is no route to {peer}")), now),
                }
            }
            (Question::MediaRoute(described), Answer::Route(route)) => {
                self.on_media_route(id, described, route, now)
            }
            (Question::SignallingRoute, Answer::Route(route)) => {
                if let Some(peer) = call.peer {
                    call.note(routed(evidence::RouteUse::Signalling, peer, route.as_ref()), now);
                }
                call.interface = route.map(|route| route.interface);
                self.check_media_route(id);
            }
            _ => {}
        }
    }

    /// It is known how the peer sees us, or it will not be: the call goes on.
    pub(super) fn on_acquainted(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.patience.take().is_some()
            && let Some(route) = call.route
        {
            self.open_ports(id, route, now);
        }
    }

    // ---- media that would leave by another way than the signalling

    /// Asks for the route to where the peer says that he receives, when that is not where his signalling comes from.
    pub(super) fn check_media_route(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(peer) = call.peer else { return };
        let Some(described) = call.media.as_ref().and_then(|media| media.parameters()?.remote_rtp) else {
            return;
        };
        if described.ip() == peer.ip() {
            call.media_route = None;
            return;
        }
        if call.interface.is_none() {
            return self.ask(id, Question::SignallingRoute, Ask::Route(peer));
        }
        if call.media_route != Some(described.ip()) {
            call.media_route = Some(described.ip());
            self.ask(id, Question::MediaRoute(described), Ask::Route(described));
        }
    }

    /// A peer whose media address lies behind another interface than his signalling, or behind none, was renamed on the
    /// way, as some VPNs do: his media are sent to where his signalling comes from as well, with the port he described,
    /// until some arrive. When the interface is the same, the address is a media server's, and is left in peace.
    fn on_media_route(&mut self, id: CallId, described: SocketAddr, route: Option<RouteInfo>, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.note(routed(evidence::RouteUse::Media, described, route.as_ref()), now);
        let elsewhere = route.is_none_or(|route| Some(route.interface) != call.interface);
        let (Some(peer), Some(media)) = (call.peer, &mut call.media) else { return };
        let is_current = media.parameters().and_then(|agreed| agreed.remote_rtp) == Some(described);
        if is_current && described.ip() != peer.ip() && self.config.redirects_media {
            let to = SocketAddr::new(peer.ip(), described.port());
            media.send_also_to(elsewhere.then_some(to));
            if elsewhere {
                let why =
                    "the way to the described address is another than that of the signalling".to_owned();
                call.note(Fact::MediaRedirected { described, to, why }, now);
            }
        }
    }

    // ---- ports

    pub(super) fn open_ports(&mut self, id: CallId, local: IpAddr, now: Instant) {
        let pair = match self.pool.as_mut().map(crate::port_set::PortPool::take_pair).transpose() {
            Ok(pair) => pair,
            Err(exhausted) => {
                self.no_port(id, &exhausted.to_string(), now);
                return;
            }
        };
        let (rtp, rtcp) = (PortId(self.next_port), PortId(self.next_port.wrapping_add(1)));
        self.next_port = self.next_port.wrapping_add(2);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.is_outgoing {
            call.stage = Stage::OpeningPorts;
        }
        call.ports = Some(Ports { rtp, rtcp, rtp_at: None, rtcp_at: None, pair });
        for (port, component, number) in [
            (rtp, Component::Rtp, pair.map_or(0, |pair| pair.rtp)),
            (rtcp, Component::Rtcp, pair.map_or(0, |pair| pair.rtcp)),
        ] {
            self.by_port.insert(port, (id, component));
            self.outputs.push_back(Output::OpenPort { port, address: SocketAddr::new(local, number) });
        }
    }

    pub(super) fn on_port_open(
        &mut self,
        id: CallId,
        component: Component,
        address: SocketAddr,
        now: Instant,
    ) {
        let Some(ports) = self.calls.get_mut(&id).and_then(|call| call.ports.as_mut()) else { return };
        match component {
            Component::Rtp => ports.rtp_at = Some(address),
            Component::Rtcp => ports.rtcp_at = Some(address),
        }
        let (Some(rtp), Some(rtcp)) = (ports.rtp_at, ports.rtcp_at) else { return };
        if let Some(call) = self.calls.get_mut(&id) {
            call.note(Fact::MediaOpened { rtp }, now);
        }
        self.make_media(id, rtp, rtcp, now);
        self.drain_media(id, now);
    }

    /// All is known that descriptions say: the call goes on.
    pub(super) fn on_gathered(&mut self, id: CallId, now: Instant) {
        let is_outgoing = self.calls.get(&id).is_some_and(|call| call.is_outgoing);
        if is_outgoing { self.place(id, now) } else { self.answer_now(id, now) }
    }

    pub(super) fn on_port_taken(
        &mut self,
        id: CallId,
        port: PortId,
        why: &crate::bridge::OpenFailure,
        now: Instant,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // The news of the other port of the pair is not waited for.
        if !call.ports.is_some_and(|ports| ports.rtp == port || ports.rtcp == port) {
            return;
        }
        call.port_attempts = call.port_attempts.saturating_add(1);
        let (attempts, local) = (call.port_attempts, call.local_host());
        self.close_ports(id);
        if attempts < PORT_ATTEMPTS && self.pool.is_some() {
            self.open_ports(id, local, now);
        } else {
            self.no_port(id, &why.to_string(), now);
        }
    }

    fn no_port(&mut self, id: CallId, why: &str, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.note(Fact::MediaNotOpened { why: why.to_owned() }, now);
        match call.handle {
            Some(handle) => {
                // The caller is told that this is ours to mend.
                let _ = self.endpoint.refuse(handle, &Reply::new(StatusCode::SERVER_INTERNAL_ERROR), now);
            }
            None => self.end(id, Ending::NoPort(why.to_owned()), now),
        }
    }

    pub(super) fn close_ports(&mut self, id: CallId) {
        let Some(ports) = self.calls.get_mut(&id).and_then(|call| call.ports.take()) else { return };
        for port in [ports.rtp, ports.rtcp] {
            self.by_port.remove(&port);
            self.outputs.push_back(Output::ClosePort { port });
        }
        if let (Some(pool), Some(pair)) = (&mut self.pool, ports.pair) {
            pool.release_pair(pair);
        }
    }

    // ---- media and descriptions

    fn make_media(&mut self, id: CallId, rtp: SocketAddr, rtcp: SocketAddr, now: Instant) {
        let seed = Seed(self.random.bytes());
        let told = self.told(id, rtp.ip());
        let Some(call) = self.calls.get_mut(&id) else { return };
        let advertised = SocketAddr::new(told.map_or(rtp.ip(), |told| told.address), rtp.port());
        if let Some(told) = told {
            call.note(Fact::Told(told), now);
            if let Some(seen) = self.sightings.get(&told.peer) {
                call.note(seen.fact(), now);
            }
        }
        let of_account =
            call.account.and_then(|account| self.accounts.get(&account)?.account.capability.clone());
        let since_1970 = self.wall_clock.since_1970;
        let mut config = MediaConfig::new(
            of_account.unwrap_or_else(|| self.config.capability.clone()),
            rtp,
            rtcp,
            advertised,
            since_1970,
            self.wall_clock.at,
        );
        config.sample_rate_hz = self.config.sample_rate_hz;
        config.silence_after = self.config.silence_after;
        config.play_out = self.config.play_out;
        if self.config.keys == super::Keys::InBand {
            config.key_path = KeyPath::InBand;
        }
        config.latch = self.config.latch.clone();
        config.known_hosts.extend(call.peer.map(|peer| peer.ip()));
        config.ice.clone_from(&self.config.ice);
        config.identity.clone_from(&self.config.identity);
        call.waits_for_media = true;
        call.media = Some(MediaSession::new(config, seed, now));
    }

    /// Which address the call's peer is told.
    fn told(&self, id: CallId, route: IpAddr) -> Option<AddressTold> {
        let peer = self.calls.get(&id)?.peer?.ip();
        let seen_as = self.sightings.get(&peer).map(|seen| seen.address.ip());
        Some(AddressTold::new(peer, route, self.config.addresses.told(peer, route, seen_as)))
    }

    /// Who we are to the call's peer.
    pub(super) fn local_identity(&self, id: CallId) -> LocalIdentity {
        let call = self.calls.get(&id);
        let user = call
            .and_then(|call| call.account)
            .and_then(|account| self.accounts.get(&account))
            .map(|state| state.account.user.clone())
            .unwrap_or_default();
        let route = call.and_then(|call| call.route);
        let told = route.and_then(|route| self.told(id, route)).filter(|told| told.address != told.route);
        let advertised = told.map(|told| {
            let seen = self
                .sightings
                .get(&told.peer)
                .filter(|seen| seen.address.ip() == told.address)
                .map(|seen| seen.address.port());
            let port =
                seen.or_else(|| self.config.listeners.first().map(|own| own.local.port())).unwrap_or(5060);
            SentBy::from_address(SocketAddr::new(told.address, port))
        });
        LocalIdentity { user, advertised, ..LocalIdentity::default() }
    }

    pub(super) fn options(&self) -> CallOptions {
        let timer =
            SessionTimerPolicy { interval: self.config.session_interval, ..SessionTimerPolicy::default() };
        CallOptions {
            ring_timeout: Some(self.config.ring_timeout),
            session_timer: Some(timer),
            ..CallOptions::default()
        }
    }

    fn place(&mut self, id: CallId, now: Instant) {
        let local = self.local_identity(id);
        let options = self.options();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(state) = call.account.and_then(|account| self.accounts.get(&account)) else { return };
        let (Some(callee), Some(media)) = (call.callee.clone(), &mut call.media) else { return };
        let Ok(offer) = media.offer() else { return };
        let mut place = PlaceCall::new(state.party(), Party::new(callee.clone()), state.target(&callee));
        place.routes = state.flows.service_route().to_vec();
        place.options = options;
        place.options.reports_to = call.reports_to;
        for (name, value) in [("Replaces", &call.replaces), ("Referred-By", &call.referred_by)] {
            if let Some(value) = value {
                // What came in a message can be written into one.
                let _ = place.headers.push(name, value);
            }
        }
        place.local = local;
        place.body = Some(Body::sdp(offer));
        place.credentials = state.credentials();
        // Chosen here, so that each message of the call is known as its own.
        let call_id: String = self.random.bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.by_call_id.insert(call_id.clone(), id);
        place.call_id = Some(call_id);
        match self.endpoint.place_call(place, now) {
            Ok(handle) => {
                call.handle = Some(handle);
                call.stage = Stage::Calling;
                self.by_handle.insert(handle, id);
            }
            Err(misuse) => self.end(id, Ending::Unreachable(misuse.to_string()), now),
        }
    }

    fn answer_now(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(handle), Some(media)) = (call.handle, &mut call.media) else { return };
        let description = match &call.offer {
            Some(offer) => media.answer(offer, now),
            // The caller left the offer to us.
            None => media.offer().map_err(Into::into),
        };
        match description {
            Ok(body) => {
                if call.offer.is_some() {
                    self.note_agreement(id, now);
                }
                let reply = Reply::new(StatusCode::OK).with_body(Body::sdp(body));
                if self.endpoint.answer(handle, &reply, now).is_ok()
                    && let Some(call) = self.calls.get_mut(&id)
                {
                    call.stage = Stage::Answering;
                    call.start_sound(now);
                }
            }
            Err(error) => {
                if let denwa_sdp::NegotiationError::Mismatch(mismatch) = &error {
                    call.note(Fact::of_mismatch(mismatch, Who::Peer), now);
                }
                let reply = refusal_of(&error);
                let _ = self.endpoint.refuse(handle, &reply, now);
            }
        }
        self.drain_media(id, now);
    }

    /// What offer and answer came to, as facts.
    pub(super) fn note_agreement(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(media) = &call.media else { return };
        let agreed = media.agreed().and_then(|agreed| agreed.audio().cloned());
        if let Some(medium) = agreed.filter(|medium| medium.kind == Kind::Audio) {
            call.note(Fact::Agreed(Agreement::of_medium(&medium)), now);
            if let Some(fact) = Fact::of_hold(medium.hold, std::mem::replace(&mut call.hold, medium.hold)) {
                call.note(fact, now);
            }
        }
        self.check_media_route(id);
    }
}

/// The system's answer as a fact.
fn routed(route: evidence::RouteUse, to: SocketAddr, way: Option<&RouteInfo>) -> Fact {
    let local = way.map(|way| way.local);
    let interface = way.map(|way| way.interface.to_string());
    Fact::Routed { route, destination: to.ip(), local, interface }
}

/// The reply that refuses an offer, with the sentence in a Warning.
pub(super) fn refusal_of(error: &denwa_sdp::NegotiationError) -> Reply {
    let status = StatusCode::new(error.status()).unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
    let reply = Reply::new(status);
    let headers =
        error.warning("denwa").and_then(|warning| UserAgent::no_headers().with("Warning", warning).ok());
    match headers {
        Some(headers) => reply.with_headers(headers),
        None => reply,
    }
}
