//! The facts: what was said, sent, heard, tried and measured.
//!
//! Numbers and addresses are as they were on the wire. Names of methods, headers and codecs are the protocols' own.

use super::Rule;
use crate::address::{Because, Told};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// We.
    Here,
    /// The peer of that side.
    Peer,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// A SIP message left, the first time; repetitions are counted by [`Fact::Repeated`].
    Sent(MessageHead),
    /// A SIP message came.
    Received(MessageHead),
    /// A request was sent again, for lack of an answer.
    Repeated {
        /// Its method.
        method: String,
        /// How many times by now, the first not counted.
        times: u32,
    },
    /// A request got no answer at all.
    Unanswered {
        /// Its method.
        method: String,
        /// Where it went.
        to: SocketAddr,
        /// Over what: `UDP`, `TCP`…
        protocol: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A message could not be brought to its destination.
    Unreached {
        /// Where it was to go.
        to: SocketAddr,
        /// Over what.
        protocol: String,
        /// What stood in the way.
        why: Unreached,
    },
    /// A name could not be turned into an address.
    Unresolved {
        /// The name.
        name: String,
    },
    /// A response of the peer carried our own header changed on its way.
    Altered {
        /// Which header.
        header: Header,
        /// As we sent it.
        sent: String,
        /// As it came back.
        returned: String,
    },
    /// The peer says that he sees us under this address (`received` and `rport` in our own Via).
    SeenAs {
        /// The address he sees.
        address: SocketAddr,
        /// The address it left by here.
        sent_from: SocketAddr,
    },
    /// We told the peer an address of ours.
    Told(AddressTold),
    /// The system would send to this destination from this address.
    Routed {
        /// For what.
        route: RouteUse,
        /// The destination.
        destination: IpAddr,
        /// The local address; `None` when there is no route.
        local: Option<IpAddr>,
        /// The name of the interface, when known.
        interface: Option<String>,
    },
    /// A session description was sent (here) or came (peer).
    Described {
        /// Whose description it is.
        by: Party,
        /// What it says.
        description: Description,
    },
    /// Offer and answer came to this.
    Agreed(Agreement),
    /// Offer and answer could not be brought together.
    Mismatched {
        /// Whose offer was refused.
        offered_by: Party,
        /// The offerer's list.
        offered: Vec<String>,
        /// What the refuser can do.
        supported: Vec<String>,
        /// What they disagree about.
        about: Disagreement,
        /// The rule that failed, in one sentence.
        rule: String,
    },
    /// Our sockets for the media are open.
    MediaOpened {
        /// The RTP socket.
        rtp: SocketAddr,
    },
    /// No port could be opened for the media.
    MediaNotOpened {
        /// Why, in one sentence.
        why: String,
    },
    /// Media are sent to another address than the description says.
    MediaRedirected {
        /// What the description says.
        described: SocketAddr,
        /// Where they are sent.
        to: SocketAddr,
        /// Why, in one sentence.
        why: String,
    },
    /// The caller was told that his call is answered.
    Answered,
    /// The first packet of media came.
    FirstPacket {
        /// From where.
        from: SocketAddr,
        /// Where the description said that media are received.
        expected: Option<SocketAddr>,
    },
    /// Media come from another address now.
    SourceMoved {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// Packets came from an address that is not listened to.
    SourceRefused {
        /// From where.
        from: SocketAddr,
    },
    /// Packet after packet had a payload type that was not agreed on, and was not heard.
    FormatNotAgreed {
        /// The payload type, 0–127.
        payload_type: u8,
    },
    /// The peer's media stopped.
    Silent {
        /// How long it was when this was noticed.
        lasted: Duration,
    },
    /// The peer's media came again.
    Resumed,
    /// Somebody put the call on hold, or took it off.
    Hold {
        /// Who.
        by: Party,
        /// What it is now.
        state: HoldState,
    },
    /// ICE found the way that media take, in words.
    PathChosen {
        /// Both ends of it.
        path: String,
    },
    /// ICE found no way.
    NoPath {
        /// Each pair of addresses that was tried, and what came of it.
        tried: String,
    },
    /// The way that ICE had found carries nothing any more.
    PathLost,
    /// DTLS agreed on keys.
    Secured {
        /// For this suite.
        suite: String,
    },
    /// Media were protected in a way that could not be undone here.
    SecurityFailed(SecurityFailure),
    /// What the stream looked like last.
    Counters(StreamCounters),
    /// The peer is a fax machine or a modem, by the tone it made.
    DataTone {
        /// In words: `a fax machine calls`.
        what: String,
    },
    /// A codec both sides agreed on is not there to convert.
    TranscoderMissing {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// Credentials were refused.
    CredentialsRefused {
        /// Who refused them.
        by: Party,
        /// The account.
        account: String,
        /// Whether the account is known here; `None` when a peer refused ours.
        account_known: Option<bool>,
    },
    /// A source was turned away before its message was read.
    TurnedAway {
        /// Who.
        source: SocketAddr,
        /// Why, in one sentence.
        why: String,
    },
    /// A rule of ours was not passed.
    Forbidden {
        /// Which.
        rule: Rule,
        /// What it forbids, one sentence without a full stop.
        why: String,
    },
    /// A message could not be read.
    Unreadable {
        /// From where.
        source: SocketAddr,
        /// What and where, in one sentence.
        why: String,
    },
    /// The peer left the rules of SIP or SDP in a way that leaves no call.
    RuleBroken {
        /// What it did, as a sentence goes on that begins with its name.
        what: String,
    },
    /// A limit of ours was reached.
    LimitReached {
        /// Which, in one sentence.
        which: String,
    },
    /// The side's leg ended.
    Ended {
        /// Who ended it.
        by: Party,
        /// How.
        cause: EndCause,
    },
}

/// What an offer was refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disagreement {
    /// No codec in common.
    Codec,
    /// One wants protected media and the other does not.
    Encryption,
    /// Something else; the rule says what.
    Other,
}

/// What matters of a SIP message to find a cause.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MessageHead {
    /// The method; for a response, that of its request.
    pub method: String,
    /// The status of a response; `None` for a request.
    pub status: Option<u16>,
    /// The reason phrase of a response.
    pub reason: String,
    /// Where it came from or went to.
    pub remote: Option<SocketAddr>,
    /// Over what: `UDP`, `TCP`…
    pub protocol: String,
    /// Host and port of the sender's Contact, as written.
    pub contact: Option<String>,
    /// The sender's name for itself: User-Agent or Server.
    pub agent: Option<String>,
    /// The text of a Warning header.
    pub warning: Option<String>,
}

impl fmt::Display for MessageHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status} {} ({})", self.reason, self.method)?,
            None => f.write_str(&self.method)?,
        }
        match self.remote {
            Some(remote) => write!(f, " {} {remote}", self.protocol),
            None => Ok(()),
        }
    }
}

/// What hindered a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreached {
    /// The other host says that nobody listens there.
    Refused,
    /// There is no route, or a router says so.
    NoRoute,
    /// The connection was not made in time.
    TimedOut,
    /// The connection was closed.
    Closed,
    /// The certificate was not believed: nobody who is believed here vouches for it, or it is out of date.
    CertificateNotTrusted,
    /// The certificate is that of another name (RFC 5922 §7.3).
    CertificateOfAnother,
    /// Something else, in one sentence.
    Other(String),
}

/// A header of ours that a peer must return as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Header {
    /// The topmost Via of a response.
    Via,
    /// The Request-URI of a request in a dialog, which is our Contact.
    Contact,
    /// An address in the description the peer answers to.
    Description,
}

/// Which address of ours a peer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressTold {
    /// The peer's address.
    pub peer: IpAddr,
    /// The address packets to him leave by.
    pub route: IpAddr,
    /// What he was told.
    pub address: IpAddr,
    /// Why that.
    pub because: Because,
}

impl AddressTold {
    /// From what [`crate::address::AddressPolicy::told`] was asked and answered.
    #[must_use]
    pub fn new(peer: IpAddr, route: IpAddr, told: Told) -> Self {
        Self { peer, route, address: told.address, because: told.because }
    }
}

/// What a route was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteUse {
    /// The way to the peer's signalling.
    Signalling,
    /// The way to the address in the peer's description.
    Media,
}

/// Which way media may flow, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct MediaDirection {
    /// We may send.
    pub sends: bool,
    /// We may receive.
    pub receives: bool,
}

impl MediaDirection {
    /// Both ways.
    pub const BOTH: Self = Self { sends: true, receives: true };
    /// Neither way.
    pub const NEITHER: Self = Self { sends: false, receives: false };
}

/// How media are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MediaSecurity {
    /// Not at all.
    #[default]
    Plain,
    /// SRTP with keys in the description.
    Sdes,
    /// SRTP with keys from a DTLS handshake.
    Dtls,
}

/// What matters of a session description's audio.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Description {
    /// Where media are to be sent to; `None` for a name or an address of nobody.
    pub address: Option<SocketAddr>,
    /// The codecs, in order of preference, as `PCMA/8000`.
    pub codecs: Vec<String>,
    /// The direction attribute, seen from the one who wrote it.
    pub direction: MediaDirection,
    /// Whether the address is 0.0.0.0, the older style of hold.
    pub zero_address: bool,
    /// How media are protected.
    pub security: MediaSecurity,
}

/// What offer and answer came to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Agreement {
    /// The codec we send.
    pub codec: String,
    /// The way, seen from here.
    pub direction: MediaDirection,
    /// How media are protected.
    pub security: MediaSecurity,
    /// Where media go, by the description.
    pub remote: Option<SocketAddr>,
}

/// Hold and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// On hold: no media, or only one way.
    Held,
    /// Off hold.
    Lifted,
}

/// What went wrong with protected media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecurityFailure {
    /// Packets that should be protected fail their check: other keys than agreed.
    WrongKeys,
    /// Plain packets where protected ones were agreed.
    PlainWhereProtected,
    /// Packets that look protected where plain ones were agreed.
    ProtectedWherePlain,
    /// The handshake for the keys did not end.
    HandshakeFailed,
    /// The certificate is not the one the description names.
    WrongFingerprint,
}

/// The counters of one stream, both ways, since it began.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamCounters {
    /// Where packets went last.
    pub destination: Option<SocketAddr>,
    /// Where they came from last.
    pub source: Option<SocketAddr>,
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received and accepted.
    pub received: u64,
    /// RTP packets missing among those received.
    pub lost: u64,
    /// Packets not accepted.
    pub refused: u64,
    /// Packets the system said were not delivered (ICMP).
    pub unreachable: u64,
    /// Interarrival jitter of what was received.
    pub jitter: Duration,
    /// What the peer reported of what we sent: its share lost, 0 to 1; `None` without a report.
    pub peer_lost: Option<f32>,
    /// Round-trip time by RTCP.
    pub round_trip: Option<Duration>,
}

/// How a leg ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndCause {
    /// Somebody hung up a call that was up.
    HungUp,
    /// The caller gave up before an answer.
    Cancelled,
    /// The callee refused, with this status.
    Refused(u16),
    /// Nobody answered the bell.
    NoAnswer,
    /// A request got no reply.
    Unanswered,
    /// The answer was never confirmed (no ACK).
    Unconfirmed,
    /// Media had stopped for too long.
    MediaStopped,
    /// The session timer ran out (RFC 4028).
    SessionExpired,
    /// The connection or the way to the peer was lost.
    TransportFailed,
    /// The program ended.
    ShutDown,
}
