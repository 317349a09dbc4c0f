//! Messages of stubborn peers put right on their way in and out, by the rules of the file: `[[rewrites]]`.
//!
//! This is the outermost layer: nothing within sees what a rule has changed. A trace shows what was on the wire.

use std::collections::HashMap;
use std::net::SocketAddr;

use denwa::rules::{Messages, Rules};
use denwa_sip_core::io::{Input as SipInput, Protocol, StreamId, Transmit};

use super::desk::Desk;
use crate::config::{Rewrite, RewritePeer};

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Rewriting {
    rewrites: Vec<Rewrite>,
    streams: HashMap<StreamId, (Protocol, SocketAddr, Messages)>,
}

impl Rewriting {
    pub(super) fn new(rewrites: &[Rewrite]) -> Self {
        Self { rewrites: rewrites.to_vec(), streams: HashMap::new() }
    }

    /// The file has changed; connections stay.
    pub(super) fn reload(&mut self, rewrites: &[Rewrite]) {
        self.rewrites = rewrites.to_vec();
    }

    /// What is to be read in the place of an input; `None`: the input itself. A connection's bytes become whole messages.
    pub(super) fn received(&mut self, desk: &Desk, input: &SipInput<'_>) -> Option<Vec<Vec<u8>>> {
        match input {
            SipInput::StreamOpened { stream, protocol, remote, .. } => {
                self.streams.insert(*stream, (*protocol, *remote, Messages::default()));
                None
            }
            SipInput::StreamClosed { stream } => {
                self.streams.remove(stream);
                None
            }
            _ if self.rewrites.is_empty() => None,
            SipInput::Datagram { remote, payload, .. } => {
                let rules = self.rules_of(desk, Protocol::Udp, *remote)?;
                rules.received(payload).map(|message| vec![message])
            }
            SipInput::StreamData { stream, payload } => {
                let (protocol, remote, _) = self.streams.get(stream)?;
                let rules = self.rules_of(desk, *protocol, *remote)?;
                let (_, _, messages) = self.streams.get_mut(stream)?;
                let whole = messages.push(payload).into_iter();
                Some(whole.map(|message| rules.received(&message).unwrap_or(message)).collect())
            }
            _ => None,
        }
    }

    /// Rewrites what is about to leave.
    pub(super) fn sent(&self, desk: &Desk, transmit: &mut Transmit) {
        if self.rewrites.is_empty() {
            return;
        }
        let rules = self.rules_of(desk, transmit.protocol, transmit.destination);
        if let Some(rewritten) = rules.and_then(|rules| rules.sent(&transmit.payload)) {
            transmit.payload = rewritten.into();
        }
    }

    /// The rules for a peer; `None` when there are none.
    fn rules_of(&self, desk: &Desk, protocol: Protocol, remote: SocketAddr) -> Option<Rules> {
        let is_registered =
            |number: &str| desk.endpoint.bindings(number).iter().any(|binding| binding.flow.remote == remote);
        let is_meant = |rewrite: &&Rewrite| match &rewrite.peer {
            RewritePeer::Trunk(name) => {
                let link = desk.links.from(protocol, remote).filter(|link| link.trunk.name == *name);
                let inbound = desk.links.get(name).and_then(|link| link.trunk.inbound.as_ref());
                link.is_some() || inbound.is_some_and(|inbound| is_registered(&inbound.user))
            }
            RewritePeer::Extension(number) => is_registered(number),
            RewritePeer::Network(network) => network.contains(remote.ip().to_canonical()),
        };
        let rules: Rules =
            self.rewrites.iter().filter(is_meant).map(|rewrite| rewrite.rule.clone()).collect();
        (!rules.is_empty()).then_some(rules)
    }
}
