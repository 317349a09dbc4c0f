//! Handles that are never reused by mistake: a slot and how often it was used before.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

/// A slot and its generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Things by handle. A slot whose generations are used up is never taken again.
///
/// Slots come in blocks: growing moves nothing and leaves no room for as many again.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    blocks: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    used: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Slots of a block: a power of two.
const BLOCK: usize = 128;

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), free: Vec::new(), used: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let index = index as usize;
        self.blocks.get(index / BLOCK)?.get(index % BLOCK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.blocks.get_mut(index / BLOCK)?.get_mut(index % BLOCK)
    }

    pub(crate) fn insert(&mut self, value: T) -> Id {
        self.used = self.used.saturating_add(1);
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slot_mut(index)
        {
            slot.value = Some(value);
            return Id { index, generation: slot.generation };
        }
        if self.blocks.last().is_none_or(|block| block.len() >= BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let before = self.blocks.len().saturating_sub(1).saturating_mul(BLOCK);
        let Some(block) = self.blocks.last_mut() else { return Id { index: u32::MAX, generation: 0 } };
        let index = u32::try_from(before.saturating_add(block.len())).unwrap_or(u32::MAX);
        block.push(Slot { generation: 0, value: Some(value) });
        Id { index, generation: 0 }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.slot(id.index).filter(|slot| slot.generation == id.generation)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slot_mut(id.index).filter(|slot| slot.generation == id.generation)?.value.as_mut()
    }

    /// The handle and thing in a slot, whatever its generation.
    pub(crate) fn at(&self, index: u32) -> Option<(Id, &T)> {
        let slot = self.slot(index)?;
        Some((Id { index, generation: slot.generation }, slot.value.as_ref()?))
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slot_mut(id.index).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.index);
        }
        self.used = self.used.saturating_sub(1);
        Some(value)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        let slots = self.blocks.iter().flatten().enumerate();
        slots.filter(|(_, slot)| slot.value.is_some()).map(|(index, slot)| Id {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: slot.generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_dies_with_its_thing() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert('b');
        assert_eq!(first.index, second.index);
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&'b')));
        assert_eq!(slots.remove(first), None);
        assert_eq!((slots.len(), slots.ids().count()), (1, 1));
    }
}
