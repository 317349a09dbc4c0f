//! Deadlines of many things at once, in constant time.
//!
//! Nearly all deadlines of SIP lie one of a few durations ahead of now (T1 and its doublings, T4, 64·T1), and now never
//! goes back. So there is one queue a duration, each in order by itself: arming appends, cancelling unlinks, and the
//! next deadline is the earliest of a dozen heads. No wheel, no heap, and the answer is exact.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::{Duration, Instant};

/// A deadline that was armed. Cancelling one that has passed is harmless: each arming has a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeadlineId {
    index: u32,
    generation: u32,
}

/// The deadlines and what each is for.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    queues: Vec<Queue>,
    /// In blocks, so that growing moves nothing.
    nodes: Vec<Vec<Node<K>>>,
    free: u32,
    armed: usize,
}

#[derive(Debug)]
struct Queue {
    duration: Duration,
    head: u32,
    tail: u32,
}

#[derive(Debug)]
struct Node<K> {
    at: Instant,
    key: Option<K>,
    generation: u32,
    before: u32,
    after: u32,
    queue: u16,
}

const NONE: u32 = u32::MAX;
/// Nodes of a block: a power of two.
const BLOCK: usize = 256;

impl<K: Copy> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Self { queues: Vec::new(), nodes: Vec::new(), free: NONE, armed: 0 }
    }

    /// How many are armed.
    pub(crate) const fn len(&self) -> usize {
        self.armed
    }

    /// Arms a deadline `duration` from `now`. `now` must not be earlier than in any call before.
    pub(crate) fn arm(&mut self, duration: Duration, key: K, now: Instant) -> DeadlineId {
        // A duration beyond what the clock can tell is as good as the longest it can.
        let at = now.checked_add(duration).unwrap_or(now);
        let queue = self.queue_for(duration);
        let index = self.take_node(at, key, queue);
        let generation = self.node(index).map_or(0, |node| node.generation);
        let tail = self.queues.get(usize::from(queue)).map_or(NONE, |queue| queue.tail);
        if let Some(node) = self.node_mut(index) {
            node.before = tail;
        }
        match self.node_mut(tail) {
            Some(last) => last.after = index,
            None => {
                if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
                    queue.head = index;
                }
            }
        }
        if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
            queue.tail = index;
        }
        self.armed = self.armed.saturating_add(1);
        DeadlineId { index, generation }
    }

    /// Cancels a deadline, if it is still armed.
    pub(crate) fn cancel(&mut self, id: DeadlineId) {
        let is_armed =
            self.node(id.index).is_some_and(|node| node.generation == id.generation && node.key.is_some());
        if is_armed {
            self.unlink(id.index);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queues.iter().filter_map(|queue| self.node(queue.head)).map(|node| node.at).min()
    }

    /// Takes the earliest deadline, if it is not later than `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, index) = self
            .queues
            .iter()
            .filter_map(|queue| self.node(queue.head).map(|node| (node.at, queue.head)))
            .min_by_key(|(at, _)| *at)?;
        if at > now {
            return None;
        }
        self.unlink(index)
    }

    fn node(&self, index: u32) -> Option<&Node<K>> {
        self.nodes.get(index as usize / BLOCK)?.get(index as usize % BLOCK)
    }

    fn node_mut(&mut self, index: u32) -> Option<&mut Node<K>> {
        self.nodes.get_mut(index as usize / BLOCK)?.get_mut(index as usize % BLOCK)
    }

    fn queue_for(&mut self, duration: Duration) -> u16 {
        let found = self.queues.iter().position(|queue| queue.duration == duration);
        let index = found.unwrap_or_else(|| {
            self.queues.push(Queue { duration, head: NONE, tail: NONE });
            self.queues.len().saturating_sub(1)
        });
        u16::try_from(index).unwrap_or(0)
    }

    fn take_node(&mut self, at: Instant, key: K, queue: u16) -> u32 {
        let index = self.free;
        if let Some(node) = self.node_mut(index) {
            let next_free = node.after;
            *node =
                Node { at, key: Some(key), generation: node.generation, before: NONE, after: NONE, queue };
            self.free = next_free;
            return index;
        }
        if self.nodes.last().is_none_or(|block| block.len() >= BLOCK) {
            self.nodes.push(Vec::with_capacity(BLOCK));
        }
        let before = self.nodes.len().saturating_sub(1).saturating_mul(BLOCK);
        let Some(block) = self.nodes.last_mut() else { return NONE };
        let index = u32::try_from(before.saturating_add(block.len())).unwrap_or(NONE);
        block.push(Node { at, key: Some(key), generation: 0, before: NONE, after: NONE, queue });
        index
    }

    fn unlink(&mut self, index: u32) -> Option<K> {
        let free = self.free;
        let node = self.node_mut(index)?;
        let key = node.key.take();
        let (before, after, queue) = (node.before, node.after, node.queue);
        node.generation = node.generation.wrapping_add(1);
        node.after = free;
        self.free = index;
        self.armed = self.armed.saturating_sub(1);
        match self.node_mut(before) {
            Some(node) => node.after = after,
            None => {
                if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
                    queue.head = after;
                }
            }
        }
        match self.node_mut(after) {
            Some(node) => node.before = before,
            None => {
                if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
                    queue.tail = before;
                }
            }
        }
        key
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against an ordered set.
        #[test]
        fn behaves_like_an_ordered_set(operations in prop::collection::vec((0_u8..4, 0_u64..5), 1..200)) {
            let durations = [5, 10, 20, 40, 320].map(Duration::from_millis);
            let start = Instant::now();
            let mut now = start;
            let mut deadlines = Deadlines::new();
            let mut model: BTreeSet<(Instant, u32)> = BTreeSet::new();
            let mut ids = Vec::new();
            for (number, (operation, argument)) in operations.into_iter().enumerate() {
                let number = u32::try_from(number).unwrap();
                match operation {
                    0 | 1 => {
                        let duration = durations[usize::try_from(argument).unwrap()];
                        ids.push((deadlines.arm(duration, number, now), now + duration, number));
                        model.insert((now + duration, number));
                    }
                    2 if !ids.is_empty() => {
                        let (id, at, key) = ids.swap_remove(usize::try_from(argument).unwrap() % ids.len());
                        deadlines.cancel(id);
                        deadlines.cancel(id);
                        model.remove(&(at, key));
                    }
                    _ => {
                        now += Duration::from_millis(argument * 7);
                        let mut due = Vec::new();
                        while let Some(key) = deadlines.pop_due(now) {
                            due.push(key);
                        }
                        due.sort_unstable();
                        let mut expected: Vec<u32> = model.iter().filter(|(at, _)| *at <= now).map(|(_, key)| *key).collect();
                        expected.sort_unstable();
                        prop_assert_eq!(due, expected);
                        model.retain(|(at, _)| *at > now);
                    }
                }
                prop_assert_eq!(deadlines.next(), model.first().map(|(at, _)| *at));
                prop_assert_eq!(deadlines.len(), model.len());
            }
        }
    }
}
