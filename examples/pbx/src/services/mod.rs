//! What the exchange itself answers: a number dialled that reaches no telephone.

pub mod clock;
pub mod conference;
pub mod digits;
pub mod mailbox;
pub mod menu;
pub mod music;
pub mod prompts;
pub mod script;
pub mod simple;
#[cfg(test)]
mod testing;

use std::fmt;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// 1000 Hz at 0 dBm0, to set levels by.
    Milliwatt,
    /// The time of day.
    Clock,
    /// Hello, and by which number the caller is seen.
    Greeting,
    /// A room in which everybody talks with everybody.
    Conference,
    /// What is dialled is read back.
    ReadBack,
    /// The caller's own voice.
    Echo,
    /// Music.
    Music,
    /// The caller's mailbox.
    Voicemail,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 8] = [
        Self::Milliwatt,
        Self::Clock,
        Self::Greeting,
        Self::Conference,
        Self::ReadBack,
        Self::Echo,
        Self::Music,
        Self::Voicemail,
    ];

    /// Its name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milliwatt => "milliwatt",
            Self::Clock => "clock",
            Self::Greeting => "greeting",
            Self::Conference => "conference",
            Self::ReadBack => "read_back",
            Self::Echo => "echo",
            Self::Music => "music",
            Self::Voicemail => "voicemail",
        }
    }

    /// The number it has unless the file says otherwise: as is the custom in Japan's small networks.
    pub fn default_number(self) -> &'static str {
        match self {
            Self::Milliwatt => "100",
            Self::Clock => "117",
            Self::Greeting => "123",
            Self::Conference => "160",
            Self::ReadBack => "184",
            Self::Echo => "186",
            Self::Music => "188",
            Self::Voicemail => "*97",
        }
    }

    /// What it does, for people.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Milliwatt => "a tone of 1000 Hz at 0 dBm0, to set levels by",
            Self::Clock => "the time of day",
            Self::Greeting => "a greeting that tells the number you are seen by",
            Self::Conference => "a room where all who dial this talk together",
            Self::ReadBack => "the digits you dial, read back to you",
            Self::Echo => "your own voice, sent back to you",
            Self::Music => "music",
            Self::Voicemail => "your messages",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What answers a call instead of a telephone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// A service.
    Service(Service),
    /// Somebody's mailbox takes a message.
    Mailbox(String),
    /// A menu of this number.
    Menu(String),
    /// A queue of this number.
    Queue(String),
}

impl fmt::Display for Serving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(formatter, "{service}"),
            Self::Mailbox(number) => write!(formatter, "mailbox {number}"),
            Self::Menu(number) => write!(formatter, "menu {number}"),
            Self::Queue(number) => write!(formatter, "queue {number}"),
        }
    }
}
