//! Writing, syncing, and what becomes of requests while the store cannot be written.
//!
//! A disk that is full, or a store that another program holds locked, ends no call. Registrations are answered at once, since
//! their telephones come again; call records and settings wait in memory, so many of them, and are written when that is possible again.
//! That it fails is told once, and that it does not any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::thread::{StoreAnswer, StoreRequest};
use super::{Store, StoreError, calls, registrations, settings};

/// The most call records and settings that wait, each of a kilobyte or two.
const MOST_WAITING: usize = 10_000;

/// How long a commit waits for another program. Commands take milliseconds; who takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store, and what it owes.
pub(super) struct Keeper<A> {
    store: Store,
    answer: A,
    sync: Duration,
    /// When the first of what is not synced yet was written.
    unsynced_since: Option<Instant>,
    /// What could not be written, the oldest first.
    waiting: VecDeque<StoreRequest>,
    is_failing: bool,
    settings_moved: bool,
}

impl<A: FnMut(StoreAnswer)> Keeper<A> {
    pub(super) fn new(store: Store, sync: Duration, answer: A) -> Self {
        // The time stays as it was where it cannot be set.
        let _ = store.wait_at_most(PATIENCE);
        // Where that cannot be set each commit is synced, which is more than was asked for.
        let sync = if sync.is_zero() || store.sync_later().is_err() { Duration::ZERO } else { sync };
        Self {
            store,
            answer,
            sync,
            unsynced_since: None,
            waiting: VecDeque::new(),
            is_failing: false,
            settings_moved: false,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn answer(&mut self, answer: StoreAnswer) {
        (self.answer)(answer);
    }

    /// Whether a setting was written since this was asked last.
    pub(super) fn settings_moved(&mut self) -> bool {
        std::mem::take(&mut self.settings_moved)
    }

    /// In how long a sync is due; `None` when nothing waits for one.
    pub(super) fn sync_in(&self) -> Option<Duration> {
        self.unsynced_since.map(|since| self.sync.saturating_sub(since.elapsed()))
    }

    pub(super) fn sync_when_due(&mut self) {
        if self.sync_in().is_some_and(|left| left.is_zero()) {
            self.sync_now();
        }
    }

    /// Writes these in one commit, after whatever waits, and answers each.
    pub(super) fn keep(&mut self, batch: Vec<StoreRequest>) {
        let waited = self.waiting.len();
        let mut all = std::mem::take(&mut self.waiting);
        all.extend(batch);
        match write(&mut self.store, all.iter()) {
            Ok(()) => self.kept(all, waited),
            Err(error) if error.may_pass() => self.put_off(all, &error),
            // One of them is at fault, and the others are not to suffer for it.
            Err(_) if all.len() > 1 => {
                for request in all {
                    match write(&mut self.store, std::iter::once(&request)) {
                        Ok(()) => self.kept(VecDeque::from([request]), 0),
                        Err(error) if error.may_pass() => self.put_off(VecDeque::from([request]), &error),
                        Err(error) => self.lost(&request, &error.to_string()),
                    }
                }
            }
            Err(error) => all.iter().for_each(|request| self.lost(request, &error.to_string())),
        }
    }

    /// Writes what waits, if anything does.
    pub(super) fn try_again(&mut self) {
        if !self.waiting.is_empty() {
            self.keep(Vec::new());
        }
    }

    /// The last chance of what waits.
    pub(super) fn end(mut self) {
        self.try_again();
        let reason = "the exchange ended before the store could be written again";
        for request in std::mem::take(&mut self.waiting) {
            self.lost(&request, reason);
        }
        self.sync_now();
    }

    fn sync_now(&mut self) {
        if self.unsynced_since.take().is_some()
            && let Err(error) = self.store.sync()
        {
            self.failing(&error);
        }
    }

    fn kept(&mut self, requests: VecDeque<StoreRequest>, waited: usize) {
        if !self.sync.is_zero() {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        if std::mem::take(&mut self.is_failing) {
            self.answer(StoreAnswer::Recovered { waited });
        }
        for request in requests {
            match request {
                StoreRequest::PutRegistrations { id, .. } => {
                    self.answer(StoreAnswer::Registrations { id, outcome: Ok(()) });
                }
                StoreRequest::PutCall(record) => self.answer(StoreAnswer::CallKept(record)),
                StoreRequest::PutSetting { .. } => self.settings_moved = true,
                StoreRequest::MoveClock(_) => {}
            }
        }
    }

    fn put_off(&mut self, requests: VecDeque<StoreRequest>, error: &StoreError) {
        self.failing(error);
        for request in requests {
            if matches!(request, StoreRequest::PutRegistrations { .. }) {
                self.lost(&request, &error.to_string());
                continue;
            }
            if self.waiting.len() == MOST_WAITING
                && let Some(oldest) = self.waiting.pop_front()
            {
                self.lost(&oldest, &error.to_string());
            }
            self.waiting.push_back(request);
        }
    }

    fn failing(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            self.answer(StoreAnswer::Failing { reason: error.to_string() });
        }
    }

    fn lost(&mut self, request: &StoreRequest, reason: &str) {
        let reason = reason.to_owned();
        match request {
            StoreRequest::PutRegistrations { id, .. } => {
                self.answer(StoreAnswer::Registrations { id: *id, outcome: Err(reason) });
            }
            StoreRequest::PutCall(record) => {
                self.answer(StoreAnswer::CallLost { record: record.clone(), reason });
            }
            StoreRequest::PutSetting { .. } => self.answer(StoreAnswer::SettingLost { reason }),
            // Registrations in the store lapse too early or too late, until their telephones come again.
            StoreRequest::MoveClock(_) => {}
        }
    }
}

fn write<'a>(store: &mut Store, requests: impl Iterator<Item = &'a StoreRequest>) -> Result<(), StoreError> {
    store.together(|transaction| {
        for request in requests {
            match request {
                StoreRequest::PutRegistrations { number, bindings, .. } => {
                    registrations::put(transaction, number, bindings)?;
                }
                StoreRequest::PutCall(record) => {
                    calls::put(transaction, record)?;
                }
                StoreRequest::PutSetting { number, key, value } => {
                    settings::put(transaction, number, key, value.as_deref())?;
                }
                StoreRequest::MoveClock(milliseconds) => registrations::put_off(transaction, *milliseconds)?,
            }
        }
        Ok(())
    })
}
