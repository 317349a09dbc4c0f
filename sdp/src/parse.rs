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
use crate::media::MediaLine;
use crate::origin::{self, Origin};
use crate::scan;
use crate::session::{Description, LineIndex};
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
    // Places in the text are kept in 32 bits.
    if bytes.len() > options.limits.bytes || u32::try_from(bytes.len()).is_err() {
        return Err(ParseError::of_line(0, ErrorKind::TooManyBytes, "a shorter body"));
    }
    if bytes.is_empty() {
        return Err(ParseError::of_line(0, ErrorKind::Empty, "a session description"));
    }
    let (text, latin1) = match core::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect::<String>()), true),
    };
    let mut scanner = Scanner::new(&text, options);
    if latin1 {
        scanner.note(0, LeniencyKind::NotUtf8)?;
    }
    scanner.run()?;
    let Scanner { lines, session_end, leniencies, .. } = scanner;
    let session_end = session_end.unwrap_or(lines.len());
    Ok(Description { text, latin1, lines, session_end, leniencies })
}

struct Scanner<'t, 'o> {
    text: &'t str,
    options: &'o ParseOptions,
    lines: Vec<LineIndex>,
    /// How many lines with nothing in them there were: they are not in `lines`.
    blank_lines: usize,
    /// How many lines stand before the first medium; `None` before there is one.
    session_end: Option<usize>,
    leniencies: Vec<Leniency>,
    /// The letters seen at this level, a bit each from `a`.
    seen: u32,
    /// The letters seen before the first medium.
    seen_in_session: u32,
    /// How far the order of lines has come at this level.
    rank: u8,
    /// Attributes at this level.
    attributes: usize,
    /// How many media there are.
    media: usize,
    /// Where the medium that is being read begins, and its port.
    medium: (usize, u16),
    /// Whether it has an address of its own.
    addressed: bool,
    /// Whether it has a `mid`.
    identified: bool,
}

impl<'t, 'o> Scanner<'t, 'o> {
    fn new(text: &'t str, options: &'o ParseOptions) -> Self {
        Self {
            text,
            options,
            // Most lines are longer than sixteen bytes: mostly there is one allocation, and no more.
            lines: Vec::with_capacity(text.len().wrapping_shr(4).saturating_add(4)),
            blank_lines: 0,
            session_end: None,
            leniencies: Vec::new(),
            seen: 0,
            seen_in_session: 0,
            rank: 0,
            attributes: 0,
            media: 0,
            medium: (0, 0),
            addressed: false,
            identified: false,
        }
    }

    fn run(&mut self) -> Result<(), ParseError> {
        self.all_lines().map_err(|error| match self.first_break() {
            // What breaks a line explains what is wrong in it.
            Some(fault) if fault.line <= error.line => fault,
            _ => error,
        })
    }

    fn all_lines(&mut self) -> Result<(), ParseError> {
        let bytes = self.text.as_bytes();
        let returns = memchr::memchr_iter(b'\r', bytes).count();
        let (mut start, mut paired, mut bare) = (0_usize, 0_usize, None);
        for feed in memchr::memchr_iter(b'\n', bytes) {
            let before = feed.wrapping_sub(1);
            let mut end = feed;
            if feed > start && bytes.get(before) == Some(&b'\r') {
                end = before;
                paired = paired.wrapping_add(1);
            } else if bare.is_none() {
                bare = Some(feed);
            }
            self.line(start, end)?;
            start = feed.wrapping_add(1);
        }
        if (paired != returns || memchr::memchr(0, bytes).is_some())
            && let Some(fault) = self.first_break()
        {
            return Err(fault);
        }
        if start < bytes.len() {
            self.note(start, LeniencyKind::NoFinalLineEnd)?;
            self.line(start, bytes.len())?;
        }
        if let Some(at) = bare {
            self.note(at, LeniencyKind::BareLineFeed)?;
        }
        self.finish()
    }

    /// The first byte that may not stand where it does.
    #[cold]
    fn first_break(&self) -> Option<ParseError> {
        let bytes = self.text.as_bytes();
        let lone = |at: usize| bytes.get(at.saturating_add(1)) != Some(&b'\n');
        let at = memchr::memchr2_iter(b'\r', 0, bytes).find(|at| bytes.get(*at) == Some(&0) || lone(*at))?;
        Some(if bytes.get(at) == Some(&0) {
            self.fault(at, ErrorKind::Nul, "text")
        } else {
            self.fault(at, ErrorKind::LoneCarriageReturn, "a line feed")
        })
    }

    /// One line, its end excluded.
    #[inline]
    fn line(&mut self, start: usize, end: usize) -> Result<(), ParseError> {
        if self.lines.len().wrapping_add(self.blank_lines) >= self.options.limits.lines {
            return Err(self.fault(start, ErrorKind::TooManyLines, "fewer lines"));
        }
        let bytes = self.text.as_bytes();
        if bytes.get(start..end).is_some_and(|line| line.starts_with(b"a=")) {
            return self.attribute(start, start.wrapping_add(2), end);
        }
        self.other_line(start, end)
    }

    #[inline(never)]
    fn other_line(&mut self, start: usize, end: usize) -> Result<(), ParseError> {
        let text = self.text;
        let line = text.get(start..end).unwrap_or("");
        let (letter, value_at) = match line.as_bytes() {
            [letter, b'=', ..] => (*letter, start.wrapping_add(2)),
            _ => match self.odd_line(line, start)? {
                Some((b'a', value_at)) => return self.attribute(start, value_at, end),
                Some(found) => found,
                None => return Ok(()),
            },
        };
        self.lines.push(LineIndex::new(start, value_at, end, end, letter, AttributeName::Other));
        if letter == b'm' {
            return self.medium(start, value_at, end);
        }
        self.check_order(letter, start)?;
        self.check_value(letter, start, value_at, text.get(value_at..end).unwrap_or(""))
    }

    #[inline]
    fn attribute(&mut self, start: usize, value_at: usize, end: usize) -> Result<(), ParseError> {
        // The ranks of `a=` are the last of each level: only a line after it can be out of order.
        self.rank = u8::MAX;
        self.attributes = self.attributes.wrapping_add(1);
        if self.attributes > self.options.limits.attributes {
            return Err(self.fault(start, ErrorKind::TooManyAttributes, "fewer attributes"));
        }
        let bytes = self.text.as_bytes();
        let (first, second) = (scan::load(bytes, value_at), scan::load(bytes, value_at.wrapping_add(8)));
        let colons = (scan::equal(first, b':'), scan::equal(second, b':'));
        let length =
            if colons.0 != 0 { scan::first(colons.0) } else { scan::first(colons.1).wrapping_add(8) };
        let length = length.min(end.saturating_sub(value_at));
        let mut colon = value_at.wrapping_add(length);
        let name = match AttributeName::of_words(first, second, length) {
            // Sixteen bytes without a colon may be a name, or the beginning of one.
            Some(name) if length < 16 => name,
            _ => {
                colon = scan::find(bytes, value_at, end, b':');
                AttributeName::parse(self.text.get(value_at..colon).unwrap_or(""))
            }
        };
        self.lines.push(LineIndex::new(start, value_at, end, colon, b'a', name));
        if name == AttributeName::Mid {
            self.identify(colon.saturating_add(1).min(end), end)?;
        }
        if self.options.strict { self.check_attribute(start, value_at, colon, end, name) } else { Ok(()) }
    }

    #[inline(never)]
    fn check_attribute(
        &self,
        start: usize,
        value_at: usize,
        colon: usize,
        end: usize,
        name: AttributeName,
    ) -> Result<(), ParseError> {
        let name_text = self.text.get(value_at..colon).unwrap_or("");
        if !is_token(name_text) {
            return Err(self.fault(value_at, ErrorKind::Unexpected, "the name of an attribute"));
        }
        let has_value = colon < end;
        let from = colon.wrapping_add(usize::from(has_value));
        let fields = Fields::within(self.text, from, end);
        match Attribute::read(name, name_text, has_value, fields) {
            Ok(_) => Ok(()),
            Err(error) => {
                let before = colon.saturating_add(1).saturating_sub(start);
                Err(error.on_line(self.line_number(start), before))
            }
        }
    }

    /// A `mid`: it may stand once in the whole description (RFC 5888 §4).
    #[inline(never)]
    fn identify(&mut self, from: usize, to: usize) -> Result<(), ParseError> {
        let mid = self.text.get(from..to).map(str::trim_ascii_end).unwrap_or("");
        let Some(session_end) = self.session_end else { return Ok(()) };
        if !is_token(mid) {
            // It names nothing; a strict reader refuses it with the other attributes.
            return Ok(());
        }
        if self.identified {
            return Err(self.fault(from, ErrorKind::Duplicate, "one identification tag a medium"));
        }
        self.identified = true;
        let others = self.lines.get(session_end..self.lines.len().saturating_sub(1)).unwrap_or(&[]);
        let of = |line: &LineIndex| self.text.get(line.colon.saturating_add(1) as usize..line.end as usize);
        let mut known = others.iter().filter(|line| line.letter == b'a' && line.name == AttributeName::Mid);
        if known.any(|line| of(line).map(str::trim_ascii_end) == Some(mid)) {
            return Err(self.fault(from, ErrorKind::Duplicate, "an identification tag no other medium has"));
        }
        Ok(())
    }

    fn medium(&mut self, start: usize, value_at: usize, end: usize) -> Result<(), ParseError> {
        self.close_medium()?;
        if self.session_end.is_none() {
            self.session_end = Some(self.lines.len().saturating_sub(1));
            self.seen_in_session = self.seen;
        }
        self.media = self.media.wrapping_add(1);
        if self.media > self.options.limits.media {
            return Err(self.fault(start, ErrorKind::TooManyMedia, "fewer media"));
        }
        (self.seen, self.rank, self.attributes) = (0, 0, 0);
        (self.addressed, self.identified) = (false, false);
        let fields = Fields::within(self.text, value_at, end);
        let located =
            |error: ParseError| error.on_line(self.line_number(start), value_at.saturating_sub(start));
        let header = MediaLine::read(fields).map_err(located)?;
        let formats = header.formats;
        if formats.len() > self.options.limits.formats
            && formats.split_ascii_whitespace().count() > self.options.limits.formats
        {
            let at = value_at.saturating_add(fields.offset_of(formats));
            return Err(self.fault(at, ErrorKind::TooManyFormats, "fewer formats"));
        }
        self.medium = (start, header.port);
        if formats.is_empty() {
            self.note(start, LeniencyKind::NoFormat)?;
        }
        if self.options.strict {
            if has_stray_space(fields.whole()) {
                self.note(start, LeniencyKind::StraySpace)?;
            }
            if let Some(format) = formats.split_ascii_whitespace().find(|format| !is_token(format)) {
                let at = value_at.saturating_add(fields.offset_of(format));
                return Err(self.fault(at, ErrorKind::Unexpected, "a format"));
            }
        }
        Ok(())
    }

    /// The medium that was being read, if any, is complete.
    fn close_medium(&mut self) -> Result<(), ParseError> {
        let (start, port) = self.medium;
        let addressed = self.addressed || self.seen_in_session & bit(b'c') != 0;
        if self.media > 0 && port != 0 && !addressed {
            self.note(start, LeniencyKind::MissingConnection)?;
        }
        Ok(())
    }

    /// Whether the line stands where RFC 8866 §5 wants it, and not twice.
    fn check_order(&mut self, letter: u8, start: usize) -> Result<(), ParseError> {
        let in_medium = self.media > 0;
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
            self.blank_lines = self.blank_lines.wrapping_add(1);
            self.note(start, LeniencyKind::BlankLine)?;
            return Ok(None);
        }
        let mut fields = Fields::new(line);
        let letter = fields.until(b'=').map(str::trim_ascii_end);
        if let Some(&[letter]) = letter.map(str::as_bytes)
            && letter.is_ascii_lowercase()
            && fields.has_eaten(b'=')
        {
            self.note(start, LeniencyKind::StraySpace)?;
            return Ok(Some((letter, start.saturating_add(fields.offset()))));
        }
        Err(self.fault(start, ErrorKind::NotALine, "a letter, = and a value"))
    }

    fn finish(&mut self) -> Result<(), ParseError> {
        if self.session_end.is_none() {
            self.seen_in_session = self.seen;
        }
        self.close_medium()?;
        if self.options.fragment {
            return Ok(());
        }
        let wanted = bit(b'v') | bit(b'o') | bit(b's') | bit(b't');
        if self.seen_in_session & wanted == wanted { Ok(()) } else { self.missing_lines() }
    }

    #[cold]
    fn missing_lines(&mut self) -> Result<(), ParseError> {
        if self.seen_in_session & bit(b'v') == 0 {
            return Err(ParseError::of_line(1, ErrorKind::MissingLine, "v=0 before anything else"));
        }
        let absent = [
            (b'o', LeniencyKind::MissingOrigin),
            (b's', LeniencyKind::MissingSessionName),
            (b't', LeniencyKind::MissingTiming),
        ];
        let before = self.session_end.and_then(|end| self.lines.get(end));
        let before = before.map_or(self.text.len(), |line| line.start as usize);
        for (letter, kind) in absent {
            if self.seen_in_session & bit(letter) == 0 {
                self.note(before, kind)?;
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

    fn line_number(&self, at: usize) -> u32 {
        line_number(self.text, at)
    }
}

/// The line that byte `at` is in, from 1.
pub(crate) fn line_number(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    u32::try_from(memchr::memchr_iter(b'\n', before).count()).unwrap_or(u32::MAX).saturating_add(1)
}

fn has_stray_space(value: &str) -> bool {
    value.starts_with(' ') || value.ends_with(' ') || value.contains("  ") || value.contains('\t')
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
