//! Challenges and credentials as they stand on the wire: a scheme and its parameters (RFC 3261 §20.7, §20.27, §20.28,
//! §20.44; RFC 7616, RFC 8760). What the parameters mean is the business of digest authentication.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{borrow::Cow, fmt};

use nom::{branch::alt, sequence::separated_pair};

use super::{HeaderName, HeaderValue, Quoted, Scanner, grammar, scan::unquote};
use crate::{
    error::{Liberty, ParseError, Problem},
    limits::Limit,
    message::class,
};

/// `WWW-Authenticate`, `Proxy-Authenticate`, `Authorization` or `Proxy-Authorization`.
///
/// Although a comma separates the parameters, each challenge has a header line of its own (RFC 3261 §20.44 excepts these
/// headers from joining), so a line is one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthValue<'a> {
    /// Such as `Digest`, in any case.
    pub scheme: &'a str,
    /// What follows the scheme.
    pub params: AuthParams<'a>,
}

/// `name=value` pairs in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthParams<'a> {
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> AuthParams<'a> {
    /// The value without its quotes and escapes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw(name).map(unquote)
    }

    /// The value as written, with quotes if it has any.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.list.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// All of them, values as written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.list.iter().copied()
    }

    /// Whether one name stands there more than once, which no sender may do.
    #[must_use]
    pub fn has_duplicates(&self) -> bool {
        self.list.iter().enumerate().any(|(at, (name, _))| {
            self.list.iter().skip(at.saturating_add(1)).any(|(other, _)| other.eq_ignore_ascii_case(name))
        })
    }
}

impl<'a> HeaderValue<'a> for AuthValue<'a> {
    const NAME: HeaderName = HeaderName::Authorization;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let scheme = scanner.token("an authentication scheme")?;
        let params = scan_params(scanner)?;
        Ok(Self { scheme, params })
    }
}

/// `Authentication-Info` and `Proxy-Authentication-Info`: parameters without a scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthInfo<'a> {
    /// `nextnonce`, `rspauth` and so on.
    pub params: AuthParams<'a>,
}

impl<'a> HeaderValue<'a> for AuthInfo<'a> {
    const NAME: HeaderName = HeaderName::AuthenticationInfo;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        Ok(Self { params: scan_params(scanner)? })
    }
}

fn scan_params<'a>(scanner: &mut Scanner<'a>) -> Result<AuthParams<'a>, ParseError> {
    let mut list = Vec::new();
    loop {
        scanner.skip_space();
        if scanner.is_at_end() {
            break;
        }
        if scanner.peek() == Some(b',') {
            scanner.forgive(scanner.position(), Liberty::ListSeparator, "a parameter before the comma")?;
            scanner.eat_separator(b',');
            continue;
        }
        let before = scanner.position();
        let pair = scanner.grammar(
            separated_pair(grammar::token, grammar::separator('='), alt((grammar::quoted, grammar::token))),
            "name=value",
        );
        let is_whole = matches!(scanner.peek(), None | Some(b',')) || scanner.peek().is_some_and(is_space);
        let pair = match pair {
            Ok(pair) if is_whole => pair,
            Ok(_) => {
                let error = scanner.expected("a comma or the end of the value");
                scanner.set_position(before);
                lenient_param(scanner, error)?
            }
            Err(error) => lenient_param(scanner, error)?,
        };
        if list.len() >= usize::from(scanner.limits().params) {
            return Err(scanner.error(Problem::Limit(Limit::Params)));
        }
        list.push(pair);
        let comma = scanner.position();
        if !scanner.eat_separator(b',') {
            break;
        }
        if scanner.is_at_end() {
            scanner.forgive(comma, Liberty::ListSeparator, "a parameter after the comma")?;
        }
    }
    Ok(AuthParams { list })
}

fn is_space(byte: u8) -> bool {
    class::is(byte, class::SPACE)
}

/// Values such as `uri=sip:a@b` without quotes, which some devices send, run to the next comma.
fn lenient_param<'a>(scanner: &mut Scanner<'a>, error: ParseError) -> Result<(&'a str, &'a str), ParseError> {
    let name = scanner.run(class::TOKEN);
    if name.is_empty() || !scanner.eat_separator(b'=') || scanner.peek() == Some(b'"') {
        return Err(error);
    }
    let start = scanner.position();
    let length = memchr::memchr(b',', scanner.rest().as_bytes()).unwrap_or(scanner.rest().len());
    scanner.forgive(start, Liberty::UnquotedParameter, "a token or a quoted string")?;
    scanner.advance(length);
    Ok((name, scanner.since(start).trim_end_matches([' ', '\t', '\r', '\n'])))
}

impl fmt::Display for AuthValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scheme, self.params)
    }
}

impl fmt::Display for AuthInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.params.fmt(f)
    }
}

impl fmt::Display for AuthParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

/// Makes a challenge or credentials: each value quoted or bare as the grammar of its parameter says.
#[derive(Debug, Clone)]
pub struct AuthBuilder {
    text: String,
    is_first: bool,
}

impl AuthBuilder {
    /// Starts with a scheme, usually `Digest`; an empty one makes an `Authentication-Info`.
    #[must_use]
    pub fn new(scheme: &str) -> Self {
        Self { text: scheme.to_owned(), is_first: true }
    }

    /// Adds `name="value"`.
    #[must_use]
    pub fn quoted(mut self, name: &str, value: &str) -> Self {
        self.push(name, format_args!("{}", Quoted(value)));
        self
    }

    /// Adds `name=value`.
    #[must_use]
    pub fn bare(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.push(name, format_args!("{value}"));
        self
    }

    fn push(&mut self, name: &str, value: fmt::Arguments<'_>) {
        use fmt::Write;
        let separator = match (self.is_first, self.text.is_empty()) {
            (true, true) => "",
            (true, false) => " ",
            (false, _) => ", ",
        };
        self.is_first = false;
        let _ = write!(self.text, "{separator}{name}={value}");
    }
}

impl fmt::Display for AuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    #[test]
    fn credentials_are_taken_apart() {
        let text = "Digest username=\"bob\", realm=\"a, \\\"b\\\"\",nonce=\"x\" , uri=\"sip:a\",qop=auth,nc=00000001";
        let value = AuthValue::parse(text, Attitude::Strict).unwrap();
        assert_eq!(value.scheme, "Digest");
        assert_eq!(value.params.get("REALM").unwrap(), "a, \"b\"");
        assert_eq!(value.params.get("qop").unwrap(), "auth");
        assert_eq!(value.params.iter().count(), 6);
        assert_eq!(value.params.get("missing"), None);
    }

    #[test]
    fn bare_uris_are_forgiven() {
        let text = "Digest uri=sip:a@b:5060, response=\"x\"";
        assert!(AuthValue::parse(text, Attitude::Strict).is_err());
        let value = AuthValue::parse(text, Attitude::Lenient).unwrap();
        assert_eq!(value.params.get("uri").unwrap(), "sip:a@b:5060");
        assert_eq!(value.params.get("response").unwrap(), "x");
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = AuthBuilder::new("Digest").quoted("realm", "a\"b").bare("stale", "true").to_string();
        assert_eq!(text, "Digest realm=\"a\\\"b\", stale=true");
        let value = AuthValue::parse(&text, Attitude::Strict).unwrap();
        assert_eq!(value.to_string(), text);
        assert!(!value.params.has_duplicates());
        assert_eq!(AuthBuilder::new("").quoted("nextnonce", "n").to_string(), "nextnonce=\"n\"");
    }
}
