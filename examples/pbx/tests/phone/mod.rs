//! A telephone of a few lines for tests over the loopback: it writes and reads SIP as text and RTP as bytes, with nothing of
//! ours but the digest, so that it does not share our mistakes. And a program under test, started and stopped by its id.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use denwa_sip_core::auth::algorithm::Hash;

/// A message that does not come in this time fails the test; none ever takes so long when all is well.
pub const PATIENCE: Duration = denwa_interop::PATIENCE;

// -- messages

/// A SIP message as text.
#[derive(Clone, Debug)]
pub struct Message {
    pub first_line: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let first_line = lines.next().unwrap().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { first_line, headers, body: body.to_owned() }
    }

    /// Everything, for looking into it.
    pub fn text(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{}\n{headers}\n{}", self.first_line, self.body)
    }

    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.first_line.strip_prefix("SIP/2.0 ").map_or(0, |rest| rest[..3].parse().unwrap())
    }

    /// The method of a request, or of a response's request.
    pub fn method(&self) -> String {
        if self.status() == 0 {
            return self.first_line.split(' ').next().unwrap().to_owned();
        }
        self.header("CSeq").split(' ').nth(1).unwrap().to_owned()
    }

    /// Where RTP is to be sent, by the description.
    pub fn rtp(&self) -> SocketAddr {
        let address = self.line("c=").split(' ').nth(2).unwrap().to_owned();
        let port: u16 = self.line("m=audio ").split(' ').next().unwrap().parse().unwrap();
        SocketAddr::new(address.parse().unwrap(), port)
    }

    /// What follows a prefix on the first line of the body that has it.
    pub fn line(&self, prefix: &str) -> &str {
        self.body
            .lines()
            .find_map(|line| line.strip_prefix(prefix))
            .unwrap_or_else(|| panic!("no {prefix} in {self:?}"))
    }

    /// Whether the body has a line.
    pub fn has_line(&self, line: &str) -> bool {
        self.body.lines().any(|own| own == line)
    }

    fn contact_uri(&self) -> String {
        uri(self.header("Contact"))
    }
}

fn uri(name_addr: &str) -> String {
    let inner = name_addr.split_once('<').map_or(name_addr, |(_, rest)| rest.split('>').next().unwrap());
    inner.to_owned()
}

// -- the wire

enum Wire {
    /// With what has come: the same once more is sent because this side was slow, and not meant.
    Udp {
        socket: UdpSocket,
        server: SocketAddr,
        come: HashSet<String>,
    },
    Tcp {
        stream: TcpStream,
        held: String,
    },
}

impl Wire {
    fn local(&self) -> SocketAddr {
        match self {
            Self::Udp { socket, .. } => socket.local_addr().unwrap(),
            Self::Tcp { stream, .. } => stream.local_addr().unwrap(),
        }
    }

    fn transport(&self) -> &'static str {
        match self {
            Self::Udp { .. } => "UDP",
            Self::Tcp { .. } => "TCP",
        }
    }

    fn send(&mut self, text: &str) {
        match self {
            Self::Udp { socket, server, .. } => drop(socket.send_to(text.as_bytes(), *server).unwrap()),
            Self::Tcp { stream, .. } => stream.write_all(text.as_bytes()).unwrap(),
        }
    }

    fn receive(&mut self) -> Option<Message> {
        match self {
            Self::Udp { socket, come, .. } => {
                let mut buffer = vec![0; 65_535];
                loop {
                    let length = match socket.recv_from(&mut buffer) {
                        // A process that was stopped for a moment.
                        Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                        received => received.ok()?.0,
                    };
                    // Voice for whoever had this port before is no message.
                    if let Ok(text) = std::str::from_utf8(&buffer[..length])
                        && come.insert(text.to_owned())
                    {
                        return Some(Message::parse(text));
                    }
                }
            }
            Self::Tcp { stream, held } => loop {
                if let Some(end) = held.find("\r\n\r\n") {
                    let head = Message::parse(&held[..end]);
                    let total = end + 4 + head.header("Content-Length").parse::<usize>().unwrap();
                    if held.len() >= total {
                        let rest = held.split_off(total);
                        return Some(Message::parse(&std::mem::replace(held, rest)));
                    }
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).ok()? {
                    0 => return None,
                    length => held.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
                }
            },
        }
    }
}

// -- the telephone

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

    /// Calls a number, with password when asked for; the INVITE is on its way when this returns.
    pub fn call(&mut self, number: &str) -> Dialog {
        let sdp = self.offer("0 8 101");
        self.call_with(number, &sdp)
    }

    pub fn call_with(&mut self, number: &str, sdp: &str) -> Dialog {
        let call_id = self.fresh("call");
        let tag = self.fresh("t");
        let local = format!("<sip:{}@{}>;tag={tag}", self.user, self.server.ip_text());
        self.call_as(number, sdp, call_id, local, 1)
    }

    /// The same call again with more digits, as a telephone that sends them as they are dialled does (RFC 3578).
    pub fn call_again(&mut self, number: &str, before: &Dialog) -> Dialog {
        let sdp = self.offer("0 8 101");
        self.call_as(number, &sdp, before.call_id.clone(), before.local.clone(), before.cseq + 1)
    }

    fn call_as(&mut self, number: &str, sdp: &str, call_id: String, local: String, first: u32) -> Dialog {
        let uri = format!("sip:{number}@{}", self.server);
        let mut cseq = first;
        let mut authorization = String::new();
        let more = self.more.clone();
        loop {
            let branch = self.fresh("z9hG4bK");
            let via = self.via(&branch);
            let body =
                if sdp.is_empty() { String::new() } else { "Content-Type: application/sdp\r\n".to_owned() };
            let text = format!(
                "INVITE {uri} SIP/2.0\r\nVia: {via}\r\nFrom: {local}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} INVITE\r\nMax-Forwards: 70\r\nContact: {}\r\n{more}{authorization}{body}Content-Length: {}\r\n\r\n{sdp}",
                self.contact(),
                sdp.len()
            );
            self.wire.send(&text);
            let invite = Message::parse(&text);
            let dialog = Dialog {
                call_id: call_id.clone(),
                local: local.clone(),
                remote: format!("<{uri}>"),
                target: uri.clone(),
                cseq,
                invite,
                via,
            };
            if self.password.is_empty() || cseq > first {
                return dialog;
            }
            // A late answer to an earlier call is not the answer to this one.
            let response = self.final_of(&dialog);
            assert_eq!(response.status(), 407, "{}", response.first_line);
            let digest = self.digest(response.header("Proxy-Authenticate"), "INVITE", &uri);
            authorization = format!("Proxy-Authorization: {digest}\r\n");
            cseq += 1;
        }
    }

    /// The ACK of a final response that is no success: same branch.
    pub fn ack_failure(&mut self, dialog: &Dialog, response: &Message) {
        let Dialog { call_id, local, target, cseq, via, .. } = dialog;
        let text = format!(
            "ACK {target} SIP/2.0\r\nVia: {via}\r\nFrom: {local}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} ACK\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            response.header("To")
        );
        self.wire.send(&text);
    }

    /// Waits for the 200 of a call and acknowledges it.
    pub fn answered(&mut self, dialog: &mut Dialog) -> Message {
        let response = self.expect("INVITE", 200);
        self.acknowledge(dialog, &response, "");
        response
    }

    /// The ACK of a 200, with a description when the 200 held an offer.
    pub fn acknowledge(&mut self, dialog: &mut Dialog, response: &Message, sdp: &str) {
        dialog.remote = response.header("To").to_owned();
        dialog.target = response.contact_uri();
        let text = self.in_dialog(dialog, "ACK", dialog.cseq, "", sdp);
        self.wire.send(&text);
    }

    /// Waits for the refusal of a call and acknowledges it.
    pub fn refused(&mut self, dialog: &Dialog) -> Message {
        let response = self.final_response("INVITE");
        self.ack_failure(dialog, &response);
        response
    }

    /// The ACK of a refused request inside a dialog; its branch does not matter on this way.
    pub fn ack_failure_of(&mut self, dialog: &Dialog, response: &Message) {
        let branch =
            response.header("Via").split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let text = self.in_dialog(dialog, "ACK", dialog.cseq, "", "");
        let (head, rest) = text.split_once("branch=").unwrap();
        let rest = rest.split_once(';').unwrap().1;
        self.wire.send(&format!("{head}branch={branch};{rest}"));
    }

    /// The final response to a call, whatever requests come before it.
    pub fn final_of(&mut self, dialog: &Dialog) -> Message {
        loop {
            let response = self.final_response("INVITE");
            if response.header("Call-ID") == dialog.call_id {
                self.ack_failure(dialog, &response);
                return response;
            }
        }
    }

    pub fn cancel(&mut self, dialog: &Dialog) {
        let Dialog { call_id, local, remote, target, cseq, via, .. } = dialog;
        let text = format!(
            "CANCEL {target} SIP/2.0\r\nVia: {via}\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} CANCEL\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        self.wire.send(&text);
    }

    // -- calls, as callee

    /// Gives up a call that has not been answered: it rings at the callee, is cancelled, and the callee says so (RFC 3261 §9).
    pub fn give_up(&mut self, calling: &Dialog, callee: &mut Self, called: &Dialog) {
        callee.reply(called, 180, "");
        self.expect("INVITE", 180);
        self.cancel(calling);
        let cancel = callee.expect("CANCEL", 0);
        callee.reply_to(&cancel, cancel.header("To"), 200, "");
        callee.reply(called, 487, "");
    }

    /// Waits for an INVITE that begins a call.
    pub fn invited(&mut self) -> Dialog {
        let invite = self.expect("INVITE", 0);
        let tag = self.fresh("t");
        Dialog {
            call_id: invite.header("Call-ID").to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact_uri(),
            cseq: 100,
            invite,
            via: String::new(),
        }
    }

    /// Answers the dialog's INVITE.
    pub fn reply(&mut self, dialog: &Dialog, status: u16, sdp: &str) {
        self.reply_to(&dialog.invite, &dialog.local, status, sdp);
    }

    /// Answers any request of a dialog.
    pub fn reply_to(&mut self, request: &Message, to: &str, status: u16, sdp: &str) {
        let vias: String = request.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
        let body = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "SIP/2.0 {status} Test\r\n{vias}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: {}\r\n{}{body}\
             Content-Length: {}\r\n\r\n{sdp}",
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.contact(),
            self.more,
            sdp.len()
        );
        self.wire.send(&text);
    }

    /// Answers the dialog's INVITE with 302: its own forwarding is on.
    pub fn redirect(&mut self, dialog: &Dialog, number: &str) {
        let request = &dialog.invite;
        let text = format!(
            "SIP/2.0 302 Moved Temporarily\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:{number}@192.0.2.77>\r\nContent-Length: 0\r\n\r\n",
            request.header("Via"),
            request.header("From"),
            dialog.local,
            request.header("Call-ID"),
            request.header("CSeq"),
        );
        self.wire.send(&text);
    }

    /// The same through a proxy that stays on the route.
    pub fn answer_through(&mut self, dialog: &Dialog, sdp: &str) -> Message {
        self.more =
            dialog.invite.all("Record-Route").map(|route| format!("Record-Route: {route}\r\n")).collect();
        let ack = self.answer(dialog, sdp);
        self.more.clear();
        ack
    }

    /// 180, then 200 with an answer, then the ACK.
    pub fn answer(&mut self, dialog: &Dialog, sdp: &str) -> Message {
        self.reply(dialog, 180, "");
        self.reply(dialog, 200, sdp);
        self.expect("ACK", 0)
    }

    // -- inside a dialog

    /// Asks that the other side be connected with somebody else; waits for the 202.
    pub fn refer(&mut self, dialog: &mut Dialog, refer_to: &str) {
        self.request(dialog, "REFER", &format!("Refer-To: <{refer_to}>\r\n"), "");
        assert_eq!(self.final_response("REFER").status(), 202);
    }

    /// Answers the NOTIFYs about a transfer and the BYEs that end this side's `calls`; gives what they said, the last word
    /// being final. BYE and the last NOTIFY come in any order.
    pub fn transferred(&mut self, calls: usize) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        let mut gone = 0;
        while gone < calls || said.last().is_none_or(|last| last.starts_with("SIP/2.0 1")) {
            let message = self.next();
            assert_eq!(message.status(), 0, "{}: {}", self.user, message.first_line);
            match message.method().as_str() {
                "NOTIFY" => said.push(message.body.lines().next().unwrap_or_default().to_owned()),
                "BYE" => gone += 1,
                _ => panic!("{}: expected NOTIFY or BYE, got {}", self.user, message.first_line),
            }
            self.reply_to(&message, message.header("To"), 200, "");
        }
        said
    }

    /// Answers one NOTIFY; gives the first line of its body.
    pub fn notified(&mut self) -> String {
        let notify = self.expect("NOTIFY", 0);
        self.reply_to(&notify, notify.header("To"), 200, "");
        notify.body.lines().next().unwrap_or_default().to_owned()
    }

    /// What names this dialog to the other end of another call, in a Refer-To (RFC 3891).
    pub fn replaces(&self, dialog: &Dialog) -> String {
        let tag = |header: &str| header.split("tag=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let text =
            format!("{};to-tag={};from-tag={}", dialog.call_id, tag(&dialog.remote), tag(&dialog.local));
        text.replace('@', "%40").replace(';', "%3B").replace('=', "%3D")
    }

    /// Sends a request of this side.
    pub fn request(&mut self, dialog: &mut Dialog, method: &str, headers: &str, body: &str) {
        dialog.cseq += 1;
        let text = self.in_dialog(dialog, method, dialog.cseq, headers, body);
        self.wire.send(&text);
    }

    pub fn hang_up(&mut self, dialog: &mut Dialog) {
        self.request(dialog, "BYE", "", "");
        assert_eq!(self.final_response("BYE").status(), 200);
    }

    /// Waits for the other side's BYE and answers it.
    pub fn hung_up(&mut self, dialog: &Dialog) -> Message {
        let bye = self.expect("BYE", 0);
        self.reply_to(&bye, bye.header("To"), 200, "");
        assert_eq!(bye.header("Call-ID"), dialog.call_id);
        bye
    }

    fn in_dialog(&mut self, dialog: &Dialog, method: &str, cseq: u32, headers: &str, body: &str) -> String {
        let Dialog { call_id, local, remote, target, .. } = dialog;
        // Proxies that stay on the route are known by the INVITE of whoever called; ours add none.
        let routes: String =
            dialog.invite.all("Record-Route").map(|route| format!("Route: {route}\r\n")).collect();
        let headers = &format!("{routes}{headers}");
        let branch = self.fresh("z9hG4bK");
        let kind = if body.is_empty() || headers.contains("Content-Type") {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {target} SIP/2.0\r\nVia: {}\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: {}\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            self.via(&branch),
            self.contact(),
            body.len()
        )
    }

    // -- descriptions and voice

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

// -- the program

/// A running `pbx` in a folder of its own.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    pub folder: PathBuf,
    seen: Vec<String>,
}

/// A folder of its own for a test.
pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pbx-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A port for UDP and TCP that is dealt to no other test of this machine, nor by the kernel.
pub fn free_port() -> u16 {
    static BLOCK: Mutex<Option<denwa_interop::Ports>> = Mutex::new(None);
    let mut block = BLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    block.get_or_insert_with(denwa_interop::Ports::block).take(1)
}

impl Program {
    /// Starts it with a configuration file in its folder, and waits until it says that it is ready.
    pub fn start(folder: PathBuf, file: &str) -> Self {
        fs::write(folder.join("pbx.toml"), file).unwrap();
        let mut program = Self::spawn(folder, &["--config", "pbx.toml"]);
        // The welcome comes by one stream and the log by the other, in any order.
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Starts it over a folder where it ran before, with the file that is there.
    pub fn start_again(folder: PathBuf) -> Self {
        let mut program = Self::spawn(folder, &["--config", "pbx.toml"]);
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Starts it over a prepared folder, with more in its environment.
    pub fn start_with(folder: PathBuf, environment: &[(&str, &str)]) -> Self {
        let mut program = Self::spawn_with(folder, &["--config", "pbx.toml"], environment);
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Starts it under a limit of `prlimit`.
    pub fn start_limited(folder: PathBuf, limit: &str) -> Self {
        let mut program = Self::spawn_under(folder, &["prlimit", limit], &["--config", "pbx.toml"], &[]);
        program.wait_for("listening on");
        program.wait_for("Ctrl-C ends it");
        program
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut does; its folder stays.
    pub fn kill(&mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::take(&mut self.folder)
    }

    pub fn spawn(folder: PathBuf, arguments: &[&str]) -> Self {
        Self::spawn_with(folder, arguments, &[])
    }

    fn spawn_with(folder: PathBuf, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn_under(folder, &[], arguments, environment)
    }

    fn spawn_under(
        folder: PathBuf,
        before: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        // It ends with the test, also when that is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(before)
            .arg(env!("CARGO_BIN_EXE_pbx"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, folder, seen: Vec::new() }
    }

    /// Waits for a line that holds this text, and gives it.
    pub fn wait_for(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {text:?} among:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Everything printed so far.
    pub fn printed(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) -> PathBuf {
        self.signal("INT");
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.printed());
        std::mem::take(&mut self.folder)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
