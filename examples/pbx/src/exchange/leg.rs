//! One side of a call: its signalling handle, its pair of ports, and what was agreed with it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use denwa::address::Because;
use denwa::bridge::{self, CarriedBy, LegId, LegSpec};
use denwa::evidence::{Agreement, Fact, StreamCounters};
use denwa::media::{IceConfig, KeyPath, StreamParameters};
use denwa::port_set::PortPair;
use denwa_sdp::{Direction, LocalIce, LocalSource, Negotiator, Transport};
use denwa_sip_core::endpoint::{CallHandle, LocalIdentity};

use super::describing::{Carriage, negotiator};
use super::desk::{Asked, Desk};
use super::whereabouts::{Place, Way};
use crate::config::{Nat, Voice};
use crate::why::End;

/// How many pairs of ports are tried when other programs hold them.
const MOST_PORT_TRIES: u32 = 128;

/// One side of a call.
#[derive(Debug)]
pub(super) struct Leg {
    /// Who it is, for people: `1002 at udp 192.0.2.1:5060`.
    pub(super) label: String,
    /// Its call in the endpoint, while there is one.
    pub(super) handle: Option<CallHandle>,
    /// Who we are to it.
    pub(super) identity: LocalIdentity,
    /// Where its signalling is.
    pub(super) peer: SocketAddr,
    /// What it is told.
    pub(super) place: Place,
    /// Its descriptions.
    pub(super) negotiator: Negotiator,
    /// The peer's first offer, kept until its ports are open.
    pub(super) offered: Option<Bytes>,
    /// The codecs it has in common with its peer's offer, from when that was read until they are asked for or it is answered.
    pub(super) common: Option<Vec<String>>,
    /// How voice travels to and from it; the codecs in the order they are liked now.
    pub(super) voice: Voice,
    pub(super) role: Role,
    /// The codec agreed on.
    pub(super) codec: Option<String>,
    /// What it last asked for: the direction of its side.
    pub(super) direction: Direction,
    /// What offer and answer came to, as was told of last.
    agreed: Option<Agreement>,
    /// Where its voice is expected from, by its description.
    pub(super) expected: Option<SocketAddr>,
    /// Where its voice came from.
    pub(super) heard_from: Option<SocketAddr>,
    /// How its stream was doing when that was told last.
    pub(super) counters: Option<StreamCounters>,
    media: Media,
    pub(super) carriage: Carriage,
    /// What ICE needs said is not known yet.
    pub(super) awaits_ice: bool,
    id: LegId,
    ports: PortPair,
    tries: u32,
}

/// Who describes the session first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// We do: a telephone that is called.
    Offers,
    /// Its peer does: the caller.
    Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Opening,
    Open,
    Closing,
    Closed,
}

impl Leg {
    /// A leg towards `peer` for call number `call`, its ports being opened.
    pub(super) fn open(
        desk: &mut Desk,
        call: u64,
        role: Role,
        label: String,
        peer: SocketAddr,
        place: Place,
        voice: Voice,
    ) -> Result<Self, End> {
        let ports = take_ports(desk)?;
        let carriage = match role {
            Role::Offers => Carriage::wished(&voice, desk),
            // The caller's offer says what he can.
            Role::Answers => Carriage::default(),
        };
        let negotiator = negotiator(desk, &voice, role, carriage, &place, ports);
        let id = desk.new_leg(call);
        let leg = Self {
            label,
            handle: None,
            identity: LocalIdentity::default(),
            peer,
            place,
            negotiator,
            offered: None,
            common: None,
            voice,
            role,
            codec: None,
            direction: Direction::SendRecv,
            agreed: None,
            expected: None,
            heard_from: None,
            counters: None,
            media: Media::Opening,
            carriage,
            awaits_ice: carriage.ice,
            id,
            ports,
            tries: 1,
        };
        leg.ask_to_open(desk, call);
        leg.ask_to_carry(desk);
        Ok(leg)
    }

    /// What stands in the caller's place of a call that the exchange makes by itself: it has no ports.
    pub(super) fn nobody(desk: &mut Desk) -> Self {
        let way = Way { local: Ipv4Addr::LOCALHOST.into(), interface: "".into() };
        let place = Place { told: way.local, because: Because::NoExternal, sip_port: None, way };
        let (voice, ports) = (Voice::default(), PortPair { rtp: 0, rtcp: 0 });
        Self {
            label: "this exchange".to_owned(),
            handle: None,
            identity: LocalIdentity::default(),
            peer: SocketAddr::new(place.told, 0),
            negotiator: negotiator(desk, &voice, Role::Answers, Carriage::default(), &place, ports),
            place,
            offered: None,
            common: None,
            voice,
            role: Role::Answers,
            codec: None,
            direction: Direction::SendRecv,
            agreed: None,
            expected: None,
            heard_from: None,
            counters: None,
            media: Media::Closed,
            carriage: Carriage::default(),
            awaits_ice: false,
            id: LegId(0),
            ports,
            tries: 0,
        }
    }

    /// What holds its place when it was given away: nothing is heard of it any more.
    pub(super) fn stand_in(&mut self) -> Self {
        Self {
            label: self.label.clone(),
            handle: None,
            identity: self.identity.clone(),
            peer: self.peer,
            place: self.place.clone(),
            negotiator: self.negotiator.fork(),
            offered: None,
            common: None,
            voice: self.voice.clone(),
            role: self.role,
            codec: self.codec.clone(),
            direction: self.direction,
            agreed: None,
            expected: None,
            heard_from: None,
            counters: None,
            media: Media::Closed,
            carriage: Carriage::default(),
            awaits_ice: false,
            // No leg has this name.
            id: LegId(0),
            ports: self.ports,
            tries: self.tries,
        }
    }

    /// The leg's name on the media side.
    pub(super) fn id(&self) -> LegId {
        self.id
    }

    /// Whether its ports are open, so that a description may name them.
    pub(super) fn is_open(&self) -> bool {
        self.media == Media::Open && !self.awaits_ice
    }

    /// Whether it has put the other side on hold.
    pub(super) fn holds(&self) -> bool {
        matches!(self.direction, Direction::SendOnly | Direction::Inactive)
    }

    /// Whether nothing more will be heard of it.
    pub(super) fn is_over(&self) -> bool {
        self.handle.is_none() && self.media == Media::Closed
    }

    /// The media side opened its ports.
    pub(super) fn opened(&mut self) {
        if self.media == Media::Opening {
            self.media = Media::Open;
            self.offered = None;
        }
    }

    /// All is known that its peer is to be told of ICE.
    pub(super) fn ice_ready(&mut self, ice: LocalIce, source: LocalSource) {
        let address = SocketAddr::new(self.place.told, self.ports.rtp);
        let transport = Transport::audio(address).with_ice(ice).with_source(source);
        // Before the first description there is no medium yet that could have it.
        if self.negotiator.set_transport(0, transport.clone()).is_err() {
            self.negotiator.set_free_transports(vec![transport]);
        }
        self.awaits_ice = false;
    }

    /// The media side could not: the next pair is tried, under a new name, unless too many were.
    pub(super) fn open_failed(&mut self, desk: &mut Desk, call: u64, reason: &str) -> Result<(), End> {
        desk.forget_leg(self.id);
        if self.media != Media::Opening {
            self.released(desk);
            return Ok(());
        }
        let refused = self.ports;
        let next = if self.tries < MOST_PORT_TRIES {
            take_ports(desk)
        } else {
            Err(End::NoPorts {
                reason: format!("port {} and {} more: {reason}", refused.rtp, self.tries - 1),
            })
        };
        // Given back only now, so that the next pair is another one.
        desk.ports.release_pair(refused);
        match next {
            Ok(ports) => {
                self.ports = ports;
                self.tries += 1;
                self.id = desk.new_leg(call);
                self.negotiator = negotiator(desk, &self.voice, self.role, self.carriage, &self.place, ports);
                if let Some(offer) = &self.offered {
                    // It could be read before, and the codecs are the same.
                    let _ = self.negotiator.receive_offer(offer);
                }
                self.ask_to_open(desk, call);
                self.ask_to_carry(desk);
                Ok(())
            }
            Err(end) => {
                self.media = Media::Closed;
                Err(end)
            }
        }
    }

    /// Gives its ports up.
    pub(super) fn close(&mut self, desk: &mut Desk) {
        if matches!(self.media, Media::Opening | Media::Open) {
            self.media = Media::Closing;
            desk.media(bridge::Command::Close { leg: self.id });
        }
    }

    /// The media side closed its ports.
    pub(super) fn closed(&mut self, desk: &mut Desk) {
        desk.forget_leg(self.id);
        self.released(desk);
    }

    /// Hands what was agreed to the media side. `Err` when nothing was that voice could use.
    ///
    /// When the described address is not that of the signalling, the system is asked whether the way to it is the same.
    pub(super) fn configure(&mut self, desk: &mut Desk) -> Result<(), ()> {
        let stream = self.stream().ok_or(())?;
        self.codec = stream.send.first().map(|codec| codec.name.clone());
        self.expected = stream.remote_rtp;
        let is_elsewhere = |remote: &SocketAddr| remote.ip() != self.peer.ip().to_canonical();
        // ICE finds its way by itself.
        if let Some(remote) = stream.remote_rtp.filter(is_elsewhere).filter(|_| stream.ice.is_none()) {
            desk.ask_route(Asked::MediaRoute(self.id, remote.ip()), remote);
        }
        desk.media(bridge::Command::Configure { leg: self.id, stream: Box::new(stream) });
        Ok(())
    }

    /// The way to the described address is this. When it leaves by another interface than the signalling (a VPN that shows
    /// the peer under another address than it knows itself by), media go to the signalling's address too until some come.
    pub(super) fn media_routed(
        &mut self,
        desk: &mut Desk,
        address: IpAddr,
        way: Option<&Way>,
    ) -> Option<Fact> {
        let described =
            self.expected.filter(|expected| expected.ip() == address && self.heard_from.is_none())?;
        let mut stream = self.stream()?;
        if way.is_some_and(|way| !way.differs_from(&self.place.way)) {
            return None;
        }
        let to = SocketAddr::new(self.peer.ip().to_canonical(), described.port());
        stream.also_rtp = Some(to);
        desk.media(bridge::Command::Configure { leg: self.id, stream: Box::new(stream) });
        let why = match way {
            Some(way) => format!(
                "the way to {address} leaves by {}, that of the signalling by {}",
                way, self.place.way
            ),
            None => format!("this machine knows no way to {address}"),
        };
        Some(Fact::MediaRedirected { described, to, why })
    }

    fn stream(&self) -> Option<StreamParameters> {
        let medium = self.negotiator.agreed().and_then(|agreed| agreed.audio())?;
        let mut stream = StreamParameters::from_agreed(medium).ok()?;
        stream.known_hosts.push(self.peer.ip().to_canonical());
        stream.key_path = self.voice.keys;
        if let (Nat::Behind, Some(described)) = (self.voice.nat, stream.remote_rtp) {
            stream.also_rtp = Some(SocketAddr::new(self.peer.ip().to_canonical(), described.port()))
                .filter(|also| *also != described);
        }
        Some(stream)
    }

    /// What offer and answer came to, when that is something else than was told of last.
    pub(super) fn newly_agreed(&mut self) -> Option<Fact> {
        let agreed = Agreement::of_medium(self.negotiator.agreed().and_then(|agreed| agreed.audio())?);
        let is_new = self.agreed.as_ref() != Some(&agreed);
        self.agreed = Some(agreed.clone());
        is_new.then_some(Fact::Agreed(agreed))
    }

    /// Where its ports are.
    pub(super) fn local_rtp(&self) -> SocketAddr {
        SocketAddr::new(bind_address(self.place.way.local), self.ports.rtp)
    }

    /// Has the media side carry what was just offered; once, and before anything is agreed.
    pub(super) fn carry(&self, desk: &mut Desk) {
        self.ask_to_carry(desk);
    }

    /// Whether its peer is told keys by the signalling.
    pub(super) fn takes_keys_by_info(&self) -> bool {
        self.voice.keys == KeyPath::Signalling
    }

    fn ask_to_open(&self, desk: &mut Desk, call: u64) {
        let local = bind_address(self.place.way.local);
        let spec = LegSpec {
            group: call,
            rtp: SocketAddr::new(local, self.ports.rtp),
            rtcp: SocketAddr::new(local, self.ports.rtcp),
            silence_after: desk.setup.silence,
            cname: desk.setup.cname.clone(),
        };
        desk.media(bridge::Command::Open { leg: self.id, spec });
        if let Some(dscp) = self.voice.dscp {
            desk.media(bridge::Command::Mark { leg: self.id, dscp });
        }
    }

    fn ask_to_carry(&self, desk: &mut Desk) {
        let Carriage { dtls, ice, rtcp_mux } = self.carriage;
        if !dtls && !ice {
            return;
        }
        let config = ice.then(|| {
            let mut config = IceConfig::default();
            config.address = Some(self.place.way.local);
            config.also_known_as =
                Some(self.place.told).filter(|told| *told != self.place.way.local).into_iter().collect();
            config
        });
        let identity = desk.setup.identity.clone().filter(|_| dtls);
        let by = Box::new(CarriedBy { ice: config, identity, rtcp_mux });
        desk.media(bridge::Command::Carry { leg: self.id, by });
    }

    fn released(&mut self, desk: &mut Desk) {
        if self.media != Media::Closed {
            self.media = Media::Closed;
            desk.ports.release_pair(self.ports);
        }
    }
}

fn take_ports(desk: &mut Desk) -> Result<PortPair, End> {
    desk.ports.take_pair().map_err(|exhausted| End::NoPorts { reason: exhausted.to_string() })
}

/// The own address that packets to the peer leave by; anything when the system did not say.
fn bind_address(local: IpAddr) -> IpAddr {
    if local.is_multicast() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { local }
}
