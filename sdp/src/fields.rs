//! A cursor over the fields of one line: what was read, what is left, and at which column a fault lies.
//!
//! It looks at the line where it stands in its document, so that eight bytes can be read at once without minding where
//! the line ends.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::{ErrorKind, ParseError};
use crate::scan;

/// A field list, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    /// The document.
    text: &'a str,
    /// Where the list begins in it.
    start: usize,
    /// Where the cursor is.
    at: usize,
    /// Where the list ends.
    end: usize,
}

impl<'a> Fields<'a> {
    /// All of `text`.
    #[inline]
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, start: 0, at: 0, end: text.len() }
    }

    /// The part of a document from `start` to `end`.
    #[inline]
    pub(crate) fn within(text: &'a str, start: usize, end: usize) -> Self {
        Self { text, start, at: start, end }
    }

    /// The whole list.
    #[inline]
    pub(crate) fn whole(&self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or("")
    }

    /// How far the cursor has come.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.at.saturating_sub(self.start)
    }

    /// Moves past separators.
    #[inline]
    fn skip(&mut self) {
        let bytes = self.text.as_bytes();
        while self.at < self.end && bytes.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.at = self.at.wrapping_add(1);
        }
    }

    /// Everything that is left, without the spaces around it.
    #[inline]
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..self.end).unwrap_or("").trim_ascii()
    }

    /// Everything that is left, spaces before it skipped; the cursor moves to the end.
    #[inline]
    pub(crate) fn remainder(&mut self) -> &'a str {
        self.skip();
        let rest = self.text.get(self.at..self.end).unwrap_or("");
        self.at = self.end;
        if rest.ends_with(' ') { rest.trim_ascii_end() } else { rest }
    }

    /// The next field, up to a space or tab; those before it are skipped. `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.skip();
        if self.at >= self.end {
            return None;
        }
        let from = self.at;
        self.at = scan::field_end(self.text.as_bytes(), from, self.end);
        self.text.get(from..self.at)
    }

    /// The next piece, up to `byte` (which is eaten) or the end, spaces before it skipped. `None` at the end.
    #[inline]
    pub(crate) fn until(&mut self, byte: u8) -> Option<&'a str> {
        self.skip();
        if self.at >= self.end {
            return None;
        }
        let from = self.at;
        let to = scan::find(self.text.as_bytes(), from, self.end, byte);
        self.at = to.wrapping_add(1).min(self.end);
        self.text.get(from..to)
    }

    /// Whether the byte before the cursor is this one: what [`Self::until`] looked for.
    #[inline]
    pub(crate) fn has_eaten(&self, byte: u8) -> bool {
        let before = self.at.checked_sub(1).filter(|before| *before >= self.start);
        before.and_then(|before| self.text.as_bytes().get(before)) == Some(&byte)
    }

    /// Everything that is left, exactly.
    #[inline]
    pub(crate) fn left(&self) -> &'a str {
        self.text.get(self.at..self.end).unwrap_or("")
    }

    /// Where the next field lies in a list of at most 65535 characters, or the error that it is missing.
    #[inline]
    pub(crate) fn span(&mut self, expected: &'static str) -> Result<(u16, u16), ParseError> {
        self.skip();
        if self.at >= self.end {
            return Err(self.missing(expected));
        }
        let from = self.offset();
        self.at = scan::field_end(self.text.as_bytes(), self.at, self.end);
        Ok((from as u16, self.offset() as u16))
    }

    /// The next field, or the error that it is missing.
    #[inline]
    pub(crate) fn expect(&mut self, expected: &'static str) -> Result<&'a str, ParseError> {
        match self.next() {
            Some(field) => Ok(field),
            None => Err(self.missing(expected)),
        }
    }

    #[cold]
    fn missing(&self, expected: &'static str) -> ParseError {
        ParseError::at(self.end.saturating_sub(self.start), ErrorKind::MissingField, expected)
    }

    /// The next field as a number of at most `max`.
    #[inline]
    pub(crate) fn number(&mut self, max: u32, expected: &'static str) -> Result<u32, ParseError> {
        self.skip();
        let (bytes, from) = (self.text.as_bytes(), self.at);
        let to = scan::field_end(bytes, from, self.end);
        let length = to.wrapping_sub(from);
        self.at = to;
        if length.wrapping_sub(1) < 8
            && let Some(value) = scan::digits(scan::load(bytes, from), length)
            && value <= max
        {
            return Ok(value);
        }
        self.odd_number(from, to, max, expected)
    }

    /// A number that is long, too large, or none.
    #[inline(never)]
    fn odd_number(
        &self,
        from: usize,
        to: usize,
        max: u32,
        expected: &'static str,
    ) -> Result<u32, ParseError> {
        let bytes = self.text.as_bytes();
        let low = to.wrapping_sub(8);
        // Nine or ten digits are usual: priorities and sources have them.
        if let length @ 1..=2 = low.wrapping_sub(from)
            && let Some(high) = scan::digits(scan::load(bytes, from), length)
            && let Some(low) = scan::digits(scan::load(bytes, low), 8)
        {
            let value = u64::from(high).wrapping_mul(100_000_000).wrapping_add(u64::from(low));
            if let Some(value) = u32::try_from(value).ok().filter(|value| *value <= max) {
                return Ok(value);
            }
        }
        let field = self.text.get(from..to).unwrap_or("");
        if field.is_empty() {
            return Err(self.missing(expected));
        }
        number(field, max).map_err(|kind| self.error_in(field, kind, expected))
    }

    /// An error at the start of a field that this cursor gave out.
    #[cold]
    pub(crate) fn error_in(&self, field: &str, kind: ErrorKind, expected: &'static str) -> ParseError {
        ParseError::at(self.offset_of(field), kind, expected)
    }

    /// Where a field that this cursor gave out, or a part of it, begins.
    pub(crate) fn offset_of(&self, field: &str) -> usize {
        let start = self.text.as_ptr().addr().wrapping_add(self.start);
        field.as_ptr().addr().saturating_sub(start).min(self.end.saturating_sub(self.start))
    }
}

/// A decimal number without a sign, of at most `max`.
#[inline]
pub(crate) fn number(text: &str, max: u32) -> Result<u32, ErrorKind> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(ErrorKind::MissingField);
    }
    let mut value = 0_u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let negative = text.strip_prefix('-').is_some_and(all_digits);
            return Err(if negative { ErrorKind::OutOfRange } else { ErrorKind::NotANumber });
        }
        // Cannot overflow: it is cut at `max` (32 bits) before each step.
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        if value > u64::from(max) {
            return Err(if all_digits(text) { ErrorKind::OutOfRange } else { ErrorKind::NotANumber });
        }
    }
    Ok(u32::try_from(value).unwrap_or(max))
}

/// A decimal number without a sign, in 64 bits.
pub(crate) fn number64(text: &str) -> Result<u64, ErrorKind> {
    if !all_digits(text) {
        return Err(ErrorKind::NotANumber);
    }
    text.parse().map_err(|_| ErrorKind::OutOfRange)
}

/// Whether the text is one digit or more, and nothing else.
#[inline]
pub(crate) fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text is a token of RFC 8866 §9.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'{'..=b'~'
                )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_range() {
        assert_eq!(number("65535", 65_535), Ok(65_535));
        assert_eq!(number("65536", 65_535), Err(ErrorKind::OutOfRange));
        assert_eq!(number("99999999999999999999999", u32::MAX), Err(ErrorKind::OutOfRange));
        assert_eq!(number("-1", 255), Err(ErrorKind::OutOfRange));
        assert_eq!(number("+1", 255), Err(ErrorKind::NotANumber));
        assert_eq!(number("12x", 255), Err(ErrorKind::NotANumber));
        assert_eq!(number("300x", 255), Err(ErrorKind::NotANumber));
        assert_eq!(number("", 255), Err(ErrorKind::MissingField));
    }

    #[test]
    fn fields_are_split_at_runs_of_spaces_and_know_their_column() {
        let text = "  a  bc d";
        let mut fields = Fields::new(text);
        assert_eq!(fields.next(), Some("a"));
        let second = fields.next().unwrap();
        assert_eq!(second, "bc");
        assert_eq!(fields.error_in(second, ErrorKind::Unexpected, "x").column, 6);
        assert_eq!(fields.rest(), "d");
        let third = fields.next().unwrap();
        assert_eq!(fields.error_in(third, ErrorKind::Unexpected, "x").column, 9);
        assert_eq!(fields.next(), None);
        assert_eq!(fields.offset(), 9);
    }
}
