//! What a media session is made with, what it takes in and gives out, apart from its events.

use crate::media::dtls::Identity;
use crate::media::ice::{IceConfig, Wire};
use crate::media::{Event, KeyPath, NotUsable};
use bytes::Bytes;
use denwa_ice::{QuestionId, StreamId};
use denwa_rtp::latch;
use denwa_rtp::session::DropReason;
use denwa_rtp::wallclock::WallClock;
use denwa_sdp::{AnswerError, Capability};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What a media session is made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MediaConfig {
    /// What we can do: codecs, telephone events, encryption.
    pub capability: Capability,
    /// Where our RTP socket is bound.
    pub rtp: SocketAddr,
    /// Where our RTCP socket is bound.
    pub rtcp: SocketAddr,
    /// The address and port of RTP that the peer is told. The port of RTCP is told with it when it is not the one above.
    pub advertised: SocketAddr,
    /// Samples a second of the sound that goes in and out, 8000–48 000.
    pub sample_rate_hz: u32,
    /// The peer's media are missed after this long, while they should come. Default 30 s.
    pub silence_after: Duration,
    /// Our canonical name in RTCP (RFC 7022); should not tell who the user is. Default: drawn from the seed.
    pub cname: Option<String>,
    /// Hosts the signalling vouches for: where it comes from itself.
    pub known_hosts: Vec<IpAddr>,
    /// How the true sender of media is found.
    pub latch: latch::Config,
    /// One moment on both clocks, for RTCP sender reports.
    pub wall_clock: WallClock,
    /// How long arriving sound waits for what is late. Default: as the network needs.
    pub play_out: PlayOut,
    /// ICE. Default: none.
    pub ice: Option<IceConfig>,
    /// Our certificate for DTLS, whose fingerprint the capability should name. Default: none.
    pub identity: Option<Identity>,
    /// How keys of the telephone are told to the peer. Default: as events where they were agreed on, else in the sound.
    pub key_path: KeyPath,
    /// Silence is not sent where the peer takes descriptions of it (RFC 3389). Default: it is sent.
    pub suppresses_silence: bool,
    /// The longest sound that waits to be sent; more is dropped, oldest first. Default 200 ms.
    pub unsent_sound: Duration,
}

impl MediaConfig {
    /// A telephone's: plain or SDES as `capability` says, sound at 8000 samples a second. `since_1970` is what the wall clock
    /// shows at `now`.
    #[must_use]
    pub fn new(
        capability: Capability,
        rtp: SocketAddr,
        rtcp: SocketAddr,
        advertised: SocketAddr,
        since_1970: Duration,
        now: Instant,
    ) -> Self {
        Self {
            capability,
            rtp,
            rtcp,
            advertised,
            sample_rate_hz: 8000,
            silence_after: Duration::from_secs(30),
            cname: None,
            known_hosts: Vec::new(),
            latch: latch::Config::default(),
            wall_clock: WallClock { at: now, since_1970 },
            play_out: PlayOut::Adaptive,
            ice: None,
            identity: None,
            key_path: KeyPath::Agreed,
            suppresses_silence: false,
            unsent_sound: Duration::from_millis(200),
        }
    }
}

/// How long arriving sound waits for what is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlayOut {
    /// As short as the network allows; sound is stretched and cut a little as that changes. For people who talk.
    #[default]
    Adaptive,
    /// Always so long; nothing is stretched or cut. For recorders, fax and modems.
    Fixed(Duration),
}

/// What the network did. Datagrams go to [`super::MediaSession::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The system says that a datagram was not delivered.
    Unreachable {
        /// Where it went.
        destination: SocketAddr,
    },
    /// A stream of [`Wire::Open`] is open.
    StreamOpened {
        /// Which.
        stream: StreamId,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A stream could not be opened, or has ended.
    StreamClosed {
        /// Which.
        stream: StreamId,
        /// It was open before.
        was_open: bool,
    },
    /// The answer to [`Wire::Resolve`].
    Resolved {
        /// To which question.
        question: QuestionId,
        /// The address; `None` when the name is not known.
        address: Option<IpAddr>,
    },
}

/// What the session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this control datagram over UDP.
    Transmit {
        /// The address of our socket that it leaves by.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
        /// What.
        payload: Bytes,
    },
    /// What ICE needs besides datagrams: streams to TURN servers, names. Who has neither answers with
    /// [`Input::StreamClosed`] and [`Input::Resolved`] without an address.
    Wire(Wire),
    /// A fact for the program.
    Event(Event),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sound, now in the jitter buffer.
    Sound,
    /// A telephone event.
    Digit,
    /// RTCP; what it said comes out as events.
    Control,
    /// Of no use.
    Dropped(Dropped),
}

/// Why a datagram was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// Nothing was agreed yet.
    NotAgreed,
    /// The stream refused it.
    Refused(DropReason),
    /// It is another protocol than RTP or RTCP.
    OtherProtocol,
    /// It comes from a second source that is not listened to now.
    NotActive,
    /// We are not to receive (hold), or have no decoder for it.
    NotHeard,
}

/// A packet to send, in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// On this stream to a TURN server; `None`: as a datagram.
    pub stream: Option<StreamId>,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides, while it is not known which of two is right.
    pub also: Option<SocketAddr>,
    /// How many octets of the buffer.
    pub length: usize,
}

/// A request of the program that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// No telephone event was agreed on, or nothing at all yet.
    NoEvents,
    /// A character that is no key of a telephone.
    NotADigit(char),
    /// More digits than may wait.
    TooManyDigits,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEvents => f.write_str("no telephone event was agreed on"),
            Self::NotADigit(character) => write!(f, "`{character}` is no key of a telephone"),
            Self::TooManyDigits => f.write_str("too many digits wait to be sent"),
        }
    }
}

impl std::error::Error for Misuse {}

/// Why a description that was agreed on could not be put to use.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer's answer cannot be read, or leaves nothing in common.
    Answer(AnswerError),
    /// What was agreed on needs what is not carried here.
    NotUsable(NotUsable),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => error.fmt(f),
            Self::NotUsable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}
