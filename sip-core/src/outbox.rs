//! What a machine has to say, in order.
//!
//! It grows only while an input or command is handled, and by a bounded number of entries; a driver drains it after each.

use std::collections::VecDeque;

use crate::io::{Output, Transmit};

/// A queue of outputs.
#[derive(Debug)]
pub(crate) struct Outbox<E> {
    queue: VecDeque<Output<E>>,
}

impl<E> Outbox<E> {
    pub(crate) const fn new() -> Self {
        Self { queue: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, output: Output<E>) {
        self.queue.push_back(output);
    }

    pub(crate) fn event(&mut self, event: E) {
        self.queue.push_back(Output::Event(event));
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        self.queue.push_back(Output::Transmit(transmit));
    }

    pub(crate) fn pop(&mut self) -> Option<Output<E>> {
        self.queue.pop_front()
    }
}
