//! What a leg says and reads in its descriptions: codecs, keys, ICE, the direction of voice.

use std::net::SocketAddr;

use bytes::Bytes;
use denwa::bridge;
use denwa::port_set::PortPair;
use denwa_sdp::{
    AnswerCodecs, Capability, Direction, EncryptionCapability, Negotiator, OfferError, Preference, RtcpMux,
    Transport,
};

use super::desk::Desk;
use super::leg::{Leg, Role};
use super::whereabouts::Place;
use crate::config::{Codec, Encryption, Keying, Voice};

/// What carries voice besides plain packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Carriage {
    /// The keys are agreed on by DTLS.
    pub(super) dtls: bool,
    /// The way is found by ICE.
    pub(super) ice: bool,
    /// RTCP has no port of its own.
    pub(super) rtcp_mux: bool,
}

impl Carriage {
    /// What we offer whom we call.
    pub(super) fn wished(voice: &Voice, desk: &Desk) -> Self {
        let dtls = voice.keying == Keying::Dtls
            && matches!(voice.encryption, Encryption::Offered | Encryption::Required)
            && desk.setup.identity.is_some();
        Self { dtls, ice: voice.ice, rtcp_mux: voice.one_port }
    }

    /// What a caller's offer has of what we can.
    pub(super) fn offered(negotiator: &Negotiator, voice: &Voice, desk: &Desk) -> Self {
        let Some(medium) = negotiator.remote().and_then(|remote| remote.media.first()) else {
            return Self::default();
        };
        let dtls = medium.profile.is_dtls()
            && !medium.fingerprints.is_empty()
            && voice.encryption != Encryption::Off
            && desk.setup.identity.is_some();
        let ice = medium.ice.is_some() && (dtls || voice.ice);
        Self { dtls, ice, rtcp_mux: (dtls || ice) && medium.rtcp_mux }
    }
}

impl Leg {
    /// The peer's first offer came, perhaps before its ports were open.
    pub(super) fn receive_offer(&mut self, desk: &Desk, offer: &[u8]) -> Result<(), OfferError> {
        self.negotiator.receive_offer(offer)?;
        self.offered = Some(Bytes::copy_from_slice(offer));
        self.common = None;
        let carriage = Carriage::offered(&self.negotiator, &self.voice, desk);
        if carriage != self.carriage {
            self.carriage = carriage;
            self.awaits_ice = carriage.ice;
            self.negotiator.set_capability(capability(&self.voice, self.role, carriage, desk));
        }
        Ok(())
    }

    /// The laws of G.711 that may be used with it, best first.
    pub(super) fn waveform_codecs(&self) -> Vec<Codec> {
        let is_waveform = |codec: &&Codec| matches!(codec, Codec::Pcma | Codec::Pcmu);
        self.voice.codecs.iter().filter(is_waveform).copied().collect()
    }

    /// Offers this codec alone from now on; the offer when its peer has to be asked.
    pub(super) fn only(&mut self, desk: &Desk, codec: Codec) -> Option<Bytes> {
        if self.codec.as_deref() == Some(codec.name()) {
            return None;
        }
        let voice = Voice { codecs: vec![codec], ..self.voice.clone() };
        self.negotiator.set_capability(capability(&voice, self.role, self.carriage, desk));
        self.negotiator.offer().ok()
    }

    /// Whether its peer's offer begins ICE anew; then the media side is asked for what the answer has to say of it.
    pub(super) fn restarts_ice(&mut self, desk: &mut Desk) -> bool {
        let agreed = self.negotiator.agreed().and_then(|agreed| agreed.audio()?.ice.as_ref());
        let offered = self.negotiator.remote().and_then(|remote| remote.media.first()?.ice.as_ref());
        let (Some(agreed), Some(offered)) = (agreed, offered) else { return false };
        if offered.ufrag == agreed.ufrag {
            return false;
        }
        self.awaits_ice = true;
        desk.media(bridge::Command::RestartIce { leg: self.id() });
        true
    }

    /// Puts the codecs of `wished` in front, so that nothing has to be converted between the two sides.
    pub(super) fn prefer(&mut self, desk: &Desk, wished: &[String]) {
        let rank = |codec: &Codec| wished.iter().position(|name| name == codec.name()).unwrap_or(usize::MAX);
        self.voice.codecs.sort_by_key(rank);
        self.common = None;
        self.negotiator.set_capability(capability(&self.voice, self.role, self.carriage, desk));
    }

    /// The codecs both this leg's peer offered and this leg may use, in the order they may be answered.
    pub(super) fn common_codecs(&mut self, desk: &Desk) -> Result<Vec<String>, OfferError> {
        let mut trial = self.negotiator.fork();
        trial.set_capability(Capability {
            answer_codecs: AnswerCodecs::All,
            ..capability(&self.voice, self.role, self.carriage, desk)
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
}

pub(super) fn negotiator(
    desk: &mut Desk,
    voice: &Voice,
    role: Role,
    carriage: Carriage,
    place: &Place,
    ports: PortPair,
) -> Negotiator {
    let address = SocketAddr::new(place.told, ports.rtp);
    Negotiator::new(
        capability(voice, role, carriage, desk),
        vec![Transport::audio(address)],
        desk.negotiator_seed(),
    )
}

fn capability(voice: &Voice, role: Role, carriage: Carriage, desk: &Desk) -> Capability {
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
    match desk.setup.identity.as_ref().filter(|_| carriage.dtls) {
        _ if policy == denwa_sdp::Encryption::None => {}
        Some(identity) => {
            capability.encryption = EncryptionCapability::dtls(policy, identity.fingerprint());
        }
        None => capability.encryption = EncryptionCapability::sdes(policy),
    }
    if carriage.ice {
        capability = capability.with_ice(denwa_sdp::Ice::Full);
    }
    if carriage.dtls && carriage.ice {
        capability.bundle = true;
        let is_certain = carriage.rtcp_mux && role == Role::Offers;
        capability.rtcp_mux = if is_certain { RtcpMux::Required } else { RtcpMux::Offered };
    }
    if let Some(audio) = capability.of_kind_mut(&denwa_sdp::Kind::Audio) {
        audio.packet_time = voice.packet_time;
        audio.feedback = carriage.dtls && carriage.ice;
    }
    capability
}
