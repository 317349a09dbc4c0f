//! The network: segments, hosts and machines, and the one clock they share.
//!
//! Building it is here; `driving` moves time and runs machines, `forwarding` moves packets. All is one thread and
//! one queue of occurrences ordered by time and then by age, so a run depends on the seed and the script, and on
//! nothing else.

mod driving;
mod forwarding;

pub use forwarding::LARGEST_DATAGRAM;

use crate::capture::Capture;
use crate::host::{Binding, Host, HostId, Interface, Prefix, Route, RouteEntry, SegmentId};
use crate::link::{Link, LinkState};
use crate::machine::{Machine, Protocol};
use crate::middlebox::Middlebox;
use crate::names::Names;
use crate::nat::{Nat, NatConfig};
use crate::packet::Transport;
use crate::random::Random;
use crate::trace::{Detail, Trace};
use bytes::Bytes;
use driving::{NodeSlot, Queue};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A machine of a [`Network`].
pub struct Node<M> {
    index: usize,
    machine: PhantomData<fn() -> M>,
}

impl<M> Clone for Node<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Node<M> {}
impl<M> PartialEq for Node<M> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}
impl<M> Eq for Node<M> {}
impl<M> fmt::Debug for Node<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Node({})", self.index)
    }
}

/// What a script asked for and cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misuse {
    /// No such host, segment, interface or machine in this network.
    Unknown,
    /// Somebody else on the segment has this address.
    AddressTaken(IpAddr),
    /// Another machine of the host has this port.
    PortTaken(SocketAddr),
    /// The host has no such address.
    NotOurAddress(IpAddr),
    /// No interface of the host reaches this gateway directly.
    GatewayOutOfReach(IpAddr),
}

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(formatter, "no such host, segment, interface or machine in this network"),
            Self::AddressTaken(address) => {
                write!(formatter, "{address} belongs to another host of the segment")
            }
            Self::PortTaken(address) => write!(formatter, "{address} belongs to another machine of the host"),
            Self::NotOurAddress(address) => write!(formatter, "the host does not have the address {address}"),
            Self::GatewayOutOfReach(address) => {
                write!(formatter, "no interface reaches the gateway {address}")
            }
        }
    }
}

impl std::error::Error for Misuse {}

struct Segment {
    name: Arc<str>,
    prefixes: Vec<Prefix>,
    gateways: Vec<IpAddr>,
    link: Link,
    owners: BTreeMap<IpAddr, (usize, usize)>,
}

/// A virtual network with virtual time.
pub struct Network {
    seed: u64,
    random: Random,
    started: Instant,
    elapsed: Duration,
    queue: Queue,
    segments: Vec<Segment>,
    hosts: Vec<Host>,
    nodes: Vec<NodeSlot>,
    names: Names,
    answers: BTreeMap<String, Bytes>,
    lookup_latency: Duration,
    largest_stream_read: Option<usize>,
    trace: Trace,
    captures: BTreeMap<usize, (Capture, Vec<u32>)>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("seed", &self.seed)
            .field("elapsed", &self.elapsed)
            .field("hosts", &self.hosts.len())
            .field("machines", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// An empty network in which everything that happens follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Random::new(seed),
            // The one instant that is not virtual. Nothing depends on its value: all arithmetic is on what has elapsed.
            started: Instant::now(),
            elapsed: Duration::ZERO,
            queue: Queue::default(),
            segments: Vec::new(),
            hosts: Vec::new(),
            nodes: Vec::new(),
            names: Names::default(),
            answers: BTreeMap::new(),
            lookup_latency: Duration::from_millis(1),
            largest_stream_read: None,
            trace: Trace::default(),
            captures: BTreeMap::new(),
        }
    }

    // ---- time and chance ----

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.started + self.elapsed
    }

    /// Virtual time since the network began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The instant at which `elapsed` will be this.
    #[must_use]
    pub fn at(&self, elapsed: Duration) -> Instant {
        self.started + elapsed
    }

    /// Numbers for scripts; machines are seeded by [`seed`](Self::seed).
    pub const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// 32 bytes for a machine under test; each call gives others, and the same ones in the next run.
    pub fn seed(&mut self) -> [u8; 32] {
        self.random.seed()
    }

    // ---- segments and hosts ----

    /// A segment on which every address is reached directly, 10 ms apart: the Internet, seen from far away.
    pub fn internet(&mut self) -> SegmentId {
        self.add_segment("internet", &[Prefix::all_v4(), Prefix::all_v6()], Link::default())
    }

    /// A segment that has these addresses. Every packet that crosses it meets `link`; each sender's packets in a
    /// queue of their own.
    pub fn add_segment(&mut self, name: &str, prefixes: &[Prefix], link: Link) -> SegmentId {
        self.segments.push(Segment {
            name: name.into(),
            prefixes: prefixes.to_vec(),
            gateways: Vec::new(),
            link,
            owners: BTreeMap::new(),
        });
        SegmentId(self.segments.len() - 1)
    }

    /// What hosts that are attached from now on use as their default gateway, as from DHCP or router advertisement. One of each
    /// family may be given.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_gateway(&mut self, segment: SegmentId, gateway: IpAddr) -> Result<(), Misuse> {
        let segment = self.segments.get_mut(segment.0).ok_or(Misuse::Unknown)?;
        segment.gateways.retain(|old| old.is_ipv4() != gateway.is_ipv4());
        segment.gateways.push(gateway);
        Ok(())
    }

    /// A host with one interface, `eth0`, on `segment`.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::AddressTaken`].
    pub fn add_host(
        &mut self,
        name: &str,
        segment: SegmentId,
        addresses: &[IpAddr],
    ) -> Result<HostId, Misuse> {
        self.hosts.push(Host::new(name));
        let host = HostId(self.hosts.len() - 1);
        let attached = self.attach(host, segment, addresses);
        if attached.is_err() {
            self.hosts.pop();
        }
        attached.map(|_| host)
    }

    /// One more interface for a host: `eth1`, `eth2`… Gives its place, counted from 0.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::AddressTaken`].
    pub fn attach(
        &mut self,
        host: HostId,
        segment: SegmentId,
        addresses: &[IpAddr],
    ) -> Result<usize, Misuse> {
        let stream =
            ((host.0 as u64) << 16) | self.hosts.get(host.0).ok_or(Misuse::Unknown)?.interfaces.len() as u64;
        let carrier = Random::derive(self.seed, stream);
        let place = self.segments.get_mut(segment.0).ok_or(Misuse::Unknown)?;
        if let Some(taken) = addresses.iter().find(|address| place.owners.contains_key(address)) {
            return Err(Misuse::AddressTaken(*taken));
        }
        let owner = self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?;
        let interface = owner.interfaces.len();
        for address in addresses {
            place.owners.insert(*address, (host.0, interface));
        }
        owner.interfaces.push(Interface {
            name: format!("eth{interface}").into(),
            segment,
            addresses: addresses.to_vec(),
            carrier: LinkState::new(place.link.clone(), carrier),
            up: None,
            down: None,
            connected: true,
        });
        for prefix in &place.prefixes {
            owner.routes.push(RouteEntry { prefix: *prefix, gateway: None, interface, source: None });
        }
        for gateway in place.gateways.iter().filter(|gateway| !addresses.contains(gateway)) {
            let prefix = if gateway.is_ipv4() { Prefix::all_v4() } else { Prefix::all_v6() };
            let has = owner.routes.iter().any(|entry| entry.prefix == prefix);
            let family = addresses.iter().any(|address| address.is_ipv4() == gateway.is_ipv4());
            if !has && family {
                owner.routes.push(RouteEntry { prefix, gateway: Some(*gateway), interface, source: None });
            }
        }
        Ok(interface)
    }

    /// Names an interface, for example `tailscale0`.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn name_interface(&mut self, host: HostId, interface: usize, name: &str) -> Result<(), Misuse> {
        self.interface(host, interface)?.name = name.into();
        Ok(())
    }

    /// Adds an address to an interface.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::AddressTaken`].
    pub fn add_address(&mut self, host: HostId, interface: usize, address: IpAddr) -> Result<(), Misuse> {
        let segment = self.interface(host, interface)?.segment;
        let place = self.segments.get_mut(segment.0).ok_or(Misuse::Unknown)?;
        if place.owners.contains_key(&address) {
            return Err(Misuse::AddressTaken(address));
        }
        place.owners.insert(address, (host.0, interface));
        self.interface(host, interface)?.addresses.push(address);
        Ok(())
    }

    /// Takes an address away, as when a lease or a mobile network changes. Ports bound to it stay bound, and get nothing.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::NotOurAddress`].
    pub fn remove_address(&mut self, host: HostId, interface: usize, address: IpAddr) -> Result<(), Misuse> {
        let state = self.interface(host, interface)?;
        let before = state.addresses.len();
        state.addresses.retain(|own| *own != address);
        if state.addresses.len() == before {
            return Err(Misuse::NotOurAddress(address));
        }
        let segment = state.segment;
        if let Some(place) = self.segments.get_mut(segment.0) {
            place.owners.remove(&address);
        }
        Ok(())
    }

    /// Pulls a cable, or puts it in again. Routes by an interface without a cable are not used.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_connected(&mut self, host: HostId, interface: usize, connected: bool) -> Result<(), Misuse> {
        self.interface(host, interface)?.connected = connected;
        Ok(())
    }

    /// Adds a route: by a gateway that an interface reaches directly, and from a particular address if `source` says so. Of
    /// routes equally long the one added last is used.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::GatewayOutOfReach`].
    pub fn add_route(
        &mut self,
        host: HostId,
        prefix: Prefix,
        gateway: Option<IpAddr>,
        interface: usize,
        source: Option<IpAddr>,
    ) -> Result<(), Misuse> {
        let segment = self.interface(host, interface)?.segment;
        if let Some(gateway) = gateway
            && !self.segments.get(segment.0).is_some_and(|it| it.prefixes.iter().any(|p| p.contains(gateway)))
        {
            return Err(Misuse::GatewayOutOfReach(gateway));
        }
        let owner = self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?;
        owner.routes.push(RouteEntry { prefix, gateway, interface, source });
        Ok(())
    }

    /// Removes every route to exactly this prefix.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn remove_route(&mut self, host: HostId, prefix: Prefix) -> Result<(), Misuse> {
        self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?.routes.retain(|entry| entry.prefix != prefix);
        Ok(())
    }

    /// Which local address and interface a packet from `host` to `destination` would leave by.
    #[must_use]
    pub fn route(&self, host: HostId, destination: IpAddr) -> Option<Route> {
        let host = self.hosts.get(host.0)?;
        if host.owns(destination) {
            return Some(Route { local: destination, interface: "lo".into(), index: 0 });
        }
        let way = host.way(destination)?;
        let interface = host.interfaces.get(way.interface)?;
        let index = u32::try_from(way.interface + 1).unwrap_or(u32::MAX);
        Some(Route { local: way.source, interface: interface.name.clone(), index })
    }

    /// Makes a host pass on what is not for itself, as a router does.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_forwarding(&mut self, host: HostId, forwards: bool) -> Result<(), Misuse> {
        self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?.forwards = forwards;
        Ok(())
    }

    /// Makes a host answer nothing when a packet comes to a closed port, as firewalls like to do.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_silent(&mut self, host: HostId, silent: bool) -> Result<(), Misuse> {
        self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?.silent = silent;
        Ok(())
    }

    /// Puts a box into the middle of what a host sends, receives and forwards.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn add_middlebox(&mut self, host: HostId, middlebox: impl Middlebox + 'static) -> Result<(), Misuse> {
        self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?.middleboxes.push(Box::new(middlebox));
        Ok(())
    }

    /// A router between two segments that translates addresses: interface 0 is outside with the addresses `external`, interface 1
    /// inside with the address `gateway`, which hosts attached to `inside` from now on use.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::AddressTaken`].
    pub fn add_nat(
        &mut self,
        name: &str,
        (outside, external): (SegmentId, &[IpAddr]),
        (inside, gateway): (SegmentId, &[IpAddr]),
        config: NatConfig,
    ) -> Result<HostId, Misuse> {
        let host = self.add_host(name, outside, external)?;
        self.attach(host, inside, gateway)?;
        self.set_forwarding(host, true)?;
        self.set_silent(host, true)?;
        for gateway in gateway {
            self.set_gateway(inside, *gateway)?;
        }
        let seed = Random::derive(self.seed, 1 << 40 | host.0 as u64).next_u64();
        self.add_middlebox(host, Nat::new(config, 0, external.to_vec(), seed))?;
        Ok(host)
    }

    /// Gives an interface a line of its own in each direction, besides the segment's link.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_line(&mut self, host: HostId, interface: usize, up: Link, down: Link) -> Result<(), Misuse> {
        let stream = ((host.0 as u64) << 16) | interface as u64;
        let random = |side: u64| Random::derive(self.seed, stream | side << 48);
        let (up, down) = (LinkState::new(up, random(1)), LinkState::new(down, random(2)));
        let state = self.interface(host, interface)?;
        (state.up, state.down) = (Some(up), Some(down));
        Ok(())
    }

    /// Changes what every sender on a segment meets from now on.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_link(&mut self, segment: SegmentId, link: Link) -> Result<(), Misuse> {
        self.segments.get_mut(segment.0).ok_or(Misuse::Unknown)?.link = link.clone();
        for interface in self.hosts.iter_mut().flat_map(|host| &mut host.interfaces) {
            if interface.segment == segment {
                interface.carrier.set_link(link.clone());
            }
        }
        Ok(())
    }

    // ---- machines ----

    /// Puts a machine on a host.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn add_machine<M: Machine>(&mut self, host: HostId, machine: M) -> Result<Node<M>, Misuse> {
        if host.0 >= self.hosts.len() {
            return Err(Misuse::Unknown);
        }
        self.nodes.push(NodeSlot::new(host.0, Box::new(machine)));
        let node = Node { index: self.nodes.len() - 1, machine: PhantomData };
        self.settle(node.index);
        Ok(node)
    }

    /// The host a machine is on.
    #[must_use]
    pub fn host_of<M>(&self, node: Node<M>) -> Option<HostId> {
        self.nodes.get(node.index).map(|slot| HostId(slot.host()))
    }

    /// Gives a machine a port: datagrams to it are the machine's, or streams to it are accepted. An unspecified address means
    /// every address of the host. What the machine sends without naming a source leaves by the port bound first.
    ///
    /// # Errors
    /// [`Misuse::Unknown`], [`Misuse::NotOurAddress`], [`Misuse::PortTaken`].
    pub fn bind<M>(&mut self, node: Node<M>, protocol: Protocol, local: SocketAddr) -> Result<(), Misuse> {
        self.bind_index(node.index, protocol, local)
    }

    /// [`bind`](Self::bind) for a range of ports.
    ///
    /// # Errors
    /// The same.
    pub fn bind_range<M>(
        &mut self,
        node: Node<M>,
        protocol: Protocol,
        address: IpAddr,
        ports: RangeInclusive<u16>,
    ) -> Result<(), Misuse> {
        ports.into_iter().try_for_each(|port| self.bind(node, protocol, (address, port).into()))
    }

    /// Takes a port away again. Streams that were accepted stay.
    pub fn unbind<M>(&mut self, node: Node<M>, protocol: Protocol, local: SocketAddr) {
        self.unbind_index(node.index, protocol, local);
    }

    fn bind_index(&mut self, node: usize, protocol: Protocol, local: SocketAddr) -> Result<(), Misuse> {
        let slot = self.nodes.get_mut(node).ok_or(Misuse::Unknown)?;
        let host = self.hosts.get_mut(slot.host()).ok_or(Misuse::Unknown)?;
        if !local.ip().is_unspecified() && !host.owns(local.ip()) {
            return Err(Misuse::NotOurAddress(local.ip()));
        }
        let bindings = host.ports.entry((Transport::from(protocol), local.port())).or_default();
        let clash = |binding: &Binding| binding.address == local.ip() && binding.node != node;
        if bindings.iter().any(clash) {
            return Err(Misuse::PortTaken(local));
        }
        let binding = Binding { protocol, address: local.ip(), node };
        if !bindings.contains(&binding) {
            bindings.push(binding);
        }
        slot.bound(protocol, local);
        Ok(())
    }

    fn unbind_index(&mut self, node: usize, protocol: Protocol, local: SocketAddr) {
        let Some(slot) = self.nodes.get_mut(node) else { return };
        slot.unbound(protocol, local);
        let Some(host) = self.hosts.get_mut(slot.host()) else { return };
        if let Some(bindings) = host.ports.get_mut(&(Transport::from(protocol), local.port())) {
            bindings.retain(|it| (it.node, it.protocol, it.address) != (node, protocol, local.ip()));
            if bindings.is_empty() {
                host.ports.remove(&(Transport::from(protocol), local.port()));
            }
        }
    }

    /// The name in a machine's certificate, which the other end of a secure stream gets to know.
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn set_identity<M>(&mut self, node: Node<M>, name: &str) -> Result<(), Misuse> {
        self.nodes.get_mut(node.index).ok_or(Misuse::Unknown)?.set_identity(name.into());
        Ok(())
    }

    /// Limits how many bytes of a TCP or TLS stream a machine gets at once to a number drawn between 1 and this: the test of
    /// every framer. `None`: as they arrive.
    pub const fn set_largest_stream_read(&mut self, bytes: Option<usize>) {
        self.largest_stream_read = bytes;
    }

    // ---- names and answers ----

    /// The name service.
    pub const fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// What is answered to a [`Lookup`](crate::Output::Lookup) of this question from now on.
    pub fn provide(&mut self, question: &str, answer: impl Into<Bytes>) {
        self.answers.insert(question.to_owned(), answer.into());
    }

    /// How long a [`Lookup`](crate::Output::Lookup) takes; 1 ms unless told.
    pub const fn set_lookup_latency(&mut self, latency: Duration) {
        self.lookup_latency = latency;
    }

    // ---- the log ----

    /// What happened so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The name a segment was given.
    #[must_use]
    pub fn segment_name(&self, segment: SegmentId) -> Option<&str> {
        self.segments.get(segment.0).map(|segment| &*segment.name)
    }

    /// Begins to capture what a host sends and receives, by interface, for [`pcapng`](Self::pcapng).
    ///
    /// # Errors
    /// [`Misuse::Unknown`].
    pub fn capture(&mut self, host: HostId) -> Result<(), Misuse> {
        let owner = self.hosts.get(host.0).ok_or(Misuse::Unknown)?;
        let mut capture = Capture::new();
        let name = |interface: &Interface| format!("{}:{}", owner.name, interface.name);
        let numbers = owner.interfaces.iter().map(|it| capture.add_interface(&name(it))).collect();
        self.captures.insert(host.0, (capture, numbers));
        Ok(())
    }

    /// What was captured at a host so far, as a file that Wireshark opens.
    #[must_use]
    pub fn pcapng(&self, host: HostId) -> Option<&[u8]> {
        self.captures.get(&host.0).map(|(capture, _)| capture.bytes())
    }

    /// Which lines the log keeps from now on.
    pub const fn set_detail(&mut self, detail: Detail) {
        self.trace.set_detail(detail);
    }

    fn interface(&mut self, host: HostId, interface: usize) -> Result<&mut Interface, Misuse> {
        let host = self.hosts.get_mut(host.0).ok_or(Misuse::Unknown)?;
        host.interfaces.get_mut(interface).ok_or(Misuse::Unknown)
    }
}
