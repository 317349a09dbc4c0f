//! T.38 attributes (ITU-T T.38 Annex D.2.3) and `silenceSupp` (RFC 3108 §5.6.2.2): what gateways say about calls
//! that are not speech.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use super::AttributeName;
use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number};

/// One T.38 attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fax<'a> {
    /// The version of T.38, 0–4.
    Version(u32),
    /// The fastest modem, bits a second.
    MaxBitRate(u32),
    /// Whether fill bits may be left out.
    FillBitRemoval(bool),
    /// Whether T.4 images may be sent as MMR.
    TranscodingMmr(bool),
    /// Whether T.4 images may be sent as JBIG.
    TranscodingJbig(bool),
    /// `transferredTCF` (UDP) or `localTCF` (TCP).
    RateManagement(&'a str),
    /// Bytes it can hold.
    MaxBuffer(u32),
    /// Bytes of the largest datagram it takes.
    MaxDatagram(u32),
    /// Bytes of the largest IFP packet it takes.
    MaxIfp(u32),
    /// `t38UDPRedundancy`, `t38UDPFEC` or `t38UDPNoEC`.
    ErrorCorrection(&'a str),
    /// How many earlier packets are repeated: the least, and the most where said.
    ErrorCorrectionDepth(u32, Option<u32>),
    /// How many packets one correction packet may span.
    FecMaxSpan(u32),
    /// `t38G3FaxOnly` or `t38V34andG3Fax`.
    ModemType(&'a str),
    /// Who built it.
    VendorInfo(&'a str),
}

impl<'a> Fax<'a> {
    /// Reads the value of a T.38 attribute; `None` when the name is none.
    ///
    /// A flag is set by its presence, by `1`, or by `true` (all three are in the field).
    #[inline]
    pub fn parse(name: AttributeName, value: Option<&'a str>) -> Option<Result<Self, ParseError>> {
        let text = value.unwrap_or("").trim();
        let number = |max| {
            let mut fields = Fields::new(text);
            fields.number(max, "a number")
        };
        let flag = || match text {
            "" | "1" => Ok(true),
            "0" => Ok(false),
            word if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("yes") => Ok(true),
            word if word.eq_ignore_ascii_case("false") || word.eq_ignore_ascii_case("no") => Ok(false),
            _ => Err(ParseError::at(0, ErrorKind::Unexpected, "0 or 1")),
        };
        let word = || {
            if text.is_empty() { Err(ParseError::at(0, ErrorKind::MissingField, "a word")) } else { Ok(text) }
        };
        Some(match name {
            AttributeName::T38FaxVersion => number(255).map(Self::Version),
            AttributeName::T38MaxBitRate => number(u32::MAX).map(Self::MaxBitRate),
            AttributeName::T38FaxFillBitRemoval => flag().map(Self::FillBitRemoval),
            AttributeName::T38FaxTranscodingMmr => flag().map(Self::TranscodingMmr),
            AttributeName::T38FaxTranscodingJbig => flag().map(Self::TranscodingJbig),
            AttributeName::T38FaxRateManagement => word().map(Self::RateManagement),
            AttributeName::T38FaxMaxBuffer => number(u32::MAX).map(Self::MaxBuffer),
            AttributeName::T38FaxMaxDatagram => number(u32::MAX).map(Self::MaxDatagram),
            AttributeName::T38FaxMaxIfp => number(u32::MAX).map(Self::MaxIfp),
            AttributeName::T38FaxUdpEc => word().map(Self::ErrorCorrection),
            AttributeName::T38FaxUdpEcDepth => depth(text),
            AttributeName::T38FaxUdpFecMaxSpan => number(u32::MAX).map(Self::FecMaxSpan),
            AttributeName::T38ModemType => word().map(Self::ModemType),
            AttributeName::T38VendorInfo => word().map(Self::VendorInfo),
            _ => return None,
        })
    }

    /// The name of the attribute.
    #[must_use]
    pub fn name(&self) -> AttributeName {
        match self {
            Self::Version(_) => AttributeName::T38FaxVersion,
            Self::MaxBitRate(_) => AttributeName::T38MaxBitRate,
            Self::FillBitRemoval(_) => AttributeName::T38FaxFillBitRemoval,
            Self::TranscodingMmr(_) => AttributeName::T38FaxTranscodingMmr,
            Self::TranscodingJbig(_) => AttributeName::T38FaxTranscodingJbig,
            Self::RateManagement(_) => AttributeName::T38FaxRateManagement,
            Self::MaxBuffer(_) => AttributeName::T38FaxMaxBuffer,
            Self::MaxDatagram(_) => AttributeName::T38FaxMaxDatagram,
            Self::MaxIfp(_) => AttributeName::T38FaxMaxIfp,
            Self::ErrorCorrection(_) => AttributeName::T38FaxUdpEc,
            Self::ErrorCorrectionDepth(..) => AttributeName::T38FaxUdpEcDepth,
            Self::FecMaxSpan(_) => AttributeName::T38FaxUdpFecMaxSpan,
            Self::ModemType(_) => AttributeName::T38ModemType,
            Self::VendorInfo(_) => AttributeName::T38VendorInfo,
        }
    }
}

fn depth<'a>(text: &str) -> Result<Fax<'a>, ParseError> {
    let mut fields = Fields::new(text);
    let least = fields.number(u32::MAX, "the least depth")?;
    let most = match fields.rest() {
        "" => None,
        _ => Some(fields.number(u32::MAX, "the greatest depth")?),
    };
    Ok(Fax::ErrorCorrectionDepth(least, most))
}

impl fmt::Display for Fax<'_> {
    /// The value of the attribute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(number)
            | Self::MaxBitRate(number)
            | Self::MaxBuffer(number)
            | Self::MaxDatagram(number)
            | Self::MaxIfp(number)
            | Self::FecMaxSpan(number)
            | Self::ErrorCorrectionDepth(number, None) => number.fmt(f),
            Self::ErrorCorrectionDepth(least, Some(most)) => write!(f, "{least} {most}"),
            Self::FillBitRemoval(flag) | Self::TranscodingMmr(flag) | Self::TranscodingJbig(flag) => {
                u8::from(*flag).fmt(f)
            }
            Self::RateManagement(word)
            | Self::ErrorCorrection(word)
            | Self::ModemType(word)
            | Self::VendorInfo(word) => f.write_str(word),
        }
    }
}

/// `a=silenceSupp`: whether silence is left out. `off` asks for an unbroken stream, as modems need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilenceSuppression<'a> {
    /// Whether it is used.
    pub enabled: bool,
    /// Timer, preference, SID use and noise level, `-` where nothing is said.
    pub parameters: &'a str,
}

impl<'a> SilenceSuppression<'a> {
    /// Reads the value of `a=silenceSupp`.
    ///
    /// # Errors
    /// It begins neither with `on` nor with `off`.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "on or off";
        let mut fields = Fields::new(value);
        let enabled = match fields.expect(EXPECTED)? {
            "on" => true,
            "off" => false,
            field => return Err(fields.error_in(field, ErrorKind::Unexpected, EXPECTED)),
        };
        Ok(Self { enabled, parameters: fields.remainder() })
    }
}

impl fmt::Display for SilenceSuppression<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.enabled { "on" } else { "off" })?;
        if self.parameters.is_empty() { Ok(()) } else { write!(f, " {}", self.parameters) }
    }
}

/// A positive number of at most `max`, as the whole value of an attribute.
pub(crate) fn whole_number(text: &str, max: u32, expected: &'static str) -> Result<u32, ParseError> {
    number(text.trim(), max).map_err(|kind| ParseError::at(0, kind, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_set_in_three_ways() {
        let read = |value| Fax::parse(AttributeName::T38FaxFillBitRemoval, value);
        for (value, flag) in [
            (None, true),
            (Some("1"), true),
            (Some("true"), true),
            (Some("0"), false),
            (Some("false"), false),
        ] {
            assert_eq!(read(value), Some(Ok(Fax::FillBitRemoval(flag))));
        }
        assert!(read(Some("maybe")).unwrap().is_err());
        assert_eq!(Fax::parse(AttributeName::Mid, None), None);
        assert!(Fax::parse(AttributeName::T38FaxVersion, Some("-1")).unwrap().is_err());
    }

    #[test]
    fn silence_suppression_is_read() {
        let text = "off - - - -";
        let off = SilenceSuppression::parse(text).unwrap();
        assert!(!off.enabled);
        assert_eq!(off.to_string(), text);
        assert!(SilenceSuppression::parse("maybe").is_err());
    }
}
