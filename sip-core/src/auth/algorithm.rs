//! The hash algorithms of digest authentication: RFC 7616 §3.3 and RFC 8760.
//!
//! MD5 stays because most telephones speak nothing else. SHA-512-256 is SHA-512/256 of FIPS 180-4, as erratum 4897
//! of RFC 7616 has it, not SHA-512 cut short as the example printed there was computed.

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A digest algorithm; the `-sess` forms mix nonce and client nonce into HA1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`, also meant when a challenge names no algorithm.
    Md5,
    /// `MD5-sess`.
    Md5Session,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Session,
    /// `SHA-512-256`.
    Sha512Slash256,
    /// `SHA-512-256-sess`.
    Sha512Slash256Session,
}

impl Algorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Session,
        Self::Sha256,
        Self::Sha256Session,
        Self::Sha512Slash256,
        Self::Sha512Slash256Session,
    ];

    /// The token of the `algorithm` parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Session => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Session => "SHA-256-sess",
            Self::Sha512Slash256 => "SHA-512-256",
            Self::Sha512Slash256Session => "SHA-512-256-sess",
        }
    }

    /// Reads the token of the `algorithm` parameter, whatever its case. `None` for an algorithm not spoken here.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(token))
    }

    /// Whether HA1 covers nonce and client nonce (RFC 7616 §3.4.2).
    #[must_use]
    pub const fn is_session(self) -> bool {
        matches!(self, Self::Md5Session | Self::Sha256Session | Self::Sha512Slash256Session)
    }

    /// The hash underneath, which is what a stored HA1 depends on.
    #[must_use]
    pub const fn hash(self) -> Hash {
        match self {
            Self::Md5 | Self::Md5Session => Hash::Md5,
            Self::Sha256 | Self::Sha256Session => Hash::Sha256,
            Self::Sha512Slash256 | Self::Sha512Slash256Session => Hash::Sha512Slash256,
        }
    }
}

/// The hash function under an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// RFC 1321.
    Md5,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4 SHA-512/256, which has an initial value of its own.
    Sha512Slash256,
}

impl Hash {
    /// Hashes `parts` joined by colons, the form of every digest in RFC 7616.
    #[must_use]
    pub fn colon_joined(self, parts: &[&[u8]]) -> HexDigest {
        match self {
            Self::Md5 => feed::<Md5>(parts),
            Self::Sha256 => feed::<Sha256>(parts),
            Self::Sha512Slash256 => feed::<Sha512_256>(parts),
        }
    }

    /// Length of the digest in hexadecimal characters: 32 or 64.
    #[must_use]
    pub const fn hex_length(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512Slash256 => 64,
        }
    }
}

fn feed<D: md5::Digest>(parts: &[&[u8]]) -> HexDigest {
    let mut hasher = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    HexDigest::from_raw(&hasher.finalize())
}

/// A digest in lower-case hexadecimal, the form in which digests enter further digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HexDigest {
    text: [u8; 64],
    length: u8,
}

impl HexDigest {
    /// Writes up to 32 bytes in hexadecimal; what is beyond is cut off, which no digest here reaches.
    fn from_raw(raw: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        let mut length = 0u8;
        for (pair, byte) in text.chunks_exact_mut(2).zip(raw) {
            if let [high, low] = pair {
                *high = DIGITS.get(usize::from(byte >> 4)).copied().unwrap_or(b'0');
                *low = DIGITS.get(usize::from(byte & 15)).copied().unwrap_or(b'0');
            }
            length = length.saturating_add(2);
        }
        Self { text, length }
    }

    /// Reads hexadecimal text of either case: 32 or 64 characters. `None` when it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !matches!(text.len(), 32 | 64) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut out = [0; 64];
        for (to, from) in out.iter_mut().zip(text.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        Some(Self { text: out, length: u8::try_from(text.len()).ok()? })
    }

    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The characters as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl core::fmt::Debug for HexDigest {
    // An HA1 is as good as a password for its realm: it stays out of logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HexDigest({} characters)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_in_any_case() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_token(&algorithm.as_str().to_ascii_lowercase()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_token("AKAv1-MD5"), None);
    }

    #[test]
    fn a_digest_is_read_back() {
        let digest = Hash::Sha256.colon_joined(&[b"a", b"b"]);
        assert_eq!(HexDigest::parse(&digest.as_str().to_ascii_uppercase()), Some(digest));
        assert_eq!(HexDigest::parse("12"), None);
        assert_eq!(HexDigest::parse(&"g".repeat(32)), None);
    }
}
