//! A stand-in for the SIP side of NTT Hikari Denwa (NGN): it refuses what hobbyists report that the carrier refuses, answers in
//! the form it answers in, and says why. No part of it is ours beyond the tests: it reads and writes text.
//!
//! What it refuses: a REGISTER that is not to the domain, or proves itself by a digest (the line does that); an INVITE whose
//! request line does not name its own address and port, that does not come from the line's one port, whose `o=` or `c=` is
//! not the line's address (403 each), whose RTP port is odd or whose `c=` stands in the session and in the medium (500), or
//! that has no PCMU (488). A call to the line that is not rung for within two seconds with Allow, Supported and a real
//! Contact is given up; a BYE whose From is not the To of the INVITE is answered 481. Voice is echoed.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::wait_until;

/// How soon a called line must ring.
const PROMPT: Duration = Duration::from_secs(5);

/// The line that is subscribed to.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number.
    pub number: String,
    /// Its SIP domain: `ntt-east.ne.jp`.
    pub domain: String,
    /// Its address in the carrier's network.
    pub address: IpAddr,
    /// The one port that its SIP comes from: 5060 outside of tests.
    pub port: u16,
}

/// The carrier.
#[derive(Debug)]
pub struct Carrier {
    /// Where it listens.
    pub address: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    wishes: Arc<Mutex<Vec<Wish>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
enum Wish {
    Call { from: Option<String> },
    HangUp,
    Refuse(u16),
}

impl Carrier {
    /// Starts it for one line.
    ///
    /// # Panics
    /// When the system gives it no socket.
    #[must_use]
    pub fn start(line: Line) -> Self {
        let socket = UdpSocket::bind((line.address, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let voice = UdpSocket::bind((line.address, 0)).expect("a socket");
        voice.set_nonblocking(true).expect("no waiting");
        let address = socket.local_addr().expect("an address");
        let told = Arc::new(Mutex::new(Vec::new()));
        let wishes = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut desk = Desk {
            socket,
            voice,
            address,
            line,
            told: Arc::clone(&told),
            wishes: Arc::clone(&wishes),
            call: None,
            calls: 0,
            refuses: None,
        };
        let ends = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                desk.step();
            }
        });
        Self { address, told, wishes, stop, thread: Some(thread) }
    }

    /// Calls the line; `None` is a caller who withholds his number.
    pub fn call(&self, from: Option<&str>) {
        self.wishes.lock().expect("no panic").push(Wish::Call { from: from.map(str::to_owned) });
    }

    /// Hangs the call up.
    pub fn hang_up(&self) {
        self.wishes.lock().expect("no panic").push(Wish::HangUp);
    }

    /// Refuses the line's next call with this status.
    pub fn refuse_next(&self, status: u16) {
        self.wishes.lock().expect("no panic").push(Wish::Refuse(status));
    }

    /// What has happened, one line each: `registered`, `refused 403: …`, `answered`, `ended`.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.told.lock().expect("no panic").clone()
    }

    /// Waits until something has happened, be it long ago.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait_for(&self, what: &str, limit: Duration) {
        self.wait_for_times(what, 1, limit);
    }

    /// Waits until something has happened so many times.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait_for_times(&self, what: &str, times: usize, limit: Duration) {
        let happened = || self.told().iter().filter(|line| line.starts_with(what)).count() >= times;
        let seen = wait_until(limit, happened);
        assert!(seen, "the carrier did not see \"{what}\" {times} times: {:#?}", self.told());
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Desk {
    socket: UdpSocket,
    voice: UdpSocket,
    address: SocketAddr,
    line: Line,
    told: Arc<Mutex<Vec<String>>>,
    wishes: Arc<Mutex<Vec<Wish>>>,
    call: Option<Call>,
    calls: u32,
    /// How the next call of the line is refused.
    refuses: Option<u16>,
}

/// The one call of the line.
struct Call {
    id: String,
    /// From of what the carrier sends, and To.
    local: String,
    remote: String,
    /// The line's Contact.
    target: String,
    cseq: u32,
    /// The carrier called, and nothing rang yet.
    must_ring_by: Option<Instant>,
    placed: bool,
    answered: bool,
    invite: String,
}

impl Desk {
    fn step(&mut self) {
        let mut buffer = [0; 65_535];
        while let Ok((length, from)) = self.voice.recv_from(&mut buffer) {
            let _ = self.voice.send_to(&buffer[..length], from);
        }
        self.fulfil();
        if self.call.as_ref().and_then(|call| call.must_ring_by).is_some_and(|by| Instant::now() > by) {
            self.tell("gave up: it did not ring promptly".to_owned());
            self.cancel();
        }
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return };
        // What was wished while it was waited for this datagram was wished before it came.
        self.fulfil();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.starts_with("SIP/2.0 ") { self.response(&text) } else { self.request(&text, from) }
    }

    fn fulfil(&mut self) {
        let wishes = std::mem::take(&mut *self.wishes.lock().expect("no panic"));
        for wish in wishes {
            match wish {
                Wish::Call { from } => self.place(from.as_deref()),
                Wish::HangUp => self.bye(),
                Wish::Refuse(status) => self.refuses = Some(status),
            }
        }
    }

    fn tell(&self, what: String) {
        self.told.lock().expect("no panic").push(what);
    }

    fn send(&self, text: &str) {
        // Replies go to the line's one port, whatever Via or rport say.
        let _ = self.socket.send_to(text.as_bytes(), (self.line.address, self.line.port));
    }

    // -- what the line asks for

    fn request(&mut self, text: &str, from: SocketAddr) {
        let method = text.split(' ').next().unwrap_or_default().to_owned();
        let judged = match method.as_str() {
            "REGISTER" => self.judge_register(text, from),
            "INVITE" if tag(header(text, "To")).is_none() => self.judge_invite(text, from),
            _ => Ok(()),
        };
        if let Err((status, why)) = judged {
            self.tell(format!("refused {status}: {why}"));
            return self.reply(text, status, "", "");
        }
        match method.as_str() {
            "REGISTER" => {
                self.tell("registered".to_owned());
                let more = format!(
                    "Service-Route: <sip:{};lr>\r\nm: {};expires=3600\r\n",
                    self.line.domain,
                    header(text, "Contact")
                );
                self.reply(text, 200, &more, "");
            }
            "INVITE" => match self.refuses.take() {
                Some(status) => {
                    self.tell(format!("did not connect: {status}"));
                    self.reply(text, status, "", "");
                }
                None => self.answer(text),
            },
            "ACK" => {}
            "BYE" => {
                let expected = self.call.as_ref().map(|call| uri(&call.remote)).unwrap_or_default();
                if uri(header(text, "From")) != expected {
                    self.tell(format!("refused 481: From is {}, not {expected}", header(text, "From")));
                    return self.reply(text, 481, "", "");
                }
                self.call = None;
                self.tell("ended".to_owned());
                self.reply(text, 200, "", "");
            }
            "CANCEL" => self.reply(text, 200, "", ""),
            _ => self.reply(text, 200, "", ""),
        }
    }

    fn judge_register(&self, text: &str, from: SocketAddr) -> Result<(), (u16, String)> {
        let Line { number, domain, .. } = &self.line;
        let asked = text.split(' ').nth(1).unwrap_or_default();
        let forbidden = |why: String| Err((403, why));
        if asked != format!("sip:{domain}") {
            return forbidden(format!("REGISTER names {asked}, not sip:{domain}"));
        }
        for name in ["From", "To"] {
            if uri(header(text, name)) != format!("sip:{number}@{domain}") {
                return forbidden(format!("{name} of REGISTER is {}", header(text, name)));
            }
        }
        if !header(text, "Authorization").is_empty() {
            return forbidden("a digest, where the line proves itself".to_owned());
        }
        self.judge_source(from)
    }

    fn judge_source(&self, from: SocketAddr) -> Result<(), (u16, String)> {
        let Line { address, port, .. } = &self.line;
        if from != SocketAddr::new(*address, *port) {
            return Err((403, format!("it came from {from}, not from port {port} of the line")));
        }
        Ok(())
    }

    fn judge_invite(&self, text: &str, from: SocketAddr) -> Result<(), (u16, String)> {
        self.judge_source(from)?;
        let asked = text.split(' ').nth(1).unwrap_or_default();
        let host = asked.split('@').nth(1).unwrap_or_default().split(';').next().unwrap_or_default();
        if host != self.address.to_string() {
            return Err((403, format!("INVITE names {host}, not {}", self.address)));
        }
        let caller = uri(header(text, "From"));
        let own = format!("sip:{}@{}", self.line.number, self.line.domain);
        if caller != own && caller != "sip:anonymous@anonymous.invalid" {
            return Err((403, format!("From is {caller}, not {own}")));
        }
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let (session, media) = body.split_once("m=audio ").unwrap_or((body, ""));
        let line_address = self.line.address.to_string();
        let wrong = |line: &&str| {
            (line.starts_with("o=") || line.starts_with("c=")) && !line.ends_with(&format!(" {line_address}"))
        };
        if let Some(wrong) = body.lines().find(wrong) {
            return Err((403, format!("the description has {wrong}, not {line_address}")));
        }
        if session.contains("\nc=") && media.contains("\nc=") {
            return Err((500, "c= stands in the session and in the medium".to_owned()));
        }
        let mut words = media.split_whitespace();
        let port: u16 = words.next().and_then(|port| port.parse().ok()).unwrap_or(1);
        if port % 2 == 1 {
            return Err((500, format!("the RTP port {port} is odd")));
        }
        let formats: Vec<&str> = media.lines().next().unwrap_or_default().split(' ').skip(2).collect();
        if !formats.contains(&"0") {
            return Err((488, format!("no PCMU among {formats:?}")));
        }
        Ok(())
    }

    /// Rings, then answers, in the carrier's compact form.
    fn answer(&mut self, text: &str) {
        self.reply(text, 100, "", "");
        self.reply(text, 180, "k: 100rel\r\n", "");
        let local = format!("{};tag=carrier{}", header(text, "To"), self.calls);
        self.calls += 1;
        let sdp = self.description();
        let more = "x: 300;refresher=uas\r\nRequire: timer\r\nk: 100rel,timer\r\nc: application/sdp\r\n";
        self.call = Some(Call {
            id: header(text, "Call-ID").to_owned(),
            local,
            remote: header(text, "From").to_owned(),
            target: uri(header(text, "Contact")),
            cseq: 1,
            must_ring_by: None,
            placed: false,
            answered: true,
            invite: String::new(),
        });
        self.reply(text, 200, more, &sdp);
        self.tell(format!("answered {}", text.split(' ').nth(1).unwrap_or_default()));
    }

    fn description(&self) -> String {
        let voice = self.voice.local_addr().expect("an address");
        format!(
            "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n",
            voice.ip(),
            voice.port()
        )
    }

    fn reply(&self, request: &str, status: u16, more: &str, sdp: &str) {
        let vias: String = headers(request, "Via").map(|via| format!("v: {via}\r\n")).collect();
        let routes: String =
            headers(request, "Record-Route").map(|route| format!("Record-Route: {route}\r\n")).collect();
        let own = if request.starts_with("INVITE") && status > 100 {
            format!("Record-Route: <sip:{};lr>\r\nm: <sip:{}>\r\n", self.address, self.address)
        } else {
            String::new()
        };
        let to = match (tag(header(request, "To")), &self.call) {
            (None, Some(call)) if status >= 200 && call.id == header(request, "Call-ID") => {
                call.local.clone()
            }
            (None, _) if status > 100 => format!("{};tag=carrier{}", header(request, "To"), self.calls),
            _ => header(request, "To").to_owned(),
        };
        self.send(&format!(
            "SIP/2.0 {status} .\r\n{vias}{routes}{own}f: {}\r\nt: {to}\r\ni: {}\r\nCSeq: {}\r\n{more}l: {}\r\n\r\n{sdp}",
            header(request, "From"),
            header(request, "Call-ID"),
            header(request, "CSeq"),
            sdp.len()
        ));
    }

    // -- what the carrier asks for

    /// Calls the line.
    fn place(&mut self, from: Option<&str>) {
        self.calls += 1;
        let Line { number, address, port, domain } = self.line.clone();
        let caller = match from {
            Some(from) => format!("<sip:{from}@{domain}>"),
            None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
        };
        let call = Call {
            id: format!("carrier-{}-{}", self.address.port(), self.calls),
            local: format!("{caller};tag=c{}", self.calls),
            remote: format!("<sip:{number}@{domain}>"),
            target: format!("sip:{number}@{address}:{port}"),
            cseq: 1,
            must_ring_by: Some(Instant::now() + PROMPT),
            placed: true,
            answered: false,
            invite: String::new(),
        };
        let asserted = from
            .map(|from| format!("P-Asserted-Identity: <tel:{from}>\r\n"))
            .unwrap_or_else(|| "Privacy: id\r\n".to_owned());
        let more = format!(
            "Session-Expires: 300;refresher=uac\r\nMin-SE: 300\r\nSupported: timer,100rel\r\n\
             Record-Route: <sip:{};lr>\r\nP-Called-Party-ID: <sip:{number}@{domain}>\r\n{asserted}\
             Allow: INVITE,ACK,BYE,CANCEL,PRACK,UPDATE\r\n",
            self.address
        );
        let text = self.own(&call, "INVITE", 1, &more, &self.description());
        self.call = Some(Call { invite: text.clone(), ..call });
        self.send(&text);
    }

    fn own(&self, call: &Call, method: &str, cseq: u32, more: &str, sdp: &str) -> String {
        let body = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{}-{method}-{cseq}\r\nMax-Forwards: 68\r\nFrom: {}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{}>\r\n{more}{body}Content-Length: {}\r\n\r\n{sdp}",
            call.target,
            self.address,
            call.id,
            call.local,
            call.remote,
            call.id,
            self.address,
            sdp.len()
        )
    }

    fn response(&mut self, text: &str) {
        let status: u16 = text.get(8..11).and_then(|status| status.parse().ok()).unwrap_or(0);
        let Some(call) = &mut self.call else { return };
        if header(text, "Call-ID") != call.id || !header(text, "CSeq").ends_with("INVITE") {
            return;
        }
        if status == 180 || status == 183 {
            call.must_ring_by = None;
            let contact = uri(header(text, "Contact"));
            let lacks =
                ["Allow", "Supported", "Contact"].into_iter().find(|name| header(text, name).is_empty());
            if let Some(lacks) = lacks {
                self.tell(format!("gave up: the {status} has no {lacks}"));
                return self.cancel();
            }
            if contact.contains("0.0.0.0") {
                self.tell("gave up: the Contact is 0.0.0.0".to_owned());
                return self.cancel();
            }
            return self.tell("ringing".to_owned());
        }
        if status < 200 {
            return;
        }
        let first = !call.answered;
        call.remote = header(text, "To").to_owned();
        if status < 300 {
            call.target = uri(header(text, "Contact"));
            call.answered = true;
            call.must_ring_by = None;
            let session = header(text, "Session-Expires").to_owned();
            let ack = self.call.as_ref().map(|call| self.own(call, "ACK", 1, "", "")).unwrap_or_default();
            self.send(&ack);
            if first {
                self.tell(format!("answered, session {session}"));
            }
            return;
        }
        // The ACK of a refusal has the branch of the INVITE.
        let ack = call.invite.split("\r\n\r\n").next().unwrap_or_default().replace("INVITE", "ACK");
        let ack = ack.replace("-ACK-1", "-INVITE-1");
        let lines = ack.lines().filter(|line| !line.starts_with("Content-") && !line.starts_with("To:"));
        let head: String = lines.map(|line| format!("{line}\r\n")).collect();
        let text = format!("{head}To: {}\r\nContent-Length: 0\r\n\r\n", header(text, "To"));
        self.send(&text);
        self.call = None;
        self.tell(format!("was refused {status}"));
    }

    fn cancel(&mut self) {
        let Some(call) = &mut self.call else { return };
        call.must_ring_by = None;
        let text = call.invite.split("\r\n\r\n").next().unwrap_or_default().replace("INVITE", "CANCEL");
        let text = text.replace("-CANCEL-1", "-INVITE-1");
        let lines = text.lines().filter(|line| !line.starts_with("Content-"));
        let head: String = lines.map(|line| format!("{line}\r\n")).collect();
        self.send(&format!("{head}Content-Length: 0\r\n\r\n"));
    }

    fn bye(&mut self) {
        let Some(mut call) = self.call.take() else { return };
        call.cseq += 1;
        if call.placed && !call.answered {
            self.call = Some(call);
            return self.cancel();
        }
        let text = self.own(&call, "BYE", call.cseq, "", "");
        self.send(&text);
        self.tell("hung up".to_owned());
    }
}

/// The first value of a header, by its long name or its compact one.
fn header<'a>(text: &'a str, name: &str) -> &'a str {
    headers(text, name).next().unwrap_or_default()
}

fn headers<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let compact = match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        "Supported" => "k",
        "Session-Expires" => "x",
        _ => name,
    }
    .to_owned();
    let name = name.to_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().filter_map(move |line| {
        let (own, value) = line.split_once(':')?;
        (own.eq_ignore_ascii_case(&name) || own.eq_ignore_ascii_case(&compact)).then(|| value.trim())
    })
}

fn tag(header: &str) -> Option<&str> {
    header.split(";tag=").nth(1)
}

/// The URI of a header, without its parameters.
fn uri(header: &str) -> String {
    let inner = header.split_once('<').map_or(header, |(_, rest)| rest.split('>').next().unwrap_or_default());
    inner.split(';').next().unwrap_or_default().to_owned()
}
