//! The telephone behind the screen: a machine around a user agent that carries out actions and tells news.
//!
//! It knows calls by the screen's numbers, gives the marked call (or the conference) the microphone, and turns facts into
//! sentences with causes and remedies.

mod events;

use crate::explain;
use crate::sound::{Signal, Sound};
use crate::ui::{AccountState, Action, CallNumber, Language, News, Notice};
use denwa::bridge;
use denwa::driver::{Answer, Machine, Output, PortId, PortNews, PortPacket};
use denwa::ua::{Account, AccountId, CallId, MessageId, Misuse, UserAgent};
use denwa_sip_core::{Input, StatusCode};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

/// The machine; see the module's words.
pub struct Desk {
    agent: UserAgent,
    language: Language,
    accounts: Vec<AccountId>,
    calls: BTreeMap<CallId, Line>,
    next_number: u64,
    /// Whose sound is heard.
    selected: Option<CallId>,
    sound: Box<dyn Sound>,
    signal: Option<Signal>,
    messages: BTreeMap<MessageId, usize>,
    messages_sent: usize,
    /// Frames since levels were told.
    frames: u32,
    /// When figures are told again.
    figures_at: Instant,
    leaving: bool,
    outputs: VecDeque<Output<News>>,
}

/// A call, as this machine knows it.
#[derive(Debug)]
struct Line {
    number: CallNumber,
    peer: String,
    incoming: bool,
    up: bool,
    held_here: bool,
    /// What is wanted, while another change is under way.
    wants_hold: Option<bool>,
    held_there: bool,
    muted: bool,
    confers: bool,
    from: String,
    /// The way that ICE found.
    way: Option<String>,
}

/// An account and whether it registers.
#[derive(Clone, Debug)]
pub struct DeskAccount {
    /// Who.
    pub account: Account,
    /// Whether to register.
    pub registers: bool,
}

/// Figures are told so often.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

impl Desk {
    /// A telephone with these accounts, which it registers at once.
    pub fn new(
        mut agent: UserAgent,
        accounts: Vec<DeskAccount>,
        sound: Box<dyn Sound>,
        language: Language,
        now: Instant,
    ) -> Self {
        let ids: Vec<AccountId> =
            accounts.iter().map(|account| agent.add_account(account.account.clone())).collect();
        let mut desk = Self {
            agent,
            language,
            accounts: ids,
            calls: BTreeMap::new(),
            next_number: 1,
            selected: None,
            sound,
            signal: None,
            messages: BTreeMap::new(),
            messages_sent: 0,
            frames: 0,
            figures_at: now + FIGURES_EVERY,
            leaving: false,
            outputs: VecDeque::new(),
        };
        for (place, account) in accounts.iter().enumerate() {
            if !account.registers {
                continue;
            }
            let state = match desk.accounts.get(place).map(|id| desk.agent.register(*id, now)) {
                Some(Err(misuse)) => AccountState::Failed(explain::misuse(&misuse, language)),
                _ => AccountState::Registering,
            };
            desk.tell(News::Account { account: place, state });
        }
        desk.drain(now);
        desk
    }

    fn tell(&mut self, news: News) {
        self.outputs.push_back(Output::Event(news));
    }

    fn notice(&mut self, what: String) {
        self.tell(News::Notice(Notice::of(what)));
    }

    /// Says in the screen's language what cannot be done, and why.
    fn cannot(&mut self, (english, japanese): (&str, &str), misuse: &Misuse) {
        let why = explain::misuse(misuse, self.language);
        self.notice(
            self.language.pick(format!("cannot {english}: {why}"), format!("{japanese}できません: {why}")),
        );
    }

    fn number(&mut self, call: CallId, peer: &str, incoming: bool) -> CallNumber {
        let number = CallNumber(self.next_number);
        self.next_number = self.next_number.saturating_add(1);
        let line = Line {
            number,
            peer: peer.to_owned(),
            incoming,
            up: false,
            held_here: false,
            wants_hold: None,
            held_there: false,
            muted: false,
            confers: false,
            from: String::new(),
            way: None,
        };
        self.calls.insert(call, line);
        number
    }

    fn find(&self, number: CallNumber) -> Option<CallId> {
        self.calls.iter().find(|(_, line)| line.number == number).map(|(id, _)| *id)
    }

    // ---- actions

    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Call { account, address } => self.call(account, &address, now),
            Action::Send { account, to, text } => self.send(account, &to, &text, now),
            Action::Select(number) => self.selected = number.and_then(|number| self.find(number)),
            Action::DoNotDisturb(_) => {}
            Action::Quit => {
                if !std::mem::replace(&mut self.leaving, true) {
                    self.sound.signal(None);
                    self.agent.shut_down(now);
                }
            }
            Action::Answer(number) => {
                self.on_call(number, ("answer", "応答"), |agent, call| agent.answer(call, now));
            }
            Action::Refuse(number) => {
                self.on_call(number, ("decline", "拒否"), |agent, call| {
                    agent.refuse(call, StatusCode::BUSY_HERE, now)
                });
            }
            Action::HangUp(number) => {
                self.on_call(number, ("hang up", "切断"), |agent, call| agent.hang_up(call, now));
            }
            Action::Hold(number) => self.hold(number, true, now),
            Action::Resume(number) => self.hold(number, false, now),
            Action::Transfer { call, to } => {
                self.on_call(call, ("transfer", "転送"), |agent, call| agent.transfer(call, &to, now));
            }
            Action::TransferTo { call, other } => {
                if let Some(other) = self.find(other) {
                    self.on_call(call, ("transfer", "転送"), |agent, call| {
                        agent.transfer_to(call, other, now)
                    });
                }
            }
            Action::Mute { call, muted } => {
                if self.on_call(call, ("mute", "消音"), |agent, call| agent.mute(call, muted)) {
                    self.change(call, |line| line.muted = muted);
                    self.tell(News::Muted { call, muted });
                }
            }
            Action::Press { call, digits } => {
                self.on_call(call, ("press keys", "プッシュ"), |agent, call| {
                    agent.press(call, &digits, now)
                });
            }
            Action::Join(number) => self.confer(number, true, now),
            Action::Leave(number) => self.confer(number, false, now),
        }
    }

    /// Does something to a call, and says why not when it cannot be done. Whether it was done.
    fn on_call(
        &mut self,
        number: CallNumber,
        what: (&str, &str),
        act: impl FnOnce(&mut UserAgent, CallId) -> Result<(), Misuse>,
    ) -> bool {
        // A call that ended meanwhile is gone from the screen too.
        let Some(call) = self.find(number) else { return false };
        match act(&mut self.agent, call) {
            Ok(()) => true,
            Err(misuse) => {
                self.cannot(what, &misuse);
                false
            }
        }
    }

    fn change(&mut self, number: CallNumber, what: impl FnOnce(&mut Line)) {
        if let Some(line) = self.calls.values_mut().find(|line| line.number == number) {
            what(line);
        }
    }

    fn call(&mut self, account: usize, address: &str, now: Instant) {
        let Some(id) = self.accounts.get(account).copied() else {
            let none =
                self.language.pick("there is no account to call from", "発信できるアカウントがありません");
            return self.notice(none.to_owned());
        };
        match self.agent.call(id, address, now) {
            Ok(call) => {
                let number = self.number(call, address, false);
                self.selected = Some(call);
                self.tell(News::Calling { call: number, peer: address.to_owned() });
            }
            Err(misuse) => {
                let words = (format!("call {address}"), format!("{address} へ発信"));
                self.cannot((&words.0, &words.1), &misuse);
            }
        }
    }

    fn send(&mut self, account: usize, to: &str, text: &str, now: Instant) {
        let number = self.messages_sent;
        self.messages_sent = number.saturating_add(1);
        let Some(id) = self.accounts.get(account).copied() else { return };
        match self.agent.send_message(id, to, text, now) {
            Ok(message) => drop(self.messages.insert(message, number)),
            Err(misuse) => {
                let failed = Some(explain::misuse(&misuse, self.language));
                self.tell(News::MessageSent { message: number, failed });
            }
        }
    }

    fn hold(&mut self, number: CallNumber, held: bool, now: Instant) {
        let Some(call) = self.find(number) else { return };
        let done = if held { self.agent.hold(call, now) } else { self.agent.resume(call, now) };
        match done {
            Ok(()) => {
                self.change(number, |line| (line.held_here, line.wants_hold) = (held, None));
                self.tell_hold(number);
            }
            // Another change is under way: this one comes after it.
            Err(Misuse::NotNow) => self.change(number, |line| line.wants_hold = Some(held)),
            Err(misuse) => {
                self.cannot(if held { ("hold", "保留") } else { ("resume", "再開") }, &misuse);
            }
        }
    }

    /// Does what had to wait for another change.
    fn hold_what_waits(&mut self, now: Instant) {
        let waiting: Vec<(CallNumber, bool)> =
            self.calls.values().filter_map(|line| Some((line.number, line.wants_hold?))).collect();
        for (number, held) in waiting {
            self.hold(number, held, now);
        }
    }

    fn tell_hold(&mut self, number: CallNumber) {
        if let Some(line) = self.calls.values().find(|line| line.number == number) {
            let (here, there) = (line.held_here, line.held_there);
            self.tell(News::Hold { call: number, here, there });
        }
    }

    fn confer(&mut self, number: CallNumber, member: bool, now: Instant) {
        let done = self.on_call(number, ("join", "会議に"), |agent, call| {
            if member { agent.confer(call, now) } else { agent.leave_conference(call, now) }
        });
        if done {
            self.change(number, |line| line.confers = member);
            self.tell(News::Conference { call: number, member });
        }
        // Whoever joins is on hold no more. Here that is known: the screen may not have heard of the last change yet.
        let is_held = |line: &Line| line.number == number && line.wants_hold.unwrap_or(line.held_here);
        if done && member && self.calls.values().any(is_held) {
            self.hold(number, false, now);
        }
    }

    fn drain(&mut self, now: Instant) {
        self.hold_what_waits(now);
        while let Some(output) = self.agent.poll_output() {
            match output.into_event() {
                Ok(event) => self.on_event(event, now),
                Err(rest) => self.outputs.push_back(rest.widen()),
            }
        }
    }
}

impl Machine for Desk {
    type Command = Action;
    type Event = News;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.agent.handle_input(input, now);
        self.drain(now);
    }

    fn handle_media(&mut self, event: bridge::Event, now: Instant) {
        self.agent.handle_media(event, now);
        self.drain(now);
    }

    fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant) {
        self.agent.handle_answer(question, answer, now);
        self.drain(now);
    }

    fn handle_command(&mut self, action: Action, now: Instant) {
        self.act(action, now);
        self.drain(now);
    }

    fn handle_port(&mut self, port: PortId, news: PortNews<'_>, now: Instant) {
        self.agent.handle_port(port, news, now);
        self.drain(now);
    }

    fn next_packet(&mut self, buffer: &mut [u8], now: Instant) -> Option<PortPacket> {
        self.agent.next_packet(buffer, now)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.figures_at <= now {
            self.figures_at = now + FIGURES_EVERY;
            self.tell_figures();
            self.tell_troubles();
        }
        if self.agent.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.agent.handle_timeout(now);
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<News>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // Devices come and go between calls too.
        self.agent.poll_timeout().into_iter().chain([self.figures_at]).min()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}
