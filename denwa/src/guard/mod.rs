//! The defence of a program that listens on the Internet: who may send now, who is banned, and why.
//!
//! [`Guard`] is asked before anything of a packet is read ([`Guard::admit`]: a look into one table, no allocation) and is
//! told afterwards what a source did wrong ([`Input::Offence`]). Offences fill a leaky measure for the source's address;
//! when it runs over, the address is banned, each time for longer, and forgiven when it has been quiet. Several banned
//! addresses of one prefix ban the prefix; wrong passwords for one account from many places close the account to strangers.
//!
//! A source that proved itself is *vouched for* by address and port, so that a registered phone speaks on while its neighbour
//! behind the same translator is banned. Networks of the operator are exempt. What to answer to whom is the program's
//! business; the guard only counts, refuses and tells.

mod config;
mod offence;
mod record;
mod scanner;
mod table;

pub use config::GuardConfig;
pub use offence::Offence;
pub use scanner::{Scanner, recognise};

use crate::Seed;
use crate::address::Network;
use foldhash::fast::FixedState;
use record::Measure;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use table::Table;

/// The machine; see the module's words.
#[derive(Debug)]
pub struct Guard {
    config: GuardConfig,
    latest: Instant,
    sources: Table<IpAddr>,
    prefixes: Table<IpAddr>,
    accounts: Table<Box<str>>,
    vouched: HashMap<SocketAddr, Vouch, FixedState>,
    vouched_until: BTreeSet<(Instant, SocketAddr)>,
    strangers: Measure,
    strangers_limited: bool,
    outputs: VecDeque<Output>,
    counts: Counts,
}

/// What the program tells the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A source did something it should not have done.
    Offence {
        /// Where it came from.
        source: SocketAddr,
        /// What it did.
        offence: Offence,
        /// The account it was about, for guessed passwords.
        account: Option<&'a str>,
    },
    /// A source proved who it is, for instance by registering with the right password: its packets from exactly this address
    /// and port are admitted until `until`, whatever its neighbours do.
    Vouched {
        /// The proven address and port.
        source: SocketAddr,
        /// The account it proved to be.
        account: &'a str,
        /// When the proof ends, for instance with the registration.
        until: Instant,
    },
    /// The proof is withdrawn: unregistered, connection closed.
    VouchWithdrawn {
        /// The address and port.
        source: SocketAddr,
    },
    /// The operator lifts whatever lies on this network or host.
    Pardoned {
        /// The network; its addresses and prefixes are forgotten.
        network: Network,
    },
}

/// What the guard tells the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A fact.
    Event(Event),
}

/// What became of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Nothing more is admitted from here until the time given.
    Banned {
        /// What is banned.
        subject: Subject,
        /// What made the measure run over.
        offence: Offence,
        /// How many times in a row now; each time lasts longer.
        times: u32,
        /// When the ban ends.
        until: Instant,
    },
    /// A ban has run out, or was pardoned. What was refused meanwhile is counted in `refused`.
    Lifted {
        /// What was banned.
        subject: Subject,
        /// Packets refused during the ban.
        refused: u64,
    },
    /// Sources nobody vouches for send more than is admitted of them all together; the surplus is refused. Told once,
    /// and again only after it ended.
    StrangersLimited,
    /// The table of sources is full; the records that were to be forgotten first make room. Told once for each
    /// [`GuardConfig::sources_limit`] records.
    TableFull {
        /// Records in the table.
        records: usize,
    },
}

/// What a ban lies on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// One IPv4 address, or one /64 network of IPv6, which is what one subscriber has.
    Address(Network),
    /// A prefix, for several banned addresses in it.
    Prefix(Network),
    /// An account, closed to sources that nobody vouches for.
    Account(Box<str>),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(network) if matches!(network.prefix_length(), 32) => {
                write!(f, "{}", network.address())
            }
            Self::Address(network) | Self::Prefix(network) => write!(f, "{network}"),
            Self::Account(account) => write!(f, "account {account}"),
        }
    }
}

/// Whether a packet is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read it.
    Admit(Standing),
    /// Drop it without an answer: an answer would cost more, and feed a scanner.
    Refuse(Refusal),
}

/// What an admitted source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// In one of the operator's exempt networks.
    Exempt,
    /// Vouched for by address and port.
    Vouched,
    /// Nobody knows it.
    Stranger,
}

/// Why a packet is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The address is banned.
    Banned,
    /// Its prefix is banned.
    PrefixBanned,
    /// This source sends faster than one source may.
    TooFast,
    /// All strangers together send faster than they may.
    TooManyStrangers,
}

/// What was admitted and refused since the start, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Admitted from exempt networks.
    pub exempt: u64,
    /// Admitted from sources vouched for.
    pub vouched: u64,
    /// Admitted from strangers.
    pub strangers: u64,
    /// Refused: banned address.
    pub banned: u64,
    /// Refused: banned prefix.
    pub prefix_banned: u64,
    /// Refused: the source alone was too fast.
    pub too_fast: u64,
    /// Refused: strangers together were too fast.
    pub too_many_strangers: u64,
    /// Offences told.
    pub offences: u64,
}

/// One line of the report of who was refused and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceReport {
    /// Who.
    pub subject: Subject,
    /// Offences by kind, only kinds that occurred.
    pub offences: Vec<(Offence, u32)>,
    /// Packets refused.
    pub refused: u64,
    /// Bans so far.
    pub bans: u32,
    /// When the present ban ends; `None` when there is none.
    pub banned_until: Option<Instant>,
    /// When it was last heard of.
    pub last_seen: Instant,
}

#[derive(Debug)]
struct Vouch {
    until: Instant,
    account: Box<str>,
}

impl Guard {
    /// A guard that knows nobody. The seed makes its tables' order unguessable to those who choose the keys.
    #[must_use]
    pub fn new(config: GuardConfig, seed: Seed, now: Instant) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = seed.0;
        let hash_seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self {
            latest: now,
            sources: Table::new(hash_seed, config.sources_limit),
            prefixes: Table::new(hash_seed, config.sources_limit),
            accounts: Table::new(hash_seed, config.accounts_limit),
            vouched: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            vouched_until: BTreeSet::new(),
            strangers: Measure::empty(now),
            strangers_limited: false,
            outputs: VecDeque::new(),
            counts: Counts::default(),
            config,
        }
    }

    /// From now on these networks are exempt, for instance because the name of a neighbour leads elsewhere. What is known of
    /// everybody else stays.
    pub fn set_exempt(&mut self, exempt: Vec<Network>) {
        self.config.exempt = exempt;
    }

    /// May a packet from `source` be read? Asked once for each datagram, each new connection and each piece of a stream.
    pub fn admit(&mut self, source: SocketAddr, now: Instant) -> Verdict {
        let now = self.advance(now);
        let address = source.ip().to_canonical();
        if self.config.exempt.iter().any(|network| network.contains(address)) {
            self.counts.exempt += 1;
            return Verdict::Admit(Standing::Exempt);
        }
        if self.vouched.get(&canonical(source)).is_some_and(|vouch| vouch.until > now) {
            self.counts.vouched += 1;
            return Verdict::Admit(Standing::Vouched);
        }
        match self.refuse_stranger(address, now) {
            Some(refusal) => Verdict::Refuse(refusal),
            None => {
                self.counts.strangers += 1;
                Verdict::Admit(Standing::Stranger)
            }
        }
    }

    fn refuse_stranger(&mut self, address: IpAddr, now: Instant) -> Option<Refusal> {
        let home = self.home(address)?;
        if let Some(prefix) = self.prefix(address)
            && let Some(record) = self.prefixes.find(&prefix.address())
            && record.is_banned(now)
        {
            record.refused += 1;
            self.counts.prefix_banned += 1;
            return Some(Refusal::PrefixBanned);
        }
        let full = self.sources.touch(home.address(), now, self.config.packet_burst());
        if let Some(records) = full {
            self.tell(Event::TableFull { records });
        }
        let record = self.sources.find(&home.address())?;
        if record.is_banned(now) {
            record.refused += 1;
            self.counts.banned += 1;
            return Some(Refusal::Banned);
        }
        if record.rate.pour(now, self.config.packet_interval(), self.config.packet_burst()) {
            record.refused += 1;
            self.counts.too_fast += 1;
            self.offend(address, Offence::Flood, None, now);
            return Some(Refusal::TooFast);
        }
        let (interval, burst) = (self.config.strangers_interval(), self.config.strangers_burst());
        let limited = self.strangers.pour(now, interval, burst);
        if limited && !self.strangers_limited {
            self.tell(Event::StrangersLimited);
        }
        self.strangers_limited = limited || (self.strangers_limited && !self.strangers.is_empty(now));
        if limited {
            if let Some(record) = self.sources.find(&home.address()) {
                record.refused += 1;
            }
            self.counts.too_many_strangers += 1;
            return Some(Refusal::TooManyStrangers);
        }
        None
    }

    /// May `source` try a password for `account`? When not, answer as to a wrong password without looking at it.
    pub fn admits_account(&mut self, account: &str, source: SocketAddr, now: Instant) -> bool {
        let now = self.advance(now);
        let known = self
            .vouched
            .get(&canonical(source))
            .is_some_and(|vouch| vouch.until > now && *vouch.account == *account);
        if known || self.config.exempt.iter().any(|network| network.contains(source.ip())) {
            return true;
        }
        match self.accounts.find(account) {
            Some(record) if record.is_banned(now) => {
                record.refused += 1;
                false
            }
            _ => true,
        }
    }

    /// Takes what the program found out.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let now = self.advance(now);
        match input {
            Input::Offence { source, offence, account } => {
                let address = source.ip().to_canonical();
                let vouched = self.vouched.get(&canonical(source)).is_some_and(|vouch| vouch.until > now);
                if vouched || self.config.exempt.iter().any(|network| network.contains(address)) {
                    self.counts.offences += 1;
                    return;
                }
                self.offend(address, offence, account, now);
            }
            Input::Vouched { source, account, until } => self.vouch(canonical(source), account, until, now),
            Input::VouchWithdrawn { source } => self.withdraw(canonical(source)),
            Input::Pardoned { network } => self.pardon(network),
        }
    }

    /// Ends bans and proofs that have run out, and forgets sources that were quiet.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(&(until, source)) = self.vouched_until.first().filter(|(until, _)| *until <= now) {
            self.vouched_until.remove(&(until, source));
            self.vouched.remove(&source);
        }
        let config = &self.config;
        let mut lifted = Vec::new();
        self.sources.expire(now, |address, refused| {
            lifted.extend(config.home(*address).map(|home| (Subject::Address(home), refused)));
        });
        self.prefixes.expire(now, |address, refused| {
            lifted.extend(config.prefix(*address).map(|prefix| (Subject::Prefix(prefix), refused)));
        });
        self.accounts
            .expire(now, |account, refused| lifted.push((Subject::Account(account.clone()), refused)));
        for (subject, refused) in lifted {
            self.tell(Event::Lifted { subject, refused });
        }
    }

    /// The next fact; `None` when all were told.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Guard::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.vouched_until.first().map(|(until, _)| *until),
            self.sources.next_deadline(),
            self.prefixes.next_deadline(),
            self.accounts.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What was admitted and refused since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Who was refused or offended and why, those with most refusals first; at most `limit` lines.
    #[must_use]
    pub fn report(&self, limit: usize) -> Vec<SourceReport> {
        let addresses = self.sources.iter().filter_map(|(address, record)| {
            Some(record.report(Subject::Address(self.home(*address)?), self.latest))
        });
        let prefixes = self.prefixes.iter().filter_map(|(address, record)| {
            Some(record.report(Subject::Prefix(self.prefix(*address)?), self.latest))
        });
        let accounts = self
            .accounts
            .iter()
            .map(|(account, record)| record.report(Subject::Account(account.clone()), self.latest));
        let mut lines: Vec<SourceReport> = addresses
            .chain(prefixes)
            .chain(accounts)
            .filter(|line| line.refused > 0 || line.bans > 0 || !line.offences.is_empty())
            .collect();
        lines.sort_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.subject.cmp(&b.subject)));
        lines.truncate(limit);
        lines
    }

    fn offend(&mut self, address: IpAddr, offence: Offence, account: Option<&str>, now: Instant) {
        self.counts.offences += 1;
        let (unit, brim) = (self.config.offence_unit(), self.config.window);
        if let Some(home) = self.home(address) {
            if let Some(records) = self.sources.touch(home.address(), now, self.config.window) {
                self.tell(Event::TableFull { records });
            }
            let banned = self
                .sources
                .find(&home.address())
                .and_then(|record| record.offend(offence, unit * offence.weight(), brim, &self.config, now));
            if let Some((times, until)) = banned {
                self.sources.keep_until(&home.address(), until + self.config.memory, until);
                self.tell(Event::Banned { subject: Subject::Address(home), offence, times, until });
                // The same address banned again says nothing new about its prefix.
                if times == 1 {
                    self.offend_prefix(address, offence, now);
                }
            }
        }
        if let Some(account) = account.filter(|_| offence.is_about_an_account()) {
            self.offend_account(account, offence, now);
        }
    }

    /// One more address of this prefix was banned.
    fn offend_prefix(&mut self, address: IpAddr, offence: Offence, now: Instant) {
        let Some(prefix) = self.prefix(address) else { return };
        let unit = self.config.memory / self.config.addresses_before_prefix.max(1);
        self.prefixes.touch(prefix.address(), now, self.config.memory);
        let banned = self
            .prefixes
            .find(&prefix.address())
            .and_then(|record| record.offend(offence, unit, self.config.memory, &self.config, now));
        if let Some((times, until)) = banned {
            self.prefixes.keep_until(&prefix.address(), until + self.config.memory, until);
            self.tell(Event::Banned { subject: Subject::Prefix(prefix), offence, times, until });
        }
    }

    fn offend_account(&mut self, account: &str, offence: Offence, now: Instant) {
        let key: Box<str> = account.chars().take(ACCOUNT_CHARACTERS).collect::<String>().into_boxed_str();
        let unit = self.config.window / self.config.guesses_before_account.max(1);
        self.accounts.touch(key.clone(), now, self.config.window);
        let banned = self
            .accounts
            .find(&*key)
            .and_then(|record| record.offend(offence, unit, self.config.window, &self.config, now));
        if let Some((times, until)) = banned {
            self.accounts.keep_until(&key, until + self.config.memory, until);
            self.tell(Event::Banned { subject: Subject::Account(key), offence, times, until });
        }
    }

    fn vouch(&mut self, source: SocketAddr, account: &str, until: Instant, now: Instant) {
        if until <= now {
            return;
        }
        if !self.vouched.contains_key(&source) && self.vouched.len() >= self.config.vouched_limit {
            // The proof that ends first makes room; whoever loses it is a stranger again, not banned.
            if let Some((end, first)) = self.vouched_until.pop_first() {
                debug_assert!(self.vouched.get(&first).is_none_or(|vouch| vouch.until == end));
                self.vouched.remove(&first);
            }
        }
        let vouch =
            Vouch { until, account: account.chars().take(ACCOUNT_CHARACTERS).collect::<String>().into() };
        if let Some(old) = self.vouched.insert(source, vouch) {
            self.vouched_until.remove(&(old.until, source));
        }
        self.vouched_until.insert((until, source));
    }

    fn withdraw(&mut self, source: SocketAddr) {
        if let Some(old) = self.vouched.remove(&source) {
            self.vouched_until.remove(&(old.until, source));
        }
    }

    fn pardon(&mut self, network: Network) {
        let now = self.latest;
        let mut lifted = Vec::new();
        for (address, record) in self.sources.take_if(|address| network.contains(*address)) {
            if let Some(home) = self.config.home(address).filter(|_| record.is_banned(now)) {
                lifted.push((Subject::Address(home), record.refused));
            }
        }
        let covers = |prefix: &IpAddr| {
            network.contains(*prefix)
                || self.config.prefix(*prefix).is_some_and(|prefix| prefix.contains(network.address()))
        };
        for (address, record) in self.prefixes.take_if(covers) {
            if let Some(prefix) = self.config.prefix(address).filter(|_| record.is_banned(now)) {
                lifted.push((Subject::Prefix(prefix), record.refused));
            }
        }
        lifted.sort();
        for (subject, refused) in lifted {
            self.tell(Event::Lifted { subject, refused });
        }
    }

    fn home(&self, address: IpAddr) -> Option<Network> {
        self.config.home(address)
    }

    fn prefix(&self, address: IpAddr) -> Option<Network> {
        self.config.prefix(address)
    }

    fn tell(&mut self, event: Event) {
        if self.outputs.len() < OUTPUTS_LIMIT {
            self.outputs.push_back(Output::Event(event));
        }
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// Accounts are compared by as many characters; a name longer than that is nobody's.
const ACCOUNT_CHARACTERS: usize = 64;

/// Facts not fetched beyond this number are lost: nobody reads them.
const OUTPUTS_LIMIT: usize = 10_000;

fn canonical(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip().to_canonical(), source.port())
}

#[cfg(test)]
mod tests;
