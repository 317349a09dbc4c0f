//! Targets of `sip-core`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use denwa_sip_core::{
    Attitude, HeaderName, Input, Liberty, Message, Output, Protocol, Request, Seed, StatusCode, StreamId,
    Uri,
    config::{Listener, TransactionConfig},
    header::{
        AuthInfo, AuthValue, CSeq, CallId, Date, DialogReference, Event, Features, HeaderValue, MediaType,
        MimeVersion, MinSe, NameAddr, Number, OpaqueParams, Privacy, Product, RAck, RSeq, Reason,
        ResourcePriority, RetryAfter, SessionExpires, SubscriptionState, Timestamp, Token, TokenParams, Via,
        Warning,
    },
    io::StreamFailure,
    message::{ParseOptions, SipFragment},
    transaction::{SendOptions, TransactionEvent, Transactions},
    transport::{Target, websocket},
};

use crate::Target as Fuzz;

/// Name and body of each.
pub const TARGETS: &[Fuzz] = &[
    ("sip_message", sip_message),
    ("sip_stream", sip_stream),
    ("sip_uri", sip_uri),
    ("sip_header", sip_header),
    ("sip_websocket", sip_websocket),
    ("sip_transactions", sip_transactions),
];

/// A datagram: what is read can be written, what strict reading takes lenient reading takes too, errors point into the
/// bytes, an edit changes what it names and nothing else.
fn sip_message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let strict = Message::parse(bytes.clone(), &ParseOptions::strict());
    let lenient = Message::parse_lenient(bytes.clone());
    if let Err(error) = &lenient {
        assert!(error.offset <= data.len(), "{error} of {}", data.len());
        assert!(strict.is_err(), "strict took what lenient refused: {error}");
    }
    let Ok(message) = lenient else { return };
    let valid = message.validate(Attitude::Lenient);
    if let Err(error) = &valid {
        assert!(error.offset <= message.bytes().len());
    }
    if message.validate(Attitude::Strict).is_ok() {
        assert!(valid.is_ok(), "strict took what lenient refused");
    }
    let _ =
        (message.via(), message.from(), message.to(), message.call_id(), message.cseq(), message.contacts());
    let _ = (message.vias().count(), message.routes().count(), message.parts(), message.expires());
    for header in message.headers() {
        assert!(header.offset + header.value.len() <= message.bytes().len());
        assert!(message.get_all(header.name).count() > 0);
    }
    if let Ok(anew) = message.normalized() {
        let again = Message::parse_lenient(anew.bytes().clone()).expect("what is written is well-formed");
        assert_eq!(again.header_count(), anew.header_count());
        assert_eq!(again.body(), message.body());
        // A URI that means nothing is kept as it came; lines and lengths are in order.
        let framing = [Liberty::BareLineFeed, Liberty::JunkLine, Liberty::StartLineSpace, Liberty::Latin1];
        assert!(
            !again.forgiven().iter().any(|note| framing.contains(&note.liberty)),
            "{:?}",
            again.forgiven()
        );
    }
    if let Message::Request(request) = &message {
        edits(request);
    }
}

fn edits(request: &Request) {
    let vias = request.get_all(HeaderName::Via).count();
    if let Ok(edited) = request.edit().prepend(HeaderName::Via, "SIP/2.0/UDP h;branch=z9hG4bKx").finish() {
        assert_eq!(edited.get_all(HeaderName::Via).count(), vias + 1);
        assert_eq!(edited.body(), request.body());
        let again = Request::parse(edited.bytes().clone(), &ParseOptions::default())
            .expect("an edit keeps what was well-formed");
        let positions = |request: &Request| {
            request.headers().map(|header| (header.offset, header.value.len())).collect::<Vec<_>>()
        };
        assert_eq!(
            positions(&again),
            positions(&edited),
            "the index made while writing is the one that reading makes"
        );
    }
    if let Ok(response) = request.response(StatusCode::OK).to_tag("t").finish() {
        let again = Message::parse_lenient(response.bytes().clone()).expect("a response is well-formed");
        assert_eq!(again.get_all(HeaderName::Via).count(), vias);
    }
}

/// A stream in pieces: however it is cut, the same messages come out.
fn sip_stream(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let whole = stream_events(stream, stream.len().max(1));
    let pieces = stream_events(stream, usize::from(size % 64) + 1);
    assert_eq!(whole, pieces);
}

fn stream_events(data: &[u8], size: usize) -> Vec<String> {
    let now = Instant::now();
    let local: SocketAddr = ([192, 0, 2, 2], 5060).into();
    let remote: SocketAddr = ([192, 0, 2, 1], 40000).into();
    let mut layer = Transactions::new(
        TransactionConfig::new(vec![Listener::new(Protocol::Tcp, local)]),
        Seed([1; 32]),
        now,
    );
    let stream = StreamId::accepted(0);
    layer.handle_input(
        Input::StreamOpened { stream, protocol: Protocol::Tcp, local, remote, peer_identity: None },
        now,
    );
    for chunk in data.chunks(size) {
        layer.handle_input(Input::StreamData { stream, payload: chunk }, now);
    }
    let mut events = Vec::new();
    while let Some(output) = layer.poll_output() {
        match output {
            Output::Event(
                TransactionEvent::Request { request, .. } | TransactionEvent::Ack { request, .. },
            ) => {
                events.push(format!("{request:?}"));
            }
            Output::Event(TransactionEvent::Refused { error, .. }) => events.push(error.to_string()),
            Output::CloseStream { .. } => events.push("closed".into()),
            _ => {}
        }
    }
    events
}

/// A URI: its parts are parts of it, it is equivalent to itself, and writing it strictly gives a URI.
fn sip_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let strict = Uri::parse(text, Attitude::Strict);
    let Ok(uri) = Uri::parse(text, Attitude::Lenient) else {
        assert!(strict.is_err());
        return;
    };
    assert_eq!(uri.as_str(), text);
    #[allow(clippy::eq_op)] // §19.1.4 is ours to implement: that it is reflexive is a claim
    let same = uri == uri;
    assert!(same, "a URI is what it is");
    for part in [Some(uri.scheme_str()), uri.user(), uri.password(), Some(uri.host_str()), uri.headers_str()]
        .into_iter()
        .flatten()
    {
        assert!(text.contains(part));
    }
    assert!(uri.params().iter().all(|param| text.contains(param.name)));
    let owned = uri.to_owned();
    assert_eq!(owned.as_str(), text);
    let _ = (
        uri.for_request(),
        owned.with_param("x", Some("y")),
        owned.without_param("transport"),
        uri.user_unescaped(),
    );
    let written = uri.to_strict();
    assert!(Uri::parse(written.as_str(), Attitude::Lenient).is_ok());
}

/// A header value: the first byte chooses the family. What is read is written so that it reads the same.
fn sip_header(data: &[u8]) {
    let Some((&family, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    // The message scan lets line breaks into a value only as folds.
    if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return;
    }
    match family % 29 {
        0 => header::<Via<'_>>(text),
        1 => header::<NameAddr<'_>>(text),
        2 => header::<CSeq>(text),
        3 => header::<CallId<'_>>(text),
        4 => header::<AuthValue<'_>>(text),
        5 => header::<AuthInfo<'_>>(text),
        6 => header::<Date>(text),
        7 => header::<Timestamp<'_>>(text),
        8 => header::<DialogReference<'_>>(text),
        9 => header::<Event<'_>>(text),
        10 => header::<Features<'_>>(text),
        11 => header::<MediaType<'_>>(text),
        12 => header::<Number>(text),
        13 => header::<OpaqueParams<'_>>(text),
        14 => header::<Privacy<'_>>(text),
        15 => header::<Product<'_>>(text),
        16 => header::<RAck>(text),
        17 => header::<Reason<'_>>(text),
        18 => header::<ResourcePriority<'_>>(text),
        19 => header::<RetryAfter<'_>>(text),
        20 => header::<SessionExpires<'_>>(text),
        21 => header::<SubscriptionState<'_>>(text),
        22 => header::<Token<'_>>(text),
        23 => header::<TokenParams<'_>>(text),
        24 => header::<Warning<'_>>(text),
        26 => header::<MinSe<'_>>(text),
        27 => header::<MimeVersion>(text),
        28 => header::<RSeq>(text),
        _ => drop(SipFragment::parse(Bytes::copy_from_slice(rest), &ParseOptions::default())),
    }
}

fn header<'a, T: HeaderValue<'a> + std::fmt::Display>(text: &'a str) {
    let strict = T::parse(text, Attitude::Strict);
    let lenient = T::parse(text, Attitude::Lenient);
    let Ok(value) = strict else { return };
    let lenient = lenient.expect("lenient takes what strict takes");
    let written = value.to_string();
    assert_eq!(lenient.to_string(), written);
    // The text outlives nothing here, so what reads it back is a value of its own.
    let again = reread::<T>(&written);
    assert_eq!(again, Some(()), "{written:?} does not read back");
}

fn reread<'a, T: HeaderValue<'a>>(written: &str) -> Option<()> {
    // A header type borrows from its text for as long as the type says, so the text is leaked: a fuzz run is short.
    let text: &'static str = Box::leak(written.to_owned().into_boxed_str());
    T::parse(text, Attitude::Strict).ok().map(drop)
}

/// WebSocket frames in pieces: however they are cut, the same messages come out, and none is longer than the limit.
fn sip_websocket(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let run = |size: usize| {
        let mut decoder = websocket::Decoder::new(websocket::Role::Server, 4096);
        let mut events = Vec::new();
        'all: for chunk in stream.chunks(size) {
            decoder.push(chunk);
            while let Some(event) = decoder.next() {
                if let Ok(websocket::Event::Message(message)) = &event {
                    assert!(message.len() <= 4096);
                }
                let broken = event.is_err();
                events.push(format!("{event:?}"));
                if broken {
                    break 'all;
                }
            }
        }
        events
    };
    assert_eq!(run(stream.len().max(1)), run(usize::from(size % 16) + 1));
}

/// Arbitrary operations on a live layer: nothing panics, no handle ends twice, and when all timers have run out nothing is
/// left. The model is the set of handles that began and have not ended.
fn sip_transactions(data: &[u8]) {
    let start = Instant::now();
    let mut now = start;
    let local: SocketAddr = ([192, 0, 2, 2], 5060).into();
    let listeners = [Protocol::Udp, Protocol::Tcp].map(|protocol| Listener::new(protocol, local)).to_vec();
    let mut world = World {
        layer: Transactions::new(TransactionConfig::new(listeners), Seed([9; 32]), now),
        clients: Vec::new(),
        servers: Vec::new(),
        sent: Vec::new(),
        opening: Vec::new(),
        accepted: 0,
        local,
    };
    for operation in data.chunks(4).take(200) {
        let [kind, a, b, c] = [0, 1, 2, 3].map(|at| operation.get(at).copied().unwrap_or(0));
        world.operate(kind, a, b, c, &mut now);
        world.drain();
    }
    let end = now + Duration::from_secs(4000);
    while let Some(at) = world.layer.poll_timeout().filter(|at| *at <= end) {
        assert!(at >= now, "a deadline in the past stays armed");
        now = at.max(now + Duration::from_nanos(1));
        world.layer.handle_timeout(now);
        world.drain();
    }
    let counts = world.layer.counts();
    assert_eq!((counts.clients, counts.servers), (0, 0), "something is left");
    assert!(world.clients.is_empty() && world.servers.is_empty(), "something never ended");
}

struct World {
    layer: Transactions,
    clients: Vec<denwa_sip_core::transaction::ClientId>,
    servers: Vec<(denwa_sip_core::transaction::ServerId, Request)>,
    /// Requests that left, to be answered.
    sent: Vec<Request>,
    opening: Vec<(StreamId, SocketAddr)>,
    accepted: u64,
    local: SocketAddr,
}

const METHODS: [&str; 6] = ["INVITE", "OPTIONS", "ACK", "CANCEL", "REGISTER", "BYE"];
const STATUSES: [u16; 8] = [100, 180, 200, 202, 302, 408, 486, 503];

impl World {
    fn operate(&mut self, kind: u8, a: u8, b: u8, c: u8, now: &mut Instant) {
        let remote: SocketAddr = ([192, 0, 2, a % 4 + 10], 5060).into();
        match kind % 10 {
            // A request comes, perhaps again.
            0 | 1 => {
                let text = text_of(METHODS[usize::from(b) % METHODS.len()], c % 8, b >= 128);
                self.layer.handle_input(
                    Input::Datagram { local: self.local, remote, payload: text.as_bytes() },
                    *now,
                );
            }
            // One of ours goes out.
            2 => {
                let request = own(METHODS[usize::from(b) % METHODS.len()], c);
                let protocol = if a >= 200 { Protocol::Tcp } else { Protocol::Udp };
                let target = Target::address(protocol, remote);
                if let Ok(id) = self.layer.send_request(request, target, SendOptions::default(), *now) {
                    self.clients.push(id);
                }
            }
            // We answer.
            3 => {
                if let Some((id, request)) = self.servers.get(usize::from(a) % self.servers.len().max(1)) {
                    let status =
                        StatusCode::new(STATUSES[usize::from(b) % STATUSES.len()]).unwrap_or(StatusCode::OK);
                    if let Ok(response) = request.response(status).to_tag("t").finish() {
                        let _ = self.layer.respond(*id, &response, *now);
                    }
                }
            }
            // The peer answers.
            4 | 5 => {
                if let Some(request) = self.sent.get(usize::from(a) % self.sent.len().max(1)) {
                    let status =
                        StatusCode::new(STATUSES[usize::from(b) % STATUSES.len()]).unwrap_or(StatusCode::OK);
                    if let Ok(response) = request.response(status).to_tag("t").finish() {
                        let input = Input::Datagram { local: self.local, remote, payload: response.bytes() };
                        self.layer.handle_input(input, *now);
                    }
                }
            }
            6 => {
                if let Some(id) = self.clients.get(usize::from(a) % self.clients.len().max(1)) {
                    let _ = self.layer.cancel(*id, &[], *now);
                }
            }
            7 => {
                *now += Duration::from_millis(u64::from(b) * 40);
                self.layer.handle_timeout(*now);
            }
            8 => {
                let input = Input::Unreachable { source: None, destination: remote, protocol: Protocol::Udp };
                self.layer.handle_input(input, *now);
            }
            _ => self.stream(a, b, c, remote, *now),
        }
    }

    fn stream(&mut self, a: u8, b: u8, c: u8, remote: SocketAddr, now: Instant) {
        let protocol = Protocol::Tcp;
        match (b % 4, self.opening.get(usize::from(a) % self.opening.len().max(1)).copied()) {
            (0, Some((stream, remote))) => {
                let input =
                    Input::StreamOpened { stream, protocol, local: self.local, remote, peer_identity: None };
                self.layer.handle_input(input, now);
            }
            (1, Some((stream, _))) => {
                self.layer.handle_input(Input::StreamFailed { stream, reason: StreamFailure::Refused }, now);
            }
            (2, _) => {
                let stream = StreamId::accepted(self.accepted);
                self.accepted += 1;
                let input =
                    Input::StreamOpened { stream, protocol, local: self.local, remote, peer_identity: None };
                self.layer.handle_input(input, now);
                let text = text_of(METHODS[usize::from(c) % METHODS.len()], c % 8, false);
                self.layer.handle_input(Input::StreamData { stream, payload: text.as_bytes() }, now);
            }
            _ => {
                let stream = StreamId::accepted(u64::from(c) % (self.accepted + 1));
                self.layer.handle_input(Input::StreamClosed { stream }, now);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.layer.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let message = Message::parse(transmit.payload, &ParseOptions::strict());
                    if let Message::Request(request) = message.expect("what is sent is well-formed") {
                        self.sent.push(request);
                        if self.sent.len() > 32 {
                            self.sent.remove(0);
                        }
                    }
                }
                Output::OpenStream { stream, remote, .. } => self.opening.push((stream, remote)),
                Output::Event(event) => self.on_event(event),
                _ => {}
            }
        }
    }

    fn on_event(&mut self, event: TransactionEvent) {
        match event {
            TransactionEvent::Request { transaction, request, .. } => {
                assert!(self.servers.iter().all(|(id, _)| *id != transaction));
                self.servers.push((transaction, request));
            }
            TransactionEvent::ServerEnded { transaction, .. } => {
                let at = self.servers.iter().position(|(id, _)| *id == transaction);
                self.servers.remove(at.expect("a server transaction ends once"));
            }
            TransactionEvent::Response { transaction, .. } => assert!(self.clients.contains(&transaction)),
            TransactionEvent::ClientEnded { transaction, .. } => {
                let at = self.clients.iter().position(|id| *id == transaction);
                self.clients.remove(at.expect("a client transaction ends once"));
            }
            _ => {}
        }
    }
}

fn text_of(method: &str, number: u8, is_old: bool) -> String {
    let branch = if is_old { String::new() } else { format!(";branch=z9hG4bK{number}") };
    format!(
        "{method} sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1{branch};rport\r\nFrom: <sip:a@b>;tag={number}\r\n\
        To: <sip:b@192.0.2.2>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn own(method: &str, number: u8) -> Request {
    let text = format!(
        "{method} sip:b@192.0.2.9 SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:b@c>\r\nCall-ID: own-{number}\r\n\
        CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    );
    Request::parse(Bytes::from(text), &ParseOptions::default()).expect("written above")
}
