//! What happened, in the terms of [`denwa::evidence`]: message heads, descriptions, addresses told.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use denwa::address::Told;
use denwa::evidence::{AddressTold, Description, Evidence, Fact, MessageHead, Party};
use denwa_sdp::RemoteDescription;
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{CallEnd, EndReason, Refusal};
use denwa_sip_core::header::{Fields, Reason, Warning};
use denwa_sip_core::io::{Flow, Protocol};
use denwa_sip_core::message::Response;

use super::leg::Leg;
use super::whereabouts::Place;

/// An INVITE that was sent.
pub(super) fn invite_sent(protocol: Protocol, remote: SocketAddr) -> MessageHead {
    MessageHead {
        method: "INVITE".to_owned(),
        remote: Some(remote),
        protocol: protocol.via_token().to_owned(),
        ..MessageHead::default()
    }
}

/// The 200 to an INVITE that came over `flow`.
pub(super) fn answer_sent(flow: &Flow) -> Fact {
    let status = StatusCode::OK;
    Fact::Sent(MessageHead {
        status: Some(status.code()),
        reason: status.reason().to_owned(),
        ..invite_sent(flow.protocol, flow.remote)
    })
}

/// The address a peer was told.
pub(super) fn told(peer: IpAddr, place: &Place) -> Fact {
    let told = Told { address: place.told, because: place.because };
    Fact::Told(AddressTold::new(peer, place.way.local, told))
}

/// A description of the peer's.
pub(super) fn described_by_peer(body: &[u8]) -> Fact {
    Fact::Described { by: Party::Peer, description: description(body) }
}

/// A description of ours.
pub(super) fn described_here(body: &[u8]) -> Fact {
    Fact::Described { by: Party::Here, description: description(body) }
}

/// The sockets of a leg are open.
pub(super) fn media_opened(leg: &Leg) -> Fact {
    Fact::MediaOpened { rtp: leg.local_rtp() }
}

fn description(body: &[u8]) -> Description {
    denwa_sdp::Description::parse(body)
        .map(|document| Description::of_remote(&RemoteDescription::read(&document)))
        .unwrap_or_default()
}

/// The reason phrase of a refusal, and what its Warning and Reason headers add.
pub(super) fn phrase(response: &Response) -> String {
    let mut phrase = response.reason().to_owned();
    let reason = response
        .typed::<Reason<'_>>()
        .ok()
        .flatten()
        .and_then(|reason| reason.text().map(|text| text.into_owned()));
    for more in [warning(response), reason].into_iter().flatten() {
        if !more.is_empty() && !phrase.contains(&more) {
            if !phrase.is_empty() {
                phrase += "; ";
            }
            phrase += &more;
        }
    }
    phrase
}

/// Why a request could not be delivered; `None` when it was, as far as anybody knows, and nothing came back.
pub(super) fn unreachable(reason: EndReason) -> Option<String> {
    Some(match reason {
        EndReason::TimedOut => return None,
        EndReason::Unreachable => "the network says that it cannot be reached".to_owned(),
        EndReason::StreamFailed(why) => format!("there is no connection to it: {why}"),
        EndReason::Unresolved(_) => "its name has no address".to_owned(),
        EndReason::NoRoute => "this machine has no address to send from".to_owned(),
        EndReason::Limit(limit) => limit.describe().to_owned(),
        other => other.to_string(),
    })
}

/// By which rule the endpoint refused something by itself.
pub(super) fn refusal(rule: &Refusal) -> String {
    match rule {
        Refusal::Malformed(error) => error.to_string(),
        Refusal::NoSuchDialog => "it belongs to no call that is known here".to_owned(),
        Refusal::Merged => "it came twice, by two ways".to_owned(),
        Refusal::BadExtension(tags) => format!("it requires {tags}, which is not known here"),
        Refusal::OutOfOrder { sequence, last } => format!("its CSeq {sequence} comes after {last}"),
        Refusal::IntervalTooSmall => "its session interval is too small".to_owned(),
        Refusal::Limit(limit) => limit.describe().to_owned(),
        Refusal::StrayResponse => "it is a response to nothing".to_owned(),
        Refusal::StrayAck => "it is an ACK of nothing".to_owned(),
        Refusal::Method => "its method makes no sense there".to_owned(),
        Refusal::ShuttingDown => "the exchange is being shut down".to_owned(),
        other => other.to_string(),
    }
}

/// Why a call ended that neither side hung up.
pub(super) fn ended(reason: &CallEnd) -> String {
    match reason {
        CallEnd::NotAcknowledged => "its ACK never came".to_owned(),
        CallEnd::SessionExpired => "it did not refresh the session in time".to_owned(),
        CallEnd::DialogLost { method, status: Some(status) } => {
            format!("it answered {} with {}", method.as_str(), status.code())
        }
        CallEnd::DialogLost { method, status: None } => format!("it did not answer {}", method.as_str()),
        CallEnd::NoSession { .. } => "it described no session where one was due".to_owned(),
        CallEnd::Unreachable(reason) => {
            unreachable(*reason).unwrap_or_else(|| "it did not answer".to_owned())
        }
        CallEnd::Malformed(error) => format!("its message could not be read: {error}"),
        other => other.to_string(),
    }
}

/// The facts, one a line, for the record.
pub(super) fn lines(evidence: &Evidence) -> String {
    let mut text = String::new();
    for dated in evidence.facts() {
        let side = dated.side.map_or_else(String::new, |side| match side.0 {
            0 => "caller ".to_owned(),
            1 => "callee ".to_owned(),
            more => format!("callee {more} "),
        });
        // Writing to a String does not fail.
        let _ = writeln!(text, "+{:.3} s {side}{}", dated.after.as_secs_f64(), dated.fact);
    }
    text
}

fn warning(fields: &Fields) -> Option<String> {
    let warning = fields.typed::<Warning<'_>>().ok().flatten()?;
    Some(warning.text.into_owned())
}
