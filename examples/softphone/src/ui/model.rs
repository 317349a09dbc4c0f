//! Everything that can be seen, and what news do to it.

use super::history::History;
use super::line::Line;
use super::news::{Action, CallNumber, News};
use super::rows::{AccountRow, AccountState, CallRow, CallState, Card, Notice, Past, Text, TextState};
use super::words::Language;
use std::time::Duration;

/// What the keys are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Writing a number.
    #[default]
    Dial,
    /// Pressing keys in a call.
    Keypad,
    /// Writing where to transfer.
    Transfer,
    /// Reading messages.
    Messages,
    /// Writing to whom.
    MessageTo,
    /// Writing what.
    MessageText,
    /// Reading help.
    Help,
    /// Asked whether to end calls and quit.
    Quit,
}

/// Past calls, messages: so many are kept.
const KEPT: usize = 200;

/// Everything that can be seen.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The language.
    pub language: Language,
    /// The accounts.
    pub accounts: Vec<AccountRow>,
    /// From which of them is called.
    pub account: usize,
    /// The calls, oldest first.
    pub calls: Vec<CallRow>,
    /// The one marked: whose sound is heard, and what keys are for.
    pub selected: Option<CallNumber>,
    /// What is being written.
    pub line: Line,
    /// What was dialled before.
    pub history: History,
    /// Past calls, latest first.
    pub past: Vec<Past>,
    /// Messages, latest last.
    pub texts: Vec<Text>,
    /// Messages that came and were not looked at.
    pub unread: usize,
    /// To whom a message is being written.
    pub message_to: String,
    /// The last thing to be read.
    pub notice: Option<Notice>,
    /// What the keys are for.
    pub mode: Mode,
    /// Whether every call is declined.
    pub do_not_disturb: bool,
    /// How loud we are and they are, in dBm0.
    pub levels: Option<(f32, f32)>,
    /// Since the start.
    pub uptime: Duration,
    /// The clock on the wall.
    pub clock: String,
}

impl Model {
    /// A telephone with these accounts.
    pub fn new(language: Language, accounts: Vec<AccountRow>) -> Self {
        Self { language, accounts, ..Self::default() }
    }

    /// Something happened; what is to be done about it at once.
    pub fn news(&mut self, news: News) -> Vec<Action> {
        match news {
            News::Account { account, state } => {
                if let AccountState::Failed(why) = &state {
                    let address = self.accounts.get(account).map_or("", |row| row.address.as_str());
                    self.notice = Some(Notice::of(format!("{address}: {why}")));
                }
                if let Some(row) = self.accounts.get_mut(account) {
                    row.state = state;
                }
            }
            News::Waiting { account, new, old } => {
                if let Some(row) = self.accounts.get_mut(account) {
                    row.waiting = (new, old);
                }
            }
            News::Calling { call, peer } => {
                self.add(call, peer, None, CallState::Calling);
                self.selected = Some(call);
                return vec![Action::Select(Some(call))];
            }
            News::Incoming { call, card } => {
                let peer = card.name.clone().unwrap_or_else(|| bare(&card.from).to_owned());
                self.add(call, peer, Some(card), CallState::Incoming);
                if self.do_not_disturb {
                    return vec![Action::Refuse(call)];
                }
                if self.selected.is_none() {
                    self.selected = Some(call);
                }
                if self.mode == Mode::Help {
                    self.mode = Mode::Dial;
                }
            }
            News::Ringing { call } => self.set_state(call, CallState::Ringing),
            News::Up { call } => {
                self.set_state(call, CallState::Up);
                let uptime = self.uptime;
                self.change(call, |row| row.since = uptime);
            }
            News::Hold { call, here, there } => {
                self.change(call, |row| (row.held_here, row.held_there) = (here, there));
            }
            News::Muted { call, muted } => self.change(call, |row| row.muted = muted),
            News::Conference { call, member } => self.change(call, |row| row.in_conference = member),
            News::Path { call, path } => self.change(call, |row| row.path = Some(path)),
            News::Quality { call, quality } => self.change(call, |row| row.quality = Some(quality)),
            News::Levels { said, heard } => self.levels = Some((said, heard)),
            News::Digit { call, digit } => self.change(call, |row| {
                row.digits.push(digit);
                if row.digits.len() > DIGITS_SHOWN {
                    row.digits.remove(0);
                }
            }),
            News::Ended { call, how, notice } => return self.ended(call, how, notice),
            News::Message { from, text } => {
                let at = self.clock.clone();
                self.add_text(Text { with: bare(&from).to_owned(), text, at, state: TextState::Received });
                if !matches!(self.mode, Mode::Messages | Mode::MessageTo | Mode::MessageText) {
                    self.unread = self.unread.saturating_add(1);
                }
            }
            News::MessageSent { message, failed } => {
                let mut ours = self.texts.iter_mut().filter(|text| text.state != TextState::Received);
                if let Some(text) = ours.nth(message) {
                    text.state = failed.map_or(TextState::Sent, TextState::Failed);
                }
            }
            News::Notice(notice) => self.notice = Some(notice),
            News::Tick { uptime, clock } => (self.uptime, self.clock) = (uptime, clock),
        }
        Vec::new()
    }

    /// The call that is marked.
    pub fn selected_call(&self) -> Option<&CallRow> {
        self.calls.iter().find(|call| Some(call.number) == self.selected)
    }

    /// The call that rings here: the one marked, or else the oldest.
    pub fn ringing_here(&self) -> Option<CallNumber> {
        let ringing = |call: &&CallRow| call.state == CallState::Incoming;
        let marked = self.selected_call().filter(ringing);
        marked.or_else(|| self.calls.iter().find(ringing)).map(|call| call.number)
    }

    fn add(&mut self, number: CallNumber, peer: String, card: Option<Card>, state: CallState) {
        self.calls.push(CallRow {
            number,
            peer,
            card,
            state,
            since: self.uptime,
            at: self.clock.clone(),
            held_here: false,
            held_there: false,
            muted: false,
            in_conference: false,
            path: None,
            quality: None,
            digits: String::new(),
        });
    }

    fn change(&mut self, call: CallNumber, what: impl FnOnce(&mut CallRow)) {
        if let Some(row) = self.calls.iter_mut().find(|row| row.number == call) {
            what(row);
        }
    }

    pub(super) fn set_state(&mut self, call: CallNumber, state: CallState) {
        self.change(call, |row| row.state = state);
    }

    fn ended(&mut self, call: CallNumber, how: String, notice: Option<Notice>) -> Vec<Action> {
        let Some(place) = self.calls.iter().position(|row| row.number == call) else { return Vec::new() };
        let row = self.calls.remove(place);
        let was_up = row.state == CallState::Up;
        self.past.insert(
            0,
            Past {
                at: row.at.clone(),
                incoming: row.card.is_some(),
                peer: row.peer.clone(),
                lasted: was_up.then(|| self.uptime.saturating_sub(row.since)),
            },
        );
        self.past.truncate(KEPT);
        self.notice = Some(notice.unwrap_or_else(|| Notice::of(format!("{}: {how}", row.peer))));
        if self.calls.is_empty() {
            self.levels = None;
        }
        if self.selected != Some(call) {
            return Vec::new();
        }
        if matches!(self.mode, Mode::Keypad | Mode::Transfer) {
            self.mode = Mode::Dial;
            self.line.take();
        }
        // What is left is marked, and not resumed by itself: whoever was held is spoken to when one wants to.
        self.selected = self.calls.last().map(|row| row.number);
        vec![Action::Select(self.selected)]
    }

    /// Everything that is up and not held, but this one and the conference, is to be held.
    pub(super) fn hold_others(&self, but: Option<CallNumber>) -> Vec<Action> {
        let joined =
            but.is_some_and(|but| self.calls.iter().any(|call| call.number == but && call.in_conference));
        self.calls
            .iter()
            .filter(|call| call.state == CallState::Up && !call.held_here && Some(call.number) != but)
            .filter(|call| !(joined && call.in_conference))
            .map(|call| Action::Hold(call.number))
            .collect()
    }

    pub(super) fn mark_next(&mut self) -> Vec<Action> {
        let place = self.calls.iter().position(|call| Some(call.number) == self.selected);
        let next = place.map_or(0, |place| place + 1).checked_rem(self.calls.len()).unwrap_or(0);
        self.selected = self.calls.get(next).map(|call| call.number);
        vec![Action::Select(self.selected)]
    }

    /// The call besides this one that is up: one that is held, if there is one.
    pub(super) fn other_call(&self, call: CallNumber) -> Option<CallNumber> {
        let others = || self.calls.iter().filter(|row| row.number != call && row.state == CallState::Up);
        others().find(|row| row.held_here).or_else(|| others().next()).map(|row| row.number)
    }

    pub(super) fn swap(&mut self, call: CallNumber) -> Vec<Action> {
        let Some(other) = self.other_call(call) else { return Vec::new() };
        let mut actions = self.hold_others(Some(other));
        actions.push(Action::Resume(other));
        actions.push(Action::Select(Some(other)));
        self.selected = Some(other);
        actions
    }

    /// All calls that are up are joined; when they are, the conference is dissolved and the marked one goes on.
    pub(super) fn join_or_leave(&mut self) -> Vec<Action> {
        let up: Vec<&CallRow> = self.calls.iter().filter(|call| call.state == CallState::Up).collect();
        if up.iter().any(|call| call.in_conference) && up.iter().all(|call| call.in_conference) {
            let mut actions: Vec<Action> = up.iter().map(|call| Action::Leave(call.number)).collect();
            let others = up.iter().filter(|call| Some(call.number) != self.selected);
            actions.extend(others.map(|call| Action::Hold(call.number)));
            return actions;
        }
        if up.len() < 2 {
            return Vec::new();
        }
        let held = up.iter().filter(|call| call.held_here).map(|call| Action::Resume(call.number));
        let new = up.iter().filter(|call| !call.in_conference).map(|call| Action::Join(call.number));
        held.chain(new).collect()
    }

    /// Whom one would write to: the marked call's peer, or who wrote last.
    pub(super) fn last_correspondent(&self) -> String {
        let card = self.selected_call().map(|call| match &call.card {
            Some(card) => bare(&card.from).to_owned(),
            None => call.peer.clone(),
        });
        card.or_else(|| self.texts.last().map(|text| text.with.clone())).unwrap_or_default()
    }

    pub(super) fn send(&mut self, text: String) -> Action {
        let (to, at) = (self.message_to.clone(), self.clock.clone());
        self.add_text(Text { with: to.clone(), text: text.clone(), at, state: TextState::Sending });
        Action::Send { account: self.account, to, text }
    }

    fn add_text(&mut self, text: Text) {
        self.texts.push(text);
    }
}

/// Keys of theirs that are shown.
const DIGITS_SHOWN: usize = 16;

/// An address without its scheme.
fn bare(address: &str) -> &str {
    address.strip_prefix("sip:").or_else(|| address.strip_prefix("sips:")).unwrap_or(address)
}
