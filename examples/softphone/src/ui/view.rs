//! The model as a picture, made for 80 × 24 characters; 60 × 20 are enough.

use super::guide::{draw_card, draw_help, draw_keys};
use super::model::{Mode, Model};
use super::rows::{AccountState, CallRow, CallState, Notice, TextState};
use super::words::Words;
use super::wrap::wrap;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// The smallest window.
const SMALLEST: (u16, u16) = (60, 20);

/// Accounts shown at most.
const ACCOUNTS_SHOWN: usize = 3;

/// Lines of what happened: so many at least and at most. What is long takes its lines from the calls.
const NOTICE_LINES: (u16, u16) = (3, 7);

pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const FAIR: Style = Style::new().fg(Color::Yellow);
pub(super) const BAD: Style = Style::new().fg(Color::Red);

/// Draws all of it.
pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let words = Words::of(model.language);
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        frame.render_widget(Paragraph::new(words.too_small).wrap(Wrap { trim: true }), area);
        return;
    }
    let accounts = model.accounts.len().clamp(1, ACCOUNTS_SHOWN) as u16;
    let notice = notice_lines(model, area.width);
    let lines = (notice.len() as u16).clamp(NOTICE_LINES.0, NOTICE_LINES.1);
    let [header, own, middle, sound, happened, line, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(accounts),
        Constraint::Min(6),
        Constraint::Length(3),
        Constraint::Length(lines.saturating_add(1)),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_header(model, words, frame, header);
    draw_accounts(model, words, frame, own);
    let [calls, past] = Layout::horizontal([Constraint::Fill(5), Constraint::Fill(3)]).areas(middle);
    if matches!(model.mode, Mode::Messages | Mode::MessageTo | Mode::MessageText) {
        draw_messages(model, words, frame, middle);
    } else {
        draw_calls(model, words, frame, calls);
        draw_past(model, words, frame, past);
    }
    draw_sound(model, words, frame, sound);
    draw_notice(notice, words, frame, happened);
    draw_line(model, words, frame, line);
    draw_keys(model, words, frame, keys);
    match model.mode {
        Mode::Help => draw_help(words, frame, area),
        _ => draw_card(model, words, frame, middle),
    }
}

fn titled(title: &str) -> Block<'_> {
    Block::new().borders(Borders::TOP).border_style(DIM).title(Span::styled(format!(" {title} "), BOLD))
}

fn draw_header(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let mut right: Vec<Span<'_>> = Vec::new();
    if model.do_not_disturb {
        right.push(Span::styled(
            format!(" {} ", words.do_not_disturb),
            Style::new().bg(Color::Red).fg(Color::White),
        ));
    }
    let (new, _) =
        model.accounts.iter().fold((0, 0), |sum, row| (sum.0 + row.waiting.0, sum.1 + row.waiting.1));
    if new > 0 {
        right.push(Span::styled(
            format!(" {} {new} ", words.voice_mail),
            Style::new().bg(Color::Yellow).fg(Color::Black),
        ));
    }
    if model.unread > 0 {
        right.push(Span::styled(
            format!(" {} {} ", words.new_messages, model.unread),
            Style::new().bg(Color::Cyan).fg(Color::Black),
        ));
    }
    right.push(Span::raw(format!(" {} ", model.clock)));
    let bar = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Paragraph::new(format!(" {}", words.title)).style(bar), area);
    let line = TextLine::from(right);
    let width = (line.width() as u16).min(area.width);
    let place = Rect { x: area.right().saturating_sub(width), width, ..area };
    frame.render_widget(Paragraph::new(line).style(bar), place);
}

fn draw_accounts(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let chosen = model.account;
    // The chosen one is always among those shown.
    let skipped = (chosen + 1).saturating_sub(ACCOUNTS_SHOWN);
    let rows = model.accounts.iter().enumerate().skip(skipped).take(ACCOUNTS_SHOWN);
    let lines: Vec<TextLine<'_>> = rows
        .map(|(place, row)| {
            let (sign, style, state) = match &row.state {
                AccountState::Direct => ("◇", DIM, String::new()),
                AccountState::Registering => ("○", FAIR, words.registering.to_owned()),
                AccountState::Registered => ("●", GOOD, words.registered.to_owned()),
                AccountState::Failed(why) => ("✕", BAD, format!("{}: {why}", words.not_registered)),
            };
            let mark = if place == chosen && model.accounts.len() > 1 { "▸" } else { " " };
            let mut spans = vec![
                Span::raw(mark),
                Span::styled(format!("{sign} "), style),
                Span::styled(row.address.clone(), if place == chosen { BOLD } else { Style::new() }),
                Span::styled(format!("  {state}"), style),
            ];
            let (new, old) = row.waiting;
            if new + old > 0 {
                spans.push(Span::styled(format!("  {} {new}/{old}", words.voice_mail), FAIR));
            }
            TextLine::from(spans)
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn state_of(call: &CallRow, words: &Words) -> (&'static str, Style) {
    match call.state {
        CallState::Calling => (words.calling, FAIR),
        CallState::Ringing => (words.ringing, FAIR),
        CallState::Incoming => (words.incoming, FAIR),
        CallState::Answering => (words.answering, FAIR),
        CallState::Up if call.held_here && call.held_there => (words.held_both, DIM),
        CallState::Up if call.held_here => (words.held_here, DIM),
        CallState::Up if call.held_there => (words.held_there, DIM),
        CallState::Up if call.in_conference => (words.conference, GOOD),
        CallState::Up => (words.talking, GOOD),
    }
}

fn draw_calls(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let block = titled(words.calls);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if model.calls.is_empty() {
        frame.render_widget(Paragraph::new(words.no_calls).style(DIM).wrap(Wrap { trim: true }), inside);
        return;
    }
    let shown = usize::from(inside.height / 2).max(1);
    let place = model.calls.iter().position(|call| Some(call.number) == model.selected).unwrap_or(0);
    let skipped = (place + 1).saturating_sub(shown);
    let mut lines = Vec::new();
    for call in model.calls.iter().skip(skipped).take(shown) {
        let marked = Some(call.number) == model.selected;
        let (state, style) = state_of(call, words);
        let time = clock(model.uptime.saturating_sub(call.since));
        let sign = if marked { "▶ " } else { "  " };
        let width = usize::from(inside.width).saturating_sub(2 + 8);
        lines.push(TextLine::from(vec![
            Span::styled(sign, GOOD),
            Span::styled(fitted(&call.peer, width), if marked { BOLD } else { Style::new() }),
            Span::raw(format!("{time:>8}")),
        ]));
        let mut second = vec![Span::raw("    "), Span::styled(state, style)];
        if call.muted {
            second.push(Span::styled(format!("  {}", words.muted), BAD));
        }
        if marked && call.state != CallState::Incoming {
            second.push(Span::styled(format!("  Esc {}", words.hang_up), DIM));
        }
        if !call.digits.is_empty() {
            second.push(Span::styled(format!("  [{}]", call.digits), FAIR));
        }
        if let Some(path) = &call.path {
            second.push(Span::styled(format!("  {}", path.codec), DIM));
        }
        lines.push(TextLine::from(second));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

fn draw_past(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let block = titled(words.past_calls).borders(Borders::TOP | Borders::LEFT);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if model.past.is_empty() {
        frame.render_widget(Paragraph::new(words.no_past_calls).style(DIM), inside);
        return;
    }
    let width = usize::from(inside.width).saturating_sub(6 + 2 + 7);
    let lines: Vec<TextLine<'_>> = model
        .past
        .iter()
        .take(usize::from(inside.height))
        .map(|past| {
            let (sign, style) =
                if past.incoming { ("←", GOOD) } else { ("→", Style::new().fg(Color::Cyan)) };
            let (lasted, how) = match past.lasted {
                Some(time) => (clock(time), Style::new()),
                None if past.incoming => (words.missed.to_owned(), BAD),
                None => ("–".to_owned(), DIM),
            };
            let gap = 7_usize.saturating_sub(lasted.width());
            TextLine::from(vec![
                Span::styled(format!("{:<6}", past.at), DIM),
                Span::styled(format!("{sign} "), style),
                Span::raw(fitted(&past.peer, width)),
                Span::raw(" ".repeat(gap)),
                Span::styled(lasted, how),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}

fn draw_messages(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let block = titled(words.messages);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if model.texts.is_empty() {
        frame.render_widget(Paragraph::new(words.no_messages).style(DIM), inside);
        return;
    }
    let width = usize::from(inside.width).saturating_sub(MESSAGE_INDENT);
    let mut lines: Vec<TextLine<'_>> = Vec::new();
    for text in &model.texts {
        let (sign, state, style) = match &text.state {
            TextState::Received => ("←", String::new(), GOOD),
            TextState::Sending => ("→", words.sending.to_owned(), FAIR),
            TextState::Sent => ("→", words.sent.to_owned(), DIM),
            TextState::Failed(why) => ("✕", format!("{}: {why}", words.not_sent), BAD),
        };
        let all = [
            Span::styled(format!("{}  ", text.with), BOLD),
            Span::raw(text.text.clone()),
            Span::styled(format!("  {state}"), style),
        ];
        for (place, mut line) in wrap(&all, width).into_iter().enumerate() {
            if place == 0 {
                line.spans.insert(0, Span::styled(format!("{:<6}", text.at), DIM));
                line.spans.insert(1, Span::styled(format!("{sign} "), style));
            } else {
                line.spans.insert(0, Span::raw(" ".repeat(MESSAGE_INDENT)));
            }
            lines.push(line);
        }
    }
    // The latest are seen.
    let first = lines.len().saturating_sub(usize::from(inside.height));
    frame.render_widget(Paragraph::new(lines.split_off(first)), inside);
}

/// What stands before a message: the time and which way it went.
const MESSAGE_INDENT: usize = 8;

fn draw_sound(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let block = titled(words.line_quality);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let up = model.selected_call().filter(|call| call.state == CallState::Up);
    let Some(call) = up else {
        frame.render_widget(Paragraph::new(words.no_sound_yet).style(DIM), inside);
        return;
    };
    let (said, heard) = model.levels.unwrap_or((SILENT, SILENT));
    let said = if call.muted { SILENT } else { said };
    let label = words.said.width().max(words.heard.width()) + 1;
    let pieces = if area.width < 80 { 8 } else { 20 };
    let mut first = vec![Span::styled(fitted(words.said, label), DIM), meter(said, pieces), Span::raw("  ")];
    match call.quality {
        Some(quality) => {
            let loss = quality.loss * 100.0;
            let style = if loss < 1.0 {
                GOOD
            } else if loss < 5.0 {
                FAIR
            } else {
                BAD
            };
            first.push(Span::styled(format!("{} {loss:.1} %  ", words.loss), style));
            first.push(Span::raw(format!(
                "{} {:.0} ms  ",
                words.jitter,
                quality.jitter.as_secs_f64() * 1000.0
            )));
            if let Some(time) = quality.round_trip {
                first.push(Span::raw(format!("{} {:.0} ms  ", words.delay, time.as_secs_f64() * 1000.0)));
            }
            if let Some(mos) = quality.mos {
                let style = if mos >= 4.0 {
                    GOOD
                } else if mos >= 3.1 {
                    FAIR
                } else {
                    BAD
                };
                first.push(Span::styled(format!("MOS {mos:.1}"), style));
            }
        }
        None => first.push(Span::styled(words.no_sound_yet, DIM)),
    }
    let mut second =
        vec![Span::styled(fitted(words.heard, label), DIM), meter(heard, pieces), Span::raw("  ")];
    if let Some(path) = &call.path {
        match &path.security {
            Some(security) => second.push(Span::styled(format!("{security}  "), GOOD)),
            None => second.push(Span::styled(format!("{}  ", words.not_encrypted), FAIR)),
        }
        second.push(Span::styled(path.from.clone(), DIM));
    }
    frame.render_widget(Paragraph::new(vec![TextLine::from(first), TextLine::from(second)]), inside);
}

const SILENT: f32 = -100.0;

/// A bar of so many pieces from −50 to 0 dBm0.
fn meter(level: f32, pieces: usize) -> Span<'static> {
    let full = ((level + 50.0) / 50.0 * pieces as f32).clamp(0.0, pieces as f32).round() as usize;
    let style = if level > -6.0 { BAD } else { GOOD };
    Span::styled(format!("{}{}", "█".repeat(full), "·".repeat(pieces - full)), style)
}

/// What happened, why, and what to do about it.
fn notice_lines(model: &Model, width: u16) -> Vec<TextLine<'static>> {
    let Some(Notice { what, cause, remedy }) = &model.notice else { return Vec::new() };
    let mut text = vec![Span::styled(what.clone(), BOLD)];
    if let Some(cause) = cause {
        text.push(Span::styled(format!(" {cause}"), BAD));
    }
    if let Some(remedy) = remedy {
        text.push(Span::styled(format!(" {remedy}"), FAIR));
    }
    wrap(&text, usize::from(width))
}

fn draw_notice(lines: Vec<TextLine<'_>>, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let block = titled(words.happened);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), inside);
}

fn draw_line(model: &Model, words: &Words, frame: &mut Frame<'_>, area: Rect) {
    let (title, hint) = match model.mode {
        Mode::Keypad => (words.keypad, words.keypad_help),
        Mode::Transfer => {
            let attended = model.selected.is_some_and(|call| model.other_call(call).is_some());
            (
                words.transfer,
                if attended && model.line.is_empty() {
                    words.transfer_attended
                } else {
                    words.transfer_blind
                },
            )
        }
        Mode::MessageTo => (words.message_to, ""),
        Mode::MessageText => (words.message_text, ""),
        Mode::Quit => (words.dial, words.quit_question),
        _ => (words.dial, ""),
    };
    let title = if model.mode == Mode::MessageText {
        format!("{title} → {}", model.message_to)
    } else {
        title.to_owned()
    };
    let block = titled(&title);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    // Long lines are shown from where the cursor is in sight.
    let column = model.line.cursor_column();
    let room = usize::from(inside.width).saturating_sub(4);
    let hidden = column.saturating_sub(room);
    let shown = skip_columns(model.line.text(), hidden);
    let spans =
        vec![Span::styled("> ", GOOD), Span::raw(shown.to_owned()), Span::styled(format!("  {hint}"), DIM)];
    frame.render_widget(Paragraph::new(TextLine::from(spans)), inside);
    if !matches!(model.mode, Mode::Help | Mode::Quit | Mode::Messages) {
        let x = inside.x.saturating_add(2).saturating_add((column - hidden) as u16);
        frame.set_cursor_position(Position { x: x.min(inside.right().saturating_sub(1)), y: inside.y });
    }
}

/// `0:42`, `12:05`, `1:00:00`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Exactly so many columns: cut with an ellipsis, or filled with spaces.
fn fitted(text: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut width = 0;
    let full = text.width();
    let room = if full > columns { columns.saturating_sub(1) } else { columns };
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        let wide = unicode_width::UnicodeWidthChar::width(letter).unwrap_or(0);
        if width + wide > room {
            break;
        }
        width += wide;
        out.push(letter);
    }
    if full > columns && columns > 0 {
        out.push('…');
        width += 1;
    }
    out.push_str(&" ".repeat(columns.saturating_sub(width)));
    out
}

fn skip_columns(text: &str, columns: usize) -> &str {
    let mut width = 0;
    for (at, letter) in text.char_indices() {
        if width >= columns {
            return text.get(at..).unwrap_or("");
        }
        width += unicode_width::UnicodeWidthChar::width(letter).unwrap_or(0);
    }
    if columns == 0 { text } else { "" }
}
