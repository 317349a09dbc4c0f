//! Client transactions: sending again until an answer comes (RFC 8489 section 6.2).
//!
//! Over datagrams a request is sent `requests` times, the first pause being the retransmission time-out and each further one
//! twice as long, then there is a last wait. Over streams it is sent once. Each transaction carries what
//! its owner wants to remember.

use super::message::TransactionId;
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// When to send again, and when to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first pause (RTO).
    pub retransmission: Duration,
    /// How many times a request is sent (Rc).
    pub requests: u32,
    /// How many first pauses to wait after the last (Rm).
    pub last_wait: u32,
    /// No pause but the last is longer than this.
    pub longest_pause: Duration,
    /// How long to wait on a stream (Ti).
    pub stream_wait: Duration,
}

impl Default for Timing {
    /// As RFC 8489: 500 ms, seven times, and 39.5 s in all.
    fn default() -> Self {
        Self {
            retransmission: Duration::from_millis(500),
            requests: 7,
            last_wait: 16,
            longest_pause: Duration::MAX,
            stream_wait: Duration::from_millis(39_500),
        }
    }
}

/// An open transaction.
#[derive(Debug)]
struct Pending<T> {
    tag: T,
    request: Bytes,
    peer: SocketAddr,
    sent: u32,
    /// The pause that is running.
    pause: Duration,
    due: Instant,
    first_sent_at: Instant,
    reliable: bool,
    /// No longer sent again; an answer still counts.
    quiet: bool,
    timing: Timing,
}

/// What became of a transaction at its deadline.
#[derive(Debug, PartialEq, Eq)]
pub enum Due<'a, T> {
    /// Send this again.
    Resend(&'a T, &'a Bytes, SocketAddr),
    /// Nobody answered.
    TimedOut(T),
}

/// An answered transaction.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// What its owner remembered.
    pub tag: T,
    /// Whom the request went to.
    pub peer: SocketAddr,
    /// Time since the request was first sent. Only a measurement when it was sent once.
    pub elapsed: Duration,
    /// How many times it was sent.
    pub sent: u32,
}

/// The open transactions of a client.
#[derive(Debug)]
pub struct Transactions<T> {
    table: HashMap<TransactionId, Pending<T>, foldhash::fast::FixedState>,
    deadlines: BTreeSet<(Instant, TransactionId)>,
}

impl<T> Default for Transactions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Transactions<T> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        // The keys are our own random numbers: nobody can choose them so that they collide.
        Self { table: HashMap::default(), deadlines: BTreeSet::new() }
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A request has been sent to `peer` for the first time.
    pub fn begin(
        &mut self,
        id: TransactionId,
        tag: T,
        (request, peer): (Bytes, SocketAddr),
        (reliable, timing): (bool, Timing),
        now: Instant,
    ) {
        let pause = if reliable { timing.stream_wait } else { timing.retransmission };
        let due = now + pause;
        let pending = Pending {
            tag,
            request,
            peer,
            sent: 1,
            pause,
            due,
            first_sent_at: now,
            reliable,
            quiet: false,
            timing,
        };
        self.deadlines.insert((due, id));
        self.table.insert(id, pending);
    }

    /// The owner's note on an open transaction.
    #[must_use]
    pub fn get(&self, id: TransactionId) -> Option<&T> {
        self.table.get(&id).map(|pending| &pending.tag)
    }

    /// Whom an open transaction's request went to.
    #[must_use]
    pub fn peer(&self, id: TransactionId) -> Option<SocketAddr> {
        self.table.get(&id).map(|pending| pending.peer)
    }

    /// An answer has come.
    pub fn finish(&mut self, id: TransactionId, now: Instant) -> Option<Answered<T>> {
        let pending = self.table.remove(&id)?;
        self.deadlines.remove(&(pending.due, id));
        let elapsed = now.saturating_duration_since(pending.first_sent_at);
        Some(Answered { tag: pending.tag, peer: pending.peer, elapsed, sent: pending.sent })
    }

    /// Stops sending a request again, but goes on waiting for its answer (RFC 8445 section 7.3.1.4).
    pub fn quiet(&mut self, id: TransactionId) {
        if let Some(pending) = self.table.get_mut(&id) {
            pending.quiet = true;
        }
    }

    /// Whether any open transaction's note is like this.
    pub fn any(&self, like: impl Fn(&T) -> bool) -> bool {
        self.table.values().any(|pending| like(&pending.tag))
    }

    /// Forgets those whose note `unwanted` points out.
    pub fn forget(&mut self, mut unwanted: impl FnMut(&T) -> bool) {
        let deadlines = &mut self.deadlines;
        self.table.retain(|id, pending| {
            let forgotten = unwanted(&pending.tag);
            if forgotten {
                deadlines.remove(&(pending.due, *id));
            }
            !forgotten
        });
    }

    /// The next deadline.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Gives `each` every transaction whose deadline has come.
    pub fn handle_timeout(&mut self, now: Instant, mut each: impl FnMut(TransactionId, Due<'_, T>)) {
        while let Some(&(due, id)) = self.deadlines.first() {
            if due > now {
                return;
            }
            self.deadlines.pop_first();
            let Some(pending) = self.table.get_mut(&id) else { continue };
            if pending.reliable || pending.sent >= pending.timing.requests {
                if let Some(pending) = self.table.remove(&id) {
                    each(id, Due::TimedOut(pending.tag));
                }
                continue;
            }
            pending.sent = pending.sent.saturating_add(1);
            pending.pause = if pending.sent >= pending.timing.requests {
                pending.timing.retransmission.saturating_mul(pending.timing.last_wait)
            } else {
                pending.pause.saturating_mul(2).min(pending.timing.longest_pause)
            };
            // From now, not from the missed deadline: no burst after a late wake-up. A pause of nothing would stop time.
            pending.due = now + pending.pause.max(Duration::from_millis(1));
            self.deadlines.insert((pending.due, id));
            if !pending.quiet {
                each(id, Due::Resend(&pending.tag, &pending.request, pending.peer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_seven_times_and_given_up_after_39_and_a_half_seconds() {
        let mut transactions = Transactions::new();
        let start = Instant::now();
        let peer = "192.0.2.1:3478".parse().unwrap();
        let id = TransactionId([1; 12]);
        transactions.begin(id, "x", (Bytes::new(), peer), (false, Timing::default()), start);
        let mut log = Vec::new();
        while let Some(due) = transactions.next_due() {
            transactions.handle_timeout(due, |_, event| {
                log.push(((due - start).as_millis(), matches!(event, Due::TimedOut("x"))));
            });
        }
        let resent = [500, 1500, 3500, 7500, 15_500, 31_500].map(|at| (at, false));
        assert_eq!(log, [resent.as_slice(), &[(39_500, true)]].concat());
        assert!(transactions.is_empty());
    }

    #[test]
    fn a_late_wake_up_sends_once_and_a_stream_never_again() {
        let mut transactions = Transactions::new();
        let start = Instant::now();
        let peer = "192.0.2.1:3478".parse().unwrap();
        let late = start + Duration::from_secs(5);
        transactions.begin(
            TransactionId([1; 12]),
            1,
            (Bytes::new(), peer),
            (false, Timing::default()),
            start,
        );
        transactions.begin(TransactionId([2; 12]), 2, (Bytes::new(), peer), (true, Timing::default()), start);
        let mut count = 0;
        transactions.handle_timeout(late, |_, _| count += 1);
        assert_eq!(count, 1);
        assert!(transactions.next_due().is_some_and(|due| due > late));
    }
}
