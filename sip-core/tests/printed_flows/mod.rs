//! The call flows that RFCs print, beside those that are played on the ladder: arrow by arrow.
//!
//! `100 Trying` is left out on both sides: whether it is sent depends on how fast somebody answers; and `199`, which is
//! younger than the figures. Repeats over UDP are folded into one arrow, for figures do not show them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    ladder::{Ladder, other_sdp},
    shared,
};
use denwa_sip_core::{
    endpoint::*,
    message::{Method, UriBuf},
};
use serde_json::Value;

pub(crate) type Names<'a> = &'a [(&'a str, &'a str)];

/// The arrows of a section, `alice -> bob INVITE`, and the figure's own count.
pub(crate) fn printed(rfc: u32, section: &str, names: Names<'_>) -> Option<Vec<String>> {
    let folder = shared::folder(&format!("vectors/sip-messages/rfc{rfc}"))?;
    let index: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    let name = |message: &Value, end: &str| {
        let printed = message[end].as_str().unwrap_or_default();
        names.iter().find(|(theirs, _)| *theirs == printed).map_or(printed, |(_, ours)| *ours).to_owned()
    };
    let messages = index["messages"].as_array().unwrap().iter().filter(|it| it["section"] == section);
    let arrow = |message: &Value| {
        let what = message["method_or_code"]
            .as_str()
            .map_or_else(|| message["method_or_code"].to_string(), str::to_owned);
        (what != "100").then(|| format!("{} -> {} {what}", name(message, "from"), name(message, "to")))
    };
    let arrows: Vec<String> = messages.filter_map(arrow).collect();
    assert!(!arrows.is_empty(), "RFC {rfc} section {section} prints nothing");
    Some(arrows)
}

pub(crate) fn played(ladder: &mut Ladder) -> Vec<String> {
    let short = |arrow: String| {
        let words: Vec<&str> = arrow.split(' ').take(4).collect();
        words.join(" ")
    };
    let mut arrows: Vec<String> = ladder
        .arrows()
        .into_iter()
        .map(short)
        .filter(|arrow| !arrow.ends_with(" 100") && !arrow.ends_with(" 199"))
        .collect();
    arrows.dedup();
    arrows
}

pub(crate) fn compare(ladder: &mut Ladder, rfc: u32, section: &str, names: Names<'_>) {
    let played = played(ladder);
    if let Some(printed) = printed(rfc, section, names) {
        assert_eq!(played, printed, "RFC {rfc} section {section}");
    }
}

/// The same for figures whose arrows are not all printed as messages: `whole` is what the figure shows, what is printed has
/// to be in it, in its order.
pub(crate) fn compare_figure(ladder: &mut Ladder, rfc: u32, section: &str, names: Names<'_>, whole: &str) {
    let figure = figure(whole);
    assert_eq!(played(ladder), figure, "RFC {rfc} section {section}");
    contains(rfc, section, names, &figure);
}

/// The same where our messages cross others than those of the figure do.
pub(crate) fn compare_in_any_order(
    ladder: &mut Ladder,
    rfc: u32,
    section: &str,
    names: Names<'_>,
    whole: &str,
) {
    contains(rfc, section, names, &figure(whole));
    compare_all(ladder, whole);
}

/// The same for a figure of which no message is printed.
pub(crate) fn compare_all(ladder: &mut Ladder, whole: &str) {
    let (mut figure, mut played) = (figure(whole), played(ladder));
    played.sort();
    figure.sort();
    assert_eq!(played, figure);
}

/// `alice > bob INVITE`, one a line.
fn figure(whole: &str) -> Vec<String> {
    whole
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.replace(" > ", " -> "))
        .collect()
}

fn contains(rfc: u32, section: &str, names: Names<'_>, figure: &[String]) {
    let mut left = figure.iter();
    for arrow in printed(rfc, section, names).unwrap_or_default() {
        assert!(
            left.any(|it| *it == arrow),
            "RFC {rfc} section {section} prints {arrow}, the figure has not"
        );
    }
}

/// A call that rings and is answered.
pub(crate) fn call(ladder: &mut Ladder, from: &str, to: &str) -> (CallHandle, CallHandle) {
    let callers = ladder.call(from, to);
    ladder.run();
    let callees = ladder.accept(to);
    ladder.ring(to, callees);
    ladder.run();
    ladder.answer(to, callees);
    ladder.run();
    (callers, callees)
}

/// A re-INVITE that is accepted: hold, or the end of it.
pub(crate) fn change(
    ladder: &mut Ladder,
    who: &str,
    call: CallHandle,
    whom: &str,
    theirs: CallHandle,
    version: u32,
) {
    ladder.forget_events(whom);
    let body = Some(other_sdp(version));
    ladder.tell(who, |it, now| it.reinvite(call, body, Headers::new(), now)).unwrap();
    ladder.run();
    ladder
        .tell(whom, |it, now| it.answer_offer(theirs, Some(other_sdp(version + 50)), &Headers::new(), now))
        .unwrap();
    ladder.run();
}

/// The one asked accepts a REFER.
pub(crate) fn take_refer(
    ladder: &mut Ladder,
    who: &str,
) -> (UriBuf, Option<String>, Option<SubscriptionHandle>) {
    ladder.run();
    let (request, refer_to, replaces) = ladder.event(who, |event| match event {
        Event::TransferRequested { request, refer_to, replaces, .. } => {
            Some((*request, refer_to.clone(), replaces.clone()))
        }
        _ => None,
    });
    let local = LocalIdentity::default();
    let handle = ladder.tell(who, |it, now| it.accept_transfer(request, &local, now)).unwrap();
    ladder.run();
    (refer_to, replaces, handle)
}

/// Takes a call over by an INVITE with Replaces, which is answered at once.
pub(crate) fn take_over(
    ladder: &mut Ladder,
    from: &'static str,
    to: &'static str,
    replaces: &str,
    place: PlaceCall,
) -> (CallHandle, CallHandle) {
    let mut place = place;
    place.headers = Headers::new().with("Replaces", replaces).unwrap();
    let callers = ladder.tell(from, |it, now| it.place_call(place, now)).unwrap();
    ladder.run();
    let (request, _) = ladder.incoming(to, Method::Invite);
    let old = ladder.user(to).endpoint.replaced_call(request).unwrap();
    let options = CallOptions { replaces: old, ..CallOptions::default() };
    let local = LocalIdentity::default();
    let callees = ladder.tell(to, |it, now| it.accept_call(request, &local, options, now)).unwrap();
    ladder.answer(to, callees);
    ladder.run();
    (callers, callees)
}

/// The Replaces value that names a call, as the one who receives it has to read it.
pub(crate) fn replaces_of(ladder: &mut Ladder, who: &str, call: CallHandle) -> String {
    let id = ladder.user(who).endpoint.call(call).unwrap();
    format!("{};to-tag={};from-tag={}", id.call_id, id.local_tag.unwrap(), id.remote_tag.unwrap())
}
