//! What a bridge is told and what it tells, as data: a signalling machine emits the one among its outputs and takes
//! the other among its inputs, whether both run in one thread or not.

use super::conference::ConferenceId;
use super::copies::Copied;
use super::program::{Program, Sound};
use super::recording::{RecordingEnd, RecordingId, RecordingSpec};
use crate::marking::Dscp;
use crate::media::{IceConfig, Identity, PairReport, StreamParameters, StreamReport, dtls};
use denwa_codecs::tone::single::Signal;
use denwa_sdp::{LocalIce, LocalSource};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Names a leg. Whoever opens it chooses the number, and never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// What a bridge can be told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Opens a leg's sockets. Answered by [`Event::Opened`] or [`Event::OpenFailed`].
    Open {
        /// Its name from now on.
        leg: LegId,
        /// Where, and with which limits.
        spec: LegSpec,
    },
    /// Has the leg's sockets mark what they send from now on, whatever the driver marks otherwise.
    Mark {
        /// Which leg.
        leg: LegId,
        /// With what.
        dscp: Dscp,
    },
    /// Gives the leg ICE, a certificate for DTLS, or both, once: after [`Command::Open`], before the first [`Command::Configure`]. With
    /// ICE [`Event::IceReady`] says what the peer is to be told.
    Carry {
        /// Which leg.
        leg: LegId,
        /// What.
        by: Box<CarriedBy>,
    },
    /// Draws new credentials for ICE, for a description that begins anew or answers one that does. [`Event::IceReady`] says
    /// them.
    RestartIce {
        /// Which leg.
        leg: LegId,
    },
    /// Says what was agreed with the leg's peer: after each offer and answer, the first one included. The outgoing stream
    /// goes on without a gap in its numbers and timestamps.
    Configure {
        /// Which leg.
        leg: LegId,
        /// What was agreed.
        stream: Box<StreamParameters>,
    },
    /// Joins the leg to another leg or to a source; what it was joined to before, and what the other leg was, is left alone.
    Connect {
        /// Which leg.
        leg: LegId,
        /// To what.
        to: Connection,
    },
    /// Plays this to the leg's peer over whatever it is joined to, which goes on unheard and is heard again after.
    /// Answered by [`Event::Played`]. Another announcement takes its place; one without a piece ends it.
    Announce {
        /// Which leg.
        leg: LegId,
        /// What.
        program: Program,
    },
    /// What the leg's peer says is passed on to nobody, or is again. Recordings of this leg and digits are not touched.
    Mute {
        /// Which leg.
        leg: LegId,
        /// Whether from now on.
        muted: bool,
    },
    /// Looks for keys in the sound of a peer that agreed on no telephone events; they are told as [`Event::Digit`].
    Detect {
        /// Which leg.
        leg: LegId,
        /// Whether from now on.
        in_band_digits: bool,
    },
    /// Listens for fax machines and modems in what the leg's peer says, for the first minute from now: [`Event::DataTone`].
    WatchForData {
        /// Which leg.
        leg: LegId,
        /// Whether from now on.
        wanted: bool,
    },
    /// Tells a copy of every datagram that comes and goes: [`Event::Copied`].
    Copy {
        /// Which leg.
        leg: LegId,
        /// Whether from now on.
        wanted: bool,
    },
    /// Records the leg: [`Event::Recorded`] as it goes, [`Event::RecordingEnded`] once.
    Record {
        /// Which leg.
        leg: LegId,
        /// Its name from now on; several may run on one leg, at most 8.
        recording: RecordingId,
        /// What, and for how long.
        spec: RecordingSpec,
    },
    /// Ends a recording.
    StopRecording {
        /// Which leg.
        leg: LegId,
        /// Which of its recordings.
        recording: RecordingId,
    },
    /// Sends digits to the leg's peer, one after the other: as telephone events (RFC 4733) where they were agreed on, else in
    /// the sound, or as the leg's [`crate::media::KeyPath`] says.
    SendDigits {
        /// Which leg.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`, at most 64 that wait.
        digits: String,
    },
    /// Whether what leaves by the leg is to hold exactly the time that its peer has asked for, also where its packets could pass
    /// as they come: they are cut and joined anew then at the codec's frames, without loss (G.711, G.722, G.726, G.729, GSM, iLBC,
    /// L16, Opus); a frame that is longer stays whole. For peers that can do with no others. Holds from the next
    /// [`Command::Configure`] or [`Command::Connect`] on.
    KeepPacketTime {
        /// Which leg.
        leg: LegId,
        /// Or no longer.
        wanted: bool,
    },
    /// Says this to the leg's peer after what waits already, while the leg is joined to [`Source::Live`]. At most two minutes
    /// wait; what comes beyond is dropped.
    Say {
        /// Which leg.
        leg: LegId,
        /// What, at any rate.
        sound: Sound,
    },
    /// Drops what was to be said and was not heard yet.
    Hush {
        /// Which leg.
        leg: LegId,
    },
    /// Says good-bye (RTCP BYE) and closes the sockets. Answered by [`Event::Closed`].
    Close {
        /// Which leg.
        leg: LegId,
    },
}

impl Command {
    /// The leg it is about.
    #[must_use]
    pub fn leg(&self) -> LegId {
        match self {
            Self::Open { leg, .. }
            | Self::Configure { leg, .. }
            | Self::Mark { leg, .. }
            | Self::Carry { leg, .. }
            | Self::RestartIce { leg }
            | Self::Connect { leg, .. }
            | Self::Announce { leg, .. }
            | Self::Mute { leg, .. }
            | Self::Detect { leg, .. }
            | Self::WatchForData { leg, .. }
            | Self::Copy { leg, .. }
            | Self::Record { leg, .. }
            | Self::StopRecording { leg, .. }
            | Self::SendDigits { leg, .. }
            | Self::KeepPacketTime { leg, .. }
            | Self::Say { leg, .. }
            | Self::Hush { leg }
            | Self::Close { leg } => *leg,
        }
    }
}

/// Where a leg's sockets are, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegSpec {
    /// Legs that will be joined should name the same group, for instance the number of their call: a driver with several
    /// threads keeps a group on one of them. Legs of different groups can be joined too; that costs a move.
    pub group: u64,
    /// The address to bind for RTP: a local address, or the unspecified one of a family. Port 0 lets the system choose.
    pub rtp: SocketAddr,
    /// The address to bind for RTCP, usually the port above.
    pub rtcp: SocketAddr,
    /// The peer's media are missed after this long, while they should come.
    pub silence_after: Duration,
    /// Our canonical name in RTCP (RFC 7022); should not tell who the user is.
    pub cname: String,
}

/// What carries a leg besides plain sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedBy {
    /// ICE finds its path. UDP, TCP and TLS lead to TURN servers from here; the peer's candidates must be addresses.
    pub ice: Option<IceConfig>,
    /// Its certificate for DTLS.
    pub identity: Option<Identity>,
    /// It is certain already that RTCP shares the port of RTP: only that one has candidates.
    pub rtcp_mux: bool,
}

/// What a leg is joined to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Connection {
    /// Nothing: what comes is counted and dropped.
    Nothing,
    /// The other leg hears what comes from this one, and the other way round.
    Leg(LegId),
    /// The leg hears this.
    Source(Source),
    /// The leg hears everybody else in there, and they hear it, whatever their codecs.
    Conference(ConferenceId),
}

/// Something to hear that is no other leg.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// What the leg's peer says itself.
    Echo,
    /// A steady tone.
    Tone {
        /// Its pitch.
        frequency_hz: f64,
        /// Its level; 0 dBm0 is the level of the digital milliwatt (ITU-T G.711 Tables 5 and 6).
        level_dbm0: f64,
    },
    /// Silence, sent as packets, to keep the way open.
    Silence,
    /// What is said with [`Command::Say`] as it comes, and silence in between.
    Live,
    /// A programme of sounds and tones. At its end [`Event::Played`] is told, and the leg is joined to nothing.
    Program(Program),
}

impl Source {
    /// 1000 Hz at 0 dBm0: the tone against which lines are measured.
    pub const MILLIWATT: Self = Self::Tone { frequency_hz: 1000.0, level_dbm0: 0.0 };
}

/// What a bridge tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The leg's sockets are open; its port may be told to the peer.
    Opened {
        /// Which leg.
        leg: LegId,
        /// Where RTP is received: as asked for, with the port the system chose when that was 0.
        rtp: SocketAddr,
        /// Where RTCP is received.
        rtcp: SocketAddr,
    },
    /// The leg's sockets could not be opened; the leg is unknown from now on.
    OpenFailed {
        /// Which leg.
        leg: LegId,
        /// Why.
        reason: OpenFailure,
    },
    /// All is known that the leg's peer is to be told of ICE.
    IceReady {
        /// Which leg.
        leg: LegId,
        /// Credentials and candidates.
        ice: Box<LocalIce>,
        /// Who will send: WebRTC wants to know it.
        source: Box<LocalSource>,
        /// Where RTP is received, for peers without ICE.
        rtp: SocketAddr,
        /// Where RTCP is received, unless it shares that port.
        rtcp: Option<SocketAddr>,
    },
    /// ICE has found the way that media take, or another one than before.
    PathChosen {
        /// Of which leg.
        leg: LegId,
        /// The peer's address.
        remote: SocketAddr,
        /// Both ends, as `host 192.0.2.1:4000 to relayed 198.51.100.7:5000`.
        path: String,
        /// Whether a TURN server relays, the peer's or ours.
        relayed: bool,
    },
    /// ICE has found no way.
    PathFailed {
        /// Of which leg.
        leg: LegId,
        /// What was tried, and what came of it.
        pairs: Vec<PairReport>,
    },
    /// The peer has stopped answering on the way in use; nothing is sent any more (RFC 7675).
    PathLost {
        /// Of which leg.
        leg: LegId,
    },
    /// Keys were agreed on by DTLS: media are encrypted.
    Encrypted {
        /// Of which leg.
        leg: LegId,
        /// The suite, as SDES would call it.
        suite: &'static str,
    },
    /// DTLS gave no keys: media do not flow.
    NotEncrypted {
        /// Of which leg.
        leg: LegId,
        /// Why.
        reason: dtls::Failure,
    },
    /// The first packet of media came.
    FirstPacket {
        /// To which leg.
        leg: LegId,
        /// From where.
        from: SocketAddr,
        /// Where the description said that the peer receives.
        expected: Option<SocketAddr>,
    },
    /// Media are followed to another address: that is where ours go from now on.
    SourceMoved {
        /// Of which leg.
        leg: LegId,
        /// The address before.
        from: SocketAddr,
        /// The address now.
        to: SocketAddr,
    },
    /// A program has come to its end.
    Played {
        /// To which leg.
        leg: LegId,
        /// Whether it was an announcement, or else the source the leg was joined to.
        announcement: bool,
    },
    /// A member of a conference has begun to talk, or ceased.
    Talking {
        /// Which leg.
        leg: LegId,
        /// Whether from now on.
        talking: bool,
    },
    /// The leg's peer is a fax machine or a modem. Told once for each [`Command::WatchForData`].
    DataTone {
        /// Which leg.
        leg: LegId,
        /// By which tone.
        signal: Signal,
    },
    /// A datagram that came or went.
    Copied {
        /// Of which leg.
        leg: LegId,
        /// The datagram.
        copy: Box<Copied>,
    },
    /// The next stretch of a recording.
    Recorded {
        /// Of which leg.
        leg: LegId,
        /// Which of its recordings.
        recording: RecordingId,
        /// What was heard; two channels take turns where both sides were asked for.
        samples: Sound,
    },
    /// A recording has ended; there is no more of it.
    RecordingEnded {
        /// Of which leg.
        leg: LegId,
        /// Which of its recordings.
        recording: RecordingId,
        /// How long it is.
        lasted: Duration,
        /// Why it ended.
        reason: RecordingEnd,
    },
    /// A key is to be told to the leg's peer by the signalling (INFO): it was pressed by whom the leg is joined to, or by
    /// [`Command::SendDigits`], and the leg's [`crate::media::KeyPath`] says so.
    KeyToSignal {
        /// Of which leg.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long.
        duration: Duration,
    },
    /// The peer pressed a key, by telephone event (RFC 4733) or, where none were agreed on and it was asked
    /// for or the other leg wants it told otherwise, by a tone in the sound.
    Digit {
        /// Of which leg.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`, or `!` for a hook flash.
        digit: char,
        /// How long, when its end was heard.
        duration: Duration,
    },
    /// The peer's media stopped, though they should come.
    Silent {
        /// Of which leg.
        leg: LegId,
        /// For how long.
        lasted: Duration,
    },
    /// The peer's media came again.
    Resumed {
        /// Of which leg.
        leg: LegId,
        /// After how long.
        after: Duration,
    },
    /// Packets came from an address that is not followed. Told once for each leg.
    SourceRefused {
        /// Of which leg.
        leg: LegId,
        /// From where.
        from: SocketAddr,
    },
    /// Packet after packet of a leg's peer has a payload type that was not agreed on; none of them is heard.
    FormatNotAgreed {
        /// Of which leg.
        leg: LegId,
        /// The payload type, 0–127.
        payload_type: u8,
    },
    /// The two legs agreed on codecs that cannot be made one another here: nothing is heard that way.
    NoConversion {
        /// The leg that hears nothing.
        leg: LegId,
        /// The codec that comes.
        from: String,
        /// The codec that would have to go out.
        to: String,
    },
    /// Packet after packet of the peer's fails its check: other keys than were agreed on, or no protection. Told once.
    ProtectionFailed {
        /// Of which leg.
        leg: LegId,
    },
    /// The peer's host says that our media are not delivered. Told once for each address.
    Undeliverable {
        /// Of which leg.
        leg: LegId,
        /// Where they went.
        destination: SocketAddr,
    },
    /// How the stream is doing: with each report of the peer's.
    Report {
        /// Of which leg.
        leg: LegId,
        /// The figures.
        report: StreamReport,
    },
    /// The leg is closed; its name is unknown from now on.
    Closed {
        /// Which leg.
        leg: LegId,
        /// The last figures.
        report: StreamReport,
    },
    /// A command made no sense; nothing has changed.
    Rejected {
        /// The leg it was about.
        leg: LegId,
        /// Why.
        misuse: Misuse,
    },
}

impl Event {
    /// The leg it is about.
    #[must_use]
    pub fn leg(&self) -> LegId {
        match self {
            Self::Opened { leg, .. }
            | Self::OpenFailed { leg, .. }
            | Self::FirstPacket { leg, .. }
            | Self::IceReady { leg, .. }
            | Self::PathChosen { leg, .. }
            | Self::PathFailed { leg, .. }
            | Self::PathLost { leg }
            | Self::Encrypted { leg, .. }
            | Self::NotEncrypted { leg, .. }
            | Self::SourceMoved { leg, .. }
            | Self::Played { leg, .. }
            | Self::Talking { leg, .. }
            | Self::Recorded { leg, .. }
            | Self::RecordingEnded { leg, .. }
            | Self::Digit { leg, .. }
            | Self::KeyToSignal { leg, .. }
            | Self::DataTone { leg, .. }
            | Self::Copied { leg, .. }
            | Self::Silent { leg, .. }
            | Self::Resumed { leg, .. }
            | Self::SourceRefused { leg, .. }
            | Self::FormatNotAgreed { leg, .. }
            | Self::NoConversion { leg, .. }
            | Self::ProtectionFailed { leg }
            | Self::Undeliverable { leg, .. }
            | Self::Report { leg, .. }
            | Self::Closed { leg, .. }
            | Self::Rejected { leg, .. } => *leg,
        }
    }
}

/// Why a leg's sockets could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailure {
    /// Another program has the port: take the next pair.
    PortTaken(SocketAddr),
    /// The address is not one of ours.
    NoSuchAddress(SocketAddr),
    /// The system will not open more sockets.
    TooManySockets,
    /// Something else, in its own words.
    Other(String),
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortTaken(address) => write!(f, "another program uses {address}"),
            Self::NoSuchAddress(address) => write!(f, "{} is not an address of this host", address.ip()),
            Self::TooManySockets => f.write_str("the system will not open more sockets"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// A command that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// There is no such leg, or no longer.
    UnknownLeg(LegId),
    /// The name is in use.
    LegExists(LegId),
    /// A leg cannot be joined to itself; [`Source::Echo`] does that.
    ToItself,
    /// The leg has no ICE.
    NoIce,
    /// The leg was given ICE or a certificate before.
    CarriedAlready,
    /// The leg is not joined to [`Source::Live`].
    NotLive,
    /// There is nothing to send digits with: nothing was agreed on yet, or no codec that is known here.
    NoEvents,
    /// A character that is no key.
    NotADigit(char),
    /// More digits than may wait.
    TooManyDigits,
    /// As many legs as the configuration allows are open.
    TooManyLegs,
    /// The leg has no recording of this name.
    UnknownRecording(RecordingId),
    /// The leg has a recording of this name already.
    RecordingExists(RecordingId),
    /// As many recordings of this leg as may be run already.
    TooManyRecordings,
    /// Payload types above 127, more than 128 of them, or keys that are none.
    BadParameters,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLeg(LegId(leg)) => write!(f, "there is no leg {leg}"),
            Self::LegExists(LegId(leg)) => write!(f, "there is a leg {leg} already"),
            Self::ToItself => f.write_str("a leg cannot be joined to itself"),
            Self::NoIce => f.write_str("the leg has no ICE"),
            Self::CarriedAlready => f.write_str("the leg was given ICE or a certificate before"),
            Self::NotLive => f.write_str("the leg hears something else than a live source"),
            Self::NoEvents => f.write_str("nothing was agreed on that could send keys"),
            Self::NotADigit(character) => write!(f, "`{character}` is no key of a telephone"),
            Self::TooManyDigits => f.write_str("too many digits wait to be sent"),
            Self::TooManyLegs => f.write_str("as many legs as allowed are open"),
            Self::UnknownRecording(RecordingId(recording)) => {
                write!(f, "the leg has no recording {recording}")
            }
            Self::RecordingExists(RecordingId(recording)) => {
                write!(f, "the leg has a recording {recording} already")
            }
            Self::TooManyRecordings => f.write_str("as many recordings of this leg as allowed are running"),
            Self::BadParameters => f.write_str("payload types or keys are out of their range"),
        }
    }
}

impl std::error::Error for Misuse {}
