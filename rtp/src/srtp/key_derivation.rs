//! Session keys from a master key: RFC 3711 §4.3 with the AES-CM function of §4.3.3, of RFC 6188 §3 for longer keys,
//! and for AEAD as RFC 7714 §11 uses it (a salt of 12 octets, filled up with zeros on the right: erratum 4938).

use zeroize::Zeroizing;

use super::{
    cipher::{Aes, SessionKeys},
    key::MasterKey,
    suite::Mode,
};

/// Labels of RFC 3711 §4.3.1 and §4.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Media,
    Control,
}

impl Purpose {
    const fn first_label(self) -> u8 {
        match self {
            Self::Media => 0,
            Self::Control => 3,
        }
    }
}

/// Octets of the HMAC-SHA1 key.
const AUTHENTICATION_KEY: usize = 20;

/// The session keys for a purpose in the given round: the packet index divided by the derivation rate, 0 when that is 0.
pub(super) fn session_keys(master: &MasterKey, purpose: Purpose, round: u64) -> SessionKeys {
    let suite = master.suite();
    let derivation = Derivation::new(master, round);
    let label = purpose.first_label();
    let mut key = Zeroizing::new([0u8; 32]);
    let key = key.get_mut(..suite.key_length()).unwrap_or(&mut []);
    derivation.fill(label, key);
    let mut authentication = Zeroizing::new([0u8; AUTHENTICATION_KEY]);
    if suite.mode() != Mode::Galois {
        derivation.fill(label + 1, &mut *authentication);
    }
    let mut salt = [0u8; 14];
    derivation.fill(label + 2, salt.get_mut(..suite.salt_length()).unwrap_or(&mut []));
    SessionKeys::new(suite, key, &authentication, salt)
}

struct Derivation {
    prf: Aes,
    /// Master salt, to be combined with label and round.
    salt: [u8; 14],
    round: u64,
}

impl Derivation {
    fn new(master: &MasterKey, round: u64) -> Self {
        let mut salt = [0; 14];
        for (room, octet) in salt.iter_mut().zip(master.salt()) {
            *room = *octet;
        }
        Self { prf: Aes::new(master.key()), salt, round }
    }

    /// The key stream at x · 2^16, where x is the salt with label and round added from the right.
    fn fill(&self, label: u8, out: &mut [u8]) {
        let [_, _, round @ ..] = self.round.to_be_bytes();
        let mut iv = [0; 16];
        for (room, octet) in iv.iter_mut().zip(self.salt) {
            *room = octet;
        }
        iv[7] ^= label;
        for (room, octet) in iv.iter_mut().skip(8).zip(round) {
            *room ^= octet;
        }
        out.fill(0);
        self.prf.apply_key_stream(&iv, out);
    }
}

#[cfg(test)]
pub(super) fn authentication_key_stream(master: &MasterKey, label: u8, out: &mut [u8]) {
    Derivation::new(master, 0).fill(label, out);
}
