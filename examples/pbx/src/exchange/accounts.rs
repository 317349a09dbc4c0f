//! Our own registrations with neighbours that find us only so: telephone companies, exchanges behind routers.
//!
//! The endpoint keeps them up and withdraws them at the end; here they begin once the way to the neighbour is known, and the
//! log hears when the answer changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{Headers, Party, Register, RegistrationFailure, RegistrationHandle};
use denwa_sip_core::message::UriBuf;

use super::Event;
use super::desk::Desk;
use super::facts;
use super::planned::credentials;
use crate::config::Trunk;

/// How soon it is tried again while a neighbour's name or the way to it is not known.
const SOON: Duration = Duration::from_secs(1);

/// See the module's words.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Trunks that we do not try to register with yet.
    waiting: BTreeSet<String>,
    trying: BTreeMap<RegistrationHandle, String>,
    /// What each neighbour's last answer was.
    taken: BTreeMap<String, bool>,
    /// Which of a neighbour's servers is registered with.
    turns: BTreeMap<String, usize>,
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
        Self { waiting, trying: BTreeMap::new(), taken: BTreeMap::new(), turns: BTreeMap::new(), next }
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
            let turn = self.turns.get(&name).copied().unwrap_or(0);
            match begin(desk, &name, turn) {
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
        let others = desk.links.get(&trunk).map_or(0, |link| link.hops().len());
        let is_dead = match reason {
            RegistrationFailure::Unreachable(_) => true,
            RegistrationFailure::Refused(response) => matches!(response.status().code(), 408 | 500..=504),
            _ => false,
        };
        if is_dead && others > 1 && retry_in.is_some() {
            // The next server is asked at once, with a registration of its own.
            self.trying.remove(&handle);
            let _ = desk.endpoint.unregister(handle, desk.now);
            *self.turns.entry(trunk.clone()).or_default() += 1;
            self.waiting.insert(trunk.clone());
            self.next = desk.now.checked_add(SOON);
            if self.taken.insert(trunk.clone(), false) != Some(false) {
                let cause = format!("{}; its next server is tried", in_words(reason));
                desk.tell(Event::TrunkNotRegistered { trunk, cause });
            }
            return;
        }
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

fn begin(desk: &mut Desk, name: &str, turn: usize) -> Option<RegistrationHandle> {
    let link = desk.links.get(name)?.clone();
    let account = link.trunk.account.as_ref()?;
    let hops = link.hops();
    let hop = hops.get(turn.checked_rem(hops.len())?)?;
    let place = desk.place_of(hop.peer.ip())?.ok()?;
    let server = link.trunk.servers.first();
    let domain = account.domain.clone().or_else(|| server.map(|server| server.host.to_string()))?;
    // The registrar is asked by its domain where there is one, else where it is.
    let mut registrar = match &account.domain {
        Some(domain) => UriBuf::sip("", domain).build(),
        None => UriBuf::sip("", &hop.host).build(),
    };
    if hop.protocol.is_stream() {
        registrar = registrar.with_param("transport", Some(hop.protocol.uri_token()));
    }
    let contact = link.trunk.style.contact_user.as_deref().unwrap_or(&account.user);
    let register = Register {
        address_of_record: Party::new(UriBuf::sip(&account.user, domain).build()),
        registrar,
        target: hop.target(),
        routes: hop.route.iter().cloned().collect(),
        local: desk.identity(contact, &place, hop.protocol, None),
        headers: Headers::new(),
        credentials: vec![credentials(account)],
        expires: account.expires,
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
