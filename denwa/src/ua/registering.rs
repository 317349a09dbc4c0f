//! Accounts: registering them, keeping that up, and what they answer challenges with.

use super::flows::{Flow, Flows, is_at};
use super::{Account, AccountId, Event, Misuse, Server, UserAgent, WatchId};
use crate::evidence::{EndCause, Evidence, Fact, Party as Who, Side};
use denwa_sip_core::Protocol;
use denwa_sip_core::auth::client::{ChallengeRefusal, Credentials};
use denwa_sip_core::auth::secret::Secret;
use denwa_sip_core::endpoint::{
    Headers, LocalIdentity, Outbound, Party, Register, RegistrationFailure, RegistrationHandle,
};
use denwa_sip_core::message::{Host, UriBuf};
use denwa_sip_core::transaction::EndReason;
use denwa_sip_core::transport::Target;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// An account and where its registration stands.
#[derive(Debug)]
pub(super) struct AccountState {
    pub(super) account: Account,
    pub(super) flows: Flows,
    pub(super) mailbox: Option<WatchId>,
    /// What is known of its registration, since that was last begun or renewed.
    pub(super) evidence: Option<Evidence>,
    /// The attempt that the evidence is about has failed.
    has_failed: bool,
}

impl AccountState {
    pub(super) fn evidence(&mut self, now: Instant) -> &mut Evidence {
        let subject = || format!("sip:{}@{}", self.account.user, self.account.domain);
        self.evidence.get_or_insert_with(|| Evidence::new(subject(), Evidence::DEFAULT_LIMIT, now))
    }

    /// Why it failed, as facts.
    fn note(&mut self, reason: &RegistrationFailure, now: Instant) {
        let account = self.account.login.clone().unwrap_or_else(|| self.account.user.clone());
        let began = self.evidence(now).began();
        let fact = match reason {
            RegistrationFailure::Refused(response) => {
                Fact::Ended { by: Who::Peer, cause: EndCause::Refused(response.status().code()) }
            }
            RegistrationFailure::Unreachable(EndReason::Unresolved(_)) => {
                Fact::Unresolved { name: self.account.domain.clone() }
            }
            RegistrationFailure::Unreachable(reason) => {
                let Some((protocol, to)) = self.destination() else { return };
                Fact::of_end(*reason, "REGISTER", to, protocol, now.saturating_duration_since(began))
            }
            RegistrationFailure::NotAuthenticated(_) => {
                Fact::CredentialsRefused { by: Who::Peer, account, account_known: None }
            }
            _ => return,
        };
        self.evidence(now).add(Some(Side::FIRST), fact, now);
        self.has_failed = true;
    }

    /// Another attempt begins: what hindered the last one is over.
    pub(super) fn try_again(&mut self) {
        if std::mem::take(&mut self.has_failed) {
            self.evidence = None;
        }
    }

    /// Where its registration went, or would have gone as far as is known beforehand.
    fn destination(&self) -> Option<(Protocol, SocketAddr)> {
        let sent = self.evidence.iter().flat_map(Evidence::facts).rev().find_map(|dated| match &dated.fact {
            Fact::Sent(head) => {
                let protocol = Protocol::ALL.into_iter().find(|one| one.via_token() == head.protocol)?;
                Some((protocol, head.remote?))
            }
            _ => None,
        });
        if sent.is_some() {
            return sent;
        }
        match self.server() {
            Some(server) => Some((server.protocol, server.address)),
            None => match direct(&self.account.uri())? {
                Target::Address { protocol, remote, .. } => Some((protocol, remote)),
                _ => None,
            },
        }
    }

    /// Whether its server is at this address.
    pub(super) fn is_served_by(&self, address: IpAddr) -> bool {
        let further = &self.account.further_servers;
        let by_name = || self.account.domain.parse::<IpAddr>().is_ok_and(|domain| domain == address);
        further.iter().any(|server| is_at(server, address))
            || self.account.server.as_ref().map_or_else(by_name, |server| is_at(server, address))
    }

    /// By which server its requests go; `None`: by the one that their address leads to.
    pub(super) fn server(&self) -> Option<&Server> {
        self.flows.in_use().map_or(self.account.server.as_ref(), |flow| flow.server.as_ref())
    }

    pub(super) fn party(&self) -> Party {
        let uri = self.account.uri();
        match &self.account.display_name {
            Some(name) => Party::named(name, uri),
            None => Party::new(uri),
        }
    }

    pub(super) fn credentials(&self) -> Vec<Credentials> {
        let account = &self.account;
        account
            .password
            .iter()
            .map(|password| Credentials {
                // Its own server names its realm as it likes.
                realm: None,
                username: account.login.clone().unwrap_or_else(|| account.user.clone()),
                secret: Secret::password(password),
            })
            .collect()
    }

    /// Where requests of this account go: to its server, or where the address leads.
    pub(super) fn target(&self, uri: &UriBuf) -> Target {
        match self.server() {
            Some(server) => server.target(),
            None => direct(uri).unwrap_or_else(|| Target::Uri(uri.clone())),
        }
    }
}

/// Who is called by an address is our neighbour: requests inside the call go back to where his come from, whatever he calls
/// himself. A VPN that renames hosts, and NATs, would lose ACK and BYE otherwise.
fn direct(uri: &UriBuf) -> Option<Target> {
    let uri = uri.as_uri();
    let address: IpAddr = match uri.host()? {
        Host::V4(address) => address.into(),
        Host::V6(address) => address.into(),
        Host::Name(_) => return None,
    };
    let protocol = match uri.params().get("transport") {
        None => Protocol::Udp,
        Some(transport) if transport.eq_ignore_ascii_case("udp") => Protocol::Udp,
        Some(transport) if transport.eq_ignore_ascii_case("tcp") => Protocol::Tcp,
        // TLS and WebSocket have names to prove.
        Some(_) => return None,
    };
    let port = uri.port().unwrap_or(protocol.default_port());
    uri.scheme_str()
        .eq_ignore_ascii_case("sip")
        .then(|| Target::address(protocol, SocketAddr::new(address, port)))
}

impl UserAgent {
    /// Adds an account; nothing is sent yet.
    pub fn add_account(&mut self, account: Account) -> AccountId {
        let id = AccountId(self.next_account);
        self.next_account = self.next_account.wrapping_add(1);
        let state = AccountState {
            account,
            flows: Flows::default(),
            mailbox: None,
            evidence: None,
            has_failed: false,
        };
        self.accounts.insert(id, state);
        id
    }

    /// Registers the account, and keeps it registered until told otherwise.
    ///
    /// # Errors
    /// When there is no such account, it is registered already, or its address cannot be written.
    pub fn register(&mut self, account: AccountId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let state = self.accounts.get_mut(&account).ok_or(Misuse::UnknownAccount)?;
        if !state.flows.is_empty() {
            return Err(Misuse::NotNow);
        }
        (state.evidence, state.has_failed) = (None, false);
        let registrar = UriBuf::parse(&format!("sip:{}", state.account.domain))
            .map_err(|error| Misuse::BadAddress(error.to_string()))?;
        let register = Register {
            address_of_record: state.party(),
            target: state.target(&registrar),
            registrar,
            routes: Vec::new(),
            local: LocalIdentity { user: state.account.user.clone(), ..LocalIdentity::default() },
            headers: Headers::new(),
            credentials: state.credentials(),
            expires: state.account.expires,
        };
        let first = state.account.server.clone();
        let flows = match &state.account.instance {
            None => vec![Flow::new(self.endpoint.register(register, now)?, first)],
            Some(instance) => {
                let further = &state.account.further_servers;
                let targets = further.iter().map(Server::target);
                let outbound = Outbound {
                    instance: instance.clone(),
                    flows: [register.target.clone()].into_iter().chain(targets).collect(),
                    keep_alive: KEEP_ALIVE,
                };
                let servers = [first].into_iter().chain(further.iter().cloned().map(Some));
                let handles = self.endpoint.register_outbound(&register, &outbound, now)?;
                handles.into_iter().zip(servers).map(|(handle, server)| Flow::new(handle, server)).collect()
            }
        };
        state.flows.begin(flows);
        self.drain(now);
        Ok(())
    }

    /// Withdraws the registration.
    ///
    /// # Errors
    /// When there is no such account or it is not registered.
    pub fn unregister(&mut self, account: AccountId, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let state = self.accounts.get(&account).ok_or(Misuse::UnknownAccount)?;
        if state.flows.is_empty() {
            return Err(Misuse::NotNow);
        }
        for registration in state.flows.registrations() {
            self.endpoint.unregister(registration, now)?;
        }
        self.drain(now);
        Ok(())
    }

    /// Whether the account is registered now.
    #[must_use]
    pub fn is_registered(&self, account: AccountId) -> bool {
        self.flows_of(account) > 0
    }

    /// How many flows of the account stand: of its server, and of each of [`Account::further_servers`].
    #[must_use]
    pub fn flows_of(&self, account: AccountId) -> usize {
        self.accounts.get(&account).map_or(0, |state| state.flows.standing())
    }

    pub(super) fn on_registered(
        &mut self,
        registration: RegistrationHandle,
        expires_in: Duration,
        service_route: Vec<String>,
        now: Instant,
    ) {
        let Some(account) = self.account_of(registration) else { return };
        let Some(state) = self.accounts.get_mut(&account) else { return };
        if !state.flows.stands(registration, service_route) {
            return;
        }
        self.tell(Event::Registered { account, expires_in });
        self.watch_mailbox(account, now);
    }

    pub(super) fn on_registration_failed(
        &mut self,
        registration: RegistrationHandle,
        reason: &RegistrationFailure,
        retry_in: Option<Duration>,
        now: Instant,
    ) {
        let Some(account) = self.account_of(registration) else { return };
        let Some(state) = self.accounts.get_mut(&account) else { return };
        let server = state.flows.fell(registration);
        if let Some(server) = server.filter(|_| state.flows.standing() > 0) {
            let why = why_not_registered(reason);
            return self.tell(Event::FlowLost { account, server, why, retry_in });
        }
        state.note(reason, now);
        self.tell_registration_failed(account, reason, retry_in, now);
    }

    fn tell_registration_failed(
        &mut self,
        account: AccountId,
        reason: &RegistrationFailure,
        retry_in: Option<Duration>,
        now: Instant,
    ) {
        let Some(state) = self.accounts.get_mut(&account) else { return };
        let evidence = Box::new(state.evidence(now).clone());
        self.tell(Event::RegistrationFailed { account, why: why_not_registered(reason), retry_in, evidence });
    }

    pub(super) fn on_registration_ended(
        &mut self,
        registration: RegistrationHandle,
        reason: Option<&RegistrationFailure>,
        now: Instant,
    ) {
        let Some(account) = self.account_of(registration) else { return };
        let Some(state) = self.accounts.get_mut(&account) else { return };
        let server = state.flows.forget(registration);
        if !state.flows.is_empty() {
            let lost = server.zip(reason).filter(|_| state.flows.standing() > 0);
            if let Some((server, reason)) = lost {
                let why = why_not_registered(reason);
                self.tell(Event::FlowLost { account, server, why, retry_in: None });
            }
            return;
        }
        if let Some(reason) = reason {
            state.note(reason, now);
        }
        match reason {
            Some(reason) => self.tell_registration_failed(account, reason, None, now),
            None => self.tell(Event::Unregistered { account }),
        }
    }

    fn account_of(&self, registration: RegistrationHandle) -> Option<AccountId> {
        self.accounts.iter().find(|(_, state)| state.flows.has(registration)).map(|(id, _)| *id)
    }
}

/// How often a flow is kept alive whose registrar does not say (RFC 5626 §4.4.1 has 24 to 29 s for UDP).
const KEEP_ALIVE: Duration = Duration::from_secs(29);

/// Why a registration failed, for people.
#[must_use]
pub fn why_not_registered(reason: &RegistrationFailure) -> String {
    match reason {
        RegistrationFailure::Refused(response) => {
            format!("the server refused with {} {}", response.status().code(), response.reason())
        }
        RegistrationFailure::Unreachable(reason) => {
            format!("the server was not reached: {}", super::call::words(*reason))
        }
        RegistrationFailure::NotAuthenticated(ChallengeRefusal::AlreadyRefused) => {
            "the server refused the password".to_owned()
        }
        RegistrationFailure::NotAuthenticated(ChallengeRefusal::NoCredentials) => {
            "the server wants a password".to_owned()
        }
        RegistrationFailure::NotAuthenticated(reason) => {
            format!("the server's challenge was not answered: {reason:?}")
        }
        RegistrationFailure::NotBound => "the server did not take the address".to_owned(),
        other => format!("{other:?}"),
    }
}
