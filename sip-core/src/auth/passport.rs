//! PASSporT: a signed statement of who calls whom. RFC 8225, ES256 only (RFC 8224 §5).
//!
//! Signing draws its nonce from the operating system inside `ring`, which takes no other source: the one place of this
//! crate that a seed does not replay. It is therefore no part of any machine; the application signs before it places a
//! call, and verifies when one came.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::json::Json;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use std::{collections::BTreeMap, fmt};

/// Who is meant: a telephone number in canonical form, or a URI (RFC 8225 §5.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// Digits, `#` and `*` only.
    Number(String),
    /// A URI.
    Uri(String),
}

impl Identity {
    /// What a URI's user part stands for: a number when it looks like one (RFC 8224 §8.1), else the URI.
    #[must_use]
    pub fn of_uri(uri: &crate::message::Uri<'_>) -> Self {
        let user = if uri.scheme_str().eq_ignore_ascii_case("tel") { Some(uri.opaque()) } else { uri.user() };
        match user.and_then(canonical_number) {
            Some(number) => Self::Number(number),
            None => {
                let user = uri.user().map(|user| format!("{user}@")).unwrap_or_default();
                Self::Uri(format!(
                    "{}:{user}{}",
                    uri.scheme_str().to_ascii_lowercase(),
                    uri.host_str().to_ascii_lowercase()
                ))
            }
        }
    }
}

/// RFC 8224 §8.3: digits, `#` and `*`, without `+` and visual separators. `None` for what is no number. Country codes
/// are the application's to add: only it knows its numbering plan.
#[must_use]
pub fn canonical_number(text: &str) -> Option<String> {
    let text = text.split(';').next().unwrap_or_default();
    let mut number = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' | '#' | '*' => number.push(character),
            '+' | '-' | '.' | '(' | ')' | ' ' => {}
            _ => return None,
        }
    }
    number.contains(|it: char| it.is_ascii_digit()).then_some(number)
}

/// What is stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who calls.
    pub orig: Identity,
    /// Who is called: at least one.
    pub dest: Vec<Identity>,
    /// When, in seconds since 1970.
    pub issued_at: u64,
    /// The extension, such as `shaken` (RFC 8588) or `div` (RFC 8946), and its claims.
    pub extension: Option<String>,
    /// Further claims.
    pub more: BTreeMap<String, Json>,
}

impl Claims {
    /// The header of the token: `x5u` names where the key is found.
    fn header(&self, url: &str) -> Json {
        let mut values = BTreeMap::from([
            ("alg".to_owned(), Json::Text("ES256".to_owned())),
            ("typ".to_owned(), Json::Text("passport".to_owned())),
            ("x5u".to_owned(), Json::Text(url.to_owned())),
        ]);
        if let Some(extension) = &self.extension {
            values.insert("ppt".to_owned(), Json::Text(extension.clone()));
        }
        Json::Object(values)
    }

    fn payload(&self) -> Json {
        let list = |wanted: fn(&Identity) -> Option<&String>| {
            let values: Vec<Json> =
                self.dest.iter().filter_map(wanted).map(|it| Json::Text(it.clone())).collect();
            (!values.is_empty()).then_some(Json::List(values))
        };
        let numbers = list(|it| match it {
            Identity::Number(number) => Some(number),
            Identity::Uri(_) => None,
        });
        let uris = list(|it| match it {
            Identity::Uri(uri) => Some(uri),
            Identity::Number(_) => None,
        });
        let dest = [("tn", numbers), ("uri", uris)];
        let dest = dest.into_iter().filter_map(|(name, list)| Some((name.to_owned(), list?))).collect();
        let orig = match &self.orig {
            Identity::Number(number) => Json::object([("tn", Json::Text(number.clone()))]),
            Identity::Uri(uri) => Json::object([("uri", Json::Text(uri.clone()))]),
        };
        let mut values = self.more.clone();
        values.insert("orig".to_owned(), orig);
        values.insert("dest".to_owned(), Json::Object(dest));
        values.insert("iat".to_owned(), Json::Number(self.issued_at.to_string()));
        Json::Object(values)
    }

    fn read(header: &Json, payload: &Json) -> Result<Self, PassportError> {
        let orig = payload.get("orig").ok_or(PassportError::Claims("orig"))?;
        let one = |value: &Json| {
            let number = value.get("tn").and_then(Json::text).map(|it| Identity::Number(it.to_owned()));
            number.or_else(|| value.get("uri").and_then(Json::text).map(|it| Identity::Uri(it.to_owned())))
        };
        let dest = payload.get("dest").ok_or(PassportError::Claims("dest"))?;
        let each = |name: &str, make: fn(String) -> Identity| {
            let values = match dest.get(name) {
                Some(Json::List(values)) => values.iter().filter_map(Json::text).map(str::to_owned).collect(),
                // RFC 8946 §5 prints a bare one.
                Some(Json::Text(text)) => vec![text.clone()],
                _ => Vec::new(),
            };
            values.into_iter().map(make).collect::<Vec<_>>()
        };
        let dest: Vec<Identity> =
            each("tn", Identity::Number).into_iter().chain(each("uri", Identity::Uri)).collect();
        if dest.is_empty() {
            return Err(PassportError::Claims("dest"));
        }
        let more = match payload {
            Json::Object(values) => values
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "orig" | "dest" | "iat"))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            _ => BTreeMap::new(),
        };
        Ok(Self {
            orig: one(orig).ok_or(PassportError::Claims("orig"))?,
            dest,
            // A number: erratum 5985 of RFC 8225, whose example has text.
            issued_at: payload.get("iat").and_then(Json::seconds).ok_or(PassportError::Claims("iat"))?,
            extension: header.get("ppt").and_then(Json::text).map(str::to_owned),
            more,
        })
    }
}

/// Why a token is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassportError {
    /// Not three parts of base64url, or no JSON in them.
    Form,
    /// Another algorithm than ES256, or another type.
    Header(&'static str),
    /// A claim is missing or of another type than it must be.
    Claims(&'static str),
    /// The signature is not that of the key.
    Signature,
    /// A key cannot be used.
    Key,
}

impl fmt::Display for PassportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("this is no PASSporT"),
            Self::Header(what) => write!(f, "the PASSporT's {what} is not what is spoken here"),
            Self::Claims(what) => write!(f, "the PASSporT's {what} is missing or ill-formed"),
            Self::Signature => f.write_str("the PASSporT is not signed by that key"),
            Self::Key => f.write_str("the key cannot be used"),
        }
    }
}

impl std::error::Error for PassportError {}

/// A token taken apart, its signature not yet judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where its key is found: `x5u`.
    pub url: String,
    /// What it states.
    pub claims: Claims,
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PassportError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(PassportError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(PassportError::Form)?;
        let decode = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            Json::parse(core::str::from_utf8(&bytes).ok()?)
        };
        let header = decode(header).ok_or(PassportError::Form)?;
        let payload = decode(payload).ok_or(PassportError::Form)?;
        if header.get("alg").and_then(Json::text) != Some("ES256") {
            return Err(PassportError::Header("alg"));
        }
        if header.get("typ").and_then(Json::text).is_some_and(|typ| typ != "passport") {
            return Err(PassportError::Header("typ"));
        }
        let url = header.get("x5u").and_then(Json::text).ok_or(PassportError::Header("x5u"))?.to_owned();
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| PassportError::Form)?;
        Ok(Self { url, claims: Claims::read(&header, &payload)?, signed: signed.to_owned(), signature })
    }

    /// The token that a compact form (`..signature`) stands for, when these are its claims (RFC 8225 §7).
    ///
    /// # Errors
    /// [`PassportError::Form`].
    pub fn from_compact(text: &str, claims: Claims, url: &str) -> Result<Self, PassportError> {
        let signature = text.strip_prefix("..").ok_or(PassportError::Form)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| PassportError::Form)?;
        let signed = signing_input(&claims, url);
        Ok(Self { url: url.to_owned(), claims, signed, signature })
    }

    /// Judges the signature.
    ///
    /// # Errors
    /// [`PassportError::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), PassportError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.0)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| PassportError::Signature)
    }
}

fn signing_input(claims: &Claims, url: &str) -> String {
    let part = |value: Json| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(claims.header(url)), part(claims.payload()))
}

/// A public key on P-256: its uncompressed point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 65]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(P-256)")
    }
}

impl PublicKey {
    /// An uncompressed point: 65 bytes that begin with 4.
    ///
    /// # Errors
    /// [`PassportError::Key`].
    pub fn from_point(point: &[u8]) -> Result<Self, PassportError> {
        let point: [u8; 65] = point.try_into().map_err(|_| PassportError::Key)?;
        if point.first() == Some(&4) { Ok(Self(point)) } else { Err(PassportError::Key) }
    }

    /// A `PUBLIC KEY` in PEM, or a `CERTIFICATE` whose key is on P-256: the key is taken, nothing else is judged.
    ///
    /// # Errors
    /// [`PassportError::Key`].
    pub fn from_pem(pem: &str) -> Result<Self, PassportError> {
        let der = der_of(pem).ok_or(PassportError::Key)?;
        // SubjectPublicKeyInfo of P-256 always ends in this, then the point.
        const ALGORITHM: &[u8] = &[
            0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let at = memchr::memmem::find(&der, ALGORITHM).ok_or(PassportError::Key)?;
        let from = at.saturating_add(ALGORITHM.len());
        Self::from_point(der.get(from..from.saturating_add(65)).ok_or(PassportError::Key)?)
    }
}

fn der_of(pem: &str) -> Option<Vec<u8>> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// A private key, and where its public one is found.
#[derive(Debug)]
pub struct Signer {
    key: EcdsaKeyPair,
    url: String,
    random: SystemRandom,
}

impl Signer {
    /// A key in PKCS #8, as DER.
    ///
    /// # Errors
    /// [`PassportError::Key`].
    pub fn from_pkcs8(der: &[u8], url: impl Into<String>) -> Result<Self, PassportError> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|_| PassportError::Key)?;
        Ok(Self { key, url: url.into(), random })
    }

    /// A `PRIVATE KEY` in PEM.
    ///
    /// # Errors
    /// [`PassportError::Key`].
    pub fn from_pem(pem: &str, url: impl Into<String>) -> Result<Self, PassportError> {
        Self::from_pkcs8(&der_of(pem).ok_or(PassportError::Key)?, url)
    }

    /// A new key, as PKCS #8 in DER: keep it secret.
    ///
    /// # Errors
    /// [`PassportError::Key`] when the system gives no randomness.
    pub fn generate() -> Result<Vec<u8>, PassportError> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| PassportError::Key)
    }

    /// The public key.
    ///
    /// # Errors
    /// [`PassportError::Key`].
    pub fn public_key(&self) -> Result<PublicKey, PassportError> {
        PublicKey::from_point(self.key.public_key().as_ref())
    }

    /// Where the public key is found.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs.
    ///
    /// # Errors
    /// [`PassportError::Key`] when the system gives no randomness.
    pub fn sign(&self, claims: &Claims) -> Result<String, PassportError> {
        let signed = signing_input(claims, &self.url);
        let signature = self.key.sign(&self.random, signed.as_bytes()).map_err(|_| PassportError::Key)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
