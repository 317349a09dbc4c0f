//! The call that goes out: which way, by which name, with which description.

use super::admission::Refused;
use super::passage::{Destination, End, Link, PassageId};
use super::{Gateway, Question, Told, leaf};
use crate::config::{Numbers, Place, Side, Target as ConfigTarget};
use denwa::driver::Ask;
use denwa::evidence::{Fact, MessageHead};
use denwa_sdp::Negotiator;
use denwa_sip_core::StatusCode;
use denwa_sip_core::auth::client::Credentials;
use denwa_sip_core::auth::secret::Secret;
use denwa_sip_core::b2bua::{self, HeaderRules};
use denwa_sip_core::endpoint::{Body, Party, PlaceCall};
use denwa_sip_core::message::{Host, UriBuf};
use denwa_sip_core::transport::Target;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// An address that every default route leads to (RFC 5737): for peers whose name tells no address without asking for services.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)), 5060);

impl Gateway {
    /// The caller is in: both legs are made ready.
    pub(super) fn prepare(&mut self, id: PassageId, now: Instant) {
        let is_robot = |passage: &super::Passage| passage.caller.media.is_none() && passage.caller.is_ready;
        if !self.passages.get(&id).is_some_and(is_robot)
            && let Err(sentence) = self.prepare_leg(id, End::Caller, now)
        {
            return self.refuse(id, &Refused::new(StatusCode::SERVICE_UNAVAILABLE, sentence), now);
        }
        let Some(passage) = self.passages.get(&id) else { return };
        match passage.destination.clone() {
            Destination::Address(_, address) => self.ask(Question::Route(id), Ask::Route(address)),
            Destination::Name(_) => match self.host_of(passage.callee.side) {
                Some(host) => self.ask(Question::Host(id), Ask::Addresses(host)),
                None => self.on_route(id, None, now),
            },
            Destination::Registered(route) => match (&route.target, passage.callee.peer) {
                (Target::Flow(flow), _) => self.on_route(id, Some(flow.local.ip()), now),
                (_, Some(peer)) => self.ask(Question::Route(id), Ask::Route(peer)),
                (Target::Uri(uri), None) => {
                    let address = address_of(uri).unwrap_or(ANYWHERE);
                    self.ask(Question::Route(id), Ask::Route(address));
                }
                _ => self.on_route(id, None, now),
            },
            Destination::Robot => self.on_ready(id, End::Callee, now),
        }
    }

    fn host_of(&self, side: usize) -> Option<String> {
        match &self.side(side)?.place {
            Place::Peer(ConfigTarget::Name { host, .. }) => Some(host.clone()),
            _ => None,
        }
    }

    pub(super) fn on_host(&mut self, id: PassageId, addresses: &[IpAddr]) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let address = addresses.first().map(|address| SocketAddr::new(*address, 5060));
        passage.callee.peer = address;
        self.ask(Question::Route(id), Ask::Route(address.unwrap_or(ANYWHERE)));
    }

    pub(super) fn on_route(&mut self, id: PassageId, local: Option<IpAddr>, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.callee.route = local;
        if local.is_none() {
            let to = passage.callee.peer.map_or_else(|| passage.number.clone(), |peer| peer.to_string());
            let refused = Refused::new(StatusCode::BAD_GATEWAY, format!("there is no route to {to}"));
            return self.refuse(id, &refused, now);
        }
        if let Err(sentence) = self.prepare_leg(id, End::Callee, now) {
            self.refuse(id, &Refused::new(StatusCode::SERVICE_UNAVAILABLE, sentence), now);
        }
    }

    /// Both legs are ready: the callee is called.
    pub(super) fn place(&mut self, id: PassageId, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.placed = true;
        if matches!(passage.destination, Destination::Robot) {
            return self.call_robot(id);
        }
        let negotiator = self.negotiator(id, End::Callee);
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.callee.negotiator = negotiator;
        let mut place = match self.invitation(id) {
            Ok(place) => place,
            Err(status) => {
                let sentence = format!("the call cannot go on: {} {}", status.code(), status.reason());
                return self.refuse(id, &Refused::new(status, sentence), now);
            }
        };
        let offers = self.side_of(id, End::Callee).is_none_or(|side| side.offers);
        let Some(passage) = self.passages.get_mut(&id) else { return };
        if offers {
            let Some(Ok(offer)) = passage.callee.negotiator.as_mut().map(Negotiator::offer) else { return };
            place.body = Some(Body::sdp(offer));
        }
        let head = MessageHead {
            method: "INVITE".to_owned(),
            remote: passage.callee.peer,
            ..MessageHead::default()
        };
        passage.evidence.add(Some(leaf(End::Callee)), Fact::Sent(head), now);
        match self.endpoint.place_call(place, now) {
            Ok(call) => {
                passage.callee.link = Link::Call(call);
                self.by_call.insert(call, (id, End::Callee));
            }
            Err(misuse) => {
                let refused = Refused::new(StatusCode::BAD_GATEWAY, misuse.to_string());
                self.refuse(id, &refused, now);
            }
        }
    }

    /// The INVITE, but for its description.
    fn invitation(&self, id: PassageId) -> Result<PlaceCall, StatusCode> {
        let gone = StatusCode::SERVER_INTERNAL_ERROR;
        let passage = self.passages.get(&id).ok_or(gone)?;
        let side = self.side(passage.callee.side).ok_or(gone)?;
        let route = passage.callee.route.ok_or(gone)?;
        let peer = passage.callee.peer;
        let host = side.domain.clone().unwrap_or_else(|| match (&side.place, peer) {
            (Place::Peer(ConfigTarget::Name { host, .. }), _) => host.clone(),
            (_, Some(peer)) => peer.to_string(),
            (_, None) => Host::from(route).to_string(),
        });
        let host = match peer.filter(|_| side.request_by_address) {
            Some(peer) => peer.to_string(),
            None => host,
        };
        let to = written(side, &passage.number, &host);
        let (request_uri, routes, target) = match &passage.destination {
            Destination::Address(protocol, address) => {
                (to.clone(), Vec::new(), Target::address(*protocol, *address))
            }
            Destination::Name(target) => (to.clone(), Vec::new(), target.clone()),
            Destination::Registered(route) => {
                (route.request_uri.clone(), route.routes.clone(), route.target.clone())
            }
            Destination::Robot => return Err(gone),
        };
        let mut place = match &passage.who.invite {
            Some(invite) => b2bua::place_call(invite, to, target, &rules(side))?,
            None => PlaceCall::new(Party::new(to.clone()), Party::new(to), target),
        };
        (place.request_uri, place.routes) = (request_uri, routes);
        // A line knows us by the name we registered with; an open side is told who calls.
        let user = match &side.registers_users_of {
            Some(_) => passage.who.user.clone(),
            None => side.user.clone().unwrap_or_else(|| passage.who.user.clone()),
        };
        let user = side.callers.apply(&user);
        let own = self.own_host(id, End::Callee);
        place.headers = self.hidden(id, End::Caller, &place.headers);
        let uri = written(side, &user, &own);
        place.from = match passage.who.name.as_ref().filter(|name| !name.is_empty()) {
            Some(name) => Party::named(name.clone(), uri),
            None => Party::new(uri),
        };
        place.credentials = self.credentials(side, &user);
        place.local =
            self.identity_for(passage.callee.side, peer.map_or(route, |peer| peer.ip()), Some(route), user);
        let hops = place.options.max_forwards;
        place.options = self.options(passage.callee.side);
        place.options.max_forwards = hops;
        self.identify(id, &mut place, &own).map_err(|_| gone)?;
        Ok(place)
    }

    /// The host that a peer knows us by.
    pub(super) fn told_host(&self, peer: IpAddr, route: IpAddr) -> String {
        Host::from(self.config.addresses.told(peer, route, None).address).to_string()
    }

    /// What may be answered to a side's challenges.
    pub(super) fn credentials(&self, side: &Side, user: &str) -> Vec<Credentials> {
        let own = side.registers_users_of.as_ref().and_then(|other| {
            let user = self.config.side(other)?.user_named(user)?;
            Some((user.name.as_str(), user.password.as_str()))
        });
        own.map(|(user, password)| with_password(user, password))
            .or_else(|| trunk_credentials(side))
            .into_iter()
            .collect()
    }

    fn call_robot(&mut self, id: PassageId) {
        let guest = super::GuestId(self.number());
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.callee.link = Link::Guest(guest);
        let (from, to) = (passage.who.user.clone(), passage.number.clone());
        self.by_guest.insert(guest, (id, End::Callee));
        let robot = self.side_of(id, End::Callee).and_then(Side::robot).cloned();
        if let Some(robot) = robot {
            let sample_rate_hz = robot.sample_rate_hz;
            self.tell_guest(guest, Told::Call { url: robot.url, from, to, sample_rate_hz });
        }
    }
}

/// What a side that knows us by a password is told when it asks.
pub(super) fn trunk_credentials(side: &Side) -> Option<Credentials> {
    side.user.as_deref().zip(side.password.as_deref()).map(|(user, password)| with_password(user, password))
}

fn with_password(user: &str, password: &str) -> Credentials {
    Credentials { realm: None, username: user.to_owned(), secret: Secret::password(password) }
}

/// What of the caller's header fields passes to a side. Identities are written anew, see [`Gateway::identify`].
pub(super) fn rules(side: &Side) -> HeaderRules {
    let mut stop = side.stop.clone();
    stop.extend(["P-Asserted-Identity", "Privacy", "Remote-Party-ID"].map(str::to_owned));
    HeaderRules { trusted: side.trusted, pass: side.pass.clone(), stop }
}

/// A number as a side writes it.
pub(super) fn written(side: &Side, number: &str, host: &str) -> UriBuf {
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'*' | b'#'));
    let tel = || {
        // Where a number that is not valid everywhere is valid is said by a name (RFC 3966 §5.1.5), and never by an address.
        let is_name = host.starts_with(|it: char| it.is_ascii_alphabetic());
        let place = if is_name { host } else { "gateway.invalid" };
        let context = if number.starts_with('+') { String::new() } else { format!(";phone-context={place}") };
        UriBuf::parse(&format!("tel:{number}{context}")).ok()
    };
    match side.numbers {
        Numbers::Tel if is_number => tel().unwrap_or_else(|| UriBuf::sip(number, host).build()),
        Numbers::SipPhone if is_number => UriBuf::sip(number, host).param("user", "phone").build(),
        _ => UriBuf::sip(number, host).build(),
    }
}

/// The address in an address of record or Contact, when it is one and no name.
fn address_of(uri: &UriBuf) -> Option<SocketAddr> {
    let uri = uri.as_uri();
    let port = uri.port().unwrap_or(5060);
    match uri.host()? {
        Host::V4(address) => Some(SocketAddr::new(address.into(), port)),
        Host::V6(address) => Some(SocketAddr::new(address.into(), port)),
        Host::Name(_) => None,
    }
}
