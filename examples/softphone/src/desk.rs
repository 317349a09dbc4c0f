//! The telephone behind the screen: a machine around a user agent that carries out actions and tells news.
//!
//! It knows calls by the screen's numbers, gives the marked call (or the conference) the microphone, and turns facts into
//! sentences with causes and remedies.

use crate::sound::{Signal, Sound};
use crate::ui::{AccountState, Action, CallNumber, Card, News, Notice, Path, Quality};
use denwa::bridge;
use denwa::driver::{Answer, Machine, Output, PortId, PortNews, PortPacket};
use denwa::evidence::{Evidence, Fact, MediaSecurity};
use denwa::media;
use denwa::ua::{Account, AccountId, CallId, Ending, Event, MessageId, Misuse, UserAgent};
use denwa_codecs::level::Level;
use denwa_sip_core::{Input, StatusCode};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

/// The machine; see the module's words.
pub struct Desk {
    agent: UserAgent,
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
}

/// An account and whether it registers.
#[derive(Clone, Debug)]
pub struct DeskAccount {
    /// Who.
    pub account: Account,
    /// Whether to register.
    pub registers: bool,
}

/// Levels are told once in so many frames of 20 ms.
const FRAMES_A_LEVEL: u32 = 5;

/// Figures are told so often.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

impl Desk {
    /// A telephone with these accounts, which it registers at once.
    pub fn new(
        mut agent: UserAgent,
        accounts: Vec<DeskAccount>,
        sound: Box<dyn Sound>,
        now: Instant,
    ) -> Self {
        let ids: Vec<AccountId> =
            accounts.iter().map(|account| agent.add_account(account.account.clone())).collect();
        let mut desk = Self {
            agent,
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
                Some(Err(misuse)) => AccountState::Failed(misuse.to_string()),
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
                self.on_call(number, "answer", |agent, call| agent.answer(call, now));
            }
            Action::Refuse(number) => {
                self.on_call(number, "decline", |agent, call| agent.refuse(call, StatusCode::BUSY_HERE, now));
            }
            Action::HangUp(number) => {
                self.on_call(number, "hang up", |agent, call| agent.hang_up(call, now));
            }
            Action::Hold(number) => self.hold(number, true, now),
            Action::Resume(number) => self.hold(number, false, now),
            Action::Transfer { call, to } => {
                self.on_call(call, "transfer", |agent, call| agent.transfer(call, &to, now));
            }
            Action::TransferTo { call, other } => {
                if let Some(other) = self.find(other) {
                    self.on_call(call, "transfer", |agent, call| agent.transfer_to(call, other, now));
                }
            }
            Action::Mute { call, muted } => {
                if self.on_call(call, "mute", |agent, call| agent.mute(call, muted)) {
                    self.change(call, |line| line.muted = muted);
                    self.tell(News::Muted { call, muted });
                }
            }
            Action::Press { call, digits } => {
                self.on_call(call, "press keys", |agent, call| agent.press(call, &digits, now));
            }
            Action::Join(number) => self.confer(number, true, now),
            Action::Leave(number) => self.confer(number, false, now),
        }
    }

    /// Does something to a call, and says why not when it cannot be done. Whether it was done.
    fn on_call(
        &mut self,
        number: CallNumber,
        what: &str,
        act: impl FnOnce(&mut UserAgent, CallId) -> Result<(), Misuse>,
    ) -> bool {
        // A call that ended meanwhile is gone from the screen too.
        let Some(call) = self.find(number) else { return false };
        match act(&mut self.agent, call) {
            Ok(()) => true,
            Err(misuse) => {
                self.notice(format!("cannot {what}: {misuse}"));
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
            return self.notice("there is no account to call from".to_owned());
        };
        match self.agent.call(id, address, now) {
            Ok(call) => {
                let number = self.number(call, address, false);
                self.selected = Some(call);
                self.tell(News::Calling { call: number, peer: address.to_owned() });
            }
            Err(misuse) => self.notice(format!("cannot call {address}: {misuse}")),
        }
    }

    fn send(&mut self, account: usize, to: &str, text: &str, now: Instant) {
        let number = self.messages_sent;
        self.messages_sent = number.saturating_add(1);
        let Some(id) = self.accounts.get(account).copied() else { return };
        match self.agent.send_message(id, to, text, now) {
            Ok(message) => drop(self.messages.insert(message, number)),
            Err(misuse) => self.tell(News::MessageSent { message: number, failed: Some(misuse.to_string()) }),
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
                let what = if held { "hold" } else { "resume" };
                self.notice(format!("cannot {what}: {misuse}"));
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
        let done = self.on_call(number, "join", |agent, call| {
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

    // ---- events

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Registered { account, .. } => self.tell_account(account, AccountState::Registered),
            Event::RegistrationFailed { account, why, .. } => {
                self.tell_account(account, AccountState::Failed(why));
            }
            Event::Unregistered { account } => self.tell_account(account, AccountState::Direct),
            Event::Incoming { call, from, name, to } => {
                let peer = name.clone().unwrap_or_else(|| from.clone());
                let number = self.number(call, &peer, true);
                self.tell(News::Incoming { call: number, card: Card { from, name, to } });
            }
            Event::Ringing { call, .. } => {
                if let Some(line) = self.calls.get(&call) {
                    let number = line.number;
                    self.tell(News::Ringing { call: number });
                    self.ring_back(call);
                }
            }
            Event::Answered { call } => self.on_answered(call),
            Event::Sound { call, samples } => self.on_sound(call, &samples),
            Event::ConferenceSound { samples } => self.on_conference_sound(&samples),
            Event::Media { call, event } => self.on_media(call, &event),
            Event::ChangeRefused { call, why } => self.on_change_refused(call, &why),
            Event::TransferProgress { status, .. } => {
                self.notice(format!("transfer: {} {}", status.code(), status.reason()));
            }
            Event::Transferred { .. } => self.notice("transferred".to_owned()),
            Event::TransferFailed { why, .. } => self.notice(format!("not transferred: {why}")),
            Event::Transferring { new, to, .. } => {
                let number = self.number(new, &to, false);
                self.selected = Some(new);
                self.tell(News::Calling { call: number, peer: to.clone() });
                self.notice(format!("transferred by the other side to {to}"));
            }
            Event::TakenOver { call, by } => {
                let peer = self.calls.get(&call).map(|line| line.peer.clone()).unwrap_or_default();
                if !self.calls.contains_key(&by) {
                    let number = self.number(by, &peer, true);
                    self.selected = Some(by);
                    self.tell(News::Calling { call: number, peer });
                }
                self.notice("the other side handed the call to somebody else".to_owned());
            }
            Event::MessagesWaiting { account, summary } => {
                if let Some(place) = self.accounts.iter().position(|own| *own == account) {
                    let (new, old) =
                        summary.voice.map_or((u32::from(summary.waiting), 0), |voice| (voice.new, voice.old));
                    self.tell(News::Waiting { account: place, new, old });
                }
            }
            Event::Message { from, text } => self.tell(News::Message { from, text }),
            Event::MessageDelivered { message } => self.on_message_sent(message, None),
            Event::MessageFailed { message, why } => self.on_message_sent(message, Some(why)),
            Event::Ended { call, reason, evidence, .. } => self.on_ended(call, &reason, &evidence),
            Event::ShutDown => self.outputs.push_back(Output::Stop),
            _ => {}
        }
        self.bell(now);
    }

    fn tell_account(&mut self, account: AccountId, state: AccountState) {
        if let Some(place) = self.accounts.iter().position(|own| *own == account) {
            self.tell(News::Account { account: place, state });
        }
    }

    fn on_answered(&mut self, call: CallId) {
        let Some(line) = self.calls.get_mut(&call) else { return };
        line.up = true;
        let number = line.number;
        self.tell(News::Up { call: number });
        self.tell_path(call);
    }

    /// 20 ms have passed in this call.
    fn on_sound(&mut self, call: CallId, samples: &[i16]) {
        let Some(line) = self.calls.get(&call) else { return };
        let mut said = vec![0; samples.len()];
        if self.selected == Some(call) && !line.held_here {
            self.sound.hear(samples);
            if line.up {
                self.sound.say(&mut said);
                self.tell_levels(&said, samples);
            }
        }
        // A call that ended meanwhile needs no sound.
        let _ = self.agent.say(call, &said);
    }

    fn on_conference_sound(&mut self, samples: &[i16]) {
        let mut said = vec![0; samples.len()];
        let muted = self.selected.and_then(|call| self.calls.get(&call)).is_some_and(|line| line.muted);
        if self.selected.and_then(|call| self.calls.get(&call)).is_some_and(|line| line.confers) {
            self.sound.hear(samples);
            self.sound.say(&mut said);
            self.tell_levels(&said, samples);
        }
        if muted {
            said.fill(0);
        }
        self.agent.say_to_conference(&said);
    }

    fn tell_levels(&mut self, said: &[i16], heard: &[i16]) {
        self.frames = self.frames.wrapping_add(1);
        if self.frames.is_multiple_of(FRAMES_A_LEVEL) {
            let level = |samples: &[i16]| (Level::of(samples).dbm0() as f32).max(-100.0);
            self.tell(News::Levels { said: level(said), heard: level(heard) });
        }
        if let Some(trouble) = self.sound.trouble() {
            self.notice(trouble);
        }
    }

    fn on_media(&mut self, call: CallId, event: &media::Event) {
        let Some(line) = self.calls.get_mut(&call) else { return };
        let number = line.number;
        match event {
            media::Event::FirstPacket { from, .. } | media::Event::SourceMoved { to: from, .. } => {
                line.from = from.to_string();
                self.tell_path(call);
            }
            media::Event::CodecChanged { .. } => self.tell_path(call),
            media::Event::DirectionChanged { sends, .. } => {
                line.held_there = !sends;
                self.tell_hold(number);
                self.tell_path(call);
            }
            media::Event::Digit { digit, .. } => self.tell(News::Digit { call: number, digit: *digit }),
            media::Event::Silent { lasted } => {
                let peer = line.peer.clone();
                self.notice(format!("{peer}: nothing has been heard for {} s", lasted.as_secs()));
            }
            media::Event::Undeliverable { destination } => {
                self.notice(format!("sound is not taken at {destination}"));
            }
            _ => {}
        }
    }

    fn on_change_refused(&mut self, call: CallId, why: &str) {
        if let Some(line) = self.calls.get_mut(&call) {
            line.held_here = !line.held_here;
            let number = line.number;
            self.tell_hold(number);
        }
        self.notice(format!("the other side refused: {why}"));
    }

    fn on_message_sent(&mut self, message: MessageId, failed: Option<String>) {
        if let Some(number) = self.messages.remove(&message) {
            self.tell(News::MessageSent { message: number, failed });
        }
    }

    fn on_ended(&mut self, call: CallId, reason: &Ending, evidence: &Evidence) {
        let Some(line) = self.calls.remove(&call) else { return };
        if self.selected == Some(call) {
            self.selected = None;
        }
        let notice = evidence.findings().into_iter().next().map(|finding| Notice {
            what: format!("{}: {reason}.", line.peer),
            cause: Some(finding.sentence),
            remedy: Some(finding.remedy),
        });
        self.tell(News::Ended { call: line.number, how: reason.to_string(), notice });
    }

    /// Which way the call's sound goes, from what is known of it.
    fn tell_path(&mut self, call: CallId) {
        let Some(line) = self.calls.get(&call) else { return };
        let agreed = self.agent.evidence(call).and_then(|evidence| {
            evidence.facts().rev().find_map(|dated| match &dated.fact {
                Fact::Agreed(agreement) => Some(agreement.clone()),
                _ => None,
            })
        });
        let Some(agreed) = agreed else { return };
        let path =
            Path { codec: agreed.codec, security: security(&agreed.security), from: line.from.clone() };
        let number = line.number;
        self.tell(News::Path { call: number, path });
    }

    fn tell_figures(&mut self) {
        let up: Vec<(CallId, CallNumber)> =
            self.calls.iter().filter(|(_, line)| line.up).map(|(id, line)| (*id, line.number)).collect();
        for (id, call) in up {
            let Some(report) = self.agent.report(id) else { continue };
            let counters = &report.counters;
            let all = counters.received.saturating_add(counters.lost);
            if all == 0 {
                continue;
            }
            let quality = Quality {
                loss: counters.lost as f32 / all as f32,
                jitter: counters.jitter,
                round_trip: counters.round_trip,
                mos: report.mos,
            };
            self.tell(News::Quality { call, quality });
        }
    }

    fn ring_back(&mut self, call: CallId) {
        if self.selected == Some(call) {
            self.set_signal(Some(Signal::RingBack));
        }
    }

    /// The signal that fits the calls there are.
    fn bell(&mut self, _now: Instant) {
        let talking = self.calls.values().any(|line| line.up && !line.held_here);
        let rings_here = self.calls.values().any(|line| line.incoming && !line.up);
        let waits_there = self.calls.values().any(|line| !line.incoming && !line.up);
        let signal = match (rings_here, talking) {
            (true, true) => Some(Signal::Waiting),
            (true, false) => Some(Signal::Bell),
            (false, _) => self.signal.filter(|signal| *signal == Signal::RingBack && waits_there),
        };
        self.set_signal(signal);
    }

    fn set_signal(&mut self, signal: Option<Signal>) {
        if signal != self.signal {
            self.signal = signal;
            self.sound.signal(signal);
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

fn security(security: &MediaSecurity) -> Option<String> {
    match security {
        MediaSecurity::Plain => None,
        MediaSecurity::Sdes => Some("SRTP (SDES)".to_owned()),
        MediaSecurity::Dtls => Some("SRTP (DTLS)".to_owned()),
        other => Some(format!("{other:?}")),
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
        let figures = self.calls.values().any(|line| line.up).then_some(self.figures_at);
        figures.into_iter().chain(self.agent.poll_timeout()).min()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}
