//! SIPp against an endpoint over loopback: scenarios written for 100rel, UPDATE, late offer, glare, session timers,
//! authentication and dialog-info. SIPp fails a call in which anything else comes than its scenario expects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_interop::sipp::{self, receive, scenario, send};
use denwa_interop::{Ports, Scratch, require};
use denwa_sip_core::{
    config::Listener,
    endpoint::*,
    io::{Protocol, RouteInfo},
    message::{Method, StatusCode, UriBuf},
    subscription::dialog_info::{self, DialogInfo},
};
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

const SDP: &str =
    "v=0\r\no=d 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";

/// An endpoint on a socket of its own.
struct Station {
    endpoint: Endpoint,
    socket: UdpSocket,
    local: SocketAddr,
    /// Says what the application does.
    plan: Plan,
    ended: u32,
    seen: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Answer,
    RingReliably,
    Authenticate,
    /// A re-INVITE of our own as soon as the call is up.
    Change,
}

impl Station {
    fn new(plan: Plan) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = socket.local_addr().unwrap();
        let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, local)]);
        let endpoint = Endpoint::new(config, Seed([7; 32]), Instant::now());
        Self { endpoint, socket, local, plan, ended: 0, seen: Vec::new() }
    }

    /// Serves until the peer has ended; whether every call was good for it.
    fn serve(&mut self, peer: &mut sipp::Sipp) -> bool {
        let end = Instant::now() + Duration::from_secs(90);
        let mut buffer = [0; 65_536];
        while peer.peer.alive() && Instant::now() < end {
            self.drain();
            let due = self.endpoint.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
            let wait =
                due.unwrap_or(Duration::MAX).clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            if let Ok((length, remote)) = self.socket.recv_from(&mut buffer) {
                let input = Input::Datagram { local: self.local, remote, payload: &buffer[..length] };
                self.endpoint.handle_input(input, Instant::now());
            }
            self.endpoint.handle_timeout(Instant::now());
        }
        self.drain();
        peer.finish(denwa_interop::PATIENCE)
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            let now = Instant::now();
            match output {
                Output::Transmit(it) => drop(self.socket.send_to(&it.payload, it.destination)),
                Output::Route { id, .. } => {
                    let route = Some(RouteInfo { local: self.local.ip(), interface: "lo".into() });
                    self.endpoint.handle_input(Input::Routed { id, route }, now);
                }
                Output::Lookup { id, lookup: Lookup::Credentials { user, .. } } => {
                    let provided = Provided::Secret { user, secret: Secret::password("secret") };
                    self.endpoint.handle_input(Input::Provided { id, provided }, now);
                }
                Output::Event(event) => self.on_event(event, now),
                _ => {}
            }
        }
    }

    fn take_call(&mut self, request: RequestHandle, now: Instant) {
        let call = self
            .endpoint
            .accept_call(request, &LocalIdentity::default(), CallOptions::default(), now)
            .unwrap();
        if self.endpoint.call(call).is_none() {
            return; // refused at once: its session interval was too small
        }
        let described = Reply::new(StatusCode::OK).with_body(Body::sdp(SDP));
        if self.plan == Plan::RingReliably {
            let early = Reply::new(StatusCode::SESSION_PROGRESS).with_body(Body::sdp(SDP));
            self.endpoint.ring_reliably(call, &early, now).unwrap();
            self.endpoint.answer(call, &Reply::new(StatusCode::OK), now).unwrap();
        } else {
            self.endpoint.ring(call, &Reply::new(StatusCode::RINGING), now).unwrap();
            self.endpoint.answer(call, &described, now).unwrap();
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Incoming { request, message, .. } => match message.method() {
                Method::Invite if self.plan == Plan::Authenticate => {
                    let policy =
                        ChallengePolicy { algorithms: vec![Algorithm::Md5], ..ChallengePolicy::new("denwa") };
                    self.endpoint.authenticate(request, &policy, now).unwrap();
                }
                Method::Invite => self.take_call(request, now),
                Method::Subscribe => {
                    let body = Some(DialogInfo::default().to_body());
                    let accept = AcceptSubscription { body, ..AcceptSubscription::default() };
                    self.endpoint.accept_subscription(request, accept, now).unwrap();
                }
                _ => self.endpoint.respond(request, &Reply::new(StatusCode::OK), now).unwrap(),
            },
            Event::Authenticated { request, .. } => {
                self.seen.push("authenticated");
                self.take_call(request, now);
            }
            Event::CallConfirmed { .. } => self.seen.push("confirmed"),
            Event::ProvisionalConfirmed { .. } => self.seen.push("PRACK"),
            Event::CallAnswered { call, .. } if self.plan == Plan::Change => {
                let body = Some(Body::sdp(SDP.replace("d 1 1", "d 1 2")));
                self.endpoint.reinvite(call, body, Headers::new(), now).unwrap();
            }
            Event::Modified { call, .. } => {
                self.seen.push("modified");
                self.endpoint.hang_up(call, &Headers::new(), now).unwrap();
            }
            Event::OfferReceived { call, carrier: Carrier::Update | Carrier::Invite, .. } => {
                // The first INVITE's offer is answered already.
                let body = Some(Body::sdp(SDP));
                if self.endpoint.answer_offer(call, body, &Headers::new(), now).is_ok() {
                    self.seen.push("changed");
                }
            }
            Event::AnswerReceived { carrier: Carrier::Ack, .. } => self.seen.push("answer in ACK"),
            Event::CallEnded { .. } => self.ended += 1,
            _ => {}
        }
    }
}

const HEAD: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    Max-Forwards: 70
    From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
    Call-ID: [call_id]
    Contact: <sip:sipp@[local_ip]:[local_port]>";

/// A request inside or outside of the dialog.
fn request(method: &str, number: u32, in_dialog: bool, more: &str, sdp: bool) -> String {
    let to = if in_dialog { "[peer_tag_param]" } else { "" };
    let body = if sdp {
        "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=s 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0"
    } else {
        "Content-Length: 0"
    };
    format!(
        "{method} sip:denwa@[remote_ip]:[remote_port] SIP/2.0\n{HEAD}\nTo: <sip:denwa@[remote_ip]:[remote_port]>{to}\nCSeq: {number} {method}\n{more}{body}\n\n"
    )
}

fn ok(more: &str, sdp: bool) -> String {
    let body = if sdp {
        "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=s 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0"
    } else {
        "Content-Length: 0"
    };
    send(
        &format!(
            "SIP/2.0 {more}[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContact: <sip:sipp@[local_ip]:[local_port]>\n{body}\n\n"
        ),
        false,
    )
}

/// SIPp calls the station with these elements.
fn called(name: &str, plan: Plan, elements: &[String], more: &[&str]) -> Station {
    let mut station = Station::new(plan);
    let scratch = Scratch::new(name);
    let mut ports = Ports::block();
    let target = station.local.to_string();
    let text = scenario(elements);
    let mut arguments = vec!["-m", "1", "-timeout", "60s", "-timeout_error"];
    arguments.extend_from_slice(more);
    let options = sipp::Options {
        name,
        scenario: &text,
        target: Some(&target),
        port: ports.take(2),
        media_port: ports.take(2),
        arguments: &arguments,
    };
    let mut peer = sipp::Sipp::start(&options, scratch.path());
    let good = station.serve(&mut peer);
    assert!(
        good,
        "{name}: SIPp was not content: {}",
        peer.peer.log().chars().rev().take(3000).collect::<String>().chars().rev().collect::<String>()
    );
    station
}

fn goodbye(number: u32) -> [String; 2] {
    [send(&request("BYE", number, true, "", false), true), receive("response=\"200\"")]
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    if !require("sipp") {
        return;
    }
    let mut elements = vec![
        send(&request("INVITE", 1, false, "", false), true),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"180\""),
        receive("response=\"200\" rtd=\"true\""),
        send(&request("ACK", 1, true, "", true), false),
    ];
    elements.extend(goodbye(2));
    let station = called("late-offer", Plan::Answer, &elements, &[]);
    assert!(station.seen.contains(&"answer in ACK"), "{:?}", station.seen);
    assert_eq!(station.ended, 1);
}

#[test]
fn a_reliable_provisional_response_is_acknowledged_by_prack() {
    if !require("sipp") {
        return;
    }
    let rack = "<recv response=\"183\"><action><ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"RSeq:\" assign_to=\"rseq\"/></action></recv>\n";
    let mut elements = vec![
        send(&request("INVITE", 1, false, "Supported: 100rel\nRequire: 100rel\n", true), true),
        receive("response=\"100\" optional=\"true\""),
        rack.to_owned(),
        send(&request("PRACK", 2, true, "RAck: [$rseq] 1 INVITE\n", false), true),
        receive("response=\"200\""),
        receive("response=\"200\""),
        send(&request("ACK", 1, true, "", false), false),
    ];
    elements.extend(goodbye(3));
    let station = called("100rel", Plan::RingReliably, &elements, &[]);
    assert!(station.seen.contains(&"PRACK"), "{:?}", station.seen);
}

#[test]
fn an_update_changes_the_session() {
    if !require("sipp") {
        return;
    }
    let mut elements = vec![
        send(&request("INVITE", 1, false, "Allow: INVITE, ACK, BYE, UPDATE\n", true), true),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"180\""),
        receive("response=\"200\""),
        send(&request("ACK", 1, true, "", false), false),
        send(&request("UPDATE", 2, true, "", true).replace("o=s 1 1", "o=s 1 2"), true),
        receive("response=\"200\""),
    ];
    elements.extend(goodbye(3));
    let station = called("update", Plan::Answer, &elements, &[]);
    assert!(station.seen.contains(&"changed"), "{:?}", station.seen);
}

#[test]
fn a_session_interval_too_small_is_refused_with_422_and_taken_when_it_is_longer() {
    if !require("sipp") {
        return;
    }
    let timer =
        |seconds: u32, minimum: &str| format!("Supported: timer\nSession-Expires: {seconds}\n{minimum}");
    let mut elements = vec![
        send(&request("INVITE", 1, false, &timer(60, ""), true), true),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"422\""),
        send(&request("ACK", 1, true, "", false), false),
        send(&request("INVITE", 2, false, &timer(90, "Min-SE: 90\n"), true), true),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"180\""),
        "<recv response=\"200\"><action><ereg regexp=\"90;refresher=uac\" search_in=\"hdr\" header=\"Session-Expires:\" check_it=\"true\" assign_to=\"timer\"/><log message=\"[$timer]\"/></action></recv>\n".to_owned(),
        send(&request("ACK", 2, true, "", false), false),
    ];
    elements.extend(goodbye(3));
    called("session-timer", Plan::Answer, &elements, &[]);
}

#[test]
fn an_invite_is_let_in_with_its_password() {
    if !require("sipp") {
        return;
    }
    let mut elements = vec![
        send(&request("INVITE", 1, false, "", true), true),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"401\" auth=\"true\""),
        send(&request("ACK", 1, true, "", false), false),
        send(&request("INVITE", 2, false, "[authentication username=1001 password=secret]\n", true), true),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"180\""),
        receive("response=\"200\""),
        send(&request("ACK", 2, true, "", false), false),
    ];
    elements.extend(goodbye(3));
    let station = called("authentication", Plan::Authenticate, &elements, &[]);
    assert!(station.seen.contains(&"authenticated"), "{:?}", station.seen);
}

#[test]
fn a_lamp_subscribes_to_dialog_info() {
    if !require("sipp") {
        return;
    }
    let event =
        format!("Event: {}\nAccept: {}\nExpires: 600\n", dialog_info::PACKAGE, dialog_info::CONTENT_TYPE);
    let elements = vec![
        send(&request("SUBSCRIBE", 1, false, &event, false), true),
        receive("response=\"200\""),
        format!(
            "<recv request=\"NOTIFY\"><action><ereg regexp=\"{}\" search_in=\"hdr\" header=\"Content-Type:\" check_it=\"true\" assign_to=\"type\"/><log message=\"[$type]\"/></action></recv>\n",
            dialog_info::CONTENT_TYPE.replace('+', "[+]")
        ),
        ok("200 OK\n", false),
    ];
    called("dialog-info", Plan::Answer, &elements, &[]);
}

#[test]
fn glare_is_settled_by_trying_again() {
    if !require("sipp") {
        return;
    }
    let mut station = Station::new(Plan::Change);
    let scratch = Scratch::new("glare");
    let mut ports = Ports::block();
    let text = scenario(&[
        receive("request=\"INVITE\""),
        ok("200 OK\n", true).replace("[last_To:]", "[last_To:];tag=sipp"),
        receive("request=\"ACK\""),
        receive("request=\"INVITE\""),
        ok("491 Request Pending\n", false),
        receive("request=\"ACK\""),
        receive("request=\"INVITE\""),
        ok("200 OK\n", true),
        receive("request=\"ACK\""),
        receive("request=\"BYE\""),
        ok("200 OK\n", false),
    ]);
    let port = ports.take(2);
    let options = sipp::Options {
        name: "glare",
        scenario: &text,
        target: None,
        port,
        media_port: ports.take(2),
        arguments: &["-m", "1", "-timeout", "60s", "-timeout_error"],
    };
    let mut peer = sipp::Sipp::start(&options, scratch.path());
    let to = UriBuf::parse(&format!("sip:sipp@127.0.0.1:{port}")).unwrap();
    let target = Target::address(Protocol::Udp, SocketAddr::from(([127, 0, 0, 1], port)));
    let from = UriBuf::parse("sip:denwa@127.0.0.1").unwrap();
    let mut place = PlaceCall::new(Party::new(from), Party::new(to), target);
    place.body = Some(Body::sdp(SDP));
    // What SIPp misses before it listens is repeated by the transaction.
    station.endpoint.place_call(place, Instant::now()).unwrap();
    assert!(station.serve(&mut peer), "SIPp was not content: {}", peer.peer.log());
    assert!(station.seen.contains(&"modified"), "{:?}", station.seen);
}
