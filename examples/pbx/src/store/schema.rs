//! The tables, and how a store of an older format becomes one of today's.
//!
//! `PRAGMA user_version` holds the format. Each step below is never changed once released, only followed by another.

use rusqlite::{Connection, TransactionBehavior};

/// The newest format.
pub(super) const FORMAT: i64 = STEPS.len() as i64;

/// Step `n` turns format `n` into `n + 1`.
const STEPS: [&str; 3] = [
    "
    CREATE TABLE extensions (
        number      TEXT PRIMARY KEY NOT NULL,
        name        TEXT NOT NULL,
        realm       TEXT NOT NULL,
        ha1_md5     TEXT NOT NULL,
        ha1_sha256  TEXT NOT NULL,
        ha1_sha512  TEXT NOT NULL,
        codecs      TEXT NOT NULL,
        made_by     TEXT NOT NULL,
        made_at     INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE registrations (
        number      TEXT NOT NULL,
        contact     TEXT NOT NULL,
        parameters  TEXT NOT NULL,
        q           INTEGER NOT NULL,
        expires_at  INTEGER NOT NULL,
        call_id     TEXT NOT NULL,
        cseq        INTEGER NOT NULL,
        path        TEXT NOT NULL,
        protocol    TEXT NOT NULL,
        local       TEXT NOT NULL,
        remote      TEXT NOT NULL,
        user_agent  TEXT NOT NULL,
        instance    TEXT NOT NULL,
        reg_id      INTEGER NOT NULL,
        PRIMARY KEY (number, contact, instance, reg_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE calls (
        call        INTEGER PRIMARY KEY NOT NULL,
        began_at    INTEGER NOT NULL,
        answered_at INTEGER,
        ended_at    INTEGER NOT NULL,
        caller      TEXT NOT NULL,
        caller_side TEXT NOT NULL,
        dialled     TEXT NOT NULL,
        callee_side TEXT NOT NULL,
        outcome     TEXT NOT NULL,
        status      INTEGER NOT NULL,
        cause       TEXT NOT NULL,
        remedy      TEXT NOT NULL,
        codec       TEXT NOT NULL,
        evidence    TEXT NOT NULL
    ) STRICT;
    CREATE INDEX calls_by_time ON calls (began_at);
",
    "
    CREATE TABLE settings (
        number      TEXT NOT NULL,
        key         TEXT NOT NULL,
        value       TEXT NOT NULL,
        PRIMARY KEY (number, key)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE extensions ADD COLUMN sealed TEXT NOT NULL DEFAULT '';
",
];

/// Brings the store to [`FORMAT`]; tells the format it found when that is newer, and changes nothing then.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(found).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    if found < FORMAT {
        transaction.pragma_update(None, "user_version", FORMAT)?;
    } else {
        // Proves at the start, not at the first registration, that the store can be written.
        transaction.pragma_update(None, "user_version", found)?;
    }
    transaction.commit()?;
    Ok(found)
}
