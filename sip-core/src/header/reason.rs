//! Reason (RFC 3326) and Warning (RFC 3261 §20.43).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{borrow::Cow, fmt};

use nom::{Parser, branch::alt, bytes::complete::take_while1};

use super::{HeaderName, HeaderValue, Params, Quoted, Scanner, grammar, scan::unquote};
use crate::{
    error::{Attitude, Liberty, ParseError},
    message::{Host, class},
};

/// Why a request was sent or a dialog ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850` or another.
    pub protocol: &'a str,
    /// `cause`, `text` and others.
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// The number in terms of the protocol.
    #[must_use]
    pub fn cause(&self) -> Option<u32> {
        self.params.number("cause")
    }

    /// The text for people.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        self.params.unquoted("text")
    }
}

impl<'a> HeaderValue<'a> for Reason<'a> {
    const NAME: HeaderName = HeaderName::Reason;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let protocol = scanner.token("a protocol")?;
        Ok(Self { protocol, params: Params::scan(scanner)? })
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.protocol, self.params)
    }
}

/// More about a status (RFC 3261 §20.43).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning<'a> {
    /// 300 to 399 for SIP.
    pub code: u16,
    /// Who warns: host and port, or a pseudonym.
    pub agent: &'a str,
    /// The text for people, without quotes.
    pub text: Cow<'a, str>,
}

impl<'a> HeaderValue<'a> for Warning<'a> {
    const NAME: HeaderName = HeaderName::Warning;
    const IS_LIST: bool = true;

    fn scan(scanner: &mut Scanner<'a>) -> Result<Self, ParseError> {
        scanner.skip_space();
        let start = scanner.position();
        let code = scanner.number("a warning code", 999)?;
        if scanner.since(start).len() != 3 {
            scanner.forgive(start, Liberty::NumberForm, "a warning code of three digits")?;
        }
        let code = u16::try_from(code).unwrap_or(399);
        let spaced = scanner.position();
        scanner.skip_space();
        let start = scanner.position();
        if start == spaced {
            scanner.forgive(start, Liberty::ListSeparator, "a space after the warning code")?;
        }
        let agent =
            |input| take_while1(|c: char| c.is_ascii_graphic() && !matches!(c, '"' | ',' | ';')).parse(input);
        let agent = scanner.grammar(agent, "a host or pseudonym")?;
        if !class::is_token(agent) && !is_host_and_port(agent) {
            scanner.forgive(start, Liberty::HostCharacter, "a host or pseudonym")?;
        }
        let spaced = scanner.position();
        scanner.skip_space();
        if scanner.position() == spaced {
            scanner.forgive(spaced, Liberty::ListSeparator, "a space before the text")?;
        }
        let start = scanner.position();
        let text = scanner.grammar(alt((grammar::quoted, grammar::token)), "a quoted text")?;
        if !text.starts_with('"') {
            scanner.forgive(start, Liberty::UnquotedParameter, "a quoted text")?;
        }
        Ok(Self { code, agent, text: unquote(text) })
    }
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "0"),
    };
    Host::parse(host, Attitude::Strict).is_ok()
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} {}", self.code, self.agent, Quoted(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_there_and_back() {
        let text = "307 isi.edu \"Session parameter 'foo' not understood\"";
        let warning = Warning::parse(text, Attitude::Strict).unwrap();
        assert_eq!((warning.code, warning.agent), (307, "isi.edu"));
        assert_eq!(warning.to_string(), text);
        assert!(Warning::parse("307 isi.edu", Attitude::Lenient).is_err());
        assert_eq!(Warning::parse("399 [::1]:5060 \"a, b\"", Attitude::Strict).unwrap().text, "a, b");
    }

    #[test]
    fn a_reason_with_its_cause() {
        let reason = Reason::parse("Q.850;cause=16;text=\"Terminated\"", Attitude::Strict).unwrap();
        assert_eq!((reason.protocol, reason.cause()), ("Q.850", Some(16)));
        assert_eq!(reason.text().unwrap(), "Terminated");
    }
}
