//! DTLS for SRTP (RFC 5763, 5764): who we are, and what a library for it must do.
//!
//! The library is behind two small traits, so that another one can take its place: [`Library`] makes associations for one
//! certificate, [`Association`] is one of them. The one that is kept (`kept`) was chosen by test: it shakes hands with browsers,
//! which offer DTLS 1.3 and take 1.2, and with telephones whose certificate is an RSA one. Certificates are made for
//! this alone and checked by the fingerprints in the descriptions (`side`); no authority vouches for them.
//!
//! What is random in a handshake beyond its nonces comes from the library's own generator: a seed does not replay it.

mod kept;
mod side;

pub(super) use side::{DtlsNews, DtlsSide, Whence};

use bytes::Bytes;
use denwa_rtp::srtp::Suite;
use denwa_sdp::{AgreedDtls, DtlsRole, LocalFingerprint, RemoteFingerprint};
use ring::digest;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

/// Our certificate with its key, and the library that shakes hands with it. Cheap to clone; one does for all calls of a program.
#[derive(Clone)]
pub struct Identity(Arc<dyn Library>);

impl Identity {
    /// A new certificate: ECDSA with P-256, signed by itself, telling nothing about us. Takes the system's entropy.
    ///
    /// # Errors
    /// The system has no entropy to give.
    pub fn generate() -> Result<Self, Failure> {
        kept::Kept::generate().map(|library| Self(Arc::new(library)))
    }

    /// Another library.
    pub fn with_library(library: Arc<dyn Library>) -> Self {
        Self(library)
    }

    /// The fingerprint to tell the peer: SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> LocalFingerprint {
        let hash = digest::digest(&digest::SHA256, self.0.certificate());
        LocalFingerprint { hash: "sha-256".to_owned(), bytes: hash.as_ref().to_vec() }
    }

    fn begin(&self, role: DtlsRole, seed: [u8; 32], now: Instant) -> Result<Box<dyn Association>, Failure> {
        self.0.begin(role, seed, now)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.certificate() == other.0.certificate()
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Makes associations for one certificate.
pub trait Library: Send + Sync {
    /// The certificate, in DER.
    fn certificate(&self) -> &[u8];

    /// Begins an association; the client's first message waits in [`Association::poll_transmit`]. It must ask the peer for its
    /// certificate, and offer the profiles of SRTP.
    ///
    /// # Errors
    /// The library cannot.
    fn begin(&self, role: DtlsRole, seed: [u8; 32], now: Instant) -> Result<Box<dyn Association>, Failure>;
}

/// One association, without a socket.
pub trait Association: Send {
    /// Takes a datagram.
    ///
    /// # Errors
    /// The association is at its end.
    fn receive(&mut self, datagram: &[u8], now: Instant) -> Result<(), Failure>;

    /// Does what is due: sends the last messages again.
    ///
    /// # Errors
    /// The peer has not answered for too long.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure>;

    /// When that is wanted next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next datagram to send.
    fn poll_transmit(&mut self) -> Option<Bytes>;

    /// What the handshake came to, once it is complete and the peer has proved that the certificate is its own.
    fn established(&self) -> Option<Established>;

    /// Says good-bye.
    fn close(&mut self, now: Instant);
}

/// What a handshake came to.
pub struct Established {
    /// The peer's certificate, in DER.
    pub certificate: Vec<u8>,
    /// The suite of SRTP that was agreed on.
    pub suite: Suite,
    /// What the exporter gave for `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2).
    pub material: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Established {
    // Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The peer does not answer.
    NoAnswer,
    /// The peer's certificate is not the one its description names.
    WrongCertificate,
    /// The description names it by hash functions that are not known here.
    UnknownHash(String),
    /// No suite of SRTP is common to both.
    NoCommonSuite,
    /// The peer ended the association, or broke the rules; in the library's words.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("the peer does not answer"),
            Self::WrongCertificate => {
                f.write_str("the peer's certificate is not the one its description names")
            }
            Self::UnknownHash(hash) => {
                write!(f, "the peer names its certificate by {hash}, which is not known")
            }
            Self::NoCommonSuite => f.write_str("no suite of SRTP is common to both"),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

/// What DTLS must know of what was agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsParameters {
    /// Which end this side is.
    pub role: DtlsRole,
    /// The hashes of the peer's certificate.
    pub fingerprints: Vec<RemoteFingerprint>,
    /// The association's name, when the peer gives it one.
    pub tls_id: Option<String>,
}

impl From<&AgreedDtls> for DtlsParameters {
    fn from(agreed: &AgreedDtls) -> Self {
        Self { role: agreed.role, fingerprints: agreed.fingerprints.clone(), tls_id: agreed.tls_id.clone() }
    }
}

/// Whether a certificate is the one that fingerprints name: by the strongest function that is understood (RFC 8122 §5), of which
/// one of possibly several hashes has to fit.
fn check(certificate: &[u8], fingerprints: &[RemoteFingerprint]) -> Result<(), Failure> {
    let known: [(&str, &'static digest::Algorithm); 4] = [
        ("sha-512", &digest::SHA512),
        ("sha-384", &digest::SHA384),
        ("sha-256", &digest::SHA256),
        ("sha-1", &digest::SHA1_FOR_LEGACY_USE_ONLY),
    ];
    for (name, algorithm) in known {
        let mut named = fingerprints.iter().filter(|it| it.hash.eq_ignore_ascii_case(name)).peekable();
        if named.peek().is_none() {
            continue;
        }
        let hash = digest::digest(algorithm, certificate);
        let fits = named.any(|fingerprint| fingerprint.bytes == hash.as_ref());
        return if fits { Ok(()) } else { Err(Failure::WrongCertificate) };
    }
    let names: Vec<&str> = fingerprints.iter().map(|fingerprint| fingerprint.hash.as_str()).collect();
    Err(Failure::UnknownHash(names.join(", ")))
}

#[cfg(test)]
mod tests;
