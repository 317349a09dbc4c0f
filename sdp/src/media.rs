//! One medium of a description: its `m=` line and the lines that follow (RFC 8866 §5.14), with what the session says
//! where the medium says nothing.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::time::Duration;

use crate::address::Connection;
use crate::attribute::format::{Fmtp, RtpMap};
use crate::attribute::{Attribute, AttributeName};
use crate::direction::Direction;
use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, is_token, number};
use crate::profile::{Kind, Profile};
use crate::session::{Attributes, Line, LineIndex, values};
use crate::timing::Bandwidth;

/// A medium.
#[derive(Clone, Copy, Debug)]
pub struct Media<'d> {
    pub(crate) text: &'d str,
    pub(crate) session: &'d [LineIndex],
    pub(crate) lines: &'d [LineIndex],
    pub(crate) header: MediaLine<'d>,
    pub(crate) slot: usize,
}

/// The value of an `m=` line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MediaLine<'d> {
    pub(crate) kind: &'d str,
    pub(crate) port: u16,
    pub(crate) count: u16,
    pub(crate) profile: &'d str,
    pub(crate) formats: &'d str,
}

impl<'d> MediaLine<'d> {
    /// Reads kind, port, profile and formats. Kind and profile have to be tokens: an answer repeats them, and what cannot
    /// stand in a line of ours is not taken from a line of theirs.
    #[inline]
    pub(crate) fn read(mut fields: Fields<'d>) -> Result<Self, ParseError> {
        const KIND: &str = "a kind of media";
        const PORT: &str = "a port, 0 to 65535";
        const PROFILE: &str = "a transport profile";
        let kind = fields.expect(KIND)?;
        let mut ahead = fields;
        let (port, count) = match ahead.number(65_535, PORT) {
            Ok(port) => {
                fields = ahead;
                (port as u16, 1)
            }
            Err(error) => ports(&mut fields).map_err(|other| other.unwrap_or(error))?,
        };
        let profile = fields.expect(PROFILE)?;
        let formats = fields.remainder();
        if !is_token(kind) {
            return Err(fields.error_in(kind, ErrorKind::Unexpected, KIND));
        }
        if !profile.split('/').all(is_token) {
            return Err(fields.error_in(profile, ErrorKind::Unexpected, PROFILE));
        }
        Ok(Self { kind, port, count, profile, formats })
    }
}

/// A port with the number of ports after a slash. `Err(None)` when it is something else.
#[inline(never)]
fn ports(fields: &mut Fields<'_>) -> Result<(u16, u16), Option<ParseError>> {
    let field = fields.next().ok_or(None)?;
    let (port, count) = field.split_once('/').ok_or(None)?;
    let read = |text: &str| number(text, 65_535).map(|number| number as u16);
    let port = read(port).map_err(|_| None)?;
    match read(count) {
        Ok(count @ 1..) => Ok((port, count)),
        result => {
            let kind = result.err().unwrap_or(ErrorKind::OutOfRange);
            Err(Some(fields.error_in(count, kind, "a number of ports, 1 or more")))
        }
    }
}

impl<'d> Media<'d> {
    /// Which medium it is, from 0.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The kind, as written.
    #[must_use]
    pub fn kind_name(&self) -> &'d str {
        self.header.kind
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::parse(self.kind_name())
    }

    /// The port. 0 means that the medium is refused or gone.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.header.port
    }

    /// How many consecutive (pairs of) ports are used; 1 where nothing is said.
    #[must_use]
    pub fn port_count(&self) -> u16 {
        self.header.count
    }

    /// The transport profile, as written.
    #[must_use]
    pub fn profile_name(&self) -> &'d str {
        self.header.profile
    }

    /// The transport profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        Profile::parse(self.profile_name())
    }

    /// The formats, in order of preference.
    pub fn formats(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.header.formats.split_ascii_whitespace()
    }

    /// The formats that are payload types, in order of preference.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + use<'d> {
        self.formats()
            .filter_map(|format| number(format, 127).ok())
            .filter_map(|number| u8::try_from(number).ok())
    }

    /// `mid` (RFC 5888), if it is a token.
    #[must_use]
    pub fn mid(&self) -> Option<&'d str> {
        let mut lines = self.attributes().named(AttributeName::Mid);
        lines.find_map(|line| Some(line.value()?.trim_ascii_end()).filter(|mid| is_token(mid)))
    }

    /// Its lines, the `m=` line first.
    #[must_use]
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'d>> + use<'d> {
        let text = self.text;
        self.lines.iter().map(move |index| Line { text, index })
    }

    /// Its own attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'d> {
        Attributes { text: self.text, lines: self.lines.iter() }
    }

    /// The attributes of the session it belongs to.
    #[must_use]
    pub fn session_attributes(&self) -> Attributes<'d> {
        Attributes { text: self.text, lines: self.session.iter() }
    }

    /// The first attribute of this name: its own, or the session's.
    #[must_use]
    pub fn inherited(&self, name: AttributeName) -> Option<Attribute<'d>> {
        self.attributes().first(name).or_else(|| self.session_attributes().first(name))
    }

    /// Whether it or the session has an attribute of this name.
    #[must_use]
    pub fn inherits(&self, name: AttributeName) -> bool {
        self.attributes().has(name) || self.session_attributes().has(name)
    }

    /// Its own first `c=`, or the session's.
    #[must_use]
    pub fn connection(&self) -> Option<Connection<'d>> {
        values(self.text, self.lines, b'c')
            .chain(values(self.text, self.session, b'c'))
            .find_map(|value| Connection::parse(value).ok())
    }

    /// All of its own `c=` lines: several for layered multicast.
    pub fn connections(&self) -> impl Iterator<Item = Connection<'d>> + use<'d> {
        values(self.text, self.lines, b'c').filter_map(|value| Connection::parse(value).ok())
    }

    /// `i=` of the medium.
    #[must_use]
    pub fn information(&self) -> Option<&'d str> {
        values(self.text, self.lines, b'i').next()
    }

    /// Its own `b=` lines that can be read.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'d>> + use<'d> {
        values(self.text, self.lines, b'b').filter_map(|value| Bandwidth::parse(value).ok())
    }

    /// The direction: its own, the session's, or `sendrecv` (RFC 8866 §6.7).
    #[must_use]
    pub fn direction(&self) -> Direction {
        let of = |attributes: Attributes<'d>| {
            attributes.into_iter().find_map(|line| match line.known() {
                AttributeName::SendRecv => Some(Direction::SendRecv),
                AttributeName::SendOnly => Some(Direction::SendOnly),
                AttributeName::RecvOnly => Some(Direction::RecvOnly),
                AttributeName::Inactive => Some(Direction::Inactive),
                _ => None,
            })
        };
        of(self.attributes()).or_else(|| of(self.session_attributes())).unwrap_or_default()
    }

    /// The `rtpmap` of a payload type.
    #[must_use]
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'d>> {
        self.rtpmaps().find(|map| map.payload_type == payload_type)
    }

    /// Every `rtpmap` that can be read.
    pub fn rtpmaps(&self) -> impl Iterator<Item = RtpMap<'d>> + use<'d> {
        let lines = self.attributes().named(AttributeName::RtpMap);
        lines.filter_map(|line| RtpMap::parse(line.value()?).ok())
    }

    /// Every `fmtp` that can be read.
    pub fn fmtps(&self) -> impl Iterator<Item = Fmtp<'d>> + use<'d> {
        let lines = self.attributes().named(AttributeName::Fmtp);
        lines.filter_map(|line| Fmtp::parse(line.value()?).ok())
    }

    /// The `fmtp` parameters of a payload type; several lines are joined by semicolons.
    #[must_use]
    pub fn fmtp(&self, payload_type: u8) -> Option<String> {
        let own = self.fmtps().filter(|fmtp| fmtp.payload_type() == Some(payload_type));
        let parameters: Vec<&str> = own.map(|fmtp| fmtp.parameters).collect();
        if parameters.is_empty() { None } else { Some(parameters.join(";")) }
    }

    /// `ptime`: its own, or the session's.
    #[must_use]
    pub fn packet_time(&self) -> Option<Duration> {
        match self.inherited(AttributeName::Ptime)? {
            Attribute::PacketTime(time) => Some(time),
            _ => None,
        }
    }

    /// `maxptime`: its own, or the session's.
    #[must_use]
    pub fn max_packet_time(&self) -> Option<Duration> {
        match self.inherited(AttributeName::MaxPtime)? {
            Attribute::MaxPacketTime(time) => Some(time),
            _ => None,
        }
    }
}
