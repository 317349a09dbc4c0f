//! Voicemail: leaving a message, and listening to those left.
//!
//! Whoever calls his own mailbox from his own telephone needs no PIN unless he has set one; from elsewhere it always takes one.

use std::time::Duration;

use denwa::bridge::{Piece, Program, Source};
use denwa_codecs::tone::{Sine, Tone};

use super::script::{Act, Heard, Message, Scene, Script};

/// So much silence ends a message.
const SILENCE: Duration = Duration::from_secs(5);

/// What is shorter was a receiver hung up.
const SHORTEST: Duration = Duration::from_millis(700);

/// How long a key may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a PIN may be wrong.
const MOST_TRIES: u32 = 3;

/// The name of the setting that holds the PIN.
pub const PIN: &str = "voicemail_pin";

/// Takes a message for somebody.
#[derive(Debug)]
pub struct LeaveMessage {
    mailbox: String,
    is_recording: bool,
}

impl LeaveMessage {
    /// For the mailbox of this extension.
    pub fn new(mailbox: String) -> Self {
        Self { mailbox, is_recording: false }
    }
}

impl Script for LeaveMessage {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered if (scene.messages)(&self.mailbox).len() >= scene.mailbox_limit => {
                vec![scene.say(&["mailbox-full"])]
            }
            Heard::Answered => {
                let mut pieces = scene.prompts.say(scene.language, &["leave-message"]);
                pieces.push(beep());
                self.is_recording = true;
                vec![Act::Play(Program::new(pieces))]
            }
            Heard::Played if self.is_recording => {
                let limit = scene.message_limit;
                vec![Act::Hear(Source::Silence), Act::Record { silence: SILENCE, limit }]
            }
            Heard::Played => vec![Act::HangUp],
            Heard::Key('#') if self.is_recording => vec![Act::StopRecording],
            Heard::Recorded(samples) => {
                self.is_recording = false;
                if lasts(&samples) < SHORTEST {
                    return vec![Act::HangUp];
                }
                vec![Act::Keep { mailbox: self.mailbox.clone(), samples }, scene.say(&["goodbye"])]
            }
            _ => Vec::new(),
        }
    }
}

/// Lets somebody listen to his messages.
#[derive(Debug)]
pub struct Listen {
    mailbox: Option<String>,
    typed: String,
    tries: u32,
    stage: Stage,
    waiting: Vec<Message>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Mailbox,
    Pin,
    Playing,
    Choosing,
    Leaving,
}

impl Listen {
    /// For the caller's own mailbox, or one that he names.
    pub fn new() -> Self {
        Self { mailbox: None, typed: String::new(), tries: 0, stage: Stage::Mailbox, waiting: Vec::new() }
    }

    fn ask_pin(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        self.stage = Stage::Pin;
        self.typed.clear();
        vec![scene.say(&["pin"]), Act::Wake(PATIENCE)]
    }

    fn open(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        let mailbox = self.mailbox.clone().unwrap_or_default();
        self.waiting = (scene.messages)(&mailbox);
        let new = self.waiting.iter().filter(|message| message.is_new).count();
        // The new ones first, the oldest of them before the others.
        self.waiting.sort_by_key(|message| !message.is_new);
        self.waiting.reverse();
        if self.waiting.is_empty() {
            self.stage = Stage::Leaving;
            return vec![scene.say(&["no-messages"])];
        }
        self.stage = Stage::Playing;
        let mut pieces = scene.prompts.number(scene.language, new as u64);
        pieces.extend(scene.prompts.say(scene.language, &["new-messages"]));
        vec![Act::Play(Program::new(pieces)), self.load()]
    }

    fn load(&self) -> Act {
        let mailbox = self.mailbox.clone().unwrap_or_default();
        match self.waiting.last() {
            Some(message) => Act::Load { mailbox, name: message.name.clone() },
            None => Act::HangUp,
        }
    }

    fn next(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        self.waiting.pop();
        if self.waiting.is_empty() {
            self.stage = Stage::Leaving;
            return vec![scene.say(&["no-messages", "goodbye"])];
        }
        self.stage = Stage::Playing;
        vec![self.load()]
    }

    fn leave(&mut self, scene: &Scene<'_>, word: &str) -> Vec<Act> {
        self.stage = Stage::Leaving;
        vec![scene.say(&[word])]
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::new()
    }
}

impl Script for Listen {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        let pin_of = |mailbox: &str| (scene.setting)(mailbox, PIN).filter(|pin| !pin.is_empty());
        match (self.stage, heard) {
            (Stage::Mailbox, Heard::Answered) if scene.is_extension => {
                self.mailbox = Some(scene.caller.to_owned());
                if pin_of(scene.caller).is_some() { self.ask_pin(scene) } else { self.open(scene) }
            }
            (Stage::Mailbox, Heard::Answered) => vec![scene.say(&["dial-digits"]), Act::Wake(PATIENCE)],
            (Stage::Mailbox, Heard::Key('#')) => {
                self.mailbox = Some(std::mem::take(&mut self.typed));
                self.ask_pin(scene)
            }
            (Stage::Pin, Heard::Key('#')) => {
                let right = self.mailbox.as_deref().and_then(pin_of);
                // A mailbox without a PIN is open to its own telephone only.
                if right.as_ref() == Some(&self.typed) {
                    return self.open(scene);
                }
                self.tries += 1;
                if self.tries >= MOST_TRIES { self.leave(scene, "wrong-pin") } else { self.ask_pin(scene) }
            }
            (Stage::Mailbox | Stage::Pin, Heard::Key(key)) => {
                self.typed.push(key);
                self.typed.truncate(32);
                vec![Act::Hear(Source::Silence), Act::Wake(PATIENCE)]
            }
            (Stage::Playing, Heard::Loaded(Some(sound))) => {
                self.stage = Stage::Choosing;
                let pause = Piece::Pause(Duration::from_millis(400));
                let mut pieces = vec![Piece::Sound(sound), pause];
                pieces.extend(scene.prompts.say(scene.language, &["message-keys"]));
                let mut acts = vec![Act::Play(Program::new(pieces)), Act::Wake(PATIENCE * 20)];
                if let (Some(message), Some(mailbox)) = (self.waiting.last(), &self.mailbox) {
                    acts.push(Act::MarkHeard { mailbox: mailbox.clone(), name: message.name.clone() });
                }
                acts
            }
            (Stage::Playing, Heard::Loaded(None)) | (Stage::Choosing, Heard::Key('1')) => self.next(scene),
            (Stage::Choosing, Heard::Key('2')) => vec![self.load_again()],
            (Stage::Choosing, Heard::Key('3')) => {
                let (Some(message), Some(mailbox)) = (self.waiting.last(), self.mailbox.clone()) else {
                    return Vec::new();
                };
                let mut acts = vec![Act::Delete { mailbox, name: message.name.clone() }];
                acts.extend(self.next(scene));
                acts
            }
            (Stage::Leaving, Heard::Played) => vec![Act::HangUp],
            (_, Heard::Time) => self.leave(scene, "goodbye"),
            _ => Vec::new(),
        }
    }
}

impl Listen {
    fn load_again(&mut self) -> Act {
        self.stage = Stage::Playing;
        self.load()
    }
}

fn lasts(samples: &[i16]) -> Duration {
    Duration::from_millis(samples.len() as u64 / 8)
}

/// The tone after which one speaks.
pub fn beep() -> Piece {
    let tone = Tone::steady(&[Sine::new(1_000.0, -13.0)]);
    Piece::Tone { tone, lasts: Some(Duration::from_millis(400)) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    fn hear(listen: &mut Listen, heard: Heard, pin: &str, is_extension: bool) -> Vec<Act> {
        let setting = |_: &str, _: &str| Some(pin.to_owned());
        let message =
            Message { name: "a".into(), caller: "1002".into(), is_new: true, lasts: Duration::ZERO };
        let messages = |_: &str| vec![message.clone()];
        Stage::default().with(|scene| {
            listen.hear(heard, &Scene { setting: &setting, messages: &messages, is_extension, ..*scene })
        })
    }

    fn dial(listen: &mut Listen, keys: &str, pin: &str, is_extension: bool) -> Vec<Act> {
        let acts = keys.chars().map(|key| hear(listen, Heard::Key(key), pin, is_extension));
        acts.last().unwrap_or_default()
    }

    fn opens(acts: &[Act], whose: &str) -> bool {
        acts.iter().any(|act| matches!(act, Act::Load { mailbox, .. } if mailbox == whose))
    }

    #[test]
    fn the_own_telephone_opens_its_mailbox_with_the_pin_when_there_is_one() {
        let mut listen = Listen::new();
        assert!(opens(&hear(&mut listen, Heard::Answered, "", true), "1001"));
        let mut listen = Listen::new();
        assert!(!opens(&hear(&mut listen, Heard::Answered, "4711", true), "1001"));
        assert!(!opens(&dial(&mut listen, "4712#", "4711", true), "1001"));
        assert!(opens(&dial(&mut listen, "4711#", "4711", true), "1001"));
    }

    #[test]
    fn from_elsewhere_it_takes_a_pin_and_one_without_stays_shut() {
        let mut listen = Listen::new();
        hear(&mut listen, Heard::Answered, "4711", false);
        assert!(!opens(&dial(&mut listen, "1002#", "4711", false), "1002"));
        assert!(opens(&dial(&mut listen, "4711#", "4711", false), "1002"));
        let mut listen = Listen::new();
        hear(&mut listen, Heard::Answered, "", false);
        dial(&mut listen, "1002#", "", false);
        for _ in 0..2 {
            assert!(!opens(&dial(&mut listen, "#", "", false), "1002"));
        }
        let acts = dial(&mut listen, "#", "", false);
        assert!(matches!(acts[..], [Act::Play(_)]), "three times and no more");
        assert_eq!(hear(&mut listen, Heard::Played, "", false), [Act::HangUp]);
    }
}
