//! The store on a thread of its own, so that signalling never waits for a disk.
//!
//! Whatever is queued when the thread looks is written in one commit: a storm of registrations costs one, not one each, and
//! while registrations keep coming each commit waits a moment for company. Answers are given only after the commit. The queue
//! is bounded by what the exchange leaves unanswered, which its own limits bound. The thread also looks, now and then,
//! whether a command has changed the store. What it does when it cannot write is told in `keeper`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::keeper::Keeper;
use super::{CallRecord, Store, StoreError, StoredBinding, StoredExtension, StoredSetting};

/// How often the store is looked at for changes by commands.
const GLANCE: Duration = Duration::from_secs(2);

/// The most requests written in one commit.
const BATCH: usize = 256;

/// While requests keep coming, commits are so far apart: a telephone waits for its answer ten times as long before it asks again.
const GATHER: Duration = Duration::from_millis(40);

/// After a wait in vain so many commits do not wait: whoever asks one thing after the other is not slowed down.
const ALONE: u32 = 16;

/// Something to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// These take the place of whatever is registered for `number`. Answered with [`StoreAnswer::Registrations`].
    PutRegistrations {
        /// Given back with the answer.
        id: u64,
        /// The number.
        number: String,
        /// All its bindings.
        bindings: Vec<StoredBinding>,
    },
    /// Somebody sets something for his extension; `None` leaves it to the file again. Answered with
    /// [`StoreAnswer::People`].
    PutSetting {
        /// The extension.
        number: String,
        /// What.
        key: String,
        /// To what.
        value: Option<String>,
    },
    /// A call has ended. Answered with [`StoreAnswer::CallKept`].
    PutCall(Arc<CallRecord>),
    /// The clock of the machine was put forward, or back when negative, by so many milliseconds: what lapses at a time of day
    /// lapses when it would have.
    MoveClock(i64),
}

/// What became of a request, or news from the store.
#[derive(Clone, Debug)]
pub enum StoreAnswer {
    /// Registrations are on disk, or could not be written for the reason given.
    Registrations {
        /// That of the request.
        id: u64,
        /// Why not, in one sentence.
        outcome: Result<(), String>,
    },
    /// A call record is on disk.
    CallKept(Arc<CallRecord>),
    /// A call record could not be written, and will not be.
    CallLost {
        /// The record.
        record: Arc<CallRecord>,
        /// Why not, in one sentence.
        reason: String,
    },
    /// A setting could not be written.
    SettingLost {
        /// Why not, in one sentence.
        reason: String,
    },
    /// The store cannot be written. Call records and settings wait in memory, and are tried again.
    Failing {
        /// Why not and what helps, in one sentence.
        reason: String,
    },
    /// It can again, and so many call records and settings that waited are in it now.
    Recovered {
        /// How many.
        waited: usize,
    },
    /// The extensions or their settings have changed, by a command or by [`StoreRequest::PutSetting`].
    People(People),
}

/// What the store knows about the extensions.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Those that commands made.
    pub extensions: Vec<StoredExtension>,
    /// What was set for them and for those of the file.
    pub settings: Vec<StoredSetting>,
}

impl People {
    /// Reads them.
    ///
    /// # Errors
    /// When the store fails.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { extensions: store.extensions()?, settings: store.settings()? })
    }
}

/// The thread. It ends when every sender of its queue is gone and what was queued is written; dropping this waits for it.
#[derive(Debug)]
pub struct StoreThread {
    thread: Option<JoinHandle<()>>,
}

impl StoreThread {
    /// Starts it; `answer` is called on it. What is written is synced after `sync` at the latest, before it is answered when
    /// that is zero.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn start(
        store: Store,
        queue: Receiver<StoreRequest>,
        sync: Duration,
        answer: impl FnMut(StoreAnswer) + Send + 'static,
    ) -> io::Result<Self> {
        let work = move || serve(Keeper::new(store, sync, answer), &queue);
        Ok(Self { thread: Some(thread::Builder::new().name("store".to_owned()).spawn(work)?) })
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic on the thread has been reported by then; there is nobody to hand it on to.
            let _ = thread.join();
        }
    }
}

/// When a commit waits for company.
#[derive(Default)]
struct Gathering {
    last: Option<Instant>,
    alone: u32,
}

impl Gathering {
    /// All that is to be written with the first of a commit.
    fn gather(&mut self, first: StoreRequest, queue: &Receiver<StoreRequest>) -> Vec<StoreRequest> {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH - 1));
        let wait = self.last.and_then(|last| GATHER.checked_sub(last.elapsed()));
        if let Some(wait) = wait {
            if self.alone > 0 {
                self.alone -= 1;
            } else {
                let before = batch.len();
                thread::sleep(wait);
                batch.extend(queue.try_iter().take(BATCH.saturating_sub(before)));
                if batch.len() == before {
                    self.alone = ALONE;
                }
            }
        }
        self.last = Some(Instant::now());
        batch
    }
}

fn serve(mut keeper: Keeper<impl FnMut(StoreAnswer)>, queue: &Receiver<StoreRequest>) {
    let mut version = keeper.store().version().unwrap_or(0);
    let mut gathering = Gathering::default();
    loop {
        match queue.recv_timeout(keeper.sync_in().map_or(GLANCE, |left| left.min(GLANCE))) {
            Ok(first) => {
                let batch = gathering.gather(first, queue);
                keeper.keep(batch);
            }
            Err(RecvTimeoutError::Timeout) => keeper.try_again(),
            Err(RecvTimeoutError::Disconnected) => return keeper.end(),
        }
        keeper.sync_when_due();
        let seen = keeper.store().version().unwrap_or(version);
        // One's own writes do not change the version that is seen here.
        if keeper.settings_moved() || seen != version {
            version = seen;
            if let Ok(people) = People::of(keeper.store()) {
                keeper.answer(StoreAnswer::People(people));
            }
        }
    }
}
