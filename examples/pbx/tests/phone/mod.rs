//! A telephone of a few lines for tests over the loopback: it writes and reads SIP as text and RTP as bytes, with nothing of
//! ours but the digest, so that it does not share our mistakes. And a program under test, started and stopped by its id.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod message;
mod program;
mod voice;
mod wire;

// Not every test needs each of them.
#[allow(unused_imports)]
pub use {
    message::Message,
    program::{Program, folder, free_port, free_ports},
};

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use denwa_sip_core::auth::algorithm::Hash;
use wire::Wire;

/// A message that does not come in this time fails the test; none ever takes so long when all is well.
pub const PATIENCE: Duration = denwa_interop::PATIENCE;

/// A telephone of one extension, or a neighbour without password.
pub struct Phone {
    wire: Wire,
    server: SocketAddr,
    user: String,
    password: String,
    pub rtp: UdpSocket,
    count: u32,
    /// Further header lines of every INVITE and of every response, each with its line end.
    pub more: String,
}

/// One side of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    target: String,
    cseq: u32,
    /// The INVITE this side sent, or got.
    pub invite: Message,
    via: String,
}

impl Phone {
    pub fn udp(server: SocketAddr, user: &str, password: &str) -> Self {
        Self::udp_at(server, user, password, SocketAddr::new(server.ip(), 0))
    }

    /// Bound to an address of its own.
    pub fn udp_at(server: SocketAddr, user: &str, password: &str, local: SocketAddr) -> Self {
        let socket = UdpSocket::bind(local).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Wire::Udp { socket, server, come: HashSet::new() }, server, user, password)
    }

    pub fn tcp(server: SocketAddr, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Wire::Tcp { stream, held: String::new() }, server, user, password)
    }

    fn over(wire: Wire, server: SocketAddr, user: &str, password: &str) -> Self {
        let rtp = UdpSocket::bind(SocketAddr::new(wire.local().ip(), 0)).unwrap();
        rtp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            wire,
            server,
            user: user.to_owned(),
            password: password.to_owned(),
            rtp,
            count: 0,
            more: String::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.wire.local()
    }

    /// The next message; fails the test when there is none.
    pub fn next(&mut self) -> Message {
        self.wire.receive().unwrap_or_else(|| panic!("{}: nothing came", self.user))
    }

    /// The next message of this method and status (0 for the request itself), whatever comes before it.
    pub fn expect(&mut self, method: &str, status: u16) -> Message {
        loop {
            let message = self.next();
            if message.method() == method && message.status() == status {
                return message;
            }
            let passing =
                message.status() / 100 == 1 || message.status() == 0 && message.method() == "OPTIONS";
            assert!(passing, "{}: expected {method} {status}, got {}", self.user, message.first_line);
        }
    }

    /// The final response to a request just sent.
    pub fn final_response(&mut self, method: &str) -> Message {
        loop {
            let message = self.next();
            if message.status() >= 200 && message.method() == method {
                return message;
            }
        }
    }

    pub fn send_raw(&mut self, text: &str) {
        self.wire.send(text);
    }

    // -- registration

    /// Registers; tells the final status.
    pub fn register(&mut self, expires: u32) -> Message {
        let contact = format!("Contact: {}\r\nExpires: {expires}\r\n", self.contact());
        self.register_with(&contact)
    }

    /// How long to wait for messages.
    pub fn patience(&self, patience: Duration) {
        match &self.wire {
            Wire::Udp { socket, .. } => socket.set_read_timeout(Some(patience)).unwrap(),
            Wire::Tcp { stream, .. } => stream.set_read_timeout(Some(patience)).unwrap(),
        }
    }

    /// Registers, perhaps with a program that dies meanwhile: the final status, if one comes.
    pub fn try_register(&mut self, expires: u32) -> Option<u16> {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let call_id = format!("{}-{}", self.fresh("register"), time.as_nanos());
        let aor = format!("<sip:{}@{}>", self.user, self.server.ip_text());
        let uri = format!("sip:{}", self.server);
        let mut authorization = String::new();
        for cseq in 1..=2 {
            let branch = self.fresh("z9hG4bK");
            let text = format!(
                "REGISTER {uri} SIP/2.0\r\nVia: {}\r\nFrom: {aor};tag=r\r\nTo: {aor}\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\nContact: {}\r\nExpires: {expires}\r\n\
                 {authorization}Content-Length: 0\r\n\r\n",
                self.via(&branch),
                self.contact()
            );
            if let Wire::Udp { socket, server, .. } = &self.wire {
                socket.send_to(text.as_bytes(), *server).ok()?;
            }
            // A late answer to whoever had this port before is none to this request.
            let response = loop {
                let response = self.wire.receive()?;
                if response.header("Call-ID") == call_id
                    && response.header("CSeq").starts_with(&cseq.to_string())
                {
                    break response;
                }
            };
            if response.status() != 401 {
                return Some(response.status());
            }
            let digest = self.digest(response.header("WWW-Authenticate"), "REGISTER", &uri);
            authorization = format!("Authorization: {digest}\r\n");
        }
        None
    }

    /// Registers for another user with one's own password.
    pub fn register_as(&mut self, user: &str, expires: u32) -> Message {
        let contact = format!("Contact: {}\r\nExpires: {expires}\r\n", self.contact());
        self.register_for(user, &contact)
    }

    pub fn register_with(&mut self, headers: &str) -> Message {
        self.register_for(&self.user.clone(), headers)
    }

    fn register_for(&mut self, user: &str, headers: &str) -> Message {
        let call_id = self.fresh("register");
        let aor = format!("<sip:{user}@{}>", self.server.ip_text());
        let uri = format!("sip:{}", self.server);
        let mut cseq = 1;
        let mut authorization = String::new();
        loop {
            let branch = self.fresh("z9hG4bK");
            let text = format!(
                "REGISTER {uri} SIP/2.0\r\nVia: {}\r\nFrom: {aor};tag=r\r\nTo: {aor}\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n{headers}{authorization}Content-Length: 0\r\n\r\n",
                self.via(&branch)
            );
            self.wire.send(&text);
            let response = self.final_response("REGISTER");
            if response.status() != 401 || cseq > 1 {
                return response;
            }
            authorization = format!(
                "Authorization: {}\r\n",
                self.digest(response.header("WWW-Authenticate"), "REGISTER", &uri)
            );
            cseq += 1;
        }
    }

    // -- messages

    /// Sends a short message, with the password when asked; tells the final status.
    pub fn message(&mut self, number: &str, text: &str) -> u16 {
        let call_id = self.fresh("message");
        let uri = format!("sip:{number}@{}", self.server);
        let from = format!("<sip:{}@{}>;tag=m", self.user, self.server.ip_text());
        let mut authorization = String::new();
        for cseq in 1.. {
            let branch = self.fresh("z9hG4bK");
            let text = format!(
                "MESSAGE {uri} SIP/2.0\r\nVia: {}\r\nFrom: {from}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} MESSAGE\r\nMax-Forwards: 70\r\n{authorization}Content-Type: text/plain\r\n\
                 Content-Length: {}\r\n\r\n{text}",
                self.via(&branch),
                text.len()
            );
            self.wire.send(&text);
            let response = self.final_response("MESSAGE");
            if response.status() != 407 || cseq > 1 {
                return response.status();
            }
            let digest = self.digest(response.header("Proxy-Authenticate"), "MESSAGE", &uri);
            authorization = format!("Proxy-Authorization: {digest}\r\n");
        }
        unreachable!()
    }

    // -- lamps

    /// Watches something, with the password when asked; tells the final status. NOTIFYs follow.
    pub fn watch(&mut self, number: &str, event: &str) -> u16 {
        let call_id = self.fresh("watch");
        let uri = format!("sip:{number}@{}", self.server);
        let from = format!("<sip:{}@{}>;tag=w", self.user, self.server.ip_text());
        let mut authorization = String::new();
        for cseq in 1.. {
            let branch = self.fresh("z9hG4bK");
            let text = format!(
                "SUBSCRIBE {uri} SIP/2.0\r\nVia: {}\r\nFrom: {from}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} SUBSCRIBE\r\nMax-Forwards: 70\r\nContact: {}\r\nEvent: {event}\r\nExpires: 600\r\n\
                 {authorization}Content-Length: 0\r\n\r\n",
                self.via(&branch),
                self.contact()
            );
            self.wire.send(&text);
            let response = self.final_response("SUBSCRIBE");
            if response.status() != 401 || cseq > 1 {
                return response.status();
            }
            let digest = self.digest(response.header("WWW-Authenticate"), "SUBSCRIBE", &uri);
            authorization = format!("Authorization: {digest}\r\n");
        }
        unreachable!()
    }

    /// Answers NOTIFYs until one says this; gives its body.
    pub fn told(&mut self, text: &str) -> String {
        loop {
            let notify = self.expect("NOTIFY", 0);
            self.reply_to(&notify, notify.header("To"), 200, "");
            if notify.body.contains(text) {
                return notify.body;
            }
        }
    }

    // -- calls, as caller

    fn contact(&self) -> String {
        let transport = if self.wire.transport() == "TCP" { ";transport=tcp" } else { "" };
        format!("<sip:{}@{}{transport}>", self.user, self.wire.local())
    }

    fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/{} {};branch={branch};rport", self.wire.transport(), self.wire.local())
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}{}-{}-{}", self.wire.local().port(), std::process::id(), self.count)
    }

    /// Whether credentials without `qop` were made with this telephone's own password.
    pub fn proves(&self, credentials: &str, method: &str) -> bool {
        let fields: HashMap<&str, &str> = credentials
            .trim_start_matches("Digest ")
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let join = |parts: &[&str]| {
            let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            Hash::Md5.colon_joined(&bytes).as_str().to_owned()
        };
        let ha1 = join(&[&self.user, fields["realm"], &self.password]);
        let ha2 = join(&[method, fields["uri"]]);
        fields["response"] == join(&[&ha1, fields["nonce"], &ha2])
    }

    fn digest(&self, challenge: &str, method: &str, uri: &str) -> String {
        let fields: HashMap<&str, &str> = challenge
            .trim_start_matches("Digest ")
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let hash = if fields.get("algorithm") == Some(&"SHA-256") { Hash::Sha256 } else { Hash::Md5 };
        let (realm, nonce) = (fields["realm"], fields["nonce"]);
        let join = |parts: &[&str]| {
            let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            hash.colon_joined(&bytes).as_str().to_owned()
        };
        let ha1 = join(&[&self.user, realm, &self.password]);
        let ha2 = join(&[method, uri]);
        let response = join(&[&ha1, nonce, "00000001", "c0ffee", "auth", &ha2]);
        let algorithm = fields.get("algorithm").copied().unwrap_or("MD5");
        format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
             algorithm={algorithm}, cnonce=\"c0ffee\", qop=auth, nc=00000001",
            self.user
        )
    }
}

trait IpText {
    fn ip_text(&self) -> String;
}

impl IpText for SocketAddr {
    fn ip_text(&self) -> String {
        match self {
            Self::V4(address) => address.ip().to_string(),
            Self::V6(address) => format!("[{}]", address.ip()),
        }
    }
}
