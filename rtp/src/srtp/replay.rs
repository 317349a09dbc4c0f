//! The replay window, RFC 3711 §3.3.2: which of the latest indices were seen. Any multiple of 64 wide.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// A ring of bits, indexed by packet index.
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    bits: Box<[u64]>,
}

impl ReplayWindow {
    pub(super) fn new(width: u16) -> Self {
        // A power of two words makes the ring's position a mask.
        let words = usize::from(width).div_ceil(64).next_power_of_two();
        Self { highest: None, bits: vec![0; words].into_boxed_slice() }
    }

    pub(super) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether `index` is neither seen nor too old.
    #[inline]
    pub(super) fn accepts(&self, index: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        if index > highest {
            return true;
        }
        // The word that the highest is in is still being filled: one word less than there are is remembered in full.
        let oldest = (highest >> 6).saturating_sub((self.bits.len() as u64).saturating_sub(1));
        (index >> 6) >= oldest && self.word(index).is_some_and(|word| word >> (index & 63) & 1 == 0)
    }

    /// Remembers `index`, which was accepted.
    #[inline]
    pub(super) fn insert(&mut self, index: u64) {
        let before = self.highest.map_or(index >> 6, |highest| highest >> 6);
        if self.highest.is_none_or(|highest| index > highest) {
            self.highest = Some(index);
            let now = index >> 6;
            if now != before {
                self.advance(before, now);
            }
        }
        let position = self.position(index);
        if let Some(word) = self.bits.get_mut(position) {
            *word |= 1 << (index & 63);
        }
    }

    /// Empties the words between the old and the new highest.
    fn advance(&mut self, before: u64, now: u64) {
        let steps = now.saturating_sub(before).min(self.bits.len() as u64);
        for step in 0..steps {
            let position = self.position(now.saturating_sub(step) << 6);
            if let Some(word) = self.bits.get_mut(position) {
                *word = 0;
            }
        }
    }

    fn word(&self, index: u64) -> Option<u64> {
        self.bits.get(self.position(index)).copied()
    }

    #[inline]
    fn position(&self, index: u64) -> usize {
        (index >> 6) as usize & self.bits.len().wrapping_sub(1)
    }
}
