//! `[turn]`: the STUN and TURN server for telephones and browsers behind routers that let nothing in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use denwa::address::Network;
use denwa::port_set::PortSet;
use denwa::tokio::Listen;

use super::Secret;
use super::document::{Section, Text};
use super::network::{parse_network, port_ranges};
use super::problem::Problems;
use super::values::checked;

/// `[turn]`: not there, no server.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Where it listens: UDP and TCP on port 3478 when empty.
    pub listen: Vec<Listen>,
    /// Who may have data relayed.
    pub users: TurnUsers,
    /// The ports that are relayed; voice never uses them.
    pub ports: PortSet,
    /// Whether the file says which.
    pub ports_are_default: bool,
    /// What clients are told instead of the own address: the router's. `[network] external` when `None`.
    pub external: Option<IpAddr>,
    /// Networks that are relayed to although they are inner ones.
    pub peers: Vec<Network>,
    /// The most allocations at a time.
    pub allocations: Option<usize>,
    /// The most of them for one user.
    pub per_user: Option<usize>,
    /// The most of them for one address.
    pub per_address: Option<usize>,
}

/// Who may have data relayed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TurnUsers {
    /// Nobody: everybody may ask for his own address, and that is all.
    #[default]
    Nobody,
    /// Those to whom a web application that knows this secret has given a name that expires.
    Secret(Secret),
    /// These, with their passwords.
    Named(BTreeMap<String, Secret>),
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            users: TurnUsers::Nobody,
            ports: PortSet::from_ranges([50_000..=50_999]),
            ports_are_default: true,
            external: None,
            peers: Vec::new(),
            allocations: None,
            per_user: None,
            per_address: None,
        }
    }
}

pub(super) fn turn(mut section: Section<'_>, problems: &mut Problems) -> Turn {
    let mut turn = Turn::default();
    for text in section.texts("listen", problems).unwrap_or_default() {
        let parse = |text: &str| Listen::for_turn(text).map_err(|error| error.to_string());
        turn.listen.extend(checked(&text, parse, problems));
    }
    turn.users = users(&mut section, problems);
    if let Some(texts) = section.texts("ports", problems) {
        turn.ports = PortSet::from_ranges(port_ranges(&texts, problems));
        turn.ports_are_default = false;
        if turn.ports.is_empty() {
            problems.add(section.span(), section.key("ports"), "expected ports, as \"50000-50999\"");
        }
    }
    if let Some(text) = section.text("external", problems) {
        let parse = |text: &str| {
            text.parse().map_err(|_| format!("\"{text}\" is not an address, expected one as 203.0.113.5"))
        };
        turn.external = checked(&text, parse, problems);
    }
    for text in section.texts("peers", problems).unwrap_or_default() {
        turn.peers.extend(checked(&text, parse_network, problems));
    }
    let mut most = |key, problems: &mut Problems| {
        section.whole(key, 1..=60_000, problems).and_then(|most| usize::try_from(most).ok())
    };
    turn.allocations = most("allocations", problems);
    turn.per_user = most("per_user", problems);
    turn.per_address = most("per_address", problems);
    section.finish(problems);
    turn
}

fn users(section: &mut Section<'_>, problems: &mut Problems) -> TurnUsers {
    let secret = section.text("secret", problems);
    let named =
        section.section("users", problems).map(|table| (table.span().clone(), table.secrets(problems)));
    match (secret, named) {
        (Some(Text { span, key, .. }), Some(_)) => {
            problems.add(&span, key, "expected either a secret or users: a name is one or the other");
            TurnUsers::Nobody
        }
        (Some(secret), None) => match not_empty(&secret, problems) {
            Some(secret) => TurnUsers::Secret(secret),
            None => TurnUsers::Nobody,
        },
        (None, Some((span, named))) => named_users(&span, named, problems),
        (None, None) => TurnUsers::Nobody,
    }
}

fn named_users(span: &Range<usize>, named: Vec<(String, Text)>, problems: &mut Problems) -> TurnUsers {
    if named.is_empty() {
        problems.add(span, "turn.users", "is empty, expected names and passwords, as { alice = \"…\" }");
    }
    let known = named.iter().filter_map(|(name, text)| Some((name.clone(), not_empty(text, problems)?)));
    TurnUsers::Named(known.collect())
}

fn not_empty(text: &Text, problems: &mut Problems) -> Option<Secret> {
    if text.value.is_empty() {
        problems.add(&text.span, &text.key, "is empty: there are no default passwords");
        return None;
    }
    Some(Secret::new(text.value.clone()))
}

impl Turn {
    /// The secrets that may be kept elsewhere.
    pub(super) fn secrets_mut(&mut self) -> Vec<&mut Secret> {
        match &mut self.users {
            TurnUsers::Nobody => Vec::new(),
            TurnUsers::Secret(secret) => vec![secret],
            TurnUsers::Named(named) => named.values_mut().collect(),
        }
    }
}
