//! What calls and registrations cost of processor time, in memory, without sockets: both ends of a call; a registrar's REGISTER with
//! 100,000 bindings held; what an idle dialog and a registration weigh.
//!
//! Budgets of the project: a complete call, both ends, 20 µs; an authenticated REGISTER 8 µs; 2 KiB an idle dialog;
//! 400 bytes a registration beyond its strings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "shared/thread_time.rs"]
mod thread_time;

use criterion::{Criterion, criterion_group, criterion_main};
use denwa_sip_core::{
    auth::{
        client::{ClientAuth, Subject},
        parameters::AuthValue,
    },
    config::Listener,
    endpoint::*,
    message::{Message, Method, StatusCode, UriBuf},
};
use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use thread_time::ThreadTime;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

fn endpoint(last: u8, now: Instant) -> Endpoint {
    let mut config = EndpointConfig::new(vec![Listener::new(denwa_sip_core::Protocol::Udp, address(last))]);
    config.limits.calls = 200_000;
    config.limits.dialogs = 200_000;
    config.transactions.limits.server_transactions = 1_000_000;
    config.transactions.limits.client_transactions = 1_000_000;
    Endpoint::new(config, Seed([last; 32]), now)
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// Two telephones and what travels between them.
struct Pair {
    a: Endpoint,
    b: Endpoint,
    now: Instant,
    place: PlaceCall,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let uri = |name: &str, last| UriBuf::parse(&format!("sip:{name}@{}", address(last))).unwrap();
        let target = Target::address(denwa_sip_core::Protocol::Udp, address(2));
        let mut place = PlaceCall::new(Party::new(uri("a", 1)), Party::new(uri("b", 2)), target);
        place.body = Some(Body::sdp(SDP));
        place.options.session_timer = None;
        Self { a: endpoint(1, now), b: endpoint(2, now), now, place }
    }

    /// Delivers until nobody has anything to say. `b` answers what rings.
    fn settle(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            while let Some(output) = self.a.poll_output() {
                again = true;
                if let Output::Transmit(transmit) = output {
                    let input =
                        Input::Datagram { local: address(2), remote: address(1), payload: &transmit.payload };
                    self.b.handle_input(input, self.now);
                }
            }
            while let Some(output) = self.b.poll_output() {
                again = true;
                match output {
                    Output::Transmit(transmit) => {
                        let input = Input::Datagram {
                            local: address(1),
                            remote: address(2),
                            payload: &transmit.payload,
                        };
                        self.a.handle_input(input, self.now);
                    }
                    Output::Event(Event::Incoming { request, .. }) => {
                        let options = CallOptions { session_timer: None, ..CallOptions::default() };
                        let call = self
                            .b
                            .accept_call(request, &LocalIdentity::default(), options, self.now)
                            .unwrap();
                        self.b.ring(call, &Reply::new(StatusCode::RINGING), self.now).unwrap();
                        let ok = Reply::new(StatusCode::OK).with_body(Body::sdp(SDP));
                        self.b.answer(call, &ok, self.now).unwrap();
                    }
                    _ => {}
                }
            }
        }
    }

    fn call(&mut self) -> CallHandle {
        let call = self.a.place_call(self.place.clone(), self.now).unwrap();
        self.settle();
        call
    }

    fn hang_up(&mut self, call: CallHandle) {
        self.a.hang_up(call, &Headers::new(), self.now).unwrap();
        self.settle();
    }

    /// Lets the transactions of ended calls run out.
    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.a.handle_timeout(self.now);
        self.b.handle_timeout(self.now);
        self.settle();
    }
}

fn complete_call(c: &mut Criterion<ThreadTime>) {
    for held in [10, 1000, 10_000, 100_000] {
        if held > 1000 && !denwa_benches::is_measured() {
            continue;
        }
        let mut pair = Pair::new();
        for _ in 0..held {
            pair.call();
        }
        pair.pass(Duration::from_secs(40));
        let mut placed = 0_u64;
        c.bench_function(&format!("call, both ends, {held} held"), |b| {
            b.iter(|| {
                let call = pair.call();
                pair.hang_up(call);
                placed += 1;
                if placed.is_multiple_of(64) {
                    // As time would: the timers of some 64 calls at once.
                    pair.pass(Duration::from_secs(33));
                }
            });
        });
    }
}

/// A registrar with many bindings, and a telephone that refreshes.
struct Registered {
    registrar: Endpoint,
    now: Instant,
    sequence: u32,
    auth: ClientAuth,
    algorithm: Algorithm,
    answered: u64,
}

fn binding(user: usize, now: Instant) -> Binding {
    let flow =
        Flow { protocol: denwa_sip_core::Protocol::Udp, local: address(2), remote: address(1), stream: None };
    Binding {
        contact: UriBuf::parse(&format!("sip:{user}@192.0.2.1:5060")).unwrap(),
        parameters: "".into(),
        quality: 1000,
        expires_at: now + Duration::from_secs(86_400),
        call_id: format!("call-{user}").into(),
        sequence: 1,
        path: Box::new([]),
        flow,
        user_agent: "bench".into(),
        instance: None,
    }
}

impl Registered {
    fn new(bindings: usize, algorithm: Algorithm) -> Self {
        let now = Instant::now();
        let mut registrar = endpoint(2, now);
        for user in 0..bindings {
            registrar.load_bindings(&format!("sip:{user}@pbx.example"), vec![binding(user, now)], now);
        }
        let mut it = Self { registrar, now, sequence: 10, auth: ClientAuth::new(), algorithm, answered: 0 };
        let challenge = it.register().expect("a challenge");
        let own =
            Credentials { realm: None, username: "1001".to_owned(), secret: Secret::password("secret") };
        let values: Vec<String> = challenge.get_all("WWW-Authenticate").map(str::to_owned).collect();
        it.auth.challenged(values.iter().map(String::as_str), std::iter::empty(), false, &[own]).unwrap();
        it
    }

    /// One REGISTER through to its answer; the challenge, if it was one.
    fn register(&mut self) -> Option<denwa_sip_core::Response> {
        self.sequence += 1;
        let subject = Subject { method: "REGISTER", uri: "sip:pbx.example", body: b"" };
        let authorization = self
            .auth
            .authorize(subject, || "0a4f113b".to_owned())
            .first()
            .map(|(_, value)| format!("Authorization: {value}\r\n"))
            .unwrap_or_default();
        let sequence = self.sequence;
        let text = format!(
            "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKr{sequence}\r\nMax-Forwards: 70\r\nFrom: <sip:1001@pbx.example>;tag=a\r\nTo: <sip:1001@pbx.example>\r\nCall-ID: bench\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:1001@192.0.2.1:5060>\r\nExpires: 3600\r\n{authorization}Content-Length: 0\r\n\r\n"
        );
        let input = Input::Datagram { local: address(2), remote: address(1), payload: text.as_bytes() };
        self.registrar.handle_input(input, self.now);
        self.serve()
    }

    fn serve(&mut self) -> Option<denwa_sip_core::Response> {
        let policy =
            ChallengePolicy { algorithms: vec![self.algorithm], ..ChallengePolicy::new("pbx.example") };
        let mut challenge = None;
        while let Some(output) = self.registrar.poll_output() {
            match output {
                Output::Event(Event::Incoming { request, .. }) => {
                    self.registrar.authenticate(request, &policy, self.now).unwrap();
                }
                Output::Event(Event::Authenticated { request, .. }) => {
                    self.registrar.accept_registration(request, "sip:1001@pbx.example", self.now).unwrap();
                }
                Output::Lookup { id, lookup: Lookup::Credentials { user, .. } } => {
                    let provided = Provided::Secret { user, secret: Secret::password("secret") };
                    self.registrar.handle_input(Input::Provided { id, provided }, self.now);
                }
                Output::Lookup { id, .. } => {
                    self.registrar.handle_input(Input::Provided { id, provided: Provided::Stored }, self.now);
                }
                Output::Transmit(transmit) => {
                    let status = transmit.payload.get(8..11);
                    if status == Some(b"401") {
                        let message = Message::parse_lenient(transmit.payload).unwrap();
                        challenge = message.as_response().cloned();
                    } else {
                        assert_eq!(status, Some(&b"200"[..]));
                        self.answered += 1;
                    }
                }
                _ => {}
            }
        }
        challenge
    }
}

fn authenticated_register(c: &mut Criterion<ThreadTime>) {
    for (name, algorithm) in [("MD5", Algorithm::Md5), ("SHA-256", Algorithm::Sha256)] {
        for bindings in [10, 100_000] {
            let mut registered = Registered::new(bindings, algorithm);
            c.bench_function(&format!("REGISTER {name}, {bindings} bindings held"), |b| {
                b.iter(|| {
                    black_box(registered.register());
                    if registered.sequence.is_multiple_of(64) {
                        registered.now += Duration::from_secs(1);
                        registered.registrar.handle_timeout(registered.now);
                        registered.serve();
                    }
                });
            });
            // The first one was challenged; whoever asked for other measurements has no more than that.
            assert!(registered.answered > 0 || registered.sequence == 11);
        }
    }
    let _ = (AuthValue::with_scheme(""), Method::Register);
}

/// Bytes by the allocator, told once on standard output.
fn weights(_: &mut Criterion<ThreadTime>) {
    let mut pair = Pair::new();
    const CALLS: u64 = 2000;
    // Once before, so that tables of transactions, which calls need for half a minute only, have their size.
    let calls: Vec<CallHandle> = (0..CALLS).map(|_| pair.call()).collect();
    calls.into_iter().for_each(|call| pair.hang_up(call));
    pair.pass(Duration::from_secs(40));
    let info = allocation_counter::measure(|| {
        for _ in 0..CALLS {
            pair.call();
        }
        pair.pass(Duration::from_secs(40));
    });
    let once = allocation_counter::measure(|| {
        let call = pair.call();
        pair.hang_up(call);
    });
    println!("a call, both ends, allocates {} times, {} bytes", once.count_total, once.bytes_total);
    println!("an idle call, both ends: {} bytes", info.bytes_current / i64::try_from(CALLS).unwrap());
    let now = Instant::now();
    let mut registrar = endpoint(2, now);
    const BINDINGS: usize = 20_000;
    let info = allocation_counter::measure(|| {
        for user in 0..BINDINGS {
            registrar.load_bindings(&format!("sip:{user}@pbx.example"), vec![binding(user, now)], now);
        }
    });
    let strings = "sip:19999@pbx.example".len() + "sip:19999@192.0.2.1:5060".len() + "call-19999bench".len();
    println!(
        "a registration: {} bytes, of which some {strings} are strings",
        info.bytes_current / i64::try_from(BINDINGS).unwrap()
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime).sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = weights, complete_call, authenticated_register
}
criterion_main!(benches);
