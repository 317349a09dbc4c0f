//! The file as a whole: which tables there are and who reads each, and what must agree between tables: numbers, names and
//! prefixes are distinct.

use std::collections::HashMap;

use toml::de::DeTable;

use super::document::{Section, Text};
use super::network::{media, network, part_ports};
use super::problem::{Problem, Problems};
use super::reach::{extension, group, route};
use super::running::{calls, control, guard_policy, sip, store};
use super::{Config, Extension, Group, GuardPolicy, Services, Trunk};
use super::{features, rewrites, safety, trunks, turn};

pub(super) fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            problems.add(&error.span().unwrap_or(0..0), "", format!("is not TOML: {message}"));
            return Err(problems.placed_in(text));
        }
    };
    let config = document_into_config(Section::root(&document), &mut problems);
    if problems.is_empty() { Ok(config) } else { Err(problems.placed_in(text)) }
}

fn document_into_config(mut root: Section<'_>, problems: &mut Problems) -> Config {
    let mut taken = Taken::default();
    let sip = read(&mut root, "sip", problems, sip);
    let network = read(&mut root, "network", problems, network);
    let mut media = read(&mut root, "media", problems, media);
    let calls = read(&mut root, "calls", problems, calls);
    let mut guard = GuardPolicy { exempt: network.local.clone(), ..GuardPolicy::default() };
    if let Some(section) = root.section("guard", problems) {
        guard_policy(section, &mut guard, problems);
    }
    let store = read(&mut root, "store", problems, store);
    let control = read(&mut root, "control", problems, control);
    let extensions: Vec<Extension> = root
        .sections("extensions", problems)
        .into_iter()
        .filter_map(|section| extension(section, &mut taken, problems))
        .collect();
    let groups: Vec<Group> = root
        .sections("groups", problems)
        .into_iter()
        .filter_map(|section| group(section, &extensions, &mut taken, problems))
        .collect();
    let trunks: Vec<Trunk> = root
        .sections("trunks", problems)
        .into_iter()
        .filter_map(|section| trunks::trunk(section, &mut taken, problems))
        .collect();
    let written = root.sections("rewrites", problems).into_iter();
    let written = written.filter_map(|section| rewrites::rewrite(section, &extensions, &trunks, problems));
    let rewrites = written.chain(rewrites::of_styles(&trunks)).collect();
    let secrets = read(&mut root, "secrets", problems, safety::secrets);
    let identity = read(&mut root, "identity", problems, safety::identity);
    let metrics = read(&mut root, "metrics", problems, safety::metrics);
    let routes = root
        .sections("routes", problems)
        .into_iter()
        .filter_map(|section| route(section, &trunks, &mut taken, problems))
        .collect();
    let tls = read(&mut root, "tls", problems, features::tls);
    let turn = root.section("turn", problems).map(|section| {
        let (span, key) = (section.span().clone(), section.key("ports"));
        let turn = turn::turn(section, problems);
        part_ports(&mut media, &turn, |message| problems.add(&span, key, message));
        turn
    });
    let mantela = read(&mut root, "mantela", problems, features::mantela);
    let conference = read(&mut root, "conference", problems, features::conference);
    let voicemail = read(&mut root, "voicemail", problems, features::voicemail);
    let recording = read(&mut root, "recording", problems, features::recording);
    let prompts = read(&mut root, "prompts", problems, features::prompts);
    let clock = read(&mut root, "clock", problems, features::clock);
    let menus = root.sections("menus", problems);
    let menus =
        menus.into_iter().filter_map(|section| features::menu(section, &mut taken, problems)).collect();
    let queues = root.sections("queues", problems);
    let queues =
        queues.into_iter().filter_map(|section| features::queue(section, &mut taken, problems)).collect();
    let rules = root.sections("rules", problems);
    let rules = rules.into_iter().filter_map(|section| features::rule(section, problems)).collect();
    let services = match root.section("services", problems) {
        Some(section) => features::services(section, &mut taken, problems),
        None => Services::default().without(&taken),
    };
    root.finish(problems);
    Config {
        sip,
        network,
        media,
        calls,
        guard,
        store,
        control,
        extensions,
        groups,
        trunks,
        routes,
        services,
        tls,
        turn,
        mantela,
        conference,
        voicemail,
        recording,
        prompts,
        clock,
        menus,
        queues,
        rules,
        rewrites,
        secrets,
        identity,
        metrics,
    }
}

/// Reads one table, or gives its defaults when it is not there.
fn read<T: Default>(
    root: &mut Section<'_>,
    key: &'static str,
    problems: &mut Problems,
    reader: fn(Section<'_>, &mut Problems) -> T,
) -> T {
    root.section(key, problems).map(|section| reader(section, problems)).unwrap_or_default()
}

/// Names and numbers met so far, each with what it belongs to, so that the second use of one is a problem.
#[derive(Default)]
pub(super) struct Taken {
    numbers: HashMap<String, String>,
    trunks: HashMap<String, String>,
    addresses: HashMap<String, String>,
    prefixes: HashMap<String, String>,
}

impl Taken {
    pub(super) fn has_number(&self, number: &str) -> bool {
        self.numbers.contains_key(number)
    }

    pub(super) fn numbers_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.numbers
    }

    pub(super) fn trunks_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.trunks
    }

    pub(super) fn prefixes_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.prefixes
    }

    pub(super) fn addresses_mut(&mut self) -> &mut HashMap<String, String> {
        &mut self.addresses
    }
}

/// Notes that `text` belongs to its key, or reports to whom it belonged already.
pub(super) fn take(text: &Text, owner: &str, taken: &mut HashMap<String, String>, problems: &mut Problems) {
    if let Some(first) = taken.get(&text.value) {
        problems.add(&text.span, &text.key, format!("\"{}\" is used by {first} already", text.value));
    } else {
        taken.insert(text.value.clone(), owner.to_owned());
    }
}
