//! The flows of an account (RFC 5626): registrations of one device, each by a server of its own. Requests go by the first that stands.

use super::Server;
use denwa_sip_core::endpoint::RegistrationHandle;
use std::net::IpAddr;

/// One registration of an account.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) registration: RegistrationHandle,
    /// By which server; `None`: by the one that the address leads to.
    pub(super) server: Option<Server>,
    is_registered: bool,
    service_route: Vec<String>,
}

impl Flow {
    pub(super) const fn new(registration: RegistrationHandle, server: Option<Server>) -> Self {
        Self { registration, server, is_registered: false, service_route: Vec::new() }
    }
}

/// All of them, in the order of preference.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: Vec<Flow>,
    /// By which servers requests go (RFC 3608): as the flow in use said, or the last that was.
    service_route: Vec<String>,
}

impl Flows {
    pub(super) fn begin(&mut self, flows: Vec<Flow>) {
        *self = Self { flows, service_route: Vec::new() };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub(super) fn registrations(&self) -> Vec<RegistrationHandle> {
        self.flows.iter().map(|flow| flow.registration).collect()
    }

    pub(super) fn has(&self, registration: RegistrationHandle) -> bool {
        self.flows.iter().any(|flow| flow.registration == registration)
    }

    pub(super) fn in_use(&self) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.is_registered)
    }

    /// How many stand.
    pub(super) fn standing(&self) -> usize {
        self.flows.iter().filter(|flow| flow.is_registered).count()
    }

    pub(super) fn service_route(&self) -> &[String] {
        &self.service_route
    }

    /// One stands. Says whether it is the one in use.
    pub(super) fn stands(&mut self, registration: RegistrationHandle, service_route: Vec<String>) -> bool {
        if let Some(flow) = self.flows.iter_mut().find(|flow| flow.registration == registration) {
            (flow.is_registered, flow.service_route) = (true, service_route);
        }
        self.settle();
        self.in_use().is_some_and(|flow| flow.registration == registration)
    }

    /// One fell; another attempt is made. Gives its server.
    pub(super) fn fell(&mut self, registration: RegistrationHandle) -> Option<Server> {
        let flow = self.flows.iter_mut().find(|flow| flow.registration == registration)?;
        flow.is_registered = false;
        let server = flow.server.clone();
        self.settle();
        server
    }

    /// One is over.
    pub(super) fn forget(&mut self, registration: RegistrationHandle) -> Option<Server> {
        let server = self.fell(registration);
        self.flows.retain(|flow| flow.registration != registration);
        server
    }

    fn settle(&mut self) {
        if let Some(flow) = self.in_use() {
            self.service_route = flow.service_route.clone();
        }
    }
}

/// Whether a server is at this address.
pub(super) fn is_at(server: &Server, address: IpAddr) -> bool {
    server.address.ip().to_canonical() == address.to_canonical()
}
