//! Recordings: of what a caller leaves as a message, and of calls whose extension wants it, with the tone that tells of it.

use std::time::Instant;

use denwa::bridge::{Command, Program, RecordingId, RecordingSpec, Sides};

use super::Output;
use super::attend::Attendance;
use super::call::{Call, Stage, Which};
use super::desk::Desk;
use super::invitation::CallerKind;
use crate::cabinet::Request;
use crate::services::music::recorded;
use crate::services::script::{Act, Heard, Scene};

impl Call {
    /// More of a recording came.
    pub(super) fn recorded(
        &mut self,
        desk: &mut Desk,
        recording: RecordingId,
        samples: denwa::bridge::Sound,
    ) {
        match &mut self.attendance {
            Attendance { message: Some((own, said)), .. } if *own == recording => {
                said.extend_from_slice(samples.samples());
            }
            Attendance { recording: Some((own, began)), .. } if *own == recording => {
                let began = desk.time_of_day(*began);
                desk.put(Output::Cabinet(Request::Record { call: self.number, began, samples }));
            }
            _ => {}
        }
    }

    /// A recording has ended.
    pub(super) fn recording_ended(&mut self, desk: &mut Desk, recording: RecordingId) {
        if let Some((_, said)) = self.attendance.message.take_if(|(own, _)| *own == recording) {
            if self.stage == Stage::Ending {
                return self.keep_last_words(desk, said);
            }
            return self.hear(desk, Heard::Recorded(said));
        }
        desk.put(Output::Cabinet(Request::EndRecording { call: self.number }));
    }

    /// Whoever hangs up after his message has left it all the same.
    fn keep_last_words(&mut self, desk: &mut Desk, said: Vec<i16>) {
        let Some(mut script) = self.attendance.script.take() else { return };
        let scene = Scene {
            prompts: &desk.prompts,
            language: desk.setup.language,
            caller: &self.caller().number,
            is_extension: false,
            now: desk.time_of_day(desk.now),
            clock: desk.setup.time_of_day,
            tones: &desk.setup.tones,
            position: 1,
            messages: &|_| Vec::new(),
            completion: &|digits| desk.completion(digits),
            digit_pause: desk.setup.digits,
            setting: &|_, _| None,
            mailbox_limit: desk.setup.mailbox_limit,
            message_limit: desk.setup.message_limit,
        };
        for act in script.hear(Heard::Recorded(said), &scene) {
            if let Act::Keep { .. } = act {
                self.act(desk, act);
            }
        }
    }

    /// Records the call when one of its sides is an extension whose calls are recorded.
    pub(super) fn record_if_wanted(&mut self, desk: &mut Desk) {
        let wants = |number: &str| desk.directory.get(number).is_some_and(|account| account.record);
        let caller_wants =
            self.origin.caller.kind == CallerKind::Extension && wants(&self.origin.caller.number);
        let callee = self.winner.and_then(|index| self.forks.get(index)).map(|fork| &fork.plan);
        let callee_wants = callee.is_some_and(|plan| !plan.is_trunk && wants(&plan.who));
        if caller_wants || callee_wants {
            self.begin_recording(desk);
        }
    }

    /// Only an extension may have its call recorded; a call that hops through never is.
    pub(super) fn may_record(&self, desk: &Desk, which: Which) -> bool {
        match which {
            Which::Caller => self.caller().kind == CallerKind::Extension,
            Which::Fork(index) => self
                .forks
                .get(index)
                .is_some_and(|fork| !fork.plan.is_trunk && desk.directory.get(&fork.plan.who).is_some()),
            Which::Leaving(_) => false,
        }
    }

    pub(super) fn begin_recording(&mut self, desk: &mut Desk) {
        if self.attendance.recording.is_some() {
            return;
        }
        let recording = desk.new_recording();
        let leg = self.caller.id();
        self.attendance.recording = Some((recording, desk.now));
        self.attendance.beep_at = self.next_beep(desk);
        desk.media(Command::Record { leg, recording, spec: RecordingSpec::new(Sides::Stereo) });
        if desk.setup.recording_announced {
            let fork = self.winner.and_then(|index| self.forks.get(index)).map(|fork| fork.leg.id());
            for leg in std::iter::once(leg).chain(fork) {
                let pieces = desk.prompts.say(desk.setup.language, &["recorded"]);
                desk.media(Command::Announce { leg, program: Program::new(pieces) });
            }
        }
    }

    /// When both sides are to hear a tone, or the script is to be told the time.
    pub(super) fn attended_at(&self) -> Option<Instant> {
        self.attendance.wake_at.into_iter().chain(self.attendance.beep_at).min()
    }

    /// Lets both sides hear that they are recorded, when it is time for it.
    pub(super) fn beep(&mut self, desk: &mut Desk) {
        if self.attendance.beep_at.is_none_or(|at| at > desk.now) {
            return;
        }
        self.attendance.beep_at =
            self.next_beep(desk).filter(|_| self.stage == Stage::Talking && !self.carries_data);
        if self.carries_data {
            // What is played over a modem's sound ends its call.
            return;
        }
        let fork = self.winner.and_then(|index| self.forks.get(index)).map(|fork| fork.leg.id());
        for leg in std::iter::once(self.caller.id()).chain(fork) {
            desk.media(Command::Announce { leg, program: recorded() });
        }
    }

    fn next_beep(&self, desk: &Desk) -> Option<Instant> {
        let every = desk.setup.recording_beep;
        desk.now.checked_add(every).filter(|_| !every.is_zero() && self.attendance.recording.is_some())
    }
}
