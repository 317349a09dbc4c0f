//! Locating servers (RFC 3263) as a machine that asks for DNS answers and waits for none.
//!
//! A URI becomes a list of [`Hop`]s in the order in which they are to be tried: transport from the URI, from NAPTR, from
//! which SRV records there are, or the default; port from the URI, from SRV, or the default; then addresses. What to do
//! when a hop fails is the transaction's business.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod select;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

pub(crate) use select::Supported;
use select::{naptr_choices, order_srv, service_name};

use crate::{
    id::{Id, Slots},
    io::{Answer, Protocol, QueryId, Question},
    limits::WireLimits,
    message::{Host, Uri},
    random::Random,
    transport::Hop,
};

/// Open resolutions.
#[derive(Debug)]
pub(crate) struct Resolver {
    open: Slots<Resolution>,
    queries: HashMap<QueryId, Id, FixedState>,
    next_query: u64,
}

/// Why no hop was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResolveFailure {
    /// Neither `sip:` nor `sips:`, so there is no host to ask for.
    NotASipUri,
    /// The URI asks for a transport that is unknown here or has no listener.
    UnsupportedTransport,
    /// The DNS knows no such host.
    NotFound,
    /// The DNS did not answer.
    DnsFailed,
    /// Too many questions are open.
    Overloaded,
}

/// Where a resolution stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Asked; the answer comes through [`Resolver::on_answer`].
    Pending(Id),
    Done(Result<Vec<Hop>, ResolveFailure>),
}

#[derive(Debug)]
struct Resolution {
    host: Arc<str>,
    is_sips: bool,
    stage: Stage,
    started: Instant,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for NAPTR records.
    Naptr {
        supported: Supported,
    },
    Srv(SrvSearch),
    Addresses(AddressSearch),
}

/// Asking SRV for one transport after the other until there are records; then addresses.
#[derive(Debug)]
struct SrvSearch {
    left: Vec<(Protocol, Arc<str>)>,
    asking: Protocol,
    /// Whose default port the host itself is tried with, if there are no records at all.
    fallback: Protocol,
    servers: Vec<Server>,
    /// Whether all transports are asked for, whatever the first one has.
    all: bool,
}

/// Asking for the addresses of one server after the other.
#[derive(Debug)]
struct AddressSearch {
    left: Vec<Server>,
    asking: Server,
    hops: Vec<Hop>,
    failed: bool,
}

#[derive(Debug, Clone)]
struct Server {
    protocol: Protocol,
    host: Arc<str>,
    port: u16,
}

impl Resolver {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self { open: Slots::new(), queries: HashMap::with_hasher(random.hasher()), next_query: 0 }
    }

    /// Starts on a URI. Questions go through `ask`.
    pub(crate) fn start(
        &mut self,
        uri: &Uri<'_>,
        supported: Supported,
        limits: &WireLimits,
        now: Instant,
        ask: &mut dyn FnMut(QueryId, Question),
    ) -> Progress {
        if !uri.is_sip() {
            return Progress::Done(Err(ResolveFailure::NotASipUri));
        }
        let is_sips = uri.is_sips();
        let explicit = match uri.params().get("transport") {
            None => None,
            Some(token) => match Protocol::from_uri_token(token, is_sips) {
                Some(protocol) => Some(protocol),
                None => return Progress::Done(Err(ResolveFailure::UnsupportedTransport)),
            },
        };
        if is_sips && explicit.is_some_and(|protocol| !protocol.is_secure()) {
            return Progress::Done(Err(ResolveFailure::UnsupportedTransport));
        }
        // `maddr` overrides the host for finding the server (RFC 3261 §16.6 step 7, RFC 3263 §4).
        let maddr = uri
            .params()
            .get("maddr")
            .and_then(|maddr| Host::parse(maddr, crate::error::Attitude::Lenient).ok());
        let Some(host) = maddr.or_else(|| uri.host()) else {
            return Progress::Done(Err(ResolveFailure::NotASipUri));
        };
        let default = if is_sips { Protocol::Tls } else { Protocol::Udp };
        if let Some(address) = host.address() {
            let protocol = explicit.unwrap_or_else(|| supported.or_default(default));
            if !supported.has(protocol) {
                return Progress::Done(Err(ResolveFailure::UnsupportedTransport));
            }
            let port = uri.port().unwrap_or(protocol.default_port());
            let server_name = Some(address.to_string().into());
            return Progress::Done(Ok(vec![Hop {
                protocol,
                remote: SocketAddr::new(address, port),
                server_name,
            }]));
        }
        let Host::Name(name) = host else { return Progress::Done(Err(ResolveFailure::NotFound)) };
        let name: Arc<str> = name.trim_end_matches('.').to_ascii_lowercase().into();
        if name.is_empty() {
            return Progress::Done(Err(ResolveFailure::NotFound));
        }
        if explicit.is_some_and(|protocol| !supported.has(protocol)) {
            return Progress::Done(Err(ResolveFailure::UnsupportedTransport));
        }
        if self.open.len() >= limits.queries {
            return Progress::Done(Err(ResolveFailure::Overloaded));
        }
        let stage = match (explicit, uri.port()) {
            (protocol, Some(port)) => {
                let protocol = protocol.unwrap_or_else(|| supported.or_default(default));
                let asking = Server { protocol, host: name.clone(), port };
                Stage::Addresses(AddressSearch::of(Vec::new(), asking))
            }
            (Some(protocol), None) => Stage::Srv(SrvSearch::of(vec![protocol], protocol, &name, is_sips)),
            (None, None) => Stage::Naptr { supported },
        };
        let id = self.open.insert(Resolution { host: name, is_sips, stage, started: now });
        self.ask(id, ask);
        Progress::Pending(id)
    }

    /// Takes an answer. Gives the resolution and its outcome when that was the last one needed.
    pub(crate) fn on_answer(
        &mut self,
        query: QueryId,
        answer: Answer,
        limits: &WireLimits,
        random: &mut Random,
        ask: &mut dyn FnMut(QueryId, Question),
    ) -> Option<(Id, Result<Vec<Hop>, ResolveFailure>)> {
        let id = self.queries.remove(&query)?;
        let resolution = self.open.get_mut(id)?;
        if let Some(outcome) = resolution.step(answer, limits, random) {
            self.open.remove(id);
            return Some((id, outcome));
        }
        self.ask(id, ask);
        None
    }

    /// Gives up on resolutions that were started before `since`: the driver owes an answer and does not give one.
    pub(crate) fn expire(&mut self, since: Instant) -> Vec<Id> {
        let expired: Vec<Id> = self
            .open
            .ids()
            .filter(|id| self.open.get(*id).is_some_and(|open| open.started <= since))
            .collect();
        for id in &expired {
            self.open.remove(*id);
        }
        self.queries.retain(|_, id| !expired.contains(id));
        expired
    }

    /// When the oldest open resolution was started.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.open.ids().filter_map(|id| self.open.get(id)).map(|open| open.started).min()
    }

    fn ask(&mut self, id: Id, ask: &mut dyn FnMut(QueryId, Question)) {
        let Some(resolution) = self.open.get(id) else { return };
        let question = match &resolution.stage {
            Stage::Naptr { .. } => Question::Naptr(resolution.host.clone()),
            Stage::Srv(search) => {
                let replaced = search.left.first().map(|(_, name)| name.clone());
                Question::Srv(
                    replaced
                        .unwrap_or_else(|| service_name(search.asking, &resolution.host, resolution.is_sips)),
                )
            }
            Stage::Addresses(search) => Question::Addresses(search.asking.host.clone()),
        };
        let query = QueryId(self.next_query);
        self.next_query = self.next_query.wrapping_add(1);
        self.queries.insert(query, id);
        ask(query, question);
    }
}

impl Resolution {
    fn step(
        &mut self,
        answer: Answer,
        limits: &WireLimits,
        random: &mut Random,
    ) -> Option<Result<Vec<Hop>, ResolveFailure>> {
        match &mut self.stage {
            Stage::Naptr { supported } => {
                let supported = *supported;
                match self.after_naptr(supported, answer) {
                    Ok(search) => self.stage = Stage::Srv(search),
                    Err(failure) => return Some(Err(failure)),
                }
                None
            }
            Stage::Srv(search) => {
                let (first, others) = search.on_answer(answer, &self.host, limits, random)?;
                self.stage = Stage::Addresses(AddressSearch::of(others, first));
                None
            }
            Stage::Addresses(search) => search.on_answer(answer, &self.host, limits),
        }
    }

    /// The transports that NAPTR names, or all that are spoken here.
    fn after_naptr(&self, supported: Supported, answer: Answer) -> Result<SrvSearch, ResolveFailure> {
        let default = if self.is_sips { Protocol::Tls } else { Protocol::Udp };
        let left = match answer {
            Answer::Naptr(records) => naptr_choices(records, supported, self.is_sips),
            _ => Vec::new(),
        };
        if let Some((first, _)) = left.first() {
            // All of them are asked: the next one is where to go when the first one's servers are dead.
            let asking = *first;
            return Ok(SrvSearch { left, asking, fallback: asking, servers: Vec::new(), all: true });
        }
        let protocols = supported.in_order_of_preference(self.is_sips);
        if protocols.is_empty() {
            return Err(ResolveFailure::UnsupportedTransport);
        }
        Ok(SrvSearch::of(protocols, supported.or_default(default), &self.host, self.is_sips))
    }
}

impl SrvSearch {
    /// SRV of these transports; if none has records, the addresses of the host with the fallback's default port.
    fn of(protocols: Vec<Protocol>, fallback: Protocol, host: &str, is_sips: bool) -> Self {
        let left: Vec<_> =
            protocols.into_iter().map(|protocol| (protocol, service_name(protocol, host, is_sips))).collect();
        let asking = left.first().map_or(fallback, |(protocol, _)| *protocol);
        Self { left, asking, fallback, servers: Vec::new(), all: false }
    }

    /// Takes an answer; gives the first server and the others once no more transports are to be asked for.
    fn on_answer(
        &mut self,
        answer: Answer,
        host: &Arc<str>,
        limits: &WireLimits,
        random: &mut Random,
    ) -> Option<(Server, Vec<Server>)> {
        if let Answer::Srv(records) = answer {
            self.servers.extend(order_srv(records, random).map(|record| Server {
                protocol: self.asking,
                host: record.0.into(),
                port: record.1,
            }));
        }
        if !self.left.is_empty() {
            self.left.remove(0);
        }
        if (self.servers.is_empty() || self.all)
            && self.servers.len() < limits.hops
            && let Some((next, _)) = self.left.first()
        {
            self.asking = *next;
            return None;
        }
        let mut servers = std::mem::take(&mut self.servers);
        servers.truncate(limits.hops);
        if servers.is_empty() {
            let protocol = self.fallback;
            servers.push(Server { protocol, host: host.clone(), port: protocol.default_port() });
        }
        let first = servers.remove(0);
        Some((first, servers))
    }
}

impl AddressSearch {
    fn of(left: Vec<Server>, asking: Server) -> Self {
        Self { left, asking, hops: Vec::new(), failed: false }
    }

    /// Takes an answer; gives the outcome once no more servers are to be asked for. `host` is what the URI named.
    fn on_answer(
        &mut self,
        answer: Answer,
        host: &Arc<str>,
        limits: &WireLimits,
    ) -> Option<Result<Vec<Hop>, ResolveFailure>> {
        match answer {
            Answer::Addresses { addresses, .. } => {
                let Server { protocol, port, .. } = self.asking;
                self.hops.extend(interleave(addresses).into_iter().map(|address| Hop {
                    protocol,
                    remote: SocketAddr::new(address, port),
                    // The name to prove is the one that was asked for, not one that the DNS put in its place (RFC 5922 §4).
                    server_name: Some(host.clone()),
                }));
            }
            Answer::Failed => self.failed = true,
            Answer::NotFound | Answer::Naptr(_) | Answer::Srv(_) => {}
        }
        if self.hops.len() < limits.hops && !self.left.is_empty() {
            self.asking = self.left.remove(0);
            return None;
        }
        self.hops.truncate(limits.hops);
        Some(match (self.hops.is_empty(), self.failed) {
            (false, _) => Ok(std::mem::take(&mut self.hops)),
            (true, true) => Err(ResolveFailure::DnsFailed),
            (true, false) => Err(ResolveFailure::NotFound),
        })
    }
}

/// The system's order, with the families taking turns: so that a family that does not work costs one attempt and not all of
/// them (RFC 8305 §4).
fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut own, mut other): (VecDeque<IpAddr>, VecDeque<IpAddr>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut out = Vec::with_capacity(own.len().saturating_add(other.len()));
    while !own.is_empty() || !other.is_empty() {
        out.extend(own.pop_front());
        out.extend(other.pop_front());
    }
    out
}
