//! Which connection awaits which answer of the exchange: tickets given out to the ones, redeemed by the other's thread.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::exchange::{Packet, Report};

/// What comes for a ticket.
#[derive(Debug)]
pub enum Answer {
    /// The report that was asked for.
    Report(Box<Report>),
    /// A packet of a trace.
    Packet(Packet),
}

/// Packets of a trace that may wait for whoever writes them; what comes beyond is lost to him, not to the calls.
const MOST_WAITING: usize = 4_096;

/// See the module's words.
#[derive(Debug, Default)]
pub struct Switchboard {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    waiting: HashMap<u64, SyncSender<Answer>>,
}

impl Switchboard {
    /// A ticket, and where its answers come.
    pub fn ticket(&self) -> (u64, Receiver<Answer>) {
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let mut inner = self.lock();
        inner.last += 1;
        let ticket = inner.last;
        inner.waiting.insert(ticket, sender);
        (ticket, receiver)
    }

    /// Nothing more is awaited for this ticket.
    pub fn give_back(&self, ticket: u64) {
        self.lock().waiting.remove(&ticket);
    }

    /// Passes an answer on; `false` when nobody awaits it. Never waits.
    pub fn pass(&self, ticket: u64, answer: Answer) -> bool {
        match self.lock().waiting.get(&ticket) {
            Some(sender) => {
                !matches!(sender.try_send(answer), Err(std::sync::mpsc::TrySendError::Disconnected(_)))
            }
            None => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
