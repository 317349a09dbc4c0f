//! What people do with telephones: transfer, confer, press keys, write, watch one another. On the virtual network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod telephones;
mod virtual_host;

use denwa::Seed;
use denwa::driver::{Answer, FromEndpoint, Machine, Output};
use denwa::ua::{Account, Keys, Misuse, Server, Transfers, UserAgent, UserAgentConfig, Watched};
use denwa_sdp::{Capability, Codec};
use denwa_sim::{HostId, Link, Node};
use denwa_sip_core::config::Listener;
use denwa_sip_core::endpoint::{
    AcceptSubscription, Body, Endpoint, EndpointConfig, Event as SipEvent, Headers, Party, PlaceCall, Reply,
    SendRequest, SubscriptionHandle, SubscriptionState, Transfer,
};
use denwa_sip_core::io::{Input, Provided};
use denwa_sip_core::message::UriBuf;
use denwa_sip_core::subscription::dialog_info::{DialogEntry, DialogInfo, DialogState};
use denwa_sip_core::subscription::message_summary::{MessageSummary, Messages};
use denwa_sip_core::subscription::presence::Presence;
use denwa_sip_core::transport::Target;
use denwa_sip_core::{HeaderName, Method, Protocol, StatusCode};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use telephones::{Manner, Telephone, World, loudness};
use virtual_host::Host;

/// Alice, Bob and Carol, each a tone.
fn three(seed: u64, carol: Manner) -> (World, [Telephone; 3]) {
    let mut world = World::new(seed);
    let phones = [
        world.phone("alice", "192.0.2.1", 440.0, Manner::Answers),
        world.phone("bob", "192.0.2.2", 600.0, Manner::Answers),
        world.phone("carol", "192.0.2.3", 850.0, carol),
    ];
    (world, phones)
}

/// Those two hear one another, and nobody else.
fn assert_talk(world: &mut World, one: (&Telephone, f64), other: (&Telephone, f64), silent: f64) {
    for ((phone, _), (_, pitch)) in [(one, other), (other, one)] {
        let heard = world.listen(phone, 4);
        assert!(heard.len() >= 20_000, "{}", heard.len());
        assert!(loudness(&heard, pitch) > -13.0, "{}", loudness(&heard, pitch));
        assert!(loudness(&heard, silent) < -40.0);
    }
}

fn has(world: &World, phone: &Telephone, start: &str) -> bool {
    world.told(phone).iter().any(|line| line.starts_with(start))
}

#[test]
fn a_blind_transfer() {
    let (mut world, [alice, bob, carol]) = three(11, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.transfer(call, "sip:carol@192.0.2.3", now).unwrap());
    world.pass(3);
    let told = world.told(&alice);
    assert!(told.iter().any(|line| line.starts_with("TransferProgress")), "{told:?}");
    assert_eq!(told[told.len() - 2], "Transferred { call: CallId(0) }");
    assert_eq!(told.last().unwrap(), "ended: hung up here []");
    assert!(has(&world, &bob, "Transferring { call: CallId(0), new: CallId(1), to: \"sip:carol@192.0.2.3"));
    assert_talk(&mut world, (&bob, 600.0), (&carol, 850.0), 440.0);
    let last = world.act(&bob, |agent, _| agent.calls().last().unwrap());
    world.act(&bob, |agent, now| agent.hang_up(last, now).unwrap());
    world.assert_quiet(&[&alice, &bob, &carol]);
}

#[test]
fn a_transfer_to_a_busy_line_leaves_the_call_as_it_was() {
    let (mut world, [alice, bob, carol]) = three(12, Manner::Refuses);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.transfer(call, "sip:carol@192.0.2.3", now).unwrap());
    world.pass(3);
    let failed = "TransferFailed { call: CallId(0), why: \"486 Busy Here\" }";
    assert_eq!(world.told(&alice).last().unwrap(), failed);
    assert_talk(&mut world, (&alice, 440.0), (&bob, 600.0), 850.0);
    world.act(&alice, |agent, now| agent.transfer(call, "sip:dora@192.0.2.99", now).unwrap());
    world.pass(60);
    assert!(world.told(&alice).last().unwrap().starts_with("TransferFailed"), "{:?}", world.told(&alice));
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.assert_quiet(&[&alice, &bob, &carol]);
}

#[test]
fn an_attended_transfer() {
    let (mut world, [alice, bob, carol]) = three(13, Manner::Answers);
    let first = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.hold(first, now).unwrap());
    world.pass(1);
    let second = world.call(&alice, "sip:carol@192.0.2.3");
    world.pass(2);
    world.act(&alice, |agent, now| agent.hold(second, now).unwrap());
    world.pass(1);
    world.act(&alice, |agent, now| agent.transfer_to(first, second, now).unwrap());
    world.pass(3);
    let told = world.told(&alice);
    let ends = told.iter().filter(|line| line.starts_with("ended")).count();
    assert_eq!(ends, 2, "alice is out of both: {told:?}");
    assert!(told.contains(&"Transferred { call: CallId(0) }".to_owned()), "{told:?}");
    let told = world.told(&carol);
    assert!(told.contains(&"TakenOver { call: CallId(0), by: CallId(1) }".to_owned()), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("ended: another call took its place")), "{told:?}");
    assert!(!told.iter().filter(|line| line.starts_with("incoming")).any(|line| line.contains("bob")));
    assert_talk(&mut world, (&bob, 600.0), (&carol, 850.0), 440.0);
    let last = world.act(&carol, |agent, _| agent.calls().last().unwrap());
    world.act(&carol, |agent, now| agent.hang_up(last, now).unwrap());
    world.assert_quiet(&[&alice, &bob, &carol]);
}

#[test]
fn who_is_asked_may_refuse_to_be_transferred() {
    let mut world = World::new(14);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let asks = |config: &mut UserAgentConfig| config.transfers = Transfers::Ask;
    let bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, asks);
    let refuses = |config: &mut UserAgentConfig| config.transfers = Transfers::Refuse;
    let carol = world.phone_with("carol", "192.0.2.3", 850.0, Manner::Answers, refuses);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, now| agent.transfer(call, "sip:carol@192.0.2.3", now).unwrap());
    world.pass(1);
    let asked = world.told(&bob).last().unwrap().clone();
    assert!(asked.starts_with("TransferAsked { call: CallId(0), transfer: TransferId(0)"), "{asked}");
    assert!(asked.contains("caller@example.org"), "by whom: {asked}");
    let told = world.told(&alice);
    assert!(!told.iter().any(|line| line.starts_with("TransferFailed")), "{told:?}");
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    let other = world.call(&alice, "sip:carol@192.0.2.3");
    world.pass(2);
    world.act(&alice, |agent, now| agent.transfer(other, "sip:bob@192.0.2.2", now).unwrap());
    world.pass(1);
    let why = "the other side refused with 603 Decline";
    assert_eq!(
        world.told(&alice).last().unwrap(),
        &format!("TransferFailed {{ call: CallId(1), why: \"{why}\" }}")
    );
    world.act(&alice, |agent, now| agent.hang_up(other, now).unwrap());
    world.assert_quiet(&[&alice, &bob, &carol]);
}

#[test]
fn a_conference_of_four() {
    let (mut world, [alice, bob, carol]) = three(15, Manner::Answers);
    let david = world.phone("david", "192.0.2.4", 1100.0, Manner::Answers);
    let calls = ["sip:bob@192.0.2.2", "sip:carol@192.0.2.3", "sip:david@192.0.2.4"]
        .map(|address| world.call(&alice, address));
    world.pass(2);
    world.act(&alice, |agent, now| {
        for call in calls {
            agent.confer(call, now).unwrap();
            assert_eq!(agent.confer(call, now), Err(Misuse::NotNow));
        }
        assert_eq!(agent.conference(), calls);
    });
    world.pass(1);
    let pitches = [440.0, 600.0, 850.0, 1100.0];
    for (phone, own) in [(&alice, 440.0), (&bob, 600.0), (&carol, 850.0), (&david, 1100.0)] {
        let heard = world.listen(phone, 4);
        for pitch in pitches {
            let loud = loudness(&heard, pitch);
            assert!(if pitch == own { loud < -40.0 } else { loud > -13.0 }, "{own} hears {pitch} at {loud}");
        }
    }
    // Bob goes; Carol becomes a call by herself.
    world.act(&alice, |agent, now| {
        agent.hang_up(calls[0], now).unwrap();
        agent.leave_conference(calls[1], now).unwrap();
        assert_eq!(agent.leave_conference(calls[1], now), Err(Misuse::NotNow));
    });
    world.act(&alice, |agent, now| {
        assert_eq!(agent.conference(), [calls[2]]);
        agent.hang_up(calls[2], now).unwrap();
    });
    world.pass(1);
    assert_talk(&mut world, (&alice, 440.0), (&carol, 850.0), 600.0);
    world.act(&alice, |agent, now| agent.hang_up(calls[1], now).unwrap());
    world.assert_quiet(&[&alice, &bob, &carol, &david]);
}

#[test]
fn keys_by_each_way() {
    for (seed, keys) in [(16, Keys::Events), (17, Keys::Info), (18, Keys::InBand), (19, Keys::Automatic)] {
        let mut world = World::new(seed);
        let without = |config: &mut UserAgentConfig| {
            if matches!(keys, Keys::InBand | Keys::Automatic) {
                config.capability.media.iter_mut().for_each(|media| media.telephone_events = None);
            }
            config.keys = keys;
        };
        let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, without);
        let bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, without);
        let call = world.call(&alice, "sip:bob@192.0.2.2");
        world.pass(2);
        world.act(&alice, |agent, now| agent.press(call, "159D*0#", now).unwrap());
        world.pass(4);
        let digits: String = world
            .told(&bob)
            .iter()
            .filter_map(|line| line.split_once("digit: '")?.1.chars().next())
            .collect();
        assert_eq!(digits, "159D*0#", "{keys:?}");
        let misuse = world.act(&alice, |agent, now| agent.press(call, "1x", now).unwrap_err());
        assert_eq!(misuse.to_string(), "`x` is no key of a telephone");
        assert_talk(&mut world, (&alice, 440.0), (&bob, 600.0), 850.0);
        world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
        world.assert_quiet(&[&alice, &bob]);
    }
}

#[test]
fn the_muted_is_silent_and_the_call_stays() {
    let (mut world, [alice, bob, _]) = three(20, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.act(&alice, |agent, _| agent.mute(call, true).unwrap());
    let heard = world.listen(&bob, 4);
    assert!(loudness(&heard, 440.0) < -40.0);
    world.act(&alice, |agent, _| agent.mute(call, false).unwrap());
    assert_talk(&mut world, (&alice, 440.0), (&bob, 600.0), 850.0);
}

#[test]
fn codecs_change_during_a_call() {
    let (mut world, [alice, bob, _]) = three(21, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    let mu_law = Capability::telephone([Codec::pcmu()]);
    world.act(&alice, |agent, now| agent.change_codecs(call, mu_law, now).unwrap());
    world.pass(1);
    let changed = "media CodecChanged { codec: \"PCMU/8000\" }".to_owned();
    assert!(world.told(&alice).contains(&changed) && world.told(&bob).contains(&changed));
    assert_talk(&mut world, (&alice, 440.0), (&bob, 600.0), 850.0);
}

#[test]
fn messages_are_delivered_or_it_is_said_why_not() {
    let (mut world, [alice, bob, _]) = three(22, Manner::Answers);
    let account = world.act(&alice, |agent, _| agent.add_account(Account::new("alice", "example.org")));
    let send = |world: &mut World, to: &str, text: &str| {
        world.act(&alice, |agent, now| agent.send_message(account, to, text, now))
    };
    send(&mut world, "sip:bob@192.0.2.2", "もしもし, Bob").unwrap();
    world.pass(1);
    assert_eq!(world.told(&alice), ["MessageDelivered { message: MessageId(0) }"]);
    assert_eq!(world.told(&bob), ["Message { from: \"sip:alice@example.org\", text: \"もしもし, Bob\" }"]);
    send(&mut world, "sip:nobody@192.0.2.77", "hello").unwrap();
    world.pass(40);
    let failed = world.told(&alice).last().unwrap().clone();
    assert_eq!(failed, "MessageFailed { message: MessageId(1), why: \"no reply of any kind\" }");
    assert_eq!(send(&mut world, "sip:bob@192.0.2.2", &"x".repeat(1301)), Err(Misuse::TooLong));
}

#[test]
fn a_caller_is_sent_elsewhere_and_goes() {
    let mut world = World::new(23);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::LetsRing);
    let carol = world.phone("carol", "192.0.2.3", 800.0, Manner::Answers);
    let call = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(1);
    world.act(&bob, |agent, now| {
        let call = agent.calls().next().unwrap();
        agent.deflect(call, "sip:carol@192.0.2.3", now).unwrap();
    });
    world.pass(3);
    let told = world.told(&alice);
    assert!(told.iter().any(|line| line.contains("Redirected") && line.contains("192.0.2.3")), "{told:?}");
    assert!(told.contains(&"answered".to_owned()), "{told:?}");
    world.act(&alice, |agent, now| agent.hang_up(call, now).unwrap());
    world.pass(1);
    assert_eq!(world.told(&alice).last().unwrap(), "ended: hung up here []", "no finding");
    assert_eq!(world.told(&carol).last().unwrap(), "ended: the other side hung up []");
    let heard = alice.room.lock().unwrap().heard.clone();
    assert!(loudness(&heard[8_000..16_000], 800.0) > -13.0, "carol is heard");
    world.assert_quiet(&[&alice, &bob, &carol]);
}

#[test]
fn a_caller_who_is_sent_in_a_circle_gives_up() {
    let mut world = World::new(24);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::LetsRing);
    let carol = world.phone("carol", "192.0.2.3", 800.0, Manner::LetsRing);
    world.call(&alice, "sip:bob@192.0.2.2");
    for (phone, elsewhere) in [(&bob, "sip:carol@192.0.2.3"), (&carol, "sip:bob@192.0.2.2")] {
        world.pass(1);
        world.act(phone, |agent, now| {
            let call = agent.calls().next().unwrap();
            agent.deflect(call, elsewhere, now).unwrap();
        });
    }
    world.pass(1);
    let told = world.told(&alice);
    assert!(told.last().unwrap().starts_with("ended: refused: 302"), "{told:?}");
    world.assert_quiet(&[&alice, &bob, &carol]);
}

/// A server that lets everybody register and tells whoever subscribes what he wants to know.
struct Office {
    endpoint: Endpoint,
    subscriptions: Vec<(String, SubscriptionHandle)>,
    /// Contacts that were registered, and texts that came.
    seen: Vec<String>,
    outputs: VecDeque<Output<String>>,
}

impl Office {
    fn new(address: SocketAddr, now: Instant) -> Self {
        let config = EndpointConfig::new(vec![Listener::new(Protocol::Udp, address)]);
        let endpoint = Endpoint::new(config, denwa_sip_core::Seed([5; 32]), now);
        Self { endpoint, subscriptions: Vec::new(), seen: Vec::new(), outputs: VecDeque::new() }
    }

    fn summary(new: u32) -> MessageSummary {
        let voice = Some(Messages { new, ..Messages::default() });
        MessageSummary { waiting: new > 0, voice, ..MessageSummary::default() }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output.into() {
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
                FromEndpoint::Lookup { id, .. } => {
                    self.endpoint.handle_input(Input::Provided { id, provided: Provided::Nothing }, now);
                }
                FromEndpoint::Event(SipEvent::Incoming { request, message, .. }) => match message.method() {
                    Method::Register => {
                        let contact = message.get(HeaderName::Contact).unwrap();
                        self.seen.push(contact.to_owned());
                        let headers =
                            Headers::new().with("Contact", format!("{contact};expires=60")).unwrap();
                        let reply = Reply::new(StatusCode::OK).with_headers(headers);
                        self.endpoint.respond(request, &reply, now).unwrap();
                    }
                    Method::Subscribe => {
                        let package = message.get(HeaderName::Event).unwrap().to_owned();
                        let body = match package.as_str() {
                            "message-summary" => Self::summary(2).to_body(),
                            "presence" => {
                                Presence::simple("sip:carol@office", true, Some("at lunch")).to_body()
                            }
                            _ => DialogInfo {
                                version: 0,
                                partial: false,
                                entity: "sip:carol@office".into(),
                                dialogs: vec![DialogEntry {
                                    id: "1".into(),
                                    call_id: None,
                                    local_tag: None,
                                    remote_tag: None,
                                    direction: None,
                                    state: DialogState::Confirmed,
                                    event: None,
                                    local: None,
                                    remote: None,
                                }],
                            }
                            .to_body(),
                        };
                        let accept = AcceptSubscription { body: Some(body), ..AcceptSubscription::default() };
                        let handle = self.endpoint.accept_subscription(request, accept, now).unwrap();
                        self.subscriptions.push((package, handle));
                    }
                    method => {
                        self.seen.push(method.to_string());
                        self.endpoint.respond(request, &Reply::new(StatusCode::OK), now).unwrap();
                    }
                },
                FromEndpoint::Event(SipEvent::RequestCompleted { outcome, .. }) => {
                    self.seen.push(outcome.to_string());
                }
                FromEndpoint::Event(SipEvent::SubscriptionEnded { reason, .. }) => {
                    self.seen.push(reason.to_string());
                }
                FromEndpoint::Event(_) => {}
            }
        }
    }
}

impl Machine for Office {
    type Command = ();
    type Event = String;

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.endpoint.handle_input(input, now);
        self.drain(now);
    }

    fn handle_media(&mut self, _: denwa::bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, (): (), _: Instant) {}

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output<String>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }
}

fn add_office(world: &mut World, name: &str, address: SocketAddr) -> (HostId, Node<Host<Office>>) {
    let host = world.network.add_host(name, world.internet, &[address.ip()]).unwrap();
    let now = world.network.now();
    let office = Host::new(Office::new(address, now), 9, now, Box::new(|_, line, _| Some(line)));
    let office = world.network.add_machine(host, office).unwrap();
    world.network.bind(office, denwa_sim::Protocol::Udp, address).unwrap();
    (host, office)
}

/// RFC 5922 §7.3: a certificate proves the name that was asked for, not the address that the name has today.
#[test]
fn a_server_that_has_a_name_proves_it() {
    let now = Instant::now();
    let address: SocketAddr = "192.0.2.10:5061".parse().unwrap();
    let named = Server::new(Protocol::Tls, address).named("pbx.example");
    for (server, proves) in [(Server::new(Protocol::Tls, address), "192.0.2.10"), (named, "pbx.example")] {
        let config =
            UserAgentConfig::new(vec![Listener::new(Protocol::Udp, "192.0.2.1:5060".parse().unwrap())]);
        let mut agent = UserAgent::new(config, Seed([7; 32]), now);
        let mut account = Account::new("alice", "pbx.example");
        account.server = Some(server);
        let account = agent.add_account(account);
        agent.register(account, now).unwrap();
        let opened = std::iter::from_fn(|| agent.poll_output()).find_map(|output| match output {
            Output::OpenStream { remote, server_name, .. } => Some((remote, server_name)),
            _ => None,
        });
        assert_eq!(opened, Some((address, Some(proves.into()))));
    }
}

/// RFC 5626: one device registered by two servers. Requests go by the first that stands, and by the first again when it is back.
#[test]
fn one_account_stands_on_two_flows() {
    let mut world = World::new(31);
    let servers: [SocketAddr; 2] = ["192.0.2.10:5060", "192.0.2.11:5060"].map(|it| it.parse().unwrap());
    let (first_host, first) = add_office(&mut world, "first", servers[0]);
    let (_, second) = add_office(&mut world, "second", servers[1]);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let account = world.act(&alice, |agent, now| {
        let mut account = Account::new("alice", "office").with_server(Protocol::Udp, servers[0]);
        account.instance = Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned());
        account.further_servers = vec![Server::new(Protocol::Udp, servers[1])];
        let account = agent.add_account(account);
        agent.register(account, now).unwrap();
        account
    });
    world.pass(2);
    let seen = |world: &World, office| {
        let host: &Host<Office> = world.network.machine(office).unwrap();
        host.machine.seen.clone()
    };
    for (office, id) in [(first, ";reg-id=1"), (second, ";reg-id=2")] {
        let contacts = seen(&world, office);
        assert!(contacts.len() == 1 && contacts[0].contains(id), "{contacts:?}");
    }
    let flows = |world: &mut World| world.act(&alice, |agent, _| agent.flows_of(account));
    assert_eq!(flows(&mut world), 2);
    let registered = world.told(&alice).iter().filter(|line| line.starts_with("Registered")).count();
    assert_eq!(registered, 1, "{:#?}", world.told(&alice));

    let write = |world: &mut World| {
        world.act(&alice, |agent, now| agent.send_message(account, "carol", "hello", now).unwrap());
        world.pass(1);
    };
    let messages = |world: &World| {
        [first, second].map(|office| seen(world, office).iter().filter(|it| *it == "MESSAGE").count())
    };
    write(&mut world);
    assert_eq!(messages(&world), [1, 0]);

    let dead = Link::perfect().lossy(1.0);
    world.network.set_line(first_host, 0, dead.clone(), dead).unwrap();
    world.pass(120);
    let told = world.told(&alice);
    assert!(told.iter().any(|line| line.starts_with("FlowLost") && line.contains("192.0.2.10")), "{told:#?}");
    assert!(!told.iter().any(|line| line.starts_with("RegistrationFailed")), "{told:#?}");
    assert_eq!(flows(&mut world), 1);
    write(&mut world);
    assert_eq!(messages(&world), [1, 1]);

    world.network.set_line(first_host, 0, Link::default(), Link::default()).unwrap();
    world.pass(600);
    assert_eq!(flows(&mut world), 2);
    write(&mut world);
    assert_eq!(messages(&world), [2, 1]);

    world.act(&alice, |agent, now| agent.unregister(account, now).unwrap());
    world.pass(5);
    assert_eq!(flows(&mut world), 0);
    let withdrawn = world.told(&alice).iter().filter(|line| line.starts_with("Unregistered")).count();
    assert_eq!(withdrawn, 1, "{:#?}", world.told(&alice));
}

#[test]
fn mailboxes_lamps_and_presence_are_watched() {
    let mut world = World::new(24);
    let address = "192.0.2.10:5060".parse().unwrap();
    let (_, office) = add_office(&mut world, "office", address);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);

    let (account, presence, dialogs) = world.act(&alice, |agent, now| {
        let mut account = Account::new("alice", "office").with_server(Protocol::Udp, address);
        account.message_waiting = true;
        account.instance = Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned());
        let account = agent.add_account(account);
        agent.register(account, now).unwrap();
        let presence = agent.watch(account, "carol", Watched::Presence, now).unwrap();
        let dialogs = agent.watch(account, "carol", Watched::Dialogs, now).unwrap();
        (account, presence, dialogs)
    });
    world.pass(2);
    let told = world.told(&alice);
    for start in [
        "Registered".to_owned(),
        format!("MessagesWaiting {{ account: {account:?}, summary: MessageSummary {{ waiting: true"),
        format!("Presence {{ watch: {presence:?}"),
        format!("Dialogs {{ watch: {dialogs:?}"),
    ] {
        assert_eq!(told.iter().filter(|line| line.starts_with(&start)).count(), 1, "{start}: {told:#?}");
    }
    assert!(told.iter().any(|line| line.contains("at lunch")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("state: Confirmed")), "{told:#?}");

    // What changes is told; what was never asked for too, when it comes from the account's server.
    world
        .network
        .with(office, |host, now| {
            host.act(now, |office, now| {
                let (_, handle) =
                    office.subscriptions.iter().find(|(package, _)| package == "presence").unwrap().clone();
                let gone = Presence::simple("sip:carol@office", false, None).to_body();
                office
                    .endpoint
                    .notify(handle, SubscriptionState::Active, Some(gone), Headers::new(), now)
                    .unwrap();
                let party = Party::new(UriBuf::parse("sip:alice@office").unwrap());
                let target = Target::address(Protocol::Udp, "192.0.2.1:5060".parse().unwrap());
                let mut notify = SendRequest::new(Method::Notify, party.clone(), party, target);
                notify.headers.push("Event", "message-summary").unwrap();
                notify.body = Some(Office::summary(0).to_body());
                office.endpoint.send_request(notify, now).unwrap();
                office.drain(now);
            });
        })
        .unwrap();
    world.pass(1);
    let told = world.told(&alice);
    assert!(told.iter().any(|line| line.contains("open: Some(false)")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("waiting: false")), "{told:#?}");

    world.act(&alice, |agent, now| {
        agent.unwatch(presence, now).unwrap();
    });
    world.pass(1);
    assert_eq!(
        world.told(&alice).last().unwrap(),
        &format!("WatchEnded {{ watch: {presence:?}, why: None }}")
    );
    let told = world.act(&alice, |agent, now| {
        assert_eq!(agent.unwatch(presence, now), Err(Misuse::UnknownWatch));
        agent.shut_down(now);
        agent.is_registered(account)
    });
    assert!(told, "withdrawn only when the server has said so");
    world.network.run_for(Duration::from_secs(5));
    assert_eq!(world.told(&alice).last().unwrap(), "ShutDown");
}

/// RFC 6665 §4.1.3 and RFC 3261 §8.2.2.1: what belongs to no subscription, and where nobody can be called.
#[test]
fn a_transfer_to_a_web_page_and_a_stray_notify_are_refused() {
    let mut world = World::new(33);
    let (_, office) = add_office(&mut world, "office", "192.0.2.10:5060".parse().unwrap());
    let _alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let offer = "v=0\r\no=o 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n";
    let party = |uri| Party::new(UriBuf::parse(uri).unwrap());
    let mut place = PlaceCall::new(
        party("sip:office@192.0.2.10"),
        party("sip:alice@192.0.2.1"),
        Target::Address { protocol: Protocol::Udp, remote: "192.0.2.1:5060".parse().unwrap(), local: None },
    );
    place.body = Some(Body::sdp(offer));
    let act = |world: &mut World, act: &mut dyn FnMut(&mut Office, Instant)| {
        world.network.with(office, |host, now| host.act(now, act)).unwrap();
        world.pass(1);
    };
    let mut call = None;
    act(&mut world, &mut |office, now| {
        call = office.endpoint.place_call(place.clone(), now).ok();
        office.drain(now);
    });
    let call = call.unwrap();
    act(&mut world, &mut |office, now| {
        let elsewhere = Transfer::to(UriBuf::parse("https://shop.example/").unwrap());
        office.endpoint.transfer(call, &elsewhere, now).unwrap();
        office.drain(now);
    });
    act(&mut world, &mut |office, now| {
        let headers = Headers::new().with("Event", "talk").unwrap();
        let headers = headers.with("Subscription-State", "active").unwrap();
        office.endpoint.request_in_dialog(call, Method::Notify, &headers, None, now).unwrap();
        office.drain(now);
    });
    let seen = &world.network.machine(office).unwrap().machine.seen;
    let expected =
        ["refused: 416 Refer-To has to be a sip, sips or tel URI", "481 Call/Transaction Does Not Exist"];
    assert_eq!(*seen, expected);
}
