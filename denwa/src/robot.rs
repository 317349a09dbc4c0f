//! The words that a telephone call and a voice robot exchange over a WebSocket; no socket in here.
//!
//! Sound is binary messages of 16-bit linear PCM, little-endian, one channel, of any length, both ways at the rate that the
//! first message says. Everything else is text:
//!
//! ```text
//! to the robot    {"event":"start","call":"…","from":"…","to":"…","format":{"encoding":"pcm_s16le","sample_rate":16000,"channels":1}}
//!                 {"event":"digit","digit":"5"}      a key was pressed
//!                 {"event":"stop"}                   the call is over
//! from the robot  {"event":"clear"}                  what was not heard yet is dropped: it was interrupted
//!                 {"event":"digits","digits":"12#"}  keys are pressed
//!                 {"event":"hangup"}                 the call is to end
//! ```

/// The first message to a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// Names the call.
    pub call: &'a str,
    /// Who calls.
    pub from: &'a str,
    /// What was called.
    pub to: &'a str,
    /// Samples a second, both ways.
    pub sample_rate_hz: u32,
}

impl Start<'_> {
    /// The message.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { call, from, to, sample_rate_hz } = self;
        let (call, from, to) = (quoted(call), quoted(from), quoted(to));
        format!(
            r#"{{"event":"start","call":{call},"from":{from},"to":{to},"format":{{"encoding":"pcm_s16le","sample_rate":{sample_rate_hz},"channels":1}}}}"#
        )
    }
}

/// The message that a key was pressed.
#[must_use]
pub fn digit(digit: char) -> String {
    let digit = quoted(digit.encode_utf8(&mut [0; 4]));
    format!(r#"{{"event":"digit","digit":{digit}}}"#)
}

/// The message that the call is over.
#[must_use]
pub fn stop() -> String {
    r#"{"event":"stop"}"#.to_owned()
}

/// What a robot says by text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What it said and was not heard yet is to be dropped.
    Clear,
    /// It presses these keys.
    Digits(String),
    /// It hangs up.
    HangUp,
    /// Something else, which is passed over.
    Other,
}

impl Said {
    /// Reads a text message.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let Some(fields) = fields(text) else { return Self::Other };
        let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        match field("event") {
            Some("clear") => Self::Clear,
            Some("hangup") => Self::HangUp,
            Some("digits") => field("digits").map_or(Self::Other, |digits| Self::Digits(digits.to_owned())),
            _ => Self::Other,
        }
    }
}

/// Samples as a binary message.
#[must_use]
pub fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Binary messages as samples: one that ends amid a sample is completed by the next.
#[derive(Clone, Debug, Default)]
pub struct SoundReader {
    half: Option<u8>,
}

impl SoundReader {
    /// The samples that this message completes.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<i16> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        for byte in bytes {
            match self.half.take() {
                None => self.half = Some(*byte),
                Some(low) => samples.push(i16::from_le_bytes([low, *byte])),
            }
        }
        samples
    }
}

/// A string of JSON (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if u32::from(control) < 0x20 => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)))
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The fields of a flat object whose values are strings; `None` for anything else, since nothing else is said.
fn fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut fields = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix('}') {
            return end.is_empty().then_some(fields);
        }
        let (name, after) = string(rest)?;
        let (value, after) = string(after.trim_start().strip_prefix(':')?.trim_start())?;
        fields.push((name, value));
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
}

/// The string at the beginning, and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                'u' => {
                    let digits: String = characters.by_ref().take(4).collect();
                    value.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_says_all() {
        let start = Start { call: "call 1", from: "a\"b\\c\n", to: "200", sample_rate_hz: 16_000 };
        let value: serde_json::Value = serde_json::from_str(&start.to_text()).unwrap();
        assert_eq!((value["event"].as_str(), value["from"].as_str()), (Some("start"), Some("a\"b\\c\n")));
        assert_eq!(value["format"]["sample_rate"], 16_000);
        assert_eq!(digit('#'), r##"{"event":"digit","digit":"#"}"##);
    }

    #[test]
    fn what_robots_say_is_read_and_nonsense_passed_over() {
        assert_eq!(Said::read(r#"{"event":"clear"}"#), Said::Clear);
        assert_eq!(Said::read(" { \"event\" : \"hangup\" , \"why\": \"d\\u006fne\" } "), Said::HangUp);
        assert_eq!(Said::read(r#"{"event":"digits","digits":"1*"}"#), Said::Digits("1*".to_owned()));
        for text in [
            "",
            "{",
            "}",
            "{}",
            "[]",
            "{\"event\"}",
            "{\"event\":\"clear\"",
            "{\"event\":{}}",
            "{\"a\":\"\\u12\"}",
        ] {
            assert_eq!(Said::read(text), Said::Other, "{text}");
        }
    }

    #[test]
    fn sound_may_be_cut_anywhere() {
        let samples: Vec<i16> = (-50..50).map(|it| it * 300).collect();
        let bytes = to_bytes(&samples);
        for length in 1..9 {
            let mut reader = SoundReader::default();
            let read: Vec<i16> = bytes.chunks(length).flat_map(|piece| reader.read(piece)).collect();
            assert_eq!(read, samples);
        }
    }
}
