//! Long-term credentials, the client's side: what a challenge asks for, and how a request answers it (RFC 8489 section 9.2).
//!
//! The server's side, which must cost nothing to those who have no credentials, is in [`crate::turn::server`].
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::attribute::{
    AttributeKind, ChosenPasswordAlgorithm, Nonce, PasswordAlgorithms, Realm, UserHash, Username,
};
use super::integrity::{IntegrityFailure, IntegrityKey, userhash};
use super::message::Message;
use super::writer::Writer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// How a key is made of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PasswordAlgorithm {
    /// The old way.
    Md5,
    /// The new way.
    Sha256,
}

impl PasswordAlgorithm {
    /// Its number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }

    /// The algorithm of a number.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Md5),
            2 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// What a nonce begins with that tells of security features.
pub(crate) const NONCE_COOKIE: &str = "obMatJos2";
/// Erratum 6290: bits are counted from the least significant one.
pub(crate) const PASSWORD_ALGORITHMS_BIT: u32 = 1;
pub(crate) const USERNAME_ANONYMITY_BIT: u32 = 2;

/// The security features that a nonce tells of; `None` when it is an old server's.
#[must_use]
pub(crate) fn features(nonce: &str) -> Option<u32> {
    let encoded = nonce.strip_prefix(NONCE_COOKIE)?.get(..4)?;
    let mut bits = [0; 3];
    (STANDARD.decode_slice(encoded, &mut bits) == Ok(3)).then(|| {
        let [b0, b1, b2] = bits;
        u32::from_be_bytes([0, b0, b1, b2])
    })
}

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ChallengeRefused {
    /// It has no realm or no nonce, or they are not text.
    #[error("the challenge has no realm or no nonce")]
    Incomplete,
    /// The nonce tells of password algorithms, and there are none: somebody took them out.
    #[error("the password algorithms that the nonce tells of are missing")]
    BidDown,
    /// None of the password algorithms is known here.
    #[error("none of the server's password algorithms is known")]
    NoAlgorithm,
    /// The same realm refused the same name and password already.
    #[error("the server refuses this user name and password")]
    Refused,
}

/// A name, a password, and what the server has said about how to use them.
#[derive(Clone)]
pub struct LongTerm {
    username: String,
    password: Zeroizing<String>,
    session: Option<Session>,
}

#[derive(Clone)]
struct Session {
    realm: String,
    nonce: String,
    /// The server's list, to be given back as it came.
    algorithms: Option<Vec<u8>>,
    algorithm: PasswordAlgorithm,
    anonymous: bool,
    key: IntegrityKey,
}

impl fmt::Debug for LongTerm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LongTerm").field("username", &self.username).finish_non_exhaustive()
    }
}

impl LongTerm {
    /// A name and a password; those beyond ASCII should have been prepared by RFC 8265.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: Zeroizing::new(password.to_owned()), session: None }
    }

    /// The name.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Whether the server has named its realm.
    #[must_use]
    pub const fn is_challenged(&self) -> bool {
        self.session.is_some()
    }

    /// Learns from an error response 401 or 438 what the next request must carry. `sent`: whether the refused request carried
    /// these credentials already.
    ///
    /// # Errors
    /// There is no point in trying again.
    pub fn challenge(
        &mut self,
        response: &Message<'_>,
        stale: bool,
        sent: bool,
    ) -> Result<(), ChallengeRefused> {
        let text = |found: Result<Option<&str>, _>| -> Result<String, ChallengeRefused> {
            found.ok().flatten().map(str::to_owned).ok_or(ChallengeRefused::Incomplete)
        };
        let nonce = text(response.get::<Nonce>().map(|it| it.map(|nonce| nonce.0)))?;
        let realm = match (text(response.get::<Realm>().map(|it| it.map(|realm| realm.0))), &self.session) {
            (Ok(realm), _) => realm,
            // A 438 without a realm: the old one holds.
            (Err(_), Some(session)) if stale => session.realm.clone(),
            (Err(refused), _) => return Err(refused),
        };
        let features = features(&nonce).unwrap_or(0);
        let offered = response.get::<PasswordAlgorithms<'_>>().ok().flatten();
        let algorithm = match offered {
            None if features & PASSWORD_ALGORITHMS_BIT != 0 => return Err(ChallengeRefused::BidDown),
            None => PasswordAlgorithm::Md5,
            Some(offered) => offered.known().next().ok_or(ChallengeRefused::NoAlgorithm)?,
        };
        if let Some(session) = &self.session
            && sent
            && !stale
            && session.realm == realm
            && session.algorithm == algorithm
        {
            return Err(ChallengeRefused::Refused);
        }
        let key = match &self.session {
            Some(session) if session.realm == realm && session.algorithm == algorithm => session.key.clone(),
            _ => IntegrityKey::long_term(algorithm, &self.username, &realm, &self.password),
        };
        self.session = Some(Session {
            realm,
            nonce,
            algorithms: offered.map(|list| list.0.to_vec()),
            algorithm,
            anonymous: features & USERNAME_ANONYMITY_BIT != 0,
            key,
        });
        Ok(())
    }

    /// Adds what the server has asked for, and the integrity attribute; nothing before the first challenge.
    pub fn sign(&self, writer: &mut Writer<'_>) {
        let Some(session) = &self.session else { return };
        if session.anonymous {
            writer.put(&UserHash(userhash(&self.username, &session.realm)));
        } else {
            writer.put(&Username(&self.username));
        }
        writer.put(&Realm(&session.realm));
        writer.put(&Nonce(&session.nonce));
        match &session.algorithms {
            Some(list) => {
                writer.attribute(AttributeKind::PASSWORD_ALGORITHMS, list);
                writer.put(&ChosenPasswordAlgorithm(session.algorithm));
                writer.integrity_sha256(&session.key);
            }
            None => writer.integrity(&session.key),
        }
    }

    /// Whether a response is the server's.
    ///
    /// # Errors
    /// It is not signed, or not by somebody who knows the password.
    pub fn verify(&self, response: &Message<'_>) -> Result<(), IntegrityFailure> {
        match &self.session {
            Some(session) => response.verify(&session.key),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_tells_of_features_in_the_order_of_the_erratum() {
        assert_eq!(features("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"), Some(USERNAME_ANONYMITY_BIT));
        assert_eq!(features("obMatJos2AAAB"), Some(PASSWORD_ALGORITHMS_BIT));
        assert_eq!(features("f//499k954d6OL34oL9FSTvy64sA"), None);
        assert_eq!(features("obMatJos2AA"), None);
    }
}
