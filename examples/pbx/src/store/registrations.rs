//! Registrations: for each number, the contacts where its telephones are, and the flow each came on.
//!
//! The registrar gives the whole new set of a number at once, and it takes the place of the old one.

use std::net::SocketAddr;
use std::time::SystemTime;

use rusqlite::{Row, Transaction, params};

use super::{Store, StoreError, milliseconds, time};

/// One contact of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBinding {
    /// The number.
    pub number: String,
    /// The contact's URI.
    pub contact: String,
    /// The contact's header parameters that are given back, as `;+sip.instance="…"`; may be empty.
    pub parameters: String,
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// When it lapses.
    pub expires_at: SystemTime,
    /// The Call-ID of the REGISTER that made it.
    pub call_id: String,
    /// Its CSeq number.
    pub cseq: u32,
    /// Path header values (RFC 3327), joined with commas; may be empty.
    pub path: String,
    /// The transport it came by: `UDP`, `TCP`.
    pub protocol: String,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// What the telephone calls itself; may be empty.
    pub user_agent: String,
    /// `+sip.instance` (RFC 5626); may be empty.
    pub instance: String,
    /// `reg-id` (RFC 5626), 0 when there is none.
    pub reg_id: u32,
}

impl Store {
    /// Every registration that has not lapsed at `now`, by number. Lapsed ones are removed.
    pub fn registrations(&mut self, now: SystemTime) -> Result<Vec<StoredBinding>, StoreError> {
        self.together(|transaction| {
            transaction.execute("DELETE FROM registrations WHERE expires_at <= ?1", [milliseconds(now)])?;
            let mut statement = transaction.prepare_cached("SELECT * FROM registrations ORDER BY number")?;
            statement
                .query_map([], from_row)?
                .collect::<rusqlite::Result<Vec<_>>>()
                .map(|bindings| bindings.into_iter().flatten().collect())
        })
    }

    /// Puts `bindings` in the place of whatever is registered for `number`.
    pub fn put_registrations(&mut self, number: &str, bindings: &[StoredBinding]) -> Result<(), StoreError> {
        self.together(|transaction| put(transaction, number, bindings))
    }
}

pub(super) fn put(
    transaction: &Transaction<'_>,
    number: &str,
    bindings: &[StoredBinding],
) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM registrations WHERE number = ?1")?.execute([number])?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO registrations
         (number, contact, parameters, q, expires_at, call_id, cseq, path, protocol, local, remote, user_agent,
          instance, reg_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for binding in bindings {
        insert.execute(params![
            number,
            binding.contact,
            binding.parameters,
            binding.q,
            milliseconds(binding.expires_at),
            binding.call_id,
            binding.cseq,
            binding.path,
            binding.protocol,
            binding.local.to_string(),
            binding.remote.to_string(),
            binding.user_agent,
            binding.instance,
            binding.reg_id,
        ])?;
    }
    Ok(())
}

/// The clock was put forward by so many milliseconds: all lapse so much later by it.
pub(super) fn put_off(transaction: &Transaction<'_>, milliseconds: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE registrations SET expires_at = max(0, expires_at + ?1)")?
        .execute([milliseconds])?;
    Ok(())
}

/// `None` for a row that somebody else has made unreadable.
fn from_row(row: &Row<'_>) -> rusqlite::Result<Option<StoredBinding>> {
    let local: String = row.get("local")?;
    let remote: String = row.get("remote")?;
    let (Ok(local), Ok(remote)) = (local.parse(), remote.parse()) else { return Ok(None) };
    Ok(Some(StoredBinding {
        number: row.get("number")?,
        contact: row.get("contact")?,
        parameters: row.get("parameters")?,
        q: row.get("q")?,
        expires_at: time(row.get("expires_at")?),
        call_id: row.get("call_id")?,
        cseq: row.get("cseq")?,
        path: row.get("path")?,
        protocol: row.get("protocol")?,
        local,
        remote,
        user_agent: row.get("user_agent")?,
        instance: row.get("instance")?,
        reg_id: row.get("reg_id")?,
    }))
}
