//! Whom to call for a number: the registered telephones of an extension, or a neighbour; and the INVITE that goes there.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use denwa_sip_core::Protocol;
use denwa_sip_core::endpoint::{
    Binding, Body, CallOptions, Credentials, Flow, Party, PlaceCall, Secret, Target,
};
use denwa_sip_core::message::{Request, UriBuf};

use super::desk::Desk;
use super::history::{Diverted, History};
use super::invitation::{Caller, CallerKind};
use super::leg::Leg;
use crate::config::{
    EarlyMedia, Host, IdentityHeader, Nat, PeerAddress, Terms, TrunkAccount, TrunkStyle, Voice,
};
use crate::links::Link;
use crate::route::Destination;
use crate::services::Serving;
use crate::why::End;

/// Where a telephone or a neighbour is called.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// For people, as `1002`.
    pub(super) who: String,
    pub(super) peer: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) flow: Option<Flow>,
    pub(super) request_uri: UriBuf,
    pub(super) to: UriBuf,
    pub(super) target: Target,
    pub(super) routes: Vec<String>,
    /// What may be answered when it asks for a password.
    pub(super) credentials: Vec<Credentials>,
    pub(super) voice: Voice,
    /// How much it prefers calls over the other telephones of its extension (`q`), in thousandths.
    pub(super) quality: u16,
    /// Whether it is another exchange.
    pub(super) is_trunk: bool,
    /// How it likes its calls, when it is another exchange.
    pub(super) style: Option<Box<TrunkStyle>>,
    /// What it may use of SIP's extensions.
    pub(super) terms: Terms,
    /// Whether callers are signed for it.
    pub(super) is_signed: bool,
    /// How long it may say nothing at all, when there is another way to it.
    pub(super) patience: Option<Duration>,
    /// How long to wait before it is called.
    pub(super) rest: Option<Duration>,
    /// Who had the call before, and why it went on.
    pub(super) diverted: Option<Diverted>,
}

impl Planned {
    /// A registered telephone: on the flow its REGISTER came on, for that is where it is, whatever its Contact says. A
    /// connection that an earlier run of the program had is gone; then the Contact is all there is.
    pub(super) fn binding(number: &str, binding: &Binding, desk: &Desk, voice: &Voice) -> Self {
        let flow = binding.flow;
        let (target, flow) = match (flow.protocol.is_stream(), flow.stream) {
            _ if voice.nat == Nat::Off => (Target::Uri(binding.contact.clone()), None),
            (true, None) => (Target::Uri(binding.contact.clone()), None),
            (false, _) if !desk.listens_at(flow.protocol, flow.local) => {
                (Target::address(flow.protocol, flow.remote), None)
            }
            _ => (Target::Flow(flow), Some(flow)),
        };
        Self {
            who: number.to_owned(),
            peer: binding.flow.remote,
            protocol: binding.flow.protocol,
            flow,
            request_uri: binding.contact.as_uri().for_request(),
            to: binding.contact.as_uri().for_request(),
            target,
            routes: binding.path.iter().map(ToString::to_string).collect(),
            credentials: desk
                .directory
                .get(number)
                .map(|account| account.answers.clone())
                .unwrap_or_default(),
            voice: voice.over(binding.flow.protocol),
            quality: binding.quality,
            is_trunk: false,
            style: None,
            terms: Terms::default(),
            is_signed: false,
            patience: None,
            rest: None,
            diverted: None,
        }
    }
}

/// The registered telephones of an extension; `Err` when there is none that could ring.
pub(super) fn phones(
    desk: &Desk,
    caller: &Caller,
    from: Option<&Flow>,
    number: &str,
) -> Result<Vec<Planned>, End> {
    let voice = desk.directory.get(number).map(|account| account.voice.clone()).unwrap_or_default();
    let is_himself = caller.kind == CallerKind::Extension && caller.number == *number;
    let bindings = desk.endpoint.bindings(number);
    // A telephone that dials its own extension rings the others of it, not itself.
    let others = bindings.iter().filter(|binding| !(is_himself && Some(&binding.flow) == from));
    let planned: Vec<Planned> =
        others.map(|binding| Planned::binding(number, binding, desk, &voice)).collect();
    let planned = if planned.is_empty() { at_its_address(desk, number, &voice, from) } else { planned };
    match (planned.is_empty(), is_himself) {
        (false, _) => Ok(planned),
        (true, true) => Err(End::Busy { who: number.to_owned() }),
        (true, false) => Err(End::NotRegistered),
    }
}

/// A telephone that does not register is called where it is known to be.
fn at_its_address(desk: &Desk, number: &str, voice: &Voice, from: Option<&Flow>) -> Vec<Planned> {
    let address = desk.directory.get(number).and_then(|account| account.known_by.address.as_ref());
    let Some(PeerAddress { protocol, host: Host::Address(ip), port, .. }) = address else {
        return Vec::new();
    };
    let (protocol, peer) = (*protocol, SocketAddr::new(*ip, *port));
    if from.is_some_and(|from| from.remote == peer) {
        return Vec::new();
    }
    let mut uri = UriBuf::at_address(number, peer);
    if protocol.is_stream() {
        uri = uri.with_param("transport", Some(protocol.uri_token()));
    }
    vec![Planned {
        who: number.to_owned(),
        peer,
        protocol,
        flow: None,
        request_uri: uri.clone(),
        to: uri,
        target: Target::address(protocol, peer),
        routes: Vec::new(),
        credentials: Vec::new(),
        voice: voice.clone(),
        quality: 1_000,
        is_trunk: false,
        style: None,
        terms: Terms::default(),
        is_signed: false,
        patience: None,
        rest: None,
        diverted: None,
    }]
}

/// A neighbour, asked for a number by this caller, or by ourselves when a call is forwarded to it: by the way whose turn it is.
pub(super) fn trunk(
    desk: &Desk,
    caller: Option<&Caller>,
    name: &str,
    number: &str,
    diverted: Option<Diverted>,
    turn: usize,
) -> Result<Vec<Planned>, End> {
    if let Some(Caller { kind: CallerKind::Trunk(from), .. }) = caller
        && desk.links.get(from).is_some_and(|link| !link.trunk.transit)
    {
        return Err(End::TransitNotAllowed { from: from.clone(), to: name.to_owned() });
    }
    let no_address = || End::TrunkHasNoAddress { trunk: name.to_owned() };
    let link = desk.links.get(name).ok_or_else(no_address)?;
    let mut ways = ways(desk, link, number);
    let is_last = turn + 1 >= ways.len();
    let mut plan = (turn < ways.len()).then(|| ways.swap_remove(turn)).ok_or_else(no_address)?;
    plan.patience = (!is_last).then_some(link.trunk.terms.patience);
    plan.diverted = diverted;
    Ok(vec![plan])
}

/// Every way to a neighbour: where it has registered, then its servers.
pub(super) fn ways(desk: &Desk, link: &Link, number: &str) -> Vec<Planned> {
    let trunk = &link.trunk;
    let mut style = trunk.style.clone();
    if let Some(account) = trunk.account.as_ref().filter(|_| style.from_account) {
        style.from_user = Some(account.user.clone());
        let domain = account.domain.clone().or_else(|| style.request_domain.clone());
        style.from_domain = style.from_domain.take().or(domain);
    }
    let number = style.outgoing(number);
    let finish = |uri: UriBuf| if style.user_phone { uri.with_param("user", Some("phone")) } else { uri };
    let template = Planned {
        who: format!("the trunk {}", trunk.name),
        peer: SocketAddr::from(([0, 0, 0, 0], 0)),
        protocol: Protocol::Udp,
        flow: None,
        request_uri: UriBuf::sip("", "invalid.invalid").build(),
        to: UriBuf::sip("", "invalid.invalid").build(),
        target: Target::Hops(Vec::new()),
        routes: Vec::new(),
        credentials: trunk.account.as_ref().map(credentials).into_iter().collect(),
        voice: trunk.voice.clone(),
        quality: 1_000,
        is_trunk: true,
        style: Some(Box::new(style.clone())),
        terms: trunk.terms,
        is_signed: trunk.signatures.sign,
        patience: None,
        rest: None,
        diverted: None,
    };
    let user = trunk.inbound.as_ref().map(|inbound| inbound.user.as_str());
    let bindings = user.map(|user| desk.endpoint.bindings(user)).unwrap_or_default();
    let registered = bindings.into_iter().map(|binding| {
        let own = Planned::binding(&trunk.name, binding, desk, &trunk.voice);
        let contact = binding.contact.as_uri();
        let mut uri = UriBuf::sip(&number, contact.host_str());
        if let Some(port) = contact.port() {
            uri = uri.port(port);
        }
        let uri = finish(with_transport(uri.build(), own.protocol));
        let Planned { peer, protocol, flow, target, routes, .. } = own;
        Planned {
            peer,
            protocol,
            flow,
            target,
            routes,
            request_uri: uri.clone(),
            to: uri,
            ..template.clone()
        }
    });
    let served = link.hops().into_iter().map(|hop| {
        let host = style.request_domain.clone().unwrap_or_else(|| hop.host.clone());
        // The builder takes a port that stands behind the host as it is.
        let uri = finish(with_transport(UriBuf::sip(&number, host).build(), hop.protocol));
        Planned {
            peer: hop.peer,
            protocol: hop.protocol,
            target: hop.target(),
            routes: hop.route.into_iter().collect(),
            request_uri: uri.clone(),
            to: uri,
            ..template.clone()
        }
    });
    registered.chain(served).collect()
}

fn with_transport(uri: UriBuf, protocol: Protocol) -> UriBuf {
    if protocol.is_stream() { uri.with_param("transport", Some(protocol.uri_token())) } else { uri }
}

/// What a neighbour may ask for, whatever realm it names: the answer goes to its own address only.
pub(super) fn credentials(account: &TrunkAccount) -> Credentials {
    let secret = Secret::password(account.password.reveal());
    Credentials { realm: None, username: account.user.clone(), secret }
}

/// Which exchanges a call has come by, each with the name it drew for itself. A circle closes when one is met too often.
const EXCHANGES: &str = "X-Exchanges";

/// How often one call may come by here: calling oneself through a neighbour, to try the way, is daily life.
const MOST_PASSES: usize = 3;

/// What a call has behind it, and what goes with it to the next exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journey {
    max_forwards: u8,
    exchanges: String,
    history: History,
    /// Its INVITE said that it understands P-Early-Media (RFC 5009).
    early_media: bool,
}

impl Journey {
    /// The journey of a call that begins here.
    pub(super) fn own(own_name: &str) -> Self {
        let (history, early_media) = (History::default(), false);
        Self { max_forwards: 70, exchanges: own_name.to_owned(), history, early_media }
    }

    /// The journey of an incoming call; `Err` when it may not go on to another exchange.
    pub(super) fn of(message: &Request, own_name: &str) -> Result<Self, End> {
        let max_forwards = message.max_forwards().ok().flatten().unwrap_or(70);
        let exchanges = message.get_all(EXCHANGES).collect::<Vec<_>>().join(", ");
        let history = History::of(message);
        let passes = exchanges.split(',').filter(|name| name.trim() == own_name).count();
        // Exchanges of other kinds keep no such list, but may keep the history.
        let passes = passes.max(history.passes());
        let Some(max_forwards) = max_forwards.checked_sub(1).filter(|_| passes < MOST_PASSES) else {
            return Err(End::TooManyHops);
        };
        let exchanges =
            if exchanges.is_empty() { own_name.to_owned() } else { format!("{exchanges}, {own_name}") };
        let early_media = message.get("P-Early-Media").is_some_and(|value| value.contains("supported"));
        Ok(Self { max_forwards, exchanges, history, early_media })
    }

    /// Whether its caller wants to be told whether he may hear voice before the answer.
    pub(super) fn asks_for_early_media(&self) -> bool {
        self.early_media
    }
}

/// The call to one telephone.
pub(super) fn invite(
    desk: &Desk,
    caller: &Caller,
    journey: &Journey,
    plan: &Planned,
    leg: &Leg,
    offer: Bytes,
) -> PlaceCall {
    let style = plan.style.as_deref();
    // Whoever does not want to be known is not named in Contact either.
    let shown = if caller.withheld { "anonymous" } else { &caller.number };
    let contact = style.and_then(|style| style.contact_user.as_deref()).unwrap_or(shown);
    let identity = desk.identity(contact, &leg.place, plan.protocol, plan.flow);
    let host =
        identity.advertised.as_ref().map_or_else(|| desk.setup.realm.clone(), |told| told.host.to_string());
    let domain = style.and_then(|style| style.from_domain.clone()).unwrap_or(host);
    let own = UriBuf::sip(&caller.number, domain.clone()).build();
    let from_user = style.and_then(|style| style.from_user.as_deref()).unwrap_or(&caller.number);
    let from = match (caller.withheld, caller.name.is_empty()) {
        (true, _) => Party::named(
            "Anonymous".to_owned(),
            UriBuf::sip("anonymous", "anonymous.invalid".to_owned()).build(),
        ),
        (false, true) => Party::new(UriBuf::sip(from_user, domain).build()),
        (false, false) => Party::named(caller.name.clone(), UriBuf::sip(from_user, domain).build()),
    };
    let mut call = PlaceCall::new(from, Party::new(plan.to.clone()), plan.target.clone());
    call.request_uri = plan.request_uri.clone();
    call.routes = plan.routes.clone();
    call.local = identity;
    call.body = Some(Body::sdp(offer));
    call.credentials = plan.credentials.clone();
    if caller.intercom && !plan.is_trunk {
        // What makes telephones answer by themselves: RFC 5373, and what they knew before it.
        for (name, value) in [
            ("Answer-Mode", "Auto"),
            ("Alert-Info", "<http://localhost>;info=alert-autoanswer;delay=0"),
            ("Call-Info", "<sip:localhost>;answer-after=0"),
        ] {
            let _ = call.headers.push(name, value);
        }
    }
    if plan.is_trunk {
        // Names of exchanges are hexadecimal digits; those of others were read from a header.
        let _ = call.headers.push(EXCHANGES, &journey.exchanges);
        if caller.withheld {
            let _ = call.headers.push("Privacy", "id");
        }
        // Names that could break a header are refused when they are read.
        let party = format!("\"{}\" <{own}>", caller.name.replace(['"', '\\'], ""));
        let _ = match style.map(|style| style.identity).unwrap_or_default() {
            IdentityHeader::None => Ok(()),
            IdentityHeader::Asserted => call.headers.push("P-Asserted-Identity", party),
            IdentityHeader::Preferred => call.headers.push("P-Preferred-Identity", party),
            IdentityHeader::RemoteParty => {
                let privacy = if caller.withheld { "full" } else { "off" };
                call.headers
                    .push("Remote-Party-ID", format!("{party};party=calling;privacy={privacy};screen=yes"))
            }
        };
        let told_by = style.map(|style| style.diverted_by).unwrap_or_default();
        if told_by.diversion() {
            for diversion in journey.history.diversions(plan.diverted.as_ref()) {
                let _ = call.headers.push("Diversion", diversion);
            }
        }
        if told_by.history() {
            let history = journey.history.on_to(plan.request_uri.as_str(), plan.diverted.as_ref());
            let _ = call.headers.push("History-Info", history);
        }
        if plan.terms.early_media == EarlyMedia::Authorised {
            let _ = call.headers.push("P-Early-Media", "supported");
        }
        // Whoever does not want to be known is signed for where the neighbour is told him all the same (RFC 3325), and by the
        // number that it is told so; From names nobody.
        let is_asserted = style.is_some_and(|style| style.identity == IdentityHeader::Asserted);
        let signed = match (caller.withheld, is_asserted) {
            (false, _) => Some(call.from.clone()),
            (true, true) => Some(Party::new(own)),
            (true, false) => None,
        };
        let signature = signed.filter(|_| plan.is_signed).and_then(|from| desk.signature(&from, &call.to));
        if let Some(signature) = signature {
            let _ = call.headers.push("Identity", signature);
        }
    }
    call.options = CallOptions { max_forwards: journey.max_forwards, ..plan.terms.options() };
    call
}

/// What a number reaches, for people and the record.
pub(super) fn described(reaches: &Destination) -> String {
    match reaches {
        Destination::Served(Serving::Service(service)) => format!("service {service}"),
        Destination::Served(serving) => serving.to_string(),
        Destination::Extension(number) => format!("extension {number}"),
        Destination::Group(number) => format!("group {number}"),
        Destination::Trunk { trunk, .. } => format!("trunk {trunk}"),
        Destination::Unknown => "nothing".to_owned(),
    }
}
