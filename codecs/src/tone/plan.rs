//! National tone plans, and a short way to write others.
//!
//! Frequencies and cadences are those of ITU-T E.180 and its supplement 2, ANSI T1.401 for North America and the NTT
//! interface for Japan. [`Tone`] has a text form: `440+480@-19/2000,0/4000` is two sines of -19 dBm0 each, two seconds
//! on and four off; `400*16` is a sine modulated by another; a `!` before a step keeps it out of the repetition.

use alloc::{string::String, vec::Vec};
use core::str::FromStr;

use super::{Modulation, Sine, Step, Tone};

/// The tones of one country or region.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// Dial now.
    pub dial: Tone,
    /// Dial on: digits are missing, or the number is another exchange's.
    pub second_dial: Tone,
    /// The other telephone rings.
    pub ring_back: Tone,
    /// The other telephone is in use.
    pub busy: Tone,
    /// No way leads there now.
    pub congestion: Tone,
    /// Three rising tones before an announcement.
    pub special_information: Tone,
    /// Somebody else calls.
    pub call_waiting: Tone,
    /// The receiver is off its hook.
    pub howler: Tone,
}

impl Plan {
    /// Japan: 400 Hz for everything, ring back fluttering at 16 Hz.
    #[must_use]
    pub fn japan() -> Self {
        Self {
            name: "Japan",
            dial: tone("400@-13"),
            second_dial: tone("400@-13/250,0/250"),
            ring_back: tone("400*16@-16/1000,0/2000"),
            busy: tone("400@-16/500,0/500"),
            congestion: tone("400@-16/500,0/500"),
            special_information: tone("950@-16/330,1400@-16/330,1800@-16/330,0/1000"),
            call_waiting: tone("400*16@-19/64,0/436,400*16@-19/64,0/3436"),
            howler: tone("400@-3/100,0/100"),
        }
    }

    /// North America: the precise tone plan.
    #[must_use]
    pub fn north_america() -> Self {
        Self {
            name: "North America",
            dial: tone("350+440@-13"),
            second_dial: tone(
                "!350+440@-13/100,!0/100,!350+440@-13/100,!0/100,!350+440@-13/100,!0/100,350+440@-13",
            ),
            ring_back: tone("440+480@-19/2000,0/4000"),
            busy: tone("480+620@-24/500,0/500"),
            congestion: tone("480+620@-24/250,0/250"),
            special_information: tone("913.8@-24/274,1370.6@-24/274,1776.7@-24/380,0/1000"),
            call_waiting: tone("440@-13/300,0/9700"),
            howler: tone("1400+2060+2450+2600@-6/100,0/100"),
        }
    }

    /// ITU-T E.180 as most of Europe has it: 425 Hz.
    #[must_use]
    pub fn europe() -> Self {
        Self {
            name: "Europe",
            dial: tone("425@-10"),
            second_dial: tone("425@-10/500,0/50"),
            ring_back: tone("425@-10/1000,0/4000"),
            busy: tone("425@-10/500,0/500"),
            congestion: tone("425@-10/250,0/250"),
            special_information: tone("950@-10/330,1400@-10/330,1800@-10/330,0/1000"),
            call_waiting: tone("425@-15/200,0/600,425@-15/200,0/3000"),
            howler: tone("1400+2060+2450+2600@-6/100,0/100"),
        }
    }

    /// All that are here.
    #[must_use]
    pub fn all() -> [Self; 3] {
        [Self::japan(), Self::north_america(), Self::europe()]
    }
}

/// A tone of this file's own text, which the tests parse.
fn tone(text: &str) -> Tone {
    text.parse().unwrap_or(Tone { steps: Vec::new(), rounds: Some(0), repeated_from: 0 })
}

/// Why a text is no tone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` in a tone: {expected}")]
pub struct ToneError {
    /// The part that could not be understood.
    pub part: String,
    /// What it should be.
    pub expected: &'static str,
}

impl FromStr for Tone {
    type Err = ToneError;

    fn from_str(text: &str) -> Result<Self, ToneError> {
        let mut steps = Vec::new();
        let mut repeated_from = 0;
        for part in text.split(',') {
            let part = part.trim();
            let (once, step) = part.strip_prefix('!').map_or((false, part), |rest| (true, rest));
            let step = parse_step(step).ok_or(ToneError {
                part: part.into(),
                expected: "sines such as 350+440@-13, then /milliseconds",
            })?;
            if step.duration_ms.is_none() && step.sines.is_empty() {
                return Err(ToneError { part: part.into(), expected: "a silence with a duration" });
            }
            steps.push(step);
            if once {
                if repeated_from + 1 != steps.len() {
                    return Err(ToneError { part: part.into(), expected: "steps with ! before all others" });
                }
                repeated_from = steps.len();
            }
        }
        // Only steps with a `!`: all of them once.
        let rounds = (repeated_from == steps.len()).then_some(1);
        let repeated_from = if rounds.is_some() { 0 } else { repeated_from };
        Ok(Self { steps, rounds, repeated_from })
    }
}

fn parse_step(text: &str) -> Option<Step> {
    let (sines, duration_ms) = match text.split_once('/') {
        Some((sines, duration)) => (sines, Some(duration.parse().ok()?)),
        None => (text, None),
    };
    let (frequencies, level_dbm0) = match sines.split_once('@') {
        Some((frequencies, level)) => {
            (frequencies, level.parse().ok().filter(|level: &f64| level.is_finite())?)
        }
        None => (sines, -13.0),
    };
    if frequencies == "0" {
        return Some(Step { sines: Vec::new(), duration_ms });
    }
    let sines =
        frequencies.split('+').map(|frequency| parse_sine(frequency, level_dbm0)).collect::<Option<_>>()?;
    Some(Step { sines, duration_ms })
}

fn parse_sine(text: &str, level_dbm0: f64) -> Option<Sine> {
    let hertz = |text: &str| text.parse().ok().filter(|hz: &f64| *hz > 0.0 && *hz < 24_000.0);
    let (carrier, modulation) = match text.split_once('*') {
        Some((carrier, modulation)) => {
            (carrier, Some(Modulation { frequency_hz: hertz(modulation)?, depth: 0.85 }))
        }
        None => (text, None),
    };
    Some(Sine { frequency_hz: hertz(carrier)?, level_dbm0, modulation })
}
