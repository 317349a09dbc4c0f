//! Secrets that we must answer with, encrypted under a key file: what stands in the configuration is `sealed:…`, and of use
//! only together with the key, which only its owner can read.
//!
//! ChaCha20-Poly1305 (RFC 8439) with a random nonce for each secret; the key is 32 random bytes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// What an encrypted secret begins with.
pub const SEALED: &str = "sealed:";

/// What is encrypted is for this and nothing else.
const PURPOSE: &[u8] = b"denwa pbx secret 1";

const KEY_LEN: usize = 32;

/// A key that has been read.
pub struct KeyFile {
    key: LessSafeKey,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile(…)")
    }
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    /// When it is not there, is no key, or can be read by others.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |what: &dyn std::fmt::Display| format!("the key file {}: {what}", path.display());
        let bytes = Zeroizing::new(fs::read(path).map_err(|error| failed(&error))?);
        let mode = fs::metadata(path).map_err(|error| failed(&error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(failed(&"others can read it; `chmod 600` makes it its owner's alone"));
        }
        let text = String::from_utf8_lossy(&bytes);
        let key = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| failed(&"is no key"))?;
        Self::of(&key).ok_or_else(|| failed(&"is no key"))
    }

    /// Reads a key file, and makes it first when it is not there.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when it cannot be written or the system gives no randomness.
    pub fn open_or_make(path: &Path) -> Result<Self, String> {
        if !path.exists() {
            let failed = |what: &dyn std::fmt::Display| format!("the key file {}: {what}", path.display());
            let mut key = Zeroizing::new([0; KEY_LEN]);
            getrandom::fill(&mut *key).map_err(|error| failed(&error))?;
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder).map_err(|error| failed(&error))?;
            }
            let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let text = Zeroizing::new(STANDARD.encode(*key) + "\n");
            made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(&error))?;
        }
        Self::open(path)
    }

    fn of(key: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        Some(Self { key: LessSafeKey::new(key) })
    }

    /// Encrypts a secret: what follows `sealed:`.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(&self, secret: &str) -> Result<String, String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        let mut sealed = secret.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PURPOSE), &mut sealed)
            .map_err(|_| "it cannot be encrypted".to_owned())?;
        let mut whole = nonce.to_vec();
        whole.extend(sealed);
        Ok(STANDARD.encode(whole))
    }

    /// The secret that was encrypted.
    ///
    /// # Errors
    /// When it was encrypted under another key, or changed since.
    pub fn unseal(&self, sealed: &str) -> Result<String, String> {
        let other = || "what is sealed there was not sealed under this key file".to_owned();
        let whole = STANDARD.decode(sealed.trim()).map_err(|_| other())?;
        let (nonce, sealed) = whole.split_at_checked(NONCE_LEN).ok_or_else(other)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| other())?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let plain = self.key.open_in_place(nonce, Aad::from(PURPOSE), &mut sealed).map_err(|_| other())?;
        String::from_utf8(plain.to_vec()).map_err(|_| other())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_own_key_only() {
        let (one, other) = (KeyFile::of(&[1; KEY_LEN]).unwrap(), KeyFile::of(&[2; KEY_LEN]).unwrap());
        let sealed = one.seal("wave-kettle").unwrap();
        assert_ne!(sealed, one.seal("wave-kettle").unwrap(), "no two look alike");
        assert_eq!(one.unseal(&sealed).unwrap(), "wave-kettle");
        assert!(
            other.unseal(&sealed).is_err() && one.unseal(&sealed[4..]).is_err() && one.unseal("").is_err()
        );
    }
}
