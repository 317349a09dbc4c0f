//! Between a signalling machine and whoever moves its bytes: what a driver must do, and in what words.
//!
//! No socket and no runtime is in here: [`crate::tokio`] is one driver, a simulated network is another. A machine that
//! wraps an endpoint of `denwa_sip_core` implements [`Machine`]: its outputs are the endpoint's, and besides those commands
//! for the media, questions of its own, and events for the program.

use crate::bridge;
use bytes::Bytes;
use denwa_sip_core::io::{
    Input, Lookup, Output as SipOutput, Protocol, QueryId, Question, RouteInfo, StreamId, Transmit,
};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// A machine that a signalling driver can run: the contract of every machine here, with media and commands beside it.
pub trait Machine: Send + 'static {
    /// What the program's other threads may ask of it: answers of its store, a key pressed, the end.
    type Command: Send + 'static;
    /// What it tells the program: questions to the store, calls begun and ended.
    type Event: Send + 'static;

    /// The network did something.
    fn handle_input(&mut self, input: Input<'_>, now: Instant);

    /// The media told something.
    fn handle_media(&mut self, event: bridge::Event, now: Instant);

    /// The driver found the answer to [`Output::Ask`].
    fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant);

    /// The program asks for something.
    fn handle_command(&mut self, command: Self::Command, now: Instant);

    /// Something happened to a UDP port of the machine's own. Machines that leave media to a bridge have none.
    fn handle_port(&mut self, port: PortId, news: PortNews<'_>, now: Instant) {
        let _ = (port, news, now);
    }

    /// Writes the next packet that is to leave by a port of the machine's own into `buffer`; `None` when there is none.
    /// Asked after each of the above, before [`Machine::poll_output`].
    fn next_packet(&mut self, buffer: &mut [u8], now: Instant) -> Option<PortPacket> {
        let _ = (buffer, now);
        None
    }

    /// A deadline has come.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to be done; `None` when there is nothing.
    fn poll_output(&mut self) -> Option<Output<Self::Event>>;

    /// When [`Machine::handle_timeout`] is wanted; `None` when nothing is to come.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What a machine wants done. A driver must know every kind.
#[derive(Clone, Debug)]
pub enum Output<E> {
    /// Send this.
    Transmit(Transmit),
    /// Make a connection; answered by `StreamOpened` or `StreamFailed`.
    OpenStream {
        /// Its number from now on.
        stream: StreamId,
        /// Over which transport.
        protocol: Protocol,
        /// From which own address; `None` leaves it to the system.
        local: Option<SocketAddr>,
        /// Where to.
        remote: SocketAddr,
        /// For TLS and WebSocket: the name the peer must prove.
        server_name: Option<Arc<str>>,
    },
    /// Close a connection when everything transmitted on it has been written; answered by `StreamClosed`.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Ask the DNS; answered by `Resolved`.
    Resolve {
        /// Names the question in the answer.
        id: QueryId,
        /// What to ask.
        question: Question,
    },
    /// Ask the system which way a packet would leave; answered by `Routed`.
    Route {
        /// Names the question in the answer.
        id: QueryId,
        /// The packet's destination.
        destination: SocketAddr,
    },
    /// A question of the machine's own, apart from those of its endpoint; answered by [`Machine::handle_answer`].
    Ask {
        /// Names the question in the answer.
        question: u64,
        /// What to find out.
        what: Ask,
    },
    /// Tell the media.
    Media(bridge::Command),
    /// Open a UDP port of the machine's own; answered by [`PortNews::Opened`] or [`PortNews::NotOpened`].
    OpenPort {
        /// Its name from now on.
        port: PortId,
        /// Where; port 0 lets the system choose.
        address: SocketAddr,
    },
    /// Close it, after what was sent from it before.
    ClosePort {
        /// Which.
        port: PortId,
    },
    /// Send a datagram from it.
    SendFromPort {
        /// Which.
        port: PortId,
        /// Where to.
        destination: SocketAddr,
        /// What.
        payload: Bytes,
    },
    /// Tell the program.
    Event(E),
    /// Nothing more is to be done: send what was transmitted, then end.
    Stop,
}

/// Names a UDP port of a machine's own. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u64);

/// What happened to a UDP port.
#[derive(Debug)]
pub enum PortNews<'a> {
    /// It is open.
    Opened {
        /// Where, with the port the system chose when that was left to it.
        address: SocketAddr,
    },
    /// It could not be opened; its name is unknown from now on.
    NotOpened {
        /// Why.
        reason: bridge::OpenFailure,
    },
    /// A datagram came, and may be changed in place.
    Datagram {
        /// Who sent it.
        remote: SocketAddr,
        /// Its bytes.
        payload: &'a mut [u8],
    },
    /// The system says that a datagram was not delivered.
    Unreachable {
        /// Where it went.
        destination: SocketAddr,
    },
}

/// A packet in the caller's buffer, to be sent from a port of the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPacket {
    /// From which port.
    pub port: PortId,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides, while it is not known which of two is right.
    pub also: Option<SocketAddr>,
    /// How many octets of the buffer.
    pub length: usize,
}

/// What a driver can find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Which way would a packet to here leave?
    Route(SocketAddr),
    /// Which addresses has this host?
    Addresses(String),
}

/// What it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The way; `None` when there is none.
    Route(Option<RouteInfo>),
    /// The addresses, in the order the system prefers; empty when the name is unknown, or nobody answered.
    Addresses(Vec<IpAddr>),
}

impl Output<Infallible> {
    /// What holds no event is an output of every kind of event.
    pub fn widen<E>(self) -> Output<E> {
        match self.sort() {
            Ok(never) => match never {},
            Err(rest) => rest,
        }
    }
}

impl<E> Output<E> {
    /// The same with the event turned into another.
    pub fn map_event<F>(self, turn: impl FnOnce(E) -> F) -> Output<F> {
        match self.sort() {
            Ok(event) => Output::Event(turn(event)),
            Err(rest) => rest,
        }
    }

    /// The event, for a machine that wraps another and reacts to its events.
    ///
    /// # Errors
    /// Gives back what is no event; [`Output::widen`] makes it an output with any event.
    pub fn into_event(self) -> Result<E, Output<Infallible>> {
        self.sort()
    }

    /// The event, or what is an output of any kind of event.
    fn sort<F>(self) -> Result<E, Output<F>> {
        Err(match self {
            Self::Event(event) => return Ok(event),
            Self::Transmit(transmit) => Output::Transmit(transmit),
            Self::OpenStream { stream, protocol, local, remote, server_name } => {
                Output::OpenStream { stream, protocol, local, remote, server_name }
            }
            Self::CloseStream { stream } => Output::CloseStream { stream },
            Self::Resolve { id, question } => Output::Resolve { id, question },
            Self::Route { id, destination } => Output::Route { id, destination },
            Self::Ask { question, what } => Output::Ask { question, what },
            Self::Media(command) => Output::Media(command),
            Self::OpenPort { port, address } => Output::OpenPort { port, address },
            Self::ClosePort { port } => Output::ClosePort { port },
            Self::SendFromPort { port, destination, payload } => {
                Output::SendFromPort { port, destination, payload }
            }
            Self::Stop => Output::Stop,
        })
    }
}

/// An output of an endpoint, sorted for a machine around it.
#[derive(Debug)]
pub enum FromEndpoint<T> {
    /// A fact for the machine.
    Event(T),
    /// A question to the store; answered by `Provided`.
    Lookup {
        /// Names the question in the answer.
        id: QueryId,
        /// What is asked.
        lookup: Lookup,
    },
    /// For the driver.
    Driver(Output<Infallible>),
}

impl<T> From<SipOutput<T>> for FromEndpoint<T> {
    fn from(output: SipOutput<T>) -> Self {
        Self::Driver(match output {
            SipOutput::Event(event) => return Self::Event(event),
            SipOutput::Lookup { id, lookup } => return Self::Lookup { id, lookup },
            SipOutput::Transmit(transmit) => Output::Transmit(transmit),
            SipOutput::OpenStream { stream, protocol, local, remote, server_name } => {
                Output::OpenStream { stream, protocol, local, remote, server_name }
            }
            SipOutput::CloseStream { stream } => Output::CloseStream { stream },
            SipOutput::Resolve { id, question } => Output::Resolve { id, question },
            SipOutput::Route { id, destination } => Output::Route { id, destination },
        })
    }
}
