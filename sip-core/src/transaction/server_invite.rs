//! The INVITE server transaction: RFC 3261 §17.2.1, figure 7, as corrected by RFC 6026 §8.5 (Accepted, timer L; a
//! transport error is told and changes nothing).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use super::{
    event::EndReason,
    machine::{Action, Context, Timer},
};
use crate::message::StatusCode;

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerInvite {
    /// The INVITE came; `answered` once any response was sent.
    Proceeding {
        /// Whether there is a response to repeat.
        answered: bool,
    },
    /// A failure was sent; the ACK is awaited.
    Completed(Resending),
    /// The ACK came; repeats of it are absorbed.
    Confirmed,
    /// A 2xx was sent; repeats of the INVITE are absorbed, and the call repeats the 2xx.
    Accepted,
    /// Over.
    Terminated,
}

/// Timer G runs over unreliable transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resending {
    interval: Duration,
}

impl ServerInvite {
    pub(crate) fn start(cx: &mut Context<'_>) -> Self {
        cx.arm(Timer::Resend, cx.timers.trying_after);
        // Not in the RFC: what the layer above forgot must not stay for ever.
        cx.arm(Timer::GiveUp, cx.timers.proceeding_limit);
        Self::Proceeding { answered: false }
    }

    /// The INVITE came again.
    pub(crate) fn on_repeat(self, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Proceeding { answered: true } | Self::Completed(_) => {
                cx.act(Action::Transmit);
                self
            }
            Self::Proceeding { answered: false } => {
                // It was lost or slow on the way here; saying 100 now stops the repeats.
                cx.act(Action::Disarm(Timer::Resend));
                cx.act(Action::SendTrying);
                Self::Proceeding { answered: true }
            }
            Self::Confirmed | Self::Accepted | Self::Terminated => self,
        }
    }

    /// The transaction user sends a response. `None`: not in this state.
    pub(crate) fn on_send(self, status: StatusCode, cx: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Proceeding { .. } => {
                cx.act(Action::Disarm(Timer::Resend));
                cx.act(Action::Transmit);
                if status.is_provisional() {
                    cx.arm(Timer::GiveUp, cx.timers.proceeding_limit);
                    return Some(Self::Proceeding { answered: true });
                }
                if status.is_success() {
                    cx.arm(Timer::GiveUp, cx.timers.server_accepted);
                    return Some(Self::Accepted);
                }
                let interval = cx.timers.t1;
                if !cx.is_reliable {
                    cx.arm(Timer::Resend, interval);
                }
                cx.arm(Timer::GiveUp, cx.kept_for(status, cx.timers.acknowledge_timeout));
                Some(Self::Completed(Resending { interval }))
            }
            Self::Accepted if status.is_success() => {
                cx.act(Action::Transmit);
                Some(self)
            }
            _ => None,
        }
    }

    /// An ACK with this transaction's branch came. True: it is the transaction user's, who sent a 2xx.
    pub(crate) fn on_ack(self, cx: &mut Context<'_>) -> (Self, bool) {
        match self {
            Self::Completed(_) => {
                cx.disarm_both();
                let state = if cx.linger(cx.timers.t4) { Self::Confirmed } else { Self::Terminated };
                (state, false)
            }
            Self::Accepted => (self, true),
            Self::Proceeding { .. } | Self::Confirmed | Self::Terminated => (self, false),
        }
    }

    pub(crate) fn on_timer(self, timer: Timer, cx: &mut Context<'_>) -> Self {
        match (self, timer) {
            (Self::Proceeding { answered: false }, Timer::Resend) => {
                cx.act(Action::SendTrying);
                Self::Proceeding { answered: true }
            }
            (Self::Completed(resending), Timer::Resend) => {
                cx.act(Action::Transmit);
                let interval = resending.interval.saturating_mul(2).min(cx.timers.t2);
                cx.arm(Timer::Resend, interval);
                Self::Completed(Resending { interval })
            }
            (Self::Proceeding { .. }, Timer::GiveUp) => {
                cx.disarm_both();
                cx.act(Action::End(EndReason::NotAnswered));
                Self::Terminated
            }
            (Self::Completed(_), Timer::GiveUp) => {
                cx.disarm_both();
                cx.act(Action::End(EndReason::NotAcknowledged));
                Self::Terminated
            }
            (Self::Confirmed | Self::Accepted, Timer::GiveUp) => {
                cx.act(Action::End(EndReason::Completed));
                Self::Terminated
            }
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TimerConfig;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn step<T>(reliable: bool, f: impl FnOnce(&mut Context<'_>) -> T) -> (T, Vec<Action>) {
        let timers = TimerConfig::default();
        let mut cx = Context::new(&timers, reliable, false);
        let state = f(&mut cx);
        (state, cx.actions.to_vec())
    }

    fn completed(reliable: bool) -> ServerInvite {
        step(reliable, |cx| {
            ServerInvite::Proceeding { answered: true }.on_send(StatusCode::BUSY_HERE, cx).unwrap()
        })
        .0
    }

    #[test]
    fn figure_7_invite_waits_200_ms_before_100() {
        let (state, actions) = step(false, ServerInvite::start);
        assert_eq!(actions, [Action::Arm(Timer::Resend, MS(200)), Action::Arm(Timer::GiveUp, MS(1_800_000))]);
        let (state, actions) = step(false, |cx| state.on_timer(Timer::Resend, cx));
        assert_eq!((state, actions), (ServerInvite::Proceeding { answered: true }, vec![Action::SendTrying]));
    }

    #[test]
    fn figure_7_proceeding_repeats_its_last_response() {
        let (state, actions) = step(false, |cx| ServerInvite::Proceeding { answered: true }.on_repeat(cx));
        assert_eq!((state, actions), (ServerInvite::Proceeding { answered: true }, vec![Action::Transmit]));
    }

    #[test]
    fn figure_7_1xx_from_tu() {
        let (state, actions) =
            step(false, |cx| ServerInvite::Proceeding { answered: false }.on_send(StatusCode::RINGING, cx));
        assert_eq!(state, Some(ServerInvite::Proceeding { answered: true }));
        assert_eq!(actions[..2], [Action::Disarm(Timer::Resend), Action::Transmit]);
    }

    #[test]
    fn figure_7_failure_from_tu_arms_g_and_h() {
        let (state, actions) =
            step(false, |cx| ServerInvite::Proceeding { answered: true }.on_send(StatusCode::BUSY_HERE, cx));
        assert!(matches!(state, Some(ServerInvite::Completed(_))));
        assert_eq!(
            actions[1..],
            [Action::Transmit, Action::Arm(Timer::Resend, MS(500)), Action::Arm(Timer::GiveUp, MS(32_000))]
        );
        let (_, actions) =
            step(true, |cx| ServerInvite::Proceeding { answered: true }.on_send(StatusCode::BUSY_HERE, cx));
        assert_eq!(actions[1..], [Action::Transmit, Action::Arm(Timer::GiveUp, MS(32_000))]);
    }

    #[test]
    fn figure_7_timer_g_doubles_to_t2_and_h_fails() {
        let mut state = completed(false);
        for expected in [1000, 2000, 4000, 4000] {
            let (next, actions) = step(false, |cx| state.on_timer(Timer::Resend, cx));
            assert_eq!(actions, [Action::Transmit, Action::Arm(Timer::Resend, MS(expected))]);
            state = next;
        }
        let (state, actions) = step(false, |cx| state.on_timer(Timer::GiveUp, cx));
        assert_eq!(
            (state, actions.last()),
            (ServerInvite::Terminated, Some(&Action::End(EndReason::NotAcknowledged)))
        );
    }

    #[test]
    fn figure_7_completed_repeats_for_a_repeated_invite() {
        assert_eq!(step(false, |cx| completed(false).on_repeat(cx)).1, [Action::Transmit]);
    }

    #[test]
    fn figure_7_ack_confirms_and_timer_i_ends() {
        let ((state, to_user), actions) = step(false, |cx| completed(false).on_ack(cx));
        assert_eq!((state, to_user), (ServerInvite::Confirmed, false));
        assert_eq!(actions.last(), Some(&Action::Arm(Timer::GiveUp, MS(5000))));
        assert_eq!(step(false, |cx| state.on_ack(cx)), ((ServerInvite::Confirmed, false), vec![]));
        assert_eq!(step(false, |cx| state.on_repeat(cx)), (ServerInvite::Confirmed, vec![]));
        assert_eq!(
            step(false, |cx| state.on_timer(Timer::GiveUp, cx)),
            (ServerInvite::Terminated, vec![Action::End(EndReason::Completed)])
        );
        let ((state, _), actions) = step(true, |cx| completed(true).on_ack(cx));
        assert_eq!(
            (state, actions.last()),
            (ServerInvite::Terminated, Some(&Action::End(EndReason::Completed)))
        );
    }

    #[test]
    fn rfc_6026_2xx_opens_accepted() {
        let (state, actions) =
            step(true, |cx| ServerInvite::Proceeding { answered: true }.on_send(StatusCode::OK, cx));
        assert_eq!(state, Some(ServerInvite::Accepted));
        assert_eq!(actions[1..], [Action::Transmit, Action::Arm(Timer::GiveUp, MS(32_000))]);
    }

    #[test]
    fn rfc_6026_accepted_absorbs_invites_passes_acks_and_sends_2xx_again() {
        let accepted = ServerInvite::Accepted;
        assert_eq!(step(false, |cx| accepted.on_repeat(cx)), (accepted, vec![]));
        assert_eq!(step(false, |cx| accepted.on_ack(cx)), ((accepted, true), vec![]));
        assert_eq!(
            step(false, |cx| accepted.on_send(StatusCode::OK, cx)),
            (Some(accepted), vec![Action::Transmit])
        );
        assert_eq!(step(false, |cx| accepted.on_send(StatusCode::BUSY_HERE, cx)), (None, vec![]));
        assert_eq!(
            step(false, |cx| accepted.on_timer(Timer::GiveUp, cx)),
            (ServerInvite::Terminated, vec![Action::End(EndReason::Completed)])
        );
    }

    #[test]
    fn a_second_final_is_refused() {
        assert_eq!(step(false, |cx| completed(false).on_send(StatusCode::OK, cx)).0, None);
        assert_eq!(step(false, |cx| ServerInvite::Confirmed.on_send(StatusCode::OK, cx)).0, None);
    }
}
