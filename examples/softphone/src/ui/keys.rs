//! What each key does, by what is on the screen.

use super::model::{Mode, Model};
use super::news::Action;
use super::rows::CallState;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, digit or sign.
    Char(char),
    /// A letter with Ctrl.
    Control(char),
    /// A function key, from 1.
    Function(u8),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Tab.
    Tab,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// To the beginning of the line.
    Home,
    /// To its end.
    End,
    /// Rub out.
    Backspace,
    /// Delete.
    Delete,
}

impl Model {
    /// A key was pressed: what is to be done.
    pub fn key(&mut self, key: Key) -> Vec<Action> {
        if matches!(key, Key::Function(10) | Key::Control('c' | 'q')) {
            return self.ask_to_quit(key);
        }
        match self.mode {
            Mode::Help => {
                self.mode = Mode::Dial;
                Vec::new()
            }
            Mode::Quit => match key {
                Key::Enter => vec![Action::Quit],
                Key::Escape => self.back(),
                _ => Vec::new(),
            },
            Mode::Keypad | Mode::Messages if self.is_for_the_card(key) => {
                if key == Key::Enter {
                    self.back();
                }
                self.key_in_dial(key)
            }
            Mode::Keypad => self.key_in_keypad(key),
            Mode::Transfer => self.key_in_transfer(key),
            Mode::Messages | Mode::MessageTo | Mode::MessageText => self.key_in_messages(key),
            Mode::Dial => self.key_in_dial(key),
        }
    }

    fn is_for_the_card(&self, key: Key) -> bool {
        matches!(key, Key::Enter | Key::Escape) && self.ringing_here().is_some()
    }

    /// Whether Enter and Esc are for the call that rings here, and not for what is being written or asked.
    pub(super) fn keys_are_for_the_card(&self) -> bool {
        matches!(self.mode, Mode::Dial | Mode::Keypad | Mode::Messages)
    }

    fn ask_to_quit(&mut self, key: Key) -> Vec<Action> {
        // Twice Ctrl-C is meant.
        if self.calls.is_empty() || (self.mode == Mode::Quit && key == Key::Control('c')) {
            return vec![Action::Quit];
        }
        self.mode = Mode::Quit;
        Vec::new()
    }

    fn back(&mut self) -> Vec<Action> {
        self.mode = Mode::Dial;
        self.line.take();
        Vec::new()
    }

    fn key_in_dial(&mut self, key: Key) -> Vec<Action> {
        match key {
            Key::Enter => self.enter(),
            Key::Escape => self.escape(),
            Key::Tab => self.mark_next(),
            Key::Up => {
                if let Some(number) = self.history.earlier().map(str::to_owned) {
                    self.line.set(number);
                }
                Vec::new()
            }
            Key::Down => {
                if let Some(number) = self.history.later().map(str::to_owned) {
                    self.line.set(number);
                }
                Vec::new()
            }
            Key::Control('a') => {
                self.account = (self.account + 1).checked_rem(self.accounts.len()).unwrap_or(0);
                Vec::new()
            }
            Key::Function(number) => self.function(number),
            other => self.edit(other),
        }
    }

    /// A key that changes the line.
    fn edit(&mut self, key: Key) -> Vec<Action> {
        match key {
            Key::Char(letter) => self.line.insert(letter),
            Key::Backspace => self.line.backspace(),
            Key::Delete => self.line.delete(),
            Key::Left => self.line.left(),
            Key::Right => self.line.right(),
            Key::Home => self.line.home(),
            Key::End => self.line.end(),
            Key::Control('u') => drop(self.line.take()),
            _ => {}
        }
        Vec::new()
    }

    fn enter(&mut self) -> Vec<Action> {
        if let Some(incoming) = self.ringing_here() {
            let mut actions = self.hold_others(Some(incoming));
            self.set_state(incoming, CallState::Answering);
            self.notice = None;
            self.selected = Some(incoming);
            actions.extend([Action::Answer(incoming), Action::Select(Some(incoming))]);
            return actions;
        }
        if self.line.is_empty() {
            return Vec::new();
        }
        let address = self.line.take();
        self.history.add(&address);
        self.notice = None;
        let mut actions = self.hold_others(None);
        actions.push(Action::Call { account: self.account, address });
        actions
    }

    fn escape(&mut self) -> Vec<Action> {
        if let Some(incoming) = self.ringing_here() {
            return vec![Action::Refuse(incoming)];
        }
        if !self.line.is_empty() {
            self.line.take();
            return Vec::new();
        }
        match self.selected {
            Some(call) => vec![Action::HangUp(call)],
            None => {
                self.notice = None;
                Vec::new()
            }
        }
    }

    fn function(&mut self, number: u8) -> Vec<Action> {
        let selected = self.selected_call().map(|call| (call.number, call.state, call.is_held_here()));
        match (number, selected) {
            (1, _) => self.mode = Mode::Help,
            (2, Some((call, CallState::Up, true))) => {
                let mut actions = self.hold_others(Some(call));
                actions.extend([Action::Resume(call), Action::Select(Some(call))]);
                return actions;
            }
            (2, Some((call, CallState::Up, false))) => return vec![Action::Hold(call)],
            (3, Some((call, ..))) => return self.swap(call),
            (4, Some((_, CallState::Up, _))) => {
                self.line.take();
                self.mode = Mode::Transfer;
            }
            (5, Some((call, ..))) => {
                let muted = !self.selected_call().is_some_and(|call| call.muted);
                return vec![Action::Mute { call, muted }];
            }
            (6, Some((_, CallState::Up, _))) => {
                self.line.take();
                self.mode = Mode::Keypad;
            }
            (7, Some(_)) => return self.join_or_leave(),
            (8, _) => {
                self.line.take();
                self.unread = 0;
                self.mode = Mode::Messages;
            }
            (9, _) => {
                self.do_not_disturb = !self.do_not_disturb;
                return vec![Action::DoNotDisturb(self.do_not_disturb)];
            }
            _ => {}
        }
        Vec::new()
    }

    fn key_in_keypad(&mut self, key: Key) -> Vec<Action> {
        let Some(call) = self.selected else { return self.back() };
        match key {
            Key::Escape | Key::Function(6) | Key::Enter => self.back(),
            Key::Char(letter) if "0123456789*#ABCDabcd".contains(letter) => {
                let letter = letter.to_ascii_uppercase();
                self.line.insert(letter);
                vec![Action::Press { call, digits: letter.to_string() }]
            }
            _ => Vec::new(),
        }
    }

    fn key_in_transfer(&mut self, key: Key) -> Vec<Action> {
        match (key, self.selected) {
            (Key::Escape | Key::Function(4), _) | (_, None) => self.back(),
            (Key::Enter, Some(call)) => {
                let to = self.line.take();
                self.mode = Mode::Dial;
                if !to.is_empty() {
                    self.history.add(&to);
                    return vec![Action::Transfer { call, to }];
                }
                match self.other_call(call) {
                    Some(other) => vec![Action::TransferTo { call, other }],
                    None => Vec::new(),
                }
            }
            (other, _) => self.edit(other),
        }
    }

    fn key_in_messages(&mut self, key: Key) -> Vec<Action> {
        match (self.mode, key) {
            (_, Key::Escape | Key::Function(8)) => self.back(),
            (Mode::Messages, Key::Enter) => {
                self.line.set(self.last_correspondent());
                self.mode = Mode::MessageTo;
                Vec::new()
            }
            (Mode::MessageTo, Key::Enter) if !self.line.is_empty() => {
                self.message_to = self.line.take();
                self.mode = Mode::MessageText;
                Vec::new()
            }
            (Mode::MessageText, Key::Enter) if !self.line.is_empty() => {
                let text = self.line.take();
                self.mode = Mode::Messages;
                vec![self.send(text)]
            }
            (Mode::Messages, _) => Vec::new(),
            (_, other) => self.edit(other),
        }
    }
}
