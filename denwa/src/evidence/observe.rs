//! Facts made of what the other crates hand out: messages, descriptions, agreements, events of media.

use super::{
    Agreement, Description, Disagreement, Fact, HoldState, MediaDirection, MediaSecurity, MessageHead, Party,
    SecurityFailure, Unreached,
};
use crate::media::{self, StreamReport};
use denwa_sdp::{
    ActiveMedium, AgreedEncryption, Hold, Kind, Mismatch, NegotiationError, RemoteAddress, RemoteDescription,
    Rule,
};
use denwa_sip_core::auth::client::ChallengeRefusal;
use denwa_sip_core::header::Fields;
use denwa_sip_core::io::{Flow, StreamFailure};
use denwa_sip_core::message::{Request, Response};
use denwa_sip_core::transaction::{EndReason, StreamEnd};
use denwa_sip_core::{HeaderName, Protocol};
use std::fmt;
use std::net::SocketAddr;

impl MessageHead {
    /// What matters of a request.
    pub fn of_request(request: &Request, flow: Option<&Flow>) -> Self {
        Self { method: request.method().to_string(), ..Self::of_fields(request, flow) }
    }

    /// What matters of a response.
    pub fn of_response(response: &Response, flow: Option<&Flow>) -> Self {
        Self {
            method: response.cseq().map(|cseq| cseq.method.to_string()).unwrap_or_default(),
            status: Some(response.status().code()),
            reason: response.reason().to_owned(),
            warning: response.get(HeaderName::Warning).map(str::to_owned),
            ..Self::of_fields(response, flow)
        }
    }

    fn of_fields(fields: &Fields, flow: Option<&Flow>) -> Self {
        let contact = fields.contact().ok().flatten().map(|contact| {
            let host = contact.uri.host_str();
            contact.uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        });
        let agent = fields.get(HeaderName::UserAgent).or_else(|| fields.get(HeaderName::Server));
        Self {
            remote: flow.map(|flow| flow.remote),
            protocol: flow.map(|flow| flow.protocol.to_string()).unwrap_or_default(),
            contact,
            agent: agent.map(str::to_owned),
            ..Self::default()
        }
    }
}

impl Description {
    /// What matters of a peer's description: its first audio medium.
    pub fn of_remote(description: &RemoteDescription) -> Self {
        let Some(audio) = description.media.iter().find(|medium| medium.kind == Kind::Audio) else {
            return Self::default();
        };
        let security = if !audio.fingerprints.is_empty() {
            MediaSecurity::Dtls
        } else if !audio.crypto.is_empty() {
            MediaSecurity::Sdes
        } else {
            MediaSecurity::Plain
        };
        Self {
            address: audio.rtp.as_ref().and_then(address),
            codecs: audio
                .formats
                .iter()
                .filter(|format| !format.is_telephone_event())
                .map(|format| format!("{}/{}", format.name, format.clock_rate))
                .collect(),
            direction: MediaDirection {
                sends: audio.direction.sends(),
                receives: audio.direction.receives(),
            },
            zero_address: audio.held_by_address,
            security,
        }
    }
}

impl Agreement {
    /// What matters of an agreed medium.
    pub fn of_medium(medium: &ActiveMedium) -> Self {
        let security = match medium.encryption {
            AgreedEncryption::None => MediaSecurity::Plain,
            AgreedEncryption::Sdes(_) => MediaSecurity::Sdes,
            AgreedEncryption::Dtls(_) => MediaSecurity::Dtls,
        };
        Self {
            codec: medium
                .codec()
                .map(|codec| format!("{}/{}", codec.name, codec.clock_rate))
                .unwrap_or_default(),
            direction: MediaDirection {
                sends: medium.direction.sends(),
                receives: medium.direction.receives(),
            },
            security,
            remote: medium.remote_rtp.as_ref().and_then(address),
        }
    }
}

fn address(address: &RemoteAddress) -> Option<SocketAddr> {
    match address {
        RemoteAddress::Ip(address) => Some(*address),
        RemoteAddress::Host(..) => None,
    }
}

impl Fact {
    /// Who holds, when an agreement says that somebody does, or did before.
    #[must_use]
    pub fn of_hold(now: Hold, before: Hold) -> Option<Self> {
        let state = |held| if held { HoldState::Held } else { HoldState::Lifted };
        let local = |hold| matches!(hold, Hold::Local | Hold::Both);
        if now.is_remote() != before.is_remote() {
            return Some(Self::Hold { by: Party::Peer, state: state(now.is_remote()) });
        }
        (local(now) != local(before)).then(|| Self::Hold { by: Party::Here, state: state(local(now)) })
    }

    /// Why descriptions could not be brought together.
    #[must_use]
    pub fn of_mismatch(mismatch: &Mismatch, offered_by: Party) -> Self {
        let medium = mismatch.main();
        let list = |pick: fn(&denwa_sdp::MediumMismatch) -> &Vec<String>| {
            medium.map(pick).cloned().unwrap_or_default()
        };
        Self::Mismatched {
            offered_by,
            offered: list(|medium| &medium.offered),
            supported: list(|medium| &medium.supported),
            about: medium.map_or(Disagreement::Other, |medium| disagreement(&medium.rule)),
            rule: mismatch.to_string().trim_end_matches('.').to_owned(),
        }
    }

    /// Why a request got no final response.
    #[must_use]
    pub fn of_end(
        reason: EndReason,
        method: &str,
        to: SocketAddr,
        protocol: Protocol,
        waited: std::time::Duration,
    ) -> Self {
        let protocol = protocol.to_string();
        let why = match reason {
            EndReason::Unreachable => Unreached::Refused,
            EndReason::StreamFailed(end) => Unreached::of_stream(end),
            EndReason::NoRoute => Unreached::NoRoute,
            _ => return Self::Unanswered { method: method.to_owned(), to, protocol, waited },
        };
        Self::Unreached { to, protocol, why }
    }

    /// What happened to media; `None` for what is a fact of another kind.
    #[must_use]
    pub fn of_media(event: &media::Event) -> Option<Self> {
        Some(match event {
            media::Event::FirstPacket { from, expected } => {
                Self::FirstPacket { from: *from, expected: *expected }
            }
            media::Event::SourceMoved { from, to } => Self::SourceMoved { from: *from, to: *to },
            media::Event::SourceRefused { from } => Self::SourceRefused { from: *from },
            media::Event::FormatNotAgreed { payload_type } => {
                Self::FormatNotAgreed { payload_type: *payload_type }
            }
            media::Event::Silent { lasted } => Self::Silent { lasted: *lasted },
            media::Event::Resumed { .. } => Self::Resumed,
            media::Event::ProtectionFailed => Self::SecurityFailed(SecurityFailure::WrongKeys),
            media::Event::PathChosen { path, .. } => Self::PathChosen { path: path.clone() },
            media::Event::PathFailed { pairs } => Self::no_path(pairs),
            media::Event::PathLost => Self::PathLost,
            media::Event::Encrypted { suite } => Self::Secured { suite: (*suite).to_owned() },
            media::Event::NotEncrypted { reason } => Self::not_encrypted(reason),
            media::Event::Report(report) => Self::of_report(report),
            _ => return None,
        })
    }

    /// Our password was asked for, and that was the end; `None` where nothing can be told from it.
    pub fn of_challenge(reason: ChallengeRefusal, account: String) -> Option<Self> {
        match reason {
            ChallengeRefusal::AlreadyRefused => {
                Some(Self::CredentialsRefused { by: Party::Peer, account, account_known: None })
            }
            ChallengeRefusal::NoChallenge | ChallengeRefusal::NotSupported => Some(Self::RuleBroken {
                what: "asks for a password by none of the ways that are known here".to_owned(),
            }),
            _ => None,
        }
    }

    /// An offer of ours was answered in a way that leaves no session.
    #[must_use]
    pub fn of_bad_answer(error: &NegotiationError) -> Self {
        match error {
            NegotiationError::Mismatch(mismatch) => Self::of_mismatch(mismatch, Party::Here),
            other => Self::unusable_answer(other),
        }
    }

    /// An offer of ours was answered with what nobody can go by, and why.
    #[must_use]
    pub fn unusable_answer(why: &impl fmt::Display) -> Self {
        Self::RuleBroken { what: format!("answered what cannot be gone by: {why}") }
    }

    /// An offer of ours was answered with nothing.
    pub fn no_session() -> Self {
        Self::RuleBroken { what: "answered without a session description".to_owned() }
    }

    /// ICE tried these, and found no way.
    pub fn no_path(pairs: &[media::PairReport]) -> Self {
        let tried: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        let nothing = || "no address of the one fits any of the other".to_owned();
        Self::NoPath { tried: if tried.is_empty() { nothing() } else { tried.join("; ") } }
    }

    /// DTLS gave no keys.
    #[must_use]
    pub fn not_encrypted(reason: &media::dtls::Failure) -> Self {
        Self::SecurityFailed(match reason {
            media::dtls::Failure::WrongCertificate | media::dtls::Failure::UnknownHash(_) => {
                SecurityFailure::WrongFingerprint
            }
            _ => SecurityFailure::HandshakeFailed,
        })
    }

    /// The figures of a stream.
    #[must_use]
    pub fn of_report(report: &StreamReport) -> Self {
        Self::Counters(report.counters.clone())
    }
}

fn disagreement(rule: &Rule) -> Disagreement {
    match rule {
        Rule::NoCommonCodec | Rule::IncompatibleParameters { .. } => Disagreement::Codec,
        Rule::EncryptionRequired
        | Rule::EncryptionUnsupported
        | Rule::KeyExchange { .. }
        | Rule::NoCommonSuite { .. }
        | Rule::KeyMissing
        | Rule::FingerprintMissing
        | Rule::Setup { .. } => Disagreement::Encryption,
        // RFC 3261 §20.43: 305 is an incompatible media format, 304 an incompatible media type.
        Rule::WithWarning { text } if text.starts_with("305") || text.starts_with("304") => {
            Disagreement::Codec
        }
        // 302 is an incompatible transport: of the profiles in use, plain ones and protected ones.
        Rule::WithWarning { text } if text.starts_with("302") => Disagreement::Encryption,
        _ => Disagreement::Other,
    }
}

impl Unreached {
    /// Why a connection came to nothing.
    fn of_stream(end: StreamEnd) -> Self {
        match end {
            StreamEnd::Failed(StreamFailure::Refused) => Self::Refused,
            StreamEnd::Failed(StreamFailure::Unreachable) => Self::NoRoute,
            StreamEnd::Failed(StreamFailure::TimedOut) | StreamEnd::NotOpened => Self::TimedOut,
            StreamEnd::Failed(StreamFailure::UntrustedCertificate) => Self::CertificateNotTrusted,
            StreamEnd::Failed(StreamFailure::WrongIdentity) => Self::CertificateOfAnother,
            StreamEnd::Failed(failure) => Self::Other(failure.to_string()),
            _ => Self::Closed,
        }
    }
}
