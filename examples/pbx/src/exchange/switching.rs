//! The calls of an exchange together: begun, looked after until they are over, joined by transfers, ended with the program.

use std::sync::Arc;
use std::time::Duration;

use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{CallHandle, Reply, RequestHandle};
use denwa_sip_core::message::UriBuf;

use super::call::Call;
use super::desk::Desk;
use super::{Event, Exchange, Output};
use crate::services::Serving;
use crate::store::thread::StoreRequest;
use crate::why::End;

/// How long calls may take to end when everything is shut down.
const SHUT_DOWN: Duration = Duration::from_secs(4);

impl Exchange {
    pub(super) fn insert(&mut self, call: impl Into<Box<Call>>) {
        let call = call.into();
        let number = call.number;
        self.calls.insert(number, call);
        self.with_call(number, |_, _| {});
    }

    /// Does something with a call, keeps its deadline in order, and lets it go when it is over.
    pub(super) fn with_call(&mut self, number: u64, work: impl FnOnce(&mut Call, &mut Desk)) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let Some(deadline) = call.deadline() {
            self.deadlines.remove(&(deadline, number));
        }
        work(call, &mut self.desk);
        self.desk.calls_moved = true;
        let lines = call.lines();
        let before = if lines.is_empty() {
            self.desk.lines.remove(&number).unwrap_or_default()
        } else {
            self.desk.lines.insert(number, lines).unwrap_or_default()
        };
        if call.is_ending() && !before.is_empty() {
            self.desk.call_over(&before, call.talked(self.desk.now));
        }
        let take_over = call.wants_call();
        if !call.is_over() {
            if let Some(deadline) = call.deadline() {
                self.deadlines.insert((deadline, number));
            }
            if take_over {
                self.take_over(number);
            }
            return;
        }
        let record = call.record(&self.desk);
        if let Some(call) = self.calls.remove(&number) {
            let end = call.end.clone().unwrap_or(End::Served);
            self.errand_over(&call, &end);
        }
        let record = Arc::new(record);
        self.desk.put(Output::Store(StoreRequest::PutCall(Arc::clone(&record))));
        self.desk.tell(Event::CallEnded { call: number, record });
        if self.shut_down_at.is_some() && self.calls.is_empty() {
            self.desk.endpoint.shut_down(self.desk.now);
        }
    }

    /// A side asks that the other be connected with somebody else.
    pub(super) fn transfer(
        &mut self,
        asked_in: Option<CallHandle>,
        request: RequestHandle,
        refer_to: &UriBuf,
        replaces: Option<&str>,
    ) {
        let now = self.desk.now;
        let first = asked_in.and_then(|handle| Some((handle, self.desk.call_of(handle)?)));
        let Some((handle, number)) = first else {
            // Outside of calls nobody is asked to call anybody.
            let _ = self.desk.endpoint.respond(request, &Reply::new(StatusCode::FORBIDDEN), now);
            return;
        };
        let second = replaces.and_then(|replaces| self.desk.endpoint.find_call(replaces));
        let second = second.and_then(|handle| Some((handle, self.desk.call_of(handle)?)));
        match second.filter(|(_, other)| *other != number) {
            Some((other_handle, other)) => {
                self.join_calls((number, handle), (other, other_handle), request, refer_to)
            }
            None => self.with_call(number, |call, desk| {
                if let Some(by) = call.which(handle) {
                    call.transfer_asked(desk, by, request, refer_to);
                }
            }),
        }
    }

    /// The end of an attended transfer: who talked to the same telephone in two calls talk to each other.
    fn join_calls(
        &mut self,
        (number, handle): (u64, CallHandle),
        (other_number, other_handle): (u64, CallHandle),
        request: RequestHandle,
        refer_to: &UriBuf,
    ) {
        let Some(mut other) = self.calls.remove(&other_number) else { return };
        if let Some(deadline) = other.deadline() {
            self.deadlines.remove(&(deadline, other_number));
        }
        self.with_call(number, |call, desk| {
            let Some(by) = call.which(handle) else { return };
            let given = other.which(other_handle).and_then(|which| other.other(which));
            let is_up = other.is_talking() && call.is_talking() && call.other(by).is_some();
            let Some(given) = given.filter(|_| is_up) else {
                // The other telephone only rings yet: it is called anew, by us.
                other.end(desk, End::CallerGaveUp);
                return call.transfer_asked(desk, by, request, refer_to);
            };
            let identity = call.leg_mut(by).map(|leg| leg.identity.clone()).unwrap_or_default();
            let Ok(report) = desk.endpoint.accept_transfer(request, &identity, desk.now) else { return };
            if let Some(leg) = other.give_away(given) {
                call.adopt(desk, by, leg, report);
            }
            other.end(desk, End::Joined { call: number });
        });
        self.insert(other);
    }

    /// Joins who wants a call that rings or waits elsewhere with its caller.
    fn take_over(&mut self, number: u64) {
        let Some(mut picker) = self.calls.remove(&number) else { return };
        if let Some(deadline) = picker.deadline() {
            self.deadlines.remove(&(deadline, number));
        }
        let wanted = match &picker.service {
            Some(Serving::Unpark(slot)) => {
                let slot = self.desk.setup.plan.slot_named(slot);
                self.desk.parked.get(&slot).copied()
            }
            Some(Serving::PickUp(at)) => {
                // One's own groups' calls; any call for whom is in no group.
                let (plan, own) = (&self.desk.setup.plan, &picker.origin.caller.number);
                let is_meant = |who: &str| match at {
                    Some(at) => at == who,
                    None => plan.share_group(own, who).unwrap_or(true),
                };
                let rings = |call: &&Call| !call.is_own() && call.rings_at(is_meant);
                self.calls.values().map(Box::as_ref).find(rings).map(|call| call.number)
            }
            _ => None,
        };
        let plan = picker.stand_in_plan(&self.desk);
        let Some((wanted, plan)) = wanted.zip(plan) else {
            picker.took_over();
            self.calls.insert(number, picker);
            return self.with_call(number, |call, desk| call.attend(desk));
        };
        let who = picker.origin.caller.number.clone();
        let leg = picker.give_caller();
        self.with_call(wanted, |call, desk| {
            desk.rehome(&leg, wanted);
            call.answered_by(desk, leg, plan, &who);
        });
        picker.took_over();
        picker.end(&mut self.desk, End::Joined { call: wanted });
        self.insert(picker);
    }

    // -- the end

    pub(super) fn shut_down(&mut self) {
        if self.shut_down_at.is_some() || self.stopped {
            return;
        }
        self.shut_down_at = self.desk.now.checked_add(SHUT_DOWN);
        let numbers: Vec<u64> = self.calls.keys().copied().collect();
        for number in numbers {
            self.with_call(number, |call, desk| call.end(desk, End::ShutDown));
        }
        if self.calls.is_empty() {
            self.desk.endpoint.shut_down(self.desk.now);
        }
    }

    pub(super) fn stop(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.shut_down_at = None;
        // Calls whose other ends never confirmed their BYE are recorded all the same.
        for (_, mut call) in std::mem::take(&mut self.calls) {
            let record = call.record(&self.desk);
            self.desk.put(Output::Store(StoreRequest::PutCall(Arc::new(record))));
        }
        self.desk.tell(Event::ShutDown);
        self.desk.put(Output::Stop);
    }
}
