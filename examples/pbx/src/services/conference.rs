//! The conference room: everybody who dials its number talks with everybody else there, after a PIN when it has one.
//!
//! Keys in the room: `*6` mutes the caller, or lets him be heard again.

use std::time::Duration;

use denwa::bridge::Source;

use super::script::{Act, Heard, Scene, Script};

/// How long a PIN may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a PIN may be wrong.
const MOST_TRIES: u32 = 3;

/// See the module's words.
#[derive(Debug)]
pub struct Room {
    number: String,
    pin: Option<String>,
    members: usize,
    stage: Stage,
    typed: String,
    tries: u32,
    is_muted: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Pin,
    Welcome,
    Inside,
    Leaving,
}

impl Room {
    /// The room of a number, for at most so many.
    pub fn new(number: String, pin: Option<String>, members: usize) -> Self {
        Self { number, pin, members, stage: Stage::Pin, typed: String::new(), tries: 0, is_muted: false }
    }

    fn welcome(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        self.stage = Stage::Welcome;
        vec![scene.say(&["conference-join"])]
    }

    fn leave(&mut self, scene: &Scene<'_>, word: &str) -> Vec<Act> {
        self.stage = Stage::Leaving;
        vec![scene.say(&[word])]
    }
}

impl Script for Room {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match (&self.stage, heard) {
            (Stage::Pin, Heard::Answered) if self.pin.is_none() => self.welcome(scene),
            (Stage::Pin, Heard::Answered) => vec![scene.say(&["pin"]), Act::Wake(PATIENCE)],
            (Stage::Pin, Heard::Key('#')) if self.pin.as_ref() == Some(&self.typed) => self.welcome(scene),
            (Stage::Pin, Heard::Key('#')) => {
                self.typed.clear();
                self.tries += 1;
                if self.tries >= MOST_TRIES {
                    return self.leave(scene, "wrong-pin");
                }
                vec![scene.say(&["wrong-pin", "pin"]), Act::Wake(PATIENCE)]
            }
            (Stage::Pin, Heard::Key(key)) => {
                self.typed.push(key);
                self.typed.truncate(32);
                vec![Act::Hear(Source::Silence), Act::Wake(PATIENCE)]
            }
            (Stage::Pin, Heard::Time) => self.leave(scene, "goodbye"),
            (Stage::Welcome, Heard::Played) => {
                self.stage = Stage::Inside;
                self.typed.clear();
                vec![Act::Confer(self.number.clone(), self.members)]
            }
            // The room was full.
            (Stage::Inside, Heard::NotReached(_)) => self.leave(scene, "conference-full"),
            (Stage::Inside, Heard::Key(key)) => {
                let is_code = self.typed == "*" && key == '6';
                self.typed = key.to_string();
                if !is_code {
                    return Vec::new();
                }
                self.is_muted = !self.is_muted;
                vec![Act::Mute(self.is_muted)]
            }
            (Stage::Leaving, Heard::Played) => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}
