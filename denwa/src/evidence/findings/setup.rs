//! Calls and registrations that never came about because something did not arrive, or was not understood.

use super::digest::Digest;
use super::finding;
use crate::evidence::{Cause, Confidence, EndCause, Fact, Finding, Party, Unreached};

pub(super) fn judge(digest: &Digest<'_>, found: &mut Vec<Finding>) {
    for dated in &digest.all {
        let shown = || vec![(*dated).clone()];
        match &dated.fact {
            Fact::Unanswered { method, to, protocol, waited } => found.push(finding(
                Cause::NoReply,
                Confidence::Certain,
                digest.side,
                format!("{method} to {to} over {protocol} got no reply of any kind in {} s.", waited.as_secs()),
                "Check that this is the peer's address, port and transport, and that no firewall drops it.",
                shown(),
            )),
            Fact::Unreached { to, protocol, why } => found.push(unreached(digest, *to, protocol, why, shown())),
            Fact::Unresolved { name } => found.push(finding(
                Cause::NameUnknown,
                Confidence::Certain,
                digest.side,
                format!("The name {name} has no address."),
                "Check how it is spelt, and that the name server answers.",
                shown(),
            )),
            Fact::Altered { header, sent, returned } => found.push(finding(
                Cause::Alg,
                Confidence::Certain,
                digest.side,
                format!("Something between us and {} rewrites SIP: our {header:?} left as `{sent}` and came back as `{returned}`.", whom(digest)),
                "Switch off \"SIP ALG\" in the router, or use TCP, TLS or another port than 5060.",
                shown(),
            )),
            Fact::MediaNotOpened { why } => found.push(finding(
                Cause::PortsExhausted,
                Confidence::Certain,
                digest.side,
                format!("No port could be opened for the media: {why}."),
                "Give the media a larger set of ports, or end what else uses them.",
                shown(),
            )),
            Fact::LimitReached { which } => found.push(finding(
                Cause::LimitReached,
                Confidence::Certain,
                digest.side,
                format!("A limit was reached: {which}."),
                "Raise the limit if this is meant to be.",
                shown(),
            )),
            Fact::TurnedAway { source, why } => found.push(finding(
                Cause::TurnedAway,
                Confidence::Certain,
                digest.side,
                format!("{source} was turned away: {why}."),
                "Pardon the address, or put its network among those that are never refused, if it is wanted.",
                shown(),
            )),
            Fact::Unreadable { source, why } => found.push(finding(
                Cause::Unreadable,
                Confidence::Certain,
                digest.side,
                format!("What {source} sent is not SIP: {why}."),
                "Look at what sends it; something may cut or change messages on the way.",
                shown(),
            )),
            _ => {}
        }
    }
    match digest.ended {
        Some((_, EndCause::Unconfirmed)) => found.push(finding(
            Cause::AckLost,
            Confidence::Certain,
            digest.side,
            format!("{} never confirmed the answer: no ACK came, so the call was ended.", digest.peer()),
            "Our Contact must be an address that the peer reaches: compare what it was told with how it sees us.",
            digest.show(|fact| matches!(fact, Fact::Told(_) | Fact::SeenAs { .. } | Fact::Ended { .. })),
        )),
        Some((_, EndCause::TransportFailed)) if digest.answered => found.push(finding(
            Cause::CallLost,
            Confidence::Likely,
            digest.side,
            format!("{} was no longer to be had for the call: it did not answer, or knew nothing of it any more.", digest.peer()),
            "It may have been restarted, or its network has changed or gone away.",
            digest.show(|fact| matches!(fact, Fact::Ended { .. } | Fact::Repeated { .. } | Fact::Unanswered { .. })),
        )),
        Some((by, EndCause::SessionExpired)) => found.push(finding(
            Cause::SessionExpired,
            Confidence::Certain,
            digest.side,
            match by {
                Party::Here => format!("{} did not refresh the session in time.", digest.peer()),
                Party::Peer => format!("{} says that the session was not refreshed in time.", digest.peer()),
            },
            "Something may have lost the way to one of the two, for instance a mapping in a router that ran out.",
            digest.show(|fact| matches!(fact, Fact::Ended { .. })),
        )),
        _ => {}
    }
}

fn whom(digest: &Digest<'_>) -> String {
    digest.signalling.map_or_else(|| "the peer".to_owned(), |address| address.to_string())
}

fn unreached(
    digest: &Digest<'_>,
    to: std::net::SocketAddr,
    protocol: &str,
    why: &Unreached,
    shown: Vec<crate::evidence::Dated>,
) -> Finding {
    let (cause, sentence, remedy) = match why {
        Unreached::Refused => (
            Cause::NobodyListens,
            format!("Nobody listens at {to} for {protocol}: the host says so."),
            "Check the port and the transport, and that the program there runs.",
        ),
        Unreached::NoRoute => (
            Cause::NoReply,
            format!("There is no route to {to}."),
            "Check the network, and a VPN the address may belong to.",
        ),
        Unreached::TimedOut => (
            Cause::NoReply,
            format!("A {protocol} connection to {to} was not answered."),
            "Check that this is the peer's address, port and transport, and that no firewall drops it.",
        ),
        Unreached::Closed => (
            Cause::NoReply,
            format!("{to} closed the {protocol} connection without a reply."),
            "Look for the reason in the peer's log.",
        ),
        Unreached::CertificateNotTrusted => (
            Cause::NoReply,
            format!(
                "The certificate of {to} is not trusted: nobody who is believed here vouches for it, or it is out of date."
            ),
            "Believe its issuer here, or the very certificate if it signed itself; if it is out of date, have it renewed.",
        ),
        Unreached::CertificateOfAnother => (
            Cause::NoReply,
            format!("The certificate of {to} is for another name than the one that was called."),
            "Call it by a name that its certificate holds, or have that certificate made for this name.",
        ),
        Unreached::Other(what) => (
            Cause::NoReply,
            format!("Nothing can be sent to {to} over {protocol}: {what}."),
            "Check the address and the transport.",
        ),
    };
    finding(cause, Confidence::Certain, digest.side, sentence, remedy, shown)
}
