//! What is known of a call, while it goes on and when it is over.

use denwa::bridge::LegId;
use denwa_sip_core::endpoint::CallHandle;

use super::call::{Call, Stage};
use super::desk::Desk;
use super::inspect::LiveCall;
use super::invitation::CallerKind;
use super::leg::Leg;
use super::{facts, planned};
use crate::route::Destination;
use crate::store::CallRecord;
use crate::why::{End, Side};

impl Call {
    /// The record of a call that is over.
    pub(super) fn record(&mut self, desk: &Desk) -> CallRecord {
        let end = self.end.clone().unwrap_or(End::HungUp(Side::Caller));
        let answered = self.answered.is_some();
        let cause = crate::why::explain(&end, answered, &self.evidence);
        let codecs: Vec<&str> = std::iter::once(&self.caller)
            .chain(self.winner.and_then(|index| self.forks.get(index)).map(|fork| &fork.leg))
            .filter_map(|leg| leg.codec.as_deref())
            .collect();
        CallRecord {
            call: i64::try_from(self.number).unwrap_or(0),
            began_at: desk.time_of_day(self.began),
            answered_at: self.answered.map(|at| desk.time_of_day(at)),
            ended_at: desk.time_of_day(desk.now),
            caller: self.origin.caller.number.clone(),
            caller_side: self.origin.caller.side(),
            dialled: self.origin.dialled.clone(),
            callee_side: planned::described(&self.reaches),
            outcome: end.outcome(answered),
            status: if answered { 200 } else { end.status() },
            cause: cause.as_ref().map(|cause| cause.sentence.clone()).unwrap_or_default(),
            remedy: cause.map(|cause| cause.remedy).unwrap_or_default(),
            codec: codecs.join("/"),
            evidence: facts::lines(&self.evidence),
        }
    }

    /// The call as it is now.
    pub(super) fn live(&self, desk: &Desk) -> LiveCall {
        let answerer = self.winner.and_then(|index| self.forks.get(index)).map(|fork| &fork.leg);
        let sides = std::iter::once(&self.caller).chain(answerer);
        let stage = match self.stage {
            Stage::Offered => "trying",
            Stage::Calling if self.rang => "ringing",
            Stage::Calling => "trying",
            Stage::Talking => "talking",
            Stage::Ending => "ending",
        };
        let held_by = sides.clone().filter(|leg| leg.holds()).map(|leg| leg.label.clone()).collect();
        let codecs: Vec<&str> = sides.filter_map(|leg| leg.codec.as_deref()).collect();
        LiveCall {
            call: self.number,
            stage: stage.to_owned(),
            seconds: desk.now.saturating_duration_since(self.began).as_secs(),
            talked_seconds: self.answered.map(|at| desk.now.saturating_duration_since(at).as_secs()),
            caller: self.origin.caller.number.clone(),
            caller_side: self.origin.caller.side(),
            dialled: self.origin.dialled.clone(),
            reaches: planned::described(&self.reaches),
            answered_by: answerer
                .map(|leg| leg.label.clone())
                .or_else(|| self.service.as_ref().map(ToString::to_string))
                .unwrap_or_default(),
            codec: codecs.join("/"),
            held_by,
            facts: facts::lines(&self.evidence).lines().map(str::to_owned).collect(),
        }
    }

    /// The Call-IDs of its legs.
    pub(super) fn call_ids(&self, desk: &Desk) -> Vec<String> {
        let mut ids: Vec<String> = self
            .handles()
            .into_iter()
            .filter_map(|handle| desk.endpoint.call(handle).map(|snapshot| snapshot.call_id))
            .collect();
        ids.extend(self.origin.came.as_ref().map(|(call_id, _)| call_id.clone()));
        ids
    }

    /// The calls of the endpoint that it is made of.
    pub(super) fn handles(&self) -> Vec<CallHandle> {
        let forks = self.forks.iter().map(|fork| &fork.leg);
        let legs = std::iter::once(&self.caller).chain(forks).chain(&self.leaving);
        legs.filter_map(|leg| leg.handle).collect()
    }

    /// Its legs whose ports are open.
    pub(super) fn open_legs(&self) -> impl Iterator<Item = LegId> {
        let forks = self.forks.iter().map(|fork| &fork.leg);
        std::iter::once(&self.caller).chain(forks).filter(|leg| leg.is_open()).map(Leg::id)
    }

    /// The extensions and trunks it uses: `1001`, `trunk lab`.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.is_ending() {
            return Vec::new();
        }
        let caller = match &self.origin.caller.kind {
            CallerKind::Extension => self.origin.caller.number.clone(),
            CallerKind::Trunk(name) => format!("trunk {name}"),
            // Whoever answers has the line.
            CallerKind::Exchange => match &self.reaches {
                Destination::Trunk { trunk, .. } => format!("trunk {trunk}"),
                _ => self.origin.dialled.clone(),
            },
        };
        let winner = self.winner.and_then(|index| self.forks.get(index));
        let others = self.forks.iter().filter(|fork| match winner {
            Some(winner) => std::ptr::eq(winner, *fork),
            None => fork.outcome.is_none() && fork.leg.handle.is_some(),
        });
        let other = |fork: &super::callee::Fork| {
            if fork.plan.is_trunk {
                fork.plan.who.trim_start_matches("the ").to_owned()
            } else {
                fork.plan.who.clone()
            }
        };
        let mut lines: Vec<String> = std::iter::once(caller).chain(others.map(other)).collect();
        lines.dedup();
        lines
    }

    /// Whether one of its sides is this neighbour.
    pub(super) fn uses_trunk(&self, name: &str) -> bool {
        matches!(&self.origin.caller.kind, CallerKind::Trunk(own) if own == name)
            || matches!(&self.reach.current, Destination::Trunk { trunk, .. } if trunk == name)
    }
}
