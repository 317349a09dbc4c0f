//! A dial tone, and digits one by one: for telephones that cannot collect a number themselves, as a rotary one behind an adapter
//! that calls here when it is lifted.
//!
//! A number that nothing longer begins with is called at once; any other after the pause that the file allows between digits,
//! or after `#`.

use std::time::Duration;

use denwa::bridge::{Piece, Program, Source};

use super::script::{Act, Heard, Scene, Script};
use crate::route::Completion;

/// How long the first digit may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the busy tone is heard at the end.
const BUSY: Duration = Duration::from_secs(6);

/// The longest number.
const LONGEST: usize = 64;

/// See the module's words.
#[derive(Debug, Default)]
pub struct DialTone {
    digits: String,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Dialling,
    Calling,
    Leaving,
}

impl DialTone {
    fn call(&mut self) -> Vec<Act> {
        self.stage = Stage::Calling;
        vec![Act::Call(self.digits.clone())]
    }

    fn leave(&mut self, scene: &Scene<'_>, words: &[&str]) -> Vec<Act> {
        self.stage = Stage::Leaving;
        let mut pieces = scene.prompts.say(scene.language, words);
        pieces.push(Piece::Tone { tone: scene.tones.busy.clone(), lasts: Some(BUSY) });
        vec![Act::Play(Program::new(pieces))]
    }
}

impl Script for DialTone {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match (&self.stage, heard) {
            (Stage::Leaving, Heard::Played) => vec![Act::HangUp],
            (Stage::Dialling, Heard::Answered) => {
                let tone = Source::Program(Program::tone(scene.tones.dial.clone()));
                vec![Act::Hear(tone), Act::Wake(PATIENCE)]
            }
            (Stage::Dialling, Heard::Key('#')) if !self.digits.is_empty() => self.call(),
            (Stage::Dialling, Heard::Key(digit)) if self.digits.len() < LONGEST => {
                self.digits.push(digit);
                let quiet = Act::Hear(Source::Silence);
                match (scene.completion)(&self.digits) {
                    Completion::Complete => self.call(),
                    Completion::Nothing => self.leave(scene, &["unknown-number"]),
                    Completion::MayGrow | Completion::Incomplete => vec![quiet, Act::Wake(scene.digit_pause)],
                }
            }
            (Stage::Dialling, Heard::Time) => match (scene.completion)(&self.digits) {
                Completion::MayGrow | Completion::Complete => self.call(),
                // Whoever stops in the middle, or never begins, hears that the line is of no use any more.
                Completion::Incomplete | Completion::Nothing => self.leave(scene, &[]),
            },
            (Stage::Calling, Heard::NotReached(end)) => {
                let words: &[&str] = match end {
                    crate::why::End::UnknownNumber => &["unknown-number"],
                    crate::why::End::NotRegistered => &["absent"],
                    crate::why::End::NotAllowed { .. } => &["not-allowed"],
                    _ => &[],
                };
                self.leave(scene, words)
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing::Stage as House;

    fn dialled(digits: &str) -> Vec<Act> {
        let mut script = DialTone::default();
        House::default().with(|scene| {
            let mut acts = script.hear(Heard::Answered, scene);
            for digit in digits.chars() {
                acts = script.hear(Heard::Key(digit), scene);
            }
            acts
        })
    }

    /// In the tests' house 11 is a number, 1 and 2 may become one, 22 is one that may grow, and nothing begins with 3.
    #[test]
    fn the_longest_number_is_waited_for_and_no_longer() {
        assert_eq!(dialled("11"), [Act::Call("11".to_owned())]);
        assert!(dialled("1").iter().any(|act| matches!(act, Act::Wake(_))));
        assert!(dialled("22").iter().any(|act| matches!(act, Act::Wake(_))));
        assert_eq!(dialled("22#"), [Act::Call("22".to_owned())]);
        assert!(matches!(dialled("3").as_slice(), [Act::Play(_)]));
    }
}
