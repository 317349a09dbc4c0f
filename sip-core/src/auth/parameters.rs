//! The values of `WWW-Authenticate`, `Proxy-Authenticate`, `Authorization`, `Proxy-Authorization` and
//! `Authentication-Info`: a scheme and a comma list of parameters (RFC 3261 §25.1, RFC 7235 §2.1).
//!
//! Lenient where telephones are: missing commas (RFC 3665 prints one; erratum 4047), spaces around `=`, unquoted
//! values, empty elements. Values are lent out between their quotes, escapes untouched, for that is the form the
//! digest covers.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

/// A scheme and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct AuthValue<'a> {
    /// `Digest`, or what else it is. Empty for `Authentication-Info`.
    pub scheme: &'a str,
    parameters: &'a str,
}

impl<'a> AuthValue<'a> {
    /// Reads a value that begins with a scheme.
    #[must_use]
    pub fn with_scheme(value: &'a str) -> Self {
        let value = value.trim();
        let (scheme, parameters) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        Self { scheme, parameters }
    }

    /// Reads a value without scheme: `Authentication-Info`.
    #[must_use]
    pub const fn without_scheme(value: &'a str) -> Self {
        Self { scheme: "", parameters: value }
    }

    /// Whether the scheme is `Digest`.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// Each parameter, in order.
    #[must_use]
    pub fn iter(&self) -> AuthParameters<'a> {
        AuthParameters { rest: self.parameters }
    }

    /// The first parameter of a name, between its quotes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Iterates over parameters.
#[derive(Clone, Debug)]
pub struct AuthParameters<'a> {
    rest: &'a str,
}

impl<'a> Iterator for AuthParameters<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.rest = self.rest.trim_start_matches([',', ' ', '\t', '\r', '\n']);
            if self.rest.is_empty() {
                return None;
            }
            let end = self.rest.find(['=', ',', ' ', '\t']).unwrap_or(self.rest.len());
            let (name, after) = self.rest.split_at_checked(end)?;
            let Some(after) = after.trim_start().strip_prefix('=') else {
                // A word without value: passed over, and it is not empty, so this ends.
                self.rest = after.trim_start_matches([',', ' ', '\t']);
                if name.is_empty() {
                    self.rest = "";
                }
                continue;
            };
            let after = after.trim_start();
            let (value, rest) = match after.strip_prefix('"') {
                Some(quoted) => split_quoted(quoted),
                None => {
                    let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
                    after.split_at_checked(end)?
                }
            };
            self.rest = rest;
            return Some((name, value));
        }
    }
}

/// Splits behind the closing quote; an unclosed one closes at the end.
fn split_quoted(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => {
                let value = text.get(..at).unwrap_or_default();
                return (value, text.get(at.saturating_add(1)..).unwrap_or_default());
            }
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text, "")
}

/// A quoted value with its escapes taken out.
#[must_use]
pub fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        out.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    Cow::Owned(out)
}

/// Text made fit to stand between quotes.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['"', '\\']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .flat_map(|it| matches!(it, '"' | '\\').then_some('\\').into_iter().chain([it]))
            .collect(),
    )
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_read_as_telephones_write_them() {
        let value = AuthValue::with_scheme(
            r#"Digest username="bob \"x\"", realm="atlanta.example.com" nonce="a=b,c" , , qop=auth,nc = 00000001,opaque="""#,
        );
        assert!(value.is_digest());
        assert_eq!(value.get("username"), Some(r#"bob \"x\""#));
        assert_eq!(unescape(value.get("Username").unwrap()), r#"bob "x""#);
        assert_eq!(value.get("realm"), Some("atlanta.example.com"));
        assert_eq!(value.get("nonce"), Some("a=b,c"));
        assert_eq!(value.get("qop"), Some("auth"));
        assert_eq!(value.get("nc"), Some("00000001"));
        assert_eq!(value.get("opaque"), Some(""));
        assert_eq!(value.get("cnonce"), None);
        assert_eq!(AuthValue::without_scheme(r#"nextnonce="x""#).get("nextnonce"), Some("x"));
    }

    proptest! {
        #[test]
        fn anything_may_come(text in ".{0,60}") {
            let value = AuthValue::with_scheme(&text);
            prop_assert!(value.iter().count() <= text.len());
        }

        #[test]
        fn what_is_escaped_is_read_back(text in "[^\r\n]{0,30}") {
            let written = format!("Digest realm=\"{}\", x=y", escape(&text));
            let value = AuthValue::with_scheme(&written);
            prop_assert_eq!(unescape(value.get("realm").unwrap()), text);
            prop_assert_eq!(value.get("x"), Some("y"));
        }
    }
}
