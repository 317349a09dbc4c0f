//! Reads tables of a TOML document key by key, with the place of each value, and notices what nobody asked for.
//!
//! A [`Section`] is one table. Whoever reads it names each key once; what is left over at [`Section::finish`] is an
//! unknown key. All findings go to one [`Problems`], so reading goes on after the first mistake.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, nearest};

/// A string of the document, with its place and the key it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Range<usize>,
    pub(crate) key: String,
}

/// One table being read.
pub(crate) struct Section<'a> {
    path: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(document: &'a Spanned<DeTable<'a>>) -> Self {
        Self { path: String::new(), table: document.get_ref(), span: 0..0, asked: Vec::new() }
    }

    /// Where the table begins, for what is missing in it.
    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// The full name of a key in this table.
    pub(crate) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A table inside this one; an empty one stands in when it is not there.
    pub(crate) fn section(&mut self, key: &'static str, problems: &mut Problems) -> Option<Self> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Self { path: self.key(key), table, span: value.span(), asked: Vec::new() })
            }
            other => {
                self.wrong_kind(
                    key,
                    value.span(),
                    &format!("a table `[{}]`", self.key(key)),
                    other,
                    problems,
                );
                None
            }
        }
    }

    /// Every table of `[[key]]`.
    pub(crate) fn sections(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_kind(key, value.span(), &format!("tables `[[{key}]]`"), value.get_ref(), problems);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, item) in list.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => sections.push(Self {
                    path: format!("{}[{index}]", self.key(key)),
                    table,
                    span: item.span(),
                    asked: Vec::new(),
                }),
                other => {
                    self.wrong_kind(key, item.span(), &format!("tables `[[{key}]]`"), other, problems);
                }
            }
        }
        sections
    }

    /// A string, if the key is there and is one.
    pub(crate) fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<Text> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => {
                Some(Text { value: text.clone().into_owned(), span: value.span(), key: self.key(key) })
            }
            other => {
                self.wrong_kind(key, value.span(), "a string in quotation marks", other, problems);
                None
            }
        }
    }

    /// A string that must be one of a few words, if the key is there.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.text(key, problems)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("\"{}\" is not known here, expected one of {}", text.value, listed(&known));
            problems.add(&text.span, &text.key, message);
        }
        found
    }

    /// Every key of the table with its string.
    pub(crate) fn secrets(self, problems: &mut Problems) -> Vec<(String, Text)> {
        let mut texts = Vec::new();
        for (name, value) in self.table {
            let name = name.get_ref().to_string();
            match value.get_ref() {
                DeValue::String(text) => {
                    let value =
                        Text { value: text.clone().into_owned(), span: value.span(), key: self.key(&name) };
                    texts.push((name, value));
                }
                other => self.wrong_kind(&name, value.span(), "a string in quotation marks", other, problems),
            }
        }
        texts
    }

    /// A string that must be there.
    pub(crate) fn required_text(&mut self, key: &'static str, problems: &mut Problems) -> Option<Text> {
        if self.value(key).is_none() {
            problems.add(&self.span, self.key(key), "is missing");
            return None;
        }
        self.text(key, problems)
    }

    /// A list of strings, if the key is there and is one.
    pub(crate) fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Option<Vec<Text>> {
        const EXPECTED: &str = "a list of strings, as [\"…\", \"…\"]";
        let value = self.value(key)?;
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_kind(key, value.span(), EXPECTED, value.get_ref(), problems);
            return None;
        };
        let mut texts = Vec::new();
        for (index, item) in list.iter().enumerate() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(Text {
                    value: text.clone().into_owned(),
                    span: item.span(),
                    key: format!("{}[{index}]", self.key(key)),
                }),
                other => self.wrong_kind(key, item.span(), EXPECTED, other, problems),
            }
        }
        Some(texts)
    }

    /// A whole number within bounds, if the key is there and is one.
    pub(crate) fn whole(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<u64> {
        let value = self.value(key)?;
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_kind(key, value.span(), &expected, value.get_ref(), problems);
            return None;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if bounds.contains(&number) => Some(number),
            _ => {
                problems.add(&value.span(), self.key(key), format!("is {integer}, expected {expected}"));
                None
            }
        }
    }

    /// True or false, if the key is there and is one of them.
    pub(crate) fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => {
                self.wrong_kind(key, value.span(), "true or false", other, problems);
                None
            }
        }
    }

    /// Which of some words a string is, if the key is there and is one of them.
    pub(crate) fn choice(
        &mut self,
        key: &'static str,
        words: &[&str],
        problems: &mut Problems,
    ) -> Option<usize> {
        let text = self.text(key, problems)?;
        let index = words.iter().position(|word| *word == text.value);
        if index.is_none() {
            let message = format!("\"{}\" is not known here, expected one of {}", text.value, listed(words));
            problems.add(&text.span, &text.key, message);
        }
        index
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &self.asked) {
                Some(word) => format!("is not a key that is known here; did you mean `{word}`?"),
                None => format!("is not a key that is known here, expected one of {}", listed(&self.asked)),
            };
            problems.add(&key.span(), self.key(name), hint);
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key)
    }

    fn wrong_kind(
        &self,
        key: &str,
        span: Range<usize>,
        expected: &str,
        found: &DeValue<'_>,
        problems: &mut Problems,
    ) {
        problems.add(&span, self.key(key), format!("is {}, expected {expected}", kind(found)));
    }
}

/// Words in a list for a sentence: `a`, `b`, `c`.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
