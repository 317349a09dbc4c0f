//! What an answer made of our offer (RFC 3264 §7).

use crate::profile::Kind;

use super::Negotiator;
use super::agreed::{ActiveMedium, Agreed, AgreedEncryption, AgreedMedium, Role};
use super::capability::{Encryption, Ice};
use super::encryption;
use super::local::LocalMedium;
use super::matching::accepted;
use super::mismatch::{MediumMismatch, Mismatch, Parties, Refuser, Rule};
use super::remote::{RemoteDescription, RemoteMedium};
use super::settle::{self, Settlement};
use super::slot::Slot;

impl Negotiator {
    /// What is agreed by `answer` to the offer of `media`.
    pub(super) fn read_answer(
        &mut self,
        media: &[LocalMedium],
        answer: &RemoteDescription,
    ) -> Result<Agreed, Mismatch> {
        let mut agreed: Vec<AgreedMedium> = Vec::new();
        for (place, local) in media.iter().enumerate() {
            let outcome = self.read_medium(place, media, answer, &agreed);
            agreed.push(match outcome {
                Ok(active) => AgreedMedium::Active(Box::new(active)),
                Err(None) => AgreedMedium::Removed,
                Err(Some(rule)) => {
                    let remote = answer.media.get(place);
                    AgreedMedium::Rejected(offered_mismatch(place, local, remote, rule))
                }
            });
        }
        settle::ride_on_bundle(&mut agreed, |place, rule| {
            let remote = answer.media.get(place);
            media.get(place).map(|local| offered_mismatch(place, local, remote, rule))
        });
        name_alternatives(self, &mut agreed);
        let agreed = Agreed { role: Role::Offerer, media: agreed };
        let any_offered = media.iter().any(LocalMedium::is_live);
        if any_offered && agreed.active().next().is_none() {
            let by_peer = agreed.rejected().all(|medium| medium.rule == Rule::RejectedByPeer);
            let by = if by_peer { Refuser::Remote } else { Refuser::Local };
            return Err(Mismatch::new(by, agreed.rejected().cloned().collect()));
        }
        for (place, medium) in agreed.media.iter().enumerate() {
            if medium.active().is_none() {
                self.close_slot(place);
            }
        }
        Ok(agreed)
    }

    /// `Err(None)`: the medium was not on offer.
    fn read_medium(
        &mut self,
        place: usize,
        offered: &[LocalMedium],
        answer: &RemoteDescription,
        earlier: &[AgreedMedium],
    ) -> Result<ActiveMedium, Option<Rule>> {
        let local = offered.get(place).ok_or(None)?;
        if !local.is_live() {
            return Err(None);
        }
        let remote = answer.media.get(place).ok_or(Some(Rule::MissingInAnswer))?;
        if remote.kind != local.kind {
            return Err(Some(Rule::KindChanged { answered: remote.kind.clone() }));
        }
        if remote.port == 0 {
            return Err(Some(Rule::RejectedByPeer));
        }
        let is_alternative = self.slots.get(place).is_some_and(|slot| slot.is_plain_alternative);
        if is_alternative && earlier.last().is_some_and(|before| before.active().is_some()) {
            return Err(Some(Rule::AlternativeTaken));
        }
        let tagged = tagged_slot(place, local, remote, answer)?;
        let rtp = local.profile.is_rtp();
        let common = if rtp { accepted(&local.formats, &remote.formats).map_err(Some)? } else { Vec::new() };
        let mut slot = self.slots.get(place).cloned().ok_or(Some(Rule::NoTransport))?;
        let mut known = local.clone();
        let encryption = match tagged.and_then(|slot| offered.get(slot)) {
            Some(on) => {
                known.address = on.address;
                AgreedEncryption::None
            }
            None => self.read_transport(local, remote, &mut slot).map_err(Some)?,
        };
        let settlement = Settlement {
            role: Role::Offerer,
            local: &known,
            remote,
            common: &common,
            encryption,
            slot: &slot,
            before: self.agreed_active(place),
            bundled_on: tagged.unwrap_or(place),
            local_is_lite: self.capability.ice == Ice::Lite,
        };
        let active = settlement.settle().map_err(Some)?;
        if let Some(kept) = self.slots.get_mut(place) {
            *kept = slot;
        }
        Ok(active)
    }

    /// The encryption of a medium with a transport of its own, if that can be used.
    fn read_transport(
        &self,
        local: &LocalMedium,
        remote: &RemoteMedium,
        slot: &mut Slot,
    ) -> Result<AgreedEncryption, Rule> {
        if self.capability.ice == Ice::Required {
            if remote.ice.is_none() {
                return Err(Rule::IceRequired);
            }
            if remote.ice_mismatch {
                return Err(Rule::IceMismatch);
            }
        }
        if remote.rtp.is_none() && remote.ice.is_none() && !remote.held_by_address {
            return Err(Rule::NoAddress);
        }
        let policy =
            if local.profile.is_rtp() { self.capability.encryption.policy } else { Encryption::None };
        let weak = self.capability.encryption.sdes.as_ref().is_some_and(|sdes| sdes.accept_weak);
        encryption::accept(policy, &local.encryption, remote, weak, slot)
    }
}

/// The slot whose transport an answered medium rides on; `None` when it has one of its own.
fn tagged_slot(
    place: usize,
    local: &LocalMedium,
    remote: &RemoteMedium,
    answer: &RemoteDescription,
) -> Result<Option<usize>, Option<Rule>> {
    let mid = remote.mid.as_ref().or(local.mid.as_ref());
    let group = answer.bundles.iter().find(|group| mid.is_some_and(|mid| group.contains(mid)));
    let Some(group) = group else {
        // It has no transport but the one it was to share.
        return if local.bundle_only { Err(Some(Rule::BundleRejected)) } else { Ok(None) };
    };
    let tagged = group.iter().find_map(|mid| {
        let medium = answer.media.iter().find(|medium| medium.mid.as_ref() == Some(mid))?;
        (medium.port != 0).then_some(medium.slot)
    });
    Ok(tagged.filter(|slot| *slot != place))
}

fn offered_mismatch(
    place: usize,
    local: &LocalMedium,
    remote: Option<&RemoteMedium>,
    rule: Rule,
) -> MediumMismatch {
    let parties = match rule {
        Rule::RejectedByPeer => Parties::RefusedByPeer,
        _ => Parties::AnswerRefused,
    };
    // The formats of a refused medium say nothing (RFC 3264 §6).
    let answered = remote.filter(|remote| remote.port != 0);
    MediumMismatch {
        slot: place,
        kind: local.kind.clone(),
        offered: local.names(),
        supported: answered.map(RemoteMedium::names).unwrap_or_default(),
        rule,
        parties,
    }
}

/// Of two alternatives, the one that was refused was not refused for a fault.
fn name_alternatives(negotiator: &Negotiator, agreed: &mut [AgreedMedium]) {
    for place in 1..agreed.len() {
        let is_plain = negotiator.slots.get(place).is_some_and(|slot| slot.is_plain_alternative);
        if !is_plain {
            continue;
        }
        let taken = |at: usize| agreed.get(at).is_some_and(|medium| medium.active().is_some());
        let (first, second) = (place.saturating_sub(1), place);
        let refused = if taken(first) {
            second
        } else if taken(second) {
            first
        } else {
            continue;
        };
        if let Some(AgreedMedium::Rejected(mismatch)) = agreed.get_mut(refused) {
            mismatch.rule = Rule::AlternativeTaken;
        }
    }
}

/// Why the peer refused an offer with a failure response: its capabilities (RFC 3264 §9) or its warning may tell.
pub(super) fn refused(
    media: &[LocalMedium],
    capabilities: Option<&RemoteDescription>,
    warning: Option<&str>,
) -> Mismatch {
    let mut all = Vec::new();
    for (place, local) in media.iter().enumerate().filter(|(_, local)| local.is_live()) {
        let theirs: Vec<&RemoteMedium> = capabilities
            .map(|known| known.media.iter().filter(|medium| medium.kind == local.kind).collect())
            .unwrap_or_default();
        let supported: Vec<String> = theirs.iter().flat_map(|medium| medium.names()).collect();
        let offered = local.names();
        let disjoint = !supported.is_empty()
            && !offered.iter().any(|name| supported.iter().any(|other| other.eq_ignore_ascii_case(name)));
        let rule = match (capabilities, warning) {
            (Some(_), _) if disjoint => Rule::NoCommonCodec,
            (Some(known), _) if theirs.is_empty() && !known.media.is_empty() => Rule::KindUnsupported,
            (_, Some(text)) => Rule::WithWarning { text: text.to_owned() },
            _ => Rule::RejectedByPeer,
        };
        all.push(MediumMismatch {
            slot: place,
            kind: Kind::clone(&local.kind),
            offered,
            supported,
            rule,
            parties: Parties::RefusedByPeer,
        });
    }
    Mismatch::new(Refuser::Remote, all)
}
