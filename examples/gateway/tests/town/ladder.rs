//! Two SIPps and the gateway between them: one calls, one is called, and what both sent and heard is kept. A scenario fails when
//! anything else comes than it waits for; what stands in the messages is asked afterwards.
//!
//! The next deed of one end is to wait for the other end's: a SIPp that has had what it waited for says so by an INFO, which the
//! gateway passes on ([`tells`], [`is_told`]).

use super::Gate;
use denwa_interop::sipp::{self, Message, Sipp, receive, scenario, send};
use denwa_interop::{Ports, Scratch};
use std::time::Duration;

/// How long a whole call may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// What both ends of a call sent and heard.
pub(crate) struct Ladder {
    pub(crate) caller: Vec<Message>,
    pub(crate) callee: Vec<Message>,
    pub(crate) log: String,
}

/// Where things are: the caller on the side `inside` at 127.0.0.2, the callee on the side `outside`.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    /// The callee's address.
    pub(crate) callee: &'a str,
    /// Lines of the two sides.
    pub(crate) inside: &'a str,
    pub(crate) outside: &'a str,
}

impl Place<'_> {
    pub(crate) fn new(name: &str) -> Place<'_> {
        Place { name, callee: "127.0.0.3", inside: "", outside: "" }
    }

    /// Lets the scenarios run to their ends.
    pub(crate) fn run(self, caller: &[String], callee: &[String]) -> Ladder {
        self.run_with(caller, callee, |_, _, _| ())
    }

    /// The same, with something done meanwhile by the test: it is given the gateway, the caller and the callee.
    pub(crate) fn run_with(
        self,
        caller: &[String],
        callee: &[String],
        meanwhile: impl FnOnce(&Gate, &Sipp, Option<&Sipp>),
    ) -> Ladder {
        let Self { name, callee: address, inside, outside } = self;
        let (scratch, mut ports) = (Scratch::new(name), Ports::block());
        let (near, far, first) = (ports.take(2), ports.take(2), ports.take(20));
        let is_v6 = address.contains(':');
        let (own, host) =
            if is_v6 { ("[::1]", format!("[{address}]")) } else { ("127.0.0.1", address.to_owned()) };
        let gate = Gate::start(&format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"udp:{own}:0\"]\n[media]\nports = [\"{first}-{}\"]\n\
             [[sides]]\nname = \"inside\"\nto = \"udp:127.0.0.2:{near}\"\n{inside}\n\
             [[sides]]\nname = \"outside\"\nto = \"udp:{host}:{far}\"\n{outside}\n\
             [[routes]]\nfrom = \"inside\"\nto = \"outside\"\n",
            first + 19
        ));
        let target = gate.running().listening()[0].address.to_string();
        let called = (!callee.is_empty()).then(|| {
            let called = start("callee", callee, None, (address, far, ports.take(2)), &scratch);
            called.wait_until_it_listens("u1");
            called
        });
        let mut called = called;
        let mut calling =
            start("caller", caller, Some(target.as_str()), ("127.0.0.2", near, ports.take(2)), &scratch);
        meanwhile(&gate, &calling, called.as_ref());
        let good = [calling.finish(PATIENCE), called.as_mut().is_none_or(|called| called.finish(PATIENCE))];
        let caller = calling.messages();
        let callee = called.map(|called| called.messages()).unwrap_or_default();
        if caller.iter().any(|message| message.first_line().starts_with("ACK")) && !callee.is_empty() {
            gate.wait_for("over after");
        }
        let ladder = Ladder { caller, callee, log: gate.log() };
        assert_eq!(good, [true; 2], "{name}: not as it was to be:\n{ladder}{}", errors(&scratch));
        ladder
    }
}

/// Starts one of them: at an address, on a port for SIP and one for media. INFOs that come when no others are waited for are
/// answered all the same.
pub(crate) fn start(
    name: &str,
    elements: &[String],
    target: Option<&str>,
    (address, port, media_port): (&str, u16, u16),
    scratch: &Scratch,
) -> Sipp {
    start_over("u1", name, elements, target, (address, port, media_port), scratch)
}

/// The same over another transport: `t1` is TCP.
pub(crate) fn start_over(
    transport: &str,
    name: &str,
    elements: &[String],
    target: Option<&str>,
    (address, port, media_port): (&str, u16, u16),
    scratch: &Scratch,
) -> Sipp {
    let limits = ["-timeout", "80s", "-timeout_error", "-recv_timeout", "60000"];
    let mut arguments = vec!["-i", address, "-m", "1", "-trace_msg", "-aa", "-t", transport];
    arguments.extend(limits);
    let scenario = &scenario(elements);
    let options = sipp::Options { name, scenario, target, port, media_port, arguments: &arguments };
    Sipp::start(&options, scratch.path())
}

/// A request without a body that presses a key then.
pub(crate) fn key(step: &str, key: &str) -> String {
    let head = step.split("Content-Length").next().unwrap();
    format!(
        "{head}Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={key}\nDuration=160\n\n]]></send>\n"
    )
}

fn errors(scratch: &Scratch) -> String {
    let read = |name: &str| std::fs::read_to_string(scratch.path().join(name)).unwrap_or_default();
    format!("caller: {}\ncallee: {}", read("caller.errors"), read("callee.errors"))
}

impl std::fmt::Display for Ladder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (whose, messages) in [("caller", &self.caller), ("callee", &self.callee)] {
            messages.iter().try_for_each(|message| writeln!(f, "{whose} {message}"))?;
        }
        writeln!(f, "{}", self.log)
    }
}

/// The first message that somebody received which begins so.
pub(crate) fn received<'a>(messages: &'a [Message], beginning: &str) -> &'a Message {
    let found = nth(messages, beginning, 0);
    found.unwrap_or_else(|| panic!("no {beginning}: {messages:#?}"))
}

/// A later one.
pub(crate) fn nth<'a>(messages: &'a [Message], beginning: &str, number: usize) -> Option<&'a Message> {
    messages.iter().filter(|it| !it.sent && it.first_line().starts_with(beginning)).nth(number)
}

/// A description, with these lines at its end.
pub(crate) fn sdp(version: u32, more: &str) -> String {
    format!(
        "v=0\no=ann 1 {version} IN IP[media_ip_type] [media_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\n\
         m=audio [media_port] RTP/AVP 0\n{more}"
    )
}

fn with_body(head: &str, more: &str, body: Option<&str>) -> String {
    let more = if more.is_empty() || more.ends_with('\n') { more.to_owned() } else { format!("{more}\n") };
    match body {
        Some(sdp) => format!("{head}\n{more}Content-Type: application/sdp\nContent-Length: [len]\n\n{sdp}"),
        None => format!("{head}\n{more}Content-Length: 0\n\n"),
    }
}

// ---- the caller

/// The caller's From.
pub(crate) const ANN: &str = "\"Ann\" <sip:ann@inside.example>";

/// An INVITE for this address.
pub(crate) fn invites(uri: &str, from: &str, more: &str, body: Option<&str>) -> String {
    let head = format!(
        "INVITE {uri} SIP/2.0\n\
         Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
         From: {from};tag=[pid]of-ann[call_number]\nTo: <{uri}>\nCall-ID: [call_id]\nCSeq: 1 INVITE\n\
         Contact: <sip:ann@[local_ip]:[local_port]>"
    );
    send(&with_body(&head, more, body), true)
}

/// The usual INVITE.
pub(crate) fn calls(more: &str, body: Option<&str>) -> Vec<String> {
    vec![
        invites("sip:200@[remote_ip]:[remote_port]", ANN, more, body),
        receive("response=\"100\" optional=\"true\""),
    ]
}

/// A request of the caller in the call. The ACK's number is that of its INVITE.
pub(crate) fn asks(method: &str, number: u32, more: &str, body: Option<&str>) -> String {
    let head = format!(
        "{method} sip:200@[remote_ip]:[remote_port] SIP/2.0\n\
         Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
         From: {ANN};tag=[pid]of-ann[call_number]\nTo: <sip:200@[remote_ip]:[remote_port]>[peer_tag_param]\n\
         Call-ID: [call_id]\nCSeq: {number} {method}\nContact: <sip:ann@[local_ip]:[local_port]>"
    );
    send(&with_body(&head, more, body), method != "ACK")
}

/// Waits for a reliable provisional response and acknowledges it.
pub(crate) fn acknowledges(status: u16, number: u32, body: Option<&str>) -> [String; 3] {
    let taken = format!(
        "<recv response=\"{status}\"><action><ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"RSeq:\" check_it=\"true\" \
         assign_to=\"rseq{number}\"/></action></recv>\n"
    );
    let prack = asks("PRACK", number, &format!("RAck: [$rseq{number}] 1 INVITE"), body);
    [taken, prack, receive("response=\"200\"")]
}

/// The call is lifted, and the caller hangs up.
pub(crate) fn lifted_and_over(number: u32) -> [String; 4] {
    [
        receive("response=\"200\""),
        asks("ACK", 1, "", None),
        asks("BYE", number, "", None),
        receive("response=\"200\""),
    ]
}

/// It is refused with this.
pub(crate) fn refused(status: u16) -> [String; 2] {
    [receive(&format!("response=\"{status}\"")), asks("ACK", 1, "", None)]
}

/// The other end says that it is ready for what comes.
pub(crate) fn is_told() -> [String; 2] {
    [receive("request=\"INFO\""), answers("200 OK", "", None)]
}

// ---- the callee

/// It is called, and remembers by whom.
pub(crate) fn is_called() -> String {
    let keep = |header: &str, name: &str| {
        format!("<ereg regexp=\".*\" search_in=\"hdr\" header=\"{header}:\" assign_to=\"{name}\"/>")
    };
    format!(
        "<recv request=\"INVITE\"><action>{}{}</action></recv>\n<Reference variables=\"caller,called\"/>\n",
        keep("From", "caller"),
        keep("To", "called")
    )
}

/// Answers what came last.
pub(crate) fn answers(status: &str, more: &str, body: Option<&str>) -> String {
    response(status, "", more, body)
}

/// Answers the INVITE that began the call.
pub(crate) fn lifts(status: &str, more: &str, body: Option<&str>) -> String {
    response(status, ";tag=[pid]of-bob[call_number]", more, body)
}

fn response(status: &str, tag: &str, more: &str, body: Option<&str>) -> String {
    let head = format!(
        "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n\
         Contact: <sip:bob@[local_ip]:[local_port]>"
    );
    send(&with_body(&head, more, body), false)
}

/// A request of the callee in the call.
pub(crate) fn requests(method: &str, number: u32, more: &str, body: Option<&str>) -> String {
    let head = format!(
        "{method} sip:ann@[remote_ip]:[remote_port] SIP/2.0\n\
         Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n\
         From:[$called];tag=[pid]of-bob[call_number]\nTo:[$caller]\nCall-ID: [call_id]\nCSeq: {number} {method}\n\
         Contact: <sip:bob@[local_ip]:[local_port]>"
    );
    send(&with_body(&head, more, body), method != "ACK")
}

/// Tells the other end that it is ready for what comes.
pub(crate) fn tells(number: u32) -> [String; 2] {
    [requests("INFO", number, "", None), receive("response=\"200\"")]
}

/// The other end hangs up.
pub(crate) fn is_hung_up() -> [String; 2] {
    [receive("request=\"BYE\""), answers("200 OK", "", None)]
}

/// The callee rings, lifts, and is hung up.
pub(crate) fn takes_the_call() -> Vec<String> {
    let mut steps = vec![
        is_called(),
        lifts("180 Ringing", "", None),
        lifts("200 OK", "", Some(&sdp(1, ""))),
        receive("request=\"ACK\""),
    ];
    steps.extend(is_hung_up());
    steps
}

/// The callee is busy: enough where only the INVITE matters.
pub(crate) fn is_busy(more: &str) -> Vec<String> {
    vec![is_called(), lifts("486 Busy Here", more, None), receive("request=\"ACK\"")]
}
