//! The PIN before a number that costs money: asked for, and asked for again, three times at most.

use std::time::Duration;

use denwa::evidence::Rule;

use super::script::{Act, Heard, Scene, Script};
use crate::config::Secret;
use crate::why::End;

/// How long a PIN may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it may be wrong.
const MOST_TRIES: u32 = 3;

/// See the module's words.
#[derive(Debug)]
pub struct AskPin {
    trunk: String,
    number: String,
    pin: Secret,
    typed: String,
    tries: u32,
    is_leaving: bool,
}

impl AskPin {
    /// Asks for a PIN, ended by `#`, and then calls the number by the trunk.
    pub fn new(trunk: String, number: String, pin: Secret) -> Self {
        Self { trunk, number, pin, typed: String::new(), tries: 0, is_leaving: false }
    }

    fn leave(&mut self, scene: &Scene<'_>, word: &str) -> Vec<Act> {
        self.is_leaving = true;
        vec![scene.say(&[word])]
    }
}

impl Script for AskPin {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            _ if self.is_leaving => Vec::new(),
            Heard::Answered => vec![scene.say(&["pin"]), Act::Wake(PATIENCE)],
            Heard::Key('#') if self.typed == self.pin.reveal() => {
                vec![Act::CallOut { trunk: self.trunk.clone(), number: self.number.clone() }]
            }
            Heard::Key('#') => {
                self.typed.clear();
                self.tries += 1;
                let mut acts = vec![Act::Guessed];
                if self.tries >= MOST_TRIES {
                    let why = format!("the PIN for {} was wrong {MOST_TRIES} times", self.number);
                    acts.push(Act::Forbidden(Rule::Pin, why));
                    acts.extend(self.leave(scene, "wrong-pin"));
                } else {
                    acts.extend([scene.say(&["wrong-pin", "pin"]), Act::Wake(PATIENCE)]);
                }
                acts
            }
            Heard::Key(key) => {
                self.typed.push(key);
                self.typed.truncate(32);
                vec![Act::Wake(PATIENCE)]
            }
            Heard::Time => {
                let why = format!("no PIN was dialled for {}, which needs one", self.number);
                let mut acts = self.leave(scene, "goodbye");
                acts.push(Act::Forbidden(Rule::Pin, why));
                acts
            }
            Heard::NotReached(end) => {
                let word = if matches!(end, End::Busy { .. }) { "busy" } else { "circuits-busy" };
                self.leave(scene, word)
            }
            _ => Vec::new(),
        }
    }
}
