//! The registrar: who can be reached where (RFC 3261 §10.3).
//!
//! Bindings are held in memory and kept by the application's store: a REGISTER is answered once the store has its
//! outcome. What concerns one address of record happens in order: a second REGISTER waits for the first one's storing.
//! Who may register what is the application's to say before `accept_registration`.

pub mod binding;
pub(crate) mod gruu;
pub(crate) mod outbound;

use crate::agenda::{Owners, Place, Queue};
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
    records: Records,
    /// When bindings run out.
    deadlines: Queue<RecordHandle>,
    by_name: HashTable<RecordHandle>,
    /// Which records have bindings over a connection, or over a UDP flow that is kept: looked at when it is gone.
    by_flow: HashMap<Flow, Vec<RecordHandle>, FixedState>,
    hasher: FixedState,
}

/// One address of record. There are many, most of them with one binding and nothing going on.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) address_of_record: Box<str>,
    pub(crate) bindings: Box<[Binding]>,
    /// The REGISTERs under way.
    turns: Option<Box<Turns>>,
    place: Place,
}

/// A REGISTER whose outcome is being stored, and those that wait behind it.
#[derive(Debug, Default)]
struct Turns {
    storing: Option<RequestHandle>,
    waiting: VecDeque<RequestHandle>,
}

impl Record {
    fn is_idle(&self) -> bool {
        self.bindings.is_empty() && self.turns.is_none()
    }

    /// A REGISTER waits for its turn.
    pub(crate) fn queue_up(&mut self, request: RequestHandle) {
        self.turns.get_or_insert_default().waiting.push_back(request);
    }

    /// The REGISTER whose turn it is; nobody's while another's outcome is being stored.
    pub(crate) fn next_turn(&mut self) -> Option<RequestHandle> {
        let turns = self.turns.as_mut().filter(|turns| turns.storing.is_none())?;
        let next = turns.waiting.pop_front();
        self.rest();
        next
    }

    pub(crate) fn is_storing(&self) -> bool {
        self.turns.as_ref().is_some_and(|turns| turns.storing.is_some())
    }

    /// The outcome of a REGISTER is being stored.
    pub(crate) fn store(&mut self, request: RequestHandle) {
        self.turns.get_or_insert_default().storing = Some(request);
    }

    /// It is stored, or could not be.
    pub(crate) fn stored(&mut self) {
        if let Some(turns) = &mut self.turns {
            turns.storing = None;
        }
        self.rest();
    }

    /// A REGISTER leaves before its turn is over.
    pub(crate) fn leave(&mut self, request: RequestHandle) {
        if let Some(turns) = &mut self.turns {
            turns.waiting.retain(|waiting| *waiting != request);
            turns.storing = turns.storing.filter(|storing| *storing != request);
        }
        self.rest();
    }

    fn rest(&mut self) {
        self.turns = self.turns.take().filter(|turns| turns.storing.is_some() || !turns.waiting.is_empty());
    }
}

/// The records, which know when their bindings run out. Boxed, so that growing moves little.
#[derive(Debug)]
struct Records(Arena<RecordHandle, Box<Record>>);

impl Owners<RecordHandle> for Records {
    fn standing(&self, key: RecordHandle) -> Option<(Place, Option<Instant>)> {
        let record = self.0.get(key)?;
        Some((record.place, record.bindings.iter().map(|binding| binding.expires_at).min()))
    }

    fn place(&mut self, key: RecordHandle, place: Place) {
        if let Some(record) = self.0.get_mut(key) {
            record.place = place;
        }
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl Registrar {
    pub(crate) fn new(hasher: FixedState, now: Instant) -> Self {
        Self {
            records: Records(Arena::new()),
            deadlines: Queue::new(now),
            by_name: HashTable::new(),
            by_flow: HashMap::with_hasher(hasher.clone()),
            hasher,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.0.len()
    }

    pub(crate) fn bindings(&self) -> usize {
        self.records.0.iter().map(|(_, record)| record.bindings.len()).sum()
    }

    /// The bindings of a record have changed.
    pub(crate) fn reschedule(&mut self, handle: RecordHandle) {
        self.deadlines.update(&mut self.records, handle);
    }

    /// When the next binding runs out.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Takes the record whose binding runs out first, if one has.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<RecordHandle> {
        self.deadlines.pop_due(&mut self.records, now)
    }

    pub(crate) fn find(&self, address_of_record: &str) -> Option<RecordHandle> {
        self.by_name
            .find(hash(&self.hasher, address_of_record), |&handle| {
                self.records
                    .0
                    .get(handle)
                    .is_some_and(|record| *record.address_of_record == *address_of_record)
            })
            .copied()
    }

    /// The record of a name, made when there is none.
    pub(crate) fn enter(&mut self, address_of_record: &str) -> Option<RecordHandle> {
        if let Some(handle) = self.find(address_of_record) {
            return Some(handle);
        }
        let record = Record {
            address_of_record: address_of_record.into(),
            bindings: Box::default(),
            turns: None,
            place: Place::NONE,
        };
        let handle = self.records.0.insert_with(|_| Box::new(record))?;
        let (records, hasher) = (&self.records.0, &self.hasher);
        self.by_name.insert_unique(hash(hasher, address_of_record), handle, |&other| {
            records.get(other).map_or(0, |record| hash(hasher, &record.address_of_record))
        });
        Some(handle)
    }

    pub(crate) fn get(&self, handle: RecordHandle) -> Option<&Record> {
        self.records.0.get(handle).map(|record| &**record)
    }

    pub(crate) fn get_mut(&mut self, handle: RecordHandle) -> Option<&mut Record> {
        self.records.0.get_mut(handle).map(|record| &mut **record)
    }

    /// Notes over which flows a record's telephones are reached. A flow that lost its last binding is forgotten when it
    /// is gone itself, or with the next one of the record.
    pub(crate) fn note_flows(&mut self, handle: RecordHandle) {
        let Some(record) = self.records.0.get(handle) else { return };
        for flow in record.bindings.iter().filter(|it| it.is_bound_to_flow()).map(|it| it.flow) {
            let records = self.by_flow.entry(flow).or_default();
            if !records.contains(&handle) {
                records.push(handle);
            }
        }
    }

    /// The bindings before a change that the one after has not: their flows lead here no more.
    pub(crate) fn forget_flows(&mut self, handle: RecordHandle, before: &[Binding]) {
        let Some(record) = self.records.0.get(handle) else { return };
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
        let Some(record) = self.records.0.get(handle).filter(|record| record.is_idle()) else { return };
        let hash = hash(&self.hasher, &record.address_of_record);
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == handle) {
            found.remove();
        }
        self.records.0.remove(handle);
    }

    /// Every address of record.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.records.0.iter().map(|(_, record)| &*record.address_of_record)
    }
}

fn hash(hasher: &FixedState, name: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(name.as_bytes());
    state.finish()
}
