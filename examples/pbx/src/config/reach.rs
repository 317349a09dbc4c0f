//! `[[extensions]]`, `[[groups]]` and `[[routes]]`: what can be dialled.

use std::time::Duration;

use super::acl::acl;
use super::address::PeerAddress;
use super::document::{Section, listed};
use super::features;
use super::problem::Problems;
use super::sections::{Taken, take};
use super::values::{LONGEST_NUMBER, checked, is_number, number, optional_number, voice_or};
use super::{Codec, Extension, Forward, Group, KnownBy, Route, Secret, Strategy, Trunk};

pub(super) fn extension(
    mut section: Section<'_>,
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<Extension> {
    let number = section.required_text("number", problems).and_then(|text| number(text, problems));
    if let Some(text) = &number {
        take(text, &format!("extension {}", text.value), taken.numbers_mut(), problems);
    }
    let name = section.text("name", problems);
    if let Some(text) = &name
        && (text.value.chars().any(char::is_control) || text.value.chars().count() > LONGEST_NUMBER)
    {
        let message = format!("expected a name of at most {LONGEST_NUMBER} characters on one line");
        problems.add(&text.span, &text.key, message);
    }
    let password = section.required_text("password", problems);
    if let Some(text) = &password
        && (text.value.is_empty() || text.value.chars().any(char::is_control))
    {
        problems.add(
            &text.span,
            &text.key,
            "expected a password that is not empty, without control characters",
        );
    }
    let address = section.text("address", problems);
    let known_by = KnownBy {
        address: address.as_ref().and_then(|text| checked(text, PeerAddress::parse, problems)),
        certificate: section.text("certificate", problems).map(|text| text.value),
    };
    let voice = voice_or(&mut section, &Codec::DEFAULT, problems);
    let allow = acl(&mut section, "allow", problems);
    let overlap = section.flag("overlap", problems).unwrap_or(false);
    let challenges = section.flag("challenges", problems).unwrap_or(false);
    let forward = forward(&mut section, problems);
    let call_limit = section.whole("call_limit", 1..=1_000, problems);
    let call_waiting = section.flag("call_waiting", problems).unwrap_or(true);
    let published = section.flag("publish", problems).unwrap_or(true);
    let record = section.flag("record", problems).unwrap_or(false);
    let pin = section.text("voicemail_pin", problems).map(|text| text.value).unwrap_or_default();
    section.finish(problems);
    Some(Extension {
        known_by,
        published,
        record,
        allow,
        overlap,
        challenges,
        call_limit: call_limit.and_then(|limit| usize::try_from(limit).ok()),
        call_waiting,
        voicemail_pin: Secret::new(pin),
        number: number?.value,
        name: name.map(|text| text.value).unwrap_or_default(),
        password: Secret::new(password?.value),
        voice,
        forward,
    })
}

fn forward(section: &mut Section<'_>, problems: &mut Problems) -> Forward {
    let mut to = |key, problems: &mut Problems| optional_number(section, key, problems);
    let always = to("forward_always", problems);
    let busy = to("forward_busy", problems);
    let no_answer = to("forward_no_answer", problems);
    let unreachable = to("forward_unreachable", problems);
    let follow_me = features::prefixes(section, "follow_me", problems);
    let do_not_disturb = section.flag("do_not_disturb", problems).unwrap_or(false);
    let mut seconds =
        |key, problems: &mut Problems| section.whole(key, 1..=3_600, problems).map(Duration::from_secs);
    Forward {
        do_not_disturb,
        always,
        busy,
        no_answer,
        unreachable,
        ring: seconds("ring_seconds", problems),
        by_priority: seconds("priority_seconds", problems),
        follow_me,
        follow_me_ring: seconds("follow_me_seconds", problems),
    }
}

pub(super) fn group(
    mut section: Section<'_>,
    extensions: &[Extension],
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<Group> {
    let number = section.required_text("number", problems).and_then(|text| number(text, problems));
    if let Some(text) = &number {
        take(text, &format!("the group {}", text.value), taken.numbers_mut(), problems);
    }
    let members = section.texts("members", problems);
    if members.as_ref().is_none_or(Vec::is_empty) {
        problems.add(section.span(), section.key("members"), "expected at least one extension's number");
    }
    let members = members.unwrap_or_default();
    for text in &members {
        // Others may live in the store: a slip is told apart from them only by the look of it.
        if !is_number(&text.value) {
            problems.add(&text.span, &text.key, format!("\"{}\" is not a number", text.value));
        } else if !extensions.is_empty() && !extensions.iter().any(|one| one.number == text.value) {
            let message = format!("\"{}\" is not an extension of this file", text.value);
            problems.add(&text.span, &text.key, message);
        }
    }
    let strategies = [
        ("all", Strategy::All),
        ("hunt", Strategy::Hunt),
        ("round robin", Strategy::RoundRobin),
        ("longest idle", Strategy::LongestIdle),
        ("page", Strategy::Page),
    ];
    let strategy = section.one_of("strategy", &strategies, problems).unwrap_or_default();
    let ring = section.whole("ring_seconds", 1..=3_600, problems).map(Duration::from_secs);
    let no_answer = optional_number(&mut section, "forward_no_answer", problems);
    section.finish(problems);
    let members = members.into_iter().map(|text| text.value).collect();
    Some(Group { number: number?.value, members, strategy, ring, no_answer })
}

pub(super) fn route(
    mut section: Section<'_>,
    trunks: &[Trunk],
    taken: &mut Taken,
    problems: &mut Problems,
) -> Option<Route> {
    let prefix = section.required_text("prefix", problems).and_then(|text| number(text, problems));
    if let Some(text) = &prefix {
        take(text, &format!("the route with prefix {}", text.value), taken.prefixes_mut(), problems);
    }
    let strip = section.whole("strip", 0..=LONGEST_NUMBER as u64, problems);
    let trunk = section.required_text("trunk", problems);
    if let Some(text) = &trunk
        && !trunks.iter().any(|trunk| trunk.name == text.value)
    {
        let names: Vec<&str> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        let known = if names.is_empty() {
            "there are no [[trunks]]".to_owned()
        } else {
            format!("expected one of {}", listed(&names))
        };
        problems.add(&text.span, &text.key, format!("\"{}\" is not a trunk, {known}", text.value));
    }
    section.finish(problems);
    let prefix = prefix?.value;
    let strip = strip.and_then(|strip| usize::try_from(strip).ok()).unwrap_or(prefix.len());
    Some(Route { prefix, strip, trunk: trunk?.value })
}
