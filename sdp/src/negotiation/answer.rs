//! Answering an offer (RFC 3264 §6), medium by medium and then as a whole.

use crate::attribute::fax::Fax;
use crate::profile::{Kind, Profile};

use super::Negotiator;
use super::agreed::{ActiveMedium, Agreed, AgreedEncryption, AgreedMedium, Role};
use super::bundle::{self, Bundle};
use super::capability::{
    Encryption, FaxCapability, FaxErrorCorrection, Ice, MediaCapability, OtherCapability, RtcpMux,
};
use super::encryption;
use super::local::LocalMedium;
use super::matching::{Common, Selection, select};
use super::mismatch::{MediumMismatch, Mismatch, Parties, Refuser, Rule};
use super::offer::{codec_key, names};
use super::remote::{RemoteDescription, RemoteMedium};
use super::settle::{self, Settlement};

/// An accepted medium before its transport is known.
struct Draft {
    local: LocalMedium,
    common: Vec<Common>,
    encryption: AgreedEncryption,
}

/// What becomes of each medium.
enum Verdict {
    Accepted(Box<Draft>),
    Rejected(Rule),
    /// It was offered with port 0.
    Absent,
}

impl Negotiator {
    /// The media of the answer to `offer`, what is agreed by it, and its bundle.
    pub(super) fn build_answer(
        &mut self,
        offer: &RemoteDescription,
    ) -> Result<(Vec<LocalMedium>, Agreed, Vec<String>), Mismatch> {
        self.align_slots(offer);
        let mut verdicts: Vec<Verdict> = offer.media.iter().map(|medium| self.judge(medium)).collect();
        self.choose_among_alternatives(offer, &mut verdicts);
        let bundle = self.give_transports(offer, &mut verdicts);
        let result = self.conclude(offer, verdicts, &bundle);
        let any_offered = offer.media.iter().any(RemoteMedium::is_live);
        let (media, agreed) = result;
        if any_offered && agreed.active().next().is_none() {
            return Err(Mismatch::new(Refuser::Local, agreed.rejected().cloned().collect()));
        }
        Ok((media, agreed, bundle.members))
    }

    /// One slot for each medium of the offer. A place that has another kind than before starts anew.
    fn align_slots(&mut self, offer: &RemoteDescription) {
        for medium in &offer.media {
            let mut new = self.new_slot(medium.kind.clone(), crate::Direction::SendRecv);
            match self.slots.get_mut(medium.slot) {
                Some(slot) if slot.kind == medium.kind => {}
                Some(slot) => {
                    new.transport = slot.transport.take();
                    *slot = new;
                }
                None => self.slots.push(new),
            }
            if let Some(slot) = self.slots.get_mut(medium.slot) {
                slot.mid.clone_from(&medium.mid);
                if !medium.is_live() {
                    slot.wanted = false;
                }
            }
        }
    }

    fn judge(&mut self, remote: &RemoteMedium) -> Verdict {
        if !remote.is_live() {
            return Verdict::Absent;
        }
        // A place that takes more than one capability of its kind takes the first that fits.
        let candidates: Vec<(usize, MediaCapability)> = self
            .capability
            .media
            .iter()
            .cloned()
            .enumerate()
            .filter(|(_, medium)| medium.kind == remote.kind)
            .collect();
        let mut rule = Rule::KindUnsupported;
        for (place, capability) in candidates {
            match self.draft(&capability, remote) {
                Ok(draft) => {
                    if let Some(slot) = self.slots.get_mut(remote.slot) {
                        slot.capability = Some(place);
                    }
                    return Verdict::Accepted(Box::new(draft));
                }
                // The rule that says most: another profile says least.
                Err(failed) if matches!(rule, Rule::KindUnsupported | Rule::Profile { .. }) => rule = failed,
                Err(_) => {}
            }
        }
        Verdict::Rejected(rule)
    }

    fn draft(&mut self, capability: &MediaCapability, remote: &RemoteMedium) -> Result<Draft, Rule> {
        let mut local = LocalMedium::new(remote.kind.clone(), remote.profile.clone());
        local.mid.clone_from(&remote.mid);
        local.attributes.clone_from(&capability.attributes);
        if remote.multicast {
            return Err(Rule::Multicast);
        }
        let common = if let Some(fax) = &capability.fax {
            answer_fax(fax, remote, &mut local)?;
            Vec::new()
        } else if let Some(other) = &capability.other {
            answer_other(other, remote, &mut local)?;
            Vec::new()
        } else {
            self.answer_rtp(capability, remote, &mut local)?
        };
        let mut slot = self
            .slots
            .get(remote.slot)
            .cloned()
            .unwrap_or_else(|| self.new_slot(remote.kind.clone(), crate::Direction::SendRecv));
        let decided = encryption::decide(&self.capability.encryption, remote, &mut slot, &mut self.random)?;
        local.encryption = decided.local;
        local.direction = slot.wish().and(capability.direction).answer_to(remote.direction);
        local.zero_address = slot.holds_by_address();
        if let Some(kept) = self.slots.get_mut(remote.slot) {
            *kept = slot;
        }
        if self.capability.ice == Ice::Required && remote.ice.is_none() {
            return Err(Rule::IceRequired);
        }
        if remote.rtp.is_none() && remote.ice.is_none() && !remote.held_by_address && !remote.bundle_only {
            return Err(Rule::NoAddress);
        }
        Ok(Draft { local, common, encryption: decided.agreed })
    }

    fn answer_rtp(
        &self,
        capability: &MediaCapability,
        remote: &RemoteMedium,
        local: &mut LocalMedium,
    ) -> Result<Vec<Common>, Rule> {
        if !remote.profile.is_rtp() || matches!(remote.profile, Profile::Other(_)) {
            return Err(Rule::Profile { offered: remote.profile.clone() });
        }
        let used = self.agreed_active(remote.slot).and_then(ActiveMedium::codec);
        let in_use =
            used.filter(|_| self.capability.keep_codec).map(|codec| (codec.name.as_str(), codec.clock_rate));
        let (preference, count) = (self.capability.preference, self.capability.answer_codecs);
        let Selection { formats, common } = select(capability, &remote.formats, preference, count, in_use)?;
        local.formats = formats;
        // What the peer asks for is given back where this side has no wish of its own: some expect one length.
        // Never more than it takes, though.
        let wanted = capability.packet_time.or(remote.packet_time);
        local.packet_time = wanted.map(|time| remote.max_packet_time.map_or(time, |most| time.min(most)));
        local.max_packet_time = capability.max_packet_time;
        let shares = self.capability.bundle && remote.mid.is_some();
        match (self.capability.rtcp_mux, remote.rtcp_mux) {
            (RtcpMux::Required, false) => return Err(Rule::RtcpMux { offered: false }),
            (RtcpMux::Off, true) if remote.rtcp_mux_only && !shares => {
                return Err(Rule::RtcpMux { offered: true });
            }
            (RtcpMux::Off, _) => local.rtcp_mux = shares && remote.rtcp_mux,
            (_, offered) => local.rtcp_mux = offered,
        }
        local.rtcp_mux_only = self.capability.rtcp_mux == RtcpMux::Required && remote.rtcp_mux_only;
        local.rtcp_reduced_size = capability.feedback && remote.rtcp_reduced_size;
        let feedback = remote.feedback.iter().filter(|(payload_type, what)| {
            let known = capability.feedback_kinds.contains(what);
            let chosen = |number| local.formats.iter().any(|format| format.payload_type == number);
            known && payload_type.is_none_or(chosen)
        });
        local.feedback = feedback.cloned().collect();
        let extensions = remote.extensions.iter().filter(|(_, _, uri)| capability.extensions.contains(uri));
        local.extensions = extensions
            .map(|(id, way, uri)| (*id, way.map(crate::Direction::reversed), uri.clone()))
            .collect();
        Ok(common)
    }

    /// No more media of a kind than are wanted. What is in use stays; then the encrypted of two alternatives is taken,
    /// unless encryption is not wanted; then the earlier one.
    fn choose_among_alternatives(&self, offer: &RemoteDescription, verdicts: &mut [Verdict]) {
        let prefers_secure = self.capability.encryption.policy != Encryption::None;
        let mut kinds: Vec<&Kind> = Vec::new();
        for medium in &offer.media {
            if kinds.contains(&&medium.kind) {
                continue;
            }
            kinds.push(&medium.kind);
            let streams = self.capability.media.iter().filter(|own| own.kind == medium.kind);
            let most = streams.map(|own| own.streams).sum();
            let mut accepted: Vec<&RemoteMedium> = offer
                .media
                .iter()
                .filter(|other| other.kind == medium.kind)
                .filter(|other| matches!(verdicts.get(other.slot), Some(Verdict::Accepted(_))))
                .collect();
            accepted.sort_by_key(|other| {
                let in_use = self.agreed_active(other.slot).is_some();
                (!in_use, !(prefers_secure && other.profile.is_secure()), other.slot)
            });
            let taken_secure = accepted.first().map(|first| first.profile.is_secure());
            for other in accepted.iter().skip(most) {
                let alternative = taken_secure.is_some_and(|secure| secure != other.profile.is_secure());
                let rule = if alternative { Rule::AlternativeTaken } else { Rule::TooMany };
                if let Some(verdict) = verdicts.get_mut(other.slot) {
                    *verdict = Verdict::Rejected(rule);
                }
            }
        }
    }

    /// Gives each accepted medium its address: the bundle's, or one of its own.
    fn give_transports(&mut self, offer: &RemoteDescription, verdicts: &mut [Verdict]) -> Bundle {
        let mut bundle = Bundle::default();
        let group = bundle::accepted_group(self.capability.bundle, offer, |slot| {
            matches!(verdicts.get(slot), Some(Verdict::Accepted(_)))
        });
        // The group first, in its own order: the first of it that gets a transport carries the others.
        let place = |remote: &&RemoteMedium| {
            group.iter().position(|mid| remote.mid.as_ref() == Some(mid)).unwrap_or(group.len())
        };
        let mut order: Vec<&RemoteMedium> = offer.media.iter().collect();
        order.sort_by_key(place);
        for remote in order {
            let Some(Verdict::Accepted(draft)) = verdicts.get_mut(remote.slot) else { continue };
            let member = remote.mid.as_ref().is_some_and(|mid| group.contains(mid));
            let given = match bundle.tagged.as_ref().filter(|_| member) {
                Some((_, tagged)) => {
                    draft.local.address = tagged.address;
                    draft.local.bundled = true;
                    Ok(())
                }
                None if remote.bundle_only && !member => Err(Rule::BundleRejected),
                None => self.give_transport(remote, &mut draft.local),
            };
            match given {
                Ok(()) if member => {
                    if bundle.tagged.is_none() {
                        bundle.tagged = Some((remote.slot, draft.local.clone()));
                    }
                    bundle.members.extend(remote.mid.clone());
                }
                Ok(()) => {}
                Err(rule) => {
                    if let Some(verdict) = verdicts.get_mut(remote.slot) {
                        *verdict = Verdict::Rejected(rule);
                    }
                }
            }
        }
        bundle
    }

    fn give_transport(&mut self, remote: &RemoteMedium, local: &mut LocalMedium) -> Result<(), Rule> {
        let has = self.slots.get(remote.slot).is_some_and(|slot| {
            slot.transport.as_ref().is_some_and(|transport| transport.kind == remote.kind)
        });
        if !has
            && let Some(transport) = self.take_transport(&remote.kind)
            && let Some(slot) = self.slots.get_mut(remote.slot)
            && let Some(old) = slot.transport.replace(transport)
        {
            self.pool.push(old);
        }
        let Some(slot) = self.slots.get(remote.slot) else { return Err(Rule::NoTransport) };
        let Some(transport) = &slot.transport else { return Err(Rule::NoTransport) };
        // With ICE the family of the default address does not matter; on hold there need be no address of it.
        let ice = self.capability.ice != Ice::Off && remote.ice.is_some() && transport.ice.is_some();
        let before = self.agreed_active(remote.slot).filter(|_| remote.held_by_address);
        let family = before.map(|before| before.local.is_ipv6()).or(remote.ipv6);
        let address = match (family.and_then(|ipv6| slot.address(Some(ipv6))), family) {
            (Some(address), _) => Some(address),
            (None, Some(ipv6)) if !ice && !remote.held_by_address => return Err(Rule::Family { ipv6 }),
            _ => slot.address(self.agreed_active(remote.slot).map(|before| before.local.is_ipv6())),
        };
        local.address = Some(address.ok_or(Rule::NoTransport)?);
        local.source.clone_from(&transport.source);
        local.rtcp_port = transport
            .rtcp_port
            .filter(|port| local.address.and_then(|rtp| rtp.port().checked_add(1)) != Some(*port))
            .filter(|_| !local.rtcp_mux);
        if ice {
            let fits = remote.ice.as_ref().is_some_and(|ice| ice.default_is_candidate);
            if fits {
                local.ice.clone_from(&transport.ice);
            } else if self.capability.ice == Ice::Required {
                return Err(Rule::IceMismatch);
            } else {
                // Something on the way rewrote the address: without ICE, then (RFC 8839 §4.2.5).
                local.ice_mismatch = true;
            }
        } else if self.capability.ice == Ice::Required {
            return Err(Rule::IceRequired);
        }
        Ok(())
    }

    /// The media of the answer, and what is agreed by them.
    fn conclude(
        &mut self,
        offer: &RemoteDescription,
        verdicts: Vec<Verdict>,
        bundle: &Bundle,
    ) -> (Vec<LocalMedium>, Agreed) {
        let mut media = Vec::new();
        let mut agreed = Vec::new();
        for (remote, verdict) in offer.media.iter().zip(verdicts) {
            let outcome = match verdict {
                Verdict::Accepted(draft) => self.accept(remote, *draft, bundle),
                Verdict::Rejected(rule) => Err(Some(rule)),
                Verdict::Absent => Err(None),
            };
            let (medium, result) = match outcome {
                Ok((local, active)) => (local, AgreedMedium::Active(Box::new(active))),
                Err(rule) => {
                    self.close_slot(remote.slot);
                    let mismatch = rule.map(|rule| self.mismatch(remote, rule));
                    (refusal(remote), mismatch.map_or(AgreedMedium::Removed, AgreedMedium::Rejected))
                }
            };
            if let Some(slot) = self.slots.get_mut(remote.slot) {
                slot.last = Some((medium.profile.clone(), names(&medium)));
            }
            media.push(medium);
            agreed.push(result);
        }
        // Whoever carries the others was accepted first: nothing is refused here.
        settle::ride_on_bundle(&mut agreed, |place, rule| {
            offer.media.get(place).map(|remote| self.mismatch(remote, rule))
        });
        (media, Agreed { role: Role::Answerer, media: agreed })
    }

    fn accept(
        &mut self,
        remote: &RemoteMedium,
        draft: Draft,
        bundle: &Bundle,
    ) -> Result<(LocalMedium, ActiveMedium), Option<Rule>> {
        let Draft { local, common, encryption } = draft;
        let tagged = bundle.tagged.as_ref().map(|(slot, _)| *slot).filter(|_| local.bundled);
        if let Some(slot) = self.slots.get_mut(remote.slot) {
            slot.wanted = true;
            for format in &local.formats {
                slot.remember(format.payload_type, &codec_key(&format.codec));
            }
            slot.extensions = local.extensions.iter().map(|(id, _, uri)| (*id, uri.clone())).collect();
        }
        let slot = self.slots.get(remote.slot).ok_or(Some(Rule::NoTransport))?;
        let settlement = Settlement {
            role: Role::Answerer,
            local: &local,
            remote,
            common: &common,
            encryption,
            slot,
            before: self.agreed_active(remote.slot),
            bundled_on: tagged.unwrap_or(remote.slot),
            local_is_lite: self.capability.ice == Ice::Lite,
        };
        let active = settlement.settle().map_err(Some)?;
        Ok((local, active))
    }

    /// The value of a refusal of `remote`.
    pub(super) fn mismatch(&self, remote: &RemoteMedium, rule: Rule) -> MediumMismatch {
        let own = self.capability.media.iter().filter(|medium| medium.kind == remote.kind);
        MediumMismatch {
            slot: remote.slot,
            kind: remote.kind.clone(),
            offered: remote.names(),
            supported: own.flat_map(MediaCapability::names).collect(),
            rule,
            parties: Parties::OfferRefused,
        }
    }
}

/// A refused medium: port 0, and the formats of the offer (RFC 3264 §6).
pub(super) fn refusal(remote: &RemoteMedium) -> LocalMedium {
    let mut medium = LocalMedium::new(remote.kind.clone(), remote.profile.clone());
    let words = remote.format_names.iter().filter(|format| crate::fields::is_token(format));
    medium.format_names = words.cloned().collect();
    medium.mid.clone_from(&remote.mid);
    medium
}

fn answer_fax(fax: &FaxCapability, remote: &RemoteMedium, local: &mut LocalMedium) -> Result<(), Rule> {
    if remote.profile != Profile::Udptl {
        return Err(Rule::Profile { offered: remote.profile.clone() });
    }
    // Some write it in capitals, and may know it in no other way.
    let format = remote.format_names.iter().find(|format| format.eq_ignore_ascii_case("t38"));
    let format = format.ok_or(Rule::NoCommonCodec)?;
    let theirs = &remote.fax;
    if let Some(method) = &theirs.rate_management
        && !method.eq_ignore_ascii_case("transferredTCF")
    {
        let what = format!("rate management {method} is offered, and transferredTCF is supported");
        return Err(Rule::Fax { what });
    }
    let asked = theirs.error_correction.as_deref().map_or(FaxErrorCorrection::None, |word| {
        FaxErrorCorrection::parse(word).unwrap_or(FaxErrorCorrection::None)
    });
    let has = |correction| fax.error_corrections.contains(&correction);
    if !has(asked) && !has(FaxErrorCorrection::None) {
        let what = format!("error correction {} is offered, and is not supported", asked.as_str());
        return Err(Rule::Fax { what });
    }
    let correction = if has(asked) { asked } else { FaxErrorCorrection::None };
    local.format_names = vec![format.clone()];
    local.fax = fax.attributes();
    for attribute in &mut local.fax {
        match attribute {
            Fax::Version(version) => *version = (*version).min(theirs.version.unwrap_or(0)),
            Fax::MaxBitRate(rate) => *rate = (*rate).min(theirs.max_bit_rate.unwrap_or(*rate)),
            Fax::ErrorCorrection(word) => *word = correction.as_str(),
            Fax::FillBitRemoval(flag) => *flag = *flag && theirs.fill_bit_removal,
            _ => {}
        }
    }
    local.fax.retain(|attribute| *attribute != Fax::FillBitRemoval(false));
    Ok(())
}

fn answer_other(other: &OtherCapability, remote: &RemoteMedium, local: &mut LocalMedium) -> Result<(), Rule> {
    if remote.profile != other.profile {
        return Err(Rule::Profile { offered: remote.profile.clone() });
    }
    let known = remote.format_names.iter().filter(|format| other.formats.contains(format));
    local.format_names = known.cloned().collect();
    if local.format_names.is_empty() { Err(Rule::NoCommonCodec) } else { Ok(()) }
}
