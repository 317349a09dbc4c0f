//! A menu: a prompt, and a number to be called for each key; the first of a queue: music, the position, and trying again.

use std::collections::BTreeMap;
use std::time::Duration;

use denwa::bridge::{Program, Source};

use super::music::on_hold;
use super::script::{Act, Heard, Scene, Script};

/// A menu.
#[derive(Debug)]
pub struct Menu {
    choices: BTreeMap<char, String>,
    otherwise: Option<String>,
    prompt: String,
    patience: Duration,
    rounds: u32,
    is_leaving: bool,
}

impl Menu {
    /// A menu with a prompt of this name, and what is called when no key comes.
    pub fn new(
        prompt: String,
        choices: BTreeMap<char, String>,
        otherwise: Option<String>,
        patience: Duration,
    ) -> Self {
        Self { choices, otherwise, prompt, patience, rounds: 0, is_leaving: false }
    }

    fn ask(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        self.rounds += 1;
        if self.rounds > 3 {
            self.is_leaving = true;
            return vec![scene.say(&["goodbye"])];
        }
        vec![scene.say(&[&self.prompt])]
    }
}

impl Script for Menu {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => self.ask(scene),
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            Heard::Played => vec![Act::Wake(self.patience)],
            Heard::Key(key) => match self.choices.get(&key) {
                Some(number) => vec![Act::Hear(super::music::ring_back()), Act::Call(number.clone())],
                None => self.ask(scene),
            },
            Heard::Time => match self.otherwise.clone() {
                Some(number) => vec![Act::Hear(super::music::ring_back()), Act::Call(number)],
                None => self.ask(scene),
            },
            Heard::NotReached(_) => vec![scene.say(&["no-answer"])],
            _ => Vec::new(),
        }
    }
}

/// A queue: the caller waits with music, is told now and then that he is not forgotten, and its members are tried again and
/// again.
#[derive(Debug)]
pub struct Queue {
    /// The group that is tried.
    group: String,
    again: Duration,
    give_up: Duration,
    waited: Duration,
    otherwise: Option<String>,
    is_leaving: bool,
}

impl Queue {
    /// A queue for a group of extensions, tried every so often, until the caller has waited for so long.
    pub fn new(group: String, again: Duration, give_up: Duration, otherwise: Option<String>) -> Self {
        Self { group, again, give_up, waited: Duration::ZERO, otherwise, is_leaving: false }
    }
}

impl Script for Queue {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => {
                let pieces = scene.prompts.say(scene.language, &["queue-wait"]);
                vec![Act::Play(Program::new(pieces)), Act::Call(self.group.clone())]
            }
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            Heard::Played => vec![Act::Hear(Source::Program(on_hold()))],
            Heard::NotReached(_) if self.is_leaving => vec![Act::HangUp],
            Heard::NotReached(_) => vec![Act::Wake(self.again)],
            Heard::Time => {
                self.waited += self.again;
                if self.waited < self.give_up {
                    return vec![Act::Call(self.group.clone())];
                }
                self.is_leaving = true;
                match self.otherwise.clone() {
                    Some(number) => vec![Act::Call(number)],
                    None => vec![scene.say(&["no-answer", "goodbye"])],
                }
            }
            _ => Vec::new(),
        }
    }
}
