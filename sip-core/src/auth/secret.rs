//! What proves an identity: a password, or the HA1 digests a careful store keeps instead of it (RFC 7616 §5.2).

use super::algorithm::{Hash, HexDigest};
use zeroize::{Zeroize, Zeroizing};

/// A shared secret. Wiped from memory when dropped and never shown by `Debug`.
#[derive(Clone)]
pub enum Secret {
    /// The password itself; serves every realm and algorithm.
    Password(Zeroizing<String>),
    /// HA1 = H(user ":" realm ":" password), one for each hash that may be used. Bound to one realm.
    Ha1(Ha1Set),
}

impl Secret {
    /// A password.
    #[must_use]
    pub fn password(password: impl Into<String>) -> Self {
        Self::Password(Zeroizing::new(password.into()))
    }

    /// HA1 for `hash`. `None` when the secret is HA1s and none of them is for `hash`.
    #[must_use]
    pub fn ha1(&self, hash: Hash, username: &str, realm: &str) -> Option<HexDigest> {
        match self {
            Self::Password(password) => {
                Some(hash.colon_joined(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]))
            }
            Self::Ha1(set) => set.get(hash),
        }
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Secret::Password(…)",
            Self::Ha1(_) => "Secret::Ha1(…)",
        })
    }
}

/// HA1 digests of one user in one realm, by hash.
#[derive(Clone, Default)]
pub struct Ha1Set {
    md5: Option<HexText>,
    sha256: Option<HexText>,
    sha512_256: Option<HexText>,
}

type HexText = Zeroizing<[u8; 64]>;

impl Ha1Set {
    /// The digests of a password for `realm`, under all three hashes: what a store should keep.
    #[must_use]
    pub fn of_password(username: &str, realm: &str, password: &str) -> Self {
        let mut set = Self::default();
        for hash in [Hash::Md5, Hash::Sha256, Hash::Sha512Slash256] {
            set.insert(
                hash,
                hash.colon_joined(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]),
            );
        }
        set
    }

    /// Adds one digest, replacing what was there for `hash`. A digest of the wrong length is ignored.
    pub fn insert(&mut self, hash: Hash, digest: HexDigest) {
        if digest.as_bytes().len() != hash.hex_length() {
            return;
        }
        let mut text = Zeroizing::new([0; 64]);
        for (to, from) in text.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        *self.slot(hash) = Some(text);
    }

    /// The digest for `hash`.
    #[must_use]
    pub fn get(&self, hash: Hash) -> Option<HexDigest> {
        let text = match hash {
            Hash::Md5 => &self.md5,
            Hash::Sha256 => &self.sha256,
            Hash::Sha512Slash256 => &self.sha512_256,
        };
        let text = text.as_ref()?.get(..hash.hex_length())?;
        HexDigest::parse(core::str::from_utf8(text).ok()?)
    }

    fn slot(&mut self, hash: Hash) -> &mut Option<HexText> {
        match hash {
            Hash::Md5 => &mut self.md5,
            Hash::Sha256 => &mut self.sha256,
            Hash::Sha512Slash256 => &mut self.sha512_256,
        }
    }
}

impl Drop for Ha1Set {
    fn drop(&mut self) {
        for text in [&mut self.md5, &mut self.sha256, &mut self.sha512_256].into_iter().flatten() {
            text.zeroize();
        }
    }
}

impl core::fmt::Debug for Ha1Set {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ha1Set(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_digests_equal_those_of_the_password() {
        let password = Secret::password("Circle of Life");
        let stored = Secret::Ha1(Ha1Set::of_password("Mufasa", "http-auth@example.org", "Circle of Life"));
        for hash in [Hash::Md5, Hash::Sha256, Hash::Sha512Slash256] {
            assert!(stored.ha1(hash, "Mufasa", "http-auth@example.org").is_some());
            assert_eq!(
                password.ha1(hash, "Mufasa", "http-auth@example.org"),
                stored.ha1(hash, "Mufasa", "http-auth@example.org")
            );
        }
        assert_eq!(format!("{password:?} {stored:?}"), "Secret::Password(…) Secret::Ha1(…)");
    }
}
