//! Attributes: the names that are known, and a typed view of each value. What is not known stays text.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod candidate;
pub mod fax;
pub mod format;
pub mod group;
mod name;
pub mod parameters;
pub mod rtcp;
pub mod security;

use core::fmt;
use core::time::Duration;

use candidate::{Candidate, RemoteCandidates};
use fax::{Fax, SilenceSuppression, whole_number};
use format::{Fmtp, RtpMap};
use group::Group;
use rtcp::{ExtensionMap, Rtcp, RtcpFeedback, Source, SourceGroup};
use security::{Crypto, Fingerprint, Setup};

pub use name::AttributeName;

use crate::direction::Direction;
use crate::error::{ErrorKind, ParseError};
use crate::fields::Fields;

/// The meaning of one `a=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute<'a> {
    /// `a=rtpmap`.
    RtpMap(RtpMap<'a>),
    /// `a=fmtp`.
    Fmtp(Fmtp<'a>),
    /// `a=ptime`: how much sound a packet should hold.
    PacketTime(Duration),
    /// `a=maxptime`: how much sound a packet may hold.
    MaxPacketTime(Duration),
    /// `a=sendrecv`, `a=sendonly`, `a=recvonly`, `a=inactive`.
    Direction(Direction),
    /// `a=rtcp`.
    Rtcp(Rtcp<'a>),
    /// `a=rtcp-mux`: RTCP on the port of RTP (RFC 5761).
    RtcpMux,
    /// `a=rtcp-mux-only`: and nowhere else (RFC 8858).
    RtcpMuxOnly,
    /// `a=rtcp-rsize`: RTCP of reduced size (RFC 5506).
    RtcpReducedSize,
    /// `a=rtcp-fb`.
    RtcpFeedback(RtcpFeedback<'a>),
    /// `a=extmap`.
    ExtensionMap(ExtensionMap<'a>),
    /// `a=extmap-allow-mixed`: one-byte and two-byte extensions in one stream (RFC 8285 §6).
    ExtensionMapAllowMixed,
    /// `a=ssrc`.
    Source(Source<'a>),
    /// `a=ssrc-group`.
    SourceGroup(SourceGroup<'a>),
    /// `a=crypto`.
    Crypto(Crypto<'a>),
    /// `a=fingerprint`.
    Fingerprint(Fingerprint<'a>),
    /// `a=setup`.
    Setup(Setup),
    /// `a=connection`: whether the connection is a new one (RFC 4145 §5).
    ConnectionIsNew(bool),
    /// `a=tls-id`: which DTLS association (RFC 8842).
    TlsId(&'a str),
    /// `a=candidate`.
    Candidate(Candidate<'a>),
    /// `a=remote-candidates`.
    RemoteCandidates(RemoteCandidates<'a>),
    /// `a=end-of-candidates` (RFC 8840).
    EndOfCandidates,
    /// `a=ice-ufrag`, 4–256 characters.
    IceUfrag(&'a str),
    /// `a=ice-pwd`, 22–256 characters.
    IcePassword(&'a str),
    /// `a=ice-options`, separated by spaces.
    IceOptions(&'a str),
    /// `a=ice-lite`.
    IceLite,
    /// `a=ice-mismatch`.
    IceMismatch,
    /// `a=ice-pacing`, milliseconds.
    IcePacing(u32),
    /// `a=group`.
    Group(Group<'a>),
    /// `a=mid`.
    Mid(&'a str),
    /// `a=bundle-only` (RFC 9143).
    BundleOnly,
    /// `a=msid` (RFC 8830).
    Msid(&'a str),
    /// `a=msid-semantic`.
    MsidSemantic(&'a str),
    /// `a=label` (RFC 4574).
    Label(&'a str),
    /// `a=content` (RFC 4796), separated by commas.
    Content(&'a str),
    /// One of T.38's.
    Fax(Fax<'a>),
    /// `a=silenceSupp`.
    SilenceSuppression(SilenceSuppression<'a>),
    /// `a=sctp-port` (RFC 8841).
    SctpPort(u16),
    /// `a=sctpmap`, its predecessor.
    SctpMap(&'a str),
    /// `a=max-message-size`, bytes; 0 is any.
    MaxMessageSize(u64),
    /// `a=rid` (RFC 8851).
    Rid(&'a str),
    /// `a=simulcast` (RFC 8853).
    Simulcast(&'a str),
    /// `a=framerate`, as written.
    FrameRate(&'a str),
    /// `a=quality`, 0–10.
    Quality(u8),
    /// `a=orient`.
    Orientation(&'a str),
    /// `a=type`.
    ConferenceType(&'a str),
    /// `a=charset`.
    Charset(&'a str),
    /// `a=sdplang`.
    DescriptionLanguage(&'a str),
    /// `a=lang`.
    Language(&'a str),
    /// `a=cat`.
    Category(&'a str),
    /// `a=keywds`.
    Keywords(&'a str),
    /// `a=tool`.
    Tool(&'a str),
    /// What this crate does not know: `X-` oddities and the rest of the registry.
    Other {
        /// The name.
        name: &'a str,
        /// The value, if there is a colon.
        value: Option<&'a str>,
    },
}

impl<'a> Attribute<'a> {
    /// Reads one attribute from what follows `a=`.
    ///
    /// # Errors
    /// The name is known and its value cannot be read; the column counts within `text`.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let colon = text.find(':');
        let name = colon.and_then(|colon| text.get(..colon)).unwrap_or(text);
        let start = name.len().saturating_add(1).min(text.len());
        let fields = Fields::within(text, start, text.len());
        Self::read(AttributeName::parse(name), name, colon.is_some(), fields)
            .map_err(|error| error.on_line(0, start))
    }

    /// Reads one attribute whose name is known already; the column of an error counts within the value.
    #[inline]
    pub(crate) fn read(
        known: AttributeName,
        name: &'a str,
        has_value: bool,
        fields: Fields<'a>,
    ) -> Result<Self, ParseError> {
        Ok(match known {
            AttributeName::RtpMap => Self::RtpMap(RtpMap::read(fields)?),
            AttributeName::Fmtp => Self::Fmtp(Fmtp::read(fields)?),
            AttributeName::Candidate => Self::Candidate(Candidate::read(fields)?),
            AttributeName::RtcpFb => Self::RtcpFeedback(RtcpFeedback::read(fields)?),
            AttributeName::ExtMap => Self::ExtensionMap(ExtensionMap::read(fields)?),
            AttributeName::Ssrc => Self::Source(Source::read(fields)?),
            AttributeName::SsrcGroup => Self::SourceGroup(SourceGroup::read(fields)?),
            AttributeName::Ptime => Self::PacketTime(milliseconds(fields)?),
            AttributeName::MaxPtime => Self::MaxPacketTime(milliseconds(fields)?),
            AttributeName::SendRecv => Self::Direction(Direction::SendRecv),
            AttributeName::SendOnly => Self::Direction(Direction::SendOnly),
            AttributeName::RecvOnly => Self::Direction(Direction::RecvOnly),
            AttributeName::Inactive => Self::Direction(Direction::Inactive),
            AttributeName::Rtcp => Self::Rtcp(Rtcp::read(fields)?),
            AttributeName::RtcpMux => Self::RtcpMux,
            AttributeName::RtcpMuxOnly => Self::RtcpMuxOnly,
            AttributeName::RtcpRsize => Self::RtcpReducedSize,
            AttributeName::ExtMapAllowMixed => Self::ExtensionMapAllowMixed,
            AttributeName::Crypto => Self::Crypto(Crypto::read(fields)?),
            AttributeName::Fingerprint => Self::Fingerprint(Fingerprint::read(fields)?),
            other => return Self::read_other(other, name, has_value, fields),
        })
    }

    /// The attributes there are few of.
    fn read_other(
        known: AttributeName,
        name: &'a str,
        has_value: bool,
        fields: Fields<'a>,
    ) -> Result<Self, ParseError> {
        let text = fields.whole();
        let value = has_value.then_some(text);
        Ok(match known {
            AttributeName::Setup => Self::Setup(Setup::parse(text.trim()).ok_or(ParseError::at(
                0,
                ErrorKind::Unexpected,
                "active, passive, actpass or holdconn",
            ))?),
            AttributeName::Connection => match text.trim() {
                "new" => Self::ConnectionIsNew(true),
                "existing" => Self::ConnectionIsNew(false),
                _ => return Err(ParseError::at(0, ErrorKind::Unexpected, "new or existing")),
            },
            AttributeName::TlsId => Self::TlsId(word(text, 20, 255, "20 to 255 characters")?),
            AttributeName::RemoteCandidates => Self::RemoteCandidates(RemoteCandidates::parse(text)?),
            AttributeName::EndOfCandidates => Self::EndOfCandidates,
            AttributeName::IceUfrag => Self::IceUfrag(word(text, 4, 256, "4 to 256 characters")?),
            AttributeName::IcePwd => Self::IcePassword(word(text, 22, 256, "22 to 256 characters")?),
            AttributeName::IceOptions => Self::IceOptions(text.trim()),
            AttributeName::IceLite => Self::IceLite,
            AttributeName::IceMismatch => Self::IceMismatch,
            AttributeName::IcePacing => Self::IcePacing(whole_number(text, u32::MAX, "milliseconds")?),
            AttributeName::Group => Self::Group(Group::read(fields)?),
            AttributeName::Mid => Self::Mid(word(text, 1, usize::MAX, "an identification tag")?),
            AttributeName::BundleOnly => Self::BundleOnly,
            AttributeName::Msid => Self::Msid(text),
            AttributeName::MsidSemantic => Self::MsidSemantic(text.trim()),
            AttributeName::Label => Self::Label(word(text, 1, usize::MAX, "a label")?),
            AttributeName::Content => Self::Content(word(text, 1, usize::MAX, "what the medium shows")?),
            AttributeName::SilenceSupp => Self::SilenceSuppression(SilenceSuppression::parse(text)?),
            AttributeName::SctpPort => {
                let port = whole_number(text, 65_535, "a port, 0 to 65535")?;
                Self::SctpPort(u16::try_from(port).unwrap_or(0))
            }
            AttributeName::SctpMap => Self::SctpMap(text),
            AttributeName::MaxMessageSize => Self::MaxMessageSize(
                crate::fields::number64(text.trim())
                    .map_err(|kind| ParseError::at(0, kind, "a size in bytes"))?,
            ),
            AttributeName::Rid => Self::Rid(text),
            AttributeName::Simulcast => Self::Simulcast(text),
            AttributeName::FrameRate => Self::FrameRate(text.trim()),
            AttributeName::Quality => {
                Self::Quality(u8::try_from(whole_number(text, 10, "a quality, 0 to 10")?).unwrap_or(0))
            }
            AttributeName::Orient => Self::Orientation(text),
            AttributeName::Kind => Self::ConferenceType(text),
            AttributeName::Charset => Self::Charset(text),
            AttributeName::SdpLanguage => Self::DescriptionLanguage(text),
            AttributeName::Language => Self::Language(text),
            AttributeName::Category => Self::Category(text),
            AttributeName::Keywords => Self::Keywords(text),
            AttributeName::Tool => Self::Tool(text),
            AttributeName::Other => Self::Other { name, value },
            fax => match Fax::parse(fax, value) {
                Some(fax) => Self::Fax(fax?),
                None => Self::Other { name, value },
            },
        })
    }
}

impl fmt::Display for Attribute<'_> {
    /// What follows `a=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RtpMap(value) => write!(f, "rtpmap:{value}"),
            Self::Fmtp(value) => write!(f, "fmtp:{value}"),
            Self::PacketTime(time) => write!(f, "ptime:{}", Milliseconds(*time)),
            Self::MaxPacketTime(time) => write!(f, "maxptime:{}", Milliseconds(*time)),
            Self::Direction(direction) => direction.fmt(f),
            Self::Rtcp(value) => write!(f, "rtcp:{value}"),
            Self::RtcpMux => f.write_str("rtcp-mux"),
            Self::RtcpMuxOnly => f.write_str("rtcp-mux-only"),
            Self::RtcpReducedSize => f.write_str("rtcp-rsize"),
            Self::RtcpFeedback(value) => write!(f, "rtcp-fb:{value}"),
            Self::ExtensionMap(value) => write!(f, "extmap:{value}"),
            Self::ExtensionMapAllowMixed => f.write_str("extmap-allow-mixed"),
            Self::Source(value) => write!(f, "ssrc:{value}"),
            Self::SourceGroup(value) => write!(f, "ssrc-group:{value}"),
            Self::Crypto(value) => write!(f, "crypto:{value}"),
            Self::Fingerprint(value) => write!(f, "fingerprint:{value}"),
            Self::Setup(value) => write!(f, "setup:{value}"),
            Self::ConnectionIsNew(true) => f.write_str("connection:new"),
            Self::ConnectionIsNew(false) => f.write_str("connection:existing"),
            Self::TlsId(value) => write!(f, "tls-id:{value}"),
            Self::Candidate(value) => write!(f, "candidate:{value}"),
            Self::RemoteCandidates(value) => write!(f, "remote-candidates:{value}"),
            Self::EndOfCandidates => f.write_str("end-of-candidates"),
            Self::IceUfrag(value) => write!(f, "ice-ufrag:{value}"),
            Self::IcePassword(value) => write!(f, "ice-pwd:{value}"),
            Self::IceOptions(value) => write!(f, "ice-options:{value}"),
            Self::IceLite => f.write_str("ice-lite"),
            Self::IceMismatch => f.write_str("ice-mismatch"),
            Self::IcePacing(value) => write!(f, "ice-pacing:{value}"),
            Self::Group(value) => write!(f, "group:{value}"),
            Self::Mid(value) => write!(f, "mid:{value}"),
            Self::BundleOnly => f.write_str("bundle-only"),
            Self::Msid(value) => write!(f, "msid:{value}"),
            Self::MsidSemantic(value) => write!(f, "msid-semantic:{value}"),
            Self::Label(value) => write!(f, "label:{value}"),
            Self::Content(value) => write!(f, "content:{value}"),
            Self::Fax(value) => write!(f, "{}:{value}", value.name().as_str()),
            Self::SilenceSuppression(value) => write!(f, "silenceSupp:{value}"),
            Self::SctpPort(value) => write!(f, "sctp-port:{value}"),
            Self::SctpMap(value) => write!(f, "sctpmap:{value}"),
            Self::MaxMessageSize(value) => write!(f, "max-message-size:{value}"),
            Self::Rid(value) => write!(f, "rid:{value}"),
            Self::Simulcast(value) => write!(f, "simulcast:{value}"),
            Self::FrameRate(value) => write!(f, "framerate:{value}"),
            Self::Quality(value) => write!(f, "quality:{value}"),
            Self::Orientation(value) => write!(f, "orient:{value}"),
            Self::ConferenceType(value) => write!(f, "type:{value}"),
            Self::Charset(value) => write!(f, "charset:{value}"),
            Self::DescriptionLanguage(value) => write!(f, "sdplang:{value}"),
            Self::Language(value) => write!(f, "lang:{value}"),
            Self::Category(value) => write!(f, "cat:{value}"),
            Self::Keywords(value) => write!(f, "keywds:{value}"),
            Self::Tool(value) => write!(f, "tool:{value}"),
            Self::Other { name, value: Some(value) } => write!(f, "{name}:{value}"),
            Self::Other { name, value: None } => f.write_str(name),
        }
    }
}

/// A duration as `ptime` has it: milliseconds, with a fraction only where there is one.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let (whole, fraction) = (micros.wrapping_div(1_000), micros.wrapping_rem(1_000));
        write!(f, "{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let digits = format!("{fraction:03}");
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// A positive number of milliseconds, to the microsecond.
fn milliseconds(fields: Fields<'_>) -> Result<Duration, ParseError> {
    const EXPECTED: &str = "milliseconds, more than 0";
    let mut whole = fields;
    if let Ok(time @ 1..) = whole.number(3_600_000, EXPECTED)
        && whole.left().is_empty()
    {
        return Ok(Duration::from_millis(u64::from(time)));
    }
    let text = fields.whole().trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole = crate::fields::number(whole, 3_600_000).map_err(|kind| ParseError::at(0, kind, EXPECTED))?;
    let fraction = match fraction.get(..fraction.len().min(3)) {
        Some(digits) if crate::fields::all_digits(fraction) => {
            let places = u32::try_from(3_usize.saturating_sub(digits.len())).unwrap_or(0);
            digits.parse::<u32>().unwrap_or(0).saturating_mul(10_u32.saturating_pow(places))
        }
        _ => return Err(ParseError::at(0, ErrorKind::NotANumber, EXPECTED)),
    };
    let time =
        Duration::from_micros(u64::from(whole).saturating_mul(1_000).saturating_add(u64::from(fraction)));
    if time.is_zero() { Err(ParseError::at(0, ErrorKind::OutOfRange, EXPECTED)) } else { Ok(time) }
}

/// A value of `least` to `most` characters without a space.
fn word<'a>(text: &'a str, least: usize, most: usize, expected: &'static str) -> Result<&'a str, ParseError> {
    let text = text.trim_ascii_end();
    if text.contains(' ') || text.len() < least || text.len() > most {
        let kind = if text.is_empty() { ErrorKind::MissingField } else { ErrorKind::OutOfRange };
        return Err(ParseError::at(0, kind, expected));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_written_back() {
        for text in [
            "rtpmap:0 PCMU/8000",
            "fmtp:101 0-15",
            "ptime:20",
            "ptime:2.5",
            "maxptime:120",
            "sendrecv",
            "inactive",
            "rtcp:53020 IN IP4 192.0.2.1",
            "rtcp-mux",
            "rtcp-mux-only",
            "rtcp-rsize",
            "rtcp-fb:* nack pli",
            "extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
            "extmap-allow-mixed",
            "ssrc:1 cname:x",
            "ssrc-group:FID 1 2",
            "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32",
            "fingerprint:sha-256 19:E2",
            "setup:actpass",
            "connection:new",
            "tls-id:91bbf309c0990a6bec11e38ba2933cee",
            "candidate:1 1 UDP 2130706431 192.0.2.1 3478 typ host",
            "remote-candidates:1 192.0.2.1 3478",
            "end-of-candidates",
            "ice-ufrag:8hhY",
            "ice-pwd:asd88fgpdd777uzjYhagZg",
            "ice-options:trickle ice2",
            "ice-lite",
            "ice-mismatch",
            "ice-pacing:50",
            "group:BUNDLE a b",
            "mid:a",
            "bundle-only",
            "msid:- x",
            "msid-semantic:WMS *",
            "label:1",
            "content:main,speaker",
            "T38FaxVersion:0",
            "T38FaxUdpECDepth:1 3",
            "silenceSupp:off - - - -",
            "sctp-port:5000",
            "sctpmap:5000 webrtc-datachannel 1024",
            "max-message-size:262144",
            "rid:1 send",
            "simulcast:send 1;2",
            "framerate:29.97",
            "quality:10",
            "orient:portrait",
            "type:broadcast",
            "charset:ISO-8859-1",
            "sdplang:fr",
            "lang:de",
            "cat:x.y",
            "keywds:a b",
            "tool:x",
            "X-nat:0",
            "X-flag",
        ] {
            let attribute = Attribute::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(attribute.to_string(), text);
            let known = text.split(':').next().map(AttributeName::parse) != Some(AttributeName::Other);
            assert_eq!(matches!(attribute, Attribute::Other { .. }), !known, "{text}");
        }
    }

    #[test]
    fn faults_have_columns_after_the_name() {
        for (text, column) in [
            ("rtpmap:128 X/1", 8),
            ("ptime:0", 7),
            ("ptime:x", 7),
            ("ptime:-20", 7),
            ("ice-ufrag:abc", 11),
            ("ice-pwd:short", 9),
            ("mid:", 5),
            ("quality:11", 9),
            ("sctp-port:65536", 11),
            ("setup:maybe", 7),
            ("connection:old", 12),
        ] {
            assert_eq!(Attribute::parse(text).unwrap_err().column, column, "{text}");
        }
    }
}
