//! A session description: an index of lines over its text, and typed views of the lines (RFC 8866).
//!
//! The text is the document. Whatever was read can be written back byte for byte; views are made when asked for.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::address::Connection;
use crate::attribute::{Attribute, AttributeName};
use crate::error::{Leniency, ParseError};
use crate::fields::Fields;
use crate::media::{Media, MediaLine};
use crate::origin::Origin;
use crate::parse::{self, ParseOptions};
use crate::timing::{Bandwidth, Timing};

/// A session description that was read. It borrows its bytes until [`Self::into_owned`].
#[derive(Clone, Debug)]
pub struct Description<'a> {
    pub(crate) text: Cow<'a, str>,
    /// The bytes were not UTF-8: `text` has one character for each of them.
    pub(crate) latin1: bool,
    /// Every line but blank ones.
    pub(crate) lines: Vec<LineIndex>,
    /// How many of them stand before the first medium.
    pub(crate) session_end: usize,
    pub(crate) leniencies: Vec<Leniency>,
}

/// Where the parts of one line lie in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineIndex {
    /// The first byte of the line.
    pub(crate) start: u32,
    /// The first byte after `=`.
    pub(crate) value: u32,
    /// The first byte of the line's end.
    pub(crate) end: u32,
    /// The colon after an attribute's name, or `end`.
    pub(crate) colon: u32,
    pub(crate) letter: u8,
    pub(crate) name: AttributeName,
}

impl LineIndex {
    #[inline]
    pub(crate) fn new(
        start: usize,
        value: usize,
        end: usize,
        colon: usize,
        letter: u8,
        name: AttributeName,
    ) -> Self {
        // The parser refuses longer texts.
        let offset = |at: usize| at as u32;
        Self {
            start: offset(start),
            value: offset(value),
            end: offset(end),
            colon: offset(colon),
            letter,
            name,
        }
    }
}

impl<'a> Description<'a> {
    /// Reads a description, forgiving what can be understood.
    ///
    /// # Errors
    /// The bytes cannot be understood; the error has line, column and what was expected.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        parse::parse(bytes, &ParseOptions::default())
    }

    /// Reads a description as told.
    ///
    /// # Errors
    /// As [`Self::parse`]; when strict, also for everything RFC 8866 forbids.
    pub fn parse_with(bytes: &'a [u8], options: &ParseOptions) -> Result<Self, ParseError> {
        parse::parse(bytes, options)
    }

    /// The same description, which no longer borrows.
    #[must_use]
    pub fn into_owned(self) -> Description<'static> {
        let Self { text, latin1, lines, session_end, leniencies } = self;
        Description { text: Cow::Owned(text.into_owned()), latin1, lines, session_end, leniencies }
    }

    /// The bytes, exactly as they were read.
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        if self.latin1 {
            // Each character stands for one byte.
            Cow::Owned(
                self.text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect(),
            )
        } else {
            Cow::Borrowed(self.text.as_bytes())
        }
    }

    /// The text. Bytes that were not UTF-8 are shown as ISO 8859-1 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What was forgiven.
    #[must_use]
    pub fn leniencies(&self) -> &[Leniency] {
        &self.leniencies
    }

    /// Every line in order: its letter and its value.
    #[must_use]
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        self.lines.iter().map(|index| Line { text: &self.text, index })
    }

    /// The first line with this letter before the first medium.
    fn session_line(&self, letter: u8) -> Option<Line<'_>> {
        let index = self.session_lines().iter().find(|line| line.letter == letter)?;
        Some(Line { text: &self.text, index })
    }

    fn session_lines(&self) -> &[LineIndex] {
        self.lines.get(..self.session_end).unwrap_or(&[])
    }

    /// `o=`. `None` if there is none.
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'_>> {
        Origin::parse(self.session_line(b'o')?.value()).ok()
    }

    /// `s=`.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        Some(self.session_line(b's')?.value())
    }

    /// `i=` of the session.
    #[must_use]
    pub fn information(&self) -> Option<&str> {
        Some(self.session_line(b'i')?.value())
    }

    /// `c=` of the session: the address of each medium that has none of its own.
    #[must_use]
    pub fn connection(&self) -> Option<Connection<'_>> {
        Connection::parse(self.session_line(b'c')?.value()).ok()
    }

    /// `b=` of the session; lines that cannot be read are left out.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'_>> {
        values(&self.text, self.session_lines(), b'b').filter_map(|value| Bandwidth::parse(value).ok())
    }

    /// The first `t=`.
    #[must_use]
    pub fn timing(&self) -> Option<Timing> {
        Timing::parse(self.session_line(b't')?.value()).ok()
    }

    /// Every `t=`; lines that cannot be read are left out.
    pub fn timings(&self) -> impl Iterator<Item = Timing> {
        values(&self.text, self.session_lines(), b't').filter_map(|value| Timing::parse(value).ok())
    }

    /// The attributes of the session.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes { text: &self.text, lines: self.session_lines().iter() }
    }

    /// The media, in order.
    #[must_use]
    pub fn media(&self) -> MediaList<'_> {
        MediaList {
            text: &self.text,
            session: self.session_lines(),
            rest: self.lines.get(self.session_end..).unwrap_or(&[]),
            slot: 0,
        }
    }

    /// The medium in slot `slot`, counted from 0.
    #[must_use]
    pub fn medium(&self, slot: usize) -> Option<Media<'_>> {
        self.media().nth(slot)
    }

    /// The groups (RFC 5888).
    pub fn groups(&self) -> impl Iterator<Item = crate::attribute::group::Group<'_>> {
        let lines = self.attributes().named(AttributeName::Group);
        lines.filter_map(|line| crate::attribute::group::Group::parse(line.value()?).ok())
    }
}

/// The media of a description.
#[derive(Clone, Debug)]
pub struct MediaList<'d> {
    text: &'d str,
    session: &'d [LineIndex],
    /// The lines of the media that were not given out yet.
    rest: &'d [LineIndex],
    slot: usize,
}

impl<'d> Iterator for MediaList<'d> {
    type Item = Media<'d>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (first, after) = self.rest.split_first()?;
        let own = after.iter().position(|line| line.letter == b'm').unwrap_or(after.len());
        let (lines, rest) = self.rest.split_at_checked(own.wrapping_add(1))?;
        // It was read before, when the description was.
        let header =
            MediaLine::read(Fields::within(self.text, first.value as usize, first.end as usize)).ok()?;
        let slot = self.slot;
        (self.rest, self.slot) = (rest, slot.wrapping_add(1));
        Some(Media { text: self.text, session: self.session, lines, header, slot })
    }
}

impl PartialEq for Description<'_> {
    /// Two descriptions are equal when their bytes are.
    fn eq(&self, other: &Description<'_>) -> bool {
        self.text == other.text && self.latin1 == other.latin1
    }
}

impl Eq for Description<'_> {}

pub(crate) fn values<'d>(
    text: &'d str,
    lines: &'d [LineIndex],
    letter: u8,
) -> impl Iterator<Item = &'d str> + use<'d> {
    lines.iter().filter(move |line| line.letter == letter).map(|index| Line { text, index }.value())
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'d> {
    pub(crate) text: &'d str,
    pub(crate) index: &'d LineIndex,
}

impl<'d> Line<'d> {
    /// The type letter.
    #[must_use]
    pub fn letter(&self) -> char {
        char::from(self.index.letter)
    }

    /// What follows `=`, up to the line's end.
    #[inline]
    #[must_use]
    pub fn value(&self) -> &'d str {
        self.text.get(self.index.value as usize..self.index.end as usize).unwrap_or("")
    }

    /// The line, without its end.
    #[must_use]
    pub fn as_str(&self) -> &'d str {
        self.text.get(self.index.start as usize..self.index.end as usize).unwrap_or("")
    }

    /// Which line of the text it is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        parse::line_number(self.text, self.index.start as usize)
    }
}

/// The attributes of a session or a medium, in order.
#[derive(Clone, Debug)]
pub struct Attributes<'d> {
    pub(crate) text: &'d str,
    pub(crate) lines: core::slice::Iter<'d, LineIndex>,
}

impl<'d> Attributes<'d> {
    /// Only those of this name.
    #[inline]
    pub fn named(self, name: AttributeName) -> impl Iterator<Item = AttributeLine<'d>> + use<'d> {
        let text = self.text;
        self.lines
            .filter(move |line| line.name == name && line.letter == b'a')
            .map(move |index| AttributeLine { line: Line { text, index } })
    }

    /// The first of this name that can be read.
    #[must_use]
    pub fn first(self, name: AttributeName) -> Option<Attribute<'d>> {
        self.named(name).find_map(|line| line.typed().ok())
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: AttributeName) -> bool {
        self.lines.as_slice().iter().any(|line| line.name == name && line.letter == b'a')
    }
}

impl<'d> Iterator for Attributes<'d> {
    type Item = AttributeLine<'d>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.lines.find(|line| line.letter == b'a')?;
        Some(AttributeLine { line: Line { text: self.text, index } })
    }
}

/// One `a=` line.
#[derive(Clone, Copy, Debug)]
pub struct AttributeLine<'d> {
    line: Line<'d>,
}

impl<'d> AttributeLine<'d> {
    /// The name, if it is known.
    #[must_use]
    pub fn known(&self) -> AttributeName {
        self.line.index.name
    }

    /// The name, as written.
    #[must_use]
    pub fn name(&self) -> &'d str {
        let index = self.line.index;
        self.line.text.get(index.value as usize..index.colon as usize).unwrap_or("")
    }

    /// What follows the colon; `None` without a colon.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<&'d str> {
        let index = self.line.index;
        let from = (index.colon as usize).wrapping_add(1);
        if index.colon < index.end { self.line.text.get(from..index.end as usize) } else { None }
    }

    /// The line it stands in.
    #[must_use]
    pub fn line(&self) -> Line<'d> {
        self.line
    }

    /// What it means.
    ///
    /// # Errors
    /// The name is known and the value cannot be read.
    #[inline]
    pub fn typed(&self) -> Result<Attribute<'d>, ParseError> {
        let (index, text) = (self.line.index, self.line.text);
        let has_value = index.colon < index.end;
        let start = (index.colon as usize).wrapping_add(usize::from(has_value));
        let fields = Fields::within(text, start, index.end as usize);
        match Attribute::read(index.name, self.name(), has_value, fields) {
            Ok(attribute) => Ok(attribute),
            Err(error) => Err(self.locate(error)),
        }
    }

    #[cold]
    fn locate(&self, error: ParseError) -> ParseError {
        let index = self.line.index;
        error.on_line(self.line.number(), index.colon.saturating_add(1).saturating_sub(index.start) as usize)
    }
}
