//! What must survive a restart: extensions made by commands, registrations, call records.
//!
//! One SQLite file in write-ahead mode, synced at every commit, so that what was acknowledged is on disk. [`Store`] is
//! the plain, blocking form, used by commands; a running exchange talks to it through [`thread::StoreThread`].
//! Left out on purpose: anything that can be computed again, and passwords (only their digests are kept).

mod calls;
mod extensions;
pub mod password;
mod registrations;
mod schema;
mod settings;
pub mod thread;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

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
    /// Whether the file was made by this opening.
    made: bool,
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
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
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

    fn prepare(mut connection: Connection, path: &Path, made: bool) -> Result<Self, StoreError> {
        let open = |cause| StoreError::Open { path: path.to_owned(), cause };
        connection.busy_timeout(PATIENCE).map_err(open)?;
        // FULL syncs the write-ahead log at each commit: a registration acknowledged is a registration kept.
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
        Ok(Self { connection, made })
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder)
            .map_err(|cause| StoreError::Folder { folder: folder.to_owned(), cause }),
        _ => Ok(()),
    }
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
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::DatabaseBusy) => "another program holds it locked".to_owned(),
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
