//! Calls taken over: a telephone that rings elsewhere answered here, a caller who waits in a parking slot fetched.

use std::time::{Duration, Instant};

use denwa_sip_core::message::UriBuf;

use super::call::{Call, Stage};
use super::callee::Fork;
use super::desk::Desk;
use super::leg::Leg;
use super::planned::Planned;
use crate::config::Terms;
use crate::services::Serving;

impl Call {
    /// Whether it was answered so that its caller takes another call over, and has not yet.
    pub(super) fn wants_call(&self) -> bool {
        self.is_talking()
            && self.takes_over
            && matches!(self.service, Some(Serving::PickUp(_) | Serving::Unpark(_)))
    }

    /// It has, or there was none.
    pub(super) fn took_over(&mut self) {
        self.takes_over = false;
    }

    /// Whether it rings at an extension like this.
    pub(super) fn rings_at(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.stage == Stage::Calling
            && self.refusing.is_none()
            && self.forks.iter().any(|fork| {
                is_meant(&fork.plan.who)
                    && !fork.plan.is_trunk
                    && fork.outcome.is_none()
                    && fork.leg.handle.is_some()
            })
    }

    /// How long it was talked.
    pub(super) fn talked(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|at| now.saturating_duration_since(at))
    }

    /// Gives its caller's leg away; what stands in its place holds nothing.
    pub(super) fn give_caller(&mut self) -> Leg {
        let stand_in = self.caller.stand_in();
        std::mem::replace(&mut self.caller, stand_in)
    }

    /// The caller as somebody who was called.
    pub(super) fn stand_in_plan(&self, desk: &Desk) -> Option<Planned> {
        let number = &self.origin.caller.number;
        let uri = UriBuf::sip(number, desk.setup.realm.clone()).build();
        let (_, flow) = self.origin.came.as_ref()?;
        let flow = *flow;
        Some(Planned {
            who: number.clone(),
            peer: flow.remote,
            protocol: flow.protocol,
            flow: Some(flow),
            request_uri: uri.clone(),
            to: uri,
            target: denwa_sip_core::endpoint::Target::Flow(flow),
            routes: Vec::new(),
            credentials: Vec::new(),
            voice: self.origin.caller.voice.clone(),
            quality: 1_000,
            is_trunk: false,
            style: None,
            terms: Terms::default(),
            is_signed: false,
            patience: None,
            rest: None,
            diverted: None,
        })
    }

    /// Somebody answers from elsewhere: his leg takes the place of the telephones that ring, or of what serves the caller.
    pub(super) fn answered_by(&mut self, desk: &mut Desk, leg: Leg, plan: Planned, who: &str) {
        let index = self.forks.len();
        self.forks.push(Fork {
            leg,
            plan,
            offered: None,
            placed_at: Some(desk.now),
            is_gated: false,
            outcome: None,
        });
        self.planned.clear();
        self.hang_up_from(desk, 0, Some(index));
        self.winner = Some(index);
        if self.stage == Stage::Calling {
            self.prefer_codec_of(desk, index);
            if !self.answer_caller(desk) {
                return;
            }
        } else {
            self.taken_over(desk);
        }
        self.join(desk, index);
        self.tell_answered(desk, who.to_owned());
    }
}

impl Desk {
    /// A call that used these lines is over.
    pub(super) fn call_over(&mut self, lines: &[String], talked: Option<Duration>) {
        for line in lines {
            match (line.strip_prefix("trunk "), talked) {
                (Some(trunk), Some(talked)) => self.spent.talked(trunk, talked, self.now),
                (Some(_), None) => {}
                (None, _) => {
                    self.somebody_is_free = true;
                    self.idle_since.insert(line.clone(), self.now);
                }
            }
        }
    }
}
