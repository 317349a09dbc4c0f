//! Traces: copies of what goes in and out, signalling and voice, of everything, one telephone or one call.
//!
//! Voice is copied by the media plane, of few legs at a time: a trace may cost, but not the calls.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use denwa::bridge::{Command, Copied, LegId};
use denwa_sip_core::io::{Input, Protocol, StreamId, Transmit};

use super::call::Call;
use super::{Exchange, Output};

/// The most legs whose voice is copied at a time.
const MOST_COPIED: usize = 64;

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

/// What a trace is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub filter: Filter,
    /// Whether voice, too.
    pub voice: bool,
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
    wanted: BTreeMap<u64, Wanted>,
    /// The legs whose voice is copied, and for which call.
    copied: HashMap<LegId, u64>,
    streams: HashMap<StreamId, (Protocol, SocketAddr, SocketAddr)>,
}

impl Traces {
    pub(super) fn begin(&mut self, ticket: u64, wanted: Wanted) {
        self.wanted.insert(ticket, wanted);
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
        self.wanted.iter().filter(|(_, wanted)| is_of(&wanted.filter)).map(|(ticket, _)| *ticket).collect()
    }

    /// The traces that hold the voice of a call.
    fn of_voice(&self, call: &Call) -> Vec<u64> {
        let is_of = |wanted: &Wanted| match &wanted.filter {
            Filter::All => true,
            Filter::Phone(number) => call.lines().contains(number),
            Filter::Call(number) => call.number == *number,
        };
        self.wanted
            .iter()
            .filter(|(_, wanted)| wanted.voice && is_of(wanted))
            .map(|(ticket, _)| *ticket)
            .collect()
    }
}

impl Exchange {
    /// Has the media side copy what traces want, and nothing else.
    pub(super) fn copy_voice(&mut self) {
        if self.traces.is_empty() && self.traces.copied.is_empty() {
            return;
        }
        let mut wanted: HashMap<LegId, u64> = HashMap::new();
        for call in self.calls.values().filter(|call| !self.traces.of_voice(call).is_empty()) {
            wanted.extend(call.open_legs().map(|leg| (leg, call.number)));
        }
        let copied = &mut self.traces.copied;
        copied.retain(|leg, _| {
            let stays = wanted.contains_key(leg);
            if !stays && self.desk.call_of_leg(*leg).is_some() {
                self.desk.media(Command::Copy { leg: *leg, wanted: false });
            }
            stays
        });
        for (leg, call) in wanted {
            if copied.len() < MOST_COPIED && copied.insert(leg, call).is_none() {
                self.desk.media(Command::Copy { leg, wanted: true });
            }
        }
    }

    /// A datagram of voice was copied.
    pub(super) fn voice_copied(&mut self, leg: LegId, copy: Copied) {
        let call = self.traces.copied.get(&leg).and_then(|call| self.calls.get(call));
        let Some(tickets) = call.map(|call| self.traces.of_voice(call)) else { return };
        let Copied { at, from, to, payload, .. } = copy;
        let packet = Packet { at: self.desk.time_of_day(at), protocol: Protocol::Udp, from, to, payload };
        for ticket in tickets {
            self.desk.put(Output::Traced { ticket, packet: packet.clone() });
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && text.windows(wanted.len()).any(|window| window == wanted)
}
