//! Descriptions, and packets of voice.

use super::{Dialog, PATIENCE, Phone};
use std::net::SocketAddr;
use std::time::Duration;

impl Phone {
    /// A description with these payload types.
    pub fn offer(&self, types: &str) -> String {
        self.describe(types, "sendrecv", 1)
    }

    pub fn describe(&self, types: &str, direction: &str, version: u32) -> String {
        let address = self.rtp.local_addr().unwrap();
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let maps: String = types
            .split(' ')
            .map(|kind| match kind {
                "0" => "a=rtpmap:0 PCMU/8000\r\n",
                "8" => "a=rtpmap:8 PCMA/8000\r\n",
                "18" => "a=rtpmap:18 G729/8000\r\n",
                "101" => "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n",
                other => panic!("payload type {other}"),
            })
            .collect();
        format!(
            "v=0\r\no=- 7 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP {types}\r\n{maps}a={direction}\r\n",
            address.port(),
            ip = address.ip()
        )
    }

    /// Sends a packet of RTP.
    pub fn say(&self, to: SocketAddr, payload_type: u8, sequence: u16, payload: &[u8]) {
        let mut packet = vec![0x80, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend(0x1234_5678_u32.to_be_bytes());
        packet.extend(payload);
        self.rtp.send_to(&packet, to).unwrap();
    }

    /// The next packet of RTP: its payload type, payload and source.
    pub fn hear(&self) -> (u8, Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (length, from) =
            self.rtp.recv_from(&mut buffer).unwrap_or_else(|_| panic!("{} hears nothing", self.user));
        (buffer[1] & 0x7f, buffer[12..length].to_vec(), from)
    }

    /// Keeps saying a word until the other telephone hears something new; the first packets may come before the way is open.
    pub fn says_to(&self, word: u8, to: SocketAddr, payload_type: u8, other: &Self) -> (u8, Vec<u8>) {
        other.rtp.set_nonblocking(true).unwrap();
        while other.rtp.recv(&mut [0; 2048]).is_ok() {}
        other.rtp.set_nonblocking(false).unwrap();
        for sequence in 0..600 {
            self.say(to, payload_type, sequence, &[word; 160]);
            other.rtp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut buffer = [0; 2048];
            let heard = other.rtp.recv_from(&mut buffer);
            other.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
            if let Ok((length, _)) = heard {
                return (buffer[1] & 0x7f, buffer[12..length].to_vec());
            }
        }
        panic!("{} does not hear {}", other.user, self.user);
    }

    // -- small things

    /// Speaks PCMU until the other hears something: what it is after it was transcoded.
    pub fn says_to_transcoded(&self, dialog: &Dialog, other: &Self) -> (u8, Vec<u8>) {
        other.rtp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut buffer = [0; 2048];
        for sequence in 0..1_000_u16 {
            let word = if sequence % 2 == 0 { 0x10 } else { 0x90 };
            self.say(dialog.invite.rtp(), 0, sequence, &[word; 160]);
            if let Ok(length) = other.rtp.recv(&mut buffer) {
                return (buffer[1] & 0x7f, buffer[12..length].to_vec());
            }
        }
        panic!("nothing was heard");
    }
}
