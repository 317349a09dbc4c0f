//! Media that share one transport (BUNDLE, RFC 9143).

use super::local::LocalMedium;
use super::remote::{RemoteDescription, RemoteMedium};

/// The bundle of an answer.
#[derive(Default)]
pub(crate) struct Bundle {
    /// The medium whose transport the others use (the answerer's tagged one, RFC 9143 §7.3.1).
    pub(crate) tagged: Option<(usize, LocalMedium)>,
    /// The members, by `mid`.
    pub(crate) members: Vec<String>,
}

/// The members of the first group of an offer that are accepted, in the group's order; empty without a bundle.
pub(crate) fn accepted_group(
    supported: bool,
    offer: &RemoteDescription,
    is_accepted: impl Fn(usize) -> bool,
) -> Vec<String> {
    let Some(group) = offer.bundles.first().filter(|_| supported) else { return Vec::new() };
    let slot = |mid: &String| {
        offer.media.iter().find(|medium| medium.mid.as_ref() == Some(mid)).map(|medium| medium.slot)
    };
    group.iter().filter(|mid| slot(mid).is_some_and(&is_accepted)).cloned().collect()
}

/// Media of a group that say nothing of their transport have that of the first which does.
pub(crate) fn share_tagged_transport(description: &mut RemoteDescription) {
    for group in description.bundles.clone() {
        let members: Vec<usize> = group
            .iter()
            .filter_map(|mid| description.media.iter().position(|medium| medium.mid.as_ref() == Some(mid)))
            .collect();
        let tagged =
            members.iter().filter_map(|slot| description.media.get(*slot)).find(|medium| medium.port != 0);
        let Some(tagged) = tagged.cloned() else { continue };
        for slot in members {
            if let Some(medium) = description.media.get_mut(slot)
                && medium.slot != tagged.slot
                && medium.is_live()
            {
                inherit(medium, &tagged);
            }
        }
    }
}

fn inherit(medium: &mut RemoteMedium, tagged: &RemoteMedium) {
    if medium.bundle_only {
        medium.rtp.clone_from(&tagged.rtp);
        medium.rtcp.clone_from(&tagged.rtcp);
        (medium.ipv6, medium.multicast) = (tagged.ipv6, tagged.multicast);
        medium.held_by_address = tagged.held_by_address;
    }
    if medium.bundle_only || medium.port == tagged.port {
        // It shares the port already, and need not say so again.
        medium.rtcp_mux |= tagged.rtcp_mux;
        medium.rtcp_mux_only |= tagged.rtcp_mux_only;
    }
    if medium.ice.is_none() {
        medium.ice.clone_from(&tagged.ice);
        medium.held_by_address &= medium.ice.is_none();
    }
    if medium.fingerprints.is_empty() {
        medium.fingerprints.clone_from(&tagged.fingerprints);
        medium.tls_id.clone_from(&tagged.tls_id);
    }
    medium.setup = medium.setup.or(tagged.setup);
    if medium.crypto.is_empty() {
        medium.crypto.clone_from(&tagged.crypto);
    }
}
