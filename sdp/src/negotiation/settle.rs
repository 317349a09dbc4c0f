//! From the two descriptions of one medium to what was agreed about it. Offerer and answerer use the same rules.

use std::time::Duration;

use crate::attribute::parameters::{EventSet, ilbc_mode};
use crate::direction::Direction;

use super::agreed::{
    ActiveMedium, AgreedCodec, AgreedEncryption, AgreedEvents, AgreedFax, AgreedIce, AgreedMedium, Hold, Role,
};
use super::capability::FaxErrorCorrection;
use super::local::LocalMedium;
use super::matching::Common;
use super::mismatch::{MediumMismatch, Rule};
use super::remote::{RemoteFax, RemoteMedium};
use super::slot::Slot;

/// Packets hold this much sound where nobody says anything (RFC 3551 §4.2).
const USUAL_PACKET_TIME: Duration = Duration::from_millis(20);

/// Everything there is to know about one medium that both accepted.
pub(crate) struct Settlement<'s> {
    pub(crate) role: Role,
    pub(crate) local: &'s LocalMedium,
    pub(crate) remote: &'s RemoteMedium,
    pub(crate) common: &'s [Common],
    pub(crate) encryption: AgreedEncryption,
    pub(crate) slot: &'s Slot,
    pub(crate) before: Option<&'s ActiveMedium>,
    pub(crate) bundled_on: usize,
    pub(crate) local_is_lite: bool,
}

impl Settlement<'_> {
    pub(crate) fn settle(self) -> Result<ActiveMedium, Rule> {
        let Self { role, local, remote, before, .. } = self;
        let address = local.address.ok_or(Rule::NoTransport)?;
        let ice = self.ice();
        let rtcp_mux = local.rtcp_mux && remote.rtcp_mux;
        let bundled = self.bundled_on != remote.slot;
        let may_send = bundled || remote.rtp.is_some() || ice.is_some();
        let direction = local.direction.and(remote.direction.reversed());
        let direction =
            Direction::new(direction.sends() && may_send, direction.receives() && !local.zero_address);
        // A peer that was not offered to receive does not hold by not receiving.
        let asked = role == Role::Answerer || local.direction.sends();
        let remote_holds = remote.held_by_address || (asked && !remote.direction.receives());
        let (send, receive) = (self.codecs(true), self.codecs(false));
        let encryption = self.association(before);
        Ok(ActiveMedium {
            slot: remote.slot,
            kind: remote.kind.clone(),
            mid: local.mid.clone(),
            profile: remote.profile.clone(),
            direction,
            hold: Hold::new(self.slot.hold.is_some(), remote_holds),
            local: address,
            remote_rtp: remote.rtp.clone(),
            remote_rtcp: if rtcp_mux { remote.rtp.clone() } else { remote.rtcp.clone() },
            rtcp_mux,
            rtcp_reduced_size: local.rtcp_reduced_size && remote.rtcp_reduced_size,
            send_packet_time: packet_time(remote.packet_time, remote.max_packet_time, local, send.first()),
            receive_packet_time: local.packet_time.unwrap_or(USUAL_PACKET_TIME),
            max_packet_time: remote.max_packet_time,
            send_events: self.events(true),
            receive_events: self.events(false),
            send,
            receive,
            encryption,
            ice,
            bundled_on: self.bundled_on,
            feedback: remote
                .feedback
                .iter()
                .filter(|(_, what)| local.feedback.iter().any(|(_, ours)| ours == what))
                .cloned()
                .collect(),
            extensions: self.extensions(),
            sources: remote.sources.clone(),
            bandwidth: remote.bandwidth,
            no_silence_suppression: remote.no_silence_suppression,
            fax: (!local.fax.is_empty()).then(|| agree_fax(local, &remote.fax)),
            label: remote.label.clone(),
            content: remote.content.clone(),
        })
    }

    fn codecs(&self, send: bool) -> Vec<AgreedCodec> {
        let common = self.common.iter();
        common
            .filter_map(|common| {
                let ours = self.local.formats.get(common.local)?;
                let theirs = self.remote.formats.get(common.remote)?;
                if ours.is_telephone_event() {
                    return None;
                }
                Some(AgreedCodec {
                    name: ours.codec.name.clone().into_owned(),
                    clock_rate: ours.codec.clock_rate,
                    channels: ours.codec.channels,
                    payload_type: if send { theirs.payload_type } else { ours.payload_type },
                    parameters: if send { &common.settled.send } else { &common.settled.receive }.clone(),
                })
            })
            .collect()
    }

    fn events(&self, send: bool) -> Vec<AgreedEvents> {
        let common = self.common.iter();
        common
            .filter_map(|common| {
                let ours = self.local.formats.get(common.local)?;
                let theirs = self.remote.formats.get(common.remote)?;
                ours.is_telephone_event().then(|| AgreedEvents {
                    payload_type: if send { theirs.payload_type } else { ours.payload_type },
                    clock_rate: ours.codec.clock_rate,
                    events: EventSet::parse(&common.settled.send).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Extensions are numbered by the offer (RFC 8285 §6).
    fn extensions(&self) -> Vec<(u16, String)> {
        let (offer, answer): (Vec<_>, Vec<_>) = match self.role {
            Role::Offerer => {
                (self.local.extensions.iter().collect(), self.remote.extensions.iter().collect())
            }
            Role::Answerer => {
                (self.remote.extensions.iter().collect(), self.local.extensions.iter().collect())
            }
        };
        let is_answered = |uri: &String| answer.iter().any(|(_, _, answered)| answered == uri);
        offer.iter().filter(|(_, _, uri)| is_answered(uri)).map(|(id, _, uri)| (*id, uri.clone())).collect()
    }

    fn ice(&self) -> Option<AgreedIce> {
        let (_, theirs) = (self.local.ice.as_ref()?, self.remote.ice.as_ref()?);
        if self.remote.ice_mismatch || self.local.ice_mismatch {
            return None;
        }
        let before = self.before.and_then(|before| before.ice.as_ref());
        let controlling = match (self.local_is_lite, theirs.lite) {
            (false, true) => true,
            (true, false) => false,
            _ => self.role == Role::Offerer,
        };
        Some(AgreedIce {
            restarted: before.is_some_and(|old| old.ufrag != theirs.ufrag && old.password != theirs.password),
            ufrag: theirs.ufrag.clone(),
            password: theirs.password.clone(),
            candidates: theirs.candidates.clone(),
            end_of_candidates: theirs.end_of_candidates,
            lite: theirs.lite,
            options: theirs.options.clone(),
            remote_candidates: theirs.remote_candidates.clone(),
            // Roles stay until ICE restarts (RFC 8445 §6.1.1).
            controlling: before
                .filter(|old| old.ufrag == theirs.ufrag)
                .map_or(controlling, |old| old.controlling),
        })
    }

    /// Whether the DTLS association is a new one (RFC 8842 §4).
    fn association(&self, before: Option<&ActiveMedium>) -> AgreedEncryption {
        let mut now = self.encryption.clone();
        if let AgreedEncryption::Dtls(now) = &mut now
            && let Some(AgreedEncryption::Dtls(old)) = before.map(|before| &before.encryption)
        {
            now.new_association =
                now.role != old.role || now.fingerprints != old.fingerprints || now.tls_id != old.tls_id;
        }
        now
    }
}

/// Media that share a transport have the address, the keys and the ICE of the one that carries them (RFC 9143 §9).
pub(super) fn ride_on_bundle(
    agreed: &mut [AgreedMedium],
    mismatch: impl Fn(usize, Rule) -> Option<MediumMismatch>,
) {
    for place in 0..agreed.len() {
        let Some(on) = agreed.get(place).and_then(AgreedMedium::active).map(|medium| medium.bundled_on)
        else {
            continue;
        };
        if on == place {
            continue;
        }
        let carrier = agreed.get(on).and_then(AgreedMedium::active).cloned();
        match (agreed.get_mut(place), carrier) {
            (Some(AgreedMedium::Active(medium)), Some(carrier)) => medium.ride_on(carrier),
            (Some(medium), None) => {
                if let Some(mismatch) = mismatch(place, Rule::BundleRejected) {
                    *medium = AgreedMedium::Rejected(mismatch);
                }
            }
            _ => {}
        }
    }
}

impl ActiveMedium {
    fn ride_on(&mut self, carrier: Self) {
        let may_send = carrier.remote_rtp.is_some() || carrier.ice.is_some();
        self.direction = Direction::new(self.direction.sends() && may_send, self.direction.receives());
        self.local = carrier.local;
        (self.remote_rtp, self.remote_rtcp) = (carrier.remote_rtp, carrier.remote_rtcp);
        self.rtcp_mux |= carrier.rtcp_mux;
        (self.encryption, self.ice) = (carrier.encryption, carrier.ice);
    }
}

/// How much sound to send in a packet: what was asked for, no more than is taken, in whole frames.
fn packet_time(
    asked: Option<Duration>,
    most: Option<Duration>,
    local: &LocalMedium,
    codec: Option<&AgreedCodec>,
) -> Duration {
    let frame = codec.map_or(Duration::from_millis(1), frame_time);
    let wanted = asked.or(local.packet_time).unwrap_or(USUAL_PACKET_TIME);
    let wanted = most.map_or(wanted, |most| wanted.min(most));
    let frames = wanted.as_micros().checked_div(frame.as_micros()).unwrap_or(1).clamp(1, 100);
    frame * u32::try_from(frames).unwrap_or(1)
}

/// How long one frame of a codec is (RFC 3551 table 1 and the codecs' RFCs); 1 ms for codecs of single samples.
fn frame_time(codec: &AgreedCodec) -> Duration {
    let name = codec.name.to_ascii_lowercase();
    Duration::from_micros(match name.as_str() {
        "g729" => 10_000,
        "g723" => 30_000,
        "gsm" | "amr" | "amr-wb" | "speex" | "evrc" | "qcelp" => 20_000,
        "ilbc" => u64::from(ilbc_mode(&codec.parameters)).saturating_mul(1_000),
        "g728" | "opus" => 2_500,
        _ => 1_000,
    })
}

fn agree_fax(local: &LocalMedium, remote: &RemoteFax) -> AgreedFax {
    use crate::attribute::fax::Fax;
    let mut fax = AgreedFax {
        version: remote.version.unwrap_or(0),
        max_bit_rate: remote.max_bit_rate.unwrap_or(14_400),
        fill_bit_removal: false,
        error_correction: FaxErrorCorrection::None,
        max_datagram: remote.max_datagram,
    };
    let theirs = remote.error_correction.as_deref().and_then(FaxErrorCorrection::parse);
    for ours in &local.fax {
        match ours {
            Fax::Version(version) => fax.version = fax.version.min(*version),
            Fax::MaxBitRate(rate) => fax.max_bit_rate = fax.max_bit_rate.min(*rate),
            Fax::FillBitRemoval(flag) => fax.fill_bit_removal = *flag && remote.fill_bit_removal,
            // Each side says what it can undo; what only one knows is not used.
            Fax::ErrorCorrection(word) => {
                let ours = FaxErrorCorrection::parse(word);
                fax.error_correction =
                    ours.filter(|ours| Some(*ours) == theirs).unwrap_or(FaxErrorCorrection::None);
            }
            _ => {}
        }
    }
    fax
}
