//! Parking: a caller waits with music at a number of its own until somebody dials it.

use std::time::Duration;

use denwa::bridge::{Piece, Program, Source};

use super::music::on_hold;
use super::script::{Act, Heard, Scene, Script};

/// See the module's words: the number is said first, for whoever parks hears it before he transfers.
#[derive(Debug)]
pub struct Parked {
    /// The number to be dialled.
    pub slot: String,
}

impl Script for Parked {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => {
                let mut pieces = vec![Piece::Pause(Duration::from_millis(300))];
                pieces.extend(scene.prompts.say(scene.language, &["parked-at"]));
                pieces.extend(scene.prompts.digits(scene.language, &self.slot));
                vec![Act::Play(Program::new(pieces))]
            }
            Heard::Played => vec![Act::Hear(Source::Program(on_hold()))],
            _ => Vec::new(),
        }
    }
}
