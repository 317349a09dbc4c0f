//! The transaction layer on a signalling driver: it answers every request by itself, and the test sees all of it.

use bytes::Bytes;
use denwa::bridge;
use denwa::driver::{Answer, FromEndpoint, Machine, Output};
use denwa::tokio::{DriverConfig, Listening, SignallingDriver};
use denwa_sip_core::header::HeaderName;
use denwa_sip_core::io::Input;
use denwa_sip_core::message::Request;
use denwa_sip_core::transaction::{Origin, TransactionEvent, Transactions};
use denwa_sip_core::{Method, Protocol, Seed, StatusCode};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

type Act = Box<dyn FnOnce(&mut Transactions, Instant) + Send>;

struct Clerk {
    layer: Transactions,
    outputs: std::collections::VecDeque<Output<TransactionEvent>>,
}

impl Clerk {
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.layer.poll_output() {
            match output.into() {
                FromEndpoint::Event(event) => {
                    if let TransactionEvent::Request { transaction, request, .. } = &event {
                        for response in answers(request) {
                            self.layer.respond(*transaction, &response, now).unwrap();
                        }
                    }
                    self.outputs.push_back(Output::Event(event));
                }
                FromEndpoint::Lookup { .. } => {}
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
            }
        }
    }
}

/// It rings and is answered; whoever registers is registered; everything else is well.
fn answers(request: &Request) -> Vec<denwa_sip_core::message::Response> {
    let ok = request.response(StatusCode::OK).to_tag("desk");
    match request.method() {
        Method::Invite => vec![
            request.response(StatusCode::RINGING).to_tag("desk").finish().unwrap(),
            ok.header(HeaderName::Contact, "<sip:desk@127.0.0.1>")
                .body("application/sdp", Bytes::from_static(SDP.as_bytes()))
                .finish()
                .unwrap(),
        ],
        Method::Register => {
            let expires = request.expires().ok().flatten().unwrap_or(600);
            let ok = ok.copy(request, HeaderName::Contact).header(HeaderName::Expires, expires);
            vec![ok.finish().unwrap()]
        }
        _ => vec![ok.finish().unwrap()],
    }
}

impl Machine for Clerk {
    type Command = Act;
    type Event = TransactionEvent;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.layer.handle_input(input, now);
        self.drain(now);
    }

    fn handle_media(&mut self, _: bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, act: Act, now: Instant) {
        act(&mut self.layer, now);
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.layer.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<TransactionEvent>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.layer.poll_timeout()
    }
}

pub(crate) struct Desk {
    driver: SignallingDriver<Act>,
    told: mpsc::Receiver<TransactionEvent>,
}

impl Desk {
    pub(crate) fn start(
        mut config: DriverConfig,
        make: impl FnOnce(&[Listening]) -> denwa_sip_core::config::TransactionConfig + Send + 'static,
    ) -> Self {
        config.media = None;
        let (tell, told) = mpsc::channel();
        let make = move |listening: &[Listening], now| Clerk {
            layer: Transactions::new(make(listening), Seed(denwa::tokio::entropy().unwrap()), now),
            outputs: std::collections::VecDeque::new(),
        };
        let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event))).unwrap();
        Self { driver, told }
    }

    pub(crate) fn address(&self, protocol: Protocol) -> SocketAddr {
        self.driver.listening().iter().find(|listening| listening.protocol == protocol).unwrap().address
    }

    pub(crate) fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Transactions, Instant) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::channel();
        let act = move |layer: &mut Transactions, now| drop(tell.send(act(layer, now)));
        self.driver.handle().command(Box::new(act)).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits for an event of which `what` makes something.
    pub(crate) fn expect<T>(&self, mut what: impl FnMut(&TransactionEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.told.recv_timeout(left) else {
                panic!("what is waited for did not happen, but:\n{before:#?}")
            };
            if let Some(found) = what(&event) {
                return found;
            }
            before.push(event);
        }
    }

    /// The next request of this method, and where it came from.
    pub(crate) fn expect_request(&self, method: &Method) -> (Request, Origin) {
        self.expect(|event| match event {
            TransactionEvent::Request { request, origin, .. }
            | TransactionEvent::Ack { request, origin, .. }
                if request.method() == method =>
            {
                Some((request.clone(), origin.clone()))
            }
            _ => None,
        })
    }
}
