//! The second attempt after a refusal that passes: busy, or a fault of the server (TTC JJ-90.24), for sides that want it. The caller
//! hears nothing of the first; there is no third.

use super::Gateway;
use super::passage::{End, Link, PassageId};
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::CallEnd;
use std::time::Instant;

impl Gateway {
    /// Whether the callee is to be called again, the caller waiting.
    pub(super) fn will_try_again(&mut self, id: PassageId, reason: &CallEnd, now: Instant) -> bool {
        let CallEnd::Refused { response } = reason else { return false };
        let status = response.status();
        if !matches!(status, StatusCode::BUSY_HERE | StatusCode::SERVER_INTERNAL_ERROR) || self.stopping {
            return false;
        }
        let Some(wait) = self.side_of(id, End::Callee).and_then(|side| side.retry) else { return false };
        let (Some(at), Some(passage)) = (now.checked_add(wait), self.passages.get_mut(&id)) else {
            return false;
        };
        if passage.tried_again || passage.answered || passage.caller.link == Link::None {
            return false;
        }
        passage.tried_again = true;
        passage.callee.is_configured = false;
        passage.joined = false;
        self.attempts.insert(id, at);
        self.line(format!(
            "{id}: the callee said {} {}; called again in {} s",
            status.code(),
            status.reason(),
            wait.as_secs()
        ));
        true
    }

    /// When the next call is to be made again.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        self.attempts.values().min().copied()
    }

    pub(super) fn try_again(&mut self, now: Instant) {
        let due = self.attempts.iter().filter(|(_, at)| **at <= now);
        let ids: Vec<PassageId> = due.map(|(id, _)| *id).collect();
        for id in ids {
            self.attempts.remove(&id);
            self.place(id, now);
        }
    }
}
