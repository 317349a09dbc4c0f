//! Our own registrations with neighbours that find us only so: telephone companies, exchanges behind routers.
//!
//! The endpoint keeps them up and withdraws them at the end; here they begin once the way to the neighbour is known, and the
//! log hears when the answer changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{Headers, Party, Register, RegistrationFailure, RegistrationHandle, Target};
use denwa_sip_core::message::UriBuf;

use super::Event;
use super::desk::Desk;
use super::facts;
use super::planned::credentials;
use crate::config::Trunk;

/// How soon it is tried again while a neighbour's name or the way to it is not known.
const SOON: Duration = Duration::from_secs(1);

/// How long a registration is asked for.
const EXPIRES: Duration = Duration::from_secs(600);

/// See the module's words.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Trunks that we do not try to register with yet.
    waiting: BTreeSet<String>,
    trying: BTreeMap<RegistrationHandle, String>,
    /// What each neighbour's last answer was.
    taken: BTreeMap<String, bool>,
    next: Option<Instant>,
}

impl Accounts {
    pub(super) fn new(desk: &Desk) -> Self {
        let wanted = desk
            .links
            .iter()
            .filter(|link| link.trunk.account.as_ref().is_some_and(|account| account.register));
        let waiting: BTreeSet<String> = wanted.map(|link| link.trunk.name.clone()).collect();
        let next = (!waiting.is_empty()).then_some(desk.now);
        Self { waiting, trying: BTreeMap::new(), taken: BTreeMap::new(), next }
    }

    /// The neighbours have changed: registrations with those that went or changed are withdrawn, with new ones begun.
    pub(super) fn reload(&mut self, desk: &mut Desk, before: &[Trunk]) {
        let is_same = |name: &str| {
            let old = before.iter().find(|trunk| trunk.name == name);
            old.is_some() && old == desk.links.get(name).map(|link| &link.trunk)
        };
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.trying).into_iter().partition(|(_, name)| is_same(name));
        self.trying = kept;
        for (handle, name) in gone {
            self.taken.remove(&name);
            // What has ended by itself needs no end.
            let _ = desk.endpoint.unregister(handle, desk.now);
        }
        let Self { waiting, next, .. } = Self::new(desk);
        self.waiting =
            waiting.into_iter().filter(|name| !self.trying.values().any(|own| own == name)).collect();
        self.next = next.filter(|_| !self.waiting.is_empty());
    }

    /// Whether a neighbour has taken our registration; `None` when it was not asked to, or has not answered yet.
    pub(super) fn is_registered(&self, trunk: &str) -> Option<bool> {
        self.taken.get(trunk).copied()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk) {
        if self.next.is_none_or(|next| next > desk.now) {
            return;
        }
        for name in std::mem::take(&mut self.waiting) {
            match begin(desk, &name) {
                Some(handle) => drop(self.trying.insert(handle, name)),
                None => drop(self.waiting.insert(name)),
            }
        }
        self.next = if self.waiting.is_empty() { None } else { desk.now.checked_add(SOON) };
    }

    pub(super) fn registered(&mut self, desk: &mut Desk, handle: RegistrationHandle, expires_in: Duration) {
        let Some(trunk) = self.trying.get(&handle).cloned() else { return };
        if self.taken.insert(trunk.clone(), true) != Some(true) {
            desk.tell(Event::TrunkRegistered { trunk, expires_in });
        }
    }

    pub(super) fn failed(
        &mut self,
        desk: &mut Desk,
        handle: RegistrationHandle,
        reason: &RegistrationFailure,
        retry_in: Option<Duration>,
    ) {
        let Some(trunk) = self.trying.get(&handle).cloned() else { return };
        let again = match retry_in {
            Some(retry_in) => format!("it is tried again in {} s", retry_in.as_secs()),
            None => {
                self.trying.remove(&handle);
                "it is not tried again".to_owned()
            }
        };
        if self.taken.insert(trunk.clone(), false) != Some(false) || retry_in.is_none() {
            desk.tell(Event::TrunkNotRegistered { trunk, cause: format!("{}; {again}", in_words(reason)) });
        }
    }
}

fn begin(desk: &mut Desk, name: &str) -> Option<RegistrationHandle> {
    let link = desk.links.get(name)?.clone();
    let account = link.trunk.account.as_ref()?;
    let peer = link.destination()?;
    let place = desk.place_of(peer.ip())?.ok()?;
    let protocol = link.trunk.address.protocol;
    let mut registrar = UriBuf::at_address("", peer);
    if protocol.is_stream() {
        registrar = registrar.with_param("transport", Some(protocol.uri_token()));
    }
    let host = link.trunk.address.host.to_string();
    let register = Register {
        address_of_record: Party::new(UriBuf::sip(&account.user, host).build()),
        registrar,
        target: Target::address(protocol, peer),
        routes: Vec::new(),
        local: desk.identity(&account.user, &place, protocol, None),
        headers: Headers::new(),
        credentials: vec![credentials(account)],
        expires: EXPIRES,
    };
    desk.endpoint.register(register, desk.now).ok()
}

fn in_words(reason: &RegistrationFailure) -> String {
    match reason {
        RegistrationFailure::Refused(response) if response.status() == StatusCode::FORBIDDEN => {
            "it refused us with 403; are user and password right?".to_owned()
        }
        RegistrationFailure::Refused(response) => {
            format!("it answered {} ({})", response.status().code(), facts::phrase(response))
        }
        RegistrationFailure::Unreachable(reason) => {
            facts::unreachable(*reason).unwrap_or_else(|| "nothing replied to the REGISTER".to_owned())
        }
        RegistrationFailure::NotAuthenticated(_) => {
            "the password is wrong, or it asks for one in a way that is not known here".to_owned()
        }
        RegistrationFailure::NotBound => "its answer does not name us among those registered".to_owned(),
        other => format!("{other:?}"),
    }
}
