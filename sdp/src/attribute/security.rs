//! Attributes about encryption: `crypto` (SDES, RFC 4568), `fingerprint` (RFC 8122), `setup` and `connection`
//! (RFC 4145, RFC 5763). Keys are decoded here and used elsewhere.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use core::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::error::{ErrorKind, ParseError};
use crate::fields::{Fields, number, number64};

/// An SRTP protection profile as SDES names it (RFC 4568 §6.2, RFC 6188, RFC 7714).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpSuite {
    /// AES-128 in counter mode, 80-bit tags.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, 32-bit tags.
    AesCm128HmacSha1_32,
    /// AES-128 in f8 mode, 80-bit tags. Read, and never offered by default.
    F8_128HmacSha1_80,
    /// AES-192 in counter mode, 80-bit tags.
    AesCm192HmacSha1_80,
    /// AES-192 in counter mode, 32-bit tags.
    AesCm192HmacSha1_32,
    /// AES-256 in counter mode, 80-bit tags.
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, 32-bit tags.
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

const SUITES: &[(SrtpSuite, &str, usize, usize)] = &[
    (SrtpSuite::AesCm128HmacSha1_80, "AES_CM_128_HMAC_SHA1_80", 16, 14),
    (SrtpSuite::AesCm128HmacSha1_32, "AES_CM_128_HMAC_SHA1_32", 16, 14),
    (SrtpSuite::F8_128HmacSha1_80, "F8_128_HMAC_SHA1_80", 16, 14),
    (SrtpSuite::AesCm192HmacSha1_80, "AES_192_CM_HMAC_SHA1_80", 24, 14),
    (SrtpSuite::AesCm192HmacSha1_32, "AES_192_CM_HMAC_SHA1_32", 24, 14),
    (SrtpSuite::AesCm256HmacSha1_80, "AES_256_CM_HMAC_SHA1_80", 32, 14),
    (SrtpSuite::AesCm256HmacSha1_32, "AES_256_CM_HMAC_SHA1_32", 32, 14),
    (SrtpSuite::AeadAes128Gcm, "AEAD_AES_128_GCM", 16, 12),
    (SrtpSuite::AeadAes256Gcm, "AEAD_AES_256_GCM", 32, 12),
];

impl SrtpSuite {
    /// The suite of that name. Some phones write `AES_CM_256_…` where RFC 6188 has `AES_256_CM_…`.
    #[inline]
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let found = SUITES.iter().find(|(_, name, ..)| name.eq_ignore_ascii_case(text));
        if let Some((suite, ..)) = found {
            return Some(*suite);
        }
        match text {
            "AES_CM_192_HMAC_SHA1_80" => Some(Self::AesCm192HmacSha1_80),
            "AES_CM_192_HMAC_SHA1_32" => Some(Self::AesCm192HmacSha1_32),
            "AES_CM_256_HMAC_SHA1_80" => Some(Self::AesCm256HmacSha1_80),
            "AES_CM_256_HMAC_SHA1_32" => Some(Self::AesCm256HmacSha1_32),
            _ => None,
        }
    }

    fn row(self) -> Option<&'static (Self, &'static str, usize, usize)> {
        SUITES.iter().find(|(suite, ..)| *suite == self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().map_or("", |(_, name, ..)| name)
    }

    /// Bytes of the master key.
    #[must_use]
    pub fn key_length(self) -> usize {
        self.row().map_or(0, |(_, _, key, _)| *key)
    }

    /// Bytes of the master salt.
    #[must_use]
    pub fn salt_length(self) -> usize {
        self.row().map_or(0, |(.., salt)| *salt)
    }
}

impl fmt::Display for SrtpSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `a=crypto`: one way to encrypt, with its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Crypto<'a> {
    /// The number by which an answer names it.
    pub tag: u32,
    /// The suite, as written.
    pub suite_name: &'a str,
    /// The keys, as written.
    pub key_parameters: &'a str,
    /// The session parameters, as written.
    pub session_parameters: &'a str,
}

impl<'a> Crypto<'a> {
    /// Reads the value of `a=crypto`. The keys are checked when [`Self::keys`] goes through them.
    ///
    /// # Errors
    /// The tag is not a number of up to nine digits, or suite or keys are missing.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        let tag = fields.number(999_999_999, "a tag of up to nine digits")?;
        let suite_name = fields.expect("the name of a crypto suite")?;
        let key_parameters = fields.expect("inline: and a key")?;
        if !key_parameters.starts_with("inline:") && !key_parameters.contains(':') {
            return Err(fields.error_in(key_parameters, ErrorKind::Unexpected, "inline: and a key"));
        }
        Ok(Self { tag, suite_name, key_parameters, session_parameters: fields.remainder() })
    }

    /// The suite, if this crate knows it.
    #[must_use]
    pub fn suite(&self) -> Option<SrtpSuite> {
        SrtpSuite::parse(self.suite_name)
    }

    /// The keys: several when the sender may change among them by MKI.
    pub fn keys(&self) -> impl Iterator<Item = Result<SrtpKeyParameter<'a>, ParseError>> {
        self.key_parameters.split(';').filter(|item| !item.is_empty()).map(SrtpKeyParameter::parse)
    }

    /// The session parameters.
    pub fn parameters(&self) -> impl Iterator<Item = SrtpParameter<'a>> {
        self.session_parameters.split_ascii_whitespace().map(SrtpParameter::parse)
    }
}

impl fmt::Display for Crypto<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.tag, self.suite_name, self.key_parameters)?;
        if self.session_parameters.is_empty() { Ok(()) } else { write!(f, " {}", self.session_parameters) }
    }
}

impl fmt::Debug for Crypto<'_> {
    // Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crypto({} {})", self.tag, self.suite_name)
    }
}

/// One key of a `crypto` attribute (RFC 4568 §6.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrtpKeyParameter<'a> {
    /// Master key and salt, base64.
    pub key_and_salt: &'a str,
    /// For how many packets it may be used.
    pub lifetime: Option<u64>,
    /// Its number in the packets, and how many bytes that takes (1–128).
    pub mki: Option<(u128, u8)>,
}

impl<'a> SrtpKeyParameter<'a> {
    /// Reads `inline:KEY|LIFETIME|MKI:LENGTH`.
    ///
    /// # Errors
    /// The method is not `inline`, or lifetime or MKI cannot be read; the column counts within the parameter.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let fault = |field: &str, kind, expected| {
            let offset = field.as_ptr().addr().saturating_sub(text.as_ptr().addr());
            ParseError::at(offset, kind, expected)
        };
        let Some(("inline", info)) = text.split_once(':').map(|(method, info)| (method.trim(), info)) else {
            return Err(fault(text, ErrorKind::Unexpected, "inline: and a key"));
        };
        let mut parts = info.split('|');
        let key_and_salt = parts.next().unwrap_or("");
        if key_and_salt.is_empty() {
            return Err(fault(info, ErrorKind::MissingField, "a key and salt in base64"));
        }
        let mut lifetime = None;
        let mut mki = None;
        for part in parts.filter(|part| !part.is_empty()) {
            if let Some((value, length)) = part.split_once(':') {
                const EXPECTED: &str = "a master key identifier and its length, 1 to 128 bytes";
                let value = value.parse().map_err(|_| fault(value, ErrorKind::NotANumber, EXPECTED))?;
                match number(length, 128).map(u8::try_from) {
                    Ok(Ok(length @ 1..)) => mki = Some((value, length)),
                    Err(kind) => return Err(fault(length, kind, EXPECTED)),
                    _ => return Err(fault(length, ErrorKind::OutOfRange, EXPECTED)),
                }
            } else {
                const EXPECTED: &str = "a lifetime in packets, 1 to 2^48";
                let packets = match part.strip_prefix("2^") {
                    Some(power) => number(power, 48)
                        .map(|power| 1_u64.wrapping_shl(power))
                        .map_err(|kind| fault(power, kind, EXPECTED))?,
                    None => number64(part).map_err(|kind| fault(part, kind, EXPECTED))?,
                };
                if packets == 0 || packets > 1 << 48 {
                    return Err(fault(part, ErrorKind::OutOfRange, EXPECTED));
                }
                lifetime = Some(packets);
            }
        }
        Ok(Self { key_and_salt, lifetime, mki })
    }

    /// The key and the salt of a suite, if the text is as long as they are.
    #[must_use]
    pub fn decode(&self, suite: SrtpSuite) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut key = BASE64.decode(self.key_and_salt).ok()?;
        if key.len() != suite.key_length().checked_add(suite.salt_length())? {
            return None;
        }
        let salt = key.split_off(suite.key_length());
        Some((key, salt))
    }
}

impl fmt::Debug for SrtpKeyParameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKeyParameter(lifetime {:?}, mki {:?})", self.lifetime, self.mki)
    }
}

/// Padding is written and not required: RFC 4568 has none where 30 bytes make 40 characters, and phones differ for
/// other lengths.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A session parameter of SRTP (RFC 4568 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SrtpParameter<'a> {
    /// Keys are derived again every 2^n packets, n from 0 to 24.
    KeyDerivationRate(u8),
    /// RTP is authenticated and not encrypted.
    UnencryptedSrtp,
    /// RTCP is authenticated and not encrypted.
    UnencryptedSrtcp,
    /// RTP is encrypted and not authenticated.
    UnauthenticatedSrtp,
    /// The order of error correction and encryption.
    FecOrder(&'a str),
    /// A key of its own for error correction.
    FecKey(&'a str),
    /// The size of the replay window, 64 or more.
    WindowSize(u32),
    /// Something else. An offer that has it may be accepted only by one who knows it, unless it begins with `-`.
    Extension(&'a str),
}

impl<'a> SrtpParameter<'a> {
    /// Reads one parameter; what is out of range counts as unknown.
    pub fn parse(text: &'a str) -> Self {
        let known = match text.split_once('=') {
            None => match text {
                "UNENCRYPTED_SRTP" => Some(Self::UnencryptedSrtp),
                "UNENCRYPTED_SRTCP" => Some(Self::UnencryptedSrtcp),
                "UNAUTHENTICATED_SRTP" => Some(Self::UnauthenticatedSrtp),
                _ => None,
            },
            Some(("KDR", power)) => {
                number(power, 24).ok().and_then(|power| u8::try_from(power).ok()).map(Self::KeyDerivationRate)
            }
            Some(("WSH", size)) => {
                number(size, u32::MAX).ok().filter(|size| *size >= 64).map(Self::WindowSize)
            }
            Some(("FEC_ORDER", order @ ("FEC_SRTP" | "SRTP_FEC"))) => Some(Self::FecOrder(order)),
            Some(("FEC_KEY", key)) => Some(Self::FecKey(key)),
            Some(_) => None,
        };
        known.unwrap_or(Self::Extension(text))
    }
}

/// `a=fingerprint`: the hash of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint<'a> {
    /// The hash function, as written: `sha-256`, …
    pub hash: &'a str,
    /// The hash, in hexadecimal bytes with colons between.
    pub hex: &'a str,
}

impl<'a> Fingerprint<'a> {
    /// Reads the value of `a=fingerprint`.
    ///
    /// # Errors
    /// A field is missing, or the hash is not hexadecimal bytes with colons between.
    #[inline]
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        Self::read(Fields::new(value))
    }

    #[inline]
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, ParseError> {
        const EXPECTED: &str = "hexadecimal bytes with colons between";
        let hash = fields.expect("the name of a hash function")?;
        let hex = fields.expect(EXPECTED)?;
        if is_hex_with_colons(hex) {
            Ok(Self { hash, hex })
        } else {
            Err(fields.error_in(hex, ErrorKind::Unexpected, EXPECTED))
        }
    }

    /// The hash as bytes.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.hex.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok())
    }

    /// Whether a certificate can be held against it: a hash function of RFC 8122 §5 other than MD2 and MD5, which must
    /// not be used, and as many bytes as it makes.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        const LENGTHS: [(&str, usize); 5] =
            [("sha-1", 20), ("sha-224", 28), ("sha-256", 32), ("sha-384", 48), ("sha-512", 64)];
        LENGTHS
            .iter()
            .any(|(name, bytes)| self.hash.eq_ignore_ascii_case(name) && self.bytes().count() == *bytes)
    }

    /// Whether both are the same hash of the same certificate.
    #[must_use]
    pub fn matches(&self, other: &Fingerprint<'_>) -> bool {
        self.hash.eq_ignore_ascii_case(other.hash) && self.hex.eq_ignore_ascii_case(other.hex)
    }
}

#[inline]
fn is_hex_with_colons(text: &str) -> bool {
    let (pairs, rest) = text.as_bytes().as_chunks::<3>();
    let hex = |byte: &u8| byte.is_ascii_hexdigit();
    // Folded into one value: the loop has no early exit, so that the compiler can make it wide.
    let all =
        pairs.iter().fold(true, |all, [high, low, colon]| all & hex(high) & hex(low) & (*colon == b':'));
    all && matches!(rest, [high, low] if hex(high) && hex(low))
}

impl fmt::Display for Fingerprint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.hash, self.hex)
    }
}

/// `a=setup`: who opens the connection (RFC 4145 §4), for DTLS who is the client (RFC 5763 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The one who says so opens it.
    Active,
    /// The other opens it.
    Passive,
    /// The other may choose.
    ActPass,
    /// Nobody, for now.
    HoldConn,
}

impl Setup {
    /// The role of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            "actpass" => Some(Self::ActPass),
            "holdconn" => Some(Self::HoldConn),
            _ => None,
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_crypto_line_is_read() {
        let text = "2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;\
                    inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP KDR=8 -X WSH=128";
        let crypto = Crypto::parse(text).unwrap();
        assert_eq!(crypto.to_string(), text);
        assert_eq!(crypto.suite(), Some(SrtpSuite::F8_128HmacSha1_80));
        let keys: Vec<_> = crypto.keys().map(Result::unwrap).collect();
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[1].lifetime, keys[1].mki), (Some(1 << 20), Some((2, 4))));
        let (key, salt) = keys[0].decode(SrtpSuite::F8_128HmacSha1_80).unwrap();
        assert_eq!((key.as_slice(), salt.as_slice()), (&b"123456789ABCDE01"[..], &b"23456789ABcdef"[..]));
        let parameters: Vec<_> = crypto.parameters().collect();
        assert_eq!(
            parameters,
            [
                SrtpParameter::FecOrder("FEC_SRTP"),
                SrtpParameter::KeyDerivationRate(8),
                SrtpParameter::Extension("-X"),
                SrtpParameter::WindowSize(128),
            ]
        );
        assert!(!format!("{crypto:?}").contains("MTIz"), "keys stay out of logs");
    }

    #[test]
    fn keys_out_of_range_are_refused() {
        for (text, column) in [
            ("inline:", 8),
            ("prompt:x", 1),
            ("inline:AAAA|0", 13),
            ("inline:AAAA|2^49", 15),
            ("inline:AAAA|1:0", 15),
            ("inline:AAAA|1:129", 15),
            ("inline:AAAA|x:1", 13),
        ] {
            assert_eq!(SrtpKeyParameter::parse(text).unwrap_err().column, column, "{text}");
        }
        let short = SrtpKeyParameter::parse("inline:AAAA").unwrap();
        assert_eq!(short.decode(SrtpSuite::AesCm128HmacSha1_80), None);
    }

    #[test]
    fn suites_have_the_lengths_of_their_rfcs() {
        for (suite, name, key, salt) in SUITES {
            assert_eq!(SrtpSuite::parse(name), Some(*suite));
            assert_eq!((suite.key_length(), suite.salt_length()), (*key, *salt));
        }
        assert_eq!(SrtpSuite::parse("AES_CM_256_HMAC_SHA1_80"), Some(SrtpSuite::AesCm256HmacSha1_80));
    }

    #[test]
    fn fingerprints_are_checked() {
        let print = Fingerprint::parse("SHA-1 4A:AD:b9:B1:3F").unwrap();
        assert_eq!(print.bytes().collect::<Vec<_>>(), [0x4a, 0xad, 0xb9, 0xb1, 0x3f]);
        assert!(print.matches(&Fingerprint::parse("sha-1 4a:ad:b9:b1:3f").unwrap()));
        for (text, column) in [("sha-1 4A:AD:", 7), ("sha-1 4AAD", 7), ("sha-1 4A:XX", 7), ("sha-1", 6)] {
            assert_eq!(Fingerprint::parse(text).unwrap_err().column, column, "{text}");
        }
    }
}
