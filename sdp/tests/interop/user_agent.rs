//! The least of a SIP user agent that a peer will talk to: UDP, one call, no retransmission timers of its own (on
//! loopback nothing is lost; what the peer repeats is answered again).

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use denwa_sdp::{Capability, Negotiator, Seed, Transport};

use crate::peer::{PATIENCE, capture};

/// A message that came.
pub(crate) struct Message {
    pub(crate) start_line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    from: SocketAddr,
}

impl Message {
    fn parse(bytes: &[u8], from: SocketAddr) -> Option<Self> {
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
        let mut lines = head.split("\r\n");
        let start_line = lines.next()?.to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers =
            headers.map(|(name, value)| (long_name(name.trim()), value.trim().to_owned())).collect();
        Some(Self { start_line, headers, body: bytes[split + 4..].to_vec(), from })
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    pub(crate) fn method(&self) -> &str {
        self.start_line.split(' ').next().unwrap_or("")
    }
}

fn long_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "v" => "via".into(),
        "f" => "from".into(),
        "t" => "to".into(),
        "i" => "call-id".into(),
        "m" => "contact".into(),
        "c" => "content-type".into(),
        "l" => "content-length".into(),
        _ => lower,
    }
}

/// A user agent with one medium.
pub(crate) struct UserAgent {
    socket: UdpSocket,
    /// One for each family there is: some peers write an IPv6 address whatever the signalling is.
    media: Vec<UdpSocket>,
    pub(crate) negotiator: Negotiator,
    name: &'static str,
    captured: u32,
    /// The INVITEs that were, by their topmost Via.
    answered: HashSet<String>,
}

impl UserAgent {
    /// `name` is what captures are called.
    pub(crate) fn new(capability: Capability, name: &'static str) -> Self {
        Self::with_transport(capability, name, |transport| transport)
    }

    pub(crate) fn with_transport(
        capability: Capability,
        name: &'static str,
        change: impl FnOnce(Transport) -> Transport,
    ) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut media = vec![UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()];
        media.extend(UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)));
        let mut transport = Transport::audio(media[0].local_addr().unwrap());
        transport.addresses = media.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let transport = change(transport);
        let negotiator = Negotiator::new(capability, vec![transport], Seed([7; 32]));
        Self { socket, media, negotiator, name, captured: 0, answered: HashSet::new() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// The next message of which `wanted` says so. OPTIONS, REGISTER and the like are answered with 200 on the way.
    pub(crate) fn receive(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let give_up = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{}: no {what} came", self.name);
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
            let Some(message) = Message::parse(&buffer[..length], from) else { continue };
            if wanted(&message) {
                return message;
            }
            if !["INVITE", "ACK"].contains(&message.method()) && !message.start_line.starts_with("SIP/") {
                self.respond(&message, "200 OK", None);
            }
        }
    }

    pub(crate) fn request(&self, method: &str) -> Message {
        self.receive(method, |message| message.method() == method)
    }

    pub(crate) fn respond(&self, request: &Message, status: &str, body: Option<&[u8]>) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["via", "record-route", "from", "call-id", "cseq"] {
            for value in request.all(name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let to = request.header("to");
        let tag = if to.contains(";tag=") { "" } else { ";tag=denwa" };
        text.push_str(&format!("to: {to}{tag}\r\ncontact: <sip:denwa@127.0.0.1:{}>\r\n", self.port()));
        let body = body.unwrap_or_default();
        if !body.is_empty() {
            text.push_str("content-type: application/sdp\r\n");
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.socket.send_to(&[text.as_bytes(), body].concat(), request.from).unwrap();
    }

    /// Answers an INVITE, sees the ACK, and gives back the answer.
    pub(crate) fn answer_invite(&mut self) -> Vec<u8> {
        // One that is sent once more because we were slow was answered already.
        let is_new = |message: &Message| {
            message.method() == "INVITE" && !self.answered.contains(message.header("via"))
        };
        let invite = self.receive("INVITE", is_new);
        self.answered.insert(invite.header("via").to_owned());
        self.captured += 1;
        let number = self.captured;
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        capture(&format!("{}{suffix}", self.name), &invite.body);
        let answer = match self.negotiator.answer(&invite.body) {
            Ok(answer) => answer,
            Err(error) => panic!("{}: {error}\n{}", self.name, String::from_utf8_lossy(&invite.body)),
        };
        self.respond(&invite, "200 OK", Some(&answer));
        let cseq = invite.header("cseq").split(' ').next().unwrap_or("").to_owned();
        self.receive("ACK", |message| message.method() == "ACK" && message.header("cseq").starts_with(&cseq));
        answer.to_vec()
    }

    /// The first datagram on the media port for which `wanted` says so.
    pub(crate) fn media(&self, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let give_up = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 65_536];
        while Instant::now() < give_up {
            for socket in &self.media {
                socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                if let Ok((length, _)) = socket.recv_from(&mut buffer)
                    && wanted(&buffer[..length])
                {
                    return buffer[..length].to_vec();
                }
            }
        }
        panic!("{}: no {what} came on the media port", self.name);
    }

    /// The peer sends RTP with the codec that was agreed.
    pub(crate) fn expect_agreed_rtp(&self) {
        let audio = self.negotiator.agreed().unwrap().audio().unwrap();
        let numbers: Vec<u8> = audio.receive.iter().map(|codec| codec.payload_type).collect();
        let packet = self.media("RTP", |packet| {
            packet.len() >= 12 && packet[0] >> 6 == 2 && !(192..=223).contains(&packet[1])
        });
        assert!(numbers.contains(&(packet[1] & 0x7f)), "{}: payload type {}", self.name, packet[1] & 0x7f);
    }

    /// Calls a peer with an offer and acknowledges its answer.
    pub(crate) fn call(&mut self, peer: SocketAddr) {
        let offer = self.negotiator.offer().unwrap();
        let port = self.port();
        let head = |method: &str, to_tag: &str, uri: &str| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-{method}-{port};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:denwa@127.0.0.1:{port}>;tag=d\r\nTo: <sip:alice@{peer}>{to_tag}\r\n\
                 Call-ID: call-{port}\r\nCSeq: 1 {method}\r\nContact: <sip:denwa@127.0.0.1:{port}>\r\n"
            )
        };
        let uri = format!("sip:alice@{peer}");
        let invite = format!(
            "{}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
            head("INVITE", "", &uri),
            offer.len(),
            std::str::from_utf8(&offer).unwrap()
        );
        self.socket.send_to(invite.as_bytes(), peer).unwrap();
        let final_response = self.receive("final response", |message| {
            message.start_line.starts_with("SIP/2.0 ") && !message.start_line.starts_with("SIP/2.0 1")
        });
        assert!(
            final_response.start_line.starts_with("SIP/2.0 200"),
            "{}: {}",
            self.name,
            final_response.start_line
        );
        let to = final_response.header("to");
        let tag = to.find(";tag=").map_or("", |at| &to[at..]);
        let ack = format!("{}Content-Length: 0\r\n\r\n", head("ACK", tag, &uri));
        self.socket.send_to(ack.as_bytes(), peer).unwrap();
        capture(&format!("{}-answer", self.name), &final_response.body);
        if let Err(error) = self.negotiator.accept_answer(&final_response.body) {
            panic!("{}: {error}\n{}", self.name, String::from_utf8_lossy(&final_response.body));
        }
    }
}
