//! What is wrong with a configuration file: where (line and column), what, and what was expected instead.
//!
//! Every problem of a file is collected before any is reported, in the order of the file, so that one run of
//! `pbx check` is enough to mend it.

use std::fmt;
use std::ops::Range;

/// One thing wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// The key it is about, as `sip.listen` or `extensions[2].number`; empty when the text is not TOML at all.
    pub key: String,
    /// What is wrong and what was expected, without a full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Problems as they are found, by byte offset.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<(usize, String, String)>,
}

impl Problems {
    pub(crate) fn add(&mut self, span: &Range<usize>, key: impl Into<String>, message: impl Into<String>) {
        self.found.push((span.start, key.into(), message.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The problems in the order of the text, with lines and columns.
    pub(crate) fn placed_in(mut self, text: &str) -> Vec<Problem> {
        self.found.sort_by_key(|(offset, ..)| *offset);
        self.found
            .into_iter()
            .map(|(offset, key, message)| {
                let (line, column) = position(text, offset);
                Problem { line, column, key, message }
            })
            .collect()
    }
}

/// Line and column (characters) of a byte offset, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The known word nearest to what was written, when it is near enough to be a slip of the finger.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (written.chars().count() / 3).max(1);
    known
        .iter()
        .map(|word| (distance(written, word), *word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}

/// How many insertions, deletions and substitutions turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            left = substituted.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("ab\nçd = 1", 0), (1, 1));
        assert_eq!(position("ab\nçd = 1", 3), (2, 1));
        assert_eq!(position("ab\nçd = 1", 5), (2, 2));
        assert_eq!(position("ab", 99), (1, 3));
    }

    #[test]
    fn distances_are_edit_distances() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("listn", "listen"), 1);
        assert_eq!(distance("lisetn", "listen"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_finds_its_word_and_nonsense_does_not() {
        assert_eq!(nearest("lisen", &["listen", "realm"]), Some("listen"));
        assert_eq!(nearest("extension", &["extensions", "services"]), Some("extensions"));
        assert_eq!(nearest("banana", &["listen", "realm"]), None);
    }
}
