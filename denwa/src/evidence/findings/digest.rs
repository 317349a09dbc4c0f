//! One side's facts, sorted by what the judges ask for.

use crate::address::Network;
use crate::evidence::{
    AddressTold, Agreement, Dated, Description, EndCause, Evidence, Fact, HoldState, MessageHead, Party,
    RouteUse, SecurityFailure, Side, StreamCounters,
};
use std::net::{IpAddr, SocketAddr};

/// The facts of one side. What can change over a call is what it was last.
#[derive(Default)]
pub(super) struct Digest<'a> {
    pub(super) side: Option<Side>,
    pub(super) all: Vec<&'a Dated>,
    /// Where signalling with the peer goes.
    pub(super) signalling: Option<SocketAddr>,
    pub(super) theirs: Option<&'a Description>,
    pub(super) agreed: Option<&'a Agreement>,
    pub(super) told: Option<&'a AddressTold>,
    pub(super) seen_as: Option<(SocketAddr, SocketAddr)>,
    pub(super) signalling_route: Option<Route<'a>>,
    pub(super) media_route: Option<Route<'a>>,
    pub(super) first_packet: Option<SocketAddr>,
    pub(super) redirected: bool,
    pub(super) counters: Option<&'a StreamCounters>,
    pub(super) silent: Option<&'a Dated>,
    /// The payload type that came without having been agreed on.
    pub(super) strange: Option<u8>,
    pub(super) held_by: Option<Party>,
    pub(super) security: Option<SecurityFailure>,
    /// What ICE tried, none of which works.
    pub(super) no_path: Option<&'a str>,
    pub(super) answered: bool,
    pub(super) rang: bool,
    pub(super) ended: Option<(Party, &'a EndCause)>,
    pub(super) last_refusal: Option<&'a MessageHead>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) destination: IpAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) interface: Option<&'a str>,
}

impl Route<'_> {
    /// Whether both lead out of the same door, as far as is known.
    pub(super) fn leaves_like(&self, other: &Self) -> bool {
        match (self.interface, other.interface) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.local == other.local,
        }
    }
}

impl<'a> Digest<'a> {
    pub(super) fn of(evidence: &'a Evidence, side: Option<Side>) -> Self {
        let mut digest = Self { side, ..Self::default() };
        for dated in evidence.facts().filter(|dated| dated.side == side) {
            digest.take(dated);
            digest.all.push(dated);
        }
        digest
    }

    fn take(&mut self, dated: &'a Dated) {
        match &dated.fact {
            // Later requests may go to where the peer's Contact says, which is not where his messages come from.
            Fact::Sent(head) => {
                self.signalling = self.signalling.or(head.remote);
                self.note_answer(head);
            }
            Fact::Received(head) => {
                self.signalling = head.remote.or(self.signalling);
                self.note_answer(head);
                match head.status {
                    Some(200..=299) if head.method == "INVITE" => self.answered = true,
                    Some(180..=183) => self.rang = true,
                    // Other requests of the call may be refused without harm to it.
                    Some(300..) if matches!(head.method.as_str(), "INVITE" | "REGISTER") => {
                        self.last_refusal = Some(head);
                    }
                    _ => {}
                }
            }
            Fact::Told(told) => self.told = Some(told),
            Fact::SeenAs { address, sent_from } => self.seen_as = Some((*address, *sent_from)),
            Fact::Routed { route, destination, local, interface } => {
                let way = Route { destination: *destination, local: *local, interface: interface.as_deref() };
                match route {
                    RouteUse::Signalling => self.signalling_route = Some(way),
                    RouteUse::Media => self.media_route = Some(way),
                }
            }
            Fact::Described { by: Party::Peer, description } => self.theirs = Some(description),
            Fact::Agreed(agreement) => self.agreed = Some(agreement),
            Fact::Answered => self.answered = true,
            Fact::FirstPacket { from, .. } => self.first_packet = Some(*from),
            Fact::MediaRedirected { .. } => self.redirected = true,
            Fact::Counters(counters) => self.counters = Some(counters),
            Fact::Silent { .. } => self.silent = Some(dated),
            Fact::FormatNotAgreed { payload_type } => self.strange = Some(*payload_type),
            Fact::Resumed => self.silent = None,
            Fact::Hold { by, state } => self.held_by = (*state == HoldState::Held).then_some(*by),
            Fact::SecurityFailed(failure) => self.security = Some(*failure),
            Fact::NoPath { tried } => self.no_path = Some(tried),
            Fact::Ended { by, cause } => self.ended = Some((*by, cause)),
            _ => {}
        }
    }

    fn note_answer(&mut self, head: &MessageHead) {
        // Our own 200 to the peer's INVITE answers the call too.
        if head.method == "INVITE" && matches!(head.status, Some(200..=299)) {
            self.answered = true;
        }
    }

    /// The facts that `wanted` picks, for a finding to show.
    pub(super) fn show(&self, wanted: impl Fn(&Fact) -> bool) -> Vec<Dated> {
        self.all.iter().filter(|dated| wanted(&dated.fact)).map(|dated| (*dated).clone()).collect()
    }

    /// How people call this side.
    pub(super) fn peer(&self) -> String {
        match self.signalling {
            Some(address) => format!("The peer at {address}"),
            None => "The peer".to_owned(),
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.counters.map_or(0, |counters| counters.received)
    }

    pub(super) fn heard_anything(&self) -> bool {
        self.first_packet.is_some() || self.received() > 0
    }

    pub(super) fn described(&self) -> Option<SocketAddr> {
        self.theirs.and_then(|description| description.address)
    }
}

/// Whether hosts of the Internet cannot reach this address: private (RFC 1918, 4193), link-local, loopback, or shared
/// between a carrier's subscribers or within a VPN (RFC 6598).
pub(super) fn not_public(address: IpAddr) -> bool {
    is_shared(address) || Network::PRIVATE.iter().any(|network| network.contains(address))
}

/// Whether this is an address shared between a carrier's subscribers or within a VPN (RFC 6598: 100.64.0.0/10).
pub(super) fn is_shared(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
}
