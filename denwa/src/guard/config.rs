//! The guard's limits, with what they are unless told otherwise.

use crate::address::Network;
use std::net::IpAddr;
use std::time::Duration;

/// Every number the guard goes by. The defaults are meant for an exchange of some hundred phones on the open Internet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardConfig {
    /// Networks that are never refused: the operator's own, and his trunks.
    pub exempt: Vec<Network>,
    /// Light offences within [`GuardConfig::window`] that a source may commit; one more bans it. Default 10.
    pub offences_before_ban: u32,
    /// How long it takes until as many offences as are allowed are forgotten again. Default 10 minutes.
    pub window: Duration,
    /// How long the first ban lasts; each further one lasts twice as long as the one before. Default 5 minutes.
    pub first_ban: Duration,
    /// The longest a ban lasts. Default 24 hours.
    pub longest_ban: Duration,
    /// How long after a ban's end it counts towards the next one's length. Default 24 hours.
    pub memory: Duration,
    /// Addresses of one prefix that may be banned within [`GuardConfig::memory`]; one more bans the prefix. Default 4.
    pub addresses_before_prefix: u32,
    /// Leading bits of an IPv4 prefix that is banned as one, 0–32. Default 24.
    pub prefix_bits_v4: u8,
    /// Leading bits of an IPv6 prefix that is banned as one, 0–64. Default 48.
    pub prefix_bits_v6: u8,
    /// Wrong passwords for one account within [`GuardConfig::window`], from wherever, that are allowed; one more closes the
    /// account to sources nobody vouches for. Default 20.
    pub guesses_before_account: u32,
    /// Packets a second that one stranger may send for long. Default 100.
    pub packets_a_second: u32,
    /// Packets that one stranger may send at once. Default 400.
    pub packets_at_once: u32,
    /// Packets a second that all strangers together may send for long. Default 2000.
    pub strangers_a_second: u32,
    /// Packets that all strangers together may send at once. Default 4000.
    pub strangers_at_once: u32,
    /// Sources remembered at a time. Default 65 536 (about 15 MB when full).
    pub sources_limit: usize,
    /// Accounts remembered at a time. Default 4096.
    pub accounts_limit: usize,
    /// Sources vouched for at a time. Default 65 536.
    pub vouched_limit: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            exempt: Vec::new(),
            offences_before_ban: 10,
            window: Duration::from_secs(600),
            first_ban: Duration::from_secs(300),
            longest_ban: Duration::from_secs(24 * 3600),
            memory: Duration::from_secs(24 * 3600),
            addresses_before_prefix: 4,
            prefix_bits_v4: 24,
            prefix_bits_v6: 48,
            guesses_before_account: 20,
            packets_a_second: 100,
            packets_at_once: 400,
            strangers_a_second: 2000,
            strangers_at_once: 4000,
            sources_limit: 65_536,
            accounts_limit: 4096,
            vouched_limit: 65_536,
        }
    }
}

impl GuardConfig {
    /// What counts as one source: an IPv4 address, or the /64 that an IPv6 host can take any address of.
    pub(crate) fn home(&self, address: IpAddr) -> Option<Network> {
        Network::new(address, if address.is_ipv4() { 32 } else { 64 })
    }

    pub(crate) fn prefix(&self, address: IpAddr) -> Option<Network> {
        let bits = if address.is_ipv4() { self.prefix_bits_v4.min(32) } else { self.prefix_bits_v6.min(64) };
        Network::new(address, bits)
    }

    /// How far one light offence fills the measure, which is as deep as the window is long.
    pub(crate) fn offence_unit(&self) -> Duration {
        self.window / self.offences_before_ban.max(1)
    }

    pub(crate) fn packet_interval(&self) -> Duration {
        Duration::from_secs(1) / self.packets_a_second.max(1)
    }

    pub(crate) fn packet_burst(&self) -> Duration {
        self.packet_interval() * self.packets_at_once
    }

    pub(crate) fn strangers_interval(&self) -> Duration {
        Duration::from_secs(1) / self.strangers_a_second.max(1)
    }

    pub(crate) fn strangers_burst(&self) -> Duration {
        self.strangers_interval() * self.strangers_at_once
    }
}
