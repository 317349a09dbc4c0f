//! The registrar: who can be reached where (RFC 3261 §10.3).
//!
//! Bindings are held in memory and kept by the application's store: a REGISTER is answered once the store has its
//! outcome. What concerns one address of record happens in order: a second REGISTER waits for the first one's storing.
//! Who may register what is the application's to say before `accept_registration`.

pub mod binding;
pub(crate) mod gruu;
pub(crate) mod outbound;

use crate::arena::{Arena, handle};
use crate::{
    handle::RequestHandle,
    io::{Flow, Seed},
};
use binding::{Binding, ExpiryPolicy};
use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashTable};
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
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
    /// Whether devices that ask for it have their flows kept (RFC 5626): requests come back on them, and a binding goes
    /// when its flow does.
    pub outbound: bool,
    /// `Flow-Timer` told to them: a device that is silent for longer than this loses its flow (RFC 5626 §5.4).
    pub flow_timer: Option<Duration>,
    /// Whether devices that ask for it are granted GRUUs (RFC 5627). The application then has to look up request lines
    /// with [`Endpoint::bindings_of_gruu`](crate::endpoint::Endpoint::bindings_of_gruu).
    pub gruu: bool,
    /// What temporary GRUUs are sealed with. `None`: drawn anew, so that they end with the process.
    pub gruu_secret: Option<Seed>,
}

/// Every binding.
#[derive(Debug)]
pub(crate) struct Registrar {
    records: Arena<RecordHandle, Record>,
    by_name: HashTable<RecordHandle>,
    /// Which records have bindings over a connection, or over a UDP flow that is kept: looked at when it is gone.
    by_flow: HashMap<Flow, Vec<RecordHandle>, FixedState>,
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
        Self {
            records: Arena::new(),
            by_name: HashTable::new(),
            by_flow: HashMap::with_hasher(hasher.clone()),
            hasher,
        }
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

    /// Notes over which flows a record's telephones are reached. A flow that lost its last binding is forgotten when it
    /// is gone itself, or with the next one of the record.
    pub(crate) fn note_flows(&mut self, handle: RecordHandle) {
        let Some(record) = self.records.get(handle) else { return };
        for flow in record.bindings.iter().filter(|it| it.is_bound_to_flow()).map(|it| it.flow) {
            let records = self.by_flow.entry(flow).or_default();
            if !records.contains(&handle) {
                records.push(handle);
            }
        }
    }

    /// The bindings before a change that the one after has not: their flows lead here no more.
    pub(crate) fn forget_flows(&mut self, handle: RecordHandle, before: &[Binding]) {
        let Some(record) = self.records.get(handle) else { return };
        for flow in before.iter().filter(|it| it.is_bound_to_flow()).map(|it| it.flow) {
            if record.bindings.iter().any(|binding| binding.flow == flow) {
                continue;
            }
            if let Some(records) = self.by_flow.get_mut(&flow) {
                records.retain(|other| *other != handle);
                if records.is_empty() {
                    self.by_flow.remove(&flow);
                }
            }
        }
    }

    /// The records that had bindings over a flow, when it is gone.
    pub(crate) fn take_flow(&mut self, flow: &Flow) -> Vec<RecordHandle> {
        self.by_flow.remove(flow).unwrap_or_default()
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
