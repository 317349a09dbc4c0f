//! Making an offer: first, later, or late (RFC 3264 §5, §8).

use crate::profile::Profile;

use super::Negotiator;
use super::agreed::{ActiveMedium, AgreedEncryption};
use super::capability::{
    BestEffort, Codec, Encryption, Ice, KeyExchange, MediaCapability, RtcpMux, TELEPHONE_EVENT,
};
use super::encryption;
use super::local::LocalMedium;
use super::matching::{LocalFormat, telephone_event};
use super::mismatch::Misuse;
use super::slot::Slot;

impl Negotiator {
    /// The media of an offer, one for each slot; the first offer makes the slots.
    pub(super) fn build_offer(&mut self) -> Result<Vec<LocalMedium>, Misuse> {
        if self.slots.is_empty() {
            self.open_first_slots()?;
        }
        let mut media: Vec<LocalMedium> = Vec::new();
        let mut slots = std::mem::take(&mut self.slots);
        for (place, slot) in slots.iter_mut().enumerate() {
            let before = self.agreed_active(place).cloned();
            let medium = self.offer_medium(place, slot, before.as_ref(), &media);
            slot.last = Some((medium.profile.clone(), names(&medium)));
            media.push(medium);
        }
        for place in 0..media.len() {
            let tagged = self.agreed_active(place).map(|before| before.bundled_on).filter(|on| *on != place);
            let address = tagged.and_then(|on| media.get(on)?.address);
            if let Some(medium) = media.get_mut(place).filter(|medium| medium.bundled && !medium.bundle_only)
            {
                (medium.address, medium.bundle_only) = (address, address.is_none());
            }
        }
        self.slots = slots;
        self.offer_bundle(&mut media);
        Ok(media)
    }

    pub(super) fn open_first_slots(&mut self) -> Result<(), Misuse> {
        let two = self.capability.encryption.policy == Encryption::Offered
            && self.capability.encryption.best_effort == BestEffort::TwoMedia
            && encryption::exchange(&self.capability.encryption).is_some();
        for (place, medium) in self.capability.media.clone().into_iter().enumerate() {
            let (kind, is_rtp) = (medium.kind, medium.fax.is_none() && medium.other.is_none());
            for _ in 0..medium.offered {
                let mut slot = self.new_slot(kind.clone(), medium.direction);
                slot.capability = Some(place);
                slot.transport = self.take_transport(&kind);
                let shares = self.capability.bundle && !self.slots.is_empty();
                if slot.transport.is_none() && !shares {
                    return Err(Misuse::NoTransport);
                }
                let mut plain = slot.clone();
                self.slots.push(slot);
                if two && is_rtp {
                    plain.is_plain_alternative = true;
                    self.slots.push(plain);
                }
            }
        }
        Ok(())
    }

    fn offer_medium(
        &mut self,
        place: usize,
        slot: &mut Slot,
        before: Option<&ActiveMedium>,
        earlier: &[LocalMedium],
    ) -> LocalMedium {
        // A call that turns from speech to fax keeps its place, and nothing of what was agreed for speech.
        let agreed = before.filter(|before| before.kind == slot.kind);
        let capability = self.capability_for(slot, agreed.map(|before| &before.profile)).cloned();
        let Some(capability) = capability.filter(|_| slot.wanted) else { return gone(slot) };
        let (profile, exchange) = self.offered_profile(&capability, slot, agreed);
        let mut medium = LocalMedium::new(slot.kind.clone(), profile);
        medium.direction = slot.wish();
        medium.packet_time = capability.packet_time;
        medium.max_packet_time = capability.max_packet_time;
        medium.attributes.clone_from(&capability.attributes);
        medium.mid = slot.mid.clone();
        self.place(place, slot, &mut medium, before);
        if let Some(fax) = &capability.fax {
            medium.fax = fax.attributes();
            medium.format_names = vec!["t38".into()];
        } else if let Some(other) = &capability.other {
            medium.format_names.clone_from(&other.formats);
        } else {
            // Media that share a transport share the numbers (RFC 9143 §9.1).
            let shared = if self.capability.bundle { earlier } else { &[] };
            let formats: Vec<&LocalFormat> = shared.iter().flat_map(|medium| &medium.formats).collect();
            medium.formats = self.offered_formats(&capability, slot, agreed, &formats);
            medium.feedback = capability.feedback_kinds.iter().map(|what| (None, what.clone())).collect();
            medium.extensions = offered_extensions(&capability, slot, earlier);
            medium.rtcp_mux = self.capability.rtcp_mux != RtcpMux::Off || self.capability.bundle;
            medium.rtcp_mux_only = self.capability.rtcp_mux == RtcpMux::Required;
            medium.rtcp_reduced_size = capability.feedback;
            medium.source = slot.transport.as_ref().and_then(|transport| transport.source.clone());
        }
        if let Some(exchange) = exchange {
            medium.encryption =
                encryption::offer(&self.capability.encryption, exchange, slot, &mut self.random);
        }
        if self.capability.ice != Ice::Off {
            medium.ice = slot.transport.as_ref().and_then(|transport| transport.ice.clone());
        }
        medium
    }

    /// Puts the address of a slot into its medium.
    fn place(&self, place: usize, slot: &Slot, medium: &mut LocalMedium, before: Option<&ActiveMedium>) {
        // The family that is in use is kept: a name or another one would move the media.
        let family = before.map(|before| before.local.is_ipv6());
        if before.is_some_and(|before| before.bundled_on != place) {
            // Where the medium it rides on is now, is known when all are there.
            medium.bundled = true;
            return;
        }
        medium.address = slot.address(family).or_else(|| slot.address(None));
        medium.zero_address = slot.holds_by_address();
        if medium.address.is_none() {
            (medium.bundle_only, medium.bundled) = (true, true);
        }
        let rtcp = slot.transport.as_ref().and_then(|transport| transport.rtcp_port);
        medium.rtcp_port =
            rtcp.filter(|port| medium.address.and_then(|rtp| rtp.port().checked_add(1)) != Some(*port));
    }

    /// The profile of an offer, and how keys are agreed on. What is in use is kept.
    fn offered_profile(
        &self,
        capability: &MediaCapability,
        slot: &Slot,
        before: Option<&ActiveMedium>,
    ) -> (Profile, Option<KeyExchange>) {
        if capability.fax.is_some() {
            return (Profile::Udptl, None);
        }
        if let Some(other) = &capability.other {
            let dtls = other.profile.is_dtls() && self.capability.encryption.dtls.is_some();
            return (other.profile.clone(), dtls.then_some(KeyExchange::Dtls));
        }
        let encryption = &self.capability.encryption;
        let exchange = encryption::exchange(encryption).filter(|_| !slot.is_plain_alternative);
        if let Some(before) = before
            && before.profile.is_rtp()
        {
            let exchange = match before.encryption {
                AgreedEncryption::Sdes(_) if encryption.sdes.is_some() => Some(KeyExchange::Sdes),
                AgreedEncryption::Dtls(_) if encryption.dtls.is_some() => Some(KeyExchange::Dtls),
                _ => exchange,
            };
            return (before.profile.clone(), exchange);
        }
        let plain =
            encryption.policy == Encryption::Offered && encryption.best_effort == BestEffort::PlainProfile;
        let profile = match (exchange.filter(|_| !plain), capability.feedback) {
            (None, false) => Profile::Avp,
            (None, true) => Profile::Avpf,
            (Some(KeyExchange::Sdes), false) => Profile::Savp,
            (Some(KeyExchange::Sdes), true) => Profile::Savpf,
            (Some(KeyExchange::Dtls), false) => Profile::DtlsSavp,
            (Some(KeyExchange::Dtls), true) => Profile::DtlsSavpf,
        };
        (profile, exchange)
    }

    fn offered_formats(
        &self,
        capability: &MediaCapability,
        slot: &mut Slot,
        before: Option<&ActiveMedium>,
        shared: &[&LocalFormat],
    ) -> Vec<LocalFormat> {
        let mut codecs: Vec<&Codec> = capability.codecs.iter().collect();
        if self.capability.keep_codec
            && let Some(used) = before.and_then(ActiveMedium::codec)
        {
            codecs.sort_by_key(|codec| !codec.is_same(&used.name, used.clock_rate, used.channels));
        }
        let mut taken: Vec<u8> = shared.iter().map(|format| format.payload_type).collect();
        // One codec may have one number in all of them, if something else tells whose packet it is (§9.2).
        let told_apart = capability.extensions.iter().any(|uri| uri == MID_EXTENSION);
        let mut formats: Vec<LocalFormat> = Vec::new();
        let mut add = |codec: Codec, wanted: Option<u8>, formats: &mut Vec<LocalFormat>| {
            let key = codec_key(&codec);
            let same = shared.iter().find(|format| told_apart && codec_key(&format.codec) == key);
            let number = match same {
                Some(same) => {
                    slot.remember(same.payload_type, &key);
                    Some(same.payload_type)
                }
                None => slot.payload_type(&key, wanted, &taken),
            };
            if let Some(payload_type) = number {
                taken.push(payload_type);
                let parameters = codec.parameters.clone();
                formats.push(LocalFormat { payload_type, codec, parameters });
            }
        };
        for codec in &codecs {
            add((*codec).clone(), codec.payload_type, &mut formats);
        }
        if let Some(events) = capability.telephone_events {
            let mut rates: Vec<u32> = Vec::new();
            for codec in codecs.iter().filter(|codec| !codec.name.eq_ignore_ascii_case("CN")) {
                if !rates.contains(&codec.clock_rate) {
                    rates.push(codec.clock_rate);
                }
            }
            if codecs.is_empty() {
                rates.push(8_000);
            }
            for rate in rates {
                let said = capability.event_payload_types.iter().find(|(clock_rate, _)| *clock_rate == rate);
                // 101 is what everybody uses, and some know nothing else.
                let usual = (rate == 8_000).then_some(101);
                let wanted = said.map(|(_, number)| *number & 0x7f).or(usual);
                add(telephone_event(rate, events), wanted, &mut formats);
            }
        }
        formats
    }

    /// One group for all live media (RFC 9143 §7.2).
    fn offer_bundle(&mut self, media: &mut [LocalMedium]) {
        if !self.capability.bundle {
            return;
        }
        for (place, medium) in media.iter_mut().enumerate() {
            if medium.is_live() && medium.mid.is_none() {
                let known: Vec<&String> = self.slots.iter().filter_map(|slot| slot.mid.as_ref()).collect();
                let free = (self.next_mid..).map(|number| (number, number.to_string()));
                if let Some((number, mid)) = free.into_iter().find(|(_, mid)| !known.contains(&mid)) {
                    self.next_mid = number.saturating_add(1);
                    medium.mid = Some(mid);
                }
            }
            if let Some(slot) = self.slots.get_mut(place) {
                slot.mid.clone_from(&medium.mid);
            }
        }
    }
}

/// The header extension that says which medium a packet belongs to (RFC 9143 §15).
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// What a codec is known by in a slot's memory.
pub(super) fn codec_key(codec: &Codec) -> String {
    let name = codec.name.to_ascii_lowercase();
    // Events are one thing, however many of them are understood.
    let parameters = if name == TELEPHONE_EVENT { "" } else { &codec.parameters };
    format!("{name}/{}/{}/{parameters}", codec.clock_rate, codec.channels)
}

/// The formats of a medium as its `m=` line has them.
pub(super) fn names(medium: &LocalMedium) -> Vec<String> {
    let numbers = medium.formats.iter().map(|format| format.payload_type.to_string());
    numbers.chain(medium.format_names.iter().cloned()).collect()
}

/// A medium that is gone keeps its place, with port 0 (RFC 3264 §8.2).
fn gone(slot: &Slot) -> LocalMedium {
    let (profile, formats) = slot.last.clone().unwrap_or((Profile::Avp, Vec::new()));
    let mut medium = LocalMedium::new(slot.kind.clone(), profile);
    medium.format_names = formats;
    medium.mid.clone_from(&slot.mid);
    medium
}

/// The ids of the extensions: each URI keeps its id, and no id has two meanings on one transport.
fn offered_extensions(
    capability: &MediaCapability,
    slot: &mut Slot,
    earlier: &[LocalMedium],
) -> Vec<(u16, Option<crate::Direction>, String)> {
    let mut known: Vec<(u16, String)> = slot.extensions.clone();
    for (id, _, uri) in earlier.iter().flat_map(|medium| &medium.extensions) {
        known.push((*id, uri.clone()));
    }
    let mut all = Vec::new();
    for uri in &capability.extensions {
        let id = known.iter().find(|(_, name)| name == uri).map(|(id, _)| *id);
        let free = || (1..=255).find(|id| !known.iter().any(|(taken, _)| taken == id));
        let Some(id) = id.or_else(free) else { continue };
        known.push((id, uri.clone()));
        slot.extensions.push((id, uri.clone()));
        all.push((id, None, uri.clone()));
    }
    slot.extensions.dedup();
    all
}
