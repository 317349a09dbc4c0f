//! Dealing ports out of a [`PortSet`] and taking them back.
//!
//! Membership and use are bit maps of the 65536 ports, so that dealing, releasing and asking cost the same for a set of
//! one range and for one of 63 blocks. Left out on purpose: trying to bind.

use super::PortSet;
use crate::Seed;
use core::fmt;

/// Deals ports out of a set and takes them back. Never deals a port outside the set, nor one twice at a time.
#[derive(Clone)]
pub struct PortPool {
    set: PortSet,
    member: Box<Bits>,
    taken: Box<Bits>,
    in_use: usize,
    next: u16,
}

impl PortPool {
    /// A pool of all ports in `set`; dealing begins at a port of the set drawn from `seed`, so that two programs which share a
    /// range seldom meet at its beginning.
    #[must_use]
    pub fn new(set: PortSet, seed: &Seed) -> Self {
        let mut member = Box::new(Bits([0; WORDS]));
        for port in set.iter() {
            member.insert(port);
        }
        let [first, second, ..] = seed.0;
        let drawn = usize::from(u16::from_be_bytes([first, second]));
        let next = drawn.checked_rem(set.len()).and_then(|place| set.iter().nth(place)).unwrap_or_default();
        Self { set, member, taken: Box::new(Bits([0; WORDS])), in_use: 0, next }
    }

    /// The set that is dealt from.
    #[must_use]
    pub fn set(&self) -> &PortSet {
        &self.set
    }

    /// How many ports are dealt out now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Deals one port.
    ///
    /// # Errors
    /// When every port of the set is in use.
    pub fn take(&mut self) -> Result<u16, Exhausted> {
        let port = self.find(|word| word).ok_or_else(|| self.exhausted())?;
        self.mark(port);
        self.next = port.wrapping_add(1);
        Ok(port)
    }

    /// Deals an even port and the odd one above it.
    ///
    /// # Errors
    /// When no such pair of the set is free, though single ports may be.
    pub fn take_pair(&mut self) -> Result<PortPair, Exhausted> {
        // A free even port whose odd neighbour is free too: both bits next to each other are set.
        let rtp = self.find(|word| word & (word >> 1) & EVEN).ok_or_else(|| self.exhausted())?;
        let pair = PortPair { rtp, rtcp: rtp | 1 };
        self.mark(pair.rtp);
        self.mark(pair.rtcp);
        self.next = pair.rtcp.wrapping_add(1);
        Ok(pair)
    }

    /// Takes a port back. Returns whether it was dealt out.
    pub fn release(&mut self, port: u16) -> bool {
        let was_taken = self.taken.remove(port);
        self.in_use -= usize::from(was_taken);
        was_taken
    }

    /// Takes both ports of a pair back. Returns whether both were dealt out.
    pub fn release_pair(&mut self, pair: PortPair) -> bool {
        let rtp = self.release(pair.rtp);
        let rtcp = self.release(pair.rtcp);
        rtp && rtcp
    }

    /// The first free port that `suitable` leaves of a word of free ports, from `self.next` on and once round.
    fn find(&self, suitable: impl Fn(u64) -> u64) -> Option<u16> {
        let start = usize::from(self.next >> 6);
        let below_next = (1u64 << (self.next & 63)) - 1;
        for step in 0..=WORDS {
            let word = (start + step) % WORDS;
            let free = self.member.0.get(word)? & !self.taken.0.get(word)?;
            let mut found = suitable(free);
            if step == 0 {
                found &= !below_next;
            }
            if found != 0 {
                return u16::try_from(word * 64 + found.trailing_zeros() as usize).ok();
            }
        }
        None
    }

    fn mark(&mut self, port: u16) {
        self.taken.insert(port);
        self.in_use += 1;
    }

    fn exhausted(&self) -> Exhausted {
        Exhausted { in_use: self.in_use, ports: self.set.len() }
    }
}

impl fmt::Debug for PortPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortPool")
            .field("set", &self.set)
            .field("in_use", &self.in_use)
            .finish_non_exhaustive()
    }
}

/// An even port for RTP and the odd one above it for RTCP (RFC 3550 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortPair {
    /// The even port.
    pub rtp: u16,
    /// The odd port above it.
    pub rtcp: u16,
}

/// No port, or no pair, is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Ports dealt out.
    pub in_use: usize,
    /// Ports in the set.
    pub ports: usize,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no port is free: {} of {} are in use", self.in_use, self.ports)
    }
}

impl std::error::Error for Exhausted {}

const WORDS: usize = 1024;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// One bit a port.
#[derive(Clone)]
struct Bits([u64; WORDS]);

impl Bits {
    fn insert(&mut self, port: u16) {
        if let Some(word) = self.0.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }

    fn remove(&mut self, port: u16) -> bool {
        let Some(word) = self.0.get_mut(usize::from(port >> 6)) else { return false };
        let bit = 1 << (port & 63);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A pool that begins at the port of the set whose place is `place`, counted from 0 and round.
    fn pool(ports: &str, place: u16) -> PortPool {
        let mut seed = Seed([0; 32]);
        seed.0[..2].copy_from_slice(&place.to_be_bytes());
        PortPool::new(ports.parse().unwrap(), &seed)
    }

    #[test]
    fn pairs_go_round_and_an_odd_first_port_starts_none() {
        let mut pool = pool("20001-20006", 3);
        assert_eq!(pool.take_pair(), Ok(PortPair { rtp: 20004, rtcp: 20005 }));
        assert_eq!(pool.take_pair(), Ok(PortPair { rtp: 20002, rtcp: 20003 }));
        assert_eq!(pool.take_pair(), Err(Exhausted { in_use: 4, ports: 6 }));
        assert_eq!(pool.take(), Ok(20006));
        assert_eq!(pool.take(), Ok(20001));
        assert_eq!(pool.take(), Err(Exhausted { in_use: 6, ports: 6 }));
    }

    #[test]
    fn a_released_pair_rests_until_the_others_were_used() {
        let mut pool = pool("20000-20005", 0);
        let first = pool.take_pair().unwrap();
        assert!(pool.release_pair(first));
        assert!(!pool.release_pair(first), "released once only");
        assert_eq!(pool.take_pair().unwrap().rtp, 20002);
        assert_eq!(pool.take_pair().unwrap().rtp, 20004);
        assert_eq!(pool.take_pair().unwrap().rtp, 20000);
        assert_eq!(pool.in_use(), 6);
    }

    #[test]
    fn where_dealing_begins_hangs_on_the_seed() {
        for ports in ["1-65535", "20000-20199"] {
            let starts: BTreeSet<u16> =
                (0u16..50).map(|nth| pool(ports, nth * 1302).take_pair().unwrap().rtp).collect();
            assert_eq!(starts.len(), 50, "{ports}");
        }
    }

    proptest! {
        #[test]
        fn never_outside_never_twice(start in 0u16.., operations in proptest::collection::vec((0u8..3, 0usize..40), 0..200)) {
            let mut pool = pool("63-66, 100, 128-140, 65533-65535", start);
            let mut held: Vec<u16> = Vec::new();
            for (operation, which) in operations {
                match operation {
                    0 => if let Ok(port) = pool.take() {
                        prop_assert!(pool.set().contains(port) && !held.contains(&port));
                        held.push(port);
                    },
                    1 => if let Ok(pair) = pool.take_pair() {
                        prop_assert_eq!((pair.rtp % 2, pair.rtp + 1), (0, pair.rtcp));
                        for port in [pair.rtp, pair.rtcp] {
                            prop_assert!(pool.set().contains(port) && !held.contains(&port));
                            held.push(port);
                        }
                    } else {
                        let free = |port: u16| pool.set().contains(port) && !held.contains(&port);
                        prop_assert!(!pool.set().iter().any(|port| port % 2 == 0 && free(port) && free(port | 1)));
                    },
                    _ => if !held.is_empty() {
                        let port = held.swap_remove(which % held.len());
                        prop_assert!(pool.release(port));
                    },
                }
                prop_assert_eq!(pool.in_use(), held.len());
            }
        }
    }
}
