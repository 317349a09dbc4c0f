//! Long-term credentials, the server's side (RFC 8489 section 9.2.4), in an order that costs strangers nothing: the nonce
//! is looked at before the user is.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::credentials::{Answer, Claim, Secret};
use super::{ClientPath, Server, ServerEvent, ServerLimit, ServerOutput};
use crate::io::QuestionId;
use crate::stun::attribute::{ChosenPasswordAlgorithm, Nonce, PasswordAlgorithms, Realm, UserHash, Username};
use crate::stun::{AttributeKind, ErrorCode, IntegrityKey, Message, PasswordAlgorithm};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A request whose sender is known.
#[derive(Debug, Clone)]
pub(super) struct Authenticated {
    pub(super) user: Arc<str>,
    pub(super) key: IntegrityKey,
    pub(super) sha256: bool,
}

/// What becomes of a request that needs credentials.
pub(super) enum Verdict {
    /// It is done for this user.
    Known(Authenticated),
    /// It is answered with this error, realm and nonce included when the code asks for them.
    Error(ErrorCode),
    /// The application is asked first.
    Waits,
}

impl Server {
    pub(super) fn authenticate(&mut self, message: &Message<'_>, path: &ClientPath, now: Instant) -> Verdict {
        if !message.has_integrity() {
            return Verdict::Error(ErrorCode::UNAUTHENTICATED);
        }
        let name = message.get::<Username<'_>>().ok().flatten();
        let hash = message.get::<UserHash>().ok().flatten();
        let realm = message.get::<Realm<'_>>().ok().flatten();
        let nonce = message.get::<Nonce<'_>>().ok().flatten();
        let (claim, nonce) = match (name, hash, realm, nonce) {
            (Some(name), _, Some(_), Some(nonce)) => (Claim::Name(name.0.to_owned()), nonce),
            (None, Some(hash), Some(_), Some(nonce)) => (Claim::Hash(hash.0), nonce),
            _ => return Verdict::Error(ErrorCode::BAD_REQUEST),
        };
        if !self.nonces.holds(nonce.0, path.remote, now) {
            return Verdict::Error(ErrorCode::STALE_NONCE);
        }
        let Some((algorithm, sha256)) = algorithm(message) else {
            return Verdict::Error(ErrorCode::BAD_REQUEST);
        };
        // An allocation has its key: no need to make it again for each refresh.
        let known = self.by_path.get(path).and_then(|number| self.allocations.get(number));
        if let Some(allocation) = known
            && is_claim_of(&claim, &allocation.user, &self.names_by_hash)
            && message.verify(&allocation.key).is_ok()
        {
            let (user, key) = (allocation.user.clone(), allocation.key.clone());
            return Verdict::Known(Authenticated { user, key, sha256 });
        }
        let seconds = self.unix_seconds(now);
        match self.config.credentials.find(
            &claim,
            &self.names_by_hash,
            &self.config.realm,
            algorithm,
            seconds,
        ) {
            Answer::Key { user, key } => self.verify(message, path, (claim, user, key, sha256)),
            Answer::Unknown => self.unknown_user(path, claim),
            Answer::Ask => self.ask(message, path, claim),
        }
    }

    fn verify(
        &mut self,
        message: &Message<'_>,
        path: &ClientPath,
        (claim, user, key, sha256): (Claim, String, IntegrityKey, bool),
    ) -> Verdict {
        if message.verify(&key).is_ok() {
            return Verdict::Known(Authenticated { user: user.into(), key, sha256 });
        }
        self.unknown_user(path, claim)
    }

    /// A wrong name and a wrong password look the same.
    fn unknown_user(&mut self, path: &ClientPath, claim: Claim) -> Verdict {
        self.event(ServerEvent::AuthenticationFailed { client: path.remote, claim });
        Verdict::Error(ErrorCode::UNAUTHENTICATED)
    }

    fn ask(&mut self, message: &Message<'_>, path: &ClientPath, claim: Claim) -> Verdict {
        // A request that comes again while its question is open waits with the first.
        let same = |(asked, request): &(ClientPath, Bytes)| asked == path && **request == *message.bytes();
        if self.lookups.values().any(same) {
            return Verdict::Waits;
        }
        if self.lookups.len() >= self.config.limits.waiting {
            self.event(ServerEvent::LimitReached(ServerLimit::Waiting));
            return Verdict::Error(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let question = QuestionId(self.next_question);
        self.next_question = self.next_question.wrapping_add(1);
        self.lookups.insert(question, (*path, Bytes::copy_from_slice(message.bytes())));
        let realm = self.config.realm.clone();
        self.outputs.push_back(ServerOutput::Lookup { question, claim, realm });
        Verdict::Waits
    }

    /// The application has answered.
    pub(super) fn provided(&mut self, question: QuestionId, user: Option<(&str, Secret)>, now: Instant) {
        let Some((path, request)) = self.lookups.remove(&question) else { return };
        let Ok(message) = Message::parse(&request) else { return };
        let Some((algorithm, sha256)) = algorithm(&message) else { return };
        let claim = match message.get::<Username<'_>>() {
            Ok(Some(name)) => Claim::Name(name.0.to_owned()),
            _ => Claim::Hash(message.get::<UserHash>().ok().flatten().map_or([0; 32], |hash| hash.0)),
        };
        let key = user.and_then(|(name, secret)| {
            secret.key(name, &self.config.realm, algorithm).map(|key| (name.to_owned(), key))
        });
        let verdict = match key {
            Some((name, key)) => self.verify(&message, &path, (claim, name, key, sha256)),
            None => self.unknown_user(&path, claim),
        };
        self.go_on(&message, &path, verdict, now);
    }
}

fn is_claim_of(claim: &Claim, user: &str, names: &BTreeMap<[u8; 32], String>) -> bool {
    match claim {
        Claim::Name(name) => name == user,
        Claim::Hash(hash) => names.get(hash).is_some_and(|name| name == user),
    }
}

/// The password algorithm that a request was signed by, and whether answers are signed by SHA-256; `None` when the request
/// contradicts what it was offered.
fn algorithm(message: &Message<'_>) -> Option<(PasswordAlgorithm, bool)> {
    let offered = message.value(AttributeKind::PASSWORD_ALGORITHMS);
    let chosen = message.get::<ChosenPasswordAlgorithm>().ok()?;
    match (offered, chosen) {
        (None, None) => Some((PasswordAlgorithm::Md5, false)),
        (Some(offered), Some(chosen)) if offered == PasswordAlgorithms::BOTH.0 => Some((chosen.0, true)),
        _ => None,
    }
}
