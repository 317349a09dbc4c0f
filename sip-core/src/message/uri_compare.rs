//! When two URIs are the same (RFC 3261 §19.1.4, RFC 3966 §4), and escaping.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use super::{
    class,
    uri::{Scheme, Uri},
};
use crate::header::Params;

/// Whether two URIs are equivalent.
pub(crate) fn is_equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    // A parameter that is there twice must not make a URI differ from itself.
    if a.as_str() == b.as_str() {
        return true;
    }
    match (a.scheme(), b.scheme()) {
        (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => is_same_sip(a, b),
        (Scheme::Tel, Scheme::Tel) => is_same_tel(a, b),
        (Scheme::Other, Scheme::Other) => {
            a.scheme_str().eq_ignore_ascii_case(b.scheme_str()) && a.opaque() == b.opaque()
        }
        _ => false,
    }
}

fn is_same_sip(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let users = match (a.user(), b.user()) {
        (Some(x), Some(y)) => is_same_escaped(x, y, false),
        (None, None) => true,
        _ => false,
    };
    let passwords = match (a.password(), b.password()) {
        (Some(x), Some(y)) => is_same_escaped(x, y, false),
        (None, None) => true,
        _ => false,
    };
    let hosts = match (a.host(), b.host()) {
        (Some(x), Some(y)) => x.is_same(&y),
        (None, None) => true,
        _ => false,
    };
    users
        && passwords
        && hosts
        && a.port() == b.port()
        && are_same_params(a.params(), b.params())
        && are_same_headers(a, b)
}

/// Parameters in both must match; these few must be in both or in none; the others are ignored when in one only.
fn are_same_params(a: Params<'_>, b: Params<'_>) -> bool {
    const SIGNIFICANT: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    let covers = |one: Params<'_>, other: Params<'_>| {
        one.iter().all(|param| match other.find(param.name) {
            Some(twin) => match (param.value, twin.value) {
                (Some(x), Some(y)) => is_same_escaped(x, y, true),
                (None, None) => true,
                _ => false,
            },
            None => !SIGNIFICANT.iter().any(|name| param.name.eq_ignore_ascii_case(name)),
        })
    };
    covers(a, b) && covers(b, a)
}

fn are_same_headers(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    if a.headers_str().is_none() && b.headers_str().is_none() {
        return true;
    }
    // As many on both sides, and each of one side in the other. A URI carries a handful at most.
    let within = |one: &Uri<'_>, other: &Uri<'_>| {
        one.headers().take(64).all(|(name, value)| {
            other
                .headers()
                .take(64)
                .any(|(n, v)| is_same_escaped(name, n, true) && is_same_escaped(value, v, false))
        })
    };
    a.headers().count() == b.headers().count() && within(a, b) && within(b, a)
}

fn is_same_tel(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let digits = |uri: &Uri<'_>| -> String {
        uri.user()
            .unwrap_or_default()
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let covers = |one: Params<'_>, other: Params<'_>| {
        one.iter().all(|param| {
            other.find(param.name).is_some_and(|twin| {
                let plain = |value: Option<&str>| -> String {
                    value
                        .unwrap_or_default()
                        .chars()
                        .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
                        .map(|c| c.to_ascii_lowercase())
                        .collect()
                };
                match param.name {
                    name if name.eq_ignore_ascii_case("ext")
                        || name.eq_ignore_ascii_case("phone-context") =>
                    {
                        plain(param.value) == plain(twin.value)
                    }
                    _ => match (param.value, twin.value) {
                        (Some(x), Some(y)) => is_same_escaped(x, y, true),
                        (None, None) => true,
                        _ => false,
                    },
                }
            })
        })
    };
    digits(a) == digits(b) && covers(a.params(), b.params()) && covers(b.params(), a.params())
}

/// Whether two texts are the same once `%41` is read as `A`. A reserved character is not its escape (§19.1.4: characters
/// other than those in the reserved set are equivalent to their escape).
fn is_same_escaped(a: &str, b: &str, ignore_case: bool) -> bool {
    let mut left = Letters(a.as_bytes());
    let mut right = Letters(b.as_bytes());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some((x, x_reserved)), Some((y, y_reserved))) => {
                let same = if ignore_case { x.eq_ignore_ascii_case(&y) } else { x == y };
                if !same || x_reserved != y_reserved {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Bytes with escapes undone; the flag tells an escaped reserved byte from a bare one.
struct Letters<'a>(&'a [u8]);

impl Iterator for Letters<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        match self.0 {
            [b'%', a, b, rest @ ..] => {
                if let (Some(high), Some(low)) = (hex(*a), hex(*b)) {
                    self.0 = rest;
                    let byte = (high << 4) | low;
                    let reserved =
                        matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',');
                    return Some((byte, reserved));
                }
                self.0 = self.0.get(1..).unwrap_or_default();
                Some((b'%', false))
            }
            [byte, rest @ ..] => {
                self.0 = rest;
                Some((*byte, false))
            }
            [] => None,
        }
    }
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte & 0x0f),
        b'a'..=b'f' | b'A'..=b'F' => Some((byte & 0x0f).wrapping_add(9)),
        _ => None,
    }
}

/// Undoes escapes. What does not become UTF-8 stays as it was.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes: Vec<u8> = Letters(text.as_bytes()).map(|(byte, _)| byte).collect();
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Escapes every byte that is not of the class.
pub(crate) fn escape(text: &str, mask: u8) -> Cow<'_, str> {
    if text.bytes().all(|byte| class::is(byte, mask)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(8));
    for byte in text.bytes() {
        if class::is(byte, mask) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0').to_ascii_uppercase());
            out.push(char::from_digit(u32::from(byte & 0x0f), 16).unwrap_or('0').to_ascii_uppercase());
        }
    }
    Cow::Owned(out)
}

/// As [`escape`], for a text that has escapes already: those that are some are kept.
pub(crate) fn escape_anew(text: &str, mask: u8) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(8));
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let escaped = rest
            .get(..3)
            .filter(|part| matches!(part.as_bytes(), [b'%', a, b] if hex(*a).is_some() && hex(*b).is_some()));
        let (part, length) = match escaped {
            Some(part) => (Cow::Borrowed(part), 3),
            None => {
                let length = character.len_utf8();
                (escape(rest.get(..length).unwrap_or_default(), mask), length)
            }
        };
        out.push_str(&part);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// As [`escape_anew`], for a password, in which fewer characters may stand than in a user (RFC 3261 §25.1).
pub(crate) fn escape_password(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(8));
    for character in escape_anew(text, class::USER).chars() {
        match character {
            ';' | '?' | '/' | ':' => out.push_str(&escape(character.encode_utf8(&mut [0; 4]), class::DIGIT)),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Attitude;

    fn same(a: &str, b: &str) -> bool {
        Uri::parse(a, Attitude::Strict).unwrap() == Uri::parse(b, Attitude::Strict).unwrap()
    }

    /// RFC 3261 §19.1.4, both lists.
    #[test]
    fn examples_of_the_rfc() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(same(a, b), "{a} {b}");
            assert!(same(b, a), "{b} {a}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ] {
            assert!(!same(a, b), "{a} {b}");
            assert!(!same(b, a), "{b} {a}");
        }
    }

    #[test]
    fn telephone_numbers_without_their_decoration() {
        assert!(same("tel:+1-201-555-0123", "tel:+1(201)5550123"));
        assert!(!same("tel:+12015550123", "tel:+12015550124"));
        assert!(!same("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.org"));
    }

    #[test]
    fn escaping_goes_there_and_back() {
        assert_eq!(escape("a%b c", class::USER), "a%25b%20c");
        assert_eq!(unescape("a%25b%20c"), "a%b c");
        assert_eq!(unescape("%zz%ff"), "%zz%ff");
    }
}
