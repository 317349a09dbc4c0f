//! Transfers: one side asks that the other be connected with somebody else (REFER: RFC 3515, RFC 5589).
//!
//! Both sides are calls of their own here, so nothing is handed on: the exchange calls the new party itself, joins its leg
//! with the side that stays, and lets the one who asked go. An attended transfer (`Replaces` in Refer-To) joins the legs of
//! two calls that are up. What was on hold is taken back.

use denwa_sdp::Direction;
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{Headers, Reply, RequestHandle, SubscriptionHandle};
use denwa_sip_core::message::UriBuf;

use super::Event;
use super::call::{Call, Stage, Which};
use super::desk::Desk;
use super::invitation::{Caller, CallerKind};
use super::leg::Leg;
use super::reach::{Attempt, Reach};
use crate::route::Destination;
use crate::services::Serving;
use crate::why::End;

/// How often the sides of one call may change.
const MOST_TRANSFERS: usize = 16;

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The side that asked for it.
    pub(super) by: Which,
    /// It has hung up already, as telephones do after a blind transfer.
    pub(super) has_left: bool,
    /// Who stays: whom the new party sees calling.
    pub(super) stays: Caller,
    report: Option<SubscriptionHandle>,
    to: String,
}

impl Call {
    /// A side wants the other connected with the number in `refer_to`.
    pub(super) fn transfer_asked(
        &mut self,
        desk: &mut Desk,
        by: Which,
        request: RequestHandle,
        refer_to: &UriBuf,
    ) {
        let refuse = |desk: &mut Desk, status| {
            // A request that has ended needs no answer.
            let _ = desk.endpoint.respond(request, &Reply::new(status), desk.now);
        };
        let may_begin =
            self.stage == Stage::Talking && self.transfer.is_none() && self.leaving.len() < MOST_TRANSFERS;
        let Some(stays) = self.other(by).filter(|_| may_begin) else {
            return refuse(desk, StatusCode::DECLINE);
        };
        let number = refer_to.as_uri().user_unescaped().unwrap_or_default().into_owned();
        let number = number.split(';').next().unwrap_or_default().to_owned();
        let reaches = desk.find(&number);
        // The call that follows is made on behalf of the side that asks: it must be allowed to make it.
        let asks = self.party(desk, by);
        let stays_party = self.party(desk, stays);
        let targets = Reach::begin(desk, &asks, None, reaches);
        let label = self.leg_mut(by).map(|leg| leg.label.clone()).unwrap_or_default();
        let targets = match targets {
            Ok((_, attempt)) => attempt,
            Err(end) => {
                let cause = end.cause().map(|cause| cause.sentence).unwrap_or_default();
                desk.tell(Event::TransferFailed { call: self.number, by: label, to: number, cause });
                return refuse(desk, StatusCode::new(end.status()).unwrap_or(StatusCode::DECLINE));
            }
        };
        let identity = self.leg_mut(by).map(|leg| leg.identity.clone()).unwrap_or_default();
        let Ok(report) = desk.endpoint.accept_transfer(request, &identity, desk.now) else { return };
        self.transfer = Some(Transfer { by, has_left: false, stays: stays_party, report, to: number });
        match targets {
            Attempt::Serve(serving) => self.transferred_to_service(desk, stays, serving),
            // No announcement is an attempt of a transfer.
            Attempt::Announce(_) => {}
            ringing @ Attempt::Ring(..) => self.try_attempt(desk, ringing),
        }
    }

    /// The codecs that the new party may use: what the side that stays uses now.
    pub(super) fn transfer_codecs(&mut self) -> Option<Vec<String>> {
        if self.diverting {
            return Some(self.caller.codec.clone().into_iter().collect());
        }
        let by = self.transfer.as_ref()?.by;
        let stays = self.stays(by)?;
        Some(self.leg_mut(stays)?.codec.clone().into_iter().collect())
    }

    /// The new party's telephone rings.
    pub(super) fn transfer_rings(&mut self, desk: &mut Desk) {
        if let Some(report) = self.transfer.as_ref().and_then(|transfer| transfer.report) {
            let _ = desk.endpoint.report_transfer(report, StatusCode::RINGING, None, desk.now);
        }
    }

    /// The new party answered: it takes the place of the side that asked.
    pub(super) fn transfer_answered(&mut self, desk: &mut Desk, index: usize) {
        let Some(transfer) = self.transfer.take() else { return };
        self.deadline = None;
        self.planned.clear();
        self.hang_up_from(desk, self.first, Some(index));
        // Its place is behind those of all forks that names refer to.
        let leg = self.forks.remove(index).leg;
        let to = leg.label.clone();
        self.finish_transfer(desk, transfer, to, Some(leg));
    }

    /// Every telephone of the new party failed, for this reason at best.
    pub(super) fn transfer_failed(&mut self, desk: &mut Desk, end: End) {
        let Some(transfer) = self.transfer.take() else { return };
        self.deadline = None;
        self.planned.clear();
        self.hang_up_from(desk, self.first, None);
        let status = StatusCode::new(end.status()).unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
        if let Some(report) = transfer.report {
            let _ = desk.endpoint.report_transfer(report, status, None, desk.now);
        }
        let by = self.leg_mut(transfer.by).map(|leg| leg.label.clone()).unwrap_or_default();
        let cause = end.cause().map(|cause| cause.sentence).unwrap_or_default();
        desk.tell(Event::TransferFailed { call: self.number, by, to: transfer.to, cause });
        if transfer.has_left {
            self.end(desk, end);
        }
    }

    /// The side that asked hung up before the new party answered; `false` when it asked for nothing.
    pub(super) fn left_transfer(&mut self, by: Which) -> bool {
        match &mut self.transfer {
            Some(transfer) if transfer.by == by => {
                transfer.has_left = true;
                true
            }
            _ => false,
        }
    }

    /// Takes the leg of a call that is up into this one, in the place of `by`: the end of an attended transfer.
    pub(super) fn adopt(&mut self, desk: &mut Desk, by: Which, leg: Leg, report: Option<SubscriptionHandle>) {
        desk.rehome(&leg, self.number);
        let to = leg.label.clone();
        let stays = self.party(desk, by);
        let transfer = Transfer { by, has_left: false, stays, report, to: to.clone() };
        self.finish_transfer(desk, transfer, to, Some(leg));
    }

    /// Gives a leg away to another call; what is left of this one ends.
    pub(super) fn give_away(&mut self, which: Which) -> Option<Leg> {
        let Which::Fork(winner) = which else {
            // The caller's place must not be empty: the other side takes it.
            let winner = self.winner.take()?;
            let fork = self.forks.remove(winner);
            return Some(std::mem::replace(&mut self.caller, fork.leg));
        };
        self.winner = None;
        (winner < self.forks.len()).then(|| self.forks.remove(winner).leg)
    }

    fn transferred_to_service(&mut self, desk: &mut Desk, stays: Which, serving: Serving) {
        let Some(transfer) = self.transfer.take() else { return };
        let by = transfer.by;
        let held = self.finish_transfer(desk, transfer, serving.to_string(), None);
        // A side without another is the caller of a service.
        if let Which::Fork(_) = stays
            && let Some(leg) = self.give_away_fork(stays)
        {
            self.replace(desk, by, leg);
        }
        self.winner = None;
        self.service = Some(serving);
        self.attend(desk);
        if held {
            self.offer_direction(desk, Which::Caller, None, Direction::SendRecv);
        }
    }

    fn give_away_fork(&mut self, which: Which) -> Option<Leg> {
        let Which::Fork(index) = which else { return None };
        (index < self.forks.len()).then(|| self.forks.remove(index).leg)
    }

    /// Tells everybody, and puts the new leg in its place. Tells whether the side that stays was on hold.
    fn finish_transfer(&mut self, desk: &mut Desk, transfer: Transfer, to: String, leg: Option<Leg>) -> bool {
        let Transfer { by, report, .. } = transfer;
        if let Some(report) = report {
            let _ = desk.endpoint.report_transfer(report, StatusCode::OK, None, desk.now);
        }
        let (label, held) = self
            .leg_mut(by)
            .map(|leg| (leg.label.clone(), leg.direction != Direction::SendRecv))
            .unwrap_or_default();
        desk.tell(Event::CallTransferred { call: self.number, by: label, to });
        let Some(leg) = leg else {
            if let Some(asked) = self.leg_mut(by) {
                asked.leave(desk);
            }
            return held;
        };
        let takes_back = leg.direction != Direction::SendRecv;
        self.replace(desk, by, leg);
        if let Some(winner) = self.winner {
            self.join(desk, winner);
        }
        if held && let Some(stays) = self.stays(by) {
            self.offer_direction(desk, stays, None, Direction::SendRecv);
        }
        if takes_back {
            self.offer_direction(desk, by, None, Direction::SendRecv);
        }
        held
    }

    /// Puts a leg in the place of another, which is let go.
    fn replace(&mut self, desk: &mut Desk, which: Which, leg: Leg) {
        let Some(place) = self.leg_mut(which) else { return };
        let mut old = std::mem::replace(place, leg);
        old.leave(desk);
        self.leaving.push(old);
        self.change = None;
    }

    /// Lets go of the forks from `first` on, but for one.
    pub(super) fn hang_up_from(&mut self, desk: &mut Desk, first: usize, but: Option<usize>) {
        for (index, fork) in self.forks.iter_mut().enumerate().skip(first) {
            if Some(index) != but {
                fork.leg.leave(desk);
            }
        }
    }

    /// The side that is joined to this one, whether this one is still there or not.
    fn stays(&self, by: Which) -> Option<Which> {
        match by {
            Which::Caller => self.winner.map(Which::Fork),
            Which::Fork(_) => Some(Which::Caller),
            Which::Leaving(_) => None,
        }
    }

    /// A side as somebody who calls.
    fn party(&self, desk: &Desk, which: Which) -> Caller {
        let fork = match which {
            Which::Fork(index) => self.forks.get(index),
            Which::Caller | Which::Leaving(_) => None,
        };
        let Some(fork) = fork else { return self.caller().clone() };
        Caller::extension(&fork.plan.who, desk).unwrap_or_else(|| Caller {
            kind: match &self.reaches {
                Destination::Trunk { trunk, .. } => CallerKind::Trunk(trunk.clone()),
                _ => CallerKind::Extension,
            },
            number: self.origin.dialled.clone(),
            name: String::new(),
            withheld: false,
            intercom: false,
            voice: fork.plan.voice.clone(),
        })
    }
}

impl Leg {
    /// Lets its peer go, and gives its ports up.
    pub(super) fn leave(&mut self, desk: &mut Desk) {
        if let Some(handle) = self.handle {
            // A handle whose end is under way already refuses the command; its end comes as an event all the same.
            let _ = desk.endpoint.hang_up(handle, &Headers::new(), desk.now);
        }
        self.close(desk);
    }
}
