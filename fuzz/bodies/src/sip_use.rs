//! Targets of the upper half of `sip-core`: an endpoint that anything may be sent to, and its registrar, digest and
//! event bodies.

use crate::Target;
use bytes::Bytes;
use denwa_sip_core::{
    auth::parameters::AuthValue,
    config::Listener,
    endpoint::*,
    io::{Protocol, RouteInfo},
    message::{Message, Method, StatusCode},
    subscription::{
        dialog_info::DialogInfo, message_summary::MessageSummary, presence::Presence, refer, reg::RegInfo,
    },
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Name and body of each.
pub const TARGETS: &[Target] =
    &[("sip_endpoint", endpoint), ("sip_registrar", registrar), ("sip_events", events)];

const HERE: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
const THERE: ([u8; 4], u16) = ([192, 0, 2, 2], 5060);

/// An endpoint with an application that says yes to everything; datagrams between `0xff` bytes, the byte before each the time
/// that passes. Nothing panics, time moves on, and after the timers nothing but calls that are up is left.
fn endpoint(data: &[u8]) {
    let mut peer = Peer::new();
    for piece in data.split(|byte| *byte == 0xff).take(32) {
        let Some((time, datagram)) = piece.split_first() else { continue };
        peer.receive(datagram);
        peer.act(*time);
        peer.pass(Duration::from_millis(u64::from(*time) * 40));
    }
    peer.machine.shut_down(peer.now);
    peer.settle();
    peer.pass(Duration::from_secs(600));
    let counts = peer.machine.counts();
    assert_eq!((counts.calls, counts.dialogs, counts.requests), (0, 0, 0), "{counts:?}");
    assert_eq!((counts.clients, counts.servers, counts.outgoing), (0, 0, 0), "{counts:?}");
    assert!(peer.told, "it never said that it was shut down");
}

struct Peer {
    machine: Endpoint,
    now: Instant,
    calls: Vec<CallHandle>,
    told: bool,
}

impl Peer {
    fn new() -> Self {
        let now = Instant::now();
        let listener = Listener::new(Protocol::Udp, SocketAddr::from(HERE));
        let machine = Endpoint::new(EndpointConfig::new(vec![listener]), Seed([1; 32]), now);
        Self { machine, now, calls: Vec::new(), told: false }
    }

    fn receive(&mut self, payload: &[u8]) {
        let (local, remote) = (SocketAddr::from(HERE), SocketAddr::from(THERE));
        self.machine.handle_input(Input::Datagram { local, remote, payload }, self.now);
        self.settle();
    }

    /// The application does something by a whim.
    fn act(&mut self, whim: u8) {
        let Some(call) = self.calls.get(usize::from(whim) % self.calls.len().max(1)).copied() else { return };
        let sdp = Some(Body::sdp("v=0\r\n"));
        let headers = Headers::new();
        let _ = match whim % 9 {
            0 => self.machine.ring(call, &Reply::new(StatusCode::RINGING), self.now),
            1 => self.machine.answer(
                call,
                &Reply::new(StatusCode::OK).with_body(Body::sdp("v=0\r\n")),
                self.now,
            ),
            2 => self.machine.refuse(call, &Reply::new(StatusCode::BUSY_HERE), self.now),
            3 => self.machine.reinvite(call, sdp, headers, self.now),
            4 => self.machine.update(call, sdp, headers, self.now),
            5 => self.machine.answer_offer(call, sdp, &headers, self.now),
            6 => self.machine.refuse_offer(call, &Reply::new(StatusCode::NOT_ACCEPTABLE_HERE), self.now),
            7 => self.machine.ring_reliably(call, &Reply::new(StatusCode::RINGING), self.now),
            _ => self.machine.hang_up(call, &headers, self.now),
        };
        self.settle();
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut steps = 0;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            steps += 1;
            assert!(steps < 100_000, "time stands still");
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    fn settle(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Event(event) => self.on_event(event),
                Output::Lookup { id, lookup } => {
                    let provided = match lookup {
                        Lookup::StoreBindings { .. } => Provided::Stored,
                        Lookup::Credentials { user, .. } => {
                            Provided::Secret { user, secret: Secret::password("secret") }
                        }
                        _ => Provided::Nothing,
                    };
                    self.machine.handle_input(Input::Provided { id, provided }, self.now);
                }
                Output::Route { id, .. } => {
                    let route = Some(RouteInfo { local: SocketAddr::from(HERE).ip(), interface: "".into() });
                    self.machine.handle_input(Input::Routed { id, route }, self.now);
                }
                Output::Resolve { id, .. } => {
                    let answer = denwa_sip_core::io::Answer::NotFound;
                    self.machine.handle_input(Input::Resolved { id, answer }, self.now);
                }
                Output::OpenStream { stream, .. } => {
                    let reason = denwa_sip_core::io::StreamFailure::Refused;
                    self.machine.handle_input(Input::StreamFailed { stream, reason }, self.now);
                }
                Output::Transmit(transmit) => {
                    // What we write, we can read.
                    Message::parse_lenient(transmit.payload).unwrap();
                }
                Output::CloseStream { .. } => {}
            }
        }
    }

    fn on_incoming(&mut self, request: RequestHandle, method: &Method) {
        let bad = Reply::new(StatusCode::BAD_REQUEST);
        let taken = match method {
            Method::Invite => {
                let (local, options) = (LocalIdentity::default(), CallOptions::default());
                self.machine.accept_call(request, &local, options, self.now).map(|call| self.calls.push(call))
            }
            Method::Register => self.machine.accept_registration(request, "sip:a@b", self.now),
            Method::Subscribe => {
                self.machine.accept_subscription(request, AcceptSubscription::default(), self.now).map(drop)
            }
            Method::Options => self.machine.authenticate(request, &ChallengePolicy::new("r"), self.now),
            _ => self.machine.respond(request, &Reply::new(StatusCode::OK), self.now),
        };
        if taken.is_err() {
            let _ = self.machine.respond(request, &bad, self.now);
        }
    }

    #[allow(clippy::collapsible_match)] // a guard that sends would hide what it does
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Incoming { request, message, .. } => self.on_incoming(request, message.method()),
            Event::TransferRequested { request, .. } => {
                let accepted = self.machine.accept_transfer(request, &LocalIdentity::default(), self.now);
                let reply = Reply::new(StatusCode::DECLINE);
                let _ = accepted.or_else(|_| self.machine.respond(request, &reply, self.now).map(|()| None));
            }
            Event::Authenticated { request, .. } | Event::DialogRequest { request, .. } => {
                let _ = self.machine.respond(request, &Reply::new(StatusCode::OK), self.now);
            }
            Event::CallEnded { call, .. } => {
                assert!(self.machine.call(call).is_none(), "{call} ended and is still there");
                self.calls.retain(|own| *own != call);
            }
            Event::ShutDown => self.told = true,
            _ => {}
        }
    }
}

/// REGISTERs whose header lines are the data: bindings stay sound.
fn registrar(data: &[u8]) {
    let mut peer = Peer::new();
    for (number, lines) in data.split(|byte| *byte == 0xff).take(16).enumerate() {
        let mut message = format!(
            "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: {number} REGISTER\r\n"
        )
        .into_bytes();
        message.extend_from_slice(lines);
        message.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        peer.receive(&message);
        let most = peer.machine.config().registrar.expiry.bindings;
        let bindings = peer.machine.bindings("sip:a@b");
        assert!(bindings.len() <= most);
        assert!(bindings.iter().all(|it| it.expires_at > peer.now && it.quality <= 1000));
    }
    peer.pass(Duration::from_secs(100_000));
    assert_eq!(peer.machine.counts().bindings, 0);
}

/// Values of authentication headers and the bodies of event packages: read without panic, and what is read is written so
/// that it is read the same.
fn events(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    assert!(AuthValue::with_scheme(text).iter().count() <= text.len());
    let again = |body: &Body| String::from_utf8(body.bytes.to_vec()).unwrap();
    if let Ok(info) = DialogInfo::parse(text) {
        let _ = DialogInfo::parse(&again(&info.to_body())).unwrap();
    }
    if let Ok(presence) = Presence::parse(text) {
        let _ = Presence::parse(&again(&presence.to_body())).unwrap();
    }
    if let Ok(info) = RegInfo::parse(text) {
        let _ = RegInfo::parse(&again(&info.to_body())).unwrap();
    }
    if let Some(summary) = MessageSummary::parse(text) {
        assert!(MessageSummary::parse(&again(&summary.to_body())).is_some());
    }
    let _ = refer::parse(text);
    let _ = Bytes::copy_from_slice(data);
}
