//! What the exchange itself answers: a number dialled that reaches no telephone.

pub mod callback;
pub mod clock;
pub mod codes;
pub mod conference;
pub mod dial;
pub mod digits;
pub mod mailbox;
pub mod menu;
pub mod music;
pub mod page;
pub mod park;
pub mod pin;
pub mod probe;
pub mod prompts;
pub mod script;
pub mod simple;
#[cfg(test)]
mod testing;
pub mod wake;

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
    /// Calls wait here; the number after it is the first slot.
    Parking,
    /// Takes a call that rings elsewhere; followed by a number: at that extension.
    PickUp,
    /// Takes an order for a wake-up call.
    WakeUp,
    /// Calls back when whom one found busy is free.
    CallBack,
    /// A dial tone; digits one by one.
    DialTone,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 13] = [
        Self::Milliwatt,
        Self::Clock,
        Self::Greeting,
        Self::Conference,
        Self::ReadBack,
        Self::Echo,
        Self::Music,
        Self::Voicemail,
        Self::Parking,
        Self::PickUp,
        Self::WakeUp,
        Self::CallBack,
        Self::DialTone,
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
            Self::Parking => "parking",
            Self::PickUp => "pick_up",
            Self::WakeUp => "wake_up",
            Self::CallBack => "call_back",
            Self::DialTone => "dial_tone",
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
            Self::Parking => "*68",
            Self::PickUp => "*8",
            Self::WakeUp => "*55",
            Self::CallBack => "*66",
            Self::DialTone => "*0",
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
            Self::Parking => "a call transferred here waits at *6801 to *6899, whichever is said",
            Self::PickUp => "takes a call that rings elsewhere; followed by a number: there",
            Self::WakeUp => "has you woken; *550730 at once, *56 takes it back",
            Self::CallBack => "calls you back when whom you found busy is free; once more takes it back",
            Self::DialTone => "a dial tone, for telephones that dial digit by digit",
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
    /// A star code.
    Code(codes::Setting),
    /// Wait with music until somebody dials the slot.
    Park,
    /// Take the call that waits in a slot.
    Unpark(String),
    /// Take a call that rings elsewhere: at this extension, or in a group of one's own.
    PickUp(Option<String>),
    /// Ask for the PIN of a number that goes out by a trunk.
    Pin {
        /// The trunk.
        trunk: String,
        /// The number as the trunk is asked for it.
        number: String,
    },
    /// Let the telephones of this group answer by themselves, and speak to them.
    Page(String),
    /// Hear whoever pages in this room.
    Paged(String),
    /// Be woken.
    WakeUp,
    /// Be connected with this number, which was busy before.
    CallBack(String),
    /// Echo the test of a way.
    Probe,
}

impl fmt::Display for Serving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(formatter, "{service}"),
            Self::Mailbox(number) => write!(formatter, "mailbox {number}"),
            Self::Menu(number) => write!(formatter, "menu {number}"),
            Self::Queue(number) => write!(formatter, "queue {number}"),
            Self::Code(setting) => write!(formatter, "setting {}", setting.key),
            Self::Park => formatter.write_str("parking"),
            Self::Unpark(slot) => write!(formatter, "parking slot {slot}"),
            Self::PickUp(Some(number)) => write!(formatter, "pick-up of {number}"),
            Self::PickUp(None) => formatter.write_str("pick-up"),
            Self::Pin { trunk, number } => write!(formatter, "PIN for {number} by the trunk {trunk}"),
            Self::Page(group) => write!(formatter, "paging {group}"),
            Self::Paged(_) => formatter.write_str("paging"),
            Self::WakeUp => formatter.write_str("wake-up call"),
            Self::CallBack(number) => write!(formatter, "call back to {number}"),
            Self::Probe => formatter.write_str("test of the way"),
        }
    }
}
