//! Lines of a given width: between words, and in Japanese between any two characters but before a mark that ends something.

use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks that begin no line.
const ENDS: &str = "、。，．」』）】：；！？ー…";

/// The text in lines of so many columns, each piece in its style.
pub(super) fn wrap(text: &[Span<'_>], columns: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut line: Vec<Span<'static>> = Vec::new();
    let mut width = 0;
    let columns = columns.max(2);
    for span in text {
        for piece in pieces(&span.content) {
            let wide = piece.trim_end().width();
            if width > 0 && width + wide > columns {
                lines.push(Line::from(std::mem::take(&mut line)));
                width = 0;
            }
            // A word that is longer than a line is cut; a space begins none.
            let mut rest = if width == 0 { piece.trim_start() } else { piece };
            while rest.width() > columns && rest.trim_end().width() > columns {
                let (first, second) = rest.split_at(cut(rest, columns));
                lines.push(Line::from(Span::styled(first.to_owned(), span.style)));
                rest = second;
            }
            width += rest.width();
            line.push(Span::styled(rest.to_owned(), span.style));
        }
    }
    lines.push(Line::from(line));
    lines
}

/// Where so many columns end, in bytes.
fn cut(text: &str, columns: usize) -> usize {
    let mut width = 0;
    for (at, letter) in text.char_indices() {
        width += letter.width().unwrap_or(0);
        if width > columns {
            return at;
        }
    }
    text.len()
}

/// What is not parted: words with the spaces behind them, and wide characters with the marks behind them.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    let mut before: Option<char> = None;
    for (at, letter) in text.char_indices() {
        let is_wide = |letter: char| letter.width().unwrap_or(0) > 1;
        let parts = before.is_some_and(|before| {
            let after_word = before == ' ' && letter != ' ';
            let at_wide = is_wide(letter) || is_wide(before);
            after_word || (at_wide && letter != ' ' && !ENDS.contains(letter))
        });
        if parts {
            pieces.extend(text.get(begin..at));
            begin = at;
        }
        before = Some(letter);
    }
    pieces.extend(text.get(begin..).filter(|rest| !rest.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, columns: usize) -> Vec<String> {
        let lines = wrap(&[Span::raw(text)], columns);
        lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect()
    }

    #[test]
    fn lines_end_between_words_and_japanese_characters() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("電話をかける。次", 8), ["電話をか", "ける。次"]);
        // No line begins with a full stop: the character before it goes along.
        assert_eq!(wrapped("電話です。", 8), ["電話で", "す。"]);
        assert_eq!(wrapped("SIP の応答 486", 8), ["SIP の応", "答 486"]);
        assert_eq!(wrapped("", 8), [""]);
        for columns in 0..12 {
            for line in wrapped("sip:200@pbx.example: 拒否されました。Declined, あとで もう一度。", columns)
            {
                assert!(line.width() <= columns.max(4), "{columns}: {line}");
            }
        }
    }
}
