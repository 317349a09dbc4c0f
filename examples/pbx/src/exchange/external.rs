//! The address that peers beyond the local networks are told: fixed, by name, or as a STUN server sees it.
//!
//! The STUN request leaves from the SIP socket itself (RFC 8489 section 7.3), so that what is learned is where SIP arrives. A
//! name is looked up again and a server asked again as time goes by, for external addresses change. The local address that
//! leads out is learned from the system's route: packets that leave by another one, a VPN's, never meet the translator.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use denwa_ice::stun::attribute::XorMappedAddress;
use denwa_ice::stun::{Class, Message, Method, TransactionId, Writer};
use denwa_sip_core::io::{Protocol, Transmit};

use super::desk::{Asked, Desk};
use super::{Event, Output};
use crate::config::{self, Host, HostPort};

/// How often a name is looked up and a STUN server asked.
const AGAIN: Duration = Duration::from_secs(30);

/// How long a STUN server may take before it is asked again: RFC 8489 section 6.2.1.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How often one request is sent before the server counts as silent.
const MOST_TRIES: u32 = 7;

/// Any port serves to ask for a route.
const ROUTE_PORT: u16 = 9;

/// See the module's words.
#[derive(Debug)]
pub(super) struct External {
    source: Source,
    /// When something is to be asked again.
    next: Option<Instant>,
    request: Option<Request>,
    known: Option<IpAddr>,
}

#[derive(Debug)]
enum Source {
    /// Nothing is known and nothing is asked: the route to each peer decides.
    Route,
    Fixed(IpAddr),
    Name(String),
    Stun(HostPort),
}

/// A STUN request on its way.
#[derive(Debug)]
struct Request {
    transaction: TransactionId,
    bytes: Bytes,
    server: SocketAddr,
    source: SocketAddr,
    tries: u32,
}

impl External {
    pub(super) fn new(networks: &config::Networks, now: Instant) -> Self {
        let source = match (&networks.external, &networks.stun) {
            (config::External::Host(Host::Address(address)), _) => Source::Fixed(*address),
            (config::External::Host(Host::Name(name)), _) => Source::Name(name.clone()),
            (config::External::Auto, Some(server)) => Source::Stun(server.clone()),
            (config::External::Auto, None) => Source::Route,
        };
        let next = (!matches!(source, Source::Route)).then_some(now);
        Self { source, next, request: None, known: None }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk) {
        if self.next.is_none_or(|next| next > desk.now) {
            return;
        }
        if self.request.is_some() {
            return self.repeat(desk);
        }
        self.next = desk.now.checked_add(AGAIN);
        match &self.source {
            Source::Route => self.next = None,
            Source::Fixed(address) => {
                let address = *address;
                self.learned(desk, address, None, "[network] external says so");
                desk.ask_route(Asked::Outer, SocketAddr::new(address, ROUTE_PORT));
            }
            Source::Name(name) => desk.ask_addresses(Asked::External, name),
            Source::Stun(server) => match &server.host {
                Host::Address(address) => {
                    let server = SocketAddr::new(*address, server.port);
                    desk.ask_route(Asked::StunRoute(server), server);
                }
                Host::Name(name) => desk.ask_addresses(Asked::StunServer, name),
            },
        }
    }

    /// The name under `external` has these addresses.
    pub(super) fn named(&mut self, desk: &mut Desk, addresses: &[IpAddr]) {
        let Source::Name(name) = &self.source else { return };
        if addresses.is_empty() {
            let how = format!("{name} has no address; is [network] external spelt right?");
            return self.lost(desk, how);
        }
        let how = format!("{name} has this address");
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            if let Some(address) = addresses.iter().find(|address| family(address)).copied() {
                self.learned(desk, address, None, &how);
                desk.ask_route(Asked::Outer, SocketAddr::new(address, ROUTE_PORT));
            }
        }
    }

    /// The STUN server's name has these addresses.
    pub(super) fn server_named(&mut self, desk: &mut Desk, addresses: &[IpAddr]) {
        let Source::Stun(server) = &self.source else { return };
        match addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()) {
            Some(address) => {
                let server = SocketAddr::new(*address, server.port);
                desk.ask_route(Asked::StunRoute(server), server);
            }
            None => {
                let how = format!("the STUN server {server} has no address");
                self.lost(desk, how);
            }
        }
    }

    /// Packets to the external address leave by this local one.
    pub(super) fn outer(&mut self, desk: &mut Desk, local: Option<IpAddr>) {
        // On a host that has the external address itself everything is said already.
        if let Some(local) = local.filter(|local| !local.is_loopback()) {
            desk.places.external(self.known, Some(local));
        }
    }

    /// Packets to the STUN server leave by this local address: it can be asked.
    pub(super) fn server_routed(&mut self, desk: &mut Desk, server: SocketAddr, local: Option<IpAddr>) {
        let Some(local) = local else {
            let how = format!("this machine knows no way to the STUN server {server}");
            return self.lost(desk, how);
        };
        let fits = |listen: &&config::Listen| {
            listen.protocol == Protocol::Udp
                && (listen.address.ip() == local
                    || listen.address.ip().is_unspecified() && listen.address.is_ipv4() == local.is_ipv4())
        };
        let Some(port) = desk.setup.listening.iter().find(fits).map(|listen| listen.address.port()) else {
            return self
                .lost(desk, format!("no UDP socket of this exchange could ask the STUN server {server}"));
        };
        let transaction = transaction_id(desk.random_bytes());
        let request = Request {
            bytes: binding_request(transaction),
            transaction,
            server,
            source: SocketAddr::new(local, port),
            tries: 0,
        };
        self.request = Some(request);
        self.repeat(desk);
    }

    /// A datagram came to a SIP socket; `true` when it was the STUN server's answer.
    pub(super) fn datagram(&mut self, desk: &mut Desk, remote: SocketAddr, payload: &[u8]) -> bool {
        let Some(request) = self.request.as_ref().filter(|request| request.server == remote) else {
            return false;
        };
        let Some(mapped) = mapped_address(payload, request.transaction) else { return false };
        let Request { source, server, .. } = *request;
        self.request = None;
        self.next = desk.now.checked_add(AGAIN);
        self.learned(desk, mapped.ip(), Some(source.ip()), &format!("the STUN server {server} sees it"));
        true
    }

    fn repeat(&mut self, desk: &mut Desk) {
        let Some(request) = &mut self.request else { return };
        if request.tries >= MOST_TRIES {
            let how = format!("the STUN server {} does not answer", request.server);
            self.request = None;
            self.next = desk.now.checked_add(AGAIN);
            return self.lost(desk, how);
        }
        let wait = FIRST_WAIT.saturating_mul(1 << request.tries.min(5));
        request.tries += 1;
        self.next = desk.now.checked_add(wait);
        desk.put(Output::Transmit(Transmit {
            source: Some(request.source),
            destination: request.server,
            protocol: Protocol::Udp,
            stream: None,
            payload: request.bytes.clone(),
        }));
    }

    fn learned(&mut self, desk: &mut Desk, address: IpAddr, outer: Option<IpAddr>, how: &str) {
        let outer = outer.filter(|outer| !outer.is_loopback());
        if desk.places.external(Some(address), outer) && self.known != Some(address) {
            desk.tell(Event::ExternalAddress { address: Some(address), how: how.to_owned() });
        }
        self.known = Some(address);
    }

    /// What was known is kept: a server that is down for a minute does not make the address wrong.
    fn lost(&mut self, desk: &mut Desk, how: String) {
        let how = match self.known {
            Some(known) => format!("{how}; {known} is told on, though it may be stale"),
            None => format!("{how}; peers are told the address the route to them leaves by"),
        };
        desk.tell(Event::ExternalAddress { address: None, how });
    }
}

fn transaction_id(random: [u8; 32]) -> TransactionId {
    let mut id = [0; 12];
    for (to, from) in id.iter_mut().zip(random) {
        *to = from;
    }
    TransactionId(id)
}

fn binding_request(transaction: TransactionId) -> Bytes {
    let mut buffer = [0; 32];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, transaction);
    writer.fingerprint();
    // 20 bytes of header and 8 of fingerprint fit.
    let length = writer.finish().unwrap_or(0);
    Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())
}

fn mapped_address(payload: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
    let message = Message::parse(payload).ok()?;
    let ours = message.class() == Class::Success
        && message.method() == Method::BINDING
        && message.id() == transaction;
    let mapped = message.get::<XorMappedAddress>().ok().flatten().filter(|_| ours)?;
    Some(mapped.0)
}
