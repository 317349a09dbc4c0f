//! Mistakes with their places.

use super::sections::Spanned;
use serde::de::DeserializeOwned;
use std::fmt;
use std::str::FromStr;

/// What is wrong with a file: where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub sentence: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.sentence)
    }
}

impl std::error::Error for ConfigError {}

/// The text, to find places in.
pub(super) struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text }
    }

    pub(super) fn document<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| {
            self.wrong(error.span().map_or(0, |span| span.start), error.message().trim().to_owned())
        })
    }

    /// A mistake where this stands.
    pub(super) fn at<T>(&self, place: &Spanned<T>, sentence: impl ToString) -> ConfigError {
        self.wrong(place.span().start, sentence.to_string())
    }

    /// What a text says, in words of its own type.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        entry: &Spanned<String>,
    ) -> Result<T, ConfigError> {
        entry.get_ref().parse().map_err(|error: T::Err| {
            let sentence = error.to_string();
            let text = entry.get_ref();
            // The library's own errors name the text; those of others do not.
            let named =
                if sentence.contains(text.as_str()) { sentence } else { format!("`{text}`: {sentence}") };
            self.at(entry, named)
        })
    }

    fn wrong(&self, offset: usize, sentence: String) -> ConfigError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        ConfigError { line, column, sentence }
    }
}
