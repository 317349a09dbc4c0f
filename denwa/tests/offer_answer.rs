//! Who may offer when, and what it says: `sip-core` and `sdp` driven together through the patterns of RFC 6337 table 1,
//! and the ways by which an offer becomes void (table 2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sdp::{Capability, Codec, Direction, HoldStyle, Negotiator, State, Transport};
use denwa_sip_core::{
    Protocol,
    config::Listener,
    endpoint::*,
    message::{Message, Method, StatusCode, UriBuf},
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

/// One telephone: when and what.
struct Side {
    endpoint: Endpoint,
    negotiator: Negotiator,
    events: VecDeque<Event>,
    call: Option<CallHandle>,
    address: SocketAddr,
}

struct Line {
    sides: [Side; 2],
    now: Instant,
}

const ALICE: usize = 0;
const BOB: usize = 1;

impl Side {
    fn new(last: u8, now: Instant) -> Self {
        let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address(last))]);
        let media = SocketAddr::from(([192, 0, 2, last], 4000));
        let capability = Capability::telephone([Codec::pcma(), Codec::pcmu()]);
        let seed = denwa_sdp::Seed([last; 32]);
        Self {
            endpoint: Endpoint::new(config, Seed([last; 32]), now),
            negotiator: Negotiator::new(capability, vec![Transport::audio(media)], seed),
            events: VecDeque::new(),
            call: None,
            address: address(last),
        }
    }

    fn offer(&mut self) -> Body {
        Body::sdp(self.negotiator.offer().unwrap())
    }

    fn answer(&mut self, offer: &Body) -> Body {
        Body::sdp(self.negotiator.answer(&offer.bytes).unwrap())
    }

    fn received_offer(&mut self, wanted: Carrier) -> Body {
        self.find(|event| match event {
            Event::OfferReceived { carrier, body, .. } => {
                assert_eq!(*carrier, wanted);
                Some(body.clone())
            }
            _ => None,
        })
    }

    fn take_answer(&mut self, wanted: Carrier) {
        let body = self.find(|event| match event {
            Event::AnswerReceived { carrier, body, preview: false, .. } => {
                assert_eq!(*carrier, wanted);
                Some(body.clone())
            }
            _ => None,
        });
        self.negotiator.accept_answer(&body.bytes).unwrap();
    }

    fn aborted(&mut self) {
        self.find(|event| matches!(event, Event::OfferAborted { .. }).then_some(()));
        self.negotiator.rollback();
    }

    fn find<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        while let Some(event) = self.events.pop_front() {
            if let Some(found) = pick(&event) {
                return found;
            }
        }
        panic!("it was not told");
    }
}

impl Line {
    fn new() -> Self {
        let now = Instant::now();
        Self { sides: [Side::new(1, now), Side::new(2, now)], now }
    }

    fn run(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            for at in [ALICE, BOB] {
                while let Some(output) = self.sides[at].endpoint.poll_output() {
                    again = true;
                    match output {
                        Output::Event(event) => self.sides[at].events.push_back(event),
                        Output::Transmit(it) => {
                            let (remote, to) = (self.sides[at].address, &mut self.sides[1 - at]);
                            let input = Input::Datagram { local: to.address, remote, payload: &it.payload };
                            to.endpoint.handle_input(input, self.now);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    /// Delivers until Alice sends PRACK, which gets an offer on its way; what Bob is told of it.
    fn run_with_offer_in_prack(&mut self) -> Body {
        loop {
            let mut progress = false;
            for at in [ALICE, BOB] {
                while let Some(output) = self.sides[at].endpoint.poll_output() {
                    progress = true;
                    let payload = match output {
                        Output::Event(event) => {
                            self.sides[at].events.push_back(event);
                            continue;
                        }
                        Output::Transmit(it) => it.payload,
                        other => panic!("{other:?}"),
                    };
                    let is_prack = payload.starts_with(b"PRACK");
                    let payload = if is_prack { with_offer(payload) } else { payload };
                    let (remote, to) = (self.sides[at].address, &mut self.sides[1 - at]);
                    let input = Input::Datagram { local: to.address, remote, payload: &payload };
                    to.endpoint.handle_input(input, self.now);
                    if is_prack {
                        self.run();
                        return self.sides[BOB].received_offer(Carrier::Prack);
                    }
                }
            }
            assert!(progress, "no PRACK came");
        }
    }

    /// A command to one side, and what follows from it.
    fn tell<T>(&mut self, at: usize, act: impl FnOnce(&mut Side, Instant) -> Result<T, Misuse>) -> T {
        let now = self.now;
        let done = act(&mut self.sides[at], now).unwrap();
        self.run();
        done
    }

    fn invite(&mut self, with_offer: bool) {
        let uri = |last| UriBuf::parse(&format!("sip:{}", address(last))).unwrap();
        let target = Target::address(Protocol::Udp, address(2));
        let mut place = PlaceCall::new(Party::new(uri(1)), Party::new(uri(2)), target);
        place.body = with_offer.then(|| self.sides[ALICE].offer());
        let call = self.tell(ALICE, |it, now| it.endpoint.place_call(place, now));
        self.sides[ALICE].call = Some(call);
        let request = self.sides[BOB].find(|event| match event {
            Event::Incoming { request, message, .. } => {
                assert_eq!(*message.method(), Method::Invite);
                Some(*request)
            }
            _ => None,
        });
        let (local, options) = (LocalIdentity::default(), CallOptions::default());
        let call = self.tell(BOB, |it, now| it.endpoint.accept_call(request, &local, options, now));
        self.sides[BOB].call = Some(call);
    }

    fn answer_call(&mut self, body: Option<Body>) {
        let mut reply = Reply::new(StatusCode::OK);
        reply.body = body;
        self.tell(BOB, |it, now| it.endpoint.answer(it.call.unwrap(), &reply, now));
    }

    fn ring_reliably(&mut self, body: Option<Body>) {
        let mut reply = Reply::new(StatusCode::SESSION_PROGRESS);
        reply.body = body;
        self.tell(BOB, |it, now| it.endpoint.ring_reliably(it.call.unwrap(), &reply, now));
    }

    fn answer_offer(&mut self, at: usize, body: Body) {
        self.tell(at, |it, now| it.endpoint.answer_offer(it.call.unwrap(), Some(body), &Headers::new(), now));
    }

    /// Both sides, of both crates, think that nothing is open, and that they agreed.
    fn assert_agreed(&mut self) {
        for side in &self.sides {
            assert_eq!(side.negotiator.state(), State::Stable);
            assert!(side.negotiator.agreed().is_some());
        }
    }

    /// A call by pattern 1.
    fn up() -> Self {
        let mut line = Self::new();
        line.invite(true);
        let offer = line.sides[BOB].received_offer(Carrier::Invite);
        let answer = line.sides[BOB].answer(&offer);
        line.answer_call(Some(answer));
        line.sides[ALICE].take_answer(Carrier::Success);
        line.assert_agreed();
        line
    }
}

/// The request with another session of the same telephone in it.
fn with_offer(payload: bytes::Bytes) -> bytes::Bytes {
    let message = Message::parse_lenient(payload).unwrap();
    let body =
        "v=0\r\no=- 7 9 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let edited = message.as_request().unwrap().edit().body(Some("application/sdp"), body).finish().unwrap();
    edited.bytes().clone()
}

#[test]
fn pattern_1_offer_in_invite_answer_in_2xx() {
    Line::up();
}

#[test]
fn pattern_2_offer_in_2xx_answer_in_ack() {
    let mut line = Line::new();
    line.invite(false);
    let offer = line.sides[BOB].offer();
    line.answer_call(Some(offer));
    let offer = line.sides[ALICE].received_offer(Carrier::Success);
    let answer = line.sides[ALICE].answer(&offer);
    line.answer_offer(ALICE, answer);
    line.sides[BOB].take_answer(Carrier::Ack);
    line.assert_agreed();
}

/// Pattern 3, with the call still ringing.
fn early() -> Line {
    let mut line = Line::new();
    line.invite(true);
    let offer = line.sides[BOB].received_offer(Carrier::Invite);
    let answer = line.sides[BOB].answer(&offer);
    line.ring_reliably(Some(answer));
    line.sides[ALICE].take_answer(Carrier::Reliable);
    line.assert_agreed();
    line
}

#[test]
fn pattern_3_offer_in_invite_answer_in_a_reliable_1xx() {
    let mut line = early();
    line.answer_call(None);
    line.assert_agreed();
}

#[test]
fn pattern_4_offer_in_a_reliable_1xx_answer_in_prack() {
    let mut line = Line::new();
    line.invite(false);
    let offer = line.sides[BOB].offer();
    line.ring_reliably(Some(offer));
    let offer = line.sides[ALICE].received_offer(Carrier::Reliable);
    let answer = line.sides[ALICE].answer(&offer);
    line.answer_offer(ALICE, answer);
    line.sides[BOB].take_answer(Carrier::Prack);
    line.assert_agreed();
    line.answer_call(None);
    line.assert_agreed();
}

#[test]
fn pattern_5_offer_in_prack_answer_in_its_2xx_is_answered_by_the_callee() {
    // We never put an offer into a PRACK; a peer may (RFC 3262 §5).
    let mut line = Line::new();
    line.invite(true);
    let offer = line.sides[BOB].received_offer(Carrier::Invite);
    let answer = line.sides[BOB].answer(&offer);
    // The PRACK of our own side is held back, and sent again with an offer in it.
    let reply = Reply::new(StatusCode::SESSION_PROGRESS).with_body(answer);
    let now = line.now;
    let bob = &mut line.sides[BOB];
    bob.endpoint.ring_reliably(bob.call.unwrap(), &reply, now).unwrap();
    let offer = line.run_with_offer_in_prack();
    let answer = line.sides[BOB].answer(&offer);
    line.answer_offer(BOB, answer);
    line.sides[ALICE].take_answer(Carrier::Reliable);
    assert_eq!(line.sides[BOB].negotiator.state(), State::Stable);
}

#[test]
fn pattern_6_offer_in_update_answer_in_its_2xx_early_and_later_from_either_side() {
    for (answered, who) in [(false, ALICE), (false, BOB), (true, ALICE), (true, BOB)] {
        let mut line = early();
        if answered {
            line.answer_call(None);
        }
        // Another description than the one that holds: that would be a mere refresh.
        line.sides[who].negotiator.hold(HoldStyle::Direction, Direction::SendOnly);
        let offer = line.sides[who].offer();
        line.tell(who, |it, now| it.endpoint.update(it.call.unwrap(), Some(offer), Headers::new(), now));
        let other = &mut line.sides[1 - who];
        let offer = other.received_offer(Carrier::Update);
        let answer = other.answer(&offer);
        line.answer_offer(1 - who, answer);
        line.sides[who].take_answer(Carrier::UpdateSuccess);
        line.assert_agreed();
    }
}

#[test]
fn patterns_1_and_2_again_in_a_reinvite_from_either_side() {
    for (who, with_offer) in [(ALICE, true), (BOB, true), (ALICE, false), (BOB, false)] {
        let mut line = Line::up();
        let other = 1 - who;
        if with_offer {
            let offer = {
                line.sides[who].negotiator.hold(HoldStyle::Direction, Direction::SendOnly);
                line.sides[who].offer()
            };
            line.tell(who, |it, now| {
                it.endpoint.reinvite(it.call.unwrap(), Some(offer), Headers::new(), now)
            });
            let offer = line.sides[other].received_offer(Carrier::Invite);
            let answer = line.sides[other].answer(&offer);
            line.answer_offer(other, answer);
            line.sides[who].take_answer(Carrier::Success);
        } else {
            line.tell(who, |it, now| it.endpoint.reinvite(it.call.unwrap(), None, Headers::new(), now));
            line.sides[other].find(|event| matches!(event, Event::OfferRequested { .. }).then_some(()));
            let offer = line.sides[other].offer();
            line.answer_offer(other, offer);
            let offer = line.sides[who].received_offer(Carrier::Success);
            let answer = line.sides[who].answer(&offer);
            line.answer_offer(who, answer);
            line.sides[other].take_answer(Carrier::Ack);
        }
        line.assert_agreed();
    }
}

#[test]
fn table_2_a_refused_change_rolls_both_sides_back() {
    for by_update in [false, true] {
        let mut line = Line::up();
        line.sides[ALICE].negotiator.hold(HoldStyle::Direction, Direction::SendOnly);
        let offer = line.sides[ALICE].offer();
        line.tell(ALICE, |it, now| match by_update {
            true => it.endpoint.update(it.call.unwrap(), Some(offer), Headers::new(), now),
            false => it.endpoint.reinvite(it.call.unwrap(), Some(offer), Headers::new(), now),
        });
        let carrier = if by_update { Carrier::Update } else { Carrier::Invite };
        let offer = line.sides[BOB].received_offer(carrier);
        line.sides[BOB].negotiator.receive_offer(&offer.bytes).unwrap();
        line.sides[BOB].negotiator.rollback();
        let reply = Reply::new(StatusCode::NOT_ACCEPTABLE_HERE);
        line.tell(BOB, |it, now| it.endpoint.refuse_offer(it.call.unwrap(), &reply, now));
        line.sides[ALICE].aborted();
        line.assert_agreed();
    }
}

#[test]
fn section_4_3_glare_is_491_and_one_of_them_tries_again() {
    let mut line = Line::up();
    for at in [ALICE, BOB] {
        let style = HoldStyle::Direction;
        line.sides[at].negotiator.hold(style, Direction::SendOnly);
        let offer = line.sides[at].offer();
        let now = line.now;
        let side = &mut line.sides[at];
        side.endpoint.reinvite(side.call.unwrap(), Some(offer), Headers::new(), now).unwrap();
    }
    line.run();
    // Both were refused; the offers of both stay theirs until the timers of RFC 3261 §14.1 decide.
    let next = line.sides.iter().filter_map(|side| side.endpoint.poll_timeout()).min().unwrap();
    assert!(next > line.now && next <= line.now + Duration::from_secs(4));
}
