//! A named cause, how sure it is, what shows it, and what to do.

use super::{Dated, Side};
use std::fmt;

/// A cause that the facts show.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// Whose leg it is about.
    pub side: Option<Side>,
    /// One sentence that says what happened, with the addresses and numbers of this case.
    pub sentence: String,
    /// One sentence that says what to do about it.
    pub remedy: String,
    /// The facts that show it, in order.
    pub shown_by: Vec<Dated>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sentence, self.remedy)
    }
}

/// How sure a finding is. Later ones are surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// The facts allow it, and other causes too.
    Possible,
    /// The facts speak for it.
    Likely,
    /// The facts leave no other explanation.
    Certain,
}

/// What can be the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A VPN shows the peer under another address than the peer calls its own, and the latter is routed elsewhere.
    RenamingVpn,
    /// The peer is behind an address translator and described a private address; its packets never came.
    PeerBehindNat,
    /// We told a peer beyond our networks an address that is not reached from there.
    ExternalAddressWrong,
    /// A peer in a network of ours was told the external address, or the other way round.
    LocalNetworkForgotten,
    /// Signalling passes and media do not, though the addresses are right: something drops the ports.
    MediaBlocked,
    /// The same, one way only.
    MediaBlockedOneWay,
    /// The two sides have no codec in common.
    NoCommonCodec,
    /// The codecs could be converted, but the converter is not there.
    TranscoderMissing,
    /// One side protects its media and the other does not.
    EncryptionOneSided,
    /// Protected media cannot be read: the keys are not those agreed on.
    WrongKeys,
    /// The peer's media stopped during the call.
    PeerFellSilent,
    /// Our media ports are outside the set the router owns.
    PortsOutsideSet,
    /// A request got no reply of any kind.
    NoReply,
    /// The peer's host says that nobody listens there.
    NobodyListens,
    /// A name does not resolve.
    NameUnknown,
    /// The call is on hold and was never taken off.
    HeldForever,
    /// Something on the way rewrites SIP messages.
    Alg,
    /// Credentials are wrong.
    WrongPassword,
    /// The account does not exist.
    UnknownAccount,
    /// The callee is busy.
    Busy,
    /// The callee declined.
    Declined,
    /// Nobody answered.
    NotAnswered,
    /// The number or address is not known where the call went.
    UnknownNumber,
    /// The callee's phone is not there now.
    NotRegistered,
    /// Refused for another reason.
    RefusedByPeer,
    /// The answer was never confirmed: the ACK did not arrive.
    AckLost,
    /// The session timer ran out: the peer did not refresh.
    SessionExpired,
    /// In the midst of the call the peer did not answer a request, or knew nothing of the call any more.
    CallLost,
    /// No port was left for media.
    PortsExhausted,
    /// A limit of ours was reached.
    LimitReached,
    /// The source is banned or sends too fast.
    TurnedAway,
    /// A list of addresses and transports does not let the source in.
    NotListed,
    /// The number goes out after a PIN only, and the right one was not given.
    PinNeeded,
    /// The caller is not signed for (RFC 8224), and only signed ones are taken.
    CallerNotSigned,
    /// The caller is signed for, and the signature is not believed.
    SignatureWrong,
    /// A limit against fraud: the number is barred, the hour wrong, or what may go out is used up.
    TollLimit,
    /// The operator does not want this caller.
    CallerBlocked,
    /// What came is not readable as SIP.
    Unreadable,
    /// The path loses many packets.
    PacketLoss,
    /// The peer sends a codec that was not agreed on.
    FormatNotAgreed,
    /// The peer left the rules in a way that leaves no call.
    RuleBroken,
}

impl Cause {
    /// Every cause there is, for whoever has words of his own for each.
    pub const ALL: &'static [Self] = &[
        Self::RenamingVpn,
        Self::PeerBehindNat,
        Self::ExternalAddressWrong,
        Self::LocalNetworkForgotten,
        Self::MediaBlocked,
        Self::MediaBlockedOneWay,
        Self::NoCommonCodec,
        Self::TranscoderMissing,
        Self::EncryptionOneSided,
        Self::WrongKeys,
        Self::PeerFellSilent,
        Self::PortsOutsideSet,
        Self::NoReply,
        Self::NobodyListens,
        Self::NameUnknown,
        Self::HeldForever,
        Self::Alg,
        Self::WrongPassword,
        Self::UnknownAccount,
        Self::Busy,
        Self::Declined,
        Self::NotAnswered,
        Self::UnknownNumber,
        Self::NotRegistered,
        Self::RefusedByPeer,
        Self::AckLost,
        Self::SessionExpired,
        Self::CallLost,
        Self::PortsExhausted,
        Self::LimitReached,
        Self::TurnedAway,
        Self::NotListed,
        Self::PinNeeded,
        Self::CallerNotSigned,
        Self::SignatureWrong,
        Self::TollLimit,
        Self::CallerBlocked,
        Self::Unreadable,
        Self::PacketLoss,
        Self::FormatNotAgreed,
        Self::RuleBroken,
    ];
}
