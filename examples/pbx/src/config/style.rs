//! How a neighbour likes its calls: who is shown calling, in which headers, and how numbers are written.

use denwa::rules::{NumberRule, NumberRules};

use super::address::{Host, PeerAddress};
use super::document::Section;
use super::is_number;
use super::problem::Problems;
use super::profile::Profile;

/// What of a trunk's table says how requests to it are written and numbers from it are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkStyle {
    /// By which header it is told who calls, beside From.
    pub identity: IdentityHeader,
    /// By which header it is told that a call was forwarded.
    pub diverted_by: DivertedBy,
    /// The user of From, when it takes calls only of its account's own.
    pub from_user: Option<String>,
    /// From shows the account's user.
    pub from_account: bool,
    /// The host of From.
    pub from_domain: Option<String>,
    /// The host of request lines; the server's address when `None`.
    pub request_domain: Option<String>,
    /// The user of Contact; the caller's number when `None`.
    pub contact_user: Option<String>,
    /// Whether numbers carry `user=phone`.
    pub user_phone: bool,
    /// Via to it has no `rport`, and Via back to it no `received`: networks of 2007 stumble over them.
    pub plain_via: bool,
    /// How numbers it is asked for are rewritten.
    pub outgoing: NumberRules,
    /// The same for numbers that it asks for or shows.
    pub incoming: NumberRules,
    /// A header whose user part is the number it asks for, in the place of the request line's.
    pub called_in: Option<String>,
}

/// Which header tells who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityHeader {
    /// None but From.
    #[default]
    None,
    /// P-Asserted-Identity (RFC 3325), believed when it comes.
    Asserted,
    /// P-Preferred-Identity.
    Preferred,
    /// Remote-Party-ID, of before RFC 3325, believed when it comes.
    RemoteParty,
}

/// Which header tells that a call was forwarded, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DivertedBy {
    /// None.
    Nothing,
    /// Diversion (RFC 5806).
    #[default]
    Diversion,
    /// History-Info (RFC 7044), which also tells every exchange on the way.
    HistoryInfo,
    /// Both.
    Both,
}

impl DivertedBy {
    /// Whether Diversion is written.
    pub fn diversion(self) -> bool {
        matches!(self, Self::Diversion | Self::Both)
    }

    /// Whether History-Info is written.
    pub fn history(self) -> bool {
        matches!(self, Self::HistoryInfo | Self::Both)
    }
}

impl TrunkStyle {
    /// A number as the neighbour is to be asked for it.
    pub fn outgoing(&self, number: &str) -> String {
        self.outgoing.apply(number)
    }

    /// A number of the neighbour's as it is written here.
    pub fn incoming(&self, number: &str) -> String {
        self.incoming.apply(number)
    }
}

pub(super) fn trunk_style(
    section: &mut Section<'_>,
    profile: &Profile,
    servers: &Option<Vec<PeerAddress>>,
    problems: &mut Problems,
) -> TrunkStyle {
    const IDENTITIES: [&str; 4] = ["none", "p-asserted", "p-preferred", "remote-party"];
    let identity = section.choice("identity", &IDENTITIES, problems).map_or(profile.identity, |index| {
        [
            IdentityHeader::None,
            IdentityHeader::Asserted,
            IdentityHeader::Preferred,
            IdentityHeader::RemoteParty,
        ]
        .get(index)
        .copied()
        .unwrap_or_default()
    });
    const DIVERTED: [&str; 4] = ["none", "diversion", "history-info", "both"];
    let diverted_by =
        section.choice("diverted_by", &DIVERTED, problems).map_or(profile.diverted_by, |index| {
            [DivertedBy::Nothing, DivertedBy::Diversion, DivertedBy::HistoryInfo, DivertedBy::Both]
                .get(index)
                .copied()
                .unwrap_or_default()
        });
    let from_user = word(section, "from_user", problems);
    let from_domain = word(section, "from_domain", problems);
    let contact_user = word(section, "contact_user", problems);
    let called_in = word(section, "called_in", problems);
    let by_name = || {
        servers.iter().flatten().find_map(|server| match &server.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        })
    };
    let request_domain =
        word(section, "request_domain", problems).or_else(|| profile.by_name.then(by_name).flatten());
    let user_phone = section.flag("user_phone", problems).unwrap_or(profile.user_phone);
    let plain_via = section.flag("plain_via", problems).unwrap_or(false);
    let outgoing = numbers(section, "rewrite_outgoing", "outgoing_examples", problems);
    let incoming = numbers(section, "rewrite_incoming", "incoming_examples", problems);
    TrunkStyle {
        identity,
        diverted_by,
        from_account: profile.from_account && from_user.is_none(),
        from_user,
        from_domain,
        request_domain,
        contact_user,
        user_phone,
        plain_via,
        outgoing,
        incoming,
        called_in,
    }
}

/// Letters, digits and . _ - or nothing.
fn word(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Option<String> {
    let text = section.text(key, problems).filter(|text| !text.value.is_empty())?;
    if !is_number(&text.value) {
        let message = format!("\"{}\" cannot stand there, expected letters, digits and . _ -", text.value);
        problems.add(&text.span, &text.key, message);
        return None;
    }
    Some(text.value)
}

/// Rules for numbers, and the examples that they must make true.
fn numbers(
    section: &mut Section<'_>,
    key: &'static str,
    examples: &'static str,
    problems: &mut Problems,
) -> NumberRules {
    let mut rules = Vec::new();
    for text in section.texts(key, problems).unwrap_or_default() {
        match NumberRule::parse(&text.value) {
            Ok(rule) => rules.push(rule),
            Err(error) => problems.add(&text.span, &text.key, error.message),
        }
    }
    let rules = NumberRules::from_iter(rules);
    for text in section.texts(examples, problems).unwrap_or_default() {
        if let Err(error) = rules.try_example(&text.value) {
            problems.add(&text.span, &text.key, error.message);
        }
    }
    rules
}
