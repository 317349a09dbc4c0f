//! Wake-up calls: ordering one for the own telephone, and being woken. `*551730` orders one at once, `*56` takes it back.

use std::time::{Duration, SystemTime};

use denwa::bridge::{Piece, Program, Source};

use super::script::{Act, Heard, Scene, Script};

/// How long a digit may take: a rotary dial needs more than a second for a nought.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a time may be no time.
const MOST_TRIES: u32 = 3;

/// The name of the setting.
pub const KEY: &str = "wake_up";

/// Takes an order.
#[derive(Debug, Default)]
pub struct Order {
    typed: String,
    tries: u32,
    is_leaving: bool,
}

impl Order {
    fn ask(&mut self, scene: &Scene<'_>, before: &[&str]) -> Vec<Act> {
        self.typed.clear();
        self.tries += 1;
        if self.tries > MOST_TRIES {
            return self.leave(scene.say(&["goodbye"]));
        }
        vec![scene.say(&[before, &["wake-up-time"]].concat()), Act::Wake(PATIENCE * 2)]
    }

    fn leave(&mut self, say: Act) -> Vec<Act> {
        self.is_leaving = true;
        vec![say]
    }

    fn take(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        let Some(minute) = minute_of_day(&self.typed) else { return self.ask(scene, &["wrong"]) };
        let (hour, minute) = (u64::from(minute / 60), u64::from(minute % 60));
        let mut pieces = scene.prompts.say(scene.language, &["wake-up-set"]);
        pieces.extend(scene.prompts.time(scene.language, hour, minute, None));
        let value = Some(format!("{hour:02}:{minute:02}"));
        let set = Act::Set { number: scene.caller.to_owned(), key: KEY, value };
        let mut acts = self.leave(Act::Play(Program::new(pieces)));
        acts.insert(0, set);
        acts
    }
}

impl Script for Order {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            // A neighbour's caller could have anybody woken.
            Heard::Answered if !scene.is_extension => self.leave(scene.say(&["not-allowed"])),
            Heard::Answered => self.ask(scene, &[]),
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            Heard::Key('#' | '*') if self.typed.is_empty() && !self.is_leaving => {
                let number = scene.caller.to_owned();
                let mut acts = self.leave(scene.say(&["cancelled"]));
                acts.insert(0, Act::Set { number, key: KEY, value: Some(String::new()) });
                acts
            }
            Heard::Key(key) if key.is_ascii_digit() && !self.is_leaving => {
                self.typed.push(key);
                match self.typed.len() {
                    0..4 => vec![Act::Hear(Source::Silence), Act::Wake(PATIENCE)],
                    _ => self.take(scene),
                }
            }
            Heard::Time if !self.is_leaving => self.ask(scene, &[]),
            _ => Vec::new(),
        }
    }
}

/// Says good morning and the time, three times.
#[derive(Debug)]
pub struct WakeUp;

impl Script for WakeUp {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => {
                let unix = scene.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
                let second = scene.clock.second_of_day(unix);
                let mut pieces = Vec::new();
                for _ in 0..3 {
                    pieces.extend(scene.prompts.say(scene.language, &["wake-up"]));
                    pieces.extend(scene.prompts.time(scene.language, second / 3_600, second / 60 % 60, None));
                    pieces.push(Piece::Pause(Duration::from_millis(800)));
                }
                vec![Act::Play(Program::new(pieces))]
            }
            Heard::Played => vec![Act::HangUp],
            _ => Vec::new(),
        }
    }
}

/// The minute of the day of `0730` or `07:30`.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let digits: String = text.chars().filter(|letter| *letter != ':').collect();
    let (hour, minute) = digits.split_at_checked(2).filter(|_| digits.len() == 4)?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    fn dial(order: &mut Order, digits: &str) -> Vec<Act> {
        let stage = Stage::default();
        let keys = digits.chars().map(|digit| stage.with(|scene| order.hear(Heard::Key(digit), scene)));
        keys.last().unwrap_or_default()
    }

    #[test]
    fn a_time_is_taken_for_the_own_telephone_only() {
        let mut order = Order::default();
        Stage::default().with(|scene| order.hear(Heard::Answered, scene));
        let acts = dial(&mut order, "0730");
        assert_eq!(acts[0], Act::Set { number: "1001".into(), key: KEY, value: Some("07:30".into()) });
        let mut order = Order::default();
        let acts = Stage::default()
            .with(|scene| order.hear(Heard::Answered, &Scene { is_extension: false, ..*scene }));
        assert!(matches!(acts[..], [Act::Play(_)]));
        assert!(dial(&mut order, "0730").is_empty(), "a stranger orders nothing");
    }

    #[test]
    fn what_is_no_time_is_asked_for_again_but_not_for_ever() {
        let mut order = Order::default();
        Stage::default().with(|scene| order.hear(Heard::Answered, scene));
        for _ in 0..2 {
            assert!(matches!(dial(&mut order, "2461")[..], [Act::Play(_), Act::Wake(_)]));
        }
        assert!(matches!(dial(&mut order, "9999")[..], [Act::Play(_)]));
        assert_eq!(Stage::default().with(|scene| order.hear(Heard::Played, scene)), [Act::HangUp]);
    }

    #[test]
    fn times_are_four_digits_of_a_day() {
        assert_eq!((minute_of_day("0730"), minute_of_day("07:30")), (Some(450), Some(450)));
        for wrong in ["", "730", "2400", "1260", "é730", "07300"] {
            assert_eq!(minute_of_day(wrong), None, "{wrong}");
        }
    }
}
