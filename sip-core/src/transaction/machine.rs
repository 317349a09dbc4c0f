//! What the four machines have in common: each gets a fact, gives back its next state, and says what is to be done by
//! [`Action`]s. They know neither messages nor sockets, so that every arrow of the RFC's figures can be walked in a test.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use smallvec::SmallVec;

use super::event::EndReason;
use crate::{config::TimerConfig, message::StatusCode};

/// One of the two deadlines a transaction can have at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// Sends something again: timers A, E, G, and the wait before a 100.
    Resend,
    /// Ends the state: timers B, D, F, H, I, J, K, L, M.
    GiveUp,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send the request (client) or the last response (server), again or for the first time.
    Transmit,
    /// Make and send a 100 (server).
    SendTrying,
    /// Make and send the ACK to this failure (client INVITE).
    Acknowledge,
    /// Give the response to the transaction user (client).
    Deliver,
    /// Arm a timer, in place of what it was armed for.
    Arm(Timer, Duration),
    /// Disarm a timer.
    Disarm(Timer),
    /// The transaction is over.
    End(EndReason),
}

/// What a machine sees of its surroundings.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) timers: &'a TimerConfig,
    /// Whether the transport repeats what is lost.
    pub(crate) is_reliable: bool,
    /// Whether another server can be tried after this one (RFC 3263 §4.3).
    pub(crate) has_alternative: bool,
    /// Whether nobody wants the final response of this INVITE any more (client).
    pub(crate) is_unwanted: bool,
    pub(crate) actions: SmallVec<[Action; 6]>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(timers: &'a TimerConfig, is_reliable: bool, has_alternative: bool) -> Self {
        Self { timers, is_reliable, has_alternative, is_unwanted: false, actions: SmallVec::new() }
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn arm(&mut self, timer: Timer, after: Duration) {
        self.actions.push(Action::Arm(timer, after));
    }

    pub(crate) fn disarm_both(&mut self) {
        self.actions.push(Action::Disarm(Timer::Resend));
        self.actions.push(Action::Disarm(Timer::GiveUp));
    }

    /// How long a final response is kept that is otherwise kept for `usually`.
    pub(crate) fn kept_for(&self, status: StatusCode, usually: Duration) -> Duration {
        if status.is_challenge() && !self.is_reliable { self.timers.challenge_kept } else { usually }
    }

    /// Waits `after`, or ends at once over a reliable transport, where there is nothing to wait for.
    pub(crate) fn linger(&mut self, after: Duration) -> bool {
        if self.is_reliable || after.is_zero() {
            self.actions.push(Action::End(EndReason::Completed));
            return false;
        }
        self.actions.push(Action::Arm(Timer::GiveUp, after));
        true
    }
}
