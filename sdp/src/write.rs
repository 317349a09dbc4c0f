//! The only place where lines are written: strict RFC 8866, CRLF at every end.

use core::fmt::{Display, Write as _};

use crate::attribute::Attribute;
use crate::error::ParseError;
use crate::session::Description;

/// Makes a description line by line. Lines come in the order of the calls; the caller minds RFC 8866 §5's.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    text: String,
}

impl Builder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line. Line ends and NULs in the value are left out: nothing can be smuggled into a line of its own.
    pub fn line(&mut self, letter: char, value: impl Display) -> &mut Self {
        self.text.push(letter);
        self.text.push('=');
        let from = self.text.len();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
        if self.text.as_bytes().get(from..).is_some_and(|value| value.iter().any(|byte| is_breaking(*byte))) {
            let kept: String = self
                .text
                .get(from..)
                .unwrap_or("")
                .chars()
                .filter(|letter| !"\r\n\0".contains(*letter))
                .collect();
            self.text.truncate(from);
            self.text.push_str(&kept);
        }
        self.text.push_str("\r\n");
        self
    }

    /// Adds an `a=` line.
    pub fn attribute(&mut self, attribute: &Attribute<'_>) -> &mut Self {
        self.line('a', attribute)
    }

    /// Adds an `a=` line of text.
    pub fn attribute_text(&mut self, text: impl Display) -> &mut Self {
        self.line('a', text)
    }

    /// What was written so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// As [`Description::parse`].
    pub fn description(&self) -> Result<Description<'_>, ParseError> {
        Description::parse(self.text.as_bytes())
    }
}

fn is_breaking(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// A description that is being changed: every line that is not touched keeps its exact bytes, its end included.
///
/// This is what per-device rules need: drop a codec, put another address, take out an attribute.
#[derive(Clone, Debug)]
pub struct Editor {
    /// Each line with its end, blank ones included.
    lines: Vec<Vec<u8>>,
}

impl Editor {
    /// Starts from the bytes of a description.
    pub fn new(description: &Description<'_>) -> Self {
        let bytes = description.to_bytes();
        Self { lines: bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() }
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The text of line `at` (from 0), without its end.
    #[must_use]
    pub fn line(&self, at: usize) -> Option<&[u8]> {
        self.lines.get(at).map(|line| line.trim_ascii_end())
    }

    /// Replaces line `at`, from 0. Says whether there is one.
    pub fn replace(&mut self, at: usize, letter: char, value: impl Display) -> bool {
        match self.lines.get_mut(at) {
            Some(line) => {
                *line = one_line(letter, value);
                true
            }
            None => false,
        }
    }

    /// Puts a line before line `at`, from 0; at the end if there are fewer.
    pub fn insert(&mut self, at: usize, letter: char, value: impl Display) {
        // A last line without an end gets one, or the new one would grow onto it.
        if let Some(last) = self.lines.last_mut()
            && last.last() != Some(&b'\n')
        {
            last.extend_from_slice(b"\r\n");
        }
        self.lines.insert(at.min(self.lines.len()), one_line(letter, value));
    }

    /// Keeps only the lines for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.lines.retain(|line| keep(line.trim_ascii_end()));
    }

    /// The changed bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.lines.concat()
    }
}

fn one_line(letter: char, value: impl Display) -> Vec<u8> {
    let mut builder = Builder::new();
    builder.line(letter, value);
    builder.into_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_be_smuggled_into_a_line_of_its_own() {
        let mut builder = Builder::new();
        builder.line('s', "a\r\nm=audio 1 RTP/AVP 0\0");
        assert_eq!(builder.as_str(), "s=am=audio 1 RTP/AVP 0\r\n");
    }

    #[test]
    fn an_edit_leaves_every_other_byte() {
        let bytes = b"v=0\nx=odd  line \r\n\na=b\r\na=\xe9 last";
        let description = Description::parse(bytes).unwrap();
        let mut editor = Editor::new(&description);
        assert_eq!(editor.clone().into_bytes(), bytes);
        assert!(editor.replace(0, 'v', 1));
        assert!(!editor.replace(9, 'v', 1));
        editor.insert(usize::MAX, 'a', "more");
        editor.retain(|line| !line.is_empty());
        assert_eq!(editor.into_bytes(), b"v=1\r\nx=odd  line \r\na=b\r\na=\xe9 last\r\na=more\r\n");
    }
}
