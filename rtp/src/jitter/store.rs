//! Where packets wait: a ring indexed by sequence number whose slots keep their memory.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::Incoming;

/// A packet that waits, or the memory of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) sequence: u64,
    pub(super) occupied: bool,
    pub(super) played: bool,
    pub(super) timestamp: u32,
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) arrival: u64,
    pub(super) payload: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Store {
    slots: Box<[Slot]>,
    mask: u64,
    waiting: usize,
    /// No packet waits above this.
    highest: u64,
    /// No packet waits below this.
    lowest: u64,
}

impl Store {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(4, 1 << 15).next_power_of_two();
        let slots = vec![Slot::default(); capacity].into_boxed_slice();
        Self { slots, mask: (capacity as u64).wrapping_sub(1), waiting: 0, highest: 0, lowest: u64::MAX }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// `false` when it is here or was.
    #[inline]
    pub(super) fn insert(&mut self, sequence: u64, arrival: u64, packet: Incoming<'_>) -> bool {
        let index = (sequence & self.mask) as usize;
        let Some(slot) = self.slots.get_mut(index) else { return false };
        if slot.sequence == sequence && (slot.occupied || slot.played) {
            return false;
        }
        if !slot.occupied {
            self.waiting = self.waiting.wrapping_add(1);
        }
        slot.sequence = sequence;
        slot.occupied = true;
        slot.played = false;
        slot.timestamp = packet.timestamp;
        slot.payload_type = packet.payload_type;
        slot.marker = packet.marker;
        slot.arrival = arrival;
        slot.payload.clear();
        slot.payload.extend_from_slice(packet.payload);
        self.highest = self.highest.max(sequence);
        self.lowest = self.lowest.min(sequence);
        true
    }

    /// The first packet that waits at `from` or after it.
    #[inline]
    pub(super) fn first(&self, from: u64) -> Option<&Slot> {
        if self.waiting == 0 {
            return None;
        }
        let mut sequence = from.max(self.lowest);
        while sequence <= self.highest {
            if let Some(slot) = self.slots.get((sequence & self.mask) as usize)
                && slot.occupied
                && slot.sequence == sequence
            {
                return Some(slot);
            }
            sequence = sequence.saturating_add(1);
        }
        None
    }

    /// Hands out a packet; its memory stays until another takes its slot.
    #[inline]
    pub(super) fn take(&mut self, sequence: u64) -> Option<&Slot> {
        self.drop_before(sequence);
        let slot = self.slots.get_mut((sequence & self.mask) as usize)?;
        if !slot.occupied || slot.sequence != sequence {
            return None;
        }
        slot.occupied = false;
        slot.played = true;
        self.waiting = self.waiting.saturating_sub(1);
        self.lowest = sequence.saturating_add(1);
        Some(slot)
    }

    /// The payload type of a packet that waits.
    pub(super) fn payload_type(&self, sequence: u64) -> Option<u8> {
        let slot = self.slots.get((sequence & self.mask) as usize)?;
        (slot.occupied && slot.sequence == sequence).then_some(slot.payload_type)
    }

    /// Forgets what waits before `sequence`; returns how many that were.
    pub(super) fn drop_before(&mut self, sequence: u64) -> u64 {
        let before = self.waiting;
        while self.waiting > 0 && self.lowest < sequence {
            let lowest = self.lowest;
            if let Some(slot) = self.slots.get_mut((lowest & self.mask) as usize)
                && slot.occupied
                && slot.sequence == lowest
            {
                slot.occupied = false;
                self.waiting = self.waiting.saturating_sub(1);
            }
            self.lowest = lowest.saturating_add(1);
        }
        self.lowest = self.lowest.max(sequence);
        before.saturating_sub(self.waiting) as u64
    }

    /// Whether this one was handed out.
    pub(super) fn was_played(&self, sequence: u64) -> bool {
        let slot = self.slots.get((sequence & self.mask) as usize);
        slot.is_some_and(|slot| slot.sequence == sequence && slot.played)
    }

    /// Forgets everything; returns how many waited.
    pub(super) fn clear(&mut self) -> u64 {
        for slot in &mut self.slots {
            slot.occupied = false;
            slot.played = false;
        }
        self.highest = 0;
        self.lowest = u64::MAX;
        std::mem::take(&mut self.waiting) as u64
    }
}
