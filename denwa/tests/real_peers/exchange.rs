//! A small exchange on a signalling driver, of one endpoint: it registers telephones, has a letter box for each, takes and
//! makes calls. What comes it answers by itself; the test sees every event and gives the orders.

use crate::authority::Authority;
use denwa::bridge;
use denwa::driver::{Answer, FromEndpoint, Machine, Output};
use denwa::tokio::{DriverConfig, SignallingDriver, Tls};
use denwa_interop::wait_until;
use denwa_sip_core::endpoint::*;
use denwa_sip_core::message::{Method, UriBuf};
use denwa_sip_core::subscription::message_summary::{MessageSummary, Messages};
use denwa_sip_core::{Protocol, StatusCode};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The password of everybody.
pub(crate) const PASSWORD: &str = "sesame";

type Act = Box<dyn FnOnce(&mut Clerk, Instant) + Send>;

pub(crate) fn sdp(version: u32, direction: &str) -> Body {
    Body::sdp(format!(
        "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 39998 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    ))
}

struct Clerk {
    endpoint: Endpoint,
    outputs: VecDeque<Output<Event>>,
    /// Who wants to register before the exchange opens.
    waiting: Option<Vec<RequestHandle>>,
}

impl Clerk {
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output.into() {
                FromEndpoint::Event(event) => {
                    self.serve(&event, now);
                    self.outputs.push_back(Output::Event(event));
                }
                FromEndpoint::Lookup { id, lookup } => {
                    let provided = match lookup {
                        Lookup::Credentials { user, .. } => {
                            Provided::Secret { user, secret: Secret::password(PASSWORD) }
                        }
                        Lookup::StoreBindings { .. } => Provided::Stored,
                        _ => Provided::Nothing,
                    };
                    self.endpoint.handle_input(Input::Provided { id, provided }, now);
                }
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
            }
        }
    }

    fn register(&mut self, request: RequestHandle, now: Instant) {
        // baresip 1.0 gives up at a challenge for SHA-256, although the one for MD5 stands below it.
        let policy = ChallengePolicy { algorithms: vec![Algorithm::Md5], ..ChallengePolicy::new("exchange") };
        let _ = self.endpoint.authenticate(request, &policy, now);
    }

    /// What does not go is the test's to see: the events tell.
    fn serve(&mut self, event: &Event, now: Instant) {
        let ok = Reply::new(StatusCode::OK);
        match event {
            Event::Incoming { request, message, .. } => match message.method() {
                Method::Register => match &mut self.waiting {
                    Some(waiting) => waiting.push(*request),
                    None => self.register(*request, now),
                },
                Method::Subscribe if message.get("Event") == Some("message-summary") => {
                    let voice = Some(Messages { new: 2, old: 1, ..Messages::default() });
                    let summary = MessageSummary { waiting: true, voice, ..MessageSummary::default() };
                    let body = Some(summary.to_body());
                    let accept = AcceptSubscription { body, ..AcceptSubscription::default() };
                    let _ = self.endpoint.accept_subscription(*request, accept, now);
                }
                Method::Subscribe => {
                    let _ = self.endpoint.respond(*request, &Reply::new(StatusCode::BAD_EVENT), now);
                }
                Method::Invite => {
                    let replaces = self.endpoint.replaced_call(*request).ok().flatten();
                    let local = LocalIdentity { user: "exchange".to_owned(), ..LocalIdentity::default() };
                    let options = CallOptions { replaces, ..CallOptions::default() };
                    if let Ok(call) = self.endpoint.accept_call(*request, &local, options, now) {
                        let ringing = Reply::new(StatusCode::RINGING);
                        let _ = self.endpoint.ring(call, &ringing, now);
                        let _ = self.endpoint.answer(call, &ok.with_body(sdp(1, "sendrecv")), now);
                    }
                }
                _ => {
                    let _ = self.endpoint.respond(*request, &ok, now);
                }
            },
            Event::Authenticated { request, username, .. } => {
                let _ = self.endpoint.accept_registration(*request, &format!("sip:{username}@exchange"), now);
            }
            Event::DialogRequest { request, .. } => {
                let _ = self.endpoint.respond(*request, &ok, now);
            }
            Event::OfferReceived { call, carrier: Carrier::Invite, body, .. } => {
                let held = String::from_utf8_lossy(&body.bytes).contains("a=sendonly");
                let answer = sdp(2, if held { "recvonly" } else { "sendrecv" });
                let _ = self.endpoint.answer_offer(*call, Some(answer), &Headers::new(), now);
            }
            _ => {}
        }
    }
}

impl Machine for Clerk {
    type Command = Act;
    type Event = Event;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.endpoint.handle_input(input, now);
        self.drain(now);
    }

    fn handle_media(&mut self, _: bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, act: Act, now: Instant) {
        act(self, now);
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<Event>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }
}

pub(crate) struct Exchange {
    driver: SignallingDriver<Act>,
    told: mpsc::Receiver<Event>,
}

impl Exchange {
    /// Listens on UDP, TCP and TLS of loopback.
    pub(crate) fn start(authority: &Authority) -> Self {
        let listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"];
        let mut config = DriverConfig::new(listen.map(|text| text.parse().unwrap()).to_vec());
        config.tls = Some(Tls::new(&authority.tls(&["127.0.0.1"])).unwrap());
        config.media = None;
        let (tell, told) = mpsc::channel();
        let driver = SignallingDriver::start(
            config,
            |listening, now| {
                let listeners = listening.iter().map(|it| Listener::new(it.protocol, it.address)).collect();
                let mut config = EndpointConfig::new(listeners);
                config.registrar.expiry.minimum = Duration::from_secs(1);
                let seed = Seed(denwa::tokio::entropy().unwrap());
                Clerk {
                    endpoint: Endpoint::new(config, seed, now),
                    outputs: VecDeque::new(),
                    waiting: Some(Vec::new()),
                }
            },
            move |event| drop(tell.send(event)),
        )
        .unwrap();
        Self { driver, told }
    }

    pub(crate) fn address(&self, protocol: Protocol) -> SocketAddr {
        self.driver.listening().iter().find(|listening| listening.protocol == protocol).unwrap().address
    }

    pub(crate) fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Endpoint, Instant) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::channel();
        let act = move |clerk: &mut Clerk, now| drop(tell.send(act(&mut clerk.endpoint, now)));
        self.driver.handle().command(Box::new(act)).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }

    /// Registers who waits for it, and from now on everybody at once.
    pub(crate) fn open(&self) {
        let open = |clerk: &mut Clerk, now| {
            for request in clerk.waiting.take().unwrap_or_default() {
                clerk.register(request, now);
            }
        };
        self.driver.handle().command(Box::new(open)).unwrap();
    }

    /// Waits for an event of which `what` makes something.
    pub(crate) fn expect<T>(&self, mut what: impl FnMut(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.told.recv_timeout(left) else {
                panic!("what is waited for did not happen, but:\n{}", before.join("\n"))
            };
            if let Some(found) = what(&event) {
                return found;
            }
            before.push(format!("{event:?}").chars().take(300).collect::<String>());
        }
    }

    /// The binding that a telephone makes by registering.
    pub(crate) fn expect_binding(&self) -> Binding {
        self.expect(|event| match event {
            Event::BindingsChanged { bindings, .. } => bindings.first().cloned(),
            _ => None,
        })
    }

    fn party(&self, user: &str) -> Party {
        Party::new(UriBuf::parse(&format!("sip:{user}@{}", self.address(Protocol::Udp))).unwrap())
    }

    /// Calls a telephone on the flow it registered over, and waits until it has answered.
    pub(crate) fn call(&self, binding: &Binding) -> CallHandle {
        self.call_to(binding.contact.clone(), Target::Flow(binding.flow))
    }

    /// Calls an address, and waits until somebody has answered.
    pub(crate) fn call_to(&self, uri: UriBuf, target: Target) -> CallHandle {
        self.place(PlaceCall::new(self.party("exchange"), Party::new(uri), target))
    }

    fn place(&self, mut place: PlaceCall) -> CallHandle {
        place.body = Some(sdp(1, "sendrecv"));
        let call = self.act(move |endpoint, now| endpoint.place_call(place, now).unwrap());
        self.expect(|event| match event {
            Event::CallAnswered { call: answered, .. } if *answered == call => Some(()),
            Event::CallEnded { call: ended, reason } if *ended == call => panic!("not answered: {reason:?}"),
            _ => None,
        });
        call
    }

    pub(crate) fn send_text(&self, binding: &Binding, text: &'static str) {
        let to = Party::new(binding.contact.clone());
        let target = Target::Flow(binding.flow);
        let mut message = SendRequest::new(Method::Message, self.party("exchange"), to, target);
        message.body = Some(Body::new("text/plain", text));
        self.act(move |endpoint, now| endpoint.send_request(message, now).unwrap());
        self.expect(|event| match event {
            Event::RequestCompleted { outcome: Outcome::Response(response), .. } => {
                assert!(response.status().is_success(), "{}", response.status());
                Some(())
            }
            _ => None,
        });
    }

    /// A text of a telephone's.
    pub(crate) fn expect_text(&self, text: &str) {
        self.expect(|event| match event {
            Event::Incoming { message, .. } if *message.method() == Method::Message => {
                assert_eq!(String::from_utf8_lossy(message.body()), text);
                Some(())
            }
            _ => None,
        });
    }

    /// A re-INVITE, and that it is accepted.
    pub(crate) fn change(&self, call: CallHandle, version: u32, direction: &'static str) {
        // Not while one of the telephone awaits its ACK.
        let sent = wait_until(PATIENCE, || {
            let body = Some(sdp(version, direction));
            self.act(move |endpoint, now| endpoint.reinvite(call, body, Headers::new(), now)).is_ok()
        });
        assert!(sent, "no re-INVITE can be sent");
        self.expect(|event| matches!(event, Event::Modified { .. }).then_some(()));
    }

    /// A re-INVITE of the telephone: it holds, or takes back.
    pub(crate) fn expect_offer(&self, holds: bool) {
        self.expect(|event| match event {
            Event::OfferReceived { carrier: Carrier::Invite, body, .. } => {
                let is_held = String::from_utf8_lossy(&body.bytes).contains("a=sendonly");
                (is_held == holds).then_some(())
            }
            _ => None,
        });
    }

    pub(crate) fn hang_up(&self, call: CallHandle) {
        self.act(move |endpoint, now| endpoint.hang_up(call, &Headers::new(), now)).unwrap();
        self.expect_end(call);
    }

    pub(crate) fn expect_end(&self, call: CallHandle) -> CallEnd {
        self.expect(|event| match event {
            Event::CallEnded { call: ended, reason } if *ended == call => Some(reason.clone()),
            _ => None,
        })
    }

    /// A call that comes and was answered.
    pub(crate) fn expect_call(&self) -> CallHandle {
        self.expect(|event| match event {
            Event::CallConfirmed { call } => Some(*call),
            _ => None,
        })
    }

    /// The telephone asks for a transfer: it is told that it went well. Whom to, and whether it replaces a call of ours.
    pub(crate) fn expect_transfer(&self) -> (UriBuf, Option<String>) {
        let (request, refer_to, replaces) = self.expect(|event| match event {
            Event::TransferRequested { request, refer_to, replaces, .. } => {
                Some((*request, refer_to.clone(), replaces.clone()))
            }
            _ => None,
        });
        self.act(move |endpoint, now| {
            let local = LocalIdentity { user: "exchange".to_owned(), ..LocalIdentity::default() };
            let report = endpoint.accept_transfer(request, &local, now).unwrap();
            if let Some(report) = report {
                endpoint.report_transfer(report, StatusCode::OK, None, now).unwrap();
            }
        });
        (refer_to, replaces)
    }

    /// The telephone asks for an attended transfer of one call: we call whom it says, with the Replaces it gave, and report.
    /// That Replaces.
    pub(crate) fn follow_transfer(&self) -> String {
        let (request, refer_to, replaces) = self.expect(|event| match event {
            Event::TransferRequested { request, refer_to, replaces: Some(replaces), .. } => {
                Some((*request, refer_to.clone(), replaces.clone()))
            }
            _ => None,
        });
        let mut place = PlaceCall::new(self.party("exchange"), Party::new(refer_to), self.own_target());
        place.body = Some(sdp(1, "sendrecv"));
        place.headers = Headers::new().with("Replaces", &replaces).unwrap();
        self.act(move |endpoint, now| {
            let local = LocalIdentity { user: "exchange".to_owned(), ..LocalIdentity::default() };
            place.options.reports_to = endpoint.accept_transfer(request, &local, now).unwrap();
            endpoint.place_call(place, now).unwrap();
        });
        replaces
    }

    /// Calls a telephone in place of a call that it has.
    pub(crate) fn call_in_place_of(&self, call: CallHandle, binding: &Binding) -> CallHandle {
        let reference = self.act(move |endpoint, _| endpoint.reference_to(call)).unwrap();
        let replaces = reference.replace("local-tag", "to-tag").replace("remote-tag", "from-tag");
        let to = Party::new(binding.contact.clone());
        let mut place = PlaceCall::new(self.party("exchange"), to, Target::Flow(binding.flow));
        place.headers = Headers::new().with("Replaces", &replaces).unwrap();
        self.place(place)
    }

    /// Somebody else at this exchange.
    pub(crate) fn own_target(&self) -> Target {
        Target::address(Protocol::Udp, self.address(Protocol::Udp))
    }

    /// Waits until a call is over, whoever ends it.
    pub(crate) fn until_gone(&self, call: CallHandle) {
        let gone = wait_until(PATIENCE, || self.act(move |endpoint, _| endpoint.call(call).is_none()));
        assert!(gone, "a call does not end");
    }

    /// Where somebody is called at this exchange.
    pub(crate) fn uri(&self, user: &str, protocol: Protocol) -> UriBuf {
        let uri = format!("sip:{user}@{};transport={}", self.address(protocol), protocol.uri_token());
        UriBuf::parse(&uri).unwrap()
    }

    /// Asks the telephone to call somebody else instead.
    pub(crate) fn transfer(&self, call: CallHandle, whom: UriBuf, replaces: Option<CallHandle>) {
        let transfer = Transfer { replaces, ..Transfer::to(whom) };
        self.act(move |endpoint, now| endpoint.transfer(call, &transfer, now).map(drop)).unwrap();
    }

    pub(crate) fn expect_transferred(&self) {
        self.expect(|event| match event {
            Event::TransferProgress { status, .. } if status.is_final() => {
                assert!(status.is_success(), "{status}");
                Some(())
            }
            _ => None,
        });
    }

    pub(crate) fn stop(self) {
        self.act(|endpoint, now| endpoint.shut_down(now));
        self.expect(|event| matches!(event, Event::ShutDown).then_some(()));
    }
}
