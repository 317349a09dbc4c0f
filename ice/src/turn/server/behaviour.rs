//! Binding requests, and what RFC 5780 adds to them: answers from the other address or port, to another port, and of any size.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{ClientPath, Server, ServerOutput};
use crate::io::{Protocol, Transmit};
use crate::stun::attribute::{
    ChangeRequest, MappedAddress, OtherAddress, Padding, ResponseOrigin, ResponsePort, XorMappedAddress,
};
use crate::stun::{AttributeKind, Class, Message, Method, Writer};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;

/// What one may ask for with a Binding request at a server with two addresses.
const DISCOVERY: [AttributeKind; 3] =
    [AttributeKind::CHANGE_REQUEST, AttributeKind::RESPONSE_PORT, AttributeKind::PADDING];

impl Server {
    pub(super) fn handle_binding(&mut self, message: &Message<'_>, path: &ClientPath, now: Instant) {
        let discovers = self.config.behaviour.is_some() && path.protocol == Protocol::Udp;
        let known = |kind: AttributeKind| match kind {
            _ if DISCOVERY.contains(&kind) => discovers,
            AttributeKind::USERNAME
            | AttributeKind::USERHASH
            | AttributeKind::REALM
            | AttributeKind::NONCE
            | AttributeKind::PASSWORD_ALGORITHM
            | AttributeKind::PRIORITY
            | AttributeKind::USE_CANDIDATE => true,
            _ => false,
        };
        if message.unknown_required(known).next().is_some() {
            return self.refuse_unknown(message, path, known, now);
        }
        let origin = self.origin(message, path).filter(|_| discovers).unwrap_or(path.local);
        let port = message.get::<ResponsePort>().ok().flatten().filter(|_| discovers);
        let destination = port.map_or(path.remote, |port| SocketAddr::new(path.remote.ip(), port.0));
        let mut buffer = [0; 2048];
        let mut writer = Writer::new(&mut buffer, Class::Success, Method::BINDING, message.id());
        writer.put(&XorMappedAddress(path.remote));
        if let Some(addresses) = self.config.behaviour.filter(|_| discovers) {
            writer.put(&MappedAddress(path.remote));
            writer.put(&ResponseOrigin(origin));
            let other = if path.local.ip() == addresses.primary.ip() {
                addresses.alternate.ip()
            } else {
                addresses.primary.ip()
            };
            let other_port = if path.local.port() == addresses.primary.port() {
                addresses.alternate.port()
            } else {
                addresses.primary.port()
            };
            writer.put(&OtherAddress(SocketAddr::new(other, other_port)));
            // As large as the request's, never larger: no amplification (RFC 5780 section 7.6).
            if let Ok(Some(Padding(bytes))) = message.get() {
                let most = [0; 1400];
                writer.put(&Padding(most.get(..bytes.len().min(1400)).unwrap_or_default()));
            }
        }
        if message.fingerprint().is_some() {
            writer.fingerprint();
        }
        let Ok(length) = writer.finish() else { return };
        if !self.strangers.may_answer(path.remote.ip(), message.bytes().len(), length, now) {
            return;
        }
        self.outputs.push_back(ServerOutput::Transmit(Transmit {
            source: Some(origin),
            destination,
            protocol: path.protocol,
            stream: path.stream,
            payload: Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default()),
        }));
    }

    /// Where CHANGE-REQUEST wants the answer to come from.
    fn origin(&self, message: &Message<'_>, path: &ClientPath) -> Option<SocketAddr> {
        let addresses = self.config.behaviour?;
        let change = message.get::<ChangeRequest>().ok().flatten()?;
        let swap = |this: bool| if this { addresses.alternate } else { addresses.primary };
        let at_primary_address = path.local.ip() == addresses.primary.ip();
        let at_primary_port = path.local.port() == addresses.primary.port();
        let address = swap(at_primary_address == change.address()).ip();
        let port = swap(at_primary_port == change.port()).port();
        Some(SocketAddr::new(address, port))
    }
}
