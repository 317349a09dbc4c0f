//! What is due next, by owner: the deadlines of calls, requests, registrations and bindings.
//!
//! Each owner keeps its deadline. The queue holds where to look next: a deadline that moves later costs nothing until the
//! old one comes up, and one that is dropped is forgotten then, or when half of the queue is of that kind. The first
//! entry is always true, so the next deadline is known exactly. Moving the deadlines of a hundred thousand owners that
//! refresh before they run out, which is what registrations do, never searches among the others.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use hashbrown::HashMap;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    hash::Hash,
    time::{Duration, Instant},
};

/// A moment, in nanoseconds since the queue was made. What was due before then is due then.
type Tick = u64;

/// Under which moment an owner's entry stands in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(Tick);

impl Place {
    /// It has no entry.
    pub(crate) const NONE: Self = Self(Tick::MAX);
}

/// Those who have deadlines.
pub(crate) trait Owners<K> {
    /// Where an owner's entry stands, and when it is due. `None`: it is gone.
    fn standing(&self, key: K) -> Option<(Place, Option<Instant>)>;

    /// Notes where its entry stands.
    fn place(&mut self, key: K, place: Place);

    /// How many there are.
    fn count(&self) -> usize;
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    base: Instant,
    entries: BinaryHeap<Reverse<(Tick, K)>>,
}

impl<K: Copy + Ord> Queue<K> {
    pub(crate) fn new(now: Instant) -> Self {
        Self { base: now, entries: BinaryHeap::new() }
    }

    fn tick(&self, at: Instant) -> Tick {
        let nanoseconds = at.saturating_duration_since(self.base).as_nanos();
        // The last one means never.
        Tick::try_from(nanoseconds).unwrap_or(Tick::MAX).min(Tick::MAX.saturating_sub(1))
    }

    /// An owner's deadline has changed.
    pub(crate) fn update(&mut self, owners: &mut impl Owners<K>, key: K) {
        if let Some((place, Some(due))) = owners.standing(key) {
            let tick = self.tick(due);
            if tick < place.0 {
                self.entries.push(Reverse((tick, key)));
                owners.place(key, Place(tick));
            }
        }
        self.settle(owners);
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let Reverse((tick, _)) = self.entries.peek()?;
        self.base.checked_add(Duration::from_nanos(*tick))
    }

    /// Takes the earliest one that is due.
    pub(crate) fn pop_due(&mut self, owners: &mut impl Owners<K>, now: Instant) -> Option<K> {
        let Reverse((tick, key)) = *self.entries.peek()?;
        if tick > self.tick(now) {
            return None;
        }
        self.entries.pop();
        owners.place(key, Place::NONE);
        self.settle(owners);
        Some(key)
    }

    /// Makes the first entry true, and the others not too many.
    fn settle(&mut self, owners: &mut impl Owners<K>) {
        while let Some(&Reverse((tick, key))) = self.entries.peek() {
            let due = match owners.standing(key) {
                Some((place, due)) if place == Place(tick) => due.map(|due| self.tick(due)),
                _ => {
                    self.entries.pop();
                    continue;
                }
            };
            match due {
                Some(due) if due <= tick => break,
                Some(due) => {
                    if let Some(mut first) = self.entries.peek_mut() {
                        *first = Reverse((due, key));
                    }
                    owners.place(key, Place(due));
                }
                None => {
                    self.entries.pop();
                    owners.place(key, Place::NONE);
                }
            }
        }
        if self.entries.len() > owners.count().saturating_mul(2).saturating_add(64) {
            let mut entries = std::mem::take(&mut self.entries).into_vec();
            entries.retain(|Reverse((tick, key))| {
                owners.standing(*key).is_some_and(|(place, due)| place == Place(*tick) && due.is_some())
            });
            // An owner may have come back to a moment under which it stood before.
            entries.sort_unstable();
            entries.dedup();
            self.entries = entries.into();
        }
    }
}

/// Deadlines that are kept here for their owners.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    queue: Queue<K>,
    held: Held<K>,
}

#[derive(Debug)]
struct Held<K>(HashMap<K, (Place, Instant), foldhash::fast::FixedState>);

impl<K: Copy + Ord + Hash> Owners<K> for Held<K> {
    fn standing(&self, key: K) -> Option<(Place, Option<Instant>)> {
        self.0.get(&key).map(|&(place, due)| (place, Some(due)))
    }

    fn place(&mut self, key: K, place: Place) {
        if let Some(held) = self.0.get_mut(&key) {
            held.0 = place;
        }
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<K: Copy + Ord + Hash> Agenda<K> {
    pub(crate) fn new(now: Instant) -> Self {
        let held = HashMap::with_hasher(foldhash::fast::FixedState::default());
        Self { queue: Queue::new(now), held: Held(held) }
    }

    /// Sets, moves or (with `None`) clears the deadline of a key.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        match at {
            Some(at) => self.held.0.entry(key).or_insert((Place::NONE, at)).1 = at,
            None if self.held.0.remove(&key).is_none() => return,
            None => {}
        }
        self.queue.update(&mut self.held, key);
    }

    /// The earliest one.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.next()
    }

    /// Takes the earliest one that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let key = self.queue.pop_due(&mut self.held, now)?;
        self.set(key, None);
        Some(key)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.held.0.len()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Against a map that is searched.
        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec((0_u8..6, 0_u32..12, 0_u64..400), 1..400)) {
            let start = Instant::now();
            let mut now = start;
            let mut agenda = Agenda::new(start);
            let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
            for (operation, key, argument) in operations {
                match operation {
                    0..4 => {
                        let at = start + Duration::from_millis(argument);
                        agenda.set(key, Some(at));
                        model.insert(key, at);
                    }
                    4 => {
                        agenda.set(key, None);
                        model.remove(&key);
                    }
                    _ => {
                        now += Duration::from_millis(argument / 8);
                        let mut due = Vec::new();
                        while let Some(key) = agenda.pop_due(now) {
                            due.push((model.remove(&key).unwrap(), key));
                        }
                        prop_assert!(due.is_sorted(), "the earliest one first");
                        prop_assert!(due.iter().all(|(at, _)| *at <= now));
                    }
                }
                let next = model.values().min().copied();
                prop_assert_eq!(agenda.next(), next);
                prop_assert_eq!(agenda.len(), model.len());
                let none_due = operation < 5 || next.is_none_or(|next| next > now);
                prop_assert!(none_due, "something that is due was left");
            }
        }
    }

    #[test]
    fn what_moves_to_and_fro_does_not_pile_up() {
        let start = Instant::now();
        let mut agenda = Agenda::new(start);
        for round in 0..10_000_u64 {
            agenda.set(round % 10, Some(start + Duration::from_secs(1 + round % 2 * 3600)));
            agenda.set(1000 + round, Some(start + Duration::from_secs(32)));
            agenda.set(1000 + round, None);
        }
        assert_eq!(agenda.len(), 10);
        assert!(agenda.queue.entries.len() < 100, "{}", agenda.queue.entries.len());
    }
}
