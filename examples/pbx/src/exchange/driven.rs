//! The exchange in the words of [`denwa::driver`], so that the drivers can run it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use denwa::bridge;
use denwa::driver::{self, Answer, Machine};
use denwa::farewell::Note;
use denwa_sip_core::io;

use super::{Event, Exchange, Input, Output, Packet, Question, Report, Wanted};
use crate::cabinet;
use crate::config::Config;
use crate::policy::directory::Directory;
use crate::services::prompts::Prompts;
use crate::store::thread::{StoreAnswer, StoreRequest};

/// What the program's other threads tell the exchange.
#[derive(Debug)]
pub enum Command {
    /// The store has answered.
    Stored(StoreAnswer),
    /// The cabinet has answered.
    Cabinet(cabinet::Answer),
    /// Other prompts.
    Prompts(Arc<Prompts>),
    /// The extensions there are now.
    Directory(Directory),
    /// Say how much is held.
    Report,
    /// A question; answered by [`Told::Answer`].
    Ask(u64, Question),
    /// Begin a trace, whose packets come as [`Told::Traced`], or end it.
    Trace(u64, Option<Wanted>),
    /// The file and the extensions have changed.
    Reload(Box<Config>, Directory),
    /// The clock of the machine was set; it shows this now.
    Clock(SystemTime),
    /// Everything is to end.
    ShutDown,
}

/// What the exchange tells the program.
#[derive(Debug)]
pub enum Told {
    /// Keep this in the store; answered by [`Command::Stored`].
    Store(StoreRequest),
    /// The answer to a question.
    Answer(u64, Box<Report>),
    /// A packet of a trace.
    Traced(u64, Packet),
    /// Keep or find this in the cabinet.
    Cabinet(cabinet::Request),
    /// Keep this in the journal.
    Note(Note),
    /// A fact.
    Event(Event),
}

impl Machine for Exchange {
    type Command = Command;
    type Event = Told;

    fn handle_input(&mut self, input: io::Input<'_>, now: Instant) {
        Self::handle_input(self, Input::Sip(input), now);
    }

    fn handle_media(&mut self, event: bridge::Event, now: Instant) {
        Self::handle_input(self, Input::Media(event), now);
    }

    fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant) {
        Self::handle_input(self, Input::Answered { question, answer }, now);
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        let input = match command {
            Command::Stored(answer) => Input::Stored(answer),
            Command::Cabinet(answer) => Input::Cabinet(answer),
            Command::Prompts(prompts) => Input::Prompts(prompts),
            Command::Directory(directory) => Input::Directory(directory),
            Command::Report => Input::Report,
            Command::Ask(ticket, question) => Input::Ask { ticket, question },
            Command::Trace(ticket, wanted) => Input::Trace { ticket, wanted },
            Command::Reload(file, directory) => Input::Reload(file, directory),
            Command::Clock(time) => Input::Clock(time),
            Command::ShutDown => Input::ShutDown,
        };
        Self::handle_input(self, input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_output(&mut self) -> Option<driver::Output<Told>> {
        Some(match Self::poll_output(self)? {
            Output::Transmit(transmit) => driver::Output::Transmit(transmit),
            Output::OpenStream { stream, protocol, local, remote, server_name } => {
                driver::Output::OpenStream { stream, protocol, local, remote, server_name }
            }
            Output::CloseStream { stream } => driver::Output::CloseStream { stream },
            Output::Resolve { id, question } => driver::Output::Resolve { id, question },
            Output::Route { id, destination } => driver::Output::Route { id, destination },
            Output::Ask { question, what } => driver::Output::Ask { question, what },
            Output::Media(command) => driver::Output::Media(command),
            Output::Store(request) => driver::Output::Event(Told::Store(request)),
            Output::Answer { ticket, report } => driver::Output::Event(Told::Answer(ticket, report)),
            Output::Traced { ticket, packet } => driver::Output::Event(Told::Traced(ticket, packet)),
            Output::Cabinet(request) => driver::Output::Event(Told::Cabinet(request)),
            Output::Note(note) => driver::Output::Event(Told::Note(note)),
            Output::Event(event) => driver::Output::Event(Told::Event(event)),
            Output::Stop => driver::Output::Stop,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }
}
