//! The non-INVITE client transaction: RFC 3261 §17.1.2, figure 6.
//!
//! By RFC 4320 §4.2 a time-out here says nothing about the next server, so it does not mark anything dead.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use super::{
    event::EndReason,
    machine::{Action, Context, Timer},
};
use crate::message::StatusCode;

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientNonInvite {
    /// The request was sent; nothing came back yet.
    Trying(Resending),
    /// A provisional response came; the request is repeated every T2.
    Proceeding,
    /// A final response came; repeats of it are absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// Timer E runs over unreliable transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resending {
    interval: Duration,
}

impl ClientNonInvite {
    pub(crate) fn start(cx: &mut Context<'_>) -> Self {
        let interval = cx.timers.t1;
        cx.act(Action::Transmit);
        if !cx.is_reliable {
            cx.arm(Timer::Resend, interval);
        }
        let patience = if cx.has_alternative {
            cx.timers.failover_after.min(cx.timers.non_invite_timeout)
        } else {
            cx.timers.non_invite_timeout
        };
        cx.arm(Timer::GiveUp, patience);
        Self::Trying(Resending { interval })
    }

    pub(crate) fn on_response(self, status: StatusCode, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Trying(_) if status.is_provisional() => {
                if !cx.is_reliable {
                    cx.arm(Timer::Resend, cx.timers.t2);
                }
                if cx.has_alternative {
                    // It is alive: from now on timer F counts, not the patience for the next server.
                    cx.arm(Timer::GiveUp, cx.timers.non_invite_timeout);
                }
                cx.act(Action::Deliver);
                Self::Proceeding
            }
            Self::Proceeding if status.is_provisional() => {
                cx.act(Action::Deliver);
                self
            }
            Self::Trying(_) | Self::Proceeding => {
                cx.disarm_both();
                cx.act(Action::Deliver);
                if cx.linger(cx.timers.t4) { Self::Completed } else { Self::Terminated }
            }
            Self::Completed | Self::Terminated => self,
        }
    }

    pub(crate) fn on_timer(self, timer: Timer, cx: &mut Context<'_>) -> Self {
        match (self, timer) {
            (Self::Trying(resending), Timer::Resend) => {
                cx.act(Action::Transmit);
                let interval = resending.interval.saturating_mul(2).min(cx.timers.t2);
                cx.arm(Timer::Resend, interval);
                Self::Trying(Resending { interval })
            }
            (Self::Proceeding, Timer::Resend) => {
                cx.act(Action::Transmit);
                cx.arm(Timer::Resend, cx.timers.t2);
                self
            }
            (Self::Trying(_) | Self::Proceeding, Timer::GiveUp) => {
                cx.disarm_both();
                cx.act(Action::End(EndReason::TimedOut));
                Self::Terminated
            }
            (Self::Completed, Timer::GiveUp) => {
                cx.act(Action::End(EndReason::Completed));
                Self::Terminated
            }
            (state, _) => state,
        }
    }

    pub(crate) fn on_transport_failure(self, reason: EndReason, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Trying(_) | Self::Proceeding => {
                cx.disarm_both();
                cx.act(Action::End(reason));
                Self::Terminated
            }
            Self::Completed | Self::Terminated => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TimerConfig;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn step(
        reliable: bool,
        f: impl FnOnce(&mut Context<'_>) -> ClientNonInvite,
    ) -> (ClientNonInvite, Vec<Action>) {
        let timers = TimerConfig::default();
        let mut cx = Context::new(&timers, reliable, false);
        let state = f(&mut cx);
        (state, cx.actions.to_vec())
    }

    #[test]
    fn figure_6_request_from_tu_and_timer_e() {
        let (mut state, actions) = step(false, ClientNonInvite::start);
        assert_eq!(
            actions,
            [Action::Transmit, Action::Arm(Timer::Resend, MS(500)), Action::Arm(Timer::GiveUp, MS(32_000))]
        );
        for expected in [1000, 2000, 4000, 4000, 4000] {
            let (next, actions) = step(false, |cx| state.on_timer(Timer::Resend, cx));
            assert_eq!(actions, [Action::Transmit, Action::Arm(Timer::Resend, MS(expected))]);
            state = next;
        }
        assert_eq!(
            step(true, ClientNonInvite::start).1,
            [Action::Transmit, Action::Arm(Timer::GiveUp, MS(32_000))]
        );
    }

    #[test]
    fn figure_6_timer_f_and_transport_errors_inform_tu() {
        let trying = step(false, ClientNonInvite::start).0;
        for state in [trying, ClientNonInvite::Proceeding] {
            let (next, actions) = step(false, |cx| state.on_timer(Timer::GiveUp, cx));
            assert_eq!(
                (next, actions.last()),
                (ClientNonInvite::Terminated, Some(&Action::End(EndReason::TimedOut)))
            );
            let (next, actions) = step(false, |cx| state.on_transport_failure(EndReason::Unreachable, cx));
            assert_eq!(
                (next, actions.last()),
                (ClientNonInvite::Terminated, Some(&Action::End(EndReason::Unreachable)))
            );
        }
    }

    #[test]
    fn figure_6_1xx_slows_timer_e_to_t2() {
        let trying = step(false, ClientNonInvite::start).0;
        let (state, actions) = step(false, |cx| trying.on_response(StatusCode::TRYING, cx));
        assert_eq!(
            (state, actions),
            (ClientNonInvite::Proceeding, vec![Action::Arm(Timer::Resend, MS(4000)), Action::Deliver])
        );
        let (state, actions) = step(false, |cx| state.on_timer(Timer::Resend, cx));
        assert_eq!(
            (state, actions),
            (ClientNonInvite::Proceeding, vec![Action::Transmit, Action::Arm(Timer::Resend, MS(4000))])
        );
        let (_, actions) = step(false, |cx| state.on_response(StatusCode::TRYING, cx));
        assert_eq!(actions, [Action::Deliver]);
    }

    #[test]
    fn figure_6_final_goes_to_tu_and_repeats_are_absorbed_for_timer_k() {
        let trying = step(false, ClientNonInvite::start).0;
        for state in [trying, ClientNonInvite::Proceeding] {
            let (state, actions) = step(false, |cx| state.on_response(StatusCode::OK, cx));
            assert_eq!(
                (state, &actions[2..]),
                (ClientNonInvite::Completed, &[Action::Deliver, Action::Arm(Timer::GiveUp, MS(5000))][..])
            );
            assert_eq!(
                step(false, |cx| state.on_response(StatusCode::OK, cx)),
                (ClientNonInvite::Completed, vec![])
            );
            assert_eq!(
                step(false, |cx| state.on_timer(Timer::GiveUp, cx)),
                (ClientNonInvite::Terminated, vec![Action::End(EndReason::Completed)])
            );
        }
        let (state, actions) = step(true, |cx| trying.on_response(StatusCode::NOT_FOUND, cx));
        assert_eq!(
            (state, &actions[2..]),
            (ClientNonInvite::Terminated, &[Action::Deliver, Action::End(EndReason::Completed)][..])
        );
    }
}
