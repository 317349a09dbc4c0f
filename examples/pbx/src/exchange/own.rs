//! Calls that the exchange makes by itself: nobody is at the caller's end until somebody answers; he takes that place then,
//! and is served.

use denwa_sip_core::endpoint::Headers;

use super::call::{Call, Stage};
use super::desk::Desk;
use super::invitation::{Caller, Origin};
use super::leg::Leg;
use super::planned::{Journey, described};
use super::reach::{Attempt, Reach};
use super::{Event, Exchange};
use crate::route::Destination;
use crate::services::Serving;
use crate::why::End;

impl Exchange {
    /// Calls `reaches` for `caller`, who is the exchange, and serves whoever answers; the call's number.
    pub(super) fn call_out(
        &mut self,
        caller: Caller,
        dialled: &str,
        (reach, attempt): (Reach, Attempt),
        serving: Serving,
    ) -> u64 {
        let desk = &mut self.desk;
        let number = desk.new_call();
        let reaches = reach.current.clone();
        desk.tell(Event::CallBegan {
            call: number,
            caller: format!("{} (this exchange)", caller.number),
            dialled: dialled.to_owned(),
            reaches: described(&reaches),
        });
        let origin = Origin { caller, dialled: dialled.to_owned(), came: None };
        let (nobody, journey) = (Leg::nobody(desk), Journey::own(&desk.setup.name));
        let mut call = Call::new(number, origin, nobody, journey, (reaches, reach), desk.now);
        // Nobody has offered anything: the description is ours.
        call.offer_is_ours = true;
        call.service = Some(serving);
        self.insert(call);
        self.with_call(number, |call, desk| call.try_attempt(desk, attempt));
        number
    }
}

impl Call {
    /// Whether the exchange makes it by itself.
    pub(super) fn is_own(&self) -> bool {
        self.origin.came.is_none()
    }

    /// Somebody answered: he has the caller's place, and is served.
    pub(super) fn own_answered(&mut self, desk: &mut Desk, index: usize) {
        let elsewhere = Headers::new()
            .with("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"")
            .unwrap_or_default();
        self.planned.clear();
        self.deadline = None;
        for (other, fork) in self.forks.iter_mut().enumerate().filter(|(other, _)| *other != index) {
            let _ = other;
            if let Some(handle) = fork.leg.handle {
                // A handle whose end is under way already refuses the command; its end comes as an event all the same.
                let _ = desk.endpoint.hang_up(handle, &elsewhere, desk.now);
            }
            fork.leg.close(desk);
        }
        // Its place is behind those of all forks that names refer to.
        let fork = self.forks.remove(index);
        let label = fork.leg.label.clone();
        self.served = Caller::extension(&fork.plan.who, desk);
        self.caller = fork.leg;
        self.first = self.forks.len();
        self.stage = Stage::Talking;
        self.answered = Some(desk.now);
        self.tell_answered(desk, label);
        self.attend(desk);
    }
}

impl Reach {
    /// The telephones of an extension itself, or a neighbour, without any forwarding. Who is not to be disturbed is passed
    /// over unless he asked for the call himself.
    pub(super) fn directly(
        desk: &mut Desk,
        caller: &Caller,
        destination: Destination,
        was_asked_for: bool,
    ) -> Result<(Self, Attempt), End> {
        let mut reach = Self::nowhere(destination.clone());
        reach.ring = desk.setup.ring;
        let planned = match &destination {
            Destination::Extension(number) if was_asked_for => {
                super::planned::phones(desk, caller, None, number)?
            }
            Destination::Extension(number) => super::reach::undisturbed(desk, caller, None, number)?,
            Destination::Trunk { trunk, number } => {
                super::reach::may_go_out(desk, trunk, number, false)?;
                super::planned::trunk(desk, None, trunk, number, None, 0)?
            }
            _ => return Err(End::UnknownNumber),
        };
        let ring = reach.ring;
        Ok((reach, Attempt::Ring(planned, ring)))
    }
}
