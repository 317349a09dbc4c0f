//! What goes into a session and what comes out of it.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    classify::Kind,
    error::ParseError,
    latch::{Learned, Refusal},
    packet::Packet,
    rtcp::receiver_report::ReportBlock,
    source::Update,
};

/// What the network did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// A control datagram came. Media goes through [`super::Session::receive`]: it would be lost here.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// Which of our addresses it came to, where that is known.
        destination: Option<SocketAddr>,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// A datagram to this address came back as undeliverable.
    Unreachable {
        /// Where it was sent to.
        destination: SocketAddr,
    },
}

/// What the session wants done. A driver must know every kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Something the program should know.
    Event(Event),
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// From which of our addresses; `None` when none was configured.
    pub source: Option<SocketAddr>,
    /// To whom.
    pub destination: SocketAddr,
    /// Over what.
    pub protocol: Protocol,
    /// The bytes.
    pub payload: Bytes,
}

/// What carries a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
}

/// Between whom a datagram travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses it came to, where that is known.
    pub destination: Option<SocketAddr>,
}

impl Path {
    /// A path of which only the sender is known.
    #[must_use]
    pub const fn from(source: SocketAddr) -> Self {
        Self { source, destination: None }
    }
}

/// What became of a datagram. It borrows from the datagram only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'d> {
    /// A media packet, decrypted in place.
    Media(Media<'d>),
    /// RTCP; what it said comes out of `poll_output` and the statistics.
    Control,
    /// Not RTP at all: STUN, DTLS… for whoever speaks that. Nothing was changed or counted.
    NotMine(Kind),
    /// Of no use.
    Dropped(DropReason),
}

/// A media packet that was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media<'d> {
    /// The plain packet.
    pub packet: Packet<'d>,
    /// Octets of the plain packet at the start of the datagram: what [`super::Session::forward`] wants.
    pub length: usize,
    /// What was agreed for its payload type.
    pub format: Format,
    /// What it was to its source.
    pub update: Update,
    /// It belongs to the source that is being listened to. Others may be mixed in or ignored.
    pub active: bool,
    /// SRTP has authenticated it.
    pub authenticated: bool,
}

/// A payload type that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// 0–127.
    pub payload_type: u8,
    /// Ticks of its timestamps a second.
    pub clock_rate_hz: u32,
    /// What it carries.
    pub content: Content,
}

/// What a payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// Voice, or anything a codec makes.
    Media,
    /// RFC 4733.
    TelephoneEvent,
    /// RFC 3389.
    ComfortNoise,
    /// RFC 2198.
    Redundancy,
}

/// Why a datagram was of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It looks like RTP and is not.
    Malformed(ParseError),
    /// It looks like RTCP and is not.
    MalformedControl(ParseError),
    /// Nobody agreed on this payload type.
    UnknownPayloadType(u8),
    /// Its sender is not followed.
    Refused(Refusal),
    /// Control from a host that is not followed.
    StrangeControl,
    /// The session demands protection and has no keys yet.
    NoKeys,
    /// It did not pass SRTP: forged, damaged, replayed or under other keys. Which of these is not told.
    NotAuthentic,
    /// Seen before.
    Duplicate,
    /// Its number is far off; the next one decides whether the sender began anew.
    Jump,
    /// A second source that is not believed yet.
    Unproven,
    /// There is no room for another source.
    TooManySources,
    /// Our own packets come back.
    Loop,
    /// The session has ended.
    Ended,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "not RTP: {error}"),
            Self::MalformedControl(error) => write!(f, "not RTCP: {error}"),
            Self::UnknownPayloadType(number) => write!(f, "payload type {number} was not agreed on"),
            Self::Refused(_) => f.write_str("its sender is not followed"),
            Self::StrangeControl => f.write_str("RTCP from a host that is not followed"),
            Self::NoKeys => f.write_str("there are no keys yet"),
            Self::NotAuthentic => f.write_str("it did not pass SRTP"),
            Self::Duplicate => f.write_str("seen before"),
            Self::Jump => f.write_str("its number is far off"),
            Self::Unproven => f.write_str("a second source that is not believed yet"),
            Self::TooManySources => f.write_str("too many sources"),
            Self::Loop => f.write_str("our own packet came back"),
            Self::Ended => f.write_str("the session has ended"),
        }
    }
}

/// Facts, in the past tense.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A source became valid and is listened to from now on.
    SourceJoined {
        /// Its SSRC.
        ssrc: u32,
        /// The source that was listened to before.
        instead_of: Option<u32>,
    },
    /// A source said BYE.
    SourceLeft {
        /// Its SSRC.
        ssrc: u32,
        /// Why, in its own words, made printable.
        reason: Option<String>,
    },
    /// Nothing was heard of a source for five reporting intervals.
    SourceTimedOut {
        /// Its SSRC.
        ssrc: u32,
    },
    /// No media came for as long as the configuration allows. Told once, until media comes again.
    MediaStopped {
        /// When the last packet came; `None` when there never was one.
        last_at: Option<Instant>,
    },
    /// Media comes again.
    MediaResumed {
        /// How long it had stopped.
        after: Duration,
    },
    /// We send to another address from now on.
    Followed(Learned),
    /// A peer reported how it receives us.
    ReportReceived {
        /// Who reports.
        from: u32,
        /// What it says.
        report: ReportBlock,
        /// Measured with it.
        round_trip: Option<Duration>,
    },
    /// A peer reported how a call sounds there (RFC 3611 §4.7).
    VoipMetricsReceived {
        /// Who reports.
        from: u32,
        /// What it says.
        metrics: crate::rtcp::extended::VoipMetrics,
    },
    /// Feedback that is for whoever makes the media, or for the other leg.
    FeedbackReceived {
        /// Transport-layer (205) or payload-specific (206).
        packet_type: u8,
        /// Its format.
        format: u8,
        /// Who sends it.
        sender: u32,
        /// About whom.
        media: u32,
        /// Feedback control information.
        information: Bytes,
    },
    /// An application-defined packet.
    ApplicationReceived {
        /// Who sends it.
        ssrc: u32,
        /// The application's number.
        subtype: u8,
        /// The application's name.
        name: [u8; 4],
        /// Its data.
        data: Bytes,
    },
    /// Another participant had our SSRC; we said BYE and took a new one (RFC 3550 §8.2).
    SsrcChanged {
        /// The SSRC given up.
        old: u32,
        /// The new one.
        new: u32,
    },
    /// The peer returns our own packets, as echo services do. Told once.
    Reflected {
        /// Our SSRC, which they carry.
        ssrc: u32,
    },
    /// A limit of the configuration was reached. Told once for each.
    LimitReached {
        /// Which.
        limit: Limit,
    },
    /// Media cannot be delivered: the peer's host says so.
    Unreachable {
        /// Where it was sent to.
        destination: SocketAddr,
    },
    /// Keys have been used so often that new ones are needed (RFC 3711 §9.2).
    KeysWearOut {
        /// Ours, with which we send; else the peer's.
        outbound: bool,
    },
    /// We said BYE; nothing more comes.
    Ended,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Participants of the session.
    Members,
    /// Outputs that wait to be polled.
    Outputs,
}

/// Datagrams by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Media that was passed on.
    pub media: u64,
    /// RTCP that was read.
    pub control: u64,
    /// [`DropReason::Malformed`].
    pub malformed: u64,
    /// [`DropReason::MalformedControl`].
    pub malformed_control: u64,
    /// [`DropReason::UnknownPayloadType`].
    pub unknown_payload_type: u64,
    /// [`DropReason::Refused`].
    pub refused: u64,
    /// [`DropReason::StrangeControl`].
    pub strange_control: u64,
    /// [`DropReason::NoKeys`].
    pub no_keys: u64,
    /// [`DropReason::NotAuthentic`].
    pub not_authentic: u64,
    /// [`DropReason::Duplicate`].
    pub duplicate: u64,
    /// [`DropReason::Jump`] and [`DropReason::Unproven`].
    pub unproven: u64,
    /// [`DropReason::TooManySources`].
    pub too_many_sources: u64,
    /// [`DropReason::Loop`].
    pub looped: u64,
    /// Everything after the end.
    pub ended: u64,
}

impl Counters {
    pub(super) const fn count(&mut self, reason: &DropReason) {
        let counter = match reason {
            DropReason::Malformed(_) => &mut self.malformed,
            DropReason::MalformedControl(_) => &mut self.malformed_control,
            DropReason::UnknownPayloadType(_) => &mut self.unknown_payload_type,
            DropReason::Refused(_) => &mut self.refused,
            DropReason::StrangeControl => &mut self.strange_control,
            DropReason::NoKeys => &mut self.no_keys,
            DropReason::NotAuthentic => &mut self.not_authentic,
            DropReason::Duplicate => &mut self.duplicate,
            DropReason::Jump | DropReason::Unproven => &mut self.unproven,
            DropReason::TooManySources => &mut self.too_many_sources,
            DropReason::Loop => &mut self.looped,
            DropReason::Ended => &mut self.ended,
        };
        *counter = counter.wrapping_add(1);
    }
}
