//! How media may be encrypted: keys in the description (RFC 4568) or by DTLS (RFC 5763), wanted, offered (RFC 8643) or not.

use crate::attribute::security::{Setup, SrtpSuite};

/// Whether media is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    #[default]
    None,
    /// When the peer can.
    Offered,
    /// Always; what is not encrypted is refused.
    Required,
}

/// How media is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionCapability {
    /// Whether.
    pub policy: Encryption,
    /// Keys in the description (RFC 4568).
    pub sdes: Option<SdesCapability>,
    /// Keys by DTLS (RFC 5763).
    pub dtls: Option<DtlsCapability>,
    /// Which one to take when both are possible.
    pub preferred: KeyExchange,
    /// How encryption that is not required is offered.
    pub best_effort: BestEffort,
}

/// The ways to agree on keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// In the description.
    Sdes,
    /// By DTLS.
    Dtls,
}

/// The ways to offer encryption to a peer that may not know it. Both are in the field, and both are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BestEffort {
    /// One medium, with the plain profile and the attributes of encryption (RFC 8643).
    PlainProfile,
    /// Two media: an encrypted one, and a plain one after it.
    TwoMedia,
}

impl EncryptionCapability {
    /// No encryption.
    pub fn none() -> Self {
        Self {
            policy: Encryption::None,
            sdes: None,
            dtls: None,
            preferred: KeyExchange::Dtls,
            best_effort: BestEffort::PlainProfile,
        }
    }

    /// SDES with the suites everybody has.
    pub fn sdes(policy: Encryption) -> Self {
        Self { policy, sdes: Some(SdesCapability::default()), ..Self::none() }
    }

    /// DTLS with the hash of our certificate.
    pub fn dtls(policy: Encryption, fingerprint: LocalFingerprint) -> Self {
        let dtls = DtlsCapability { fingerprints: vec![fingerprint], setup: Setup::ActPass };
        Self { policy, dtls: Some(dtls), ..Self::none() }
    }
}

/// How SDES is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdesCapability {
    /// The suites, the most liked first.
    pub suites: Vec<SrtpSuite>,
    /// Whether the peer may leave out encryption or authentication (`UNENCRYPTED_SRTP` and its like).
    pub accept_weak: bool,
}

impl Default for SdesCapability {
    /// AES-128 in counter mode with 80-bit tags, then with 32-bit tags.
    fn default() -> Self {
        Self {
            suites: vec![SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32],
            accept_weak: false,
        }
    }
}

/// How DTLS is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsCapability {
    /// The hashes of our certificate, one function each.
    pub fingerprints: Vec<LocalFingerprint>,
    /// Which end we would like to be: `Active` and `ActPass` answer as the client, `Passive` as the server.
    /// An offer always says `actpass` (RFC 5763 §5).
    pub setup: Setup,
}

/// The hash of our certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFingerprint {
    /// The hash function: `sha-256`.
    pub hash: String,
    /// The hash.
    pub bytes: Vec<u8>,
}

impl LocalFingerprint {
    /// A SHA-256 hash.
    pub fn sha256(bytes: [u8; 32]) -> Self {
        Self { hash: "sha-256".into(), bytes: bytes.to_vec() }
    }

    /// The hash as `a=fingerprint` writes it.
    pub(crate) fn hex(&self) -> String {
        let pairs: Vec<String> = self.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}
