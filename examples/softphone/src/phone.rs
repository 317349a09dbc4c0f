//! The telephone's will: a machine around a user agent that registers, calls, answers, speaks, listens and hangs up as it was
//! told once.

use denwa::bridge;
use denwa::driver::{Answer, Machine, Output, PortId, PortNews, PortPacket};
use denwa::media;
use denwa::ua::{Account, AccountId, CallId, Ending, Event as AgentEvent, UserAgent};
use denwa_codecs::level::Level;
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_sip_core::Input;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// What the telephone is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// Who it is.
    pub account: Account,
    /// Whether to register first, and to stay registered.
    pub registers: bool,
    /// What then.
    pub errand: Errand,
    /// What happens during calls.
    pub talk: Talk,
}

/// What to do once ready.
#[derive(Clone, Debug)]
pub enum Errand {
    /// Stay registered for so long; `None`: until interrupted.
    Stay(Option<Duration>),
    /// Call this address.
    Call(String),
    /// Answer calls: so many, or until interrupted, each after so much ringing.
    Answer {
        /// How many.
        calls: Option<u32>,
        /// Ringing before the answer.
        ring: Duration,
    },
}

/// What happens during a call.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// What is said, at 8000 samples a second; `None`: a tone.
    pub play: Option<Vec<i16>>,
    /// Hang up so long after the answer.
    pub hangup_after: Option<Duration>,
    /// Hang up when everything was said.
    pub hangup_at_end: bool,
    /// Keys to press after the answer.
    pub digits: Option<String>,
    /// It is a failure when nothing is heard.
    pub expect_audio: bool,
}

/// What the telephone tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// A line for the screen.
    Line(String),
    /// Everything is done.
    Finished(Outcome),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Good,
    /// It did not come about.
    Failed,
    /// Nothing was heard, though something should have been.
    NoAudio,
}

/// The telephone is to end what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt;

/// The machine; see the module's words.
pub struct Phone {
    agent: UserAgent,
    task: Task,
    account: AccountId,
    call: Option<Talking>,
    /// Calls that are to be answered, and when.
    ringing: Vec<(CallId, Instant)>,
    taken: u32,
    outcome: Outcome,
    leave_at: Option<Instant>,
    leaving: bool,
    heard: Vec<i16>,
    outputs: VecDeque<Output<Event>>,
}

/// The call that is up.
struct Talking {
    call: CallId,
    answered: bool,
    said: usize,
    tone: Generator,
    hang_up_at: Option<Instant>,
    /// Frames of sound loud enough to be heard.
    audible: u32,
}

/// What is heard is kept up to this length: an hour.
const LONGEST_RECORDING: usize = 8000 * 3600;

/// A frame louder than this is sound, in dBm0.
const AUDIBLE_DBM0: f64 = -50.0;

/// So many frames of sound are not an accident: half a second.
const ENOUGH_FRAMES: u32 = 25;

impl Phone {
    /// A telephone that begins with its task at once.
    pub fn new(mut agent: UserAgent, task: Task, now: Instant) -> Self {
        let account = agent.add_account(task.account.clone());
        let mut phone = Self {
            agent,
            account,
            call: None,
            ringing: Vec::new(),
            taken: 0,
            outcome: Outcome::Good,
            leave_at: None,
            leaving: false,
            heard: Vec::new(),
            outputs: VecDeque::new(),
            task,
        };
        if phone.task.registers {
            if let Err(misuse) = phone.agent.register(account, now) {
                phone.fail(format!("cannot register: {misuse}"), now);
            }
        } else {
            phone.begin(now);
        }
        phone.drain(now);
        phone
    }

    /// Everything heard so far, one call after the other.
    pub fn heard(&self) -> &[i16] {
        &self.heard
    }

    fn begin(&mut self, now: Instant) {
        match self.task.errand.clone() {
            Errand::Stay(stay) => self.leave_at = stay.map(|stay| now + stay),
            Errand::Answer { .. } => {}
            Errand::Call(address) => match self.agent.call(self.account, &address, now) {
                Ok(call) => {
                    self.say_line(format!("calling {address}"));
                    self.call = Some(Talking::new(call));
                }
                Err(misuse) => self.fail(format!("cannot call {address}: {misuse}"), now),
            },
        }
    }

    fn on_event(&mut self, event: AgentEvent, now: Instant) {
        match event {
            AgentEvent::Registered { expires_in, .. } => {
                self.say_line(format!("registered for {} s", expires_in.as_secs()));
                let first = self.call.is_none() && self.leave_at.is_none() && !self.leaving;
                if first && !matches!(self.task.errand, Errand::Answer { .. }) {
                    self.begin(now);
                }
            }
            AgentEvent::RegistrationFailed { why, .. } => self.fail(format!("not registered: {why}"), now),
            AgentEvent::Unregistered { .. } => self.say_line("registration withdrawn".to_owned()),
            AgentEvent::Incoming { call, from, name, .. } => {
                let who = name.map_or_else(|| from.clone(), |name| format!("{name} <{from}>"));
                self.say_line(format!("call from {who}"));
                match self.task.errand {
                    Errand::Answer { ring, .. } if self.call.is_none() => {
                        self.ringing.push((call, now + ring))
                    }
                    _ => drop(self.agent.refuse(call, denwa_sip_core::StatusCode::BUSY_HERE, now)),
                }
            }
            AgentEvent::Ringing { status, .. } => {
                self.say_line(format!("{} {}", status.code(), status.reason()))
            }
            AgentEvent::Answered { call } => self.on_answered(call, now),
            AgentEvent::Sound { call, samples } => self.on_sound(call, &samples, now),
            AgentEvent::Media { event, .. } => self.on_media(&event),
            AgentEvent::ChangeRefused { why, .. } => self.say_line(format!("change refused: {why}")),
            AgentEvent::Ended { call, reason, report, evidence } => {
                self.say_line(format!("call ended: {reason}"));
                let counters = &report.counters;
                if counters.sent + counters.received > 0 {
                    self.say_line(format!(
                        "{}: {} packets said, {} heard, {} lost on the way here, jitter {:.1} ms",
                        report.codec,
                        counters.sent,
                        counters.received,
                        counters.lost,
                        counters.jitter.as_secs_f64() * 1000.0
                    ));
                }
                for finding in evidence.findings() {
                    self.say_line(finding.to_string());
                }
                self.on_ended(call, &reason, now);
            }
            AgentEvent::Message { from, text } => self.say_line(format!("message from {from}: {text}")),
            AgentEvent::ShutDown => {
                let outcome = self.outcome;
                self.outputs.push_back(Output::Event(Event::Finished(outcome)));
                self.outputs.push_back(Output::Stop);
            }
            _ => {}
        }
    }

    fn on_answered(&mut self, call: CallId, now: Instant) {
        let talk = &self.task.talk;
        let (hang_up_after, digits) = (talk.hangup_after, talk.digits.clone());
        let Some(talking) = self.call.as_mut().filter(|talking| talking.call == call) else { return };
        talking.answered = true;
        talking.hang_up_at = hang_up_after.map(|after| now + after);
        self.say_line("answered".to_owned());
        if let Some(digits) = digits
            && let Err(misuse) = self.agent.press(call, &digits, now)
        {
            self.say_line(format!("keys not pressed: {misuse}"));
        }
    }

    /// 20 ms have passed: so much was heard, so much is said.
    fn on_sound(&mut self, call: CallId, samples: &[i16], now: Instant) {
        let Some(talking) = self.call.as_mut().filter(|talking| talking.call == call) else { return };
        let room = LONGEST_RECORDING.saturating_sub(self.heard.len());
        self.heard.extend(samples.iter().take(room));
        if Level::of(samples).dbm0() > AUDIBLE_DBM0 {
            talking.audible = talking.audible.saturating_add(1);
        }
        if !talking.answered {
            return;
        }
        let mut frame = vec![0; samples.len()];
        let mut at_end = false;
        match &self.task.talk.play {
            Some(play) => {
                let rest = play.get(talking.said..).unwrap_or(&[]);
                for (place, sample) in frame.iter_mut().zip(rest) {
                    *place = *sample;
                }
                talking.said = talking.said.saturating_add(samples.len());
                at_end = rest.len() <= samples.len();
            }
            None => {
                talking.tone.generate(&mut frame);
            }
        }
        // A call that ended meanwhile needs no sound.
        let _ = self.agent.say(call, &frame);
        if at_end && self.task.talk.hangup_at_end && talking.hang_up_at.is_none() {
            // What was said last is still on its way.
            talking.hang_up_at = Some(now + Duration::from_millis(500));
        }
    }

    fn on_media(&mut self, event: &media::Event) {
        let line = match event {
            media::Event::FirstPacket { from, .. } => format!("sound comes from {from}"),
            media::Event::SourceMoved { from, to } => format!("sound comes from {to} now, not from {from}"),
            media::Event::Digit { digit, .. } => format!("key {digit}"),
            media::Event::Silent { lasted } => format!("nothing was heard for {} s", lasted.as_secs()),
            media::Event::DirectionChanged { sends: true, receives: true } => "off hold".to_owned(),
            media::Event::DirectionChanged { .. } => "on hold".to_owned(),
            media::Event::CodecChanged { codec } => format!("codec is {codec} now"),
            media::Event::Undeliverable { destination } => format!("sound is not taken at {destination}"),
            _ => return,
        };
        self.say_line(line);
    }

    fn on_ended(&mut self, call: CallId, reason: &Ending, now: Instant) {
        self.ringing.retain(|(ringing, _)| *ringing != call);
        let Some(talking) = self.call.take_if(|talking| talking.call == call) else { return };
        let came_about =
            talking.answered && matches!(reason, Ending::HungUpHere | Ending::HungUpThere | Ending::ShutDown);
        if !came_about {
            self.outcome = Outcome::Failed;
        } else if self.task.talk.expect_audio
            && talking.audible < ENOUGH_FRAMES
            && self.outcome == Outcome::Good
        {
            self.say_line("no sound was heard".to_owned());
            self.outcome = Outcome::NoAudio;
        }
        self.taken = self.taken.saturating_add(1);
        let done = match self.task.errand {
            Errand::Answer { calls, .. } => calls.is_some_and(|calls| self.taken >= calls),
            _ => true,
        };
        if done {
            self.leave(now);
        }
    }

    fn fail(&mut self, line: String, now: Instant) {
        self.say_line(line);
        self.outcome = Outcome::Failed;
        self.leave(now);
    }

    fn leave(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.leave_at = None;
            self.agent.shut_down(now);
        }
    }

    fn say_line(&mut self, line: String) {
        self.outputs.push_back(Output::Event(Event::Line(line)));
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.agent.poll_output() {
            match output.into_event() {
                Ok(event) => self.on_event(event, now),
                Err(rest) => self.outputs.push_back(rest.widen()),
            }
        }
    }

    fn serve_clock(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.ringing.retain(|(call, at)| {
            let is_due = *at <= now;
            if is_due {
                due.push(*call);
            }
            !is_due
        });
        for call in due {
            match self.agent.answer(call, now) {
                Ok(()) => self.call = Some(Talking::new(call)),
                Err(misuse) => self.say_line(format!("not answered: {misuse}")),
            }
        }
        if let Some(talking) = &mut self.call
            && talking.hang_up_at.is_some_and(|at| at <= now)
        {
            talking.hang_up_at = None;
            // One that ended meanwhile is as good as hung up.
            let _ = self.agent.hang_up(talking.call, now);
        }
        if self.leave_at.is_some_and(|at| at <= now) {
            self.leave(now);
        }
    }
}

impl Talking {
    fn new(call: CallId) -> Self {
        let tone = Generator::new(&Tone::steady(&[Sine::new(440.0, -12.0)]), 8000);
        Self { call, answered: false, said: 0, tone, hang_up_at: None, audible: 0 }
    }
}

impl Machine for Phone {
    type Command = Interrupt;
    type Event = Event;

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

    fn handle_command(&mut self, _: Interrupt, now: Instant) {
        self.leave(now);
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
        self.serve_clock(now);
        if self.agent.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.agent.handle_timeout(now);
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.ringing.iter().map(|(_, at)| *at).min();
        let talking = self.call.as_ref().and_then(|talking| talking.hang_up_at);
        [own, talking, self.leave_at, self.agent.poll_timeout()].into_iter().flatten().min()
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phone")
            .field("task", &self.task.errand)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
