//! How a telephone is to ring: `Alert-Info` (RFC 3261 §20.4, RFC 7462), and the ways of those who came before.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::header::{Fields, HeaderName};

/// A distinctive ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ring {
    /// A call from inside: `urn:alert:source:internal`, `info=alert-internal`.
    Internal,
    /// A call from outside.
    External,
    /// A friend's, a very important person's, a particular one's: the words after `urn:alert:source:`.
    Source(String),
    /// `urn:alert:priority:high` or `low`.
    Priority(String),
    /// One of the numbered cadences: `Bellcore-dr1` to `dr8`, `ring-2`.
    Cadence(u8),
    /// A call that was waiting, transferred, forwarded, a recall: the word after `urn:alert:service:`.
    Service(String),
    /// A sound to be fetched; whether it is, is the application's decision.
    Sound(String),
}

impl Ring {
    /// What a call or a 180 asks for, the most wanted first.
    #[must_use]
    pub fn read(message: &Fields) -> Vec<Self> {
        message
            .get_all(HeaderName::AlertInfo)
            .flat_map(|line| line.split(','))
            .filter_map(Self::of)
            .take(8)
            .collect()
    }

    /// The value of `Alert-Info` that asks for it.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Internal => "<urn:alert:source:internal>".to_owned(),
            Self::External => "<urn:alert:source:external>".to_owned(),
            Self::Source(word) => format!("<urn:alert:source:{}>", word_of(word)),
            Self::Priority(word) => format!("<urn:alert:priority:{}>", word_of(word)),
            Self::Service(word) => format!("<urn:alert:service:{}>", word_of(word)),
            Self::Cadence(number) => {
                format!("<http://127.0.0.1/Bellcore-dr{number}>;info=Bellcore-dr{number}")
            }
            Self::Sound(uri) => format!("<{}>", uri.replace(['<', '>', '"'], "")),
        }
    }

    fn of(value: &str) -> Option<Self> {
        let lower = value.trim().to_ascii_lowercase();
        if let Some(at) = lower.find("bellcore-dr") {
            return number_after(&lower, at, "bellcore-dr");
        }
        if let Some(info) = lower.split("info=").nth(1) {
            let info = info.trim_matches(['"', ' ']);
            match info {
                it if it.starts_with("alert-internal") || it == "internal" => return Some(Self::Internal),
                it if it.starts_with("alert-external") || it == "external" => return Some(Self::External),
                it if it.starts_with("ring") => return number_after(it, 0, "ring"),
                _ => {}
            }
        }
        let (_, rest) = value.split_once('<')?;
        let (uri, _) = rest.split_once('>')?;
        let lower = uri.to_ascii_lowercase();
        Some(match lower.strip_prefix("urn:alert:") {
            Some("source:internal") => Self::Internal,
            Some("source:external") => Self::External,
            Some(other) => match other.split_once(':')? {
                ("source", word) => Self::Source(word.to_owned()),
                ("priority", word) => Self::Priority(word.to_owned()),
                ("service", word) => Self::Service(word.to_owned()),
                _ => return None,
            },
            None => Self::Sound(uri.to_owned()),
        })
    }
}

fn number_after(text: &str, at: usize, prefix: &str) -> Option<Ring> {
    let digits = text.get(at.checked_add(prefix.len())?..)?.trim_start_matches(['-', '_']);
    let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok().map(Ring::Cadence)
}

fn word_of(word: &str) -> String {
    word.chars().filter(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | ':' | '.')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Request};

    #[test]
    fn rings_as_they_are_asked_for_in_practice() {
        let read = |value: &str| {
            Ring::read(
                &Request::builder(Method::Invite, "sip:b@c").header("Alert-Info", value).finish().unwrap(),
            )
        };
        assert_eq!(read("<urn:alert:source:internal>"), [Ring::Internal]);
        assert_eq!(read("<http://www.notused.com>;info=alert-external;x-line-id=0"), [Ring::External]);
        assert_eq!(read("<http://127.0.0.1/Bellcore-dr3>"), [Ring::Cadence(3)]);
        assert_eq!(read("Bellcore-dr2"), [Ring::Cadence(2)]);
        assert_eq!(read("info=ring-4"), [Ring::Cadence(4)]);
        assert_eq!(
            read("<urn:alert:priority:high>, <http://x.example/tune.wav>"),
            [Ring::Priority("high".to_owned()), Ring::Sound("http://x.example/tune.wav".to_owned())]
        );
        assert_eq!(read("<urn:alert:service:recall:calling>"), [Ring::Service("recall:calling".to_owned())]);
        assert_eq!(read("nothing"), []);
        for ring in [
            Ring::Internal,
            Ring::Cadence(5),
            Ring::Service("forward".to_owned()),
            Ring::Source("friend".to_owned()),
        ] {
            assert_eq!(read(&ring.value()), [ring]);
        }
    }
}
