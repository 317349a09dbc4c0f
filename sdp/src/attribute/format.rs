//! What a payload type means: `rtpmap` and `fmtp` (RFC 8866 §6.6, §6.15) and the static table of RFC 3551 §6.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number};

/// `a=rtpmap`: payload type 0–127, encoding and clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// The number in the RTP header.
    pub payload_type: u8,
    /// The name of the encoding; case does not count.
    pub encoding: &'a str,
    /// Ticks of the RTP time stamp a second.
    pub clock_rate: u32,
    /// What follows the clock rate: for audio the number of channels.
    pub parameters: Option<&'a str>,
}

impl<'a> RtpMap<'a> {
    /// Reads the value of `a=rtpmap`. A missing clock rate is read as 8000, which is what old phones mean.
    ///
    /// # Errors
    /// The payload type or the clock rate is not a number in range, or the encoding is missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        const RATE: &str = "a clock rate, 1 or more";
        let payload_type = fields.number(127, "a payload type, 0 to 127")? as u8;
        let encoding = match fields.until(b'/') {
            Some(encoding) if !encoding.is_empty() => encoding.trim_ascii_end(),
            _ => {
                let kind = ErrorKind::MissingField;
                return Err(ParseError::at(fields.offset(), kind, "an encoding, a slash and a clock rate"));
            }
        };
        let clock_rate = match fields.until(b'/') {
            None => 8_000,
            Some(rate) => match number(rate.trim_ascii_end(), u32::MAX) {
                Ok(rate @ 1..) => rate,
                result => {
                    let kind = result.err().unwrap_or(ErrorKind::OutOfRange);
                    return Err(fields.error_in(rate, kind, RATE));
                }
            },
        };
        let parameters = Some(fields.remainder()).filter(|rest| !rest.is_empty());
        Ok(Self { payload_type, encoding, clock_rate, parameters })
    }

    /// The number of audio channels; 1 where nothing is said.
    #[must_use]
    pub fn channels(&self) -> u8 {
        self.parameters.and_then(|text| text.parse().ok()).filter(|count| *count > 0).unwrap_or(1)
    }
}

impl fmt::Display for RtpMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.payload_type, self.encoding, self.clock_rate)?;
        match self.parameters {
            Some(parameters) => write!(f, "/{parameters}"),
            None => Ok(()),
        }
    }
}

/// `a=fmtp`: parameters of one format. [`super::parameters`] reads those of known encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fmtp<'a> {
    /// The format, as in the `m=` line.
    pub format: &'a str,
    /// Everything after it.
    pub parameters: &'a str,
}

impl<'a> Fmtp<'a> {
    /// Reads the value of `a=fmtp`.
    ///
    /// # Errors
    /// There is no format. Parameters may be missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let format = fields.expect("a format and its parameters")?;
        Ok(Self { format, parameters: fields.remainder() })
    }

    /// The payload type, if the format is one.
    #[must_use]
    pub fn payload_type(&self) -> Option<u8> {
        number(self.format, 127).ok().and_then(|number| u8::try_from(number).ok())
    }
}

impl fmt::Display for Fmtp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.format, self.parameters)
    }
}

/// What a static payload type means without an `rtpmap` (RFC 3551 §6, tables 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticFormat {
    /// The number, 0–34.
    pub payload_type: u8,
    /// The name of the encoding.
    pub encoding: &'static str,
    /// Ticks of the RTP time stamp a second. For G.722 that is 8000, though it samples at 16000 (RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Audio channels; 1 for video.
    pub channels: u8,
}

const fn fixed(payload_type: u8, encoding: &'static str, clock_rate: u32, channels: u8) -> StaticFormat {
    StaticFormat { payload_type, encoding, clock_rate, channels }
}

/// RFC 3551 §6; 1 (formerly 1016), 2 (formerly G721) and 19 are reserved and left out.
pub const STATIC_FORMATS: &[StaticFormat] = &[
    fixed(0, "PCMU", 8_000, 1),
    fixed(3, "GSM", 8_000, 1),
    fixed(4, "G723", 8_000, 1),
    fixed(5, "DVI4", 8_000, 1),
    fixed(6, "DVI4", 16_000, 1),
    fixed(7, "LPC", 8_000, 1),
    fixed(8, "PCMA", 8_000, 1),
    fixed(9, "G722", 8_000, 1),
    fixed(10, "L16", 44_100, 2),
    fixed(11, "L16", 44_100, 1),
    fixed(12, "QCELP", 8_000, 1),
    fixed(13, "CN", 8_000, 1),
    fixed(14, "MPA", 90_000, 1),
    fixed(15, "G728", 8_000, 1),
    fixed(16, "DVI4", 11_025, 1),
    fixed(17, "DVI4", 22_050, 1),
    fixed(18, "G729", 8_000, 1),
    fixed(25, "CelB", 90_000, 1),
    fixed(26, "JPEG", 90_000, 1),
    fixed(28, "nv", 90_000, 1),
    fixed(31, "H261", 90_000, 1),
    fixed(32, "MPV", 90_000, 1),
    fixed(33, "MP2T", 90_000, 1),
    fixed(34, "H263", 90_000, 1),
];

/// What a static payload type means.
#[must_use]
pub fn static_format(payload_type: u8) -> Option<&'static StaticFormat> {
    STATIC_FORMATS.iter().find(|format| format.payload_type == payload_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_as_phones_write_them() {
        for text in ["0 PCMU/8000", "111 opus/48000/2", "101 telephone-event/8000", "96 L16/11025/1"] {
            assert_eq!(RtpMap::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(RtpMap::parse("111 opus/48000/2").unwrap().channels(), 2);
        assert_eq!(RtpMap::parse("18 G729").unwrap().clock_rate, 8_000);
        assert_eq!(RtpMap::parse("18  G729/8000 ").unwrap().to_string(), "18 G729/8000");
        assert_eq!(RtpMap::parse("18 G729/8000/").unwrap().channels(), 1);
        let faults = [
            ("128 X/1", 1, ErrorKind::OutOfRange),
            ("x X/1", 1, ErrorKind::NotANumber),
            ("1", 2, ErrorKind::MissingField),
            ("96 X/0", 6, ErrorKind::OutOfRange),
            ("96 X/4294967296", 6, ErrorKind::OutOfRange),
        ];
        for (text, column, kind) in faults {
            let fault = RtpMap::parse(text).unwrap_err();
            assert_eq!((fault.column, fault.kind), (column, kind), "{text}");
        }
    }

    #[test]
    fn parameters_may_be_missing() {
        assert_eq!(Fmtp::parse("101 0-15").unwrap(), Fmtp { format: "101", parameters: "0-15" });
        assert_eq!(Fmtp::parse("101").unwrap().parameters, "");
        assert_eq!(Fmtp::parse("").unwrap_err().kind, ErrorKind::MissingField);
    }
}
