//! Headers that are words, numbers or opaque text: tokens (Require, Priority, SIP-ETag), feature tags (Accept-Contact),
//! privacy words, resource priorities, session identifiers, user-to-user data, Identity.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{HeaderName, HeaderValue, Params, Scanner};
use crate::{
    error::{Liberty, ParseError, Problem},
    message::class,
};

/// One token, in a list or alone: Require, Supported, Allow, Allow-Events, Priority, SIP-ETag and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a>(pub &'a str);

impl<'a> HeaderValue<'a> for Token<'a> {
    const NAME: HeaderName = HeaderName::Supported;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        scanner.token("a word").map(Self)
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A number of seconds or items: Expires, Min-Expires, Max-Breadth, Flow-Timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub u32);

impl<'a> HeaderValue<'a> for Number {
    const NAME: HeaderName = HeaderName::Expires;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        match scanner.number("a number", u64::from(u32::MAX)) {
            Ok(number) => Ok(Self(u32::try_from(number).unwrap_or(u32::MAX))),
            Err(error) if matches!(error.problem, Problem::OutOfRange { .. }) && !scanner.is_strict() => {
                // RFC 3261 §20.19 has no larger time to live than 2^32 - 1; more counts as that.
                scanner.forgive(start, Liberty::NumberForm, "a number of at most 4294967295")?;
                Ok(Self(u32::MAX))
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Call-ID: alone, or in a list in In-Reply-To.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId<'a>(pub &'a str);

impl<'a> HeaderValue<'a> for CallId<'a> {
    const NAME: HeaderName = HeaderName::CallId;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        if scanner.run(class::WORD).is_empty() {
            return Err(scanner.expected("a Call-ID"));
        }
        if scanner.eat(b'@') && scanner.run(class::WORD).is_empty() {
            return Err(scanner.expected("the second half of a Call-ID"));
        }
        Ok(Self(scanner.since(start)))
    }
}

impl fmt::Display for CallId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// `*` with feature tags: Accept-Contact, Reject-Contact (RFC 3841 §9), Feature-Caps (RFC 6809 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features<'a> {
    /// The tags, and `require`, `explicit`.
    pub params: Params<'a>,
}

impl<'a> HeaderValue<'a> for Features<'a> {
    const NAME: HeaderName = HeaderName::AcceptContact;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        if !scanner.eat(b'*') {
            return Err(scanner.expected("`*`"));
        }
        Ok(Self { params: Params::scan(scanner)? })
    }
}

impl fmt::Display for Features<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*{}", self.params)
    }
}

/// Words with semicolons between them: Privacy (RFC 3323 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privacy<'a> {
    raw: &'a str,
}

impl<'a> Privacy<'a> {
    /// Each word: `none`, `id`, `header`, `session`, `user`, `critical`, `history`.
    pub fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.raw.split([';', ',']).map(str::trim).filter(|word| !word.is_empty())
    }

    /// Whether this word is there.
    #[must_use]
    pub fn asks_for(&self, word: &str) -> bool {
        self.words().any(|other| other.eq_ignore_ascii_case(word))
    }
}

impl<'a> HeaderValue<'a> for Privacy<'a> {
    const NAME: HeaderName = HeaderName::Privacy;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        loop {
            scanner.token("a privacy word")?;
            if scanner.eat_separator(b';') {
                continue;
            }
            let at = scanner.position();
            if !scanner.eat_separator(b',') {
                return Ok(Self { raw: scanner.since(start) });
            }
            scanner.forgive(at, Liberty::ListSeparator, "a semicolon between privacy words")?;
        }
    }
}

impl fmt::Display for Privacy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw)
    }
}

/// Namespace and priority: Resource-Priority, Accept-Resource-Priority (RFC 4412 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourcePriority<'a> {
    /// Such as `dsn`.
    pub namespace: &'a str,
    /// Such as `flash`.
    pub priority: &'a str,
}

impl<'a> HeaderValue<'a> for ResourcePriority<'a> {
    const NAME: HeaderName = HeaderName::ResourcePriority;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let text = scanner.token("a namespace, a dot and a priority")?;
        let parts = text
            .split_once('.')
            .filter(|(namespace, priority)| !namespace.is_empty() && !priority.is_empty());
        let (namespace, priority) = parts.ok_or_else(|| scanner.expected("a dot and a priority"))?;
        Ok(Self { namespace, priority })
    }
}

impl fmt::Display for ResourcePriority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.priority)
    }
}

/// An opaque word or quoted text with parameters: User-to-User (RFC 7433), Session-ID (RFC 7989), Identity (RFC 8224),
/// P-Charging-Vector and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpaqueParams<'a> {
    /// The data as written.
    pub data: &'a str,
    /// Parameters: `encoding`, `remote`, `info`, `alg`, `ppt`.
    pub params: Params<'a>,
}

impl<'a> HeaderValue<'a> for OpaqueParams<'a> {
    const NAME: HeaderName = HeaderName::UserToUser;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        if scanner.peek() == Some(b'"') {
            scanner.quoted()?;
        } else {
            let bytes = scanner.rest().bytes();
            let length = bytes
                .take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"'))
                .count();
            if length == 0 {
                return Err(scanner.expected("a word or a quoted text"));
            }
            scanner.advance(length);
        }
        let data = scanner.since(start);
        Ok(Self { data, params: scan_params_with_urls(scanner)? })
    }
}

/// Parameters of which one may be a URI in angle brackets: `info=<https://…>` of Identity (RFC 8224 §4).
fn scan_params_with_urls<'a>(scanner: &mut Scanner<'a>) -> Result<Params<'a>, ParseError> {
    let start = scanner.position();
    let mut end = start;
    while scanner.eat_separator(b';') {
        scanner.token("a parameter name")?;
        if scanner.eat_separator(b'=') {
            match scanner.peek() {
                Some(b'"') => drop(scanner.quoted()?),
                Some(b'<') => {
                    let close = memchr::memchr(b'>', scanner.rest().as_bytes());
                    let close = close.ok_or_else(|| scanner.expected("`>` after a URI"))?;
                    scanner.advance(close.saturating_add(1));
                }
                _ => drop(scanner.run(class::WORD)),
            }
        }
        end = scanner.position();
    }
    scanner.set_position(end);
    Ok(Params::from_raw(scanner.since(start)))
}

impl fmt::Display for OpaqueParams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.data, self.params)
    }
}

/// `1.0`: MIME-Version (RFC 2045 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MimeVersion {
    /// Before the dot.
    pub major: u32,
    /// After the dot.
    pub minor: u32,
}

impl<'a> HeaderValue<'a> for MimeVersion {
    const NAME: HeaderName = HeaderName::MimeVersion;
    const IS_LIST: bool = false;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let major = scanner.number("a version", 999)?;
        if !scanner.eat(b'.') {
            return Err(scanner.expected("a dot"));
        }
        let minor = scanner.number("a version", 999)?;
        Ok(Self { major: u32::try_from(major).unwrap_or(0), minor: u32::try_from(minor).unwrap_or(0) })
    }
}

impl fmt::Display for MimeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Products and remarks: Server and User-Agent (RFC 3261 §20.35, §20.41).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product<'a> {
    /// Such as `denwa/1.0`, or a remark in parentheses.
    pub text: &'a str,
}

impl<'a> HeaderValue<'a> for Product<'a> {
    const NAME: HeaderName = HeaderName::UserAgent;
    const IS_LIST: bool = false;

    /// Reads the whole line, for devices write anything here; what is not a product or remark is forgiven.
    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        loop {
            let before = scanner.position();
            scanner.skip_space();
            if before == scanner.position() && before != start && !scanner.is_at_end() {
                scanner.forgive(
                    before,
                    Liberty::ListSeparator,
                    "white space between products and remarks",
                )?;
            }
            match scanner.peek() {
                None => {
                    let text = scanner.since(start).trim_end();
                    if text.is_empty() {
                        scanner.forgive(start, Liberty::EmptyValue, "a product or a remark")?;
                    }
                    return Ok(Self { text });
                }
                Some(b'(') => drop(scanner.comment()?),
                Some(_) => {
                    let product = scanner.run(class::TOKEN);
                    if product.is_empty()
                        || (scanner.eat_separator(b'/') && scanner.run(class::TOKEN).is_empty())
                    {
                        scanner.forgive(
                            scanner.position(),
                            Liberty::TrailingText,
                            "a product or a remark",
                        )?;
                        scanner.advance(scanner.rest().len());
                    }
                }
            }
        }
    }
}

impl fmt::Display for Product<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    #[test]
    fn words_of_all_kinds() {
        assert_eq!(Token::parse("100rel", Attitude::Strict).unwrap().0, "100rel");
        assert_eq!(Number::parse("4294967296", Attitude::Lenient).unwrap(), Number(u32::MAX));
        assert!(Number::parse("4294967296", Attitude::Strict).is_err());
        assert_eq!(
            Features::parse("*;audio;require", Attitude::Strict).unwrap().to_string(),
            "*;audio;require"
        );
        let privacy = Privacy::parse("id ; critical", Attitude::Strict).unwrap();
        assert!(privacy.asks_for("ID") && !privacy.asks_for("none"));
        assert!(Privacy::parse("id, critical", Attitude::Lenient).unwrap().asks_for("critical"));
        assert_eq!(ResourcePriority::parse("dsn.flash", Attitude::Strict).unwrap().priority, "flash");
        assert!(ResourcePriority::parse("dsn", Attitude::Lenient).is_err());
        let identity =
            OpaqueParams::parse("abc.def-_~;info=<https://cert.example.org/a;b>;alg=ES256", Attitude::Strict)
                .unwrap();
        assert_eq!(identity.data, "abc.def-_~");
        assert_eq!(MimeVersion::parse("1.0", Attitude::Strict).unwrap().to_string(), "1.0");
        assert_eq!(
            Product::parse("Softphone/Beta1.5 (x (y)) z", Attitude::Strict).unwrap().text,
            "Softphone/Beta1.5 (x (y)) z"
        );
        assert!(Product::parse("[odd]", Attitude::Strict).is_err());
        assert_eq!(Product::parse("[odd] thing", Attitude::Lenient).unwrap().text, "[odd] thing");
    }
}
