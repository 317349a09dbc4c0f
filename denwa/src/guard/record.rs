//! What is remembered of one source, prefix or account.

use super::{GuardConfig, Offence, SourceReport, Subject};
use std::time::{Duration, Instant};

/// A leaky measure as one instant: the time at which it will have run empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    empty_at: Instant,
}

impl Measure {
    pub(super) fn empty(now: Instant) -> Self {
        Self { empty_at: now }
    }

    /// Pours `amount` in. Says `true` when that would rise above `brim`; then nothing is poured.
    pub(super) fn pour(&mut self, now: Instant, amount: Duration, brim: Duration) -> bool {
        let level = self.empty_at.saturating_duration_since(now).saturating_add(amount);
        if level > brim {
            return true;
        }
        self.empty_at = now + level;
        false
    }

    pub(super) fn is_empty(&self, now: Instant) -> bool {
        self.empty_at <= now
    }
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) rate: Measure,
    offences: Measure,
    counted: [u32; Offence::ALL.len()],
    bans: u32,
    banned_until: Option<Instant>,
    pub(super) refused: u64,
    pub(super) last_seen: Instant,
    pub(super) forget_at: Instant,
    /// The place this record has in its table's order of deadlines.
    pub(super) deadline: Instant,
}

impl Record {
    pub(super) fn new(now: Instant, forget_at: Instant) -> Self {
        Self {
            rate: Measure::empty(now),
            offences: Measure::empty(now),
            counted: [0; Offence::ALL.len()],
            bans: 0,
            banned_until: None,
            refused: 0,
            last_seen: now,
            forget_at,
            deadline: forget_at,
        }
    }

    pub(super) fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| until > now)
    }

    /// Counts an offence. When the measure runs over: how many bans that makes, and until when this one lasts.
    pub(super) fn offend(
        &mut self,
        offence: Offence,
        amount: Duration,
        brim: Duration,
        config: &GuardConfig,
        now: Instant,
    ) -> Option<(u32, Instant)> {
        if let Some(count) = self.counted.get_mut(offence.index()) {
            *count = count.saturating_add(1);
        }
        self.last_seen = now;
        if self.is_banned(now) || !self.offences.pour(now, amount, brim) {
            return None;
        }
        self.offences = Measure::empty(now);
        let doubled = config.first_ban.saturating_mul(2u32.saturating_pow(self.bans.min(31)));
        let until = now + doubled.min(config.longest_ban);
        self.bans = self.bans.saturating_add(1);
        self.banned_until = Some(until);
        Some((self.bans, until))
    }

    /// Ends a ban that has run out: how many packets it refused.
    pub(super) fn lift(&mut self, now: Instant) -> Option<u64> {
        self.banned_until.take_if(|until| *until <= now).map(|_| self.refused)
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.banned_until.map_or(self.forget_at, |until| until.min(self.forget_at))
    }

    pub(super) fn report(&self, subject: Subject, now: Instant) -> SourceReport {
        let offences = Offence::ALL.into_iter().zip(self.counted).filter(|(_, count)| *count > 0).collect();
        SourceReport {
            subject,
            offences,
            refused: self.refused,
            bans: self.bans,
            banned_until: self.banned_until.filter(|until| *until > now),
            last_seen: self.last_seen,
        }
    }
}
