//! Commands about registrations with registrars elsewhere.

use super::Endpoint;
use crate::{
    command::{Outbound, Register},
    error::Misuse,
    handle::RegistrationHandle,
    limits::Limit,
    registrar::gruu,
    registration::{OutboundFlow, Registration},
    upkeep::Upkeep,
};
use std::time::Instant;

impl Endpoint {
    /// Registers, and keeps registered until `unregister`.
    ///
    /// # Errors
    /// [`Misuse::Limit`] when there are too many.
    pub fn register(&mut self, register: Register, now: Instant) -> Result<RegistrationHandle, Misuse> {
        self.register_over(register, None, now)
    }

    fn register_over(
        &mut self,
        register: Register,
        outbound: Option<OutboundFlow>,
        now: Instant,
    ) -> Result<RegistrationHandle, Misuse> {
        self.enter(now);
        let face = self.face(&register.local);
        let cx = &mut self.cx;
        if self.registrations.len() >= cx.config.limits.requests {
            return Err(Misuse::Limit(Limit::Requests));
        }
        let auth = cx.keep_credentials(register.credentials);
        let (call_id, tag) = (cx.new_call_id(), cx.tag());
        let handle = self.registrations.insert_with(|handle| {
            Box::new(Registration {
                handle,
                face,
                address_of_record: register.address_of_record,
                registrar: register.registrar,
                target: register.target,
                routes: register.routes,
                headers: register.headers,
                auth,
                call_id,
                tag,
                outbound,
                granted: None,
                upkeep: Upkeep::new(register.expires),
            })
        });
        let handle = handle.ok_or(Misuse::Limit(Limit::Requests))?;
        if let Some(registration) = self.registrations.get_mut(handle) {
            registration.ask(&mut self.cx);
        }
        self.settle();
        Ok(handle)
    }

    /// Registers one device over several flows, each with a registration of its own, each kept alive (RFC 5626 §4.2).
    /// A flow that is lost is made anew at once.
    ///
    /// # Errors
    /// As [`Endpoint::register`]; [`Misuse::WrongState`] without any flow.
    pub fn register_outbound(
        &mut self,
        register: &Register,
        outbound: &Outbound,
        now: Instant,
    ) -> Result<Vec<RegistrationHandle>, Misuse> {
        if outbound.flows.is_empty() {
            return Err(Misuse::WrongState);
        }
        let group = self.cx.random.u64();
        let instance = format!("<{}>", gruu::bare(&outbound.instance));
        let mut handles = Vec::new();
        for (target, id) in outbound.flows.iter().zip(1_u32..) {
            let mut register = register.clone();
            register.target = target.clone();
            let parameters = format!(";+sip.instance=\"{instance}\";reg-id={id}");
            register.local.contact_parameters.push_str(&parameters);
            let flow = OutboundFlow {
                group,
                instance: instance.clone(),
                keep_alive: outbound.keep_alive,
                flow: None,
            };
            handles.push(self.register_over(register, Some(flow), now)?);
        }
        Ok(handles)
    }

    /// Withdraws a registration. [`Event::RegistrationEnded`](crate::event::Event::RegistrationEnded) follows.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn unregister(&mut self, registration: RegistrationHandle, now: Instant) -> Result<(), Misuse> {
        self.enter(now);
        let held = self.registrations.get_mut(registration).ok_or(Misuse::UnknownHandle)?;
        held.withdraw(&mut self.cx);
        self.settle();
        Ok(())
    }

    /// Refreshes a registration at once: the network has changed.
    ///
    /// # Errors
    /// [`Misuse::UnknownHandle`].
    pub fn refresh_registration(
        &mut self,
        registration: RegistrationHandle,
        now: Instant,
    ) -> Result<(), Misuse> {
        self.enter(now);
        let held = self.registrations.get_mut(registration).ok_or(Misuse::UnknownHandle)?;
        if held.upkeep.due().is_some() {
            held.ask(&mut self.cx);
        }
        self.settle();
        Ok(())
    }
}
