//! Session timers: RFC 4028. Who refreshes, how often, and when a session has expired.
//!
//! Arithmetic over header values that were read elsewhere; the call sends the refreshes and the BYE. Timers run on
//! the refresher at half the interval (§10) and on the other side at the interval less a third of it, at most
//! 32 s (§10), so that the BYE still arrives before a proxy forgets the call.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::offer_answer::Side;
use crate::header::Refresher;
use std::time::{Duration, Instant};

/// The shortest interval RFC 4028 §4 knows, and what an absent `Min-SE` means.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(90);

/// What we wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimerPolicy {
    /// The interval asked for. `None`: ask for none, go along with what the peer or a proxy asks.
    pub interval: Option<Duration>,
    /// The shortest interval gone along with; at least [`SHORTEST_INTERVAL`].
    pub minimum: Duration,
    /// Who shall refresh. `None` leaves it to the peer, and to whoever answers when he does not say.
    pub refresher: Option<Side>,
}

impl Default for SessionTimerPolicy {
    /// Half an hour, as RFC 4028 §4 recommends, not below 90 s, refreshed by whom the peer likes.
    fn default() -> Self {
        Self { interval: Some(Duration::from_secs(1800)), minimum: SHORTEST_INTERVAL, refresher: None }
    }
}

impl SessionTimerPolicy {
    fn shortest(&self) -> Duration {
        self.minimum.max(SHORTEST_INTERVAL)
    }
}

/// Whose job a refresh is, when the request that settled it came from `requester`.
#[must_use]
pub const fn side(refresher: Refresher, requester: Side) -> Side {
    match refresher {
        Refresher::Uac => requester,
        Refresher::Uas => requester.opposite(),
    }
}

/// What a session refresh request (INVITE, UPDATE) says of timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// `timer` in `Supported`.
    pub supported: bool,
    /// `Session-Expires`.
    pub interval: Option<Duration>,
    /// Its `refresher`.
    pub refresher: Option<Refresher>,
    /// `Min-SE`.
    pub minimum: Option<Duration>,
}

/// What the answer to such a request is (RFC 4028 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// 422 with this `Min-SE`.
    TooSmall(Duration),
    /// 2xx without `Session-Expires`.
    NoTimer,
    /// 2xx with `Session-Expires`; with `Require: timer` when `require`.
    Timer {
        /// `Session-Expires`.
        interval: Duration,
        /// Its `refresher`.
        refresher: Refresher,
        /// The requester refreshes and so has to know the extension.
        require: bool,
    },
}

/// The server side: what to answer to a refresh request.
#[must_use]
pub fn answer(policy: &SessionTimerPolicy, requested: &Requested) -> Answered {
    let floor = requested.minimum.unwrap_or(SHORTEST_INTERVAL).max(SHORTEST_INTERVAL);
    let interval = match (requested.interval, policy.interval) {
        (Some(asked), _) if asked < policy.shortest() && requested.supported => {
            return Answered::TooSmall(policy.shortest());
        }
        // May be made shorter, never longer, and never below Min-SE.
        (Some(asked), Some(wished)) => asked.min(wished.max(floor)),
        (Some(asked), None) => asked,
        (None, Some(wished)) => wished.max(floor).max(policy.shortest()),
        (None, None) => return Answered::NoTimer,
    };
    let refresher = match (requested.supported, requested.refresher) {
        (false, _) => Refresher::Uas,
        (true, Some(refresher)) => refresher,
        (true, None) => match policy.refresher {
            Some(Side::Local) => Refresher::Uas,
            Some(Side::Remote) | None => Refresher::Uac,
        },
    };
    Answered::Timer { interval, refresher, require: refresher == Refresher::Uac }
}

/// The client side: what to write into a refresh request. `largest_minimum` is the largest `Min-SE` a 422 or the
/// peer's requests have named in this dialog, `running` the session timer in force.
#[must_use]
pub fn request(
    policy: &SessionTimerPolicy,
    largest_minimum: Option<Duration>,
    running: Option<&SessionTimer>,
) -> Requested {
    let floor = largest_minimum.unwrap_or(SHORTEST_INTERVAL);
    let interval = running.map(|timer| timer.interval).or(policy.interval).map(|wished| wished.max(floor));
    let refresher = match running {
        Some(timer) => Some(if timer.refresher == Side::Local { Refresher::Uac } else { Refresher::Uas }),
        None => policy.refresher.filter(|_| interval.is_some()).map(|side| match side {
            Side::Local => Refresher::Uac,
            Side::Remote => Refresher::Uas,
        }),
    };
    let minimum = largest_minimum.or((policy.shortest() > SHORTEST_INTERVAL).then(|| policy.shortest()));
    Requested {
        supported: true,
        interval: interval.map(|it| it.max(minimum.unwrap_or(floor))),
        refresher,
        minimum,
    }
}

/// The client side: what holds after a 2xx (RFC 4028 §7.2). `answered` is its `Session-Expires` and `refresher`.
#[must_use]
pub fn conclude(
    requested: &Requested,
    answered: Option<(Duration, Option<Refresher>)>,
    now: Instant,
) -> Option<SessionTimer> {
    let (interval, refresher) = match answered {
        Some((interval, refresher)) => (interval, refresher.unwrap_or(Refresher::Uac)),
        // The server knows no timers: the refreshes serve only us, so we send them.
        None => (requested.interval?, Refresher::Uac),
    };
    Some(SessionTimer::started(interval, side(refresher, Side::Local), now))
}

/// A session timer in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// The session interval.
    pub interval: Duration,
    /// Who refreshes.
    pub refresher: Side,
    started_at: Instant,
    /// When to refresh, later than at first after a refresh that failed.
    refresh_at: Instant,
}

impl SessionTimer {
    /// A timer that starts now, when the 2xx was sent or received. Intervals a peer makes absurdly short are held to
    /// [`SHORTEST_INTERVAL`]: no refresh storms.
    #[must_use]
    pub fn started(interval: Duration, refresher: Side, now: Instant) -> Self {
        let interval = interval.max(SHORTEST_INTERVAL);
        let refresh_at = now.checked_add(half(interval)).unwrap_or(now);
        Self { interval, refresher, started_at: now, refresh_at }
    }

    /// A refresh failed: the next attempt is made half-way to the end, and not at once.
    pub fn postpone(&mut self, now: Instant) {
        let left = half(self.expires_at().saturating_duration_since(now)).max(Duration::from_secs(5));
        self.refresh_at = now.checked_add(left).unwrap_or_else(|| self.expires_at());
    }

    /// When to act: refresh when it is our job, else end the session with BYE.
    #[must_use]
    pub fn due_at(&self) -> Instant {
        match self.refresher {
            Side::Local => self.refresh_at.min(self.expires_at()),
            Side::Remote => self.expires_at(),
        }
    }

    /// When the session ends although it is our job to refresh: the refresh stayed without answer.
    #[must_use]
    pub fn expires_at(&self) -> Instant {
        self.started_at
            .checked_add(self.interval.saturating_sub(margin(self.interval)))
            .unwrap_or(self.started_at)
    }
}

fn half(interval: Duration) -> Duration {
    interval.checked_div(2).unwrap_or_default()
}

/// How long before the end the session is ended (§10).
fn margin(interval: Duration) -> Duration {
    interval.checked_div(3).unwrap_or_default().min(Duration::from_secs(32))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asks(
        supported: bool,
        interval: Option<u64>,
        refresher: Option<Refresher>,
        minimum: Option<u64>,
    ) -> Requested {
        Requested { supported, interval: interval.map(seconds), refresher, minimum: minimum.map(seconds) }
    }

    /// Each row of RFC 4028 table 2.
    #[test]
    fn table_2_the_refresher_in_the_response() {
        let policy = SessionTimerPolicy::default();
        let refresher =
            |supported, refresher| match answer(&policy, &asks(supported, Some(1800), refresher, None)) {
                Answered::Timer { refresher, require, .. } => (refresher, require),
                other => panic!("{other:?}"),
            };
        assert_eq!(refresher(false, None), (Refresher::Uas, false));
        assert_eq!(refresher(true, Some(Refresher::Uac)), (Refresher::Uac, true));
        assert_eq!(refresher(true, Some(Refresher::Uas)), (Refresher::Uas, false));
        assert_eq!(refresher(true, None), (Refresher::Uac, true));
    }

    #[test]
    fn section_9_too_short_is_refused_only_to_who_understands() {
        let policy = SessionTimerPolicy { minimum: seconds(300), ..SessionTimerPolicy::default() };
        assert_eq!(answer(&policy, &asks(true, Some(120), None, None)), Answered::TooSmall(seconds(300)));
        let Answered::Timer { interval, .. } = answer(&policy, &asks(false, Some(120), None, None)) else {
            panic!()
        };
        assert_eq!(interval, seconds(120));
    }

    #[test]
    fn section_9_the_interval_is_never_made_longer_nor_less_than_min_se() {
        let policy = SessionTimerPolicy { interval: Some(seconds(100)), ..SessionTimerPolicy::default() };
        let interval = |requested| match answer(&policy, &requested) {
            Answered::Timer { interval, .. } => interval,
            other => panic!("{other:?}"),
        };
        assert_eq!(interval(asks(true, Some(1800), None, Some(600))), seconds(600));
        assert_eq!(interval(asks(true, Some(95), None, None)), seconds(95));
        assert_eq!(interval(asks(true, None, None, Some(600))), seconds(600));
        let silent = SessionTimerPolicy { interval: None, ..policy };
        assert_eq!(answer(&silent, &asks(true, None, None, None)), Answered::NoTimer);
    }

    #[test]
    fn section_7_2_a_server_without_timers_leaves_the_work_to_us() {
        let now = Instant::now();
        let requested = request(&SessionTimerPolicy::default(), None, None);
        let timer = conclude(&requested, None, now).unwrap();
        assert_eq!((timer.interval, timer.refresher), (seconds(1800), Side::Local));
        assert_eq!(timer.due_at(), now + seconds(900));
        assert_eq!(timer.expires_at(), now + seconds(1800 - 32));
        let silent = SessionTimerPolicy { interval: None, ..SessionTimerPolicy::default() };
        assert_eq!(conclude(&request(&silent, None, None), None, now), None);
    }

    #[test]
    fn section_7_4_the_next_request_keeps_roles_and_the_largest_minimum() {
        let now = Instant::now();
        let timer =
            conclude(&asks(true, Some(1800), None, None), Some((seconds(200), Some(Refresher::Uas))), now);
        let timer = timer.unwrap();
        assert_eq!(timer.due_at(), now + seconds(200 - 32));
        let next = request(&SessionTimerPolicy::default(), Some(seconds(400)), Some(&timer));
        assert_eq!(next, asks(true, Some(400), Some(Refresher::Uas), Some(400)));
    }

    #[test]
    fn a_failed_refresh_is_not_repeated_at_once() {
        let now = Instant::now();
        let mut timer = SessionTimer::started(seconds(232), Side::Local, now);
        timer.postpone(now + seconds(116));
        assert_eq!(timer.due_at(), now + seconds(116 + 42));
        timer.postpone(now + seconds(199));
        assert_eq!(timer.due_at(), timer.expires_at(), "never beyond the end");
    }

    #[test]
    fn an_absurd_interval_makes_no_storm() {
        let now = Instant::now();
        assert_eq!(SessionTimer::started(seconds(0), Side::Local, now).due_at(), now + seconds(45));
        let _ = SessionTimer::started(Duration::MAX, Side::Local, now).due_at();
    }
}
