//! What is due next, by key: the deadlines of calls, requests, registrations and bindings.
//!
//! Each state owns its deadline; this index is derived from them and holds one entry for each key.

use hashbrown::HashMap;
use std::{collections::BTreeSet, hash::Hash, time::Instant};

/// Agenda by key.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    order: BTreeSet<(Instant, K)>,
    of_key: HashMap<K, Instant, foldhash::fast::FixedState>,
}

impl<K: Copy + Ord + Hash> Agenda<K> {
    pub(crate) fn new() -> Self {
        Self { order: BTreeSet::new(), of_key: HashMap::with_hasher(foldhash::fast::FixedState::default()) }
    }

    /// Sets, moves or (with `None`) clears the deadline of a key.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.of_key.insert(key, at),
            None => self.of_key.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key));
        }
        if let Some(at) = at {
            self.order.insert((at, key));
        }
    }

    /// The earliest one.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the earliest one that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.remove(&(at, key));
        self.of_key.remove(&key);
        Some(key)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}
