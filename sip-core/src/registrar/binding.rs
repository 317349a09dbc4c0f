//! Bindings of one address of record, and what a REGISTER does to them: RFC 3261 §10.3, RFC 5626 §6, RFC 3327.
//!
//! Pure arithmetic: the whole new set is computed first and takes effect only when the store has it, so that a
//! REGISTER happens wholly or not at all (§10.3 step 7).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{
    io::{Flow, Protocol},
    message::{Uri, UriBuf},
};
use std::time::{Duration, Instant};

/// Where a user can be reached, until when, and how that became known.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The Contact's URI: what goes into the request line of a request to it.
    pub contact: UriBuf,
    /// The Contact's header parameters other than `expires` and `q`, as they came, with their leading semicolons.
    pub parameters: Box<str>,
    /// Preference in thousandths, 0 to 1000.
    pub quality: u16,
    /// When it ends.
    pub expires_at: Instant,
    /// `Call-ID` of the REGISTER that made or last changed it.
    pub call_id: Box<str>,
    /// Sequence number of that REGISTER.
    pub sequence: u32,
    /// `Path`: the proxies a request to it has to pass, as Route values in order (RFC 3327).
    pub path: Box<[Box<str>]>,
    /// The flow the REGISTER came on: where the telephone really is, whatever its Contact says.
    pub flow: Flow,
    /// `User-Agent` of the REGISTER.
    pub user_agent: Box<str>,
    /// `+sip.instance` and `reg-id`: with them a new flow of one device replaces its old one (RFC 5626 §6).
    pub instance: Option<Instance>,
}

/// Which flow of which device (RFC 5626 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// `+sip.instance`, without quotes, with its angle brackets.
    pub id: Box<str>,
    /// `reg-id`; `None` when the device names itself but asked for no outbound.
    pub registration: Option<u32>,
}

impl Binding {
    /// How long it still lasts.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }

    /// Whether it is gone when its flow is: the device asked for outbound (RFC 5626 §6), or it is a browser, which nobody can
    /// connect to (RFC 7118 §5).
    pub(crate) fn is_bound_to_flow(&self) -> bool {
        matches!(self.flow.protocol, Protocol::Ws | Protocol::Wss)
            || self.instance.as_ref().is_some_and(|instance| instance.registration.is_some())
    }

    fn is_replaced_by(&self, contact: &ContactUpdate<'_>) -> bool {
        match (&self.instance, &contact.instance) {
            (Some(Instance { id, registration: Some(own) }), Some(new)) if new.registration.is_some() => {
                *id == new.id && new.registration == Some(*own)
            }
            _ => self.contact.as_uri() == contact.uri,
        }
    }
}

/// What a registrar grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryPolicy {
    /// Shorter wishes are refused with 423.
    pub minimum: Duration,
    /// Longer wishes are cut to this.
    pub maximum: Duration,
    /// Granted to who wishes nothing.
    pub default: Duration,
    /// At most this many bindings for one address of record.
    pub bindings: usize,
}

impl Default for ExpiryPolicy {
    /// One minute to one hour; 3600 s for who does not say; ten contacts.
    fn default() -> Self {
        Self {
            minimum: Duration::from_secs(60),
            maximum: Duration::from_secs(3600),
            default: Duration::from_secs(3600),
            bindings: 10,
        }
    }
}

/// One REGISTER, read.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    /// `Call-ID`.
    pub call_id: &'a str,
    /// `CSeq` number.
    pub sequence: u32,
    /// `Expires`.
    pub expires: Option<u32>,
    /// `Contact`.
    pub contacts: Contacts<'a>,
    /// `Path` values, topmost first.
    pub path: Vec<&'a str>,
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// Where it came from.
    pub flow: Flow,
}

/// The Contact header fields of a REGISTER.
#[derive(Clone, Debug)]
pub enum Contacts<'a> {
    /// `*`: every binding (with `Expires: 0` only).
    Wildcard,
    /// None: a question. Some: changes.
    List(Vec<ContactUpdate<'a>>),
}

/// One Contact of a REGISTER.
#[derive(Clone, Debug)]
pub struct ContactUpdate<'a> {
    /// Its URI.
    pub uri: Uri<'a>,
    /// Header parameters to keep: all but `expires` and `q`.
    pub parameters: String,
    /// `expires`.
    pub expires: Option<u32>,
    /// `q` in thousandths.
    pub quality: Option<u16>,
    /// `+sip.instance`, `reg-id`.
    pub instance: Option<Instance>,
}

/// Why a REGISTER changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationRefusal {
    /// 423: a wish below the minimum, which is given in seconds for `Min-Expires`.
    TooBrief {
        /// `Min-Expires`.
        minimum: u32,
    },
    /// 400: `*` beside other contacts or without `Expires: 0`.
    BadWildcard,
    /// 500: the same Call-ID with a sequence number not higher than the one already acted upon.
    OutOfOrder,
    /// 403: more bindings than the policy allows.
    TooManyBindings {
        /// The limit.
        limit: usize,
    },
}

/// The outcome of a REGISTER, to be stored and then made true.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The whole new set.
    pub bindings: Vec<Binding>,
    /// Whether anything differs from before, refreshed expiry included.
    pub changed: bool,
}

/// What becomes of `held` by this REGISTER.
pub fn apply(
    held: &[Binding],
    registration: &Registration<'_>,
    policy: &ExpiryPolicy,
    now: Instant,
) -> Result<Change, RegistrationRefusal> {
    let alive = held.iter().filter(|binding| binding.expires_at > now);
    let list = match &registration.contacts {
        Contacts::Wildcard if registration.expires == Some(0) => {
            for binding in alive {
                check_order(binding, registration)?;
            }
            return Ok(Change { bindings: Vec::new(), changed: !held.is_empty() });
        }
        Contacts::Wildcard => return Err(RegistrationRefusal::BadWildcard),
        Contacts::List(list) => list,
    };
    let mut bindings: Vec<Binding> = alive.cloned().collect();
    let mut changed = bindings.len() != held.len();
    for contact in list {
        let granted = granted(contact.expires.or(registration.expires), policy)?;
        let known = bindings.iter().position(|binding| binding.is_replaced_by(contact));
        if let Some(binding) = known.and_then(|at| bindings.get(at)) {
            // A flow of a device that started anew has a Call-ID of its own: order is judged within one Call-ID only.
            check_order(binding, registration)?;
        }
        changed = true;
        match (known, granted) {
            (None, None) => changed = bindings.len() != held.len(),
            (Some(at), None) => drop(bindings.remove(at)),
            (Some(at), Some(expires_in)) => {
                if let Some(slot) = bindings.get_mut(at) {
                    *slot = bind(contact, registration, expires_in, now);
                }
            }
            (None, Some(expires_in)) => bindings.push(bind(contact, registration, expires_in, now)),
        }
    }
    if bindings.len() > policy.bindings.max(held.len()) {
        return Err(RegistrationRefusal::TooManyBindings { limit: policy.bindings });
    }
    Ok(Change { bindings, changed })
}

fn check_order(binding: &Binding, registration: &Registration<'_>) -> Result<(), RegistrationRefusal> {
    let same_call = *binding.call_id == *registration.call_id;
    if same_call && registration.sequence <= binding.sequence {
        return Err(RegistrationRefusal::OutOfOrder);
    }
    Ok(())
}

/// How long is granted; `None` is removal.
pub(crate) fn granted(
    wished: Option<u32>,
    policy: &ExpiryPolicy,
) -> Result<Option<Duration>, RegistrationRefusal> {
    let wished = match wished {
        None => return Ok(Some(policy.default.clamp(policy.minimum, policy.maximum.max(policy.minimum)))),
        Some(0) => return Ok(None),
        Some(seconds) => Duration::from_secs(u64::from(seconds)),
    };
    if wished < policy.minimum {
        let minimum = u32::try_from(policy.minimum.as_secs()).unwrap_or(u32::MAX);
        return Err(RegistrationRefusal::TooBrief { minimum });
    }
    Ok(Some(wished.min(policy.maximum.max(policy.minimum))))
}

fn bind(
    contact: &ContactUpdate<'_>,
    registration: &Registration<'_>,
    expires_in: Duration,
    now: Instant,
) -> Binding {
    Binding {
        contact: contact.uri.to_owned(),
        parameters: contact.parameters.as_str().into(),
        quality: contact.quality.unwrap_or(1000).min(1000),
        expires_at: now.checked_add(expires_in).unwrap_or(now),
        call_id: registration.call_id.into(),
        sequence: registration.sequence,
        path: registration.path.iter().map(|&hop| hop.into()).collect(),
        flow: registration.flow,
        user_agent: registration.user_agent.into(),
        instance: contact.instance.clone(),
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
#[path = "binding_tests.rs"]
mod tests;
