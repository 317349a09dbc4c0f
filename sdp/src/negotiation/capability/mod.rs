//! What one side can do, declared once: its media and what they have in common. Offers and answers are derived from it
//! (RFC 3264 §5, §6).

mod codec;
mod encryption;
mod fax;

pub use codec::{Codec, ParameterRule};
pub(super) use codec::{TELEPHONE_EVENT, display_name};
pub use encryption::{
    BestEffort, DtlsCapability, Encryption, EncryptionCapability, KeyExchange, LocalFingerprint,
    SdesCapability,
};
pub use fax::{FaxCapability, FaxErrorCorrection};

use std::time::Duration;

use crate::attribute::parameters::EventSet;
use crate::direction::Direction;
use crate::limits::Limits;
use crate::profile::{Kind, Profile};

/// Everything one side can do, and how it likes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The media, in the order an offer has them. Of several of one kind an answer takes the first that fits.
    pub media: Vec<MediaCapability>,
    /// Encryption.
    pub encryption: EncryptionCapability,
    /// ICE.
    pub ice: Ice,
    /// Whether several media may share one transport (RFC 9143).
    pub bundle: bool,
    /// Whether RTCP may share the port of RTP (RFC 5761).
    pub rtcp_mux: RtcpMux,
    /// Whose order of codecs an answer follows.
    pub preference: Preference,
    /// How many of the common codecs an answer lists.
    pub answer_codecs: AnswerCodecs,
    /// Whether the codec that is in use stays first when the session is described again.
    pub keep_codec: bool,
    /// What `o=` says as the user; `-` for nobody. Spaces are left out.
    pub username: String,
    /// What `s=` says; `-` for nothing.
    pub session_name: String,
    /// How much of the peer's descriptions is read.
    pub limits: Limits,
}

impl Capability {
    /// What telephones do: one audio medium with these codecs and telephone-event, no encryption, no ICE.
    pub fn telephone(codecs: impl IntoIterator<Item = Codec>) -> Self {
        Self::new([MediaCapability::audio(codecs)])
    }

    /// These media, without encryption and ICE.
    pub fn new(media: impl IntoIterator<Item = MediaCapability>) -> Self {
        Self {
            media: media.into_iter().collect(),
            encryption: EncryptionCapability::none(),
            ice: Ice::Off,
            bundle: false,
            rtcp_mux: RtcpMux::Off,
            preference: Preference::Offerer,
            answer_codecs: AnswerCodecs::All,
            keep_codec: true,
            username: "-".into(),
            session_name: "-".into(),
            limits: Limits::default(),
        }
    }

    /// The same with this encryption.
    #[must_use]
    pub fn with_encryption(mut self, encryption: EncryptionCapability) -> Self {
        self.encryption = encryption;
        self
    }

    /// The same with ICE.
    #[must_use]
    pub fn with_ice(mut self, ice: Ice) -> Self {
        self.ice = ice;
        self
    }

    /// The first medium of a kind.
    pub fn of_kind(&self, kind: &Kind) -> Option<&MediaCapability> {
        self.media.iter().find(|medium| medium.kind == *kind)
    }

    /// The first medium of a kind, to change it.
    pub fn of_kind_mut(&mut self, kind: &Kind) -> Option<&mut MediaCapability> {
        self.media.iter_mut().find(|medium| medium.kind == *kind)
    }
}

/// One medium one side can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaCapability {
    /// What it is.
    pub kind: Kind,
    /// The codecs, the most liked first. Empty for media that are not RTP.
    pub codecs: Vec<Codec>,
    /// The telephone events understood; they are offered at each clock rate the codecs have (RFC 4733 §2.1).
    pub telephone_events: Option<EventSet>,
    /// The payload types to offer them with, by clock rate. Where nothing is said, 101 at 8000 Hz, else a free one.
    pub event_payload_types: Vec<(u32, u8)>,
    /// How much sound a packet should hold. `None`: what the peer asks for, else 20 ms.
    pub packet_time: Option<Duration>,
    /// How much sound a packet may hold.
    pub max_packet_time: Option<Duration>,
    /// How many of its kind are accepted at a time.
    pub streams: usize,
    /// How many of it the first offer has. Others are added with [`super::Negotiator::add_medium`].
    pub offered: usize,
    /// What may flow at most.
    pub direction: Direction,
    /// Whether early RTCP feedback is offered: a profile that ends in F (RFC 4585).
    pub feedback: bool,
    /// Feedback understood, such as `nack pli`, for every codec.
    pub feedback_kinds: Vec<String>,
    /// RTP header extensions understood, by URI.
    pub extensions: Vec<String>,
    /// Fax over UDP (T.38), for [`Kind::Image`].
    pub fax: Option<FaxCapability>,
    /// A transport that is neither RTP nor T.38.
    pub other: Option<OtherCapability>,
    /// `a=` lines that each description of ours has for this medium, such as `silenceSupp:off - - - -`.
    pub attributes: Vec<String>,
}

impl MediaCapability {
    /// Audio with these codecs, DTMF and hook flash.
    pub fn audio(codecs: impl IntoIterator<Item = Codec>) -> Self {
        Self { telephone_events: Some(EventSet::DTMF_AND_FLASH), ..Self::rtp(Kind::Audio, codecs) }
    }

    /// Another medium over RTP.
    pub fn rtp(kind: Kind, codecs: impl IntoIterator<Item = Codec>) -> Self {
        Self {
            kind,
            codecs: codecs.into_iter().collect(),
            telephone_events: None,
            event_payload_types: Vec::new(),
            packet_time: None,
            max_packet_time: None,
            streams: 1,
            offered: 1,
            direction: Direction::SendRecv,
            feedback: false,
            feedback_kinds: Vec::new(),
            extensions: Vec::new(),
            fax: None,
            other: None,
            attributes: Vec::new(),
        }
    }

    /// Fax over UDP. It is accepted, and offered only when asked for: a call begins with sound.
    pub fn fax(fax: FaxCapability) -> Self {
        Self { fax: Some(fax), offered: 0, ..Self::rtp(Kind::Image, []) }
    }

    /// A medium over something else, such as data channels.
    pub fn other(kind: Kind, other: OtherCapability) -> Self {
        Self { other: Some(other), ..Self::rtp(kind, []) }
    }

    /// What it has, for a sentence: codec names, `T.38`, or formats.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.codecs.iter().map(Codec::display_name).collect();
        if self.fax.is_some() {
            names.push("T.38".into());
        }
        if let Some(other) = &self.other {
            names.extend(other.formats.iter().cloned());
        }
        if names.is_empty() && self.telephone_events.is_some() {
            names.push(TELEPHONE_EVENT.into());
        }
        names
    }
}

/// Whether ICE is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ice {
    /// Never.
    #[default]
    Off,
    /// In full, when the peer can.
    Full,
    /// As the lite end, when the peer can.
    Lite,
    /// In full, and what cannot is refused.
    Required,
}

/// Whether RTCP shares the port of RTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcpMux {
    /// Never.
    #[default]
    Off,
    /// When the peer can.
    Offered,
    /// Always (`rtcp-mux-only`, RFC 8858).
    Required,
}

/// Whose order of codecs an answer follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The offer's (RFC 3264 §6.1).
    #[default]
    Offerer,
    /// Ours.
    Local,
}

/// How many of the common codecs an answer lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerCodecs {
    /// All of them.
    #[default]
    All,
    /// The first, with its telephone events: for peers that cannot change in mid-stream (RFC 3264 §10.2).
    One,
}

/// A medium that is neither RTP nor T.38.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCapability {
    /// Its profile.
    pub profile: Profile,
    /// Its formats, as the `m=` line has them.
    pub formats: Vec<String>,
}
