//! Services of one act: a tone, an echo, music, a greeting, an announcement before a refusal.

use std::time::Duration;

use denwa::bridge::{Piece, Program, Source};

use super::script::{Act, Heard, Scene, Script};

/// Lets the caller hear one thing until he hangs up.
#[derive(Debug)]
pub struct Steady(pub Source);

impl Script for Steady {
    fn hear(&mut self, heard: Heard, _: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![Act::Hear(self.0.clone())],
            _ => Vec::new(),
        }
    }
}

/// Says hello and by which number the caller is seen: the test answer for newcomers.
#[derive(Debug)]
pub struct Greeting;

impl Script for Greeting {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => {
                let mut pieces = scene.prompts.say(scene.language, &["greeting", "you-are"]);
                pieces.extend(scene.prompts.digits(scene.language, scene.caller));
                pieces.extend(scene.prompts.say(scene.language, &["desu"]));
                pieces.push(Piece::Pause(Duration::from_millis(300)));
                vec![Act::Play(Program::new(pieces))]
            }
            Heard::Played => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}

/// Says something, then hangs up.
#[derive(Debug)]
pub struct Say(pub &'static [&'static str]);

impl Script for Say {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![scene.say(self.0)],
            Heard::Played => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}
