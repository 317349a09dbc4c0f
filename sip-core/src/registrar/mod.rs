//! The registrar: who can be reached where (RFC 3261 §10.3).
//!
//! Bindings are held in memory and kept by the application's store: a REGISTER is answered once the store has its
//! outcome. What concerns one address of record happens in order: a second REGISTER waits for the first one's storing.
//! Who may register what is the application's to say before `accept_registration`.

pub mod binding;

use crate::arena::{Arena, handle};
use crate::{context::IdMap, handle::RequestHandle, io::StreamId};
use binding::{Binding, ExpiryPolicy};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, Hasher as _},
    sync::Arc,
    time::Instant,
};

handle! {
    /// What is held of one address of record.
    pub(crate) RecordHandle
}

/// What a registrar grants and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// Expiry and number of bindings.
    pub expiry: ExpiryPolicy,
}

/// Every binding.
#[derive(Debug)]
pub(crate) struct Registrar {
    records: Arena<RecordHandle, Record>,
    by_name: HashTable<RecordHandle>,
    /// Which records have bindings over a connection: looked at when it closes.
    by_stream: IdMap<StreamId, Vec<RecordHandle>>,
    hasher: FixedState,
}

/// One address of record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) address_of_record: Arc<str>,
    pub(crate) bindings: Vec<Binding>,
    /// A REGISTER whose outcome is being stored, and those that wait behind it.
    pub(crate) storing: Option<RequestHandle>,
    pub(crate) waiting: VecDeque<RequestHandle>,
}

impl Record {
    /// When the next binding runs out.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.bindings.iter().map(|binding| binding.expires_at).min()
    }

    fn is_idle(&self) -> bool {
        self.bindings.is_empty() && self.storing.is_none() && self.waiting.is_empty()
    }
}

impl Registrar {
    pub(crate) fn new(hasher: FixedState) -> Self {
        Self { records: Arena::new(), by_name: HashTable::new(), by_stream: IdMap::default(), hasher }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn bindings(&self) -> usize {
        self.records.iter().map(|(_, record)| record.bindings.len()).sum()
    }

    pub(crate) fn find(&self, address_of_record: &str) -> Option<RecordHandle> {
        self.by_name
            .find(hash(&self.hasher, address_of_record), |&handle| {
                self.records.get(handle).is_some_and(|record| *record.address_of_record == *address_of_record)
            })
            .copied()
    }

    /// The record of a name, made when there is none.
    pub(crate) fn enter(&mut self, address_of_record: &str) -> Option<RecordHandle> {
        if let Some(handle) = self.find(address_of_record) {
            return Some(handle);
        }
        let handle = self.records.insert_with(|_| Record {
            address_of_record: address_of_record.into(),
            bindings: Vec::new(),
            storing: None,
            waiting: VecDeque::new(),
        })?;
        let (records, hasher) = (&self.records, &self.hasher);
        self.by_name.insert_unique(hash(hasher, address_of_record), handle, |&other| {
            records.get(other).map_or(0, |record| hash(hasher, &record.address_of_record))
        });
        Some(handle)
    }

    pub(crate) fn get(&self, handle: RecordHandle) -> Option<&Record> {
        self.records.get(handle)
    }

    pub(crate) fn get_mut(&mut self, handle: RecordHandle) -> Option<&mut Record> {
        self.records.get_mut(handle)
    }

    /// Notes over which connections a record's telephones are reached.
    pub(crate) fn note_streams(&mut self, handle: RecordHandle) {
        let Some(record) = self.records.get(handle) else { return };
        for stream in record.bindings.iter().filter_map(|binding| binding.flow.stream) {
            let records = self.by_stream.entry(stream).or_default();
            if !records.contains(&handle) {
                records.push(handle);
            }
        }
    }

    /// The records that had bindings over a connection, when it closed.
    pub(crate) fn take_stream(&mut self, stream: StreamId) -> Vec<RecordHandle> {
        self.by_stream.remove(&stream).unwrap_or_default()
    }

    /// Forgets a record that holds nothing.
    pub(crate) fn tidy(&mut self, handle: RecordHandle) {
        let Some(record) = self.records.get(handle).filter(|record| record.is_idle()) else { return };
        let hash = hash(&self.hasher, &record.address_of_record);
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == handle) {
            found.remove();
        }
        self.records.remove(handle);
    }

    /// Every address of record.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(|(_, record)| &*record.address_of_record)
    }
}

fn hash(hasher: &FixedState, name: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(name.as_bytes());
    state.finish()
}
