//! Captures in the pcap format, of packets that were never captured: their IP, UDP and TCP headers are written anew.
//!
//! Link type 101 (raw IP). What travelled over a connection is written as TCP with running numbers, decrypted where it was
//! encrypted, so that any tool that follows streams reads the messages.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

/// `LINKTYPE_RAW`.
const RAW_IP: u32 = 101;

const UDP: u8 = 17;
const TCP: u8 = 6;

/// Whose bytes in a conversation over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Direction {
    /// Who sent them.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
}

/// Writes a capture.
#[derive(Debug)]
pub struct PcapWriter<W> {
    output: W,
    written: u64,
    sent: HashMap<Direction, u32>,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a capture.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(mut output: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(0xa1b2_c3d4_u32.to_le_bytes());
        header.extend(2_u16.to_le_bytes());
        header.extend(4_u16.to_le_bytes());
        header.extend([0; 8]);
        header.extend(65_535_u32.to_le_bytes());
        header.extend(RAW_IP.to_le_bytes());
        output.write_all(&header)?;
        Ok(Self { output, written: 24, sent: HashMap::new() })
    }

    /// How many octets have been written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes one packet; what is longer than an IP packet may be is cut off.
    ///
    /// # Errors
    /// Those of the output.
    pub fn packet(
        &mut self,
        at: SystemTime,
        is_stream: bool,
        direction: Direction,
        payload: &[u8],
    ) -> io::Result<()> {
        let payload = payload.get(..payload.len().min(65_000)).unwrap_or_default();
        let transport = if is_stream { self.tcp(direction, payload) } else { udp(direction, payload.len()) };
        let protocol = if is_stream { TCP } else { UDP };
        let ip = ip(direction, protocol, transport.len() + payload.len());
        let length = u32::try_from(ip.len() + transport.len() + payload.len()).unwrap_or(u32::MAX);
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut record = Vec::with_capacity(16 + ip.len() + transport.len() + payload.len());
        record.extend(u32::try_from(since.as_secs()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend(since.subsec_micros().to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend(ip);
        record.extend(transport);
        record.extend(payload);
        self.written += record.len() as u64;
        self.output.write_all(&record)?;
        self.output.flush()
    }

    fn tcp(&mut self, direction: Direction, payload: &[u8]) -> Vec<u8> {
        let other = Direction { from: direction.to, to: direction.from };
        let acknowledged = self.sent.get(&other).copied().unwrap_or(1);
        let sent = self.sent.entry(direction).or_insert(1);
        let sequence = *sent;
        *sent = sent.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        let mut header = Vec::with_capacity(20);
        header.extend(direction.from.port().to_be_bytes());
        header.extend(direction.to.port().to_be_bytes());
        header.extend(sequence.to_be_bytes());
        header.extend(acknowledged.to_be_bytes());
        // Five words of header; PSH and ACK.
        header.extend([0x50, 0x18]);
        header.extend(65_535_u16.to_be_bytes());
        header.extend([0; 4]);
        header
    }
}

fn udp(direction: Direction, length: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(8);
    header.extend(direction.from.port().to_be_bytes());
    header.extend(direction.to.port().to_be_bytes());
    header.extend(u16::try_from(length + 8).unwrap_or(u16::MAX).to_be_bytes());
    header.extend([0; 2]);
    header
}

fn ip(direction: Direction, protocol: u8, length: usize) -> Vec<u8> {
    match (direction.from.ip().to_canonical(), direction.to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0];
            header.extend(u16::try_from(length + 20).unwrap_or(u16::MAX).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&header).to_be_bytes();
            header.splice(10..12, sum);
            header
        }
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V6(address) => address.octets(),
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            };
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(octets(from));
            header.extend(octets(to));
            header
        }
    }
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_datagram_has_its_headers() {
        let mut bytes = Vec::new();
        let mut writer = PcapWriter::new(&mut bytes).unwrap();
        let direction = Direction { from: at("192.0.2.1:5060"), to: at("192.0.2.2:5070") };
        writer.packet(SystemTime::UNIX_EPOCH, false, direction, b"OPTIONS").unwrap();
        let written = writer.written();
        assert_eq!(written, bytes.len() as u64);
        let packet = &bytes[24 + 16..];
        assert_eq!(packet.len(), 20 + 8 + 7);
        assert_eq!(checksum(&packet[..20]), 0, "a header sums to nothing");
        assert_eq!(&packet[12..16], [192, 0, 2, 1]);
        assert_eq!(&packet[20..28], [0x13, 0xc4, 0x13, 0xce, 0, 15, 0, 0]);
        assert_eq!(&packet[28..], b"OPTIONS");
    }

    #[test]
    fn bytes_of_a_connection_are_numbered() {
        let mut bytes = Vec::new();
        let mut writer = PcapWriter::new(&mut bytes).unwrap();
        let there = Direction { from: at("[2001:db8::1]:5060"), to: at("[2001:db8::2]:40000") };
        let back = Direction { from: there.to, to: there.from };
        for (direction, payload) in [(there, "abc"), (back, "de"), (there, "f")] {
            writer.packet(SystemTime::UNIX_EPOCH, true, direction, payload.as_bytes()).unwrap();
        }
        let last = &bytes[bytes.len() - 21..];
        assert_eq!(&last[4..12], [0, 0, 0, 4, 0, 0, 0, 3], "three octets went there, two came back");
    }
}
