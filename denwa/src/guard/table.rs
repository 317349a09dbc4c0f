//! Records by key, each with a time at which it is to be looked at next.

use super::record::Record;
use foldhash::fast::FixedState;
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Records by key, with an index of when each is to be looked at next. The index is lazy: a record that lives on is put back
/// when its old deadline comes, so that touching a record costs one look-up.
#[derive(Debug)]
pub(super) struct Table<K> {
    records: HashMap<K, Record, FixedState>,
    deadlines: BTreeSet<(Instant, K)>,
    limit: usize,
    evicted: usize,
}

impl<K: Clone + Eq + Hash + Ord> Table<K> {
    pub(super) fn new(hash_seed: u64, limit: usize) -> Self {
        let records = HashMap::with_hasher(FixedState::with_seed(hash_seed));
        Self { records, deadlines: BTreeSet::new(), limit: limit.max(1), evicted: 0 }
    }

    pub(super) fn find<Q>(&mut self, key: &Q) -> Option<&mut Record>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.records.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Record)> {
        self.records.iter()
    }

    /// Makes sure that `key` has a record which lasts for `memory` from now on. Says how many records there are when one had
    /// to be given up for it and that has not been told lately.
    pub(super) fn touch(&mut self, key: K, now: Instant, memory: Duration) -> Option<usize> {
        let forget_at = now + memory;
        if let Some(record) = self.records.get_mut(&key) {
            record.last_seen = now;
            record.forget_at = record.forget_at.max(forget_at);
            return None;
        }
        let mut told = None;
        if self.records.len() >= self.limit {
            self.evict();
            told = self.evicted.is_multiple_of(self.limit).then_some(self.records.len() + 1);
            self.evicted = self.evicted.wrapping_add(1);
        }
        self.deadlines.insert((forget_at, key.clone()));
        self.records.insert(key, Record::new(now, forget_at));
        told
    }

    /// Gives up the record that would be forgotten first.
    fn evict(&mut self) {
        while let Some((deadline, key)) = self.deadlines.pop_first() {
            match self.records.get_mut(&key) {
                // Touched since: its place in the order is later. Bounded, since each move puts it where it belongs.
                Some(record) if record.next_deadline() > deadline => {
                    record.deadline = record.next_deadline();
                    self.deadlines.insert((record.deadline, key));
                }
                _ => {
                    self.records.remove(&key);
                    return;
                }
            }
        }
    }

    /// A ban until `look_at` lies on `key` now, and is remembered until `forget_at`.
    pub(super) fn keep_until(&mut self, key: &K, forget_at: Instant, look_at: Instant) {
        if let Some(record) = self.records.get_mut(key) {
            record.forget_at = record.forget_at.max(forget_at);
            // A ban may end before the record's place in the order comes.
            if look_at < record.deadline {
                self.deadlines.remove(&(record.deadline, key.clone()));
                record.deadline = look_at;
                self.deadlines.insert((look_at, key.clone()));
            }
        }
    }

    pub(super) fn expire(&mut self, now: Instant, mut lifted: impl FnMut(&K, u64)) {
        while let Some((deadline, key)) = self.deadlines.pop_first() {
            if deadline > now {
                self.deadlines.insert((deadline, key));
                return;
            }
            let Some(record) = self.records.get_mut(&key) else { continue };
            if let Some(refused) = record.lift(now) {
                lifted(&key, refused);
            }
            if record.forget_at <= now {
                self.records.remove(&key);
            } else {
                record.deadline = record.next_deadline();
                self.deadlines.insert((record.deadline, key));
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn take_if(&mut self, mut which: impl FnMut(&K) -> bool) -> Vec<(K, Record)> {
        let taken: Vec<(K, Record)> = self.records.extract_if(|key, _| which(key)).collect();
        for (key, record) in &taken {
            self.deadlines.remove(&(record.deadline, key.clone()));
        }
        taken
    }
}
