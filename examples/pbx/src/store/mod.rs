//! What must survive a restart: extensions made by commands, registrations, call records.
//!
//! One SQLite file in write-ahead mode. A commit hands everything to the system, so that what was acknowledged outlives the
//! program however it ends; against power cuts it is synced at every commit or, in a running exchange, a moment later.
//! [`Store`] is the plain, blocking form, used by commands; a running exchange talks to it through [`thread::StoreThread`].
//! Left out on purpose: anything that can be computed again, and passwords (only their digests are kept).

mod calls;
mod extensions;
mod keeper;
pub mod password;
mod registrations;
mod schema;
mod settings;
pub mod thread;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::config::StoreUrl;

pub use calls::{CallRecord, Outcome};
pub use extensions::{MadeBy, StoredExtension};
pub use registrations::StoredBinding;
pub use settings::StoredSetting;

/// How long one process waits for another that is writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store, open.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// The file of the write-ahead log; `None` in memory.
    log: Option<PathBuf>,
    /// Whether the file was made by this opening.
    made: bool,
}

/// Says, while it is held, that one exchange runs with a store, and keeps a second one from it. Commands need none.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

impl Claim {
    /// Claims the store; the system ends the claim with the program, however that ends.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another program holds it, [`StoreError::Claim`] when its file cannot be made.
    pub fn of(url: &StoreUrl) -> Result<Self, StoreError> {
        let StoreUrl::Sqlite(store) = url else { return Ok(Self { _lock: None }) };
        make_folder(store)?;
        let path = store.with_extension("lock");
        let unusable = |cause| StoreError::Claim { path: path.clone(), cause };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Who it is helps, but it is not needed.
                let _ = file.read_to_string(&mut process);
                let process = process.trim();
                let process =
                    if process.is_empty() { String::new() } else { format!(" (process {process})") };
                return Err(StoreError::Taken { path: store.clone(), process });
            }
            // File systems without locks cannot keep anybody away.
            Err(TryLockError::Error(_)) => return Ok(Self { _lock: None }),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        // On a full disk it is claimed all the same, without a name.
        let _ = written;
        Ok(Self { _lock: Some(file) })
    }
}

/// Why the store cannot be used, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder could not be made.
    #[error("cannot make the folder {} for the store: {cause}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file could not be opened or written.
    #[error("cannot use the store {}: {}", .path.display(), plain(.cause, .path))]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// The file was written by a newer program.
    #[error("the store {} was written by a newer pbx (format {found}, this one knows {known}): use that one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// A statement failed.
    #[error("{}", in_use(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// The disk did not take what was written.
    #[error("the disk did not take what was written to the store: {0}; is it failing, or full?")]
    Sync(#[from] io::Error),
    /// The file that keeps a second exchange away could not be made.
    #[error("cannot write {}, which keeps a second pbx from the store: {cause}; may this user write to its folder?", .path.display())]
    Claim {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another exchange has it.
    #[error(
        "another pbx{} runs with the store {}: end that one, or give this one a store of its own (`[store] url`)",
        .process, .path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
        /// ` (process N)`, when it is known.
        process: String,
    },
}

impl StoreError {
    /// Whether it may be better later: nothing is wrong with what was to be written.
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Self::Sqlite(cause) => matches!(
                cause.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::PermissionDenied
                        | ErrorCode::OutOfMemory
                )
            ),
            _ => false,
        }
    }
}

impl Store {
    /// Opens the store, making its folder and file when they are not there, and checks that it can be written.
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        match url {
            StoreUrl::Memory => Self::prepare(Connection::open_in_memory()?, Path::new(":memory:"), true),
            StoreUrl::Sqlite(path) => {
                make_folder(path)?;
                let made = !path.exists();
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(path, flags)
                    .map_err(|cause| StoreError::Open { path: path.clone(), cause })?;
                Self::prepare(connection, path, made)
            }
        }
    }

    /// Whether opening made a new store.
    pub fn is_new(&self) -> bool {
        self.made
    }

    /// A number that changes whenever another connection has changed the store.
    pub fn version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    /// Runs several writes as one: all of them are on disk when this returns, or none.
    pub fn together<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Waits no longer than this for another program that has it locked.
    pub fn wait_at_most(&self, patience: Duration) -> Result<(), StoreError> {
        Ok(self.connection.busy_timeout(patience)?)
    }

    /// Leaves syncing to [`sync`](Self::sync): a commit then survives the end of the program, but a power cut only once
    /// that was called.
    pub fn sync_later(&self) -> Result<(), StoreError> {
        Ok(self.connection.pragma_update(None, "synchronous", "NORMAL")?)
    }

    /// Has the disk take what was committed. What has left the write-ahead log already was synced by SQLite when it left.
    pub fn sync(&self) -> Result<(), StoreError> {
        match self.log.as_deref().map(File::open) {
            Some(Ok(log)) => Ok(log.sync_data()?),
            // Without a log there is nothing in it.
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn prepare(mut connection: Connection, path: &Path, made: bool) -> Result<Self, StoreError> {
        let open = |cause| StoreError::Open { path: path.to_owned(), cause };
        connection.busy_timeout(PATIENCE).map_err(open)?;
        // FULL syncs the write-ahead log at each commit.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304;",
            )
            .map_err(open)?;
        let found = schema::bring_up_to_date(&mut connection).map_err(open)?;
        if found > schema::FORMAT {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: schema::FORMAT });
        }
        let log = connection.path().filter(|path| !path.is_empty()).map(|path| format!("{path}-wal").into());
        Ok(Self { connection, log, made })
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder)
            .map_err(|cause| StoreError::Folder { folder: folder.to_owned(), cause }),
        _ => Ok(()),
    }
}

/// What is wrong with a store that was usable once, and what helps.
fn in_use(cause: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode;
    let remedy = match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "its disk is full: make room there",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds it locked: have that program end, or finish what it began (`fuser` names it)"
        }
        Some(ErrorCode::SystemIoFailure) => "its disk does not answer as it should: is it failing, or full?",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "it may not be written any more: give this user the file and its folder back"
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            "it is damaged: stop the exchange and put a copy in its place, or recover it (`sqlite3 FILE .recover`)"
        }
        _ => return format!("the store failed: {cause}"),
    };
    format!("the store cannot be written, {remedy}")
}

/// SQLite's words for the usual failures, with the folder, which is what has to be mended.
fn plain(cause: &rusqlite::Error, path: &Path) -> String {
    use rusqlite::ErrorCode;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match cause.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => {
            format!(
                "the file cannot be made or opened; may this user write to the folder {}?",
                folder.display()
            )
        }
        Some(ErrorCode::ReadOnly) => {
            format!(
                "it may not be written; may this user write to it and to the folder {}?",
                folder.display()
            )
        }
        Some(ErrorCode::NotADatabase) => "the file is there, but it is not an SQLite database".to_owned(),
        Some(ErrorCode::DiskFull) => "the disk is full: make room there".to_owned(),
        Some(ErrorCode::DatabaseBusy) => {
            "another program holds it locked: have that program end, or finish what it began (`fuser` names it)".to_owned()
        }
        _ => cause.to_string(),
    }
}

/// Milliseconds since 1970, as the store keeps times.
pub(crate) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time of a count of milliseconds since 1970.
pub(crate) fn time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
