//! One side of a call: its signalling handle, its pair of ports, and what was agreed with it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use denwa::address::Because;
use denwa::bridge::{self, LegId, LegSpec};
use denwa::evidence::{Fact, StreamCounters};
use denwa::media::StreamParameters;
use denwa::port_set::PortPair;
use denwa_sdp::{
    AnswerCodecs, Capability, Direction, EncryptionCapability, Negotiator, OfferError, Preference, Transport,
};
use denwa_sip_core::endpoint::{CallHandle, LocalIdentity};

use super::desk::{Asked, Desk};
use super::whereabouts::{Place, Way};
use crate::config::{Codec, Encryption, Voice};
use crate::why::End;

/// How many pairs of ports are tried when other programs hold them.
const MOST_PORT_TRIES: u32 = 16;

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
    offered: Option<Bytes>,
    /// How voice travels to and from it; the codecs in the order they are liked now.
    voice: Voice,
    role: Role,
    /// The codec agreed on.
    pub(super) codec: Option<String>,
    /// What it last asked for: the direction of its side.
    pub(super) direction: Direction,
    /// Where its voice is expected from, by its description.
    pub(super) expected: Option<SocketAddr>,
    /// Where its voice came from.
    pub(super) heard_from: Option<SocketAddr>,
    /// How its stream was doing when that was told last.
    pub(super) counters: Option<StreamCounters>,
    media: Media,
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
        let negotiator = negotiator(desk, &voice, role, &place, ports);
        let id = desk.new_leg(call);
        let leg = Self {
            label,
            handle: None,
            identity: LocalIdentity::default(),
            peer,
            place,
            negotiator,
            offered: None,
            voice,
            role,
            codec: None,
            direction: Direction::SendRecv,
            expected: None,
            heard_from: None,
            counters: None,
            media: Media::Opening,
            id,
            ports,
            tries: 1,
        };
        leg.ask_to_open(desk, call);
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
            negotiator: negotiator(desk, &voice, Role::Answers, &place, ports),
            place,
            offered: None,
            voice,
            role: Role::Answers,
            codec: None,
            direction: Direction::SendRecv,
            expected: None,
            heard_from: None,
            counters: None,
            media: Media::Closed,
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
            voice: self.voice.clone(),
            role: self.role,
            codec: self.codec.clone(),
            direction: self.direction,
            expected: None,
            heard_from: None,
            counters: None,
            media: Media::Closed,
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
        self.media == Media::Open
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
                self.negotiator = negotiator(desk, &self.voice, self.role, &self.place, ports);
                if let Some(offer) = &self.offered {
                    // It could be read before, and the codecs are the same.
                    let _ = self.negotiator.receive_offer(offer);
                }
                self.ask_to_open(desk, call);
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
        if let Some(remote) = stream.remote_rtp.filter(|remote| remote.ip() != self.peer.ip().to_canonical())
        {
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
        Some(stream)
    }

    /// Where its ports are.
    pub(super) fn local_rtp(&self) -> SocketAddr {
        SocketAddr::new(bind_address(self.place.way.local), self.ports.rtp)
    }

    /// The peer's first offer came, perhaps before its ports were open.
    pub(super) fn receive_offer(&mut self, offer: &[u8]) -> Result<(), OfferError> {
        self.negotiator.receive_offer(offer)?;
        self.offered = Some(Bytes::copy_from_slice(offer));
        Ok(())
    }

    /// Puts the codecs of `wished` in front, so that nothing has to be converted between the two sides.
    pub(super) fn prefer(&mut self, wished: &[String]) {
        let rank = |codec: &Codec| wished.iter().position(|name| name == codec.name()).unwrap_or(usize::MAX);
        self.voice.codecs.sort_by_key(rank);
        self.negotiator.set_capability(capability(&self.voice, self.role));
    }

    /// The codecs both this leg's peer offered and this leg may use, in the order they may be answered.
    pub(super) fn common_codecs(&mut self) -> Result<Vec<String>, OfferError> {
        let mut trial = self.negotiator.fork();
        trial.set_capability(Capability {
            answer_codecs: AnswerCodecs::All,
            ..capability(&self.voice, self.role)
        });
        trial.make_answer()?;
        let medium = trial.agreed().and_then(|agreed| agreed.audio());
        Ok(medium
            .map(|medium| medium.receive.iter().map(|codec| codec.name.clone()).collect())
            .unwrap_or_default())
    }

    /// The direction that its peer's last description wants for the peer: what it says of itself, and a `0.0.0.0` in the
    /// older style of hold (RFC 3264 section 8.4) as not wanting to hear.
    pub(super) fn asked_direction(&self) -> Direction {
        let Some(medium) = self.negotiator.remote().and_then(|remote| remote.media.first()) else {
            return Direction::SendRecv;
        };
        match (medium.direction, medium.held_by_address) {
            (Direction::SendRecv, true) => Direction::SendOnly,
            (Direction::RecvOnly, true) => Direction::Inactive,
            (direction, _) => direction,
        }
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
    }

    fn released(&mut self, desk: &mut Desk) {
        if self.media != Media::Closed {
            self.media = Media::Closed;
            desk.ports.release_pair(self.ports);
        }
    }
}

fn negotiator(desk: &mut Desk, voice: &Voice, role: Role, place: &Place, ports: PortPair) -> Negotiator {
    let address = SocketAddr::new(place.told, ports.rtp);
    Negotiator::new(capability(voice, role), vec![Transport::audio(address)], desk.negotiator_seed())
}

fn take_ports(desk: &mut Desk) -> Result<PortPair, End> {
    desk.ports.take_pair().map_err(|exhausted| End::NoPorts { reason: exhausted.to_string() })
}

/// The own address that packets to the peer leave by; anything when the system did not say.
fn bind_address(local: IpAddr) -> IpAddr {
    if local.is_multicast() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { local }
}

fn capability(voice: &Voice, role: Role) -> Capability {
    let codecs = voice.codecs.iter().map(|codec| match codec {
        Codec::Pcma => denwa_sdp::Codec::pcma(),
        Codec::Pcmu => denwa_sdp::Codec::pcmu(),
        Codec::G722 => denwa_sdp::Codec::g722(),
        Codec::G729 => denwa_sdp::Codec::g729(true),
        Codec::Gsm => denwa_sdp::Codec::gsm(),
        Codec::Ilbc => denwa_sdp::Codec::ilbc(30),
        Codec::Opus => denwa_sdp::Codec::opus(),
        Codec::G726 => denwa_sdp::Codec::new("G726-32", 8_000),
    });
    let mut capability = Capability::telephone(codecs);
    capability.preference = Preference::Local;
    capability.answer_codecs = AnswerCodecs::One;
    let policy = match (voice.encryption, role) {
        (Encryption::Off, _) | (Encryption::Accepted, Role::Offers) => denwa_sdp::Encryption::None,
        (Encryption::Accepted, Role::Answers) | (Encryption::Offered, _) => denwa_sdp::Encryption::Offered,
        (Encryption::Required, _) => denwa_sdp::Encryption::Required,
    };
    if policy != denwa_sdp::Encryption::None {
        capability.encryption = EncryptionCapability::sdes(policy);
    }
    capability
}
