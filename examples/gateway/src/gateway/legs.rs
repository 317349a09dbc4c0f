//! A leg's ports, the paths to its peer, and what can be described of it.

use super::Gateway;
use super::admission::Refused;
use super::leaf;
use super::passage::{End, Media, Passage, PassageId};
use crate::config::{self, Encryption as Encrypts, IceMode, KeyExchange, Kind as SideKind, Side};
use denwa::address::AddressPolicy;
use denwa::bridge::{self, CarriedBy, Command as MediaCommand, LegId, LegSpec};
use denwa::evidence::{AddressTold, Agreement, Description, Fact, Party as Who};
use denwa::media::{IceConfig, KeyPath, StreamParameters};
use denwa_sdp::{
    ActiveMedium, AnswerCodecs, Capability, Codec, Encryption, EncryptionCapability, Ice,
    KeyExchange as SdpKeys, Kind, Negotiator, Preference, RtcpMux, SdesCapability, Transport,
};
use denwa_sip_core::StatusCode;
use denwa_sip_core::config::SentBy;
use denwa_sip_core::endpoint::{CallOptions, LocalIdentity, ReliableProvisional, SessionTimerPolicy};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Media of a call through the gateway are missed after this long.
const SILENCE: Duration = Duration::from_secs(60);

/// How long an unanswered session timer may be off: what is asked for where the file says nothing. A peer whose gateway is
/// gone ends the call by it.
const SESSION: Duration = Duration::from_secs(1800);

impl Gateway {
    /// Takes ports for a leg and asks for its sockets; with ICE or DTLS, for those as well.
    pub(super) fn prepare_leg(&mut self, id: PassageId, end: End, now: Instant) -> Result<(), String> {
        let pair = self.pool.take_pair().map_err(|exhausted| exhausted.to_string())?;
        let leg = LegId(self.number());
        let Some(passage) = self.passages.get(&id) else { return Ok(()) };
        let (peer, route) = (passage.leg(end).peer, passage.leg(end).route);
        let Some(side) = self.side(passage.leg(end).side) else { return Ok(()) };
        let is_v4 = route.or(peer.map(|peer| peer.ip())).is_none_or(|address| address.is_ipv4());
        let any: IpAddr = if is_v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let route = route.unwrap_or(any);
        let peer = peer.map_or(route, |peer| peer.ip());
        let told = match side.own_address && !route.is_unspecified() {
            true => AddressPolicy::default().told(peer, route, None),
            false => self.config.addresses.told(peer, route, None),
        };
        let fact = Fact::Told(AddressTold::new(peer, route, told));
        let mut transport = Transport::audio(SocketAddr::new(told.address, pair.rtp));
        transport.rtcp_port = Some(pair.rtcp).filter(|rtcp| *rtcp != pair.rtp.wrapping_add(1));
        let spec = LegSpec {
            group: id.0,
            rtp: SocketAddr::new(route, pair.rtp),
            rtcp: SocketAddr::new(route, pair.rtcp),
            silence_after: SILENCE,
            cname: format!("gateway-{}", leg.0),
        };
        let by = carried_by(side, told.address, route, self.identity.clone());
        let awaits_ice = by.as_ref().is_some_and(|by| by.ice.is_some());
        self.by_leg.insert(leg, (id, end));
        self.tell_media(MediaCommand::Open { leg, spec });
        if let Some(by) = by {
            self.tell_media(MediaCommand::Carry { leg, by: Box::new(by) });
        }
        if let Some(passage) = self.passages.get_mut(&id) {
            passage.evidence.add(Some(leaf(end)), fact, now);
            passage.leg_mut(end).media = Some(Media { id: leg, ports: pair, awaits_ice, transport });
        }
        Ok(())
    }

    /// Another program has the port: the pair is kept from being tried again, and the next one is taken.
    pub(super) fn retry_leg(&mut self, id: PassageId, end: End, why: &bridge::OpenFailure, now: Instant) {
        let Some(leg) = self.passages.get_mut(&id).map(|passage| passage.leg_mut(end)) else { return };
        let media = leg.media.take();
        let again = matches!(why, bridge::OpenFailure::PortTaken(_));
        let result = if again { self.prepare_leg(id, end, now) } else { Err(why.to_string()) };
        if let Some(media) = media {
            self.by_leg.remove(&media.id);
            self.pool.release_pair(media.ports);
        }
        if let Err(sentence) = result {
            self.note(id, end, Fact::MediaNotOpened { why: sentence.clone() }, now);
            self.refuse(id, &Refused::new(StatusCode::SERVICE_UNAVAILABLE, sentence), now);
        }
    }

    /// What a side can do, for one of its legs.
    pub(super) fn capability(&self, side: &Side, codecs: Vec<Codec>) -> Capability {
        let mut capability = Capability::telephone(codecs);
        if let Some(audio) = capability.of_kind_mut(&Kind::Audio) {
            audio.packet_time = side.packet_time;
            audio.feedback = side.feedback;
            if side.dtmf != config::Dtmf::Events {
                audio.telephone_events = None;
            }
        }
        capability.encryption = self.encryption(side);
        capability.ice = match side.ice {
            IceMode::Off => Ice::Off,
            IceMode::Full => Ice::Full,
            IceMode::Lite => Ice::Lite,
        };
        capability.bundle = side.bundle;
        capability.rtcp_mux = if side.rtcp_mux { RtcpMux::Offered } else { RtcpMux::Off };
        capability
    }

    fn encryption(&self, side: &Side) -> EncryptionCapability {
        let policy = match side.encryption {
            Encrypts::Off => return EncryptionCapability::none(),
            Encrypts::Offered => Encryption::Offered,
            Encrypts::Required => Encryption::Required,
        };
        let fingerprint = self.identity.as_ref().map(|identity| identity.fingerprint());
        let mut encryption = match fingerprint.filter(|_| side.keys.contains(&KeyExchange::Dtls)) {
            Some(fingerprint) => EncryptionCapability::dtls(policy, fingerprint),
            None => EncryptionCapability { policy, ..EncryptionCapability::none() },
        };
        if side.keys.contains(&KeyExchange::Sdes) {
            encryption.sdes = Some(SdesCapability::default());
        }
        encryption.preferred =
            if side.keys.first() == Some(&KeyExchange::Sdes) { SdpKeys::Sdes } else { SdpKeys::Dtls };
        encryption
    }

    /// The negotiation of a leg that is ready to be described.
    pub(super) fn negotiator(&mut self, id: PassageId, end: End) -> Option<Negotiator> {
        let seed = denwa_sdp::Seed(self.seeds.next());
        let passage = self.passages.get(&id)?;
        let side = self.side(passage.leg(end).side)?;
        let transport = passage.leg(end).media.as_ref()?.transport.clone();
        let capability = self.capability(side, codecs(side, passage, end));
        Some(Negotiator::new(capability, vec![transport], seed))
    }

    /// Who we are to a peer.
    pub(super) fn identity_for(
        &self,
        side: usize,
        peer: IpAddr,
        route: Option<IpAddr>,
        user: String,
    ) -> LocalIdentity {
        let is_own = self.side(side).is_some_and(|side| side.own_address);
        let advertised = route.filter(|_| !is_own).and_then(|route| {
            let told = self.config.addresses.told(peer, route, None);
            let own = self.config.listen.iter().find(|own| own.address.is_ipv4() == peer.is_ipv4());
            let port = own.or(self.config.listen.first()).map_or(5060, |own| own.address.port());
            (told.address != route).then(|| SentBy::from_address(SocketAddr::new(told.address, port)))
        });
        LocalIdentity { user, advertised, ..LocalIdentity::default() }
    }

    /// How calls with a side are held up.
    pub(super) fn options(&self, side: usize) -> CallOptions {
        let mut options = CallOptions::default();
        let Some(side) = self.side(side) else { return options };
        options.reliable_provisional = match side.reliable {
            config::Reliable::Off => ReliableProvisional::Off,
            config::Reliable::Supported => ReliableProvisional::Supported,
            config::Reliable::Required => ReliableProvisional::Required,
        };
        let asked = match side.session_timer {
            config::SessionTimer::Off => None,
            config::SessionTimer::Follow => Some(SESSION),
            config::SessionTimer::Every(interval) => Some(interval),
        };
        options.session_timer = asked
            .map(|interval| SessionTimerPolicy { interval: Some(interval), ..SessionTimerPolicy::default() });
        options
    }

    // ---- what was agreed

    /// Goes by what was agreed with a leg's peer.
    pub(super) fn configure(&mut self, id: PassageId, end: End, now: Instant) {
        let medium = self
            .passages
            .get(&id)
            .and_then(|passage| passage.leg(end).negotiator.as_ref()?.agreed()?.audio().cloned());
        self.configure_with(id, end, medium, now);
    }

    pub(super) fn configure_with(
        &mut self,
        id: PassageId,
        end: End,
        medium: Option<ActiveMedium>,
        now: Instant,
    ) {
        let key_path = match self.side_of(id, end).map(|side| side.dtmf) {
            Some(config::Dtmf::Info) => KeyPath::Signalling,
            Some(config::Dtmf::Sound) => KeyPath::InBand,
            _ => KeyPath::Agreed,
        };
        let asked = self.side_of(id, end).is_some_and(|side| side.packet_time.is_some());
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let peer = passage.leg(end).peer;
        let (Some(medium), Some(media)) = (medium, passage.leg(end).media_id()) else { return };
        let mut exact = asked;
        if let Some(remote) = passage.leg(end).negotiator.as_ref().and_then(Negotiator::remote) {
            let wishes = remote.media.iter().find(|other| other.slot == medium.slot);
            exact |= wishes.is_some_and(|it| it.packet_time.is_some() || it.max_packet_time.is_some());
            let description = Description::of_remote(remote);
            passage.evidence.add(Some(leaf(end)), Fact::Described { by: Who::Peer, description }, now);
        }
        passage.evidence.add(Some(leaf(end)), Fact::Agreed(Agreement::of_medium(&medium)), now);
        match StreamParameters::from_agreed(&medium) {
            Ok(mut stream) => {
                stream.known_hosts.extend(peer.map(|peer| peer.ip()));
                stream.key_path = key_path;
                passage.leg_mut(end).is_configured = true;
                let stream = Box::new(stream);
                // Who says how long packets are to be gets no others.
                self.tell_media(MediaCommand::KeepPacketTime { leg: media, wanted: exact });
                self.tell_media(MediaCommand::Configure { leg: media, stream });
                self.join(id);
            }
            Err(error) => self.line(format!("{id}: {error}")),
        }
    }

    /// Lets the two hear one another as soon as it is known how both speak.
    fn join(&mut self, id: PassageId) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        if passage.joined || !passage.caller.is_configured || !passage.callee.is_configured {
            return;
        }
        let (Some(from), Some(to)) = (passage.caller.media_id(), passage.callee.media_id()) else { return };
        passage.joined = true;
        self.tell_media(MediaCommand::Connect { leg: from, to: bridge::Connection::Leg(to) });
    }
}

/// What carries a leg of this side besides plain sockets.
fn carried_by(
    side: &Side,
    told: IpAddr,
    route: IpAddr,
    identity: Option<denwa::media::Identity>,
) -> Option<CarriedBy> {
    let identity =
        identity.filter(|_| side.encryption != Encrypts::Off && side.keys.contains(&KeyExchange::Dtls));
    let mut ice = match side.ice {
        IceMode::Off => None,
        IceMode::Full => Some(IceConfig::default()),
        IceMode::Lite => Some(IceConfig::lite()),
    };
    if let Some(ice) = &mut ice {
        if route.is_unspecified() {
            ice.address = Some(told);
        } else if told != route {
            ice.also_known_as.push(told);
        }
        if let Some(relay) = &side.relay {
            ice.turn_servers.push(relay.clone());
            ice.relay_only = true;
        }
    }
    // A browser always shares the port.
    let rtcp_mux = side.kind == SideKind::WebRtc;
    (ice.is_some() || identity.is_some()).then_some(CarriedBy { ice, identity, rtcp_mux })
}

/// What a leg is offered or answered: its side's codecs; for the callee those first that the caller offers too, so that
/// nothing needs to be converted.
fn codecs(side: &Side, passage: &Passage, end: End) -> Vec<Codec> {
    let mut codecs = side.codecs.clone();
    let offered = passage.caller.negotiator.as_ref().and_then(Negotiator::remote);
    let offered = offered.and_then(|remote| remote.media.iter().find(|medium| medium.kind == Kind::Audio));
    if let (End::Callee, Some(offered)) = (end, offered) {
        codecs.sort_by_key(|codec| {
            let same =
                |format: &denwa_sdp::Format| codec.is_same(&format.name, format.clock_rate, format.channels);
            offered.formats.iter().position(same).unwrap_or(usize::MAX)
        });
    }
    codecs
}

/// The caller is answered with the codec first that the callee speaks.
pub(super) fn prefer(negotiator: &mut Negotiator, chosen: &denwa_sdp::AgreedCodec) {
    let mut capability = negotiator.capability().clone();
    if let Some(audio) = capability.of_kind_mut(&Kind::Audio) {
        audio.codecs.sort_by_key(|codec| !codec.is_same(&chosen.name, chosen.clock_rate, chosen.channels));
        capability.preference = Preference::Local;
        capability.answer_codecs = AnswerCodecs::All;
    }
    negotiator.set_capability(capability);
}
