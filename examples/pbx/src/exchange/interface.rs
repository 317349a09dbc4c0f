//! What goes into an exchange and what comes out: plain data, so that it has no socket, no clock and no file.

use std::time::SystemTime;

use denwa::bridge;
use denwa::driver::{Answer, Ask};
use denwa::farewell::Note;
use denwa::media::Identity;
use denwa_sip_core::endpoint;
use denwa_sip_core::io::{self, Protocol, QueryId, StreamId, Transmit};

use super::{Event, Packet, Question, Report, Wanted};
use crate::cabinet;
use crate::config::{self, Config};
use crate::policy::directory::Directory;
use crate::services::prompts::Prompts;
use crate::store::StoredBinding;
use crate::store::thread::{StoreAnswer, StoreRequest};

/// What the generators inside start from. Draw it from the system's entropy.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// What an exchange is made of.
#[derive(Debug)]
pub struct ExchangeConfig {
    /// The operator's file.
    pub file: Config,
    /// The extensions of file and store.
    pub directory: Directory,
    /// The registrations of the store.
    pub registrations: Vec<StoredBinding>,
    /// Where the sockets really are; the file's `listen`, less what this machine lacks.
    pub listening: Vec<config::Listen>,
    /// The certificate that peers are shown who agree on keys by DTLS; they are refused without one.
    pub identity: Option<Identity>,
    /// The number of the first call; above every number in the store.
    pub first_call: u64,
    /// The time of day at the `now` of [`Exchange::new`](super::Exchange::new).
    pub time: SystemTime,
}

/// What the network, the store and the media plane tell the exchange.
#[derive(Debug)]
pub enum Input<'a> {
    /// Everything the endpoint takes, answers to [`Output::Route`] and [`Output::Resolve`] included.
    Sip(io::Input<'a>),
    /// The answer to [`Output::Ask`].
    Answered {
        /// Which question.
        question: u64,
        /// What was found.
        answer: Answer,
    },
    /// The media plane.
    Media(bridge::Event),
    /// The store.
    Stored(StoreAnswer),
    /// The cabinet.
    Cabinet(cabinet::Answer),
    /// Other prompts than those that are part of the program.
    Prompts(std::sync::Arc<Prompts>),
    /// The extensions there are now.
    Directory(Directory),
    /// Say how much is held: [`Event::Holding`].
    Report,
    /// A question of a command; answered by [`Output::Answer`].
    Ask {
        /// Given back with the answer.
        ticket: u64,
        /// What is asked.
        question: Question,
    },
    /// Copy what goes in and out, as [`Output::Traced`], until told otherwise.
    Trace {
        /// Given with each copy.
        ticket: u64,
        /// What is copied; `None` ends it.
        wanted: Option<Wanted>,
    },
    /// The file and the extensions have changed. What cannot change while the exchange runs (where it listens, its ports,
    /// its realm) is to be what it was.
    Reload(Box<Config>, Directory),
    /// The clock of the machine shows this now, which need not be what it showed before and what has passed since.
    Clock(SystemTime),
    /// Everything is to end.
    ShutDown,
}

/// What the exchange asks for.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Make a connection; answered by `StreamOpened` or `StreamFailed`.
    OpenStream {
        /// Its number from now on.
        stream: StreamId,
        /// Over which transport.
        protocol: Protocol,
        /// From which own address; `None` leaves it to the system.
        local: Option<std::net::SocketAddr>,
        /// Where to.
        remote: std::net::SocketAddr,
        /// The name the peer must prove, for TLS.
        server_name: Option<std::sync::Arc<str>>,
    },
    /// Close a connection once what was transmitted on it is written.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Ask the DNS; answered by `Resolved`.
    Resolve {
        /// Names the question.
        id: QueryId,
        /// What to ask.
        question: io::Question,
    },
    /// Ask the system by which way a packet would leave; answered by `Routed`.
    Route {
        /// Names the question.
        id: QueryId,
        /// The packet's destination.
        destination: std::net::SocketAddr,
    },
    /// A question of the exchange's own about a route or a name; answered by [`Input::Answered`].
    Ask {
        /// Names the question.
        question: u64,
        /// What to find out.
        what: Ask,
    },
    /// Tell the media plane.
    Media(bridge::Command),
    /// Keep this in the store.
    Store(StoreRequest),
    /// Keep or find this in the cabinet.
    Cabinet(cabinet::Request),
    /// Keep this in the journal, for the next start.
    Note(Note),
    /// The answer to [`Input::Ask`].
    Answer {
        /// The ticket of the question.
        ticket: u64,
        /// The answer.
        report: Box<Report>,
    },
    /// A copy for a trace.
    Traced {
        /// The ticket of the trace.
        ticket: u64,
        /// The copy.
        packet: Packet,
    },
    /// Something the program should know.
    Event(Event),
    /// Everything has ended; nothing more will come.
    Stop,
}

/// How much an exchange holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Calls, those that are ending included.
    pub calls: usize,
    /// Ports in use for voice.
    pub ports: usize,
    /// What the endpoint holds.
    pub sip: endpoint::Counts,
    /// Messages that could not be used, ever.
    pub hostile: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} calls, {} dialogs, {} transactions, {} media ports, {} registrations",
            self.calls,
            self.sip.dialogs,
            self.sip.clients + self.sip.servers,
            self.ports,
            self.sip.bindings
        )
    }
}
