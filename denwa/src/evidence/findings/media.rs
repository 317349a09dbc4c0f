//! Calls that were answered and in which somebody heard nothing, or stopped hearing.

use super::digest::Digest;
use super::{finding, path};
use crate::evidence::{Cause, Confidence, EndCause, Fact, Finding, MediaDirection, Party, SecurityFailure};

pub(super) fn judge(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    if digest.agreed.is_none() || !digest.answered {
        return;
    }
    if let Some(tried) = digest.no_path.filter(|_| !digest.heard_anything()) {
        found.push(no_path(digest, tried));
        return;
    }
    // Once protected media have come, the end of the handshake's association is only the end of the call.
    let over =
        |failure: &SecurityFailure| *failure == SecurityFailure::HandshakeFailed && digest.heard_anything();
    if let Some(failure) = digest.security.filter(|failure| !over(failure)) {
        found.push(security(digest, failure));
        return;
    }
    if let Some(held) = hold(digest) {
        found.push(held);
        return;
    }
    if let Some(payload_type) = digest.strange {
        found.push(strange(digest, payload_type));
        return;
    }
    if !digest.heard_anything() {
        // A stream that was never to be received is no fault, nor is a call too short for a first packet.
        let expected = digest.agreed.is_some_and(|agreed| agreed.direction.receives);
        let listened =
            digest.counters.is_some_and(|counters| counters.sent >= FEW_PACKETS) || digest.silent.is_some();
        if expected && listened {
            path::judge_silence(digest, found);
        }
        return;
    }
    path::judge_unheard(digest, found);
    if let Some(silent) = digest.silent {
        let lasted = match silent.fact {
            Fact::Silent { lasted } => lasted.as_secs(),
            _ => 0,
        };
        found.push(finding(
            Cause::PeerFellSilent,
            Confidence::Certain,
            digest.side,
            format!(
                "{} stopped sending media after {} packets and was silent for {lasted} s.",
                digest.peer(),
                digest.received()
            ),
            match digest.ended {
                Some((_, EndCause::MediaStopped)) => {
                    "The call was ended for it. Its network went away, its program died, or it is muted and sends nothing."
                }
                _ => "Its network went away, its program died, or it is muted and sends nothing.",
            },
            digest.show(|fact| matches!(fact, Fact::Silent { .. } | Fact::Counters(_) | Fact::Ended { .. })),
        ));
    }
    loss(digest, found);
}

/// A second and a half of voice: fewer packets say nothing.
const FEW_PACKETS: u64 = 75;

/// Share lost from which a listener complains.
const MUCH_LOSS: f64 = 0.05;

fn loss(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    let Some(counters) = digest.counters else { return };
    let sent_here = counters.received.saturating_add(counters.lost);
    let inward = counters.lost as f64 / sent_here.max(1) as f64;
    if inward > MUCH_LOSS && sent_here >= FEW_PACKETS {
        found.push(finding(
            Cause::PacketLoss,
            Confidence::Likely,
            digest.side,
            format!("{:.0} % of what the peer sent was lost on the way here.", inward * 100.0),
            "Look at the line between: wireless links and full lines lose packets.",
            digest.show(|fact| matches!(fact, Fact::Counters(_))),
        ));
    }
}

/// Whether anything else was heard, before or between, or not: what came so was lost.
fn strange(digest: &Digest<'_>, payload_type: u8) -> Finding {
    let named = denwa_sdp::attribute::format::static_format(payload_type)
        .map_or_else(String::new, |format| format!(" ({})", format.encoding));
    let agreed = digest.agreed.map_or("another", |agreed| agreed.codec.as_str());
    finding(
        Cause::FormatNotAgreed,
        Confidence::Certain,
        digest.side,
        format!(
            "{} sends payload type {payload_type}{named}, but {agreed} was agreed on: that is not heard.",
            digest.peer()
        ),
        "Leave the peer only codecs that it keeps to, or allow it here the one that it sends.",
        digest
            .show(|fact| matches!(fact, Fact::FormatNotAgreed { .. } | Fact::Agreed(_) | Fact::Counters(_))),
    )
}

fn no_path(digest: &Digest<'_>, tried: &str) -> Finding {
    finding(
        Cause::MediaBlocked,
        Confidence::Certain,
        digest.side,
        format!("ICE found no way for the media: {tried}."),
        "Let UDP pass in the firewalls, or name a TURN server that both sides reach.",
        digest.show(|fact| matches!(fact, Fact::NoPath { .. } | Fact::Described { .. })),
    )
}

fn security(digest: &Digest<'_>, failure: SecurityFailure) -> Finding {
    let (cause, sentence, remedy) = match failure {
        SecurityFailure::WrongKeys => (
            Cause::WrongKeys,
            "media are protected with other keys than were agreed on",
            "Look for a re-INVITE that changed the keys and was not followed; restart the phone if it persists.",
        ),
        SecurityFailure::PlainWhereProtected => (
            Cause::EncryptionOneSided,
            "media come unprotected though SRTP was agreed on",
            "Switch SRTP on at both sides, or off at both.",
        ),
        SecurityFailure::ProtectedWherePlain => (
            Cause::EncryptionOneSided,
            "media come protected though plain RTP was agreed on",
            "Switch SRTP on at both sides, or off at both.",
        ),
        SecurityFailure::HandshakeFailed => (
            Cause::WrongKeys,
            "the DTLS handshake for the keys did not end",
            "Check that UDP passes both ways between the media addresses.",
        ),
        SecurityFailure::WrongFingerprint => (
            Cause::WrongKeys,
            "the certificate of the handshake is not the one in the description",
            "Something between the two ends the protection; check who that is.",
        ),
    };
    finding(
        cause,
        Confidence::Certain,
        digest.side,
        format!("{}: {sentence}.", digest.peer()),
        remedy,
        digest.show(|fact| matches!(fact, Fact::SecurityFailed(_) | Fact::Agreed(_))),
    )
}

/// On hold when it ended, or when media were last to flow one way only.
fn hold(digest: &Digest<'_>) -> Option<Finding> {
    let agreed = digest.agreed?;
    let by = digest.held_by?;
    if agreed.direction == MediaDirection::BOTH {
        return None;
    }
    let who = match by {
        Party::Here => "We".to_owned(),
        Party::Peer => digest.peer(),
    };
    Some(finding(
        Cause::HeldForever,
        Confidence::Certain,
        digest.side,
        format!("{who} put the call on hold and never took it off again."),
        "Resume the call at the phone that holds it; after a transfer, look for a re-INVITE that failed.",
        digest.show(|fact| matches!(fact, Fact::Hold { .. } | Fact::Agreed(_))),
    ))
}
