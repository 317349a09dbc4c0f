//! Attributes about RTCP: where it goes (RFC 3605) and the feedback it carries (RFC 4585 §4.2).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use crate::address::Connection;
use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number};

/// `a=rtcp`: where RTCP goes when that is not the next port.
#[derive(Clone, Copy, Debug)]
pub struct Rtcp<'a> {
    /// The port.
    pub port: u16,
    /// The address, when it is not that of RTP, as a `c=` line writes it; empty for none.
    address: &'a str,
}

impl<'a> Rtcp<'a> {
    /// Reads the value of `a=rtcp`.
    ///
    /// # Errors
    /// The port is out of range, or an address is begun and not finished.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let port = fields.number(65_535, "a port, 0 to 65535")? as u16;
        let address = fields.remainder();
        if !address.is_empty() {
            Connection::parse(address).map_err(|error| error.on_line(0, fields.offset_of(address)))?;
        }
        Ok(Self { port, address })
    }

    /// The address, when it is not that of RTP.
    #[must_use]
    pub fn connection(&self) -> Option<Connection<'a>> {
        Connection::parse(self.address).ok()
    }
}

impl PartialEq for Rtcp<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && self.connection() == other.connection()
    }
}

impl Eq for Rtcp<'_> {}

impl fmt::Display for Rtcp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        match self.connection() {
            Some(connection) => write!(f, " {connection}"),
            None => Ok(()),
        }
    }
}

/// `a=rtcp-fb`: feedback that may be sent for a payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpFeedback<'a> {
    /// The payload type; `None` is `*`, all of them.
    pub payload_type: Option<u8>,
    /// `ack`, `nack`, `ccm`, `trr-int`, `transport-cc`, …
    pub kind: &'a str,
    /// What follows: `pli`, `fir`, a number, …
    pub parameter: &'a str,
}

impl<'a> RtcpFeedback<'a> {
    /// Reads the value of `a=rtcp-fb`.
    ///
    /// # Errors
    /// The payload type is neither `*` nor 0–127, or the kind is missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        const EXPECTED: &str = "a payload type or *";
        let mut peek = fields;
        let payload_type = match peek.next() {
            Some("*") => {
                fields = peek;
                None
            }
            _ => Some(fields.number(127, EXPECTED)? as u8),
        };
        let kind = fields.expect("a kind of feedback")?;
        Ok(Self { payload_type, kind, parameter: fields.remainder() })
    }
}

impl fmt::Display for RtcpFeedback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(payload_type) => write!(f, "{payload_type} {}", self.kind)?,
            None => write!(f, "* {}", self.kind)?,
        }
        if self.parameter.is_empty() { Ok(()) } else { write!(f, " {}", self.parameter) }
    }
}

/// `a=extmap`: the meaning of an RTP header extension (RFC 8285 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionMap<'a> {
    /// The id in the packets, 1–14 or 1–255; from 4096 on a number to be replaced by the answerer.
    pub id: u16,
    /// Which way it is used, when that is not as the medium itself.
    pub direction: Option<crate::Direction>,
    /// What it means.
    pub uri: &'a str,
    /// What follows.
    pub parameters: &'a str,
}

impl<'a> ExtensionMap<'a> {
    /// Reads the value of `a=extmap`.
    ///
    /// # Errors
    /// The id is out of range, the direction is none, or the URI is missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        const EXPECTED: &str = "an id, 1 to 4351, and perhaps a direction";
        let mut peek = fields;
        let first = peek.expect(EXPECTED)?;
        let (id, direction) = match first.split_once('/') {
            None => (fields.number(4_351, EXPECTED)?, None),
            Some((id, direction)) => {
                fields = peek;
                let id = number(id, 4_351).map_err(|kind| fields.error_in(id, kind, EXPECTED))?;
                match crate::Direction::parse(direction) {
                    Some(direction) => (id, Some(direction)),
                    None => return Err(fields.error_in(direction, ErrorKind::Unexpected, "a direction")),
                }
            }
        };
        if id == 0 {
            return Err(fields.error_in(first, ErrorKind::OutOfRange, EXPECTED));
        }
        let uri = fields.expect("the URI of the extension")?;
        Ok(Self { id: id as u16, direction, uri, parameters: fields.remainder() })
    }
}

impl fmt::Display for ExtensionMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if let Some(direction) = self.direction {
            write!(f, "/{direction}")?;
        }
        write!(f, " {}", self.uri)?;
        if self.parameters.is_empty() { Ok(()) } else { write!(f, " {}", self.parameters) }
    }
}

/// `a=ssrc`: an attribute of one RTP source (RFC 5576 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The source.
    pub ssrc: u32,
    /// The attribute's name: `cname`, `msid`, …
    pub attribute: &'a str,
    /// Its value.
    pub value: Option<&'a str>,
}

impl<'a> Source<'a> {
    /// Reads the value of `a=ssrc`.
    ///
    /// # Errors
    /// The source is not a 32-bit number, or the attribute is missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let ssrc = fields.number(u32::MAX, "a source, 0 to 4294967295")?;
        let Some(attribute) = fields.until(b':') else {
            return Err(ParseError::at(
                fields.offset(),
                ErrorKind::MissingField,
                "an attribute of the source",
            ));
        };
        // The colon was eaten, if there was one.
        let value = fields.has_eaten(b':').then(|| fields.left());
        let attribute = if value.is_none() { attribute.trim_ascii_end() } else { attribute };
        Ok(Self { ssrc, attribute, value })
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ssrc, self.attribute)?;
        match self.value {
            Some(value) => write!(f, ":{value}"),
            None => Ok(()),
        }
    }
}

/// `a=ssrc-group`: sources that belong together (RFC 5576 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceGroup<'a> {
    /// How: `FID`, `FEC`, `SIM`, …
    pub semantics: &'a str,
    /// The sources, as text.
    list: &'a str,
}

impl<'a> SourceGroup<'a> {
    /// Reads the value of `a=ssrc-group`.
    ///
    /// # Errors
    /// The semantics are missing, or a source is not a 32-bit number.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let semantics = fields.expect("the semantics of the group")?;
        let list = fields.rest();
        while let Some(field) = fields.next() {
            number(field, u32::MAX).map_err(|kind| fields.error_in(field, kind, "a source"))?;
        }
        Ok(Self { semantics, list })
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = u32> {
        self.list.split_ascii_whitespace().filter_map(|field| field.parse().ok())
    }
}

impl fmt::Display for SourceGroup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.semantics, self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_back() {
        for text in ["53020", "53020 IN IP4 192.0.2.1", "9 IN IP6 2001:db8::1"] {
            assert_eq!(Rtcp::parse(text).unwrap().to_string(), text);
        }
        for text in ["* nack", "96 ccm fir", "100 trr-int 100"] {
            assert_eq!(RtcpFeedback::parse(text).unwrap().to_string(), text);
        }
        for text in ["1 urn:x", "2/sendonly URI-A a b", "4096 urn:y"] {
            assert_eq!(ExtensionMap::parse(text).unwrap().to_string(), text);
        }
        for text in ["1 cname:a@b", "4294967295 cname:a b:c", "7 x"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        let group = SourceGroup::parse("FID 1 2").unwrap();
        assert_eq!((group.to_string().as_str(), group.sources().count()), ("FID 1 2", 2));
    }

    #[test]
    fn faults_have_columns() {
        assert_eq!(Rtcp::parse("65536").unwrap_err().kind, ErrorKind::OutOfRange);
        let fault = Rtcp::parse("5 IN IP4").unwrap_err();
        assert_eq!((fault.column, fault.kind), (9, ErrorKind::MissingField));
        assert_eq!(RtcpFeedback::parse("128 nack").unwrap_err().column, 1);
        assert_eq!(ExtensionMap::parse("0 urn:x").unwrap_err().kind, ErrorKind::OutOfRange);
        assert_eq!(ExtensionMap::parse("1/up urn:x").unwrap_err().column, 3);
        assert_eq!(Source::parse("4294967296 cname:x").unwrap_err().kind, ErrorKind::OutOfRange);
        assert_eq!(SourceGroup::parse("FID 1 x").unwrap_err().column, 7);
    }
}
