//! A user agent with somebody at it, who hears of everything at once and may act at once, on the driver's own thread.
//!
//! What a program does on its other threads comes later than the event it answers; at twenty milliseconds a sound that is
//! sometimes too late. An [`Attendant`] says the next words before the packet leaves. `denwa::tokio::Telephone` is built so.

use super::{Event, UserAgent};
use crate::bridge;
use crate::driver::{Answer, Machine, Output, PortId, PortNews, PortPacket};
use denwa_sip_core::Input;
use std::collections::VecDeque;
use std::time::Instant;

/// Who sits at a user agent.
pub trait Attendant: Send + 'static {
    /// What the program may ask.
    type Command: Send + 'static;
    /// What the program is told.
    type Event: Send + 'static;

    /// The user agent told something.
    fn handle_event(&mut self, agent: &mut UserAgent, event: Event, now: Instant);

    /// The program asks for something.
    fn handle_command(&mut self, agent: &mut UserAgent, command: Self::Command, now: Instant);

    /// A deadline of the attendant's own has come.
    fn handle_timeout(&mut self, agent: &mut UserAgent, now: Instant) {
        let _ = (agent, now);
    }

    /// What the program is to be told next; `None` when there is nothing.
    fn poll_event(&mut self) -> Option<Told<Self::Event>>;

    /// When [`Attendant::handle_timeout`] is wanted; `None` when never.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// What an attendant wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<E> {
    /// Tell the program.
    Event(E),
    /// Everything is over: the driver ends.
    Stop,
}

/// A user agent and its attendant as one machine.
#[derive(Debug)]
pub struct Attended<A: Attendant> {
    agent: UserAgent,
    attendant: A,
    outputs: VecDeque<Output<A::Event>>,
}

impl<A: Attendant> Attended<A> {
    /// Puts somebody at a user agent.
    pub fn new(agent: UserAgent, attendant: A) -> Self {
        Self { agent, attendant, outputs: VecDeque::new() }
    }

    /// The user agent, to look at.
    pub fn agent(&self) -> &UserAgent {
        &self.agent
    }

    /// Who sits at it.
    pub fn attendant(&self) -> &A {
        &self.attendant
    }

    /// The attendant hears of everything, and what he does about it has its own consequences.
    fn drain(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.agent.poll_output() {
                match output.into_event() {
                    Ok(event) => self.attendant.handle_event(&mut self.agent, event, now),
                    Err(rest) => self.outputs.push_back(rest.widen()),
                }
            }
            match self.attendant.poll_event() {
                Some(Told::Event(event)) => self.outputs.push_back(Output::Event(event)),
                Some(Told::Stop) => self.outputs.push_back(Output::Stop),
                None => return,
            }
        }
    }
}

impl<A: Attendant> Machine for Attended<A> {
    type Command = A::Command;
    type Event = A::Event;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.agent.handle_input(input, now);
        self.drain(now);
    }

    fn handle_media(&mut self, event: bridge::Event, now: Instant) {
        self.agent.handle_media(event, now);
        self.drain(now);
    }

    fn handle_answer(&mut self, question: u64, answer: Answer, now: Instant) {
        self.agent.handle_answer(question, answer, now);
        self.drain(now);
    }

    fn handle_command(&mut self, command: A::Command, now: Instant) {
        self.attendant.handle_command(&mut self.agent, command, now);
        self.drain(now);
    }

    fn handle_port(&mut self, port: PortId, news: PortNews<'_>, now: Instant) {
        self.agent.handle_port(port, news, now);
        self.drain(now);
    }

    fn next_packet(&mut self, buffer: &mut [u8], now: Instant) -> Option<PortPacket> {
        self.agent.next_packet(buffer, now)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.attendant.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.attendant.handle_timeout(&mut self.agent, now);
        }
        if self.agent.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.agent.handle_timeout(now);
        }
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<A::Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.attendant.poll_timeout().into_iter().chain(self.agent.poll_timeout()).min()
    }
}
