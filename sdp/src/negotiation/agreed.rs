//! What was agreed, medium by medium: everything a media session needs, and no text to read again.

use core::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::attribute::parameters::EventSet;
use crate::attribute::security::SrtpSuite;
use crate::direction::Direction;
use crate::profile::{Kind, Profile};

use super::capability::FaxErrorCorrection;
use super::mismatch::MediumMismatch;
use super::remote::{RemoteAddress, RemoteFingerprint};

/// What was agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Who offered.
    pub role: Role,
    /// The media, one for each `m=` line, in order.
    pub media: Vec<AgreedMedium>,
}

/// Who offered in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side.
    Offerer,
    /// The peer.
    Answerer,
}

impl Agreed {
    /// The media that are in use.
    pub fn active(&self) -> impl Iterator<Item = &ActiveMedium> {
        self.media.iter().filter_map(AgreedMedium::active)
    }

    /// The first audio medium that is in use.
    #[must_use]
    pub fn audio(&self) -> Option<&ActiveMedium> {
        self.active().find(|medium| medium.kind == Kind::Audio)
    }

    /// The media that were refused, with the reason.
    pub fn rejected(&self) -> impl Iterator<Item = &MediumMismatch> {
        self.media.iter().filter_map(|medium| match medium {
            AgreedMedium::Rejected(mismatch) => Some(mismatch),
            _ => None,
        })
    }
}

/// What became of one `m=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgreedMedium {
    /// It is in use.
    Active(Box<ActiveMedium>),
    /// It was refused.
    Rejected(MediumMismatch),
    /// It was offered with port 0: it is gone, and its place may be used again.
    Removed,
}

impl AgreedMedium {
    /// The medium, if it is in use.
    #[must_use]
    pub fn active(&self) -> Option<&ActiveMedium> {
        match self {
            Self::Active(medium) => Some(medium),
            _ => None,
        }
    }
}

/// A medium in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveMedium {
    /// Which `m=` line, from 0.
    pub slot: usize,
    /// What it is.
    pub kind: Kind,
    /// Its `mid`.
    pub mid: Option<String>,
    /// How it is carried.
    pub profile: Profile,
    /// What this side may do. Where the peer gave no address that can be sent to, it does not send.
    pub direction: Direction,
    /// Who holds.
    pub hold: Hold,
    /// The address this side told the peer.
    pub local: SocketAddr,
    /// Where RTP goes. `None` when the peer said "do not send".
    pub remote_rtp: Option<RemoteAddress>,
    /// Where RTCP goes; that of RTP when both share a port.
    pub remote_rtcp: Option<RemoteAddress>,
    /// Whether RTCP shares the port of RTP.
    pub rtcp_mux: bool,
    /// Whether RTCP of reduced size may be sent (RFC 5506).
    pub rtcp_reduced_size: bool,
    /// What may be sent, the most liked first. Payload types are the PEER's numbers.
    pub send: Vec<AgreedCodec>,
    /// What may arrive. Payload types are THIS side's numbers.
    pub receive: Vec<AgreedCodec>,
    /// Telephone events that may be sent, with the peer's payload types, one for each clock rate.
    pub send_events: Vec<AgreedEvents>,
    /// Telephone events that may arrive, with this side's payload types.
    pub receive_events: Vec<AgreedEvents>,
    /// How much sound to send in a packet: what the peer asked for, fitted to frames of the first codec to send.
    pub send_packet_time: Duration,
    /// How much sound this side asked for; the peer may send another amount.
    pub receive_packet_time: Duration,
    /// The most sound the peer takes in a packet.
    pub max_packet_time: Option<Duration>,
    /// How it is encrypted.
    pub encryption: AgreedEncryption,
    /// The peer's end of ICE, if it is used.
    pub ice: Option<AgreedIce>,
    /// The slot whose transport carries it; its own unless it is bundled (RFC 9143).
    pub bundled_on: usize,
    /// Feedback both understand: the payload type the peer named (`None`: all) and what is fed back.
    pub feedback: Vec<(Option<u8>, String)>,
    /// Header extensions both understand: the id in the packets, and the URI.
    pub extensions: Vec<(u16, String)>,
    /// The peer's sources with their `cname`.
    pub sources: Vec<(u32, Option<String>)>,
    /// Bits a second the peer takes at most.
    pub bandwidth: Option<u64>,
    /// Whether the peer asks that silence is sent like sound, as modems need it.
    pub no_silence_suppression: bool,
    /// Fax, for [`Profile::Udptl`].
    pub fax: Option<AgreedFax>,
    /// The peer's `label`.
    pub label: Option<String>,
    /// The peer's `content`.
    pub content: Option<String>,
}

impl ActiveMedium {
    /// The codec to send with.
    #[must_use]
    pub fn codec(&self) -> Option<&AgreedCodec> {
        self.send.first()
    }

    /// What a payload type that arrives means.
    #[must_use]
    pub fn received_codec(&self, payload_type: u8) -> Option<&AgreedCodec> {
        self.receive.iter().find(|codec| codec.payload_type == payload_type)
    }

    /// The telephone events to send along with a codec: those of its clock rate, else the first there are.
    #[must_use]
    pub fn events_for(&self, clock_rate: u32) -> Option<&AgreedEvents> {
        let same = self.send_events.iter().find(|events| events.clock_rate == clock_rate);
        same.or(self.send_events.first())
    }
}

/// A codec in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedCodec {
    /// The encoding name, as this side writes it.
    pub name: String,
    /// Ticks of the RTP time stamp a second.
    pub clock_rate: u32,
    /// Channels as `rtpmap` has them.
    pub channels: u8,
    /// The number in the packets.
    pub payload_type: u8,
    /// The parameters that hold in this direction, as `fmtp` writes them. What both ends have to agree on (`annexb`,
    /// `mode`) is settled.
    pub parameters: String,
}

impl AgreedCodec {
    /// Whether it is this codec; case does not count.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Telephone events in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreedEvents {
    /// The number in the packets.
    pub payload_type: u8,
    /// Ticks of the RTP time stamp a second.
    pub clock_rate: u32,
    /// Which events the receiver understands.
    pub events: EventSet,
}

/// Who holds the medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nobody.
    #[default]
    None,
    /// This side.
    Local,
    /// The peer.
    Remote,
    /// Both.
    Both,
}

impl Hold {
    pub(crate) fn new(local: bool, remote: bool) -> Self {
        match (local, remote) {
            (false, false) => Self::None,
            (true, false) => Self::Local,
            (false, true) => Self::Remote,
            (true, true) => Self::Both,
        }
    }

    /// Whether the peer holds.
    #[must_use]
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Remote | Self::Both)
    }
}

/// How a medium is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgreedEncryption {
    /// Not at all.
    None,
    /// With the keys of the descriptions.
    Sdes(Box<AgreedSdes>),
    /// With keys that DTLS makes.
    Dtls(AgreedDtls),
}

/// The keys of SDES.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedSdes {
    /// What to encrypt with.
    pub send: SrtpKey,
    /// What the peer encrypts with.
    pub receive: SrtpKey,
    /// Other keys the peer may change to, by MKI.
    pub receive_others: Vec<SrtpKey>,
}

/// What DTLS needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedDtls {
    /// Which end of DTLS this side is.
    pub role: DtlsRole,
    /// The hashes of the peer's certificate. It has to fit the strongest function among them that is understood
    /// (RFC 8122 §5).
    pub fingerprints: Vec<RemoteFingerprint>,
    /// The peer's `tls-id`.
    pub tls_id: Option<String>,
    /// Whether a new association has to be made (RFC 8842 §4): the first time, and when fingerprints, role or id
    /// changed.
    pub new_association: bool,
}

/// Which end of DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// The one that sends the first message.
    Client,
    /// The one that waits for it.
    Server,
}

/// A key of SRTP in one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    /// What it is for.
    pub suite: SrtpSuite,
    /// The master key.
    pub key: Zeroizing<Vec<u8>>,
    /// The master salt.
    pub salt: Zeroizing<Vec<u8>>,
    /// For how many packets it may be used.
    pub lifetime: Option<u64>,
    /// Its master key identifier, and the bytes that takes.
    pub mki: Option<(u128, u8)>,
    /// Keys are derived again every 2^n packets.
    pub key_derivation_rate: Option<u8>,
    /// The session parameters, as written.
    pub parameters: String,
}

impl fmt::Debug for SrtpKey {
    // Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({}, lifetime {:?}, mki {:?})", self.suite, self.lifetime, self.mki)
    }
}

/// The peer's end of ICE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedIce {
    /// The user name fragment.
    pub ufrag: String,
    /// The password.
    pub password: String,
    /// The candidates, as `a=candidate` writes them, without that name.
    pub candidates: Vec<String>,
    /// Whether there will be no more.
    pub end_of_candidates: bool,
    /// Whether the peer is a lite end.
    pub lite: bool,
    /// Its options: `ice2`, `trickle`, …
    pub options: Vec<String>,
    /// `remote-candidates`, as written.
    pub remote_candidates: Option<String>,
    /// Whether the peer restarted: fragment and password changed (RFC 8839 §4.4.1.1).
    pub restarted: bool,
    /// Whether this side controls: the offerer does, and the full end where the other is lite (RFC 8445 §6.1.1).
    pub controlling: bool,
}

/// Fax over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreedFax {
    /// The version: the lower of the two.
    pub version: u32,
    /// Bits a second: the lower of the two.
    pub max_bit_rate: u32,
    /// Whether fill bits may be left out: both agree.
    pub fill_bit_removal: bool,
    /// How losses are made up for.
    pub error_correction: FaxErrorCorrection,
    /// Bytes of the largest datagram the peer takes.
    pub max_datagram: Option<u32>,
}
