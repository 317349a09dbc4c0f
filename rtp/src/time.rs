//! Instants and durations in clock units, without an overflow that a peer or a caller could reach.

use std::time::{Duration, Instant};

/// `at + by`; whoever says [`Duration::MAX`] means never, which is a century here: it can still be added to.
pub(crate) fn after(at: Instant, by: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
    at.checked_add(by.min(NEVER)).unwrap_or(at)
}

/// How many ticks of a clock of `rate_hz` fit into `duration`.
pub(crate) fn units(duration: Duration, rate_hz: u32) -> u64 {
    let rate = u64::from(rate_hz);
    let whole = duration.as_secs().wrapping_mul(rate);
    let part = u64::from(duration.subsec_nanos()).wrapping_mul(rate) / 1_000_000_000;
    whole.wrapping_add(part)
}

/// How long `units` ticks of a clock of `rate_hz` take; zero for a clock that stands still.
pub(crate) fn duration(units: u64, rate_hz: u32) -> Duration {
    if rate_hz == 0 {
        return Duration::ZERO;
    }
    let rate = u64::from(rate_hz);
    let nanos = (units % rate).wrapping_mul(1_000_000_000) / rate;
    Duration::from_secs(units / rate).saturating_add(Duration::from_nanos(nanos))
}

/// A clock that never goes back: an earlier instant counts as the latest one seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Monotone(Instant);

impl Monotone {
    pub(crate) fn new(now: Instant) -> Self {
        Self(now)
    }

    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.0 = self.0.max(now);
        self.0
    }

    pub(crate) fn latest(self) -> Instant {
        self.0
    }
}
