//! A stage for tests of scripts: what they see of the exchange, without one.

use std::time::{Duration, SystemTime};

use super::prompts::{Language, Prompts};
use super::script::Scene;
use crate::config::Clock;

pub(super) struct Stage {
    pub(super) milliseconds: u64,
    pub(super) language: Language,
    pub(super) prompts: Prompts,
}

impl Default for Stage {
    fn default() -> Self {
        Self { milliseconds: 0, language: Language::English, prompts: Prompts::default() }
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
            messages: &|_| Vec::new(),
            setting: &|_, _| None,
            mailbox_limit: 100,
            message_limit: Duration::from_secs(180),
        })
    }
}
