//! What a machine asks the application's store: secrets of users, and bindings to be kept.
//!
//! A store is SQLite, PostgreSQL or a map in a test; it answers with [`Input::Provided`](crate::io::Input::Provided)
//! when it can. A question that stays without answer costs nothing but the request that waits for it.

use crate::{
    auth::{algorithm::Algorithm, secret::Secret},
    registrar::binding::Binding,
};
use std::sync::Arc;

/// A question to the application's store, or something to keep there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Lookup {
    /// The secret of a user in a realm. Answered by [`Provided::Secret`] or [`Provided::Nothing`].
    Credentials {
        /// The protection space.
        realm: Arc<str>,
        /// The user name as the client gave it; when `hashed`, H(user:realm) under the algorithm's hash.
        user: Arc<str>,
        /// Whether the user name is hashed (RFC 7616 §3.4.4).
        hashed: bool,
        /// The algorithm the client used.
        algorithm: Algorithm,
    },
    /// The contacts of an address of record that is not in memory. Answered by [`Provided::Bindings`] or
    /// [`Provided::Nothing`].
    Bindings {
        /// The canonical address of record.
        address_of_record: Arc<str>,
    },
    /// Keep these bindings, the whole set of an address of record, in place of those kept before. Answered by
    /// [`Provided::Stored`] once they are safe: only then is the REGISTER answered.
    StoreBindings {
        /// The canonical address of record.
        address_of_record: Arc<str>,
        /// All of them. Their `expires_at` is an instant of this machine's clock: keep what remains of it.
        bindings: Arc<[Binding]>,
    },
}

/// The store's answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Provided {
    /// There is nothing of that kind.
    Nothing,
    /// The store could not be asked, or did not keep what it was given.
    Failed,
    /// A user's secret.
    Secret {
        /// The plain user name, which differs from the one asked for only when that was hashed.
        user: Arc<str>,
        /// His secret.
        secret: Secret,
    },
    /// The bindings of an address of record.
    Bindings(Vec<Binding>),
    /// What was to be kept is safe.
    Stored,
}
