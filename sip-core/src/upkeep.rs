//! What somebody else holds for us for a while: asked for, refreshed before it runs out, asked for again after failures,
//! withdrawn. Registrations (RFC 3261 §10.2) and publications (RFC 3903 §4) are kept in this way.
//!
//! A refresh comes at a random moment between half and nine tenths of the time granted, so that a thousand telephones
//! that lost power together do not come back together ever after. After failures it waits longer and longer.

use crate::{
    context::{Context, Over, Timer},
    header::{HeaderName, RetryAfter},
    message::Response,
};
use std::time::{Duration, Instant};

/// The rhythm of one such thing, which ends for an `R`.
#[derive(Debug)]
pub(crate) struct Upkeep<R> {
    /// How long it is asked for.
    pub(crate) expires: Duration,
    /// `CSeq` of the last request.
    pub(crate) sequence: u32,
    failures: u32,
    pub(crate) state: State<R>,
}

/// Where it stands.
#[derive(Debug)]
pub(crate) enum State<R> {
    /// A request is under way; `withdraw` once it is answered when asked for meanwhile.
    Asking { withdraw: bool },
    /// It holds; a refresh is due.
    Held { refresh_at: Instant },
    /// An attempt failed; the next is due.
    Waiting { retry_at: Instant },
    /// `Expires: 0` is under way.
    Withdrawing,
    /// It is over.
    Over(Option<R>),
}

impl<R> Upkeep<R> {
    pub(crate) const fn new(expires: Duration) -> Self {
        Self { expires, sequence: 0, failures: 0, state: State::Asking { withdraw: false } }
    }

    /// The number of the request that is sent now.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }

    /// The request was challenged and sent again with this number.
    pub(crate) fn on_resent(&mut self, sequence: Option<u32>) {
        self.sequence = self.sequence.max(sequence.unwrap_or(0));
    }

    /// A request was sent. False: it could not be, and the next attempt has to be waited for.
    pub(crate) fn sent(&mut self, is_sent: bool, withdraws: bool) -> bool {
        self.state = match (is_sent, withdraws) {
            (true, true) => State::Withdrawing,
            (false, true) => State::Over(None),
            (_, false) => State::Asking { withdraw: false },
        };
        is_sent || withdraws
    }

    /// It was granted for so long.
    pub(crate) fn held(&mut self, cx: &mut Context, expires_in: Duration) {
        self.failures = 0;
        let share = u64::from(cx.random.below(400).saturating_add(500));
        let millis = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
        let after = Duration::from_millis(millis.saturating_mul(share).saturating_div(1000).max(500));
        self.state = State::Held { refresh_at: cx.now.checked_add(after).unwrap_or(cx.now) };
    }

    /// An attempt failed. How long it waits, by RFC 5626 §4.5: between half of and the full of first · 2ⁿ, at most the
    /// longest, and not less than the other side asks for.
    pub(crate) fn failed(
        &mut self,
        cx: &mut Context,
        first: Duration,
        at_least: Option<Duration>,
    ) -> Duration {
        let wait = cx.back_off(self.failures, first).max(at_least.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { retry_at: cx.now.checked_add(wait).unwrap_or(cx.now) };
        wait
    }

    /// A 423: asks for as long as the other side wants it to be, if that is longer than before and no more than a day.
    pub(crate) fn ask_for_longer(&mut self, too_brief: &Response) -> bool {
        let minimum = too_brief.number(HeaderName::MinExpires, 86_400).ok().flatten().unwrap_or(0);
        let minimum = Duration::from_secs(minimum);
        let is_longer = minimum > self.expires;
        if is_longer {
            self.expires = minimum;
        }
        is_longer
    }

    /// When something is to be done about it.
    pub(crate) const fn due(&self) -> Option<Instant> {
        match self.state {
            State::Held { refresh_at: at } | State::Waiting { retry_at: at } => Some(at),
            State::Asking { .. } | State::Withdrawing | State::Over(_) => None,
        }
    }

    /// Tells the context when it is due, or that it is over.
    pub(crate) fn arm(&self, cx: &mut Context, timer: Timer, over: Over) {
        cx.deadlines.set(timer, self.due());
        if matches!(self.state, State::Over(_)) && !cx.over.contains(&over) {
            cx.over.push(over);
        }
    }
}

/// How long a refusal asks us to wait, at most an hour.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let after = response.typed::<RetryAfter<'_>>().ok().flatten()?;
    Some(Duration::from_secs(u64::from(after.seconds.min(3600))))
}
