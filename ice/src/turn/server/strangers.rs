//! What strangers may cost: bytes out for bytes in, in a table whose size does not depend on how many there are.
//!
//! A source address can be forged, so an answer that is longer than its request is a weapon against whoever has that
//! address. Each network has an account: what comes in is credited at nine tenths, answers are debited, and a small
//! allowance grows with time so that honest newcomers are served. Networks that share an account share it.

use crate::random::{Generator, TableHasher};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

const ACCOUNTS: usize = 4096;

#[derive(Debug)]
pub(super) struct Strangers {
    accounts: Vec<Account>,
    hasher: TableHasher,
    per_second: u32,
    burst: u32,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    credit: u32,
    seen: Instant,
}

impl Strangers {
    pub(super) fn new(generator: &mut Generator, per_second: u32, burst: u32, now: Instant) -> Self {
        let hasher = generator.table_hasher();
        Self { accounts: vec![Account { credit: burst, seen: now }; ACCOUNTS], hasher, per_second, burst }
    }

    /// Whether an answer of `out` bytes may be sent to `address`, which has just sent `received` bytes.
    pub(super) fn may_answer(&mut self, address: IpAddr, received: usize, out: usize, now: Instant) -> bool {
        let network = match address {
            IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
            IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 80).unwrap_or(0) | 1 << 63,
        };
        let place = self.hasher.hash_one(network) % ACCOUNTS as u64;
        let Some(account) = self.accounts.get_mut(usize::try_from(place).unwrap_or(0)) else { return false };
        let elapsed = now.saturating_duration_since(account.seen).as_millis();
        let grown = elapsed.saturating_mul(u128::from(self.per_second)) / 1000;
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        if grown > 0 {
            account.seen = now;
        }
        let earned = u32::try_from(received.saturating_mul(9) / 10).unwrap_or(u32::MAX);
        account.credit = account.credit.saturating_add(grown).min(self.burst).saturating_add(earned);
        let out = u32::try_from(out).unwrap_or(u32::MAX);
        match account.credit.checked_sub(out) {
            Some(left) => {
                account.credit = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use std::time::Duration;

    #[test]
    fn a_flood_gets_fewer_bytes_than_it_sends_and_a_newcomer_his_answer() {
        let start = Instant::now();
        let mut strangers = Strangers::new(&mut Generator::new(Seed([2; 32])), 400, 4000, start);
        let victim = IpAddr::from([192, 0, 2, 1]);
        let (mut received, mut sent) = (0, 0);
        for request in 0..10_000_u32 {
            let now = start + Duration::from_micros(100) * request;
            received += 28;
            if strangers.may_answer(victim, 28, 110, now) {
                sent += 110;
            }
        }
        assert!(sent < received, "{sent} of {received}");
        let other = IpAddr::from([198, 51, 100, 1]);
        assert!(strangers.may_answer(other, 28, 110, start + Duration::from_secs(1)));
        assert!(strangers.may_answer(victim, 28, 110, start + Duration::from_secs(3)), "later again");
    }
}
