//! What tells which key does what: the row at the bottom, the card of a call that comes in, and the help.

use super::model::{Mode, Model};
use super::rows::CallState;
use super::view::{BOLD, DIM, FAIR};
use super::words::Words;
use super::wrap::wrap;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use unicode_width::UnicodeWidthStr;

/// A key in the row: its name, what it does, whether it does so now, and how soon it may be left out where there is no room.
struct Entry {
    key: &'static str,
    word: &'static str,
    acts: bool,
    leave_out: u8,
}

impl Entry {
    fn new(key: &'static str, word: &'static str) -> Self {
        Self { key, word, acts: true, leave_out: 0 }
    }

    /// With the space behind it.
    fn width(&self) -> usize {
        self.key.width() + self.word.width() + 1
    }
}

pub(super) fn draw_keys(model: &Model, words: &'static Words, frame: &mut Frame<'_>, area: Rect) {
    let mut entries = match model.mode {
        Mode::Dial | Mode::Help => function_keys(model, words),
        Mode::Keypad => vec![Entry::new("0-9 * # A-D ", words.keypad), Entry::new("Esc ", words.key_back)],
        Mode::Transfer => vec![Entry::new("Enter ", words.key_transfer), Entry::new("Esc ", words.key_back)],
        Mode::Messages => vec![Entry::new("Enter ", words.key_write), Entry::new("Esc ", words.key_back)],
        Mode::MessageTo => {
            vec![Entry::new("Enter ", words.message_text), Entry::new("Esc ", words.key_back)]
        }
        Mode::MessageText => vec![Entry::new("Enter ", words.key_send), Entry::new("Esc ", words.key_back)],
        Mode::Quit => vec![Entry::new("Enter ", words.key_quit), Entry::new("Esc ", words.key_back)],
    };
    // What does nothing now goes first, then what is used least; help tells all of them.
    while entries.iter().map(Entry::width).sum::<usize>() > usize::from(area.width) + 1 {
        let rank = |entry: &Entry| if entry.acts { entry.leave_out } else { entry.leave_out + 10 };
        let Some(place) = (0..entries.len()).max_by_key(|place| entries.get(*place).map(rank)) else { break };
        entries.remove(place);
    }
    let mut spans = Vec::new();
    for Entry { key, word, acts, .. } in entries {
        spans.push(Span::styled(key, if acts { BOLD } else { DIM }));
        spans
            .push(Span::styled(word, if acts { Style::new().add_modifier(Modifier::REVERSED) } else { DIM }));
        spans.push(Span::raw(" "));
    }
    frame.render_widget(Paragraph::new(TextLine::from(spans)), area);
}

fn function_keys(model: &Model, words: &'static Words) -> Vec<Entry> {
    let marked = model.selected_call();
    let is_up = marked.is_some_and(|call| call.state == CallState::Up);
    let is_held = marked.is_some_and(|call| call.held_here);
    let others = model.calls.iter().filter(|call| call.state == CallState::Up).count() > 1;
    let entry = |key, word, acts, leave_out| Entry { key, word, acts, leave_out };
    vec![
        entry("F1", words.key_help, true, 0),
        entry("F2", if is_held { words.key_resume } else { words.key_hold }, is_up, 1),
        entry("F3", words.key_swap, is_up && others, 2),
        entry("F4", words.key_transfer, is_up, 4),
        entry("F5", words.key_mute, marked.is_some(), 5),
        entry("F6", words.key_keypad, is_up, 3),
        entry("F7", words.key_join, others, 6),
        entry("F8", words.key_messages, true, 7),
        entry("F9", words.key_disturb, true, 8),
        entry("F10", words.key_quit, true, 0),
    ]
}

pub(super) fn draw_card(model: &Model, words: &'static Words, frame: &mut Frame<'_>, area: Rect) {
    let Some(number) = model.ringing_here() else { return };
    let Some(call) = model.calls.iter().find(|call| call.number == number) else { return };
    let Some(card) = &call.card else { return };
    let place = centred(area, 52, 7);
    let block = Block::bordered()
        .border_type(BorderType::Double)
        .border_style(FAIR)
        .title(Span::styled(format!(" {} ", words.incoming_call), BOLD));
    let mut lines = vec![TextLine::default()];
    if let Some(name) = &card.name {
        lines.push(TextLine::styled(name.clone(), BOLD).centered());
    }
    lines.push(TextLine::raw(card.from.clone()).centered());
    lines.push(TextLine::styled(format!("{} {}", words.for_account, card.to), DIM).centered());
    let keys = if model.keys_are_for_the_card() {
        vec![
            Span::styled("Enter ", BOLD),
            Span::styled(format!(" {} ", words.answer), Style::new().bg(Color::Green).fg(Color::Black)),
            Span::raw("    "),
            Span::styled("Esc ", BOLD),
            Span::styled(format!(" {} ", words.decline), Style::new().bg(Color::Red).fg(Color::White)),
        ]
    } else {
        vec![Span::styled(words.card_waits, FAIR)]
    };
    lines.push(TextLine::from(keys).centered());
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

pub(super) fn draw_help(words: &'static Words, frame: &mut Frame<'_>, area: Rect) {
    let lines = [
        words.help_dial,
        words.help_enter,
        words.help_escape,
        words.help_tab,
        words.help_hold,
        words.help_swap,
        words.help_transfer,
        words.help_mute,
        words.help_keypad,
        words.help_join,
        words.help_messages,
        words.help_disturb,
        words.help_quit,
    ];
    let widest = lines.iter().map(|line| line.width()).max().unwrap_or(0);
    let width = (widest + 4).min(usize::from(area.width));
    let mut text = Vec::new();
    for line in lines {
        let (key, does) = line.split_at_checked(HELP_COLUMN).unwrap_or(("", line));
        for (place, mut line) in
            wrap(&[Span::raw(does)], width.saturating_sub(4 + HELP_COLUMN)).into_iter().enumerate()
        {
            let before = if place == 0 {
                Span::styled(format!(" {key}"), BOLD)
            } else {
                Span::raw(" ".repeat(HELP_COLUMN + 1))
            };
            line.spans.insert(0, before);
            text.push(line);
        }
    }
    let place = centred(area, width as u16, text.len() as u16 + 2);
    let block =
        Block::bordered().border_style(FAIR).title(Span::styled(format!(" {} ", words.key_help), BOLD));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(block), place);
}

/// Where what a key does begins in a line of help; the keys themselves are ASCII.
const HELP_COLUMN: usize = 14;

fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}
