//! Storage behind handles: each handle names one thing for ever and is unknown once that thing is gone.
//!
//! A slot that was freed gets a new generation before it is used again; a slot whose generations are used up (2³² − 1
//! of them) is never used again. Slots are small; what is large is boxed by its owner.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{fmt, hash::Hash, marker::PhantomData, num::NonZeroU32};

/// A handle of an [`Arena`]: which slot, and the how-manieth thing in it.
pub(crate) trait Handle: Copy + Eq + Hash + fmt::Debug {
    fn new(slot: u32, generation: NonZeroU32) -> Self;
    fn slot(self) -> u32;
    fn generation(self) -> NonZeroU32;
}

/// Declares a handle type.
macro_rules! handle {
    ($(#[$doc:meta])* $visibility:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility struct $name {
            slot: u32,
            generation: core::num::NonZeroU32,
        }

        impl $crate::arena::Handle for $name {
            fn new(slot: u32, generation: core::num::NonZeroU32) -> Self {
                Self { slot, generation }
            }

            fn slot(self) -> u32 {
                self.slot
            }

            fn generation(self) -> core::num::NonZeroU32 {
                self.generation
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({}.{})"), self.slot, self.generation)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}.{}", self.slot, self.generation)
            }
        }
    };
}
pub(crate) use handle;

/// Things by handle.
#[derive(Debug)]
pub(crate) struct Arena<H, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    held: usize,
    handle: PhantomData<H>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    thing: Option<T>,
}

impl<H: Handle, T> Arena<H, T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), held: 0, handle: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.held
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Puts a thing in. `None` when 2³² slots are in use, which memory ends long before.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(H) -> T) -> Option<H> {
        self.try_insert_with(|handle| Some(make(handle)))
    }

    /// The same for a thing that may fail to be made; then nothing is put in.
    pub(crate) fn try_insert_with(&mut self, make: impl FnOnce(H) -> Option<T>) -> Option<H> {
        let handle = self.reserve()?;
        let Some(thing) = make(handle) else {
            self.free.push(handle.slot());
            return None;
        };
        let slot = self.slots.get_mut(usize::try_from(handle.slot()).ok()?)?;
        slot.thing = Some(thing);
        self.held = self.held.saturating_add(1);
        Some(handle)
    }

    fn reserve(&mut self) -> Option<H> {
        if let Some(at) = self.free.pop() {
            let slot = self.slots.get(usize::try_from(at).ok()?)?;
            return Some(H::new(at, slot.generation));
        }
        let at = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot { generation: NonZeroU32::MIN, thing: None });
        Some(H::new(at, NonZeroU32::MIN))
    }

    pub(crate) fn get(&self, handle: H) -> Option<&T> {
        let slot = self.slots.get(usize::try_from(handle.slot()).ok()?)?;
        slot.thing.as_ref().filter(|_| slot.generation == handle.generation())
    }

    pub(crate) fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        let slot = self.slots.get_mut(usize::try_from(handle.slot()).ok()?)?;
        let current = slot.generation == handle.generation();
        slot.thing.as_mut().filter(|_| current)
    }

    pub(crate) fn remove(&mut self, handle: H) -> Option<T> {
        let slot = self.slots.get_mut(usize::try_from(handle.slot()).ok()?)?;
        if slot.generation != handle.generation() {
            return None;
        }
        let thing = slot.thing.take()?;
        self.held = self.held.saturating_sub(1);
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(handle.slot());
        }
        Some(thing)
    }

    /// Every handle in slot order, which one seed replays.
    pub(crate) fn handles(&self) -> impl Iterator<Item = H> + '_ {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            slot.thing.as_ref()?;
            Some(H::new(u32::try_from(at).ok()?, slot.generation))
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (H, &T)> + '_ {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            Some((H::new(u32::try_from(at).ok()?, slot.generation), slot.thing.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    handle! {
        /// A test's.
        TestHandle
    }

    #[test]
    fn a_handle_is_never_used_again() {
        let mut arena = Arena::<TestHandle, &str>::new();
        let first = arena.insert_with(|_| "first").unwrap();
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert_with(|_| "second").unwrap();
        assert_ne!(first, second);
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&"second"));
        assert_eq!(arena.len(), 1);
        assert_eq!(arena.handles().collect::<Vec<_>>(), [second]);
        assert_eq!(format!("{second:?} {second}"), "TestHandle(0.2) 0.2");
    }

    #[test]
    fn a_worn_out_slot_is_left_alone() {
        let mut arena = Arena::<TestHandle, u8>::new();
        let first = arena.insert_with(|_| 1).unwrap();
        arena.slots[0].generation = NonZeroU32::MAX;
        let last = TestHandle::new(first.slot(), NonZeroU32::MAX);
        assert_eq!(arena.remove(last), Some(1));
        assert_eq!(arena.insert_with(|_| 2).unwrap().slot(), 1);
    }
}
