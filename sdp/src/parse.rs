//! Bytes to an index of lines (RFC 8866 §9). The only place where a body is scanned.
//!
//! One pass finds the lines, checks what every reader needs (`v=`, `o=`, `c=`, `t=`, `b=`, `m=`) and remembers where
//! each attribute's name ends. Attribute values are read when somebody asks, unless the reader is strict.
//! `r=`, `z=`, `k=`, `i=`, `u=`, `e=` and `p=` are kept and not judged.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::address::Connection;
use crate::attribute::{Attribute, AttributeName};
use crate::error::{ErrorKind, Leniency, LeniencyKind, ParseError};
use crate::fields::{Fields, is_token, number};
use crate::limits::Limits;
use crate::origin::{self, Origin};
use crate::session::{Description, LineIndex, MediaIndex};
use crate::timing::{Bandwidth, Timing};

/// How a body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Refuse what RFC 8866 forbids, and every known attribute that cannot be read, instead of noting it.
    pub strict: bool,
    /// The body is a piece of a description, such as `application/trickle-ice-sdpfrag` (RFC 8840 §9): no line has to
    /// be there.
    pub fragment: bool,
    /// How much is read.
    pub limits: Limits,
}

pub(crate) fn parse<'a>(bytes: &'a [u8], options: &ParseOptions) -> Result<Description<'a>, ParseError> {
    if bytes.len() > options.limits.bytes {
        return Err(ParseError::of_line(0, ErrorKind::TooManyBytes, "a shorter body"));
    }
    if bytes.is_empty() {
        return Err(ParseError::of_line(0, ErrorKind::Empty, "a session description"));
    }
    let (text, latin1) = match core::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect::<String>()), true),
    };
    let census = Census::take(bytes);
    if census.line_feeds >= options.limits.lines {
        let line = u32::try_from(options.limits.lines).unwrap_or(u32::MAX);
        return Err(ParseError::of_line(line, ErrorKind::TooManyLines, "fewer lines"));
    }
    let mut scanner = Scanner::new(&text, options, census.line_feeds);
    if latin1 {
        scanner.note(0, LeniencyKind::NotUtf8)?;
    }
    scanner.run(&census)?;
    let Scanner { lines, media, leniencies, .. } = scanner;
    Ok(Description { text, latin1, lines, media, leniencies })
}

/// How many of the bytes that end or break lines there are.
struct Census {
    line_feeds: usize,
    carriage_returns: usize,
    nuls: usize,
}

impl Census {
    fn take(bytes: &[u8]) -> Self {
        let mut census = Self { line_feeds: 0, carriage_returns: 0, nuls: 0 };
        // Counters of one byte, so that the compiler counts sixteen bytes at a time.
        for chunk in bytes.chunks(255) {
            let (mut feeds, mut returns, mut nuls) = (0_u8, 0_u8, 0_u8);
            for byte in chunk {
                feeds = feeds.wrapping_add(u8::from(*byte == b'\n'));
                returns = returns.wrapping_add(u8::from(*byte == b'\r'));
                nuls = nuls.wrapping_add(u8::from(*byte == 0));
            }
            census.line_feeds = census.line_feeds.wrapping_add(usize::from(feeds));
            census.carriage_returns = census.carriage_returns.wrapping_add(usize::from(returns));
            census.nuls = census.nuls.wrapping_add(usize::from(nuls));
        }
        census
    }
}

struct Scanner<'t> {
    text: &'t str,
    options: ParseOptions,
    lines: Vec<LineIndex>,
    media: Vec<MediaIndex>,
    leniencies: Vec<Leniency>,
    /// The letters seen at this level, a bit each from `a`.
    seen: u32,
    /// The letters seen before the first medium.
    seen_in_session: u32,
    /// How far the order of lines has come at this level.
    rank: u8,
    /// Attributes at this level.
    attributes: usize,
    /// Whether the medium that is being read has an address of its own.
    addressed: bool,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str, options: &ParseOptions, line_feeds: usize) -> Self {
        Self {
            text,
            options: *options,
            lines: Vec::with_capacity(line_feeds.saturating_add(1)),
            media: Vec::new(),
            leniencies: Vec::new(),
            seen: 0,
            seen_in_session: 0,
            rank: 0,
            attributes: 0,
            addressed: false,
        }
    }

    fn run(&mut self, census: &Census) -> Result<(), ParseError> {
        if census.nuls > 0 {
            return Err(self.find_fault(|bytes| memchr::memchr(0, bytes), ErrorKind::Nul, "text"));
        }
        let bytes = self.text.as_bytes();
        let mut start = 0_usize;
        let mut proper_ends = 0_usize;
        for feed in memchr::memchr_iter(b'\n', bytes) {
            let mut end = feed;
            if feed > start && bytes.get(feed.wrapping_sub(1)) == Some(&b'\r') {
                end = feed.wrapping_sub(1);
                proper_ends = proper_ends.wrapping_add(1);
            }
            self.line(start, end)?;
            start = feed.wrapping_add(1);
        }
        if proper_ends != census.carriage_returns {
            let lone = |bytes: &[u8]| {
                memchr::memchr_iter(b'\r', bytes).find(|at| bytes.get(at.wrapping_add(1)) != Some(&b'\n'))
            };
            return Err(self.find_fault(lone, ErrorKind::LoneCarriageReturn, "a line feed"));
        }
        if start < bytes.len() {
            self.note(start, LeniencyKind::NoFinalLineEnd)?;
            self.line(start, bytes.len())?;
        }
        if proper_ends != census.line_feeds {
            let bare = |bytes: &[u8]| {
                memchr::memchr_iter(b'\n', bytes)
                    .find(|at| at.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\r'))
            };
            self.note(bare(bytes).unwrap_or(0), LeniencyKind::BareLineFeed)?;
        }
        self.finish()
    }

    /// One line, its end excluded.
    #[inline]
    fn line(&mut self, start: usize, end: usize) -> Result<(), ParseError> {
        let text = self.text;
        let line = text.get(start..end).unwrap_or("");
        let bytes = line.as_bytes();
        let (letter, value_at) = match bytes {
            [letter, b'=', ..] => (*letter, start.wrapping_add(2)),
            _ => match self.odd_line(line, start)? {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        let value = text.get(value_at..end).unwrap_or("");
        if letter == b'a' {
            return self.attribute(value_at, end, value);
        }
        self.lines.push(LineIndex::new(start, value_at, end, end, letter, AttributeName::Other));
        if letter == b'm' {
            return self.medium(start, value_at, value);
        }
        self.check_order(letter, start)?;
        self.check_value(letter, start, value_at, value)
    }

    #[inline]
    fn attribute(&mut self, value_at: usize, end: usize, value: &'t str) -> Result<(), ParseError> {
        // The ranks of `a=` are the last of each level: only a line after it can be out of order.
        self.rank = u8::MAX;
        self.attributes = self.attributes.wrapping_add(1);
        if self.attributes > self.options.limits.attributes {
            return Err(self.fault(value_at, ErrorKind::TooManyAttributes, "fewer attributes"));
        }
        let colon = value.bytes().position(|byte| byte == b':');
        let name_text = colon.and_then(|colon| value.get(..colon)).unwrap_or(value);
        let name_text = if colon.is_none() { name_text.trim_ascii_end() } else { name_text };
        let name = AttributeName::parse(name_text);
        let colon_at = colon.map_or(end, |colon| value_at.wrapping_add(colon));
        let start = value_at.saturating_sub(2);
        self.lines.push(LineIndex::new(start, value_at, end, colon_at, b'a', name));
        if name == AttributeName::Mid {
            self.identify(colon_at.saturating_add(1).min(end), end)?;
        }
        if self.options.strict {
            if !is_token(name_text) {
                return Err(self.fault(value_at, ErrorKind::Unexpected, "the name of an attribute"));
            }
            let argument = colon.and_then(|colon| value.get(colon.wrapping_add(1)..));
            if let Err(error) = Attribute::from_parts(name, name_text, argument) {
                let before = colon_at.saturating_add(1).saturating_sub(start);
                return Err(error.on_line(self.line_number(start), before));
            }
        }
        Ok(())
    }

    /// A `mid`: it may stand once in the whole description (RFC 5888 §4).
    fn identify(&mut self, from: usize, to: usize) -> Result<(), ParseError> {
        let name = |index: &MediaIndex| self.text.get(index.mid.0 as usize..index.mid.1 as usize);
        let mid = self.text.get(from..to).map(str::trim_ascii_end).unwrap_or("");
        if !is_token(mid) {
            // It names nothing; a strict reader refuses it with the other attributes.
            return Ok(());
        }
        if self.media.iter().any(|medium| medium.has_mid() && name(medium) == Some(mid)) {
            return Err(self.fault(from, ErrorKind::Duplicate, "an identification tag no other medium has"));
        }
        let span = (offset(from), offset(from.saturating_add(mid.len())));
        match self.media.last_mut() {
            Some(medium) if medium.has_mid() => {
                Err(self.fault(from, ErrorKind::Duplicate, "one identification tag a medium"))
            }
            Some(medium) => {
                medium.mid = span;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn medium(&mut self, start: usize, value_at: usize, value: &'t str) -> Result<(), ParseError> {
        self.close_medium()?;
        if self.media.is_empty() {
            self.seen_in_session = self.seen;
        }
        if self.media.len() >= self.options.limits.media {
            return Err(self.fault(start, ErrorKind::TooManyMedia, "fewer media"));
        }
        (self.seen, self.rank, self.attributes, self.addressed) = (0, 0, 0, false);
        let mut fields = Fields::new(value);
        let mut index = read_medium(&mut fields, value_at, &self.options.limits)
            .map_err(|error| error.on_line(self.line_number(start), value_at.saturating_sub(start)))?;
        index.first = offset(self.lines.len().saturating_sub(1));
        let no_format = index.formats.0 == index.formats.1;
        self.media.push(index);
        if no_format {
            self.note(start, LeniencyKind::NoFormat)?;
        }
        if self.options.strict {
            if has_stray_space(value) {
                self.note(start, LeniencyKind::StraySpace)?;
            }
            if let Some(format) = fields.rest().split_ascii_whitespace().find(|format| !is_token(format)) {
                let at = value_at.saturating_add(fields.offset_of(format));
                return Err(self.fault(at, ErrorKind::Unexpected, "a format"));
            }
        }
        Ok(())
    }

    /// The medium that was being read, if any, is complete.
    fn close_medium(&mut self) -> Result<(), ParseError> {
        let end = offset(self.lines.len());
        let session_address = self.seen_in_session & bit(b'c') != 0;
        let addressed = self.addressed;
        let Some(medium) = self.media.last_mut() else { return Ok(()) };
        // When another `m=` follows, its line is in the index already.
        let last_is_medium = self.lines.last().is_some_and(|line| line.letter == b'm');
        let own = end == medium.first.wrapping_add(1);
        medium.end = if last_is_medium && !own { end.wrapping_sub(1) } else { end };
        if medium.port != 0 && !addressed && !session_address {
            let line = self.lines.get(medium.first as usize).map_or(0, |line| line.start as usize);
            self.note(line, LeniencyKind::MissingConnection)?;
        }
        Ok(())
    }

    /// Whether the line stands where RFC 8866 §5 wants it, and not twice.
    fn check_order(&mut self, letter: u8, start: usize) -> Result<(), ParseError> {
        let in_medium = !self.media.is_empty();
        let (rank, repeats) = if in_medium { media_rank(letter) } else { session_rank(letter) };
        match rank {
            0 => self.note(
                start,
                if session_rank(letter).0 == 0 {
                    LeniencyKind::UnknownType
                } else {
                    LeniencyKind::OutOfOrder
                },
            )?,
            rank if rank < self.rank => self.note(start, LeniencyKind::OutOfOrder)?,
            rank => self.rank = rank,
        }
        if !repeats && self.seen & bit(letter) != 0 {
            self.note(start, LeniencyKind::RepeatedLine)?;
        }
        self.seen |= bit(letter);
        Ok(())
    }

    fn check_value(
        &mut self,
        letter: u8,
        start: usize,
        value_at: usize,
        value: &'t str,
    ) -> Result<(), ParseError> {
        let strict = self.options.strict;
        if strict && matches!(letter, b'v' | b'o' | b'c' | b't' | b'b') && has_stray_space(value) {
            self.note(start, LeniencyKind::StraySpace)?;
        }
        let verdict = match letter {
            b'v' if value == "0" => return Ok(()),
            b'v' => match number(value.trim(), u32::MAX) {
                Ok(0) => return Ok(()),
                Ok(_) => return self.note(start, LeniencyKind::OtherVersion),
                Err(kind) => Err(ParseError::at(0, kind, "the version, 0")),
            },
            b'o' => match Origin::parse(value) {
                Ok(origin) => {
                    if origin.username.contains(' ') {
                        self.note(start, LeniencyKind::SpaceInUsername)?;
                    }
                    if origin::check(&origin).is_err() {
                        self.note(start, LeniencyKind::OriginNotNumeric)?;
                    }
                    return Ok(());
                }
                // Who made the session matters to nobody who can hear him.
                Err(_) if !strict => return self.note(start, LeniencyKind::Unreadable),
                Err(error) => Err(error),
            },
            b's' if value.trim().is_empty() && value != " " => {
                return self.note(start, LeniencyKind::EmptySessionName);
            }
            b'c' => {
                self.addressed = true;
                match Connection::parse(value) {
                    Ok(connection) => return self.check_time_to_live(&connection, start),
                    Err(error) => Err(error),
                }
            }
            b't' => match Timing::parse(value) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind == ErrorKind::MissingField && !value.trim().is_empty() => {
                    return self.note(start, LeniencyKind::MissingStopTime);
                }
                Err(_) if !strict => return self.note(start, LeniencyKind::Unreadable),
                Err(error) => Err(error),
            },
            b'b' => match Bandwidth::parse(value) {
                Ok(_) => return Ok(()),
                Err(_) if !strict => return self.note(start, LeniencyKind::Unreadable),
                Err(error) => Err(error),
            },
            _ => return Ok(()),
        };
        verdict.map_err(|error: ParseError| {
            error.on_line(self.line_number(start), value_at.saturating_sub(start))
        })
    }

    fn check_time_to_live(&mut self, connection: &Connection<'_>, start: usize) -> Result<(), ParseError> {
        let wanted = connection.is_multicast() && connection.host.ip().is_some_and(|ip| ip.is_ipv4());
        let named = connection.host.ip().is_none();
        if named || wanted == connection.time_to_live.is_some() {
            return Ok(());
        }
        self.note(start, LeniencyKind::TimeToLive)
    }

    /// A line that does not begin with a letter and `=`.
    #[cold]
    fn odd_line(&mut self, line: &str, start: usize) -> Result<Option<(u8, usize)>, ParseError> {
        if line.trim().is_empty() {
            self.note(start, LeniencyKind::BlankLine)?;
            return Ok(None);
        }
        let mut fields = Fields::new(line);
        let letter = fields.next_until(|byte| byte == b'=').map(str::trim_ascii_end);
        if let Some(&[letter]) = letter.map(str::as_bytes)
            && letter.is_ascii_lowercase()
            && line.contains('=')
        {
            self.note(start, LeniencyKind::StraySpace)?;
            return Ok(Some((letter, start.saturating_add(fields.offset()))));
        }
        Err(self.fault(start, ErrorKind::NotALine, "a letter, = and a value"))
    }

    fn finish(&mut self) -> Result<(), ParseError> {
        if self.media.is_empty() {
            self.seen_in_session = self.seen;
        }
        self.close_medium()?;
        if self.options.fragment {
            return Ok(());
        }
        let missing = |letter| self.seen_in_session & bit(letter) == 0;
        if missing(b'v') {
            return Err(ParseError::of_line(1, ErrorKind::MissingLine, "v=0 before anything else"));
        }
        let absent = [
            (b'o', LeniencyKind::MissingOrigin),
            (b's', LeniencyKind::MissingSessionName),
            (b't', LeniencyKind::MissingTiming),
        ];
        for (letter, kind) in absent {
            if self.seen_in_session & bit(letter) == 0 {
                let before = self.media.first().and_then(|medium| self.lines.get(medium.first as usize));
                self.note(before.map_or(self.text.len(), |line| line.start as usize), kind)?;
            }
        }
        Ok(())
    }

    /// Notes a leniency at byte `at`, or refuses it when the reader is strict.
    #[cold]
    fn note(&mut self, at: usize, kind: LeniencyKind) -> Result<(), ParseError> {
        let line = self.line_number(at);
        if self.options.strict {
            return Err(ParseError::of_line(line, ErrorKind::Strict(kind), "what RFC 8866 allows"));
        }
        self.leniencies.push(Leniency { line, kind });
        Ok(())
    }

    #[cold]
    fn fault(&self, at: usize, kind: ErrorKind, expected: &'static str) -> ParseError {
        let before = self.text.get(..at).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |feed| feed.saturating_add(1));
        ParseError::at(at.saturating_sub(line_start), kind, expected).on_line(self.line_number(at), 0)
    }

    #[cold]
    fn find_fault(
        &self,
        find: impl Fn(&[u8]) -> Option<usize>,
        kind: ErrorKind,
        expected: &'static str,
    ) -> ParseError {
        self.fault(find(self.text.as_bytes()).unwrap_or(0), kind, expected)
    }

    fn line_number(&self, at: usize) -> u32 {
        line_number(self.text, at)
    }
}

/// The line that byte `at` is in, from 1.
pub(crate) fn line_number(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    u32::try_from(memchr::memchr_iter(b'\n', before).count()).unwrap_or(u32::MAX).saturating_add(1)
}

fn read_medium(fields: &mut Fields<'_>, value_at: usize, limits: &Limits) -> Result<MediaIndex, ParseError> {
    const PORT: &str = "a port, 0 to 65535";
    let span = |fields: &Fields<'_>, field: &str| {
        let from = value_at.saturating_add(fields.offset_of(field));
        (offset(from), offset(from.saturating_add(field.len())))
    };
    // An answer repeats kind and profile: what cannot stand in a line of ours is not taken from a line of theirs.
    let token = |fields: &Fields<'_>, field: &str, separator: char, expected: &'static str| {
        let all = field.split(separator).all(is_token);
        if all {
            Ok(span(fields, field))
        } else {
            Err(fields.error_in(field, ErrorKind::Unexpected, expected))
        }
    };
    const KIND: &str = "a kind of media";
    let kind = fields.expect(KIND)?;
    let kind = token(fields, kind, '\n', KIND)?;
    let port_field = fields.expect(PORT)?;
    let (port, count) = match port_field.split_once('/') {
        None => (port_field, None),
        Some((port, count)) => (port, Some(count)),
    };
    let port = number(port, 65_535).map_err(|kind| fields.error_in(port_field, kind, PORT))?;
    let count = match count.map(|count| (count, number(count, 65_535))) {
        None => 1,
        Some((_, Ok(count @ 1..))) => count,
        Some((field, result)) => {
            let kind = result.err().unwrap_or(ErrorKind::OutOfRange);
            return Err(fields.error_in(field, kind, "a number of ports, 1 or more"));
        }
    };
    const PROFILE: &str = "a transport profile";
    let profile = fields.expect(PROFILE)?;
    let profile = token(fields, profile, '/', PROFILE)?;
    let formats = fields.rest().trim_ascii_end();
    if formats.split_ascii_whitespace().count() > limits.formats {
        return Err(fields.error_in(formats, ErrorKind::TooManyFormats, "fewer formats"));
    }
    Ok(MediaIndex {
        first: 0,
        end: 0,
        port: u16::try_from(port).unwrap_or(0),
        count,
        kind,
        profile,
        formats: span(fields, formats),
        mid: (0, 0),
    })
}

fn has_stray_space(value: &str) -> bool {
    value.starts_with(' ') || value.ends_with(' ') || value.contains("  ") || value.contains('\t')
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn bit(letter: u8) -> u32 {
    1_u32.checked_shl(u32::from(letter.wrapping_sub(b'a'))).unwrap_or(0)
}

/// Where a line belongs before the first medium (0: nowhere), and whether it may stand again.
fn session_rank(letter: u8) -> (u8, bool) {
    match letter {
        b'v' => (1, false),
        b'o' => (2, false),
        b's' => (3, false),
        b'i' => (4, false),
        b'u' => (5, false),
        b'e' => (6, true),
        b'p' => (7, true),
        b'c' => (8, false),
        b'b' => (9, true),
        b't' | b'r' | b'z' => (10, true),
        b'k' => (11, false),
        _ => (0, true),
    }
}

/// Where a line belongs in a medium (0: nowhere), and whether it may stand again.
fn media_rank(letter: u8) -> (u8, bool) {
    match letter {
        b'i' => (1, false),
        b'c' => (2, true),
        b'b' => (3, true),
        b'k' => (4, false),
        _ => (0, true),
    }
}
