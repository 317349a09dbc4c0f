//! Numbers as a peer writes them, and as they are written here.

use super::{RuleError, expression};
use regex_lite::Regex;

/// One rule for numbers: `OLD=NEW`. OLD is first digits (`0=+81`), or, between slashes, a regular expression that is
/// replaced where it fits first (`/^0(\d+)$/=+81$1`).
#[derive(Clone, Debug)]
pub struct NumberRule {
    text: String,
    old: Old,
    new: String,
}

#[derive(Clone, Debug)]
enum Old {
    FirstDigits(String),
    Expression(Regex),
}

/// Two rules are the same when they are written the same.
impl PartialEq for NumberRule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NumberRule {}

impl NumberRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let wrong = || {
            let message = format!(
                "\"{text}\" rewrites nothing, expected OLD=NEW first digits as +81=0, or /EXPRESSION/=NEW"
            );
            RuleError { key: "rule", message }
        };
        let (old, new) = match text.strip_prefix('/') {
            Some(rest) => {
                let (old, new) = rest.rsplit_once("/=").ok_or_else(wrong)?;
                (Old::Expression(expression(old)?), new)
            }
            None => {
                let (old, new) = text.split_once('=').ok_or_else(wrong)?;
                if !is_number(old) || !(new.is_empty() || is_number(new)) {
                    return Err(wrong());
                }
                (Old::FirstDigits(old.to_owned()), new)
            }
        };
        Ok(Self { text: text.to_owned(), old, new: new.to_owned() })
    }

    fn apply(&self, number: &str) -> Option<String> {
        let rewritten = match &self.old {
            Old::FirstDigits(old) => format!("{}{}", self.new, number.strip_prefix(old.as_str())?),
            Old::Expression(old) if old.is_match(number) => {
                old.replace(number, self.new.as_str()).into_owned()
            }
            Old::Expression(_) => return None,
        };
        // A number that would become none stays.
        is_number(&rewritten).then_some(rewritten)
    }
}

/// Rules for numbers: the first expression that fits counts, and where none fits the longest first digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberRules {
    rules: Vec<NumberRule>,
}

impl FromIterator<NumberRule> for NumberRules {
    fn from_iter<I: IntoIterator<Item = NumberRule>>(rules: I) -> Self {
        let mut rules: Vec<NumberRule> = rules.into_iter().collect();
        rules.sort_by_key(|rule| match &rule.old {
            Old::Expression(_) => 0,
            Old::FirstDigits(old) => usize::MAX.saturating_sub(old.len()),
        });
        Self { rules }
    }
}

impl NumberRules {
    /// A number rewritten; as it is when no rule fits.
    #[must_use]
    pub fn apply(&self, number: &str) -> String {
        self.rules.iter().find_map(|rule| rule.apply(number)).unwrap_or_else(|| number.to_owned())
    }

    /// Tries an example, `BEFORE=AFTER`.
    ///
    /// # Errors
    /// What comes of it instead.
    pub fn try_example(&self, example: &str) -> Result<(), RuleError> {
        let Some((before, after)) = example.split_once('=') else {
            return Err(RuleError::new("examples", format!("have \"{example}\", expected BEFORE=AFTER")));
        };
        let becomes = self.apply(before);
        if becomes == after {
            return Ok(());
        }
        let message = format!("do not come true: \"{before}\" becomes \"{becomes}\", not \"{after}\"");
        Err(RuleError::new("examples", message))
    }
}

/// 1 to 64 of what stands in the user part of a SIP URI without escapes, and `#`.
fn is_number(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*#+._-".contains(&byte))
}
