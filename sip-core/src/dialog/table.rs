//! Every dialog of an endpoint, and which usages hold it (RFC 5057).

use super::{Dialog, DialogIdRef};
use crate::{
    arena::{Arena, handle},
    handle::{CallHandle, SubscriptionHandle},
};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;

handle! {
    /// A dialog.
    pub(crate) DialogHandle
}

/// Who holds a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// A call: the INVITE usage.
    Call(CallHandle),
    /// A subscription of either role.
    Subscription(SubscriptionHandle),
    /// A BYE of ours without response: the call has ended, but a BYE of the peer that crosses it is no error (RFC 5407
    /// §3.2.1, the state Mortal).
    Farewell,
}

/// The table. Ids are chosen by peers, so the hasher is seeded.
#[derive(Debug)]
pub(crate) struct Dialogs {
    arena: Arena<DialogHandle, Entry>,
    by_id: HashTable<DialogHandle>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Entry {
    dialog: Box<Dialog>,
    usages: SmallVec<[Usage; 2]>,
}

impl Dialogs {
    pub(crate) fn new(hasher: FixedState) -> Self {
        Self { arena: Arena::new(), by_id: HashTable::new(), hasher }
    }

    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn insert(&mut self, dialog: Dialog, usage: Usage) -> Option<DialogHandle> {
        let hash = dialog.id.as_ref().hash_with(&self.hasher);
        let usages = SmallVec::from_slice(&[usage]);
        let handle = self.arena.insert_with(|_| Entry { dialog: Box::new(dialog), usages })?;
        let (arena, hasher) = (&self.arena, &self.hasher);
        self.by_id.insert_unique(hash, handle, |&other| rehash(arena, hasher, other));
        Some(handle)
    }

    pub(crate) fn find(&self, id: DialogIdRef<'_>) -> Option<DialogHandle> {
        let hash = id.hash_with(&self.hasher);
        self.by_id
            .find(hash, |&handle| self.arena.get(handle).is_some_and(|entry| entry.dialog.id.as_ref() == id))
            .copied()
    }

    pub(crate) fn get(&self, handle: DialogHandle) -> Option<&Dialog> {
        self.arena.get(handle).map(|entry| &*entry.dialog)
    }

    pub(crate) fn get_mut(&mut self, handle: DialogHandle) -> Option<&mut Dialog> {
        self.arena.get_mut(handle).map(|entry| &mut *entry.dialog)
    }

    pub(crate) fn usages(&self, handle: DialogHandle) -> &[Usage] {
        self.arena.get(handle).map_or(&[], |entry| &entry.usages)
    }

    pub(crate) fn add_usage(&mut self, handle: DialogHandle, usage: Usage) {
        if let Some(entry) = self.arena.get_mut(handle)
            && !entry.usages.contains(&usage)
        {
            entry.usages.push(usage);
        }
    }

    /// One usage ends; the dialog with its last one.
    pub(crate) fn release(&mut self, handle: DialogHandle, usage: Usage) {
        let Some(entry) = self.arena.get_mut(handle) else { return };
        entry.usages.retain(|own| *own != usage);
        if !entry.usages.is_empty() {
            return;
        }
        let hash = entry.dialog.id.as_ref().hash_with(&self.hasher);
        if let Ok(found) = self.by_id.find_entry(hash, |&other| other == handle) {
            found.remove();
        }
        self.arena.remove(handle);
    }
}

fn rehash(arena: &Arena<DialogHandle, Entry>, hasher: &FixedState, handle: DialogHandle) -> u64 {
    arena.get(handle).map_or(0, |entry| entry.dialog.id.as_ref().hash_with(hasher))
}
