//! What passes between the machine and the program around it.

use bytes::Bytes;
use denwa::bridge::Sound;
use denwa::evidence::Evidence;
use denwa::farewell::Note;
use std::fmt;
use std::net::SocketAddr;

/// What the gateway tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// A line for the log.
    Line(String),
    /// A call is over, with everything known of it.
    Ended(Box<Evidence>),
    /// For a guest.
    Guest {
        /// Which.
        guest: GuestId,
        /// What.
        told: Told,
    },
    /// For the journal.
    Note(Note),
}

/// What can be asked of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// End all calls and registrations, and then itself.
    Stop,
    /// A visitor of a page, or a robot, calls.
    Visit(Box<Visit>),
    /// A guest has something to say.
    Guest {
        /// Which.
        guest: GuestId,
        /// What.
        said: Said,
    },
}

/// Somebody who is in a call and speaks no SIP: a visitor of a page, or a robot. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GuestId(pub u64);

impl fmt::Display for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest {}", self.0)
    }
}

impl GuestId {
    /// Guests that come by themselves are named by whoever receives them, with this bit; those that are called, by the machine,
    /// without it.
    pub const COMES: u64 = 1 << 63;
}

/// A guest who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Its name from now on.
    pub guest: GuestId,
    /// The side it is on.
    pub side: String,
    /// What it calls.
    pub number: String,
    /// What it says it is called.
    pub name: String,
    /// A visitor's offer; a robot has none.
    pub offer: Option<Bytes>,
    /// The address it has connected to.
    pub local: SocketAddr,
    /// The address it comes from.
    pub remote: SocketAddr,
}

/// What a guest is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// To a robot that is called: connect there, and say [`Said::Here`].
    Call {
        /// Where.
        url: String,
        /// Who calls.
        from: String,
        /// What was called.
        to: String,
        /// Samples a second, both ways.
        sample_rate_hz: u32,
    },
    /// The answer to a visitor's offer.
    Answer(Bytes),
    /// The telephone rings.
    Ringing,
    /// It was lifted.
    Answered,
    /// What the other end says.
    Sound(Sound),
    /// A key that the other end pressed.
    Digit(char),
    /// Nothing more follows.
    Over {
        /// The status that says why, as SIP has it; 200 for a good end.
        status: u16,
        /// The same for people.
        sentence: String,
    },
}

/// What a guest says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A robot that was called is there.
    Here,
    /// It is not to be had.
    NotThere(String),
    /// What it says.
    Sound(Sound),
    /// What it said and was not heard yet is to be dropped.
    Hush,
    /// Keys.
    Digits(String),
    /// It has hung up, or is gone.
    Left,
}
