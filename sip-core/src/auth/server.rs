//! The server's side of digest authentication: challenges written, credentials judged (RFC 7616, RFC 8760,
//! RFC 3261 §22).
//!
//! Two steps, for the secret lies with the application: [`Authenticator::examine`] reads the credentials and says
//! which user's secret is wanted, [`Authenticator::verify`] judges with it. A user who does not exist costs the same
//! work and gets the same answer as a wrong password. The `uri` parameter is not compared with the request line
//! (§22.4 allows proxies to change the latter); a captured response is refused by its nonce count instead.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    algorithm::{Algorithm, HexDigest},
    digest::{DigestInput, Protection, user_hash},
    nonce::{NonceId, NonceMint, NonceVerdict},
    parameters::{AuthValue, escape, unescape},
    replay::{CountVerdict, NonceCounts},
    secret::Secret,
};
use smallvec::SmallVec;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;

/// What is asked of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengePolicy {
    /// The realm shown to people and mixed into every secret.
    pub realm: String,
    /// Algorithms offered, best first; each in a challenge of its own (RFC 8760 §2.4).
    pub algorithms: Vec<Algorithm>,
    /// Whether credentials without `qop` (RFC 2069) are taken; each nonce then serves once.
    pub legacy: bool,
    /// Whether bodies have to be covered (`auth-int`); otherwise it is offered beside `auth` if this is `Offered`.
    pub body: BodyProtection,
    /// Whether the user name may be hashed (RFC 7616 §3.4.4).
    pub user_hash: bool,
    /// 407 and `Proxy-Authenticate` instead of 401 and `WWW-Authenticate`.
    pub proxy: bool,
}

/// Whether the digest covers bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyProtection {
    /// `qop="auth"`. Boxes on the way that rewrite SDP would break anything else.
    #[default]
    Off,
    /// `qop="auth,auth-int"`.
    Offered,
    /// `qop="auth-int"`.
    Required,
}

impl ChallengePolicy {
    /// SHA-256 and MD5 with `qop=auth`, RFC 2069 forms taken: what telephones of any age get along with.
    #[must_use]
    pub fn new(realm: impl Into<String>) -> Self {
        Self {
            realm: realm.into(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            legacy: true,
            body: BodyProtection::Off,
            user_hash: false,
            proxy: false,
        }
    }
}

/// Bounds of an [`Authenticator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthenticatorConfig {
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// How many nonces' counts are remembered; about 100 bytes each.
    pub nonces: usize,
}

impl Default for AuthenticatorConfig {
    /// Five minutes; 65,536 nonces, about 6 MiB when full.
    fn default() -> Self {
        Self { nonce_lifetime: Duration::from_secs(300), nonces: 65_536 }
    }
}

/// Makes challenges and judges credentials.
#[derive(Debug)]
pub struct Authenticator {
    mint: NonceMint,
    counts: NonceCounts,
    lifetime: Duration,
    epoch: Instant,
    /// Stands in for the secret of users who do not exist.
    nobody: Secret,
}

/// Why credentials were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthenticationFailure {
    /// The digest does not fit the user's secret.
    WrongPassword,
    /// There is no such user. The peer cannot tell this from [`WrongPassword`](Self::WrongPassword).
    UnknownUser,
    /// The store holds no HA1 for the algorithm that was offered.
    NoSecretForAlgorithm,
    /// This count of this nonce was used before: a replay, or a telephone that cannot count.
    ReplayedNonceCount,
    /// A parameter is missing or not what was asked for.
    Unfit(&'static str),
}

/// What a request without, or with unusable, credentials is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Examined<'a> {
    /// None for this realm: challenge.
    None,
    /// A nonce that is too old or not ours: challenge with `stale`.
    Stale,
    /// Not what was asked for: challenge.
    Unfit(&'static str, &'a str),
    /// Worth looking up the secret of this user.
    Candidate(Candidate<'a>),
}

/// Credentials that are well-formed and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// `username` as it stands between the quotes.
    pub username: &'a str,
    /// Whether that is a hash (`userhash=true`).
    pub hashed: bool,
    /// The algorithm.
    pub algorithm: Algorithm,
    nonce: NonceId,
    nonce_text: &'a str,
    count: u32,
    count_text: &'a str,
    client_nonce: &'a str,
    protection: Protection,
    uri: &'a str,
    response: &'a str,
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// `Authentication-Info` for the 2xx: proof that we know the secret as well (RFC 7616 §3.5).
    pub authentication_info: String,
    /// A nonce had to be forgotten to remember this one.
    pub table_full: bool,
}

impl Authenticator {
    /// A new one. `key` seals nonces; it must be secret and random.
    #[must_use]
    pub fn new(config: AuthenticatorConfig, key: [u8; 32], now: Instant) -> Self {
        let nobody = HexOf(&key).to_string();
        Self {
            mint: NonceMint::new(key, config.nonce_lifetime, now),
            counts: NonceCounts::new(config.nonces),
            lifetime: config.nonce_lifetime,
            epoch: now,
            nobody: Secret::password(nobody),
        }
    }

    /// The values of the challenge header, one for each algorithm, all with one nonce.
    pub fn challenge(&mut self, policy: &ChallengePolicy, stale: bool, now: Instant) -> Vec<String> {
        let nonce = self.mint.issue(&policy.realm, now);
        let realm = escape(&policy.realm);
        let qop = match policy.body {
            BodyProtection::Off => "auth",
            BodyProtection::Offered => "auth,auth-int",
            BodyProtection::Required => "auth-int",
        };
        let stale = if stale { ", stale=true" } else { "" };
        let user_hash = if policy.user_hash { ", userhash=true" } else { "" };
        policy
            .algorithms
            .iter()
            .map(|algorithm| {
                format!(
                    "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={}, qop=\"{qop}\"{stale}{user_hash}",
                    algorithm.as_str()
                )
            })
            .collect()
    }

    /// Reads the values of the credentials header.
    #[must_use]
    pub fn examine<'a>(
        &self,
        policy: &ChallengePolicy,
        values: impl Iterator<Item = &'a str>,
        now: Instant,
    ) -> Examined<'a> {
        let mine = values.map(AuthValue::with_scheme).find(|value| {
            value.is_digest() && value.get("realm").is_some_and(|it| unescape(it) == policy.realm)
        });
        match mine {
            Some(value) => self.examine_value(policy, &value, now),
            None => Examined::None,
        }
    }

    fn examine_value<'a>(
        &self,
        policy: &ChallengePolicy,
        value: &AuthValue<'a>,
        now: Instant,
    ) -> Examined<'a> {
        // Read once, looked into often.
        let parameters: SmallVec<[(&str, &str); 16]> = value.iter().collect();
        let get = |name: &str| {
            parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        let name = get("username").unwrap_or_default();
        let Some(response) = get("response") else { return Examined::Unfit("response", name) };
        let Some(uri) = get("uri") else { return Examined::Unfit("uri", name) };
        let Some(nonce_text) = get("nonce") else { return Examined::Unfit("nonce", name) };
        if name.is_empty() {
            return Examined::Unfit("username", name);
        }
        let algorithm = Algorithm::from_token(get("algorithm").unwrap_or("MD5"));
        let Some(algorithm) = algorithm.filter(|algorithm| policy.algorithms.contains(algorithm)) else {
            return Examined::Unfit("algorithm", name);
        };
        let hashed = get("userhash").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        if hashed && !policy.user_hash {
            return Examined::Unfit("userhash", name);
        }
        let protection = match get("qop") {
            None if policy.legacy && policy.body != BodyProtection::Required => Protection::Legacy,
            Some(qop) if qop.eq_ignore_ascii_case("auth") && policy.body != BodyProtection::Required => {
                Protection::Request
            }
            Some(qop) if qop.eq_ignore_ascii_case("auth-int") && policy.body != BodyProtection::Off => {
                Protection::RequestAndBody
            }
            _ => return Examined::Unfit("qop", name),
        };
        let count_text = get("nc").unwrap_or_default();
        let client_nonce = get("cnonce").unwrap_or_default();
        let count = match protection {
            // Without a count each nonce serves once.
            Protection::Legacy => 1,
            Protection::Request | Protection::RequestAndBody => {
                if client_nonce.is_empty() {
                    return Examined::Unfit("cnonce", name);
                }
                match u32::from_str_radix(count_text, 16) {
                    Ok(count) if count_text.len() == 8 && count > 0 => count,
                    _ => return Examined::Unfit("nc", name),
                }
            }
        };
        let NonceVerdict::Fresh(nonce) = self.mint.judge(nonce_text, &policy.realm, now) else {
            return Examined::Stale;
        };
        if self.counts.check(nonce, count) == CountVerdict::Forgotten {
            return Examined::Stale;
        }
        Examined::Candidate(Candidate {
            username: name,
            hashed,
            algorithm,
            nonce,
            nonce_text,
            count,
            count_text,
            client_nonce,
            protection,
            uri,
            response,
        })
    }

    /// Judges credentials by the user's secret, `None` when there is no such user. `username` is the plain name.
    ///
    /// # Errors
    /// Why they are not taken.
    pub fn verify(
        &mut self,
        policy: &ChallengePolicy,
        candidate: &Candidate<'_>,
        method: &str,
        body: &[u8],
        user: Option<(&str, &Secret)>,
        now: Instant,
    ) -> Result<Verified, AuthenticationFailure> {
        let hash = candidate.algorithm.hash();
        // Computed whether needed or not, so that the three cases take the same time.
        let nobodys = self.nobody.ha1(hash, candidate.username, &policy.realm);
        let own = user.and_then(|(username, secret)| match secret {
            Secret::Password(_) => secret.ha1(hash, username, &policy.realm),
            Secret::Ha1(_) => secret.ha1(hash, username, &policy.realm),
        });
        let input = DigestInput {
            algorithm: candidate.algorithm,
            nonce: candidate.nonce_text,
            client_nonce: candidate.client_nonce,
            nonce_count: candidate.count_text,
            protection: candidate.protection,
            method,
            uri: candidate.uri,
            body,
        };
        let ha1 = own.or(nobodys).ok_or(AuthenticationFailure::NoSecretForAlgorithm)?;
        let expected = input.response(&ha1);
        let fits = HexDigest::parse(candidate.response)
            .is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(expected.as_bytes())));
        match (&user, own) {
            (None, _) => return Err(AuthenticationFailure::UnknownUser),
            (Some(_), None) => return Err(AuthenticationFailure::NoSecretForAlgorithm),
            (Some(_), Some(_)) if !fits => return Err(AuthenticationFailure::WrongPassword),
            (Some(_), Some(_)) => {}
        }
        // Only now: a stranger must not be able to use up another's counts.
        if self.counts.check(candidate.nonce, candidate.count) != CountVerdict::New {
            return Err(AuthenticationFailure::ReplayedNonceCount);
        }
        let table_full = self.counts.enter(candidate.nonce, candidate.count);
        self.forget_expired(now);
        Ok(Verified { authentication_info: authentication_info(candidate, &input, &ha1), table_full })
    }

    /// Finds the user whose hashed name this is among `names`.
    #[must_use]
    pub fn find_hashed<'n>(
        policy: &ChallengePolicy,
        candidate: &Candidate<'_>,
        mut names: impl Iterator<Item = &'n str>,
    ) -> Option<&'n str> {
        let sent = HexDigest::parse(candidate.username)?;
        names.find(|name| user_hash(candidate.algorithm, name, &policy.realm) == sent)
    }

    /// How many nonces are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.counts.len()
    }

    fn forget_expired(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.epoch).saturating_sub(self.lifetime);
        self.counts.drop_expired(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    }
}

fn authentication_info(candidate: &Candidate<'_>, input: &DigestInput<'_>, ha1: &HexDigest) -> String {
    match candidate.protection.as_str() {
        None => String::new(),
        Some(qop) => format!(
            "qop={qop}, rspauth=\"{}\", cnonce=\"{}\", nc={}",
            input.response_of_server(ha1).as_str(),
            candidate.client_nonce,
            candidate.count_text
        ),
    }
}

struct HexOf<'a>(&'a [u8]);

impl core::fmt::Display for HexOf<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
