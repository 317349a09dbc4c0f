//! Call back on busy: whoever found an extension busy is called as soon as both are free, and connected with it.

use super::music::ring_back;
use super::script::{Act, Heard, Scene, Script};

/// Takes the order; a second one takes it back.
#[derive(Debug)]
pub struct Order;

impl Script for Order {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![Act::CallBack],
            Heard::Done(done) => vec![scene.say(&[if done { "done" } else { "wrong" }])],
            Heard::Played => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}

/// Connects whoever has lifted now.
#[derive(Debug)]
pub struct CallBack {
    /// With whom.
    pub number: String,
}

impl Script for CallBack {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => vec![Act::Hear(ring_back(scene.tones)), Act::Call(self.number.clone())],
            Heard::NotReached(_) => vec![scene.say(&["no-answer"])],
            Heard::Played => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}
