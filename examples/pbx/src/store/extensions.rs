//! Extensions made by the first run or by `pbx extensions`: a name, codecs, and digests of the password, never itself but
//! where a telephone asks for it: there it is encrypted under the key file.

use std::time::SystemTime;

use denwa_sip_core::auth::algorithm::{Hash, HexDigest};
use denwa_sip_core::auth::secret::Ha1Set;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Store, StoreError, milliseconds, time};
use crate::config::{Codec, Secret};

/// An extension in the store.
#[derive(Clone, Debug)]
pub struct StoredExtension {
    /// The number dialled, and the user name registered with.
    pub number: String,
    /// The name shown to those it calls; may be empty.
    pub name: String,
    /// The realm the digests were made with.
    pub realm: String,
    /// HA1 of number, realm and password (RFC 7616 section 3.4.2), for each hash.
    pub digests: Ha1Set,
    /// The password encrypted under the key file, when its telephone challenges calls to it; else empty.
    pub sealed: String,
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
    /// Who made it.
    pub made_by: MadeBy,
    /// When.
    pub made_at: SystemTime,
}

impl StoredExtension {
    /// An extension whose password is kept as digests only.
    pub fn new(
        number: &str,
        name: &str,
        realm: &str,
        password: &Secret,
        made_by: MadeBy,
        now: SystemTime,
    ) -> Self {
        Self {
            number: number.to_owned(),
            name: name.to_owned(),
            realm: realm.to_owned(),
            digests: Ha1Set::of_password(number, realm, password.reveal()),
            sealed: String::new(),
            codecs: Codec::DEFAULT.to_vec(),
            made_by,
            made_at: now,
        }
    }
}

/// Who made an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// The first start of an exchange without any.
    FirstRun,
    /// `pbx extensions add`.
    Command,
}

impl MadeBy {
    fn text(self) -> &'static str {
        match self {
            Self::FirstRun => "first run",
            Self::Command => "command",
        }
    }
}

impl Store {
    /// Every extension, by number.
    pub fn extensions(&self) -> Result<Vec<StoredExtension>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM extensions ORDER BY number")?;
        let rows = statement.query_map([], from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The extension of a number.
    pub fn extension(&self, number: &str) -> Result<Option<StoredExtension>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM extensions WHERE number = ?1")?;
        Ok(statement.query_row([number], from_row).optional()?)
    }

    /// Writes extensions, each in the place of one of its number.
    pub fn put_extensions(&mut self, extensions: &[StoredExtension]) -> Result<(), StoreError> {
        self.together(|transaction| extensions.iter().try_for_each(|extension| put(transaction, extension)))
    }

    /// Removes an extension and its registrations; tells whether it was there.
    pub fn remove_extension(&mut self, number: &str) -> Result<bool, StoreError> {
        self.together(|transaction| {
            transaction.execute("DELETE FROM registrations WHERE number = ?1", [number])?;
            transaction.execute("DELETE FROM settings WHERE number = ?1", [number])?;
            Ok(transaction.execute("DELETE FROM extensions WHERE number = ?1", [number])? > 0)
        })
    }
}

fn put(transaction: &Transaction<'_>, extension: &StoredExtension) -> rusqlite::Result<()> {
    let digest =
        |hash| extension.digests.get(hash).map(|digest| digest.as_str().to_owned()).unwrap_or_default();
    let codecs: Vec<&str> = extension.codecs.iter().map(|codec| codec.name()).collect();
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO extensions
             (number, name, realm, ha1_md5, ha1_sha256, ha1_sha512, codecs, made_by, made_at, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            extension.number,
            extension.name,
            extension.realm,
            digest(Hash::Md5),
            digest(Hash::Sha256),
            digest(Hash::Sha512Slash256),
            codecs.join(" "),
            extension.made_by.text(),
            milliseconds(extension.made_at),
            extension.sealed,
        ])?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredExtension> {
    let codecs: String = row.get("codecs")?;
    let made_by: String = row.get("made_by")?;
    let mut digests = Ha1Set::default();
    for (hash, column) in
        [(Hash::Md5, "ha1_md5"), (Hash::Sha256, "ha1_sha256"), (Hash::Sha512Slash256, "ha1_sha512")]
    {
        let text: String = row.get(column)?;
        if let Some(digest) = HexDigest::parse(&text) {
            digests.insert(hash, digest);
        }
    }
    Ok(StoredExtension {
        number: row.get("number")?,
        name: row.get("name")?,
        realm: row.get("realm")?,
        digests,
        codecs: codecs.split(' ').filter_map(Codec::by_name).collect(),
        made_by: if made_by == MadeBy::FirstRun.text() { MadeBy::FirstRun } else { MadeBy::Command },
        made_at: time(row.get("made_at")?),
        sealed: row.get("sealed")?,
    })
}
