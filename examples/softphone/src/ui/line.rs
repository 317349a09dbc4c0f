//! A line that is being written, with a place in it.

use unicode_width::UnicodeWidthStr;

/// The text so far and where the next character goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// In bytes; always between two characters.
    at: usize,
}

/// What a line holds at most, in bytes: longer than any address or message that makes sense here.
const LONGEST: usize = 1000;

impl Line {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is nothing but spaces.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// How many columns stand before the cursor.
    pub fn cursor_column(&self) -> usize {
        self.text.get(..self.at).map_or(0, UnicodeWidthStr::width)
    }

    /// Another text, the cursor after it.
    pub fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.at = self.text.len();
    }

    /// The text without the spaces around it; the line is empty then.
    pub fn take(&mut self) -> String {
        self.at = 0;
        std::mem::take(&mut self.text).trim().to_owned()
    }

    /// Puts a character in.
    pub fn insert(&mut self, letter: char) {
        if !letter.is_control() && self.text.len() + letter.len_utf8() <= LONGEST {
            self.text.insert(self.at, letter);
            self.at += letter.len_utf8();
        }
    }

    /// Takes out the character before the cursor.
    pub fn backspace(&mut self) {
        if let Some(letter) = self.before() {
            self.at -= letter.len_utf8();
            self.text.remove(self.at);
        }
    }

    /// Takes out the character under the cursor.
    pub fn delete(&mut self) {
        if self.at < self.text.len() {
            self.text.remove(self.at);
        }
    }

    /// One character to the left.
    pub fn left(&mut self) {
        self.at -= self.before().map_or(0, char::len_utf8);
    }

    /// One character to the right.
    pub fn right(&mut self) {
        let after = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        self.at += after.map_or(0, char::len_utf8);
    }

    /// To the beginning.
    pub fn home(&mut self) {
        self.at = 0;
    }

    /// To the end.
    pub fn end(&mut self) {
        self.at = self.text.len();
    }

    fn before(&self) -> Option<char> {
        self.text.get(..self.at).and_then(|text| text.chars().next_back())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_and_mended() {
        let mut line = Line::default();
        for letter in "電話2x00".chars() {
            line.insert(letter);
        }
        line.left();
        line.left();
        line.backspace();
        assert_eq!((line.text(), line.cursor_column()), ("電話200", 5));
        line.home();
        line.left();
        line.delete();
        line.right();
        line.right();
        line.right();
        line.right();
        line.right();
        assert_eq!((line.text(), line.cursor_column()), ("話200", 5));
        line.insert('\u{7}');
        assert_eq!(line.take(), "話200");
        assert!(line.is_empty());
        line.backspace();
        line.delete();
        line.end();
        assert_eq!(line, Line::default());
    }
}
