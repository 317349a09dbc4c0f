//! Which counts of which nonces were used: a replayed request is refused (RFC 7616 §5.12, §3.4 `nc`).
//!
//! Only nonces whose response has verified are entered, so strangers cannot fill the table. Counts may arrive out of
//! order (requests on UDP overtake each other), within a window of 64. When the table is full the nonce that was
//! *issued* longest ago leaves, and with it every nonce issued before that loses its validity: its owner is
//! challenged again with `stale=true`, and no replay slips through the gap.

use super::nonce::NonceId;
use std::collections::BTreeMap;

/// Verified nonces and the counts used of each.
#[derive(Debug)]
pub struct NonceCounts {
    windows: BTreeMap<NonceId, Window>,
    limit: usize,
    /// Nonces up to this one that are not in `windows` are not accepted any more.
    forgotten_up_to: Option<NonceId>,
}

/// What the table says of a nonce and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountVerdict {
    /// Never used.
    New,
    /// Used already, or so far behind that it cannot be told.
    Replayed,
    /// The nonce left the table: ask for a fresh one.
    Forgotten,
}

/// The highest count seen, and which of the 63 below it.
#[derive(Clone, Copy, Debug)]
struct Window {
    highest: u32,
    seen: u64,
}

impl NonceCounts {
    /// An empty table of at most `limit` nonces (at least one).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { windows: BTreeMap::new(), limit: limit.max(1), forgotten_up_to: None }
    }

    /// What would become of this count, without entering it: a digest that does not verify must leave no trace.
    #[must_use]
    pub fn check(&self, nonce: NonceId, count: u32) -> CountVerdict {
        match self.windows.get(&nonce) {
            Some(window) if window.has(count) => CountVerdict::Replayed,
            Some(_) => CountVerdict::New,
            None if self.forgotten_up_to.is_some_and(|limit| nonce <= limit) => CountVerdict::Forgotten,
            None => CountVerdict::New,
        }
    }

    /// Enters a count whose response has verified. Tells whether another nonce had to leave for it.
    pub fn enter(&mut self, nonce: NonceId, count: u32) -> bool {
        if let Some(window) = self.windows.get_mut(&nonce) {
            window.enter(count);
            return false;
        }
        let full = self.windows.len() >= self.limit;
        if full && let Some((oldest, _)) = self.windows.pop_first() {
            self.forgotten_up_to = self.forgotten_up_to.max(Some(oldest));
        }
        if self.forgotten_up_to.is_none_or(|limit| nonce > limit) {
            self.windows.insert(nonce, Window { highest: count, seen: 1 });
        }
        full
    }

    /// Drops nonces issued before `issued_at_ms`, which have expired by their age and need no memory.
    pub fn drop_expired(&mut self, issued_at_ms: u64) {
        self.windows = self.windows.split_off(&NonceId { issued_at_ms, number: 0 });
    }

    /// How many nonces are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

impl Window {
    fn has(self, count: u32) -> bool {
        match self.highest.checked_sub(count) {
            None => false,
            Some(behind @ 0..=63) => self.seen >> behind & 1 == 1,
            Some(_) => true,
        }
    }

    fn enter(&mut self, count: u32) {
        if let Some(ahead) = count.checked_sub(self.highest) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
        } else if let behind @ 0..=63 = self.highest.wrapping_sub(count) {
            self.seen |= 1 << behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn nonce(number: u64) -> NonceId {
        NonceId { issued_at_ms: number, number }
    }

    #[test]
    fn the_full_table_forgets_the_oldest_and_says_so() {
        let mut counts = NonceCounts::new(2);
        assert!(!counts.enter(nonce(1), 1));
        assert!(!counts.enter(nonce(2), 1));
        assert!(counts.enter(nonce(3), 1));
        assert_eq!(counts.len(), 2);
        assert_eq!(counts.check(nonce(1), 2), CountVerdict::Forgotten);
        assert_eq!(counts.check(nonce(2), 1), CountVerdict::Replayed);
        assert_eq!(counts.check(nonce(2), 2), CountVerdict::New);
        assert_eq!(counts.check(nonce(4), 1), CountVerdict::New);
        counts.drop_expired(3);
        assert_eq!(counts.len(), 1);
    }

    proptest! {
        /// The window never accepts a count twice, and within its width accepts every count once.
        #[test]
        fn a_count_is_new_once(counts in proptest::collection::vec(1u32..200, 1..300)) {
            let mut table = NonceCounts::new(1);
            let mut used = HashSet::new();
            let mut highest = 0;
            for count in counts {
                let verdict = table.check(nonce(1), count);
                if used.contains(&count) {
                    prop_assert_eq!(verdict, CountVerdict::Replayed);
                } else if count + 63 >= highest {
                    prop_assert_eq!(verdict, CountVerdict::New);
                }
                if verdict == CountVerdict::New {
                    table.enter(nonce(1), count);
                    used.insert(count);
                    highest = highest.max(count);
                }
            }
        }
    }
}
