//! Registrations both ways: of users here, of us with lines, and of users here with an exchange there.

use super::Gateway;
use crate::config::{Place, Side, Target as ConfigTarget};
use denwa::guard::Input as GuardInput;
use denwa::ua::why_not_registered;
use denwa_sip_core::StatusCode;
use denwa_sip_core::auth::secret::Secret;
use denwa_sip_core::endpoint::{
    Event as SipEvent, Headers, LocalIdentity, Party, Register, Reply, RequestHandle,
};
use denwa_sip_core::io::{Flow, Lookup, Provided};
use denwa_sip_core::message::{Request, UriBuf};
use denwa_sip_core::transport::Target;
use std::time::{Duration, Instant};

/// How long somebody who registers is spared the guard's measures; registrations are refreshed before.
const VOUCHED: Duration = Duration::from_secs(3600);

/// A registration of ours with a registrar elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The place of its side.
    side: usize,
    /// Who is registered: we, or a user of another side.
    user: String,
    /// He belongs to another side, and is registered for as long as he is registered here.
    is_users: bool,
    /// The last sentence that was said of it, which is not said twice in a row.
    told: String,
}

impl Gateway {
    /// Registers with every line that wants it.
    pub(super) fn register_lines(&mut self, now: Instant) {
        for index in 0..self.config.sides.len() {
            let user = self.side(index).filter(|side| side.register).and_then(|side| side.user.clone());
            if let Some(user) = user {
                self.register(index, user, false, now);
            }
        }
    }

    fn register(&mut self, index: usize, user: String, is_users: bool, now: Instant) {
        let Some(side) = self.side(index) else { return };
        let Some((target, host)) = registrar(side) else { return };
        let host = side.domain.clone().unwrap_or(host);
        let Ok(registrar) = UriBuf::parse(&format!("sip:{host}")) else { return };
        let register = Register {
            address_of_record: Party::new(UriBuf::sip(&user, &host).build()),
            registrar,
            target,
            routes: Vec::new(),
            local: LocalIdentity { user: user.clone(), ..LocalIdentity::default() },
            headers: Headers::new(),
            credentials: self.credentials(side, &user),
            expires: side.expires,
        };
        match self.endpoint.register(register, now) {
            Ok(handle) => {
                let line = Line { side: index, user, is_users, told: String::new() };
                self.lines.insert(handle, line);
            }
            Err(misuse) => self.line(format!("cannot register: {misuse}")),
        }
    }

    /// A REGISTER whose password was right: it must be for the user that the password belongs to.
    pub(super) fn on_register(
        &mut self,
        request: RequestHandle,
        message: &Request,
        flow: Flow,
        user: &str,
        now: Instant,
    ) {
        let asked = message.to().ok().and_then(|to| to.uri.user_unescaped().map(|user| user.into_owned()));
        let is_own = asked.as_deref() == Some(user);
        if !is_own || self.endpoint.accept_registration(request, user, now).is_err() {
            let _ = self.endpoint.respond(request, &Reply::new(StatusCode::FORBIDDEN), now);
            return;
        }
        let until = now + VOUCHED;
        self.guard.handle_input(GuardInput::Vouched { source: flow.remote, account: user, until }, now);
    }

    /// What the endpoint asks the store: passwords are in the file, registrations are in memory.
    pub(super) fn provide(&self, lookup: &Lookup) -> Provided {
        match lookup {
            Lookup::Credentials { user, .. } => {
                let known = self.config.sides.iter().find_map(|side| side.user_named(user));
                known.map_or(Provided::Nothing, |known| Provided::Secret {
                    user: known.name.as_str().into(),
                    secret: Secret::password(known.password.clone()),
                })
            }
            Lookup::StoreBindings { .. } => Provided::Stored,
            _ => Provided::Nothing,
        }
    }

    pub(super) fn on_registration(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::Registered { registration, .. } => {
                self.tell_line(registration, "registered".to_owned())
            }
            SipEvent::RegistrationFailed { registration, reason, retry_in } => {
                let seconds = retry_in.as_secs();
                self.tell_line(
                    registration,
                    format!("not registered: {}; again in {seconds} s", why_not_registered(&reason)),
                );
            }
            SipEvent::RegistrationEnded { registration, reason } => {
                let why =
                    reason.map(|reason| format!(": {}", why_not_registered(&reason))).unwrap_or_default();
                self.tell_line(registration, format!("no longer registered{why}"));
                self.lines.remove(&registration);
            }
            SipEvent::BindingsChanged { address_of_record, bindings } => {
                let what = if bindings.is_empty() { "has unregistered" } else { "has registered" };
                self.line(format!("{address_of_record} {what}"));
                self.follow_user(&address_of_record, !bindings.is_empty(), now);
            }
            SipEvent::BindingExpired { address_of_record, .. } => {
                self.line(format!("{address_of_record} is gone"));
                let is_here = !self.endpoint.bindings(&address_of_record).is_empty();
                self.follow_user(&address_of_record, is_here, now);
            }
            _ => {}
        }
    }

    /// A user came or went: so he does where his side's users are registered.
    fn follow_user(&mut self, user: &str, is_here: bool, now: Instant) {
        let own = self.config.sides.iter().find(|side| side.user_named(user).is_some());
        let Some(own) = own.map(|side| side.name.clone()) else { return };
        for index in 0..self.config.sides.len() {
            if self.side(index).and_then(|side| side.registers_users_of.as_ref()) != Some(&own) {
                continue;
            }
            let line =
                self.lines.iter().find(|(_, line)| line.side == index && line.user == user && line.is_users);
            match (line.map(|(handle, _)| *handle), is_here) {
                (None, true) => self.register(index, user.to_owned(), true, now),
                (Some(handle), false) => {
                    // One that failed for good has ended already.
                    let _ = self.endpoint.unregister(handle, now);
                }
                _ => {}
            }
        }
    }

    fn tell_line(&mut self, registration: denwa_sip_core::endpoint::RegistrationHandle, what: String) {
        let Some(line) = self.lines.get_mut(&registration) else { return };
        if line.told == what {
            return;
        }
        line.told.clone_from(&what);
        let (side, user) = (line.side, line.user.clone());
        let is_users = line.is_users;
        let Some(name) = self.side(side).map(|side| side.name.clone()) else { return };
        self.line(if is_users {
            format!("side {name}: {user} {what}")
        } else {
            format!("side {name}: {what}")
        });
    }
}

/// Where REGISTER goes, and the host of addresses there.
fn registrar(side: &Side) -> Option<(Target, String)> {
    match &side.place {
        Place::Peer(ConfigTarget::Address(protocol, address)) => {
            Some((Target::address(*protocol, *address), address.to_string()))
        }
        Place::Peer(ConfigTarget::Name { protocol, host, port }) => {
            Some((super::admission::by_name(*protocol, host, *port), host.clone()))
        }
        _ => None,
    }
}
