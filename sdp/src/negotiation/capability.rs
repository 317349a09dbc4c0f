//! What one side can do, declared once. Offers and answers are derived from it.

use std::borrow::Cow;
use std::time::Duration;

use crate::attribute::fax::Fax;
use crate::attribute::format::static_format;
use crate::attribute::parameters::EventSet;
use crate::attribute::security::{Setup, SrtpSuite};
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
    #[must_use]
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
    #[must_use]
    pub fn fax(fax: FaxCapability) -> Self {
        Self { fax: Some(fax), offered: 0, ..Self::rtp(Kind::Image, []) }
    }

    /// A medium over something else, such as data channels.
    #[must_use]
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

/// The encoding name of telephone events.
pub(crate) const TELEPHONE_EVENT: &str = "telephone-event";

/// One codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The encoding name; case does not count.
    pub name: Cow<'static, str>,
    /// Ticks of the RTP time stamp a second. 8000 for G.722, 48000 for Opus, whatever they sample at.
    pub clock_rate: u32,
    /// Channels as `rtpmap` has them: 2 for Opus always (RFC 7587 §7).
    pub channels: u8,
    /// The payload type to offer. `None`: the static one, else a free one from 96 on.
    pub payload_type: Option<u8>,
    /// The `fmtp` parameters to write; empty for none.
    pub parameters: String,
    /// How the peer's parameters are compared with these.
    pub matching: ParameterRule,
}

impl std::fmt::Display for Codec {
    /// As `rtpmap` writes it: `opus/48000/2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.clock_rate)?;
        if self.channels > 1 { write!(f, "/{}", self.channels) } else { Ok(()) }
    }
}

/// How `fmtp` parameters of two sides are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParameterRule {
    /// As the codec's RFC says; parameters of a codec this crate does not know are the peer's business.
    #[default]
    ByCodec,
    /// They must be the same, order and case aside.
    Equal,
    /// They are not looked at.
    Ignore,
}

impl Codec {
    /// A codec with a dynamic payload type, one channel, and no parameters.
    pub fn new(name: impl Into<Cow<'static, str>>, clock_rate: u32) -> Self {
        Self {
            name: name.into(),
            clock_rate,
            channels: 1,
            payload_type: None,
            parameters: String::new(),
            matching: ParameterRule::ByCodec,
        }
    }

    /// The codec of a static payload type (RFC 3551 §6).
    #[must_use]
    pub fn fixed(payload_type: u8) -> Option<Self> {
        let format = static_format(payload_type)?;
        let mut codec = Self::new(format.encoding, format.clock_rate);
        codec.channels = format.channels;
        codec.payload_type = Some(payload_type);
        Some(codec)
    }

    /// G.711 mu-law, payload type 0.
    #[must_use]
    pub fn pcmu() -> Self {
        Self::new("PCMU", 8_000).at(0)
    }

    /// G.711 A-law, payload type 8.
    #[must_use]
    pub fn pcma() -> Self {
        Self::new("PCMA", 8_000).at(8)
    }

    /// G.722, payload type 9; its clock is 8000 though it samples at 16000.
    #[must_use]
    pub fn g722() -> Self {
        Self::new("G722", 8_000).at(9)
    }

    /// G.729, payload type 18, with or without silence compression.
    #[must_use]
    pub fn g729(annex_b: bool) -> Self {
        Self::new("G729", 8_000).at(18).with(if annex_b { "annexb=yes" } else { "annexb=no" })
    }

    /// GSM full rate, payload type 3.
    #[must_use]
    pub fn gsm() -> Self {
        Self::new("GSM", 8_000).at(3)
    }

    /// iLBC with frames of 20 or 30 ms.
    #[must_use]
    pub fn ilbc(mode: u8) -> Self {
        Self::new("iLBC", 8_000).with(if mode == 20 { "mode=20" } else { "" })
    }

    /// Opus.
    #[must_use]
    pub fn opus() -> Self {
        let mut codec = Self::new("opus", 48_000).with("useinbandfec=1");
        codec.channels = 2;
        codec
    }

    /// Comfort noise (RFC 3389), payload type 13.
    #[must_use]
    pub fn comfort_noise() -> Self {
        Self::new("CN", 8_000).at(13)
    }

    /// The same with this payload type.
    #[must_use]
    pub fn at(mut self, payload_type: u8) -> Self {
        self.payload_type = Some(payload_type & 0x7f);
        self
    }

    /// The same with these parameters.
    #[must_use]
    pub fn with(mut self, parameters: impl Into<String>) -> Self {
        self.parameters = parameters.into();
        self
    }

    /// The codec a person means by a name: `PCMA`, `alaw`, `G.729`, `opus`, … or as `rtpmap` has it: `L16/16000`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let (name, clock_rate) = match name.split_once('/') {
            Some((name, clock)) => {
                (name, Some(clock.split('/').next().unwrap_or("").trim().parse::<u32>().ok()?))
            }
            None => (name, None),
        };
        let codec = Self::by_plain_name(name)?;
        match clock_rate {
            None => Some(codec),
            // Those that are there at many rates.
            Some(rate) if matches!(&*codec.name, "L16" | "speex" | "CN") => Some(Self {
                clock_rate: rate,
                payload_type: codec.payload_type.filter(|_| rate == 8_000),
                ..codec
            }),
            Some(rate) => (codec.clock_rate == rate).then_some(codec),
        }
    }

    fn by_plain_name(name: &str) -> Option<Self> {
        let plain: String = name
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric())
            .collect::<String>()
            .to_ascii_lowercase();
        Some(match plain.as_str() {
            "pcmu" | "ulaw" | "mulaw" | "g711u" => Self::pcmu(),
            "pcma" | "alaw" | "g711a" => Self::pcma(),
            "g722" => Self::g722(),
            "g729" | "g729b" => Self::g729(true),
            "g729a" => Self::g729(false),
            "gsm" => Self::gsm(),
            "ilbc" | "ilbc30" => Self::ilbc(30),
            "ilbc20" => Self::ilbc(20),
            "opus" => Self::opus(),
            "cn" => Self::comfort_noise(),
            "g723" | "g7231" => Self::new("G723", 8_000).at(4),
            "g726" | "g72632" => Self::new("G726-32", 8_000),
            "g72616" => Self::new("G726-16", 8_000),
            "g72624" => Self::new("G726-24", 8_000),
            "g72640" => Self::new("G726-40", 8_000),
            "clearmode" => Self::new("CLEARMODE", 8_000),
            "amr" => Self::new("AMR", 8_000),
            "amrwb" => Self::new("AMR-WB", 16_000),
            "speex" | "speex8" => Self::new("speex", 8_000),
            "speex16" => Self::new("speex", 16_000),
            "speex32" => Self::new("speex", 32_000),
            "l16" => Self::new("L16", 8_000),
            "vp8" => Self::new("VP8", 90_000),
            "h264" => Self::new("H264", 90_000).with("profile-level-id=42e01f;packetization-mode=1"),
            _ => return None,
        })
    }

    /// Whether name, clock and channels are the same.
    #[must_use]
    pub fn is_same(&self, name: &str, clock_rate: u32, channels: u8) -> bool {
        self.name.eq_ignore_ascii_case(name) && self.clock_rate == clock_rate && self.channels == channels
    }

    /// The name for a sentence: with the clock where the name alone does not tell.
    pub(crate) fn display_name(&self) -> String {
        display_name(&self.name, self.clock_rate)
    }
}

/// The name of an encoding for a sentence.
pub(crate) fn display_name(name: &str, clock_rate: u32) -> String {
    let usual = match clock_rate {
        8_000 | 90_000 => true,
        48_000 => name.eq_ignore_ascii_case("opus"),
        16_000 => name.eq_ignore_ascii_case("AMR-WB"),
        _ => false,
    };
    if usual { name.to_owned() } else { format!("{name}/{clock_rate}") }
}

/// Whether media is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    #[default]
    None,
    /// When the peer can.
    Offered,
    /// Always; what is not encrypted is refused.
    Required,
}

/// How media is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionCapability {
    /// Whether.
    pub policy: Encryption,
    /// Keys in the description (RFC 4568).
    pub sdes: Option<SdesCapability>,
    /// Keys by DTLS (RFC 5763).
    pub dtls: Option<DtlsCapability>,
    /// Which one to take when both are possible.
    pub preferred: KeyExchange,
    /// How encryption that is not required is offered.
    pub best_effort: BestEffort,
}

/// The ways to agree on keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// In the description.
    Sdes,
    /// By DTLS.
    Dtls,
}

/// The ways to offer encryption to a peer that may not know it. Both are in the field, and both are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BestEffort {
    /// One medium, with the plain profile and the attributes of encryption (RFC 8643).
    PlainProfile,
    /// Two media: an encrypted one, and a plain one after it.
    TwoMedia,
}

impl EncryptionCapability {
    /// No encryption.
    #[must_use]
    pub fn none() -> Self {
        Self {
            policy: Encryption::None,
            sdes: None,
            dtls: None,
            preferred: KeyExchange::Dtls,
            best_effort: BestEffort::PlainProfile,
        }
    }

    /// SDES with the suites everybody has.
    #[must_use]
    pub fn sdes(policy: Encryption) -> Self {
        Self { policy, sdes: Some(SdesCapability::default()), ..Self::none() }
    }

    /// DTLS with the hash of our certificate.
    #[must_use]
    pub fn dtls(policy: Encryption, fingerprint: LocalFingerprint) -> Self {
        let dtls = DtlsCapability { fingerprints: vec![fingerprint], setup: Setup::ActPass };
        Self { policy, dtls: Some(dtls), ..Self::none() }
    }
}

/// How SDES is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdesCapability {
    /// The suites, the most liked first.
    pub suites: Vec<SrtpSuite>,
    /// Whether the peer may leave out encryption or authentication (`UNENCRYPTED_SRTP` and its like).
    pub accept_weak: bool,
}

impl Default for SdesCapability {
    /// AES-128 in counter mode with 80-bit tags, then with 32-bit tags.
    fn default() -> Self {
        Self {
            suites: vec![SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32],
            accept_weak: false,
        }
    }
}

/// How DTLS is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsCapability {
    /// The hashes of our certificate, one function each.
    pub fingerprints: Vec<LocalFingerprint>,
    /// Which end we would like to be: `Active` and `ActPass` answer as the client, `Passive` as the server.
    /// An offer always says `actpass` (RFC 5763 §5).
    pub setup: Setup,
}

/// The hash of our certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFingerprint {
    /// The hash function: `sha-256`.
    pub hash: String,
    /// The hash.
    pub bytes: Vec<u8>,
}

impl LocalFingerprint {
    /// A SHA-256 hash.
    #[must_use]
    pub fn sha256(bytes: [u8; 32]) -> Self {
        Self { hash: "sha-256".into(), bytes: bytes.to_vec() }
    }

    /// The hash as `a=fingerprint` writes it.
    pub(crate) fn hex(&self) -> String {
        let pairs: Vec<String> = self.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
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

/// What a T.38 end can do (ITU-T T.38 Annex D).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaxCapability {
    /// The version, 0–4.
    pub version: u32,
    /// The fastest modem, bits a second.
    pub max_bit_rate: u32,
    /// Whether fill bits may be left out.
    pub fill_bit_removal: bool,
    /// Bytes it can hold.
    pub max_buffer: Option<u32>,
    /// Bytes of the largest datagram it takes.
    pub max_datagram: u32,
    /// The error corrections it can do, the most liked first.
    pub error_corrections: Vec<FaxErrorCorrection>,
}

/// How lost fax packets are made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaxErrorCorrection {
    /// Each packet repeats earlier ones.
    Redundancy,
    /// Packets of parity.
    Fec,
    /// Not at all.
    None,
}

impl FaxErrorCorrection {
    /// The word in `T38FaxUdpEC`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redundancy => "t38UDPRedundancy",
            Self::Fec => "t38UDPFEC",
            Self::None => "t38UDPNoEC",
        }
    }

    /// The correction that word means; case is not minded.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Redundancy, Self::Fec, Self::None]
            .into_iter()
            .find(|correction| correction.as_str().eq_ignore_ascii_case(text))
    }
}

impl Default for FaxCapability {
    /// What fax gateways have in common: version 0, 14400 bit/s, 400-byte datagrams, redundancy.
    fn default() -> Self {
        Self {
            version: 0,
            max_bit_rate: 14_400,
            fill_bit_removal: false,
            max_buffer: None,
            max_datagram: 400,
            error_corrections: vec![FaxErrorCorrection::Redundancy, FaxErrorCorrection::None],
        }
    }
}

impl FaxCapability {
    /// The attributes an offer has.
    pub(crate) fn attributes(&self) -> Vec<Fax<'static>> {
        let mut all = vec![
            Fax::Version(self.version),
            Fax::MaxBitRate(self.max_bit_rate),
            Fax::RateManagement("transferredTCF"),
            Fax::MaxDatagram(self.max_datagram),
        ];
        if self.fill_bit_removal {
            all.push(Fax::FillBitRemoval(true));
        }
        all.extend(self.max_buffer.map(Fax::MaxBuffer));
        let first = self.error_corrections.first().copied().unwrap_or(FaxErrorCorrection::None);
        all.push(Fax::ErrorCorrection(first.as_str()));
        all
    }
}

/// A medium that is neither RTP nor T.38.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCapability {
    /// Its profile.
    pub profile: Profile,
    /// Its formats, as the `m=` line has them.
    pub formats: Vec<String>,
}
