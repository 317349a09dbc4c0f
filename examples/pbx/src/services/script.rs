//! What answers a call instead of a telephone: a script that hears what the caller does and says what is to happen.
//!
//! Scripts know nothing of signalling or packets; `exchange/attend.rs` carries out what they want. Each is a small machine of
//! its own: it is told [`Heard`] and answers with [`Act`]s.

use std::fmt;
use std::time::{Duration, SystemTime};

use denwa::bridge::{Program, Sound, Source};
use denwa::echo_test::EchoReport;
use denwa::evidence::Rule;
use denwa_codecs::tone::plan::Plan;

use super::prompts::{Language, Prompts};
use crate::config::Clock;
use crate::route::Completion;

/// What a script is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The call was answered: this is where it begins.
    Answered,
    /// The caller pressed a key.
    Key(char),
    /// What was played is over.
    Played,
    /// The time that was asked for by [`Act::Wake`] has come.
    Time,
    /// A recording has ended: what the caller said, one channel at 8000 Hz.
    Recorded(Vec<i16>),
    /// A message that was asked for.
    Loaded(Option<Sound>),
    /// The number that was called by [`Act::Call`] was not reached, for this reason.
    NotReached(crate::why::End),
    /// Whether [`Act::CallBack`] could be done.
    Done(bool),
}

/// What a script wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Play this, in the place of what is heard; [`Heard::Played`] at its end.
    Play(Program),
    /// Let the caller hear this.
    Hear(Source),
    /// Let the caller talk in a conference of this number with at most so many members.
    Confer(String, usize),
    /// Let these extensions' telephones answer by themselves and hear the caller.
    Page(Vec<String>),
    /// Let the caller hear whoever pages him in this room.
    Listen(String),
    /// Call the caller back when whom he found busy last is free; a second time: do not. [`Heard::Done`] says whether.
    CallBack,
    /// Let what the caller says be heard by nobody, or again.
    Mute(bool),
    /// Record the caller until so much silence, for so long at most.
    Record {
        /// So much silence ends it.
        silence: Duration,
        /// So long at most.
        limit: Duration,
    },
    /// Record what the caller says and what he hears, in two channels, for so long.
    RecordBoth {
        /// So long.
        limit: Duration,
    },
    /// This came of the test.
    Judged(EchoReport),
    /// End the recording.
    StopRecording,
    /// Tell [`Heard::Time`] after so long.
    Wake(Duration),
    /// Call this number and join the caller with whoever answers there; until then he hears what he hears.
    Call(String),
    /// The same with a number of a neighbour, by a caller who has shown the PIN that it needs.
    CallOut {
        /// The trunk.
        trunk: String,
        /// The number as the trunk is asked for it.
        number: String,
    },
    /// The caller dialled a wrong PIN.
    Guessed,
    /// The caller did not pass a rule.
    Forbidden(Rule, String),
    /// Keep a message in a mailbox.
    Keep {
        /// Whose mailbox.
        mailbox: String,
        /// What was said.
        samples: Vec<i16>,
    },
    /// Ask for a message of a mailbox, the oldest new one being 0.
    Load {
        /// Whose mailbox.
        mailbox: String,
        /// Its file.
        name: String,
    },
    /// The message was listened to.
    MarkHeard {
        /// Whose mailbox.
        mailbox: String,
        /// Its file.
        name: String,
    },
    /// The message is not wanted any more.
    Delete {
        /// Whose mailbox.
        mailbox: String,
        /// Its file.
        name: String,
    },
    /// Set something for an extension.
    Set {
        /// The extension.
        number: String,
        /// What.
        key: &'static str,
        /// To what; `None` leaves it to the file.
        value: Option<String>,
    },
    /// The call is over.
    HangUp,
}

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its file.
    pub name: String,
    /// Who left it.
    pub caller: String,
    /// Whether nobody has listened to it yet.
    pub is_new: bool,
    /// How long it is.
    pub lasts: Duration,
}

/// Where a script acts.
pub struct Scene<'a> {
    /// What can be said.
    pub prompts: &'a Prompts,
    /// In which language.
    pub language: Language,
    /// Who calls.
    pub caller: &'a str,
    /// Whether that is an extension of this exchange that has proved it.
    pub is_extension: bool,
    /// What time it is.
    pub now: SystemTime,
    /// How times of day are told.
    pub clock: Clock,
    /// The tones of the country.
    pub tones: &'a Plan,
    /// Where the caller stands in the queue he waits in, 1 being next.
    pub position: usize,
    /// The messages in a mailbox, the oldest first.
    pub messages: &'a dyn Fn(&str) -> Vec<Message>,
    /// Whether more digits may follow these.
    pub completion: &'a dyn Fn(&str) -> Completion,
    /// How long the next digit may take.
    pub digit_pause: Duration,
    /// What is set for an extension.
    pub setting: &'a dyn Fn(&str, &str) -> Option<String>,
    /// The most messages of a mailbox.
    pub mailbox_limit: usize,
    /// The longest message.
    pub message_limit: Duration,
}

impl Scene<'_> {
    /// Plays prompts one after the other.
    pub fn say(&self, names: &[&str]) -> Act {
        Act::Play(Program::new(self.prompts.say(self.language, names)))
    }
}

/// See the module's words.
pub trait Script: fmt::Debug + Send {
    /// Something happened; what is to be done about it.
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act>;
}
