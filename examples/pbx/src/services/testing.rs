//! A stage for tests of scripts: what they see of the exchange, without one.

use std::time::{Duration, SystemTime};

use denwa_codecs::tone::plan::Plan;

use super::prompts::{Language, Prompts};
use super::script::Scene;
use crate::config::Clock;
use crate::route::Completion;

pub(super) struct Stage {
    pub(super) milliseconds: u64,
    pub(super) language: Language,
    pub(super) prompts: Prompts,
    pub(super) tones: Plan,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            milliseconds: 0,
            language: Language::English,
            prompts: Prompts::default(),
            tones: Plan::japan(),
        }
    }
}

impl Stage {
    pub(super) fn with<T>(&self, work: impl FnOnce(&Scene<'_>) -> T) -> T {
        work(&Scene {
            prompts: &self.prompts,
            language: self.language,
            caller: "1001",
            is_extension: true,
            now: SystemTime::UNIX_EPOCH + Duration::from_millis(self.milliseconds),
            clock: Clock::default(),
            tones: &self.tones,
            position: 1,
            messages: &|_| Vec::new(),
            completion: &|digits| match digits {
                "1" | "2" => Completion::Incomplete,
                "11" => Completion::Complete,
                "22" => Completion::MayGrow,
                _ => Completion::Nothing,
            },
            digit_pause: Duration::from_secs(5),
            setting: &|_, _| None,
            mailbox_limit: 100,
            message_limit: Duration::from_secs(180),
        })
    }
}
