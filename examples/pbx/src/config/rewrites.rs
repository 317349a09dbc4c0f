//! `[[rewrites]]`: headers and descriptions of a stubborn peer put right, each rule with examples that are tried when the file
//! is read.

use std::net::IpAddr;

use denwa::address::Network;
use denwa::rules::{Rule, RuleError, RuleText};

use super::document::Section;
use super::network::parse_network;
use super::problem::Problems;
use super::{Extension, Trunk};

/// One rule, and whose messages it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// Whose.
    pub peer: RewritePeer,
    /// The rule.
    pub rule: Rule,
}

/// Whose messages a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub enum RewritePeer {
    /// A trunk's, by its name.
    Trunk(String),
    /// An extension's telephones', by its number: while they are registered.
    Extension(String),
    /// Everybody's at these addresses.
    Network(Network),
}

pub(super) fn rewrite(
    mut section: Section<'_>,
    extensions: &[Extension],
    trunks: &[Trunk],
    problems: &mut Problems,
) -> Option<Rewrite> {
    let named = section.required_text("peer", problems);
    let peer = named.as_ref().and_then(|text| {
        let peer = peer(&text.value, extensions, trunks);
        if peer.is_none() {
            let message = format!(
                "\"{}\" is nobody, expected a trunk's name, an extension's number, an address or a network",
                text.value
            );
            problems.add(&text.span, &text.key, message);
        }
        peer
    });
    let mut spans = Vec::new();
    let mut text = |key: &'static str, problems: &mut Problems| {
        let text = section.text(key, problems)?;
        spans.push((key, text.span.clone(), text.key.clone()));
        Some(text.value)
    };
    let on = text("on", problems).unwrap_or_default();
    let at = text("at", problems).unwrap_or_default();
    let find = text("find", problems);
    let put = text("put", problems);
    let mut list = |key: &'static str, problems: &mut Problems| {
        let texts = section.texts(key, problems).unwrap_or_default();
        spans.extend(texts.first().map(|text| (key, text.span.clone(), section.key(key))));
        texts.into_iter().map(|text| text.value).collect::<Vec<_>>()
    };
    let messages = list("messages", problems);
    let flat = list("examples", problems);
    let remove = section.flag("remove", problems).unwrap_or(false);
    let examples = flat.chunks(2).map(|pair| match pair {
        [before, after] => (before.clone(), after.clone()),
        rest => (rest.concat(), String::new()),
    });
    let text = RuleText { on, at, messages, find, put, remove, examples: examples.collect() };
    let rule = Rule::new(&text).map_err(|RuleError { key, message }| {
        let place = spans.iter().find(|(own, ..)| *own == key);
        let (span, name) = place.map_or((section.span().clone(), section.key(key)), |(_, span, name)| {
            (span.clone(), name.clone())
        });
        problems.add(&span, name, message);
    });
    section.finish(problems);
    Some(Rewrite { peer: peer?, rule: rule.ok()? })
}

/// What the style of trunks asks for, after what is written.
pub(super) fn of_styles(trunks: &[Trunk]) -> Vec<Rewrite> {
    let text = RuleText {
        on: "sent".to_owned(),
        at: "header Via".to_owned(),
        find: Some(";(rport|received)(=[^;, ]*)?".to_owned()),
        put: Some(String::new()),
        ..RuleText::default()
    };
    let rule = Rule::new(&text).ok();
    let plain = trunks.iter().filter(|trunk| trunk.style.plain_via).zip(std::iter::repeat(rule));
    plain
        .filter_map(|(trunk, rule)| {
            Some(Rewrite { peer: RewritePeer::Trunk(trunk.name.clone()), rule: rule? })
        })
        .collect()
}

fn peer(text: &str, extensions: &[Extension], trunks: &[Trunk]) -> Option<RewritePeer> {
    if trunks.iter().any(|trunk| trunk.name == text) {
        return Some(RewritePeer::Trunk(text.to_owned()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(RewritePeer::Network(Network::host(address)));
    }
    if text.contains('/') {
        return parse_network(text).ok().map(RewritePeer::Network);
    }
    // Extensions may live in the store: a slip is told apart from them only when the file has some.
    let may_be = extensions.is_empty() || extensions.iter().any(|one| one.number == text);
    (may_be && super::is_number(text)).then(|| RewritePeer::Extension(text.to_owned()))
}
