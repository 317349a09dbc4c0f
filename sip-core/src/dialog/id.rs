//! What names a dialog: Call-ID and both tags (RFC 3261 §12).
//!
//! A peer of RFC 2543 may send no tag; his is then the empty one (§12.1.1).

use std::hash::BuildHasher;

/// The name of a dialog, seen from here. Owned by the dialog; looked up by [`DialogIdRef`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogId {
    /// `Call-ID`.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// The peer's tag, empty when he has none.
    pub remote_tag: Box<str>,
}

/// The same, borrowed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DialogIdRef<'a> {
    /// `Call-ID`.
    pub call_id: &'a str,
    /// Our tag.
    pub local_tag: &'a str,
    /// The peer's tag, empty when he has none.
    pub remote_tag: &'a str,
}

impl DialogId {
    /// Borrowed.
    #[must_use]
    pub fn as_ref(&self) -> DialogIdRef<'_> {
        DialogIdRef { call_id: &self.call_id, local_tag: &self.local_tag, remote_tag: &self.remote_tag }
    }
}

impl DialogIdRef<'_> {
    /// Owned.
    #[must_use]
    pub fn to_owned(&self) -> DialogId {
        DialogId {
            call_id: self.call_id.into(),
            local_tag: self.local_tag.into(),
            remote_tag: self.remote_tag.into(),
        }
    }

    /// The key under which a table holds it. The peer chooses two of the three parts, so the hasher has to be seeded.
    pub(crate) fn hash_with(&self, state: &impl BuildHasher) -> u64 {
        state.hash_one(self)
    }
}
