//! As much JSON as a PASSporT needs (RFC 8225): read with bounds, written in the one form that is signed: keys in order,
//! no white space (RFC 8225 §9).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeMap, fmt};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Values by name; of two of one name the document is refused.
    Object(BTreeMap<String, Self>),
}

/// Values may be nested this deep.
const DEPTH: usize = 8;
/// A document may have this many bytes.
const BYTES: usize = 8192;

impl Json {
    /// Reads a document.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > BYTES {
            return None;
        }
        let mut reader = Reader { rest: text };
        let value = reader.value(DEPTH)?;
        reader.space();
        reader.rest.is_empty().then_some(value)
    }

    /// A value of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(values) => values.get(name),
            _ => None,
        }
    }

    /// Text, if it is that.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number of seconds, if it is a whole positive number.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// An object of these values.
    #[must_use]
    pub fn object<const N: usize>(values: [(&str, Self); N]) -> Self {
        Self::Object(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write_text(f, text),
            Self::List(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
            Self::Object(values) => {
                f.write_str("{")?;
                for (at, (name, value)) in values.iter().enumerate() {
                    f.write_str(if at > 0 { "," } else { "" })?;
                    write_text(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            it if u32::from(it) < 0x20 => write!(f, "\\u{:04x}", u32::from(it))?,
            it => write!(f, "{it}")?,
        }
    }
    f.write_str("\"")
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.space();
        let depth = depth.checked_sub(1)?;
        match self.rest.chars().next()? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => self.text().map(Json::Text),
            't' => self.eat("true").then_some(Json::Bool(true)),
            'f' => self.eat("false").then_some(Json::Bool(false)),
            'n' => self.eat("null").then_some(Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.eat("{");
        let mut values = BTreeMap::new();
        self.space();
        if self.eat("}") {
            return Some(Json::Object(values));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            if !self.eat(":") {
                return None;
            }
            if values.insert(name, self.value(depth)?).is_some() {
                return None;
            }
            self.space();
            if self.eat("}") {
                return Some(Json::Object(values));
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        self.eat("[");
        let mut values = Vec::new();
        self.space();
        if self.eat("]") {
            return Some(Json::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            self.space();
            if self.eat("]") {
                return Some(Json::List(values));
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        if !self.eat("\"") {
            return None;
        }
        let mut out = String::new();
        let mut characters = self.rest.char_indices();
        loop {
            let (at, character) = characters.next()?;
            match character {
                '"' => {
                    self.rest = self.rest.get(at.checked_add(1)?..)?;
                    return Some(out);
                }
                '\\' => {
                    let (_, escape) = characters.next()?;
                    out.push(match escape {
                        '"' | '\\' | '/' => escape,
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'u' => {
                            let digits: String =
                                characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                        }
                        _ => return None,
                    });
                }
                it if u32::from(it) < 0x20 => return None,
                it => out.push(it),
            }
        }
    }

    fn number(&mut self) -> Option<Json> {
        let end = self.rest.find(|it: char| !matches!(it, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let end = end.unwrap_or(self.rest.len());
        let text = self.rest.get(..end)?;
        text.parse::<f64>().ok()?;
        self.rest = self.rest.get(end..)?;
        Some(Json::Number(text.to_owned()))
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_written_in_order_and_without_space() {
        let text =
            " { \"orig\" : {\"tn\":\"1\"}, \"dest\":{\"uri\":[\"sip:a\\u0040b\"]},\"iat\":1471375418 } ";
        let value = Json::parse(text).unwrap();
        assert_eq!(
            value.to_string(),
            "{\"dest\":{\"uri\":[\"sip:a@b\"]},\"iat\":1471375418,\"orig\":{\"tn\":\"1\"}}"
        );
        assert_eq!(value.get("iat").unwrap().seconds(), Some(1_471_375_418));
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "{",
            "{\"a\":1,\"a\":2}",
            "[1,]",
            "{\"a\" 1}",
            "\"a",
            "nul",
            "{}x",
            "01x",
            "\"\\x\"",
            "\"\n\"",
        ] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100)), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in ".{0,40}") {
            let value = Json::object([("a", Json::Text(text)), ("b", Json::List(vec![Json::Null, Json::Bool(true)]))]);
            prop_assert_eq!(Json::parse(&value.to_string()), Some(value));
        }
    }
}
