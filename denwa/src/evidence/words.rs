//! Facts in words, one line each, for logs and reports.

use super::{Fact, HoldState, Party, RouteUse, Unreached};
use std::fmt;

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(head) => write!(f, "sent {head}"),
            Self::Received(head) => write!(f, "received {head}"),
            Self::Repeated { method, times } => write!(f, "{method} repeated {times} times"),
            Self::Unanswered { method, to, protocol, waited } => {
                write!(f, "{method} to {to} over {protocol} got no reply in {} s", waited.as_secs())
            }
            Self::Unreached { to, protocol, why } => write!(f, "{to} was not reached over {protocol}: {why}"),
            Self::Unresolved { name } => write!(f, "{name} has no address"),
            Self::Altered { header, sent, returned } => {
                write!(f, "{header:?} left as `{sent}` and came back as `{returned}`")
            }
            Self::SeenAs { address, sent_from } => write!(f, "the peer sees {sent_from} as {address}"),
            Self::Told(told) => write!(f, "{} is told {}: {}", told.peer, told.address, told.because),
            Self::Routed { route, destination, local, interface } => {
                let what = match route {
                    RouteUse::Signalling => "signalling",
                    RouteUse::Media => "media",
                };
                match (local, interface) {
                    (Some(local), Some(name)) => {
                        write!(f, "{what} for {destination} leaves by {local} ({name})")
                    }
                    (Some(local), None) => write!(f, "{what} for {destination} leaves by {local}"),
                    (None, _) => write!(f, "there is no route for {what} to {destination}"),
                }
            }
            Self::Described { by, description } => {
                let who = match by {
                    Party::Here => "we describe",
                    Party::Peer => "the peer describes",
                };
                match description.address {
                    Some(address) => write!(f, "{who} {} at {address}", description.codecs.join(", ")),
                    None => write!(f, "{who} {} at no address", description.codecs.join(", ")),
                }
            }
            Self::Agreed(agreement) => {
                let way = match (agreement.direction.sends, agreement.direction.receives) {
                    (true, true) => "both ways",
                    (true, false) => "only sent",
                    (false, true) => "only received",
                    (false, false) => "neither way",
                };
                write!(f, "agreed on {}, {way}, {:?}", agreement.codec, agreement.security)
            }
            Self::Mismatched { offered, supported, rule, .. } => {
                write!(
                    f,
                    "no agreement: offered {}, supported {}: {rule}",
                    offered.join(", "),
                    supported.join(", ")
                )
            }
            Self::MediaOpened { rtp } => write!(f, "media are received at {rtp}"),
            Self::MediaNotOpened { why } => write!(f, "no port for media: {why}"),
            Self::MediaRedirected { described, to, why } => {
                write!(f, "media for {described} are sent to {to} as well: {why}")
            }
            Self::Answered => f.write_str("the caller was told that the call is answered"),
            Self::FirstPacket { from, .. } => write!(f, "the first media came from {from}"),
            Self::SourceMoved { from, to } => write!(f, "media come from {to}, no longer from {from}"),
            Self::SourceRefused { from } => write!(f, "media from {from} are not listened to"),
            Self::FormatNotAgreed { payload_type } => {
                write!(f, "media of payload type {payload_type} come, which was not agreed on")
            }
            Self::Silent { lasted } => write!(f, "no media for {} s", lasted.as_secs()),
            Self::Resumed => f.write_str("media come again"),
            Self::Hold { by, state } => {
                let who = match by {
                    Party::Here => "we",
                    Party::Peer => "the peer",
                };
                match state {
                    HoldState::Held => write!(f, "{who} put the call on hold"),
                    HoldState::Lifted => write!(f, "{who} took the call off hold"),
                }
            }
            Self::PathChosen { path } => write!(f, "ICE chose {path}"),
            Self::NoPath { tried } => write!(f, "ICE found no way: {tried}"),
            Self::PathLost => f.write_str("the way that ICE chose carries nothing any more"),
            Self::Secured { suite } => write!(f, "media are encrypted with {suite}, by DTLS"),
            Self::SecurityFailed(failure) => write!(f, "protection of media failed: {failure:?}"),
            Self::Counters(counters) => write!(
                f,
                "{} packets sent, {} received, {} lost, {} refused, jitter {:.1} ms",
                counters.sent,
                counters.received,
                counters.lost,
                counters.refused,
                counters.jitter.as_secs_f64() * 1000.0
            ),
            Self::DataTone { what } => write!(f, "{what}: it has a clear channel from now on"),
            Self::TranscoderMissing { from, to } => write!(f, "{from} cannot be made {to} here"),
            Self::CredentialsRefused { by: Party::Here, account, .. } => {
                write!(f, "the credentials for {account} are wrong")
            }
            Self::CredentialsRefused { by: Party::Peer, account, .. } => {
                write!(f, "the peer refused the credentials for {account}")
            }
            Self::TurnedAway { source, why } => write!(f, "{source} was turned away: {why}"),
            Self::Forbidden { why, .. } => write!(f, "it is not allowed: {why}"),
            Self::RuleBroken { what } => write!(f, "the peer {what}"),
            Self::Unreadable { source, why } => write!(f, "what {source} sent cannot be read: {why}"),
            Self::LimitReached { which } => write!(f, "a limit was reached: {which}"),
            Self::Ended { by, cause } => match by {
                Party::Here => write!(f, "ended here: {cause:?}"),
                Party::Peer => write!(f, "ended by the peer: {cause:?}"),
            },
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("nobody listens there"),
            Self::NoRoute => f.write_str("there is no route"),
            Self::TimedOut => f.write_str("no connection in time"),
            Self::Closed => f.write_str("the connection was closed"),
            Self::CertificateNotTrusted => f.write_str("its certificate is not trusted"),
            Self::CertificateOfAnother => f.write_str("its certificate is for another name"),
            Self::Other(what) => f.write_str(what),
        }
    }
}
