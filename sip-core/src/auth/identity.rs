//! `Identity`: a caller whose name is signed. RFC 8224; between exchanges that know each other's keys.
//!
//! The signer states From, To and the moment; whoever receives the request compares them with what is in it. Keys are
//! looked up by the URL the signer names, in a store the operator filled: nothing is fetched from where a stranger says.

use super::passport::{Claims, Identity, PassportError, PublicKey, Signer, Token};
use crate::{
    header::{HeaderName, Params},
    message::{Request, StatusCode, Uri},
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Keys by the URL under which signers name them.
#[derive(Clone, Debug, Default)]
pub struct TrustStore {
    keys: BTreeMap<String, PublicKey>,
}

impl TrustStore {
    /// Nobody is trusted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts a key; replaces the one under this URL.
    pub fn trust(&mut self, url: impl Into<String>, key: PublicKey) {
        self.keys.insert(url.into(), key);
    }

    /// Trusts it no more.
    pub fn distrust(&mut self, url: &str) {
        self.keys.remove(url);
    }

    fn key(&self, url: &str) -> Option<&PublicKey> {
        self.keys.get(url)
    }
}

/// What was found out about an `Identity`.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Who calls, as the signer states.
    pub caller: Identity,
    /// The signer's key.
    pub url: String,
    /// The extension and its claims.
    pub claims: Claims,
}

/// Why a caller's identity is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is none: 428 where one is demanded.
    Missing,
    /// It is not one, or is not signed by its key: 438.
    Invalid(PassportError),
    /// It is about another caller or another called: 438.
    Mismatch(&'static str),
    /// It is older or newer than is believed: 403.
    Stale {
        /// By how much it differs from now.
        by: Duration,
    },
    /// The key is named by a URL that is not trusted: 437.
    UnknownKey(String),
    /// The token and the header name different keys: 436.
    BadInfo,
}

impl IdentityError {
    /// What a request is refused with (RFC 8224 §6.2.2).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        let code = match self {
            Self::Missing => 428,
            Self::Invalid(_) | Self::Mismatch(_) => 438,
            Self::Stale { .. } => 403,
            Self::UnknownKey(_) => 437,
            Self::BadInfo => 436,
        };
        StatusCode::new(code).unwrap_or(StatusCode::FORBIDDEN)
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the caller's identity is not signed"),
            Self::Invalid(why) => write!(f, "{why}"),
            Self::Mismatch(what) => write!(f, "the signed {what} is not that of the request"),
            Self::Stale { by } => write!(f, "the signature is {} s away from now", by.as_secs()),
            Self::UnknownKey(url) => write!(f, "the key {url} is not trusted"),
            Self::BadInfo => f.write_str("the token and the Identity header name different keys"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// The value of `Identity` for a call from one to another. `unix_time` is now, in seconds since 1970.
///
/// # Errors
/// [`PassportError::Key`] when the system gives no randomness.
pub fn sign(signer: &Signer, from: &Uri<'_>, to: &Uri<'_>, unix_time: u64) -> Result<String, PassportError> {
    let claims = Claims {
        orig: Identity::of_uri(from),
        dest: vec![Identity::of_uri(to)],
        issued_at: unix_time,
        extension: None,
        more: BTreeMap::new(),
    };
    Ok(format!("{};info=<{}>;alg=ES256", signer.sign(&claims)?, signer.url()))
}

/// Judges the `Identity` of a request (RFC 8224 §6.2). `freshness`: how far `iat` may lie from `unix_time`; 60 s is
/// what the RFC asks for.
///
/// # Errors
/// Why it is not believed.
pub fn verify(
    request: &Request,
    store: &TrustStore,
    unix_time: u64,
    freshness: Duration,
) -> Result<Verified, IdentityError> {
    let mut last = IdentityError::Missing;
    for value in request.get_all(HeaderName::Identity) {
        match verify_value(value, request, store, unix_time, freshness) {
            Ok(verified) => return Ok(verified),
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn verify_value(
    value: &str,
    request: &Request,
    store: &TrustStore,
    unix_time: u64,
    freshness: Duration,
) -> Result<Verified, IdentityError> {
    let (text, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = format!(";{parameters}");
    let parameters = Params::from_raw(&parameters);
    let info = parameters.get("info").map(|it| it.trim_matches(['<', '>', '"']).to_owned());
    if parameters.unquoted("alg").is_some_and(|alg| !alg.eq_ignore_ascii_case("ES256")) {
        return Err(IdentityError::Invalid(PassportError::Header("alg")));
    }
    let unreadable = |_| IdentityError::Mismatch("address");
    let caller = match request.list_as::<crate::header::NameAddr<'_>>(HeaderName::PAssertedIdentity).next() {
        // §6.2 step 2: the identity that the signer used, From unless he asserted another.
        Some(Ok(asserted)) => Identity::of_uri(&asserted.uri),
        _ => Identity::of_uri(&request.from().map_err(unreadable)?.uri),
    };
    let from = Identity::of_uri(&request.from().map_err(unreadable)?.uri);
    let called = Identity::of_uri(&request.to().map_err(unreadable)?.uri);
    let token = if text.trim().starts_with("..") {
        let issued_at = date(request).ok_or(IdentityError::Invalid(PassportError::Claims("iat")))?;
        let url = info.clone().ok_or(IdentityError::BadInfo)?;
        let claims = Claims {
            orig: from.clone(),
            dest: vec![called.clone()],
            issued_at,
            extension: parameters.unquoted("ppt").map(|it| it.into_owned()),
            more: BTreeMap::new(),
        };
        Token::from_compact(text.trim(), claims, &url).map_err(IdentityError::Invalid)?
    } else {
        Token::parse(text.trim()).map_err(IdentityError::Invalid)?
    };
    if info.is_some_and(|info| info != token.url) {
        return Err(IdentityError::BadInfo);
    }
    let key = store.key(&token.url).ok_or_else(|| IdentityError::UnknownKey(token.url.clone()))?;
    token.verify(key).map_err(IdentityError::Invalid)?;
    let by = Duration::from_secs(token.claims.issued_at.abs_diff(unix_time));
    if by > freshness {
        return Err(IdentityError::Stale { by });
    }
    if token.claims.orig != caller && token.claims.orig != from {
        return Err(IdentityError::Mismatch("caller"));
    }
    if !token.claims.dest.contains(&called) {
        return Err(IdentityError::Mismatch("called number"));
    }
    let Token { url, claims, .. } = token;
    Ok(Verified { caller: claims.orig.clone(), url, claims })
}

/// `Date` in seconds since 1970 (RFC 3261 §20.17: always GMT, in one form).
fn date(request: &Request) -> Option<u64> {
    let text = request.get(HeaderName::Date)?;
    let (_, text) = text.split_once(',')?;
    let mut words = text.split_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':');
    let mut number = || clock.next()?.parse::<i64>().ok();
    let (hour, minute, second) = (number()?, number()?, number()?);
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month =
        i64::try_from(MONTHS.iter().position(|own| own.eq_ignore_ascii_case(name))?).ok()?.checked_add(1)?;
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from the civil calendar: years begin in March, so that leap days end them.
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153_i64.checked_mul((month.checked_add(9)?).rem_euclid(12))?.checked_add(2)?)
        .div_euclid(5)
        .checked_add(day)?
        .checked_sub(1)?;
    let of_era_days = of_era
        .checked_mul(365)?
        .checked_add(of_era.div_euclid(4))?
        .checked_sub(of_era.div_euclid(100))?
        .checked_add(of_year)?;
    let days = era.checked_mul(146_097)?.checked_add(of_era_days)?.checked_sub(719_468)?;
    let seconds = days
        .checked_mul(86_400)?
        .checked_add(hour.checked_mul(3600)?)?
        .checked_add(minute.checked_mul(60)?)?
        .checked_add(second)?;
    u64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;

    fn request(date: &str) -> Request {
        Request::builder(Method::Invite, "sip:2@b").header(HeaderName::Date, date).finish().unwrap()
    }

    #[test]
    fn dates_are_counted_from_1970() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Fri, 25 Sep 2015 19:12:25 GMT", 1_443_208_345),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Sun, 22 Nov 2026 07:00:00 GMT", 1_795_330_800),
        ] {
            assert_eq!(date(&request(text)), Some(seconds), "{text}");
        }
        assert_eq!(date(&request("yesterday")), None);
    }
}
