//! What the exchange says: prompts in English and Japanese, numbers and times put together from them.
//!
//! The recordings are part of the program (see `prompts/README.md`); an operator's own take their place from a folder. They are
//! decoded when they are first said.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use denwa::bridge::{Piece, Program, Sound};
use denwa_codecs::g711::Law;

/// A language that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    #[default]
    Japanese,
}

impl Language {
    /// Its code in the configuration file (ISO 639-1).
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }
}

macro_rules! embedded {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../prompts/", $folder, "/", $name, ".al")))),+]
    };
}

const ENGLISH: &[(&str, &[u8])] = embedded![
    "en":
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18",
    "19", "20", "30", "40", "50", "star", "hash", "clock", "oh", "exactly", "greeting", "you-are",
    "goodbye", "dial-digits", "unknown-number", "busy", "no-answer", "absent", "circuits-busy",
    "not-allowed", "done", "cancelled", "wrong", "pin", "wrong-pin", "leave-message", "mailbox-full",
    "new-messages", "no-messages", "message-keys", "deleted", "conference-join", "conference-full",
    "alone", "muted", "unmuted", "parked-at", "queue-position", "queue-wait", "wake-up", "wake-up-set",
    "wake-up-time", "recorded", "menu", "callback"
];

const JAPANESE: &[(&str, &[u8])] = embedded![
    "ja":
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "20", "30", "40", "50", "star", "hash",
    "hour-0", "hour-1", "hour-2", "hour-3", "hour-4", "hour-5", "hour-6", "hour-7", "hour-8", "hour-9",
    "hour-10", "hour-11", "morning", "afternoon", "minute", "second", "clock-end", "exactly", "greeting",
    "you-are", "desu", "goodbye", "dial-digits", "unknown-number", "busy", "no-answer", "absent",
    "circuits-busy", "not-allowed", "done", "cancelled", "wrong", "pin", "wrong-pin", "leave-message",
    "mailbox-full", "new-messages", "no-messages", "message-keys", "deleted", "conference-join",
    "conference-full", "alone", "muted", "unmuted", "parked-at", "queue-position", "queue-wait", "wake-up",
    "wake-up-set", "wake-up-time", "recorded", "menu", "callback"
];

/// The rate of the recordings that are part of the program.
const RATE_HZ: u32 = 8_000;

/// Between two digits.
const DIGIT_PAUSE: Duration = Duration::from_millis(80);

/// See the module's words.
#[derive(Debug, Default)]
pub struct Prompts {
    /// The operator's own.
    own: HashMap<(Language, String), Sound>,
    decoded: Mutex<HashMap<(Language, &'static str), Sound>>,
}

impl Prompts {
    /// The prompts with an operator's own from `folder`: `en/NAME.wav` and the like.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn with_own(folder: &Path) -> Result<Self, String> {
        let mut own = HashMap::new();
        for language in [Language::English, Language::Japanese] {
            let Ok(entries) = std::fs::read_dir(folder.join(language.code())) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                let cannot = |error: String| format!("the prompt {} cannot be used: {error}", path.display());
                let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
                let sound = match path.extension().and_then(|extension| extension.to_str()) {
                    Some("wav") => {
                        let file = std::fs::File::open(&path).map_err(|error| cannot(error.to_string()))?;
                        read_wav(file).map_err(cannot)?
                    }
                    Some("al") => decode(&std::fs::read(&path).map_err(|error| cannot(error.to_string()))?),
                    _ => continue,
                };
                own.insert((language, name.to_owned()), sound);
            }
        }
        Ok(Self { own, decoded: Mutex::default() })
    }

    /// A prompt; half a second of silence when there is none of this name.
    pub fn get(&self, language: Language, name: &str) -> Piece {
        if let Some(sound) = self.own.get(&(language, name.to_owned())) {
            return Piece::Sound(sound.clone());
        }
        let table = match language {
            Language::English => ENGLISH,
            Language::Japanese => JAPANESE,
        };
        let Some((name, bytes)) = table.iter().find(|(own, _)| *own == name) else {
            return Piece::Pause(Duration::from_millis(500));
        };
        let mut decoded = self.decoded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Piece::Sound(decoded.entry((language, name)).or_insert_with(|| decode(bytes)).clone())
    }

    /// What is said, prompt after prompt.
    pub fn say(&self, language: Language, names: &[&str]) -> Vec<Piece> {
        names.iter().map(|name| self.get(language, name)).collect()
    }

    /// Digits one by one.
    pub fn digits(&self, language: Language, digits: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for digit in digits.chars() {
            let name = match digit {
                '*' => "star".to_owned(),
                '#' => "hash".to_owned(),
                digit => digit.to_string(),
            };
            pieces.push(self.get(language, &name));
            pieces.push(Piece::Pause(DIGIT_PAUSE));
        }
        pieces
    }

    /// A number from 0 to 99.
    pub fn number(&self, language: Language, number: u64) -> Vec<Piece> {
        let names: Vec<String> = match (language, number) {
            (_, 0..=10) | (Language::English, 11..=19) => vec![number.to_string()],
            (Language::Japanese, 11..=19) => vec!["10".to_owned(), (number % 10).to_string()],
            (_, 20..=59) if number.is_multiple_of(10) => vec![number.to_string()],
            (_, 20..=59) => vec![(number / 10 * 10).to_string(), (number % 10).to_string()],
            _ => return self.digits(language, &number.to_string()),
        };
        names.iter().map(|name| self.get(language, name)).collect()
    }

    /// A time of day, as a speaking clock says it; the seconds only when given.
    pub fn time(&self, language: Language, hour: u64, minute: u64, second: Option<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        match language {
            Language::Japanese => {
                pieces.push(self.get(language, if hour < 12 { "morning" } else { "afternoon" }));
                pieces.push(self.get(language, &format!("hour-{}", hour % 12)));
                pieces.extend(self.number(language, minute));
                pieces.push(self.get(language, "minute"));
                if let Some(second) = second {
                    if second == 0 {
                        pieces.push(self.get(language, "exactly"));
                    } else {
                        pieces.extend(self.number(language, second));
                        pieces.push(self.get(language, "second"));
                    }
                }
            }
            Language::English => {
                pieces.extend(self.number(language, hour));
                match minute {
                    0 => pieces.push(self.get(language, "exactly")),
                    1..=9 => {
                        pieces.push(self.get(language, "oh"));
                        pieces.extend(self.number(language, minute));
                    }
                    _ => pieces.extend(self.number(language, minute)),
                }
                if let Some(second) = second {
                    pieces.push(Piece::Pause(Duration::from_millis(150)));
                    pieces.extend(self.number(language, second));
                }
            }
        }
        pieces
    }
}

/// Plays these pieces once.
pub fn program(pieces: Vec<Piece>) -> Program {
    Program::new(pieces)
}

fn decode(bytes: &[u8]) -> Sound {
    let samples: Vec<i16> = bytes.iter().map(|byte| Law::A.decode(*byte)).collect();
    Sound::new(samples, RATE_HZ)
}

fn read_wav(file: std::fs::File) -> Result<Sound, String> {
    let sound = denwa_codecs::wav::read(file).map_err(|error| error.to_string())?;
    Ok(Sound::new(sound.samples, sound.sample_rate_hz))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(pieces: &[Piece]) -> Duration {
        pieces.iter().filter_map(Piece::duration).sum()
    }

    #[test]
    fn every_number_and_every_time_can_be_said() {
        let prompts = Prompts::default();
        for language in [Language::English, Language::Japanese] {
            let missing = |pieces: &[Piece]| {
                pieces.iter().any(|piece| *piece == Piece::Pause(Duration::from_millis(500)))
            };
            for number in 0..100 {
                assert!(!missing(&prompts.number(language, number)), "{language:?} {number}");
            }
            for hour in 0..24 {
                for minute in 0..60 {
                    let said = prompts.time(language, hour, minute, Some(minute));
                    assert!(!missing(&said), "{language:?} {hour}:{minute}");
                    assert!(length(&said) < Duration::from_secs(7), "{language:?} {hour}:{minute}");
                }
            }
            assert!(!missing(&prompts.digits(language, "0123456789*#")));
        }
    }
}
