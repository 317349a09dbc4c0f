//! `[sip]`, `[calls]`, `[guard]`, `[store]` and `[control]`: how the exchange runs, whoever it serves.

use std::path::PathBuf;
use std::time::Duration;

use denwa_sip_core::auth::algorithm::Algorithm;

use super::acl::acl;
use super::address::parse_listen;
use super::document::Section;
use super::features;
use super::network::parse_network;
use super::problem::Problems;
use super::values::{check_not_empty, checked, distinct, dscp, number};
use super::{Calls, Control, GuardPolicy, Sip, StoreUrl, Storing, Tones};

/// The digest algorithms of `sip.digest`.
const DIGESTS: [&str; 3] = ["MD5", "SHA-256", "SHA-512-256"];

pub(super) fn sip(mut section: Section<'_>, problems: &mut Problems) -> Sip {
    let mut sip = Sip::default();
    if let Some(texts) = section.texts("listen", problems) {
        sip.listen_is_default = false;
        sip.listen = Vec::new();
        for text in &texts {
            match parse_listen(&text.value) {
                Ok(listen) if sip.listen.contains(&listen) => {
                    problems.add(&text.span, &text.key, format!("\"{listen}\" is written twice"));
                }
                Ok(listen) => sip.listen.push(listen),
                Err(message) => problems.add(&text.span, &text.key, message),
            }
        }
        if texts.is_empty() {
            let message = "is empty, expected at least one address as \"udp:0.0.0.0:5060\"";
            problems.add(section.span(), section.key("listen"), message);
        }
    }
    sip.dscp = dscp(&mut section, problems);
    if let Some(realm) = section.text("realm", problems) {
        if realm.value.is_empty() || !realm.value.chars().all(is_realm_character) {
            problems.add(
                &realm.span,
                &realm.key,
                "expected a name without quotation marks, backslashes or line ends",
            );
        }
        sip.realm = realm.value;
    }
    if let Some(texts) = section.texts("digest", problems) {
        sip.digest =
            distinct(&texts, &DIGESTS, |text| DIGESTS.iter().position(|name| *name == text), problems)
                .into_iter()
                .filter_map(|index| DIGESTS.get(index).and_then(|name| Algorithm::from_token(name)))
                .collect();
        check_not_empty(&texts, &section, "digest", &DIGESTS, problems);
    }
    section.finish(problems);
    sip
}

fn is_realm_character(character: char) -> bool {
    !character.is_control() && !matches!(character, '"' | '\\')
}

pub(super) fn calls(mut section: Section<'_>, problems: &mut Problems) -> Calls {
    let mut calls = Calls::default();
    if let Some(seconds) = section.whole("ring_seconds", 1..=3_600, problems) {
        calls.ring = Duration::from_secs(seconds);
    }
    if let Some(limit) = section.whole("limit", 1..=100_000, problems) {
        calls.limit = u32::try_from(limit).unwrap_or(calls.limit);
    }
    if let Some(texts) = section.texts("emergency", problems) {
        calls.emergency =
            texts.into_iter().filter_map(|text| number(text, problems).map(|text| text.value)).collect();
    }
    calls.blocked = features::prefixes(&mut section, "blocked", problems);
    if let Some(seconds) = section.whole("digit_seconds", 1..=30, problems) {
        calls.digits = Duration::from_secs(seconds);
    }
    if let Some(announcements) = section.flag("announcements", problems) {
        calls.announcements = announcements;
    }
    if let Some(music) = section.flag("music_on_hold", problems) {
        calls.music_on_hold = music;
    }
    if let Some(busy) = section.flag("announce_busy", problems) {
        calls.announce_busy = busy;
    }
    let tones = [("japan", Tones::Japan), ("north america", Tones::NorthAmerica), ("europe", Tones::Europe)];
    calls.tones = section.one_of("tones", &tones, problems).unwrap_or_default();
    section.finish(problems);
    calls
}

pub(super) fn guard_policy(mut section: Section<'_>, guard: &mut GuardPolicy, problems: &mut Problems) {
    if let Some(texts) = section.texts("exempt", problems) {
        guard.exempt = texts.iter().filter_map(|text| checked(text, parse_network, problems)).collect();
    }
    if let Some(offences) = section.whole("offences", 1..=1_000, problems) {
        guard.offences = u32::try_from(offences).unwrap_or(guard.offences);
    }
    if let Some(seconds) = section.whole("ban_seconds", 1..=86_400, problems) {
        guard.ban = Duration::from_secs(seconds);
    }
    guard.allow = acl(&mut section, "allow", problems);
    guard.deny = acl(&mut section, "deny", problems);
    section.finish(problems);
}

pub(super) fn store(mut section: Section<'_>, problems: &mut Problems) -> Storing {
    const EXPECTED: &str = "expected sqlite:FILE as sqlite:pbx-data/pbx.db";
    let mut store = Storing::default();
    if let Some(seconds) = section.whole("sync_seconds", 0..=60, problems) {
        store.sync = Duration::from_secs(seconds);
    }
    if let Some(url) = section.text("url", problems) {
        match url.value.split_once(':') {
            Some(("sqlite", ":memory:")) => store.url = StoreUrl::Memory,
            Some(("sqlite", path)) if !path.is_empty() => {
                // sqlite:///absolute and sqlite:relative both mean the path that follows.
                store.url = StoreUrl::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path)));
            }
            Some(("postgres" | "postgresql", _)) => {
                problems.add(&url.span, &url.key, format!("postgres is not built yet, {EXPECTED}"));
            }
            _ => problems.add(&url.span, &url.key, format!("\"{}\" is not a store, {EXPECTED}", url.value)),
        }
    }
    section.finish(problems);
    store
}

pub(super) fn control(mut section: Section<'_>, problems: &mut Problems) -> Control {
    let socket = section.text("socket", problems).map(|text| PathBuf::from(text.value));
    section.finish(problems);
    Control { socket }
}
