//! Messages of stubborn peers, rewritten at the edge of the machine by the rules of their side. Nothing above needs to know.

use super::Gateway;
use denwa::rules::{Messages, Rules};
use denwa_sip_core::io::Input;
use denwa_sip_core::{Protocol, StreamId, Transmit};
use std::net::SocketAddr;
use std::time::Instant;

impl Gateway {
    /// The rules for a peer at this address.
    fn rules_at(&self, remote: SocketAddr, protocol: Protocol) -> Option<&Rules> {
        if matches!(protocol, Protocol::Ws | Protocol::Wss) {
            return None;
        }
        let rules = &self.side(self.peer_at(remote)?)?.rules;
        (!rules.is_empty()).then_some(rules)
    }

    /// Hands the endpoint what came, as the rules have it.
    pub(super) fn receive(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Datagram { local, remote, payload } => {
                let rewritten =
                    self.rules_at(remote, Protocol::Udp).and_then(|rules| rules.received(payload));
                let payload = rewritten.as_deref().unwrap_or(payload);
                self.endpoint.handle_input(Input::Datagram { local, remote, payload }, now);
            }
            Input::StreamOpened { stream, remote, protocol, .. } => {
                if self.rules_at(remote, protocol).is_some() {
                    self.cut.insert(stream, (remote, Messages::default()));
                }
                self.endpoint.handle_input(input, now);
            }
            Input::StreamData { stream, payload } if self.cut.contains_key(&stream) => {
                for message in self.cut_messages(stream, payload) {
                    self.endpoint.handle_input(Input::StreamData { stream, payload: &message }, now);
                }
            }
            Input::StreamClosed { stream } => {
                self.cut.remove(&stream);
                self.endpoint.handle_input(input, now);
            }
            other => self.endpoint.handle_input(other, now),
        }
    }

    fn cut_messages(&mut self, stream: StreamId, payload: &[u8]) -> Vec<Vec<u8>> {
        let Some((remote, messages)) = self.cut.get_mut(&stream) else { return Vec::new() };
        let (remote, whole) = (*remote, messages.push(payload));
        let Some(rules) = self.rules_at(remote, Protocol::Tcp) else { return whole };
        whole.into_iter().map(|message| rules.received(&message).unwrap_or(message)).collect()
    }

    /// What is to be sent, as the rules have it.
    pub(super) fn rewritten(&self, mut transmit: Transmit) -> Transmit {
        let rules = self.rules_at(transmit.destination, transmit.protocol);
        if let Some(payload) = rules.and_then(|rules| rules.sent(&transmit.payload)) {
            transmit.payload = payload.into();
        }
        transmit
    }
}
