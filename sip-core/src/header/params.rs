//! Header parameters `;name=value` (RFC 3261 §25.1 `generic-param`) and the parameters of URIs: a borrowed view for
//! reading, a small owned list for writing.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{borrow::Cow, fmt, net::Ipv6Addr};

use super::scan::{Scanner, unquote};
use crate::{
    error::{Liberty, ParseError, Problem},
    limits::Limit,
    message::class,
};

/// The parameters of a header value, as they were written: empty or `;a=b;c`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Params<'a> {
    raw: &'a str,
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, without regard to case.
    pub name: &'a str,
    /// The value, with its quotes if it has any; `None` for a flag such as `lr`.
    pub value: Option<&'a str>,
}

impl<'a> Params<'a> {
    /// No parameters.
    pub const NONE: Self = Self { raw: "" };

    /// The parameters in a text such as `;a=b;c`. Nothing is checked; what is not one is skipped when looking.
    #[must_use]
    pub const fn from_raw(raw: &'a str) -> Self {
        Self { raw }
    }

    /// Reads parameters up to a comma, a `>` or the end.
    ///
    /// # Errors
    /// If a parameter has no name, or a value is neither a token, a host nor a quoted string.
    pub fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        let mut end = scanner.position();
        let start = end;
        let mut count = 0_usize;
        while scanner.eat_separator(b';') {
            count = count.saturating_add(1);
            if count > usize::from(scanner.limits().params) {
                return Err(scanner.error(Problem::Limit(Limit::Params)));
            }
            scan_param(scanner)?;
            end = scanner.position();
        }
        scanner.set_position(end);
        Ok(Self { raw: scanner.whole().get(start..end).unwrap_or_default() })
    }

    /// As written.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Each parameter in order.
    #[must_use]
    pub fn iter(&self) -> ParamIter<'a> {
        ParamIter { rest: self.raw }
    }

    /// The first parameter of this name, with or without a value.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of this name; quotes stay. `None` if it is not there or has no value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.find(name)?.value
    }

    /// The value without its quotes and escapes.
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).map(unquote)
    }

    /// Whether a parameter of this name is there, with a value or without.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value as a number; `None` if it is none.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }
}

fn scan_param(scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
    let start = scanner.position();
    let name = scanner.run(class::TOKEN);
    if name.is_empty() {
        scanner.forgive(start, Liberty::EmptyParameter, "a parameter name")?;
    }
    if !scanner.eat(b'=') && !scanner.eat_separator(b'=') {
        return Ok(());
    }
    scanner.skip_space();
    if scanner.peek() == Some(b'"') {
        scanner.quoted()?;
        return Ok(());
    }
    let start = scanner.position();
    let token = scanner.run(class::TOKEN);
    let next = scanner.peek();
    if token.is_empty() && next != Some(b'[') && next != Some(b':') {
        scanner.forgive(start, Liberty::EmptyValue, "a parameter value")?;
    }
    if is_end(next) { Ok(()) } else { scan_odd_value(scanner, name, start) }
}

/// A host may be an IPv6 reference, and `received` one without brackets (RFC 5118 §4.5).
#[cold]
fn scan_odd_value(scanner: &mut Scanner<'_>, name: &str, start: usize) -> Result<(), ParseError> {
    let at = scanner.position();
    let length = scanner.rest().bytes().position(|byte| is_end(Some(byte))).unwrap_or(scanner.rest().len());
    scanner.advance(length);
    let value = scanner.since(start);
    let bracketed = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
    let address = bracketed.or_else(|| name.eq_ignore_ascii_case("received").then_some(value));
    if address.is_none_or(|address| address.parse::<Ipv6Addr>().is_err()) {
        scanner.forgive(at, Liberty::UnquotedParameter, "a token, a host or a quoted string")?;
    }
    Ok(())
}

fn is_end(byte: Option<u8>) -> bool {
    byte.is_none_or(|byte| matches!(byte, b';' | b',' | b'>' | b'"') || class::is(byte, class::SPACE))
}

/// Each parameter in order.
#[derive(Debug, Clone)]
pub struct ParamIter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        loop {
            let bytes = self.rest.as_bytes();
            let start = bytes.iter().position(|byte| *byte != b';' && !class::is(*byte, class::SPACE))?;
            let name_end = start.saturating_add(class::span(bytes.get(start..)?, class::TOKEN));
            let name = self.rest.get(start..name_end)?;
            // The usual `name`, `name=value` and `name="value"` without white space; the rest is for the long way.
            match bytes.get(name_end..)? {
                [] | [b';', ..] if !name.is_empty() => {
                    self.rest = self.rest.get(name_end..)?;
                    return Some(Param { name, value: None });
                }
                [b'=', after @ ..]
                    if !name.is_empty() && !after.first().is_some_and(|b| class::is(*b, class::SPACE)) =>
                {
                    let length = if after.first() == Some(&b'"') {
                        quoted_length(after).unwrap_or(after.len())
                    } else {
                        memchr::memchr(b';', after).unwrap_or(after.len())
                    };
                    let value_start = name_end.saturating_add(1);
                    let value_end = value_start.saturating_add(length);
                    let last = length.checked_sub(1).and_then(|last| after.get(last));
                    let is_plain = !last.is_some_and(|b| class::is(*b, class::SPACE));
                    if is_plain && matches!(bytes.get(value_end), None | Some(b';')) {
                        let value = self.rest.get(value_start..value_end);
                        self.rest = self.rest.get(value_end..)?;
                        return Some(Param { name, value });
                    }
                }
                _ => {}
            }
            let (item, after) = split_item(self.rest.get(start..)?);
            self.rest = after;
            let (name, value) = match item.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (trim(item), None),
            };
            if !name.is_empty() {
                return Some(Param { name, value });
            }
        }
    }
}

/// Cuts at the first `;` outside of quotes.
fn split_item(text: &str) -> (&str, &str) {
    let mut from = 0_usize;
    loop {
        let bytes = text.as_bytes().get(from..).unwrap_or_default();
        let Some(step) = memchr::memchr2(b';', b'"', bytes) else { return (text, "") };
        let at = from.saturating_add(step);
        if bytes.get(step) == Some(&b';') {
            return text.split_at_checked(at).unwrap_or((text, ""));
        }
        let Some(length) = quoted_length(text.as_bytes().get(at..).unwrap_or_default()) else {
            return (text, "");
        };
        from = at.saturating_add(length);
    }
}

/// Length of the quoted string at the start of `bytes`, quotes included.
pub(crate) fn quoted_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1_usize;
    loop {
        at = at.saturating_add(memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?);
        if bytes.get(at) == Some(&b'"') {
            return Some(at.saturating_add(1));
        }
        at = at.saturating_add(2);
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// Parameters to write. Values that are no token are quoted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamsBuf {
    raw: String,
}

impl ParamsBuf {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { raw: String::new() }
    }

    /// With `;name=value` added.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.push(name, value);
        self
    }

    /// With `;name` added.
    #[must_use]
    pub fn with_flag(mut self, name: &str) -> Self {
        self.push_flag(name);
        self
    }

    /// Adds `;name=value`. A host is written as it is; anything else that is no token is quoted.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        let value = value.to_string();
        self.push_flag(name);
        self.raw.push('=');
        let bare = !value.is_empty()
            && value.bytes().all(|byte| class::is(byte, class::TOKEN) || matches!(byte, b'[' | b']' | b':'));
        if bare {
            self.raw.push_str(&value);
        } else {
            self.raw.push_str(&Quoted(&value).to_string());
        }
    }

    /// Adds `;name`.
    pub fn push_flag(&mut self, name: &str) {
        self.raw.push(';');
        self.raw.push_str(name);
    }

    /// To read.
    #[must_use]
    pub fn as_params(&self) -> Params<'_> {
        Params { raw: &self.raw }
    }
}

impl fmt::Display for ParamsBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// Writes its text as a quoted string.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::scan::write_quoted(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    fn scan(text: &str, attitude: Attitude) -> Result<Params<'_>, ParseError> {
        Params::scan(&mut Scanner::new(text, attitude))
    }

    #[test]
    fn names_values_flags_and_quotes() {
        let params = scan(" ; a = b;C;d=\"x;\\\"y\" ; e=[::1] , next", Attitude::Strict).unwrap();
        assert_eq!(params.get("A"), Some("b"));
        assert!(params.has("c"));
        assert_eq!(params.get("c"), None);
        assert_eq!(params.unquoted("d").unwrap(), "x;\"y");
        assert_eq!(params.get("e"), Some("[::1]"));
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn received_may_be_an_ipv6_address_without_brackets() {
        assert_eq!(
            scan(";received=2001:db8::9:255", Attitude::Strict).unwrap().get("received"),
            Some("2001:db8::9:255")
        );
    }

    #[test]
    fn empty_ones_are_forgiven_not_allowed() {
        assert!(scan(";;a=b", Attitude::Strict).is_err());
        assert_eq!(scan(";;a=b", Attitude::Lenient).unwrap().get("a"), Some("b"));
        assert!(scan(";=b", Attitude::Strict).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let params = ParamsBuf::new().with("q", "0.5").with_flag("lr").with("x", "a \"b\"");
        assert_eq!(params.to_string(), ";q=0.5;lr;x=\"a \\\"b\\\"\"");
        assert_eq!(params.as_params().unquoted("x").unwrap(), "a \"b\"");
    }
}
