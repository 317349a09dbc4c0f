//! Rules that an operator writes for a peer that is not quite understood: headers, first lines, descriptions and numbers
//! rewritten without a program.
//!
//! A rule says *when* (a message that is sent to the peer or received from it, perhaps only some), *where* (a header, the
//! first line, the lines of the description), what to *find* (a regular expression) and what to *put* there. It carries
//! examples, pairs of before and after, and is not accepted when one of them fails: [`Rule::new`].
//!
//! Rules work on the bytes between the socket and the endpoint, so that nothing above them needs to know the peer's
//! quirks: give what came to [`Rules::received`], what is about to leave to [`Rules::sent`]. A connection's bytes are cut
//! into messages first ([`Messages`]). Numbers are rewritten where they are routed, by [`NumberRules`].
//!
//! ```
//! use denwa::rules::{Rule, RuleText, Rules};
//!
//! let text = RuleText {
//!     on: "received".into(),
//!     at: "header From".into(),
//!     find: Some("anonymous@localhost".into()),
//!     put: Some("1001@pbx.example".into()),
//!     examples: vec![("<sip:anonymous@localhost>;tag=1".into(), "<sip:1001@pbx.example>;tag=1".into())],
//!     ..RuleText::default()
//! };
//! let rules = Rules::from_iter([Rule::new(&text)?]);
//! let message = b"OPTIONS sip:pbx.example SIP/2.0\r\nf: <sip:anonymous@localhost>;tag=7\r\n\r\n";
//! let rewritten = rules.received(message).ok_or("nothing was found")?;
//! assert_eq!(rewritten, b"OPTIONS sip:pbx.example SIP/2.0\r\nf: <sip:1001@pbx.example>;tag=7\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod message;
mod messages;
mod number;
#[cfg(test)]
mod tests;

use std::fmt;

use denwa_sip_core::HeaderName;
use regex_lite::Regex;

pub use messages::Messages;
pub use number::{NumberRule, NumberRules};

/// Headers that hold a message together: no rule may touch them.
const UNTOUCHABLE: [&str; 5] = ["Content-Length", "l", "Call-ID", "i", "CSeq"];

/// The longest expression, template or example.
const LONGEST: usize = 1024;

/// A rule as a configuration writes it, key by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleText {
    /// `sent` (to the peer) or `received` (from it).
    pub on: String,
    /// `header NAME`, `first line`, or `sdp`.
    pub at: String,
    /// Which messages: methods (`INVITE`), which mean requests, and statuses (`183`, `18x`, `2xx`). None: all.
    pub messages: Vec<String>,
    /// A regular expression. What fits anywhere in a header's value, the first line, or a line of the description is
    /// replaced. Without it the whole header is set, or a line is added at the end of the description.
    pub find: Option<String>,
    /// What takes the place of what was found; `$1` is the expression's first group.
    pub put: Option<String>,
    /// In the place of `put`: the header, or the line, goes when `find` is in it; always when there is no `find`.
    pub remove: bool,
    /// Before and after: each must come true. After is empty when it is removed.
    pub examples: Vec<(String, String)>,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The key of [`RuleText`] by its name.
    pub key: &'static str,
    /// What is wrong with it and what was expected, to be written behind the key.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.message)
    }
}

impl std::error::Error for RuleError {}

impl RuleError {
    fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

/// One rule, its examples tried.
#[derive(Clone, Debug)]
pub struct Rule {
    text: RuleText,
    way: Way,
    place: Place,
    kinds: Vec<Kind>,
    find: Option<Regex>,
}

/// Two rules are the same when they are written the same.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Rule {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sent,
    Received,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    FirstLine,
    Header(String),
    Description,
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Requests of a method.
    Method(String),
    /// Responses whose status begins so: `183`, `18`, `2`.
    Status(String),
}

impl Rule {
    /// Reads a rule and tries its examples.
    ///
    /// # Errors
    /// The first key that is wrong, and an example that does not come true.
    pub fn new(text: &RuleText) -> Result<Self, RuleError> {
        let way = match text.on.as_str() {
            "sent" => Way::Sent,
            "received" => Way::Received,
            other => {
                return Err(RuleError::new(
                    "on",
                    format!("is \"{other}\", expected \"sent\" or \"received\""),
                ));
            }
        };
        let place = place(&text.at)?;
        let kinds = text.messages.iter().map(|word| kind(word)).collect::<Result<_, _>>()?;
        let put = text.put.as_deref().unwrap_or_default();
        if put.len() > LONGEST || put.chars().any(char::is_control) {
            return Err(RuleError::new("put", "expected one line of at most 1024 characters"));
        }
        match (&text.put, text.remove) {
            (Some(_), true) => return Err(RuleError::new("remove", "is true, but there is a `put` as well")),
            (None, false) => return Err(RuleError::new("put", "is missing, and `remove` is not true")),
            _ => {}
        }
        let find = text.find.as_deref().map(expression).transpose()?;
        if find.is_none() && (place == Place::FirstLine || place == Place::Description && text.remove) {
            return Err(RuleError::new("find", format!("is missing, for the place is {}", text.at)));
        }
        let rule = Self { text: text.clone(), way, place, kinds, find };
        rule.try_examples()?;
        Ok(rule)
    }

    /// The rule as it was written.
    #[must_use]
    pub fn text(&self) -> &RuleText {
        &self.text
    }

    /// What becomes of one header value, first line or line of a description; `None` when it goes.
    #[must_use]
    pub fn apply(&self, before: &str) -> Option<String> {
        let put = self.text.put.as_deref();
        match (&self.find, put) {
            (Some(find), Some(put)) => Some(find.replace_all(before, put).into_owned()),
            (Some(find), None) => (!find.is_match(before)).then(|| before.to_owned()),
            (None, put) => put.map(str::to_owned),
        }
    }

    fn try_examples(&self) -> Result<(), RuleError> {
        for (before, after) in &self.text.examples {
            let becomes = self.apply(before).unwrap_or_default();
            if becomes != *after {
                let message =
                    format!("do not come true: \"{before}\" becomes \"{becomes}\", not \"{after}\"");
                return Err(RuleError::new("examples", message));
            }
        }
        Ok(())
    }
}

fn place(text: &str) -> Result<Place, RuleError> {
    match text {
        "sdp" => return Ok(Place::Description),
        "first line" => return Ok(Place::FirstLine),
        _ => {}
    }
    let Some(name) = text.strip_prefix("header ").map(str::trim).filter(|name| is_token(name)) else {
        let message = format!("is \"{text}\", expected \"header NAME\", \"first line\" or \"sdp\"");
        return Err(RuleError::new("at", message));
    };
    if UNTOUCHABLE.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        let message = format!("names {name}, which holds a message together and cannot be rewritten");
        return Err(RuleError::new("at", message));
    }
    Ok(Place::Header(name.to_owned()))
}

fn kind(word: &str) -> Result<Kind, RuleError> {
    let digits = word.trim_end_matches('x');
    let is_status = word.len() == 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(digits.bytes().next(), Some(b'1'..=b'6'));
    if is_status {
        return Ok(Kind::Status(digits.to_owned()));
    }
    if is_token(word) && word.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(Kind::Method(word.to_owned()));
    }
    let message =
        format!("have \"{word}\", expected methods as \"INVITE\" and statuses as \"183\" or \"2xx\"");
    Err(RuleError::new("messages", message))
}

fn expression(text: &str) -> Result<Regex, RuleError> {
    if text.is_empty() || text.len() > LONGEST {
        return Err(RuleError::new("find", "expected a regular expression of 1 to 1024 characters"));
    }
    Regex::new(text).map_err(|error| RuleError::new("find", format!("is no regular expression: {error}")))
}

/// RFC 3261 section 25.1.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

/// Whether two names mean the same header, compact or not.
fn is_same_header(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || matches!((HeaderName::parse(one), HeaderName::parse(other)), (Some(one), Some(other)) if one == other)
}

/// The rules of one peer, in the order they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self { rules: rules.into_iter().collect() }
    }
}

impl Rules {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// One more, applied after those there are.
    pub fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// What a whole message that came from the peer is to be read as; `None` when nothing of it is changed.
    #[must_use]
    pub fn received(&self, message: &[u8]) -> Option<Vec<u8>> {
        message::rewrite(self.of(Way::Received), message)
    }

    /// What is to be sent to the peer in the place of a whole message; `None` when nothing of it is changed.
    #[must_use]
    pub fn sent(&self, message: &[u8]) -> Option<Vec<u8>> {
        message::rewrite(self.of(Way::Sent), message)
    }

    fn of(&self, way: Way) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.way == way)
    }
}
