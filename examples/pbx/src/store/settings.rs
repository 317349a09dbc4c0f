//! What people have set for their extensions from a telephone or by a command: forwarding, do-not-disturb and the like.

use rusqlite::{Transaction, params};

use super::{Store, StoreError};

/// One setting. An empty value is a choice too: it switches off what the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSetting {
    /// The extension.
    pub number: String,
    /// What is set, by the name the configuration file has for it.
    pub key: String,
    /// To what.
    pub value: String,
}

impl Store {
    /// Every setting.
    pub fn settings(&self) -> Result<Vec<StoredSetting>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT number, key, value FROM settings ORDER BY number, key")?;
        let rows = statement.query_map([], |row| {
            Ok(StoredSetting { number: row.get(0)?, key: row.get(1)?, value: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes a setting in the place of one of its name; `None` leaves it to the file again.
    pub fn put_setting(&mut self, number: &str, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.together(|transaction| put(transaction, number, key, value))
    }
}

pub(super) fn put(
    transaction: &Transaction<'_>,
    number: &str,
    key: &str,
    value: Option<&str>,
) -> rusqlite::Result<()> {
    match value {
        Some(value) => transaction
            .prepare_cached("INSERT OR REPLACE INTO settings (number, key, value) VALUES (?1, ?2, ?3)")?
            .execute(params![number, key, value])?,
        None => transaction
            .prepare_cached("DELETE FROM settings WHERE number = ?1 AND key = ?2")?
            .execute(params![number, key])?,
    };
    Ok(())
}
