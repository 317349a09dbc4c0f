//! The guard at the door: strangers that guess, scan or flood are turned away before a byte of theirs is read.
//!
//! The networks under `local` and the neighbours' addresses are never refused, and a telephone that has proved its password
//! is heard on whatever its neighbours behind the same address do. Everything else is [`denwa::guard`]'s.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use denwa::address::Network;
use denwa::guard::{self, Guard, GuardConfig, Offence, Scanner, Standing, Verdict, recognise};
use denwa_sip_core::endpoint::{AuthenticationFailure, Binding};
use denwa_sip_core::io::StreamId;

use super::desk::Desk;
use super::invitation::whence;
use super::signalling::HOSTILE_PAUSE;
use super::{Attacker, Attacks, Event};
use crate::config::{Acl, Config, GuardPolicy, Protocol};

/// How long a call with the right password vouches for a telephone that is not registered.
const CALL_VOUCHES: Duration = Duration::from_secs(3600);

/// See the module's words.
#[derive(Debug)]
pub(super) struct Defence {
    guard: Guard,
    /// What the sender of the input that is being worked on is, and where it sends from.
    standing: Standing,
    source: Option<SocketAddr>,
    /// Who is at the other end of connections that were accepted.
    streams: HashMap<StreamId, (Protocol, SocketAddr)>,
    /// Who may speak to the exchange at all, and who may not.
    allow: Acl,
    deny: Acl,
    /// How much was turned away by them.
    turned_away: u64,
    /// The same since it was told last, and the latest of it.
    untold: Option<TurnedAway>,
    /// Until then it is not told again.
    quiet_until: Option<Instant>,
}

#[derive(Debug)]
struct TurnedAway {
    count: u64,
    example: String,
    list: &'static str,
}

impl Defence {
    pub(super) fn new(file: &Config, desk: &Desk, seed: [u8; 32], now: Instant) -> Self {
        let guard = Guard::new(guard_config(file, desk), denwa::Seed(seed), now);
        let GuardPolicy { allow, deny, .. } = file.guard.clone();
        Self {
            guard,
            standing: Standing::Stranger,
            source: None,
            streams: HashMap::new(),
            allow,
            deny,
            turned_away: 0,
            untold: None,
            quiet_until: None,
        }
    }

    /// The file or the neighbours have changed. Bans are forgotten, telephones that are registered are not.
    pub(super) fn reload(&mut self, file: &Config, desk: &mut Desk) {
        let seed = denwa::Seed(desk.random_bytes());
        self.guard = Guard::new(guard_config(file, desk), seed, desk.now);
        (self.allow, self.deny) = (file.guard.allow.clone(), file.guard.deny.clone());
        let neighbours = desk.links.iter().filter_map(|link| link.trunk.inbound.as_ref());
        let users = desk.directory.iter().map(|account| &account.number);
        for user in users.chain(neighbours.map(|inbound| &inbound.user)) {
            let bindings: Vec<Binding> = desk.endpoint.bindings(user).into_iter().cloned().collect();
            self.registered(user, &bindings, desk.now);
        }
    }

    /// Neighbours are elsewhere now: packets from there are never refused. Bans and proofs stay.
    pub(super) fn neighbours_moved(&mut self, file: &Config, desk: &Desk) {
        self.guard.set_exempt(exempt(file, desk));
    }

    /// How many bans are in force.
    pub(super) fn bans(&self, now: Instant) -> usize {
        let report = self.guard.report(usize::MAX);
        report.iter().filter(|source| source.banned_until.is_some_and(|until| until > now)).count()
    }

    /// Who was refused what.
    pub(super) fn report(&self, now: Instant, most: usize) -> Attacks {
        let counts = self.guard.counts();
        let sources = self.guard.report(most).into_iter().map(|source| Attacker {
            who: source.subject.to_string(),
            offences: source.offences.iter().map(|(offence, times)| (offence.to_string(), *times)).collect(),
            refused: source.refused,
            bans: source.bans,
            banned_for_seconds: source
                .banned_until
                .and_then(|until| until.checked_duration_since(now))
                .map(|left| left.as_secs()),
            last_seen_seconds: now.saturating_duration_since(source.last_seen).as_secs(),
        });
        Attacks {
            strangers: counts.strangers,
            refused: self.turned_away
                + counts.banned
                + counts.prefix_banned
                + counts.too_fast
                + counts.too_many_strangers,
            offences: counts.offences,
            sources: sources.collect(),
        }
    }

    /// Whether something from this source is read at all.
    pub(super) fn admits(&mut self, protocol: Protocol, source: SocketAddr, now: Instant) -> bool {
        let denied = self.deny.names(protocol, source.ip());
        if denied || !self.allow.allows(protocol, source.ip()) {
            self.turned_away += 1;
            let count = self.untold.as_ref().map_or(0, |untold| untold.count) + 1;
            let list = if denied { "deny" } else { "allow" };
            self.untold = Some(TurnedAway { count, example: whence(protocol, source), list });
            return false;
        }
        self.source = Some(source);
        match self.guard.admit(source, now) {
            Verdict::Admit(standing) => {
                self.standing = standing;
                true
            }
            Verdict::Refuse(_) => false,
        }
    }

    /// Whether a connection that somebody made is kept.
    pub(super) fn admits_stream(
        &mut self,
        stream: StreamId,
        protocol: Protocol,
        source: SocketAddr,
        now: Instant,
    ) -> bool {
        let is_kept = self.admits(protocol, source, now);
        if is_kept {
            self.streams.insert(stream, (protocol, source));
        }
        is_kept
    }

    /// Whether a piece of a connection is read. Of one that somebody made and that is not kept nothing is.
    pub(super) fn admits_piece(&mut self, stream: StreamId, now: Instant) -> bool {
        if !stream.is_accepted() {
            (self.standing, self.source) = (Standing::Exempt, None);
            return true;
        }
        let Some((protocol, source)) = self.streams.get(&stream).copied() else { return false };
        let is_read = self.admits(protocol, source, now);
        if !is_read {
            self.streams.remove(&stream);
        }
        is_read
    }

    /// A connection is gone.
    pub(super) fn stream_closed(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Whether the sender of the input that is being worked on may try a password for an account: not when it was guessed too
    /// often, from wherever.
    pub(super) fn admits_account(&mut self, account: &str, now: Instant) -> bool {
        self.source.is_none_or(|source| self.guard.admits_account(account, source, now))
    }

    /// A source did something it should not have done.
    pub(super) fn offence(
        &mut self,
        source: SocketAddr,
        offence: Offence,
        account: Option<&str>,
        now: Instant,
    ) {
        // Whoever proved himself is no stranger for a slip.
        if self.standing == Standing::Stranger {
            self.guard.handle_input(guard::Input::Offence { source, offence, account }, now);
        }
    }

    /// Credentials were wrong.
    pub(super) fn guessed(
        &mut self,
        source: SocketAddr,
        account: &str,
        reason: AuthenticationFailure,
        now: Instant,
    ) {
        let offence = match reason {
            AuthenticationFailure::UnknownUser => Offence::UnknownAccount,
            AuthenticationFailure::WrongPassword => Offence::WrongPassword,
            // A telephone that counts badly or speaks another algorithm guesses nothing.
            _ => return,
        };
        self.offence(source, offence, Some(account), now);
    }

    /// A request that is to be challenged: a scanner by its own name is known at once.
    pub(super) fn look_at(&mut self, source: SocketAddr, user_agent: Option<&str>, now: Instant) {
        if let Some(Scanner::Hostile(_)) = user_agent.and_then(recognise) {
            self.offence(source, Offence::Scanner, None, now);
        }
    }

    /// These telephones have proved their password.
    pub(super) fn registered(&mut self, account: &str, bindings: &[Binding], now: Instant) {
        for binding in bindings {
            let (source, until) = (binding.flow.remote, binding.expires_at);
            self.guard.handle_input(guard::Input::Vouched { source, account, until }, now);
        }
    }

    /// This telephone has proved its password for a call.
    pub(super) fn called(&mut self, source: SocketAddr, account: &str, now: Instant) {
        if self.standing == Standing::Stranger
            && let Some(until) = now.checked_add(CALL_VOUCHES)
        {
            self.guard.handle_input(guard::Input::Vouched { source, account, until }, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.guard.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let untold = self.untold.as_ref().and(self.quiet_until);
        self.guard.poll_timeout().into_iter().chain(untold).min()
    }

    /// Tells who was banned, and for how long.
    pub(super) fn tell(&mut self, desk: &mut Desk) {
        if self.quiet_until.is_none_or(|until| until <= desk.now)
            && let Some(TurnedAway { count, example, list }) = self.untold.take()
        {
            self.quiet_until = desk.now.checked_add(HOSTILE_PAUSE);
            desk.tell(Event::TurnedAway { count, example, list });
        }
        while let Some(guard::Output::Event(event)) = self.guard.poll_output() {
            match event {
                guard::Event::Banned { subject, offence, times, until } => {
                    let lasts = until.saturating_duration_since(desk.now);
                    desk.tell(Event::Banned {
                        who: subject.to_string(),
                        cause: offence.to_string(),
                        times,
                        lasts,
                    });
                }
                guard::Event::Lifted { subject, refused } => {
                    desk.tell(Event::BanLifted { who: subject.to_string(), refused });
                }
                guard::Event::StrangersLimited => {
                    desk.tell(Event::LimitReached { limit: "packets a second from strangers".to_owned() });
                }
                guard::Event::TableFull { records } => {
                    desk.tell(Event::LimitReached { limit: format!("{records} strangers remembered") });
                }
                _ => {}
            }
        }
    }
}

fn guard_config(file: &Config, desk: &Desk) -> GuardConfig {
    let mut config = GuardConfig::default();
    config.exempt = exempt(file, desk);
    config.offences_before_ban = file.guard.offences;
    config.first_ban = file.guard.ban;
    config
}

fn exempt(file: &Config, desk: &Desk) -> Vec<Network> {
    let neighbours = desk.links.iter().flat_map(|link| link.addresses());
    file.guard.exempt.iter().copied().chain(neighbours.map(Network::host)).collect()
}
