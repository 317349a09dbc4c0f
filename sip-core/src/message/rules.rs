//! What the grammar says of a value beyond its shape (RFC 3261 §25.1, §7.3.1): numbers in their range, words that may not be
//! quoted, brackets that must be there, no parameter twice. No layer needs these to understand a message, so they are looked
//! at only when it is [validated](super::Message::validate).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    error::{Attitude, Liberty, ParseError},
    header::{
        AuthValue, Event, HeaderName, MediaType, NameAddr, Param, Params, Reason, RetryAfter, Scanner,
        SubscriptionState, Token, TokenParams, Via,
    },
    message::{Host, class},
};

/// A rule for a value that started at this position; what breaks it is refused when strict.
pub(super) type Rule<T> = fn(&T, &mut Scanner<'_>, usize) -> Result<(), ParseError>;

/// `ttl`, `rport`, `maddr`, `received` and `branch` (RFC 3261 §20.42, RFC 3581 §3).
pub(super) fn via(via: &Via<'_>, scanner: &mut Scanner<'_>, _at: usize) -> Result<(), ParseError> {
    distinct(via.params, scanner)?;
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
            scanner.forgive(place(scanner, &param), Liberty::ParameterForm, what)?;
        }
    }
    Ok(())
}

/// Where a parameter's value stands, or its name if it has none.
fn place(scanner: &Scanner<'_>, param: &Param<'_>) -> usize {
    scanner.place_of(param.value.unwrap_or(param.name))
}

/// An address with or without angle brackets.
pub(super) fn address(
    address: &NameAddr<'_>,
    scanner: &mut Scanner<'_>,
    _at: usize,
) -> Result<(), ParseError> {
    distinct(address.params, scanner)?;
    if address.uri.is_sip() {
        distinct(address.uri.params(), scanner)?;
    }
    if let Some(tag) = address.params.get("tag").filter(|tag| !class::is_token(tag)) {
        scanner.forgive(scanner.place_of(tag), Liberty::ParameterForm, "a tag")?;
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

/// A URI in angle brackets and no name before it: Alert-Info, Call-Info, Error-Info.
pub(super) fn nameless(value: &NameAddr<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    if value.display_name.is_some() {
        scanner.forgive(at, Liberty::UnbracketedUri, "`<` before anything else")?;
    }
    bracketed(value, scanner, at)
}

/// A Contact: `q` and `expires` too.
pub(super) fn contact(
    contact: &NameAddr<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    address(contact, scanner, at)?;
    quality(contact.params, scanner)?;
    if let Some(text) = contact.params.get("expires").filter(|text| text.parse::<u32>().is_err()) {
        scanner.forgive(scanner.place_of(text), Liberty::NumberForm, "a number of seconds")?;
    }
    Ok(())
}

/// Content-Type: every parameter has a value.
pub(super) fn media_type(
    media: &MediaType<'_>,
    scanner: &mut Scanner<'_>,
    _at: usize,
) -> Result<(), ParseError> {
    distinct(media.params, scanner)?;
    if let Some(param) = media.params.iter().find(|param| param.value.is_none()) {
        scanner.forgive(place(scanner, &param), Liberty::EmptyValue, "a value of the parameter")?;
    }
    Ok(())
}

/// A media range of Accept.
pub(super) fn range(range: &MediaType<'_>, scanner: &mut Scanner<'_>, _at: usize) -> Result<(), ParseError> {
    distinct(range.params, scanner)?;
    quality(range.params, scanner)
}

/// A word with parameters, `q` among them.
pub(super) fn weighted(
    word: &TokenParams<'_>,
    scanner: &mut Scanner<'_>,
    _at: usize,
) -> Result<(), ParseError> {
    distinct(word.params, scanner)?;
    quality(word.params, scanner)
}

/// A range of languages: Accept-Language. Digits are for regions, as today's tags have them (RFC 5646 §2.1).
pub(super) fn language(
    word: &TokenParams<'_>,
    scanner: &mut Scanner<'_>,
    at: usize,
) -> Result<(), ParseError> {
    if word.token != "*" {
        language_tag(&Token(word.token), scanner, at)?;
    }
    weighted(word, scanner, at)
}

/// A language: Content-Language.
pub(super) fn language_tag(tag: &Token<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    let mut parts = tag.0.split('-');
    let good = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let starts_well =
        parts.next().is_some_and(|first| good(first) && first.bytes().all(|b| b.is_ascii_alphabetic()));
    if !starts_well || !parts.all(good) {
        scanner.forgive(at, Liberty::ParameterForm, "a language")?;
    }
    Ok(())
}

/// A package and its templates, with dots between: Allow-Events (RFC 6665 §8.4), and Event.
pub(super) fn event_type(token: &Token<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    if token.0.split('.').any(str::is_empty) {
        scanner.forgive(at, Liberty::ParameterForm, "an event package")?;
    }
    Ok(())
}

/// The same with parameters.
pub(super) fn event(event: &Event<'_>, scanner: &mut Scanner<'_>, at: usize) -> Result<(), ParseError> {
    distinct(event.params, scanner)?;
    event_type(&Token(event.package), scanner, at)
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
            scanner.forgive(scanner.place_of(text), Liberty::ParameterForm, what)?;
        }
    }
    Ok(())
}

/// Subscription-State: `expires` and `retry-after` are seconds (RFC 6665 §8.4).
pub(super) fn subscription_state(
    state: &SubscriptionState<'_>,
    scanner: &mut Scanner<'_>,
    _at: usize,
) -> Result<(), ParseError> {
    distinct(state.params, scanner)?;
    numbers(state.params, &["expires", "retry-after"], scanner)
}

/// Retry-After: `duration` is seconds (RFC 3261 §20.33).
pub(super) fn retry_after(
    value: &RetryAfter<'_>,
    scanner: &mut Scanner<'_>,
    _at: usize,
) -> Result<(), ParseError> {
    distinct(value.params, scanner)?;
    numbers(value.params, &["duration"], scanner)
}

/// Reason: a cause is a number (RFC 3326 §2).
pub(super) fn reason(reason: &Reason<'_>, scanner: &mut Scanner<'_>, _at: usize) -> Result<(), ParseError> {
    distinct(reason.params, scanner)?;
    numbers(reason.params, &["cause"], scanner)
}

/// These parameters are numbers, if they are there.
fn numbers(params: Params<'_>, names: &[&str], scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
    let odd =
        |name: &&str| params.find(name).filter(|param| !is_number(param.value.unwrap_or_default(), u32::MAX));
    if let Some(param) = names.iter().find_map(odd) {
        scanner.forgive(
            place(scanner, &param),
            Liberty::ParameterForm,
            "a number as the parameter's value",
        )?;
    }
    Ok(())
}

/// A parameter may be there once (§7.3.1). There are few of them, and a limit to their number.
pub(super) fn distinct(params: Params<'_>, scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
    let repeated = params.iter().enumerate().find_map(|(index, param)| {
        let mut later =
            params.iter().skip(index.saturating_add(1)).take(usize::from(scanner.limits().params));
        later.find(|other| other.name.eq_ignore_ascii_case(param.name))
    });
    let Some(param) = repeated else { return Ok(()) };
    scanner.forgive(scanner.place_of(param.name), Liberty::RepeatedParameter, "each parameter once")
}

/// `q` from 0 to 1 with three decimals at most, and a digit before the point.
fn quality(params: Params<'_>, scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
    let Some(text) = params.get("q") else { return Ok(()) };
    if text.starts_with('.') || crate::header::parse_q(text).is_none() {
        scanner.forgive(scanner.place_of(text), Liberty::NumberForm, "a q from 0 to 1")?;
    }
    Ok(())
}

fn is_number(text: &str, most: u32) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse().is_ok_and(|number: u32| number <= most)
}
