//! What happened, in the terms of [`denwa::evidence`]: message heads, descriptions, addresses told.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use denwa::address::Told;
use denwa::evidence::{
    AddressTold, Description, Evidence, Fact, HoldState, MediaDirection, MediaSecurity, MessageHead, Party,
};
use denwa_sdp::{Kind, RemoteDescription};
use denwa_sip_core::HeaderName;
use denwa_sip_core::endpoint::EndReason;
use denwa_sip_core::endpoint::{CallEnd, Refusal};
use denwa_sip_core::header::{Fields, Reason, Warning};
use denwa_sip_core::io::{Flow, Protocol};
use denwa_sip_core::message::{Request, Response};

use super::leg::Leg;
use super::whereabouts::Place;

/// A request that came.
pub(super) fn request(message: &Request, flow: &Flow) -> MessageHead {
    MessageHead {
        method: message.method().as_str().to_owned(),
        remote: Some(flow.remote),
        protocol: flow.protocol.via_token().to_owned(),
        contact: contact(message.contact().ok().flatten()),
        agent: agent(message),
        ..MessageHead::default()
    }
}

/// A response that came.
pub(super) fn response(message: &Response, method: &str, remote: SocketAddr) -> MessageHead {
    MessageHead {
        method: method.to_owned(),
        status: Some(message.status().code()),
        reason: message.reason().to_owned(),
        remote: Some(remote),
        contact: contact(message.contact().ok().flatten()),
        agent: agent(message),
        warning: warning(message),
        ..MessageHead::default()
    }
}

/// An INVITE that was sent.
pub(super) fn invite_sent(protocol: Protocol, remote: SocketAddr) -> MessageHead {
    MessageHead {
        method: "INVITE".to_owned(),
        remote: Some(remote),
        protocol: protocol.via_token().to_owned(),
        ..MessageHead::default()
    }
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
    let Ok(document) = denwa_sdp::Description::parse(body) else { return Description::default() };
    let remote = RemoteDescription::read(&document);
    let Some(audio) = remote.media.iter().find(|medium| medium.kind == Kind::Audio) else {
        return Description::default();
    };
    Description {
        address: audio.rtp.as_ref().and_then(|address| address.socket()),
        codecs: audio.formats.iter().map(|format| format!("{}/{}", format.name, format.clock_rate)).collect(),
        direction: MediaDirection { sends: audio.direction.sends(), receives: audio.direction.receives() },
        zero_address: audio.held_by_address,
        security: match (audio.crypto.is_empty(), audio.fingerprints.is_empty()) {
            (true, true) => MediaSecurity::Plain,
            (false, _) => MediaSecurity::Sdes,
            (true, false) => MediaSecurity::Dtls,
        },
    }
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
        EndReason::StreamFailed => "no connection could be made, or it broke".to_owned(),
        EndReason::Unresolved(_) => "its name has no address".to_owned(),
        EndReason::NoRoute => "this machine has no address to send from".to_owned(),
        EndReason::Limit(limit) => limit.describe().to_owned(),
        other => format!("{other:?}"),
    })
}

/// By which rule the endpoint refused something by itself.
pub(super) fn refusal(rule: &Refusal) -> String {
    match rule {
        Refusal::Malformed(error) => error.to_string(),
        Refusal::NoSuchDialog => "it belongs to no call that is known here".to_owned(),
        Refusal::NoSuchTransaction => "there is nothing to cancel".to_owned(),
        Refusal::Merged => "it came twice, by two ways".to_owned(),
        Refusal::BadExtension(tags) => format!("it requires {tags}, which is not known here"),
        Refusal::OutOfOrder { sequence, last } => format!("its CSeq {sequence} comes after {last}"),
        Refusal::IntervalTooSmall => "its session interval is too small".to_owned(),
        Refusal::Limit(limit) => limit.describe().to_owned(),
        Refusal::StrayResponse => "it is a response to nothing".to_owned(),
        Refusal::StrayAck => "it is an ACK of nothing".to_owned(),
        Refusal::Method => "its method makes no sense there".to_owned(),
        Refusal::ShuttingDown => "the exchange is being shut down".to_owned(),
        other => format!("{other:?}"),
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
        other => format!("{other:?}"),
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
        let _ = writeln!(text, "+{:.3} s {side}{}", dated.after.as_secs_f64(), in_words(&dated.fact));
    }
    text
}

/// A fact as a line for people.
fn in_words(fact: &Fact) -> String {
    let who = |party: &Party| match party {
        Party::Here => "we",
        Party::Peer => "he",
    };
    match fact {
        Fact::Sent(head) => format!("sent {head}"),
        Fact::Received(head) => {
            let more =
                [&head.agent, &head.warning].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
            if more.is_empty() { format!("received {head}") } else { format!("received {head} ({more})") }
        }
        Fact::Told(told) => format!("told {} our address {}: {}", told.peer, told.address, told.because),
        Fact::Routed { destination, local: Some(local), interface, .. } => {
            let interface = interface.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("packets to {destination} leave by {local}{interface}")
        }
        Fact::Routed { destination, .. } => format!("this machine knows no way to {destination}"),
        Fact::Described { by, description } => {
            let at = description.address.map(|address| format!(" at {address}")).unwrap_or_default();
            let codecs = description.codecs.join(", ");
            let direction = match (description.direction.sends, description.direction.receives) {
                (true, true) => "",
                (true, false) => ", sends only",
                (false, true) => ", listens only",
                (false, false) => ", neither sends nor listens",
            };
            format!("{} described voice{at}: {codecs}{direction}", who(by))
        }
        Fact::MediaOpened { rtp } => format!("voice is received at {rtp}"),
        Fact::MediaNotOpened { why } => format!("a port could not be opened: {why}"),
        Fact::MediaRedirected { described, to, why } => {
            format!("voice goes to {to} besides {described}: {why}")
        }
        Fact::FirstPacket { from, expected } => match expected.filter(|expected| expected != from) {
            Some(expected) => format!("the first voice packet came from {from}, not {expected}"),
            None => format!("the first voice packet came from {from}"),
        },
        Fact::SourceMoved { from, to } => format!("voice comes from {to} now, not {from}"),
        Fact::SourceRefused { from } => format!("packets from {from} are not listened to"),
        Fact::Silent { lasted } => format!("no voice for {:.0} s", lasted.as_secs_f32()),
        Fact::Resumed => "voice comes again".to_owned(),
        Fact::Hold { state, .. } => match state {
            HoldState::Held => "put the other side on hold".to_owned(),
            HoldState::Lifted => "took the other side back".to_owned(),
        },
        Fact::TranscoderMissing { from, to } => format!("{from} cannot be made {to} here"),
        Fact::Counters(counters) => {
            let peer =
                counters.peer_lost.map(|lost| format!(", he lost {:.1} %", lost * 100.0)).unwrap_or_default();
            format!(
                "received {} packets, {} lost, jitter {:.1} ms; sent {}{peer}",
                counters.received,
                counters.lost,
                counters.jitter.as_secs_f64() * 1000.0,
                counters.sent
            )
        }
        other => format!("{other:?}"),
    }
}

fn contact(contact: Option<denwa_sip_core::header::NameAddr<'_>>) -> Option<String> {
    let uri = contact?.uri;
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}{port}", uri.host_str()))
}

fn agent(fields: &Fields) -> Option<String> {
    let agent = fields.get(HeaderName::UserAgent).or_else(|| fields.get(HeaderName::Server))?;
    Some(agent.chars().take(80).collect())
}

fn warning(fields: &Fields) -> Option<String> {
    let warning = fields.typed::<Warning<'_>>().ok().flatten()?;
    Some(warning.text.into_owned())
}
