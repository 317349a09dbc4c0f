//! Rules of sides: read, and their examples tried, so that a file that is accepted does what it says.

use super::error::{ConfigError, Reader};
use super::sections::{RuleSection, Spanned};
use super::side::Kind;
use denwa::rules::{NumberRule, NumberRules, Rule, RuleText, Rules};

/// Rules for messages.
pub(super) fn messages(
    reader: &Reader<'_>,
    sections: &[RuleSection],
    kind: Kind,
) -> Result<Rules, ConfigError> {
    let mut rules = Rules::default();
    for section in sections {
        if kind != Kind::Sip {
            return Err(reader.at(&section.on, "only messages of a side of the kind `sip` are rewritten"));
        }
        let text = RuleText {
            on: section.on.get_ref().clone(),
            at: section.at.get_ref().clone(),
            messages: section.messages.iter().map(|it| it.get_ref().clone()).collect(),
            find: section.find.as_ref().map(|it| it.get_ref().clone()),
            put: section.put.as_ref().map(|it| it.get_ref().clone()),
            remove: section.remove,
            examples: section.examples.iter().map(|it| it.get_ref().clone()).collect(),
        };
        rules.push(Rule::new(&text).map_err(|error| {
            let key = match error.key {
                "at" => section.at.span(),
                "messages" => section.messages.first().map_or(section.on.span(), Spanned::span),
                "find" => section.find.as_ref().map_or(section.on.span(), Spanned::span),
                "put" => section.put.as_ref().map_or(section.on.span(), Spanned::span),
                "examples" => section.examples.first().map_or(section.on.span(), Spanned::span),
                _ => section.on.span(),
            };
            reader.at(&Spanned::new(key, ()), error)
        })?);
    }
    Ok(rules)
}

/// Rules for numbers.
pub(super) fn numbers(
    reader: &Reader<'_>,
    rules: &[Spanned<String>],
    examples: &[Spanned<String>],
) -> Result<NumberRules, ConfigError> {
    let read =
        |entry: &Spanned<String>| NumberRule::parse(entry.get_ref()).map_err(|error| reader.at(entry, error));
    let rules: NumberRules = rules.iter().map(read).collect::<Result<_, _>>()?;
    for example in examples {
        rules.try_example(example.get_ref()).map_err(|error| reader.at(example, error))?;
    }
    Ok(rules)
}
