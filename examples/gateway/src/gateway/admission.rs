//! Which side a request is of, which route it takes, and what is refused and why.

use super::passage::{Caller, Destination, End, Leg, Link, Passage, PassageId};
use super::{Gateway, is_browser, is_worth_a_password};
use crate::config::{Kind, Place, Target as ConfigTarget};
use denwa::evidence::{Evidence, Fact, MessageHead};
use denwa::guard::Offence;
use denwa_sip_core::endpoint::{Algorithm, ChallengePolicy, Headers, Reply, RequestHandle};
use denwa_sip_core::io::Flow;
use denwa_sip_core::message::{Request, UriBuf};
use denwa_sip_core::transport::Target;
use denwa_sip_core::{Method, Protocol, StatusCode};
use std::net::SocketAddr;
use std::time::Instant;

/// Why somebody is not let in: the status, and a sentence for him and for the log.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// With the sentence in a Warning.
    pub(super) fn reply(&self) -> Reply {
        let mut headers = warning(&self.sentence);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let _ = headers.push("Retry-After", 5);
        }
        Reply::new(self.status).with_headers(headers)
    }
}

/// A sentence as a header.
pub(super) fn warning(sentence: &str) -> Headers {
    let text: String = sentence.replace(['"', '\\'], "'");
    Headers::new().with("Warning", format!("399 gateway \"{text}\"")).unwrap_or_default()
}

/// Where a call may go.
pub(super) struct Passport {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) number: String,
    pub(super) destination: Destination,
}

impl Gateway {
    pub(super) fn on_incoming(&mut self, request: RequestHandle, message: Request, flow: Flow, now: Instant) {
        let method = message.method().clone();
        if !is_worth_a_password(&method) {
            let status =
                if method == Method::Options { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED };
            // A request that ended meanwhile needs no answer.
            let _ = self.endpoint.respond(request, &Reply::new(status), now);
            return;
        }
        match self.side_at(&flow).filter(|_| method == Method::Invite) {
            Some(side) => self.on_invite(request, message, flow, (side, None), now),
            None if self.asks_passwords(&flow) => {
                let mut policy = ChallengePolicy::new(self.config.realm.clone());
                // JsSIP, SIP.js and many a telephone know no other, and give up at a list that begins with one.
                policy.algorithms = vec![Algorithm::Md5];
                self.proving.insert(request, (message, flow));
                if self.endpoint.authenticate(request, &policy, now).is_err() {
                    self.proving.remove(&request);
                }
            }
            None => {
                self.offend(flow.remote, Offence::NotPermitted, None, now);
                let refused = Refused::new(StatusCode::FORBIDDEN, "you are of no side of this gateway");
                self.line(format!("{method} from {} refused: it is of no side", flow.remote));
                let _ = self.endpoint.respond(request, &Reply::new(refused.status), now);
            }
        }
    }

    /// Somebody has proven who he is.
    pub(super) fn on_proven(&mut self, request: RequestHandle, user: &str, now: Instant) {
        let Some((message, flow)) = self.proving.remove(&request) else { return };
        let side = self.config.sides.iter().position(|side| side.user_named(user).is_some());
        let Some(side) = side.filter(|side| self.fits(*side, &flow)) else {
            let _ = self.endpoint.respond(request, &Reply::new(StatusCode::FORBIDDEN), now);
            return;
        };
        if *message.method() == Method::Register {
            return self.on_register(request, &message, flow, user, now);
        }
        self.on_invite(request, message, flow, (side, Some(user)), now);
    }

    pub(super) fn on_wrong_password(&mut self, flow: Flow, user: &str, now: Instant) {
        self.offend(flow.remote, Offence::WrongPassword, Some(user), now);
        self.line(format!("wrong password for `{user}` from {}", flow.remote));
    }

    /// The side whose calls come by this way without a password.
    fn side_at(&self, flow: &Flow) -> Option<usize> {
        self.find_side(flow.remote, |index| self.fits(index, flow))
    }

    /// The side that somebody at this address is of, who comes by no browser's transport.
    pub(super) fn peer_at(&self, remote: SocketAddr) -> Option<usize> {
        self.find_side(remote, |index| self.side(index).is_some_and(|side| side.kind == Kind::Sip))
    }

    fn find_side(&self, remote: SocketAddr, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let is_peer = |index: usize| match self.side(index).map(|side| &side.place) {
            Some(Place::Peer(ConfigTarget::Address(_, address))) => *address == remote,
            Some(Place::Peer(ConfigTarget::Name { .. })) => self.names.is_at(index, remote.ip()),
            _ => false,
        };
        let is_from = |index: usize| {
            self.side(index).is_some_and(|side| side.from.iter().any(|network| network.contains(remote.ip())))
        };
        let fitting = || (0..self.config.sides.len()).filter(|index| fits(*index));
        fitting().find(|index| is_peer(*index)).or_else(|| fitting().find(|index| is_from(*index)))
    }

    /// Browsers are on sides of browsers, and nobody else is.
    fn fits(&self, side: usize, flow: &Flow) -> bool {
        self.side(side).is_some_and(|side| match side.kind {
            Kind::WebRtc => is_browser(flow),
            Kind::Sip => !is_browser(flow),
            Kind::Pcm => false,
        })
    }

    fn asks_passwords(&self, flow: &Flow) -> bool {
        (0..self.config.sides.len()).any(|index| {
            self.fits(index, flow) && self.side(index).is_some_and(|side| !side.users.is_empty())
        })
    }

    fn on_invite(
        &mut self,
        request: RequestHandle,
        message: Request,
        flow: Flow,
        (side, user): (usize, Option<&str>),
        now: Instant,
    ) {
        let in_to = self.side(side).is_some_and(|side| side.number_in_to);
        let number = match message.to().ok().filter(|_| in_to) {
            Some(to) => number_of(&to.uri.to_owned()),
            None => message.uri().ok().and_then(|uri| number_of(&uri.to_owned())),
        };
        let judged = match number {
            Some(number) => self.judge(side, &number, now),
            None => Err(Refused::new(StatusCode::ADDRESS_INCOMPLETE, "the address names no number")),
        };
        match judged {
            Ok(passport) => self.begin(request, message, flow, user, passport, now),
            Err(refused) => {
                self.line(format!("INVITE from {} refused: {}", flow.remote, refused.sentence));
                let _ = self.endpoint.respond(request, &refused.reply(), now);
            }
        }
    }

    /// Where a call of this side to this number goes; or why it goes nowhere.
    pub(super) fn judge(&mut self, from: usize, number: &str, now: Instant) -> Result<Passport, Refused> {
        if self.stopping {
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is being shut down"));
        }
        let Some(side) = self.config.sides.get(from) else {
            return Err(Refused::new(StatusCode::FORBIDDEN, "there is no such side"));
        };
        let name = side.name.clone();
        let mut routes = self.config.routes.iter().filter(|route| route.from == name);
        let Some((route, number)) = routes.find_map(|route| Some((route, route.rewrite(number)?))) else {
            let sentence = format!("no route leads from the side {name} to {number}");
            return Err(Refused::new(StatusCode::NOT_FOUND, sentence));
        };
        let to = self.config.sides.iter().position(|side| side.name == route.to);
        let Some((to, target)) = to.and_then(|to| Some((to, self.config.sides.get(to)?))) else {
            return Err(Refused::new(StatusCode::NOT_FOUND, "the route leads nowhere"));
        };
        // As the other side writes its numbers.
        let number = target.called.apply(&number);
        let destination = match &target.place {
            Place::Peer(ConfigTarget::Address(protocol, address)) => {
                Destination::Address(*protocol, *address)
            }
            Place::Peer(ConfigTarget::Name { protocol, host, port }) => {
                Destination::Name(by_name(*protocol, host, *port))
            }
            Place::Robot(_) => Destination::Robot,
            Place::Users => {
                if target.user_named(&number).is_none() {
                    let sentence = format!("the side {} has no user {number}", target.name);
                    return Err(Refused::new(StatusCode::NOT_FOUND, sentence));
                }
                let bindings = self.endpoint.bindings(&number);
                let Some(binding) = bindings.first() else {
                    let sentence = format!("{number} is not registered");
                    return Err(Refused::new(StatusCode::TEMPORARILY_UNAVAILABLE, sentence));
                };
                Destination::Registered(Box::new(self.endpoint.route_to(binding)))
            }
            Place::Nowhere => return Err(Refused::new(StatusCode::NOT_FOUND, "the route leads nowhere")),
        };
        for index in [from, to] {
            self.has_room(index)?;
        }
        self.keeps_pace(from, now)?;
        Ok(Passport { from, to, number, destination })
    }

    /// Whether a side may have one more call.
    fn has_room(&self, index: usize) -> Result<(), Refused> {
        let (calls, limit) = (self.passages.len(), self.config.limits.calls);
        if calls >= limit {
            let sentence = format!("{calls} calls pass through, as many as may");
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        let Some((side, limit)) = self.side(index).and_then(|side| Some((side, side.calls?))) else {
            return Ok(());
        };
        let legs = self.passages.values().flat_map(|passage| [passage.caller.side, passage.callee.side]);
        let calls = legs.filter(|side| *side == index).count();
        if calls < limit {
            return Ok(());
        }
        let sentence = format!("the side {} has {calls} calls, as many as it may", side.name);
        Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, sentence))
    }

    fn keeps_pace(&mut self, index: usize, now: Instant) -> Result<(), Refused> {
        let too_fast = |whose: String| {
            Err(Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{whose} more calls a second than may"),
            ))
        };
        if let Some(Some(pace)) = self.paces.get_mut(index)
            && !pace.admits(now)
        {
            let name = self.side(index).map(|side| side.name.clone()).unwrap_or_default();
            return too_fast(format!("the side {name} makes"));
        }
        if self.pace.admits(now) { Ok(()) } else { too_fast("there come".to_owned()) }
    }

    fn begin(
        &mut self,
        request: RequestHandle,
        message: Request,
        flow: Flow,
        user: Option<&str>,
        passport: Passport,
        now: Instant,
    ) {
        let from = message.from().ok();
        let said = from.as_ref().and_then(|from| number_of(&from.uri.to_owned()));
        let name = from.and_then(|from| from.display_name.map(|name| name.text().into_owned()));
        let call_id = message.call_id().unwrap_or("").to_owned();
        let head = MessageHead::of_request(&message, Some(&flow));
        let who = Caller {
            // Who has proven who he is, is called that, whatever he says.
            user: user.map(str::to_owned).or(said).unwrap_or_else(|| "anonymous".to_owned()),
            name,
            is_proven: user.is_some(),
            invite: Some(message),
        };
        let mut caller = Leg { route: Some(flow.local.ip()), ..Leg::new(passport.from, Some(flow.remote)) };
        who.invite.iter().for_each(|invite| caller.secrets.learn(invite));
        [flow.local, flow.remote].iter().for_each(|address| caller.secrets.learn_address(address.ip()));
        let (number, from) = (passport.number.clone(), passport.from);
        let local = self.identity_for(from, flow.remote.ip(), Some(flow.local.ip()), number);
        let options = self.options(passport.from);
        match self.endpoint.accept_call(request, &local, options, now) {
            Ok(call) => {
                let id = self.enter(passport, who, caller, call_id, now);
                self.by_call.insert(call, (id, End::Caller));
                self.note(id, End::Caller, Fact::Received(head), now);
                if let Some(passage) = self.passages.get_mut(&id) {
                    passage.caller.link = Link::Call(call);
                }
                if self.side(from).is_some_and(|side| side.rings_at_once) {
                    let _ = self.endpoint.ring(call, &Reply::new(StatusCode::RINGING), now);
                }
            }
            Err(misuse) => self.line(format!("call from {} not taken: {misuse}", flow.remote)),
        }
    }

    /// A call is in the books from now on.
    pub(super) fn enter(
        &mut self,
        passport: Passport,
        who: Caller,
        mut caller: Leg,
        call_id: String,
        now: Instant,
    ) -> PassageId {
        let id = PassageId(self.number());
        let Passport { from, to, number, destination } = passport;
        self.line(format!("{id}: {} calls {number}", who.user));
        let peer: Option<SocketAddr> = match &destination {
            Destination::Address(_, address) => Some(*address),
            Destination::Registered(route) => match &route.target {
                Target::Flow(flow) => Some(flow.remote),
                _ => None,
            },
            _ => None,
        };
        let mut callee = Leg::new(to, peer);
        for (leg, side) in [(&mut caller, from), (&mut callee, to)] {
            self.config.sides.get(side).into_iter().for_each(|side| leg.secrets.learn_side(side));
        }
        let passage = Passage {
            number,
            who,
            destination,
            caller,
            callee,
            placed: false,
            tried_again: false,
            answered: false,
            joined: false,
            evidence: Evidence::new(call_id, Evidence::DEFAULT_LIMIT, now),
        };
        self.passages.insert(id, passage);
        id
    }

    /// Refuses the caller and ends the callee.
    pub(super) fn refuse(&mut self, id: PassageId, refused: &Refused, now: Instant) {
        self.line(format!("{id}: {}", refused.sentence));
        self.refuse_with(id, &refused.reply(), &refused.sentence, now);
    }
}

/// Where a name leads, by RFC 3263.
pub(super) fn by_name(protocol: Option<Protocol>, host: &str, port: Option<u16>) -> Target {
    let mut uri = UriBuf::sip("", host);
    if let Some(port) = port {
        uri = uri.port(port);
    }
    if let Some(protocol) = protocol {
        uri = uri.param("transport", protocol.via_token().to_ascii_lowercase());
    }
    Target::Uri(uri.build())
}

/// The number in an address: the user part of a SIP URI, the digits of a `tel:` one.
pub(super) fn number_of(uri: &UriBuf) -> Option<String> {
    let uri = uri.as_uri();
    if uri.scheme_str().eq_ignore_ascii_case("tel") {
        let digits = uri.opaque().split(';').next()?;
        let kept: String = digits.chars().filter(|it| !matches!(it, '-' | '.' | '(' | ')')).collect();
        return (!kept.is_empty()).then_some(kept);
    }
    // `sip:200;phone-context=…@host` is a telephone number with its parameters (RFC 3261 §19.1.6).
    let user = uri.user_unescaped()?;
    let number = user.split(';').next()?.to_owned();
    (!number.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_addresses_of_either_kind() {
        let number = |text: &str| number_of(&UriBuf::parse(text).unwrap());
        assert_eq!(number("sip:200@192.0.2.1"), Some("200".to_owned()));
        assert_eq!(number("sip:%2B81312345678@carrier;user=phone"), Some("+81312345678".to_owned()));
        assert_eq!(number("sip:0312345678;npdi@carrier;user=phone"), Some("0312345678".to_owned()));
        assert_eq!(number("tel:+81-3-1234-5678"), Some("+81312345678".to_owned()));
        assert_eq!(number("tel:110;phone-context=+81"), Some("110".to_owned()));
        assert_eq!(number("sip:192.0.2.1"), None);
    }
}
