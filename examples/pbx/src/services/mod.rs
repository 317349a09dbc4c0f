//! What the exchange itself answers: a number dialled that reaches no telephone.

use std::fmt;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// 1000 Hz at 0 dBm0, to set levels by.
    Milliwatt,
    /// The caller's own voice.
    Echo,
}

impl Service {
    /// Its name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milliwatt => "milliwatt",
            Self::Echo => "echo",
        }
    }

    /// What it does, for people.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Milliwatt => "a tone of 1000 Hz at 0 dBm0, to set levels by",
            Self::Echo => "your own voice, sent back to you",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
