//! `name-addr` and `addr-spec` with their parameters: From, To, Contact, Route and the many headers of that shape
//! (RFC 3261 §20, §25.1).
//!
//! Without angle brackets, what follows a semicolon belongs to the header and not to the URI (§20.10).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{borrow::Cow, fmt};

use super::{
    HeaderName, HeaderValue, Params, Scanner,
    params::Quoted,
    scan::{unfold, unquote},
};
use crate::{
    error::{Liberty, ParseError, Problem},
    message::{Uri, class},
};

/// A URI with an optional display name and parameters.
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// The name before the angle bracket.
    pub display_name: Option<DisplayName<'a>>,
    /// The URI.
    pub uri: Uri<'a>,
    /// Parameters of the header, such as `tag`; those of the URI are in the URI.
    pub params: Params<'a>,
}

/// A display name as it was written: tokens or a quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisplayName<'a> {
    raw: &'a str,
}

impl<'a> DisplayName<'a> {
    /// A name to be written: any text; it will be quoted.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { raw: text }
    }

    /// As written, perhaps with quotes.
    #[must_use]
    pub const fn as_raw(&self) -> &'a str {
        self.raw
    }

    /// The name itself: no quotes, no escapes, no line breaks.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        if is_one_quoted(self.raw) {
            unquote(self.raw)
        } else if self.raw.contains(['\r', '\n']) {
            Cow::Owned(unfold(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

fn is_one_quoted(raw: &str) -> bool {
    raw.starts_with('"') && super::params::quoted_length(raw.as_bytes()) == Some(raw.len())
}

/// Written quoted, unless it is empty.
impl fmt::Display for DisplayName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_one_quoted(self.raw) && !self.raw.contains(|c: char| c.is_control()) {
            f.write_str(self.raw)
        } else {
            Quoted(&self.text()).fmt(f)
        }
    }
}

impl<'a> NameAddr<'a> {
    /// A URI alone.
    #[must_use]
    pub const fn new(uri: Uri<'a>) -> Self {
        Self { display_name: None, uri, params: Params::NONE }
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The `q` parameter in thousandths, 0 to 1000; `None` if absent or no number.
    #[must_use]
    pub fn q_thousandths(&self) -> Option<u16> {
        parse_q(self.params.get("q")?)
    }

    /// The `expires` parameter in seconds.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        parse_seconds(self.params.get("expires")?)
    }

    /// Whether the URI has `lr`: the proxy there is a loose router (RFC 3261 §16.12).
    #[must_use]
    pub fn is_loose_route(&self) -> bool {
        self.uri.params().has("lr")
    }
}

/// The tag of one address, of which nothing else is read.
pub(crate) fn tag_in(value: &str) -> Option<&str> {
    Params::from_raw(after_address(value)?).get("tag").filter(|tag| !tag.is_empty())
}

/// What follows the URI of one address.
fn after_address(value: &str) -> Option<&str> {
    let bytes = value.as_bytes();
    let mut at = 0_usize;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'<')) {
        at = at.saturating_add(step);
        let found = bytes.get(at..)?;
        if found.first() == Some(&b'<') {
            let end = memchr::memchr(b'>', found)?;
            return value.get(at.saturating_add(end).saturating_add(1)..);
        }
        let quoted = super::params::quoted_length(found);
        // Within a name of words, a quote that is never closed is a character like others.
        at = at.saturating_add(quoted.or((at > 0).then_some(1))?);
    }
    Some(value.find(';').and_then(|at| value.get(at..)).unwrap_or_default())
}

/// `qvalue`: 0 to 1 with up to three decimals, in thousandths.
pub(crate) fn parse_q(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = match whole {
        "0" | "" => 0_u16,
        "1" => 1000,
        _ => return None,
    };
    let mut thousandths = decimals.parse::<u16>().unwrap_or(0);
    for _ in decimals.len()..3 {
        thousandths = thousandths.saturating_mul(10);
    }
    Some(whole.saturating_add(thousandths)).filter(|q| *q <= 1000)
}

/// Seconds; more than 2^32 − 1 counts as that (RFC 3261 §20.19 leaves the rest to the server).
pub(crate) fn parse_seconds(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

impl<'a> HeaderValue<'a> for NameAddr<'a> {
    const NAME: HeaderName = HeaderName::Contact;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let (display_name, uri) = scan_address(scanner)?;
        let params = Params::scan(scanner)?;
        Ok(Self { display_name, uri, params })
    }

    fn write_strict(&self, out: &mut String) {
        use std::fmt::Write;
        let uri = self.uri.to_strict();
        let address = NameAddr { display_name: self.display_name, uri: uri.as_uri(), params: self.params };
        let _ = write!(out, "{address}");
    }
}

fn scan_address<'a>(scanner: &mut Scanner<'a>) -> Result<(Option<DisplayName<'a>>, Uri<'a>), ParseError> {
    let start = scanner.position();
    if scanner.peek() == Some(b'"') {
        let raw = scanner.quoted()?;
        scanner.skip_space();
        if scanner.peek() != Some(b'<') {
            // Old devices write more words after the closing quote.
            let bracket = memchr::memchr2(b'<', b',', scanner.rest().as_bytes());
            let Some(length) = bracket.filter(|at| scanner.rest().as_bytes().get(*at) == Some(&b'<')) else {
                return Err(scanner.expected("`<` after a display name"));
            };
            scanner.forgive(scanner.position(), Liberty::UnquotedDisplayName, "`<` after a display name")?;
            scanner.advance(length);
            let raw = scanner.since(start).trim_end_matches([' ', '\t', '\r', '\n']);
            return Ok((Some(DisplayName { raw }), scan_bracketed(scanner)?));
        }
        return Ok((Some(DisplayName { raw }), scan_bracketed(scanner)?));
    }
    if scanner.peek() == Some(b'<') {
        return Ok((None, scan_bracketed(scanner)?));
    }
    // A display name ends at `<`. An addr-spec has none, and holds neither comma nor semicolon.
    let length = memchr::memchr3(b'<', b',', b';', scanner.rest().as_bytes());
    let stop = length.and_then(|at| scanner.rest().as_bytes().get(at).copied());
    let length = length.unwrap_or(scanner.rest().len());
    let text = scanner.rest().get(..length).unwrap_or_default().trim_end_matches([' ', '\t', '\r', '\n']);
    let has_later_bracket = || {
        // `Tom; the Great <sip:…>`: a bracket that comes later, with no colon before, can only mean a name.
        let rest = scanner.rest();
        let bracket = rest.find('<');
        bracket.filter(|at| !rest.get(..*at).unwrap_or_default().contains(':'))
    };
    if stop == Some(b'<') {
        let is_tokens = text
            .split([' ', '\t', '\r', '\n'])
            .filter(|word| !word.is_empty())
            .all(|word| word.bytes().all(|byte| class::is(byte, class::TOKEN)));
        if !is_tokens {
            scanner.forgive(start, Liberty::UnquotedDisplayName, "a display name of tokens or in quotes")?;
        }
        scanner.advance(length);
        return Ok((Some(DisplayName { raw: text }), scan_bracketed(scanner)?));
    }
    if !scanner.is_strict()
        && let Some(bracket) = has_later_bracket()
    {
        scanner.forgive(start, Liberty::UnquotedDisplayName, "a display name in quotes")?;
        let raw = scanner.rest().get(..bracket).unwrap_or_default().trim_end_matches([' ', '\t', '\r', '\n']);
        scanner.advance(bracket);
        return Ok((Some(DisplayName { raw }), scan_bracketed(scanner)?));
    }
    if text.is_empty() {
        return Err(scanner.expected("an address"));
    }
    // White space ends an addr-spec.
    let end = text.bytes().position(|byte| class::is(byte, class::SPACE)).unwrap_or(text.len());
    if let Some(at) = text.find('?') {
        scanner.forgive(
            start.saturating_add(at),
            Liberty::UnbracketedUri,
            "`<` around a URI with a question mark",
        )?;
    }
    let uri = Uri::scan(scanner, start.saturating_add(end))?;
    Ok((None, uri))
}

/// `<URI>`, the cursor on the bracket.
fn scan_bracketed<'a>(scanner: &mut Scanner<'a>) -> Result<Uri<'a>, ParseError> {
    scanner.advance(1);
    let start = scanner.position();
    let Some(length) = memchr::memchr(b'>', scanner.rest().as_bytes()) else {
        return Err(scanner.error(Problem::Expected("`>` after a URI")));
    };
    let inner = scanner.rest().get(..length).unwrap_or_default();
    let trimmed = inner.trim_matches([' ', '\t', '\r', '\n']);
    if trimmed.len() != inner.len() {
        scanner.forgive(start, Liberty::BracketSpace, "a URI without white space around it")?;
        scanner.skip_space();
    }
    let end = scanner.position().saturating_add(trimmed.len());
    let uri = Uri::scan(scanner, end)?;
    scanner.skip_space();
    scanner.eat(b'>');
    Ok(uri)
}

/// Written with angle brackets, always.
impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.display_name {
            write!(f, "{name} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// What a Contact header says: everything, or a list.
#[derive(Debug, Clone)]
pub enum Contacts<'a> {
    /// `*`: all bindings (RFC 3261 §10.2.2).
    Wildcard,
    /// The addresses; empty without a Contact header.
    List(Vec<NameAddr<'a>>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    fn strict(text: &str) -> Result<NameAddr<'_>, ParseError> {
        NameAddr::parse(text, Attitude::Strict)
    }

    #[test]
    fn the_tag_of_an_addr_spec_is_the_headers() {
        let from = strict("sip:a@example.com;tag=abc").unwrap();
        assert_eq!(from.tag(), Some("abc"));
        assert_eq!(from.uri.as_str(), "sip:a@example.com");
        let from = strict("<sip:a@example.com;x=y>;tag=abc").unwrap();
        assert_eq!(from.uri.params().get("x"), Some("y"));
        assert_eq!(from.tag(), Some("abc"));
    }

    #[test]
    fn display_names() {
        let address = strict("\"A \\\"quoted\\\" name\" <sip:a@b>").unwrap();
        assert_eq!(address.display_name.unwrap().text(), "A \"quoted\" name");
        assert_eq!(strict("Mr. Watson <sip:a@b>").unwrap().display_name.unwrap().text(), "Mr. Watson");
        assert_eq!(strict("\"\"<sip:a@b>").unwrap().display_name.unwrap().text(), "");
        assert!(strict("<sip:a@b>").unwrap().display_name.is_none());
    }

    #[test]
    fn odd_names_are_forgiven() {
        for text in [
            "Bell, Alexander <sip:a@b>;tag=1",
            "Tom; x <sip:a@b>;tag=1",
            "J\u{f6}rg <sip:a@b>;tag=1",
            "\"a\" b <sip:a@b>;tag=1",
            "< sip:a@b >;tag=1",
        ] {
            assert!(strict(text).is_err(), "{text}");
            let address = NameAddr::parse(text, Attitude::Lenient).unwrap();
            assert_eq!((address.uri.as_str(), address.tag()), ("sip:a@b", Some("1")), "{text}");
        }
    }

    #[test]
    fn written_quoted_and_safe() {
        let uri = Uri::parse("sip:a@b", Attitude::Strict).unwrap();
        let mut address = NameAddr::new(uri);
        address.display_name = Some(DisplayName::new("a\"\r\nEvil: x"));
        assert_eq!(address.to_string(), "\"a\\\" Evil: x\" <sip:a@b>");
        address.display_name = Some(DisplayName::new("Plain"));
        assert_eq!(address.to_string(), "\"Plain\" <sip:a@b>");
        address.display_name = Some(DisplayName::new("\"kept\""));
        assert_eq!(address.to_string(), "\"kept\" <sip:a@b>");
    }

    #[test]
    fn q_values() {
        assert_eq!(parse_q("0.7"), Some(700));
        assert_eq!(parse_q("1"), Some(1000));
        assert_eq!(parse_q("1.001"), None);
        assert_eq!(parse_q(".5"), Some(500));
        assert_eq!(parse_q("0.1234"), None);
    }

    #[test]
    fn what_follows_an_address_is_what_its_reader_finds() {
        for text in [
            "<sip:a@b.example>",
            "<sip:a@b.example>;tag=1",
            "sip:a@b.example;tag=1",
            "sip:a@b.example",
            "\"A <;> \\\" B\" <sip:a;x=y@b.example;lr?h=1> ; tag=1;x=\"<;>\"",
            "A B <sip:a@b.example;tag=no>;x;tag=1",
            "Tom; x <sip:a@b>;tag=1",
            "\"A\"<tel:+81-3;phone-context=x>;tag=1",
            "5\" disk <sip:a@b>;tag=1",
        ] {
            let address = NameAddr::parse(text, Attitude::Lenient).unwrap();
            let params = Params::from_raw(after_address(text).unwrap());
            assert_eq!(params.get("tag"), address.params.get("tag"), "{text}");
            assert_eq!(tag_in(text), address.tag(), "{text}");
            assert_eq!(params.iter().count(), address.params.iter().count(), "{text}");
        }
        for broken in ["\"A", "<sip:a@b.example", "\"A <sip:a>"] {
            assert_eq!(after_address(broken), None, "{broken}");
        }
    }
}
