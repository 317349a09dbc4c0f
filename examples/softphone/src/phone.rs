//! The telephone's will: a machine around a user agent that registers, calls, answers, speaks, listens and hangs up as it was
//! told once.

use crate::happening::{CallReport, Happening, Verdict};
use crate::probe::Probe;
use denwa::bridge;
use denwa::driver::{Answer, Machine, Output, PortId, PortNews, PortPacket};
use denwa::evidence::{Evidence, Fact, MediaSecurity};
use denwa::media::{self, StreamReport};
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
    /// Call this address, where an echo should be, and tell whether voice passes both ways.
    Test {
        /// The address.
        address: String,
        /// How long to listen.
        lasts: Duration,
    },
    /// Send a message there.
    Message {
        /// To whom.
        to: String,
        /// What.
        text: String,
    },
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
    /// What is said, at the rate below; `None`: a tone.
    pub play: Option<Vec<i16>>,
    /// Hang up so long after the answer.
    pub hangup_after: Option<Duration>,
    /// Hang up when everything was said.
    pub hangup_at_end: bool,
    /// Keys to press after the answer.
    pub digits: Option<String>,
    /// It is a failure when nothing is heard.
    pub expect_audio: bool,
    /// Samples a second of what is said and heard; 0 is 8000.
    pub sample_rate_hz: u32,
}

/// What the telephone tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something happened.
    Happened(Happening),
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

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::NoAudio => 3,
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Failed => "failed",
            Self::NoAudio => "no_audio",
        }
    }
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
    ringing: Vec<(CallId, Instant, String)>,
    taken: u32,
    registered: bool,
    outcome: Outcome,
    leave_at: Option<Instant>,
    leaving: bool,
    heard: Vec<i16>,
    outputs: VecDeque<Output<Event>>,
}

/// The call that is up.
struct Talking {
    call: CallId,
    peer: String,
    incoming: bool,
    probe: Option<Probe>,
    keys: String,
    answered: Option<Instant>,
    said: usize,
    tone: Generator,
    hang_up_at: Option<Instant>,
    /// Frames of sound loud enough to be heard.
    audible: u32,
}

/// What is heard is kept up to this length: an hour at 16000 samples a second.
const LONGEST_RECORDING: usize = 16_000 * 3600;

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
            registered: false,
            outcome: Outcome::Good,
            leave_at: None,
            leaving: false,
            heard: Vec::new(),
            outputs: VecDeque::new(),
            task,
        };
        if phone.task.registers {
            if let Err(misuse) = phone.agent.register(account, now) {
                let why = misuse.to_string();
                phone.fail(Happening::NotRegistered { why, findings: Vec::new() }, now);
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
        let tests = matches!(self.task.errand, Errand::Test { .. });
        match self.task.errand.clone() {
            Errand::Stay(stay) => self.leave_at = stay.map(|stay| now + stay),
            Errand::Answer { .. } => {}
            Errand::Call(address) | Errand::Test { address, .. } => {
                match self.agent.call(self.account, &address, now) {
                    Ok(call) => {
                        self.happened(Happening::Calling { address: address.clone() });
                        let mut talking = Talking::new(call, address, false, self.rate());
                        talking.probe = tests.then(|| Probe::new(self.rate()));
                        self.call = Some(talking);
                    }
                    Err(misuse) => self.fail(Happening::CannotCall { address, why: misuse.to_string() }, now),
                }
            }
            Errand::Message { to, text } => {
                if let Err(misuse) = self.agent.send_message(self.account, &to, &text, now) {
                    self.fail(Happening::MessageFailed { why: misuse.to_string() }, now);
                }
            }
        }
    }

    fn on_event(&mut self, event: AgentEvent, now: Instant) {
        match event {
            AgentEvent::Registered { expires_in, .. } => {
                self.registered = true;
                self.happened(Happening::Registered { seconds: expires_in.as_secs() });
                let first = self.call.is_none() && self.leave_at.is_none() && !self.leaving;
                if first && !matches!(self.task.errand, Errand::Answer { .. }) {
                    self.begin(now);
                }
            }
            AgentEvent::RegistrationFailed { why, evidence, .. } => {
                let findings = evidence.findings().into_iter().map(Into::into).collect();
                self.fail(Happening::NotRegistered { why, findings }, now);
            }
            AgentEvent::FlowLost { server, why, .. } => {
                self.happened(Happening::FlowLost { server: server.address.to_string(), why });
            }
            // What never stood is not withdrawn.
            AgentEvent::Unregistered { .. } if self.registered => self.happened(Happening::Unregistered),
            AgentEvent::Incoming { call, from, name, .. } => {
                self.happened(Happening::Incoming { from: from.clone(), name });
                match self.task.errand {
                    Errand::Answer { ring, .. } if self.call.is_none() => {
                        self.ringing.push((call, now + ring, from));
                    }
                    _ => drop(self.agent.refuse(call, denwa_sip_core::StatusCode::BUSY_HERE, now)),
                }
            }
            AgentEvent::Ringing { status, .. } => {
                let (status, reason) = (status.code(), status.reason().to_owned());
                self.happened(Happening::Progress { status, reason });
            }
            AgentEvent::Redirected { to, .. } => self.happened(Happening::Redirected { to }),
            AgentEvent::Answered { call } => self.on_answered(call, now),
            AgentEvent::Sound { call, samples } => self.on_sound(call, &samples, now),
            AgentEvent::Media { event, .. } => self.on_media(&event),
            AgentEvent::ChangeRefused { why, .. } => self.happened(Happening::ChangeRefused { why }),
            AgentEvent::MessageDelivered { .. } => {
                self.happened(Happening::MessageDelivered);
                self.leave(now);
            }
            AgentEvent::MessageFailed { why, .. } => self.fail(Happening::MessageFailed { why }, now),
            AgentEvent::Ended { call, reason, report, evidence } => {
                self.tell_end(call, &reason, &report, &evidence, now);
                self.on_ended(call, &reason, now);
            }
            AgentEvent::Message { from, text } => self.happened(Happening::Message { from, text }),
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
        talking.answered = Some(now);
        talking.hang_up_at = hang_up_after.map(|after| now + after);
        self.happened(Happening::Answered);
        if let Some(digits) = digits
            && let Err(misuse) = self.agent.press(call, &digits, now)
        {
            self.happened(Happening::KeysNotPressed { why: misuse.to_string() });
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
        if talking.answered.is_none() {
            return;
        }
        let mut frame = vec![0; samples.len()];
        let mut at_end = false;
        match (&mut talking.probe, &self.task.talk.play) {
            (Some(probe), _) => {
                probe.hear(samples);
                probe.say(&mut frame);
            }
            (None, Some(play)) => {
                let rest = play.get(talking.said..).unwrap_or(&[]);
                for (place, sample) in frame.iter_mut().zip(rest) {
                    *place = *sample;
                }
                talking.said = talking.said.saturating_add(samples.len());
                at_end = rest.len() <= samples.len();
            }
            (None, None) => {
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
        if let (media::Event::Digit { digit, .. }, Some(talking)) = (event, &mut self.call) {
            talking.keys.push(*digit);
        }
        self.happened(match event {
            media::Event::FirstPacket { from, .. } => Happening::SoundFrom { address: from.to_string() },
            media::Event::SourceMoved { from, to } => {
                Happening::SoundMoved { from: from.to_string(), to: to.to_string() }
            }
            media::Event::Digit { digit, .. } => Happening::Key { key: *digit },
            media::Event::Silent { lasted } => Happening::Silent { seconds: lasted.as_secs() },
            media::Event::DirectionChanged { sends, receives } => {
                Happening::Hold { held: !(*sends && *receives) }
            }
            media::Event::CodecChanged { codec } => Happening::Codec { codec: codec.clone() },
            media::Event::PathChosen { path, relayed, .. } => {
                Happening::Path { path: path.clone(), relayed: *relayed }
            }
            media::Event::PathFailed { .. } | media::Event::PathLost => Happening::NoPath,
            media::Event::Encrypted { suite } => Happening::Encrypted { suite },
            media::Event::NotEncrypted { reason } => Happening::NotEncrypted { why: reason.to_string() },
            media::Event::Undeliverable { destination } => {
                Happening::Undeliverable { address: destination.to_string() }
            }
            _ => return,
        });
    }

    fn tell_end(
        &mut self,
        call: CallId,
        reason: &Ending,
        report: &StreamReport,
        evidence: &Evidence,
        now: Instant,
    ) {
        let talking = self.call.as_ref().filter(|talking| talking.call == call);
        let mut told = CallReport {
            peer: talking.map(|talking| talking.peer.clone()).unwrap_or_default(),
            incoming: talking.is_none_or(|talking| talking.incoming),
            answered: talking.is_some_and(|talking| talking.answered.is_some()),
            keys: talking.map(|talking| talking.keys.clone()).unwrap_or_default(),
            ended: reason.to_string(),
            findings: evidence.findings().into_iter().map(Into::into).collect(),
            ..CallReport::default()
        };
        if let Some(answered) = talking.and_then(|talking| talking.answered) {
            told.seconds = now.saturating_duration_since(answered).as_secs_f64();
        }
        told.measure(report);
        let security = evidence.facts().rev().find_map(|dated| match &dated.fact {
            Fact::Agreed(agreement) => Some(agreement.security),
            _ => None,
        });
        let security = match security {
            Some(MediaSecurity::Sdes) => "sdes",
            Some(MediaSecurity::Dtls) => "dtls",
            _ => "none",
        };
        security.clone_into(&mut told.encryption);
        self.happened(Happening::Ended(Box::new(told)));
        if let Some(talking) = self.call.as_ref().filter(|talking| talking.call == call) {
            let verdict = talking.probe.as_ref().map(|probe| verdict(probe, talking, reason, report));
            if let Some(verdict) = verdict {
                if !verdict.both_ways && self.outcome == Outcome::Good {
                    self.outcome = Outcome::NoAudio;
                }
                self.happened(Happening::Verdict(verdict));
            }
        }
    }

    fn on_ended(&mut self, call: CallId, reason: &Ending, now: Instant) {
        self.ringing.retain(|(ringing, ..)| *ringing != call);
        let Some(talking) = self.call.take_if(|talking| talking.call == call) else { return };
        let came_about = talking.answered.is_some()
            && matches!(reason, Ending::HungUpHere | Ending::HungUpThere | Ending::ShutDown);
        if !came_about {
            self.outcome = Outcome::Failed;
        } else if self.task.talk.expect_audio
            && talking.audible < ENOUGH_FRAMES
            && self.outcome == Outcome::Good
        {
            self.happened(Happening::NoSound);
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

    fn fail(&mut self, happening: Happening, now: Instant) {
        self.happened(happening);
        self.outcome = Outcome::Failed;
        self.leave(now);
    }

    fn leave(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.leave_at = None;
            self.agent.shut_down(now);
        }
    }

    fn happened(&mut self, happening: Happening) {
        self.outputs.push_back(Output::Event(Event::Happened(happening)));
    }

    fn rate(&self) -> u32 {
        match self.task.talk.sample_rate_hz {
            0 => 8000,
            rate => rate,
        }
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
        self.ringing.retain(|(call, at, from)| {
            let is_due = *at <= now;
            if is_due {
                due.push((*call, from.clone()));
            }
            !is_due
        });
        for (call, from) in due {
            match self.agent.answer(call, now) {
                Ok(()) => self.call = Some(Talking::new(call, from, true, self.rate())),
                Err(misuse) => {
                    self.happened(Happening::ChangeRefused { why: format!("not answered: {misuse}") })
                }
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
    fn new(call: CallId, peer: String, incoming: bool, rate: u32) -> Self {
        let tone = Generator::new(&Tone::steady(&[Sine::new(440.0, -12.0)]), rate);
        let (probe, keys) = (None, String::new());
        Self {
            call,
            peer,
            incoming,
            probe,
            keys,
            answered: None,
            said: 0,
            tone,
            hang_up_at: None,
            audible: 0,
        }
    }
}

/// What can be told from a test call that was up.
fn verdict(probe: &Probe, talking: &Talking, reason: &Ending, report: &StreamReport) -> Verdict {
    let mos = report.mos;
    if talking.answered.is_none() {
        let sentence = format!("The test call did not come about: {reason}.");
        return Verdict { mos, sentence, ..Verdict::default() };
    }
    let counters = &report.counters;
    match probe.delay_ms() {
        Some(delay) => {
            let quality = mos.map_or(String::new(), |mos| format!(", MOS {mos:.1}"));
            let sentence =
                format!("Voice passes both ways: what was said came back after {delay} ms{quality}.");
            Verdict { both_ways: true, delay_ms: Some(delay), mos, sentence }
        }
        None => {
            let sentence = if counters.received == 0 {
                "Voice does not pass: no sound came from the other side.".to_owned()
            } else if talking.audible < ENOUGH_FRAMES {
                format!(
                    "Voice does not pass both ways: {} packets came from the other side, and all of them were silent.",
                    counters.received
                )
            } else {
                "Sound comes from the other side, and not what was said here: there is no echo at that number, or voice does not pass from here.".to_owned()
            };
            Verdict { both_ways: false, delay_ms: None, mos, sentence }
        }
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
        let own = self.ringing.iter().map(|(_, at, _)| *at).min();
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
