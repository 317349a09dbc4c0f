//! Ring but no voice: which way the media took, and why they did not arrive.

use super::digest::{Digest, is_shared, not_public};
use super::finding;
use crate::address::Because;
use crate::evidence::{Cause, Confidence, Dated, Fact, Finding};

/// Not one packet came. The judges ask in the order of what explains most.
pub(super) fn judge_silence(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    let judges = [
        renaming_vpn,
        local_network_forgotten,
        external_address_wrong,
        peer_behind_nat,
        ports_outside,
        media_blocked,
    ];
    found.extend(judges.into_iter().find_map(|judge| judge(digest)));
}

/// We hear the peer; does he hear us? His reports say so.
pub(super) fn judge_unheard(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    let Some(counters) = digest.counters else { return };
    let deaf = counters.peer_lost.is_some_and(|lost| lost >= 0.99);
    if counters.unreachable == 0 && !deaf {
        return;
    }
    if let Some(vpn) = renaming_vpn(digest) {
        found.push(vpn);
        return;
    }
    let how = if deaf {
        "reports that nothing of ours arrives".to_owned()
    } else {
        format!("refuses our media ({} packets came back as undeliverable)", counters.unreachable)
    };
    found.push(finding(
        Cause::MediaBlockedOneWay,
        Confidence::Likely,
        digest.side,
        format!("{} is heard, but {how}.", digest.peer()),
        "Open the peer's media ports for us, on its side or on the way.",
        shown(digest),
    ));
}

/// The peer's own address is not one that it has here, and the way there is another.
fn renaming_vpn(digest: &Digest<'_>) -> Option<Finding> {
    let (described, signalling) = (digest.described()?, digest.signalling?);
    let (to_media, to_signalling) = (digest.media_route?, digest.signalling_route?);
    if described.ip() == signalling.ip() || to_media.leaves_like(&to_signalling) {
        return None;
    }
    let door = |route: &super::digest::Route<'_>| match (route.interface, route.local) {
        (Some(name), _) => name.to_owned(),
        (None, Some(local)) => local.to_string(),
        (None, None) => "nowhere".to_owned(),
    };
    // A public address may well be a media server apart from its signalling.
    let confidence = if not_public(described.ip()) { Confidence::Certain } else { Confidence::Possible };
    Some(finding(
        Cause::RenamingVpn,
        confidence,
        digest.side,
        format!(
            "The peer calls itself {}, but its signalling is at {}: media for the former leave by {}, the signalling by {}.",
            described.ip(),
            signalling.ip(),
            door(&to_media),
            door(&to_signalling)
        ),
        "Have media sent to the signalling address, and tell this peer the address under which it sees us.",
        shown(digest),
    ))
}

/// What we told the peer is not how it reaches us.
fn external_address_wrong(digest: &Digest<'_>) -> Option<Finding> {
    let told = digest.told?;
    let seen = digest.seen_as.map(|(address, _)| address.ip());
    if let Some(seen) = seen.filter(|seen| *seen != told.address && seen.is_ipv4() == told.address.is_ipv4())
    {
        if told.address == told.route && is_shared(told.route) && is_shared(seen) {
            // Both are addresses of one VPN, and nobody configured anything: the VPN shows us so.
            return Some(finding(
                Cause::RenamingVpn,
                Confidence::Certain,
                digest.side,
                format!(
                    "We call ourselves {} towards {}, which knows us as {seen} only: a VPN renames us.",
                    told.address, told.peer
                ),
                "Tell this peer the address under which it sees us, and send media to where its signalling comes from.",
                shown(digest),
            ));
        }
        return Some(finding(
            Cause::ExternalAddressWrong,
            Confidence::Certain,
            digest.side,
            format!("{} was told {}, but it sees us as {seen}.", digest.peer(), told.address),
            "Correct the external address in the configuration, or let it be found out.",
            shown(digest),
        ));
    }
    let unreachable =
        not_public(told.address) && !not_public(told.peer) && told.because != Because::AsSeenByPeer;
    (unreachable && told.because == Because::NoExternal).then(|| {
        finding(
            Cause::ExternalAddressWrong,
            Confidence::Likely,
            digest.side,
            format!("{} was told {}, which is not reached from outside.", digest.peer(), told.address),
            "Set the external address, or name a STUN server that tells it.",
            shown(digest),
        )
    })
}

fn local_network_forgotten(digest: &Digest<'_>) -> Option<Finding> {
    let told = digest.told?;
    let near = not_public(told.peer) && told.because == Because::BeyondLocal;
    let far = !not_public(told.peer) && told.because == Because::PeerIsLocal && not_public(told.address);
    if !near && !far {
        return None;
    }
    let (sentence, remedy) = if near {
        (
            format!(
                "{} has a private address and was told the external one, {}.",
                digest.peer(),
                told.address
            ),
            format!("Put the network of {} among the local networks.", told.peer),
        )
    } else {
        (
            format!("{} is beyond and was told the private address {}.", digest.peer(), told.address),
            format!("Take the network of {} out of the local networks.", told.peer),
        )
    };
    Some(finding(
        Cause::LocalNetworkForgotten,
        Confidence::Certain,
        digest.side,
        sentence,
        remedy,
        shown(digest),
    ))
}

fn peer_behind_nat(digest: &Digest<'_>) -> Option<Finding> {
    let (described, signalling) = (digest.described()?, digest.signalling?);
    let hidden = not_public(described.ip()) && described.ip() != signalling.ip();
    hidden.then(|| {
        finding(
            Cause::PeerBehindNat,
            if not_public(signalling.ip()) { Confidence::Likely } else { Confidence::Certain },
            digest.side,
            format!(
                "The peer at {signalling} is behind an address translator: it wants its media at {}, which is not reached from here, and sent none itself.",
                described
            ),
            "Let the phone use STUN or keep its mapping open, or see why its own media do not leave its network.",
            shown(digest),
        )
    })
}

/// Our packets leave by another port than the one we told: the translator keeps its own.
fn ports_outside(digest: &Digest<'_>) -> Option<Finding> {
    let (seen, sent_from) = digest.seen_as?;
    let told = digest.told?;
    let translated =
        seen.ip() == told.address && told.address != told.route && seen.port() != sent_from.port();
    translated.then(|| {
        finding(
            Cause::PortsOutsideSet,
            Confidence::Likely,
            digest.side,
            format!(
                "The router translates ports (our {} is seen as {}): a media port told to {} is not ours outside.",
                sent_from.port(),
                seen.port(),
                told.peer
            ),
            "Use only media ports that the router owns (for MAP-E its port set), and have them forwarded.",
            shown(digest),
        )
    })
}

/// Nothing else is wrong: the addresses meet, and nothing comes.
fn media_blocked(digest: &Digest<'_>) -> Option<Finding> {
    let counters = digest.counters?;
    let heard_there = counters.peer_lost.is_some_and(|lost| lost < 0.99);
    let (cause, sentence) = if heard_there {
        (
            Cause::MediaBlockedOneWay,
            format!("{} receives our media, and none of its own arrive here.", digest.peer()),
        )
    } else {
        (
            Cause::MediaBlocked,
            format!(
                "Signalling with {} passes, media do not: {} packets went out, none came.",
                digest.signalling.map_or_else(|| "the peer".to_owned(), |address| address.to_string()),
                counters.sent
            ),
        )
    };
    Some(finding(
        cause,
        Confidence::Likely,
        digest.side,
        sentence,
        "Open the media ports (UDP) in the firewalls on both sides.",
        shown(digest),
    ))
}

/// The facts about addresses and counters, which every judgement here rests on.
fn shown(digest: &Digest<'_>) -> Vec<Dated> {
    digest.show(|fact| {
        matches!(
            fact,
            Fact::Described { .. }
                | Fact::Told(_)
                | Fact::SeenAs { .. }
                | Fact::Routed { .. }
                | Fact::Counters(_)
                | Fact::FirstPacket { .. }
        )
    })
}
