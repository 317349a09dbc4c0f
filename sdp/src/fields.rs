//! A cursor over the fields of one line: what was read, what is left, and at which column a fault lies.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::{ErrorKind, ParseError};

/// A field list, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Fields<'a> {
    /// All of `text`.
    #[inline]
    pub(crate) fn new(text: &'a str) -> Self {
        Self { whole: text, rest: text }
    }

    /// How far the cursor has come.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.whole.len().saturating_sub(self.rest.len())
    }

    /// Everything that is left, spaces before it skipped.
    #[inline]
    pub(crate) fn rest(&self) -> &'a str {
        self.rest.trim_ascii_start()
    }

    /// The next field, up to a space or tab; those before it are skipped. `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.next_until(|byte| byte == b' ' || byte == b'\t')
    }

    /// The next field, up to a byte for which `stop` holds (the byte is consumed too).
    #[inline]
    pub(crate) fn next_until(&mut self, stop: impl Fn(u8) -> bool) -> Option<&'a str> {
        let bytes = self.rest.as_bytes();
        let mut from = 0_usize;
        while bytes.get(from).is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
            from = from.wrapping_add(1);
        }
        let mut to = from;
        while bytes.get(to).is_some_and(|byte| !stop(*byte)) {
            to = to.wrapping_add(1);
        }
        let field = self.rest.get(from..to)?;
        self.rest = self.rest.get(to.wrapping_add(1)..).unwrap_or("");
        if field.is_empty() && self.rest.is_empty() { None } else { Some(field) }
    }

    /// The next field, or the error that it is missing.
    #[inline]
    pub(crate) fn expect(&mut self, expected: &'static str) -> Result<&'a str, ParseError> {
        match self.next() {
            Some(field) if !field.is_empty() => Ok(field),
            _ => Err(ParseError::at(self.offset(), ErrorKind::MissingField, expected)),
        }
    }

    /// The next field as a number of at most `max`.
    #[inline]
    pub(crate) fn number(&mut self, max: u32, expected: &'static str) -> Result<u32, ParseError> {
        let field = self.expect(expected)?;
        number(field, max).map_err(|kind| self.error_in(field, kind, expected))
    }

    /// An error at the start of a field that this cursor gave out.
    pub(crate) fn error_in(&self, field: &str, kind: ErrorKind, expected: &'static str) -> ParseError {
        ParseError::at(self.offset_of(field), kind, expected)
    }

    /// Where a field that this cursor gave out, or a part of it, begins.
    #[inline]
    pub(crate) fn offset_of(&self, field: &str) -> usize {
        field.as_ptr().addr().saturating_sub(self.whole.as_ptr().addr()).min(self.whole.len())
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
