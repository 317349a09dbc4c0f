//! Music on hold, and the tones of the plan: made here, note by note, so that nobody's recording is needed.

use std::time::Duration;

use denwa::bridge::{Piece, Program, Source};
use denwa_codecs::tone::plan::Plan;
use denwa_codecs::tone::{Sine, Tone};

/// "Greensleeves", of the sixteenth century: each note by its distance from A4 in semitones and its length in quavers.
const MELODY: [(i32, u64); 49] = [
    (0, 2),
    (3, 4),
    (5, 2),
    (7, 3),
    (8, 1),
    (7, 2),
    (5, 4),
    (2, 2),
    (-2, 3),
    (0, 1),
    (2, 2),
    (3, 4),
    (0, 2),
    (0, 3),
    (-1, 1),
    (0, 2),
    (2, 4),
    (-1, 2),
    (-5, 4),
    (0, 2),
    (3, 4),
    (5, 2),
    (7, 3),
    (8, 1),
    (7, 2),
    (5, 4),
    (2, 2),
    (-2, 3),
    (0, 1),
    (2, 2),
    (3, 3),
    (2, 1),
    (0, 2),
    (-1, 3),
    (-3, 1),
    (-1, 2),
    (0, 6),
    (10, 6),
    (10, 3),
    (9, 1),
    (7, 2),
    (5, 4),
    (2, 2),
    (-2, 3),
    (0, 1),
    (2, 2),
    (3, 4),
    (0, 6),
    (0, 6),
];

/// A quaver.
const QUAVER: Duration = Duration::from_millis(210);

/// Music on hold: it goes on while nobody listens.
pub fn on_hold() -> Program {
    let mut pieces = Vec::new();
    for (semitones, quavers) in MELODY {
        let frequency_hz = 440.0 * 2.0_f64.powf(f64::from(semitones) / 12.0);
        // The octave above gives the tone a little colour.
        let tone = Tone::steady(&[Sine::new(frequency_hz, -20.0), Sine::new(frequency_hz * 2.0, -30.0)]);
        let sounds = QUAVER * u32::try_from(quavers).unwrap_or(1);
        pieces.push(Piece::Tone { tone, lasts: Some(sounds - Duration::from_millis(20)) });
        pieces.push(Piece::Pause(Duration::from_millis(20)));
    }
    pieces.push(Piece::Pause(Duration::from_millis(500)));
    Program::new(pieces).running()
}

/// The other telephone rings.
pub fn ring_back(tones: &Plan) -> Source {
    Source::Program(Program::tone(tones.ring_back.clone()))
}

/// Somebody came into a conference, or left it.
pub fn door(opens: bool) -> Program {
    let steps = if opens { [660.0, 880.0] } else { [880.0, 660.0] };
    let pip = |frequency_hz: f64| Piece::Tone {
        tone: Tone::steady(&[Sine::new(frequency_hz, -20.0)]),
        lasts: Some(Duration::from_millis(120)),
    };
    Program::new(steps.map(pip))
}

/// This call is recorded.
pub fn recorded() -> Program {
    let tone = Tone::steady(&[Sine::new(1_400.0, -22.0)]);
    Program::new([Piece::Tone { tone, lasts: Some(Duration::from_millis(140)) }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_music_lasts_a_while_and_never_ends() {
        assert!(on_hold().duration().unwrap() > Duration::from_secs(20));
    }
}
