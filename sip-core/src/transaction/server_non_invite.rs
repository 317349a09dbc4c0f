//! The non-INVITE server transaction: RFC 3261 §17.2.2, figure 8, with RFC 4320 §4.1: no provisional but 100, that one
//! not before timer E would have reached T2, no 408, and no response when the client has stopped waiting.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use super::{
    event::EndReason,
    machine::{Action, Context, Timer},
};
use crate::{config::TimerConfig, message::StatusCode};

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerNonInvite {
    /// The request came; nothing was sent.
    Trying,
    /// A 100 was sent.
    Proceeding,
    /// A final response was sent and is repeated when the request is.
    Completed,
    /// Over.
    Terminated,
}

/// How long it takes until the client's timer E is T2: then 100 is due, and not before over UDP.
fn provisional_after(timers: &TimerConfig) -> Duration {
    let mut interval = timers.t1;
    let mut sum = Duration::ZERO;
    while interval < timers.t2 && !interval.is_zero() {
        sum = sum.saturating_add(interval);
        interval = interval.saturating_mul(2);
    }
    sum
}

impl ServerNonInvite {
    pub(crate) fn start(cx: &mut Context<'_>) -> Self {
        cx.arm(Timer::Resend, provisional_after(cx.timers));
        cx.arm(Timer::GiveUp, cx.timers.non_invite_timeout);
        Self::Trying
    }

    /// The request came again.
    pub(crate) fn on_repeat(self, cx: &mut Context<'_>) -> Self {
        if matches!(self, Self::Proceeding | Self::Completed) {
            cx.act(Action::Transmit);
        }
        self
    }

    /// The transaction user sends a response. `None`: not in this state, or no response that may be sent.
    pub(crate) fn on_send(self, status: StatusCode, cx: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Trying | Self::Proceeding if status.is_provisional() => {
                if status != StatusCode::TRYING {
                    return None;
                }
                // Too early over UDP; it will be sent by itself when it is time.
                if self == Self::Trying && cx.is_reliable {
                    cx.act(Action::Disarm(Timer::Resend));
                    cx.act(Action::Transmit);
                    return Some(Self::Proceeding);
                }
                Some(self)
            }
            Self::Trying | Self::Proceeding => {
                cx.disarm_both();
                if status == StatusCode::REQUEST_TIMEOUT {
                    // The client has timed out by itself; a 408 would only add to the storm (§4.1).
                    cx.act(Action::End(EndReason::NotAnswered));
                    return Some(Self::Terminated);
                }
                cx.act(Action::Transmit);
                let kept = cx.kept_for(status, cx.timers.answer_repeats);
                Some(if cx.linger(kept) { Self::Completed } else { Self::Terminated })
            }
            Self::Completed | Self::Terminated => None,
        }
    }

    pub(crate) fn on_timer(self, timer: Timer, cx: &mut Context<'_>) -> Self {
        match (self, timer) {
            (Self::Trying, Timer::Resend) => {
                cx.act(Action::SendTrying);
                Self::Proceeding
            }
            (Self::Trying | Self::Proceeding, Timer::GiveUp) => {
                cx.disarm_both();
                cx.act(Action::End(EndReason::NotAnswered));
                Self::Terminated
            }
            (Self::Completed, Timer::GiveUp) => {
                cx.act(Action::End(EndReason::Completed));
                Self::Terminated
            }
            (state, _) => state,
        }
    }

    /// Nothing can be sent to the client any more (figure 8).
    pub(crate) fn on_transport_failure(self, reason: EndReason, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Proceeding | Self::Completed => {
                cx.disarm_both();
                cx.act(Action::End(reason));
                Self::Terminated
            }
            Self::Trying | Self::Terminated => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn step<T>(reliable: bool, f: impl FnOnce(&mut Context<'_>) -> T) -> (T, Vec<Action>) {
        let timers = TimerConfig::default();
        let mut cx = Context::new(&timers, reliable, false);
        let state = f(&mut cx);
        (state, cx.actions.to_vec())
    }

    #[test]
    fn figure_8_request_to_tu() {
        let (state, actions) = step(false, ServerNonInvite::start);
        assert_eq!(state, ServerNonInvite::Trying);
        assert_eq!(actions, [Action::Arm(Timer::Resend, MS(3500)), Action::Arm(Timer::GiveUp, MS(32_000))]);
    }

    #[test]
    fn figure_8_trying_absorbs_and_later_states_repeat() {
        assert_eq!(
            step(false, |cx| ServerNonInvite::Trying.on_repeat(cx)),
            (ServerNonInvite::Trying, vec![])
        );
        for state in [ServerNonInvite::Proceeding, ServerNonInvite::Completed] {
            assert_eq!(step(false, |cx| state.on_repeat(cx)), (state, vec![Action::Transmit]));
        }
    }

    #[test]
    fn figure_8_final_from_tu_and_timer_j() {
        for state in [ServerNonInvite::Trying, ServerNonInvite::Proceeding] {
            let (next, actions) = step(false, |cx| state.on_send(StatusCode::OK, cx));
            assert_eq!(
                (next, &actions[2..]),
                (
                    Some(ServerNonInvite::Completed),
                    &[Action::Transmit, Action::Arm(Timer::GiveUp, MS(32_000))][..]
                )
            );
            let (next, actions) = step(true, |cx| state.on_send(StatusCode::OK, cx));
            assert_eq!(
                (next, &actions[2..]),
                (
                    Some(ServerNonInvite::Terminated),
                    &[Action::Transmit, Action::End(EndReason::Completed)][..]
                )
            );
        }
        assert_eq!(
            step(false, |cx| ServerNonInvite::Completed.on_timer(Timer::GiveUp, cx)),
            (ServerNonInvite::Terminated, vec![Action::End(EndReason::Completed)])
        );
        assert_eq!(step(false, |cx| ServerNonInvite::Completed.on_send(StatusCode::OK, cx)).0, None);
    }

    #[test]
    fn figure_8_transport_errors_inform_tu() {
        for state in [ServerNonInvite::Proceeding, ServerNonInvite::Completed] {
            let (next, actions) = step(false, |cx| state.on_transport_failure(EndReason::Unreachable, cx));
            assert_eq!(
                (next, actions.last()),
                (ServerNonInvite::Terminated, Some(&Action::End(EndReason::Unreachable)))
            );
        }
    }

    #[test]
    fn rfc_4320_no_provisional_but_100_and_that_one_late() {
        assert_eq!(step(false, |cx| ServerNonInvite::Trying.on_send(StatusCode::RINGING, cx)).0, None);
        assert_eq!(
            step(false, |cx| ServerNonInvite::Trying.on_send(StatusCode::TRYING, cx)),
            (Some(ServerNonInvite::Trying), vec![])
        );
        let (state, actions) = step(true, |cx| ServerNonInvite::Trying.on_send(StatusCode::TRYING, cx));
        assert_eq!((state, actions.last()), (Some(ServerNonInvite::Proceeding), Some(&Action::Transmit)));
        let (state, actions) = step(false, |cx| ServerNonInvite::Trying.on_timer(Timer::Resend, cx));
        assert_eq!((state, actions), (ServerNonInvite::Proceeding, vec![Action::SendTrying]));
    }

    #[test]
    fn rfc_4320_no_408_and_no_response_after_timer_f() {
        let (state, actions) =
            step(false, |cx| ServerNonInvite::Trying.on_send(StatusCode::REQUEST_TIMEOUT, cx));
        assert_eq!(state, Some(ServerNonInvite::Terminated));
        assert!(!actions.contains(&Action::Transmit));
        for state in [ServerNonInvite::Trying, ServerNonInvite::Proceeding] {
            let (next, actions) = step(false, |cx| state.on_timer(Timer::GiveUp, cx));
            assert_eq!(
                (next, actions.last()),
                (ServerNonInvite::Terminated, Some(&Action::End(EndReason::NotAnswered)))
            );
        }
    }
}
