//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 sections 9.1, 9.2 and 14.5, 14.6).
//!
//! A key is prepared once: the two blocks that HMAC spends on its key are not computed again for each message.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::AttributeKind;
use super::credentials::PasswordAlgorithm;
use super::hmac_sha1::HmacSha1;
use super::message::{HEADER_BYTES, Message};
use super::writer::Writer;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Why a message is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum IntegrityFailure {
    /// It carries no integrity attribute of the kind that was asked for.
    #[error("the message has no integrity attribute")]
    Missing,
    /// It was made with another key, or changed on the way.
    #[error("the message's integrity attribute does not fit")]
    Wrong,
}

/// A key for either integrity attribute, prepared. Clones share it.
#[derive(Clone)]
pub struct IntegrityKey(Arc<Prepared>);

struct Prepared {
    sha1: HmacSha1,
    sha256: Hmac<Sha256>,
}

impl IntegrityKey {
    /// The key of short-term credentials: the password (RFC 8489 section 9.1.1).
    #[must_use]
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(password.as_bytes())
    }

    /// The key of long-term credentials (RFC 8489 section 18.5.1). Name, realm and password are taken as they are; those beyond ASCII
    /// should have been prepared by RFC 8265.
    #[must_use]
    pub fn long_term(algorithm: PasswordAlgorithm, username: &str, realm: &str, password: &str) -> Self {
        let parts = [username, ":", realm, ":", password];
        match algorithm {
            PasswordAlgorithm::Md5 => Self::from_bytes(&digest::<Md5>(&parts)),
            PasswordAlgorithm::Sha256 => Self::from_bytes(&digest::<Sha256>(&parts)),
        }
    }

    /// A key that somebody else has made.
    #[must_use]
    pub fn from_bytes(key: &[u8]) -> Self {
        // HMAC takes keys of any length.
        let sha256 = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self(Arc::new(Prepared { sha1: HmacSha1::new(key), sha256 }))
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IntegrityKey")
    }
}

fn digest<D: Digest>(parts: &[&str]) -> digest_output::Output<D> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// The output type of a digest, by the name its trait crate gives it.
mod digest_output {
    pub(super) type Output<D> = md5::digest::Output<D>;
}

/// What a user name hides behind: SHA-256 of name and realm (RFC 8489 section 14.4).
#[must_use]
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    digest::<Sha256>(&[username, ":", realm]).into()
}

/// The first four bytes of a message, with the length field as it was when the integrity attribute at `at` was the last one.
fn head(bytes: &[u8], at: usize, attribute_bytes: usize) -> [u8; 4] {
    let length = at.saturating_add(attribute_bytes).saturating_sub(HEADER_BYTES);
    let [l0, l1] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let [t0, t1] = bytes.first_chunk().copied().unwrap_or_default();
    [t0, t1, l0, l1]
}

/// The code of the message up to the integrity attribute at `at`.
fn sha1_code(key: &IntegrityKey, bytes: &[u8], at: usize) -> [u8; 20] {
    key.0.sha1.code(head(bytes, at, 24), bytes.get(..at).unwrap_or_default())
}

fn sha256_code(key: &IntegrityKey, bytes: &[u8], at: usize, attribute_bytes: usize) -> [u8; 32] {
    let mut mac = key.0.sha256.clone();
    mac.update(&head(bytes, at, attribute_bytes));
    mac.update(bytes.get(4..at).unwrap_or_default());
    mac.finalize().into_bytes().into()
}

impl Message<'_> {
    /// Checks MESSAGE-INTEGRITY-SHA256 if there is one, else MESSAGE-INTEGRITY. In constant time.
    ///
    /// # Errors
    /// It is missing or wrong.
    pub fn verify(&self, key: &IntegrityKey) -> Result<(), IntegrityFailure> {
        if self.has_integrity_sha256() { self.verify_sha256(key) } else { self.verify_sha1(key) }
    }

    /// Checks MESSAGE-INTEGRITY.
    ///
    /// # Errors
    /// It is missing or wrong.
    pub fn verify_sha1(&self, key: &IntegrityKey) -> Result<(), IntegrityFailure> {
        let (at, value) = self.integrity_place().ok_or(IntegrityFailure::Missing)?;
        compare(&sha1_code(key, self.bytes(), at), value)
    }

    /// Checks MESSAGE-INTEGRITY-SHA256, which may be truncated to 16 bytes or more.
    ///
    /// # Errors
    /// It is missing or wrong.
    pub fn verify_sha256(&self, key: &IntegrityKey) -> Result<(), IntegrityFailure> {
        let (at, value) = self.integrity_sha256_place().ok_or(IntegrityFailure::Missing)?;
        let whole = sha256_code(key, self.bytes(), at, value.len().saturating_add(4));
        compare(whole.get(..value.len()).unwrap_or_default(), value)
    }
}

fn compare(expected: &[u8], value: &[u8]) -> Result<(), IntegrityFailure> {
    if bool::from(expected.ct_eq(value)) { Ok(()) } else { Err(IntegrityFailure::Wrong) }
}

impl Writer<'_> {
    /// Adds MESSAGE-INTEGRITY.
    pub fn integrity(&mut self, key: &IntegrityKey) {
        let code = sha1_code(key, self.so_far(), self.written());
        self.attribute(AttributeKind::MESSAGE_INTEGRITY, &code);
    }

    /// Adds MESSAGE-INTEGRITY-SHA256 in full length.
    pub fn integrity_sha256(&mut self, key: &IntegrityKey) {
        let code = sha256_code(key, self.so_far(), self.written(), 36);
        self.attribute(AttributeKind::MESSAGE_INTEGRITY_SHA256, &code);
    }
}
