//! Who may allocate: users with passwords, time-limited names made with a shared secret, or whoever the application knows.
//!
//! Keys are made for the algorithm that the request chose. Nothing here stores anything for strangers.

use crate::stun::integrity::userhash;
use crate::stun::{IntegrityKey, PasswordAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Where keys come from.
#[derive(Clone, Default)]
pub enum CredentialSource {
    /// Nobody may allocate.
    #[default]
    Nobody,
    /// These users.
    Users(Users),
    /// Names `expiry[:anything]` (seconds since 1970), whose password is the base64 of HMAC-SHA1 of the name by this secret: what web
    /// applications hand out by REST.
    SharedSecret(Zeroizing<Vec<u8>>),
    /// The application is asked ([`Lookup`](super::ServerOutput::Lookup)).
    Application,
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => formatter.write_str("Nobody"),
            Self::Users(users) => write!(formatter, "Users({})", users.0.len()),
            Self::SharedSecret(_) => formatter.write_str("SharedSecret"),
            Self::Application => formatter.write_str("Application"),
        }
    }
}

/// Users and their passwords.
#[derive(Clone, Default)]
pub struct Users(BTreeMap<String, Zeroizing<String>>);

impl fmt::Debug for Users {
    /// The names, not the passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Users {
    /// Adds a user, or changes his password.
    pub fn insert(&mut self, name: &str, password: &str) {
        self.0.insert(name.to_owned(), Zeroizing::new(password.to_owned()));
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Users {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut users = Self::default();
        pairs.into_iter().for_each(|(name, password)| users.insert(name, password));
        users
    }
}

/// What the application knows of a user.
#[derive(Clone)]
pub enum Secret {
    /// His password.
    Password(Zeroizing<String>),
    /// Only the key made by MD5 of name, realm and password.
    Md5([u8; 16]),
    /// Only the key made by SHA-256.
    Sha256([u8; 32]),
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// How a request names its sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claim {
    /// USERNAME.
    Name(String),
    /// USERHASH.
    Hash([u8; 32]),
}

/// What a source says at once.
pub(super) enum Answer {
    Key { user: String, key: IntegrityKey },
    Unknown,
    Ask,
}

impl CredentialSource {
    /// Time-limited names made with this secret.
    #[must_use]
    pub fn shared_secret(secret: &str) -> Self {
        Self::SharedSecret(Zeroizing::new(secret.as_bytes().to_vec()))
    }

    /// Whether USERHASH can be undone.
    pub(super) const fn supports_hashes(&self) -> bool {
        matches!(self, Self::Users(_) | Self::Application)
    }

    /// The users by the hash of their name, which is made once: hashing every name for each request would be a stranger's lever.
    pub(super) fn names_by_hash(&self, realm: &str) -> BTreeMap<[u8; 32], String> {
        match self {
            Self::Users(users) => users.0.keys().map(|name| (userhash(name, realm), name.clone())).collect(),
            Self::Nobody | Self::SharedSecret(_) | Self::Application => BTreeMap::new(),
        }
    }

    pub(super) fn find(
        &self,
        claim: &Claim,
        names: &BTreeMap<[u8; 32], String>,
        realm: &str,
        algorithm: PasswordAlgorithm,
        unix_seconds: u64,
    ) -> Answer {
        match self {
            Self::Nobody => Answer::Unknown,
            Self::Application => Answer::Ask,
            Self::Users(users) => {
                let found = match claim {
                    Claim::Name(name) => users.0.get_key_value(name),
                    Claim::Hash(hash) => names.get(hash).and_then(|name| users.0.get_key_value(name)),
                };
                found.map_or(Answer::Unknown, |(name, password)| Answer::Key {
                    user: name.clone(),
                    key: IntegrityKey::long_term(algorithm, name, realm, password),
                })
            }
            Self::SharedSecret(secret) => {
                let Claim::Name(name) = claim else { return Answer::Unknown };
                let expiry = name.split(':').next().and_then(|text| text.parse::<u64>().ok());
                if expiry.is_none_or(|expiry| expiry < unix_seconds) {
                    return Answer::Unknown;
                }
                let password = time_limited_password(secret, name);
                let key = IntegrityKey::long_term(algorithm, name, realm, &password);
                Answer::Key { user: name.clone(), key }
            }
        }
    }
}

impl Secret {
    /// The key, if it can be made with this algorithm.
    pub(super) fn key(&self, user: &str, realm: &str, algorithm: PasswordAlgorithm) -> Option<IntegrityKey> {
        match (self, algorithm) {
            (Self::Password(password), _) => Some(IntegrityKey::long_term(algorithm, user, realm, password)),
            (Self::Md5(key), PasswordAlgorithm::Md5) => Some(IntegrityKey::from_bytes(key)),
            (Self::Sha256(key), PasswordAlgorithm::Sha256) => Some(IntegrityKey::from_bytes(key)),
            (Self::Md5(_), PasswordAlgorithm::Sha256) | (Self::Sha256(_), PasswordAlgorithm::Md5) => None,
        }
    }
}

/// The password of a time-limited name: base64 of HMAC-SHA1.
#[must_use]
pub fn time_limited_password(secret: &[u8], name: &str) -> String {
    // HMAC takes keys of any length.
    let mac = Hmac::<Sha1>::new_from_slice(secret).map(|mac| mac.chain_update(name.as_bytes()).finalize());
    mac.map_or_else(|_| String::new(), |code| STANDARD.encode(code.into_bytes()))
}
