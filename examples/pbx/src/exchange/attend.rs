//! Calls that the exchange answers itself: its scripts are told what the caller does, and what they want is carried out.
//!
//! A script may have the caller connected with a number; then he leaves it for whoever answers there.

use std::collections::HashMap;
use std::time::Instant;

use denwa::bridge::{Command, ConferenceId, Connection, LegId, RecordingId, RecordingSpec, Sides, Source};
use denwa::echo_test::EchoReport;
use denwa::evidence::{Fact, Rule};

use super::call::{Call, Stage, Which};
use super::desk::Desk;
use super::errands::Wish;
use super::invitation::{Caller, CallerKind};
use super::reach::{Attempt, Reach};
use super::{Event, Output};
use crate::cabinet::Request;
use crate::config;
use crate::services::clock::SpeakingClock;
use crate::services::codes::Confirm;
use crate::services::conference::Room;
use crate::services::dial::DialTone;
use crate::services::digits::ReadBack;
use crate::services::mailbox::{LeaveMessage, Listen, PIN};
use crate::services::menu::{Menu, Queue};
use crate::services::music::{door, on_hold};
use crate::services::page::{Paged, Pager};
use crate::services::park::Parked;
use crate::services::pin::AskPin;
use crate::services::probe::Prober;
use crate::services::script::{Act, Heard, Scene, Script};
use crate::services::simple::{Greeting, Steady};
use crate::services::{Service, Serving, callback, wake};
use crate::store::thread::StoreRequest;
use crate::why::End;

/// The most that hear one page, the pager among them.
const MOST_PAGED: usize = 100;

/// A script at work in a call, and what it has under way.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    pub(super) script: Option<Box<dyn Script>>,
    /// When the script wants to be told the time.
    pub(super) wake_at: Option<Instant>,
    /// A recording for the script.
    pub(super) message: Option<(RecordingId, Vec<i16>)>,
    /// A recording of the call, and when it began.
    pub(super) recording: Option<(RecordingId, Instant)>,
    pub(super) room: Option<Entered>,
    /// What came of the test of a way.
    pub(super) echo: Option<EchoReport>,
    /// When both sides hear again that they are recorded.
    pub(super) beep_at: Option<Instant>,
    /// The last key that was pressed while two sides talk.
    pub(super) key: Option<char>,
}

/// The room a caller is in.
#[derive(Debug)]
pub(super) struct Entered {
    name: String,
    /// Whether the others hear who comes and goes.
    rings: bool,
}

/// Who is in which conference, by the leg on the media side.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    rooms: HashMap<String, (ConferenceId, Vec<LegId>)>,
    last: u64,
}

impl Conferences {
    /// Lets a leg in; the others there. `None` when there are as many as may be.
    fn enter(&mut self, room: &str, leg: LegId, most: usize) -> Option<(ConferenceId, Vec<LegId>)> {
        let Self { rooms, last } = self;
        let (id, members) = rooms.entry(room.to_owned()).or_insert_with(|| {
            *last += 1;
            (ConferenceId(*last), Vec::new())
        });
        if members.len() >= most {
            return None;
        }
        let others = members.clone();
        members.push(leg);
        Some((*id, others))
    }

    /// Lets it go; those who stay.
    fn leave(&mut self, room: &str, leg: LegId) -> Vec<LegId> {
        let Some((_, members)) = self.rooms.get_mut(room) else { return Vec::new() };
        members.retain(|member| *member != leg);
        let stay = members.clone();
        if stay.is_empty() {
            self.rooms.remove(room);
        }
        stay
    }
}

impl Call {
    /// Answers for a service as soon as the caller's ports are open.
    pub(super) fn serve(&mut self, desk: &mut Desk) {
        let Some(serving) = self.service.clone() else { return };
        if self.stage == Stage::Talking && self.diverting {
            self.diverting = false;
            return self.attend(desk);
        }
        if self.stage != Stage::Calling || !self.caller.is_open() || !self.answer_caller(desk) {
            return;
        }
        self.tell_answered(desk, serving.to_string());
        // Who takes a call over is joined with it as soon as this is done.
        if !matches!(serving, Serving::PickUp(_) | Serving::Unpark(_)) {
            self.attend(desk);
        }
    }

    /// Begins the script of what serves the caller.
    pub(super) fn attend(&mut self, desk: &mut Desk) {
        let Some(serving) = self.service.clone() else { return };
        match &serving {
            Serving::Park => {
                let slot = desk.setup.plan.slot(desk.parked.len());
                desk.parked.insert(slot, self.number);
            }
            Serving::Queue(queue) => desk.queues.entry(queue.clone()).or_default().push(self.number),
            _ => {}
        }
        desk.media(Command::Detect { leg: self.caller.id(), in_band_digits: true });
        self.attendance.script = Some(script(&serving, desk));
        self.hear(desk, Heard::Answered);
    }

    /// Tells the script something, and does what it wants.
    pub(super) fn hear(&mut self, desk: &mut Desk, heard: Heard) {
        let Some(mut script) = self.attendance.script.take() else { return };
        let acts = {
            let directory = &desk.directory;
            let setting = |number: &str, key: &str| {
                let account = directory.get(number)?;
                (key == PIN).then(|| account.voicemail_pin.reveal().to_owned())
            };
            let waits =
                desk.queues.values().find_map(|queue| queue.iter().position(|call| *call == self.number));
            let messages = |mailbox: &str| desk.mailboxes.get(mailbox).cloned().unwrap_or_default();
            let scene = Scene {
                prompts: &desk.prompts,
                language: desk.setup.language,
                caller: &self.caller().number,
                is_extension: self.caller().kind == CallerKind::Extension,
                now: desk.time_of_day(desk.now),
                clock: desk.setup.time_of_day,
                tones: &desk.setup.tones,
                position: waits.map_or(1, |place| place + 1),
                messages: &messages,
                completion: &|digits| desk.completion(digits),
                digit_pause: desk.setup.digits,
                setting: &setting,
                mailbox_limit: desk.setup.mailbox_limit,
                message_limit: desk.setup.message_limit,
            };
            script.hear(heard, &scene)
        };
        self.attendance.script = Some(script);
        for act in acts {
            if self.stage == Stage::Ending {
                return;
            }
            self.act(desk, act);
        }
    }

    pub(super) fn act(&mut self, desk: &mut Desk, act: Act) {
        let leg = self.caller.id();
        let connect = |to| Command::Connect { leg, to };
        match act {
            Act::Play(program) => desk.media(connect(Connection::Source(Source::Program(program)))),
            Act::Hear(source) => desk.media(connect(Connection::Source(source))),
            Act::Confer(name, most) => {
                if !self.enter_room(desk, Entered { name, rings: true }, most) {
                    let limit = u32::try_from(most).unwrap_or(u32::MAX);
                    self.hear(desk, Heard::NotReached(End::TooManyCalls { limit }));
                }
            }
            Act::Page(members) => {
                let room = format!("page {}", self.number);
                self.enter_room(desk, Entered { name: room.clone(), rings: false }, MOST_PAGED);
                let caller = self.caller().clone();
                desk.wishes.push(Wish::Page { by: self.number, room, caller, members });
            }
            Act::Listen(name) => {
                desk.media(Command::Mute { leg, muted: true });
                if !self.enter_room(desk, Entered { name, rings: false }, MOST_PAGED) {
                    self.end(desk, End::Served);
                }
            }
            Act::CallBack => {
                let caller = self.caller().number.clone();
                let callee = desk.found_busy.get(&caller).cloned();
                let done = callee.is_some() && self.caller().kind == CallerKind::Extension;
                if let Some(callee) = callee.filter(|_| done) {
                    desk.wishes.push(Wish::CallBack { caller, callee });
                }
                self.hear(desk, Heard::Done(done));
            }
            Act::RecordBoth { limit } => {
                let recording = desk.new_recording();
                let mut spec = RecordingSpec::new(Sides::Stereo);
                spec.limit = Some(limit);
                self.attendance.message = Some((recording, Vec::new()));
                desk.media(Command::Record { leg, recording, spec });
            }
            Act::Judged(echo) => self.attendance.echo = Some(echo),
            Act::Mute(muted) => desk.media(Command::Mute { leg, muted }),
            Act::Record { silence, limit } => {
                let recording = desk.new_recording();
                let mut spec = RecordingSpec::new(Sides::Peer);
                (spec.silence, spec.limit) = (Some(silence), Some(limit));
                self.attendance.message = Some((recording, Vec::new()));
                desk.media(Command::Record { leg, recording, spec });
            }
            Act::StopRecording => {
                if let Some((recording, _)) = self.attendance.message {
                    desk.media(Command::StopRecording { leg, recording });
                }
            }
            Act::Wake(after) => self.attendance.wake_at = desk.now.checked_add(after),
            Act::Call(number) => {
                let destination = desk.find(&number);
                self.divert(desk, |desk, caller| Reach::begin(desk, caller, None, destination));
            }
            Act::CallOut { trunk, number } => {
                self.attendance.wake_at = None;
                self.divert(desk, |desk, caller| Reach::outward(desk, caller, trunk, number));
            }
            Act::Guessed => {
                let number = self.origin.caller.number.clone();
                desk.spent.guessed(&number, desk.now);
                let what = format!("a call that needs a PIN, of {number}");
                desk.tell(Event::Refused {
                    from: self.caller.label.clone(),
                    what,
                    cause: "the PIN is wrong".to_owned(),
                    remedy: Rule::Pin.remedy().to_owned(),
                });
            }
            Act::Forbidden(rule, why) => self.evidence.add(None, Fact::Forbidden { rule, why }, desk.now),
            Act::Keep { mailbox, samples } => {
                let caller = self.origin.caller.number.clone();
                let at = desk.time_of_day(desk.now);
                desk.put(Output::Cabinet(Request::Keep { mailbox, caller, at, samples }));
            }
            Act::Load { mailbox, name } => {
                desk.put(Output::Cabinet(Request::Load { call: self.number, mailbox, name }));
            }
            Act::MarkHeard { mailbox, name } => {
                desk.put(Output::Cabinet(Request::MarkHeard { mailbox, name }));
            }
            Act::Delete { mailbox, name } => desk.put(Output::Cabinet(Request::Delete { mailbox, name })),
            Act::Set { number, key, value } => {
                let key = key.to_owned();
                desk.put(Output::Store(StoreRequest::PutSetting { number, key, value }));
            }
            Act::HangUp => self.end(desk, End::Served),
        }
    }

    /// What came of the test of a way.
    pub(super) fn echo(&self) -> Option<EchoReport> {
        self.attendance.echo
    }

    /// The media side played something to its end on the caller's leg.
    pub(super) fn played(&mut self, desk: &mut Desk, announcement: bool) {
        if announcement {
            return;
        }
        match self.refusing.take() {
            Some(end) => self.end(desk, end),
            None => self.hear(desk, Heard::Played),
        }
    }

    /// A side pressed a key.
    pub(super) fn pressed(&mut self, desk: &mut Desk, which: Which, key: char) {
        if self.stage == Stage::Ending {
            return;
        }
        // 1 while being told that somebody is busy: a call back.
        if let (Some(End::Busy { .. }), '1') = (&self.refusing, key) {
            let caller = self.origin.caller.number.clone();
            if let Some(callee) = desk.found_busy.get(&caller).cloned() {
                desk.wishes.push(Wish::CallBack { caller, callee });
            }
            let end = self.refusing.take().unwrap_or(End::CallerGaveUp);
            return self.end(desk, end);
        }
        if which == Which::Caller && self.winner.is_none() {
            return self.hear(desk, Heard::Key(key));
        }
        // *1 while talking: this call is recorded, or not any more.
        let before = self.attendance.key.replace(key);
        if (before, key) == (Some('*'), '1') && self.is_talking() && self.may_record(desk, which) {
            match self.attendance.recording.take() {
                Some((recording, _)) => {
                    desk.media(Command::StopRecording { leg: self.caller.id(), recording });
                }
                None => self.begin_recording(desk),
            }
        }
    }

    // -- on to a number

    /// Connects a caller who is served with a number.
    fn divert(
        &mut self,
        desk: &mut Desk,
        begin: impl FnOnce(&mut Desk, &Caller) -> Result<(Reach, Attempt), End>,
    ) {
        if self.diverting {
            return;
        }
        let caller = self.caller().clone();
        match begin(desk, &caller) {
            Ok((reach, attempt @ (Attempt::Ring(..) | Attempt::Serve(_)))) => {
                self.reach = reach;
                self.diverting = true;
                self.try_attempt(desk, attempt);
            }
            Ok((_, Attempt::Announce(end))) | Err(end) => self.hear(desk, Heard::NotReached(end)),
        }
    }

    /// Somebody answered there.
    pub(super) fn diverted(&mut self, desk: &mut Desk) {
        self.diverting = false;
        self.deadline = None;
        self.attendance.script = None;
        self.attendance.wake_at = None;
        self.leave_queue(desk);
        self.leave_room(desk);
    }

    /// Nobody did: the script goes on.
    pub(super) fn divert_failed(&mut self, desk: &mut Desk, end: End) {
        self.hang_up_from(desk, self.first, None);
        self.planned.clear();
        self.diverting = false;
        self.deadline = None;
        self.hear(desk, Heard::NotReached(end));
    }

    // -- hold and the end

    /// A side was put on hold, or taken back: it hears music meanwhile.
    pub(super) fn hold_music(&mut self, desk: &mut Desk, by: Which, held: bool) {
        let is_extension = match by {
            Which::Caller => self.caller().kind == CallerKind::Extension,
            Which::Fork(index) => self.forks.get(index).is_some_and(|fork| !fork.plan.is_trunk),
            Which::Leaving(_) => false,
        };
        if !desk.setup.music_on_hold || !is_extension {
            return;
        }
        let Some(other) = self.other(by).and_then(|other| self.leg_mut(other)).map(|leg| leg.id()) else {
            return;
        };
        if held {
            let to = Connection::Source(Source::Program(on_hold()));
            desk.media(Command::Connect { leg: other, to });
        } else if let Some(winner) = self.winner {
            self.join(desk, winner);
        }
    }

    /// The call ends: what its script had under way ends too.
    pub(super) fn unattended(&mut self, desk: &mut Desk) {
        self.attendance.wake_at = None;
        self.attendance.beep_at = None;
        self.diverting = false;
        self.leave_queue(desk);
        desk.parked.retain(|_, call| *call != self.number);
        self.leave_room(desk);
    }

    /// Whoever was served talks to somebody now.
    pub(super) fn taken_over(&mut self, desk: &mut Desk) {
        desk.parked.retain(|_, call| *call != self.number);
        self.service = None;
        self.diverted(desk);
    }

    fn leave_queue(&self, desk: &mut Desk) {
        desk.queues.values_mut().for_each(|queue| queue.retain(|call| *call != self.number));
    }

    /// `false` when there are as many as may be.
    fn enter_room(&mut self, desk: &mut Desk, room: Entered, most: usize) -> bool {
        let leg = self.caller.id();
        let Some((conference, others)) = desk.conferences.enter(&room.name, leg, most) else { return false };
        desk.media(Command::Connect { leg, to: Connection::Conference(conference) });
        for leg in others.into_iter().filter(|_| room.rings) {
            desk.media(Command::Announce { leg, program: door(true) });
        }
        self.attendance.room = Some(room);
        true
    }

    fn leave_room(&mut self, desk: &mut Desk) {
        let Some(Entered { name, rings }) = self.attendance.room.take() else { return };
        for leg in desk.conferences.leave(&name, self.caller.id()).into_iter().filter(|_| rings) {
            desk.media(Command::Announce { leg, program: door(false) });
        }
    }
}

/// The script of what serves a caller.
fn script(serving: &Serving, desk: &Desk) -> Box<dyn Script> {
    match serving {
        Serving::Service(Service::Milliwatt) => Box::new(Steady(Source::MILLIWATT)),
        Serving::Service(Service::Echo) => Box::new(Steady(Source::Echo)),
        Serving::Service(Service::Music) => Box::new(Steady(Source::Program(on_hold()))),
        Serving::Service(Service::Clock) => Box::new(SpeakingClock),
        Serving::Service(Service::Greeting) => Box::new(Greeting),
        Serving::Service(Service::ReadBack) => Box::new(ReadBack::default()),
        Serving::Service(Service::Voicemail) => Box::new(Listen::new()),
        Serving::Service(Service::Conference) => {
            let config::Conference { pin, members } = desk.setup.conference.clone();
            Box::new(Room::new("conference".to_owned(), pin, members))
        }
        Serving::Code(setting) => Box::new(Confirm(setting.clone())),
        Serving::Park => {
            Box::new(Parked { slot: desk.parked.keys().next_back().cloned().unwrap_or_default() })
        }
        // Those who take a call over are joined with it at once; what is said here is said when there is none.
        Serving::Unpark(_) | Serving::PickUp(_) | Serving::Service(Service::Parking | Service::PickUp) => {
            Box::new(crate::services::simple::Say(&["wrong"]))
        }
        Serving::Service(Service::DialTone) => Box::new(DialTone::default()),
        Serving::Service(Service::WakeUp) => Box::new(wake::Order::default()),
        Serving::Service(Service::CallBack) => Box::new(callback::Order),
        Serving::WakeUp => Box::new(wake::WakeUp),
        Serving::CallBack(number) => Box::new(callback::CallBack { number: number.clone() }),
        Serving::Probe => Box::new(Prober),
        Serving::Paged(room) => Box::new(Paged { room: room.clone() }),
        Serving::Page(number) => {
            let members = desk.setup.plan.group(number).map(|group| group.members.clone());
            Box::new(Pager { members: members.unwrap_or_default() })
        }
        Serving::Mailbox(number) => Box::new(LeaveMessage::new(number.clone())),
        Serving::Pin { trunk, number } => {
            let pin = desk.links.get(trunk).and_then(|link| link.trunk.limits.pin.clone());
            match pin {
                Some(pin) => Box::new(AskPin::new(trunk.clone(), number.clone(), pin)),
                // The file has changed meanwhile.
                None => Box::new(crate::services::simple::Say(&["not-allowed"])),
            }
        }
        Serving::Menu(number) => match desk.setup.plan.menu(number).cloned() {
            Some(menu) => Box::new(Menu::new(menu.prompt, menu.choices, menu.otherwise, menu.patience)),
            None => Box::new(crate::services::simple::Say(&["unknown-number"])),
        },
        Serving::Queue(number) => match desk.setup.plan.queue(number).cloned() {
            Some(queue) => Box::new(Queue::new(queue.group, queue.again, queue.longest, queue.otherwise)),
            None => Box::new(crate::services::simple::Say(&["unknown-number"])),
        },
    }
}
