//! Captures that Wireshark opens: pcapng with raw IP packets, one interface of the file for each interface of a host.
//!
//! Headers are made as a host would make them (RFC 791, 8200, 768, 9293, 792, 4443), checksums included, so that
//! nothing is marked as damaged.

use crate::machine::UnreachableReason;
use crate::packet::{Body, Packet, Segment, Transport};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A capture being made.
#[derive(Debug, Clone)]
pub struct Capture {
    bytes: Vec<u8>,
    interfaces: u32,
}

/// Raw IP: the packet begins with its IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;
/// Captures begin at this time of the calendar, in seconds since 1970: 2000-01-01.
const EPOCH_SECONDS: u64 = 946_684_800;

impl Default for Capture {
    fn default() -> Self {
        Self::new()
    }
}

impl Capture {
    /// An empty capture.
    #[must_use]
    pub fn new() -> Self {
        let mut capture = Self { bytes: Vec::new(), interfaces: 0 };
        let mut body = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
        body.extend([1, 0, 0, 0]); // version 1.0
        body.extend(u64::MAX.to_le_bytes()); // length of the section: not told
        capture.block(0x0A0D_0D0A, &body);
        capture
    }

    /// Adds an interface: its number.
    pub fn add_interface(&mut self, name: &str) -> u32 {
        let mut body = LINKTYPE_RAW.to_le_bytes().to_vec();
        body.extend([0; 6]); // reserved, no limit of length
        option(&mut body, 2, name.as_bytes());
        option(&mut body, 9, &[9]); // nanoseconds
        option(&mut body, 0, &[]);
        self.block(1, &body);
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Adds a packet.
    pub fn add(&mut self, interface: u32, at: Duration, packet: &Packet) {
        let wire = wire_form(packet);
        let nanos = (EPOCH_SECONDS as u128 * 1_000_000_000 + at.as_nanos()) as u64;
        let mut body = interface.to_le_bytes().to_vec();
        body.extend(((nanos >> 32) as u32).to_le_bytes());
        body.extend((nanos as u32).to_le_bytes());
        body.extend((wire.len() as u32).to_le_bytes());
        body.extend((wire.len() as u32).to_le_bytes());
        body.extend(&wire);
        pad(&mut body);
        self.block(6, &body);
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = body.len() as u32 + 12;
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(body);
        self.bytes.extend(length.to_le_bytes());
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The packet as it would be on a wire, from its IP header on.
#[must_use]
pub fn wire_form(packet: &Packet) -> Vec<u8> {
    let (protocol, mut inner) = match &packet.body {
        Body::Datagram(payload) => (17, udp(packet.source, packet.destination, payload)),
        Body::Segment(segment) => (6, tcp(packet.source, packet.destination, segment)),
        Body::Unreachable { transport, source, destination, reason } => {
            let v4 = packet.source.is_ipv4();
            (if v4 { 1 } else { 58 }, icmp(v4, *transport, *source, *destination, *reason))
        }
    };
    let place = match protocol {
        17 => 6,
        6 => 16,
        _ => 2,
    };
    let sum = checksum(&inner, if protocol == 1 { 0 } else { pseudo_sum(packet, protocol, inner.len()) });
    // UDP says "no checksum" by zero.
    let sum = if sum == 0 && protocol == 17 { 0xFFFF } else { sum };
    if let Some(room) = inner.get_mut(place..place + 2) {
        room.copy_from_slice(&sum.to_be_bytes());
    }
    ip(packet.source.ip(), packet.destination.ip(), protocol, packet.hops_left, &inner)
}

fn ip(source: IpAddr, destination: IpAddr, protocol: u8, hops: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40 + inner.len());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (20 + inner.len()) as u16;
            bytes.extend([
                0x45,
                0,
                (length >> 8) as u8,
                length as u8,
                0,
                0,
                0x40,
                0,
                hops + 32,
                protocol,
                0,
                0,
            ]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            let sum = checksum(&bytes, 0).to_be_bytes();
            bytes[10..12].copy_from_slice(&sum);
        }
        _ => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let length = inner.len() as u16;
            bytes.extend([0x60, 0, 0, 0, (length >> 8) as u8, length as u8, protocol, hops + 32]);
            bytes.extend(octets(source));
            bytes.extend(octets(destination));
        }
    }
    bytes.extend(inner);
    bytes
}

fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = source.port().to_be_bytes().to_vec();
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn tcp(source: SocketAddr, destination: SocketAddr, segment: &Segment) -> Vec<u8> {
    let mut bytes = source.port().to_be_bytes().to_vec();
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend((segment.sequence as u32).to_be_bytes());
    bytes.extend((segment.acknowledged as u32).to_be_bytes());
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(segment.last, 1)
        | flag(segment.open, 2)
        | flag(segment.reset, 4)
        | flag(!segment.payload.is_empty(), 8)
        | flag(segment.acknowledges, 16);
    bytes.extend([0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
    bytes.extend(&segment.payload);
    bytes
}

fn icmp(
    v4: bool,
    transport: Transport,
    source: SocketAddr,
    destination: SocketAddr,
    reason: UnreachableReason,
) -> Vec<u8> {
    let (kind, code) = match (v4, reason) {
        (true, UnreachableReason::Port) => (3, 3),
        (true, UnreachableReason::Host) => (3, 1),
        (true, UnreachableReason::Prohibited) => (3, 13),
        (true, UnreachableReason::TooBig) => (3, 4),
        (false, UnreachableReason::Port) => (1, 4),
        (false, UnreachableReason::Host) => (1, 3),
        (false, UnreachableReason::Prohibited) => (1, 1),
        (false, UnreachableReason::TooBig) => (2, 0),
    };
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    let protocol = if transport == Transport::Udp { 17 } else { 6 };
    bytes.extend(ip(source.ip(), destination.ip(), protocol, 0, &udp(source, destination, &[])));
    bytes
}

fn pseudo_sum(packet: &Packet, protocol: u8, length: usize) -> u32 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => add(&v4.octets()),
        IpAddr::V6(v6) => add(&v6.octets()),
    };
    address(packet.source.ip()) + address(packet.destination.ip()) + u32::from(protocol) + length as u32
}

fn add(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    pairs.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum()
}

/// The Internet checksum (RFC 1071) of `bytes`, with `start` added.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = add(bytes) + start;
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_rfc_1071_comes_out() {
        assert_eq!(checksum(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7], 0), !0xDDF2);
    }

    #[test]
    fn checksums_fit_their_packets() {
        let packet = |source: &str, destination: &str| {
            let body = Body::Datagram(bytes::Bytes::from_static(b"odd"));
            Packet::new(source.parse().unwrap(), destination.parse().unwrap(), body)
        };
        let v4 = packet("192.0.2.1:5060", "192.0.2.2:5062");
        let wire = wire_form(&v4);
        assert_eq!(checksum(&wire[..20], 0), 0);
        assert_eq!(checksum(&wire[20..], pseudo_sum(&v4, 17, wire.len() - 20)), 0);
        let v6 = packet("[2001:db8::1]:5060", "[2001:db8::2]:5062");
        let wire = wire_form(&v6);
        assert_eq!(checksum(&wire[40..], pseudo_sum(&v6, 17, wire.len() - 40)), 0);
    }
}
