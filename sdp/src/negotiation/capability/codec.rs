//! One codec as it is declared: name, clock, parameters, and how a peer's parameters are compared with these (RFC 8866 §6.6,
//! §6.15; the codecs by name are those of RFC 3551 and of their own RFCs). What becomes of the parameters is
//! [`matching`](super::super::matching)'s.

use std::borrow::Cow;

use crate::attribute::format::static_format;

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
    pub fn fixed(payload_type: u8) -> Option<Self> {
        let format = static_format(payload_type)?;
        let mut codec = Self::new(format.encoding, format.clock_rate);
        codec.channels = format.channels;
        codec.payload_type = Some(payload_type);
        Some(codec)
    }

    /// G.711 mu-law, payload type 0.
    pub fn pcmu() -> Self {
        Self::new("PCMU", 8_000).at(0)
    }

    /// G.711 A-law, payload type 8.
    pub fn pcma() -> Self {
        Self::new("PCMA", 8_000).at(8)
    }

    /// G.722, payload type 9; its clock is 8000 though it samples at 16000.
    pub fn g722() -> Self {
        Self::new("G722", 8_000).at(9)
    }

    /// G.729, payload type 18, with or without silence compression.
    pub fn g729(annex_b: bool) -> Self {
        Self::new("G729", 8_000).at(18).with(if annex_b { "annexb=yes" } else { "annexb=no" })
    }

    /// GSM full rate, payload type 3.
    pub fn gsm() -> Self {
        Self::new("GSM", 8_000).at(3)
    }

    /// iLBC with frames of 20 or 30 ms.
    pub fn ilbc(mode: u8) -> Self {
        Self::new("iLBC", 8_000).with(if mode == 20 { "mode=20" } else { "" })
    }

    /// Opus.
    pub fn opus() -> Self {
        let mut codec = Self::new("opus", 48_000).with("useinbandfec=1");
        codec.channels = 2;
        codec
    }

    /// Comfort noise (RFC 3389), payload type 13.
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
