//! Read-back: what the caller dials is said to him, so that he sees which digits of his telephone arrive.

use std::time::Duration;

use denwa::bridge::Program;

use super::script::{Act, Heard, Scene, Script};

/// After so long without a key what came is read back: a rotary dial needs time for each.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most digits that are read back at a time.
const MOST: usize = 40;

/// See the module's words.
#[derive(Debug, Default)]
pub struct ReadBack {
    digits: String,
    is_reading: bool,
    is_leaving: bool,
}

impl Script for ReadBack {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![scene.say(&["dial-digits"]), Act::Wake(PATIENCE * 6)],
            Heard::Key('#') if !self.is_reading => self.read(scene),
            Heard::Key(key) if !self.is_reading && self.digits.len() < MOST => {
                self.digits.push(key);
                vec![Act::Hear(denwa::bridge::Source::Silence), Act::Wake(PATIENCE)]
            }
            Heard::Time if self.digits.is_empty() => {
                self.is_leaving = true;
                vec![scene.say(&["goodbye"])]
            }
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            Heard::Time => self.read(scene),
            Heard::Played if self.is_reading => {
                self.is_reading = false;
                self.digits.clear();
                vec![Act::Wake(PATIENCE * 3)]
            }
            _ => Vec::new(),
        }
    }
}

impl ReadBack {
    fn read(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        self.is_reading = true;
        vec![Act::Play(Program::new(scene.prompts.digits(scene.language, &self.digits)))]
    }
}
