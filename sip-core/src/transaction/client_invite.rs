//! The INVITE client transaction: RFC 3261 §17.1.1, figure 5, as corrected by RFC 6026 §8.4 (Accepted, timer M).
//!
//! Left out on purpose: the ACK to a 2xx, which is the call's; the CANCEL, which is a transaction of its own.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use super::{
    event::EndReason,
    machine::{Action, Context, Timer},
};
use crate::message::StatusCode;

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientInvite {
    /// The INVITE was sent; nothing came back yet.
    Calling(Calling),
    /// A provisional response came.
    Proceeding,
    /// A failure came and was acknowledged.
    Completed,
    /// A 2xx came; more may, from other forks or repeated.
    Accepted,
    /// Over.
    Terminated,
}

/// Timer A runs over unreliable transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calling {
    interval: Duration,
}

impl ClientInvite {
    pub(crate) fn start(cx: &mut Context<'_>) -> Self {
        let interval = cx.timers.t1;
        cx.act(Action::Transmit);
        if !cx.is_reliable {
            cx.arm(Timer::Resend, interval);
        }
        let patience = if cx.has_alternative {
            cx.timers.failover_after.min(cx.timers.invite_timeout)
        } else {
            cx.timers.invite_timeout
        };
        cx.arm(Timer::GiveUp, patience);
        Self::Calling(Calling { interval })
    }

    pub(crate) fn on_response(self, status: StatusCode, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Calling(_) | Self::Proceeding if status.is_provisional() => {
                cx.act(Action::Disarm(Timer::Resend));
                match (self, cx.is_unwanted) {
                    // A peer that rings for ever is the call's to give up; this is only so that nothing stays for good.
                    (_, false) => cx.arm(Timer::GiveUp, cx.timers.proceeding_limit),
                    (Self::Calling(_), true) => cx.arm(Timer::GiveUp, cx.timers.t1.saturating_mul(64)),
                    // One that goes on ringing does not prolong it.
                    (_, true) => {}
                }
                cx.act(Action::Deliver);
                Self::Proceeding
            }
            Self::Calling(_) | Self::Proceeding if status.is_success() => {
                cx.act(Action::Disarm(Timer::Resend));
                cx.arm(Timer::GiveUp, cx.timers.client_accepted);
                cx.act(Action::Deliver);
                Self::Accepted
            }
            Self::Calling(_) | Self::Proceeding => {
                cx.disarm_both();
                cx.act(Action::Acknowledge);
                cx.act(Action::Deliver);
                if cx.linger(cx.timers.acknowledge_repeats) { Self::Completed } else { Self::Terminated }
            }
            Self::Completed => {
                // The ACK was lost. A success or provisional now is the other side's mistake.
                if status.is_failure() {
                    cx.act(Action::Acknowledge);
                }
                self
            }
            Self::Accepted => {
                if status.is_success() {
                    cx.act(Action::Deliver);
                }
                self
            }
            Self::Terminated => self,
        }
    }

    pub(crate) fn on_timer(self, timer: Timer, cx: &mut Context<'_>) -> Self {
        match (self, timer) {
            (Self::Calling(calling), Timer::Resend) => {
                cx.act(Action::Transmit);
                let interval = calling.interval.saturating_mul(2);
                cx.arm(Timer::Resend, interval);
                Self::Calling(Calling { interval })
            }
            (Self::Calling(_) | Self::Proceeding, Timer::GiveUp) => {
                cx.disarm_both();
                cx.act(Action::End(EndReason::TimedOut));
                Self::Terminated
            }
            (Self::Completed | Self::Accepted, Timer::GiveUp) => {
                cx.act(Action::End(EndReason::Completed));
                Self::Terminated
            }
            (state, _) => state,
        }
    }

    /// A CANCEL was sent, or the call ended without one: if no final response comes within 64·T1, none is waited for
    /// (RFC 3261 §9.1).
    pub(crate) fn on_unwanted(self, cx: &mut Context<'_>) -> Self {
        if self == Self::Proceeding {
            cx.arm(Timer::GiveUp, cx.timers.t1.saturating_mul(64));
        }
        self
    }

    pub(crate) fn on_transport_failure(self, reason: EndReason, cx: &mut Context<'_>) -> Self {
        match self {
            // RFC 6026 §8.4 keeps Accepted: repeated 2xx may still come.
            Self::Accepted | Self::Terminated => self,
            Self::Calling(_) | Self::Completed => {
                cx.disarm_both();
                cx.act(Action::End(reason));
                Self::Terminated
            }
            // The request arrived; a response may come by another way.
            Self::Proceeding => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TimerConfig;

    const S: fn(u64) -> Duration = Duration::from_millis;

    fn step(reliable: bool, f: impl FnOnce(&mut Context<'_>) -> ClientInvite) -> (ClientInvite, Vec<Action>) {
        let timers = TimerConfig::default();
        let mut cx = Context::new(&timers, reliable, false);
        let state = f(&mut cx);
        (state, cx.actions.to_vec())
    }

    fn calling() -> ClientInvite {
        step(false, ClientInvite::start).0
    }

    #[test]
    fn figure_5_invite_from_tu_sends_and_arms_a_and_b() {
        let (state, actions) = step(false, ClientInvite::start);
        assert!(matches!(state, ClientInvite::Calling(_)));
        assert_eq!(
            actions,
            [Action::Transmit, Action::Arm(Timer::Resend, S(500)), Action::Arm(Timer::GiveUp, S(32_000))]
        );
        let (_, actions) = step(true, ClientInvite::start);
        assert_eq!(actions, [Action::Transmit, Action::Arm(Timer::GiveUp, S(32_000))]);
    }

    #[test]
    fn figure_5_timer_a_doubles() {
        let mut state = calling();
        for expected in [1000, 2000, 4000, 8000, 16_000] {
            let (next, actions) = step(false, |cx| state.on_timer(Timer::Resend, cx));
            assert_eq!(actions, [Action::Transmit, Action::Arm(Timer::Resend, S(expected))]);
            state = next;
        }
    }

    #[test]
    fn figure_5_timer_b_informs_tu() {
        let (state, actions) = step(false, |cx| calling().on_timer(Timer::GiveUp, cx));
        assert_eq!(state, ClientInvite::Terminated);
        assert!(actions.contains(&Action::End(EndReason::TimedOut)));
    }

    #[test]
    fn figure_5_calling_transport_error_informs_tu() {
        let (state, actions) = step(false, |cx| calling().on_transport_failure(EndReason::Unreachable, cx));
        assert_eq!(state, ClientInvite::Terminated);
        assert!(actions.contains(&Action::End(EndReason::Unreachable)));
    }

    #[test]
    fn figure_5_1xx_stops_timer_a_and_goes_to_tu() {
        for state in [calling(), ClientInvite::Proceeding] {
            let (state, actions) = step(false, |cx| state.on_response(StatusCode::RINGING, cx));
            assert_eq!(state, ClientInvite::Proceeding);
            assert_eq!(actions[0], Action::Disarm(Timer::Resend));
            assert_eq!(actions.last(), Some(&Action::Deliver));
        }
    }

    #[test]
    fn figure_5_failure_is_acknowledged_and_absorbed_for_timer_d() {
        for state in [calling(), ClientInvite::Proceeding] {
            let (state, actions) = step(false, |cx| state.on_response(StatusCode::BUSY_HERE, cx));
            assert_eq!(state, ClientInvite::Completed);
            assert_eq!(
                actions[2..],
                [Action::Acknowledge, Action::Deliver, Action::Arm(Timer::GiveUp, S(32_000))]
            );
            let (state, actions) = step(false, |cx| state.on_response(StatusCode::BUSY_HERE, cx));
            assert_eq!((state, actions), (ClientInvite::Completed, vec![Action::Acknowledge]));
        }
        let (state, actions) = step(true, |cx| calling().on_response(StatusCode::BUSY_HERE, cx));
        assert_eq!(state, ClientInvite::Terminated);
        assert_eq!(actions.last(), Some(&Action::End(EndReason::Completed)));
    }

    #[test]
    fn figure_5_timer_d_ends() {
        let (state, actions) = step(false, |cx| ClientInvite::Completed.on_timer(Timer::GiveUp, cx));
        assert_eq!((state, actions), (ClientInvite::Terminated, vec![Action::End(EndReason::Completed)]));
    }

    #[test]
    fn figure_5_completed_transport_error_informs_tu() {
        let (state, _) =
            step(false, |cx| ClientInvite::Completed.on_transport_failure(EndReason::Unreachable, cx));
        assert_eq!(state, ClientInvite::Terminated);
    }

    #[test]
    fn rfc_6026_2xx_opens_accepted_and_every_2xx_goes_to_tu() {
        let (state, actions) = step(true, |cx| calling().on_response(StatusCode::OK, cx));
        assert_eq!(state, ClientInvite::Accepted);
        assert_eq!(actions[1..], [Action::Arm(Timer::GiveUp, S(32_000)), Action::Deliver]);
        let (state, actions) = step(true, |cx| state.on_response(StatusCode::OK, cx));
        assert_eq!((state, actions), (ClientInvite::Accepted, vec![Action::Deliver]));
        let (state, actions) = step(true, |cx| state.on_response(StatusCode::BUSY_HERE, cx));
        assert_eq!((state, actions), (ClientInvite::Accepted, vec![]));
    }

    #[test]
    fn rfc_6026_accepted_survives_transport_errors_and_ends_with_timer_m() {
        let (state, actions) =
            step(false, |cx| ClientInvite::Accepted.on_transport_failure(EndReason::Unreachable, cx));
        assert_eq!((state, actions), (ClientInvite::Accepted, vec![]));
        let (state, actions) = step(false, |cx| state.on_timer(Timer::GiveUp, cx));
        assert_eq!((state, actions), (ClientInvite::Terminated, vec![Action::End(EndReason::Completed)]));
    }

    #[test]
    fn a_cancelled_invite_is_waited_for_64_t1() {
        let (_, actions) = step(false, |cx| ClientInvite::Proceeding.on_unwanted(cx));
        assert_eq!(actions, [Action::Arm(Timer::GiveUp, S(32_000))]);
    }

    #[test]
    fn ringing_does_not_prolong_an_invite_that_nobody_wants() {
        let unwanted = |state: ClientInvite| {
            step(false, |cx| {
                cx.is_unwanted = true;
                state.on_response(StatusCode::RINGING, cx)
            })
        };
        let (state, actions) = unwanted(ClientInvite::Proceeding);
        assert_eq!(state, ClientInvite::Proceeding);
        assert!(!actions.iter().any(|action| matches!(action, Action::Arm(..))), "{actions:?}");
        let (state, actions) = unwanted(ClientInvite::Calling(Calling { interval: S(500) }));
        assert_eq!(state, ClientInvite::Proceeding);
        assert!(actions.contains(&Action::Arm(Timer::GiveUp, S(32_000))), "{actions:?}");
    }
}
