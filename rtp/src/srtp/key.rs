//! Master keys and how they are to be used. Key material is bytes here: decoding `inline:` is the description's
//! business, running the exporter that of DTLS.

use zeroize::Zeroizing;

use super::suite::{Mode, Suite};
use crate::error::Misuse;

/// A key identifier is at most this long (RFC 4568 §6.1).
pub(super) const MAXIMUM_MKI: usize = 128;
/// Master keys at the same time, told apart by their identifiers.
const MAXIMUM_KEYS: usize = 16;
/// Packets of RTP under one master key (RFC 3711 §9.2).
const MAXIMUM_PACKETS: u64 = 1 << 48;
/// Packets of RTCP under one master key.
const MAXIMUM_CONTROL_PACKETS: u64 = 1 << 31;

/// A master key and its salt.
#[derive(Clone)]
pub struct MasterKey {
    suite: Suite,
    material: Zeroizing<Vec<u8>>,
    mki: Vec<u8>,
    lifetime: u64,
}

impl MasterKey {
    /// Takes key and salt, one after the other, as `inline:` carries them in Base64 (RFC 4568 §6.1).
    ///
    /// # Errors
    /// When there are not as many octets as the suite takes.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Self, Misuse> {
        let needed = suite.key_length() + suite.salt_length();
        if key_and_salt.len() != needed {
            return Err(Misuse::KeyLength { needed, available: key_and_salt.len() });
        }
        let material = Zeroizing::new(key_and_salt.to_vec());
        Ok(Self { suite, material, mki: Vec::new(), lifetime: MAXIMUM_PACKETS })
    }

    /// Gives the key an identifier that is sent with each packet (MKI). Empty for none.
    ///
    /// # Errors
    /// When it is longer than 128 octets.
    pub fn with_mki(mut self, mki: &[u8]) -> Result<Self, Misuse> {
        if mki.len() > MAXIMUM_MKI {
            return Err(Misuse::TooLong("a key identifier has at most 128 octets"));
        }
        self.mki = mki.to_vec();
        Ok(self)
    }

    /// Limits the packets that may be sent or received under this key; RFC 3711 allows 2^48 of RTP and 2^31 of RTCP.
    ///
    /// # Errors
    /// When it is 0 or above 2^48.
    pub fn with_lifetime(mut self, packets: u64) -> Result<Self, Misuse> {
        if packets == 0 || packets > MAXIMUM_PACKETS {
            return Err(Misuse::OutOfRange("a key's lifetime is 1 to 2^48 packets"));
        }
        self.lifetime = packets;
        Ok(self)
    }

    /// Its suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) fn key(&self) -> &[u8] {
        self.material.get(..self.suite.key_length()).unwrap_or(&[])
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.material.get(self.suite.key_length()..).unwrap_or(&[])
    }

    pub(super) fn mki(&self) -> &[u8] {
        &self.mki
    }

    pub(super) const fn lifetime(&self) -> u64 {
        self.lifetime
    }

    pub(super) fn control_lifetime(&self) -> u64 {
        self.lifetime.min(MAXIMUM_CONTROL_PACKETS)
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.suite == other.suite
            && self.mki == other.mki
            && self.lifetime == other.lifetime
            && bool::from(self.material.ct_eq(&other.material))
    }
}

impl Eq for MasterKey {}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey")
            .field("suite", &self.suite)
            .field("mki", &self.mki)
            .finish_non_exhaustive()
    }
}

/// How keys are used: what both ends must agree on, and our own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Session keys are derived anew every so many packets: 0 for never, else a power of two up to 2^24.
    pub derivation_rate: u32,
    /// Packets that may come this late and still be accepted: 64 to 32768, rounded up to a multiple of 64.
    pub replay_window: u16,
    /// RTP is authenticated and not encrypted (`UNENCRYPTED_SRTP`).
    pub unencrypted_media: bool,
    /// RTCP is authenticated and not encrypted (`UNENCRYPTED_SRTCP`).
    pub unencrypted_control: bool,
    /// RTP is encrypted and not authenticated (`UNAUTHENTICATED_SRTP`); not for AEAD. Discouraged: the rollover
    /// counter is then anybody's guess.
    pub unauthenticated_media: bool,
    /// SSRCs that are kept track of; more are refused.
    pub maximum_streams: usize,
    /// Rollover counters beyond the expected one that are tried for a new SSRC: who joins late does not know how
    /// often the numbers have wrapped. Each costs an authentication.
    pub rollover_search: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            derivation_rate: 0,
            replay_window: 128,
            unencrypted_media: false,
            unencrypted_control: false,
            unauthenticated_media: false,
            maximum_streams: 16,
            rollover_search: 8,
        }
    }
}

/// Everything one direction is keyed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keying {
    pub(super) keys: Vec<MasterKey>,
    pub(super) policy: Policy,
}

impl Keying {
    /// One master key, used as RFC 3711 uses it by default.
    #[must_use]
    pub fn new(key: MasterKey) -> Self {
        Self { keys: vec![key], policy: Policy::default() }
    }

    /// Several master keys. The first is used to send; a receiver takes the one the packet names.
    ///
    /// # Errors
    /// When there is none or more than 16, when suites differ, or when identifiers are missing, alike or of different
    /// lengths; and for a policy that its suite or RFC 3711 does not allow.
    pub fn with_policy(keys: Vec<MasterKey>, policy: Policy) -> Result<Self, Misuse> {
        let Some(first) = keys.first() else { return Err(Misuse::OutOfRange("there must be a master key")) };
        if keys.len() > MAXIMUM_KEYS {
            return Err(Misuse::TooLong("at most 16 master keys"));
        }
        let alike =
            |other: &MasterKey| other.suite() == first.suite() && other.mki().len() == first.mki().len();
        if !keys.iter().all(alike) {
            return Err(Misuse::OutOfRange("master keys must have one suite and identifiers of one length"));
        }
        let mut identifiers: Vec<_> = keys.iter().map(MasterKey::mki).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        if identifiers.len() != keys.len() {
            return Err(Misuse::OutOfRange("master keys must have different identifiers"));
        }
        let rate = policy.derivation_rate;
        if rate != 0 && (!rate.is_power_of_two() || rate > 1 << 24) {
            return Err(Misuse::OutOfRange("a key derivation rate is 0 or a power of two up to 2^24"));
        }
        if !(64..=32768).contains(&policy.replay_window) {
            return Err(Misuse::OutOfRange("a replay window is 64 to 32768 packets"));
        }
        if first.suite().mode() == Mode::Galois && (policy.unauthenticated_media || policy.unencrypted_media)
        {
            return Err(Misuse::OutOfRange("AEAD encrypts and authenticates RTP, always"));
        }
        Ok(Self { keys, policy })
    }
}

/// Splits what a DTLS exporter gives (RFC 5764 §4.2): the key of whom is DTLS client, then of whom is server.
///
/// # Errors
/// When there are not twice as many octets as key and salt have.
pub fn from_dtls_exporter(suite: Suite, material: &[u8]) -> Result<(MasterKey, MasterKey), Misuse> {
    let (key, salt) = (suite.key_length(), suite.salt_length());
    let needed = 2 * (key + salt);
    let wrong = Misuse::KeyLength { needed, available: material.len() };
    if material.len() != needed {
        return Err(wrong);
    }
    let (keys, salts) = material.split_at_checked(2 * key).ok_or(wrong)?;
    let (client_key, server_key) = keys.split_at_checked(key).ok_or(wrong)?;
    let (client_salt, server_salt) = salts.split_at_checked(salt).ok_or(wrong)?;
    let joined = |key: &[u8], salt: &[u8]| MasterKey::new(suite, &Zeroizing::new([key, salt].concat()));
    Ok((joined(client_key, client_salt)?, joined(server_key, server_salt)?))
}
