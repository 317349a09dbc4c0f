//! A menu: a prompt, and a number to be called for each key. A queue: music, the place in it, and trying again.

use std::collections::BTreeMap;
use std::time::Duration;

use denwa::bridge::{Program, Source};

use super::music::{on_hold, ring_back};
use super::prompts::Language;
use super::script::{Act, Heard, Scene, Script};

/// A menu.
#[derive(Debug)]
pub struct Menu {
    choices: BTreeMap<char, String>,
    otherwise: Option<String>,
    prompt: String,
    patience: Duration,
    rounds: u32,
    is_leaving: bool,
}

impl Menu {
    /// A menu with a prompt of this name, and what is called when no key comes.
    pub fn new(
        prompt: String,
        choices: BTreeMap<char, String>,
        otherwise: Option<String>,
        patience: Duration,
    ) -> Self {
        Self { choices, otherwise, prompt, patience, rounds: 0, is_leaving: false }
    }

    fn ask(&mut self, scene: &Scene<'_>) -> Vec<Act> {
        self.rounds += 1;
        if self.rounds > 3 {
            self.is_leaving = true;
            return vec![scene.say(&["goodbye"])];
        }
        vec![scene.say(&[&self.prompt])]
    }
}

impl Script for Menu {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => self.ask(scene),
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            Heard::Played => vec![Act::Wake(self.patience)],
            Heard::Key(key) => match self.choices.get(&key) {
                Some(number) => vec![Act::Hear(ring_back(scene.tones)), Act::Call(number.clone())],
                None => self.ask(scene),
            },
            Heard::Time => match self.otherwise.clone() {
                Some(number) => vec![Act::Hear(ring_back(scene.tones)), Act::Call(number)],
                None => self.ask(scene),
            },
            Heard::NotReached(_) => vec![scene.say(&["no-answer"])],
            _ => Vec::new(),
        }
    }
}

/// A queue: the caller waits with music and is told his place; whoever is first has its members tried again and again.
#[derive(Debug)]
pub struct Queue {
    /// The group that is tried.
    group: String,
    again: Duration,
    give_up: Duration,
    waited: Duration,
    otherwise: Option<String>,
    /// The place that was told last, and how long ago.
    told: (usize, Duration),
    is_leaving: bool,
}

/// A place that has not changed is told again after this.
const TELL_AGAIN: Duration = Duration::from_secs(60);

impl Queue {
    /// A queue for a group of extensions, tried every so often, until the caller has waited for so long.
    pub fn new(group: String, again: Duration, give_up: Duration, otherwise: Option<String>) -> Self {
        let told = (0, Duration::ZERO);
        Self { group, again, give_up, waited: Duration::ZERO, otherwise, told, is_leaving: false }
    }

    /// Tells the place, when there is something to tell.
    fn tell(&mut self, scene: &Scene<'_>) -> Option<Act> {
        let (told, since) = self.told;
        let is_news = told != scene.position || since >= TELL_AGAIN;
        // Whoever is next is not told so again and again, while telephones ring for him.
        if !is_news || told == scene.position && scene.position <= 1 {
            return None;
        }
        self.told = (scene.position, Duration::ZERO);
        let mut pieces = scene.prompts.say(scene.language, &["queue-position"]);
        pieces.extend(scene.prompts.number(scene.language, scene.position as u64));
        if scene.language == Language::Japanese {
            pieces.extend(scene.prompts.say(scene.language, &["desu"]));
        }
        Some(Act::Play(Program::new(pieces)))
    }

    /// Only the first has telephones ring: who came earlier is served earlier.
    fn next(&self, scene: &Scene<'_>) -> Act {
        if scene.position <= 1 { Act::Call(self.group.clone()) } else { Act::Wake(self.again) }
    }
}

impl Script for Queue {
    fn hear(&mut self, heard: Heard, scene: &Scene<'_>) -> Vec<Act> {
        match heard {
            Heard::Answered => {
                let mut pieces = scene.prompts.say(scene.language, &["queue-wait"]);
                if let Some(Act::Play(place)) = self.tell(scene) {
                    pieces.extend(place.pieces().iter().cloned());
                }
                vec![Act::Play(Program::new(pieces)), self.next(scene)]
            }
            Heard::Played if self.is_leaving => vec![Act::HangUp],
            Heard::Played => vec![Act::Hear(Source::Program(on_hold()))],
            Heard::NotReached(_) if self.is_leaving => vec![Act::HangUp],
            Heard::NotReached(_) => vec![Act::Wake(self.again)],
            Heard::Time => {
                self.waited += self.again;
                self.told.1 += self.again;
                if self.waited < self.give_up {
                    return self.tell(scene).into_iter().chain([self.next(scene)]).collect();
                }
                self.is_leaving = true;
                match self.otherwise.clone() {
                    Some(number) => vec![Act::Call(number)],
                    None => vec![scene.say(&["no-answer", "goodbye"])],
                }
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn who_is_first_is_tried_and_others_are_told_their_place_when_it_changes() {
        let stage = Stage::default();
        let mut queue = Queue::new("600".into(), Duration::from_secs(5), Duration::from_secs(600), None);
        let mut hear = |heard: Heard, position: usize| {
            stage.with(|scene| queue.hear(heard, &Scene { position, ..*scene }))
        };
        assert!(matches!(hear(Heard::Answered, 3)[..], [Act::Play(_), Act::Wake(_)]));
        assert!(matches!(hear(Heard::Time, 3)[..], [Act::Wake(_)]), "nothing new");
        assert!(matches!(hear(Heard::Time, 2)[..], [Act::Play(_), Act::Wake(_)]));
        assert!(matches!(hear(Heard::Time, 1)[..], [Act::Play(_), Act::Call(_)]));
        assert!(matches!(hear(Heard::Time, 1)[..], [Act::Call(_)]));
    }
}
