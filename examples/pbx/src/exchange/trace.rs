//! Traces: copies of the signalling that goes in and out, of everything, one telephone or one call.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use denwa_sip_core::io::{Input, Protocol, StreamId, Transmit};

/// What a trace holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everything.
    All,
    /// What names an extension or comes from or goes to where it is registered.
    Phone(String),
    /// What belongs to a call that is going on.
    Call(u64),
}

/// A copy of something that went in or out; several messages or parts of one when it came over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub at: SystemTime,
    /// Over which transport.
    pub protocol: Protocol,
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// The bytes, decrypted.
    pub payload: Bytes,
}

/// What of the exchange decides whether a packet belongs to a trace.
pub(super) trait Belongs {
    /// The Call-IDs of a call's legs.
    fn call_ids(&self, call: u64) -> Vec<String>;
    /// Where an extension is registered.
    fn phones(&self, number: &str) -> Vec<SocketAddr>;
}

/// The traces under way. While there is none, a packet costs one look.
#[derive(Debug, Default)]
pub(super) struct Traces {
    wanted: BTreeMap<u64, Filter>,
    streams: HashMap<StreamId, (Protocol, SocketAddr, SocketAddr)>,
}

impl Traces {
    pub(super) fn begin(&mut self, ticket: u64, filter: Filter) {
        self.wanted.insert(ticket, filter);
    }

    pub(super) fn end(&mut self, ticket: u64) {
        self.wanted.remove(&ticket);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Keeps account of connections, so that what travels over them has addresses.
    pub(super) fn note(&mut self, input: &Input<'_>) {
        match input {
            Input::StreamOpened { stream, protocol, local, remote, .. } => {
                self.streams.insert(*stream, (*protocol, *local, *remote));
            }
            Input::StreamClosed { stream } => drop(self.streams.remove(stream)),
            _ => {}
        }
    }

    /// Something came in.
    pub(super) fn incoming(&self, input: &Input<'_>, at: SystemTime) -> Option<Packet> {
        let (protocol, local, remote, payload) = match input {
            Input::Datagram { local, remote, payload } => (Protocol::Udp, *local, *remote, *payload),
            Input::StreamData { stream, payload } => {
                let (protocol, local, remote) = *self.streams.get(stream)?;
                (protocol, local, remote, *payload)
            }
            _ => return None,
        };
        Some(Packet { at, protocol, from: remote, to: local, payload: Bytes::copy_from_slice(payload) })
    }

    /// Something goes out.
    pub(super) fn outgoing(&self, transmit: &Transmit, at: SystemTime) -> Option<Packet> {
        let opened = transmit.stream.and_then(|stream| self.streams.get(&stream));
        let from = opened.map(|(_, local, _)| *local).or(transmit.source);
        let any = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 5060);
        Some(Packet {
            at,
            protocol: transmit.protocol,
            from: from.unwrap_or(any),
            to: transmit.destination,
            payload: transmit.payload.clone(),
        })
    }

    /// The traces a packet belongs to.
    pub(super) fn of(&self, packet: &Packet, belongs: &impl Belongs) -> Vec<u64> {
        let is_of = |filter: &Filter| match filter {
            Filter::All => true,
            Filter::Phone(number) => {
                let places = belongs.phones(number);
                places.contains(&packet.from)
                    || places.contains(&packet.to)
                    || contains(&packet.payload, format!(":{number}@").as_bytes())
            }
            Filter::Call(call) => {
                belongs.call_ids(*call).iter().any(|id| contains(&packet.payload, id.as_bytes()))
            }
        };
        self.wanted.iter().filter(|(_, filter)| is_of(filter)).map(|(ticket, _)| *ticket).collect()
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && text.windows(wanted.len()).any(|window| window == wanted)
}
