//! The client's side of digest authentication: which challenge is answered, and how (RFC 7616, RFC 8760 §2.4,
//! RFC 3261 §22).
//!
//! Credentials go only to the realm they were configured for; those given for any realm only where the caller says
//! that this peer may ask. Of several challenges of one realm the first that can be met is answered, for servers list
//! the best first. A nonce once given is used again with a higher count until it is refused.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    algorithm::{Algorithm, HexDigest},
    digest::{DigestInput, Protection, user_hash},
    parameters::{AuthValue, escape, unescape},
    secret::Secret,
};
use subtle::ConstantTimeEq as _;

/// A name and a secret, and who may ask for them.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The realm; `None`: whatever realm this peer names, for telephones that challenge on their own flow. Only a
    /// [`Secret::Password`] can serve then.
    pub realm: Option<String>,
    /// The user.
    pub username: String,
    /// His secret.
    pub secret: Secret,
}

impl Credentials {
    /// A name and a password for whatever realm the peer names.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { realm: None, username: username.into(), secret: Secret::password(password) }
    }
}

/// Why a challenge was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChallengeRefusal {
    /// The response holds no challenge.
    NoChallenge,
    /// We have nothing for this realm: a stranger's challenge, which is never answered.
    NoCredentials,
    /// No algorithm or `qop` in common, or the secret is HA1s of other algorithms.
    NotSupported,
    /// What we answered was refused: the password is wrong.
    AlreadyRefused,
    /// Too many challenges to one request.
    TooMany,
    /// The retried request could not be written.
    NotWritten,
}

/// One realm's state: the last challenge and how often it was answered.
#[derive(Clone, Debug)]
struct Session {
    realm: String,
    proxy: bool,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    algorithm_named: bool,
    protection: Protection,
    user_hash: bool,
    count: u32,
    username: String,
    ha1: HexDigest,
    /// A request with these credentials was taken: the secret is right.
    proven: bool,
    last: Option<Asked>,
}

/// What a server's `rspauth` has to fit.
#[derive(Clone, Debug)]
struct Asked {
    client_nonce: String,
    uri: String,
}

/// What a client remembers of the servers that challenged it.
#[derive(Clone, Debug, Default)]
pub struct ClientAuth {
    sessions: Vec<Session>,
}

/// A request about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Method.
    pub method: &'a str,
    /// Request line.
    pub uri: &'a str,
    /// Body.
    pub body: &'a [u8],
}

/// At most so many realms are remembered for one request's way.
const REALMS: usize = 4;

impl ClientAuth {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { sessions: Vec::new() }
    }

    /// Whether requests carry credentials unasked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Takes in the challenges of a 401 (`proxy` false) or 407, to a request that carried the credentials `sent`.
    ///
    /// # Errors
    /// Why the request is not to be sent again.
    pub fn challenged<'a, 's>(
        &mut self,
        values: impl Iterator<Item = &'a str>,
        sent: impl Iterator<Item = &'s str> + Clone,
        proxy: bool,
        credentials: &[Credentials],
    ) -> Result<(), ChallengeRefusal> {
        let challenges = values.map(AuthValue::with_scheme).filter(AuthValue::is_digest);
        let mut refusal = ChallengeRefusal::NoChallenge;
        let mut taken = Vec::new();
        for challenge in challenges {
            let Some(realm) = challenge.get("realm").map(unescape) else { continue };
            if taken.iter().any(|done: &String| *done == *realm) {
                continue;
            }
            let sent_nonce = sent
                .clone()
                .map(AuthValue::with_scheme)
                .find(|value| value.get("realm").is_some_and(|own| unescape(own) == realm))
                .and_then(|value| value.get("nonce"));
            match self.take(&challenge, &realm, sent_nonce, proxy, credentials) {
                Ok(()) => taken.push(realm.into_owned()),
                Err(why)
                    if refusal == ChallengeRefusal::NoChallenge
                        || why == ChallengeRefusal::AlreadyRefused =>
                {
                    refusal = why;
                }
                Err(_) => {}
            }
        }
        if taken.is_empty() { Err(refusal) } else { Ok(()) }
    }

    fn take(
        &mut self,
        challenge: &AuthValue<'_>,
        realm: &str,
        sent_nonce: Option<&str>,
        proxy: bool,
        credentials: &[Credentials],
    ) -> Result<(), ChallengeRefusal> {
        let own = credentials
            .iter()
            .find(|own| own.realm.as_deref() == Some(realm))
            .or_else(|| credentials.iter().find(|own| own.realm.is_none()))
            .ok_or(ChallengeRefusal::NoCredentials)?;
        let named = challenge.get("algorithm");
        let algorithm =
            Algorithm::from_token(named.unwrap_or("MD5")).ok_or(ChallengeRefusal::NotSupported)?;
        let protection = match challenge.get("qop") {
            None => Protection::Legacy,
            Some(options) => {
                let has = |wanted: &str| options.split(',').any(|it| it.trim().eq_ignore_ascii_case(wanted));
                match (has("auth"), has("auth-int")) {
                    (true, _) => Protection::Request,
                    (false, true) => Protection::RequestAndBody,
                    (false, false) => return Err(ChallengeRefusal::NotSupported),
                }
            }
        };
        let ha1 =
            own.secret.ha1(algorithm.hash(), &own.username, realm).ok_or(ChallengeRefusal::NotSupported)?;
        let nonce = challenge.get("nonce").ok_or(ChallengeRefusal::NotSupported)?;
        let stale = challenge.get("stale").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let known = self.sessions.iter().position(|session| session.realm == realm && session.proxy == proxy);
        let proven = known.and_then(|at| self.sessions.get(at)).is_some_and(|session| session.proven);
        // Answered before and asked again, with the same nonce or without the excuse that the old one was stale: the
        // password is wrong, unless it was right before. Asking for ever would lock the account at the far end.
        if sent_nonce.is_some_and(|sent| sent == nonce || !(stale || proven)) {
            return Err(ChallengeRefusal::AlreadyRefused);
        }
        let session = Session {
            realm: realm.to_owned(),
            proxy,
            nonce: nonce.to_owned(),
            opaque: challenge.get("opaque").map(str::to_owned),
            algorithm,
            algorithm_named: named.is_some(),
            protection,
            user_hash: challenge.get("userhash").is_some_and(|it| it.eq_ignore_ascii_case("true")),
            count: 0,
            username: own.username.clone(),
            ha1,
            proven: false,
            last: None,
        };
        if let Some(slot) = known.and_then(|at| self.sessions.get_mut(at)) {
            *slot = session;
        } else if self.sessions.len() < REALMS {
            self.sessions.push(session);
        } else {
            return Err(ChallengeRefusal::TooMany);
        }
        Ok(())
    }

    /// The request was answered other than by a challenge: the secret is right, and when it is asked for again then
    /// because the nonce is stale, said or not.
    pub fn accepted(&mut self) {
        for session in &mut self.sessions {
            session.proven = session.count > 0;
        }
    }

    /// The credentials header values for a request: whether for a proxy, and the value.
    pub fn authorize(
        &mut self,
        subject: Subject<'_>,
        mut client_nonce: impl FnMut() -> String,
    ) -> Vec<(bool, String)> {
        self.sessions
            .iter_mut()
            .map(|session| (session.proxy, session.authorize(subject, client_nonce())))
            .collect()
    }

    /// Takes in `Authentication-Info` of a 2xx: `nextnonce` is used from now on. `false` when there is an `rspauth`
    /// and it is wrong: the server does not know the secret.
    pub fn informed(&mut self, value: &str, body: &[u8]) -> bool {
        let value = AuthValue::without_scheme(value);
        let Some(session) = self.sessions.iter_mut().find(|session| !session.proxy) else { return true };
        let honest = session.is_honest(&value, body);
        if let Some(next) = value.get("nextnonce")
            && honest
        {
            session.nonce = next.to_owned();
            session.count = 0;
        }
        honest
    }
}

impl Session {
    fn authorize(&mut self, subject: Subject<'_>, client_nonce: String) -> String {
        self.count = self.count.saturating_add(1);
        let count = format!("{:08x}", self.count);
        let input = DigestInput {
            algorithm: self.algorithm,
            nonce: &self.nonce,
            client_nonce: &client_nonce,
            nonce_count: &count,
            protection: self.protection,
            method: subject.method,
            uri: subject.uri,
            body: subject.body,
        };
        let response = input.response(&self.ha1);
        let hashed = self.user_hash.then(|| user_hash(self.algorithm, &self.username, &self.realm));
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\"",
            hashed.as_ref().map_or(escape(&self.username), |hash| hash.as_str().into()),
            escape(&self.realm),
            self.nonce,
            subject.uri,
            response.as_str()
        );
        if self.algorithm_named {
            value.push_str(&format!(", algorithm={}", self.algorithm.as_str()));
        }
        if let Some(qop) = self.protection.as_str() {
            value.push_str(&format!(", qop={qop}, nc={count}, cnonce=\"{client_nonce}\""));
        } else if self.algorithm.is_session() {
            value.push_str(&format!(", cnonce=\"{client_nonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if self.user_hash {
            value.push_str(", userhash=true");
        }
        self.last = Some(Asked { client_nonce, uri: subject.uri.to_owned() });
        value
    }

    fn is_honest(&self, value: &AuthValue<'_>, body: &[u8]) -> bool {
        let (Some(sent), Some(asked)) = (value.get("rspauth"), &self.last) else { return true };
        let count = format!("{:08x}", self.count);
        let input = DigestInput {
            algorithm: self.algorithm,
            nonce: &self.nonce,
            client_nonce: &asked.client_nonce,
            nonce_count: &count,
            protection: self.protection,
            method: "",
            uri: &asked.uri,
            body,
        };
        let expected = input.response_of_server(&self.ha1);
        HexDigest::parse(sent).is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(expected.as_bytes())))
    }
}
