//! Call records: one row for each call that has ended, with its cause and the facts that show it.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Store, StoreError, milliseconds, time};

/// One call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The call's number in this store; 0 to have one chosen when it is written.
    pub call: i64,
    /// When the INVITE came.
    pub began_at: SystemTime,
    /// When it was answered, if it was.
    pub answered_at: Option<SystemTime>,
    /// When it ended.
    pub ended_at: SystemTime,
    /// The caller's number.
    pub caller: String,
    /// Where it came from: `extension 1001`, `trunk lab`.
    pub caller_side: String,
    /// The number that was dialled.
    pub dialled: String,
    /// Where it went: `extension 1002`, `trunk lab`, `service echo`; empty when nowhere.
    pub callee_side: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The status code the caller got, 200 when it was answered.
    pub status: u16,
    /// One sentence that says why it ended so; empty when it ended as calls do.
    pub cause: String,
    /// One sentence that says what to do about it; empty when there is nothing to do.
    pub remedy: String,
    /// The codec on the caller's side and on the other, as `PCMA/PCMU`; empty when none was agreed.
    pub codec: String,
    /// The facts, one a line.
    pub evidence: String,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered and hung up.
    Answered,
    /// The callee was busy.
    Busy,
    /// The callee declined.
    Declined,
    /// It rang and nobody answered.
    Unanswered,
    /// The caller gave up before it was answered.
    Cancelled,
    /// It was refused or could not be carried.
    Failed,
    /// It was answered, and ended by a fault.
    Broken,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Answered,
        Self::Busy,
        Self::Declined,
        Self::Unanswered,
        Self::Cancelled,
        Self::Failed,
        Self::Broken,
    ];

    /// One word for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::Unanswered => "unanswered",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Broken => "broken",
        }
    }
}

impl Store {
    /// The newest call records, newest first, at most `limit`.
    pub fn calls(&self, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT * FROM calls ORDER BY began_at DESC, call DESC LIMIT ?1")?;
        let rows = statement.query_map([limit], from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The record of one call.
    pub fn call(&self, call: i64) -> Result<Option<CallRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM calls WHERE call = ?1")?;
        Ok(statement.query_row([call], from_row).optional()?)
    }

    /// The highest number of a call, 0 when there is none.
    pub fn last_call(&self) -> Result<i64, StoreError> {
        Ok(self.connection.query_row("SELECT coalesce(max(call), 0) FROM calls", [], |row| row.get(0))?)
    }

    /// Writes one call record; tells its number.
    pub fn put_call(&mut self, record: &CallRecord) -> Result<i64, StoreError> {
        self.together(|transaction| put(transaction, record))
    }
}

pub(super) fn put(transaction: &Transaction<'_>, record: &CallRecord) -> rusqlite::Result<i64> {
    let call = (record.call != 0).then_some(record.call);
    transaction
        .prepare_cached(
            "INSERT INTO calls
             (call, began_at, answered_at, ended_at, caller, caller_side, dialled, callee_side, outcome, status, cause,
              remedy, codec, evidence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            call,
            milliseconds(record.began_at),
            record.answered_at.map(milliseconds),
            milliseconds(record.ended_at),
            record.caller,
            record.caller_side,
            record.dialled,
            record.callee_side,
            record.outcome.text(),
            record.status,
            record.cause,
            record.remedy,
            record.codec,
            record.evidence,
        ])?;
    Ok(transaction.last_insert_rowid())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<CallRecord> {
    let outcome: String = row.get("outcome")?;
    let answered_at: Option<i64> = row.get("answered_at")?;
    Ok(CallRecord {
        call: row.get("call")?,
        began_at: time(row.get("began_at")?),
        answered_at: answered_at.map(time),
        ended_at: time(row.get("ended_at")?),
        caller: row.get("caller")?,
        caller_side: row.get("caller_side")?,
        dialled: row.get("dialled")?,
        callee_side: row.get("callee_side")?,
        outcome: Outcome::ALL.into_iter().find(|one| one.text() == outcome).unwrap_or(Outcome::Failed),
        status: row.get("status")?,
        cause: row.get("cause")?,
        remedy: row.get("remedy")?,
        codec: row.get("codec")?,
        evidence: row.get("evidence")?,
    })
}
