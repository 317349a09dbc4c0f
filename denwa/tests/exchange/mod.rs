//! A bridge on virtual time with telephones around it, packet by packet.
#![allow(dead_code)]

use denwa::Seed;
use denwa::bridge::{
    Action, BridgeConfig, Command, Connection, Event, Input, LegId, LegSpec, MediaBridge, Output, Path,
};
use denwa::media::StreamParameters;
use denwa_rtp::packet::{Header, Packet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) const PTIME: Duration = Duration::from_millis(20);

/// A bridge, the clock, and everything it said and sent.
pub(crate) struct Exchange {
    pub(crate) bridge: MediaBridge,
    pub(crate) now: Instant,
    pub(crate) outputs: Vec<Output>,
}

/// A telephone that sends numbered packets.
pub(crate) struct Phone {
    pub(crate) leg: LegId,
    pub(crate) address: SocketAddr,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

/// What arrived at a phone.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) leg: LegId,
    pub(crate) to: SocketAddr,
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn spec(port: u16) -> LegSpec {
    LegSpec {
        group: 1,
        rtp: SocketAddr::from(([10, 0, 0, 1], port)),
        rtcp: SocketAddr::from(([10, 0, 0, 1], port + 1)),
        silence_after: Duration::from_secs(30),
        cname: "leg".into(),
    }
}

impl Exchange {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let config = BridgeConfig::new(Duration::from_secs(1_700_000_000), now);
        Self { bridge: MediaBridge::new(config, Seed([9; 32]), now), now, outputs: Vec::new() }
    }

    pub(crate) fn command(&mut self, command: Command) -> Vec<Event> {
        self.bridge.command(command, self.now).unwrap();
        self.events()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(output) = self.bridge.poll_output() {
            match output {
                Output::Event(event) => events.push(event),
                other => self.outputs.push(other),
            }
        }
        events
    }

    /// A leg that is open and has agreed with its phone.
    pub(crate) fn leg(&mut self, leg: LegId, parameters: StreamParameters) {
        let spec = spec(20_000 + 2 * leg.0 as u16);
        let (rtp, rtcp) = (spec.rtp, spec.rtcp);
        self.command(Command::Open { leg, spec });
        self.bridge.handle_input(Input::Bound { leg, rtp, rtcp }, self.now);
        assert_eq!(self.events(), [Event::Opened { leg, rtp, rtcp }]);
        self.command(Command::Configure { leg, stream: Box::new(parameters) });
    }

    pub(crate) fn join(&mut self, leg: LegId, to: Connection) {
        assert_eq!(self.command(Command::Connect { leg, to }), []);
    }

    pub(crate) fn hear(&mut self, phone: &mut Phone, payload_type: u8, payload: &[u8]) -> Option<Heard> {
        let packet = phone.packet(payload_type, false, payload);
        self.receive(phone.leg, phone.address, &packet)
    }

    pub(crate) fn receive(&mut self, leg: LegId, from: SocketAddr, packet: &[u8]) -> Option<Heard> {
        let mut buffer = vec![0; 2048];
        buffer[..packet.len()].copy_from_slice(packet);
        match self.bridge.receive(leg, Path::from(from), &mut buffer, packet.len(), self.now) {
            Action::Forward(forward) => Some(heard(forward.leg, forward.destination, forward.bytes)),
            Action::Consumed | Action::Dropped(_) => None,
        }
    }

    /// Lets time pass as a driver does; gives what sources played and the events told.
    pub(crate) fn pass(&mut self, by: Duration) -> (Vec<(Duration, Heard)>, Vec<Event>) {
        let (start, goal) = (self.now, self.now + by);
        let (mut played, mut events) = (Vec::new(), Vec::new());
        while let Some(deadline) = self.bridge.poll_timeout().filter(|deadline| *deadline <= goal) {
            self.now = self.now.max(deadline);
            self.bridge.handle_timeout(self.now);
            let mut buffer = vec![0; 2048];
            while let Some(out) = self.bridge.next_frame(&mut buffer, self.now) {
                played.push((self.now - start, heard(out.leg, out.destination, &buffer[..out.length])));
            }
            events.extend(self.events());
            assert!(self.bridge.poll_timeout().is_none_or(|next| next > self.now), "law 3");
        }
        self.now = goal;
        (played, events)
    }
}

pub(crate) fn heard(leg: LegId, to: SocketAddr, bytes: &[u8]) -> Heard {
    let packet = Packet::parse(bytes).unwrap();
    Heard {
        leg,
        to,
        payload_type: packet.payload_type(),
        marker: packet.marker(),
        sequence: packet.sequence(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
        payload: packet.payload().to_vec(),
    }
}

impl Phone {
    pub(crate) fn new(leg: LegId, address: &str) -> Self {
        let id = leg.0 as u32;
        Self {
            leg,
            address: socket(address),
            ssrc: 0x1000 * id,
            sequence: 100 * id as u16,
            timestamp: 8000 * id,
        }
    }

    pub(crate) fn packet(&mut self, payload_type: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        let header = Header {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        let mut packet = vec![0; 12 + payload.len()];
        header.write(payload, &mut packet).unwrap();
        packet
    }
}
