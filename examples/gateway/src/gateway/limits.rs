//! How many calls are let in, and why no more.

use std::time::{Duration, Instant};

/// So many a second, and as many at once.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the next one is on time.
    next: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: Duration::from_secs(1).saturating_sub(interval), next: now }
    }

    /// Whether one more is let in now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if self.next > now + self.burst {
            return false;
        }
        self.next = self.next.max(now) + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_as_many_at_once() {
        let now = Instant::now();
        let mut pace = Pace::new(5, now);
        assert_eq!((0..20).filter(|_| pace.admits(now)).count(), 5);
        assert_eq!((0..20).filter(|_| pace.admits(now + Duration::from_millis(400))).count(), 2);
        let later = now + Duration::from_secs(60);
        assert_eq!((0..20).filter(|_| pace.admits(later)).count(), 5);
        assert!(Pace::new(1, now).admits(now));
    }
}
