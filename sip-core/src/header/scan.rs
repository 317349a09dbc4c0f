//! A cursor over the value of one header: tokens, quoted strings, comments, separators with their white space
//! (RFC 3261 §25.1), and the one place where the lenient attitude forgives.
//!
//! The CR and LF of a folded value count as white space here; the message scan has made sure that they stand nowhere
//! else.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::HeaderName;
use crate::{
    error::{Attitude, Forgiven, Liberty, ParseError, Problem},
    limits::{Limit, MessageLimits, ValueLimits},
    message::class,
};

/// How many liberties of one value are noted.
const FORGIVEN: usize = 64;

/// A cursor over the value of one header.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    position: usize,
    base: usize,
    header: Option<HeaderName>,
    attitude: Attitude,
    limits: ValueLimits,
    forgiven: Vec<Forgiven>,
}

impl<'a> Scanner<'a> {
    /// A cursor at the start of `text`.
    #[must_use]
    pub fn new(text: &'a str, attitude: Attitude) -> Self {
        Self::at(text, 0, None, attitude, MessageLimits::default().for_values())
    }

    /// A cursor over a value that starts `base` bytes into the message, so that errors tell the right offset.
    pub(crate) fn at(
        text: &'a str,
        base: usize,
        header: Option<HeaderName>,
        attitude: Attitude,
        limits: ValueLimits,
    ) -> Self {
        Self { text, position: 0, base, header, attitude, limits, forgiven: Vec::new() }
    }

    /// What was forgiven so far.
    pub(crate) fn take_forgiven(&mut self) -> Vec<Forgiven> {
        std::mem::take(&mut self.forgiven)
    }

    /// Whether liberties are refused.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.attitude == Attitude::Strict
    }

    /// The header whose value this is.
    pub(crate) const fn header(&self) -> Option<HeaderName> {
        self.header
    }

    /// The bounds in force.
    pub(crate) const fn limits(&self) -> ValueLimits {
        self.limits
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn set_position(&mut self, position: usize) {
        self.position = position.min(self.text.len());
    }

    /// What is left.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    /// Where a part of the text stands in it; the cursor for what is no part of it.
    pub(crate) fn place_of(&self, part: &str) -> usize {
        let place = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        place.filter(|place| *place <= self.text.len()).unwrap_or(self.position)
    }

    /// The whole text.
    pub(crate) fn whole(&self) -> &'a str {
        self.text
    }

    /// The text from `start` to the cursor.
    #[must_use]
    #[inline]
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.position).unwrap_or_default()
    }

    /// The next byte, not consumed.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Goes `count` bytes ahead.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.position = self.position.saturating_add(count).min(self.text.len());
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.position >= self.text.len()
    }

    /// An error at the cursor.
    #[must_use]
    pub fn error(&self, problem: Problem) -> ParseError {
        self.error_at(self.position, problem)
    }

    /// An error at another position of the text.
    #[must_use]
    pub fn error_at(&self, position: usize, problem: Problem) -> ParseError {
        ParseError { offset: self.base.saturating_add(position), header: self.header, problem }
    }

    /// `what` expected at the cursor.
    #[must_use]
    pub fn expected(&self, what: &'static str) -> ParseError {
        self.error(Problem::Expected(what))
    }

    /// Notes a liberty at `position`, or refuses it when strict.
    ///
    /// # Errors
    /// `what` expected, when strict.
    pub fn forgive(
        &mut self,
        position: usize,
        liberty: Liberty,
        what: &'static str,
    ) -> Result<(), ParseError> {
        if self.is_strict() {
            return Err(self.error_at(position, Problem::Expected(what)));
        }
        let offset = self.base.saturating_add(position);
        // One note a place is enough, and a value of junk must not make a list many times its own size.
        if self.forgiven.len() < FORGIVEN
            && self.forgiven.last().is_none_or(|last| last.offset != offset || last.liberty != liberty)
        {
            self.forgiven.push(Forgiven { offset, header: self.header, liberty });
        }
        Ok(())
    }

    /// Skips white space, folds included.
    #[inline]
    pub fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| class::is(byte, class::SPACE)) {
            self.position = self.position.wrapping_add(1);
        }
    }

    /// Consumes `byte` if it is next.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position = self.position.wrapping_add(1);
        }
        found
    }

    /// Consumes white space, `byte`, white space; if `byte` is not there, nothing.
    #[inline]
    pub fn eat_separator(&mut self, byte: u8) -> bool {
        let start = self.position;
        self.skip_space();
        if self.eat(byte) {
            self.skip_space();
            true
        } else {
            self.position = start;
            false
        }
    }

    /// The longest run of the classes in `mask`, maybe empty.
    #[inline]
    pub(crate) fn run(&mut self, mask: u8) -> &'a str {
        let start = self.position;
        let length = class::span(self.rest().as_bytes(), mask);
        self.position = self.position.saturating_add(length);
        self.since(start)
    }

    /// A token (RFC 3261 §25.1).
    ///
    /// # Errors
    /// `what` expected, if no token starts here.
    #[inline]
    pub fn token(&mut self, what: &'static str) -> Result<&'a str, ParseError> {
        let token = self.run(class::TOKEN);
        if token.is_empty() { Err(self.expected(what)) } else { Ok(token) }
    }

    /// A decimal number of at most `most`.
    ///
    /// # Errors
    /// If no digit is next or the number is larger.
    pub fn number(&mut self, what: &'static str, most: u64) -> Result<u64, ParseError> {
        let start = self.position;
        let digits = self.run(class::DIGIT);
        if digits.is_empty() {
            return Err(self.expected(what));
        }
        let number = if digits.len() < 20 {
            // So few digits cannot overflow.
            Some(digits.bytes().fold(0_u64, |number, digit| {
                number.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')))
            }))
        } else {
            // More are out of range unless they begin with zeros, which `parse` allows.
            digits.parse().ok()
        };
        number.filter(|number| *number <= most).ok_or(self.error_at(start, Problem::OutOfRange { most }))
    }

    /// A quoted string, the quotes included; what is inside stays escaped.
    ///
    /// # Errors
    /// If no quote is next, or it is not closed (forgiven at the end of the value).
    pub fn quoted(&mut self) -> Result<&'a str, ParseError> {
        let start = self.position;
        if !self.eat(b'"') {
            return Err(self.expected("a quoted string"));
        }
        loop {
            let Some(step) = memchr::memchr2(b'"', b'\\', self.rest().as_bytes()) else {
                self.position = self.text.len();
                self.forgive(start, Liberty::UnclosedQuote, "a closing quote")?;
                return Ok(self.since(start));
            };
            self.advance(step);
            if self.eat(b'"') {
                return Ok(self.since(start));
            }
            self.advance(1);
            // The escaped character may be the first byte of a longer one only when it should not have been escaped.
            match self.rest().chars().next() {
                // A line break is not escaped by it (`quoted-pair`).
                Some('\r' | '\n') => {
                    self.forgive(
                        self.position,
                        Liberty::UnescapedCharacter,
                        "a character after a backslash",
                    )?;
                }
                Some(character) if character.is_ascii() => self.advance(1),
                Some(character) => {
                    self.forgive(
                        self.position,
                        Liberty::UnescapedCharacter,
                        "an ASCII character after a backslash",
                    )?;
                    self.advance(character.len_utf8());
                }
                None => {}
            }
        }
    }

    /// A comment in parentheses, nested ones included (RFC 3261 §25.1).
    ///
    /// # Errors
    /// If none starts here, it is not closed, or it is nested deeper than the limit.
    pub fn comment(&mut self) -> Result<&'a str, ParseError> {
        let start = self.position;
        if !self.eat(b'(') {
            return Err(self.expected("a comment"));
        }
        let mut depth = 1_usize;
        while depth > 0 {
            let Some(step) = memchr::memchr3(b'(', b')', b'\\', self.rest().as_bytes()) else {
                return Err(self.error_at(start, Problem::Expected("a closing parenthesis")));
            };
            self.advance(step);
            match self.peek() {
                Some(b'(') => depth = depth.saturating_add(1),
                Some(b')') => depth = depth.saturating_sub(1),
                _ => {
                    // A backslash: what follows it is not looked at.
                    self.advance(1);
                    let escaped = self.rest().chars().next().map_or(0, char::len_utf8);
                    self.advance(escaped);
                    continue;
                }
            }
            if depth > usize::from(self.limits.nesting) {
                return Err(self.error(Problem::Limit(Limit::Nesting)));
            }
            self.advance(1);
        }
        Ok(self.since(start))
    }

    /// Runs a nom grammar on what is left.
    ///
    /// # Errors
    /// `what` expected where the grammar stopped.
    pub(crate) fn grammar<O>(
        &mut self,
        mut parser: impl nom::Parser<&'a str, Output = O, Error = nom::error::Error<&'a str>>,
        what: &'static str,
    ) -> Result<O, ParseError> {
        let left = |rest: &str| self.text.len().saturating_sub(rest.len());
        match parser.parse(self.rest()) {
            Ok((rest, value)) => {
                self.position = left(rest);
                Ok(value)
            }
            Err(nom::Err::Error(error) | nom::Err::Failure(error)) => {
                Err(self.error_at(left(error.input), Problem::Expected(what)))
            }
            Err(nom::Err::Incomplete(_)) => Err(self.expected(what)),
        }
    }

    /// Nothing but white space may be left.
    ///
    /// # Errors
    /// If there is more (forgiven when lenient).
    pub fn end(&mut self) -> Result<(), ParseError> {
        self.skip_space();
        if self.is_at_end() {
            return Ok(());
        }
        self.forgive(self.position, Liberty::TrailingText, "the end of the value")?;
        self.position = self.text.len();
        Ok(())
    }
}

/// What stands inside a quoted string or plain text, with escapes undone and folds made one space.
#[must_use]
pub(crate) fn unquote(text: &str) -> std::borrow::Cow<'_, str> {
    use std::borrow::Cow;
    let Some(inner) = text.strip_prefix('"') else {
        return if text.contains(['\r', '\n']) { Cow::Owned(unfold(text)) } else { Cow::Borrowed(text) };
    };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if !inner.contains(['\\', '\r', '\n']) {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            out.extend(characters.next());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(if out.contains(['\r', '\n']) { unfold(&out) } else { out })
}

/// Each run of white space with a line break in it becomes one space.
pub(crate) fn unfold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split(['\r', '\n']).filter(|line| !line.is_empty()).enumerate() {
        if index == 0 {
            out.push_str(line);
        } else {
            out.truncate(out.trim_end_matches([' ', '\t']).len());
            out.push(' ');
            out.push_str(line.trim_start_matches([' ', '\t']));
        }
    }
    out
}

/// Writes `text` as a quoted string.
pub(crate) fn write_quoted(text: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    use std::fmt::Write;
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(character)?;
            }
            // A control character is never written: not even escaped does it survive old devices.
            _ if character.is_control() => f.write_char(' ')?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_close_where_they_close() {
        let mut scanner = Scanner::new(r#""a \"b\\" rest"#, Attitude::Strict);
        assert_eq!(scanner.quoted().unwrap(), r#""a \"b\\""#);
        assert_eq!(unquote(r#""a \"b\\""#), r#"a "b\"#);
        assert!(Scanner::new(r#""a\""#, Attitude::Strict).quoted().is_err());
        assert_eq!(Scanner::new(r#""a"#, Attitude::Lenient).quoted().unwrap(), r#""a"#);
    }

    #[test]
    fn comments_nest_to_the_limit() {
        let mut scanner = Scanner::new(r"(a (b) \) c) d", Attitude::Strict);
        assert_eq!(scanner.comment().unwrap(), r"(a (b) \) c)");
        let error = Scanner::new("(((((((((((", Attitude::Strict).comment().unwrap_err();
        assert_eq!(error.problem, Problem::Limit(Limit::Nesting));
    }

    #[test]
    fn folds_become_one_space() {
        assert_eq!(unfold("a\r\n  b \r\n\tc"), "a b c");
        assert_eq!(unquote("\"a\r\n  b\""), "a b");
    }

    #[test]
    fn numbers_have_a_most() {
        assert_eq!(Scanner::new("000000000000000000000000010", Attitude::Strict).number("x", 255), Ok(10));
        assert!(Scanner::new("256", Attitude::Strict).number("x", 255).is_err());
        assert!(Scanner::new("99999999999999999999999", Attitude::Strict).number("x", u64::MAX).is_err());
    }
}
