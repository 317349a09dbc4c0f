//! How a neighbour likes its calls: who is shown calling, in which headers, and how numbers are written.

use super::document::{Section, Text, listed};
use super::is_number;
use super::problem::Problems;

/// What of a trunk's table says how requests to it are written and numbers from it are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkStyle {
    /// By which header it is told who calls, beside From.
    pub identity: IdentityHeader,
    /// The user of From, when it takes calls only of its account's own.
    pub from_user: Option<String>,
    /// The host of From.
    pub from_domain: Option<String>,
    /// Whether numbers carry `user=phone`.
    pub user_phone: bool,
    /// First digits that are replaced in numbers it is asked for.
    pub outgoing: Vec<(String, String)>,
    /// The same in numbers that it asks for or shows.
    pub incoming: Vec<(String, String)>,
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
    /// Remote-Party-ID, of before RFC 3325.
    RemoteParty,
}

impl TrunkStyle {
    /// A number as the neighbour is to be asked for it.
    pub fn outgoing(&self, number: &str) -> String {
        rewritten(number, &self.outgoing)
    }

    /// A number of the neighbour's as it is written here.
    pub fn incoming(&self, number: &str) -> String {
        rewritten(number, &self.incoming)
    }
}

/// The longest first digits that fit are replaced; a number that would become none stays.
fn rewritten(number: &str, rules: &[(String, String)]) -> String {
    let fitting = rules.iter().filter(|(from, _)| number.starts_with(from.as_str()));
    let Some((from, to)) = fitting.max_by_key(|(from, _)| from.len()) else { return number.to_owned() };
    let rewritten = format!("{to}{}", number.strip_prefix(from.as_str()).unwrap_or_default());
    if is_number(&rewritten) { rewritten } else { number.to_owned() }
}

pub(super) fn trunk_style(section: &mut Section<'_>, problems: &mut Problems) -> TrunkStyle {
    const IDENTITIES: [&str; 4] = ["none", "p-asserted", "p-preferred", "remote-party"];
    let identity =
        section.text("identity", problems).map_or(IdentityHeader::None, |text| match text.value.as_str() {
            "none" => IdentityHeader::None,
            "p-asserted" => IdentityHeader::Asserted,
            "p-preferred" => IdentityHeader::Preferred,
            "remote-party" => IdentityHeader::RemoteParty,
            other => {
                let message =
                    format!("\"{other}\" is not known here, expected one of {}", listed(&IDENTITIES));
                problems.add(&text.span, &text.key, message);
                IdentityHeader::None
            }
        });
    let mut text = |key: &'static str| {
        section.text(key, problems).map(|text| text.value).filter(|value| is_number(value))
    };
    let (from_user, from_domain) = (text("from_user"), text("from_domain"));
    let user_phone = section.flag("user_phone", problems).unwrap_or(false);
    let outgoing = rules(section.texts("rewrite_outgoing", problems), problems);
    let incoming = rules(section.texts("rewrite_incoming", problems), problems);
    TrunkStyle { identity, from_user, from_domain, user_phone, outgoing, incoming }
}

fn rules(texts: Option<Vec<Text>>, problems: &mut Problems) -> Vec<(String, String)> {
    let rule = |text: Text| match text.value.split_once('=') {
        Some((from, to)) if is_number(from) && (to.is_empty() || is_number(to)) => {
            Some((from.to_owned(), to.to_owned()))
        }
        _ => {
            let message =
                format!("\"{}\" rewrites nothing, expected OLD=NEW first digits as +81=0", text.value);
            problems.add(&text.span, &text.key, message);
            None
        }
    };
    texts.unwrap_or_default().into_iter().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_first_digits_are_replaced() {
        let rules: Vec<(String, String)> = [("0", "+81"), ("00", "+"), ("9", "")]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
            .to_vec();
        for (number, expected) in
            [("0312345678", "+81312345678"), ("0044", "+44"), ("9200", "200"), ("9", "9"), ("7", "7")]
        {
            assert_eq!(rewritten(number, &rules), expected);
        }
    }
}
