//! What the grammar says of a value beyond its shape (RFC 3261 §25.1, §7.3.1): numbers in their range, words that may not be
//! quoted, brackets that must be there, no parameter twice. No layer needs these to understand a message, so they are looked
//! at only when it is [validated](super::Message::validate).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    error::{Attitude, Liberty, ParseError},
    header::{
        AuthValue, HeaderName, MediaType, NameAddr, Params, Reason, RetryAfter, Scanner, SubscriptionState,
        TokenParams, Via,
    },
    message::{Host, class},
};

/// A rule for a value that started at this position; what breaks it is refused when strict.
pub(super) type Rule<T> = fn(&T, &mut Scanner<'_>, usize) -> Result<(), ParseError>;

/// `ttl`, `rport`, `maddr`, `received` and `branch` (RFC 3261 §20.42, RFC 3581 §3).
pub(super) fn via(via: &Via<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    distinct(via.params, scanner, at)?;
    for param in via.params.iter() {
        let is = |name: &str| param.name.eq_ignore_ascii_case(name);
        let value = param.value.unwrap_or_default();
        let (good, what) = if is("ttl") {
            (is_number(value, 255), "a ttl from 0 to 255")
        } else if is("rport") {
            (param.value.is_none() || is_number(value, 65_535), "a port")
        } else if is("maddr") {
            (Host::parse(value, Attitude::Strict).is_ok(), "a host")
        } else if is("received") {
            (via.received().is_some(), "an address")
        } else if is("branch") {
            (class::is_token(value), "a branch")
        } else {
            continue;
        };
        if !good {
            scanner.forgive(at, Liberty::ParameterForm, what)?;
        }
    }
    Ok(())
}

/// An address with or without angle brackets.
pub(super) fn address(
    address: &NameAddr<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    distinct(address.params, scanner, at)?;
    if address.uri.is_sip() {
        distinct(address.uri.params(), scanner, at)?;
    }
    if address.params.get("tag").is_some_and(|tag| !class::is_token(tag)) {
        scanner.forgive(at, Liberty::ParameterForm, "a tag")?;
    }
    Ok(())
}

/// An address that stands in angle brackets always: Route, Record-Route, Alert-Info and others.
pub(super) fn bracketed(
    value: &NameAddr<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    let text = scanner.since(at).trim_start_matches([' ', '\t', '\r', '\n', ',']);
    if value.display_name.is_none() && !text.starts_with('<') {
        scanner.forgive(at, Liberty::UnbracketedUri, "`<` around a URI")?;
    }
    address(value, scanner, at)
}

/// A Contact: `q` and `expires` too.
pub(super) fn contact(
    contact: &NameAddr<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    address(contact, scanner, at)?;
    quality(contact.params, scanner, at)?;
    if contact.params.get("expires").is_some_and(|text| text.parse::<u32>().is_err()) {
        scanner.forgive(at, Liberty::NumberForm, "a number of seconds")?;
    }
    Ok(())
}

/// Content-Type: every parameter has a value.
pub(super) fn media_type(
    media: &MediaType<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    distinct(media.params, scanner, at)?;
    if media.params.iter().any(|param| param.value.is_none()) {
        scanner.forgive(at, Liberty::EmptyValue, "a value of the parameter")?;
    }
    Ok(())
}

/// A media range of Accept.
pub(super) fn range(range: &MediaType<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    distinct(range.params, scanner, at)?;
    quality(range.params, scanner, at)
}

/// A word with parameters, `q` among them.
pub(super) fn weighted(
    word: &TokenParams<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    distinct(word.params, scanner, at)?;
    quality(word.params, scanner, at)
}

/// The parameters of digest: which are quoted and which are not (RFC 3261 §25.1, RFC 7616 §3.3–3.5).
pub(super) fn digest(value: &AuthValue<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    if value.params.iter().next().is_none() {
        return scanner.forgive(at, Liberty::EmptyValue, "a parameter after the scheme");
    }
    if value.params.has_duplicates() {
        scanner.forgive(at, Liberty::RepeatedParameter, "each parameter once")?;
    }
    if !value.scheme.eq_ignore_ascii_case("Digest") {
        return Ok(());
    }
    let is_challenge =
        matches!(scanner.header(), Some(HeaderName::WwwAuthenticate | HeaderName::ProxyAuthenticate));
    for (name, text) in value.params.iter() {
        let is_quoted = text.starts_with('"');
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (good, what) = match name.to_ascii_lowercase().as_str() {
            "response" => (is_quoted && is_hex(text.trim_matches('"')), "hexadecimal digits in quotes"),
            "realm" | "nonce" | "opaque" | "domain" | "username" | "uri" | "cnonce" => {
                (is_quoted, "a quoted string")
            }
            "qop" if is_challenge => (is_quoted, "a quoted string"),
            "nc" => (text.len() == 8 && is_hex(text), "eight hexadecimal digits"),
            "qop" | "algorithm" | "stale" | "userhash" => (!is_quoted, "a word without quotes"),
            _ => continue,
        };
        if !good {
            scanner.forgive(at, Liberty::ParameterForm, what)?;
        }
    }
    Ok(())
}

/// Subscription-State: `expires` and `retry-after` are seconds (RFC 6665 §8.4).
pub(super) fn subscription_state(
    state: &SubscriptionState<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    distinct(state.params, scanner, at)?;
    numbers(state.params, &["expires", "retry-after"], scanner, at)
}

/// Retry-After: `duration` is seconds (RFC 3261 §20.33).
pub(super) fn retry_after(
    value: &RetryAfter<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    distinct(value.params, scanner, at)?;
    numbers(value.params, &["duration"], scanner, at)
}

/// Reason: a cause is a number (RFC 3326 §2).
pub(super) fn reason(reason: &Reason<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    distinct(reason.params, scanner, at)?;
    numbers(reason.params, &["cause"], scanner, at)
}

/// These parameters are numbers, if they are there.
fn numbers(
    params: Params<'_>,
    names: &[&str],
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    let is_odd = |name: &&str| {
        params.find(name).is_some_and(|param| !is_number(param.value.unwrap_or_default(), u32::MAX))
    };
    if names.iter().any(is_odd) {
        scanner.forgive(at, Liberty::ParameterForm, "a number as the parameter's value")?;
    }
    Ok(())
}

/// A parameter may be there once (§7.3.1). There are few of them, and a limit to their number.
pub(super) fn distinct(params: Params<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    let is_repeated = params.iter().enumerate().any(|(index, param)| {
        let later = params.iter().skip(index.saturating_add(1));
        later
            .take(usize::from(scanner.limits().params))
            .any(|other| other.name.eq_ignore_ascii_case(param.name))
    });
    if is_repeated { scanner.forgive(at, Liberty::RepeatedParameter, "each parameter once") } else { Ok(()) }
}

/// `q` from 0 to 1 with three decimals at most, and a digit before the point.
fn quality(params: Params<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    let Some(text) = params.get("q") else { return Ok(()) };
    if text.starts_with('.') || crate::header::parse_q(text).is_none() {
        scanner.forgive(at, Liberty::NumberForm, "a q from 0 to 1")?;
    }
    Ok(())
}

fn is_number(text: &str, most: u32) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse().is_ok_and(|number: u32| number <= most)
}
