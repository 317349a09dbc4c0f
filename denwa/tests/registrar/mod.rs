//! A server on the virtual network that says one thing to everybody.

use crate::telephones::World;
use crate::virtual_host::Host;
use denwa::bridge;
use denwa::driver::{Answer, FromEndpoint, Machine, Output};
use denwa_sim::Node;
use denwa_sip_core::config::Listener;
use denwa_sip_core::endpoint::{Endpoint, EndpointConfig, Event, Headers, Reply};
use denwa_sip_core::header::HeaderName;
use denwa_sip_core::io::{Input, Provided};
use denwa_sip_core::{Protocol, Seed, StatusCode};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// What it says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// 200 to everything; whoever registers is registered.
    Welcome,
    /// Whatever password it gets, it wants another.
    Challenge,
    Status(StatusCode),
    Nothing,
}

pub(crate) struct Registrar {
    pub(crate) says: Says,
    endpoint: Endpoint,
    outputs: VecDeque<Output<String>>,
}

pub(crate) fn start(world: &mut World, address: &str, says: Says) -> Node<Host<Registrar>> {
    let address = SocketAddr::new(address.parse().unwrap(), 5060);
    let host = world.network.add_host("office", world.internet, &[address.ip()]).unwrap();
    let now = world.network.now();
    let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address)]);
    let endpoint = Endpoint::new(config, Seed([5; 32]), now);
    let registrar = Registrar { says, endpoint, outputs: VecDeque::new() };
    let host_machine = Host::new(registrar, 9, now, Box::new(|_, line, _| Some(line)));
    let node = world.network.add_machine(host, host_machine).unwrap();
    world.network.bind(node, denwa_sim::Protocol::Udp, address).unwrap();
    node
}

impl Registrar {
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output.into() {
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
                FromEndpoint::Lookup { id, .. } => {
                    self.endpoint.handle_input(Input::Provided { id, provided: Provided::Nothing }, now);
                }
                FromEndpoint::Event(Event::Incoming { request, message, .. }) => {
                    let reply = match self.says {
                        Says::Welcome => {
                            let contact = message.get(HeaderName::Contact).unwrap_or("<sip:nobody@office>");
                            let headers = Headers::new().with("Contact", format!("{contact};expires=60"));
                            Reply::new(StatusCode::OK).with_headers(headers.unwrap())
                        }
                        Says::Challenge => {
                            let challenge =
                                "Digest realm=\"office\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
                            let headers = Headers::new().with("WWW-Authenticate", challenge).unwrap();
                            Reply::new(StatusCode::UNAUTHORIZED).with_headers(headers)
                        }
                        Says::Status(status) => Reply::new(status),
                        Says::Nothing => return,
                    };
                    self.endpoint.respond(request, &reply, now).unwrap();
                }
                FromEndpoint::Event(_) => {}
            }
        }
    }
}

impl Machine for Registrar {
    type Command = ();
    type Event = String;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        if !matches!(self.says, Says::Nothing) {
            self.endpoint.handle_input(input, now);
        }
        self.drain(now);
    }

    fn handle_media(&mut self, _: bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, (): (), _: Instant) {}

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<String>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }
}
