//! The speaking clock: what time it is at the coming tone, every ten seconds, three pips before it.

use std::time::{Duration, SystemTime};

use denwa::bridge::{Piece, Program};
use denwa_codecs::tone::{Sine, Tone};

use super::prompts::Language;
use super::script::{Act, Heard, Scene, Script};

/// How often it speaks.
const EVERY: u64 = 10;

/// The pips before the tone.
const PIPS: Duration = Duration::from_secs(3);

/// See the module's words.
#[derive(Debug)]
pub struct SpeakingClock;

impl Script for SpeakingClock {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered | Heard::Played => vec![Act::Play(announcement(scene))],
            _ => Vec::new(),
        }
    }
}

/// The announcement of the next time that can still be said before it comes.
fn announcement(scene: &Scene<'_>) -> Program {
    let since = scene.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut told = (since + PIPS).as_secs().div_ceil(EVERY) * EVERY;
    loop {
        let until = Duration::from_secs(told).saturating_sub(since);
        let mut pieces = words(scene, told);
        let said: Duration = pieces.iter().filter_map(Piece::duration).sum();
        if said + PIPS > until {
            told += EVERY;
            continue;
        }
        pieces.push(Piece::Pause(until - said - PIPS));
        for _ in 0..3 {
            pieces.push(pip(440.0, 100));
            pieces.push(Piece::Pause(Duration::from_millis(900)));
        }
        pieces.push(pip(880.0, 800));
        return Program::new(pieces);
    }
}

/// What is said of a time.
fn words(scene: &Scene<'_>, told: u64) -> Vec<Piece> {
    let second_of_day = scene.clock.second_of_day(told);
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    let mut pieces = Vec::new();
    if scene.language == Language::English {
        pieces.extend(scene.prompts.say(scene.language, &["clock"]));
    }
    pieces.extend(scene.prompts.time(scene.language, hour, minute, Some(second)));
    if scene.language == Language::Japanese {
        pieces.extend(scene.prompts.say(scene.language, &["clock-end"]));
    }
    pieces
}

fn pip(frequency_hz: f64, milliseconds: u64) -> Piece {
    let tone = Tone::steady(&[Sine::new(frequency_hz, -13.0)]);
    Piece::Tone { tone, lasts: Some(Duration::from_millis(milliseconds)) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn the_tone_comes_at_the_time_that_is_told() {
        for language in [Language::English, Language::Japanese] {
            for milliseconds in (0..40_000).step_by(370) {
                let stage = Stage { milliseconds, language, ..Stage::default() };
                let program = stage.with(announcement);
                let before_tone: Duration =
                    program.pieces().iter().rev().skip(1).filter_map(Piece::duration).sum();
                let tone_at = milliseconds + u64::try_from(before_tone.as_millis()).unwrap();
                assert!((tone_at + 1) % 10_000 <= 2, "at {milliseconds}: the tone at {tone_at}");
            }
        }
    }
}
