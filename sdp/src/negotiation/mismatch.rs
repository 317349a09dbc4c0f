//! The refusal as a value: for each medium what was offered, what is supported, and the one rule that failed.
//!
//! It prints as a sentence for somebody who runs a telephone exchange, and knows the SIP status and the warning code
//! (RFC 3261 §20.43) that go with it.

use core::fmt;

use crate::error::ParseError;
use crate::profile::{Kind, Profile};

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Who refused.
    pub by: Refuser,
    /// The media that failed, in order; what had no part in the failure is left out.
    pub media: Vec<MediumMismatch>,
}

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuser {
    /// This side refused the peer's offer, or cannot use its answer.
    Local,
    /// The peer refused this side's offer.
    Remote,
}

/// Why one medium failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediumMismatch {
    /// Which medium, from 0.
    pub slot: usize,
    /// What it is.
    pub kind: Kind,
    /// What was offered: codec names, `T.38`, or formats.
    pub offered: Vec<String>,
    /// What the one who refused has for this kind. Empty when that is not known.
    pub supported: Vec<String>,
    /// The rule that failed.
    pub rule: Rule,
    /// Who offered, and who refused.
    pub parties: Parties,
}

/// Who offered, and who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parties {
    /// The peer offered, and this side refused.
    OfferRefused,
    /// This side offered, and refuses what the peer made of it.
    AnswerRefused,
    /// This side offered, and the peer refused.
    RefusedByPeer,
}

/// The rules a medium can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// No codec, or no format, in common.
    NoCommonCodec,
    /// The same codec, with parameters that exclude each other.
    IncompatibleParameters {
        /// The codec.
        codec: String,
        /// The offered parameters.
        offered: String,
        /// Ours.
        supported: String,
    },
    /// Encryption is required here and was not offered.
    EncryptionRequired,
    /// Encryption was demanded and is not supported here.
    EncryptionUnsupported,
    /// Encryption by this way of agreeing on keys was demanded, and another is supported here.
    KeyExchange {
        /// What was demanded: `DTLS` or `SDES`.
        offered: &'static str,
        /// What is supported: `DTLS` or `SDES`.
        supported: &'static str,
    },
    /// No crypto suite in common.
    NoCommonSuite {
        /// The offered suites.
        offered: Vec<String>,
        /// Ours.
        supported: Vec<String>,
    },
    /// The profile promises encryption and there is no `crypto` attribute with a key that can be used.
    KeyMissing,
    /// The profile promises DTLS and there is no fingerprint, or none that can be used.
    FingerprintMissing,
    /// The roles of DTLS exclude each other, or `holdconn` was said.
    Setup {
        /// What was said.
        said: &'static str,
    },
    /// This transport profile is not supported.
    Profile {
        /// The profile.
        offered: Profile,
    },
    /// No address of this family.
    Family {
        /// Whether IPv6 was offered.
        ipv6: bool,
    },
    /// The address is a group's.
    Multicast,
    /// There is no address.
    NoAddress,
    /// ICE is required here and was not offered.
    IceRequired,
    /// The addresses were changed on the way: the default one is not among the candidates.
    IceMismatch,
    /// RTCP on a port of its own was demanded where only a shared one is supported, or the reverse.
    RtcpMux {
        /// Whether the peer insists on sharing.
        offered: bool,
    },
    /// This kind of media is not supported.
    KindUnsupported,
    /// As many media of this kind as are supported are there already.
    TooMany,
    /// No local transport is left.
    NoTransport,
    /// A better one of two alternatives was taken.
    AlternativeTaken,
    /// The fax parameters exclude each other.
    Fax {
        /// Which parameter, and the two values.
        what: String,
    },
    /// The transport it was to share is not there.
    BundleRejected,
    /// The peer refused it with port 0 and did not say why.
    RejectedByPeer,
    /// It was refused on request.
    Declined,
    /// The answer has fewer media than the offer.
    MissingInAnswer,
    /// The answer has another kind of media in this place.
    KindChanged {
        /// The kind in the answer.
        answered: Kind,
    },
    /// The peer refused it and warned.
    WithWarning {
        /// The warning the peer sent with its refusal.
        text: String,
    },
}

impl Rule {
    /// The warning code of RFC 3261 §20.43.
    #[must_use]
    pub fn warning_code(&self) -> u16 {
        match self {
            Self::NoCommonCodec | Self::IncompatibleParameters { .. } | Self::Fax { .. } => 305,
            Self::EncryptionRequired
            | Self::EncryptionUnsupported
            | Self::KeyExchange { .. }
            | Self::NoCommonSuite { .. }
            | Self::Profile { .. }
            | Self::RtcpMux { .. } => 302,
            Self::KeyMissing | Self::FingerprintMissing | Self::Setup { .. } => 307,
            Self::Family { .. } | Self::NoAddress => 301,
            Self::Multicast => 330,
            Self::KindUnsupported | Self::TooMany => 304,
            _ => 399,
        }
    }

    /// How much it explains: where several media failed, the greatest comes first in the sentence.
    fn weight(&self) -> u8 {
        match self {
            Self::AlternativeTaken | Self::TooMany | Self::BundleRejected => 0,
            Self::KindUnsupported => 1,
            Self::RejectedByPeer | Self::MissingInAnswer | Self::Declined => 2,
            _ => 3,
        }
    }
}

impl Mismatch {
    pub(crate) fn new(by: Refuser, media: Vec<MediumMismatch>) -> Self {
        Self { by, media }
    }

    /// The medium that explains most: the first of the weightiest.
    #[must_use]
    pub fn main(&self) -> Option<&MediumMismatch> {
        let best = self.media.iter().map(|medium| medium.rule.weight()).max()?;
        self.media.iter().find(|medium| medium.rule.weight() == best)
    }

    /// The status of the response that refuses the offer: 488, or 500 when this side has run out of transports.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.main().map(|medium| &medium.rule) {
            Some(Rule::NoTransport) => 500,
            _ => 488,
        }
    }

    /// The code of the `Warning` header.
    #[must_use]
    pub fn warning_code(&self) -> u16 {
        self.main().map_or(399, |medium| medium.rule.warning_code())
    }

    /// The value of the `Warning` header; `agent` is the host that warns, or a pseudonym.
    #[must_use]
    pub fn warning(&self, agent: &str) -> String {
        let agent: String =
            agent.chars().filter(|letter| letter.is_ascii_graphic() && !"\"\\,".contains(*letter)).collect();
        let agent = if agent.is_empty() { "sdp".to_owned() } else { agent };
        let text = self.to_string();
        let quoted: String = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .flat_map(|letter| "\"\\".contains(letter).then_some('\\').into_iter().chain([letter]))
            .collect();
        format!("{} {agent} \"{quoted}\"", self.warning_code())
    }
}

impl core::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    /// One sentence, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(main) = self.main() else {
            return f.write_str("nothing was offered that could be accepted");
        };
        main.fmt(f)?;
        let mut named = vec![(&main.kind, &main.rule)];
        for other in &self.media {
            let known = named.contains(&(&other.kind, &other.rule));
            if other.rule.weight() == 0 || other.slot == main.slot || known {
                continue;
            }
            named.push((&other.kind, &other.rule));
            write!(f, "; {other}")?;
        }
        Ok(())
    }
}

/// The two parties in a sentence.
struct Names {
    offerer: &'static str,
    answerer: &'static str,
    /// Who refused.
    refuser: &'static str,
    /// Whose words were refused.
    refused: &'static str,
    /// What those words were: `offers` or `answers with`.
    says: &'static str,
}

impl Parties {
    fn names(self) -> Names {
        const US: &str = "this side";
        const THEM: &str = "the other side";
        let (offerer, answerer) = if self == Self::OfferRefused { (THEM, US) } else { (US, THEM) };
        let (refuser, refused) = if self == Self::RefusedByPeer { (THEM, US) } else { (US, THEM) };
        let says = if self == Self::AnswerRefused { "answers with" } else { "offers" };
        Names { offerer, answerer, refuser, refused, says }
    }
}

impl fmt::Display for MediumMismatch {
    /// One sentence, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = &self.kind;
        let Names { offerer, answerer, refuser, refused, says } = self.parties.names();
        match &self.rule {
            Rule::NoCommonCodec => {
                let (offered, supported) = (List(&self.offered), List(&self.supported));
                if self.supported.is_empty() {
                    return write!(f, "no common {kind} codec: {offerer} offers {offered}");
                }
                write!(f, "no common {kind} codec: {offerer} offers {offered}, {answerer} has {supported}")
            }
            Rule::IncompatibleParameters { codec, offered, supported } => write!(
                f,
                "{kind} codec {codec} with parameters that do not fit: {offerer} offers {}, {answerer} has {}",
                Parameters(offered),
                Parameters(supported)
            ),
            Rule::EncryptionRequired => {
                write!(f, "{refuser} requires encrypted {kind}, and {refused} {says} only unencrypted {kind}")
            }
            Rule::EncryptionUnsupported => {
                write!(f, "{refused} requires encrypted {kind}, and {refuser} does not encrypt")
            }
            Rule::KeyExchange { offered, supported } => write!(
                f,
                "{offerer} encrypts {kind} with keys by {offered}, {answerer} with keys by {supported}"
            ),
            Rule::NoCommonSuite { offered, supported } => write!(
                f,
                "no common encryption for {kind}: {offerer} offers {}, {answerer} has {}",
                List(offered),
                List(supported)
            ),
            Rule::KeyMissing => {
                write!(f, "{refused} announces encrypted {kind} and gives no key that can be used")
            }
            Rule::FingerprintMissing => {
                write!(
                    f,
                    "{refused} announces {kind} encrypted by DTLS and gives no usable certificate fingerprint"
                )
            }
            Rule::Setup { said } => {
                write!(f, "the DTLS role for {kind} cannot be settled: {refused} says setup:{said}")
            }
            Rule::Profile { offered } => {
                write!(f, "{refuser} does not know the transport {offered} that {refused} {says} for {kind}")
            }
            Rule::Family { ipv6 } => {
                let family = if *ipv6 { "IPv6" } else { "IPv4" };
                write!(f, "{refused} {says} {kind} over {family}, and {refuser} has no {family} address")
            }
            Rule::Multicast => {
                write!(f, "{refused} {says} {kind} by multicast, and {refuser} has unicast only")
            }
            Rule::NoAddress => write!(f, "{refused} gives no address for {kind}"),
            Rule::IceRequired => {
                write!(f, "{refuser} requires ICE for {kind}, and {refused} does not offer it")
            }
            Rule::IceMismatch => write!(
                f,
                "the address for {kind} is not among the ICE candidates: something on the way rewrote it"
            ),
            Rule::RtcpMux { offered: true } => {
                write!(f, "{refused} insists on RTCP on the port of {kind}, and {refuser} uses another port")
            }
            Rule::RtcpMux { offered: false } => {
                write!(f, "{refuser} insists on RTCP on the port of {kind}, and {refused} does not offer it")
            }
            Rule::KindUnsupported => write!(f, "{refuser} does not take {kind}"),
            Rule::TooMany => write!(f, "{refuser} takes no further {kind}"),
            Rule::NoTransport => write!(f, "{refuser} has no port left for {kind}"),
            Rule::AlternativeTaken => write!(f, "another {kind} medium was taken in its place"),
            Rule::Fax { what } => write!(f, "fax parameters that do not fit: {what}"),
            Rule::BundleRejected => write!(f, "the transport {kind} was to share was refused"),
            Rule::RejectedByPeer => {
                write!(
                    f,
                    "{answerer} refused {kind} without a reason: {offerer} offered {}",
                    List(&self.offered)
                )
            }
            Rule::Declined => write!(f, "{refuser} declined {kind}"),
            Rule::MissingInAnswer => write!(f, "{answerer} left {kind} out of its answer"),
            Rule::KindChanged { answered } => write!(f, "{answerer} answered {kind} with {answered}"),
            Rule::WithWarning { text } => {
                write!(f, "{answerer} refused {kind}: {text} ({offerer} offered {})", List(&self.offered))
            }
        }
    }
}

/// `A`, `A and B`, `A, B and C`; long lists are cut.
struct List<'l>(&'l [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 12;
        let shown = self.0.get(..MOST).unwrap_or(self.0);
        let left = self.0.len() - shown.len();
        match shown {
            [] => f.write_str("nothing known"),
            [only] => f.write_str(only),
            [first @ .., last] if left == 0 => write!(f, "{} and {last}", first.join(", ")),
            all => write!(f, "{} and {left} more", all.join(", ")),
        }
    }
}

/// `fmtp` parameters in a sentence.
struct Parameters<'p>(&'p str);

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { self.0 })
    }
}

/// What our caller did at the wrong moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// An offer of ours is waiting for its answer.
    LocalOfferPending,
    /// An offer of the peer is waiting for our answer.
    RemoteOfferPending,
    /// There is no offer to answer.
    NoRemoteOffer,
    /// There is no offer of ours that could be answered.
    NoLocalOffer,
    /// There is no such medium.
    NoSuchMedium,
    /// The capability has no medium of this kind.
    NoSuchKind,
    /// There is no transport for a medium that is to be offered.
    NoTransport,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LocalOfferPending => "an offer of this side waits for its answer",
            Self::RemoteOfferPending => "an offer of the other side waits for its answer",
            Self::NoRemoteOffer => "there is no offer to answer",
            Self::NoLocalOffer => "there is no offer that could be answered",
            Self::NoSuchMedium => "there is no such medium",
            Self::NoSuchKind => "the capability has no medium of this kind",
            Self::NoTransport => "a medium to be offered has no transport",
        })
    }
}

impl core::error::Error for Misuse {}

/// Why an offer was not answered, or an answer not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NegotiationError {
    /// The bytes cannot be understood.
    Malformed(ParseError),
    /// They were understood, and there is no session.
    Mismatch(Mismatch),
    /// Our caller did it at the wrong moment.
    Misuse(Misuse),
}

/// Why an offer was not answered.
pub type OfferError = NegotiationError;
/// Why an answer was not accepted.
pub type AnswerError = NegotiationError;

impl NegotiationError {
    /// The status of the response that refuses the offer: 400 when it cannot be understood, 488 or 500 when there is
    /// no session, 491 when this side has an offer out, 500 for other misuse.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Mismatch(mismatch) => mismatch.status(),
            Self::Misuse(Misuse::LocalOfferPending) => 491,
            Self::Misuse(_) => 500,
        }
    }

    /// The value of the `Warning` header, where there is something to warn of.
    #[must_use]
    pub fn warning(&self, agent: &str) -> Option<String> {
        match self {
            Self::Malformed(_) => None,
            Self::Mismatch(mismatch) => Some(mismatch.warning(agent)),
            Self::Misuse(_) => None,
        }
    }

    /// The mismatch, if it is one.
    #[must_use]
    pub fn mismatch(&self) -> Option<&Mismatch> {
        match self {
            Self::Mismatch(mismatch) => Some(mismatch),
            _ => None,
        }
    }
}

impl fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the session description cannot be read: {error}"),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl core::error::Error for NegotiationError {}

impl From<ParseError> for NegotiationError {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl From<Mismatch> for NegotiationError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl From<Misuse> for NegotiationError {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}
