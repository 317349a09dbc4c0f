//! What one `m=` line remembers from one exchange to the next.

use std::net::SocketAddr;

use crate::attribute::security::SrtpSuite;
use crate::direction::Direction;
use crate::profile::{Kind, Profile};

use super::agreed::{DtlsRole, SrtpKey};
use super::encryption;
use super::transport::Transport;

/// How this side holds a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStyle {
    /// By the direction attribute (RFC 3264 §8.4).
    Direction,
    /// By the address `0.0.0.0` too, which phones of RFC 2543's time understand. Over IPv6 it is `::`.
    ZeroAddress,
}

/// The memory of one `m=` line.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    /// Which capability it has, by its place in the list.
    pub(crate) capability: Option<usize>,
    /// Whether the medium is wanted: false once it was removed or refused.
    pub(crate) wanted: bool,
    pub(crate) transport: Option<Transport>,
    /// What this side wants when it does not hold.
    pub(crate) direction: Direction,
    pub(crate) hold: Option<(HoldStyle, Direction)>,
    pub(crate) mid: Option<String>,
    pub(crate) dtls_role: Option<DtlsRole>,
    keys: Vec<SrtpKey>,
    /// Which codec each dynamic payload type of ours has meant. It may not mean another (RFC 3264 §8.3.2).
    payload_types: Vec<(u8, String)>,
    /// Which URI each extension id has meant.
    pub(crate) extensions: Vec<(u16, String)>,
    /// It is the plain one of two alternatives; the encrypted one is the slot before it.
    pub(crate) is_plain_alternative: bool,
    /// The profile and the formats it had last: what is gone is still described.
    pub(crate) last: Option<(Profile, Vec<String>)>,
}

impl Slot {
    pub(crate) fn new(kind: Kind, direction: Direction) -> Self {
        Self {
            kind,
            capability: None,
            wanted: true,
            transport: None,
            direction,
            hold: None,
            mid: None,
            dtls_role: None,
            keys: Vec::new(),
            payload_types: Vec::new(),
            extensions: Vec::new(),
            is_plain_alternative: false,
            last: None,
        }
    }

    /// The direction this side wants now.
    pub(crate) fn wish(&self) -> Direction {
        match self.hold {
            Some((_, direction)) => self.direction.and(direction),
            None => self.direction,
        }
    }

    /// Whether the address is to be `0.0.0.0`.
    pub(crate) fn holds_by_address(&self) -> bool {
        matches!(self.hold, Some((HoldStyle::ZeroAddress, _)))
    }

    /// The key for a suite: the same one for as long as the medium lives, so that a description that changes nothing
    /// changes no key.
    pub(crate) fn key(&mut self, suite: SrtpSuite, random: &mut rand_chacha::ChaCha20Rng) -> SrtpKey {
        if let Some(known) = self.keys.iter().find(|key| key.suite == suite) {
            return known.clone();
        }
        let key = encryption::generate(suite, random);
        self.keys.push(key.clone());
        key
    }

    /// Forgets the keys: the next description has new ones.
    pub(crate) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    /// The payload type for a codec: the one it had, else the wanted one if that is free, else a free one from 96 on,
    /// then from 35 on (RFC 5761 §4 keeps 64–95 clear of RTCP). `None` when all are taken.
    pub(crate) fn payload_type(&mut self, codec: &str, wanted: Option<u8>, taken: &[u8]) -> Option<u8> {
        let known = self.payload_types.iter().find(|(number, name)| name == codec && !taken.contains(number));
        if let Some((number, _)) = known {
            return Some(*number);
        }
        let is_free = |number: &u8| {
            let other = self.payload_types.iter().any(|(known, name)| known == number && name != codec);
            !taken.contains(number) && !other
        };
        let number =
            wanted.filter(|number| is_free(number)).or_else(|| (96..=127).chain(35..=63).find(is_free))?;
        self.remember(number, codec);
        Some(number)
    }

    /// Notes what a payload type of ours means.
    pub(crate) fn remember(&mut self, number: u8, codec: &str) {
        self.payload_types.retain(|(known, _)| *known != number);
        self.payload_types.push((number, codec.to_owned()));
    }

    pub(crate) fn address(&self, ipv6: Option<bool>) -> Option<SocketAddr> {
        let transport = self.transport.as_ref()?;
        match ipv6 {
            Some(ipv6) => transport.of_family(ipv6),
            None => transport.addresses.first().copied(),
        }
    }
}
